//! A store for tests, of which they decide what it does before each step: wait for something, or fail.

use std::fmt;
use std::time::Duration;

use super::{Claim, Holder, Lease, Store, StoreError, Value, Version};

/// What is asked of a store, as its name and its key: `put_if user/o1`.
type Hook = dyn Fn(&str) -> Result<(), StoreError> + Send + Sync;

/// A store before which a hook stands: a step that this refuses is not done.
pub(crate) struct Hooked {
    store: Box<dyn Store>,
    hook: Box<Hook>,
}

impl Hooked {
    pub(crate) fn new(
        store: impl Store + 'static,
        hook: impl Fn(&str) -> Result<(), StoreError> + Send + Sync + 'static,
    ) -> Self {
        Self { store: Box::new(store), hook: Box::new(hook) }
    }

    /// What a hook refuses a step with.
    pub(crate) fn refusal() -> StoreError {
        StoreError { place: "of the test".to_owned(), cause: "fails on purpose".to_owned() }
    }

    /// The store, once the hook lets this step through.
    fn to(&self, step: &str, key: &str) -> Result<&dyn Store, StoreError> {
        (self.hook)(&format!("{step} {key}"))?;
        Ok(&*self.store)
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hooked({:?})", self.store)
    }
}

impl Store for Hooked {
    fn get(&self, key: &str) -> Result<Option<Value>, StoreError> {
        self.to("get", key)?.get(key)
    }

    fn put(&self, key: &str, bytes: &[u8], life: Duration) -> Result<(), StoreError> {
        self.to("put", key)?.put(key, bytes, life)
    }

    fn put_if(
        &self,
        key: &str,
        seen: Option<Version>,
        bytes: &[u8],
        life: Duration,
    ) -> Result<bool, StoreError> {
        self.to("put_if", key)?.put_if(key, seen, bytes, life)
    }

    fn remove_if(&self, key: &str, seen: Version) -> Result<bool, StoreError> {
        self.to("remove_if", key)?.remove_if(key, seen)
    }

    fn lease(&self, name: &str, holder: Holder, life: Duration) -> Result<Lease, StoreError> {
        self.to("lease", name)?.lease(name, holder, life)
    }

    fn release(&self, name: &str, holder: Holder) -> Result<(), StoreError> {
        self.to("release", name)?.release(name, holder)
    }

    fn claim(
        &self,
        message: &str,
        holder: Holder,
        life: Duration,
        keep: Duration,
    ) -> Result<Claim, StoreError> {
        self.to("claim", message)?.claim(message, holder, life, keep)
    }

    fn look(&self, message: &str) -> Result<Option<Claim>, StoreError> {
        self.to("look", message)?.look(message)
    }

    fn renew(&self, message: &str, holder: Holder, life: Duration) -> Result<bool, StoreError> {
        self.to("renew", message)?.renew(message, holder, life)
    }

    fn finish(
        &self,
        message: &str,
        holder: Holder,
        answer: &[u8],
        keep: Duration,
    ) -> Result<bool, StoreError> {
        self.to("finish", message)?.finish(message, holder, answer, keep)
    }

    fn count(&self, key: &str, limit: u64, window: Duration) -> Result<Option<u64>, StoreError> {
        self.to("count", key)?.count(key, limit, window)
    }
}
