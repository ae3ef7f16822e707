//! FastCGI against others: the crate `fastcgi` beside us, `cgi-fcgi` and nginx in front of us.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Door, Request, Site, WeChat};

const ACCOUNT: &str = "[account]\ntoken = \"mytoken\"\n[[rule]]\nwhen.text = \"天气\"\nreply = \"晴\"\n";

fn wechat() -> WeChat {
    WeChat::with_token("mytoken")
}

/// A responder of another make: verifies, and acknowledges all that is signed. Serves as long as the tests run.
fn start_peer() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    thread::spawn(move || fastcgi::run_tcp(peer, &listener));
    port
}

fn peer(mut request: fastcgi::Request) {
    let mut body = Vec::new();
    let _ = request.stdin().read_to_end(&mut body);
    let query = request.param("QUERY_STRING").unwrap_or_default();
    let (status, said) = match request.param("REQUEST_METHOD").as_deref() {
        Some("GET" | "POST") if !wechat().vouches_for(&query) => ("403 Forbidden", "no"),
        Some("POST") => ("200 OK", "success"),
        Some("GET") => {
            ("200 OK", query.split('&').find_map(|part| part.strip_prefix("echostr=")).unwrap_or("none"))
        }
        _ => ("405 Method Not Allowed", "no"),
    };
    let said = format!("Status: {status}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{said}");
    let _ = request.stdout().write_all(said.as_bytes());
}

#[test]
fn the_crate_fastcgi_gives_the_same_answers_behind_the_same_nginx() {
    if !Door::NginxTcp.is_open() {
        return;
    }
    let ours = Site::behind(Door::NginxTcp).with_config(ACCOUNT).open();
    let theirs = Site::behind(Door::NginxTcp).served_by(start_peer()).open();
    for request in [
        wechat().verifies("4375120948345356249"),
        wechat().verifies("1").with("signature", &"0".repeat(40)),
        wechat().says("你好"),
        wechat().says("你好").chunked(),
        wechat().says(&"长".repeat(30_000)),
        wechat().says("你好").without("signature"),
        wechat().pushes(WeChat::event("LOCATION", "")),
        wechat().says("你好").method("DELETE"),
    ] {
        let (ours, theirs) = (ours.receives(&request), theirs.receives(&request));
        assert_eq!(ours.status, theirs.status, "{ours}\n{theirs}");
        if ours.status == 200 {
            assert_eq!(ours.body, theirs.body, "{ours}\n{theirs}");
            assert_eq!(ours.header("content-type"), theirs.header("content-type"), "{ours}\n{theirs}");
        }
    }
}

#[test]
fn a_parameter_chooses_among_the_configs_of_the_command_line_and_no_others() {
    if !Door::FastcgiByHand.is_open() {
        return;
    }
    let site = Site::behind(Door::FastcgiByHand)
        .with_config(ACCOUNT)
        .another_config("shop.toml", "[account]\ntoken = \"shoptoken\"\n[default]\nreply = \"欢迎光临\"\n")
        .open();
    let secret = site.folder().join("etc/secret.toml");
    std::fs::write(&secret, "[account]\ntoken = \"secret\"\n").expect("our folder");

    let asks = |request: &Request, config: &std::path::Path| {
        site.receives_with(request, |client| {
            client.env("WXCGI_CONFIG", config);
        })
    };
    let shop = WeChat::with_token("shoptoken");
    asks(&shop.says("在吗"), &site.another_config("shop.toml")).replies("欢迎光临");
    asks(&wechat().verifies("1"), &site.another_config("shop.toml")).is(403);
    asks(&wechat().says("天气"), site.config()).replies("晴");
    // Not named: the first one.
    site.receives(&wechat().says("天气")).replies("晴");
    for foreign in [secret.as_path(), "/etc/passwd".as_ref(), "/nonexistent".as_ref(), "shop.toml".as_ref()] {
        for token in ["secret", "mytoken", "shoptoken"] {
            let wechat = WeChat::with_token(token);
            asks(&wechat.verifies("4375120948345356249"), foreign)
                .is(503)
                .keeps_quiet_about(&["43751", "root:"]);
            asks(&wechat.says("天气"), foreign).acknowledges();
        }
    }
}

#[test]
fn silent_connections_keep_nobody_waiting() {
    if !Door::FastcgiByHand.is_open() {
        return;
    }
    let site = Site::behind(Door::FastcgiByHand).with_config(ACCOUNT).open();
    let silent: Vec<_> = (0..100)
        .map(|_| UnixStream::connect(site.folder().join("run/wxcgi.sock")).expect("it accepts"))
        .collect();
    let start = Instant::now();
    site.receives(&wechat().says("天气")).replies("晴");
    assert!(start.elapsed() < Duration::from_secs(2), "answered after {:?}", start.elapsed());
    drop(silent);
    site.receives(&wechat().says("天气")).replies("晴");
}

#[test]
fn two_accounts_share_one_responder_behind_nginx() {
    if !Door::NginxUnix.is_open() {
        return;
    }
    let site = Site::behind(Door::NginxUnix)
        .with_config(ACCOUNT)
        .another_config("shop.toml", "[account]\ntoken = \"shoptoken\"\n[default]\nreply = \"欢迎光临\"\n")
        .with_location_for("shop.toml", "/shop")
        .open();
    site.receives(&wechat().says("天气")).replies("晴");
    let shop = WeChat::with_token("shoptoken");
    site.receives(&shop.says("在吗").to("/shop")).replies("欢迎光临");
    site.receives(&shop.says("在吗")).is(403);
    site.receives(&wechat().says("天气").to("/shop")).is(403);
}
