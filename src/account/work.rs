//! Answers that need more than the config and the message: where they are worked out, and by what.
//!
//! WeChat has its answer in time, whatever a store, a disk or a server does: at the deadline a rule's `on_error` is
//! answered in the place of who is still at work. The work goes on, for what it fetches is of use to the next message.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::pool::{self, Pool};
use super::tools::Tools;
use super::visit::Visit;
use super::worker::Assignment;
use crate::callback::{Means, Pending, Terms, met_rule};
use crate::chance::random;
use crate::config::DeliverySettings;
use crate::config::load::Service;
use crate::delivery::{Answer, Desk, Office, Order, Start, Visitor};
use crate::gateway::Responder;
use crate::handlers::Equipment;
use crate::rules::{MediaFile, MediaLibrary, Rule};
use crate::store::{Holder, Store};
use crate::wechat::message::Message;

/// So many calls are looked at once: that takes a store, a guard or an upload.
const MAX_CALLS: usize = 64;

/// Waits until no answer is being worked out any more, for the time `patience` at most.
pub fn wait_for_answers(patience: Duration) {
    if !pool::is_busy() {
        return;
    }
    log::info!(target: "account", "waits for answers that are being worked out");
    let left = pool::wait(patience);
    if left > 0 {
        log::error!(target: "account", "{left} answer(s) were not ready after {patience:?}; they are given up");
    }
}

/// What a job asks of the store and of WeChat may take so long, with its handler.
pub(super) const JOB: Duration = Duration::from_secs(2 * 60 * 60);

/// Where an account is served.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The file that its config was read from.
    pub config: PathBuf,
    /// The folder for what processes share.
    pub state: Option<PathBuf>,
    /// How many requests this process serves.
    pub service: Service,
}

impl Default for Surroundings {
    /// A process for one request, with nothing to share.
    fn default() -> Self {
        Self { config: PathBuf::new(), state: None, service: Service::OneRequest }
    }
}

/// Works answers out.
#[derive(Debug)]
pub(super) struct Work {
    tools: Arc<Tools>,
    desk: Arc<Desk>,
    calls: Pool,
    watch: OnceLock<mpsc::Sender<Arc<Visit>>>,
}

impl Work {
    pub(super) fn new(tools: Tools, delivery: DeliverySettings) -> Self {
        let tools = Arc::new(tools);
        let office: Arc<dyn Office> = Arc::<Tools>::clone(&tools);
        let desk = Desk::new(delivery, office);
        Self { tools, desk, calls: Pool::new("calls", MAX_CALLS), watch: OnceLock::new() }
    }

    /// Looks after what other processes have left that died.
    pub(super) fn look_after_others(&self) {
        self.desk.look_after_others();
    }

    /// The same with this store, whatever the config says.
    #[cfg(test)]
    pub(super) fn set_store(&self, store: Arc<dyn Store>) {
        self.tools.store.set(Ok(store)).expect("it was not opened yet");
    }

    /// The rule that answers a message now.
    pub(super) fn met_rule(
        &self,
        terms: &Terms,
        message: &Message<'_>,
        now: SystemTime,
    ) -> Option<Arc<Rule>> {
        let means = WorkMeans { work: self.hands(), until: Instant::now() + terms.deadline, visit: None };
        met_rule(terms, message, now, &means)
    }

    fn hands(&self) -> Hands {
        Hands { tools: Arc::clone(&self.tools), desk: Arc::clone(&self.desk) }
    }

    /// Answers a call from a thread of its own, or at its deadline without it.
    pub(super) fn answer(&self, pending: Pending, responder: Responder) {
        let visit = Arc::new(Visit::new(pending, responder));
        let (hands, at_work) = (self.hands(), Arc::clone(&visit));
        let begun = self.calls.run(move || {
            // A panic is a bug of ours, and in the log.
            if catch_unwind(AssertUnwindSafe(|| hands.attend(&at_work))).is_err() {
                at_work.fail();
            }
        });
        match begun {
            Ok(()) => self.watch(visit),
            Err(_) => visit.fail(),
        }
    }

    /// Does what another process was asked for and left to this one.
    pub(super) fn work_out(
        &self,
        pending: &Pending,
        order: &Order,
        holder: Holder,
        visitor: &Arc<dyn Visitor>,
    ) {
        let job = self.hands().job();
        self.desk.work(&Arc::new(order.clone()), holder, visitor, || pending.work_out(order, &job));
    }

    /// Notes of a message that is worked out here that it was answered as failed.
    pub(super) fn note_failed(&self) -> impl Fn(&Order) + Send + use<> {
        let desk = Arc::clone(&self.desk);
        move |order| {
            desk.refuse(order, || Some(()));
        }
    }

    /// Sees to what is left of a message that is to be pushed, now that its process has ended.
    pub(super) fn settle(&self, order: &Order) {
        if let Err(why) = self.desk.settle(order) {
            log::error!(target: "account", "{}: nobody has seen to it: {why}", order.met);
        }
    }

