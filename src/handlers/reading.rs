//! What a program or a server answered: a text, or JSON with replies of all kinds.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Handled, HandlerError};
use crate::rules::{MediaFile, MediaKind, MediaLibrary, Output};
use crate::wechat::reply::{Article, Reply};

/// More replies to one message nobody reads.
const MAX_REPLIES: usize = 100;
/// What is told of an answer that cannot be used, characters.
const MAX_TOLD: usize = 200;

/// Makes replies of an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'r> {
    /// Where the files are that it may name; `None`: it may name none.
    pub(super) folder: Option<&'r Path>,
    pub(super) media: &'r dyn MediaLibrary,
}

impl Reader<'_> {
    /// What an answer says; nothing is `success`.
    pub(super) fn read(self, output: Output, answer: &[u8]) -> Result<Handled, HandlerError> {
        let answer = std::str::from_utf8(answer)
            .map_err(|_| HandlerError("the answer is not UTF-8".to_owned()))?
            .trim_start_matches('\u{feff}')
            .trim();
        match output {
            _ if answer.is_empty() => Ok(Handled::default()),
            Output::Text => Ok(Handled { replies: vec![Reply::text(answer)], ..Handled::default() }),
            Output::Json => self.read_json(answer),
        }
    }

    fn read_json(self, answer: &str) -> Result<Handled, HandlerError> {
        let Said { reply, session } = match answer.as_bytes().first() {
            // A list would be taken for the members in their order.
            Some(b'{') => serde_json::from_str(answer).map_err(|error| unusable(&error))?,
            _ => serde_json::from_str(answer)
                .map_err(|error| unusable(&error))
                .and_then(|other| nothing(&other))?,
        };
        let replies = match reply {
            Value::Array(list) if list.len() > MAX_REPLIES => {
                return Err(HandlerError(format!("the answer has more than {MAX_REPLIES} replies")));
            }
            Value::Array(list) => list.into_iter().map(|reply| self.reply(reply)).collect(),
            single => self.reply(single).map(|reply| vec![reply]),
        };
        Ok(Handled { replies: replies?.into_iter().flatten().collect(), session })
    }

    fn reply(self, reply: Value) -> Result<Option<Reply>, HandlerError> {
        let kind = match reply {
            Value::Null => return Ok(None),
            Value::String(text) => Kind::Text(text),
            Value::Object(kinds) if kinds.len() != 1 => {
                let message = format!("a reply of the answer has {} kinds instead of one", kinds.len());
                return Err(HandlerError(message));
            }
            other => serde_json::from_value(other).map_err(|error| unusable(&error))?,
        };
        Ok(Some(match kind {
            Kind::Text(content) => Reply::Text { content },
            Kind::Image(media) => Reply::Image { media_id: self.media_id(media, MediaKind::Image)? },
            Kind::Voice(media) => Reply::Voice { media_id: self.media_id(media, MediaKind::Voice)? },
            Kind::Video(Video { media_id, file, title, description }) => {
                let media_id = self.media_id(Media { media_id, file }, MediaKind::Video)?;
                Reply::Video { media_id, title, description }
            }
            Kind::Music(music) => {
                let thumb = music.thumb.unwrap_or(Media { media_id: music.thumb_media_id, file: None });
                Reply::Music {
                    title: music.title,
                    description: music.description,
                    music_url: music.music_url,
                    hq_music_url: music.hq_music_url,
                    thumb_media_id: self.media_id(thumb, MediaKind::Thumb)?,
                }
            }
            Kind::News(articles) if articles.is_empty() => {
                return Err(HandlerError("`news` of the answer has no article".to_owned()));
            }
            Kind::News(articles) => Reply::News { articles: articles.into_iter().map(Into::into).collect() },
            Kind::Transfer(Transfer::To { kf_account }) => {
                Reply::TransferCustomerService { kf_account: Some(kf_account) }
            }
            Kind::Transfer(Transfer::ToAny(true)) => Reply::TransferCustomerService { kf_account: None },
            Kind::TransferAi(true) => Reply::TransferBizAiIvr,
            Kind::Transfer(Transfer::ToAny(false)) | Kind::TransferAi(false) | Kind::None(true | false) => {
                return Ok(None);
            }
        }))
    }

    fn media_id(self, media: Media, kind: MediaKind) -> Result<String, HandlerError> {
        let file = match (media.media_id, media.file, self.folder) {
            (Some(media_id), None, _) if !media_id.is_empty() => return Ok(media_id),
            (None, Some(file), Some(folder)) => folder.join(file),
            (None, Some(_), None) => {
                return Err(HandlerError("a server cannot name files of this machine".to_owned()));
            }
            _ => {
                let message = format!("`{}` of the answer wants `media_id` or `file`", kind.name());
                return Err(HandlerError(message));
            }
        };
        self.media.media_id(&MediaFile { kind, path: file }).map_err(HandlerError)
    }
}

