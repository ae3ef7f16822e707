//! Regular expressions of conditions.

use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::fold::Fold;

/// A regular expression, compiled when a message first needs it. Matching takes linear time.
#[derive(Serialize, Deserialize)]
#[serde(from = "(String, Fold)")]
pub struct Pattern {
    source: String,
    /// How the texts are folded that it looks at.
    fold: Fold,
    #[serde(skip)]
    compiled: OnceLock<Option<Regex>>,
}

/// Why a regular expression cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct PatternError {
    /// What is wrong.
    pub message: String,
    /// The byte of the expression where it is wrong.
    pub offset: Option<usize>,
}

/// Memory that one compiled expression may take, bytes; a counted repetition of a large class can ask for far more.
const PATTERN_SIZE_LIMIT: usize = 1 << 20;

impl Pattern {
    /// A pattern for texts that are not folded, compiled later. [`Pattern::check`] tells whether it will be.
    #[must_use]
    pub fn new(source: String) -> Self {
        Self { source, fold: Fold::Off, compiled: OnceLock::new() }
    }

    /// The same for texts that are folded so.
    #[must_use]
    pub fn folded(self, fold: Fold) -> Self {
        Self { fold, ..Self::new(self.source) }
    }

    /// The expression as it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// How the texts are folded that it looks at.
    pub(super) fn fold(&self) -> Fold {
        self.fold
    }

    /// Compiles it now and gives the names of its groups.
    ///
    /// # Errors
    ///
    /// If it is not a regular expression, or takes too much memory.
    pub fn check(&self) -> Result<Vec<String>, PatternError> {
        if let Err(error) = regex_syntax::Parser::new().parse(&self.source) {
            return Err(PatternError::from_syntax(&error));
        }
        let regex =
            self.compile().map_err(|error| PatternError { message: error.to_string(), offset: None })?;
        let names = regex.capture_names().flatten().map(str::to_owned).collect();
        let _ = self.compiled.set(Some(regex));
        Ok(names)
    }

    fn compile(&self) -> Result<Regex, regex::Error> {
        RegexBuilder::new(&self.fold.expression(&self.source))
            .case_insensitive(self.fold != Fold::Off)
            .size_limit(PATTERN_SIZE_LIMIT)
            .build()
    }

    /// What its named groups found in `text`, each with its place; `None` if the whole finds nothing.
    pub(super) fn find(&self, text: &str) -> Option<impl Iterator<Item = (&str, Range<usize>)>> {
        let regex = self.compiled.get_or_init(|| self.compile().ok()).as_ref()?;
        let found = regex.captures(text)?;
        let names = regex.capture_names().flatten();
        Some(names.filter_map(move |name| Some((name, found.name(name)?.range()))))
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?}, {:?})", self.source, self.fold)
    }
}

impl From<(String, Fold)> for Pattern {
    fn from((source, fold): (String, Fold)) -> Self {
        Self::new(source).folded(fold)
    }
}

impl PatternError {
    fn from_syntax(error: &regex_syntax::Error) -> Self {
        match error {
            regex_syntax::Error::Parse(error) => {
                Self { message: error.kind().to_string(), offset: Some(error.span().start.offset) }
            }
            regex_syntax::Error::Translate(error) => {
                Self { message: error.kind().to_string(), offset: Some(error.span().start.offset) }
            }
            other => Self { message: other.to_string(), offset: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_pattern_names_its_place() {
        let error = Pattern::new("ab(c".to_owned()).check().unwrap_err();
        assert_eq!((error.message.as_str(), error.offset), ("unclosed group", Some(2)));
        assert!(Pattern::new(r"\w{1000}{1000}".to_owned()).check().is_err());
    }

    #[test]
    fn a_pattern_for_folded_texts_ignores_case_and_width() {
        let pattern = Pattern::new("^ＯＫ：(?<n>[A-Z])".to_owned());
        assert!(pattern.find("ok:x").is_none());
        let pattern = pattern.folded(Fold::On);
        assert_eq!(pattern.find("ok:x").unwrap().collect::<Vec<_>>(), [("n", 3..4)]);
    }
}
