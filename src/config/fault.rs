//! What is wrong with a config file, as the operator sees it: place, cause, caret, cure.

use std::fmt::Write as _;
use std::ops::Range;

use unicode_width::UnicodeWidthStr;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The config is not taken.
    Fault,
    /// The config works; something about it should be better.
    Warning,
}

/// One thing that is wrong, with its place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// How bad it is.
    pub severity: Severity,
    /// Bytes of the file that are wrong; `None` if it is the file as a whole.
    pub span: Option<Range<usize>>,
    /// The cause.
    pub message: String,
    /// A short hint, put beside the caret.
    pub hint: Option<String>,
    /// The cure.
    pub cure: Option<String>,
}

impl Fault {
    /// A fault at `span`.
    #[must_use]
    pub fn at(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span: Some(span), ..Self::of_file(message) }
    }

    /// A fault of the file as a whole: it cannot be read, or others may write it.
    #[must_use]
    pub fn of_file(message: impl Into<String>) -> Self {
        Self { severity: Severity::Fault, span: None, message: message.into(), hint: None, cure: None }
    }

    /// The same as a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// The same with a hint beside the caret.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with a cure.
    #[must_use]
    pub fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }
}

/// A fault with its place worked out: what `check --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PlacedFault {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub file: String,
    /// Line, from 1; absent if it is the file as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Column in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The cause.
    pub message: String,
    /// A short hint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The cure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
    /// The line of the file with a caret below; only for people.
    #[serde(skip)]
    excerpt: Option<Excerpt>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Excerpt {
    line: String,
    /// Columns of the terminal before the caret and below it: Chinese characters take two.
    indent: usize,
    width: usize,
}

impl PlacedFault {
    /// Places `fault` in the text of the file.
    #[must_use]
    pub fn new(file: &str, text: &str, fault: &Fault) -> Self {
        let place = fault.span.as_ref().map(|span| Place::of(text, span));
        Self {
            severity: fault.severity,
            file: file.to_owned(),
            line: place.as_ref().map(|place| place.line),
            column: place.as_ref().map(|place| place.column),
            message: fault.message.clone(),
            hint: fault.hint.clone(),
            cure: fault.cure.clone(),
            excerpt: place.map(|place| place.excerpt),
        }
    }

    /// `FILE:LINE:COLUMN: message; cure` on one line, for the log.
    #[must_use]
    pub fn one_line(&self) -> String {
        let mut line = self.head();
        for part in [&self.hint, &self.cure].into_iter().flatten() {
            line.push_str("; ");
            line.push_str(part);
        }
        line.replace('\n', " ")
    }

    fn head(&self) -> String {
        let mut head = self.file.clone();
        if let (Some(line), Some(column)) = (self.line, self.column) {
            let _ = write!(head, ":{line}:{column}");
        }
        if !head.is_empty() {
            head.push_str(": ");
        }
        let warning = if self.severity == Severity::Warning { "warning: " } else { "" };
        let _ = write!(head, "{warning}{}", self.message);
        head
    }

    /// The fault as a person reads it: the place and the cause, the line with a caret, the cure.
    #[must_use]
    pub fn for_people(&self) -> String {
        let mut text = self.head();
        let gutter = self.line.map_or(0, |line| line.to_string().len());
        if let (Some(line), Some(excerpt)) = (self.line, &self.excerpt) {
            let (indent, carets) = (" ".repeat(excerpt.indent), "^".repeat(excerpt.width.max(1)));
            let _ = write!(
                text,
                "\n{:gutter$} |\n{line} | {}\n{:gutter$} | {indent}{carets}",
                "", excerpt.line, ""
            );
            if let Some(hint) = &self.hint {
                let _ = write!(text, " {hint}");
            }
        } else if let Some(hint) = &self.hint {
            let _ = write!(text, " ({hint})");
        }
        for line in self.cure.iter().flat_map(|cure| cure.lines()) {
            let _ = write!(text, "\n{:gutter$} = {line}", "");
        }
        text
    }
}

/// Where a span begins, and its first line.
struct Place {
    line: usize,
    column: usize,
    excerpt: Excerpt,
}

impl Place {
    fn of(text: &str, span: &Range<usize>) -> Self {
        let start = floor_char_boundary(text, span.start);
        let end = floor_char_boundary(text, span.end).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[line_start..].find('\n').map_or(text.len(), |at| line_start + at);
        Self {
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            excerpt: Excerpt::of(
                text[line_start..line_end].trim_end(),
                start - line_start..end.min(line_end) - line_start,
            ),
        }
    }
}

