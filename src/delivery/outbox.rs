//! What waits for a user until he asks for it: late answers, the rest of long texts, further replies.
//!
//! All of one user is one value of the store, changed only if nobody else changed it meanwhile. Answers wait in the order
//! of their messages, also those that are still being worked out: of two messages the second one's answer does not
//! overtake the first one's.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::decision::Decision;
use super::order::Order;
use super::record::{self, Change};
use crate::clock::unix_seconds;
use crate::store::{REPEATED_WITHIN, Store, StoreError};
use crate::wechat::reply::Reply;

/// Messages of one user whose answers wait at most; the oldest makes room.
const MAX_ENTRIES: usize = 32;
/// Pieces that are kept for WeChat's repeats at most.
const MAX_GIVEN: usize = 16;
/// Whoever takes a piece knows within so long, in seconds, whether its user has it. Who has died before that has not
/// answered, and WeChat asks again for the same message.
const CERTAIN_AFTER: u64 = 10;
/// Whoever pushes a piece knows within so long, in seconds, whether WeChat took it.
const PUSHED_WITHIN: u64 = 90;
/// It was given up to push it, and is not noted everywhere yet.
const LET_GO: u64 = 1;

/// The outbox of one user.
pub(super) struct Outbox<'s> {
    store: &'s dyn Store,
    key: String,
    keep: Duration,
    /// When the message was sent that it is asked for, in Unix seconds.
    time: u64,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Record {
    entries: Vec<Entry>,
    given: Vec<Given>,
}

/// What one message is still to be answered.
#[derive(Serialize, Deserialize)]
struct Entry {
    message: String,
    /// When that was sent, in Unix seconds.
    #[serde(default)]
    time: u64,
    /// It is still being worked out, or it is not decided yet whether what lies here follows an answer.
    promised: Option<Order>,
    /// An attempt was left without an answer, and nobody has heard the answer since.
    #[serde(default)]
    is_held: bool,
    /// All that was worked out was put in, however much of it is left; not only what follows an answer.
    #[serde(default)]
    is_whole: bool,
    pieces: VecDeque<Reply>,
    /// It waits so long, in Unix seconds.
    until: u64,
    /// So long it is being pushed, in Unix seconds: meanwhile none of it is fetched. 0: it is not. An entry that is stays as
    /// long as that is so, also when it has no piece any more: its user had them.
    #[serde(default)]
    pushed_until: u64,
}

/// A piece that was given away, for the repeats of the message that asked for it.
#[derive(Serialize, Deserialize)]
struct Given {
    message: String,
    piece: Piece,
    /// When, in Unix seconds.
    time: u64,
    /// Its user has it, or WeChat will ask for it again.
    is_certain: bool,
    /// The attempts of the message that were given it, and did not put it back.
    hands: Vec<u64>,
}

/// A piece of an outbox.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Piece {
    pub(super) reply: Reply,
    /// How many are ready behind it.
    pub(super) left: usize,
    /// When it was taken out first, in Unix seconds: a repeat gets the same bytes.
    #[serde(default)]
    pub(super) time: u64,
}

/// What is first in an outbox.
pub(super) enum First {
    /// This, taken out.
    Piece(Piece),
    /// An answer that is still being worked out, or is not decided; held if WeChat was left to ask again for it.
    Promised { order: Box<Order>, is_held: bool },
    /// It is not certain yet whether the user has the piece before.
    Uncertain,
    /// What is first here is being pushed.
    Pushed,
    /// Nothing.
    Nothing,
}

impl<'s> Outbox<'s> {
    /// The outbox of `user`, where things wait for the time `keep`.
    pub(super) fn of(store: &'s dyn Store, user: &str, keep: Duration) -> Self {
        Self { store, key: format!("outbox/{user}"), keep, time: unix_seconds(SystemTime::now()) }
    }

