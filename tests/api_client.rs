//! One call of WeChat's API and its answer, over a net that may be slow, busy or broken.

use std::io::{self, Read};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use wxcgi::api::access_token::Force;
use wxcgi::api::{
    Api, ApiError, ApiSettings, Auth, Body, Call, Credentials, Download, Method, Multipart, Reach,
};
use wxcgi::secret::Secret;
use wxcgi::store::Store;
use wxcgi::store::sqlite::{Journal, Sqlite};
use wxcgi::wechat::errcode::Class;

use crate::support::{APP_ID, APP_SECRET, FakeWechat, MEDIA, Trouble};

const LIST: &str = "/cgi-bin/getcallbackip";
const SEND: &str = "/cgi-bin/message/custom/send";
const UPLOAD: &str = "/cgi-bin/media/upload";
const TEMPLATE: &str = "/cgi-bin/message/template/send";
const DOWNLOAD: &str = "/cgi-bin/media/get";

/// An account that calls, and what it calls.
struct Desk {
    fake: FakeWechat,
    api: Api,
    _folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        Self::with(ApiSettings::default())
    }

    fn with(settings: ApiSettings) -> Self {
        let fake = FakeWechat::start();
        let folder = tempfile::tempdir().expect("a folder");
        let api = api(&folder, ApiSettings { base_url: fake.base_url(), ..settings });
        Self { fake, api, _folder: folder }
    }

    fn sends(&self, text: &str) -> Result<serde_json::Value, ApiError> {
        let body = json!({"touser": "oUser", "msgtype": "text", "text": {"content": text}});
        self.api.call(&Call::post(SEND, &body))
    }

    fn downloads(&self, media_id: &str, max: u64) -> (Result<Download, ApiError>, Vec<u8>) {
        let mut written = Vec::new();
        let query = [("media_id", media_id)];
        (self.api.download(&Call::get(DOWNLOAD, &query), &mut written, max), written)
    }
}

fn api(folder: &tempfile::TempDir, settings: ApiSettings) -> Api {
    let store = Sqlite::new(folder.path().join("state.db"), Journal::Wal, Duration::from_secs(5), APP_ID);
    let store: Arc<dyn Store> = Arc::new(store);
    let credentials =
        Credentials { app_id: Some(APP_ID.to_owned()), app_secret: Some(Secret::new(APP_SECRET)) };
    Api::new(settings, credentials, &store)
}

fn upload<'a>(file: &'a Multipart<'a>, query: &'a [(&'a str, &'a str)]) -> Call<'a> {
    Call { method: Method::Post, body: Body::Multipart(*file), query, ..Call::get(UPLOAD, &[]) }
}

