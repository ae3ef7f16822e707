//! Rules as bytes. A CGI process answers one message: of a thousand rules it reads the guards up to the one that meets,
//! and hardly more than that rule.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::condition::Subject;
use super::guard::Guard;
use super::{Rule, Rules, Source};

/// One rule after the other, each with its guard before it.
#[derive(Debug)]
pub(super) struct StoredRules {
    bytes: Vec<u8>,
    /// Where the rules begin.
    start: usize,
}

/// A rule that may meet or may not.
#[derive(Serialize, Deserialize)]
struct Entry<S, B> {
    guard: Guard<S>,
    rule: B,
}

impl Rules {
    /// All rules as bytes, for [`Rules::from_bytes`] of this very build.
    ///
    /// # Errors
    ///
    /// None that is known; the encoder could report one.
    pub fn to_bytes(&self) -> Result<Vec<u8>, postcard::Error> {
        let mut bytes = postcard::to_allocvec(&self.default.as_deref())?;
        for rule in self.iter() {
            let entry = Entry { guard: Guard::of(&rule.when), rule: postcard::to_allocvec(rule.as_ref())? };
            bytes = postcard::to_extend(&entry, bytes)?;
        }
        Ok(bytes)
    }

    /// Rules that were made to bytes; those stand in `bytes` from `start` on. Each is read when a message may meet it.
    ///
    /// # Errors
    ///
    /// If the bytes are none of ours. Whether they are whole is for the caller to know, by a checksum.
    pub fn from_bytes(bytes: Vec<u8>, start: usize) -> Result<Self, postcard::Error> {
        let (default, rest) =
            postcard::take_from_bytes::<Option<Rule>>(bytes.get(start..).unwrap_or_default())?;
        let start = bytes.len() - rest.len();
        Ok(Self { rules: Source::Stored(StoredRules { bytes, start }), default: default.map(Arc::new) })
    }
}

impl StoredRules {
    /// All rules, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Arc<Rule>> {
        self.entries().filter_map(|entry| read(entry.rule))
    }

    /// The rules whose guards let `subject` pass, in their order.
    pub(super) fn candidates(&self, subject: &Subject<'_>) -> impl Iterator<Item = Arc<Rule>> {
        self.entries().filter(|entry| entry.guard.may_meet(subject)).filter_map(|entry| read(entry.rule))
    }

    fn entries(&self) -> impl Iterator<Item = Entry<&str, &[u8]>> {
        let mut rest = self.bytes.get(self.start..).unwrap_or_default();
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (entry, behind) = postcard::take_from_bytes(rest).inspect_err(tell).ok()?;
            rest = behind;
            Some(entry)
        })
    }
}

fn read(rule: &[u8]) -> Option<Arc<Rule>> {
    postcard::from_bytes(rule).inspect_err(tell).ok().map(Arc::new)
}

/// Bytes with a right checksum that cannot be read are a fault of this program.
fn tell(error: &postcard::Error) {
    log::error!(target: "rules", "the compiled config cannot be read ({error}); touch the config to have it made anew");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Action, Condition, Pattern, Template, Test};
    use crate::wechat::message::Message;
    use crate::wechat::xml;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    fn rules(tests: Vec<Vec<Test>>) -> Rules {
        let rule = |number, tests| Rule {
            name: Some(format!("name {number}")),
            number,
            line: 10 * number,
            when: Condition(tests),
            then: Action::Text(Template::new(format!("{{{{ message.content }}}} {number}"))),
            help: None,
            on_error: None,
        };
        let default = rule(0, Vec::new());
        Rules::new((1..).zip(tests).map(|(number, tests)| rule(number, tests)).collect(), Some(default))
    }

    fn message(content: &str) -> String {
        let (kind, body) = match content.strip_prefix("event ") {
            Some(event) => ("event", format!("<Event>{event}</Event><EventKey>k</EventKey>")),
            None => ("text", format!("<Content>{content}</Content><MsgId>1</MsgId>")),
        };
        format!(
            "<xml><ToUserName>g</ToUserName><FromUserName>o</FromUserName><CreateTime>1</CreateTime>\
             <MsgType>{kind}</MsgType>{body}</xml>"
        )
    }

    #[test]
    fn stored_rules_meet_what_they_met_before() {
        let regex = |source: &str| Pattern::new(source.to_owned());
        let ready = rules(vec![
            vec![Test::Text(words(&["天气", "weather"]))],
            vec![Test::Prefix(words(&["/run "])), Test::Suffix(words(&["!"]))],
            vec![Test::Regex(vec![regex(r"^查(?<city>\S+)天气$"), regex("forecast")])],
            vec![Test::Regex(vec![regex(r"^\d+$")])],
            vec![Test::Event(words(&["CLICK"])), Test::Key(words(&["k"]))],
            vec![Test::Contains(words(&["天"]))],
            vec![Test::Type(words(&["event"]))],
        ]);
        let stored = Rules::from_bytes([b"before".to_vec(), ready.to_bytes().unwrap()].concat(), 6).unwrap();
        assert_eq!(stored.iter().count(), 7);
        let mut met = Vec::new();
        for content in [
            "天气",
            "查上海天气",
            "a forecast",
            "42",
            "/run x!",
            "/run x",
            "今天",
            "?",
            "event CLICK",
            "event x",
        ] {
            let xml = message(content);
            let root = xml::parse(xml.as_bytes()).unwrap();
            let message = Message::from_xml(&root).unwrap();
            let found = |rules: &Rules| {
                let found = rules.find(&message).unwrap();
                (format!("{:?}", found.rule), found.captures)
            };
            assert_eq!(found(&stored), found(&ready), "{content}");
            met.push(stored.find(&message).unwrap().rule.number);
        }
        assert_eq!(met, [1, 3, 3, 4, 2, 0, 6, 0, 5, 7]);
    }

    #[test]
    fn what_is_not_stored_rules_is_refused() {
        assert!(Rules::from_bytes(vec![7; 40], 0).is_err());
        assert!(Rules::from_bytes(Vec::new(), 5).is_err());
    }
}
