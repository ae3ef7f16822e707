//! What the doors refuse by themselves, before a handler sees it, and how they say so.

use std::fmt;
use std::time::Duration;

use super::limits::Size;
use crate::http::{Request, Response};
use crate::logging::address_shown;

/// Why a request was not handed to the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no `REQUEST_METHOD`: the web server is set up wrongly.
    NoMethod,
    /// A parameter's name holds control bytes.
    BadName,
    /// `CONTENT_LENGTH` is not a number of at most 19 digits.
    BadLength,
    /// The body is shorter than `CONTENT_LENGTH` says.
    Truncated,
    /// The body is longer than `CONTENT_LENGTH` says.
    Overlong,
    /// The body could not be read.
    Unreadable,
    /// The request did not come within `request_timeout`.
    TooSlow(Duration),
    /// The body is larger than the application takes, bytes.
    TooLarge(usize),
    /// The body is compressed; it is never unpacked here.
    Encoded,
    /// The parameters are longer than `max_params` together, bytes.
    ParamsTooLarge(usize),
    /// There are more parameters than `max_param_count`.
    TooManyParams(usize),
    /// The value of a parameter is longer than `max_param_value`, bytes.
    ParamTooLong(usize),
    /// All of `max_connections` were in use when it came.
    Overloaded(usize),
    /// The process or the system has no descriptor left for it.
    NoDescriptor,
}

impl Refusal {
    /// The complete answer. Every refusal is one: an empty reply would be an empty `200 OK` behind Apache.
    pub(crate) fn response(self) -> Response {
        let response = Response::text(self.status(), format!("{}\n", self.reason()));
        if self.status() == 503 { response.with_header("Retry-After", "1") } else { response }
    }

    /// Writes the one line of log that a refusal gets.
    pub(crate) fn log(self, request: &Request) {
        let (from, status) = (address_shown(request.remote_addr()), self.status());
        log::warn!(target: "gateway", kind = self.reason(); "refused a request of {from} with {status}: {self}");
    }

    /// The HTTP status.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::NoMethod
            | Self::BadName
            | Self::BadLength
            | Self::Truncated
            | Self::Overlong
            | Self::Unreadable => 400,
            Self::TooSlow(_) => 408,
            Self::TooLarge(_) => 413,
            Self::Encoded => 415,
            Self::ParamsTooLarge(_) | Self::TooManyParams(_) | Self::ParamTooLong(_) => 431,
            Self::Overloaded(_) | Self::NoDescriptor => 503,
        }
    }

    /// What the client reads; the numbers are the operator's.
    fn reason(self) -> &'static str {
        match self {
            Self::NoMethod => "no `REQUEST_METHOD`; the web server has to pass the parameters of CGI/1.1",
            Self::BadName => "control bytes in the name of a parameter",
            Self::BadLength => "`CONTENT_LENGTH` is not a number",
            Self::Truncated => "the body is shorter than `CONTENT_LENGTH`",
            Self::Overlong => "the body is longer than `CONTENT_LENGTH`",
            Self::Unreadable => "the body cannot be read",
            Self::TooSlow(_) => "the request came too slowly",
            Self::TooLarge(_) => "the body is too large",
            Self::Encoded => "a compressed body is not accepted",
            Self::ParamsTooLarge(_) | Self::TooManyParams(_) | Self::ParamTooLong(_) => {
                "too many or too long headers"
            }
            Self::Overloaded(_) | Self::NoDescriptor => "too many connections",
        }
    }
}

/// What the log says: a limit by its name in the config, with its number.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooSlow(limit) => write!(f, "it did not come within `request_timeout` ({limit:?})"),
            Self::TooLarge(limit) => write!(f, "the body is larger than `max_body` ({})", Size(limit)),
            Self::ParamsTooLarge(limit) => {
                write!(f, "the parameters are larger than `max_params` ({})", Size(limit))
            }
            Self::TooManyParams(limit) => write!(f, "more parameters than `max_param_count` ({limit})"),
            Self::ParamTooLong(limit) => {
                write!(f, "a parameter is longer than `max_param_value` ({})", Size(limit))
            }
            Self::Overloaded(limit) => write!(f, "all of `max_connections` ({limit}) were in use"),
            Self::NoDescriptor => {
                f.write_str("no descriptor is left; raise LimitNOFILE or lower `max_connections`")
            }
            _ => f.write_str(self.reason()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overload_says_when_to_come_again() {
        for refusal in [Refusal::Overloaded(1), Refusal::NoDescriptor] {
            let mut out = Vec::new();
            refusal.response().write_to(&mut out, false);
            let text = String::from_utf8(out).unwrap();
            assert!(text.starts_with("Status: 503 Service Unavailable\r\n"), "{text}");
            assert!(text.contains("\r\nRetry-After: 1\r\n"), "{text}");
        }
    }

    #[test]
    fn a_limit_is_named_in_the_log_and_not_to_the_client() {
        for (refusal, logged) in [
            (Refusal::TooSlow(Duration::from_millis(3500)), "`request_timeout` (3.5s)"),
            (Refusal::TooLarge(256 << 10), "`max_body` (256KiB)"),
            (Refusal::ParamsTooLarge(128 << 10), "`max_params` (128KiB)"),
            (Refusal::TooManyParams(256), "`max_param_count` (256)"),
            (Refusal::ParamTooLong(1000), "`max_param_value` (1000B)"),
            (Refusal::Overloaded(1024), "`max_connections` (1024)"),
            (Refusal::NoDescriptor, "raise LimitNOFILE"),
        ] {
            assert!(refusal.to_string().contains(logged), "{refusal}");
            let body = String::from_utf8(refusal.response().body.into_owned()).unwrap();
            assert!(!body.contains(['`', '(']), "{body}");
        }
    }
}
