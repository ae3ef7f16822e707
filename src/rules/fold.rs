//! What counts as the same text: people write `ＯＫ`, `ok` and `OK！` and mean one thing.
//!
//! A fold replaces each character by one other, so that what was found in a folded text can be cut out of the text as
//! its user wrote it.

use std::borrow::Cow;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// How far texts may differ and still be the same.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Fold {
    /// Not at all; only white space around a text does not count.
    Off,
    /// In case, in full and half width, and in the punctuation around them.
    #[default]
    On,
    /// And in simplified and traditional characters.
    Script,
}

impl Fold {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Off, Self::On, Self::Script];

    /// A part of a text, as it is looked for in folded texts.
    #[must_use]
    pub fn part(self, text: &str) -> String {
        self.characters(text).into_owned()
    }

    /// A whole text, as it is compared with folded texts: without what surrounds it.
    #[must_use]
    pub fn whole(self, text: &str) -> String {
        Folded::new(text, self).whole().to_owned()
    }

    fn character(self, character: char) -> char {
        match self {
            Self::Off => character,
            Self::On => without_case(half_width(character)),
            Self::Script => simplified(without_case(half_width(character))),
        }
    }

    fn characters(self, text: &str) -> Cow<'_, str> {
        if text.chars().all(|character| self.character(character) == character) {
            return Cow::Borrowed(text);
        }
        Cow::Owned(text.chars().map(|character| self.character(character)).collect())
    }

    /// A regular expression that finds in folded texts what `source` would find in texts that are not.
    pub(super) fn expression(self, source: &str) -> Cow<'_, str> {
        let is_same = |character: char| character.is_ascii() || self.letter(character) == character;
        if source.chars().all(is_same) {
            return Cow::Borrowed(source);
        }
        let mut folded = String::with_capacity(source.len());
        for character in source.chars() {
            let letter = if character.is_ascii() { character } else { self.letter(character) };
            // `？` stands for itself, and so must `?` in its place.
            if letter != character && regex_syntax::is_meta_character(letter) {
                folded.push('\\');
            }
            folded.push(letter);
        }
        Cow::Owned(folded)
    }

    /// A character of an expression, its case left to the expression's own flag.
    fn letter(self, character: char) -> char {
        match self {
            Self::Off => character,
            Self::On => half_width(character),
            Self::Script => simplified(half_width(character)),
        }
    }
}

/// A text as conditions look at it, and the way back to what its user wrote.
#[derive(Debug)]
pub(super) struct Folded<'m> {
    /// Without white space around it.
    source: &'m str,
    text: Cow<'m, str>,
    /// Where the text stands between what surrounds it.
    bare: Range<usize>,
}

impl<'m> Folded<'m> {
    pub(super) fn new(text: &'m str, fold: Fold) -> Self {
        let source = text.trim();
        let text = fold.characters(source);
        let bare = match fold {
            Fold::Off => 0..text.len(),
            Fold::On | Fold::Script => bare(&text),
        };
        Self { source, text, bare }
    }

    /// All of it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What stands between the punctuation around it; all of it, if it is nothing else.
    pub(super) fn whole(&self) -> &str {
        &self.text[self.bare.clone()]
    }

    /// Where [`Folded::whole`] stands in [`Folded::text`].
    pub(super) fn bare(&self) -> Range<usize> {
        self.bare.clone()
    }

    /// What the user wrote at `range` of the folded text.
    pub(super) fn written(&self, range: Range<usize>) -> &'m str {
        if let Cow::Borrowed(text) = self.text {
            return &text[range];
        }
        let count = self.text[..range.start].chars().count();
        let length = self.text[range].chars().count();
        let from = nth_boundary(self.source, count);
        let tail = &self.source[from..];
        &tail[..nth_boundary(tail, length)]
    }
}

fn nth_boundary(text: &str, count: usize) -> usize {
    text.char_indices().nth(count).map_or(text.len(), |(at, _)| at)
}

/// Where a text stands between punctuation and white space.
fn bare(text: &str) -> Range<usize> {
    let surrounds = |character: char| character.is_whitespace() || is_punctuation(character);
    let start = text.len() - text.trim_start_matches(surrounds).len();
    let end = text.trim_end_matches(surrounds).len();
    // `？` alone is a text like any other.
    if start < end { start..end } else { 0..text.len() }
}

