//! `exec`, `http`, `relay`, `chat`: what a rule has done elsewhere.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;
use ureq::http::{HeaderName, HeaderValue, Uri};

use super::api::{Travel, travel_of};
use super::fault::Fault;
use super::reply::Templates;
use super::server::duration_within;
use super::table::{Faults, Table, Text, Value, wrong_type};
use super::value::{secret_source, size};
use crate::handlers::http::OUR_HEADERS;
use crate::rules::{
    Action, Backend, Cache, Exec, Guard, GuardBy, Handler, Handling, Http, Late, Output, Secure, Test,
};
use crate::secret::SecretSource;
use crate::wechat::crypto::AesKey;

/// The keys that name a handler; a rule has one of them at most, and then no `reply`.
pub(super) const HANDLERS: &[&str] = &["exec", "http", "relay", "chat"];

/// The keys of a rule that say more of its program.
const OF_EXEC: &[&str] = &["output", "folder", "env", "set", "max_output", "concurrency"];

/// How long a handler may take.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60 * 60);
const TIMEOUT: Duration = Duration::from_secs(30);
/// A server of WeChat's kind has answered by then, as WeChat wants it.
const BACKEND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long who guards a rule may take.
const GUARD_TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
const GUARD_TIMEOUT: Duration = Duration::from_secs(2);
/// How long answers serve again.
const CACHED: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 60 * 60);
/// How much may be answered, bytes.
const OUTPUTS: RangeInclusive<u64> = 1..=16 << 20;
/// So many programs at once.
const MAX_CONCURRENCY: u32 = 1000;

/// Whether the rule names a handler.
pub(super) fn has_handler(rule: &Table<'_>) -> bool {
    HANDLERS.iter().any(|key| rule.value(key).is_some())
}

/// What only a handler has must not stand beside a reply.
pub(super) fn refuse_options(rule: &Table<'_>) {
    refuse(rule, &["timeout", "late"], &HANDLERS.join(", "));
    refuse(rule, OF_EXEC, "exec");
}

