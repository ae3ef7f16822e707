//! WeChat's attempts: who works their message out, who joins, who gives up.

use super::*;

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
fn a_claim_that_cannot_be_prolonged_keeps_no_other_from_it() {
    const SHORT: Duration = Duration::from_secs(2);
    let (office, _) = Stub::office(false);
    let (desk, store) = (desk(&office), office.shaky());
    let orders = ["a", "b"].map(|message| Arc::new(order(message, Late::Fetch)));
    for order in &orders {
        store.claim(&order.message, ME, SHORT, REPEATED_WITHIN).unwrap();
    }
    let _jobs = [0, 1].map(|number| Board::begin_job(&desk.board, &orders[number], ME, Keeps::Claim));
    office.fail_at(Some("renew a"));
    desk.look_after(&desk.board.jobs()).unwrap();
    while matches!(look(&*store, &orders[0]).unwrap(), Claim::Running { .. }) {
        thread::yield_now();
    }
    assert!(matches!(look(&*store, &orders[1]).unwrap(), Claim::Running { .. }));
}
