//! One access_token for all processes of an account, whatever happens to any of them.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use wxcgi::api::access_token::Force;
use wxcgi::api::{Api, ApiSettings, Call, Credentials, TokenSource};
use wxcgi::secret::Secret;
use wxcgi::store::Store;
use wxcgi::store::redis::{Address, Redis};
use wxcgi::store::sqlite::{Journal, Sqlite};

use crate::store::RedisServer;
use crate::support::{
    APP_ID, APP_SECRET, FakeWechat, PATIENCE, Process, Trouble, output_in_time, program, repository,
    wait_until, write_config,
};

const STABLE: &str = "/cgi-bin/stable_token";
const CLASSIC: &str = "/cgi-bin/token";
const TICKET: &str = "/cgi-bin/ticket/getticket";
const ANY_CALL: &str = "/cgi-bin/getcallbackip";

/// The processes of an account on one machine, and what they share.
#[derive(Debug)]
struct Machine {
    folder: tempfile::TempDir,
    redis: Option<String>,
}

impl Machine {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write_config(&folder.path().join("wxcgi.toml"), config);
        Self { folder, redis: None }
    }

    /// One that shares with others what a Redis keeps.
    fn with_redis(config: &str, redis: &RedisServer) -> Self {
        let store = format!("[store]\nurl = \"{}\"\ntimeout = \"4s\"\n", redis.url());
        Self { redis: Some(redis.url()), ..Self::new(&format!("{config}\n{store}")) }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(&self.folder).env_clear();
        command.env("WXCGI_STATE_DIR", self.folder.path().join("state"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().expect("our program")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        output_in_time(self.start(arguments))
    }

    fn access_token(&self) -> String {
        line_of(&self.run(&["token", "get"]))
    }

    /// What a process prints that fails.
    fn complaint(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        String::from_utf8(output.stderr).expect("UTF-8")
    }

    /// The API as one more process would call it.
    fn api(&self, fake: &FakeWechat, settings: ApiSettings) -> Api {
        let settings = ApiSettings { base_url: fake.base_url(), ..settings };
        let credentials =
            Credentials { app_id: Some(APP_ID.to_owned()), app_secret: Some(Secret::new(APP_SECRET)) };
        let path = self.folder.path().join("state/state.db");
        let store: Arc<dyn Store> = match &self.redis {
            None => Arc::new(Sqlite::new(path, Journal::default(), PATIENCE, APP_ID)),
            Some(url) => {
                let address = Address::parse(&Secret::new(url), None).expect("a URL");
                Arc::new(Redis::new(address, PATIENCE, "wxcgi", APP_ID))
            }
        };
        Api::new(settings, credentials, &store)
    }
}

fn line_of(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    text.strip_suffix('\n').expect("a line").to_owned()
}

/// Starts so many processes that print the access_token, from these machines in turn.
fn start_many(count: usize, machines: &[Machine]) -> Vec<Child> {
    machines.iter().cycle().take(count).map(|machine| machine.start(&["token", "get"])).collect()
}

#[test]
fn two_hundred_processes_that_need_it_at_once_fetch_it_once() {
    for (source, path) in [("stable", STABLE), ("classic", CLASSIC)] {
        let fake = FakeWechat::start();
        let config = fake.config(&format!("token = \"{source}\""));
        two_hundred_fetch_once(&fake, path, &[Machine::new(&config)]);
    }
}

#[test]
fn two_hundred_processes_of_two_hosts_fetch_it_once() {
    let (fake, redis) = (FakeWechat::start(), RedisServer::start(&[]));
    let config = fake.config("token = \"classic\"");
    two_hundred_fetch_once(&fake, CLASSIC, &[0, 1].map(|_| Machine::with_redis(&config, &redis)));
}

fn two_hundred_fetch_once(fake: &FakeWechat, path: &str, machines: &[Machine]) {
    fake.hold(path);
    let processes = start_many(200, machines);
    fake.was_called(path, 1);
    fake.release();
    let printed: Vec<String> =
        processes.into_iter().map(|process| line_of(&output_in_time(process))).collect();
    assert_eq!(printed.len(), 200);
    assert_eq!(fake.fetches(), 1);
    assert!(printed.iter().all(|line| fake.access_tokens() == [line.as_str()]));
}

#[test]
fn two_hundred_processes_that_wechat_refuses_ask_it_once() {
    let (fake, redis) = (FakeWechat::start(), RedisServer::start(&[]));
    let config = fake.config("");
    for machine in [Machine::new(&config), Machine::with_redis(&config, &redis)] {
        let before = fake.fetches();
        fake.troubles(STABLE, vec![Trouble::Errcode(40013, "invalid appid"); 9]);
        fake.hold(STABLE);
        let processes = start_many(200, std::slice::from_ref(&machine));
        fake.was_called(STABLE, before + 1);
        fake.release();
        let mut complaints = Vec::new();
        for process in processes {
            let output = output_in_time(process);
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            complaints.push(String::from_utf8(output.stderr).expect("UTF-8"));
        }
        let told = "40013 `invalid appid rid: ";
        assert!(complaints.iter().all(|complaint| complaint.contains(told)), "{complaints:#?}");
        assert_eq!((complaints.len(), fake.fetches()), (200, before + 1));
        fake.forget_troubles();
    }
}

#[test]
fn what_claims_to_live_for_ever_is_kept_no_longer_than_any() {
    let fake = FakeWechat::start();
    let machine = Machine::new(&fake.config(""));
    let answer = format!("{{\"access_token\":\"odd\",\"expires_in\":{}}}", u64::MAX);
    fake.troubles(STABLE, [Trouble::Body(answer.into_bytes())]);
    let object: Value =
        serde_json::from_str(&line_of(&machine.run(&["token", "get", "--json"]))).expect("JSON");
    assert_eq!(object["access_token"], "odd");
    assert!(object["expires_in"].as_u64().expect("a number") <= 7200, "{object}");
}

#[test]
fn a_fetch_that_is_killed_is_done_by_another_process() {
    // Also where those who wait have little more time than one fetch may take.
    a_killed_fetch_is_done_by_another("timeout = \"1s\"");
    a_killed_fetch_is_done_by_another("timeout = \"20s\"\nretry_for = \"8s\"");
}

fn a_killed_fetch_is_done_by_another(settings: &str) {
    let (fake, redis) = (FakeWechat::start(), RedisServer::start(&[]));
    let config = fake.config(settings);
    for machine in [Machine::new(&config), Machine::with_redis(&config, &redis)] {
        let before = fake.fetches();
        fake.hold(STABLE);
        let mut holder = machine.start(&["token", "get"]);
        fake.was_called(STABLE, before + 1);
        let others = start_many(10, std::slice::from_ref(&machine));
        Process::of(&holder).gets(Signal::KILL);
        holder.wait().expect("our child");
        fake.release();
        for other in others {
            line_of(&output_in_time(other));
        }
        assert_eq!(fake.fetches(), before + 2);
    }
}

#[test]
fn of_fifty_whose_access_token_is_refused_one_fetches_another() {
    let redis = RedisServer::start(&[]);
    for machine in [Machine::new(""), Machine::with_redis("", &redis)] {
        for source in [TokenSource::Stable, TokenSource::Classic] {
            fifty_fetch_one_more(&machine, source);
        }
    }
}

fn fifty_fetch_one_more(machine: &Machine, source: TokenSource) {
    let fake = FakeWechat::start();
    let settings = || ApiSettings { token: source, ..ApiSettings::default() };
    // What an earlier stand-in has handed out is none of this one's.
    machine.api(&fake, settings()).refresh_access_token(Force::No).expect("an access_token");
    let (ready, start) = (Barrier::new(51), Barrier::new(51));
    thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                let api = machine.api(&fake, settings());
                api.call(&Call::get(ANY_CALL, &[])).expect("an answer");
                ready.wait();
                start.wait();
                api.call(&Call::get(ANY_CALL, &[])).expect("an answer");
            });
        }
        ready.wait();
        fake.void_access_tokens();
        start.wait();
    });
    assert_eq!(fake.fetches(), 2, "{source:?}");
}

