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
        let secrets = secrets_in(line);
        let mut shown = String::with_capacity(line.len());
        let mut from = 0;
        for secret in &secrets {
            shown.push_str(&line[from..secret.start]);
            shown.push_str(MASK);
            from = secret.end;
        }
        shown.push_str(&line[from..]);
        // What stands before `at`, as wide as it is shown.
        let column = |at: usize| {
            let (mut width, mut from) = (0, 0);
            for secret in secrets.iter().take_while(|secret| secret.end <= at) {
                width += line[from..secret.start].width() + MASK.width();
                from = secret.end;
            }
            width + line[from..at].width()
        };
        let marked = marked.start.min(line.len())..marked.end.clamp(marked.start.min(line.len()), line.len());
        let hit = secrets.iter().find(|secret| marked.start < secret.end && secret.start < marked.end);
        let (indent, width) = match hit {
            Some(secret) => (column(secret.start), MASK.width()),
            None => (column(marked.start), line[marked].trim_end().width()),
        };
        // A tab would be wider than we count it.
        Self { line: shown.replace('\t', " "), indent, width }
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

/// The bytes of the secrets that stand in `line`, one after the other: the values of keys that are called like one,
/// misspelt ones included, also where the line is no TOML.
fn secrets_in(line: &str) -> Vec<Range<usize>> {
    std::iter::successors(secret_behind(line, 0), |before| secret_behind(line, before.end)).collect()
}

/// The first secret of `line` that begins behind `from`: behind `=`, behind `:`, or, where that was forgotten, at its
/// quote.
fn secret_behind(line: &str, from: usize) -> Option<Range<usize>> {
    let mut signs = line.match_indices(['=', ':', '"', '\'']).filter(|&(at, _)| at >= from);
    signs.find_map(|(at, sign)| {
        let before = &line[..at];
        let is_quote = matches!(sign, "\"" | "'");
        let separates = !is_quote || before.ends_with(char::is_whitespace);
        let start = if is_quote { at } else { at + 1 };
        (separates && is_called_like_a_secret(last_word(before))).then(|| value_at(line, start)).flatten()
    })
}

/// The value that begins at or behind `from`; `None` if it only says where the secret stands.
fn value_at(line: &str, from: usize) -> Option<Range<usize>> {
    let start = line.len() - line[from..].trim_start().len();
    let value = &line[start..];
    let length = match value.chars().next()? {
        '{' if tells_where(value) => return None,
        '{' | '[' => value.len(),
        quote @ ('"' | '\'') => quoted_length(value, quote),
        _ => value.find([',', '}', '#']).unwrap_or(value.len()),
    };
    Some(start..start + value[..length].trim_end().len())
}

/// `{ env = "…" }` or `{ file = "…" }` and nothing more.
fn tells_where(table: &str) -> bool {
    let inner = table[1..].trim_start();
    let table = table.split_once('}').map_or(table, |(table, _)| table);
    (inner.starts_with("env") || inner.starts_with("file")) && table.matches('=').count() == 1
}

fn is_of_key(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == '-'
}

/// The key that ends before a separator, quoted or not.
fn last_word(text: &str) -> &str {
    let text = text.trim_end().trim_end_matches(['"', '\'']).trim_end();
    text.rsplit(|letter| !is_of_key(letter)).next().unwrap_or_default()
}

fn is_called_like_a_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    did_you_mean(&key, SECRET_KEYS).is_some()
        || ["token", "secret", "aes", "key", "password"].iter().any(|word| key.contains(word) && key != "key")
}

/// How far a quoted secret goes: to its closing quote, or to the end of the line where that is in doubt.
fn quoted_length(value: &str, quote: char) -> usize {
    let Some(end) = value[1..].find(quote).map(|end| end + 2) else { return value.len() };
    let behind = value[end..].trim_start();
    let is_closed = behind.is_empty() || behind.starts_with([',', '}', '#']);
    if is_closed && !value[..end].contains('\\') { end } else { value.len() }
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
            (
                "a = { token = \"hidden\", tokne = \"hidden\", mod = 1 }",
                "mod",
                "a = { token = \"***\", tokne = \"***\", mod = 1 }",
                36,
            ),
            ("token = { value = \"hidden\" }", "value", "token = \"***\"", 8),
            ("token = [\"hidden\"]", "[\"hidden\"]", "token = \"***\"", 8),
            ("token = \"hid\"den\"", "\"hid\"", "token = \"***\"", 8),
            ("token = \"hid\\\"den\"", "token", "token = \"***\"", 0),
            ("token = so hidden", "so", "token = \"***\"", 8),
            ("token \"hidden\"", "\"hidden\"", "token \"***\"", 6),
            ("token: \"hidden\"", ":", "token: \"***\"", 5),
            ("\"tokne\" = \"hidden\"", "tokne", "\"tokne\" = \"***\"", 1),
            ("aes = \"hidden\"", "aes", "aes = \"***\"", 0),
            ("[token]", "token", "[token]", 1),
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
