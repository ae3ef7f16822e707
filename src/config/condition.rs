//! `when`: from the file's words to tests.

use toml::de::DeValue;

use super::AccountSettings;
use super::fault::{Fault, did_you_mean};
use super::handler::read_guards;
use super::table::{Table, Text, Value, wrong_type};
use super::value;
use crate::rules::{Area, BUILT_IN_NAMES, Calendar, Condition, Field, Fold, Pattern, Test, Zone};
use crate::wechat::event::KNOWN_EVENTS;
use crate::wechat::message::KNOWN_TYPES;

/// What `[account]` says to all conditions.
#[derive(Debug, Default)]
pub(super) struct Customs {
    pub(super) fold: Fold,
    pub(super) zone: Zone,
    admin: Vec<String>,
}

impl Customs {
    pub(super) fn of(account: Option<&AccountSettings>) -> Self {
        account.map_or_else(Self::default, |account| Self {
            fold: account.fold,
            zone: account.time_zone.clone(),
            admin: account.admin.clone(),
        })
    }
}

/// The openids of those who run the account, by one word.
const ADMIN: &str = "admin";

/// The condition, and the names of what it cuts out of a message. What costs most to ask comes last.
pub(super) fn read_condition(table: Table<'_>, customs: &Customs) -> Option<(Condition, Vec<String>)> {
    let mut captures = Vec::new();
    let words = of_text(&table, &mut captures);
    let patterns = of_patterns(&table, &mut captures);
    let mut tests = of_message(&table);
    tests.extend(words.into_iter().chain(patterns));
    tests.extend(fields(&table, "field", &mut captures).into_iter().map(Test::Field));
    tests.extend(areas(&table).map(Test::Near));
    tests.extend(senders(&table, "from", customs).map(Test::From));
    tests.extend(senders(&table, "not_from", customs).map(Test::NotFrom));
    tests.extend(table.parsed("share", share).map(Test::Share));
    tests.extend(calendar(&table, customs).map(Test::Calendar));
    tests.extend(of_memory(&table));
    tests.extend(read_guards(&table));
    let fold = table.value("fold").and_then(|value| read_fold(value, &table)).unwrap_or(customs.fold);
    if table.len() == usize::from(table.value("fold").is_some()) {
        table.faults.push(Fault::at(table.span.clone(), "this condition is empty"));
    }
    table.finish();
    (!tests.is_empty()).then_some((Condition::new(fold, tests), captures))
}

/// `true`, `false` or `"script"`.
pub(super) fn read_fold(value: Value<'_>, table: &Table<'_>) -> Option<Fold> {
    match value.get_ref() {
        DeValue::Boolean(true) => Some(Fold::On),
        DeValue::Boolean(false) => Some(Fold::Off),
        DeValue::String(text) if text == "script" => Some(Fold::Script),
        _ => wrong_type(value, "true, false or \"script\"", table.faults),
    }
}

fn of_message(table: &Table<'_>) -> Vec<Test> {
    let mut tests = Vec::new();
    if let Some(types) = words(table, "type") {
        warn_unknown(table, "message type", &types, KNOWN_TYPES);
        tests.push(Test::Type(trimmed(&types, str::trim)));
    }
    if let Some(events) = words(table, "event") {
        warn_unknown(table, "event", &events, KNOWN_EVENTS);
        tests.push(Test::Event(trimmed(&events, str::trim)));
    }
    tests.extend(words(table, "key").map(|keys| Test::Key(trimmed(&keys, without_qrscene))));
    tests
}