#[test]
fn texts_are_sent_as_they_are() {
    let desk = Desk::new();
    desk.sends("你好 <a href=\"https://a/?b=c&d\">猫</a>").expect("an answer");
    let seen = desk.fake.last(SEND);
    let body = String::from_utf8(seen.body.clone()).expect("UTF-8");
    assert!(body.contains(r#"你好 <a href=\"https://a/?b=c&d\">猫</a>"#), "{body}");
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("content-length"), Some(body.len().to_string().as_str()));
    assert!(seen.header("user-agent").expect("a name").starts_with("wxcgi/"));
    assert!(seen.header("accept-encoding").expect("a list").contains("gzip"));
}

#[test]
fn parameters_arrive_as_they_are_meant() {
    let desk = Desk::new();
    let odd = "a b+c&d=e/f?g#h%i猫";
    desk.api.call(&Call::get(LIST, &[("odd", odd)])).expect("an answer");
    let seen = desk.fake.last(LIST);
    assert_eq!(seen.param("odd"), Some(odd));
    assert_eq!(seen.param("access_token"), desk.fake.access_tokens().first().map(String::as_str));
}

#[test]
fn some_calls_prove_who_they_are_by_other_means() {
    let desk = Desk::new();
    let auth = Auth::App { id: "appid", secret: Some("secret") };
    desk.api
        .call(&Call { auth, ..Call::get("/sns/oauth2/access_token", &[("code", "c")]) })
        .expect("an answer");
    let seen = desk.fake.last("/sns/oauth2/access_token");
    let [appid, secret, access_token] = ["appid", "secret", "access_token"].map(|name| seen.param(name));
    assert_eq!((appid, secret, access_token), (Some(APP_ID), Some(APP_SECRET), None));
    assert_eq!(desk.fake.fetches(), 0);
    // A wrong secret there is no stale access_token.
    desk.fake.troubles("/sns/oauth2/access_token", [Trouble::Errcode(40001, "invalid credential")]);
    desk.api.call(&Call { auth, ..Call::get("/sns/oauth2/access_token", &[]) }).expect_err("refused");
    assert_eq!((desk.fake.fetches(), desk.fake.count("/sns/oauth2/access_token")), (0, 2));
}

#[test]
fn errors_keep_wechats_words_and_say_what_to_do() {
    let desk = Desk::new();
    desk.fake.troubles(SEND, [Trouble::Errcode(45015, "response out of time limit")]);
    let error = desk.sends("late").expect_err("refused");
    assert_eq!((error.errcode(), error.class()), (Some(45015), Some(Class::User)));
    let text = error.to_string();
    for part in ["127.0.0.1:", "45015 `response out of time limit rid: 61725984-", SEND, "next message"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    // Numbers that nobody knows are told as they are.
    desk.fake.troubles(SEND, [Trouble::Body(br#"{"errcode":"1234567","errmsg":"who knows"}"#.to_vec())]);
    let error = desk.sends("odd").expect_err("refused");
    assert_eq!((error.errcode(), error.class()), (Some(1_234_567), Some(Class::Permanent)));
}

#[test]
fn what_can_do_no_harm_is_tried_again_and_nothing_else() {
    let troubles =
        [Trouble::Errcode(-1, "system error"), Trouble::Html(502), Trouble::Cut, Trouble::Body(Vec::new())];
    for trouble in troubles {
        let desk = Desk::new();
        desk.api.access_token().expect("an access_token");
        desk.fake.troubles(LIST, [trouble.clone()]);
        desk.api.call(&Call::get(LIST, &[])).expect("an answer");
        desk.fake.troubles(SEND, [trouble.clone()]);
        desk.sends("once").expect_err("no answer");
        assert_eq!((desk.fake.count(LIST), desk.fake.count(SEND)), (2, 1), "{trouble:?}");
    }
}

#[test]
fn trying_again_ends_in_time() {
    let desk = Desk::new();
    desk.api.access_token().expect("an access_token");
    desk.fake.troubles(LIST, vec![Trouble::Html(503); 9]);
    let error =
        desk.api.call_within(&Call::get(LIST, &[]), Duration::from_millis(900)).expect_err("no answer");
    assert!(error.to_string().contains("answered 503 with an HTTP error, `text/html`"), "{error}");
    assert_eq!(desk.fake.count(LIST), 2);
}

#[test]
fn silence_ends_in_time() {
    let desk = Desk::with(ApiSettings { timeout: Duration::from_millis(200), ..ApiSettings::default() });
    desk.api.access_token().expect("an access_token");
    desk.fake.troubles(SEND, [Trouble::Hang]);
    let error = desk.sends("once").expect_err("no answer");
    let ApiError::Transport(transport) = &error else { panic!("{error}") };
    assert_eq!(transport.reach, Reach::Unknown);
    assert!(error.to_string().contains("did not answer within "), "{error}");
}

#[test]
fn who_cannot_be_reached_is_named_with_a_cure() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
    let base_url = format!("http://127.0.0.1:{port}");
    let api =
        api(&folder, ApiSettings { base_url, timeout: Duration::from_millis(300), ..ApiSettings::default() });
    let error = api.access_token().expect_err("nobody there").to_string();
    assert!(error.contains("refuses the connection; see whether this machine may connect there"), "{error}");
}

#[test]
fn redirects_are_not_followed() {
    let (desk, elsewhere) = (Desk::new(), FakeWechat::start());
    desk.fake.troubles(LIST, [Trouble::Redirect(format!("{}{LIST}", elsewhere.base_url()))]);
    let error = desk.api.call(&Call::get(LIST, &[])).expect_err("no answer");
    assert!(error.to_string().contains("answered 302"), "{error}");
    assert_eq!((desk.fake.count(LIST), elsewhere.calls()), (1, 0));
}

#[test]
fn another_server_can_be_asked_but_learns_nothing() {
    let (desk, elsewhere) = (Desk::new(), FakeWechat::start());
    let address = format!("{}/sns/oauth2/access_token", elsewhere.base_url());
    desk.api.call(&Call { auth: Auth::None, ..Call::get(&address, &[]) }).expect("an answer");
    assert_eq!(elsewhere.last("/sns/oauth2/access_token").query, []);
    let error = desk.api.call(&Call::get(&address, &[])).expect_err("no access_token for others");
    assert_eq!((elsewhere.calls(), desk.fake.count(LIST)), (1, 0), "{error}");
}

#[test]
fn answers_with_bare_control_characters_are_read() {
    let desk = Desk::new();
    desk.fake.troubles(LIST, [Trouble::Body(b"{\"remark\":\"a\tb\x01\",\r\n\"bad\":\"\xff\"}\n".to_vec())]);
    let answer = desk.api.call(&Call::get(LIST, &[])).expect("an answer");
    assert_eq!((&answer["remark"], &answer["bad"]), (&json!("a b "), &json!("\u{fffd}")));
}

#[test]
fn an_answer_without_end_is_cut_off() {
    let desk = Desk::new();
    let mut body = b"{\"text\":\"".to_vec();
    body.resize(17 << 20, b'x');
    desk.fake.troubles(LIST, [Trouble::Body(body)]);
    let error = desk.api.call(&Call::get(LIST, &[])).expect_err("too large");
    assert!(matches!(error, ApiError::TooLarge { .. }), "{error}");
}

#[test]
fn a_file_is_uploaded_as_wechat_wants_it() {
    let desk = Desk::new();
    let open = || Ok(Box::new((&b"\xff\xd8\xff"[..]).chain(io::repeat(7))) as Box<dyn Read>);
    let (name, filename, content_type) = ("media", "我的猫.jpg", "image/jpeg");
    let file = Multipart { name, filename, content_type, length: 300_000, open: &open, field: None };
    // The access_token dies meanwhile: the file is sent once more, from its start.
    desk.api.access_token().expect("an access_token");
    desk.fake.void_access_tokens();
    let answer = desk.api.call(&upload(&file, &[("type", "image")])).expect("an answer");
    assert_eq!(answer["media_id"], "media-300000");
    let seen = desk.fake.last(UPLOAD);
    assert!(seen.header("transfer-encoding").is_none());
    let head = String::from_utf8_lossy(&seen.body[..200]).into_owned();
    assert!(
        head.contains("name=\"media\"; filename=\"___.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n"),
        "{head}"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_the_files_fault() {
    let desk = Desk::new();
    let missing = || Err(io::Error::from(io::ErrorKind::NotFound));
    let shorter = || Ok(Box::new(&b"abc"[..]) as Box<dyn Read>);
    let opens: [&dyn Fn() -> io::Result<Box<dyn Read>>; 2] = [&missing, &shorter];
    for open in opens {
        let (name, filename, content_type) = ("media", "a.jpg", "image/jpeg");
        let file = Multipart { name, filename, content_type, length: 4, open, field: None };
        let error = desk.api.call(&upload(&file, &[("type", "image")])).expect_err("no file");
        assert!(matches!(error, ApiError::File { .. }), "{error:?}");
        assert!(error.to_string().starts_with("cannot read the file to be sent: "), "{error}");
    }
}

#[test]
fn a_file_is_downloaded_with_its_name() {
    let desk = Desk::new();
    let (download, written) = desk.downloads("picture", 1000);
    let (content_type, filename) = ("image/jpeg".to_owned(), Some("picture.jpg".to_owned()));
    assert_eq!(
        download.expect("a file"),
        Download::File { content_type, filename, size: MEDIA.len() as u64 }
    );
    assert_eq!(written, MEDIA);
}

#[test]
fn a_download_that_is_none_writes_nothing() {
    let desk = Desk::new();
    let (download, written) = desk.downloads("video", 1000);
    assert_eq!(download.expect("an address"), Download::Json(json!({"video_url": "http://203.0.113.1/v"})));
    assert_eq!(written, b"");
    let (download, written) = desk.downloads("gone", 1000);
    assert_eq!((download.expect_err("refused").errcode(), written), (Some(40007), Vec::new()));
    let (download, written) = desk.downloads("picture", 5);
    assert!(matches!(download, Err(ApiError::TooLarge { limit: 5, .. })), "{download:?}");
    assert!(written.len() <= 5);
    desk.fake.void_access_tokens();
    assert_eq!(desk.downloads("picture", 1000).1, MEDIA);
}

#[test]
fn nothing_shows_a_secret() {
    let desk = Desk::with(ApiSettings { timeout: Duration::from_millis(200), ..ApiSettings::default() });
    let value = desk.api.access_token().expect("an access_token").value;
    let mut shown = format!("{:?}", desk.api);
    for trouble in
        [Trouble::Cut, Trouble::Hang, Trouble::Html(400), Trouble::Errcode(48001, "api unauthorized")]
    {
        desk.fake.troubles(SEND, [trouble]);
        let error = desk.sends("x").expect_err("no answer");
        shown = format!("{shown} {error} {error:?}");
    }
    let bad_path = Call::get("/cgi-bin/a b\u{1}", &[]);
    shown.push_str(&desk.api.call(&bad_path).expect_err("no path").to_string());
    assert!(
        shown.contains("48001")
            && !shown.contains(&value.expose()[..16])
            && !shown.contains(&APP_SECRET[..16])
    );
}

#[test]
fn an_answer_that_is_none_of_wechats_is_no_success() {
    for body in [r#"{"errcode":"abc"}"#, r#"{"errcode":40001.0}"#, r#"{"errcode":null}"#, "[]", "\"ok\"", "0"]
    {
        let desk = Desk::new();
        desk.fake.troubles(SEND, [Trouble::Body(body.into())]);
        let error = desk.sends("once").expect_err(body);
        let ApiError::Transport(transport) = &error else { panic!("{body}: {error}") };
        assert_eq!((transport.reach, desk.fake.count(SEND)), (Reach::Unknown, 1), "{body}: {error}");
        // What can do no harm is tried again.
        desk.fake.troubles(LIST, [Trouble::Body(body.into())]);
        desk.api.call(&Call::get(LIST, &[])).expect("an answer");
        // And no access_token comes of it.
        desk.fake.troubles("/cgi-bin/stable_token", [Trouble::Body(body.into())]);
        desk.api.refresh_access_token(Force::Yes).expect_err(body);
    }
}

#[test]
fn a_mark_of_utf_8_before_the_json_is_no_part_of_it() {
    let desk = Desk::new();
    desk.fake.troubles(LIST, [Trouble::Body(b"\xef\xbb\xbf{\"ip_list\":[]}".to_vec())]);
    assert_eq!(desk.api.call(&Call::get(LIST, &[])).expect("an answer"), json!({"ip_list": []}));
    desk.fake.troubles(DOWNLOAD, [Trouble::Body(b"\xef\xbb\xbf \n{\"video_url\":\"u\"}".to_vec())]);
    assert_eq!(desk.downloads("video", 1000).0.expect("JSON"), Download::Json(json!({"video_url": "u"})));
}

#[test]
fn an_answer_that_stalls_is_told_with_the_time_it_had() {
    let desk = Desk::with(ApiSettings { timeout: Duration::from_millis(200), ..ApiSettings::default() });
    desk.api.access_token().expect("an access_token");
    desk.fake.troubles(SEND, [Trouble::Stall]);
    let error = desk.sends("once").expect_err("no answer").to_string();
    assert!(error.contains("did not end its answer within "), "{error}");
}

#[test]
fn a_page_for_people_is_no_file() {
    // With so little time nothing is tried again.
    let short = Duration::from_millis(300);
    let desk = Desk::with(ApiSettings { transfer_timeout: short, ..ApiSettings::default() });
    desk.api.access_token().expect("an access_token");
    for trouble in [
        Trouble::Html(200),
        Trouble::Body(b"\xef\xbb\xbf\r\n<!DOCTYPE html><html>".to_vec()),
        Trouble::Body(b"<?xml version=\"1.0\"?>".to_vec()),
        Trouble::Body(b"Bad gateway".to_vec()),
        Trouble::Body(Vec::new()),
    ] {
        desk.fake.troubles(DOWNLOAD, [trouble.clone()]);
        let (download, written) = desk.downloads("picture", 1000);
        let error = download.expect_err("no file").to_string();
        assert!(error.contains("answered 200 with no file, `text/"), "{trouble:?}: {error}");
        assert_eq!(written, b"", "{trouble:?}");
    }
    // A file whose type is wrong is one all the same.
    desk.fake.troubles(DOWNLOAD, [Trouble::Body(MEDIA.to_vec())]);
    let (download, written) = desk.downloads("picture", 1000);
    download.expect("a file");
    assert_eq!(written, MEDIA);
    assert_eq!(desk.fake.count(DOWNLOAD), 6);
}

#[test]
fn what_a_lost_attempt_has_done_is_done() {
    let desk = Desk::new();
    let body = json!({"touser": "oUser", "template_id": "T", "data": {}, "client_msg_id": "1"});
    let call = Call { idempotent: true, ..Call::post(TEMPLATE, &body) };
    let said_before = Trouble::Errcode(43116, "same client_msg_id");
    for lost in [Trouble::Cut, Trouble::Html(502), Trouble::Errcode(-1, "system error")] {
        desk.fake.troubles(TEMPLATE, [lost, said_before.clone()]);
        assert_eq!(desk.api.call(&call).expect("it was sent")["errcode"], 43116);
    }
    // Without one, the id was used before.
    desk.fake.troubles(TEMPLATE, [said_before]);
    assert_eq!(desk.api.call(&call).expect_err("not sent").errcode(), Some(43116));
    // An answer with the number of the message is that of the first time.
    let mass = "/cgi-bin/message/mass/sendall";
    let first = r#"{"errcode":45065,"errmsg":"clientmsgid exist","msg_id":34182}"#;
    desk.fake.troubles(mass, [Trouble::Body(first.into()), Trouble::Errcode(45065, "clientmsgid exist")]);
    assert_eq!(desk.api.call(&Call::post(mass, &body)).expect("it was sent")["msg_id"], 34182);
    assert_eq!(desk.api.call(&Call::post(mass, &body)).expect_err("not sent").errcode(), Some(45065));
}

#[test]
fn what_is_gone_needs_no_deleting() {
    let desk = Desk::new();
    let body = json!({"media_id": "M"});
    for (path, errcode) in [
        ("/cgi-bin/menu/delete", 46003),
        ("/cgi-bin/menu/delconditional", 65301),
        ("/cgi-bin/material/del_material", 40007),
        ("/cgi-bin/freepublish/delete", 53600),
        ("/cgi-bin/comment/delete", 88008),
    ] {
        desk.fake.troubles(path, [Trouble::Errcode(errcode, "gone"), Trouble::Errcode(48001, "no")]);
        assert_eq!(desk.api.call(&Call::post(path, &body)).expect("it is gone")["errcode"], errcode);
        assert_eq!(desk.api.call(&Call::post(path, &body)).expect_err("refused").errcode(), Some(48001));
    }
    desk.fake.troubles("/cgi-bin/menu/get", [Trouble::Errcode(46003, "menu no exist")]);
    let error = desk.api.call(&Call::get("/cgi-bin/menu/get", &[])).expect_err("no menu");
    assert_eq!((error.errcode(), error.class()), (Some(46003), Some(Class::Gone)));
}

#[test]
fn who_repeats_what_he_was_sent_repeats_no_secret() {
    let desk = Desk::new();
    let value = desk.api.access_token().expect("an access_token").value;
    let (value, half) = (value.expose(), &APP_SECRET[..20]);
    let errmsg = format!("cannot route /x?access_token={value}&secret={half} from 10.0.0.1");
    let body = json!({"errcode": 7, "errmsg": errmsg}).to_string();
    desk.fake.troubles(SEND, [Trouble::Body(body.into())]);
    let ApiError::Refused(refusal) = desk.sends("x").expect_err("refused") else { panic!("no refusal") };
    assert_eq!(refusal.errmsg, "cannot route /x?access_token=***&secret=*** from 10.0.0.1");
    // Nor is it kept for the other processes: here the AppSecret goes in the body.
    let body = json!({"errcode": 7, "errmsg": format!("cannot route secret={half} from")}).to_string();
    desk.fake.troubles("/cgi-bin/stable_token", [Trouble::Body(body.into())]);
    let error = desk.api.refresh_access_token(Force::No).expect_err("refused").to_string();
    assert!(error.contains("secret=*** from") && !error.contains(half), "{error}");
}
