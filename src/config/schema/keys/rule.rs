//! `[[rule]]` and the other tables that answer: what no rule is for, the steps of dialogs and their items.

use super::super::group::{Group, Kind, group, key};
use super::condition::CONDITION;
use super::handler::{BACKEND, HTTP};

/// The keys that all tables with a reply share, and some more.
macro_rules! reply_and {
    ($($more:expr),* $(,)?) => {
        &[
            key("name", Kind::Text, "For the log, for tests and for {{ rule }}"),
            key("help", Kind::Text, "What it is for, in a user's words: a line of {{ rules_help }}"),
            key("reply", Kind::Reply, "What is answered"),
            key("alias", Kind::Text, "The name of the rule whose reply it takes"),
            key("exec", Kind::Words, "A program that works the answer out, and its arguments: [\"python3\", \"bot.py\"]"),
            key("output", Kind::OneOf(&["text", "json"]), "What the program of `exec` writes; default \"text\""),
            key("folder", Kind::Text, "Where the program of `exec` runs; default: the config's folder"),
            key("env", Kind::Words, "Variables of wxcgi's environment that the program of `exec` gets"),
            key("set", Kind::Secrets, "Further variables of the program of `exec`, as { KEY = { file = \"key\" } }"),
            key("max_output", Kind::Size, "The program of `exec` may write so much; up to 16 MiB, default \"1MiB\""),
            key(
                "concurrency",
                Kind::Whole(1, 1000),
                "So many of the program of `exec` run at once, in all processes; default: no limit",
            ),
            key("http", Kind::TextOr(&HTTP), "A server that works the answer out: \"https://bot.example.com/wechat\""),
            key("relay", Kind::OneOrMore(&BACKEND), "Another WeChat server, or several: the first that can answers"),
            key("chat", Kind::Text, "A chatbot that answers: the NAME of a [chat.NAME]"),
            key("timeout", Kind::Duration, "A handler is given up after so long; 100 ms to 1 h, default \"30s\""),
            key(
                "late",
                Kind::OneOf(&["auto", "push", "hold", "fetch"]),
                "How the answer reaches the user that is not there in time; default \"auto\"",
            ),
            key("on_error", Kind::Template, "The text if the reply fails; default: no answer"),
            key("wait", Kind::Text, "The step of a dialog that the next message of the user goes to"),
            key("session", Kind::Values, "What is remembered of the user, as { city = \"{{ city }}\" }; \"\" forgets"),
            key("once_every", Kind::Duration, "A user gets it once in so long; 1 s to 366 days, as \"1h\""),
            key("limit", Kind::Table(&LIMIT), "How often it is answered"),
            key("enabled", Kind::Flag, "false: it is not tried, and still there for an alias; default true"),
            $($more),*
        ]
    };
}

/// Of which a rule has at least one.
const SAYS: &[&str] = &["reply", "alias", "wait", "exec", "http", "relay", "chat"];

/// Of which a rule has one at most.
const REPLY_AND_ALIAS: &[&str] = &["reply", "alias"];

pub(super) static RULE: Group = Group {
    any_of: SAYS,
    not_all_of: REPLY_AND_ALIAS,
    ..group(
        "rule key",
        "When this comes, reply that",
        reply_and!(
            key("when", Kind::Table(&CONDITION), "What it waits for; all of it must hold"),
            key(
                "priority",
                Kind::Whole(i64::MIN, i64::MAX),
                "Higher ones are tried first, otherwise in the order of the files; default 0",
            ),
            key(
                "flow",
                Kind::OneOf(&["stop", "next"]),
                "Whether the rules behind it come too, until one has a reply; default \"stop\"",
            ),
            key("take_over", Kind::Flag, "true: whatever a person sends meets it; default false"),
            key("valid_from", Kind::Moment, "A date, or \"2026-12-31 18:00\": not before it"),
            key("valid_until", Kind::Moment, "A date, which counts, or \"2026-12-31 18:00\": not after it"),
        ),
    )
};

pub(super) static FALLBACK: Group = Group {
    any_of: SAYS,
    not_all_of: REPLY_AND_ALIAS,
    ..group("key", "What is answered if no rule is for it", reply_and!())
};

pub(super) static DEFAULT: Group = group(
    "default key",
    "Answers messages of users that no rule meets; not events",
    reply_and!(
        key("text", Kind::Table(&DEFAULT), "For texts"),
        key("image", Kind::Table(&DEFAULT), "For pictures"),
        key("voice", Kind::Table(&DEFAULT), "For recordings"),
        key("video", Kind::Table(&DEFAULT), "For films"),
        key("shortvideo", Kind::Table(&DEFAULT), "For films that were recorded on the spot (小视频)"),
        key("location", Kind::Table(&DEFAULT), "For places"),
        key("link", Kind::Table(&DEFAULT), "For links"),
        key("file", Kind::Table(&DEFAULT), "For files"),
        key("miniprogrampage", Kind::Table(&DEFAULT), "For cards of mini-programs"),
        key("hardware", Kind::Table(&DEFAULT), "For what devices send"),
        key("device_text", Kind::Table(&DEFAULT), "For what devices send"),
        key("device_event", Kind::Table(&DEFAULT), "For what devices tell"),
        key("event", Kind::Table(&DEFAULT), "For events, which most often want a rule of their own"),
    ),
);

pub(super) static STEP: Group = group(
    "step key",
    "A step of a dialog: what the next message of a user may be",
    &[
        key(
            "ask",
            Kind::Reply,
            "What is said where a rule leads here and says nothing itself; the title of items",
        ),
        key(
            "rule",
            Kind::Tables(&RULE),
            "Rules for whoever is in this step only; without `wait` the dialog is over",
        ),
        key("item", Kind::Tables(&ITEM), "Items of a numbered menu"),
        key("timeout", Kind::Duration, "How long it waits; 10 s to 30 days, default \"10m\""),
        key("retry", Kind::Whole(0, 100), "So often what nobody understands is asked again; default 0"),
        key("again", Kind::Template, "What is said then; default: `ask`"),
        key("give_up", Kind::Template, "What is said after the last time; default: other rules answer"),
        key("cancel", Kind::Words, "Words that end the dialog"),
        key("cancel_reply", Kind::Template, "What is said then; default: nothing"),
        key("lock", Kind::Flag, "true: other rules answer nothing meanwhile; default false"),
        key("back", Kind::Text, "What stands beside 0, the way back to the menu above; default 返回"),
    ],
);

static ITEM: Group = Group {
    required: &["label"],
    ..group(
        "item key",
        "An item of a numbered menu: its number or its label chooses it",
        reply_and!(
            key("label", Kind::Text, "What stands beside its number"),
            key("ask", Kind::Reply, "The title of the items below it; default: its label"),
            key("item", Kind::Tables(&ITEM), "The items below it"),
        ),
    )
};

pub(super) static LIMIT: Group = Group {
    any_of: &["user", "all"],
    ..group(
        "limit key",
        "How often a rule is answered",
        &[
            key("user", Kind::Whole(1, u32::MAX as i64), "At most so often for each user"),
            key("all", Kind::Whole(1, u32::MAX as i64), "At most so often for all users together"),
            key(
                "per",
                Kind::Text,
                "In so long, counted from the first time, as \"1h\"; default \"day\": until midnight",
            ),
        ],
    )
};
