//! Waiting for one answer: how CGI, and whoever calls an application in-process, gets it.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::responder::{Answer, Deliver, Ticket};
use super::{Application, Responder, guard};
use crate::http::{Request, Response};

/// Hands `request` to `app` and waits for the answer, from whichever thread it comes.
///
/// Starts no thread. A handler that panics, drops its [`Responder`] or takes longer than `patience` gets
/// [`Application::unanswered`] in its place.
#[must_use]
pub fn call(app: &dyn Application, request: &Request, patience: Duration) -> Response {
    let mailbox = Arc::new(Mailbox::default());
    let responder = Responder::new(mailbox.clone(), Ticket::default());
    guard::run("handler", || app.handle(request, responder));
    let answer = mailbox.wait(patience);
    match &answer {
        Some(Answer::Given(_) | Answer::Page(_)) => {}
        Some(Answer::Dropped) => {
            log::error!(target: "gateway", "the handler gave no answer; answered in its place");
        }
        None => log::error!(
            target: "gateway",
            "the handler gave no answer within `answer_timeout` ({patience:?}); answered in its place"
        ),
    }
    guard::answer_or_default(app, answer.and_then(|answer| answer.given(|| None)))
}

/// Holds one answer until it is fetched.
#[derive(Default)]
struct Mailbox {
    answer: Mutex<Option<Answer>>,
    arrived: Condvar,
}

impl Mailbox {
    /// The answer; `None` after `patience`.
    fn wait(&self, patience: Duration) -> Option<Answer> {
        let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.arrived.wait_timeout_while(answer, patience, |answer| answer.is_none());
        let (mut answer, _) = waited.unwrap_or_else(PoisonError::into_inner);
        answer.take()
    }
}

impl Deliver for Mailbox {
    fn deliver(&self, _: Ticket, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        self.arrived.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Params;
    use std::cell::RefCell;
    use std::thread;

    /// An application made of one closure.
    struct App<F>(F);

    impl<F: Fn(Responder)> Application for App<F> {
        fn max_body(&self, _: &Params) -> usize {
            100
        }
        fn handle(&self, _: &Request, responder: Responder) {
            (self.0)(responder);
        }
        fn unanswered(&self) -> Response {
            Response::text(200, "success")
        }
    }

    fn answer_of(handler: impl Fn(Responder)) -> Response {
        call(&App(handler), &Request::new(Params::new(), Vec::new()), Duration::from_secs(20))
    }

    #[test]
    fn an_answer_may_come_at_once_or_from_another_thread() {
        let answer = Response::text(200, "late");
        assert_eq!(answer_of(|responder| responder.respond(Response::text(200, "late"))), answer);
        let late = answer_of(|responder| {
            thread::spawn(move || responder.respond(Response::text(200, "late")));
        });
        assert_eq!(late, answer);
    }

    #[test]
    fn a_dropped_responder_and_a_panic_are_answered() {
        assert_eq!(answer_of(drop), Response::text(200, "success"));
        assert_eq!(answer_of(|_| panic!("on purpose")), Response::text(200, "success"));
    }

    #[test]
    fn a_page_gets_no_numbers_here() {
        let page = answer_of(|responder| {
            responder.respond_with_page(|door| Response::text(if door.is_none() { 404 } else { 200 }, ""));
        });
        assert_eq!(page.status, 404);
    }

    #[test]
    fn a_forgotten_responder_is_not_waited_for_for_ever() {
        let forgotten = RefCell::new(None);
        let app = App(|responder| drop(forgotten.replace(Some(responder))));
        let request = Request::new(Params::new(), Vec::new());
        assert_eq!(call(&app, &request, Duration::ZERO), Response::text(200, "success"));
    }
}
