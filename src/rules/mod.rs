//! When this comes, do that: which rule meets a message, and what it answers.
//!
//! The config builds [`Rules`]; [`Rules::find`] gives the rules that meet a message, one after the other. Nothing here is
//! compiled before a message needs it: under CGI a process sees one message only.

mod action;
mod blocked;
mod calendar;
mod choice;
mod condition;
mod engine;
mod explain;
mod fields;
mod fold;
mod guard;
mod handler;
mod index;
mod markup;
mod media;
mod memory;
mod pattern;
mod shadow;
mod stored;
mod subject;
mod tables;
mod template;
mod words;

pub use action::{Action, ActionError, ArticleTemplate};
pub use blocked::{Blocked, Measure};
pub use calendar::{Calendar, Dates, Hours, Weekdays, Zone};
pub use choice::{Choice, Chooser};
pub use condition::{Area, Condition, Field, Test};
pub use explain::{Asked, Tried, Verdict};
pub use fields::{known_fields, message_value, snake_case};
pub use fold::Fold;
pub use handler::{Backend, Cache, Exec, Guard, GuardBy, Handler, Handling, Http, Late, Output, Secure};
pub use markup::linkless;
pub use media::{MediaFile, MediaId, MediaKind, MediaLibrary, NoLibrary};
pub use memory::{Count, Limit, Past, Period, Sequel, SessionFull, Setting, Turn, UserMemory};
pub use pattern::{Pattern, PatternError};
pub use shadow::Shadow;
pub use subject::{Captures, Circumstance, Nobody, Outside, Subject};
pub use tables::{MAX_TABLE, Rows, Table, Tables};
pub use template::{BUILT_IN_NAMES, Scope, Session, Template, TemplateError};

use std::fmt::Write;
use std::sync::{Arc, OnceLock};
use std::vec;

use serde::{Deserialize, Serialize};

use crate::wechat::message::Message;
use guard::{Key, keys};
use index::Index;
use stored::StoredRules;

/// When a message meets the condition, the action answers it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Rule {
    /// The name given in the config.
    pub name: Option<String>,
    /// What it is among the rules.
    pub role: Role,
    /// The included file that it stands in; `None` is the config itself.
    pub file: Option<String>,
    /// The line of its file where it begins, from 1.
    pub line: usize,
    /// What it waits for.
    pub when: Condition,
    /// What it does then.
    pub then: Action,
    /// What it is for, in a user's words: a line of `rules_help`.
    pub help: Option<String>,
    /// What is answered if the action fails; without it: `success`.
    pub on_error: Option<Template>,
    /// Whether the rules behind it are tried as well.
    pub flow: Flow,
    /// The rule whose reply it took.
    pub alias: Option<String>,
    /// What it changes in what is remembered of the user.
    pub sequel: Sequel,
}

/// What a rule is among the others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// `[[rule]]`, by its place in the file and the included ones, from 1.
    Rule(usize),
    /// Of a dialog.
    Step {
        /// The step.
        step: String,
        /// What it is of it.
        part: StepPart,
    },
    /// `[welcome]`: for whoever follows, if no rule was for him.
    Welcome,
    /// `[unfollow]`: for whoever left, if no rule was for him.
    Unfollow,
    /// `[default.TYPE]`: for messages of one type that no rule meets.
    DefaultOf(String),
    /// `[default]`: for what a person sent and no rule meets.
    Default,
}

impl Role {
    /// The rule as a config or a test calls it that gives it no name: `3`, `welcome`, `default.image`.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Rule(number) => number.to_string(),
            Self::Step { step, part: StepPart::Rule(number) } => format!("{step}.{number}"),
            Self::Step { step, part: StepPart::Item(number) } => format!("{step}.item.{number}"),
            Self::Step { step, part } => format!("{step}.{}", part.name()),
            Self::Welcome => "welcome".to_owned(),
            Self::Unfollow => "unfollow".to_owned(),
            Self::DefaultOf(kind) => format!("default.{kind}"),
            Self::Default => "default".to_owned(),
        }
    }
}

/// What a rule is of a step of a dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StepPart {
    /// The words that end the dialog.
    Cancel,
    /// `[[step.NAME.rule]]`, by its place there, from 1.
    Rule(usize),
    /// `[[step.NAME.item]]`, by its number.
    Item(usize),
    /// The way back to the menu above.
    Back,
    /// The step is asked again.
    Again,
    /// The dialog ends, as nobody understands the user.
    GiveUp,
}

