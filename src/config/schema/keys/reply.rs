//! `reply`: all kinds of it, and what they hold.

use super::super::group::{Group, Key, Kind, group, key};

/// The kinds of which a reply has one.
const KINDS: &[&str] = crate::config::reply::KINDS;

pub(in crate::config::schema) static KIND: Group =
    Group { one_of: KINDS, ..group("kind of reply", "One kind of reply", KIND_KEYS) };

macro_rules! kinds_and {
    ($($more:expr),*) => {
        &[
            key("text", Kind::Template, "A text; links as <a href=\"…\">…</a>"),
            key("image", Kind::Table(&IMAGE), "A picture"),
            key("voice", Kind::Table(&VOICE), "A recording"),
            key("video", Kind::Table(&VIDEO), "A film, which must have passed the review"),
            key("music", Kind::Table(&MUSIC), "A piece of music"),
            key("news", Kind::Tables(&ARTICLE), "Articles: one in answer to a message, up to eight to an event"),
            key("count", Kind::Template, "How many of the articles, as {{ rest }}; default: all"),
            key("transfer", Kind::TrueOrTable(&TRANSFER), "To the human customer service (客服)"),
            key("transfer_ai", Kind::True, "To the platform's AI reply (公众号智能回复)"),
            key("none", Kind::True, "Nothing is answered"),
            key("random", Kind::Choices(&CHOICE), "One of these by chance, each as often as its weight says"),
            key("round_robin", Kind::Replies, "Each of these in its turn"),
            $($more),*
        ]
    };
}

const KIND_KEYS: &[Key] = kinds_and!();

static CHOICE: Group = Group {
    one_of: KINDS,
    ..group(
        "choice",
        "One kind of reply, and how often",
        kinds_and!(key("weight", Kind::Whole(1, 1_000_000), "How often, beside the others; default 1")),
    )
};

const MEDIA_ID: &str = "Of a temporary or permanent material of this account";

const FILE: &str = "A file here, uploaded when it is first needed; from the config's folder";

/// A file of a reply is named in one of two ways.
const FILE_OR_MEDIA_ID: &[&str] = &["file", "media_id"];

/// What every file of a reply has, and some more.
macro_rules! media_and {
    ($($more:expr),* $(,)?) => {
        &[key("file", Kind::Text, FILE), key("media_id", Kind::Template, MEDIA_ID), $($more),*]
    };
}

static IMAGE: Group = Group { one_of: FILE_OR_MEDIA_ID, ..group("image key", "A picture", media_and!()) };

static VOICE: Group = Group { one_of: FILE_OR_MEDIA_ID, ..group("voice key", "A recording", media_and!()) };

static VIDEO: Group = Group {
    one_of: FILE_OR_MEDIA_ID,
    ..group(
        "video key",
        "A film",
        media_and!(
            key("title", Kind::Template, "Shown above it"),
            key("description", Kind::Template, "Shown below the title"),
        ),
    )
};

static MUSIC: Group = Group {
    one_of: &["thumb", "thumb_media_id"],
    ..group(
        "music key",
        "A piece of music",
        &[
            key("thumb", Kind::Table(&THUMB), "Its picture"),
            key("thumb_media_id", Kind::Template, "Its picture, as a material of this account"),
            key("title", Kind::Template, "Shown above it"),
            key("description", Kind::Template, "Shown below the title"),
            key("music_url", Kind::Template, "Where it lies"),
            key("hq_music_url", Kind::Template, "Where it lies in higher quality, for Wi-Fi"),
        ],
    )
};

static THUMB: Group =
    Group { one_of: FILE_OR_MEDIA_ID, ..group("thumb key", "The picture of a piece of music", media_and!()) };

static ARTICLE: Group = Group {
    required: &["title", "url"],
    ..group(
        "article key",
        "A link with a picture",
        &[
            key("title", Kind::Template, "The title"),
            key("description", Kind::Template, "The line below the title"),
            key("pic_url", Kind::Template, "The picture: JPG or PNG, large 360×200, small 200×200"),
            key("url", Kind::Template, "Where a tap leads"),
        ],
    )
};

static TRANSFER: Group = Group {
    required: &["kf_account"],
    ..group(
        "transfer key",
        "To one of the customer service",
        &[key("kf_account", Kind::Text, "This one of the staff or nobody")],
    )
};
