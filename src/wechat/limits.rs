//! How much WeChat takes in an answer, and replies cut down to it.
//!
//! A reply that is too long is not shortened by WeChat: the user sees a line of failure instead of it.
//!
//! Source: <https://developers.weixin.qq.com/doc/offiaccount/en/Message_Management/Passive_user_reply_message.html>;
//! the bytes of a text were found by trying, the documentation names no number.

use std::fmt;
use std::ops::Range;

use super::event::Event;
use super::message::{Content, Message};
use super::reply::{Article, Reply};
use super::xml::is_forbidden;

/// The longest text that is known to arrive everywhere, in bytes of UTF-8: some 680 Chinese characters.
pub const MAX_TEXT_BYTES: usize = 2047;
/// The most articles in answer to a message of a user.
pub const MAX_ARTICLES_FOR_MESSAGE: usize = 1;
/// The most articles in answer to an event, as a pressed button.
pub const MAX_ARTICLES_FOR_EVENT: usize = 8;

/// What was taken from a reply so that it fits, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// All of it: nobody would see an answer to this event.
    NotAnswerable,
    /// All of it: this kind can answer messages of users only, not events.
    MessagesOnly,
    /// All of it: this element must not be empty.
    Empty(&'static str),
    /// The end of the text.
    Text {
        /// Bytes that there were.
        given: usize,
        /// Bytes that are left.
        kept: usize,
    },
    /// The last articles.
    Articles {
        /// Articles that there were.
        given: usize,
        /// Articles that are left.
        kept: usize,
    },
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnswerable => f.write_str("this event cannot be answered; reply left out"),
            Self::MessagesOnly => f.write_str("this reply cannot answer an event; left out"),
            Self::Empty(element) => write!(f, "`{element}` is empty; reply left out"),
            Self::Text { given, kept } => write!(f, "text cut from {given} to {kept} bytes"),
            Self::Articles { given, kept } => write!(f, "articles cut from {given} to {kept}"),
        }
    }
}

/// How many articles the answer to `content` may have.
#[must_use]
pub fn max_articles(content: &Content<'_>) -> usize {
    match content {
        Content::Event(_) => MAX_ARTICLES_FOR_EVENT,
        _ => MAX_ARTICLES_FOR_MESSAGE,
    }
}

/// Whether anybody would see an answer to `content`.
///
/// Not to those who left or are looking at another page, and not to reports, which come from WeChat itself.
/// What is not known may be answered.
#[must_use]
pub fn can_be_answered(content: &Content<'_>) -> bool {
    !matches!(
        content,
        Content::Event(
            Event::Unsubscribe { .. }
                | Event::View { .. }
                | Event::ViewMiniprogram { .. }
                | Event::TemplateSendJobFinish { .. }
                | Event::MassSendJobFinish { .. }
                | Event::PublishJobFinish { .. }
                | Event::QualificationVerifySuccess { .. }
                | Event::QualificationVerifyFail(_)
                | Event::NamingVerifySuccess { .. }
                | Event::NamingVerifyFail(_)
                | Event::AnnualRenew { .. }
                | Event::VerifyExpired { .. }
        )
    )
}

impl Reply {
    /// The reply as WeChat takes it in answer to `message`, and what had to be cut for that.
    ///
    /// No reply means that nothing is left to say; `success` is the answer then.
    #[must_use]
    pub fn fit(self, message: &Message<'_>) -> (Option<Self>, Option<Cut>) {
        if !can_be_answered(&message.content) {
            return (None, Some(Cut::NotAnswerable));
        }
        if self == Self::TransferBizAiIvr && message.event().is_some() {
            return (None, Some(Cut::MessagesOnly));
        }
        if let Some(element) = self.empty_element() {
            return (None, Some(Cut::Empty(element)));
        }
        match self {
            Self::Text { content } => fit_text(content),
            Self::News { articles } => fit_articles(articles, max_articles(&message.content)),
            other => (Some(other), None),
        }
    }

    /// The required element that has nothing in it, if there is one.
    fn empty_element(&self) -> Option<&'static str> {
        let (name, text) = match self {
            Self::Text { content } => ("Content", content),
            Self::Image { media_id } | Self::Voice { media_id } | Self::Video { media_id, .. } => {
                ("MediaId", media_id)
            }
            Self::Music { thumb_media_id, .. } => ("ThumbMediaId", thumb_media_id),
            Self::News { articles } => {
                let is_empty = |article: &Article| is_blank(&article.title) || is_blank(&article.url);
                return articles.iter().all(is_empty).then_some("Articles");
            }
            Self::TransferCustomerService { .. } | Self::TransferBizAiIvr => return None,
        };
        is_blank(text).then_some(name)
    }
}

