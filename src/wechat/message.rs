//! What the user sent: the ordinary messages (接收普通消息), and the frame that they share with the events.
//!
//! Source: <https://developers.weixin.qq.com/doc/offiaccount/en/Message_Management/Receiving_standard_messages.html>

use super::event::{Device, Event};
use super::field::kinds;
use super::xml::Element;

/// One push of WeChat, message or event: a view that borrows everything from the [`Element`] it was read from.
#[derive(Debug, Clone)]
pub struct Message<'m> {
    /// The account, by its original id (原始ID, `gh_…`).
    pub to_user: &'m str,
    /// The user's openid. In reports it can be an account of WeChat's own.
    pub from_user: &'m str,
    /// When it was sent, in Unix seconds.
    pub create_time: u64,
    /// What WeChat repeats the message under. Events have none, except reports: there it is the id of what was sent.
    pub msg_id: Option<u64>,
    /// The data id of the article from whose page the message was sent.
    pub msg_data_id: Option<&'m str>,
    /// Which article of several it was, from 1.
    pub idx: Option<u64>,
    /// The merchant, where several share one customer service (客服子商户).
    pub business_id: Option<&'m str>,
    /// The kind on the wire: `event`, or one of [`KNOWN_TYPES`], or something new.
    pub msg_type: &'m str,
    /// What there is to it, by kind.
    pub content: Content<'m>,
    fields: &'m Element<'m>,
}

/// The elements that every kind of message may have.
const FRAME: [&str; 10] = [
    "ToUserName",
    "FromUserName",
    "CreateTime",
    "MsgType",
    "Event",
    "MsgId",
    "MsgID",
    "MsgDataId",
    "Idx",
    "BusinessId",
];

/// Why a document is no message. Names the element; its value may be anybody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// An element that every message has is absent or empty.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// An element that every message has cannot be read.
    #[error("`{0}` is not a whole number")]
    NotANumber(&'static str),
}

impl<'m> Message<'m> {
    /// Reads the frame and the content of a document. Kinds, events and fields that are not known are no error.
    ///
    /// # Errors
    ///
    /// [`MessageError`] if `ToUserName`, `FromUserName`, `MsgType` or `CreateTime` is missing, or if the last is not
    /// a number.
    pub fn from_xml(fields: &'m Element<'m>) -> Result<Self, MessageError> {
        let required = |name| fields.child_text(name).ok_or(MessageError::Missing(name));
        let number = |name| fields.child_text(name)?.parse().ok();
        let msg_type = required("MsgType")?;
        Ok(Self {
            to_user: required("ToUserName")?,
            from_user: required("FromUserName")?,
            create_time: required("CreateTime")?
                .parse()
                .map_err(|_| MessageError::NotANumber("CreateTime"))?,
            // Reports write the D large.
            msg_id: number("MsgId").or_else(|| number("MsgID")),
            msg_data_id: fields.child_text("MsgDataId"),
            idx: number("Idx"),
            business_id: fields.child_text("BusinessId"),
            msg_type,
            content: Content::of_kind(msg_type, fields),
            fields,
        })
    }

    /// The whole document, for what [`Content`] does not name.
    #[must_use]
    pub fn fields(&self) -> &'m Element<'m> {
        self.fields
    }

    /// The elements of a document that are known to have a meaning, whatever its kind; some come more than once.
    #[must_use]
    pub fn known_elements() -> Vec<&'static str> {
        let mut elements = FRAME.to_vec();
        Content::each_path(&mut |path| elements.extend(path.split('/').next()));
        elements
    }

    /// The event, if it is one.
    #[must_use]
    pub fn event(&self) -> Option<&Event<'m>> {
        match &self.content {
            Content::Event(event) => Some(event),
            _ => None,
        }
    }
}

