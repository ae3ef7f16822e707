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
mod order;
mod outbox;
mod owed;
mod record;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::api::ApiError;
use crate::chance::random;
use crate::clock::unix_seconds;
use crate::config::DeliverySettings;
use crate::rules::Late;
use crate::store::{Claim, Holder, Lease, REPEATED_WITHIN, Store, StoreError};
use crate::wechat::errcode::Class;
use crate::wechat::limits::{MAX_TEXT_BYTES, split_text};
use crate::wechat::reply::Reply;
use clerk::{Board, Job};
pub use order::{Answer, Order, SUCCESS, Trigger, key_of};
use outbox::{First, Outbox};
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
/// Where WeChat refuses to let us write to a user, it is not tried again for so long.
const NO_PUSH: Duration = Duration::from_secs(60 * 60);
/// What was worked out is not given up at once when the store is away.
const INSIST: Duration = Duration::from_secs(120);
/// A store that could not be asked is asked again after these pauses, before an attempt fails.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(1)];
/// A piece of a long text has at least so much of it, however long the line is that says how many follow, bytes.
const MIN_PIECE: usize = 1024;
/// A user who asks twice in a row is answered when it is known whether he had what he asked for first: it is looked again
/// after so long.
const UNCERTAIN: Duration = Duration::from_millis(50);
/// One process looks after a message of one that has died. It is given up for dead itself after so long.
const LOOKING: Duration = Duration::from_secs(60);
/// So many threads of a process do so at once: each waits for the store and for WeChat.
const LOOKERS: usize = 8;
/// So long a message is seen to whose process has ended: its claim is lost by then, who else has begun to look after it
/// and died is given up, and most stores are back.
const SETTLING: Duration = Duration::from_secs(10 * 60);
const SETTLE_EVERY: Duration = Duration::from_secs(1);

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

    /// Answers it, if nobody did.
    fn serve(&self, answer: &Answer);

    /// Leaves it without an answer until WeChat has hung up: it will ask again.
    fn hold(&self);
}

/// Where and how an answer is worked out.
pub enum Start<'j> {
    /// By this process, in one of its threads for that. Gives the replies, for a failure what the rule says then.
    Here(Box<dyn FnOnce() -> Vec<Reply> + Send>),
    /// By another process, which holds the claim as this holder. It writes a byte when its answer is decided.
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

/// How an answer goes that nobody waits for any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Way {
    Push,
    Fetch,
}

/// What all attempts of a message are answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Decision {
    answer: Answer,
    /// Nobody waits for what is worked out; it goes this way.
    given_up: Option<Way>,
}

