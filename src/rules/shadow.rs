//! Which rules hide others: what meets the one meets another before it, so that it never comes to it. Found as far as it
//! can be told for certain from words, types, events and keys; a rule that asks some of what another asks and nothing
//! else is seen whatever they ask.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::condition::{Condition, Test};
use super::fold::Fold;
use super::subject::Subject;
use super::{Flow, Role, Rule, Rules, StepPart};

/// A rule that others hide, in whole or in part.
#[derive(Debug)]
pub struct Shadow {
    /// The rule that is not reached.
    pub hidden: Arc<Rule>,
    /// A word, a type or an event that it waits for, and the rule that answers that; empty if they were not looked at
    /// one by one.
    pub words: Vec<(String, Arc<Rule>)>,
    /// The rule because of which nothing is left of it.
    pub whole: Option<Arc<Rule>>,
    /// Whether the two wait for the same.
    pub is_same: bool,
}

/// The tests of a condition, each in letters by which it is known again; sorted.
type Tests = Vec<Rc<str>>;

/// Of a condition with more tests than this not all parts are looked at.
const MAX_TESTS: usize = 6;

impl Rules {
    /// The rules that others hide, in the order in which they are tried.
    #[must_use]
    pub fn shadows(&self) -> Vec<Shadow> {
        let mut before: HashMap<Tests, Arc<Rule>> = HashMap::new();
        let mut shadows = Vec::new();
        for (number, rule) in self.iter().enumerate() {
            let tests = letters(&rule.when);
            if is_written(&rule.role) {
                let by_tests = || asks_less(&before, &rule, &tests);
                shadows.extend(by_tests().or_else(|| self.hidden_by_words(number, &rule, &tests)));
            }
            if rule.flow == Flow::Stop {
                before.entry(tests).or_insert(rule);
            }
        }
        shadows
    }

    fn hidden_by_words(&self, number: usize, rule: &Arc<Rule>, tests: &Tests) -> Option<Shadow> {
        let probes = probes(&rule.when);
        let answered = |probe| Some((probe, self.answers_before(number, probe, rule.when.fold, tests)?));
        let answered: Vec<_> = probes.iter().filter_map(answered).collect();
        let is_whole = answered.len() == probes.len()
            && answered.iter().all(|(probe, by)| probe.is_all_met_by(&by.when));
        let words: Vec<_> = answered.into_iter().map(|(probe, by)| (probe.shown(), by)).collect();
        let whole = words.last().filter(|_| is_whole).map(|(_, by)| by.clone());
        (!words.is_empty()).then(|| Shadow { hidden: rule.clone(), words, whole, is_same: false })
    }

    /// The rule before the one of this number that meets all that the probe stands for.
    fn answers_before(
        &self,
        number: usize,
        probe: &Probe<'_>,
        fold: Fold,
        tests: &Tests,
    ) -> Option<Arc<Rule>> {
        let subject = probe.subject();
        let candidates = self.source.index().candidates(&subject).into_iter();
        candidates.take_while(|&candidate| (candidate as usize) < number).find_map(|candidate| {
            let rule = self.source.get(candidate as usize)?;
            // What is folded further meets more.
            let is_certain = rule.flow == Flow::Stop
                && (rule.when.fold >= fold || !rule.when.tests.iter().any(Test::reads_text))
                && rule.when.tests.iter().all(|test| {
                    probe.decides(test) || tests.binary_search(&letters_of(test, rule.when.fold)).is_ok()
                });
            (is_certain && rule.when.may_meet(&subject)).then_some(rule)
        })
    }
}

/// What a step does by itself is no rule that somebody wrote and wants to be reached.
fn is_written(role: &Role) -> bool {
    !matches!(role, Role::Step { part, .. } if !matches!(part, StepPart::Rule(_) | StepPart::Item(_)))
}

