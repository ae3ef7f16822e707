//! Joins the parts into one Official Account, from its config, and serves it; takes a changed config.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use crate::callback::{Circumstances, SUCCESS, Terms, answer};
use crate::config::Config;
use crate::config::fault::PlacedFault;
use crate::config::load::{CONFIG_VARIABLE, Loaded, Stamp, Unusable, load_for_service};
use crate::gateway::{Application, Responder};
use crate::http::{Params, Request, Response};

/// One Official Account, ready to answer.
#[derive(Debug)]
pub struct Account {
    terms: Terms,
    max_body: usize,
}

impl Account {
    /// The account that `config` describes.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let Config { account, server, log, rules } = config;
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
            clock_skew: server.clock_skew,
            rules,
            personal_data: log.personal_data,
        };
        Self { terms, max_body: server.max_body }
    }
}

impl Application for Account {
    fn max_body(&self, _: &Params) -> usize {
        self.max_body
    }

    fn handle(&self, request: &Request, responder: Responder) {
        responder.respond(answer(&self.terms, request, circumstances()));
    }

    fn unanswered(&self) -> Response {
        Response::text(200, SUCCESS)
    }
}

fn circumstances() -> Circumstances {
    Circumstances { now: SystemTime::now(), random }
}

fn random() -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes)
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
        responder.respond(match request.method() {
            Some(b"POST") => Response::text(200, SUCCESS),
            Some(b"GET" | b"HEAD") => Response::text(
                503,
                "wxcgi has no config that it can use; its log and `wxcgi check` say why.\n",
            )
            .with_header("Retry-After", "60"),
            _ => Response::text(405, "method not allowed\n").with_header("Allow", "GET, POST"),
        });
    }

    fn unanswered(&self) -> Response {
        Response::text(200, SUCCESS)
    }
}

/// Writes to the log what about a config should be better.
pub fn log_warnings(warnings: &[PlacedFault]) {
    for warning in warnings {
        log::warn!(target: "config", "{}", warning.one_line());
    }
}

/// Writes to the log what is wrong with a config that was to be taken.
pub fn log_unusable(faults: &[PlacedFault], instead: &str) {
    for fault in faults.iter().take(3) {
        log::error!(target: "config", "{}", fault.one_line());
    }
    if faults.len() > 3 {
        log::error!(target: "config", "and {} more; `wxcgi check` shows all", faults.len() - 3);
    }
    log::error!(target: "config", "the config is not taken; {instead}");
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

#[derive(Debug)]
struct Entry {
    path: PathBuf,
    stamp: Option<Stamp>,
    account: Option<Rc<Account>>,
    looked: Cell<Instant>,
}

impl Accounts {
    /// The accounts of these files. Those in `folder` are taken when they are first named.
    #[must_use]
    pub fn new(
        entries: Vec<(PathBuf, Result<Loaded, Unusable>)>,
        folder: Option<PathBuf>,
        state: Option<PathBuf>,
    ) -> Self {
        let entries = entries.into_iter().map(|(path, loaded)| Entry::new(path, loaded)).collect();
        Self { entries: RefCell::new(entries), folder, state }
    }

    /// The account that a request is for.
    fn of(&self, params: &Params) -> Option<Rc<Account>> {
        let Some(named) = params.get_str(CONFIG_VARIABLE).map(Path::new) else {
            return self.entries.borrow_mut().first_mut()?.current(self.state.as_deref());
        };
        if let Some(entry) = self.entries.borrow_mut().iter_mut().find(|entry| entry.path == named) {
            return entry.current(self.state.as_deref());
        }
        if !self.may_take(named) {
            log::error!(
                target: "account",
                "the web server names the config `{}`, which is neither on the command line nor in --config-dir",
                named.display()
            );
            return None;
        }
        let entry = Entry::new(named.to_owned(), load_for_service(named, self.state.as_deref()));
        let account = entry.account.clone();
        self.entries.borrow_mut().push(entry);
        account
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

impl Entry {
    fn new(path: PathBuf, loaded: Result<Loaded, Unusable>) -> Self {
        let stamp = Stamp::of(&path);
        let mut entry = Self { path, stamp, account: None, looked: Cell::new(Instant::now()) };
        entry.take(loaded);
        entry
    }

    /// The account as its file says now, or as it said last.
    fn current(&mut self, state: Option<&Path>) -> Option<Rc<Account>> {
        if self.looked.get().elapsed() >= LOOK_EVERY {
            self.looked.set(Instant::now());
            if Stamp::of(&self.path) != self.stamp {
                self.reload(state);
            }
        }
        self.account.clone()
    }

    fn reload(&mut self, state: Option<&Path>) {
        self.stamp = Stamp::of(&self.path);
        let loaded = load_for_service(&self.path, state);
        self.take(loaded);
    }

    /// Takes a config that checks; the account stays as it is otherwise.
    fn take(&mut self, loaded: Result<Loaded, Unusable>) {
        match loaded {
            Ok(Loaded { config, warnings, faults, .. }) if faults.is_empty() => {
                log_warnings(&warnings);
                log::info!(target: "config", "took {}", self.path.display());
                self.account = Some(Rc::new(Account::new(config)));
            }
            Ok(Loaded { config, faults, .. }) => {
                log_unusable(&faults, "the last good one goes on");
                self.account.get_or_insert_with(|| Rc::new(Account::new(config)));
            }
            Err(Unusable(faults)) if self.account.is_some() => {
                log_unusable(&faults, "the last good one goes on");
            }
            Err(Unusable(faults)) => log_unusable(&faults, "GET is answered 503, POST `success`"),
        }
    }
}

impl Application for Accounts {
    fn max_body(&self, params: &Params) -> usize {
        self.of(params).map_or(MAX_BODY_WITHOUT_CONFIG, |account| account.max_body)
    }

    fn handle(&self, request: &Request, responder: Responder) {
        match self.of(&request.params) {
            Some(account) => account.handle(request, responder),
            None => NoAccount.handle(request, responder),
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
