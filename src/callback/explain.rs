//! Which rules meet a message, for people and tools that want to know: nothing is written.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::guarding::Guarding;
use super::means::Means;
use super::memory::Memory;
use super::terms::Terms;
use crate::rules::{Action, Circumstance, Rule, Tried};
use crate::wechat::message::Message;

/// The rule that answers a message of the user now, found as its answer would be; nothing is written.
#[must_use]
pub fn met_rule(
    terms: &Terms,
    message: &Message<'_>,
    now: SystemTime,
    means: &dyn Means,
) -> Option<Arc<Rule>> {
    let find = |past, outside| {
        let mut matches = terms.rules.find(message, &Circumstance { now, past, outside });
        let met: Vec<_> = matches.by_ref().map(|found| found.rule).collect();
        (met, matches.lack_past())
    };
    let (mut met, lacks_past) = find(None, None);
    let (memory, session, guards);
    if lacks_past {
        memory = Memory::load(message, means, now, Instant::now() + terms.deadline);
        session = memory.session();
        guards = Guarding::of(terms, message, means, &session);
        (met, _) = find(Some(&memory), Some(guards.outside()));
    }
    answering(met)
}

/// Of the rules that meet a message the one that answers it.
#[must_use]
pub fn answering(met: Vec<Arc<Rule>>) -> Option<Arc<Rule>> {
    let (quiet, spoken): (Vec<_>, Vec<_>) =
        met.into_iter().partition(|rule| matches!(rule.then, Action::None));
    spoken.into_iter().next().or_else(|| quiet.into_iter().next_back())
}

/// What becomes of each rule when the user sends a message now; nothing is written.
#[must_use]
pub fn explain(terms: &Terms, message: &Message<'_>, now: SystemTime, means: &dyn Means) -> Vec<Tried> {
    let memory = Memory::load(message, means, now, Instant::now() + terms.deadline);
    let session = memory.session();
    let guards = Guarding::of(terms, message, means, &session);
    terms.rules.explain(message, &Circumstance { now, past: Some(&memory), outside: Some(guards.outside()) })
}
