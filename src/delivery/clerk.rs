//! Who keeps an eye on the clock and on other processes, for all messages of a process that are waiting: one thread,
//! however many there are. It asks nobody itself: what has to be asked is an errand for others, and a store or an API that
//! is slow to one message makes no other one late.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::decision::{Decision, Way};
use super::order::Order;
use super::rescue::lease_of;
use super::{CLAIM, Desk, INSIST, Visitor, words};
use crate::store::{Claim, Holder, Lease, REPEATED_WITHIN, Store, StoreError};

/// So often it is asked what other processes have decided.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// To give an attempt up takes about so long: the more of them wait, the sooner the clerk begins.
const GIVING_UP: Duration = Duration::from_micros(500);
const EARLIEST: Duration = Duration::from_secs(1);
const FEW: u32 = 50;
/// So often claims are prolonged, and at once those that would be soon.
const RENEW_EVERY: Duration = Duration::from_secs(CLAIM.as_secs() / 3);
const SOON: Duration = Duration::from_secs(1);
/// So often others' late messages are looked after.
const LOOK_EVERY: Duration = Duration::from_secs(CLAIM.as_secs());

/// What is going on in this process.
#[derive(Debug, Default)]
pub(super) struct Board {
    state: Mutex<State>,
    changed: Condvar,
    /// Whether others are looked after.
    looks: AtomicBool,
    /// Which rounds are being made.
    rounds: [AtomicBool; 3],
}

/// What is done again and again, by one thread at a time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Round {
    /// Asks what other processes have decided.
    Ask,
    /// Tells users that somebody is at it.
    Type,
    /// Looks after what others have left that died.
    Look,
}

#[derive(Debug, Default)]
struct State {
    visits: Vec<Visit>,
    jobs: Vec<Claimed>,
    /// There is a clerk.
    is_staffed: bool,
    is_closed: bool,
}

impl State {
    /// So long before its deadline an attempt is given up.
    fn lead(&self) -> Duration {
        let waiting = self.visits.iter().filter(|visit| !visit.is_in_hand).count();
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        if waiting < FEW { Duration::ZERO } else { GIVING_UP.saturating_mul(waiting).min(EARLIEST) }
    }

    /// The attempts whose time is over; from here on they are in hand.
    fn take_due(&mut self, now: Instant) -> Vec<Visit> {
        let lead = self.lead();
        let due = self.visits.iter_mut().filter(|visit| !visit.is_in_hand && visit.turn(lead) <= now);
        due.map(|visit| {
            visit.is_in_hand = true;
            visit.clone()
        })
        .collect()
    }

    /// When the next claim is to be prolonged.
    fn next_renewal(&self) -> Option<Instant> {
        self.jobs.iter().map(|job| job.renewed + RENEW_EVERY).min()
    }

    /// The jobs whose claims are to be prolonged now, each once.
    fn take_renewals(&mut self, now: Instant) -> Vec<Claimed> {
        let due = self.jobs.iter_mut().filter(|job| job.renewed + RENEW_EVERY <= now + SOON);
        due.map(|job| {
            job.renewed = now;
            job.clone()
        })
        .collect()
    }
}

/// An attempt that waits.
#[derive(Clone)]
struct Visit {
    order: Arc<Order>,
    visitor: Arc<dyn Visitor>,
    /// Another process works on it.
    is_foreign: bool,
    /// It is given up then.
    due: Instant,
    /// It is just being given up. Whoever is faster still answers it.
    is_in_hand: bool,
    /// That has failed before.
    is_tried: bool,
    /// Who will see to it. Its account may have been replaced meanwhile.
    desk: Arc<Desk>,
}

impl Visit {
    /// When it is seen to, if that takes so long for all that wait. What has failed has its pause.
    fn turn(&self, lead: Duration) -> Instant {
        if self.is_tried { self.due } else { self.due.checked_sub(lead).unwrap_or(self.due) }
    }
}

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Visit({})", self.order.met)
    }
}

/// What it takes to work at a message, and has to be prolonged.
#[derive(Debug, Clone, Copy)]
pub(super) enum Keeps {
    /// To work it out.
    Claim,
    /// To look after it, as who worked on it has died.
    Lease,
}

