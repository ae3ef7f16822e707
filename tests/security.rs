//! The known traps of CGI and of signed callbacks, through the servers in which they were found.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{Answer, Door, Keys, Load, Request, Site, WeChat, free_port, now, repository, sized};

const ACCOUNT: &str = r#"
[account]
token = "mytoken"

[[rule]]
when.type = "text"
reply = "{{ message.content }} of {{ message.from_user }}"

[default]
reply = "收到"
"#;

fn wechat() -> WeChat {
    WeChat::with_token("mytoken")
}

#[test]
fn a_proxy_that_a_client_names_is_never_called() {
    let proxy = TcpListener::bind("127.0.0.1:0").expect("a port");
    proxy.set_nonblocking(true).expect("a listener that does not wait");
    let address = format!("http://{}", proxy.local_addr().expect("its address"));
    let doors = [
        Door::ByHand,
        Door::FastcgiByHand,
        Door::ApacheCgid,
        Door::ApacheCgi,
        Door::NginxUnix,
        Door::NginxFcgiwrap,
        Door::LighttpdCgi,
    ];
    for door in Door::open_ones(doors) {
        let site = Site::behind(door).with_config(ACCOUNT).open();
        let requests = [
            (wechat().verifies("4711"), 200),
            (wechat().says("天气"), 200),
            (wechat().pushes(WeChat::event("subscribe", "")), 200),
            (WeChat::with_token("guessed").says("天气"), 403),
        ];
        for (request, status) in requests {
            // CGI and FastCGI make HTTP_PROXY of it.
            let request = request.header("Proxy", &address);
            site.receives(&request).is(status);
            if matches!(door, Door::ByHand | Door::FastcgiByHand) {
                let answer = site.receives_with(&request, |program| {
                    for name in
                        ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
                    {
                        program.env(name, &address);
                    }
                });
                answer.is(status);
            }
        }
        let called = proxy.accept().map_err(|error| error.kind());
        assert_eq!(called.err(), Some(ErrorKind::WouldBlock), "{door:?}: somebody called the proxy");
    }
}

#[test]
fn a_query_that_apache_makes_arguments_of_stays_a_query() {
    for door in Door::open_ones([Door::ApacheCgid, Door::ApacheCgi]) {
        let site = Site::behind(door).with_config(ACCOUNT).open();
        let (port, socket) = (free_port(), site.folder().join("run/argv.sock"));
        let listen = format!("fastcgi+--listen+127.0.0.1:{port}");
        let listen_unix = format!("fastcgi+--listen+unix:{}", socket.display());
        let queries = [
            listen.as_str(),
            &listen_unix,
            "-h",
            "--help",
            "help",
            "--version",
            "check",
            "check+/etc/passwd",
            "--config+/etc/passwd",
            "init+config",
            "completions+bash",
            "sign+--config+/etc/wxcgi.toml",
            "simulate+text+hi",
            "-d+allow_url_include%3d1",
            "%2d%2dhelp",
            "fastcgi%20--listen",
        ];
        // What Apache keeps out of the arguments, because of the `=`.
        let unsigned = |method: &str| site.receives(&Request::new(method).raw_query("a=b"));
        for query in queries {
            for method in ["GET", "POST"] {
                let answer = site.receives(&Request::new(method).raw_query(query));
                assert_eq!(answer.is(403).body, unsigned(method).body, "{answer}");
            }
        }
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "{door:?}: `{listen}` was obeyed");
        assert!(!socket.exists(), "{door:?}: `{listen_unix}` was obeyed");
        site.receives(&wechat().verifies("4711")).is(200).says("4711");
        passes_on_arguments(&site);
    }
}

/// Shows that this Apache does make arguments of a query, so that there was something to withstand.
fn passes_on_arguments(site: &Site) {
    let script = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\nprintf '%s.' \"$@\"\n";
    let (new, program) = (site.folder().join("bin/script"), site.folder().join("bin/wxcgi"));
    fs::write(&new, script).expect("our folder");
    fs::set_permissions(&new, Permissions::from_mode(0o755)).expect("our file");
    fs::rename(new, program).expect("our folder");
    site.receives(&Request::new("POST").raw_query("check+--help")).is(200).says("check.--help.");
}

/// Would be a header and a page of its own if it came into a head as it is.
const SPLITTING: &str = "x\r\nInjected: yes\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n<script>";

/// All headers that the program has for anybody.
const OURS: [&str; 6] =
    ["status", "content-type", "content-length", "x-content-type-options", "allow", "retry-after"];

