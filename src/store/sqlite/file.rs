//! The file of a SQLite store: made for its owner only, opened, brought to our schema, and set aside if it is damaged.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::failure::Failure;
use crate::clock::unix_seconds;

/// How changes are kept safe until they are in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Journal {
    /// A log beside the file: readers and writers do not wait for each other. Needs memory that all processes share, so
    /// all of them must be on one host.
    #[default]
    Wal,
    /// For a home on the network: slower, and right as long as the network's file locks are.
    Delete,
}

impl Journal {
    /// As SQLite calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Wal => "wal",
            Self::Delete => "delete",
        }
    }
}

/// Each entry brings a file from the version before it to its own; the first one makes version 1 of an empty file.
const MIGRATIONS: &[&str] = &[include_str!("schema-1.sql")];

/// Of our files, in their header (`PRAGMA application_id`): `wxcg`.
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"wxcg");

/// Pages that the log beside the file may have before they are moved into the file. Each process that opens a file
/// that nobody else has open reads this log first, so it is kept short.
const LOG_PAGES: u32 = 200;

/// Where the file is, and how it is opened.
#[derive(Debug, Clone)]
pub(super) struct StoreFile {
    pub(super) path: PathBuf,
    pub(super) journal: Journal,
    /// For each wait for another process.
    pub(super) timeout: Duration,
}

/// Tells the file that was opened from one that came into its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl From<Metadata> for Identity {
    fn from(metadata: Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// A connection, and the file it is to.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) identity: Identity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lock {
    Shared,
    Exclusive,
}

impl StoreFile {
    /// The file that lies there now.
    pub(super) fn identity(&self) -> Option<Identity> {
        std::fs::metadata(&self.path).ok().map(Identity::from)
    }

    /// Opens the file; makes it if it is not there.
    pub(super) fn open(&self) -> Result<Opened, Failure> {
        let lock = self.lock(Lock::Shared)?;
        if self.is_begun() {
            return self.connect();
        }
        // Not both at once: two who hold it shared and want it for themselves would wait for each other.
        drop(lock);
        let _lock = self.lock(Lock::Exclusive)?;
        if !self.is_begun() {
            create(&self.path)?;
        }
        self.connect()
    }

