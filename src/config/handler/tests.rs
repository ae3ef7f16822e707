use std::path::Path;
use std::time::Duration;

use super::super::fault::{Fault, PlacedFault};
use super::super::{Config, Thoroughness};
use crate::rules::{Action, Handler, Handling, Output, Rules};

/// A config with one rule, whose other lines these are.
fn parse(lines: &str) -> (Option<Config>, Vec<Fault>, String) {
    let text = format!("[account]\ntoken = \"mytoken\"\n[[rule]]\nwhen.prefix = \"查\"\n{lines}\n");
    let (config, faults) = Config::parse(&text, Path::new("/nowhere"), Thoroughness::Full);
    (config, faults, text)
}

fn handling(lines: &str) -> Handling {
    let (config, faults, _) = parse(lines);
    assert!(faults.is_empty(), "{faults:#?}");
    match &config.unwrap().rules.iter().next().expect("a rule").then {
        Action::Handler(handling) => (**handling).clone(),
        other => panic!("{other:?}"),
    }
}

/// `line:column message; hint; cure` of each fault and warning.
fn told(lines: &str) -> Vec<String> {
    let (_, faults, text) = parse(lines);
    PlacedFault::all("f", &text, &faults).iter().map(PlacedFault::one_line).collect()
}

#[test]
fn every_key_of_a_program_is_read() {
    let Handling { handler: Handler::Exec(exec), timeout, .. } = handling(
        "exec = [\"python3\", \"bot.py\"]\ntimeout = \"5s\"\noutput = \"json\"\nfolder = \"/\"\nenv = [\"HOME\"]\n\
         set = { KEY = \"hunter2\", PATH = { env = \"PATH\" } }\nmax_output = \"2KiB\"\nconcurrency = 3",
    ) else {
        panic!()
    };
    assert_eq!(
        (exec.command.as_slice(), timeout),
        (&["python3".into(), "bot.py".into()][..], Duration::from_secs(5))
    );
    assert_eq!((exec.output, exec.max_output, exec.concurrency), (Output::Json, 2048, Some(3)));
    assert_eq!((exec.folder.as_deref(), exec.env), (Some(Path::new("/")), vec!["HOME".to_owned()]));
    assert_eq!(format!("{:?}", exec.set), "[(\"KEY\", ***), (\"PATH\", Env(\"PATH\"))]");
}

#[test]
fn every_key_of_a_server_is_read() {
    let Handler::Http(http) = handling("http = \"https://bot.example/\"").handler else { panic!() };
    assert_eq!((http.url.as_str(), http.max_output, http.cache), ("https://bot.example/", 1 << 20, None));
    let lines = "[rule.http]\nurl = \"http://127.0.0.1:1/\"\nsecret = \"hunter2\"\nheaders = { X-Bot = \"1\" }\n\
                 max_output = \"1KiB\"\ncache = \"10m\"\ncache_key = \"{{ rest }}\"";
    let Handler::Http(http) = handling(lines).handler else { panic!() };
    assert!(!format!("{http:?}").contains("hunter2"));
    assert_eq!((http.headers.len(), http.max_output), (1, 1024));
    let cache = http.cache.unwrap();
    assert_eq!((cache.life, cache.key.unwrap().source()), (Duration::from_secs(600), "{{ rest }}"));
}

#[test]
fn one_back_end_or_several_are_read() {
    let Handler::Relay(one) = handling("relay = { url = \"https://a.example/\", token = \"t\" }").handler
    else {
        panic!()
    };
    assert!(one.len() == 1 && one[0].secure.is_none() && one[0].timeout == Duration::from_secs(5));
    let lines = "[[rule.relay]]\nurl = \"https://a.example/\"\ntoken = \"t\"\ntimeout = \"1s\"\n\
                 [[rule.relay]]\nurl = \"https://b.example/\"\ntoken = { env = \"PATH\" }\napp_id = \"wx1\"\n\
                 encoding_aes_key = \"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG\"";
    let Handler::Relay(two) = handling(lines).handler else { panic!() };
    assert_eq!(two[0].timeout, Duration::from_secs(1));
    assert_eq!(two[1].secure.as_ref().unwrap().app_id, "wx1");
}

