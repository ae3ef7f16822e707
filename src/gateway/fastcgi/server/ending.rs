//! What ends: a wait by its deadline, the loop by a signal.

use std::time::Duration;

use super::super::entrance::Entrance;
use super::super::peer::{Peer, Phase};
use super::Server;

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
        match peer.phase() {
            Phase::Fresh | Phase::Idle | Phase::Lingering => return self.peers.release(peer),
            Phase::Writing => {
                log::warn!(target: "gateway", "closed a connection that did not read its answer");
                return self.peers.release(peer);
            }
            Phase::Reading => match peer.connection.give_up() {
                Some(refusal) => self.refuse(&mut peer, refusal),
                None => return self.peers.release(peer),
            },
            Phase::Answering => self.answer(&mut peer, None),
        }
        self.settle(peer);
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
        for mut peer in self.peers.take_all(|peer| peer.phase() == Phase::Answering) {
            self.answer(&mut peer, None);
            peer.flush();
            self.peers.release(peer);
        }
    }
}
