//! `wxcgi test`.

use std::fs;

use serde_json::{Value, json};

use super::Desk;
use crate::support::repository;

const CONFIG: &str = r#"
[account]
token = "mytoken"
[[rule]]
name = "weather"
when.text = "天气"
reply = "北京\n天气\n挺好的！"
[[rule]]
when.text = "几点"
reply = "{{ now|date('%H:%M') }} {{ openid }}"
[[rule]]
name = "button"
when.event = "CLICK"
when.key = "V1"
reply.news = [{ title = "t", url = "https://a.example/", description = "{{ message.event_key }}" }]
[[rule]]
name = "picture"
when.type = "image"
reply.image = { media_id = "{{ message.media_id }}" }
[[rule]]
name = "dice"
when.text = "掷"
reply.random = ["一", "二"]
[default]
reply.none = true
"#;

const PASSING: &str = r#"
[[test]]
send = "天气"
expect = { rule = "weather", reply = "北京\n天气\n挺好的！" }
[[test]]
user = "oUser1"
at = "2026-11-21T09:00:00+08:00"
send = "几点"
expect = { rule = 2, reply = "09:00 oUser1" }
[[test]]
send = { event = "CLICK", key = "V1" }
expect.reply.news = [{ title = "t", url = "https://a.example/", description = "V1" }]
[[test]]
send = { type = "image", media_id = "m" }
expect = { rule = "picture", reply = { image = { media_id = "m" } } }
[[test]]
send = "掷"
expect = { rule = "dice", reply = ["一", "二"] }
[[test]]
send = "?"
expect = { rule = "default", reply = { none = true } }
[[test]]
send.event = "VIEW"
expect = { rule = false }
"#;

/// A desk with a config and one file of tests beside it.
fn desk(tests: &str) -> Desk {
    let desk = Desk::with(CONFIG);
    fs::create_dir(desk.at("tests")).expect("a folder");
    desk.put("tests/a.toml", tests);
    desk
}

#[test]
fn what_is_as_expected_passes_in_every_mode() {
    let desk = desk(PASSING);
    desk.run(["test"]).exits(0).prints(&["wxcgi: 7 tests passed\n"]);
    desk.run(["test", "tests/a.toml"]).exits(0);
    desk.run(["test", "tests", "--config", "wxcgi.toml"]).exits(0);
    let keys = "token = \"mytoken\"\napp_id = \"wx1\"\nmode = \"secure\"\n\
                encoding_aes_key = \"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG\"";
    desk.put("wxcgi.toml", &CONFIG.replace("token = \"mytoken\"", keys));
    desk.run(["test"]).exits(0).prints(&["wxcgi: 7 tests passed\n"]);
}

#[test]
fn what_differs_is_shown_line_by_line() {
    let desk = desk(
        "[[test]]\nname = \"n\"\nsend = \"天气\"\nexpect = { rule = \"dice\", reply = \"北京\\n雨\\n挺好的！\" }\n\
         [[test]]\nsend = \"天气\"\nexpect = { reply = { none = true } }\n[[test]]\nsend = \"天气\"\n\
         expect = { rule = \"weather\" }\n",
    );
    let ran = desk.run(["test"]);
    ran.exits(1).complains(&["wxcgi: 2 of 3 tests failed\n"]).prints(&[
        "wxcgi: tests/a.toml:1: test `n` failed\n   sent  天气\n   rule - dice\n        + weather\n  reply   北京\n        - 雨\n        + 天气\n          挺好的！\n",
        ":5: test failed\n",
        "  reply - { none = true }\n        + 北京\n",
    ]);
    let found: Value = serde_json::from_str(&desk.run(["test", "--json"]).exits(1).out).expect("JSON");
    assert_eq!(found[0]["passed"], false);
    assert_eq!(found[0]["expected"]["rule"], "dice");
    assert_eq!(found[0]["found"], json!({ "rule": "weather", "reply": "北京\n天气\n挺好的！" }));
    assert_eq!(found[2]["passed"], true);
    assert_eq!(found[2]["line"], 8);
}

#[test]
fn an_expected_rule_that_there_is_not_is_said() {
    let test = |expect: &str| format!("[[test]]\nsend = \"天气\"\nexpect.rule = {expect}\n");
    let desk = desk(&[test("\"wether\""), test("9"), test("\"dice\"")].concat());
    let ran = desk.run(["test"]);
    ran.exits(1).prints(&["no rule is called `wether`; did you mean `weather`?\n", "there is no rule 9\n"]);
    assert_eq!(ran.out.matches("no rule").count(), 2, "{}", ran.out);
}

