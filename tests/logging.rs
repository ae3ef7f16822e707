//! The log: one line a call, whole, in a file that many processes share, and without what nobody should read.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use crate::support::{Door, Keys, Request, Site, WeChat, available, now, wait_until};

/// Not in the config of [`account`] nor in any request, but in no log either.
const SECRETS: [&str; 4] = [
    "HushTokenA1",
    "HushTokenB2",
    "hushappsecret0123456789abcdef012",
    "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
];

/// An account that answers everything, with these lines below `[log]`.
fn account(log: &str) -> String {
    let [token, previous, app_secret, key] = SECRETS;
    format!(
        "[account]\ntoken = \"{token}\"\nprevious_token = \"{previous}\"\napp_secret = \"{app_secret}\"\n\
         app_id = \"wx1234567890abcdef\"\nencoding_aes_key = \"{key}\"\n[log]\n{log}\n\
         [[rule]]\nname = \"hi\"\nwhen.text = \"hi\"\nreply = \"hello\"\n\
         [[rule]]\nwhen.event = \"CLICK\"\nreply.none = true\n\
         [default]\nreply = \"?\"\n"
    )
}

/// Where [`account`] may log, from the folder of its config.
const FILE: &str = "file = \"../log/wx.log\"\n";

fn wechat() -> WeChat {
    WeChat::with_token(SECRETS[0])
}

fn site(door: Door, log: &str) -> Site {
    opened(door, &account(log))
}

/// A site whose responder has said what it says at its start.
fn opened(door: Door, config: &str) -> Site {
    let site = Site::behind(door).with_config(config).open();
    if door == Door::FastcgiByHand {
        site.receives(&wechat().says("hi"));
    }
    site
}

/// A text of a user of his own.
fn text_of(openid: &str, text: &str) -> Request {
    let xml = WeChat::message("text", &format!("<Content><![CDATA[{text}]]></Content>"));
    wechat().pushes(xml.replace("oABCD1234567890abcdefghijkl", openid))
}

/// All files of the log by their names: `wx.log`, `wx.log.1`, …
fn files(site: &Site) -> Vec<PathBuf> {
    let entries = fs::read_dir(site.folder().join("log")).expect("the folder of logs");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("wx.log")))
        .filter(|path| path.extension().is_some_and(|ending| ending != "lock"))
        .collect();
    files.sort();
    files
}

/// All lines of the log, file after file.
#[track_caller]
fn lines(site: &Site) -> Vec<String> {
    let mut lines = Vec::new();
    for file in files(site) {
        let text = String::from_utf8(fs::read(&file).expect("our file")).expect("UTF-8");
        assert!(text.is_empty() || text.ends_with('\n'), "{}: a torn line: {text}", file.display());
        lines.extend(text.split_terminator('\n').map(str::to_owned));
    }
    lines
}

/// The one line that the log has gained since it had `known`.
#[track_caller]
fn gained(site: &Site, known: usize) -> String {
    let lines = lines(site);
    assert_eq!(lines.len(), known + 1, "{:#?}", &lines[known.min(lines.len())..]);
    lines[known].clone()
}

/// Time, level and place stand before every line.
#[track_caller]
fn is_whole(line: &str) {
    let (time, rest) = line.split_at_checked(20).unwrap_or_else(|| panic!("no line of ours: {line}"));
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00Z", "{line}");
    let level = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].into_iter().find(|level| {
        rest.strip_prefix(&format!(" [{level}] ")).is_some_and(|rest| rest.starts_with(char::is_alphabetic))
    });
    assert!(level.is_some(), "{line}");
    assert!(!line.chars().any(char::is_control), "{line:?}");
}

/// Openids of these numbers, as the log writes them when it may.
fn openid(number: usize) -> String {
    format!("oNumber{number:05}end")
}

/// Every message of `count` has left exactly one line, and each is whole.
#[track_caller]
fn has_one_line_each(lines: &[String], count: usize) {
    let mut found = vec![0; count];
    for line in lines {
        is_whole(line);
        let (_, after) = line.split_once("text from oNumber").unwrap_or_else(|| panic!("{line}"));
        let (number, after) = after.split_at(5);
        assert!(
            after.starts_with("end met rule 1 `hi` (line ") && after.contains("); replied text in "),
            "{line}"
        );
        assert!(after.ends_with(" ms"), "{line}");
        found[number.parse::<usize>().expect("a number")] += 1;
    }
    let wrong: Vec<_> = found.iter().enumerate().filter(|(_, times)| **times != 1).collect();
    assert!(wrong.is_empty(), "not once each: {wrong:?}");
}

