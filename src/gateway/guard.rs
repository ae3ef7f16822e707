//! Calls into the application that survive its panics.

use std::any::Any;
use std::io::Write;
use std::panic::{self, AssertUnwindSafe};

use super::Application;
use crate::http::{Params, Response};

/// Runs `call`; a panic in it is a log line and `None`.
///
/// The state behind `call` is the application's own, which is built to be called again after a panic.
pub(super) fn run<T>(what: &str, call: impl FnOnce() -> T) -> Option<T> {
    panic::catch_unwind(AssertUnwindSafe(call))
        .inspect_err(|panic| log::error!(target: "gateway", kind = "panic"; "`{what}` panicked: {}", message(panic.as_ref())))
        .ok()
}

/// [`Application::max_body`]; nothing may come in if that panics.
pub(super) fn max_body(app: &dyn Application, params: &Params) -> usize {
    run("max_body", || app.max_body(params)).unwrap_or_default()
}

/// The answer of a handler, or what stands for it if it gave none.
pub(super) fn answer_or_default(app: &dyn Application, answer: Option<Response>) -> Response {
    answer
        .or_else(|| run("unanswered", || app.unanswered()))
        .unwrap_or_else(|| Response::text(500, "internal error\n"))
}

/// Makes every panic of this process one line in the log, with its place, in place of Rust's lines on stderr.
///
/// For `main`, once. Before the log stands they go to stderr.
pub fn log_panics() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let message = message(info.payload());
        log::error!(target: "gateway", kind = "place of a panic"; "panic at `{place}`: {message}");
        if log::max_level() == log::LevelFilter::Off {
            let _ = writeln!(std::io::stderr(), "wxcgi: panic at `{place}`: {message}");
        }
    }));
}

/// The text that a panic came with.
fn message(panic: &(dyn Any + Send)) -> &str {
    let literal = panic.downcast_ref::<&str>().copied();
    literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_none_and_anything_else_itself() {
        assert_eq!(run("handler", || panic!("on purpose")), None::<()>);
        assert_eq!(run("handler", || 7), Some(7));
    }

    #[test]
    fn the_message_of_a_panic_is_found() {
        let panic = panic::catch_unwind(|| panic!("{}", 1)).unwrap_err();
        assert_eq!(message(panic.as_ref()), "1");
        let panic = panic::catch_unwind(|| panic!("one")).unwrap_err();
        assert_eq!(message(panic.as_ref()), "one");
        assert_eq!(message(&7), "(no message)");
    }
}
