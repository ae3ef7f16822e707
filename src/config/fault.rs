//! What is wrong with a config file, as the operator sees it: place, cause, caret, cure.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

pub use crate::spelling::did_you_mean;

/// So many faults of a config are told, and as many warnings.
pub(super) const MAX_FAULTS: usize = 100;

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
    /// The included file that the bytes are of; `None` is the config itself.
    pub within: Option<Arc<IncludedText>>,
}

/// An included file.
#[derive(Debug, PartialEq, Eq)]
pub struct IncludedText {
    /// What it is called in faults and in the log: its path from the config's folder, as it was included.
    pub name: String,
    /// Its path.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
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
        Self {
            severity: Severity::Fault,
            span: None,
            message: message.into(),
            hint: None,
            cure: None,
            within: None,
        }
    }

    /// The same in an included file, or in the config itself.
    #[must_use]
    pub fn within(mut self, file: Option<&Arc<IncludedText>>) -> Self {
        self.within = file.cloned();
        self
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
        Self::all(file, text, std::slice::from_ref(fault)).remove(0)
    }

    /// Places all `faults`; fast if they stand in the order of the file.
    #[must_use]
    pub fn all(file: &str, text: &str, faults: &[Fault]) -> Vec<Self> {
        let mut places = Places::new(text);
        // Those of one included file stand together.
        let mut included: Option<(&Arc<IncludedText>, Places<'_>)> = None;
        let mut all = Vec::with_capacity(faults.len());
        for fault in faults {
            let Some(within) = &fault.within else {
                all.push(Self::place(file, &mut places, fault));
                continue;
            };
            let (_, places) = match &mut included {
                Some(same) if Arc::ptr_eq(same.0, within) => same,
                other => other.insert((within, Places::new(&within.text))),
            };
            all.push(Self::place(&within.path.display().to_string(), places, fault));
        }
        all
    }

    fn place(file: &str, places: &mut Places<'_>, fault: &Fault) -> Self {
        let place = fault.span.as_ref().map(|span| places.of(span));
        Self {
            severity: fault.severity,
            file: file.to_owned(),
            line: place.as_ref().map(|place| place.line),
            column: place.as_ref().map(|place| place.column),
            message: first_line(&fault.message),
            hint: fault.hint.as_deref().map(first_line),
            cure: fault.cure.as_deref().map(shortened),
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

/// Finds the places of spans, counting lines and characters on from one to the next.
struct Places<'t> {
    text: &'t str,
    at: usize,
    line: usize,
    column: usize,
    line_start: usize,
    /// Where the header begins that stands last above.
    table_start: usize,
}

impl<'t> Places<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, at: 0, line: 1, column: 1, line_start: 0, table_start: 0 }
    }

    fn of(&mut self, span: &Range<usize>) -> Place {
        let start = floor_char_boundary(self.text, span.start);
        let end = floor_char_boundary(self.text, span.end).max(start);
        self.go_to(start);
        let in_account = !opens_public_table(line_at(self.text, self.table_start));
        Place {
            line: self.line,
            column: self.column,
            excerpt: Excerpt::of_text(self.text, self.line_start, start..end, in_account),
        }
    }

    fn go_to(&mut self, at: usize) {
        if at < self.at {
            *self = Self::new(self.text);
        }
        while let Some(end) = self.text[self.at..at].find('\n') {
            self.at += end + 1;
            (self.line, self.column, self.line_start) = (self.line + 1, 1, self.at);
            if is_header(line_at(self.text, self.at)) {
                self.table_start = self.at;
            }
        }
        self.column += self.text[self.at..at].chars().count();
        self.at = at;
    }
}

/// The line that begins at `start`.
pub(super) fn line_at(text: &str, start: usize) -> &str {
    text[start..].split('\n').next().unwrap_or_default()
}

/// Whether a line looks like the header of a table, its brackets complete or not.
pub(super) fn is_header(line: &str) -> bool {
    let line = line.trim_start();
    let name = line.trim_start_matches(['[', ' ', '\t']);
    let behind =
        name.trim_start_matches(|letter| is_of_key(letter) || matches!(letter, '.' | ' ' | '\t')).trim_end();
    line.starts_with('[')
        && name.starts_with(is_of_key)
        && (behind.is_empty() || behind.starts_with([']', '#']))
}

/// Tables that secrets belong in: a header misspelt so that it may be one of these or another is taken for these.
const SECRET_TABLES: [&str; 3] = ["account", "store", "api"];

/// Tables that no secret belongs in.
const PUBLIC_TABLES: [&str; 11] =
    ["server", "log", "table", "rule", "default", "welcome", "unfollow", "blocked", "step", "menu", "test"];

/// Whether a line is the header of a table that no secret belongs in, or a misspelt one. All else may belong to the
/// account: who broke its header still wants the keys below it kept.
fn opens_public_table(line: &str) -> bool {
    let name = line.trim_start_matches(|letter| !is_of_key(letter));
    let word = name.split(|letter| !is_of_key(letter)).next().unwrap_or_default();
    is_header(line)
        && did_you_mean(word, SECRET_TABLES).is_none()
        && did_you_mean(word, PUBLIC_TABLES).is_some()
}

const MAX_COLUMNS: usize = 100;

impl Excerpt {
    /// So much of a line is looked at before and behind the caret, bytes.
    const REACH: usize = 4096;

