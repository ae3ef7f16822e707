//! `wxcgi test`: the golden tests beside a config. Each message goes through the real door and callback, in this process,
//! at the time that the test says.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use serde_json::Value;

use super::push::{Push, WeChat};
use super::toml_text::push_value;
use super::{ConfigArg, Failure, print, print_line};
use crate::account::{Account, Surroundings, equipment};
use crate::callback::{Answered, Circumstances, Means, SUCCESS, Terms, answer, met_rule};
use crate::chance::random;
use crate::config::AccountSettings;
use crate::config::fault::did_you_mean;
use crate::config::golden::{Expected, ExpectedRule, GoldenFile, GoldenTest};
use crate::config::load::load;
use crate::gateway::{Application, Responder, cgi};
use crate::handlers::Equipment;
use crate::http::{Params, Request, Response};
use crate::rules::{MediaFile, MediaLibrary, Role, Rule};
use crate::store::Store;
use crate::store::sqlite::{Journal, Sqlite};

/// A test takes no longer than a handler may.
const PATIENCE: Duration = Duration::from_secs(2 * 60 * 60);

#[derive(Debug, clap::Args)]
#[command(after_help = "A test, in a .toml file of the folder:
  [[test]]
  name = \"weather\"
  user = \"oUser1\"
  at = \"2026-11-21T09:00:00+08:00\"
  send = \"天气\"      # or { event = \"CLICK\", key = \"V1001\" }, { type = \"image\", media_id = \"…\" }
  expect = { rule = \"weather\", reply = \"北京天气挺好的！\" }")]
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

/// A rule and a reply as a test file writes them; `null` if it does not matter.
#[derive(Debug, PartialEq, Serialize)]
struct Answer {
    rule: Value,
    reply: Value,
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
            if record && test.expected.is_none() && !outcome.found.reply.is_null() {
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
        let app = Moment { terms: &self.terms, means: &self.means, now };
        let document = cgi::exchange(wechat.params(), &mut wechat.body.as_bytes(), &app);
        let (reply, complaints) = match wechat.receive(&document) {
            Ok(received) => (received.written, received.complaints),
            // One message that cannot be one leaves the other tests alone.
            Err(Failure::Failed(why)) => (Value::Null, vec![why]),
            Err(other) => return Err(other),
        };
        let found = Answer { rule: rule.as_deref().map_or(false.into(), called), reply };
        let passed = test.expected.as_ref().is_some_and(|expected| {
            is_expected(expected, rule.as_deref(), &found.reply) && complaints.is_empty()
        });
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

/// The account at a moment, with the same chance each time: of several replies always the same is chosen.
pub(super) struct Moment<'a> {
    pub(super) terms: &'a Arc<Terms>,
    pub(super) means: &'a TestMeans,
    pub(super) now: SystemTime,
}

impl Application for Moment<'_> {
    fn max_body(&self, _: &Params) -> usize {
        usize::MAX
    }

    fn handle(&self, request: &Request, responder: Responder) {
        let circumstances = Circumstances { now: self.now, random: || Some([0; 16]) };
        responder.respond(match answer(self.terms, request, circumstances) {
            Answered::Now(response) => response,
            Answered::Later(pending) => match pending.respond(self.means) {
                Ok(response) => response,
                // As it would come in time; what follows the first reply is for another moment.
                Err(order) => {
                    let replies = pending.work_out(&order, self.means);
                    pending.respond_with(&order.answer(replies.first()))
                }
            },
        });
    }

    fn unanswered(&self) -> Response {
        Response::text(200, SUCCESS)
    }
}

/// What rules remember in a test goes into a store of its own, in a folder that is removed with it.
#[derive(Debug)]
pub(super) struct TestMeans {
    folder: PathBuf,
    store: Arc<dyn Store>,
    equipment: Equipment,
}

impl TestMeans {
    pub(super) fn new(equipment: Equipment) -> Result<Self, Failure> {
        let failed =
            |error: std::io::Error| Failure::Failed(format!("cannot make a folder for the store: {error}"));
        let name = random::<8>()
            .map_err(failed)?
            .iter()
            .fold(String::new(), |name, byte| format!("{name}{byte:02x}"));
        let folder = std::env::temp_dir().join(format!("wxcgi-test-{name}"));
        DirBuilder::new().mode(0o700).create(&folder).map_err(failed)?;
        let store = Sqlite::new(folder.join("store.db"), Journal::default(), Duration::from_secs(2), "test");
        Ok(Self { folder, store: Arc::new(store), equipment })
    }
}

