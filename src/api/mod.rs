//! WeChat's API, as one account calls it.
//!
//! [`Api`] puts the account's access_token in, which all processes share ([`access_token`]); [`client`] carries one call
//! there and its answer back. [`table`] is a list of all endpoints, which a call can be held against ([`check`]) before it
//! is sent.

pub mod access_token;
mod call;
pub mod check;
pub mod client;
pub mod endpoint;
mod error;
pub mod example;
pub mod format;
mod media;
mod shared;
pub mod table;
mod ticket;
pub mod who;

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) use call::SECRET_PARAMETERS;
pub use call::{Auth, Body, Call, Method, Multipart};
pub use client::{Client, Download};
pub use error::{ApiError, Reach, Refusal, TransportError};
pub use shared::Issued;
pub use ticket::{GET_TICKET, Ticket};

use crate::secret::Secret;
use crate::store::Store;
use crate::wechat::errcode::Class;
use access_token::Force;
use client::Proof;
use shared::{LEASE_SLACK, Shared, Terms};

/// `[api]`: how WeChat's API is reached.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Where, without a slash at its end. Default `https://api.weixin.qq.com`.
    pub base_url: String,
    /// An HTTP proxy on the way there, `http://[user:password@]host:port`. Default none.
    pub proxy: Option<Secret>,
    /// An answer is there by then. Default 10 s; an access_token takes a third of `retry_for` at most.
    pub timeout: Duration,
    /// The connection is there by then. Default 5 s.
    pub connect_timeout: Duration,
    /// A file is up or down by then. Default 5 minutes.
    pub transfer_timeout: Duration,
    /// So long a call may take with all its attempts. Default 30 s.
    pub retry_for: Duration,
    /// How access_tokens are fetched. Default stable.
    pub token: TokenSource,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            base_url: "https://api.weixin.qq.com".to_owned(),
            proxy: None,
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            transfer_timeout: Duration::from_secs(300),
            retry_for: Duration::from_secs(30),
            token: TokenSource::Stable,
        }
    }
}

/// Which of WeChat's two calls gives the access_token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenSource {
    /// `/cgi-bin/stable_token`: all who ask get the same one.
    Stable,
    /// `/cgi-bin/token`: who asks makes the one before invalid.
    Classic,
}

/// Who the account is to WeChat's API.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// `AppID`
    pub app_id: Option<String>,
    /// `AppSecret`
    pub app_secret: Option<Secret>,
}

impl Credentials {
    /// Whether all is there that an access_token takes.
    fn check(&self) -> Result<(), ApiError> {
        self.app_id().and(self.app_secret()).map(drop)
    }

    fn app_id(&self) -> Result<&str, ApiError> {
        self.app_id.as_deref().ok_or(ApiError::Unconfigured {
            key: "account.app_id",
            cure: "it is the AppID (开发者ID) of WeChat's console, wx…",
        })
    }

    fn app_secret(&self) -> Result<&Secret, ApiError> {
        self.app_secret.as_ref().ok_or(ApiError::Unconfigured {
            key: "account.app_secret",
            cure: "it is the AppSecret (开发者密码) of WeChat's console, best as { file = \"app-secret\" }",
        })
    }
}

/// An access_token or a ticket is fetched so long before the one before ends.
const MARGIN: Duration = Duration::from_secs(300);

/// How long one process fetches for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fetching {
    limit: Duration,
    lease: Duration,
}

impl Fetching {
    /// By `limit`, but never longer than `most`: who waits for a process that was killed is to have time left for a
    /// fetch of his own.
    fn of(limit: Duration, most: Duration) -> Self {
        let limit = limit.min(most);
        Self { limit, lease: limit.saturating_add(LEASE_SLACK).min(most.saturating_mul(3) / 2) }
    }
}

/// The point in time after this wait; one that never comes if there is none.
fn after(wait: Duration) -> Instant {
    const AGES: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    Instant::now() + wait.min(AGES)
}

/// WeChat's API with the account's access_token put in. Nothing happens before the first call.
#[derive(Debug)]
pub struct Api {
    client: Client,
    credentials: Credentials,
    store: Arc<dyn Store>,
    access_token: Shared,
    jsapi_ticket: Shared,
    card_ticket: Shared,
}

