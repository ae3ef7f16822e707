//! What a program or a server is told of a message: as JSON, and as variables of its environment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde::Serialize;
use serde_json::Value;

use crate::rules::{Captures, Session, message_value};
use crate::wechat::message::Message;

/// A variable of more bytes is left out: stdin has all of it.
const MAX_VARIABLE: usize = 32 << 10;
/// So much all variables have together, bytes; the system takes a program's arguments and variables up to a limit.
const MAX_VARIABLES: usize = 96 << 10;

/// All that there is to tell.
#[derive(Debug, Serialize)]
pub(super) struct Question<'q> {
    message: Value,
    rule: Option<&'q str>,
    captures: BTreeMap<&'q str, &'q str>,
    session: &'q Session,
    attempt: u64,
    deadline_ms: u64,
    account: Option<&'q str>,
}

/// What a question is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'q> {
    pub(super) message: &'q Message<'q>,
    pub(super) rule: Option<&'q str>,
    pub(super) captures: &'q Captures<'q>,
    pub(super) session: &'q Session,
    pub(super) app_id: Option<&'q str>,
    pub(super) attempt: u64,
    pub(super) deadline: Instant,
}

impl<'q> Question<'q> {
    pub(super) fn new(parts: &Parts<'q>) -> Self {
        let left = parts.deadline.saturating_duration_since(Instant::now());
        Self {
            // It has texts, numbers, lists and names of texts: all of that is JSON.
            message: serde_json::to_value(message_value(parts.message)).unwrap_or_default(),
            rule: parts.rule,
            // Of several with one name the last counts.
            captures: parts.captures.iter().collect(),
            session: parts.session,
            attempt: parts.attempt,
            deadline_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            account: parts.app_id,
        }
    }

    pub(super) fn deadline_ms(&self) -> u64 {
        self.deadline_ms
    }

    pub(super) fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// `WX_CONTENT`, `WX_CAPTURE_CITY`, `WX_SESSION_STEP`: names and values. What is more than a text or a number is
    /// JSON.
    pub(super) fn variables(&self) -> Vec<(String, String)> {
        let text = |value: &str| Value::String(value.to_owned());
        let single = [
            ("RULE", self.rule.map(text)),
            ("ACCOUNT", self.account.map(text)),
            ("ATTEMPT", Some(self.attempt.into())),
            ("DEADLINE_MS", Some(self.deadline_ms.into())),
        ];
        let single = single.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let captures = self.captures.iter().map(|(name, value)| (format!("CAPTURE_{name}"), text(value)));
        let session = self.session.iter().map(|(name, value)| (format!("SESSION_{name}"), value.clone()));
        let message = self.message.as_object().into_iter().flatten();
        let message = message.map(|(name, value)| (name.clone(), value.clone()));
        let (mut room, mut names) = (MAX_VARIABLES, BTreeSet::new());
        single
            .chain(captures)
            .chain(session)
            .chain(message)
            .filter_map(|(name, value)| Some((variable_name(&name)?, variable_value(value))))
            // A field of the message is not to stand for what we say of it.
            .filter(|(name, _)| names.insert(name.clone()))
            .filter(|(name, value)| {
                let bytes = name.len() + value.len() + 16;
                let fits = bytes <= MAX_VARIABLE && bytes <= room;
                room -= if fits { bytes } else { 0 };
                fits
            })
            .collect()
    }
}

/// A name that every shell can use; `None` if it is none.
fn variable_name(name: &str) -> Option<String> {
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then(|| format!("WX_{}", name.to_ascii_uppercase()))
}

fn variable_value(value: Value) -> String {
    let text = match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    };
    // No variable can hold it.
    text.replace('\0', "")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wechat::xml;

    const XML: &str = "<xml><ToUserName>gh_1</ToUserName><FromUserName>oUser</FromUserName>\
        <CreateTime>1700000000</CreateTime><MsgType>text</MsgType><Content> 查上海天气</Content><MsgId>1</MsgId>\
        <Info><A>1</A><B>x</B></Info><Rule>forged</Rule><SessionStep>forged</SessionStep></xml>";

    /// The JSON and the variables of the question that this message is.
    fn asked(xml: &str, session: &Value) -> (Vec<u8>, Vec<(String, String)>) {
        let root = xml::parse(xml.as_bytes()).unwrap();
        let message = Message::from_xml(&root).unwrap();
        let captures = [("city", "北京"), ("city", "上海"), ("区", "x")];
        let captures = captures.map(|(name, text)| (name.to_owned(), text)).into_iter().collect();
        let parts = Parts {
            message: &message,
            rule: Some("weather"),
            captures: &captures,
            session: session.as_object().unwrap(),
            app_id: Some("wx1"),
            attempt: 1,
            deadline: Instant::now(),
        };
        let question = Question::new(&parts);
        (question.json(), question.variables())
    }

    #[test]
    fn the_json_is_as_documented() {
        let (json, _) = asked(XML, &json!({"step": 2}));
        let expected = json!({
            "message": {"type": "text", "from_user": "oUser", "to_user": "gh_1", "create_time": 1_700_000_000,
                "msg_id": 1, "content": " 查上海天气", "info": {"a": "1", "b": "x"},
                "rule": "forged", "session_step": "forged"},
            "rule": "weather", "captures": {"city": "上海", "区": "x"}, "session": {"step": 2}, "attempt": 1,
            "deadline_ms": 0, "account": "wx1"
        });
        assert_eq!(serde_json::from_slice::<Value>(&json).unwrap(), expected);
    }

    #[test]
    fn variables_hold_the_same() {
        let session = json!({"step": 2, "list": [1], "bad name": 1, "none": null, "nul": "a\0b"});
        let (_, variables) = asked(XML, &session);
        let variables: BTreeMap<_, _> =
            variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected = [
            ("WX_RULE", "weather"),
            ("WX_ACCOUNT", "wx1"),
            ("WX_ATTEMPT", "1"),
            ("WX_DEADLINE_MS", "0"),
            ("WX_CAPTURE_CITY", "上海"),
            ("WX_SESSION_STEP", "2"),
            ("WX_SESSION_LIST", "[1]"),
            ("WX_SESSION_NONE", ""),
            ("WX_SESSION_NUL", "ab"),
            ("WX_TYPE", "text"),
            ("WX_FROM_USER", "oUser"),
            ("WX_TO_USER", "gh_1"),
            ("WX_CREATE_TIME", "1700000000"),
            ("WX_MSG_ID", "1"),
            ("WX_CONTENT", " 查上海天气"),
            ("WX_INFO", r#"{"a":"1","b":"x"}"#),
        ];
        assert_eq!(variables, expected.into_iter().collect());
    }

    #[test]
    fn what_is_too_long_for_a_variable_is_left_out() {
        let long = XML.replace("查上海天气", &"x".repeat(MAX_VARIABLE));
        let many: serde_json::Map<_, _> =
            (0..64).map(|number| (format!("v{number}"), Value::from("x".repeat(4 << 10)))).collect();
        let (_, variables) = asked(&long, &many.into());
        assert!(variables.iter().all(|(name, _)| name != "WX_CONTENT"));
        let bytes: usize = variables.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!((MAX_VARIABLES * 9 / 10..MAX_VARIABLES).contains(&bytes), "{bytes}");
    }
}
