//! The other paths of an answer: failures, long texts, several replies, repeats, quotas, encryption.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::{FAILED, OTHERWISE, User, VERIFIED, WAITING, Workshop, at_each, config, logs, wechat};
use crate::support::{
    Delivered, Door, FakeWechat, Keys, Site, Trouble, WeChat, available, element, free_port, wait_until,
};

/// A process of its own for each message, and one for all.
const DOORS: [Door; 2] = [Door::ApacheCgid, Door::NginxUnix];
/// Answers are late sooner.
const SOON: &str = "[server]\ndeadline = \"1s\"";
const SEND: &str = "/cgi-bin/message/custom/send";
const PATIENCE: Duration = Duration::from_secs(40);

fn open(door: Door, fake: &FakeWechat, account: &str, rules: &str, more: &str) -> Site {
    Site::behind(door).with_config(&config(fake, account, rules, more)).open()
}

#[test]
fn a_handler_that_fails_ends_in_what_the_rule_says_for_failures() {
    let workshop = Workshop::open();
    let rules = [
        workshop.rule("silent", "", ""),
        workshop.rule("status", "echo no; exit 3", ""),
        workshop.rule("rubbish", "printf '\\377\\376\\001'", ""),
        workshop.rule("flood", "exec head -c 3000000 /dev/zero", ""),
        workshop.rule("endless", "sleep 600", "timeout = \"500ms\""),
        workshop.rule("killed", "kill -9 $$", ""),
        format!(
            "[[rule]]\nwhen.text = \"missing\"\nexec = [\"/nonexistent/bot\"]\non_error = \"{FAILED}\"\n"
        ),
        "[[rule]]\nwhen.text = \"mute\"\nexec = [\"/nonexistent/bot\"]\n".to_owned(),
    ];
    at_each(DOORS, |door| {
        let fake = FakeWechat::start();
        let site = open(door, &fake, "", &rules.concat(), "");
        let user = User::new("failing", site.port());
        assert_eq!(user.asks("silent"), None, "{door:?}");
        assert_eq!(user.asks("mute"), None, "{door:?}");
        for word in ["status", "rubbish", "flood", "endless", "killed", "missing"] {
            assert_eq!(user.asks(word).as_deref(), Some(FAILED), "{door:?} {word}");
        }
        assert_eq!(user.asks("继续").as_deref(), Some(OTHERWISE), "{door:?}");
    });
}

#[test]
fn where_the_store_is_gone_nothing_is_begun_and_the_user_is_told() {
    let workshop = Workshop::open();
    let rules = workshop.slow_rule("slow", 0, "");
    at_each(DOORS, |door| {
        let (fake, store) =
            (FakeWechat::start(), format!("[store]\nurl = \"redis://127.0.0.1:{}\"", free_port()));
        let site = open(door, &fake, "", &rules, &store);
        let user = User::new("unlucky", site.port());
        assert_eq!(user.asks("slow").as_deref(), Some(FAILED), "{door:?}");
        assert_eq!(user.asks("什么").as_deref(), Some(OTHERWISE), "{door:?}");
        assert_eq!(workshop.runs("slow"), 0, "{door:?}");
    });
}

/// A text of several pieces: so many lines, each with its number.
const LINES: usize = 300;

fn long_text() -> String {
    let lines: Vec<_> = (1..=LINES).map(|number| format!("第 {number} 行，很长的答案")).collect();
    lines.join("\n")
}

fn without_notice(piece: &str) -> (&str, usize) {
    match piece.rsplit_once("\n（还有 ") {
        Some((text, notice)) => {
            (text, notice.split(' ').next().and_then(|left| left.parse().ok()).expect(piece))
        }
        None => (piece, 0),
    }
}

