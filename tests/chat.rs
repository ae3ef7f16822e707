//! Chatbots: a model's answers on their way to users, from aimock, which answers as OpenAI's server does.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Chatbot, Door, Request, Site, WeChat, available, element, repository, wait_until};

const BOTH: [Door; 2] = [Door::ByHand, Door::FastcgiByHand];

const KEY: &str = "sk-0123456789abcdef";

/// What the model says to what.
fn fixtures() -> Value {
    let limited = json!({ "error": { "message": "rate limited" }, "status": 429, "retryAfter": 1 });
    json!([
        {
            "match": { "userMessage": "你好" },
            "response": { "content": "# 您好\n**欢迎**！见[文档](https://a.example/x)。", "reasoning": "嗯" },
            "chunkSize": 2,
        },
        { "match": { "userMessage": "再来", "turnIndex": 0 }, "response": { "content": "没有来过" } },
        { "match": { "userMessage": "再来", "turnIndex": 1 }, "response": { "content": "又来了" } },
        {
            "match": { "userMessage": "断" },
            "response": { "content": "一二三四五六七八九" }, "chunkSize": 3,
            // Else it closes before what it said has left.
            "latency": 100, "truncateAfterChunks": 3,
        },
        { "match": { "userMessage": "长" }, "response": { "content": "一二三", "finishReason": "length" } },
        { "match": { "userMessage": "忙" }, "response": limited },
        { "match": { "userMessage": "慢" }, "response": { "content": "想好了" }, "streamingProfile": { "ttft": 6500 } },
    ])
}

fn config(bot: &Chatbot, more: &str) -> String {
    let base_url = bot.base_url();
    format!(
        "[account]\ntoken = \"mytoken\"\n[server]\ndeadline = \"4.5s\"\n[log]\nfile = \"../log/wx.log\"\n\
         [[rule]]\nname = \"ask\"\nwhen.type = [\"text\", \"voice\"]\nchat = \"bot\"\non_error = \"出错了\"\n\
         late = \"fetch\"\ntimeout = \"20s\"\n\
         [chat.bot]\nkind = \"openai\"\nbase_url = \"{base_url}\"\nmodel = \"gpt-4o-mini\"\napi_key = \"{KEY}\"\n\
         system = \"你是客服\"\n{more}"
    )
}

fn wechat() -> WeChat {
    WeChat::with_token("mytoken")
}

fn say_as(user: &str, text: &str) -> Request {
    let message = WeChat::message("text", &format!("<Content>{text}</Content>"));
    let sender = element(&message, "FromUserName").expect("a sender");
    wechat().pushes(message.replace(&sender, user))
}

/// The log: under CGI, what outlives the request has no other place to write to.
fn log(site: &Site) -> String {
    fs::read_to_string(site.folder().join("log/wx.log")).unwrap_or_default()
}

/// The last line of the log with these words, once it is there.
#[track_caller]
fn log_line(site: &Site, words: &str) -> String {
    let find = || log(site).lines().rfind(|line| line.contains(words)).map(str::to_owned);
    wait_until(words, || find().is_some());
    find().unwrap_or_default()
}

#[test]
fn a_model_answers_in_plain_text_and_knows_what_was_said_before() {
    if !available("aimock") {
        return;
    }
    for (door, stream) in BOTH.into_iter().zip([true, false]).chain(BOTH.into_iter().zip([false, true])) {
        let bot = Chatbot::start(KEY, &fixtures());
        let more = format!("stream = {stream}\nprice = {{ input = 1000000, output = 0 }}\ntemperature = 0.5");
        let site = Site::behind(door).with_config(&config(&bot, &more)).open();
        site.receives(&say_as("oAlice", "再来")).replies("没有来过");
        site.receives(&say_as("oAlice", "/reset")).replies("好的，我们重新开始吧");
        site.receives(&say_as("oAlice", "你好")).replies("您好\n\n欢迎！见文档（https://a.example/x）。");
        site.receives(&say_as("oBob", "再来")).replies("没有来过");
        site.receives(&say_as("oAlice", "再来")).replies("又来了");
        let requests = bot.requests();
        assert_eq!(requests.len(), 4);
        let said = |content: &str| json!({ "role": "user", "content": content });
        let system = json!({ "role": "system", "content": "你是客服" });
        let answer = "# 您好\n**欢迎**！见[文档](https://a.example/x)。";
        let answered = json!({ "role": "assistant", "content": answer });
        assert_eq!(requests[3]["messages"], json!([system, said("你好"), answered, said("再来")]));
        assert_eq!((&requests[3]["temperature"], &requests[3]["stream"]), (&json!(0.5), &json!(stream)));
        let line = log_line(&site, "rule `ask` asked `bot`, gpt-4o-mini, answered");
        let tokens = line.split("; ").nth(1).and_then(|tokens| tokens.split(' ').next());
        let tokens: f64 = tokens.and_then(|tokens| tokens.parse().ok()).unwrap_or_else(|| panic!("{line}"));
        assert!(tokens > 0.0 && line.contains(&format!(", cost {tokens:.6}")), "{line}");
        for secret in ["又来了", KEY, "oAlice"] {
            assert!(!log(&site).contains(secret), "{secret}");
        }
    }
}

