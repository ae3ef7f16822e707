//! Every key of a config: what it takes, and what it means.

use super::{Group, KNOWN_EVENTS, KNOWN_TYPES, Key, Kind};
use crate::wechat::menu::BUTTON_TYPES;

const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, doc }
}

/// A group whose keys may all be left out.
const fn group(noun: &'static str, doc: &'static str, keys: &'static [Key]) -> Group {
    Group { noun, doc, keys, required: &[], one_of: &[], any_of: &[], not_all_of: &[] }
}

pub(super) static ROOT: Group = Group {
    required: &["account"],
    ..group(
        "table",
        "The config of a WeChat Official Account with wxcgi",
        &[
            key("account", Kind::Table(&ACCOUNT), "Who we are to WeChat"),
            key("server", Kind::Table(&SERVER), "How requests are taken, and the limits of both doors"),
            key("log", Kind::Table(&LOG), "Where the log goes"),
            key("table", Kind::Named(&TABLE), "Files that templates look things up in, each by its name"),
            key("chat", Kind::Named(&CHAT), "Chatbots, each by its name, for `chat = \"NAME\"` of a rule"),
            key("store", Kind::Table(&STORE), "What all processes of the account share"),
            key("api", Kind::Table(&API), "How WeChat's API is reached"),
            key("menu", Kind::Table(&MENU), "The custom menu (自定义菜单), for `wxcgi menu push`"),
            key("include", Kind::Words, "Files with further rules, as \"rules/*.toml\""),
            key(
                "step",
                Kind::Named(&STEP),
                "Steps of dialogs, each by its name: what the next message may be",
            ),
            key("rule", Kind::Tables(&RULE), "The first rule that meets a message answers it"),
            key("welcome", Kind::Table(&FALLBACK), "Answers who follows, if no rule is for him"),
            key("unfollow", Kind::Table(&FALLBACK), "For who leaves; he sees no reply"),
            key("default", Kind::Table(&DEFAULT), "Answers messages of users that no rule meets; not events"),
            key("delivery", Kind::Table(&DELIVERY), "How answers reach users that WeChat has not waited for"),
            key("blocked", Kind::Tables(&BLOCKED), "Words that shall not pass"),
        ],
    )
};

static ACCOUNT: Group = Group {
    required: &["token"],
    ..group(
        "account key",
        "Who we are to WeChat: as entered in its console",
        &[
            key("token", Kind::Secret, "The Token (令牌) of the console, 3 to 32 letters and digits"),
            key("previous_token", Kind::Secret, "The Token before; still taken while WeChat changes over"),
            key("app_id", Kind::Text, "AppID, wx…; needed for encryption"),
            key("app_secret", Kind::Secret, "AppSecret, for WeChat's API"),
            key("encoding_aes_key", Kind::Secret, "EncodingAESKey (消息加解密密钥), 43 characters"),
            key(
                "previous_encoding_aes_key",
                Kind::Secret,
                "The key before; replies use the key that opened the message",
            ),
            key(
                "mode",
                Kind::OneOf(&["any", "plaintext", "compatible", "secure"]),
                "The weakest mode (消息加解密方式) that is taken; default \"any\"",
            ),
            key("original_id", Kind::Text, "原始ID, gh_…; messages to another are refused"),
            key("verified", Kind::Flag, "Whether the account is verified (微信认证); default false"),
            key(
                "kind",
                Kind::OneOf(&["subscription", "service", "test"]),
                "What account it is: 公众号, 服务号, 测试号; default: not known",
            ),
            key("admin", Kind::Words, "The openids of those who run it, for rules with `from = \"admin\"`"),
            key(
                "time_zone",
                Kind::Text,
                "For the hours, weekdays and dates of rules; default \"Asia/Shanghai\"",
            ),
            key("fold", Kind::Fold, FOLD),
            key("path", Kind::Text, "Path of the URL; other paths get 404; default: any path"),
        ],
    )
};

pub(super) static SECRET: Group = Group {
    one_of: &["env", "file"],
    ..group(
        "source of a secret",
        "Where a secret lies",
        &[
            key("env", Kind::Text, "The environment variable that holds it"),
            key("file", Kind::Text, "The file that holds it alone; from the config's folder"),
        ],
    )
};

