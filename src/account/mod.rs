//! Joins the parts into one Official Account, from its config, and serves it; takes a changed config.

mod api;
mod detached;
mod pool;
mod status;
mod tools;
mod visit;
mod watchman;
mod work;
mod worker;

use std::cell::RefCell;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::callback::{Answered, Circumstances, SUCCESS, Terms, answer};
use crate::chance::random_block;
use crate::config::Config;
use crate::config::fault::{PlacedFault, Severity};
use crate::config::load::{Loaded, Service, Stamp, Unusable, folder_of, open_for_service};
use crate::config::places::{CONFIG_VARIABLE, Origin};
use crate::gateway::{Application, Responder};
use crate::handlers::Equipment;
use crate::http::{Params, Request, Response};
use crate::logging::{self, address_shown, shown};
use crate::rules::Rule;
use crate::wechat::message::Message;
use api::ApiParts;
pub use api::open_api;
pub(crate) use detached::log_file as worker_log;
use pool::Pool;
use status::{About, AboutLog, StatusPage, not_found};
use tools::Tools;
pub use watchman::{COMMAND as WATCHMAN_COMMAND, watch_for_cgi};
use work::Work;
pub use work::{Surroundings, wait_for_answers};
pub use worker::{COMMAND as WORKER_COMMAND, work_for_cgi};

/// One Official Account, ready to answer.
#[derive(Debug)]
pub struct Account {
    pub(crate) terms: Arc<Terms>,
    work: Work,
    max_body: usize,
    status: Option<StatusPage>,
}

impl Account {
    /// The account that `config` describes.
    #[must_use]
    pub fn new(config: Config, surroundings: Surroundings) -> Self {
        let equipment = equipment(&config, &surroundings.config);
        let Config { account, server, log, api, store, rules, tables, delivery, .. } = config;
        let may_push = account.verified && account.app_id.is_some() && account.app_secret.is_some();
        let (is_staying, needs_delivery) =
            (surroundings.service == Service::ManyRequests, rules.need_delivery());
        let jobs = Pool::new("jobs", delivery.max_jobs);
        let parts = ApiParts::of(&account, api, store);
        let tools = Tools::new(parts, may_push, equipment, jobs, surroundings);
        let work = Work::new(tools, delivery.clone());
        if is_staying {
            rules.prepare();
        }
        if needs_delivery && is_staying {
            work.look_after_others();
        }
        let status = server.status.map(|allowed| StatusPage::new(account.path.clone(), allowed));
        let terms = Terms {
            tokens: [Some(account.token), account.previous_token].into_iter().flatten().collect(),
            keys: [account.encoding_aes_key, account.previous_encoding_aes_key]
                .into_iter()
                .flatten()
                .collect(),
            app_id: account.app_id,
            original_id: account.original_id,
            mode: account.mode,
            path: account.path,
            deadline: server.deadline,
            clock_skew: server.clock_skew,
            rules,
            tables,
            delivery: needs_delivery.then_some(delivery),
            personal_data: log.personal_data,
        };
        Self { terms: Arc::new(terms), work, max_body: server.max_body, status }
    }

    /// The rule that answers a message now, for a person to see; nothing is written.
    #[must_use]
    pub fn met_rule(&self, message: &Message<'_>, now: SystemTime) -> Option<Arc<Rule>> {
        self.work.met_rule(&self.terms, message, now)
    }

    /// Finishes what was begun for the one request of this process and is of use to the next, if there is something.
    /// `let_go` is called before, for it may take long.
    pub fn finish(let_go: fn()) {
        if pool::is_busy() {
            let_go();
            pool::wait(LEFT);
        }
    }

    /// A call of WeChat.
    fn answer(&self, request: &Request, responder: Responder) {
        match answer(&self.terms, request, circumstances()) {
            Answered::Now(response) => responder.respond(response),
            Answered::Later(pending) => self.work.answer(*pending, responder),
        }
    }
}

