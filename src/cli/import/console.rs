//! What WeChat's console answers without a server: `get_current_autoreply_info` and `get_current_selfmenu_info`.
//!
//! Source: <https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Getting_Rules_for_Auto_Replies.html>
//! and <https://developers.weixin.qq.com/doc/offiaccount/Custom_Menus/Querying_Custom_Menus.html>

use serde_json::Value;

use crate::wechat::limits::{MAX_ARTICLES_FOR_EVENT, MAX_ARTICLES_FOR_MESSAGE, MAX_TEXT_BYTES};
use crate::wechat::menu::{
    Button, MAX_BUTTONS, MAX_KEY_BYTES, MAX_NAME_BYTES, MAX_SUB_BUTTONS, MAX_SUB_NAME_BYTES, MAX_URL_BYTES,
    Tap, fields_of_type,
};
use crate::wechat::xml::is_forbidden;

/// All that the console does by itself.
#[derive(Debug, Default)]
pub(super) struct Console {
    /// In the order in which the console tries them.
    pub(super) answers: Vec<Answer>,
    pub(super) menu: Vec<Button>,
    /// What is not carried over, and belongs to no answer.
    pub(super) notes: Vec<String>,
    has_replies: bool,
    has_menu: bool,
}

/// Something that is answered by itself.
#[derive(Debug)]
pub(super) struct Answer {
    /// What no other is called; empty for the welcome and the default.
    pub(super) name: String,
    pub(super) when: When,
    pub(super) is_on: bool,
    pub(super) replies: Vec<Said>,
    /// Whether one of them is taken by chance; else all are sent.
    pub(super) one_at_random: bool,
    /// What of it is not carried over.
    pub(super) notes: Vec<String>,
}

/// What an answer waits for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum When {
    /// A new follower.
    Followed,
    /// A message with one of these parts, or that is one of those texts.
    Said { contains: Vec<String>, equals: Vec<String> },
    /// A tap on the button with this key.
    Tapped(String),
    /// Whatever nothing else is for.
    Otherwise,
}

/// A reply of the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Text(String),
    Image(String),
    Voice(String),
    Video(String),
    News(Vec<Article>),
}

/// An article of [`Said::News`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Article {
    pub(super) title: String,
    pub(super) description: String,
    pub(super) pic_url: String,
    pub(super) url: String,
}

impl Console {
    /// Reads an answer of either call.
    pub(super) fn read(&mut self, answer: &Value) -> Result<(), String> {
        if let Some(code) = answer["errcode"].as_i64().filter(|code| *code != 0) {
            return Err(format!("WeChat refused with {code} `{}`", text(&answer["errmsg"])));
        }
        if answer["selfmenu_info"].is_object() || answer.get("is_menu_open").is_some() {
            if std::mem::replace(&mut self.has_menu, true) {
                return Err("there are two menus".to_owned());
            }
            self.read_menu(answer);
        } else if answer.get("is_autoreply_open").is_some() || answer["keyword_autoreply_info"].is_object() {
            if std::mem::replace(&mut self.has_replies, true) {
                return Err("there are two sets of automatic replies".to_owned());
            }
            self.read_replies(answer);
        } else {
            return Err(
                "it is no answer of get_current_autoreply_info or get_current_selfmenu_info".to_owned()
            );
        }
        Ok(())
    }

    fn read_replies(&mut self, answer: &Value) {
        let is_on = |switch: &str| answer[switch].as_i64() != Some(0);
        for (when, key, switch) in [
            (When::Followed, "add_friend_autoreply_info", "is_add_friend_reply_open"),
            (When::Otherwise, "message_default_autoreply_info", "is_autoreply_open"),
        ] {
            if answer[key].is_object() {
                let replies = std::slice::from_ref(&answer[key]);
                self.answers.push(Answer::new(when, is_on(switch), replies, false));
            }
        }
        let rules = items(&answer["keyword_autoreply_info"]["list"]);
        if !is_on("is_autoreply_open") && !rules.is_empty() {
            self.notes.push(
                "automatic replies are switched off in the console; the rules for keywords are written as switched on"
                    .to_owned(),
            );
        }
        for (number, rule) in (1..).zip(rules) {
            self.read_rule(rule, number);
        }
    }

