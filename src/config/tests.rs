use std::path::Path;
use std::time::Duration;

use super::fault::{PlacedFault, Severity};
use super::*;

const KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";

fn parse(text: &str) -> (Option<Config>, Vec<Fault>) {
    Config::parse(text, Path::new("/nowhere"), Thoroughness::Full)
}

fn good(text: &str) -> Config {
    let (config, faults) = parse(text);
    config.unwrap_or_else(|| panic!("{faults:#?}"))
}

/// `line:column message` of each fault.
fn faults_of(text: &str) -> Vec<String> {
    let place = |fault: &Fault| PlacedFault::new("f", text, fault);
    let faults = parse(text).1;
    faults
        .iter()
        .map(place)
        .map(|it| format!("{}:{} {}", it.line.unwrap_or(0), it.column.unwrap_or(0), it.message))
        .collect()
}

/// A config with one rule whose lines these are.
fn with_rule(lines: &str) -> String {
    format!("[account]\ntoken = \"mytoken\"\n[[rule]]\n{lines}\n")
}

#[test]
fn the_sample_checks_and_says_what_it_does() {
    let config = good(SAMPLE);
    assert_eq!(config.rules.iter().count(), 4);
    assert!(config.rules.default_rule().is_some());
    assert!(parse(SAMPLE).1.is_empty());
}

#[test]
fn what_is_left_out_has_the_documented_default() {
    let config = good("[account]\ntoken = \"mytoken\"");
    assert_eq!(config.server.max_body, 262_144);
    assert_eq!(config.server.deadline, Duration::from_millis(4500));
    assert_eq!(config.server.clock_skew, Some(Duration::from_secs(600)));
    assert_eq!(config.log, LogSettings { file: None, level: LevelFilter::Info, personal_data: false });
    assert_eq!(config.account.mode, AcceptedMode::Any);
    assert!(!config.account.verified);
}

#[test]
fn every_key_is_read() {
    let config = good(&format!(
        "[account]\ntoken = \"now\"\nprevious_token = \"before\"\napp_id = \"wx1\"\napp_secret = \"s\"\n\
         encoding_aes_key = \"{KEY}\"\nprevious_encoding_aes_key = \"{KEY}\"\nmode = \"secure\"\n\
         original_id = \"gh_1\"\nverified = true\npath = \"/weixin/\"\n[server]\nmax_body = \"1MiB\"\n\
         deadline = \"3s\"\nclock_skew = \"off\"\n[log]\nfile = \"a.log\"\nlevel = \"debug\"\nmax_size = \"1KiB\"\n\
         keep = 3\npersonal_data = true\n"
    ));
    assert_eq!(config.account.path.as_deref(), Some("/weixin"));
    assert_eq!(config.account.mode, AcceptedMode::Secure);
    assert_eq!(
        config.account.previous_token.map(|token| token.expose().to_owned()).as_deref(),
        Some("before")
    );
    assert_eq!(config.server.clock_skew, None);
    let file = RotatingFile { path: "/nowhere/a.log".into(), max_size: 1024, keep: 3 };
    assert_eq!(config.log.file, Some(file));
    assert!(config.log.personal_data && config.account.verified);
}

#[test]
fn all_faults_are_told_at_once_each_with_its_place() {
    let text = "[account]\ntokn = \"x\"\nmode = \"safe\"\n[server]\nmax_body = 5\n[[rule]]\nwhen = { txt = \"你好\" }\n\
                reply = 7\n[[rule]]\nwhen.regex = 'a(b'\nreply = \"{{ nobody }}\"\n[extra]\n";
    assert_eq!(
        faults_of(text),
        [
            "1:1 missing account key `token`",
            "2:1 unknown account key `tokn`",
            "3:8 `mode`: no mode `safe`; there are any, plaintext, compatible, secure",
            "5:12 expected a text in quotes, found integer",
            "7:10 unknown condition `txt`",
            "8:9 expected a text or a table, found integer",
            "10:16 bad regular expression: unclosed group",
            "11:9 the template names `nobody`, which there is not",
            "12:2 unknown table `extra`",
        ]
    );
}

