//! What the stand-in answers to calls with a good access_token.

use serde_json::{Value, json};

use super::tokens::Refusal;
use super::{Reply, Seen, form, listed};

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
    Ok(json!({"errcode": 0, "errmsg": "ok", "ticket": ticket, "expires_in": 7200}))
}

/// Names the file by its size.
fn uploaded(seen: &Seen) -> Result<Value, Refusal> {
    let parts = form::read(seen)?;
    let media_id = format!("media-{}", form::file(&parts, "media")?.len());
    Ok(match seen.param("type") {
        Some("thumb") => json!({"type": "thumb", "thumb_media_id": media_id, "created_at": 1_700_000_000}),
        kind => json!({"type": kind, "media_id": media_id, "created_at": 1_700_000_000}),
    })
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
