//! The way to Redis: connections, their time limits, and what is done when it does not answer.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use redis::io::tcp::TcpSettings;
use redis::{
    Client, Connection, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisError, RedisResult,
    ServerErrorKind, TlsCertificates,
};

use crate::secret::Secret;
use crate::store::StoreError;
use crate::store::gate::Gate;

/// Connections that are open at once, and kept open for the next calls.
const MAX_OPEN: usize = 8;

/// After it could not be reached, Redis is left alone for so long: who calls meanwhile fails at once, so that not
/// everybody waits for a server that is gone.
const REST: Duration = Duration::from_millis(500);

/// Where a Redis is, checked as far as that can be without asking it.
#[derive(Clone)]
pub struct Address {
    client: Arc<Client>,
    /// The URL without its secrets.
    shown: String,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Address {
    /// Reads a URL: `redis://`, `rediss://` (TLS) or `unix://`. `ca` is a PEM text with the certificates that a server is
    /// believed by, instead of those of the public authorities.
    ///
    /// # Errors
    ///
    /// What is wrong with it, without what it says.
    pub fn parse(url: &Secret, ca: Option<&[u8]>) -> Result<Self, String> {
        let url = url.expose();
        if url.contains('#') {
            return Err("it must have no `#…`; a `#` in a password is written `%23`".into());
        }
        let info = url.into_connection_info().map_err(|error| in_words(&error))?;
        let redis = info.redis_settings().clone().set_skip_set_lib_name();
        let info = info.set_redis_settings(redis).set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let shown = shown(info.addr(), info.redis_settings().db());
        let client = match (info.addr(), ca) {
            (ConnectionAddr::TcpTls { .. }, Some(ca)) => {
                let trust = TlsCertificates { client_tls: None, root_cert: Some(ca.to_vec()) };
                Client::build_with_tls(info, trust)
            }
            _ => Client::open(info),
        };
        Ok(Self { client: Arc::new(client.map_err(|error| in_words(&error))?), shown })
    }

    /// Whether this is how URLs of a Redis begin.
    #[must_use]
    pub fn is_one(url: &str) -> bool {
        let scheme = url.split("://").next().unwrap_or_default();
        ["redis", "rediss", "redis+unix", "unix", "valkey", "valkeys", "valkey+unix"].contains(&scheme)
    }
}

fn shown(address: &ConnectionAddr, db: i64) -> String {
    let host_shown = |host: &str| if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    match address {
        ConnectionAddr::Tcp(host, port) => format!("redis://{}:{port}/{db}", host_shown(host)),
        ConnectionAddr::TcpTls { host, port, .. } => format!("rediss://{}:{port}/{db}", host_shown(host)),
        ConnectionAddr::Unix(path) => format!("unix://{}?db={db}", Path::new(path).display()),
        _ => "redis".into(),
    }
}

/// Whether a step may be done twice, if it is not known whether it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Twice is the same as once.
    Safe,
    /// Twice would be wrong.
    Unsafe,
}

/// Connections to one Redis, for all threads.
pub(super) struct Link {
    address: Address,
    /// For connecting, and then for each wait.
    timeout: Duration,
    idle: Mutex<Vec<Connection>>,
    gate: Gate,
    trouble: Mutex<Option<Trouble>>,
    is_examined: AtomicBool,
}

/// Since Redis could not be reached.
struct Trouble {
    until: Instant,
    cause: String,
}

impl Link {
    pub(super) fn new(address: Address, timeout: Duration) -> Self {
        Self {
            address,
            timeout,
            idle: Mutex::default(),
            gate: Gate::new(MAX_OPEN),
            trouble: Mutex::default(),
            is_examined: AtomicBool::new(false),
        }
    }

    pub(super) fn error(&self, cause: String) -> StoreError {
        StoreError { place: format!("`{}`", self.address.shown), cause }
    }

