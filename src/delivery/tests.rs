use std::net::Shutdown;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::store::hooked::Hooked;
use crate::store::sqlite::{Journal, Sqlite};
use crate::wechat::limits::MAX_TEXT_BYTES;

const LONG: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_millis(20);
const ME: Holder = Holder([1; 16]);

/// A store fails where it is asked for something in which this stands.
type FailsAt = Arc<Mutex<Option<&'static str>>>;

/// An account whose customer-service messages come out at the other end of a channel.
#[derive(Debug)]
struct Stub {
    folder: tempfile::TempDir,
    store: Mutex<Arc<Hooked>>,
    fails_at: FailsAt,
    may_push: bool,
    has_room: AtomicBool,
    customer: Sender<String>,
    /// A push waits for it.
    lets_push: Mutex<Option<Receiver<()>>>,
    /// Messages whose processes are watched, or were to be.
    watched: Mutex<Vec<String>>,
}

impl Stub {
    fn office(may_push: bool) -> (Arc<Self>, Receiver<String>) {
        let folder = tempfile::tempdir().unwrap();
        let (customer, pushes) = channel();
        let fails_at = Arc::default();
        let store = Mutex::new(Self::open(&folder, "1.db", &fails_at));
        let has_room = AtomicBool::new(true);
        let (lets_push, watched) = (Mutex::default(), Mutex::default());
        let stub = Self { folder, store, fails_at, may_push, has_room, customer, lets_push, watched };
        (Arc::new(stub), pushes)
    }

    fn open(folder: &tempfile::TempDir, name: &str, fails_at: &FailsAt) -> Arc<Hooked> {
        let store = Sqlite::new(folder.path().join(name), Journal::Wal, Duration::from_secs(2), "wx1");
        let fails_at = Arc::clone(fails_at);
        Arc::new(Hooked::new(store, move |asked| match *fails_at.lock().unwrap() {
            Some(at) if asked.contains(at) => Err(Hooked::refusal()),
            _ => Ok(()),
        }))
    }

    fn shaky(&self) -> Arc<Hooked> {
        Arc::clone(&self.store.lock().unwrap())
    }

    fn forget_all(&self) {
        *self.store.lock().unwrap() = Self::open(&self.folder, "2.db", &self.fails_at);
    }

    fn fail_at(&self, at: Option<&'static str>) {
        *self.fails_at.lock().unwrap() = at;
    }
}

impl Office for Stub {
    fn store(&self) -> Result<Arc<dyn Store>, String> {
        Ok(self.shaky())
    }

    fn run(&self, job: Box<dyn FnOnce() + Send>) -> bool {
        let has_room = self.has_room.load(Ordering::Acquire);
        if has_room {
            thread::spawn(job);
        }
        has_room
    }

    fn run_errand(&self, errand: Box<dyn FnOnce() + Send>) {
        thread::spawn(errand);
    }

    fn may_push(&self) -> bool {
        self.may_push
    }

    fn push(&self, user: &str, reply: &Reply) -> Result<(), ApiError> {
        if let Some(lets_push) = &*self.lets_push.lock().unwrap() {
            let _ = lets_push.recv();
        }
        self.customer.send(format!("{user}: {}", text(reply))).unwrap();
        Ok(())
    }

    fn show_typing(&self, _: &str) {}

    fn watch(&self, order: &Order, worker: &UnixStream) -> io::Result<()> {
        assert!(worker.peer_addr().is_ok());
        self.watched.lock().unwrap().push(order.message.clone());
        if self.has_room.load(Ordering::Acquire) { Ok(()) } else { Err(io::ErrorKind::OutOfMemory.into()) }
    }
}

/// An attempt that tells what it was answered.
struct Caller {
    deadline: Instant,
    is_served: AtomicBool,
    answered: Sender<String>,
}

impl Caller {
    fn waiting(patience: Duration) -> (Arc<dyn Visitor>, Receiver<String>) {
        Self::calling(patience, false)
    }

    fn calling(patience: Duration, is_served: bool) -> (Arc<dyn Visitor>, Receiver<String>) {
        let (answered, answers) = channel();
        let (deadline, is_served) = (Instant::now() + patience, AtomicBool::new(is_served));
        (Arc::new(Self { deadline, is_served, answered }), answers)
    }
}

