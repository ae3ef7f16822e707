//! When this comes, do that: which rule meets a message, and what it answers.
//!
//! The config builds [`Rules`]; [`Rules::find`] gives the first rule that meets a message. Nothing here is compiled
//! before a message needs it: under CGI a process sees one message only.

mod action;
mod condition;
mod fields;
mod template;

pub use action::{Action, ArticleTemplate};
pub use condition::{Captures, Condition, Pattern, PatternError, Subject, Test};
pub use fields::snake_case;
pub use template::{BUILT_IN_NAMES, Scope, Template, TemplateError};

use crate::wechat::message::{Content, Message};

/// When a message meets the condition, the action answers it.
#[derive(Debug)]
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
    rules: Vec<Rule>,
    default: Option<Rule>,
}

/// The rule that met a message, and what its condition cut out of it.
#[derive(Debug)]
pub struct Match<'r, 'm> {
    /// The rule.
    pub rule: &'r Rule,
    /// Named groups of a regex, and `rest` of a prefix.
    pub captures: Captures<'m>,
}

impl Rules {
    /// Rules in the order in which they shall be tried, and the one for messages that none of them meets.
    #[must_use]
    pub fn new(rules: Vec<Rule>, default: Option<Rule>) -> Self {
        Self { rules, default }
    }

    /// The rules in the order in which they are tried.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// The rule for messages that no other meets.
    #[must_use]
    pub fn default_rule(&self) -> Option<&Rule> {
        self.default.as_ref()
    }

    /// The first rule that meets `message`. `[default]` answers what a person sent; events and types that we do not
    /// know want a rule that names them, as in WeChat's own console.
    #[must_use]
    pub fn find<'m>(&self, message: &Message<'m>) -> Option<Match<'_, 'm>> {
        let subject = Subject::of(message);
        let met = self.rules.iter().find_map(|rule| {
            let captures = rule.when.meets(&subject)?;
            Some(Match { rule, captures })
        });
        met.or_else(|| {
            let sent_by_a_person = !matches!(message.content, Content::Event(_) | Content::Unknown { .. });
            let rule = self.default.as_ref().filter(|_| sent_by_a_person)?;
            Some(Match { rule, captures: Captures::default() })
        })
    }
}
