//! Why a rule meets a message or does not. What is told here is what the matching itself asked.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use super::condition::{Area, Condition, Field, Test, lot};
use super::engine::china_time;
use super::fold::{Fold, Folded};
use super::handler::GuardBy;
use super::memory::{Limit, Period};
use super::pattern::Pattern;
use super::subject::{Circumstance, Subject};
use super::{Flow, Rule, Rules};
use crate::wechat::message::Message;

/// So many words of a list are shown.
const SHOWN: usize = 5;

/// So many letters of a text are shown.
const SHOWN_LETTERS: usize = 60;

/// What became of one rule when a message came.
#[derive(Debug)]
pub struct Tried {
    /// The rule.
    pub rule: Arc<Rule>,
    /// What became of it.
    pub verdict: Verdict,
    /// The tests that were asked, in their order.
    pub asked: Vec<Asked>,
}

/// What becomes of a rule.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It meets the message, and cuts this out of it: names and texts.
    Meets(Vec<(String, String)>),
    /// The last test that was asked does not hold.
    Misses,
    /// A rule before it met, and lets no others come.
    NotTried,
    /// It is switched off.
    Disabled,
}

/// A test that was asked.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    /// The test, much as a config writes it: `when.prefix = "查"`.
    pub test: String,
    /// What it looked at.
    pub seen: String,
    /// What it said.
    pub holds: bool,
}

impl Rules {
    /// What becomes of every rule when `message` comes, those that are switched off among them, in their order.
    #[must_use]
    pub fn explain<'m>(&self, message: &Message<'m>, circumstance: &Circumstance<'m>) -> Vec<Tried> {
        let subject = Subject::of(message, circumstance);
        let off =
            |from: usize, to: usize| {
                self.disabled.iter().filter(move |(place, _)| (from..to).contains(place)).map(|(_, rule)| {
                    Tried { rule: Arc::clone(rule), verdict: Verdict::Disabled, asked: Vec::new() }
                })
            };
        let mut all = Vec::new();
        let mut is_over = false;
        for (place, rule) in self.iter().enumerate() {
            all.extend(off(place, place + 1));
            let tried = if is_over { Tried::not(rule) } else { Tried::by(rule, &subject) };
            is_over |= tried.rule.flow == Flow::Stop && matches!(tried.verdict, Verdict::Meets(_));
            all.push(tried);
        }
        all.extend(off(self.source.len(), usize::MAX));
        all
    }
}

impl Tried {
    fn by(rule: Arc<Rule>, subject: &Subject<'_>) -> Self {
        let mut asked = Vec::new();
        let captures = rule.when.ask(subject, |test, holds| {
            asked.push(Asked { test: written(test), seen: seen(test, &rule.when, subject), holds });
        });
        let verdict = captures.map_or(Verdict::Misses, |captures| {
            let owned = captures.iter().map(|(name, text)| (name.to_owned(), text.to_owned()));
            Verdict::Meets(owned.collect())
        });
        Self { rule, verdict, asked }
    }

    fn not(rule: Arc<Rule>) -> Self {
        Self { rule, verdict: Verdict::NotTried, asked: Vec::new() }
    }
}