impl Visitor for Caller {
    fn received(&self) -> Instant {
        self.deadline
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn is_served(&self) -> bool {
        self.is_served.load(Ordering::Acquire)
    }

    fn serve(&self, Decision { answer, .. }: &Decision) -> bool {
        let is_open = !self.is_served.swap(true, Ordering::AcqRel);
        if is_open {
            let _ = self.answered.send(answer.xml.clone().unwrap_or_else(|| SUCCESS.to_owned()));
        }
        is_open
    }

    fn hold(&self) {
        let _ = self.answered.send("held".to_owned());
    }
}

fn text(reply: &Reply) -> &str {
    if let Reply::Text { content } = reply { content } else { "another kind" }
}

fn order(message: &str, late: Late) -> Order {
    Order {
        message: message.into(),
        user: "o1".into(),
        account: "gh_1".into(),
        met: "rule 1".into(),
        late,
        is_handled: true,
        on_error: Some(Reply::text("sorry")),
        said: Vec::new(),
        trigger: Trigger::Message,
        time: seconds_since(0),
    }
}

fn desk(office: &Arc<Stub>) -> Arc<Desk> {
    let office: Arc<dyn Office> = Arc::<Stub>::clone(office);
    Desk::new(DeliverySettings::default(), office)
}

/// A handler that says `said` as soon as it is let go.
fn handler(said: &'static str) -> (Start<'static>, Sender<()>) {
    let (let_go, waits) = channel::<()>();
    let work = move || {
        let _ = waits.recv();
        vec![Reply::text(said)]
    };
    (Start::Here(Box::new(work)), let_go)
}

/// A process that works a message out, and our end of the line to it.
fn worker() -> (Start<'static>, UnixStream) {
    let (theirs, ours) = UnixStream::pair().unwrap();
    (Start::Elsewhere(Box::new(|_| Ok(theirs))), ours)
}

/// A message whose process has died and which was given up.
fn leave_behind(office: &Stub, order: &Order, way: Way) {
    let store = office.shaky();
    store.claim(&order.message, Holder([9; 16]), Duration::from_millis(1), REPEATED_WITHIN).unwrap();
    while matches!(look(&*store, order).unwrap(), Claim::Running { .. }) {
        thread::yield_now();
    }
    leave_unclaimed(office, order, way);
}

/// The same so long ago that the claim was forgotten.
fn leave_unclaimed(office: &Stub, order: &Order, way: Way) {
    let store = office.shaky();
    Decision::given_up(order.answer(None), way).decide(&*store, &order.message).unwrap();
    if way == Way::Push {
        Owed::of(&*store, LONG).add(order).unwrap();
    }
}

fn fetched(desk: &Arc<Desk>, asks: &str) -> Option<String> {
    let asks = order(asks, Late::Auto);
    let piece = desk.fetch(&asks, Instant::now() + LONG).unwrap()?;
    desk.confirm(&asks);
    let xml = piece.xml.unwrap();
    let (_, content) = xml.split_once("<Content><![CDATA[").unwrap();
    Some(content.split_once("]]>").unwrap().0.to_owned())
}

#[test]
fn an_api_that_is_slow_to_one_user_makes_no_other_wait() {
    let (office, pushes) = Stub::office(true);
    let (lets_push, waits) = channel::<()>();
    *office.lets_push.lock().unwrap() = Some(waits);
    leave_behind(&office, &order("dead", Late::Push), Way::Push);
    let desk = desk(&office);
    desk.look_after_others();
    let (visitor, answers) = Caller::waiting(SOON);
    let (start, let_go) = handler("late");
    desk.attend(order("m", Late::Fetch), &visitor, start);
    assert!(answers.recv_timeout(LONG).unwrap().contains("还在想"));
    drop(lets_push);
    assert_eq!(pushes.recv_timeout(LONG).unwrap(), "o1: sorry");
    drop(let_go);
}

#[test]
fn a_store_that_fails_halfway_forgets_nobody_who_is_owed_something() {
    let (office, pushes) = Stub::office(true);
    for message in ["a", "b", "c"] {
        leave_behind(&office, &order(message, Late::Push), Way::Push);
    }
    let desk = desk(&office);
    office.fail_at(Some("claim b"));
    assert!(desk.look_after_late().is_err());
    office.fail_at(None);
    desk.look_after_late().unwrap();
    desk.look_after_late().unwrap();
    assert_eq!(pushes.try_iter().collect::<Vec<_>>(), ["o1: sorry"; 3]);
    assert!(Owed::of(&*office.shaky(), LONG).orders().unwrap().is_empty());
}

#[test]
fn who_is_owed_something_gets_it_also_where_nobody_looked_before_the_claim_was_forgotten() {
    let (office, pushes) = Stub::office(true);
    leave_unclaimed(&office, &order("m", Late::Push), Way::Push);
    desk(&office).look_after_late().unwrap();
    assert_eq!(pushes.try_iter().collect::<Vec<_>>(), ["o1: sorry"]);
    assert!(Owed::of(&*office.shaky(), LONG).orders().unwrap().is_empty());
}

#[test]
fn who_goes_before_his_worker_has_somebody_else_see_to_what_is_to_be_pushed() {
    let (office, pushes) = Stub::office(true);
    let desk = desk(&office);
    let (visitor, answers) = Caller::waiting(Duration::ZERO);
    let (start, mut worker) = worker();
    desk.attend(order("m", Late::Push), &visitor, start);
    assert_eq!(answers.recv_timeout(LONG).unwrap(), SUCCESS);
    assert_eq!(*office.watched.lock().unwrap(), ["m"]);
    // It dies, and nobody is left here who heeds it.
    worker.shutdown(Shutdown::Write).unwrap();
    worker.set_read_timeout(Some(LONG)).unwrap();
    assert_eq!(worker.read(&mut [0]).unwrap(), 0);
    assert!(pushes.try_recv().is_err());
    assert_eq!(Owed::of(&*office.shaky(), LONG).orders().unwrap().len(), 1);
}

#[test]
fn who_finds_nobody_to_see_to_it_does_so_himself_as_long_as_he_is_there() {
    let (office, pushes) = Stub::office(true);
    office.has_room.store(false, Ordering::Release);
    let desk = desk(&office);
    let (visitor, answers) = Caller::waiting(Duration::ZERO);
    let (start, worker) = worker();
    desk.attend(order("m", Late::Push), &visitor, start);
    assert_eq!(answers.recv_timeout(LONG).unwrap(), SUCCESS);
    assert_eq!(*office.watched.lock().unwrap(), ["m"]);
    drop(worker);
    assert_eq!(pushes.recv_timeout(LONG).unwrap(), "o1: sorry");
}

#[test]
fn what_is_fetched_needs_nobody_who_sees_to_it() {
    let (office, _) = Stub::office(false);
    let desk = desk(&office);
    let (visitor, answers) = Caller::waiting(SOON);
    let (start, worker) = worker();
    desk.attend(order("m", Late::Fetch), &visitor, start);
    assert!(answers.recv_timeout(LONG).unwrap().contains("还在想"));
    assert!(office.watched.lock().unwrap().is_empty());
    drop(worker);
}

#[test]
fn a_message_whose_process_has_ended_is_settled_once() {
    let (office, pushes) = Stub::office(true);
    let desk = desk(&office);
    let (dead, done, others) =
        (order("dead", Late::Push), order("done", Late::Push), order("others", Late::Push));
    for message in [&dead, &others] {
        leave_behind(&office, message, Way::Push);
    }
    for message in [&dead, &done, &dead] {
        desk.settle(message).unwrap();
    }
    assert_eq!(pushes.try_iter().collect::<Vec<_>>(), ["o1: sorry"]);
    assert_eq!(Owed::of(&*office.shaky(), LONG).orders().unwrap(), [others]);
}

#[test]
fn what_is_worked_out_still_comes_where_something_else_was_answered_at_the_last_moment() {
    let (office, _) = Stub::office(false);
    let desk = desk(&office);
    let (visitor, _answers) = Caller::calling(SOON, true);
    let (start, let_go) = handler("late");
    desk.attend(order("m", Late::Hold), &visitor, start);
    let began = Instant::now();
    let mut asks = 0..;
    let mut ask = || fetched(&desk, &format!("ask {}", asks.next().unwrap()));
    while ask().is_none() {
        assert!(began.elapsed() < LONG, "nobody has decided that it is to be fetched");
        thread::yield_now();
    }
    drop(let_go);
    loop {
        let piece = ask().unwrap();
        if piece == "late" {
            break;
        }
        assert!(piece.contains("还在想") && began.elapsed() < LONG, "{piece}");
        thread::yield_now();
    }
}

#[test]
fn who_dies_before_it_is_decided_leaves_nobody_alone() {
    for (late, may_push) in [(Late::Fetch, false), (Late::Push, true)] {
        let (office, pushes) = Stub::office(may_push);
        let (desk, order) = (desk(&office), order("m", late));
        let (visitor, _answers) = Caller::waiting(Duration::ZERO);
        let store = office.shaky();
        store.claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
        // As if the process were killed there: nothing that follows is done.
        office.fail_at(Some("put_if answer/"));
        assert!(desk.give_up(&order, &*visitor, false).is_err());
        office.fail_at(None);
        if may_push {
            assert_eq!(Owed::of(&*store, LONG).orders().unwrap(), std::slice::from_ref(&order));
            // One of WeChat's attempts is still to decide.
            desk.look_after_late().unwrap();
            assert!(pushes.try_recv().is_err());
        } else {
            assert!(fetched(&desk, "ask").unwrap().contains("还在想"));
        }
        // It was answered after all: there is nothing to come.
        Decision::answered(order.answer(None)).decide(&*store, "m").unwrap();
        store.finish("m", ME, b"", REPEATED_WITHIN).unwrap();
        desk.look_after_late().unwrap();
        assert_eq!(fetched(&desk, "ask again"), None);
        assert!(pushes.try_recv().is_err());
        assert!(Owed::of(&*store, LONG).orders().unwrap().is_empty());
    }
}

#[test]
fn the_last_message_that_wechat_takes_says_how_many_wait() {
    let (office, pushes) = Stub::office(true);
    let (desk, order) = (desk(&office), Arc::new(order("m", Late::Push)));
    let store = office.shaky();
    store.claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
    Decision::given_up(order.answer(None), Way::Push).decide(&*store, "m").unwrap();
    desk.finish(&order, ME, (1..8).map(|number| Reply::text(number.to_string())).collect());
    let taken: Vec<_> = pushes.try_iter().collect();
    assert_eq!(taken[..4], ["o1: 1", "o1: 2", "o1: 3", "o1: 4"]);
    assert_eq!(taken[4..], ["o1: 5\n（还有 2 条，回复“继续”查看）"]);
    assert_eq!(fetched(&desk, "ask").unwrap(), "6\n（还有 1 条，回复“继续”查看）");
}

#[test]
fn who_is_taken_for_dead_leaves_it_to_others_to_push() {
    let (office, pushes) = Stub::office(true);
    let (desk, order) = (desk(&office), order("m", Late::Push));
    leave_behind(&office, &order, Way::Push);
    desk.finish(&order, Holder([9; 16]), vec![Reply::text("late")]);
    assert!(pushes.try_recv().is_err());
    desk.look_after_late().unwrap();
    desk.look_after_late().unwrap();
    assert_eq!(pushes.try_iter().collect::<Vec<_>>(), ["o1: late"]);
}

#[test]
fn a_store_that_has_forgotten_all_loses_no_answer_of_a_process_that_lives() {
    let (office, pushes) = Stub::office(true);
    let desk = desk(&office);
    let (visitor, answers) = Caller::waiting(SOON);
    let (start, let_go) = handler("late");
    desk.attend(order("m", Late::Push), &visitor, start);
    assert_eq!(answers.recv_timeout(LONG).unwrap(), SUCCESS);
    office.forget_all();
    drop(let_go);
    assert_eq!(pushes.recv_timeout(LONG).unwrap(), "o1: late");
}

#[test]
fn an_attempt_that_waits_for_another_process_is_seen_to_after_a_reload() {
    let (office, _) = Stub::office(false);
    office.shaky().claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
    let (visitor, answers) = Caller::waiting(SOON);
    let desk = desk(&office);
    desk.attend(order("m", Late::Fetch), &visitor, handler("never").0);
    let is_gone = Arc::downgrade(&desk);
    drop(desk);
    assert!(answers.recv_timeout(LONG).unwrap().contains("还在想"));
    let began = Instant::now();
    while is_gone.strong_count() > 0 {
        assert!(began.elapsed() < LONG, "the desk stays");
        thread::yield_now();
    }
}

#[test]
fn where_too_many_wait_their_turn_the_rule_says_what_is_answered() {
    let (office, _) = Stub::office(false);
    office.has_room.store(false, Ordering::Release);
    let desk = desk(&office);
    let (visitor, answers) = Caller::waiting(LONG);
    desk.attend(order("m", Late::Fetch), &visitor, handler("never").0);
    assert!(answers.recv_timeout(LONG).unwrap().contains("sorry"));
    assert!(!desk.board.has_job("m"));
}

#[test]
fn an_attempt_joins_what_is_worked_out_here_also_while_the_store_is_away() {
    let (office, _) = Stub::office(false);
    let desk = desk(&office);
    let (first, first_answers) = Caller::waiting(LONG);
    let (second, second_answers) = Caller::waiting(LONG);
    let (start, let_go) = handler("done");
    desk.attend(order("m", Late::Fetch), &first, start);
    office.fail_at(Some(""));
    desk.attend(order("m", Late::Fetch), &second, handler("never").0);
    office.fail_at(None);
    drop(let_go);
    for answers in [first_answers, second_answers] {
        assert!(answers.recv_timeout(LONG).unwrap().contains("done"));
    }
}

#[test]
fn a_text_that_others_follow_leaves_room_to_say_so() {
    let (office, _) = Stub::office(false);
    let settings = DeliverySettings { more_text: "…".repeat(100) + "{{ left }}", ..Default::default() };
    let desk = Desk::new(settings, office);
    let long = Reply::text("字".repeat(680));
    for replies in [vec![long.clone(), long.clone()], vec![Reply::text("字".repeat(2000))]] {
        let pieces = desk.in_pieces(replies);
        let (last, others) = pieces.split_last().unwrap();
        assert!(others.len() > 1 && text(last).len() <= MAX_TEXT_BYTES);
        for piece in others {
            assert!(text(&desk.with_notice(piece.clone(), 12)).ends_with("…12"));
        }
    }
    assert_eq!(desk.in_pieces(vec![long.clone()]), [long]);
}

#[test]
fn what_was_pushed_whole_is_not_followed_by_a_failure() {
    let (office, pushes) = Stub::office(true);
    let (said, silent) = (order("said", Late::Push), order("silent", Late::Push));
    for message in [&said, &silent] {
        leave_behind(&office, message, Way::Push);
        // Both were about to push.
        assert_eq!(office.shaky().count(&pushed(message), 5, LONG).unwrap(), Some(1));
    }
    // This one was killed when WeChat had taken all, before the list and the outbox were cleared.
    let paid = Decision { is_owed: false, ..Decision::given_up(said.answer(None), Way::Push) };
    paid.amend(&*office.shaky(), "said").unwrap();
    Outbox::of(&*office.shaky(), "o1", LONG).set_pushed("said", &[Reply::text("late")]).unwrap();
    let desk = desk(&office);
    desk.look_after_late().unwrap();
    assert_eq!(pushes.try_iter().collect::<Vec<_>>(), ["o1: sorry"]);
    assert!(Owed::of(&*office.shaky(), LONG).orders().unwrap().is_empty());
    assert_eq!(Outbox::of(&*office.shaky(), "o1", LONG).ready().unwrap(), 0);
}

#[test]
fn what_follows_an_answer_is_pushed_on_when_its_process_has_died() {
    let (office, pushes) = Stub::office(true);
    let (desk, order) = (desk(&office), order("m", Late::Push));
    let store = office.shaky();
    store.claim("m", ME, Duration::from_millis(1), REPEATED_WITHIN).unwrap();
    // As if the process were killed when WeChat has the first one and before the next.
    office.fail_at(Some("count pushed/"));
    thread::scope(|scope| {
        let replies = ["1", "2", "3"].map(Reply::text).to_vec();
        let finishing = scope.spawn(|| desk.finish(&order, ME, replies));
        while Decision::of(&*Stub::open(&office.folder, "1.db", &Arc::default()), "m").unwrap().is_none() {
            thread::yield_now();
        }
        // Somebody else does it: who was slow must not do so too.
        let others = Stub::open(&office.folder, "1.db", &Arc::default());
        while !matches!(look(&*others, &order).unwrap(), Claim::Lost { .. }) {
            thread::yield_now();
        }
        *office.store.lock().unwrap() = others;
        desk.look_after_late().unwrap();
        office.fail_at(None);
        finishing.join().unwrap();
    });
    assert_eq!(pushes.try_iter().collect::<Vec<_>>(), ["o1: 2", "o1: 3"]);
    assert!(Owed::of(&*store, LONG).orders().unwrap().is_empty());
    assert_eq!(fetched(&desk, "ask"), None);
}

#[test]
fn who_was_asked_hears_what_is_decided_also_where_the_store_is_away() {
    let (office, _) = Stub::office(true);
    let desk = desk(&office);
    let (visitor, answers) = Caller::waiting(LONG);
    let (start, mut worker) = worker();
    let order = order("m", Late::Auto);
    desk.attend(order.clone(), &visitor, start);
    office.fail_at(Some(""));
    let decision =
        Decision { is_owed: true, ..Decision::answered(order.answer(Some(&Reply::text("first")))) };
    serde_json::to_writer(&mut worker, &decision).unwrap();
    worker.write_all(b"\n").unwrap();
    assert!(answers.recv_timeout(LONG).unwrap().contains("first"));
    // The others are in the hands of the worker alone.
    assert_eq!(*office.watched.lock().unwrap(), ["m"]);
}

#[test]
fn a_worker_hears_that_its_message_was_answered_as_failed() {
    let (office, _) = Stub::office(true);
    let desk = desk(&office);
    let (visitor, _answers) = Caller::waiting(LONG);
    let (start, mut worker) = worker();
    let order = order("m", Late::Auto);
    desk.attend(order.clone(), &visitor, start);
    desk.note_failed(&order);
    worker.set_read_timeout(Some(LONG)).unwrap();
    assert_eq!(worker.read(&mut [0]).unwrap(), 1);
    assert_eq!(*office.watched.lock().unwrap(), ["m"]);
}

#[test]
fn what_was_answered_as_failed_while_it_was_being_decided_is_late() {
    let (office, pushes) = Stub::office(true);
    let (desk, order) = (desk(&office), order("m", Late::Push));
    let (visitor, answers) = Caller::waiting(LONG);
    let visitor: Arc<dyn Visitor> =
        Arc::new(Refused { desk: Arc::clone(&desk), order: order.clone(), visitor });
    let (start, let_go) = handler("late");
    desk.attend(order, &visitor, start);
    drop(let_go);
    assert_eq!(pushes.recv_timeout(LONG).unwrap(), "o1: late");
    assert!(answers.try_recv().is_err());
}

/// An attempt whose last moment is that in which it is to be answered.
struct Refused {
    desk: Arc<Desk>,
    order: Order,
    visitor: Arc<dyn Visitor>,
}

impl Visitor for Refused {
    fn received(&self) -> Instant {
        self.visitor.received()
    }

