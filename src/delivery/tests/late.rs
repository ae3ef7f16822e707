//! What was worked out goes its way: at once, by push, or to the outbox.

use super::*;
use crate::wechat::limits::MAX_TEXT_BYTES;

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

/// An attempt whose last moment is that in which it is to be answered.
pub(super) fn refused(desk: &Arc<Desk>, order: &Order) -> Arc<dyn Visitor> {
    let (desk, order) = (Arc::clone(desk), order.clone());
    acting(LONG, move || {
        desk.refuse(&order, || Some(()));
        false
    })
}

#[test]
fn what_was_answered_as_failed_while_it_was_being_decided_is_late() {
    let (office, pushes) = Stub::office(true);
    let (desk, order) = (desk(&office), order("m", Late::Push));
    let visitor = refused(&desk, &order);
    let (start, let_go) = handler("late");
    desk.attend(order, &visitor, start);
    drop(let_go);
    assert_eq!(pushes.recv_timeout(LONG).unwrap(), "o1: late");
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
            assert_eq!(desk.lost(&*store, &order).unwrap(), Decision::lost(order.failure()));
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
        let waits = desk.fetch(&order("ask", Late::Auto), 1, Instant::now()).unwrap().unwrap();
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
    // It is answered so slowly that others take over.
    let (others, lost, slow) = (self::desk(&office), Arc::clone(&order), Arc::clone(&office));
    let visitor = acting(LONG, move || {
        lose(&*slow.shaky(), &lost);
        others.look_after_late().unwrap();
        true
    });
    Board::add_visit(&desk, &order, &visitor, false);
    desk.finish(&order, ME, ["1", "2", "3"].map(Reply::text).to_vec());
    assert_eq!(pushes.try_iter().collect::<Vec<_>>(), ["o1: 2", "o1: 3"]);
    assert_eq!(Outbox::of(&*store, "o1", LONG).ready().unwrap(), 0);
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
fn a_store_that_forgets_all_as_soon_as_an_attempt_is_given_up_loses_no_answer() {
    let (office, pushes) = Stub::office(true);
    let desk = desk(&office);
    let (start, let_go) = handler("late");
    let (at_work, let_go) = (Arc::clone(&desk), Mutex::new(Some(let_go)));
    let visitor = acting(Duration::ZERO, move || {
        office.forget_all();
        let let_go = let_go.lock().unwrap().take();
        if let_go.is_some() {
            drop(let_go);
            while at_work.board.has_job("m") {
                thread::yield_now();
            }
        }
        true
    });
    desk.attend(order("m", Late::Push), &visitor, start);
    assert_eq!(pushes.recv_timeout(LONG / 4).as_deref(), Ok("o1: late"));
}

#[test]
fn who_dies_before_he_has_noted_that_an_answer_is_late_has_left_it() {
    for (late, may_push) in [(Late::Push, true), (Late::Fetch, false)] {
        let (office, pushes) = Stub::office(may_push);
        let (desk, order) = (desk(&office), order("m", late));
        let store = Stub::open(&office.folder, "1.db", &Arc::default());
        store.claim("m", ME, Duration::from_millis(1), REPEATED_WITHIN).unwrap();
        Board::add_visit(&desk, &Arc::new(order.clone()), &refused(&desk, &order), false);
        office.fail_at(Some("put answer/"));
        thread::scope(|scope| {
            let finishing = scope.spawn(|| desk.finish(&order, ME, vec![Reply::text("late")]));
            let (began, outbox) = (Instant::now(), Outbox::of(&*store, "o1", LONG));
            while outbox.ready().unwrap() == 0 && began.elapsed() < LONG {
                thread::yield_now();
            }
            lose(&*store, &order);
            let (others, their_pushes) = office.beside();
            let others = self::desk(&others);
            others.look_after_late().unwrap();
            assert_eq!(fetched(&others, "ask").as_deref(), Some("late"));
            office.fail_at(None);
            finishing.join().unwrap();
            assert!(their_pushes.try_recv().is_err());
        });
        assert!(pushes.try_recv().is_err());
    }
}

#[test]
fn what_was_worked_out_waits_in_its_order_where_wechat_takes_no_more() {
    let (office, pushes) = Stub::office(true);
    let (desk, order) = (desk(&office), Arc::new(order("m", Late::Push)));
    let (lets_push, waits) = channel();
    *office.lets_push.lock().unwrap() = Some(waits);
    let store = office.shaky();
    store.claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
    let (limit, window) = order.trigger.quota();
    for _ in 1..limit {
        store.count(&pushed(&order), limit, window).unwrap();
    }
    let (visitor, _answers) = Caller::waiting(LONG);
    let three = ["1", "2", "3"].map(Reply::text).to_vec();
    thread::scope(|scope| {
        let working = scope.spawn(|| desk.work(&order, ME, &visitor, || three.clone()));
        while Outbox::of(&*store, "o1", LONG).ready().unwrap() == 0 {
            thread::yield_now();
        }
        // Who was asked had answered that the message failed when it was told what is decided.
        desk.refuse(&order, || Some(()));
        drop(lets_push);
        working.join().unwrap();
    });
    let pushes: Vec<_> = pushes.try_iter().collect();
    assert!(pushes.len() == 1, "{pushes:?}");
    let waiting = ["ask", "ask again", "ask at last"].map(|asks| fetched(&desk, asks));
    let waiting: Vec<_> = waiting.iter().flatten().map(|piece| &piece[..1]).collect();
    let others = if pushes[0].starts_with("o1: 1") { ["2", "3"] } else { ["1", "3"] };
    assert_eq!(waiting, others, "{pushes:?}");
}

#[test]
fn an_attempt_is_refused_and_that_is_noted_or_neither() {
    let (office, pushes) = Stub::office(true);
    let (desk, order) = (desk(&office), Arc::new(order("m", Late::Push)));
    let (is_taken, taken) = channel::<()>();
    let taken = Mutex::new(taken);
    let (wants, is_wanted) = channel();
    // Answered by whoever is first.
    let asker = Arc::new(Mutex::new(Some(())));
    let visitor = {
        let asker = Arc::clone(&asker);
        acting(LONG, move || {
            wants.send(()).unwrap();
            asker.lock().unwrap().take().is_some()
        })
    };
    office.shaky().claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
    thread::scope(|scope| {
        let refusing = scope.spawn(|| {
            desk.refuse(&order, || {
                let taken_now = asker.lock().unwrap().take();
                taken.lock().unwrap().recv().unwrap();
                taken_now
            })
        });
        while asker.lock().unwrap().is_some() {
            thread::yield_now();
        }
        // It is ready between the two.
        let (desk, order) = (&desk, &order);
        let working = scope.spawn(move || {
            Board::add_visit(desk, order, &visitor, false);
            desk.finish(order, ME, vec![Reply::text("late")]);
        });
        let began = Instant::now();
        while is_wanted.try_recv().is_err() && !working.is_finished() && began.elapsed() < SOON {
            thread::yield_now();
        }
        is_taken.send(()).unwrap();
        assert_eq!(refusing.join().unwrap(), Some(()));
        working.join().unwrap();
    });
    assert_eq!(pushes.try_iter().collect::<Vec<_>>(), ["o1: late"]);
    // Who has his answer already is not refused it.
    assert_eq!(desk.refuse(&order, || None::<()>), None);
    assert!(desk.failed().is_empty());
}

#[test]
fn who_asks_for_what_is_being_pushed_keeps_no_thread_until_his_deadline() {
    let (office, _pushes) = Stub::office(true);
    let desk = desk(&office);
    Outbox::of(&*office.shaky(), "o1", LONG).set_pushed("m", &[Reply::text("late")]).unwrap();
    let began = Instant::now();
    let answer = desk.fetch(&order("ask", Late::Auto), 1, began + 10 * LONG).unwrap().unwrap();
    assert!(answer.xml.unwrap().contains("还在想"));
    assert!(began.elapsed() < LONG);
}

#[test]
fn what_follows_an_answer_that_the_store_cannot_write_down_is_fetched_when_it_can() {
    let (office, _) = Stub::office(false);
    let (desk, order) = (desk(&office), Arc::new(order("m", Late::Fetch)));
    let store = office.shaky();
    store.claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
    let (visitor, answers) = Caller::waiting(LONG);
    Board::add_visit(&desk, &order, &visitor, false);
    // The store fails for a moment at one step: who waits is answered nevertheless.
    let (tries, is_tried) = channel();
    let tries = Mutex::new(tries);
    let failing = Sqlite::new(office.folder.path().join("1.db"), Journal::Wal, LONG, "wx1");
    *office.store.lock().unwrap() = Arc::new(Hooked::new(failing, move |asked| {
        if !asked.starts_with("put_if answer/") {
            return Ok(());
        }
        let _ = tries.lock().unwrap().send(());
        Err(Hooked::refusal())
    }));
    thread::scope(|scope| {
        let three = ["1", "2", "3"].map(Reply::text).to_vec();
        let finishing = scope.spawn(|| desk.finish(&order, ME, three));
        assert!(answers.recv_timeout(LONG).unwrap().contains("还有 2 条"));
        assert!(fetched(&desk, "ask").unwrap().contains("还在想"));
        // What was tried before he had it does not count.
        is_tried.try_iter().for_each(drop);
        for _ in 0..2 {
            is_tried.recv_timeout(LONG).unwrap();
        }
        *office.store.lock().unwrap() = store;
        finishing.join().unwrap();
    });
    assert!(fetched(&desk, "ask again").unwrap().starts_with('2'));
    assert_eq!(fetched(&desk, "ask at last").as_deref(), Some("3"));
}

#[test]
fn what_was_fetched_before_it_was_noted_as_late_does_not_come_again() {
    for (late, may_push) in [(Late::Push, true), (Late::Fetch, false)] {
        let (office, pushes) = Stub::office(may_push);
        let (desk, order) = (desk(&office), order("m", late));
        office.shaky().claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
        Board::add_visit(&desk, &Arc::new(order.clone()), &refused(&desk, &order), false);
        office.fail_at(Some("put answer/"));
        thread::scope(|scope| {
            let finishing = scope.spawn(|| desk.finish(&order, ME, vec![Reply::text("late")]));
            while Outbox::of(&*office.shaky(), "o1", LONG).ready().unwrap() == 0 {
                thread::yield_now();
            }
            assert_eq!(fetched(&desk, "ask").as_deref(), Some("late"));
            office.fail_at(None);
            finishing.join().unwrap();
        });
        assert_eq!(pushes.try_iter().collect::<Vec<_>>(), [""; 0], "{late:?}");
        assert_eq!(fetched(&desk, "ask again"), None, "{late:?}");
    }
}

#[test]
fn a_store_that_forgets_all_loses_no_rest_where_something_else_waits_for_its_user_already() {
    for is_refused in [false, true] {
        let (office, _) = Stub::office(false);
        let (desk, order) = (desk(&office), Arc::new(order("m", Late::Fetch)));
        let (store, fresh) = (office.shaky(), Stub::open(&office.folder, "2.db", &Arc::default()));
        store.claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
        let visitor = if is_refused { refused(&desk, &order) } else { Caller::waiting(LONG).0 };
        Board::add_visit(&desk, &order, &visitor, false);
        let replies: &[&str] = if is_refused { &["1"] } else { &["0", "1"] };
        office.fail_at(Some(if is_refused { "put answer/" } else { "put_if answer/" }));
        thread::scope(|scope| {
            let finishing =
                scope.spawn(|| desk.finish(&order, ME, replies.iter().map(|it| Reply::text(*it)).collect()));
            while Outbox::of(&*store, "o1", LONG).ready().unwrap() == 0 {
                thread::yield_now();
            }
            // Of two messages of his the other one is put in first.
            Outbox::of(&*fresh, "o1", LONG).set("other", &[Reply::text("other")]).unwrap();
            office.forget_all();
            office.fail_at(None);
            finishing.join().unwrap();
        });
        let waiting = ["ask", "ask again"].map(|asks| fetched(&desk, asks));
        let mut waiting: Vec<_> = waiting.iter().flatten().map(|piece| &piece[..1]).collect();
        waiting.sort_unstable();
        assert_eq!(waiting, ["1", "o"], "refused: {is_refused}");
    }
}

#[test]
fn what_was_put_in_though_the_store_failed_and_was_fetched_does_not_come_again() {
    let (office, _) = Stub::office(false);
    let (desk, order) = (desk(&office), Arc::new(order("m", Late::Fetch)));
    let plain = office.shaky();
    plain.claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
    let (visitor, answers) = Caller::waiting(LONG);
    Board::add_visit(&desk, &order, &visitor, false);
    let (store, inner) = (Arc::clone(&plain), Stub::open(&office.folder, "1.db", &Arc::default()));
    let is_done = AtomicBool::new(false);
    let inside = Sqlite::new(office.folder.path().join("1.db"), Journal::Wal, LONG, "wx1");
    // It does the step, and fails before it can say so; then it is away for a while.
    *office.store.lock().unwrap() = Arc::new(Hooked::new(inside, move |asked| {
        if !asked.ends_with("outbox/o1") {
            return Ok(());
        }
        if asked.starts_with("put_if") && !is_done.swap(true, Ordering::AcqRel) {
            prepare_rest(&*inner, &self::order("m", Late::Fetch), &["2"], false);
        }
        if is_done.load(Ordering::Acquire) { Err(Hooked::refusal()) } else { Ok(()) }
    }));
    let others = self::desk(&office.beside().0);
    thread::scope(|scope| {
        let finishing = scope.spawn(|| desk.finish(&order, ME, ["1", "2"].map(Reply::text).to_vec()));
        assert!(answers.recv_timeout(LONG).unwrap().contains('1'));
        // That is not decided as far as the store knows.
        assert!(fetched(&others, "ask").unwrap().contains("还在想"));
        *office.store.lock().unwrap() = store;
        finishing.join().unwrap();
    });
    assert_eq!(fetched(&desk, "ask again").as_deref(), Some("2"));
    assert_eq!(fetched(&desk, "ask at last"), None);
}

#[test]
fn what_cannot_be_pushed_waits_also_where_the_failure_that_was_answered_says_nothing() {
    for on_error in [Some(Reply::text("sorry")), None] {
        let (office, pushes) = Stub::office(true);
        let (desk, order) = (desk(&office), Order { on_error, ..order("m", Late::Push) });
        let store = office.shaky();
        store.claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
        let (limit, window) = order.trigger.quota();
        for _ in 0..limit {
            store.count(&pushed(&order), limit, window).unwrap();
        }
        // Its last moment comes while a slow store is asked to give it up.
        desk.refuse(&order, || Some(()));
        desk.give_up(&order, &*Caller::calling(Duration::ZERO, true).0, false).unwrap();
        desk.finish(&order, ME, vec![Reply::text("late")]);
        assert!(pushes.try_recv().is_err());
        assert_eq!(fetched(&desk, "ask").as_deref(), Some("late"), "{:?}", order.on_error);
    }
}

/// Has the store do `step` in the place of its first write of the outbox, and fail before it can say so; then it is away.
fn fail_when_done(
    office: &Stub,
    step: impl Fn(&Outbox<'_>) -> Result<(), StoreError> + Send + Sync + 'static,
) {
    let inner = Stub::open(&office.folder, "1.db", &Arc::default());
    let is_done = AtomicBool::new(false);
    let inside = Sqlite::new(office.folder.path().join("1.db"), Journal::Wal, LONG, "wx1");
    *office.store.lock().unwrap() = Arc::new(Hooked::new(inside, move |asked| {
        if !asked.ends_with("outbox/o1") {
            return Ok(());
        }
        if asked.starts_with("put_if") && !is_done.load(Ordering::Acquire) {
            step(&Outbox::of(&*inner, "o1", LONG))?;
            is_done.store(true, Ordering::Release);
        }
        if is_done.load(Ordering::Acquire) { Err(Hooked::refusal()) } else { Ok(()) }
    }));
}

#[test]
fn what_was_put_in_as_late_though_the_store_failed_and_was_fetched_does_not_come_again() {
    let (office, _) = Stub::office(false);
    let (desk, order) = (desk(&office), order("m", Late::Fetch));
    let store = office.shaky();
    store.claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
    desk.give_up(&order, &*Caller::waiting(Duration::ZERO).0, false).unwrap();
    fail_when_done(&office, |outbox| outbox.set("m", &[Reply::text("late")]));
    let others = self::desk(&office.beside().0);
    thread::scope(|scope| {
        let finishing = scope.spawn(|| desk.finish(&order, ME, vec![Reply::text("late")]));
        let mut asks = 0..;
        // Until then the answer is still being worked out.
        while fetched(&others, &format!("ask {}", asks.next().unwrap())).as_deref() != Some("late") {
            thread::yield_now();
        }
        *office.store.lock().unwrap() = store;
        finishing.join().unwrap();
    });
    assert_eq!(fetched(&desk, "ask again"), None);
}

#[test]
fn what_was_left_to_others_though_the_store_failed_and_was_pushed_is_not_fetched_as_well() {
    let (office, pushes) = Stub::office(true);
    let (desk, order) = (desk(&office), order("m", Late::Push));
    leave_behind(&office, &order, Way::Push);
    let store = office.shaky();
    fail_when_done(&office, |outbox| outbox.set("m", &[Reply::text("late")]));
    let (beside, their_pushes) = office.beside();
    let others = self::desk(&beside);
    thread::scope(|scope| {
        // It stood still, and is taken for dead.
        let finishing = scope.spawn(|| desk.finish(&order, Holder([9; 16]), vec![Reply::text("late")]));
        while Outbox::of(&*store, "o1", LONG).ready().unwrap() == 0 {
            thread::yield_now();
        }
        others.look_after_late().unwrap();
        assert_eq!(their_pushes.try_recv().as_deref(), Ok("o1: late"));
        *office.store.lock().unwrap() = Arc::clone(&store);
        finishing.join().unwrap();
    });
    assert!(pushes.try_recv().is_err());
    assert_eq!(fetched(&desk, "ask"), None);
}

#[test]
fn what_the_store_has_taken_out_though_it_failed_to_say_so_is_there_when_its_user_asks_again() {
    let (office, _) = Stub::office(false);
    let desk = desk(&office);
    let store = office.shaky();
    Outbox::of(&*store, "o1", LONG).set("m", &[Reply::text("late")]).unwrap();
    fail_when_done(&office, |outbox| outbox.take("ask", 1).map(drop));
    // He is answered that it is still being worked out, and WeChat does not ask again.
    assert!(desk.fetch(&order("ask", Late::Auto), 1, Instant::now() + LONG).is_err());
    *office.store.lock().unwrap() = store;
    assert_eq!(fetched(&desk, "ask again").as_deref(), Some("late"));
}

#[test]
fn what_a_repeat_of_his_message_was_answered_is_not_put_back_by_the_attempt_before_it() {
    let (office, _) = Stub::office(false);
    let (desk, asks) = (desk(&office), order("ask", Late::Auto));
    Outbox::of(&*office.shaky(), "o1", LONG).set("m", &[Reply::text("late")]).unwrap();
    // The store has taken it out for the first attempt, and is slow to say so; WeChat asks again meanwhile.
    let [first, second] =
        [1, 2].map(|attempt| desk.fetch(&asks, attempt, Instant::now() + LONG).unwrap().unwrap());
    assert_eq!(first.xml, second.xml);
    // The first one was answered something else at its deadline, the second one has it.
    desk.put_back(&asks, 1);
    desk.confirm(&asks);
    assert_eq!(fetched(&desk, "ask again"), None);
}

#[test]
fn what_follows_an_answer_is_not_fetched_before_that_is_decided() {
    let (office, _) = Stub::office(false);
    let (desk, order) = (desk(&office), Arc::new(order("m", Late::Fetch)));
    let store = office.shaky();
    store.claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
    let (visitor, answers) = Caller::waiting(LONG);
    Board::add_visit(&desk, &order, &visitor, false);
    let (is_reached, let_go) = super::attend::stall(&office, "put_if answer/m");
    let others = self::desk(&office.beside().0);
    thread::scope(|scope| {
        let finishing = scope.spawn(|| desk.finish(&order, ME, ["1", "2"].map(Reply::text).to_vec()));
        is_reached.recv_timeout(LONG).unwrap();
        let asks = self::order("ask", Late::Auto);
        let piece = others.fetch(&asks, 1, Instant::now()).unwrap().and_then(|piece| piece.xml);
        let was_answered = answers.try_recv().is_ok();
        drop(let_go);
        finishing.join().unwrap();
        let is_rest = piece.as_deref().is_some_and(|xml| xml.contains("CDATA[2]"));
        assert!(!is_rest || was_answered, "the second reply came before the first");
    });
}
