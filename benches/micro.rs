//! Where the time of one message goes: `cargo bench`, or `cargo bench -- matching` for some.
//!
//! Each benchmark is one step of a text message in the order in which they come; `whole_*` is all of them, from the
//! request to the response. `config` is paid when it has changed.

use std::fmt::Write;
use std::io::{Read, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use divan::{Bencher, black_box};
use wxcgi::account::{Account, Surroundings};
use wxcgi::api::{Api, ApiSettings, Credentials};
use wxcgi::clock::unix_seconds;
use wxcgi::config::load::{Service, open_for_service};
use wxcgi::config::places::Origin;
use wxcgi::config::{Config, Thoroughness};
use wxcgi::gateway::call;
use wxcgi::http::{Params, Request};
use wxcgi::rules::{Captures, Circumstance, NoLibrary, Rules, Scope, Session, Tables, Template};
use wxcgi::secret::Secret;
use wxcgi::store::redis::{Address, Redis};
use wxcgi::store::sqlite::{Journal, Sqlite};
use wxcgi::store::{Holder, Store};
use wxcgi::wechat::crypto::{AesKey, open_envelope, seal_envelope};
use wxcgi::wechat::envelope::envelope_xml;
use wxcgi::wechat::message::Message;
use wxcgi::wechat::reply::Reply;
use wxcgi::wechat::signature::{sign, verify_signature};
use wxcgi::wechat::xml;

const TOKEN: &str = "benchtoken";
const APP_ID: &str = "wx0123456789abcdef";
const AES_KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFE";
const USER: &str = "oABCD1234567890abcdefghijkl";
const ACCOUNT: &str = "gh_0123456789ab";
const NONCE: &str = "987654321";
/// An answer that takes this long would be a fault.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() {
    divan::main();
}

// --- The steps -----------------------------------------------------------------------------------------------------

#[divan::bench]
fn signature(bencher: Bencher) {
    let signature = sign([TOKEN, "1700000000", NONCE]);
    bencher.bench(|| verify_signature(black_box(TOKEN), "1700000000", NONCE, &signature));
}

#[divan::bench]
fn decrypt(bencher: Bencher) {
    let (key, sealed) = (key(), sealed("ping"));
    bencher.bench(|| open_envelope(black_box(&sealed), &key, APP_ID));
}

#[divan::bench]
fn parse(bencher: Bencher) {
    let body = message("ping");
    bencher.bench(|| {
        let document = xml::parse(black_box(body.as_bytes())).expect("XML");
        Message::from_xml(&document).expect("a message").msg_id
    });
}

/// How many rules there are, and what is said to them.
const CASES: [(usize, &str); 5] = [
    (20, "word9"),
    (20, "nobody waits for this"),
    (1000, "word1"),
    (1000, "查北京天气100"),
    (1000, "nobody waits for this"),
];

/// As in FastCGI: the regular expressions have been compiled.
#[divan::bench(args = CASES)]
fn matching(bencher: Bencher, (count, content): (usize, &str)) {
    let (rules, body) = (rules(count), message(content));
    let document = xml::parse(body.as_bytes()).expect("XML");
    let message = Message::from_xml(&document).expect("a message");
    let now = SystemTime::now();
    let _ = rules.find(&message, &Circumstance::at(now)).next();
    bencher.bench(|| black_box(&rules).find(&message, &Circumstance::at(now)).next().is_some());
}

/// As in CGI: the first message that these rules see.
#[divan::bench(args = CASES, sample_size = 1)]
fn matching_first(bencher: Bencher, (count, content): (usize, &str)) {
    let body = message(content);
    let document = xml::parse(body.as_bytes()).expect("XML");
    let message = Message::from_xml(&document).expect("a message");
    let now = SystemTime::now();
    bencher
        .with_inputs(|| rules(count))
        .bench_refs(|rules| rules.find(&message, &Circumstance::at(now)).next().is_some());
}

/// How many rules wait for a word each: in turn the whole text, a part, a beginning, an end.
const WORDS: [usize; 3] = [10, 1000, 10_000];

#[divan::bench(args = WORDS)]
fn word_met(bencher: Bencher, count: usize) {
    find(bencher, &word_rules(count), &asking(count));
}

#[divan::bench(args = WORDS)]
fn word_met_by_none(bencher: Bencher, count: usize) {
    find(bencher, &word_rules(count), "没有人在等这一句话吧");
}

/// As many words in one rule.
#[divan::bench(args = WORDS)]
fn word_of_one_list_met(bencher: Bencher, count: usize) {
    find(bencher, &word_list(count), &asking(count));
}

