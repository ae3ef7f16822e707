//! The answer to a message whose proof is checked: what waits for its user, or what the rules say to it, from what is
//! remembered of him where that counts.

use std::cell::RefCell;
use std::sync::Arc;

use super::actions::Actions;
use super::envelope::Seal;
use super::guarding::Guarding;
use super::means::Means;
use super::memory::{Kept, Memory, Remembered};
use super::must_wait::{MustWait, asks_for_outbox, order};
use super::refusal::Refusal;
use super::words::{Incoming, incoming, outgoing};
use crate::clock::unix_seconds;
use crate::delivery::{Answer, Order, SUCCESS};
use crate::handlers::Said as GuardSaid;
use crate::http::Response;
use crate::logging::{openid_shown, shown};
use crate::rules::{Circumstance, Match, Outside, Past, Rule, Session};
use crate::wechat::limits::MAX_TEXT_BYTES;
use crate::wechat::message::{Content, Message};
use crate::wechat::reply::Reply;
use crate::wechat::xml::Element;

/// A call whose proof is checked.
pub(super) struct Call<'c> {
    pub(super) actions: Actions<'c>,
    /// Whether it is known that what is remembered of the user is to be asked.
    pub(super) asks_memory: bool,
    /// Whether all is done now that may take long.
    is_job: bool,
    /// What programs and servers that guard rules have said: they are asked once.
    said: RefCell<Vec<GuardSaid>>,
}

/// A response, or what is missing for it.
pub(super) type Reached = Result<Response, MustWait>;

/// What rules say to a message.
struct Said<'m> {
    met: Option<Match<'m>>,
    replies: Vec<Reply>,
}

const NO_RULE: &str = "no rule";

impl<'c> Call<'c> {
    pub(super) fn new(actions: Actions<'c>, asks_memory: bool) -> Self {
        Self { actions, asks_memory, is_job: false, said: RefCell::default() }
    }

    /// One whose answer may take long; its guards have said this before.
    pub(super) fn job(self, said: &[GuardSaid]) -> Self {
        Self { is_job: true, said: said.to_vec().into(), ..self }
    }
}

