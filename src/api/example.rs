//! A call that a row allows, with what it requires: for the help, and for tests.

use serde_json::{Map, Value, json};

use super::check::is_empty;
use super::endpoint::{Endpoint, Field, Kind, Limit, Place, When};

/// The fields of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The query, an object of texts.
    pub query: Value,
    /// The body, an object.
    pub body: Value,
}

impl Example {
    /// A call of `endpoint` with all that is required, and the fields that `choices` give a value, as which type of
    /// message it is.
    #[must_use]
    pub fn of(endpoint: &Endpoint, choices: &[(&str, Value)]) -> Self {
        let mut example = Self { query: json!({}), body: json!({}) };
        for (path, value) in choices {
            let place = endpoint.all_fields().find(|field| field.path == *path).map(|field| field.place);
            put(example.root(place.unwrap_or(Place::Body)), &alone(endpoint, path), value);
        }
        // What a set begins with is required if none of it is there.
        for set in endpoint.one_of {
            let given = |path: &&str| choices.iter().any(|(choice, _)| choice.starts_with(path));
            if let Some(first) = set.first().filter(|_| !set.iter().any(given)) {
                let field = endpoint.all_fields().find(|field| field.path == *first);
                put(&mut example.body, first, &field.map_or(json!("TEXT"), |field| filler(endpoint, field)));
            }
        }
        // A field may depend on one below it in the row.
        for _ in 0..3 {
            endpoint.all_fields().for_each(|field| example.require(endpoint, field));
        }
        example
    }

    fn root(&mut self, place: Place) -> &mut Value {
        if place == Place::Query { &mut self.query } else { &mut self.body }
    }

    fn require(&mut self, endpoint: &Endpoint, field: &Field) {
        if !field.required || field.place == Place::File || field.obsolete.is_some() {
            return;
        }
        let top = (self.query.clone(), self.body.clone());
        let value = filler(endpoint, field);
        each_parent(self.root(field.place), field.parent(), &mut |parent| {
            let object = parent.as_object_mut().filter(|object| counts(field, object, &top));
            if let Some(object) = object {
                object.entry(field.leaf()).or_insert_with(|| value.clone());
            }
        });
    }
}

/// The path without a `[]` where this endpoint takes one thing without a list.
fn alone(endpoint: &Endpoint, path: &str) -> String {
    let is_object =
        |list: &str| endpoint.all_fields().any(|field| field.path == list && field.kind == Kind::Object);
    match path.split_once("[]") {
        Some((list, rest)) if is_object(list) => format!("{list}{rest}"),
        _ => path.to_owned(),
    }
}

fn counts(field: &Field, parent: &Map<String, Value>, (query, body): &(Value, Value)) -> bool {
    if field.not_beside.is_some_and(|other| !is_empty(parent.get(other))) {
        return false;
    }
    match field.when {
        When::Always => true,
        When::Without(other) => is_empty(parent.get(other)),
        When::Is(other, values) => {
            let value = parent.get(other).or_else(|| body.get(other)).or_else(|| query.get(other));
            value.and_then(Value::as_str).is_some_and(|value| values.contains(&value))
        }
    }
}

/// Something that fits.
fn filler(endpoint: &Endpoint, field: &Field) -> Value {
    let is_number = matches!(field.kind, Kind::Number) && field.place != Place::Query;
    match (field.kind, field.limit) {
        (_, Limit::OneOf(values)) => json!(values[0]),
        (_, Limit::Form { example, .. }) => json!(example),
        (_, Limit::Range(min, _)) if is_number => json!(min),
        (_, Limit::Range(min, _)) => json!(min.to_string()),
        (Kind::Number, _) if is_number => json!(1),
        (Kind::Id | Kind::Number, _) => json!("1"),
        (Kind::Boolean, _) => json!(true),
        (Kind::Object, _) if field.path == "data" => json!({"keyword1": {}}),
        (Kind::Object, _) => json!({}),
        (Kind::List, limit) => {
            let count = if let Limit::Items(min, _) = limit { min.max(1) } else { 1 };
            let element = format!("{}[]", field.path);
            let element = endpoint.all_fields().find(|field| field.path == element);
            Value::Array(vec![element.map_or(json!({}), |element| filler(endpoint, element)); count])
        }
        (Kind::Text | Kind::File | Kind::Any, _) => {
            json!(field.leaf().trim_end_matches("[]").to_ascii_uppercase())
        }
    }
}

/// Puts a value at a path, and what it stands in if that is not there.
pub fn put(root: &mut Value, path: &str, value: &Value) {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let (name, is_list) = (name.trim_end_matches("[]"), name.ends_with("[]"));
    let name = if name == "*" { "keyword1" } else { name };
    let Some(object) = root.as_object_mut() else { return };
    let Some(rest) = rest else {
        let value = if is_list { json!([value]) } else { value.clone() };
        object.insert(name.to_owned(), value);
        return;
    };
    let inner = object.entry(name).or_insert_with(|| if is_list { json!([{}]) } else { json!({}) });
    match inner {
        Value::Array(elements) => elements.iter_mut().for_each(|element| put(element, rest, value)),
        other => put(other, rest, value),
    }
}

fn each_parent(root: &mut Value, path: &str, act: &mut dyn FnMut(&mut Value)) {
    if path.is_empty() {
        return act(root);
    }
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    let Some(object) = root.as_object_mut() else { return };
    if name == "*" {
        return object.values_mut().for_each(|inner| each_parent(inner, rest, act));
    }
    match object.get_mut(name.trim_end_matches("[]")) {
        Some(Value::Array(elements)) => elements.iter_mut().for_each(|inner| each_parent(inner, rest, act)),
        Some(inner) => each_parent(inner, rest, act),
        None => {}
    }
}
