//! The JSON Schema of a config, for editors: what may stand where, and what it means.
//!
//! It is made of the keys in [`keys`], the one description that there is; a test holds them against the keys that the
//! readers of the config ask for.

mod group;
mod keys;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use group::{Group, Key, Kind};

/// The schema of a whole config.
#[must_use]
pub fn schema() -> Value {
    let mut groups = BTreeMap::new();
    note_groups(&keys::ROOT, &mut groups);
    let mut definitions: Map<String, Value> =
        groups.values().map(|group| (name_of(group), object(group))).collect();
    definitions.extend(shared());
    let Value::Object(mut root) = object(&keys::ROOT) else { return Value::Null };
    root.insert("$schema".to_owned(), "http://json-schema.org/draft-07/schema#".into());
    root.insert("title".to_owned(), "wxcgi.toml".into());
    root.insert("definitions".to_owned(), definitions.into());
    root.into()
}

/// All groups that a group leads to, by their nouns.
fn note_groups(group: &'static Group, groups: &mut BTreeMap<&'static str, &'static Group>) {
    for key in group.keys {
        let deeper: &[&'static Group] = match &key.kind {
            Kind::Table(group)
            | Kind::TrueOrTable(group)
            | Kind::Tables(group)
            | Kind::OneOrMore(group)
            | Kind::Fields(group)
            | Kind::Named(group)
            | Kind::TextOr(group)
            | Kind::WordsOr(group)
            | Kind::Choices(group) => &[*group],
            Kind::Reply | Kind::Replies => &[&keys::KIND],
            Kind::Secret | Kind::Secrets => &[&keys::SECRET],
            _ => &[],
        };
        for group in deeper {
            if groups.insert(group.noun, group).is_none() {
                note_groups(group, groups);
            }
        }
    }
}

fn name_of(group: &Group) -> String {
    group.noun.replace(' ', "-")
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{name}") })
}

fn object(group: &Group) -> Value {
    let properties: Map<String, Value> =
        group.keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let mut object = json!({
        "type": "object",
        "description": group.doc,
        "properties": properties,
        "additionalProperties": false,
    });
    if !group.required.is_empty() {
        object["required"] = json!(group.required);
    }
    if !group.one_of.is_empty() {
        object["oneOf"] = group.one_of.iter().map(|name| json!({ "required": [name] })).collect();
    }
    if !group.any_of.is_empty() {
        object["anyOf"] = group.any_of.iter().map(|name| json!({ "required": [name] })).collect();
    }
    if !group.not_all_of.is_empty() {
        object["not"] = json!({ "required": group.not_all_of });
    }
    object
}

fn property(key: &Key) -> Value {
    // In this version of JSON Schema nothing counts beside a `$ref`.
    json!({ "description": key.doc, "allOf": [kind(&key.kind)] })
}

fn kind(kind: &Kind) -> Value {
    let list = |items: Value| json!({ "type": "array", "items": items, "minItems": 1 });
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Template => reference("template"),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::True => json!({ "const": true }),
        Kind::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Duration => reference("duration"),
        Kind::DurationOr(word) => json!({ "anyOf": [{ "const": word }, reference("duration")] }),
        Kind::Size => reference("size"),
        Kind::Secret => json!({ "anyOf": [{ "type": "string" }, reference(&name_of(&keys::SECRET))] }),
        Kind::Words => json!({ "anyOf": [{ "type": "string" }, list(json!({ "type": "string" }))] }),
        Kind::KnownWords(known) => {
            // Offered by editors; others are taken, too.
            let word = json!({ "anyOf": [{ "enum": known }, { "type": "string" }] });
            json!({ "anyOf": [word, list(word.clone())] })
        }
        Kind::Number => json!({ "type": "number" }),
        // Editors read TOML's own dates as texts or as something else.
        Kind::Moment => json!({}),
        Kind::Fold => json!({ "enum": [true, false, "script"] }),
        Kind::OneOf(words) => json!({ "enum": words }),
        Kind::Table(group) => reference(&name_of(group)),
        Kind::TrueOrTable(group) => json!({ "anyOf": [{ "const": true }, reference(&name_of(group))] }),
        Kind::Tables(group) => json!({ "type": "array", "items": reference(&name_of(group)) }),
        Kind::OneOrMore(group) => {
            let one = reference(&name_of(group));
            json!({ "anyOf": [one, list(one.clone())] })
        }
        Kind::Fields(group) => {
            let text = json!({ "type": "string" });
            let field = json!({ "anyOf": [text, list(text.clone()), reference(&name_of(group))] });
            json!({ "type": "object", "additionalProperties": field })
        }
        Kind::Named(group) => {
            json!({ "type": "object", "additionalProperties": reference(&name_of(group)) })
        }
        Kind::Values => {
            json!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } })
        }
        Kind::Free => json!({ "type": "object" }),
        Kind::Secrets => json!({ "type": "object", "additionalProperties": self::kind(&Kind::Secret) }),
        Kind::TextOr(group) => json!({ "anyOf": [{ "type": "string" }, reference(&name_of(group))] }),
        Kind::WordsOr(group) => {
            json!({ "anyOf": [self::kind(&Kind::Words), reference(&name_of(group))] })
        }
        Kind::Reply => reference("reply"),
        Kind::Replies => list(reference("reply")),
        Kind::Choices(group) => {
            let other = json!({ "type": ["string", "array"] });
            let choice =
                json!({ "anyOf": [reference(&name_of(group)), { "allOf": [other, reference("reply")] }] });
            list(choice)
        }
    }
}

