//! Golden tests: files beside the config that say what users send and what they are to be answered.

use std::ops::Range;
use std::path::Path;
use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::{Map, Value as Json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, PlacedFault, did_you_mean, line_of};
use super::load::Unusable;
use super::reply::KINDS;
use super::table::{Faults, Table, Value, text, wrong_type};
use super::value;
use crate::files::read_file;
use crate::rules::snake_case;
use crate::wechat::message::Message;

/// A larger file is none, bytes.
const MAX_FILE: u64 = 4 << 20;

/// Who sends if a test does not say.
const SOMEBODY: &str = "oGoldenUser000000000000000001";

/// The tests of one file, in their order.
#[derive(Debug)]
pub struct GoldenFile {
    /// The file as it was read.
    pub text: String,
    /// Its tests.
    pub tests: Vec<GoldenTest>,
}

/// One message, and its answer.
#[derive(Debug)]
pub struct GoldenTest {
    /// What it is called.
    pub name: Option<String>,
    /// Where it begins, from 1.
    pub line: usize,
    /// The openid of the sender.
    pub user: String,
    /// When it is sent; without it, now.
    pub at: Option<SystemTime>,
    /// The elements of the message beside the sender, the receiver and the time.
    pub fields: Vec<(String, String)>,
    /// What is expected; nothing before it was recorded.
    pub expected: Option<Expected>,
    /// The byte of the file where its expectation goes: the beginning of a line, or a place in its inline table.
    pub insert_at: usize,
    /// Whether it is an inline table: `test = [{ … }]`.
    pub is_inline: bool,
}

/// What is expected of an answer.
#[derive(Debug, PartialEq)]
pub struct Expected {
    /// The rule that is met; `None` if it does not matter.
    pub rule: Option<ExpectedRule>,
    /// All replies in their order, each as any of these that a config may write; `None` if they do not matter.
    pub replies: Option<Vec<Vec<Json>>>,
}

/// Which rule is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedRule {
    /// The one with this name, or one of those for what no rule is for: `default`, `welcome`, `default.image`.
    Named(String),
    /// The one in this place of the file, from 1.
    Number(usize),
    /// None: `false`.
    None,
}

impl GoldenFile {
    /// Reads a file of tests.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or something in it is wrong: every fault.
    pub fn read(path: &Path) -> Result<Self, Unusable> {
        let name = path.display().to_string();
        let text = read_file(path, MAX_FILE)
            .map_err(|error| error.to_string())
            .and_then(|(bytes, _)| String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned()))
            .map_err(|why| {
                let fault = Fault::of_file(format!("cannot read the tests: {why}"));
                Unusable(vec![PlacedFault::new(&name, "", &fault)])
            })?;
        let (tests, faults) = parse(&text);
        if faults.is_empty() {
            Ok(Self { text, tests })
        } else {
            Err(Unusable(PlacedFault::all(&name, &text, &faults)))
        }
    }
}

fn parse(file: &str) -> (Vec<GoldenTest>, Vec<Fault>) {
    let document = match DeTable::parse(file) {
        Ok(document) => document,
        Err(error) => return (Vec::new(), vec![Fault::at(error.span().unwrap_or(0..0), error.message())]),
    };
    let faults = Faults::new(file, Path::new(""), true);
    let root = Table::new(document.get_ref(), 0..0, "table", &faults);
    let tests =
        root.tables("test", "test key").into_iter().filter_map(|table| read_test(table, file)).collect();
    root.finish();
    (tests, faults.into_sorted())
}

