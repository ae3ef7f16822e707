//! The Turing robot (图灵机器人), API v2: one question, one answer; what was said before it remembers itself.
//!
//! Source: <https://www.kancloud.cn/turing/www-tuling123-com/718227>

use std::time::Instant;

use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use super::ask::{Failure, Spoken};
use super::{Chat, ask};
use crate::secret::Secret;

/// It takes questions of so many characters.
const MAX_QUESTION: usize = 128;
/// A user is called by so many letters and digits.
const USER_ID: usize = 32;
/// Smaller codes are errors.
const FIRST_INTENT: i64 = 10_000;

/// Asks the robot.
pub(super) fn ask(chat: &Chat<'_>, said: &str, until: Instant) -> Result<Spoken, Failure> {
    let api_key = chat.profile.api_key.as_ref().map(Secret::expose).unwrap_or_default();
    let question: String = said.chars().take(MAX_QUESTION).collect();
    let request = json!({
        "reqType": 0,
        "perception": { "inputText": { "text": question } },
        "userInfo": { "apiKey": api_key, "userId": user_id(chat.task.message.from_user) },
    });
    let headers = [("Content-Type", "application/json"), ("Accept", "application/json")];
    let answer = chat.post("/openapi/api/v2", &headers, &request, until)?;
    read(&ask::json(answer)?)
}

/// The user to the robot: openids have characters that it does not take, and are none of its business.
fn user_id(openid: &str) -> String {
    let mut id = hex::encode(Sha1::digest(openid));
    id.truncate(USER_ID);
    id
}

fn read(answer: &Value) -> Result<Spoken, Failure> {
    let code = answer.pointer("/intent/code").and_then(Value::as_i64);
    let code = code.ok_or_else(|| Failure::for_good("this is no answer of the API v2"))?;
    if code < FIRST_INTENT {
        // What stands in the results then is an error message.
        return Err(refusal(code));
    }
    let results = answer.get("results").and_then(Value::as_array).into_iter().flatten();
    let lines: Vec<_> = results.filter_map(|result| shown(result.get("values")?)).collect();
    let text = lines.join("\n").trim().to_owned();
    if text.is_empty() {
        return Err(Failure::for_good(format!("the answer (intent {code}) has no text")));
    }
    Ok(Spoken { text, ..Spoken::default() })
}

/// The values of one result that can be read: text, addresses, news.
fn shown(values: &Value) -> Option<String> {
    let text = ["text", "url", "image"].iter().find_map(|kind| values.get(kind).and_then(Value::as_str));
    let article = |article: &Value| {
        let part = |name: &str| article.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        format!("{} {}", part("name"), part("detailurl")).trim().to_owned()
    };
    let news = || {
        let articles = values.get("news").and_then(Value::as_array)?;
        Some(articles.iter().map(article).collect::<Vec<_>>().join("\n"))
    };
    text.map(str::to_owned).or_else(news)
}

/// What an error of the robot means.
fn refusal(code: i64) -> Failure {
    let (what, is_busy) = match code {
        4000 => ("it does not understand the request", false),
        4001 => ("the robot wants its requests encrypted; switch that (密钥) off in its console", false),
        4002 | 4005 => ("the robot may not do this", false),
        4003 => ("the robot has no more requests for today", true),
        4007 => ("`api_key` is none of a robot", false),
        4100 | 4400 | 4500 => ("it has no room for this user", false),
        4600 | 4602 => ("the question is empty or too long", false),
        5000 => ("it has no answer to this", false),
        6000 => ("it cannot do this yet", false),
        8008 => ("its server failed", false),
        _ => ("an error that is not listed", false),
    };
    let again = Failure::for_now("").again.filter(|_| code == 8008);
    Failure { why: format!("the robot answered {code}: {what}"), is_busy, again }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_called_by_letters_and_digits() {
        let (one, other) = (user_id("oABCD1234567890-bcdef_hijkl"), user_id("oUser"));
        assert!(
            one != other && one.len() == USER_ID && one.chars().all(|letter| letter.is_ascii_alphanumeric())
        );
    }

    #[test]
    fn texts_addresses_and_news_are_read() {
        let answer = json!({
            "intent": { "code": 10005 },
            "results": [
                { "groupType": 1, "resultType": "url", "values": { "url": "http://m.example/" } },
                { "groupType": 1, "resultType": "text", "values": { "text": "亲，已帮你找到" } },
                { "resultType": "news", "values": { "news": [{ "name": "甲", "detailurl": "http://n.example/1" }, { "name": "乙" }] } },
                { "resultType": "voice", "values": { "voice": "http://v.example/" } },
                {},
            ],
        });
        let spoken = read(&answer).unwrap();
        assert_eq!(spoken.text, "http://m.example/\n亲，已帮你找到\n甲 http://n.example/1\n乙");
    }

    #[test]
    fn errors_are_never_answers() {
        for (code, why) in
            [(4003, "no more requests"), (4007, "`api_key`"), (5000, "no answer"), (0, "not listed")]
        {
            let answer = json!({ "intent": { "code": code }, "results": [{ "values": { "text": "apikey格式不合法!" } }] });
            let failure = read(&answer).unwrap_err();
            assert!(failure.why.contains(why) && failure.is_busy == (code == 4003), "{}", failure.why);
        }
        for answer in [
            json!({}),
            json!([]),
            json!({ "intent": { "code": "x" } }),
            json!({ "intent": { "code": 10004 } }),
        ] {
            assert!(read(&answer).is_err());
        }
    }
}
