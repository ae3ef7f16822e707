//! A message's answer over all of WeChat's attempts: worked out once, by whichever process comes first, and brought to the
//! user even if that takes longer than WeChat waits.
//!
//! WeChat asks three times, 5 s apart, and shows a line of failure then. So the first attempt claims the message and has
//! it worked out, the others join it. One row of the store, written once, decides between the two who may answer: whoever
//! has worked the answer out, and the attempt whose time is over. All attempts are answered what that row says. If it says
//! that nobody waited any longer, the answer is pushed to the user (客服消息), or lies in his outbox until he asks for it.
//!
//! Source: <https://developers.weixin.qq.com/doc/offiaccount/en/Message_Management/Passive_user_reply_message.html>

mod clerk;
mod decision;
mod fetch;
mod late;
mod lines;
mod order;
mod outbox;
mod owed;
mod record;
mod rescue;

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::api::ApiError;
use crate::chance::random;
use crate::clock::unix_seconds;
use crate::config::DeliverySettings;
use crate::rules::Late;
use crate::store::{Claim, Holder, REPEATED_WITHIN, Store, StoreError};
use crate::wechat::reply::Reply;
use clerk::{Board, Job, Keeps};
pub use decision::Decision;
use decision::Way;
use fetch::Returns;
use late::may_be_held;
use lines::Lines;
pub use lines::{REFUSED, SERVED};
pub use order::{Answer, Order, SUCCESS, Trigger, key_of};
use outbox::Outbox;
use owed::Owed;

/// A process that was not heard of for so long has died, and its messages with it.
const CLAIM: Duration = Duration::from_secs(15);
/// That nobody waits for an answer any longer is kept as long as WeChat lets us write to a user: a machine may be off.
const DECISION: Duration = Duration::from_secs(48 * 60 * 60);
/// WeChat's third attempt begins 10 s after the message, whose time is in whole seconds, and is its last.
const LAST_ATTEMPT_AFTER: u64 = 8;
/// So many of its attempts may be held.
const MAX_HELD: u64 = 2;
/// In so long `hold_budget` messages may be held.
const HOLD_WINDOW: Duration = Duration::from_secs(5 * 60);
/// What was worked out is not given up at once when the store is away.
const INSIST: Duration = Duration::from_secs(120);
/// A store that could not be asked is asked again after these pauses, before an attempt fails.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(1)];
/// So many messages are remembered at most that were answered as failed.
const MAX_FAILED: usize = 1024;
/// Through what answers leave.
pub trait Office: fmt::Debug + Send + Sync {
    /// The store of the account.
    ///
    /// # Errors
    ///
    /// In words for the log, if it cannot be opened.
    fn store(&self) -> Result<Arc<dyn Store>, String>;

    /// Has a thread work an answer out, now or when one is free. Says whether it will: not if too many wait already.
    fn run(&self, job: Box<dyn FnOnce() + Send>) -> bool;

    /// Has a thread do what asks the store or WeChat and then ends, now or soon.
    fn run_errand(&self, errand: Box<dyn FnOnce() + Send>);

    /// Whether the account may send customer-service messages.
    fn may_push(&self) -> bool;

    /// Sends a customer-service message.
    ///
    /// # Errors
    ///
    /// If it was not sent, as far as is known.
    fn push(&self, user: &str, reply: &Reply) -> Result<(), ApiError>;

    /// Shows the user that an answer is being written, if that can be done.
    fn show_typing(&self, user: &str);

    /// Has a process that outlives this one see to a message when the line to the process has ended that works on it.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    fn watch(&self, order: &Order, worker: &UnixStream) -> io::Result<()>;
}

/// One of WeChat's attempts, which wants an answer.
pub trait Visitor: Send + Sync {
    /// When it came.
    fn received(&self) -> Instant;

    /// It wants it by then.
    fn deadline(&self) -> Instant;

    /// Whether it has one.
    fn is_served(&self) -> bool;

    /// Answers it, if nobody did. Says whether it has this answer now.
    fn serve(&self, decision: &Decision) -> bool;

