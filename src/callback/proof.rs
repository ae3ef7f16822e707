//! The proof in the query: that a call comes from WeChat, and is of now.

use std::borrow::Cow;
use std::time::SystemTime;

use super::refusal::Refusal;
use super::terms::Terms;
use crate::clock::unix_seconds;
use crate::http::{Request, query_pairs};
use crate::secret::Secret;
use crate::wechat::signature::verify_signature;

/// The path must be the expected one, as the web server has it or as it was asked for.
pub(super) fn check_path(terms: &Terms, request: &Request) -> Result<(), Refusal> {
    let Some(expected) = terms.path.as_deref() else { return Ok(()) };
    let is_ours = |path: &[u8]| path.strip_suffix(b"/").unwrap_or(path) == expected.as_bytes();
    if request.paths().any(|path| is_ours(&path)) {
        return Ok(());
    }
    Err(Refusal::Path(String::from_utf8_lossy(&request.path()).into_owned()))
}

/// WeChat's parameters, percent-decoded.
#[derive(Debug, Default)]
pub(super) struct Query<'q> {
    pub(super) signature: Option<Cow<'q, str>>,
    pub(super) timestamp: Option<Cow<'q, str>>,
    pub(super) nonce: Option<Cow<'q, str>>,
    pub(super) echostr: Option<Cow<'q, str>>,
    pub(super) encrypt_type: Option<Cow<'q, str>>,
    pub(super) msg_signature: Option<Cow<'q, str>>,
}

impl<'q> Query<'q> {
    /// The first and only value of each. A second one is refused: whoever reads the other one would see another call.
    pub(super) fn parse(query: &'q [u8]) -> Result<Self, Refusal> {
        let mut parsed = Self::default();
        for (name, value) in query_pairs(query) {
            let (name, slot) = match name.as_ref() {
                b"signature" => ("signature", &mut parsed.signature),
                b"timestamp" => ("timestamp", &mut parsed.timestamp),
                b"nonce" => ("nonce", &mut parsed.nonce),
                b"echostr" => ("echostr", &mut parsed.echostr),
                b"encrypt_type" => ("encrypt_type", &mut parsed.encrypt_type),
                b"msg_signature" => ("msg_signature", &mut parsed.msg_signature),
                _ => continue,
            };
            if slot.is_some() {
                return Err(Refusal::Twice(name));
            }
            *slot = Some(text(value).ok_or(Refusal::NotText(name))?);
        }
        Ok(parsed)
    }
}

fn text(bytes: Cow<'_, [u8]>) -> Option<Cow<'_, str>> {
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

pub(super) fn required<'v>(value: Option<&'v Cow<'_, str>>, name: &'static str) -> Result<&'v str, Refusal> {
    value.map(Cow::as_ref).filter(|value| !value.is_empty()).ok_or(Refusal::Missing(name))
}

/// Checks the proof of the query, and gives the token that made it.
pub(super) fn verify<'t>(
    terms: &'t Terms,
    query: &Query<'_>,
    now: SystemTime,
) -> Result<&'t Secret, Refusal> {
    let signature = required(query.signature.as_ref(), "signature")?;
    let timestamp = required(query.timestamp.as_ref(), "timestamp")?;
    let nonce = required(query.nonce.as_ref(), "nonce")?;
    let token = terms
        .tokens
        .iter()
        .find(|token| verify_signature(token.expose(), timestamp, nonce, signature).is_ok())
        .ok_or(Refusal::Signature { name: "signature" })?;
    let Some(skew) = terms.clock_skew else { return Ok(token) };
    let sent: i64 = timestamp.parse().map_err(|_| Refusal::Timestamp)?;
    let ahead = sent.saturating_sub(i64::try_from(unix_seconds(now)).unwrap_or(i64::MAX));
    if ahead.unsigned_abs() > skew.as_secs() {
        return Err(Refusal::Stale(ahead));
    }
    Ok(token)
}
