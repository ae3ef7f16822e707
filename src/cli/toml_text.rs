//! Values and texts as TOML writes them.

use std::fmt::Write as _;

use serde_json::Value;

/// Writes a value as TOML does, in one line. The keys of objects must be bare.
pub(super) fn push_value(line: &mut String, value: &Value) {
    match value {
        Value::String(text) => line.push_str(&quoted(text)),
        Value::Array(items) => {
            line.push('[');
            for (index, item) in items.iter().enumerate() {
                line.push_str(if index > 0 { ", " } else { "" });
                push_value(line, item);
            }
            line.push(']');
        }
        Value::Object(members) => {
            line.push_str("{ ");
            for (index, (key, item)) in members.iter().enumerate() {
                let _ = write!(line, "{}{key} = ", if index > 0 { ", " } else { "" });
                push_value(line, item);
            }
            line.push_str(" }");
        }
        other => line.push_str(&other.to_string()),
    }
}

/// A text in one line.
pub(super) fn quoted(text: &str) -> String {
    // A JSON text is a TOML text but for DEL.
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// A text as people read it: with its own lines, if it has several.
pub(super) fn quoted_lines(text: &str) -> String {
    if !text.contains('\n') {
        return quoted(text);
    }
    let unquoted = |line: String| line[1..line.len() - 1].to_owned();
    let lines: Vec<_> = text.split('\n').map(|line| unquoted(quoted(line))).collect();
    format!("\"\"\"\n{}\"\"\"", lines.join("\n"))
}

/// A list of texts, in one line.
pub(super) fn list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use toml::de::{DeTable, DeValue};

    use super::*;

    fn read(text: &str) -> Vec<String> {
        let document = DeTable::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        match document.get_ref()["it"].get_ref() {
            DeValue::String(text) => vec![text.to_string()],
            DeValue::Array(texts) => {
                texts.iter().map(|text| text.get_ref().as_str().unwrap().to_owned()).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(quoted_lines("a\n\"b\"\n"), "\"\"\"\na\n\\\"b\\\"\n\"\"\"");
        assert_eq!(quoted_lines("\"\"\""), r#""\"\"\"""#);
    }

    proptest! {
        /// Whatever is written is read back.
        #[test]
        fn any_text_is_read_back(text in "[\"\\\\\n\t \\PC\u{0}-\u{1f}\u{7f}😀'#]{0,12}", other in any::<String>()) {
            prop_assert_eq!(&read(&format!("it = {}", quoted(&text))), std::slice::from_ref(&text));
            prop_assert_eq!(&read(&format!("it = {}", quoted_lines(&text))), std::slice::from_ref(&text));
            let both = [text, other];
            prop_assert_eq!(read(&format!("it = {}", list(&both))), both);
        }
    }
}
