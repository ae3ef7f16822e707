use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::json;

use super::super::peer::{Peer, Received, answer};
use super::*;
use crate::rules::{Captures, Handler, NoLibrary, Session, Zone};
use crate::store::Store;
use crate::store::sqlite::{Journal, Sqlite};
use crate::wechat::message::Message;
use crate::wechat::xml;

const LONG: Duration = Duration::from_secs(20);
const KEY: &str = "sk-0123456789abcdef";

/// A chatbot at `url`, and what it keeps.
struct Bot {
    folder: tempfile::TempDir,
    profile: Profile,
}

impl Bot {
    fn new(url: String) -> Self {
        let model = Model {
            model: "m".to_owned(),
            system: None,
            parameters: Map::new(),
            stream: true,
            cut_mark: "……（未完）".to_owned(),
            history: 10,
            history_age: Duration::from_secs(3600),
            reset_words: vec!["/reset".to_owned()],
            reset_reply: "重来".to_owned(),
            price: Some((1.0, 2.0)),
        };
        let profile = Profile {
            service: Service::OpenAi(Box::new(model)),
            base_url: url,
            api_key: Some(Secret::new(KEY)),
            markdown: Markdown::Plain,
            limit: None,
            limit_reply: "够了".to_owned(),
            busy_reply: None,
        };
        Self { folder: tempfile::tempdir().unwrap(), profile }
    }

    fn model(&mut self) -> &mut Model {
        match &mut self.profile.service {
            Service::OpenAi(model) => model,
            Service::Turing => panic!("no model"),
        }
    }

    fn hears(&self, user: &str, kind: &str, fields: &str, within: Duration) -> Result<Vec<String>, String> {
        let body = format!(
            "<xml><ToUserName>gh_a</ToUserName><FromUserName>{user}</FromUserName><CreateTime>1700000000</CreateTime>\
             <MsgType>{kind}</MsgType>{fields}<MsgId>1</MsgId></xml>"
        );
        let root = xml::parse(body.as_bytes()).unwrap();
        let path = self.folder.path().join("state.db");
        let store: Arc<dyn Store> = Arc::new(Sqlite::new(path, Journal::Wal, LONG, "wx"));
        let task = Task {
            message: &Message::from_xml(&root).unwrap(),
            body: body.as_bytes(),
            rule: Some("chat"),
            captures: &Captures::default(),
            session: &Session::new(),
            app_id: None,
            attempt: 1,
            deadline: Instant::now() + within,
            until: Instant::now() + within,
            store: &store,
            media: &NoLibrary,
        };
        let chats = Chats::new(BTreeMap::from([("gpt".to_owned(), self.profile.clone())]));
        let equipment = Equipment { chats, ..Equipment::default() };
        let chat = Handler::Chat { profile: "gpt".to_owned() };
        let handled = equipment.carry_out(&chat, &task).map_err(|error| error.to_string())?;
        assert!(handled.session.is_empty());
        Ok(handled
            .replies
            .into_iter()
            .map(|reply| match reply {
                Reply::Text { content } => content,
                other => panic!("{other:?}"),
            })
            .collect())
    }

    fn says(&self, user: &str, text: &str) -> Result<String, String> {
        let content = format!("<Content><![CDATA[{text}]]></Content>");
        let mut replies = self.hears(user, "text", &content, LONG)?;
        assert_eq!(replies.len(), 1);
        Ok(replies.remove(0))
    }
}

fn chunk(content: &str) -> String {
    let json =
        json!({ "choices": [{ "index": 0, "delta": { "content": content, "reasoning_content": "想" } }] });
    format!("data: {json}\r\n\r\n")
}

const END: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

fn stream_head(stream: &mut TcpStream) {
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    stream.write_all(head).unwrap();
}

/// Streams a whole answer.
fn streams(stream: &mut TcpStream, text: &str) {
    streams_raw(stream, &format!(": keep-alive\n\n{}{END}", chunk(text)));
}

fn streams_raw(stream: &mut TcpStream, all: &str) {
    stream_head(stream);
    // Cut within letters and lines; who has heard enough may have gone.
    for piece in all.as_bytes().chunks(7) {
        let _ = stream.write_all(piece);
    }
}

fn asked(request: &Received) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// What was said, one line: `system:… user:… assistant:…`.
fn messages(request: &Received) -> String {
    let asked = asked(request);
    let texts = asked["messages"].as_array().unwrap().iter();
    let texts =
        texts.map(|it| format!("{}:{}", it["role"].as_str().unwrap(), it["content"].as_str().unwrap()));
    texts.collect::<Vec<_>>().join(" ")
}