    fn read_rule(&mut self, rule: &Value, number: usize) {
        let name = match one_line(&rule["rule_name"]) {
            name if name.is_empty() => self.free_name(&format!("rule {number}")),
            name => self.free_name(&name),
        };
        let (mut contains, mut equals, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        for keyword in items(&rule["keyword_list_info"]) {
            let word = text(&keyword["content"]).trim().to_owned();
            match keyword["match_mode"].as_str() {
                _ if word.is_empty() => notes.push("a keyword without a text".to_owned()),
                _ if contains.contains(&word) || equals.contains(&word) => {}
                Some("contain") => contains.push(word),
                Some("equal") => equals.push(word),
                other => notes.push(format!(
                    "the keyword {word:?}: how it is compared, {:?}, is not known",
                    other.unwrap_or_default()
                )),
            }
        }
        // What holds one of the parts is met by it already.
        equals.retain(|word| !contains.iter().any(|part| word.contains(part.as_str())));
        if contains.is_empty() && equals.is_empty() {
            self.notes.extend(notes.into_iter().map(|note| format!("rule {name:?}: {note}")));
            self.notes.push(format!("rule {name:?}: no keyword is left"));
            return;
        }
        let at_random = match rule["reply_mode"].as_str() {
            Some("random_one") => true,
            Some("reply_all") => false,
            other => {
                notes.push(format!(
                    "how it replies, {:?}, is not known; all its replies are sent",
                    other.unwrap_or_default()
                ));
                false
            }
        };
        let replies = items(&rule["reply_list_info"]);
        let mut answer = Answer::new(When::Said { contains, equals }, true, replies, at_random);
        notes.append(&mut answer.notes);
        self.answers.push(Answer { name, notes, ..answer });
    }

    /// The name, or one like it that no other has: neither a rule nor, without one of its own, the welcome, the default
    /// or a rule that is called by its number.
    fn free_name(&self, name: &str) -> String {
        let is_taken = |wanted: &str| {
            ["welcome", "default"].contains(&wanted) || wanted.bytes().all(|letter| letter.is_ascii_digit())
        };
        let is_free =
            |wanted: &String| !is_taken(wanted) && self.answers.iter().all(|answer| answer.name != *wanted);
        let numbered = (2..).map(|number| format!("{name} ({number})"));
        std::iter::once(name.to_owned()).chain(numbered).find(is_free).unwrap_or_default()
    }

    fn read_menu(&mut self, answer: &Value) {
        let row = items(&answer["selfmenu_info"]["button"]);
        if answer["is_menu_open"].as_i64() == Some(0) && !row.is_empty() {
            self.notes
                .push("the menu is switched off in the console; `wxcgi menu push` would show it".to_owned());
        }
        self.menu = self.read_buttons(row, MAX_BUTTONS, MAX_NAME_BYTES);
    }

    fn read_buttons(&mut self, buttons: &[Value], most: usize, name_limit: usize) -> Vec<Button> {
        let mut read = Vec::new();
        for json in buttons {
            let name = one_line(&json["name"]);
            let button = if name.is_empty() || name.len() > name_limit {
                Err("its name is empty or too long".to_owned())
            } else if read.len() == most {
                Err(format!("there are more than {most} beside it"))
            } else {
                self.read_tap(json, &name, most == MAX_BUTTONS).map(|tap| Button { name: name.clone(), tap })
            };
            match button {
                Ok(button) => read.push(button),
                Err(why) => self.notes.push(format!("the button {name:?}: {why}")),
            }
        }
        read
    }

    fn read_tap(&mut self, json: &Value, name: &str, is_row: bool) -> Result<Tap, String> {
        let below = items(&json["sub_button"]["list"]);
        if is_row && !below.is_empty() {
            let buttons = self.read_buttons(below, MAX_SUB_BUTTONS, MAX_SUB_NAME_BYTES);
            return if buttons.is_empty() {
                Err("nothing below it is left".to_owned())
            } else {
                Ok(Tap::Opens(buttons))
            };
        }
        let kind = one_line(&json["type"]);
        if let Some(names) = fields_of_type(&kind) {
            let fields = names.iter().map(|name| Ok(((*name).to_owned(), field(json, name)?)));
            return Ok(Tap::Does { fields: fields.collect::<Result<_, String>>()?, kind });
        }
        if !["text", "img", "voice", "video", "news"].contains(&kind.as_str()) {
            return Err(format!("no menu of the API has the type {kind:?}"));
        }
        // What the console sends by itself, a rule sends.
        let taps = self.answers.iter().filter(|answer| matches!(answer.when, When::Tapped(_))).count();
        let key = format!("console-{}", taps + 1);
        let answer = Answer::new(When::Tapped(key.clone()), true, std::slice::from_ref(json), false);
        if answer.replies.is_empty() {
            return Err(answer.notes.join("; "));
        }
        self.answers.push(Answer { name: self.free_name(name), ..answer });
        Ok(Tap::Does { kind: "click".to_owned(), fields: vec![("key".to_owned(), key)] })
    }
}

impl Answer {
    fn new(when: When, is_on: bool, replies: &[Value], one_at_random: bool) -> Self {
        let (mut read, mut notes) = (Vec::new(), Vec::new());
        for reply in replies {
            match Said::read(reply) {
                Ok(said) => {
                    notes.extend(said.note(matches!(when, When::Followed | When::Tapped(_))));
                    read.push(said);
                }
                Err(why) => notes.push(why),
            }
        }
        Self { name: String::new(), when, is_on, replies: read, one_at_random, notes }
    }

