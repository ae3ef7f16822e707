//! What a message must have at least for a rule to meet it: words of its text, the name of its event. By these the
//! index finds the few rules that are worth a look.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, ClassUnicode, Hir, HirKind};

use super::condition::{Condition, Test};
use super::fold::Fold;
use super::pattern::Pattern;

/// More pieces of one expression than this are no shortcut any more.
const MAX_PIECES: usize = 64;

/// Something that a message has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// This is the whole text, folded so.
    Whole(Fold, String),
    /// This is part of the text, folded so; never empty.
    Part(Fold, String),
    /// There is a digit in the text, folded so, whichever.
    Digit(Fold),
    /// This is the event, in small letters.
    Event(String),
    /// This is the `EventKey`.
    Menu(String),
    /// This is who sent it.
    From(String),
    /// This is its `MsgType`.
    Type(String),
}

/// What every message has of which at least one that meets the condition; `None` if nothing is known. Of its tests,
/// which must all hold, the one that says most is taken.
pub(super) fn keys(condition: &Condition) -> Option<Vec<Key>> {
    let ranked = condition.tests.iter().filter_map(|test| keys_of_test(test, condition.fold));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, keys)| keys)
}

/// The keys of one test, and how little they say.
fn keys_of_test(test: &Test, fold: Fold) -> Option<(u8, Vec<Key>)> {
    let all = |words: &[String], key: &dyn Fn(String) -> Key| words.iter().cloned().map(key).collect();
    let parts = |words: &[String]| -> Option<Vec<Key>> {
        let is_useful = words.iter().all(|word| !word.is_empty());
        is_useful.then(|| all(words, &|word| Key::Part(fold, word)))
    };
    Some(match test {
        Test::Text(words) => (0, all(words, &|word| Key::Whole(fold, word))),
        Test::Key(keys) => (0, all(keys, &Key::Menu)),
        Test::AllOf(words) => {
            let longest = words.iter().max_by_key(|word| word.len())?;
            (1, parts(std::slice::from_ref(longest))?)
        }
        Test::Contains(words) | Test::Prefix(words) | Test::Suffix(words) => (1, parts(words)?),
        Test::Regex(patterns) => (2, pieces_of_any(patterns)?.into_iter().map(|it| it.key(fold)).collect()),
        Test::From(openids) => (3, all(openids, &Key::From)),
        Test::Event(events) => (4, all(events, &|event| Key::Event(event.to_ascii_lowercase()))),
        Test::Type(types) => (5, all(types, &Key::Type)),
        Test::NoneOf(_)
        | Test::KeyRegex(_)
        | Test::Field(_)
        | Test::Near(_)
        | Test::NotFrom(_)
        | Test::Sent
        | Test::Share(_)
        | Test::Valid(..)
        | Test::Calendar(_)
        | Test::Step(..)
        | Test::Session(_)
        | Test::First
        | Test::OnceEvery(..)
        | Test::Limit(_)
        | Test::Guard(_) => return None,
    })
}

/// What stands in every text that an expression finds something in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    /// These letters.
    Letters(String),
    /// One of the digits of all scripts: the `\d` of so many expressions.
    Digit,
}

impl Piece {
    fn key(self, fold: Fold) -> Key {
        match self {
            Self::Letters(letters) => Key::Part(fold, letters),
            Self::Digit => Key::Digit(fold),
        }
    }

    /// How much it says.
    fn len(&self) -> usize {
        match self {
            Self::Letters(letters) => letters.len(),
            Self::Digit => 0,
        }
    }

    fn folded(&self, fold: Fold) -> Self {
        match self {
            Self::Letters(letters) => Self::Letters(fold.part(letters)),
            Self::Digit => Self::Digit,
        }
    }
}

fn pieces_of_any(patterns: &[Pattern]) -> Option<Vec<Piece>> {
    let mut all = patterns.iter().map(pieces_of).collect::<Option<Vec<_>>>()?.concat();
    all.sort_unstable();
    all.dedup();
    bounded(all)
}

/// Pieces of which every match of a pattern holds at least one, folded as the texts are that it looks at.
fn pieces_of(pattern: &Pattern) -> Option<Vec<Piece>> {
    let fold = pattern.fold();
    // As if case mattered: each letter is folded below, which does the same for all that differ in case alone.
    let hir = ParserBuilder::new().build().parse(&fold.expression(pattern.source())).ok()?;
    Some(pieces(&hir)?.iter().map(|piece| piece.folded(fold)).collect())
}

fn bounded(pieces: Vec<Piece>) -> Option<Vec<Piece>> {
    (1..=MAX_PIECES).contains(&pieces.len()).then_some(pieces)
}

