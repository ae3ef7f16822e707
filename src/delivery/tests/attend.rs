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
    const SHORT: Duration = Duration::from_secs(4);
    let (office, _) = Stub::office(false);
    let (desk, store) = (desk(&office), office.shaky());
    let orders = ["a", "b"].map(|message| Arc::new(order(message, Late::Fetch)));
    for order in &orders {
        store.claim(&order.message, ME, SHORT, REPEATED_WITHIN).unwrap();
    }
    let _jobs = [0, 1].map(|number| Board::begin_job(&desk.board, &orders[number], ME, Keeps::Claim));
    office.fail_at(Some("renew a"));
    desk.look_after(&desk.board.jobs()).unwrap();
    while matches!(store.look(&orders[0].message).unwrap(), Some(Claim::Running { .. })) {
        thread::yield_now();
    }
    assert!(matches!(store.look(&orders[1].message).unwrap(), Some(Claim::Running { .. })));
}

#[test]
fn who_joins_a_message_whose_process_was_killed_before_its_worker_began_leaves_nobody_alone() {
    // As under CGI: nobody in this process looks after others.
    let (office, pushes) = Stub::office(true);
    let desk = desk(&office);
    // Killed between its claim and the start of its worker; its claim is not lost yet.
    office.shaky().claim("m", ME, Duration::from_secs(2), REPEATED_WITHIN).unwrap();
    let (visitor, answers) = Caller::waiting(Duration::ZERO);
    desk.attend(order("m", Late::Push), &visitor, handler("never").0);
    let answer = answers.recv_timeout(LONG).unwrap();
    let is_watched = !office.watched.lock().unwrap().is_empty();
    assert!(
        answer != SUCCESS || is_watched || pushes.recv_timeout(LONG / 4).is_ok(),
        "answered {answer}, and nobody sees to it"
    );
}

#[test]
fn a_store_that_has_forgotten_all_learns_again_who_is_at_a_message() {
    let (office, _) = Stub::office(false);
    let desk = desk(&office);
    let (visitor, _answers) = Caller::waiting(LONG);
    let (start, _let_go) = handler("the answer");
    desk.attend(order("m", Late::Hold), &visitor, start);
    office.forget_all();
    desk.look_after(&desk.board.jobs()).unwrap();
    // WeChat asks again, and another host begins it if it is his.
    let claim = office.shaky().claim("m", Holder([7; 16]), LONG, REPEATED_WITHIN).unwrap();
    assert!(matches!(claim, Claim::Running { .. }), "{claim:?}: its handler runs twice");
}

#[test]
fn answers_wait_in_the_order_of_their_messages_also_where_the_first_was_held_longer() {
    let (office, _) = Stub::office(false);
    let desk = desk(&office);
    let store = office.shaky();
    // Its first two attempts were held; that of the other, which came after it, was not.
    let first = Order { time: seconds_since(0) - 9, ..order("first", Late::Hold) };
    let second = Order { time: first.time + 1, ..order("second", Late::Fetch) };
    for order in [&second, &first] {
        store.claim(&order.message, ME, LONG, REPEATED_WITHIN).unwrap();
        let (visitor, answers) = Caller::waiting(Duration::ZERO);
        desk.give_up(order, &*visitor, false).unwrap();
        assert!(answers.recv_timeout(LONG).unwrap().contains("还在想"));
    }
    for order in [&first, &second] {
        desk.finish(order, ME, vec![Reply::text(&order.message)]);
    }
    let fetched = ["ask", "ask again"].map(|asks| fetched(&desk, asks).unwrap());
    assert!(fetched[0].starts_with("first") && fetched[1].starts_with("second"), "{fetched:?}");
}

#[test]
fn a_promise_of_what_was_answered_in_time_is_taken_back() {
    let (office, _) = Stub::office(false);
    let (desk, order) = (desk(&office), order("m", Late::Fetch));
    let (visitor, _answers) = Caller::waiting(Duration::ZERO);
    let store = office.shaky();
    store.claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
    office.fail_at(Some("put_if answer/"));
    assert!(desk.give_up(&order, &*visitor, false).is_err());
    office.fail_at(None);
    // It is ready before that is tried again.
    desk.finish(&order, ME, vec![Reply::text("the answer")]);
    desk.give_up(&order, &*visitor, false).unwrap();
    // Ten minutes later nothing is known of it any more.
    let decision = store.get("answer/m").unwrap().unwrap();
    assert!(store.remove_if("answer/m", decision.version).unwrap());
    assert_eq!(fetched(&desk, "ask"), None);
}

