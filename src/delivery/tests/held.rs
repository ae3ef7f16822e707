//! Answers of which it is about to be known whether anybody has heard them.

use super::attend::stall;
use super::*;

/// A message that WeChat asks for no more.
fn past(message: &str, late: Late) -> Order {
    Order { time: seconds_since(0) - 60, ..order(message, late) }
}

/// An attempt that came when its message was sent.
fn past_caller() -> (Arc<dyn Visitor>, Receiver<String>) {
    let (answered, answers) = channel();
    let deadline = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
    (Arc::new(Caller { deadline, is_served: AtomicBool::new(false), answered }), answers)
}

/// As when what was decided was forgotten, since it was long ago.
fn forget_decision(store: &dyn Store, message: &str) {
    store.put(&format!("answer/{message}"), b"{}", Duration::from_millis(1)).unwrap();
    while store.get(&format!("answer/{message}")).unwrap().is_some() {
        thread::yield_now();
    }
}

/// Has a process finish a message that is killed as soon as it has decided: nothing is done any more that it asks for.
fn finish_and_die(office: &Stub, order: &Order, replies: &[&str]) {
    let (beside, _) = office.beside();
    beside.shaky().claim(&order.message, ME, Duration::from_millis(1), REPEATED_WITHIN).unwrap();
    let inside = Sqlite::new(office.folder.path().join("1.db"), Journal::Wal, LONG, "wx1");
    let is_decided = AtomicBool::new(false);
    *beside.store.lock().unwrap() = Arc::new(Hooked::new(inside, move |asked| {
        assert!(!is_decided.load(Ordering::Acquire), "killed");
        is_decided.fetch_or(asked.starts_with("put_if answer/"), Ordering::AcqRel);
        Ok(())
    }));
    let pieces = replies.iter().copied().map(Reply::text).collect();
    let dies = thread::spawn({
        let (desk, order) = (desk(&beside), order.clone());
        move || desk.finish(&order, ME, pieces)
    });
    assert!(dies.join().is_err());
    lose(&*office.shaky(), order);
}

#[test]
fn who_is_answered_while_he_is_just_being_held_has_nothing_to_wait_for_but_what_follows() {
    for (replies, follows) in [(["1"].as_slice(), None), (["1", "2"].as_slice(), Some("2"))] {
        let (office, _) = Stub::office(false);
        let (desk, order) = (desk(&office), Arc::new(past("m", Late::Hold)));
        office.shaky().claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
        let (visitor, answers) = past_caller();
        let (is_reached, let_go) = stall(&office, "get outbox/o1");
        thread::scope(|scope| {
            let giving_up = scope.spawn(|| desk.give_up(&order, &*visitor, false));
            is_reached.recv_timeout(LONG).unwrap();
            // It is in hand, and on the board until that is done.
            Board::add_visit(&desk, &order, &visitor, false);
            desk.finish(&order, ME, replies.iter().copied().map(Reply::text).collect());
            drop(let_go);
            giving_up.join().unwrap().unwrap();
        });
        assert!(answers.try_recv().unwrap().contains('1'));
        forget_decision(&*office.shaky(), "m");
        assert_eq!(fetched(&desk, "ask").as_deref(), follows);
    }
}

#[test]
fn who_asks_just_before_it_is_noted_that_nobody_has_heard_an_answer_gets_it_later() {
    let (office, _) = Stub::office(false);
    let (desk, order) = (desk(&office), past("m", Late::Hold));
    let store = office.shaky();
    store.claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
    Outbox::of(&*store, "o1", LONG).hold(&order).unwrap();
    let (is_reached, let_go) = stall(&office, "get outbox/o1");
    let others = self::desk(&office.beside().0);
    thread::scope(|scope| {
        let finishing = scope.spawn(|| desk.finish(&order, ME, vec![Reply::text("1")]));
        is_reached.recv_timeout(LONG).unwrap();
        let early = fetched(&others, "ask");
        drop(let_go);
        finishing.join().unwrap();
        assert!(early.is_some_and(|it| it.contains("还在想")));
    });
    assert_eq!(fetched(&desk, "ask again").as_deref(), Some("1"));
}

#[test]
fn what_follows_an_answer_is_fetched_long_after_its_process_was_killed() {
    for late in [Late::Fetch, Late::Hold] {
        let (office, _) = Stub::office(false);
        let (desk, order) = (desk(&office), past("m", late));
        let store = office.shaky();
        if late == Late::Hold {
            Outbox::of(&*store, "o1", LONG).hold(&order).unwrap();
        }
        finish_and_die(&office, &order, &["1", "2"]);
        let (visitor, answers) = Caller::waiting(LONG);
        desk.attend(order, &visitor, handler("never").0);
        assert!(answers.recv_timeout(LONG).unwrap().contains('1'));
        let life = store.get("answer/m").unwrap().unwrap().remaining;
        // What waits for its user is told from a failure by what was decided.
        if life <= REPEATED_WITHIN {
            forget_decision(&*store, "m");
        }
        assert_eq!(fetched(&desk, "ask").as_deref(), Some("2"), "{late:?}");
    }
}

