//! Calls of WeChat through the CGI door, in this process. The signed and encrypted requests are those of WeChat's
//! documentation and of other implementations (`tests/data/crypto-*.json`).

mod dialogs;
mod late;

use std::path::Path;
use std::time::UNIX_EPOCH;

use serde_json::Value;

use super::*;
use crate::config::Thoroughness;
use crate::gateway::cgi::exchange;
use crate::wechat::signature::sign;

const VECTORS: &str = include_str!("../../tests/data/crypto-vectors.json");
const NEGATIVE: &str = include_str!("../../tests/data/crypto-negative.json");
const KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
const OTHER_KEY: &str = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C";

const ECHO: &str = "[[rule]]\nwhen.type = \"text\"\nreply = \"收到：{{ message.content }}\"\n";

/// An account whose `[account]` and `[server]` have these lines.
fn account(account: &str, server: &str) -> Account {
    let text = format!("[account]\n{account}\n[server]\n{server}\n{ECHO}");
    let (config, faults) = Config::parse(&text, Path::new("."), Thoroughness::Full);
    Account::new(config.unwrap_or_else(|| panic!("{faults:?}")), Surroundings::default())
}

/// An account with the key and the AppID of most vectors, without a clock.
fn keyed(token: &str, more: &str) -> Account {
    let lines =
        format!("token = \"{token}\"\napp_id = \"wx1234567890abcdef\"\nencoding_aes_key = \"{KEY}\"\n{more}");
    account(&lines, "clock_skew = \"off\"")
}

struct Answer {
    status: String,
    head: String,
    body: String,
}

