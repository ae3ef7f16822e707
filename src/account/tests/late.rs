//! Stores that are late, or fail halfway: what users are told is what is remembered of them.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::store::hooked::Hooked;
use crate::store::sqlite::{Journal, Sqlite};

const CONFIG: &str = r#"
[account]
token = "tok"
[server]
deadline = "4999ms"
[[rule]]
when.text = "订票"
wait = "city"
on_error = "现在订不了"
[step.city]
ask = "去哪里？"
[[step.city.rule]]
when.text = "上海"
reply = "好"
[[rule]]
when.text = "抽奖"
limit = { all = 1, per = "1h" }
reply = "中了"
on_error = "请再试"
[[rule]]
when.text = "两句"
reply = ["一", "二"]
[default]
reply = "听不懂"
"#;

/// What becomes of a `put_if` of the store.
enum Write {
    /// It is not answered before it is let. Once nobody lets it any more, it is as fast as others.
    At(Receiver<()>),
    Never,
}

impl Write {
    fn of(self, store: Sqlite) -> Hooked {
        let write = Mutex::new(self);
        Hooked::new(store, move |asked| {
            if !asked.starts_with("put_if ") {
                return Ok(());
            }
            match &*write.lock().unwrap() {
                Self::At(let_go) => {
                    let _ = let_go.recv();
                    Ok(())
                }
                Self::Never => Err(Hooked::refusal()),
            }
        })
    }
}

/// An account whose deadline comes before such a store writes something.
fn hasty(folder: &Path, write: Write) -> Account {
    open_with(&CONFIG.replace("4999ms", "100ms"), folder, write)
}

fn open(folder: &Path, write: Write) -> Account {
    open_with(CONFIG, folder, write)
}

fn open_with(config: &str, folder: &Path, write: Write) -> Account {
    let (config, faults) = Config::parse(config, Path::new("."), Thoroughness::Full);
    let app = Account::new(config.unwrap_or_else(|| panic!("{faults:?}")), Surroundings::default());
    let patience = Duration::from_secs(20);
    let store = Sqlite::new(folder.join("a.db"), Journal::default(), patience, "wx1");
    app.work.set_store(Arc::new(write.of(store)));
    app
}

fn gate() -> (Sender<()>, Write) {
    let (let_go, waits) = channel();
    (let_go, Write::At(waits))
}

fn at_once() -> Write {
    gate().1
}

/// A user says `content` in his message `number`.
fn say(app: &Account, number: u32, content: &str) -> String {
    let message = text_message(content).replace("<MsgId>1<", &format!("<MsgId>{number}<"));
    let answer = post(app, &query("tok", &now(), "n"), &message);
    let root = crate::wechat::xml::parse(answer.body.as_bytes()).unwrap();
    root.child_text("Content").unwrap().to_owned()
}

#[test]
fn what_is_written_after_the_deadline_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let (let_go, write) = gate();
    let late = hasty(folder.path(), write);
    assert_eq!(say(&late, 1, "订票"), "现在订不了");
    drop(let_go);
    drop(late);
    Account::finish(|| {});
    // He was not asked, so nothing waits for his answer.
    let app = open(folder.path(), at_once());
    assert_eq!(say(&app, 2, "上海"), "听不懂");
    assert_eq!([say(&app, 3, "订票"), say(&app, 4, "上海")], ["去哪里？", "好"]);
}

#[test]
fn what_was_before_is_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let app = open(folder.path(), at_once());
    assert_eq!(say(&app, 1, "订票"), "去哪里？");
    let (let_go, write) = gate();
    let late = hasty(folder.path(), write);
    assert_eq!(say(&late, 2, "上海"), "听不懂");
    drop(let_go);
    drop(late);
    Account::finish(|| {});
    assert_eq!(say(&app, 3, "上海"), "好");
}

#[test]
fn what_cannot_be_counted_is_not_given() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(say(&open(folder.path(), Write::Never), 1, "抽奖"), "请再试");
}

