//! Requests in, answers out: the two doors through which a web server reaches us. Knows no WeChat.
//!
//! Both doors make the same [`Request`], hand it to an [`Application`] with a one-shot [`Responder`], and send the
//! [`Response`] that comes back: at once, or later from another thread. So one shape serves CGI (wait for it) and
//! FastCGI (go on serving others).

use crate::http::{Params, Request, Response};

/// The one-shot way back.
pub struct Responder;

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
