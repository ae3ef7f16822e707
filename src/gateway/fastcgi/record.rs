//! FastCGI 1.0 on the wire: record headers, name-value pairs and the records that we send. Pure.
//!
//! Source: the FastCGI Specification 1.0, 29 April 1996; the names are its own.

/// The length of a record's header.
pub(super) const HEADER_LEN: usize = 8;

/// The most that one record holds.
pub(super) const MAX_CONTENT: usize = 65_535;

const VERSION_1: u8 = 1;

pub(super) const BEGIN_REQUEST: u8 = 1;
pub(super) const ABORT_REQUEST: u8 = 2;
pub(super) const END_REQUEST: u8 = 3;
pub(super) const PARAMS: u8 = 4;
pub(super) const STDIN: u8 = 5;
pub(super) const STDOUT: u8 = 6;
pub(super) const STDERR: u8 = 7;
pub(super) const DATA: u8 = 8;
pub(super) const GET_VALUES: u8 = 9;
pub(super) const GET_VALUES_RESULT: u8 = 10;
pub(super) const UNKNOWN_TYPE: u8 = 11;

/// The only role that we play; the others are Authorizer (2) and Filter (3).
pub(super) const RESPONDER: u16 = 1;

/// In the flags of BEGIN_REQUEST: the connection stays after the reply.
pub(super) const KEEP_CONN: u8 = 1;

/// `protocolStatus` of END_REQUEST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProtocolStatus {
    RequestComplete = 0,
    CantMpxConn = 1,
    UnknownRole = 3,
}

/// The header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: u8,
    pub(super) id: u16,
    pub(super) content: u16,
    pub(super) padding: u8,
}

impl Header {
    /// Reads a header; `None` if it is not of version 1.
    pub(super) fn decode(bytes: [u8; HEADER_LEN]) -> Option<Self> {
        let [version, kind, id1, id0, content1, content0, padding, _reserved] = bytes;
        (version == VERSION_1).then(|| Self {
            kind,
            id: u16::from_be_bytes([id1, id0]),
            content: u16::from_be_bytes([content1, content0]),
            padding,
        })
    }

    /// Writes a header.
    pub(super) fn encode(self) -> [u8; HEADER_LEN] {
        let [id1, id0] = self.id.to_be_bytes();
        let [content1, content0] = self.content.to_be_bytes();
        [VERSION_1, self.kind, id1, id0, content1, content0, self.padding, 0]
    }
}

/// Appends a record of at most [`MAX_CONTENT`] bytes; more are cut off.
pub(super) fn push_record(out: &mut Vec<u8>, kind: u8, id: u16, content: &[u8]) {
    let content = content.get(..MAX_CONTENT).unwrap_or(content);
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&Header { kind, id, content: length, padding: 0 }.encode());
    out.extend_from_slice(content);
}

/// Appends what `write` writes as STDOUT records, and the empty one that ends them.
pub(super) fn push_stdout(out: &mut Vec<u8>, id: u16, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_LEN]);
    write(out);
    let length = out.len() - start - HEADER_LEN;
    match u16::try_from(length) {
        // An empty record would end the stream twice.
        Ok(0) => out.truncate(start),
        Ok(content) => {
            let header = Header { kind: STDOUT, id, content, padding: 0 }.encode();
            out[start..start + HEADER_LEN].copy_from_slice(&header);
        }
        Err(_) => {
            let long = out.split_off(start + HEADER_LEN);
            out.truncate(start);
            long.chunks(MAX_CONTENT).for_each(|content| push_record(out, STDOUT, id, content));
        }
    }
    push_record(out, STDOUT, id, &[]);
}

/// Appends END_REQUEST. The `appStatus` is always 0: what went wrong stands in the HTTP status, which servers read.
pub(super) fn push_end_request(out: &mut Vec<u8>, id: u16, status: ProtocolStatus) {
    push_record(out, END_REQUEST, id, &[0, 0, 0, 0, status as u8, 0, 0, 0]);
}