#[test]
fn a_redis_that_is_away_is_an_error_and_no_reason_to_fetch() {
    let (fake, redis) = (FakeWechat::start(), RedisServer::start(&[]));
    let machine = Machine::with_redis(&fake.config(""), &redis);
    drop(redis);
    assert!(machine.complaint(&["token", "get"]).contains("the store "), "no word of the store");
    assert_eq!(fake.fetches(), 0);
}

#[test]
fn an_access_token_that_ends_in_the_middle_is_replaced_and_the_call_made_again() {
    let fake = FakeWechat::start();
    let machine = Machine::new("");
    let api = machine.api(&fake, ApiSettings::default());
    api.call(&Call::get(ANY_CALL, &[])).expect("an answer");
    fake.put_forward(Duration::from_secs(7201));
    api.call(&Call::get(ANY_CALL, &[])).expect("an answer");
    assert_eq!((fake.fetches(), fake.count(ANY_CALL)), (2, 3));
}

#[test]
fn a_new_one_is_there_before_the_old_one_ends() {
    let fake = FakeWechat::start();
    fake.hand_out_for(Duration::from_secs(3));
    let machine = Machine::new(&fake.config(""));
    let api = machine.api(&fake, ApiSettings::default());
    let first = machine.access_token();
    wait_until("another one comes", || {
        api.call(&Call::get(ANY_CALL, &[])).expect("an answer");
        machine.access_token() != first
    });
    assert_eq!(fake.access_tokens().len(), 2);
}

