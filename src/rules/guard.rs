//! What a text must be or hold at least for a rule to meet it: a question cheap enough to be asked of every stored
//! rule, and most often the last one that is.

use regex_syntax::hir::{Class, Hir, HirKind};
use serde::{Deserialize, Serialize};

use super::condition::{Condition, Pattern, Subject, Test};

/// More pieces of one expression than this are no shortcut any more.
const MAX_PIECES: usize = 64;

/// What must be so before a condition needs a look. `S` is owned where guards are written, borrowed where they are read.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Guard<S> {
    /// Nothing is known.
    Open,
    /// The text is one of these.
    Is(Vec<S>),
    /// The text holds one of these.
    Holds(Vec<S>),
}

impl Guard<String> {
    /// The guard of a condition: of its tests, which must all hold, the one that says most.
    pub(super) fn of(condition: &Condition) -> Self {
        let mut pieces = None;
        for test in &condition.0 {
            match test {
                Test::Text(words) => return Self::Is(words.clone()),
                Test::Contains(words) | Test::Prefix(words) | Test::Suffix(words) => {
                    pieces = pieces.or_else(|| Some(words.clone()));
                }
                Test::Regex(patterns) => pieces = pieces.or_else(|| pieces_of_any(patterns)),
                Test::Type(_) | Test::Event(_) | Test::Key(_) => {}
            }
        }
        pieces.map_or(Self::Open, Self::Holds)
    }
}

impl<S: AsRef<str>> Guard<S> {
    /// `false` if no condition behind this guard can meet `subject`.
    pub(super) fn may_meet(&self, subject: &Subject<'_>) -> bool {
        let text = |test: &dyn Fn(&str) -> bool| subject.text.is_some_and(test);
        match self {
            Self::Open => true,
            Self::Is(words) => text(&|text| words.iter().any(|word| word.as_ref() == text)),
            Self::Holds(pieces) => text(&|text| pieces.iter().any(|piece| text.contains(piece.as_ref()))),
        }
    }
}

fn pieces_of_any(patterns: &[Pattern]) -> Option<Vec<String>> {
    let pieces = patterns.iter().map(|pattern| pieces(&regex_syntax::parse(pattern.source()).ok()?));
    bounded(pieces.collect::<Option<Vec<_>>>()?.concat())
}

fn bounded(pieces: Vec<String>) -> Option<Vec<String>> {
    (1..=MAX_PIECES).contains(&pieces.len()).then_some(pieces)
}

/// Texts of which every match holds at least one; `None` if there are no such, or too many.
fn pieces(hir: &Hir) -> Option<Vec<String>> {
    let found = match hir.kind() {
        HirKind::Literal(literal) => vec![String::from_utf8(literal.0.to_vec()).ok()?],
        HirKind::Class(Class::Unicode(class)) => {
            let letters = class.iter().flat_map(|range| range.start()..=range.end());
            letters.take(MAX_PIECES + 1).map(String::from).collect()
        }
        HirKind::Capture(group) => pieces(&group.sub)?,
        HirKind::Repetition(repetition) if repetition.min > 0 => pieces(&repetition.sub)?,
        // All parts must be there: the one whose shortest piece is longest says most.
        HirKind::Concat(parts) => {
            let shortest = |pieces: &Vec<String>| pieces.iter().map(String::len).min();
            parts.iter().filter_map(pieces).max_by_key(shortest)?
        }
        HirKind::Alternation(parts) => parts.iter().map(pieces).collect::<Option<Vec<_>>>()?.concat(),
        _ => return None,
    };
    bounded(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    fn regex(source: &str) -> Test {
        Test::Regex(vec![Pattern::new(source.to_owned())])
    }

    fn guard_of(test: Test) -> Guard<String> {
        Guard::of(&Condition(vec![test]))
    }

    #[test]
    fn an_expression_is_guarded_by_what_each_of_its_matches_holds() {
        for (source, expected) in [
            (r"^查(?<city>\S+)天气$", Some(&["天气"] as &[_])),
            (r"^\d+号", Some(&["号"])),
            ("(cat|dog)s?", Some(&["cat", "dog"])),
            ("(?i)ok", Some(&["K", "k", "\u{212A}"])),
            (r"x{2,}y*", Some(&["x"])),
            (r"^\d+$", None),
            ("a?", None),
            ("cat|", None),
        ] {
            let guard = guard_of(regex(source));
            assert_eq!(guard, expected.map_or(Guard::Open, |pieces| Guard::Holds(words(pieces))), "{source}");
        }
    }

    #[test]
    fn many_expressions_in_a_list_are_no_shortcut() {
        let patterns = |count: usize| (0..count).map(|n| Pattern::new(format!("piece{n}"))).collect();
        assert!(matches!(guard_of(Test::Regex(patterns(64))), Guard::Holds(pieces) if pieces.len() == 64));
        assert_eq!(guard_of(Test::Regex(patterns(65))), Guard::Open);
    }

    #[test]
    fn the_exact_word_says_most_and_events_say_nothing() {
        let both = Condition(vec![Test::Contains(words(&["a"])), Test::Text(words(&["ab"]))]);
        assert_eq!(Guard::of(&both), Guard::Is(words(&["ab"])));
        assert_eq!(guard_of(Test::Event(words(&["CLICK"]))), Guard::Open);
    }

    proptest! {
        /// A guard never hides a rule that would meet the text.
        #[test]
        fn what_a_condition_meets_passes_its_guard(
            source in r"(\^?[ab天]{1,2}(\(c\|[天a]\)|\[ab\]|\\d|\.)?[*+?]?){1,3}", text in "[abc天1]{0,8}",
        ) {
            let pattern = Pattern::new(source);
            prop_assume!(pattern.check().is_ok());
            let condition = Condition(vec![Test::Regex(vec![pattern])]);
            let message = format!("<xml><ToUserName>g</ToUserName><FromUserName>o</FromUserName><CreateTime>1</CreateTime>\
                <MsgType>text</MsgType><Content>{text}</Content><MsgId>1</MsgId></xml>");
            let root = crate::wechat::xml::parse(message.as_bytes()).unwrap();
            let message = crate::wechat::message::Message::from_xml(&root).unwrap();
            let subject = Subject::of(&message);
            prop_assert!(condition.meets(&subject).is_none() || Guard::of(&condition).may_meet(&subject));
        }
    }
}
