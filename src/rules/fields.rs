//! The fields of a message under the names that templates use: `PicUrl` is `pic_url`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use minijinja::Value;

use crate::wechat::message::Message;
use crate::wechat::xml::Element;

/// The name of an XML element as templates and handlers write it: `PicUrl` becomes `pic_url`, `Location_X`
/// `location_x`; sender, receiver and type have the field's own short names.
#[must_use]
pub fn snake_case(element: &str) -> String {
    match element {
        "FromUserName" => "from_user".to_owned(),
        "ToUserName" => "to_user".to_owned(),
        "MsgType" => "type".to_owned(),
        _ => {
            let mut name = String::with_capacity(element.len() + 4);
            let mut after_small = false;
            for letter in element.chars() {
                if letter.is_ascii_uppercase() && after_small {
                    name.push('_');
                }
                after_small = letter.is_ascii_lowercase() || letter.is_ascii_digit();
                name.push(letter.to_ascii_lowercase());
            }
            name
        }
    }
}

/// The fields of a message as templates see them, for who reads JSON.
#[must_use]
pub fn message_value(message: &Message<'_>) -> impl serde::Serialize + use<> {
    to_value(message.fields())
}

/// The names of all fields that messages are known to have, in alphabetical order.
#[must_use]
pub fn known_fields() -> &'static [String] {
    // A config has as many templates as replies.
    static KNOWN: LazyLock<Vec<String>> = LazyLock::new(|| {
        let mut names: Vec<_> = Message::known_elements().into_iter().map(snake_case).collect();
        names.sort_unstable();
        names.dedup();
        names
    });
    &KNOWN
}

/// What a template finds under one name.
pub(super) enum Field<'m> {
    /// Nothing.
    Missing,
    /// A text.
    Text(&'m str),
    /// A container, or several siblings of one name.
    Nested,
}

/// What templates find in `element` under `name`.
pub(super) fn field<'m>(element: &'m Element<'_>, name: &str) -> Field<'m> {
    let mut named = element.children.iter().filter(|child| snake_case(child.name) == name);
    match (named.next(), named.next()) {
        (None, _) => Field::Missing,
        (Some(child), None) if child.children.is_empty() => Field::Text(text_of(child)),
        _ => Field::Nested,
    }
}

/// All children as a template value: texts, maps of containers, lists of siblings with one name.
pub(super) fn to_value(element: &Element<'_>) -> Value {
    let mut fields: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for child in &element.children {
        let name = snake_case(child.name);
        let value = if child.children.is_empty() { scalar(&name, text_of(child)) } else { to_value(child) };
        fields.entry(name).or_default().push(value);
    }
    Value::from_pairs(fields.into_iter().map(|(name, values)| (name, one_or_list(values))))
}

fn one_or_list(mut values: Vec<Value>) -> Value {
    if values.len() > 1 {
        return Value::from(values);
    }
    values.pop().unwrap_or_default()
}

/// Times and ids are numbers, to reckon with; all else stays the text that it was.
fn scalar(name: &str, text: &str) -> Value {
    match (name, text.parse::<u64>()) {
        // One that would print otherwise than it came stays a text.
        ("create_time" | "msg_id", Ok(number)) if number.to_string() == text => Value::from(number),
        _ => Value::from(text),
    }
}

/// What a person wrote keeps its white space; around everything else it is WeChat's.
fn text_of<'m>(element: &'m Element<'_>) -> &'m str {
    match element.name {
        "Content" | "Recognition" => &element.text,
        _ => element.text.trim(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_have_names_of_small_letters() {
        for (element, name) in [
            ("FromUserName", "from_user"),
            ("MsgType", "type"),
            ("Content", "content"),
            ("PicUrl", "pic_url"),
            ("Location_X", "location_x"),
            ("MsgID", "msg_id"),
            ("EventKey", "event_key"),
            ("MediaId16K", "media_id16_k"),
            ("bizmsgmenuid", "bizmsgmenuid"),
        ] {
            assert_eq!(snake_case(element), name);
        }
    }
}