/// What needs the store.
fn of_memory(table: &Table<'_>) -> Vec<Test> {
    let steps = words(table, "step").unwrap_or_default();
    let steps: Vec<_> = trimmed(&steps, str::trim).into_iter().map(|step| Test::Step(step, None)).collect();
    if steps.len() > 1 {
        let fault = Fault::at(table.key_span("step"), "a user is in one step only");
        table.faults.push(fault.cure("write one rule for each, the others with `alias`"));
    }
    // Values are not cut out of the message: their groups are nothing.
    let values = fields(table, "session", &mut Vec::new()).into_iter().map(Test::Session);
    let first = table.flag("first");
    if first == Some(false) {
        let fault = Fault::at(table.key_span("first"), "`first` can only be true; leave it out");
        table.faults.push(fault);
    }
    let first = (first == Some(true)).then_some(Test::First);
    // That he follows, or where his phone is, is no message of his, unless the rule is about such.
    let is_of_event = ["type", "event", "key", "key_regex"].iter().any(|key| table.value(key).is_some());
    let sent = first.is_some().then_some(Test::Sent).filter(|_| !is_of_event);
    steps.into_iter().chain(values).chain(sent).chain(first).collect()
}

fn of_text(table: &Table<'_>, captures: &mut Vec<String>) -> Vec<Test> {
    let whole = |key, trim: fn(&str) -> &str| words(table, key).map(|words| trimmed(&words, trim));
    // The text comes trimmed: white space before a prefix or behind a suffix could never be met.
    let tests = [
        whole("text", str::trim).map(Test::Text),
        whole("contains", |word| word).map(Test::Contains),
        whole("prefix", str::trim_start).map(Test::Prefix),
        whole("suffix", str::trim_end).map(Test::Suffix),
        whole("all_of", |word| word).map(Test::AllOf),
        whole("none_of", |word| word).map(Test::NoneOf),
    ];
    let tests: Vec<_> = tests.into_iter().flatten().collect();
    if tests.iter().any(|test| matches!(test, Test::Prefix(_) | Test::Suffix(_))) {
        captures.push("rest".to_owned());
    }
    tests
}

fn of_patterns(table: &Table<'_>, captures: &mut Vec<String>) -> Vec<Test> {
    let mut read = |key| {
        let sources = words(table, key)?;
        Some(sources.iter().map(|source| read_pattern(source, table, captures)).collect())
    };
    [read("regex").map(Test::Regex), read("key_regex").map(Test::KeyRegex)].into_iter().flatten().collect()
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
                // What it means to cut out is not held against templates.
                captures.extend(groups_in(source.value));
                let span = error.offset.and_then(|offset| source.span_at(offset, table.faults));
                let message = format!("bad regular expression: {}", error.message);
                table.faults.push(Fault::at(span.unwrap_or_else(|| source.span.clone()), message));
            }
        }
    }
    pattern
}

/// The names of the groups in an expression that may be broken.
fn groups_in(source: &str) -> impl Iterator<Item = String> {
    let names = source.split("(?").skip(1).filter_map(|group| {
        let (name, _) = group.strip_prefix('P').unwrap_or(group).strip_prefix('<')?.split_once('>')?;
        Some(name.to_owned())
    });
    names.filter(|name| !name.is_empty())
}

