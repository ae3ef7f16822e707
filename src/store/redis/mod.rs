//! The store of several hosts: a Redis. All keys of an account begin with `prefix:{account}:`.

mod link;
mod scripts;

use std::time::Duration;

use redis::{FromRedisValue, Script, ScriptInvocation};

use super::{Claim, Holder, Lease, Store, StoreError, Value, Version, millis};
pub use link::Address;
use link::{Link, Repeat};

/// A store in a Redis. It is connected to with the first call.
#[derive(Debug)]
pub struct Redis {
    link: Link,
    /// Of all keys of the account.
    prefix: String,
}

impl Redis {
    /// A store of `account`, whose keys there begin with `prefix`. To connect, and for each piece of an answer, a call
    /// waits for the time `timeout` at most.
    #[must_use]
    pub fn new(address: Address, timeout: Duration, prefix: &str, account: &str) -> Self {
        // The braces make all keys of an account belong together, where Redis is asked to spread them over several.
        let prefix = format!("{prefix}:{{{}}}:", plain(account));
        Self { link: Link::new(address, timeout), prefix }
    }

    fn key(&self, kind: &str, name: &str) -> String {
        format!("{}{kind}:{name}", self.prefix)
    }

    /// A script, its key, and the key that it takes numbers from.
    fn step<'s>(&self, script: &'s Script, kind: &str, name: &str) -> ScriptInvocation<'s> {
        let mut step = script.key(self.key(kind, name));
        step.key(format!("{}serial", self.prefix));
        step
    }

    fn ask<T: FromRedisValue>(&self, repeat: Repeat, step: &ScriptInvocation<'_>) -> Result<T, StoreError> {
        self.link.ask(repeat, |connection| step.invoke(connection))
    }

    /// The number that `bytes` begin with, and what follows it behind a space.
    fn number<'b>(&self, bytes: &'b [u8]) -> Result<(u64, &'b [u8]), StoreError> {
        let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = bytes.split_at(digits);
        let number = str::from_utf8(number).ok().and_then(|digits| digits.parse().ok());
        number.map(|number| (number, rest.get(1..).unwrap_or_default())).ok_or_else(|| self.not_ours())
    }

    fn not_ours(&self) -> StoreError {
        self.link.error(
            "has keys under our names that we did not write; give this account another `prefix` in `[store]`"
                .into(),
        )
    }
}

impl Store for Redis {
    fn get(&self, key: &str) -> Result<Option<Value>, StoreError> {
        let step = self.step(&scripts::GET, "value", key);
        let found: Option<(Vec<u8>, i64)> = self.ask(Repeat::Safe, &step)?;
        let Some((value, remaining)) = found else { return Ok(None) };
        let (version, bytes) = self.number(&value)?;
        let (bytes, version) = (bytes.to_vec(), Version(version));
        Ok(Some(Value { bytes, remaining: duration(remaining), version }))
    }

    fn put(&self, key: &str, bytes: &[u8], life: Duration) -> Result<(), StoreError> {
        let mut step = self.step(&scripts::PUT, "value", key);
        self.ask(Repeat::Unsafe, step.arg(bytes).arg(millis(life)).arg("*"))
    }

    fn put_if(
        &self,
        key: &str,
        seen: Option<Version>,
        bytes: &[u8],
        life: Duration,
    ) -> Result<bool, StoreError> {
        let seen = seen.map_or_else(String::new, |version| version.0.to_string());
        let mut step = self.step(&scripts::PUT, "value", key);
        self.ask(Repeat::Unsafe, step.arg(bytes).arg(millis(life)).arg(seen))
    }

    fn remove_if(&self, key: &str, seen: Version) -> Result<bool, StoreError> {
        let mut step = self.step(&scripts::REMOVE, "value", key);
        self.ask(Repeat::Unsafe, step.arg(seen.0))
    }

    fn lease(&self, name: &str, holder: Holder, life: Duration) -> Result<Lease, StoreError> {
        let mut step = self.step(&scripts::LEASE, "lease", name);
        let (is_ours, number): (bool, Vec<u8>) =
            self.ask(Repeat::Safe, step.arg(&holder.0).arg(millis(life)))?;
        let (number, _) = self.number(&number)?;
        Ok(if is_ours {
            Lease::Held { generation: number }
        } else {
            Lease::Busy { remaining: Duration::from_millis(number) }
        })
    }

    fn release(&self, name: &str, holder: Holder) -> Result<(), StoreError> {
        let mut step = self.step(&scripts::RELEASE, "lease", name);
        self.ask(Repeat::Safe, step.arg(&holder.0))
    }

    fn claim(
        &self,
        message: &str,
        holder: Holder,
        life: Duration,
        keep: Duration,
    ) -> Result<Claim, StoreError> {
        let mut step = self.step(&scripts::CLAIM, "message", message);
        let step = step.arg(&holder.0).arg(millis(life)).arg(millis(keep));
        self.ask(Repeat::Safe, step).map(claim_of)
    }

    fn look(&self, message: &str) -> Result<Option<Claim>, StoreError> {
        let found: Option<_> = self.ask(Repeat::Safe, &self.step(&scripts::LOOK, "message", message))?;
        Ok(found.map(claim_of))
    }

    fn renew(&self, message: &str, holder: Holder, life: Duration) -> Result<bool, StoreError> {
        let mut step = self.step(&scripts::RENEW, "message", message);
        self.ask(Repeat::Safe, step.arg(&holder.0).arg(millis(life)))
    }

    fn finish(
        &self,
        message: &str,
        holder: Holder,
        answer: &[u8],
        keep: Duration,
    ) -> Result<bool, StoreError> {
        let mut step = self.step(&scripts::FINISH, "message", message);
        self.ask(Repeat::Safe, step.arg(&holder.0).arg(answer).arg(millis(keep)))
    }

    fn count(&self, key: &str, limit: u64, window: Duration) -> Result<Option<u64>, StoreError> {
        let mut step = self.step(&scripts::COUNT, "count", key);
        self.ask(Repeat::Unsafe, step.arg(limit).arg(millis(window)))
    }
}

/// A name that can neither end the braces it is put in nor be mistaken for another.
fn plain(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// What the scripts say of a claim.
fn claim_of((state, attempt, answer): (u8, u64, Vec<u8>)) -> Claim {
    match state {
        0 => Claim::Yours,
        1 => Claim::Running { attempt },
        2 => Claim::Lost { attempt },
        _ => Claim::Answered { answer, attempt },
    }
}

fn duration(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