    /// Sees to it that a call is answered at its deadline.
    fn watch(&self, visit: Arc<Visit>) {
        let watch = self.watch.get_or_init(|| {
            let (sender, receiver) = mpsc::channel();
            // Without it the door's own `answer_timeout` answers.
            if let Err(error) =
                thread::Builder::new().name("deadlines".to_owned()).spawn(move || keep_watch(&receiver))
            {
                log::error!(target: "account", "cannot start a thread: {error}");
            }
            sender
        });
        let _ = watch.send(visit);
    }
}

/// Answers each call at its deadline, unless somebody else did.
fn keep_watch(calls: &mpsc::Receiver<Arc<Visit>>) {
    let mut watched: Vec<Arc<Visit>> = Vec::new();
    loop {
        let now = Instant::now();
        watched.retain(|visit| visit.is_open(now));
        let next = watched.iter().map(|visit| visit.last_moment()).min();
        let wait = next.map_or(Duration::MAX, |next| next.saturating_duration_since(now));
        match calls.recv_timeout(wait) {
            Ok(visit) => watched.push(visit),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            // The account was replaced; its last calls are still to be answered.
            Err(mpsc::RecvTimeoutError::Disconnected) if watched.is_empty() => return,
            Err(mpsc::RecvTimeoutError::Disconnected) => thread::sleep(wait),
        }
    }
}

/// By what an answer is worked out, in any thread.
#[derive(Debug, Clone)]
struct Hands {
    tools: Arc<Tools>,
    desk: Arc<Desk>,
}

impl Hands {
    /// Answers a call, or sees to it that it is answered.
    fn attend(&self, visit: &Arc<Visit>) {
        // It has waited for its turn so long that it was answered without: nothing is begun that nobody knows of.
        if visit.is_served() {
            return;
        }
        let pending = visit.pending();
        let order = match pending.order() {
            Some(order) => order.clone(),
            None => match pending.respond(&self.means(visit)) {
                Ok(response) => return visit.respond(response),
                Err(order) => *order,
            },
        };
        visit.ordered(order.clone(), &self.desk);
        let visitor: Arc<dyn Visitor> = Arc::<Visit>::clone(visit);
        let start = if self.is_brief() && (order.is_handled || self.tools.may_push()) {
            // What takes long, or goes on behind the answer: a web server ends what a request has begun.
            let assignment = Assignment::new(&self.tools.surroundings, pending, &order);
            Start::Elsewhere(Box::new(move |holder| assignment.give_away(holder)))
        } else {
            let (hands, visit, order) = (self.clone(), Arc::clone(visit), order.clone());
            Start::Here(Box::new(move || visit.pending().work_out(&order, &hands.job())))
        };
        self.desk.attend(order, &visitor, start);
    }

    /// Has it noted that a user has what he fetched, who waits until then.
    fn confirm(&self, order: &Order, until: Instant) {
        let (desk, order) = (Arc::clone(&self.desk), order.clone());
        let (done, is_done) = mpsc::channel::<()>();
        self.tools.run_errand(Box::new(move || {
            desk.confirm(&order);
            drop(done);
        }));
        if self.is_brief() {
            // A web server may end this process as soon as it has its answer; but it has to have one.
            let _ = is_done.recv_timeout(until.saturating_duration_since(Instant::now()));
        }
    }

    /// Whether this process answers one request and ends.
    fn is_brief(&self) -> bool {
        self.tools.surroundings.service == Service::OneRequest
    }

    fn job(&self) -> WorkMeans {
        WorkMeans { work: self.clone(), until: Instant::now() + JOB, visit: None }
    }

    fn means(&self, visit: &Arc<Visit>) -> WorkMeans {
        let until = visit.pending().deadline();
        WorkMeans { work: self.clone(), until, visit: Some(Arc::clone(visit)) }
    }
}

/// The store, files of replies and handlers, for a call that wants its answer at a point in time.
#[derive(Debug)]
struct WorkMeans {
    work: Hands,
    until: Instant,
    /// The call that is to be answered by then.
    visit: Option<Arc<Visit>>,
}

impl MediaLibrary for WorkMeans {
    fn media_id(&self, file: &MediaFile) -> Result<String, String> {
        let patience = self.until.saturating_duration_since(Instant::now());
        let found = self.work.tools.api()?.media_id(&file.path, file.kind.name(), patience);
        found.map_err(|error| error.to_string())
    }
}

impl Means for WorkMeans {
    fn store(&self) -> Result<Arc<dyn Store>, String> {
        self.work.tools.store()
    }

    fn equipment(&self) -> Option<&Equipment> {
        Some(&self.work.tools.equipment)
    }

    fn until(&self) -> Instant {
        self.until
    }

    fn fetch(&self, order: &Order) -> Result<Option<Answer>, String> {
        let attempt = random().map(u64::from_ne_bytes).map_err(|error| error.to_string())?;
        let piece = self.work.desk.fetch(order, attempt, self.until)?;
        if piece.is_some() {
            if self.claim() {
                self.work.confirm(order, self.until);
            } else {
                // Its user was told something else.
                self.work.desk.put_back(order, attempt);
            }
        }
        Ok(piece)
    }

    fn claim(&self) -> bool {
        self.visit.as_ref().is_none_or(|visit| visit.claim())
    }
}
