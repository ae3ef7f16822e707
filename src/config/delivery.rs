//! `[delivery]`: how answers reach users that WeChat has not waited for.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::fault::Fault;
use super::server::duration_within;
use super::table::Table;
use crate::wechat::limits::MAX_TEXT_BYTES;

/// `[delivery]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliverySettings {
    /// The word by which a user asks for what waits for him. Default 继续.
    pub fetch_word: String,
    /// What he is told while it is being worked out.
    pub waiting_text: String,
    /// What stands below a piece that others follow; `{{ left }}` is how many, `{{ word }}` the word.
    pub more_text: String,
    /// So many messages in five minutes may be held until WeChat asks again. More, and WeChat could stop all pushes for a
    /// minute (MarkFail). Default 10.
    pub hold_budget: u64,
    /// What waits for a user is forgotten after so long. Default 24 h.
    pub keep: Duration,
    /// So many handlers run at once in a process; others wait for their turn. Default 350.
    pub max_jobs: usize,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self::with_word("继续".to_owned())
    }
}

impl DeliverySettings {
    /// The defaults where users ask by this word.
    #[must_use]
    pub fn with_word(word: String) -> Self {
        Self {
            waiting_text: format!("还在想，稍后回复“{word}”取答案"),
            more_text: "（还有 {{ left }} 条，回复“{{ word }}”查看）".to_owned(),
            fetch_word: word,
            hold_budget: 10,
            keep: Duration::from_secs(24 * 60 * 60),
            max_jobs: 350,
        }
    }

    /// The line that says how many pieces follow.
    pub(crate) fn more_text(&self, left: usize) -> String {
        self.more_text.replace("{{ left }}", &left.to_string()).replace("{{ word }}", &self.fetch_word)
    }
}

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