#[test]
fn an_attempt_whose_failure_wechat_did_not_hear_in_time_spoils_no_later_one() {
    let (office, _) = Stub::office(false);
    let (desk, order) = (desk(&office), order("m", Late::Fetch));
    let (visitor, _answers) = Caller::calling(LONG, true);
    let (start, let_go) = handler("the answer");
    desk.attend(order.clone(), &visitor, start);
    // At its last moment, as its store was slow.
    desk.refuse(&order, || Some(()));
    // WeChat had hung up, and asks again.
    let (visitor, answers) = Caller::waiting(LONG);
    desk.attend(order, &visitor, handler("never").0);
    drop(let_go);
    let answer = answers.recv_timeout(LONG).unwrap();
    assert!(answer.contains("the answer"), "{answer}");
}

#[test]
fn what_is_begun_when_its_attempt_was_answered_as_failed_already_is_late() {
    let (office, pushes) = Stub::office(true);
    let desk = desk(&office);
    // What was asked before its order was known took so long; it is worked out before anybody gives it up.
    let (visitor, _answers) = Caller::calling(LONG, true);
    let (start, let_go) = handler("late");
    drop(let_go);
    desk.attend(order("m", Late::Push), &visitor, start);
    assert_eq!(pushes.recv_timeout(LONG / 4).as_deref(), Ok("o1: late"));
}

/// Has the store wait before the first step `at`: who is at it waits for a slow store, or for his turn. Tells when it is
/// reached.
pub(super) fn stall(office: &Stub, at: &'static str) -> (Receiver<()>, Sender<()>) {
    let store = Sqlite::new(office.folder.path().join("1.db"), Journal::Wal, LONG, "wx1");
    let (reached, is_reached) = channel();
    let (let_go, waits) = channel::<()>();
    let waits = Mutex::new(Some((reached, waits)));
    *office.store.lock().unwrap() = Arc::new(Hooked::new(store, move |asked| {
        let first = (asked == at).then(|| waits.lock().unwrap().take()).flatten();
        if let Some((reached, waits)) = first {
            reached.send(()).unwrap();
            let _ = waits.recv();
        }
        Ok(())
    }));
    (is_reached, let_go)
}

#[test]
fn an_attempt_that_is_just_being_given_up_is_answered_before_the_rest_is_pushed() {
    let (office, pushes) = Stub::office(true);
    let desk = desk(&office);
    let (is_reached, let_go) = stall(&office, "get no-push/o1");
    let (visitor, answers) = Caller::waiting(Duration::ZERO);
    let (ready, is_ready) = channel::<()>();
    let work = move || {
        let _ = is_ready.recv();
        ["1", "2", "3"].map(Reply::text).to_vec()
    };
    desk.attend(order("m", Late::Push), &visitor, Start::Here(Box::new(work)));
    is_reached.recv_timeout(LONG).unwrap();
    drop(ready);
    let first = pushes.recv_timeout(LONG / 4);
    let answer = answers.try_recv();
    drop(let_go);
    assert!(answer.is_ok(), "{first:?} comes before its answer");
}

#[test]
fn what_is_ready_while_its_attempt_is_being_given_up_is_not_lost_at_its_last_moment() {
    let (office, _) = Stub::office(false);
    let (desk, order) = (desk(&office), order("m", Late::Fetch));
    let (is_reached, let_go) = stall(&office, "get outbox/o1");
    let (visitor, answers) = Caller::waiting(Duration::ZERO);
    let (start, ready) = handler("the answer");
    desk.attend(order.clone(), &visitor, start);
    is_reached.recv_timeout(LONG).unwrap();
    drop(ready);
    let began = Instant::now();
    while desk.board.has_job("m") {
        assert!(began.elapsed() < LONG);
        thread::yield_now();
    }
    let failed = Decision::answered(order.failure());
    desk.refuse(&order, || visitor.serve(&failed).then_some(()));
    drop(let_go);
    let answer = answers.recv_timeout(LONG).unwrap();
    if answer.contains("the answer") {
        return;
    }
    // It is to come late, then.
    let mut asks = 0..;
    while fetched(&desk, &format!("ask {}", asks.next().unwrap())).as_deref() != Some("the answer") {
        assert!(began.elapsed() < LONG / 4, "answered {answer}, and nothing comes after it");
        thread::yield_now();
    }
}

