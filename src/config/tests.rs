use std::path::Path;
use std::time::Duration;

use super::fault::{PlacedFault, Severity};
use super::*;
use crate::rules::Role;

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
    assert_eq!(config.rules.iter().filter(|rule| !rule.is_fallback()).count(), 4);
    assert!(config.rules.iter().any(|rule| rule.role == Role::Default));
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
            "8:9 expected a text, a table or a list of them, found integer",
            "10:16 bad regular expression: unclosed group",
            "11:13 the template names `nobody`, which there is not",
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
    let order: Vec<_> =
        rules.iter().map(|rule| (rule.name.as_deref(), rule.role.clone(), rule.line)).collect();
    assert_eq!(
        order,
        [("b", 2, 8), ("a", 1, 3), ("c", 3, 13)].map(|(name, number, line)| (
            Some(name),
            Role::Rule(number),
            line
        ))
    );
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

/// What `check` says of a rule with these lines; the rule begins in line 3.
fn told(lines: &str) -> Vec<String> {
    faults_of(&with_rule(&format!("reply = \"r\"\n{lines}")))
}

#[test]
fn every_condition_is_read() {
    let text = "[account]\ntoken = \"mytoken\"\nadmin = [\"oAdmin\"]\ntime_zone = \"+09:00\"\nfold = \"script\"\n\
        [[rule]]\nreply = \"{{ rest }}{{ n }}{{ city }}\"\n[rule.when]\ntext = \"ＯＫ！\"\ncontains = [\"a\", \"b\"]\n\
        prefix = \"p\"\nsuffix = \"s\"\nall_of = [\"x\"]\nnone_of = \"y\"\nregex = '(?<city>.)'\nkey_regex = '(?<n>\\d)'\n\
        type = \"text\"\nevent = \"CLICK\"\nkey = \"qrscene_7\"\n\
        field = { Label = \"l\", \"SendLocationInfo/Scale\" = { min = 1, max = 2.5, equals = [\"2\"], regex = \"2\" } }\n\
        near = { latitude = 23, longitude = 113.3, radius = \"1km\" }\nfrom = [\"admin\", \"oOther\"]\n\
        not_from = \"oBad\"\nshare = \"0.5%\"\nhours = \"9:00-18:00\"\nweekdays = \"mon-fri\"\n\
        dates = [\"10-01..10-07\", \"2026-12-24\"]\n";
    let rule = good(text).rules.iter().next().unwrap();
    let shown = format!("{:?}", rule.when);
    for part in [
        "fold: Script",
        "Text([\"ok\"])",
        "Contains([\"a\", \"b\"])",
        "Prefix([\"p\"])",
        "Suffix([\"s\"])",
        "AllOf([\"x\"])",
        "NoneOf([\"y\"])",
        "Regex([Pattern(\"(?<city>.)\", Script)])",
        "KeyRegex([Pattern(\"(?<n>\\\\d)\", Off)])",
        "Type([\"text\"])",
        "Event([\"CLICK\"])",
        "Key([\"7\"])",
        "path: \"Label\", equals: [\"l\"]",
        "equals: [\"2\"], regex: [Pattern(\"2\", Off)], min: Some(1.0), max: Some(2.5)",
        "latitude: 23.0, longitude: 113.3, radius: 1000.0",
        "From([\"oAdmin\", \"oOther\"])",
        "NotFrom([\"oBad\"])",
        "Share(50)",
        "name: \"+09:00\"",
        "from: 540, to: 1080",
        "Yearly(1001, 1007), Once(20261224, 20261224)",
    ] {
        assert!(shown.contains(part), "no `{part}` in {shown}");
    }
}

