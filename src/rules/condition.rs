//! What a rule waits for.

use std::ops::Range;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

use super::calendar::Calendar;
use super::fold::{Fold, Folded};
use super::handler::Guard;
use super::memory::{Limit, Past, UserMemory};
use super::pattern::Pattern;
use super::subject::{Captures, Subject};
use super::words::{any_stands_in, in_order};
use crate::clock::unix_seconds;
use crate::wechat::message::KNOWN_TYPES;

/// Tests that must all hold. They are asked in this order, so those that cost something come last.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Condition {
    pub(super) fold: Fold,
    pub(super) tests: Vec<Test>,
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
    /// The text ends with one of these; what comes before, trimmed, is the capture `rest`.
    Suffix(Vec<String>),
    /// The text holds all of these.
    AllOf(Vec<String>),
    /// There is a text, and it holds none of these.
    NoneOf(Vec<String>),
    /// One of these finds something in the text; its named groups are captures.
    Regex(Vec<Pattern>),
    /// `MsgType` is one of these.
    Type(Vec<String>),
    /// `Event` is one of these, in any case.
    Event(Vec<String>),
    /// `EventKey` is one of these, `qrscene_` left out.
    Key(Vec<String>),
    /// One of these finds something in `EventKey`, `qrscene_` left out; its named groups are captures.
    KeyRegex(Vec<Pattern>),
    /// A field of the document is so.
    Field(Field),
    /// The place that the message tells lies in one of these.
    Near(Vec<Area>),
    /// The sender is one of these openids.
    From(Vec<String>),
    /// The sender is none of these openids.
    NotFrom(Vec<String>),
    /// A person sent it, it did not just happen.
    Sent,
    /// The sender is one of so many in ten thousand, always the same ones.
    Share(u16),
    /// From these Unix seconds on, and before those.
    Valid(i64, i64),
    /// The time is so.
    Calendar(Calendar),
    /// This step of a dialog waits for the sender's message, and was asked again less often than that.
    Step(String, Option<u32>),
    /// A value of the session is so; `path` is its name.
    Session(Field),
    /// No message of the sender has come so far before.
    First,
    /// The sender did not get the rule of this name within so many seconds.
    OnceEvery(String, u64),
    /// The sender and all users did not get the rule more often than that.
    Limit(Limit),
    /// Who is asked outside agrees.
    Guard(Box<Guard>),
}

/// What is wanted of a field: all that is given.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Field {
    /// Its name, as `Label`, or those on the way to it, as `SendLocationInfo/Label`.
    pub path: String,
    /// It is one of these, if there are any.
    pub equals: Vec<String>,
    /// One of these finds something in it, if there are any; its named groups are captures.
    pub regex: Vec<Pattern>,
    /// It is a number and at least this.
    pub min: Option<f64>,
    /// It is a number and at most this.
    pub max: Option<f64>,
}

/// A circle on the earth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Area {
    /// Of its midst, degrees.
    pub latitude: f64,
    /// Of its midst, degrees.
    pub longitude: f64,
    /// Metres.
    pub radius: f64,
}

impl Condition {
    /// Tests that must all hold, for texts folded so. The words are as their author wrote them.
    #[must_use]
    pub fn new(fold: Fold, tests: Vec<Test>) -> Self {
        let parts = |words: Vec<String>| words.iter().map(|word| fold.part(word)).collect();
        let tests = tests.into_iter().map(|test| match test {
            Test::Text(words) => {
                let mut words: Vec<_> = words.iter().map(|word| fold.whole(word)).collect();
                words.sort_unstable();
                words.dedup();
                Test::Text(words)
            }
            Test::Contains(words) => Test::Contains(in_order(parts(words))),
            Test::Prefix(words) => Test::Prefix(parts(words)),
            Test::Suffix(words) => Test::Suffix(parts(words)),
            Test::AllOf(words) => Test::AllOf(parts(words)),
            Test::NoneOf(words) => Test::NoneOf(in_order(parts(words))),
            Test::Regex(patterns) => {
                Test::Regex(patterns.into_iter().map(|pattern| pattern.folded(fold)).collect())
            }
            other => other,
        });
        Self { fold, tests: tests.collect() }
    }

