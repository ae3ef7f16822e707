//! What a rule waits for.

use std::fmt;
use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::wechat::event::key_without_prefix;
use crate::wechat::message::{Content, Message};

/// What the conditions look at, taken from a message once.
#[derive(Debug)]
pub struct Subject<'m> {
    /// The text of a text message, without white space around it.
    pub(super) text: Option<&'m str>,
    /// `MsgType`.
    msg_type: &'m str,
    /// `Event` of an event.
    event: Option<&'m str>,
    /// `EventKey` without `qrscene_`: scanning a code means the same to a new follower and to an old one.
    key: Option<&'m str>,
}

impl<'m> Subject<'m> {
    /// The subject of `message`.
    #[must_use]
    pub fn of(message: &Message<'m>) -> Self {
        Self {
            text: match &message.content {
                Content::Text { content, .. } => Some(content.trim()),
                _ => None,
            },
            msg_type: message.msg_type,
            event: message.fields().child_text("Event"),
            key: message.fields().child_text("EventKey").map(key_without_prefix),
        }
    }
}

/// What a condition cut out of a message: names and texts.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Captures<'m>(Vec<(String, &'m str)>);

impl<'m> FromIterator<(String, &'m str)> for Captures<'m> {
    fn from_iter<I: IntoIterator<Item = (String, &'m str)>>(captures: I) -> Self {
        Self(captures.into_iter().collect())
    }
}

impl<'m> Captures<'m> {
    /// The text with this name; of several with one name the last.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'m str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, text)| *text)
    }

    /// All names and texts.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'m str)> {
        self.0.iter().map(|(name, text)| (name.as_str(), *text))
    }
}

/// Tests that must all hold.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Condition(pub Vec<Test>);

impl Condition {
    /// Whether all tests hold, and what they cut out.
    #[must_use]
    pub fn meets<'m>(&self, subject: &Subject<'m>) -> Option<Captures<'m>> {
        let mut captures = Captures::default();
        self.0.iter().all(|test| test.holds(subject, &mut captures)).then_some(captures)
    }
}

/// One test; a list means any of.
#[derive(Debug, Serialize, Deserialize)]
pub enum Test {
    /// The whole text is one of these.
    Text(Vec<String>),
    /// The text holds one of these.
    Contains(Vec<String>),
    /// The text begins with one of these; what follows, trimmed, is the capture `rest`.
    Prefix(Vec<String>),
    /// The text ends with one of these.
    Suffix(Vec<String>),
    /// One of these finds something in the text; its named groups are captures.
    Regex(Vec<Pattern>),
    /// `MsgType` is one of these.
    Type(Vec<String>),
    /// `Event` is one of these, in any case.
    Event(Vec<String>),
    /// `EventKey` is one of these, `qrscene_` left out.
    Key(Vec<String>),
}

impl Test {
    fn holds<'m>(&self, subject: &Subject<'m>, captures: &mut Captures<'m>) -> bool {
        let text = |test: &dyn Fn(&'m str) -> bool| subject.text.is_some_and(test);
        match self {
            Self::Text(words) => text(&|text| words.iter().any(|word| word == text)),
            Self::Contains(words) => text(&|text| words.iter().any(|word| text.contains(word.as_str()))),
            Self::Suffix(words) => text(&|text| words.iter().any(|word| text.ends_with(word.as_str()))),
            Self::Prefix(words) => {
                let rest = subject
                    .text
                    .and_then(|text| words.iter().find_map(|word| text.strip_prefix(word.as_str())));
                captures.0.extend(rest.map(|rest| ("rest".to_owned(), rest.trim())));
                rest.is_some()
            }
            Self::Regex(patterns) => subject
                .text
                .is_some_and(|text| patterns.iter().any(|pattern| pattern.captures(text, captures))),
            Self::Type(types) => types.iter().any(|name| name == subject.msg_type),
            Self::Event(events) => {
                subject.event.is_some_and(|event| events.iter().any(|name| name.eq_ignore_ascii_case(event)))
            }
            Self::Key(keys) => subject.key.is_some_and(|key| keys.iter().any(|name| name == key)),
        }
    }
}

/// A regular expression, compiled when a message first needs it. Matching takes linear time.
#[derive(Serialize, Deserialize)]
#[serde(from = "String")]
pub struct Pattern {
    source: String,
    #[serde(skip)]
    compiled: OnceLock<Option<Regex>>,
}

/// Why a regular expression cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct PatternError {
    /// What is wrong.
    pub message: String,
    /// The byte of the expression where it is wrong.
    pub offset: Option<usize>,
}

/// Memory that one compiled expression may take, bytes; a counted repetition of a large class can ask for far more.
const PATTERN_SIZE_LIMIT: usize = 1 << 20;

