//! `[chat.NAME]`: chatbots.

use super::super::group::{Group, Kind, group, key};
use super::rule::LIMIT;

pub(super) static CHAT: Group = Group {
    required: &["kind"],
    ..group(
        "chat key",
        "A chatbot: a model on a server, and what is remembered of a talk with it",
        &[
            key(
                "kind",
                Kind::OneOf(&["openai", "turing"]),
                "What it speaks: OpenAI's chat completions, as many servers do, or the API v2 of 图灵机器人",
            ),
            key("base_url", Kind::Text, "Where it is; default \"https://api.openai.com/v1\""),
            key("model", Kind::Text, "The name of the model on the server"),
            key("api_key", Kind::Secret, "What proves to the server who asks"),
            key("system", Kind::Text, "What the model is told before all else"),
            key(
                "history",
                Kind::Whole(0, 100),
                "Questions with their answers that are remembered; default 10",
            ),
            key("history_age", Kind::Duration, "For how long; 1 min to 30 days, default \"1h\""),
            key("reset_words", Kind::Words, "Words that begin the talk anew; default \"/reset\""),
            key("reset_reply", Kind::Text, "What is answered then"),
            key("temperature", Kind::Number, "Passed on to the model, 0 to 2"),
            key("top_p", Kind::Number, "Passed on to the model, 0 to 1"),
            key("max_tokens", Kind::Whole(1, 10_000_000), "Passed on to the model"),
            key("parameters", Kind::Free, "What else is passed on to the model"),
            key(
                "stream",
                Kind::Flag,
                "Whether the answer comes word by word, so that one that is cut is not lost; default true",
            ),
            key("cut_mark", Kind::Text, "What stands behind an answer that was cut; default \"……（未完）\""),
            key(
                "markdown",
                Kind::OneOf(&["plain", "keep"]),
                "Whether Markdown becomes plain text; default \"plain\"",
            ),
            key("limit", Kind::Table(&LIMIT), "How often it is asked"),
            key("limit_reply", Kind::Text, "What is answered to who asks more often"),
            key(
                "busy_reply",
                Kind::Text,
                "What is answered while the server has too much to do; default: as if it failed",
            ),
            key("price", Kind::Table(&PRICE), "What a million tokens cost, for the log"),
        ],
    )
};

static PRICE: Group = group(
    "price key",
    "What a million tokens cost",
    &[
        key("input", Kind::Number, "Those that the model reads; default 0"),
        key("output", Kind::Number, "Those that it writes; default 0"),
    ],
);