/// A test, much as a config writes it; its words as they are compared.
fn written(test: &Test) -> String {
    match test {
        Test::Text(words) => format!("when.text = {}", list(words)),
        Test::Contains(words) => format!("when.contains = {}", list(words)),
        Test::Prefix(words) => format!("when.prefix = {}", list(words)),
        Test::Suffix(words) => format!("when.suffix = {}", list(words)),
        Test::AllOf(words) => format!("when.all_of = {}", list(words)),
        Test::NoneOf(words) => format!("when.none_of = {}", list(words)),
        Test::Regex(patterns) => format!("when.regex = {}", expressions(patterns)),
        Test::Type(types) => format!("when.type = {}", list(types)),
        Test::Event(events) => format!("when.event = {}", list(events)),
        Test::Key(keys) => format!("when.key = {}", list(keys)),
        Test::KeyRegex(patterns) => format!("when.key_regex = {}", expressions(patterns)),
        Test::Field(field) => format!("when.field.{}", written_field(field)),
        Test::Near(areas) => {
            let areas: Vec<_> = areas.iter().map(written_area).collect();
            format!("when.near = {}", joined(&areas))
        }
        Test::From(openids) => format!("when.from = {}", list(openids)),
        Test::NotFrom(openids) => format!("when.not_from = {}", list(openids)),
        Test::Sent => "a person sent it".to_owned(),
        Test::Share(share) => format!("when.share = \"{}%\"", percent(u64::from(*share))),
        Test::Valid(from, until) => written_validity(*from, *until),
        Test::Step(name, None) => format!("step `{name}` waits for it"),
        Test::Step(name, Some(tries)) => {
            format!("step `{name}` waits for it and was asked again less than {tries} times")
        }
        Test::Session(field) => format!("when.session.{}", written_field(field)),
        Test::First => "when.first = true".to_owned(),
        Test::OnceEvery(_, seconds) => format!("once_every = \"{seconds}s\""),
        Test::Limit(limit) => written_limit(limit),
        Test::Guard(guard) => match &guard.by {
            GuardBy::Exec(exec) => format!("when.exec = {:?}", exec.command),
            GuardBy::Http(http) => format!("when.http = {:?}", http.url),
        },
        Test::Calendar(calendar) => {
            let parts = [
                ("hours", calendar.hours.iter().map(ToString::to_string).collect::<Vec<_>>()),
                ("weekdays", calendar.weekdays.iter().map(ToString::to_string).collect()),
                ("dates", calendar.dates.iter().map(ToString::to_string).collect()),
            ];
            let parts = parts.iter().filter(|(_, spans)| !spans.is_empty());
            parts.map(|(key, spans)| format!("when.{key} = {}", list(spans))).collect::<Vec<_>>().join(", ")
        }
    }
}

fn written_field(field: &Field) -> String {
    let Field { path, equals, regex, min, max } = field;
    let mut parts = Vec::new();
    if !equals.is_empty() {
        parts.push(format!("equals = {}", list(equals)));
    }
    if !regex.is_empty() {
        parts.push(format!("regex = {}", expressions(regex)));
    }
    parts.extend(min.map(|min| format!("min = {min}")));
    parts.extend(max.map(|max| format!("max = {max}")));
    format!("{path} = {{ {} }}", parts.join(", "))
}

fn written_limit(limit: &Limit) -> String {
    let times = [("user", limit.user), ("all", limit.all)].into_iter();
    let mut parts: Vec<_> = times.filter_map(|(key, times)| Some(format!("{key} = {}", times?))).collect();
    parts.push(match limit.per {
        Period::Day(_) => "per = \"day\"".to_owned(),
        Period::Seconds(seconds) => format!("per = \"{seconds}s\""),
    });
    format!("limit = {{ {} }}", parts.join(", "))
}

fn written_area(area: &Area) -> String {
    let Area { latitude, longitude, radius } = area;
    format!("{{ latitude = {latitude}, longitude = {longitude}, radius = \"{radius}m\" }}")
}

fn written_validity(from: i64, until: i64) -> String {
    let mut text = "valid".to_owned();
    if from > i64::MIN {
        let _ = write!(text, " from {}", china_time_of(from));
    }
    if until < i64::MAX {
        let _ = write!(text, " until {}", china_time_of(until));
    }
    text + " in China"
}

fn china_time_of(seconds: i64) -> String {
    let timestamp = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    china_time(timestamp.into())
}

fn list(words: &[String]) -> String {
    joined(&words.iter().take(SHOWN + 1).map(|word| format!("{word:?}")).collect::<Vec<_>>())
        + &more(words.len())
}

fn expressions(patterns: &[Pattern]) -> String {
    let sources: Vec<_> =
        patterns.iter().take(SHOWN + 1).map(|pattern| format!("'{}'", pattern.source())).collect();
    joined(&sources) + &more(patterns.len())
}