#[test]
fn many_processes_write_and_rotate_one_file_and_no_line_is_lost_or_torn() {
    const AT_ONCE: usize = 40;
    const ROUNDS: usize = 20;
    let log = format!("{FILE}personal_data = true\nmax_size = \"200B\"\nkeep = 9999");
    let site = site(Door::ByHand, &log);
    thread::scope(|scope| {
        for writer in 0..AT_ONCE {
            let site = &site;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    site.receives(&text_of(&openid(writer * ROUNDS + round), "hi")).replies("hello");
                }
            });
        }
    });
    has_one_line_each(&lines(&site), AT_ONCE * ROUNDS);
    let files = files(&site);
    assert!(files.len() > 100, "only {} files: it hardly rotated", files.len());
    for file in files {
        let metadata = fs::metadata(&file).expect("our file");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{}", file.display());
        assert!(metadata.len() > 0, "{} is empty", file.display());
    }
    assert_eq!(site.stderr(), "");
}

#[test]
fn a_responder_and_cgi_processes_share_one_file() {
    const MESSAGES: usize = 60;
    for door in Door::open_ones([Door::FastcgiByHand]) {
        let log = format!("{FILE}personal_data = true\nmax_size = \"300B\"\nkeep = 9999");
        let site = site(door, &log);
        let before = lines(&site).len();
        thread::scope(|scope| {
            for writer in 0..8 {
                let site = &site;
                scope.spawn(move || {
                    for number in (writer..MESSAGES).step_by(8) {
                        let request = text_of(&openid(number), "hi");
                        if number % 2 == 0 {
                            site.receives(&request).replies("hello");
                        } else {
                            site.receives_by_cgi(&request, |_| ()).replies("hello");
                        }
                    }
                });
            }
        });
        assert!(before > 0, "the responder says what it took and where it listens");
        let lines: Vec<_> = lines(&site).into_iter().filter(|line| line.contains("oNumber")).collect();
        has_one_line_each(&lines, MESSAGES);
        assert!(files(&site).len() > 10);
    }
}

#[test]
fn no_more_files_are_kept_than_wanted_and_the_newest_lines_stay() {
    let site = site(Door::ByHand, &format!("{FILE}personal_data = true\nmax_size = \"250B\"\nkeep = 3"));
    for number in 0..30 {
        site.receives(&text_of(&openid(number), "hi")).replies("hello");
        assert!(files(&site).len() <= 4, "{:?}", files(&site));
    }
    let names: Vec<_> =
        files(&site).iter().map(|it| it.file_name().unwrap_or_default().display().to_string()).collect();
    assert_eq!(names, ["wx.log", "wx.log.1", "wx.log.2", "wx.log.3"]);
    let mut newest_first = Vec::new();
    for file in files(&site) {
        let text = fs::read_to_string(file).expect("our file");
        newest_first.extend(text.lines().rev().map(str::to_owned));
    }
    let kept = newest_first.len();
    assert!((4..=12).contains(&kept), "{newest_first:#?}");
    for (line, number) in newest_first.iter().zip((0..30).rev()) {
        assert!(line.contains(&openid(number)), "{number}: {line}");
    }
}

#[test]
fn every_call_has_one_line_with_its_rule_and_the_line_of_the_config() {
    for door in Door::open_ones([Door::ByHand, Door::FastcgiByHand]) {
        let site = site(door, FILE);
        let config = account(FILE);
        let line_of = |nth: usize| {
            let tables = config.lines().enumerate().filter(|(_, line)| line.starts_with("[[rule]]"));
            tables.map(|(at, _)| at + 1).nth(nth).expect("a rule")
        };
        let default = config.lines().position(|line| line == "[default]").expect("a default") + 1;
        let click = || WeChat::event("CLICK", "<EventKey><![CDATA[V1]]></EventKey>");
        let (first, second) = (line_of(0), line_of(1));
        for (request, told) in [
            (
                wechat().says("hi"),
                format!(
                    "[INFO] callback: text from oABCD…kl met rule 1 `hi` (line {first}); replied text in "
                ),
            ),
            (
                wechat().pushes(click()),
                format!("event `CLICK` from oABCD…kl met rule 2 (line {second}); replied success in "),
            ),
            (
                wechat().says("?"),
                format!("text from oABCD…kl met the default (line {default}); replied text in "),
            ),
            (
                wechat().pushes(WeChat::event("SCAN", "")),
                "event `SCAN` from oABCD…kl met no rule; replied success in ".to_owned(),
            ),
            (
                wechat().pushes(WeChat::message("hologram", "")),
                "unknown type `hologram` from oABCD…kl met no rule".to_owned(),
            ),
            (wechat().verifies("4711"), "[INFO] callback: the URL was verified; echoed 4 bytes".to_owned()),
            (wechat().verifies("1").without("echostr"), "[INFO] callback: ".to_owned()),
            (
                WeChat::with_token("other").says("hi"),
                "[WARN] callback: signature mismatch from 203.0.113.9; answered 403".to_owned(),
            ),
            (
                wechat().says("hi").without("nonce"),
                "[WARN] callback: no `nonce` in the query from 203.0.113.9; answered 403".to_owned(),
            ),
            (wechat().at(now() - 3600).says("hi"), "[WARN] callback: stale timestamp, 36".to_owned()),
            (
                wechat().says("hi").method("PUT"),
                "[WARN] callback: method `PUT` from 203.0.113.9; answered 405".to_owned(),
            ),
            (wechat().pushes("{}"), "[WARN] callback: not a message".to_owned()),
            (wechat().pushes("x".repeat(300_000)), "[WARN] gateway: refused a request of ".to_owned()),
        ] {
            let known = lines(&site).len();
            site.receives(&request);
            let line = gained(&site, known);
            is_whole(&line);
            assert!(line.contains(&told), "{door:?}: no `{told}` in {line}");
        }
    }
}