    /// Renames a damaged file and what belongs to it, unless somebody else has done so already.
    pub(super) fn set_aside(&self, damaged: Identity, why: &str) -> Result<(), Failure> {
        let _lock = self.lock(Lock::Exclusive)?;
        if self.identity() != Some(damaged) {
            return Ok(());
        }
        let aside = self.free_name_aside();
        // The file last: while it has its name, no new one is made beside an old log.
        for ending in ["-wal", "-shm", "-journal", ""] {
            match std::fs::rename(with_ending(&self.path, ending), with_ending(&aside, ending)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        log::error!(
            target: "store",
            "`{}` is damaged ({why}); it is kept as `{}`, and a new one is begun: what was noted there of messages, \
             sessions and tokens is gone. Damage comes from a failing disk, from other programs that wrote the file, or \
             from `journal = \"wal\"` on a network file system",
            self.path.display(),
            aside.display()
        );
        Ok(())
    }

    fn free_name_aside(&self) -> PathBuf {
        let mut number = unix_seconds(SystemTime::now());
        loop {
            let name = with_ending(&self.path, &format!(".corrupt-{number}"));
            if !name.exists() {
                return name;
            }
            number += 1;
        }
    }

    /// Whether the file is there and has been begun.
    fn is_begun(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|file| file.len() > 0)
    }

    /// Who opens the file shares this lock; who makes it or sets it aside has it alone. It lies in a file of its own,
    /// which stays.
    fn lock(&self, kind: Lock) -> Result<File, Failure> {
        let path = with_ending(&self.path, ".lock");
        let open = || OpenOptions::new().append(true).open(&path);
        let file = match open() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let folder = self.path.parent().unwrap_or(Path::new("."));
                DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
                create(&path)?;
                open()
            }
            opened => opened,
        }?;
        let start = Instant::now();
        loop {
            let taken = match kind {
                Lock::Shared => file.try_lock_shared(),
                Lock::Exclusive => file.try_lock(),
            };
            match taken {
                Ok(()) => return Ok(file),
                Err(std::fs::TryLockError::Error(error)) => return Err(error.into()),
                Err(std::fs::TryLockError::WouldBlock) if start.elapsed() < self.timeout => {
                    thread::sleep(Duration::from_millis(1));
                }
                Err(std::fs::TryLockError::WouldBlock) => return Err(Failure::Busy),
            }
        }
    }

    fn connect(&self) -> Result<Opened, Failure> {
        let identity = Identity::from(std::fs::metadata(&self.path)?);
        self.prepare()
            .map_err(|failure| failure.of(identity))
            .map(|connection| Opened { connection, identity })
    }

    fn prepare(&self) -> Result<Connection, Failure> {
        // Without SQLITE_OPEN_CREATE: it would not know the mode.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(self.timeout)?;
        let version = version_of(&connection, MIGRATIONS.len())?;
        self.set_journal(&connection)?;
        if version < MIGRATIONS.len() {
            migrate(&mut connection, MIGRATIONS)?;
        }
        Ok(connection)
    }

    fn set_journal(&self, connection: &Connection) -> Result<(), Failure> {
        let wanted = self.journal.name();
        let set: String = connection
            .pragma_update_and_check(None, "journal_mode", wanted, |row| row.get(0))
            .map_err(|error| match Failure::from(error) {
                Failure::Busy => Failure::OtherJournal { wanted },
                other => other,
            })?;
        if set != wanted {
            return Err(Failure::OtherJournal { wanted });
        }
        match self.journal {
            // A crash of the machine may undo the last changes and damages nothing.
            Journal::Wal => {
                connection.pragma_update(None, "synchronous", "normal")?;
                connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
            }
            Journal::Delete => connection.pragma_update(None, "synchronous", "full")?,
        }
        Ok(())
    }
}

/// The version of the schema, if it is one of those `known`; 0 is an empty file.
fn version_of(connection: &Connection, known: usize) -> Result<usize, Failure> {
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let (id, version) = (number("application_id")?, number("user_version")?);
    if id != APPLICATION_ID {
        let tables: u32 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        return if id == 0 && tables == 0 { Ok(0) } else { Err(Failure::Foreign) };
    }
    let version = usize::try_from(version).unwrap_or(0);
    if version > known {
        return Err(Failure::Newer { found: version, known });
    }
    Ok(version)
}

/// Brings the schema forward, in one transaction: others see the old one or the new one.
fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Somebody else may have done it while we waited.
    let version = version_of(&transaction, migrations.len())?;
    for migration in migrations.iter().skip(version) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", u32::try_from(migrations.len()).unwrap_or(u32::MAX))?;
    Ok(transaction.commit()?)
}

