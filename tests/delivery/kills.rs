//! Processes that are killed at several steps of a message's life, a store that goes away, a disk that is full: nothing
//! runs twice, nothing that was finished is lost, the user gets the answer or what the rule says for failures.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::paths::{watchmen, workers};
use super::{FAILED, OTHERWISE, User, VERIFIED, WAITING, Workshop, at_each, config, logs, processes, wechat};
use crate::store::RedisServer;
use crate::support::{Door, FakeWechat, Site, Trouble, WeChat, available, element, wait_until};

/// So long a claim of a dead process holds, and then until it is looked for.
const FOUND_OUT: Duration = Duration::from_secs(60);
const SOON: &str = "[server]\ndeadline = \"1s\"";
const SEND: &str = "/cgi-bin/message/custom/send";
/// Where each message has a process of its own, and nobody is left when it has ended.
const CGI: [Door; 4] = [Door::ByHand, Door::ApacheCgi, Door::ApacheCgid, Door::ApacheSuexec];

fn kill(pid: u32) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a process id");
    // It may have ended just now.
    let _ = kill_process(pid, Signal::KILL);
}

/// Kills the worker of a site.
fn kill_worker(site: &Site) {
    wait_until("there is a worker", || !workers(site).is_empty());
    workers(site).into_iter().for_each(kill);
}

/// Kills the program that a rule runs for `word`.
fn kill_program(workshop: &Workshop, word: &str) {
    let script = workshop.path(&format!("{word}.sh")).display().to_string();
    let runs = |process: &Path| {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&script)
    };
    let processes = fs::read_dir("/proc").expect("Linux").flatten().map(|entry| entry.path());
    for process in processes.filter(|process| runs(process)) {
        let name = process.file_name().expect("a name").to_string_lossy().into_owned();
        if let Ok(pid) = name.parse() {
            kill(pid);
        }
    }
}

/// A user in a thread of his own says something; what he sees is asked for later.
fn in_background(user: &User, text: &str) -> thread::JoinHandle<Option<String>> {
    let (user, text) = (User { name: user.name.clone(), port: user.port }, text.to_owned());
    thread::spawn(move || user.asks(&text))
}

#[test]
fn a_killed_program_ends_in_what_the_rule_says_for_failures() {
    at_each([Door::ApacheCgid, Door::NginxUnix], |door| {
        let (workshop, fake) = (Workshop::open(), FakeWechat::start());
        let rules = workshop.slow_rule("early", 60, "") + &workshop.slow_rule("late", 60, "");
        let site = Site::behind(door).with_config(&config(&fake, VERIFIED, &rules, SOON)).open();
        // While WeChat waits.
        let early = User::new("early", site.port());
        let asked = in_background(&early, "early");
        workshop.has_begun("early");
        kill_program(&workshop, "early");
        let reply = asked.join().expect("an answer");
        // The machine may have been so slow that nobody waited any more.
        let pushed = if reply.is_none() { early.was_pushed(&fake, 1, FOUND_OUT) } else { Vec::new() };
        assert_eq!(reply.into_iter().chain(pushed).collect::<Vec<_>>(), [FAILED], "{door:?}");
        // When nobody does.
        let late = User::new("late", site.port());
        assert_eq!(late.asks("late"), None, "{door:?}");
        kill_program(&workshop, "late");
        assert_eq!(late.was_pushed(&fake, 1, FOUND_OUT), [FAILED], "{door:?}");
        assert_eq!((workshop.runs("early"), workshop.runs("late")), (1, 1), "{door:?}");
    });
}

