//! `wxcgi explain`.

use serde_json::{Value, json};

use super::Desk;

const CONFIG: &str = r#"
[account]
token = "mytoken"

[[rule]]
name = "off"
enabled = false
when.text = "天气"
reply = "x"

[[rule]]
name = "night"
when.contains = "天气"
when.hours = "22:00-6:00"
reply = "夜里没有天气"

[[rule]]
name = "note"
when.prefix = "查"
flow = "next"
reply.none = true

[[rule]]
name = "weather"
when.regex = '(?<city>\S{2})天气$'
alias = "said"

[[rule]]
name = "said"
when.regex = '^说(?<city>.*)'
reply = "{{ city }}晴\n微风"

[default]
reply = "嗯？"

[[blocked]]
words = ["笨蛋"]
in = "refuse"
reply = "请文明用语"

[[blocked]]
words = ["XX"]
in = "mask"
"#;

#[test]
fn each_rule_is_told_with_what_it_looked_at_and_what_it_cut_out() {
    Desk::with(CONFIG).run(["explain", "--at", "2026-11-21T20:46:00+08:00", "查ＳＨ天气！"]).exits(0).prints(
        &[r#"user     查ＳＨ天气！
rule 1 `off` (line 5): switched off, `enabled = false`
rule 2 `night` (line 11): does not meet it
         ✓ when.contains = "天气": the text, folded, is "查sh天气!"
         ✗ when.hours = "22:00-6:00": it is Sat 2026-11-21 20:46 in Asia/Shanghai
rule 3 `note` (line 17): meets it; `flow = "next"`: the rules behind it are tried as well
         ✓ when.prefix = "查": the text, folded, is "查sh天气!"
         {{ rest }} is "ＳＨ天气！"
rule 4 `weather` (line 23): meets it; it has the reply of `said`
         ✓ when.regex = '(?<city>\S{2})天气$': the text, folded, is "查sh天气!"
         {{ city }} is "ＳＨ"
rule 5 `said` (line 28): not tried, a rule before it answers
the default (line 33): not tried, a rule before it answers
account  ＳＨ晴
         微风
         text · rule 4 `weather` (line 23)
"#],
    );
}

#[test]
fn the_time_decides_and_events_are_told_too() {
    let desk = Desk::with(CONFIG);
    desk.run(["explain", "--at", "2026-11-21T23:00:00+08:00", "天气"])
        .exits(0)
        .prints(&["rule 2 `night` (line 11): meets it\n", "account  夜里没有天气\n"]);
    desk.run(["explain", "--event", "CLICK", "--key", "V1"]).exits(0).prints(&[
        "user     [event CLICK]\n",
        "✗ when.prefix = \"查\": there is no text\n",
        "✗ a person sent it: it is an event",
        "account  (nothing; the user sees no answer)\n         `success` · no rule\n",
    ]);
    desk.run(["explain", "--type", "image", "--field", "MediaId=m", "--openid", "oMe"])
        .exits(0)
        .prints(&["account  嗯？\n         text · the default (line 33)\n"]);
    desk.run(["explain", "--at", "tomorrow", "天气"]).exits(2).complains(&["invalid value 'tomorrow'"]);
    desk.run(["explain"]).exits(2).complains(&["wxcgi-desk explain <TEXT>"]);
}

#[test]
fn of_a_long_text_each_rule_shows_the_beginning() {
    let text = "天".repeat(600);
    let ran = Desk::with(CONFIG).run(["explain", &text]);
    ran.exits(0).prints(&[&format!("when.prefix = \"查\": the text, folded, is \"{}…\"\n", "天".repeat(60))]);
    assert_eq!(ran.out.matches(&text).count(), 1, "{}", ran.out);
}

#[test]
fn blocked_words_are_told_before_the_rules() {
    let desk = Desk::with(CONFIG);
    let refused = desk.run(["explain", "笨蛋天气"]);
    refused.exits(0).prints(&[
        "user     笨蛋天气\n         a blocked word: refused; no rule is asked\naccount  请文明用语\n         text · a blocked word\n",
    ]);
    desk.run(["explain", "--at", "2026-11-21T12:00:00+08:00", "查xx天气"]).exits(0).prints(&[
        "         a blocked word: masked\n",
        "the text, folded, is \"查**天气\"\n",
        "account  **晴\n",
    ]);
}

#[test]
fn a_program_reads_the_same_as_json() {
    let desk = Desk::with(CONFIG);
    let ran = desk.run(["explain", "--json", "--at", "2026-11-21T20:46:00+08:00", "查上海天气"]);
    let found: Value = serde_json::from_str(&ran.exits(0).out).expect("JSON");
    let verdicts: Vec<_> =
        found["rules"].as_array().expect("rules").iter().map(|it| &it["verdict"]).collect();
    assert_eq!(verdicts, ["disabled", "misses", "meets", "meets", "not_tried", "not_tried"]);
    assert_eq!(
        found["rules"][3],
        json!({
            "rule": "weather", "place": "line 23", "verdict": "meets", "flow": "stop", "alias": "said",
            "captures": { "city": "上海" },
            "asked": [{
                "test": "when.regex = '(?<city>\\S{2})天气$'", "seen": "the text, folded, is \"查上海天气\"", "holds": true,
            }],
        })
    );
    assert_eq!((&found["answered_by"], &found["reply"]), (&json!("weather"), &json!("上海晴\n微风")));
    assert_eq!((&found["blocked"], &found["complaints"]), (&Value::Null, &json!([])));
}

const REMEMBERING: &str = r#"
[account]
token = "mytoken"

[[rule]]
when.text = "抽奖"
once_every = "1h"
limit = { user = 3, all = 100, per = "day" }
session = { drew = 1 }
reply = "没中"

[[rule]]
when.first = true
reply = "初次见面"

[[rule]]
when.session.drew = { min = 1 }
when.text = "再来"
reply = "明天吧"

[default]
reply = "嗯？"
"#;

#[test]
fn what_is_remembered_is_told_as_after_what_was_said_before() {
    let desk = Desk::with(REMEMBERING);
    desk.run(["explain", "抽奖"]).exits(0).prints(&[
        "✓ once_every = \"3600s\": the user has not had it since\n",
        "✓ limit = { user = 3, all = 100, per = \"day\" }: the user had it 0 times, all users 0 times\n",
        "account  没中\n",
    ]);
    desk.run(["explain", "--after", "抽奖", "抽奖"]).exits(0).prints(&[
        "✗ once_every = \"3600s\": the user had it since\n",
        "✓ when.first = true: the user never wrote before\n",
        "account  初次见面\n",
    ]);
    desk.run(["explain", "--after", "抽奖", "--after", "在吗", "再来"]).exits(0).prints(&[
        "✗ when.first = true: the user wrote before\n",
        "✓ when.session.drew = { min = 1 }: it is 1\n",
        "account  明天吧\n",
    ]);
    desk.run(["explain", "--after", "在吗", "再来"])
        .exits(0)
        .prints(&["there is no session.drew\n", "account  嗯？\n"]);
}