fn refuse(rule: &Table<'_>, keys: &'static [&'static str], owner: &str) {
    for key in keys.iter().filter(|key| rule.value(key).is_some()) {
        let fault = Fault::at(rule.key_span(key), format!("`{key}` without a handler that has it"));
        rule.faults.push(fault.cure(format!("it belongs to {owner}")));
    }
}

/// The handler of a rule that names one.
pub(super) fn read_handling(rule: &Table<'_>, templates: Templates<'_>) -> Option<Action> {
    for other in ["reply", "alias"].into_iter().filter(|other| rule.value(other).is_some()) {
        let fault = Fault::at(rule.value_span(other), format!("this rule has a handler and `{other}`"));
        rule.faults.push(fault.cure("leave one of them out"));
    }
    let timeout = rule.parsed("timeout", |text| duration_within(text, &TIMEOUTS)).unwrap_or(TIMEOUT);
    let late = rule.parsed("late", Late::parse).unwrap_or_default();
    let named: Vec<_> = HANDLERS.iter().filter(|key| rule.value(key).is_some()).collect();
    if let [_, second, ..] = named.as_slice() {
        let fault = Fault::at(rule.value_span(second), "this rule has two handlers");
        rule.faults.push(fault.cure("leave one of them out"));
    }
    let key = **named.first()?;
    if key != "exec" {
        refuse(rule, OF_EXEC, "exec");
    }
    let handler = match key {
        "exec" => Handler::Exec(read_exec(rule)?),
        "http" => Handler::Http(read_http(rule, templates)?),
        "chat" => Handler::Chat { profile: templates.tables.profiles.named(rule)? },
        _ => Handler::Relay(read_relay(rule)?),
    };
    Some(Action::Handler(Box::new(Handling { handler, timeout, late })))
}

/// `when.exec` and `when.http`: who has to agree.
pub(super) fn read_guards(when: &Table<'_>) -> Vec<Test> {
    let guards = [read_guarding_program(when), read_guarding_server(when)];
    guards.into_iter().flatten().map(|guard| Test::Guard(Box::new(guard))).collect()
}

/// `when.exec = ["python3", "may.py"]`, or a table that says more.
fn read_guarding_program(when: &Table<'_>) -> Option<Guard> {
    let value = when.value("exec")?;
    let DeValue::Table(_) = value.get_ref() else {
        return Some(Guard {
            by: GuardBy::Exec(read_program(when.texts("exec"), "exec", when)?),
            timeout: GUARD_TIMEOUT,
        });
    };
    let table = Table::from_value(value, "key of a guarding program", when.faults)?;
    if table.value("command").is_none() {
        table.missing("command");
    }
    let exec = read_program(table.texts("command"), "command", &table);
    let (exec, timeout) = (read_surroundings(&table, "command", exec), guard_timeout(&table));
    table.finish();
    Some(Guard { by: GuardBy::Exec(exec?), timeout })
}

/// `when.http = "https://…"`, or a table that says more.
fn read_guarding_server(when: &Table<'_>) -> Option<Guard> {
    let value = when.value("http")?;
    let DeValue::Table(_) = value.get_ref() else {
        let url = read_url(&when.text("http")?, when.faults);
        return Some(Guard { by: GuardBy::Http(Http { url, ..Http::default() }), timeout: GUARD_TIMEOUT });
    };
    let table = Table::from_value(value, "key of a guarding server", when.faults)?;
    let (http, timeout) = (read_server(&table), guard_timeout(&table));
    table.finish();
    Some(Guard { by: GuardBy::Http(http?), timeout })
}

fn guard_timeout(table: &Table<'_>) -> Duration {
    table.parsed("timeout", |text| duration_within(text, &GUARD_TIMEOUTS)).unwrap_or(GUARD_TIMEOUT)
}

/// `exec = ["python3", "bot.py"]`, and what a rule says more of it.
fn read_exec(rule: &Table<'_>) -> Option<Exec> {
    let exec = read_surroundings(rule, "exec", read_program(rule.texts("exec"), "exec", rule));
    let output = rule.parsed("output", Output::parse).unwrap_or_default();
    let max_output = max_output(rule);
    let concurrency = rule.integer_within("concurrency", "programs", 1..=MAX_CONCURRENCY);
    Some(Exec { output, max_output, concurrency, ..exec? })
}

/// A program and its arguments, from the value of `key`.
fn read_program(command: Option<Vec<Text<'_>>>, key: &'static str, table: &Table<'_>) -> Option<Exec> {
    let command: Vec<_> = command?.into_iter().map(|text| text.value.to_owned()).collect();
    // An empty list is told of already.
    if command.first().is_some_and(String::is_empty) {
        table.faults.push(
            Fault::at(table.value_span(key), format!("`{key}` names no program"))
                .cure("write the program and its arguments, as in [\"python3\", \"bot.py\"]"),
        );
    }
    Some(Exec { command, ..Exec::default() })
}

/// What a program is given beside the message.
fn read_surroundings(table: &Table<'_>, key: &'static str, exec: Option<Exec>) -> Option<Exec> {
    let folder = table.text("folder");
    if let Some(folder) = &folder
        && table.faults.thorough
        && !table.faults.path(folder.value).is_dir()
    {
        let message = format!("there is no folder `{}`", folder.value);
        table.faults.push(Fault::at(folder.span.clone(), message).warning());
    }
    let folder = folder.map(|folder| table.faults.path(folder.value));
    let env = table.texts("env").unwrap_or_default();
    for name in &env {
        check_passed_on(name, table.faults);
    }
    let env = env.iter().map(|name| name.value.to_owned()).collect();
    let set = named_secrets(table, "set", "variable", is_variable);
    let exec = Exec { folder, env, set, ..exec? };
    if table.faults.thorough {
        warn_of_program(table, key, &exec);
    }
    Some(exec)
}

/// A program that is named by a path should be there.
fn warn_of_program(table: &Table<'_>, key: &'static str, exec: &Exec) {
    let Some(program) = exec.command.first().filter(|program| program.contains('/')) else { return };
    let path = exec.folder.as_ref().map_or_else(|| table.faults.path(program), |folder| folder.join(program));
    if !path.exists() {
        let fault = Fault::at(table.value_span(key), format!("there is no program `{}`", path.display()));
        table.faults.push(fault.cure("what fails is answered with `on_error`").warning());
    }
}

/// What strangers can set must not reach a program by another name.
fn check_passed_on(name: &Text<'_>, faults: &Faults<'_>) {
    if !is_variable(name.value) {
        let message = format!("`{}` is no name of a variable", name.value);
        faults.push(Fault::at(name.span.clone(), message).cure("write names, as in [\"HOME\", \"LANG\"]"));
    } else if name.value.starts_with("HTTP_") {
        let message = format!("`{}` would be a header of the request: anybody can set it", name.value);
        let cure = "give the program the value by `set`";
        faults.push(Fault::at(name.span.clone(), message).cure(cure));
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

fn max_output(table: &Table<'_>) -> usize {
    let given = table.parsed("max_output", |text| {
        let given = size(text)?;
        let is_within = OUTPUTS.contains(&given);
        is_within.then_some(given).ok_or_else(|| format!("`{text}` is not within 1 byte and 16MiB"))
    });
    given.and_then(|given| usize::try_from(given).ok()).unwrap_or(Exec::MAX_OUTPUT)
}

const SECRETS_NOUN: &str = "named secret";

/// A table of names and secrets.
fn named_secrets(
    table: &Table<'_>,
    key: &'static str,
    noun: &str,
    accept: impl Fn(&str) -> bool,
) -> Vec<(String, SecretSource)> {
    let Some(named) = table.table(key, SECRETS_NOUN) else { return Vec::new() };
    let read = |(name, value): (Text<'_>, Value<'_>)| {
        if !accept(name.value) {
            let message = format!("`{}` cannot be the name of a {noun}", name.value);
            named.faults.push(Fault::at(name.span, message));
            return None;
        }
        Some((name.value.to_owned(), secret_source(value, name.value, named.faults)?))
    };
    named.entries().filter_map(read).collect()
}

/// `http = "https://…"`, or a table that says more.
fn read_http(rule: &Table<'_>, templates: Templates<'_>) -> Option<Http> {
    let value = rule.value("http")?;
    let DeValue::Table(_) = value.get_ref() else {
        let url = read_url(&rule.text("http")?, rule.faults);
        return Some(Http { url, max_output: Exec::MAX_OUTPUT, ..Http::default() });
    };
    let table = Table::from_value(value, "http key", rule.faults)?;
    let http = read_server(&table);
    let max_output = max_output(&table);
    let cache = read_cache(&table, templates);
    table.finish();
    Some(Http { max_output, cache, ..http? })
}

/// A server, and how it knows us.
fn read_server(table: &Table<'_>) -> Option<Http> {
    if table.value("url").is_none() {
        table.missing("url");
    }
    let url = table.text("url").map(|url| read_url(&url, table.faults));
    let secret = table.value("secret").and_then(|value| secret_source(value, "secret", table.faults));
    let headers = named_secrets(table, "headers", "header", |name| {
        let is_ours = OUR_HEADERS.contains(&name.to_ascii_lowercase().as_str());
        !is_ours && name.parse::<HeaderName>().is_ok()
    });
    for (name, value) in &headers {
        if let SecretSource::Literal(text) = value
            && HeaderValue::from_str(text).is_err()
        {
            let message = format!("the header `{name}` has a character that none may have");
            table.faults.push(Fault::at(table.value_span("headers"), message));
        }
    }
    Some(Http { url: url?, secret, headers, ..Http::default() })
}

fn read_cache(table: &Table<'_>, templates: Templates<'_>) -> Option<Cache> {
    let key = templates.optional(table, "cache_key");
    let Some(life) = table.parsed("cache", |text| duration_within(text, &CACHED)) else {
        if key.is_some() && table.value("cache").is_none() {
            let fault = Fault::at(table.key_span("cache_key"), "`cache_key` without `cache`");
            table.faults.push(fault.cure("say how long answers serve again: cache = \"10m\""));
        }
        return None;
    };
    let foreign = ["table", "rules_help"];
    let names = key.as_ref().filter(|_| table.faults.thorough).and_then(|key| key.names().ok());
    let is_foreign = |name: &String| foreign.contains(&name.split('.').next().unwrap_or_default());
    if let Some(name) = names.unwrap_or_default().into_iter().find(is_foreign) {
        let message = format!("`cache_key` cannot speak of `{name}`");
        let cure = "it is made of the message, captures, the session and the rule";
        table.faults.push(Fault::at(table.value_span("cache_key"), message).cure(cure));
    }
    Some(Cache { life, key })
}

/// `relay = { url = "…", token = "…" }`, or a list of them.
fn read_relay(rule: &Table<'_>) -> Option<Vec<Backend>> {
    let value = rule.value("relay")?;
    let items: Vec<Value<'_>> = match value.get_ref() {
        DeValue::Array(items) if !items.is_empty() => items.iter().collect(),
        DeValue::Table(_) => vec![value],
        _ => return wrong_type(value, "{ url = \"…\", token = \"…\" } or a list of them", rule.faults),
    };
    let read = |item| read_backend(Table::from_value(item, "key of a back-end", rule.faults)?);
    // All are read before an incomplete one ends it.
    let backends: Vec<_> = items.into_iter().map(read).collect();
    backends.into_iter().collect()
}

fn read_backend(table: Table<'_>) -> Option<Backend> {
    for key in ["url", "token"].into_iter().filter(|key| table.value(key).is_none()) {
        table.missing(key);
    }
    let source = |key| table.value(key).and_then(|value| secret_source(value, key, table.faults));
    let (token, encoding_aes_key) = (source("token"), source("encoding_aes_key"));
    let app_id = table.string("app_id");
    let url = table.text("url").map(|url| read_url(&url, table.faults));
    let timeout = table.parsed("timeout", |text| duration_within(text, &TIMEOUTS));
    if let Some(SecretSource::Literal(key)) = &encoding_aes_key
        && let Err(error) = AesKey::parse(key)
    {
        table.faults.push(Fault::at(table.value_span("encoding_aes_key"), error.to_string()));
    }
    let secure = match (encoding_aes_key, app_id) {
        (Some(encoding_aes_key), Some(app_id)) => Some(Secure { encoding_aes_key, app_id }),
        (None, None) => None,
        _ => {
            let fault = Fault::at(table.span.clone(), "`encoding_aes_key` and `app_id` belong together");
            let cure = "give both for messages that are encrypted, none for plain ones";
            table.faults.push(fault.cure(cure));
            None
        }
    };
    table.finish();
    Some(Backend { url: url?, token: token?, secure, timeout: timeout.unwrap_or(BACKEND_TIMEOUT) })
}

/// The address of a server, with a fault if it is none.
fn read_url(url: &Text<'_>, faults: &Faults<'_>) -> String {
    let fault = |message: &str| Fault::at(url.span.clone(), message.to_owned());
    let example = "write one like \"https://bot.example.com/wechat\"";
    let uri = url.value.parse::<Uri>().ok().filter(|_| !url.value.contains('#'));
    let host = uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.host()?)));
    match host.filter(|(_, host)| !host.is_empty()) {
        _ if uri.as_ref().and_then(Uri::authority).is_some_and(|place| place.as_str().contains('@')) => {
            faults.push(fault("a password in an address is not sent").cure("send it as a header"));
        }
        Some(("https", _)) => {}
        Some(("http", host)) if travel_of(host) == Travel::Safe => {}
        Some(("http", _)) => {
            let cure = "use https://, unless nobody else can listen on the way";
            faults.push(fault("what users write goes there unencrypted").cure(cure).warning());
        }
        Some(_) => faults.push(fault("this is neither https:// nor http://").cure(example)),
        None => faults.push(fault("this is no whole address").cure(example)),
    }
    url.value.to_owned()
}

#[cfg(test)]
mod tests;