#[divan::bench(args = WORDS)]
fn word_of_one_list_met_by_none(bencher: Bencher, count: usize) {
    find(bencher, &word_list(count), "word of none 没有人在等这一句话吧");
}

/// How many rules wait for a regular expression each.
const REGEXES: [usize; 2] = [100, 1000];

#[divan::bench(args = REGEXES)]
fn regex_met(bencher: Bencher, count: usize) {
    find(bencher, &regex_rules(count), &format!("查北京天气{}", count / 10));
}

#[divan::bench(args = REGEXES)]
fn regex_met_by_none(bencher: Bencher, count: usize) {
    find(bencher, &regex_rules(count), "没有人在等这一句话吧");
}

/// Expressions without any letters that a text must have to be met: each is tried.
#[divan::bench(args = REGEXES)]
fn regex_without_letters_met_by_none(bencher: Bencher, count: usize) {
    find(bencher, &letterless_rules(count), "没有人在等 这一句话吧 12");
}

/// What one of the last rules that wait for a part of a text meets.
fn asking(count: usize) -> String {
    format!("我想问word{}.的事", count - count % 4 - 3)
}

fn find(bencher: Bencher, config: &str, content: &str) {
    let (rules, body) = (parsed(config).rules, message(content));
    let document = xml::parse(body.as_bytes()).expect("XML");
    let message = Message::from_xml(&document).expect("a message");
    let now = SystemTime::now();
    let _ = rules.find(&message, &Circumstance::at(now)).next();
    bencher.bench(|| black_box(&rules).find(&message, &Circumstance::at(now)).next().is_some());
}

/// What a CGI process does with rules: it reads the compiled ones and finds the one that meets.
#[divan::bench(args = WORDS)]
fn word_met_under_cgi(bencher: Bencher, count: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, state) = (folder.path().join("wxcgi.toml"), folder.path().join("state"));
    std::fs::write(&path, word_rules(count)).expect("our folder");
    let origin = Origin::Named(path);
    let load = || open_for_service(&origin, Some(&state), Service::OneRequest).1.expect("a config");
    load().to_compile.expect("it is new").run();
    assert!(load().to_compile.is_none(), "it was compiled");
    let body = message(&asking(count));
    let document = xml::parse(body.as_bytes()).expect("XML");
    let message = Message::from_xml(&document).expect("a message");
    let now = SystemTime::now();
    bencher.bench(|| assert!(load().config.rules.find(&message, &Circumstance::at(now)).next().is_some()));
}

#[divan::bench(args = ["北京天气挺好的！", "{{ message.content }}", "{{ message.content | upper }}"])]
fn template(bencher: Bencher, source: &str) {
    let (template, body) = (Template::new(source.to_owned()), message("ping"));
    let document = xml::parse(body.as_bytes()).expect("XML");
    let message = Message::from_xml(&document).expect("a message");
    let (captures, now) = (Captures::default(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    let (rules, tables, session) = (Rules::default(), Tables::default(), Session::new());
    let scope = Scope {
        message: &message,
        captures: &captures,
        app_id: Some(APP_ID),
        rule: None,
        rules: &rules,
        tables: &tables,
        session: &session,
        now,
        media: &NoLibrary,
    };
    bencher.bench(|| template.render_text(black_box(&scope)).map(|text| text.len()));
}

#[divan::bench]
fn reply() -> String {
    Reply::text(black_box("pong")).to_xml(USER, ACCOUNT, 1_700_000_000)
}

#[divan::bench]
fn seal(bencher: Bencher) {
    let (key, reply) = (key(), Reply::text("pong").to_xml(USER, ACCOUNT, 1_700_000_000));
    bencher.bench(|| {
        let encrypt = seal_envelope(black_box(&reply), &key, APP_ID, [7; 16]);
        envelope_xml(&encrypt, TOKEN, 1_700_000_000, NONCE)
    });
}

// --- What processes share ------------------------------------------------------------------------------------------

/// The access_token in a process that lives on: FastCGI.
#[divan::bench]
fn access_token_in_memory(bencher: Bencher) {
    let folder = tempfile::tempdir().expect("a folder");
    let api = api_with_access_token(folder.path());
    bencher.bench(|| api.access_token().expect("an access_token"));
}

/// The same in a process that was just started: it opens the store.
#[divan::bench]
fn access_token_from_store(bencher: Bencher) {
    let folder = tempfile::tempdir().expect("a folder");
    api_with_access_token(folder.path()).access_token().expect("an access_token");
    bencher
        .bench(|| api(folder.path(), "http://127.0.0.1:1".into()).access_token().expect("an access_token"));
}

fn api(folder: &Path, base_url: String) -> Api {
    let store: Arc<dyn Store> =
        Arc::new(Sqlite::new(folder.join("state.db"), Journal::default(), PATIENCE, APP_ID));
    let credentials = Credentials { app_id: Some(APP_ID.into()), app_secret: Some(Secret::new(TOKEN)) };
    Api::new(ApiSettings { base_url, ..ApiSettings::default() }, credentials, &store)
}

/// An API that has fetched an access_token, from a server that answers once.
fn api_with_access_token(folder: &Path) -> Api {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let api = api(folder, format!("http://{}", listener.local_addr().expect("an address")));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().expect("a call");
            let body = format!("{{\"access_token\":\"{}\",\"expires_in\":7200}}", "x".repeat(160));
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}", body.len());
            write!(stream, "{head}\r\n\r\n{body}").expect("a caller");
            // To its end: a connection that is closed with something unread in it loses the answer.
            stream.read_to_end(&mut Vec::new()).expect("a request");
        });
        api.access_token().expect("an access_token");
    });
    api
}

