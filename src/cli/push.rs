//! The other side: WeChat, as it sends messages and reads replies.

use std::fmt::Write as _;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::Failure;
use super::sign::{Proof, Sealed, percent_encode};
use crate::clock::unix_seconds;
use crate::config::AccountSettings;
use crate::http::Params;
use crate::rules::snake_case;
use crate::secret::Secret;
use crate::wechat::crypto::{AesKey, open_envelope};
use crate::wechat::limits::MAX_TEXT_BYTES;
use crate::wechat::message::Message;
use crate::wechat::mode::{AcceptedMode, Mode};
use crate::wechat::reply::Reply;
use crate::wechat::signature::verify_msg_signature;
use crate::wechat::xml::{self, Element, push_cdata};

/// A message of a user.
pub(super) struct Push {
    pub(super) openid: String,
    /// The elements beside the sender, the receiver and the time.
    pub(super) fields: Vec<(String, String)>,
}

/// The other side: who sends the message and reads the reply.
pub(super) struct WeChat {
    token: Secret,
    key: Option<(AesKey, String)>,
    openid: String,
    /// What proves it.
    pub(super) query: String,
    path: String,
    /// The message, never encrypted.
    pub(super) message: String,
    /// What is sent.
    pub(super) body: String,
    /// When it is sent.
    now: u64,
    mode: Mode,
}

/// A reply as a person reads it.
pub(super) struct Received {
    pub(super) shown: String,
    pub(super) kind: String,
    /// As a config writes it.
    pub(super) written: Value,
    /// What WeChat would refuse.
    pub(super) complaints: Vec<String>,
}

impl WeChat {
    /// WeChat, about to send `push` in `mode`; by default in the weakest that the account takes.
    pub(super) fn new(
        push: &Push,
        mode: Option<Mode>,
        account: &AccountSettings,
        now: SystemTime,
    ) -> Result<Self, Failure> {
        Self::repeating(push, now, mode, account, now)
    }