impl Api {
    /// The API as one account calls it, sharing what WeChat hands out with all who use the same store.
    pub fn new(settings: ApiSettings, credentials: Credentials, store: &Arc<dyn Store>) -> Self {
        let shared = |what: &'static str, Fetching { limit, lease }| {
            let terms = Terms { what, margin: MARGIN, fetch_limit: limit };
            Shared::new(what.to_owned(), Arc::clone(store), terms).leased_for(lease)
        };
        let ApiSettings { timeout, retry_for, .. } = settings;
        let token = Fetching::of(timeout, retry_for / 3);
        // A ticket may have to wait for an access_token.
        let ticket = Fetching::of(timeout.saturating_mul(2), retry_for / 2);
        Self {
            client: Client::new(settings).keeping(credentials.app_secret.clone()),
            credentials,
            store: Arc::clone(store),
            access_token: shared("access_token", token),
            jsapi_ticket: shared("jsapi_ticket", ticket),
            card_ticket: shared("wx_card_ticket", ticket),
        }
    }

    /// Makes a call, with as much time as the settings give. See [`Api::call_within`].
    ///
    /// # Errors
    ///
    /// If it did not work, whatever the reason; WeChat's own refusals are [`ApiError::Refused`].
    pub fn call(&self, call: &Call<'_>) -> Result<Value, ApiError> {
        self.call_within(call, self.limit_of(call))
    }

    /// Makes a call with all its attempts within the time `limit`, and gives WeChat's answer. An access_token that WeChat
    /// does not take any more is replaced once, and the call made once more; what WeChat is too busy for, or what broke
    /// on the way, is tried again for a while if that can do no harm.
    ///
    /// # Errors
    ///
    /// As [`Api::call`].
    pub fn call_within(&self, call: &Call<'_>, limit: Duration) -> Result<Value, ApiError> {
        let until = after(limit);
        self.with_proof(call, until, |proof| self.client.call(call, proof, until))
    }

    /// Makes a call whose answer is a file, and writes it into `sink`; more than `max` bytes are an error.
    ///
    /// # Errors
    ///
    /// As [`Api::call`]. Part of the file may have been written then.
    pub fn download(&self, call: &Call<'_>, sink: &mut dyn Write, max: u64) -> Result<Download, ApiError> {
        let until = after(self.client.settings().transfer_timeout);
        self.with_proof(call, until, |proof| self.client.download(call, proof, (&mut *sink, max), until))
    }

    /// The account's access_token, from what all processes share; fetched if there is no good one.
    ///
    /// # Errors
    ///
    /// If there is none and none can be fetched.
    pub fn access_token(&self) -> Result<Issued, ApiError> {
        self.access_token_until(after(self.client.settings().retry_for))
    }

    /// A new access_token for all processes.
    ///
    /// # Errors
    ///
    /// If none can be fetched.
    pub fn refresh_access_token(&self, force: Force) -> Result<Issued, ApiError> {
        self.credentials.check()?;
        let fetch = |until| access_token::fetch(&self.client, &self.credentials, force, until);
        self.access_token.refresh(after(self.client.settings().retry_for), &fetch)
    }

    /// A ticket, shared as the access_token is.
    ///
    /// # Errors
    ///
    /// If there is none and none can be fetched.
    pub fn ticket(&self, ticket: Ticket) -> Result<Issued, ApiError> {
        self.credentials.check()?;
        let shared = match ticket {
            Ticket::Jsapi => &self.jsapi_ticket,
            Ticket::WxCard => &self.card_ticket,
        };
        let fetch = |until: Instant| {
            let limit = until.saturating_duration_since(Instant::now());
            let answer = self.call_within(&ticket.call(), limit)?;
            access_token::issued(&self.client, &answer, "ticket")
        };
        shared.get(after(self.client.settings().retry_for), &fetch)
    }

    fn access_token_until(&self, until: Instant) -> Result<Issued, ApiError> {
        self.credentials.check()?;
        let fetch = |until| access_token::fetch(&self.client, &self.credentials, Force::No, until);
        self.access_token.get(until, &fetch)
    }

    /// Makes a call with what proves who we are.
    fn with_proof<T>(
        &self,
        call: &Call<'_>,
        until: Instant,
        mut send: impl FnMut(Proof<'_>) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        match call.auth {
            Auth::None => send(&[]),
            Auth::App { id, secret: None } => send(&[(id, self.credentials.app_id()?)]),
            Auth::App { id, secret: Some(secret) } => {
                let Credentials { app_id, app_secret } = &self.credentials;
                self.credentials.check()?;
                let exposed = app_secret.as_ref().map_or("", Secret::expose);
                send(&[(id, app_id.as_deref().unwrap_or_default()), (secret, exposed)])
            }
            Auth::AccessToken => self.with_access_token(until, |value| send(&[("access_token", value)])),
        }
    }

    fn with_access_token<T>(
        &self,
        until: Instant,
        mut send: impl FnMut(&str) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let first = self.access_token_until(until)?.value;
        let refused = match send(first.expose()) {
            Err(error) if error.class() == Some(Class::Token) => error,
            result => return result,
        };
        log::warn!(target: "access_token", "{refused}; fetching another one");
        self.access_token.refuse(&first)?;
        let second = self.access_token_until(until)?.value;
        let result = send(second.expose());
        if let Err(error) = &result
            && error.class() == Some(Class::Token)
        {
            log::error!(target: "access_token", "{error}");
            self.access_token.give_up(&second, error)?;
        }
        result
    }

    /// How long a call may take with all its attempts, as the settings say.
    #[must_use]
    pub fn limit_of(&self, call: &Call<'_>) -> Duration {
        let ApiSettings { transfer_timeout, retry_for, .. } = self.client.settings();
        if call.body.is_file() { *transfer_timeout } else { *retry_for }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_fetch_that_was_killed_has_time_for_his_own() {
        let of = |timeout: u64, retry_for: u64| {
            let [timeout, retry_for] = [timeout, retry_for].map(Duration::from_millis);
            let token = Fetching::of(timeout, retry_for / 3);
            let ticket = Fetching::of(timeout * 2, retry_for / 2);
            for (Fetching { limit, lease }, share) in [(token, 3), (ticket, 4)] {
                assert!(limit <= timeout * 2 && limit < lease, "{timeout:?} {retry_for:?}");
                assert!(lease + retry_for / share <= retry_for, "{timeout:?} {retry_for:?}");
            }
            (token.limit.as_millis(), token.lease.as_millis())
        };
        // The defaults; then a patience that is short beside the time limit, and one that is long.
        assert_eq!(of(10_000, 30_000), (10_000, 12_000));
        assert_eq!(of(3000, 4000), (1333, 1999));
        assert_eq!(of(60_000, 30_000), (10_000, 12_000));
        assert_eq!(of(1000, 30_000), (1000, 3000));
        of(100, 100);
        of(60_000, 100);
        of(100, 3_600_000);
    }
}
