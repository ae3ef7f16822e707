//! What a user fetches of his outbox: he asks for it by a word, a piece at a time.

use std::thread;
use std::time::{Duration, Instant};

use super::decision::Decision;
use super::order::{Answer, Order};
use super::outbox::First;
use super::{Desk, words};
use crate::store::{Claim, Store};
use crate::wechat::reply::Reply;

/// A user who asks twice in a row, or for what is just being pushed, is answered when it is known whether he had that: it
/// is looked again after so long.
const UNCERTAIN: Duration = Duration::from_millis(50);
/// For what is being pushed he is told to ask again after so long: that may take a minute, and many who ask must not keep
/// all threads from others.
const MAX_PUSHED: Duration = Duration::from_secs(1);

impl Desk {
    /// The piece of his outbox that a user asks for by `message`; `None` if there is nothing. It is to be confirmed or put
    /// back; whether the one before it was, is waited for until the point in time `until`.
    ///
    /// # Errors
    ///
    /// In words for the log, if it cannot be found out.
    pub fn fetch(&self, order: &Order, until: Instant) -> Result<Option<Answer>, String> {
        let store = self.office.store()?;
        let outbox = self.outbox(&*store, order);
        let pushed_until = until.min(Instant::now() + MAX_PUSHED);
        loop {
            let reply = match outbox.take(&order.message).map_err(words)? {
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
                First::Promised(promised) if self.is_running(&*store, &promised)? => {
                    Reply::text(&self.settings.waiting_text)
                }
                First::Promised(promised) => {
                    // Who was at it has died, or said nothing; or it was answered before it was given up.
                    let decision = Decision::of(&*store, &promised.message).map_err(words)?;
                    let is_answered = decision.is_some_and(|decision| decision.given_up.is_none());
                    let instead = promised.on_error.as_slice();
                    let instead = if is_answered { &[] } else { instead };
                    outbox.break_promise(&promised.message, instead).map_err(words)?;
                    continue;
                }
            };
            return Ok(Some(order.answer(Some(&reply))));
        }
    }

    /// Notes that its user has what [`Desk::fetch`] has taken out for an order.
    pub fn confirm(&self, order: &Order) {
        let confirm = |store: &dyn Store| self.outbox(store, order).confirm(&order.message);
        if let Err(why) = self.office.store().and_then(|store| confirm(&*store).map_err(words)) {
            log::error!(target: "delivery", "{why}; what was fetched is taken for fetched a little later");
        }
    }

    /// Puts back what [`Desk::fetch`] has taken out for an order: its user did not get it.
    ///
    /// # Errors
    ///
    /// In words for the log, if that cannot be done.
    pub fn put_back(&self, order: &Order) -> Result<(), String> {
        let store = self.office.store()?;
        self.outbox(&*store, order).put_back(&order.message).map_err(words)
    }

    fn is_running(&self, store: &dyn Store, order: &Order) -> Result<bool, String> {
        Ok(self.board.has_job(&order.message)
            || matches!(store.look(&order.message).map_err(words)?, Some(Claim::Running { .. })))
    }
}
