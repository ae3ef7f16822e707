//! Files that are read whole, of a size that is bounded.

use std::fs::{Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Reads a regular file of at most `max` bytes. Anything else is refused before it is read: a pipe would make us wait,
/// a device would never end.
///
/// # Errors
///
/// If it cannot be read, or is larger.
pub fn read_file(path: &Path, max: u64) -> io::Result<(Vec<u8>, Metadata)> {
    let without_waiting = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(without_waiting).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if metadata.len() > max {
        return Err(io::Error::other(format!("it is larger than {max} bytes")));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1);
    // `take` spares the system calls by which reading a whole file asks for its size once more.
    file.take(max).read_to_end(&mut bytes)?;
    Ok((bytes, metadata))
}
