//! Letting connections in, and keeping on when that fails or there are too many.

use std::io;
use std::time::Duration;

use rustix::io::Errno;

use super::super::peer::{Peer, SHED_PATIENCE};
use super::super::record::{self, Header, ProtocolStatus};
use super::super::stream::{Incoming, Stream};
use super::{Fate, Server};
use crate::gateway::Counts;
use crate::gateway::refusal::Refusal;

/// How many connections are accepted before the others get their turn.
const ACCEPTS_A_TURN: usize = 64;

/// How long nobody is accepted after the descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(75);

/// The same trouble is logged no more often than this.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// How many spare connections are tried when one has to make room: the next request of each may have come meanwhile.
const SPARE_TRIES: usize = 4;

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
    pub(super) fn turn_away_from(&mut self, number: usize) {
        for _ in 0..ACCEPTS_A_TURN {
            let Some(entrance) = self.entrances.get(number) else { return };
            let allowed = self.options.allowed_peers.as_deref();
            let (buffer, counts) = (&mut self.buffer, &mut self.counts);
            let goes_on = self.spare.lend(|| match entrance.accept(allowed) {
                Ok(Some(stream)) => {
                    counts.accepted += 1;
                    let refusal = Refusal::NoDescriptor;
                    turn_away(&stream, refusal, buffer, counts);
                    log::warn!(target: "gateway", kind = "no descriptor"; "turned a connection away with 503: {refusal}");
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
        if is_full && self.make_room(Refusal::NoDescriptor) {
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

    pub(super) fn welcome(&mut self, stream: Stream) {
        self.counts.accepted += 1;
        let refusal = Refusal::Overloaded(self.options.max_connections);
        let shed = self.peers.are_full() && !self.make_room(refusal);
        if shed && self.peers.shed() >= self.shed_reserve {
            turn_away(&stream, refusal, &mut self.buffer, &mut self.counts);
            log::warn!(target: "gateway", kind = "turned away"; "turned a connection away with 503: {refusal}");
            return;
        }
        let peer = self.peers.claim(stream, shed, self.now);
        self.counts.peak = self.counts.peak.max(self.peers.served());
        self.settle(peer);
    }

    /// Serves a connection that was to be shed, if there is room for it by now.
    pub(super) fn admit(&mut self, peer: &mut Peer) -> bool {
        let is_served = self.peers.admit(peer);
        self.counts.peak = self.counts.peak.max(self.peers.served());
        is_served
    }

    /// A connection that was kept and does nothing goes before one is refused.
    fn make_room(&mut self, refusal: Refusal) -> bool {
        for _ in 0..SPARE_TRIES {
            let Some(mut peer) = self.peers.take_longest_spare() else { return false };
            // Its next request may have come meanwhile.
            peer.look_again();
            let fate = self.drive(&mut peer);
            if matches!(fate, Fate::Ends) || matches!(fate, Fate::Waits) && peer.is_spare() {
                self.peers.release(peer);
                log::info!(target: "gateway", kind = "made room"; "closed an idle connection: {refusal}");
                return true;
            }
            self.place(peer, &fate);
        }
        false
    }

    /// Answers one whose time is over though it has sent no request.
    pub(super) fn turn_away_silent(&mut self, peer: Box<Peer>) {
        let refusal = Refusal::Overloaded(self.options.max_connections);
        if let Some(stream) = peer.stream() {
            turn_away(stream, refusal, &mut self.buffer, &mut self.counts);
        }
        self.peers.release(peer);
        log::warn!(
            target: "gateway", kind = "turned away, silent";
            "turned a connection away with 503: {refusal}, and it sent no request within {SHED_PATIENCE:?}"
        );
    }
}

/// Answers 503 without a place among the others: with what has arrived, and in one go.
fn turn_away(stream: &Stream, refusal: Refusal, buffer: &mut [u8], counts: &mut Counts) {
    let arrived = match stream.read(buffer) {
        Incoming::Bytes(count) => buffer.get(..count),
        Incoming::Blocked | Incoming::End => None,
    };
    let header = arrived.and_then(|bytes| bytes.first_chunk()).and_then(|bytes| Header::decode(*bytes));
    let id = header.map_or(1, |header| header.id);
    let response = refusal.response();
    let mut out = Vec::new();
    record::push_stdout(&mut out, id, |out| response.write_to(out, false));
    record::push_end_request(&mut out, id, ProtocolStatus::RequestComplete);
    // A peer that cannot take so little at once has gone.
    let _ = stream.write(&out);
    stream.end_writing();
    counts.shed += 1;
    counts.requests.add(response.status);
    counts.times.add(Duration::ZERO);
}
