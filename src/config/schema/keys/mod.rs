//! Every key of a config: what it takes, and what it means. Here stand the tables that are short; the others have files.

mod chat;
mod condition;
mod handler;
mod menu;
mod reply;
mod rule;

pub(super) use reply::KIND;

use super::group::{Group, Kind, group, key};
use chat::CHAT;
use condition::FOLD;
use menu::MENU;
use rule::{DEFAULT, FALLBACK, RULE, STEP};

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
