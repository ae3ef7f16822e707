//! Brings what was worked out to the user: as the answer of attempts that wait, by push, or into the outbox.

use std::time::Duration;

use super::decision::{Decision, Way, is_owed};
use super::order::Order;
use super::outbox::Outbox;
use super::rescue::lease_of;
use super::{CLAIM, Desk, no_push, pushed, seconds_since};
use crate::rules::Late;
use crate::store::{Claim, Holder, Lease, REPEATED_WITHIN, Store};
use crate::wechat::errcode::Class;
use crate::wechat::limits::{MAX_TEXT_BYTES, split_text};
use crate::wechat::reply::Reply;

/// Where WeChat refuses to let us write to a user, it is not tried again for so long.
const NO_PUSH: Duration = Duration::from_secs(60 * 60);
/// A piece of a long text has at least so much of it, however long the line is that says how many follow, bytes.
const MIN_PIECE: usize = 1024;
/// More pieces never wait.
const MAX_LEFT: usize = 9999;

/// By what one may push the answer to a message, and nobody else.
#[derive(Debug, Clone, Copy)]
pub(super) enum Right {
    /// He works on it.
    Claim(Holder),
    /// He looks after it, as who worked on it has died: of all who do in turn, the one with this number.
    Lease(Holder, u64),
}

/// What became of a push.
enum Pushed {
    All,
    /// WeChat takes no more of it: the rest is to be fetched.
    Refused,
    /// Others do it.
    Left,
}

impl Desk {
    /// Brings what was worked out to the user: as the answer of the attempts that wait, or as was decided when they were
    /// given up.
    pub(super) fn finish(&self, order: &Order, holder: Holder, replies: Vec<Reply>) {
        let pieces = self.in_pieces(replies);
        let (first, rest) = match pieces.split_first() {
            Some((first, rest)) => (Some(first), rest),
            None => (None, &[] as &[Reply]),
        };
        let answer = |left| order.answer(first.map(|first| self.with_notice(first.clone(), left)).as_ref());
        let mut ours = if self.failed().remove(&order.message) {
            self.refused(order)
        } else {
            let is_owed = !rest.is_empty() && self.can_push(order);
            let left = if is_owed { 0 } else { rest.len() };
            let is_followed = !rest.is_empty();
            Decision { is_owed, is_followed, ..Decision::answered(answer(left)) }
        };
        let (mut is_told, mut is_kept) = (false, false);
        let decided = self.insist(&mut |store, is_again| {
            if is_again {
                // The store is away. Those who wait here need none.
                is_told |= self.board.serve(&order.message, &ours);
            }
            // Before anybody is answered: what is promised must be there, and somebody to see to it. Where nobody waits,
            // all of it comes at once.
            let behind = if ours.given_up.is_some() { &pieces } else { rest };
            if !behind.is_empty() && Decision::of(store, &order.message)?.is_none() {
                if ours.is_owed {
                    self.owed(store).add(order)?;
                }
                let ready = self.outbox(store, order).prepare(order, behind, &ours)?;
                is_kept = true;
                if !ours.is_owed && ours.given_up.is_none() {
                    // What waits of other messages counts too: he is given it by the same word.
                    ours.answer = answer(ready);
                }
            }
            // Who dies as soon as it is decided leaves it to who was held.
            if !is_told
                && !ours.is_owed
                && may_be_held(&ours, order)
                && Decision::of(store, &order.message)?.is_none()
            {
                self.outbox(store, order).fill_held(&order.message, &pieces)?;
            }
            ours.clone().decide(store, &order.message)
        });
        let done = decided.and_then(|decision| {
            let is_heard = self.board.serve(&order.message, &decision) || is_told;
            self.note_whether_heard(order, &decision, &pieces, is_heard)?;
            // Who has the first already, as the store was away when it was ready, is not to get it again.
            let is_told = is_told && ours.is_awaited() && !decision.is_awaited();
            let pieces = if is_told { rest } else { &pieces };
            self.deliver_rest(order, holder, &ours, &decision, pieces, is_kept)?;
            if decision.given_up.is_none() && decision.is_owed && !decision.is_same(&ours) {
                // Not ours to say that it is done.
                return Ok(());
            }
            self.insist(&mut |store, _| store.finish(&order.message, holder, b"", REPEATED_WITHIN).map(drop))
        });
        if let Err(why) = done {
            self.board.serve(&order.message, &ours);
            log::error!(
                target: "delivery", "{}: {why}; what was worked out is lost, but for what lies in the store", order.met
            );
        }
    }

