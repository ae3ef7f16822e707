use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;
use crate::wechat::xml;

const NOW: Circumstance = Circumstance { now: UNIX_EPOCH, past: None, outside: None };

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn rule(number: usize, when: Condition) -> Rule {
    Rule {
        name: None,
        role: Role::Rule(number),
        file: None,
        line: number,
        when,
        then: Action::None,
        help: None,
        on_error: None,
        sequel: crate::rules::Sequel::default(),
        flow: Flow::Stop,
        alias: None,
    }
}

fn folded(tests: Vec<Test>) -> Condition {
    Condition::new(Fold::On, tests)
}

fn stored(rules: &Rules) -> Rules {
    Rules::from_bytes(rules.to_bytes().unwrap(), 0).unwrap()
}

fn text(content: &str) -> String {
    format!("<MsgType>text</MsgType><Content><![CDATA[{content}]]></Content><MsgId>1</MsgId>")
}

/// What `then` makes of a message with these fields.
fn with_message<T>(fields: &str, then: impl FnOnce(&Message<'_>) -> T) -> T {
    let document = format!(
        "<xml><ToUserName>g</ToUserName><FromUserName>oUser</FromUserName><CreateTime>1</CreateTime>{fields}</xml>"
    );
    let root = xml::parse(document.as_bytes()).unwrap();
    then(&Message::from_xml(&root).unwrap())
}

type Met = Vec<(usize, Vec<(String, String)>)>;

fn number_of(rule: &Rule) -> usize {
    if let Role::Rule(number) = rule.role { number } else { 0 }
}

/// The numbers of the rules that meet a message with these fields; 0 is one for what no other is for.
fn met(rules: &Rules, fields: &str, circumstance: &Circumstance) -> Met {
    with_message(fields, |message| {
        let found = rules.find(message, circumstance);
        let owned = |captures: Captures<'_>| {
            captures.iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
        };
        found.map(|found| (number_of(&found.rule), owned(found.captures))).collect()
    })
}

/// The same as it is explained, and the word of each rule.
fn explained(rules: &Rules, fields: &str, circumstance: &Circumstance) -> (Met, Vec<&'static str>) {
    with_message(fields, |message| {
        let (mut met, mut words) = (Vec::new(), Vec::new());
        for tried in rules.explain(message, circumstance) {
            let holds = tried.asked.iter().map(|asked| asked.holds);
            words.push(match &tried.verdict {
                Verdict::Meets(captures) => {
                    assert!(holds.clone().all(|holds| holds), "{tried:?}");
                    met.push((number_of(&tried.rule), captures.clone()));
                    "meets"
                }
                Verdict::Misses => {
                    let broken = holds.clone().position(|holds| !holds);
                    assert_eq!(broken, holds.len().checked_sub(1), "{tried:?}");
                    "misses"
                }
                Verdict::NotTried => "not tried",
                Verdict::Disabled => "disabled",
            });
        }
        (met, words)
    })
}

#[test]
fn a_rule_stops_or_lets_those_behind_it_come() {
    let mut rules: Vec<_> = ["a", "ab", "b", "c"]
        .iter()
        .zip(1..)
        .map(|(&word, number)| rule(number, folded(vec![Test::Contains(words(&[word]))])))
        .collect();
    rules[0].flow = Flow::Next;
    let fallback = folded(vec![Test::Sent]);
    rules.push(Rule { role: Role::Default, flow: Flow::Stop, ..rule(0, fallback) });
    let ready = Rules::new(rules);
    for rules in [stored(&ready), ready] {
        let numbers = |content: &str| -> Vec<usize> {
            met(&rules, &text(content), &NOW).into_iter().map(|(number, _)| number).collect()
        };
        assert_eq!(numbers("abc"), [1, 2]);
        assert_eq!(numbers("a"), [1, 0]);
        assert_eq!(numbers("bc"), [3]);
        assert_eq!(numbers("x"), [0]);
        assert!(met(&rules, "<MsgType>event</MsgType><Event>CLICK</Event>", &NOW).is_empty());
    }
}

