//! `relay`: another WeChat server works the answer out. It gets the message as if WeChat had sent it.

use std::time::{Instant, SystemTime};

use super::agent::Request;
use super::{Equipment, Handled, HandlerError, Task};
use crate::chance::random;
use crate::clock::unix_seconds;
use crate::rules::{Backend, Secure};
use crate::secret::Secret;
use crate::wechat::crypto::{AesKey, open_envelope, seal_envelope};
use crate::wechat::message::Message;
use crate::wechat::reply::{Reply, check_names};
use crate::wechat::signature::{sign, verify_msg_signature};
use crate::wechat::web::percent_encode;
use crate::wechat::xml::{self, push_cdata};

/// No reply is larger, bytes.
const MAX_REPLY: usize = 256 << 10;

/// What means that there is nothing to say.
const SUCCESS: &str = "success";

pub(super) fn run(
    backends: &[Backend],
    equipment: &Equipment,
    task: &Task<'_>,
) -> Result<Handled, HandlerError> {
    let mut failed = HandlerError("there is no back-end".to_owned());
    for (backend, place) in backends.iter().zip(1..) {
        let now = Instant::now();
        if place > 1 && now >= task.until {
            break;
        }
        let until = (now + backend.timeout).min(task.until);
        match ask(backend, equipment, task, until) {
            Ok(reply) => return Ok(Handled { replies: reply.into_iter().collect(), ..Handled::default() }),
            Err(error) => failed = error,
        }
        if place < backends.len() {
            log::warn!(target: "relay", kind = "back-end"; "{failed}; the next back-end is asked");
        }
    }
    Err(failed)
}

/// The reply of one back-end, if it has something to say.
fn ask(
    backend: &Backend,
    equipment: &Equipment,
    task: &Task<'_>,
    until: Instant,
) -> Result<Option<Reply>, HandlerError> {
    let token = backend.token.resolve().map_err(HandlerError)?;
    let keys = backend.secure.as_ref().map(Keys::of).transpose()?;
    let letter = Letter::new(&token, keys.as_ref(), task)?;
    let url = format!("{}{}{}", backend.url, if backend.url.contains('?') { '&' } else { '?' }, letter.query);
    let request = Request {
        url: &url,
        headers: &[("Content-Type", "text/xml")],
        body: letter.body.as_bytes(),
        until,
        proxy: equipment.proxy.as_ref(),
    };
    let answer = request.send()?;
    if answer.status != 200 {
        return Err(answer.fault("instead of a reply"));
    }
    let host = answer.host().to_owned();
    let wrong = |why: String| HandlerError(format!("what {host} replied cannot be passed on: {why}"));
    let body = answer.read(MAX_REPLY)?;
    let body = String::from_utf8(body).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
    let body = body.trim();
    if body.is_empty() || body == SUCCESS {
        return Ok(None);
    }
    match &keys {
        Some(keys) => read(&keys.open(body, &token).map_err(wrong)?, task.message),
        None => read(body, task.message),
    }
    .map_err(wrong)
}

/// The reply that is written so, if it is for who sent the message.
fn read(xml: &str, message: &Message<'_>) -> Result<Option<Reply>, String> {
    let xml = xml.trim();
    if xml.is_empty() || xml == SUCCESS {
        return Ok(None);
    }
    let root = xml::parse_text(xml).map_err(|error| error.to_string())?;
    check_names(&root, message.from_user, message.to_user).map_err(|error| error.to_string())?;
    Reply::from_xml(&root).map(Some).map_err(|error| error.to_string())
}

/// What WeChat would send.
struct Letter {
    query: String,
    body: String,
}

impl Letter {
    fn new(token: &Secret, keys: Option<&Keys>, task: &Task<'_>) -> Result<Self, HandlerError> {
        let token = token.expose();
        let timestamp = unix_seconds(SystemTime::now()).to_string();
        let no_chance = |error| HandlerError(format!("no chance: {error}"));
        let nonce = u64::from_le_bytes(random().map_err(no_chance)?).to_string();
        let signature = sign([token, &timestamp, &nonce]);
        let openid = percent_encode(task.message.from_user);
        let mut query = format!("signature={signature}&timestamp={timestamp}&nonce={nonce}&openid={openid}");
        let body = std::str::from_utf8(task.body)
            .map_err(|_| HandlerError("the message is not UTF-8".to_owned()))?;
        let Some(keys) = keys else { return Ok(Self { query, body: body.to_owned() }) };
        let encrypt = seal_envelope(body, &keys.aes_key, &keys.app_id, random().map_err(no_chance)?);
        let msg_signature = sign([token, &timestamp, &nonce, &encrypt]);
        query.push_str("&encrypt_type=aes&msg_signature=");
        query.push_str(&msg_signature);
        let mut body = "<xml><ToUserName>".to_owned();
        push_cdata(&mut body, task.message.to_user);
        body.push_str("</ToUserName><Encrypt>");
        push_cdata(&mut body, &encrypt);
        body.push_str("</Encrypt></xml>");
        Ok(Self { query, body })
    }
}

/// What a back-end in secure mode shares with us.
struct Keys {
    aes_key: AesKey,
    app_id: String,
}

impl Keys {
    fn of(secure: &Secure) -> Result<Self, HandlerError> {
        let key = secure.encoding_aes_key.resolve().map_err(HandlerError)?;
        let aes_key = AesKey::parse(key.expose())
            .map_err(|error| HandlerError(format!("`encoding_aes_key` of a back-end: {error}")))?;
        Ok(Self { aes_key, app_id: secure.app_id.clone() })
    }

    /// The reply inside an envelope that was sealed and signed by who has our keys.
    fn open(&self, envelope: &str, token: &Secret) -> Result<String, String> {
        let root = xml::parse_text(envelope).map_err(|error| error.to_string())?;
        let part = |name: &'static str| {
            root.child_text(name).map(str::trim).ok_or_else(|| format!("it is not encrypted: no `{name}`"))
        };
        let (encrypt, signature) = (part("Encrypt")?, part("MsgSignature")?);
        verify_msg_signature(token.expose(), part("TimeStamp")?, part("Nonce")?, encrypt, signature)
            .map_err(|error| error.to_string())?;
        open_envelope(encrypt, &self.aes_key, &self.app_id).map_err(|error| error.to_string())
    }
}
