//! `reply`: from the file's words to an action.

use toml::de::DeValue;

use super::fault::{Fault, did_you_mean};
use super::media::{read_media, read_thumb};
use super::table::{Table, Text, Value, text, wrong_type};
use crate::rules::{Action, ArticleTemplate, BUILT_IN_NAMES, MediaId, MediaKind, Template};
use crate::wechat::limits::{MAX_ARTICLES_FOR_EVENT, MAX_TEXT_BYTES};

/// Reads templates and checks that they speak only of what there is.
#[derive(Clone, Copy)]
pub(super) struct Templates<'c> {
    /// The names that the condition cuts out of a message; `None` if they are not known.
    pub(super) captures: Option<&'c [String]>,
}

impl Templates<'_> {
    pub(super) fn optional(&self, table: &Table<'_>, key: &'static str) -> Option<Template> {
        table.text(key).map(|text| self.read(&text, table))
    }

    pub(super) fn required(&self, table: &Table<'_>, key: &'static str) -> Option<Template> {
        if table.value(key).is_none() {
            table.missing(key);
        }
        self.optional(table, key)
    }

    /// What is left out is empty.
    fn or_empty(&self, table: &Table<'_>, key: &'static str) -> Template {
        self.optional(table, key).unwrap_or_else(|| Template::new(String::new()))
    }

    fn read(&self, text: &Text<'_>, table: &Table<'_>) -> Template {
        let template = Template::new(text.value.to_owned());
        if table.faults.thorough {
            self.check(&template, text, table);
        }
        template
    }

    fn check(&self, template: &Template, text: &Text<'_>, table: &Table<'_>) {
        let names = match template.names() {
            Ok(names) => names,
            Err(error) => {
                table.faults.push(Fault::at(text.span.clone(), format!("bad template: {error}")));
                return;
            }
        };
        let Some(captures) = self.captures else { return };
        if let Some(unknown) = template.unknown_word(captures) {
            table.faults.push(Fault::at(text.span.clone(), format!("bad template: {unknown}")));
        }
        let known = || BUILT_IN_NAMES.into_iter().chain(captures.iter().map(String::as_str));
        for name in names.iter().filter(|name| known().all(|known| known != name.as_str())) {
            let mut fault =
                Fault::at(text.span.clone(), format!("the template names `{name}`, which there is not"))
                    .cure(format!("known here: {}", known().collect::<Vec<_>>().join(", ")));
            if let Some(near) = did_you_mean(name, known()) {
                fault = fault.hint(format!("did you mean `{near}`?"));
            }
            table.faults.push(fault);
        }
    }
}

/// The kinds of replies, as keys.
const KINDS: [&str; 9] =
    ["text", "image", "voice", "video", "music", "news", "transfer", "transfer_ai", "none"];

/// `reply` of a rule: a text, or a table with one kind of reply.
pub(super) fn read_reply(rule: &Table<'_>, templates: Templates<'_>) -> Option<Action> {
    let Some(value) = rule.value("reply") else {
        rule.missing("reply");
        return None;
    };
    match value.get_ref() {
        DeValue::String(_) => Some(read_text(&text(value, rule.faults)?, rule, templates)),
        DeValue::Table(_) => read_kinds(Table::from_value(value, "kind of reply", rule.faults)?, templates),
        _ => wrong_type(value, "a text or a table", rule.faults),
    }
}

fn read_kinds(table: Table<'_>, templates: Templates<'_>) -> Option<Action> {
    let given: Vec<_> = KINDS.into_iter().filter(|kind| table.value(kind).is_some()).collect();
    if given.len() != 1 {
        let several = if given.is_empty() { "no kind" } else { "several kinds" };
        let fault = Fault::at(table.span.clone(), format!("this reply has {several}"));
        table.faults.push(fault.cure(format!("give one of: {}", KINDS.join(", "))));
    }
    let actions: Vec<_> = given.into_iter().map(|kind| read_kind(kind, &table, templates)).collect();
    table.finish();
    actions.into_iter().next().flatten()
}

