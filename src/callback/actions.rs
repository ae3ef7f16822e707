//! What a rule that meets a message does: it is carried out, and its replies are fitted to WeChat's limits. Where it
//! fails, it says its `on_error` and changes nothing.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::means::Means;
use super::memory::Memory;
use super::terms::{Circumstances, Terms};
use crate::handlers::{Handled, Task};
use crate::rules::{
    Blocked, Captures, Chooser, Handling, Match, MediaLibrary, NoLibrary, Role, Rule, Scope, Session,
    Template,
};
use crate::wechat::limits::{MAX_TEXT_BYTES, can_be_answered};
use crate::wechat::message::Message;
use crate::wechat::reply::Reply;

/// What the rules do that meet the message of one call.
pub(super) struct Actions<'c> {
    pub(super) terms: &'c Arc<Terms>,
    pub(super) received: Instant,
    pub(super) circumstances: Circumstances,
    /// The message as it was read, decrypted, where that may be needed.
    pub(super) body: &'c [u8],
    /// By what more is found out than config and message say; `None` where nothing may be waited for.
    pub(super) means: Option<&'c dyn Means>,
    /// What a handler has worked out, for the rule that asked it: it is asked once.
    handled: OnceCell<(Role, Result<Handled, String>)>,
}

impl<'c> Actions<'c> {
    /// Actions that wait for nothing.
    pub(super) fn new(terms: &'c Arc<Terms>, received: Instant, circumstances: Circumstances) -> Self {
        Self { terms, received, circumstances, body: &[], means: None, handled: OnceCell::new() }
    }

    /// Actions that wait for what they need.
    pub(super) fn by(self, means: &'c dyn Means, body: &'c [u8]) -> Self {
        Self { means: Some(means), body, ..self }
    }

    /// WeChat wants its answer by then.
    pub(super) fn deadline(&self) -> Instant {
        self.received + self.terms.deadline
    }

    /// Whether a handler has worked something out, but for another rule.
    pub(super) fn were_handled_for_another(&self, rule: &Rule) -> bool {
        self.handled.get().is_some_and(|(role, _)| *role != rule.role)
    }

    /// What is answered instead of something with a blocked word.
    pub(super) fn refusal(&self, message: &Message<'_>, blocked: &Blocked) -> Option<Reply> {
        let text = self.fill(message, blocked.reply.as_ref()?, &Session::new())?;
        Reply::text(text).fit(message).0
    }

    /// A text to which no match belongs, filled in; `None` if that cannot be done.
    pub(super) fn fill(
        &self,
        message: &Message<'_>,
        template: &Template,
        session: &Session,
    ) -> Option<String> {
        let captures = Captures::default();
        fill(template, &self.scope(message, &captures, None, session))
    }

