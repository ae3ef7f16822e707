//! What processes have left that died.

use super::*;
use crate::delivery::late::Right;
use crate::delivery::outbox::First;
use crate::store::Lease;

#[test]
fn an_api_that_is_slow_to_one_user_makes_no_other_wait() {
    let (office, pushes) = Stub::office(true);
    let (lets_push, waits) = channel::<()>();
    *office.lets_push.lock().unwrap() = Some(waits);
    leave_behind(&office, &order("dead", Late::Push), Way::Push);
    let desk = desk(&office);
    desk.look_after_others();
    while office.lets_push.try_lock().is_ok() {
        thread::yield_now();
    }
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
    office.fail_at(Some("look b"));
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
        while !matches!(others.look(&order.message).unwrap(), Some(Claim::Lost { .. })) {
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
fn who_dies_before_the_first_of_several_replies_is_answered_leaves_none_behind() {
    let (office, _pushes) = Stub::office(false);
    let (desk, order) = (desk(&office), order("m", Late::Fetch));
    let store = office.shaky();
    store.claim("m", ME, Duration::from_millis(1), REPEATED_WITHIN).unwrap();
    while matches!(store.look(&order.message).unwrap(), Some(Claim::Running { .. })) {
        thread::yield_now();
    }
    prepare_rest(&*store, &order, &["2"], false);
    let (visitor, answers) = Caller::waiting(LONG);
    desk.attend(order, &visitor, handler("never").0);
    assert!(answers.recv_timeout(LONG).unwrap().contains("sorry"));
    assert_eq!(fetched(&desk, "ask"), None);
}

#[test]
fn what_follows_an_answer_stays_owed_where_its_process_has_died_before_it_could_tell() {
    let (office, _pushes) = Stub::office(true);
    let (desk, order) = (desk(&office), order("m", Late::Push));
    let store = office.shaky();
    store.claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
    // What a worker does until it is killed, just before it tells who was asked what it has decided.
    Owed::of(&*store, LONG).add(&order).unwrap();
    prepare_rest(&*store, &order, &["2", "3"], true);
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
        let store = office.shaky();
        if may_push {
            Owed::of(&*store, LONG).add(&order).unwrap();
        }
        prepare_rest(&*store, &order, &["2"], may_push);
        drop(worker);
        assert!(answers.recv_timeout(LONG).unwrap().contains("sorry"));
        let began = Instant::now();
        while !matches!(store.look(&order.message).unwrap(), Some(Claim::Answered { .. })) {
            assert!(began.elapsed() < LONG);
            thread::yield_now();
        }
        desk.look_after_late().unwrap();
        assert!(pushes.try_recv().is_err());
        assert_eq!(Outbox::of(&*store, "o1", LONG).pieces("m").unwrap(), None, "{late:?}");
    }
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
fn a_trace_outlives_that_others_begin_to_push_nothing() {
    let (office, _) = Stub::office(true);
    let store = office.shaky();
    let outbox = Outbox::of(&*store, "o1", LONG);
    outbox.set("m", &[Reply::text("a")]).unwrap();
    assert!(matches!(outbox.take("x", 1).unwrap(), First::Piece(_)));
    assert_eq!(outbox.pieces("m").unwrap().map(|pieces| pieces.len()), Some(0));
    // It dies after this.
    assert!(outbox.begin_push("m", Some(&[Reply::text("sorry")])).unwrap().is_empty());
    assert_eq!(outbox.pieces("m").unwrap().map(|pieces| pieces.len()), Some(0));
}

#[test]
fn who_stood_still_while_others_pushed_the_rest_in_his_place_pushes_no_more() {
    let (office, pushes) = Stub::office(true);
    let (lets_push, waits) = channel::<()>();
    *office.lets_push.lock().unwrap() = Some(waits);
    let (desk, order, store) = (desk(&office), order("m", Late::Push), office.shaky());
    leave_behind(&office, &order, Way::Push);
    let outbox = Outbox::of(&*store, "o1", LONG);
    outbox.set_pushed("m", &[Reply::text("1"), Reply::text("2")]).unwrap();
    let lease = crate::delivery::rescue::lease_of(&order);
    let Lease::Held { generation } = store.lease(&lease, ME, LONG).unwrap() else { panic!("it is free") };
    let right = Right::Lease(ME, generation);
    thread::scope(|scope| {
        let pushing = scope.spawn(|| desk.take_over(&*store, &order, right));
        while office.lets_push.try_lock().is_ok() {
            assert!(!pushing.is_finished());
            thread::yield_now();
        }
        // It stands still for so long that its lease ends; others take it, push all, and give it back.
        store.release(&lease, ME).unwrap();
        let other = Holder([8; 16]);
        assert!(matches!(store.lease(&lease, other, LONG).unwrap(), Lease::Held { .. }));
        let paid = Decision { is_owed: false, ..Decision::of(&*store, "m").unwrap().unwrap() };
        paid.amend(&*store, "m").unwrap();
        outbox.end_push("m").unwrap();
        Owed::of(&*store, LONG).remove(&order).unwrap();
        store.release(&lease, other).unwrap();
        drop(lets_push);
        pushing.join().unwrap().unwrap();
    });
    assert_eq!(pushes.try_iter().collect::<Vec<_>>(), ["o1: 1"]);
}

#[test]
fn who_pushes_in_the_place_of_the_dead_goes_on_where_the_store_has_forgotten_all() {
    let (office, pushes) = Stub::office(true);
    let (lets_push, waits) = channel::<()>();
    *office.lets_push.lock().unwrap() = Some(waits);
    let (desk, order) = (desk(&office), order("m", Late::Push));
    leave_behind(&office, &order, Way::Push);
    let pieces = ["1", "2", "3"].map(Reply::text);
    Outbox::of(&*office.shaky(), "o1", LONG).set_pushed("m", &pieces).unwrap();
    thread::scope(|scope| {
        let pushing = scope.spawn(|| desk.look_after_late());
        while office.lets_push.try_lock().is_ok() {
            assert!(!pushing.is_finished());
            thread::yield_now();
        }
        office.forget_all();
        drop(lets_push);
        pushing.join().unwrap().unwrap();
    });
    desk.look_after_late().unwrap();
    assert_eq!(pushes.try_iter().collect::<Vec<_>>(), ["o1: 1", "o1: 2", "o1: 3"]);
}

#[test]
fn of_several_replies_none_comes_where_the_store_failed_when_their_process_was_found_dead() {
    let (office, _pushes) = Stub::office(false);
    let (desk, order) = (desk(&office), order("m", Late::Fetch));
    let store = office.shaky();
    store.claim("m", ME, Duration::from_millis(1), REPEATED_WITHIN).unwrap();
    lose(&*store, &order);
    // What it did until it was killed, just before it decided.
    prepare_rest(&*store, &order, &["2"], false);
    office.fail_at(Some("outbox/"));
    let (visitor, answers) = Caller::waiting(LONG);
    desk.attend(order.clone(), &visitor, handler("never").0);
    assert!(answers.recv_timeout(LONG).unwrap().contains("sorry"));
    office.fail_at(None);
    // WeChat did not hear it.
    let (visitor, answers) = Caller::waiting(LONG);
    desk.attend(order, &visitor, handler("never").0);
    assert!(answers.recv_timeout(LONG).unwrap().contains("sorry"));
    assert_eq!(fetched(&desk, "ask"), None);
}

#[test]
fn of_several_replies_none_comes_where_their_process_has_died_with_the_last_attempt() {
    for (late, may_push) in [(Late::Push, true), (Late::Fetch, false)] {
        let (office, pushes) = Stub::office(may_push);
        let desk = desk(&office);
        // WeChat asks no more for it.
        let order = Order { time: seconds_since(0) - 60, ..order("m", late) };
        let store = office.shaky();
        store.claim("m", ME, Duration::from_millis(1), REPEATED_WITHIN).unwrap();
        lose(&*store, &order);
        // What it did until it was killed, just before it decided.
        if may_push {
            Owed::of(&*store, LONG).add(&order).unwrap();
        }
        prepare_rest(&*store, &order, &["2"], may_push);
        desk.look_after_late().unwrap();
        assert_ne!(pushes.try_recv().as_deref(), Ok("o1: 2"));
        if may_push {
            // It waits in the outbox still, and is fetched when nobody seems to push it any more.
            assert_eq!(Outbox::of(&*store, "o1", LONG).pieces("m").unwrap(), None, "{late:?}");
            assert!(Owed::of(&*store, LONG).orders().unwrap().is_empty());
        } else {
            assert_ne!(fetched(&desk, "ask").as_deref(), Some("2"), "{late:?}");
        }
    }
}
