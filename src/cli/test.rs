//! `wxcgi test`: the golden tests beside a config. Each message goes through the real door and callback, in this process,
//! at the time that the test says.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::moment::{Moment, TestMeans};
use super::push::{Push, WeChat, written};
use super::toml_text::push_value;
use super::{ConfigArg, Failure, print, print_line};
use crate::account::{Account, Surroundings, equipment};
use crate::callback::{Terms, met_rule};
use crate::config::AccountSettings;
use crate::config::fault::did_you_mean;
use crate::config::golden::{Expected, ExpectedRule, GoldenFile, GoldenTest};
use crate::config::load::load;
use crate::gateway::cgi;
use crate::rules::{Role, Rule};

#[derive(Debug, clap::Args)]
#[command(after_help = "A test, in a .toml file of the folder:
  [[test]]
  name = \"weather\"
  user = \"oUser1\"
  at = \"2026-11-21T09:00:00+08:00\"
  send = \"天气\"      # or { event = \"CLICK\", key = \"V1001\" }, { type = \"image\", media_id = \"…\" }
  expect = { rule = \"weather\", reply = \"北京天气挺好的！\" }  # replies = [\"…\", \"…\"]: all of several")]
pub(super) struct Args {
    /// The folder of the tests, or one file of them [default: `tests` beside the config]
    tests: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArg,
    /// Write what is answered now into the tests that expect nothing yet
    #[arg(long)]
    record: bool,
    /// Print a list of objects for a program: file, line, name, passed, expected, found
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let path = args.config.find()?;
    let beside = || path.with_file_name("tests");
    let files = files_in(&args.tests.clone().unwrap_or_else(beside))?;
    crate::logging::start(log::LevelFilter::Warn, None);
    let mut outcomes = Vec::new();
    for file in &files {
        // Each file begins anew: what users did in one is not known in the next.
        let run = Run::new(&path)?;
        outcomes.extend(run.file(file, args.record)?);
    }
    if args.json {
        let json =
            serde_json::to_string_pretty(&outcomes).map_err(|error| Failure::Failed(error.to_string()))?;
        print_line(&json)?;
    } else {
        let told: String = outcomes.iter().map(Outcome::for_people).collect();
        print(told.as_bytes())?;
    }
    judge(&outcomes, args.json)
}

/// The test files of a folder in the order of their names, or the one file that was named.
fn files_in(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |why: String| Failure::Failed(format!("{}: {why}", path.display()));
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).map_err(|error| failed(format!("there are no tests ({error})")))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "toml"));
    files.sort();
    if files.is_empty() { Err(failed("there are no tests (*.toml)".to_owned())) } else { Ok(files) }
}

fn judge(outcomes: &[Outcome], json: bool) -> Result<(), Failure> {
    let count = |is: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| is(outcome)).count();
    let (failed, recorded) = (count(|it| !it.passed), count(|it| it.recorded));
    let tests = match outcomes.len() {
        1 => "1 test".to_owned(),
        count => format!("{count} tests"),
    };
    if failed > 0 {
        return Err(Failure::Failed(format!("{failed} of {tests} failed")));
    }
    if outcomes.is_empty() {
        return Err(Failure::Failed("there are no tests in these files".to_owned()));
    }
    let recorded = if recorded > 0 { format!(", {recorded} recorded") } else { String::new() };
    if json { Ok(()) } else { print_line(&format!("wxcgi: {tests} passed{recorded}")) }
}

/// An account whose users are about to send something.
pub(super) struct Run {
    settings: AccountSettings,
    terms: Arc<Terms>,
    means: TestMeans,
}

/// What became of one test.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    file: String,
    line: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    pub(super) passed: bool,
    recorded: bool,
    sent: String,
    expected: Answer,
    found: Answer,
    /// What is wrong with the rule that is expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    complaints: Vec<String>,
}

/// A rule and replies as a test file writes them; `null` and none if they do not matter.
#[derive(Debug, PartialEq)]
struct Answer {
    rule: Value,
    /// In their order; each is any of these.
    replies: Option<Vec<Vec<Value>>>,
}

impl Run {
    pub(super) fn new(path: &Path) -> Result<Self, Failure> {
        let config = load(path)?.config;
        let means = TestMeans::new(equipment(&config, path))?;
        Ok(Self {
            settings: config.account.clone(),
            terms: Account::new(config, Surroundings::default()).terms,
            means,
        })
    }

