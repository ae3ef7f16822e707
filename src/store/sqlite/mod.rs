//! The store of one host: a file of SQLite, shared by all processes that can open it.

mod failure;
mod file;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, named_params, params};

use super::gate::Gate;
use super::{Claim, Holder, Lease, Store, StoreError, Value, Version, millis};
use failure::Failure;
pub use file::Journal;
use file::{Opened, StoreFile};

/// Connections that are open at once, and kept open for the next calls. Only one can write, and the others would not wait
/// in a row for it: SQLite looks again after a while, and who is unlucky each time gives up.
const MAX_OPEN: usize = 1;

/// A store in a file. It is opened with the first call, and once more whenever another file has come into its place.
pub struct Sqlite {
    file: StoreFile,
    account: String,
    clock: fn() -> SystemTime,
    idle: Mutex<Vec<Opened>>,
    gate: Gate,
}

impl Sqlite {
    /// A store of `account` in the file `path`. Each call waits for other processes for the time `timeout` at most.
    #[must_use]
    pub fn new(path: PathBuf, journal: Journal, timeout: Duration, account: &str) -> Self {
        let file = StoreFile { path, journal, timeout };
        Self {
            file,
            account: account.to_owned(),
            clock: SystemTime::now,
            idle: Mutex::default(),
            gate: Gate::new(MAX_OPEN),
        }
    }

    /// The same by another clock.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> SystemTime) -> Self {
        Self { clock, ..self }
    }

    /// One step: what `step` does is done wholly or not at all.
    fn write<T>(&self, step: impl Fn(&Step<'_>) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        self.call(|opened| {
            let transaction = opened.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // The clock is asked once nobody else can come in between.
            let done = step(&Step { transaction: &transaction, account: &self.account, now: self.now() })?;
            transaction.commit()?;
            Ok(done)
        })
    }

    /// Calls on a connection; once more on a new file if this one turns out to be damaged.
    fn call<T>(&self, call: impl Fn(&mut Opened) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let called = match self.call_once(&call) {
            Err(Failure::Damaged { file: Some(file), why }) => {
                self.idle().clear();
                self.file.set_aside(file, &why).and_then(|()| self.call_once(&call))
            }
            called => called,
        };
        called.map_err(|failure| failure.at(&self.file.path))
    }

    fn call_once<T>(&self, call: impl Fn(&mut Opened) -> rusqlite::Result<T>) -> Result<T, Failure> {
        let _inside = self.gate.enter().ok_or(Failure::Busy)?;
        let mut opened = self.open()?;
        // After an error the connection is closed: nothing of it is to reach the next call.
        let done = call(&mut opened).map_err(|error| Failure::from(error).of(opened.identity))?;
        let mut idle = self.idle();
        if idle.len() < MAX_OPEN {
            idle.push(opened);
        }
        Ok(done)
    }

    /// A connection to the file that lies there now.
    fn open(&self) -> Result<Opened, Failure> {
        let kept = self.idle().pop();
        match kept.filter(|opened| self.file.identity() == Some(opened.identity)) {
            Some(opened) => Ok(opened),
            None => self.file.open(),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Opened>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> i64 {
        let since = (self.clock)().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, account, .. } = self;
        f.debug_struct("Sqlite").field("file", file).field("account", account).finish_non_exhaustive()
    }
}

impl Store for Sqlite {
    fn get(&self, key: &str) -> Result<Option<Value>, StoreError> {
        self.call(|opened| {
            let now = self.now();
            // Of a value that is from the future we know how long it was to live: the clock has gone back.
            opened
                .connection
                .prepare_cached(
                    "SELECT bytes, version, min(ends - :now, ends - since) FROM value
                     WHERE account = :account AND key = :key AND ends > :now",
                )?
                .query_row(named_params! {":account": self.account, ":key": key, ":now": now}, |row| {
                    let (bytes, version) = (row.get(0)?, Version(row.get::<_, i64>(1)?.cast_unsigned()));
                    Ok(Value { bytes, remaining: duration(row.get(2)?), version })
                })
                .optional()
        })
    }

    fn put(&self, key: &str, bytes: &[u8], life: Duration) -> Result<(), StoreError> {
        self.write(|step| step.put(key, bytes, life))
    }

    fn put_if(
        &self,
        key: &str,
        seen: Option<Version>,
        bytes: &[u8],
        life: Duration,
    ) -> Result<bool, StoreError> {
        self.write(|step| {
            let is_same = step.version_of(key)? == seen;
            if is_same {
                step.put(key, bytes, life)?;
            }
            Ok(is_same)
        })
    }

    fn remove_if(&self, key: &str, seen: Version) -> Result<bool, StoreError> {
        self.write(|step| {
            let is_same = step.version_of(key)? == Some(seen);
            if is_same {
                step.run("DELETE FROM value WHERE account = ?1 AND key = ?2", params![step.account, key])?;
            }
            Ok(is_same)
        })
    }