impl Application for Account {
    fn max_body(&self, _: &Params) -> usize {
        self.max_body
    }

    fn handle(&self, request: &Request, responder: Responder) {
        match &self.status {
            // A process of its own for each request has nothing to tell.
            Some(page) if page.format_asked(request).is_some() => responder.respond(not_found()),
            _ => self.answer(request, responder),
        }
    }

    fn unanswered(&self) -> Response {
        Response::text(200, SUCCESS)
    }
}

/// What the handlers of the config that was read from `path` work with.
pub(crate) fn equipment(config: &Config, path: &Path) -> Equipment {
    Equipment {
        folder: folder_of(path).to_owned(),
        proxy: config.api.proxy.clone(),
        chats: config.chats.clone(),
    }
}

/// What a process for one request has begun may take so long: the time of an upload.
const LEFT: Duration = Duration::from_secs(10 * 60);

fn circumstances() -> Circumstances {
    Circumstances { now: SystemTime::now(), random: || random_block().ok() }
}

/// The largest body where there is no config to say, bytes.
const MAX_BODY_WITHOUT_CONFIG: usize = 256 << 10;

/// What is served where no config can be taken: the console's check fails, so that its operator sees that something
/// is wrong, and no user sees 「该公众号提供的服务出现故障」.
#[derive(Debug)]
pub struct NoAccount;

impl Application for NoAccount {
    fn max_body(&self, _: &Params) -> usize {
        MAX_BODY_WITHOUT_CONFIG
    }

    fn handle(&self, request: &Request, responder: Responder) {
        let response = match request.method() {
            Some(b"POST") => Response::text(200, SUCCESS),
            Some(b"GET") => Response::text(
                503,
                "wxcgi has no config that it can use; its log and `wxcgi check` say why.\n",
            )
            .with_header("Retry-After", "60"),
            _ => Response::text(405, "method not allowed\n").with_header("Allow", "GET, POST"),
        };
        let (from, status) = (address_shown(request.remote_addr()), response.status);
        log::error!(target: "account", kind = "no config"; "no config for a call from {from}; answered {status} unread");
        responder.respond(response);
    }

    fn unanswered(&self) -> Response {
        Response::text(200, SUCCESS)
    }
}

/// The account of a config that was read for service; what is wrong with the config goes to the log.
///
/// Warnings do so if the file is new: a CGI process would repeat them with every message.
#[must_use]
pub fn open(loaded: Result<Loaded, Unusable>, surroundings: Surroundings) -> Option<Account> {
    match loaded {
        Ok(loaded) => {
            if loaded.is_new {
                log_warnings(&loaded.warnings);
            }
            if !loaded.faults.is_empty() {
                log_faults(&loaded.faults, LAST_GOOD);
            }
            Some(Account::new(loaded.config, surroundings))
        }
        Err(Unusable(faults)) => {
            log_faults(&faults, NO_CONFIG);
            None
        }
    }
}

const LAST_GOOD: &str = "the last good one goes on";
const NO_CONFIG: &str = "GET is answered 503, POST `success`";

/// Faults of one config that the log shows; `check` shows all.
const FAULTS_IN_LOG: usize = 10;

fn log_faults(faults: &[PlacedFault], instead: &str) {
    let (faults, warnings): (Vec<_>, Vec<_>) =
        faults.iter().partition(|fault| fault.severity == Severity::Fault);
    for warning in warnings {
        log::warn!(target: "config", "{}", warning.one_line());
    }
    for fault in faults.iter().take(FAULTS_IN_LOG) {
        log::error!(target: "config", "{}", fault.one_line());
    }
    let more = match faults.len().saturating_sub(FAULTS_IN_LOG) {
        0 => String::new(),
        more => format!("{more} more faults, see `wxcgi check`; "),
    };
    log::error!(target: "config", "{more}the config is not taken; {instead}");
}