fn question(request: &Received) -> String {
    let asked = asked(request);
    asked["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned()
}

#[test]
fn a_text_is_answered_as_wechat_shows_it() {
    let peer = Peer::start(|request, stream| {
        assert_eq!(request.path(), "/v1/chat/completions");
        assert_eq!(request.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
        assert_eq!(asked(request)["stream"], true);
        streams(stream, "**你好**，[看](https://a.example/) `<a href=\"weixin://x\">` <think>嗯</think>");
    });
    let bot = Bot::new(peer.url("/v1"));
    let expected = "你好，看（https://a.example/） ＜a href=\"weixin://x\">";
    assert_eq!(bot.says("oUser", "你好").unwrap(), expected);
    let voice = "<MediaId>m</MediaId><Recognition>你好</Recognition>";
    assert_eq!(bot.hears("oUser", "voice", voice, LONG).unwrap(), [expected]);
    let mut kept = Bot::new(peer.url("/v1"));
    kept.profile.markdown = Markdown::Keep;
    assert!(kept.says("oUser", "你好").unwrap().starts_with("**你好**，[看]("));
}

#[test]
fn a_model_may_think_for_long_before_it_speaks() {
    let peer = Peer::start(|_, stream| {
        let thoughts = (0..60).map(|_| chunk(&"嗯".repeat(500))).collect::<String>();
        let (open, close) = (chunk("<think>"), chunk("</think>你好"));
        streams_raw(stream, &format!("{open}{thoughts}{close}{END}"));
    });
    assert_eq!(Bot::new(peer.url("")).says("oUser", "你好").unwrap(), "你好");
}

#[test]
fn what_is_no_text_is_not_answered_and_nobody_is_asked() {
    let bot = Bot::new("http://127.0.0.1:1".to_owned());
    for (kind, fields) in [
        ("image", "<PicUrl>u</PicUrl><MediaId>m</MediaId>"),
        ("voice", "<MediaId>m</MediaId><Recognition></Recognition>"),
        ("event", "<Event>subscribe</Event>"),
        ("text", "<Content> </Content>"),
    ] {
        assert_eq!(bot.hears("oUser", kind, fields, LONG), Ok(Vec::new()), "{kind}");
    }
}

#[test]
fn a_server_that_streams_not_is_understood_as_well() {
    let peer = Peer::start(|_, stream| {
        let json = json!({
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": "你好" }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 1, "completion_tokens": 2 },
        });
        answer(stream, "200 OK", "application/json; charset=utf-8", json.to_string().as_bytes());
    });
    let mut bot = Bot::new(peer.url(""));
    assert_eq!(bot.says("oUser", "喂").unwrap(), "你好");
    bot.model().stream = false;
    assert_eq!(bot.says("oUser", "喂").unwrap(), "你好");
}

#[test]
fn talks_are_remembered_for_each_user_and_begun_anew() {
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&heard);
    let peer = Peer::start(move |request, stream| {
        seen.lock().unwrap().push(messages(request));
        streams(stream, &format!("答{}", question(request)));
    });
    let mut bot = Bot::new(peer.url(""));
    bot.model().system = Some("简短".to_owned());
    for (user, text) in [("oA", "一"), ("oA", "二"), ("oB", "三"), ("oA", "/RESET"), ("oA", "四")] {
        let expected = if text == "/RESET" { "重来".to_owned() } else { format!("答{text}") };
        assert_eq!(bot.says(user, text).unwrap(), expected);
    }
    assert_eq!(
        *heard.lock().unwrap(),
        [
            "system:简短 user:一",
            "system:简短 user:一 assistant:答一 user:二",
            "system:简短 user:三",
            "system:简短 user:四",
        ]
    );
}

#[test]
fn of_two_questions_at_once_both_are_remembered() {
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&heard);
    let barrier = std::sync::Barrier::new(2);
    let peer = Peer::start(move |request, stream| {
        if question(request) == "后" {
            seen.lock().unwrap().push(messages(request));
        } else {
            barrier.wait();
        }
        streams(stream, "好");
    });
    let bot = Bot::new(peer.url(""));
    thread::scope(|scope| {
        for text in ["甲", "乙"] {
            let bot = &bot;
            scope.spawn(move || bot.says("oUser", text).unwrap());
        }
    });
    bot.says("oUser", "后").unwrap();
    let heard = heard.lock().unwrap().remove(0);
    assert!(heard.contains("user:甲 assistant:好") && heard.contains("user:乙 assistant:好"), "{heard}");
}

