//! Secure mode: vectors of WeChat's documentation and of other implementations, and wechatpy at the other end.

use serde_json::Value;

use crate::support::{Door, Keys, Request, Site, WeChat, available, element, envelope};

/// A published envelope.
#[derive(Debug)]
struct Vector {
    id: String,
    keys: Keys,
    timestamp: String,
    nonce: String,
    encrypt: String,
    msg_signature: String,
    message: String,
}

impl Vector {
    fn push(&self) -> Request {
        self.push_as(&envelope(&self.encrypt))
    }

    fn push_as(&self, body: &str) -> Request {
        WeChat::with_token(&self.keys.token).pushes_sealed(
            body,
            &self.timestamp,
            &self.nonce,
            &self.msg_signature,
        )
    }
}

fn vectors(kind: &str) -> Vec<Vector> {
    let all: Value = serde_json::from_str(include_str!("data/secure_vectors.json")).expect("JSON");
    let vectors = all[kind].as_array().expect("a list").iter().map(|vector| {
        let text = |name: &str| vector[name].as_str().unwrap_or_default().to_owned();
        Vector {
            id: text("id"),
            keys: Keys::new(&text("token"), &text("encoding_aes_key"), &text("appid")),
            timestamp: text("timestamp"),
            nonce: text("nonce"),
            encrypt: text("encrypt"),
            msg_signature: text("msg_signature"),
            message: text("msg"),
        }
    });
    let vectors: Vec<_> = vectors.collect();
    assert!(vectors.len() >= 3);
    vectors
}

#[test]
fn published_envelopes_are_opened_and_answered_in_one_that_wechatpy_opens() {
    if !available("wechatpy") {
        return;
    }
    for vector in vectors("opened") {
        for door in Door::open_ones([Door::ApacheCgid, Door::NginxUnix]) {
            let site = Site::behind(door).with_config(&vector.keys.config("secure")).open();
            let answer = site.receives(&vector.push());
            let reply = vector.keys.open(&answer);
            let said = element(&vector.message, "Content").expect("a text");
            assert_eq!(element(&reply, "Content"), Some(format!("收到：{said}")), "{}: {reply}", vector.id);
            assert_eq!(element(&reply, "ToUserName"), element(&vector.message, "FromUserName"), "{reply}");
            assert_eq!(element(&reply, "FromUserName"), element(&vector.message, "ToUserName"), "{reply}");
            answer.keeps_quiet_about(&["收到", "ToUserName"]);
        }
    }
}

#[test]
fn what_wechatpy_seals_is_answered_in_an_envelope_that_wechatpy_opens() {
    if !available("wechatpy") {
        return;
    }
    let keys = Keys::ours();
    for door in Door::open_ones([Door::ByHand, Door::ApacheFcgid, Door::NginxKeepalive]) {
        let site = Site::behind(door).with_config(&keys.config("secure")).open();
        // Every length of padding, 1 to 32.
        let lengths = if door == Door::NginxKeepalive { 1..=32 } else { 5..=5 };
        for length in lengths {
            let text = "x".repeat(length);
            let message = WeChat::message("text", &format!("<Content><![CDATA[{text}]]></Content>"));
            let reply = keys.open(&site.receives(&keys.seal(&message)));
            assert_eq!(element(&reply, "Content"), Some(format!("收到：{text}")), "{reply}");
        }
        let message = WeChat::message("text", "<Content><![CDATA[你好😀 ]]]]><![CDATA[> a<b]]></Content>");
        let reply = keys.open(&site.receives(&keys.seal(&message)));
        assert_eq!(element(&reply, "Content").as_deref(), Some("收到：你好😀 ]]> a<b"), "{reply}");
        // Not a message, so not sealed.
        site.receives(&keys.seal(&WeChat::event("unsubscribe", ""))).acknowledges();
        // The check of the URL is never encrypted for an Official Account.
        site.receives(&WeChat::with_token(&keys.token).verifies("4711")).is(200).says("4711");
    }
}

#[test]
fn in_compatible_mode_the_encrypted_message_counts_and_the_other_does_not() {
    if !available("wechatpy") {
        return;
    }
    for vector in vectors("opened") {
        for mode in ["compatible", "any"] {
            let site = Site::behind(Door::ByHand).with_config(&vector.keys.config(mode)).open();
            let plain = WeChat::message("text", "<Content><![CDATA[forged]]></Content>");
            let encrypt = format!("<Encrypt><![CDATA[{}]]></Encrypt></xml>", vector.encrypt);
            let answer = site.receives(&vector.push_as(&plain.replace("</xml>", &encrypt)));
            let text = answer.text();
            let reply = if text.contains("<Encrypt>") { vector.keys.open(&answer) } else { text };
            let said = element(&vector.message, "Content").expect("a text");
            assert_eq!(element(&reply, "Content"), Some(format!("收到：{said}")), "{}: {reply}", vector.id);
        }
    }
}

#[test]
fn secure_mode_refuses_what_is_not_encrypted() {
    let keys = Keys::ours();
    for door in Door::open_ones([Door::ByHand, Door::FastcgiByHand]) {
        let site = Site::behind(door).with_config(&keys.config("secure")).open();
        let wechat = WeChat::with_token(&keys.token);
        for request in [
            wechat.says("你好"),
            wechat.says("你好").with("encrypt_type", "raw"),
            wechat.says("你好").with("encrypt_type", "aes"),
        ] {
            site.receives(&request).is_one_of(&[400, 403]).keeps_quiet_about(&["收到"]);
        }
    }
}

#[test]
fn another_message_signature_is_refused() {
    for vector in vectors("opened") {
        let site = Site::behind(Door::ByHand).with_config(&vector.keys.config("secure")).open();
        let flipped = if vector.msg_signature.starts_with('0') { "1" } else { "0" };
        let flipped = format!("{flipped}{}", &vector.msg_signature[1..]);
        for request in [
            vector.push().with("msg_signature", &flipped),
            vector.push().with("msg_signature", ""),
            vector.push().without("msg_signature"),
            vector.push().with("nonce", "2"),
        ] {
            site.receives(&request).is(403).keeps_quiet_about(&["收到"]);
        }
    }
}

#[test]
fn whatever_is_wrong_inside_an_envelope_looks_the_same_from_outside() {
    for door in Door::open_ones([Door::ByHand, Door::FastcgiByHand]) {
        let mut answers = Vec::new();
        for vector in vectors("refused") {
            let site = Site::behind(door).with_config(&vector.keys.config("secure")).open();
            answers.push((vector.id.clone(), site.receives(&vector.push())));
        }
        // A good envelope and another key, another AppId.
        let good = vectors("opened").pop().expect("a vector");
        let other_key =
            Keys { aes: "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C".to_owned(), ..good.keys.clone() };
        let other_id = Keys { app_id: "wxffffffffffffffff".to_owned(), ..good.keys.clone() };
        for (what, keys) in [("another key", other_key), ("another AppId", other_id)] {
            let site = Site::behind(door).with_config(&keys.config("secure")).open();
            answers.push((what.to_owned(), site.receives(&good.push())));
        }
        for (what, answer) in &answers {
            assert_eq!(answer.status, 400, "{what}: {answer}");
            assert_eq!(answer.body, answers[0].1.body, "{what} tells itself apart: {answer}");
        }
    }
}