fn log_warnings(warnings: &[PlacedFault]) {
    for warning in warnings {
        log::warn!(target: "config", "{}", warning.one_line());
    }
}

/// How often a responder looks whether a config has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The accounts of one FastCGI responder, each with its own config file. A location of the web server chooses among
/// them with the parameter `WXCGI_CONFIG`.
#[derive(Debug)]
pub struct Accounts {
    /// The first serves requests that name none.
    entries: RefCell<Vec<Entry>>,
    /// Files in this folder may be named as well.
    folder: Option<PathBuf>,
    /// Where last good copies are kept.
    state: Option<PathBuf>,
}

impl Accounts {
    /// Accounts that come from these origins, which were read once already, so that the log could start as their
    /// `[log]` says. Configs in `folder` are taken when they are first named.
    #[must_use]
    pub fn new(
        entries: Vec<(Origin, OpenedConfig)>,
        folder: Option<PathBuf>,
        state: Option<PathBuf>,
    ) -> Self {
        let entries = entries
            .into_iter()
            .map(|(origin, opened)| Entry::new(origin, opened, state.as_deref()))
            .collect();
        Self { entries: RefCell::new(entries), folder, state }
    }

    /// The account that a request is for.
    fn of(&self, params: &Params) -> Option<Rc<Account>> {
        let mut entries = self.entries.borrow_mut();
        let Some(named) = params.get(CONFIG_VARIABLE) else {
            return entries.first_mut()?.current(self.state.as_deref());
        };
        let named = Path::new(OsStr::from_bytes(named));
        if let Some(entry) = entries.iter_mut().find(|entry| entry.path.as_deref() == Some(named)) {
            return entry.current(self.state.as_deref());
        }
        if !self.may_take(named) {
            log::error!(
                target: "account", kind = "config not listed";
                "the web server names the config {}, which is neither on the command line nor in --config-dir",
                shown(&named.to_string_lossy())
            );
            return None;
        }
        let origin = Origin::Named(named.to_owned());
        let opened = open_for_service(&origin, self.state.as_deref(), Service::ManyRequests);
        let entry = Entry::new(origin, opened, self.state.as_deref());
        let account = entry.account.clone();
        entries.push(entry);
        account
    }

    /// What the status page says about the config of an account.
    fn about(&self, account: &Rc<Account>) -> About {
        let entries = self.entries.borrow();
        let is_its = |entry: &Entry| entry.account.as_ref().is_some_and(|it| Rc::ptr_eq(it, account));
        let place = entries.iter().position(is_its);
        let entry = place.and_then(|place| entries.get(place));
        // The log tells of all accounts: it is for whoever runs the responder, as the first account's `[log]` says.
        let is_first = place == Some(0);
        About {
            generation: entry.map_or(0, |entry| entry.generation),
            taken: entry.map_or(SystemTime::UNIX_EPOCH, |entry| entry.taken),
            faults: entry.map_or_else(Vec::new, Entry::fault_lines),
            log: is_first.then(|| AboutLog { last_error: logging::last_error() }),
        }
    }

    /// Whether a config lies in the folder, `..` and links counted out, and exists.
    fn may_take(&self, named: &Path) -> bool {
        let within = |folder: &PathBuf| {
            let (folder, named) = (std::fs::canonicalize(folder).ok()?, std::fs::canonicalize(named).ok()?);
            Some(named.starts_with(folder) && named.extension().is_some_and(|ending| ending == "toml"))
        };
        self.folder.as_ref().and_then(within).unwrap_or(false)
    }
}

/// What [`open_for_service`] gives: the path that was found, and what was read there.
pub type OpenedConfig = (Option<PathBuf>, Result<Loaded, Unusable>);

