//! Is the stand-in for WeChat's API as strict as WeChat? Calls made by hand from WeChat's pages: what must be taken, what
//! must be refused and with which errcode.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{APP_ID, APP_SECRET, FakeWechat, Machine, Trouble};

const MENU: &str = "/cgi-bin/menu/create";
const SEND: &str = "/cgi-bin/message/custom/send";
const UPLOAD: &str = "/cgi-bin/media/upload";
const LIST: &str = "/cgi-bin/user/get";
const JPEG: &[u8] = b"\xff\xd8\xff a cat \xff\xd9";

/// The stand-in, and an access_token for it.
struct Desk {
    fake: FakeWechat,
    access_token: String,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { fake: FakeWechat::start(), access_token: String::new() };
        let body = json!({"grant_type": "client_credential", "appid": APP_ID, "secret": APP_SECRET});
        let answer = desk.exchange("POST", "/cgi-bin/stable_token", "", body.to_string().as_bytes());
        let access_token = answer["access_token"].as_str().expect("an access_token").to_owned();
        Self { access_token, ..desk }
    }

    fn exchange(&self, method: &str, target: &str, header: &str, body: &[u8]) -> Value {
        let mut stream =
            TcpStream::connect(self.fake.base_url().trim_start_matches("http://")).expect("it listens");
        let mark = if target.contains('?') { '&' } else { '?' };
        let (token, length) = (&self.access_token, body.len());
        let head = format!(
            "{method} {target}{mark}access_token={token} HTTP/1.1\r\nContent-Length: {length}\r\n{header}\r\n"
        );
        stream.write_all(&[head.as_bytes(), body].concat()).expect("it reads");
        stream.shutdown(std::net::Shutdown::Write).expect("open until now");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers");
        let answer = String::from_utf8(answer).expect("UTF-8");
        serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).expect("JSON")
    }

    /// The errcode of a call.
    fn says(&self, path: &str, body: &str) -> i64 {
        let method = if body.is_empty() { "GET" } else { "POST" };
        self.exchange(method, path, "", body.as_bytes())["errcode"].as_i64().unwrap_or(0)
    }

    /// The errcode of a form that is written out, with `FILE` for a picture.
    fn says_to_form(&self, kind: &str, form: &str) -> i64 {
        let (before, after) = form.split_once("FILE").unwrap_or((form, ""));
        let body = [before.as_bytes(), JPEG, after.as_bytes()].concat();
        let header = "Content-Type: multipart/form-data; boundary=limit\r\n";
        self.exchange("POST", &format!("{UPLOAD}?type={kind}"), header, &body)["errcode"]
            .as_i64()
            .unwrap_or(0)
    }
}

#[test]
fn the_examples_of_wechats_pages_are_taken() {
    let desk = Desk::new();
    let menu = r#"{"button":[
        {"type":"click","name":"今日歌曲","key":"V1001_TODAY_MUSIC"},
        {"name":"菜单","sub_button":[
          {"type":"view","name":"搜索","url":"https://www.soso.com/"},
          {"type":"miniprogram","name":"wxa","url":"https://mp.weixin.qq.com","appid":"wx286b93c14bbf93aa","pagepath":"pages/lunar/index"},
          {"type":"scancode_waitmsg","name":"扫码带提示","key":"rselfmenu_0_0"},
          {"type":"scancode_push","name":"扫码推事件","key":"rselfmenu_0_1"},
          {"type":"pic_sysphoto","name":"系统拍照发图","key":"rselfmenu_1_0"}]},
        {"name":"更多","sub_button":[
          {"type":"location_select","name":"发送位置","key":"rselfmenu_2_0"},
          {"type":"media_id","name":"图片","media_id":"MEDIA_ID1"},
          {"type":"article_id","name":"发布后的图文消息","article_id":"ARTICLE_ID1"}]}]}"#;
    assert_eq!(desk.says(MENU, menu), 0);
    for message in [
        r#"{"touser":"OPENID","msgtype":"text","text":{"content":"Hello World"}}"#,
        r#"{"touser":"OPENID","msgtype":"image","image":{"media_id":"MEDIA_ID"}}"#,
        r#"{"touser":"OPENID","msgtype":"voice","voice":{"media_id":"MEDIA_ID"}}"#,
        r#"{"touser":"OPENID","msgtype":"video","video":{"media_id":"M","thumb_media_id":"M","title":"T","description":"D"}}"#,
        r#"{"touser":"OPENID","msgtype":"music","music":{"title":"T","musicurl":"URL","hqmusicurl":"URL","thumb_media_id":"T"}}"#,
        r#"{"touser":"OPENID","msgtype":"news","news":{"articles":[{"title":"Happy Day","url":"URL","picurl":"PIC_URL"}]}}"#,
        r#"{"touser":"OPENID","msgtype":"mpnewsarticle","mpnewsarticle":{"article_id":"ARTICLE_ID"}}"#,
        r#"{"touser":"OPENID","msgtype":"mpnews","mpnews":{"media_id":"MEDIA_ID"}}"#,
        r#"{"touser":"OPENID","msgtype":"msgmenu","msgmenu":{"head_content":"您?","list":[{"id":"101","content":"满意"}],"tail_content":"欢迎"}}"#,
        r#"{"touser":"OPENID","msgtype":"wxcard","wxcard":{"card_id":"123dsdajkasd231jhksad"}}"#,
        r#"{"touser":"OPENID","msgtype":"miniprogrampage","miniprogrampage":{"title":"t","appid":"a","pagepath":"p","thumb_media_id":"t"}}"#,
        r#"{"touser":"OPENID","msgtype":"text","text":{"content":"x"},"customservice":{"kf_account":"test1@kftest"},"aimsgcontext":{"is_ai_msg":1}}"#,
    ] {
        assert_eq!(desk.says(SEND, message), 0, "{message}");
    }
}

