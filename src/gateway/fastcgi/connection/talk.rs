//! What a peer brings about, for the tests and the fuzzing: a whole connection in memory.

use std::time::Instant;

use super::{Connection, Event, KEPT_MEMORY, MaxBody};
use crate::gateway::fastcgi::record::MAX_CONTENT;
use crate::gateway::fastcgi::wire::{Reply, replies};
use crate::gateway::limits::ParamLimits;
use crate::gateway::refusal::Refusal;
use crate::http::Response;

/// The body's cap of every request here.
pub(super) const CAP: usize = 1000;

/// Names and values.
pub(super) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// What a peer brought about, when each request is answered at once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Parameters and body of each request that reached the handler.
    pub(super) requests: Vec<(Pairs, Vec<u8>)>,
    pub(super) refusals: Vec<Refusal>,
    pub(super) broken: Option<&'static str>,
    /// Whether the connection is over.
    pub(super) ended: bool,
    pub(super) output: Vec<u8>,
}

impl Outcome {
    pub(super) fn replies(&self) -> Vec<Reply> {
        replies(&self.output)
    }

    /// Status and protocol status of each reply.
    pub(super) fn statuses(&self) -> Vec<(u16, u16, u8)> {
        self.replies().iter().map(|reply| (reply.id, reply.status(), reply.protocol_status)).collect()
    }
}

/// Gives a connection these bytes, part by part, and answers each request with its body.
pub(super) fn talk<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> Outcome {
    talk_on(&mut Connection::new(1024, ParamLimits::default()), parts)
}

pub(super) fn talk_on<'p>(connection: &mut Connection, parts: impl IntoIterator<Item = &'p [u8]>) -> Outcome {
    let (now, max_body): (_, MaxBody<'_>) = (Instant::now(), &|_| CAP);
    let mut outcome = Outcome::default();
    for part in parts {
        let mut event = connection.receive(part, now, max_body);
        while !outcome.note(connection, &event) && connection.has_rest() {
            event = connection.resume(now, max_body);
        }
        assert_modest(connection, part.len());
        if outcome.ended {
            break;
        }
    }
    outcome.output.append(connection.output());
    outcome
}

impl Outcome {
    /// Acts upon an event as the loop does; whether the connection is over.
    fn note(&mut self, connection: &mut Connection, event: &Event) -> bool {
        match event {
            Event::More => return false,
            Event::Finished => self.ended = true,
            Event::Broken(reason) => {
                self.broken = Some(reason);
                self.ended = true;
            }
            Event::Request => {
                let request = connection.request();
                let params = request.params.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
                let body = request.body.clone();
                self.requests.push((params, body.clone()));
                connection.reply(&Response { body: body.into(), ..Response::text(200, "") });
                self.ended = !connection.keeps();
            }
            Event::Refused(refusal) => {
                self.refusals.push(*refusal);
                connection.reply(&refusal.response());
                self.ended = !connection.keeps();
            }
        }
        self.ended
    }
}

/// Whatever is announced or sent: a connection takes memory for what may come, and twice that where a buffer grew.
fn assert_modest(connection: &Connection, part: usize) {
    for (buffer, most) in [
        (&connection.small, MAX_CONTENT),
        (&connection.raw_params, ParamLimits::default().size),
        (&connection.request.body, CAP),
        (&connection.rest, part),
    ] {
        assert!(buffer.capacity() <= 2 * most + KEPT_MEMORY, "{} bytes for {most}", buffer.capacity());
    }
}
