//! One value that WeChat hands out and all processes and hosts of an account share: an access_token, a ticket.
//!
//! One of them at a time fetches it, under a lease of the store; the others wait for what it brings. A holder that is
//! killed holds the lease no longer than a fetch may take. Each fetch has the number of its lease, and what a smaller
//! number brings never replaces what a greater one brought: so a process that was slow cannot bring back a value that
//! WeChat has made invalid since. All times of life are the store's: the clocks of the hosts do not matter.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::after;
use super::client::with_jitter;
use super::error::ApiError;
use crate::chance::random;
use crate::secret::Secret;
use crate::store::{Holder, Lease, Store, Version};
use crate::wechat::errcode::Class;

/// Nobody fetches again for so long after WeChat has refused.
const COOL_DOWN: Duration = Duration::from_secs(30);
/// The same after trouble on the way, or when WeChat was busy.
const SHORT_COOL_DOWN: Duration = Duration::from_secs(5);
/// That a value was refused is remembered for as long as any value lives.
const REFUSED_FOR: Duration = Duration::from_secs(7200);
/// A process looks into the store again after this time, though its own copy is good.
const RECHECK: Duration = Duration::from_secs(10);
/// A lease outlives the fetch that it is for by this time, unless [`Shared::leased_for`] says less.
pub(super) const LEASE_SLACK: Duration = Duration::from_secs(2);
/// The first and the longest pause of who waits for another's fetch.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

/// A value that WeChat handed out.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The value.
    pub value: Secret,
    /// How long it is valid.
    pub expires_in: Duration,
}

/// Fetches a value from WeChat, until a point in time.
pub(super) type Fetch<'a> = &'a dyn Fn(Instant) -> Result<Issued, ApiError>;

/// What holds for all values of a kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// What it is called in messages.
    pub(super) what: &'static str,
    /// A new one is fetched so long before the old one ends, which serves meanwhile.
    pub(super) margin: Duration,
    /// A fetch takes no longer.
    pub(super) fetch_limit: Duration,
}

/// The value, as this process holds it.
#[derive(Debug)]
pub(super) struct Shared {
    /// Its name in the store.
    name: String,
    store: Arc<dyn Store>,
    terms: Terms,
    /// How long a lease lives: so long the others wait for a process that was killed.
    lease: Duration,
    memory: Mutex<Option<Copy>>,
}

/// This process's copy.
#[derive(Debug, Clone)]
struct Copy {
    value: Secret,
    expires: Instant,
    /// From then on a new one is wanted.
    stale: Instant,
    recheck: Instant,
}

/// What lies in the store.
#[derive(Serialize, Deserialize)]
struct Record {
    /// Of the lease under which it was fetched.
    generation: u64,
    /// `None`: WeChat has refused it.
    value: Option<String>,
    /// So long before its end it is stale, seconds.
    margin: u64,
}

/// The record, and what the store says of it.
struct Found {
    record: Record,
    remaining: Duration,
    version: Version,
}

/// Why nobody fetches for a while.
#[derive(Serialize, Deserialize)]
struct CoolDown {
    words: String,
}

impl Shared {
    pub(super) fn new(name: String, store: Arc<dyn Store>, terms: Terms) -> Self {
        let lease = terms.fetch_limit.saturating_add(LEASE_SLACK);
        Self { name, store, terms, lease, memory: Mutex::default() }
    }

