//! `[chat.NAME]`: chatbots, and which of them rules ask.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value as Json};
use toml::Spanned;
use toml::de::DeValue;

use super::api::{Travel, address};
use super::fault::{Fault, did_you_mean};
use super::rule::read_limit;
use super::server::duration_within;
use super::table::{Faults, Table, wrong_type};
use super::value;
use crate::handlers::chat::{Chats, Markdown, Model, Profile, Service};
use crate::rules::Zone;

const OPENAI: &str = "https://api.openai.com/v1";
/// The only address that there is; it knows no TLS.
const TURING: &str = "http://openapi.turingapi.com";

/// For how long a talk may be remembered.
const AGES: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(30 * 24 * 60 * 60);

/// What belongs to a model; the Turing robot has none.
const OF_MODELS: [&str; 13] = [
    "model",
    "system",
    "history",
    "history_age",
    "reset_words",
    "reset_reply",
    "temperature",
    "top_p",
    "max_tokens",
    "parameters",
    "stream",
    "cut_mark",
    "price",
];

/// What is sent by keys of its own.
const TAKEN: [&str; 3] = ["model", "messages", "stream"];

/// The chatbots of a config, and which of them its rules ask.
#[derive(Default)]
pub(super) struct Profiles {
    pub(super) chats: Chats,
    places: Vec<(String, Range<usize>)>,
    used: RefCell<BTreeSet<String>>,
}

impl Profiles {
    /// Reads all chatbots of the config; files with secrets start from `folder`, days begin in `zone`.
    pub(super) fn read(root: &Table<'_>, folder: &Path, zone: &Zone) -> Self {
        let (mut profiles, mut places) = (BTreeMap::new(), Vec::new());
        for (name, table) in root.named_tables("chat", "chat key") {
            if !is_name(name.value) {
                let fault = Fault::at(name.span, format!("`{}` is no name for a chatbot", name.value));
                table.faults.push(fault.cure("letters, digits, `_` and `-`, at most 64"));
            }
            places.push((name.value.to_owned(), table.span.clone()));
            profiles.extend(read(table, name.value, folder, zone).map(|read| (name.value.to_owned(), read)));
        }
        Self { chats: Chats::new(profiles), places, used: RefCell::default() }
    }

    /// The chatbot that a rule names, if there is one of this name.
    pub(super) fn named(&self, rule: &Table<'_>) -> Option<String> {
        let name = rule.text("chat")?;
        if self.names().any(|known| known == name.value) {
            self.used.borrow_mut().insert(name.value.to_owned());
            return Some(name.value.to_owned());
        }
        let fault = Fault::at(name.span, format!("there is no `[chat.{}]`", name.value));
        rule.faults.push(match did_you_mean(name.value, self.names()) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault.cure("it says which server is asked: `kind`, `base_url`, `model`, `api_key`"),
        });
        None
    }

    /// Warns of the chatbots that no rule asks.
    pub(super) fn warn_unused(&self, faults: &Faults<'_>) {
        let used = self.used.borrow();
        for (name, span) in self.places.iter().filter(|(name, _)| faults.thorough && !used.contains(name)) {
            let fault = Fault::at(span.clone(), format!("no rule asks the chatbot `{name}`"));
            faults
                .push(fault.cure(format!("write `chat = \"{name}\"` in a rule; or leave it out")).warning());
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.places.iter().map(|(name, _)| name.as_str())
    }
}

/// Keys of the store begin with it.
fn is_name(name: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
    (1..=64).contains(&name.len()) && name.chars().all(is_plain)
}

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    OpenAi,
    Turing,
}

fn read(table: Table<'_>, name: &str, folder: &Path, zone: &Zone) -> Option<Profile> {
    if table.value("kind").is_none() {
        table.missing("kind");
    }
    let kind = table.parsed("kind", |kind| match kind {
        "openai" => Ok(Kind::OpenAi),
        "turing" => Ok(Kind::Turing),
        _ => Err(format!("`{kind}` is no kind of chatbot; there are openai, turing")),
    });
    let profile = Profile {
        service: match kind {
            Some(Kind::Turing) => read_turing(&table),
            // Of an unknown kind all faults are told, too.
            Some(Kind::OpenAi) | None => Service::OpenAi(Box::new(read_model(&table, kind.is_some()))),
        },
        base_url: read_base_url(&table, kind),
        api_key: value::secret(&table, "api_key", folder),
        markdown: table.parsed("markdown", markdown).unwrap_or_default(),
        limit: table.table("limit", "limit key").map(|limit| read_limit(limit, name, zone)),
        limit_reply: or(table.string("limit_reply"), "今天问得够多了，请明天再来"),
        busy_reply: table.string("busy_reply"),
    };
    for key in ["limit_reply", "busy_reply", "reset_reply"] {
        if table.text(key).is_some_and(|text| text.value.trim().is_empty()) {
            table.faults.push(Fault::at(table.value_span(key), format!("`{key}` is empty")));
        }
    }
    if table.value("limit_reply").is_some() && table.value("limit").is_none() {
        let fault = Fault::at(table.key_span("limit_reply"), "`limit_reply` without `limit`");
        table.faults.push(fault.warning());
    }
    table.finish();
    kind.map(|_| profile)
}