#[test]
fn a_long_text_is_fetched_piece_by_piece_and_a_repeat_gets_the_same_one() {
    let workshop = Workshop::open();
    fs::write(workshop.path("text"), long_text()).expect("our folder");
    let rules = workshop.rule("long", "cat \"$(dirname \"$0\")/text\"", "");
    at_each(DOORS, |door| {
        let fake = FakeWechat::start();
        let site = open(door, &fake, "", &rules, "");
        let user = User::new("reader", site.port());
        let first = user.asks("long").expect("a piece");
        let (text, mut left) = without_notice(&first);
        assert!(left >= 3, "{door:?}: {first}");
        let mut whole = vec![text.to_owned()];
        while left > 0 {
            let asks = WeChat::text_of(&user.name, "继续");
            let answers = [(); 2].map(|()| wechat().delivers(&asks, site.port()));
            assert_eq!(answers[0].answer().text(), answers[1].answer().text(), "{door:?}");
            let piece = answers[0].reply().expect("a piece");
            assert!(piece.len() <= 2047, "{door:?}: {} bytes", piece.len());
            let (text, further) = without_notice(&piece);
            assert_eq!(further, left - 1, "{door:?}: {piece}");
            whole.push(text.to_owned());
            left = further;
        }
        assert_eq!(whole.join("\n"), long_text(), "{door:?}");
        assert_eq!(user.asks("继续").as_deref(), Some(OTHERWISE), "{door:?}");
    });
}

#[test]
fn several_replies_and_long_texts_are_pushed_in_their_order_where_that_may_be() {
    let workshop = Workshop::open();
    fs::write(workshop.path("text"), long_text()).expect("our folder");
    let several = "[[rule]]\nwhen.text = \"several\"\nreply = [\"一\", \"二\", \"三\"]\n";
    let rules = workshop.rule("long", "sleep 2; cat \"$(dirname \"$0\")/text\"", "") + several;
    at_each(DOORS, |door| {
        let fake = FakeWechat::start();
        let site = open(door, &fake, VERIFIED, &rules, SOON);
        let user = User::new("several", site.port());
        let mut replies: Vec<_> = user.asks("several").into_iter().collect();
        replies.extend(user.was_pushed(&fake, 3 - replies.len(), PATIENCE));
        assert_eq!(replies, ["一", "二", "三"], "{door:?}");
        let reader = User::new("long", site.port());
        assert_eq!(reader.asks("long"), None, "{door:?}");
        let pieces = reader.was_pushed(&fake, 5, PATIENCE);
        let start = long_text();
        assert!(start.starts_with(&pieces.join("\n")), "{door:?}: {pieces:?}");
        // WeChat takes five for a message. The fifth waits to be fetched too until it is noted that WeChat has taken it.
        wait_until("it is noted", || logs(&site).matches(": pushed").count() == 2);
        let mut whole = pieces;
        loop {
            let reply = reader.asks("继续").expect("a reply");
            if reply == OTHERWISE {
                break;
            }
            whole.push(without_notice(&reply).0.to_owned());
        }
        assert_eq!(whole.join("\n"), start, "{door:?}");
        assert_eq!(fake.texts_to(&reader.name).len(), 5, "{door:?}");

        let fake = FakeWechat::start();
        let site = open(door, &fake, "", &rules, SOON);
        let user = User::new("several", site.port());
        let replies: Vec<_> =
            ["several", "继续", "继续", "继续"].into_iter().filter_map(|it| user.asks(it)).collect();
        let more = |left| format!("（还有 {left} 条，回复“继续”查看）");
        let expected =
            [format!("一\n{}", more(2)), format!("二\n{}", more(1)), "三".into(), OTHERWISE.into()];
        assert_eq!(replies, expected, "{door:?}");
    });
}

#[test]
fn two_messages_of_a_user_at_once_keep_their_order_and_nothing_runs_twice() {
    at_each(DOORS, |door| {
        let (workshop, fake) = (Workshop::open(), FakeWechat::start());
        let late = "late = \"fetch\"";
        let rules = workshop.slow_rule("first", 4, late) + &workshop.slow_rule("second", 2, late);
        let site = open(door, &fake, "", &rules, SOON);
        let user = User::new("hasty", site.port());
        let first = WeChat::text_of(&user.name, "first");
        assert_eq!(wechat().delivers(&first, site.port()).reply().as_deref(), Some(WAITING));
        assert_eq!(user.asks("second").as_deref(), Some(WAITING));
        wait_until("the second is done", || workshop.count("ends", "second") == 1);
        // The second one is ready, but it is not its turn.
        if workshop.count("ends", "first") == 0 {
            assert_eq!(user.asks("继续").as_deref(), Some(WAITING), "{door:?}");
        }
        let fetched = [(); 2].map(|()| user.fetches());
        assert!(fetched[0].starts_with("答 first"), "{door:?}: {fetched:?}");
        assert_eq!(fetched[1], "答 second", "{door:?}");
        // An old request that somebody has recorded.
        let replayed = [(); 2].map(|()| wechat().delivers(&first, site.port()).answer().text());
        assert_eq!(replayed[0], replayed[1], "{door:?}");
        assert_eq!(element(&replayed[0], "Content").as_deref(), Some(WAITING), "{door:?}");
        assert_eq!((workshop.runs("first"), workshop.runs("second")), (1, 1), "{door:?}");
        assert_eq!(user.asks("继续").as_deref(), Some(OTHERWISE), "{door:?}");
    });
}

