//! `reply`: from the file's words to an action.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::de::DeValue;

use super::fault::{Fault, did_you_mean};
use super::media::{read_media, read_thumb};
use super::table::{Faults, Table, Text, Value, text, wrong_type};
use super::tables::Declared;
use crate::rules::{
    Action, ArticleTemplate, BUILT_IN_NAMES, Choice, MediaId, MediaKind, Template, known_fields,
};
use crate::wechat::limits::{MAX_ARTICLES_FOR_EVENT, MAX_ARTICLES_FOR_MESSAGE, MAX_TEXT_BYTES};

/// Reads templates and checks that they speak only of what there is.
#[derive(Clone, Copy)]
pub(super) struct Templates<'c> {
    /// The names that the condition cuts out of a message; `None` if they are not known.
    pub(super) captures: Option<&'c [String]>,
    /// What they can look up.
    pub(super) tables: &'c Declared,
    /// So many articles WeChat shows in what is answered.
    most_articles: usize,
}

impl<'c> Templates<'c> {
    pub(super) fn new(captures: Option<&'c [String]>, tables: &'c Declared) -> Self {
        Self { captures, tables, most_articles: MAX_ARTICLES_FOR_EVENT }
    }

    /// The same where no event is answered.
    pub(super) fn for_people(self) -> Self {
        Self { most_articles: MAX_ARTICLES_FOR_MESSAGE, ..self }
    }

    /// A text for users.
    pub(super) fn said(&self, table: &Table<'_>, key: &'static str) -> Option<Template> {
        table.text(key).map(|text| self.read_said(&text, table.faults))
    }

    fn read_said(&self, text: &Text<'_>, faults: &Faults<'_>) -> Template {
        let template = self.read(text, faults);
        warn_of_length(&template, text.span.clone(), faults);
        template
    }

    pub(super) fn optional(&self, table: &Table<'_>, key: &'static str) -> Option<Template> {
        table.text(key).map(|text| self.read(&text, table.faults))
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

    pub(super) fn read(&self, text: &Text<'_>, faults: &Faults<'_>) -> Template {
        let template = Template::new(text.value.to_owned());
        if faults.thorough {
            self.check(&template, text, faults);
        }
        template
    }

    fn check(&self, template: &Template, text: &Text<'_>, faults: &Faults<'_>) {
        let names = match template.names() {
            Ok(names) => names,
            Err(error) => {
                let place = error.line().and_then(|line| place_of_line(text, line, faults));
                let place = place.unwrap_or_else(|| text.span.clone());
                faults.push(Fault::at(place, format!("bad template: {error}")));
                return;
            }
        };
        self.check_tables(&names, text, faults);
        self.note_session(&names, text, faults);
        warn_unknown_fields(&names, text, faults);
        check_account(&names, text, faults);
        let Some(captures) = self.captures else { return };
        if let Some(unknown) = template.unknown_word(captures, &self.tables.tables) {
            faults.push(Fault::at(text.span.clone(), format!("bad template: {unknown}")));
        }
        let known: Vec<_> = BUILT_IN_NAMES.into_iter().chain(captures.iter().map(String::as_str)).collect();
        let roots: BTreeSet<_> = names.iter().filter_map(|name| name.split('.').next()).collect();
        for root in roots.into_iter().filter(|root| !known.contains(root)) {
            let message = format!("the template names `{root}`, which there is not");
            faults.push(unknown_name(root, message, &known, place_of(root, text, faults)));
        }
    }

    /// What templates ask of the session is told apart from what rules set when all rules are known.
    fn note_session(&self, names: &[String], text: &Text<'_>, faults: &Faults<'_>) {
        for value in names.iter().filter_map(|name| name.strip_prefix("session.")?.split('.').next()) {
            let place = place_of(&format!("session.{value}"), text, faults);
            self.tables.note_session(value, place, faults.within());
        }
    }

    /// The tables that a template asks for must be there.
    fn check_tables(&self, names: &[String], text: &Text<'_>, faults: &Faults<'_>) {
        let known: Vec<_> = self.tables.names().collect();
        for name in names.iter().filter(|name| name.split('.').next() == Some("table")) {
            let table = name.split('.').nth(1);
            self.tables.note_use(table);
            if let Some(table) = table.filter(|table| !self.tables.has(table)) {
                let message = format!("there is no table `{table}`");
                let cure = format!("declare it: [table.{table}] with file = \"{table}.csv\"");
                let place = place_of(&format!("table.{table}"), text, faults);
                let fault = unknown_name(table, message, &known, place);
                faults.push(if known.is_empty() { fault.cure(cure) } else { fault });
            }
        }
    }
}

/// WeChat may well invent a field tomorrow; today the name is most often a slip.
fn warn_unknown_fields(names: &[String], text: &Text<'_>, faults: &Faults<'_>) {
    let fields = names.iter().filter_map(|name| name.strip_prefix("message.")?.split('.').next());
    let is_unknown =
        |field: &&str| known_fields().binary_search_by(|known| known.as_str().cmp(field)).is_err();
    let unknown: BTreeSet<_> = fields.filter(is_unknown).collect();
    for field in unknown {
        let place = place_of(&format!("message.{field}"), text, faults);
        let fault = Fault::at(place, format!("no message is known to have a field `{field}`")).warning();
        faults.push(match did_you_mean(field, known_fields().iter().map(String::as_str)) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault.cure("it is empty where a message lacks it"),
        });
    }
}