#[test]
fn a_message_that_is_none_fails_alone_and_is_not_recorded() {
    let tests = "[[test]]\nname = \"none\"\nsend = { type = \"\" }\n[[test]]\nsend = \"天气\"\nexpect.rule = 1\n\
                 [[test]]\nsend = \"天气\"\nexpect.rule = \"weather\"\n";
    let desk = desk(tests);
    for arguments in [["test", "tests"], ["test", "--record"]] {
        let ran = desk.run(arguments);
        ran.exits(1).prints(&["a.toml:1: test `none` failed", "answered 400 Bad Request"]);
        ran.complains(&["1 of 3 tests failed"]);
    }
    assert_eq!(fs::read_to_string(desk.at("tests/a.toml")).expect("the tests"), tests);
}

#[test]
fn tests_in_one_line_are_recorded_in_their_place() {
    let desk = desk("test = [{ send = \"天气\" }, { send = \"?\" }]\n");
    desk.run(["test", "--record"]).exits(0).prints(&["2 recorded"]);
    desk.run(["test"]).exits(0).prints(&["2 tests passed\n"]);
}

#[test]
fn a_first_golden_is_recorded_and_holds_from_then_on() {
    let tests = "# mine\n[[test]]\nat = 2026-11-21T09:00:00+08:00\nsend = \"几点\" # now\n\n[[test]]\n\
                 send = \"天气\"\nexpect = { rule = \"weather\" }\n[[test]]\nsend.event = \"CLICK\"\nsend.key = \"V1\"";
    let desk = desk(tests);
    desk.run(["test"]).exits(1).prints(&["nothing is expected; `wxcgi test --record` writes down"]);
    assert_eq!(fs::read_to_string(desk.at("tests/a.toml")).expect("the tests"), tests);
    desk.run(["test", "--record"]).exits(0).prints(&["wxcgi: 3 tests passed, 2 recorded\n"]);
    let recorded = fs::read_to_string(desk.at("tests/a.toml")).expect("the tests");
    assert_eq!(
        recorded,
        tests
            .replace(
                "# now\n",
                "# now\nexpect = { rule = 2, reply = \"09:00 oGoldenUser000000000000000001\" }\n"
            )
            .replace(
                "[[test]]\nsend.event",
                "[[test]]\nexpect = { rule = \"button\", reply = { news = [{ description = \"V1\", title = \"t\", \
                 url = \"https://a.example/\" }] } }\nsend.event"
            )
    );
    desk.run(["test"]).exits(0);
    desk.put("wxcgi.toml", &CONFIG.replace("%H:%M", "%H"));
    desk.run(["test"]).exits(1).prints(&["- 09:00 oGolden", "+ 09 oGolden"]);
}

/// Rules whose answers take more than one reply, or more time than WeChat gives.
fn slow_or_several() -> String {
    let long = "字".repeat(700);
    format!(
        r#"
[account]
token = "mytoken"
[[rule]]
name = "three"
when.text = "三句"
reply = ["一", {{ image = {{ media_id = "m" }} }}, "三"]
[[rule]]
name = "long"
when.text = "长"
reply = "{long}"
[[rule]]
name = "program"
when.text = "算"
exec = ["echo", "四"]
"#
    )
}

/// So that nothing depends on when the test is run.
const THEN: &str = "at = 2026-01-02T09:00:00+08:00";

#[test]
fn all_replies_of_a_message_count() {
    let desk = Desk::with(&slow_or_several());
    let test = |expect: &str| format!("[[test]]\n{THEN}\nsend = \"三句\"\nexpect = {{ {expect} }}\n");
    let image = "{ image = { media_id = \"m\" } }";
    let right = format!("rule = \"three\", replies = [[\"零\", \"一\"], {image}, \"三\"]");
    desk.put("tests/a.toml", &(test(&right) + &test("rule = \"three\"")));
    desk.run(["test"]).exits(0).prints(&["2 tests passed\n"]);
    let wrong = [
        "reply = \"一\"".to_owned(),
        format!("replies = [\"一\", {image}]"),
        "replies = [\"一\", \"二\", \"三\"]".to_owned(),
        format!("replies = [\"一\", \"三\", {image}]"),
    ];
    desk.put("tests/a.toml", &wrong.each_ref().map(|expect| test(expect)).concat());
    let ran = desk.run(["test"]);
    ran.exits(1).complains(&["4 of 4 tests failed"]).prints(&[
        "replies - 一\n        + 1: \"一\"\n        + 2: { image = { media_id = \"m\" } }\n        + 3: \"三\"\n",
        "replies   1: \"一\"\n        - 2: \"二\"\n        + 2: { image = { media_id = \"m\" } }\n          3: \"三\"\n",
    ]);
    let found: Value = serde_json::from_str(&desk.run(["test", "--json"]).exits(1).out).expect("JSON");
    let replies = json!(["一", { "image": { "media_id": "m" } }, "三"]);
    assert_eq!(found[2]["found"], json!({ "rule": "three", "replies": replies }));
    assert_eq!(found[2]["expected"], json!({ "rule": null, "replies": ["一", "二", "三"] }));
    assert_eq!(found[0]["expected"], json!({ "rule": null, "reply": "一" }));
}

