//! The commands that call WeChat's API, as typed in a shell, against a stand-in as strict as WeChat.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{
    FOLLOWERS, FakeWechat, ITEMS, MEDIA, Trouble, output_in_time, program, repository, wait_until,
    write_config,
};

/// A person at a terminal, with a config that leads to the stand-in.
struct Desk {
    fake: FakeWechat,
    folder: tempfile::TempDir,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Desk {
    /// The desk of a verified service account, which may call nearly everything.
    fn new() -> Self {
        Self::with("verified = true\nkind = \"service\"")
    }

    fn with(account: &str) -> Self {
        let fake = FakeWechat::start();
        let folder = tempfile::tempdir().expect("a folder");
        let config = fake.config("").replace("[api]", &format!("{account}\n[api]"));
        write_config(&folder.path().join("wxcgi.toml"), &config);
        Self { fake, folder }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(&self.folder).env_clear();
        command.env("WXCGI_STATE_DIR", self.folder.path().join("state"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let output = output_in_time(self.command(arguments).spawn().expect("our program"));
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs a command that works, and gives what it printed.
    #[track_caller]
    fn does(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{arguments:?}: {ran:?}");
        ran.out
    }

    /// The body that was sent last to this path.
    #[track_caller]
    fn sent(&self, path: &str) -> Value {
        self.fake.last(path).json().expect("JSON")
    }

    fn put(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).expect("our folder");
        path.to_str().expect("UTF-8").to_owned()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).expect(name)
    }
}

const SEND: &str = "/cgi-bin/message/custom/send";

#[test]
fn every_kind_of_customer_message_is_sent() {
    let desk = Desk::new();
    for (words, content) in [
        (&["text", "你好"][..], json!({"content": "你好"})),
        (&["image", "M"], json!({"media_id": "M"})),
        (&["voice", "M"], json!({"media_id": "M"})),
        (
            &["video", "M", "title=T", "thumb_media_id=P"],
            json!({"media_id": "M", "title": "T", "thumb_media_id": "P"}),
        ),
        (
            &["music", "https://u/", "hqmusicurl=https://h/", "thumb_media_id=P"],
            json!({"musicurl": "https://u/", "hqmusicurl": "https://h/", "thumb_media_id": "P"}),
        ),
        (
            &["news", "Happy Day", "url=https://u/"],
            json!({"articles": [{"title": "Happy Day", "url": "https://u/"}]}),
        ),
        (&["mpnewsarticle", "A"], json!({"article_id": "A"})),
        (
            &["msgmenu", "满意吗?", "101=满意"],
            json!({"head_content": "满意吗?", "list": [{"id": "101", "content": "满意"}]}),
        ),
        (&["wxcard", "C"], json!({"card_id": "C"})),
        (
            &["miniprogrampage", "wx1", "pagepath=p", "thumb_media_id=P"],
            json!({"appid": "wx1", "pagepath": "p", "thumb_media_id": "P"}),
        ),
    ] {
        let arguments = [&["send", "oUser1"], words].concat();
        assert_eq!(desk.does(&arguments), "sent\n");
        assert_eq!(desk.sent(SEND), json!({"touser": "oUser1", "msgtype": words[0], words[0]: content}));
    }
    desk.does(&["send", "o", "text", "x", "--kf-account", "a@b", "--ai"]);
    let sent = desk.sent(SEND);
    assert_eq!(
        (&sent["customservice"]["kf_account"], &sent["aimsgcontext"]["is_ai_msg"]),
        (&json!("a@b"), &json!(1))
    );
    desk.does(&["send", "o", "typing"]);
    desk.does(&["send", "o", "typing", "--cancel"]);
    assert_eq!(
        desk.sent("/cgi-bin/message/custom/typing"),
        json!({"touser": "o", "command": "CancelTyping"})
    );
}

#[test]
fn what_breaks_a_limit_is_not_sent_unless_one_insists() {
    let desk = Desk::new();
    let long = "好".repeat(683);
    let ran = desk.run(&["send", "o", "text", &long]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let told = "`text.content` has 2049 bytes, at most 2048 are allowed; shorten it by 1";
    assert!(ran.err.contains(told), "{ran:?}");
    assert_eq!(desk.fake.count(SEND), 0);
    let ran = desk.run(&["send", "o", "text", &long, "--unchecked", "--json"]);
    assert_eq!((ran.code, desk.fake.count(SEND)), (Some(1), 1), "{ran:?}");
    let answer: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!((&answer["errcode"], &answer["class"]), (&json!(45002), &json!("permanent")));
    assert!(ran.err.contains("45002") && ran.err.contains(told), "{ran:?}");
}

#[test]
fn a_refusal_of_wechat_is_told_in_words() {
    let desk = Desk::new();
    desk.fake
        .troubles(SEND, [Trouble::Errcode(45015, "response out of time limit or subscription is canceled")]);
    let ran = desk.run(&["send", "o", "text", "x"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("45015") && ran.err.contains("response out of time limit"), "{ran:?}");
}

#[test]
fn words_that_would_play_with_the_terminal_do_not() {
    let desk = Desk::new();
    desk.fake.troubles(SEND, [Trouble::Errcode(45015, "no\n\u{1b}[31mwxcgi: sent `x`")]);
    let ran = desk.run(&["send", "o", "text", "x"]);
    assert!(ran.err.contains("45015 `no\\n\\u{1b}[31mwxcgi: sent 'x' rid: "), "{ran:?}");
    assert_eq!((ran.code, ran.err.lines().count()), (Some(1), 1), "{ran:?}");
    let tags = json!({"tags": [{"id": 2, "name": "\u{1b}[2J\rx", "count": 0}]}).to_string();
    desk.fake.troubles("/cgi-bin/tags/get", [Trouble::Body(tags.into())]);
    assert_eq!(desk.does(&["tag", "list"]), "id  name    count\n2    [2J x  0\n");
}

#[test]
fn an_answer_without_what_is_printed_is_a_failure() {
    let desk = Desk::new();
    let picture = desk.put("cat.jpg", MEDIA);
    let draft = desk.put("draft.json", br#"{"title":"t","content":"c","thumb_media_id":"M"}"#);
    for (path, arguments, lacks) in [
        (SEND, &["send", "o", "text", "x"][..], "errcode"),
        ("/cgi-bin/media/upload", &["media", "upload", &picture], "media_id"),
        ("/cgi-bin/media/uploadimg", &["media", "upload", &picture, "--inline"], "url"),
        ("/cgi-bin/material/batchget_material", &["media", "list", "image"], "total_count"),
        ("/cgi-bin/material/get_materialcount", &["media", "count"], "image_count"),
        ("/cgi-bin/material/del_material", &["media", "delete", "M"], "errcode"),
        ("/cgi-bin/user/get", &["user", "list"], "count"),
        ("/cgi-bin/user/info", &["user", "info", "o1"], "openid"),
        ("/cgi-bin/user/info/batchget", &["user", "info", "o1", "o2"], "user_info_list"),
        ("/cgi-bin/user/info/updateremark", &["user", "remark", "o1", "x"], "errcode"),
        ("/cgi-bin/tags/members/batchblacklist", &["user", "block", "o1"], "errcode"),
        ("/cgi-bin/tags/get", &["tag", "list"], "tags"),
        ("/cgi-bin/tags/create", &["tag", "create", "x"], "tag.id"),
        ("/cgi-bin/tags/delete", &["tag", "delete", "134"], "errcode"),
        ("/cgi-bin/message/template/send", &["template", "send", "o", "T", "thing1=x"], "msgid"),
        ("/cgi-bin/template/get_all_private_template", &["template", "list"], "template_list"),
        ("/cgi-bin/qrcode/create", &["qrcode", "create", "x"], "url"),
        ("/cgi-bin/draft/add", &["draft", "add", &draft], "media_id"),
        ("/cgi-bin/freepublish/submit", &["draft", "publish", "M"], "publish_id"),
        ("/cgi-bin/openapi/quota/get", &["quota", "get", "user/get"], "quota.remain"),
        ("/datacube/getusersummary", &["stats", "usersummary", "--days", "1"], "list"),
        ("/sns/oauth2/access_token", &["oauth", "code", "C"], "openid"),
    ] {
        desk.fake.troubles(path, [Trouble::Body(br#"{"code":500,"message":"hunter2"}"#.to_vec())]);
        let ran = desk.run(arguments);
        let told = format!("it has no good `{lacks}`, but `code, message`\n");
        assert!(ran.err.ends_with(&told) && !ran.err.contains("hunter2"), "{arguments:?}: {ran:?}");
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{arguments:?}");
    }
}

#[test]
fn what_was_done_before_is_done_and_told_so() {
    let desk = Desk::new();
    desk.fake.troubles("/cgi-bin/material/del_material", [Trouble::Errcode(40007, "invalid media_id")]);
    let printed = desk.does(&["media", "delete", "M"]);
    assert_eq!(printed, "deleted before (40007: the `media_id` is wrong, or has expired)\n");
    let path = "/cgi-bin/message/template/send";
    desk.fake.troubles(path, [Trouble::Cut, Trouble::Errcode(43116, "same client_msg_id")]);
    let ran = desk.run(&["template", "send", "o", "T", "thing1=x", "--client-msg-id", "1"]);
    let told = "sent before (43116: the same `client_msg_id` was sent in the last 10 minutes)\n";
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), told), "{ran:?}");
}

#[test]
fn an_account_that_cannot_call_is_told_before() {
    for (account, warned) in [
        ("", true),
        ("kind = \"subscription\"", true),
        ("verified = true", false),
        ("kind = \"test\"", false),
    ] {
        let desk = Desk::with(account);
        let ran = desk.run(&["send", "o", "text", "x"]);
        // It is tried all the same: the config may be older than the account.
        assert_eq!((ran.code, ran.err.contains("48001")), (Some(0), warned), "{account}: {ran:?}");
    }
}

#[test]
fn a_dry_run_shows_everything_but_secrets_and_sends_nothing() {
    let desk = Desk::new();
    let file = desk.put("cat.jpg", MEDIA);
    let draft = desk.put("draft.json", br#"{"title": "t", "content": "c", "thumb_media_id": "M"}"#);
    for arguments in [
        &["send", "o", "text", "x"][..],
        &["template", "send", "o", "T", "thing1=x"],
        &["template", "delete", "T"],
        &["tag", "create", "广东"],
        &["tag", "add", "134", "o1"],
        &["user", "remark", "o1", "r"],
        &["user", "block", "o1"],
        &["user", "export", "users.csv"],
        &["qrcode", "create", "shop"],
        &["draft", "add", &draft],
        &["draft", "publish", "M"],
        &["publish", "delete", "A"],
        &["media", "upload", &file],
        &["media", "delete", "M"],
        &["quota", "clear", "--all"],
        &["quota", "clear", "--by-secret"],
        &["oauth", "code", "CODE"],
        &["api", "menu/delete"],
        &["stats", "usersummary", "--from", "2026-01-01", "--to", "2026-01-03"],
    ] {
        let shown = desk.does(&[arguments, &["--dry-run"]].concat());
        let starts = ["GET ", "POST "].iter().any(|method| shown.starts_with(method));
        assert!(starts && shown.contains("=***"), "{arguments:?}: {shown}");
        assert!(!shown.contains("5ecre7") && !shown.contains("code=CODE"), "{shown}");
        let shown = desk.does(&[arguments, &["--dry-run", "--json"]].concat());
        let shown: Value = serde_json::from_str(&shown).expect("JSON");
        assert!(shown["url"].as_str().is_some_and(|url| url.starts_with("http://127.0.0.1")), "{shown}");
    }
    assert_eq!(desk.fake.fetches(), 0);
    assert!(!desk.folder.path().join("users.csv").exists());
}

#[test]
fn any_endpoint_can_be_called() {
    let desk = Desk::new();
    let answer = desk.does(&["api", "GET", "/cgi-bin/user/info?openid=o1", "lang=en"]);
    assert!(answer.contains("\"openid\": \"o1\""), "{answer}");
    desk.does(&["api", "POST", "/cgi-bin/tags/create", "{\"tag\":{\"name\":\"广东\"}}"]);
    assert_eq!(desk.sent("/cgi-bin/tags/create"), json!({"tag": {"name": "广东"}}));
    desk.does(&["api", "tags/update", "tag.id=134", "tag.name=12"]);
    assert_eq!(desk.sent("/cgi-bin/tags/update"), json!({"tag": {"id": 134, "name": "12"}}));
    let body = desk.put("menu.json", br#"{"button":[{"type":"click","name":"a","key":"K"}]}"#);
    desk.does(&["api", "menu/create", &format!("@{body}")]);
    assert_eq!(desk.sent("/cgi-bin/menu/create")["button"][0]["key"], "K");
    let raw = desk.does(&["api", "media/voice/translatecontent?lfrom=zh_CN&lto=en_US", "你好", "--raw"]);
    assert_eq!(raw, "{\"from_content\":\"你好\",\"to_content\":\"Hello\"}\n");
    // What WeChat may have added is called all the same, and a slip is told.
    let ran = desk.run(&["api", "POST", "/cgi-bin/brand/new", "{\"a\":1}"]);
    assert!(ran.code == Some(1) && ran.err.contains("40066"), "{ran:?}");
    assert_eq!(desk.sent("/cgi-bin/brand/new"), json!({"a": 1}));
    let ran = desk.run(&["api", "GET", "/cgi-bin/tags/gett"]);
    assert!(ran.err.contains("did you mean `/cgi-bin/tags/get`?"), "{ran:?}");
    for refused in [
        &["api", "GET", "https://example.com/cgi-bin/tags/get"][..],
        &["api", "GET", "/cgi-bin/token?grant_type=client_credential"],
        &["api", "POST", "/cgi-bin/tags/create", "{\"tag\":"],
        &["api", "GET", "/cgi-bin/tags/get?access_token=mine"],
        &["api", "tags/create", "tag.name=一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十一"],
    ] {
        let ran = desk.run(refused);
        assert_eq!(ran.code, Some(2), "{ran:?}");
    }
    desk.does(&["api", "media/get", "media_id=picture", "--output", "cat.jpg"]);
    assert_eq!(fs::read(desk.folder.path().join("cat.jpg")).expect("a file"), MEDIA);
    let ran = desk.run(&["api", "media/get", "media_id=nothing", "--output", "none.jpg"]);
    assert!(ran.code == Some(1) && ran.err.contains("40007"), "{ran:?}");
    let names: Vec<_> =
        fs::read_dir(&desk.folder).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().starts_with("none")), "{names:?}");
    let file = desk.put("cat.jpg", MEDIA);
    assert!(desk.does(&["api", "media/upload", "type=image", "--file", &file]).contains("media_id"));
}

#[test]
fn the_table_can_be_read() {
    let desk = Desk::new();
    let listed = desk.does(&["api", "--list"]);
    assert!(listed.contains("Tags (标签)\n  POST /cgi-bin/tags/create "), "{listed}");
    assert!(listed.lines().filter(|line| line.starts_with("  ")).count() > 120);
    let listed: Value =
        serde_json::from_str(&desk.does(&["api", "--list", "typing", "--json"])).expect("JSON");
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    let explained = desk.does(&["api", "tags/create", "--explain"]);
    assert!(explained.contains("tag.name  text, required, at most 30 characters"), "{explained}");
    assert_eq!(desk.fake.fetches(), 0);
}

#[test]
fn template_messages_are_sent_and_templates_listed() {
    let desk = Desk::new();
    let sent = desk.does(&[
        "template",
        "send",
        "o1",
        "T1",
        "thing1=巧克力",
        "amount2=39.8元",
        "--url",
        "https://example.com/",
        "--miniprogram",
        "wx1:index?foo=bar",
        "--client-msg-id",
        "M1",
    ]);
    assert_eq!(sent, "sent; msgid 200228332\n");
    assert_eq!(
        desk.sent("/cgi-bin/message/template/send"),
        json!({"touser": "o1", "template_id": "T1", "url": "https://example.com/", "client_msg_id": "M1",
            "miniprogram": {"appid": "wx1", "pagepath": "index?foo=bar"},
            "data": {"thing1": {"value": "巧克力"}, "amount2": {"value": "39.8元"}}})
    );
    let ran = desk.run(&["template", "send", "o1", "T1", &format!("thing1={}", "好".repeat(21))]);
    assert!(ran.code == Some(2) && ran.err.contains("`data.thing1.value` has 21 characters"), "{ran:?}");
    assert!(desk.does(&["template", "list"]).contains("订单   {{thing1.DATA}} {{amount2.DATA}}"));
    assert_eq!(desk.does(&["template", "add", "TM00015", "单号", "金额"]), "NEW_TEMPLATE\n");
    assert_eq!(desk.does(&["template", "delete", "T1"]), "deleted\n");
}

#[test]
fn users_are_shown_remarked_and_blocked() {
    let desk = Desk::new();
    let shown = desk.does(&["user", "info", "o00001"]);
    assert!(
        shown.contains("openid             o00001\n") && shown.contains("tagid_list         128;2\n"),
        "{shown}"
    );
    let many: Vec<_> = (0..150).map(|number| format!("o{number}")).collect();
    let arguments: Vec<_> = ["user", "info"].into_iter().chain(many.iter().map(String::as_str)).collect();
    assert_eq!(desk.does(&arguments).lines().count(), 151);
    assert_eq!(desk.fake.count("/cgi-bin/user/info/batchget"), 2);
    let listed = desk.does(&["user", "list"]);
    assert_eq!((listed.lines().count(), listed.lines().last()), (FOLLOWERS, Some("o10250")));
    let listed: Value = serde_json::from_str(&desk.does(&["user", "list", "--json"])).expect("JSON");
    assert_eq!(listed["openid"].as_array().map(Vec::len), Some(FOLLOWERS));
    assert_eq!(desk.does(&["user", "remark", "o1", "老客户"]), "remarked\n");
    assert_eq!(desk.does(&["user", "remark", "o1", ""]), "remarked\n");
    assert_eq!(desk.run(&["user", "remark", "o1", &"好".repeat(10)]).code, Some(2));
    assert_eq!(desk.does(&["user", "blacklist"]).lines().count(), 800);
    assert_eq!(desk.does(&["user", "block", "o1", "o2"]), "blocked 2 users\n");
    let arguments: Vec<_> = ["user", "unblock"].into_iter().chain(many.iter().map(String::as_str)).collect();
    assert_eq!(desk.does(&arguments), "unblocked 150 users\n");
    assert_eq!(desk.fake.count("/cgi-bin/tags/members/batchunblacklist"), 8);
}

#[test]
fn all_followers_are_exported() {
    let desk = Desk::new();
    assert_eq!(desk.does(&["user", "export", "users.csv"]), "wrote 10250 followers to users.csv\n");
    let csv = desk.read("users.csv");
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines.len(), FOLLOWERS + 1);
    assert_eq!(lines[1], "o00001,,1382694957,ADD_SCENE_QR_CODE,\"a,\"\"b\"\"\",128;2,98765,,zh_CN,0");
    assert!(!desk.folder.path().join("users.csv.state").exists());
    assert_eq!(desk.fake.count("/cgi-bin/user/info/batchget"), 103);
    let again = desk.run(&["user", "export", "users.csv"]);
    assert!(again.code == Some(2) && again.err.contains("--restart"), "{again:?}");
    desk.does(&["user", "export", "ids.jsonl", "--openids-only"]);
    assert_eq!(desk.read("ids.jsonl").lines().nth(1), Some("{\"openid\":\"o00002\"}"));
    assert_eq!(desk.fake.count("/cgi-bin/user/info/batchget"), 103);
}

#[test]
fn pages_that_go_round_end() {
    let desk = Desk::new();
    let page = |openid: &str, next: &str| {
        let page = json!({"total": 2, "count": 1, "data": {"openid": [openid]}, "next_openid": next});
        Trouble::Body(page.to_string().into_bytes())
    };
    let path = "/cgi-bin/user/tag/get";
    desk.fake.troubles(path, [page("o1", "A"), page("o2", "B"), page("o3", "A"), page("o4", "B")]);
    assert_eq!(desk.does(&["tag", "members", "134"]), "o1\no2\no3\n");
    assert_eq!(desk.fake.count(path), 3);
}

#[test]
fn an_export_that_was_killed_goes_on_where_it_was() {
    const INFOS: &str = "/cgi-bin/user/info/batchget";
    let desk = Desk::new();
    // It is killed at different points: at an answer that does not come, and wherever it happens to be.
    desk.fake.troubles(INFOS, [Trouble::Hang]);
    for round in 1..=3 {
        let mut child = desk.command(&["user", "export", "users.csv"]).spawn().expect("our program");
        desk.fake.was_called(INFOS, round * 20 - 19);
        if round > 1 {
            wait_until("some lines are there", || desk.read("users.csv").lines().count() > round * 300);
        }
        kill_process(Pid::from_child(&child), Signal::KILL).expect("our own child");
        child.wait().expect("it ended");
    }
    let went_on = desk.run(&["user", "export", "users.csv"]);
    assert_eq!(
        (went_on.code, went_on.out.as_str()),
        (Some(0), "wrote 10250 followers to users.csv\n"),
        "{went_on:?}"
    );
    assert!(went_on.err.contains("going on after"), "{went_on:?}");
    let csv = desk.read("users.csv");
    let openids: Vec<_> =
        csv.lines().skip(1).map(|line| line.split(',').next().unwrap_or_default()).collect();
    let expected: Vec<_> = (1..=FOLLOWERS).map(|number| format!("o{number:05}")).collect();
    assert_eq!(openids, expected);
}

#[test]
fn an_export_that_fails_goes_on_too() {
    let desk = Desk::new();
    desk.fake.troubles(
        "/cgi-bin/user/info/batchget",
        [Trouble::Errcode(45009, "reach max api daily quota limit")],
    );
    let ran = desk.run(&["user", "export", "users.csv"]);
    assert!(ran.code == Some(1) && ran.err.contains("45009"), "{ran:?}");
    assert!(desk.folder.path().join("users.csv").exists());
    // What is no answer ends it as well, and neither it nor how far it came is lost.
    let [state, lines] = ["users.csv.state", "users.csv"].map(|name| desk.read(name));
    for (path, body) in [
        ("user/get", r#"{"errcode":"abc"}"#),
        ("user/get", "{}"),
        ("user/get", r#"{"count":0}"#),
        ("user/get", r#"{"total":9,"count":9}"#),
        ("user/get", r#"{"total":9,"count":9,"data":{"openid":[]},"next_openid":""}"#),
        ("user/get", r#"{"total":9,"count":9,"data":{"openid":["o1"]}}"#),
        ("user/get", r#"{"total":9,"count":9,"data":{"openid":[1]},"next_openid":""}"#),
        ("user/info/batchget", "{}"),
    ] {
        desk.fake.troubles(&format!("/cgi-bin/{path}"), vec![Trouble::Body(body.into()); 5]);
        let ran = desk.run(&["user", "export", "users.csv"]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{body}: {ran:?}");
        assert_eq!([desk.read("users.csv.state"), desk.read("users.csv")], [&*state, &*lines], "{body}");
        desk.fake.forget_troubles();
    }
    let ran = desk.run(&["user", "export", "users.csv"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(desk.read("users.csv").lines().count(), FOLLOWERS + 1);
}

#[test]
fn tags_are_made_given_and_taken() {
    let desk = Desk::new();
    assert_eq!(desk.does(&["tag", "list"]), "id   name    count\n2    星标组  0\n134  广东    60\n");
    assert_eq!(desk.does(&["tag", "create", "老客户"]), "made tag 135\n");
    assert_eq!(desk.does(&["tag", "rename", "广东", "广东人"]), "renamed\n");
    assert_eq!(desk.sent("/cgi-bin/tags/update"), json!({"tag": {"id": 134, "name": "广东人"}}));
    assert_eq!(desk.does(&["tag", "delete", "134"]), "deleted\n");
    assert_eq!(desk.does(&["tag", "of", "o1"]), "134\n2\n");
    let members = desk.does(&["tag", "members", "广东"]);
    assert_eq!(members.lines().count(), 60);
    let openids: Vec<_> = members.lines().collect();
    let added = desk.does(&[&["tag", "add", "广东"], &openids[..]].concat());
    assert_eq!(
        (added.as_str(), desk.fake.count("/cgi-bin/tags/members/batchtagging")),
        ("tagged 60 users\n", 2)
    );
    assert_eq!(
        desk.sent("/cgi-bin/tags/members/batchtagging")["openid_list"].as_array().map(Vec::len),
        Some(10)
    );
    assert_eq!(desk.does(&["tag", "remove", "134", "o1", "--json"]), "{\"untagged\":1}\n");
    let taggings = desk.fake.count("/cgi-bin/tags/members/batchtagging");
    let dry = desk.does(&["tag", "add", "广东", "o1", "-n"]);
    assert!(dry.contains("batchtagging?access_token=***") && dry.contains("\"tagid\": 134"), "{dry}");
    assert_eq!(desk.fake.count("/cgi-bin/tags/members/batchtagging"), taggings);
    let ran = desk.run(&["tag", "delete", "广西"]);
    assert!(ran.code == Some(1) && ran.err.contains("it has: 星标组, 广东"), "{ran:?}");
}

#[test]
fn a_code_is_made_drawn_and_written() {
    let desk = Desk::new();
    let made = desk.does(&["qrcode", "create", "shop-12", "--expires", "7d", "--png", "code.png"]);
    assert!(
        made.contains('█')
            && made.ends_with("http://weixin.qq.com/q/kZgfwMTm72WWPkovabbI\nexpires in 7 days\n")
    );
    assert_eq!(
        desk.sent("/cgi-bin/qrcode/create"),
        json!({"expire_seconds": 604_800, "action_name": "QR_STR_SCENE", "action_info": {"scene": {"scene_str": "shop-12"}}})
    );
    let file = fs::File::open(desk.folder.path().join("code.png")).expect("a picture");
    let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    let info = reader.next_frame(&mut pixels).expect("pixels");
    // 33 modules for a URL so long, and four of quiet on each side, eight pixels each.
    assert_eq!((info.width, info.height), (328, 328));
    let at = |x: usize, y: usize| pixels[y * 328 + x];
    assert_eq!((at(0, 0), at(31, 31), at(32, 32), at(88, 32)), (255, 255, 0, 255));
    for (words, action) in [
        (
            &["123"][..],
            json!({"action_name": "QR_SCENE", "expire_seconds": 2_592_000, "action_info": {"scene": {"scene_id": 123}}}),
        ),
        (
            &["123", "--permanent"],
            json!({"action_name": "QR_LIMIT_SCENE", "action_info": {"scene": {"scene_id": 123}}}),
        ),
        (
            &["123", "--text", "--permanent"],
            json!({"action_name": "QR_LIMIT_STR_SCENE", "action_info": {"scene": {"scene_str": "123"}}}),
        ),
    ] {
        desk.does(&[&["qrcode", "create"], words, &["--quiet"]].concat());
        assert_eq!(desk.sent("/cgi-bin/qrcode/create"), action);
    }
    for wrong in
        [&["x", "--expires", "31d"][..], &["100001", "--permanent"], &["0"], &["x", "--expires", "soon"]]
    {
        assert_eq!(desk.run(&[&["qrcode", "create"], wrong].concat()).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn statistics_are_asked_for_in_pieces_and_drawn() {
    let desk = Desk::new();
    let days = ["--from", "2026-01-01", "--to", "2026-01-10"];
    let drawn = desk.does(&[&["stats", "usersummary"], &days[..]].concat());
    assert!(drawn.starts_with("cancel_user\n  2026-01-01  2  ████"), "{drawn}");
    assert!(drawn.contains(&format!("  2026-01-10  20  {}\n", "█".repeat(40))), "{drawn}");
    assert_eq!(desk.fake.count("/datacube/getusersummary"), 2);
    assert_eq!(
        desk.sent("/datacube/getusersummary"),
        json!({"begin_date": "2026-01-08", "end_date": "2026-01-10"})
    );
    let csv = desk.does(&[&["stats", "getusersummary", "--csv", "-"], &days[..]].concat());
    assert_eq!(csv.lines().next(), Some("ref_date,cancel_user,new_user,user_source"));
    assert_eq!(csv.lines().count(), 21);
    assert!(desk.does(&["stats"]).contains("usersummary            Who came and went"));
    let ran = desk.run(&["stats", "usersumary"]);
    assert!(ran.code == Some(2) && ran.err.contains("did you mean `usersummary`?"), "{ran:?}");
}

#[test]
fn pages_are_signed_for_the_js_sdk() {
    let desk = Desk::new();
    // WeChat's own example.
    let ticket = "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg";
    let url = "http://mp.weixin.qq.com?params=value";
    let arguments = ["jssdk", "sign", url, "--nonce", "Wm3WZYTPz0wzccnW", "--timestamp", "1414587457"];
    let signed = desk.does(&[&arguments[..], &["--ticket", ticket]].concat());
    assert!(signed.contains("signature: '0f9de62fce790f9a083d5c99e95740ceb90c27ed'"), "{signed}");
    assert_eq!(desk.fake.fetches(), 0);
    let config: Value = serde_json::from_str(&desk.does(&["jssdk", "sign", url, "--json"])).expect("JSON");
    assert_eq!(config["signature"].as_str().map(str::len), Some(40));
    desk.does(&["jssdk", "sign", url]);
    assert_eq!(desk.fake.count("/cgi-bin/ticket/getticket"), 1, "the ticket is shared");
}

#[test]
fn a_login_has_its_url_and_its_code() {
    let desk = Desk::new();
    let url = desk.does(&["oauth", "url", "https://example.com/login", "--userinfo", "--state", "x1"]);
    assert_eq!(
        url,
        "https://open.weixin.qq.com/connect/oauth2/authorize?appid=wx0123456789abcdef&redirect_uri=https%3A%2F%2Fexample\
         .com%2Flogin&response_type=code&scope=snsapi_userinfo&state=x1#wechat_redirect\n"
    );
    let answer = desk.does(&["oauth", "code", "CODE"]);
    assert!(answer.contains("oSomebody") && !answer.contains("access_token"), "{answer}");
    assert_eq!(desk.fake.last("/sns/oauth2/access_token").param("code"), Some("CODE"));
    assert_eq!(desk.run(&["oauth", "url", "example.com"]).code, Some(2));
    assert_eq!(desk.fake.fetches(), 0);
}

#[test]
fn drafts_are_made_and_published() {
    let desk = Desk::new();
    let article = json!({"title": "文", "content": "<p>猫</p>", "thumb_media_id": "M"});
    for given in [article.clone(), json!([article]), json!({"articles": [article]})] {
        let file = desk.put("draft.json", given.to_string().as_bytes());
        assert_eq!(desk.does(&["draft", "add", &file]), "DRAFT\n");
        assert_eq!(desk.sent("/cgi-bin/draft/add"), json!({"articles": [article]}));
    }
    let file = desk.put("article.json", article.to_string().as_bytes());
    assert_eq!(desk.does(&["draft", "update", "DRAFT", &file, "--index", "1"]), "updated\n");
    assert_eq!(
        desk.sent("/cgi-bin/draft/update"),
        json!({"media_id": "DRAFT", "index": 1, "articles": article})
    );
    let listed = desk.does(&["draft", "list"]);
    assert_eq!((listed.lines().count(), desk.fake.count("/cgi-bin/draft/batchget")), (ITEMS + 1, 3));
    assert!(listed.contains("DRAFT44   1700000000   文44"), "{listed}");
    assert!(desk.does(&["draft", "list", "--limit", "7"]).ends_with("(7 of 45)\n"));
    assert!(desk.does(&["draft", "show", "DRAFT"]).contains("\"title\": \"文\""));
    assert_eq!(desk.does(&["draft", "count"]), "45\n");
    assert_eq!(desk.does(&["draft", "delete", "DRAFT"]), "deleted\n");
    assert_eq!(
        desk.does(&["draft", "publish", "DRAFT"]),
        "publishing; ask with: wxcgi publish state 100000001\n"
    );
    assert_eq!(
        desk.does(&["publish", "state", "100000001"]),
        "published\nARTICLE\nhttps://mp.weixin.qq.com/s/x\n"
    );
    assert_eq!(desk.does(&["publish", "list"]).lines().count(), ITEMS + 1);
    assert!(desk.does(&["publish", "show", "ARTICLE"]).contains("news_item"));
    assert_eq!(desk.does(&["publish", "delete", "ARTICLE", "--index", "1"]), "deleted\n");
    let file = desk.put("bad.json", b"{\"title\": \"t\", \"contnet\": \"c\"}");
    let ran = desk.run(&["draft", "add", &file]);
    assert_eq!(ran.code, Some(2));
    for told in [
        "`articles[0].content` is missing",
        "`articles[0].thumb_media_id` is missing",
        "did you mean `content`?",
    ] {
        assert!(ran.err.contains(told), "{told}: {}", ran.err);
    }
}

#[test]
fn files_are_looked_at_sent_and_fetched() {
    let desk = Desk::new();
    let picture = desk.put("猫 \"1\".jpg", MEDIA);
    let film = desk.put("film.mp4", b"\0\0\0\x20ftypisom film");
    assert_eq!(desk.does(&["media", "upload", &picture]), format!("media-{}\n", MEDIA.len()));
    assert_eq!(desk.fake.last("/cgi-bin/media/upload").param("type"), Some("image"));
    assert_eq!(desk.does(&["media", "upload", &picture, "--permanent"]), "PERMANENT\n");
    assert_eq!(desk.does(&["media", "upload", &picture, "--inline"]), "http://mmbiz.qpic.cn/inline\n");
    let words = ["--permanent", "--title", "猫", "--introduction", "一只猫"];
    assert_eq!(desk.does(&[&["media", "upload", &film], &words[..]].concat()), "PERMANENT\n");
    assert_eq!(desk.fake.last("/cgi-bin/material/add_material").param("type"), Some("video"));
    let large = desk.put("large.jpg", &[MEDIA, &vec![0; 10 << 20]].concat());
    let text = desk.put("cat.txt", b"a cat");
    let uploads = desk.fake.count("/cgi-bin/material/add_material");
    for (arguments, told) in [
        (&["media", "upload", &large, "--permanent"][..], "at most 10485760 are allowed"),
        (&["media", "upload", &text], "is of a format that is not known"),
        (&["media", "upload", &picture, "--type", "thumb", "--unknown"], "--unknown"),
        (&["media", "upload", &picture, "--type", "voice"], "`media` is JPG; convert it to AMR, MP3"),
        (&["media", "upload", &film, "--permanent"], "`description` is missing"),
        (&["media", "upload", "nowhere.jpg"], "cannot read `nowhere.jpg`"),
    ] {
        let ran = desk.run(arguments);
        assert!(ran.code == Some(2) && ran.err.contains(told), "{arguments:?}: {ran:?}");
    }
    assert_eq!(desk.fake.count("/cgi-bin/material/add_material"), uploads);
    assert_eq!(desk.does(&["media", "download", "picture", "-o", "a.jpg"]), "wxcgi: wrote a.jpg\n");
    desk.does(&["media", "download", "picture", "-o", "b.jpg", "--permanent"]);
    for name in ["a.jpg", "b.jpg"] {
        assert_eq!(fs::read(desk.folder.path().join(name)).expect(name), MEDIA);
    }
    desk.does(&["media", "download", "video", "-o", "v.json"]);
    assert!(desk.read("v.json").contains("video_url"));
    assert_eq!(desk.does(&["media", "list", "image"]).lines().count(), ITEMS + 1);
    assert_eq!(desk.does(&["media", "delete", "M"]), "deleted\n");
    assert!(desk.does(&["media", "count"]).contains("45"));
}

#[test]
fn quotas_are_shown_and_cleared() {
    let desk = Desk::new();
    desk.fake.use_up(SEND, 12);
    let shown = desk.does(&["quota", "get", "message/custom/send"]);
    assert_eq!(shown, "12 of 500000 used today, 499988 left; at most 1000 in 60 s\n");
    assert_eq!(desk.sent("/cgi-bin/openapi/quota/get"), json!({"cgi_path": SEND}));
    assert_eq!(desk.does(&["quota", "clear", SEND]), "cleared\n");
    assert!(desk.does(&["quota", "get", SEND]).starts_with("0 of 500000 used"));
    assert_eq!(desk.does(&["quota", "clear", "--all"]), "cleared\n");
    assert_eq!(desk.sent("/cgi-bin/clear_quota"), json!({"appid": "wx0123456789abcdef"}));
    assert!(desk.does(&["quota", "rid", "61725984-6126f6f9-040f19c4"]).contains("203.0.113.7"));
    assert_eq!(desk.run(&["quota", "rid", "nonsense"]).code, Some(2));
}

/// Every `$ …` of the READMEs, run in a shell, prints what stands below it.
#[test]
fn the_readmes_show_what_the_commands_print() {
    for name in ["README.md", "README.zh-CN.md"] {
        let desk = Desk::new();
        // The block sends one more before it asks.
        desk.fake.use_up(SEND, 11);
        let bin = desk.folder.path().join("bin");
        fs::create_dir(&bin).expect("our folder");
        std::os::unix::fs::symlink(program(), bin.join("wxcgi")).expect("our folder");
        let readme = fs::read_to_string(repository().join(name)).expect(name);
        let (_, block) = readme.split_once("```console\n$ wxcgi send").expect("a block");
        let block = format!("$ wxcgi send{}", block.split_once("```").expect("its end").0);
        let shown: Vec<_> = block.trim_start_matches("$ ").split("\n$ ").collect();
        assert!(shown.len() > 8, "{name}");
        for example in shown {
            let (line, output) = example.split_once('\n').expect("a line and its output");
            let mut bash = Command::new("bash");
            bash.args(["-c", &format!("{line} 2>&1")]).current_dir(&desk.folder).env_clear();
            bash.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
            bash.env("WXCGI_STATE_DIR", desk.folder.path().join("state"));
            let ran = bash.stdin(Stdio::null()).output().expect("bash");
            let printed = String::from_utf8(ran.stdout).expect("UTF-8");
            let printed = printed.replace(&desk.fake.base_url(), "https://api.weixin.qq.com");
            assert_eq!(printed.trim_end(), output.trim_end(), "{name}: {line}");
        }
    }
}

/// The rows of the README's table of who may call what, held against the table of endpoints.
#[test]
fn the_readmes_say_who_may_call_what() {
    let rows: [(&str, &[&str]); 14] = [
        ("`token`, `quota`", &["token", "stable_token", "getcallbackip", "openapi/quota/get"]),
        ("`media upload`, `media download`", &["media/upload", "media/get"]),
        ("`media --permanent`", &["material/add_material", "draft/add"]),
        ("`jssdk`", &["ticket/getticket", "media/voice/translatecontent"]),
        ("`publish`", &["freepublish/submit"]),
        ("`menu`", &["menu/create", "menu/addconditional"]),
        ("`send`", &["message/custom/send", "message/custom/typing"]),
        ("`user`, `tag`", &["user/info", "user/get", "tags/create", "tags/members/batchblacklist"]),
        ("`user remark`", &["user/info/updateremark"]),
        ("`template`", &["message/template/send"]),
        ("`qrcode`", &["qrcode/create"]),
        ("`oauth`", &["sns/oauth2/access_token", "sns/userinfo"]),
        ("`stats`", &["datacube/getusersummary", "message/mass/sendall"]),
        ("`api message/mass/send`", &["message/mass/send"]),
    ];
    for name in ["README.md", "README.zh-CN.md"] {
        let readme = fs::read_to_string(repository().join(name)).expect(name);
        for (command, paths) in rows {
            let is_row = |line: &&str| line.starts_with(&format!("| {command}")) && line.contains(['✔', '✘']);
            let line = readme.lines().find(is_row);
            let line = line.unwrap_or_else(|| panic!("{name} has no row for {command}"));
            let signs: String = line
                .split('|')
                .filter_map(|cell| match cell.trim() {
                    "✔" => Some('+'),
                    "✘" => Some('-'),
                    "?" => Some('?'),
                    _ => None,
                })
                .collect();
            for path in paths {
                let row = wxcgi::api::table::find(path).expect(path);
                assert_eq!(signs, row.who.0, "{name}: {line}, {path}");
            }
        }
    }
}