#[test]
fn who_dies_before_he_has_noted_that_nobody_has_heard_an_answer_has_left_it() {
    for replies in [["1"].as_slice(), &["1", "2"]] {
        let (office, _) = Stub::office(false);
        let (desk, order) = (desk(&office), past("m", Late::Hold));
        Outbox::of(&*office.shaky(), "o1", LONG).hold(&order).unwrap();
        finish_and_die(&office, &order, replies);
        let said = fetched(&desk, "ask");
        assert!(said.as_deref().is_some_and(|it| it.starts_with('1')), "{said:?}");
    }
}

#[test]
fn what_is_noted_as_heard_too_slowly_for_its_attempt_is_fetched() {
    let (office, _) = Stub::office(false);
    let (desk, order) = (desk(&office), past("m", Late::Hold));
    let store = office.shaky();
    store.claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
    Outbox::of(&*store, "o1", LONG).hold(&order).unwrap();
    desk.finish(&order, ME, vec![Reply::text("1")]);
    let (visitor, answers) = Caller::waiting(LONG);
    let (is_reached, let_go) = stall(&office, "get outbox/o1");
    thread::scope(|scope| {
        let attending = scope.spawn(|| desk.attend(order.clone(), &visitor, handler("never").0));
        is_reached.recv_timeout(LONG).unwrap();
        // Its last moment.
        let failed = Decision::answered(order.failure());
        desk.refuse(&order, || visitor.serve(&failed).then_some(())).unwrap();
        drop(let_go);
        attending.join().unwrap();
    });
    assert!(answers.try_recv().unwrap().contains("sorry"));
    assert_eq!(fetched(&desk, "ask").as_deref(), Some("1"));
}

#[test]
fn what_was_heard_does_not_come_again_where_the_store_failed_once_when_that_was_noted() {
    let (office, _) = Stub::office(false);
    let (desk, order) = (desk(&office), past("m", Late::Hold));
    let store = office.shaky();
    store.claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
    Outbox::of(&*store, "o1", LONG).hold(&order).unwrap();
    desk.finish(&order, ME, ["1", "2"].map(Reply::text).to_vec());
    let inside = Sqlite::new(office.folder.path().join("1.db"), Journal::Wal, LONG, "wx1");
    let has_failed = AtomicBool::new(false);
    *office.store.lock().unwrap() = Arc::new(Hooked::new(inside, move |asked| {
        let fails = asked.starts_with("put_if outbox/") && !has_failed.swap(true, Ordering::AcqRel);
        if fails { Err(Hooked::refusal()) } else { Ok(()) }
    }));
    let (visitor, answers) = Caller::waiting(LONG);
    desk.attend(order, &visitor, handler("never").0);
    assert!(answers.recv_timeout(LONG).unwrap().contains('1'));
    assert_eq!(fetched(&desk, "ask").as_deref(), Some("2"));
}

#[test]
fn what_a_repeat_has_taken_is_not_put_back_for_an_attempt_that_took_nothing() {
    let (office, _) = Stub::office(false);
    let (desk, asks) = (desk(&office), order("ask", Late::Auto));
    Outbox::of(&*office.shaky(), "o1", LONG).set("m", &[Reply::text("late")]).unwrap();
    // The store is away for a moment, and WeChat does not hear what is said then.
    office.fail_at(Some("outbox/"));
    assert!(desk.fetch(&asks, 1, Instant::now() + LONG).is_err());
    office.fail_at(None);
    assert!(desk.fetch(&asks, 2, Instant::now() + LONG).unwrap().is_some());
    let began = Instant::now();
    while Outbox::of(&*office.shaky(), "o1", LONG).ready().unwrap() == 0 && began.elapsed() < 20 * SOON {
        thread::yield_now();
    }
    desk.confirm(&asks);
    assert_eq!(fetched(&desk, "ask again"), None);
}