/// `field.NAME` is a text, a list of them, or a table that says more.
fn fields(table: &Table<'_>, key: &'static str, captures: &mut Vec<String>) -> Vec<Field> {
    let Some(value) = table.value(key) else { return Vec::new() };
    let DeValue::Table(fields) = value.get_ref() else {
        wrong_type::<()>(value, &format!("a table of names, as `{key}.NAME = \"…\"`"), table.faults);
        return Vec::new();
    };
    if fields.is_empty() {
        table.faults.push(Fault::at(value.span(), format!("`{key}` names none")));
    }
    let read = |(name, value): (&_, Value<'_>)| read_field(name, value, table, captures);
    fields.iter().map(|(name, value)| (name.get_ref().as_ref(), value)).filter_map(read).collect()
}

fn read_field(path: &str, value: Value<'_>, table: &Table<'_>, captures: &mut Vec<String>) -> Option<Field> {
    let mut field = Field { path: path.to_owned(), ..Field::default() };
    let DeValue::Table(_) = value.get_ref() else {
        let texts = table.texts_of(value, path)?;
        return Some(Field { equals: trimmed(&texts, str::trim), ..field });
    };
    let wanted = Table::from_value(value, "test of a field", table.faults)?;
    field.equals = words(&wanted, "equals").map(|words| trimmed(&words, str::trim)).unwrap_or_default();
    let sources = words(&wanted, "regex").unwrap_or_default();
    field.regex = sources.iter().map(|source| read_pattern(source, table, captures)).collect();
    (field.min, field.max) = (wanted.number("min"), wanted.number("max"));
    if wanted.is_empty() {
        wanted.faults.push(Fault::at(value.span(), format!("nothing is wanted of the field `{path}`")));
    }
    if field.min.zip(field.max).is_some_and(|(min, max)| min > max) {
        wanted.faults.push(Fault::at(value.span(), "no number is at least `min` and at most `max`"));
    }
    wanted.finish();
    Some(field)
}

/// `near` is a circle or a list of them.
fn areas(table: &Table<'_>) -> Option<Vec<Area>> {
    let value = table.value("near")?;
    let items: Vec<_> = match value.get_ref() {
        DeValue::Array(items) => items.iter().collect(),
        _ => vec![value],
    };
    if items.is_empty() {
        table.faults.push(Fault::at(value.span(), "`near` is an empty list"));
    }
    Some(
        items
            .into_iter()
            .filter_map(|item| read_area(Table::from_value(item, "key of a place", table.faults)?))
            .collect(),
    )
}

fn read_area(table: Table<'_>) -> Option<Area> {
    for key in ["latitude", "longitude", "radius"] {
        if table.value(key).is_none() {
            table.missing(key);
        }
    }
    let degrees = |key, most: f64| {
        let number = table.number(key)?;
        if number.abs() > most {
            let fault = format!("`{key}` is a number of degrees, -{most} to {most}");
            table.faults.push(Fault::at(table.key_span(key), fault));
        }
        Some(number)
    };
    let (latitude, longitude) = (degrees("latitude", 90.0), degrees("longitude", 180.0));
    let radius = table.parsed("radius", value::metres);
    table.finish();
    Some(Area { latitude: latitude?, longitude: longitude?, radius: radius? })
}

/// Openids; `admin` stands for those of the account.
fn senders(table: &Table<'_>, key: &'static str, customs: &Customs) -> Option<Vec<String>> {
    let mut openids = Vec::new();
    for text in words(table, key)? {
        if text.value.trim() == ADMIN {
            if customs.admin.is_empty() {
                let fault = Fault::at(text.span.clone(), "the account has no `admin`");
                table.faults.push(fault.cure("list their openids in `admin` of [account]"));
            }
            openids.extend_from_slice(&customs.admin);
        } else {
            openids.push(text.value.trim().to_owned());
        }
    }
    Some(openids)
}

/// `10%` as a number of ten thousand.
fn share(text: &str) -> Result<u16, String> {
    let percent: Option<f64> = text.strip_suffix('%').and_then(|number| number.trim().parse().ok());
    let of_ten_thousand = percent.map(|percent| (percent * 100.0).round());
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is checked to be within the range"
    )]
    of_ten_thousand
        .filter(|share| (1.0..=10_000.0).contains(share))
        .map(|share| share as u16)
        .ok_or_else(|| format!("`{text}` is no share; write one like \"10%\" or \"0.5%\""))
}

fn calendar(table: &Table<'_>, customs: &Customs) -> Option<Calendar> {
    let (hours, weekdays, dates) =
        (table.parsed_list("hours"), table.parsed_list("weekdays"), table.parsed_list("dates"));
    let is_given = hours.is_some() || weekdays.is_some() || dates.is_some();
    is_given.then(|| Calendar {
        zone: customs.zone.clone(),
        hours: hours.unwrap_or_default(),
        weekdays: weekdays.unwrap_or_default(),
        dates: dates.unwrap_or_default(),
    })
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