    /// The line that begins at `line_start`, with the bytes of `marked` to be underlined.
    fn of_text(text: &str, line_start: usize, marked: Range<usize>, in_account: bool) -> Self {
        let from = floor_char_boundary(text, marked.start.saturating_sub(Self::REACH)).max(line_start);
        let to = floor_char_boundary(text, marked.start.saturating_add(Self::REACH));
        let line = line_at(&text[..to], from).trim_end();
        if in_account && from > line_start {
            // What stands here may be the midst of a secret.
            return Self { line: "…".to_owned(), indent: 0, width: 1 };
        }
        Self::of(line, marked.start - from..marked.end - from, in_account).cut(from > line_start)
    }

    /// `line` with the bytes of `marked` to be underlined, and no secret in it.
    fn of(line: &str, marked: Range<usize>, in_account: bool) -> Self {
        const MASK: &str = "\"***\"";
        let secrets = secrets_in(line, in_account);
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

    /// No more of a long line than stands around the caret.
    fn cut(self, is_tail: bool) -> Self {
        let from = if is_tail || self.indent + self.width.min(MAX_COLUMNS / 2) > MAX_COLUMNS {
            self.indent.saturating_sub(MAX_COLUMNS / 2)
        } else {
            0
        };
        let (mut line, mut skipped, mut column) = (String::new(), 0, 0);
        if is_tail || from > 0 {
            line.push('…');
        }
        let before = line.width();
        for letter in self.line.chars() {
            column += letter.width().unwrap_or(0);
            if column <= from {
                skipped = column;
            } else if column <= from + MAX_COLUMNS {
                line.push(letter);
            } else {
                line.push('…');
                break;
            }
        }
        let indent = before + self.indent.saturating_sub(skipped);
        Self { line, indent, width: self.width.min((from + MAX_COLUMNS).saturating_sub(self.indent)) }
    }
}

/// What a fault says may hold a word of the file, and one in broken quotes goes on through the lines below.
fn first_line(text: &str) -> String {
    match text.split_once('\n') {
        Some((line, _)) => shortened(line) + "…",
        None => shortened(text),
    }
}

/// A text of a bearable length.
fn shortened(text: &str) -> String {
    const MAX_CHARS: usize = 600;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
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

/// Keys of the account and the store that everybody may read the values of, and where a secret lies.
const HARMLESS_KEYS: [&str; 13] = [
    "app_id",
    "mode",
    "original_id",
    "verified",
    "kind",
    "path",
    "file",
    "journal",
    "prefix",
    "timeout",
    "ca",
    "fold",
    "time_zone",
];

/// Keys that are called like a secret, and hold what menus send.
const PUBLIC_KEYS: [&str; 3] = ["key", "key_regex", "eventkey"];

/// The bytes of the secrets that stand in `line`, one after the other, also where the line is no TOML. In the table of
/// the account that is every value whose key is not known to be harmless; elsewhere, those of keys that are called like
/// a secret, misspelt ones included.
fn secrets_in(line: &str, in_account: bool) -> Vec<Range<usize>> {
    // It stands above all tables.
    if line.trim_start().split(|letter| !is_of_key(letter)).next() == Some("include") {
        return Vec::new();
    }
    if in_account && is_midst_of_value(line) {
        return std::iter::once(line.len() - line.trim_start().len()..line.len()).collect();
    }
    let (mut secrets, mut from) = (Vec::new(), 0);
    while let Some(at) = line[from..].find(SIGNS).map(|at| from + at) {
        from = match value_behind(line, at, in_account) {
            Some(Behind::Secret(secret)) => {
                let end = secret.end;
                secrets.push(secret);
                end
            }
            Some(Behind::Harmless(end)) => end,
            None => at + 1,
        };
    }
    secrets
}

/// What a value may stand behind, or begin with.
const SIGNS: [char; 4] = ['=', ':', '"', '\''];

/// Whether a line of the account's table has neither a header nor a key: it may go on with what began above.
fn is_midst_of_value(line: &str) -> bool {
    let (before, sign) = line.find(SIGNS).map_or((line, ""), |at| line.split_at(at));
    let word = before.trim_matches(|letter| !is_of_key(letter));
    let is_known = word == "account" || SECRET_KEYS.contains(&word) || HARMLESS_KEYS.contains(&word);
    line.contains(char::is_alphanumeric) && !is_header(line) && !is_known && !sign.starts_with(['=', ':'])
}

enum Behind {
    Secret(Range<usize>),
    /// Ends there.
    Harmless(usize),
}

/// What the sign at `at` tells of: the value behind `=` or `:`, or, where that was forgotten, the text in its quotes.
fn value_behind(line: &str, at: usize, in_account: bool) -> Option<Behind> {
    let before = &line[..at];
    let key = last_word(before);
    let is_quote = line[at..].starts_with(['"', '\'']);
    if in_account && !is_quote && HARMLESS_KEYS.contains(&key) {
        let value = value_at(line, at + 1)?;
        return is_closed_text(&line[value.clone()]).then_some(Behind::Harmless(value.end));
    }
    let is_secret = match (in_account, is_quote) {
        (true, _) => true,
        (false, true) => before.ends_with(char::is_whitespace) && is_called_like_a_secret(key),
        (false, false) => is_called_like_a_secret(key),
    };
    let start = if is_quote { at } else { at + 1 };
    if is_secret { value_at(line, start).map(Behind::Secret) } else { None }
}

fn is_closed_text(value: &str) -> bool {
    value.len() > 1
        && value.starts_with(['"', '\''])
        && value.ends_with(&value[..1])
        && !value[1..value.len() - 1].contains(&value[..1])
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
    !PUBLIC_KEYS.contains(&key.as_str())
        && (did_you_mean(&key, SECRET_KEYS).is_some()
            || ["token", "secret", "aes", "key", "password"].iter().any(|word| key.contains(word)))
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

#[cfg(test)]
mod tests;
