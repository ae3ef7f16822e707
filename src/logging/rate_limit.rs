//! Lines that strangers can bring about by the thousand: the first few of a kind are written, the others counted.
//!
//! A line says that it is of such a kind by `kind = "…"` before its text. No clock: the time comes in as an argument.

use std::time::{Duration, Instant};

use log::{Level, Record};

/// How many lines of a kind are written in [`WINDOW`].
pub(super) const LINES: u32 = 10;

/// It begins with the first line of a kind.
pub(super) const WINDOW: Duration = Duration::from_secs(10);

/// The kinds of which a line was written of late. As many as there are words for them in the program.
#[derive(Debug, Default)]
pub(super) struct RateLimit {
    recent: Vec<Kind>,
}

/// A kind of line, and how often it came in its window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) name: String,
    pub(super) level: Level,
    pub(super) target: String,
    since: Instant,
    written: u32,
    /// How many lines were counted and not written.
    pub(super) held: u64,
}

impl RateLimit {
    /// Whether this line may be written. [`RateLimit::take_over`] comes first.
    pub(super) fn admits(&mut self, record: &Record<'_>, now: Instant) -> bool {
        let name = record.key_values().get("kind".into());
        let Some(name) = name.as_ref().and_then(log::kv::Value::to_borrowed_str) else { return true };
        let same = |kind: &&mut Kind| kind.name == name && kind.target == record.target();
        match self.recent.iter_mut().find(same) {
            Some(kind) if kind.written < LINES => kind.written += 1,
            Some(kind) => {
                kind.held += 1;
                return false;
            }
            None => self.recent.push(Kind {
                name: name.to_owned(),
                level: record.level(),
                target: record.target().to_owned(),
                since: now,
                written: 1,
                held: 0,
            }),
        }
        true
    }

    /// Forgets the kinds whose window is over, and gives those of which lines were held back.
    pub(super) fn take_over(&mut self, now: Instant) -> Vec<Kind> {
        self.take(|kind| now >= kind.since + WINDOW)
    }

    /// The same, window over or not.
    pub(super) fn take_all(&mut self) -> Vec<Kind> {
        self.take(|_| true)
    }

    fn take(&mut self, is_over: impl Fn(&Kind) -> bool) -> Vec<Kind> {
        self.recent.extract_if(.., |kind| is_over(kind)).filter(|kind| kind.held > 0).collect()
    }

    /// When the first window is over of those in which lines were held back.
    pub(super) fn next_over(&self) -> Option<Instant> {
        self.recent.iter().filter(|kind| kind.held > 0).map(|kind| kind.since + WINDOW).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a line of this kind is written.
    fn admits(limit: &mut RateLimit, kind: &str, now: Instant) -> bool {
        let values = [("kind", kind)];
        limit.admits(&Record::builder().target("gateway").key_values(&values).build(), now)
    }

    fn written(limit: &mut RateLimit, kind: &str, times: usize, now: Instant) -> usize {
        (0..times).filter(|_| admits(limit, kind, now)).count()
    }

    #[test]
    fn the_first_of_a_kind_are_written_and_the_others_counted() {
        let (mut limit, start) = (RateLimit::default(), Instant::now());
        assert_eq!(written(&mut limit, "forged", 4321, start), 10);
        assert_eq!(written(&mut limit, "slow", 7, start), 7);
        assert!(limit.take_over(start + Duration::from_millis(9_999)).is_empty());
        let over = limit.take_over(start + WINDOW);
        assert_eq!(
            over.iter().map(|kind| (&kind.name[..], kind.held)).collect::<Vec<_>>(),
            [("forged", 4311)]
        );
        assert!(limit.recent.is_empty());
    }

    #[test]
    fn the_next_window_begins_with_the_next_line() {
        let (mut limit, start) = (RateLimit::default(), Instant::now());
        written(&mut limit, "forged", 11, start);
        assert_eq!(limit.next_over(), Some(start + WINDOW));
        let later = start + 3 * WINDOW;
        assert_eq!(limit.take_over(later).len(), 1);
        assert_eq!(limit.next_over(), None);
        assert_eq!(written(&mut limit, "forged", 12, later), 10);
        assert_eq!(limit.next_over(), Some(later + WINDOW));
        assert_eq!(limit.take_all()[0].held, 2);
    }

    #[test]
    fn a_line_without_a_kind_is_always_written() {
        let (mut limit, now) = (RateLimit::default(), Instant::now());
        assert!((0..100).all(|_| limit.admits(&Record::builder().build(), now)));
        assert!(limit.recent.is_empty());
    }
}