#[test]
fn a_killed_worker_of_a_cgi_process_loses_nobody() {
    if !Door::ApacheCgid.is_open() {
        return;
    }
    let (workshop, fake) = (Workshop::open(), FakeWechat::start());
    let rules = workshop.slow_rule("early", 60, "") + &workshop.slow_rule("fetch", 60, "late = \"fetch\"");
    let site = Site::behind(Door::ApacheCgid).with_config(&config(&fake, VERIFIED, &rules, "")).open();
    // While the CGI process waits for it.
    let early = User::new("early", site.port());
    let asked = in_background(&early, "early");
    workshop.has_begun("early");
    kill_worker(&site);
    assert_eq!(asked.join().expect("an answer").as_deref(), Some(FAILED));
    // When the user was told to fetch the answer.
    let fetch = User::new("fetch", site.port());
    assert_eq!(fetch.asks("fetch").as_deref(), Some(WAITING));
    kill_worker(&site);
    assert_eq!(fetch.fetches_within(FOUND_OUT), FAILED);
    assert_eq!(fetch.asks("继续").as_deref(), Some(OTHERWISE));
    for word in ["early", "fetch"] {
        assert_eq!(workshop.runs(word), 1, "{word}");
        kill_program(&workshop, word);
    }
}

/// A user whose only message, `push`, is answered when it is worked out, after so many seconds.
struct Late {
    workshop: Workshop,
    fake: FakeWechat,
    site: Site,
    user: User,
}

impl Late {
    fn by(door: Door, seconds: u64) -> Self {
        let (workshop, fake) = (Workshop::open(), FakeWechat::start());
        let rules = workshop.slow_rule("push", seconds, "");
        let site = Site::behind(door).with_config(&config(&fake, VERIFIED, &rules, SOON)).open();
        let user = User::new("push", site.port());
        Self { workshop, fake, site, user }
    }

    /// He says it, and WeChat has its answer.
    #[track_caller]
    fn is_asked(&self) {
        let answer = self.site.receives(&wechat().pushes(WeChat::text_of(&self.user.name, "push")));
        assert_eq!(answer.text(), "success");
        assert_eq!(watchmen(&self.site).len(), 1);
    }

    /// What he was pushed when nobody is left who could push anything, and nobody came meanwhile.
    #[track_caller]
    fn ends_in(&self) -> Vec<String> {
        self.user.was_pushed(&self.fake, 1, FOUND_OUT);
        wait_until("all have ended", || processes(&self.site).is_empty());
        assert_eq!(self.workshop.runs("push"), 1);
        self.fake.texts_to(&self.user.name)
    }
}

#[test]
fn a_user_who_waits_for_a_push_hears_of_a_killed_worker_though_nobody_else_comes() {
    at_each(CGI, |door| {
        let late = Late::by(door, 60);
        late.is_asked();
        kill_worker(&late.site);
        assert_eq!(late.ends_in(), [FAILED], "{door:?}");
        kill_program(&late.workshop, "push");
    });
}

#[test]
fn what_a_killed_worker_has_worked_out_is_pushed_though_nobody_else_comes() {
    at_each(CGI, |door| {
        let late = Late::by(door, 4);
        late.fake.troubles(SEND, [Trouble::Hang]);
        late.is_asked();
        late.fake.was_called(SEND, 1);
        kill_worker(&late.site);
        assert_eq!(late.ends_in(), ["答 push"], "{door:?}");
    });
}

#[test]
fn what_follows_an_answer_is_pushed_on_though_its_process_is_killed_and_nobody_else_comes() {
    at_each(CGI, |door| {
        let fake = FakeWechat::start();
        let rule = "[[rule]]\nwhen.text = \"all\"\nreply = [\"一\", \"二\", \"三\"]\n";
        let site = Site::behind(door).with_config(&config(&fake, VERIFIED, rule, "")).open();
        fake.troubles(SEND, [Trouble::Hang]);
        let user = User::new("all", site.port());
        let answer = site.receives(&wechat().pushes(WeChat::text_of(&user.name, "all")));
        assert_eq!(element(&answer.text(), "Content").as_deref(), Some("一"), "{door:?}");
        fake.was_called(SEND, 1);
        kill_worker(&site);
        assert_eq!(user.was_pushed(&fake, 2, FOUND_OUT), ["二", "三"], "{door:?}");
        wait_until("all have ended", || processes(&site).is_empty());
        assert_eq!(fake.texts_to(&user.name), ["二", "三"], "{door:?}");
    });
}

