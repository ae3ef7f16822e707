//! One call to WeChat's API and its answer, over HTTP: time limits, sizes, repetition.
//!
//! Nothing here knows access_tokens. What proves who we are comes as query parameters and is in no message, log line or
//! `Debug`. The proxy is the config's: the environment, which a CGI request can write to (httpoxy), is not looked at.
//! No redirect is followed. TLS and the agent are set up with the first call.

use std::io::{self, Cursor, Read, Write};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, BodyReader, Proxy, RequestBuilder, SendBody, Timeout};

use super::error::{ApiError, Reach, Refusal, TransportError};
use super::format::Format;
use super::{ApiSettings, Body, Call, Method, SECRET_PARAMETERS};
use crate::chance::random;
use crate::logging::shown;
use crate::secret::{Secret, hide};
use crate::wechat::errcode::{Class, Verdict, rid, verdict};

/// An answer in JSON has no more, bytes. The largest are twenty drafts and ten thousand openids.
const MAX_ANSWER: u64 = 16 << 20;
/// So many first bytes of a download tell whether it is a file.
const HEAD: usize = 64;
/// A call is sent so often at most.
const MAX_ATTEMPTS: u32 = 5;
/// The wait after the first attempt; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Query parameters that prove who we are: names and values.
pub(super) type Proof<'a> = &'a [(&'a str, &'a str)];

/// WeChat's API as a server on the net.
#[derive(Debug)]
pub struct Client {
    settings: ApiSettings,
    app_secret: Option<Secret>,
    agent: OnceLock<Agent>,
}

/// What a download came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Download {
    /// A file, written.
    File {
        /// As the answer says.
        content_type: String,
        /// As the answer names it, without folders.
        filename: Option<String>,
        /// Bytes.
        size: u64,
    },
    /// JSON instead of a file: where a video can be fetched from.
    Json(Value),
}

impl Client {
    /// A client; nothing happens before its first call.
    #[must_use]
    pub fn new(settings: ApiSettings) -> Self {
        Self { settings, app_secret: None, agent: OnceLock::new() }
    }

    /// The same with this AppSecret kept out of all messages, as what is in a query is anyway.
    pub(super) fn keeping(self, app_secret: Option<Secret>) -> Self {
        Self { app_secret, ..self }
    }

    pub(super) fn settings(&self) -> &ApiSettings {
        &self.settings
    }

    /// The server's name, for messages.
    pub(super) fn host(&self) -> &str {
        host_of(&self.settings.base_url)
    }

    /// Calls until there is an answer, as long as repeating may help and harms nobody, and gives the JSON.
    pub(super) fn call(&self, call: &Call<'_>, proof: Proof<'_>, until: Instant) -> Result<Value, ApiError> {
        let limit = if call.body.is_file() { self.settings.transfer_timeout } else { self.settings.timeout };
        repeat(call, until, |is_again| {
            let answer = self.send(call, proof, earlier(limit, until));
            let json = answer.and_then(|answer| self.json(call, answer));
            json.and_then(|json| self.judge(call, json, is_again))
                .map_err(|error| self.veil(call, proof, error))
        })
    }

    /// The same for an answer that is a file, of no more than `limit` bytes. Nothing is repeated once a byte of it was
    /// written.
    pub(super) fn download(
        &self,
        call: &Call<'_>,
        proof: Proof<'_>,
        (sink, limit): (&mut dyn Write, u64),
        until: Instant,
    ) -> Result<Download, ApiError> {
        let opened = repeat(call, until, |is_again| {
            let answer = self.send(call, proof, earlier(self.settings.transfer_timeout, until));
            let opened = answer.and_then(|answer| self.open(call, answer, is_again));
            opened.map_err(|error| self.veil(call, proof, error))
        })?;
        match opened {
            Opened::Json(json) => Ok(Download::Json(json)),
            Opened::File(answer) => {
                let (content_type, filename) = (answer.content_type.clone(), answer.filename.clone());
                let size = self.copy(call, answer, sink, limit)?;
                Ok(Download::File { content_type, filename, size })
            }
        }
    }

