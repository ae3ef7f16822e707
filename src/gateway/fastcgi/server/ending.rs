//! What ends: a wait by its deadline, the loop by a signal.

use std::time::Duration;

use super::super::entrance::Entrance;
use super::super::peer::{Peer, Phase};
use super::Server;
use crate::gateway::refusal::Refusal;

/// How many connections are accepted at the end from a listener that nobody else will serve: a full queue.
const LAST_ACCEPTS: usize = 4096;

/// Deadlines are looked at no more often than this.
const SWEEP_PAUSE: Duration = Duration::from_millis(100);

impl Server<'_> {
    /// Ends the waits that took too long.
    pub(super) fn sweep(&mut self) {
        if self.next_sweep.is_none_or(|next| self.now < next) {
            return;
        }
        let deadlines = self.options.deadlines.clone();
        let now = self.now;
        for peer in self.peers.take_all(|peer| peer.deadline(&deadlines) <= now) {
            self.expire(peer);
        }
        let earliest = self.peers.waiting().map(|peer| peer.deadline(&deadlines)).min();
        self.next_sweep = earliest.map(|earliest| earliest.max(self.now + SWEEP_PAUSE));
    }

    fn expire(&mut self, mut peer: Box<Peer>) {
        if peer.is_heard_out() {
            return self.expire_shed(peer);
        }
        let phase = peer.phase();
        let (key, limit) = phase.limit(&self.options.deadlines);
        self.counts.timeouts.add(key);
        match phase {
            Phase::Reading if peer.connection.give_up() => self.refuse(&mut peer, Refusal::TooSlow(limit)),
            Phase::Answering => {
                log::error!(
                    target: "gateway", kind = key;
                    "the handler gave no answer within `{key}` ({limit:?}); answered in its place"
                );
                self.answer_in_its_place(&mut peer);
            }
            Phase::Idle => {
                log::info!(target: "gateway", kind = key; "closed a connection: no request within `{key}` ({limit:?})");
                return self.peers.release(peer);
            }
            Phase::Fresh | Phase::Reading | Phase::Writing | Phase::Lingering => {
                let omission = match phase {
                    Phase::Writing => "did not read its answer",
                    Phase::Lingering => "did not end after its answer",
                    _ => "sent no request",
                };
                log::warn!(target: "gateway", kind = key; "closed a connection that {omission} within `{key}` ({limit:?})");
                return self.peers.release(peer);
            }
        }
        self.settle(peer);
    }

    fn expire_shed(&mut self, mut peer: Box<Peer>) {
        if peer.connection.give_up() {
            self.shed(&mut peer);
            self.settle(peer);
        } else {
            self.turn_away_silent(peer);
        }
    }

    /// Begins to end; the second time ends.
    pub(super) fn end(&mut self) {
        if self.draining.is_some() {
            log::warn!(target: "gateway", "told to end twice; ending at once");
            self.over = true;
            return;
        }
        log::info!(target: "gateway", "told to end; finishing {} connections", self.peers.live());
        self.draining = Some(self.now + self.options.deadlines.drain);
        self.close_entrances();
        // Those that are idle close themselves, unless their next request is there already.
        for mut peer in self.peers.take_all(|peer| peer.phase() == Phase::Idle) {
            peer.look_again();
            self.settle(peer);
        }
    }

    /// Stops accepting. A listener that came from outside is shared with our successor and just let go; one of our
    /// own is unlinked, and who waits there already is let in.
    fn close_entrances(&mut self) {
        self.entrances.iter_mut().for_each(Entrance::unlink);
        self.entrances.retain(|entrance| entrance.owned);
        self.entrances.iter_mut().for_each(|entrance| entrance.ready = true);
        for number in 0..self.entrances.len() {
            for _ in 0..LAST_ACCEPTS {
                if !self.accept_one(number) {
                    break;
                }
            }
        }
        self.entrances.clear();
        self.accept_from = None;
    }

    /// The time is over: whoever still waits for an answer gets one.
    pub(super) fn finish(&mut self) {
        if self.peers.live() > 0 && !self.over {
            let (live, limit) = (self.peers.live(), self.options.deadlines.drain);
            log::warn!(target: "gateway", "ended {live} connections: not done within `drain_timeout` ({limit:?})");
        }
        for mut peer in self.peers.take_all(|peer| peer.phase() == Phase::Answering) {
            self.answer_in_its_place(&mut peer);
            peer.flush();
            self.peers.release(peer);
        }
    }
}
