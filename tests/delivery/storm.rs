//! Very many messages at once, with random delays, duplicates that overtake them, and kills of the responder.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{FAILED, OTHERWISE, User, VERIFIED, WAITING, Workshop, config, wechat};
use crate::support::{Delivered, Door, FakeWechat, Site, WeChat, sized};

const LATE: [&str; 3] = ["push", "fetch", "hold"];
/// So often the responder is killed.
const KILL_EVERY: Duration = Duration::from_secs(6);
/// What WeChat shows where nobody answers its third attempt.
const FAULT: &str = "该公众号提供的服务出现故障，请稍后再试";
/// What WeChat has taken is noted within so long, even by a machine under far too much load.
const NOTED_WITHIN: Duration = Duration::from_secs(2);
/// So far apart the first ones come: none of them is to find that a slow machine has 300 others before it.
const APART: Duration = Duration::from_millis(10);
/// Until a death is found out and told.
const PATIENCE: Duration = Duration::from_secs(90);

/// Numbers that look like chance and are the same in each run (SplitMix64).
fn mixed(number: usize) -> u64 {
    let mut mixed = (number as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What became of a message.
#[derive(Debug)]
struct Outcome {
    word: String,
    /// From its first attempt until its user had an answer.
    span: (Instant, Instant),
    /// What the user saw as replies or fetched.
    seen: Vec<String>,
}

/// The texts that were replied, in whatever attempt and to whatever duplicate.
fn replies(deliveries: &[Delivered]) -> BTreeSet<String> {
    let attempts = deliveries.iter().flat_map(|delivered| &delivered.attempts);
    let answers = attempts.filter_map(|attempt| attempt.answer.as_ref().ok());
    answers.filter_map(crate::support::Answer::reply_text).collect()
}

fn deliver(number: usize, port: u16, fake: &FakeWechat) -> Outcome {
    let chance = mixed(number);
    let word = format!("{}-{number}", LATE[number % LATE.len()]);
    let user = User::new(&word, port);
    let xml = WeChat::text_of(&user.name, &word);
    let start = Instant::now();
    let deliveries: Vec<_> = thread::scope(|scope| {
        let copies = 1 + usize::from(chance.is_multiple_of(3));
        let send = |copy: u64| {
            let pause = Duration::from_millis(copy * (chance >> 8) % 2_500);
            let xml = &xml;
            scope.spawn(move || {
                thread::sleep(pause);
                wechat().delivers(xml, port)
            })
        };
        let under_way: Vec<_> = (0..copies as u64).map(send).collect();
        under_way.into_iter().map(|delivery| delivery.join().expect("it was delivered")).collect()
    });
    let mut seen = replies(&deliveries);
    let is_promised = seen.remove(WAITING);
    let mut seen: Vec<_> = seen.into_iter().collect();
    if seen.is_empty() && is_promised {
        seen.push(user.fetches_within(PATIENCE));
    } else if seen.is_empty() && deliveries.iter().all(Delivered::is_fault) {
        seen.push(FAULT.to_owned());
    } else if seen.is_empty() {
        user.was_pushed(fake, 1, PATIENCE);
    }
    Outcome { word, span: (start, Instant::now()), seen }
}

/// How a message ended, if it ended as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Answered,
    /// Answered what the rule says for failures, or WeChat's own line: its process was killed.
    Failed,
    /// Pushed twice: its process was killed between WeChat's word that it has taken it and our note of that. WeChat takes
    /// no second time for a repeat, and not to push it again would lose it where it was not taken.
    Doubled,
}

/// Each message ran once and was answered once. One whose process was killed may not have run at all, and may have been
/// answered what the rule says for failures; where its last attempt was just with that process, its user sees the fault.
fn judge(
    outcome: &Outcome,
    kills: &[(Instant, Instant)],
    workshop: &Workshop,
    fake: &FakeWechat,
    port: u16,
) -> Result<End, String> {
    let word = &outcome.word;
    let user = User::new(word, port);
    let pushed = fake.timed_texts_to(&user.name);
    let mut seen = outcome.seen.clone();
    seen.extend(pushed.iter().map(|(_, text)| text.clone()));
    let mut more = user.asks("继续");
    if outcome.seen == [FAULT] {
        // WeChat was left to ask again, and met nobody: what there is he may fetch.
        let waits = user.fetches_within(PATIENCE);
        more = if [FAILED, &format!("答 {word}")].contains(&&*waits) {
            user.asks("继续")
        } else {
            Some(waits)
        };
    }
    let is_empty = more.as_deref() == Some(OTHERWISE);
    let was_killed = |from, until| kills.iter().any(|(begun, dead)| from < *dead && *begun < until);
    let is_hit = was_killed(outcome.span.0, outcome.span.1);
    let runs = workshop.runs(word);
    let is_right = |answer: &String| *answer == format!("答 {word}");
    let is_failure = |answer: &String| answer == FAILED || answer == FAULT;
    let end = match (seen.as_slice(), pushed.as_slice()) {
        ([answer], _) if is_right(answer) && runs == 1 => Some(End::Answered),
        ([answer], _) if is_failure(answer) && runs <= 1 && is_hit => Some(End::Failed),
        ([one, two], [(time, _), _]) if is_right(one) && one == two && runs == 1 => {
            was_killed(*time, *time + NOTED_WITHIN).then_some(End::Doubled)
        }
        _ => None,
    };
    let since = |time: Instant| time.duration_since(outcome.span.0);
    let described = || {
        let times: Vec<_> = pushed.iter().map(|(time, _)| since(*time)).collect();
        let kills: Vec<_> = kills.iter().map(|(begun, dead)| (since(*begun), since(*dead))).collect();
        format!(
            "{word}: {runs} run(s), {seen:?} within {:?}, pushed after {times:?}, then {more:?}; kills {kills:?}",
            since(outcome.span.1)
        )
    };
    end.filter(|_| is_empty).ok_or_else(described)
}

#[test]
fn in_a_storm_each_message_runs_once_and_is_answered_once() {
    if !Door::HeldSocket.is_open() {
        return;
    }
    let (messages, at_once, most_kills) = sized((500, 100, 2), (10_000, 300, 12));
    let (workshop, fake) = (Workshop::open(), FakeWechat::start());
    let script = "n=${word##*-}\nsleep \"$((n * 7 % 4)).$((n % 10))\"\nprintf '答 %s' \"$word\"";
    let rules = LATE.map(|late| workshop.rule(late, script, &format!("late = \"{late}\"")));
    let more = "[server]\ndeadline = \"1s\"\n[delivery]\nhold_budget = 1000";
    let mut site =
        Site::behind(Door::HeldSocket).with_config(&config(&fake, VERIFIED, &rules.concat(), more)).open();
    let (port, next, outcomes) = (site.port(), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let mut kills = Vec::new();
    thread::scope(|scope| {
        for place in 0..at_once {
            let (next, outcomes, fake) = (&next, &outcomes, &fake);
            scope.spawn(move || {
                thread::sleep(APART * place);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= messages {
                        return;
                    }
                    let outcome = deliver(number, port, fake);
                    outcomes.lock().expect("no panic").push(outcome);
                }
            });
        }
        while kills.len() < most_kills && next.load(Ordering::Relaxed) < messages {
            thread::sleep(KILL_EVERY);
            let begun = Instant::now();
            site.kill_responder();
            kills.push((begun, Instant::now()));
            site.start_responder();
        }
    });
    let outcomes = outcomes.into_inner().expect("no panic");
    assert_eq!(outcomes.len(), messages);
    let judged: Vec<_> = outcomes.iter().map(|it| judge(it, &kills, &workshop, &fake, port)).collect();
    let wrong: Vec<_> = judged.iter().filter_map(|it| it.as_ref().err()).collect();
    let ended = |end| judged.iter().filter(|it| **it == Ok(end)).count();
    let (failed, doubled) = (ended(End::Failed), ended(End::Doubled));
    assert_eq!(kills.len(), most_kills);
    println!(
        "{messages} messages, {} kills, {failed} answered with `on_error`, {doubled} pushed twice",
        kills.len()
    );
    assert!(wrong.is_empty(), "{} of {messages}: {wrong:#?}", wrong.len());
    assert!(failed < messages / 2, "{failed} of {messages} failed");
    assert!(doubled <= most_kills, "{doubled} were pushed twice");
}