/// Marks that end, quote or enclose what people say. Not those that words are made of or begin with: `C#`, `/help`,
/// `-1`, `[微笑]`.
fn is_punctuation(character: char) -> bool {
    const MARKS: &str = "!\"'(),.:;?`~¡«·»¿‹›、。〃〈〉《》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟・";
    match character {
        'a'..='z' | '0'..='9' | '\u{3400}'..='\u{9FFF}' => false,
        // White space without width, dashes, quotes, dots; vertical and small forms.
        '\u{200B}'..='\u{2027}'
        | '\u{2060}'
        | '\u{FE10}'..='\u{FE19}'
        | '\u{FE30}'..='\u{FE44}'
        | '\u{FE50}'..='\u{FE5E}'
        | '\u{FEFF}' => true,
        _ => MARKS.contains(character),
    }
}

/// `Ａ` is `A`, `　` is a blank, `ｱ` is `ア`.
fn half_width(character: char) -> char {
    const KATAKANA: &str = "。「」、・ヲァィゥェォャュョッーアイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモ\
        ヤユヨラリルレロワン゛゜";
    let code = u32::from(character);
    match code {
        0x3000 => ' ',
        0xFF01..=0xFF5E => char::from_u32(code - 0xFEE0).unwrap_or(character),
        0xFF61..=0xFF9F => KATAKANA.chars().nth((code - 0xFF61) as usize).unwrap_or(character),
        _ => character,
    }
}

/// One of the forms of a letter, the same for all that differ in case alone.
fn without_case(character: char) -> char {
    if character.is_ascii() {
        return character.to_ascii_lowercase();
    }
    match character {
        // Nothing from here on has case; most texts are made of it.
        '\u{2E80}'..='\u{A63F}' | '\u{AC00}'..='\u{FAFF}' => character,
        // The three pairs that Unicode folds and cannot convert.
        '\u{1FD3}' => '\u{390}',
        '\u{1FE3}' => '\u{3B0}',
        '\u{FB05}' => '\u{FB06}',
        _ => only(only(character, char::to_uppercase), char::to_lowercase),
    }
}

/// What `convert` makes of a character, if that is one again.
fn only<I: Iterator<Item = char>>(character: char, convert: impl Fn(char) -> I) -> char {
    let mut converted = convert(character);
    match (converted.next(), converted.next()) {
        (Some(one), None) => one,
        _ => character,
    }
}

/// A traditional character and its simplified one a line, sorted: OpenCC's `TSCharacters` (Apache-2.0), the first choice
/// of each. All have three bytes, so that a line can be found by its number.
const SIMPLIFIED: &str = include_str!("simplified.txt");
const LINE: usize = 7;

