//! The XML around a sealed answer.
//!
//! The callback's own envelope needs no reader: `ToUserName` and `Encrypt` are children of its root, see
//! [`Element::child_text`](super::xml::Element::child_text).
//!
//! Source: <https://developers.weixin.qq.com/doc/offiaccount/en/Message_Management/Message_encryption_and_decryption_instructions.html>

use std::fmt::Write;

use super::signature::sign;
use super::xml::push_cdata;

/// Signs `encrypt` (from [`seal_envelope`](super::crypto::seal_envelope)) and writes the body of the answer.
///
/// `timestamp` is now, in Unix seconds. `nonce` may be any text that XML can hold; the query's own will do.
/// `success` and the empty answer are not sealed, in no mode.
#[must_use]
pub fn envelope_xml(encrypt: &str, token: &str, timestamp: u64, nonce: &str) -> String {
    let timestamp = timestamp.to_string();
    let msg_signature = sign([token, &timestamp, nonce, encrypt]);

    let mut xml = String::with_capacity(encrypt.len() + nonce.len() + 256);
    xml.push_str("<xml><Encrypt>");
    push_cdata(&mut xml, encrypt);
    xml.push_str("</Encrypt><MsgSignature>");
    push_cdata(&mut xml, &msg_signature);
    // Writing to a `String` cannot fail.
    let _ = write!(xml, "</MsgSignature><TimeStamp>{timestamp}</TimeStamp><Nonce>");
    push_cdata(&mut xml, nonce);
    xml.push_str("</Nonce></xml>");
    xml
}

#[cfg(test)]
mod tests {
    use super::super::crypto::tests::vectors;
    use super::super::crypto::{open_envelope, seal_envelope};
    use super::super::reply::Reply;
    use super::super::signature::verify_msg_signature;
    use super::super::xml;
    use super::*;

    #[test]
    fn a_sealed_reply_comes_out_byte_for_byte() {
        let v = vectors().into_iter().find(|vector| vector.id == "V4").unwrap();
        let reply =
            Reply::text("收到：]]>").to_xml("oABCD1234567890abcdefghijkl", "gh_0123456789ab", 1_700_000_003);
        assert_eq!(reply, v.msg);

        let encrypt = seal_envelope(&reply, &v.key(), &v.appid, v.random());
        let expected = format!(
            "<xml><Encrypt><![CDATA[{}]]></Encrypt><MsgSignature><![CDATA[7dc9771fd963ddbe0e7d471933d263459e9d632b]]>\
             </MsgSignature><TimeStamp>1700000003</TimeStamp><Nonce><![CDATA[987654321]]></Nonce></xml>",
            v.encrypt
        );
        assert_eq!(envelope_xml(&encrypt, &v.token, 1_700_000_003, &v.nonce), expected);
    }

    #[test]
    fn a_callback_in_secure_mode_is_verified_and_opened() {
        let v = vectors().into_iter().find(|vector| vector.id == "V1").unwrap();
        let body = format!(
            "<xml><ToUserName><![CDATA[gh_0123456789ab]]></ToUserName><Encrypt><![CDATA[{}]]></Encrypt></xml>",
            v.encrypt
        );
        let root = xml::parse(body.as_bytes()).unwrap();
        let encrypt = root.child_text("Encrypt").unwrap();
        let signature = "aa47d9573367cc0818595a057d284f40d3200385";
        assert_eq!(verify_msg_signature(&v.token, "1700000000", "123456789", encrypt, signature), Ok(()));
        assert_eq!(open_envelope(encrypt, &v.key(), &v.appid), Ok(v.msg));
    }
}
