//! `[delivery]`: how answers reach users that WeChat has not waited for.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::fault::Fault;
use super::server::duration_within;
use super::table::Table;
use crate::delivery::DeliverySettings;
use crate::wechat::limits::MAX_TEXT_BYTES;

/// How long what waits for a user may wait.
const KEEP: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(30 * 24 * 60 * 60);
/// What stands below a piece must leave room for it, bytes.
const MAX_MORE_TEXT: usize = 180;

pub(super) fn read(table: Option<Table<'_>>) -> DeliverySettings {
    let Some(table) = table else { return DeliverySettings::default() };
    let word = table.parsed("fetch_word", |word| match word.trim() {
        "" => Err("nobody can send an empty word".to_owned()),
        word => Ok(word.to_owned()),
    });
    let mut settings = word.map_or_else(DeliverySettings::default, DeliverySettings::with_word);
    if let Some(text) = text_up_to(&table, "waiting_text", MAX_TEXT_BYTES) {
        settings.waiting_text = text;
    }
    if let Some(text) = text_up_to(&table, "more_text", MAX_MORE_TEXT) {
        settings.more_text = text;
    }
    if table.value("waiting_text").is_some() && !settings.waiting_text.contains(&settings.fetch_word) {
        let message = format!("users are not told to send `{}`", settings.fetch_word);
        let fault = Fault::at(table.value_span("waiting_text"), message).warning();
        table.faults.push(fault.cure("say the `fetch_word` in it: nothing else gets them the answer"));
    }
    if let Some(budget) = table.integer_within("hold_budget", "messages", 0..=1000) {
        settings.hold_budget = budget.into();
    }
    if let Some(keep) = table.parsed("keep", |text| duration_within(text, &KEEP)) {
        settings.keep = keep;
    }
    if let Some(jobs) = table.integer_within("max_jobs", "answers", 1..=10_000) {
        settings.max_jobs = usize::try_from(jobs).unwrap_or(usize::MAX);
    }
    table.finish();
    settings
}

fn text_up_to(table: &Table<'_>, key: &'static str, most: usize) -> Option<String> {
    table.parsed(key, |text| match text.len() {
        0 => Err("it is empty".to_owned()),
        length if length > most => Err(format!("it has {length} bytes; {most} is the most")),
        _ => Ok(text.to_owned()),
    })
}
