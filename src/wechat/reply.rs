//! What can be said in the answer to a push: the passive reply (被动回复用户消息).
//!
//! Source: <https://developers.weixin.qq.com/doc/offiaccount/en/Message_Management/Passive_user_reply_message.html>

use serde::{Deserialize, Serialize};

use super::readback;
use super::xml::{Element, XmlError, push_cdata};

/// A reply. All media belong to the same account, temporary or permanent.
///
/// It may say more than WeChat takes: [`Reply::fit`] cuts it down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Text, with `<a href="…">` as the only markup and `\n` as line break.
    Text {
        /// At most 2047 bytes, see [`MAX_TEXT_BYTES`](super::limits::MAX_TEXT_BYTES).
        content: String,
    },
    /// A picture.
    Image {
        /// Required.
        media_id: String,
    },
    /// A spoken message.
    Voice {
        /// Required.
        media_id: String,
    },
    /// A film.
    Video {
        /// Required.
        media_id: String,
        /// Left out if empty.
        title: String,
        /// Left out if empty.
        description: String,
    },
    /// A piece of music.
    Music {
        /// Left out if empty.
        title: String,
        /// Left out if empty.
        description: String,
        /// Left out if empty.
        music_url: String,
        /// For Wi-Fi; left out if empty.
        hq_music_url: String,
        /// Required.
        thumb_media_id: String,
    },
    /// Links with pictures. How many, depends on what is answered.
    News {
        /// At least one.
        articles: Vec<Article>,
    },
    /// Hands this message over to the human customer service (客服).
    TransferCustomerService {
        /// This one of the staff or nobody; if absent, whoever is free.
        kf_account: Option<String>,
    },
    /// Hands this message over to the platform's own AI (公众号智能回复).
    TransferBizAiIvr,
}

/// A link with a picture.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Article {
    /// Its title.
    pub title: String,
    /// Its description.
    pub description: String,
    /// JPG or PNG, 360×200 for the first article, 200×200 for the others.
    pub pic_url: String,
    /// Where it goes.
    pub url: String,
}

/// What is wrong with the XML of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyXmlError {
    /// It cannot be read.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// This element is not there exactly once with the expected value.
    #[error("`{0}` is not what it should be")]
    Element(&'static str),
}

impl Reply {
    /// A reply of text.
    pub fn text(content: impl Into<String>) -> Self {
        Self::Text { content: content.into() }
    }

    /// Reads a reply that another server wrote, of the kinds that there are. What it leaves out is empty.
    ///
    /// # Errors
    ///
    /// [`ReplyXmlError::Element`] if its kind is none of them, or lacks what it cannot be without.
    pub fn from_xml(root: &Element<'_>) -> Result<Self, ReplyXmlError> {
        let group = |name: &'static str| root.child(name).ok_or(ReplyXmlError::Element(name));
        match root.child_text("MsgType").map(str::trim).unwrap_or_default() {
            "text" => Ok(Self::Text { content: required(root, "Content")?.to_owned() }),
            "image" => Ok(Self::Image { media_id: media_id(group("Image")?, "MediaId")? }),
            "voice" => Ok(Self::Voice { media_id: media_id(group("Voice")?, "MediaId")? }),
            "video" => {
                let video = group("Video")?;
                let (title, description) = (optional(video, "Title"), optional(video, "Description"));
                Ok(Self::Video { media_id: media_id(video, "MediaId")?, title, description })
            }
            "music" => {
                let music = group("Music")?;
                Ok(Self::Music {
                    title: optional(music, "Title"),
                    description: optional(music, "Description"),
                    music_url: optional(music, "MusicUrl"),
                    hq_music_url: optional(music, "HQMusicUrl"),
                    // Bots that leave it out have always got through.
                    thumb_media_id: optional(music, "ThumbMediaId").trim().to_owned(),
                })
            }
            "news" => {
                let articles: Vec<_> =
                    group("Articles")?.children_named("item").map(Article::from_xml).collect();
                if articles.is_empty() {
                    Err(ReplyXmlError::Element("item"))
                } else {
                    Ok(Self::News { articles })
                }
            }
            "transfer_customer_service" => {
                let kf_account = root.child("TransInfo").map(|info| optional(info, "KfAccount"));
                let kf_account = kf_account.map(|account| account.trim().to_owned());
                Ok(Self::TransferCustomerService {
                    kf_account: kf_account.filter(|account| !account.is_empty()),
                })
            }
            "transfer_biz_ai_ivr" => Ok(Self::TransferBizAiIvr),
            _ => Err(ReplyXmlError::Element("MsgType")),
        }
    }

