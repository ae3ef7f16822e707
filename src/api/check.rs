//! Is a call what its row says? Looked at before it is sent: WeChat would only answer with a number.
//!
//! What the row does not know passes; WeChat may have added it. Only what looks like a slip of the pen is warned of.

use std::fmt;

use jiff::civil::Date;
use serde_json::{Map, Value};
use unicode_width::UnicodeWidthChar;

use super::endpoint::{Endpoint, Field, Kind, Limit, Most, Past, Place, Span, When};
use super::format::Format;
use super::who::AccountKind;
use crate::spelling::did_you_mean;

/// A call, as far as it is checked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Given<'g> {
    /// The query, without what proves who we are.
    pub query: &'g [(&'g str, &'g str)],
    /// The JSON body, or the JSON in a form; a text for an endpoint that takes one as it is.
    pub body: Option<&'g Value>,
    /// The file.
    pub file: Option<FileFacts<'g>>,
}

/// What is known of a file before it is sent.
#[derive(Debug, Clone, Copy)]
pub struct FileFacts<'g> {
    /// The name of its part.
    pub name: &'g str,
    /// By its first bytes.
    pub format: Option<Format>,
    /// Its size.
    pub bytes: u64,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// WeChat will refuse it.
    Violation,
    /// It may not be what was meant.
    Warning,
}

/// Something about a call that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Which field: `button[1].name`.
    pub field: String,
    /// What is wrong with it: the limit, and what was given.
    pub message: String,
    /// What to do.
    pub cure: String,
    /// What WeChat answers, for a violation.
    pub errcode: i64,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}; {}", self.field, self.message, self.cure)
    }
}

impl Finding {
    fn violation(field: String, errcode: i64, message: String, cure: String) -> Self {
        Self { severity: Severity::Violation, field, message, cure, errcode }
    }

    fn warning(field: String, message: String, cure: String) -> Self {
        Self { severity: Severity::Warning, field, message, cure, errcode: 0 }
    }
}

/// All that is wrong with a call of `endpoint`, in the order of its fields; violations first.
#[must_use]
pub fn check(endpoint: &Endpoint, given: &Given<'_>) -> Vec<Finding> {
    let call = Roots::new(given);
    let mut findings = Vec::new();
    if let Some(instead) = endpoint.retired {
        let message = "is no longer served by WeChat".to_owned();
        findings.push(Finding::warning(endpoint.path.to_owned(), message, instead.to_owned()));
    }
    if let Some(max) = endpoint.raw {
        findings.extend(check_raw(given.body, max));
    }
    for field in endpoint.all_fields() {
        match field.place {
            Place::File => findings.extend(check_file(endpoint, field, given, &call)),
            Place::Body | Place::Query => call.check_field(field, &mut findings),
        }
    }
    findings.extend(endpoint.one_of.iter().filter_map(|set| call.check_one_of(set)));
    findings.extend(endpoint.span.and_then(|span| call.check_span(span)));
    call.find_slips(endpoint, &mut findings);
    findings.sort_by_key(|finding| finding.severity == Severity::Warning);
    findings
}

/// A warning if none of the kinds that the account may be can call this.
#[must_use]
pub fn check_account(endpoint: &Endpoint, kinds: &[AccountKind]) -> Option<Finding> {
    let names: Vec<_> = kinds.iter().map(ToString::to_string).collect();
    endpoint.who.refuses_all(kinds).then(|| {
        let message = format!("is not for an {} (48001)", names.join(" or an "));
        Finding::warning(endpoint.path.to_owned(), message, format!("it is for: {}", endpoint.who))
    })
}

/// A violation if a day that must be over is not; `today` is China's.
#[must_use]
pub fn check_date(endpoint: &Endpoint, body: &Value, today: Date) -> Option<Finding> {
    let Past { field, errcode } = endpoint.past?;
    let date: Date = body.get(field)?.as_str()?.parse().ok()?;
    (date >= today).then(|| {
        let message = format!("is {date}, and only days before {today} are over in China");
        Finding::violation(field.to_owned(), errcode, message, "end with yesterday at the latest".to_owned())
    })
}

/// The query and the body as trees to look for fields in.
struct Roots {
    query: Value,
    body: Value,
}

/// Something found in a tree: where, and what.
type Found<'v> = (String, &'v Value);

