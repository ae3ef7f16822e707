//! `relay` to bots that others wrote: wechatpy behind Flask, and WeRoBot. They check signatures, open and seal as they do
//! for WeChat.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wxcgi::handlers::{Equipment, Task};
use wxcgi::rules::{Backend, Captures, Handler, NoLibrary, Secure, Session};
use wxcgi::secret::SecretSource;
use wxcgi::store::Store;
use wxcgi::store::sqlite::{Journal, Sqlite};
use wxcgi::wechat::message::Message;
use wxcgi::wechat::reply::{Article, Reply};
use wxcgi::wechat::xml;

use crate::support::{Keys, available, python, repository};

const LONG: Duration = Duration::from_secs(20);

/// A running bot; it ends with this.
struct Bot {
    child: Child,
    port: u16,
    keys: Keys,
    is_secure: bool,
}

impl Bot {
    fn start(kind: &str, is_secure: bool) -> Self {
        let keys = Keys::ours();
        let mut command = Command::new(python());
        command.arg(repository().join("tests/support/wechat_backend.py")).args([kind, &keys.token]);
        if is_secure {
            command.args([&keys.aes, &keys.app_id]);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python runs");
        let mut port = String::new();
        BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut port).expect("it starts");
        let port = port.trim().parse().unwrap_or_else(|_| panic!("{kind} does not start"));
        Self { child, port, keys, is_secure }
    }

    /// As the config would name it.
    fn backend(&self, path: &str) -> Backend {
        let literal = |text: &str| SecretSource::Literal(text.to_owned());
        let Keys { token, aes, app_id } = &self.keys;
        let secure = Secure { encoding_aes_key: literal(aes), app_id: app_id.clone() };
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        Backend { url, token: literal(token), secure: self.is_secure.then_some(secure), timeout: LONG }
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What back-ends come to for a message of this type with these fields.
fn relayed(backends: Vec<Backend>, kind: &str, fields: &str) -> Result<Vec<Reply>, String> {
    let body = format!(
        "<xml><ToUserName><![CDATA[gh_1]]></ToUserName><FromUserName><![CDATA[oUser]]></FromUserName>\
         <CreateTime>1700000000</CreateTime><MsgType><![CDATA[{kind}]]></MsgType>{fields}<MsgId>77</MsgId></xml>"
    );
    let root = xml::parse(body.as_bytes()).expect("XML");
    let folder = tempfile::tempdir().expect("a folder");
    let store: Arc<dyn Store> =
        Arc::new(Sqlite::new(folder.path().join("state.db"), Journal::Wal, LONG, "wx1"));
    let task = Task {
        message: &Message::from_xml(&root).expect("a message"),
        body: body.as_bytes(),
        rule: None,
        captures: &Captures::default(),
        session: &Session::new(),
        app_id: None,
        attempt: 1,
        deadline: Instant::now() + LONG,
        until: Instant::now() + LONG,
        store: &store,
        media: &NoLibrary,
    };
    let handled = Equipment::default().carry_out(&Handler::Relay(backends), &task);
    handled.map(|handled| handled.replies).map_err(|error| error.to_string())
}

fn says(bot: &Bot, path: &str, text: &str) -> Vec<Reply> {
    let fields = format!("<Content><![CDATA[{text}]]></Content>");
    relayed(vec![bot.backend(path)], "text", &fields).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn s(text: &str) -> String {
    text.to_owned()
}

fn image() -> Reply {
    Reply::Image { media_id: s("M") }
}

fn music(thumb_media_id: &str) -> Reply {
    let (title, description, music_url, hq_music_url) = (s("t"), s("d"), s("u"), s("h"));
    Reply::Music { title, description, music_url, hq_music_url, thumb_media_id: s(thumb_media_id) }
}

fn first_article() -> Article {
    Article { title: s("标题"), description: s("d"), pic_url: s("https://p"), url: s("https://u") }
}

#[test]
fn wechatpy_answers_what_is_relayed_to_it_plain_and_sealed() {
    if !available("wechatpy") {
        return;
    }
    for is_secure in [false, true] {
        let bot = Bot::start("wechatpy", is_secure);
        let says = |text: &str| says(&bot, "/wx", text);
        assert_eq!(says("天气 <a&b>"), [Reply::text("wechatpy：天气 <a&b> oUser 77")]);
        assert_eq!(says("image"), [image()]);
        assert_eq!(says("voice"), [Reply::Voice { media_id: s("M") }]);
        assert_eq!(says("video"), [Reply::Video { media_id: s("M"), title: s("t"), description: s("d") }]);
        assert_eq!(says("music"), [music("M")]);
        let second = Article { title: s("t2"), url: s("https://u2"), ..Article::default() };
        assert_eq!(says("news"), [Reply::News { articles: vec![first_article(), second] }]);
        assert_eq!(says("transfer"), [Reply::TransferCustomerService { kf_account: None }]);
        assert_eq!(says("nothing"), []);
        let picture = "<PicUrl><![CDATA[https://p]]></PicUrl><MediaId><![CDATA[m]]></MediaId>";
        assert_eq!(relayed(vec![bot.backend("/wx")], "image", picture), Ok(vec![Reply::text("type image")]));
    }
}

#[test]
fn werobot_answers_what_is_relayed_to_it_plain_and_sealed() {
    if !available("wechatpy") {
        return;
    }
    for is_secure in [false, true] {
        let bot = Bot::start("werobot", is_secure);
        let says = |text: &str| says(&bot, "/", text);
        assert_eq!(says("天气 <a&b>"), [Reply::text("WeRoBot：天气 <a&b> oUser 77")]);
        assert_eq!(says("image"), [image()]);
        assert_eq!(says("music"), [music("")], "it sends no picture");
        assert_eq!(says("news"), [Reply::News { articles: vec![first_article()] }]);
        assert_eq!(says("transfer"), [Reply::TransferCustomerService { kf_account: Some(s("a@b")) }]);
        assert_eq!(says("nothing"), []);
        assert_eq!(says("success"), []);
    }
}

#[test]
fn a_back_end_with_another_token_is_passed_over() {
    if !available("wechatpy") {
        return;
    }
    let (wechatpy, werobot) = (Bot::start("wechatpy", true), Bot::start("werobot", false));
    let other = SecretSource::Literal("other-token".to_owned());
    let stranger = Backend { token: other, ..wechatpy.backend("/wx") };
    let fields = "<Content>a</Content>";
    assert_eq!(
        relayed(vec![stranger.clone()], "text", fields),
        Err("127.0.0.1 answered 403 instead of a reply".to_owned())
    );
    assert_eq!(
        relayed(vec![stranger, werobot.backend("/")], "text", fields),
        Ok(vec![Reply::text("WeRoBot：a oUser 77")])
    );
}
