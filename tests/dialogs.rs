//! What is remembered of users: dialogs, sessions, limits. Under CGI each message is a process of its own.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use crate::store::RedisServer;
use crate::support::{Door, Request, Site, WeChat, available, element, free_port, repository, wait_until};

const BOTH: [Door; 2] = [Door::ByHand, Door::FastcgiByHand];

const CONFIG: &str = r#"
[account]
token = "mytoken"
app_id = "wx0123456789abcdef"

[[rule]]
when.text = "天气"
reply = "晴"

[[rule]]
name = "book"
when.text = "订票"
wait = "city"
on_error = "现在订不了"

[step.city]
ask = "去哪里？"
retry = 1
again = "只有北京和上海"
give_up = "算了吧"
cancel = "取消"
cancel_reply = "好的"

[[step.city.rule]]
when.regex = '^(?<city>北京|上海)$'
session = { city = "{{ city }}" }
reply = "{{ session.city }}，几张？"
wait = "count"

[step.count]
lock = true

[[step.count.rule]]
when.regex = '^(?<count>\d)$'
reply = "{{ session.city }} {{ count }} 张"

[[rule]]
when.text = "加"
session = { n = "{{ session.n|default(0)|int + 1 }}" }
reply = "{{ session.n }}"
on_error = "加不了"

[[rule]]
when.text = "多少"
reply = "{{ session.n }}"

[[rule]]
when.text = "新来"
when.first = true
reply = "初次见面"

[[rule]]
when.text = "抽奖"
limit = { user = 2, all = 3, per = "1h" }
reply = "中了"

[[rule]]
when.text = "抽奖"
reply = "没了"

[[rule]]
when.text = "轮"
reply.round_robin = ["一", "二", "三"]

[default]
once_every = "1h"
reply = "稍后回复"
"#;

fn wechat() -> WeChat {
    WeChat::with_token("mytoken")
}

fn say(text: &str) -> Request {
    wechat().says(text)
}

fn say_as(user: &str, text: &str) -> Request {
    let message = WeChat::message("text", &format!("<Content>{text}</Content>"));
    let sender = element(&message, "FromUserName").expect("a sender");
    wechat().pushes(message.replace(&sender, user))
}

/// A user says each and is answered each.
#[track_caller]
fn talk(site: &Site, talk: &[(&str, &str)]) {
    for (text, reply) in talk {
        site.receives(&say(text)).replies(reply);
    }
}

/// The files of the store in the state folder of a site.
fn stores(site: &Site) -> usize {
    let state = site.folder().join("state");
    let files = fs::read_dir(state).expect("the state folder");
    files.filter(|file| file.as_ref().expect("a file").file_name().to_string_lossy().contains(".db")).count()
}

#[test]
fn a_dialog_goes_from_step_to_step() {
    for door in Door::open_ones(BOTH) {
        let site = Site::behind(door).with_config(CONFIG).open();
        talk(&site, &[("订票", "去哪里？"), ("上海", "上海，几张？"), ("3", "上海 3 张")]);
        // What is no answer is asked again; other rules answer meanwhile, unless it is locked.
        talk(
            &site,
            &[("订票", "去哪里？"), ("天气", "晴"), ("广州", "只有北京和上海"), ("北京", "北京，几张？")],
        );
        site.receives(&say("天气")).replies("晴");
        talk(&site, &[("订票", "去哪里？"), ("取消。", "好的")]);
        site.receives(&say("上海")).replies("稍后回复");
        talk(&site, &[("订票", "去哪里？"), ("a", "只有北京和上海"), ("b", "算了吧")]);
        // An event is no answer, and names of steps are no words.
        site.receives(&say("订票")).replies("去哪里？");
        site.receives(&wechat().pushes(WeChat::event("LOCATION", "<Latitude>1</Latitude>"))).acknowledges();
        talk(&site, &[("city", "只有北京和上海"), ("上海", "上海，几张？")]);
        // Each user has a dialog of his own.
        site.receives(&say_as("oAnother", "3")).replies("稍后回复");
        site.receives(&say("3")).replies("上海 3 张");
    }
}