    /// Leaves it without an answer until WeChat has hung up: it will ask again.
    fn hold(&self);
}

/// Where and how an answer is worked out.
pub enum Start<'j> {
    /// By this process, in one of its threads for that. Gives the replies, for a failure what the rule says then.
    Here(Box<dyn FnOnce() -> Vec<Reply> + Send>),
    /// By another process, which holds the claim as this holder. It writes a line with what is decided as soon as that is,
    /// and waits a moment for a byte that says whether who asked has that, see [`SERVED`] and [`REFUSED`].
    Elsewhere(Box<dyn FnOnce(Holder) -> io::Result<UnixStream> + 'j>),
}

impl fmt::Debug for Start<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Here(_) => "Here",
            Self::Elsewhere(_) => "Elsewhere",
        })
    }
}

/// Delivers the answers of one account.
#[derive(Debug)]
pub struct Desk {
    settings: DeliverySettings,
    office: Arc<dyn Office>,
    board: Arc<Board>,
    /// Messages that are being worked out here, and whose attempt was answered that they failed.
    failed: Mutex<HashSet<String>>,
    lines: Lines,
    returns: Returns,
}

impl Desk {
    /// A desk; nothing happens before its first message.
    #[must_use]
    pub fn new(settings: DeliverySettings, office: Arc<dyn Office>) -> Arc<Self> {
        Arc::new(Self {
            settings,
            office,
            board: Arc::default(),
            failed: Mutex::default(),
            lines: Lines::default(),
            returns: Returns::default(),
        })
    }

    /// Learns that an attempt is answered that its message failed, as there was no time to decide: what is worked out
    /// nevertheless is delivered as what is late. `take` takes the attempt for that; it gives nothing if it has an answer
    /// already, and then nothing is learnt.
    pub fn refuse<T>(&self, order: &Order, take: impl FnOnce() -> Option<T>) -> Option<T> {
        // Both or neither: who works it out asks for the note when he has found the attempt taken.
        let failed = self.failed();
        let taken = take()?;
        match self.lines.to_worker(&order.message) {
            Some(worker) => {
                drop(failed);
                self.tell_refused(order, &worker);
            }
            None => self.note_in(failed, &order.message),
        }
        Some(taken)
    }

    /// Notes whether an attempt of a message was answered before anything was known of it.
    fn note_of(&self, message: &str, visitor: &dyn Visitor) {
        let mut failed = self.failed();
        // Asked now: whoever refuses it does so and notes it in one.
        if visitor.is_served() {
            self.note_in(failed, message);
        } else {
            failed.remove(message);
        }
    }

    fn note_in(&self, mut failed: MutexGuard<'_, HashSet<String>>, message: &str) {
        // Others may work on them, and never ask here.
        if failed.len() >= MAX_FAILED {
            failed.retain(|message| self.board.has_job(message));
        }
        failed.insert(message.to_owned());
    }

    fn failed(&self) -> MutexGuard<'_, HashSet<String>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks after what processes have left that died, from now on. For a process that stays.
    pub fn look_after_others(self: &Arc<Self>) {
        self.board.look_after_others();
        clerk::employ(self);
    }

    /// Sees to it that one of WeChat's attempts is answered and its user gets what is worked out, once.
    pub fn attend(self: &Arc<Self>, order: Order, visitor: &Arc<dyn Visitor>, start: Start<'_>) {
        let (order, mut start) = (Arc::new(order), Some(start));
        let failed = || Decision::answered(order.failure());
        // Whoever asks the same store twice is the same: it may have heard the first time.
        let Ok(holder) = random().map(Holder) else {
            visitor.serve(&failed());
            return;
        };
        for pause in PAUSES {
            let Err(why) = self.try_attend(&order, visitor, holder, &mut start) else { return };
            log::error!(target: "delivery", kind = "attend"; "{} cannot be carried out: {why}", order.met);
            thread::sleep(pause);
        }
        self.refuse(&order, || visitor.serve(&failed()).then_some(()));
    }

