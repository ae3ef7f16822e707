//! `when`: what a rule waits for.

use super::super::group::{Group, Kind, group, key};
use super::handler::{GUARDING_PROGRAM, GUARDING_SERVER};
use crate::wechat::event::KNOWN_EVENTS;
use crate::wechat::message::KNOWN_TYPES;

pub(super) static CONDITION: Group = group(
    "condition",
    "What a rule waits for; a list means any of its entries",
    &[
        key("text", Kind::Words, "This is the whole text"),
        key("contains", Kind::Words, "The text holds one of these"),
        key("all_of", Kind::Words, "The text holds all of these"),
        key("none_of", Kind::Words, "The text holds none of these"),
        key("prefix", Kind::Words, "The text begins with this; what is left is {{ rest }}"),
        key("suffix", Kind::Words, "The text ends with this; what is left is {{ rest }}"),
        key("regex", Kind::Words, "A regular expression finds something; a group (?<city>…) is {{ city }}"),
        key("type", Kind::KnownWords(KNOWN_TYPES), "The type of the message"),
        key("event", Kind::KnownWords(KNOWN_EVENTS), "The event, in any case"),
        key("key", Kind::Words, "EventKey: a menu button, a QR code's scene (qrscene_ is left out)"),
        key("key_regex", Kind::Words, "A regular expression finds something in EventKey"),
        key("field", Kind::Fields(&FIELD), "Any element of the message by its name, as `Label`"),
        key("near", Kind::OneOrMore(&AREA), "The place sent lies within one of these circles"),
        key("from", Kind::Words, "The sender is one of these openids, or \"admin\""),
        key("not_from", Kind::Words, "The sender is none of these openids"),
        key("share", Kind::Text, "The user is one of so many, \"10%\"; always the same ones"),
        key("hours", Kind::Words, "\"9:00-18:00\", or past midnight \"22:00-6:00\""),
        key("weekdays", Kind::Words, "\"mon-fri\", \"周六\""),
        key("dates", Kind::Words, "\"12-25\", \"2026-10-01..2026-10-07\""),
        key("step", Kind::Words, "This step of a dialog waits for the user's message"),
        key("session", Kind::Fields(&FIELD), "What is remembered of the user, by its name"),
        key(
            "first",
            Kind::True,
            "No message of the user has come so far before; events count only beside `type`, `event` or `key`",
        ),
        key("exec", Kind::WordsOr(&GUARDING_PROGRAM), "A program says so, by exit code 0; asked last"),
        key("http", Kind::TextOr(&GUARDING_SERVER), "A server says so, by a status of 2xx; asked last"),
        key("fold", Kind::Fold, FOLD),
    ],
);

static FIELD: Group = group(
    "test of a field",
    "What an element of the message must be",
    &[
        key("equals", Kind::Words, "It is one of these"),
        key("regex", Kind::Words, "A regular expression finds something in it"),
        key("min", Kind::Number, "It is a number, at least this"),
        key("max", Kind::Number, "It is a number, at most this"),
    ],
);

static AREA: Group = Group {
    required: &["latitude", "longitude", "radius"],
    ..group(
        "key of a place",
        "A circle on the map",
        &[
            key("latitude", Kind::Number, "Degrees, -90 to 90; south is negative"),
            key("longitude", Kind::Number, "Degrees, -180 to 180; west is negative"),
            key("radius", Kind::Text, "\"1.5km\", \"300m\""),
        ],
    )
};

pub(super) const FOLD: &str = "How texts are compared: true (case, width and punctuation around do not count), false, or \"script\" \
                    (simplified and traditional characters are the same, too); default true";
