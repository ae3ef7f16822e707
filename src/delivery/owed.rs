//! Which messages are to be pushed by whom they were given to: should that process die, another one looks after them.
//!
//! They lie on a few lists, each one value of the store. A message leaves its list when its user has what he is to get, or it
//! waits for him; who dies before that leaves it there.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::order::Order;
use super::record::{self, Change};
use super::seconds_since;
use crate::store::{Store, StoreError};

/// A thousand messages at once must not all change the same value, nor one that is large.
const LISTS: u64 = 128;

pub(super) struct Owed<'s> {
    store: &'s dyn Store,
    keep: Duration,
}

impl<'s> Owed<'s> {
    pub(super) fn of(store: &'s dyn Store, keep: Duration) -> Self {
        Self { store, keep }
    }

    pub(super) fn add(&self, order: &Order) -> Result<(), StoreError> {
        self.change(list_of(order), |orders| {
            if orders.iter().any(|other| other.message == order.message) {
                return Change::None(());
            }
            orders.retain(|order| seconds_since(order.time) < self.keep.as_secs());
            orders.push(order.clone());
            Change::Keep(())
        })
    }

    pub(super) fn remove(&self, order: &Order) -> Result<(), StoreError> {
        self.change(list_of(order), |orders| {
            let before = orders.len();
            orders.retain(|other| other.message != order.message);
            if orders.len() == before { Change::None(()) } else { Change::Keep(()) }
        })
    }

    pub(super) fn has(&self, order: &Order) -> Result<bool, StoreError> {
        self.change(list_of(order), |orders| {
            Change::None(orders.iter().any(|other| other.message == order.message))
        })
    }

    /// All of them.
    pub(super) fn orders(&self) -> Result<Vec<Order>, StoreError> {
        let mut all = Vec::new();
        for list in 0..LISTS {
            all.extend(self.change(list, |orders| Change::None(std::mem::take(orders)))?);
        }
        Ok(all)
    }

    fn change<T>(
        &self,
        list: u64,
        change: impl FnMut(&mut Vec<Order>) -> Change<T>,
    ) -> Result<T, StoreError> {
        record::change(self.store, &format!("owed/{list}"), self.keep, change)
    }
}

fn list_of(order: &Order) -> u64 {
    xxh3_64(order.message.as_bytes()) % LISTS
}