static SERVER: Group = group(
    "server key",
    "How requests are taken, and the limits of both doors",
    &[
        key("max_body", Kind::Size, "Larger bodies get 413; 64 B to 16 MiB, default \"256KiB\""),
        key(
            "deadline",
            Kind::Duration,
            "WeChat has its answer by then; 100 ms to below 5 s, default \"4.5s\"",
        ),
        key(
            "clock_skew",
            Kind::DurationOr("off"),
            "Timestamps further from now are refused; 30 s to 24 h, default \"10m\"; \"off\" takes any",
        ),
        key("status", Kind::Flag, "Show the status page to this machine; default false"),
        key("status_allow", Kind::Words, "Who else sees the status page: addresses and networks"),
        key("max_connections", Kind::Whole(1, 65_536), "FastCGI connections at once; more get 503"),
        key(
            "max_params",
            Kind::Size,
            "Parameters larger together get 431; 4 KiB to 1 MiB, default \"128KiB\"",
        ),
        key("max_param_count", Kind::Whole(64, 4096), "More parameters get 431; default 256"),
        key("max_param_value", Kind::Size, "A longer parameter gets 431; 1 KiB to 1 MiB, default \"16KiB\""),
        key(
            "first_byte_timeout",
            Kind::Duration,
            "A connection that sends nothing for so long is closed; 100 ms to 60 s, default \"3s\"",
        ),
        key(
            "request_timeout",
            Kind::Duration,
            "A request that has not come in whole by then gets 408; 100 ms to 60 s, default \"3s\"",
        ),
        key(
            "answer_timeout",
            Kind::Duration,
            "A handler that has not answered by then is answered for; 100 ms to 1 h, default \"30s\"",
        ),
        key(
            "write_timeout",
            Kind::Duration,
            "A connection that does not take its answer for so long is closed; 100 ms to 60 s, default \"5s\"",
        ),
        key(
            "idle_timeout",
            Kind::Duration,
            "A kept connection that does nothing for so long is closed; 100 ms to 1 h, default \"60s\"",
        ),
        key(
            "linger_timeout",
            Kind::Duration,
            "What is left of a refused body is waited for so long; 100 ms to 60 s, default \"1s\"",
        ),
        key(
            "drain_timeout",
            Kind::Duration,
            "After SIGTERM, what is not done by then is closed; 100 ms to 1 h, default \"5s\"",
        ),
    ],
);

static LOG: Group = group(
    "log key",
    "Where the log goes",
    &[
        key("file", Kind::Text, "The log file; without it, the web server's error log"),
        key(
            "level",
            Kind::OneOf(&["off", "error", "warn", "info", "debug", "trace"]),
            "What is logged; default \"info\"",
        ),
        key("max_size", Kind::Size, "The file becomes file.1 beyond this; default \"128KiB\""),
        key("keep", Kind::Whole(1, 9999), "How many such files are kept; default 60"),
        key("personal_data", Kind::Flag, "Write openids in full; default false"),
    ],
);

static STORE: Group = group(
    "store key",
    "What all processes of the account share",
    &[
        key(
            "url",
            Kind::Secret,
            "\"sqlite:FILE\", \"redis://…\", \"rediss://…\" or \"unix:///SOCKET?db=0\"; default: a file in the state folder",
        ),
        key(
            "journal",
            Kind::OneOf(&["wal", "delete"]),
            "SQLite: \"delete\" for a file on a network file system; default \"wal\"",
        ),
        key("prefix", Kind::Text, "Redis: what all keys begin with; default \"wxcgi\""),
        key("ca", Kind::Text, "rediss://: a PEM file with the certificates that the server is believed by"),
        key(
            "timeout",
            Kind::Duration,
            "How long it is waited for; 50 ms to 4 s, default SQLite \"2s\", Redis \"1s\"",
        ),
    ],
);

static API: Group = group(
    "API key",
    "How WeChat's API is reached",
    &[
        key(
            "base_url",
            Kind::Text,
            "Another official host, or a proxy of yours; default \"https://api.weixin.qq.com\"",
        ),
        key("proxy", Kind::Secret, "An HTTP proxy on the way, \"http://user:password@host:port\""),
        key("timeout", Kind::Duration, "An answer is there by then; 100 ms to 60 s, default \"10s\""),
        key(
            "connect_timeout",
            Kind::Duration,
            "The connection is there by then; 100 ms to 60 s, default \"5s\"",
        ),
        key(
            "transfer_timeout",
            Kind::Duration,
            "A file is up or down by then; 100 ms to 1 h, default \"5m\"",
        ),
        key("retry_for", Kind::Duration, "A call with all its attempts; 100 ms to 1 h, default \"30s\""),
        key(
            "token",
            Kind::OneOf(&["stable", "classic"]),
            "Where access_tokens come from: /cgi-bin/stable_token or /cgi-bin/token; default \"stable\"",
        ),
    ],
);