/// What is no object: only `null` can be used.
fn nothing(answer: &Value) -> Result<Said, HandlerError> {
    let message = "the answer is not the JSON that it should be: no object with `reply` or `session`";
    answer.is_null().then(Said::default).ok_or_else(|| HandlerError(message.to_owned()))
}

fn unusable(error: &serde_json::Error) -> HandlerError {
    let why: String = error.to_string().chars().take(MAX_TOLD).collect();
    HandlerError(format!("the answer is not the JSON that it should be: {why}"))
}

/// The answer as a whole; `null` is nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Said {
    reply: Value,
    session: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Text(String),
    Image(Media),
    Voice(Media),
    Video(Video),
    Music(Music),
    News(Vec<Link>),
    Transfer(Transfer),
    TransferAi(bool),
    None(bool),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Media {
    media_id: Option<String>,
    file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Video {
    media_id: Option<String>,
    file: Option<PathBuf>,
    #[serde(default)]
    title: String,
    #[serde(default)]
    description: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "they are WeChat's")]
struct Music {
    title: String,
    description: String,
    music_url: String,
    hq_music_url: String,
    thumb_media_id: Option<String>,
    thumb: Option<Media>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    title: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    pic_url: String,
    url: String,
}

impl From<Link> for Article {
    fn from(Link { title, description, pic_url, url }: Link) -> Self {
        Self { title, description, pic_url, url }
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Transfer {
    ToAny(bool),
    To { kf_account: String },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::rules::NoLibrary;

    /// Calls a file by its kind and its path.
    #[derive(Debug)]
    struct Library;

    impl MediaLibrary for Library {
        fn media_id(&self, file: &MediaFile) -> Result<String, String> {
            Ok(format!("{} {}", file.kind.name(), file.path.display()))
        }
    }

    fn read(answer: &Value) -> Result<Handled, String> {
        let reader = Reader { folder: Some(Path::new("/bot")), media: &Library };
        reader.read(Output::Json, answer.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    fn reply(reply: &Value) -> Reply {
        let mut handled = read(&json!({"reply": reply})).unwrap();
        assert_eq!(handled.replies.len(), 1, "{reply}");
        handled.replies.remove(0)
    }

    fn s(text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn all_kinds_of_replies_can_be_answered() {
        assert_eq!(reply(&json!("你好")), Reply::text("你好"));
        assert_eq!(reply(&json!({"text": " a\n"})), Reply::text(" a\n"));
        assert_eq!(reply(&json!({"image": {"media_id": "M"}})), Reply::Image { media_id: s("M") });
        assert_eq!(
            reply(&json!({"image": {"file": "cat.jpg"}})),
            Reply::Image { media_id: s("image /bot/cat.jpg") }
        );
        assert_eq!(
            reply(&json!({"voice": {"file": "/a.mp3"}})),
            Reply::Voice { media_id: s("voice /a.mp3") }
        );
        assert_eq!(
            reply(&json!({"video": {"media_id": "V", "title": "t"}})),
            Reply::Video { media_id: s("V"), title: s("t"), description: s("") }
        );
        let music = json!({"music": {"title": "t", "music_url": "u", "thumb": {"file": "c.jpg"}}});
        let (title, description, music_url, hq_music_url) = (s("t"), s(""), s("u"), s(""));
        let thumb_media_id = s("thumb /bot/c.jpg");
        assert_eq!(
            reply(&music),
            Reply::Music { title, description, music_url, hq_music_url, thumb_media_id }
        );
        let articles = vec![Article { title: s("t"), url: s("u"), pic_url: s("p"), description: s("") }];
        assert_eq!(
            reply(&json!({"news": [{"title": "t", "url": "u", "pic_url": "p"}]})),
            Reply::News { articles }
        );
        assert_eq!(reply(&json!({"transfer": true})), Reply::TransferCustomerService { kf_account: None });
        assert_eq!(
            reply(&json!({"transfer": {"kf_account": "a@b"}})),
            Reply::TransferCustomerService { kf_account: Some(s("a@b")) }
        );
        assert_eq!(reply(&json!({"transfer_ai": true})), Reply::TransferBizAiIvr);
    }

    #[test]
    fn nothing_is_success() {
        for nothing in [json!(null), json!({}), json!({"reply": null}), json!({"reply": []})] {
            assert_eq!(read(&nothing).unwrap().replies, [], "{nothing}");
        }
        assert_eq!(read(&json!({"reply": {"none": true}})).unwrap().replies, []);
        let reader = Reader { folder: None, media: &NoLibrary };
        for output in [Output::Text, Output::Json] {
            assert_eq!(reader.read(output, b" \r\n").unwrap().replies, []);
        }
    }

    #[test]
    fn an_answer_is_an_object() {
        for answer in [json!(["a"]), json!(["a", {"n": 1}]), json!([]), json!("a"), json!(5), json!(true)] {
            let told = read(&answer).unwrap_err();
            assert_eq!(
                told,
                "the answer is not the JSON that it should be: no object with `reply` or `session`"
            );
        }
    }

    #[test]
    fn several_replies_and_changes_of_the_session_come_together() {
        let handled = read(&json!({"reply": ["a", null, {"text": "b"}], "session": {"n": 1, "old": null}}));
        let handled = handled.unwrap();
        assert_eq!(handled.replies, [Reply::text("a"), Reply::text("b")]);
        assert_eq!(Value::Object(handled.session), json!({"n": 1, "old": null}));
    }

    #[test]
    fn a_text_is_taken_as_it_is() {
        let reader = Reader { folder: None, media: &NoLibrary };
        let text = reader.read(Output::Text, "\u{feff}{{ a }}\n b\n".as_bytes()).unwrap();
        assert_eq!(text.replies, [Reply::text("{{ a }}\n b")]);
        let error = reader.read(Output::Text, b"\xff").unwrap_err();
        assert_eq!(error.to_string(), "the answer is not UTF-8");
    }

    #[test]
    fn what_is_wrong_with_an_answer_is_told() {
        for (answer, told) in [
            (json!("text"), "not the JSON that it should be: no object"),
            (json!({"replay": "x"}), "unknown field `replay`, expected `reply` or `session`"),
            (json!({"reply": 7}), "not the JSON that it should be"),
            (json!({"reply": {"txt": "x"}}), "unknown variant `txt`, expected one of `text`, `image`"),
            (json!({"reply": {"text": "x", "image": {}}}), "has 2 kinds instead of one"),
            (json!({"reply": {}}), "has 0 kinds instead of one"),
            (json!({"reply": {"image": {}}}), "`image` of the answer wants `media_id` or `file`"),
            (json!({"reply": {"image": {"media_id": ""}}}), "wants `media_id` or `file`"),
            (json!({"reply": {"music": {"title": "x"}}}), "`thumb` of the answer wants"),
            (json!({"reply": {"news": []}}), "has no article"),
            (json!({"reply": {"news": [{"title": "x"}]}}), "missing field `url`"),
            (json!({"reply": vec!["x"; 101]}), "more than 100 replies"),
            (json!({"session": 7}), "invalid type"),
        ] {
            let error = read(&answer).unwrap_err();
            assert!(error.contains(told), "{answer}: {error}");
        }
        let reader = Reader { folder: None, media: &Library };
        let error =
            reader.read(Output::Json, br#"{"reply": {"image": {"file": "/etc/passwd"}}}"#).unwrap_err();
        assert_eq!(error.to_string(), "a server cannot name files of this machine");
        let long = json!({"reply": {"x".repeat(5000): 1}});
        assert!(read(&long).unwrap_err().len() < 300);
    }

    /// JSON that is nearly an answer.
    fn nearly() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,5}".prop_map(Value::from)
        ];
        let words = [
            "reply",
            "session",
            "text",
            "image",
            "voice",
            "video",
            "music",
            "news",
            "transfer",
            "transfer_ai",
            "none",
            "media_id",
            "file",
            "title",
            "url",
            "thumb",
            "kf_account",
        ];
        leaf.prop_recursive(5, 32, 4, move |inner| {
            let name = prop::sample::select(words.to_vec()).prop_map(str::to_owned);
            let object = prop::collection::vec((name, inner.clone()), 0..3);
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(Value::from),
                object.prop_map(|pairs| Value::Object(pairs.into_iter().collect()))
            ]
        })
    }

    proptest! {
        #[test]
        fn no_answer_makes_us_panic(bytes in prop::collection::vec(any::<u8>(), 0..99), nearly in nearly()) {
            let reader = Reader { folder: Some(Path::new("/bot")), media: &Library };
            for output in [Output::Text, Output::Json] {
                let _ = reader.read(output, &bytes);
            }
            if let Ok(handled) = reader.read(Output::Json, json!({"reply": nearly}).to_string().as_bytes()) {
                for reply in handled.replies {
                    let xml = reply.to_xml("oUser", "gh", 1);
                    prop_assert!(crate::wechat::reply::check_xml(&xml, "oUser", reply.msg_type()).is_ok());
                }
            }
            let _ = reader.read(Output::Json, nearly.to_string().as_bytes());
        }
    }
}
