//! What asking any chatbot's server has in common.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::HandlerError;
use super::super::agent::{Answer, Request};
use super::Chat;
use crate::logging::shown_up_to;

/// A whole answer in JSON, and what is read of an error, bytes.
const MAX_JSON: usize = 4 << 20;
/// The wait before a server is asked again that does not say when.
const WAIT: Duration = Duration::from_millis(500);
/// With less time left nobody is asked again.
const LITTLE: Duration = Duration::from_secs(1);
/// What the log shows of a server's complaint, characters.
const COMPLAINT: usize = 200;

/// What a chatbot said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Spoken {
    /// Never empty.
    pub(super) text: String,
    /// Why it is not all of it.
    pub(super) cut: Option<String>,
    pub(super) usage: Option<Usage>,
}

/// How many tokens were read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) input: u64,
    pub(super) output: u64,
}

/// Why a chatbot said nothing.
#[derive(Debug)]
pub(super) struct Failure {
    /// In words for the log.
    pub(super) why: String,
    /// Its server has too much to do.
    pub(super) is_busy: bool,
    /// It may help to ask again after this time.
    pub(super) again: Option<Duration>,
}

impl Failure {
    /// Asking again would not help.
    pub(super) fn for_good(why: impl Into<String>) -> Self {
        Self { why: why.into(), is_busy: false, again: None }
    }

    /// Asking again may help.
    pub(super) fn for_now(why: impl Into<String>) -> Self {
        Self { again: Some(WAIT), ..Self::for_good(why) }
    }
}

impl From<HandlerError> for Failure {
    fn from(error: HandlerError) -> Self {
        Self::for_good(error.0)
    }
}

/// Asks, and once more if that may help and time is left for it.
pub(super) fn persistently(
    until: Instant,
    mut ask: impl FnMut() -> Result<Spoken, Failure>,
) -> Result<Spoken, Failure> {
    match ask() {
        Err(Failure { again: Some(wait), why, .. })
            if until.saturating_duration_since(Instant::now()) >= wait.saturating_add(LITTLE) =>
        {
            log::debug!(target: "chat", "asking again: {}", shown_up_to(&why, COMPLAINT));
            thread::sleep(wait);
            ask()
        }
        answered => answered,
    }
}

impl Chat<'_> {
    /// Posts JSON to a path below `base_url`; gives the answer if its status is 200.
    pub(super) fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
        until: Instant,
    ) -> Result<Answer, Failure> {
        let (url, body) = (format!("{}{path}", self.profile.base_url), body.to_string());
        let request = Request {
            url: &url,
            headers,
            body: body.as_bytes(),
            until,
            proxy: self.equipment.proxy.as_ref(),
        };
        let answer = request.send().map_err(|error| Failure::for_now(error.0))?;
        if answer.status == 200 { Ok(answer) } else { Err(refusal(answer)) }
    }
}

/// What an answer of another status than 200 means.
fn refusal(answer: Answer) -> Failure {
    let (status, retry_after) = (answer.status, answer.retry_after);
    let cure = match status {
        300..=399 => "; it is not followed, see `base_url`",
        401 | 403 => "; see `api_key`",
        404 => "; see `base_url` and `model`",
        _ => "",
    };
    let why = answer.fault("");
    let complaint =
        answer.read(MAX_JSON).ok().and_then(|body| complaint(&serde_json::from_slice(&body).ok()?));
    let complaint = complaint.map(|text| format!(" {}", shown_up_to(&text, COMPLAINT))).unwrap_or_default();
    let why = format!("{}{complaint}{cure}", why.0.trim_end());
    let is_busy = matches!(status, 429 | 503 | 529);
    let again = matches!(status, 408 | 429 | 500..).then(|| retry_after.unwrap_or(WAIT));
    Failure { why, is_busy, again }
}

/// What a server says is wrong: `{"error": {"message": …}}`, or as others write it.
pub(super) fn complaint(json: &Value) -> Option<String> {
    let error = ["error", "message", "detail", "msg"].iter().find_map(|name| json.get(name))?;
    match error {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Object(members) => match members.get("message") {
            Some(Value::String(text)) => Some(text.clone()),
            _ => Some(error.to_string()),
        },
        other => Some(other.to_string()),
    }
}

/// The JSON of a whole answer.
pub(super) fn json(answer: Answer) -> Result<Value, Failure> {
    let garbled = answer.fault("with no JSON");
    let body = answer.read(MAX_JSON).map_err(|error| Failure::for_now(error.0))?;
    serde_json::from_slice(&body).map_err(|_| garbled.into())
}
