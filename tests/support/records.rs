//! FastCGI 1.0 as bytes: the records of a web server, made here and not by the code under test.

use super::Request;

/// The types of records.
pub(crate) mod kind {
    pub(crate) const BEGIN_REQUEST: u8 = 1;
    pub(crate) const ABORT_REQUEST: u8 = 2;
    pub(crate) const END_REQUEST: u8 = 3;
    pub(crate) const PARAMS: u8 = 4;
    pub(crate) const STDIN: u8 = 5;
    pub(crate) const STDOUT: u8 = 6;
    pub(crate) const STDERR: u8 = 7;
    pub(crate) const DATA: u8 = 8;
    pub(crate) const GET_VALUES: u8 = 9;
    pub(crate) const GET_VALUES_RESULT: u8 = 10;
    pub(crate) const UNKNOWN_TYPE: u8 = 11;
}

/// A record that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: u8,
    pub(crate) id: u16,
    pub(crate) content: Vec<u8>,
}

/// A record without padding.
pub(crate) fn record(kind: u8, id: u16, content: &[u8]) -> Vec<u8> {
    padded(kind, id, content, 0)
}

/// A record with so much padding, which is not of zeros.
pub(crate) fn padded(kind: u8, id: u16, content: &[u8], padding: u8) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("one record").to_be_bytes();
    let id = id.to_be_bytes();
    let mut bytes = vec![1, kind, id[0], id[1], length[0], length[1], padding, 0];
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len() + usize::from(padding), 0xA5);
    bytes
}

/// A stream in records of at most `size` bytes, with the empty one that ends it.
pub(crate) fn stream(kind: u8, id: u16, bytes: &[u8], size: usize) -> Vec<u8> {
    let mut records: Vec<_> = bytes.chunks(size).map(|part| record(kind, id, part)).collect();
    records.push(record(kind, id, b""));
    records.concat()
}

/// BEGIN_REQUEST; the roles are Responder (1), Authorizer (2) and Filter (3).
pub(crate) fn begin(id: u16, role: u16, keep: bool) -> Vec<u8> {
    let role = role.to_be_bytes();
    record(kind::BEGIN_REQUEST, id, &[role[0], role[1], u8::from(keep), 0, 0, 0, 0, 0])
}

/// A name and its value.
pub(crate) fn pair(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    let (name, value) = (name.as_ref(), value.as_ref());
    [&length(name.len()), &length(value.len()), name, value].concat()
}

/// One byte below 128, else four with the top bit set.
fn length(length: usize) -> Vec<u8> {
    match u8::try_from(length) {
        Ok(short @ 0..128) => vec![short],
        _ => (u32::try_from(length).expect("31 bits") | 1 << 31).to_be_bytes().to_vec(),
    }
}

/// A whole request of these parameters and this body.
pub(crate) fn request(id: u16, keep: bool, params: &[u8], body: &[u8]) -> Vec<u8> {
    [begin(id, 1, keep), stream(kind::PARAMS, id, params, 65_535), stream(kind::STDIN, id, body, 65_535)]
        .concat()
}

impl Request {
    /// Its parameters as pairs, and its body.
    pub(crate) fn pairs_and_body(&self) -> (Vec<u8>, Vec<u8>) {
        let (variables, body) = self.meta_variables("/weixin");
        (variables.iter().flat_map(|(name, value)| pair(name, value)).collect(), body)
    }

    /// All of its records, under this id.
    pub(crate) fn records(&self, id: u16, keep: bool) -> Vec<u8> {
        let (params, body) = self.pairs_and_body();
        request(id, keep, &params, &body)
    }
}