    /// Runs the tests of one file, one after the other.
    pub(super) fn file(&self, path: &Path, record: bool) -> Result<Vec<Outcome>, Failure> {
        let file = GoldenFile::read(path)?;
        let mut outcomes = Vec::new();
        let mut text = file.text;
        let mut added = 0;
        for (number, test) in (1..).zip(&file.tests) {
            let mut outcome = self.test(test, number)?;
            outcome.file = path.display().to_string();
            if record && test.expected.is_none() && outcome.found.replies.is_some() {
                let begins_line = text[..test.insert_at + added].ends_with('\n');
                let line = match (test.is_inline, begins_line) {
                    (true, _) => format!(", {}", outcome.found.as_expectation()),
                    (false, true) => format!("{}\n", outcome.found.as_expectation()),
                    (false, false) => format!("\n{}\n", outcome.found.as_expectation()),
                };
                text.insert_str(test.insert_at + added, &line);
                added += line.len();
                (outcome.recorded, outcome.passed) = (true, outcome.complaints.is_empty());
            }
            outcomes.push(outcome);
        }
        if added > 0 {
            fs::write(path, text)
                .map_err(|error| Failure::Failed(format!("cannot write `{}`: {error}", path.display())))?;
        }
        Ok(outcomes)
    }

    fn test(&self, test: &GoldenTest, number: u64) -> Result<Outcome, Failure> {
        let mut fields = test.fields.clone();
        let is = |name: &str| fields.iter().any(|(known, _)| known == name);
        if !is("Event") && !is("MsgId") {
            fields.push(("MsgId".to_owned(), (24_000_000_000_000_000 + number).to_string()));
        }
        let now = test.at.unwrap_or_else(SystemTime::now);
        let push = Push { openid: test.user.clone(), fields };
        let wechat = WeChat::new(&push, None, &self.settings, now)?;
        let rule = wechat.ask(|message| met_rule(&self.terms, message, now, &self.means));
        let app = Moment::new(&self.terms, &self.means, now);
        let document = cgi::exchange(wechat.params(), &mut wechat.body.as_bytes(), &app);
        let (replies, complaints) = match wechat.receive(&document) {
            Ok(received) => match app.into_ordered() {
                none if none.is_empty() => (vec![received.written], received.complaints),
                ordered => (ordered.iter().map(written).collect(), received.complaints),
            },
            // One message that cannot be one leaves the other tests alone.
            Err(Failure::Failed(why)) => (Vec::new(), vec![why]),
            Err(other) => return Err(other),
        };
        let passed = test.expected.as_ref().is_some_and(|expected| {
            is_expected(expected, rule.as_deref(), &replies) && complaints.is_empty()
        });
        let found = Answer::found(rule.as_deref(), replies);
        let unknown = test.expected.as_ref().and_then(|expected| self.unknown_rule(expected.rule.as_ref()?));
        Ok(Outcome {
            file: String::new(),
            line: test.line,
            name: test.name.clone(),
            passed,
            recorded: false,
            sent: sent(&test.fields),
            expected: Answer::of(test.expected.as_ref()),
            found,
            unknown,
            complaints,
        })
    }

    /// What is said of an expected rule that there is not.
    fn unknown_rule(&self, expected: &ExpectedRule) -> Option<String> {
        let rules = || self.terms.rules.all();
        match expected {
            ExpectedRule::None => None,
            ExpectedRule::Number(number) => {
                let is_there = rules().any(|rule| rule.role == Role::Rule(*number));
                (!is_there).then(|| format!("there is no rule {number}"))
            }
            ExpectedRule::Named(name) => {
                let names: Vec<_> =
                    rules().flat_map(|rule| rule.name.clone().into_iter().chain([rule.role.key()])).collect();
                let near = did_you_mean(name, names.iter().map(String::as_str));
                let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                (!names.contains(name)).then(|| format!("no rule is called `{name}`{hint}"))
            }
        }
    }
}

/// A rule as a test file calls it: by its name, its place, or what it is.
pub(super) fn called(rule: &Rule) -> Value {
    match (&rule.name, &rule.role) {
        (Some(name), _) => name.as_str().into(),
        (None, Role::Rule(number)) => (*number).into(),
        (None, other) => other.key().into(),
    }
}

