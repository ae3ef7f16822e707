//! A listener in the loop.

use std::io;
use std::net::IpAddr;

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use rustix::net::sockopt;

use super::stream::Stream;
use crate::gateway::Listener;
use crate::gateway::listener::{BoundPath, Socket};

/// A listener, and whether somebody may be waiting there.
pub(super) struct Entrance {
    door: Door,
    /// Set by the poll, cleared when nobody is left: a listener tells of a crowd only once.
    pub(super) ready: bool,
    /// Made by us for us: who waits there has nobody else.
    pub(super) owned: bool,
    path: Option<BoundPath>,
}

enum Door {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Entrance {
    /// Opens a listener for the loop of `registry`.
    pub(super) fn open(listener: Listener, registry: &Registry, token: Token) -> io::Result<Self> {
        let owned = listener.owned;
        let (socket, path) = listener.into_parts();
        let mut entrance = Self { door: Door::new(socket)?, ready: true, owned, path };
        registry.register(entrance.door.source(), token, Interest::READABLE)?;
        Ok(entrance)
    }

    /// Nobody finds this entrance from now on; who stands there is still let in.
    pub(super) fn unlink(&mut self) {
        self.path = None;
    }

    /// Lets the next one in; `None` if he is not in the list of those who may.
    pub(super) fn accept(&self, allowed: Option<&[IpAddr]>) -> io::Result<Option<Stream>> {
        match &self.door {
            Door::Unix(listener) => listener.accept().map(|(stream, _)| Some(Stream::Unix(stream))),
            Door::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                let address = peer.ip().to_canonical();
                if allowed.is_none_or(|list| list.contains(&address)) {
                    return Ok(Some(Stream::Tcp(stream)));
                }
                log::warn!(
                    target: "gateway", kind = "address not listed";
                    "closed a connection from `{address}`; FCGI_WEB_SERVER_ADDRS does not list it"
                );
                Ok(None)
            }
        }
    }
}

impl Door {
    fn new(socket: Socket) -> io::Result<Self> {
        match socket {
            Socket::Unix(listener) => {
                listener.set_nonblocking(true)?;
                Ok(Self::Unix(UnixListener::from_std(listener)))
            }
            Socket::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                // What is accepted here inherits it, which saves a system call for each connection.
                sockopt::set_tcp_nodelay(&listener, true)?;
                Ok(Self::Tcp(TcpListener::from_std(listener)))
            }
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Unix(listener) => listener,
            Self::Tcp(listener) => listener,
        }
    }
}
