//! `wxcgi menu`: what followers have at the foot of the chat, held against the config.

use std::fs;

use serde_json::{Value, json};

use crate::support::{FakeWechat, Machine, Trouble};

const MENU: &str = r#"
[[menu.button]]
name = "天气"
type = "click"
key = "WEATHER"
[[menu.button]]
name = "更多"
sub_button = [{ name = "首页", type = "view", url = "https://example.com/?a=1&b=<2>" }]
[[menu.conditional]]
tag_id = 2
button = [{ name = "会员", type = "view", url = "https://example.com/vip" }]
[[menu.conditional]]
client_platform_type = "ios"
button = [{ name = "苹果", type = "view", url = "https://example.com/ios" }]
[[rule]]
when.key = "WEATHER"
reply = "晴"
"#;

fn machine(fake: &FakeWechat, more: &str) -> Machine {
    Machine::new(&fake.config(more))
}

fn live(machine: &Machine) -> Value {
    serde_json::from_str(&machine.prints(&["menu", "show", "--json"])).expect("JSON")
}

#[test]
fn a_menu_is_pushed_once_and_is_the_config_s_then() {
    let fake = FakeWechat::start();
    let machine = machine(&fake, MENU);
    assert_eq!(machine.prints(&["menu", "show"]), "there is no menu\n");

    let pushed = machine.prints(&["menu", "push"]);
    assert!(
        pushed.contains("+ 天气 → click WEATHER\n+ 更多\n+   首页 → view https://example.com/?a=1&b=<2>\n"),
        "{pushed}"
    );
    assert!(pushed.contains("five minutes") && pushed.contains("unfollow and follow"), "{pushed}");
    let body = String::from_utf8(fake.last("/cgi-bin/menu/create").body).expect("UTF-8");
    assert!(body.contains("天气") && body.contains("?a=1&b=<2>"), "escaped on the way: {body}");

    // WeChat tries the newest first, so what stands first in the config is made last.
    let conditional = live(&machine)["menu_get"]["conditionalmenu"].clone();
    assert_eq!(conditional[0]["matchrule"], json!({"client_platform_type": "1"}));
    assert_eq!(conditional[1]["matchrule"], json!({"tag_id": "2"}));

    assert_eq!(machine.prints(&["menu", "diff", "--exit-code"]), "the live menu is that of the config\n");
    assert!(machine.prints(&["menu", "push"]).starts_with("nothing to change"));
    assert_eq!(fake.count("/cgi-bin/menu/create"), 1);
    assert_eq!(
        machine.prints(&["menu", "show"]),
        "天气 → click WEATHER\n更多\n  首页 → view https://example.com/?a=1&b=<2>\n\
         for tag 2:\n  会员 → view https://example.com/vip\nfor iOS:\n  苹果 → view https://example.com/ios\n"
    );
}