#[test]
fn what_became_of_each_rule_is_told_in_their_order() {
    let on = |number, word: &str| rule(number, folded(vec![Test::Contains(words(&[word]))]));
    let rules = Rules::new(vec![on(2, "x"), Rule { flow: Flow::Next, ..on(3, "a") }, on(5, "a"), on(6, "b")]);
    let rules = rules.with_disabled(vec![(0, on(1, "a")), (2, on(4, "a")), (4, on(7, "a"))]);
    let (met, words) = explained(&rules, &text("ab"), &NOW);
    assert_eq!(met.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [3, 5]);
    assert_eq!(words, ["disabled", "misses", "meets", "disabled", "meets", "not tried", "disabled"]);
}

#[test]
fn names_say_what_a_rule_is_and_where() {
    let named = |role, file: Option<&str>| Rule {
        name: Some("n".to_owned()),
        role,
        file: file.map(str::to_owned),
        line: 7,
        ..rule(1, Condition::default())
    };
    assert_eq!(named(Role::Rule(3), None).label(), "rule 3 `n` (line 7)");
    assert_eq!(
        named(Role::DefaultOf("image".to_owned()), None).label(),
        "the default for image `n` (line 7)"
    );
    assert_eq!(rule(2, Condition::default()).label(), "rule 2 (line 2)");
    assert_eq!(named(Role::Rule(3), Some("r/a.toml")).label(), "rule 3 `n` (r/a.toml, line 7)");
}

/// The lines of the rules that others hide, the words that others answer, and the line of the one that hides all.
fn shadows(rules: &Rules) -> Vec<(usize, String, Option<usize>)> {
    let shown = |shadow: &Shadow| {
        let words: Vec<_> = shadow.words.iter().map(|(word, by)| format!("{word}: {}", by.line)).collect();
        (shadow.hidden.line, words.join(", "), shadow.whole.as_ref().map(|by| by.line))
    };
    rules.shadows().iter().map(shown).collect()
}

#[test]
fn rules_that_others_hide_are_found() {
    let conditions = [
        folded(vec![Test::Contains(words(&["天气"]))]),
        folded(vec![Test::Text(words(&["天气预报", "雨"]))]),
        Condition::new(Fold::Script, vec![Test::Text(words(&["上海天气"]))]),
        folded(vec![Test::Prefix(words(&["查天气"])), Test::From(words(&["o"]))]),
        folded(vec![Test::Event(words(&["CLICK"])), Test::Key(words(&["a"]))]),
        folded(vec![Test::Event(words(&["click"]))]),
        folded(vec![Test::Event(words(&["CLICK"])), Test::Key(words(&["b"]))]),
        folded(vec![Test::Regex(vec![Pattern::new("^x+$".to_owned())])]),
        folded(vec![Test::Regex(vec![Pattern::new("^x+$".to_owned())])]),
        folded(vec![Test::Text(words(&["XXX"]))]),
        folded(vec![Test::From(words(&["o"])), Test::Suffix(words(&["吗"]))]),
        folded(vec![Test::Suffix(words(&["好吗"]))]),
    ];
    let rules = Rules::new((1..).zip(conditions).map(|(number, when)| rule(number, when)).collect());
    let found = shadows(&rules);
    let expected = [
        (2, "天气预报: 1", None),
        (4, "查天气: 1", Some(1)),
        (7, "CLICK b: 6", Some(6)),
        (9, "", Some(8)),
        (10, "xxx: 8", Some(8)),
    ];
    assert_eq!(found, expected.map(|(line, words, whole)| (line, words.to_owned(), whole)));
}

