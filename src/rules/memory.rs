//! What is remembered of a user from message to message: the step of a dialog that he is in, session values, and how often
//! he got what. Pure: who keeps it lies elsewhere.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::calendar::Zone;
use super::template::{Scope, Session, Template};
use crate::clock::unix_seconds;

/// More values than this, and longer ones, no session has.
const MAX_VALUES: usize = 64;
const MAX_VALUE_BYTES: usize = 4 << 10;

/// What is remembered of one user.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserMemory {
    /// The step of a dialog whose answer he owes.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<OpenStep>,
    /// What rules wrote down: `session.NAME`.
    pub values: Session,
    /// Rules that he gets no more until a time, in Unix seconds.
    rests: BTreeMap<String, u64>,
    /// How often he got a rule in the period that ends at a time, in Unix seconds.
    counts: BTreeMap<String, Count>,
    /// Whether it was asked already whether he is new.
    pub is_known: bool,
}

/// A step that waits for its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OpenStep {
    name: String,
    /// How often it was asked again.
    tries: u32,
    /// It is waited for so long, in Unix seconds.
    until: u64,
}

/// How often, and when counting begins anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// In the period.
    pub times: u32,
    /// When the period ends, in Unix seconds.
    pub until: u64,
}

/// What conditions may ask of the past.
pub trait Past: fmt::Debug {
    /// What is remembered of the sender; `None` if that cannot be asked now: then no condition holds that needs it.
    fn user(&self) -> Option<&UserMemory>;

    /// How often all users together got the rule `key`; `None` if that cannot be asked.
    fn total(&self, key: &str) -> Option<Count>;

    /// Notes that it was asked whether the sender is new: for his next message he is not.
    fn note_known(&self);
}

/// A period in which something is counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Period {
    /// From midnight to midnight there.
    Day(Zone),
    /// So many seconds from the first time on.
    Seconds(u64),
}

/// How often a rule is for the same user, and for all together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// The rule.
    pub key: String,
    /// At most so often for each user.
    pub user: Option<u32>,
    /// At most so often for all together.
    pub all: Option<u32>,
    /// In such a period.
    pub per: Period,
}

/// What a rule that met changes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sequel {
    /// Values of the session, by their names.
    pub session: Vec<(String, Setting)>,
    /// Where the dialog goes.
    pub step: Turn,
}

/// A value for the session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Setting {
    /// What the template makes; nothing forgets the value.
    Text(Template),
    /// A whole number.
    Whole(i64),
    /// A number.
    Number(f64),
    /// Yes or no.
    Flag(bool),
}

/// Where a dialog goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Turn {
    /// It stays where it is.
    #[default]
    Stay,
    /// It is over.
    Leave,
    /// This step waits for the next message, for so many seconds.
    Enter(String, u64),
    /// The same step is asked once more, and waits for so many seconds.
    Again(u64),
}

/// Why a session cannot hold a value.
#[derive(Debug, thiserror::Error)]
#[error("the session cannot hold `{0}`: at most {MAX_VALUES} values of {MAX_VALUE_BYTES} bytes")]
pub struct SessionFull(String);

impl UserMemory {
    /// Whether the step `name` waits for his message, and was asked again less than `tries` times.
    #[must_use]
    pub fn is_in(&self, name: &str, tries: Option<u32>, now: SystemTime) -> bool {
        self.step.as_ref().is_some_and(|step| {
            step.name == name
                && unix_seconds(now) < step.until
                && tries.is_none_or(|tries| step.tries < tries)
        })
    }

    /// The step that waits for his message, for people.
    pub(super) fn step_shown(&self, now: SystemTime) -> String {
        match self.step.as_ref().filter(|step| unix_seconds(now) < step.until) {
            Some(OpenStep { name, tries, .. }) => {
                format!("the user is in step `{name}`, asked again {tries} times")
            }
            None => "the user is in no step".to_owned(),
        }
    }

    pub(super) fn rests_from(&self, key: &str, now: SystemTime) -> bool {
        self.rests.get(key).is_some_and(|until| unix_seconds(now) < *until)
    }

