//! Files that we keep in the state folder and believe later.

use std::fs::{DirBuilder, File, FileTimes, Metadata, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use sha1::{Digest, Sha1};

use crate::files::read_file;

/// What group and others must not have: the right to write.
const FOREIGN_WRITE: u32 = 0o022;

/// What nobody has used for so long belongs to a process that was killed, or to a build that is gone.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// The files of one config in the folder `last-good` of a state folder: all begin with the same name.
#[derive(Debug, Clone)]
pub(super) struct StateFiles {
    folder: PathBuf,
    name: String,
}

impl StateFiles {
    pub(super) fn of(config: &Path, state: &Path) -> Option<Self> {
        let stem = config.file_stem()?.to_str().unwrap_or("config");
        Some(Self { folder: state.join("last-good"), name: format!("{stem}-{}", digest(config)?) })
    }

    pub(super) fn path(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.name))
    }

    /// The content of a file, if neither it nor its folder could have been written by somebody else.
    pub(super) fn read(&self, ending: &str, max: u64) -> Option<Vec<u8>> {
        let (bytes, file) = read_file(&self.path(ending), max).ok()?;
        (is_ours(&file) && std::fs::metadata(&self.folder).is_ok_and(|folder| is_ours(&folder)))
            .then_some(bytes)
    }

    /// Writes a file that has the time `modified`. A reader finds the old file or the new one.
    pub(super) fn write(&self, ending: &str, bytes: &[u8], modified: SystemTime) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        if !is_ours(&std::fs::metadata(&self.folder)?) {
            return Err(io::Error::other("others may write its folder"));
        }
        let temporary = self.path(&format!("{}.tmp", std::process::id()));
        let written = create_new(&temporary).and_then(|mut file| {
            file.write_all(bytes)?;
            file.set_times(FileTimes::new().set_modified(modified))?;
            std::fs::rename(&temporary, self.path(ending))
        });
        if written.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }

    /// Removes what lies about of this config for a day and is not the file with this ending or the last good copy.
    pub(super) fn prune(&self, kept: &[&str]) {
        let kept: Vec<_> = kept.iter().map(|ending| self.path(ending)).collect();
        let prefix = format!("{}.", self.name);
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let is_one = entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes());
            let is_stale = || entry.metadata().is_ok_and(|file| is_older_than(&file, STALE));
            if is_one && !kept.contains(&entry.path()) && is_stale() {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// Tells configs apart by their paths: 12 hex digits.
pub(super) fn digest(config: &Path) -> Option<String> {
    let config = std::path::absolute(config).ok()?;
    let mut digest = hex::encode(Sha1::digest(config.as_os_str().as_encoded_bytes()));
    digest.truncate(12);
    Some(digest)
}

/// A file that was not there before, whatever somebody has put in its place.
fn create_new(path: &Path) -> io::Result<File> {
    let create = || {
        File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)
    };
    match create() {
        // Of a process with our id that was killed.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            std::fs::remove_file(path)?;
            create()
        }
        created => created,
    }
}

/// Whether nobody but us and root can have written it.
fn is_ours(metadata: &Metadata) -> bool {
    let mode = Permissions::mode(&metadata.permissions());
    let owner = metadata.uid();
    mode & FOREIGN_WRITE == 0 && (owner == 0 || owner == rustix::process::geteuid().as_raw())
}

fn is_older_than(metadata: &Metadata, age: Duration) -> bool {
    let changed = u64::try_from(metadata.ctime()).unwrap_or(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.as_secs().saturating_sub(changed) > age.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{chown, symlink};
    use std::time::UNIX_EPOCH;

    fn files(state: &Path) -> StateFiles {
        StateFiles::of(Path::new("/etc/wxcgi/my.shop.toml"), state).unwrap()
    }

    #[test]
    fn what_was_written_is_read_as_long_as_only_we_may_write_it() {
        let state = tempfile::tempdir().unwrap();
        let files = files(state.path());
        files.write("toml", b"content", UNIX_EPOCH).unwrap();
        let read = || files.read("toml", 100);
        assert_eq!(read().as_deref(), Some(&b"content"[..]));
        assert_eq!(files.read("toml", 3), None);
        let folder = state.path().join("last-good");
        for (path, bad, good) in [(files.path("toml"), 0o666, 0o600), (folder.clone(), 0o777, 0o700)] {
            fs::set_permissions(&path, Permissions::from_mode(bad)).unwrap();
            assert_eq!(read(), None, "{}", path.display());
            fs::set_permissions(&path, Permissions::from_mode(good)).unwrap();
            assert!(read().is_some());
        }
        if rustix::process::geteuid().is_root() {
            chown(files.path("toml"), Some(4242), None).unwrap();
            assert_eq!(read(), None);
            chown(&folder, Some(4242), None).unwrap();
            assert!(files.write("toml", b"content", UNIX_EPOCH).is_err());
        }
    }

    #[test]
    fn a_link_in_the_place_of_the_temporary_file_is_not_followed() {
        let state = tempfile::tempdir().unwrap();
        let (files, other) = (files(state.path()), state.path().join("other"));
        files.write("toml", b"first", UNIX_EPOCH).unwrap();
        fs::write(&other, "other").unwrap();
        symlink(&other, files.path(&format!("{}.tmp", std::process::id()))).unwrap();
        files.write("toml", b"second", UNIX_EPOCH).unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "other");
        assert_eq!(files.read("toml", 100).as_deref(), Some(&b"second"[..]));
    }

    #[test]
    fn what_is_new_or_kept_or_of_another_config_is_not_pruned() {
        let state = tempfile::tempdir().unwrap();
        let files = files(state.path());
        for ending in ["toml", "1.compiled", "17.tmp"] {
            files.write(ending, b"", UNIX_EPOCH).unwrap();
        }
        files.prune(&["toml"]);
        assert_eq!(fs::read_dir(state.path().join("last-good")).unwrap().count(), 3);
        assert!(!is_older_than(&fs::metadata(files.path("toml")).unwrap(), STALE));
    }
}
