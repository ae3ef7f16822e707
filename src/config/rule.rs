//! `[[rule]]` and `[default]`: from the file's words to rules.

use toml::Spanned;
use toml::de::DeValue;

use super::condition::read_condition;
use super::fault::{Fault, line_of};
use super::reply::{Templates, read_reply};
use super::table::Table;
use super::tables::Declared;
use crate::rules::{Condition, Rule, Rules};
use crate::wechat::limits::MAX_ARTICLES_FOR_MESSAGE;

/// What is said of a rule without a condition.
pub(super) const WAITS_FOR_NOTHING: &str = "this rule waits for nothing";

/// All rules, those with a higher `priority` first, otherwise in the order of the file.
pub(super) fn read_all(root: &Table<'_>, file: &str, tables: &Declared) -> Rules {
    let mut rules: Vec<(i64, Rule)> = Vec::new();
    // Lines are counted on from rule to rule, not from the top each time.
    let (mut line, mut counted) = (1, 0);
    for (index, table) in root.tables("rule", "rule key").into_iter().enumerate() {
        line += line_of(&file[counted..], table.span.start - counted) - 1;
        counted = table.span.start;
        let priority = table.integer("priority").unwrap_or(0);
        rules.extend(read_rule(table, index + 1, line, tables).map(|rule| (priority, rule)));
    }
    rules.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
    let default = root.table("default", "default key").and_then(|table| {
        let line = line_of(file, table.span.start);
        read_default(table, line, tables)
    });
    Rules::new(rules.into_iter().map(|(_, rule)| rule).collect(), default)
}

fn read_rule(table: Table<'_>, number: usize, line: usize, tables: &Declared) -> Option<Rule> {
    if table.value("when").is_none() {
        table.faults.push(Fault::at(table.span.clone(), WAITS_FOR_NOTHING).cure(
            "say what it waits for, as in `when.text = \"天气\"`; what fits nothing else goes to [default]",
        ));
    }
    // Read the rest of a rule whose condition is wrong, too: all its faults are told at once.
    let when = table.table("when", "condition").and_then(read_condition);
    let (when, captures, complete) = match when {
        Some((when, captures)) => (when, Some(captures), true),
        None => (Condition::default(), None, false),
    };
    let templates = Templates { captures: captures.as_deref(), tables };
    if WANT_A_TEXT.iter().any(|key| has_condition(&table, key)) {
        warn_of_articles(&table);
    }
    read_action(table, number, line, when, templates).filter(|_| complete)
}

/// Conditions that no event meets.
const WANT_A_TEXT: [&str; 5] = ["text", "contains", "prefix", "suffix", "regex"];

fn has_condition(rule: &Table<'_>, key: &str) -> bool {
    matches!(rule.value("when").map(Spanned::get_ref), Some(DeValue::Table(when)) if when.contains_key(key))
}

/// In answer to a message WeChat shows one article only.
fn warn_of_articles(rule: &Table<'_>) {
    let news = match rule.value("reply").map(Spanned::get_ref) {
        Some(DeValue::Table(reply)) => reply.get("news"),
        _ => None,
    };
    if let Some((news, DeValue::Array(articles))) = news.map(|news| (news, news.get_ref()))
        && articles.len() > MAX_ARTICLES_FOR_MESSAGE
    {
        let message = format!(
            "in answer to a message WeChat shows {MAX_ARTICLES_FOR_MESSAGE} article, not {}",
            articles.len()
        );
        let fault = Fault::at(news.span(), message).warning();
        rule.faults.push(fault.cure("up to eight are shown in answer to an event, as a button of the menu"));
    }
}

fn read_default(table: Table<'_>, line: usize, tables: &Declared) -> Option<Rule> {
    let templates = Templates { captures: Some(&[]), tables };
    warn_of_articles(&table);
    read_action(table, 0, line, Condition::default(), templates)
}

/// The keys that a rule and `[default]` share.
fn read_action(
    table: Table<'_>,
    number: usize,
    line: usize,
    when: Condition,
    templates: Templates<'_>,
) -> Option<Rule> {
    let (name, help) = (table.string("name"), table.string("help"));
    let on_error = templates.optional(&table, "on_error");
    let place =
        name.clone().unwrap_or_else(|| if number == 0 { "default".into() } else { number.to_string() });
    let then = read_reply(&table, templates, &place);
    table.finish();
    Some(Rule { name, number, line, when, then: then?, help, on_error })
}