#[test]
fn a_difference_is_shown_line_by_line_and_pushed_step_by_step() {
    let fake = FakeWechat::start();
    let machine = machine(&fake, MENU);
    machine.prints(&["menu", "push"]);
    machine.configure(&fake.config(&MENU.replace("首页", "主页").replace("/vip", "/gold")));

    let output = machine.run(&["menu", "diff", "--exit-code"]);
    assert_eq!(output.status.code(), Some(1));
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains("-   首页 → view") && shown.contains("+   主页 → view"), "{shown}");
    assert!(shown.contains("\n  for iOS:\n"), "what stays is shown around it: {shown}");
    let json: Value = serde_json::from_str(&machine.prints(&["menu", "diff", "--json"])).expect("JSON");
    assert_eq!(
        (&json["same"], &json["live"][2], &json["config"][2]),
        (
            &json!(false),
            &json!("  首页 → view https://example.com/?a=1&b=<2>"),
            &json!("  主页 → view https://example.com/?a=1&b=<2>")
        )
    );

    let before = live(&machine);
    let dry = machine.prints(&["menu", "push", "--dry-run"]);
    assert!(dry.contains("would send: POST /cgi-bin/menu/create {"), "{dry}");
    assert!(
        dry.contains("would send: POST /cgi-bin/menu/delconditional {\"menuid\":\"208396991\"}"),
        "{dry}"
    );
    assert_eq!(live(&machine), before);

    machine.prints(&["menu", "push"]);
    assert!(machine.prints(&["menu", "diff", "--exit-code"]).starts_with("the live menu is"));
    assert_eq!(live(&machine)["menu_get"]["conditionalmenu"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_button_that_nobody_answers_is_not_pushed_unasked() {
    let fake = FakeWechat::start();
    let machine = machine(&fake, "[[menu.button]]\nname = \"空\"\ntype = \"click\"\nkey = \"NOBODY\"\n");
    let complaint = machine.complaint(&["menu", "push"]);
    assert!(complaint.contains("no rule answers the key `NOBODY`"), "{complaint}");
    assert!(complaint.contains("when.key = \"NOBODY\"") && complaint.contains("--force"), "{complaint}");
    assert_eq!(fake.count("/cgi-bin/menu/create"), 0);
    machine.prints(&["menu", "push", "--force"]);
    assert_eq!(fake.count("/cgi-bin/menu/create"), 1);
}

#[test]
fn a_menu_that_wechat_would_refuse_is_not_sent() {
    let fake = FakeWechat::start();
    let machine =
        machine(&fake, "[[menu.button]]\nname = \"一二三四五六\"\ntype = \"view\"\nurl = \"https://a.b/\"\n");
    let output = machine.run(&["menu", "push"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("`name` has 18 bytes, and WeChat takes 16"),
        "{output:?}"
    );
    let without = machine.run(&["menu", "push", "--config", "/dev/null"]);
    assert_eq!(without.status.code(), Some(2));
    machine.configure(&fake.config(""));
    let none = machine.run(&["menu", "diff"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&none.stderr).contains("has no menu; write one"), "{none:?}");
    assert_eq!(fake.fetches(), 0, "nobody was asked");
}

#[test]
fn a_file_that_wechat_would_refuse_is_not_restored() {
    let fake = FakeWechat::start();
    let machine = machine(&fake, MENU);
    machine.prints(&["menu", "push"]);
    let file = |buttons: Value| {
        let document = json!({"menu_get": {"menu": {"button": buttons}}});
        fs::write(machine.path("wrong.json"), document.to_string()).expect("our folder");
    };
    let good = json!({"name": "a", "type": "click", "key": "K"});
    for (buttons, says) in [
        (json!([good, good, good, good]), "`button` has 4 elements, at most 3 are allowed"),
        (json!([{"name": "x".repeat(30), "type": "click", "key": "K"}]), "`button[0].name` has 30 bytes"),
        (json!([{"name": "a", "type": "click"}]), "`button[0].key` is missing"),
    ] {
        file(buttons);
        for more in [&["--dry-run"][..], &[]] {
            let output = machine.run(&[&["menu", "restore", "wrong.json"], more].concat());
            assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{output:?}");
            assert!(String::from_utf8_lossy(&output.stderr).contains(says), "{output:?}");
        }
    }
    assert_eq!(fake.count("/cgi-bin/menu/create"), 1);
}

#[test]
fn only_what_is_deleted_may_be_gone() {
    let fake = FakeWechat::start();
    let machine = machine(&fake, MENU);
    fake.troubles("/cgi-bin/menu/create", [Trouble::Errcode(46003, "menu no exist")]);
    let output = machine.run(&["menu", "push"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("46003"), "{output:?}");
    machine.prints(&["menu", "push"]);
    fake.troubles("/cgi-bin/menu/delete", [Trouble::Errcode(46003, "menu no exist")]);
    assert!(machine.prints(&["menu", "delete"]).contains("deleted"));
}

#[test]
fn a_backup_brings_back_what_was_deleted() {
    let fake = FakeWechat::start();
    let machine = machine(&fake, MENU);
    machine.prints(&["menu", "push"]);
    let before = machine.prints(&["menu", "show"]);

    let dry = machine.prints(&["menu", "delete", "--dry-run"]);
    assert!(
        dry.contains("- 天气 → click WEATHER") && dry.contains("would send: GET /cgi-bin/menu/delete\n"),
        "{dry}"
    );
    let deleted = machine.prints(&["menu", "delete", "--backup", "before.json"]);
    assert!(
        deleted.contains("the live menu is in before.json") && deleted.contains("\ndeleted; "),
        "{deleted}"
    );
    assert_eq!(machine.prints(&["menu", "show"]), "there is no menu\n");
    assert_eq!(machine.prints(&["menu", "delete"]), "there is no menu\n");

    machine.prints(&["menu", "restore", "before.json"]);
    assert_eq!(machine.prints(&["menu", "show"]), before);
    // An older backup is not written over.
    let complaint = machine.complaint(&["menu", "backup", "before.json"]);
    assert!(complaint.contains("cannot write before.json: File exists"), "{complaint}");
    assert_eq!(machine.prints(&["menu", "backup"]), machine.prints(&["menu", "backup", "-"]));
}

#[test]
fn a_menu_of_the_console_is_shown_and_replaced() {
    let fake = FakeWechat::start();
    let machine = machine(&fake, MENU);
    fake.has_console_menu(
        json!([{"name": "旧", "sub_button": {"list": [{"type": "text", "name": "话", "value": "你好"}]}}]),
    );
    let shown = machine.prints(&["menu", "show"]);
    assert_eq!(shown, "made in WeChat's console; `push` replaces it:\n旧\n  话 → text 你好\n");
    machine.prints(&["menu", "backup", "console.json"]);
    let complaint = machine.complaint(&["menu", "restore", "console.json"]);
    assert!(complaint.contains("the button `话` was made in WeChat's console"), "{complaint}");
    let pushed = machine.prints(&["menu", "push"]);
    assert!(pushed.contains("-   话 → text 你好\n"), "{pushed}");
    for (file, why) in [("{", "is no JSON"), ("{}", "no file of `wxcgi menu backup`")] {
        fs::write(machine.path("broken.json"), file).expect("a file");
        let complaint = machine.complaint(&["menu", "restore", "broken.json"]);
        assert!(complaint.contains(why), "{complaint}");
    }
}

#[test]
fn an_interrupted_push_says_how_far_it_came_and_goes_on() {
    let fake = FakeWechat::start();
    let machine = machine(&fake, MENU);
    fake.troubles(
        "/cgi-bin/menu/addconditional",
        [crate::support::Trouble::Errcode(48001, "api unauthorized rid: 1")],
    );
    let output = machine.run(&["menu", "push"]);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        complaint.contains("48001") && complaint.contains("; 1 of 3 steps were done: run it again"),
        "{complaint}"
    );
    machine.prints(&["menu", "push"]);
    assert!(machine.prints(&["menu", "diff", "--exit-code"]).starts_with("the live menu is"));
}
