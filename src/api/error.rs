//! Why a call of WeChat's API did not work, in words for a person and in cases for a program.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::logging::shown_up_to;
use crate::store::StoreError;
use crate::wechat::errcode::{Class, Meaning};

/// Why a call of WeChat's API did not work. Its text is the cause and the cure, on one line, without secrets.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// WeChat answered that it does not.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There was no answer that could be read.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// It failed for another process a moment ago, and is left alone for a while.
    #[error("{words} (not asked again for {} s)", remaining.as_secs().max(1))]
    CoolingDown {
        /// What happened then.
        words: String,
        /// How much longer.
        remaining: Duration,
    },
    /// Another process was to fetch it, and did not in the time there was.
    #[error("waited {} s for another process to fetch the {what}; try again", waited.as_secs())]
    Busy {
        /// `access_token`
        what: String,
        /// How long.
        waited: Duration,
    },
    /// The config lacks what the call needs.
    #[error("WeChat's API needs `{key}` in the config; {cure}")]
    Unconfigured {
        /// `account.app_id`
        key: &'static str,
        /// What to write there.
        cure: &'static str,
    },
    /// What all processes share could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file to be sent, or the place where one is to be written.
    #[error("{what}: {error}")]
    File {
        /// What could not be done with it.
        what: &'static str,
        /// Why.
        error: io::Error,
    },
    /// The answer is larger than the caller takes.
    #[error("the answer to `{path}` has more than {limit} bytes")]
    TooLarge {
        /// Of the call.
        path: String,
        /// Bytes.
        limit: u64,
    },
}

impl ApiError {
    /// WeChat's number for it, if WeChat said so.
    #[must_use]
    pub fn errcode(&self) -> Option<i64> {
        match self {
            Self::Refused(refusal) => Some(refusal.errcode),
            _ => None,
        }
    }

    /// What a program does about WeChat's number.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        self.errcode().map(Class::of)
    }
}

/// WeChat's own answer that it does not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// WeChat's number.
    pub errcode: i64,
    /// WeChat's words, whole; without our secrets, should somebody on the way have put them in.
    pub errmsg: String,
    /// What was called, without its query.
    pub path: String,
    /// The host that said so.
    pub host: String,
    /// What it means and what to do about it, if more is known than the number tells.
    pub advice: Option<String>,
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Of WeChat's words; the longest that are known have 300.
        const SHOWN: usize = 500;
        let Self { errcode, errmsg, path, host, advice } = self;
        write!(f, "{host} answered {errcode} {} to `{path}`", shown_up_to(errmsg, SHOWN))?;
        match (advice, Meaning::of(*errcode)) {
            (Some(advice), _) => write!(f, ": {advice}"),
            (None, Some(Meaning { sentence, cure: Some(cure), .. })) => write!(f, ": {sentence}; {cure}"),
            (None, Some(Meaning { sentence, cure: None, .. })) => write!(f, ": {sentence}"),
            (None, None) => Ok(()),
        }
    }
}

/// There was no answer that could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} {cause}")]
pub struct TransportError {
    /// The host that was asked, or the proxy.
    pub host: String,
    /// What happened, and the cure where there is one.
    pub cause: String,
    /// What is known of the call.
    pub reach: Reach,
}

/// How far a call came that was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It was never sent: it can be sent again without harm.
    NotSent,
    /// It may have been carried out; the same again might work.
    Unknown,
    /// The same again would fail again.
    Hopeless,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wechats_words_are_kept_whole_and_shown_harmless() {
        let errmsg = format!("no\n\u{1b}[31mERROR `x` {}", "长".repeat(600));
        let (path, host) = ("/cgi-bin/x".to_owned(), "api.weixin.qq.com".to_owned());
        let refusal = Refusal { errcode: 7, errmsg: errmsg.clone(), path, host, advice: None };
        let text = refusal.to_string();
        assert!(text.starts_with("api.weixin.qq.com answered 7 `no\\n\\u{1b}[31mERROR 'x' 长"), "{text}");
        assert!(text.ends_with("长…` to `/cgi-bin/x`") && !text.contains(char::is_control), "{text}");
        assert_eq!(refusal.errmsg, errmsg);
    }
}