impl Roots {
    fn new(given: &Given<'_>) -> Self {
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), Value::from(*value));
        let query: Map<_, _> = given.query.iter().map(text).collect();
        let body = given.body.filter(|body| body.is_object()).cloned();
        Self { query: Value::Object(query), body: body.unwrap_or_else(|| Value::Object(Map::new())) }
    }

    fn root(&self, place: Place) -> &Value {
        if place == Place::Query { &self.query } else { &self.body }
    }

    fn check_field(&self, field: &Field, findings: &mut Vec<Finding>) {
        for (place, parent) in instances(self.root(field.place), field.parent()) {
            if !parent.is_object() {
                continue;
            }
            let values = step(&place, parent, field.leaf());
            if let Some(other) = field.not_beside.filter(|other| !is_empty(parent.get(*other))) {
                let given = values.into_iter().find(|(_, value)| !is_empty(Some(value)));
                findings.extend(given.map(|(place, _)| not_beside(field, place, other)));
                continue;
            }
            if !self.counts(field, parent) {
                continue;
            }
            let is_element = field.leaf().ends_with("[]") || field.leaf() == "*";
            if values.is_empty() && field.required && !is_element {
                findings.push(missing(field, join(&place, field.leaf())));
            }
            for (place, value) in values {
                findings.extend(check_value(field, place, value));
            }
        }
    }

    /// Whether a field counts beside what stands in `parent`.
    fn counts(&self, field: &Field, parent: &Value) -> bool {
        match field.when {
            When::Always => true,
            When::Without(other) => is_empty(parent.get(other)) && is_empty(self.query.get(other)),
            When::Is(other, values) => {
                let roots = [parent, &self.body, &self.query];
                let other = roots.iter().find_map(|root| root.get(other)).map(plain);
                other.is_some_and(|other| values.contains(&other.as_str()))
            }
        }
    }

    fn check_one_of(&self, set: &'static [&'static str]) -> Option<Finding> {
        let (first, _) = set.split_first()?;
        let parent = first.rsplit_once('.').map_or("", |(parent, _)| parent);
        let is_given =
            |path: &&str| instances(&self.body, path).iter().any(|(_, value)| !is_empty(Some(value)));
        let lacks = !instances(&self.body, parent).is_empty() && !set.iter().any(is_given);
        let names: Vec<_> = set.iter().map(|path| format!("`{path}`")).collect();
        lacks.then(|| {
            let cure = format!("give one of {}", names.join(", "));
            Finding::violation(
                (*first).to_owned(),
                40035,
                "is missing, and so is what could replace it".to_owned(),
                cure,
            )
        })
    }

    fn check_span(&self, span: Span) -> Option<Finding> {
        let Span { from, to, most, errcode } = span;
        let (begin, end) = (self.body.get(from)?, self.body.get(to)?);
        let (length, max) = match most {
            Most::Days(max) => {
                let date = |value: &Value| value.as_str()?.parse::<Date>().ok();
                let days = (date(end)? - date(begin)?).get_days();
                (i64::from(days) + 1, max)
            }
            Most::OneDay => {
                let (begin, end) = (begin.as_i64()?, end.as_i64()?);
                // The midnight at its end belongs to a day too.
                let last = end.saturating_sub(1).max(begin);
                let days = day_in_china(last) - day_in_china(begin);
                (if end < begin { 0 } else { days + 1 }, 1)
            }
        };
        let finding = |message, cure: String| Finding::violation(to.to_owned(), errcode, message, cure);
        if length < 1 {
            return Some(finding(format!("lies before `{from}`"), "exchange them".to_owned()));
        }
        (length > max).then(|| {
            let message = match most {
                Most::Days(_) => {
                    format!("is {length} days on from `{from}`, at most {max} are allowed in one call")
                }
                Most::OneDay => format!("lies in another day than `{from}`, by the time of China"),
            };
            finding(message, "ask several times for shorter spans".to_owned())
        })
    }

    /// Names that nobody knows but that are close to one that is known.
    fn find_slips(&self, endpoint: &Endpoint, findings: &mut Vec<Finding>) {
        let mut parents: Vec<(Place, &str)> =
            endpoint.all_fields().map(|field| (field.place, field.parent())).collect();
        parents.sort_by_key(|(place, parent)| (*place == Place::Query, *parent));
        parents.dedup();
        for (place, parent) in parents {
            let siblings =
                endpoint.all_fields().filter(|field| field.place == place && field.parent() == parent);
            let known: Vec<_> = siblings.map(|field| field.leaf().trim_end_matches("[]")).collect();
            if known.contains(&"*") {
                continue;
            }
            for (at, value) in instances(self.root(place), parent) {
                let Value::Object(object) = value else { continue };
                findings.extend(object.keys().filter_map(|name| slip(&at, name, object, &known)));
            }
        }
    }
}