/// A message that is being worked on here.
#[derive(Debug, Clone)]
pub(super) struct Claimed {
    order: Arc<Order>,
    holder: Holder,
    keeps: Keeps,
    /// When its claim or lease began, or was prolonged.
    renewed: Instant,
    /// Nobody waits for it any longer.
    given_up: Option<Way>,
}

impl Claimed {
    /// Prolongs what it takes; `false` if that is lost.
    fn prolong(&self, store: &dyn Store) -> Result<bool, StoreError> {
        match self.keeps {
            Keeps::Claim if store.renew(&self.order.message, self.holder, CLAIM)? => Ok(true),
            // A store that has crashed may have forgotten it: others must not begin the message anew.
            Keeps::Claim => {
                let claim = store.claim(&self.order.message, self.holder, CLAIM, REPEATED_WITHIN)?;
                Ok(claim == Claim::Yours)
            }
            Keeps::Lease => {
                let lease = store.lease(&lease_of(&self.order), self.holder, CLAIM)?;
                Ok(matches!(lease, Lease::Held { .. }))
            }
        }
    }
}

/// Ends a job on the board when it is dropped.
pub(super) struct Job {
    board: Arc<Board>,
    message: String,
}

impl Drop for Job {
    fn drop(&mut self) {
        self.board.state().jobs.retain(|job| job.order.message != self.message);
    }
}

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add_visit(
        desk: &Arc<Desk>,
        order: &Arc<Order>,
        visitor: &Arc<dyn Visitor>,
        is_foreign: bool,
    ) {
        let (order, visitor, due) = (Arc::clone(order), Arc::clone(visitor), visitor.deadline());
        let desk_of_it = Arc::clone(desk);
        let visit =
            Visit { order, visitor, is_foreign, due, is_in_hand: false, is_tried: false, desk: desk_of_it };
        desk.board.state().visits.push(visit);
        desk.board.changed.notify_all();
    }

    /// An attempt is in hand no longer: it is seen to again at a point in time, or never.
    fn put_down(&self, visitor: &Arc<dyn Visitor>, again: Option<Instant>) {
        let mut state = self.state();
        let its = |visit: &Visit| Arc::ptr_eq(&visit.visitor, visitor);
        let place = state.visits.iter().position(its);
        let gone = match again {
            Some(due) => {
                let visit = place.and_then(|place| state.visits.get_mut(place));
                if let Some(visit) = visit {
                    (visit.due, visit.is_in_hand, visit.is_tried) = (due, false, true);
                }
                None
            }
            None => place.map(|place| state.visits.remove(place)),
        };
        drop(state);
        // Its desk may go with it, and closes this board.
        drop(gone);
        self.changed.notify_all();
    }

    pub(super) fn look_after_others(&self) {
        self.looks.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    pub(super) fn begin_job(board: &Arc<Self>, order: &Arc<Order>, holder: Holder, keeps: Keeps) -> Job {
        let (order, renewed) = (Arc::clone(order), Instant::now());
        let message = order.message.clone();
        board.state().jobs.push(Claimed { order, holder, keeps, renewed, given_up: None });
        board.changed.notify_all();
        Job { board: Arc::clone(board), message }
    }

    fn has_visit(&self, visitor: &Arc<dyn Visitor>) -> bool {
        self.state().visits.iter().any(|visit| Arc::ptr_eq(&visit.visitor, visitor))
    }

    #[cfg(test)]
    pub(super) fn jobs(&self) -> Vec<Claimed> {
        self.state().jobs.clone()
    }

    pub(super) fn has_job(&self, message: &str) -> bool {
        self.state().jobs.iter().any(|job| job.order.message == message)
    }

    /// Prolongs what it takes to work at a message, if it is worked on here and that was not just done.
    pub(super) fn prolong(&self, store: &dyn Store, message: &str) -> Result<(), StoreError> {
        let job = self.state().jobs.iter().find(|job| job.order.message == message).cloned();
        let job = job.filter(|job| job.renewed.elapsed() > RENEW_EVERY / 2);
        job.map_or(Ok(()), |job| job.prolong(store).map(drop))
    }

    /// Whether this process looks after others as long as it lives.
    pub(super) fn looks_after_others(&self) -> bool {
        self.looks.load(Ordering::Acquire)
    }

    /// Notes how a message is to go that nobody waits for any longer, if it is worked out here.
    pub(super) fn note_given_up(&self, message: &str, way: Option<Way>) {
        let mut state = self.state();
        let jobs = state.jobs.iter_mut().filter(|job| job.order.message == message);
        jobs.for_each(|job| job.given_up = way);
    }

    pub(super) fn given_up(&self, message: &str) -> Option<Way> {
        self.state().jobs.iter().find(|job| job.order.message == message)?.given_up
    }

    /// Answers all attempts of a message that wait here. Says whether one of them has this answer now.
    pub(super) fn serve(&self, message: &str, decision: &Decision) -> bool {
        let mut state = self.state();
        let (its, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.visits).into_iter().partition(|visit| visit.order.message == message);
        state.visits = others;
        drop(state);
        its.iter().filter(|visit| visit.visitor.serve(decision)).count() > 0
    }

    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_all();
    }

    /// Waits until there is something to do; `None` when there never will be.
    fn next_turn(&self, agenda: &mut Agenda) -> Option<Turn> {
        let mut state = self.state();
        loop {
            if state.is_closed {
                return None;
            }
            let now = Instant::now();
            let asks = state.visits.iter().any(|visit| visit.is_foreign) && agenda.ask <= now;
            let renews = state.next_renewal().is_some_and(|next| next <= now);
            let looks = self.looks_after_others() && agenda.look <= now;
            let due = state.take_due(now);
            if asks || renews || looks || !due.is_empty() {
                let waiting = state.visits.iter().filter(|visit| !visit.is_in_hand);
                let foreign = waiting.filter(|visit| asks && visit.is_foreign).cloned().collect();
                let jobs = if renews { state.take_renewals(now) } else { Vec::new() };
                agenda.passed(now, asks, looks);
                return Some(Turn { due, foreign, jobs, looks });
            }
            let next = agenda.next(&state, self.looks_after_others(), now);
            let waited = self.changed.wait_timeout(state, next.saturating_duration_since(now));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// What there is to do.
struct Turn {
    /// Attempts whose time is over.
    due: Vec<Visit>,
    /// Attempts that wait for another process.
    foreign: Vec<Visit>,
    /// Jobs whose claims are to be prolonged.
    jobs: Vec<Claimed>,
    /// Whether to look after others.
    looks: bool,
}

/// When what is done again and again is due.
struct Agenda {
    ask: Instant,
    look: Instant,
}

impl Agenda {
    fn new(now: Instant) -> Self {
        Self { ask: now, look: now }
    }

    fn passed(&mut self, now: Instant, asks: bool, looks: bool) {
        for (is_done, time, every) in [(asks, &mut self.ask, ASK_EVERY), (looks, &mut self.look, LOOK_EVERY)]
        {
            if is_done {
                *time = now + every;
            }
        }
    }

    fn next(&self, state: &State, looks: bool, now: Instant) -> Instant {
        let lead = state.lead();
        let waiting = state.visits.iter().filter(|visit| !visit.is_in_hand);
        let visits = waiting.map(|visit| visit.turn(lead));
        let asks = state.visits.iter().any(|visit| visit.is_foreign).then_some(self.ask);
        let looks = looks.then_some(self.look);
        visits.chain(asks).chain(state.next_renewal()).chain(looks).min().unwrap_or(now + LOOK_EVERY)
    }
}

/// Has a clerk for the desk, if it has none.
pub(super) fn employ(desk: &Arc<Desk>) {
    let mut state = desk.board.state();
    if state.is_staffed {
        return;
    }
    let (board, weak) = (Arc::clone(&desk.board), Arc::downgrade(desk));
    let work = move || work(&board, &weak);
    match thread::Builder::new().name("clerk".to_owned()).spawn(work) {
        Ok(_) => state.is_staffed = true,
        // Each attempt has its last resort at its deadline.
        Err(error) => log::error!(target: "delivery", "cannot start a thread: {error}"),
    }
}

fn work(board: &Board, desk: &Weak<Desk>) {
    let mut agenda = Agenda::new(Instant::now());
    while let Some(turn) = board.next_turn(&mut agenda) {
        let Some(desk) = desk.upgrade() else { return };
        desk.take_turn(turn);
    }
}

impl Desk {
    fn take_turn(self: &Arc<Self>, turn: Turn) {
        // First those who have no time left.
        for visit in turn.due {
            self.office.run_errand(Box::new(move || {
                let mut in_hand = InHand { visit, again: None };
                let visit = &in_hand.visit;
                // Answered while this waited for its turn: there is nothing left to decide.
                if !visit.is_tried && !visit.desk.board.has_visit(&visit.visitor) {
                    return;
                }
                let given_up = visit.desk.give_up(&visit.order, &*visit.visitor, visit.is_foreign);
                let now = Instant::now();
                let again = given_up.err().filter(|_| now < visit.visitor.deadline() + INSIST).map(|why| {
                    log::error!(target: "delivery", kind = "give up"; "{}: {why}; tried again", visit.order.met);
                    now + ASK_EVERY
                });
                in_hand.again = again;
            }));
        }
        let Turn { jobs, foreign, .. } = turn;
        if !jobs.is_empty() {
            let desk = Arc::clone(self);
            self.office.run_errand(Box::new(move || log_failure(desk.look_after(&jobs))));
        }
        if !foreign.is_empty() {
            // One that cannot be asked for keeps nobody from the others.
            self.make(Round::Ask, move |desk| {
                foreign.iter().map(|visit| desk.ask(visit)).fold(Ok(()), Result::and)
            });
        }
        if turn.looks {
            self.make(Round::Look, Self::look_after_late);
        }
    }

    /// Has a round made, unless the last one of its kind goes on still.
    fn make(
        self: &Arc<Self>,
        round: Round,
        make: impl FnOnce(&Arc<Self>) -> Result<(), String> + Send + 'static,
    ) {
        let Some(begun) = begin_round(&self.board, round) else { return };
        let desk = Arc::clone(self);
        self.office.run_errand(Box::new(move || {
            log_failure(make(&desk));
            drop(begun);
        }));
    }

    /// Answers the attempts of a message if another process has decided it.
    fn ask(&self, visit: &Visit) -> Result<(), String> {
        let store = self.office.store()?;
        let message = &visit.order.message;
        if let Some(decision) = Decision::of(&*store, message).map_err(words)? {
            self.secure(&*store, &visit.order, &decision);
            self.tell(&*store, &visit.order, decision, &*visit.visitor);
        }
        Ok(())
    }

    /// Prolongs the claims and leases of jobs, and shows their users that somebody is at it.
    pub(super) fn look_after(self: &Arc<Self>, jobs: &[Claimed]) -> Result<(), String> {
        let store = self.office.store()?;
        let mut pushed = Vec::new();
        for job in jobs.iter().filter(|job| self.board.has_job(&job.order.message)) {
            // One that cannot be prolonged now keeps nobody from the others.
            match job.prolong(&*store) {
                Ok(true) => {}
                Ok(false) => log::warn!(target: "delivery", "{}: others take it for dead", job.order.met),
                Err(error) => log::error!(target: "delivery", kind = "clerk"; "{error}"),
            }
            let decision = Decision::of(&*store, &job.order.message);
            if decision.is_ok_and(|decision| decision.is_some_and(|it| it.given_up == Some(Way::Push))) {
                pushed.push(Arc::clone(&job.order));
            }
        }
        if !pushed.is_empty() {
            self.make(Round::Type, move |desk| {
                // It may take so long that they are answered meanwhile.
                let waiting = pushed.iter().filter(|order| desk.board.has_job(&order.message));
                waiting.for_each(|order| desk.office.show_typing(&order.user));
                Ok(())
            });
        }
        Ok(())
    }
}

fn log_failure(done: Result<(), String>) {
    if let Err(why) = done {
        log::error!(target: "delivery", kind = "clerk"; "{why}");
    }
}

/// Puts an attempt down when it is dropped.
struct InHand {
    visit: Visit,
    again: Option<Instant>,
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.visit.desk.board.put_down(&self.visit.visitor, self.again);
    }
}

/// Ends a round when it is dropped.
struct Begun {
    board: Arc<Board>,
    round: Round,
}

fn begin_round(board: &Arc<Board>, round: Round) -> Option<Begun> {
    let is_made = board.rounds.get(round as usize)?.swap(true, Ordering::AcqRel);
    (!is_made).then(|| Begun { board: Arc::clone(board), round })
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(is_made) = self.board.rounds.get(self.round as usize) {
            is_made.store(false, Ordering::Release);
        }
    }
}