fn read_kind(kind: &'static str, reply: &Table<'_>, templates: Templates<'_>) -> Option<Action> {
    let inner = |noun| reply.table(kind, noun);
    match kind {
        "text" => Some(read_text(&reply.text(kind)?, reply, templates)),
        "image" => only_media(inner("image key")?, MediaKind::Image, templates)
            .map(|media_id| Action::Image { media_id }),
        "voice" => only_media(inner("voice key")?, MediaKind::Voice, templates)
            .map(|media_id| Action::Voice { media_id }),
        "video" => read_video(inner("video key")?, templates),
        "music" => read_music(inner("music key")?, templates),
        "news" => read_news(reply, templates),
        "transfer" => read_transfer(reply),
        "transfer_ai" => only_true(reply, kind).then_some(Action::TransferBizAiIvr),
        _ => only_true(reply, kind).then_some(Action::None),
    }
}

fn read_text(text: &Text<'_>, table: &Table<'_>, templates: Templates<'_>) -> Action {
    let template = templates.read(text, table);
    if template.is_plain() && text.value.len() > MAX_TEXT_BYTES {
        let message = format!("this text has {} bytes; WeChat takes {MAX_TEXT_BYTES}", text.value.len());
        table.faults.push(Fault::at(text.span.clone(), message).cure("the rest would be cut off").warning());
    }
    Action::Text(template)
}

fn only_media(table: Table<'_>, kind: MediaKind, templates: Templates<'_>) -> Option<MediaId> {
    let media_id = read_media(&table, kind, templates);
    table.finish();
    media_id
}

fn read_video(table: Table<'_>, templates: Templates<'_>) -> Option<Action> {
    let media_id = read_media(&table, MediaKind::Video, templates);
    let title = templates.or_empty(&table, "title");
    let description = templates.or_empty(&table, "description");
    table.finish();
    Some(Action::Video { media_id: media_id?, title, description })
}

fn read_music(table: Table<'_>, templates: Templates<'_>) -> Option<Action> {
    let thumb_media_id = read_thumb(&table, templates);
    let title = templates.or_empty(&table, "title");
    let description = templates.or_empty(&table, "description");
    let music_url = templates.or_empty(&table, "music_url");
    let hq_music_url = templates.or_empty(&table, "hq_music_url");
    table.finish();
    Some(Action::Music { title, description, music_url, hq_music_url, thumb_media_id: thumb_media_id? })
}

fn read_news(reply: &Table<'_>, templates: Templates<'_>) -> Option<Action> {
    let articles = reply.tables("news", "article key");
    let span = reply.value("news").map(toml::Spanned::span)?;
    if articles.is_empty() {
        reply.faults.push(Fault::at(span.clone(), "`news` has no article"));
    }
    if articles.len() > MAX_ARTICLES_FOR_EVENT {
        let message =
            format!("`news` has {} articles; WeChat shows {MAX_ARTICLES_FOR_EVENT}", articles.len());
        reply.faults.push(Fault::at(span, message).cure("and one only in answer to a message").warning());
    }
    // Read all of them before an incomplete one ends it.
    let articles: Vec<_> = articles.into_iter().map(|table| read_article(table, templates)).collect();
    articles.into_iter().collect::<Option<_>>().map(Action::News)
}

fn read_article(table: Table<'_>, templates: Templates<'_>) -> Option<ArticleTemplate> {
    let (title, url) = (templates.required(&table, "title"), templates.required(&table, "url"));
    let (description, pic_url) =
        (templates.or_empty(&table, "description"), templates.or_empty(&table, "pic_url"));
    table.finish();
    Some(ArticleTemplate { title: title?, description, pic_url, url: url? })
}

/// `transfer = true`, or `{ kf_account = "…" }`.
fn read_transfer(reply: &Table<'_>) -> Option<Action> {
    let value: Value<'_> = reply.value("transfer")?;
    match value.get_ref() {
        DeValue::Boolean(true) => Some(Action::TransferCustomerService { kf_account: None }),
        DeValue::Table(_) => {
            let table = Table::from_value(value, "transfer key", reply.faults)?;
            let kf_account = table.required("kf_account");
            table.finish();
            Some(Action::TransferCustomerService { kf_account: Some(kf_account?) })
        }
        _ => wrong_type(value, "true or { kf_account = \"…\" }", reply.faults),
    }
}

fn only_true(table: &Table<'_>, key: &'static str) -> bool {
    let flag = table.flag(key);
    if flag == Some(false) {
        table.faults.push(Fault::at(table.key_span(key), format!("`{key}` can only be true; leave it out")));
    }
    flag == Some(true)
}
