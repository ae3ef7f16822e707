//! What nobody should send, and what an operator should not leave behind.

use crate::support::{Door, Request, Site, WeChat};

const ACCOUNT: &str = r#"
[account]
token = "mytoken"
app_id = "wx1234567890abcdef"
encoding_aes_key = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"

[[rule]]
when.type = "text"
reply = "收到：{{ message.content }}"

[default]
reply = "收到"
"#;

/// The doors at which nothing stands between the request and the program.
const BARE: [Door; 2] = [Door::ByHand, Door::FastcgiByHand];

fn wechat() -> WeChat {
    WeChat::with_token("mytoken")
}

/// Asks for `status` behind both bare doors, and that the account goes on working.
#[track_caller]
fn refused(status: u16, requests: &[(&str, Request)]) {
    for door in Door::open_ones(BARE) {
        let site = Site::behind(door).with_config(ACCOUNT).open();
        for (what, request) in requests {
            let answer = site.receives(request);
            assert_eq!(answer.status, status, "{what}: {answer}");
            answer.keeps_quiet_about(&["mytoken", "abcdefghijklmnopqrstuvwxyz", "收到"]);
        }
        site.receives(&wechat().says("你好")).replies("收到：你好");
    }
}

#[test]
fn a_push_without_the_right_signature_is_refused() {
    let push = || wechat().says("你好");
    refused(
        403,
        &[
            ("another token", WeChat::with_token("other").says("你好")),
            ("no signature", push().without("signature")),
            ("no timestamp", push().without("timestamp")),
            ("no nonce", push().without("nonce")),
            ("no query", push().raw_query("")),
            ("a signature in capitals of another token", push().with("signature", &"A".repeat(40))),
            ("no body either", WeChat::with_token("other").pushes("")),
            ("no XML either", WeChat::with_token("other").pushes("{}")),
        ],
    );
}

#[test]
fn other_methods_are_refused_and_told_which_are_not() {
    for door in Door::open_ones(BARE) {
        let site = Site::behind(door).with_config(ACCOUNT).open();
        for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "FOO"] {
            let answer = site.receives(&wechat().says("你好").method(method));
            answer.is(405);
            let allow = answer.header("allow").unwrap_or_else(|| panic!("no Allow: {answer}"));
            assert!(allow.contains("GET") && allow.contains("POST"), "{answer}");
        }
    }
}

#[test]
fn a_request_without_a_method_is_refused() {
    let site = Site::behind(Door::ByHand).with_config(ACCOUNT).open();
    let answer = site.receives_with(&wechat().verifies("1"), |program| {
        program.env_remove("REQUEST_METHOD");
    });
    answer.is(400);
}

#[test]
fn other_paths_are_not_found() {
    let config = ACCOUNT.replace("[account]", "[account]\npath = \"/weixin\"");
    for door in Door::open_ones(BARE) {
        let site = Site::behind(door).with_config(&config).open();
        for (path, status) in [
            ("/weixin", 200),
            ("/weixin/", 200),
            ("/weixin/more", 404),
            ("/weixin2", 404),
            ("/Weixin", 404),
            ("/", 404),
            ("", 404),
            ("/x/weixin", 404),
        ] {
            let answer = site.receives(&wechat().verifies("4711").to(path));
            assert_eq!(answer.status, status, "{path}: {answer}");
            let answer = site.receives(&wechat().says("你好").to(path));
            assert_eq!(answer.status, status, "{path}: {answer}");
        }
    }
}

#[test]
fn a_body_over_the_limit_is_refused_by_its_length_and_by_its_chunks() {
    let full = |bytes: usize| {
        let empty = WeChat::message("text", "<Content></Content>").len();
        wechat().pushes(WeChat::message("text", &format!("<Content>{}</Content>", "x".repeat(bytes - empty))))
    };
    let limit = 256 * 1024;
    refused(
        413,
        &[
            ("one byte too many", full(limit + 1)),
            ("one byte too many, in chunks", full(limit + 1).chunked()),
            ("twice as much", full(2 * limit)),
            ("twice as much, in chunks", full(2 * limit).chunked()),
            ("ten times as much", full(10 * limit)),
        ],
    );
    for door in Door::open_ones(BARE) {
        let site = Site::behind(door).with_config(ACCOUNT).open();
        site.receives(&full(limit)).is(200);
        site.receives(&full(limit).chunked()).is(200);
    }
}