impl StepPart {
    fn name(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Rule(_) => "rule",
            Self::Item(_) => "item",
            Self::Back => "back",
            Self::Again => "again",
            Self::GiveUp => "give_up",
        }
    }
}

/// What comes after a rule that met a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Flow {
    /// No other rule.
    Stop,
    /// The rules behind it, as if it had not met; what they answer is added.
    Next,
}

impl Rule {
    /// The rule as it is called in logs: its name and where it stands.
    #[must_use]
    pub fn label(&self) -> String {
        let mut label = String::with_capacity(48);
        // Every message has one made for the log. To write to a string does not fail.
        let _ = match &self.role {
            Role::Rule(number) => write!(label, "rule {number}"),
            Role::Step { step, part: StepPart::Rule(number) } => {
                write!(label, "rule {number} of step `{step}`")
            }
            Role::Step { step, part: StepPart::Item(number) } => {
                write!(label, "item {number} of step `{step}`")
            }
            Role::Step { step, part } => write!(label, "`{}` of step `{step}`", part.name()),
            Role::Welcome => label.write_str("the welcome"),
            Role::Unfollow => label.write_str("the rule for who leaves"),
            Role::DefaultOf(kind) => write!(label, "the default for {kind}"),
            Role::Default => label.write_str("the default"),
        };
        if let Some(name) = &self.name {
            let _ = write!(label, " `{name}`");
        }
        let _ = match &self.file {
            Some(file) => write!(label, " ({file}, line {})", self.line),
            None => write!(label, " (line {})", self.line),
        };
        label
    }

    /// Where it stands: `line 12`, `rules/a.toml, line 12`.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.file {
            Some(file) => format!("{file}, line {}", self.line),
            None => format!("line {}", self.line),
        }
    }

    /// Whether it is only for what no other rule is for.
    #[must_use]
    pub fn is_fallback(&self) -> bool {
        !matches!(self.role, Role::Rule(_) | Role::Step { .. })
    }

    /// Whether carrying it out takes what is remembered of the user.
    #[must_use]
    pub fn asks_memory(&self) -> bool {
        !self.sequel.is_empty() || self.then.asks_memory() || self.when.asks_memory()
    }
}

/// All rules of an account, in the order in which they are tried.
#[derive(Debug, Default)]
pub struct Rules {
    source: Source,
    blocked: Vec<Blocked>,
    /// Rules that are switched off, each with the number of those before it that are not.
    disabled: Vec<(usize, Arc<Rule>)>,
    /// Whether an answer may be more than one reply, or be late.
    needs_delivery: bool,
}

/// Where the rules are.
#[derive(Debug)]
enum Source {
    /// In memory, for a process that answers many messages. The index is made for the first of them.
    Ready(Vec<Arc<Rule>>, OnceLock<Vec<u8>>),
    /// As bytes, for a process that answers one.
    Stored(StoredRules),
}

impl Default for Source {
    fn default() -> Self {
        Self::Ready(Vec::new(), OnceLock::new())
    }
}

/// A rule that met a message, and what its condition cut out of it.
#[derive(Debug)]
pub struct Match<'m> {
    /// The rule.
    pub rule: Arc<Rule>,
    /// Named groups of a regex, and `rest` of a prefix or a suffix.
    pub captures: Captures<'m>,
}

/// The rules that meet one message, from [`Rules::find`].
#[derive(Debug)]
pub struct Matches<'r, 'm> {
    source: &'r Source,
    subject: Subject<'m>,
    candidates: vec::IntoIter<u32>,
}

