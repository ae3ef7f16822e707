//! A connection with its socket, and the places where connections wait for their next event.

use std::io;
use std::time::{Duration, Instant};

use mio::event::{Event, Source};
use mio::{Interest, Registry, Token};

use super::connection::Connection;
use super::stream::{Incoming, Stream};
use crate::gateway::limits::{Deadlines, MAX_LINGER, ParamLimits};

/// What a connection waits for. Each wait has its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The first record of all.
    Fresh,
    /// The rest of a request.
    Reading,
    /// The handler's answer.
    Answering,
    /// The peer, to read what we have for it.
    Writing,
    /// The next request on a kept connection.
    Idle,
    /// The peer's end, after an answer that it may not have expected yet.
    Lingering,
}

impl Phase {
    /// How long it may last, and what this is called in the config.
    pub(super) fn limit(self, deadlines: &Deadlines) -> (&'static str, Duration) {
        match self {
            Self::Fresh => ("first_byte_timeout", deadlines.first_byte),
            Self::Reading => ("request_timeout", deadlines.request),
            Self::Answering => ("answer_timeout", deadlines.answer),
            Self::Writing => ("write_timeout", deadlines.write),
            Self::Idle => ("idle_timeout", deadlines.idle),
            Self::Lingering => ("linger_timeout", deadlines.linger),
        }
    }
}

/// How much of the output is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    All,
    Blocked,
    Failed,
}

/// A connection, its socket and what it waits for. Used for one peer after another.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub(super) struct Peer {
    pub(super) connection: Connection,
    /// The serial of the request that the handler has not answered yet.
    pub(super) awaiting: Option<u64>,
    /// To be closed when the output is sent.
    pub(super) ending: bool,
    /// The peer has ended its side.
    pub(super) gone: bool,
    /// Of its last request.
    pub(super) serial: u64,
    place: usize,
    /// Differs from one use of a place to the next, so that a late event of an earlier one is told apart.
    generation: usize,
    /// There were too many connections when it came: its request is answered 503.
    shed: bool,
    opened: Instant,
    stream: Option<Stream>,
    interest: Option<Interest>,
    phase: Phase,
    since: Instant,
    readable: bool,
    written: usize,
    lingered: usize,
}

/// How long a connection may take, from its beginning, to send the request that is answered 503: with the pause between
/// two sweeps less than a second.
pub(super) const SHED_PATIENCE: Duration = Duration::from_millis(800);

/// Half of a token is the place, half the generation, which is never 0: those tokens belong to the listeners.
const PLACE_BITS: u32 = usize::BITS / 2;

impl Peer {
    fn new(place: usize, connection: Connection, now: Instant) -> Self {
        Self {
            connection,
            awaiting: None,
            ending: false,
            gone: false,
            serial: 0,
            place,
            generation: 0,
            shed: false,
            opened: now,
            stream: None,
            interest: None,
            phase: Phase::Fresh,
            since: now,
            readable: false,
            written: 0,
            lingered: 0,
        }
    }

    fn open(&mut self, stream: Stream, now: Instant) {
        self.generation = (self.generation + 1) % (1 << PLACE_BITS);
        self.generation = self.generation.max(1);
        self.opened = now;
        self.stream = Some(stream);
        self.readable = true;
        self.restart(Phase::Fresh, now);
    }

    fn close(&mut self) {
        self.connection.reset();
        self.awaiting = None;
        self.ending = false;
        self.gone = false;
        // Closing the descriptor takes it out of the poll as well.
        self.stream = None;
        self.interest = None;
        self.written = 0;
        self.lingered = 0;
    }

    pub(super) fn place(&self) -> usize {
        self.place
    }

