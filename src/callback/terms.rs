//! What a call is answered from: what the account's config says of it, and the circumstances.

use std::time::{Duration, SystemTime};

use crate::config::DeliverySettings;
use crate::rules::{Rules, Tables};
use crate::secret::Secret;
use crate::wechat::crypto::AesKey;
use crate::wechat::mode::AcceptedMode;

/// What a call is checked against and answered from.
#[derive(Debug)]
pub struct Terms {
    /// The current token, then the previous one.
    pub tokens: Vec<Secret>,
    /// The current key, then the previous one; empty if nothing can be decrypted.
    pub keys: Vec<AesKey>,
    /// The AppID that an encrypted message must name.
    pub app_id: Option<String>,
    /// The receiver that a message must name, if given.
    pub original_id: Option<String>,
    /// The weakest mode that is taken.
    pub mode: AcceptedMode,
    /// The path of the callback without a slash at its end; `None` takes any.
    pub path: Option<String>,
    /// WeChat has its answer so long after a call was received.
    pub deadline: Duration,
    /// How far a timestamp may be from now; `None` takes any.
    pub clock_skew: Option<Duration>,
    /// What answers.
    pub rules: Rules,
    /// What replies look things up in.
    pub tables: Tables,
    /// How answers reach users that take more than one reply, or more time than WeChat gives; `None` where no rule has
    /// such.
    pub delivery: Option<DeliverySettings>,
    /// Whether the log names people in full.
    pub personal_data: bool,
}

/// Time and chance, passed in so that the same call gives the same answer twice.
#[derive(Clone, Copy)]
pub struct Circumstances {
    /// The time.
    pub now: SystemTime,
    /// Sixteen unpredictable bytes; asked for only where a reply is encrypted, or one of several.
    pub random: fn() -> Option<[u8; 16]>,
}
