//! A call that is proven and whose rule is found, with all that its answer takes, to be carried out elsewhere.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::{Call, Circumstances, SUCCESS, Seal, Terms};
use crate::http::Response;
use crate::rules::{Match, MediaLibrary, NoLibrary, Rule};
use crate::secret::Secret;
use crate::wechat::crypto::AesKey;
use crate::wechat::message::Message;
use crate::wechat::xml;

/// A call whose answer needs more than the config and the message.
pub struct Pending {
    terms: Arc<Terms>,
    received: Instant,
    circumstances: Circumstances,
    rule: Arc<Rule>,
    /// What its condition cut out of the message.
    captures: Vec<(String, String)>,
    /// The message as it was read, decrypted.
    body: Vec<u8>,
    seal: Option<OwnedSeal>,
}

struct OwnedSeal {
    token: Secret,
    key: AesKey,
    nonce: String,
}

impl Pending {
    pub(super) fn new(call: &Call<'_>, found: &Match<'_>, body: &[u8], seal: Option<Seal<'_>>) -> Self {
        Self {
            terms: Arc::clone(call.terms),
            received: call.received,
            circumstances: call.circumstances,
            rule: Arc::clone(&found.rule),
            captures: found.captures.iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect(),
            body: body.to_vec(),
            seal: seal.map(|Seal { token, key, nonce }| OwnedSeal {
                token: token.clone(),
                key: key.clone(),
                nonce: nonce.to_owned(),
            }),
        }
    }

    /// WeChat wants its answer by then.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.received + self.terms.deadline
    }

    /// Carries the rule's action out.
    #[must_use]
    pub fn respond(&self, media: &dyn MediaLibrary) -> Response {
        // It was read once already.
        let Ok(root) = xml::parse(&self.body) else { return Response::text(200, SUCCESS) };
        let Ok(message) = Message::from_xml(&root) else { return Response::text(200, SUCCESS) };
        let captures = self.captures.iter().map(|(name, text)| (name.clone(), text.as_str())).collect();
        let found = Match { rule: Arc::clone(&self.rule), captures };
        let seal = self.seal.as_ref().map(|OwnedSeal { token, key, nonce }| Seal { token, key, nonce });
        let call = Call { terms: &self.terms, received: self.received, circumstances: self.circumstances };
        call.respond(&message, Some(&found), seal, media)
    }
}

impl Pending {
    /// The answer of a rule whose action could not even be begun: its `on_error`.
    #[must_use]
    pub fn fail(&self) -> Response {
        self.respond(&NoLibrary)
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pending({})", self.rule.label())
    }
}
