//! Descriptors, of which the programs that we start are to know nothing: neither those that a web server has left open in
//! us, nor how many a server of many connections may have (RLIMIT_NOFILE): some programs close or watch as many.

use std::sync::{Once, OnceLock};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// The limit that we were started with, once it was raised.
static GIVEN: OnceLock<Rlimit> = OnceLock::new();

/// Keeps what this process was started with, stdin, stdout and stderr apart, from the programs that it starts. What it
/// opens itself is closed on `exec` anyway.
pub fn keep_from_children() {
    static DONE: Once = Once::new();
    DONE.call_once(|| close_fds::set_fds_cloexec(3, &[]));
}

/// Raises the limit of this process, which must not be above its hard limit; says whether it did.
pub fn raise(to: u64) -> bool {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(to), maximum: limit.maximum }).is_ok();
    if raised {
        GIVEN.get_or_init(|| limit);
    }
    raised
}

/// Gives a child the limit that we were started with.
pub fn give_back(child: Pid) {
    if let Some(given) = GIVEN.get() {
        // Without it the program works as well, most often.
        let _ = prlimit(Some(child), Resource::Nofile, *given);
    }
}
