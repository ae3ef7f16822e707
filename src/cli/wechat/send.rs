//! `wxcgi send`: customer-service messages. The types and their fields are those of the table.

use serde_json::{Map, Value, json};

use super::api::value_of;
use super::session::Question;
use super::{Failure, Options, Session};
use crate::api::endpoint::{Endpoint, Field, Kind, Limit};
use crate::api::table::endpoint;
use crate::spelling::did_you_mean;

const SEND: &Endpoint = endpoint("/cgi-bin/message/custom/send");
const TYPING: &Endpoint = endpoint("/cgi-bin/message/custom/typing");

#[derive(Debug, clap::Args)]
#[command(after_help = "TYPE and its fields; the first can be written without its name:
  text CONTENT                    image | voice | mpnews MEDIA_ID        mpnewsarticle ARTICLE_ID
  video MEDIA_ID [thumb_media_id= title= description=]                   wxcard CARD_ID
  music MUSICURL hqmusicurl= thumb_media_id= [title= description=]
  news TITLE url= [description= picurl=]
  msgmenu HEAD_CONTENT ID=CONTENT… [tail_content=]
  miniprogrampage APPID pagepath= thumb_media_id= [title=]
  typing                          shows the user that an answer is being written
WeChat takes 5 messages within 48 hours after a message of the user, 3 within a minute after a click, a scan or following.
Examples:
  wxcgi send oUser1 text '你好'
  wxcgi send oUser1 news 'Happy Day' url=https://example.com/ picurl=https://example.com/1.jpg
  wxcgi send oUser1 msgmenu '满意吗?' 101=满意 102=不满意 --kf-account test1@test")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    options: Options,
    /// The user
    openid: String,
    /// What is sent: text, image, voice, video, music, news, …; typing
    #[arg(value_name = "TYPE")]
    kind: String,
    /// Its fields: VALUE for the first, else NAME=VALUE
    fields: Vec<String>,
    /// Show it as a message of this customer-service account
    #[arg(long, value_name = "PREFIX@WECHAT-ID")]
    kf_account: Option<String>,
    /// Mark it as made by an AI
    #[arg(long)]
    ai: bool,
    /// End `typing`
    #[arg(long)]
    cancel: bool,
}

pub(in crate::cli) fn run(args: &Args) -> Result<(), Failure> {
    let session = Session::open(&args.options)?;
    let (row, body, done) = if args.kind == "typing" {
        let command = if args.cancel { "CancelTyping" } else { "Typing" };
        (TYPING, json!({"touser": args.openid, "command": command}), "told")
    } else {
        (SEND, message(args)?, "sent")
    };
    match session.ask(row, &Question::body(body))? {
        Some(answer) => session.done(&answer, done),
        None => Ok(()),
    }
}

fn message(args: &Args) -> Result<Value, Failure> {
    let kind = args.kind.as_str();
    let content = content(kind, &args.fields)?;
    let mut body = json!({"touser": args.openid, "msgtype": kind, kind: content});
    if let Some(account) = &args.kf_account {
        body["customservice"] = json!({"kf_account": account});
    }
    if args.ai {
        body["aimsgcontext"] = json!({"is_ai_msg": 1});
    }
    Ok(body)
}

/// The object named like the type.
fn content(kind: &str, words: &[String]) -> Result<Value, Failure> {
    let types = SEND.all_fields().find(|field| field.path == "msgtype").map(|field| field.limit);
    let Some(Limit::OneOf(types)) = types else { return Ok(json!({})) };
    if !types.contains(&kind) {
        let near = did_you_mean(kind, types.iter().copied())
            .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        return Err(Failure::Usage(format!(
            "no type `{kind}`{near}; there are: {}, typing",
            types.join(", ")
        )));
    }
    let place = if kind == "news" { "news.articles[]" } else { kind };
    let fields: Vec<_> =
        SEND.all_fields().filter(|field| field.parent() == place && field.kind != Kind::List).collect();
    let mut object = Map::new();
    let mut items = Vec::new();
    for word in words {
        match (word.split_once('='), main_of(kind, &fields)) {
            (Some((name, value)), _) if let Some(field) = named(&fields, name) => {
                object.insert(name.to_owned(), value_of(Some(field), value));
            }
            (Some((id, content)), _) if kind == "msgmenu" && !object.is_empty() => {
                items.push(json!({"id": id, "content": content}));
            }
            (_, Some(main)) if !object.contains_key(main.leaf()) => {
                object.insert(main.leaf().to_owned(), json!(word));
            }
            _ => return Err(Failure::Usage(unknown(kind, word, &fields))),
        }
    }
    Ok(match kind {
        "news" => json!({"articles": [object]}),
        "msgmenu" => {
            object.insert("list".to_owned(), json!(items));
            Value::Object(object)
        }
        _ => Value::Object(object),
    })
}