    fn try_attend(
        self: &Arc<Self>,
        order: &Arc<Order>,
        visitor: &Arc<dyn Visitor>,
        holder: Holder,
        start: &mut Option<Start<'_>>,
    ) -> Result<(), String> {
        // A store that has crashed may have forgotten what we know, or be away.
        if self.board.has_job(&order.message) {
            self.join(order, visitor, false);
            return Ok(());
        }
        let store = self.office.store()?;
        if let Some(decision) = Decision::of(&*store, &order.message).map_err(words)? {
            self.secure(&*store, order, &decision);
            self.tell(&*store, order, decision, &**visitor);
            return Ok(());
        }
        match store.claim(&order.message, holder, CLAIM, REPEATED_WITHIN).map_err(words)? {
            Claim::Yours => {
                // It may have been answered as failed before it was known what has to be delivered; and so may an attempt
                // before it, which WeChat did not hear.
                self.note_of(&order.message, &**visitor);
                if let Some(start) = start.take() {
                    self.begin(order, visitor, holder, start);
                }
            }
            Claim::Running { .. } => {
                let is_here = self.board.has_job(&order.message);
                self.join(order, visitor, !is_here);
            }
            Claim::Lost { .. } => drop(visitor.serve(&self.lost(&*store, order)?)),
            // Decided just now, or so long ago that nothing is known of it.
            Claim::Answered { .. } => {
                let decision = Decision::of(&*store, &order.message).map_err(words)?;
                let decision = decision.unwrap_or_else(|| Decision::answered(order.answer(None)));
                self.tell(&*store, order, decision, &**visitor);
            }
        }
        Ok(())
    }

    /// Has an attempt wait for what is worked out already.
    fn join(self: &Arc<Self>, order: &Arc<Order>, visitor: &Arc<dyn Visitor>, is_foreign: bool) {
        // WeChat asks again, so it did not hear that the attempt before has failed.
        self.note_of(&order.message, &**visitor);
        Board::add_visit(self, order, visitor, is_foreign);
        clerk::employ(self);
        // It may have ended between the two looks.
        let Ok(store) = self.office.store() else { return };
        if let Ok(Some(decision)) = Decision::of(&*store, &order.message) {
            self.tell(&*store, order, decision, &**visitor);
        }
    }

    /// Answers an attempt what was decided before.
    fn tell(&self, store: &dyn Store, order: &Order, decision: Decision, visitor: &dyn Visitor) {
        let noted = self.note_heard(store, order, &decision, visitor);
        let is_heard = visitor.serve(&decision.clone().again());
        // The others that wait here.
        let is_heard = self.board.serve(&order.message, &decision.again()) || is_heard;
        let Some(answer) = noted.filter(|_| !is_heard) else { return };
        if let Err(error) = self.outbox(store, order).note_unheard(order, &answer) {
            log::error!(target: "delivery", "{}: {error}; its user has not heard what was worked out", order.met);
        }
    }

    /// Notes that an attempt is answered what was worked out, if one before it was left without an answer: then nothing waits
    /// for the user any more. Gives what did. It is noted before it is answered: a web server may end this process then.
    fn note_heard(
        &self,
        store: &dyn Store,
        order: &Order,
        decision: &Decision,
        visitor: &dyn Visitor,
    ) -> Option<Reply> {
        if visitor.is_served() || !may_be_held(decision, order) {
            return None;
        }
        for pause in PAUSES {
            match self.outbox(store, order).note_heard(&order.message) {
                Ok(answer) => return answer,
                Err(error) => {
                    log::error!(target: "delivery", kind = "heard"; "{error}; its user may fetch what he has");
                }
            }
            thread::sleep(pause);
        }
        None
    }

