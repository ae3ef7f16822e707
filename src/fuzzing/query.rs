//! The query string.

use std::borrow::Cow;

use super::answer::{TOKEN, call, terms};
use crate::http::query_pairs;
use crate::wechat::signature::sign;

/// A query is decoded once and as browsers do, and nothing but a right signature opens the door.
///
/// # Panics
///
/// If it does not hold.
pub fn query(data: &[u8]) {
    let pairs: Vec<_> = query_pairs(data).collect();
    let lossy =
        pairs.iter().map(|(name, value)| (String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
    assert!(lossy.eq(form_urlencoded::parse(data)), "others read another query");
    assert!(query_pairs(&encoded(&pairs)).eq(pairs.iter().cloned()), "decoded more than once");

    assert_judged(data);
    let first = |name: &str| {
        pairs.iter().find(|(n, _)| **n == *name.as_bytes()).map(|(_, value)| String::from_utf8_lossy(value))
    };
    if let (Some(timestamp), Some(nonce)) = (first("timestamp"), first("nonce")) {
        let signature = sign([TOKEN, &timestamp, &nonce]);
        assert_judged(&[data, b"&signature=", signature.as_bytes()].concat());
    }
}

type Pair<'q> = (Cow<'q, [u8]>, Cow<'q, [u8]>);

/// The pairs with every byte as `%XX`.
fn encoded(pairs: &[Pair<'_>]) -> Vec<u8> {
    let mut query = String::new();
    for (name, value) in pairs {
        for (text, end) in [(name, '='), (value, '&')] {
            for byte in text.iter() {
                query.push('%');
                query.push_str(&hex::encode([*byte]));
            }
            query.push(end);
        }
    }
    query.into_bytes()
}

/// The check of the URL echoes if, and only if, it is signed and says everything once.
fn assert_judged(query: &[u8]) {
    let response = call(terms(), "GET", query, b"");
    match expected(query) {
        Some(echostr) if !echostr.is_empty() => {
            assert_eq!((response.status, &response.body[..]), (200, echostr.as_bytes()));
        }
        Some(_) => assert_eq!(response.status, 200),
        None => assert_eq!(response.status, 403, "{response:?}"),
    }
}

/// The `echostr` of a query that is to be believed.
fn expected(query: &[u8]) -> Option<String> {
    const READ: [&str; 6] = ["signature", "timestamp", "nonce", "echostr", "encrypt_type", "msg_signature"];
    let pairs: Vec<_> = query_pairs(query).collect();
    let mut values: [Option<String>; 6] = Default::default();
    for (name, value) in pairs {
        let Some(place) = READ.iter().position(|read| read.as_bytes() == &*name) else { continue };
        if values[place].replace(String::from_utf8(value.into_owned()).ok()?).is_some() {
            return None;
        }
    }
    let [signature, timestamp, nonce, echostr, ..] = values;
    let (timestamp, nonce) = (timestamp?, nonce?);
    let proven =
        !timestamp.is_empty() && !nonce.is_empty() && signature? == sign([TOKEN, &timestamp, &nonce]);
    proven.then(|| echostr.unwrap_or_default())
}
