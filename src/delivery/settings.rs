//! `[delivery]`: how answers reach users that WeChat has not waited for.

use std::time::Duration;

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
    /// So many handlers run at once in a process; others wait for their turn. Default 400.
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
            max_jobs: 400,
        }
    }

    /// The line that says how many pieces follow.
    pub(super) fn more_text(&self, left: usize) -> String {
        self.more_text.replace("{{ left }}", &left.to_string()).replace("{{ word }}", &self.fetch_word)
    }
}
