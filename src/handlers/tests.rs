use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::peer::{Peer, Received, answer};
use super::*;
use crate::rules::{
    Backend, Cache, Exec, Guard, GuardBy, Http, NoLibrary, Output, Outside, Secure, Template,
};
use crate::secret::SecretSource;
use crate::store::sqlite::{Journal, Sqlite};
use crate::wechat::crypto::{AesKey, open_envelope, seal_envelope};
use crate::wechat::envelope::envelope_xml;
use crate::wechat::signature::{verify_msg_signature, verify_signature};
use crate::wechat::xml;

const LONG: Duration = Duration::from_secs(20);
const XML: &str = "<xml><ToUserName>gh_1</ToUserName><FromUserName>oUser</FromUserName><CreateTime>1</CreateTime>\
    <MsgType>text</MsgType><Content>天气</Content><MsgId>7</MsgId></xml>";

/// An account's folder and store, and how it asks.
struct Place {
    equipment: Equipment,
    store: Arc<dyn Store>,
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::new(folder.path().join("state.db"), Journal::Wal, LONG, "wx1");
        let equipment = Equipment { folder: folder.path().to_owned(), ..Equipment::default() };
        Self { equipment, store: Arc::new(store), folder }
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.folder.path().join(name), content).unwrap();
    }

    /// What comes of a handler within this time, for the text `天气`.
    fn within(&self, limit: Duration, handler: &Handler) -> Result<Handled, String> {
        self.hears("<MsgType>text</MsgType><Content>天气</Content>", limit, handler)
    }

    /// The same for a message with these fields.
    fn hears(&self, fields: &str, limit: Duration, handler: &Handler) -> Result<Handled, String> {
        let body = XML.replace("<MsgType>text</MsgType><Content>天气</Content>", fields);
        let root = xml::parse(body.as_bytes()).unwrap();
        let message = Message::from_xml(&root).unwrap();
        let captures = [("city".to_owned(), "上海")].into_iter().collect();
        let session = json!({"step": 2}).as_object().unwrap().clone();
        let task = Task {
            message: &message,
            body: body.as_bytes(),
            rule: Some("weather"),
            captures: &captures,
            session: &session,
            app_id: Some("wx1"),
            attempt: 1,
            deadline: Instant::now() + limit,
            until: Instant::now() + limit,
            store: &self.store,
            media: &NoLibrary,
        };
        self.equipment.carry_out(handler, &task).map_err(|error| error.to_string())
    }

    fn run(&self, handler: &Handler) -> Result<Handled, String> {
        self.within(LONG, handler)
    }

    fn replies(&self, handler: &Handler) -> Vec<Reply> {
        self.run(handler).unwrap().replies
    }

    /// Whether a guard agrees, and what it said of the message before.
    fn asks(&self, guard: &Guard, said: Vec<Said>) -> (bool, Vec<Said>) {
        let root = xml::parse(XML.as_bytes()).unwrap();
        let message = Message::from_xml(&root).unwrap();
        let guards = Guards {
            equipment: &self.equipment,
            message: &message,
            session: &Session::new(),
            app_id: None,
            attempt: 1,
            deadline: Instant::now(),
            until: Instant::now() + LONG,
            said: said.into(),
        };
        let agrees = guards.agrees(guard, &Captures::default());
        (agrees, guards.said.into_inner())
    }

    fn guards(&self, guard: &Guard) -> bool {
        self.asks(guard, Vec::new()).0
    }
}

fn shell(line: &str) -> Exec {
    Exec { command: ["sh", "-c", line].map(str::to_owned).to_vec(), ..Exec::default() }
}

fn exec(exec: Exec) -> Handler {
    Handler::Exec(exec)
}

fn literal(text: &str) -> SecretSource {
    SecretSource::Literal(text.to_owned())
}

fn text(text: &str) -> Vec<Reply> {
    vec![Reply::text(text)]
}

mod programs {
    use super::*;

    #[test]
    fn a_program_gets_json_variables_and_its_folder() {
        let place = Place::new();
        place.write("here.txt", "found");
        let line = r#"cat here.txt; echo " $WX_CONTENT $WX_CAPTURE_CITY $WX_SESSION_STEP"; cat"#;
        let replies = place.replies(&exec(shell(line)));
        let [Reply::Text { content }] = replies.as_slice() else { panic!("{replies:?}") };
        let (first, json) = content.split_once('\n').unwrap();
        assert_eq!(first, "found 天气 上海 2");
        let json: Value = serde_json::from_str(json).unwrap();
        assert_eq!(json["message"]["content"], "天气");
        assert!((1..=20_000).contains(&json["deadline_ms"].as_u64().unwrap()));
    }

