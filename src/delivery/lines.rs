//! The lines to the processes that work messages out for this one, and who sees to a message when its process dies.
//!
//! Under CGI the process that was asked ends with its request, and who works for it goes on. Each hears from the other what
//! became of the message; where both may be gone by the time that something is to be pushed, a third one waits for that.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::clerk::Keeps;
use super::decision::Decision;
use super::late::Right;
use super::order::Order;
use super::{Desk, words};
use crate::rules::Late;
use crate::store::{Holder, REPEATED_WITHIN, Store};

/// So often somebody is to see to a message whose process may have died, however often WeChat asks.
const RESCUE_EVERY: Duration = Duration::from_secs(60);
/// What could not be done for a message whose process has died is tried again after so long.
const BURY_EVERY: Duration = Duration::from_millis(200);
/// A decision is smaller than this, in bytes.
const MAX_LINE: u64 = 16 << 20;

/// What a process that works a message out is told: who asked has what was decided.
pub const SERVED: u8 = b'+';
/// Who asked was answered that the message failed.
pub const REFUSED: u8 = b'-';

/// The lines of this process, by their message. Who has others work for it serves one request, and they go with it.
#[derive(Debug, Default)]
pub(super) struct Lines(Mutex<HashMap<String, Line>>);

/// The line to a process that works a message out.
#[derive(Debug)]
pub(super) struct Line {
    worker: Arc<UnixStream>,
    /// Another process sees to the message when that one ends.
    is_watched: bool,
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a process works a message out for this one.
    pub(super) fn has(&self, message: &str) -> bool {
        self.lock().contains_key(message)
    }

    /// The line to who works a message out for this process.
    pub(super) fn to_worker(&self, message: &str) -> Option<Arc<UnixStream>> {
        self.lock().get(message).map(|line| Arc::clone(&line.worker))
    }
}

impl Desk {
    /// Hears what the process decides; if it dies before, the message is failed at once.
    pub(super) fn watch_worker(self: &Arc<Self>, order: &Arc<Order>, holder: Holder, worker: UnixStream) {
        let (desk, order, worker) = (Arc::clone(self), Arc::clone(order), Arc::new(worker));
        let line = Line { worker: Arc::clone(&worker), is_watched: false };
        self.lines.lock().insert(order.message.clone(), line);
        // Before there was a line to say it on.
        if self.failed().remove(&order.message) {
            self.tell_refused(&order, &worker);
        }
        let watch = move || {
            if let Some(decision) = read_decision(&worker) {
                if decision.is_owed {
                    desk.have_watched(&order);
                }
                if desk.board.serve(&order.message, &decision) {
                    let _ = (&*worker).write(&[SERVED]);
                }
                return;
            }
            // Until it is done, or somebody else is to see to it: whoever asked goes at the deadline.
            let is_watched = || desk.lines.lock().get(&order.message).is_some_and(|line| line.is_watched);
            while !is_watched() {
                match desk.bury(&order, holder) {
                    Ok(()) => break,
                    Err(why) => {
                        log::error!(target: "delivery", kind = "bury"; "{}: {why}; tried again", order.met);
                    }
                }
                thread::sleep(BURY_EVERY);
            }
            desk.lines.lock().remove(&order.message);
        };
        // Without the thread the clerk finds out by itself, a little later.
        if let Err(error) = thread::Builder::new().name("worker".to_owned()).spawn(watch) {
            log::error!(target: "delivery", "cannot start a thread: {error}");
        }
    }

    /// Sees to a message whose process has died.
    fn bury(self: &Arc<Self>, order: &Arc<Order>, holder: Holder) -> Result<(), String> {
        log::error!(target: "delivery", "{}: the process that worked on it has died", order.met);
        let store = self.office.store()?;
        // It may have decided and could not tell any more.
        let decision = if let Some(decision) = Decision::of(&*store, &order.message).map_err(words)? {
            decision
        } else {
            let decision = self.lost(&*store, order)?;
            store.finish(&order.message, holder, b"", REPEATED_WITHIN).map_err(words)?;
            decision
        };
        let is_ours = decision.is_owed && !self.have_watched(order);
        self.board.serve(&order.message, &decision.again());
        if !is_ours {
            return Ok(());
        }
        let _job = self.begin_job(order, holder, Keeps::Claim);
        self.take_over(&*store, order, Right::Claim(holder))
    }

    /// Tells who works for this process that the message was answered as failed.
    pub(super) fn tell_refused(&self, order: &Order, mut worker: &UnixStream) {
        // Who has died need not know.
        let _ = worker.write(&[REFUSED]);
        if order.late != Late::Fetch && self.office.may_push() {
            self.have_watched(order);
        }
    }

    /// Sees to it that what is to be pushed for a message comes, also if who works on it dies. For who is about to answer
    /// its attempt: after that, a web server may end whatever we begin.
    pub(super) fn secure(&self, store: &dyn Store, order: &Order, decision: &Decision) {
        if decision.is_owed && !self.have_watched(order) {
            self.have_rescued(store, order);
        }
    }

    /// Has somebody see to a message that nobody here works on, if nobody here stays: it may be in the hands of a process
    /// that has died before it began.
    fn have_rescued(&self, store: &dyn Store, order: &Order) {
        let message = &order.message;
        if self.board.looks_after_others() || self.board.has_job(message) || self.lines.has(message) {
            return;
        }
        // One is enough, however often it is asked for.
        let counted = store.count(&format!("rescued/{message}"), 1, RESCUE_EVERY);
        if matches!(counted, Ok(None)) {
            return;
        }
        // There is nobody at the other end of this line.
        let watched = UnixStream::pair().and_then(|(line, _)| self.office.watch(order, &line));
        if let Err(error) = watched {
            log::error!(target: "delivery", "{}: nobody sees to it: {error}", order.met);
        }
    }

    /// Has somebody see to a message that a process of ours works on: when that one dies, we may be gone. Says whether
    /// somebody does.
    fn have_watched(&self, order: &Order) -> bool {
        // Whoever else is about to answer it waits until that is done.
        let mut lines = self.lines.lock();
        let Some(line) = lines.get_mut(&order.message) else { return false };
        if !line.is_watched {
            let watched = self.office.watch(order, &line.worker);
            line.is_watched = watched.is_ok();
            if let Err(error) = watched {
                log::error!(target: "delivery", "{}: nobody watches its process: {error}", order.met);
            }
        }
        line.is_watched
    }
}

/// What another process has decided; `None` if it has died before.
fn read_decision(mut worker: &UnixStream) -> Option<Decision> {
    let mut line = Vec::new();
    BufReader::new(&mut worker).take(MAX_LINE).read_until(b'\n', &mut line).ok()?;
    serde_json::from_slice(&line).ok()
}
