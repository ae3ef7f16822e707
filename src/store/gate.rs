//! How many threads of a process ask a store at once. A thousand answers may be ready in the same moment: a thousand
//! connections would take much memory, and get nobody served sooner.

use std::collections::VecDeque;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a thread waits for its turn at most. Who has less time is answered by others.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lets so many in, and when one comes out the one that has waited longest: where all push in, some wait for seconds.
#[derive(Debug)]
pub(super) struct Gate(Mutex<State>);

#[derive(Debug)]
struct State {
    free: usize,
    queue: VecDeque<Sender<()>>,
}

/// Comes out when it is dropped.
#[derive(Debug)]
pub(super) struct Inside<'g>(&'g Gate);

impl Gate {
    pub(super) fn new(most: usize) -> Self {
        Self(Mutex::new(State { free: most, queue: VecDeque::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes in; `None` if there was no place for very long.
    pub(super) fn enter(&self) -> Option<Inside<'_>> {
        self.enter_within(PATIENCE)
    }

    fn enter_within(&self, patience: Duration) -> Option<Inside<'_>> {
        let mut state = self.state();
        if let Some(left) = state.free.checked_sub(1) {
            state.free = left;
            return Some(Inside(self));
        }
        let (call, called) = channel();
        state.queue.push_back(call);
        drop(state);
        if called.recv_timeout(patience).is_ok() {
            return Some(Inside(self));
        }
        // Whoever comes out now must find that we have left, or we that we were called.
        let state = self.state();
        let is_called = called.try_recv().is_ok();
        drop(called);
        drop(state);
        is_called.then(|| Inside(self))
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        while let Some(next) = state.queue.pop_front() {
            if next.send(()).is_ok() {
                return;
            }
        }
        state.free += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_inside_than_there_are_places() {
        let gate = Gate::new(2);
        let first = gate.enter_within(Duration::ZERO).unwrap();
        let _second = gate.enter_within(Duration::ZERO).unwrap();
        assert!(gate.enter_within(Duration::ZERO).is_none());
        std::thread::scope(|scope| {
            let third = scope.spawn(|| gate.enter_within(Duration::from_secs(20)).is_some());
            drop(first);
            assert!(third.join().unwrap());
        });
        assert!(gate.enter_within(Duration::ZERO).is_some());
    }

    #[test]
    fn who_waited_longest_is_next_and_who_left_is_passed_over() {
        let gate = Gate::new(1);
        let (say, said) = channel();
        std::thread::scope(|scope| {
            let inside = gate.enter().unwrap();
            assert!(gate.enter_within(Duration::ZERO).is_none());
            for number in 0..5 {
                let (gate, say) = (&gate, say.clone());
                scope.spawn(move || {
                    let _inside = gate.enter_within(Duration::from_secs(20)).unwrap();
                    say.send(number).unwrap();
                });
                while gate.state().queue.len() <= number + 1 {
                    std::thread::yield_now();
                }
            }
            drop(inside);
        });
        drop(say);
        assert_eq!(said.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }
}