    #[test]
    fn its_environment_is_what_the_config_lists() {
        let place = Place::new();
        place.write("key", "hunter2\n");
        let set = vec![
            ("KEY".to_owned(), SecretSource::File(place.folder.path().join("key"))),
            ("WX_RULE".to_owned(), literal("mine")),
        ];
        let line = "env | grep -v ^WX_ | sort | sed 's/=.*//' | tr '\\n' ' '; echo $KEY $WX_RULE";
        let given =
            Exec { set, env: vec!["CARGO_PKG_NAME".to_owned(), "WXCGI_NONE".to_owned()], ..shell(line) };
        assert_eq!(place.replies(&exec(given)), text("CARGO_PKG_NAME KEY PATH PWD hunter2 mine"));
        let missing =
            Exec { set: vec![("K".to_owned(), SecretSource::Env("WXCGI_NONE".into()))], ..shell("true") };
        let error = place.run(&exec(missing)).unwrap_err();
        assert_eq!(error, "the environment variable `WXCGI_NONE` is not set");
    }

    #[test]
    fn its_json_is_replies_and_session() {
        let place = Place::new();
        let line = r#"echo '{"reply": ["a", {"image": {"media_id": "M"}}], "session": {"step": 3}}'"#;
        let handled = place.run(&exec(Exec { output: Output::Json, ..shell(line) })).unwrap();
        assert_eq!(handled.replies, [Reply::text("a"), Reply::Image { media_id: "M".to_owned() }]);
        assert_eq!(Value::Object(handled.session), json!({"step": 3}));
        assert_eq!(place.replies(&exec(Exec { output: Output::Json, ..shell("echo null") })), []);
    }

    #[test]
    fn what_goes_wrong_is_told() {
        let place = Place::new();
        let json = |line| exec(Exec { output: Output::Json, ..shell(line) });
        let program = |name: &str| exec(Exec { command: vec![name.to_owned()], ..Exec::default() });
        for (handler, told) in [
            (exec(shell("echo no; exit 3")), "the program ended with exit status: 3"),
            (exec(shell("kill -9 $$")), "the program ended with signal: 9"),
            (exec(shell(r"printf '\377'")), "the answer is not UTF-8"),
            (json("echo Traceback"), "the answer is not the JSON that it should be: expected"),
            (exec(Exec { max_output: 9, ..shell("echo 123456789") }), "it wrote more than 9 bytes"),
            (program("./missing"), "cannot start `./missing`: No such file"),
            (program("wxcgi-no-such-program"), "cannot start `wxcgi-no-such-program`: No such file"),
            (exec(Exec { folder: Some("/nonexistent".into()), ..shell("true") }), "cannot start `sh`"),
        ] {
            let error = place.run(&handler).unwrap_err();
            assert!(error.contains(told), "{handler:?}: {error}");
        }
    }

    #[test]
    fn a_program_of_the_folder_is_named_by_its_path_there() {
        use std::os::unix::fs::PermissionsExt;
        let place = Place::new();
        place.write("bot", "#!/bin/sh\necho bot\n");
        let path = place.folder.path().join("bot");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let bot = Exec { command: vec!["./bot".to_owned()], ..Exec::default() };
        // A file that another thread of this test has open for writing in a child cannot be run for a moment.
        let until = Instant::now() + LONG;
        let replies = loop {
            match place.run(&exec(bot.clone())) {
                Err(error) if error.contains("busy") && Instant::now() < until => {}
                other => break other.unwrap().replies,
            }
        };
        assert_eq!(replies, text("bot"));
    }

