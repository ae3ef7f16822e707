//! WeChat's side of a callback: what it signs and what it sends (signatures made here, not by the code under test).

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sha1::{Digest, Sha1};

use super::Request;

/// WeChat, as it knows one account.
#[derive(Debug, Clone)]
pub(crate) struct WeChat {
    token: String,
    timestamp: Option<u64>,
}

/// The sender of every message of [`WeChat`].
const USER: &str = "oABCD1234567890abcdefghijkl";
/// Their receiver.
const ACCOUNT: &str = "gh_0123456789ab";

impl WeChat {
    /// Shares `token` with the account, and its clock is right.
    pub(crate) fn with_token(token: &str) -> Self {
        Self { token: token.to_owned(), timestamp: None }
    }

    /// The same at another time, in Unix seconds.
    pub(crate) fn at(mut self, timestamp: u64) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// Checks the URL: a signed GET with `echostr`.
    pub(crate) fn verifies(&self, echostr: &str) -> Request {
        self.signed(Request::new("GET")).with("echostr", echostr)
    }

    /// Pushes an XML document, in plaintext mode.
    pub(crate) fn pushes(&self, xml: impl AsRef<[u8]>) -> Request {
        self.signed(Request::new("POST")).with("openid", USER).body(xml)
    }

    /// Pushes a text message.
    pub(crate) fn says(&self, text: &str) -> Request {
        self.pushes(Self::message("text", &format!("<Content><![CDATA[{text}]]></Content>")))
    }

    /// Pushes an encrypted envelope, in secure mode.
    pub(crate) fn pushes_sealed(
        &self,
        body: &str,
        timestamp: &str,
        nonce: &str,
        msg_signature: &str,
    ) -> Request {
        Request::new("POST")
            .with("signature", &sha1_of(&[&self.token, timestamp, nonce]))
            .with("timestamp", timestamp)
            .with("nonce", nonce)
            .with("openid", USER)
            .with("encrypt_type", "aes")
            .with("msg_signature", msg_signature)
            .body(body)
    }

    /// Whether the token of this account made the signature in `query`; for plain values, without percent signs.
    pub(crate) fn vouches_for(&self, query: &str) -> bool {
        let value = |name: &str| {
            let values = query.split('&').filter_map(|part| part.split_once('='));
            values.into_iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value)
        };
        value("signature") == sha1_of(&[&self.token, value("timestamp"), value("nonce")])
    }

    /// The document of an ordinary message; `fields` stand between `MsgType` and `MsgId`.
    pub(crate) fn message(kind: &str, fields: &str) -> String {
        let (now, number) = (now(), next_number());
        format!(
            "<xml><ToUserName><![CDATA[{ACCOUNT}]]></ToUserName>\n<FromUserName><![CDATA[{USER}]]></FromUserName>\n\
             <CreateTime>{now}</CreateTime>\n<MsgType><![CDATA[{kind}]]></MsgType>\n{fields}\n\
             <MsgId>{number}</MsgId>\n</xml>"
        )
    }

    /// The document of a text of this user.
    pub(crate) fn text_of(user: &str, text: &str) -> String {
        Self::message("text", &format!("<Content><![CDATA[{text}]]></Content>")).replace(USER, user)
    }

    /// The document of an event; `fields` stand behind `Event`.
    pub(crate) fn event(name: &str, fields: &str) -> String {
        format!(
            "<xml><ToUserName><![CDATA[{ACCOUNT}]]></ToUserName>\n<FromUserName><![CDATA[{USER}]]></FromUserName>\n\
             <CreateTime>{}</CreateTime>\n<MsgType><![CDATA[event]]></MsgType>\n<Event><![CDATA[{name}]]></Event>\n\
             {fields}</xml>",
            now()
        )
    }

    fn signed(&self, request: Request) -> Request {
        let timestamp = self.timestamp.unwrap_or_else(now).to_string();
        let nonce = next_number().to_string();
        request
            .with("signature", &sha1_of(&[&self.token, &timestamp, &nonce]))
            .with("timestamp", &timestamp)
            .with("nonce", &nonce)
    }
}

/// Unix seconds.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// A number that this run has not used.
fn next_number() -> u64 {
    static NUMBER: AtomicU64 = AtomicU64::new(24_300_000_000_000_001);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

fn sha1_of(parts: &[&str]) -> String {
    let mut parts = parts.to_vec();
    parts.sort_unstable();
    Sha1::digest(parts.concat()).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