#[test]
fn the_level_says_what_is_left_out() {
    for (level, good, bad) in
        [("off", 0, 0), ("error", 0, 0), ("warn", 0, 1), ("info", 1, 1), ("debug", 1, 1), ("trace", 1, 1)]
    {
        let site = site(Door::ByHand, &format!("{FILE}level = \"{level}\""));
        // The first call keeps a copy of the config, which a low level may speak of.
        site.receives(&wechat().says("hi")).replies("hello");
        let known = lines(&site).len();
        site.receives(&wechat().says("hi")).replies("hello");
        assert_eq!(lines(&site).len() - known, good, "{level}");
        site.receives(&WeChat::with_token("other").says("hi")).is(403);
        assert_eq!(lines(&site).len() - known, good + bad, "{level}");
        assert_eq!(site.stderr(), "", "{level}");
    }
}

#[test]
fn without_a_file_the_log_goes_to_stderr() {
    let site = site(Door::ByHand, "");
    site.receives(&wechat().says("hi")).replies("hello");
    let log = site.stderr();
    assert!(log.lines().count() == 1 && log.contains("callback: text from oABCD…kl met rule 1"), "{log}");
    assert!(files(&site).is_empty());
}

#[test]
fn people_are_shortened_unless_the_operator_wants_them_and_what_they_say_is_never_told() {
    for (personal_data, shown) in [(false, "oABCD…kl"), (true, "oABCD1234567890abcdefghijkl")] {
        for level in ["info", "trace"] {
            let log = format!("{FILE}level = \"{level}\"\npersonal_data = {personal_data}");
            let site = site(Door::ByHand, &log);
            site.receives(&wechat().says("my confession")).replies("?");
            let said = lines(&site).join("\n");
            assert!(said.contains(&format!("text from {shown} met")), "{said}");
            assert!(!said.contains("confession"), "{said}");
            assert!(personal_data || !said.contains("1234567890"), "{said}");
        }
    }
}

#[test]
fn no_secret_stands_in_the_log_whatever_is_asked() {
    let echostr = "HushEcho77";
    let push = || wechat().says("my confession");
    let sealed = |body: &str| wechat().pushes_sealed(body, &now().to_string(), "1", &"0".repeat(40));
    let requests = [
        push(),
        wechat().verifies(echostr),
        WeChat::with_token("other").verifies(echostr),
        wechat().verifies(echostr).method("DELETE"),
        wechat().verifies(echostr).with("timestamp", SECRETS[0]),
        wechat().verifies(echostr).with("signature", SECRETS[3]),
        push().without("signature"),
        push().with("encrypt_type", "aes"),
        push().with("signature", "0"),
        wechat().pushes("<xml>my confession"),
        wechat().pushes("<xml><MsgType>my confession</MsgTyp></xml>"),
        wechat().pushes(WeChat::message("text", "<Content>&confession;</Content>")),
        wechat().pushes("<!DOCTYPE confession><xml></xml>"),
        wechat().pushes(
            WeChat::message("text", "<Content>confession</Content>")
                .replace("<CreateTime>", "<CreateTime>confession"),
        ),
        sealed("<xml><Encrypt>confession</Encrypt></xml>"),
        sealed("<xml></xml>"),
        sealed("confession"),
        push().announcing(1),
        push().announcing(1_000_000),
        push().announcing(10_000),
        push().raw_query(format!("signature=1&timestamp=1&nonce=1&echostr={echostr}")),
        push().raw_query(format!("signature=1&signature={}", SECRETS[0])),
    ];
    for door in Door::open_ones([Door::ByHand, Door::FastcgiByHand]) {
        let site = site(door, &format!("{FILE}level = \"trace\""));
        for request in &requests {
            if door == Door::FastcgiByHand && request.is_cut_short() {
                continue;
            }
            site.receives(request);
        }
        let said = format!("{}\n{}", lines(&site).join("\n"), site.stderr());
        assert!(lines(&site).len() + 4 >= requests.len(), "{said}");
        for secret in SECRETS.iter().chain(&[echostr, "confession"]) {
            assert!(!said.contains(secret), "{door:?}: the log tells `{secret}`:\n{said}");
        }
    }
}