    /// Asks, on a connection that is there or a new one.
    pub(super) fn ask<T>(
        &self,
        repeat: Repeat,
        ask: impl Fn(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, StoreError> {
        let inside = self.gate.enter();
        let _inside = inside.ok_or_else(|| self.error("is asked by too many threads at once".to_owned()))?;
        self.may_try()?;
        let asked = self.ask_on_some(repeat, ask);
        self.note(asked.as_ref().err());
        asked.map_err(|error| self.error(self.cause(&error)))
    }

    fn ask_on_some<T>(
        &self,
        repeat: Repeat,
        ask: impl Fn(&mut Connection) -> RedisResult<T>,
    ) -> RedisResult<T> {
        let mut connection = self.connection(repeat)?;
        let asked = match ask(&mut connection) {
            Err(error) if repeat == Repeat::Safe && is_lost(&error) => {
                // Redis was started anew: none of the others is better.
                self.idle().clear();
                connection = self.connect()?;
                ask(&mut connection)
            }
            asked => asked,
        };
        // What is late for one question must not be taken for the answer to the next.
        if asked.as_ref().err().is_none_or(|error| !is_of_the_way(error)) {
            self.examine(&mut connection);
            self.keep(connection);
        }
        asked
    }

    /// A connection; one that has been idle is tried first where the step itself cannot be.
    fn connection(&self, repeat: Repeat) -> RedisResult<Connection> {
        let kept = self.idle().pop();
        match kept {
            None => self.connect(),
            Some(connection) if repeat == Repeat::Safe => Ok(connection),
            Some(mut connection) => match redis::cmd("PING").exec(&mut connection) {
                Err(error) if is_lost(&error) => {
                    self.idle().clear();
                    self.connect()
                }
                pinged => pinged.map(|()| connection),
            },
        }
    }

    /// A new connection. It is made by a thread of its own, because looking a name up, and greeting by TLS, know no limit
    /// of time.
    fn connect(&self) -> RedisResult<Connection> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let (client, timeout) = (self.address.client.clone(), self.timeout);
        let connect = move || {
            let connected = client.get_connection_with_timeout(timeout).and_then(|connection| {
                connection.set_read_timeout(Some(timeout))?;
                connection.set_write_timeout(Some(timeout))?;
                Ok(connection)
            });
            // Nobody waits any more if it took too long.
            let _ = sender.send(connected);
        };
        thread::Builder::new().name("redis".into()).spawn(connect)?;
        receiver.recv_timeout(timeout).unwrap_or_else(|_| {
            Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "no connection in time").into())
        })
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle();
        if idle.len() < MAX_OPEN {
            idle.push(connection);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether Redis is worth asking now. After a rest one caller is let through, to see.
    fn may_try(&self) -> Result<(), StoreError> {
        let now = Instant::now();
        match &mut *self.trouble() {
            Some(trouble) if now < trouble.until => {
                Err(self.error(format!("{} (not tried again yet)", trouble.cause)))
            }
            Some(trouble) => {
                trouble.until = now + self.timeout + REST;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn note(&self, error: Option<&RedisError>) {
        let trouble = error
            .filter(|error| is_of_the_way(error))
            .map(|error| Trouble { until: Instant::now() + REST, cause: self.cause(error) });
        if trouble.is_some() {
            self.idle().clear();
        }
        *self.trouble() = trouble;
    }

    fn trouble(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks once whether Redis may throw away what we keep there. A Redis that does not tell (a managed one) is believed
    /// to be set up well.
    fn examine(&self, connection: &mut Connection) {
        if self.is_examined.swap(true, Ordering::Relaxed) {
            return;
        }
        let settings: RedisResult<std::collections::HashMap<String, String>> =
            redis::cmd("CONFIG").arg("GET").arg("maxmemory*").query(connection);
        match settings {
            Ok(settings) => {
                let setting = |name| settings.get(name).map_or("", String::as_str);
                let policy = setting("maxmemory-policy");
                if !["0", ""].contains(&setting("maxmemory")) && !["noeviction", ""].contains(&policy) {
                    log::warn!(
                        target: "store",
                        "`{}` may throw away what is kept there when its memory is full (`maxmemory-policy {policy}`): \
                         messages would be answered twice; set `maxmemory-policy noeviction`, or give it a Redis of its own",
                        self.address.shown
                    );
                }
            }
            Err(error) => {
                log::debug!(target: "store", "`{}` does not tell its `maxmemory-policy`: {error}", self.address.shown);
            }
        }
    }

    fn cause(&self, error: &RedisError) -> String {
        if error.is_timeout() {
            return format!(
                "did not answer within {:?}; is it stopped, overloaded or behind a firewall?",
                self.timeout
            );
        }
        in_words(error)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, timeout, .. } = self;
        f.debug_struct("Link").field("address", address).field("timeout", timeout).finish_non_exhaustive()
    }
}

/// Whether it is the connection that failed: then nothing more can be asked on it.
fn is_of_the_way(error: &RedisError) -> bool {
    error.is_io_error() || error.is_unrecoverable_error()
}

/// Whether the other side closed the connection, which a new one may mend.
fn is_lost(error: &RedisError) -> bool {
    is_of_the_way(error) && !error.is_timeout()
}

/// What happened, and the cure.
fn in_words(error: &RedisError) -> String {
    let cure = match (error.kind(), error.code()) {
        (_, Some("OOM")) => "is full; raise its `maxmemory`",
        (_, Some("WRONGTYPE")) => {
            "has keys under our names that we did not write; give this account another `prefix` in `[store]`"
        }
        (_, Some("MISCONF")) => "takes nothing because it cannot write to its disk; see its log",
        (_, Some("NOAUTH" | "WRONGPASS")) | (ErrorKind::AuthenticationFailed, _) => {
            "refuses us; write its password into the URL: redis://:PASSWORD@HOST"
        }
        (ErrorKind::Server(ServerErrorKind::BusyLoading), _) => {
            "is starting and still reading its data; it will be there soon"
        }
        (ErrorKind::Server(ServerErrorKind::ReadOnly), _) => {
            "is a replica, which takes no changes; name the primary in the URL"
        }
        (ErrorKind::Server(ServerErrorKind::NoPerm), _) => {
            "does not allow us what we need; see the README for the rights of the user"
        }
        (ErrorKind::InvalidClientConfig, _) => return format!("cannot be used: {error}"),
        _ if error.is_connection_refusal() => "is not there; is it running, and is its address right?",
        (ErrorKind::Io, _) => "cannot be reached",
        _ => "failed",
    };
    format!("{cure} ({error})")
}