    /// Tells by its beginning whether a download is a file, JSON, or something that is none of WeChat's.
    fn open<R: Read>(
        &self,
        call: &Call<'_>,
        mut answer: Answer<R>,
        is_again: bool,
    ) -> Result<Opened<impl Read + use<R>>, ApiError> {
        let mut head = Vec::with_capacity(HEAD);
        let read = answer.reader.by_ref().take(HEAD as u64).read_to_end(&mut head);
        read.map_err(|error| self.cut(&error, answer.limit))?;
        let content_type = answer.content_type.to_ascii_lowercase();
        let text = begin_of_text(&head);
        let (is_json, is_page) = (text.starts_with(b"{") && !is_file(&content_type), text.starts_with(b"<"));
        let is_text = content_type.starts_with("text/") && Format::of(&head).is_none();
        let answer = answer.map(|reader| Cursor::new(head).chain(reader));
        match (is_json, is_page || is_text) {
            (true, _) => {
                let json = self.json(call, answer)?;
                self.judge(call, json, is_again).map(Opened::Json)
            }
            (false, true) => Err(self.unexpected(200, &answer.content_type, "no file").into()),
            (false, false) => Ok(Opened::File(answer)),
        }
    }

    /// Sends a call once; gives the answer with its body still to be read.
    fn send(
        &self,
        call: &Call<'_>,
        proof: Proof<'_>,
        limit: Duration,
    ) -> Result<Answer<BodyReader<'static>>, ApiError> {
        if is_whole(call.path) && !proof.is_empty() {
            // Another server is not to learn who we are.
            return Err(self.transport(Reach::Hopeless, "is the only one that gets an access_token").into());
        }
        let started = Instant::now();
        let sent = self.send_by(self.agent()?, call, proof, limit);
        let response = sent.map_err(|error| self.unanswered(call, error, limit))?;
        let (status, millis) = (response.status().as_u16(), started.elapsed().as_millis());
        log::debug!(target: "api", "{call:?}: {status} in {millis} ms");
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let content_type = header("content-type").unwrap_or_default().to_owned();
        if status != 200 {
            return Err(self.unexpected(status, &content_type, "an HTTP error").into());
        }
        let filename = header("content-disposition").and_then(filename);
        let reader = response.into_body().into_with_config().limit(u64::MAX).reader();
        Ok(Answer { content_type, filename, reader, limit })
    }

    fn send_by(
        &self,
        agent: &Agent,
        call: &Call<'_>,
        proof: Proof<'_>,
        limit: Duration,
    ) -> Result<Response<ureq::Body>, ureq::Error> {
        let url = self.url(call.path);
        let request = match call.method {
            Method::Get => return prepare(agent.get(url), call, proof, limit).call(),
            Method::Post => prepare(agent.post(url), call, proof, limit),
        };
        match call.body {
            Body::None => request.send_empty(),
            Body::Json(json) => request.content_type("application/json").send(json.to_string()),
            Body::Raw(text) => request.content_type("text/plain; charset=utf-8").send(text),
            Body::Multipart(file) => {
                let boundary = hex::encode(random::<16>()?);
                let mut body = file.body(&boundary).map_err(Unreadable::wrap)?;
                request
                    .content_type(body.content_type)
                    .header("content-length", body.length)
                    .send(SendBody::from_reader(&mut body.reader))
            }
        }
    }

    /// The JSON of an answer.
    fn json(&self, call: &Call<'_>, answer: Answer<impl Read>) -> Result<Value, ApiError> {
        let Answer { content_type, reader, limit, .. } = answer;
        let mut bytes = Vec::new();
        let read = reader.take(MAX_ANSWER + 1).read_to_end(&mut bytes);
        read.map_err(|error| self.cut(&error, limit))?;
        if bytes.len() as u64 > MAX_ANSWER {
            return Err(too_large(call, MAX_ANSWER));
        }
        // Users' texts come with control characters, which JSON wants escaped; between values a blank does as well.
        bytes.iter_mut().filter(|byte| **byte < b' ').for_each(|byte| *byte = b' ');
        let json = serde_json::from_str(&String::from_utf8_lossy(begin_of_text(&bytes)));
        json.map_err(|_| self.unexpected(200, &content_type, "no JSON").into())
    }

    /// The answer, if what was asked for is so. `is_again`: an attempt before this one may have been carried out.
    fn judge(&self, call: &Call<'_>, answer: Value, is_again: bool) -> Result<Value, ApiError> {
        let (errcode, errmsg) = match verdict(&answer) {
            Verdict::Success => return Ok(answer),
            Verdict::Refused { errcode, errmsg } => (errcode, errmsg),
            Verdict::Foreign => {
                let cause = "answered 200 with JSON that is none of WeChat's answers";
                return Err(self.transport(Reach::Unknown, cause).into());
            }
        };
        if let Some(rid) = rid(errmsg) {
            log::debug!(target: "api", "{call:?}: errcode {errcode}, rid {rid}");
        }
        let is_so = match Class::of(errcode) {
            // With the `msg_id` of a mass message it is the answer of the first time.
            Class::Done => is_again || answer.get("msg_id").is_some(),
            Class::Gone => call.deletes(),
            _ => false,
        };
        if is_so {
            log::info!(target: "api", "{call:?}: errcode {errcode}, so it was done before");
            return Ok(answer);
        }
        let (host, path) = (self.host().to_owned(), call.path.to_owned());
        Err(Refusal { errcode, errmsg: errmsg.to_owned(), path, host, advice: None }.into())
    }

    fn copy(
        &self,
        call: &Call<'_>,
        mut answer: Answer<impl Read>,
        sink: &mut dyn Write,
        limit: u64,
    ) -> Result<u64, ApiError> {
        let mut buffer = vec![0; 64 << 10];
        let mut size = 0;
        loop {
            let count = answer.reader.read(&mut buffer).map_err(|error| self.cut(&error, answer.limit))?;
            size += count as u64;
            if size > limit {
                return Err(too_large(call, limit));
            }
            let what = "cannot write what was downloaded";
            sink.write_all(&buffer[..count]).map_err(|error| ApiError::File { what, error })?;
            if count == 0 {
                return Ok(size);
            }
        }
    }

    /// The address of a path; a whole address, which WeChat gave as an answer, stays as it is.
    fn url(&self, path: &str) -> String {
        if is_whole(path) { path.to_owned() } else { format!("{}{path}", self.settings.base_url) }
    }

    fn agent(&self) -> Result<&Agent, TransportError> {
        if let Some(agent) = self.agent.get() {
            return Ok(agent);
        }
        let proxy = self.settings.proxy.as_ref().map(|proxy| Proxy::new(proxy.expose())).transpose();
        let proxy =
            proxy.map_err(|_| self.transport(Reach::Hopeless, "`api.proxy` is no address of a proxy"))?;
        Ok(self.agent.get_or_init(|| {
            Agent::config_builder()
                // By default it would be the environment's.
                .proxy(proxy)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .http_status_as_error(false)
                .timeout_connect(Some(self.settings.connect_timeout))
                .timeout_resolve(Some(self.settings.connect_timeout))
                .user_agent(concat!("wxcgi/", env!("CARGO_PKG_VERSION")))
                .build()
                .new_agent()
        }))
    }
}