/// The number of the day, by the time of China.
fn day_in_china(seconds: i64) -> i64 {
    seconds.saturating_add(8 * 3600).div_euclid(86_400)
}

fn not_beside(field: &Field, place: String, other: &str) -> Finding {
    let message = format!("stands beside `{other}`, which takes its place");
    Finding::violation(place, field.errcode, message, "leave one of them out".to_owned())
}

fn slip(at: &str, name: &str, object: &Map<String, Value>, known: &[&str]) -> Option<Finding> {
    if known.contains(&name) {
        return None;
    }
    let near = did_you_mean(name, known.iter().copied()).filter(|near| !object.contains_key(*near))?;
    let message = "is no field that is known here".to_owned();
    Some(Finding::warning(join(at, name), message, format!("did you mean `{near}`?")))
}

/// All that lies at `path`.
fn instances<'v>(root: &'v Value, path: &str) -> Vec<Found<'v>> {
    let mut found = vec![(String::new(), root)];
    for name in path.split('.').filter(|name| !name.is_empty()) {
        found = found.iter().flat_map(|(place, value)| step(place, value, name)).collect();
    }
    found
}

/// What lies one name further.
fn step<'v>(place: &str, value: &'v Value, name: &str) -> Vec<Found<'v>> {
    let Value::Object(object) = value else { return Vec::new() };
    if name == "*" {
        return object.iter().map(|(name, value)| (join(place, name), value)).collect();
    }
    let is_list = name.ends_with("[]");
    let name = name.trim_end_matches("[]");
    let place = join(place, name);
    match object.get(name) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(elements)) if is_list => {
            elements.iter().enumerate().map(|(at, element)| (format!("{place}[{at}]"), element)).collect()
        }
        Some(value) => vec![(place, value)],
    }
}

fn join(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

pub(super) fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(elements)) => elements.is_empty(),
        Some(_) => false,
    }
}

/// A text or a number as a text.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

fn missing(field: &Field, place: String) -> Finding {
    let why = match field.when {
        When::Is(other, values) if values.len() == 1 => format!(" with `{other}` = `{}`", values[0]),
        _ => String::new(),
    };
    let cure = format!("add {}{}", a(field.kind), one_of_words(&field.limit));
    Finding::violation(place, field.errcode, format!("is missing{why}"), cure)
}

fn one_of_words(limit: &Limit) -> String {
    match limit {
        Limit::OneOf(values) => format!(": {}", values.join(", ")),
        Limit::Form { says, example, .. } => format!(": {says}, as {example}"),
        _ => String::new(),
    }
}

fn a(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "a text",
        Kind::Number => "a whole number",
        Kind::Id => "a number",
        Kind::Boolean => "`true` or `false`",
        Kind::Object => "an object",
        Kind::List => "a list",
        Kind::File => "a file",
        Kind::Any => "a value",
    }
}

fn check_value(field: &Field, place: String, value: &Value) -> Option<Finding> {
    if let Some(why) = field.obsolete {
        return Some(Finding::warning(place, "is out of date".to_owned(), why.to_owned()));
    }
    if !is_of_kind(field, value) {
        let (given, wanted) = (a_value(value), a(field.kind));
        let cure = if value.is_string() && field.kind == Kind::Number {
            "write it without quotes".to_owned()
        } else {
            format!("write {wanted}")
        };
        return Some(Finding::violation(place, field.errcode, format!("is {given}, not {wanted}"), cure));
    }
    if field.required && field.kind == Kind::Text && is_empty(Some(value)) {
        return Some(missing(field, place));
    }
    // An empty text where none is needed is as none.
    if !field.required && value.as_str() == Some("") {
        return None;
    }
    let (message, cure) = broken(&field.limit, &place, value)?;
    Some(Finding::violation(place, field.errcode, message, cure))
}

fn is_of_kind(field: &Field, value: &Value) -> bool {
    let is_integer = value.is_i64() || value.is_u64();
    let has_digits = || value.as_str().is_some_and(|text| text.parse::<i64>().is_ok());
    match field.kind {
        Kind::Text => value.is_string(),
        Kind::Number if field.place == Place::Query => has_digits(),
        Kind::Number => is_integer,
        Kind::Id => is_integer || value.is_string(),
        Kind::Boolean => value.is_boolean(),
        Kind::Object => value.is_object(),
        Kind::List => value.is_array(),
        Kind::File => false,
        Kind::Any => true,
    }
}