#[test]
fn the_limit_can_be_set() {
    let config = format!("{ACCOUNT}\n[server]\nmax_body = \"1KiB\"\n");
    for door in Door::open_ones(BARE) {
        let site = Site::behind(door).with_config(&config).open();
        site.receives(&wechat().says("你好")).replies("收到：你好");
        site.receives(&wechat().says(&"长".repeat(400))).is(413);
        site.receives(&wechat().says(&"长".repeat(400)).chunked()).is(413);
    }
}

#[test]
fn a_body_shorter_than_announced_is_refused() {
    // Only CGI: no web server hands on a FastCGI request whose body has not come in.
    let site = Site::behind(Door::ByHand).with_config(ACCOUNT).open();
    let xml = WeChat::message("text", "<Content>你好</Content>");
    for missing in [1, 100, 100_000] {
        site.receives(&wechat().pushes(&xml).announcing(xml.len() + missing)).is(400);
    }
    // What comes behind the announced length is not read.
    site.receives(&wechat().pushes(format!("{xml}garbage")).announcing(xml.len())).replies("收到：你好");
}

#[test]
fn a_length_that_is_no_number_is_refused() {
    let site = Site::behind(Door::ByHand).with_config(ACCOUNT).open();
    for length in ["-1", "+10", " 10", "1e3", "0x10", "10 ", "99999999999999999999", "１０"] {
        let answer = site.receives_with(&wechat().says("你好"), |program| {
            program.env("CONTENT_LENGTH", length);
        });
        answer.is(400);
    }
    for length in ["999999999999999999", "9223372036854775807"] {
        let answer = site.receives_with(&wechat().says("你好"), |program| {
            program.env("CONTENT_LENGTH", length);
        });
        answer.is_one_of(&[413, 400]);
    }
}

#[test]
fn what_is_not_wechats_xml_is_refused() {
    let deep = format!("{}{}", "<a>".repeat(10_000), "</a>".repeat(10_000));
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("JSON", br#"{"MsgType":"text"}"#.to_vec()),
        ("words", "你好".into()),
        ("half a document", b"<xml><MsgType>text</MsgType><Content>".to_vec()),
        ("a tag closed by another", b"<xml><MsgType>text</Content></xml>".to_vec()),
        ("an open CDATA section", b"<xml><MsgType><![CDATA[text</MsgType></xml>".to_vec()),
        (
            "bytes that are not UTF-8",
            b"<xml><MsgType>text</MsgType><Content>\xff\xfe</Content></xml>".to_vec(),
        ),
        ("zeros", vec![0; 1000]),
        ("a DOCTYPE", b"<!DOCTYPE xml><xml><MsgType>text</MsgType></xml>".to_vec()),
        (
            "an external entity",
            b"<!DOCTYPE xml [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>\
              <xml><MsgType>text</MsgType><Content>&e;</Content></xml>"
                .to_vec(),
        ),
        (
            "entities that grow",
            b"<!DOCTYPE xml [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;\">]>\
              <xml><MsgType>text</MsgType><Content>&b;&b;&b;</Content></xml>"
                .to_vec(),
        ),
        (
            "an entity that nobody declared",
            b"<xml><MsgType>text</MsgType><Content>&e;</Content></xml>".to_vec(),
        ),
        ("ten thousand levels", format!("<xml><MsgType>text</MsgType>{deep}</xml>").into_bytes()),
    ];
    let requests: Vec<_> = bodies.into_iter().map(|(what, body)| (what, wechat().pushes(body))).collect();
    refused(400, &requests);
}

