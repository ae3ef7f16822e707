//! The last config that checked, kept in the state folder: what a CGI process goes on with while its operator is
//! editing.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::load::MAX_CONFIG;
use super::state_file::StateFiles;

/// The ending of the copy.
pub(super) const ENDING: &str = "toml";

/// The last good copy of one config.
#[derive(Debug)]
pub(super) struct LastGood(pub(super) StateFiles);

impl LastGood {
    pub(super) fn exists(&self) -> bool {
        self.0.path(ENDING).exists()
    }

    /// Whether the copy is of this very version of the config: it has its size, and was given the time of its last
    /// change of any kind, which nobody can set back.
    pub(super) fn is_of(&self, config: &Metadata) -> bool {
        std::fs::metadata(self.0.path(ENDING))
            .is_ok_and(|copy| copy.len() == config.len() && copy.modified().ok() == Some(changed(config)))
    }

    pub(super) fn text(&self) -> Option<String> {
        String::from_utf8(self.0.read(ENDING, MAX_CONFIG)?).ok()
    }

    /// Keeps a copy, and tells whether that could be done. Where not, nothing is lost but the copy: it is not worth
    /// an error.
    pub(super) fn keep(&self, text: &str, config: &Metadata) -> bool {
        let written = self.0.write(ENDING, text.as_bytes(), changed(config));
        if let Err(error) = &written {
            let path = self.0.path(ENDING);
            log::debug!(target: "config", "no copy of the config is kept in `{}`: {error}", path.display());
        }
        written.is_ok()
    }
}

/// The time of the last change of a file, its rights included (`st_ctime`).
fn changed(metadata: &Metadata) -> SystemTime {
    let seconds = Duration::from_secs(u64::try_from(metadata.ctime()).unwrap_or(0));
    let fraction = Duration::from_nanos(u64::try_from(metadata.ctime_nsec()).unwrap_or(0));
    UNIX_EPOCH + seconds + fraction
}
