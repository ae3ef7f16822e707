//! Threads for work that may take long: as many as there is work, up to a limit, beyond which it waits for its turn.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How much there is to do in all pools of this process.
static AT_WORK: Mutex<usize> = Mutex::new(0);
static ALL_DONE: Condvar = Condvar::new();

/// Whether there is anything to do.
pub(super) fn is_busy() -> bool {
    *at_work() > 0
}

/// Waits until there is nothing left to do, for the time `patience` at most. Says how much is left.
pub(super) fn wait(patience: Duration) -> usize {
    let waited = ALL_DONE.wait_timeout_while(at_work(), patience, |at_work| *at_work > 0);
    *waited.unwrap_or_else(PoisonError::into_inner).0
}

fn at_work() -> MutexGuard<'static, usize> {
    AT_WORK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a thread does.
pub(super) type Work = Box<dyn FnOnce() + Send>;

/// A thread without work ends after so long.
const IDLE: Duration = Duration::from_secs(5);
/// No more may wait for their turn: what takes longer to come than anybody waits for only takes memory.
const MAX_QUEUE: usize = 10_000;
/// A thousand threads may wait for slow handlers: none has more room than it needs.
const STACK: usize = 1 << 20;

/// A pool of threads. They outlive it as long as there is work.
#[derive(Clone)]
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    name: &'static str,
    most: usize,
    state: Mutex<State>,
    /// There is work, for threads that wait for some.
    work_came: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Work>,
    threads: usize,
    /// Threads that wait for work.
    idle: usize,
}

impl Pool {
    /// A pool of `most` threads at most, none of which is there before there is work.
    pub(super) fn new(name: &'static str, most: usize) -> Self {
        Self(Arc::new(Shared { name, most, state: Mutex::default(), work_came: Condvar::new() }))
    }

    /// Has it done by a thread, now or as soon as one is free; gives it back if there is none and none can be started, or
    /// too much waits already.
    pub(super) fn run(&self, work: impl FnOnce() + Send + 'static) -> Result<(), Work> {
        let mut state = self.0.state();
        if state.queue.len() >= MAX_QUEUE {
            return Err(Box::new(work));
        }
        if state.idle > state.queue.len() {
            self.0.work_came.notify_one();
        } else if state.threads < self.0.most {
            let shared = Arc::clone(&self.0);
            let builder = thread::Builder::new().name(self.0.name.to_owned()).stack_size(STACK);
            match builder.spawn(move || shared.work()) {
                Ok(_) => state.threads += 1,
                Err(error) => {
                    log::error!(target: "account", kind = "thread"; "cannot start a thread: {error}");
                    if state.threads == 0 {
                        return Err(Box::new(work));
                    }
                }
            }
        }
        state.queue.push_back(Box::new(work));
        *at_work() += 1;
        Ok(())
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({})", self.0.name)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(work) = self.next() {
            // A panic is a bug of ours, and in the log.
            let _ = catch_unwind(AssertUnwindSafe(work));
            *at_work() -= 1;
            ALL_DONE.notify_all();
        }
    }

    /// The next work; `None` if there is none for a while: then this thread is no longer counted.
    fn next(&self) -> Option<Work> {
        let mut state = self.state();
        if state.queue.is_empty() {
            state.idle += 1;
            let waited = self.work_came.wait_timeout_while(state, IDLE, |state| state.queue.is_empty());
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.idle -= 1;
        }
        let work = state.queue.pop_front();
        if work.is_none() {
            state.threads -= 1;
        }
        work
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn no_more_than_the_limit_is_done_at_once_and_all_is_done() {
        let pool = Pool::new("test", 3);
        let (begun, begins) = channel();
        let (let_go, waits) = channel::<()>();
        let waits = Arc::new(Mutex::new(waits));
        for number in 0..10 {
            let (begun, waits) = (begun.clone(), Arc::clone(&waits));
            let run = pool.run(move || {
                begun.send(number).unwrap();
                if number < 3 {
                    let _ = waits.lock().unwrap_or_else(PoisonError::into_inner).recv();
                }
                assert!(number != 5, "on purpose");
            });
            assert!(run.is_ok());
        }
        let first: Vec<u32> = (0..3).map(|_| begins.recv_timeout(LONG).unwrap()).collect();
        assert_eq!(first.iter().sum::<u32>(), 3, "{first:?}");
        assert!(is_busy() && wait(Duration::ZERO) > 0);
        drop(let_go);
        for _ in 3..10 {
            begins.recv_timeout(LONG).unwrap();
        }
        assert!(pool.0.state().threads <= 3);
    }
}
