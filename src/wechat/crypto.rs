//! The sealed body of a callback and of its answer: AES-256-CBC around message, length and AppID.
//!
//! Inside the base64 of `Encrypt`, once decrypted, there lie 16 random bytes, the length of the message (four bytes,
//! the highest first), the message, the AppID of the account, and a padding of 1 to 32 bytes.
//!
//! Decrypting proves nothing: check `msg_signature` first, with
//! [`verify_msg_signature`](super::signature::verify_msg_signature).
//!
//! Source: <https://developers.weixin.qq.com/doc/offiaccount/en/Message_Management/Message_encryption_and_decryption_instructions.html>

use std::fmt;

use aes::Aes256;
use aes::cipher::array::Array;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD};

/// Length of an `EncodingAESKey`, in characters.
pub const ENCODING_AES_KEY_CHARS: usize = 43;
/// The padding's block in bytes. It is PKCS#7, but with 32 and not with the cipher's 16.
const PADDING_BLOCK: usize = 32;
/// The cipher's block in bytes.
const CIPHER_BLOCK: usize = 16;
/// The random bytes in front of the message.
const RANDOM_BYTES: usize = 16;

/// 43 characters carry 258 bits, the key has 256. Keys are typed as random letters, so the two bits left over are
/// often not zero, and a strict decoder would refuse the key.
const KEY_BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, NO_PAD.with_decode_allow_trailing_bits(true));

/// The account's AES key; prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct AesKey([u8; 32]);

/// Why a text is no `EncodingAESKey`. Holds nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AesKeyError {
    /// Too short or too long.
    #[error("an EncodingAESKey has {ENCODING_AES_KEY_CHARS} characters, not {found}")]
    Length {
        /// How many characters there are.
        found: usize,
    },
    /// A character that base64 does not know.
    #[error("an EncodingAESKey consists of letters and digits only")]
    Character,
}

impl AesKey {
    /// Reads the `EncodingAESKey` as it stands in WeChat's console.
    ///
    /// # Errors
    ///
    /// [`AesKeyError`] if it is not 43 characters of base64.
    pub fn parse(encoding_aes_key: &str) -> Result<Self, AesKeyError> {
        let found = encoding_aes_key.chars().count();
        if found != ENCODING_AES_KEY_CHARS {
            return Err(AesKeyError::Length { found });
        }
        let bytes = KEY_BASE64.decode(encoding_aes_key).map_err(|_| AesKeyError::Character)?;
        bytes.try_into().map(Self).map_err(|_| AesKeyError::Character)
    }

    /// The first half of the key: WeChat uses it as the initialisation vector of every message.
    fn iv(&self) -> [u8; CIPHER_BLOCK] {
        std::array::from_fn(|at| self.0[at])
    }
}

impl fmt::Debug for AesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why an envelope could not be opened. For our log: whoever sent it must not learn which one it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// `Encrypt` is not base64 (WeChat's -40010).
    #[error("`Encrypt` is not base64")]
    Base64,
    /// Nothing, or not a whole number of cipher blocks (-40007).
    #[error("the sealed body has an impossible length of {bytes} bytes")]
    CipherLength {
        /// Length of what the base64 stood for.
        bytes: usize,
    },
    /// The padding is impossible (-40008).
    #[error("impossible padding; most often the EncodingAESKey is wrong")]
    Padding,
    /// The length written inside does not fit (-40008).
    #[error("impossible inner length; most often the EncodingAESKey is wrong")]
    InnerLength,
    /// Opened well, but meant for another account (-40005).
    #[error("meant for another AppID, `{found}`")]
    ForeignAppId {
        /// The AppID inside, shortened to its leading letters and digits.
        found: String,
    },
    /// Opened well, but not text.
    #[error("the message inside is not UTF-8")]
    NotUtf8,
}

