//! Blocked words: what becomes of messages and of replies that hold some.

use crate::rules::{Blocked, Measure};
use crate::wechat::message::{Content, Message};
use crate::wechat::reply::Reply;
use crate::wechat::xml::Element;

/// What blocked words make of a message.
pub enum Incoming<'b, 'm> {
    /// There are none in it.
    Passes,
    /// The same document with the words masked.
    Masked(Element<'m>),
    /// No rule is to see it, and this says what is answered.
    Refused(&'b Blocked),
    /// No rule is to see it, and nothing is answered.
    Ignored,
}

/// Elements that hold what a person said.
const SAID: [&str; 2] = ["Content", "Recognition"];

/// Looks for blocked words in what a person said.
#[must_use]
pub fn incoming<'b, 'm>(blocked: &'b [Blocked], message: &Message<'m>) -> Incoming<'b, 'm> {
    let said = match &message.content {
        Content::Text { content, .. } => *content,
        Content::Voice { recognition, .. } => *recognition,
        _ => return Incoming::Passes,
    };
    let mut masked = None;
    for blocked in blocked.iter().filter(|blocked| blocked.incoming.is_some() && blocked.is_in(said)) {
        match blocked.incoming {
            Some(Measure::Refuse) => return Incoming::Refused(blocked),
            Some(Measure::Mask) => {}
            _ => return Incoming::Ignored,
        }
        let document = masked.get_or_insert_with(|| message.fields().clone());
        for element in document.children.iter_mut().filter(|child| SAID.contains(&child.name)) {
            element.text = blocked.masked(&element.text).into_owned().into();
        }
    }
    masked.map_or(Incoming::Passes, Incoming::Masked)
}

/// What blocked words make of a reply; `refusal` says what is answered in its place. `None` is `success`.
pub(super) fn outgoing(
    blocked: &[Blocked],
    mut reply: Reply,
    refusal: impl Fn(&Blocked) -> Option<Reply>,
) -> Option<Reply> {
    for blocked in blocked.iter().filter(|blocked| blocked.outgoing.is_some()) {
        if !reply.texts_mut().iter().any(|text| blocked.is_in(text)) {
            continue;
        }
        match blocked.outgoing {
            Some(Measure::Mask) => {
                for text in reply.texts_mut() {
                    *text = blocked.masked(text).into_owned();
                }
            }
            Some(Measure::Refuse) => return refusal(blocked),
            _ => return None,
        }
    }
    Some(reply)
}
