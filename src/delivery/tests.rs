mod attend;
mod held;
mod late;
mod rescue;
mod worker;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::store::hooked::Hooked;
use crate::store::sqlite::{Journal, Sqlite};

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

    /// Another process with the same store.
    fn beside(&self) -> (Arc<Self>, Receiver<String>) {
        let (office, pushes) = Self::office(self.may_push);
        *office.store.lock().unwrap() = Self::open(&self.folder, "1.db", &office.fails_at);
        (office, pushes)
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

/// An attempt that does something when it is answered, and says then whether it has the answer.
struct Acting<A> {
    deadline: Instant,
    act: A,
}

fn acting(patience: Duration, act: impl Fn() -> bool + Send + Sync + 'static) -> Arc<dyn Visitor> {
    Arc::new(Acting { deadline: Instant::now() + patience, act })
}

impl<A: Fn() -> bool + Send + Sync> Visitor for Acting<A> {
    fn received(&self) -> Instant {
        Instant::now()
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn is_served(&self) -> bool {
        false
    }

    fn serve(&self, _: &Decision) -> bool {
        (self.act)()
    }

    fn hold(&self) {}
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
    while matches!(store.look(&order.message).unwrap(), Some(Claim::Running { .. })) {
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
    let piece = desk.fetch(&asks, 1, Instant::now() + LONG).unwrap()?;
    desk.confirm(&asks);
    let xml = piece.xml.unwrap();
    let (_, content) = xml.split_once("<Content><![CDATA[").unwrap();
    Some(content.split_once("]]>").unwrap().0.to_owned())
}

/// Puts in what follows an answer, as who works it out does before he decides.
fn prepare_rest(store: &dyn Store, order: &Order, rest: &[&str], is_owed: bool) {
    let first = order.answer(Some(&Reply::text("1")));
    let ours = Decision { is_owed, ..Decision::answered(first) };
    let rest: Vec<_> = rest.iter().copied().map(Reply::text).collect();
    Outbox::of(store, "o1", LONG).prepare(order, &rest, &ours).unwrap();
}

fn lose(store: &dyn Store, order: &Order) {
    while !matches!(store.look(&order.message).unwrap(), Some(Claim::Lost { .. })) {
        thread::yield_now();
    }
}
