//! Messages whose process is killed with -9: one for each way that late answers go, all at the same step of their lives.
//! Whoever comes after sees to it that each user is answered once.

use std::fs;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::paths::processes;
use super::{FAILED, OTHERWISE, User, VERIFIED, WAITING, Workshop, config, logs, wechat};
use crate::support::{Delivered, FakeWechat, Site, WeChat, element, wait_until};

const LATE: [&str; 3] = ["push", "fetch", "hold"];
const TOKEN: &str = "/cgi-bin/stable_token";
/// Until a death is found out and told.
const PATIENCE: Duration = Duration::from_secs(60);
/// WeChat's third attempt comes so long after the message, seconds.
const THIRD_ATTEMPT: u64 = 10;

/// How far messages are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Their handlers run, WeChat waits.
    Begun,
    /// Their users were told to wait, or, if it is to be pushed, nothing; the handlers run still.
    Told,
    /// They are answered, and no user has seen it: WeChat has not taken what is pushed, nobody has asked for what is to be
    /// fetched, nor WeChat again for what is held.
    Finished,
}

/// What their users get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Answered,
    Failed,
}

impl Ending {
    fn text(self, late: &str) -> String {
        match self {
            Self::Answered => format!("答 {late}"),
            Self::Failed => FAILED.to_owned(),
        }
    }
}

/// A message of each kind at one account.
pub(super) struct Messages {
    step: Step,
    workshop: Workshop,
    fake: FakeWechat,
    sent: Vec<Sent>,
}

struct Sent {
    late: &'static str,
    user: User,
    xml: String,
    delivery: JoinHandle<Delivered>,
}

impl Messages {
    /// Messages that are to come to this step.
    pub(super) fn for_step(step: Step) -> Self {
        Self { step, workshop: Workshop::open(), fake: FakeWechat::start(), sent: Vec::new() }
    }

    /// The config of their account, with these lines behind it. Its handlers end when they are let go.
    pub(super) fn config(&self, more: &str) -> String {
        let script = "while [ -e \"$0\" ] && [ ! -e \"$(dirname \"$0\")/go\" ]; do sleep 0.1; done\n\
                      printf '答 %s' \"$word\"\necho \"$word\" >>\"$(dirname \"$0\")/ends\"";
        let slow = LATE.map(|late| self.workshop.rule(late, script, &format!("late = \"{late}\"")));
        let rules = slow.concat() + &self.workshop.slow_rule("quick", 0, "");
        // Where users are to be told to wait, that is soon; else as late as mod_fcgid lets it be, which keeps attempts
        // waiting while it starts processes.
        let deadline = if self.step == Step::Begun { "3s" } else { "1s" };
        config(&self.fake, VERIFIED, &rules, &format!("[server]\ndeadline = \"{deadline}\"\n{more}"))
    }

    /// They are sent, and are at their step when this returns. `logs` gives what those who work on them have logged.
    pub(super) fn are_sent(&mut self, port: u16, logs: impl Fn() -> String) {
        if self.step == Step::Finished {
            self.fake.hold(TOKEN);
        }
        self.sent = LATE.map(|late| send(late, self.step, port)).into();
        for late in LATE {
            self.workshop.has_begun(late);
        }
        if self.step == Step::Begun {
            return;
        }
        let is_told = |sent: &Sent| sent.delivery.is_finished();
        // What is held is told nothing before WeChat's third attempt.
        let told = |sent: &&Sent| self.step == Step::Told || sent.late != "hold";
        wait_until("they are told", || self.sent.iter().filter(told).all(is_told));
        if self.step == Step::Finished {
            self.let_go();
            self.fake.was_called(TOKEN, 1);
            wait_until("one waits to be fetched", || logs().contains("wait to be fetched"));
            // Who asks as WeChat does meanwhile is answered what all are.
            let held = self.sent.iter().find(|sent| sent.late == "hold").expect("it was sent");
            assert_eq!(wechat().delivers(&held.xml, port).reply().as_deref(), Some("答 hold"));
        }
    }

