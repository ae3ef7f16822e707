//! Messages that another process works out, and the line to it.

use std::io::{Read, Write};
use std::net::Shutdown;

use super::*;

#[test]
fn who_goes_before_his_worker_has_somebody_else_see_to_what_is_to_be_pushed() {
    let (office, pushes) = Stub::office(true);
    let desk = desk(&office);
    let (visitor, answers) = Caller::waiting(Duration::ZERO);
    let (start, mut worker) = worker();
    desk.attend(order("m", Late::Push), &visitor, start);
    assert_eq!(answers.recv_timeout(LONG).unwrap(), SUCCESS);
    assert_eq!(*office.watched.lock().unwrap(), ["m"]);
    // It dies, and nobody is left here who heeds it.
    worker.shutdown(Shutdown::Write).unwrap();
    worker.set_read_timeout(Some(LONG)).unwrap();
    assert_eq!(worker.read(&mut [0]).unwrap(), 0);
    assert!(pushes.try_recv().is_err());
    assert_eq!(Owed::of(&*office.shaky(), LONG).orders().unwrap().len(), 1);
}

#[test]
fn who_finds_nobody_to_see_to_it_does_so_himself_as_long_as_he_is_there() {
    let (office, pushes) = Stub::office(true);
    office.has_room.store(false, Ordering::Release);
    let desk = desk(&office);
    let (visitor, answers) = Caller::waiting(Duration::ZERO);
    let (start, worker) = worker();
    desk.attend(order("m", Late::Push), &visitor, start);
    assert_eq!(answers.recv_timeout(LONG).unwrap(), SUCCESS);
    assert_eq!(*office.watched.lock().unwrap(), ["m"]);
    drop(worker);
    assert_eq!(pushes.recv_timeout(LONG).unwrap(), "o1: sorry");
}

#[test]
fn what_is_fetched_needs_nobody_who_sees_to_it() {
    let (office, _) = Stub::office(false);
    let desk = desk(&office);
    let (visitor, answers) = Caller::waiting(SOON);
    let (start, worker) = worker();
    desk.attend(order("m", Late::Fetch), &visitor, start);
    assert!(answers.recv_timeout(LONG).unwrap().contains("还在想"));
    assert!(office.watched.lock().unwrap().is_empty());
    drop(worker);
}

#[test]
fn who_was_asked_hears_what_is_decided_also_where_the_store_is_away() {
    let (office, _) = Stub::office(true);
    let desk = desk(&office);
    let (visitor, answers) = Caller::waiting(LONG);
    let (start, mut worker) = worker();
    let order = order("m", Late::Auto);
    desk.attend(order.clone(), &visitor, start);
    office.fail_at(Some(""));
    let decision =
        Decision { is_owed: true, ..Decision::answered(order.answer(Some(&Reply::text("first")))) };
    serde_json::to_writer(&mut worker, &decision).unwrap();
    worker.write_all(b"\n").unwrap();
    assert!(answers.recv_timeout(LONG).unwrap().contains("first"));
    // The others are in the hands of the worker alone.
    assert_eq!(*office.watched.lock().unwrap(), ["m"]);
}

#[test]
fn a_worker_hears_that_its_message_was_answered_as_failed() {
    let (office, _) = Stub::office(true);
    let desk = desk(&office);
    let (visitor, _answers) = Caller::waiting(LONG);
    let (start, mut worker) = worker();
    let order = order("m", Late::Auto);
    desk.attend(order.clone(), &visitor, start);
    desk.refuse(&order, || Some(()));
    worker.set_read_timeout(Some(LONG)).unwrap();
    assert_eq!(worker.read(&mut [0]).unwrap(), 1);
    assert_eq!(*office.watched.lock().unwrap(), ["m"]);
}

#[test]
fn a_worker_heeds_a_note_that_comes_before_it_has_begun() {
    let (office, pushes) = Stub::office(true);
    let (desk, order) = (desk(&office), Arc::new(order("m", Late::Push)));
    office.shaky().claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
    let (visitor, _answers) = Caller::waiting(LONG);
    desk.refuse(&order, || Some(()));
    desk.work(&order, ME, &visitor, || vec![Reply::text("late")]);
    assert_eq!(pushes.try_iter().collect::<Vec<_>>(), ["o1: late"]);
}