/// Whether nothing of `text` would be seen.
fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || is_forbidden(c))
}

fn fit_text(mut content: String) -> (Option<Reply>, Option<Cut>) {
    let given = content.len();
    // What does not begin with a piece begins with a link that is too long by itself.
    let kept = split_text(&content, MAX_TEXT_BYTES).next().map_or(0, str::len);
    content.truncate(kept);
    let cut = (kept < given).then_some(Cut::Text { given, kept });
    ((kept > 0).then_some(Reply::Text { content }), cut)
}

/// An article without a title or a link goes: WeChat refuses the whole reply for one.
fn fit_articles(mut articles: Vec<Article>, max: usize) -> (Option<Reply>, Option<Cut>) {
    let given = articles.len();
    articles.retain(|article| !is_blank(&article.title) && !is_blank(&article.url));
    articles.truncate(max);
    let kept = articles.len();
    (Some(Reply::News { articles }), (kept < given).then_some(Cut::Articles { given, kept }))
}

/// Splits `text` into a head of at most `max` bytes and the rest; the head is as long as it may be.
///
/// The cut falls between two characters and not into a link `<a …>…</a>`: that goes to the rest as a whole. Only
/// where a link at the very beginning is longer than `max`, its text is cut, and where even its tag is, the head is
/// empty: who cuts again and again has to stop there.
#[must_use]
pub fn cut_text(text: &str, max: usize) -> (&str, &str) {
    if text.len() <= max {
        return (text, "");
    }
    let end = char_boundary_up_to(text, max);
    let end = match link_across(text, end) {
        Some(link) if link.element.start > 0 || link.tag_end > end => link.element.start,
        // Nor into its `</a>`.
        Some(link) => end.min((link.element.end - "</a>".len()).max(link.tag_end)),
        None => end,
    };
    text.split_at_checked(end).unwrap_or(("", text))
}

