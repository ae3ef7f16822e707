use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::SystemTime;

use super::*;
use crate::api::Refusal;
use crate::store::sqlite::{Journal, Sqlite};

const LIFE: Duration = Duration::from_secs(7200);
const LIMIT: Duration = Duration::from_secs(5);

/// The value as one more process sees it: nothing in memory, and a connection of its own to the store.
fn process(folder: &Path) -> Shared {
    process_by(folder, SystemTime::now)
}

fn process_by(folder: &Path, clock: fn() -> SystemTime) -> Shared {
    let store = Sqlite::new(folder.join("state.db"), Journal::Wal, LIMIT, "wx").with_clock(clock);
    let margin = Duration::from_secs(300);
    let terms = Terms { what: "access_token", margin, fetch_limit: LIMIT };
    Shared::new("access_token".to_owned(), Arc::new(store), terms)
}

/// By this clock, everything of the last minute is over.
fn a_minute_later() -> SystemTime {
    SystemTime::now() + Duration::from_secs(60)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn soon() -> Instant {
    Instant::now() + LIMIT
}

fn fetched(value: &str, expires_in: Duration) -> impl Fn(Instant) -> Result<Issued, ApiError> {
    move |_| Ok(Issued { value: Secret::new(value), expires_in })
}

fn refused(errcode: i64) -> impl Fn(Instant) -> Result<Issued, ApiError> {
    move |_| Err(refusal(errcode))
}

fn refusal(errcode: i64) -> ApiError {
    let (path, host) = ("/cgi-bin/stable_token".to_owned(), "api.weixin.qq.com".to_owned());
    Refusal { errcode, errmsg: "no".to_owned(), path, host, advice: None }.into()
}

fn never(_: Instant) -> Result<Issued, ApiError> {
    panic!("fetched")
}

fn value(result: Result<Issued, ApiError>) -> String {
    result.unwrap().value.expose().to_owned()
}

/// Clocks of two hosts that share a file: they differ by less than a fetch may take.
fn ahead() -> SystemTime {
    SystemTime::now() + Duration::from_secs(3)
}

fn behind() -> SystemTime {
    SystemTime::now() - Duration::from_secs(3)
}

#[test]
fn of_many_who_need_it_at_once_one_fetches() {
    let folder = folder();
    let (count, start) = (AtomicUsize::new(0), Barrier::new(24));
    let fetch = |_: Instant| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(Issued { value: Secret::new("one"), expires_in: LIFE })
    };
    thread::scope(|scope| {
        for number in 0..24 {
            let shared = process_by(folder.path(), [SystemTime::now, ahead, behind][number % 3]);
            scope.spawn(|| {
                let shared = shared;
                start.wait();
                assert_eq!(value(shared.get(soon(), &fetch)), "one");
            });
        }
    });
    assert_eq!(count.into_inner(), 1);
}

#[test]
fn an_older_answer_never_replaces_a_newer_one() {
    for is_refused_meanwhile in [false, true] {
        let folder = folder();
        let (slow, quick) = (process(folder.path()), process_by(folder.path(), a_minute_later));
        let (started, starts) = channel();
        let (go_on, goes_on) = channel();
        thread::scope(|scope| {
            let path = folder.path();
            scope.spawn(move || {
                // Its lease ends while it waits for its answer.
                let got = slow.get(soon(), &move |_| {
                    started.send(()).unwrap();
                    goes_on.recv().unwrap();
                    Ok(Issued { value: Secret::new("older"), expires_in: LIFE })
                });
                let expected = if is_refused_meanwhile { "older" } else { "newer" };
                assert_eq!(value(got), expected);
                assert!(process(path).read().unwrap().unwrap().record.value.as_deref() != Some("older"));
            });
            starts.recv().unwrap();
            assert_eq!(value(quick.get(soon(), &fetched("newer", LIFE))), "newer");
            if is_refused_meanwhile {
                quick.refuse(&Secret::new("newer")).unwrap();
            }
            go_on.send(()).unwrap();
        });
        let left = process_by(folder.path(), a_minute_later).read().unwrap().unwrap().record.value;
        assert_eq!(left.as_deref(), (!is_refused_meanwhile).then_some("newer"));
    }
}