#[test]
fn a_log_file_that_cannot_be_written_takes_no_answer_away() {
    for file in ["/nonexistent/wx.log", "/proc/wx.log", "/etc"] {
        let site = site(Door::ByHand, &format!("file = \"{file}\"\n"));
        site.receives(&wechat().says("hi")).replies("hello");
        let said = site.stderr();
        assert!(said.contains("[ERROR] log: cannot write `"), "{file}: {said}");
        assert!(said.contains("[INFO] callback: text from oABCD…kl met rule 1"), "{file}: {said}");
        said.lines().for_each(is_whole);
    }
}

#[test]
fn a_log_file_that_takes_no_line_any_more_is_told_with_the_line() {
    let site = site(Door::ByHand, "file = \"/dev/full\"\n");
    site.receives(&wechat().says("hi")).replies("hello");
    let said = site.stderr();
    let (why, line) = said.split_once("; the line is:\n").expect(&said);
    assert!(why.starts_with("wxcgi: cannot write the log `/dev/full`: No space left on device"), "{said}");
    assert!(line.contains("[INFO] callback: text from oABCD…kl met rule 1"), "{said}");
}

#[test]
fn where_the_file_cannot_be_moved_on_no_line_is_lost() {
    let site = site(Door::ByHand, &format!("{FILE}max_size = \"100B\"\n"));
    site.receives(&wechat().says("hi")).replies("hello");
    let folder = site.folder().join("log");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).expect("our folder");
    for _ in 0..3 {
        site.receives(&wechat().says("hi")).replies("hello");
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("our folder");
    let said = format!("{}\n{}", lines(&site).join("\n"), site.stderr());
    assert_eq!(said.matches("met rule 1").count(), 4, "{said}");
}

/// What would be a line of its own if it were believed.
const FORGED: &str = "x\n2026-01-01T00:00:00Z [INFO] callback: forged\r\n\u{1b}[2Jforged\u{85}\u{7f}";

#[test]
fn what_a_stranger_sends_cannot_forge_a_line() {
    for door in Door::open_ones([Door::ByHand, Door::FastcgiByHand]) {
        let config = account(&format!("{FILE}level = \"trace\"\npersonal_data = true"));
        let config = config.replace("[log]", "path = \"/weixin\"\noriginal_id = \"gh_0123456789ab\"\n[log]");
        let site = opened(door, &config);
        let cdata = |name: &str| format!("<{name}><![CDATA[{FORGED}]]></{name}>").replace('\u{1b}', "");
        let text = || WeChat::message("text", "<Content>hi</Content>");
        let requests = [
            ("method", wechat().says("hi").method(FORGED)),
            ("path", wechat().says("hi").to(&format!("/{FORGED}"))),
            ("type", wechat().pushes(WeChat::message(&FORGED.replace('\u{1b}', ""), ""))),
            ("event", wechat().pushes(WeChat::event(&FORGED.replace('\u{1b}', ""), ""))),
            ("key", wechat().pushes(WeChat::event("CLICK", &cdata("EventKey")))),
            ("sender", text_of(&FORGED.replace('\u{1b}', ""), "hi")),
            ("receiver", wechat().pushes(text().replace("gh_0123456789ab", &FORGED.replace('\u{1b}', "")))),
            ("time", wechat().pushes(text().replace("<CreateTime>", "<CreateTime>\nforged"))),
            ("encrypt_type", wechat().says("hi").with("encrypt_type", FORGED)),
            ("timestamp", wechat().says("hi").with("timestamp", FORGED)),
            ("query", wechat().says("hi").raw_query(format!("signature={FORGED}&{FORGED}"))),
            ("header", wechat().says("hi").header("X", FORGED)),
            ("element", wechat().pushes(format!("<xml><{FORGED}/></xml>"))),
        ];
        for (what, request) in &requests {
            let known = lines(&site).len();
            site.receives(request);
            is_alone(what, &lines(&site)[known..]);
        }
        // Behind some proxies the address is what the client says that it is.
        for request in [wechat().says("hi").without("nonce"), wechat().pushes("x".repeat(300_000))] {
            let known = lines(&site).len();
            site.receives_with(&request, |program| {
                program.env("REMOTE_ADDR", FORGED);
            });
            is_alone("address", &lines(&site)[known..]);
        }
    }
}

