//! `http`: a server that gets the message as JSON works the answer out.
//!
//! With a `secret` it can tell that we ask, and that nobody repeats what we once asked: the signature is HMAC-SHA256 over
//! the time in Unix seconds, a full stop and the body.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::agent::{Answer, Request};
use super::question::Question;
use super::reading::Reader;
use super::{Equipment, Handled, HandlerError, Task, said};
use crate::clock::unix_seconds;
use crate::rules::{Cache, Http, Output, Rules, Scope, Tables};
use crate::secret::{Secret, hide};
use crate::store::Store;
use crate::wechat::message::Message;

/// What signs the body.
const SIGNATURE: &str = "X-Wxcgi-Signature";
const TIMESTAMP: &str = "X-Wxcgi-Timestamp";
const DEADLINE: &str = "X-Wxcgi-Deadline-Ms";

/// The headers that are ours to set, in small letters.
pub const OUR_HEADERS: &[&str] = &[
    "host",
    "content-type",
    "content-length",
    "transfer-encoding",
    "connection",
    "x-wxcgi-signature",
    "x-wxcgi-timestamp",
    "x-wxcgi-deadline-ms",
];

pub(super) fn run(http: &Http, equipment: &Equipment, task: &Task<'_>) -> Result<Handled, HandlerError> {
    let reader = Reader { folder: None, media: task.media };
    let kept = http.cache.as_ref().map(|cache| Kept::of(cache, http, task)).transpose()?.flatten();
    if let Some((output, answer)) = kept.as_ref().and_then(Kept::get) {
        return reader.read(output, &answer);
    }
    let answer = ask(http, equipment, &Question::new(&task.parts()), task.until)?;
    let (output, answer) = take(answer, http.max_output)?;
    let handled = reader.read(output, &answer)?;
    // What changes what is remembered of one user is none for another.
    if let Some(kept) = kept.filter(|_| handled.session.is_empty()) {
        kept.put(output, &answer);
    }
    Ok(handled)
}

/// Asks the server; gives its answer, whatever it is.
pub(super) fn ask(
    http: &Http,
    equipment: &Equipment,
    question: &Question<'_>,
    until: Instant,
) -> Result<Answer, HandlerError> {
    let body = question.json();
    let timestamp = unix_seconds(SystemTime::now()).to_string();
    let deadline = question.deadline_ms().to_string();
    let secret = http.secret.as_ref().map(|secret| secret.resolve().map_err(HandlerError)).transpose()?;
    let signature = secret.as_ref().map(|secret| sign(secret, &timestamp, &body));
    let own =
        http.headers.iter().map(|(name, value)| Ok((name.as_str(), value.resolve().map_err(HandlerError)?)));
    let own: Vec<(&str, Secret)> = own.collect::<Result<_, _>>()?;
    let mut headers = vec![("Content-Type", "application/json"), (DEADLINE, deadline.as_str())];
    if let Some(signature) = &signature {
        headers.extend([(TIMESTAMP, timestamp.as_str()), (SIGNATURE, signature.as_str())]);
    }
    headers.extend(own.iter().map(|(name, value)| (*name, value.expose())));
    let request =
        Request { url: &http.url, headers: &headers, body: &body, until, proxy: equipment.proxy.as_ref() };
    request.send().map_err(|HandlerError(error)| {
        HandlerError(hide(&error, own.iter().map(|(_, value)| value.expose())))
    })
}

/// `sha256=…`
pub(super) fn sign(secret: &Secret, timestamp: &str, body: &[u8]) -> String {
    // Every key has a length that HMAC takes.
    let mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
        .map(|mac| mac.chain_update(timestamp).chain_update(".").chain_update(body).finalize().into_bytes());
    format!("sha256={}", mac.map(hex::encode).unwrap_or_default())
}

/// The body of an answer, and what it is.
fn take(answer: Answer, limit: usize) -> Result<(Output, Vec<u8>), HandlerError> {
    let output = match (answer.status, answer.content_type.as_str()) {
        (204, _) => return Ok((Output::Text, Vec::new())),
        (200..300, "application/json") => Output::Json,
        (200..300, "text/plain") => Output::Text,
        (200..300, _) => {
            let body_less = answer.fault("as neither text/plain nor application/json");
            let body = answer.read(limit)?;
            return if body.is_empty() { Ok((Output::Text, body)) } else { Err(body_less) };
        }
        (300..400, _) => return Err(answer.fault("which leads elsewhere; that is not followed")),
        _ => return Err(answer.fault("instead of an answer")),
    };
    Ok((output, answer.read(limit)?))
}

/// The place of an answer in the store.
struct Kept<'k> {
    store: &'k Arc<dyn Store>,
    cache: &'k Cache,
    key: String,
}

impl<'k> Kept<'k> {
    /// `None` if nothing says what is alike.
    fn of(cache: &'k Cache, http: &Http, task: &Task<'k>) -> Result<Option<Self>, HandlerError> {
        let alike = if let Some(template) = &cache.key {
            let (rules, tables) = (&Rules::default(), &Tables::default());
            let Task { message, captures, app_id, rule, session, media, .. } = *task;
            let now = SystemTime::now();
            let scope = Scope { message, captures, app_id, rule, rules, tables, session, now, media };
            let key = template.render(&scope);
            key.map_err(|error| HandlerError(format!("`cache_key`: {error}")))?.into_owned()
        } else if let Some(wish) = wish(task.message) {
            format!("{}\0{wish}", task.rule.unwrap_or_default())
        } else {
            return Ok(None);
        };
        let key = format!("http/{}", hex::encode(Sha1::digest(format!("{}\0{alike}", http.url))));
        Ok(Some(Self { store: task.store, cache, key }))
    }

    fn get(&self) -> Option<(Output, Vec<u8>)> {
        let kept = self.store.get(&self.key);
        let kept = kept.map_err(|error| log::warn!(target: "http", kind = "cache"; "{error}")).ok()??;
        let (kind, answer) = kept.bytes.split_first()?;
        Some((if *kind == b'j' { Output::Json } else { Output::Text }, answer.to_vec()))
    }

    fn put(&self, output: Output, answer: &[u8]) {
        let kind = if output == Output::Json { b'j' } else { b't' };
        if let Err(error) = self.store.put(&self.key, &[&[kind], answer].concat(), self.cache.life) {
            log::warn!(target: "http", kind = "cache"; "{error}");
        }
    }
}

/// What a user wants, as far as it has a name: what was said, or the key of the menu.
fn wish<'m>(message: &'m Message<'m>) -> Option<Cow<'m, str>> {
    match message.event() {
        Some(event) if event.name().eq_ignore_ascii_case("click") => {
            let key = message.fields().child_text("EventKey")?;
            Some(format!("\0{key}").into())
        }
        _ => said(message).map(Cow::Borrowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Python: `hmac.new(b"hunter2", b"1700000000." + body, hashlib.sha256).hexdigest()`.
    #[test]
    fn the_signature_is_that_of_other_libraries() {
        let signature = sign(&Secret::new("hunter2"), "1700000000", "{\"message\":\"你好\"}".as_bytes());
        assert_eq!(signature, "sha256=bf7af7c616b4807134fd9a1ae7d6d581c0f93127b90cd8f62a2f47e4a09e4c19");
    }
}