    /// One more test must hold.
    #[must_use]
    pub fn and(mut self, test: Test) -> Self {
        self.tests.push(test);
        // Whoever is no candidate is not asked after in the store, nor outside.
        self.tests.sort_by_key(|test| (test.asks_outside(), test.asks_memory()));
        self
    }

    /// Whether a test needs what is remembered.
    pub(super) fn asks_memory(&self) -> bool {
        self.tests.iter().any(Test::asks_memory)
    }

    /// Whether somebody outside has to agree.
    #[must_use]
    pub fn asks_outside(&self) -> bool {
        self.tests.iter().any(Test::asks_outside)
    }

    /// The steps of dialogs that it asks for.
    pub fn steps(&self) -> impl Iterator<Item = &str> {
        self.tests.iter().filter_map(|test| match test {
            Test::Step(name, _) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether it takes whatever a person sends, be it for users in one step of a dialog only.
    #[must_use]
    pub fn takes_all(&self) -> bool {
        self.tests.iter().all(|test| matches!(test, Test::Sent | Test::Step(_, None)))
    }

    /// Whether it holds for nothing but what a person sends.
    #[must_use]
    pub fn is_for_people(&self) -> bool {
        self.tests.iter().any(|test| match test {
            Test::Sent => true,
            Test::Type(types) => types.iter().all(|kind| KNOWN_TYPES.contains(&kind.as_str())),
            test => test.reads_text(),
        })
    }

    /// The values of the session that it asks for.
    pub fn session_values(&self) -> impl Iterator<Item = &str> {
        self.tests.iter().filter_map(|test| match test {
            Test::Session(field) => Some(field.path.as_str()),
            _ => None,
        })
    }

    /// The limits that hold for all users together.
    pub fn totals(&self) -> impl Iterator<Item = &Limit> {
        self.tests.iter().filter_map(|test| match test {
            Test::Limit(limit) if limit.all.is_some() => Some(limit),
            _ => None,
        })
    }

    /// Writes down in the memory of a user that he got the rule.
    pub fn note_given(&self, user: &mut UserMemory, now: SystemTime) {
        for test in &self.tests {
            match test {
                Test::OnceEvery(key, seconds) => user.rest_from(key, *seconds, now),
                Test::Limit(limit) if limit.user.is_some() => user.count_one(&limit.key, &limit.per, now),
                _ => {}
            }
        }
    }

    /// Whether all tests hold, and what they cut out.
    #[must_use]
    pub fn meets<'m>(&self, subject: &Subject<'m>) -> Option<Captures<'m>> {
        self.ask(subject, |_, _| {})
    }

    /// The same; `told` hears of each test that was asked, up to the first that does not hold.
    pub(super) fn ask<'m>(
        &self,
        subject: &Subject<'m>,
        mut told: impl FnMut(&Test, bool),
    ) -> Option<Captures<'m>> {
        let mut found = Found { captures: Captures::default(), from: None, to: None };
        let text = subject.folded(self.fold);
        let mut holds = |test: &Test| {
            let holds = test.holds(subject, text, &mut found);
            told(test, holds);
            holds
        };
        self.tests.iter().all(&mut holds).then(|| found.finish(text))
    }
}

impl Condition {
    /// Whether the tests hold that look at the message alone, not at its sender, its place or the time.
    pub(super) fn may_meet(&self, subject: &Subject<'_>) -> bool {
        let mut found = Found { captures: Captures::default(), from: None, to: None };
        let text = subject.folded(self.fold);
        self.tests.iter().all(|test| test.is_circumstantial() || test.holds(subject, text, &mut found))
    }
}