    pub(super) fn count(&self, key: &str) -> Count {
        self.counts.get(key).copied().unwrap_or_default()
    }

    pub(super) fn rest_from(&mut self, key: &str, seconds: u64, now: SystemTime) {
        self.rests.insert(key.to_owned(), unix_seconds(now).saturating_add(seconds));
    }

    pub(super) fn count_one(&mut self, key: &str, per: &Period, now: SystemTime) {
        let count = self.count(key).and_one(per, now);
        self.counts.insert(key.to_owned(), count);
    }

    /// Takes the turn of a rule.
    pub fn turn(&mut self, turn: &Turn, now: SystemTime) {
        let until = |seconds: u64| unix_seconds(now).saturating_add(seconds);
        match turn {
            Turn::Stay => {}
            Turn::Leave => self.step = None,
            Turn::Enter(name, seconds) => {
                self.step = Some(OpenStep { name: name.clone(), tries: 0, until: until(*seconds) });
            }
            Turn::Again(seconds) => {
                if let Some(step) = &mut self.step {
                    (step.tries, step.until) = (step.tries + 1, until(*seconds));
                }
            }
        }
    }

    /// Forgets what is over.
    pub fn prune(&mut self, now: SystemTime) {
        let now = unix_seconds(now);
        self.step = self.step.take().filter(|step| now < step.until);
        self.rests.retain(|_, until| now < *until);
        self.counts.retain(|_, count| now < count.until);
    }

    /// Writes a value down; an empty text or `null` forgets it.
    ///
    /// # Errors
    ///
    /// If it is too large, or one too many.
    pub fn set(&mut self, name: &str, value: serde_json::Value) -> Result<(), SessionFull> {
        if value.is_null() || value.as_str() == Some("") {
            self.values.remove(name);
            return Ok(());
        }
        let length = value.as_str().map_or_else(|| value.to_string().len(), str::len).max(name.len());
        let is_new = !self.values.contains_key(name);
        if length > MAX_VALUE_BYTES || is_new && self.values.len() >= MAX_VALUES {
            return Err(SessionFull(name.to_owned()));
        }
        self.values.insert(name.to_owned(), value);
        Ok(())
    }
}

impl Count {
    /// How often in the period that is on.
    #[must_use]
    pub fn now(self, now: SystemTime) -> u32 {
        if unix_seconds(now) < self.until { self.times } else { 0 }
    }

    /// One more.
    #[must_use]
    pub fn and_one(self, per: &Period, now: SystemTime) -> Self {
        let until = if self.now(now) > 0 { self.until } else { per.end(now) };
        Self { times: self.now(now).saturating_add(1), until }
    }
}

impl Period {
    /// When a period ends that is on, or begins, now: in Unix seconds.
    #[must_use]
    pub fn end(&self, now: SystemTime) -> u64 {
        match self {
            Self::Day(zone) => zone.end_of_day(now),
            Self::Seconds(seconds) => unix_seconds(now).saturating_add(*seconds),
        }
    }
}

impl Limit {
    /// Whether the limit lets a message of the sender pass.
    pub(super) fn holds(&self, past: &dyn Past, now: SystemTime) -> bool {
        let below = |count: Count, limit: u32| count.now(now) < limit;
        let Some(user) = past.user() else { return false };
        self.user.is_none_or(|limit| below(user.count(&self.key), limit))
            && self.all.is_none_or(|limit| past.total(&self.key).is_some_and(|count| below(count, limit)))
    }
}

impl Sequel {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.session.is_empty() && self.step == Turn::Stay
    }
}

impl Setting {
    /// The value for the message in `scope`.
    ///
    /// # Errors
    ///
    /// If a template cannot be filled in.
    pub fn value(&self, scope: &Scope<'_>) -> Result<serde_json::Value, super::TemplateError> {
        Ok(match self {
            Self::Text(template) => template.render(scope)?.into_owned().into(),
            Self::Whole(number) => (*number).into(),
            Self::Number(number) => (*number).into(),
            Self::Flag(flag) => (*flag).into(),
        })
    }
}

