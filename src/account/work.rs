//! Answers that need more than the config and the message: where they are worked out, and by what.
//!
//! WeChat has its answer in time, whatever a store, a disk or a server does: at the deadline a rule's `on_error` is
//! answered in the place of who is still at work. The work goes on, for what it fetches is of use to the next message.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use super::api::ApiParts;
use crate::api::Api;
use crate::callback::{Means, Pending, SUCCESS, Terms, met_rule};
use crate::config::load::Service;
use crate::gateway::Responder;
use crate::http::Response;
use crate::rules::{MediaFile, MediaLibrary, Rule};
use crate::store::Store;
use crate::wechat::message::Message;

/// So many answers are worked out at once in a process; each has a thread.
const MAX_AT_ONCE: usize = 64;
static AT_ONCE: AtomicUsize = AtomicUsize::new(0);

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
    watch: OnceLock<mpsc::Sender<Watched>>,
    /// The thread of a process for one request, once it was needed.
    last: Mutex<Option<JoinHandle<()>>>,
}

impl Work {
    pub(super) fn new(parts: ApiParts, surroundings: Surroundings) -> Self {
        let tools = Tools { parts, surroundings, store: OnceLock::new(), api: OnceLock::new() };
        Self { tools: Arc::new(tools), watch: OnceLock::new(), last: Mutex::default() }
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
        let means = WorkMeans { tools: &self.tools, until: Instant::now() + terms.deadline, answer: None };
        met_rule(terms, message, now, &means)
    }

    /// Answers a call from a thread of its own, or at its deadline without it.
    pub(super) fn answer(&self, pending: Box<Pending>, responder: Responder) {
        let Some(place) = Place::take() else {
            log::error!(
                target: "account", kind = "too many answers";
                "{MAX_AT_ONCE} answers are being worked out already; this one fails at once"
            );
            return responder.respond(pending.fail());
        };
        let pending: Arc<Pending> = Arc::from(pending);
        let answer = Arc::new(Answer { responder: Mutex::new(Some(responder)), by: OnceLock::new() });
        let (tools, at_work) = (Arc::clone(&self.tools), (Arc::clone(&pending), Arc::clone(&answer)));
        let spawned = thread::Builder::new().name("answer".to_owned()).spawn(move || {
            let (pending, answer) = at_work;
            let response = guarded(|| tools.respond(&pending, &answer));
            answer.give(By::Work, response.unwrap_or_else(|| failed(&pending)));
            drop(place);
        });
        match spawned {
            Ok(thread) => self.watch(thread, Watched { pending, answer }),
            Err(error) => {
                log::error!(target: "account", "cannot start a thread: {error}");
                answer.give(By::Work, failed(&pending));
            }
        }
    }

    /// What a process for one request has left to do once its answer is out.
    pub(super) fn left(&self) -> Option<JoinHandle<()>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).take();
        last.filter(|thread| !thread.is_finished())
    }

    /// Sees to it that a call is answered at its deadline.
    fn watch(&self, thread: JoinHandle<()>, watched: Watched) {
        if self.tools.surroundings.service == Service::OneRequest {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        }
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
        let _ = watch.send(watched);
    }
}

/// What `respond` makes; nothing of a panic, which is a bug of ours and in the log.
fn guarded(respond: impl FnOnce() -> Response) -> Option<Response> {
    catch_unwind(AssertUnwindSafe(respond)).ok()
}

/// The answer in the place of one that could not be worked out. Whoever asks for it answers others as well, and must
/// not panic.
fn failed(pending: &Pending) -> Response {
    guarded(|| pending.fail()).unwrap_or_else(|| Response::text(200, SUCCESS))
}

/// The way back to who asked, for the first who claims it.
struct Answer {
    responder: Mutex<Option<Responder>>,
    by: OnceLock<By>,
}

/// Who answers a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// Who works it out.
    Work,
    /// Who watches its deadline.
    Watch,
}

impl Answer {
    /// Whether it is for this one to answer; then the other does not any more.
    fn claim(&self, by: By) -> bool {
        *self.by.get_or_init(|| by) == by
    }