fn call(app: &dyn Application, method: &str, query: &str, body: &str, more: &[(&str, &str)]) -> Answer {
    let mut params = Params::new();
    let length = body.len().to_string();
    for (name, value) in [("REQUEST_METHOD", method), ("QUERY_STRING", query), ("CONTENT_LENGTH", &length)] {
        params.push(name.as_bytes(), value.as_bytes());
    }
    for (name, value) in more {
        params.push(name.as_bytes(), value.as_bytes());
    }
    let document = String::from_utf8(exchange(params, &mut body.as_bytes(), app)).unwrap();
    let (head, body) = document.split_once("\r\n\r\n").unwrap();
    let status = head.lines().next().unwrap().replace("Status: ", "");
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

fn get(app: &dyn Application, query: &str) -> Answer {
    call(app, "GET", query, "", &[])
}

fn post(app: &dyn Application, query: &str, body: &str) -> Answer {
    call(app, "POST", query, body, &[])
}

fn query(token: &str, timestamp: &str, nonce: &str) -> String {
    format!("signature={}&timestamp={timestamp}&nonce={nonce}", sign([token, timestamp, nonce]))
}

fn now() -> String {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().to_string()
}

fn text_message(content: &str) -> String {
    format!(
        "<xml><ToUserName>gh_1</ToUserName><FromUserName>oUser</FromUserName><CreateTime>1</CreateTime>\
         <MsgType>text</MsgType><Content><![CDATA[{content}]]></Content><MsgId>1</MsgId></xml>"
    )
}

fn vector(text: &str, id: &str) -> Value {
    let all: Vec<Value> = serde_json::from_str(text).unwrap();
    all.into_iter().find(|vector| vector["id"] == id).unwrap()
}

/// Query and body of a vector in secure mode.
fn secure(vector: &Value) -> (String, String) {
    let text = |key: &str| vector[key].as_str().unwrap();
    let query = format!(
        "{}&encrypt_type=aes&msg_signature={}",
        query(text("token"), text("timestamp"), text("nonce")),
        text("msg_signature")
    );
    (
        query,
        format!("<xml><ToUserName>gh_1</ToUserName><Encrypt><![CDATA[{}]]></Encrypt></xml>", text("encrypt")),
    )
}

#[test]
fn the_official_sample_of_the_url_check_is_echoed_byte_for_byte() {
    let query = "signature=f464b24fc39322e44b38aa78f5edd27bd1441696&echostr=4375120948345356249\
                 &timestamp=1714036504&nonce=1514711492";
    let answer = get(&account("token = \"AAAAA\"", "clock_skew = \"off\""), query);
    assert_eq!((answer.status.as_str(), answer.body.as_str()), ("200 OK", "4375120948345356249"));
    assert!(answer.head.contains("Content-Type: text/plain"));
    let stale = get(&account("token = \"AAAAA\"", ""), query);
    assert_eq!((stale.status.as_str(), stale.body.as_str()), ("403 Forbidden", "forbidden\n"));
}

#[test]
fn an_echostr_is_decoded_once_and_otherwise_untouched() {
    let answer = get(
        &account("token = \"tok\"", ""),
        &format!("{}&echostr=a%2Bb+%3Cx%3E%0A", query("tok", &now(), "n")),
    );
    assert_eq!(answer.body, "a+b <x>\n");
    assert!(answer.head.contains("X-Content-Type-Options: nosniff"));
}

#[test]
fn what_is_not_signed_is_refused_before_anything_is_read() {
    let app = account("token = \"tok\"", "");
    let good = query("tok", &now(), "n");
    for bad in [
        String::new(),
        good.replace("signature=", "signature=0"),
        good.replace("nonce=n", "nonce=m"),
        good.replace("nonce=n", ""),
        good.replace("nonce=n", "nonce="),
        format!("{good}&nonce=n"),
        query("other", &now(), "n"),
        query("tok", "1700000000", "n"),
        query("tok", "99999999999", "n"),
        query("tok", "soon", "n"),
        query("tok", "", "n"),
        good.replace("nonce=n", "nonce=%ff"),
    ] {
        let echoed = get(&app, &format!("{bad}&echostr=x"));
        assert_eq!((echoed.status.as_str(), echoed.body.as_str()), ("403 Forbidden", "forbidden\n"), "{bad}");
        assert_eq!(post(&app, &bad, "not xml").status, "403 Forbidden", "{bad}");
    }
    assert_eq!(get(&app, &good).status, "200 OK");
}

#[test]
fn the_clock_may_differ_by_its_skew_and_no_more() {
    let app = account("token = \"tok\"", "clock_skew = \"1m\"");
    let seconds: i64 = now().parse().unwrap();
    for (offset, status) in [(-50, "200 OK"), (50, "200 OK"), (-70, "403 Forbidden"), (70, "403 Forbidden")] {
        assert_eq!(get(&app, &query("tok", &(seconds + offset).to_string(), "n")).status, status, "{offset}");
    }
}

#[test]
fn other_methods_and_paths_are_named_as_such() {
    let app = account("token = \"tok\"\npath = \"/weixin\"", "");
    let query = query("tok", &now(), "n");
    let status = |method: &str, more: &[(&str, &str)]| call(&app, method, &query, "", more).status;
    assert_eq!(status("GET", &[("SCRIPT_NAME", "/weixin")]), "200 OK");
    assert_eq!(status("GET", &[("SCRIPT_NAME", "/weixin/")]), "200 OK");
    assert_eq!(status("GET", &[("PATH_INFO", "/weixin")]), "200 OK");
    // Rewritten by the web server.
    assert_eq!(status("GET", &[("SCRIPT_NAME", "/wxcgi.cgi"), ("REQUEST_URI", "/weixin?x=1")]), "200 OK");
    assert_eq!(status("GET", &[("SCRIPT_NAME", "/weixin"), ("PATH_INFO", "/more")]), "404 Not Found");
    assert_eq!(status("GET", &[]), "404 Not Found");
    let put = call(&app, "PUT", &query, "", &[("SCRIPT_NAME", "/weixin")]);
    assert_eq!(put.status, "405 Method Not Allowed");
    assert!(put.head.contains("Allow: GET, POST"));
}

#[test]
fn a_text_is_answered_to_its_sender() {
    let app = account("token = \"tok\"", "");
    let answer = post(&app, &query("tok", &now(), "n"), &text_message("1 ]]]]><![CDATA[> 2"));
    assert_eq!(answer.status, "200 OK");
    assert!(answer.head.contains("Content-Type: application/xml"));
    assert!(answer.body.contains("<ToUserName><![CDATA[oUser]]></ToUserName>"), "{}", answer.body);
    assert!(answer.body.contains("<FromUserName><![CDATA[gh_1]]></FromUserName>"), "{}", answer.body);
    assert!(answer.body.contains("<![CDATA[收到：1 ]]]]><![CDATA[> 2]]>"), "{}", answer.body);
}

#[test]
fn a_rule_that_fails_says_its_words_for_it_or_nothing() {
    let endless = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
    let said = |more: &str| {
        let text = format!(
            "[account]\ntoken = \"tok\"\n[[rule]]\nwhen.type = \"text\"\nreply = \"{endless}\"\n{more}\n"
        );
        let (config, faults) = Config::parse(&text, Path::new("."), Thoroughness::Full);
        let app = Account::new(config.unwrap_or_else(|| panic!("{faults:?}")), Surroundings::default());
        post(&app, &query("tok", &now(), "n"), &text_message("x")).body
    };
    assert!(said("on_error = \"出了点问题：{{ message.content }}\"").contains("[出了点问题：x]"));
    assert_eq!(said(""), "success");
}

#[test]
fn what_no_rule_meets_is_acknowledged() {
    let app = account("token = \"tok\"", "");
    let query = query("tok", &now(), "n");
    for body in [
        text_message("x").replace(">text<", ">teleport<"),
        text_message("x")
            .replace(">text<", ">event<")
            .replace("<Content>", "<Event>new_thing</Event><Content>"),
        text_message("x").replace(">text<", ">image<"),
    ] {
        let answer = post(&app, &query, &body);
        assert_eq!((answer.status.as_str(), answer.body.as_str()), ("200 OK", "success"), "{body}");
    }
}

#[test]
fn what_is_no_message_is_a_bad_request() {
    let app = account("token = \"tok\"\noriginal_id = \"gh_1\"", "");
    let query = query("tok", &now(), "n");
    let doctype = format!("<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>{}", text_message("x"));
    for body in [
        "",
        "text",
        "<xml>",
        "<xml></xml>",
        "{\"a\":1}",
        &doctype,
        &text_message("x").replace("gh_1", "gh_2"),
    ] {
        let answer = post(&app, &query, body);
        assert_eq!(
            (answer.status.as_str(), answer.body.as_str()),
            ("400 Bad Request", "bad request\n"),
            "{body}"
        );
    }
}

#[test]
fn a_secure_message_is_opened_and_its_reply_sealed_with_the_key_that_opened_it() {
    let vector = vector(VECTORS, "V1");
    let (query, body) = secure(&vector);
    for (app, key) in [
        (keyed("MyToken123", "mode = \"secure\""), KEY),
        // During rotation: the vector's key is the previous one, and so is its token.
        (
            account(
                &format!(
                    "token = \"new\"\nprevious_token = \"MyToken123\"\napp_id = \"wx1234567890abcdef\"\n\
                     encoding_aes_key = \"{OTHER_KEY}\"\nprevious_encoding_aes_key = \"{KEY}\""
                ),
                "clock_skew = \"off\"",
            ),
            KEY,
        ),
    ] {
        let answer = post(&app, &query, &body);
        assert_eq!(answer.status, "200 OK");
        assert!(!answer.body.contains("收到"), "{}", answer.body);
        let outer = crate::wechat::xml::parse(answer.body.as_bytes()).unwrap();
        let text = |name| outer.child_text(name).unwrap();
        let signature = sign(["MyToken123", text("TimeStamp"), text("Nonce"), text("Encrypt")]);
        assert_eq!(text("MsgSignature"), signature);
        let key = crate::wechat::crypto::AesKey::parse(key).unwrap();
        let inner =
            crate::wechat::crypto::open_envelope(text("Encrypt"), &key, "wx1234567890abcdef").unwrap();
        assert!(inner.contains("<![CDATA[收到：你好，世界😀 a<b & c]]>"), "{inner}");
    }
}

#[test]
fn every_wrong_envelope_gets_the_same_answer() {
    for id in ["N1", "N2", "N3", "N4"] {
        let (query, body) = secure(&vector(NEGATIVE, id));
        let answer = post(&keyed("MyToken123", ""), &query, &body);
        assert_eq!(
            (answer.status.as_str(), answer.body.as_str()),
            ("400 Bad Request", "bad request\n"),
            "{id}"
        );
    }
    // A key that is not the sender's, and no key at all.
    let (query, body) = secure(&vector(VECTORS, "V1"));
    let wrong = account(
        &format!(
            "token = \"MyToken123\"\napp_id = \"wx1234567890abcdef\"\nencoding_aes_key = \"{OTHER_KEY}\""
        ),
        "clock_skew = \"off\"",
    );
    let none = account("token = \"MyToken123\"", "clock_skew = \"off\"");
    for app in [wrong, none] {
        let answer = post(&app, &query, &body);
        assert_eq!((answer.status.as_str(), answer.body.as_str()), ("400 Bad Request", "bad request\n"));
    }
    // The proof over the body is one more signature.
    let app = keyed("MyToken123", "");
    for bad in
        [query.replace("&msg_signature=a", "&msg_signature=b"), query.replace("&msg_signature=", "&x=")]
    {
        assert_eq!(post(&app, &bad, &body).status, "403 Forbidden");
    }
}

#[test]
fn a_mode_refuses_what_is_weaker() {
    let (sealed_query, sealed) = secure(&vector(VECTORS, "V1"));
    let open_query = query("MyToken123", "1700000000", "123456789");
    let open = text_message("x");
    let both = sealed.replace("<Encrypt>", "<MsgType>text</MsgType><Encrypt>");
    for (mode, statuses) in [
        ("any", ["200 OK", "200 OK", "200 OK"]),
        ("plaintext", ["200 OK", "200 OK", "200 OK"]),
        ("compatible", ["403 Forbidden", "200 OK", "200 OK"]),
        ("secure", ["403 Forbidden", "403 Forbidden", "200 OK"]),
    ] {
        let app = keyed("MyToken123", &format!("mode = \"{mode}\""));
        let found = [(&open_query, &open), (&sealed_query, &both), (&sealed_query, &sealed)]
            .map(|(query, body)| post(&app, query, body).status);
        assert_eq!(found, statuses, "{mode}");
    }
}

#[test]
fn a_compatible_message_without_a_key_is_read_from_its_open_fields() {
    let (query, sealed) = secure(&vector(VECTORS, "V1"));
    let encrypt = &sealed[sealed.find("<Encrypt>").unwrap()..sealed.len() - "</xml>".len()];
    let both = text_message("x").replace("</xml>", &format!("{encrypt}</xml>"));
    let app = account("token = \"MyToken123\"", "clock_skew = \"off\"");
    assert!(post(&app, &query, &both).body.contains("收到：x"));
    // With the key, what is signed is believed, and not what stands beside it.
    let answer = post(&keyed("MyToken123", ""), &query, &both);
    assert!(answer.body.contains("<Encrypt>"), "{}", answer.body);
}

#[test]
fn without_a_config_the_console_sees_it_and_no_user_does() {
    let get = get(&NoAccount, "");
    assert_eq!(get.status, "503 Service Unavailable");
    assert!(get.body.contains("no config"));
    let post = post(&NoAccount, "", "anything");
    assert_eq!((post.status.as_str(), post.body.as_str()), ("200 OK", "success"));
}

/// Writes a config that answers every text with `word`, and gives its path.
fn write_config(folder: &Path, name: &str, word: &str) -> PathBuf {
    let path = folder.join(name);
    // Beside its place and then there, as careful editors do; the new inode also makes it another file.
    let temporary = folder.join("new");
    std::fs::write(
        &temporary,
        format!("[account]\ntoken = \"tok\"\n[[rule]]\nwhen.type = \"text\"\nreply = \"{word}\"\n"),
    )
    .unwrap();
    std::fs::rename(&temporary, &path).unwrap();
    path
}

fn accounts(path: &Path, folder: Option<PathBuf>) -> Accounts {
    let origin = Origin::Named(path.to_owned());
    let opened = open_for_service(&origin, None, crate::config::load::Service::ManyRequests);
    Accounts::new(vec![(origin, opened)], folder, None)
}

/// The text that a message is answered with.
fn said(app: &dyn Application, more: &[(&str, &str)]) -> String {
    let answer = call(app, "POST", &query("tok", &now(), "n"), &text_message("x"), more);
    let root = crate::wechat::xml::parse(answer.body.as_bytes()).unwrap();
    root.child_text("Content").unwrap().to_owned()
}

#[test]
fn a_reload_takes_a_good_config_and_leaves_a_bad_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_config(folder.path(), "a.toml", "one");
    let accounts = accounts(&path, None);
    assert_eq!(said(&accounts, &[]), "one");
    write_config(folder.path(), "a.toml", "two");
    accounts.reload();
    assert_eq!(said(&accounts, &[]), "two");
    std::fs::write(&path, "[account]\ntoken = ").unwrap();
    accounts.reload();
    assert_eq!(said(&accounts, &[]), "two");
    std::fs::remove_file(&path).unwrap();
    accounts.reload();
    assert_eq!(said(&accounts, &[]), "two");
}

