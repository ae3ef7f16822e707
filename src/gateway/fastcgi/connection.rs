//! One FastCGI connection as a state machine: bytes in, requests and output bytes out. No I/O, no clock.
//!
//! ```text
//! Idle    BEGIN_REQUEST        -> Params
//! Params  empty PARAMS         -> Body        the parameters are checked, the body's cap is asked for
//! Body    empty STDIN          -> a request or a refusal; after the reply Idle, or the end
//! ```
//! What a peer may not do ends the connection ([`Event::Broken`]): FastCGI has no way to say more. Whatever can be
//! said over HTTP is refused with a complete answer, after the request was read to its end, so that a kept connection
//! stays in step.

use std::mem;
use std::time::Instant;

use super::record::{self, HEADER_LEN, Header, Pairs, ProtocolStatus};
use crate::gateway::body::{Length, check_params, may_be_read};
use crate::gateway::limits::{DISCARD_FACTOR, ParamLimits};
use crate::gateway::refusal::Refusal;
use crate::http::{Params, Request, Response};

/// Memory that a connection keeps for the next request, in bytes a buffer.
const KEPT_MEMORY: usize = 8 * 1024;

/// Answers to management records that may wait to be sent; who asks more than this does not listen.
const MAX_OUTPUT: usize = 64 * 1024;

/// Bytes that belong to no request and are still thrown away; the rest of a refused body may be among them (8 MiB).
const MAX_STRAY: usize = 8 << 20;

/// Asks how large the body of a request with these parameters may be.
pub(super) type MaxBody<'a> = &'a dyn Fn(&Params) -> usize;

/// What has come of the bytes so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Nothing yet: all bytes are taken, more are needed.
    More,
    /// [`Connection::request`] is whole; it waits for [`Connection::reply`].
    Request,
    /// A request was read and is refused; it waits for [`Connection::reply`].
    Refused(Refusal),
    /// The peer aborted its request and did not ask to keep the connection: send the output and close.
    Finished,
    /// The peer broke the protocol: send the output and close.
    Broken(&'static str),
}

/// Where in a request a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Idle,
    Params,
    Body,
}

/// Where in a record a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Header,
    Content,
    Padding,
}

/// Where the content of the current record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sink {
    Small,
    Params,
    Body,
    Nowhere,
}

/// The state machine. Used for one connection after another: [`Connection::reset`] keeps the memory.
#[derive(Debug)]
pub(super) struct Connection {
    max_connections: usize,
    params: ParamLimits,

    position: Position,
    header: [u8; HEADER_LEN],
    header_len: usize,
    record: Header,
    content_left: usize,
    padding_left: usize,
    sink: Sink,
    /// The content of BEGIN_REQUEST and GET_VALUES.
    small: Vec<u8>,
    /// Bytes behind a whole request, until it is answered.
    rest: Vec<u8>,
    spoken: bool,

    stage: Stage,
    id: u16,
    keep: bool,
    lingers: bool,
    /// PARAMS as they came; a pair may straddle records.
    raw_params: Vec<u8>,
    params_seen: usize,
    body_seen: usize,
    /// Bytes that belong to no request, since the last one began.
    stray: usize,
    limit: usize,
    length: Length,
    refusal: Option<Refusal>,
    request: Request,

    output: Vec<u8>,
}

impl Connection {
    /// A fresh connection. `max_connections` is told to who asks with GET_VALUES.
    pub(super) fn new(max_connections: usize, params: ParamLimits) -> Self {
        Self {
            max_connections,
            params,
            position: Position::Header,
            header: [0; HEADER_LEN],
            header_len: 0,
            record: Header { kind: 0, id: 0, content: 0, padding: 0 },
            content_left: 0,
            padding_left: 0,
            sink: Sink::Nowhere,
            small: Vec::new(),
            rest: Vec::new(),
            spoken: false,
            stage: Stage::Idle,
            id: 0,
            keep: true,
            lingers: false,
            raw_params: Vec::new(),
            params_seen: 0,
            body_seen: 0,
            stray: 0,
            limit: 0,
            length: Length::Unsaid,
            refusal: None,
            request: Request::new(Params::new(), Vec::new()),
            output: Vec::new(),
        }
    }

    /// Forgets everything and keeps a little memory for the next peer.
    pub(super) fn reset(&mut self) {
        self.position = Position::Header;
        self.header_len = 0;
        self.spoken = false;
        self.stray = 0;
        self.stage = Stage::Idle;
        self.keep = true;
        self.lingers = false;
        self.clear_request();
        for buffer in [&mut self.small, &mut self.rest, &mut self.output] {
            buffer.clear();
            buffer.shrink_to(KEPT_MEMORY);
        }
    }

