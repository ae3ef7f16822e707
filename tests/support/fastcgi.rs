//! An answer in the records of FastCGI, on a connection that ends with it.

use std::io::Read;

use super::Answer;
use super::records::kind::{END_REQUEST, STDOUT};

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