    fn deadline(&self) -> Instant {
        self.visitor.deadline()
    }

    fn is_served(&self) -> bool {
        true
    }

    fn serve(&self, _: &Decision) -> bool {
        self.desk.note_failed(&self.order);
        false
    }

    fn hold(&self) {}
}

#[test]
fn of_several_replies_none_comes_where_their_message_has_failed() {
    for (late, may_push) in [(Late::Push, true), (Late::Fetch, false)] {
        let (office, pushes) = Stub::office(may_push);
        let (desk, order) = (desk(&office), order("m", late));
        let store = Stub::open(&office.folder, "1.db", &Arc::default());
        store.claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
        office.fail_at(Some("put_if answer/"));
        thread::scope(|scope| {
            let finishing = scope.spawn(|| desk.finish(&order, ME, vec![Reply::text("1"), Reply::text("2")]));
            while Outbox::of(&*store, "o1", LONG).pieces("m").unwrap().is_none() {
                thread::yield_now();
            }
            // Others take it for dead just then.
            assert_eq!(desk.lost(&*store, &order).unwrap(), Decision::answered(order.failure()));
            office.fail_at(None);
            finishing.join().unwrap();
        });
        assert!(pushes.try_recv().is_err());
        assert_eq!(fetched(&desk, "ask"), None);
    }
}

#[test]
fn what_is_being_pushed_is_fetched_only_if_that_fails() {
    let (office, pushes) = Stub::office(true);
    let (lets_push, waits) = channel::<()>();
    *office.lets_push.lock().unwrap() = Some(waits);
    let desk = desk(&office);
    leave_behind(&office, &order("m", Late::Push), Way::Push);
    thread::scope(|scope| {
        let pushing = scope.spawn(|| desk.look_after_late().unwrap());
        while Outbox::of(&*office.shaky(), "o1", LONG).pieces("m").unwrap().is_none() {
            thread::yield_now();
        }
        let waits = desk.fetch(&order("ask", Late::Auto), Instant::now()).unwrap().unwrap();
        assert!(waits.xml.unwrap().contains("还在想"));
        drop(lets_push);
        pushing.join().unwrap();
    });
    assert_eq!(pushes.try_iter().collect::<Vec<_>>(), ["o1: sorry"]);
    assert_eq!(fetched(&desk, "ask again"), None);
    // WeChat takes no more for this one.
    let spent = order("spent", Late::Push);
    leave_behind(&office, &spent, Way::Push);
    Outbox::of(&*office.shaky(), "o1", LONG).set("spent", &[Reply::text("late")]).unwrap();
    let (limit, window) = spent.trigger.quota();
    while office.shaky().count(&pushed(&spent), limit, window).unwrap().is_some() {}
    desk.look_after_late().unwrap();
    assert!(pushes.try_recv().is_err());
    assert_eq!(fetched(&desk, "ask at last").unwrap(), "late");
}

#[test]
fn who_dies_between_the_first_reply_and_the_push_of_the_others_has_left_them() {
    let (office, _pushes) = Stub::office(true);
    let (desk, order) = (desk(&office), order("m", Late::Push));
    let store = Stub::open(&office.folder, "1.db", &Arc::default());
    store.claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
    office.fail_at(Some("put_if answer/"));
    thread::scope(|scope| {
        let finishing = scope.spawn(|| desk.finish(&order, ME, vec![Reply::text("1"), Reply::text("2")]));
        let began = Instant::now();
        let rest = loop {
            let rest = Outbox::of(&*store, "o1", LONG).pieces("m").unwrap().unwrap_or_default();
            if !rest.is_empty() || began.elapsed() > LONG / 4 {
                break rest;
            }
            thread::yield_now();
        };
        office.fail_at(None);
        finishing.join().unwrap();
        assert_eq!(rest, [Reply::text("2")]);
    });
}

#[test]
fn who_dies_before_the_first_of_several_replies_is_answered_leaves_none_behind() {
    let (office, _pushes) = Stub::office(false);
    let (desk, order) = (desk(&office), order("m", Late::Fetch));
    let store = office.shaky();
    store.claim("m", ME, Duration::from_millis(1), REPEATED_WITHIN).unwrap();
    while matches!(look(&*store, &order).unwrap(), Claim::Running { .. }) {
        thread::yield_now();
    }
    Outbox::of(&*store, "o1", LONG).set("m", &[Reply::text("2")]).unwrap();
    let (visitor, answers) = Caller::waiting(LONG);
    desk.attend(order, &visitor, handler("never").0);
    assert!(answers.recv_timeout(LONG).unwrap().contains("sorry"));
    assert_eq!(fetched(&desk, "ask"), None);
}

fn lose(store: &dyn Store, order: &Order) {
    while !matches!(look(store, order).unwrap(), Claim::Lost { .. }) {
        thread::yield_now();
    }
}

#[test]
fn what_follows_an_answer_stays_owed_where_its_process_has_died_before_it_could_tell() {
    let (office, _pushes) = Stub::office(true);
    let (desk, order) = (desk(&office), order("m", Late::Push));
    let store = office.shaky();
    store.claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
    // What a worker does until it is killed, just before it tells who was asked what it has decided.
    Owed::of(&*store, LONG).add(&order).unwrap();
    Outbox::of(&*store, "o1", LONG).set_pushed("m", &[Reply::text("2"), Reply::text("3")]).unwrap();
    let first = order.answer(Some(&Reply::text("1")));
    Decision { is_owed: true, ..Decision::answered(first) }.decide(&*store, "m").unwrap();
    // Who was asked has heard that its line has ended.
    desk.finish(&order, ME, vec![Reply::text("sorry")]);
    desk.look_after_late().unwrap();
    assert_eq!(Owed::of(&*store, LONG).orders().unwrap(), [order]);
}

#[test]
fn of_several_replies_none_comes_where_their_process_has_died_before_the_first_was_decided() {
    for (late, may_push) in [(Late::Push, true), (Late::Fetch, false)] {
        let (office, pushes) = Stub::office(may_push);
        let desk = desk(&office);
        let order = order("m", late);
        let (visitor, answers) = Caller::waiting(LONG);
        let (start, worker) = worker();
        desk.attend(order.clone(), &visitor, start);
        let (store, rest) = (office.shaky(), [Reply::text("2")]);
        let outbox = Outbox::of(&*store, "o1", LONG);
        if may_push {
            Owed::of(&*store, LONG).add(&order).unwrap();
            outbox.set_pushed("m", &rest).unwrap();
        } else {
            outbox.set("m", &rest).unwrap();
        }
        drop(worker);
        assert!(answers.recv_timeout(LONG).unwrap().contains("sorry"));
        let began = Instant::now();
        while !matches!(look(&*store, &order).unwrap(), Claim::Answered { .. }) {
            assert!(began.elapsed() < LONG);
            thread::yield_now();
        }
        desk.look_after_late().unwrap();
        assert!(pushes.try_recv().is_err());
        assert_eq!(outbox.pieces("m").unwrap(), None, "{late:?}");
    }
}

#[test]
fn who_has_fetched_his_answer_is_not_told_that_it_failed() {
    let (office, pushes) = Stub::office(true);
    let (desk, order) = (desk(&office), order("m", Late::Push));
    leave_behind(&office, &order, Way::Push);
    // Others take it for dead, as its store was away for long: it leaves it to them.
    desk.finish(&order, Holder([9; 16]), vec![Reply::text("late")]);
    assert_eq!(fetched(&desk, "ask").unwrap(), "late");
    desk.look_after_late().unwrap();
    assert!(pushes.try_recv().is_err());
}

#[test]
fn what_others_have_pushed_for_who_stood_still_is_not_fetched_as_well() {
    let (office, pushes) = Stub::office(true);
    let (desk, order) = (desk(&office), Arc::new(order("m", Late::Push)));
    let store = office.shaky();
    store.claim("m", ME, Duration::from_millis(1), REPEATED_WITHIN).unwrap();
    let visitor: Arc<dyn Visitor> = Arc::new(Slow {
        office: Arc::clone(&office),
        order: Arc::clone(&order),
        others: self::desk(&office),
    });
    Board::add_visit(&desk, &order, &visitor, false);
    desk.finish(&order, ME, ["1", "2", "3"].map(Reply::text).to_vec());
    assert_eq!(pushes.try_iter().collect::<Vec<_>>(), ["o1: 2", "o1: 3"]);
    assert_eq!(Outbox::of(&*store, "o1", LONG).ready().unwrap(), 0);
}

/// An attempt that is answered so slowly that others take over.
struct Slow {
    office: Arc<Stub>,
    order: Arc<Order>,
    others: Arc<Desk>,
}

impl Visitor for Slow {
    fn received(&self) -> Instant {
        Instant::now()
    }