    /// The same with leases of this life.
    pub(super) fn leased_for(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// The value; fetched only if nobody has a good one.
    pub(super) fn get(&self, until: Instant, fetch: Fetch<'_>) -> Result<Issued, ApiError> {
        if let Some(issued) = self.remembered(|copy, now| now < copy.stale.min(copy.recheck)) {
            return Ok(issued);
        }
        let shared = self.read().and_then(|found| match found.as_ref().and_then(Found::fresh) {
            Some(issued) => Ok(self.remember(issued)),
            None => self.obtain(until, fetch, Asked::ByNeed),
        });
        shared.or_else(|error| match error {
            // A store that is away for a while takes nothing away from who has what WeChat takes.
            ApiError::Store(_) => self.remembered(|copy, now| now < copy.expires).ok_or(error),
            error => Err(error),
        })
    }

    /// A new value, whatever there is; also at once after a refusal.
    pub(super) fn refresh(&self, until: Instant, fetch: Fetch<'_>) -> Result<Issued, ApiError> {
        self.obtain(until, fetch, Asked::ByPerson)
    }

    /// WeChat has refused `value`: it is not to be used again. One that came after it stays.
    pub(super) fn refuse(&self, value: &Secret) -> Result<(), ApiError> {
        self.memory().take_if(|copy| copy.value.expose() == value.expose());
        let Some(found) = self.read()?.filter(|found| found.is(value)) else { return Ok(()) };
        let refused = Record { value: None, ..found.record };
        self.put_if(Some(found.version), &refused, REFUSED_FOR)?;
        Ok(())
    }

    /// WeChat has refused `value`, which came after another one that it refused: nobody asks for a while, unless there
    /// is yet another one by now.
    pub(super) fn give_up(&self, value: &Secret, error: &ApiError) -> Result<(), ApiError> {
        if self.read()?.is_some_and(|found| found.is(value)) {
            self.refuse(value)?;
            self.cool_down(error);
        }
        Ok(())
    }

    fn obtain(&self, until: Instant, fetch: Fetch<'_>, asked: Asked) -> Result<Issued, ApiError> {
        let started = Instant::now();
        let holder = Holder(random().map_err(|error| ApiError::File { what: "no random numbers", error })?);
        loop {
            if asked == Asked::ByNeed
                && let Some(error) = self.cooling_down()?
            {
                return self.usable()?.ok_or(error);
            }
            match self.store.lease(&self.name, holder, self.lease)? {
                Lease::Held { generation } => {
                    let _held = Held { shared: self, holder };
                    return self.fetch(generation, fetch, asked, until);
                }
                Lease::Busy { remaining } => {
                    if let Some(issued) = self.wait(until.min(after(remaining)), asked)? {
                        return Ok(issued);
                    }
                    if Instant::now() >= until {
                        return Err(ApiError::Busy {
                            what: self.terms.what.to_owned(),
                            waited: started.elapsed(),
                        });
                    }
                }
            }
        }
    }

    /// Waits for what another process fetches, for as long as it has the lease. It only reads: many who wait must not
    /// hold up the one they wait for. What is stale serves meanwhile.
    fn wait(&self, until: Instant, asked: Asked) -> Result<Option<Issued>, ApiError> {
        let (mut pause, longest) = PAUSES;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if asked == Asked::ByPerson {
                // Not what there is: another one, as soon as the lease is free.
                std::thread::sleep(with_jitter(pause).min(left));
                return Ok(None);
            }
            let found = self.read()?;
            if let Some(fresh) = found.as_ref().and_then(Found::fresh) {
                return Ok(Some(self.remember(fresh)));
            }
            if let Some(issued) = found.as_ref().and_then(Found::usable) {
                return Ok(Some(issued));
            }
            if left.is_zero() || self.cooling_down()?.is_some() {
                return Ok(None);
            }
            std::thread::sleep(with_jitter(pause).min(left));
            pause = (pause * 2).min(longest);
        }
    }

    /// Fetches it: the lease is ours.
    fn fetch(
        &self,
        generation: u64,
        fetch: Fetch<'_>,
        asked: Asked,
        until: Instant,
    ) -> Result<Issued, ApiError> {
        // Look again once the lease is held: another process may have fetched while we came for it, or was refused. With
        // access_tokens of the classic kind WeChat keeps only the latest, so that fifty processes that each fetch one
        // would leave forty-nine holding a dead one.
        let found = self.read()?;
        if asked == Asked::ByNeed {
            if let Some(issued) = found.as_ref().and_then(Found::fresh) {
                return Ok(self.remember(issued));
            }
            if let Some(error) = self.cooling_down()? {
                return found.as_ref().and_then(Found::usable).ok_or(error);
            }
        }
        let started = Instant::now();
        match fetch(until.min(after(self.terms.fetch_limit))) {
            Ok(Issued { value, expires_in }) => {
                let expires_in = expires_in.saturating_sub(started.elapsed());
                log::info!(target: self.terms.what, "fetched a new one, valid for {} s", expires_in.as_secs());
                self.keep(generation, Issued { value, expires_in })
            }
            Err(error) => {
                // What else there is, has a pause of its own or ends by itself.
                if matches!(error, ApiError::Refused(_) | ApiError::Transport(_)) {
                    log::error!(target: self.terms.what, "{error}");
                    self.cool_down(&error);
                }
                match asked {
                    Asked::ByNeed => found.as_ref().and_then(Found::usable).ok_or(error),
                    // The old one is what they want to be rid of.
                    Asked::ByPerson => Err(error),
                }
            }
        }
    }