    /// The same for a message that was sent at `time`, in Unix seconds: what waits for it waits in its place.
    pub(super) fn at(self, time: u64) -> Self {
        Self { time, ..self }
    }

    /// Keeps the place for the answer to a message, unless it is there already.
    pub(super) fn promise(&self, order: &Order) -> Result<(), StoreError> {
        self.change(|record, now| {
            if record.entries.iter().any(|entry| entry.message == order.message) {
                return Change::None(());
            }
            record.entry_of(&order.message, self.time, self.end(now)).promised = Some(order.clone());
            Change::Keep(())
        })
    }

    /// Keeps the place for the answer to a message that one of WeChat's attempts is left without, as it will ask again.
    pub(super) fn hold(&self, order: &Order) -> Result<(), StoreError> {
        self.change(|record, now| {
            if record.entries.iter().any(|entry| entry.message == order.message && entry.is_held) {
                return Change::None(());
            }
            let entry = record.entry_of(&order.message, self.time, self.end(now));
            entry.promised = Some(order.clone());
            entry.is_held = true;
            Change::Keep(())
        })
    }

    /// Puts all in that was worked out for a message, instead of what it had there, once: however often that is said before
    /// [`Outbox::end_push`], what was fetched of it does not come back.
    pub(super) fn set(&self, message: &str, pieces: &[Reply]) -> Result<(), StoreError> {
        self.set_whole(message, pieces, |_| LET_GO)
    }

    /// The same with pieces that are to be pushed: they are fetched only if that does not come to an end.
    pub(super) fn set_pushed(&self, message: &str, pieces: &[Reply]) -> Result<(), StoreError> {
        self.set_whole(message, pieces, |now| now + PUSHED_WITHIN)
    }

    fn set_whole(
        &self,
        message: &str,
        pieces: &[Reply],
        pushed_until: fn(u64) -> u64,
    ) -> Result<(), StoreError> {
        self.change(|record, now| {
            let entry = record.entry_of(message, self.time, self.end(now));
            if !entry.is_whole {
                entry.pieces = pieces.iter().cloned().collect();
            }
            (entry.is_whole, entry.promised) = (true, None);
            entry.pushed_until = pushed_until(now);
            Change::Keep(())
        })
    }

    /// Puts the pieces in that an order has by what is about to be decided of it. Until that is known they are not fetched:
    /// they may follow an answer. Gives how many are ready then, whatever they are for.
    pub(super) fn prepare(
        &self,
        order: &Order,
        pieces: &[Reply],
        decision: &Decision,
    ) -> Result<usize, StoreError> {
        self.change(|record, now| {
            let is_settled = |entry: &Entry| entry.message == order.message && entry.promised.is_none();
            if record.entries.iter().any(is_settled) {
                return Change::None(record.ready());
            }
            let entry = record.entry_of(&order.message, self.time, self.end(now));
            entry.promised = Some(order.clone());
            entry.pieces = pieces.iter().cloned().collect();
            entry.is_whole = !decision.is_awaited();
            entry.pushed_until = if decision.is_owed { now + PUSHED_WITHIN } else { LET_GO };
            Change::Keep(record.ready())
        })
    }

    /// Puts the first piece in front of those that wait for a message, once: however often that is said before
    /// [`Outbox::end_push`]. Until somebody begins to push them, they are fetched.
    pub(super) fn put_first(&self, message: &str, first: &Reply) -> Result<(), StoreError> {
        self.change(|record, now| {
            let entry = record.entry_of(message, self.time, self.end(now));
            if entry.is_whole {
                return Change::None(());
            }
            entry.pieces.push_front(first.clone());
            (entry.is_whole, entry.promised) = (true, None);
            entry.pushed_until = LET_GO;
            Change::Keep(())
        })
    }

