//! One connection's turn: send, read, call the handler, reply.

use std::time::Instant;

use super::super::connection::Event;
use super::super::peer::{Peer, Phase, Sent};
use super::super::stream::Incoming;
use super::{Fate, Server};
use crate::gateway::refusal::Refusal;
use crate::gateway::responder::Ticket;
use crate::gateway::{Responder, guard};
use crate::http::Response;

/// How many requests or reads one connection gets before the others get their turn.
const STEPS_A_TURN: usize = 64;

impl Server<'_> {
    /// Goes on with a connection as far as it can, and puts it where it belongs then.
    pub(super) fn settle(&mut self, mut peer: Box<Peer>) {
        let fate = self.drive(&mut peer);
        self.place(peer, &fate);
    }

    pub(super) fn place(&mut self, peer: Box<Peer>, fate: &Fate) {
        match fate {
            Fate::Ends => return self.peers.release(peer),
            Fate::Again => self.again.push(peer.token()),
            Fate::Waits => {}
        }
        let deadline = peer.deadline(&self.options.deadlines);
        self.next_sweep = Some(self.next_sweep.map_or(deadline, |next| next.min(deadline)));
        self.peers.park(peer, self.poll.registry());
    }

    pub(super) fn drive(&mut self, peer: &mut Peer) -> Fate {
        for _ in 0..STEPS_A_TURN {
            if let Some(fate) = self.step(peer) {
                return fate;
            }
        }
        Fate::Again
    }

    /// Output first, then the pending answer, then what the peer sent.
    fn step(&mut self, peer: &mut Peer) -> Option<Fate> {
        match peer.flush() {
            Sent::All => {}
            Sent::Blocked => {
                peer.enter(Phase::Writing, self.now);
                return Some(Fate::Waits);
            }
            Sent::Failed => return Some(Fate::Ends),
        }
        if peer.ending {
            return Some(self.step_to_end(peer));
        }
        if peer.awaiting.is_some() {
            if !peer.gone {
                return Some(Fate::Waits);
            }
            self.counts.abandoned += 1;
            return Some(Fate::Ends);
        }
        let app = self.app;
        let max_body = |params: &_| guard::max_body(app, params);
        let event = if peer.connection.has_rest() {
            peer.connection.resume(Instant::now(), &max_body)
        } else {
            match peer.read(&mut self.buffer) {
                Incoming::Bytes(count) => {
                    let bytes = self.buffer.get(..count).unwrap_or_default();
                    peer.connection.receive(bytes, Instant::now(), &max_body)
                }
                Incoming::Blocked => return Some(self.wait_for_bytes(peer)),
                Incoming::End => return Some(Fate::Ends),
            }
        };
        self.act(peer, &event);
        None
    }

    fn step_to_end(&mut self, peer: &mut Peer) -> Fate {
        if !peer.connection.lingers() {
            return Fate::Ends;
        }
        match peer.linger(&mut self.buffer, self.now) {
            Incoming::Blocked => Fate::Waits,
            Incoming::Bytes(_) | Incoming::End => Fate::Ends,
        }
    }

    fn wait_for_bytes(&self, peer: &mut Peer) -> Fate {
        peer.wait_for_bytes(self.now);
        if self.draining.is_some() && peer.phase() == Phase::Idle { Fate::Ends } else { Fate::Waits }
    }

    fn act(&mut self, peer: &mut Peer, event: &Event) {
        match event {
            Event::More => {}
            Event::Request if self.admit(peer) => self.hand_over(peer),
            Event::Request => self.shed(peer),
            Event::Refused(refusal) => self.refuse(peer, *refusal),
            Event::Finished => peer.ending = true,
            Event::Broken(reason) => {
                log::warn!(target: "gateway", kind = "broken protocol"; "closed a connection that broke the protocol: {reason}");
                self.counts.broken += 1;
                peer.ending = true;
            }
        }
    }

    /// Says that all places were taken.
    pub(super) fn shed(&mut self, peer: &mut Peer) {
        self.counts.shed += 1;
        self.refuse(peer, Refusal::Overloaded(self.options.max_connections));
    }

    /// Calls the handler, and replies if it has answered at once.
    fn hand_over(&mut self, peer: &mut Peer) {
        self.serial += 1;
        let ticket = Ticket { place: peer.place(), serial: self.serial };
        peer.awaiting = Some(ticket.serial);
        peer.serial = ticket.serial;
        peer.restart(Phase::Answering, self.now);
        let responder = Responder::new(self.answers.clone(), ticket);
        guard::run("handler", || self.app.handle(peer.connection.request(), responder));
        if let Some(answer) = self.answers.take(ticket) {
            let answer = answer.given(|| Some(self.status()));
            self.answer(peer, answer);
        }
    }

    pub(super) fn answer(&mut self, peer: &mut Peer, answer: Option<Response>) {
        if answer.is_none() {
            self.counts.unanswered += 1;
            log::error!(target: "gateway", kind = "no answer"; "the handler gave no answer; answered in its place");
        }
        self.reply(peer, &guard::answer_or_default(self.app, answer));
    }

    /// Answers for a handler that takes too long.
    pub(super) fn answer_in_its_place(&mut self, peer: &mut Peer) {
        self.counts.unanswered += 1;
        self.reply(peer, &guard::answer_or_default(self.app, None));
    }

    pub(super) fn refuse(&mut self, peer: &mut Peer, refusal: Refusal) {
        refusal.log(peer.connection.request());
        self.reply(peer, &refusal.response());
    }

    fn reply(&mut self, peer: &mut Peer, response: &Response) {
        peer.awaiting = None;
        self.counts.requests.add(response.status);
        self.counts.times.add(peer.connection.request().received.elapsed());
        peer.connection.reply(response);
        peer.restart(Phase::Idle, self.now);
        let last = peer.is_shed() || self.draining.is_some() && !peer.connection.has_rest();
        peer.ending = last || !peer.connection.keeps();
    }
}