    #[test]
    fn one_that_takes_too_long_is_killed_with_its_children() {
        let place = Place::new();
        let line = "(sleep 1000; echo late >late) & echo $! >pid; exec sleep 1000";
        let error = place.within(Duration::from_millis(300), &exec(shell(line))).unwrap_err();
        assert!(error.contains("it was not ready after 0.3 s"), "{error}");
        let pid = std::fs::read_to_string(place.folder.path().join("pid")).unwrap();
        let stat = format!("/proc/{}/stat", pid.trim());
        let until = Instant::now() + LONG;
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(Instant::now() < until, "{stat}");
            thread::yield_now();
        }
    }

    #[test]
    fn no_more_run_at_once_than_allowed_and_each_has_its_turn() {
        let place = Place::new();
        // Each counts those that are there with it.
        let line = "mkdir run.$$; ls -d run.* | wc -l; sleep 0.02; rmdir run.$$";
        let limited = exec(Exec { concurrency: Some(2), ..shell(line) });
        let (sender, receiver) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..8 {
                let sender = sender.clone();
                scope.spawn(|| sender.send(place.replies(&limited)).map(|()| drop(sender)).unwrap());
            }
        });
        drop(sender);
        let most = receiver.iter().map(|replies| match replies.as_slice() {
            [Reply::Text { content }] => content.trim().parse::<usize>().unwrap(),
            other => panic!("{other:?}"),
        });
        let all: Vec<_> = most.collect();
        assert_eq!(all.len(), 8);
        assert!(all.iter().all(|&count| (1..=2).contains(&count)), "{all:?}");
    }

    #[test]
    fn who_waits_for_a_place_waits_no_longer_than_the_time_limit() {
        let place = Place::new();
        let one = Exec { concurrency: Some(1), ..shell("true") };
        let held = super::super::exec::slot(&one, &place.store, Instant::now() + LONG).unwrap();
        let error = place.within(Duration::from_millis(100), &exec(one.clone())).unwrap_err();
        assert_eq!(error, "1 of it are at work already, and none ended in time");
        drop(held);
        assert_eq!(place.replies(&exec(one)), []);
    }

    #[test]
    fn many_runs_leave_nothing_behind() {
        let place = Place::new();
        let quiet = exec(Exec { command: vec!["true".to_owned()], ..Exec::default() });
        let mine =
            || std::fs::read_to_string("/proc/thread-self/children").unwrap().split_whitespace().count();
        let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let before = open();
        for _ in 0..1000 {
            assert_eq!(place.replies(&quiet), []);
        }
        assert_eq!(mine(), 0, "no child is left");
        // Tests beside this one open some as well.
        assert!(open() < before + 200, "{} of {before}", open());
    }
}

mod servers {
    use super::*;

    fn http(url: String) -> Http {
        Http { url, max_output: 1000, ..Http::default() }
    }

    fn by(path: &str, peer: &Peer) -> Handler {
        Handler::Http(http(peer.url(path)))
    }

    #[test]
    fn a_server_gets_what_a_program_gets_and_answers_as_one() {
        let place = Place::new();
        let peer = Peer::start(|request, stream| {
            let asked: Value = serde_json::from_slice(&request.body).unwrap();
            assert_eq!((&asked["message"]["content"], &asked["rule"]), (&json!("天气"), &json!("weather")));
            assert_eq!(request.header("content-type"), Some("application/json"));
            assert_eq!(
                request.header("x-wxcgi-deadline-ms"),
                Some(asked["deadline_ms"].to_string().as_str())
            );
            assert_eq!(request.header("x-wxcgi-signature"), None);
            match request.path() {
                "/text" => answer(stream, "200 OK", "text/plain; charset=utf-8", "晴\n".as_bytes()),
                "/json" => {
                    answer(stream, "200 OK", "application/json", br#"{"reply": "a", "session": {"n": 1}}"#);
                }
                "/null" => answer(stream, "200 OK", "application/json", b"null"),
                "/empty" => answer(stream, "200 OK", "text/html", b""),
                _ => stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap(),
            }
        });
        assert_eq!(place.replies(&by("/text", &peer)), text("晴"));
        let handled = place.run(&by("/json", &peer)).unwrap();
        assert_eq!((handled.replies, handled.session["n"].clone()), (text("a"), json!(1)));
        for path in ["/null", "/empty", "/nothing"] {
            assert_eq!(place.replies(&by(path, &peer)), [], "{path}");
        }
    }

    #[test]
    fn what_is_no_answer_is_told() {
        let place = Place::new();
        let peer = Peer::start(|request, stream| match request.path() {
            "/redirect" => answer(stream, "302 Found\r\nLocation: /text", "text/plain", b""),
            "/error" => answer(stream, "500 Oops", "text/plain", b"secret"),
            "/page" => answer(stream, "200 OK", "text/html", b"<p>secret</p>"),
            "/large" => answer(stream, "200 OK", "text/plain", &[b'x'; 1001]),
            "/file" => {
                answer(
                    stream,
                    "200 OK",
                    "application/json",
                    br#"{"reply": {"image": {"file": "/etc/passwd"}}}"#,
                );
            }
            "/cut" => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nab")
                    .unwrap();
            }
            "/bytes" => answer(stream, "200 OK", "text/plain", b"\xff"),
            "/json" => answer(stream, "200 OK", "application/json", b"{\"reply\": \"cut"),
            _ => request.until_closed(stream),
        });
        for (path, told) in [
            ("/redirect", "127.0.0.1 answered 302 which leads elsewhere; that is not followed"),
            ("/error", "127.0.0.1 answered 500 instead of an answer"),
            ("/page", "127.0.0.1 answered 200 as neither text/plain nor application/json"),
            ("/large", "127.0.0.1 answered with more than 1000 bytes"),
            ("/file", "a server cannot name files of this machine"),
            ("/cut", "127.0.0.1 did not end its answer: "),
            ("/bytes", "the answer is not UTF-8"),
            ("/json", "the answer is not the JSON that it should be: EOF"),
        ] {
            let error = place.run(&by(path, &peer)).unwrap_err();
            assert!(error.starts_with(told), "{path}: {error}");
        }
        let error = place.within(Duration::from_millis(200), &by("/slow", &peer)).unwrap_err();
        assert!(error.starts_with("127.0.0.1 did not answer within "), "{error}");
    }