fn read_test(table: Table<'_>, file: &str) -> Option<GoldenTest> {
    let name = table.string("name");
    let user = table.string("user").unwrap_or_else(|| SOMEBODY.to_owned());
    let at = table.value("at").and_then(|value| read_time(value, table.faults));
    let send = table.value("send");
    if send.is_none() {
        table.missing("send");
    }
    let fields = send.and_then(|value| read_message(value, table.faults));
    let expected = table.table("expect", "expectation").and_then(read_expected);
    let line = line_of(file, table.span.start);
    let is_inline = file[table.span.clone()].starts_with('{');
    let insert_at = if is_inline {
        end_of_inline(file, &table.span)
    } else {
        end_of_line(file, insertion(&table, send, file))
    };
    table.finish();
    Some(GoldenTest { name, line, user, at, fields: fields?, expected, insert_at, is_inline })
}

/// Behind the last value of an inline table.
fn end_of_inline(file: &str, span: &Range<usize>) -> usize {
    let inside = file[span.clone()].trim_end_matches('}').trim_end().trim_end_matches(',');
    span.start + inside.len()
}

/// Behind what is sent, if that is written as one value; else right below the header.
fn insertion(table: &Table<'_>, send: Option<Value<'_>>, file: &str) -> usize {
    let send = send.map(Spanned::span).filter(|span| file[span.clone()].starts_with(['"', '\'', '{']));
    send.map_or(table.span.start, |span| span.end)
}

/// Where the line ends that holds the byte `at`, behind its line break.
fn end_of_line(file: &str, at: usize) -> usize {
    file[at..].find('\n').map_or(file.len(), |found| at + found + 1)
}

/// A date and time with an offset, as text or as TOML's own.
fn read_time(value: Value<'_>, faults: &Faults<'_>) -> Option<SystemTime> {
    let written = match value.get_ref() {
        DeValue::String(text) => text.to_string(),
        DeValue::Datetime(datetime) => datetime.to_string(),
        _ => return wrong_type(value, "a date and time", faults),
    };
    let parsed = written.parse::<Timestamp>();
    if parsed.is_err() {
        let fault = Fault::at(value.span(), format!("`{written}` is no moment"));
        faults.push(fault.cure("write one with its offset, as \"2026-11-21T09:00:00+08:00\""));
    }
    parsed.ok().map(SystemTime::from)
}

/// A text, or the fields of a message by their names in templates.
fn read_message(value: Value<'_>, faults: &Faults<'_>) -> Option<Vec<(String, String)>> {
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    match value.get_ref() {
        DeValue::String(content) => Some(vec![field("MsgType", "text"), field("Content", content)]),
        DeValue::Table(_) => {
            let table = Table::from_value(value, "field", faults)?;
            let mut fields = Vec::new();
            for (name, value) in table.entries() {
                let element = element_named(name.value);
                if element.is_none() {
                    faults.push(unknown_field(&name));
                }
                fields.extend(element.zip(scalar(value, faults)));
            }
            let is_event = fields.iter().any(|(name, _)| name == "Event");
            if !fields.iter().any(|(name, _)| name == "MsgType") {
                fields.push(field("MsgType", if is_event { "event" } else { "text" }));
            }
            Some(fields)
        }
        _ => wrong_type(value, "a text, or a table of fields", faults),
    }
}

/// The element that templates call `name`; any other as it stands in the XML, with those around it: `NewThing`, `A/B`.
fn element_named(name: &str) -> Option<String> {
    if name == "key" {
        return Some("EventKey".to_owned());
    }
    let known = Message::known_elements().into_iter().find(|element| snake_case(element) == name);
    let as_it_stands = || {
        let is_element = name.starts_with(|first: char| first.is_ascii_uppercase())
            && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_/".contains(letter))
            && !name.split('/').any(str::is_empty);
        is_element.then(|| name.to_owned())
    };
    known.map(str::to_owned).or_else(as_it_stands)
}

fn unknown_field(name: &super::table::Text<'_>) -> Fault {
    let known: Vec<_> = Message::known_elements().into_iter().map(snake_case).collect();
    let fault = Fault::at(name.span.clone(), format!("no message has a field `{}`", name.value))
        .cure("fields are called as in templates (`pic_url`), or as in the XML (`PicUrl`)");
    match did_you_mean(name.value, known.iter().map(String::as_str)) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault,
    }
}

