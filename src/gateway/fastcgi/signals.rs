//! SIGTERM, SIGINT and SIGHUP as bytes that the loop reads.

use std::io::{self, Read};
use std::os::unix::net::UnixStream as StdStream;

use mio::net::UnixStream;
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::{pipe, unregister};

/// Where the loop hears that it is to end or to reload. Each signal is one byte.
#[derive(Debug)]
pub struct Signals {
    pub(super) end: UnixStream,
    pub(super) reload: UnixStream,
    registered: Vec<SigId>,
}

/// Ends or reloads a loop from within the process, as the signals do from outside.
#[derive(Debug)]
pub struct Handle {
    end: StdStream,
    reload: StdStream,
}

impl Signals {
    /// The signals of this process: SIGTERM and SIGINT end (twice: at once), SIGHUP reloads.
    ///
    /// # Errors
    ///
    /// When the system gives no sockets or takes no signal handlers.
    pub fn of_process() -> io::Result<Self> {
        let (mut signals, handle) = Self::by_hand()?;
        for (signal, stream) in [(SIGTERM, &handle.end), (SIGINT, &handle.end), (SIGHUP, &handle.reload)] {
            signals.registered.push(pipe::register(signal, stream.try_clone()?)?);
        }
        Ok(signals)
    }

    /// Signals that a [`Handle`] gives, and no others.
    ///
    /// # Errors
    ///
    /// When the system gives no sockets.
    pub fn by_hand() -> io::Result<(Self, Handle)> {
        let (end, end_handle) = pair()?;
        let (reload, reload_handle) = pair()?;
        let signals = Self { end, reload, registered: Vec::new() };
        Ok((signals, Handle { end: end_handle, reload: reload_handle }))
    }

    /// How often the end was asked for since the last call.
    pub(super) fn count_ends(&mut self) -> usize {
        count(&mut self.end)
    }

    /// How often a reload was asked for since the last call.
    pub(super) fn count_reloads(&mut self) -> usize {
        count(&mut self.reload)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            unregister(id);
        }
    }
}

impl Handle {
    /// As SIGTERM: the first lets the loop finish what it has accepted, the second ends it at once.
    pub fn end(&self) {
        send_byte(&self.end);
    }

    /// As SIGHUP.
    pub fn reload(&self) {
        send_byte(&self.reload);
    }
}

/// Both ends of a socket pair, neither of which blocks.
fn pair() -> io::Result<(UnixStream, StdStream)> {
    let (read, write) = StdStream::pair()?;
    read.set_nonblocking(true)?;
    write.set_nonblocking(true)?;
    Ok((UnixStream::from_std(read), write))
}

/// If the loop is gone, or has hundreds of such bytes to read already, nothing is lost.
fn send_byte(stream: &StdStream) {
    let _ = rustix::net::send(stream, b"X", rustix::net::SendFlags::NOSIGNAL);
}

/// Reads all bytes and says how many there were.
fn count(stream: &mut UnixStream) -> usize {
    let mut buffer = [0; 64];
    let mut count = 0;
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        count += read;
    }
    count
}
