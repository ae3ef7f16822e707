//! Files that somebody named: opened without waiting for anybody, and read whole where their size is bounded.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Reads a regular file of at most `max` bytes. Anything else is refused before it is read.
///
/// # Errors
///
/// If it cannot be opened or read, or is larger.
pub fn read_file(path: &Path, max: u64) -> io::Result<(Vec<u8>, Metadata)> {
    let (file, metadata) = open(path)?;
    if metadata.len() > max {
        return Err(io::Error::other(format!("it is larger than {max} bytes")));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1);
    // `take` spares the system calls by which reading a whole file asks for its size once more.
    file.take(max).read_to_end(&mut bytes)?;
    Ok((bytes, metadata))
}

/// Opens a file to read it. What is no file is refused: to open a pipe would wait for its writer, for ever perhaps.
///
/// # Errors
///
/// If it is not there, cannot be read, or is something else than a file.
pub fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err(io::Error::other("it is not a regular file")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_opened_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "12345").unwrap();
        assert_eq!(open(&path("file")).unwrap().1.len(), 5);
        rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), rustix::fs::Mode::RWXU).unwrap();
        for other in [path("pipe"), folder.path().to_owned(), "/dev/null".into()] {
            assert_eq!(open(&other).unwrap_err().to_string(), "it is not a regular file", "{other:?}");
        }
        assert_eq!(open(&path("missing")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