fn scalar(value: Value<'_>, faults: &Faults<'_>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        _ => wrong_type(value, "a text or a number", faults),
    }
}

fn read_expected(table: Table<'_>) -> Option<Expected> {
    let rule = table.value("rule").map(|value| read_rule(value, table.faults));
    let replies = match (table.value("reply"), table.value("replies")) {
        (Some(_), Some(replies)) => {
            let fault = Fault::at(replies.span(), "`reply` and `replies` are both given");
            table.faults.push(fault.cure("`reply` is the only one; `replies` are all, in their order"));
            None
        }
        (Some(only), None) => Some(vec![read_any_of(only, table.faults)]),
        (None, replies) => replies.and_then(|value| read_replies(value, table.faults)),
    };
    if table.is_empty() {
        let fault = Fault::at(table.span.clone(), "nothing is expected");
        table.faults.push(fault.cure("say which `rule` is met, or what the `reply` is"));
    }
    table.finish();
    rule.map_or(Some(None), |rule| rule.map(Some)).map(|rule| Expected { rule, replies })
}

/// All replies, in their order.
fn read_replies(value: Value<'_>, faults: &Faults<'_>) -> Option<Vec<Vec<Json>>> {
    match value.get_ref() {
        DeValue::Array(items) if items.is_empty() => {
            let fault = Fault::at(value.span(), "there are no replies in the list");
            faults.push(fault.cure("if nothing is answered, expect `reply = { none = true }`"));
            None
        }
        DeValue::Array(items) => Some(items.iter().map(|item| read_any_of(item, faults)).collect()),
        _ => wrong_type(value, "a list of replies", faults),
    }
}

/// A reply, or a list that means any of these.
fn read_any_of(value: Value<'_>, faults: &Faults<'_>) -> Vec<Json> {
    match value.get_ref() {
        DeValue::Array(items) => items.iter().filter_map(|item| read_reply(item, faults)).collect(),
        _ => read_reply(value, faults).into_iter().collect(),
    }
}

fn read_rule(value: Value<'_>, faults: &Faults<'_>) -> Option<ExpectedRule> {
    match value.get_ref() {
        DeValue::String(_) => text(value, faults).map(|name| ExpectedRule::Named(name.value.to_owned())),
        DeValue::Boolean(false) => Some(ExpectedRule::None),
        DeValue::Integer(number) => number.as_str().parse().ok().map(ExpectedRule::Number),
        _ => None,
    }
    .or_else(|| wrong_type(value, "a rule's name, its number, or false for none", faults))
}

/// Kinds that give others their turn are not what a user sees.
const CHOICES: [&str; 2] = ["random", "round_robin"];

/// A reply as a config writes it, made what a user gets: a text is a text, a file its name.
fn read_reply(value: Value<'_>, faults: &Faults<'_>) -> Option<Json> {
    if let DeValue::String(text) = value.get_ref() {
        return Some(text.as_ref().into());
    }
    let DeValue::Table(members) = value.get_ref() else {
        return wrong_type(value, "a text, or a table with one kind of reply", faults);
    };
    let kinds: Vec<_> = KINDS.iter().copied().filter(|kind| !CHOICES.contains(kind)).collect();
    let mut names = members.iter();
    let (Some((name, content)), None) = (names.next(), names.next()) else {
        let fault = Fault::at(value.span(), format!("a reply is of one kind, not of {}", members.len()));
        faults.push(fault.cure(format!("give one of: {}", kinds.join(", "))));
        return None;
    };
    let kind = name.get_ref().as_ref();
    if !kinds.contains(&kind) {
        let fault = Fault::at(name.span(), format!("no reply is of the kind `{kind}`"));
        let fault = fault.cure(format!("give one of: {}; a list means any of these", kinds.join(", ")));
        faults.push(match did_you_mean(kind, kinds.iter().copied()) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault,
        });
        return None;
    }
    let mut content = value::json(content.get_ref());
    if kind == "text" && content.is_string() {
        return Some(content);
    }
    if let Json::Object(members) = &mut content {
        name_file(members);
        if let Some(Json::Object(thumb)) = members.get_mut("thumb") {
            name_file(thumb);
            let media_id = thumb.remove("media_id");
            members.remove("thumb");
            members.extend(media_id.map(|media_id| ("thumb_media_id".to_owned(), media_id)));
        }
    }
    Some(Json::Object(std::iter::once((kind.to_owned(), content)).collect()))
}

