//! Answers that take longer than WeChat waits: every one reaches its user, once, and its handler runs once.

mod apache;
mod crash;
mod hosts;
mod kills;
mod matrix;
mod paths;
mod reboot;
mod store_crash;
mod storm;
mod turns;

pub(crate) use paths::processes;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::{APP_ID, APP_SECRET, Delivered, Door, FakeWechat, Site, WeChat, wait_until};

/// What a user is told while his answer is worked out.
const WAITING: &str = "还在想，稍后回复“继续”取答案";
/// What no rule meets.
const OTHERWISE: &str = "没有了";
const FAILED: &str = "出错了";

fn wechat() -> WeChat {
    WeChat::with_token("mytoken")
}

/// Where the programs lie that rules run, and what they note.
struct Workshop {
    folder: TempDir,
}

impl Workshop {
    fn open() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // The web server's user writes there.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).expect("our folder");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A rule that has `script` run for what begins with `word`. It finds the message's first word in `$word`, and has
    /// noted that it was run, when it begins; `more` are further lines of the rule.
    fn rule(&self, word: &str, script: &str, more: &str) -> String {
        let file = self.path(&format!("{word}.sh"));
        let begin = "word=$(grep -o \"$1[-0-9a-z]*\" | head -n 1)\n\
                     echo \"$word\" >>\"$(dirname \"$0\")/runs\"\n";
        fs::write(&file, format!("{begin}{script}\n")).expect("our folder");
        format!(
            "[[rule]]\nwhen.prefix = \"{word}\"\nexec = [\"sh\", \"{}\", \"{word}\"]\non_error = \"{FAILED}\"\n{more}\n",
            file.display()
        )
    }

    /// The same for a program that takes so long and says `答` and the word, and notes that it has.
    fn slow_rule(&self, word: &str, seconds: u64, more: &str) -> String {
        let script =
            format!("sleep {seconds}\nprintf '答 %s' \"$word\"\necho \"$word\" >>\"$(dirname \"$0\")/ends\"");
        self.rule(word, &script, more)
    }

    /// How often a program noted `word` in a file.
    fn count(&self, file: &str, word: &str) -> usize {
        let notes = fs::read_to_string(self.path(file)).unwrap_or_default();
        notes.lines().filter(|line| *line == word).count()
    }

    fn runs(&self, word: &str) -> usize {
        self.count("runs", word)
    }

    /// Waits until the program for `word` runs.
    #[track_caller]
    fn has_begun(&self, word: &str) {
        wait_until("the program runs", || self.runs(word) > 0);
    }
}

/// Does this at those of `doors` that are open, at all of them at once: most of it is waiting.
fn at_each<const N: usize>(doors: [Door; N], test: impl Fn(Door) + Sync) {
    let test = &test;
    thread::scope(|scope| {
        let tests: Vec<_> = Door::open_ones(doors).map(|door| scope.spawn(move || test(door))).collect();
        for test in tests {
            test.join().expect("it holds at this door");
        }
    });
}

/// An account whose API is the stand-in, with these rules, and these lines for `[account]` and behind all.
fn config(fake: &FakeWechat, account: &str, rules: &str, more: &str) -> String {
    format!(
        "[account]\ntoken = \"mytoken\"\napp_id = \"{APP_ID}\"\napp_secret = \"{APP_SECRET}\"\n{account}\n\
         [api]\nbase_url = \"{}\"\n{rules}\n[default]\nreply = \"{OTHERWISE}\"\n{more}\n",
        fake.base_url()
    )
}

const VERIFIED: &str = "verified = true";

/// What the processes of a site have logged, also those that outlive their request.
fn logs(site: &Site) -> String {
    let files =
        fs::read_dir(site.folder().join("log")).expect("our folder").flatten().map(|file| file.path());
    let texts = files.map(|file| String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned());
    texts.chain([site.worker_log()]).collect()
}

/// A user and the web server behind which his account is.
struct User {
    name: String,
    port: u16,
}

impl User {
    fn new(name: &str, port: u16) -> Self {
        Self { name: format!("o{name}"), port }
    }

    fn says(&self, text: &str) -> Delivered {
        wechat().delivers(&WeChat::text_of(&self.name, text), self.port)
    }

    /// What he is answered.
    #[track_caller]
    fn asks(&self, text: &str) -> Option<String> {
        self.says(text).reply()
    }

    /// Asks for what waits for him until it is there.
    #[track_caller]
    fn fetches(&self) -> String {
        self.fetches_within(Duration::from_secs(60))
    }

    #[track_caller]
    fn fetches_within(&self, patience: Duration) -> String {
        let start = Instant::now();
        loop {
            let reply = self.asks("继续").expect("there is always an answer to it");
            if reply != WAITING {
                return reply;
            }
            assert!(start.elapsed() < patience, "still nothing after {patience:?}");
            // As a user has it: he asks again after a while.
            thread::sleep(Duration::from_millis(300));
        }
    }

    /// Waits until WeChat has shown him so many customer-service messages, and gives them.
    #[track_caller]
    fn was_pushed(&self, fake: &FakeWechat, count: usize, patience: Duration) -> Vec<String> {
        let start = Instant::now();
        while fake.texts_to(&self.name).len() < count {
            assert!(start.elapsed() < patience, "{} waits for a message", self.name);
            thread::sleep(Duration::from_millis(20));
        }
        fake.texts_to(&self.name)
    }
}