#[test]
fn what_came_of_an_answer_that_was_cut_is_delivered_and_remembered() {
    let peer = Peer::start(|request, stream| {
        stream_head(stream);
        let text = messages(request);
        stream.write_all(chunk("**半").as_bytes()).unwrap();
        match question(request).as_str() {
            "断" => stream.write_all(b"data: {\"choices\":[{\"del").unwrap(),
            "慢" => request.until_closed(stream),
            "错" => stream.write_all(b"data: {\"error\":{\"message\":\"overloaded\"}}\n\n").unwrap(),
            "长" => stream
                .write_all("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n".as_bytes())
                .unwrap(),
            _ => stream.write_all(format!("{}{END}", chunk(&format!("** {text}"))).as_bytes()).unwrap(),
        }
    });
    for text in ["断", "错", "长"] {
        assert_eq!(Bot::new(peer.url("")).says("oUser", text).unwrap(), "**半……（未完）", "{text}");
    }
    let bot = Bot::new(peer.url(""));
    let content = "<Content>慢</Content>";
    let started = Instant::now();
    let replies = bot.hears("oUser", "text", content, Duration::from_secs(1)).unwrap();
    assert_eq!(replies, ["**半……（未完）"]);
    assert!(started.elapsed() < LONG);
    assert_eq!(bot.says("oUser", "后").unwrap(), "半 user:慢 assistant:**半 user:后");
}

#[test]
fn a_chunked_answer_that_breaks_off_is_cut_too() {
    let peer = Peer::start(|_, stream| {
        let piece = chunk("半");
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(format!("{head}{:x}\r\n{piece}\r\n4", piece.len()).as_bytes()).unwrap();
    });
    assert_eq!(Bot::new(peer.url("")).says("oUser", "喂").unwrap(), "半……（未完）");
}

#[test]
fn a_server_that_fails_once_is_asked_once_more() {
    for refusal in ["429 Too Many Requests\r\nRetry-After: 0", "503 Busy", "500 Oops", ""] {
        let count = AtomicUsize::new(0);
        let peer = Peer::start(move |_, stream| match (count.fetch_add(1, Ordering::SeqCst), refusal) {
            // The connection is lost before anything was said.
            (0, "") => {}
            (0, status) => answer(stream, status, "text/html", b"<html>"),
            _ => streams(stream, "好"),
        });
        assert_eq!(Bot::new(peer.url("")).says("oUser", "喂").unwrap(), "好", "{refusal}");
    }
}

#[test]
fn a_refusal_is_told_with_its_cause_and_without_the_key() {
    for (status, body, told, asked) in [
        (
            "401 Unauthorized",
            format!("{{\"error\":{{\"message\":\"Incorrect API key provided: {KEY}\"}}}}"),
            "`gpt`: 127.0.0.1 answered 401 `Incorrect API key provided: ***`; see `api_key`",
            1,
        ),
        (
            "404 Not Found",
            "{\"detail\":\"no model m\"}".to_owned(),
            "`gpt`: 127.0.0.1 answered 404 `no model m`; see `base_url` and `model`",
            1,
        ),
        ("400 Bad Request", "oops".to_owned(), "`gpt`: 127.0.0.1 answered 400", 1),
        (
            "307 Elsewhere\r\nLocation: /v2",
            String::new(),
            "`gpt`: 127.0.0.1 answered 307; it is not followed, see `base_url`",
            1,
        ),
        ("500 Oops", "{\"error\":\"broken\"}".to_owned(), "`gpt`: 127.0.0.1 answered 500 `broken`", 2),
        ("200 OK", "<html>".to_owned(), "`gpt`: nothing was answered: the stream ended without an end", 2),
    ] {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let peer = Peer::start(move |_, stream| {
            counted.fetch_add(1, Ordering::SeqCst);
            answer(stream, status, "text/html", body.as_bytes());
        });
        assert_eq!(Bot::new(peer.url("")).says("oUser", "喂").unwrap_err(), told);
        assert_eq!(count.load(Ordering::SeqCst), asked, "{status}");
    }
}

#[test]
fn a_busy_server_has_a_reply_of_its_own_and_others_have_not() {
    let peer = Peer::start(|request, stream| {
        let status =
            if question(request) == "忙" { "429 Too Many Requests\r\nRetry-After: 3600" } else { "400 No" };
        answer(stream, status, "application/json", b"{\"error\":{\"message\":\"no\"}}");
    });
    let mut bot = Bot::new(peer.url(""));
    assert!(bot.says("oUser", "忙").unwrap_err().contains("429 `no`"));
    bot.profile.busy_reply = Some("人太多".to_owned());
    assert_eq!(bot.says("oUser", "忙").unwrap(), "人太多");
    assert!(bot.says("oUser", "坏").is_err());
}