impl Call<'_> {
    /// Answers the message in `root`, as far as nothing is missing for it; sealed, if it came so.
    pub(super) fn reply_to(&self, root: &Element<'_>, seal: Option<Seal<'_>>) -> Result<Reached, Refusal> {
        let message = Message::from_xml(root)?;
        if let Some(id) = self.actions.terms.original_id.as_deref()
            && id != message.to_user
        {
            return Err(Refusal::ForeignReceiver(message.to_user.to_owned()));
        }
        Ok(match incoming(self.actions.terms.rules.blocked(), &message) {
            Incoming::Passes => self.answer(&message, seal),
            Incoming::Masked(root) => self.answer(&Message::from_xml(&root)?, seal),
            Incoming::Refused(blocked) => {
                let reply = self.actions.refusal(&message, blocked);
                Ok(self.send(&message, &self.composed(&message, "a blocked word", reply.as_ref()), seal))
            }
            Incoming::Ignored => {
                Ok(self.send(&message, &self.composed(&message, "a blocked word", None), seal))
            }
        })
    }

    /// Does something with the message in `root` as the rules are to see it; nothing, if they are not.
    pub(super) fn unblocked<T>(&self, root: &Element<'_>, act: impl FnOnce(&Message<'_>) -> T) -> Option<T> {
        let message = Message::from_xml(root).ok()?;
        match incoming(self.actions.terms.rules.blocked(), &message) {
            Incoming::Passes => Some(act(&message)),
            Incoming::Masked(root) => Some(act(&Message::from_xml(&root).ok()?)),
            Incoming::Refused(_) | Incoming::Ignored => None,
        }
    }

    /// Answers what the rules say, as far as nothing is missing for it.
    fn answer(&self, message: &Message<'_>, seal: Option<Seal<'_>>) -> Reached {
        if let Some(delivery) = &self.actions.terms.delivery
            && asks_for_outbox(message, delivery)
        {
            let means = self.actions.means.ok_or(MustWait::Outbox)?;
            let order = order(message, "the outbox", None, None);
            let piece = means.fetch(&order).unwrap_or_else(|why| {
                log::error!(target: "delivery", "{why}");
                // What waits is there still, when he asks again.
                Some(order.answer(Some(&Reply::text(&delivery.waiting_text))))
            });
            if let Some(piece) = piece {
                return Ok(self.send(message, &piece, seal));
            }
        }
        match self.actions.means {
            Some(means) if self.asks_memory => self.answer_from_memory(message, means, seal),
            means => match (self.ask_rules(message, None), means) {
                (Err(MustWait::Memory), Some(means)) => self.answer_from_memory(message, means, seal),
                (said, _) => Ok(self.send(message, &self.compose(message, said?)?, seal)),
            },
        }
    }

    /// Answers what the rules say to a user of whom something is remembered, and writes down what they leave: once for
    /// each message, however often WeChat sends it.
    fn answer_from_memory(
        &self,
        message: &Message<'_>,
        means: &dyn Means,
        seal: Option<Seal<'_>>,
    ) -> Reached {
        let actions = &self.actions;
        let mut memory = Memory::load(message, means, actions.circumstances.now, actions.deadline());
        loop {
            match memory.answer() {
                Some(Remembered::Answered(given)) => {
                    let again = Answer { met: format!("{}, as before", given.met), ..given };
                    return Ok(self.send(message, &again, seal));
                }
                Some(Remembered::Ordered(order)) => return Err(MustWait::Delivery(Box::new(order))),
                None => {}
            }
            let session = memory.session();
            let guards = self.guards(message, means, &session);
            let said = self.ask_rules(message, Some((&memory, guards.outside())));
            self.said.replace(guards.said());
            let said = said.map_err(|why| self.with_said(why))?;
            let rule = said.met.as_ref().map(|met| Arc::clone(&met.rule));
            let answer = self.compose(message, said)?;
            let kept = memory.keep(&Remembered::Answered(answer.clone()));
            if kept == Kept::Overtaken {
                memory.reload();
                continue;
            }
            // The user was told something else, and is to find what he knows of.
            if !means.claim() {
                if kept == Kept::Done {
                    memory.take_back();
                }
                return Ok(Response::text(200, SUCCESS));
            }
            let answer = match kept {
                // The reply may ask for what nobody would remember.
                Kept::Failed if memory.has_changed() => {
                    self.unkept(message, rule.as_deref(), &memory.session())
                }
                _ => answer,
            };
            return Ok(self.send(message, &answer, seal));
        }
    }

    /// What is answered where that which the rule changes cannot be kept.
    fn unkept(&self, message: &Message<'_>, rule: Option<&Rule>, session: &Session) -> Answer {
        let label = rule.map_or(NO_RULE.to_owned(), Rule::label);
        log::error!(target: "callback", "{label} failed: what it changes cannot be kept");
        let text = rule.and_then(|rule| self.actions.fill(message, rule.on_error.as_ref()?, session));
        self.composed(message, &label, text.map(Reply::text).as_ref())
    }

    /// An order with what guards have said: they are not to be asked again.
    fn with_said(&self, why: MustWait) -> MustWait {
        match why {
            MustWait::Delivery(mut order) => {
                order.said.clone_from(&self.said.borrow());
                MustWait::Delivery(order)
            }
            other => other,
        }
    }

    /// Works the answer to the message of an order out, whatever it takes, and gives all of it.
    pub(super) fn work_out(&self, message: &Message<'_>, order: &Order, means: &dyn Means) -> Vec<Reply> {
        let mut memory = Memory::load(message, means, self.actions.circumstances.now, means.until());
        loop {
            let session = memory.session();
            let guards = self.guards(message, means, &session);
            // A job waits for nothing more.
            let said = self
                .ask_rules(message, Some((&memory, guards.outside())))
                .unwrap_or_else(|_| Said { met: None, replies: Vec::new() });
            self.said.replace(guards.said());
            let replies = self.passing(message, said.replies);
            match memory.keep(&Remembered::Ordered(order.clone())) {
                Kept::Overtaken => memory.reload(),
                Kept::Failed if memory.has_changed() => {
                    // It has been carried out: better an answer without memory than none.
                    log::error!(target: "callback", "{}: what it changes cannot be kept", order.met);
                    return replies;
                }
                Kept::Done | Kept::Failed => return replies,
            }
        }
    }

    /// What leaves of replies, blocked words seen to.
    fn passing(&self, message: &Message<'_>, replies: Vec<Reply>) -> Vec<Reply> {
        let blocked = self.actions.terms.rules.blocked();
        let pass = |reply| outgoing(blocked, reply, |blocked| self.actions.refusal(message, blocked));
        replies.into_iter().filter_map(pass).collect()
    }

    /// What leaves of what the rules say, if it is one answer.
    fn compose(&self, message: &Message<'_>, Said { met, replies }: Said<'_>) -> Result<Answer, MustWait> {
        let replies = self.passing(message, replies);
        let is_long =
            |reply: &Reply| matches!(reply, Reply::Text { content } if content.len() > MAX_TEXT_BYTES);
        if let Some(met) = &met
            && (replies.len() > 1 || replies.first().is_some_and(is_long))
        {
            return Err(self.with_said(self.order_of(message, met, None)));
        }
        let met = met.map_or(NO_RULE.to_owned(), |met| met.rule.label());
        Ok(self.composed(message, &met, replies.first()))
    }

    /// What has to be delivered for a message that met a rule.
    fn order_of(&self, message: &Message<'_>, found: &Match<'_>, memory: Option<&Memory>) -> MustWait {
        let late = found.rule.then.handling().map(|handling| handling.late);
        let on_error = self.actions.on_error(message, found, memory);
        MustWait::Delivery(Box::new(order(message, &found.rule.label(), late, on_error)))
    }

    /// Who asks the guards of rules: what they have said before stands.
    fn guards<'g>(
        &'g self,
        message: &'g Message<'g>,
        means: &'g dyn Means,
        session: &'g Session,
    ) -> Guarding<'g> {
        Guarding::of(self.actions.terms, message, means, session).by(self.actions.deadline(), &self.said)
    }

    /// The rule that answers, or the last that met, and what it answers. What no rule is for has its own only if no rule
    /// before it had one.
    fn ask_rules<'m>(
        &self,
        message: &Message<'m>,
        asked: Option<(&'m Memory, &'m dyn Outside)>,
    ) -> Result<Said<'m>, MustWait> {
        let (memory, outside) = asked.unzip();
        let past = memory.map(|memory| memory as &dyn Past);
        let mut said = Said { met: None, replies: Vec::new() };
        let circumstance = Circumstance { now: self.actions.circumstances.now, past, outside };
        let mut matches = self.actions.terms.rules.find(message, &circumstance);
        for met in matches.by_ref() {
            // Another message may have moved the dialog since a handler began: its answer is this rule's still.
            if self.actions.were_handled_for_another(&met.rule) {
                continue;
            }
            if memory.is_none() && met.rule.asks_memory() {
                return Err(MustWait::Memory);
            }
            if met.rule.then.handling().is_some() && !self.is_job {
                return Err(self.order_of(message, &met, memory));
            }
            if self.actions.means.is_none() && !met.rule.then.is_pure() {
                return Err(MustWait::Files);
            }
            said.replies = self.actions.replies(message, &met, memory);
            said.met = Some(met);
            if !said.replies.is_empty() {
                return Ok(said);
            }
        }
        if matches.lack_past() { Err(MustWait::Memory) } else { Ok(said) }
    }

    /// An answer with this reply.
    fn composed(&self, message: &Message<'_>, met: &str, reply: Option<&Reply>) -> Answer {
        let now = unix_seconds(self.actions.circumstances.now);
        Answer::new(met, reply, (message.from_user, message.to_user), now)
    }

    /// The response with this answer, and its line in the log.
    pub(super) fn send(&self, message: &Message<'_>, answer: &Answer, seal: Option<Seal<'_>>) -> Response {
        let response = answer.xml.as_ref().and_then(|xml| self.leaving(xml, seal));
        let replied = response.as_ref().map_or(SUCCESS, |_| answer.kind.as_str());
        self.log(message, &answer.met, replied);
        response.unwrap_or_else(|| Response::text(200, SUCCESS))
    }

    /// The reply as it leaves; `None` if it cannot.
    fn leaving(&self, xml: &str, seal: Option<Seal<'_>>) -> Option<Response> {
        let Some(seal) = seal else { return Some(Response::xml(xml.to_owned())) };
        seal.close(xml, self.actions.terms, self.actions.circumstances).map(Response::xml)
    }

    fn log(&self, message: &Message<'_>, met: &str, replied: &str) {
        if !log::log_enabled!(target: "callback", log::Level::Info) {
            return;
        }
        let what = match &message.content {
            Content::Event(event) => format!("event {}", shown(event.name())),
            Content::Unknown { .. } => format!("unknown type {}", shown(message.msg_type)),
            _ => message.msg_type.to_owned(),
        };
        let from = openid_shown(message.from_user, self.actions.terms.personal_data);
        let time = self.actions.received.elapsed().as_millis();
        log::info!(target: "callback", "{what} from {from} met {met}; replied {replied} in {time} ms");
    }
}