#[test]
fn a_killed_watchman_changes_nothing() {
    at_each(CGI, |door| {
        let late = Late::by(door, 4);
        late.is_asked();
        watchmen(&late.site).into_iter().for_each(kill);
        assert_eq!(late.ends_in(), ["答 push"], "{door:?}");
    });
}

#[test]
fn a_killed_cgi_process_leaves_its_worker_at_work() {
    at_each([Door::ApacheCgi, Door::ApacheCgid, Door::ApacheSuexec], |door| {
        let (workshop, fake) = (Workshop::open(), FakeWechat::start());
        let site =
            Site::behind(door).with_config(&config(&fake, "", &workshop.slow_rule("slow", 7, ""), "")).open();
        let user = User::new("slow", site.port());
        let asked = in_background(&user, "slow");
        workshop.has_begun("slow");
        for (process, command) in processes(&site) {
            if command.is_none() {
                kill(process);
            }
        }
        // Apache says that something went wrong; WeChat asks again, and another process joins the worker.
        let reply = asked.join().expect("an answer");
        let answer = if reply.as_deref() == Some(WAITING) { Some(user.fetches()) } else { reply };
        assert_eq!(answer.as_deref(), Some("答 slow"), "{door:?}");
        assert_eq!(workshop.runs("slow"), 1, "{door:?}");
    });
}

#[test]
fn a_killed_responder_loses_nobody() {
    if !Door::HeldSocket.is_open() {
        return;
    }
    let (workshop, fake) = (Workshop::open(), FakeWechat::start());
    let words = ["push", "hold", "fetch"];
    let rule = |word| workshop.slow_rule(word, 12, &format!("late = \"{word}\""));
    let rules = words.map(rule).concat() + &workshop.slow_rule("done", 2, "late = \"fetch\"");
    let more = format!("{SOON}\n");
    let mut site = Site::behind(Door::HeldSocket).with_config(&config(&fake, VERIFIED, &rules, &more)).open();
    // Worked out and not fetched yet.
    let done = User::new("done", site.port());
    assert_eq!(done.asks("done").as_deref(), Some(WAITING));
    wait_until("it is done", || site.logs().contains("wait to be fetched"));
    let users = words.map(|word| User::new(word, site.port()));
    let asked: Vec<_> = users.iter().zip(words).map(|(user, word)| in_background(user, word)).collect();
    for word in words {
        workshop.has_begun(word);
    }
    site.kill_responder();
    site.start_responder();
    let mut pushed = 0;
    for ((user, word), asked) in users.iter().zip(words).zip(asked) {
        let answer = match asked.join().expect("an answer") {
            Some(reply) if reply == WAITING => user.fetches_within(FOUND_OUT),
            Some(reply) => reply,
            None => {
                pushed += 1;
                user.was_pushed(&fake, 1, FOUND_OUT).remove(0)
            }
        };
        assert_eq!(answer, FAILED, "{word}");
        assert_eq!(workshop.runs(word), 1, "{word}");
    }
    // What is pushed can be fetched until it is noted that WeChat has taken it.
    wait_until("it is noted", || logs(&site).matches(": pushed").count() == pushed);
    for (user, word) in users.iter().zip(words) {
        assert_eq!(user.asks("继续").as_deref(), Some(OTHERWISE), "{word}");
    }
    assert_eq!(done.asks("继续").as_deref(), Some("答 done"));
}

#[test]
fn a_responder_that_is_replaced_ends_what_it_has_begun() {
    if !Door::HeldSocket.is_open() {
        return;
    }
    let (workshop, fake) = (Workshop::open(), FakeWechat::start());
    let rules = workshop.slow_rule("push", 5, "") + &workshop.slow_rule("fetch", 5, "late = \"fetch\"");
    let mut site = Site::behind(Door::HeldSocket).with_config(&config(&fake, VERIFIED, &rules, SOON)).open();
    let (push, fetch) = (User::new("push", site.port()), User::new("fetch", site.port()));
    assert_eq!(push.asks("push"), None);
    assert_eq!(fetch.asks("fetch").as_deref(), Some(WAITING));
    site.replace_responder();
    assert_eq!(push.was_pushed(&fake, 1, FOUND_OUT), ["答 push"]);
    assert_eq!(fetch.fetches_within(FOUND_OUT), "答 fetch");
    assert_eq!((workshop.runs("push"), workshop.runs("fetch")), (1, 1));
}