#[test]
fn a_second_refusal_ends_in_words_and_a_pause_for_all() {
    let fake = FakeWechat::start();
    let machine = Machine::new(&fake.config(""));
    fake.distrust_its_own_access_tokens();
    let complaint = machine.complaint(&["token", "ticket", "jsapi"]);
    assert!(
        complaint.contains("40001 `invalid credential, access_token is invalid or not latest"),
        "{complaint}"
    );
    assert!(complaint.contains("another program fetches access_tokens for the same account"), "{complaint}");
    assert_eq!((fake.fetches(), fake.count(TICKET)), (2, 2));
    let complaint = machine.complaint(&["token", "get"]);
    assert!(complaint.contains("40001") && complaint.contains("(not asked again for "), "{complaint}");
    assert_eq!(fake.fetches(), 2);
}

#[test]
fn a_machine_that_is_not_in_the_whitelist_is_told_the_line_to_add() {
    let fake = FakeWechat::start();
    let machine = Machine::new(&fake.config(""));
    fake.shut_out(true);
    let complaint = machine.complaint(&["token", "get"]);
    assert!(complaint.contains("40164 `invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7"), "{complaint}");
    assert!(complaint.contains("add the line `203.0.113.7` to API IP白名单: 微信开发者平台"), "{complaint}");
    assert!(complaint.contains("设置与开发 → 基本配置"), "{complaint}");
    // Nobody asks again for a while, but a person who has mended it.
    assert!(machine.complaint(&["token", "get"]).contains("203.0.113.7"));
    assert_eq!(fake.fetches(), 1);
    fake.shut_out(false);
    let printed = [line_of(&machine.run(&["token", "refresh"])), machine.access_token()];
    assert!(printed.iter().all(|line| fake.access_tokens() == [line.as_str()]));
}

#[test]
fn the_readmes_show_what_is_said() {
    let fake = FakeWechat::start();
    let machine = Machine::new(&fake.config(""));
    let host = fake.base_url().replace("http://", "");
    let said = |trouble: Option<Trouble>| {
        fake.troubles(STABLE, trouble);
        let complaint = machine.complaint(&["token", "refresh"]).replace(&host, "api.weixin.qq.com");
        let (before, after) = complaint.split_once("rid: ").expect("a rid");
        (before.to_owned(), after.split_once('`').expect("its end").1.trim_end().to_owned())
    };
    fake.shut_out(true);
    let complaints = [said(None), said(Some(Trouble::Errcode(40125, "invalid appsecret")))];
    for name in ["README.md", "README.zh-CN.md"] {
        let readme = fs::read_to_string(repository().join(name)).expect(name);
        let shows = |(before, after): &(String, String)| {
            readme.lines().any(|line| line.starts_with(before) && line.ends_with(after))
        };
        assert!(complaints.iter().all(shows), "{name} does not show {complaints:#?}");
    }
}

#[test]
fn what_ends_the_fetch_is_said_in_plain_words_and_not_repeated() {
    for (errcode, told) in [
        (40001, "the AppSecret is wrong; copy the one of WeChat's console into `account.app_secret`"),
        (40125, "the AppSecret is wrong"),
        (40013, "the AppID is wrong; compare `account.app_id`"),
        (40243, "the AppSecret is frozen (已冻结)"),
        (45009, "the account has fetched all access_tokens of this day"),
        (45011, "called too often"),
        (50004, "may not use access_tokens, as a punishment"),
        (50007, "the account is frozen"),
        (89503, "ask the administrator to confirm it on the phone"),
        (89506, "for 24 hours"),
        (89507, "for an hour"),
    ] {
        let fake = FakeWechat::start();
        let machine = Machine::new("");
        fake.troubles(STABLE, [Trouble::Errcode(errcode, "no"), Trouble::Errcode(errcode, "no")]);
        for _ in 0..2 {
            let api = machine.api(&fake, ApiSettings::default());
            let error = api.call(&Call::get(ANY_CALL, &[])).expect_err("no access_token");
            assert!(error.to_string().contains(told), "{errcode}: {error}");
            assert!(error.to_string().contains("rid: 61725984-"), "{errcode}: {error}");
        }
        assert_eq!((fake.fetches(), fake.count(ANY_CALL)), (1, 0), "{errcode}");
    }
}

