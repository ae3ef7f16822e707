//! What is remembered of the sender of a message, taken out of the store and put back once he is answered.
//!
//! All that is known of one user is one value of the store. It is put back only if nobody changed it meanwhile: of two
//! messages at once the second is answered again, from what the first left. With it goes what the message was answered,
//! so that WeChat's repeats of it get the same, and neither count nor move a dialog twice.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::means::Means;
use crate::clock::unix_seconds;
use crate::delivery::{Answer, Order, key_of};
use crate::rules::{Count, Limit, Past, Rule, Session, SessionFull, UserMemory};
use crate::store::{REPEATED_WITHIN, Store, StoreError, Value};
use crate::wechat::message::Message;

/// What is remembered of a user is forgotten when nothing was written for so long; that he is no newcomer never is.
const LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);
const FOR_GOOD: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Answers that are kept for repeats; a person does not send more within the time that WeChat repeats.
const MAX_ANSWERS: usize = 16;

/// So often a change is tried again because others were faster.
const MAX_ATTEMPTS: usize = 64;

/// What became of a message, as it is kept for its repeats.
#[derive(Clone, Serialize, Deserialize)]
pub(super) enum Remembered {
    /// It was answered this.
    Answered(Answer),
    /// Its answer was ordered: who delivers it knows more.
    Ordered(Order),
}

/// What the store has of a user.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Record {
    user: UserMemory,
    answers: Vec<Given>,
}

/// What a message was answered.
#[derive(Serialize, Deserialize)]
struct Given {
    message: String,
    /// It is kept so long, in Unix seconds.
    until: u64,
    became: Remembered,
}

/// A number that all users count up together, and who of late made it what.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Counter {
    count: Count,
    turn: u64,
    messages: Vec<(String, u64)>,
}

/// What is remembered of the sender of one message.
pub(super) struct Memory {
    store: Option<Arc<dyn Store>>,
    /// Of the user.
    key: String,
    message: String,
    now: SystemTime,
    /// Nothing is asked any more after that.
    deadline: Instant,
    loaded: Option<Record>,
    /// The same as the store gave it.
    found: Option<Value>,
    /// As what it was put back.
    kept: Vec<u8>,
    /// What it becomes.
    draft: RefCell<UserMemory>,
    is_known: Cell<bool>,
    is_away: Cell<bool>,
    /// How often all users got a rule, as far as it was asked.
    totals: RefCell<BTreeMap<String, Option<Count>>>,
    /// Limits that this message is to be counted under.
    to_count: RefCell<Vec<Limit>>,
    /// Where it was counted already.
    counted: BTreeSet<String>,
    /// Whether it could not be counted where it was to be.
    is_uncounted: bool,
    turns: RefCell<BTreeMap<String, u64>>,
}

/// The store cannot be asked.
struct StoreIsAway;

/// What became of writing down.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is written.
    Done,
    /// Another message was faster: it has to be answered again.
    Overtaken,
    /// The store did not take it.
    Failed,
}

impl Memory {
    /// What is remembered of the sender of `message`, which is to be answered until `deadline`.
    pub(super) fn load(message: &Message<'_>, means: &dyn Means, now: SystemTime, deadline: Instant) -> Self {
        let store = means.store().map_err(|why| log::error!(target: "store", "{why}")).ok();
        let mut memory = Self {
            is_away: Cell::new(store.is_none()),
            store,
            key: format!("user/{}", message.from_user),
            message: if means.knows_repeats() { key_of(message) } else { String::new() },
            now,
            deadline,
            loaded: None,
            found: None,
            kept: Vec::new(),
            draft: RefCell::default(),
            is_known: Cell::default(),
            totals: RefCell::default(),
            to_count: RefCell::default(),
            counted: BTreeSet::new(),
            is_uncounted: false,
            turns: RefCell::default(),
        };
        memory.reload();
        memory
    }

    /// Forgets what this message changed, and looks again.
    pub(super) fn reload(&mut self) {
        self.totals.take();
        self.to_count.take();
        self.loaded = self.ask(|store| store.get(&self.key)).map(|value| {
            self.found = value;
            self.found.as_ref().and_then(|value| read(&self.key, &value.bytes)).unwrap_or_default()
        });
        self.draft = RefCell::new(self.loaded.as_ref().map(|it| it.user.clone()).unwrap_or_default());
    }

