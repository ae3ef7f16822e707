//! Several messages of one user: their answers keep their order, and each piece says truly how many are left.

use std::fs;
use std::thread;

use super::{OTHERWISE, User, VERIFIED, WAITING, Workshop, at_each, config, logs};
use crate::support::{Door, FakeWechat, Site, wait_until};

const DOORS: [Door; 2] = [Door::ApacheCgid, Door::NginxUnix];
const SOON: &str = "[server]\ndeadline = \"1s\"";

impl Workshop {
    /// A rule whose handler ends when it is let go, and then does this.
    fn waiting_rule(&self, word: &str, script: &str, late: &str) -> String {
        let waits = "while [ -e \"$0\" ] && [ ! -e \"$0.go\" ]; do sleep 0.1; done";
        let script = format!("{waits}\n{script}\necho \"$word\" >>\"$(dirname \"$0\")/ends\"");
        self.rule(word, &script, &format!("late = \"{late}\""))
    }

    /// A rule that says `答` and the word when it is let go.
    fn saying_rule(&self, word: &str, late: &str) -> String {
        self.waiting_rule(word, "printf '答 %s' \"$word\"", late)
    }

    /// A rule that gives a text of several pieces when it is let go.
    fn long_rule(&self, word: &str, late: &str) -> String {
        fs::write(self.path("text"), "很长的答案，一行又一行\n".repeat(400)).expect("our folder");
        self.waiting_rule(word, "cat \"$(dirname \"$0\")/text\"", late)
    }

    fn let_go(&self, word: &str) {
        fs::write(self.path(&format!("{word}.sh.go")), "").expect("our folder");
    }
}

impl User {
    /// Everything that waits for him, asked for until nothing does; some of it may still be worked out.
    fn fetches_all(&self) -> Vec<String> {
        let next = || Some(self.fetches()).filter(|reply| reply != OTHERWISE);
        std::iter::from_fn(next).collect()
    }
}

/// What the line below a piece says; nothing is left where there is none.
fn left(piece: &str) -> usize {
    let notice = piece.rsplit_once("\n（还有 ").map(|(_, notice)| notice);
    notice.map_or(0, |notice| notice.split(' ').next().and_then(|left| left.parse().ok()).expect(piece))
}

/// Each piece says how many others can be had after it.
#[track_caller]
fn count_down(pieces: &[String], door: Door) {
    let said: Vec<_> = pieces.iter().map(|piece| left(piece)).collect();
    let true_ones: Vec<_> = (0..pieces.len()).rev().collect();
    assert_eq!(said, true_ones, "{door:?}");
}

/// Two messages at once: the second one comes when the first one's handler runs, and both are told so late that both run.
fn both_at_once(user: &User, workshop: &Workshop) -> [Option<String>; 2] {
    thread::scope(|scope| {
        let first = scope.spawn(|| user.asks("first"));
        workshop.has_begun("first");
        let second = scope.spawn(|| user.asks("second"));
        [first, second].map(|asked| asked.join().expect("an answer"))
    })
}

#[test]
fn of_two_messages_at_once_the_second_one_that_is_ready_sooner_is_fetched_second() {
    at_each(DOORS, |door| {
        let (workshop, fake) = (Workshop::open(), FakeWechat::start());
        let rules = ["first", "second"].map(|word| workshop.saying_rule(word, "fetch")).concat();
        let site = Site::behind(door).with_config(&config(&fake, "", &rules, "")).open();
        let user = User::new("hasty", site.port());
        let waiting = Some(WAITING.to_owned());
        assert_eq!(both_at_once(&user, &workshop), [waiting.clone(), waiting.clone()], "{door:?}");
        workshop.let_go("second");
        wait_until("it is ready", || workshop.count("ends", "second") == 1);
        assert_eq!(user.asks("继续"), waiting, "{door:?}");
        workshop.let_go("first");
        // Who is ready just now says how many wait behind him only if they do already.
        let fetched = user.fetches_all();
        assert!(fetched[0].starts_with("答 first"), "{door:?}: {fetched:?}");
        assert_eq!(fetched[1..], ["答 second"], "{door:?}");
        assert_eq!((workshop.runs("first"), workshop.runs("second")), (1, 1), "{door:?}");
    });
}

