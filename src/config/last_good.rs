//! The last config that checked, kept in the state folder: what a CGI process goes on with while its operator is
//! editing; and beside it the same compiled.

use std::fs::{DirBuilder, File, FileTimes, Metadata};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha1::{Digest, Sha1};

use super::load::read_file;

/// The place of the last good copy of one config.
#[derive(Debug)]
pub(super) struct LastGood(PathBuf);

impl LastGood {
    pub(super) fn of(config: &Path, state: &Path) -> Option<Self> {
        let config = std::path::absolute(config).ok()?;
        let digest = hex::encode(Sha1::digest(config.as_os_str().as_encoded_bytes()));
        let stem = config.file_stem()?.to_str().unwrap_or("config");
        Some(Self(state.join("last-good").join(format!("{stem}-{}.toml", &digest[..12]))))
    }

    pub(super) fn exists(&self) -> bool {
        self.0.exists()
    }

    /// Whether the copy is of this very version of the config: it has its size, and was given the time of its last
    /// change of any kind, which nobody can set back.
    pub(super) fn is_of(&self, config: &Metadata) -> bool {
        std::fs::metadata(&self.0)
            .is_ok_and(|copy| copy.len() == config.len() && copy.modified().ok() == Some(changed(config)))
    }

    /// The compiled config, if there is one.
    pub(super) fn compiled(&self) -> Option<Vec<u8>> {
        read_file(&self.compiled_path(), MAX_COMPILED).ok().map(|(bytes, _)| bytes)
    }

    fn compiled_path(&self) -> PathBuf {
        self.0.with_extension("compiled")
    }

    pub(super) fn text(&self) -> Option<String> {
        std::fs::read_to_string(&self.0).ok()
    }

    /// Keeps a copy, and tells whether that could be done. Where not, nothing is lost but the copy: it is not worth
    /// an error.
    pub(super) fn keep(&self, text: &str, config: &Metadata) -> bool {
        write(&self.0, text.as_bytes(), config)
    }

    /// Keeps a compiled config.
    pub(super) fn keep_compiled(&self, bytes: &[u8], config: &Metadata) -> bool {
        write(&self.compiled_path(), bytes, config)
    }
}

/// A compiled config larger than this is none, bytes.
const MAX_COMPILED: u64 = 64 << 20;

/// Writes a file with the time of the config's last change, and tells whether that could be done.
fn write(path: &Path, bytes: &[u8], config: &Metadata) -> bool {
    let written = try_write(path, bytes, config);
    if let Err(error) = &written {
        log::debug!(target: "config", "no copy of the config is kept in `{}`: {error}", path.display());
    }
    written.is_ok()
}

/// Written beside its place and moved there: a reader finds the old file or the new one.
fn try_write(path: &Path, bytes: &[u8], config: &Metadata) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let written =
        File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary).and_then(
            |mut file| {
                file.write_all(bytes)?;
                file.set_times(FileTimes::new().set_modified(changed(config)))?;
                std::fs::rename(&temporary, path)
            },
        );
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// The time of the last change of a file, its rights included (`st_ctime`).
fn changed(metadata: &Metadata) -> SystemTime {
    let seconds = Duration::from_secs(u64::try_from(metadata.ctime()).unwrap_or(0));
    let fraction = Duration::from_nanos(u64::try_from(metadata.ctime_nsec()).unwrap_or(0));
    UNIX_EPOCH + seconds + fraction
}
