//! What all of WeChat's attempts of a message are answered: written down once, by whoever is first.

use serde::{Deserialize, Serialize};

use super::DECISION;
use super::order::{Answer, Order};
use crate::store::{REPEATED_WITHIN, Store, StoreError};

/// How an answer goes that nobody waits for any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Way {
    Push,
    Fetch,
}

/// What all attempts of a message are answered, and what its user is to get beside that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The answer.
    pub answer: Answer,
    /// Nobody waits for what is worked out; it goes this way.
    pub(super) given_up: Option<Way>,
    /// Something is to be pushed still: what is worked out, or what follows the answer.
    #[serde(default)]
    pub(super) is_owed: bool,
    /// Who worked it out has died: nothing follows this answer.
    #[serde(default)]
    pub(super) is_lost: bool,
    /// More replies follow the answer, and may wait in the outbox.
    #[serde(default)]
    pub(super) is_followed: bool,
}

impl Decision {
    /// That a message is answered this, and that is all.
    pub(super) fn answered(answer: Answer) -> Self {
        Self { answer, given_up: None, is_owed: false, is_lost: false, is_followed: false }
    }

    /// That a message is answered this, as who worked it out has died.
    pub(super) fn lost(answer: Answer) -> Self {
        Self { is_lost: true, ..Self::answered(answer) }
    }

    /// That a message is answered this, as nobody waits any longer for what is worked out.
    pub(super) fn given_up(answer: Answer, way: Way) -> Self {
        Self { given_up: Some(way), is_owed: way == Way::Push, ..Self::answered(answer) }
    }

    /// What was decided about a message.
    pub(super) fn of(store: &dyn Store, message: &str) -> Result<Option<Self>, StoreError> {
        let Some(value) = store.get(&key_of(message))? else { return Ok(None) };
        serde_json::from_slice(&value.bytes).map(Some).map_err(|error| StoreError {
            place: "answer".to_owned(),
            cause: format!("has a value that this version cannot read: {error}"),
        })
    }

    /// Decides a message unless that is done; gives what is decided.
    pub(super) fn decide(self, store: &dyn Store, message: &str) -> Result<Self, StoreError> {
        let bytes = serde_json::to_vec(&self).unwrap_or_default();
        loop {
            if store.put_if(&key_of(message), None, &bytes, self.life())? {
                return Ok(self);
            }
            if let Some(decision) = Self::of(store, message)? {
                return Ok(decision);
            }
        }
    }

    /// Decides it again, by who delivers it.
    pub(super) fn amend(&self, store: &dyn Store, message: &str) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        store.put(&key_of(message), &bytes, self.life())
    }

    fn life(&self) -> std::time::Duration {
        if self.given_up.is_some() || self.is_owed || self.is_followed { DECISION } else { REPEATED_WITHIN }
    }

    /// Whether it is the answer of attempts that wait, and not what they are told meanwhile.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.given_up.is_none()
    }

    /// Whether both say the same, though something of it may have been delivered meanwhile.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (&self.answer, self.given_up) == (&other.answer, other.given_up)
    }

    /// For an attempt that is not the first to hear it.
    pub(super) fn again(self) -> Self {
        let met = format!("{}, as before", self.answer.met);
        Self { answer: Answer { met, ..self.answer }, ..self }
    }
}

/// Whether something is to be pushed for a message.
pub(super) fn is_owed(store: &dyn Store, order: &Order) -> Result<bool, StoreError> {
    let decision = Decision::of(store, &order.message)?;
    Ok(decision.is_some_and(|decision| decision.is_owed))
}

fn key_of(message: &str) -> String {
    format!("answer/{message}")
}
