//! Requests in, answers out: the two doors through which a web server reaches us. Knows no WeChat.
//!
//! Both doors make the same [`Request`], hand it to an [`Application`] with a one-shot [`Responder`], and send the
//! [`Response`] that comes back: at once, or later from another thread. So one shape serves CGI (wait for it) and
//! FastCGI (go on serving others).
//!
//! [`find_door`] tells which door a web server used, [`cgi::serve`] and [`fastcgi::serve`] stand in it. Whatever
//! comes in, every request gets a complete HTTP answer: Apache makes an empty `200 OK` out of anything less, and
//! WeChat takes that for "accepted".

mod body;
pub mod cgi;
mod door;
pub mod fastcgi;
mod guard;
mod limits;
mod listener;
mod mailbox;
mod refusal;
mod responder;

pub use door::{Door, find as find_door, started_by_web_server};
pub use guard::{log_panics, survive_full_files};
pub use limits::Deadlines;
pub use listener::{Listener, listen};
pub use mailbox::call;
pub use responder::Responder;

use crate::http::{Params, Request, Response};

/// What stands behind the doors.
pub trait Application {
    /// The largest body in bytes that this request may have; asked once its parameters are known. A larger one is
    /// read to a second, larger limit, thrown away and answered 413.
    fn max_body(&self, params: &Params) -> usize;

    /// Answers one request through `responder`, now or later. The door goes on as soon as this returns.
    fn handle(&self, request: &Request, responder: Responder);

    /// The answer to a request whose handler panicked or dropped its [`Responder`] unused.
    fn unanswered(&self) -> Response;

    /// Takes a changed configuration, on SIGHUP. Only the FastCGI door asks for it.
    fn reload(&self) {}
}