    #[test]
    fn a_server_can_tell_that_we_ask() {
        let place = Place::new();
        let received: Arc<Mutex<Option<Received>>> = Arc::default();
        let seen = Arc::clone(&received);
        let peer = Peer::start(move |request, stream| {
            *seen.lock().unwrap() = Some(request.clone());
            answer(stream, "200 OK", "text/plain", b"ok");
        });
        let secret = Some(literal("hunter2"));
        let headers = vec![("Authorization".to_owned(), literal("Bearer 12345678"))];
        let server = Http { secret, headers, ..http(peer.url("/?key=abc")) };
        assert!(!format!("{server:?}").contains("12345678"));
        assert_eq!(place.replies(&Handler::Http(server)), text("ok"));
        let request = received.lock().unwrap().take().unwrap();
        assert_eq!(request.header("authorization"), Some("Bearer 12345678"));
        let timestamp = request.header("x-wxcgi-timestamp").unwrap();
        let age =
            crate::clock::unix_seconds(std::time::SystemTime::now()) - timestamp.parse::<u64>().unwrap();
        assert!(age < 20, "{timestamp}");
        let expected =
            super::super::http::sign(&crate::secret::Secret::new("hunter2"), timestamp, &request.body);
        assert_eq!(request.header("x-wxcgi-signature"), Some(expected.as_str()));
    }