#[test]
fn what_we_do_not_know_is_acknowledged() {
    for door in Door::open_ones(BARE) {
        let site = Site::behind(door).with_config(ACCOUNT).open();
        for document in [
            WeChat::message("hologram", "<Depth>3</Depth>"),
            WeChat::message("TEXT", "<Content>not text</Content>"),
            WeChat::event("teleport", "<EventKey><![CDATA[moon]]></EventKey>"),
            WeChat::event("", ""),
            WeChat::event("subscribe", ""),
        ] {
            site.receives(&wechat().pushes(document)).acknowledges();
        }
    }
}

#[test]
fn without_a_good_config_the_console_is_refused_and_no_user_sees_a_fault() {
    let secret = "hush-hush-9f2c";
    let faulty = [
        ("no TOML", format!("[account\ntoken = \"{secret}\"\n")),
        ("an unknown key", format!("[account]\ntoken = \"{secret}\"\ntokenn = \"{secret}\"\n")),
        ("no token", format!("[account]\napp_secret = \"{secret}\"\n")),
        ("a wrong type", format!("[account]\ntoken = \"{secret}\"\n[server]\nmax_body = [\"{secret}\"]\n")),
        ("nothing", String::new()),
    ];
    let asks = |site: &Site, what: &str| {
        let wechat = WeChat::with_token(secret);
        let answer = site.receives(&wechat.verifies("4375120948345356249"));
        assert_eq!(answer.status, 503, "{what}: {answer}");
        answer.keeps_quiet_about(&[secret, "4375120948345356249", "wxcgi.toml", "/etc"]);
        site.receives(&wechat.says("你好")).acknowledges();
        site.receives(&WeChat::with_token("").says("你好")).acknowledges();
    };
    for door in Door::open_ones([Door::ByHand, Door::FastcgiByHand, Door::ApacheCgid, Door::ApacheFcgid]) {
        for (what, text) in &faulty {
            let site = Site::behind(door).with_config(text).open();
            asks(&site, what);
            assert!(!site.logs().contains(secret), "{what}: the log tells the secret");
        }
        asks(&Site::behind(door).open(), "no file");
        let text = format!("[account]\ntoken = \"{secret}\"\n");
        asks(&Site::behind(door).with_unreadable_config(&text).open(), "an unreadable file");
    }
}

#[test]
fn the_log_tells_the_operator_what_is_wrong_with_the_config() {
    let site = Site::behind(Door::ByHand).with_config("[account]\ntoken = \"t\"\n\n[sever]\n").open();
    site.receives(&WeChat::with_token("t").verifies("1")).is(503);
    let logs = site.logs();
    assert!(logs.contains("wxcgi.toml:4") && logs.contains("sever"), "{logs}");
}

#[test]
fn a_program_that_a_web_server_started_never_reads_its_arguments() {
    let site = Site::behind(Door::ByHand).with_config(ACCOUNT).open();
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["check", "/etc/passwd"],
        &["fastcgi", "--listen", "127.0.0.1:0"],
        &["-d", "x"],
        &["--config", "/etc/passwd"],
        &["init", "config", "--write"],
        &["\u{fffd}", ""],
    ] {
        let answer = site.receives_with(&wechat().says("你好"), |program| {
            program.args(arguments);
        });
        answer.replies("收到：你好");
        let answer = site.receives_with(&wechat().verifies("1").raw_query(arguments.join("+")), |program| {
            program.args(arguments);
        });
        answer.is(403).keeps_quiet_about(&["Usage", "--help"]);
    }
}

#[test]
fn an_environment_of_bytes_is_read_as_bytes() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let site = Site::behind(Door::ByHand).with_config(ACCOUNT).open();
    let answer = site.receives_with(&wechat().says("你好"), |program| {
        program.env("HTTP_X", OsStr::from_bytes(b"\xff\xfe")).env("REMOTE_USER", OsStr::from_bytes(b"\x80"));
        program.env("HTTP_PROXY", "http://203.0.113.66:3128").env("HUGE", "x".repeat(100_000));
    });
    answer.replies("收到：你好");
}
