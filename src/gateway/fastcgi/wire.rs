//! A web server's side of FastCGI, for tests: requests to send, replies to read.

use super::record::{self, HEADER_LEN, Header, push_pair};

/// One record with padding.
pub(super) fn padded(kind: u8, id: u16, content: &[u8], padding: u8) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    let mut out = Header { kind, id, content: length, padding }.encode().to_vec();
    out.extend_from_slice(content);
    out.resize(out.len() + usize::from(padding), 0xee);
    out
}

/// One record.
pub(super) fn plain(kind: u8, id: u16, content: &[u8]) -> Vec<u8> {
    padded(kind, id, content, 0)
}

/// BEGIN_REQUEST.
pub(super) fn begin(id: u16, role: u8, flags: u8) -> Vec<u8> {
    plain(record::BEGIN_REQUEST, id, &[0, role, flags, 0, 0, 0, 0, 0])
}

/// Name-value pairs.
pub(super) fn pairs(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in pairs {
        push_pair(&mut out, name, value);
    }
    out
}

/// A stream in records of at most `size` bytes, with its end.
pub(super) fn stream(kind: u8, id: u16, content: &[u8], size: usize) -> Vec<u8> {
    let mut out: Vec<u8> = content.chunks(size).flat_map(|part| plain(kind, id, part)).collect();
    out.extend(plain(kind, id, &[]));
    out
}

/// A request with these parameters, as they stand on the wire.
pub(super) fn request_of(id: u16, flags: u8, params: &[u8], body: &[u8]) -> Vec<u8> {
    [begin(id, 1, flags), stream(record::PARAMS, id, params, 16_384), stream(record::STDIN, id, body, 32_768)]
        .concat()
}

/// A whole request with what every request has.
pub(super) fn request(id: u16, flags: u8, query: &str, body: &[u8]) -> Vec<u8> {
    let length = if body.is_empty() { String::new() } else { body.len().to_string() };
    let params = pairs(&[
        (b"QUERY_STRING", query.as_bytes()),
        (b"REQUEST_METHOD", b"POST"),
        (b"CONTENT_LENGTH", length.as_bytes()),
    ]);
    request_of(id, flags, &params, body)
}

/// A record that we sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) kind: u8,
    pub(super) id: u16,
    pub(super) content: Vec<u8>,
}

/// Takes the output apart. Panics if it does not end with a record.
pub(super) fn records(mut output: &[u8]) -> Vec<Sent> {
    let mut found = Vec::new();
    while !output.is_empty() {
        let header = Header::decode(*output.first_chunk::<HEADER_LEN>().expect("a whole header")).unwrap();
        let (content, rest) = output[HEADER_LEN..].split_at(usize::from(header.content));
        found.push(Sent { kind: header.kind, id: header.id, content: content.to_vec() });
        output = &rest[usize::from(header.padding)..];
    }
    found
}

/// A reply: the request's id, the CGI document, the protocol status.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) id: u16,
    pub(super) document: String,
    pub(super) protocol_status: u8,
}

impl Reply {
    /// The HTTP status; 0 for an empty document.
    pub(super) fn status(&self) -> u16 {
        self.document.get(8..11).map_or(0, |digits| digits.parse().unwrap())
    }

    /// The body of the document.
    pub(super) fn body(&self) -> &str {
        self.document.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }
}

/// The replies in the output.
pub(super) fn replies(output: &[u8]) -> Vec<Reply> {
    let mut document = Vec::new();
    let mut found = Vec::new();
    for sent in records(output) {
        match sent.kind {
            record::STDOUT => document.extend(sent.content),
            record::END_REQUEST => found.push(Reply {
                id: sent.id,
                document: String::from_utf8(std::mem::take(&mut document)).unwrap(),
                protocol_status: sent.content[4],
            }),
            _ => {}
        }
    }
    found
}
