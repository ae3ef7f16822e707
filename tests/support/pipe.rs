//! A pipe that is full, for whoever is to write into it.

use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write, pipe};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// The end of a pipe that nobody reads for now.
#[derive(Debug)]
pub(crate) struct FullPipe {
    reader: PipeReader,
    filled: usize,
}

impl FullPipe {
    /// A full pipe, and the end where a write blocks.
    pub(crate) fn make() -> (Self, PipeWriter) {
        let (reader, mut writer) = pipe().expect("a pipe");
        let flags = fcntl_getfl(&writer).expect("its flags");
        fcntl_setfl(&writer, flags | OFlags::NONBLOCK).expect("a flag");
        let mut filled = 0;
        // Large pieces first; at the last the pipe has no room for one byte.
        for piece in [4096, 1] {
            loop {
                match writer.write(&b"full".repeat(1024)[..piece]) {
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        fcntl_setfl(&writer, flags).expect("the flags that it had");
        (Self { reader, filled }, writer)
    }

    /// Reads all that has filled it.
    pub(crate) fn empty(&mut self) {
        self.reader.read_exact(&mut vec![0; self.filled]).expect("what was written");
        self.filled = 0;
    }

    /// What has been written into it since; waits for the first byte.
    pub(crate) fn text(&mut self) -> String {
        let mut buffer = vec![0; 64 * 1024];
        let count = self.reader.read(&mut buffer).expect("something is written");
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }
}