/// In a test a file is its own media_id.
fn name_file(members: &mut Map<String, Json>) {
    if let Some(Json::String(path)) = members.remove("file") {
        let name = Path::new(&path).file_name().unwrap_or_default().to_string_lossy();
        members.insert("media_id".to_owned(), name.as_ref().into());
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::json;

    use super::*;

    fn good(text: &str) -> Vec<GoldenTest> {
        let (tests, faults) = parse(text);
        assert_eq!(faults, []);
        tests
    }

    fn fields(send: &str) -> Vec<String> {
        let tests = good(&format!("[[test]]\nsend = {send}\n"));
        tests[0].fields.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn messages_are_texts_events_or_any_fields() {
        assert_eq!(fields("\"天气\""), ["MsgType=text", "Content=天气"]);
        assert_eq!(
            fields("{ event = \"CLICK\", key = \"V1\" }"),
            ["Event=CLICK", "EventKey=V1", "MsgType=event"]
        );
        assert_eq!(fields("{ type = \"image\", media_id = \"m\" }"), ["MediaId=m", "MsgType=image"]);
        assert_eq!(
            fields("{ type = \"location\", location_x = 23.1, scale = 20, NewThing = \"n\" }"),
            ["NewThing=n", "Location_X=23.1", "Scale=20", "MsgType=location"]
        );
    }

    #[test]
    fn a_test_says_who_when_and_what_is_expected() {
        let tests = good(
            "[[test]]\nname = \"n\"\nuser = \"oUser1\"\nat = \"2026-11-21T09:00:00+08:00\"\nsend = \"a\"\n\
             expect = { rule = \"r\", reply = \"b\" }\n[[test]]\nat = 2026-11-21T09:00:01+08:00\nsend = \"a\"\n\
             [test.expect]\nrule = false\nreply = [\"b\", { none = true }]\n[[test]]\nsend = \"a\"",
        );
        let at = UNIX_EPOCH + Duration::from_secs(1_795_222_800);
        assert_eq!(
            (tests[0].name.as_deref(), tests[0].user.as_str(), tests[0].at),
            (Some("n"), "oUser1", Some(at))
        );
        let rule = Some(ExpectedRule::Named("r".to_owned()));
        assert_eq!(tests[0].expected, Some(Expected { rule, replies: Some(vec![vec!["b".into()]]) }));
        assert_eq!((tests[1].line, tests[1].at), (7, Some(at + Duration::from_secs(1))));
        let replies = Some(vec![vec!["b".into(), json!({ "none": true })]]);
        assert_eq!(tests[1].expected, Some(Expected { rule: Some(ExpectedRule::None), replies }));
        assert_eq!((tests[2].at, &tests[2].expected), (None, &None));
    }

    #[test]
    fn a_reply_is_written_as_in_a_config() {
        for (written, expected) in [
            ("{ text = \"a\" }", json!("a")),
            ("{ image = { file = \"pictures/cat.jpg\" } }", json!({ "image": { "media_id": "cat.jpg" } })),
            (
                "{ music = { thumb = { file = \"c.jpg\" }, title = \"t\" } }",
                json!({ "music": { "thumb_media_id": "c.jpg", "title": "t" } }),
            ),
            ("{ transfer = true }", json!({ "transfer": true })),
        ] {
            let tests = good(&format!("[[test]]\nsend = \"a\"\nexpect.reply = {written}\n"));
            let expected = Expected { rule: None, replies: Some(vec![vec![expected]]) };
            assert_eq!(tests[0].expected, Some(expected), "{written}");
        }
    }

    #[test]
    fn several_replies_are_a_list_of_which_each_may_be_any_of_some() {
        let tests = good("[[test]]\nsend = \"a\"\nexpect.replies = [\"b\", [\"c\", { transfer = true }]]\n");
        let replies = vec![vec![json!("b")], vec![json!("c"), json!({ "transfer": true })]];
        assert_eq!(tests[0].expected, Some(Expected { rule: None, replies: Some(replies) }));
    }

    #[test]
    fn an_expectation_goes_into_an_inline_table() {
        for test in ["test = [{ send = \"a\"^ }, { send = \"b\" }]", "test = [{send.event=\"CLICK\"^}]"] {
            let tests = good(&test.replace('^', ""));
            assert_eq!((Some(tests[0].insert_at), tests[0].is_inline), (test.find('^'), true), "{test}");
        }
    }

    #[test]
    fn an_expectation_goes_below_what_is_sent() {
        for (before, after) in [
            ("[[test]]\nsend = \"a\" # x\n", "name = \"n\"\n[[test]]\nsend = \"b\"\nexpect.rule = 1\n"),
            ("[[test]]\nsend = { event = \"CLICK\" }\n", ""),
            ("[[test]]\n", "send.event = \"CLICK\"\n"),
            ("[[test]]\n", "[test.send]\nevent = \"CLICK\"\n"),
        ] {
            let tests = good(&format!("{before}{after}"));
            assert_eq!(tests[0].insert_at, before.len(), "{before}{after}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, expected) in [
            ("[[test]]\nname = 1\nsend = \"a\"", "expected a text in quotes, found integer"),
            ("[[test]]\n", "missing test key `send`"),
            ("[[test]]\nsent = \"a\"\nsend = \"b\"", "unknown test key `sent`"),
            ("[[test]]\nsend = 7", "expected a text, or a table of fields, found integer"),
            (
                "[[test]]\nsend = { type = \"image\", media_ids = \"m\" }",
                "no message has a field `media_ids`",
            ),
            ("[[test]]\nsend = { type = [] }", "expected a text or a number, found array"),
            ("[[test]]\nsend = \"a\"\nat = \"noon\"", "`noon` is no moment"),
            ("[[test]]\nsend = \"a\"\nat = 2026-11-21", "`2026-11-21` is no moment"),
            ("[[test]]\nsend = \"a\"\nexpect = {}", "nothing is expected"),
            ("[[test]]\nsend = \"a\"\nexpect = { rule = true }", "expected a rule's name, its number"),
            (
                "[[test]]\nsend = \"a\"\nexpect = { reply = 3 }",
                "expected a text, or a table with one kind of reply",
            ),
            ("[[test]]\nsend = \"a\"\nexpect.reply = { txt = \"b\" }", "no reply is of the kind `txt`"),
            ("[[test]]\nsend = \"a\"\nexpect.reply = { random = [] }", "no reply is of the kind `random`"),
            (
                "[[test]]\nsend = \"a\"\nexpect.reply = [\"a\", { none = true, text = \"b\" }]",
                "a reply is of one kind, not of 2",
            ),
            ("[[test]]\nsend = \"a\"\nexpect.replies = \"b\"", "expected a list of replies, found string"),
            ("[[test]]\nsend = \"a\"\nexpect.replies = []", "there are no replies in the list"),
            (
                "[[test]]\nsend = \"a\"\nexpect = { reply = \"b\", replies = [\"b\"] }",
                "`reply` and `replies` are both given",
            ),
            ("[[tests]]\nsend = \"a\"", "unknown table `tests`"),
            ("[[test]\n", "unclosed array table"),
        ] {
            let (_, faults) = parse(text);
            assert!(
                faults.first().is_some_and(|fault| fault.message.starts_with(expected)),
                "{text}: {faults:?}"
            );
        }
    }
}