impl Excerpt {
    /// `line` with the bytes of `marked` to be underlined, and no secret in it.
    fn of(line: &str, marked: Range<usize>) -> Self {
        const MASK: &str = "\"***\"";
        let secret = secret_in(line);
        let (before, shown, after) = match &secret {
            Some(secret) => (&line[..secret.start], MASK, &line[secret.end..]),
            None => (line, "", ""),
        };
        let hits_secret = secret.as_ref().is_some_and(|it| marked.start < it.end && it.start < marked.end);
        let shift = |at: usize| match &secret {
            Some(secret) if at >= secret.end => before.width() + MASK.width() + line[secret.end..at].width(),
            Some(secret) if at > secret.start => before.width(),
            _ => line[..at].width(),
        };
        let marked = marked.start.min(line.len())..marked.end.clamp(marked.start.min(line.len()), line.len());
        let indent = if hits_secret { before.width() } else { shift(marked.start) };
        let width = if hits_secret { MASK.width() } else { line[marked].trim_end().width() };
        // A tab would be wider than we count it.
        Self { line: format!("{before}{shown}{after}").replace('\t', " "), indent, width }
    }
}

/// Keys whose values nobody must see.
const SECRET_KEYS: [&str; 7] = [
    "token",
    "previous_token",
    "app_secret",
    "encoding_aes_key",
    "previous_encoding_aes_key",
    "api_key",
    "password",
];

/// The bytes of a secret that stands in `line`: the value of a key that is called like one, misspelt ones included.
fn secret_in(line: &str) -> Option<Range<usize>> {
    let mut equals = line.match_indices('=').map(|(at, _)| at);
    let is_key = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    equals.find_map(|at| {
        let key = line[..at].trim_end().rsplit(|letter| !is_key(letter)).next()?;
        did_you_mean(key, SECRET_KEYS)?;
        let start = at + 1 + (line[at + 1..].len() - line[at + 1..].trim_start().len());
        let value = &line[start..];
        let length = match value.chars().next()? {
            // Where the secret stands is no secret.
            '{' => return None,
            quote @ ('"' | '\'') => value[1..].find(quote).map_or(value.len(), |end| end + 2),
            _ => value.find([' ', ',', '}', '#']).unwrap_or(value.len()),
        };
        Some(start..start + length)
    })
}

/// The line, from 1, in which the byte at `offset` stands.
#[must_use]
pub fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count() + 1
}

fn floor_char_boundary(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The nearest of `known` to `word`, if one is near enough to be what was meant.
#[must_use]
pub fn did_you_mean<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.chars().count() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_place_cause_and_cure() {
        let text = "a = 1\nwhen = { txt = \"你好\" }\n";
        let span = text.find("txt").map(|at| at..at + 3).unwrap();
        let fault = Fault::at(span, "unknown condition `txt`")
            .hint("did you mean `text`?")
            .cure("known: text, event");
        let placed = PlacedFault::new("/etc/wxcgi.toml", text, &fault);
        assert_eq!(
            placed.for_people(),
            "/etc/wxcgi.toml:2:10: unknown condition `txt`\n  |\n2 | when = { txt = \"你好\" }\n  |          ^^^ did you \
             mean `text`?\n  = known: text, event"
        );
        assert_eq!(
            placed.one_line(),
            "/etc/wxcgi.toml:2:10: unknown condition `txt`; did you mean `text`?; known: text, event"
        );
    }

    #[test]
    fn the_caret_stands_below_a_word_behind_chinese_text() {
        let text = "x = [\"你好\", oops]";
        let at = text.find("oops").unwrap();
        let placed = PlacedFault::new("f", text, &Fault::at(at..at + 4, "m"));
        // Twelve columns: the two characters take four.
        assert!(
            placed.for_people().ends_with(&format!("| {}^^^^", " ".repeat(13))),
            "{}",
            placed.for_people()
        );
        assert_eq!(placed.column, Some(12));
    }

    #[test]
    fn a_secret_is_not_shown_and_the_caret_stays_in_place() {
        for (line, marked, shown, indent) in [
            ("token = \"hidden\"  # x", "\"hidden\"", "token = \"***\"  # x", 8),
            ("tokne = 'hidden'", "tokne", "tokne = \"***\"", 0),
            (
                "account = { token = \"hidden\", mod = 1 }",
                "mod",
                "account = { token = \"***\", mod = 1 }",
                27,
            ),
            ("app_secret = \"hidden", "\"hidden", "app_secret = \"***\"", 13),
            ("token = hidden", "hidden", "token = \"***\"", 8),
            ("token = { env = \"WX\" }", "env", "token = { env = \"WX\" }", 10),
            ("when.key = \"V1001\"", "\"V1001\"", "when.key = \"V1001\"", 11),
        ] {
            let at = line.find(marked).unwrap();
            let excerpt = Excerpt::of(line, at..at + marked.len());
            assert_eq!((excerpt.line.as_str(), excerpt.indent), (shown, indent), "{line}");
        }
    }

    #[test]
    fn a_span_at_the_end_of_the_file_has_a_place() {
        let placed = PlacedFault::new("f", "a = ", &Fault::at(4..4, "m"));
        assert_eq!((placed.line, placed.column), (Some(1), Some(5)));
        assert_eq!(PlacedFault::new("f", "", &Fault::at(0..9, "m")).line, Some(1));
    }

    #[test]
    fn a_near_word_is_proposed_and_a_far_one_is_not() {
        let known = ["text", "contains", "event"];
        assert_eq!(did_you_mean("txt", known), Some("text"));
        assert_eq!(did_you_mean("Contain", known), Some("contains"));
        assert_eq!(did_you_mean("weather", known), None);
    }
}
