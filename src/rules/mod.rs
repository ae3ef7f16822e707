//! When this comes, do that: which rule meets a message, and what it answers.
//!
//! The config builds [`Rules`]; [`Rules::find`] gives the first rule that meets a message. Nothing here is compiled
//! before a message needs it: under CGI a process sees one message only.

mod action;
mod condition;
mod fields;
mod guard;
mod media;
mod stored;
mod template;

pub use action::{Action, ActionError, ArticleTemplate};
pub use condition::{Captures, Condition, Pattern, PatternError, Subject, Test};
pub use fields::snake_case;
pub use media::{MediaFile, MediaId, MediaKind, MediaLibrary, NoLibrary};
pub use template::{BUILT_IN_NAMES, Scope, Template, TemplateError};

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::wechat::message::{Content, Message};
use stored::StoredRules;

/// When a message meets the condition, the action answers it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Rule {
    /// The name given in the config.
    pub name: Option<String>,
    /// Its place among the rules of the file, from 1; 0 is `[default]`.
    pub number: usize,
    /// The line of the config where it begins, from 1.
    pub line: usize,
    /// What it waits for.
    pub when: Condition,
    /// What it does then.
    pub then: Action,
    /// What is answered if the action fails; without it: `success`.
    pub on_error: Option<Template>,
}

impl Rule {
    /// The rule as it is called in logs: its name, or `rule 2`.
    #[must_use]
    pub fn label(&self) -> String {
        match (&self.name, self.number) {
            (Some(name), 0) => format!("the default `{name}` (line {})", self.line),
            (None, 0) => format!("the default (line {})", self.line),
            (Some(name), number) => format!("rule {number} `{name}` (line {})", self.line),
            (None, number) => format!("rule {number} (line {})", self.line),
        }
    }
}

/// All rules of an account, in the order in which they are tried.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Source,
    default: Option<Arc<Rule>>,
}

/// Where the rules are.
#[derive(Debug)]
enum Source {
    /// In memory, for a process that answers many messages.
    Ready(Vec<Arc<Rule>>),
    /// As bytes, for a process that answers one.
    Stored(StoredRules),
}

impl Default for Source {
    fn default() -> Self {
        Self::Ready(Vec::new())
    }
}

/// The rule that met a message, and what its condition cut out of it.
#[derive(Debug)]
pub struct Match<'m> {
    /// The rule.
    pub rule: Arc<Rule>,
    /// Named groups of a regex, and `rest` of a prefix.
    pub captures: Captures<'m>,
}

impl Rules {
    /// Rules in the order in which they shall be tried, and the one for messages that none of them meets.
    #[must_use]
    pub fn new(rules: Vec<Rule>, default: Option<Rule>) -> Self {
        let rules = rules.into_iter().map(Arc::new).collect();
        Self { rules: Source::Ready(rules), default: default.map(Arc::new) }
    }

    /// The rules in the order in which they are tried.
    pub fn iter(&self) -> impl Iterator<Item = Arc<Rule>> {
        let (ready, stored) = match &self.rules {
            Source::Ready(rules) => (Some(rules), None),
            Source::Stored(rules) => (None, Some(rules)),
        };
        ready.into_iter().flatten().cloned().chain(stored.into_iter().flat_map(StoredRules::iter))
    }

    /// Whether there are none, not even a default.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.default.is_none() && self.iter().next().is_none()
    }

    /// The rule for messages that no other meets.
    #[must_use]
    pub fn default_rule(&self) -> Option<&Rule> {
        self.default.as_deref()
    }

    /// The first rule that meets `message`. `[default]` answers what a person sent; events and types that we do not
    /// know want a rule that names them, as in WeChat's own console.
    #[must_use]
    pub fn find<'m>(&self, message: &Message<'m>) -> Option<Match<'m>> {
        let subject = Subject::of(message);
        let meets = |rule: Arc<Rule>| {
            let captures = rule.when.meets(&subject)?;
            Some(Match { rule, captures })
        };
        let met = match &self.rules {
            Source::Ready(rules) => rules.iter().find_map(|rule| {
                let captures = rule.when.meets(&subject)?;
                Some(Match { rule: rule.clone(), captures })
            }),
            Source::Stored(rules) => rules.candidates(&subject).find_map(meets),
        };
        met.or_else(|| {
            let sent_by_a_person = !matches!(message.content, Content::Event(_) | Content::Unknown { .. });
            let rule = self.default.clone().filter(|_| sent_by_a_person)?;
            Some(Match { rule, captures: Captures::default() })
        })
    }
}
