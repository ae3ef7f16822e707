//! An accepted socket, unix or TCP, for the loop: all calls are one system call and none blocks.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown};

/// An accepted connection.
#[derive(Debug)]
pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Incoming {
    /// That many bytes.
    Bytes(usize),
    /// Nothing for now.
    Blocked,
    /// The peer has ended its side, or the connection is broken.
    End,
}

impl Stream {
    pub(super) fn read(&self, buffer: &mut [u8]) -> Incoming {
        loop {
            match rustix::io::read(self.as_fd(), &mut *buffer) {
                Ok(0) => return Incoming::End,
                Ok(count) => return Incoming::Bytes(count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Incoming::Blocked,
                Err(_) => return Incoming::End,
            }
        }
    }

    /// Sends what goes at once and says how much that was; 0 if the peer does not read.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match rustix::net::send(self.as_fd(), bytes, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(0),
                sent => return Ok(sent?),
            }
        }
    }

    /// Tells the peer that nothing more comes.
    pub(super) fn end_writing(&self) {
        // It fails when the peer has gone, which the next read tells as well.
        let _ = rustix::net::shutdown(self.as_fd(), Shutdown::Write);
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Unix(stream) => stream,
            Self::Tcp(stream) => stream,
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

impl Source for Stream {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.source().register(registry, token, interest)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.source().reregister(registry, token, interest)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.source().deregister(registry)
    }
}
