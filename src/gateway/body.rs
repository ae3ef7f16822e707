//! What the parameters of a request say about its body, and whether we read it. The same at both doors.

use super::refusal::Refusal;
use crate::http::Params;

/// A header that must never reach a program as the environment variable of the same name ("httpoxy",
/// CVE-2016-5385 and its kin): there it would be taken for the administrator's choice of a proxy.
const HTTP_PROXY: &[u8] = b"HTTP_PROXY";

/// Whether a parameter is one that anybody may read.
pub(super) fn may_be_read(name: &[u8]) -> bool {
    !name.is_empty() && name != HTTP_PROXY
}

/// How long the body of a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// As many bytes as `CONTENT_LENGTH` says.
    Known(u64),
    /// No `CONTENT_LENGTH`, but a `Transfer-Encoding`: Apache's mod_cgi hands such a body on up to its end.
    UntilEnd,
    /// Neither of both. Under CGI there is no body, under FastCGI its stream ends it.
    Unsaid,
}

impl Length {
    /// Reads it from the parameters; empty counts as absent.
    pub(super) fn of(params: &Params) -> Result<Self, Refusal> {
        match params.get("CONTENT_LENGTH") {
            Some(digits) => parse_length(digits).map(Self::Known).ok_or(Refusal::BadLength),
            None if is_encoded(params, "HTTP_TRANSFER_ENCODING") => Ok(Self::UntilEnd),
            None => Ok(Self::Unsaid),
        }
    }

    /// Compares it with what came.
    pub(super) fn check(self, received: usize) -> Result<(), Refusal> {
        let Self::Known(announced) = self else { return Ok(()) };
        match (received as u64).cmp(&announced) {
            std::cmp::Ordering::Less => Err(Refusal::Truncated),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(Refusal::Overlong),
        }
    }
}

/// What can be refused as soon as the parameters are known.
pub(super) fn check_params(params: &Params) -> Result<(), Refusal> {
    if params.get("REQUEST_METHOD").is_none() {
        return Err(Refusal::NoMethod);
    }
    if is_encoded(params, "HTTP_CONTENT_ENCODING") {
        return Err(Refusal::Encoded);
    }
    Ok(())
}

/// At most 19 ASCII digits, which always fit: no sign, no space, nothing that two programs read in two ways.
fn parse_length(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// Whether a header of encodings names any but `identity`.
fn is_encoded(params: &Params, header: &str) -> bool {
    params.header(header).is_some_and(|value| !value.eq_ignore_ascii_case(b"identity"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Params {
        let mut params = Params::new();
        for (name, value) in pairs {
            params.push(name.as_bytes(), value.as_bytes());
        }
        params
    }

    #[test]
    fn a_content_length_is_digits_and_nothing_else() {
        for (text, length) in [
            ("0", Ok(Length::Known(0))),
            ("5", Ok(Length::Known(5))),
            ("0005", Ok(Length::Known(5))),
            ("999999999999999999", Ok(Length::Known(999_999_999_999_999_999))),
            ("9999999999999999999", Ok(Length::Known(9_999_999_999_999_999_999))),
            ("10000000000000000000", Err(Refusal::BadLength)),
            ("100000000000000000000", Err(Refusal::BadLength)),
            ("+5", Err(Refusal::BadLength)),
            ("-1", Err(Refusal::BadLength)),
            ("5, 5", Err(Refusal::BadLength)),
            (" 5", Err(Refusal::BadLength)),
            ("5abc", Err(Refusal::BadLength)),
            ("0x5", Err(Refusal::BadLength)),
            ("٥", Err(Refusal::BadLength)),
            ("", Ok(Length::Unsaid)),
        ] {
            assert_eq!(Length::of(&params(&[("CONTENT_LENGTH", text)])), length, "{text}");
        }
    }

    #[test]
    fn a_transfer_encoding_counts_only_without_a_length() {
        let chunked = ("HTTP_TRANSFER_ENCODING", "chunked");
        assert_eq!(Length::of(&params(&[chunked])), Ok(Length::UntilEnd));
        assert_eq!(Length::of(&params(&[chunked, ("CONTENT_LENGTH", "5")])), Ok(Length::Known(5)));
        assert_eq!(Length::of(&params(&[("HTTP_TRANSFER_ENCODING", "Identity")])), Ok(Length::Unsaid));
        assert_eq!(Length::of(&params(&[])), Ok(Length::Unsaid));
    }

    #[test]
    fn a_compressed_body_and_a_missing_method_are_refused() {
        let get = ("REQUEST_METHOD", "GET");
        assert_eq!(check_params(&params(&[get])), Ok(()));
        assert_eq!(check_params(&params(&[get, ("HTTP_CONTENT_ENCODING", "identity")])), Ok(()));
        assert_eq!(check_params(&params(&[get, ("HTTP_CONTENT_ENCODING", "gzip")])), Err(Refusal::Encoded));
        assert_eq!(check_params(&params(&[])), Err(Refusal::NoMethod));
        assert_eq!(check_params(&params(&[("REQUEST_METHOD", "")])), Err(Refusal::NoMethod));
    }

    #[test]
    fn nobody_sees_the_proxy_header_or_a_nameless_parameter() {
        for (name, is_readable) in [("HTTP_PROXY", false), ("", false), ("HTTP_PROXY_X", true)] {
            assert_eq!(may_be_read(name.as_bytes()), is_readable, "{name}");
        }
    }

    #[test]
    fn a_body_is_as_long_as_announced() {
        assert_eq!(Length::Known(5).check(4), Err(Refusal::Truncated));
        assert_eq!(Length::Known(5).check(5), Ok(()));
        assert_eq!(Length::Known(5).check(6), Err(Refusal::Overlong));
        assert_eq!(Length::Unsaid.check(6), Ok(()));
    }
}