fn a_value(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "`true` or `false`",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// What breaks the limit, and the cure; nothing if it is kept.
fn broken(limit: &Limit, place: &str, value: &Value) -> Option<(String, String)> {
    match limit {
        Limit::None | Limit::File(..) => None,
        Limit::Bytes(max) => too_long(plain(value).len(), *max, "bytes"),
        Limit::Chars(max) => too_long(plain(value).chars().count(), *max, "characters"),
        Limit::Columns(max) => {
            let width = plain(value).chars().map(|letter| letter.width().unwrap_or(0)).sum();
            too_long(width, *max, "columns (a Chinese character takes two)")
        }
        Limit::Range(min, max) => out_of_range(value, *min, *max),
        Limit::Items(min, max) => wrong_count(value.as_array()?.len(), *min, *max),
        Limit::OneOf(values) => unknown(&plain(value), values),
        Limit::Form { fits, says, example } => {
            let text = plain(value);
            (!fits(&text)).then(|| (format!("is `{text}`"), format!("write {says}, as {example}")))
        }
        Limit::ByName(limits) => {
            // `data.thing8.value`
            let name = place.rsplit('.').nth(1)?;
            let name = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
            limits
                .iter()
                .filter(|(known, _)| *known == name)
                .find_map(|(_, limit)| broken(limit, place, value))
        }
    }
}

fn too_long(given: usize, max: usize, unit: &str) -> Option<(String, String)> {
    let more = given.checked_sub(max).filter(|more| *more > 0)?;
    Some((format!("has {given} {unit}, at most {max} are allowed"), format!("shorten it by {more}")))
}

fn out_of_range(value: &Value, min: i64, max: i64) -> Option<(String, String)> {
    // Beyond 64 bits with a sign it is beyond every range.
    let number = plain(value).parse::<i64>().unwrap_or(i64::MAX);
    let range = if max == i64::MAX { format!("{min} or more") } else { format!("{min} to {max}") };
    (!(min..=max).contains(&number))
        .then(|| (format!("is {}, {range} are allowed", plain(value)), format!("write a number of {range}")))
}

fn wrong_count(given: usize, min: usize, max: usize) -> Option<(String, String)> {
    let is = |count| if count == 1 { "1 element".to_owned() } else { format!("{count} elements") };
    if given < min {
        return Some((
            format!("has {}, at least {min} are needed", is(given)),
            format!("add {}", min - given),
        ));
    }
    let more = given.checked_sub(max).filter(|more| *more > 0)?;
    let cure = if max > 1 {
        format!("leave {more} out, or call once for every {max}")
    } else {
        format!("leave {more} out")
    };
    Some((format!("has {}, at most {max} {} allowed", is(given), if max == 1 { "is" } else { "are" }), cure))
}

fn unknown(given: &str, values: &'static [&'static str]) -> Option<(String, String)> {
    if values.contains(&given) {
        return None;
    }
    let near = did_you_mean(given, values.iter().copied());
    let near = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    Some((format!("is `{given}`"), format!("{near}There are: {}", values.join(", "))))
}

fn check_raw(body: Option<&Value>, max: usize) -> Option<Finding> {
    let body = body.map(plain).unwrap_or_default();
    let finding = |(message, cure)| Finding::violation("body".to_owned(), 45002, message, cure);
    if body.is_empty() {
        return Some(finding(("is empty".to_owned(), "give the text".to_owned())));
    }
    too_long(body.len(), max, "bytes").map(finding)
}

fn check_file(endpoint: &Endpoint, field: &Field, given: &Given<'_>, call: &Roots) -> Option<Finding> {
    let Limit::File(formats, max) = field.limit else { return None };
    if !call.counts(field, &call.query) {
        return None;
    }
    let place = field.path.to_owned();
    let Some(file) = given.file.filter(|file| file.name == field.path) else {
        let cure = format!("give the file that `{}` is to have", endpoint.name());
        return field.required.then(|| Finding::violation(place, 41005, "is missing".to_owned(), cure));
    };
    let names: Vec<_> = formats.iter().map(ToString::to_string).collect();
    let names = names.join(", ");
    if !file.format.is_some_and(|format| formats.contains(&format)) {
        let is = file
            .format
            .map_or_else(|| "of a format that is not known".to_owned(), |format| format.to_string());
        return Some(Finding::violation(place, 40005, format!("is {is}"), format!("convert it to {names}")));
    }
    if file.bytes == 0 {
        return Some(Finding::violation(place, 44001, "is empty".to_owned(), "give another file".to_owned()));
    }
    let usize_of = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let (message, _) = too_long(usize_of(file.bytes), usize_of(max), "bytes")?;
    Some(Finding::violation(place, field.errcode, message, "make it smaller".to_owned()))
}

#[cfg(test)]
mod tests;
