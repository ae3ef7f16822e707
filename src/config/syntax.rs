//! Parses a config so that one line that is no TOML does not hide the faults below it.
//!
//! The parser gives up a good part of the file at some mistakes. So what it names is blanked, in place, and the rest is
//! parsed again, until nothing is wrong with the language. Offsets stay those of the file.

use std::ops::Range;

use toml::de::{DeTable, Error};

use super::fault::{Fault, MAX_FAULTS, is_header, line_at};

/// Bytes that are parsed again at most, over all rounds: a small file has all the rounds it needs, a huge one none.
const MAX_AGAIN: usize = 4 << 20;

/// A text that is TOML, and what was wrong with the one it was made from.
#[derive(Debug)]
pub(super) struct Mended {
    pub(super) text: String,
    pub(super) faults: Vec<Fault>,
    blanked: Vec<Range<usize>>,
    /// From a table header that was broken up to the next: nobody knows what these keys belong to.
    orphaned: Vec<Range<usize>>,
}

/// Blanks what is no TOML in `text`.
pub(super) fn mend(text: &str) -> Mended {
    let mut mended =
        Mended { text: text.to_owned(), faults: Vec::new(), blanked: Vec::new(), orphaned: Vec::new() };
    let mut again = MAX_AGAIN;
    while let Err(error) = DeTable::parse(&mended.text) {
        let slip = Slip::of(&mended.text, &error);
        match again.checked_sub(text.len()) {
            Some(rest) if mended.faults.len() + 1 < MAX_FAULTS && mended.can_blank(&slip) => {
                again = rest;
                mended.blank(slip);
            }
            _ => {
                mended.give_up(slip);
                break;
            }
        }
    }
    mended
}

impl Mended {
    /// Whether what is said of the mended text may come from the mending alone.
    fn is_echo(&self, fault: &Fault) -> bool {
        let Some(span) = &fault.span else { return false };
        !self.faults.is_empty()
            && (span.start == 0
                || misses_something(&fault.message)
                || self.orphaned.iter().any(|range| range.contains(&span.start))
                || self.was_blanked(span))
    }

    /// What was wrong with the text, and what is wrong with what stands between it, in the order of the file.
    pub(super) fn with_echoless(&self, faults: Vec<Fault>) -> Vec<Fault> {
        let echoless = faults.into_iter().filter(|fault| !self.is_echo(fault));
        let mut all: Vec<Fault> = self.faults.iter().cloned().chain(echoless).collect();
        all.sort_by_key(|fault| fault.span.as_ref().map_or(0, |span| span.start));
        all
    }

    fn was_blanked(&self, span: &Range<usize>) -> bool {
        self.blanked.iter().any(|range| range.start < span.end && span.start < range.end)
    }

    fn can_blank(&self, slip: &Slip) -> bool {
        !self.text[slip.lines.clone()].trim().is_empty()
    }

    fn blank(&mut self, slip: Slip) {
        let Slip { fault, lines, breaks_header } = slip;
        let mut blank: String =
            self.text[lines.clone()].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
        // A second slip at the same place was made by the first mending.
        if !self.was_blanked(&lines) {
            if breaks_header {
                self.orphaned.push(lines.start..next_line(&self.text, lines.end, is_header));
                // Without a header in its place, the keys below would be added to the table above.
                if blank.len() >= NOBODYS_HEADER.len() {
                    blank.replace_range(..NOBODYS_HEADER.len(), NOBODYS_HEADER);
                }
            }
            self.faults.push(fault);
        }
        self.text.replace_range(lines.clone(), &blank);
        self.blanked.push(lines);
    }

    /// Leaves out all that stands below, because it was mended often enough.
    fn give_up(&mut self, slip: Slip) {
        let Slip { fault, lines, .. } = slip;
        if !self.was_blanked(&lines) {
            self.faults.push(fault.cure("mend this first: what stands below was not looked at"));
        }
        self.blanked.push(lines.start..self.text.len());
        self.text.truncate(lines.start);
    }
}

/// Takes the keys below a broken header; a list of tables may be opened any number of times.
const NOBODYS_HEADER: &str = "[[-]]";

/// Whether a fault says that something is not there: it may have been blanked.
fn misses_something(message: &str) -> bool {
    const ABSENCES: [&str; 5] = [
        "this condition is empty",
        "this reply has no kind",
        "needs `",
        "without `",
        super::rule::WAITS_FOR_NOTHING,
    ];
    message.starts_with("missing ") || ABSENCES.iter().any(|absence| message.contains(absence))
}

/// One mistake, and the lines to be blanked for it.
struct Slip {
    fault: Fault,
    lines: Range<usize>,
    breaks_header: bool,
}