fn or(given: Option<String>, default: &str) -> String {
    given.unwrap_or_else(|| default.to_owned())
}

fn markdown(name: &str) -> Result<Markdown, String> {
    match name {
        "plain" => Ok(Markdown::Plain),
        "keep" => Ok(Markdown::Keep),
        _ => Err(format!("`{name}` is neither \"plain\" nor \"keep\"")),
    }
}

fn read_turing(table: &Table<'_>) -> Service {
    if table.value("api_key").is_none() {
        table.missing("api_key");
    }
    for key in OF_MODELS.into_iter().filter(|key| table.value(key).is_some()) {
        let fault = Fault::at(table.key_span(key), format!("`{key}` means nothing to the Turing robot"));
        table.faults.push(fault.cure("it is for `kind = \"openai\"`").warning());
    }
    Service::Turing
}

fn read_base_url(table: &Table<'_>, kind: Option<Kind>) -> String {
    let default = if kind == Some(Kind::Turing) { TURING } else { OPENAI };
    let Some(url) = table.parsed("base_url", |text| address(text, default)) else {
        return default.to_owned();
    };
    let span = table.value_span("base_url");
    let fault = match (url.travel, kind) {
        (Travel::Safe, _) => None,
        (Travel::Open, Some(Kind::OpenAi)) => {
            Some(Fault::at(span, "`api_key` and what users write would go through the net unencrypted"))
        }
        _ => Some(Fault::at(span, "`api_key` and what users write go there unencrypted").warning()),
    };
    if let Some(fault) = fault {
        table.faults.push(fault.cure("use https://, unless nobody else can listen on the way"));
    }
    url.text
}

fn read_model(table: &Table<'_>, is_openai: bool) -> Model {
    if is_openai && table.value("model").is_none() {
        table.missing("model");
    }
    Model {
        model: table.string("model").unwrap_or_default(),
        system: table.string("system").filter(|text| !text.trim().is_empty()),
        parameters: read_parameters(table),
        stream: table.flag("stream").unwrap_or(true),
        cut_mark: or(table.string("cut_mark"), "……（未完）"),
        history: table.integer_within("history", "turns", 0..=100).map_or(10, |turns| turns as usize),
        history_age: table
            .parsed("history_age", |text| duration_within(text, &AGES))
            .unwrap_or(Duration::from_secs(60 * 60)),
        reset_words: read_reset_words(table),
        reset_reply: or(table.string("reset_reply"), "好的，我们重新开始吧"),
        price: table.table("price", "price key").map(read_price),
    }
}

/// `[]` has none.
fn read_reset_words(table: &Table<'_>) -> Vec<String> {
    match table.value("reset_words").map(Spanned::get_ref) {
        None => vec!["/reset".to_owned()],
        Some(DeValue::Array(words)) if words.is_empty() => Vec::new(),
        Some(_) => {
            let words = table.texts("reset_words").into_iter().flatten();
            words.map(|word| word.value.trim().to_owned()).filter(|word| !word.is_empty()).collect()
        }
    }
}

/// What is passed on to the model: that which has a key, and what else there is.
fn read_parameters(table: &Table<'_>) -> Map<String, Json> {
    let mut parameters = Map::new();
    if let Some(value) = table.value("parameters") {
        match value.get_ref() {
            DeValue::Table(members) => {
                for (key, value) in members {
                    if TAKEN.contains(&key.get_ref().as_ref()) {
                        let fault = format!("`{}` is no parameter of its own", key.get_ref());
                        let fault = Fault::at(key.span(), fault);
                        table
                            .faults
                            .push(fault.cure("`model`, `stream` and what is said have keys of their own"));
                    }
                    parameters.insert(key.get_ref().to_string(), value::json(value.get_ref()));
                }
            }
            _ => drop(wrong_type::<()>(value, "a table", table.faults)),
        }
    }
    let within = |key, most| {
        let number = table.number(key)?;
        if !(0.0..=most).contains(&number) {
            table.faults.push(Fault::at(table.value_span(key), format!("`{key}` is a number, 0 to {most}")));
        }
        Some((key, Json::from(number)))
    };
    let max_tokens = table.integer_within("max_tokens", "tokens", 1..=10_000_000);
    let max_tokens = max_tokens.map(|most| ("max_tokens", Json::from(most)));
    let own = [within("temperature", 2.0), within("top_p", 1.0), max_tokens];
    parameters.extend(own.into_iter().flatten().map(|(key, value)| (key.to_owned(), value)));
    parameters
}