#[test]
fn a_repeat_joins_the_first_attempt_and_gets_the_same_bytes() {
    at_each(DOORS, |door| {
        let (workshop, fake) = (Workshop::open(), FakeWechat::start());
        let site = open(door, &fake, "", &workshop.slow_rule("slow", 2, ""), "");
        let request = wechat().pushes(WeChat::text_of("oRepeat", "slow"));
        let answers: Vec<_> = thread::scope(|scope| {
            let send = |_| scope.spawn(|| site.receives(&request).text());
            let attempts: Vec<_> = (0..6).map(send).collect();
            attempts.into_iter().map(|attempt| attempt.join().expect("an answer")).collect()
        });
        let again = site.receives(&request);
        again.replies("答 slow");
        assert!(answers.iter().all(|answer| *answer == again.text()), "{door:?}: {answers:?}");
        assert_eq!(workshop.runs("slow"), 1, "{door:?}");
    });
}

#[test]
fn what_wechat_does_not_take_waits_and_the_next_one_is_not_tried() {
    at_each(DOORS, |door| {
        let errcode = if door == Door::ApacheCgid { 45_015 } else { 45_047 };
        let (workshop, fake) = (Workshop::open(), FakeWechat::start());
        let rules = workshop.slow_rule("one", 2, "late = \"push\"")
            + &workshop.slow_rule("two", 2, "late = \"push\"");
        let site = open(door, &fake, VERIFIED, &rules, SOON);
        fake.troubles(SEND, [Trouble::Errcode(errcode, "out of response limit")]);
        let user = User::new("away", site.port());
        assert_eq!(user.asks("one"), None, "{door:?}");
        fake.was_called(SEND, 1);
        wait_until("it waits", || site.logs().contains(&errcode.to_string()) || door == Door::ApacheCgid);
        assert_eq!(user.fetches_when_there(), "答 one", "{door:?}");
        assert_eq!(user.asks("two").as_deref(), Some(WAITING), "{door:?}");
        assert_eq!(user.fetches(), "答 two", "{door:?}");
        assert_eq!(fake.count(SEND), 1, "{door:?}");
        // Others are not concerned.
        let other = User::new("present", site.port());
        assert_eq!(other.asks("one"), None, "{door:?}");
        assert_eq!(other.was_pushed(&fake, 1, PATIENCE), ["答 one"], "{door:?}");
    });
}

impl User {
    /// Asks for what will wait for him: nothing said so yet.
    #[track_caller]
    fn fetches_when_there(&self) -> String {
        let mut reply = self.fetches();
        let mut tries = 0;
        while reply == OTHERWISE {
            tries += 1;
            assert!(tries < 60, "nothing waits");
            thread::sleep(Duration::from_millis(300));
            reply = self.fetches();
        }
        reply
    }
}

#[test]
fn a_user_who_waits_for_a_push_sees_that_somebody_is_typing() {
    at_each(DOORS, |door| {
        let (workshop, fake) = (Workshop::open(), FakeWechat::start());
        let site = open(door, &fake, VERIFIED, &workshop.slow_rule("slow", 8, ""), SOON);
        let user = User::new("waiting", site.port());
        assert_eq!(user.asks("slow"), None, "{door:?}");
        assert_eq!(user.was_pushed(&fake, 1, PATIENCE), ["答 slow"], "{door:?}");
        let typing = fake.last("/cgi-bin/message/custom/typing").json().expect("JSON");
        assert_eq!(typing, json!({"touser": user.name, "command": "Typing"}), "{door:?}");
    });
}