    fn lease(&self, name: &str, holder: Holder, life: Duration) -> Result<Lease, StoreError> {
        self.write(|step| {
            let generation = match step.lease_of(name)? {
                Some(held) if held.holder != holder.0 => {
                    return Ok(Lease::Busy { remaining: duration(held.ends - step.now) });
                }
                Some(ours) => ours.generation,
                None => step.next_number()?,
            };
            step.sweep("lease")?;
            step.run(
                "INSERT OR REPLACE INTO lease (account, name, holder, generation, since, ends)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![step.account, name, holder.0, generation, step.now, step.after(life)],
            )?;
            Ok(Lease::Held { generation: generation.cast_unsigned() })
        })
    }

    fn release(&self, name: &str, holder: Holder) -> Result<(), StoreError> {
        self.write(|step| {
            step.run(
                "DELETE FROM lease WHERE account = ?1 AND name = ?2 AND holder = ?3",
                params![step.account, name, holder.0],
            )
        })?;
        Ok(())
    }

    fn claim(
        &self,
        message: &str,
        holder: Holder,
        life: Duration,
        keep: Duration,
    ) -> Result<Claim, StoreError> {
        self.write(|step| {
            let Some(row) = step.claim_of(message)? else {
                step.sweep("claim")?;
                step.run(
                    "INSERT OR REPLACE INTO claim (account, message, holder, attempt, since, alive_until, keep, ends)
                     VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7)",
                    params![
                        step.account,
                        message,
                        holder.0,
                        step.now,
                        step.after(life),
                        millis(keep.max(life)),
                        step.after(keep.max(life))
                    ],
                )?;
                return Ok(Claim::Yours);
            };
            if row.is_held_by(holder) {
                step.prolong(&row, life)?;
                return Ok(Claim::Yours);
            }
            step.run("UPDATE claim SET attempt = attempt + 1 WHERE rowid = ?1", params![row.id])?;
            Ok(claim_by_another(row.attempt + 1, row.is_alive, row.answer))
        })
    }

    fn look(&self, message: &str) -> Result<Option<Claim>, StoreError> {
        self.call(|opened| {
            let now = self.now();
            // As in `claim_of`, which also writes down what it finds.
            opened
                .connection
                .prepare_cached(
                    "SELECT attempt, alive_until > max(:now, since), answer FROM claim
                     WHERE account = :account AND message = :message AND ends > :now",
                )?
                .query_row(
                    named_params! {":account": self.account, ":message": message, ":now": now},
                    |row| Ok(claim_by_another(row.get(0)?, row.get(1)?, row.get(2)?)),
                )
                .optional()
        })
    }

    fn renew(&self, message: &str, holder: Holder, life: Duration) -> Result<bool, StoreError> {
        self.write(|step| {
            let Some(row) = step.claim_of(message)?.filter(|row| row.is_held_by(holder)) else {
                return Ok(false);
            };
            step.prolong(&row, life)?;
            Ok(true)
        })
    }

    fn finish(
        &self,
        message: &str,
        holder: Holder,
        answer: &[u8],
        keep: Duration,
    ) -> Result<bool, StoreError> {
        self.write(|step| {
            let Some(row) = step.claim_of(message)?.filter(|row| row.holder == holder.0) else {
                return Ok(false);
            };
            if row.answer.is_some() || !row.is_alive {
                return Ok(row.answer.is_some_and(|written| written == answer));
            }
            step.run(
                "UPDATE claim SET answer = ?2, ends = ?3 WHERE rowid = ?1",
                params![row.id, answer, step.after(keep)],
            )?;
            Ok(true)
        })
    }

    fn count(&self, key: &str, limit: u64, window: Duration) -> Result<Option<u64>, StoreError> {
        self.write(|step| {
            // What seems to be kept for longer was counted before the clock went back.
            step.run(
                "UPDATE tally SET ends = ?3 WHERE account = ?1 AND key = ?2 AND ends > ?3",
                params![step.account, key, step.after(window)],
            )?;
            let counted = step.number(
                "SELECT count(*) FROM tally WHERE account = ?1 AND key = ?2 AND ends > ?3",
                params![step.account, key, step.now],
            )?;
            if counted >= limit {
                return Ok(None);
            }
            step.sweep("tally")?;
            step.run(
                "INSERT INTO tally (account, key, ends) VALUES (?1, ?2, ?3)",
                params![step.account, key, step.after(window)],
            )?;
            Ok(Some(counted + 1))
        })
    }
}

/// Expired rows that are deleted with each that is added: so few that nobody waits for it, and more than are added.
const SWEPT_AT_ONCE: u32 = 16;

/// A transaction that nobody else writes beside, and its time.
struct Step<'t> {
    transaction: &'t Transaction<'t>,
    account: &'t str,
    now: i64,
}

struct LeaseRow {
    holder: [u8; 16],
    generation: i64,
    ends: i64,
}