fn is_expected(expected: &Expected, rule: Option<&Rule>, replies: &[Value]) -> bool {
    let is_rule = match &expected.rule {
        None => true,
        Some(ExpectedRule::None) => rule.is_none(),
        Some(ExpectedRule::Number(number)) => rule.is_some_and(|rule| rule.role == Role::Rule(*number)),
        Some(ExpectedRule::Named(name)) => rule.is_some_and(|rule| {
            rule.name.as_ref() == Some(name)
                || (!matches!(rule.role, Role::Rule(_)) && rule.role.key() == *name)
        }),
    };
    let are_replies = |expected: &Vec<Vec<Value>>| {
        expected.len() == replies.len()
            && expected.iter().zip(replies).all(|(any, found)| any.contains(found))
    };
    is_rule && expected.replies.as_ref().is_none_or(are_replies)
}

/// What was sent, in one line.
fn sent(fields: &[(String, String)]) -> String {
    let field = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    match (field("Event"), field("MsgType")) {
        (Some(event), _) => {
            format!("[event {event}{}]", field("EventKey").map(|key| format!(" {key}")).unwrap_or_default())
        }
        (None, Some("text") | None) => field("Content").unwrap_or_default().to_owned(),
        (None, Some(kind)) => format!("[{kind}]"),
    }
}

impl Answer {
    fn of(expected: Option<&Expected>) -> Self {
        let rule = match expected.and_then(|expected| expected.rule.as_ref()) {
            None => Value::Null,
            Some(ExpectedRule::None) => false.into(),
            Some(ExpectedRule::Number(number)) => (*number).into(),
            Some(ExpectedRule::Named(name)) => name.as_str().into(),
        };
        Self { rule, replies: expected.and_then(|expected| expected.replies.clone()) }
    }

    /// Without replies nothing was answered that a test could expect.
    fn found(rule: Option<&Rule>, replies: Vec<Value>) -> Self {
        let rule = rule.map_or(false.into(), called);
        let replies: Vec<_> = replies.into_iter().map(|reply| vec![reply]).collect();
        Self { rule, replies: Some(replies).filter(|replies| !replies.is_empty()) }
    }

    /// The key that a test file gives the replies, and its value.
    fn written(&self) -> (&'static str, Value) {
        let any =
            |any: &Vec<Value>| if let [only] = any.as_slice() { only.clone() } else { any.clone().into() };
        match self.replies.as_deref() {
            None => ("reply", Value::Null),
            Some([one]) => ("reply", any(one)),
            Some(several) => ("replies", several.iter().map(any).collect()),
        }
    }

    /// What a test file says to expect this.
    fn as_expectation(&self) -> String {
        let (key, replies) = self.written();
        format!("expect = {{ rule = {}, {key} = {} }}", shown(&self.rule), shown(&replies))
    }

    /// The replies as lines for people.
    fn lines(&self) -> Vec<String> {
        match (self.replies.as_deref(), self.written().1) {
            (Some([any]), Value::Array(_)) => {
                any.iter().map(|one| format!("any of: {}", shown(one))).collect()
            }
            (_, Value::Array(several)) => {
                several.iter().zip(1..).map(|(reply, number)| format!("{number}: {}", shown(reply))).collect()
            }
            (_, Value::String(text)) => text.split('\n').map(str::to_owned).collect(),
            (_, other) => vec![shown(&other)],
        }
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (key, replies) = self.written();
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("rule", &self.rule)?;
        map.serialize_entry(key, &replies)?;
        map.end()
    }
}

impl Outcome {
    /// Nothing for a test that passed.
    pub(super) fn for_people(&self) -> String {
        if self.passed {
            return String::new();
        }
        let name = self.name.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default();
        let mut text = format!("wxcgi: {}:{}: test{name} failed\n", self.file, self.line);
        let _ = writeln!(text, "   sent  {}", self.sent.replace('\n', "\n         "));
        if self.expected == Answer::of(None) {
            text.push_str(
                "         nothing is expected; `wxcgi test --record` writes down what is answered now\n",
            );
        }
        let (expected, found) = (&self.expected, &self.found);
        let rule = (!expected.rule.is_null()).then(|| vec![shown_rule(&expected.rule)]);
        push_difference(&mut text, "rule", rule, &[shown_rule(&found.rule)]);
        let replies = expected.replies.is_some().then(|| expected.lines());
        push_difference(&mut text, found.written().0, replies, &found.lines());
        if let Some(unknown) = &self.unknown {
            let _ = writeln!(text, "         {unknown}");
        }
        for complaint in &self.complaints {
            let _ = writeln!(text, "         WeChat would not take this reply: {complaint}");
        }
        text
    }
}

