//! What all processes and hosts of an account share: SQLite by default, Redis for several hosts.
//!
//! [`Store`] speaks the program's own words. Every operation is one step that is done wholly or not at all, whoever
//! else does what at the same time, and a process that dies between two of them leaves nothing that does not end by
//! itself: everything has a life time.

mod gate;
#[cfg(test)]
pub(crate) mod hooked;
pub mod redis;
pub mod sqlite;

use std::fmt;
use std::time::Duration;

/// What all processes of an account share. All calls may block: each wait for the other side is as long as the time limits
/// of the store say and no longer, but a slow one may make several. Who has a deadline must keep it by other means. Keys
/// are the caller's words; the store keeps accounts apart by itself.
///
/// # Errors
///
/// Each call fails if the store cannot be asked. Then the step may have been done or not.
#[expect(clippy::missing_errors_doc, reason = "the same for all, see above")]
pub trait Store: fmt::Debug + Send + Sync {
    /// The value of `key`, if it has not outlived its time.
    fn get(&self, key: &str) -> Result<Option<Value>, StoreError>;

    /// Keeps `bytes` under `key` for the time `life`, instead of what was there.
    fn put(&self, key: &str, bytes: &[u8], life: Duration) -> Result<(), StoreError>;

    /// Keeps `bytes` as [`Store::put`] does if the value there has still the version `seen` (`None`: if there is
    /// none). Says whether it did.
    fn put_if(
        &self,
        key: &str,
        seen: Option<Version>,
        bytes: &[u8],
        life: Duration,
    ) -> Result<bool, StoreError>;

    /// Forgets `key` if it has still the version `seen`. Says whether it did.
    fn remove_if(&self, key: &str, seen: Version) -> Result<bool, StoreError>;

    /// Takes the lease `name` for the time `life`, or prolongs it if `holder` has it already. Each time that it is taken
    /// its generation grows, and never repeats. Who may have lost it meanwhile learns that by a new generation.
    fn lease(&self, name: &str, holder: Holder, life: Duration) -> Result<Lease, StoreError>;

    /// Gives a lease back, if `holder` still has it.
    fn release(&self, name: &str, holder: Holder) -> Result<(), StoreError>;

    /// Claims the message `message` for `holder`: the first who asks is to answer it, all others learn what became of
    /// it. Asked again by a `holder` who has it, it is his still, and prolonged: so he may ask twice when he has not heard
    /// the answer. A claim must be renewed by [`Store::renew`] before `life` ends: then it is lost, also to its holder. The
    /// message is forgotten when `keep` (at least `life`) has passed since the last sign of its holder.
    fn claim(
        &self,
        message: &str,
        holder: Holder,
        life: Duration,
        keep: Duration,
    ) -> Result<Claim, StoreError>;

    /// What became of a message, for who does not want to answer it; `None` if nothing is known of it. Takes nothing, is no
    /// attempt, and never gives [`Claim::Yours`].
    fn look(&self, message: &str) -> Result<Option<Claim>, StoreError>;

    /// Prolongs a claim; `false` if `holder` has lost it.
    fn renew(&self, message: &str, holder: Holder, life: Duration) -> Result<bool, StoreError>;

    /// Writes the answer of a claimed message down, for all further attempts, for the time `keep`. Says whether it did:
    /// who has lost the claim, or comes after another answer, changes nothing. The same answer once more is well.
    fn finish(
        &self,
        message: &str,
        holder: Holder,
        answer: &[u8],
        keep: Duration,
    ) -> Result<bool, StoreError>;

    /// Counts one more under `key` and gives the new count, unless it would be more than `limit`: then nothing changes
    /// and the count is `None`. Each is forgotten when `window` has passed since it was counted (a sliding window): so in
    /// no time of this length more than `limit` are counted. Each takes a little room until then: meant for limits of up
    /// to some thousands. A key should always come with the same window.
    fn count(&self, key: &str, limit: u64, window: Duration) -> Result<Option<u64>, StoreError>;
}

/// How long what became of a message is kept for its repeats. WeChat repeats within 15 s.
pub const REPEATED_WITHIN: Duration = Duration::from_secs(10 * 60);

/// No life is longer, whatever was asked for: a hundred years.
const LONGEST_LIFE: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A life in milliseconds, as stores count: at least one, so that what is to live a moment is not taken for eternal.
fn millis(life: Duration) -> i64 {
    i64::try_from(life.min(LONGEST_LIFE).as_millis()).unwrap_or(i64::MAX).max(1)
}

/// A value, and how long it will be there.
#[derive(Clone, PartialEq, Eq)]
pub struct Value {
    /// What was put.
    pub bytes: Vec<u8>,
    /// How long it lives still.
    pub remaining: Duration,
    /// Of this value; every `put` makes another.
    pub version: Version,
}

/// Tells a value from those before and after it under the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(pub u64);

/// Who holds a lease or a claim: sixteen unpredictable bytes, drawn for each attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder(pub [u8; 16]);

/// The answer to [`Store::lease`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// It is yours.
    Held {
        /// Grows with each change of hands.
        generation: u64,
    },
    /// Another holds it.
    Busy {
        /// It ends after this time, unless it is prolonged.
        remaining: Duration,
    },
}

/// The answer to [`Store::claim`].
#[derive(Clone, PartialEq, Eq)]
pub enum Claim {
    /// It is yours: answer it.
    Yours,
    /// Another is at it. `attempt` counts who asked, from 1 for the first.
    Running {
        /// Of this call.
        attempt: u64,
    },
    /// Whoever was at it has not been heard of for longer than its claim's life. The message is not to be handled again.
    Lost {
        /// Of this call.
        attempt: u64,
    },
    /// It was answered.
    Answered {
        /// As [`Store::finish`] wrote it.
        answer: Vec<u8>,
        /// Of this call.
        attempt: u64,
    },
}

// What is kept are tokens and texts of people: their sizes are enough to be seen.

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, remaining, version } = self;
        write!(f, "Value({} bytes, {remaining:?}, {version:?})", bytes.len())
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yours => write!(f, "Yours"),
            Self::Running { attempt } => write!(f, "Running({attempt})"),
            Self::Lost { attempt } => write!(f, "Lost({attempt})"),
            Self::Answered { answer, attempt } => write!(f, "Answered({} bytes, {attempt})", answer.len()),
        }
    }
}

/// Why the store could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("the store {place} {cause}")]
pub struct StoreError {
    /// Which store; without its password.
    pub place: String,
    /// What happened, and the cure where there is one.
    pub cause: String,
}
