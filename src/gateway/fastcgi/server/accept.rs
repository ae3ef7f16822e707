//! Letting connections in, and keeping on when that fails or there are too many.

use std::io;
use std::time::Duration;

use rustix::io::Errno;

use super::super::peer::{Peer, Phase};
use super::super::record::{self, Header, ProtocolStatus};
use super::super::stream::{Incoming, Stream};
use super::{Fate, Server};
use crate::gateway::refusal::Refusal;

/// How many connections are accepted before the others get their turn.
const ACCEPTS_A_TURN: usize = 64;

/// Connections beyond `max_connections` whose requests are read, to be answered 503.
pub(super) const SHED_RESERVE: usize = 32;

/// How long nobody is accepted after the descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(75);

/// The same trouble is logged no more often than this.
const LOG_PAUSE: Duration = Duration::from_secs(10);

impl Server<'_> {
    pub(super) fn accept(&mut self) {
        if self.accept_from.is_some_and(|from| self.now < from) {
            return;
        }
        self.accept_from = None;
        for number in 0..self.entrances.len() {
            for _ in 0..ACCEPTS_A_TURN {
                if !self.accept_one(number) {
                    break;
                }
            }
        }
    }

    /// Lets one connection in; `false` if there is none for now.
    pub(super) fn accept_one(&mut self, number: usize) -> bool {
        let Some(entrance) = self.entrances.get_mut(number).filter(|entrance| entrance.ready) else {
            return false;
        };
        match entrance.accept(self.options.allowed_peers.as_deref()) {
            Ok(Some(stream)) => self.welcome(stream),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                entrance.ready = false;
                return false;
            }
            Err(error) => return self.survive_accept(&error),
        }
        true
    }

    /// What to do when `accept` fails; `true` to go on at once.
    pub(super) fn survive_accept(&mut self, error: &io::Error) -> bool {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(error.kind(), Interrupted | ConnectionAborted | ConnectionReset) {
            return true;
        }
        self.log_accept_trouble(error);
        let is_full = matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE));
        if is_full && self.close_longest_idle() {
            return true;
        }
        // Who waits stays in the queue until descriptors are free again.
        self.accept_from = Some(self.now + ACCEPT_PAUSE);
        false
    }

    fn log_accept_trouble(&mut self, error: &io::Error) {
        if self.accept_trouble_logged.is_some_and(|logged| self.now < logged + LOG_PAUSE) {
            return;
        }
        self.accept_trouble_logged = Some(self.now);
        let cure = match Errno::from_io_error(error) {
            Some(Errno::MFILE) => "; raise LimitNOFILE or lower `--max-connections`",
            _ => "",
        };
        let live = self.peers.live();
        log::error!(target: "gateway", "cannot accept beside {live} connections: {error}; trying again{cure}");
    }

    fn welcome(&mut self, stream: Stream) {
        let mut live = self.peers.live();
        if live >= self.options.max_connections && self.close_longest_idle() {
            live -= 1;
        }
        if live >= self.options.max_connections.saturating_add(SHED_RESERVE) {
            return self.turn_away(&stream);
        }
        let mut peer = self.peers.claim(stream, self.now);
        peer.shed = live >= self.options.max_connections;
        self.settle(peer);
    }

    /// Makes room: a connection that was kept and does nothing goes before one is refused.
    fn close_longest_idle(&mut self) -> bool {
        let idle = self.peers.waiting().filter(|peer| peer.phase() == Phase::Idle);
        let Some(token) = idle.min_by_key(|peer| peer.since()).map(Peer::token) else { return false };
        let Some(mut peer) = self.peers.take(token) else { return false };
        // Its next request may have come meanwhile.
        peer.look_again();
        let fate = self.drive(&mut peer);
        match fate {
            Fate::Waits if peer.phase() != Phase::Idle => self.place(peer, &fate),
            Fate::Again => self.place(peer, &fate),
            Fate::Waits | Fate::Ends => {
                self.peers.release(peer);
                return true;
            }
        }
        false
    }

    /// Answers 503 without a place among the others: with what has arrived, and in one go.
    fn turn_away(&mut self, stream: &Stream) {
        let arrived = match stream.read(&mut self.buffer) {
            Incoming::Bytes(count) => self.buffer.get(..count),
            Incoming::Blocked | Incoming::End => None,
        };
        let header = arrived.and_then(|bytes| bytes.first_chunk()).and_then(|bytes| Header::decode(*bytes));
        let id = header.map_or(1, |header| header.id);
        let mut out = Vec::new();
        record::push_stdout(&mut out, id, |out| Refusal::Overloaded.response().write_to(out, false));
        record::push_end_request(&mut out, id, ProtocolStatus::RequestComplete);
        log::warn!(target: "gateway", "turned a connection away with 503: all {} are in use", self.peers.live());
        // A peer that cannot take so little at once has gone.
        let _ = stream.write(&out);
        stream.end_writing();
    }
}