    #[test]
    fn answers_serve_again_for_what_is_alike() {
        let place = Place::new();
        let count = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&count);
        let peer = Peer::start(move |request, stream| {
            let number = seen.fetch_add(1, Ordering::SeqCst);
            let status = if request.path() == "/fails" { "500 Oops" } else { "200 OK" };
            answer(stream, status, "text/plain", format!("answer {number}").as_bytes());
        });
        let cached = |path: &str, key: Option<&str>| {
            let key = key.map(|key| Template::new(key.to_owned()));
            Handler::Http(Http { cache: Some(Cache { life: LONG, key }), ..http(peer.url(path)) })
        };
        assert_eq!(place.replies(&cached("/", None)), text("answer 0"));
        assert_eq!(place.replies(&cached("/", None)), text("answer 0"));
        assert_eq!(place.replies(&cached("/", Some("{{ city }}"))), text("answer 1"));
        assert_eq!(place.replies(&cached("/", Some("上海"))), text("answer 1"));
        assert_eq!(place.replies(&cached("/", Some("{{ message.content }}"))), text("answer 2"));
        assert_eq!(place.replies(&cached("/other", None)), text("answer 3"));
        assert!(place.run(&cached("/fails", None)).is_err() && place.run(&cached("/fails", None)).is_err());
        assert_eq!(count.load(Ordering::SeqCst), 6);
        let click =
            |key: &str| format!("<MsgType>event</MsgType><Event>CLICK</Event><EventKey>{key}</EventKey>");
        let picture = "<MsgType>image</MsgType><PicUrl>u</PicUrl><MediaId>m</MediaId>";
        let voice = "<MsgType>voice</MsgType><MediaId>m</MediaId><Recognition>天气</Recognition>";
        let mute = "<MsgType>voice</MsgType><MediaId>m</MediaId>";
        for (fields, number) in [
            (picture, 6),
            (picture, 7),
            (mute, 8),
            (mute, 9),
            (voice, 0),
            (&click("a"), 10),
            (&click("b"), 11),
            (&click("a"), 10),
            (&click("天气"), 12),
        ] {
            let handled = place.hears(fields, LONG, &cached("/", None)).unwrap();
            assert_eq!(handled.replies, text(&format!("answer {number}")), "{fields}");
        }
    }

    #[test]
    fn what_changes_the_session_of_one_serves_no_other() {
        let place = Place::new();
        let count = AtomicUsize::new(0);
        let peer = Peer::start(move |_, stream| {
            let body = json!({"reply": "a", "session": {"n": count.fetch_add(1, Ordering::SeqCst)}});
            answer(stream, "200 OK", "application/json", body.to_string().as_bytes());
        });
        let cached = Http { cache: Some(Cache { life: LONG, key: None }), ..http(peer.url("/")) };
        for number in 0..2 {
            assert_eq!(place.run(&Handler::Http(cached.clone())).unwrap().session["n"], number);
        }
    }

    #[test]
    fn a_header_that_cannot_be_sent_is_not_the_servers_fault() {
        let server =
            Http { headers: vec![("X".to_owned(), literal("a\nY: b"))], ..http("http://127.0.0.1:1".into()) };
        let error = Place::new().run(&Handler::Http(server)).unwrap_err();
        assert!(error.contains("a header") && !error.contains("Y: b"), "{error}");
    }

    #[test]
    fn a_server_that_trickles_holds_nobody_up() {
        let place = Place::new();
        let peer = Peer::start(|request, stream| {
            let head: &[u8] = match request.path() {
                "/head" => b"HTTP/1.1 200 OK\r\nX-",
                "/hints" => b"",
                _ => b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n",
            };
            let piece: &[u8] = match request.path() {
                "/head" => b"a",
                "/hints" => b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n",
                _ => b"1\r\nx\r\n",
            };
            let _ = stream.write_all(head);
            while stream.write_all(piece).is_ok() {
                thread::sleep(Duration::from_millis(5));
            }
        });
        for path in ["/head", "/hints", "/body"] {
            let error = place.within(Duration::from_millis(300), &by(path, &peer)).unwrap_err();
            assert!(error.starts_with("127.0.0.1 "), "{path}: {error}");
        }
    }
}

mod backends {
    use super::*;

    const TOKEN: &str = "other-token";
    const AES_KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";

    fn backend(url: String) -> Backend {
        Backend { url, token: literal(TOKEN), secure: None, timeout: LONG }
    }

    fn secure(url: String) -> Backend {
        let secure = Secure { encoding_aes_key: literal(AES_KEY), app_id: "wxother".to_owned() };
        Backend { secure: Some(secure), ..backend(url) }
    }

    fn relay(backends: Vec<Backend>) -> Handler {
        Handler::Relay(backends)
    }