/// Opens the text of an `Encrypt` element and returns the message inside.
///
/// `encrypt` comes without white space around it, and its `msg_signature` was checked. `app_id` is the account's.
/// When a key was changed, try the current one, then the one before, and seal the answer with the one that opened.
///
/// # Errors
///
/// [`EnvelopeError`]: the first fault, looked for in the order in which it lists them.
pub fn open_envelope(encrypt: &str, key: &AesKey, app_id: &str) -> Result<String, EnvelopeError> {
    let mut bytes = STANDARD.decode(encrypt).map_err(|_| EnvelopeError::Base64)?;
    decrypt(&mut bytes, key)?;
    let content = strip_padding(&bytes).ok_or(EnvelopeError::Padding)?;
    let (message, found) = split_content(content).ok_or(EnvelopeError::InnerLength)?;
    if found != app_id.as_bytes() {
        return Err(EnvelopeError::ForeignAppId { found: presentable(found) });
    }
    std::str::from_utf8(message).map(str::to_owned).map_err(|_| EnvelopeError::NotUtf8)
}

/// Seals `message` (below 4 GiB) and returns the text of an `Encrypt` element: one line of base64.
///
/// `random` is new for every message and comes from the system's generator: since the initialisation vector never
/// changes, only it keeps equal messages from looking equal.
#[must_use]
pub fn seal_envelope(message: &str, key: &AesKey, app_id: &str, random: [u8; RANDOM_BYTES]) -> String {
    let content_bytes = RANDOM_BYTES + 4 + message.len() + app_id.len();
    let padding = PADDING_BLOCK - content_bytes % PADDING_BLOCK;

    let mut bytes = Vec::with_capacity(content_bytes + padding);
    bytes.extend_from_slice(&random);
    bytes.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(message.as_bytes());
    bytes.extend_from_slice(app_id.as_bytes());
    // The padding is 1 to 32, so the fallback is never used.
    bytes.resize(content_bytes + padding, u8::try_from(padding).unwrap_or_default());

    let (blocks, _) = Array::slice_as_chunks_mut(&mut bytes);
    cbc::Encryptor::<Aes256>::new(&key.0.into(), &key.iv().into()).encrypt_blocks(blocks);
    STANDARD.encode(bytes)
}

fn decrypt(bytes: &mut [u8], key: &AesKey) -> Result<(), EnvelopeError> {
    if bytes.is_empty() || !bytes.len().is_multiple_of(CIPHER_BLOCK) {
        return Err(EnvelopeError::CipherLength { bytes: bytes.len() });
    }
    let (blocks, _) = Array::slice_as_chunks_mut(bytes);
    cbc::Decryptor::<Aes256>::new(&key.0.into(), &key.iv().into()).decrypt_blocks(blocks);
    Ok(())
}

fn strip_padding(bytes: &[u8]) -> Option<&[u8]> {
    let last = *bytes.last()?;
    let padding = usize::from(last);
    if !(1..=PADDING_BLOCK).contains(&padding) {
        return None;
    }
    let (content, padded) = bytes.split_at_checked(bytes.len().checked_sub(padding)?)?;
    padded.iter().all(|&byte| byte == last).then_some(content)
}

/// Message and AppID.
fn split_content(content: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_random, rest) = content.split_at_checked(RANDOM_BYTES)?;
    let (length, rest) = rest.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// A foreign AppID for the log: with a wrong key it can be any bytes.