#[test]
fn what_cannot_work_is_a_fault_with_its_place() {
    let cases = [
        ("exec = [\"\"]", "5:8 `exec` names no program"),
        ("exec = \"a\"\nreply = \"b\"", "6:9 this rule has a handler and `reply`"),
        ("exec = \"a\"\nhttp = \"https://b/\"", "6:8 this rule has two handlers"),
        ("exec = \"a\"\noutput = \"xml\"", "6:10 `xml` is no output; there are text, json"),
        ("exec = \"a\"\nenv = [\"HTTP_PROXY\"]", "6:8 `HTTP_PROXY` would be a header of the request"),
        ("exec = \"a\"\nenv = [\"A=b\"]", "6:8 `A=b` is no name of a variable"),
        ("exec = \"a\"\nset = { \"A=b\" = \"c\" }", "6:9 `A=b` cannot be the name of a variable"),
        (
            "exec = \"a\"\nset = { A = { env = \"A\", file = \"b\" } }",
            "6:13 `A` wants either `env` or `file`",
        ),
        (
            "exec = \"a\"\nset = { A = { env = \"WXCGI_NONE\" } }",
            "6:13 the environment variable `WXCGI_NONE` is not set",
        ),
        ("exec = \"a\"\nset = { A = { file = \"none\" } }", "6:13 cannot read the secret in `/nowhere/none`"),
        ("exec = \"a\"\nfolder = \"none\"", "6:10 there is no folder `none`"),
        ("exec = \"./a\"", "5:8 there is no program `/nowhere/./a`"),
        ("exec = \"a\"\nconcurrency = 0", "6:1 `concurrency` is a number of programs"),
        ("exec = \"a\"\nmax_output = \"1GiB\"", "6:14 `1GiB` is not within 1 byte and 16MiB"),
        (
            "reply = \"a\"\noutput = \"json\"",
            "6:1 `output` without a handler that has it; it belongs to exec",
        ),
        ("http = \"https://a/\"\nconcurrency = 1", "6:1 `concurrency` without a handler that has it"),
        ("http = \"bot.example\"", "5:8 this is no whole address"),
        ("http = \"ftp://bot.example/\"", "5:8 this is neither https:// nor http://"),
        ("http = \"https://me:pw@bot.example/\"", "5:8 a password in an address is not sent"),
        ("http = \"http://bot.example/\"", "5:8 what users write goes there unencrypted"),
        ("http = {}", "5:8 missing http key `url`"),
        ("http = { url = \"https://a/\", cache_key = \"x\" }", "5:30 `cache_key` without `cache`"),
        (
            "http = { url = \"https://a/\", cache = \"1m\", cache_key = \"{{ rules_help }}\" }",
            "5:56 `cache_key` cannot speak of `rules_help`",
        ),
        (
            "http = { url = \"https://a/\", headers = { host = \"b\" } }",
            "5:42 `host` cannot be the name of a header",
        ),
        (
            "http = { url = \"https://a/\", headers = { X = \"a\\nb\" } }",
            "5:40 the header `X` has a character that none may have",
        ),
        ("http = { url = \"https://a/\", sercet = \"b\" }", "5:30 unknown http key `sercet`"),
        ("relay = []", "5:9 expected { url = "),
        ("relay = { url = \"https://a/\" }", "5:9 missing key of a back-end `token`"),
        (
            "relay = { url = \"https://a/\", token = \"t\", app_id = \"wx1\" }",
            "5:9 `encoding_aes_key` and `app_id` belong together",
        ),
        (
            "relay = { url = \"https://a/\", token = \"t\", app_id = \"wx1\", encoding_aes_key = \"x\" }",
            "5:79 ",
        ),
        ("reply = \"a\"\nwhen.exec = [\"\"]", "6:13 `exec` names no program"),
        (
            "reply = \"a\"\nwhen.exec = { timeout = \"1s\" }",
            "6:13 missing key of a guarding program `command`",
        ),
        ("reply = \"a\"\nwhen.http = \"a\"", "6:13 this is no whole address"),
        ("reply = \"a\"\nwhen.http = { url = \"https://a/\", timeout = \"2h\" }", "6:45 `2h` is too much"),
    ];
    let wrong = cases.iter().filter_map(|(lines, expected)| {
        let told = told(lines);
        let (place, expected) = expected.split_once(' ').unwrap();
        let is_so = |told: &str| told.starts_with(&format!("f:{place}: ")) && told.contains(expected);
        (told.len() != 1 || !is_so(&told[0])).then(|| format!("{lines}: {told:#?}"))
    });
    assert_eq!(wrong.collect::<Vec<_>>().join("\n"), "");
}

#[test]
fn secrets_are_kept_as_they_were_written_and_looked_up_when_used() {
    let lines = "exec = \"a\"\nset = { KEY = { env = \"PATH\" } }";
    let (config, _, _) = parse(lines);
    let bytes = config.unwrap().rules.to_bytes().unwrap();
    let path = std::env::var("PATH").unwrap();
    assert!(!bytes.windows(path.len()).any(|part| part == path.as_bytes()));
    let rules = Rules::from_bytes(bytes, 0).unwrap();
    let Action::Handler(handling) = &rules.iter().next().unwrap().then else { panic!() };
    assert!(format!("{handling:?}").contains("Env(\"PATH\")"));
}

#[test]
fn guards_are_asked_last() {
    let lines = "when.exec = \"a\"\nwhen.http = { url = \"https://b/\", timeout = \"1s\" }\nreply = \"c\"\n\
                 once_every = \"1h\"\nwhen.session.x = \"y\"\nsession.x = \"z\"";
    let (config, faults, _) = parse(lines);
    assert!(faults.is_empty(), "{faults:#?}");
    let rule = config.unwrap().rules.iter().next().unwrap();
    let order = format!("{:?}", rule.when);
    let place = |test: &str| order.find(test).unwrap_or_else(|| panic!("{test}: {order}"));
    assert!(place("Prefix") < place("Session") && place("Session") < place("OnceEvery"));
    assert!(place("OnceEvery") < place("Exec(") && place("Exec(") < place("Http("));
}

#[test]
fn what_a_handler_may_set_is_not_missed() {
    let lines = "exec = \"a\"\noutput = \"json\"\n[[rule]]\nwhen.session.x = \"y\"\nreply = \"b\"";
    assert_eq!(told(lines), [] as [String; 0]);
}