/// The rule before this one that asks for some of its tests only.
fn asks_less(before: &HashMap<Tests, Arc<Rule>>, rule: &Arc<Rule>, tests: &Tests) -> Option<Shadow> {
    let shadow = |by: &Arc<Rule>, is_same| {
        Some(Shadow { hidden: rule.clone(), words: Vec::new(), whole: Some(by.clone()), is_same })
    };
    if let Some(same) = before.get(tests) {
        return shadow(same, true);
    }
    let mut known = tests.clone();
    if rule.when.is_for_people() {
        known.push(letters_of(&Test::Sent, rule.when.fold));
        known.sort_unstable();
        known.dedup();
    }
    if known.len() > MAX_TESTS {
        return None;
    }
    (1..1_u32 << known.len()).find_map(|choice| {
        let some = known.iter().enumerate().filter(|(place, _)| choice >> place & 1 == 1);
        shadow(before.get(&some.map(|(_, test)| test.clone()).collect::<Tests>())?, false)
    })
}

fn letters(condition: &Condition) -> Tests {
    let mut tests: Tests = condition.tests.iter().map(|test| letters_of(test, condition.fold)).collect();
    tests.sort_unstable();
    tests
}

/// How texts are folded counts for those that look at the text.
fn letters_of(test: &Test, fold: Fold) -> Rc<str> {
    if test.reads_text() { format!("{fold:?} {test:?}").into() } else { format!("{test:?}").into() }
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
    /// A message of this type.
    Type(&'c str),
    /// An event, with a key or without.
    Event(&'c str, Option<&'c str>),
}

/// What a condition waits for, one by one; empty if it is nothing that could be tried.
fn probes(condition: &Condition) -> Vec<Probe<'_>> {
    let (mut texts, mut types, mut events, mut keys) = (Vec::new(), Vec::new(), None, None);
    for test in &condition.tests {
        match test {
            Test::Text(words) => texts = words.iter().map(|word| Probe::Whole(word)).collect(),
            Test::Contains(words) => texts = words.iter().map(|word| Probe::Part(word)).collect(),
            Test::Prefix(words) => texts = words.iter().map(|word| Probe::Start(word)).collect(),
            Test::Suffix(words) => texts = words.iter().map(|word| Probe::End(word)).collect(),
            Test::Type(kinds) => types = kinds.iter().map(|kind| Probe::Type(kind)).collect(),
            Test::Event(names) => events = Some(names),
            Test::Key(names) => keys = Some(names),
            _ => {}
        }
    }
    let (events, keys) = match (events, keys) {
        (None, None) => return if texts.is_empty() { types } else { texts },
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
            Self::Type(kind) => Subject::of_type(kind),
            Self::Event(event, key) => Subject::of_event(event, *key),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Whole(text) | Self::Part(text) | Self::Start(text) | Self::End(text) => (*text).to_owned(),
            Self::Type(kind) => (*kind).to_owned(),
            Self::Event("", key) => key.unwrap_or_default().to_owned(),
            Self::Event(event, None) => (*event).to_owned(),
            Self::Event(event, Some(key)) => format!("{event} {key}"),
        }
    }

    /// Whether a rule that answers a written text like this answers a spoken one, too.
    fn is_all_met_by(&self, condition: &Condition) -> bool {
        let leaves_voice =
            |test: &Test| matches!(test, Test::Type(types) if types.iter().all(|kind| kind != "voice"));
        matches!(self, Self::Type(_) | Self::Event(..)) || !condition.tests.iter().any(leaves_voice)
    }

    /// Whether the test holds for all that the probe stands for if it holds for the probe.
    fn decides(&self, test: &Test) -> bool {
        match self {
            Self::Event(..) => matches!(test, Test::Event(_) | Test::Key(_) | Test::KeyRegex(_)),
            _ if matches!(test, Test::Type(_) | Test::Sent) => true,
            Self::Type(_) => false,
            _ if matches!(test, Test::Contains(_) | Test::AllOf(_)) => true,
            Self::Whole(_) => {
                matches!(test, Test::Text(_) | Test::Prefix(_) | Test::Suffix(_) | Test::Regex(_))
            }
            Self::Part(_) => false,
            Self::Start(_) => matches!(test, Test::Prefix(_)),
            Self::End(_) => matches!(test, Test::Suffix(_)),
        }
    }
}