#[test]
fn what_came_of_a_cut_answer_reaches_the_user() {
    if !available("aimock") {
        return;
    }
    for door in BOTH {
        let bot = Chatbot::start(KEY, &fixtures());
        let site = Site::behind(door).with_config(&config(&bot, "cut_mark = \"【断】\"")).open();
        site.receives(&wechat().says("断")).replies("一二三【断】");
        site.receives(&wechat().says("长")).replies("一二三【断】");
        assert!(log_line(&site, "cut: `max_tokens`").contains("rule `ask`"));
    }
}

#[test]
fn limits_refusals_and_busy_servers_are_answered_as_the_config_says() {
    if !available("aimock") {
        return;
    }
    for door in BOTH {
        let bot = Chatbot::start(KEY, &fixtures());
        let more = "limit = { user = 2 }\nlimit_reply = \"明天再来\"\nbusy_reply = \"人太多\"";
        let text = config(&bot, more);
        let site = Site::behind(door).with_config(&text).open();
        site.receives(&say_as("oAlice", "忙")).replies("人太多");
        assert_eq!(bot.requests().len(), 2, "it is asked once more");
        for reply in ["没有来过", "明天再来", "明天再来"] {
            site.receives(&say_as("oAlice", "再来")).replies(reply);
        }
        // Nobody has told the model what to say to that.
        site.receives(&say_as("oBob", "谁也不懂")).replies("出错了");
        assert!(log_line(&site, "No fixture matched").contains("see `base_url` and `model`"));
        let site = Site::behind(door).with_config(&text.replace(KEY, "sk-wrong-secret")).open();
        site.receives(&say_as("oBob", "你好")).replies("出错了");
        assert!(log_line(&site, "`bot`: 127.0.0.1 answered 401 `").contains("`; see `api_key`"));
        assert!(!log(&site).contains("sk-wrong-secret"));
    }
}

#[test]
fn an_answer_that_takes_longer_than_wechat_waits_is_fetched() {
    if !available("aimock") {
        return;
    }
    for door in BOTH {
        let bot = Chatbot::start(KEY, &fixtures());
        let site = Site::behind(door).with_config(&config(&bot, "")).open();
        let started = Instant::now();
        site.receives(&wechat().says("慢")).replies("还在想，稍后回复“继续”取答案");
        assert!(started.elapsed() < Duration::from_millis(6500), "WeChat had hung up");
        log_line(&site, "rule `ask` asked `bot`");
        let mut fetched = String::new();
        wait_until("the answer is there", || {
            fetched = site.receives(&wechat().says("继续")).reply_text().unwrap_or_default();
            fetched == "想好了"
        });
        assert_eq!(bot.requests().len(), 1);
    }
}

#[test]
fn the_example_answers() {
    if !available("aimock") {
        return;
    }
    let example =
        fs::read_to_string(repository().join("examples").join("chatbot.toml")).expect("the example");
    let bot = Chatbot::start(KEY, &fixtures());
    let local = "\"http://127.0.0.1:11434/v1\"";
    assert!(example.contains(local), "{example}");
    let example = example.replace(local, &format!("\"{}\"\napi_key = \"{KEY}\"", bot.base_url()));
    let site = Site::behind(Door::FastcgiByHand).with_config(&example).open();
    site.receives(&wechat().says("你好")).replies("您好\n\n欢迎！见文档（https://a.example/x）。");
    site.receives(&wechat().says("重新开始")).replies("好的，我们重新开始吧");
    let image = WeChat::message("image", "<MediaId><![CDATA[m]]></MediaId>");
    site.receives(&wechat().pushes(image)).replies("我只看得懂文字");
}