/// What tests have cut out so far.
struct Found<'m> {
    captures: Captures<'m>,
    /// Where the rest begins and ends in the folded text.
    from: Option<usize>,
    to: Option<usize>,
}

impl<'m> Found<'m> {
    fn finish(mut self, text: Option<&Folded<'m>>) -> Captures<'m> {
        if let Some(text) = text.filter(|_| self.from.is_some() || self.to.is_some()) {
            let from = self.from.unwrap_or(0);
            // A prefix and a suffix may overlap.
            let to = self.to.unwrap_or(text.text().len()).max(from);
            self.captures.push("rest", text.written(from..to).trim());
        }
        self.captures
    }

    fn take_from(&mut self, text: &'m str, patterns: &[Pattern]) -> bool {
        self.take(patterns, text, |range| &text[range])
    }

    /// Whether a pattern finds something in `text`; what its groups found is taken as `written` says.
    fn take(&mut self, patterns: &[Pattern], text: &str, written: impl Fn(Range<usize>) -> &'m str) -> bool {
        patterns.iter().any(|pattern| {
            let found = pattern.find(text);
            let holds = found.is_some();
            for (name, range) in found.into_iter().flatten() {
                self.captures.push(name, written(range));
            }
            holds
        })
    }
}

impl Test {
    /// Whether it looks at a text.
    pub(super) fn reads_text(&self) -> bool {
        matches!(
            self,
            Self::Text(_)
                | Self::Contains(_)
                | Self::Prefix(_)
                | Self::Suffix(_)
                | Self::AllOf(_)
                | Self::NoneOf(_)
                | Self::Regex(_)
        )
    }

    /// Whether it looks at more than what was sent.
    fn is_circumstantial(&self) -> bool {
        self.asks_memory()
            || self.asks_outside()
            || matches!(
                self,
                Self::Field(_)
                    | Self::Near(_)
                    | Self::From(_)
                    | Self::NotFrom(_)
                    | Self::Share(_)
                    | Self::Valid(..)
                    | Self::Calendar(_)
            )
    }

    fn holds<'m>(&self, subject: &Subject<'m>, text: Option<&Folded<'m>>, found: &mut Found<'m>) -> bool {
        let any =
            |names: &[String], name: Option<&str>| names.iter().any(|known| Some(known.as_str()) == name);
        let holds_any = |words: &[String]| text.is_some_and(|text| any_stands_in(words, text.text()));
        match self {
            // There may be thousands in one list; they are sorted.
            Self::Text(words) => text
                .is_some_and(|text| words.binary_search_by(|word| word.as_str().cmp(text.whole())).is_ok()),
            Self::Contains(words) => holds_any(words),
            Self::NoneOf(words) => text.is_some() && !holds_any(words),
            Self::AllOf(words) => {
                text.is_some_and(|text| words.iter().all(|word| text.text().contains(word.as_str())))
            }
            Self::Prefix(words) => {
                found.from = text.and_then(|text| words.iter().find_map(|word| end_of_prefix(text, word)));
                found.from.is_some()
            }
            Self::Suffix(words) => {
                found.to = text.and_then(|text| words.iter().find_map(|word| start_of_suffix(text, word)));
                found.to.is_some()
            }
            Self::Regex(patterns) => text.is_some_and(|text| matches_text(patterns, text, found)),
            Self::Type(types) => any(types, Some(subject.msg_type)),
            Self::Event(events) => {
                subject.event.is_some_and(|event| events.iter().any(|name| name.eq_ignore_ascii_case(event)))
            }
            Self::Key(keys) => any(keys, subject.key),
            Self::KeyRegex(patterns) => subject.key.is_some_and(|key| found.take_from(key, patterns)),
            Self::Field(field) => field.holds(subject, found),
            Self::Near(areas) => {
                subject.place().is_some_and(|place| areas.iter().any(|area| area.holds(place)))
            }
            Self::From(openids) => any(openids, Some(subject.from_user)),
            Self::NotFrom(openids) => !any(openids, Some(subject.from_user)),
            Self::Sent => subject.is_sent,
            Self::Share(share) => lot(subject.from_user) < u64::from(*share),
            Self::Valid(from, until) => {
                let now = i64::try_from(unix_seconds(subject.circumstance.now)).unwrap_or(i64::MAX);
                (*from..*until).contains(&now)
            }
            Self::Calendar(calendar) => calendar.holds(subject.circumstance.now),
            Self::Guard(guard) => {
                subject.outside().is_some_and(|outside| outside.agrees(guard, &found.captures))
            }
            stored => subject.past().is_some_and(|past| stored.holds_of(past, subject.circumstance.now)),
        }
    }