    /// The handlers end.
    pub(super) fn let_go(&self) {
        fs::write(self.workshop.path("go"), "").expect("our folder");
        wait_until("they have ended", || LATE.iter().all(|late| self.workshop.count("ends", late) == 1));
    }

    /// Everything that runs for them is killed in one moment: of the program of the site, and what its rules run.
    pub(super) fn kill_all(&self, site: &Site) {
        let workshop = self.workshop.folder.path().display().to_string();
        // Who has stopped sees nobody die.
        for signal in [Signal::STOP, Signal::KILL] {
            let programs = numbers().filter(|&pid| command_line(pid).contains(&workshop));
            processes(site)
                .into_iter()
                .map(|(pid, _)| pid)
                .chain(programs)
                .for_each(|pid| send_signal(pid, signal));
        }
    }

    /// Each user gets his answer, or what the rule says for failures, and nothing else, whatever he asks; WeChat's repeats
    /// get the same bytes as before; nothing has run twice. `nudge` does what it takes until somebody looks after what is
    /// to be pushed.
    pub(super) fn each_is_answered_once(self, ending: Ending, sites: &[&Site], port: u16, nudge: impl Fn()) {
        self.fake.release();
        let answered: Vec<_> = self
            .sent
            .into_iter()
            .map(|sent| {
                let Sent { late, user, xml, delivery } = sent;
                let user = User { port, ..user };
                let delivered = delivery.join().expect("it was delivered");
                let (reply, expected) = (delivered.reply(), ending.text(late));
                let is_pushed = reply.is_none();
                let answer = match reply {
                    Some(reply) if reply == WAITING => user.fetches_within(PATIENCE),
                    Some(reply) => reply,
                    None => {
                        wait_for_push(&user, &self.fake, &nudge);
                        self.fake.texts_to(&user.name).concat()
                    }
                };
                assert_eq!(answer, expected, "{late}");
                (late, user, xml, delivered, is_pushed)
            })
            .collect();
        for (late, _, xml, delivered, _) in &answered {
            for _ in 0..2 {
                assert_eq!(wechat().delivers(xml, port).answer().text(), delivered.answer().text(), "{late}");
            }
        }
        // What is pushed can be fetched until it is noted that WeChat has taken it.
        if answered.iter().any(|(.., is_pushed)| *is_pushed) {
            wait_until("it is noted", || sites.iter().any(|site| logs(site).contains(": pushed")));
        }
        for (late, user, .., is_pushed) in &answered {
            assert_eq!(user.asks("继续").as_deref(), Some(OTHERWISE), "{late}");
            assert_eq!(self.fake.texts_to(&user.name).len(), usize::from(*is_pushed), "{late}");
            assert_eq!(self.workshop.runs(late), 1, "{late}");
        }
    }
}

/// One user's message, in a thread of its own.
fn send(late: &'static str, step: Step, port: u16) -> Sent {
    let user = User::new(late, port);
    let mut xml = WeChat::text_of(&user.name, late);
    if (late, step) == ("hold", Step::Told) {
        // As if nobody had heard the first two attempts: who is held is told to wait at the third.
        let time = element(&xml, "CreateTime").and_then(|time| time.parse::<u64>().ok()).expect("a time");
        xml = xml.replace(&time.to_string(), &(time - THIRD_ATTEMPT).to_string());
    }
    let message = xml.clone();
    let delivery = thread::spawn(move || wechat().delivers(&message, port));
    Sent { late, user, xml, delivery }
}

fn wait_for_push(user: &User, fake: &FakeWechat, nudge: &impl Fn()) {
    let start = Instant::now();
    while fake.texts_to(&user.name).is_empty() {
        assert!(start.elapsed() < PATIENCE, "{} waits for a message", user.name);
        nudge();
        thread::sleep(Duration::from_millis(100));
    }
}

/// The ids of all processes.
fn numbers() -> impl Iterator<Item = u32> {
    let names = fs::read_dir("/proc").expect("Linux").flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok())
}

fn command_line(pid: u32) -> String {
    let line = fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline"));
    String::from_utf8_lossy(&line.unwrap_or_default()).into_owned()
}

fn send_signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a process id");
    // It may have ended just now.
    let _ = kill_process(pid, signal);
}