    /// The kind on the wire.
    #[must_use]
    pub fn msg_type(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Image { .. } => "image",
            Self::Voice { .. } => "voice",
            Self::Video { .. } => "video",
            Self::Music { .. } => "music",
            Self::News { .. } => "news",
            Self::TransferCustomerService { .. } => "transfer_customer_service",
            Self::TransferBizAiIvr => "transfer_biz_ai_ivr",
        }
    }

    /// All that people read of it.
    pub fn texts_mut(&mut self) -> Vec<&mut String> {
        match self {
            Self::Text { content } => vec![content],
            Self::Video { title, description, .. } | Self::Music { title, description, .. } => {
                vec![title, description]
            }
            Self::News { articles } => articles
                .iter_mut()
                .flat_map(|article| [&mut article.title, &mut article.description])
                .collect(),
            Self::Image { .. }
            | Self::Voice { .. }
            | Self::TransferCustomerService { .. }
            | Self::TransferBizAiIvr => Vec::new(),
        }
    }

    /// The body of the answer.
    ///
    /// The names are swapped: `to_user` is whom the push came *from*. `create_time` is now, in Unix seconds.
    /// Characters that XML forbids are left out.
    #[must_use]
    pub fn to_xml(&self, to_user: &str, from_user: &str, create_time: u64) -> String {
        let mut xml = String::with_capacity(320 + to_user.len() + from_user.len() + self.text_bytes());
        xml.push_str("<xml>");
        push_element(&mut xml, "ToUserName", to_user);
        push_element(&mut xml, "FromUserName", from_user);
        push_number(&mut xml, "CreateTime", create_time);
        push_element(&mut xml, "MsgType", self.msg_type());
        self.push_content(&mut xml);
        xml.push_str("</xml>");
        xml
    }

    fn push_content(&self, xml: &mut String) {
        match self {
            Self::Text { content } => push_element(xml, "Content", content),
            Self::Image { media_id } => push_group(xml, "Image", &[("MediaId", media_id)]),
            Self::Voice { media_id } => push_group(xml, "Voice", &[("MediaId", media_id)]),
            Self::Video { media_id, title, description } => push_group(
                xml,
                "Video",
                &[("MediaId", media_id), ("Title", title), ("Description", description)],
            ),
            Self::Music { title, description, music_url, hq_music_url, thumb_media_id } => push_group(
                xml,
                "Music",
                &[
                    ("Title", title),
                    ("Description", description),
                    ("MusicUrl", music_url),
                    ("HQMusicUrl", hq_music_url),
                    ("ThumbMediaId", thumb_media_id),
                ],
            ),
            Self::News { articles } => push_articles(xml, articles),
            Self::TransferCustomerService { kf_account: Some(kf_account) } => {
                push_group(xml, "TransInfo", &[("KfAccount", kf_account)]);
            }
            Self::TransferCustomerService { kf_account: None } | Self::TransferBizAiIvr => {}
        }
    }

    /// Roughly what [`Reply::push_content`] will write, for one allocation.
    fn text_bytes(&self) -> usize {
        match self {
            Self::Text { content } => content.len(),
            Self::News { articles } => articles.iter().map(Article::bytes).sum(),
            _ => 256,
        }
    }
}

impl Article {
    fn from_xml(item: &Element<'_>) -> Self {
        Self {
            title: optional(item, "Title"),
            description: optional(item, "Description"),
            pic_url: optional(item, "PicUrl"),
            url: optional(item, "Url"),
        }
    }

    fn bytes(&self) -> usize {
        self.title.len() + self.description.len() + self.pic_url.len() + self.url.len() + 160
    }
}

fn required<'r>(element: &'r Element<'_>, name: &'static str) -> Result<&'r str, ReplyXmlError> {
    element.child(name).map(|child| child.text.as_ref()).ok_or(ReplyXmlError::Element(name))
}