impl Client {
    /// There was no answer.
    fn unanswered(&self, call: &Call<'_>, error: ureq::Error, limit: Duration) -> ApiError {
        let connect = self.settings.connect_timeout;
        let (reach, cause) = match error {
            ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
                (Reach::NotSent, format!("cannot be reached within {connect:?}; {REACH_CURE}"))
            }
            ureq::Error::Timeout(_) => (Reach::Unknown, format!("did not answer within {limit:?}")),
            ureq::Error::HostNotFound => {
                (Reach::NotSent, format!("is unknown to the name server; {REACH_CURE}"))
            }
            ureq::Error::ConnectionFailed => (Reach::NotSent, format!("cannot be reached; {REACH_CURE}")),
            ureq::Error::Io(error) => match Unreadable::unwrap(error) {
                Ok(error) => return ApiError::File { what: "cannot read the file to be sent", error },
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    (Reach::NotSent, format!("refuses the connection; {REACH_CURE}"))
                }
                Err(error) => (Reach::Unknown, format!("broke the connection: {error}")),
            },
            ureq::Error::Tls(why) => (Reach::Hopeless, format!("cannot be trusted: {why}; {TLS_CURE}")),
            ureq::Error::Rustls(why) => (Reach::Hopeless, format!("cannot be trusted: {why}; {TLS_CURE}")),
            ureq::Error::ConnectProxyFailed(_) => {
                (Reach::Hopeless, "is not let through by the proxy; see `api.proxy`".to_owned())
            }
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                (Reach::Hopeless, format!("cannot be asked for {}", shown(call.path)))
            }
            // What else there is might hold the address, and with it the access_token.
            _ => (Reach::Unknown, "does not speak HTTP as it should".to_owned()),
        };
        self.transport(reach, cause).into()
    }

    /// An answer that is none of WeChat's: of a gateway on the way.
    fn unexpected(&self, status: u16, content_type: &str, what: &str) -> TransportError {
        let (reach, cure) = match status {
            300..400 => (Reach::Hopeless, "; it is not followed, see `api.base_url`"),
            408 | 429 | 500.. | ..300 => (Reach::Unknown, ""),
            400..500 => (Reach::Hopeless, "; see `api.base_url`"),
        };
        let content_type = if content_type.is_empty() { "no content type" } else { content_type };
        self.transport(reach, format!("answered {status} with {what}, {}{cure}", shown(content_type)))
    }

    /// An answer that ended too early, or not in time.
    fn cut(&self, error: &io::Error, limit: Duration) -> TransportError {
        let cause = error.get_ref().and_then(|inner| inner.downcast_ref());
        let why = match cause {
            Some(ureq::Error::Timeout(_)) => format!(" within {limit:?}"),
            _ => format!(": {}", error.kind()),
        };
        self.transport(Reach::Unknown, format!("did not end its answer{why}"))
    }

    /// The error without what proves who we are: a proxy or a gateway may repeat what it was sent.
    fn veil(&self, call: &Call<'_>, proof: Proof<'_>, error: ApiError) -> ApiError {
        let parameters = proof.iter().chain(call.query);
        let secrets =
            parameters.filter(|(name, _)| SECRET_PARAMETERS.contains(name)).map(|(_, value)| *value);
        let secrets = secrets.chain(self.app_secret.as_ref().map(Secret::expose));
        match error {
            ApiError::Refused(refusal) => {
                Refusal { errmsg: hide(&refusal.errmsg, secrets), ..refusal }.into()
            }
            ApiError::Transport(error) => {
                TransportError { cause: hide(&error.cause, secrets), ..error }.into()
            }
            error => error,
        }
    }

    pub(super) fn transport(&self, reach: Reach, cause: impl Into<String>) -> TransportError {
        TransportError { host: self.host().to_owned(), cause: cause.into(), reach }
    }
}