/// The simplified form of a traditional character.
fn simplified(character: char) -> char {
    if !('\u{3400}'..='\u{FAFF}').contains(&character) {
        return character;
    }
    let mut buffer = [0; 4];
    let wanted = character.encode_utf8(&mut buffer).as_bytes();
    let (mut from, mut to) = (0, SIMPLIFIED.len() / LINE);
    while from < to {
        let middle = usize::midpoint(from, to);
        let line = &SIMPLIFIED[middle * LINE..(middle + 1) * LINE];
        match line.as_bytes()[..3].cmp(wanted) {
            std::cmp::Ordering::Less => from = middle + 1,
            std::cmp::Ordering::Greater => to = middle,
            std::cmp::Ordering::Equal => return line[3..].chars().next().unwrap_or(character),
        }
    }
    character
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

    use super::*;

    #[test]
    fn texts_that_mean_the_same_are_the_same() {
        for (fold, one, other) in [
            (Fold::On, "ok", "ＯＫ"),
            (Fold::On, "你好", "你好！"),
            (Fold::On, "你好！", " “你好”~ "),
            (Fold::On, "价格:12", "价格：１２"),
            (Fold::On, "straße", "STRAẞE"),
            (Fold::On, "οδος", "ΟΔΌΣ".replace('Ό', "Ο").as_str()),
            (Fold::On, "ｱｲｽ", "アイス"),
            (Fold::On, "？", "?"),
            (Fold::Script, "頭髮", "头发"),
            (Fold::Script, "臺灣", "台湾。"),
            (Fold::Off, "你好", "\u{3000}你好\n"),
        ] {
            assert_eq!(fold.whole(one), fold.whole(other), "{fold:?}");
        }
    }

    #[test]
    fn texts_that_mean_something_else_are_not() {
        for (fold, one, other) in [
            (Fold::On, "c#", "c"),
            (Fold::On, "/help", "help"),
            (Fold::On, "-1", "1"),
            (Fold::On, "[微笑]", "微笑"),
            (Fold::On, "天气😀", "天气"),
            (Fold::On, "？", "！"),
            (Fold::On, "頭髮", "头发"),
            (Fold::Off, "ok", "OK"),
            (Fold::Off, "你好", "你好！"),
        ] {
            assert_ne!(fold.whole(one), fold.whole(other), "{fold:?}");
        }
    }

    #[test]
    fn what_was_found_is_cut_out_as_it_was_written() {
        let folded = Folded::new("“ＣＩＴＹ：上海！”", Fold::Script);
        assert_eq!((folded.text(), folded.whole()), ("“city:上海!”", "city:上海"));
        let at = folded.text().find("上海").unwrap();
        assert_eq!(folded.written(at..at + 6), "上海");
        assert_eq!(folded.written(folded.bare()), "ＣＩＴＹ：上海");
        assert_eq!(Folded::new(" abc ", Fold::On).written(1..3), "bc");
    }

    #[test]
    fn an_expression_is_folded_and_says_the_same() {
        assert_eq!(Fold::On.expression("^价格：（\\d+）？$"), "^价格:\\(\\d+\\)\\?$");
        assert_eq!(Fold::On.expression("[０-９Ａ-Ｚ]"), "[0-9A-Z]");
        assert_eq!(Fold::Script.expression("^查(?<city>.+)天氣$"), "^查(?<city>.+)天气$");
        assert_eq!(Fold::Off.expression("ＯＫ？"), "ＯＫ？");
        for all in ['！'..='～', '｡'..='ﾟ'] {
            for character in all {
                let expression = Fold::On.expression(&character.to_string()).into_owned();
                let regex = regex::Regex::new(&format!("(?i)^{expression}$")).unwrap();
                assert!(regex.is_match(&Fold::On.part(&character.to_string())), "{character}");
            }
        }
    }

    /// What an expression without regard to case takes for one character is one once it is folded: the index relies on
    /// it.
    #[test]
    fn a_fold_ignores_case_no_less_than_an_expression_does() {
        for character in '\0'..=char::MAX {
            let folded = Fold::On.character(character);
            assert_eq!(Fold::On.character(folded), folded, "{character:?} is folded twice");
            let mut class = ClassUnicode::new([ClassUnicodeRange::new(folded, folded)]);
            class.try_case_fold_simple().expect("regex-syntax has the tables of case");
            for same in class.iter().flat_map(|range| range.start()..=range.end()) {
                assert_eq!(Fold::On.character(same), folded, "{same:?} and {character:?}");
            }
        }
    }

    #[test]
    fn the_table_of_characters_can_be_searched() {
        let lines: Vec<_> = SIMPLIFIED.lines().collect();
        assert!(lines.len() > 2500 && lines.is_sorted());
        for line in lines {
            let mut characters = line.chars();
            let (traditional, expected) = (characters.next().unwrap(), characters.next().unwrap());
            assert_eq!((line.len() + 1, characters.next()), (LINE, None));
            assert_eq!((simplified(traditional), simplified(expected)), (expected, expected));
        }
    }

    proptest! {
        #[test]
        fn folded_texts_are_folded_and_can_be_cut_anywhere(text in "\\PC{0,12}", from in 0..14usize, to in 0..14usize) {
            for fold in Fold::ALL {
                let folded = Folded::new(&text, fold);
                prop_assert_eq!(fold.part(folded.text()), folded.text());
                prop_assert_eq!(fold.whole(folded.whole()), folded.whole());
                let (from, to) = (from.min(to), from.max(to));
                let cut = |text: &str| nth_boundary(text, from)..nth_boundary(text, to);
                prop_assert_eq!(folded.written(cut(folded.text())), &text.trim()[cut(text.trim())]);
            }
        }
    }
}