    fn scope<'a>(
        &'a self,
        message: &'a Message<'a>,
        captures: &'a Captures<'a>,
        rule: Option<&'a str>,
        session: &'a Session,
    ) -> Scope<'a> {
        Scope {
            message,
            captures,
            app_id: self.terms.app_id.as_deref(),
            rule,
            rules: &self.terms.rules,
            tables: &self.terms.tables,
            session,
            now: self.circumstances.now,
            media: self.means.map_or(&NoLibrary, |means| means as &dyn MediaLibrary),
        }
    }

    /// What the rule says, within WeChat's limits; nothing is `success`. Too long a text stays as it is where the rest of
    /// it can be delivered.
    pub(super) fn replies(
        &self,
        message: &Message<'_>,
        found: &Match<'_>,
        memory: Option<&Memory>,
    ) -> Vec<Reply> {
        let mut fitting = Vec::new();
        let splits = self.terms.delivery.is_some() && can_be_answered(&message.content);
        for reply in self.said(message, found, memory) {
            if splits && matches!(&reply, Reply::Text { content } if content.len() > MAX_TEXT_BYTES) {
                fitting.push(reply);
                continue;
            }
            let (reply, cut) = reply.fit(message);
            if let Some(cut) = cut {
                log::warn!(target: "callback", "{}: {cut}", found.rule.label());
            }
            fitting.extend(reply);
        }
        fitting
    }

    /// What the rule says, or what it says where that fails; then it changes nothing.
    fn said(&self, message: &Message<'_>, found: &Match<'_>, memory: Option<&Memory>) -> Vec<Reply> {
        let draft = memory.map(Memory::draft);
        guarded(|| self.carry_out(message, found, memory)).unwrap_or_else(|why| {
            log::error!(target: "callback", "{} failed: {why}", found.rule.label());
            if let (Some(memory), Some(draft)) = (memory, draft) {
                memory.go_back_to(draft);
            }
            self.on_error(message, found, memory).into_iter().collect()
        })
    }

    /// What the rule says where it fails.
    pub(super) fn on_error(
        &self,
        message: &Message<'_>,
        found: &Match<'_>,
        memory: Option<&Memory>,
    ) -> Option<Reply> {
        let session = memory.map(Memory::session).unwrap_or_default();
        let scope = self.scope(message, &found.captures, found.rule.name.as_deref(), &session);
        Reply::text(fill(found.rule.on_error.as_ref()?, &scope)?).fit(message).0
    }

    /// What a handler works out for the rule, once for each message.
    fn handled(
        &self,
        message: &Message<'_>,
        found: &Match<'_>,
        handling: &Handling,
        session: &Session,
    ) -> Result<&Handled, String> {
        let (_, handled) = self.handled.get_or_init(|| {
            let handled = guarded(|| -> Result<Handled, String> {
                let means = self.means.ok_or("nothing can be carried out here")?;
                let equipment = means.equipment().ok_or("no handler can be asked from here")?;
                let task = Task {
                    message,
                    body: self.body,
                    rule: found.rule.name.as_deref(),
                    captures: &found.captures,
                    session,
                    app_id: self.terms.app_id.as_deref(),
                    attempt: 1,
                    deadline: self.deadline(),
                    until: Instant::now() + handling.timeout,
                    store: &means.store()?,
                    media: means,
                };
                equipment.carry_out(&handling.handler, &task).map_err(|error| error.to_string())
            });
            (found.rule.role.clone(), handled)
        });
        handled.as_ref().map_err(Clone::clone)
    }

    /// Writes down what the rule wants remembered, and gives what it says.
    fn carry_out(
        &self,
        message: &Message<'_>,
        found: &Match<'_>,
        memory: Option<&Memory>,
    ) -> Result<Vec<Reply>, String> {
        let rule = &found.rule;
        let (mut session, name) = (memory.map(Memory::session).unwrap_or_default(), rule.name.as_deref());
        if let Some(memory) = memory {
            if memory.is_away() && (!rule.sequel.is_empty() || rule.then.speaks_of_session()) {
                return Err("it needs the store".to_owned());
            }
            for (key, setting) in &rule.sequel.session {
                let scope = self.scope(message, &found.captures, name, &session);
                let value = setting.value(&scope).map_err(|error| error.to_string())?;
                memory.set(key, value).map_err(|error| error.to_string())?;
                session = memory.session();
            }
        }
        if let (Some(handling), Some(memory)) = (rule.then.handling(), memory) {
            let handled = self.handled(message, found, handling, &session)?;
            for (key, value) in &handled.session {
                memory.set(key, value.clone()).map_err(|error| error.to_string())?;
            }
            memory.note_given(rule);
            return Ok(handled.replies.clone());
        }
        let turn = |key: &str| memory.and_then(|memory| memory.turn(key));
        let chooser = Chooser { random: &self.circumstances.random, turn: &turn };
        let scope = self.scope(message, &found.captures, name, &session);
        let replies = rule.then.replies(&scope, chooser).map_err(|error| error.to_string())?;
        if let Some(memory) = memory {
            memory.note_given(rule);
        }
        Ok(replies)
    }
}

/// A template of a text filled in; `None` if that cannot be done.
fn fill(template: &Template, scope: &Scope<'_>) -> Option<String> {
    guarded(|| template.render_text(scope)).ok().map(Cow::into_owned)
}

/// Runs what a rule does. A panic in it is a bug of ours; the user still gets the rule's words for failures, and WeChat
/// a legal body.
fn guarded<T, E: Display>(action: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(action)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("it panicked".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_an_action_is_its_failure() {
        assert_eq!(guarded(|| -> Result<(), String> { panic!("on purpose") }), Err("it panicked".to_owned()));
        assert_eq!(guarded(|| Err::<(), _>("cause")), Err("cause".to_owned()));
        assert_eq!(guarded(|| Ok::<_, String>(7)), Ok(7));
    }
}