    /// What waits for a message: it is fetched only if it does not come to an end that it is pushed. `failure` is said instead,
    /// if there is one, where all that was worked out never came here, as far as is known.
    pub(super) fn begin_push(
        &self,
        message: &str,
        failure: Option<&[Reply]>,
    ) -> Result<Vec<Reply>, StoreError> {
        self.change(|record, now| {
            let is_new = record.entries.iter().all(|entry| entry.message != message);
            let entry = record.entry_of(message, self.time, self.end(now));
            if let Some(failure) = failure
                && (is_new || entry.promised.is_some() && !entry.is_whole)
            {
                entry.pieces = failure.iter().cloned().collect();
            }
            entry.promised = None;
            entry.pushed_until = now + PUSHED_WITHIN;
            Change::Keep(entry.pieces.iter().cloned().collect())
        })
    }

    /// Notes that but so many pieces of a message are still to be pushed. What others have done with it meanwhile stays.
    pub(super) fn keep_last(&self, message: &str, left: usize) -> Result<(), StoreError> {
        self.change(|record, now| {
            let is_it = |entry: &&mut Entry| entry.message == message && entry.pushed_until > LET_GO;
            let Some(entry) = record.entries.iter_mut().find(is_it) else { return Change::None(()) };
            let done = entry.pieces.len().saturating_sub(left);
            entry.pieces.drain(..done);
            entry.pushed_until = now + PUSHED_WITHIN;
            Change::Keep(())
        })
    }

    /// Notes that nobody is to push anything for a message any more: what was being pushed its user has, and what was let
    /// go he is to fetch.
    pub(super) fn end_push(&self, message: &str) -> Result<(), StoreError> {
        self.change(|record, _| {
            let is_it = |entry: &&mut Entry| entry.message == message && entry.pushed_until > 0;
            let Some(entry) = record.entries.iter_mut().find(is_it) else { return Change::None(()) };
            if entry.pushed_until > LET_GO {
                entry.pieces.clear();
            }
            entry.pushed_until = 0;
            // An attempt that was left without an answer may still come for it.
            if !entry.is_held {
                entry.promised = None;
            }
            Change::Keep(())
        })
    }

    /// Notes that what waits for a message is pushed no more: it is to be fetched.
    pub(super) fn let_go(&self, message: &str) -> Result<(), StoreError> {
        self.change(|record, _| {
            let Some(entry) = record.entries.iter_mut().find(|entry| entry.message == message) else {
                return Change::None(());
            };
            entry.pushed_until = LET_GO;
            Change::Keep(())
        })
    }

    /// Takes back that a message has an answer to wait for, unless one of its attempts was left without; what has come
    /// meanwhile stays.
    pub(super) fn withdraw(&self, message: &str) -> Result<(), StoreError> {
        self.change(|record, _| {
            let is_it = |entry: &&mut Entry| {
                entry.message == message
                    && entry.promised.is_some()
                    && entry.pieces.is_empty()
                    && !entry.is_held
            };
            let Some(entry) = record.entries.iter_mut().find(is_it) else { return Change::None(()) };
            entry.promised = None;
            Change::Keep(())
        })
    }

    /// Puts all in that was worked out for a message of which an attempt was left without an answer, and that nobody has
    /// heard so far.
    pub(super) fn fill_held(&self, message: &str, pieces: &[Reply]) -> Result<(), StoreError> {
        self.change(|record, now| {
            let until = self.end(now);
            let is_it = |entry: &&mut Entry| entry.message == message && entry.is_held;
            let Some(entry) = record.entries.iter_mut().find(is_it) else { return Change::None(()) };
            entry.pieces = pieces.iter().cloned().collect();
            (entry.is_whole, entry.until) = (true, until);
            Change::Keep(())
        })
    }

    /// Notes that the answer to a message was heard: if one of its attempts was left without, only what follows it is still
    /// to be fetched.
    /// Gives that answer, if it was here.
    pub(super) fn note_heard(&self, message: &str) -> Result<Option<Reply>, StoreError> {
        self.change(|record, _| {
            let is_it = |entry: &&mut Entry| entry.message == message && entry.is_held;
            let Some(entry) = record.entries.iter_mut().find(is_it) else { return Change::None(None) };
            entry.is_held = false;
            let answer = if entry.is_whole { entry.pieces.pop_front() } else { None };
            if entry.is_whole || entry.pieces.is_empty() {
                entry.promised = None;
            }
            Change::Keep(answer)
        })
    }

