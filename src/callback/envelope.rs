//! The envelope of a call in compatible or secure mode: its opening, and the sealing of the reply.

use super::proof::{Query, required};
use super::refusal::Refusal;
use super::terms::{Circumstances, Terms};
use crate::clock::unix_seconds;
use crate::delivery::SUCCESS;
use crate::secret::Secret;
use crate::wechat::crypto::{AesKey, open_envelope, seal_envelope};
use crate::wechat::envelope::envelope_xml;
use crate::wechat::mode::Mode;
use crate::wechat::signature::verify_msg_signature;
use crate::wechat::xml::Element;

/// An opened envelope, and the key that opened it.
pub(super) struct Opened<'t> {
    pub(super) message: String,
    pub(super) key: &'t AesKey,
}

/// How a reply is sealed: as its call was.
#[derive(Clone, Copy)]
pub(super) struct Seal<'t> {
    pub(super) token: &'t Secret,
    pub(super) key: &'t AesKey,
    pub(super) nonce: &'t str,
}

/// Opens the envelope of a call; `None` if the fields lie open.
pub(super) fn open<'t>(
    terms: &'t Terms,
    query: &Query<'_>,
    outer: &Element<'_>,
) -> Result<Option<Opened<'t>>, Refusal> {
    let is_encrypted = match query.encrypt_type.as_deref() {
        None | Some("" | "raw") => false,
        Some("aes") => true,
        Some(other) => return Err(Refusal::EncryptType(other.to_owned())),
    };
    let has_open_fields = outer.child("MsgType").is_some();
    let found = match (is_encrypted, has_open_fields) {
        (false, _) => Mode::Plaintext,
        (true, true) => Mode::Compatible,
        (true, false) => Mode::Secure,
    };
    if !terms.mode.takes(found) {
        return Err(Refusal::TooWeak { found });
    }
    match (found, terms.app_id.as_deref().filter(|_| !terms.keys.is_empty())) {
        // Without a key the open fields of compatible mode still make a message, and may be answered openly.
        (Mode::Plaintext, _) | (Mode::Compatible, None) => Ok(None),
        (Mode::Secure, None) => Err(Refusal::NoKey),
        (_, Some(app_id)) => open_with(terms, app_id, query, outer).map(Some),
    }
}

fn open_with<'t>(
    terms: &'t Terms,
    app_id: &str,
    query: &Query<'_>,
    outer: &Element<'_>,
) -> Result<Opened<'t>, Refusal> {
    let encrypt = outer.child_text("Encrypt").ok_or(Refusal::NoEnvelope)?;
    let msg_signature = required(query.msg_signature.as_ref(), "msg_signature")?;
    let (timestamp, nonce) =
        (required(query.timestamp.as_ref(), "timestamp")?, required(query.nonce.as_ref(), "nonce")?);
    let proves = |token: &Secret| {
        verify_msg_signature(token.expose(), timestamp, nonce, encrypt, msg_signature).is_ok()
    };
    if !terms.tokens.iter().any(proves) {
        return Err(Refusal::Signature { name: "msg_signature" });
    }
    let mut refusal = Refusal::NoKey;
    for key in &terms.keys {
        match open_envelope(encrypt, key, app_id) {
            Ok(message) => return Ok(Opened { message, key }),
            // What the current key says is the better cause: the previous one is wrong most of the time.
            Err(error) if matches!(refusal, Refusal::NoKey) => refusal = error.into(),
            Err(_) => {}
        }
    }
    Err(refusal)
}

impl Seal<'_> {
    /// The reply as it leaves; `None` if it cannot: then `success` is the only legal body.
    pub(super) fn close(self, xml: &str, terms: &Terms, circumstances: Circumstances) -> Option<String> {
        let Some(random) = (circumstances.random)() else {
            log::error!(target: "callback", "the system gives no random bytes; answered {SUCCESS}");
            return None;
        };
        let encrypt = seal_envelope(xml, self.key, terms.app_id.as_deref()?, random);
        Some(envelope_xml(&encrypt, self.token.expose(), unix_seconds(circumstances.now), self.nonce))
    }
}
