//! `wxcgi explain`: what became of each rule when a message came, and why. The matching itself tells it; the reply comes
//! through the real door and callback, in this process.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::message::Selectors;
use super::moment::{Moment, TestMeans};
use super::push::{Push, Received, WeChat};
use super::test::called;
use super::{ConfigArg, Failure, print, print_line};
use crate::account::{Account, Surroundings, equipment};
use crate::callback::{Incoming, Terms, answering, explain, incoming};
use crate::config::AccountSettings;
use crate::gateway::cgi;
use crate::rules::{Flow, Rule, Tried, Verdict};
use crate::wechat::message::Message;
use crate::wechat::xml;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wxcgi explain 明天上海天气
  wxcgi explain --at 2026-11-21T23:00:00+08:00 在吗
  wxcgi explain --after 点餐 --after 2 不要辣
  wxcgi explain --event CLICK --key V1001")]
pub(super) struct Args {
    #[command(flatten)]
    message: Selectors,
    #[command(flatten)]
    config: ConfigArg,
    /// When it is sent, as `2026-11-21T09:00:00+08:00` [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// What the user said before, once for each message; of more nothing is remembered
    #[arg(long, value_name = "TEXT")]
    after: Vec<String>,
    /// Print an object for a program: rules (rule, place, verdict, asked, captures, …), answered_by, reply
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (path, loaded) = args.config.load()?;
    crate::logging::start(log::LevelFilter::Warn, None);
    let means = TestMeans::new(equipment(&loaded.config, &path))?;
    let scene = Scene {
        settings: loaded.config.account.clone(),
        terms: Account::new(loaded.config, Surroundings::default()).terms,
        means,
        now: args.at.map_or_else(SystemTime::now, SystemTime::from),
    };
    for text in &args.after {
        scene.send(&args.message.push_of_text(text))?;
    }
    let (push, sent) = args.message.push();
    // The reply may change what is remembered.
    let explanation = scene.explain(&push)?;
    let received = scene.send(&push)?;
    if args.json {
        return print_line(&format!("{:#}", explanation.for_programs(&received)));
    }
    print(explanation.for_people(&sent, &received).as_bytes())
}

/// An account at a moment, of whose users nothing is remembered but what they send now.
struct Scene {
    settings: AccountSettings,
    terms: Arc<Terms>,
    means: TestMeans,
    now: SystemTime,
}

impl Scene {
    fn wechat(&self, push: &Push) -> Result<WeChat, Failure> {
        WeChat::new(push, None, &self.settings, self.now)
    }

    /// Sends a message through the door.
    fn send(&self, push: &Push) -> Result<Received, Failure> {
        let wechat = self.wechat(push)?;
        let app = Moment::new(&self.terms, &self.means, self.now);
        wechat.receive(&cgi::exchange(wechat.params(), &mut wechat.body.as_bytes(), &app))
    }

    fn explain(&self, push: &Push) -> Result<Explanation, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::Failed(error.to_string());
        let wechat = self.wechat(push)?;
        let root = xml::parse(wechat.message.as_bytes()).map_err(|error| failed(&error))?;
        let message = Message::from_xml(&root).map_err(|error| failed(&error))?;
        let tried = |message: &Message<'_>| explain(&self.terms, message, self.now, &self.means);
        Ok(match incoming(self.terms.rules.blocked(), &message) {
            Incoming::Passes => Explanation { screened: Screened::Passes, tried: tried(&message) },
            Incoming::Masked(root) => {
                let message = Message::from_xml(&root).map_err(|error| failed(&error))?;
                Explanation { screened: Screened::Masked, tried: tried(&message) }
            }
            Incoming::Refused(_) => Explanation { screened: Screened::Refused, tried: Vec::new() },
            Incoming::Ignored => Explanation { screened: Screened::Ignored, tried: Vec::new() },
        })
    }
}

/// What the rules made of a message.
struct Explanation {
    screened: Screened,
    tried: Vec<Tried>,
}

/// What blocked words made of it before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Screened {
    Passes,
    Masked,
    Refused,
    Ignored,
}