/// One account, and the files that it comes from.
#[derive(Debug)]
struct Entry {
    origin: Origin,
    path: Option<PathBuf>,
    /// The config and the files that it names, as they were when they were read.
    seen: Vec<(PathBuf, Option<Stamp>)>,
    account: Option<Rc<Account>>,
    /// How many configs were taken, and when the last was.
    generation: u64,
    taken: SystemTime,
    /// The last attempt failed, for these faults: the next look tries again, because the cure may lie elsewhere than
    /// in the file.
    faults: Vec<PlacedFault>,
    looked: Instant,
}

impl Entry {
    fn new(origin: Origin, opened: OpenedConfig, state: Option<&Path>) -> Self {
        let mut entry = Self {
            origin,
            path: None,
            seen: Vec::new(),
            account: None,
            generation: 0,
            taken: SystemTime::now(),
            faults: Vec::new(),
            looked: Instant::now(),
        };
        entry.take(opened, state);
        entry
    }

    /// The account as its files say now, or as they said last.
    fn current(&mut self, state: Option<&Path>) -> Option<Rc<Account>> {
        if self.looked.elapsed() >= LOOK_EVERY {
            self.looked = Instant::now();
            let changed = || self.seen.iter().any(|(path, stamp)| Stamp::of(path) != *stamp);
            if !self.faults.is_empty() || changed() {
                self.reload(state);
            }
        }
        self.account.clone()
    }

    /// Serves a config from now on.
    fn serve(&mut self, config: Config, state: Option<&Path>) {
        let surroundings = Surroundings {
            config: self.path.clone().unwrap_or_default(),
            state: state.map(Path::to_owned),
            service: Service::ManyRequests,
        };
        self.account = Some(Rc::new(Account::new(config, surroundings)));
        self.generation += 1;
        self.taken = SystemTime::now();
    }

    /// The faults of the file as it lies there now, warnings left out.
    fn fault_lines(&self) -> Vec<String> {
        let faults = self.faults.iter().filter(|fault| fault.severity == Severity::Fault);
        faults.map(PlacedFault::one_line).collect()
    }

    fn reload(&mut self, state: Option<&Path>) {
        self.take(open_for_service(&self.origin, state, Service::ManyRequests), state);
    }

    /// Takes a config that checks; the account stays as it is otherwise.
    fn take(&mut self, (path, loaded): OpenedConfig, state: Option<&Path>) {
        let mut seen: Vec<_> = Vec::new();
        self.path = path;
        let faults = match loaded {
            Ok(Loaded { config, stamp, warnings, faults, .. }) => {
                // As it was read: it may have changed since.
                seen.extend(self.path.clone().map(|path| (path, stamp)));
                seen.extend(config.further_files());
                if faults.is_empty() {
                    log_warnings(&warnings);
                    log::info!(target: "config", "took {}", self.path.as_deref().unwrap_or(Path::new("")).display());
                    self.serve(config, state);
                } else if self.account.is_none() {
                    self.serve(config, state);
                }
                faults
            }
            Err(Unusable(faults)) => faults,
        };
        self.seen = seen;
        if !faults.is_empty() && faults != self.faults {
            log_faults(&faults, if self.account.is_some() { LAST_GOOD } else { NO_CONFIG });
        }
        self.faults = faults;
    }
}

impl Application for Accounts {
    fn max_body(&self, params: &Params) -> usize {
        self.of(params).map_or(MAX_BODY_WITHOUT_CONFIG, |account| account.max_body)
    }

    fn handle(&self, request: &Request, responder: Responder) {
        let Some(account) = self.of(&request.params) else { return NoAccount.handle(request, responder) };
        let asked = account.status.as_ref().and_then(|page| Some((page, page.format_asked(request)?)));
        match asked {
            Some((page, format)) => page.respond(request, format, self.about(&account), responder),
            None => account.answer(request, responder),
        }
    }

    fn unanswered(&self) -> Response {
        Response::text(200, SUCCESS)
    }

    fn reload(&self) {
        for entry in self.entries.borrow_mut().iter_mut() {
            entry.reload(self.state.as_deref());
        }
    }
}

#[cfg(test)]
mod tests;