const REACH_CURE: &str = "see whether this machine may connect there (firewall, `api.proxy`)";
const TLS_CURE: &str =
    "see whether this machine's clock is right, and whether something on the way opens TLS";

/// An answer of status 200, with its body to be read.
struct Answer<R> {
    content_type: String,
    filename: Option<String>,
    reader: R,
    /// The time there was for all of it.
    limit: Duration,
}

impl<R> Answer<R> {
    fn map<S>(self, change: impl FnOnce(R) -> S) -> Answer<S> {
        let Self { content_type, filename, reader, limit } = self;
        Answer { content_type, filename, reader: change(reader), limit }
    }
}

/// A download that begins.
enum Opened<R> {
    Json(Value),
    File(Answer<R>),
}

/// Marks an error as one of the file that is sent: to the library, the file and the net are both I/O.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct Unreadable(io::Error);

impl Unreadable {
    pub(super) fn wrap(error: io::Error) -> io::Error {
        io::Error::other(Self(error))
    }

    fn unwrap(error: io::Error) -> Result<io::Error, io::Error> {
        error.downcast::<Self>().map(|Self(error)| error)
    }
}

fn prepare<B>(
    request: RequestBuilder<B>,
    call: &Call<'_>,
    proof: Proof<'_>,
    limit: Duration,
) -> RequestBuilder<B> {
    let request = request.config().timeout_global(Some(limit)).build();
    proof.iter().chain(call.query).fold(request, |request, (name, value)| request.query(*name, *value))
}

