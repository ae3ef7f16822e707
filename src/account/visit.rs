//! One call of WeChat that is answered later, and the last moment for it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::callback::{Pending, SUCCESS};
use crate::delivery::{Answer, Order, Visitor};
use crate::gateway::Responder;
use crate::http::Response;

/// Who decides what becomes of a late answer asks the store; this long after the deadline nobody waits for that.
const GRACE: Duration = Duration::from_millis(350);
/// WeChat has hung up by then: so long after it came an attempt is let go that was to stay without an answer.
const HELD: Duration = Duration::from_secs(6);

pub(super) struct Visit {
    pending: Pending,
    responder: Mutex<Option<Responder>>,
    order: OnceLock<Order>,
    is_held: AtomicBool,
}

impl Visit {
    pub(super) fn new(pending: Pending, responder: Responder) -> Self {
        let responder = Mutex::new(Some(responder));
        Self { pending, responder, order: OnceLock::new(), is_held: AtomicBool::new(false) }
    }

    pub(super) fn pending(&self) -> &Pending {
        &self.pending
    }

    /// From here on it is known what has to be delivered.
    pub(super) fn ordered(&self, order: Order) {
        let _ = self.order.set(order);
    }

    fn responder(&self) -> MutexGuard<'_, Option<Responder>> {
        self.responder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers it, if nobody did.
    pub(super) fn respond(&self, response: Response) {
        let responder = self.responder().take();
        if let Some(responder) = responder {
            responder.respond(response);
        }
    }

    /// Answers what the rule says for failures, if nobody did.
    pub(super) fn fail(&self) {
        // Taken first: who is ready just now must not find that it was for nothing.
        let responder = self.responder().take();
        if let Some(responder) = responder {
            responder.respond(match self.order.get() {
                Some(order) => self.pending.respond_with(&order.failure()),
                None => self.pending.fail(),
            });
        }
    }

    /// When it is answered at the latest.
    pub(super) fn last_moment(&self) -> Instant {
        let deadline = self.pending.deadline();
        match (self.is_held.load(Ordering::Acquire), self.order.get()) {
            (true, _) => self.pending.received() + HELD,
            (false, Some(_)) => deadline + GRACE,
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
            self.respond(Response::text(200, SUCCESS));
            return false;
        }
        log::error!(
            target: "account", kind = "deadline";
            "{} is not ready at the `deadline`; answered in its place, it goes on",
            self.order.get().map_or_else(|| format!("{:?}", self.pending), |order| order.met.clone())
        );
        self.fail();
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
        self.responder().is_none()
    }

    fn serve(&self, answer: &Answer) {
        let responder = self.responder().take();
        if let Some(responder) = responder {
            responder.respond(self.pending.respond_with(answer));
        }
    }

    fn hold(&self) {
        self.is_held.store(true, Ordering::Release);
    }
}

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Visit({:?})", self.pending)
    }
}
