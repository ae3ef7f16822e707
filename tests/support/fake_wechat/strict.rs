//! A second look at calls whose limits matter most: JSON, menus, customer-service messages, temporary media. It is written
//! from WeChat's pages and does not know the program's table, so that a mistake in the table is not its own judge.

use serde_json::Value;

use super::tokens::Refusal;
use super::{Seen, form};

/// Whether WeChat would take the call.
pub(super) fn look_at(seen: &Seen) -> Result<(), Refusal> {
    if seen.method != "POST" {
        return Ok(());
    }
    match seen.path.as_str() {
        "/cgi-bin/media/upload" => upload(seen),
        "/cgi-bin/menu/create" => menu(&json(seen)?),
        "/cgi-bin/menu/addconditional" => {
            let call = json(seen)?;
            if call["matchrule"].as_object().is_none_or(|rule| rule.values().all(is_empty)) {
                return Err((65304, "match rule empty"));
            }
            menu(&call)
        }
        "/cgi-bin/message/custom/send" => message(&json(seen)?),
        _ => Ok(()),
    }
}

/// UTF-8 without a mark in front, and without escapes where WeChat stores them as they stand.
pub(super) fn json(seen: &Seen) -> Result<Value, Refusal> {
    if seen.body.windows(2).any(|pair| pair == b"\\u") {
        return Err((47002, "do not use unicode escapes"));
    }
    seen.json()
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value == ""
}

/// What WeChat says to a button of a level.
struct Level {
    most: usize,
    name_bytes: usize,
    size: Refusal,
    name: Refusal,
    kind: Refusal,
    key: Refusal,
    url: Refusal,
}

const ROW: Level = Level {
    most: 3,
    name_bytes: 16,
    size: (40016, "invalid button size"),
    name: (40018, "invalid button name size"),
    kind: (40017, "invalid button type"),
    key: (40019, "invalid button key size"),
    url: (40020, "invalid button url size"),
};
const BELOW: Level = Level {
    most: 5,
    name_bytes: 60,
    size: (40023, "invalid sub button size"),
    name: (40025, "invalid sub button name size"),
    kind: (40024, "invalid sub button type"),
    key: (40026, "invalid sub button key size"),
    url: (40027, "invalid sub button url size"),
};

fn menu(call: &Value) -> Result<(), Refusal> {
    let row = call["button"].as_array().filter(|row| (1..=ROW.most).contains(&row.len())).ok_or(ROW.size)?;
    for button in row {
        let below = button["sub_button"].as_array().filter(|below| !below.is_empty());
        let Some(below) = below else {
            leaf(button, &ROW)?;
            continue;
        };
        name(button, &ROW)?;
        if button.get("type").is_some() || button.get("key").is_some() {
            return Err(ROW.kind);
        }
        if below.len() > BELOW.most {
            return Err(BELOW.size);
        }
        for button in below {
            leaf(button, &BELOW)?;
            if button["sub_button"].as_array().is_some_and(|third| !third.is_empty()) {
                return Err((40022, "invalid sub button level"));
            }
        }
    }
    Ok(())
}

fn name(button: &Value, level: &Level) -> Result<(), Refusal> {
    let fits = |name: &str| !name.is_empty() && name.len() <= level.name_bytes;
    if button["name"].as_str().is_some_and(fits) { Ok(()) } else { Err(level.name) }
}

fn leaf(button: &Value, level: &Level) -> Result<(), Refusal> {
    name(button, level)?;
    let holds = |field: &str, bytes: usize| {
        button[field].as_str().is_some_and(|value| !value.is_empty() && value.len() <= bytes)
    };
    let needs = |field: &str, bytes: usize, refusal| if holds(field, bytes) { Ok(()) } else { Err(refusal) };
    match button["type"].as_str().unwrap_or_default() {
        "view" => needs("url", 1024, level.url),
        "miniprogram" => {
            needs("url", 1024, level.url)?;
            needs("appid", 128, (40166, "invalid weapp appid"))?;
            needs("pagepath", 1024, (40165, "invalid weapp pagepath"))
        }
        "media_id" | "view_limited" => needs("media_id", 1024, MEDIA),
        "article_id" | "article_view_limited" => needs("article_id", 1024, (53600, "invalid article_id")),
        "click" | "scancode_push" | "scancode_waitmsg" | "pic_sysphoto" | "pic_photo_or_album"
        | "pic_weixin" | "location_select" => needs("key", 128, level.key),
        _ => Err(level.kind),
    }
}

const MEDIA: Refusal = (40007, "invalid media_id");

fn message(call: &Value) -> Result<(), Refusal> {
    if call["touser"].as_str().is_none_or(str::is_empty) {
        return Err((40003, "invalid openid"));
    }
    let kind = call["msgtype"].as_str().ok_or((40008, "invalid message type"))?;
    let content = &call[kind];
    let has = |fields: &[&str], refusal: Refusal| {
        let all = fields.iter().all(|field| content[*field].as_str().is_some_and(|text| !text.is_empty()));
        if all { Ok(()) } else { Err(refusal) }
    };
    match kind {
        "text" => match content["content"].as_str() {
            None | Some("") => Err((44004, "empty content")),
            Some(text) if text.len() > 2048 => Err((45002, "content size out of limit")),
            Some(_) => Ok(()),
        },
        "image" | "voice" | "video" | "mpnews" => has(&["media_id"], MEDIA),
        "music" => has(&["musicurl", "hqmusicurl"], (40035, "invalid parameter"))
            .and(has(&["thumb_media_id"], MEDIA)),
        "news" => match content["articles"].as_array() {
            Some(articles) if articles.len() == 1 => Ok(()),
            _ => Err((45008, "article size out of limit")),
        },
        "mpnewsarticle" => has(&["article_id"], (53600, "invalid article_id")),
        "msgmenu" => match content["list"].as_array() {
            Some(list) if !list.is_empty() => Ok(()),
            _ => Err((45098, "invalid msgmenu")),
        },
        "wxcard" => has(&["card_id"], (40035, "invalid parameter")),
        "miniprogrampage" => has(&["appid"], (40166, "invalid weapp appid"))
            .and(has(&["pagepath"], (40165, "invalid weapp pagepath")))
            .and(has(&["thumb_media_id"], MEDIA)),
        _ => Err((40008, "invalid message type")),
    }
}

fn upload(seen: &Seen) -> Result<(), Refusal> {
    const MB: usize = 1 << 20;
    let (most, beginnings): (usize, &[&[u8]]) = match seen.param("type") {
        Some("image") => (10 * MB, &[b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8"]),
        Some("voice") => (2 * MB, &[b"#!AMR", b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"]),
        // A film tells what it is behind the size of its first box.
        Some("video") => (10 * MB, &[]),
        Some("thumb") => (64 << 10, &[b"\xff\xd8\xff"]),
        _ => return Err((40004, "invalid media type")),
    };
    let parts = form::read(seen)?;
    let file = form::file(&parts, "media")?;
    let is_film = beginnings.is_empty() && file.get(4..8) == Some(b"ftyp");
    if file.is_empty() {
        Err((44001, "empty media data"))
    } else if !is_film && !beginnings.iter().any(|beginning| file.starts_with(beginning)) {
        Err((40005, "invalid file type"))
    } else if file.len() > most {
        Err((40006, "invalid meida size"))
    } else {
        Ok(())
    }
}