#[test]
fn a_stale_one_serves_while_another_process_fetches_and_when_that_fails() {
    let folder = folder();
    let short = Duration::from_secs(4);
    let first = process(folder.path());
    assert_eq!(value(first.get(soon(), &fetched("old", short))), "old");
    // Half of its life is its margin.
    wait_until_stale(&first);
    let other = process(folder.path());
    let fetch = |_: Instant| {
        assert_eq!(value(other.get(soon(), &never)), "old");
        Err(refusal(-1))
    };
    assert_eq!(value(first.get(soon(), &fetch)), "old");
    assert_eq!(value(process(folder.path()).get(soon(), &never)), "old");
}

fn wait_until_stale(shared: &Shared) {
    while shared.read().unwrap().unwrap().fresh().is_some() {
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn after_a_refusal_nobody_asks_for_a_while_but_a_person() {
    let folder = folder();
    let error = process(folder.path()).get(soon(), &refused(40125)).unwrap_err();
    assert_eq!(error.errcode(), Some(40125));
    let Err(ApiError::CoolingDown { words, remaining }) = process(folder.path()).get(soon(), &never) else {
        panic!("not cooling down");
    };
    assert!(words.contains("40125") && words.contains("AppSecret"), "{words}");
    assert!(remaining <= COOL_DOWN && remaining > COOL_DOWN / 2);
    assert_eq!(value(process(folder.path()).refresh(soon(), &fetched("new", LIFE))), "new");
    assert_eq!(value(process(folder.path()).get(soon(), &never)), "new");
}

#[test]
fn trouble_on_the_way_is_waited_for_less_long() {
    let folder = folder();
    process(folder.path()).get(soon(), &refused(-1)).unwrap_err();
    let Err(ApiError::CoolingDown { remaining, .. }) = process(folder.path()).get(soon(), &never) else {
        panic!("not cooling down");
    };
    assert!(remaining <= SHORT_COOL_DOWN);
}

#[test]
fn only_the_one_that_was_refused_is_let_go() {
    let folder = folder();
    let (first, second) = (process(folder.path()), process(folder.path()));
    assert_eq!(value(first.get(soon(), &fetched("one", LIFE))), "one");
    assert_eq!(value(second.get(soon(), &never)), "one");
    let one = Secret::new("one");
    first.refuse(&one).unwrap();
    assert_eq!(value(first.get(soon(), &fetched("two", LIFE))), "two");
    // The second process still holds the first one; it looks into the store before it fetches.
    second.refuse(&one).unwrap();
    assert_eq!(value(second.get(soon(), &never)), "two");
    // And whoever comes late with an old refusal changes nothing.
    second.give_up(&one, &refusal(40001)).unwrap();
    assert_eq!(value(process(folder.path()).get(soon(), &never)), "two");
    second.give_up(&Secret::new("two"), &refusal(40001)).unwrap();
    let error = process(folder.path()).get(soon(), &never).unwrap_err();
    assert!(matches!(error, ApiError::CoolingDown { .. }), "{error}");
}

#[test]
fn a_store_that_is_away_takes_nothing_from_who_has_a_good_one() {
    let folder = folder();
    let shared = process(folder.path());
    assert_eq!(value(shared.get(soon(), &fetched("one", LIFE))), "one");
    std::fs::remove_dir_all(folder.path()).unwrap();
    std::fs::write(folder.path(), "no folder").unwrap();
    shared.memory().as_mut().unwrap().recheck = Instant::now();
    assert_eq!(value(shared.get(soon(), &never)), "one");
    // WeChat takes it up to its end.
    shared.memory().as_mut().unwrap().stale = Instant::now();
    assert_eq!(value(shared.get(soon(), &never)), "one");
    shared.memory().as_mut().unwrap().expires = Instant::now();
    assert!(matches!(shared.get(soon(), &never), Err(ApiError::Store(_))));
    // Nobody else fetches one for itself.
    let error = process(folder.path()).get(soon(), &never).unwrap_err();
    assert!(matches!(error, ApiError::Store(_)), "{error}");
    std::fs::remove_file(folder.path()).unwrap();
    std::fs::create_dir(folder.path()).unwrap();
}

#[test]
fn who_waits_in_vain_says_for_whom() {
    let folder = folder();
    let (first, second) = (process(folder.path()), process(folder.path()));
    let fetch = |_: Instant| {
        let error = second.get(Instant::now() + Duration::from_millis(50), &never).unwrap_err();
        assert!(
            error.to_string().contains("waited 0 s for another process to fetch the access_token"),
            "{error}"
        );
        Ok(Issued { value: Secret::new("one"), expires_in: LIFE })
    };
    assert_eq!(value(first.get(soon(), &fetch)), "one");
}

#[test]
fn nothing_shows_the_value() {
    let folder = folder();
    let shared = process(folder.path());
    let issued = shared.get(soon(), &fetched("hunter2", LIFE)).unwrap();
    assert!(!format!("{shared:?} {issued:?}").contains("hunter2"));
}

#[test]
fn who_comes_to_the_lease_after_a_refusal_does_not_ask_again() {
    let folder = folder();
    let shared = process(folder.path());
    // Between its look for a cool-down and its lease, another process was refused.
    process(folder.path()).get(soon(), &refused(40013)).unwrap_err();
    let error = shared.fetch(9, &never, Asked::ByNeed, soon()).unwrap_err();
    assert!(matches!(error, ApiError::CoolingDown { .. }), "{error}");
    assert_eq!(value(shared.fetch(9, &fetched("new", LIFE), Asked::ByPerson, soon())), "new");
}

#[test]
fn a_panic_gives_the_lease_back() {
    let folder = folder();
    let panicking = |_: Instant| panic!("on purpose");
    let shared = process(folder.path());
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| shared.get(soon(), &panicking)));
    assert!(caught.is_err());
    // Within less than the life of the lease.
    let until = Instant::now() + Duration::from_secs(1);
    assert_eq!(value(process(folder.path()).get(until, &fetched("one", LIFE))), "one");
}