    /// Takes what came from the peer, up to the end of the first whole request in it.
    pub(super) fn receive(&mut self, bytes: &[u8], now: Instant, max_body: MaxBody<'_>) -> Event {
        let (event, rest) = self.parse(bytes, now, max_body);
        self.rest.extend_from_slice(rest);
        event
    }

    /// Goes on with what came behind the last request.
    pub(super) fn resume(&mut self, now: Instant, max_body: MaxBody<'_>) -> Event {
        let mut bytes = mem::take(&mut self.rest);
        let (event, rest) = self.parse(&bytes, now, max_body);
        let used = bytes.len() - rest.len();
        bytes.drain(..used);
        self.rest = bytes;
        event
    }

    /// Whether there is something for [`Connection::resume`].
    pub(super) fn has_rest(&self) -> bool {
        !self.rest.is_empty()
    }

    /// The request that [`Event::Request`] or [`Event::Refused`] told of, as far as it was read.
    pub(super) fn request(&self) -> &Request {
        &self.request
    }

    /// Writes the answer to the current request into the output: STDOUT, its end and END_REQUEST together.
    pub(super) fn reply(&mut self, response: &Response) {
        let head_only = self.request.method() == Some(b"HEAD");
        record::push_stdout(&mut self.output, self.id, |out| response.write_to(out, head_only));
        self.end_request(ProtocolStatus::RequestComplete);
    }

    /// Gives a request up that does not come to its end. `false` if there is none that could be answered.
    pub(super) fn give_up(&mut self) -> bool {
        if self.stage == Stage::Idle {
            return false;
        }
        self.keep = false;
        self.lingers = true;
        true
    }

    /// Whether the peer wants to go on after a reply.
    pub(super) fn keeps(&self) -> bool {
        self.keep
    }

    /// Whether the peer still has something to send that nobody will read: closing at once could cost it our answer.
    pub(super) fn lingers(&self) -> bool {
        self.lingers
    }

    /// Whether the connection stands between two requests, with no byte of the next one.
    pub(super) fn is_idle(&self) -> bool {
        self.is_between_requests() && !self.has_rest()
    }

    fn is_between_requests(&self) -> bool {
        self.stage == Stage::Idle && self.position == Position::Header && self.header_len == 0
    }

    /// Whether a whole record ever came.
    pub(super) fn has_spoken(&self) -> bool {
        self.spoken
    }

