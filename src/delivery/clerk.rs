//! Who keeps an eye on the clock and on other processes, for all messages of a process that are waiting: one thread,
//! however many there are.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::order::{Answer, Order};
use super::{CLAIM, Desk, Visitor, again, decision};
use crate::store::Holder;

/// So often it is asked what other processes have decided.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// To give an attempt up takes about so long: the more of them wait, the sooner the clerk begins.
const GIVING_UP: Duration = Duration::from_micros(500);
const EARLIEST: Duration = Duration::from_secs(1);
const FEW: u32 = 50;
/// So often claims are prolonged.
const RENEW_EVERY: Duration = Duration::from_secs(CLAIM.as_secs() / 3);
/// So often others' late messages are looked after.
const LOOK_EVERY: Duration = Duration::from_secs(CLAIM.as_secs());

/// What is going on in this process.
#[derive(Debug, Default)]
pub(super) struct Board {
    state: Mutex<State>,
    changed: Condvar,
    /// Held by who looks after others' late messages.
    looks: Arc<Mutex<()>>,
    /// Held by who prolongs claims.
    renews: Arc<Mutex<()>>,
}

#[derive(Debug, Default)]
struct State {
    visits: Vec<Visit>,
    jobs: Vec<Claimed>,
    /// There is a clerk.
    is_staffed: bool,
    /// There is a reason to look before the next point in time.
    is_poked: bool,
    is_closed: bool,
}

impl State {
    /// So long before its deadline an attempt is given up.
    fn lead(&self) -> Duration {
        let waiting = u32::try_from(self.visits.len()).unwrap_or(u32::MAX);
        if waiting < FEW { Duration::ZERO } else { GIVING_UP.saturating_mul(waiting).min(EARLIEST) }
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
}

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Visit({})", self.order.met)
    }
}

/// A message that is being worked out here.
#[derive(Debug, Clone)]
struct Claimed {
    order: Arc<Order>,
    holder: Holder,
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

    pub(super) fn add_visit(&self, order: &Arc<Order>, visitor: &Arc<dyn Visitor>, is_foreign: bool) {
        let due = visitor.deadline();
        self.add(Visit { order: Arc::clone(order), visitor: Arc::clone(visitor), is_foreign, due });
    }

    fn add(&self, visit: Visit) {
        self.state().visits.push(visit);
        self.changed.notify_all();
    }

    pub(super) fn begin_job(board: &Arc<Self>, order: &Arc<Order>, holder: Holder) -> Job {
        board.state().jobs.push(Claimed { order: Arc::clone(order), holder });
        board.changed.notify_all();
        Job { board: Arc::clone(board), message: order.message.clone() }
    }

    pub(super) fn has_job(&self, message: &str) -> bool {
        self.state().jobs.iter().any(|job| job.order.message == message)
    }

    /// Answers all attempts of a message that wait here.
    pub(super) fn serve(&self, message: &str, answer: &Answer) {
        let mut served = Vec::new();
        self.state().visits.retain(|visit| {
            let is_its = visit.order.message == message;
            if is_its {
                served.push(Arc::clone(&visit.visitor));
            }
            !is_its
        });
        for visitor in served {
            visitor.serve(answer);
        }
    }

    /// Has the clerk look now.
    pub(super) fn poke(&self) {
        self.state().is_poked = true;
        self.changed.notify_all();
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
            state.visits.retain(|visit| !visit.visitor.is_served());
            let asks = state.visits.iter().any(|visit| visit.is_foreign) && agenda.ask <= now;
            let renews = !state.jobs.is_empty() && agenda.renew <= now;
            let looks = agenda.look <= now;
            let soon = now + state.lead();
            let is_due = state.visits.iter().any(|visit| visit.due <= soon);
            if asks || renews || looks || is_due || state.is_poked {
                let asks = asks || state.is_poked;
                state.is_poked = false;
                let (due, waiting): (Vec<_>, Vec<_>) =
                    std::mem::take(&mut state.visits).into_iter().partition(|it| it.due <= soon);
                let foreign = waiting.iter().filter(|visit| asks && visit.is_foreign).cloned().collect();
                state.visits = waiting;
                let jobs = if renews { state.jobs.clone() } else { Vec::new() };
                agenda.passed(now, asks, renews, looks);
                return Some(Turn { due, foreign, jobs, looks });
            }
            let next = agenda.next(&state, now);
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
    renew: Instant,
    look: Instant,
}

impl Agenda {
    fn new(now: Instant) -> Self {
        Self { ask: now, renew: now + RENEW_EVERY, look: now }
    }