/// Requests with [`SPLITTING`] at one place each.
fn splitting_requests() -> Vec<Request> {
    let fields = |name: &str| {
        let message = WeChat::message("text", "<Content>hi</Content>");
        let (head, rest) = message.split_once(&format!("<{name}>")).expect(name);
        let tail = rest.split_once(&format!("</{name}>")).expect(name).1;
        wechat().pushes(format!("{head}<{name}><![CDATA[{SPLITTING}]]></{name}>{tail}"))
    };
    let mut requests = vec![
        wechat().verifies(SPLITTING),
        Request::new("GET").with("echostr", SPLITTING),
        WeChat::with_token("guessed").verifies(SPLITTING),
    ];
    for name in ["signature", "timestamp", "nonce", "openid", "encrypt_type", "msg_signature"] {
        requests.push(wechat().says("hi").with(name, SPLITTING));
        requests.push(wechat().verifies("1").with(name, SPLITTING));
    }
    requests.extend(["FromUserName", "ToUserName", "MsgType", "Content", "MsgId", "CreateTime"].map(fields));
    requests.push(wechat().pushes(WeChat::event(SPLITTING, "")));
    requests.push(wechat().pushes(SPLITTING));
    requests
}

#[test]
fn nothing_that_is_sent_splits_an_answer() {
    let anywhere = ["date", "server", "connection", "transfer-encoding", "vary", "accept-ranges"];
    let anywhere = [&OURS[..], &anywhere].concat();
    let doors = [Door::ByHand, Door::FastcgiByHand, Door::ApacheCgid, Door::ApacheProxyFcgi, Door::NginxUnix];
    for door in Door::open_ones(doors) {
        let site = Site::behind(door).with_config(ACCOUNT).open();
        for request in splitting_requests() {
            site.receives(&request).has_only(&anywhere);
        }
        // The signature does not cover it: whoever has seen one call can send it again with another `echostr`.
        let echoed = site.receives(&wechat().verifies(SPLITTING));
        echoed.is(200).says(SPLITTING).has("content-type", "text/plain; charset=utf-8");
    }
}

#[test]
fn not_even_a_web_server_that_lets_line_breaks_through_splits_an_answer() {
    for door in Door::open_ones([Door::ByHand, Door::FastcgiByHand]) {
        let site = Site::behind(door).with_config(ACCOUNT).open();
        let mut answers: Vec<Answer> = [
            wechat().says("hi").method(SPLITTING),
            wechat().says("hi").to(SPLITTING),
            wechat().verifies("1").to(SPLITTING),
            wechat().says("hi").header("X", SPLITTING),
            wechat().says("hi").raw_query(SPLITTING),
            wechat().verifies("1").raw_query(format!("echostr={SPLITTING}")),
        ]
        .iter()
        .map(|request| site.receives(request))
        .collect();
        let variables =
            ["SERVER_PROTOCOL", "REQUEST_URI", "PATH_INFO", "CONTENT_TYPE", "REMOTE_ADDR", "HTTP_HOST"];
        answers.extend(variables.map(|name| {
            site.receives_with(&wechat().says("hi"), |program| {
                program.env(name, SPLITTING);
            })
        }));
        for answer in answers {
            answer.has_only(&OURS);
        }
    }
}

/// What somebody tries who does not know the token: each way leads to the same answer.
fn forgeries() -> impl Fn() -> Request {
    let number = AtomicUsize::new(0);
    move || {
        let number = number.fetch_add(1, Ordering::Relaxed);
        let (guess, timestamp) = (format!("{number:040x}"), now().to_string());
        match number % 6 {
            0 => wechat().says("天气").with("signature", &guess),
            1 => wechat().verifies("4711").with("signature", &guess),
            2 => WeChat::with_token(&format!("token{number}")).says("天气"),
            3 => wechat().says("天气").with("nonce", &guess),
            4 => wechat()
                .says("天气")
                .with("timestamp", &now().saturating_sub(1).to_string())
                .with("nonce", ""),
            // Sealed, with a query that is right and a body that nobody has signed.
            _ => wechat().pushes_sealed("<xml><Encrypt>AAAA</Encrypt></xml>", &timestamp, "1", &guess),
        }
    }
}