    /// What is to be sent; the sender takes away what it has sent.
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Goes through `bytes` up to an event that somebody has to act upon, and gives back what lies behind it.
    fn parse<'b>(&mut self, mut bytes: &'b [u8], now: Instant, max_body: MaxBody<'_>) -> (Event, &'b [u8]) {
        if self.is_between_requests() {
            self.request.received = now;
        }
        loop {
            let step = match self.position {
                Position::Header => self.read_header(&mut bytes),
                Position::Content => self.read_content(&mut bytes),
                Position::Padding => self.read_padding(&mut bytes, max_body),
            };
            if let Some(event) = step {
                return (event, bytes);
            }
        }
    }

    fn read_header(&mut self, bytes: &mut &[u8]) -> Option<Event> {
        let missing = HEADER_LEN - self.header_len;
        let part = take(bytes, missing);
        self.header[self.header_len..][..part.len()].copy_from_slice(part);
        self.header_len += part.len();
        if self.header_len < HEADER_LEN {
            return Some(Event::More);
        }
        let Some(record) = Header::decode(self.header) else {
            return Some(Event::Broken("a record of another version than 1"));
        };
        match self.sink_of(record) {
            Ok(Sink::Nowhere) => {
                self.stray += HEADER_LEN + usize::from(record.content) + usize::from(record.padding);
                if self.stray > MAX_STRAY {
                    return Some(Event::Broken("more than 8MiB that belong to no request"));
                }
                self.sink = Sink::Nowhere;
            }
            Ok(sink) => self.sink = sink,
            Err(reason) => return Some(Event::Broken(reason)),
        }
        self.header_len = 0;
        self.record = record;
        self.content_left = usize::from(record.content);
        self.padding_left = usize::from(record.padding);
        self.small.clear();
        self.position = Position::Content;
        None
    }

    /// Where the content of a record goes, if the record may come now.
    fn sink_of(&self, record: Header) -> Result<Sink, &'static str> {
        let current = self.stage != Stage::Idle && record.id == self.id;
        match (record.kind, record.id) {
            (
                0
                | record::END_REQUEST
                | record::STDOUT
                | record::STDERR
                | record::GET_VALUES_RESULT
                | record::UNKNOWN_TYPE,
                _,
            ) => Err("a record that only an application sends"),
            (record::GET_VALUES, 0) => Ok(Sink::Small),
            (..=record::DATA, 0) => Err("a request of id 0"),
            (record::BEGIN_REQUEST, _) if record.content != 8 => Err("BEGIN_REQUEST is not 8 bytes long"),
            (record::BEGIN_REQUEST, _) if current => Err("BEGIN_REQUEST twice"),
            (record::BEGIN_REQUEST, _) => Ok(Sink::Small),
            (record::PARAMS, _) if current && self.stage == Stage::Params => Ok(Sink::Params),
            (record::STDIN, _) if current && self.stage == Stage::Params => {
                Err("STDIN before the end of PARAMS")
            }
            (record::STDIN, _) if current => Ok(Sink::Body),
            // Left over from a request that is done, of another request, or of a type that nobody knows.
            _ => Ok(Sink::Nowhere),
        }
    }

    fn read_content(&mut self, bytes: &mut &[u8]) -> Option<Event> {
        let part = take(bytes, self.content_left);
        self.content_left -= part.len();
        let too_much = match self.sink {
            Sink::Nowhere => false,
            Sink::Small => {
                self.small.extend_from_slice(part);
                false
            }
            Sink::Params => self.take_params(part),
            Sink::Body => self.take_body(part),
        };
        if too_much {
            self.keep = false;
            self.lingers = true;
            return self.refusal.map(Event::Refused);
        }
        if self.content_left > 0 {
            return Some(Event::More);
        }
        self.position = Position::Padding;
        None
    }

    /// Keeps a part of PARAMS; whether it goes beyond all patience.
    fn take_params(&mut self, part: &[u8]) -> bool {
        self.params_seen += part.len();
        let limit = self.params.size;
        if self.params_seen > limit {
            self.refuse(Refusal::ParamsTooLarge(limit));
            self.raw_params.clear();
        } else {
            self.raw_params.extend_from_slice(part);
        }
        self.params_seen > limit.saturating_mul(DISCARD_FACTOR)
    }

    /// Keeps a part of STDIN; whether it goes beyond all patience.
    fn take_body(&mut self, part: &[u8]) -> bool {
        self.body_seen = self.body_seen.saturating_add(part.len());
        if self.body_seen > self.limit {
            self.refuse(Refusal::TooLarge(self.limit));
        }
        if self.refusal.is_none() {
            self.request.body.extend_from_slice(part);
        }
        self.body_seen > self.limit.saturating_mul(DISCARD_FACTOR)
    }

    fn read_padding(&mut self, bytes: &mut &[u8], max_body: MaxBody<'_>) -> Option<Event> {
        self.padding_left -= take(bytes, self.padding_left).len();
        if self.padding_left > 0 {
            return Some(Event::More);
        }
        self.position = Position::Header;
        self.spoken = true;
        self.finish_record(max_body)
    }

    /// Acts upon a record that is there as a whole.
    fn finish_record(&mut self, max_body: MaxBody<'_>) -> Option<Event> {
        let Header { kind, id, content, .. } = self.record;
        match (kind, self.sink) {
            (record::BEGIN_REQUEST, _) => self.begin_request(),
            (record::ABORT_REQUEST, _) if self.stage != Stage::Idle && id == self.id => self.abort_request(),
            (_, Sink::Params) if content == 0 => self.finish_params(max_body),
            (_, Sink::Body) if content == 0 => Some(self.finish_body()),
            (record::GET_VALUES | record::UNKNOWN_TYPE.., _) if id == 0 => self.answer_management(),
            _ => None,
        }
    }

    fn begin_request(&mut self) -> Option<Event> {
        let &[role1, role0, flags, ..] = self.small.as_slice() else { return None };
        let id = self.record.id;
        if self.stage != Stage::Idle {
            return self.decline(id, ProtocolStatus::CantMpxConn);
        }
        if u16::from_be_bytes([role1, role0]) != record::RESPONDER {
            let declined = self.decline(id, ProtocolStatus::UnknownRole);
            return if flags & record::KEEP_CONN != 0 { declined } else { Some(Event::Finished) };
        }
        self.id = id;
        self.stray = 0;
        self.keep = flags & record::KEEP_CONN != 0;
        self.stage = Stage::Params;
        None
    }

    /// Ends a request that never began.
    fn decline(&mut self, id: u16, status: ProtocolStatus) -> Option<Event> {
        record::push_end_request(&mut self.output, id, status);
        self.check_output()
    }

    fn abort_request(&mut self) -> Option<Event> {
        self.end_request(ProtocolStatus::RequestComplete);
        if self.keep { self.check_output() } else { Some(Event::Finished) }
    }

    fn answer_management(&mut self) -> Option<Event> {
        if self.record.kind != record::GET_VALUES {
            record::push_unknown_type(&mut self.output, self.record.kind);
        } else if record::push_values(&mut self.output, &self.small, self.max_connections).is_none() {
            return Some(Event::Broken("GET_VALUES with a truncated pair"));
        }
        self.small.shrink_to(KEPT_MEMORY);
        self.check_output()
    }

    fn check_output(&self) -> Option<Event> {
        (self.output.len() > MAX_OUTPUT).then_some(Event::Broken(
            "more than 64KiB of answers to management records that it does not read",
        ))
    }

    /// Reads the parameters and decides what becomes of the body.
    fn finish_params(&mut self, max_body: MaxBody<'_>) -> Option<Event> {
        if self.read_pairs().is_none() {
            return Some(Event::Broken("PARAMS with a truncated pair"));
        }
        self.raw_params.clear();
        self.stage = Stage::Body;
        if self.refusal.is_some() {
            self.limit = self.params.size;
            return None;
        }
        self.limit = max_body(&self.request.params);
        match check_params(&self.request.params).and(Length::of(&self.request.params)) {
            Ok(length) => self.length = length,
            Err(refusal) => self.refuse(refusal),
        }
        if matches!(self.length, Length::Known(announced) if announced > self.limit as u64) {
            self.refuse(Refusal::TooLarge(self.limit));
        }
        None
    }

    /// Takes PARAMS apart; `None` if they end amid a pair.
    fn read_pairs(&mut self) -> Option<()> {
        let (raw, params) = (mem::take(&mut self.raw_params), &mut self.request.params);
        let mut pairs = Pairs(&raw);
        let (mut count, mut refusal) = (0, None);
        while let Some(pair) = pairs.next() {
            let (name, value) = pair?;
            if name.iter().any(u8::is_ascii_control) {
                refusal = refusal.or(Some(Refusal::BadName));
            } else if count >= self.params.count {
                refusal = refusal.or(Some(Refusal::TooManyParams(self.params.count)));
            } else if value.len() > self.params.value {
                refusal = refusal.or(Some(Refusal::ParamTooLong(self.params.value)));
            } else if may_be_read(name) {
                let end = raw.len() - pairs.0.len();
                let middle = end - value.len();
                params.place(middle - name.len(), middle, end);
            }
            count += 1;
        }
        self.raw_params = params.hold(raw);
        self.refusal = self.refusal.or(refusal);
        Some(())
    }

    fn finish_body(&mut self) -> Event {
        if let Err(refusal) = self.length.check(self.body_seen) {
            self.refuse(refusal);
        }
        self.refusal.map_or(Event::Request, Event::Refused)
    }

    /// Refuses the current request. The first reason counts.
    fn refuse(&mut self, refusal: Refusal) {
        self.refusal.get_or_insert(refusal);
    }

    fn end_request(&mut self, status: ProtocolStatus) {
        record::push_end_request(&mut self.output, self.id, status);
        self.stage = Stage::Idle;
        self.clear_request();
    }

    fn clear_request(&mut self) {
        self.request.params.clear();
        self.request.params.shrink_to(KEPT_MEMORY);
        for buffer in [&mut self.request.body, &mut self.raw_params] {
            buffer.clear();
            buffer.shrink_to(KEPT_MEMORY);
        }
        self.params_seen = 0;
        self.body_seen = 0;
        self.length = Length::Unsaid;
        self.refusal = None;
    }
}

/// Takes up to `most` bytes from the front.
fn take<'b>(bytes: &mut &'b [u8], most: usize) -> &'b [u8] {
    let (front, rest) = bytes.split_at(most.min(bytes.len()));
    *bytes = rest;
    front
}

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(test), expect(dead_code, reason = "the tests use all of it"))]
mod talk;
#[cfg(test)]
mod tests;