/// What a million tokens cost: read, written.
fn read_price(table: Table<'_>) -> (f64, f64) {
    let price = |key| {
        let price = table.number(key).unwrap_or(0.0);
        if price < 0.0 {
            table.faults.push(Fault::at(table.value_span(key), format!("`{key}` is less than nothing")));
        }
        price
    };
    let price = (price("input"), price("output"));
    table.finish();
    price
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fault::{PlacedFault, Severity};
    use super::super::{Config, Thoroughness};
    use super::*;

    /// What a config with these lines comes to, and all that it is told.
    fn read(lines: &str) -> (Option<Chats>, String) {
        let text = format!("[account]\ntoken = \"mytoken\"\n{lines}\n");
        let (config, faults) = Config::parse(&text, Path::new("/nonexistent"), Thoroughness::Full);
        let faults = PlacedFault::all("f", &text, &faults);
        let told: Vec<_> = faults.iter().map(|fault| format!("{}\n{fault:?}", fault.one_line())).collect();
        assert!(config.is_some() || faults.iter().any(|fault| fault.severity == Severity::Fault));
        (config.map(|config| config.chats), told.join("\n"))
    }

    const RULE: &str = "[default]\nchat = \"gpt\"\n[chat.gpt]\n";

    fn good(lines: &str) -> Profile {
        let (chats, told) = read(&format!("{RULE}{lines}"));
        assert_eq!(told, "");
        chats.unwrap().get("gpt").unwrap().clone()
    }

    fn model(lines: &str) -> Model {
        match good(&format!("kind = \"openai\"\nmodel = \"m\"\n{lines}")).service {
            Service::OpenAi(model) => *model,
            Service::Turing => panic!("no model"),
        }
    }

    #[test]
    fn kind_and_model_are_enough() {
        let profile = good("kind = \"openai\"\nmodel = \"m\"");
        assert_eq!((profile.base_url.as_str(), profile.markdown), (OPENAI, Markdown::Plain));
        assert!(profile.api_key.is_none() && profile.limit.is_none() && profile.busy_reply.is_none());
        let model = model("");
        assert_eq!((model.history, model.history_age, model.stream), (10, Duration::from_secs(3600), true));
        assert_eq!((model.reset_words, model.parameters.len()), (vec!["/reset".to_owned()], 0));
        let turing = good("kind = \"turing\"\napi_key = \"k\"");
        assert!(matches!(turing.service, Service::Turing) && turing.base_url == TURING);
    }

    #[test]
    fn what_a_model_takes_is_passed_on() {
        let model = model(
            "temperature = 1\ntop_p = 0.5\nmax_tokens = 800\nreset_words = []\nhistory = 0\n\
             parameters = { stop = [\"。\"], user = \"x\", thinking = { type = \"disabled\" } }\n\
             price = { input = 2, output = 8.5 }",
        );
        let expected = json!({
            "stop": ["。"], "user": "x", "thinking": { "type": "disabled" },
            "temperature": 1.0, "top_p": 0.5, "max_tokens": 800,
        });
        assert_eq!(Json::Object(model.parameters), expected);
        assert_eq!((model.price, model.history, model.reset_words.len()), (Some((2.0, 8.5)), 0, 0));
    }

    #[test]
    fn faults_have_their_place_and_a_cure() {
        for (lines, told) in [
            (
                "[default]\nchat = \"gtp\"\n[chat.gpt]\nkind = \"openai\"\nmodel = \"m\"",
                "f:4:8: there is no `[chat.gtp]`",
            ),
            (
                "[default]\nchat = \"gtp\"\n[chat.gpt]\nkind = \"openai\"\nmodel = \"m\"",
                "did you mean `gpt`?",
            ),
            ("[default]\nchat = \"gpt\"", "it says which server is asked"),
            ("[default]\nchat = [\"gpt\"]", "expected a text in quotes"),
            (
                "[default]\nchat = \"gpt\"\nexec = [\"a\"]\n[chat.gpt]\nkind = \"openai\"\nmodel = \"m\"",
                "this rule has two handlers",
            ),
            ("[chat.\"a/b\"]\nkind = \"openai\"\nmodel = \"m\"", "`a/b` is no name for a chatbot"),
            (&format!("{RULE}model = \"m\""), "f:5:1: missing chat key `kind`"),
            (&format!("{RULE}kind = \"claude\""), "there are openai, turing"),
            (&format!("{RULE}kind = \"openai\""), "missing chat key `model`"),
            (&format!("{RULE}kind = \"turing\""), "missing chat key `api_key`"),
            (
                &format!("{RULE}kind = \"openai\"\nmodel = \"m\"\nbase_url = \"http://api.example.com/v1\""),
                "f:8:12: `api_key` and what users write would go",
            ),
            (
                &format!("{RULE}kind = \"openai\"\nmodel = \"m\"\nbase_url = \"api.example.com\""),
                "is no whole address; write one like \\\"https://api.openai.com/v1",
            ),
            (
                &format!("{RULE}kind = \"openai\"\nmodel = \"m\"\ntemperature = 3"),
                "`temperature` is a number, 0 to 2",
            ),
            (
                &format!("{RULE}kind = \"openai\"\nmodel = \"m\"\nparameters = {{ messages = [] }}"),
                "`messages` is no parameter of its own",
            ),
            (
                &format!("{RULE}kind = \"openai\"\nmodel = \"m\"\nhistory = 101"),
                "`history` is a number of turns, 0 to 100",
            ),
            (&format!("{RULE}kind = \"openai\"\nmodel = \"m\"\nhistory_age = \"1s\""), "`history_age`"),
            (&format!("{RULE}kind = \"openai\"\nmodel = \"m\"\nlimit = {{}}"), "this limit limits nothing"),
            (
                &format!("{RULE}kind = \"openai\"\nmodel = \"m\"\nprice = {{ input = -1 }}"),
                "is less than nothing",
            ),
            (
                &format!("{RULE}kind = \"openai\"\nmodel = \"m\"\nmarkdown = \"html\""),
                "neither \\\"plain\\\" nor",
            ),
            (&format!("{RULE}kind = \"openai\"\nmodel = \"m\"\nbusy_reply = \" \""), "`busy_reply` is empty"),
            (
                &format!(
                    "{RULE}kind = \"openai\"\nmodel = \"m\"\napi_key = {{ env = \"WXCGI_NO_SUCH_KEY\" }}"
                ),
                "`WXCGI_NO_SUCH_KEY` is not set",
            ),
            (&format!("{RULE}kind = \"openai\"\nmodle = \"m\""), "did you mean `model`?"),
        ] {
            let (chats, found) = read(lines);
            let told = told.replace("\\\"", "\"");
            let found = found.replace("\\\"", "\"");
            assert!(chats.is_none() && found.contains(&told), "{lines}: {found}");
        }
    }

    #[test]
    fn what_works_and_is_not_meant_so_is_warned_of() {
        for (lines, told) in [
            (
                "[chat.gpt]\nkind = \"openai\"\nmodel = \"m\"",
                "f:3:1: warning: no rule asks the chatbot `gpt`",
            ),
            (
                &format!("{RULE}kind = \"turing\"\napi_key = \"k\"\nmodel = \"m\""),
                "`model` means nothing to the Turing robot",
            ),
            (
                &format!("{RULE}kind = \"turing\"\napi_key = \"k\"\nbase_url = \"{TURING}\""),
                "go there unencrypted",
            ),
            (
                &format!("{RULE}kind = \"openai\"\nmodel = \"m\"\nbase_url = \"http://10.0.0.2/v1\""),
                "go there unencrypted",
            ),
            (
                &format!("{RULE}kind = \"openai\"\nmodel = \"m\"\nlimit_reply = \"a\""),
                "`limit_reply` without `limit`",
            ),
        ] {
            let (chats, found) = read(lines);
            assert!(chats.is_some() && found.contains(told), "{lines}: {found}");
        }
    }

    #[test]
    fn a_key_is_seen_by_nobody_and_a_changed_one_is_noticed() {
        let config = |key: &str| {
            let text = format!(
                "[account]\ntoken = \"mytoken\"\n{RULE}kind = \"openai\"\nmodel = \"m\"\napi_key = \"{key}\""
            );
            Config::parse(&text, Path::new("/nonexistent"), Thoroughness::Full).0.unwrap()
        };
        let (one, other) = (config("sk-hunter2"), config("sk-hunter3"));
        assert!(!format!("{one:?}").contains("hunter2"));
        assert!(one.has_same_settings(&other) && !one.has_same_secrets(&other));
        assert!(one.has_same_secrets(&config("sk-hunter2")));
    }
}
