//! What the stand-in answers to every endpoint of the table: it holds the call against its row, as strictly as WeChat,
//! and gives an answer in the shape that WeChat's pages show.
//!
//! The account has [`FOLLOWERS`] followers, `o00001` and so on, the tag 134 `广东`, which the first sixty have, and
//! eight hundred people on its blacklist.

use serde_json::{Value, json};
use wxcgi::api::check::{FileFacts, Given, Severity, check, check_date};
use wxcgi::api::endpoint::{Endpoint, Place};
use wxcgi::api::format::Format;
use wxcgi::api::table::endpoints;

use super::tokens::Refusal;
use super::{Reply, Seen, form, strict};

/// More than a page has.
pub(crate) const FOLLOWERS: usize = 10_250;
/// How many items there are of each kind of material, drafts and publications.
pub(crate) const ITEMS: usize = 45;

/// The answer to a call of an endpoint of the table.
pub(super) fn answer(seen: &Seen) -> Result<Reply, Refusal> {
    let row = endpoints().find(|row| row.path == seen.path).ok_or((40066, "invalid url"))?;
    if seen.method != row.method.name() {
        return Err(if seen.method == "GET" {
            (43002, "require POST method")
        } else {
            (43001, "require GET method")
        });
    }
    let body = examine(row, seen)?;
    if row.path == "/cgi-bin/material/get_material" && body["media_id"] == "picture" {
        let disposition = Some("attachment; filename=\"picture.jpg\"".to_owned());
        return Ok(Reply { content_type: "image/jpeg".to_owned(), disposition, body: super::MEDIA.to_vec() });
    }
    Ok(Reply::json(&content(row, seen, &body)))
}

/// The body, if WeChat would take the call.
fn examine(row: &Endpoint, seen: &Seen) -> Result<Value, Refusal> {
    const SECRETS: [&str; 4] = ["access_token", "appid", "secret", "appsecret"];
    let is_login = row.path.starts_with("/sns/");
    let query: Vec<(&str, &str)> = seen
        .query
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| is_login || !SECRETS.contains(name))
        .collect();
    let part = row.all_fields().find(|field| field.place == Place::File);
    let (body, file) = match part {
        Some(part) => {
            let (body, file) = read_form(seen, part.path)?;
            (body, Some(file))
        }
        None if row.raw.is_some() => (Value::from(String::from_utf8_lossy(&seen.body).into_owned()), None),
        None if seen.body.is_empty() => (json!({}), None),
        None => (strict::json(seen)?, None),
    };
    let facts = part.zip(file.as_ref()).map(|(part, file)| FileFacts {
        name: part.path,
        format: Format::of(file),
        bytes: file.len() as u64,
    });
    let findings = check(row, &Given { query: &query, body: Some(&body), file: facts });
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::offset(8).to_time_zone()).date();
    let mut findings = findings.into_iter().chain(check_date(row, &body, today));
    match findings.find(|finding| finding.severity == Severity::Violation) {
        Some(finding) => Err((finding.errcode, "the stand-in's table says no")),
        None => Ok(body),
    }
}

/// The `description` and the file of a form.
fn read_form(seen: &Seen, part: &str) -> Result<(Value, Vec<u8>), Refusal> {
    let parts = form::read(seen)?;
    let file = form::file(&parts, part)?.to_vec();
    let description = parts.iter().find(|part| part.name == "description" && part.filename.is_none());
    let description = description.map(|part| serde_json::from_slice::<Value>(&part.content));
    match description.transpose().map_err(|_| (47001, "data format error"))? {
        Some(description) => Ok((json!({"description": description}), file)),
        None => Ok((json!({}), file)),
    }
}

fn openids(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|number| format!("o{:05}", number + 1)).collect()
}

/// A page of openids behind a cursor.
fn page(cursor: Option<&str>, total: usize, size: usize) -> Value {
    let from = cursor.and_then(|openid| openid.strip_prefix('o')?.parse().ok()).unwrap_or(0).min(total);
    let openids = openids(from, (from + size).min(total));
    match openids.last().cloned() {
        None => json!({"total": total, "count": 0, "next_openid": ""}),
        Some(last) => {
            json!({"total": total, "count": openids.len(), "data": {"openid": openids}, "next_openid": last})
        }
    }
}

/// Items from `offset` on.
fn items(body: &Value, item: impl Fn(usize) -> Value) -> Value {
    let number =
        |name: &str| body[name].as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or(0);
    let (offset, count) = (number("offset"), number("count"));
    let items: Vec<_> = (offset..(offset + count).min(ITEMS)).map(item).collect();
    json!({"total_count": ITEMS, "item_count": items.len(), "item": items})
}

fn user(openid: &Value) -> Value {
    json!({
        "subscribe": 1, "openid": openid, "language": "zh_CN", "subscribe_time": 1_382_694_957, "remark": "a,\"b\"",
        "groupid": 0, "tagid_list": [128, 2], "subscribe_scene": "ADD_SCENE_QR_CODE", "qr_scene": 98765, "qr_scene_str": "",
    })
}