#[test]
fn a_redis_that_crashes_and_comes_back_loses_nobody() {
    if !available("redis-server") {
        return;
    }
    at_each([Door::ApacheCgid, Door::NginxUnix], |door| {
        let (workshop, fake, mut redis) = (Workshop::open(), FakeWechat::start(), RedisServer::durable());
        let words = ["push", "fetch", "early"];
        let seconds = |word| if word == "early" { 2 } else { 6 };
        let late = |word| if word == "early" { "push" } else { word };
        let rules =
            words.map(|word| workshop.slow_rule(word, seconds(word), &format!("late = \"{}\"", late(word))));
        let store = format!("[store]\nurl = \"{}\"", redis.url());
        let site = Site::behind(door).with_config(&config(&fake, VERIFIED, &rules.concat(), &store)).open();
        let users = words.map(|word| User::new(word, site.port()));
        let asked: Vec<_> = users.iter().zip(words).map(|(user, word)| in_background(user, word)).collect();
        for word in words {
            workshop.has_begun(word);
        }
        redis.kill();
        // One is ready meanwhile, and what was worked out cannot be noted.
        wait_until("one is ready", || workshop.count("ends", "early") == 1);
        wait_until("the store is missed", || logs(&site).contains("; tried again"));
        redis.start_again();
        for ((user, word), asked) in users.iter().zip(words).zip(asked) {
            let answer = match asked.join().expect("an answer") {
                Some(reply) if reply == WAITING => user.fetches_within(FOUND_OUT),
                Some(reply) => reply,
                None => user.was_pushed(&fake, 1, FOUND_OUT).remove(0),
            };
            let answers = [format!("答 {word}"), FAILED.to_owned()];
            assert!(answers.contains(&answer), "{door:?} {word}: {answer}");
            assert_eq!(workshop.runs(word), 1, "{door:?} {word}");
        }
    });
}

#[test]
fn what_is_worked_out_after_a_failure_was_answered_for_want_of_a_store_still_comes() {
    if !available("redis-server") {
        return;
    }
    at_each([Door::ApacheCgid, Door::NginxUnix], |door| {
        let (workshop, fake, mut redis) = (Workshop::open(), FakeWechat::start(), RedisServer::durable());
        let store = format!("[store]\nurl = \"{}\"", redis.url());
        let rules = workshop.slow_rule("slow", 8, "late = \"push\"");
        let site = Site::behind(door).with_config(&config(&fake, VERIFIED, &rules, &store)).open();
        let user = User::new("slow", site.port());
        let asked = in_background(&user, "slow");
        workshop.has_begun("slow");
        redis.kill();
        // Nobody can decide what becomes of it.
        assert_eq!(asked.join().expect("an answer").as_deref(), Some(FAILED), "{door:?}");
        redis.start_again();
        assert_eq!(user.was_pushed(&fake, 1, FOUND_OUT), ["答 slow"], "{door:?}");
        assert_eq!(workshop.runs("slow"), 1, "{door:?}");
    });
}