/// The pieces of `text`, each of at most `max` bytes: what one reply cannot hold, several can.
///
/// A piece ends behind a line break if there is one in its last half; else as [`cut_text`] says. Together they are the
/// text. They end where a link begins whose tag alone is longer than `max`: nobody could send it.
pub fn split_text(text: &str, max: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (longest, _) = cut_text(rest, max);
        let (piece, behind) = rest.split_at(end_of_lines(rest, longest.len()));
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Where the piece ends best that ends at `end` at the latest.
fn end_of_lines(text: &str, end: usize) -> usize {
    if end == text.len() {
        return end;
    }
    let breaks = text[..end].rmatch_indices('\n').map(|(at, _)| at + 1);
    breaks.take_while(|at| *at > end / 2).find(|at| link_across(text, *at).is_none()).unwrap_or(end)
}

/// A link in a text, in bytes.
struct Link {
    /// From `<a` to behind `</a>`.
    element: Range<usize>,
    /// Behind the first `>`.
    tag_end: usize,
}

/// The link that begins before `cut` and ends behind it.
fn link_across(text: &str, cut: usize) -> Option<Link> {
    let mut from = 0;
    while let Some(link) = next_link(text, from).filter(|link| link.element.start < cut) {
        if link.element.end > cut {
            return Some(link);
        }
        from = link.element.end;
    }
    None
}

/// The first link at or behind `from`. A tag without `</a>` counts by itself, `<a` without `>` is mere text.
fn next_link(text: &str, from: usize) -> Option<Link> {
    let rest = text.get(from..)?;
    let start = from + rest.match_indices("<a").map(|(at, _)| at).find(|at| is_tag(rest, *at))?;
    let tag_end = start + text.get(start..)?.find('>')? + 1;
    let end = text.get(tag_end..)?.find("</a>").map_or(tag_end, |at| tag_end + at + "</a>".len());
    Some(Link { element: start..end, tag_end })
}

/// `<a` at `at` is followed by white space, so it is no `<abc>`.
fn is_tag(text: &str, at: usize) -> bool {
    text.as_bytes().get(at + "<a".len()).is_some_and(u8::is_ascii_whitespace)
}

fn char_boundary_up_to(text: &str, max: usize) -> usize {
    (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::reply::Article;
    use super::super::xml;
    use super::*;

    const LINK: &str = r#"<a href="https://example.com/?a=1&b=2">text</a>"#;

    /// Fits `reply` to a push whose kind and fields are `inner`.
    fn fit(reply: Reply, inner: &str) -> (Option<Reply>, Option<Cut>) {
        let body = format!(
            "<xml><ToUserName>a</ToUserName><FromUserName>b</FromUserName><CreateTime>1</CreateTime>{inner}</xml>"
        );
        let root = xml::parse(body.as_bytes()).unwrap();
        reply.fit(&Message::from_xml(&root).unwrap())
    }

    fn to_text(reply: Reply) -> (Option<Reply>, Option<Cut>) {
        fit(reply, "<MsgType>text</MsgType>")
    }

    fn to_event(reply: Reply, event: &str) -> (Option<Reply>, Option<Cut>) {
        fit(reply, &format!("<MsgType>event</MsgType><Event>{event}</Event>"))
    }

    fn news(articles: usize) -> Reply {
        let article = Article { title: "t".to_owned(), url: "u".to_owned(), ..Article::default() };
        Reply::News { articles: vec![article; articles] }
    }

    #[test]
    fn a_text_of_2047_bytes_passes_and_one_more_is_cut() {
        for (given, kept) in [(2046, 2046), (2047, 2047), (2048, 2047), (2049, 2047)] {
            let (reply, cut) = to_text(Reply::text("a".repeat(given)));
            assert_eq!(reply, Some(Reply::text("a".repeat(kept))));
            assert_eq!(cut, (given > kept).then_some(Cut::Text { given, kept }));
        }
    }

    #[test]
    fn a_character_is_never_cut() {
        let (reply, cut) = to_text(Reply::text("你".repeat(700)));
        assert_eq!(reply, Some(Reply::text("你".repeat(682))));
        assert_eq!(cut, Some(Cut::Text { given: 2100, kept: 2046 }));
        assert_eq!(cut_text("😀😀", 7), ("😀", "😀"));
        assert_eq!(cut_text("😀", 3), ("", "😀"));
    }

    #[test]
    fn a_link_that_does_not_fit_goes_to_the_rest() {
        let text = format!("see {LINK} there");
        for max in 5..4 + LINK.len() {
            assert_eq!(cut_text(&text, max), ("see ", &text[4..]), "{max}");
        }
        assert_eq!(cut_text(&text, 4), ("see ", &text[4..]));
        assert_eq!(cut_text(&text, 4 + LINK.len()), (&text[..4 + LINK.len()], " there"));
        let twice = format!("{LINK}{LINK}");
        assert_eq!(cut_text(&twice, LINK.len() + 1), (LINK, LINK));
    }

    #[test]
    fn a_link_longer_than_the_limit_loses_text_but_not_its_tag() {
        let tag = LINK.find('>').unwrap() + 1;
        assert_eq!(cut_text(LINK, tag + 2), (&LINK[..tag + 2], "xt</a>"));
        assert_eq!(cut_text(LINK, tag - 1), ("", LINK));
    }

    #[test]
    fn what_only_looks_like_a_link_is_cut_as_text() {
        assert_eq!(cut_text("1 <a 2 and so on", 6), ("1 <a 2", " and so on"));
        assert_eq!(cut_text("<abc>def", 3), ("<ab", "c>def"));
        assert_eq!(cut_text("x<a b>no end", 8), ("x<a b>no", " end"));
        assert_eq!(cut_text("x<a b>no end", 4), ("x", "<a b>no end"));
        assert_eq!(cut_text("ab<a", 3), ("ab<", "a"));
    }

    #[test]
    fn an_article_without_a_title_or_a_link_is_left_out() {
        let Reply::News { mut articles } = news(3) else { panic!("news") };
        articles[0].title = " ".to_owned();
        articles[1].url.clear();
        let kept = Reply::News { articles: articles[2..].to_vec() };
        let reply = Reply::News { articles };
        assert_eq!(to_text(reply.clone()), (Some(kept), Some(Cut::Articles { given: 3, kept: 1 })));
        let Reply::News { articles } = reply else { panic!("news") };
        let none = Reply::News { articles: articles[..2].to_vec() };
        assert_eq!(to_text(none), (None, Some(Cut::Empty("Articles"))));
    }

    #[test]
    fn a_message_gets_one_article_and_an_event_eight() {
        for (given, kept) in [(1, 1), (8, 1), (9, 1)] {
            let cut = (given > kept).then_some(Cut::Articles { given, kept });
            assert_eq!(to_text(news(given)), (Some(news(kept)), cut));
        }
        for (given, kept) in [(1, 1), (8, 8), (9, 8)] {
            let cut = (given > kept).then_some(Cut::Articles { given, kept });
            assert_eq!(to_event(news(given), "CLICK"), (Some(news(kept)), cut));
        }
    }

    #[test]
    fn a_reply_with_nothing_in_it_is_left_out() {
        let none = String::new;
        let music = Reply::Music {
            title: "t".into(),
            description: none(),
            music_url: "u".into(),
            hq_music_url: none(),
            thumb_media_id: none(),
        };
        for (reply, element) in [
            (Reply::text(""), "Content"),
            (Reply::text(" \n\x01"), "Content"),
            (Reply::Image { media_id: none() }, "MediaId"),
            (Reply::Voice { media_id: none() }, "MediaId"),
            (Reply::Video { media_id: none(), title: "t".into(), description: none() }, "MediaId"),
            (music, "ThumbMediaId"),
            (news(0), "Articles"),
        ] {
            assert_eq!(to_text(reply), (None, Some(Cut::Empty(element))));
        }
    }

    #[test]
    fn events_that_nobody_looks_at_are_not_answered() {
        for event in ["VIEW", "view_miniprogram", "unsubscribe", "MASSSENDJOBFINISH", "annual_renew"] {
            assert_eq!(to_event(Reply::text("a"), event), (None, Some(Cut::NotAnswerable)), "{event}");
        }
        for event in ["subscribe", "SCAN", "CLICK", "scancode_waitmsg", "LOCATION", "something_new"] {
            assert_eq!(to_event(Reply::text("a"), event), (Some(Reply::text("a")), None), "{event}");
        }
    }

    #[test]
    fn the_platforms_ai_answers_messages_only() {
        assert_eq!(to_text(Reply::TransferBizAiIvr), (Some(Reply::TransferBizAiIvr), None));
        assert_eq!(to_event(Reply::TransferBizAiIvr, "CLICK"), (None, Some(Cut::MessagesOnly)));
    }

    #[test]
    fn pieces_end_with_lines_where_there_are_lines() {
        let pieces = |text, max| split_text(text, max).collect::<Vec<_>>();
        assert_eq!(pieces("one two\nthree\nfour", 16), ["one two\nthree\n", "four"]);
        assert_eq!(pieces("one two\nthree\nfour", 10), ["one two\n", "three\nfour"]);
        // A short line at the beginning is not worth a piece of its own.
        assert_eq!(pieces("1\nabcdefghij", 8), ["1\nabcdef", "ghij"]);
        assert_eq!(pieces("你好\n你好", 7), ["你好\n", "你好"]);
        assert_eq!(pieces("short\n", 6), ["short\n"]);
        assert_eq!(pieces("", 6), [] as [&str; 0]);
        let link = "<a href=\"u\">a\nb</a>";
        let text = format!("text\n{link} and more");
        assert_eq!(pieces(&text, 5 + link.len()), [&text[..5 + link.len()], " and more"]);
        assert_eq!(pieces(&text, 18), ["text\n", &link[..15], "</a> and more"]);
    }

    #[test]
    fn the_first_piece_is_sent() {
        let lines = "12345678\n".repeat(300);
        let (reply, cut) = to_text(Reply::text(lines.as_str()));
        assert_eq!(reply, Some(Reply::text(&lines[..2043])));
        assert_eq!(cut, Some(Cut::Text { given: 2700, kept: 2043 }));
    }

    proptest! {
        #[test]
        fn pieces_lose_nothing_but_what_cannot_be_sent(
            parts in prop::collection::vec(prop::sample::select(vec!["<a ", "<a", ">", "</a>", "你", "b", "\n", LINK]), 0..20),
            max in 0_usize..100,
        ) {
            let text = parts.concat();
            let pieces: Vec<_> = split_text(&text, max).collect();
            prop_assert!(pieces.iter().all(|piece| (1..=max).contains(&piece.len())));
            let sent = pieces.concat();
            prop_assert!(text.starts_with(&sent));
            prop_assert_eq!(cut_text(&text[sent.len()..], max).0, "");
        }

        #[test]
        fn a_cut_loses_nothing_and_keeps_the_limit(
            pieces in prop::collection::vec(prop::sample::select(vec!["<a ", "<a", ">", "</a>", "你", "b", LINK]), 0..20),
            max in 0_usize..100,
        ) {
            let text = pieces.concat();
            let (head, rest) = cut_text(&text, max);
            prop_assert_eq!(format!("{head}{rest}"), text.as_str());
            prop_assert!(head.len() <= max);
        }
    }
}