/// What is left until then, `limit` at most.
fn earlier(limit: Duration, until: Instant) -> Duration {
    limit.min(until.saturating_duration_since(Instant::now())).max(Duration::from_millis(1))
}

/// Does it again, later and later, while that may help and harms nobody. `attempt` learns whether one before it may have
/// been carried out.
fn repeat<T>(
    call: &Call<'_>,
    until: Instant,
    mut attempt: impl FnMut(bool) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    let (mut wait, mut is_again) = (FIRST_WAIT, false);
    for _ in 1..MAX_ATTEMPTS {
        let error = match attempt(is_again) {
            Err(error) if may_repeat(call, &error) => error,
            result => return result,
        };
        let pause = with_jitter(wait);
        if Instant::now() + pause >= until {
            return Err(error);
        }
        log::warn!(target: "api", "{error}; trying again in {} ms", pause.as_millis());
        std::thread::sleep(pause);
        wait *= 2;
        is_again |= !matches!(&error, ApiError::Transport(TransportError { reach: Reach::NotSent, .. }));
    }
    attempt(is_again)
}

fn may_repeat(call: &Call<'_>, error: &ApiError) -> bool {
    match error {
        ApiError::Transport(error) => match error.reach {
            Reach::NotSent => true,
            Reach::Unknown => call.idempotent,
            Reach::Hopeless => false,
        },
        ApiError::Refused(refusal) => call.idempotent && Class::of(refusal.errcode) == Class::Retry,
        _ => false,
    }
}

/// Between three quarters and five quarters: processes that failed together are not to come back together.
pub(super) fn with_jitter(wait: Duration) -> Duration {
    let [chance] = random::<1>().unwrap_or([128]);
    wait.mul_f64(0.75 + f64::from(chance) / 512.0)
}

fn too_large(call: &Call<'_>, limit: u64) -> ApiError {
    ApiError::TooLarge { path: call.path.to_owned(), limit }
}

fn is_whole(path: &str) -> bool {
    path.starts_with("https://") || path.starts_with("http://")
}

/// The authority of an address.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// The bytes without what may stand before a text: a mark of UTF-8, blanks.
fn begin_of_text(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start()
}

/// Whether a content type is one of files, which may begin with any byte.
fn is_file(content_type: &str) -> bool {
    ["image/", "audio/", "voice/", "video/", "application/octet-stream"]
        .iter()
        .any(|kind| content_type.starts_with(kind))
}

/// The name in a `Content-Disposition`; what could leave a folder is no name.
fn filename(disposition: &str) -> Option<String> {
    let (_, rest) = disposition.split_once("filename=")?;
    let name = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => rest.split(';').next()?.trim(),
    };
    let is_name = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
    is_name.then(|| name.to_owned())
}