    fn is_claimed(&self) -> bool {
        self.by.get().is_some()
    }

    fn give(&self, by: By, response: Response) {
        let take = || self.responder.lock().unwrap_or_else(PoisonError::into_inner).take();
        if self.claim(by)
            && let Some(responder) = take()
        {
            responder.respond(response);
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({:?})", self.by.get())
    }
}

/// A call that is being worked on.
struct Watched {
    pending: Arc<Pending>,
    answer: Arc<Answer>,
}

impl Watched {
    /// Whether its deadline is still to come; answers it then.
    fn is_open(&self, now: Instant) -> bool {
        if !self.answer.is_claimed() && now < self.pending.deadline() {
            return true;
        }
        // Claimed first: who is ready just now must not find that it was for nothing.
        if self.answer.claim(By::Watch) {
            log::error!(
                target: "account", kind = "deadline";
                "{:?} is not ready at the `deadline`; answered in its place, it goes on", self.pending
            );
            self.answer.give(By::Watch, failed(&self.pending));
        }
        false
    }
}

/// Answers each call at its deadline, unless somebody else did.
fn keep_watch(calls: &mpsc::Receiver<Watched>) {
    let mut watched: Vec<Watched> = Vec::new();
    loop {
        let now = Instant::now();
        watched.retain(|call| call.is_open(now));
        let next = watched.iter().map(|call| call.pending.deadline()).min();
        let wait = next.map_or(Duration::MAX, |next| next.saturating_duration_since(now));
        match calls.recv_timeout(wait) {
            Ok(call) => watched.push(call),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            // The account was replaced; its last calls are still to be answered.
            Err(mpsc::RecvTimeoutError::Disconnected) if watched.is_empty() => return,
            Err(mpsc::RecvTimeoutError::Disconnected) => thread::sleep(wait),
        }
    }
}

/// One of the places for answers that are worked out at once.
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let place = Self;
        (AT_ONCE.fetch_add(1, Ordering::Relaxed) < MAX_AT_ONCE).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        AT_ONCE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What answers are worked out by.
#[derive(Debug)]
struct Tools {
    parts: ApiParts,
    surroundings: Surroundings,
    /// Opened when first needed.
    store: OnceLock<Result<Arc<dyn Store>, String>>,
    api: OnceLock<Result<Api, String>>,
}

impl Tools {
    fn respond(&self, pending: &Pending, answer: &Answer) -> Response {
        pending.respond(&WorkMeans { tools: self, until: pending.deadline(), answer: Some(answer) })
    }

    fn store(&self) -> Result<&Arc<dyn Store>, String> {
        let Surroundings { config, state, .. } = &self.surroundings;
        let open = || self.parts.open_store(config, state.as_deref()).map_err(|error| error.to_string());
        self.store.get_or_init(open).as_ref().map_err(Clone::clone)
    }

    fn api(&self) -> Result<&Api, String> {
        let open = || Ok(self.parts.api(self.store()?));
        self.api.get_or_init(open).as_ref().map_err(Clone::clone)
    }
}

/// The store, and files of replies, for a call that wants its answer at a point in time.
#[derive(Debug)]
struct WorkMeans<'t> {
    tools: &'t Tools,
    until: Instant,
    /// What the call is answered by, if it is one.
    answer: Option<&'t Answer>,
}

impl MediaLibrary for WorkMeans<'_> {
    fn media_id(&self, file: &MediaFile) -> Result<String, String> {
        let patience = self.until.saturating_duration_since(Instant::now());
        let found = self.tools.api()?.media_id(&file.path, file.kind.name(), patience);
        found.map_err(|error| error.to_string())
    }
}

impl Means for WorkMeans<'_> {
    fn store(&self) -> Result<Arc<dyn Store>, String> {
        self.tools.store().cloned()
    }

    fn claim(&self) -> bool {
        self.answer.is_none_or(|answer| answer.claim(By::Work))
    }
}
