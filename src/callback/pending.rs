//! A call that is proven, with all that its answer takes, to be answered elsewhere.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::{Answered, Call, Circumstances, Means, MustWait, SUCCESS, Seal, Terms};
use crate::http::Response;
use crate::rules::{MediaFile, MediaLibrary, NoLibrary};
use crate::secret::Secret;
use crate::store::Store;
use crate::wechat::crypto::AesKey;
use crate::wechat::xml;

/// A call whose answer needs more than the config and the message.
pub struct Pending {
    terms: Arc<Terms>,
    received: Instant,
    circumstances: Circumstances,
    waits_for: MustWait,
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
    pub(super) fn new(call: &Call<'_>, waits_for: MustWait, body: &[u8], seal: Option<Seal<'_>>) -> Self {
        Self {
            terms: Arc::clone(call.terms),
            received: call.received,
            circumstances: call.circumstances,
            waits_for,
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

    /// Asks the rules again, from the first on, and carries out what the one that answers says.
    #[must_use]
    pub fn respond(&self, means: &dyn Means) -> Response {
        let seal = self.seal.as_ref().map(|OwnedSeal { token, key, nonce }| Seal { token, key, nonce });
        let call = Call {
            terms: &self.terms,
            received: self.received,
            circumstances: self.circumstances,
            means: Some(means),
            waited_for: Some(self.waits_for),
        };
        // It was read once already.
        let answered = xml::parse(&self.body).map(|root| call.reply_to(&root, &self.body, seal));
        match answered {
            Ok(Ok(Answered::Now(response))) => response,
            _ => Response::text(200, SUCCESS),
        }
    }

    /// The answer of a rule whose action could not even be begun: its `on_error`.
    #[must_use]
    pub fn fail(&self) -> Response {
        self.respond(&NoMeans)
    }
}

/// Where nothing can be asked or uploaded.
#[derive(Debug)]
struct NoMeans;

impl MediaLibrary for NoMeans {
    fn media_id(&self, file: &MediaFile) -> Result<String, String> {
        NoLibrary.media_id(file)
    }
}

impl Means for NoMeans {
    fn store(&self) -> Result<Arc<dyn Store>, String> {
        Err("the store cannot be asked from here".to_owned())
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pending({} bytes)", self.body.len())
    }
}