    fn passed(&mut self, now: Instant, asks: bool, renews: bool, looks: bool) {
        for (is_done, time, every) in [
            (asks, &mut self.ask, ASK_EVERY),
            (renews, &mut self.renew, RENEW_EVERY),
            (looks, &mut self.look, LOOK_EVERY),
        ] {
            if is_done {
                *time = now + every;
            }
        }
    }

    fn next(&self, state: &State, now: Instant) -> Instant {
        let lead = state.lead();
        let visits = state.visits.iter().map(|visit| visit.due.checked_sub(lead).unwrap_or(now));
        let asks = state.visits.iter().any(|visit| visit.is_foreign).then_some(self.ask);
        let renews = (!state.jobs.is_empty()).then_some(self.renew.max(now));
        visits.chain(asks).chain(renews).chain([self.look]).min().unwrap_or(self.look)
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
            if let Err(why) = self.give_up(&visit.order, &*visit.visitor, visit.is_foreign) {
                log::error!(target: "delivery", kind = "give up"; "{}: {why}; tried again", visit.order.met);
                self.board.add(Visit { due: Instant::now() + ASK_EVERY, ..visit });
            }
        }
        if let Err(why) = turn.foreign.iter().try_for_each(|visit| self.ask(visit)) {
            complain(&why);
        }
        // Attempts must not wait for what takes long.
        if turn.looks {
            self.aside(&self.board.looks, "late", Self::look_after_late);
        }
        if !turn.jobs.is_empty() {
            let jobs = turn.jobs;
            self.aside(&self.board.renews, "claims", move |desk| desk.look_after_all(&jobs));
        }
    }

    /// Does something in a thread of its own, unless the last time is not over yet.
    fn aside(
        self: &Arc<Self>,
        one: &Arc<Mutex<()>>,
        name: &str,
        work: impl FnOnce(&Self) -> Result<(), String> + Send + 'static,
    ) {
        let (desk, one) = (Arc::clone(self), Arc::clone(one));
        let work = move || {
            let _alone = match one.try_lock() {
                Ok(alone) => alone,
                Err(TryLockError::Poisoned(after_panic)) => after_panic.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            if let Err(why) = work(&desk) {
                complain(&why);
            }
        };
        if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(work) {
            complain(&format!("cannot start a thread: {error}"));
        }
    }

    /// Answers an attempt if another process has decided its message.
    fn ask(&self, visit: &Visit) -> Result<(), String> {
        let store = self.office.store()?;
        let decision = decision(&*store, &visit.order.message).map_err(|error| error.to_string())?;
        if let Some(decision) = decision {
            visit.visitor.serve(&again(decision.answer));
        }
        Ok(())
    }

    /// Prolongs the claims of all jobs, then shows users that somebody is at it, as many as there is time for.
    fn look_after_all(&self, jobs: &[Claimed]) -> Result<(), String> {
        let next = Instant::now() + RENEW_EVERY;
        let store = self.office.store()?;
        let words = |error: crate::store::StoreError| error.to_string();
        for job in jobs {
            if !store.renew(&job.order.message, job.holder, CLAIM).map_err(words)? {
                log::warn!(target: "delivery", "{}: others take it for dead", job.order.met);
            }
        }
        for job in jobs.iter().take_while(|_| Instant::now() < next) {
            let decision = decision(&*store, &job.order.message).map_err(words)?;
            if decision.is_some_and(|decision| decision.given_up == Some(super::Way::Push)) {
                self.office.show_typing(&job.order.user);
            }
        }
        Ok(())
    }
}

fn complain(why: &str) {
    log::error!(target: "delivery", kind = "clerk"; "{why}");
}