#[test]
fn a_worker_waits_for_nobody_who_does_not_listen() {
    if !Door::ApacheCgid.is_open() || !available("redis-server") {
        return;
    }
    let (workshop, fake, mut redis) = (Workshop::open(), FakeWechat::start(), RedisServer::durable());
    // More than a socket holds, worked out when who asked has gone and the store is away.
    let script = "while [ ! -e \"$(dirname \"$0\")/go\" ]; do sleep 0.1; done\n\
                  printf '{\"reply\": {\"news\": [{\"title\": \"t\", \"url\": \"u\", \"description\": \"'\n\
                  head -c 500000 /dev/zero | tr '\\0' x\nprintf '\"}]}}'";
    let rules = workshop.rule("large", script, "late = \"push\"");
    let more = format!("[store]\nurl = \"{}\"\n{SOON}", redis.url());
    let site = Site::behind(Door::ApacheCgid).with_config(&config(&fake, VERIFIED, &rules, &more)).open();
    let user = User::new("large", site.port());
    let answer = site.receives(&wechat().pushes(WeChat::text_of(&user.name, "large")));
    assert_eq!(answer.text(), "success");
    redis.kill();
    fs::write(workshop.path("go"), "").expect("our folder");
    wait_until("the store is missed", || logs(&site).contains("; tried again"));
    redis.start_again();
    fake.was_called(SEND, 1);
    wait_until("all have ended", || processes(&site).is_empty());
}

#[test]
fn a_redis_that_has_forgotten_all_has_nothing_run_again() {
    if !Door::NginxUnix.is_open() || !available("redis-server") {
        return;
    }
    let (workshop, fake, mut redis) = (Workshop::open(), FakeWechat::start(), RedisServer::start(&[]));
    let rules = workshop.slow_rule("slow", 7, "late = \"hold\"");
    let store = format!("[store]\nurl = \"{}\"", redis.url());
    let site = Site::behind(Door::NginxUnix).with_config(&config(&fake, "", &rules, &store)).open();
    let user = User::new("slow", site.port());
    let asked = in_background(&user, "slow");
    workshop.has_begun("slow");
    redis.kill();
    redis.start_again();
    let reply = asked.join().expect("an answer");
    let answer = if reply.as_deref() == Some(WAITING) { Some(user.fetches()) } else { reply };
    assert_eq!(answer.as_deref(), Some("答 slow"));
    assert_eq!(workshop.runs("slow"), 1);
}

#[test]
fn on_a_full_disk_users_get_an_answer_and_nothing_runs_twice() {
    // A file system of a test's own takes a super-user.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    at_each([Door::ApacheCgid, Door::NginxUnix], |door| {
        let (workshop, fake) = (Workshop::open(), FakeWechat::start());
        let disk = TinyDisk::mount(&workshop.path("disk"));
        let rules = workshop.slow_rule("before", 3, "late = \"fetch\"") + &workshop.slow_rule("full", 0, "");
        let store = format!("{SOON}\n[store]\nurl = \"sqlite:{}\"", disk.0.join("store.db").display());
        let site = Site::behind(door).with_config(&config(&fake, "", &rules, &store)).open();
        // It fills while an answer is worked out.
        let before = User::new("before", site.port());
        assert_eq!(before.asks("before").as_deref(), Some(WAITING), "{door:?}");
        disk.fill();
        wait_until("it is done", || workshop.count("ends", "before") == 1);
        let full = User::new("full", site.port());
        let reply = full.asks("full").expect("an answer");
        assert!([FAILED, "答 full"].contains(&reply.as_str()), "{door:?}: {reply}");
        assert!(workshop.runs("full") <= 1, "{door:?}");
        // There is room again.
        disk.make_room();
        assert_eq!(before.fetches_within(FOUND_OUT), "答 before", "{door:?}");
        assert_eq!(workshop.runs("before"), 1, "{door:?}");
    });
}

/// A disk with hardly any room.
struct TinyDisk(std::path::PathBuf);

impl TinyDisk {
    fn mount(at: &Path) -> Self {
        fs::create_dir(at).expect("our folder");
        let run = |program: &str, arguments: &[&str]| {
            let status = std::process::Command::new(program).args(arguments).arg(at).status();
            assert!(status.expect("it runs").success(), "{program}");
        };
        run("mount", &["-t", "tmpfs", "-o", "size=600k,mode=0777", "tmpfs"]);
        Self(at.to_owned())
    }

    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("other")).expect("our disk");
        while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("other")).expect("our file");
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").args(["-l".as_ref(), self.0.as_os_str()]).status();
    }
}