fn named<'f>(fields: &[&'f Field], name: &str) -> Option<&'f Field> {
    fields.iter().copied().find(|field| field.leaf() == name)
}

/// The field that is written without its name: the first that is required, else the first.
fn main_of<'f>(kind: &str, fields: &[&'f Field]) -> Option<&'f Field> {
    match kind {
        "msgmenu" => named(fields, "head_content"),
        _ => fields.iter().find(|field| field.required).or(fields.first()).copied(),
    }
}

fn unknown(kind: &str, word: &str, fields: &[&Field]) -> String {
    let names: Vec<_> = fields.iter().map(|field| format!("{}=", field.leaf())).collect();
    format!("`{word}` is no field of `{kind}`; there are: {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::check::{Given, check};

    fn of(kind: &str, words: &[&str]) -> Value {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        content(kind, &words).unwrap_or_else(|failure| panic!("{failure:?}"))
    }

    #[test]
    fn every_type_is_made_from_words_and_passes_the_checks() {
        let made = [
            ("text", of("text", &["a=b, so what"]), json!({"content": "a=b, so what"})),
            ("image", of("image", &["M"]), json!({"media_id": "M"})),
            ("voice", of("voice", &["media_id=M"]), json!({"media_id": "M"})),
            ("video", of("video", &["M", "title=T"]), json!({"media_id": "M", "title": "T"})),
            (
                "music",
                of("music", &["https://u/?a=1", "hqmusicurl=H", "thumb_media_id=T"]),
                json!({"musicurl": "https://u/?a=1", "hqmusicurl": "H", "thumb_media_id": "T"}),
            ),
            (
                "news",
                of("news", &["Happy Day", "url=https://u/?a=b"]),
                json!({"articles": [{"title": "Happy Day", "url": "https://u/?a=b"}]}),
            ),
            ("mpnewsarticle", of("mpnewsarticle", &["A"]), json!({"article_id": "A"})),
            ("mpnews", of("mpnews", &["M"]), json!({"media_id": "M"})),
            (
                "msgmenu",
                of("msgmenu", &["满意吗?", "101=满意", "102=不满意", "tail_content=再见"]),
                json!({"head_content": "满意吗?", "tail_content": "再见",
                    "list": [{"id": "101", "content": "满意"}, {"id": "102", "content": "不满意"}]}),
            ),
            ("wxcard", of("wxcard", &["C"]), json!({"card_id": "C"})),
            (
                "miniprogrampage",
                of("miniprogrampage", &["wx1", "pagepath=p?a=1", "thumb_media_id=M"]),
                json!({"appid": "wx1", "pagepath": "p?a=1", "thumb_media_id": "M"}),
            ),
        ];
        let types = SEND.all_fields().find(|field| field.path == "msgtype").map(|field| field.limit);
        let Some(Limit::OneOf(types)) = types else { panic!("no types") };
        assert_eq!(made.len(), types.len());
        for (kind, content, expected) in made {
            assert_eq!(content, expected, "{kind}");
            let body = json!({"touser": "o", "msgtype": kind, kind: content});
            let findings = check(SEND, &Given { body: Some(&body), ..Given::default() });
            let is_old = kind == "mpnews";
            assert_eq!(findings.len(), usize::from(is_old), "{kind}: {findings:?}");
        }
    }

    #[test]
    fn a_word_that_fits_nowhere_is_told() {
        for (kind, words, told) in [
            ("imag", &["M"][..], "did you mean `image`?"),
            ("image", &["M", "N"], "there are: media_id="),
            ("video", &["M", "tite=x"], "`tite=x` is no field of `video`"),
        ] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let Err(Failure::Usage(why)) = content(kind, &words) else { panic!("{kind}") };
            assert!(why.contains(told), "{why}");
        }
    }
}