#[test]
fn conditions_that_cannot_be_are_faults_at_their_place() {
    for (lines, fault) in [
        ("when.fold = true", "5:1 this condition is empty"),
        ("when.text = []", "5:13 `text` is an empty list"),
        ("when.fold = \"yes\"\nwhen.text = \"x\"", "5:13 expected true, false or \"script\", found string"),
        ("when.from = \"admin\"", "5:13 the account has no `admin`"),
        (
            "when.hours = \"9-18\"",
            "5:14 `hours`: `9-18` is no span of hours; write one like \"9:00-18:00\" or \"22:00-6:00\"",
        ),
        (
            "when.weekdays = [\"mon\", \"someday\"]",
            "5:25 `weekdays`: `someday` is no weekday; write one like \"mon\", \"mon-fri\" or \"周六\"",
        ),
        (
            "when.dates = \"02-30\"",
            "5:14 `dates`: `02-30` is no day; write one like \"2026-10-01\", \"12-25\" or \"10-01..10-07\"",
        ),
        ("when.share = \"0%\"", "5:14 `share`: `0%` is no share; write one like \"10%\" or \"0.5%\""),
        ("when.field = {}", "5:14 `field` names none"),
        ("when.field.X = {}", "5:16 nothing is wanted of the field `X`"),
        ("when.field.X = { min = 2, max = 1 }", "5:16 no number is at least `min` and at most `max`"),
        ("when.field.X = { regex = '(' }", "5:27 bad regular expression: unclosed group"),
        ("when.key_regex = '('", "5:19 bad regular expression: unclosed group"),
        ("when.near = { latitude = 1, longitude = 2 }", "5:13 missing key of a place `radius`"),
        (
            "when.near = { latitude = 91, longitude = 2, radius = \"1m\" }",
            "5:15 `latitude` is a number of degrees, -90 to 90",
        ),
        (
            "when.text = \"x\"\nvalid_until = \"2026-02-30\"",
            "6:15 `valid_until`: `2026-02-30` is no date or time; write one like \"2026-12-31\" or \"2026-12-31 18:00\"",
        ),
        (
            "when.text = \"x\"\nvalid_from = 2027-01-01\nvalid_until = 2026-01-01",
            "7:1 it ends before it begins",
        ),
        ("when.text = \"x\"\nflow = \"on\"", "6:8 `flow`: `on` is no way to go on; there are stop, next"),
        ("when.text = \"x\"\nalias = \"y\"", "6:9 this rule has a reply of its own and an `alias`"),
    ] {
        assert_eq!(told(lines), [fault], "{lines}");
    }
    for (line, fault) in [
        (
            "time_zone = \"Mars\"",
            "3:13 `time_zone`: `Mars` is no time zone; write one like \"Asia/Shanghai\", \"UTC\" or \"+08:00\"",
        ),
        ("fold = 1", "3:8 expected true, false or \"script\", found integer"),
    ] {
        assert_eq!(faults_of(&format!("[account]\ntoken = \"mytoken\"\n{line}")), [fault]);
    }
}

#[test]
fn a_rule_that_is_past_is_a_warning() {
    let told = |lines: &str| faults_of(&with_rule(&format!("when.text = \"x\"\nreply = \"y\"\n{lines}")));
    let past = "6:1 this rule is past: nothing meets it any more";
    for (lines, faults) in [
        ("valid_until = 2020-01-01", &[past] as &[_]),
        ("valid_until = \"1969-12-31 18:00\"", &[past]),
        ("valid_until = 2999-01-01", &[]),
        ("valid_from = 2020-01-01", &[]),
        ("valid_until = 2020-01-01\nenabled = false", &[]),
    ] {
        assert_eq!(told(lines), faults, "{lines}");
        let text = with_rule(&format!("when.text = \"x\"\nreply = \"y\"\n{lines}"));
        assert!(parse(&text).0.is_some(), "only a warning: {lines}");
    }
}

/// A config with these tables, and the labels of its rules in the order in which they are tried.
fn labels(tables: &str) -> Vec<String> {
    let config = good(&format!("[account]\ntoken = \"mytoken\"\n{tables}"));
    config.rules.iter().map(|rule| rule.label()).collect()
}

#[test]
fn what_no_rule_is_for_comes_last_and_the_most_special_first() {
    let reply = "reply = \"r\"\n";
    let tables = format!(
        "[default]\n{reply}[welcome]\n{reply}[default.image]\n{reply}[unfollow]\nreply.none = true\n\
         [[rule]]\nname = \"late\"\npriority = -9\ntake_over = true\n{reply}\
         [[rule]]\nenabled = false\nwhen.text = \"x\"\n{reply}"
    );
    let expected = [
        "rule 1 `late` (line 11)",
        "the welcome (line 5)",
        "the rule for who leaves (line 9)",
        "the default for image (line 7)",
        "the default (line 3)",
    ];
    assert_eq!(labels(&tables), expected);
    // A default for one type does not ask for one for all.
    assert_eq!(labels("[default.voice]\nreply = \"r\"\n"), ["the default for voice (line 3)"]);
    assert_eq!(
        faults_of("[account]\ntoken = \"mytoken\"\n[default]\nname = \"x\""),
        ["3:1 missing default key `reply`"]
    );
}

