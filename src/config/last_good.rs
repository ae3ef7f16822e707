//! The last config that checked, with all that it includes, kept in the state folder: what a CGI process goes on with
//! while its operator is editing.

use std::fs::Metadata;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::include::{Included, KeptFile};
use super::load::{MAX_CONFIG, Stamp};
use super::state_file::StateFiles;

/// The ending of the copy: JSON, which other versions of this program can read as well.
pub(super) const ENDING: &str = "json";

/// A copy larger than this is not read, bytes.
const MAX_COPY: u64 = 16 * MAX_CONFIG;

/// The last good copy of one config.
#[derive(Debug)]
pub(super) struct LastGood(pub(super) StateFiles);

/// A config that checked, as it was read.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Copy {
    stamp: Stamp,
    pub(super) text: String,
    pub(super) included: Vec<KeptFile>,
    /// The included files and their folders, as they were.
    seen: Vec<(PathBuf, Option<Stamp>)>,
}

impl LastGood {
    pub(super) fn exists(&self) -> bool {
        self.0.path(ENDING).exists()
    }

    /// When it was made.
    pub(super) fn since(&self) -> Option<SystemTime> {
        self.0.path(ENDING).metadata().and_then(|copy| copy.modified()).ok()
    }

    pub(super) fn read(&self) -> Option<Copy> {
        serde_json::from_slice(&self.0.read(ENDING, MAX_COPY)?).ok()
    }

    /// Whether the copy is of this very version of the config, and of what that includes.
    pub(super) fn is_of(&self, config: &Metadata) -> bool {
        self.read().is_some_and(|copy| {
            copy.stamp == Stamp::from(config)
                && copy.seen.iter().all(|(path, stamp)| Stamp::of(path) == *stamp)
        })
    }

    /// Keeps a copy, and tells whether that could be done. Where not, nothing is lost but the copy: it is not worth
    /// an error.
    pub(super) fn keep(&self, text: &str, config: &Metadata, included: &Included) -> bool {
        let copy = Copy {
            stamp: Stamp::from(config),
            text: text.to_owned(),
            included: included.files.clone(),
            seen: included.seen.clone(),
        };
        let written = serde_json::to_vec(&copy)
            .map_err(std::io::Error::from)
            .and_then(|bytes| self.0.write(ENDING, &bytes, SystemTime::now()));
        if let Err(error) = &written {
            let path = self.0.path(ENDING);
            log::debug!(target: "config", "no copy of the config is kept in `{}`: {error}", path.display());
        }
        written.is_ok()
    }
}
