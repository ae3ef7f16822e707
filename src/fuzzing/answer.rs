//! Answers as WeChat judges them, for the properties.

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use roxmltree::{Document, Node};

use crate::account::{Account, Surroundings};
use crate::callback::{Answered, Circumstances, SUCCESS, Terms, answer};
use crate::config::{Config, Thoroughness};
use crate::http::{Params, Request, Response};
use crate::wechat::limits::MAX_TEXT_BYTES;
use crate::wechat::message::Message;
use crate::wechat::signature::sign;
use crate::wechat::xml;

pub(super) const TOKEN: &str = "mytoken";
pub(super) const APP_ID: &str = "wx1234567890abcdef";
pub(super) const AES_KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";

/// An account that says whatever it was told, in every kind of reply.
const ACCOUNT: &str = r#"
[account]
token = "mytoken"
app_id = "wx1234567890abcdef"
encoding_aes_key = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
mode = "any"
[server]
clock_skew = "off"

[[rule]]
when.regex = '^查(?<city>\S+)天气$'
reply = "{{ city }}"
[[rule]]
when.type = "image"
reply.image = { media_id = "{{ message.media_id }}" }
[[rule]]
when.type = "voice"
reply.voice = { media_id = "{{ message.media_id }}" }
[[rule]]
when.type = "video"
reply.video = { media_id = "{{ message.media_id }}", title = "{{ message.thumb_media_id }}" }
[[rule]]
when.type = "link"
reply.music = { thumb_media_id = "{{ message.title }}", title = "{{ message.description }}", music_url = "{{ message.url }}" }
[[rule]]
when.type = "location"
reply.news = [{ title = "{{ message.label }}", description = "{{ message.latitude }}", pic_url = "{{ message.poiname }}", url = "{{ message }}" }]
[[rule]]
when.type = "miniprogrampage"
reply.transfer = { kf_account = "{{ message.title }}" }
[[rule]]
when.event = ["subscribe", "SCAN"]
reply = "{{ message.event_key }} {{ message.ticket }}"
[[rule]]
when.event = "CLICK"
reply.news = [{ title = "{{ message.event_key }}", url = "{{ message.from_user }}" }, { title = "2", url = "{{ message.to_user }}" }]

[default]
reply = "{{ message.content }}{{ message.type }}"
"#;

/// The account of the properties.
pub(super) fn terms() -> &'static Arc<Terms> {
    static TERMS: OnceLock<Arc<Terms>> = OnceLock::new();
    TERMS.get_or_init(|| {
        let (config, faults) = Config::parse(ACCOUNT, "/nonexistent".as_ref(), Thoroughness::Full);
        Account::new(config.unwrap_or_else(|| panic!("{faults:?}")), Surroundings::default()).terms
    })
}

/// The answer of an account to one call.
pub(super) fn call(terms: &Arc<Terms>, method: &str, query: &[u8], body: &[u8]) -> Response {
    let mut params = Params::new();
    params.push(b"REQUEST_METHOD", method.as_bytes());
    params.push(b"QUERY_STRING", query);
    params.push(b"SCRIPT_NAME", terms.path.as_deref().unwrap_or("/weixin").as_bytes());
    let circumstances = Circumstances { now: SystemTime::now(), random: || Some([7; 16]) };
    match answer(terms, &Request::new(params, body.to_vec()), circumstances) {
        Answered::Now(response) => response,
        Answered::Later(pending) => pending.fail(),
    }
}

/// Pushes a document in the open, signed with the account's token.
pub(super) fn push(terms: &Arc<Terms>, body: &[u8]) -> Response {
    let (timestamp, nonce) = ("1700000000", "42");
    let token = terms.tokens[0].expose();
    let query = format!("signature={}&timestamp={timestamp}&nonce={nonce}", sign([token, timestamp, nonce]));
    call(terms, "POST", query.as_bytes(), body)
}

/// `success`, or a reply that a strict parser reads, addressed to whom the message came from.
#[track_caller]
pub(super) fn assert_legal(reply: &[u8], message: &Message<'_>) {
    let reply = str::from_utf8(reply).expect("text");
    if reply == SUCCESS {
        return;
    }
    let document = Document::parse(reply).unwrap_or_else(|error| panic!("{error}: {reply}"));
    let root = document.root_element();
    assert_eq!(root.tag_name().name(), "xml");
    assert_eq!(text_of(root, "ToUserName"), even(message.from_user));
    assert_eq!(text_of(root, "FromUserName"), even(message.to_user));
    assert!(text_of(root, "CreateTime").bytes().all(|digit| digit.is_ascii_digit()));
    let content = text_of(root, "Content");
    assert_eq!(content.is_empty(), text_of(root, "MsgType") != "text", "{reply}");
    assert!(content.len() <= MAX_TEXT_BYTES);
}

/// The text of the only child of this name; empty if there is none.
#[track_caller]
pub(super) fn text_of(parent: Node<'_, '_>, name: &str) -> String {
    let mut found = parent.children().filter(|child| child.has_tag_name(name));
    let text = found.next().map(|child| even(child.text().unwrap_or_default())).unwrap_or_default();
    assert!(found.next().is_none(), "`{name}` twice");
    text
}

/// `text` as a strict parser gives it back: line breaks are all alike (XML 1.0 §2.11), forbidden characters not there.
pub(super) fn even(text: &str) -> String {
    let clean: String = text.chars().filter(|&character| !xml::is_forbidden(character)).collect();
    clean.replace("\r\n", "\n").replace('\r', "\n")
}
