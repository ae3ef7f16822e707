//! `http` and the guards of rules behind real servers; who is asked is written in Python, and checks what it is sent.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Door, Site, WeChat, command, repository};

const DOORS: [Door; 2] = [Door::ApacheCgid, Door::NginxUnix];
const SECRET: &str = "hunter2-hunter2";

/// A running server; it ends with this.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start() -> Self {
        let mut child = command("python3")
            .arg(repository().join("tests/support/json_server.py"))
            .arg(SECRET)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python runs");
        let mut port = String::new();
        BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut port).expect("it starts");
        Self { child, port: port.trim().parse().expect("a port") }
    }

    /// As the config names it.
    fn at(&self, path: &str, more: &str) -> String {
        format!("{{ url = \"http://127.0.0.1:{}{path}\", secret = \"{SECRET}\"{more} }}", self.port)
    }

    /// What it was asked, in its order.
    fn asked(&self) -> Vec<String> {
        let mut answer = ureq::get(format!("http://127.0.0.1:{}/", self.port)).call().expect("an answer");
        let asked = answer.body_mut().read_to_string().expect("a text");
        asked.lines().map(str::to_owned).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wechat() -> WeChat {
    WeChat::with_token("mytoken")
}

#[test]
fn a_server_answers_and_remembers() {
    for door in Door::open_ones(DOORS) {
        let server = Server::start();
        let config = format!(
            "[account]\ntoken = \"mytoken\"\n[[rule]]\nname = \"ask\"\nwhen.prefix = \"查\"\nhttp = {}\n\
             on_error = \"查不到\"\n",
            server.at("/ask", "")
        );
        let site = Site::behind(door).with_config(&config).open();
        let more = "\n（还有 1 条，回复“继续”查看）";
        site.receives(&wechat().says("查上海")).replies(&format!("上海第1次{more}"));
        site.receives(&wechat().says("继续")).replies("再见");
        let again = wechat().says("查北京");
        for _ in 0..2 {
            site.receives(&again).replies(&format!("北京第2次{more}"));
        }
        site.receives(&wechat().says("查故障")).replies("查不到");
        assert_eq!(server.asked(), ["/ask 查上海", "/ask 查北京", "/ask 查故障"], "a repeat asks nobody");
        let strangers = config.replace(SECRET, "hunter3-hunter3");
        let site = Site::behind(door).with_config(&strangers).open();
        site.receives(&wechat().says("查上海")).replies("查不到");
        assert!(!site.logs().contains("hunter3"), "{}", site.logs());
    }
}

/// Rules whose guards are the server and a program.
fn guarded(server: &Server) -> String {
    let (may, hangs) = (server.at("/may", ""), server.at("/hang", ", timeout = \"20s\""));
    format!(
        "[account]\ntoken = \"mytoken\"\n[server]\ndeadline = \"3s\"\n\
         [[rule]]\nwhen.suffix = \"价\"\nwhen.http = {may}\nreply = \"会员价\"\n\
         [[rule]]\nwhen.suffix = \"价\"\nwhen.exec = [\"sh\", \"-c\", 'test \"$WX_CONTENT\" = 内部价']\nreply = \"内部\"\n\
         [[rule]]\nwhen.suffix = \"价\"\nreply = \"零售\"\n\
         [[rule]]\nwhen.text = \"会员算\"\nwhen.http = {may}\nexec = [\"echo\", \"算好了\"]\n\
         [[rule]]\nwhen.text = \"慢\"\nwhen.http = {hangs}\nreply = \"等到了\"\n\
         [default]\nreply = \"没等\"\n"
    )
}

#[test]
fn guards_say_which_rule_answers_and_are_asked_once() {
    for door in Door::open_ones(DOORS) {
        let server = Server::start();
        let site = Site::behind(door).with_config(&guarded(&server)).open();
        for (text, reply) in [("会员价", "会员价"), ("内部价", "内部"), ("价", "零售"), ("会员算", "算好了")]
        {
            let message = wechat().says(text);
            for _ in 0..2 {
                site.receives(&message).replies(reply);
            }
        }
        assert_eq!(server.asked(), ["/may 会员价", "/may 内部价", "/may 价", "/may 会员算"]);
    }
}

#[test]
fn a_guard_that_hangs_leaves_the_other_rules_time_to_answer() {
    for door in Door::open_ones(DOORS) {
        let server = Server::start();
        let site = Site::behind(door).with_config(&guarded(&server)).open();
        let started = Instant::now();
        site.receives(&wechat().says("慢")).replies("没等");
        assert!(started.elapsed() >= Duration::from_secs(2), "it was waited for");
        let logs = site.logs();
        assert!(logs.contains("127.0.0.1 did not answer within"), "{logs}");
        assert!(!logs.contains("is not ready at the `deadline`"), "{logs}");
    }
}