    /// Takes back that the answer to a message was heard: it waits in front of what follows it.
    pub(super) fn note_unheard(&self, order: &Order, answer: &Reply) -> Result<(), StoreError> {
        self.change(|record, now| {
            let entry = record.entry_of(&order.message, self.time, self.end(now));
            if !entry.is_held {
                entry.pieces.push_front(answer.clone());
            }
            (entry.is_held, entry.is_whole, entry.promised) = (true, true, Some(order.clone()));
            Change::Keep(())
        })
    }

    /// Ends the wait for an answer that nobody works out any more: what lies there is to be fetched, or these pieces in the
    /// place of what is not all of it.
    pub(super) fn end_promise(&self, message: &str, instead: Option<&[Reply]>) -> Result<(), StoreError> {
        self.change(|record, _| {
            let is_it = |entry: &&mut Entry| entry.message == message && entry.promised.is_some();
            let Some(entry) = record.entries.iter_mut().find(is_it) else { return Change::None(()) };
            (entry.promised, entry.is_held) = (None, false);
            if let Some(instead) = instead
                && !entry.is_whole
            {
                entry.pieces = instead.iter().cloned().collect();
            }
            Change::Keep(())
        })
    }

    /// Forgets what a message has here.
    pub(super) fn clear(&self, message: &str) -> Result<(), StoreError> {
        self.change(|record, _| {
            let before = record.entries.len();
            record.entries.retain(|entry| entry.message != message);
            if record.entries.len() == before { Change::None(()) } else { Change::Keep(()) }
        })
    }

    /// Puts the piece back in its place that a message has taken out: its user did not get it by one of its attempts, and has
    /// not got it by another one.
    pub(super) fn put_back(&self, message: &str, attempt: u64) -> Result<(), StoreError> {
        self.change(|record, now| {
            let is_it = |given: &Given| {
                given.message == message && !given.is_certain && given.hands.contains(&attempt)
            };
            let Some(place) = record.given.iter().position(is_it) else { return Change::None(()) };
            if let Some(given) = record.given.get_mut(place)
                && given.hands.len() > 1
            {
                given.hands.retain(|other| *other != attempt);
                return Change::Keep(());
            }
            let given = record.given.remove(place);
            // The rest of what it came from may lie behind it, as an entry of its own.
            let pieces = VecDeque::from([given.piece.reply]);
            record.entries.insert(0, Entry { pieces, ..Entry::new(String::new(), 0, self.end(now)) });
            Change::Keep(())
        })
    }

    /// Notes that its user has the piece that a message has taken out.
    pub(super) fn confirm(&self, message: &str) -> Result<(), StoreError> {
        self.change(|record, _| {
            let is_it = |given: &&mut Given| given.message == message && !given.is_certain;
            match record.given.iter_mut().find(is_it) {
                Some(given) => {
                    given.is_certain = true;
                    Change::Keep(())
                }
                None => Change::None(()),
            }
        })
    }

    /// How many pieces are ready, whatever they are for.
    pub(super) fn ready(&self) -> Result<usize, StoreError> {
        self.change(|record, _| Change::None(record.ready()))
    }

    /// What waits for a message; `None` if nothing ever did, as far as is known.
    #[cfg(test)]
    pub(super) fn pieces(&self, message: &str) -> Result<Option<Vec<Reply>>, StoreError> {
        self.change(|record, _| {
            let entry = record.entries.iter().find(|entry| entry.message == message);
            Change::None(entry.map(|entry| entry.pieces.iter().cloned().collect()))
        })
    }

