//! Replies that are more than a fixed text: one of several, tables, what users write beside links; at both doors.

use std::collections::BTreeSet;
use std::fs;

use tempfile::TempDir;

use crate::support::{Door, Site, WeChat, wait_until};

const BOTH: [Door; 2] = [Door::ByHand, Door::FastcgiByHand];

fn wechat() -> WeChat {
    WeChat::with_token("mytoken")
}

/// A folder with tables.
fn tables() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a table");
    put("prices.csv", "name,price,link\n苹果,5.50,\"<a href=\"\"https://a.example/\"\">买</a>\"\n梨,7,\n");
    put("hours.json", r#"{"周一": {"open": "09:00"}, "周日": null}"#);
    folder
}

fn config(folder: &TempDir) -> String {
    let folder = folder.path().display();
    format!(
        r#"
[account]
token = "mytoken"
[table.prices]
file = "{folder}/prices.csv"
[table.hours]
file = "{folder}/hours.json"
[[rule]]
name = "price"
help = "价格 苹果：今天的价格"
when.prefix = "价格"
reply = "{{% if rest in table.prices %}}{{{{ rest }}}} {{{{ table.prices[rest].price }}}} 元{{{{ table.prices[rest].link|safe }}}}{{% else %}}没有{{{{ rest }}}}{{% endif %}}"
[[rule]]
when.regex = '^(?<day>周.)几点$'
reply = "{{{{ table.hours[day].open or '不开门' }}}}"
[[rule]]
help = "帮助"
when.text = "帮助"
reply = "{{{{ openid }}}}\n{{{{ rules_help }}}}"
[[rule]]
when.text = "掷"
reply.random = ["正", {{ weight = 3, text = "反" }}, {{ image = {{ media_id = "edge" }} }}]
[[rule]]
when.text = "轮"
reply.round_robin = ["一", "二", "三"]
[[rule]]
when.text = "多"
reply = ["{{{{ message.nothing }}}}", "先", {{ image = {{ media_id = "m" }} }}]
[[rule]]
when.event = "CLICK"
reply = {{ news = [{{ title = "1", url = "u" }}, {{ title = "2", url = "u" }}, {{ title = "3", url = "u" }}], count = "{{{{ message.event_key }}}}" }}
[[rule]]
when.prefix = "搜"
reply = '<a href="https://s.example/?q={{{{ rest }}}}&p=1">{{{{ rest }}}}</a>'
[[rule]]
when.prefix = "去"
reply = '<a href="{{{{ rest }}}}">去</a>'
[[rule]]
when.text = "长"
reply = "{{{{ 'x' * 1500 }}}}\n{{{{ 'y' * 1500 }}}}"
[default]
reply = "{{{{ message.content }}}}"
"#
    )
}

#[test]
fn texts_are_filled_in_from_tables_and_safe_from_what_users_write() {
    let folder = tables();
    for door in Door::open_ones(BOTH) {
        let site = Site::behind(door).with_config(&config(&folder)).open();
        // Twice: the second time CGI has the rules compiled.
        for user in ["oFirst", "oSecond"] {
            let (long, reply) =
                (WeChat::text_of(user, "长"), "x".repeat(1500) + "\n（还有 1 条，回复“继续”查看）");
            site.receives(&wechat().pushes(long)).replies(&reply);
            for (sent, reply) in [
                ("价格 苹果", "苹果 5.50 元<a href=\"https://a.example/\">买</a>"),
                ("价格梨", "梨 7 元"),
                ("价格<a href='x'>", "没有＜a href='x'>"),
                ("周一几点", "09:00"),
                ("周日几点", "不开门"),
                ("周二几点", "不开门"),
                ("帮助", "oABCD1234567890abcdefghijkl\n价格 苹果：今天的价格\n帮助"),
                ("搜 a\"b&c", "<a href=\"https://s.example/?q=a%22b%26c&p=1\">a\"b&c</a>"),
                (
                    "搜 </a><a href=\"u\">",
                    "<a href=\"https://s.example/?q=%3C/a%3E%3Ca%20href=%22u%22%3E&p=1\">＜/a>＜a href=\"u\"></a>",
                ),
                ("去 https://a.example/?b=1&c", "<a href=\"https://a.example/?b=1&c\">去</a>"),
                ("去 weixin://bizmsgmenu?msgmenucontent=x", "<a href=\"\">去</a>"),
                ("<a href=\"weixin://x\">点我</a>", "＜a href=\"weixin://x\">点我＜/a>"),
                ("a<b & c > 1", "a<b & c > 1"),
            ] {
                let sent = format!("<Content><![CDATA[{sent}]]></Content>");
                site.receives(&wechat().pushes(WeChat::message("text", &sent))).replies(reply);
            }
        }
    }
}