    /// Puts a fetched value into the store, unless what lies there was fetched after it.
    fn keep(&self, generation: u64, issued: Issued) -> Result<Issued, ApiError> {
        let Terms { margin, .. } = self.terms;
        let margin = if issued.expires_in > margin * 2 { margin } else { issued.expires_in / 2 };
        let value = Some(issued.value.expose().to_owned());
        let record = Record { generation, value, margin: margin.as_secs() };
        loop {
            let found = self.read()?;
            if let Some(newer) = found.as_ref().filter(|found| found.record.generation > generation) {
                log::warn!(target: self.terms.what, "was fetched by another process meanwhile; ours is let go");
                return Ok(newer.fresh().map_or(issued, |newer| self.remember(newer)));
            }
            if self.put_if(found.map(|found| found.version), &record, issued.expires_in)? {
                return Ok(self.remember((issued, margin)));
            }
        }
    }

    /// The value in the store, as long as WeChat takes it.
    fn usable(&self) -> Result<Option<Issued>, ApiError> {
        Ok(self.read()?.as_ref().and_then(Found::usable))
    }

    fn read(&self) -> Result<Option<Found>, ApiError> {
        let Some(value) = self.store.get(&self.name)? else { return Ok(None) };
        // What another version of wxcgi wrote is as good as nothing.
        let record =
            serde_json::from_slice(&value.bytes).unwrap_or(Record { generation: 0, value: None, margin: 0 });
        Ok(Some(Found { record, remaining: value.remaining, version: value.version }))
    }

    fn put_if(&self, seen: Option<Version>, record: &Record, life: Duration) -> Result<bool, ApiError> {
        let bytes = serde_json::to_vec(record).unwrap_or_default();
        Ok(self.store.put_if(&self.name, seen, &bytes, life)?)
    }

    fn remembered(&self, is_good: impl FnOnce(&Copy, Instant) -> bool) -> Option<Issued> {
        let now = Instant::now();
        let memory = self.memory();
        let copy = memory.as_ref().filter(|copy| is_good(copy, now))?;
        Some(Issued { value: copy.value.clone(), expires_in: copy.expires.saturating_duration_since(now) })
    }

    fn remember(&self, (issued, margin): (Issued, Duration)) -> Issued {
        let now = Instant::now();
        *self.memory() = Some(Copy {
            value: issued.value.clone(),
            expires: after(issued.expires_in),
            stale: after(issued.expires_in.saturating_sub(margin)),
            recheck: now + RECHECK,
        });
        issued
    }

    fn memory(&self) -> MutexGuard<'_, Option<Copy>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cooling_down(&self) -> Result<Option<ApiError>, ApiError> {
        let found = self.store.get(&self.cool_down_key())?;
        Ok(found.and_then(|value| {
            let CoolDown { words } = serde_json::from_slice(&value.bytes).ok()?;
            Some(ApiError::CoolingDown { words, remaining: value.remaining })
        }))
    }

    /// Lets all processes know that it is of no use to ask now.
    fn cool_down(&self, error: &ApiError) {
        let life = match error.class() {
            Some(Class::Retry) | None => SHORT_COOL_DOWN,
            Some(_) => COOL_DOWN,
        };
        let bytes = serde_json::to_vec(&CoolDown { words: error.to_string() }).unwrap_or_default();
        if let Err(error) = self.store.put(&self.cool_down_key(), &bytes, life) {
            log::warn!(target: self.terms.what, "{error}");
        }
    }

    fn cool_down_key(&self) -> String {
        format!("{}.cool_down", self.name)
    }
}

/// A lease that is given back whatever happens, a panic as well.
struct Held<'s> {
    shared: &'s Shared,
    holder: Holder,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let Shared { name, store, terms, .. } = self.shared;
        if let Err(error) = store.release(name, self.holder) {
            log::warn!(target: terms.what, "{error}; the others wait a little longer");
        }
    }
}

/// Why a new value is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// There is no good one.
    ByNeed,
    /// A person says so, who may have mended what was wrong a moment ago.
    ByPerson,
}

impl Found {
    /// The value, and its margin, if it needs no successor yet.
    fn fresh(&self) -> Option<(Issued, Duration)> {
        let margin = Duration::from_secs(self.record.margin);
        self.usable().filter(|issued| issued.expires_in > margin).map(|issued| (issued, margin))
    }

    /// The value, as long as WeChat takes it.
    fn usable(&self) -> Option<Issued> {
        let value = Secret::new(self.record.value.clone()?);
        Some(Issued { value, expires_in: self.remaining })
    }

    fn is(&self, value: &Secret) -> bool {
        self.record.value.as_deref() == Some(value.expose())
    }
}

#[cfg(test)]
mod tests;