// --- What CGI does beforehand, and all together ----------------------------------------------------------------------

/// A config whose bytes were checked before.
#[divan::bench(args = [20, 1000])]
fn config(bencher: Bencher, count: usize) {
    let text = config_text(count);
    bencher.bench(|| Config::parse(black_box(&text), Path::new("/"), Thoroughness::CheckedBefore));
}

#[divan::bench]
fn whole_plain(bencher: Bencher) {
    let account = Account::new(read(20), Surroundings::default());
    let request = request("", message("word9"));
    assert!(call(&account, &request, PATIENCE).body.starts_with(b"<xml><ToUserName>"));
    bencher.bench(|| call(&account, black_box(&request), PATIENCE).body.len());
}

#[divan::bench]
fn whole_secure(bencher: Bencher) {
    let account = Account::new(read(20), Surroundings::default());
    let encrypt = sealed("word9");
    let body = format!(
        "<xml><ToUserName><![CDATA[{ACCOUNT}]]></ToUserName><Encrypt><![CDATA[{encrypt}]]></Encrypt></xml>"
    );
    let request = request(&encrypt, body);
    assert!(call(&account, &request, PATIENCE).body.starts_with(b"<xml><Encrypt>"));
    bencher.bench(|| call(&account, black_box(&request), PATIENCE).body.len());
}

// --- What processes share ------------------------------------------------------------------------------------------

/// How long what is kept there lives.
const LIFE: Duration = Duration::from_secs(600);

fn store(folder: &tempfile::TempDir) -> Sqlite {
    Sqlite::new(folder.path().join("a.db"), Journal::Wal, PATIENCE, "wx1")
}

/// A process opens the file that others have open, and reads one value.
#[divan::bench]
fn store_open_and_get(bencher: Bencher) {
    let folder = tempfile::tempdir().expect("a folder");
    let others = store(&folder);
    others.put("access_token", &[b'x'; 140], LIFE).expect("room");
    bencher.bench_local(|| store(black_box(&folder)).get("access_token"));
}

#[divan::bench]
fn store_get(bencher: Bencher) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(&folder);
    store.put("access_token", &[b'x'; 140], LIFE).expect("room");
    bencher.bench_local(|| store.get(black_box("access_token")));
}

/// A message that is claimed and answered.
#[divan::bench]
fn store_claim_and_finish(bencher: Bencher) {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut message) = (store(&folder), 0_u64);
    bencher.bench_local(|| claim_and_finish(&store, &mut message));
}

/// The same in the Redis that this variable names.
#[divan::bench]
fn store_claim_and_finish_in_redis(bencher: Bencher) {
    let Ok(url) = std::env::var("WXCGI_BENCH_REDIS") else { return };
    let address = Address::parse(&Secret::new(url), None).expect("a URL");
    let (store, mut message) = (Redis::new(address, PATIENCE, "wxcgi-bench", "wx1"), 0_u64);
    bencher.bench_local(|| claim_and_finish(&store, &mut message));
}

fn claim_and_finish(store: &dyn Store, message: &mut u64) {
    *message += 1;
    let (name, holder) = (format!("{} {message}", std::process::id()), Holder([7; 16]));
    store.claim(&name, holder, LIFE, LIFE).expect("a claim");
    store.finish(&name, holder, "北京天气挺好的！".as_bytes(), LIFE).expect("an answer");
}