static MENU: Group = Group {
    required: &["button"],
    ..group(
        "menu key",
        "The custom menu (自定义菜单)",
        &[
            key("button", Kind::Tables(&BUTTON), "One to three buttons"),
            key("conditional", Kind::Tables(&CONDITIONAL_MENU), "Menus for some followers (个性化菜单)"),
        ],
    )
};

static CONDITIONAL_MENU: Group = Group {
    required: &["button"],
    ..group(
        "key of a conditional menu",
        "A menu for some followers (个性化菜单)",
        &[
            key("tag_id", Kind::Whole(0, i64::MAX), "For those with this tag (标签)"),
            key(
                "client_platform_type",
                Kind::OneOf(&["ios", "android", "other"]),
                "For those with such a phone",
            ),
            key("button", Kind::Tables(&BUTTON), "One to three buttons"),
        ],
    )
};

static BUTTON: Group = Group {
    required: &["name"],
    ..group(
        "button key",
        "A button of the menu",
        &[
            key("name", Kind::Text, "What stands on it; up to 16 bytes, below another button 60"),
            key("type", Kind::KnownWords(BUTTONS), "What a tap does"),
            key("sub_button", Kind::Tables(&BUTTON), "The buttons below it, up to five"),
            key("key", Kind::Text, "What rules get as EventKey"),
            key("url", Kind::Text, "Where a tap leads"),
            key("appid", Kind::Text, "The mini-program"),
            key("pagepath", Kind::Text, "The page of the mini-program"),
            key("media_id", Kind::Text, "Of a permanent material"),
            key("article_id", Kind::Text, "Of a published article"),
        ],
    )
};

const BUTTONS: &[&str] = &{
    let mut names = [""; BUTTON_TYPES.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = BUTTON_TYPES[index].0;
        index += 1;
    }
    names
};

static TABLE: Group = Group {
    required: &["file"],
    ..group(
        "table key",
        "A file that templates look things up in: {{ table.prices[rest].price }}",
        &[
            key(
                "file",
                Kind::Text,
                "A .csv or .tsv with the names of its columns on top, or a .json; UTF-8, at most 1 MiB",
            ),
            key("key", Kind::Text, "The column by which a row is found; default: the first"),
        ],
    )
};

const FOLD: &str = "How texts are compared: true (case, width and punctuation around do not count), false, or \"script\" \
                    (simplified and traditional characters are the same, too); default true";

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

static HTTP: Group = Group {
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

static BACKEND: Group = Group {
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

static GUARDING_PROGRAM: Group = Group {
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

static GUARDING_SERVER: Group = Group {
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

static DELIVERY: Group = group(
    "delivery key",
    "How answers reach users that WeChat has not waited for",
    &[
        key("fetch_word", Kind::Text, "The word by which a user asks for what waits for him; default 继续"),
        key("waiting_text", Kind::Text, "What he is told while it is worked out; it should say the word"),
        key(
            "more_text",
            Kind::Text,
            "What stands below a piece that others follow; {{ left }} is how many, {{ word }} the word",
        ),
        key(
            "hold_budget",
            Kind::Whole(0, 1000),
            "So many messages in 5 minutes may be held until WeChat asks again; default 10",
        ),
        key(
            "keep",
            Kind::Duration,
            "What waits is forgotten after so long; 1 min to 30 days, default \"24h\"",
        ),
        key(
            "max_jobs",
            Kind::Whole(1, 10_000),
            "Handlers that run at once in a process; others wait for their turn; default 350",
        ),
    ],
);

static LIMIT: Group = Group {
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

static CHAT: Group = Group {
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

static STEP: Group = group(
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

static RULE: Group = Group {
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

static FALLBACK: Group = Group {
    any_of: SAYS,
    not_all_of: REPLY_AND_ALIAS,
    ..group("key", "What is answered if no rule is for it", reply_and!())
};

static DEFAULT: Group = group(
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

static BLOCKED: Group = Group {
    required: &["words"],
    ..group(
        "key of blocked words",
        "Words that shall not pass",
        &[
            key("words", Kind::Words, "The words"),
            key("in", Kind::OneOf(MEASURES), "What becomes of a message with one"),
            key("out", Kind::OneOf(MEASURES), "What becomes of a reply with one"),
            key("reply", Kind::Template, "What is answered where one is refused"),
            key("fold", Kind::Fold, FOLD),
        ],
    )
};

const MEASURES: &[&str] = &["refuse", "mask", "ignore"];

static CONDITION: Group = group(
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

/// The kinds of which a reply has one.
const KINDS: &[&str] = super::super::reply::KINDS;

pub(super) static KIND: Group =
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
