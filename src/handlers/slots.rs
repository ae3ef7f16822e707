//! `concurrency`: so many at once, over all processes and hosts of an account.
//!
//! Each who works holds one of the leases of that name. It ends by itself when the work had to be over: who dies gives his
//! place free no later than that.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::HandlerError;
use crate::chance::random;
use crate::store::{Holder, Lease, Store};

/// Who waits looks again after so long, and later and later.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_millis(200);
/// A lease lasts so much longer than the work may: it is to be ended by who worked.
const SLACK: Duration = Duration::from_secs(1);

/// One place; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Slot<'s> {
    store: &'s Arc<dyn Store>,
    name: String,
    holder: Holder,
}

impl<'s> Slot<'s> {
    /// One of `count` places called `name`, as soon as one is free, at the latest at `until`; so long it is held.
    pub(super) fn take(
        store: &'s Arc<dyn Store>,
        name: &str,
        count: u32,
        until: Instant,
    ) -> Result<Self, HandlerError> {
        let holder = Holder(random().map_err(|error| HandlerError(format!("no chance: {error}")))?);
        let mut wait = FIRST_WAIT;
        loop {
            let life = until.saturating_duration_since(Instant::now()) + SLACK;
            for number in 0..count {
                let name = format!("{name}/{number}");
                let lease =
                    store.lease(&name, holder, life).map_err(|error| HandlerError(error.to_string()))?;
                if let Lease::Held { .. } = lease {
                    return Ok(Self { store, name, holder });
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(HandlerError(format!(
                    "{count} of it are at work already, and none ended in time"
                )));
            }
            thread::sleep(wait.min(left));
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.store.release(&self.name, self.holder) {
            log::warn!(target: "exec", kind = "slot"; "a place is free later than it could be: {error}");
        }
    }
}