impl Screened {
    /// For programs; nothing for a message that passes.
    fn word(self) -> Option<&'static str> {
        match self {
            Self::Passes => None,
            Self::Masked => Some("masked"),
            Self::Refused => Some("refused"),
            Self::Ignored => Some("ignored"),
        }
    }
}

impl Explanation {
    fn answered_by(&self) -> Option<Arc<Rule>> {
        let met = self.tried.iter().filter(|tried| matches!(tried.verdict, Verdict::Meets(_)));
        answering(met.map(|tried| Arc::clone(&tried.rule)).collect())
    }

    fn for_people(&self, sent: &str, received: &Received) -> String {
        let mut page = format!("user     {}\n", indented(sent));
        if let Some(word) = self.screened.word() {
            let _ = write!(page, "         a blocked word: {word}");
            page.push_str(if self.screened == Screened::Masked { "\n" } else { "; no rule is asked\n" });
        }
        for tried in &self.tried {
            push_tried(&mut page, tried);
        }
        let by = match (self.answered_by(), self.screened) {
            (Some(rule), _) => rule.label(),
            (None, Screened::Refused | Screened::Ignored) => "a blocked word".to_owned(),
            (None, _) => "no rule".to_owned(),
        };
        let _ = writeln!(page, "account  {}", indented(&received.shown));
        let _ = writeln!(page, "         {} · {by}", received.kind);
        for complaint in &received.complaints {
            let _ = writeln!(page, "         WeChat would not take this reply: {complaint}");
        }
        page
    }

    fn for_programs(&self, received: &Received) -> Value {
        json!({
            "blocked": self.screened.word(),
            "rules": self.tried.iter().map(object).collect::<Vec<_>>(),
            "answered_by": self.answered_by().as_deref().map(called),
            "reply": received.written,
            "shown": received.shown,
            "complaints": received.complaints,
        })
    }
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n         ")
}

/// A line for the rule, and one for each test that was asked.
fn push_tried(page: &mut String, tried: &Tried) {
    let _ = write!(page, "{}: {}", tried.rule.label(), words(&tried.verdict));
    if matches!(tried.verdict, Verdict::Meets(_)) {
        if tried.rule.flow == Flow::Next {
            page.push_str("; `flow = \"next\"`: the rules behind it are tried as well");
        }
        if let Some(alias) = &tried.rule.alias {
            let _ = write!(page, "; it has the reply of `{alias}`");
        }
    }
    page.push('\n');
    for asked in &tried.asked {
        let mark = if asked.holds { '✓' } else { '✗' };
        let _ = writeln!(page, "         {mark} {}: {}", asked.test, asked.seen);
    }
    if let Verdict::Meets(captures) = &tried.verdict {
        for (name, text) in captures {
            let _ = writeln!(page, "         {{{{ {name} }}}} is {text:?}");
        }
    }
}

fn words(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Meets(_) => "meets it",
        Verdict::Misses => "does not meet it",
        Verdict::NotTried => "not tried, a rule before it answers",
        Verdict::Disabled => "switched off, `enabled = false`",
    }
}

fn object(tried: &Tried) -> Value {
    let Tried { rule, verdict, asked } = tried;
    let verdict_word = match verdict {
        Verdict::Meets(_) => "meets",
        Verdict::Misses => "misses",
        Verdict::NotTried => "not_tried",
        Verdict::Disabled => "disabled",
    };
    let captures: Map<String, Value> = match verdict {
        Verdict::Meets(captures) => {
            captures.iter().map(|(name, text)| (name.clone(), text.as_str().into())).collect()
        }
        _ => Map::new(),
    };
    let asked = asked.iter().map(|it| json!({ "test": it.test, "seen": it.seen, "holds": it.holds }));
    json!({
        "rule": called(rule),
        "place": rule.place(),
        "verdict": verdict_word,
        "asked": asked.collect::<Vec<_>>(),
        "captures": captures,
        "flow": if rule.flow == Flow::Next { "next" } else { "stop" },
        "alias": rule.alias,
    })
}
