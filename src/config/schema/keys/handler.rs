//! Programs and servers that work answers out or guard rules.

use super::super::group::{Group, Kind, group, key};

pub(super) static HTTP: Group = Group {
    required: &["url"],
    ..group(
        "http key",
        "A server that gets the message as JSON",
        &[
            key("url", Kind::Text, "Where it is: https://, or http:// where nobody else listens"),
            key("secret", Kind::Secret, "Signs what it gets: X-Wxcgi-Signature"),
            key("headers", Kind::Secrets, "Further headers, as { Authorization = { env = \"BOT\" } }"),
            key("max_output", Kind::Size, "It may answer so much; up to 16 MiB, default \"1MiB\""),
            key(
                "cache",
                Kind::Duration,
                "Its answers serve again for so long; 1 s to 30 days, default: never",
            ),
            key(
                "cache_key",
                Kind::Template,
                "For what is the same by this; default: the rule and what was said or clicked",
            ),
        ],
    )
};

pub(super) static BACKEND: Group = Group {
    required: &["url", "token"],
    ..group(
        "key of a back-end",
        "A WeChat server that gets the message as if WeChat had sent it",
        &[
            key("url", Kind::Text, "Where it is: https://, or http:// where nobody else listens"),
            key("token", Kind::Secret, "Its Token"),
            key("encoding_aes_key", Kind::Secret, "Its EncodingAESKey, if messages are to be encrypted"),
            key("app_id", Kind::Text, "The AppID that it believes to be, if messages are to be encrypted"),
            key("timeout", Kind::Duration, "Then the next one is asked; 100 ms to 1 h, default \"5s\""),
        ],
    )
};

pub(super) static GUARDING_PROGRAM: Group = Group {
    required: &["command"],
    ..group(
        "key of a guarding program",
        "A program that agrees by exit code 0",
        &[
            key("command", Kind::Words, "The program and its arguments"),
            key("folder", Kind::Text, "Where it runs; default: the config's folder"),
            key("env", Kind::Words, "Variables of wxcgi's environment that it gets"),
            key("set", Kind::Secrets, "Further variables"),
            key("timeout", Kind::Duration, "Then it is a no; 100 ms to 60 s, default \"2s\""),
        ],
    )
};

pub(super) static GUARDING_SERVER: Group = Group {
    required: &["url"],
    ..group(
        "key of a guarding server",
        "A server that agrees by a status of 2xx",
        &[
            key("url", Kind::Text, "Where it is: https://, or http:// where nobody else listens"),
            key("secret", Kind::Secret, "Signs what it gets: X-Wxcgi-Signature"),
            key("headers", Kind::Secrets, "Further headers"),
            key("timeout", Kind::Duration, "Then it is a no; 100 ms to 60 s, default \"2s\""),
        ],
    )
};
