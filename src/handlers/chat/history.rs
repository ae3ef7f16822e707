//! What was said before: the last questions of a user and the answers to them, in the store.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::clock::unix_seconds;
use crate::store::{Store, StoreError, Version};

/// All that is remembered of a talk has no more, bytes: older turns go first.
const MAX_BYTES: usize = 64 << 10;
/// So often a change is tried again because others were faster.
const MAX_ATTEMPTS: usize = 64;
/// An answer that is worked out takes no longer; so long it is known that its talk was begun anew meanwhile.
const LONGEST_ANSWER: Duration = Duration::from_secs(2 * 60 * 60);

/// Where the talk of a user lies.
pub(super) struct History<'h> {
    pub(super) store: &'h dyn Store,
    pub(super) key: String,
    /// So many are remembered.
    pub(super) turns: usize,
    /// For so long.
    pub(super) age: Duration,
}

/// A talk. No `Debug`: what people say stays out of logs.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Talk {
    /// Grows whenever the talk is begun anew: answers to what was asked before are none of it.
    epoch: u64,
    pub(super) turns: Vec<Turn>,
}

/// A question and its answer.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Turn {
    /// When it was asked, in Unix seconds.
    at: u64,
    pub(super) user: String,
    pub(super) assistant: String,
}

impl Turn {
    pub(super) fn new(at: SystemTime, user: &str, assistant: &str) -> Self {
        Self { at: unix_seconds(at), user: user.to_owned(), assistant: assistant.to_owned() }
    }

    fn size(&self) -> usize {
        self.user.len() + self.assistant.len()
    }
}

