//! `when`: from the file's words to tests.

use super::fault::{Fault, did_you_mean};
use super::table::{Table, Text};
use crate::rules::{BUILT_IN_NAMES, Condition, Pattern, Test};
use crate::wechat::event::KNOWN_EVENTS;
use crate::wechat::message::KNOWN_TYPES;

/// The condition, and the names of what it cuts out of a message.
pub(super) fn read_condition(table: Table<'_>) -> Option<(Condition, Vec<String>)> {
    let mut captures = Vec::new();
    let mut tests = Vec::new();
    let words = |key| words(&table, key);
    tests.extend(words("text").map(|words| Test::Text(trimmed(&words, str::trim))));
    tests.extend(words("contains").map(|words| Test::Contains(trimmed(&words, |word| word))));
    if let Some(words) = words("prefix") {
        // The text comes trimmed: white space before a prefix could never be met.
        tests.push(Test::Prefix(trimmed(&words, str::trim_start)));
        captures.push("rest".to_owned());
    }
    tests.extend(words("suffix").map(|words| Test::Suffix(trimmed(&words, str::trim_end))));
    if let Some(sources) = words("regex") {
        let patterns = sources.iter().map(|source| read_pattern(source, &table, &mut captures));
        tests.push(Test::Regex(patterns.collect()));
    }
    if let Some(types) = words("type") {
        warn_unknown(&table, "message type", &types, KNOWN_TYPES);
        tests.push(Test::Type(trimmed(&types, str::trim)));
    }
    if let Some(events) = words("event") {
        warn_unknown(&table, "event", &events, KNOWN_EVENTS);
        tests.push(Test::Event(trimmed(&events, str::trim)));
    }
    tests.extend(words("key").map(|keys| Test::Key(trimmed(&keys, without_qrscene))));
    if table.is_empty() {
        table.faults.push(Fault::at(table.span.clone(), "this condition is empty"));
    }
    table.finish();
    (!tests.is_empty()).then_some((Condition(tests), captures))
}

fn words<'t>(table: &Table<'t>, key: &'static str) -> Option<Vec<Text<'t>>> {
    let texts = table.texts(key)?;
    for empty in texts.iter().filter(|text| text.value.trim().is_empty()) {
        table.faults.push(
            Fault::at(empty.span.clone(), format!("`{key}` is empty"))
                .cure("an empty word would meet everything or nothing; leave it out"),
        );
    }
    Some(texts)
}

fn trimmed(words: &[Text<'_>], trim: impl Fn(&str) -> &str) -> Vec<String> {
    words.iter().map(|word| trim(word.value).to_owned()).collect()
}

fn without_qrscene(key: &str) -> &str {
    let key = key.trim();
    key.strip_prefix("qrscene_").unwrap_or(key)
}

fn read_pattern(source: &Text<'_>, table: &Table<'_>, captures: &mut Vec<String>) -> Pattern {
    let pattern = Pattern::new(source.value.to_owned());
    if table.faults.thorough {
        match pattern.check() {
            Ok(names) => {
                for name in names.iter().filter(|name| BUILT_IN_NAMES.contains(&name.as_str())) {
                    let message = format!("the group `{name}` has the name of something built in");
                    let fault = Fault::at(source.span.clone(), message);
                    table
                        .faults
                        .push(fault.cure("call the group otherwise; templates could not tell the two apart"));
                }
                captures.extend(names);
            }
            Err(error) => {
                let span = error.offset.and_then(|offset| source.span_at(offset, table.faults));
                let message = format!("bad regular expression: {}", error.message);
                table.faults.push(Fault::at(span.unwrap_or_else(|| source.span.clone()), message));
            }
        }
    }
    pattern
}

/// A name that WeChat may well invent tomorrow is allowed, but today it is most often a slip.
fn warn_unknown(table: &Table<'_>, noun: &str, names: &[Text<'_>], known: &[&'static str]) {
    let is_known = |name: &str| known.iter().any(|known| known.eq_ignore_ascii_case(name.trim()));
    for name in names.iter().filter(|name| !is_known(name.value)) {
        let mut fault =
            Fault::at(name.span.clone(), format!("no {noun} `{}` is known", name.value)).warning();
        if let Some(near) = did_you_mean(name.value, known.iter().copied()) {
            fault = fault.hint(format!("did you mean `{near}`?"));
        }
        table.faults.push(fault);
    }
}
