//! What every store does.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use super::subject::{Subject, Time};
use crate::support::available;
use wxcgi::store::{Claim, Holder, Lease, Store, Version};

/// A test for each kind of store.
macro_rules! for_every_store {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[test] fn $name() { super::$name(&super::Subject::sqlite()); })*
        }
        mod redis {
            $(#[test] fn $name() {
                if super::available("redis-server") {
                    super::$name(&super::Subject::redis());
                }
            })*
        }
        mod sqlite_without_log {
            $(#[test] fn $name() { super::$name(&super::Subject::sqlite_without_log()); })*
        }
    };
}

for_every_store! {
    what_is_put_is_there_until_its_life_ends
    a_value_is_changed_only_by_who_has_seen_it
    accounts_do_not_see_each_other
    any_bytes_and_any_key_are_kept_as_they_are
    a_lease_has_one_holder_and_each_a_higher_generation
    of_many_who_claim_at_once_one_answers
    a_claim_whose_life_ended_is_lost_for_everyone
    who_only_looks_takes_no_claim_and_is_no_attempt
    a_claim_lives_as_long_as_it_is_renewed
    an_answer_is_written_once_and_kept_for_all
    a_count_never_passes_its_limit
    a_value_changed_by_many_at_once_loses_no_change
    lives_may_be_of_any_length
}

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(30);

fn holder(number: u8) -> Holder {
    Holder([number; 16])
}

