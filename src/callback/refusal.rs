//! Why a call is refused: the cause for the log, the cure for the operator, the answer for the caller.

use crate::http::Response;
use crate::logging::shown;
use crate::wechat::crypto::EnvelopeError;
use crate::wechat::message::MessageError;
use crate::wechat::mode::Mode;
use crate::wechat::xml::XmlError;

/// Why a call is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("no REQUEST_METHOD")]
    NoMethod,
    #[error("method {}", shown(.0))]
    Method(String),
    #[error("path {}", shown(.0))]
    Path(String),
    #[error("no `{0}` in the query")]
    Missing(&'static str),
    #[error("`{0}` stands twice in the query")]
    Twice(&'static str),
    #[error("`{0}` is not UTF-8")]
    NotText(&'static str),
    #[error("{name} mismatch")]
    Signature { name: &'static str },
    #[error("stale timestamp, {} s {} our clock,", .0.abs(), if *.0 < 0 { "behind" } else { "ahead of" })]
    Stale(i64),
    #[error("`timestamp` is no number")]
    Timestamp,
    #[error("a message in {found}, weaker than `account.mode` allows,")]
    TooWeak { found: Mode },
    #[error("unknown encrypt_type {}", shown(.0))]
    EncryptType(String),
    #[error("an encrypted message")]
    NoKey,
    #[error("encrypt_type=aes without `Encrypt` in the body")]
    NoEnvelope,
    #[error("cannot open the message: {0}")]
    Envelope(#[from] EnvelopeError),
    #[error("not a message: {0}")]
    Xml(#[from] XmlError),
    #[error("not a message: {0}")]
    Message(#[from] MessageError),
    #[error("a message to {}, not to `account.original_id`,", shown(.0))]
    ForeignReceiver(String),
}

impl Refusal {
    /// The answer. All causes of a 400 look alike from outside: what is wrong with a ciphertext is nobody's business.
    pub(super) fn response(&self) -> Response {
        match self {
            Self::Method(_) => Response::text(405, "method not allowed\n").with_header("Allow", "GET, POST"),
            Self::Path(_) => Response::text(404, "not found\n"),
            Self::Missing(_)
            | Self::Twice(_)
            | Self::NotText(_)
            | Self::Signature { .. }
            | Self::Stale(_)
            | Self::Timestamp
            | Self::TooWeak { .. } => Response::text(403, "forbidden\n"),
            Self::NoMethod
            | Self::EncryptType(_)
            | Self::NoKey
            | Self::NoEnvelope
            | Self::Envelope(_)
            | Self::Xml(_)
            | Self::Message(_)
            | Self::ForeignReceiver(_) => Response::text(400, "bad request\n"),
        }
    }
}

impl Refusal {
    /// Of which the log shows the first few only, when there are many.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::NoMethod | Self::Method(_) => "wrong method",
            Self::Path(_) => "wrong path",
            Self::Missing(_) | Self::Twice(_) | Self::NotText(_) => "no signature",
            Self::Signature { .. } => "wrong signature",
            Self::Stale(_) | Self::Timestamp => "wrong timestamp",
            Self::TooWeak { .. } => "too weak",
            Self::EncryptType(_) | Self::NoKey | Self::NoEnvelope | Self::Envelope(_) => "cannot open",
            Self::Xml(_) | Self::Message(_) | Self::ForeignReceiver(_) => "not a message for us",
        }
    }

    /// What the operator can do about it, where it is most often his.
    pub(super) fn cure(&self) -> Option<&'static str> {
        match self {
            Self::Signature { .. } => Some("is `account.token` the Token (令牌) of WeChat's console?"),
            Self::Stale(_) => Some("is this machine's clock right? `server.clock_skew` says what is allowed"),
            Self::NoKey => Some("set `account.encoding_aes_key` and `account.app_id`"),
            Self::Envelope(EnvelopeError::ForeignAppId { .. }) => Some("is `account.app_id` right?"),
            Self::Envelope(EnvelopeError::Padding | EnvelopeError::InnerLength | EnvelopeError::NotUtf8) => {
                Some("is `account.encoding_aes_key` that of WeChat's console?")
            }
            Self::NoMethod => Some("the web server passes no CGI parameters"),
            _ => None,
        }
    }
}
