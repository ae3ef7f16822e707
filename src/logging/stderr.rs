//! Stderr as a log that practically never waits for its reader.
//!
//! Under a web server stderr is often a pipe. If nobody empties it, a write would block, and the answer with it. One
//! gap is left: between the look for room and the write another process that shares the pipe may fill it.

use std::io::{self, ErrorKind};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::PIPE_BUF;
use rustix::stdio;

/// Stderr, and how many lines its reader has left no room for.
#[derive(Debug, Default)]
pub(super) struct Stderr {
    lost: usize,
}

impl Stderr {
    /// Writes a line, or loses it if that would have to wait. The next one that gets through tells of those lost.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let written = self.tell_lost().and_then(|()| write_at_once(line));
        if written.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
            self.lost += 1;
        }
        written
    }

    fn tell_lost(&mut self) -> io::Result<()> {
        if self.lost > 0 {
            write_at_once(
                format!("wxcgi: {} lines of log are lost: nobody read them from stderr\n", self.lost)
                    .as_bytes(),
            )?;
            self.lost = 0;
        }
        Ok(())
    }
}

/// Writes to stderr what goes without waiting; the rest is [`ErrorKind::WouldBlock`].
///
/// Not by O_NONBLOCK, which would change stderr for every process that shares it. A pipe or socket that polls as
/// writable takes PIPE_BUF bytes (poll(2), pipe(7)): a common line leaves in one write.
fn write_at_once(bytes: &[u8]) -> io::Result<()> {
    for mut part in bytes.chunks(PIPE_BUF) {
        while !part.is_empty() {
            if !has_room()? {
                return Err(ErrorKind::WouldBlock.into());
            }
            match rustix::io::write(stdio::stderr(), part) {
                Ok(count) => part = part.get(count..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Whether a write would return at once, be it with an error.
fn has_room() -> io::Result<bool> {
    let now = Timespec::try_from(Duration::ZERO).map_err(io::Error::other)?;
    let stderr = stdio::stderr();
    let mut output = [PollFd::from_borrowed_fd(stderr, PollFlags::OUT)];
    loop {
        match poll(&mut output, Some(&now)) {
            Err(Errno::INTR) => {}
            ready => return Ok(ready? > 0),
        }
    }
}
