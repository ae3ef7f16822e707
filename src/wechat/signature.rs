//! Proof that a callback comes from WeChat.
//!
//! WeChat and this server share one secret, the account's `token`. WeChat signs every callback with it;
//! who cannot sign gets no answer. Pure: no I/O, no clock, and nothing on the heap when we verify.
//!
//! Source: <https://developers.weixin.qq.com/doc/offiaccount/en/Basic_Information/Access_Overview.html>

use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

/// Why a signature was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not 40 lower-case hex digits: WeChat did not write this.
    #[error("signature is not 40 lower-case hex digits")]
    Malformed,
    /// Well formed, but made with another token or for other values.
    #[error("signature mismatch")]
    Mismatch,
}

/// Checks the `signature` of a callback.
///
/// The signature is SHA-1 over `token`, `timestamp` and `nonce`, sorted bytewise and joined without a
/// separator, written as 40 lower-case hex digits. `timestamp` (Unix seconds) and `nonce` are the text that stood in
/// the query, percent-decoded and otherwise untouched: parsing and printing a number again could change it.
///
/// This vouches for the query. It says nothing about the body; in secure mode [`verify_msg_signature`] does that.
/// The comparison takes the same time wherever the first difference lies.
///
/// # Errors
///
/// [`SignatureError::Malformed`] if `signature` is not 40 lower-case hex digits; [`SignatureError::Mismatch`] if
/// another token made it.
///
/// # Example
///
/// ```
/// # use wxcgi::wechat::signature::verify_signature;
/// let signature = "f464b24fc39322e44b38aa78f5edd27bd1441696";
/// assert_eq!(verify_signature("AAAAA", "1714036504", "1514711492", signature), Ok(()));
/// ```
pub fn verify_signature(
    token: &str,
    timestamp: &str,
    nonce: &str,
    signature: &str,
) -> Result<(), SignatureError> {
    verify([token, timestamp, nonce], signature)
}

/// Checks the `msg_signature` of a sealed callback: as [`verify_signature`], but over `encrypt` as well.
///
/// `encrypt` is the text of the `Encrypt` element without white space around it, still in base64. Check this before
/// anything is decrypted.
///
/// # Errors
///
/// As [`verify_signature`].
pub fn verify_msg_signature(
    token: &str,
    timestamp: &str,
    nonce: &str,
    encrypt: &str,
    msg_signature: &str,
) -> Result<(), SignatureError> {
    verify([token, timestamp, nonce, encrypt], msg_signature)
}

/// Signs `parts` as WeChat does: sorted bytewise, joined, SHA-1, 40 lower-case hex digits.
#[must_use]
pub fn sign<const N: usize>(parts: [&str; N]) -> String {
    hex::encode(digest(parts))
}

fn verify<const N: usize>(parts: [&str; N], signature: &str) -> Result<(), SignatureError> {
    let received = parse_digest(signature).ok_or(SignatureError::Malformed)?;
    if digest(parts).ct_eq(&received).into() { Ok(()) } else { Err(SignatureError::Mismatch) }
}

fn digest<const N: usize>(mut parts: [&str; N]) -> [u8; 20] {
    parts.sort_unstable();
    let mut sha1 = Sha1::new();
    for part in parts {
        sha1.update(part);
    }
    sha1.finalize().into()
}

fn parse_digest(signature: &str) -> Option<[u8; 20]> {
    // `hex` reads capitals as well; WeChat writes none.
    if signature.bytes().any(|digit| digit.is_ascii_uppercase()) {
        return None;
    }
    let mut digest = [0; 20];
    hex::decode_to_slice(signature, &mut digest).ok()?;
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// token, timestamp, nonce, signature. P1 and P2 are WeChat's own; the others were made by four implementations.
    const VECTORS: [[&str; 4]; 6] = [
        ["AAAAA", "1714036504", "1514711492", "f464b24fc39322e44b38aa78f5edd27bd1441696"],
        ["AAAAA", "1714037059", "486452656", "899cf89e464efb63f54ddac96b0a0a235f53aa78"],
        ["MyToken123", "1700000000", "99", "06c9b8132434deed35a8d83c438d062079c045b6"],
        ["Zed", "1700000000", "abc", "8a6b94794895878651a1b389cf4a22d84b11c0bb"],
        ["0token", "999999999", "1000000000", "ee4cdd8933d76486bcbe60956e9706e3aa66a2ce"],
        ["令牌", "1700000000", "7", "5dc6d15bc40770136e525582a649af772dfc0810"],
    ];

    #[test]
    fn published_signatures_are_accepted_and_made() {
        for [token, timestamp, nonce, signature] in VECTORS {
            assert_eq!(verify_signature(token, timestamp, nonce, signature), Ok(()), "{token} {nonce}");
            assert_eq!(sign([nonce, token, timestamp]), signature);
        }
    }

    #[test]
    fn a_numeric_sort_is_a_mismatch() {
        let wrong = "ab330634768f71c072075c3cb20b33036445b40f";
        assert_eq!(verify_signature("MyToken123", "1700000000", "99", wrong), Err(SignatureError::Mismatch));
    }

    #[test]
    fn one_changed_digit_is_a_mismatch_wherever_it_stands() {
        let [token, timestamp, nonce, signature] = VECTORS[0];
        for at in 0..signature.len() {
            let mut digits = signature.to_owned().into_bytes();
            digits[at] = if digits[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(digits).unwrap();
            assert_eq!(
                verify_signature(token, timestamp, nonce, &changed),
                Err(SignatureError::Mismatch),
                "{at}"
            );
        }
    }

    #[test]
    fn anything_but_forty_lower_case_hex_digits_is_malformed() {
        let [token, timestamp, nonce, signature] = VECTORS[0];
        let upper = signature.to_uppercase();
        let longer = format!("{signature}0");
        let spaced = format!(" {signature}");
        for bad in
            ["", "f464", &upper, &longer, &signature[..39], &signature[..38], &spaced, &"令".repeat(40)]
        {
            assert_eq!(
                verify_signature(token, timestamp, nonce, bad),
                Err(SignatureError::Malformed),
                "{bad}"
            );
        }
    }
}