/// Appends UNKNOWN_TYPE, the answer to a management record that we do not know.
pub(super) fn push_unknown_type(out: &mut Vec<u8>, kind: u8) {
    push_record(out, UNKNOWN_TYPE, 0, &[kind, 0, 0, 0, 0, 0, 0, 0]);
}

/// Appends the answer to GET_VALUES: each name that we know once, however often it was asked for.
///
/// `None` if the names are not well-formed.
pub(super) fn push_values(out: &mut Vec<u8>, query: &[u8], max_connections: usize) -> Option<()> {
    let connections = max_connections.to_string();
    let mut known = [
        (&b"FCGI_MAX_CONNS"[..], connections.as_bytes(), false),
        (b"FCGI_MAX_REQS", connections.as_bytes(), false),
        (b"FCGI_MPXS_CONNS", b"0", false),
    ];
    for pair in Pairs(query) {
        let (asked, _) = pair?;
        known.iter_mut().filter(|(name, ..)| *name == asked).for_each(|(_, _, wanted)| *wanted = true);
    }
    let mut content = Vec::with_capacity(96);
    for (name, value, _) in known.iter().filter(|(.., wanted)| *wanted) {
        push_pair(&mut content, name, value);
    }
    push_record(out, GET_VALUES_RESULT, 0, &content);
    Some(())
}

/// Appends a name-value pair.
pub(super) fn push_pair(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    push_length(out, name.len());
    push_length(out, value.len());
    out.extend_from_slice(name);
    out.extend_from_slice(value);
}

/// A length in one byte if it is below 128, else in four with the top bit set.
fn push_length(out: &mut Vec<u8>, length: usize) {
    if let Ok(short @ 0..128) = u8::try_from(length) {
        return out.push(short);
    }
    let long = u32::try_from(length).unwrap_or(u32::MAX) | 1 << 31;
    out.extend_from_slice(&long.to_be_bytes());
}

/// The name-value pairs in a buffer, without a copy. A pair that does not end within the buffer is `None`, and the
/// last: half a set of parameters is none.
pub(super) struct Pairs<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Pairs<'a> {
    type Item = Option<(&'a [u8], &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let pair = split_pair(self.0);
        self.0 = pair.map_or(&[], |(_, rest)| rest);
        Some(pair.map(|(pair, _)| pair))
    }
}

/// A name and its value.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// The first pair and what follows it. Lengths are believed only after a look at what is there.
fn split_pair(bytes: &[u8]) -> Option<(Pair<'_>, &[u8])> {
    let (name_len, bytes) = split_length(bytes)?;
    let (value_len, bytes) = split_length(bytes)?;
    let (name, bytes) = bytes.split_at_checked(name_len)?;
    let (value, bytes) = bytes.split_at_checked(value_len)?;
    Some(((name, value), bytes))
}

