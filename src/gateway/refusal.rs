//! What the doors refuse by themselves, before a handler sees it, and how they say so.

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
    /// The request did not come in time.
    TooSlow,
    /// The body is larger than the application takes.
    TooLarge,
    /// The body is compressed; it is never unpacked here.
    Encoded,
    /// Too many parameters, or too long ones.
    TooManyParams,
    /// All connections are in use.
    Overloaded,
}

impl Refusal {
    /// The complete answer. Every refusal is one: an empty reply would be an empty `200 OK` behind Apache.
    pub(crate) fn response(self) -> Response {
        let response = Response::text(self.status(), format!("{}\n", self.reason()));
        if self == Self::Overloaded { response.with_header("Retry-After", "1") } else { response }
    }

    /// Writes the one line of log that a refusal gets.
    pub(crate) fn log(self, request: &Request) {
        let (from, status, reason) = (address_shown(request.remote_addr()), self.status(), self.reason());
        log::warn!(target: "gateway", "refused a request of {from} with {status}: {reason}");
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
            Self::TooSlow => 408,
            Self::TooLarge => 413,
            Self::Encoded => 415,
            Self::TooManyParams => 431,
            Self::Overloaded => 503,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::NoMethod => "no `REQUEST_METHOD`; the web server has to pass the parameters of CGI/1.1",
            Self::BadName => "control bytes in the name of a parameter",
            Self::BadLength => "`CONTENT_LENGTH` is not a number",
            Self::Truncated => "the body is shorter than `CONTENT_LENGTH`",
            Self::Overlong => "the body is longer than `CONTENT_LENGTH`",
            Self::Unreadable => "the body cannot be read",
            Self::TooSlow => "the request came too slowly",
            Self::TooLarge => "the body is too large",
            Self::Encoded => "a compressed body is not accepted",
            Self::TooManyParams => "too many or too long headers",
            Self::Overloaded => "too many connections",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overload_says_when_to_come_again() {
        let mut out = Vec::new();
        Refusal::Overloaded.response().write_to(&mut out, false);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("Status: 503 Service Unavailable\r\n"), "{text}");
        assert!(text.contains("\r\nRetry-After: 1\r\n"), "{text}");
    }
}