#[test]
fn who_has_his_answer_while_he_is_just_being_given_up_does_not_get_it_again() {
    for (late, may_push, slow) in
        [(Late::Push, true, "get no-push/o1"), (Late::Fetch, false, "get outbox/o1")]
    {
        let (office, pushes) = Stub::office(may_push);
        let desk = desk(&office);
        let plain = office.shaky();
        let store = Sqlite::new(office.folder.path().join("1.db"), Journal::Wal, LONG, "wx1");
        let ((reached, is_reached), (let_go, waits)) = (channel(), channel::<()>());
        let (waits, gives_up) = (Mutex::new(Some((reached, waits))), Mutex::new(None));
        let is_back = Arc::new(AtomicBool::new(false));
        let back = Arc::clone(&is_back);
        // The store is away: who gives the attempt up waits for it, who has worked the answer out tries again and again.
        *office.store.lock().unwrap() = Arc::new(Hooked::new(store, move |asked| {
            let me = thread::current().id();
            let first = (asked == slow).then(|| waits.lock().unwrap().take()).flatten();
            if let Some((reached, waits)) = first {
                *gives_up.lock().unwrap() = Some(me);
                reached.send(()).unwrap();
                let _ = waits.recv();
            }
            let is_refused = asked == "put_if answer/m"
                && *gives_up.lock().unwrap() != Some(me)
                && !back.load(Ordering::Acquire);
            if is_refused { Err(Hooked::refusal()) } else { Ok(()) }
        }));
        let (visitor, answers) = Caller::waiting(Duration::ZERO);
        let (start, ready) = handler("the answer");
        desk.attend(order("m", late), &visitor, start);
        is_reached.recv_timeout(LONG).unwrap();
        drop(ready);
        assert!(answers.recv_timeout(LONG).unwrap().contains("the answer"));
        // It is back, and who gives the attempt up is the first to learn it.
        drop(let_go);
        let began = Instant::now();
        while Decision::of(&*plain, "m").unwrap().is_none() {
            assert!(began.elapsed() < LONG);
            thread::yield_now();
        }
        is_back.store(true, Ordering::Release);
        while desk.board.has_job("m") {
            assert!(began.elapsed() < LONG);
            thread::yield_now();
        }
        assert_eq!(pushes.try_iter().collect::<Vec<_>>(), [""; 0], "{late:?}");
        assert_eq!(fetched(&desk, "ask"), None, "{late:?}");
    }
}

/// An attempt whose last moment comes when somebody has just seen that it waits still.
struct AtLast {
    desk: Arc<Desk>,
    order: Order,
    is_served: Arc<AtomicBool>,
}

impl Visitor for AtLast {
    fn received(&self) -> Instant {
        Instant::now()
    }

    fn deadline(&self) -> Instant {
        Instant::now() + LONG
    }

    fn is_served(&self) -> bool {
        let was_served = self.is_served.load(Ordering::Acquire);
        let (desk, order, is_served) =
            (Arc::clone(&self.desk), self.order.clone(), Arc::clone(&self.is_served));
        let refusing = thread::spawn(move || {
            desk.refuse(&order, || (!is_served.swap(true, Ordering::AcqRel)).then_some(()));
        });
        let began = Instant::now();
        // It may have to wait until who has asked has done something with it.
        while !refusing.is_finished() && began.elapsed() < SOON {
            thread::yield_now();
        }
        was_served
    }

    fn serve(&self, _: &Decision) -> bool {
        !self.is_served.swap(true, Ordering::AcqRel)
    }

    fn hold(&self) {}
}

#[test]
fn an_attempt_whose_last_moment_comes_while_it_is_taken_up_is_noted_as_failed() {
    for is_first in [true, false] {
        let (office, pushes) = Stub::office(true);
        let (desk, order) = (desk(&office), order("m", Late::Push));
        let (start, let_go) = handler("late");
        let mut start = Some(start);
        if !is_first {
            // This one was held, and WeChat has hung up.
            let (gone, _answers) = Caller::calling(LONG, true);
            desk.attend(order.clone(), &gone, start.take().unwrap());
            desk.failed().clear();
        }
        let is_served = Arc::new(AtomicBool::new(false));
        let visitor: Arc<dyn Visitor> = Arc::new(AtLast {
            desk: Arc::clone(&desk),
            order: order.clone(),
            is_served: Arc::clone(&is_served),
        });
        desk.attend(order, &visitor, start.unwrap_or_else(|| handler("never").0));
        while !is_served.load(Ordering::Acquire) {
            thread::yield_now();
        }
        drop(let_go);
        let late = pushes.recv_timeout(LONG / 4);
        assert_eq!(late.as_deref(), Ok("o1: late"), "is it the first: {is_first}");
    }
}

#[test]
fn who_waits_elsewhere_takes_a_message_from_nobody_where_the_store_has_forgotten_all() {
    let (office, _) = Stub::office(false);
    let (desk, elsewhere) = (desk(&office), desk(&office));
    let (visitor, _answers) = Caller::waiting(LONG);
    let (start, _let_go) = handler("the answer");
    let order = order("m", Late::Hold);
    desk.attend(order.clone(), &visitor, start);
    office.forget_all();
    // WeChat's next attempt went to another host, whose time is over before the claim is prolonged here.
    let (waiting, answers) = Caller::waiting(Duration::ZERO);
    elsewhere.give_up(&order, &*waiting, true).unwrap();
    assert_eq!(answers.recv_timeout(LONG).unwrap(), "held");
    desk.look_after(&desk.board.jobs()).unwrap();
    let claim = office.shaky().look("m").unwrap();
    assert!(
        matches!(claim, Some(Claim::Running { .. })),
        "{claim:?}: WeChat's last attempt is answered that it failed"
    );
}

