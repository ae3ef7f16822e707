//! Parses a config so that one line that is no TOML does not hide the faults below it.
//!
//! The parser gives up a good part of the file at some mistakes. So the lines that it names are blanked, in place, and
//! the rest is parsed again, until nothing is wrong with the language. Offsets stay those of the file.

use std::ops::Range;

use toml::de::DeTable;

use super::fault::Fault;

/// How often lines are blanked; a file with more mistakes shows the rest after the first are mended.
const MAX_ROUNDS: usize = 20;

/// A text that is TOML, and what was wrong with the one it was made from.
#[derive(Debug)]
pub(super) struct Mended {
    pub(super) text: String,
    pub(super) faults: Vec<Fault>,
    /// Behind a table header that was blanked, up to the next: its keys now seem to belong to the table before.
    orphaned: Vec<Range<usize>>,
}

impl Mended {
    /// Whether what is said of the mended text at `span` may come from the blanked lines alone.
    pub(super) fn is_echo(&self, fault: &Fault) -> bool {
        let start = fault.span.as_ref().map_or(0, |span| span.start);
        !self.faults.is_empty()
            && (start == 0
                || fault.message.starts_with("missing ")
                || fault.message == super::rule::WAITS_FOR_NOTHING
                || self.orphaned.iter().any(|range| range.contains(&start)))
    }
}

/// Blanks the lines of `text` that are no TOML.
pub(super) fn mend(text: &str) -> Mended {
    let mut mended = Mended { text: text.to_owned(), faults: Vec::new(), orphaned: Vec::new() };
    for _ in 0..MAX_ROUNDS {
        let (_, errors) = DeTable::parse_recoverable(&mended.text);
        let Some(error) = errors.first() else { break };
        let span = error.span().unwrap_or(0..0);
        let message = error.message().trim_end().replace('\n', ", ");
        let line = line_around(&mended.text, span.start);
        mended.faults.push(Fault::at(span, message));
        if mended.text[line.clone()].trim().is_empty() {
            // Nothing is left to blank: the rest would only be said again.
            break;
        }
        if mended.text[line.clone()].trim_start().starts_with('[') {
            mended.orphaned.push(line.end..next_header(&mended.text, line.end));
        }
        let blank = " ".repeat(line.len());
        mended.text.replace_range(line, &blank);
    }
    mended
}

fn line_around(text: &str, at: usize) -> Range<usize> {
    let at = at.min(text.len());
    let bytes = text.as_bytes();
    let start = bytes[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |found| found + 1);
    let end = bytes[at..].iter().position(|&byte| byte == b'\n').map_or(text.len(), |found| at + found);
    start..end
}

fn next_header(text: &str, from: usize) -> usize {
    let mut at = from;
    for line in text[from..].split_inclusive('\n') {
        if line.trim_start().starts_with('[') {
            return at;
        }
        at += line.len();
    }
    text.len()
}
