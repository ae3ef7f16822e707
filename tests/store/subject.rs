//! A store to be tested, and its time.

use std::cell::Cell;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime};

use super::server::RedisServer;
use crate::support::PATIENCE;
use wxcgi::store::Store;
use wxcgi::store::sqlite::{Journal, Sqlite};

/// A store of its own, which ends with it.
#[derive(Debug)]
pub(super) enum Subject {
    /// A file, and the clock of this thread.
    Sqlite { folder: tempfile::TempDir, journal: Journal },
    /// A server, and its clock.
    Redis(RedisServer),
}

thread_local! {
    static AHEAD: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// The clock of this thread: it goes as the system's does, and is moved by [`Subject::pass`].
pub(super) fn clock() -> SystemTime {
    SystemTime::now() + AHEAD.get()
}

/// What the clock of a thread shows beyond the system's, for the threads that it starts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time(Duration);

impl Time {
    pub(super) fn of_this_thread() -> Self {
        Self(AHEAD.get())
    }

    pub(super) fn hold_in_this_thread(self) {
        AHEAD.set(self.0);
    }
}

impl Subject {
    pub(super) fn sqlite() -> Self {
        Self::Sqlite { folder: tempfile::tempdir().expect("a folder"), journal: Journal::Wal }
    }

    pub(super) fn sqlite_without_log() -> Self {
        Self::Sqlite { folder: tempfile::tempdir().expect("a folder"), journal: Journal::Delete }
    }

    pub(super) fn redis() -> Self {
        Self::Redis(RedisServer::start(&[]))
    }

    /// What a process of this account opens.
    pub(super) fn open(&self, account: &str) -> Box<dyn Store> {
        match self {
            Self::Sqlite { folder, journal } => {
                let path: PathBuf = folder.path().join("state/shop.db");
                Box::new(Sqlite::new(path, *journal, PATIENCE, account).with_clock(clock))
            }
            Self::Redis(server) => server.store(account),
        }
    }

    /// Lets this time go by.
    pub(super) fn pass(&self, time: Duration) {
        match self {
            Self::Sqlite { .. } => AHEAD.set(AHEAD.get() + time),
            // Its clock cannot be moved; it counts whole milliseconds.
            Self::Redis(_) => thread::sleep(time + Duration::from_millis(2)),
        }
    }
}
