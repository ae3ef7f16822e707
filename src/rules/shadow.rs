//! Which rules hide others: what meets the one meets another before it, so that it never comes to it. Found as far as it
//! can be told for certain from words, events and keys; two equal conditions are seen whatever they say.

use std::collections::HashMap;
use std::sync::Arc;

use super::condition::{Condition, Test};
use super::subject::Subject;
use super::{Flow, Rule, Rules};

/// A rule that others hide, in whole or in part.
#[derive(Debug)]
pub struct Shadow {
    /// The rule that is not reached.
    pub hidden: Arc<Rule>,
    /// A word or an event that it waits for, and the rule that answers that; empty for equal conditions.
    pub words: Vec<(String, Arc<Rule>)>,
    /// The rule because of which nothing is left of it.
    pub whole: Option<Arc<Rule>>,
}

impl Rules {
    /// The rules that others hide, in the order in which they are tried.
    #[must_use]
    pub fn shadows(&self) -> Vec<Shadow> {
        let mut same: HashMap<String, Arc<Rule>> = HashMap::new();
        let mut shadows = Vec::new();
        for (number, rule) in self.iter().enumerate().filter(|(_, rule)| !rule.is_fallback()) {
            let condition = format!("{:?}", rule.when);
            if let Some(by) = same.get(&condition) {
                shadows.push(Shadow { hidden: rule.clone(), words: Vec::new(), whole: Some(by.clone()) });
                continue;
            }
            let probes = probes(&rule.when);
            let words: Vec<_> = probes
                .iter()
                .filter_map(|probe| Some((probe.shown(), self.answers_before(number, probe, &rule.when)?)))
                .collect();
            if !words.is_empty() {
                let whole = words.last().filter(|_| words.len() == probes.len()).map(|(_, by)| by.clone());
                shadows.push(Shadow { hidden: rule.clone(), words, whole });
            }
            if rule.flow == Flow::Stop {
                same.insert(condition, rule);
            }
        }
        shadows
    }

    /// The rule before the one of this number that meets all that the probe stands for.
    fn answers_before(&self, number: usize, probe: &Probe<'_>, when: &Condition) -> Option<Arc<Rule>> {
        let subject = probe.subject();
        let candidates = self.source.index().candidates(&subject).into_iter();
        candidates.take_while(|&candidate| (candidate as usize) < number).find_map(|candidate| {
            let rule = self.source.get(candidate as usize)?;
            let is_certain = rule.flow == Flow::Stop && probe.decides(&rule.when, when);
            (is_certain && rule.when.meets(&subject).is_some()).then_some(rule)
        })
    }
}

/// The least of what a rule waits for.
enum Probe<'c> {
    /// A text that is this.
    Whole(&'c str),
    /// A text that holds this.
    Part(&'c str),
    /// A text that begins with this.
    Start(&'c str),
    /// A text that ends with this.
    End(&'c str),
    /// An event, with a key or without.
    Event(&'c str, Option<&'c str>),
}

/// What a condition waits for, one by one; empty if it is nothing that could be tried.
fn probes(condition: &Condition) -> Vec<Probe<'_>> {
    let (mut texts, mut events, mut keys) = (Vec::new(), None, None);
    for test in &condition.tests {
        match test {
            Test::Text(words) => texts = words.iter().map(|word| Probe::Whole(word)).collect(),
            Test::Contains(words) => texts = words.iter().map(|word| Probe::Part(word)).collect(),
            Test::Prefix(words) => texts = words.iter().map(|word| Probe::Start(word)).collect(),
            Test::Suffix(words) => texts = words.iter().map(|word| Probe::End(word)).collect(),
            Test::Event(names) => events = Some(names),
            Test::Key(names) => keys = Some(names),
            _ => {}
        }
    }
    let (events, keys) = match (events, keys) {
        (None, None) => return texts,
        (Some(events), None) => (events.iter().map(String::as_str).collect(), vec![None]),
        (None, Some(keys)) => (vec![""], keys.iter().map(|key| Some(key.as_str())).collect()),
        (Some(events), Some(keys)) => {
            (events.iter().map(String::as_str).collect(), keys.iter().map(|key| Some(key.as_str())).collect())
        }
    };
    let pairs = |event| keys.iter().map(move |key| Probe::Event(event, *key));
    events.into_iter().flat_map(pairs).collect()
}

impl Probe<'_> {
    fn subject(&self) -> Subject<'_> {
        match self {
            Self::Whole(text) | Self::Part(text) | Self::Start(text) | Self::End(text) => {
                Subject::of_text(text)
            }
            Self::Event(event, key) => Subject::of_event(event, *key),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Whole(text) | Self::Part(text) | Self::Start(text) | Self::End(text) => (*text).to_owned(),
            Self::Event("", key) => key.unwrap_or_default().to_owned(),
            Self::Event(event, None) => (*event).to_owned(),
            Self::Event(event, Some(key)) => format!("{event} {key}"),
        }
    }

    /// Whether a rule that meets the probe meets all that it stands for in the condition `hidden`.
    fn decides(&self, condition: &Condition, hidden: &Condition) -> bool {
        let decides = |test: &Test| match self {
            Self::Whole(_) => matches!(
                test,
                Test::Text(_)
                    | Test::Contains(_)
                    | Test::Prefix(_)
                    | Test::Suffix(_)
                    | Test::AllOf(_)
                    | Test::Regex(_)
                    | Test::Sent
            ),
            Self::Part(_) => matches!(test, Test::Contains(_) | Test::AllOf(_) | Test::Sent),
            Self::Start(_) => {
                matches!(test, Test::Prefix(_) | Test::Contains(_) | Test::AllOf(_) | Test::Sent)
            }
            Self::End(_) => matches!(test, Test::Suffix(_) | Test::Contains(_) | Test::AllOf(_) | Test::Sent),
            Self::Event(..) => matches!(test, Test::Event(_) | Test::Key(_)),
        };
        // What is folded further meets more.
        condition.fold >= hidden.fold && condition.tests.iter().all(decides)
    }
}