    /// Has a message worked out that is ours.
    fn begin(
        self: &Arc<Self>,
        order: &Arc<Order>,
        visitor: &Arc<dyn Visitor>,
        holder: Holder,
        start: Start<'_>,
    ) {
        match start {
            Start::Here(work) => {
                Board::add_visit(self, order, visitor, false);
                let (desk, at_work) = (Arc::clone(self), Arc::clone(order));
                let job = desk.begin_job(order, holder, Keeps::Claim);
                let will_run = self.office.run(Box::new(move || {
                    desk.finish(&at_work, holder, work());
                    drop(job);
                }));
                if !will_run {
                    log::error!(target: "delivery", kind = "jobs"; "{}: too many wait for their turn", order.met);
                    self.finish(order, holder, order.on_error.clone().into_iter().collect());
                }
            }
            Start::Elsewhere(start) => {
                let started = start(holder).map(|worker| self.watch_worker(order, holder, worker));
                // Not before: who gives it up has somebody see to that process.
                Board::add_visit(self, order, visitor, true);
                clerk::employ(self);
                if let Err(error) = started {
                    log::error!(target: "delivery", "{}: cannot start a process: {error}", order.met);
                    self.finish(order, holder, order.on_error.clone().into_iter().collect());
                }
            }
        }
    }

    /// Works out a message whose claim `holder` has, and delivers what comes of it. The visitor hears of it before anything
    /// else is delivered.
    pub fn work(
        self: &Arc<Self>,
        order: &Arc<Order>,
        holder: Holder,
        visitor: &Arc<dyn Visitor>,
        work: impl FnOnce() -> Vec<Reply>,
    ) {
        Board::add_visit(self, order, visitor, false);
        let _job = self.begin_job(order, holder, Keeps::Claim);
        self.finish(order, holder, work());
    }

    /// Keeps what it takes to work at a message until the job is dropped.
    fn begin_job(self: &Arc<Self>, order: &Arc<Order>, holder: Holder, keeps: Keeps) -> Job {
        clerk::employ(self);
        Board::begin_job(&self.board, order, holder, keeps)
    }

    /// Decides for an attempt whose time is over.
    fn give_up(&self, order: &Order, visitor: &dyn Visitor, is_foreign: bool) -> Result<(), String> {
        let store = self.office.store()?;
        if let Some(decision) = Decision::of(&*store, &order.message).map_err(words)? {
            self.secure(&*store, order, &decision);
            let is_fetched = decision.given_up == Some(Way::Fetch);
            self.tell(&*store, order, decision, visitor);
            // It may have been promised before that was decided.
            if !is_fetched {
                self.outbox(&*store, order).withdraw(&order.message).map_err(words)?;
            }
            return Ok(());
        }
        if is_foreign && self.is_lost(&*store, order)? {
            visitor.serve(&self.lost(&*store, order)?);
            return Ok(());
        }
        let way = match order.late {
            Late::Auto | Late::Push if self.can_push(order) => Way::Push,
            Late::Auto | Late::Hold if self.can_hold(&*store, order, visitor)? => {
                // The next one may come to another host.
                if let Err(error) = self.board.prolong(&*store, &order.message) {
                    log::error!(target: "delivery", kind = "clerk"; "{error}");
                }
                // It may be that it does not.
                let outbox = self.outbox(&*store, order);
                outbox.hold(order).map_err(words)?;
                visitor.hold();
                // It may have been decided since it was asked, and answered: then there is nothing to wait for.
                let decision = Decision::of(&*store, &order.message).map_err(words)?;
                if visitor.is_served() && decision.is_some_and(|decision| decision.is_awaited()) {
                    outbox.end_promise(&order.message, None).map_err(words)?;
                }
                return Ok(());
            }
            _ => Way::Fetch,
        };
        let answer = match way {
            Way::Push => order.answer(None),
            Way::Fetch => order.answer(Some(&Reply::text(&self.settings.waiting_text))),
        };
        // Written down before it is decided: who dies in between leaves nobody alone.
        match way {
            Way::Push => self.owed(&*store).add(order).map_err(words)?,
            Way::Fetch => self.outbox(&*store, order).promise(order).map_err(words)?,
        }
        let ours = Decision::given_up(answer, way);
        let decision = ours.clone().decide(&*store, &order.message).map_err(words)?;
        // Before anybody hears of it: a store that crashes then may forget it.
        self.board.note_given_up(&order.message, decision.given_up);
        self.secure(&*store, order, &decision);
        visitor.serve(&decision);
        match way {
            _ if decision.given_up == Some(way) => Ok(()),
            Way::Push if decision.is_owed => Ok(()),
            Way::Push => self.owed(&*store).remove(order).map_err(words),
            Way::Fetch => self.outbox(&*store, order).withdraw(&order.message).map_err(words),
        }
    }