impl Slip {
    fn of(text: &str, error: &Error) -> Self {
        let message = error.message().trim_end().replace('\n', ", ");
        // Of all faults only a key of too many parts has no place.
        let Some(span) = error.span().or_else(|| deep_key(text)) else {
            return Self { fault: Fault::of_file(message), lines: 0..text.len(), breaks_header: false };
        };
        if let Some(slip) = Self::unclosed_string(text, &message, span.start) {
            return slip;
        }
        if let Some(slip) = Self::unclosed_bracket(text, &message, span.start) {
            return slip;
        }
        let found = line_around(text, span.start);
        let line = &text[found.clone()];
        let breaks_header =
            is_of_header(&message, line) || (!line.contains('=') && (is_header(line) || is_no_key(&message)));
        let end = if is_left_open(line) { next_line(text, found.end, is_beginning) } else { found.end };
        Self { fault: Fault::at(span, message), lines: found.start..end, breaks_header }
    }

    /// A `"""` without its end: the parser says so at the end of the file.
    fn unclosed_string(text: &str, message: &str, at: usize) -> Option<Self> {
        let quotes = match message.strip_prefix("invalid multi-line ")? {
            rest if rest.starts_with("basic") => "\"\"\"",
            _ => "'''",
        };
        let opened = text.rfind(quotes).filter(|_| at == text.len())?;
        let line = line_around(text, opened);
        Some(Self {
            fault: Fault::at(opened..opened + quotes.len(), format!("unclosed text, expected `{quotes}`")),
            lines: line.start..next_line(text, line.end, is_beginning),
            breaks_header: false,
        })
    }

    /// A `[` or `{` without its end: the parser says so, or stumbles over the next thing that stands in no list.
    fn unclosed_bracket(text: &str, message: &str, at: usize) -> Option<Self> {
        const STUMBLES: [&str; 4] = [
            "missing comma between array elements",
            "unexpected `=` in array",
            "missing key for inline table element",
            "missing assignment between key-value pairs",
        ];
        let found = line_around(text, at);
        let line = &text[found.clone()];
        let is_at_end =
            message.starts_with("unclosed array,") || message.starts_with("unclosed inline table");
        let stumbles = STUMBLES.iter().any(|stumble| message.starts_with(stumble))
            && (is_header(line) || (message.contains(" array") && is_statement(line)));
        if !is_at_end && !stumbles {
            return None;
        }
        let mut values = text[..at].rmatch_indices('=').map(|(sign, _)| sign + 1);
        let opened = values.find_map(|value| {
            let opened = at - text[value..at].trim_start_matches([' ', '\t']).len();
            text[opened..at].starts_with(['[', '{']).then_some(opened)
        })?;
        let line = line_around(text, opened);
        let next_header = next_line(text, line.end, is_header);
        let end = if is_at_end { next_header } else { next_header.min(found.start) };
        let what = if text[opened..].starts_with('[') {
            "array, expected `]`"
        } else {
            "inline table, expected `}`"
        };
        (line.start != found.start).then(|| Self {
            fault: Fault::at(opened..opened + 1, format!("unclosed {what}")),
            lines: line.start..end,
            breaks_header: false,
        })
    }
}

/// Whether the parser began to read a header.
fn is_of_header(message: &str, line: &str) -> bool {
    message.starts_with("unclosed table")
        || message.starts_with("unclosed array table")
        || (message.starts_with("unexpected key or value") && line.trim_start().starts_with('['))
}

/// Whether the parser found neither a header nor a key with a value.
fn is_no_key(message: &str) -> bool {
    const NO_KEY: [&str; 6] = [
        "key with no value",
        "missing value for key",
        "invalid key-value pair",
        "missing table open",
        "invalid unquoted key",
        "unquoted keys",
    ];
    NO_KEY.iter().any(|start| message.starts_with(start))
}

/// The first key of more parts than the parser takes.
fn deep_key(text: &str) -> Option<Range<usize>> {
    const MAX_DOTS: usize = 80;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let key = line.split('=').next().unwrap_or_default().trim_end();
        if (is_statement(line) || is_header(line)) && key.matches('.').count() >= MAX_DOTS {
            return Some(start..start + key.len());
        }
        start += line.len();
    }
    None
}

/// Whether a line looks like `key = value`.
fn is_statement(line: &str) -> bool {
    let key = line.split('=').next().unwrap_or_default();
    key.len() < line.len()
        && !key.trim().is_empty()
        && key.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_. \t".contains(letter))
}

fn is_beginning(line: &str) -> bool {
    is_header(line) || is_statement(line)
}

/// Whether the value of a line goes on below.
fn is_left_open(line: &str) -> bool {
    const BRACKETS: [(&str, &str); 4] = [("[", "]"), ("{", "}"), ("\"\"\"", "\"\"\""), ("'''", "'''")];
    let value = line.split_once('=').map_or("", |(_, value)| value.trim());
    is_statement(line)
        && BRACKETS
            .iter()
            .any(|(open, close)| value.strip_prefix(open).is_some_and(|behind| !behind.ends_with(close)))
}

fn line_around(text: &str, at: usize) -> Range<usize> {
    let before = &text.as_bytes()[..at.min(text.len())];
    let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |found| found + 1);
    start..start + line_at(text, start).len()
}

/// Where the first line begins behind `from` that `is_it`.
fn next_line(text: &str, from: usize, is_it: impl Fn(&str) -> bool) -> usize {
    let mut at = from;
    for line in text[from..].split_inclusive('\n') {
        if is_it(line) {
            return at;
        }
        at += line.len();
    }
    text.len()
}