/// One as it is, several as a list.
fn joined(items: &[String]) -> String {
    match items {
        [only] => only.clone(),
        all => format!("[{}]", all.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ")),
    }
}

fn more(count: usize) -> String {
    if count > SHOWN { format!(" and {} more", count - SHOWN) } else { String::new() }
}

/// Hundredths of a percent.
fn percent(share: u64) -> String {
    format!("{}.{:02}", share / 100, share % 100).trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What a test of `condition` looked at.
fn seen(test: &Test, condition: &Condition, subject: &Subject<'_>) -> String {
    let the_text = |part: for<'f> fn(&'f Folded<'_>) -> &'f str| match subject.folded(condition.fold) {
        Some(folded) => format!("the text{} is {:?}", as_folded(condition.fold), shortened(part(folded))),
        None => "there is no text".to_owned(),
    };
    match test {
        Test::Text(_) => the_text(|folded| folded.whole()),
        Test::Contains(_)
        | Test::Prefix(_)
        | Test::Suffix(_)
        | Test::AllOf(_)
        | Test::NoneOf(_)
        | Test::Regex(_) => the_text(|folded| folded.text()),
        Test::Type(_) => format!("the type is {:?}", subject.msg_type),
        Test::Event(_) => named("event", subject.event),
        Test::Key(_) | Test::KeyRegex(_) => named("key", subject.key),
        Test::Field(field) => match subject.field(&field.path) {
            Some(value) => format!("it is {value:?}"),
            None => format!("there is no {}", field.path),
        },
        Test::Near(areas) => match subject.place() {
            Some(place) => {
                let nearest = areas.iter().map(|area| area.distance(place)).fold(f64::INFINITY, f64::min);
                format!("the place is {}, {}, {nearest:.0} m from there", place.0, place.1)
            }
            None => "it tells no place".to_owned(),
        },
        Test::From(_) | Test::NotFrom(_) => format!("the sender is {:?}", subject.from_user),
        Test::Sent if subject.is_sent => "somebody waits for an answer".to_owned(),
        Test::Sent => "it is an event, or of a type that is not known".to_owned(),
        Test::Share(_) => format!("the sender's place is {}%", percent(lot(subject.from_user))),
        Test::Valid(..) => format!("it is {} in China", china_time(subject.circumstance.now)),
        Test::Calendar(calendar) => format!("it is {}", calendar.shown(subject.circumstance.now)),
        Test::Guard(_) if subject.circumstance.outside.is_some() => "it was asked".to_owned(),
        Test::Guard(_) => "nobody is asked here".to_owned(),
        Test::Step(..) | Test::Session(_) | Test::First | Test::OnceEvery(..) | Test::Limit(_) => {
            remembered(test, subject)
        }
    }
}

/// What is remembered that a test looked at.
fn remembered(test: &Test, subject: &Subject<'_>) -> String {
    let now = subject.circumstance.now;
    let Some((past, user)) = subject.circumstance.past.and_then(|past| Some((past, past.user()?))) else {
        return "what is remembered of the user cannot be asked".to_owned();
    };
    match test {
        Test::Step(..) => user.step_shown(now),
        Test::Session(field) => match user.values.get(&field.path) {
            Some(value) => format!("it is {value}"),
            None => format!("there is no session.{}", field.path),
        },
        Test::OnceEvery(key, _) if user.rests_from(key, now) => "the user had it since".to_owned(),
        Test::OnceEvery(..) => "the user has not had it since".to_owned(),
        Test::Limit(limit) => {
            let of_all = past.total(&limit.key).filter(|_| limit.all.is_some());
            let of_all = of_all.map(|count| format!(", all users {} times", count.now(now)));
            let of_user = user.count(&limit.key).now(now);
            format!("the user had it {of_user} times{}", of_all.unwrap_or_default())
        }
        _ if user.is_known => "the user wrote before".to_owned(),
        _ => "the user never wrote before".to_owned(),
    }
}

/// The beginning of a long text: each rule tells what it looked at.
fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN_LETTERS) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

fn as_folded(fold: Fold) -> &'static str {
    match fold {
        Fold::Off => "",
        Fold::On => ", folded,",
        Fold::Script => ", folded and simplified,",
    }
}