fn presentable(app_id: &[u8]) -> String {
    app_id.iter().take_while(|byte| byte.is_ascii_alphanumeric()).take(32).copied().map(char::from).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::super::signature::{SignatureError, sign, verify_msg_signature, verify_signature};
    use super::*;

    /// A vector of `tests/data/crypto-vectors.json`: O1 to O4 were published by WeChat and others, V1 to V5 made with
    /// four implementations.
    #[derive(Deserialize)]
    pub(in super::super) struct Vector {
        pub(in super::super) id: String,
        pub(in super::super) token: String,
        pub(in super::super) encoding_aes_key: String,
        aes_key_hex: String,
        pub(in super::super) appid: String,
        pub(in super::super) timestamp: String,
        pub(in super::super) nonce: String,
        random: String,
        pub(in super::super) msg: String,
        msg_bytes: usize,
        pub(in super::super) encrypt: String,
        pub(in super::super) msg_signature: String,
        signature: String,
    }

    impl Vector {
        pub(in super::super) fn key(&self) -> AesKey {
            AesKey::parse(&self.encoding_aes_key).unwrap()
        }

        pub(in super::super) fn random(&self) -> [u8; 16] {
            self.random.as_bytes().try_into().unwrap()
        }
    }

    pub(in super::super) fn vectors() -> Vec<Vector> {
        let vectors: Vec<Vector> =
            serde_json::from_str(include_str!("../../tests/data/crypto-vectors.json")).unwrap();
        assert_eq!(vectors.len(), 9);
        vectors
    }

    #[derive(Deserialize)]
    struct Negative {
        id: String,
        token: String,
        encoding_aes_key: String,
        appid: String,
        timestamp: String,
        nonce: String,
        encrypt: String,
        msg_signature: String,
    }

    fn vector(id: &str) -> Vector {
        vectors().into_iter().find(|vector| vector.id == id).unwrap()
    }

    #[test]
    fn every_vector_opens_to_its_message() {
        for v in vectors() {
            assert_eq!(v.msg.len(), v.msg_bytes, "{}", v.id);
            assert_eq!(open_envelope(&v.encrypt, &v.key(), &v.appid).as_ref(), Ok(&v.msg), "{}", v.id);
        }
    }

    #[test]
    fn every_vector_is_sealed_byte_for_byte() {
        for v in vectors() {
            assert_eq!(seal_envelope(&v.msg, &v.key(), &v.appid, v.random()), v.encrypt, "{}", v.id);
        }
    }

    #[test]
    fn every_vector_bears_both_signatures() {
        for v in vectors() {
            assert_eq!(verify_signature(&v.token, &v.timestamp, &v.nonce, &v.signature), Ok(()), "{}", v.id);
            assert_eq!(
                verify_msg_signature(&v.token, &v.timestamp, &v.nonce, &v.encrypt, &v.msg_signature),
                Ok(())
            );
            assert_eq!(sign([&v.token, &v.timestamp, &v.nonce, &v.encrypt]), v.msg_signature);
        }
    }

    #[test]
    fn a_changed_or_upper_case_msg_signature_is_refused() {
        let v = vector("V1");
        let check = |signature: &str| {
            verify_msg_signature(&v.token, &v.timestamp, &v.nonce, &v.encrypt, signature).unwrap_err()
        };
        assert_eq!(check(&v.msg_signature.replacen('a', "b", 1)), SignatureError::Mismatch);
        assert_eq!(check(&v.msg_signature.to_uppercase()), SignatureError::Malformed);
    }

    #[test]
    fn a_key_may_end_in_bits_that_are_not_used() {
        for v in vectors() {
            assert_eq!(hex::encode(v.key().0), v.aes_key_hex, "{}", v.id);
        }
    }

    #[test]
    fn a_text_that_is_no_key_is_refused_without_being_shown() {
        let good = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
        assert_eq!(AesKey::parse(&good[1..]), Err(AesKeyError::Length { found: 42 }));
        assert_eq!(AesKey::parse(&format!("{good}=")), Err(AesKeyError::Length { found: 44 }));
        assert_eq!(AesKey::parse(""), Err(AesKeyError::Length { found: 0 }));
        assert_eq!(AesKey::parse(&good.replace('a', "*")), Err(AesKeyError::Character));
        assert_eq!(AesKey::parse(&good.replace('a', "钥")), Err(AesKeyError::Character));
        assert_eq!(format!("{:?}", AesKey::parse(good)), "Ok(***)");
    }

    #[test]
    fn the_negative_vectors_are_refused_each_for_its_reason() {
        let vectors: Vec<Negative> =
            serde_json::from_str(include_str!("../../tests/data/crypto-negative.json")).unwrap();
        let found = vectors.iter().map(|v| {
            assert_eq!(
                verify_msg_signature(&v.token, &v.timestamp, &v.nonce, &v.encrypt, &v.msg_signature),
                Ok(())
            );
            let key = AesKey::parse(&v.encoding_aes_key).unwrap();
            (v.id.as_str(), open_envelope(&v.encrypt, &key, &v.appid).unwrap_err())
        });
        let expected = [
            ("N1", EnvelopeError::Padding),
            ("N2", EnvelopeError::Padding),
            ("N3", EnvelopeError::InnerLength),
            ("N4", EnvelopeError::ForeignAppId { found: "wxffffffffffffffff".into() }),
        ];
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_cut_or_empty_envelope_is_refused() {
        let v = vector("V1");
        let open = |encrypt: &str| open_envelope(encrypt, &v.key(), &v.appid).unwrap_err();
        assert!(matches!(open(&v.encrypt[..v.encrypt.len() - 4]), EnvelopeError::CipherLength { .. }));
        assert_eq!(open(""), EnvelopeError::CipherLength { bytes: 0 });
        assert_eq!(open("not base64!"), EnvelopeError::Base64);
        assert_eq!(open(&format!("{}\n", v.encrypt)), EnvelopeError::Base64);
    }

    #[test]
    fn another_accounts_key_does_not_open() {
        let v = vector("V1");
        let other = vector("V2").key();
        assert!(open_envelope(&v.encrypt, &other, &v.appid).is_err());
    }

    #[test]
    fn an_envelope_too_small_for_its_own_frame_is_refused() {
        let v = vector("V1");
        let seal = |content: &[u8]| {
            let padding = PADDING_BLOCK - content.len() % PADDING_BLOCK;
            let mut bytes = content.to_vec();
            bytes.resize(content.len() + padding, u8::try_from(padding).unwrap());
            let (blocks, _) = Array::slice_as_chunks_mut(&mut bytes);
            cbc::Encryptor::<Aes256>::new(&v.key().0.into(), &v.key().iv().into()).encrypt_blocks(blocks);
            STANDARD.encode(bytes)
        };
        let open = |content: &[u8]| open_envelope(&seal(content), &v.key(), &v.appid).unwrap_err();
        assert_eq!(open(b""), EnvelopeError::InnerLength);
        assert_eq!(open(&[0; 19]), EnvelopeError::InnerLength);
        assert_eq!(open(&[0; 20]), EnvelopeError::ForeignAppId { found: String::new() });
        assert_eq!(
            open(b"0123456789abcdef\0\0\0\x01\xffwx1234567890abcdef"),
            EnvelopeError::NotUtf8,
            "16 + 4 + 1 byte and the right AppID"
        );
    }

    #[test]
    fn each_byte_of_the_padding_counts() {
        assert_eq!(strip_padding(b"ab\x03\x03\x03"), Some(&b"ab"[..]));
        assert_eq!(strip_padding(&[32; 32]), Some(&b""[..]));
        for bad in [&b"ab\x03\x02\x03"[..], b"ab\x02\x03\x03", b"\x05\x05", b"ab\x00", &[33; 64], b""] {
            assert_eq!(strip_padding(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_foreign_app_id_is_shown_only_as_far_as_it_is_harmless() {
        assert_eq!(presentable(b"wx12\n34"), "wx12");
        assert_eq!(presentable("公众号".as_bytes()), "");
        assert_eq!(presentable(&[b'a'; 900]).len(), 32);
    }

    proptest! {
        #[test]
        fn no_envelope_makes_us_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text: String) {
            let key = vector("V1").key();
            let _ = open_envelope(&text, &key, "wx");
            let _ = open_envelope(&STANDARD.encode(bytes), &key, "wx");
        }

        #[test]
        fn what_we_seal_we_open(message: String, random: [u8; 16]) {
            let key = vector("V1").key();
            prop_assert_eq!(open_envelope(&seal_envelope(&message, &key, "wx1", random), &key, "wx1"), Ok(message));
        }
    }
}