impl Rules {
    /// Rules in the order in which they shall be tried, those for what no other is for last.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        let needs_delivery = rules.iter().any(|rule| rule.then.needs_delivery());
        let rules = rules.into_iter().map(Arc::new).collect();
        Self { source: Source::Ready(rules, OnceLock::new()), needs_delivery, ..Self::default() }
    }

    /// Whether an answer may be more than one reply, or be late: what does not reach the user at once has to wait for him.
    #[must_use]
    pub fn need_delivery(&self) -> bool {
        self.needs_delivery
    }

    /// The same with words that shall not pass.
    #[must_use]
    pub fn with_blocked(self, blocked: Vec<Blocked>) -> Self {
        Self { blocked, ..self }
    }

    /// The same with rules that are switched off, for people who ask why those do not answer; each comes with the number
    /// of rules before it.
    #[must_use]
    pub fn with_disabled(self, disabled: Vec<(usize, Rule)>) -> Self {
        let disabled = disabled.into_iter().map(|(place, rule)| (place, Arc::new(rule))).collect();
        Self { disabled, ..self }
    }

    /// The words that shall not pass.
    #[must_use]
    pub fn blocked(&self) -> &[Blocked] {
        &self.blocked
    }

    /// The rules in the order in which they are tried.
    pub fn iter(&self) -> impl Iterator<Item = Arc<Rule>> {
        (0..self.source.len()).filter_map(|number| self.source.get(number))
    }

    /// The same, and those that are switched off.
    pub fn all(&self) -> impl Iterator<Item = Arc<Rule>> {
        self.iter().chain(self.disabled.iter().map(|(_, rule)| Arc::clone(rule)))
    }

    /// Whether there are none, not even a default.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.source.len() == 0 && self.blocked.is_empty()
    }

    /// What the rules are for, to show to users: the `help` of each that has one, a line each.
    #[must_use]
    pub fn help(&self) -> String {
        let lines: Vec<_> = self.iter().filter_map(|rule| rule.help.clone()).collect();
        lines.join("\n")
    }

    /// The rules that meet `message`, in their order, each found when it is asked for: the first is the one that answers,
    /// and those behind it come only if it lets them. A rule for what no other is for may follow others that let it;
    /// [`Rule::is_fallback`] tells it.
    #[must_use]
    pub fn find<'m>(&self, message: &Message<'m>, circumstance: &Circumstance<'m>) -> Matches<'_, 'm> {
        self.find_subject(Subject::of(message, circumstance))
    }

    /// Whether a rule may meet a tap on a menu's button with this key, whoever taps it when.
    #[must_use]
    pub fn may_meet_tap(&self, event: &str, key: &str) -> bool {
        let subject = Subject::of_event(event, Some(key));
        self.iter().any(|rule| rule.when.may_meet(&subject))
    }

    /// Makes ready what every text needs, as expressions that cannot be looked up by a part of theirs. For a process that
    /// stays: its first users need not wait for it, and what it takes is forgotten with the rest of the start.
    pub fn prepare(&self) {
        self.find_subject(Subject::of_text("")).for_each(drop);
    }

    fn find_subject<'m>(&self, subject: Subject<'m>) -> Matches<'_, 'm> {
        let candidates = self.source.index().candidates(&subject).into_iter();
        Matches { source: &self.source, subject, candidates }
    }
}

impl Source {
    fn len(&self) -> usize {
        match self {
            Self::Ready(rules, _) => rules.len(),
            Self::Stored(rules) => rules.len(),
        }
    }

    fn get(&self, number: usize) -> Option<Arc<Rule>> {
        match self {
            Self::Ready(rules, _) => rules.get(number).cloned(),
            Self::Stored(rules) => rules.get(number),
        }
    }

    fn index(&self) -> Index<'_> {
        match self {
            Self::Ready(rules, index) => Index(index.get_or_init(|| {
                Index::build(&rules.iter().map(|rule| keys(&rule.when)).collect::<Vec<Option<Vec<Key>>>>())
            })),
            Self::Stored(rules) => rules.index(),
        }
    }
}

impl Matches<'_, '_> {
    /// Whether there was no way to say more, as a condition needs the past, or somebody outside, and there is
    /// none to ask.
    #[must_use]
    pub fn lack_past(&self) -> bool {
        self.subject.lacks_past()
    }
}

impl<'m> Iterator for Matches<'_, 'm> {
    type Item = Match<'m>;

    fn next(&mut self) -> Option<Match<'m>> {
        let found =
            self.candidates.by_ref().take_while(|_| !self.subject.lacks_past()).find_map(|number| {
                let rule = self.source.get(number as usize)?;
                let captures = rule.when.meets(&self.subject)?;
                Some(Match { rule, captures })
            })?;
        if found.rule.flow == Flow::Stop {
            self.candidates = Vec::new().into_iter();
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests;