#[test]
fn a_busy_wechat_is_asked_again_within_the_time_there_is() {
    let fake = FakeWechat::start();
    let machine = Machine::new("");
    fake.troubles(STABLE, [Trouble::Errcode(-1, "system error"), Trouble::Html(502), Trouble::Cut]);
    machine.api(&fake, ApiSettings::default()).access_token().expect("an access_token");
    assert_eq!(fake.fetches(), 4);
    // One that never answers is left alone, by all.
    let silent = FakeWechat::start();
    let machine = Machine::new("");
    silent.troubles(STABLE, [Trouble::Hang]);
    let settings = ApiSettings { timeout: Duration::from_millis(300), ..ApiSettings::default() };
    for _ in 0..3 {
        let error = machine.api(&silent, settings.clone()).access_token().expect_err("no answer");
        assert!(error.to_string().contains("did not answer within "), "{error}");
    }
    assert_eq!(silent.fetches(), 1);
}

#[test]
fn a_forced_refresh_ends_the_life_of_the_old_one() {
    let fake = FakeWechat::start();
    let machine = Machine::new(&fake.config(""));
    let first = machine.access_token();
    // WeChat gives the same again, as long as it is good.
    assert_eq!(line_of(&machine.run(&["token", "refresh"])), first);
    let second = line_of(&machine.run(&["token", "refresh", "--force"]));
    assert_ne!(second, first);
    assert_eq!(machine.access_token(), second);
    assert_eq!(fake.fetches(), 3);
}

#[test]
fn tickets_are_shared_too_each_kind_for_itself() {
    let fake = FakeWechat::start();
    let machine = Machine::new(&fake.config(""));
    let jsapi: Vec<Child> = (0..20).map(|_| machine.start(&["token", "ticket", "jsapi"])).collect();
    let jsapi: Vec<String> = jsapi.into_iter().map(|process| line_of(&output_in_time(process))).collect();
    let card = line_of(&machine.run(&["token", "ticket", "wx_card", "--json"]));
    assert!(jsapi.iter().all(|ticket| ticket == &jsapi[0]) && jsapi[0].starts_with("jsapi-"));
    let card: Value = serde_json::from_str(&card).expect("JSON");
    assert!(card["ticket"].as_str().expect("a text").starts_with("wx_card-"), "{card}");
    assert_eq!((fake.count(TICKET), fake.fetches()), (2, 1));
}

#[test]
fn a_program_gets_an_object_with_the_seconds_that_are_left() {
    let fake = FakeWechat::start();
    let machine = Machine::new(&fake.config(""));
    for _ in 0..2 {
        let object: Value =
            serde_json::from_str(&line_of(&machine.run(&["token", "get", "--json"]))).expect("JSON");
        assert_eq!(object["access_token"].as_str(), fake.access_tokens().first().map(String::as_str));
        let left = object["expires_in"].as_u64().expect("a number");
        assert!((7100..=7200).contains(&left), "{object}");
    }
    assert_eq!(fake.fetches(), 1);
}

#[test]
fn what_the_config_lacks_is_named() {
    let fake = FakeWechat::start();
    let config = fake.config("");
    for (line, told) in [
        (
            format!("app_secret = \"{APP_SECRET}\"\n"),
            "needs `account.app_secret` in the config; it is the AppSecret",
        ),
        (format!("app_id = \"{APP_ID}\"\n"), "needs `account.app_id` in the config; it is the AppID"),
    ] {
        let output = Machine::new(&config.replace(&line, "")).run(&["token", "get"]);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(complaint.contains(told) && output.status.code() == Some(2), "{output:?}");
    }
    assert_eq!(fake.fetches(), 0);
}