#[test]
fn who_asks_too_often_is_told_so_and_the_server_is_not_asked() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let peer = Peer::start(move |_, stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        streams(stream, "好");
    });
    for per in [Period::Day(Zone::default()), Period::Seconds(3600)] {
        count.store(0, Ordering::SeqCst);
        let mut bot = Bot::new(peer.url(""));
        bot.profile.limit = Some(Limit { key: "gpt".to_owned(), user: Some(2), all: Some(3), per });
        let answers: Vec<_> = ["oA", "oA", "oA", "oB", "oB"].map(|user| bot.says(user, "喂").unwrap()).into();
        // The limit of all is used up by then.
        assert_eq!(answers, ["好", "好", "够了", "好", "够了"]);
        assert_eq!(count.load(Ordering::SeqCst), 3);
        assert_eq!(bot.says("oA", "/reset").unwrap(), "重来", "that asks nobody");
        let voice = "<MediaId>m</MediaId><Recognition>／Reset。</Recognition>";
        assert_eq!(bot.hears("oA", "voice", voice, LONG).unwrap(), ["重来"]);
    }
}

#[test]
fn without_a_store_it_answers_and_knows_nothing_and_limits_hold() {
    let peer = Peer::start(|request, stream| streams(stream, &messages(request)));
    let mut bot = Bot::new(peer.url(""));
    std::fs::create_dir(bot.folder.path().join("state.db")).unwrap();
    assert_eq!(bot.says("oA", "一").unwrap(), "user:一");
    assert_eq!(bot.says("oA", "二").unwrap(), "user:二");
    bot.profile.limit =
        Some(Limit { key: "gpt".to_owned(), user: Some(2), all: None, per: Period::Seconds(60) });
    assert!(bot.says("oA", "三").unwrap_err().contains("its limit cannot be counted"));
}

#[test]
fn an_endless_answer_ends() {
    let peer = Peer::start(|_, stream| {
        stream_head(stream);
        while stream.write_all(chunk(&"猫".repeat(100)).as_bytes()).is_ok() {}
    });
    let text = Bot::new(peer.url("")).says("oUser", "喂").unwrap();
    assert!(
        text.len() > 30 << 10 && text.len() < 33 << 10 && text.ends_with("猫……（未完）"),
        "{}",
        text.len()
    );
}

#[test]
fn a_whole_answer_is_no_stream_that_was_cut() {
    let says = |body: &'static str| {
        let peer =
            Peer::start(move |_, stream| answer(stream, "200 OK", "application/json", body.as_bytes()));
        Bot::new(peer.url("")).says("oUser", "喂")
    };
    // Not every server says why its model stopped.
    assert_eq!(says(r#"{"choices":[{"message":{"content":"你好"}}]}"#).unwrap(), "你好");
    let told = says(r#"{"choices":[]}"#).unwrap_err();
    assert!(told.ends_with("this is no answer of a chat completion"), "{told}");
    let told = says(r#"{"choices":[{"message":{"content":null}}]}"#).unwrap_err();
    assert!(told.ends_with("the answer is empty"), "{told}");
}

#[test]
fn garbage_is_a_failure_and_no_panic() {
    for (content_type, body) in [
        ("text/event-stream", b"\xff\xfe\0data: \xff\n\n".as_slice()),
        ("application/json", b"{\"choices\":[{\"message\":{\"content\":7}}]}"),
        ("application/json", b"[]"),
        ("application/json", b"{"),
        ("", b""),
    ] {
        let peer = Peer::start(move |_, stream| answer(stream, "200 OK", content_type, body));
        assert!(Bot::new(peer.url("")).says("oUser", "喂").is_err(), "{content_type}");
    }
}

#[test]
fn the_turing_robot_is_asked_as_it_wants_to_be() {
    let peer = Peer::start(|request, stream| {
        assert_eq!(request.path(), "/openapi/api/v2");
        let asked = asked(request);
        assert_eq!((&asked["reqType"], &asked["userInfo"]["apiKey"]), (&json!(0), &json!(KEY)));
        let id = asked["userInfo"]["userId"].as_str().unwrap();
        assert!(id.len() == 32 && !id.contains("oUser"));
        let text = asked["perception"]["inputText"]["text"].as_str().unwrap();
        let json = if text.chars().count() == 128 {
            json!({ "intent": { "code": 4003 }, "results": [{ "values": { "text": "请求次数超限制!" } }] })
        } else {
            json!({ "intent": { "code": 10004 }, "results": [{ "groupType": 1, "resultType": "text", "values": { "text": format!("说{text}") } }] })
        };
        answer(stream, "200 OK", "application/json;charset=UTF-8", json.to_string().as_bytes());
    });
    let mut bot = Bot::new(peer.url(""));
    bot.profile.service = Service::Turing;
    assert_eq!(bot.says("oUser", "你好").unwrap(), "说你好");
    let long = "长".repeat(300);
    assert!(bot.says("oUser", &long).unwrap_err().contains("4003: the robot has no more requests"));
    bot.profile.busy_reply = Some("明天见".to_owned());
    assert_eq!(bot.says("oUser", &long).unwrap(), "明天见");
}