impl Pattern {
    /// A pattern that is compiled later. [`Pattern::check`] tells whether it will be.
    #[must_use]
    pub fn new(source: String) -> Self {
        Self { source, compiled: OnceLock::new() }
    }

    /// The expression as it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Compiles it now and gives the names of its groups.
    ///
    /// # Errors
    ///
    /// If it is not a regular expression, or takes too much memory.
    pub fn check(&self) -> Result<Vec<String>, PatternError> {
        if let Err(error) = regex_syntax::Parser::new().parse(&self.source) {
            return Err(PatternError::from_syntax(&error));
        }
        let regex = compile(&self.source)
            .map_err(|error| PatternError { message: error.to_string(), offset: None })?;
        let names = regex.capture_names().flatten().map(str::to_owned).collect();
        let _ = self.compiled.set(Some(regex));
        Ok(names)
    }

    /// Whether it finds something in `text`; what its named groups found goes to `captures`.
    fn captures<'m>(&self, text: &'m str, captures: &mut Captures<'m>) -> bool {
        let compiled = self.compiled.get_or_init(|| compile(&self.source).ok());
        let Some((regex, found)) = compiled.as_ref().and_then(|regex| Some((regex, regex.captures(text)?)))
        else {
            return false;
        };
        for name in regex.capture_names().flatten() {
            captures.0.extend(found.name(name).map(|group| (name.to_owned(), group.as_str())));
        }
        true
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.source)
    }
}

impl From<String> for Pattern {
    fn from(source: String) -> Self {
        Self::new(source)
    }
}

fn compile(source: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(source).size_limit(PATTERN_SIZE_LIMIT).build()
}

impl PatternError {
    fn from_syntax(error: &regex_syntax::Error) -> Self {
        match error {
            regex_syntax::Error::Parse(error) => {
                Self { message: error.kind().to_string(), offset: Some(error.span().start.offset) }
            }
            regex_syntax::Error::Translate(error) => {
                Self { message: error.kind().to_string(), offset: Some(error.span().start.offset) }
            }
            other => Self { message: other.to_string(), offset: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Subject<'_> {
        Subject { text: Some(text.trim()), msg_type: "text", event: None, key: None }
    }

    fn event<'m>(name: &'m str, key: &'m str) -> Subject<'m> {
        Subject { text: None, msg_type: "event", event: Some(name), key: Some(key_without_prefix(key)) }
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn a_list_means_any_and_two_tests_mean_both() {
        let condition =
            Condition(vec![Test::Contains(words(&["天气", "气温"])), Test::Suffix(words(&["?", "？"]))]);
        assert!(condition.meets(&text(" 上海气温？ ")).is_some());
        assert!(condition.meets(&text("上海气温")).is_none());
        assert!(condition.meets(&text("上海？")).is_none());
    }

    #[test]
    fn a_text_is_compared_whole_and_trimmed() {
        let condition = Condition(vec![Test::Text(words(&["天气"]))]);
        assert!(condition.meets(&text("\u{3000}天气\n")).is_some());
        assert!(condition.meets(&text("天气预报")).is_none());
        assert!(condition.meets(&event("CLICK", "天气")).is_none());
    }

    #[test]
    fn the_rest_after_a_prefix_is_captured() {
        let condition = Condition(vec![Test::Prefix(words(&["/run ", "/run"]))]);
        assert_eq!(condition.meets(&text("/run  date -u")).unwrap().get("rest"), Some("date -u"));
        assert_eq!(condition.meets(&text("/run")).unwrap().get("rest"), Some(""));
    }

    #[test]
    fn named_groups_are_captured_and_absent_ones_are_not() {
        let pattern = Pattern::new(r"^查(?<city>\S+?)天气(?<when>明天)?$".to_owned());
        let condition = Condition(vec![Test::Regex(vec![pattern])]);
        let captures = condition.meets(&text("查上海天气")).unwrap();
        assert_eq!((captures.get("city"), captures.get("when")), (Some("上海"), None));
    }

    #[test]
    fn a_scan_meets_the_same_key_before_and_after_following() {
        let condition = Condition(vec![Test::Key(words(&["42"]))]);
        assert!(condition.meets(&event("subscribe", "qrscene_42")).is_some());
        assert!(condition.meets(&event("SCAN", "42")).is_some());
        assert!(condition.meets(&event("SCAN", "421")).is_none());
    }

    #[test]
    fn an_event_is_named_in_any_case() {
        assert!(Condition(vec![Test::Event(words(&["click"]))]).meets(&event("CLICK", "k")).is_some());
    }

    #[test]
    fn a_bad_pattern_names_its_place() {
        let error = Pattern::new("ab(c".to_owned()).check().unwrap_err();
        assert_eq!((error.message.as_str(), error.offset), ("unclosed group", Some(2)));
        assert!(Pattern::new(r"\w{1000}{1000}".to_owned()).check().is_err());
    }
}