fn optional(element: &Element<'_>, name: &'static str) -> String {
    required(element, name).unwrap_or_default().to_owned()
}

fn media_id(element: &Element<'_>, name: &'static str) -> Result<String, ReplyXmlError> {
    let media_id = required(element, name)?.trim();
    if media_id.is_empty() { Err(ReplyXmlError::Element(name)) } else { Ok(media_id.to_owned()) }
}

fn push_articles(xml: &mut String, articles: &[Article]) {
    push_number(xml, "ArticleCount", articles.len() as u64);
    xml.push_str("<Articles>");
    for article in articles {
        xml.push_str("<item>");
        push_element(xml, "Title", &article.title);
        push_element(xml, "Description", &article.description);
        push_element(xml, "PicUrl", &article.pic_url);
        push_element(xml, "Url", &article.url);
        xml.push_str("</item>");
    }
    xml.push_str("</Articles>");
}

/// An element around others, without those that are empty.
fn push_group(xml: &mut String, name: &str, elements: &[(&str, &String)]) {
    push_tag(xml, "<", name);
    for (name, text) in elements.iter().filter(|(_, text)| !text.is_empty()) {
        push_element(xml, name, text);
    }
    push_tag(xml, "</", name);
}

fn push_element(xml: &mut String, name: &str, text: &str) {
    push_tag(xml, "<", name);
    push_cdata(xml, text);
    push_tag(xml, "</", name);
}

fn push_number(xml: &mut String, name: &str, number: u64) {
    push_tag(xml, "<", name);
    xml.push_str(itoa::Buffer::new().format(number));
    push_tag(xml, "</", name);
}

fn push_tag(xml: &mut String, start: &str, name: &str) {
    xml.push_str(start);
    xml.push_str(name);
    xml.push('>');
}

/// Looks at the XML of a reply with WeChat's eyes, before it leaves: a reply that WeChat cannot read shows the user
/// a line of failure, and one that a user's text has changed may be worse.
///
/// # Errors
///
/// [`ReplyXmlError`] if it cannot be read, or if `ToUserName` or `MsgType` is not there exactly once with the
/// expected value.
pub fn check_xml(xml: &str, to_user: &str, msg_type: &str) -> Result<(), ReplyXmlError> {
    let unlike = readback::find_unlike(xml, [("ToUserName", to_user), ("MsgType", msg_type)])?;
    unlike.map_or(Ok(()), |name| Err(ReplyXmlError::Element(name)))
}

/// Whether a reply that another server wrote is for `to_user` and in the name of `from_user`.
///
/// # Errors
///
/// [`ReplyXmlError::Element`] if one of them is not there exactly once.
pub fn check_names(root: &Element<'_>, to_user: &str, from_user: &str) -> Result<(), ReplyXmlError> {
    expect(root, [("ToUserName", to_user), ("FromUserName", from_user)])
}