#[test]
fn a_store_that_cannot_be_used_is_an_error_and_no_reason_to_fetch() {
    let fake = FakeWechat::start();
    let machine = Machine::new(&fake.config(""));
    fs::write(machine.folder.path().join("state"), "no folder").expect("our folder");
    assert!(machine.complaint(&["token", "get"]).contains("the store "), "no word of the store");
    assert_eq!(fake.fetches(), 0);
}

#[test]
fn no_output_and_no_log_shows_a_secret() {
    let fake = FakeWechat::start();
    let log = "[log]\nfile = \"wxcgi.log\"\nlevel = \"trace\"";
    let machine = Machine::new(&fake.config(&format!("timeout = \"1s\"\nretry_for = \"1s\"\n{log}")));
    let mut written = String::new();
    let mut collect = |output: Output, has_value: bool| {
        written.push_str(&String::from_utf8_lossy(&output.stderr));
        if !has_value {
            written.push_str(&String::from_utf8_lossy(&output.stdout));
        }
    };
    for trouble in [
        Trouble::Errcode(40001, "invalid credential"),
        Trouble::Html(502),
        Trouble::Cut,
        Trouble::Hang,
        Trouble::Redirect("http://127.0.0.1:1/elsewhere".to_owned()),
        Trouble::Body(b"no JSON".to_vec()),
    ] {
        fake.troubles(STABLE, [trouble]);
        collect(machine.run(&["token", "refresh"]), true);
        collect(machine.run(&["token", "get"]), true);
    }
    fake.void_access_tokens();
    collect(machine.run(&["token", "refresh"]), true);
    for trouble in [Trouble::Errcode(40001, "invalid credential"), Trouble::Errcode(40097, "x"), Trouble::Cut]
    {
        fake.troubles(TICKET, [trouble]);
        collect(machine.run(&["token", "ticket", "jsapi"]), true);
    }
    collect(machine.run(&["check"]), false);
    let log = fs::read_to_string(machine.folder.path().join("wxcgi.log")).expect("a log");
    assert!(log.contains("fetched a new one") && log.contains("POST /cgi-bin/stable_token: 200"), "{log}");
    written.push_str(&log);
    assert!(fake.access_tokens().len() > 1);
    for secret in fake.access_tokens().iter().map(String::as_str).chain([APP_SECRET]) {
        // Part of one is too much as well.
        assert!(!written.contains(&secret[..16]), "{secret} in: {written}");
    }
}

#[test]
fn proxies_of_the_environment_are_not_asked() {
    let (fake, trap) = (FakeWechat::start(), FakeWechat::start());
    let machine = Machine::new(&fake.config(""));
    let mut command = machine.command(&["token", "get"]);
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(name, trap.base_url());
    }
    line_of(&output_in_time(command.spawn().expect("our program")));
    assert_eq!((fake.fetches(), trap.calls()), (1, 0));
}

#[test]
fn the_proxy_of_the_config_is_asked() {
    let proxy = FakeWechat::start();
    let config =
        proxy.config(&format!("proxy = \"http://me:hunter2@{}\"", &proxy.base_url()["http://".len()..]));
    let machine = Machine::new(&config.replace(&proxy.base_url(), "http://wechat.internal"));
    let output = machine.run(&["token", "get"]);
    assert!(!format!("{output:?}").contains("hunter2"), "{output:?}");
    assert_eq!(proxy.access_tokens(), [line_of(&output)]);
}

#[test]
fn the_store_with_the_access_token_is_its_owners() {
    use std::os::unix::fs::PermissionsExt;
    let fake = FakeWechat::start();
    let machine = Machine::new(&fake.config(""));
    machine.access_token();
    let state = machine.folder.path().join("state");
    let files: Vec<_> =
        fs::read_dir(&state).expect("a folder").map(|file| file.expect("a file").path()).collect();
    assert!(!files.is_empty());
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o077;
    assert!(files.iter().all(|file| mode(file) == 0) && mode(&state) == 0, "{files:?}");
}

#[test]
fn in_a_process_that_lives_on_the_store_is_asked_now_and_then_only() {
    let fake = FakeWechat::start();
    let machine = Machine::new("");
    let api = machine.api(&fake, ApiSettings::default());
    api.access_token().expect("an access_token");
    // Whoever looks into the store now would find nothing, and fetch.
    fs::remove_dir_all(machine.folder.path().join("state")).expect("our folder");
    for _ in 0..1000 {
        api.access_token().expect("an access_token");
    }
    assert_eq!(fake.fetches(), 1);
}