    pub(super) fn token(&self) -> Token {
        Token(self.generation << PLACE_BITS | self.place)
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether it is only let in to be answered 503.
    pub(super) fn is_shed(&self) -> bool {
        self.shed
    }

    /// Whether the request that is answered 503 is still to come.
    pub(super) fn is_heard_out(&self) -> bool {
        self.shed && matches!(self.phase, Phase::Fresh | Phase::Reading | Phase::Idle)
    }

    /// Whether it may be closed to make room: it has a place and does nothing with it.
    pub(super) fn is_spare(&self) -> bool {
        !self.shed && self.phase == Phase::Idle
    }

    pub(super) fn stream(&self) -> Option<&Stream> {
        self.stream.as_ref()
    }

    /// Until when it may stay in its phase.
    pub(super) fn deadline(&self, deadlines: &Deadlines) -> Instant {
        if self.is_heard_out() {
            return self.opened + SHED_PATIENCE;
        }
        let (_, limit) = self.phase.limit(deadlines);
        self.since + limit
    }

    /// Goes to another phase; staying in the same does not put its deadline off.
    pub(super) fn enter(&mut self, phase: Phase, since: Instant) {
        if self.phase != phase {
            self.restart(phase, since);
        }
    }

    /// Begins a phase, also if it is the same again.
    pub(super) fn restart(&mut self, phase: Phase, since: Instant) {
        self.phase = phase;
        self.since = since;
    }

    /// Goes to the phase of waiting for bytes.
    pub(super) fn wait_for_bytes(&mut self, now: Instant) {
        if !self.connection.is_idle() {
            self.enter(Phase::Reading, self.connection.request().received);
        } else if self.connection.has_spoken() {
            self.enter(Phase::Idle, now);
        }
    }

    /// Takes note of what the poll says.
    pub(super) fn note(&mut self, event: &Event) {
        self.gone |= event.is_read_closed() || event.is_error();
        self.readable |= event.is_readable() || self.gone;
    }

    /// Reads the next time, though the poll has told of nothing yet.
    pub(super) fn look_again(&mut self) {
        self.readable = true;
    }

    /// Sends the output as far as it goes.
    pub(super) fn flush(&mut self) -> Sent {
        let Some(stream) = &self.stream else { return Sent::Failed };
        let output = self.connection.output();
        while let Some(left) = output.get(self.written..).filter(|left| !left.is_empty()) {
            match stream.write(left) {
                Ok(0) => return Sent::Blocked,
                Ok(count) => self.written += count,
                Err(_) => return Sent::Failed,
            }
        }
        output.clear();
        self.written = 0;
        Sent::All
    }

    /// Reads once.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Incoming {
        let Some(stream) = &self.stream else { return Incoming::End };
        if !self.readable {
            return Incoming::Blocked;
        }
        let incoming = stream.read(buffer);
        self.readable = match incoming {
            // A short read has emptied the socket (epoll(7)); what comes later makes another event.
            Incoming::Bytes(count) => count == buffer.len() || self.gone,
            Incoming::Blocked | Incoming::End => false,
        };
        incoming
    }

    /// Reads and forgets what the peer still sends. `Blocked` while it is worth waiting for more.
    pub(super) fn linger(&mut self, buffer: &mut [u8], now: Instant) -> Incoming {
        if self.phase != Phase::Lingering {
            self.restart(Phase::Lingering, now);
            self.stream.iter().for_each(Stream::end_writing);
        }
        while self.lingered < MAX_LINGER {
            match self.read(buffer) {
                Incoming::Bytes(count) => self.lingered += count,
                other => return other,
            }
        }
        Incoming::End
    }

    /// Has the poll tell of what comes next.
    fn watch(&mut self, registry: &Registry) -> io::Result<()> {
        let token = self.token();
        let wanted = if self.phase == Phase::Writing {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        let Some(stream) = &mut self.stream else { return Ok(()) };
        match self.interest {
            None => stream.register(registry, token, wanted)?,
            Some(interest) if interest | wanted != interest => stream.reregister(registry, token, wanted)?,
            Some(_) => return Ok(()),
        }
        self.interest = Some(wanted);
        Ok(())
    }
}

/// All connections: those that wait, each in its place, and the objects that are free for the next.
#[derive(Debug)]
pub(super) struct Peers {
    waiting: Vec<Option<Box<Peer>>>,
    #[expect(clippy::vec_box, reason = "a connection goes to and fro as one pointer")]
    free: Vec<Box<Peer>>,
    /// How many of those that wait are spare. Not which: that is asked when there is no room, and would have to be
    /// noted with each request of a kept connection.
    spare: usize,
    /// How many are only let in to be answered 503.
    shed: usize,
    max_connections: usize,
    params: ParamLimits,
}

impl Peers {
    pub(super) fn new(max_connections: usize, params: ParamLimits) -> Self {
        Self { waiting: Vec::new(), free: Vec::new(), spare: 0, shed: 0, max_connections, params }
    }