/// What is not a table.
fn shared() -> Map<String, Value> {
    let kind = reference(&name_of(&keys::KIND));
    let shared = json!({
        "template": {
            "type": "string",
            "description": "A text with places to fill in: {{ message.content }}, {{ rest }}, {{ table.prices[rest].price }}",
        },
        "duration": { "type": "string", "description": "\"500ms\", \"4.5s\", \"10m\", \"1h\"", "pattern": "^\\s*[0-9]" },
        "size": {
            "type": "string",
            "description": "\"256KiB\", \"1MiB\", or bytes",
            "pattern": "^[0-9]+ *([KMG]iB|[kKMG]?B)?$",
        },
        "reply": {
            "description": "A text, a table with one kind of reply, or a list of replies",
            "anyOf": [
                reference("template"),
                kind,
                { "type": "array", "items": reference("reply"), "minItems": 1 },
            ],
        },
    });
    match shared {
        Value::Object(shared) => shared,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::super::table::asked_keys;
    use super::super::{Config, Thoroughness};
    use super::*;
    use crate::wechat::message::KNOWN_TYPES;

    /// A config in which every table stands, so that every reader asks for its keys.
    const ALL: &str = "[account]\ntoken = { file = \"t\" }\n[server]\n[log]\n[store]\n[api]\n[step.s]\nitem = [{ label = \"a\", limit = {} }]\n[[menu.button]]\nsub_button = [{ type = \"a\" }]\n\
        [[menu.conditional]]\n[table.t]\nfile = \"t.csv\"\n[default]\nreply = \"a\"\n\
        [welcome]\nreply = \"a\"\n[[blocked]]\nwords = \"a\"\n[[rule]]\nreply = \"a\"\n\
        when = { near = {}, field = { Label = { equals = \"a\" } } }\n\
        [[rule]]\nwhen.text = \"a\"\nreply.random = [{ text = \"a\" }]\n\
        [[rule]]\nwhen.text = \"b\"\nreply.image = {}\n[[rule]]\nwhen.text = \"c\"\nreply.voice = {}\n\
        [[rule]]\nwhen.text = \"d\"\nreply.video = {}\n[[rule]]\nwhen.text = \"e\"\nreply.music = {}\n\
        [[rule]]\nwhen.text = \"h\"\nreply.music.thumb = {}\n\
        [[rule]]\nwhen.text = \"f\"\nreply.news = [{}]\n[[rule]]\nwhen.text = \"g\"\nreply.transfer = {}\n\
        [[rule]]\nwhen.text = \"i\"\nexec = [\"a\"]\n\
        [[rule]]\nwhen = { text = \"j\", exec = {}, http = {} }\nhttp = {}\n\
        [[rule]]\nwhen.text = \"k\"\nrelay = [{}]\n[delivery]\n[chat.c]\nlimit = {}\nprice = {}\n";

    #[test]
    fn the_schema_has_the_keys_that_the_readers_ask_for_and_no_others() {
        let _ = Config::parse(ALL, Path::new("/nonexistent"), Thoroughness::Full);
        let asked = asked_keys();
        let mut groups = BTreeMap::from([(keys::ROOT.noun, &keys::ROOT)]);
        note_groups(&keys::ROOT, &mut groups);
        assert_eq!(asked.keys().collect::<Vec<_>>(), groups.keys().collect::<Vec<_>>());
        for (noun, asked) in asked {
            let described: BTreeSet<_> = groups[noun].keys.iter().map(|key| key.name).collect();
            assert_eq!(described, asked, "{noun}");
        }
    }

    #[test]
    fn every_key_is_described_and_what_is_required_is_there() {
        let mut groups = BTreeMap::from([(keys::ROOT.noun, &keys::ROOT)]);
        note_groups(&keys::ROOT, &mut groups);
        assert!(groups.len() > 12);
        for group in groups.values() {
            assert!(!group.doc.is_empty(), "{}", group.noun);
            for key in group.keys {
                assert!(key.doc.len() > 6, "{} `{}`", group.noun, key.name);
            }
            for name in group.required.iter().chain(group.one_of).chain(group.any_of) {
                assert!(group.keys.iter().any(|key| key.name == *name), "{} `{name}`", group.noun);
            }
        }
    }

    #[test]
    fn the_readmes_tell_of_every_key() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for readme in ["README.md", "README.zh-CN.md"] {
            let text = std::fs::read_to_string(root.join(readme)).unwrap();
            let words: BTreeSet<_> =
                text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').collect();
            let mut groups = BTreeMap::from([(keys::ROOT.noun, &keys::ROOT)]);
            note_groups(&keys::ROOT, &mut groups);
            for group in groups.values() {
                // Types of messages need no list of their own.
                for key in group.keys.iter().filter(|key| !KNOWN_TYPES.contains(&key.name)) {
                    assert!(
                        words.contains(key.name),
                        "{readme} does not tell of the {} `{}`",
                        group.noun,
                        key.name
                    );
                }
            }
        }
    }
}
