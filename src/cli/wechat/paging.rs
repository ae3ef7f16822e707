//! Lists that WeChat gives in pages, and lists that it takes in batches.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::output::need;
use super::session::{Question, Session};
use super::{Failure, output};
use crate::api::endpoint::{Endpoint, Field, Limit, Place};

/// The openids behind `after`, a page at a time, until there are no more. `page` gets the openids and the whole
/// answer.
pub(super) fn openids(
    session: &Session,
    endpoint: &'static Endpoint,
    base: &Value,
    after: &str,
    mut page: impl FnMut(&[Value], &Value) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let cursor = cursor_of(endpoint);
    let mut next = after.to_owned();
    let mut seen = HashSet::new();
    loop {
        let question = if cursor.place == Place::Query {
            let query = if next.is_empty() { Vec::new() } else { vec![(cursor.path, next.clone())] };
            Question { query, ..Question::default() }
        } else {
            let mut body = base.clone();
            body[cursor.path] = json!(next);
            Question::body(body)
        };
        let Some(answer) = session.ask(endpoint, &question)? else { return Ok(()) };
        // The last page may have nothing else.
        if need(&answer, "count", Value::as_u64)? == 0 {
            return page(&[], &answer);
        }
        let openids = need(&answer, "/data/openid", openids_in)?;
        let following = need(&answer, "next_openid", Value::as_str)?;
        page(openids, &answer)?;
        // Who comes by a place again would go round for ever.
        seen.insert(std::mem::replace(&mut next, following.to_owned()));
        if next.is_empty() || seen.contains(&next) {
            return Ok(());
        }
    }
}

fn openids_in(list: &Value) -> Option<&[Value]> {
    let openids = list.as_array().filter(|openids| !openids.is_empty())?;
    openids.iter().all(Value::is_string).then_some(openids)
}

/// `next_openid`, `begin_openid`
fn cursor_of(endpoint: &'static Endpoint) -> &'static Field {
    let cursor = endpoint.all_fields().find(|field| field.path.ends_with("_openid"));
    cursor.expect("only endpoints with pages of openids are asked for them")
}

/// All of a list with `offset` and `count`, at most `max`.
pub(super) fn offsets(
    session: &Session,
    endpoint: &'static Endpoint,
    base: &Value,
    max: usize,
) -> Result<Option<Value>, Failure> {
    const PAGE: usize = 20;
    let mut all: Vec<Value> = Vec::new();
    loop {
        let mut body = base.clone();
        body["offset"] = json!(all.len());
        body["count"] = json!(PAGE.min(max - all.len()));
        let Some(answer) = session.ask(endpoint, &Question::body(body))? else { return Ok(None) };
        let items = output::list(&answer, "item");
        all.extend_from_slice(items);
        let total = need(&answer, "total_count", Value::as_u64)?;
        if items.is_empty() || all.len() >= max || all.len() as u64 >= total {
            return Ok(Some(json!({"total_count": total, "item_count": all.len(), "item": all})));
        }
    }
}

/// How many elements a list of this endpoint takes in one call.
pub(super) fn batch_size(endpoint: &Endpoint, list: &str) -> usize {
    let field = endpoint.all_fields().find(|field| field.path == list);
    match field.map(|field| field.limit) {
        Some(Limit::Items(_, max)) => max,
        _ => usize::MAX,
    }
}

/// Sends `body` as often as it takes for all of `elements`, as many at once as `list` takes. Says how many were sent.
pub(super) fn batches(
    session: &Session,
    endpoint: &'static Endpoint,
    body: &Value,
    list: &str,
    elements: &[String],
) -> Result<usize, Failure> {
    let bar = super::progress::of_things(elements.len() as u64, "users");
    for (at, batch) in elements.chunks(batch_size(endpoint, list)).enumerate() {
        let mut body = body.clone();
        body[list] = json!(batch);
        let answered = session.ask(endpoint, &Question::body(body)).and_then(|answer| match answer {
            Some(answer) => need(&answer, "errcode", |_| Some(())),
            None => Ok(()),
        });
        answered.map_err(|failure| {
            let done = at * batch_size(endpoint, list);
            match failure {
                Failure::Failed(why) if done > 0 => {
                    Failure::Failed(format!("{why}\nthe first {done} of {} were done before", elements.len()))
                }
                other => other,
            }
        })?;
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    Ok(elements.len())
}
