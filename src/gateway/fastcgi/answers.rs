//! The way of answers into the loop, from any thread.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use mio::Waker;

use crate::gateway::responder::{Answer, Deliver, Ticket};

/// A ticket and its answer.
pub(super) type Arrival = (Ticket, Answer);

/// Answers that the loop has not fetched yet.
pub(super) struct Answers {
    queue: Mutex<Vec<Arrival>>,
    waker: Waker,
    /// The loop's own thread, which looks here before it waits and needs no waking.
    home: ThreadId,
}

impl Answers {
    /// To be made in the thread of the loop that `waker` wakes.
    pub(super) fn new(waker: Waker) -> Self {
        Self { queue: Mutex::default(), waker, home: thread::current().id() }
    }

    /// The answer to `ticket`, if it is there already.
    pub(super) fn take(&self, ticket: Ticket) -> Option<Answer> {
        let mut queue = self.queue();
        let place = queue.iter().rposition(|(other, _)| *other == ticket)?;
        Some(queue.swap_remove(place).1)
    }

    /// All answers that are there. Puts `spare` in their place, to use its memory again.
    pub(super) fn take_all(&self, spare: Vec<Arrival>) -> Vec<Arrival> {
        mem::replace(&mut *self.queue(), spare)
    }

    fn queue(&self) -> MutexGuard<'_, Vec<Arrival>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deliver for Answers {
    fn deliver(&self, ticket: Ticket, answer: Answer) {
        self.queue().push((ticket, answer));
        if thread::current().id() != self.home
            && let Err(error) = self.waker.wake()
        {
            log::error!(target: "gateway", "cannot wake the loop: {error}; the answer waits for its next turn");
        }
    }
}
