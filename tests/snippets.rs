//! Every shipped snippet, under its real server.

use std::fs;
use std::path::PathBuf;

use crate::support::{Door, Site, WeChat, adapted, available, command, program, repository};

/// Enough of an account for a round through a door.
const BOT: &str = r#"
[account]
token = "mytoken"

[[rule]]
when.text = "天气"
reply = "北京天气挺好的！"
"#;

/// One test for each door: they run side by side, and a failure names the door.
macro_rules! every_door {
    ($($name:ident: $door:ident,)*) => {$(
        #[test]
        fn $name() {
            if Door::$door.is_open() {
                a_round_through(Door::$door);
            }
        }
    )*

        #[test]
        fn no_door_is_forgotten() {
            assert_eq!([$(Door::$door),*], Door::ALL);
        }
    };
}

every_door! {
    by_hand: ByHand,
    fastcgi_by_hand: FastcgiByHand,
    apache_cgid: ApacheCgid,
    apache_cgi: ApacheCgi,
    apache_suexec: ApacheSuexec,
    apache_htaccess: ApacheHtaccess,
    apache_proxy_fcgi: ApacheProxyFcgi,
    apache_fcgid: ApacheFcgid,
    nginx_unix: NginxUnix,
    nginx_tcp: NginxTcp,
    nginx_keepalive: NginxKeepalive,
    nginx_fcgiwrap: NginxFcgiwrap,
    lighttpd_cgi: LighttpdCgi,
    lighttpd_fastcgi: LighttpdFastcgi,
    spawn_fcgi: SpawnFcgi,
    socket_activated: SocketActivated,
    held_socket: HeldSocket,
    apache_held_socket: ApacheHeldSocket,
}

/// What the console and one user would do, and what a stranger would try.
fn a_round_through(door: Door) {
    let site = Site::behind(door).with_config(BOT).open();
    let wechat = WeChat::with_token("mytoken");

    let verified = site.receives(&wechat.verifies("4375120948345356249"));
    verified.is(200).says("4375120948345356249");
    assert!(verified.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")), "{verified}");

    site.receives(&wechat.says("天气")).replies("北京天气挺好的！");
    site.receives(&wechat.says("天气").chunked()).replies("北京天气挺好的！");
    site.receives(&wechat.says("别的")).acknowledges();
    // Becomes HTTP_PROXY, unless somebody stops it (httpoxy).
    site.receives(&wechat.says("天气").header("Proxy", "http://203.0.113.66:3128"))
        .replies("北京天气挺好的！");

    let stranger = WeChat::with_token("guessed");
    site.receives(&stranger.verifies("4375120948345356249"))
        .is(403)
        .keeps_quiet_about(&["4375120948345356249"]);
    site.receives(&stranger.says("天气")).is(403).keeps_quiet_about(&["北京"]);

    // Apache makes arguments of a query without `=`; it stays a query, and one without a signature.
    for query in ["-d+x", "--help", "fastcgi+--listen+127.0.0.1:9", "check", "-s%20a"] {
        let answer = site.receives(&wechat.verifies("1").raw_query(query));
        answer.is(403).keeps_quiet_about(&["Usage", "usage", "--help", "--config"]);
    }

    let huge = "长".repeat(100 * 1024);
    site.receives(&wechat.says(&huge)).is(413);
    site.receives(&wechat.says("天气").method("PUT")).is_one_of(&[405, 403]);

    // None of that has done it any harm.
    site.receives(&wechat.says("天气")).replies("北京天气挺好的！");
}

/// All files that we ship for servers.
fn snippets() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in ["apache", "nginx", "lighttpd", "systemd"] {
        let entries = fs::read_dir(repository().join(folder)).expect("the snippets");
        files.extend(entries.map(|entry| entry.expect("an entry").path()));
    }
    assert!(files.len() >= 12, "{files:?}");
    files
}

#[test]
fn every_snippet_begins_with_its_how_to() {
    for file in snippets() {
        let text = fs::read_to_string(&file).expect("a text");
        let how_to: Vec<_> = text.lines().take_while(|line| line.starts_with('#')).collect();
        let has = |start: &str| how_to.iter().any(|line| line.starts_with(start));
        assert!(how_to[0].len() > 30, "{}: what is it?", file.display());
        assert!(has("# 1. ") && has("# 2. "), "{}: what to do?", file.display());
        assert!(has("# Try: ") || file.ends_with("wxcgi.socket"), "{}: how to try it?", file.display());
        let marks = how_to.join("\n").matches("(1)").count();
        assert!(marks > 0 && text.matches("(1)").count() > marks, "{}: what to change?", file.display());
    }
}

#[test]
fn every_snippet_is_behind_some_door() {
    for file in snippets() {
        let name = file.strip_prefix(repository()).expect("ours").to_str().expect("a plain name");
        let used = Door::ALL.iter().any(|door| door.snippet() == Some(name)) || name.starts_with("systemd/");
        assert!(used, "no door uses {name}");
    }
}

/// `wxcgi init` prints the snippets with these four strings replaced; another spelling would stay behind.
#[test]
fn the_snippets_spell_the_places_in_one_way() {
    for file in snippets() {
        let text = fs::read_to_string(&file).expect("a text");
        for (rest, what) in [
            (text.replace("/usr/local/bin/wxcgi", ""), "/bin/wxcgi"),
            (
                text.replace("/etc/wxcgi/wxcgi.toml", "").replace("~/.config/wxcgi/wxcgi.toml", ""),
                "/wxcgi.toml\n",
            ),
            (text.replace("/run/wxcgi/wxcgi.sock", ""), "wxcgi.sock\n"),
        ] {
            assert!(!rest.contains(what), "{} has another {what}", file.display());
        }
    }
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    if !available("systemd-analyze") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = program().to_str().expect("a plain name");
    let service = adapted("systemd/wxcgi.service", &[("/usr/local/bin/wxcgi", program)]);
    let socket = adapted("systemd/wxcgi.socket", &[]);
    fs::write(folder.path().join("wxcgi.service"), service).expect("our folder");
    fs::write(folder.path().join("wxcgi.socket"), socket).expect("our folder");
    let verified = command("systemd-analyze")
        .arg("verify")
        .args(["wxcgi.service", "wxcgi.socket"].map(|unit| folder.path().join(unit)))
        .output()
        .expect("systemd-analyze runs");
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success() && !said.contains("wxcgi"), "{said}");
}

#[test]
fn the_socket_unit_and_the_snippets_agree_on_the_socket() {
    let socket = adapted("systemd/wxcgi.socket", &[]);
    let listen = socket.lines().find_map(|line| line.strip_prefix("ListenStream="));
    assert_eq!(listen, Some("/run/wxcgi/wxcgi.sock"));
    for file in ["nginx/fastcgi-unix.conf", "nginx/fastcgi-keepalive.conf", "apache/proxy-fcgi.conf"] {
        assert!(adapted(file, &[]).contains("unix:/run/wxcgi/wxcgi.sock"), "{file}");
    }
}