    /// Takes the first piece out on behalf of `message`, by one of its attempts, until that is confirmed or it is put back; the same message that
    /// asks again gets the same piece.
    pub(super) fn take(&self, message: &str, attempt: u64) -> Result<First, StoreError> {
        self.change(|record, now| {
            if let Some(given) = record.given.iter_mut().find(|given| given.message == message) {
                let piece = First::Piece(given.piece.clone());
                if given.is_certain {
                    return Change::None(piece);
                }
                given.hands.push(attempt);
                return Change::Keep(piece);
            }
            let is_uncertain = |given: &Given| !given.is_certain && now < given.time + CERTAIN_AFTER;
            if record.given.iter().any(is_uncertain) {
                return Change::None(First::Uncertain);
            }
            let Some(first) = record.entries.iter_mut().find(|entry| entry.has_some()) else {
                return Change::None(First::Nothing);
            };
            if now < first.pushed_until {
                return Change::None(First::Pushed);
            }
            if let Some(order) = first.promised.clone().map(Box::new) {
                return Change::None(First::Promised { order, is_held: first.is_held });
            }
            let Some(reply) = first.pieces.pop_front() else { return Change::None(First::Nothing) };
            let piece = Piece { reply, left: record.ready(), time: now };
            let (message, given) = (message.to_owned(), piece.clone());
            record.given.push(Given {
                message,
                piece: given,
                time: now,
                is_certain: false,
                hands: vec![attempt],
            });
            Change::Keep(First::Piece(piece))
        })
    }

    fn end(&self, now: u64) -> u64 {
        now.saturating_add(self.keep.as_secs())
    }

    fn change<T>(&self, mut change: impl FnMut(&mut Record, u64) -> Change<T>) -> Result<T, StoreError> {
        let life = self.keep.max(REPEATED_WITHIN);
        record::change(self.store, &self.key, life, |record: &mut Record| {
            let now = unix_seconds(SystemTime::now());
            record.entries.retain(|entry| now < entry.until && !entry.is_empty());
            record.given.retain(|given| now < given.time + REPEATED_WITHIN.as_secs());
            let changed = change(record, now);
            record.entries.retain(|entry| !entry.is_empty());
            let waiting = record.entries.iter().filter(|entry| entry.has_some()).count();
            let mut too_many = waiting.saturating_sub(MAX_ENTRIES);
            if too_many > 0 {
                log::warn!(target: "delivery", "{MAX_ENTRIES} answers wait for one user already; the oldest is lost");
                record.entries.retain(|entry| {
                    let is_lost = too_many > 0 && entry.has_some();
                    too_many -= usize::from(is_lost);
                    !is_lost
                });
            }
            record.given.drain(..record.given.len().saturating_sub(MAX_GIVEN));
            changed
        })
    }
}

impl Record {
    /// The entry of a message that was sent at `time`, made in its place if there is none. It waits until then.
    fn entry_of(&mut self, message: &str, time: u64, until: u64) -> &mut Entry {
        let place = self.entries.iter().position(|entry| entry.message == message);
        let place = place.unwrap_or_else(|| {
            let later = self.entries.iter().position(|entry| entry.time > time);
            let place = later.unwrap_or(self.entries.len());
            self.entries.insert(place, Entry::new(message.to_owned(), time, until));
            place
        });
        let entry = &mut self.entries[place];
        entry.until = until;
        entry
    }

    fn ready(&self) -> usize {
        self.entries.iter().map(|entry| entry.pieces.len()).sum()
    }
}

impl Entry {
    fn new(message: String, time: u64, until: u64) -> Self {
        Self {
            message,
            time,
            promised: None,
            is_held: false,
            is_whole: false,
            pieces: VecDeque::new(),
            until,
            pushed_until: 0,
        }
    }

    /// Whether its user waits for something.
    fn has_some(&self) -> bool {
        !self.pieces.is_empty() || self.promised.is_some()
    }