    /// What it is called in notes.
    pub(super) fn label(&self) -> String {
        match &self.when {
            When::Followed => "the welcome".to_owned(),
            When::Said { .. } | When::Tapped(_) => format!("rule {:?}", self.name),
            When::Otherwise => "the default".to_owned(),
        }
    }
}

impl Said {
    /// A reply, or what a button of the console's own sends: the same with `value` for `content`.
    fn read(json: &Value) -> Result<Self, String> {
        let content = text(if json["content"].is_string() { &json["content"] } else { &json["value"] });
        let kind = one_line(&json["type"]);
        let is_url = content.starts_with("http://") || content.starts_with("https://");
        let is_empty = content.trim().is_empty();
        match kind.as_str() {
            "news" => {
                let articles: Vec<_> =
                    items(&json["news_info"]["list"]).iter().filter_map(Article::read).collect();
                if articles.is_empty() {
                    return Err("news without an article that has a title and an address".to_owned());
                }
                Ok(Self::News(articles))
            }
            "text" | "img" | "voice" | "video" if is_empty => {
                Err(format!("a reply ({kind}) without a content"))
            }
            "img" | "voice" | "video" if is_url => Err(format!(
                "a reply ({kind}) of which WeChat tells the address alone; upload it and write its media_id: {content:?}"
            )),
            "text" => Ok(Self::Text(content)),
            "img" => Ok(Self::Image(content.trim().to_owned())),
            "voice" => Ok(Self::Voice(content.trim().to_owned())),
            "video" => Ok(Self::Video(content.trim().to_owned())),
            _ => Err(format!("a reply of the type {kind:?}, which is not known")),
        }
    }

    /// What of it will not be seen.
    fn note(&self, answers_event: bool) -> Option<String> {
        let most = if answers_event { MAX_ARTICLES_FOR_EVENT } else { MAX_ARTICLES_FOR_MESSAGE };
        match self {
            Self::News(articles) if articles.len() > most => {
                Some(format!("{} articles: from a server WeChat shows {most}", articles.len()))
            }
            Self::Text(text) if text.len() > MAX_TEXT_BYTES => {
                Some(format!("a text of {} bytes: from a server WeChat takes {MAX_TEXT_BYTES}", text.len()))
            }
            _ => None,
        }
    }
}

impl Article {
    fn read(json: &Value) -> Option<Self> {
        let [title, description, pic_url, url] =
            ["title", "digest", "cover_url", "content_url"].map(|name| text(&json[name]).trim().to_owned());
        (!title.is_empty() && !url.is_empty()).then_some(Self { title, description, pic_url, url })
    }
}

/// A field of a button, if it is one that a menu can be made with.
fn field(json: &Value, name: &str) -> Result<String, String> {
    let value = one_line(&json[name]);
    let (limit, is_url) = if name == "url" { (MAX_URL_BYTES, true) } else { (MAX_KEY_BYTES, false) };
    if value.is_empty() || value.len() > limit {
        return Err(format!("its `{name}` is empty or longer than {limit} bytes"));
    }
    if is_url && !["https://", "http://", "weixin://"].iter().any(|start| value.starts_with(start)) {
        return Err(format!("its `url` is none: {value:?}"));
    }
    Ok(value)
}

fn items(json: &Value) -> &[Value] {
    json.as_array().map_or(&[], Vec::as_slice)
}

/// A text as a reply can hold it: without what no XML can.
fn text(json: &Value) -> String {
    let text = json.as_str().unwrap_or_default().replace("\r\n", "\n").replace('\r', "\n");
    text.chars().filter(|&letter| !is_forbidden(letter)).collect()
}

fn one_line(json: &Value) -> String {
    text(json).split_whitespace().collect::<Vec<_>>().join(" ")
}
