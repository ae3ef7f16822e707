use proptest::prelude::*;
use serde_json::json;

use super::super::test::Run;
use super::*;
use crate::config::fault::Severity;
use crate::config::{Config, Thoroughness};

fn console(answers: &[Value]) -> Console {
    let mut console = Console::default();
    for answer in answers {
        console.read(answer).unwrap();
    }
    console
}

fn autoreply(rules: &Value) -> Value {
    json!({
        "is_add_friend_reply_open": 1, "is_autoreply_open": 1,
        "add_friend_autoreply_info": { "type": "text", "content": "hello" },
        "keyword_autoreply_info": { "list": rules },
    })
}

fn rule(keywords: &Value, replies: &Value, mode: &str) -> Value {
    json!({
        "rule_name": "r", "reply_mode": mode, "keyword_list_info": keywords, "reply_list_info": replies,
    })
}

fn written(answers: &[Value]) -> String {
    config::config(&console(answers), "mytoken", None)
}

#[test]
fn each_kind_of_reply_and_of_match_has_its_place() {
    let keyword = |mode: &str, word: &str| json!({ "type": "text", "match_mode": mode, "content": word });
    let said = |kind: &str, content: &str| json!({ "type": kind, "content": content });
    let text = written(&[autoreply(&json!([
        rule(
            &json!([keyword("equal", "a"), keyword("contain", "b")]),
            &json!([said("text", "x")]),
            "reply_all"
        ),
        rule(
            &json!([keyword("contain", "c")]),
            &json!([said("text", "y"), said("img", "i"), said("voice", "v"), said("video", "w")]),
            "random_one"
        ),
        rule(&json!([keyword("equal", "d")]), &json!([said("text", "y"), said("img", "i")]), "reply_all"),
        rule(&json!([keyword("equal", "e")]), &json!([]), "reply_all"),
    ]))]);
    let (_, rules) = text.split_once("[welcome]").unwrap();
    assert_eq!(
        rules,
        r#"
reply = "hello"

[[rule]]
name = "r"
when.contains = ["b"]
reply = "x"

[[rule]]
when.text = ["a"]
alias = "r"

[[rule]]
name = "r (2)"
when.contains = ["c"]
reply.random = [
    "y",
    { image = { media_id = "i" } },
    { voice = { media_id = "v" } },
    { video = { media_id = "w" } },
]

[[rule]]
name = "r (3)"
when.text = ["d"]
reply = [
    "y",
    { image = { media_id = "i" } },
]

[[rule]]
name = "r (4)"
when.text = ["e"]
reply.none = true
"#
    );
}

#[test]
fn names_that_are_taken_and_words_that_come_twice_are_made_one() {
    let keywords = |word: &str| json!([{ "match_mode": "equal", "content": word }, { "match_mode": "equal", "content": word }]);
    let named = |name: &str, word: &str| {
        let mut rule = rule(&keywords(word), &json!([{ "type": "text", "content": "x" }]), "reply_all");
        rule["rule_name"] = name.into();
        rule
    };
    let rules = json!([named("welcome", "a"), named("5", "b"), named("default", "c")]);
    let text = written(&[autoreply(&rules)]);
    for (name, word) in [("welcome (2)", "a"), ("5 (2)", "b"), ("default (2)", "c")] {
        let lines = format!("name = \"{name}\"\nwhen.text = [\"{word}\"]\n");
        assert!(text.contains(&lines), "no {lines} in {text}");
    }
    let (_, faults) = Config::parse(&text, Path::new("/nowhere"), Thoroughness::Full);
    assert_eq!(faults, []);
}

#[test]
fn what_is_switched_off_stays_so_and_what_is_lost_is_told() {
    let answer = json!({
        "is_add_friend_reply_open": 0, "is_autoreply_open": 0,
        "add_friend_autoreply_info": { "type": "text", "content": "hello" },
        "message_default_autoreply_info": { "type": "img", "content": "m" },
        "keyword_autoreply_info": { "list": [
            rule(&json!([{ "match_mode": "equal", "content": " " }]), &json!([]), "reply_all"),
            rule(&json!([{ "match_mode": "equal", "content": "a" }]), &json!([{ "type": "text", "content": "" }]), "x"),
        ] },
    });
    let console = console(&[answer]);
    let text = config::config(&console, "mytoken", Some("wx1"));
    assert!(text.contains("app_id = \"wx1\"\n"), "{text}");
    assert!(text.contains("[welcome]\nenabled = false\nreply = \"hello\"\n"), "{text}");
    assert!(
        text.contains(
            "[default]\nonce_every = \"1h\"\nenabled = false\nreply = { image = { media_id = \"m\" } }\n"
        ),
        "{text}"
    );
    assert_eq!(
        console.notes,
        [
            "automatic replies are switched off in the console; the rules for keywords are written as switched on",
            "rule \"r\": a keyword without a text",
            "rule \"r\": no keyword is left"
        ]
    );
    let last = console.answers.last().unwrap();
    assert_eq!(
        last.notes,
        ["how it replies, \"x\", is not known; all its replies are sent", "a reply (text) without a content"]
    );
    assert!(!config::tests(&console).contains("welcome"));
}

