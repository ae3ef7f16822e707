//! The sealed envelope.

use aes::Aes256;
use aes::cipher::array::Array;
use aes::cipher::{BlockModeEncrypt, KeyIvInit};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use roxmltree::Document;

use super::answer::{AES_KEY, APP_ID, TOKEN, assert_legal, call, terms, text_of};
use crate::callback::SUCCESS;
use crate::wechat::crypto::{AesKey, open_envelope, seal_envelope};
use crate::wechat::message::Message;
use crate::wechat::signature::sign;
use crate::wechat::xml::parse;

/// An envelope opens if, and only if, it holds what the specification says, and what is in it is answered in an
/// envelope that opens.
///
/// The first byte tells what follows: the text of `Encrypt`, what its base64 stands for, what lies encrypted in it with
/// its padding or without, or a message to be sealed, for us or for others.
///
/// # Panics
///
/// If it does not hold.
pub fn envelope(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return };
    match first % 6 {
        0 => {
            let _ = open_envelope(&String::from_utf8_lossy(rest), &key(), APP_ID);
        }
        1 => assert_called(&STANDARD.encode(rest), None),
        2 => assert_opened(blocks(rest)),
        3 => assert_opened(&padded(rest)),
        4 => {
            let message = String::from_utf8_lossy(rest);
            let sealed = seal_envelope(&message, &key(), APP_ID, [first; 16]);
            assert_eq!(open_envelope(&sealed, &key(), APP_ID).as_deref(), Ok(&*message));
            assert_called(&sealed, Some(&message));
        }
        _ => {
            let app_id = String::from_utf8_lossy(rest);
            let sealed = seal_envelope("<xml></xml>", &key(), &app_id, [first; 16]);
            assert_eq!(open_envelope(&sealed, &key(), APP_ID).is_ok(), app_id == APP_ID);
        }
    }
}

fn key() -> AesKey {
    AesKey::parse(AES_KEY).expect("a key")
}

/// What is encrypted opens as the specification reads it, and seals again to the same.
fn assert_opened(plain: &[u8]) {
    let encrypt = encrypted(plain.to_vec());
    let opened = open_envelope(&encrypt, &key(), APP_ID);
    assert_eq!(opened.as_deref().ok(), message_in(plain));
    if let Ok(message) = &opened
        && plain.len().is_multiple_of(32)
    {
        let random = *plain.first_chunk().expect("it opened");
        assert_eq!(seal_envelope(message, &key(), APP_ID, random), encrypt, "sealed again");
    }
    assert_called(&encrypt, opened.ok().as_deref());
}

/// The message in a decrypted envelope: random bytes, length, message, AppID, padding.
fn message_in(plain: &[u8]) -> Option<&str> {
    let padding = *plain.last()?;
    let end = plain.len().checked_sub(padding.into())?;
    if padding == 0 || padding > 32 || plain[end..].iter().any(|&byte| byte != padding) || end < 20 {
        return None;
    }
    let length = plain[16..20].iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
    let message = plain[20..end].get(..length)?;
    (&plain[20 + length..end] == APP_ID.as_bytes()).then(|| str::from_utf8(message).ok())?
}

/// `data` as whole blocks of the cipher.
fn blocks(data: &[u8]) -> &[u8] {
    &data[..data.len() - data.len() % 16]
}

/// `data` with the padding that belongs to it.
fn padded(data: &[u8]) -> Vec<u8> {
    let padding = 32 - data.len() % 32;
    [data, &vec![u8::try_from(padding).expect("32 at most"); padding]].concat()
}

/// `plain` as the text of `Encrypt`; written without the code under test.
fn encrypted(mut plain: Vec<u8>) -> String {
    let key: [u8; 32] = STANDARD_NO_PAD.decode(format!("{}E", &AES_KEY[..42])).expect("a key")[..]
        .try_into()
        .expect("its length");
    let iv: [u8; 16] = *key.first_chunk().expect("half of it");
    let (blocks, _) = Array::slice_as_chunks_mut(&mut plain);
    cbc::Encryptor::<Aes256>::new(&key.into(), &iv.into()).encrypt_blocks(blocks);
    STANDARD.encode(plain)
}

/// A call with this envelope is refused without its signature, and with it answered as what lies inside deserves.
fn assert_called(encrypt: &str, inside: Option<&str>) {
    let (timestamp, nonce) = ("1700000000", "42");
    let query = |msg_signature: &str| {
        let signature = sign([TOKEN, timestamp, nonce]);
        format!(
            "signature={signature}&timestamp={timestamp}&nonce={nonce}&encrypt_type=aes&msg_signature={msg_signature}"
        )
    };
    let body = format!("<xml><ToUserName>gh</ToUserName><Encrypt>{encrypt}</Encrypt></xml>");
    if encrypt.is_empty() {
        assert_eq!(call(terms(), "POST", query("").as_bytes(), body.as_bytes()).status, 400);
        return;
    }
    let forged = sign([TOKEN, timestamp, nonce]);
    assert_eq!(call(terms(), "POST", query(&forged).as_bytes(), body.as_bytes()).status, 403, "forged");

    let proof = sign([TOKEN, timestamp, nonce, encrypt]);
    let response = call(terms(), "POST", query(&proof).as_bytes(), body.as_bytes());
    let root = inside.and_then(|inside| parse(inside.as_bytes()).ok());
    match root.as_ref().and_then(|root| Message::from_xml(root).ok()) {
        Some(message) => {
            assert_eq!(response.status, 200, "{response:?}");
            assert_legal(&unsealed(&response.body), &message);
        }
        None => assert_eq!(response.status, 400, "{response:?}"),
    }
}

/// The reply inside a sealed answer; `success` is not sealed.
fn unsealed(answer: &[u8]) -> Vec<u8> {
    if answer == SUCCESS.as_bytes() {
        return answer.to_vec();
    }
    let document = Document::parse(str::from_utf8(answer).expect("text")).expect("strict XML");
    let part = |name| text_of(document.root_element(), name);
    let encrypt = part("Encrypt");
    assert_eq!(part("MsgSignature"), sign([TOKEN, &part("TimeStamp"), &part("Nonce"), &encrypt]));
    open_envelope(&encrypt, &key(), APP_ID).expect("our own envelope").into_bytes()
}