#[test]
fn a_claim_that_cannot_be_prolonged_before_an_attempt_is_held_takes_no_hold_from_the_next() {
    let (office, _) = Stub::office(false);
    let (desk, order) = (desk(&office), Arc::new(order("m", Late::Hold)));
    office.shaky().claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
    let _job = Board::begin_job(&desk.board, &order, ME, Keeps::Claim);
    let (first, first_answers) = Caller::waiting(Duration::ZERO);
    office.fail_at(Some("renew m"));
    // A moment later it is tried again, as after each failure.
    let is_held = desk.give_up(&order, &*first, false).is_ok();
    office.fail_at(None);
    if !is_held {
        desk.give_up(&order, &*first, false).unwrap();
    }
    assert_eq!(first_answers.recv_timeout(LONG).unwrap(), "held");
    let (second, second_answers) = Caller::waiting(Duration::ZERO);
    desk.give_up(&order, &*second, false).unwrap();
    assert_eq!(second_answers.recv_timeout(LONG).unwrap(), "held");
}

#[test]
fn while_the_store_is_away_many_attempts_are_not_given_up_again_without_a_pause() {
    const PAUSE: Duration = Duration::from_millis(50);
    let (office, _) = Stub::office(false);
    let desk = desk(&office);
    let plain = office.shaky();
    let store = Sqlite::new(office.folder.path().join("1.db"), Journal::Wal, LONG, "wx1");
    let (tries, is_tried) = channel();
    let tries = Mutex::new(tries);
    *office.store.lock().unwrap() = Arc::new(Hooked::new(store, move |asked| {
        if asked == "get answer/0" {
            let _ = tries.lock().unwrap().send(Instant::now());
        }
        Err(Hooked::refusal())
    }));
    for number in 0..300 {
        let (visitor, _answers) = Caller::waiting(Duration::ZERO);
        Board::add_visit(&desk, &Arc::new(order(&number.to_string(), Late::Fetch)), &visitor, false);
    }
    clerk::employ(&desk);
    let tries: Vec<_> = (0..4).map(|_| is_tried.recv_timeout(LONG).unwrap()).collect();
    *office.store.lock().unwrap() = plain;
    let pauses: Vec<_> = tries.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(pauses.iter().all(|pause| *pause >= PAUSE), "{pauses:?}");
}

#[test]
fn who_asks_again_for_a_message_whose_process_was_killed_when_it_had_decided_leaves_nobody_alone() {
    // As under CGI: the web server was restarted, and has ended whatever belonged to it.
    let (office, pushes) = Stub::office(true);
    leave_behind(&office, &order("m", Late::Push), Way::Push);
    let desk = desk(&office);
    let (visitor, answers) = Caller::waiting(LONG);
    desk.attend(order("m", Late::Push), &visitor, handler("never").0);
    let answer = answers.recv_timeout(LONG).unwrap();
    let is_watched = !office.watched.lock().unwrap().is_empty();
    assert!(
        answer != SUCCESS || is_watched || pushes.recv_timeout(LONG / 4).is_ok(),
        "answered {answer}, and nobody sees to it"
    );
}

#[test]
fn who_only_looks_takes_no_claim_from_who_is_just_prolonging_it() {
    let (office, _) = Stub::office(false);
    let desk = desk(&office);
    let (visitor, _answers) = Caller::waiting(LONG);
    let (start, _let_go) = handler("the answer");
    desk.attend(order("m", Late::Hold), &visitor, start);
    office.forget_all();
    let inner = office.shaky();
    let looked = AtomicBool::new(false);
    let store = Arc::clone(&inner);
    let inside = Sqlite::new(office.folder.path().join("2.db"), Journal::Wal, LONG, "wx1");
    // Another host looks in the very moment.
    *office.store.lock().unwrap() = Arc::new(Hooked::new(inside, move |asked| {
        if asked == "claim m" && !looked.swap(true, Ordering::AcqRel) {
            assert_eq!(store.look("m").unwrap(), None);
        }
        Ok(())
    }));
    desk.look_after(&desk.board.jobs()).unwrap();
    let claim = inner.look("m").unwrap();
    assert!(matches!(claim, Some(Claim::Running { .. })), "{claim:?}: the next attempt begins it anew");
}