#[test]
fn what_takes_several_replies_or_a_handler_is_recorded_and_holds() {
    let desk = Desk::with(&slow_or_several());
    let sent: Vec<_> =
        ["三句", "长", "算"].map(|text| format!("[[test]]\n{THEN}\nsend = \"{text}\"\n")).into();
    desk.put("tests/a.toml", &sent.concat());
    desk.run(["test", "--record"]).exits(0).prints(&["3 tests passed, 3 recorded\n"]);
    let expected = [
        "expect = { rule = \"three\", replies = [\"一\", { image = { media_id = \"m\" } }, \"三\"] }\n"
            .to_owned(),
        format!("expect = {{ rule = \"long\", reply = \"{}\" }}\n", "字".repeat(700)),
        "expect = { rule = \"program\", reply = \"四\" }\n".to_owned(),
    ];
    let recorded: Vec<_> =
        sent.iter().zip(&expected).flat_map(|(sent, expect)| [sent.as_str(), expect]).collect();
    assert_eq!(fs::read_to_string(desk.at("tests/a.toml")).expect("the tests"), recorded.concat());
    desk.run(["test"]).exits(0).prints(&["3 tests passed\n"]);
    desk.put("wxcgi.toml", &slow_or_several().replace("\"三\"", "\"参\""));
    desk.run(["test"])
        .exits(1)
        .complains(&["1 of 3 tests failed"])
        .prints(&["- 3: \"三\"\n        + 3: \"参\"\n"]);
}

#[test]
fn what_is_wrong_with_tests_is_told_in_its_place() {
    let desk = desk("[[test]]\nsend = \"天气\"\nexpct = { rule = \"weather\" }\n");
    desk.run(["test"])
        .exits(2)
        .complains(&["tests/a.toml:3:1: unknown test key `expct`", "did you mean `expect`?"]);
    desk.put("tests/a.toml", "");
    desk.run(["test"]).exits(1).complains(&["there are no tests in these files"]);
    desk.run(["test", "elsewhere"]).exits(1).complains(&["elsewhere: there are no tests"]);
    fs::remove_file(desk.at("tests/a.toml")).expect("it was there");
    desk.run(["test"]).exits(1).complains(&["there are no tests (*.toml)"]);
    desk.put("wxcgi.toml", "[account]");
    desk.put("tests/a.toml", PASSING);
    desk.run(["test"]).exits(2).complains(&["missing account key `token`"]);
}

#[test]
fn the_golden_tests_of_the_rule_language_pass() {
    let folder = repository().join("tests/golden/rules");
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("the golden files") {
        let folder = entry.expect("an entry").path();
        let config = folder.join("wxcgi.toml").display().to_string();
        Desk::new().run(["test", "--config", &config]).exits(0).prints(&[" passed"]);
        count += 1;
    }
    assert!(count >= 5, "{count} configs in {}", folder.display());
}

/// Each file of tests has the name of its example.
#[test]
fn the_golden_tests_of_the_examples_pass() {
    let examples = repository().join("examples");
    let mut count = 0;
    for entry in fs::read_dir(examples.join("tests")).expect("the golden files") {
        let tests = entry.expect("an entry").path();
        let config = examples.join(tests.file_name().expect("a name"));
        let (tests, config) = (tests.display().to_string(), config.display().to_string());
        Desk::new().run(["test", &tests, "--config", &config]).exits(0).prints(&[" passed"]);
        count += 1;
    }
    assert!(count >= 5, "{count} files of tests in {}", examples.display());
}
