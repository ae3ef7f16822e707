//! Rules as bytes. A CGI process answers one message: of ten thousand rules it reads those that the index names, and
//! no others.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::blocked::Blocked;
use super::index::Index;
use super::{Rule, Rules, Source};

/// The index, where each rule stands, and the rules one after the other.
#[derive(Debug)]
pub(super) struct StoredRules {
    bytes: Vec<u8>,
    index: Range<usize>,
    places: Range<usize>,
    rules: Range<usize>,
}

/// What the bytes begin with.
#[derive(Serialize, Deserialize)]
struct Head<B> {
    blocked: B,
    needs_delivery: bool,
    /// Bytes of the index.
    index: usize,
    /// How many rules there are.
    count: usize,
}

/// Bytes of a place: where a rule ends, counted from the first; it begins where the one before ends.
const PLACE: usize = size_of::<u32>();

impl Rules {
    /// All rules as bytes, for [`Rules::from_bytes`] of this very build.
    ///
    /// # Errors
    ///
    /// None that is known; the encoder could report one.
    pub fn to_bytes(&self) -> Result<Vec<u8>, postcard::Error> {
        let (mut places, mut rules) = (Vec::new(), Vec::new());
        for rule in self.iter() {
            rules = postcard::to_extend(rule.as_ref(), rules)?;
            let end = u32::try_from(rules.len()).map_err(|_| postcard::Error::SerializeBufferFull)?;
            places.extend(end.to_le_bytes());
        }
        let index = self.source.index().0;
        let head = Head {
            blocked: &self.blocked,
            needs_delivery: self.needs_delivery,
            index: index.len(),
            count: places.len() / PLACE,
        };
        Ok([postcard::to_allocvec(&head)?, index.to_vec(), places, rules].concat())
    }

    /// Rules that were made to bytes; those stand in `bytes` from `start` on. Each is read when a message may meet it.
    ///
    /// # Errors
    ///
    /// If the bytes are none of ours. Whether they are whole is for the caller to know, by a checksum.
    pub fn from_bytes(bytes: Vec<u8>, start: usize) -> Result<Self, postcard::Error> {
        let (head, rest) =
            postcard::take_from_bytes::<Head<Vec<Blocked>>>(bytes.get(start..).unwrap_or_default())?;
        let index = bytes.len() - rest.len();
        let places = index.saturating_add(head.index);
        let rules = places.saturating_add(head.count.saturating_mul(PLACE));
        if rules > bytes.len() {
            return Err(postcard::Error::DeserializeUnexpectedEnd);
        }
        let (index, places, rules) = (index..places, places..rules, rules..bytes.len());
        Ok(Self {
            source: Source::Stored(StoredRules { bytes, index, places, rules }),
            blocked: head.blocked,
            disabled: Vec::new(),
            needs_delivery: head.needs_delivery,
        })
    }
}

impl StoredRules {
    pub(super) fn index(&self) -> Index<'_> {
        Index(&self.bytes[self.index.clone()])
    }

    /// How many rules there are.
    pub(super) fn len(&self) -> usize {
        self.places.len() / PLACE
    }

    /// The rule of this number, from 0.
    pub(super) fn get(&self, number: usize) -> Option<Arc<Rule>> {
        let end = |number: usize| {
            let places = &self.bytes[self.places.clone()];
            let place = places.get(number * PLACE..)?.first_chunk()?;
            usize::try_from(u32::from_le_bytes(*place)).ok()
        };
        let from = if number == 0 { 0 } else { end(number - 1)? };
        let rule = self.bytes[self.rules.clone()].get(from..end(number)?)?;
        postcard::from_bytes(rule).inspect_err(tell).ok().map(Arc::new)
    }
}

/// Bytes with a right checksum that cannot be read are a fault of this program.
fn tell(error: &postcard::Error) {
    log::error!(target: "rules", "the compiled config cannot be read ({error}); touch the config to have it made anew");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Action, Condition, Flow, Fold, Role, Template, Test};

    #[test]
    fn stored_rules_say_what_they_said_before() {
        let rule = |number: usize| Rule {
            name: Some(format!("name {number}")),
            role: Role::Rule(number),
            file: None,
            line: 10 * number,
            when: Condition::new(Fold::On, vec![Test::Text(vec![format!("word {number}")])]),
            then: Action::Text(Template::new(format!("{{{{ message.content }}}} {number}"))),
            help: None,
            on_error: None,
            sequel: crate::rules::Sequel::default(),
            flow: Flow::Next,
            alias: None,
        };
        let ready =
            Rules::new((1..=300).map(rule).collect()).with_blocked(vec![Blocked::new(&[], Fold::Off)]);
        let stored = Rules::from_bytes([b"before".to_vec(), ready.to_bytes().unwrap()].concat(), 6).unwrap();
        let shown = |rules: &Rules| rules.iter().map(|rule| format!("{rule:?}")).collect::<Vec<_>>();
        assert_eq!(shown(&stored), shown(&ready));
        assert_eq!((stored.blocked().len(), stored.is_empty()), (1, false));
        assert_eq!(stored.to_bytes(), ready.to_bytes());
    }

    #[test]
    fn what_is_not_stored_rules_is_refused() {
        assert!(Rules::from_bytes(vec![7; 40], 0).is_err());
        assert!(Rules::from_bytes(Vec::new(), 5).is_err());
        let bytes = Rules::default().to_bytes().unwrap();
        assert!((0..bytes.len()).all(|length| {
            Rules::from_bytes(bytes[..length].to_vec(), 0).is_ok_and(|rules| rules.is_empty())
                || Rules::from_bytes(bytes[..length].to_vec(), 0).is_err()
        }));
    }
}