/// What each of many threads, each with a store of its own or with the same one, gets from `ask` at the same time.
fn all_at_once<T: Send>(subject: &Subject, ask: impl Fn(&dyn Store, u8) -> T + Sync) -> Vec<T> {
    const THREADS: u8 = 16;
    let (shared, start, time) = (subject.open("shop"), Barrier::new(THREADS.into()), Time::of_this_thread());
    let ask_as = |number: u8| {
        time.hold_in_this_thread();
        let own = number.is_multiple_of(2).then(|| subject.open("shop"));
        start.wait();
        ask(own.as_deref().unwrap_or(&*shared), number)
    };
    thread::scope(|scope| {
        let ask_as = &ask_as;
        let threads: Vec<_> = (0..THREADS).map(|number| scope.spawn(move || ask_as(number))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

fn what_is_put_is_there_until_its_life_ends(subject: &Subject) {
    let store = subject.open("shop");
    assert_eq!(store.get("access_token").unwrap(), None);
    store.put("access_token", b"first", LONG).unwrap();
    store.put("cool-down", b"", SHORT).unwrap();
    let first = store.get("access_token").unwrap().unwrap();
    assert_eq!(first.bytes, b"first");
    assert!(first.remaining <= LONG && first.remaining > LONG / 2, "{:?}", first.remaining);
    store.put("access_token", b"second", LONG).unwrap();
    let second = subject.open("shop").get("access_token").unwrap().unwrap();
    assert_eq!(second.bytes, b"second");
    assert!(second.version.0 > first.version.0);
    subject.pass(SHORT);
    assert_eq!(store.get("cool-down").unwrap(), None);
    assert!(store.get("access_token").unwrap().is_some());
}

fn a_value_is_changed_only_by_who_has_seen_it(subject: &Subject) {
    let store = subject.open("shop");
    let version = || store.get("session").unwrap().unwrap().version;
    assert!(!store.put_if("session", Some(Version(0)), b"x", LONG).unwrap());
    assert_eq!(store.get("session").unwrap(), None);
    assert!(store.put_if("session", None, b"step 1", LONG).unwrap());
    let first = version();
    assert!(!store.put_if("session", None, b"x", LONG).unwrap());
    assert!(store.put_if("session", Some(first), b"step 2", LONG).unwrap());
    assert!(!store.put_if("session", Some(first), b"x", LONG).unwrap());
    assert!(!store.remove_if("session", first).unwrap());
    assert_eq!(store.get("session").unwrap().unwrap().bytes, b"step 2");
    let second = version();
    assert!(store.remove_if("session", second).unwrap());
    assert!(!store.remove_if("session", second).unwrap());
    // What comes after it is no earlier version, nor is what comes after its end.
    assert!(store.put_if("session", None, b"step 1", LONG).unwrap());
    let third = version();
    assert!(third.0 > second.0 && second.0 > first.0);
    assert!(store.put_if("session", Some(third), b"step 2", SHORT).unwrap());
    subject.pass(SHORT);
    assert!(!store.remove_if("session", third).unwrap());
    assert!(store.put_if("session", None, b"step 1", LONG).unwrap());
    assert!(version().0 > third.0 + 1);
    assert!(!store.put_if("session", Some(third), b"x", LONG).unwrap());
}

fn accounts_do_not_see_each_other(subject: &Subject) {
    let (shop, blog) = (subject.open("shop"), subject.open("blog"));
    shop.put("key", b"shop", LONG).unwrap();
    assert_eq!(blog.get("key").unwrap(), None);
    blog.put("key", b"blog", LONG).unwrap();
    assert_eq!(shop.get("key").unwrap().unwrap().bytes, b"shop");
    for store in [&shop, &blog] {
        assert_eq!(store.claim("message", holder(1), LONG, LONG).unwrap(), Claim::Yours);
        assert!(matches!(store.lease("lease", holder(1), LONG).unwrap(), Lease::Held { .. }));
        assert_eq!(store.count("count", 1, LONG).unwrap(), Some(1));
    }
}

fn any_bytes_and_any_key_are_kept_as_they_are(subject: &Subject) {
    let store = subject.open("wx:{0}%\u{0}账号");
    let all: Vec<u8> = (0..=255).collect();
    let large = vec![b' '; 1 << 20];
    for (number, bytes) in [&all[..], b"", b" 7 ", b"\0", b"17 ", &large].into_iter().enumerate() {
        for key in ["a", "a:b", "{a}", "a\0b", "", "键 *?[", "a b\r\n"] {
            store.put(key, bytes, LONG).unwrap();
            assert_eq!(store.get(key).unwrap().unwrap().bytes, bytes, "{key:?}");
            let message = format!("{key}{number}");
            assert_eq!(store.claim(&message, holder(0), LONG, LONG).unwrap(), Claim::Yours);
            assert!(store.finish(&message, holder(0), bytes, LONG).unwrap());
            let again = store.claim(&message, holder(1), LONG, LONG).unwrap();
            assert_eq!(again, Claim::Answered { answer: bytes.to_vec(), attempt: 2 });
        }
    }
}

fn a_lease_has_one_holder_and_each_a_higher_generation(subject: &Subject) {
    let store = subject.open("shop");
    let held = |number, life| match store.lease("token", holder(number), life).unwrap() {
        Lease::Held { generation } => generation,
        busy @ Lease::Busy { .. } => panic!("{busy:?}"),
    };
    let first = held(1, LONG);
    assert_eq!(held(1, LONG), first);
    match store.lease("token", holder(2), LONG).unwrap() {
        Lease::Busy { remaining } => assert!(remaining <= LONG && remaining > LONG / 2, "{remaining:?}"),
        held @ Lease::Held { .. } => panic!("{held:?}"),
    }
    store.release("token", holder(2)).unwrap();
    assert!(matches!(store.lease("token", holder(2), LONG).unwrap(), Lease::Busy { .. }));
    store.release("token", holder(1)).unwrap();
    let second = held(2, SHORT);
    subject.pass(SHORT);
    let third = held(1, SHORT);
    assert!(first < second && second < third, "{first} {second} {third}");
    // Nobody had it meanwhile, which its holder cannot know.
    subject.pass(SHORT);
    assert!(held(1, LONG) > third);
    let taken = all_at_once(subject, |store, number| {
        let mut generations = Vec::new();
        for _ in 0..20 {
            if let Lease::Held { generation } = store.lease("other", holder(number), LONG).unwrap() {
                generations.push(generation);
                store.release("other", holder(number)).unwrap();
            }
        }
        generations
    });
    let all: Vec<u64> = taken.into_iter().flatten().collect();
    assert!(!all.is_empty() && all.iter().collect::<BTreeSet<_>>().len() == all.len(), "{all:?}");
}

fn of_many_who_claim_at_once_one_answers(subject: &Subject) {
    for message in ["1", "2", "3", "4", "5"] {
        let claims =
            all_at_once(subject, |store, number| store.claim(message, holder(number), LONG, LONG).unwrap());
        assert_eq!(claims.iter().filter(|claim| **claim == Claim::Yours).count(), 1, "{claims:?}");
        let mut attempts: Vec<_> = claims
            .iter()
            .filter_map(|claim| if let Claim::Running { attempt } = claim { Some(*attempt) } else { None })
            .collect();
        attempts.sort_unstable();
        assert_eq!(attempts, (2..=16).collect::<Vec<u64>>());
    }
}

fn a_claim_whose_life_ended_is_lost_for_everyone(subject: &Subject) {
    let store = subject.open("shop");
    assert_eq!(store.claim("1", holder(1), LONG, LONG).unwrap(), Claim::Yours);
    assert_eq!(store.claim("1", holder(1), LONG, LONG).unwrap(), Claim::Yours, "he asks twice");
    assert!(!store.renew("1", holder(2), LONG).unwrap());
    assert!(!store.finish("1", holder(2), b"answer", LONG).unwrap());
    assert_eq!(store.claim("1", holder(2), LONG, LONG).unwrap(), Claim::Running { attempt: 2 });
    assert!(store.renew("1", holder(1), SHORT).unwrap());
    subject.pass(SHORT);
    assert!(!store.renew("1", holder(1), LONG).unwrap());
    assert!(!store.finish("1", holder(1), b"answer", LONG).unwrap());
    assert_eq!(store.claim("1", holder(1), LONG, LONG).unwrap(), Claim::Lost { attempt: 3 });
    assert_eq!(store.claim("1", holder(3), LONG, LONG).unwrap(), Claim::Lost { attempt: 4 });
    assert!(!store.renew("1", holder(3), LONG).unwrap());
    assert!(!store.renew("never claimed", holder(1), LONG).unwrap());
    assert!(!store.finish("never claimed", holder(1), b"answer", LONG).unwrap());
}

fn who_only_looks_takes_no_claim_and_is_no_attempt(subject: &Subject) {
    let store = subject.open("shop");
    assert_eq!(store.look("1").unwrap(), None);
    assert_eq!(store.claim("1", holder(1), LONG, LONG).unwrap(), Claim::Yours);
    assert_eq!(store.look("1").unwrap(), Some(Claim::Running { attempt: 1 }));
    assert_eq!(store.claim("1", holder(2), LONG, LONG).unwrap(), Claim::Running { attempt: 2 });
    assert_eq!(store.look("1").unwrap(), Some(Claim::Running { attempt: 2 }));
    assert!(store.finish("1", holder(1), b"answer", LONG).unwrap());
    assert_eq!(store.look("1").unwrap(), Some(Claim::Answered { answer: b"answer".to_vec(), attempt: 2 }));
    assert_eq!(store.claim("2", holder(1), SHORT, LONG).unwrap(), Claim::Yours);
    subject.pass(SHORT);
    assert_eq!(store.look("2").unwrap(), Some(Claim::Lost { attempt: 1 }));
    assert_eq!(store.claim("3", holder(1), SHORT, SHORT).unwrap(), Claim::Yours);
    subject.pass(SHORT);
    assert_eq!(store.look("3").unwrap(), None);
}

fn a_claim_lives_as_long_as_it_is_renewed(subject: &Subject) {
    let store = subject.open("shop");
    // Kept for less than its life: it is kept as long as that.
    assert_eq!(store.claim("1", holder(1), LONG, SHORT).unwrap(), Claim::Yours);
    subject.pass(SHORT);
    assert_eq!(store.claim("1", holder(2), LONG, SHORT).unwrap(), Claim::Running { attempt: 2 });
    // On a busy machine it may come too late.
    let is_in_time = |message: &&str| {
        assert_eq!(store.claim(message, holder(1), SHORT, SHORT).unwrap(), Claim::Yours);
        store.renew(message, holder(1), LONG).unwrap()
    };
    let message = ["a", "b", "c", "d", "e", "f"].into_iter().find(is_in_time).expect("one in time");
    subject.pass(SHORT);
    assert_eq!(store.claim(message, holder(2), LONG, LONG).unwrap(), Claim::Running { attempt: 2 });
    // Forgotten, it may come anew.
    assert!(store.finish(message, holder(1), b"answer", SHORT).unwrap());
    subject.pass(SHORT);
    assert!(!store.finish(message, holder(1), b"answer", SHORT).unwrap());
    assert_eq!(store.claim(message, holder(3), LONG, LONG).unwrap(), Claim::Yours);
}

fn an_answer_is_written_once_and_kept_for_all(subject: &Subject) {
    let store = subject.open("shop");
    assert_eq!(store.claim("1", holder(1), LONG, LONG).unwrap(), Claim::Yours);
    assert!(store.finish("1", holder(1), b"answer", LONG).unwrap());
    assert!(store.finish("1", holder(1), b"answer", LONG).unwrap(), "the same once more");
    assert!(!store.finish("1", holder(1), b"another", LONG).unwrap());
    assert!(!store.finish("1", holder(2), b"answer", LONG).unwrap());
    assert!(!store.renew("1", holder(1), LONG).unwrap());
    for attempt in 2..5 {
        let claim = subject.open("shop").claim("1", holder(2), LONG, LONG).unwrap();
        assert_eq!(claim, Claim::Answered { answer: b"answer".to_vec(), attempt });
    }
    // Of one holder too many threads write one answer.
    assert_eq!(store.claim("2", holder(1), LONG, LONG).unwrap(), Claim::Yours);
    let written =
        all_at_once(subject, |store, number| store.finish("2", holder(1), &[number], LONG).unwrap());
    assert_eq!(written.iter().filter(|is_written| **is_written).count(), 1);
    let who = u8::try_from(written.iter().position(|is_written| *is_written).unwrap()).unwrap();
    let claim = store.claim("2", holder(2), LONG, LONG).unwrap();
    assert_eq!(claim, Claim::Answered { answer: vec![who], attempt: 2 });
}

fn a_count_never_passes_its_limit(subject: &Subject) {
    let store = subject.open("shop");
    assert_eq!(store.count("quota", 0, LONG).unwrap(), None);
    for expected in [Some(1), Some(2), None, None] {
        assert_eq!(store.count("quota", 2, LONG).unwrap(), expected);
    }
    assert_eq!(store.count("quota", 3, LONG).unwrap(), Some(3));
    assert_eq!(store.count("other", 1, SHORT).unwrap(), Some(1));
    subject.pass(SHORT);
    assert_eq!(store.count("other", 1, SHORT).unwrap(), Some(1));
    assert_eq!(store.count("all", u64::MAX, LONG).unwrap(), Some(1));
    let counted = all_at_once(subject, |store, _| [0; 20].map(|_| store.count("many", 100, LONG).unwrap()));
    let mut counted: Vec<u64> = counted.into_iter().flatten().flatten().collect();
    counted.sort_unstable();
    assert_eq!(counted, (1..=100).collect::<Vec<u64>>());
}

fn a_value_changed_by_many_at_once_loses_no_change(subject: &Subject) {
    all_at_once(subject, |store, number| {
        for _ in 0..10 {
            loop {
                let seen = store.get("session").unwrap();
                let mut bytes = seen.as_ref().map_or_else(Vec::new, |value| value.bytes.clone());
                bytes.push(number);
                if store.put_if("session", seen.map(|value| value.version), &bytes, LONG).unwrap() {
                    break;
                }
            }
        }
    });
    let mut all = subject.open("shop").get("session").unwrap().unwrap().bytes;
    all.sort_unstable();
    let expected: Vec<u8> = (0..16).flat_map(|number| [number; 10]).collect();
    assert_eq!(all, expected);
}

fn lives_may_be_of_any_length(subject: &Subject) {
    let store = subject.open("shop");
    store.put("eternal", b"a", Duration::MAX).unwrap();
    assert!(store.get("eternal").unwrap().unwrap().remaining > LONG);
    assert_eq!(store.claim("eternal", holder(1), Duration::MAX, Duration::MAX).unwrap(), Claim::Yours);
    assert_eq!(store.claim("eternal", holder(2), LONG, LONG).unwrap(), Claim::Running { attempt: 2 });
    assert!(matches!(store.lease("eternal", holder(1), Duration::MAX).unwrap(), Lease::Held { .. }));
    assert_eq!(store.count("eternal", 5, Duration::MAX).unwrap(), Some(1));
    for life in [Duration::ZERO, Duration::from_nanos(1)] {
        store.put("moment", b"a", life).unwrap();
        subject.pass(SHORT);
        assert_eq!(store.get("moment").unwrap(), None);
    }
}
