//! The one-shot way back from a handler to the door that called it.

use std::sync::Arc;

use super::guard;
use super::status::Status;
use crate::http::Response;

/// Answers one request, once, from any thread.
///
/// Dropped unanswered, as when a handler panics and its stack unwinds, it makes the door answer
/// [`unanswered`](super::Application::unanswered): no request is ever left without a reply.
#[must_use = "a dropped responder answers `unanswered`"]
pub struct Responder {
    /// Gone as soon as it was used.
    door: Option<Arc<dyn Deliver>>,
    ticket: Ticket,
}

impl Responder {
    pub(super) fn new(door: Arc<dyn Deliver>, ticket: Ticket) -> Self {
        Self { door: Some(door), ticket }
    }

    /// Sends the answer.
    pub fn respond(mut self, response: Response) {
        self.deliver(Answer::Given(response));
    }

    /// Sends a page about the door itself. `page` is called in the door's own thread with its numbers, `None` where a
    /// door has none, as that of CGI.
    pub fn respond_with_page(mut self, page: impl FnOnce(Option<&Status>) -> Response + Send + 'static) {
        self.deliver(Answer::Page(Box::new(page)));
    }

    fn deliver(&mut self, answer: Answer) {
        if let Some(door) = self.door.take() {
            door.deliver(self.ticket, answer);
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.deliver(Answer::Dropped);
    }
}

/// Makes a page of a door's numbers, if it has any.
type Page = Box<dyn FnOnce(Option<&Status>) -> Response + Send>;

/// What a [`Responder`] came to.
pub(super) enum Answer {
    Given(Response),
    Page(Page),
    Dropped,
}

impl Answer {
    /// The response, if one was given. `status` is asked where it is a page about the door.
    pub(super) fn given(self, status: impl FnOnce() -> Option<Status>) -> Option<Response> {
        match self {
            Self::Given(response) => Some(response),
            Self::Page(page) => guard::run("page", || page(status().as_ref())),
            Self::Dropped => None,
        }
    }
}

/// Which request an answer belongs to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    /// The place of its connection.
    pub(super) place: usize,
    /// No two requests of a process share it, so an answer that comes too late meets nobody else's request.
    pub(super) serial: u64,
}

/// Where a [`Responder`] puts its answer.
pub(super) trait Deliver: Send + Sync {
    /// Takes the answer to `ticket`.
    fn deliver(&self, ticket: Ticket, answer: Answer);
}