fn named(noun: &str, name: Option<&str>) -> String {
    name.map_or_else(|| format!("there is no {noun}"), |name| format!("the {noun} is {name:?}"))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::{Calendar, Zone};
    use super::*;
    use crate::wechat::xml;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    fn patterns(sources: &[&str]) -> Vec<Pattern> {
        sources.iter().map(|&source| Pattern::new(source.to_owned())).collect()
    }

    /// What is told of one test, when a message with these fields comes on 2026-11-21 at 12:46 UTC.
    fn told(test: Test, fields: &str) -> (String, String, bool) {
        let document = format!(
            "<xml><ToUserName>g</ToUserName><FromUserName>oUser</FromUserName><CreateTime>1</CreateTime>{fields}</xml>"
        );
        let root = xml::parse(document.as_bytes()).unwrap();
        let message = Message::from_xml(&root).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(1_795_265_160);
        let subject = Subject::of(&message, &Circumstance::at(now));
        let condition = Condition::new(Fold::On, vec![test]);
        let mut told = Vec::new();
        let met = condition.ask(&subject, |test, holds| {
            told.push((written(test), seen(test, &condition, &subject), holds));
        });
        assert_eq!(met.is_some(), told.last().is_some_and(|(.., holds)| *holds));
        told.pop().unwrap()
    }

    #[test]
    fn a_test_is_told_as_a_config_writes_it_with_what_it_looked_at() {
        let text = "<MsgType>text</MsgType><Content>“ＯＫ，天气”</Content>";
        let click = "<MsgType>event</MsgType><Event>CLICK</Event><EventKey>V1</EventKey>";
        let place = "<MsgType>location</MsgType><Location_X>23.1</Location_X><Location_Y>113.3</Location_Y>";
        let calendar = || Calendar {
            zone: Zone::default(),
            hours: vec!["9:00-18:00".parse().unwrap(), "22:30-6:05".parse().unwrap()],
            weekdays: vec!["周六".parse().unwrap()],
            dates: vec!["12-25".parse().unwrap(), "2026-10-01..2026-10-07".parse().unwrap()],
        };
        let many = ["a", "b", "c", "d", "e", "f", "g"];
        let field = |path: &str| Field { path: path.to_owned(), ..Field::default() };
        let near = |latitude| Area { latitude, longitude: 113.3, radius: 500.0 };
        for (test, fields, expected, sees, holds) in [
            (
                Test::Text(words(&["天气"])),
                text,
                r#"when.text = "天气""#,
                "the text, folded, is \"ok,天气\"",
                false,
            ),
            (
                Test::Contains(words(&["Ｏ", "x"])),
                text,
                r#"when.contains = ["o", "x"]"#,
                "the text, folded, is \"“ok,天气”\"",
                true,
            ),
            (
                Test::AllOf(words(&many)),
                click,
                r#"when.all_of = ["a", "b", "c", "d", "e"] and 2 more"#,
                "there is no text",
                false,
            ),
            (
                Test::Regex(patterns(&[r"^\d+$"])),
                text,
                r"when.regex = '^\d+$'",
                "the text, folded, is \"“ok,天气”\"",
                false,
            ),
            (Test::Type(words(&["image"])), text, r#"when.type = "image""#, "the type is \"text\"", false),
            (
                Test::Event(words(&["click"])),
                click,
                r#"when.event = "click""#,
                "the event is \"CLICK\"",
                true,
            ),
            (Test::Key(words(&["V2"])), click, r#"when.key = "V2""#, "the key is \"V1\"", false),
            (Test::KeyRegex(patterns(&["V"])), text, "when.key_regex = 'V'", "there is no key", false),
            (
                Test::Field(Field { min: Some(1.5), equals: words(&["x"]), ..field("Label") }),
                text,
                r#"when.field.Label = { equals = "x", min = 1.5 }"#,
                "there is no Label",
                false,
            ),
            (
                Test::Near(vec![near(23.2), near(23.11)]),
                place,
                "when.near = [{ latitude = 23.2, longitude = 113.3, radius = \"500m\" }, { latitude = 23.11, longitude = 113.3, radius = \"500m\" }]",
                "the place is 23.1, 113.3, 1112 m from there",
                false,
            ),
            (
                Test::NotFrom(words(&["oOther"])),
                text,
                r#"when.not_from = "oOther""#,
                "the sender is \"oUser\"",
                true,
            ),
            (Test::Sent, click, "a person sent it", "it is an event, or of a type that is not known", false),
            (Test::Share(1050), text, "when.share = \"10.5%\"", "the sender's place is 85.68%", false),
            (
                Test::Valid(i64::MIN, 1_795_265_160),
                text,
                "valid until 2026-11-21 20:46:00 in China",
                "it is 2026-11-21 20:46:00 in China",
                false,
            ),
            (
                Test::Calendar(calendar()),
                text,
                r#"when.hours = ["9:00-18:00", "22:30-6:05"], when.weekdays = "sat-sat", when.dates = ["12-25..12-25", "2026-10-01..2026-10-07"]"#,
                "it is Sat 2026-11-21 20:46 in Asia/Shanghai",
                false,
            ),
        ] {
            assert_eq!(told(test, fields), (expected.to_owned(), sees.to_owned(), holds));
        }
    }
}