#[test]
fn an_alias_is_another_way_to_a_reply() {
    let rule =
        |name: &str, more: &str| format!("[[rule]]\nname = \"{name}\"\nwhen.text = \"{name}\"\n{more}\n");
    let text = |rules: &[String]| format!("[account]\ntoken = \"mytoken\"\n{}", rules.concat());
    let config = good(&text(&[
        rule("a", "alias = \"b\""),
        rule("b", "alias = \"c\"\non_error = \"b failed\""),
        rule("c", "reply = \"from c\"\non_error = \"c failed\"\nenabled = false"),
    ]));
    let shown: Vec<_> =
        config.rules.iter().map(|rule| format!("{:?} {:?}", rule.then, rule.on_error)).collect();
    assert_eq!(shown.len(), 2);
    assert!(shown.iter().all(|rule| rule.contains("from c")), "{shown:?}");
    assert!(shown[0].contains("c failed") && shown[1].contains("b failed"), "{shown:?}");
    for (rules, fault) in [
        (
            vec![rule("weather", "alias = \"wether\""), rule("b", "reply = \"r\"")],
            "6:9 no rule is called `wether`",
        ),
        (
            vec![rule("a", "alias = \"b\""), rule("b", "alias = \"a\"")],
            "6:9 `b` leads round in a circle, 10:9 `a` leads round in a circle",
        ),
        (vec![rule("a", "alias = \"a\"")], "6:9 `a` leads round in a circle"),
        (
            vec![rule("a", "alias = \"b\""), rule("b", "reply = \"r\""), rule("b", "reply = \"r\"")],
            "6:9 several rules are called `b`",
        ),
    ] {
        assert_eq!(faults_of(&text(&rules)).join(", "), fault);
    }
}

#[test]
fn rules_that_others_hide_are_warned_of_with_both_places() {
    let text = with_rule(
        "when.contains = \"天气\"\nreply = \"r\"\n[[rule]]\nname = \"late\"\nwhen.text = [\"天气！\", \"雨\"]\nreply = \"r\"\n\
         [[rule]]\nwhen.prefix = \"查天气\"\nreply = \"{{ rest }}\"",
    );
    let (config, faults) = parse(&text);
    assert!(config.is_some() && faults.iter().all(|fault| fault.severity == Severity::Warning), "{faults:?}");
    let expected = [
        "6:1 `天气` already meets rule 1 (line 3)",
        "10:1 this rule is never reached: rule 1 (line 3) meets all that it waits for",
    ];
    assert_eq!(faults_of(&text), expected);
}

#[test]
fn blocked_words_say_where_they_are_looked_for() {
    let told = |lines: &str| faults_of(&format!("[account]\ntoken = \"mytoken\"\n[[blocked]]\n{lines}"));
    assert!(told("words = [\"a\"]\nin = \"refuse\"\nout = \"mask\"\nreply = \"no\"").is_empty());
    assert_eq!(told("words = [\"a\"]"), ["3:1 these words are looked for nowhere"]);
    assert_eq!(told("in = \"mask\""), ["3:1 missing key of blocked words `words`"]);
    assert_eq!(told("words = [\"a\", \" \"]\nin = \"mask\""), ["4:15 an empty word stands in every text"]);
    assert_eq!(told("words = [\"a\"]\nin = \"refuse\""), ["3:1 what is refused needs a `reply`"]);
    assert_eq!(
        told("words = [\"a\"]\nin = \"hide\""),
        ["5:6 `in`: `hide` is no measure; there are refuse, mask, ignore"]
    );
}

/// A config that includes `rules/*.toml` and `more.toml`, beside these files.
fn including(files: &[(&str, &str)]) -> (tempfile::TempDir, Option<Config>, Vec<String>) {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("rules")).unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let text = "include = [\"rules/*.toml\", \"more.toml\"]\n[account]\ntoken = \"mytoken\"\n[[rule]]\nwhen.text = \"own\"\n\
        reply = \"r\"\n[default]\nreply = \"d\"\n";
    let (config, faults) = Config::parse(text, folder.path(), Thoroughness::Full);
    let told = PlacedFault::all("f", text, &faults);
    let inside = format!("{}/", folder.path().display());
    let told = told.iter().map(|fault| fault.one_line().replace(&inside, "")).collect();
    (folder, config, told)
}

