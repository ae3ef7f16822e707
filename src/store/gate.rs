//! How many threads of a process ask a store at once. A thousand answers may be ready in the same moment: a thousand
//! connections would take much memory, and get nobody served sooner.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How long a thread waits for its turn at most. Who has less time is answered by others.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lets so many in, and the others when one comes out.
#[derive(Debug)]
pub(super) struct Gate {
    free: Mutex<usize>,
    freed: Condvar,
}

/// Comes out when it is dropped.
#[derive(Debug)]
pub(super) struct Inside<'g>(&'g Gate);

impl Gate {
    pub(super) fn new(most: usize) -> Self {
        Self { free: Mutex::new(most), freed: Condvar::new() }
    }

    /// Goes in; `None` if there was no place for very long.
    pub(super) fn enter(&self) -> Option<Inside<'_>> {
        self.enter_within(PATIENCE)
    }

    fn enter_within(&self, patience: Duration) -> Option<Inside<'_>> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.freed.wait_timeout_while(free, patience, |free| *free == 0);
        let (mut free, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *free = free.checked_sub(1)?;
        Some(Inside(self))
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
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
}
