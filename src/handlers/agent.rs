//! HTTP to the servers that the config names.
//!
//! One agent for the whole process, with small buffers: many answers may be waited for at once. No redirect is followed
//! and nothing is taken from the environment, which a CGI request can write to (httpoxy): the proxy is the config's.
//! What is told of an address is its host: the rest of it may be a secret.

use std::io::{self, Read};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ureq::config::AutoHeaderValue;
use ureq::http::Uri;
use ureq::{Agent, BodyReader, Proxy, Timeout};

use super::HandlerError;
use crate::secret::Secret;

/// Of a connection, in either direction, bytes. An answer's head has no more.
const BUFFER: usize = 8 << 10;
/// The connection is there by then, or the next address is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

static AGENT: OnceLock<Agent> = OnceLock::new();

/// What is sent: a POST.
#[derive(Debug)]
pub struct Request<'r> {
    /// Where, with `https://` or `http://`.
    pub url: &'r str,
    /// Names and values, `Content-Type` among them.
    pub headers: &'r [(&'r str, &'r str)],
    /// As it is.
    pub body: &'r [u8],
    /// The whole answer is there by then.
    pub until: Instant,
    /// `[api] proxy`; not asked for what lies on this machine.
    pub proxy: Option<&'r Secret>,
}

/// An answer of any status, with its body to be read.
pub struct Answer {
    /// As the server says; no redirect was followed.
    pub status: u16,
    /// In small letters, without parameters: `application/json`; empty if it says none.
    pub content_type: String,
    /// `Retry-After`: when it may be asked again, if it says so in seconds.
    pub retry_after: Option<Duration>,
    /// Ends with an error when the time is over; [`Answer::cut`] words it.
    pub reader: BodyReader<'static>,
    host: String,
}

impl Request<'_> {
    /// Sends it; gives the answer as soon as its head is there.
    ///
    /// # Errors
    ///
    /// In words for the log, without more of the address than its host.
    pub fn send(&self) -> Result<Answer, HandlerError> {
        let uri: Uri = self.url.parse().map_err(|_| HandlerError("the address is none".to_owned()))?;
        let host = uri.host().unwrap_or_default().to_owned();
        let left = self.until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let proxy =
            self.proxy.filter(|_| !is_here(&host)).map(|proxy| Proxy::new(proxy.expose())).transpose();
        let proxy = proxy.map_err(|_| HandlerError("`api.proxy` is no address of a proxy".to_owned()))?;
        let request = self
            .headers
            .iter()
            .fold(agent().post(uri), |request, (name, value)| request.header(*name, *value));
        let request = request.config().proxy(proxy).timeout_global(Some(left)).build();
        let response = request.send(self.body).map_err(|error| unanswered(&host, &error, left))?;
        let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        let content_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
        let (status, content_type) = (response.status().as_u16(), content_type.trim().to_ascii_lowercase());
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|value| value.trim().parse().ok()).map(Duration::from_secs);
        let reader = response.into_body().into_with_config().limit(u64::MAX).reader();
        Ok(Answer { status, content_type, retry_after, reader, host })
    }
}

impl Answer {
    /// All of the body.
    ///
    /// # Errors
    ///
    /// If it has more than `limit` bytes, or does not come in time or to its end.
    pub fn read(mut self, limit: usize) -> Result<Vec<u8>, HandlerError> {
        let mut body = Vec::new();
        let read = self.reader.by_ref().take(limit as u64 + 1).read_to_end(&mut body);
        read.map_err(|error| self.cut(&error))?;
        if body.len() > limit {
            return Err(HandlerError(format!("{} answered with more than {limit} bytes", self.host)));
        }
        Ok(body)
    }

    /// Who answered.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Why reading failed, in words.
    #[must_use]
    pub fn cut(&self, error: &io::Error) -> HandlerError {
        let why = match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(ureq::Error::Timeout(_)) => " in time".to_owned(),
            _ => format!(": {}", error.kind()),
        };
        HandlerError(format!("{} did not end its answer{why}", self.host))
    }

    /// What is wrong with an answer, in words: `with no JSON`.
    #[must_use]
    pub fn fault(&self, what: &str) -> HandlerError {
        HandlerError(format!("{} answered {} {what}", self.host, self.status))
    }
}

