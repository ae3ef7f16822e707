//! The loop: accepts, reads, calls the handler, replies.
//!
//! The common case is a request that has arrived whole when its connection is accepted: then it costs accept, read,
//! write and close, and the poll never hears of it. Every other connection waits in its place among [`Peers`] until
//! the poll, an answer or its deadline takes it out again.

mod accept;
mod ending;
mod exchange;
mod numbers;
#[cfg(test)]
mod tests;

use std::io;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mio::event::Event as PollEvent;
use mio::{Events, Interest, Poll, Token, Waker};

use super::answers::{Answers, Arrival};
use super::entrance::Entrance;
use super::peer::Peers;
use super::room::{self, Spare};
use super::{Options, Signals};
use crate::gateway::{Application, Counts, Listener, guard};
use crate::logging;

/// Bytes read at once: a callback comes whole.
const READ_SIZE: usize = 64 * 1024;

const WAKER: Token = Token(usize::MAX);
const END: Token = Token(usize::MAX - 1);
const RELOAD: Token = Token(usize::MAX - 2);

/// Serves FastCGI until it is told to end (SIGTERM, SIGINT).
///
/// Then nobody is accepted any more, what is accepted is served, and after [`Deadlines::drain`] at the latest this
/// returns; at a second signal at once.
///
/// [`Deadlines::drain`]: crate::gateway::Deadlines::drain
///
/// # Errors
///
/// When the loop cannot be set up, or the poll fails. Nothing that a peer or a handler does is an error here.
pub fn serve(listeners: Vec<Listener>, options: Options, app: &dyn Application) -> io::Result<()> {
    Server::new(listeners, options, app)?.run()
}

/// What becomes of a connection for now.
enum Fate {
    /// It waits for the poll, an answer or its deadline.
    Waits,
    /// It has more to do when the others had their turn.
    Again,
    /// It is closed.
    Ends,
}

struct Server<'a> {
    app: &'a dyn Application,
    options: Options,
    signals: Signals,
    poll: Poll,
    answers: Arc<Answers>,
    entrances: Vec<Entrance>,
    peers: Peers,
    buffer: Vec<u8>,
    /// Connections that have more to do.
    again: Vec<Token>,
    /// Memory for the arrivals of the next turn.
    arrivals: Vec<Arrival>,
    serial: u64,
    started: (SystemTime, Instant),
    counts: Counts,
    now: Instant,
    /// When the next deadline may be over.
    next_sweep: Option<Instant>,
    /// Nobody is accepted before.
    accept_from: Option<Instant>,
    accept_trouble_logged: Option<Instant>,
    /// How many connections beyond `max_connections` are let in, to be answered 503.
    shed_reserve: usize,
    spare: Spare,
    /// When the log has lines to tell of that it held back.
    next_summary: Option<Instant>,
    /// Until when the loop may finish what it has accepted, once it is told to end.
    draining: Option<Instant>,
    over: bool,
}

impl<'a> Server<'a> {
    fn new(listeners: Vec<Listener>, mut options: Options, app: &'a dyn Application) -> io::Result<Self> {
        let shed_reserve = room::make(options.max_connections);
        let poll = Poll::new()?;
        let registry = poll.registry();
        let mut signals = options.signals.take().map_or_else(Signals::of_process, Ok)?;
        registry.register(&mut signals.end, END, Interest::READABLE)?;
        registry.register(&mut signals.reload, RELOAD, Interest::READABLE)?;
        let entrances = (0..).zip(listeners).map(|(number, listener)| {
            log::info!(target: "gateway", "listening at `{}`", listener.place());
            Entrance::open(listener, registry, Token(number))
        });
        Ok(Self {
            app,
            signals,
            answers: Arc::new(Answers::new(Waker::new(registry, WAKER)?)),
            entrances: entrances.collect::<io::Result<_>>()?,
            peers: Peers::new(options.max_connections, options.params),
            options,
            poll,
            buffer: vec![0; READ_SIZE],
            again: Vec::new(),
            arrivals: Vec::new(),
            serial: 0,
            started: (SystemTime::now(), Instant::now()),
            counts: Counts::default(),
            now: Instant::now(),
            next_sweep: None,
            accept_from: None,
            accept_trouble_logged: None,
            shed_reserve,
            spare: Spare::new(),
            next_summary: None,
            draining: None,
            over: false,
        })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(256);
        while !self.is_over() {
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            self.now = Instant::now();
            events.iter().for_each(|event| self.take_event(event));
            self.accept();
            self.go_on();
            self.sweep();
            self.take_arrivals();
            self.next_summary = logging::summarize(self.now);
        }
        self.finish();
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.over || self.draining.is_some_and(|until| self.peers.live() == 0 || self.now >= until)
    }

    /// How long the poll may wait.
    fn timeout(&self) -> Option<Duration> {
        let crowd = self.accept_from.is_none() && self.entrances.iter().any(|entrance| entrance.ready);
        if crowd || !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let next =
            [self.next_sweep, self.accept_from, self.draining, self.next_summary].into_iter().flatten().min();
        next.map(|next| next.saturating_duration_since(Instant::now()))
    }

    fn take_event(&mut self, event: &PollEvent) {
        match event.token() {
            // Whoever woke us left an answer, which is looked for in every turn.
            WAKER => {}
            END => (0..self.signals.count_ends()).for_each(|_| self.end()),
            RELOAD => {
                if self.signals.count_reloads() > 0 {
                    log::info!(target: "gateway", "told to reload");
                    guard::run("reload", || self.app.reload());
                }
            }
            Token(number) if number < self.entrances.len() => {
                self.entrances.iter_mut().skip(number).take(1).for_each(|entrance| entrance.ready = true);
            }
            token => {
                if let Some(mut peer) = self.peers.take(token) {
                    peer.note(event);
                    self.settle(peer);
                }
            }
        }
    }

    /// Sends the answers that came from other threads, or for other requests than the one at hand.
    fn take_arrivals(&mut self) {
        loop {
            let mut arrivals = self.answers.take_all(mem::take(&mut self.arrivals));
            if arrivals.is_empty() {
                self.arrivals = arrivals;
                return;
            }
            for (ticket, answer) in arrivals.drain(..) {
                // The peer may have gone since, or been answered in the handler's place.
                if let Some(mut peer) = self.peers.take_awaiting(ticket.place, ticket.serial) {
                    let answer = answer.given(|| Some(self.status()));
                    self.answer(&mut peer, answer);
                    self.settle(peer);
                }
            }
            self.arrivals = arrivals;
        }
    }

    fn go_on(&mut self) {
        for token in mem::take(&mut self.again) {
            if let Some(peer) = self.peers.take(token) {
                self.settle(peer);
            }
        }
    }
}