#[test]
fn a_repeat_gets_the_same_answer_and_changes_nothing() {
    for door in Door::open_ones(BOTH) {
        let site = Site::behind(door).with_config(CONFIG).open();
        let (book, city) = (say("订票"), say("上海"));
        let first = site.receives(&book).text();
        assert_eq!(site.receives(&book).text(), first);
        let second = site.receives(&city).text();
        // Also one that comes late.
        assert_eq!((site.receives(&book).text(), site.receives(&city).text()), (first, second));
        site.receives(&say("3")).replies("上海 3 张");
        for (text, replies) in [("加", ["1", "2"]), ("抽奖", ["中了", "中了"]), ("轮", ["一", "二"])]
        {
            for reply in replies {
                let message = say(text);
                for _ in 0..3 {
                    site.receives(&message).replies(reply);
                }
            }
        }
        let click = wechat().pushes(WeChat::event("CLICK", "<EventKey>k</EventKey>"));
        site.receives(&click).acknowledges();
    }
}

#[test]
fn limits_hold_for_each_user_and_for_all_together() {
    for door in Door::open_ones(BOTH) {
        let site = Site::behind(door).with_config(CONFIG).open();
        talk(&site, &[("抽奖", "中了"), ("抽奖", "中了"), ("抽奖", "没了")]);
        site.receives(&say_as("oSecond", "抽奖")).replies("中了");
        site.receives(&say_as("oThird", "抽奖")).replies("没了");
        site.receives(&say("呃")).replies("稍后回复");
        site.receives(&say("呃")).acknowledges();
        site.receives(&say_as("oSecond", "呃")).replies("稍后回复");
        talk(&site, &[("轮", "一"), ("轮", "二"), ("轮", "三"), ("轮", "一")]);
        site.receives(&say_as("oSecond", "轮")).replies("二");
        site.receives(&say_as("oNew", "新来")).replies("初次见面");
        site.receives(&say_as("oNew", "新来")).replies("稍后回复");
    }
}

/// A config without a locked step: of a user in one, no rule can tell without the store that it is for him.
fn unlocked() -> String {
    CONFIG.replace("lock = true\n", "")
}

#[test]
fn rules_that_need_no_store_never_make_one() {
    for door in Door::open_ones(BOTH) {
        let site = Site::behind(door).with_config(&unlocked()).open();
        for _ in 0..3 {
            site.receives(&say("天气")).replies("晴");
            site.receives(&wechat().pushes(WeChat::event("subscribe", ""))).acknowledges();
        }
        assert_eq!(stores(&site), 0);
        site.receives(&say("订票")).replies("去哪里？");
        assert!(stores(&site) > 0);
    }
}

#[test]
fn messages_of_a_user_at_once_are_all_counted() {
    for door in Door::open_ones(BOTH) {
        let site = Site::behind(door).with_config(CONFIG).open();
        let mut said: Vec<u32> = thread::scope(|scope| {
            let site = &site;
            let counts: Vec<_> = (0..16)
                .map(|_| scope.spawn(move || site.receives(&say("加")).reply_text().expect("a number")))
                .collect();
            counts.into_iter().map(|it| it.join().expect("an answer").parse().expect("a number")).collect()
        });
        said.sort_unstable();
        assert_eq!(said, (1..=16).collect::<Vec<_>>());
        site.receives(&say("多少")).replies("16");
    }
}

/// Two responders and a CGI process with one store talk to one user by turns.
fn share(store: &str) {
    let config = format!("{CONFIG}[store]\nurl = \"{store}\"\n");
    let open = || Site::behind(Door::FastcgiByHand).with_config(&config).open();
    let sites = [open(), open()];
    for round in 0..10 {
        let (here, there) = (&sites[round % 2], &sites[(round + 1) % 2]);
        here.receives(&say("订票")).replies("去哪里？");
        there.receives(&say("上海")).replies("上海，几张？");
        let last = say("2");
        here.receives_by_cgi(&last, |_| ()).replies("上海 2 张");
        there.receives(&last).replies("上海 2 张");
        there.receives(&say("加")).replies(&(round + 1).to_string());
    }
}