    /// The same for a message that was `created` before, with a new proof.
    pub(super) fn repeating(
        push: &Push,
        created: SystemTime,
        mode: Option<Mode>,
        account: &AccountSettings,
        now: SystemTime,
    ) -> Result<Self, Failure> {
        let mode = mode.unwrap_or(match account.mode {
            AcceptedMode::Any | AcceptedMode::Plaintext => Mode::Plaintext,
            AcceptedMode::Compatible => Mode::Compatible,
            AcceptedMode::Secure => Mode::Secure,
        });
        let now = unix_seconds(now);
        let proof = Proof { timestamp: now.to_string(), ..Proof::new()? };
        let to_user = account.original_id.as_deref().unwrap_or("gh_account");
        let open = open_message(to_user, &push.openid, &unix_seconds(created).to_string(), &push.fields);
        let message = format!("<xml>{open}</xml>");
        let mut query = proof.query(account.token.expose());
        let _ = write!(query, "&openid={}", percent_encode(&push.openid));
        let body = if mode == Mode::Plaintext {
            message.clone()
        } else {
            let sealed = proof.seal(account, &message)?;
            query.push_str(&sealed.query);
            let Sealed { encrypt, body, .. } = sealed;
            if mode == Mode::Secure { body } else { format!("<xml>{open}{encrypt}</xml>") }
        };
        Ok(Self {
            token: account.token.clone(),
            key: account.encoding_aes_key.clone().zip(account.app_id.clone()),
            openid: push.openid.clone(),
            query,
            path: account.path.clone().filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned()),
            message,
            body,
            now,
            mode,
        })
    }

    /// What `ask` makes of the message as our side reads it.
    pub(super) fn ask<T>(&self, ask: impl FnOnce(&Message<'_>) -> Option<T>) -> Option<T> {
        let root = xml::parse(self.message.as_bytes()).ok()?;
        ask(&Message::from_xml(&root).ok()?)
    }

    /// What a web server would pass on.
    pub(super) fn params(&self) -> Params {
        let mut params = Params::new();
        for (name, value) in [
            ("GATEWAY_INTERFACE", "CGI/1.1"),
            ("REQUEST_METHOD", "POST"),
            ("QUERY_STRING", &self.query),
            ("SCRIPT_NAME", &self.path),
            ("CONTENT_TYPE", "text/xml"),
            ("CONTENT_LENGTH", &self.body.len().to_string()),
            ("REMOTE_ADDR", "127.0.0.1"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
        ] {
            params.push(name.as_bytes(), value.as_bytes());
        }
        params
    }

    /// Reads a CGI document as WeChat would.
    pub(super) fn receive(&self, document: &[u8]) -> Result<Received, Failure> {
        let document = String::from_utf8_lossy(document);
        let (head, body) = document
            .split_once("\r\n\r\n")
            .ok_or_else(|| Failure::Failed("the answer is no CGI document".to_owned()))?;
        let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
        self.read(status, body)
    }

    /// Reads a response as WeChat would.
    pub(super) fn read(&self, status: &str, body: &str) -> Result<Received, Failure> {
        if !status.starts_with("200") {
            return Err(Failure::Failed(format!(
                "answered {status}; the user would see 「该公众号提供的服务出现故障」"
            )));
        }
        if matches!(body, "success" | "") {
            let shown = "(nothing; the user sees no answer)".to_owned();
            let kind = "`success`".to_owned();
            return Ok(Received { shown, kind, written: json!({ "none": true }), complaints: Vec::new() });
        }
        let failed = |error: xml::XmlError| Failure::Failed(format!("the answer is no XML: {error}"));
        let outer = xml::parse(body.as_bytes()).map_err(failed)?;
        if self.mode == Mode::Plaintext || outer.child("Encrypt").is_none() {
            let mut received = self.judge(&outer);
            if self.mode == Mode::Secure {
                received.complaints.push("in secure mode it must be encrypted".to_owned());
            }
            return Ok(received);
        }
        let message = self.open(&outer)?;
        let inner = xml::parse(message.as_bytes()).map_err(failed)?;
        let mut received = self.judge(&inner);
        received.kind.push_str(", encrypted");
        Ok(received)
    }

    fn open(&self, outer: &Element<'_>) -> Result<String, Failure> {
        let text = |name| outer.child_text(name).unwrap_or_default();
        let (encrypt, signature) = (text("Encrypt"), text("MsgSignature"));
        verify_msg_signature(self.token.expose(), text("TimeStamp"), text("Nonce"), encrypt, signature)
            .map_err(|error| Failure::Failed(format!("the reply's MsgSignature: {error}")))?;
        let Some((key, app_id)) = &self.key else {
            return Err(Failure::Failed("the reply is encrypted, but there is no key".to_owned()));
        };
        open_envelope(encrypt, key, app_id)
            .map_err(|error| Failure::Failed(format!("the reply cannot be opened: {error}")))
    }

    /// The reply as a phone shows it, held against WeChat's rules.
    fn judge(&self, reply: &Element<'_>) -> Received {
        let text = |name| reply.child_text(name).unwrap_or_default();
        let mut complaints = Vec::new();
        if text("ToUserName") != self.openid {
            complaints.push("ToUserName is not the sender".to_owned());
        }
        let created: u64 = text("CreateTime").parse().unwrap_or(0);
        if self.now.abs_diff(created) > 60 {
            complaints.push("CreateTime is not now".to_owned());
        }
        let content = reply.child("Content").map(|content| content.text.as_ref()).unwrap_or_default();
        if content.len() > MAX_TEXT_BYTES {
            complaints.push(format!("the text has {} bytes, more than {MAX_TEXT_BYTES}", content.len()));
        }
        let kind = text("MsgType").to_owned();
        let shown = if kind == "text" { content.to_owned() } else { format!("[{kind}]{}", outline(reply)) };
        Received { shown, kind, written: as_written(reply), complaints }
    }
}

/// The parts of a reply that is no text: one line each.
fn outline(reply: &Element<'_>) -> String {
    const KNOWN: [&str; 5] = ["ToUserName", "FromUserName", "CreateTime", "MsgType", "ArticleCount"];
    let mut lines = String::new();
    for child in reply.children.iter().filter(|child| !KNOWN.contains(&child.name)) {
        push_outline(&mut lines, child);
    }
    lines
}

fn push_outline(lines: &mut String, element: &Element<'_>) {
    if element.children.is_empty() {
        let _ = write!(lines, "\n{}: {}", element.name, element.trimmed());
    }
    for child in &element.children {
        push_outline(lines, child);
    }
}

/// A reply as a config writes it.
pub(super) fn written(reply: &Reply) -> Value {
    let xml = reply.to_xml("", "", 0);
    xml::parse(xml.as_bytes()).as_ref().map(as_written).unwrap_or_default()
}

fn as_written(reply: &Element<'_>) -> Value {
    let members = |name: &str| {
        let children = reply.child(name).map(|element| element.children.as_slice()).unwrap_or_default();
        children.iter().map(|child| (member_name(child.name), child.trimmed().into())).collect::<Map<_, _>>()
    };
    match reply.child_text("MsgType").unwrap_or_default() {
        "text" => reply.child("Content").map_or("", |content| content.text.as_ref()).into(),
        "image" => json!({ "image": members("Image") }),
        "voice" => json!({ "voice": members("Voice") }),
        "video" => json!({ "video": members("Video") }),
        "music" => json!({ "music": members("Music") }),
        "news" => {
            let items =
                reply.child("Articles").map(|articles| articles.children.as_slice()).unwrap_or_default();
            json!({ "news": items.iter().map(article).collect::<Vec<_>>() })
        }
        "transfer_customer_service" => match members("TransInfo") {
            none if none.is_empty() => json!({ "transfer": true }),
            staff => json!({ "transfer": staff }),
        },
        "transfer_biz_ai_ivr" => json!({ "transfer_ai": true }),
        other => json!({ other: true }),
    }
}

/// An article without what is empty.
fn article(item: &Element<'_>) -> Value {
    let members = item.children.iter().filter(|child| !child.trimmed().is_empty());
    members.map(|child| (member_name(child.name), child.trimmed().into())).collect::<Map<_, _>>().into()
}

/// The key of an element in a config.
fn member_name(element: &str) -> String {
    if element == "HQMusicUrl" { "hq_music_url".to_owned() } else { snake_case(element) }
}

fn open_message(to_user: &str, openid: &str, timestamp: &str, fields: &[(String, String)]) -> String {
    let mut open = String::new();
    let common = [("ToUserName", to_user), ("FromUserName", openid), ("CreateTime", timestamp)];
    let all = common.into_iter().chain(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    for (path, value) in all {
        let tags = |mark: &str| path.split('/').map(|name| format!("<{mark}{name}>")).collect::<Vec<_>>();
        open.push_str(&tags("").concat());
        push_cdata(&mut open, value);
        tags("/").iter().rev().for_each(|tag| open.push_str(tag));
    }
    open
}