kinds! {
    /// What a message says, by its kind.
    pub enum Content<'m>;

    /// The kinds of messages in [`Content`], as `MsgType` names them.
    pub const KNOWN_TYPES;

    /// Written text. Stickers and other things without a kind of their own come as a text that says so.
    "text" => Text {
        /// Word for word, with the white space that the user wrote.
        content: &'m str = "Content",
        /// The item that the user clicked in a menu message (菜单消息); `content` is its text.
        bizmsgmenuid: Option<&'m str> = "bizmsgmenuid",
    };
    /// A picture.
    "image" => Image {
        /// Where it can be fetched by anybody.
        pic_url: Option<&'m str> = "PicUrl",
        /// Good for three days; can be used in replies.
        media_id: Option<&'m str> = "MediaId",
    };
    /// A spoken message.
    "voice" => Voice {
        /// Good for three days; can be used in replies.
        media_id: Option<&'m str> = "MediaId",
        /// `amr` or `speex`.
        format: Option<&'m str> = "Format",
        /// What was understood; empty since WeChat gave the recognition up in 2023.
        recognition: &'m str = "Recognition",
        /// The same with 16 kHz.
        media_id_16k: Option<&'m str> = "MediaId16K",
    };
    /// A film.
    "video" => Video {
        /// Good for three days; can be used in replies.
        media_id: Option<&'m str> = "MediaId",
        /// Its picture.
        thumb_media_id: Option<&'m str> = "ThumbMediaId",
    };
    /// A film that was recorded on the spot (小视频).
    "shortvideo" => ShortVideo {
        /// Good for three days; can be used in replies.
        media_id: Option<&'m str> = "MediaId",
        /// Its picture.
        thumb_media_id: Option<&'m str> = "ThumbMediaId",
    };
    /// A place, chosen by the user.
    "location" => Location {
        /// Latitude in degrees, north is positive.
        latitude: Option<f64> = "Location_X",
        /// Longitude in degrees, east is positive.
        longitude: Option<f64> = "Location_Y",
        /// The map's zoom.
        scale: Option<u64> = "Scale",
        /// The address.
        label: Option<&'m str> = "Label",
        /// The name of the place; some clients only.
        poiname: Option<&'m str> = "Poiname",
    };
    /// A link.
    "link" => Link {
        /// Its title.
        title: Option<&'m str> = "Title",
        /// Its description.
        description: Option<&'m str> = "Description",
        /// Where it goes.
        url: Option<&'m str> = "Url",
    };
    /// A file. There is no published way to fetch it.
    "file" => File {
        /// Its name.
        title: Option<&'m str> = "Title",
        /// Its description.
        description: Option<&'m str> = "Description",
        /// WeChat's name of it.
        file_key: Option<&'m str> = "FileKey",
        /// MD5 in hex.
        file_md5: Option<&'m str> = "FileMd5",
        /// Bytes.
        file_total_len: Option<u64> = "FileTotalLen",
    };
    /// A card of a mini-program (小程序卡片).
    "miniprogrampage" => MiniProgramPage {
        /// Its title.
        title: Option<&'m str> = "Title",
        /// The mini-program.
        app_id: Option<&'m str> = "AppId",
        /// The path of the page.
        page_path: Option<&'m str> = "PagePath",
        /// Its picture, for anybody.
        thumb_url: Option<&'m str> = "ThumbUrl",
        /// Its picture, good for three days.
        thumb_media_id: Option<&'m str> = "ThumbMediaId",
    };
    /// From a device of the account (retired).
    "hardware" => Hardware(Device<'m>);
    /// A device of the account said something (retired).
    "device_text" => DeviceText(Device<'m>);
    /// A device of the account was bound or set free (retired).
    "device_event" => DeviceEvent(Device<'m>);
    /// Not a message: something happened.
    "event" => Event(Event<'m>);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use proptest::prelude::*;

    use super::super::event::KNOWN_EVENTS;
    use super::super::xml;
    use super::*;

    const FRAME: &str =
        "<ToUserName>gh_1</ToUserName><FromUserName>o1</FromUserName><CreateTime>7</CreateTime>";

    fn with_message(inner: &str, check: impl FnOnce(Result<Message<'_>, MessageError>)) {
        let body = format!("<xml>{inner}</xml>");
        check(Message::from_xml(&xml::parse(body.as_bytes()).unwrap()));
    }

    /// The documents of `tests/data/{folder}` by their file names without `.xml`.
    fn golden(folder: &str) -> BTreeMap<String, String> {
        let path = format!("{}/tests/data/{folder}", env!("CARGO_MANIFEST_DIR"));
        let files = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        files
            .map(|path| {
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                (name, fs::read_to_string(&path).unwrap())
            })
            .collect()
    }

    fn with_golden(path: &str, check: impl FnOnce(Message<'_>)) {
        let (folder, name) = path.split_once('/').unwrap();
        let document = &golden(folder)[name];
        check(Message::from_xml(&xml::parse(document.as_bytes()).unwrap()).unwrap());
    }

    /// A file `subscribe.payment.xml` is a further sample of `subscribe`.
    fn kind(file: &str) -> &str {
        file.split_once('.').map_or(file, |(kind, _)| kind)
    }

    #[test]
    fn every_kind_of_message_has_a_sample_that_reads_as_it() {
        let samples = golden("messages");
        assert_eq!(samples.len(), 15);
        for (file, document) in &samples {
            let root = xml::parse(document.as_bytes()).unwrap();
            let message = Message::from_xml(&root).unwrap();
            assert_eq!(message.content.name(), kind(file));
            assert!(!matches!(message.content, Content::Unknown { .. }), "{file}");
        }
        for known in KNOWN_TYPES.iter().filter(|known| **known != "event") {
            assert!(samples.contains_key(*known), "{known}");
        }
    }

    #[test]
    fn every_event_has_a_sample_that_reads_as_it() {
        let samples = golden("events");
        assert_eq!(samples.len(), 78);
        for (file, document) in &samples {
            let root = xml::parse(document.as_bytes()).unwrap();
            let message = Message::from_xml(&root).unwrap();
            let event = message.event().unwrap();
            assert!(!matches!(event, Event::Unknown { .. }), "{file}");
            let name = if file == "FREEPUBLISHJOBFINISH" { "PUBLISHJOBFINISH" } else { kind(file) };
            assert_eq!(event.name(), name);
        }
        for known in KNOWN_EVENTS {
            assert!(samples.contains_key(*known), "{known}");
        }
    }

    /// All that a typed message says, without `fields`.
    fn typed(root: &Element<'_>) -> String {
        match Message::from_xml(root) {
            Ok(Message { fields: _, to_user, from_user, create_time, msg_id, .. }) => {
                let m = Message::from_xml(root).unwrap();
                format!(
                    "{to_user} {from_user} {create_time} {msg_id:?} {:?} {:?} {:?} {} {:?}",
                    m.msg_data_id, m.idx, m.business_id, m.msg_type, m.content
                )
            }
            Err(error) => error.to_string(),
        }
    }

    /// All copies of `root` in which one text is empty, with the name of the element it was taken from.
    fn with_one_text_less<'a>(root: &Element<'a>) -> Vec<(&'a str, Element<'a>)> {
        let mut less = Vec::new();
        if root.children.is_empty() && !root.trimmed().is_empty() {
            less.push((root.name, Element { text: "".into(), ..root.clone() }));
        }
        for (at, child) in root.children.iter().enumerate() {
            for (name, changed) in with_one_text_less(child) {
                let mut copy = root.clone();
                copy.children[at] = changed;
                less.push((name, copy));
            }
        }
        less
    }

    #[test]
    fn every_value_of_every_sample_is_reachable_by_its_type() {
        let mut values = 0;
        for folder in ["messages", "events"] {
            for (file, document) in golden(folder) {
                let root = xml::parse(document.as_bytes()).unwrap();
                for (name, less) in with_one_text_less(&root) {
                    assert_ne!(typed(&less), typed(&root), "{folder}/{file}: `{name}` makes no difference");
                    values += 1;
                }
            }
        }
        assert!(values > 600, "{values}");
    }

    #[test]
    fn a_text_is_read_with_its_whole_frame() {
        with_golden("messages/text", |m| {
            assert_eq!((m.to_user, m.from_user), ("gh_0123456789ab", "oABCD1234567890abcdefghijkl"));
            assert_eq!(
                (m.create_time, m.msg_id, m.msg_type),
                (1_348_831_860, Some(1_234_567_890_123_456), "text")
            );
            assert_eq!((m.msg_data_id, m.idx, m.business_id), (Some("xxxx"), Some(1), None));
            assert_eq!(m.content, Content::Text { content: "this is a test", bizmsgmenuid: None });
            assert_eq!(m.fields().child_text("MsgDataId"), Some("xxxx"));
        });
        with_golden("messages/text.menu", |m| {
            let Content::Text { bizmsgmenuid, .. } = m.content else { panic!() };
            assert_eq!(bizmsgmenuid, Some("101"));
        });
    }

    #[test]
    fn x_is_the_latitude_and_y_the_longitude() {
        with_golden("messages/location", |m| {
            let Content::Location { latitude, longitude, scale, label, .. } = m.content else { panic!() };
            assert_eq!((latitude, longitude), (Some(23.134_521), Some(113.358_803)));
            assert_eq!((scale, label), (Some(20), Some("位置信息")));
        });
    }

    #[test]
    fn a_follow_through_a_qr_code_has_scene_and_ticket() {
        with_golden("events/subscribe.qrcode", |m| {
            let Content::Event(event) = &m.content else { panic!() };
            assert_eq!((event.event_key(), event.scene()), (Some("qrscene_123123"), Some("123123")));
            let Event::Subscribe { ticket, .. } = event else { panic!() };
            assert!(ticket.unwrap().starts_with("gQH47jo"));
        });
        with_golden("events/subscribe", |m| {
            assert_eq!(m.event(), Some(&Event::Subscribe { event_key: None, ticket: None }));
            assert_eq!(m.msg_id, None);
        });
    }

    #[test]
    fn pictures_are_found_in_one_list_and_in_many() {
        for file in ["events/pic_weixin.items", "events/pic_weixin.lists"] {
            with_golden(file, |m| {
                let Some(Event::PicWeixin(sent)) = m.event() else { panic!() };
                assert_eq!((sent.event_key, sent.count), (Some("6"), Some(2)));
                assert_eq!(
                    sent.md5_sums,
                    ["5a75aaca956d97be686719218f275c6b", "1b5f7c23b5bf75682a53e7b6d163e185"],
                    "{file}"
                );
            });
        }
    }

    #[test]
    fn the_report_of_a_mass_message_is_read_to_the_last_item() {
        with_golden("events/MASSSENDJOBFINISH", |m| {
            assert_eq!(m.msg_id, Some(1_000_001_625));
            let Some(Event::MassSendJobFinish {
                status,
                copyright_checks,
                article_urls,
                copyright_check_state,
                ..
            }) = m.event()
            else {
                panic!()
            };
            assert_eq!((*status, *copyright_check_state), (Some("err(30003)"), Some(2)));
            let indices: Vec<_> = copyright_checks.iter().map(|check| check.article_idx).collect();
            assert_eq!(indices, [Some(1), Some(2)]);
            assert_eq!(copyright_checks[1].original_article_url, Some("Url_2"));
            assert_eq!(copyright_checks[0].can_reprint, Some(true));
            assert_eq!(article_urls[0].article_url, Some("Url"));
        });
    }

    #[test]
    fn a_failed_publication_names_every_article_at_fault() {
        for file in ["events/PUBLISHJOBFINISH", "events/FREEPUBLISHJOBFINISH"] {
            with_golden(file, |m| {
                let Some(Event::PublishJobFinish { publish_id, articles, fail_idx, .. }) = m.event() else {
                    panic!()
                };
                assert_eq!((*publish_id, fail_idx.as_slice()), (Some("2247503051"), &[1, 2][..]));
                assert_eq!((articles[0].idx, articles[0].article_url), (Some(1), Some("ARTICLE_URL")));
            });
        }
    }

    #[test]
    fn each_choice_about_notices_is_kept() {
        with_golden("events/subscribe_msg_popup_event", |m| {
            let Some(Event::SubscribeMsgPopup { list }) = m.event() else { panic!() };
            let choices: Vec<_> = list.iter().map(|choice| (choice.status, choice.popup_scene)).collect();
            assert_eq!(choices, [(Some("accept"), Some(2)), (Some("reject"), Some(2))]);
        });
    }

    #[test]
    fn beacons_have_distances_in_metres() {
        with_golden("events/ShakearoundUserShake", |m| {
            let Some(Event::ShakearoundUserShake { chosen_beacon, around_beacons }) = m.event() else {
                panic!()
            };
            assert_eq!(chosen_beacon.as_ref().unwrap().distance, Some(0.057));
            assert_eq!(
                around_beacons.iter().map(|b| b.minor).collect::<Vec<_>>(),
                [Some(10002), Some(10003)]
            );
        });
    }

    #[test]
    fn what_the_user_wrote_is_not_trimmed() {
        with_message(&format!("{FRAME}<MsgType> text </MsgType><Content><![CDATA[ a\n]]></Content>"), |m| {
            assert_eq!(m.unwrap().content, Content::Text { content: " a\n", bizmsgmenuid: None });
        });
    }

    #[test]
    fn an_unknown_kind_keeps_everything() {
        with_message(&format!("{FRAME}<MsgType>sticker</MsgType><Glue>strong</Glue>"), |m| {
            let m = m.unwrap();
            assert_eq!(m.content, Content::Unknown { name: "sticker" });
            assert_eq!(m.fields().child_text("Glue"), Some("strong"));
        });
        with_message(&format!("{FRAME}<MsgType>event</MsgType><Event>moon_landing</Event>"), |m| {
            assert_eq!(m.unwrap().event(), Some(&Event::Unknown { name: "moon_landing" }));
        });
    }

    #[test]
    fn a_missing_part_of_the_frame_is_named() {
        let parts = ["ToUserName", "FromUserName", "CreateTime", "MsgType"];
        for missing in parts {
            for empty in ["", "<X/>", &format!("<{missing}> </{missing}>")] {
                let rest =
                    parts.iter().filter(|part| **part != missing).map(|part| format!("<{part}>1</{part}>"));
                with_message(&(rest.collect::<String>() + empty), |m| {
                    assert_eq!(m.unwrap_err(), MessageError::Missing(missing));
                });
            }
        }
    }

    #[test]
    fn a_bad_time_is_an_error_and_another_bad_number_is_absent() {
        for bad in ["-1", "now", "1.5", "99999999999999999999"] {
            let frame = FRAME.replace('7', bad);
            with_message(&format!("{frame}<MsgType>text</MsgType>"), |m| {
                assert_eq!(m.unwrap_err(), MessageError::NotANumber("CreateTime"), "{bad}");
            });
            with_message(
                &format!("{FRAME}<MsgType>text</MsgType><MsgId>{bad}</MsgId><Idx>{bad}</Idx>"),
                |m| {
                    let m = m.unwrap();
                    assert_eq!((m.msg_id, m.idx), (None, None), "{bad}");
                },
            );
        }
    }

    #[test]
    fn an_id_of_64_bits_is_read_whole() {
        for name in ["MsgId", "MsgID"] {
            with_message(
                &format!("{FRAME}<MsgType>text</MsgType><{name}>18446744073709551615</{name}>"),
                |m| {
                    assert_eq!(m.unwrap().msg_id, Some(u64::MAX));
                },
            );
        }
    }

    proptest! {
        #[test]
        fn no_fields_make_us_panic(kind in "[a-z_]{1,12}", name in "[A-Za-z_]{1,20}", text in "\\PC{0,30}") {
            let mut body = format!("{FRAME}<MsgType>{kind}</MsgType><{name}>");
            xml::push_cdata(&mut body, &text);
            with_message(&format!("{body}</{name}>"), |m| drop(m.map(|m| format!("{m:?}"))));
        }
    }

    #[test]
    fn the_known_elements_are_those_of_all_kinds_and_of_the_frame() {
        let known = Message::known_elements();
        for element in ["FromUserName", "Content", "PicUrl", "EventKey", "Ticket", "Latitude", "SendPicsInfo"]
        {
            assert!(known.contains(&element), "{element}");
        }
        assert!(!known.contains(&"Glue") && !known.iter().any(|element| element.contains('/')));
    }
}