    fn is_empty(&self) -> bool {
        !self.has_some() && self.pushed_until == 0
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;
    use crate::rules::Late;
    use crate::store::sqlite::{Journal, Sqlite};

    const DAY: Duration = Duration::from_secs(86_400);

    fn order(message: &str) -> Order {
        Order {
            message: message.into(),
            user: "o1".into(),
            account: "gh_1".into(),
            met: "rule 1".into(),
            late: Late::Fetch,
            is_handled: true,
            on_error: None,
            said: Vec::new(),
            trigger: super::super::order::Trigger::Message,
            time: 0,
        }
    }

    fn said(first: First) -> String {
        match first {
            First::Piece(Piece { reply: Reply::Text { content }, left, .. }) => format!("{content} {left}"),
            First::Piece(_) => "another kind".into(),
            First::Promised { order, is_held } => {
                format!("{} {}", if is_held { "held" } else { "promised" }, order.message)
            }
            First::Uncertain => "uncertain".into(),
            First::Pushed => "pushed".into(),
            First::Nothing => "nothing".into(),
        }
    }

    #[test]
    fn answers_wait_in_the_order_of_their_messages_and_repeats_get_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::new(folder.path().join("s.db"), Journal::Wal, Duration::from_secs(2), "wx1");
        let outbox = Outbox::of(&store, "o1", DAY);
        let take = |message: &str| said(outbox.take(message, 1).unwrap());
        let take_surely = |message: &str| {
            let taken = take(message);
            outbox.confirm(message).unwrap();
            taken
        };
        assert_eq!(take("m0"), "nothing");
        outbox.promise(&order("first")).unwrap();
        outbox.set("second", &[Reply::text("b")]).unwrap();
        outbox.promise(&order("second")).unwrap();
        assert_eq!(take("m1"), "promised first");
        outbox.set("first", &[Reply::text("a1"), Reply::text("a2")]).unwrap();
        assert_eq!(take("m2"), "a1 2");
        assert_eq!((take("m3").as_str(), take_surely("m2").as_str()), ("uncertain", "a1 2"));
        outbox.put_back("m2", 1).unwrap();
        assert_eq!(outbox.pieces("first").unwrap().unwrap(), [Reply::text("a2")]);
        assert_eq!(take_surely("m3"), "a2 1");
        assert_eq!(take("m4"), "b 0");
        assert_eq!((take("m5").as_str(), take_surely("m4").as_str()), ("uncertain", "b 0"));
        assert_eq!((take("m5").as_str(), take("m3").as_str()), ("nothing", "a2 1"));
        outbox.set("late", &[Reply::text("l")]).unwrap();
        assert_eq!(take("m5"), "l 0");
        outbox.put_back("m5", 1).unwrap();
        outbox.put_back("m0", 1).unwrap();
        assert_eq!((take_surely("m5").as_str(), take("m6").as_str()), ("l 0", "nothing"));
        outbox.promise(&order("withdrawn")).unwrap();
        outbox.withdraw("withdrawn").unwrap();
        assert_eq!(take("m6"), "nothing");
        outbox.set("come", &[Reply::text("c")]).unwrap();
        outbox.end_promise("come", Some(&[Reply::text("too late")])).unwrap();
        assert_eq!((take_surely("m7").as_str(), take("m8").as_str()), ("c 0", "nothing"));
        outbox.promise(&order("held")).unwrap();
        outbox.hold(&order("held")).unwrap();
        assert_eq!(take("m8"), "held held");
        outbox.withdraw("held").unwrap();
        assert_eq!(take("m8"), "held held");
        outbox.note_heard("held").unwrap();
        assert_eq!(take("m8"), "nothing");
        // Nobody asks for this one again.
        outbox.hold(&order("unasked")).unwrap();
        outbox.fill_held("unasked", &[Reply::text("u1"), Reply::text("u2")]).unwrap();
        outbox.end_push("unasked").unwrap();
        assert_eq!(take("m8"), "held unasked");
        outbox.end_promise("unasked", None).unwrap();
        assert_eq!((take_surely("m8").as_str(), take_surely("m10").as_str()), ("u1 1", "u2 0"));
        // And this one is asked for after all: what follows waits.
        outbox.hold(&order("asked")).unwrap();
        outbox.fill_held("asked", &[Reply::text("a1"), Reply::text("a2")]).unwrap();
        outbox.note_heard("asked").unwrap();
        assert_eq!((take_surely("m11").as_str(), take("m12").as_str()), ("a2 0", "nothing"));
        outbox.promise(&order("third")).unwrap();
        outbox.set("third", &[]).unwrap();
        assert_eq!(take("m9"), "nothing");
        assert_eq!(said(Outbox::of(&store, "o2", DAY).take("m2", 1).unwrap()), "nothing");
    }