#[test]
fn faults_of_the_language_itself_are_all_told() {
    let text =
        "[account]\ntoken = mytoken\n[[rule]]\nwhen.txt = \"a\"\nreply = \"open\n[log]\nlevel = \"loud\"\n";
    let places: Vec<_> =
        faults_of(text).iter().filter_map(|it| Some(it.split_once(' ')?.0.to_owned())).collect();
    // The string without its quotes, the unknown condition, the open string, the level; nothing that recovery made up.
    assert_eq!(places, ["2:9", "4:6", "5:14", "7:9"], "{:?}", faults_of(text));
}

#[test]
fn a_line_that_is_no_toml_does_not_hide_the_faults_below_it() {
    for (text, expected) in [
        (
            "[account]\ntoken = \"mytoken\"\nbad line\n[[rule]]\nwhen.txt=\"a\"\nreply=1\n[log]\nlevl=\"x\"",
            &["3:", "5:6 unknown condition `txt`", "6:7 expected a text", "8:1 unknown log key `levl`"][..],
        ),
        // The keys below a broken header are not held against the table before.
        (
            "[account]\ntoken = \"mytoken\"\n[[rule]\nwhen.text = \"a\"\nreply = \"b\"\n[log]\nlevl = \"x\"",
            &["3:", "7:1 unknown log key `levl`"],
        ),
        ("[account\ntoken = \"mytoken\"\n", &["1:9 unclosed table, expected `]`"]),
        ("[account]\ntoken = \"mytoken\"\n[[rule]]\nwhen.text = \nreply = \"b\"", &["4:"]),
    ] {
        let faults = faults_of(text);
        assert_eq!(faults.len(), expected.len(), "{faults:#?}");
        assert!(faults.iter().zip(expected).all(|(found, start)| found.starts_with(start)), "{faults:#?}");
    }
}

/// The lines of the faults of a config whose first three lines are good and begin a rule.
fn lines_of_faults(rest: &str) -> Vec<usize> {
    let text = format!("[account]\ntoken = \"mytoken\"\n[[rule]]\n{rest}");
    parse(&text).1.iter().filter_map(|fault| PlacedFault::new("f", &text, fault).line).collect()
}

#[test]
fn what_was_mended_is_not_held_against_its_neighbours() {
    for (rest, lines) in [
        // A bad line within a value of several lines.
        ("when.text = \"\"\"\n\\q\n\"\"\"\nreply = \"x\"\n[default]\nrepl = \"x\"", &[5, 9][..]),
        (
            "when.text = \"a\"\nreply.news = [\n { title = \"a\", url = b },\n]\n[default]\nrepl = \"x\"",
            &[6, 9],
        ),
        ("when.text = [bad,\n\"b\",\n\"c\"\n]\nreply = 1", &[4, 8]),
        ("when.text = [\n\"b\"\n] more\nreply = 1", &[6, 7]),
        // A header that is none, or stands there twice.
        (
            "when.text = \"a\"\nreply = \"x\"\n【rule】\nwhen.text = \"b\"\nreply = 1\n[log]\nlevl = 1",
            &[6, 10],
        ),
        ("when.text = \"a\"\nreply = \"x\"\n[account]\ntoken = \"b\"\n[log]\nlevl = 1", &[6, 9]),
        ("when.text = \"a\"\nreply = \"x\"\n[lo=g]\nlevl = 1\n[log]\nlevl = 1", &[6, 9]),
        ("when.text = \"a\"\nreply = \"x\"\n[log] file = \"a\"\nlevl = 1\n[log]\nlevl = 1", &[6, 9]),
        // What was blanked is not missing.
        ("reply = \"x\"\n[rule.when]\ntext = b\n", &[6]),
    ] {
        assert_eq!(lines_of_faults(rest), lines, "{rest}");
    }
}

