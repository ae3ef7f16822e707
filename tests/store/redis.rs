//! A Redis that goes down, comes back, is slow, full or starting: nothing hangs, and nothing acknowledged is lost.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::log::logged;
use super::server::{RedisServer, store_at};
use crate::support::{PATIENCE, available, free_port, wait_until};
use wxcgi::store::{Claim, Holder, Lease, Store, StoreError};

const LONG: Duration = Duration::from_secs(3600);
const TIMEOUT: Duration = Duration::from_millis(200);
/// What many calls that each waited would take much longer than.
const NO_HANG: Duration = Duration::from_secs(10);

fn holder(number: u64) -> Holder {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Holder(bytes)
}

/// The error of a call that cannot succeed.
#[track_caller]
fn told<T: std::fmt::Debug>(called: Result<T, StoreError>) -> String {
    called.expect_err("the store cannot be asked").to_string()
}

/// A thousand calls, of which not each waits.
#[track_caller]
fn nothing_hangs(store: &dyn Store, cause: &str) {
    let start = Instant::now();
    for _ in 0..1000 {
        let told = told(store.get("key"));
        assert!(told.contains(cause), "{told}");
    }
    assert!(start.elapsed() < NO_HANG, "{:?}", start.elapsed());
}

#[test]
fn a_redis_that_is_gone_is_named_and_the_way_back_is_found() {
    if !available("redis-server") {
        return;
    }
    let mut server = RedisServer::durable();
    let store = store_at(&server.url(), PATIENCE, "shop");
    store.put("key", b"kept", LONG).unwrap();
    assert_eq!(store.claim("1", holder(1), LONG, LONG).unwrap(), Claim::Yours);
    server.kill();
    let down = store_at(&server.url(), PATIENCE, "shop");
    nothing_hangs(&*down, "is not there; is it running, and is its address right?");
    assert!(told(down.get("key")).contains(&format!("`{}`", server.url())));
    server.start_again();
    // The connection that was open is dead; nobody notices.
    assert_eq!(store.claim("1", holder(1), LONG, LONG).unwrap(), Claim::Yours);
    assert_eq!(store.get("key").unwrap().unwrap().bytes, b"kept");
    wait_until("it is tried again", || down.get("key").is_ok());
    for step in 0..3 {
        server.kill();
        server.start_again();
        // Steps that must not be done twice find the way back as well.
        match step {
            0 => assert_eq!(store.count("count", 5, LONG).unwrap(), Some(1)),
            1 => store.put("key", b"changed", LONG).unwrap(),
            _ => assert!(store.put_if("new", None, b"value", LONG).unwrap()),
        }
    }
}

#[test]
fn a_redis_that_says_nothing_does_not_hold_us_up() {
    if !available("redis-server") {
        return;
    }
    let server = RedisServer::start(&[]);
    let store = store_at(&server.url(), TIMEOUT, "shop");
    wait_until("it is quick enough", || store.put("key", b"value", LONG).is_ok());
    server.signal(Signal::STOP);
    nothing_hangs(&*store, "did not answer within 200ms");
    let new = store_at(&server.url(), TIMEOUT, "shop");
    nothing_hangs(&*new, "did not answer within 200ms");
    // Threads that call at once wait at the same time, not one after the other.
    let start = Instant::now();
    let many = store_at(&server.url(), TIMEOUT, "shop");
    thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| told(many.get("key")));
        }
    });
    assert!(start.elapsed() < NO_HANG, "{:?}", start.elapsed());
    server.signal(Signal::CONT);
    wait_until("it is tried again", || store.get("key").is_ok_and(|value| value.is_some()));
    wait_until("it is tried again", || new.get("key").is_ok_and(|value| value.is_some()));
}

#[test]
fn a_port_that_accepts_and_says_nothing_does_not_hold_us_up() {
    let port = free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    for scheme in ["redis", "rediss"] {
        let store = store_at(&format!("{scheme}://localhost:{port}/0"), TIMEOUT, "shop");
        nothing_hangs(&*store, "did not answer within 200ms");
    }
    drop(listener);
    // TEST-NET-1 (RFC 5737): nobody is there, and often nobody says so.
    let store = store_at("redis://192.0.2.1:6379/0", TIMEOUT, "shop");
    nothing_hangs(&*store, "redis://192.0.2.1:6379/0");
}

#[test]
fn a_late_answer_is_not_taken_for_the_next_one() {
    if !available("redis-server") {
        return;
    }
    let server = RedisServer::start(&[]);
    let store = store_at(&server.url(), TIMEOUT, "shop");
    for (key, value) in [("a", b"of a"), ("b", b"of b")] {
        wait_until("it is quick enough", || store.put(key, value, LONG).is_ok());
    }
    for _ in 0..5 {
        server.signal(Signal::STOP);
        told(store.get("a"));
        server.signal(Signal::CONT);
        let mut value = None;
        wait_until("it is tried again", || {
            value = store.get("b").ok();
            value.is_some()
        });
        assert_eq!(value.flatten().unwrap().bytes, b"of b");
    }
}