/// Delivers the answers of one account.
#[derive(Debug)]
pub struct Desk {
    settings: DeliverySettings,
    office: Arc<dyn Office>,
    board: Arc<Board>,
    /// Messages that are being worked out here, and whose attempt was answered that they failed.
    failed: Mutex<HashSet<String>>,
    /// Lines to the processes that work for this one, by their message, until somebody else sees to it. Who has others
    /// work for it serves one request, and they go with it.
    lines: Mutex<HashMap<String, Arc<UnixStream>>>,
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
            lines: Mutex::default(),
        })
    }

    /// Learns that an attempt was answered that its message failed, as there was no time to decide: what is worked out
    /// nevertheless is delivered as what is late.
    pub fn note_failed(&self, order: &Order) {
        if self.board.has_job(&order.message) {
            self.failed().insert(order.message.clone());
        }
    }

    fn failed(&self) -> MutexGuard<'_, HashSet<String>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<String, Arc<UnixStream>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks after what processes have left that died, from now on. For a process that stays.
    pub fn look_after_others(self: &Arc<Self>) {
        self.board.look_after_others();
        clerk::employ(self);
    }

    /// Sees to it that one of WeChat's attempts is answered and its user gets what is worked out, once.
    pub fn attend(self: &Arc<Self>, order: Order, visitor: &Arc<dyn Visitor>, start: Start<'_>) {
        let (order, mut start) = (Arc::new(order), Some(start));
        // Whoever asks the same store twice is the same: it may have heard the first time.
        let Ok(holder) = random().map(Holder) else { return visitor.serve(&order.failure()) };
        for pause in PAUSES {
            let Err(why) = self.try_attend(&order, visitor, holder, &mut start) else { return };
            log::error!(target: "delivery", kind = "attend"; "{} cannot be carried out: {why}", order.met);
            thread::sleep(pause);
        }
        self.note_failed(&order);
        visitor.serve(&order.failure());
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
        if let Some(decision) = decision(&*store, &order.message).map_err(words)? {
            visitor.serve(&again(decision.answer));
            return Ok(());
        }
        match store.claim(&order.message, holder, CLAIM, REPEATED_WITHIN).map_err(words)? {
            Claim::Yours => {
                if let Some(start) = start.take() {
                    self.begin(order, visitor, holder, start);
                }
            }
            Claim::Running { .. } => {
                let is_here = self.board.has_job(&order.message);
                self.join(order, visitor, !is_here);
            }
            Claim::Lost { .. } => visitor.serve(&self.lost(&*store, order)?),
            // Decided just now, or so long ago that nothing is known of it.
            Claim::Answered { .. } => {
                let decision = decision(&*store, &order.message).map_err(words)?;
                let nothing = || order.answer(None);
                visitor.serve(&decision.map_or_else(nothing, |decision| again(decision.answer)));
            }
        }
        Ok(())
    }

    /// Has an attempt wait for what is worked out already.
    fn join(self: &Arc<Self>, order: &Arc<Order>, visitor: &Arc<dyn Visitor>, is_foreign: bool) {
        Board::add_visit(self, order, visitor, is_foreign);
        clerk::employ(self);
        // It may have ended between the two looks.
        let decided = self.office.store().and_then(|store| decision(&*store, &order.message).map_err(words));
        if let Ok(Some(decision)) = decided {
            self.board.serve(&order.message, &again(decision.answer));
        }
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
                let job = desk.begin_job(order, holder);
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
        let _job = self.begin_job(order, holder);
        self.finish(order, holder, work());
    }

    /// Keeps a claim until the job is dropped.
    fn begin_job(self: &Arc<Self>, order: &Arc<Order>, holder: Holder) -> Job {
        clerk::employ(self);
        Board::begin_job(&self.board, order, holder)
    }

    /// Hears when the process is done; if it dies before, the message is failed at once.
    fn watch_worker(self: &Arc<Self>, order: &Arc<Order>, holder: Holder, worker: UnixStream) {
        let (desk, order, worker) = (Arc::clone(self), Arc::clone(order), Arc::new(worker));
        self.lines().insert(order.message.clone(), Arc::clone(&worker));
        let watch = move || {
            let is_done = matches!((&*worker).read(&mut [0]), Ok(1));
            let is_ours = || desk.lines().contains_key(&order.message);
            if !is_done && is_ours() {
                log::error!(target: "delivery", "{}: the process that worked on it has died", order.met);
                desk.finish(&order, holder, order.on_error.clone().into_iter().collect());
            }
            desk.board.poke();
        };
        // Without the thread the clerk finds out by itself, a little later.
        if let Err(error) = thread::Builder::new().name("worker".to_owned()).spawn(watch) {
            log::error!(target: "delivery", "cannot start a thread: {error}");
        }
    }

    /// Has somebody see to a message that is to be pushed and that a process of ours works on: when that one dies, we may
    /// be gone. For who is about to answer its attempt: after that, a web server may end whatever we begin.
    fn have_watched(&self, order: &Order, decision: &Decision) {
        if decision.given_up != Some(Way::Push) {
            return;
        }
        // Whoever else is about to answer it waits until that is done.
        let mut lines = self.lines();
        let Some(worker) = lines.get(&order.message) else { return };
        match self.office.watch(order, worker) {
            Ok(()) => drop(lines.remove(&order.message)),
            Err(error) => {
                log::error!(target: "delivery", "{}: nobody watches its process: {error}", order.met);
            }
        }
    }

    /// Brings what was worked out to the user: as the answer of the attempts that wait, or as was decided when they were
    /// given up.
    fn finish(&self, order: &Order, holder: Holder, replies: Vec<Reply>) {
        let pieces = self.in_pieces(replies);
        let (first, rest) = match pieces.split_first() {
            Some((first, rest)) => (Some(first), rest),
            None => (None, &[] as &[Reply]),
        };
        let is_pushed = !rest.is_empty() && self.can_push(order);
        let answer = |left| order.answer(first.map(|first| self.with_notice(first.clone(), left)).as_ref());
        let mut ours = if self.failed().remove(&order.message) {
            let way = if self.can_push(order) { Way::Push } else { Way::Fetch };
            Decision { answer: order.failure(), given_up: Some(way) }
        } else {
            Decision { answer: answer(if is_pushed { 0 } else { rest.len() }), given_up: None }
        };
        let decided = self.insist(&mut |store, is_again| {
            if is_again {
                // The store is away. Those who wait here need none.
                self.board.serve(&order.message, &ours.answer);
            }
            let outbox = self.outbox(store, order);
            // Before anybody is answered: what is promised must be there. Where nobody waits, all of it comes at once.
            if !rest.is_empty() && decision(store, &order.message)?.is_none() {
                let set = if is_pushed { Outbox::set_pushed } else { Outbox::set };
                let ready = set(&outbox, &order.message, rest)?;
                if ours.given_up.is_none() && !is_pushed {
                    // What waits of other messages counts too: he is given it by the same word.
                    ours.answer = answer(ready);
                }
            }
            decide(store, &order.message, &ours)
        });
        let done = decided.and_then(|decision| {
            self.board.serve(&order.message, &decision.answer);
            // A store that has crashed may have forgotten what we know.
            match decision.given_up.or_else(|| self.board.given_up(&order.message)) {
                // Others took it for dead, and have said that it failed: the first of several is not followed by the rest.
                None if decision.answer != ours.answer && !rest.is_empty() => {
                    self.insist(&mut |store, _| self.outbox(store, order).set(&order.message, &[])).map(drop)
                }
                None if is_pushed => self.deliver(order, rest, Way::Push),
                None => Ok(()),
                // Others took it for dead: it is for them to push it, or they have said that it failed.
                Some(Way::Push) if !self.is_ours(order, holder)? => self.deliver(order, &pieces, Way::Fetch),
                Some(way) => self.deliver(order, &pieces, way),
            }
        });
        let done = done.and_then(|()| {
            self.insist(&mut |store, _| store.finish(&order.message, holder, b"", REPEATED_WITHIN).map(drop))
        });
        if let Err(why) = done {
            self.board.serve(&order.message, &ours.answer);
            log::error!(target: "delivery", "{}: what was worked out is lost: {why}", order.met);
        }
    }

    /// Whether nobody takes us for dead.
    fn is_ours(&self, order: &Order, holder: Holder) -> Result<bool, String> {
        let claim =
            self.insist(&mut |store, _| store.claim(&order.message, holder, CLAIM, REPEATED_WITHIN))?;
        Ok(claim == Claim::Yours)
    }

    /// Delivers what nobody waits for any longer.
    fn deliver(&self, order: &Order, pieces: &[Reply], way: Way) -> Result<(), String> {
        self.insist(&mut |store, _| {
            let set = if way == Way::Push { Outbox::set_pushed } else { Outbox::set };
            set(&self.outbox(store, order), &order.message, pieces)
        })?;
        log::info!(
            target: "delivery", "{}: {} piece(s), {}",
            order.met, pieces.len(), if way == Way::Push { "to be pushed" } else { "wait to be fetched" }
        );
        if way == Way::Push {
            if !self.push(order, pieces)? {
                self.insist(&mut |store, _| self.outbox(store, order).let_go(&order.message))?;
            }
            self.insist(&mut |store, _| self.owed(store).remove(order))?;
        }
        Ok(())
    }

    /// Pushes what lies in the outbox for a message. What cannot be pushed stays there. Says whether that is nothing.
    fn push(&self, order: &Order, pieces: &[Reply]) -> Result<bool, String> {
        let (limit, window) = order.trigger.quota();
        let store = self.office.store()?;
        for (number, piece) in pieces.iter().enumerate() {
            let is_open = seconds_since(order.time) < window.as_secs();
            let counted = store.count(&pushed(order), limit, window).map_err(words)?;
            if !is_open || counted.is_none() {
                log::warn!(
                    target: "delivery", "{}: WeChat takes {limit} customer-service messages within {} s; {} piece(s) wait to be fetched",
                    order.met, window.as_secs(), pieces.len() - number
                );
                return Ok(false);
            }
            // WeChat takes no more: those that wait have to be asked for.
            let left = if counted == Some(limit) {
                let ready = self.outbox(&*store, order).ready().map_err(words)?;
                // This one is ready too, until it is sent.
                ready.saturating_sub(1)
            } else {
                0
            };
            if let Err(error) = self.office.push(&order.user, &self.with_notice(piece.clone(), left)) {
                log::error!(
                    target: "delivery", "{}: {error}; {} piece(s) wait to be fetched",
                    order.met, pieces.len() - number
                );
                if matches!(error.errcode(), Some(45_015 | 45_047)) || error.class() == Some(Class::Gone) {
                    store.put(&no_push(&order.user), b"", NO_PUSH).map_err(words)?;
                }
                return Ok(false);
            }
            self.insist(&mut |store, _| {
                let left = pieces.get(number + 1..).unwrap_or_default();
                self.outbox(store, order).set_pushed(&order.message, left)
            })?;
        }
        log::info!(target: "delivery", "{}: pushed", order.met);
        Ok(true)
    }

    /// Decides for an attempt whose time is over.
    fn give_up(&self, order: &Order, visitor: &dyn Visitor, is_foreign: bool) -> Result<(), String> {
        let store = self.office.store()?;
        if let Some(decision) = decision(&*store, &order.message).map_err(words)? {
            self.have_watched(order, &decision);
            visitor.serve(&again(decision.answer));
            return Ok(());
        }
        if is_foreign && self.is_lost(&*store, order)? {
            visitor.serve(&self.lost(&*store, order)?);
            return Ok(());
        }
        let way = match order.late {
            Late::Auto | Late::Push if self.can_push(order) => Way::Push,
            Late::Auto | Late::Hold if self.can_hold(&*store, order, visitor)? => {
                visitor.hold();
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
        let ours = Decision { answer, given_up: Some(way) };
        let decision = decide(&*store, &order.message, &ours).map_err(words)?;
        self.have_watched(order, &decision);
        visitor.serve(&decision.answer);
        self.board.note_given_up(&order.message, decision.given_up);
        match way {
            _ if decision.given_up == Some(way) => Ok(()),
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

    /// Whether the account may write to the user later for what he did.
    fn can_push(&self, order: &Order) -> bool {
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

    /// The piece of his outbox that a user asks for by `message`; `None` if there is nothing. It is to be confirmed or put
    /// back; whether the one before it was, is waited for until the point in time `until`.
    ///
    /// # Errors
    ///
    /// In words for the log, if it cannot be found out.
    pub fn fetch(&self, order: &Order, until: Instant) -> Result<Option<Answer>, String> {
        let store = self.office.store()?;
        let outbox = self.outbox(&*store, order);
        loop {
            let reply = match outbox.take(&order.message).map_err(words)? {
                First::Nothing => return Ok(None),
                First::Piece(piece) => self.with_notice(piece.reply, piece.left),
                First::Uncertain if Instant::now() < until => {
                    thread::sleep(UNCERTAIN);
                    continue;
                }
                First::Uncertain => Reply::text(&self.settings.waiting_text),
                First::Promised(promised) if self.is_running(&*store, &promised)? => {
                    Reply::text(&self.settings.waiting_text)
                }
                First::Promised(promised) => {
                    // Who was at it has died, or said nothing; or it was answered before it was given up.
                    let decision = decision(&*store, &promised.message).map_err(words)?;
                    let is_answered = decision.is_some_and(|decision| decision.given_up.is_none());
                    let instead = promised.on_error.as_slice();
                    let instead = if is_answered { &[] } else { instead };
                    outbox.break_promise(&promised.message, instead).map_err(words)?;
                    continue;
                }
            };
            return Ok(Some(order.answer(Some(&reply))));
        }
    }

    /// Notes that its user has what [`Desk::fetch`] has taken out for an order.
    pub fn confirm(&self, order: &Order) {
        let confirm = |store: &dyn Store| self.outbox(store, order).confirm(&order.message);
        if let Err(why) = self.office.store().and_then(|store| confirm(&*store).map_err(words)) {
            log::error!(target: "delivery", "{why}; what was fetched is taken for fetched a little later");
        }
    }

    /// Puts back what [`Desk::fetch`] has taken out for an order: its user did not get it.
    ///
    /// # Errors
    ///
    /// In words for the log, if that cannot be done.
    pub fn put_back(&self, order: &Order) -> Result<(), String> {
        let store = self.office.store()?;
        self.outbox(&*store, order).put_back(&order.message).map_err(words)
    }

    /// Sees to it that a message that is to be pushed is owed to nobody any more, now that its process has ended, well or
    /// not. That takes until its claim is lost, and its store is there.
    ///
    /// # Errors
    ///
    /// In words for the log, if it is owed still after a long time: it is left to whoever comes next.
    pub fn settle(&self, order: &Order) -> Result<(), String> {
        // Always the same: what it has begun and could not end, it may go on with.
        let holder = random().map(Holder).map_err(words)?;
        let until = Instant::now() + SETTLING;
        loop {
            match self.is_settled(order, holder) {
                Ok(true) => return Ok(()),
                unsettled if Instant::now() > until => {
                    return unsettled.and(Err("it takes too long".to_owned()));
                }
                Ok(false) => {}
                Err(why) => {
                    log::error!(target: "delivery", kind = "settle"; "{}: {why}; tried again", order.met);
                }
            }
            thread::sleep(SETTLE_EVERY);
        }
    }

    /// Whether it is owed to nobody any more, after it was looked after.
    fn is_settled(&self, order: &Order, holder: Holder) -> Result<bool, String> {
        let store = self.office.store()?;
        let is_owed = || self.owed(&*store).has(order).map_err(words);
        if is_owed()? {
            self.look_after_owed(&*store, order, holder)?;
        }
        Ok(!is_owed()?)
    }

    /// Looks after messages that are to be pushed and whose process has died: what it had worked out is pushed, else what
    /// the rule says for failures.
    fn look_after_late(&self) -> Result<(), String> {
        let store = self.office.store()?;
        let holder = Holder(random().map_err(words)?);
        let orders = self.owed(&*store).orders().map_err(words)?;
        let left = Mutex::new(orders.iter().filter(|order| !self.board.has_job(&order.message)));
        let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
        let look_after_them =
            || std::iter::from_fn(next).try_for_each(|order| self.look_after_owed(&*store, order, holder));
        // A machine that was restarted may have left hundreds.
        thread::scope(|scope| {
            let spawn = |_| thread::Builder::new().spawn_scoped(scope, look_after_them).ok();
            let others: Vec<_> = (1..orders.len().min(LOOKERS)).filter_map(spawn).collect();
            let looked = look_after_them();
            let all =
                others.into_iter().map(|other| other.join().unwrap_or_else(|_| Err("a panic".to_owned())));
            all.fold(looked, Result::and)
        })
    }

    /// Looks after one of them, if its process has died.
    fn look_after_owed(&self, store: &dyn Store, order: &Order, holder: Holder) -> Result<(), String> {
        match look(store, order)? {
            Claim::Running { .. } => Ok(()),
            Claim::Lost { .. } => self.look_after_lost(store, order, holder),
            // Its process has not been heard of for so long that the claim was forgotten, as when the machine was off.
            Claim::Yours if is_to_be_pushed(store, order)? => self.look_after_lost(store, order, holder),
            Claim::Yours | Claim::Answered { .. } => self.owed(store).remove(order).map_err(words),
        }
    }

    /// Looks after one whose process has died, unless others do.
    fn look_after_lost(&self, store: &dyn Store, order: &Order, holder: Holder) -> Result<(), String> {
        let lease = format!("owed/{}", order.message);
        if !matches!(store.lease(&lease, holder, LOOKING).map_err(words)?, Lease::Held { .. }) {
            return Ok(());
        }
        // Others may have seen to it before.
        if self.owed(store).has(order).map_err(words)? {
            self.take_over(store, order)?;
        }
        store.release(&lease, holder).map_err(words)
    }

    /// Pushes what is left of a message whose process has died.
    fn take_over(&self, store: &dyn Store, order: &Order) -> Result<(), String> {
        match decision(store, &order.message).map_err(words)? {
            // One of WeChat's attempts will decide.
            None => Ok(()),
            Some(Decision { given_up: Some(Way::Push), .. }) => {
                let mut left = self.outbox(store, order).pieces(&order.message).map_err(words)?;
                if left.is_empty() && Self::is_pushed(store, order)? {
                    return self.owed(store).remove(order).map_err(words);
                }
                if left.is_empty() {
                    left.extend(order.on_error.clone());
                }
                log::error!(target: "delivery", "{}: who worked on it has died", order.met);
                self.deliver(order, &left, Way::Push)
            }
            Some(_) => self.owed(store).remove(order).map_err(words),
        }
    }

    /// Whether something was pushed for a message; may count as a push itself.
    fn is_pushed(store: &dyn Store, order: &Order) -> Result<bool, String> {
        let (_, window) = order.trigger.quota();
        Ok(store.count(&pushed(order), 1, window).map_err(words)?.is_none())
    }

    fn is_running(&self, store: &dyn Store, order: &Order) -> Result<bool, String> {
        Ok(self.board.has_job(&order.message) || matches!(look(store, order)?, Claim::Running { .. }))
    }

    fn is_lost(&self, store: &dyn Store, order: &Order) -> Result<bool, String> {
        Ok(!self.board.has_job(&order.message) && matches!(look(store, order)?, Claim::Lost { .. }))
    }

    /// What a message is answered whose process has died.
    fn lost(&self, store: &dyn Store, order: &Order) -> Result<Answer, String> {
        log::error!(target: "delivery", "{}: who worked on it has died; it is not begun again", order.met);
        let ours = Decision { answer: order.failure(), given_up: None };
        let decision = decide(store, &order.message, &ours).map_err(words)?;
        if decision.answer == ours.answer {
            // Of several replies the first may be lost with it: the rest alone is none.
            self.outbox(store, order).set(&order.message, &[]).map_err(words)?;
        }
        Ok(decision.answer)
    }

    /// A text with a line that says how many pieces follow.
    fn with_notice(&self, reply: Reply, left: usize) -> Reply {
        match reply {
            Reply::Text { content } if left > 0 => {
                let noticed = format!("{content}\n{}", self.settings.more_text(left));
                Reply::text(if noticed.len() > MAX_TEXT_BYTES { content } else { noticed })
            }
            other => other,
        }
    }

    /// The replies, texts in several that are too long for one with the line that says how many follow.
    fn in_pieces(&self, replies: Vec<Reply>) -> Vec<Reply> {
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

    fn outbox<'s>(&self, store: &'s dyn Store, order: &Order) -> Outbox<'s> {
        Outbox::of(store, &order.user, self.settings.keep)
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

/// More never wait.
const MAX_LEFT: usize = 9999;

/// What became of a claim, asked by nobody who wants it.
fn look(store: &dyn Store, order: &Order) -> Result<Claim, String> {
    let nobody = Holder(random().map_err(words)?);
    // Should it be forgotten already, and so ours, it ends at once.
    store.claim(&order.message, nobody, Duration::from_millis(1), REPEATED_WITHIN).map_err(words)
}

fn is_to_be_pushed(store: &dyn Store, order: &Order) -> Result<bool, String> {
    let decision = decision(store, &order.message).map_err(words)?;
    Ok(decision.is_some_and(|decision| decision.given_up == Some(Way::Push)))
}

fn decision(store: &dyn Store, message: &str) -> Result<Option<Decision>, StoreError> {
    let value = store.get(&key_of_decision(message))?;
    Ok(value.and_then(|value| serde_json::from_slice(&value.bytes).ok()))
}

/// Decides a message unless that is done; gives what is decided.
fn decide(store: &dyn Store, message: &str, ours: &Decision) -> Result<Decision, StoreError> {
    let bytes = serde_json::to_vec(ours).unwrap_or_default();
    let life = if ours.given_up.is_some() { DECISION } else { REPEATED_WITHIN };
    loop {
        if store.put_if(&key_of_decision(message), None, &bytes, life)? {
            return Ok(ours.clone());
        }
        if let Some(decision) = decision(store, message)? {
            return Ok(decision);
        }
    }
}

fn key_of_decision(message: &str) -> String {
    format!("answer/{message}")
}

/// How many customer-service messages were sent for a message.
fn pushed(order: &Order) -> String {
    format!("pushed/{}", order.message)
}

fn no_push(user: &str) -> String {
    format!("no-push/{user}")
}

/// An answer that was given before.
fn again(answer: Answer) -> Answer {
    Answer { met: format!("{}, as before", answer.met), ..answer }
}

fn seconds_since(time: u64) -> u64 {
    unix_seconds(SystemTime::now()).saturating_sub(time)
}

fn words(error: impl fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests;