#[test]
fn who_is_owed_something_undecided_is_told_also_where_nobody_looked_before_the_claim_was_forgotten() {
    for is_whole in [false, true] {
        let (office, pushes) = Stub::office(true);
        let (order, store) = (past("m", Late::Push), office.shaky());
        // What it did until the machine was off, just before it decided.
        Owed::of(&*store, LONG).add(&order).unwrap();
        if is_whole {
            // Its attempt was answered that it failed.
            let ours = Decision::given_up(order.failure(), Way::Push);
            Outbox::of(&*store, "o1", LONG).prepare(&order, &[Reply::text("late")], &ours).unwrap();
        }
        desk(&office).look_after_late().unwrap();
        let said = if is_whole { "o1: late" } else { "o1: sorry" };
        assert_eq!(pushes.try_iter().collect::<Vec<_>>(), [said]);
    }
}

#[test]
fn what_was_answered_as_failed_at_the_last_moment_waits_in_its_order_where_another_attempt_was_held() {
    for replies in [["1"].as_slice(), &["1", "2"]] {
        let (office, _) = Stub::office(false);
        let (desk, order) = (desk(&office), past("m", Late::Hold));
        let store = office.shaky();
        store.claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
        Outbox::of(&*store, "o1", LONG).hold(&order).unwrap();
        let visitor = super::late::refused(&desk, &order);
        Board::add_visit(&desk, &Arc::new(order.clone()), &visitor, false);
        desk.finish(&order, ME, replies.iter().copied().map(Reply::text).collect());
        let said = ["ask", "ask again", "ask at last"].map(|asks| fetched(&desk, asks));
        let said: Vec<_> = said.iter().flatten().map(|piece| &piece[..1]).collect();
        assert_eq!(said, replies);
    }
}

/// Each single step of the store fails once, before it is done or after.
#[test]
fn a_store_that_fails_once_at_any_step_loses_and_repeats_nothing_of_who_is_held() {
    for replies in [["1"].as_slice(), &["1", "2"]] {
        for (is_asked_again, at) in [false, true].into_iter().flat_map(|it| (0..40).map(move |at| (it, at))) {
            let (office, _) = Stub::office(false);
            let (desk, order) = (desk(&office), past("m", Late::Hold));
            office.shaky().claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
            Outbox::of(&*office.shaky(), "o1", LONG).hold(&order).unwrap();
            let sound = office.shaky();
            let inside = Sqlite::new(office.folder.path().join("1.db"), Journal::Wal, LONG, "wx1");
            let steps = Mutex::new(0);
            *office.store.lock().unwrap() = Arc::new(Hooked::new(inside, move |_| {
                let mut steps = steps.lock().unwrap();
                *steps += 1;
                if *steps == at + 1 { Err(Hooked::refusal()) } else { Ok(()) }
            }));
            desk.finish(&order, ME, replies.iter().copied().map(Reply::text).collect());
            let mut had = Vec::new();
            if is_asked_again {
                let (visitor, answers) = Caller::waiting(LONG);
                desk.attend(order.clone(), &visitor, handler("never").0);
                let answer = answers.recv_timeout(LONG).unwrap();
                assert!(answer.contains("CDATA[1"), "{at}: {answer}");
                had.push("1".to_owned());
            }
            *office.store.lock().unwrap() = sound;
            had.extend(
                ["ask", "ask again", "at last"]
                    .iter()
                    .filter_map(|asks| fetched(&desk, asks))
                    .map(|it| it[..1].to_owned()),
            );
            assert_eq!(had, replies, "asked again: {is_asked_again}, step {at}");
        }
    }
}

/// Has a process finish a message that is killed before its step of this number.
fn finish_until(office: &Stub, order: &Order, replies: &[&str], last: usize) {
    let (beside, _) = office.beside();
    let inside = Sqlite::new(office.folder.path().join("1.db"), Journal::Wal, LONG, "wx1");
    let steps = Mutex::new(0);
    *beside.store.lock().unwrap() = Arc::new(Hooked::new(inside, move |_| {
        let mut steps = steps.lock().unwrap_or_else(PoisonError::into_inner);
        *steps += 1;
        assert!(*steps <= last, "killed");
        Ok(())
    }));
    let pieces = replies.iter().copied().map(Reply::text).collect();
    let (desk, order) = (desk(&beside), order.clone());
    let _ = thread::spawn(move || desk.finish(&order, ME, pieces)).join();
}

