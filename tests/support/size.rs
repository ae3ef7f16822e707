//! How much a test does: enough for every change, or as much as a release deserves.

use std::env;

/// `short`; `full` where `WXCGI_TESTS=full` asks for the long forms, as `tests/run --full` does.
pub(crate) fn sized<T>(short: T, full: T) -> T {
    match env::var("WXCGI_TESTS").as_deref() {
        Ok("full") => full,
        Err(env::VarError::NotPresent) | Ok("") => short,
        other => panic!("WXCGI_TESTS is `full` or not set, and not {other:?}"),
    }
}