    /// Notes whether somebody has heard what was decided: if WeChat was left to ask again and does not, it is fetched.
    fn note_whether_heard(
        &self,
        order: &Order,
        decision: &Decision,
        pieces: &[Reply],
        is_heard: bool,
    ) -> Result<(), String> {
        if !may_be_held(decision, order) {
            return Ok(());
        }
        self.insist(&mut |store, _| {
            let outbox = self.outbox(store, order);
            if is_heard {
                outbox.note_heard(&order.message).map(drop)
            } else if decision.is_owed || decision.is_lost {
                Ok(())
            } else {
                outbox.fill_held(&order.message, pieces)
            }
        })
    }

    /// Delivers what is not the answer of attempts that wait, once it is decided. It lies in the outbox already if
    /// `is_kept` and nobody else has decided.
    fn deliver_rest(
        &self,
        order: &Order,
        holder: Holder,
        ours: &Decision,
        decision: &Decision,
        pieces: &[Reply],
        is_kept: bool,
    ) -> Result<(), String> {
        let rest = pieces.get(1..).unwrap_or_default();
        let right = Right::Claim(holder);
        // Others were faster.
        let is_other = !decision.is_same(ours);
        if is_other && ours.is_owed && !decision.is_owed {
            self.insist(&mut |store, _| self.owed(store).remove(order))?;
        }
        // Who gave it up may have said the same, and has put nothing in.
        let is_known = is_kept && !is_other && !decision.is_awaited();
        // A store that has crashed may have forgotten what we know.
        match decision.given_up.or_else(|| self.board.given_up(&order.message)) {
            // They took it for dead, and have said that it failed: the first of several is not followed by the rest.
            None if is_other && !decision.is_owed && !rest.is_empty() => {
                self.insist(&mut |store, _| self.outbox(store, order).clear(&order.message))
            }
            None if is_other => Ok(()),
            None => {
                // While it was being decided.
                if self.failed().remove(&order.message) {
                    return self.deliver_refused(order, pieces.first(), right);
                }
                if !decision.is_owed && !rest.is_empty() {
                    self.insist(&mut |store, _| self.outbox(store, order).end_push(&order.message))?;
                }
                // It lies in the outbox already, if others have not pushed it on.
                if decision.is_owed {
                    self.push_on(order, decision, rest, right)?;
                }
                if self.failed().remove(&order.message) {
                    self.deliver_refused(order, pieces.first(), right)?;
                }
                Ok(())
            }
            // It lies in the outbox already.
            Some(Way::Fetch) if is_known => {
                self.insist(&mut |store, _| self.outbox(store, order).end_push(&order.message))
            }
            Some(Way::Push) if is_known => self.push_on(order, decision, pieces, right),
            // They took it for dead: it is for them to push it, or they have said that it failed.
            Some(Way::Push) if !self.is_mine(order, right)? => {
                log::warn!(target: "delivery", "{}: others take who worked it out for dead; it is left to them", order.met);
                self.insist(&mut |store, _| {
                    // If they have not come to an end with it.
                    let is_owed = is_owed(store, order)?;
                    if is_owed { self.outbox(store, order).set(&order.message, pieces) } else { Ok(()) }
                })
            }
            Some(way) => self.deliver(order, decision, pieces, way, right),
        }
    }