    /// How many connections there are.
    pub(super) fn live(&self) -> usize {
        self.waiting.len() - self.free.len()
    }

    /// How many of them are served.
    pub(super) fn served(&self) -> usize {
        self.live() - self.shed
    }

    /// How many of them are only let in to be answered 503.
    pub(super) fn shed(&self) -> usize {
        self.shed
    }

    /// Whether as many are served as may be.
    pub(super) fn are_full(&self) -> bool {
        self.served() >= self.max_connections
    }

    /// A place for a new connection, to be served or to be `shed`.
    pub(super) fn claim(&mut self, stream: Stream, shed: bool, now: Instant) -> Box<Peer> {
        let mut peer = self.free.pop().unwrap_or_else(|| {
            self.waiting.push(None);
            let connection = Connection::new(self.max_connections, self.params);
            Box::new(Peer::new(self.waiting.len() - 1, connection, now))
        });
        peer.open(stream, now);
        peer.shed = shed;
        self.shed += usize::from(shed);
        peer
    }

    /// Serves one that was to be shed, if there is room for it by now.
    pub(super) fn admit(&mut self, peer: &mut Peer) -> bool {
        if peer.shed && !self.are_full() {
            peer.shed = false;
            self.shed -= 1;
        }
        !peer.shed
    }

    /// Closes a connection and keeps its memory.
    pub(super) fn release(&mut self, mut peer: Box<Peer>) {
        self.shed -= usize::from(peer.shed);
        peer.close();
        self.free.push(peer);
    }

    /// Lets a connection wait in its place.
    pub(super) fn park(&mut self, mut peer: Box<Peer>, registry: &Registry) {
        if let Err(error) = peer.watch(registry) {
            log::error!(target: "gateway", kind = "cannot watch"; "cannot watch a connection: {error}; closed it");
            self.release(peer);
        } else if let Some(place) = self.waiting.get_mut(peer.place) {
            self.spare += usize::from(peer.is_spare());
            *place = Some(peer);
        }
    }

    /// Takes the connection of a token out of its place; `None` if it has ended since.
    pub(super) fn take(&mut self, token: Token) -> Option<Box<Peer>> {
        let place = self.waiting.get_mut(token.0 % (1 << PLACE_BITS))?;
        let peer = place.take_if(|peer| peer.token() == token)?;
        self.spare -= usize::from(peer.is_spare());
        Some(peer)
    }

    /// Takes the spare connection out of its place that has been so for the longest time.
    pub(super) fn take_longest_spare(&mut self) -> Option<Box<Peer>> {
        if self.spare == 0 {
            return None;
        }
        let spare = self.waiting().filter(|peer| peer.is_spare());
        // Several may have been answered in one turn of the loop, at one time as it seems.
        let token = spare.min_by_key(|peer| (peer.since, peer.serial))?.token();
        self.take(token)
    }

    /// Takes the connection out of its place whose handler has not answered the request of this serial.
    pub(super) fn take_awaiting(&mut self, place: usize, serial: u64) -> Option<Box<Peer>> {
        self.waiting.get_mut(place)?.take_if(|peer| peer.awaiting == Some(serial))
    }

    /// Takes all out of their places that are `wanted`.
    #[expect(clippy::vec_box, reason = "they go back into their places as they are")]
    pub(super) fn take_all(&mut self, wanted: impl Fn(&Peer) -> bool) -> Vec<Box<Peer>> {
        let taken = self.waiting.iter_mut().filter_map(|place| place.take_if(|peer| wanted(peer)));
        let taken: Vec<_> = taken.collect();
        self.spare -= taken.iter().filter(|peer| peer.is_spare()).count();
        taken
    }

    /// Those that wait.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Peer> {
        self.waiting.iter().flatten().map(AsRef::as_ref)
    }
}