#[test]
fn forged_calls_by_the_thousand_are_refused_counted_and_keep_nobody_waiting() {
    if !Door::HeldSocket.is_open() {
        return;
    }
    let count = sized(3_000, 100_000);
    let Keys { aes, app_id, .. } = Keys::ours();
    let keys =
        format!("[account]\nencoding_aes_key = \"{aes}\"\napp_id = \"{app_id}\"\nmode = \"plaintext\"");
    let config = format!("{}\n[log]\nlevel = \"warn\"\n", ACCOUNT.replace("[account]", &keys));
    let mut site = Site::behind(Door::HeldSocket).with_config(&config).open();
    let port = site.port();
    let forge = forgeries();
    let forgers = Load::of(6, move || {
        let answer = forge().try_send(port, "/weixin")?;
        if answer.status == 403 && answer.text() == "forbidden\n" { Ok(()) } else { Err(answer.to_string()) }
    });
    let users = Load::of(2, move || {
        let answer = wechat().says("天气").try_send(port, "/weixin")?;
        if answer.reply_text().is_some() { Ok(()) } else { Err(answer.to_string()) }
    });
    forgers.wait_for(count);
    let forged = forgers.end();
    forged.is_faultless(count);
    users.end().is_faultless(count / 100);

    // What was held back is told at the end at the latest.
    assert!(site.end_responder().success());
    let said = site.stderr();
    let lines: Vec<_> = said.lines().filter(|line| line.contains("[WARN] callback: ")).collect();
    let some = &lines[..lines.len().min(10)];
    assert!(
        lines.len() <= 100.max(count / 100),
        "{} lines for {} forged calls, such as {some:#?}",
        lines.len(),
        forged.asked
    );
    let counted = |line: &&str| -> Option<usize> {
        let (_, after) = line.split_once("… and ")?;
        after.split_once(" more of `")?.0.parse().ok()
    };
    let held: usize = lines.iter().filter_map(counted).sum();
    let written = lines.iter().filter(|line| counted(line).is_none()).count();
    assert_eq!(written + held, forged.asked, "{lines:#?}");
}

/// All source files of the program, without their tests.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let tests = text.find("mod tests {").unwrap_or(text.len());
            let program = text[..tests].to_owned();
            found.push((path, program));
        }
    }
    found
}

/// Time is not measured here: what can be shown is that there is one way to compare, and which.
#[test]
fn signatures_are_compared_in_one_place_and_in_constant_time() {
    let mut sources = sources(&repository().join("src"));
    // No part of the program.
    sources.retain(|(path, _)| !path.components().any(|part| part.as_os_str() == "fuzzing"));
    assert!(sources.len() > 50, "{} files", sources.len());
    let lines = || {
        let lines = |(path, text): &(PathBuf, String)| {
            let path = path.clone();
            text.lines().map(move |line| (path.clone(), line.trim().to_owned())).collect::<Vec<_>>()
        };
        sources.iter().flat_map(lines).filter(|(_, line)| !line.starts_with("//"))
    };
    let with = |words: &[&str]| -> Vec<(PathBuf, String)> {
        lines().filter(|(_, line)| words.iter().any(|word| line.contains(word))).collect()
    };

    let compares = with(&[".ct_eq("]);
    assert_eq!(compares.len(), 1, "{compares:#?}");
    let (place, line) = &compares[0];
    assert!(place.ends_with("wechat/signature.rs"), "{compares:#?}");
    // 20 bytes with 20 bytes, and nothing but the whole result is looked at.
    assert!(line.starts_with("if digest(parts).ct_eq(&received).into() {"), "{line}");

    // Both proofs take that way …
    let (_, signature) = &sources.iter().find(|(path, _)| path.ends_with("wechat/signature.rs")).expect("it");
    assert_eq!(signature.matches("    verify([token, timestamp, nonce").count(), 2);
    // … and whoever has the digest of a token in hand asks there: nobody makes one to compare it himself.
    for (path, line) in with(&["sign(["]) {
        let senders = ["cli/sign.rs", "cli/simulate.rs", "handlers/relay.rs", "wechat/envelope.rs"];
        assert!(senders.iter().any(|sender| path.ends_with(sender)), "{}: {line}", path.display());
        assert!(!line.contains("=="), "{}: {line}", path.display());
    }
    // A `Secret` knows no `==` (its documentation shows it); what it exposes is not compared either. Only what WeChat
    // hands out is, with what it handed out before: nobody else has a say in it.
    let handed_out = |path: &Path| path.ends_with("api/shared.rs");
    for (path, line) in with(&["expose()"]).into_iter().filter(|(path, _)| !handed_out(path)) {
        let compares = ["==", "!=", ".eq(", ".ne(", ".cmp(", "starts_with", "ends_with", "contains("];
        assert!(!compares.iter().any(|word| line.contains(word)), "{}: {line}", path.display());
    }
}