// --- What they work on -----------------------------------------------------------------------------------------------

fn message(content: &str) -> String {
    format!(
        "<xml><ToUserName><![CDATA[{ACCOUNT}]]></ToUserName><FromUserName><![CDATA[{USER}]]></FromUserName>\
         <CreateTime>1700000000</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[{content}]]></Content>\
         <MsgId>1234567890123456</MsgId></xml>"
    )
}

fn key() -> AesKey {
    AesKey::parse(AES_KEY).expect("a key")
}

fn sealed(content: &str) -> String {
    seal_envelope(&message(content), &key(), APP_ID, [7; 16])
}

/// Every tenth rule is a regular expression, one of four shapes in turn; the others are words.
fn config_text(count: usize) -> String {
    let mut text =
        format!("[account]\ntoken = \"{TOKEN}\"\napp_id = \"{APP_ID}\"\nencoding_aes_key = \"{AES_KEY}\"\n");
    for number in 1..=count {
        let tenth = number / 10;
        let condition = match (number % 10, tenth % 4) {
            (0, 0) => format!(r"regex = '^查(?<city>\S+)天气{tenth}$'"),
            (0, 1) => format!(r"regex = '(?i)\border\s*{tenth}\b'"),
            (0, 2) => format!(r"regex = '^(快递|物流){tenth}\s*(?<code>\d{{6,12}})$'"),
            (0, _) => format!(r"regex = '(优惠|折扣).*{tenth}号'"),
            _ => format!("text = \"word{number}\""),
        };
        let _ = write!(
            text,
            "[[rule]]\nname = \"rule {number}\"\nwhen.{condition}\nreply = \"answer {number}\"\n"
        );
    }
    text
}

fn word_rules(count: usize) -> String {
    let rule = |number: usize| {
        let key = ["text", "contains", "prefix", "suffix"][number % 4];
        format!("[[rule]]\nwhen.{key} = \"word{number}.\"\nreply = \"answer {number}\"\n")
    };
    format!("[account]\ntoken = \"{TOKEN}\"\n{}", (0..count).map(rule).collect::<String>())
}

/// The words that [`word_rules`] has for parts of texts, in one rule.
fn word_list(count: usize) -> String {
    let words: Vec<_> = (0..count).map(|number| format!("word{number}.")).collect();
    format!("[account]\ntoken = \"{TOKEN}\"\n[[rule]]\nwhen.contains = {words:?}\nreply = \"answer\"\n")
}

/// Rules for more and more digits.
fn letterless_rules(count: usize) -> String {
    let rule = |number: usize| {
        let before = ["^", "^[a-z]+", r"^\S+\s+", ""][number % 4];
        let digits = number + 3;
        format!("[[rule]]\nwhen.regex = '{before}[0-9]{{{digits}}}$'\nreply = \"answer {number}\"\n")
    };
    format!("[account]\ntoken = \"{TOKEN}\"\n{}", (0..count).map(rule).collect::<String>())
}

/// All rules of [`config_text`] that are regular expressions.
fn regex_rules(count: usize) -> String {
    let text = config_text(10 * count);
    let (account, rules) = text.split_once("[[rule]]").expect("rules");
    let rules = rules.split("[[rule]]").filter(|rule| rule.contains("when.regex"));
    rules.fold(account.to_owned(), |text, rule| text + "[[rule]]" + rule)
}

fn read(count: usize) -> Config {
    parsed(&config_text(count))
}

fn parsed(text: &str) -> Config {
    let (config, faults) = Config::parse(text, Path::new("/"), Thoroughness::CheckedBefore);
    assert!(faults.is_empty(), "{faults:?}");
    config.expect("a config without faults")
}

fn rules(count: usize) -> Rules {
    read(count).rules
}

/// A POST of now; `encrypt` is what the body holds in secure mode.
fn request(encrypt: &str, body: String) -> Request {
    let timestamp = unix_seconds(SystemTime::now()).to_string();
    let mut query =
        format!("signature={}&timestamp={timestamp}&nonce={NONCE}", sign([TOKEN, &timestamp, NONCE]));
    if !encrypt.is_empty() {
        let msg_signature = sign([TOKEN, &timestamp, NONCE, encrypt]);
        let _ = write!(query, "&encrypt_type=aes&msg_signature={msg_signature}");
    }
    let mut params = Params::new();
    params.push(b"REQUEST_METHOD", b"POST");
    params.push(b"QUERY_STRING", query.as_bytes());
    Request::new(params, body.into_bytes())
}