    /// Whether a test holds that needs what is remembered.
    fn holds_of(&self, past: &dyn Past, now: SystemTime) -> bool {
        let Some(user) = past.user() else { return false };
        match self {
            Self::Step(name, tries) => user.is_in(name, *tries, now),
            Self::Session(field) => field.holds_value(user.values.get(&field.path)),
            Self::First => {
                past.note_known();
                !user.is_known
            }
            Self::OnceEvery(key, _) => !user.rests_from(key, now),
            Self::Limit(limit) => limit.holds(past, now),
            _ => false,
        }
    }

    fn asks_outside(&self) -> bool {
        matches!(self, Self::Guard(_))
    }

    fn asks_memory(&self) -> bool {
        matches!(self, Self::Step(..) | Self::Session(_) | Self::First | Self::OnceEvery(..) | Self::Limit(_))
    }
}

/// Where `word` ends at the beginning of the text, or of what stands in it between punctuation.
fn end_of_prefix(text: &Folded<'_>, word: &str) -> Option<usize> {
    [0, text.bare().start]
        .into_iter()
        .find(|&start| text.text()[start..].starts_with(word))
        .map(|start| start + word.len())
}

/// Where `word` begins at the end of the text, or of what stands in it between punctuation.
fn start_of_suffix(text: &Folded<'_>, word: &str) -> Option<usize> {
    [text.text().len(), text.bare().end]
        .into_iter()
        .find(|&end| text.text()[..end].ends_with(word))
        .map(|end| end - word.len())
}

/// Whether a pattern finds something in the text or, failing that, in what stands in it between punctuation.
fn matches_text<'m>(patterns: &[Pattern], text: &Folded<'m>, found: &mut Found<'m>) -> bool {
    let bare = text.bare();
    found.take(patterns, text.text(), |range| text.written(range))
        || bare.len() < text.text().len()
            && found.take(patterns, text.whole(), |range| {
                text.written(bare.start + range.start..bare.start + range.end)
            })
}

impl Field {
    /// Whether a value of a session is so; one that is not there is nothing.
    fn holds_value(&self, value: Option<&serde_json::Value>) -> bool {
        let Some(value) = value else { return false };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let number = || number(text.trim());
        (self.equals.is_empty() || self.equals.contains(&text))
            && self.min.is_none_or(|min| number().is_some_and(|number| number >= min))
            && self.max.is_none_or(|max| number().is_some_and(|number| number <= max))
            && (self.regex.is_empty() || self.regex.iter().any(|pattern| pattern.find(&text).is_some()))
    }

    fn holds<'m>(&self, subject: &Subject<'m>, found: &mut Found<'m>) -> bool {
        let Some(value) = subject.field(&self.path) else { return false };
        let number = || number(value);
        (self.equals.is_empty() || self.equals.iter().any(|known| known == value))
            && self.min.is_none_or(|min| number().is_some_and(|number| number >= min))
            && self.max.is_none_or(|max| number().is_some_and(|number| number <= max))
            && (self.regex.is_empty() || found.take_from(value, &self.regex))
    }
}

/// A number as people write it; `inf` is none.
fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