impl History<'_> {
    /// What is remembered now; `None` if nothing ever is.
    pub(super) fn load(&self, now: SystemTime) -> Result<Option<Talk>, StoreError> {
        if self.turns == 0 {
            return Ok(None);
        }
        let (mut talk, _) = self.read()?;
        self.trim(&mut talk, now);
        Ok(Some(talk))
    }

    /// Adds a turn to the talk that `asked` was read from, unless it was begun anew meanwhile.
    pub(super) fn add(&self, asked: &Talk, turn: &Turn, now: SystemTime) -> Result<(), StoreError> {
        self.change(|mut talk| {
            (talk.epoch == asked.epoch).then(|| {
                // Those of two questions at once stand in the order in which they were asked.
                let place = talk.turns.partition_point(|other| other.at <= turn.at);
                talk.turns.insert(place, turn.clone());
                self.trim(&mut talk, now);
                talk
            })
        })
    }

    /// Begins the talk anew.
    pub(super) fn forget(&self) -> Result<(), StoreError> {
        if self.turns == 0 {
            return Ok(());
        }
        self.change(|talk| Some(Talk { epoch: talk.epoch + 1, turns: Vec::new() }))
    }

    fn read(&self) -> Result<(Talk, Option<Version>), StoreError> {
        let Some(value) = self.store.get(&self.key)? else { return Ok((Talk::default(), None)) };
        // What cannot be read was none of ours; the talk begins with it.
        Ok((serde_json::from_slice(&value.bytes).unwrap_or_default(), Some(value.version)))
    }

    /// Puts back what `change` makes of the talk; again if others were faster. `None` leaves it.
    fn change(&self, change: impl Fn(Talk) -> Option<Talk>) -> Result<(), StoreError> {
        for _ in 0..MAX_ATTEMPTS {
            let (talk, version) = self.read()?;
            let Some(talk) = change(talk) else { return Ok(()) };
            let bytes = serde_json::to_vec(&talk).unwrap_or_default();
            if self.store.put_if(&self.key, version, &bytes, self.age.max(LONGEST_ANSWER))? {
                return Ok(());
            }
        }
        log::warn!(target: "chat", "a talk was changed so often at once that a turn of it is lost");
        Ok(())
    }

    /// Forgets what is too old or too much.
    fn trim(&self, talk: &mut Talk, now: SystemTime) {
        let oldest = unix_seconds(now).saturating_sub(self.age.as_secs());
        talk.turns.retain(|turn| turn.at >= oldest);
        let mut left = MAX_BYTES;
        let fits = |turn: &&Turn| {
            let size = turn.size();
            let fits = size <= left;
            left = left.saturating_sub(size);
            fits
        };
        let kept = talk.turns.iter().rev().take(self.turns).take_while(fits).count();
        talk.turns.drain(..talk.turns.len() - kept);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::thread;
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::store::sqlite::{Journal, Sqlite};

    fn store(folder: &Path) -> Sqlite {
        Sqlite::new(folder.join("state.db"), Journal::Wal, Duration::from_secs(20), "wx")
    }

    fn history(store: &Sqlite, turns: usize) -> History<'_> {
        History { store, key: "chat/gpt/oUser".to_owned(), turns, age: Duration::from_secs(600) }
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
    }

    fn questions(history: &History<'_>, now: SystemTime) -> Vec<String> {
        history.load(now).unwrap().unwrap().turns.into_iter().map(|turn| turn.user).collect()
    }

    fn add(history: &History<'_>, second: u64, question: &str) {
        let talk = history.load(at(second)).unwrap().unwrap();
        history.add(&talk, &Turn::new(at(second), question, "答"), at(second)).unwrap();
    }

    #[test]
    fn the_last_turns_are_remembered_for_their_time() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let history = history(&store, 3);
        for (second, question) in ["一", "二", "三", "四"].into_iter().enumerate() {
            add(&history, second as u64 * 100, question);
        }
        assert_eq!(questions(&history, at(300)), ["二", "三", "四"]);
        assert_eq!(questions(&history, at(801)), ["四"]);
        assert_eq!(questions(&history, at(901)), [""; 0]);
    }

    #[test]
    fn nothing_is_written_where_nothing_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let none = history(&store, 0);
        assert!(none.load(at(0)).unwrap().is_none());
        none.forget().unwrap();
        assert!(!folder.path().join("state.db").exists());
    }

    #[test]
    fn old_turns_make_room_for_large_ones() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let history = history(&store, 100);
        (0..4).for_each(|number| add(&history, number, &number.to_string().repeat(MAX_BYTES / 3)));
        let sizes: Vec<_> = questions(&history, at(9)).iter().map(|text| text[..1].to_owned()).collect();
        assert_eq!(sizes, ["2", "3"]);
        add(&history, 5, &"x".repeat(MAX_BYTES));
        assert_eq!(questions(&history, at(9)), [""; 0]);
    }

    #[test]
    fn an_answer_to_what_was_asked_before_the_talk_began_anew_is_none_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let history = history(&store, 9);
        add(&history, 0, "早");
        let asked = history.load(at(1)).unwrap().unwrap();
        history.forget().unwrap();
        history.add(&asked, &Turn::new(at(1), "旧", "答"), at(3)).unwrap();
        assert_eq!(questions(&history, at(4)), [""; 0]);
        add(&history, 5, "新");
        assert_eq!(questions(&history, at(6)), ["新"]);
    }

    #[test]
    fn of_many_questions_at_once_no_turn_is_lost() {
        const MANY: usize = 24;
        let folder = tempfile::tempdir().unwrap();
        thread::scope(|scope| {
            for number in 0..MANY {
                let folder = folder.path();
                scope.spawn(move || {
                    add(&history(&store(folder), MANY), number as u64, &format!("{number:02}"));
                });
            }
        });
        let expected: Vec<_> = (0..MANY).map(|number| format!("{number:02}")).collect();
        assert_eq!(questions(&history(&store(folder.path()), MANY), at(60)), expected);
    }

    #[test]
    fn what_is_no_talk_is_the_begin_of_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let history = history(&store, 3);
        store.put(&history.key, b"\xff", Duration::from_secs(60)).unwrap();
        add(&history, 0, "一");
        assert_eq!(questions(&history, at(0)), ["一"]);
    }
}
