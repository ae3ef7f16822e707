//! Answers that need more than the config and the message: where they are worked out, and by what.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::api::ApiParts;
use crate::api::Api;
use crate::callback::{Means, Pending, Terms, met_rule};
use crate::config::load::Service;
use crate::gateway::Responder;
use crate::rules::{MediaFile, MediaLibrary, Rule};
use crate::store::Store;
use crate::wechat::message::Message;

/// So many answers are worked out at once; each has a thread.
const MAX_AT_ONCE: usize = 64;

/// What is left of the time that WeChat gives, once an upload has to be over.
const REST: Duration = Duration::from_millis(100);

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
    service: Service,
    tools: Arc<Tools>,
    at_once: Arc<AtomicUsize>,
}

impl Work {
    pub(super) fn new(parts: ApiParts, surroundings: Surroundings) -> Self {
        let service = surroundings.service;
        let tools = Tools { parts, surroundings, store: OnceLock::new(), api: OnceLock::new() };
        Self { service, tools: Arc::new(tools), at_once: Arc::default() }
    }

    /// The rule that answers a message now.
    pub(super) fn met_rule(
        &self,
        terms: &Terms,
        message: &Message<'_>,
        now: SystemTime,
    ) -> Option<Arc<Rule>> {
        let means = WorkMeans { tools: &self.tools, until: Instant::now() + terms.deadline };
        met_rule(terms, message, now, &means)
    }

    /// Answers a call: here, if this process serves no other; else in a thread of its own.
    pub(super) fn answer(&self, pending: Box<Pending>, responder: Responder) {
        if self.service == Service::OneRequest {
            return responder.respond(self.tools.respond(&pending));
        }
        let Some(place) = Place::take(&self.at_once) else {
            log::error!(
                target: "account", kind = "too many answers";
                "{MAX_AT_ONCE} answers are being worked out already; this one fails at once"
            );
            return responder.respond(pending.fail());
        };
        let tools = Arc::clone(&self.tools);
        let spawned = thread::Builder::new().name("answer".to_owned()).spawn(move || {
            responder.respond(tools.respond(&pending));
            drop(place);
        });
        // The responder answers by itself: it went with the thread that did not come.
        if let Err(error) = spawned {
            log::error!(target: "account", "cannot start a thread: {error}");
        }
    }
}

/// One of the places for answers that are worked out at once.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(taken: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(Arc::clone(taken));
        (taken.fetch_add(1, Ordering::Relaxed) < MAX_AT_ONCE).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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
    fn respond(&self, pending: &Pending) -> crate::http::Response {
        pending.respond(&WorkMeans { tools: self, until: pending.deadline() })
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

/// The store, and files of replies, uploaded until a point in time.
#[derive(Debug)]
struct WorkMeans<'t> {
    tools: &'t Tools,
    until: Instant,
}

impl MediaLibrary for WorkMeans<'_> {
    fn media_id(&self, file: &MediaFile) -> Result<String, String> {
        let limit = self.until.saturating_duration_since(Instant::now()).saturating_sub(REST);
        let found = self.tools.api()?.media_id(&file.path, file.kind.name(), limit);
        found.map_err(|error| error.to_string())
    }
}

impl Means for WorkMeans<'_> {
    fn store(&self) -> Result<Arc<dyn Store>, String> {
        self.tools.store().cloned()
    }
}
