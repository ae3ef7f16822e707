//! Brings users what they are owed by processes that have died.
//!
//! What was worked out lies in the outbox, and is pushed on from there; where nothing was, the user is told what the rule
//! says for failures. One process does so for a message at a time, as long as it prolongs a lease.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::clerk::Keeps;
use super::decision::{Decision, Way};
use super::late::Right;
use super::order::Order;
use super::{CLAIM, Desk, seconds_since, words};
use crate::chance::random;
use crate::store::{Claim, Holder, Lease, Store};

/// So many threads of a process do so at once: each waits for the store and for WeChat.
const LOOKERS: usize = 8;
/// So long a message is seen to whose process has ended: its claim is lost by then, who else has begun to look after it
/// and died is given up, and most stores are back.
const SETTLING: Duration = Duration::from_secs(10 * 60);
const SETTLE_EVERY: Duration = Duration::from_secs(1);
/// So long after a message, in seconds, WeChat asks no more for it.
pub(super) const NO_ATTEMPT_AFTER: u64 = 20;

impl Desk {
    /// Sees to it that nothing is to be pushed any more for a message, now that its process has ended, well or not. That
    /// takes until its claim is lost, and its store is there.
    ///
    /// # Errors
    ///
    /// In words for the log, if something is still after a long time: it is left to whoever comes next.
    pub fn settle(self: &Arc<Self>, order: &Order) -> Result<(), String> {
        // Always the same: what it has begun and could not end, it may go on with.
        let holder = random().map(Holder).map_err(words)?;
        let until = Instant::now() + SETTLING;
        loop {
            match self.is_settled(order, holder) {
                Ok(true) => return Ok(()),
                unsettled if Instant::now() > until => {
                    return unsettled.and(Err("it takes too long".to_owned()));
                }
                Ok(false) => {}
                Err(why) => {
                    log::error!(target: "delivery", kind = "settle"; "{}: {why}; tried again", order.met);
                }
            }
            thread::sleep(SETTLE_EVERY);
        }
    }

    /// Whether nothing is to be pushed any more for it, after it was looked after.
    fn is_settled(self: &Arc<Self>, order: &Order, holder: Holder) -> Result<bool, String> {
        let store = self.office.store()?;
        let is_listed = || self.owed(&*store).has(order).map_err(words);
        if is_listed()? {
            self.look_after_owed(&*store, order, holder)?;
        }
        Ok(!is_listed()?)
    }

    /// Looks after messages for which something is to be pushed and whose process has died.
    pub(super) fn look_after_late(self: &Arc<Self>) -> Result<(), String> {
        let store = self.office.store()?;
        let holder = Holder(random().map_err(words)?);
        let orders = self.owed(&*store).orders().map_err(words)?;
        let left = Mutex::new(orders.iter().filter(|order| !self.board.has_job(&order.message)));
        let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
        // One that cannot be looked after now keeps nobody from the others.
        let look_after_them = || {
            let looked = std::iter::from_fn(next).map(|order| self.look_after_owed(&*store, order, holder));
            looked.fold(Ok(()), Result::and)
        };
        // A machine that was restarted may have left hundreds.
        thread::scope(|scope| {
            let spawn = |_| thread::Builder::new().spawn_scoped(scope, look_after_them).ok();
            let others: Vec<_> = (1..orders.len().min(LOOKERS)).filter_map(spawn).collect();
            let looked = look_after_them();
            let all =
                others.into_iter().map(|other| other.join().unwrap_or_else(|_| Err("a panic".to_owned())));
            all.fold(looked, Result::and)
        })
    }

    /// Looks after one of them, if its process has died.
    fn look_after_owed(
        self: &Arc<Self>,
        store: &dyn Store,
        order: &Order,
        holder: Holder,
    ) -> Result<(), String> {
        match store.look(&order.message).map_err(words)? {
            Some(Claim::Running { .. }) => Ok(()),
            Some(Claim::Lost { .. }) => self.look_after_lost(store, order, holder),
            claim => {
                // Its process has not been heard of for so long that the claim was forgotten, as when the machine was off.
                let is_owed = match Decision::of(store, &order.message).map_err(words)? {
                    Some(decision) => decision.is_owed,
                    // It was killed before it could decide.
                    None => claim.is_none(),
                };
                if is_owed {
                    self.look_after_lost(store, order, holder)
                } else {
                    self.strike_off(store, order)
                }
            }
        }
    }

    /// Looks after one whose process has died, unless others do.
    fn look_after_lost(
        self: &Arc<Self>,
        store: &dyn Store,
        order: &Order,
        holder: Holder,
    ) -> Result<(), String> {
        let lease = lease_of(order);
        let Lease::Held { generation } = store.lease(&lease, holder, CLAIM).map_err(words)? else {
            return Ok(());
        };
        // Others may have seen to it before.
        if self.owed(store).has(order).map_err(words)? {
            let _job = self.begin_job(&Arc::new(order.clone()), holder, Keeps::Lease);
            self.take_over(store, order, Right::Lease(holder, generation))?;
        }
        store.release(&lease, holder).map_err(words)
    }

    /// Takes a message off the list for which nothing is to be pushed any more.
    fn strike_off(&self, store: &dyn Store, order: &Order) -> Result<(), String> {
        self.outbox(store, order).end_push(&order.message).map_err(words)?;
        self.owed(store).remove(order).map_err(words)
    }

    /// Pushes what is left of a message whose process has died.
    pub(super) fn take_over(&self, store: &dyn Store, order: &Order, right: Right) -> Result<(), String> {
        match Decision::of(store, &order.message).map_err(words)? {
            // One of WeChat's attempts will decide.
            None if seconds_since(order.time) < NO_ATTEMPT_AFTER => Ok(()),
            None => {
                let ours = Decision::given_up(order.answer(None), Way::Push);
                let decision = ours.decide(store, &order.message).map_err(words)?;
                self.push_owed(store, order, &decision, right)
            }
            Some(decision) => self.push_owed(store, order, &decision, right),
        }
    }

    fn push_owed(
        &self,
        store: &dyn Store,
        order: &Order,
        decision: &Decision,
        right: Right,
    ) -> Result<(), String> {
        if !decision.is_owed {
            return self.strike_off(store, order);
        }
        log::error!(target: "delivery", "{}: who worked on it has died", order.met);
        self.push_left(order, decision, decision.given_up.map(|_| order.on_error.as_slice()), right)
    }
}

/// The lease of who looks after a message.
pub(super) fn lease_of(order: &Order) -> String {
    format!("owed/{}", order.message)
}