/// Makes an empty file that only we may read, whatever the umask; SQLite gives the log beside it the same rights.
fn create(path: &Path) -> io::Result<()> {
    // Closing a file drops the locks that SQLite has on it in this process; our own lock keeps others from opening it.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file.set_permissions(Permissions::from_mode(0o600)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

pub(super) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &tempfile::TempDir) -> StoreFile {
        let path = folder.path().join("a.db");
        StoreFile { path, journal: Journal::Wal, timeout: Duration::from_secs(20) }
    }

    fn told(failed: Result<Opened, Failure>, file: &StoreFile) -> String {
        failed.map(|_| ()).unwrap_err().at(&file.path).to_string()
    }

    #[test]
    fn an_older_schema_is_brought_forward_with_what_it_holds() {
        const NEXT: &str = "ALTER TABLE value ADD COLUMN note TEXT NOT NULL DEFAULT 'none'";
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder);
        let mut old = Connection::open(&file.path).unwrap();
        old.execute_batch(concat!(
            // Version 1 as it was written, by hand.
            "PRAGMA application_id = 0x77786367; PRAGMA user_version = 1;",
            "CREATE TABLE serial (number INTEGER NOT NULL); INSERT INTO serial VALUES (7);",
            "CREATE TABLE value (account TEXT NOT NULL, key TEXT NOT NULL, bytes BLOB NOT NULL, version INTEGER NOT NULL,",
            "  since INTEGER NOT NULL, ends INTEGER NOT NULL, UNIQUE (account, key));",
            "INSERT INTO value VALUES ('shop', 'key', x'6f6c64', 7, 0, 9223372036854775807);",
        ))
        .unwrap();
        assert_eq!(version_of(&old, 1).unwrap(), 1);
        for _ in 0..2 {
            migrate(&mut old, &[MIGRATIONS[0], NEXT]).unwrap();
            let row = "SELECT bytes, note FROM value";
            let row = old.query_row(row, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            assert_eq!(row, (b"old".to_vec(), "none".to_owned()));
        }
        // And now this build is the older one.
        drop(old);
        let refused = told(file.open(), &file);
        assert!(refused.contains("was written by a newer wxcgi (schema 2, this one knows 1)"), "{refused}");
        assert!(file.path.exists());
    }

    #[test]
    fn a_migration_that_fails_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut opened = file(&folder).open().unwrap();
        let broken = [MIGRATIONS[0], "CREATE TABLE more (a); CREATE TABLE more (a);"];
        assert!(migrate(&mut opened.connection, &broken).is_err());
        let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'more'";
        assert_eq!(opened.connection.query_row(tables, [], |row| row.get::<_, u32>(0)).unwrap(), 0);
        assert_eq!(version_of(&opened.connection, 1).unwrap(), 1);
    }

    #[test]
    fn a_file_of_another_program_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder);
        Connection::open(&file.path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
        let refused = told(file.open(), &file);
        assert!(refused.contains("belongs to another program"), "{refused}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "it, and our lock");
    }

    #[test]
    fn the_journal_is_as_asked_for_and_changes_with_the_config() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder);
        let mode = |file: &StoreFile| {
            let opened = file.open().unwrap();
            opened.connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0)).unwrap()
        };
        let other =
            StoreFile { journal: Journal::Delete, timeout: Duration::from_millis(10), ..file.clone() };
        assert_eq!((mode(&file), mode(&other), mode(&file)), ("wal".into(), "delete".into(), "wal".into()));
        let _user = file.open().unwrap();
        let refused = told(other.open(), &other);
        assert!(refused.contains("cannot change to `journal = \"delete\"` while others use it"), "{refused}");
    }

    #[test]
    fn nobody_waits_for_a_lock_longer_than_the_timeout() {
        let folder = tempfile::tempdir().unwrap();
        let file = StoreFile { timeout: Duration::from_millis(20), ..file(&folder) };
        let lock = file.lock(Lock::Exclusive).unwrap();
        assert!(told(file.open(), &file).contains("is busy"));
        drop(lock);
        let mut opened = file.open().unwrap();
        let writer = opened.connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        let mut second = file.open().unwrap();
        let refused = second.connection.transaction_with_behavior(TransactionBehavior::Immediate).map(drop);
        assert!(matches!(refused.map_err(Failure::from), Err(Failure::Busy)));
        drop(writer);
    }

    #[test]
    fn two_damaged_files_of_one_second_are_both_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder);
        for _ in 0..3 {
            let opened = file.open().unwrap();
            file.set_aside(opened.identity, "a test").unwrap();
            // Somebody who comes later leaves the new one alone.
            let identity = file.open().unwrap().identity;
            file.set_aside(opened.identity, "a test").unwrap();
            assert_eq!(file.identity(), Some(identity));
        }
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let aside = |name: &std::ffi::OsString| {
            let name = name.to_str().unwrap();
            name.contains(".corrupt-") && !name.ends_with("-wal") && !name.ends_with("-shm")
        };
        assert_eq!(names.filter(aside).count(), 3);
    }
}