#[test]
fn a_rule_that_asks_less_hides_those_that_ask_more() {
    let kind = |kinds: &[&str]| Test::Type(words(kinds));
    let conditions = [
        folded(vec![kind(&["text"])]),
        folded(vec![Test::Text(words(&["a"]))]),
        folded(vec![kind(&["image", "video"])]),
        folded(vec![kind(&["image"]), Test::From(words(&["o"]))]),
        folded(vec![kind(&["video", "link"])]),
        folded(vec![Test::Regex(vec![Pattern::new("x".to_owned())]), Test::From(words(&["o"]))]),
        folded(vec![
            Test::Share(5),
            Test::Regex(vec![Pattern::new("x".to_owned())]),
            Test::From(words(&["o"])),
        ]),
        folded(vec![Test::Text(words(&["b"])), Test::Step("s".to_owned(), None)]),
        folded(vec![Test::Text(words(&["c", "b"])), Test::Step("s".to_owned(), None)]),
        folded(vec![Test::Text(words(&["b"])), Test::Step("t".to_owned(), None)]),
        folded(vec![Test::Sent, Test::Share(7)]),
        folded(vec![Test::Sent]),
        folded(vec![Test::Near(Vec::new())]),
        folded(vec![kind(&["location"]), Test::Near(Vec::new())]),
        folded(vec![Test::NoneOf(words(&["d"]))]),
        folded(vec![Test::Event(words(&["subscribe"]))]),
    ];
    let mut rules: Vec<_> = (1..).zip(conditions).map(|(number, when)| rule(number, when)).collect();
    let fallback = |role, line, test| Rule { role, ..rule(line, Condition::new(Fold::Off, vec![test])) };
    rules.push(fallback(Role::Welcome, 17, Test::Event(words(&["subscribe"]))));
    rules.push(fallback(Role::Unfollow, 18, Test::Event(words(&["unsubscribe"]))));
    rules.push(fallback(Role::DefaultOf("image".to_owned()), 19, kind(&["image"])));
    rules.push(fallback(Role::Default, 20, Test::Sent));
    let expected = [
        // Spoken, it comes to the second.
        (2, "a: 1", None),
        (4, "image: 3", Some(3)),
        (5, "video: 3", None),
        (7, "", Some(6)),
        (8, "b: 1", None),
        (9, "b: 1, c: 1", None),
        (10, "b: 1", None),
        (14, "", Some(13)),
        (15, "", Some(12)),
        (17, "", Some(16)),
        (19, "", Some(12)),
        (20, "", Some(12)),
    ];
    assert_eq!(
        shadows(&Rules::new(rules)),
        expected.map(|(line, words, whole)| (line, words.to_owned(), whole))
    );
}

#[test]
fn in_a_step_its_own_rules_hide_each_other() {
    let step = |name: &str| Test::Step(name.to_owned(), None);
    let conditions = [
        folded(vec![Test::Contains(words(&["b"])), step("s")]),
        folded(vec![Test::Text(words(&["c", "ab"])), step("s")]),
        folded(vec![Test::Text(words(&["ab"])), step("t")]),
    ];
    let rules = Rules::new((1..).zip(conditions).map(|(number, when)| rule(number, when)).collect());
    assert_eq!(shadows(&rules), [(2, "ab: 1".to_owned(), None)]);
}

// --- The same by brute force --------------------------------------------------------------------------------------

/// A condition as one would write it down, and what it means, told without folds, indexes and expressions of ours.
#[derive(Debug, Clone)]
struct Naive {
    fold: bool,
    tests: Vec<NaiveTest>,
    next: bool,
}

#[derive(Debug, Clone)]
enum NaiveTest {
    Text(Vec<String>),
    Contains(Vec<String>),
    Prefix(Vec<String>),
    Suffix(Vec<String>),
    AllOf(Vec<String>),
    NoneOf(Vec<String>),
    Regex(Vec<String>),
    Event(Vec<String>),
    Key(Vec<String>),
    Type(String),
    From(bool),
    Until(u64),
}

#[derive(Debug, Clone)]
enum Sent {
    Text(String),
    Event(String, String),
}