struct ClaimRow {
    id: i64,
    holder: [u8; 16],
    attempt: i64,
    is_alive: bool,
    keep: i64,
    answer: Option<Vec<u8>>,
}

impl ClaimRow {
    fn is_held_by(&self, holder: Holder) -> bool {
        self.holder == holder.0 && self.is_alive && self.answer.is_none()
    }
}

impl Step<'_> {
    fn run(&self, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<usize> {
        self.transaction.prepare_cached(sql)?.execute(values)
    }

    fn number(&self, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<u64> {
        let number: i64 = self.transaction.prepare_cached(sql)?.query_row(values, |row| row.get(0))?;
        Ok(number.cast_unsigned())
    }

    fn after(&self, life: Duration) -> i64 {
        self.now.saturating_add(millis(life))
    }

    /// A number that never was before. Not even in a file that was lost, as long as the clock goes on: it is at least
    /// the time.
    fn next_number(&self) -> rusqlite::Result<i64> {
        self.transaction
            .prepare_cached("UPDATE serial SET number = max(number + 1, ?1) RETURNING number")?
            .query_row([self.now.saturating_mul(1000)], |row| row.get(0))
    }

    /// Deletes some of what has ended.
    fn sweep(&self, table: &str) -> rusqlite::Result<()> {
        let sql = format!(
            "DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE ends <= ?1 LIMIT {SWEPT_AT_ONCE})"
        );
        self.run(&sql, [self.now]).map(drop)
    }

    fn version_of(&self, key: &str) -> rusqlite::Result<Option<Version>> {
        self.transaction
            .prepare_cached("SELECT version FROM value WHERE account = ?1 AND key = ?2 AND ends > ?3")?
            .query_row(params![self.account, key, self.now], |row| row.get(0))
            .optional()
            .map(|version: Option<i64>| version.map(|version| Version(version.cast_unsigned())))
    }

    fn put(&self, key: &str, bytes: &[u8], life: Duration) -> rusqlite::Result<()> {
        let version = self.next_number()?;
        self.sweep("value")?;
        self.run(
            "INSERT OR REPLACE INTO value (account, key, bytes, version, since, ends)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![self.account, key, bytes, version, self.now, self.after(life)],
        )
        .map(drop)
    }

    /// A lease that somebody has.
    fn lease_of(&self, name: &str) -> rusqlite::Result<Option<LeaseRow>> {
        let key = params![self.account, name, self.now];
        // Taken later than now: the clock has gone back. It gets its life anew, not the years until the clock is there.
        self.run(
            "UPDATE lease SET ends = ?3 + ends - since, since = ?3 WHERE account = ?1 AND name = ?2 AND since > ?3",
            key,
        )?;
        self.transaction
            .prepare_cached(
                "SELECT holder, generation, ends FROM lease WHERE account = ?1 AND name = ?2 AND ends > ?3",
            )?
            .query_row(key, |row| {
                Ok(LeaseRow { holder: row.get(0)?, generation: row.get(1)?, ends: row.get(2)? })
            })
            .optional()
    }

    /// A claim that is not yet forgotten. Once its holder has been silent for too long it is lost, and it stays lost
    /// if the clock goes back.
    fn claim_of(&self, message: &str) -> rusqlite::Result<Option<ClaimRow>> {
        let key = params![self.account, message, self.now];
        self.run(
            "UPDATE claim SET alive_until = ?3 + alive_until - since, since = ?3
             WHERE account = ?1 AND message = ?2 AND since > ?3 AND alive_until > 0",
            key,
        )?;
        self.run(
            "UPDATE claim SET alive_until = 0
             WHERE account = ?1 AND message = ?2 AND alive_until BETWEEN 1 AND ?3",
            key,
        )?;
        self.transaction
            .prepare_cached(
                "SELECT rowid, holder, attempt, alive_until > 0, keep, answer FROM claim
                 WHERE account = ?1 AND message = ?2 AND ends > ?3",
            )?
            .query_row(key, |row| {
                Ok(ClaimRow {
                    id: row.get(0)?,
                    holder: row.get(1)?,
                    attempt: row.get(2)?,
                    is_alive: row.get(3)?,
                    keep: row.get(4)?,
                    answer: row.get(5)?,
                })
            })
            .optional()
    }

    fn prolong(&self, row: &ClaimRow, life: Duration) -> rusqlite::Result<()> {
        self.run(
            "UPDATE claim SET since = ?2, alive_until = ?3, ends = ?4 WHERE rowid = ?1",
            params![row.id, self.now, self.after(life), self.now + row.keep.max(millis(life))],
        )
        .map(drop)
    }
}

/// What somebody else has made of a message.
fn claim_by_another(attempt: i64, is_alive: bool, answer: Option<Vec<u8>>) -> Claim {
    let attempt = attempt.cast_unsigned();
    match answer {
        Some(answer) => Claim::Answered { answer, attempt },
        None if is_alive => Claim::Running { attempt },
        None => Claim::Lost { attempt },
    }
}

fn duration(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests;