fn split_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first < 128 {
        return Some((usize::from(first), rest));
    }
    let (long, rest) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*long) & (u32::MAX >> 1);
    Some((usize::try_from(length).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(bytes: &[u8]) -> Option<Vec<Pair<'_>>> {
        Pairs(bytes).collect()
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let header = Header { kind: STDIN, id: 65535, content: 65535, padding: 255 };
        let bytes = header.encode();
        assert_eq!(bytes, [1, 5, 255, 255, 255, 255, 255, 0]);
        assert_eq!(Header::decode(bytes), Some(header));
    }

    #[test]
    fn only_version_1_is_read() {
        for version in [0, 2, 255] {
            assert_eq!(Header::decode([version, 1, 0, 1, 0, 8, 0, 0]), None);
        }
    }

    #[test]
    fn lengths_at_the_boundaries_are_read() {
        for length in [0, 1, 126, 127, 128, 129, 255, 256, 16383, 16384, 65535] {
            let (name, value) = (vec![b'n'; length], vec![b'v'; length]);
            let mut bytes = Vec::new();
            push_pair(&mut bytes, &name, b"");
            push_pair(&mut bytes, b"X", &value);
            assert_eq!(pairs(&bytes), Some(vec![(&name[..], &b""[..]), (b"X", &value)]), "{length}");
        }
    }

    #[test]
    fn the_specification_writes_127_in_one_byte_and_128_in_four() {
        let mut out = Vec::new();
        push_length(&mut out, 127);
        push_length(&mut out, 128);
        assert_eq!(out, [127, 0x80, 0, 0, 128]);
    }

    #[test]
    fn a_long_form_of_a_short_length_is_read() {
        assert_eq!(pairs(&[0x80, 0, 0, 1, 1, b'a', b'b']), Some(vec![(&b"a"[..], &b"b"[..])]));
    }

    #[test]
    fn a_truncated_pair_is_none() {
        let mut bytes = Vec::new();
        push_pair(&mut bytes, b"NAME", &[b'v'; 200]);
        assert_eq!(pairs(&bytes).unwrap().len(), 1);
        for end in 1..bytes.len() {
            assert_eq!(pairs(&bytes[..end]), None, "{end}");
        }
    }

    #[test]
    fn a_length_of_two_gigabytes_is_believed_by_nobody() {
        assert_eq!(pairs(&[255, 255, 255, 255, 255, 255, 255, 255, b'a']), None);
        assert_eq!(pairs(&[1, 255, 255, 255, 255, b'a', b'b']), None);
    }

    #[test]
    fn values_are_told_once_each_and_only_those_we_know() {
        let mut query = Vec::new();
        for _ in 0..5000 {
            push_pair(&mut query, b"FCGI_MPXS_CONNS", b"");
            push_pair(&mut query, b"FCGI_OTHER", b"");
        }
        push_pair(&mut query, b"FCGI_MAX_CONNS", b"");
        let mut out = Vec::new();
        push_values(&mut out, &query, 1024).unwrap();
        assert_eq!(&out[..8], [1, GET_VALUES_RESULT, 0, 0, 0, 38, 0, 0]);
        assert_eq!(
            pairs(&out[8..]),
            Some(vec![(&b"FCGI_MAX_CONNS"[..], &b"1024"[..]), (b"FCGI_MPXS_CONNS", b"0")])
        );
    }

    #[test]
    fn forty_thousand_tiny_pairs_are_read_without_a_stack() {
        assert_eq!(pairs(&vec![0; 80_000]).unwrap().len(), 40_000);
        assert_eq!(push_values(&mut Vec::new(), &vec![0; 65_534], 1), Some(()));
        assert_eq!(push_values(&mut Vec::new(), &vec![0; 65_535], 1), None);
    }

    #[test]
    fn a_long_answer_is_cut_into_records() {
        let mut out = vec![9];
        push_stdout(&mut out, 7, |out| out.resize(out.len() + 70_000, b'x'));
        assert_eq!(&out[..9], [9, 1, STDOUT, 0, 7, 255, 255, 0, 0]);
        assert_eq!(&out[9 + 65535..][..8], [1, STDOUT, 0, 7, 0x11, 0x71, 0, 0]);
        assert_eq!(&out[out.len() - 8..], [1, STDOUT, 0, 7, 0, 0, 0, 0]);
        assert_eq!(out.len(), 1 + 3 * 8 + 70_000);
    }

    #[test]
    fn an_answer_of_exactly_one_record_and_an_empty_one_end_once() {
        let mut out = Vec::new();
        push_stdout(&mut out, 1, |out| out.resize(out.len() + 65_535, b'x'));
        assert_eq!(out.len(), 8 + 65_535 + 8);
        out.clear();
        push_stdout(&mut out, 1, |_| ());
        assert_eq!(out, [1, STDOUT, 0, 1, 0, 0, 0, 0]);
    }
}
