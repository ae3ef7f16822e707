//! The template language: MiniJinja, with what replies need more and without what could make much out of little.

use std::io::{self, Write};
use std::sync::OnceLock;

use jiff::civil;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Kwargs;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};

use super::markup::Patchwork;

/// Steps that a template may take, so that a loop in one cannot hold a message up.
const FUEL: u64 = 100_000;

/// The longest text that a template may make, bytes; WeChat takes far less.
const MAX_RENDERED: usize = 64 << 10;

/// The most numbers in a `range`.
const MAX_RANGE: usize = 1000;

/// Where China's users are.
const CHINA: &str = "Asia/Shanghai";

/// How `now` is written.
const USUAL_FORMAT: &str = "%Y-%m-%d %H:%M:%S";

/// A value in what the engine writes begins and ends with these; XML knows neither. They also stand in what
/// `{% set %}…{% endset %}` holds, which is to be printed and not compared.
const VALUE_BEGINS: char = '\u{1}';
const VALUE_ENDS: char = '\u{2}';

pub(super) fn environment() -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = Environment::new();
        if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
            environment.set_syntax(syntax);
        }
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_fuel(Some(FUEL));
        // With an escape of our own, what `{% set %}…{% endset %}` holds is not taken for a value as a whole.
        environment.set_auto_escape_callback(|_| AutoEscape::Custom("text".into()));
        environment.set_formatter(mark_values);
        // Fuel counts steps, not bytes: what makes much out of little in one step is bounded or left out.
        environment.add_filter("replace", replace);
        environment.add_function("range", range);
        for filter in ["indent", "format", "batch", "slice"] {
            environment.remove_filter(filter);
        }
        // What lives on from one turn of a loop to the next can double in each.
        environment.remove_global("namespace");
        for name in ["xml", "escape", "e"] {
            environment.add_filter(name, xml);
        }
        for name in ["json", "tojson"] {
            environment.add_filter(name, json);
        }
        environment.add_filter("shell", shell);
        environment.add_filter("date", date);
        environment
    })
}

/// Fills a template in.
pub(super) fn render(source: &str, values: Value) -> Result<Patchwork, Error> {
    let mut rendered = Bounded(Vec::new());
    environment().template_from_str(source)?.render_captured_to(values, &mut rendered)?;
    Ok(patchwork(&String::from_utf8_lossy(&rendered.0)))
}

/// Writes a value between the marks, unless the template calls it safe.
fn mark_values(out: &mut Output, _: &mut State, value: &Value) -> Result<(), Error> {
    if value.is_undefined() {
        return Ok(());
    }
    let text = value.to_string();
    if value.is_safe() {
        return Ok(out.write_str(&text)?);
    }
    let text = text.replace([VALUE_BEGINS, VALUE_ENDS], "");
    Ok(write!(out, "{VALUE_BEGINS}{text}{VALUE_ENDS}")?)
}

/// What was rendered, its marks taken out.
fn patchwork(rendered: &str) -> Patchwork {
    let mut patchwork = Patchwork::with_capacity(rendered.len());
    for (index, part) in rendered.split(VALUE_BEGINS).enumerate() {
        let (value, words) =
            if index == 0 { ("", part) } else { part.split_once(VALUE_ENDS).unwrap_or((part, "")) };
        patchwork.push_foreign(value);
        patchwork.push(words);
    }
    patchwork
}

/// Takes no more than 64 KiB.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_RENDERED {
            return Err(io::Error::other("the template makes too long a text"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn invalid(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, detail.into())
}

/// The function `range`, for no more turns than a reply can want: filters go through all of it in one step.
fn range(lower: isize, upper: Option<isize>, step: Option<isize>) -> Result<Value, Error> {
    let (from, to) = upper.map_or((0, lower), |upper| (lower, upper));
    let step = step.unwrap_or(1);
    if step == 0 || to.abs_diff(from) / step.unsigned_abs() > MAX_RANGE {
        return Err(invalid(format!("a range has a step and at most {MAX_RANGE} numbers")));
    }
    minijinja::functions::range(lower, upper, Some(step))
}

/// The filter `replace`, with a bound on what it makes.
fn replace(text: &str, from: &str, to: &str) -> Result<String, Error> {
    let grown = text.len() + text.matches(from).count().saturating_mul(to.len());
    if grown > MAX_RENDERED {
        return Err(invalid("the replaced text is too long"));
    }
    Ok(text.replace(from, to))
}

/// The filter `xml`: a text as it stands in an element or an attribute of XML or HTML.
fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(letter),
        }
    }
    escaped
}

/// The filter `json`: a value as JSON, which is text like any other.
fn json(value: &Value) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| invalid(error.to_string()))
}

/// The filter `shell`: a text as one word of a POSIX shell.
fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\0', "").replace('\'', r"'\''"))
}

/// The filter `date`: `now`, Unix seconds, or a date as text, in the format and the time zone that are wanted; China's
/// by default.
#[expect(clippy::needless_pass_by_value, reason = "so the engine hands named arguments over")]
fn date(time: &Value, format: Option<&str>, arguments: Kwargs) -> Result<String, Error> {
    let zone: Option<&str> = arguments.get("tz")?;
    let format = format.map_or_else(|| arguments.get::<Option<&str>>("format"), |format| Ok(Some(format)))?;
    arguments.assert_all_used()?;
    let zone = zone.unwrap_or(CHINA);
    let zone = time_zone(zone).ok_or_else(|| invalid(format!("no time zone `{zone}` is known")))?;
    let moment = moment(time).ok_or_else(|| invalid(format!("`{time}` is no time")))?;
    jiff::fmt::strtime::format(format.unwrap_or(USUAL_FORMAT), &moment.with_time_zone(zone))
        .map_err(|error| invalid(error.to_string()))
}

/// `Asia/Shanghai`, or `+08:00`.
fn time_zone(name: &str) -> Option<TimeZone> {
    let offset = || jiff::fmt::strtime::parse("%:z", name).ok()?.offset();
    TimeZone::get(name).ok().or_else(|| offset().map(TimeZone::fixed))
}

/// The moment that a value names: Unix seconds, a date with an offset, or one without, which is China's.
fn moment(value: &Value) -> Option<Zoned> {
    let china = time_zone(CHINA)?;
    let text = value.to_string();
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Timestamp::from_second(seconds).ok()?.to_zoned(china));
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp.to_zoned(china));
    }
    text.parse::<civil::DateTime>().ok()?.to_zoned(china).ok()
}

/// A time as `now` is written: China's.
pub(super) fn china_time(time: std::time::SystemTime) -> String {
    // UTC+8 all the year since 1991: the table of its past is not needed.
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
    jiff::tz::Offset::constant(8).to_datetime(time).strftime(USUAL_FORMAT).to_string()
}