#[test]
fn buttons_that_no_menu_can_have_are_told() {
    let menu = json!({ "is_menu_open": 0, "selfmenu_info": { "button": [
        { "name": "a name of more bytes than sixteen", "type": "click", "key": "k" },
        { "name": "new", "type": "finder", "key": "k" },
        { "name": "bad", "type": "view", "url": "javascript:x" },
        { "name": "empty", "sub_button": { "list": [{ "name": "x", "type": "click", "key": "" }] } },
        { "name": "1", "type": "click", "key": "k" },
        { "name": "2", "type": "miniprogram", "url": "http://a.example", "appid": "wx1", "pagepath": "p" },
        { "name": "3", "type": "img", "value": "m" },
        { "name": "4", "type": "click", "key": "k" },
    ] } });
    let console = console(&[menu]);
    assert_eq!(console.menu.iter().map(|button| button.name.as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
    assert_eq!(
        console.notes,
        [
            "the menu is switched off in the console; `wxcgi menu push` would show it",
            "the button \"a name of more bytes than sixteen\": its name is empty or too long",
            "the button \"new\": no menu of the API has the type \"finder\"",
            "the button \"bad\": its `url` is none: \"javascript:x\"",
            "the button \"x\": its `key` is empty or longer than 128 bytes",
            "the button \"empty\": nothing below it is left",
            "the button \"4\": there are more than 3 beside it"
        ]
    );
}

#[test]
fn what_is_no_answer_of_wechat_is_refused() {
    let read = |answer: Value| Console::default().read(&answer).unwrap_err();
    assert_eq!(
        read(json!({ "errcode": 48001, "errmsg": "api unauthorized" })),
        "WeChat refused with 48001 `api unauthorized`"
    );
    assert!(read(json!({})).starts_with("it is no answer of get_current_autoreply_info"));
    assert!(read(json!([1])).starts_with("it is no answer"));
    let mut console = console(&[autoreply(&json!([]))]);
    assert_eq!(console.read(&autoreply(&json!([]))).unwrap_err(), "there are two sets of automatic replies");
}

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{{ openid }}".to_owned()),
        Just("{% raw %}".to_owned()),
        Just("{%- endraw -%}".to_owned()),
        Just("{#".to_owned()),
        Just("\"\"\"".to_owned()),
        Just("]]>".to_owned()),
        Just("<a href=\"https://a.example\">".to_owned()),
        "[a{}%#\"'\\\\\n\r\t \u{1}\u{2}天😀<>&=]{0,6}",
        any::<String>(),
    ];
    proptest::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn hostile_reply() -> impl Strategy<Value = Value> {
    let article = (hostile(), hostile(), hostile()).prop_map(|(title, digest, url)| {
        json!({ "title": title, "digest": digest, "cover_url": url, "content_url": url })
    });
    let articles = proptest::collection::vec(article, 0..3);
    ("text|img|voice|video|news|card", hostile(), articles).prop_map(|(kind, content, articles)| {
        json!({ "type": kind, "content": content, "value": content, "news_info": { "list": articles } })
    })
}

fn hostile_rule() -> impl Strategy<Value = Value> {
    let keyword = ("contain|equal|x", hostile())
        .prop_map(|(mode, word)| json!({ "type": "text", "match_mode": mode, "content": word }));
    let keywords = proptest::collection::vec(keyword, 0..4);
    let replies = proptest::collection::vec(hostile_reply(), 0..4);
    (hostile(), "reply_all|random_one|x", keywords, replies).prop_map(|(name, mode, keywords, replies)| {
        json!({ "rule_name": name, "reply_mode": mode, "keyword_list_info": keywords, "reply_list_info": replies })
    })
}

fn hostile_button() -> impl Strategy<Value = Value> {
    let leaf = (hostile(), "click|view|text|news|img|scancode_push", hostile(), hostile_reply()).prop_map(
        |(name, kind, key, reply)| {
            json!({ "name": name, "type": kind, "key": key, "url": format!("https://{key}"), "value": reply["value"],
                    "news_info": reply["news_info"] })
        },
    );
    (leaf, any::<bool>()).prop_map(|(leaf, opens)| {
        if opens {
            json!({ "name": leaf["name"], "sub_button": { "list": [leaf.clone(), leaf] } })
        } else {
            leaf
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever stands in the console's replies, the config is taken, and answers as the console did: no text of it
    /// becomes a key, a template or a comment's end.
    #[test]
    fn whatever_the_console_says_the_config_says_the_same(
        rules in proptest::collection::vec(hostile_rule(), 0..5),
        welcome in hostile_reply(), default in hostile_reply(),
        buttons in proptest::collection::vec(hostile_button(), 0..4),
    ) {
        let mut replies = autoreply(&rules.into());
        replies["add_friend_autoreply_info"] = welcome;
        replies["message_default_autoreply_info"] = default;
        let menu = json!({ "is_menu_open": 1, "selfmenu_info": { "button": buttons } });
        let console = console(&[replies, menu]);
        let text = config::config(&console, "mytoken", Some("wx1"));
        let (config, faults) = Config::parse(&text, ".".as_ref(), Thoroughness::Full);
        let wrong: Vec<_> = faults.iter().filter(|fault| fault.severity == Severity::Fault).collect();
        prop_assert!(config.is_some() && wrong.is_empty(), "{:?}\n{}", wrong, text);
        prop_assert_eq!(config.unwrap().menus.unwrap_or_default().default, &console.menu[..]);
        let folder = tempfile::tempdir().unwrap();
        let (path, tests) = (folder.path().join("wxcgi.toml"), folder.path().join("tests.toml"));
        fs::write(&path, &text).unwrap();
        fs::write(&tests, config::tests(&console)).unwrap();
        let run = Run::new(&path).unwrap_or_else(|failure| panic!("{failure:?}\n{text}"));
        for outcome in run.file(&tests, false).unwrap_or_else(|failure| panic!("{failure:?}")) {
            prop_assert!(outcome.passed, "{}\n{}", outcome.for_people(), text);
        }
    }
}
