//! Many clients who ask again and again while a test does something to the program.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// Clients at work; they stop when this is dropped.
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    asked: AtomicUsize,
    /// What was wrong, in the words of the client.
    faults: Mutex<Vec<String>>,
}

/// What a load has come to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How many requests were sent.
    pub(crate) asked: usize,
    /// What was wrong with some of them.
    pub(crate) faults: Vec<String>,
}

impl Load {
    /// Starts `clients` threads, each of which calls `ask` for one request after another. `ask` says what was wrong
    /// with the answer, if anything was.
    pub(crate) fn of(clients: usize, ask: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let ask = Arc::new(ask);
        let client = |_| {
            let (shared, ask) = (Arc::clone(&shared), Arc::clone(&ask));
            thread::spawn(move || {
                while !shared.stop.load(Ordering::Relaxed) {
                    if let Err(fault) = ask() {
                        shared.faults.lock().expect("no client panics").push(fault);
                    }
                    shared.asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        Self { clients: (0..clients).map(client).collect(), shared }
    }

    /// Waits until so many more requests are done.
    ///
    /// # Panics
    ///
    /// If none gets done any more, or a client panics.
    #[track_caller]
    pub(crate) fn wait_for(&self, more: usize) {
        let mut last = self.asked();
        let (goal, mut since) = (last + more, Instant::now());
        while self.asked() < goal {
            assert!(!self.clients.iter().any(JoinHandle::is_finished), "a client has panicked");
            if self.asked() > last {
                (last, since) = (self.asked(), Instant::now());
            }
            assert!(since.elapsed() < PATIENCE, "after {last} requests the clients get no answer");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// How many requests are done.
    pub(crate) fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::Relaxed)
    }

    /// Lets the clients finish what they have begun.
    pub(crate) fn end(mut self) -> Outcome {
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            client.join().expect("no client panics");
        }
        let faults = std::mem::take(&mut *self.shared.faults.lock().expect("no client panics"));
        Outcome { asked: self.asked(), faults }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            // Its panic was told already.
            let _ = client.join();
        }
    }
}

impl Outcome {
    /// Nothing was wrong with any of at least `least` requests.
    #[track_caller]
    pub(crate) fn is_faultless(&self, least: usize) {
        let (asked, faults) = (self.asked, &self.faults);
        let some = &faults[..faults.len().min(10)];
        assert!(faults.is_empty(), "{} of {asked} requests went wrong: {some:#?}", faults.len());
        assert!(asked >= least, "only {asked} requests");
    }
}