#[test]
fn a_full_redis_says_so_and_still_tells_what_it_has() {
    if !available("redis-server") {
        return;
    }
    let server = RedisServer::start(&["--maxmemory", "3mb", "--maxmemory-policy", "noeviction"]);
    let store = server.store("shop");
    store.put("first", b"kept", LONG).unwrap();
    let filler = vec![b'x'; 64 << 10];
    let refused = (0..200).find_map(|number| store.put(&format!("filler {number}"), &filler, LONG).err());
    let refused = refused.expect("3 MB are full at some time").to_string();
    assert!(refused.contains("is full; raise its `maxmemory`"), "{refused}");
    // Now for small things, too.
    assert_eq!(server.says("CONFIG SET maxmemory 2mb").as_deref(), Some("+OK"));
    assert!(told(store.count("count", 5, LONG)).contains("is full"));
    assert!(told(store.claim("1", holder(1), LONG, LONG)).contains("is full"));
    assert!(told(store.lease("lease", holder(1), LONG)).contains("is full"));
    assert_eq!(store.get("first").unwrap().unwrap().bytes, b"kept");
    assert_eq!(server.says("CONFIG SET maxmemory 100mb").as_deref(), Some("+OK"));
    // Nothing was done by halves.
    assert_eq!(store.claim("1", holder(2), LONG, LONG).unwrap(), Claim::Yours);
    assert_eq!(store.count("count", 5, LONG).unwrap(), Some(1));
    assert!(matches!(store.lease("lease", holder(2), LONG).unwrap(), Lease::Held { .. }));
}

#[test]
fn a_password_and_a_database_are_used_and_never_told() {
    if !available("redis-server") {
        return;
    }
    let server = RedisServer::start(&["--requirepass", "p#ss/w:rd", "--databases", "4"]);
    let port = server.url();
    let host = port.trim_start_matches("redis://").trim_end_matches("/0");
    let with = |user: &str| store_at(&format!("redis://{user}@{host}/3"), PATIENCE, "shop");
    let store = with(":p%23ss%2Fw%3Ard");
    store.put("key", b"value", LONG).unwrap();
    let socket = server.socket();
    let by_socket =
        store_at(&format!("unix://{}?db=3&pass=p%23ss%2Fw%3Ard", socket.display()), PATIENCE, "shop");
    assert_eq!(by_socket.get("key").unwrap().unwrap().bytes, b"value");
    let shown = format!("{store:?} {by_socket:?}");
    assert!(!shown.contains("w%3Ard") && !shown.contains("w:rd"), "{shown}");
    for store in [store_at(&server.url(), PATIENCE, "shop"), with(":wrong"), with("nobody:wrong")] {
        let told = told(store.get("key"));
        assert!(told.contains("write its password into the URL"), "{told}");
        assert!(!told.contains("wrong") && !told.contains("nobody"), "{told}");
    }
}

#[test]
fn a_redis_that_starts_is_waited_for_by_nobody() {
    if !available("redis-server") {
        return;
    }
    // A tenth of a second for each key that it reads.
    let mut server = RedisServer::start(&[
        "--rdbcompression",
        "no",
        "--key-load-delay",
        "100000",
        "--loading-process-events-interval-bytes",
        "1024",
    ]);
    for number in 0..20 {
        server.store("shop").put(&number.to_string(), &[b'x'; 2048], LONG).unwrap();
    }
    assert_eq!(server.says("SAVE").as_deref(), Some("+OK"));
    server.kill();
    server.start_without_waiting();
    wait_until("it reads its data", || server.says("PING").is_some_and(|line| line.starts_with("-LOADING")));
    let store = server.store("shop");
    let told = told(store.get("0"));
    assert!(told.contains("still reading its data"), "{told}");
    wait_until("it has read them", || store.get("0").is_ok_and(|value| value.is_some()));
}

#[test]
fn a_redis_that_may_evict_is_warned_of_once() {
    if !available("redis-server") {
        return;
    }
    let warned = |options: &[&str]| {
        let server = RedisServer::start(options);
        let store = server.store("shop");
        for _ in 0..3 {
            store.put("key", b"value", LONG).unwrap();
        }
        logged(&format!("`{}`", server.url()))
    };
    let lru = ["--maxmemory", "50mb", "--maxmemory-policy", "volatile-lru"];
    let lines = warned(&lru);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("volatile-lru") && lines[0].contains("set `maxmemory-policy noeviction`"));
    assert_eq!(warned(&["--maxmemory", "50mb"]), [] as [String; 0]);
    assert_eq!(warned(&["--maxmemory-policy", "allkeys-lru"]), [] as [String; 0]);
    assert_eq!(warned(&[&lru[..], &["--rename-command", "CONFIG", ""]].concat()), [] as [String; 0]);
}