impl Drop for TestMeans {
    fn drop(&mut self) {
        // What is left in a folder for temporary files harms nobody.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl MediaLibrary for TestMeans {
    /// Nothing is uploaded in a test: a file is its own media_id.
    fn media_id(&self, file: &MediaFile) -> Result<String, String> {
        Ok(file.path.file_name().unwrap_or_default().to_string_lossy().into_owned())
    }
}

impl Means for TestMeans {
    fn store(&self) -> Result<Arc<dyn Store>, String> {
        Ok(Arc::clone(&self.store))
    }

    /// Two tests at the same time may well send the same event.
    fn knows_repeats(&self) -> bool {
        false
    }

    fn equipment(&self) -> Option<&Equipment> {
        Some(&self.equipment)
    }

    fn until(&self) -> Instant {
        Instant::now() + PATIENCE
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

fn is_expected(expected: &Expected, rule: Option<&Rule>, reply: &Value) -> bool {
    let is_rule = match &expected.rule {
        None => true,
        Some(ExpectedRule::None) => rule.is_none(),
        Some(ExpectedRule::Number(number)) => rule.is_some_and(|rule| rule.role == Role::Rule(*number)),
        Some(ExpectedRule::Named(name)) => rule.is_some_and(|rule| {
            rule.name.as_ref() == Some(name)
                || (!matches!(rule.role, Role::Rule(_)) && rule.role.key() == *name)
        }),
    };
    is_rule && expected.replies.as_ref().is_none_or(|replies| replies.contains(reply))
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
        let reply = match expected.and_then(|expected| expected.replies.as_deref()) {
            None => Value::Null,
            Some([only]) => only.clone(),
            Some(any) => any.to_vec().into(),
        };
        Self { rule, reply }
    }

    /// What a test file says to expect this.
    fn as_expectation(&self) -> String {
        let mut text = String::from("expect = { rule = ");
        push_value(&mut text, &self.rule);
        text.push_str(", reply = ");
        push_value(&mut text, &self.reply);
        text + " }"
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
        if self.expected == (Answer { rule: Value::Null, reply: Value::Null }) {
            text.push_str(
                "         nothing is expected; `wxcgi test --record` writes down what is answered now\n",
            );
        }
        for (label, expected, found) in [
            ("rule", &self.expected.rule, &self.found.rule),
            ("reply", &self.expected.reply, &self.found.reply),
        ] {
            push_difference(&mut text, label, expected, found);
        }
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
fn push_difference(text: &mut String, label: &str, expected: &Value, found: &Value) {
    let lines = |value: &Value| -> Vec<String> {
        match value {
            Value::String(text) => text.split('\n').map(str::to_owned).collect(),
            Value::Array(any) => any.iter().map(|one| format!("any of: {}", shown(one))).collect(),
            other => vec![shown(other)],
        }
    };
    let (expected, found) = (if expected.is_null() { lines(found) } else { lines(expected) }, lines(found));
    let equal = |(a, b): &(&String, &String)| a == b;
    let before = expected.iter().zip(&found).take_while(equal).count();
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
        for reply in [
            json!("a \"b\" \\ \n\t\u{1}\u{7f}你😀"),
            json!({ "news": [{ "title": "t", "url": "u" }, { "title": "2" }] }),
            json!({ "none": true }),
        ] {
            let answer = Answer { rule: json!("r"), reply };
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("t.toml");
            fs::write(&path, format!("[[test]]\nsend = \"a\"\n{}\n", answer.as_expectation())).unwrap();
            let file = GoldenFile::read(&path).unwrap_or_else(|unusable| panic!("{unusable:?}"));
            assert_eq!(Answer::of(file.tests[0].expected.as_ref()), answer);
        }
    }

    #[test]
    fn a_difference_shows_the_lines_that_differ() {
        let mut text = String::new();
        push_difference(&mut text, "reply", &json!("a\nb\nc"), &json!("a\nx\ny\nc"));
        assert_eq!(text, "  reply   a\n        - b\n        + x\n        + y\n          c\n");
        text.clear();
        push_difference(&mut text, "reply", &json!(["a", { "none": true }]), &json!("b"));
        assert_eq!(text, "  reply - any of: \"a\"\n        - any of: { none = true }\n        + b\n");
        text.clear();
        push_difference(&mut text, "rule", &Value::Null, &json!(3));
        assert_eq!(text, "   rule   3\n");
    }
}