#[test]
fn a_menu_that_wechat_refuses_is_refused() {
    let desk = Desk::new();
    let button = |button: &str| format!(r#"{{"button":[{button}]}}"#);
    let below = |inner: &str| format!(r#"{{"button":[{{"name":"a","sub_button":[{inner}]}}]}}"#);
    let click = r#"{"type":"click","name":"a","key":"K"}"#;
    let of = |name: &str, key: &str| format!(r#"{{"type":"click","name":"{name}","key":"{key}"}}"#);
    for (menu, errcode) in [
        (button(""), 40016),
        (button(&[click; 3].join(",")), 0),
        (button(&[click; 4].join(",")), 40016),
        (button(&of(&"x".repeat(16), &"k".repeat(128))), 0),
        (button(&of(&"x".repeat(17), "K")), 40018),
        (button(&of("", "K")), 40018),
        (button(&of("a", &"k".repeat(129))), 40019),
        (button(r#"{"type":"click","name":"a"}"#), 40019),
        (button(r#"{"type":"clik","name":"a","key":"K"}"#), 40017),
        (button(r#"{"type":"view","name":"a"}"#), 40020),
        (button(r#"{"type":"miniprogram","name":"a","url":"u","appid":"w"}"#), 40165),
        (button(&format!(r#"{{"type":"click","name":"a","key":"K","sub_button":[{click}]}}"#)), 40017),
        (button(r#"{"type":"click","name":"a","key":"K","sub_button":[]}"#), 0),
        (below(&[click; 5].join(",")), 0),
        (below(&[click; 6].join(",")), 40023),
        (below(&of(&"x".repeat(60), "K")), 0),
        (below(&of(&"x".repeat(61), "K")), 40025),
        (below(&of("a", &"k".repeat(129))), 40026),
        (below(r#"{"type":"view","name":"a"}"#), 40027),
        (below(r#"{"type":"x","name":"a"}"#), 40024),
        (below(&format!(r#"{{"type":"click","name":"a","key":"K","sub_button":[{click}]}}"#)), 40022),
        (button(r#"{"type":"click","name":"\u4f60","key":"K"}"#), 47002),
        ("{".to_owned(), 47001),
        ("\u{feff}{}".to_owned(), 47001),
    ] {
        assert_eq!(desk.says(MENU, &menu), errcode, "{menu}");
    }
    let conditional = format!(r#"{{"button":[{click}],"matchrule":{{"tag_id":""}}}}"#);
    assert_eq!(desk.says("/cgi-bin/menu/addconditional", &conditional), 65304);
}

#[test]
fn a_message_that_wechat_refuses_is_refused() {
    let desk = Desk::new();
    let text = |content: &str| json!({"touser": "o", "msgtype": "text", "text": {"content": content}});
    let menu = |list: Value| json!({"touser": "o", "msgtype": "msgmenu", "msgmenu": {"list": list}});
    let news = |articles: Value| json!({"touser": "o", "msgtype": "news", "news": {"articles": articles}});
    for (message, errcode) in [
        (text(&"好".repeat(682)), 0),
        (text(&"x".repeat(2048)), 0),
        (text(&"x".repeat(2049)), 45002),
        (text(""), 44004),
        (json!({"msgtype": "text", "text": {"content": "x"}}), 40003),
        (json!({"touser": "o", "msgtype": "txt", "txt": {"content": "x"}}), 40008),
        (json!({"touser": "o", "msgtype": "image", "image": {}}), 40007),
        (json!({"touser": "o", "msgtype": "image", "voice": {"media_id": "m"}}), 40007),
        (news(json!([])), 45008),
        (news(json!([{"title": "a"}, {"title": "b"}])), 45008),
        (menu(json!([])), 45098),
        (json!({"touser": "o", "msgtype": "miniprogrampage", "miniprogrampage": {"appid": "a"}}), 40165),
    ] {
        assert_eq!(desk.says(SEND, &message.to_string()), errcode, "{message}");
    }
    assert_eq!(
        desk.says(SEND, r#"{"touser":"o","msgtype":"text","text":{"content":"\u003cb\u003e"}}"#),
        47002
    );
    assert_eq!(desk.says(SEND, ""), 43002);
    assert_eq!(desk.says("/cgi-bin/brand/new", "{}"), 40066);
}

#[test]
fn a_form_that_wechat_refuses_is_refused() {
    let desk = Desk::new();
    let part = "--limit\r\nContent-Disposition: form-data; name=\"media\"; filename=\"a.jpg\"\r\n";
    let good = format!("{part}Content-Type: image/jpeg\r\n\r\nFILE\r\n--limit--\r\n");
    let with = |old: &str, new: &str| good.replacen(old, new, 1);
    for (form, errcode) in [
        (good.clone(), 0),
        // As wechatpy sends it.
        (with("Content-Type: image/jpeg\r\n", ""), 0),
        (with("; filename=\"a.jpg\"", ""), 41005),
        (with("filename=\"a.jpg\"", "filename=a.jpg"), 41005),
        (with("filename=\"a.jpg\"", "filename=\"猫.jpg\""), 41005),
        (with("\"media\"", "\"file\""), 41005),
        (with("--limit--", "--limit"), 41005),
        (with("\r\n--limit--", "--limit--"), 41005),
        (with("\r\n\r\nFILE", "\r\nFILE"), 41005),
        (with("--limit\r\n", ""), 41005),
    ] {
        assert_eq!(desk.says_to_form("image", &form), errcode, "{form:?}");
    }
    assert_eq!(desk.says_to_form("voice", &good), 40005);
    assert_eq!(desk.says_to_form("picture", &good), 40004);
    let padded = |bytes: usize| with("FILE", &format!("FILE{}", "x".repeat(bytes - JPEG.len())));
    assert_eq!(desk.says_to_form("thumb", &padded(64 << 10)), 0);
    assert_eq!(desk.says_to_form("thumb", &padded((64 << 10) + 1)), 40006);
    assert_eq!(desk.says_to_form("image", &padded((10 << 20) + 1)), 40006);
}

#[test]
fn calls_are_counted() {
    let desk = Desk::new();
    desk.fake.allow_a_day(LIST, 3);
    desk.fake.allow_a_minute("/cgi-bin/tags/get", 2);
    let three = [0, 1, 2].map(|_| desk.says(LIST, ""));
    assert_eq!((three, desk.says(LIST, "")), ([0; 3], 45009));
    assert_eq!(desk.says("/cgi-bin/getcallbackip", ""), 0, "each has its own");
    let quota = || {
        desk.exchange(
            "POST",
            "/cgi-bin/openapi/quota/get",
            "",
            json!({"cgi_path": LIST}).to_string().as_bytes(),
        )
    };
    assert_eq!(quota()["quota"], json!({"daily_limit": 3, "used": 3, "remain": 0}));

    assert_eq!(desk.says("/cgi-bin/openapi/quota/clear", &json!({"cgi_path": LIST}).to_string()), 0);
    assert_eq!((quota()["quota"]["used"].as_i64(), desk.says(LIST, "")), (Some(0), 0));
    desk.fake.use_up(LIST, 5);
    assert_eq!(desk.says(LIST, ""), 45009);
    assert_eq!(desk.says("/cgi-bin/clear_quota", &json!({"appid": APP_ID}).to_string()), 0);
    assert_eq!(desk.says(LIST, ""), 0);

    let thrice = [0, 1, 2].map(|_| desk.says("/cgi-bin/tags/get", ""));
    assert_eq!(thrice, [0, 0, 45011]);
    desk.fake.put_forward(Duration::from_secs(61));
    assert_eq!(desk.says("/cgi-bin/tags/get", ""), 0);
}

#[test]
fn an_answer_that_drips_is_awaited_and_given_up_in_time() {
    const LIST: &str = "/cgi-bin/getcallbackip";
    let fake = FakeWechat::start();
    let machine = Machine::new(&fake.config("timeout = \"1s\"\nretry_for = \"3s\""));
    fake.troubles(LIST, [Trouble::Drip(Duration::from_micros(100))]);
    assert!(machine.prints(&["api", "GET", LIST]).contains("101.226.103.0/25"));
    fake.troubles(LIST, [0; 9].map(|_| Trouble::Drip(Duration::from_secs(1))));
    let given_up = machine.complaint(&["api", "GET", LIST]);
    assert!(given_up.contains("did not answer within"), "{given_up}");
}

#[test]
fn errcodes_that_are_texts_mean_the_same() {
    let fake = FakeWechat::start();
    let machine = Machine::new(&fake.config(""));
    fake.write_errcodes_as_texts();
    assert_eq!(machine.prints(&["tag", "add", "134", "o00001"]), "tagged 1 user\n");
    fake.void_access_tokens();
    assert_eq!(machine.prints(&["tag", "add", "134", "o00001"]), "tagged 1 user\n");
    assert_eq!(fake.fetches(), 2, "40001 was understood");
    fake.allow_a_day("/cgi-bin/tags/members/batchtagging", 1);
    assert!(machine.complaint(&["tag", "add", "134", "o00001"]).contains("45009"));
}
