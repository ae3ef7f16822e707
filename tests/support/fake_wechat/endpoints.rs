//! What the stand-in answers to calls with a good access_token.

use serde_json::{Value, json};

use super::tokens::Refusal;
use super::{Reply, Seen, listed};

/// The bytes of every file that can be fetched.
pub(crate) const MEDIA: &[u8] = b"\xff\xd8\xff\xe0 a picture \xff\xd9";

/// The automatic replies of the console.
const CONSOLE_REPLIES: &str = include_str!("../../data/console/autoreply.json");

/// The answer to a call whose access_token was taken.
pub(super) fn answer(seen: &Seen) -> Result<Reply, Refusal> {
    let json = match (seen.method.as_str(), seen.path.as_str()) {
        ("GET", "/cgi-bin/ticket/getticket") => ticket(seen)?,
        ("GET", "/cgi-bin/get_current_autoreply_info") => {
            serde_json::from_str(CONSOLE_REPLIES).expect("our sample is JSON")
        }
        ("GET", "/cgi-bin/getcallbackip") => json!({"ip_list": ["101.226.103.0/25"]}),
        ("POST", "/cgi-bin/message/custom/send") if is_text(seen) => custom_message(seen)?,
        ("POST", "/cgi-bin/media/upload") => uploaded(seen)?,
        ("GET", "/cgi-bin/media/get") => return media(seen),
        ("GET", "/sns/oauth2/access_token") => json!({"openid": "oSomebody", "scope": "snsapi_base"}),
        _ => return listed::answer(seen),
    };
    Ok(Reply::json(&json))
}

fn ticket(seen: &Seen) -> Result<Value, Refusal> {
    let kind = seen.param("type").filter(|kind| ["jsapi", "wx_card"].contains(kind));
    let kind = kind.ok_or((40097, "invalid args"))?;
    let ticket = format!("{kind}-{}", "kgt8ON7yVITDhtdwci0qeTFu".repeat(3));
    Ok(json!({"errcode": "0", "errmsg": "ok", "ticket": ticket, "expires_in": 7200}))
}

fn is_text(seen: &Seen) -> bool {
    seen.json().is_ok_and(|body| body["msgtype"] == "text")
}

fn custom_message(seen: &Seen) -> Result<Value, Refusal> {
    if seen.body.windows(2).any(|pair| pair == b"\\u") {
        return Err((47002, "do not use unicode escapes"));
    }
    let body = seen.json()?;
    let text = body.pointer("/text/content").and_then(Value::as_str).ok_or((44004, "empty content"))?;
    if text.len() > 2048 { Err((45002, "content size out of limit")) } else { Ok(json!({"errcode": 0})) }
}

/// A multipart body with a file, announced with its length.
fn uploaded(seen: &Seen) -> Result<Value, Refusal> {
    const MISSING: Refusal = (41005, "media data missing");
    let length: usize = seen.header("content-length").and_then(|it| it.parse().ok()).ok_or(MISSING)?;
    let kind = seen.header("content-type").and_then(|it| it.strip_prefix("multipart/form-data; boundary="));
    let boundary = kind.ok_or(MISSING)?.trim_matches('"');
    let body = String::from_utf8_lossy(&seen.body);
    let part =
        body.split(&format!("--{boundary}\r\n")).find(|part| part.contains("name=\"media\"; filename=\""));
    let (head, file) = part.and_then(|part| part.split_once("\r\n\r\n")).ok_or(MISSING)?;
    let file = file.strip_suffix(&format!("\r\n--{boundary}--\r\n")).ok_or(MISSING)?;
    // What is no UTF-8 became longer above, in the file as in the whole.
    let size = seen.body.len() - (body.len() - file.len());
    match seen.param("type") {
        _ if length != seen.body.len() || !head.contains("\r\nContent-Type: ") => Err(MISSING),
        _ if file.is_empty() => Err((44001, "empty media data")),
        Some("thumb") => Ok(
            json!({"type": "thumb", "thumb_media_id": format!("media-{size}"), "created_at": 1_700_000_000}),
        ),
        Some(kind @ ("image" | "voice" | "video")) => {
            Ok(json!({"type": kind, "media_id": format!("media-{size}"), "created_at": 1_700_000_000}))
        }
        _ => Err((40004, "invalid media type")),
    }
}

fn media(seen: &Seen) -> Result<Reply, Refusal> {
    match seen.param("media_id") {
        Some("video") => Ok(Reply::json(&json!({"video_url": "http://203.0.113.1/v"}))),
        Some("picture") => Ok(Reply {
            content_type: "image/jpeg".to_owned(),
            disposition: Some("attachment; filename=\"picture.jpg\"".to_owned()),
            body: MEDIA.to_vec(),
        }),
        Some(_) => Err((40007, "invalid media_id")),
        None => Err((41006, "missing media_id")),
    }
}