    /// What this very message was answered before.
    pub(super) fn answer(&self) -> Option<Remembered> {
        let answers = self.loaded.iter().flat_map(|record| &record.answers);
        let mut same = answers.filter(|given| !self.message.is_empty() && given.message == self.message);
        same.next().map(|given| given.became.clone())
    }

    /// Whether the store cannot be asked.
    pub(super) fn is_away(&self) -> bool {
        self.loaded.is_none() || self.is_away.get()
    }

    /// The values of the session, as rules have left them so far.
    pub(super) fn session(&self) -> Session {
        self.draft.borrow().values.clone()
    }

    pub(super) fn set(&self, name: &str, value: serde_json::Value) -> Result<(), SessionFull> {
        self.draft.borrow_mut().set(name, value)
    }

    /// Writes down that the rule was carried out.
    pub(super) fn note_given(&self, rule: &Rule) {
        let mut draft = self.draft.borrow_mut();
        rule.when.note_given(&mut draft, self.now);
        draft.turn(&rule.sequel.step, self.now);
        self.to_count.borrow_mut().extend(rule.when.totals().cloned());
    }

    /// What is remembered now, to go back to it where a rule fails halfway.
    pub(super) fn draft(&self) -> UserMemory {
        self.draft.borrow().clone()
    }

    pub(super) fn go_back_to(&self, draft: UserMemory) {
        self.draft.replace(draft);
    }

    /// Whose turn it is in the list `key`: how often it was asked before, by other messages.
    pub(super) fn turn(&self, key: &str) -> Option<u64> {
        if let Some(turn) = self.turns.borrow().get(key) {
            return Some(*turn);
        }
        let turn = self.change(&format!("turn/{key}"), |counter| {
            let turn = counter.turn;
            counter.turn = turn.wrapping_add(1);
            Some(turn)
        });
        let turn = turn.ok().flatten()?;
        self.turns.borrow_mut().insert(key.to_owned(), turn);
        Some(turn)
    }

    /// Puts back what the message left, and what it was answered.
    pub(super) fn keep(&mut self, became: &Remembered) -> Kept {
        if self.is_away() {
            return Kept::Failed;
        }
        for limit in self.to_count.take() {
            match self.count(&limit) {
                Some(true) => drop(self.counted.insert(limit.key)),
                Some(false) => return Kept::Overtaken,
                None => {
                    self.is_uncounted = true;
                    return Kept::Failed;
                }
            }
        }
        let record = self.next_record(became);
        let life = if record.user.is_known { FOR_GOOD } else { LIFE };
        self.kept = serde_json::to_vec(&record).unwrap_or_default();
        let seen = self.found.as_ref().map(|value| value.version);
        match self.ask(|store| store.put_if(&self.key, seen, &self.kept, life)) {
            Some(true) => Kept::Done,
            Some(false) => Kept::Overtaken,
            None => Kept::Failed,
        }
    }

    /// Makes what is remembered of the user what it was before it was kept, unless another message has changed it since.
    /// What all users share stays counted: a limit may let less pass, and never more.
    pub(super) fn take_back(&self) {
        let Some(store) = self.store.as_deref() else { return };
        let taken = store.get(&self.key).and_then(|value| match (value, &self.found) {
            (Some(ours), _) if ours.bytes != self.kept => Ok(false),
            (None, _) => Ok(false),
            (Some(ours), None) => store.remove_if(&self.key, ours.version),
            (Some(ours), Some(found)) => {
                store.put_if(&self.key, Some(ours.version), &found.bytes, found.remaining)
            }
        });
        if !matches!(taken, Ok(true)) {
            log::error!(target: "store", "what a message changed that was answered in its place stays changed");
        }
    }

    /// Whether anything changes, or is counted, but what is kept for repeats.
    pub(super) fn has_changed(&self) -> bool {
        let is_user_changed = |record: &Record| record.user != *self.draft.borrow();
        self.is_uncounted || self.loaded.as_ref().is_some_and(is_user_changed)
    }