#[test]
fn an_account_that_may_not_push_holds_within_its_budget_and_has_the_rest_fetched() {
    at_each(DOORS, |door| {
        let (workshop, fake) = (Workshop::open(), FakeWechat::start());
        let rules = workshop.slow_rule("auto", 3, "") + &workshop.slow_rule("push", 3, "late = \"push\"");
        let more = format!("{SOON}\n[delivery]\nhold_budget = 1");
        let site = open(door, &fake, "", &rules, &more);
        let held = User::new("held", site.port()).says("auto");
        assert_eq!(
            (held.reply().as_deref(), held.attempts.len()),
            (Some("答 auto"), 2),
            "{door:?}: {held:?}"
        );
        for word in ["auto", "push"] {
            let user = User::new("budget", site.port());
            let told = user.says(word);
            assert_eq!(
                (told.reply().as_deref(), told.attempts.len()),
                (Some(WAITING), 1),
                "{door:?}: {told:?}"
            );
            assert_eq!(user.fetches(), format!("答 {word}"), "{door:?}");
        }
        assert_eq!(fake.calls(), 0, "{door:?}");
    });
}

#[test]
fn an_encrypted_message_gets_its_late_answer_encrypted() {
    if !available("wechatpy") {
        return;
    }
    at_each(DOORS, |door| {
        let (workshop, fake) = (Workshop::open(), FakeWechat::start());
        let Keys { token, aes, app_id } = Keys::ours();
        let rules = workshop.slow_rule("held", 3, "late = \"hold\"")
            + &workshop.slow_rule("fetched", 3, "late = \"fetch\"");
        let config = format!(
            "[account]\ntoken = \"{token}\"\napp_id = \"{app_id}\"\nencoding_aes_key = \"{aes}\"\nmode = \"secure\"\n{rules}{SOON}\n"
        );
        let site = Site::behind(door).with_config(&config).open();
        let reply = |text: &str| {
            let request = Keys::ours().seal(&WeChat::text_of("oSealed", text));
            let delivered = Delivered::by(site.port(), || request.clone());
            let opened = Keys::ours().open(delivered.answer());
            (element(&opened, "Content").expect("a text"), delivered.attempts.len())
        };
        assert_eq!(reply("held"), ("答 held".to_owned(), 2), "{door:?}");
        assert_eq!(reply("fetched"), (WAITING.to_owned(), 1), "{door:?}");
        wait_until("it is done", || workshop.count("ends", "fetched") == 1);
        let mut fetched = reply("继续").0;
        while fetched == WAITING {
            fetched = reply("继续").0;
        }
        assert_eq!(fetched, "答 fetched", "{door:?}");
        drop(fake);
    });
}

/// The workers of a site: processes of its program that a CGI process has started.
pub(super) fn workers(site: &Site) -> Vec<u32> {
    started_as(site, "work-for-cgi")
}

/// Those that wait for the end of a worker.
pub(super) fn watchmen(site: &Site) -> Vec<u32> {
    started_as(site, "watch-for-cgi")
}

fn started_as(site: &Site, command: &str) -> Vec<u32> {
    let its = processes(site).into_iter().filter(|(_, its)| its.as_deref() == Some(command));
    its.map(|(pid, _)| pid).collect()
}

/// The processes of the program of a site, and the command that each was started with, if any.
pub(crate) fn processes(site: &Site) -> Vec<(u32, Option<String>)> {
    let program = site.folder().join("bin/wxcgi");
    let of_program = |process: &Path| {
        fs::read_link(process.join("exe")).ok().filter(|exe| *exe == program)?;
        let line = fs::read(process.join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line);
        let command = line.split('\0').nth(1).filter(|command| !command.is_empty()).map(ToOwned::to_owned);
        Some((process.file_name()?.to_str()?.parse().ok()?, command))
    };
    let entries = fs::read_dir("/proc").expect("Linux").flatten();
    entries.filter_map(|entry| of_program(&entry.path())).collect()
}

/// What the descriptors of a process are, in their order.
fn descriptors(process: u32) -> Vec<String> {
    let open = fs::read_dir(format!("/proc/{process}/fd")).expect("it runs").flatten();
    let mut open: Vec<_> = open
        .map(|entry| {
            let number: u32 = entry.file_name().to_string_lossy().parse().expect("a number");
            let target = fs::read_link(entry.path()).unwrap_or_default();
            (number, target.display().to_string())
        })
        .collect();
    open.sort();
    open.into_iter().map(|(_, target)| target).collect()
}

