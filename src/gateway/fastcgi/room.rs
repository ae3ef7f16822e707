//! How many connections there is room for: those that are served, and those that are only told to come again.
//!
//! Each costs a descriptor. Whoever is told so has to be let in first and heard out: a connection that is closed before
//! its request was read is an error without a status to the web server behind it, and a 502 to its client.

use std::fs::File;
use std::os::fd::OwnedFd;

use rustix::process::{Resource, getrlimit};

use crate::descriptors;

/// Connections that are served at most, unless told otherwise and if the system allows as many.
const MAX_CONNECTIONS: u64 = 2000;

/// Connections that are served at least, however few descriptors there are.
const MIN_CONNECTIONS: u64 = 16;

/// Descriptors that are left for files, stores and handlers; of few a quarter.
const RESERVED_DESCRIPTORS: u64 = 96;

/// How many connections are served unless told otherwise: 2000, or half of what RLIMIT_NOFILE can be raised to.
pub(super) fn default_max_connections() -> usize {
    let connections = usable(hard_limit()) / 2;
    to_usize(connections.clamp(MIN_CONNECTIONS, MAX_CONNECTIONS))
}

/// Raises RLIMIT_NOFILE as far as `max_connections` and as many that are turned away need it, and gives how many can
/// be turned away at once.
pub(super) fn make(max_connections: usize) -> usize {
    let served = u64::try_from(max_connections).unwrap_or(u64::MAX);
    let wanted = served.saturating_mul(2).saturating_add(RESERVED_DESCRIPTORS);
    let limit = getrlimit(Resource::Nofile);
    let now = limit.current.unwrap_or(u64::MAX);
    let raised = wanted.min(hard_limit());
    let is_raised = now < raised && descriptors::raise(raised);
    let descriptors = if is_raised { raised } else { now };
    if usable(descriptors) < served {
        log::warn!(
            target: "gateway",
            "RLIMIT_NOFILE ({descriptors}) is too low for `max_connections` ({served}); raise LimitNOFILE"
        );
    }
    to_usize(usable(descriptors).saturating_sub(served).clamp(MIN_CONNECTIONS, served.max(MIN_CONNECTIONS)))
}

/// What `descriptors` leave for connections.
fn usable(descriptors: u64) -> u64 {
    descriptors - RESERVED_DESCRIPTORS.min(descriptors / 4)
}

fn hard_limit() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A descriptor that is given up for a moment when there are no others, to let somebody in and tell him so.
#[derive(Debug)]
pub(super) struct Spare(Option<OwnedFd>);

impl Spare {
    pub(super) fn new() -> Self {
        Self(open_nothing())
    }

    /// Calls `with_one_more` while one more descriptor is free.
    pub(super) fn lend<T>(&mut self, with_one_more: impl FnOnce() -> T) -> T {
        self.0 = None;
        let done = with_one_more();
        self.0 = open_nothing();
        done
    }
}

fn open_nothing() -> Option<OwnedFd> {
    File::open("/dev/null").ok().map(OwnedFd::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_descriptors_are_not_all_for_connections() {
        assert_eq!((usable(1024), usable(64), usable(0)), (928, 48, 0));
        let connections = default_max_connections();
        assert!((16..=2000).contains(&connections));
        assert!(make(connections) >= 16);
    }
}