#[test]
fn included_files_come_in_the_order_of_their_names() {
    let rule = |word: &str| format!("[[rule]]\nwhen.text = \"{word}\"\nreply = \"r\"\n");
    let blocked = format!("[[blocked]]\nwords = [\"w\"]\nout = \"mask\"\n{}", rule("z"));
    let (folder, config, told) = including(&[
        ("rules/b.toml", &rule("b")),
        ("rules/a.toml", &format!("{}{}", rule("a"), rule("a2"))),
        ("rules/.hidden.toml", "broken"),
        ("rules/c.txt", "broken"),
        ("more.toml", &blocked),
    ]);
    assert_eq!(told, [""; 0]);
    let config = config.unwrap();
    let labels: Vec<_> = config.rules.iter().map(|rule| rule.label()).collect();
    let expected = [
        "rule 1 (line 4)",
        "rule 2 (rules/a.toml, line 1)",
        "rule 3 (rules/a.toml, line 4)",
        "rule 4 (rules/b.toml, line 1)",
        "rule 5 (more.toml, line 4)",
        "the default (line 7)",
    ];
    assert_eq!(labels, expected);
    assert_eq!(config.rules.blocked().len(), 1);
    let seen: Vec<_> = config.further_files().into_iter().map(|(path, _)| path).collect();
    assert_eq!(
        seen,
        ["rules", "rules/a.toml", "rules/b.toml", "more.toml"].map(|name| folder.path().join(name))
    );
}

#[test]
fn a_fault_of_an_included_file_names_that_file() {
    let (_folder, config, told) = including(&[
        ("rules/a.toml", "[[rule]]\nwhen.txt = \"a\"\nreply = \"r\"\n"),
        (
            "rules/b.toml",
            "[[rule]]\nwhen.text = \"own\"\nreply = \"{{ nobody }}\"\n[account]\ntoken = \"geheim\"\n[default]\nreply = 1\n",
        ),
        ("rules/c.toml", "[[rule]\nwhen.text = \"a\"\n[[rule]]\nwhen.text = 7\nreply = \"r\"\n"),
        ("rules/d.toml", ""),
    ]);
    assert!(config.is_none());
    let starts = [
        "f:1:28: `more.toml`: cannot read",
        "rules/a.toml:2:6: unknown condition `txt`; did you mean `text`?",
        "rules/b.toml:3:13: the template names `nobody`",
        "rules/b.toml:4:2: unknown table of an included file `account`",
        "rules/b.toml:6:2: unknown table of an included file `default`",
        "rules/c.toml:1:",
        "rules/c.toml:4:13: expected a text or a list of texts",
    ];
    assert_eq!(told.len(), starts.len(), "{told:#?}");
    for (told, start) in told.iter().zip(starts) {
        let told = told.replace("cannot read the included `more.toml`", "`more.toml`: cannot read");
        assert!(told.starts_with(start), "{told}");
    }
    assert!(!told.join("").contains("geheim"));
}

#[test]
fn an_include_that_finds_nothing_is_told() {
    let told =
        |pattern: &str| faults_of(&format!("include = \"{pattern}\"\n[account]\ntoken = \"mytoken\"\n"));
    assert!(told("rules/*.toml")[0].starts_with("1:11 `rules/*.toml`: cannot read the folder"));
    assert!(told("missing.toml")[0].starts_with("1:11 cannot read the included `/nowhere/missing.toml`"));
    assert_eq!(told("rules/"), ["1:11 `rules/`: it names a folder; write for example \"rules/*.toml\""]);
    assert_eq!(
        told("*/a.toml"),
        ["1:11 `*/a.toml`: `*` stands for a part of a file's name, not of a folder's"]
    );
    let (_folder, config, told) = including(&[("more.toml", "")]);
    assert!(config.is_some());
    assert_eq!(told, ["f:1:12: warning: `rules/*.toml` names no file; paths start from the config's folder"]);
}