#[test]
fn what_waits_for_a_user_is_not_denied_when_it_cannot_be_looked_up_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let app = open(folder.path(), at_once());
    assert!(say(&app, 1, "两句").starts_with("一\n"));
    let (let_go, write) = gate();
    let late = hasty(folder.path(), write);
    assert_eq!(say(&late, 2, "继续"), "还在想，稍后回复“继续”取答案");
    drop(let_go);
    drop(late);
    Account::finish(|| {});
    assert_eq!([say(&app, 3, "继续"), say(&app, 4, "继续")], ["二", "听不懂"]);
}

#[test]
fn who_fetches_is_answered_also_while_it_cannot_be_noted_that_he_has_it() {
    let folder = tempfile::tempdir().unwrap();
    assert!(say(&open(folder.path(), at_once()), 1, "两句").starts_with("一\n"));
    // The first write takes the piece out, the second one notes that its user has it.
    let (let_go, waits) = channel::<()>();
    let (let_go, waits) = (Mutex::new(Some(let_go)), Mutex::new((0, waits)));
    let (config, _) = Config::parse(&CONFIG.replace("4999ms", "100ms"), Path::new("."), Thoroughness::Full);
    let app = Account::new(config.unwrap(), Surroundings::default());
    let store = Sqlite::new(folder.path().join("a.db"), Journal::default(), Duration::from_secs(20), "wx1");
    app.work.set_store(Arc::new(Hooked::new(store, move |asked| {
        if asked.starts_with("put_if outbox/") {
            let mut waits = waits.lock().unwrap();
            waits.0 += 1;
            if waits.0 == 2 {
                let _ = waits.1.recv();
            }
        }
        Ok(())
    })));
    let (answered, answers) = channel();
    std::thread::scope(|scope| {
        scope.spawn(|| answered.send(say(&app, 2, "继续")).unwrap());
        // WeChat hangs up after 5 s.
        let answer = answers.recv_timeout(Duration::from_secs(7));
        drop(let_go.lock().unwrap().take());
        assert!(answer.is_ok(), "nobody has answered it while the store stood still");
    });
}

#[test]
fn what_waits_for_a_user_is_there_also_where_the_store_fails_when_it_is_to_be_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let app = open(folder.path(), at_once());
    assert!(say(&app, 1, "两句").starts_with("一\n"));
    // The first write takes the piece out, after the deadline; the second one is to put it back.
    let (let_go, waits) = channel::<()>();
    let waits = Arc::new(Mutex::new((0, waits)));
    let at_store = Arc::clone(&waits);
    let (config, _) = Config::parse(&CONFIG.replace("4999ms", "1s"), Path::new("."), Thoroughness::Full);
    let late = Account::new(config.unwrap(), Surroundings::default());
    let store = Sqlite::new(folder.path().join("a.db"), Journal::default(), Duration::from_secs(20), "wx1");
    late.work.set_store(Arc::new(Hooked::new(store, move |asked| {
        if asked.starts_with("put_if outbox/") {
            let mut waits = at_store.lock().unwrap();
            waits.0 += 1;
            match waits.0 {
                1 => drop(waits.1.recv()),
                2 => return Err(Hooked::refusal()),
                _ => {}
            }
        }
        Ok(())
    })));
    assert_eq!(say(&late, 2, "继续"), "还在想，稍后回复“继续”取答案");
    drop(let_go);
    drop(late);
    Account::finish(|| {});
    assert!(waits.lock().unwrap().0 >= 2, "it was not taken out, or not put back");
    // Until it is taken for certain that he has it, he is told to ask again.
    let began = std::time::Instant::now();
    let mut numbers = 3..;
    let said = loop {
        let said = say(&app, numbers.next().unwrap(), "继续");
        if said != "还在想，稍后回复“继续”取答案" || began.elapsed() > Duration::from_secs(30)
        {
            break said;
        }
    };
    assert_eq!(said, "二");
}