fn expect(root: &Element<'_>, wanted: [(&'static str, &str); 2]) -> Result<(), ReplyXmlError> {
    for (name, expected) in wanted {
        let mut found = root.children_named(name);
        if found.next().map(Element::trimmed) != Some(expected) || found.next().is_some() {
            return Err(ReplyXmlError::Element(name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::xml::{XmlFault, is_forbidden, parse};
    use super::*;

    fn s(text: &str) -> String {
        text.into()
    }

    /// The documentation's samples without the white space between elements.
    fn samples() -> Vec<(Reply, &'static str)> {
        vec![
            (Reply::text("你好"), "<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[你好]]></Content>"),
            (
                Reply::Image { media_id: s("media_id") },
                "<MsgType><![CDATA[image]]></MsgType><Image><MediaId><![CDATA[media_id]]></MediaId></Image>",
            ),
            (
                Reply::Voice { media_id: s("media_id") },
                "<MsgType><![CDATA[voice]]></MsgType><Voice><MediaId><![CDATA[media_id]]></MediaId></Voice>",
            ),
            (
                Reply::Video { media_id: s("media_id"), title: s("title"), description: s("description") },
                "<MsgType><![CDATA[video]]></MsgType><Video><MediaId><![CDATA[media_id]]></MediaId>\
                 <Title><![CDATA[title]]></Title><Description><![CDATA[description]]></Description></Video>",
            ),
            (
                Reply::Music {
                    title: s("TITLE"),
                    description: s("DESCRIPTION"),
                    music_url: s("MUSIC_Url"),
                    hq_music_url: s("HQ_MUSIC_Url"),
                    thumb_media_id: s("media_id"),
                },
                "<MsgType><![CDATA[music]]></MsgType><Music><Title><![CDATA[TITLE]]></Title>\
                 <Description><![CDATA[DESCRIPTION]]></Description><MusicUrl><![CDATA[MUSIC_Url]]></MusicUrl>\
                 <HQMusicUrl><![CDATA[HQ_MUSIC_Url]]></HQMusicUrl>\
                 <ThumbMediaId><![CDATA[media_id]]></ThumbMediaId></Music>",
            ),
            (
                Reply::News {
                    articles: vec![Article {
                        title: s("title1"),
                        description: s("description1"),
                        pic_url: s("https://example.com/a.jpg"),
                        url: s("https://example.com/a"),
                    }],
                },
                "<MsgType><![CDATA[news]]></MsgType><ArticleCount>1</ArticleCount><Articles><item>\
                 <Title><![CDATA[title1]]></Title><Description><![CDATA[description1]]></Description>\
                 <PicUrl><![CDATA[https://example.com/a.jpg]]></PicUrl><Url><![CDATA[https://example.com/a]]></Url>\
                 </item></Articles>",
            ),
            (
                Reply::TransferCustomerService { kf_account: Some(s("test1@test")) },
                "<MsgType><![CDATA[transfer_customer_service]]></MsgType>\
                 <TransInfo><KfAccount><![CDATA[test1@test]]></KfAccount></TransInfo>",
            ),
            (
                Reply::TransferCustomerService { kf_account: None },
                "<MsgType><![CDATA[transfer_customer_service]]></MsgType>",
            ),
            (Reply::TransferBizAiIvr, "<MsgType><![CDATA[transfer_biz_ai_ivr]]></MsgType>"),
        ]
    }

    #[test]
    fn every_reply_is_written_as_the_documentation_shows_it() {
        for (reply, content) in samples() {
            let expected = format!(
                "<xml><ToUserName><![CDATA[toUser]]></ToUserName><FromUserName><![CDATA[fromUser]]></FromUserName>\
                 <CreateTime>12345678</CreateTime>{content}</xml>"
            );
            assert_eq!(reply.to_xml("toUser", "fromUser", 12_345_678), expected);
        }
    }

    #[test]
    fn every_reply_stands_our_own_check() {
        for (reply, _) in samples() {
            let xml = reply.to_xml("toUser", "fromUser", 12_345_678);
            assert_eq!(check_xml(&xml, "toUser", reply.msg_type()), Ok(()));
        }
    }

    #[test]
    fn every_reply_is_read_back() {
        for (reply, _) in samples() {
            let xml = reply.to_xml("toUser", "fromUser", 12_345_678);
            assert_eq!(Reply::from_xml(&parse(xml.as_bytes()).unwrap()), Ok(reply));
        }
    }

    #[test]
    fn replies_of_other_servers_are_read_with_their_white_space() {
        let read = |fields: &str| {
            let xml = format!("<xml>\n<ToUserName>a</ToUserName>\n{fields}\n</xml>");
            Reply::from_xml(&parse(xml.as_bytes()).unwrap())
        };
        assert_eq!(read("<MsgType>\ntext\n</MsgType><Content> 你好\n</Content>"), Ok(Reply::text(" 你好\n")));
        assert_eq!(
            read("<MsgType>image</MsgType>\n<Image>\n<MediaId> m </MediaId>\n</Image>"),
            Ok(Reply::Image { media_id: s("m") })
        );
        for info in ["", "<TransInfo/>", "<TransInfo><KfAccount></KfAccount></TransInfo>"] {
            let transfer = read(&format!("<MsgType>transfer_customer_service</MsgType>{info}"));
            assert_eq!(transfer, Ok(Reply::TransferCustomerService { kf_account: None }));
        }
        for (fields, element) in [
            ("", "MsgType"),
            ("<MsgType>hardware</MsgType>", "MsgType"),
            ("<MsgType>text</MsgType>", "Content"),
            ("<MsgType>image</MsgType>", "Image"),
            ("<MsgType>image</MsgType><Image><MediaId> </MediaId></Image>", "MediaId"),
            ("<MsgType>music</MsgType>", "Music"),
            ("<MsgType>news</MsgType><ArticleCount>1</ArticleCount>", "Articles"),
            ("<MsgType>news</MsgType><Articles></Articles>", "item"),
        ] {
            assert_eq!(read(fields), Err(ReplyXmlError::Element(element)), "{fields}");
        }
    }

    #[test]
    fn a_reply_in_another_name_is_told() {
        let xml = Reply::text("x").to_xml("oUser", "gh_1", 1);
        let check = |to_user, from_user| check_names(&parse(xml.as_bytes()).unwrap(), to_user, from_user);
        assert_eq!(check("oUser", "gh_1"), Ok(()));
        assert_eq!(check("oOther", "gh_1"), Err(ReplyXmlError::Element("ToUserName")));
        assert_eq!(check("oUser", "gh_2"), Err(ReplyXmlError::Element("FromUserName")));
    }

    #[test]
    fn optional_parts_are_left_out_when_empty() {
        let video = Reply::Video { media_id: s("m"), title: s(""), description: s("") };
        assert!(video.to_xml("a", "b", 1).ends_with("<Video><MediaId><![CDATA[m]]></MediaId></Video></xml>"));
    }

    #[test]
    fn a_cdata_end_inside_the_text_stays_text() {
        let xml = Reply::text("1 ]]> 2]]></Content><MsgType>news</MsgType>").to_xml("oUser", "gh_account", 1);
        let root = parse(xml.as_bytes()).unwrap();
        assert_eq!(root.child("Content").unwrap().text, "1 ]]> 2]]></Content><MsgType>news</MsgType>");
        assert_eq!(check_xml(&xml, "oUser", "text"), Ok(()));
    }

    #[test]
    fn xml_for_somebody_else_or_with_a_second_kind_is_refused() {
        let xml = Reply::text("a").to_xml("oUser", "gh_account", 1);
        assert_eq!(check_xml(&xml, "oOther", "text"), Err(ReplyXmlError::Element("ToUserName")));
        assert_eq!(check_xml(&xml, "oUser", "image"), Err(ReplyXmlError::Element("MsgType")));
        let twice = xml.replace("</xml>", "<MsgType>text</MsgType></xml>");
        assert_eq!(check_xml(&twice, "oUser", "text"), Err(ReplyXmlError::Element("MsgType")));
        assert_eq!(check_xml("<xml></xml>", "oUser", "text"), Err(ReplyXmlError::Element("ToUserName")));
        let cut = check_xml(&xml[..xml.len() - 1], "oUser", "text");
        assert!(matches!(cut, Err(ReplyXmlError::Xml(XmlError { fault: XmlFault::Truncated, .. }))));
    }

    proptest! {
        #[test]
        fn whatever_is_said_reads_back(content in r"([\]>\x00\x01<&a你]|\PC){0,60}", url: String) {
            let clean = |text: &str| text.chars().filter(|c| !is_forbidden(*c)).collect::<String>();
            let xml = Reply::text(&*content).to_xml("oUser", "gh", 1);
            prop_assert_eq!(check_xml(&xml, "oUser", "text"), Ok(()));
            let root = parse(xml.as_bytes()).unwrap();
            prop_assert_eq!(&root.child("Content").unwrap().text, &clean(&content));
            prop_assert_eq!(Reply::from_xml(&root), Ok(Reply::text(clean(&content))));

            let article = Article { url: url.clone(), title: content.clone(), ..Article::default() };
            let xml = Reply::News { articles: vec![article] }.to_xml("oUser", "gh", 1);
            let root = parse(xml.as_bytes()).unwrap();
            let article = Article { url: clean(&url), title: clean(&content), ..Article::default() };
            prop_assert_eq!(Reply::from_xml(&root), Ok(Reply::News { articles: vec![article] }));
            let item = root.child("Articles").and_then(|articles| articles.child("item")).unwrap();
            prop_assert_eq!(&item.child("Url").unwrap().text, &clean(&url));
        }
    }
}
