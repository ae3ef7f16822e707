//! `[[rule]]` and `[default]`: from the file's words to rules.

use super::condition::read_condition;
use super::fault::{Fault, line_of};
use super::reply::{Templates, read_reply};
use super::table::Table;
use crate::rules::{Condition, Rule, Rules};

/// What is said of a rule without a condition.
pub(super) const WAITS_FOR_NOTHING: &str = "this rule waits for nothing";

/// All rules, those with a higher `priority` first, otherwise in the order of the file.
pub(super) fn read_all(root: &Table<'_>, file: &str) -> Rules {
    let mut rules: Vec<(i64, Rule)> = Vec::new();
    // Lines are counted on from rule to rule, not from the top each time.
    let (mut line, mut counted) = (1, 0);
    for (index, table) in root.tables("rule", "rule key").into_iter().enumerate() {
        line += line_of(&file[counted..], table.span.start - counted) - 1;
        counted = table.span.start;
        let priority = table.integer("priority").unwrap_or(0);
        rules.extend(read_rule(table, index + 1, line).map(|rule| (priority, rule)));
    }
    rules.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
    let default = root.table("default", "default key").and_then(|table| {
        let line = line_of(file, table.span.start);
        read_default(table, line)
    });
    Rules::new(rules.into_iter().map(|(_, rule)| rule).collect(), default)
}

fn read_rule(table: Table<'_>, number: usize, line: usize) -> Option<Rule> {
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
    read_action(table, number, line, when, captures.as_deref()).filter(|_| complete)
}

fn read_default(table: Table<'_>, line: usize) -> Option<Rule> {
    read_action(table, 0, line, Condition::default(), Some(&[]))
}

/// The keys that a rule and `[default]` share. `captures` are the names that its condition cuts out; `None` if they
/// are not known.
fn read_action(
    table: Table<'_>,
    number: usize,
    line: usize,
    when: Condition,
    captures: Option<&[String]>,
) -> Option<Rule> {
    let templates = Templates { captures };
    let name = table.string("name");
    let on_error = templates.optional(&table, "on_error");
    let then = read_reply(&table, templates);
    table.finish();
    Some(Rule { name, number, line, when, then: then?, on_error })
}
