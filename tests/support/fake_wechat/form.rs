//! A form with files, as `multipart/form-data` says, and as WeChat reads it: a file has a filename.

use super::Seen;
use super::tokens::Refusal;

const MISSING: Refusal = (41005, "media data missing");

/// A part of a form.
pub(super) struct Part {
    pub(super) name: String,
    pub(super) filename: Option<String>,
    pub(super) content: Vec<u8>,
}

/// The parts of a form that was announced with its length.
pub(super) fn read(seen: &Seen) -> Result<Vec<Part>, Refusal> {
    let kind = seen.header("content-type").ok_or(MISSING)?;
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").ok_or(MISSING)?.trim_matches('"');
    let is_announced =
        seen.header("content-length").is_some_and(|length| length == seen.body.len().to_string());
    if !is_announced || boundary.is_empty() || boundary.len() > 70 {
        return Err(MISSING);
    }
    // The first delimiter has no line before it, all others end the line before.
    let body = [b"\r\n", &seen.body[..]].concat();
    let delimiter = format!("\r\n--{boundary}");
    let mut pieces = split(&body, delimiter.as_bytes()).into_iter();
    let end = pieces.next_back().filter(|end| end.starts_with(b"--"));
    if end.is_none() || pieces.next().is_none_or(|before| !before.is_empty()) {
        return Err(MISSING);
    }
    pieces.map(|piece| part(piece).ok_or(MISSING)).collect()
}

fn part(piece: &[u8]) -> Option<Part> {
    let piece = piece.strip_prefix(b"\r\n")?;
    let at = piece.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, content) = (std::str::from_utf8(&piece[..at]).ok()?, &piece[at + 4..]);
    let disposition = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-disposition").then(|| value.trim())
    });
    let mut parameters = disposition?.strip_prefix("form-data; ")?.split("; ");
    let mut parameter = |wanted: &str| {
        let value = parameters.find_map(|one| one.strip_prefix(wanted)?.strip_prefix('='))?;
        // Quoted, and ASCII: what else stands there WeChat does not read reliably.
        let value = value.strip_prefix('"')?.strip_suffix('"')?;
        (value.is_ascii() && !value.is_empty()).then(|| value.to_owned())
    };
    Some(Part { name: parameter("name")?, filename: parameter("filename"), content: content.to_vec() })
}

fn split<'b>(mut bytes: &'b [u8], delimiter: &[u8]) -> Vec<&'b [u8]> {
    let mut pieces = Vec::new();
    while let Some(at) = bytes.windows(delimiter.len()).position(|window| window == delimiter) {
        pieces.push(&bytes[..at]);
        bytes = &bytes[at + delimiter.len()..];
    }
    pieces.push(bytes);
    pieces
}

/// The file of that name.
pub(super) fn file<'p>(parts: &'p [Part], name: &str) -> Result<&'p [u8], Refusal> {
    let part = parts.iter().find(|part| part.name == name && part.filename.is_some());
    part.map(|part| part.content.as_slice()).ok_or(MISSING)
}