fn content(row: &Endpoint, seen: &Seen, body: &Value) -> Value {
    let done = || json!({"errcode": 0, "errmsg": "ok"});
    let text = |name: &str| body[name].as_str();
    match row.name() {
        "user/get" => page(seen.param("next_openid"), FOLLOWERS, 10_000),
        "user/tag/get" => page(text("next_openid"), 60, 50),
        "tags/members/getblacklist" => page(text("begin_openid"), 800, 500),
        "user/info" => user(&json!(seen.param("openid"))),
        "user/info/batchget" => {
            let users = body["user_list"].as_array().into_iter().flatten();
            json!({"user_info_list": users.map(|asked| user(&asked["openid"])).collect::<Vec<_>>()})
        }
        "tags/get" => json!({"tags": [
            {"id": 2, "name": "星标组", "count": 0}, {"id": 134, "name": "广东", "count": 60}]}),
        "tags/create" => json!({"tag": {"id": 135, "name": body["tag"]["name"]}}),
        "tags/getidlist" => json!({"tagid_list": [134, 2]}),
        "qrcode/create" => {
            let life = body.get("expire_seconds").cloned();
            let mut code =
                json!({"ticket": "gQH47joA+/==", "url": "http://weixin.qq.com/q/kZgfwMTm72WWPkovabbI"});
            if let Some(life) = life {
                code["expire_seconds"] = life;
            }
            code
        }
        "message/template/send" => json!({"errcode": 0, "errmsg": "ok", "msgid": 200_228_332}),
        "template/api_add_template" => json!({"errcode": 0, "errmsg": "ok", "template_id": "NEW_TEMPLATE"}),
        "template/get_all_private_template" => json!({"template_list": [{
            "template_id": "ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY", "title": "订单", "primary_industry": "IT科技",
            "deputy_industry": "互联网|电子商务", "content": "{{thing1.DATA}}\n{{amount2.DATA}}", "example": "…"}]}),
        "material/add_material" => json!({"media_id": "PERMANENT", "url": "http://mmbiz.qpic.cn/x"}),
        "media/uploadimg" => json!({"url": "http://mmbiz.qpic.cn/inline"}),
        "material/get_material" => {
            json!({"title": "t", "description": "d", "down_url": "http://203.0.113.1/v"})
        }
        "material/get_materialcount" => {
            json!({"voice_count": 1, "video_count": 2, "image_count": ITEMS, "news_count": 4})
        }
        "material/batchget_material" => items(
            body,
            |at| json!({"media_id": format!("MEDIA{at}"), "name": format!("{at}.jpg"), "update_time": 1_700_000_000, "url": "u"}),
        ),
        "draft/batchget" => items(body, |at| {
            json!({"media_id": format!("DRAFT{at}"), "content": {"news_item": [{"title": format!("文{at}")}]},
                "update_time": 1_700_000_000})
        }),
        "freepublish/batchget" => items(body, |at| {
            json!({"article_id": format!("ARTICLE{at}"), "content": {"news_item": [{"title": format!("文{at}")}]},
                "update_time": 1_700_000_000})
        }),
        "draft/add" => json!({"media_id": "DRAFT"}),
        "draft/count" => json!({"total_count": ITEMS}),
        "draft/get" | "freepublish/getarticle" => {
            json!({"news_item": [{"title": "文", "content": "<p>…</p>"}]})
        }
        "freepublish/submit" => {
            json!({"errcode": 0, "errmsg": "ok", "publish_id": "100000001", "msg_data_id": 1})
        }
        "freepublish/get" => json!({"publish_id": "100000001", "publish_status": 0, "article_id": "ARTICLE",
            "article_detail": {"count": 1, "item": [{"idx": 1, "article_url": "https://mp.weixin.qq.com/s/x"}]}}),
        "openapi/rid/get" => json!({"errcode": 0, "errmsg": "ok", "request": {"invoke_time": 1_635_156_704,
            "cost_in_ms": 30, "request_url": "access_token=50_Im7xxxx", "response_body": "{}", "client_ip": "203.0.113.7"}}),
        "sns/userinfo" => json!({"openid": seen.param("openid"), "nickname": "猫", "privilege": []}),
        "media/voice/translatecontent" => json!({"from_content": body, "to_content": "Hello"}),
        name if name.starts_with("datacube/") => figures(body),
        _ => done(),
    }
}

/// Two sources a day.
fn figures(body: &Value) -> Value {
    let date = |name: &str| body[name].as_str().and_then(|text| text.parse::<jiff::civil::Date>().ok());
    let (Some(from), Some(to)) = (date("begin_date"), date("end_date")) else { return json!({"list": []}) };
    let days = from.series(jiff::Span::new().days(1)).take_while(|day| *day <= to);
    let rows = days.flat_map(|day| {
        [0, 30].map(|source| {
            json!({"ref_date": day.to_string(), "user_source": source, "new_user": day.day(), "cancel_user": 1})
        })
    });
    json!({"list": rows.collect::<Vec<_>>(), "is_delay": false})
}