/// The account has one field for templates.
fn check_account(names: &[String], text: &Text<'_>, faults: &Faults<'_>) {
    const KNOWN: &str = "app_id";
    let fields = names.iter().filter_map(|name| name.strip_prefix("account.")?.split('.').next());
    for field in fields.filter(|field| *field != KNOWN) {
        let message = format!("templates know no field `{field}` of the account");
        let place = place_of(&format!("account.{field}"), text, faults);
        faults.push(unknown_name(field, message, &[KNOWN], place));
    }
}

/// Where a template first speaks of `name`, of which the last part is shown; where it cannot be told, all of the text.
fn place_of(name: &str, text: &Text<'_>, faults: &Faults<'_>) -> Range<usize> {
    let source = text.value;
    let is_of_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let is_inside = |before: &str| before.rfind("{{").max(before.rfind("{%")) > before.rfind(['}']);
    let found =
        source.match_indices(name).map(|(at, _)| (&source[..at], at + name.len())).find(|(before, end)| {
            !before.ends_with(|letter| is_of_name(letter) || letter == '.')
                && !source[*end..].starts_with(is_of_name)
                && is_inside(before)
        });
    let part = name.rsplit('.').next().unwrap_or(name);
    let place = found.and_then(|(_, end)| text.place_of(end - part.len()..end, faults));
    place.unwrap_or_else(|| text.span.clone())
}

/// The place of a line of a text that has several.
fn place_of_line(text: &Text<'_>, line: usize, faults: &Faults<'_>) -> Option<Range<usize>> {
    let start: usize = text.value.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let written = text.value[start..].lines().next()?;
    let indent = written.len() - written.trim_start().len();
    text.place_of(start + indent..start + written.len(), faults).filter(|_| text.value.contains('\n'))
}

fn unknown_name(name: &str, message: String, known: &[&str], place: Range<usize>) -> Fault {
    let fault = Fault::at(place, message).cure(format!("known here: {}", known.join(", ")));
    match did_you_mean(name, known.iter().copied()) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault,
    }
}

/// The kinds of replies, as keys.
pub(super) const KINDS: &[&str] = &[
    "text",
    "image",
    "voice",
    "video",
    "music",
    "news",
    "transfer",
    "transfer_ai",
    "none",
    "random",
    "round_robin",
];

/// The largest weight of a choice.
const MAX_WEIGHT: u32 = 1_000_000;

/// `reply` of a rule. `place` tells its lists apart from those of other rules.
pub(super) fn read_reply(rule: &Table<'_>, templates: Templates<'_>, place: &str) -> Option<Action> {
    let Some(value) = rule.value("reply") else {
        rule.missing("reply");
        return None;
    };
    read_value(value, templates, place, rule.faults)
}

/// `ask` of a step: what is said where it begins, if it says anything.
pub(super) fn read_ask(step: &Table<'_>, templates: Templates<'_>, place: &str) -> Option<Action> {
    read_value(step.value("ask")?, templates, &format!("{place}.ask"), step.faults)
}

/// A text, a table with one kind of reply, or a list of both: all of them.
fn read_value(
    value: Value<'_>,
    templates: Templates<'_>,
    place: &str,
    faults: &Faults<'_>,
) -> Option<Action> {
    match value.get_ref() {
        DeValue::String(_) => Some(Action::Text(templates.read_said(&text(value, faults)?, faults))),
        DeValue::Table(_) => {
            let table = Table::from_value(value, "kind of reply", faults)?;
            let action = read_kinds(&table, templates, place);
            table.finish();
            action
        }
        DeValue::Array(_) => {
            let actions =
                read_list(value, place, faults, |item, place| read_value(item, templates, place, faults))?;
            Some(Action::Several(actions))
        }
        _ => wrong_type(value, "a text, a table or a list of them", faults),
    }
}