    /// Delivers what was worked out for attempts that were answered that their message failed: the first reply, which was
    /// for them, and what lies in the outbox behind it.
    fn deliver_refused(&self, order: &Order, first: Option<&Reply>, right: Right) -> Result<(), String> {
        let Some(first) = first else { return Ok(()) };
        let late = self.refused(order);
        // In this order: who dies in between has left it where it is fetched.
        self.insist(&mut |store, _| {
            if late.is_owed {
                self.owed(store).add(order)?;
            }
            self.outbox(store, order).put_first(&order.message, first)?;
            late.amend(store, &order.message)
        })?;
        if late.is_owed {
            return self.push_left(order, &late, None, right);
        }
        self.insist(&mut |store, _| self.outbox(store, order).end_push(&order.message))?;
        log::info!(target: "delivery", "{}: waits to be fetched", order.met);
        Ok(())
    }

    /// What is decided where the attempts were answered that the message failed, as there was no time to decide.
    fn refused(&self, order: &Order) -> Decision {
        let way = if self.can_push(order) { Way::Push } else { Way::Fetch };
        Decision::given_up(order.failure(), way)
    }

    /// Whether nobody else is at it.
    fn is_mine(&self, order: &Order, right: Right) -> Result<bool, String> {
        let message = &order.message;
        self.insist(&mut |store, _| match right {
            Right::Claim(holder) => {
                store.claim(message, holder, CLAIM, REPEATED_WITHIN).map(|claim| claim == Claim::Yours)
            }
            Right::Lease(holder, generation) => {
                let lease = store.lease(&lease_of(order), holder, CLAIM)?;
                let is_forgotten = || Decision::of(store, message).map(|decision| decision.is_none());
                // A store that has forgotten all counts anew.
                Ok(lease == Lease::Held { generation }
                    || matches!(lease, Lease::Held { .. }) && is_forgotten()?)
            }
        })
    }

    /// Delivers what nobody waits for any longer.
    fn deliver(
        &self,
        order: &Order,
        decision: &Decision,
        pieces: &[Reply],
        way: Way,
        right: Right,
    ) -> Result<(), String> {
        let message = &order.message;
        self.insist(&mut |store, _| {
            let set = if way == Way::Push { Outbox::set_pushed } else { Outbox::set };
            set(&self.outbox(store, order), message, pieces)
        })?;
        log::info!(
            target: "delivery", "{}: {} piece(s), {}",
            order.met, pieces.len(), if way == Way::Push { "to be pushed" } else { "wait to be fetched" }
        );
        if way == Way::Push {
            return self.push_on(order, decision, pieces, right);
        }
        self.insist(&mut |store, _| self.outbox(store, order).end_push(&order.message))
    }

    /// Pushes what is left in the outbox for a message, or `failure` where what was worked out was never there.
    pub(super) fn push_left(
        &self,
        order: &Order,
        decision: &Decision,
        failure: Option<&[Reply]>,
        right: Right,
    ) -> Result<(), String> {
        let begin = |store: &dyn Store, _| self.outbox(store, order).begin_push(&order.message, failure);
        let left = self.insist(&mut { begin })?;
        self.push_on(order, decision, &left, right)
    }

    /// Pushes what lies in the outbox for a message, and notes what became of it.
    fn push_on(
        &self,
        order: &Order,
        decision: &Decision,
        pieces: &[Reply],
        right: Right,
    ) -> Result<(), String> {
        let message = &order.message;
        let pushed = self.push(order, pieces, right)?;
        let is_refused = match pushed {
            Pushed::Left => return Ok(()),
            Pushed::Refused => true,
            Pushed::All => false,
        };
        // In this order: whoever looks after it if we die in between finds neither too much nor nothing.
        let paid = Decision { is_owed: false, ..decision.clone() };
        self.insist(&mut |store, _| {
            let outbox = self.outbox(store, order);
            if is_refused {
                outbox.let_go(message)?;
            }
            paid.amend(store, message)?;
            outbox.end_push(message)?;
            self.owed(store).remove(order)
        })
    }