/// The rights that the README gives the user.
#[test]
fn a_user_with_few_rights_does() {
    if !available("redis-server") {
        return;
    }
    let server = RedisServer::start(&[]);
    let host = server.url().replace("redis://", "").replace("/0", "");
    let rights = "~wxcgi:* +@read +@write +@scripting +@fast";
    assert_eq!(server.says(&format!("ACL SETUSER wxcgi on >secret {rights}")).as_deref(), Some("+OK"));
    let store = store_at(&format!("redis://wxcgi:secret@{host}/0"), PATIENCE, "shop");
    store.put("key", b"value", LONG).unwrap();
    assert_eq!(store.claim("1", holder(1), LONG, LONG).unwrap(), Claim::Yours);
    assert_eq!(store.count("count", 5, LONG).unwrap(), Some(1));
    assert!(store.put_if("new", None, b"value", LONG).unwrap());
    assert_eq!(logged(&host), [] as [String; 0]);
    assert_eq!(server.says("ACL SETUSER wxcgi -@scripting").as_deref(), Some("+OK"));
    let told = told(store.get("key"));
    assert!(told.contains("does not allow us what we need"), "{told}");
}

#[test]
fn a_replica_and_a_foreign_key_are_explained() {
    if !available("redis-server") {
        return;
    }
    let server = RedisServer::start(&[]);
    let store = server.store("shop");
    store.put("key", b"value", LONG).unwrap();
    assert_eq!(server.says("SET wxcgi:{shop}:value:odd other").as_deref(), Some("+OK"));
    assert!(told(store.get("odd")).contains("that we did not write"));
    assert_eq!(server.says("LPUSH wxcgi:{shop}:count:odd 1").as_deref(), Some(":1"));
    assert!(told(store.count("odd", 1, LONG)).contains("that we did not write"));
    assert_eq!(server.says("REPLICAOF 127.0.0.1 1").as_deref(), Some("+OK"));
    let told = told(store.put("key", b"value", LONG));
    assert!(told.contains("name the primary in the URL"), "{told}");
}

/// Everything that was acknowledged is there after each crash, nothing is claimed twice, and no count passes its limit.
#[test]
fn what_was_acknowledged_survives_crashes() {
    const THREADS: u64 = 6;
    const LIMIT: u64 = 1_000_000;
    if !available("redis-server") {
        return;
    }
    let mut server = RedisServer::durable();
    let (url, is_over) = (server.url(), AtomicBool::new(false));
    let shared = store_at(&url, PATIENCE, "shop");
    let done: Vec<Done> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let (shared, is_over, url) = (&*shared, &is_over, &url);
                scope.spawn(move || {
                    let own = store_at(url, PATIENCE, "shop");
                    let store = if number % 2 == 0 { shared } else { &*own };
                    let mut done = Done::default();
                    for message in 0.. {
                        if is_over.load(Ordering::Relaxed) {
                            break;
                        }
                        done.handle(store, number, message, LIMIT);
                    }
                    done
                })
            })
            .collect();
        for round in 0..4 {
            let before = server.says("DBSIZE");
            wait_until("some more is done", || server.says("DBSIZE") != before);
            thread::sleep(Duration::from_millis(37 * round));
            server.kill();
            server.start_again();
        }
        is_over.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let store = server.store("shop");
    let mut claimed: Vec<u64> = done.iter().flat_map(|done| done.claimed.clone()).collect();
    claimed.sort_unstable();
    assert!(claimed.len() > 20, "{}", claimed.len());
    assert!(claimed.windows(2).all(|two| two[0] != two[1]), "claimed twice");
    for (message, answer) in done.iter().flat_map(|done| &done.finished) {
        let claim = store.claim(&message.to_string(), holder(u64::MAX), LONG, LONG).unwrap();
        assert!(
            matches!(&claim, Claim::Answered { answer: kept, .. } if kept == answer),
            "{message}: {claim:?}"
        );
    }
    // A count whose answer was lost may be there or not.
    let (counted, unsure) =
        done.iter().fold((0, 0), |(counted, unsure), done| (counted + done.counted, unsure + done.unsure));
    let next = store.count("count", LIMIT, LONG).unwrap().unwrap();
    assert!((counted + 1..=counted + unsure + 1).contains(&next), "{counted} {unsure} {next}");
}

/// What one thread knows to be done.
#[derive(Debug, Default)]
struct Done {
    claimed: Vec<u64>,
    finished: Vec<(u64, Vec<u8>)>,
    counted: u64,
    unsure: u64,
}

impl Done {
    fn handle(&mut self, store: &dyn Store, number: u64, message: u64, limit: u64) {
        let (name, holder) = (message.to_string(), holder(number * 1_000_000 + message));
        if !matches!(store.claim(&name, holder, LONG, LONG), Ok(Claim::Yours)) {
            return;
        }
        self.claimed.push(message);
        let answer = format!("{number} {message}").into_bytes();
        if store.finish(&name, holder, &answer, LONG).is_ok_and(|is_written| is_written) {
            self.finished.push((message, answer));
        }
        match store.count("count", limit, LONG) {
            Ok(Some(_)) => self.counted += 1,
            Ok(None) => {}
            Err(_) => self.unsure += 1,
        }
    }
}