/// Pieces of which every match holds at least one; `None` if there are no such, or too many.
fn pieces(hir: &Hir) -> Option<Vec<Piece>> {
    let found = match hir.kind() {
        HirKind::Literal(literal) => vec![Piece::Letters(String::from_utf8(literal.0.to_vec()).ok()?)],
        HirKind::Class(Class::Unicode(class)) => pieces_of_class(class),
        HirKind::Capture(group) => pieces(&group.sub)?,
        HirKind::Repetition(repetition) if repetition.min > 0 => pieces(&repetition.sub)?,
        // All parts must be there: the one whose shortest piece is longest says most.
        HirKind::Concat(parts) => {
            let shortest = |pieces: &Vec<Piece>| pieces.iter().map(Piece::len).min();
            parts.iter().filter_map(pieces).max_by_key(shortest)?
        }
        HirKind::Alternation(parts) => parts.iter().map(pieces).collect::<Option<Vec<_>>>()?.concat(),
        _ => return None,
    };
    bounded(found)
}

fn pieces_of_class(class: &ClassUnicode) -> Vec<Piece> {
    let letters = || class.iter().flat_map(|range| range.start()..=range.end());
    if letters().next().is_some() && letters().all(is_digit) {
        return vec![Piece::Digit];
    }
    letters().take(MAX_PIECES + 1).map(|letter| Piece::Letters(letter.into())).collect()
}

/// Whether it is a digit or another number: what is one still is one once it is folded.
pub(super) fn is_digit(letter: char) -> bool {
    letter.is_numeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    fn keys_of(fold: Fold, tests: Vec<Test>) -> Option<Vec<Key>> {
        keys(&Condition::new(fold, tests))
    }

    fn regex(source: &str) -> Test {
        Test::Regex(vec![Pattern::new(source.to_owned())])
    }

    #[test]
    fn an_expression_is_known_by_what_each_of_its_matches_holds() {
        for (fold, source, expected) in [
            (Fold::Off, r"^查(?<city>\S+)天气$", Some(&["天气"] as &[_])),
            (Fold::Off, r"^\d+号", Some(&["号"])),
            (Fold::Off, "(cat|dog)s?", Some(&["cat", "dog"])),
            (Fold::Off, "(?i)ok", Some(&["K", "k", "\u{212A}"])),
            (Fold::Off, r"x{2,}y*", Some(&["x"])),
            (Fold::Off, "a?", None),
            (Fold::Off, "cat|", None),
            (Fold::On, "ＯＲＤＥＲ：?", Some(&["order"])),
            (Fold::On, "(?i)ok", Some(&["k"])),
            (Fold::On, "[Ｓs]", Some(&["s"])),
            (Fold::Script, "^(開|关)$", Some(&["关", "开"])),
        ] {
            let expected = expected
                .map(|pieces| pieces.iter().map(|&piece| Key::Part(fold, piece.to_owned())).collect());
            assert_eq!(keys_of(fold, vec![regex(source)]), expected, "{source}");
        }
    }

    #[test]
    fn digits_are_known_as_such() {
        for source in [r"^\d+$", "[0-9]{6}", "(?<n>[1-3]|[٠-٩])"] {
            assert_eq!(keys_of(Fold::On, vec![regex(source)]), Some(vec![Key::Digit(Fold::On)]), "{source}");
        }
        assert_eq!(keys_of(Fold::On, vec![regex(r"\d+a")]), Some(vec![Key::Part(Fold::On, "a".to_owned())]));
        for source in [r"\d*", r"[\da-z.]\w", r"\D", "[^0-9]"] {
            assert_eq!(keys_of(Fold::On, vec![regex(source)]), None, "{source}");
        }
        for digit in (0..=0x10_FFFF).filter_map(char::from_u32).filter(|&letter| is_digit(letter)) {
            let folded = Fold::Script.part(&digit.to_string());
            assert!(folded.chars().all(is_digit), "{digit}");
        }
    }

    #[test]
    fn many_expressions_in_a_list_are_no_shortcut() {
        let patterns = |count: usize| (0..count).map(|n| Pattern::new(format!("piece{n}"))).collect();
        assert_eq!(keys_of(Fold::On, vec![Test::Regex(patterns(64))]).unwrap().len(), 64);
        assert_eq!(keys_of(Fold::On, vec![Test::Regex(patterns(65))]), None);
    }

    #[test]
    fn the_test_that_says_most_is_taken() {
        let all =
            || vec![Test::Type(words(&["text"])), regex("x"), Test::AllOf(words(&["a", "bc"])), Test::Sent];
        assert_eq!(keys_of(Fold::On, all()), Some(vec![Key::Part(Fold::On, "bc".to_owned())]));
        let exact = all().into_iter().chain([Test::Text(words(&["ABC！"]))]).collect();
        assert_eq!(keys_of(Fold::On, exact), Some(vec![Key::Whole(Fold::On, "abc".to_owned())]));
        assert_eq!(
            keys_of(Fold::On, vec![Test::Event(words(&["CLICK"]))]),
            Some(vec![Key::Event("click".to_owned())])
        );
        assert_eq!(keys_of(Fold::On, vec![Test::Sent]), None);
    }
}
