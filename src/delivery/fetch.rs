//! What a user fetches of his outbox: he asks for it by a word, a piece at a time.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::decision::Decision;
use super::order::{Answer, Order};
use super::outbox::First;
use super::rescue::NO_ATTEMPT_AFTER;
use super::{Desk, INSIST, seconds_since, words};
use crate::store::{Claim, Store};
use crate::wechat::reply::Reply;

/// A user who asks twice in a row, or for what is just being pushed, is answered when it is known whether he had that: it
/// is looked again after so long.
const UNCERTAIN: Duration = Duration::from_millis(50);
/// For what is being pushed he is told to ask again after so long: that may take a minute, and many who ask must not keep
/// all threads from others.
const MAX_PUSHED: Duration = Duration::from_secs(1);

/// What is to be put back as soon as the store is there again.
#[derive(Debug, Default)]
pub(super) struct Returns(Mutex<Vec<Return>>);

#[derive(Debug, Clone)]
struct Return {
    order: Order,
    attempt: u64,
    /// Until when that is tried.
    until: Instant,
}

impl Returns {
    fn lock(&self) -> MutexGuard<'_, Vec<Return>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    /// The piece of his outbox that a user asks for by `message`; `None` if there is nothing. It is to be confirmed or put
    /// back by the same `attempt`; whether the one before it was, is waited for until the point in time `until`.
    ///
    /// # Errors
    ///
    /// In words for the log, if it cannot be found out.
    pub fn fetch(
        self: &Arc<Self>,
        order: &Order,
        attempt: u64,
        until: Instant,
    ) -> Result<Option<Answer>, String> {
        let fetched = self.try_fetch(order, attempt, until);
        if fetched.is_err() {
            // The store may have taken it out, and failed to say so.
            self.put_back(order, attempt);
        }
        fetched
    }

    fn try_fetch(&self, order: &Order, attempt: u64, until: Instant) -> Result<Option<Answer>, String> {
        let store = self.office.store()?;
        let outbox = self.outbox(&*store, order);
        let pushed_until = until.min(Instant::now() + MAX_PUSHED);
        loop {
            let reply = match outbox.take(&order.message, attempt).map_err(words)? {
                First::Nothing => return Ok(None),
                First::Piece(piece) => {
                    let reply = self.with_notice(piece.reply, piece.left);
                    let who = (order.user.as_str(), order.account.as_str());
                    return Ok(Some(Answer::new(&order.met, Some(&reply), who, piece.time)));
                }
                First::Uncertain if Instant::now() < until => {
                    thread::sleep(UNCERTAIN);
                    continue;
                }
                First::Pushed if Instant::now() < pushed_until => {
                    thread::sleep(UNCERTAIN);
                    continue;
                }
                First::Uncertain | First::Pushed => Reply::text(&self.settings.waiting_text),
                First::Promised { order: promised, is_held } => {
                    if !self.is_awaited_still(&*store, &promised, is_held)? {
                        continue;
                    }
                    Reply::text(&self.settings.waiting_text)
                }
            };
            return Ok(Some(order.answer(Some(&reply))));
        }
    }

    /// Whether an answer that its user asks for is still to come. If not, he gets what there is instead.
    fn is_awaited_still(&self, store: &dyn Store, promised: &Order, is_held: bool) -> Result<bool, String> {
        // WeChat will ask again, and its user have it by that.
        if is_held && seconds_since(promised.time) < NO_ATTEMPT_AFTER {
            return Ok(true);
        }
        let (outbox, message) = (self.outbox(store, promised), &promised.message);
        let is_running = self.is_running(store, promised)?;
        let ended = match Decision::of(store, message).map_err(words)? {
            Some(decision) if decision.is_lost => outbox.end_promise(message, Some(&[])),
            // It is just being noted whether somebody has heard it.
            Some(decision) if decision.is_awaited() && is_held && is_running => return Ok(true),
            // What lies here follows the answer, if anything does; or it is the answer, and nobody has heard it.
            Some(decision) if decision.is_awaited() => outbox.end_promise(message, None),
            _ if is_running => return Ok(true),
            // Who was at it has died, or said nothing.
            _ => outbox.end_promise(message, Some(promised.on_error.as_slice())),
        };
        ended.map(|()| false).map_err(words)
    }

    /// Notes that its user has what [`Desk::fetch`] has taken out for an order.
    pub fn confirm(&self, order: &Order) {
        let confirm = |store: &dyn Store| self.outbox(store, order).confirm(&order.message);
        if let Err(why) = self.office.store().and_then(|store| confirm(&*store).map_err(words)) {
            log::error!(target: "delivery", "{why}; what was fetched is taken for fetched a little later");
        }
    }

    /// Puts back what [`Desk::fetch`] has taken out for an order by this attempt, now or when the store is there again: its user
    /// did not get it.
    pub fn put_back(self: &Arc<Self>, order: &Order, attempt: u64) {
        let Err(why) = self.try_put_back(order, attempt) else { return };
        log::error!(target: "delivery", kind = "put back"; "{why}; tried again");
        let mut returns = self.returns.lock();
        returns.push(Return { order: order.clone(), attempt, until: Instant::now() + INSIST });
        // Who has put the first one here is at it.
        if returns.len() == 1 {
            let desk = Arc::clone(self);
            self.office.run_errand(Box::new(move || desk.put_all_back()));
        }
    }

    /// Puts back what could not be put back before, until there is no more. One thread does so, however much there is: the
    /// store may be away for long.
    fn put_all_back(&self) {
        loop {
            thread::sleep(UNCERTAIN);
            let left = self.returns.lock().clone();
            let is_back = |it: &&Return| self.try_put_back(&it.order, it.attempt).is_ok();
            let done: HashSet<_> = left.iter().take_while(is_back).map(|it| it.attempt).collect();
            let mut returns = self.returns.lock();
            returns.retain(|it| !done.contains(&it.attempt) && Instant::now() < it.until);
            if returns.is_empty() {
                return;
            }
        }
    }

    fn try_put_back(&self, order: &Order, attempt: u64) -> Result<(), String> {
        let store = self.office.store()?;
        self.outbox(&*store, order).put_back(&order.message, attempt).map_err(words)
    }

    fn is_running(&self, store: &dyn Store, order: &Order) -> Result<bool, String> {
        Ok(self.board.has_job(&order.message)
            || matches!(store.look(&order.message).map_err(words)?, Some(Claim::Running { .. })))
    }
}