    fn deadline(&self) -> Instant {
        Instant::now() + LONG
    }

    fn is_served(&self) -> bool {
        false
    }

    fn serve(&self, _: &Decision) -> bool {
        lose(&*self.office.shaky(), &self.order);
        self.others.look_after_late().unwrap();
        true
    }

    fn hold(&self) {}
}

#[test]
fn what_others_have_left_to_be_fetched_stays_when_who_stood_still_goes_on() {
    let (office, _pushes) = Stub::office(true);
    let (desk, others, order) = (desk(&office), desk(&office), order("m", Late::Push));
    let store = Stub::open(&office.folder, "1.db", &Arc::default());
    let outbox = Outbox::of(&*store, "o1", LONG);
    store.claim("m", ME, Duration::from_millis(1), REPEATED_WITHIN).unwrap();
    office.fail_at(Some("put_if answer/"));
    thread::scope(|scope| {
        let finishing = scope.spawn(|| desk.finish(&order, ME, ["1", "2"].map(Reply::text).to_vec()));
        while outbox.pieces("m").unwrap().is_none() {
            thread::yield_now();
        }
        // The step was done although it failed, and it takes long until the store is back.
        let first = order.answer(Some(&Reply::text("1")));
        Decision { is_owed: true, ..Decision::answered(first) }.decide(&*store, "m").unwrap();
        lose(&*store, &order);
        let (limit, window) = order.trigger.quota();
        while store.count(&pushed(&order), limit, window).unwrap().is_some() {}
        others.look_after_late().unwrap();
        assert_eq!(outbox.pieces("m").unwrap().unwrap(), [Reply::text("2")]);
        office.fail_at(None);
        finishing.join().unwrap();
    });
    assert_eq!(fetched(&desk, "ask").as_deref(), Some("2"));
}

#[test]
fn what_was_pushed_whole_is_not_fetched_where_nobody_looked_before_the_claim_was_forgotten() {
    let (office, pushes) = Stub::office(true);
    let (order, store) = (order("m", Late::Push), office.shaky());
    leave_unclaimed(&office, &order, Way::Push);
    // Killed when WeChat had taken all, before the list and the outbox were cleared.
    let paid = Decision { is_owed: false, ..Decision::given_up(order.answer(None), Way::Push) };
    paid.amend(&*store, "m").unwrap();
    let outbox = Outbox::of(&*store, "o1", LONG);
    outbox.set_pushed("m", &[Reply::text("late")]).unwrap();
    desk(&office).look_after_late().unwrap();
    assert!(pushes.try_recv().is_err());
    assert_eq!(outbox.ready().unwrap(), 0);
}

#[test]
fn a_worker_heeds_a_note_that_comes_before_it_has_begun() {
    let (office, pushes) = Stub::office(true);
    let (desk, order) = (desk(&office), Arc::new(order("m", Late::Push)));
    office.shaky().claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
    let (visitor, _answers) = Caller::waiting(LONG);
    desk.note_failed(&order);
    desk.work(&order, ME, &visitor, || vec![Reply::text("late")]);
    assert_eq!(pushes.try_iter().collect::<Vec<_>>(), ["o1: late"]);
}

#[test]
fn a_worker_heeds_a_note_that_comes_when_it_has_decided() {
    let (office, pushes) = Stub::office(true);
    let (desk, order) = (desk(&office), Arc::new(order("m", Late::Push)));
    let (lets_push, waits) = channel();
    *office.lets_push.lock().unwrap() = Some(waits);
    office.shaky().claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
    let (visitor, _answers) = Caller::waiting(LONG);
    let three = ["1", "2", "3"].map(Reply::text).to_vec();
    thread::scope(|scope| {
        let working = scope.spawn(|| desk.work(&order, ME, &visitor, || three.clone()));
        lets_push.send(()).unwrap();
        assert_eq!(pushes.recv_timeout(LONG).unwrap(), "o1: 2");
        // When it told what it had decided, who was asked had answered that the message failed.
        desk.note_failed(&order);
        drop(lets_push);
        working.join().unwrap();
    });
    let others: Vec<_> = pushes.try_iter().collect();
    assert!(others.contains(&"o1: 1".to_owned()), "{others:?}");
}

#[test]
fn a_store_that_forgets_all_as_soon_as_an_attempt_is_given_up_loses_no_answer() {
    let (office, pushes) = Stub::office(true);
    let desk = desk(&office);
    let (start, let_go) = handler("late");
    let forgets = Forgets { office, desk: Arc::clone(&desk), let_go: Mutex::new(Some(let_go)) };
    let visitor: Arc<dyn Visitor> = Arc::new(forgets);
    desk.attend(order("m", Late::Push), &visitor, start);
    assert_eq!(pushes.recv_timeout(LONG / 4).as_deref(), Ok("o1: late"));
}

/// An attempt that is given up; when it is answered, the store forgets all and the handler ends.
struct Forgets {
    office: Arc<Stub>,
    desk: Arc<Desk>,
    let_go: Mutex<Option<Sender<()>>>,
}

impl Visitor for Forgets {
    fn received(&self) -> Instant {
        Instant::now()
    }

