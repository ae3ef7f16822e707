//! What a door has counted since it started, and what it is doing now.
//!
//! Plain numbers in the thread of the loop, named as php-fpm's status page names them where it has the same; who shows
//! them gets a [`Status`] through [`Responder::respond_with_page`](super::Responder::respond_with_page).

use std::time::{Duration, SystemTime};

/// The numbers of one moment.
#[derive(Debug, Clone)]
pub struct Status {
    /// When the loop began.
    pub started: SystemTime,
    /// How long ago that is.
    pub uptime: Duration,
    /// Connections at this moment.
    pub connections: Connections,
    /// What was counted up to this moment.
    pub counts: Counts,
}

/// Connections at one moment, and those that are served by what they wait for. The one that asks waits for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connections {
    /// Those that are served.
    pub open: usize,
    /// As many may be served at once.
    pub most: usize,
    /// Those that came when there were too many, and are heard out to be answered 503.
    pub shed: usize,
    /// Kept, and without a request.
    pub idle: usize,
    /// A request has not come in whole, or not at all.
    pub reading: usize,
    /// The queue: a handler has not answered yet.
    pub answering: usize,
    /// The web server has not taken its answer yet.
    pub writing: usize,
    /// Answered, and to be closed.
    pub closing: usize,
}

/// What was counted since the start.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Connections that were accepted.
    pub accepted: u64,
    /// The most that were served at once.
    pub peak: usize,
    /// Connections answered 503 because there were too many.
    pub shed: u64,
    /// How often nobody was accepted for a moment, most often because descriptors ran out.
    pub accept_pauses: u64,
    /// Connections closed because they broke the protocol.
    pub broken: u64,
    /// Waits that took too long, by the name that their limit has in the config.
    pub timeouts: Tally<&'static str>,
    /// Requests answered, by their HTTP status.
    pub requests: Tally<u16>,
    /// Requests answered in the place of a handler that gave no answer.
    pub unanswered: u64,
    /// Requests whose web server hung up before the handler had answered.
    pub abandoned: u64,
    /// From the first byte of each request to its answer.
    pub times: Histogram,
}

/// How often each of a few things came.
#[derive(Debug, Clone)]
pub struct Tally<T>(Vec<(T, u64)>);

impl<T: PartialEq> Tally<T> {
    /// Counts one; the first that came are found first.
    pub(crate) fn add(&mut self, thing: T) {
        match self.0.iter_mut().find(|(known, _)| *known == thing) {
            Some((_, count)) => *count += 1,
            None => self.0.push((thing, 1)),
        }
    }

    /// Each thing and how often it came.
    pub fn iter(&self) -> impl Iterator<Item = &(T, u64)> {
        self.0.iter()
    }

    /// How many things came in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }
}

impl<T> Default for Tally<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Times by upper bounds, as Prometheus has them. The last bound is the moment when WeChat hangs up.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    /// One for each of [`Histogram::BOUNDS`], and one for what is beyond.
    counts: [u64; Self::BOUNDS.len() + 1],
    sum: Duration,
}

impl Histogram {
    /// The upper bounds, each within its bucket, milliseconds.
    pub const BOUNDS: [u64; 11] = [1, 5, 10, 50, 100, 250, 500, 1000, 2500, 4500, 5000];

    /// Counts one.
    pub(super) fn add(&mut self, time: Duration) {
        let bucket = Self::BOUNDS.iter().position(|&bound| time <= Duration::from_millis(bound));
        if let Some(count) = self.counts.get_mut(bucket.unwrap_or(Self::BOUNDS.len())) {
            *count += 1;
        }
        self.sum += time;
    }

    /// Each bound, milliseconds, and how many took no longer.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut total = 0;
        Self::BOUNDS.into_iter().zip(self.counts).map(move |(bound, count)| {
            total += count;
            (bound, total)
        })
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long all took together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_up_to_their_bounds() {
        let mut times = Histogram::default();
        for millis in [0, 1, 2, 5, 4500, 5000, 5001, 60_000] {
            times.add(Duration::from_millis(millis));
        }
        let expected = [
            (1, 2),
            (5, 4),
            (10, 4),
            (50, 4),
            (100, 4),
            (250, 4),
            (500, 4),
            (1000, 4),
            (2500, 4),
            (4500, 5),
            (5000, 6),
        ];
        assert_eq!(times.cumulative().collect::<Vec<_>>(), expected);
        assert_eq!((times.count(), times.sum()), (8, Duration::from_millis(74_509)));
    }

    #[test]
    fn a_tally_counts_each_by_itself() {
        let mut tally = Tally::default();
        for status in [200, 403, 200] {
            tally.add(status);
        }
        assert_eq!(tally.iter().collect::<Vec<_>>(), [&(200, 2), &(403, 1)]);
        assert_eq!(tally.total(), 3);
    }
}
