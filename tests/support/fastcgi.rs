//! A web server's side of FastCGI, by hand: the records of a request, the answer in the records that come back.

use std::io::Read;

use super::{Answer, Request};

const BEGIN_REQUEST: u8 = 1;
const END_REQUEST: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;

/// A whole request for the responder, on a connection that is not kept.
pub(crate) fn records(request: &Request, path: &str) -> Vec<u8> {
    let (mut variables, body) = request.meta_variables(path);
    variables.retain(|(name, _)| name != "CONTENT_LENGTH");
    variables.push(("CONTENT_LENGTH".to_owned(), body.len().to_string().into()));
    let mut params = Vec::new();
    for (name, value) in variables {
        params.extend(length(name.len()));
        params.extend(length(value.len()));
        params.extend(name.into_bytes());
        params.extend(value);
    }
    [
        record(BEGIN_REQUEST, &[0, 1, 0, 0, 0, 0, 0, 0]),
        record(PARAMS, &params),
        record(PARAMS, &[]),
        body.chunks(32_768).flat_map(|part| record(STDIN, part)).collect(),
        record(STDIN, &[]),
    ]
    .concat()
}

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).expect("fits in a record").to_be_bytes();
    [&[1, kind, 0, 1, high, low, 0, 0], content].concat()
}

fn length(length: usize) -> Vec<u8> {
    match u8::try_from(length) {
        Ok(short @ ..128) => vec![short],
        _ => (u32::try_from(length).expect("not that long") | 1 << 31).to_be_bytes().into(),
    }
}

/// Reads the answer up to the end of its connection. Says what was wrong if it is not whole.
pub(crate) fn answer_on(stream: &mut impl Read) -> Result<Answer, String> {
    let mut received = Vec::new();
    let ended = stream.read_to_end(&mut received);
    let whole = || {
        let (mut rest, mut stdout) = (received.as_slice(), Vec::new());
        loop {
            let (&[_, kind, _, _, high, low, padding, _], behind) = rest.split_first_chunk()?;
            let (content, behind) = behind.split_at_checked(u16::from_be_bytes([high, low]).into())?;
            match kind {
                STDOUT => stdout.extend(content),
                END_REQUEST => return (!stdout.is_empty()).then_some(stdout),
                _ => {}
            }
            rest = behind.split_at_checked(padding.into())?.1;
        }
    };
    match whole() {
        Some(stdout) => Ok(Answer::from_cgi(&stdout, "a request in records".to_owned())),
        None => Err(format!("no whole answer but {} bytes ({ended:?})", received.len())),
    }
}