#[track_caller]
fn is_alone(what: &str, lines: &[String]) {
    assert!(lines.len() == 1 && !lines[0].contains("Z [INFO] callback: forged\n"), "{what}: {lines:#?}");
    is_whole(&lines[0]);
}

#[test]
fn the_app_id_of_a_foreign_envelope_cannot_forge_a_line() {
    if !available("wechatpy") {
        return;
    }
    let foreign = Keys {
        token: SECRETS[0].to_owned(),
        aes: SECRETS[3].to_owned(),
        app_id: "wx\n2026-01-01T00:00:00Z [INFO] callback: forged\r\u{1b}[2J".to_owned(),
    };
    let site = site(Door::ByHand, FILE);
    site.receives(&foreign.seal(&WeChat::message("text", "<Content>hi</Content>"))).is(400);
    is_alone("AppID", &lines(&site));
    assert!(lines(&site)[0].contains("another AppID, `wx` from"), "{:?}", lines(&site));
}

/// How many more lines of `kind` the log says there were.
fn held_back(lines: &[String], kind: &str) -> usize {
    let number = |line: &String| {
        let (_, after) = line.split_once("callback: … and ")?;
        after.strip_suffix(&format!(" more of `{kind}` in 10 s"))?.parse::<usize>().ok()
    };
    lines.iter().filter_map(number).sum()
}

#[test]
fn thousands_of_forged_requests_are_a_few_lines_and_hide_nothing() {
    const AT_ONCE: usize = 4;
    const EACH: usize = 1000;
    if !Door::HeldSocket.is_open() {
        return;
    }
    let failing = "[[rule]]\nname = \"fails\"\nwhen.text = \"fail\"\nreply = \"{{ 1 // 0 }}\"\n[default]";
    let config = account(FILE).replace("[default]", failing);
    let mut site = Site::behind(Door::HeldSocket).with_config(&config).open();
    let (port, start) = (site.port(), Instant::now());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let forged = wechat().says("hi").with("signature", &"0".repeat(40));
                for _ in 0..EACH {
                    forged.send(port, "/weixin").is(403);
                }
            });
        }
        // Amid the flood, what an operator must see.
        site.receives(&wechat().says("hi")).replies("hello");
        site.receives(&wechat().says("fail")).acknowledges();
        site.receives(&wechat().says("hi").without("signature")).is(403);
    });
    // What is held back is told at the end at the latest.
    assert!(site.replace_responder().success());
    let windows = usize::try_from(start.elapsed().as_secs() / 10 + 1).expect("not that long");

    let lines = lines(&site);
    for line in &lines {
        is_whole(line);
    }
    let count = |words: &str| lines.iter().filter(|line| line.contains(words)).count();
    let written = count("] callback: signature mismatch from 127.0.0.1; answered 403");
    assert_eq!(written + held_back(&lines, "wrong signature"), AT_ONCE * EACH, "{lines:#?}");
    assert!(written <= 10 * windows, "{written} lines in {windows} windows");
    assert_eq!(count("text from oABCD…kl met rule 1 `hi`"), 1);
    assert_eq!(count("[ERROR] callback: rule 3 `fails`"), 1, "{lines:#?}");
    assert_eq!(count("no `signature` in the query from 127.0.0.1"), 1);
}

#[test]
fn a_flood_that_ends_is_told_of_soon_after() {
    if !Door::FastcgiByHand.is_open() {
        return;
    }
    let site = site(Door::FastcgiByHand, FILE);
    let told = |lines: &[String]| {
        let written = lines.iter().filter(|line| line.contains("signature mismatch from")).count();
        written + held_back(lines, "wrong signature")
    };
    let mut sent = 0;
    while told(&lines(&site)) == sent {
        assert!(sent < 200, "all of {sent} lines are written");
        site.receives(&wechat().says("hi").with("signature", &"0".repeat(40))).is(403);
        sent += 1;
    }
    assert!(sent > 10, "{:#?}", lines(&site));
    // Nobody asks any more.
    wait_until("all are told of", || told(&lines(&site)) >= sent);
    assert_eq!(told(&lines(&site)), sent, "{:#?}", lines(&site));
}