    /// Pushes what lies in the outbox for a message. What cannot be pushed stays there, as does the last one.
    fn push(&self, order: &Order, pieces: &[Reply], right: Right) -> Result<Pushed, String> {
        let (limit, window) = order.trigger.quota();
        for (number, piece) in pieces.iter().enumerate() {
            let left = pieces.len() - number;
            let is_open = seconds_since(order.time) < window.as_secs();
            let counted = self.insist(&mut |store, _| store.count(&pushed(order), limit, window))?;
            if !is_open || counted.is_none() {
                log::warn!(
                    target: "delivery", "{}: WeChat takes {limit} customer-service messages within {} s; {left} piece(s) wait to be fetched",
                    order.met, window.as_secs()
                );
                return Ok(Pushed::Refused);
            }
            // WeChat takes no more: those that wait have to be asked for.
            let waiting = if counted == Some(limit) {
                let ready = self.insist(&mut |store, _| self.outbox(store, order).ready())?;
                // This one is ready too, until it is sent.
                ready.saturating_sub(1)
            } else {
                0
            };
            if !self.is_mine(order, right)? {
                log::warn!(target: "delivery", "{}: others take who pushes it for dead; {left} piece(s) are left to them", order.met);
                return Ok(Pushed::Left);
            }
            if let Err(error) = self.office.push(&order.user, &self.with_notice(piece.clone(), waiting)) {
                log::error!(target: "delivery", "{}: {error}; {left} piece(s) wait to be fetched", order.met);
                if matches!(error.errcode(), Some(45_015 | 45_047)) || error.class() == Some(Class::Gone) {
                    self.insist(&mut |store, _| store.put(&no_push(&order.user), b"", NO_PUSH))?;
                }
                return Ok(Pushed::Refused);
            }
            if left > 1 {
                self.insist(&mut |store, _| self.outbox(store, order).keep_last(&order.message, left - 1))?;
            }
        }
        log::info!(target: "delivery", "{}: pushed", order.met);
        Ok(Pushed::All)
    }

    /// Whether the account may write to the user later for what he did.
    pub(super) fn can_push(&self, order: &Order) -> bool {
        let (limit, window) = order.trigger.quota();
        let may = matches!(order.late, Late::Auto | Late::Push)
            && self.office.may_push()
            && limit > 0
            && seconds_since(order.time) < window.as_secs();
        let is_refused = || {
            let store = self.office.store().ok()?;
            store.get(&no_push(&order.user)).ok().flatten()
        };
        may && is_refused().is_none()
    }

    /// A text with a line that says how many pieces follow.
    pub(super) fn with_notice(&self, reply: Reply, left: usize) -> Reply {
        match reply {
            Reply::Text { content } if left > 0 => {
                let noticed = format!("{content}\n{}", self.settings.more_text(left));
                Reply::text(if noticed.len() > MAX_TEXT_BYTES { content } else { noticed })
            }
            other => other,
        }
    }

    /// The replies, texts in several that are too long for one with the line that says how many follow.
    pub(super) fn in_pieces(&self, replies: Vec<Reply>) -> Vec<Reply> {
        let room = self.settings.more_text(MAX_LEFT).len() + 1;
        let fitting = MAX_TEXT_BYTES.saturating_sub(room).max(MIN_PIECE);
        let last = replies.len().saturating_sub(1);
        let mut pieces = Vec::with_capacity(replies.len());
        for (number, reply) in replies.into_iter().enumerate() {
            let most = if number == last { MAX_TEXT_BYTES } else { fitting };
            match reply {
                Reply::Text { content } if content.len() > most => {
                    let parts = split_text(&content, fitting);
                    pieces.extend(parts.map(|part| Reply::text(part.trim_end_matches('\n'))));
                }
                other => pieces.push(other),
            }
        }
        pieces
    }
}

/// Whether an attempt of a message may have been left without the answer that is decided.
pub(super) fn may_be_held(decision: &Decision, order: &Order) -> bool {
    decision.is_awaited() && matches!(order.late, Late::Auto | Late::Hold)
}
