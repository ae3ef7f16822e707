//! RLIMIT_NOFILE: raised for a server of many connections, and given back to the programs that it starts: some close or
//! watch as many descriptors as they might have.

use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// The limit that we were started with, once it was raised.
static GIVEN: OnceLock<Rlimit> = OnceLock::new();

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