#[test]
fn what_is_never_closed_is_shown_where_it_opens_and_the_rest_is_judged() {
    for (rest, lines) in [
        ("when.text = \"\"\"天气\nreply = 1\n[default]\nrepl = \"x\"", &[4, 5, 7][..]),
        ("when.text = '''\n天气\n[log]\nlevl = \"x\"", &[4, 7]),
        ("when.text = [\"a\", \"b\"\nreply = 1\n[log]\nlevl = 1", &[4, 5, 7]),
        ("when.text = [\n\"a\",\n[log]\nlevl = 1", &[4, 7]),
        ("when.text = \"a\"\nreply = { text = \"b\"\n[log]\nlevl = 1", &[5, 7]),
        ("when.text = \"a\"\nreply = \"x\"\n[log]\nlevl = [\n1,\n2\n", &[7]),
    ] {
        assert_eq!(lines_of_faults(rest), lines, "{rest}");
    }
}

#[test]
fn a_key_of_too_many_parts_is_shown_once() {
    assert_eq!(lines_of_faults(&format!("{}a = 1\nreply = 1", "a.".repeat(50_000))), [4, 5]);
    assert_eq!(lines_of_faults(&format!("reply = \"x\"\n[{}a]\n", "a.".repeat(50_000))), [5]);
}

#[test]
fn no_more_faults_are_told_than_a_person_reads() {
    let many = |line: &str| format!("[account]\ntoken = \"mytoken\"\n{}", line.repeat(5000));
    let rules = many("[[rule]]\nwhen.txt = \"a\"\nreply = \"x\"\n");
    assert_eq!(faults_of(&rules).len(), 101);
    assert_eq!(faults_of(&rules)[100], "0:0 faults not shown here: 4900");
    // Warnings take no room from the fault that refuses the config.
    let warned = many("[[rule]]\nwhen.type = \"imgae\"\nreply = \"x\"\n");
    assert!(parse(&warned).0.is_some());
    assert!(parse(&format!("{warned}[extra]\n")).0.is_none());
    let broken = many("[[rule]]\nwhen.text = bad\n");
    let faults = parse(&broken).1;
    assert!(faults.len() <= 101, "{}", faults.len());
    assert!(faults.last().unwrap().cure.as_deref().unwrap().contains("not looked at"));
}

#[test]
fn a_huge_config_is_parsed_again_only_within_its_budget() {
    let text = with_rule(&"k = bad\n".repeat(200_000));
    let faults = parse(&text).1;
    assert!((1..=5).contains(&faults.len()), "{}", faults.len());
}

#[test]
fn a_warning_does_not_refuse_a_config() {
    let text = with_rule("when.type = \"imgae\"\nreply = \"x\"");
    let (config, faults) = parse(&text);
    assert!(config.is_some());
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].severity, Severity::Warning);
    assert_eq!(faults[0].hint.as_deref(), Some("did you mean `image`?"));
}

#[test]
fn a_reply_has_exactly_one_kind() {
    for (reply, fault) in [
        ("reply = {}", "this reply has no kind"),
        ("reply = { text = \"a\", none = true }", "this reply has several kinds"),
        ("reply = { image = { fil = \"cat.jpg\" } }", "unknown image key `fil`"),
        ("reply = { news = [] }", "`news` has no article"),
        ("reply = { none = false }", "`none` can only be true; leave it out"),
        ("reply = { music = {} }", "missing music key `thumb_media_id`"),
        ("reply = { transfer = \"a@b\" }", "expected true or { kf_account = \"…\" }, found string"),
        ("", "missing rule key `reply`"),
    ] {
        let faults = faults_of(&with_rule(&format!("when.text = \"a\"\n{reply}")));
        assert!(faults.iter().any(|it| it.ends_with(fault)), "{reply}: {faults:?}");
    }
}

#[test]
fn every_kind_of_reply_is_read() {
    for reply in [
        "reply = \"text\"",
        "reply.text = \"text\"",
        "reply.image = { media_id = \"m\" }",
        "reply.voice = { media_id = \"{{ message.media_id }}\" }",
        "reply.video = { media_id = \"m\", title = \"t\", description = \"d\" }",
        "reply.music = { thumb_media_id = \"m\", music_url = \"u\", hq_music_url = \"h\", title = \"t\" }",
        "reply.news = [{ title = \"t\", url = \"u\" }, { title = \"t\", url = \"u\", pic_url = \"p\", description = \"d\" }]",
        "reply.transfer = true",
        "reply.transfer = { kf_account = \"test1@test\" }",
        "reply.transfer_ai = true",
        "reply.none = true",
    ] {
        good(&with_rule(&format!("when.text = \"a\"\n{reply}")));
    }
}