#[test]
fn a_worker_heeds_a_note_that_comes_when_it_has_decided() {
    let (office, pushes) = Stub::office(true);
    let (desk, order) = (desk(&office), Arc::new(order("m", Late::Push)));
    let (lets_push, waits) = channel();
    *office.lets_push.lock().unwrap() = Some(waits);
    office.shaky().claim("m", ME, LONG, REPEATED_WITHIN).unwrap();
    let (visitor, _answers) = Caller::waiting(LONG);
    let three = ["1", "2", "3"].map(Reply::text).to_vec();
    thread::scope(|scope| {
        let working = scope.spawn(|| desk.work(&order, ME, &visitor, || three.clone()));
        lets_push.send(()).unwrap();
        assert_eq!(pushes.recv_timeout(LONG).unwrap(), "o1: 2");
        // When it told what it had decided, who was asked had answered that the message failed.
        desk.refuse(&order, || Some(()));
        drop(lets_push);
        working.join().unwrap();
    });
    assert_eq!(pushes.try_iter().collect::<Vec<_>>(), ["o1: 3", "o1: 1"]);
}

#[test]
fn a_worker_that_dies_while_the_store_is_away_for_a_moment_is_seen_to() {
    let (office, _pushes) = Stub::office(true);
    let desk = desk(&office);
    let (visitor, answers) = Caller::waiting(Duration::from_secs(2));
    let (start, worker) = worker();
    desk.attend(order("m", Late::Push), &visitor, start);
    office.fail_at(Some("answer/m"));
    drop(worker);
    let began = Instant::now();
    while desk.lines.has("m") && began.elapsed() < Duration::from_secs(1) {
        thread::yield_now();
    }
    office.fail_at(None);
    let answer = answers.recv_timeout(LONG).unwrap();
    let is_watched = !office.watched.lock().unwrap().is_empty();
    assert!(answer.contains("sorry") || is_watched, "answered {answer}, and nobody sees to it");
}

#[test]
fn a_worker_hears_that_its_answer_was_given_not_before_it_is() {
    let (office, _) = Stub::office(true);
    let desk = desk(&office);
    let (asked, is_asked) = channel();
    let (let_go, waits) = channel::<()>();
    let (asked, waits) = (Mutex::new(asked), Mutex::new(waits));
    let visitor = acting(LONG, move || {
        asked.lock().unwrap().send(()).unwrap();
        let _ = waits.lock().unwrap().recv();
        true
    });
    let (start, mut worker) = worker();
    let order = order("m", Late::Auto);
    desk.attend(order.clone(), &visitor, start);
    let decision = Decision::answered(order.answer(Some(&Reply::text("first"))));
    serde_json::to_writer(&mut worker, &decision).unwrap();
    worker.write_all(b"\n").unwrap();
    is_asked.recv_timeout(LONG).unwrap();
    worker.set_nonblocking(true).unwrap();
    assert_eq!(worker.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    worker.set_nonblocking(false).unwrap();
    drop(let_go);
    let mut word = [0];
    worker.set_read_timeout(Some(LONG)).unwrap();
    assert_eq!((worker.read(&mut word).unwrap(), word), (1, [SERVED]));
}

#[test]
fn a_worker_that_begins_when_its_message_was_answered_as_failed_hears_of_it() {
    let (office, _) = Stub::office(true);
    let (desk, order) = (desk(&office), order("m", Late::Auto));
    // The store was slow to give the claim: the last moment came before it.
    desk.refuse(&order, || Some(()));
    let (visitor, _answers) = Caller::calling(LONG, true);
    let (start, mut worker) = worker();
    desk.attend(order, &visitor, start);
    let mut word = [0];
    worker.set_read_timeout(Some(LONG / 4)).unwrap();
    assert_eq!((worker.read(&mut word).ok(), word), (Some(1), [REFUSED]));
}
