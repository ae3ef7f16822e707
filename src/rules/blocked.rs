//! Words that shall not pass, in what users write or in what the account answers.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, MatchKind};
use serde::{Deserialize, Serialize};

use super::fold::{Fold, Folded};
use super::template::Template;

/// Words, and what becomes of a text that holds one. Case and width do not count.
#[derive(Debug, Serialize, Deserialize)]
pub struct Blocked {
    /// Folded.
    words: Vec<String>,
    fold: Fold,
    /// In what users write; `None`: it is not looked at.
    pub incoming: Option<Measure>,
    /// In what the account answers; `None`: it is not looked at.
    pub outgoing: Option<Measure>,
    /// What is answered instead of a text that is refused; without it: `success`.
    pub reply: Option<Template>,
    #[serde(skip)]
    finder: OnceLock<Option<AhoCorasick>>,
}

/// What becomes of a text with a blocked word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Measure {
    /// The text of `reply` is answered.
    Refuse,
    /// Each letter of the word becomes `*`.
    Mask,
    /// Nothing is answered: `success`.
    Ignore,
}

impl Measure {
    /// The measure that is called so.
    ///
    /// # Errors
    ///
    /// If none is.
    pub fn parse(name: &str) -> Result<Self, String> {
        match name {
            "refuse" => Ok(Self::Refuse),
            "mask" => Ok(Self::Mask),
            "ignore" => Ok(Self::Ignore),
            _ => Err(format!("`{name}` is no measure; there are refuse, mask, ignore")),
        }
    }
}

/// Fewer words than this are looked for one after the other: the automaton takes longer to make than they.
const FEW: usize = 1000;

impl Blocked {
    /// Words as their author wrote them.
    #[must_use]
    pub fn new(words: &[String], fold: Fold) -> Self {
        Self {
            words: words.iter().map(|word| fold.part(word)).collect(),
            fold,
            incoming: None,
            outgoing: None,
            reply: None,
            finder: OnceLock::new(),
        }
    }

    /// Whether `text` holds one of the words.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        let folded = Folded::new(text, self.fold);
        match self.finder() {
            Some(finder) => finder.is_match(folded.text()),
            None => self.words.iter().any(|word| folded.text().contains(word.as_str())),
        }
    }

    /// `text` with a `*` for each letter of the words in it.
    #[must_use]
    pub fn masked<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if !self.is_in(text) {
            return Cow::Borrowed(text);
        }
        let folded = self.fold.part(text);
        let mut is_masked = vec![false; folded.len()];
        for range in self.places(&folded) {
            is_masked[range].fill(true);
        }
        let letters = text.chars().zip(folded.char_indices());
        Cow::Owned(letters.map(|(written, (at, _))| if is_masked[at] { '*' } else { written }).collect())
    }

    fn places(&self, folded: &str) -> Vec<Range<usize>> {
        if let Some(finder) = self.finder() {
            return finder.find_overlapping_iter(folded).map(|found| found.range()).collect();
        }
        let of_word = |word: &String| {
            let found = folded.match_indices(word.as_str());
            found.map(|(at, word)| at..at + word.len()).collect::<Vec<_>>()
        };
        self.words.iter().flat_map(of_word).collect()
    }

    fn finder(&self) -> Option<&AhoCorasick> {
        let make = || AhoCorasick::builder().match_kind(MatchKind::Standard).build(&self.words).ok();
        if self.words.len() < FEW { None } else { self.finder.get_or_init(make).as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked(count: usize) -> Blocked {
        let words = ["代开发票", "Casino", "开发"].map(str::to_owned);
        Blocked::new(
            &words.into_iter().chain((3..count).map(|n| format!("filler{n}."))).collect::<Vec<_>>(),
            Fold::On,
        )
    }

    #[test]
    fn words_are_found_and_masked_however_many_there_are() {
        for blocked in [blocked(3), blocked(2000)] {
            for (text, masked) in [
                ("我们代开发票！", "我们****！"),
                ("ＣＡＳＩＮＯ casino", "****** ******"),
                ("开发代开发", "**代**"),
                ("开 发", "开 发"),
                ("", ""),
            ] {
                assert_eq!(blocked.masked(text), masked);
                assert_eq!(blocked.is_in(text), text != masked);
            }
        }
    }
}
