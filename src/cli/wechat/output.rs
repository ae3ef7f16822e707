//! Answers as people and programs read them: tables, CSV, JSON.

use std::fmt::{Display, Write as _};

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use super::Failure;
use crate::logging::shown_up_to;

/// JSON with a line a value.
pub(super) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

/// A value in a cell: texts as they are, nothing for null, elements with `;` between.
pub(super) fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(elements)) => {
            elements.iter().map(|element| cell(Some(element))).collect::<Vec<_>>().join(";")
        }
        Some(other) => other.to_string(),
    }
}

/// Rows below a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// The elements of a list, with a column for each of `names`: a name, or a pointer as `/content/title`.
    pub(super) fn of<'v>(elements: impl IntoIterator<Item = &'v Value>, names: &[&str]) -> Self {
        let get = |element: &Value, name: &str| {
            let found = if name.starts_with('/') { element.pointer(name) } else { element.get(name) };
            cell(found)
        };
        let rows = elements.into_iter().map(|element| names.iter().map(|name| get(element, name)).collect());
        let head = |name: &&str| name.rsplit('/').next().unwrap_or(name).to_owned();
        Self { rows: rows.collect(), head: names.iter().map(head).collect() }
    }

    /// With a column for every name that any of the objects has, in the order in which they come.
    pub(super) fn of_all(elements: &[Value]) -> Self {
        let mut names: Vec<&str> = Vec::new();
        for name in elements.iter().filter_map(Value::as_object).flat_map(|object| object.keys()) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        // What the figures are of comes first.
        names.sort_by_key(|name| !name.starts_with("ref_"));
        Self::of(elements, &names)
    }

    /// In columns, for a person.
    pub(super) fn for_people(&self) -> String {
        let lines = || std::iter::once(&self.head).chain(&self.rows);
        let shown = |text: &str| text.replace(char::is_control, " ");
        let widths: Vec<_> = (0..self.head.len())
            .map(|column| lines().map(|line| shown(&line[column]).width()).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for line in lines() {
            let mut row = String::new();
            for (value, width) in line.iter().zip(&widths) {
                let value = shown(value);
                row.push_str(&value);
                row.push_str(&" ".repeat(width - value.width() + 2));
            }
            text.push_str(row.trim_end());
            text.push('\n');
        }
        text
    }

    /// As CSV, with the head.
    pub(super) fn csv(&self) -> Result<String, Failure> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let failed = |error: csv::Error| Failure::Failed(error.to_string());
        for line in std::iter::once(&self.head).chain(&self.rows) {
            writer.write_record(line).map_err(failed)?;
        }
        let bytes = writer.into_inner().map_err(|error| Failure::Failed(error.to_string()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// What `read` makes of what an answer has below `name`: a name, or a pointer as `/content/title`. An answer without it is
/// none that WeChat gives, and nobody knows whether anything is done.
pub(super) fn need<'v, T>(
    answer: &'v Value,
    name: &str,
    read: impl FnOnce(&'v Value) -> Option<T>,
) -> Result<T, Failure> {
    let found = if name.starts_with('/') { answer.pointer(name) } else { answer.get(name) };
    found.filter(|value| !value.is_null()).and_then(read).ok_or_else(|| {
        let name = name.trim_start_matches('/').replace('/', ".");
        // Only the names: there may be tokens in it.
        let names = answer.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        let names = shown_up_to(&names.collect::<Vec<_>>().join(", "), 200);
        Failure::Failed(format!("the answer is none of WeChat's: it has no good `{name}`, but {names}"))
    })
}

/// A text that is not empty.
pub(super) fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// Lines without what would move the cursor of a terminal or change its colours: users choose their names.
pub(super) fn harmless(lines: &str) -> String {
    lines.replace(|letter: char| letter.is_control() && letter != '\n', "\u{fffd}")
}

/// A line for each.
pub(super) fn lines(things: impl IntoIterator<Item = impl Display>) -> String {
    things.into_iter().fold(String::new(), |mut text, thing| {
        let _ = writeln!(text, "{}", harmless(&thing.to_string()));
        text
    })
}

/// The list below `name`; an empty one where the answer has none.
pub(super) fn list<'v>(answer: &'v Value, name: &str) -> &'v [Value] {
    let found = if name.starts_with('/') { answer.pointer(name) } else { answer.get(name) };
    found.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_stand_below_each_other_also_with_chinese() {
        let tags =
            [json!({"id": 2, "name": "星标组", "count": 0}), json!({"id": 134, "name": "a\nb", "count": 12})];
        let table = Table::of(&tags, &["id", "name", "count"]);
        assert_eq!(table.for_people(), "id   name    count\n2    星标组  0\n134  a b     12\n");
        assert_eq!(table.csv().unwrap(), "id,name,count\n2,星标组,0\n134,\"a\nb\",12\n");
    }

    #[test]
    fn what_users_write_does_nothing_to_a_terminal() {
        let names = ["\u{1b}[31mred\u{9b}1m", "a\rb\u{7f}"];
        let table = Table::of(&names.map(|name| json!({"name": name})), &["name"]);
        assert!(!table.for_people().contains(|letter: char| letter.is_control() && letter != '\n'));
        assert_eq!(lines(names), "\u{fffd}[31mred\u{fffd}1m\na\u{fffd}b\u{fffd}\n");
    }

    #[test]
    fn an_answer_without_what_it_must_have_is_a_failure_that_shows_no_value() {
        let answer = json!({"access_token": "hunter2", "id": null, "empty": "", "tag": {"id": 7}});
        assert_eq!(need(&answer, "/tag/id", Value::as_u64).unwrap(), 7);
        for (name, told) in [("id", "`id`"), ("empty", "`empty`"), ("/tag/id", "`tag.id`"), ("/a/b", "`a.b`")]
        {
            let Err(Failure::Failed(why)) = need(&answer, name, text) else { panic!("{name}") };
            let expected = format!("it has no good {told}, but `access_token, empty, id, tag`");
            assert!(why.ends_with(&expected) && !why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn all_names_become_columns() {
        let rows =
            [json!({"new_user": 1, "ref_date": "d"}), json!({"ref_date": "e", "list": [1, 2], "x": null})];
        let csv = Table::of_all(&rows).csv().unwrap();
        assert_eq!(csv, "ref_date,new_user,list,x\nd,1,,\ne,,1;2,\n");
    }
}