    fn deadline(&self) -> Instant {
        Instant::now()
    }

    fn is_served(&self) -> bool {
        false
    }

    fn serve(&self, _: &Decision) -> bool {
        self.office.forget_all();
        let let_go = self.let_go.lock().unwrap().take();
        if let_go.is_some() {
            drop(let_go);
            while self.desk.board.has_job("m") {
                thread::yield_now();
            }
        }
        true
    }

    fn hold(&self) {}
}

#[test]
fn an_attempt_that_failed_before_anything_began_spoils_no_later_one() {
    let (office, _) = Stub::office(false);
    let desk = desk(&office);
    office.fail_at(Some("claim m"));
    let (visitor, answers) = Caller::waiting(LONG);
    let (start, _unused) = handler("never");
    desk.attend(order("m", Late::Fetch), &visitor, start);
    assert!(answers.recv_timeout(LONG).unwrap().contains("sorry"));
    office.fail_at(None);
    // WeChat did not hear it in time, and asks again.
    let (visitor, answers) = Caller::waiting(LONG);
    let (start, let_go) = handler("the answer");
    desk.attend(order("m", Late::Fetch), &visitor, start);
    drop(let_go);
    assert!(answers.recv_timeout(LONG).unwrap().contains("the answer"));
}

#[test]
fn a_worker_that_dies_while_the_store_is_away_for_a_moment_is_seen_to() {
    let (office, _pushes) = Stub::office(true);
    let desk = desk(&office);
    let (visitor, answers) = Caller::waiting(Duration::from_secs(2));
    let (start, worker) = worker();
    desk.attend(order("m", Late::Push), &visitor, start);
    office.fail_at(Some("answer/m"));
    drop(worker);
    let began = Instant::now();
    while desk.lines().contains_key("m") && began.elapsed() < Duration::from_secs(1) {
        thread::yield_now();
    }
    office.fail_at(None);
    let answer = answers.recv_timeout(LONG).unwrap();
    let is_watched = !office.watched.lock().unwrap().is_empty();
    assert!(answer.contains("sorry") || is_watched, "answered {answer}, and nobody sees to it");
}

#[test]
fn a_trace_outlives_that_others_begin_to_push_nothing() {
    let (office, _) = Stub::office(true);
    let store = office.shaky();
    let outbox = Outbox::of(&*store, "o1", LONG);
    outbox.set_left("m", &[Reply::text("a")]).unwrap();
    assert!(matches!(outbox.take("x").unwrap(), First::Piece(_)));
    assert_eq!(outbox.pieces("m").unwrap().map(|pieces| pieces.len()), Some(0));
    // As `take_over` does by `deliver`; it dies after it.
    outbox.set_pushed("m", &[]).unwrap();
    assert_eq!(outbox.pieces("m").unwrap().map(|pieces| pieces.len()), Some(0));
}
