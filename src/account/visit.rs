//! One call of WeChat that is answered later, and the last moment for it.

use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::callback::{Pending, SUCCESS};
use crate::delivery::{Decision, Desk, Order, Visitor};
use crate::gateway::Responder;
use crate::http::Response;

/// Who decides what becomes of a late answer asks the store; WeChat hangs up soon after so long a time since it asked.
const LAST_MOMENT: Duration = Duration::from_millis(4850);
/// Who decides it begins at the deadline, and has so long at least.
const DECIDING: Duration = Duration::from_millis(100);
/// WeChat has hung up by then: so long after it came an attempt is let go that was to stay without an answer.
const HELD: Duration = Duration::from_secs(6);

/// Who asked.
enum Asker {
    /// Waits for an answer of anybody.
    Waits(Responder),
    /// Is to be answered by who works it out, and by nobody else.
    Claimed(Responder),
    Answered,
}

pub(super) struct Visit {
    pending: Pending,
    asker: Mutex<Asker>,
    order: OnceLock<Order>,
    desk: OnceLock<Arc<Desk>>,
    is_held: AtomicBool,
}

impl Visit {
    pub(super) fn new(pending: Pending, responder: Responder) -> Self {
        let asker = Mutex::new(Asker::Waits(responder));
        Self {
            pending,
            asker,
            order: OnceLock::new(),
            desk: OnceLock::new(),
            is_held: AtomicBool::new(false),
        }
    }

    pub(super) fn pending(&self) -> &Pending {
        &self.pending
    }

    /// From here on it is known what has to be delivered.
    pub(super) fn ordered(&self, order: Order, desk: &Arc<Desk>) {
        let _ = self.desk.set(Arc::clone(desk));
        let _ = self.order.set(order);
    }

    fn asker(&self) -> MutexGuard<'_, Asker> {
        self.asker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is for who works it out to answer; then nobody else does any more.
    pub(super) fn claim(&self) -> bool {
        let mut asker = self.asker();
        *asker = match mem::replace(&mut *asker, Asker::Answered) {
            Asker::Waits(responder) | Asker::Claimed(responder) => Asker::Claimed(responder),
            Asker::Answered => Asker::Answered,
        };
        !matches!(*asker, Asker::Answered)
    }

    /// The way back to who asked, for one who has an answer.
    fn take(&self, is_claimed: bool) -> Option<Responder> {
        let mut asker = self.asker();
        match mem::replace(&mut *asker, Asker::Answered) {
            Asker::Waits(responder) => Some(responder),
            Asker::Claimed(responder) if is_claimed => Some(responder),
            other => {
                *asker = other;
                None
            }
        }
    }

    /// Answers it, if nobody did: for who works it out.
    pub(super) fn respond(&self, response: Response) {
        if let Some(responder) = self.take(true) {
            responder.respond(response);
        }
    }

    /// Answers what the rule says for failures, if nobody did: for who works it out.
    pub(super) fn fail(&self) {
        if let Some(responder) = self.take(true) {
            responder.respond(self.failure());
        }
    }

    /// Whoever asks for it answers others as well, and must not panic.
    fn failure(&self) -> Response {
        let fail = || match self.order.get() {
            Some(order) => self.pending.respond_with(&order.failure()),
            None => self.pending.fail(),
        };
        catch_unwind(AssertUnwindSafe(fail)).unwrap_or_else(|_| Response::text(200, SUCCESS))
    }

    /// When it is answered at the latest.
    pub(super) fn last_moment(&self) -> Instant {
        let deadline = self.pending.deadline();
        match (self.is_held.load(Ordering::Acquire), self.order.get()) {
            (true, _) => self.pending.received() + HELD,
            (false, Some(_)) => last_moment(self.pending.received(), deadline),
            (false, None) => deadline,
        }
    }

    /// Whether its last moment is still to come; answers it then.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        if self.is_served() {
            return false;
        }
        if now < self.last_moment() {
            return true;
        }
        if self.is_held.load(Ordering::Acquire) {
            if let Some(responder) = self.take(false) {
                responder.respond(Response::text(200, SUCCESS));
            }
            return false;
        }
        let take = || self.take(false);
        // It might be ready in this very moment.
        let taken = match (self.order.get(), self.desk.get()) {
            (Some(order), Some(desk)) => desk.refuse(order, take),
            _ => take(),
        };
        let Some(responder) = taken else { return false };
        log::error!(
            target: "account", kind = "deadline";
            "{} is not ready at the `deadline`; answered in its place, it goes on",
            self.order.get().map_or_else(|| format!("{:?}", self.pending), |order| order.met.clone())
        );
        responder.respond(self.failure());
        false
    }
}

impl Visitor for Visit {
    fn received(&self) -> Instant {
        self.pending.received()
    }

    fn deadline(&self) -> Instant {
        self.pending.deadline()
    }

    fn is_served(&self) -> bool {
        !matches!(*self.asker(), Asker::Waits(_))
    }

    fn serve(&self, decision: &Decision) -> bool {
        let responder = self.take(false);
        let is_open = responder.is_some();
        if let Some(responder) = responder {
            responder.respond(self.pending.respond_with(&decision.answer));
        }
        is_open
    }

    fn hold(&self) {
        self.is_held.store(true, Ordering::Release);
    }
}

/// Until when it may take to decide what becomes of an answer that is late, whatever the `deadline`.
fn last_moment(received: Instant, deadline: Instant) -> Instant {
    (deadline + DECIDING).max(received + LAST_MOMENT)
}

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Visit({:?})", self.pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_deadline_there_is_time_to_decide_after_it() {
        let received = Instant::now();
        for deadline in [500, 4_500, 4_849, 4_850, 4_999].map(Duration::from_millis) {
            let last = last_moment(received, received + deadline) - received;
            assert!(last >= deadline + DECIDING && last >= LAST_MOMENT, "{deadline:?}: {last:?}");
            // WeChat has not hung up by much.
            assert!(last < Duration::from_millis(5_100));
        }
    }
}