/// Writes what was expected and what was found, line by line: `-` was expected, `+` was found.
fn push_difference(text: &mut String, label: &str, expected: Option<Vec<String>>, found: &[String]) {
    let expected = expected.unwrap_or_else(|| found.to_vec());
    let equal = |(a, b): &(&String, &String)| a == b;
    let before = expected.iter().zip(found).take_while(equal).count();
    let behind = expected[before..].iter().rev().zip(found[before..].iter().rev()).take_while(equal).count();
    let mut label = label;
    let mut push = |mark: char, lines: &[String]| {
        for line in lines {
            let _ = writeln!(text, "{label:>7} {mark} {line}");
            label = "";
        }
    };
    push(' ', &expected[..before]);
    push('-', &expected[before..expected.len() - behind]);
    push('+', &found[before..found.len() - behind]);
    push(' ', &found[found.len() - behind..]);
}

/// A name stands without quotes.
fn shown_rule(rule: &Value) -> String {
    rule.as_str().map_or_else(|| shown(rule), str::to_owned)
}

fn shown(value: &Value) -> String {
    let mut line = String::new();
    push_value(&mut line, value);
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_recorded_reads_back() {
        for replies in [
            vec![json!("a \"b\" \\ \n\t\u{1}\u{7f}你😀")],
            vec![json!({ "news": [{ "title": "t", "url": "u" }, { "title": "2" }] })],
            vec![json!({ "none": true })],
            vec![json!("a"), json!({ "image": { "media_id": "m" } }), json!("a")],
        ] {
            let answer = Answer { rule: json!("r"), ..Answer::found(None, replies) };
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("t.toml");
            fs::write(&path, format!("[[test]]\nsend = \"a\"\n{}\n", answer.as_expectation())).unwrap();
            let file = GoldenFile::read(&path).unwrap_or_else(|unusable| panic!("{unusable:?}"));
            assert_eq!(Answer::of(file.tests[0].expected.as_ref()), answer);
        }
    }

    #[test]
    fn all_replies_must_be_there_in_their_order_and_no_other() {
        let expected = |replies| Expected { rule: None, replies: Some(replies) };
        let (a, b, c) = (json!("a"), json!("b"), json!("c"));
        let both = expected(vec![vec![a.clone()], vec![b.clone(), c.clone()]]);
        let either = expected(vec![vec![a.clone(), b.clone()]]);
        let passes = |expected, found: &[&Value]| {
            is_expected(expected, None, &found.iter().copied().cloned().collect::<Vec<_>>())
        };
        assert!(passes(&both, &[&a, &b]) && passes(&both, &[&a, &c]));
        for wrong in [&[&a, &a][..], &[&b, &a], &[&a], &[&a, &b, &c], &[]] {
            assert!(!passes(&both, wrong), "{wrong:?}");
        }
        assert!(passes(&either, &[&a]) && passes(&either, &[&b]));
        for wrong in [&[&c][..], &[&a, &b], &[]] {
            assert!(!passes(&either, wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_difference_shows_the_lines_that_differ() {
        let lines = |replies: Vec<Vec<Value>>| Answer { rule: Value::Null, replies: Some(replies) }.lines();
        let told = |expected: Vec<Vec<Value>>, found: Vec<Vec<Value>>| {
            let mut text = String::new();
            push_difference(&mut text, "reply", Some(lines(expected)), &lines(found));
            text
        };
        assert_eq!(
            told(vec![vec![json!("a\nb\nc")]], vec![vec![json!("a\nx\ny\nc")]]),
            "  reply   a\n        - b\n        + x\n        + y\n          c\n"
        );
        assert_eq!(
            told(vec![vec![json!("a"), json!({ "none": true })]], vec![vec![json!("b")]]),
            "  reply - any of: \"a\"\n        - any of: { none = true }\n        + b\n"
        );
        assert_eq!(
            told(
                vec![vec![json!("a")], vec![json!("b"), json!("c")]],
                vec![vec![json!("a")], vec![json!("d\ne")], vec![json!("f")]]
            ),
            "  reply   1: \"a\"\n        - 2: [\"b\", \"c\"]\n        + 2: \"d\\ne\"\n        + 3: \"f\"\n"
        );
        let mut text = String::new();
        push_difference(&mut text, "rule", None, &["3".to_owned()]);
        assert_eq!(text, "   rule   3\n");
    }
}