#[test]
fn secure_mode_wants_its_key_and_the_app_id() {
    let account = |more: &str| format!("[account]\ntoken = \"mytoken\"\n{more}");
    assert_eq!(faults_of(&account("mode = \"secure\"")), ["3:1 this mode needs `encoding_aes_key`"]);
    let text = account(&format!("encoding_aes_key = \"{KEY}\""));
    assert_eq!(faults_of(&text), ["3:1 encryption needs `app_id` as well"]);
    let text = account("app_id = \"wx1\"\nencoding_aes_key = \"short\"");
    assert!(faults_of(&text)[0].starts_with("4:20 `encoding_aes_key`"), "{:?}", faults_of(&text));
}

#[test]
fn a_secret_comes_from_the_file_the_environment_or_a_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token.txt"), "fromfile\n").unwrap();
    let token = |source: &str| {
        let text = format!("[account]\ntoken = {source}\n");
        let (config, faults) = Config::parse(&text, folder.path(), Thoroughness::Full);
        config.map(|config| config.account.token.expose().to_owned()).ok_or(faults)
    };
    assert_eq!(token("\"literal\"").unwrap(), "literal");
    assert_eq!(token("{ file = \"token.txt\" }").unwrap(), "fromfile");
    // Some variable that every test process has.
    assert_eq!(token("{ env = \"CARGO_PKG_NAME\" }").unwrap(), "wxcgi");
    for (source, cause) in [
        ("{ file = \"none.txt\" }", "cannot read the secret"),
        ("{ env = \"WXCGI_NOT_SET\" }", "the environment variable `WXCGI_NOT_SET` is not set"),
        ("{ file = \"a\", env = \"b\" }", "wants either `env` or `file`"),
        ("{ fil = \"a\" }", "wants either `env` or `file`"),
        ("7", "expected a text"),
    ] {
        let faults = token(source).unwrap_err();
        assert!(faults.iter().any(|fault| fault.message.contains(cause)), "{source}: {faults:?}");
    }
}

#[test]
fn no_fault_shows_a_secret() {
    let text =
        "[account]\ntoken = \"令牌hidden\"\napp_id = \"wx1\"\nencoding_aes_key = \"tooshorthidden\"\nx = 1\n";
    for fault in parse(text).1 {
        let line = PlacedFault::new("f", text, &fault).one_line();
        assert!(!line.contains("hidden"), "{line}");
    }
}

#[test]
fn rules_stand_in_the_order_of_priority_then_of_the_file() {
    let rule = |name: &str, more: &str| {
        format!("[[rule]]\nname = \"{name}\"\nwhen.text = \"x\"\nreply = \"r\"\n{more}\n")
    };
    let text = format!(
        "[account]\ntoken = \"mytoken\"\n{}{}{}",
        rule("a", ""),
        rule("b", "priority = 5"),
        rule("c", "")
    );
    let config = good(&text);
    let rules: Vec<_> = config.rules.iter().collect();
    let order: Vec<_> = rules.iter().map(|rule| (rule.name.as_deref(), rule.number, rule.line)).collect();
    assert_eq!(order, [(Some("b"), 2, 8), (Some("a"), 1, 3), (Some("c"), 3, 13)]);
}

#[test]
fn a_checked_config_is_read_without_compiling_anything() {
    let text = with_rule("when.regex = 'a(b'\nreply = \"x\"");
    assert!(Config::parse(&text, Path::new("."), Thoroughness::CheckedBefore).0.is_some());
}

#[test]
fn a_log_file_has_a_name() {
    for path in ["", ".", "..", "logs/", "/"] {
        let faults = faults_of(&format!("[account]\ntoken = \"mytoken\"\n[log]\nfile = \"{path}\""));
        assert_eq!(faults, [format!("4:8 `file`: `{path}` names no file")]);
    }
}
