//! `exec`, `http`, `relay`, `chat`: what a rule has done elsewhere.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::chat::Profiles;
use super::fault::Fault;
use super::server::duration_within;
use super::table::Table;
use crate::rules::{Action, Exec, Handler, Handling, Late};

/// The keys that name a handler; a rule has one of them at most, and then no `reply`.
pub(super) const HANDLERS: &[&str] = &["exec", "chat"];

/// How long a handler may take.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60 * 60);
const TIMEOUT: Duration = Duration::from_secs(30);

/// Whether the rule names a handler.
pub(super) fn has_handler(rule: &Table<'_>) -> bool {
    HANDLERS.iter().any(|key| rule.value(key).is_some())
}

/// What only a handler has must not stand beside a reply.
pub(super) fn refuse_options(rule: &Table<'_>) {
    for key in ["timeout", "late"].into_iter().filter(|key| rule.value(key).is_some()) {
        let fault = Fault::at(rule.key_span(key), format!("`{key}` without a handler"));
        rule.faults.push(fault.cure(format!("it belongs to {}", HANDLERS.join(", "))));
    }
}

/// The handler of a rule that names one.
pub(super) fn read_handling(rule: &Table<'_>, profiles: &Profiles) -> Option<Action> {
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
    let handler = match **named.first()? {
        "chat" => Handler::Chat { profile: profiles.named(rule)? },
        _ => Handler::Exec(read_exec(rule)?),
    };
    Some(Action::Handler(Box::new(Handling { handler, timeout, late })))
}

/// `exec = ["python3", "bot.py"]`
fn read_exec(rule: &Table<'_>) -> Option<Exec> {
    let command: Vec<_> = rule.texts("exec")?.into_iter().map(|text| text.value.to_owned()).collect();
    if command.first().is_none_or(String::is_empty) {
        rule.faults.push(
            Fault::at(rule.value_span("exec"), "`exec` names no program")
                .cure("write the program and its arguments, as in [\"python3\", \"bot.py\"]"),
        );
    }
    Some(Exec { command })
}