#[test]
fn processes_with_one_file_share_a_dialog() {
    if Door::FastcgiByHand.is_open() {
        let folder = tempfile::tempdir().expect("a folder");
        // The responders may run as somebody else.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("our folder");
        share(&format!("sqlite:{}/shared.db", folder.path().display()));
    }
}

#[test]
fn processes_with_one_redis_share_a_dialog() {
    if Door::FastcgiByHand.is_open() && available("redis-server") {
        share(&RedisServer::start(&[]).url());
    }
}

#[test]
fn without_its_store_a_rule_fails_and_the_others_answer() {
    for door in Door::open_ones(BOTH) {
        let config = format!("{CONFIG}[store]\nurl = \"redis://127.0.0.1:{}\"\n", free_port());
        let site = Site::behind(door).with_config(&config).open();
        talk(
            &site,
            &[("天气", "晴"), ("订票", "现在订不了"), ("加", "加不了"), ("抽奖", "没了"), ("天气", "晴")],
        );
        // Nobody knows how often it was said.
        site.receives(&say("呃")).acknowledges();
        let turn = site.receives(&say("轮")).reply_text().expect("one of them");
        assert!(["一", "二", "三"].contains(&turn.as_str()), "{turn}");
        wait_until("it is told", || site.logs().contains("the store"));
    }
}

#[test]
fn a_store_that_hangs_holds_up_nobody_else() {
    if !Door::FastcgiByHand.is_open() {
        return;
    }
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("its address").port();
    let store = format!("[store]\nurl = \"redis://127.0.0.1:{port}\"\ntimeout = \"4s\"\n");
    let config = unlocked() + &store;
    let site = Site::behind(Door::FastcgiByHand).with_config(&config).open();
    thread::scope(|scope| {
        let waits = scope.spawn(|| site.receives(&say("订票")));
        let (_connection, _) = silent.accept().expect("the store is asked");
        for _ in 0..5 {
            site.receives(&say("天气")).replies("晴");
        }
        assert!(!waits.is_finished());
        waits.join().expect("an answer").replies("现在订不了");
    });
}

#[test]
fn the_examples_answer_as_their_tests_say() {
    let folder = tempfile::tempdir().expect("a folder");
    for (example, tests) in [("webot-dialogs", 56), ("console", 9)] {
        let examples = repository().join("examples");
        let config = folder.path().join(format!("{example}.toml"));
        fs::copy(examples.join(format!("{example}.toml")), &config).expect("a copy");
        let site = Site::behind(Door::ByHand).open();
        let mut program = site.program();
        program.arg("test").arg(examples.join(format!("tests/{example}.toml"))).arg("--config").arg(&config);
        let output = program.output().expect("it runs");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(
            told,
            format!("wxcgi: {tests} tests passed\n"),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn the_examples_answer_behind_web_servers() {
    let read =
        |name: &str| fs::read_to_string(repository().join("examples").join(name)).expect("the example");
    for door in Door::open_ones([Door::ApacheCgid, Door::NginxUnix]) {
        let site = Site::behind(door).with_config(&read("webot-dialogs.toml")).open();
        let guess =
            [("猜数字", "我想好了一个 1 到 9 的数，猜猜看"), ("3", "小了，还有 4 次"), ("7", "中了！")];
        talk(&site, &guess);
        let site = Site::behind(door).with_config(&read("console.toml")).open();
        site.receives(&say("在吗")).replies("我们稍后回复您");
        site.receives(&say("在吗")).acknowledges();
        site.receives(&say("多少钱")).replies("每斤 5 元");
    }
}