// What people wrote stays out of logs.
impl fmt::Debug for UserMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserMemory({:?}, {} values)", self.step, self.values.len())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_step_waits_until_its_time_is_over_or_it_was_asked_too_often() {
        let mut user = UserMemory::default();
        user.turn(&Turn::Enter("city".to_owned(), 60), at(100));
        assert!(user.is_in("city", None, at(159)) && user.is_in("city", Some(1), at(159)));
        assert!(!user.is_in("city", None, at(160)) && !user.is_in("count", None, at(100)));
        user.turn(&Turn::Again(60), at(150));
        assert!(user.is_in("city", Some(2), at(209)) && !user.is_in("city", Some(1), at(209)));
        user.turn(&Turn::Stay, at(150));
        assert!(user.is_in("city", None, at(150)));
        user.turn(&Turn::Leave, at(150));
        assert!(!user.is_in("city", None, at(150)));
        user.turn(&Turn::Again(60), at(150));
        assert_eq!(user, UserMemory::default());
    }

    #[test]
    fn what_is_counted_begins_anew_with_its_period() {
        let mut user = UserMemory::default();
        let (hour, day) = (Period::Seconds(3600), Period::Day(Zone::parse("+08:00").unwrap()));
        // Half past eleven in the evening there.
        let evening = 1_700_000_000 / 86_400 * 86_400 + 15 * 3600 + 1800;
        for second in 0..3 {
            user.count_one("hour", &hour, at(evening + second));
            user.count_one("day", &day, at(evening + second));
        }
        let counts = |user: &UserMemory, second| ["hour", "day"].map(|key| user.count(key).now(at(second)));
        assert_eq!(counts(&user, evening + 1799), [3, 3]);
        assert_eq!(counts(&user, evening + 1800), [3, 0]);
        assert_eq!(counts(&user, evening + 3600), [0, 0]);
        user.count_one("hour", &hour, at(evening + 3600));
        assert_eq!(counts(&user, evening + 3600), [1, 0]);
        user.prune(at(evening + 3600));
        assert_eq!(user.counts.len(), 1);
    }

    #[test]
    fn a_session_has_a_bound_and_nothing_forgets() {
        let mut user = UserMemory::default();
        for number in 0..MAX_VALUES {
            user.set(&format!("v{number}"), number.into()).unwrap();
        }
        assert!(user.set("more", 1.into()).is_err());
        user.set("v1", "".into()).unwrap();
        assert!(user.set("long", "x".repeat(MAX_VALUE_BYTES + 1).into()).is_err());
        user.set("more", 1.into()).unwrap();
        assert_eq!((user.values.get("v1"), user.values.len()), (None, MAX_VALUES));
        user.set("v2", serde_json::Value::Null).unwrap();
        user.set("v2", serde_json::Value::Null).unwrap();
        assert_eq!((user.values.get("v2"), user.values.len()), (None, MAX_VALUES - 1));
    }

    #[test]
    fn what_is_no_text_has_the_same_bound() {
        let mut user = UserMemory::default();
        let list_of = |bytes: usize| serde_json::json!(["x".repeat(bytes)]);
        user.set("list", list_of(MAX_VALUE_BYTES - 10)).unwrap();
        assert!(user.set("list", list_of(MAX_VALUE_BYTES)).is_err());
        assert!(user.set("object", serde_json::json!({"x".repeat(MAX_VALUE_BYTES): 1})).is_err());
        assert!(user.set(&"x".repeat(MAX_VALUE_BYTES + 1), 1.into()).is_err());
        assert_eq!(user.values.len(), 1);
    }

    #[test]
    fn it_is_read_as_it_was_written_and_older_ones_are_read_too() {
        let mut user = UserMemory::default();
        user.turn(&Turn::Enter("city".to_owned(), 60), at(100));
        user.set("city", "上海".into()).unwrap();
        user.rest_from("default", 60, at(100));
        let bytes = serde_json::to_vec(&user).unwrap();
        assert_eq!(serde_json::from_slice::<UserMemory>(&bytes).unwrap(), user);
        assert_eq!(serde_json::from_slice::<UserMemory>(b"{}").unwrap(), UserMemory::default());
    }
}