impl Naive {
    fn condition(&self) -> Condition {
        let patterns = |sources: &Vec<String>| sources.iter().cloned().map(Pattern::new).collect();
        let tests = self.tests.iter().map(|test| match test {
            NaiveTest::Text(words) => Test::Text(words.clone()),
            NaiveTest::Contains(words) => Test::Contains(words.clone()),
            NaiveTest::Prefix(words) => Test::Prefix(words.clone()),
            NaiveTest::Suffix(words) => Test::Suffix(words.clone()),
            NaiveTest::AllOf(words) => Test::AllOf(words.clone()),
            NaiveTest::NoneOf(words) => Test::NoneOf(words.clone()),
            NaiveTest::Regex(sources) => Test::Regex(patterns(sources)),
            NaiveTest::Event(names) => Test::Event(names.clone()),
            NaiveTest::Key(keys) => Test::Key(keys.clone()),
            NaiveTest::Type(name) => Test::Type(vec![name.clone()]),
            NaiveTest::From(it) => Test::From(words(&[if *it { "oUser" } else { "oOther" }])),
            NaiveTest::Until(until) => Test::Valid(0, i64::try_from(*until).unwrap()),
        });
        Condition::new(if self.fold { Fold::On } else { Fold::Off }, tests.collect())
    }

    fn meets(&self, sent: &Sent, now: u64) -> bool {
        self.tests.iter().all(|test| match (test, sent) {
            (NaiveTest::From(it), _) => *it,
            (NaiveTest::Until(until), _) => now < *until,
            (NaiveTest::Type(name), Sent::Text(_)) => name == "text",
            (NaiveTest::Type(name), Sent::Event(..)) => name == "event",
            (NaiveTest::Event(names), Sent::Event(name, _)) => {
                names.iter().any(|known| known.to_lowercase() == name.to_lowercase())
            }
            (NaiveTest::Key(keys), Sent::Event(_, key)) => keys.contains(key),
            (NaiveTest::Event(_) | NaiveTest::Key(_), Sent::Text(_)) | (_, Sent::Event(..)) => false,
            (test, Sent::Text(content)) => test.meets_text(content.trim(), self.fold),
        })
    }
}

/// Letter by letter, for the letters that the texts here are made of.
fn plain(text: &str, fold: bool) -> String {
    let letter = |letter: char| match letter {
        'Ａ' | 'A' => 'a',
        'Ｂ' | 'B' => 'b',
        '！' => '!',
        '（' => '(',
        '７' => '7',
        other => other,
    };
    if fold { text.chars().map(letter).collect() } else { text.to_owned() }
}

fn bare(text: &str, fold: bool) -> &str {
    let trimmed = text.trim_matches(['!', '(', ' ']);
    if fold && !trimmed.is_empty() { trimmed } else { text }
}

impl NaiveTest {
    fn meets_text(&self, content: &str, fold: bool) -> bool {
        let content = plain(content, fold);
        let bare_content = bare(&content, fold);
        let any =
            |words: &[String], test: &dyn Fn(&str) -> bool| words.iter().any(|word| test(&plain(word, fold)));
        match self {
            Self::Text(words) => any(words, &|word| bare(word.trim(), fold) == bare_content),
            Self::Contains(words) => any(words, &|word| content.contains(word)),
            Self::Prefix(words) => {
                let tail = &content[content.find(bare_content).unwrap()..];
                any(words, &|word| content.starts_with(word) || tail.starts_with(word))
            }
            Self::Suffix(words) => {
                let head = &content[..content.find(bare_content).unwrap() + bare_content.len()];
                any(words, &|word| content.ends_with(word) || head.ends_with(word))
            }
            Self::AllOf(words) => !any(words, &|word| !content.contains(word)),
            Self::NoneOf(words) => !any(words, &|word| content.contains(word)),
            Self::Regex(sources) => sources.iter().any(|source| {
                let source = source.replace('（', if fold { "\\(" } else { "（" });
                let regex = regex::Regex::new(&plain(&source, fold)).unwrap();
                regex.is_match(&content) || regex.is_match(bare_content)
            }),
            _ => unreachable!("it is no test of a text"),
        }
    }
}