/// Whether a process leads a session.
fn leads_session(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let session = stat.rsplit_once(") ").expect("a name").1.split(' ').nth(3).map(ToOwned::to_owned);
    session == Some(process.to_string())
}

/// The real, effective and saved user of a process, and that of its file accesses.
fn users(process: u32) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).expect("its users");
    line.split_ascii_whitespace().map(|user| user.parse().expect("a number")).collect()
}

/// Whether a process knows what a web server wanted from a CGI program.
fn knows_a_request(process: u32) -> bool {
    let environment = fs::read(format!("/proc/{process}/environ")).expect("it runs");
    let environment = String::from_utf8_lossy(&environment);
    assert!(environment.split('\0').any(|variable| variable.starts_with("PATH=")), "{environment}");
    ["REQUEST_METHOD=", "QUERY_STRING=", "GATEWAY_INTERFACE="].iter().any(|name| environment.contains(name))
}

#[test]
fn a_worker_and_its_watchman_outlive_their_request_and_have_nothing_of_it() {
    at_each([Door::ApacheCgi, Door::ApacheCgid, Door::ApacheSuexec], |door| {
        let (workshop, fake) = (Workshop::open(), FakeWechat::start());
        let site = open(door, &fake, VERIFIED, &workshop.slow_rule("slow", 5, ""), SOON);
        let user = User::new("patient", site.port());
        // The web server has ended the request by then.
        let delivered = user.says("slow");
        assert_eq!((delivered.reply(), delivered.attempts.len()), (None, 1), "{door:?}");
        let (worker, watchman) = (workers(&site), watchmen(&site));
        assert_eq!((worker.len(), watchman.len()), (1, 1), "{door:?}");
        let (worker, watchman) = (worker[0], watchman[0]);
        for process in [worker, watchman] {
            wait_until("it is in a session of its own", || leads_session(process));
            assert!(!knows_a_request(process), "{door:?}");
            assert_eq!(users(process), [site.user(); 4], "{door:?}");
        }
        let open = descriptors(worker);
        assert!(open[0].starts_with("socket:"), "{door:?}: {open:?}");
        assert_eq!(open[1..3], ["/dev/null", "/dev/null"], "{door:?}: {open:?}");
        // What it has opened itself: its store, the pipes to its program.
        let state = site.state().display().to_string();
        let is_own = |target: &String| {
            target.starts_with(&state) || target.starts_with("pipe:") || target.starts_with("anon_inode:")
        };
        assert!(open[3..].iter().all(is_own), "{door:?}: {open:?}");
        // What it was told, and the line to the worker; it opens nothing before that one's end.
        let open = descriptors(watchman);
        assert!(open[..2].iter().all(|target| target.starts_with("socket:")), "{door:?}: {open:?}");
        assert_eq!(open[2..], ["/dev/null"], "{door:?}: {open:?}");
        assert_eq!(user.was_pushed(&fake, 1, PATIENCE), ["答 slow"], "{door:?}");
        wait_until("they end", || processes(&site).is_empty());
        assert_eq!(user.was_pushed(&fake, 1, PATIENCE), ["答 slow"], "{door:?}");
        assert_eq!(workshop.runs("slow"), 1, "{door:?}");
    });
}

/// As where WeChat's second attempt is lost on its way.
#[test]
fn what_was_finished_for_who_was_held_can_be_fetched_if_wechat_never_asks_again() {
    let workshop = Workshop::open();
    let rules = workshop.slow_rule("held", 7, "late = \"hold\"");
    at_each(DOORS, |door| {
        let fake = FakeWechat::start();
        let site = open(door, &fake, "", &rules, "");
        let (user, word) = (User::new("unasked", site.port()), format!("held{}", site.port()));
        assert_eq!(site.receives(&wechat().pushes(WeChat::text_of(&user.name, &word))).text(), "success");
        wait_until("the program ends", || workshop.count("ends", &word) > 0);
        assert_eq!(user.fetches(), format!("答 {word}"), "{door:?}");
    });
}