    #[test]
    fn what_is_to_be_pushed_is_in_one_place_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::new(folder.path().join("s.db"), Journal::Wal, Duration::from_secs(2), "wx1");
        let outbox = Outbox::of(&store, "o1", DAY);
        let (one, two, sorry) = (Reply::text("1"), Reply::text("2"), [Reply::text("sorry")]);
        let answered = Decision::answered(order("m").answer(None));
        outbox.prepare(&order("m"), slice::from_ref(&two), &answered).unwrap();
        assert_eq!(said(outbox.take("ask", 1).unwrap()), "promised m");
        outbox.put_first("m", &one).unwrap();
        outbox.put_first("m", &one).unwrap();
        assert_eq!(said(outbox.take("ask", 1).unwrap()), "1 1");
        outbox.confirm("ask").unwrap();
        // What was fetched is not pushed, and what is pushed is not fetched.
        assert_eq!(outbox.begin_push("m", Some(&sorry)).unwrap(), slice::from_ref(&two));
        assert_eq!(said(outbox.take("ask again", 1).unwrap()), "pushed");
        outbox.keep_last("m", 0).unwrap();
        assert_eq!(outbox.begin_push("m", Some(&sorry)).unwrap(), []);
        outbox.end_push("m").unwrap();
        assert_eq!(outbox.begin_push("m", Some(&sorry)).unwrap(), sorry);
        outbox.let_go("m").unwrap();
        outbox.put_first("m", &one).unwrap();
        assert_eq!(said(outbox.take("ask at last", 1).unwrap()), "1 1");
    }

    #[test]
    fn a_trace_of_what_was_pushed_takes_no_place_from_what_waits() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::new(folder.path().join("s.db"), Journal::Wal, Duration::from_secs(2), "wx1");
        let outbox = Outbox::of(&store, "o1", DAY);
        for number in 0..MAX_ENTRIES {
            outbox.set(&number.to_string(), &[Reply::text(number.to_string())]).unwrap();
            assert!(outbox.begin_push(&format!("pushed {number}"), None).unwrap().is_empty());
        }
        assert_eq!(said(outbox.take("ask", 1).unwrap()), format!("0 {}", MAX_ENTRIES - 1));
        assert_eq!(outbox.pieces("pushed 0").unwrap(), Some(Vec::new()));
    }

    #[test]
    fn nothing_waits_longer_than_it_is_kept_and_no_outbox_grows_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::new(folder.path().join("s.db"), Journal::Wal, Duration::from_secs(2), "wx1");
        Outbox::of(&store, "o1", Duration::ZERO).set("m", &[Reply::text("a")]).unwrap();
        let outbox = Outbox::of(&store, "o1", DAY);
        assert_eq!(said(outbox.take("x", 1).unwrap()), "nothing");
        for number in 0..=MAX_ENTRIES {
            outbox.set(&number.to_string(), &[Reply::text(number.to_string())]).unwrap();
        }
        assert_eq!(said(outbox.take("y", 1).unwrap()), format!("1 {}", MAX_ENTRIES - 1));
    }
}