fn some_words() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec("[abAＡ天气（! ]{0,3}[abB天]", 1..4)
}

fn naive_test() -> impl Strategy<Value = NaiveTest> {
    let names = || proptest::collection::vec("CLICK|click|SCAN", 1..3);
    let sources = r"(\^?(\\d|[aB天Ａ（]{1,2})(\(b\|[天a]\)|\[aB\]|\.)?[*+?]?){1,3}\$?";
    prop_oneof![
        4 => some_words().prop_map(NaiveTest::Text),
        3 => some_words().prop_map(NaiveTest::Contains),
        2 => some_words().prop_map(NaiveTest::Prefix),
        2 => some_words().prop_map(NaiveTest::Suffix),
        1 => some_words().prop_map(NaiveTest::AllOf),
        1 => some_words().prop_map(NaiveTest::NoneOf),
        3 => proptest::collection::vec(sources, 1..3).prop_map(NaiveTest::Regex),
        1 => names().prop_map(NaiveTest::Event),
        1 => proptest::collection::vec("[ab]", 1..3).prop_map(NaiveTest::Key),
        1 => "text|event".prop_map(NaiveTest::Type),
        1 => any::<bool>().prop_map(NaiveTest::From),
        1 => (0..20_u64).prop_map(NaiveTest::Until),
    ]
}

fn naive_rules() -> impl Strategy<Value = Vec<Naive>> {
    let rule = (any::<bool>(), proptest::collection::vec(naive_test(), 1..3), proptest::bool::weighted(0.3));
    proptest::collection::vec(rule.prop_map(|(fold, tests, next)| Naive { fold, tests, next }), 0..12)
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        6 => "[abAＡ天气（! 7７]{0,6}".prop_map(Sent::Text),
        1 => ("CLICK|SCAN|scan", "[abc]").prop_map(|(event, key)| Sent::Event(event, key)),
    ]
}

fn is_usable(rules: &[Naive]) -> bool {
    rules.iter().flat_map(|rule| rule.condition().tests).all(|test| match test {
        Test::Regex(patterns) => patterns.iter().all(|pattern| pattern.check().is_ok()),
        _ => true,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// In memory and as bytes, the rules that meet are those that meet by the letter, in their order.
    #[test]
    fn rules_find_what_brute_force_finds(
        rules in naive_rules(), messages in proptest::collection::vec(sent(), 1..6), now in 0..20_u64,
    ) {
        prop_assume!(is_usable(&rules));
        let with_flow = |(number, naive): (usize, &Naive)| Rule {
            flow: if naive.next { Flow::Next } else { Flow::Stop },
            ..rule(number, naive.condition())
        };
        let ready = Rules::new((1..).zip(&rules).map(with_flow).collect());
        let stored = stored(&ready);
        let circumstance = Circumstance::at(UNIX_EPOCH + Duration::from_secs(now));
        for sent in &messages {
            let mut expected = Vec::new();
            for (number, naive) in (1..).zip(&rules).filter(|(_, naive)| naive.meets(sent, now)) {
                expected.push(number);
                if !naive.next {
                    break;
                }
            }
            let fields = match sent {
                Sent::Text(content) => text(content),
                Sent::Event(event, key) => {
                    format!("<MsgType>event</MsgType><Event>{event}</Event><EventKey>{key}</EventKey>")
                }
            };
            let found = met(&ready, &fields, &circumstance);
            prop_assert_eq!(found.iter().map(|(number, _)| *number).collect::<Vec<_>>(), expected, "{:?}", sent);
            prop_assert_eq!(&met(&stored, &fields, &circumstance), &found, "stored: {:?}", sent);
            for rules in [&ready, &stored] {
                prop_assert_eq!(&explained(rules, &fields, &circumstance).0, &found, "explained: {:?}", sent);
            }
        }
    }
}