    /// A parameter of the query.
    fn parameter(request: &Received, name: &str) -> String {
        let (_, query) = request.path().split_once('?').unwrap();
        let found = form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == name);
        found.unwrap_or_else(|| panic!("{name}: {query}")).1.into_owned()
    }

    fn xml_answer(stream: &mut std::net::TcpStream, body: &str) {
        answer(stream, "200 OK", "text/xml", body.as_bytes());
    }

    #[test]
    fn a_back_end_sees_wechat_and_its_reply_is_passed_on() {
        let place = Place::new();
        let peer = Peer::start(|request, stream| {
            let [timestamp, nonce] = ["timestamp", "nonce"].map(|name| parameter(request, name));
            let signature = parameter(request, "signature");
            assert_eq!(verify_signature(TOKEN, &timestamp, &nonce, &signature), Ok(()));
            assert_eq!(parameter(request, "openid"), "oUser");
            assert_eq!(request.body, XML.as_bytes());
            match request.path().split_once('?').unwrap().0 {
                "/empty" => xml_answer(stream, ""),
                "/success" => xml_answer(stream, "success\n"),
                _ => xml_answer(stream, &Reply::text("晴 ").to_xml("oUser", "gh_1", 1)),
            }
        });
        assert_eq!(place.replies(&relay(vec![backend(peer.url("/"))])), text("晴 "));
        assert_eq!(place.replies(&relay(vec![backend(peer.url("/?bot=1"))])), text("晴 "));
        for path in ["/empty", "/success"] {
            assert_eq!(place.replies(&relay(vec![backend(peer.url(path))])), [], "{path}");
        }
    }

    #[test]
    fn in_secure_mode_both_ways_are_sealed_and_signed() {
        let place = Place::new();
        let peer = Peer::start(|request, stream| {
            let key = AesKey::parse(AES_KEY).unwrap();
            let root = xml::parse(&request.body).unwrap();
            let encrypt = root.child_text("Encrypt").unwrap();
            let [timestamp, nonce, signature] =
                ["timestamp", "nonce", "msg_signature"].map(|name| parameter(request, name));
            assert_eq!(parameter(request, "encrypt_type"), "aes");
            assert_eq!(verify_msg_signature(TOKEN, &timestamp, &nonce, encrypt, &signature), Ok(()));
            assert_eq!(open_envelope(encrypt, &key, "wxother").unwrap(), XML);
            let reply = Reply::text("晴").to_xml("oUser", "gh_1", 1);
            let sealed = seal_envelope(&reply, &key, "wxother", [7; 16]);
            let seal = |token| envelope_xml(&sealed, token, 1, "nonce");
            let other_key = || AesKey::parse(&AES_KEY.replace('a', "z")).unwrap();
            let mislaid =
                |key, app_id| envelope_xml(&seal_envelope(&reply, key, app_id, [7; 16]), TOKEN, 1, "n");
            match request.path().split_once('?').unwrap().0 {
                "/" => xml_answer(stream, &seal(TOKEN)),
                "/key" => xml_answer(stream, &mislaid(&other_key(), "wxother")),
                "/account" => xml_answer(stream, &mislaid(&key, "wxthird")),
                "/forged" => xml_answer(stream, &seal("guessed")),
                "/success" => xml_answer(stream, "success"),
                _ => xml_answer(stream, &reply),
            }
        });
        assert_eq!(place.replies(&relay(vec![secure(peer.url("/"))])), text("晴"));
        assert_eq!(place.replies(&relay(vec![secure(peer.url("/success"))])), []);
        for (path, told) in
            [("/forged", ""), ("/key", ""), ("/account", ""), ("/plain", "it is not encrypted: no `Encrypt`")]
        {
            let error = place.run(&relay(vec![secure(peer.url(path))])).unwrap_err();
            assert!(error.starts_with("what 127.0.0.1 replied cannot be passed on: "), "{path}: {error}");
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn a_reply_for_somebody_else_is_not_passed_on() {
        let place = Place::new();
        let peer = Peer::start(|request, stream| match request.path().split_once('?').unwrap().0 {
            "/to" => xml_answer(stream, &Reply::text("x").to_xml("oOther", "gh_1", 1)),
            "/from" => xml_answer(stream, &Reply::text("x").to_xml("oUser", "gh_2", 1)),
            "/kind" => {
                xml_answer(stream, &Reply::text("x").to_xml("oUser", "gh_1", 1).replace("[text]", "[shop]"));
            }
            "/bytes" => answer(stream, "200 OK", "text/xml", b"\xff"),
            "/page" => xml_answer(stream, "<xml><a/></xml>"),
            "/bomb" => xml_answer(stream, "<!DOCTYPE xml [<!ENTITY a \"aaaa\">]><xml>&a;</xml>"),
            "/deep" => xml_answer(stream, &format!("<xml>{}", "<a>".repeat(80_000))),
            "/large" => xml_answer(stream, &Reply::text("x".repeat(256 << 10)).to_xml("oUser", "gh_1", 1)),
            _ => answer(stream, "403 Forbidden", "text/plain", b""),
        });
        for (path, told) in [
            ("/to", "what 127.0.0.1 replied cannot be passed on: `ToUserName` is not what it should be"),
            ("/from", "what 127.0.0.1 replied cannot be passed on: `FromUserName` is not what it should be"),
            ("/kind", "what 127.0.0.1 replied cannot be passed on: `MsgType` is not what it should be"),
            ("/bytes", "what 127.0.0.1 replied cannot be passed on: it is not UTF-8"),
            ("/page", "what 127.0.0.1 replied cannot be passed on: `ToUserName` is not what it should be"),
            ("/refuses", "127.0.0.1 answered 403 instead of a reply"),
            ("/large", "127.0.0.1 answered with more than 262144 bytes"),
        ] {
            assert_eq!(place.run(&relay(vec![backend(peer.url(path))])).unwrap_err(), told);
        }
        for path in ["/bomb", "/deep"] {
            let error = place.run(&relay(vec![backend(peer.url(path))])).unwrap_err();
            assert!(error.starts_with("what 127.0.0.1 replied cannot be passed on: "), "{error}");
        }
    }

    #[test]
    fn the_next_back_end_is_asked_when_one_fails() {
        let place = Place::new();
        let peer = Peer::start(|request, stream| match request.path().split_once('?').unwrap().0 {
            "/slow" => request.until_closed(stream),
            "/fails" => answer(stream, "502 Bad Gateway", "text/plain", b""),
            _ => xml_answer(stream, &Reply::text("晴").to_xml("oUser", "gh_1", 1)),
        });
        let slow = Backend { timeout: Duration::from_millis(100), ..backend(peer.url("/slow")) };
        let gone = backend(format!("http://127.0.0.1:{}/", Peer::start(|_, _| {}).port()));
        let fails = || backend(peer.url("/fails"));
        let patient = Backend { timeout: LONG, ..slow.clone() };
        let late = place
            .within(Duration::from_millis(300), &relay(vec![patient, backend(peer.url("/"))]))
            .unwrap_err();
        assert!(late.starts_with("127.0.0.1 did not answer within "), "{late}");
        assert!(!late.ends_with(" 1.0ms"), "nobody is asked when the time is over: {late}");
        let all = vec![slow, gone, fails(), backend(peer.url("/"))];
        assert_eq!(place.replies(&relay(all)), text("晴"));
        let error = place.run(&relay(vec![fails(), fails()])).unwrap_err();
        assert_eq!(error, "127.0.0.1 answered 502 instead of a reply");
    }
}

mod guards {
    use super::*;

    fn by(by: GuardBy) -> Guard {
        Guard { by, timeout: Duration::from_secs(10) }
    }

    #[test]
    fn a_program_agrees_by_its_exit_code() {
        let place = Place::new();
        let agrees = |line: &str| place.guards(&by(GuardBy::Exec(shell(line))));
        assert!(agrees("test $WX_CONTENT = 天气; echo ignored"));
        assert!(!agrees("exit 1"));
        assert!(!agrees("kill -9 $$"));
        assert!(
            !place.guards(&by(GuardBy::Exec(Exec { command: vec!["./missing".into()], ..Exec::default() })))
        );
        let slow = GuardBy::Exec(shell("sleep 1000"));
        assert!(!place.guards(&Guard { by: slow, timeout: Duration::from_millis(100) }));
    }

    #[test]
    fn one_message_asks_a_guard_once() {
        let place = Place::new();
        let once = by(GuardBy::Exec(shell("mkdir asked")));
        let (agrees, said) = place.asks(&once, Vec::new());
        assert!(agrees && !place.guards(&once), "asked again it says no");
        assert_eq!(place.asks(&once, said.clone()), (true, said.clone()));
        let other = by(GuardBy::Exec(shell("true")));
        assert_eq!(place.asks(&other, said).1.len(), 2);
    }

    #[test]
    fn a_server_agrees_by_its_status() {
        let place = Place::new();
        let peer = Peer::start(|request, stream| match request.path() {
            "/yes" => answer(stream, "202 Accepted", "text/html", b"x"),
            "/moved" => answer(stream, "302 Found\r\nLocation: /yes", "text/html", b""),
            "/slow" => request.until_closed(stream),
            _ => answer(stream, "403 Forbidden", "text/html", b""),
        });
        let agrees = |path: &str, timeout| {
            let by = GuardBy::Http(Http { url: peer.url(path), ..Http::default() });
            place.guards(&Guard { by, timeout })
        };
        assert!(agrees("/yes", LONG));
        assert!(!agrees("/no", LONG) && !agrees("/moved", LONG));
        assert!(!agrees("/slow", Duration::from_millis(100)));
    }
}
