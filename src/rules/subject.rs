//! What conditions look at, and what they cut out of it.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::time::SystemTime;

use super::fold::{Fold, Folded};
use super::handler::Guard;
use super::memory::Past;
use crate::wechat::event::key_without_prefix;
use crate::wechat::message::{Content, KNOWN_TYPES, Message};
use crate::wechat::xml::Element;

/// What conditions may ask beyond the message itself. Nothing of it is looked at before a condition asks, so what costs
/// something belongs here as a way to get it: rules that do not ask do not pay.
#[derive(Debug, Clone, Copy)]
pub struct Circumstance<'p> {
    /// The time.
    pub now: SystemTime,
    /// What was before; `None` where nobody may be asked: rules are found up to the first that would ask.
    pub past: Option<&'p dyn Past>,
    /// Programs and servers that guard rules; `None` where nobody may be asked, as with `past`.
    pub outside: Option<&'p dyn Outside>,
}

/// Who asks the programs and servers that guard rules.
pub trait Outside: fmt::Debug {
    /// Whether they agree that a rule meets the message, out of which it cut `captures` so far. What fails is a no.
    fn agrees(&self, guard: &Guard, captures: &Captures<'_>) -> bool;
}

impl Circumstance<'_> {
    /// At this time, without a past, and nobody to ask.
    #[must_use]
    pub fn at(now: SystemTime) -> Self {
        Self { now, past: None, outside: None }
    }
}

/// Where programs and servers cannot be asked: they do not agree.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Outside for Nobody {
    fn agrees(&self, _guard: &Guard, _captures: &Captures<'_>) -> bool {
        false
    }
}

/// What the conditions look at, taken from a message once.
#[derive(Debug)]
pub struct Subject<'m> {
    /// What a text message says, or what WeChat understood of a spoken one.
    text: Option<&'m str>,
    /// `MsgType`.
    pub(super) msg_type: &'m str,
    /// `Event` of an event.
    pub(super) event: Option<&'m str>,
    /// `EventKey` without `qrscene_`: scanning a code means the same to a new follower and to an old one.
    pub(super) key: Option<&'m str>,
    /// The openid of the sender.
    pub(super) from_user: &'m str,
    /// Whether a person sent it, and it is of a kind that we know: nobody waits for an answer to anything else.
    pub(super) is_sent: bool,
    pub(super) circumstance: Circumstance<'m>,
    /// Whether a past, or somebody outside, was asked for that is not there.
    lacks_past: Cell<bool>,
    fields: Option<&'m Element<'m>>,
    /// One for each [`Fold`], made when it is first asked for.
    folded: [OnceCell<Folded<'m>>; 3],
}

impl<'m> Subject<'m> {
    /// The subject of `message`.
    #[must_use]
    pub fn of(message: &Message<'m>, circumstance: &Circumstance<'m>) -> Self {
        let fields = message.fields();
        let text = match &message.content {
            Content::Text { content, .. } => Some(*content),
            Content::Voice { recognition, .. } => Some(*recognition).filter(|said| !said.trim().is_empty()),
            _ => None,
        };
        Self {
            event: fields.child_text("Event"),
            key: fields.child_text("EventKey").map(key_without_prefix),
            from_user: message.from_user,
            is_sent: !matches!(message.content, Content::Event(_) | Content::Unknown { .. }),
            fields: Some(fields),
            ..Self::bare(text, message.msg_type, *circumstance)
        }
    }

    /// A text that nobody sent: what rules would make of it.
    pub(super) fn of_text(text: &'m str) -> Self {
        Self { is_sent: true, ..Self::bare(Some(text), "text", Circumstance::at(SystemTime::UNIX_EPOCH)) }
    }

    /// A message of this type that nobody sent.
    pub(super) fn of_type(kind: &'m str) -> Self {
        let is_sent = KNOWN_TYPES.contains(&kind);
        Self { is_sent, ..Self::bare(None, kind, Circumstance::at(SystemTime::UNIX_EPOCH)) }
    }

    /// An event that did not happen.
    pub(super) fn of_event(event: &'m str, key: Option<&'m str>) -> Self {
        let bare = Self::bare(None, "event", Circumstance::at(SystemTime::UNIX_EPOCH));
        Self { event: Some(event), key, ..bare }
    }

    fn bare(text: Option<&'m str>, msg_type: &'m str, circumstance: Circumstance<'m>) -> Self {
        Self {
            text,
            msg_type,
            event: None,
            key: None,
            from_user: "",
            is_sent: false,
            circumstance,
            lacks_past: Cell::new(false),
            fields: None,
            folded: Default::default(),
        }
    }

    /// What was before, if there is somebody to ask.
    pub(super) fn past(&self) -> Option<&'m dyn Past> {
        self.lacks_past.set(self.lacks_past.get() || self.circumstance.past.is_none());
        self.circumstance.past
    }

    /// Who asks outside, if anybody may.
    pub(super) fn outside(&self) -> Option<&'m dyn Outside> {
        self.lacks_past.set(self.lacks_past.get() || self.circumstance.outside.is_none());
        self.circumstance.outside
    }

    /// Whether a past, or somebody outside, was asked for that is not there.
    pub(super) fn lacks_past(&self) -> bool {
        self.lacks_past.get()
    }

    /// The text as it is compared under `fold`; `None` if there is no text.
    pub(super) fn folded(&self, fold: Fold) -> Option<&Folded<'m>> {
        let text = self.text?;
        Some(self.folded[fold as usize].get_or_init(|| Folded::new(text, fold)))
    }

    /// What stands at `path` of the document, as `SendLocationInfo/Label`; empty is as good as absent.
    pub(super) fn field(&self, path: &str) -> Option<&'m str> {
        let (folders, name) =
            path.rsplit_once('/').map_or((None, path), |(folders, name)| (Some(folders), name));
        let mut element = self.fields?;
        for folder in folders.into_iter().flat_map(|folders| folders.split('/')) {
            element = element.child(folder)?;
        }
        element.child_text(name)
    }

    /// Latitude and longitude, in degrees, of a message or an event that tells a place.
    pub(super) fn place(&self) -> Option<(f64, f64)> {
        [
            ("Location_X", "Location_Y"),
            ("Latitude", "Longitude"),
            ("SendLocationInfo/Location_X", "SendLocationInfo/Location_Y"),
        ]
        .into_iter()
        .find_map(|(latitude, longitude)| {
            Some((self.field(latitude)?.parse().ok()?, self.field(longitude)?.parse().ok()?))
        })
    }
}

/// What a condition cut out of a message: names and texts.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Captures<'m>(Vec<(String, &'m str)>);

impl<'m> FromIterator<(String, &'m str)> for Captures<'m> {
    fn from_iter<I: IntoIterator<Item = (String, &'m str)>>(captures: I) -> Self {
        Self(captures.into_iter().collect())
    }
}

impl<'m> Captures<'m> {
    /// The text with this name; of several with one name the last.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'m str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, text)| *text)
    }

    /// All names and texts.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'m str)> {
        self.0.iter().map(|(name, text)| (name.as_str(), *text))
    }

    pub(super) fn push(&mut self, name: &str, text: &'m str) {
        self.0.push((name.to_owned(), text));
    }
}
