//! `wxcgi import`.

use std::fs;

use serde_json::Value;

use super::Desk;
use crate::support::{FakeWechat, repository};

/// WeChat's answers, of which some cannot be carried over.
fn answers() -> [String; 2] {
    let path = |name: &str| repository().join("tests/data/console").join(name).display().to_string();
    [path("autoreply.json"), path("selfmenu.json")]
}

const LOST: [&str; 5] = [
    "wxcgi: not carried over: the button \"短片\": a reply (video) of which WeChat tells the address alone",
    "wxcgi: not carried over: rule \"新闻\": 2 articles: from a server WeChat shows 1\n",
    "wxcgi: not carried over: rule \"价格 (2)\": the keyword \"差不多\": how it is compared, \"fuzzy\", is not known\n",
    "wxcgi: not carried over: rule \"价格 (2)\": a reply (video) of which WeChat tells the address alone",
    "wxcgi: not carried over: rule \"价格 (2)\": a reply of the type \"cardmsg\", which is not known\n",
];

#[test]
fn what_the_console_answered_is_answered_by_the_config() {
    let desk = Desk::new();
    let [replies, menu] = answers();
    desk.run(["import", &replies, &menu, "--write", "--tests"])
        .exits(0)
        .prints(&["wxcgi: wrote wxcgi.toml\n", "wxcgi: wrote tests/import.toml\n"])
        .complains(&LOST);
    desk.run(["check"]).exits(0).prints(&["8 rules and a default; no faults"]);
    desk.run(["test"]).exits(0).prints(&["wxcgi: 10 tests passed\n"]);
    let said = |text: &str, reply: &str| {
        desk.run(["simulate", text]).exits(0).prints(&[&format!("account  {reply}\n")]);
    };
    said("价格表", "您好，人工客服稍后回复。");
    // At most once an hour.
    said("价目表", "(nothing; the user sees no answer)");
    said("{{ openid }}", "他说：\"{{ openid }}\" \\ {% raw %} 😀\n         '''第二行\"\"\"");
    desk.run(["simulate", "--event", "CLICK", "--key", "console-3"])
        .exits(0)
        .prints(&["account  This is text!\n"]);
    let config = fs::read_to_string(desk.at("wxcgi.toml")).expect("the config");
    for line in
        ["when.contains = [\"多少钱\"]\n", "when.text = [\"价格\"]\nalias = \"价格\"\n", "reply.random = [\n"]
    {
        assert!(config.contains(line), "no `{line}` in {config}");
    }
    for lost in LOST {
        let (_, note) = lost.split_once("over: ").expect("a note");
        let note = note.split_once(": ").map_or("", |(_, note)| note).trim_end();
        assert!(config.contains(note), "no comment `{note}` in {config}");
    }
}

#[test]
fn nothing_is_overwritten_but_by_force() {
    let desk = Desk::with("mine");
    let [replies, menu] = answers();
    desk.run(["import", &replies, "--write"]).exits(1).complains(&["cannot write `wxcgi.toml`: File exists"]);
    assert_eq!(fs::read_to_string(desk.at("wxcgi.toml")).expect("the config"), "mine");
    desk.run(["import", &menu, "--write", "--force"]).exits(0);
    desk.run(["check"]).exits(0).prints(&["3 rules; no faults"]);
    desk.run(["import", &menu, "--write", "other.toml", "--tests"])
        .exits(0)
        .prints(&["wxcgi: wrote other.toml\n"]);
    desk.run(["test", "--config", "other.toml"]).exits(0).prints(&["3 tests passed"]);
}

#[test]
fn what_is_no_answer_is_said_with_its_file() {
    let desk = Desk::new();
    for (text, why) in [
        ("{", "bad.json: it is no JSON: EOF"),
        ("{}", "bad.json: it is no answer of get_current_autoreply_info or get_current_selfmenu_info"),
        (
            r#"{"errcode":48001,"errmsg":"api unauthorized"}"#,
            "bad.json: WeChat refused with 48001 `api unauthorized`",
        ),
    ] {
        desk.put("bad.json", text);
        desk.run(["import", "bad.json"]).exits(1).complains(&[why]);
    }
    let [replies, _] = answers();
    desk.run(["import", &replies, &replies]).exits(1).complains(&["there are two sets of automatic replies"]);
    desk.run(["import", "none.json"]).exits(1).complains(&["none.json: cannot read it"]);
    desk.run(["import"]).exits(2);
    desk.run(["import", &replies, "--force"]).exits(2).complains(&["--write"]);
}

#[test]
fn the_live_account_is_asked_with_its_own_credentials() {
    let fake = FakeWechat::start();
    let [_, menu] = answers();
    let menu: Value = serde_json::from_str(&fs::read_to_string(menu).expect("the menu")).expect("JSON");
    fake.has_console_menu(menu["selfmenu_info"]["button"].clone());
    let desk = Desk::with(&fake.config(""));
    desk.run(["import", "--live", "--write", "new.toml", "--tests"]).exits(0).complains(&LOST);
    let config = fs::read_to_string(desk.at("new.toml")).expect("the config");
    let ours = fs::read_to_string(desk.at("wxcgi.toml")).expect("our config");
    let app_id = ours.lines().find(|line| line.starts_with("app_id")).expect("an AppID");
    assert!(config.contains(app_id), "no `{app_id}` in {config}");
    desk.run(["check", "new.toml"]).exits(0).prints(&["8 rules and a default; no faults"]);
    desk.run(["test", "--config", "new.toml"]).exits(0).prints(&["10 tests passed"]);
    desk.put("wxcgi.toml", "[account]\ntoken = \"mytoken\"\n");
    desk.run(["import", "--live"]).exits(2).complains(&["app_id"]);
}
