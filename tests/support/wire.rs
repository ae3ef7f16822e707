//! A FastCGI connection to the responder, on which a test says every byte itself.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use super::records::{Record, begin, kind, record};
use super::{Answer, PATIENCE, Request, Site};

/// One connection. What it waits for has to come within [`PATIENCE`].
#[derive(Debug)]
pub(crate) struct Wire<S = UnixStream> {
    pub(crate) stream: S,
}

/// What ends a request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) id: u16,
    /// `None` if nothing came on STDOUT.
    pub(crate) answer: Option<Answer>,
    pub(crate) protocol_status: u8,
}

impl Wire {
    /// Connects to the responder's unix socket.
    #[track_caller]
    pub(crate) fn to(site: &Site) -> Self {
        let stream = UnixStream::connect(site.socket()).expect("it accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time limit");
        Self { stream }
    }
}

impl Wire<TcpStream> {
    /// The same over TCP.
    #[track_caller]
    pub(crate) fn over_tcp(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).expect("it accepts"))
    }

    /// The same on a connection that is made already.
    pub(crate) fn on(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time limit");
        Self { stream }
    }
}

impl<S: Read + Write> Wire<S> {
    /// Sends bytes, all of them.
    #[track_caller]
    pub(crate) fn sends(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).expect("it reads");
        self
    }

    /// Sends a request on a connection to be kept, and waits for the answer.
    #[track_caller]
    pub(crate) fn asks(&mut self, request: &Request) -> Answer {
        self.sends(request.records(1, true)).answer()
    }

    /// The next record; `None` if the connection has ended instead.
    #[track_caller]
    pub(crate) fn record(&mut self) -> Option<Record> {
        let mut header = Vec::new();
        match Read::by_ref(&mut self.stream).take(8).read_to_end(&mut header) {
            // A peer that closes while something of ours is unread.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            read => _ = read.expect("something comes in time"),
        }
        if header.is_empty() {
            return None;
        }
        let [1, kind, id1, id0, length1, length0, padding, _] = header[..] else {
            panic!("no header: {header:?}")
        };
        let length = usize::from(u16::from_be_bytes([length1, length0]));
        let mut content = vec![0; length + usize::from(padding)];
        self.stream.read_exact(&mut content).expect("a whole record");
        content.truncate(length);
        Some(Record { kind, id: u16::from_be_bytes([id1, id0]), content })
    }

    /// The next reply: STDOUT to its end, and END_REQUEST.
    #[track_caller]
    pub(crate) fn reply(&mut self) -> Reply {
        let (mut out, mut ended) = (Vec::new(), false);
        loop {
            let Record { kind, id, content } = self.record().expect("a reply, not the end");
            match kind {
                kind::STDOUT if content.is_empty() => ended = true,
                kind::STDOUT => {
                    assert!(!ended, "STDOUT behind its end");
                    out.extend(content);
                }
                kind::END_REQUEST => {
                    assert_eq!(content.len(), 8);
                    assert_eq!(content[..4], [0; 4], "appStatus");
                    assert_eq!(ended, !out.is_empty(), "STDOUT that does not end");
                    let answer = ended.then(|| Answer::from_cgi(&out, format!("request {id}")));
                    return Reply { id, answer, protocol_status: content[4] };
                }
                _ => panic!("no part of a reply: type {kind}, id {id}, {content:?}"),
            }
        }
    }

    /// The next reply, which must be a complete answer.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        let reply = self.reply();
        assert_eq!(reply.protocol_status, 0, "protocolStatus");
        reply.answer.expect("an HTTP answer")
    }

    /// The responder closes, and sends nothing before.
    #[track_caller]
    pub(crate) fn is_closed(&mut self) {
        let more = self.record();
        assert!(more.is_none(), "not the end, but {more:?}");
    }

    /// The connection is in step: it answers the next request.
    #[track_caller]
    pub(crate) fn goes_on(&mut self) {
        // Abort is the shortest request of all.
        self.sends([begin(7, 1, true), record(kind::ABORT_REQUEST, 7, b"")].concat());
        let reply = self.reply();
        assert_eq!((reply.id, reply.protocol_status), (7, 0));
        assert!(reply.answer.is_none(), "an aborted request is not handled");
    }
}

/// A second connection, by which a test learns that the responder has read all that was sent to it before.
///
/// The responder is one loop that takes events in the order in which they came.
#[derive(Debug)]
pub(crate) struct Witness(Wire);

impl Witness {
    /// Stands beside the other connections.
    pub(crate) fn of(site: &Site) -> Self {
        let mut witness = Self(Wire::to(site));
        witness.sees_who_came();
        witness
    }

    /// Waits until the responder has read what was sent before on a connection that it knows.
    #[track_caller]
    pub(crate) fn sees_what_came(&mut self) {
        let answer = self.0.sends(record(kind::GET_VALUES, 0, b"")).record();
        assert_eq!(answer.map(|record| record.kind), Some(kind::GET_VALUES_RESULT));
    }

    /// The same for new connections: in its turn the loop reads from those that it knows before it accepts.
    #[track_caller]
    pub(crate) fn sees_who_came(&mut self) {
        self.sees_what_came();
        self.sees_what_came();
    }
}
