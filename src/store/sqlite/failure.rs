//! Why the file did not serve, in words.

use std::io::{self, ErrorKind};
use std::path::Path;

use rusqlite::ErrorCode;

use super::file::Identity;
use crate::store::StoreError;

/// Why the file did not serve.
#[derive(Debug)]
pub(super) enum Failure {
    /// Others had it for longer than we wait.
    Busy,
    /// It is not as SQLite writes files.
    Damaged { file: Option<Identity>, why: String },
    /// It is SQLite's, and not ours.
    Foreign,
    /// A later version of us has written it.
    Newer { found: usize, known: usize },
    /// It is in use with another journal.
    OtherJournal { wanted: &'static str },
    /// The file system says no.
    File(io::Error),
    /// SQLite says no.
    Sqlite(rusqlite::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { file: None, why: error.to_string() }
            }
            _ => Self::Sqlite(error),
        }
    }
}

impl Failure {
    /// Says which file it was, if that matters.
    pub(super) fn of(self, identity: Identity) -> Self {
        match self {
            Self::Damaged { why, .. } => Self::Damaged { file: Some(identity), why },
            other => other,
        }
    }

    /// The error for the caller.
    pub(super) fn at(self, path: &Path) -> StoreError {
        StoreError { place: format!("`{}`", path.display()), cause: self.cause() }
    }

    fn cause(&self) -> String {
        match self {
            Self::Busy => "is busy: other processes did not let go of it in time".into(),
            Self::Damaged { why, .. } => format!("is damaged: {why}"),
            Self::Foreign => {
                "belongs to another program; name a file in `[store] url` that is not there yet".into()
            }
            Self::Newer { found, known } => format!(
                "was written by a newer wxcgi (schema {found}, this one knows {known}); update this one, or name \
                 another file in `[store] url`"
            ),
            Self::OtherJournal { wanted } => format!(
                "cannot change to `journal = \"{wanted}\"` while others use it, or on this file system; end the other \
                 processes once"
            ),
            Self::File(error) => match error.kind() {
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => not_writable(error),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => full(error),
                _ => format!("cannot be opened: {error}"),
            },
            Self::Sqlite(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => full(error),
                Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                    not_writable(error)
                }
                Some(ErrorCode::SystemIoFailure) => {
                    format!("cannot be read or written ({error}); is its disk full, failing or gone?")
                }
                _ => format!("failed: {error}"),
            },
        }
    }
}

fn full(error: &dyn std::error::Error) -> String {
    format!("has no room ({error}); free some space on its disk")
}

fn not_writable(error: &dyn std::error::Error) -> String {
    format!(
        "cannot be written ({error}); the user that wxcgi runs as must be able to write the file and its folder"
    )
}