impl Area {
    /// Whether a place lies in it.
    fn holds(self, place: (f64, f64)) -> bool {
        self.distance(place) <= self.radius
    }

    /// How far a place is from its midst, in metres, by the haversine of the way there.
    pub(super) fn distance(self, (latitude, longitude): (f64, f64)) -> f64 {
        /// Metres.
        const EARTH_RADIUS: f64 = 6_371_008.8;
        let half = |from: f64, to: f64| ((to - from).to_radians() / 2.0).sin().powi(2);
        let (here, there) = (self.latitude.to_radians(), latitude.to_radians());
        let haversine =
            half(self.latitude, latitude) + here.cos() * there.cos() * half(self.longitude, longitude);
        // At the other end of the earth it may be a little more than 1.
        2.0 * EARTH_RADIUS * haversine.min(1.0).sqrt().asin()
    }
}

/// A number below ten thousand that belongs to a user for good, in every version of this program.
pub(super) fn lot(openid: &str) -> u64 {
    let digest = Sha1::digest(openid.as_bytes());
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)) % 10_000
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::Circumstance;
    use super::*;
    use crate::wechat::message::Message;
    use crate::wechat::xml;

    fn text(text: &str) -> Subject<'_> {
        Subject::of_text(text)
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    fn folded(tests: Vec<Test>) -> Condition {
        Condition::new(Fold::On, tests)
    }

    fn literal(tests: Vec<Test>) -> Condition {
        Condition::new(Fold::Off, tests)
    }

    /// What a condition makes of a message with these fields; `None` if it does not meet it.
    fn captures(condition: &Condition, fields: &str, now: u64) -> Option<Vec<(String, String)>> {
        let document = format!(
            "<xml><ToUserName>g</ToUserName><FromUserName>oUser</FromUserName><CreateTime>1</CreateTime>{fields}</xml>"
        );
        let root = xml::parse(document.as_bytes()).unwrap();
        let message = Message::from_xml(&root).unwrap();
        let subject = Subject::of(&message, &Circumstance::at(UNIX_EPOCH + Duration::from_secs(now)));
        let captures = condition.meets(&subject)?;
        Some(captures.iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect())
    }

    fn meets(test: Test, fields: &str) -> bool {
        captures(&folded(vec![test]), fields, 0).is_some()
    }

    #[test]
    fn a_list_means_any_and_two_tests_mean_both() {
        let condition =
            literal(vec![Test::Contains(words(&["天气", "气温"])), Test::Suffix(words(&["?", "？"]))]);
        assert!(condition.meets(&text(" 上海气温？ ")).is_some());
        assert!(condition.meets(&text("上海气温")).is_none());
        assert!(condition.meets(&text("上海？")).is_none());
    }

    #[test]
    fn a_text_is_compared_whole() {
        let condition = literal(vec![Test::Text(words(&["天气"]))]);
        assert!(condition.meets(&text("\u{3000}天气\n")).is_some());
        assert!(condition.meets(&text("天气!")).is_none());
        let condition = folded(vec![Test::Text(words(&["天气", "ＯＫ！"]))]);
        assert!(condition.meets(&text("“天气”")).is_some());
        assert!(condition.meets(&text("ok")).is_some());
        assert!(condition.meets(&text("天气预报")).is_none());
        assert!(condition.meets(&Subject::of_event("CLICK", Some("天气"))).is_none());
    }

    #[test]
    fn the_rest_is_what_its_user_wrote() {
        for (tests, content, rest) in [
            (vec![Test::Prefix(words(&["/run ", "/run"]))], "/RUN  Date -u", "Date -u"),
            (vec![Test::Prefix(words(&["/run ", "/run"]))], "/run", ""),
            (vec![Test::Prefix(words(&["查"]))], "“查ＡＢＣ！", "ＡＢＣ！"),
            (vec![Test::Suffix(words(&["天气"]))], "上海天气？", "上海"),
            (vec![Test::Suffix(words(&["？"]))], "上海 ?", "上海"),
            (vec![Test::Prefix(words(&["查"])), Test::Suffix(words(&["天气"]))], "查 Ｓ 天气", "Ｓ"),
            (vec![Test::Suffix(words(&["bc"])), Test::Prefix(words(&["ab"]))], "ABC", ""),
        ] {
            assert_eq!(folded(tests).meets(&text(content)).unwrap().get("rest"), Some(rest), "{content}");
        }
        assert!(folded(vec![Test::Prefix(words(&["run"]))]).meets(&text("/run")).is_none());
    }

    #[test]
    fn all_words_or_none_must_be_there() {
        let condition = folded(vec![Test::AllOf(words(&["退", "货"])), Test::NoneOf(words(&["不", "NO"]))]);
        assert!(condition.meets(&text("我要退这件货")).is_some());
        assert!(condition.meets(&text("我要退")).is_none());
        assert!(condition.meets(&text("我不退货")).is_none());
        assert!(condition.meets(&text("退货，ｎｏ")).is_none());
        assert!(folded(vec![Test::NoneOf(words(&["x"]))]).meets(&Subject::of_event("SCAN", None)).is_none());
    }

    #[test]
    fn named_groups_are_captured_as_written_and_absent_ones_are_not() {
        let pattern = || Pattern::new(r"^查(?<city>\S+?)天气(?<when>明天)?$".to_owned());
        let condition = folded(vec![Test::Regex(vec![Pattern::new("x".to_owned()), pattern()])]);
        for (content, city) in [("查上海天气", "上海"), ("查ＳＨ天气？", "ＳＨ"), ("「查Sh天气」", "Sh")]
        {
            let captures = condition.meets(&text(content)).unwrap();
            assert_eq!((captures.get("city"), captures.get("when")), (Some(city), None));
        }
        assert!(literal(vec![Test::Regex(vec![pattern()])]).meets(&text("查上海天气？")).is_none());
    }

    #[test]
    fn what_was_understood_of_a_voice_is_its_text() {
        let said = |said: &str| {
            format!("<MsgType>voice</MsgType><MediaId>m</MediaId><Recognition>{said}</Recognition>")
        };
        assert!(meets(Test::Text(words(&["天气"])), &said("天气。")));
        assert!(!meets(Test::NoneOf(words(&["天气"])), &said(" ")));
    }

    #[test]
    fn a_scan_meets_the_same_key_before_and_after_following() {
        for test in
            [|| Test::Key(words(&["42"])), || Test::KeyRegex(vec![Pattern::new("^(?<n>42)$".to_owned())])]
        {
            let event = |fields: &str| format!("<MsgType>event</MsgType>{fields}");
            assert!(meets(test(), &event("<Event>subscribe</Event><EventKey>qrscene_42</EventKey>")));
            assert!(meets(test(), &event("<Event>SCAN</Event><EventKey>42</EventKey>")));
            assert!(!meets(test(), &event("<Event>SCAN</Event><EventKey>421</EventKey>")));
        }
        let condition = folded(vec![Test::KeyRegex(vec![Pattern::new("^shop-(?<n>\\d+)$".to_owned())])]);
        let fields = "<MsgType>event</MsgType><Event>subscribe</Event><EventKey>qrscene_shop-7</EventKey>";
        assert_eq!(captures(&condition, fields, 0).unwrap(), [("n".to_owned(), "7".to_owned())]);
    }

    #[test]
    fn an_event_is_named_in_any_case() {
        assert!(
            folded(vec![Test::Event(words(&["click"]))]).meets(&Subject::of_event("CLICK", None)).is_some()
        );
    }

    #[test]
    fn any_field_can_be_asked_for() {
        let fields = "<MsgType>event</MsgType><Event>location_select</Event>\
            <SendLocationInfo><Label> 海珠区 </Label><Scale>16</Scale><Note>inf</Note></SendLocationInfo>";
        let field = |name: &str| Field { path: format!("SendLocationInfo/{name}"), ..Field::default() };
        let pattern = Pattern::new("(?<d>.)区".to_owned());
        for (test, holds) in [
            (field("Label"), true),
            (field("Poiname"), false),
            (Field { equals: words(&["天河区", "海珠区"]), ..field("Label") }, true),
            (Field { equals: words(&["天河区"]), ..field("Label") }, false),
            (Field { min: Some(16.0), max: Some(16.5), ..field("Scale") }, true),
            (Field { min: Some(16.5), ..field("Scale") }, false),
            (Field { max: Some(1.0), ..field("Label") }, false),
            (Field { min: Some(1.0), ..field("Note") }, false),
            (Field { max: Some(1.0), ..field("Note") }, false),
            (Field { regex: vec![pattern], equals: words(&["海珠区"]), ..field("Label") }, true),
        ] {
            let shown = format!("{test:?}");
            assert_eq!(meets(Test::Field(test), fields), holds, "{shown}");
        }
        assert!(!meets(Test::Field(field("Label")), "<MsgType>text</MsgType><Content>x</Content>"));
    }

    #[test]
    fn a_place_lies_within_a_radius_or_does_not() {
        // From the tower of Guangzhou to its old station: 6034 m.
        let area = |radius| Test::Near(vec![Area { latitude: 23.1064, longitude: 113.3245, radius }]);
        for fields in [
            "<MsgType>location</MsgType><Location_X>23.1486</Location_X><Location_Y>113.2874</Location_Y>",
            "<MsgType>event</MsgType><Event>LOCATION</Event><Latitude>23.1486</Latitude><Longitude>113.2874</Longitude>",
        ] {
            assert!(meets(area(6100.0), fields));
            assert!(!meets(area(5900.0), fields));
        }
        assert!(!meets(area(6e6), "<MsgType>location</MsgType><Location_X>x</Location_X>"));
        // On the other side of the earth.
        let whole = Test::Near(vec![Area { latitude: 19.9, longitude: 0.1, radius: 20_100_000.0 }]);
        assert!(meets(
            whole,
            "<MsgType>location</MsgType><Location_X>-19.9</Location_X><Location_Y>-179.9</Location_Y>"
        ));
        // Across the date line.
        let fiji = Test::Near(vec![Area { latitude: -17.0, longitude: 179.9, radius: 30_000.0 }]);
        assert!(meets(
            fiji,
            "<MsgType>location</MsgType><Location_X>-17.0</Location_X><Location_Y>-179.9</Location_Y>"
        ));
    }

    #[test]
    fn senders_are_told_apart() {
        let fields = "<MsgType>text</MsgType><Content>x</Content>";
        assert!(meets(Test::From(words(&["oOther", "oUser"])), fields));
        assert!(!meets(Test::From(words(&["oOther"])), fields));
        assert!(meets(Test::NotFrom(words(&["oOther"])), fields));
        assert!(!meets(Test::NotFrom(words(&["oUser"])), fields));
    }

    #[test]
    fn a_share_of_the_users_is_always_the_same() {
        // What another implementation of SHA-1 says.
        assert_eq!(lot("oUser"), 0x0f3b_0de0_d1fa_0cd8_u64 % 10_000);
        let share = |share: u64| (0..4000).filter(|user| lot(&format!("oUser{user}")) < share).count();
        assert!((350..450).contains(&share(1000)), "{}", share(1000));
        assert_eq!((share(0), share(10_000)), (0, 4000));
    }

    #[test]
    fn a_rule_can_begin_and_end() {
        let valid = folded(vec![Test::Valid(100, 200)]);
        let holds = |now| captures(&valid, "<MsgType>text</MsgType><Content>x</Content>", now).is_some();
        assert_eq!([99, 100, 199, 200].map(holds), [false, true, true, false]);
    }
}
