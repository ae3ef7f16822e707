//! A call that is proven, with all that its answer takes, to be answered elsewhere.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::actions::Actions;
use super::call::Call;
use super::envelope::Seal;
use super::means::{Means, NoMeans};
use super::must_wait::MustWait;
use super::terms::{Circumstances, Terms};
use crate::delivery::{Answer, Order, SUCCESS};
use crate::http::Response;
use crate::secret::Secret;
use crate::wechat::crypto::AesKey;
use crate::wechat::message::Message;
use crate::wechat::reply::Reply;
use crate::wechat::xml;

/// A call whose answer needs more than the config and the message.
pub struct Pending {
    terms: Arc<Terms>,
    received: Instant,
    circumstances: Circumstances,
    asks_memory: bool,
    order: Option<Box<Order>>,
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
        let Actions { terms, received, circumstances, .. } = call.actions;
        Self {
            asks_memory: call.asks_memory || waits_for == MustWait::Memory,
            order: if let MustWait::Delivery(order) = waits_for { Some(order) } else { None },
            seal: seal.map(|Seal { token, key, nonce }| OwnedSeal {
                token: token.clone(),
                key: key.clone(),
                nonce: nonce.to_owned(),
            }),
            ..Self::of_message(terms, body.to_vec(), received, circumstances)
        }
    }

    /// A message that came by a call to another process, which answers it.
    #[must_use]
    pub fn of_message(
        terms: &Arc<Terms>,
        body: Vec<u8>,
        received: Instant,
        circumstances: Circumstances,
    ) -> Self {
        let terms = Arc::clone(terms);
        Self { terms, received, circumstances, asks_memory: false, order: None, body, seal: None }
    }

    /// WeChat wants its answer by then.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.received + self.terms.deadline
    }

    /// What has to be delivered for it, if that is known already.
    #[must_use]
    pub fn order(&self) -> Option<&Order> {
        self.order.as_deref()
    }

    /// The message as it was read, decrypted.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// When its call was received.
    #[must_use]
    pub fn received(&self) -> Instant {
        self.received
    }

    /// Time and chance as its call had them.
    #[must_use]
    pub fn circumstances(&self) -> Circumstances {
        self.circumstances
    }

    fn seal(&self) -> Option<Seal<'_>> {
        self.seal.as_ref().map(|OwnedSeal { token, key, nonce }| Seal { token, key, nonce })
    }

    fn call<'c>(&'c self, means: &'c dyn Means) -> Call<'c> {
        let actions = Actions::new(&self.terms, self.received, self.circumstances);
        Call::new(actions.by(means, &self.body), self.asks_memory)
    }

    /// Asks the rules again, from the first on, and carries out what the one that answers says.
    ///
    /// # Errors
    ///
    /// The order, if the answer takes more than one reply or more time than WeChat gives.
    pub fn respond(&self, means: &dyn Means) -> Result<Response, Box<Order>> {
        // It was read once already.
        let answered = xml::parse(&self.body).map(|root| self.call(means).reply_to(&root, self.seal()));
        match answered {
            Ok(Ok(Ok(response))) => Ok(response),
            Ok(Ok(Err(MustWait::Delivery(order)))) => Err(order),
            _ => Ok(Response::text(200, SUCCESS)),
        }
    }

    /// Works its answer out, whatever that takes, and gives all of it; where it fails, what the rule says then.
    #[must_use]
    pub fn work_out(&self, order: &Order, means: &dyn Means) -> Vec<Reply> {
        let Ok(root) = xml::parse(&self.body) else { return Vec::new() };
        let call = self.call(means).job(&order.said);
        call.unblocked(&root, |message| call.work_out(message, order, means)).unwrap_or_default()
    }

    /// The response with an answer that was worked out elsewhere.
    #[must_use]
    pub fn respond_with(&self, answer: &Answer) -> Response {
        let parsed = xml::parse(&self.body).ok();
        let message = parsed.as_ref().and_then(|root| Message::from_xml(root).ok());
        match message {
            Some(message) => self.call(&NoMeans).send(&message, answer, self.seal()),
            None => Response::text(200, SUCCESS),
        }
    }

    /// The answer of a rule whose action could not even be begun: its `on_error`.
    #[must_use]
    pub fn fail(&self) -> Response {
        match self.respond(&NoMeans) {
            Ok(response) => response,
            Err(order) => self.respond_with(&order.failure()),
        }
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pending({} bytes)", self.body.len())
    }
}