#[test]
fn a_reply_may_be_one_of_several_or_the_first_of_several() {
    let folder = tables();
    for door in Door::open_ones(BOTH) {
        let site = Site::behind(door).with_config(&config(&folder)).open();
        for (sent, all) in [("掷", ["正", "反", "[image edge]"]), ("轮", ["一", "二", "三"])] {
            let mut seen = BTreeSet::new();
            for _ in 0..400 {
                let answer = site.receives(&wechat().says(sent));
                seen.insert(match answer.reply("MsgType").as_str() {
                    "text" => answer.reply("Content"),
                    kind => format!("[{kind} {}]", answer.reply("MediaId")),
                });
                if seen.len() == all.len() {
                    break;
                }
            }
            assert_eq!(seen, all.map(str::to_owned).into(), "{sent} at {door:?}");
        }
        // What is empty is not sent; of the two others the second waits.
        site.receives(&wechat().says("多")).replies("先\n（还有 1 条，回复“继续”查看）");
        let image = site.receives(&wechat().says("继续"));
        assert_eq!(image.reply("MediaId"), "m");
        for (key, count) in [("2", "2"), ("0", "1"), ("9", "3"), ("all", "3")] {
            let key = format!("<EventKey><![CDATA[{key}]]></EventKey>");
            let answer = site.receives(&wechat().pushes(WeChat::event("CLICK", &key)));
            assert_eq!(answer.reply("ArticleCount"), count, "{answer}");
        }
    }
}

#[test]
fn a_changed_table_is_taken_and_a_broken_one_is_not() {
    let folder = tables();
    let path = folder.path().join("prices.csv");
    for door in Door::open_ones(BOTH) {
        fs::write(&path, "name,price,link\n梨,7,\n").expect("a table");
        let site = Site::behind(door).with_config(&config(&folder)).open();
        let price = || site.receives(&wechat().says("价格梨")).reply("Content");
        assert_eq!(price(), "梨 7 元");
        fs::write(&path, "name,price,link\n梨,8.25,\n").expect("a table");
        wait_until("the new price is told", || price() == "梨 8.25 元");
        if door == Door::FastcgiByHand {
            // A responder goes on with the table that it has.
            fs::write(&path, "name,price\n梨\n").expect("no table");
            wait_until("the fault is told", || {
                assert_eq!(price(), "梨 8.25 元");
                site.logs().contains("found record with 1 fields")
            });
            assert_eq!(price(), "梨 8.25 元");
        }
    }
}

#[test]
fn a_table_that_has_gone_fails_its_rules_only() {
    let folder = tables();
    let site = Site::behind(Door::ByHand).with_config(&config(&folder)).open();
    site.receives(&wechat().says("价格梨")).replies("梨 7 元");
    fs::remove_file(folder.path().join("prices.csv")).expect("it was there");
    site.receives(&wechat().says("周一几点")).replies("09:00");
    site.receives(&wechat().says("价格梨")).acknowledges();
    assert!(site.logs().contains("table `prices`: cannot read"), "{}", site.logs());
}