#[test]
fn who_is_killed_at_any_step_leaves_an_answer_or_a_failure() {
    for (late, is_held, is_given_up) in
        [(Late::Hold, true, false), (Late::Fetch, false, false), (Late::Fetch, false, true)]
    {
        for replies in [["1"].as_slice(), &["1", "2"]] {
            for (is_asked_again, last) in
                [false, true].into_iter().flat_map(|it| (0..24).map(move |at| (it, at)))
            {
                let (office, _) = Stub::office(false);
                let (desk, order) = (desk(&office), past("m", late));
                let store = office.shaky();
                store.claim("m", ME, Duration::from_millis(1), REPEATED_WITHIN).unwrap();
                let outbox = Outbox::of(&*store, "o1", LONG);
                if is_held {
                    outbox.hold(&order).unwrap();
                }
                if is_given_up {
                    outbox.promise(&order).unwrap();
                    let waiting = order.answer(Some(&Reply::text("W")));
                    Decision::given_up(waiting, Way::Fetch).decide(&*store, "m").unwrap();
                }
                finish_until(&office, &order, replies, last);
                let began = Instant::now();
                while matches!(store.look("m").unwrap(), Some(Claim::Running { .. }))
                    && began.elapsed() < LONG
                {
                    thread::yield_now();
                }
                let mut had = Vec::new();
                if is_asked_again || late == Late::Fetch && !is_given_up {
                    let (visitor, answers) = Caller::waiting(LONG);
                    desk.attend(order.clone(), &visitor, handler("never").0);
                    let answer = answers.recv_timeout(LONG).unwrap();
                    let (_, answer) = answer.split_once("<Content><![CDATA[").unwrap();
                    had.push(answer[..1].to_owned());
                }
                had.retain(|it| it != "W");
                let asked = ["ask", "ask again", "at last"];
                had.extend(asked.iter().filter_map(|asks| fetched(&desk, asks)).map(|it| it[..1].to_owned()));
                assert!(
                    had == replies || had == ["s"],
                    "{had:?} {late:?}, given up: {is_given_up}, {replies:?}, asked again: {is_asked_again}, step {last}"
                );
            }
        }
    }
}

#[test]
fn who_is_killed_at_any_step_of_a_push_leaves_an_answer_or_a_failure() {
    for (is_given_up, is_forgotten) in [(true, false), (false, false), (true, true), (false, true)] {
        for last in 0..40 {
            let (office, pushes) = Stub::office(true);
            let (desk, order) = (desk(&office), past("m", Late::Push));
            let store = office.shaky();
            store.claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
            if is_given_up {
                Owed::of(&*store, LONG).add(&order).unwrap();
                Decision::given_up(order.answer(None), Way::Push).decide(&*store, "m").unwrap();
            }
            let (beside, their_pushes) = office.beside();
            let inside = Sqlite::new(office.folder.path().join("1.db"), Journal::Wal, LONG, "wx1");
            let steps = Mutex::new(0);
            *beside.store.lock().unwrap() = Arc::new(Hooked::new(inside, move |_| {
                let mut steps = steps.lock().unwrap_or_else(PoisonError::into_inner);
                *steps += 1;
                assert!(*steps <= last, "killed");
                Ok(())
            }));
            let (theirs, at_work) = (self::desk(&beside), order.clone());
            let (visitor, answers) = Caller::waiting(LONG);
            if !is_given_up {
                Board::add_visit(&theirs, &Arc::new(order.clone()), &visitor, false);
            }
            let _ = thread::spawn(move || theirs.finish(&at_work, ME, ["1", "2"].map(Reply::text).to_vec()))
                .join();
            // Its claim ends, at once or long before anybody looks.
            let dead = rusqlite::Connection::open(office.folder.path().join("1.db")).unwrap();
            let end = if is_forgotten { "DELETE FROM claim" } else { "UPDATE claim SET alive_until = 0" };
            dead.execute(end, []).unwrap();
            let first = |xml: String| xml.split_once("<Content><![CDATA[").map(|(_, it)| it[..1].to_owned());
            let mut had: Vec<_> = answers.try_iter().filter_map(first).collect();
            had.extend(their_pushes.try_iter().map(|it| it[4..5].to_owned()));
            if had.is_empty() && !is_given_up && !is_forgotten {
                let (visitor, answers) = Caller::waiting(LONG);
                desk.attend(order.clone(), &visitor, handler("never").0);
                had.extend(first(answers.recv_timeout(LONG).unwrap()));
            }
            desk.look_after_late().unwrap();
            desk.look_after_late().unwrap();
            had.extend(pushes.try_iter().map(|it| it[4..5].to_owned()));
            had.extend(
                ["ask", "again"].iter().filter_map(|asks| fetched(&desk, asks)).map(|it| it[..1].to_owned()),
            );
            // It may have been killed when WeChat had taken a piece.
            had.dedup();
            // Before it was listed there was nothing yet, and nobody asks again.
            let is_nothing = !is_given_up && is_forgotten && last < 4 && had.is_empty();
            assert!(
                had == ["1", "2"] || had == ["s"] || is_nothing,
                "{had:?} given up: {is_given_up}, forgotten: {is_forgotten}, step {last}"
            );
        }
    }
}