#[test]
fn a_file_that_cannot_be_read_holds_nobody_up() {
    let folder = folder();
    let unreadable =
        |_: Instant| Err(ApiError::File { what: "cannot read", error: std::io::Error::other("no") });
    let error = process(folder.path()).get(soon(), &unreadable).unwrap_err();
    assert!(matches!(error, ApiError::File { .. }), "{error}");
    let until = Instant::now() + Duration::from_secs(1);
    assert_eq!(value(process(folder.path()).get(until, &fetched("one", LIFE))), "one");
}

#[test]
fn a_life_beyond_all_clocks_is_a_long_one() {
    let folder = folder();
    let shared = process(folder.path());
    assert_eq!(value(shared.get(soon(), &fetched("one", Duration::MAX))), "one");
    assert_eq!(value(shared.get(soon(), &never)), "one");
    assert_eq!(value(process(folder.path()).get(soon(), &never)), "one");
}

#[test]
fn a_person_who_wants_a_new_one_does_not_get_the_old_one() {
    let folder = folder();
    assert_eq!(value(process(folder.path()).get(soon(), &fetched("old", LIFE))), "old");
    let error = process(folder.path()).refresh(soon(), &refused(40125)).unwrap_err();
    assert_eq!(error.errcode(), Some(40125));
    assert_eq!(value(process(folder.path()).get(soon(), &never)), "old");
}