fn agent() -> &'static Agent {
    AGENT.get_or_init(|| {
        Agent::config_builder()
            // By default it would be the environment's.
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .max_response_header_size(BUFFER)
            .accept_encoding(AutoHeaderValue::None)
            .user_agent(concat!("wxcgi/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent()
    })
}

/// Whether a proxy would look for this host on another machine than ours.
fn is_here(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    address.map_or_else(|_| host == "localhost", |address| address.to_canonical().is_loopback())
}

fn unanswered(host: &str, error: &ureq::Error, limit: Duration) -> HandlerError {
    let cause = match error {
        ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
            format!("cannot be reached within {CONNECT_TIMEOUT:.0?}")
        }
        ureq::Error::Timeout(_) => format!("did not answer within {limit:.1?}"),
        ureq::Error::HostNotFound => "is unknown to the name server".to_owned(),
        ureq::Error::ConnectionFailed => "cannot be reached".to_owned(),
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            "refuses the connection".to_owned()
        }
        ureq::Error::Io(error) => format!("broke the connection: {error}"),
        ureq::Error::Tls(why) => format!("cannot be trusted: {why}"),
        ureq::Error::Rustls(why) => format!("cannot be trusted: {why}"),
        ureq::Error::ConnectProxyFailed(_) => "is not let through by the proxy; see `api.proxy`".to_owned(),
        ureq::Error::Http(_) => {
            "cannot be asked: a header that it is to get has a character that none may".to_owned()
        }
        // What else there is might hold the address, and with it a secret.
        _ => "does not speak HTTP as it should".to_owned(),
    };
    HandlerError(format!("{host} {cause}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::peer::{Peer, answer, receive};
    use super::*;

    fn send(url: &str, within: Duration) -> Result<Answer, HandlerError> {
        let headers = [("Content-Type", "text/plain"), ("X-Test", "你好")];
        let until = Instant::now() + within;
        Request { url, headers: &headers, body: "猫".as_bytes(), until, proxy: None }.send()
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn what_is_sent_arrives_and_what_is_answered_comes_back() {
        let peer = Peer::start(|request, stream| {
            assert_eq!(request.body, "猫".as_bytes());
            assert_eq!(request.header("x-test"), Some("你好"));
            answer(stream, "201 Created", "Text/Plain; charset=utf-8", b"\0\xffok");
        });
        let answer = send(&peer.url("/bot?key=hunter2"), LONG).unwrap();
        assert_eq!((answer.status, answer.content_type.as_str()), (201, "text/plain"));
        assert_eq!(answer.read(4).unwrap(), b"\0\xffok");
    }

    #[test]
    fn a_redirect_is_an_answer_like_others() {
        let peer = Peer::start(|_, stream| {
            answer(stream, "302 Found\r\nLocation: http://127.0.0.1:1/", "text/plain", b"");
        });
        assert_eq!(send(&peer.url("/"), LONG).unwrap().status, 302);
    }

    #[test]
    fn too_much_too_late_and_cut_answers_are_told_apart() {
        let peer = Peer::start(|request, stream| match request.path() {
            "/large" => answer(stream, "200 OK", "text/plain", &[b'x'; 100]),
            "/cut" => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").unwrap(),
            "/silent" => request.until_closed(stream),
            "/slow" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").unwrap();
                request.until_closed(stream);
            }
            _ => stream.write_all(b"SSH-2.0-hunter2\r\n\r\n").unwrap(),
        });
        let read = |path: &str, within| {
            let answer = send(&peer.url(path), within)?;
            answer.read(99).map(|body| panic!("{path}: {body:?}"))
        };
        let told = |path: &str, millis| {
            let error: Result<(), _> = read(path, Duration::from_millis(millis));
            error.unwrap_err().to_string()
        };
        assert_eq!(told("/large", 20_000), "127.0.0.1 answered with more than 99 bytes");
        assert!(told("/cut", 20_000).starts_with("127.0.0.1 did not end its answer: "));
        assert_eq!(told("/silent", 200), "127.0.0.1 did not answer within 200.0ms");
        assert_eq!(told("/slow", 200), "127.0.0.1 did not end its answer in time");
        assert_eq!(told("/?key=hunter2", 20_000), "127.0.0.1 does not speak HTTP as it should");
    }

    #[test]
    fn a_server_that_is_not_there_says_so() {
        let port = Peer::start(|_, _| {}).port();
        let error = send(&format!("http://127.0.0.1:{port}/?key=hunter2"), LONG).err().unwrap();
        assert_eq!(error.to_string(), "127.0.0.1 refuses the connection");
        assert_eq!(send("http://", LONG).err().unwrap().to_string(), "the address is none");
    }

    #[test]
    fn what_is_not_on_this_machine_is_reached_through_the_proxy() {
        let peer = Peer::start(|request, stream| {
            assert!(request.head.starts_with("CONNECT bot.example:80 "), "{request:?}");
            stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
            assert!(receive(stream).unwrap().head.starts_with("POST /x "));
            answer(stream, "200 OK", "text/plain", b"proxied");
        });
        let proxy = Secret::new(peer.url(""));
        let until = Instant::now() + LONG;
        let request =
            Request { url: "http://bot.example/x", headers: &[], body: b"", until, proxy: Some(&proxy) };
        assert_eq!(request.send().unwrap().read(99).unwrap(), b"proxied");
        assert!(is_here("localhost") && is_here("[::1]") && is_here("127.9.9.9") && !is_here("10.0.0.1"));
    }
}