#[test]
fn of_two_messages_at_once_both_answers_are_pushed_each_once() {
    at_each(DOORS, |door| {
        let (workshop, fake) = (Workshop::open(), FakeWechat::start());
        let rules = ["first", "second"].map(|word| workshop.saying_rule(word, "push")).concat();
        let site = Site::behind(door).with_config(&config(&fake, VERIFIED, &rules, SOON)).open();
        let user = User::new("hasty", site.port());
        assert_eq!(both_at_once(&user, &workshop), [None, None], "{door:?}");
        workshop.let_go("second");
        wait_until("it was pushed", || fake.texts_to(&user.name) == ["答 second"]);
        workshop.let_go("first");
        wait_until("both were pushed", || fake.texts_to(&user.name) == ["答 second", "答 first"]);
        // What is pushed can be fetched until it is noted that WeChat has taken it.
        wait_until("it is noted", || logs(&site).matches(": pushed").count() == 2);
        assert_eq!(user.asks("继续").as_deref(), Some(OTHERWISE), "{door:?}");
        assert_eq!(fake.texts_to(&user.name).len(), 2, "{door:?}");
        assert_eq!((workshop.runs("first"), workshop.runs("second")), (1, 1), "{door:?}");
    });
}

#[test]
fn pieces_of_a_late_long_text_count_the_late_answer_behind_them() {
    at_each(DOORS, |door| {
        let (workshop, fake) = (Workshop::open(), FakeWechat::start());
        let rules = workshop.long_rule("first", "fetch") + &workshop.saying_rule("second", "fetch");
        let site = Site::behind(door).with_config(&config(&fake, "", &rules, SOON)).open();
        let user = User::new("reader", site.port());
        assert_eq!(both_at_once(&user, &workshop), [(); 2].map(|()| Some(WAITING.to_owned())), "{door:?}");
        workshop.let_go("second");
        wait_until("it is ready", || workshop.count("ends", "second") == 1);
        assert_eq!(user.asks("继续").as_deref(), Some(WAITING), "{door:?}");
        workshop.let_go("first");
        let pieces = user.fetches_all();
        assert!(pieces.len() > 4, "{door:?}: {} pieces", pieces.len());
        assert_eq!(pieces.last().map(String::as_str), Some("答 second"), "{door:?}");
        count_down(&pieces, door);
    });
}

#[test]
fn the_first_piece_of_a_long_reply_counts_what_has_waited_before() {
    at_each(DOORS, |door| {
        let (workshop, fake) = (Workshop::open(), FakeWechat::start());
        let rules = workshop.saying_rule("first", "fetch") + &workshop.long_rule("second", "fetch");
        let site = Site::behind(door).with_config(&config(&fake, "", &rules, SOON)).open();
        let user = User::new("reader", site.port());
        assert_eq!(user.asks("first").as_deref(), Some(WAITING), "{door:?}");
        workshop.let_go("first");
        let log = || site.logs() + &site.worker_log();
        wait_until("it waits to be fetched", || log().contains("wait to be fetched"));
        // This one is ready at once.
        workshop.let_go("second");
        let mut pieces = vec![user.asks("second").expect("a piece")];
        pieces.extend(user.fetches_all());
        assert!(pieces.len() > 4, "{door:?}: {} pieces", pieces.len());
        assert!(pieces[1].starts_with("答 first"), "{door:?}: {} pieces", pieces.len());
        count_down(&pieces, door);
    });
}

#[test]
fn the_last_piece_that_may_be_pushed_counts_what_has_waited_before() {
    at_each(DOORS, |door| {
        let (workshop, fake) = (Workshop::open(), FakeWechat::start());
        let rules = workshop.saying_rule("first", "fetch") + &workshop.long_rule("second", "push");
        let site = Site::behind(door).with_config(&config(&fake, VERIFIED, &rules, SOON)).open();
        let user = User::new("reader", site.port());
        assert_eq!(user.asks("first").as_deref(), Some(WAITING), "{door:?}");
        workshop.let_go("first");
        let log = || site.logs() + &site.worker_log();
        wait_until("it waits to be fetched", || log().contains("wait to be fetched"));
        assert_eq!(user.asks("second"), None, "{door:?}");
        workshop.let_go("second");
        wait_until("WeChat takes no more", || log().contains("customer-service messages within"));
        let mut pieces = vec![fake.texts_to(&user.name).pop().expect("a piece")];
        pieces.extend(user.fetches_all());
        assert_eq!(fake.texts_to(&user.name).len(), 5, "{door:?}");
        assert!(pieces[1].starts_with("答 first"), "{door:?}: {} pieces", pieces.len());
        count_down(&pieces, door);
    });
}