/// The items of a list that should not be empty; all are read before an incomplete one ends it.
fn read_list<T>(
    value: Value<'_>,
    place: &str,
    faults: &Faults<'_>,
    read: impl Fn(Value<'_>, &str) -> Option<T>,
) -> Option<Vec<T>> {
    let DeValue::Array(items) = value.get_ref() else {
        return wrong_type(value, "a list of replies", faults);
    };
    if items.is_empty() {
        faults.push(Fault::at(value.span(), "a list without a reply"));
    }
    let items: Vec<_> =
        items.iter().zip(1..).map(|(item, number)| read(item, &format!("{place}.{number}"))).collect();
    items.into_iter().collect()
}

fn read_kinds(table: &Table<'_>, templates: Templates<'_>, place: &str) -> Option<Action> {
    let given: Vec<_> = KINDS.iter().copied().filter(|kind| table.value(kind).is_some()).collect();
    if given.len() != 1 {
        let several = if given.is_empty() { "no kind" } else { "several kinds" };
        let fault = Fault::at(table.span.clone(), format!("this reply has {several}"));
        table.faults.push(fault.cure(format!("give one of: {}", KINDS.join(", "))));
    }
    let count = templates.optional(table, "count");
    if count.is_some() && given != ["news"] {
        table.faults.push(Fault::at(table.key_span("count"), "`count` belongs to `news`"));
    }
    let actions: Vec<_> = given.into_iter().map(|kind| read_kind(kind, table, templates, place)).collect();
    match actions.into_iter().next().flatten() {
        Some(Action::News { articles, .. }) => Some(Action::News { articles, count }),
        action => action,
    }
}

fn read_kind(kind: &'static str, reply: &Table<'_>, templates: Templates<'_>, place: &str) -> Option<Action> {
    let inner = |noun| reply.table(kind, noun);
    match kind {
        "text" => templates.said(reply, kind).map(Action::Text),
        "image" => only_media(inner("image key")?, MediaKind::Image, templates)
            .map(|media_id| Action::Image { media_id }),
        "voice" => only_media(inner("voice key")?, MediaKind::Voice, templates)
            .map(|media_id| Action::Voice { media_id }),
        "video" => read_video(inner("video key")?, templates),
        "music" => read_music(inner("music key")?, templates),
        "news" => read_news(reply, templates),
        "transfer" => read_transfer(reply),
        "transfer_ai" => only_true(reply, kind).then_some(Action::TransferBizAiIvr),
        "random" => read_random(reply.value(kind)?, templates, place, reply.faults),
        "round_robin" => read_round_robin(reply.value(kind)?, templates, place, reply.faults),
        _ => only_true(reply, kind).then_some(Action::None),
    }
}

/// A list of replies, each a table with a `weight` beside its kind if it wants one.
fn read_random(
    value: Value<'_>,
    templates: Templates<'_>,
    place: &str,
    faults: &Faults<'_>,
) -> Option<Action> {
    let choices = read_list(value, place, faults, |item, place| {
        if !item.get_ref().is_table() {
            return Some(Choice { weight: 1, then: read_value(item, templates, place, faults)? });
        }
        let table = Table::from_value(item, "choice", faults)?;
        let weight = table.integer_within("weight", "parts", 1..=MAX_WEIGHT).unwrap_or(1);
        let then = read_kinds(&table, templates, place);
        table.finish();
        Some(Choice { weight, then: then? })
    })?;
    Some(Action::Random(choices))
}

fn read_round_robin(
    value: Value<'_>,
    templates: Templates<'_>,
    place: &str,
    faults: &Faults<'_>,
) -> Option<Action> {
    let actions = read_list(value, place, faults, |item, place| read_value(item, templates, place, faults))?;
    Some(Action::RoundRobin { key: format!("round-robin/{place}"), actions })
}

/// What is longer comes in pieces, or is cut.
pub(super) fn warn_of_length(template: &Template, span: Range<usize>, faults: &Faults<'_>) {
    let length = template.source().len();
    if template.is_plain() && length > MAX_TEXT_BYTES {
        let message = format!("this text has {length} bytes; WeChat takes {MAX_TEXT_BYTES}");
        faults.push(
            Fault::at(span, message)
                .cure("the rest has to wait; of a text for failures it is cut off")
                .warning(),
        );
    }
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
    if articles.len() > templates.most_articles {
        reply.faults.push(too_many_articles(articles.len(), templates.most_articles, span));
    }
    // Read all of them before an incomplete one ends it.
    let articles: Vec<_> = articles.into_iter().map(|table| read_article(table, templates)).collect();
    let articles = articles.into_iter().collect::<Option<_>>()?;
    Some(Action::News { articles, count: None })
}

fn too_many_articles(count: usize, most: usize, span: Range<usize>) -> Fault {
    let (message, cure) = if most == MAX_ARTICLES_FOR_EVENT {
        (format!("`news` has {count} articles; WeChat shows {most}"), "and one only in answer to a message")
    } else {
        (
            format!("in answer to a message WeChat shows {most} article, not {count}"),
            "up to eight are shown in answer to an event, as a button of the menu",
        )
    };
    Fault::at(span, message).cure(cure).warning()
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

#[cfg(test)]
mod tests;