    /// Whether an attempt may stay without an answer, because WeChat will ask again.
    fn can_hold(&self, store: &dyn Store, order: &Order, visitor: &dyn Visitor) -> Result<bool, String> {
        // Not all of them need have come here.
        let came_after = seconds_since(order.time).saturating_sub(visitor.received().elapsed().as_secs());
        // WeChat does not ask again for what was answered, though only in our place.
        if came_after >= LAST_ATTEMPT_AFTER || visitor.is_served() {
            return Ok(false);
        }
        match store.count(&format!("held/{}", order.message), MAX_HELD, HOLD_WINDOW).map_err(words)? {
            None => return Ok(false),
            // What was begun for the first one pays for the others.
            Some(2..) => return Ok(true),
            Some(_) => {}
        }
        let counted = store.count("held", self.settings.hold_budget, HOLD_WINDOW).map_err(words)?;
        if counted.is_none() {
            log::warn!(
                target: "delivery", kind = "hold budget";
                "{}: `hold_budget` is used up ({} messages in 5 minutes): the user has to fetch the answer",
                order.met, self.settings.hold_budget
            );
        }
        Ok(counted.is_some())
    }

    fn is_lost(&self, store: &dyn Store, order: &Order) -> Result<bool, String> {
        Ok(!self.board.has_job(&order.message)
            && matches!(store.look(&order.message).map_err(words)?, Some(Claim::Lost { .. })))
    }

    /// What a message is answered whose process has died.
    fn lost(&self, store: &dyn Store, order: &Order) -> Result<Decision, String> {
        log::error!(target: "delivery", "{}: who worked on it has died; it is not begun again", order.met);
        let ours = Decision::lost(order.failure());
        let decision = ours.clone().decide(store, &order.message).map_err(words)?;
        if decision.is_same(&ours) {
            // Of several replies the first may be lost with it: the rest alone is none.
            self.outbox(store, order).clear(&order.message).map_err(words)?;
            self.owed(store).remove(order).map_err(words)?;
        }
        Ok(decision)
    }

    fn outbox<'s>(&self, store: &'s dyn Store, order: &Order) -> Outbox<'s> {
        Outbox::of(store, &order.user, self.settings.keep).at(order.time)
    }

    fn owed<'s>(&self, store: &'s dyn Store) -> Owed<'s> {
        Owed::of(store, self.settings.keep)
    }

    /// Does what takes the store until it is done: a store that restarts must not lose what was worked out. `step` learns
    /// whether it failed before.
    fn insist<T>(
        &self,
        step: &mut dyn FnMut(&dyn Store, bool) -> Result<T, StoreError>,
    ) -> Result<T, String> {
        let until = Instant::now() + INSIST;
        let mut wait = Duration::from_millis(50);
        let mut is_again = false;
        loop {
            let done = self.office.store().and_then(|store| step(&*store, is_again).map_err(words));
            match done {
                Err(why) if Instant::now() < until => {
                    log::error!(target: "store", kind = "insist"; "{why}; tried again");
                    thread::sleep(wait);
                    wait = (wait * 2).min(Duration::from_secs(2));
                    is_again = true;
                }
                done => return done,
            }
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.board.close();
    }
}

/// How many customer-service messages were sent for a message.
fn pushed(order: &Order) -> String {
    format!("pushed/{}", order.message)
}

fn no_push(user: &str) -> String {
    format!("no-push/{user}")
}

fn seconds_since(time: u64) -> u64 {
    unix_seconds(SystemTime::now()).saturating_sub(time)
}

fn words(error: impl fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests;
