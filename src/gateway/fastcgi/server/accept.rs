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
            Err(error) => return self.survive_accept(number, &error),
        }
        true
    }

    /// There is no descriptor left: one is lent to tell those who wait that they should come again.
    fn turn_away_from(&mut self, number: usize) {
        for _ in 0..ACCEPTS_A_TURN {
            let Some(entrance) = self.entrances.get(number) else { return };
            let allowed = self.options.allowed_peers.as_deref();
            let (buffer, counts) = (&mut self.buffer, &mut self.counts);
            let refusal = Refusal::Overloaded(self.options.max_connections);
            let goes_on = self.spare.lend(|| match entrance.accept(allowed) {
                Ok(Some(stream)) => {
                    turn_away(&stream, refusal, buffer);
                    counts.shed += 1;
                    true
                }
                Ok(None) => true,
                Err(_) => false,
            });
            if !goes_on {
                return;
            }
        }
    }

    /// What to do when `accept` fails; `true` to go on at once.
    pub(super) fn survive_accept(&mut self, number: usize, error: &io::Error) -> bool {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(error.kind(), Interrupted | ConnectionAborted | ConnectionReset) {
            return true;
        }
        self.log_accept_trouble(error);
        let is_full = matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE));
        if is_full && self.close_longest_idle() {
            return true;
        }
        if is_full {
            self.turn_away_from(number);
        }
        self.counts.accept_pauses += 1;
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
            Some(Errno::MFILE) => "; raise LimitNOFILE or lower `max_connections`",
            _ => "",
        };
        let live = self.peers.live();
        log::error!(target: "gateway", "cannot accept beside {live} connections: {error}; trying again{cure}");
    }

    fn welcome(&mut self, stream: Stream) {
        let mut live = self.peers.live();
        self.counts.accepted += 1;
        if live >= self.options.max_connections && self.close_longest_idle() {
            live -= 1;
        }
        if live >= self.options.max_connections.saturating_add(self.shed_reserve) {
            self.counts.shed += 1;
            return turn_away(&stream, Refusal::Overloaded(self.options.max_connections), &mut self.buffer);
        }
        self.counts.peak = self.counts.peak.max(live + 1);
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
                let limit = self.options.max_connections;
                log::info!(target: "gateway", kind = "max_connections"; "closed an idle connection: `max_connections` ({limit}) are in use");
                return true;
            }
        }
        false
    }
}

/// Answers 503 without a place among the others: with what has arrived, and in one go.
fn turn_away(stream: &Stream, refusal: Refusal, buffer: &mut [u8]) {
    let arrived = match stream.read(buffer) {
        Incoming::Bytes(count) => buffer.get(..count),
        Incoming::Blocked | Incoming::End => None,
    };
    let header = arrived.and_then(|bytes| bytes.first_chunk()).and_then(|bytes| Header::decode(*bytes));
    let id = header.map_or(1, |header| header.id);
    let mut out = Vec::new();
    record::push_stdout(&mut out, id, |out| refusal.response().write_to(out, false));
    record::push_end_request(&mut out, id, ProtocolStatus::RequestComplete);
    log::warn!(target: "gateway", kind = "turned away"; "turned a connection away with 503: {refusal}");
    // A peer that cannot take so little at once has gone.
    let _ = stream.write(&out);
    stream.end_writing();
}