    fn next_record(&mut self, became: &Remembered) -> Record {
        let now = unix_seconds(self.now);
        let mut user = self.draft.borrow().clone();
        user.prune(self.now);
        user.is_known |= self.is_known.get();
        let before = self.loaded.as_mut().map(|record| std::mem::take(&mut record.answers));
        let mut answers: Vec<_> = before.unwrap_or_default();
        answers.retain(|given| now < given.until);
        if !self.message.is_empty() {
            let until = now.saturating_add(REPEATED_WITHIN.as_secs());
            answers.push(Given { message: self.message.clone(), until, became: became.clone() });
        }
        answers.drain(..answers.len().saturating_sub(MAX_ANSWERS));
        Record { user, answers }
    }

    /// Counts the message under a limit of all users; `Some(false)` if others have used it up.
    fn count(&self, limit: &Limit) -> Option<bool> {
        if self.counted.contains(&limit.key) {
            return Some(true);
        }
        let counted = self.change(&total_key(&limit.key), |counter| {
            let is_left = limit.all.is_none_or(|all| counter.count.now(self.now) < all);
            is_left.then(|| counter.count = counter.count.and_one(&limit.per, self.now))?;
            Some(0)
        });
        Some(counted.ok()?.is_some())
    }

    /// Changes a counter, once for each message: `change` gives what it became, or leaves it alone.
    fn change(
        &self,
        key: &str,
        mut change: impl FnMut(&mut Counter) -> Option<u64>,
    ) -> Result<Option<u64>, StoreIsAway> {
        for _ in 0..MAX_ATTEMPTS {
            let value = self.ask(|store| store.get(key)).ok_or(StoreIsAway)?;
            let version = value.as_ref().map(|value| value.version);
            let mut counter: Counter = value.and_then(|value| read(key, &value.bytes)).unwrap_or_default();
            let same = counter.messages.iter().find(|(message, _)| *message == self.message);
            if let Some((_, made)) = same.filter(|_| !self.message.is_empty()) {
                return Ok(Some(*made));
            }
            let Some(made) = change(&mut counter) else { return Ok(None) };
            counter.messages.push((self.message.clone(), made));
            counter.messages.drain(..counter.messages.len().saturating_sub(MAX_ANSWERS));
            let bytes = serde_json::to_vec(&counter).unwrap_or_default();
            let is_kept = self.ask(|store| store.put_if(key, version, &bytes, FOR_GOOD));
            if is_kept.ok_or(StoreIsAway)? {
                return Ok(Some(made));
            }
        }
        Err(StoreIsAway)
    }

    /// Asks the store, unless it has failed already or there is no time left.
    fn ask<T>(&self, ask: impl FnOnce(&dyn Store) -> Result<T, StoreError>) -> Option<T> {
        let store = self.store.as_deref().filter(|_| !self.is_away.get())?;
        let answer = if Instant::now() < self.deadline {
            ask(store).map_err(|error| log::error!(target: "store", "{error}")).ok()
        } else {
            log::error!(target: "store", "the store is too slow: no time is left for this message");
            None
        };
        self.is_away.set(answer.is_none());
        answer
    }
}

impl Past for Memory {
    fn user(&self) -> Option<&UserMemory> {
        self.loaded.as_ref().map(|record| &record.user)
    }

    fn total(&self, key: &str) -> Option<Count> {
        if self.counted.contains(key) {
            return Some(Count::default());
        }
        if let Some(total) = self.totals.borrow().get(key) {
            return *total;
        }
        let key_of_total = total_key(key);
        let value = self.ask(|store| store.get(&key_of_total));
        let total = value.map(|value| {
            let counter: Option<Counter> = value.and_then(|value| read(&key_of_total, &value.bytes));
            counter.unwrap_or_default().count
        });
        self.totals.borrow_mut().insert(key.to_owned(), total);
        total
    }

    fn note_known(&self) {
        self.is_known.set(true);
    }
}

// What people wrote stays out of logs.
impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({:?})", self.draft.borrow())
    }
}

fn total_key(key: &str) -> String {
    format!("total/{key}")
}

/// What cannot be read was written by a later version, or by another program: as good as nothing.
fn read<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Option<T> {
    let read = serde_json::from_slice(bytes);
    let kind = key.split('/').next().unwrap_or_default();
    read.map_err(|error| log::error!(target: "store", "what is kept of a {kind} cannot be read: {error}"))
        .ok()
}