#[test]
fn a_config_that_changes_while_it_is_taken_is_taken_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_config(folder.path(), "a.toml", "one");
    let origin = Origin::Named(path);
    let opened = open_for_service(&origin, None, Service::ManyRequests);
    write_config(folder.path(), "a.toml", "other");
    let accounts = Accounts::new(vec![(origin, opened)], None, None);
    assert!(said(&accounts, &[]).contains("one"));
    let looked = Instant::now().checked_sub(LOOK_EVERY).unwrap();
    accounts.entries.borrow_mut()[0].looked = looked;
    assert!(said(&accounts, &[]).contains("other"));
}

#[test]
fn a_location_may_name_a_config_of_the_folder_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("sites");
    std::fs::create_dir(&inside).unwrap();
    let first = write_config(folder.path(), "first.toml", "first");
    let shop = write_config(&inside, "shop.toml", "shop");
    let outside = write_config(folder.path(), "outside.toml", "outside");
    let accounts = accounts(&first, Some(inside.clone()));
    let named = |path: &Path| [(CONFIG_VARIABLE, path.to_str().unwrap().to_owned())];
    let say = |path: &Path| {
        let named = named(path);
        said(&accounts, &[(named[0].0, &named[0].1)])
    };
    assert_eq!(say(&first), "first");
    assert_eq!(say(&shop), "shop");
    for foreign in [outside, inside.join("../outside.toml"), inside.join("none.toml")] {
        let named = named(&foreign);
        let answer = call(&accounts, "GET", &query("tok", &now(), "n"), "", &[(named[0].0, &named[0].1)]);
        assert_eq!(answer.status, "503 Service Unavailable", "{}", foreign.display());
    }
}

#[test]
fn the_log_is_told_of_on_the_page_of_the_first_account_only() {
    let folder = tempfile::tempdir().unwrap();
    let first = write_config(folder.path(), "first.toml", "first");
    let shop = write_config(folder.path(), "shop.toml", "shop");
    let accounts = accounts(&first, Some(folder.path().to_owned()));
    let about = |named: &[&Path]| {
        let mut params = Params::new();
        for path in named {
            params.push(CONFIG_VARIABLE.as_bytes(), path.as_os_str().as_bytes());
        }
        accounts.about(&accounts.of(&params).unwrap())
    };
    assert!(about(&[&shop]).log.is_none());
    assert!(about(&[&first]).log.is_some());
    assert!(about(&[]).log.is_some());
}
