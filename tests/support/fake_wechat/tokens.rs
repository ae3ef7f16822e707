//! The access_tokens that the stand-in has handed out, and which of them it still takes. Its clock can be put forward.

use std::time::{Duration, Instant};

/// How long a new access_token is valid.
const LIFE: Duration = Duration::from_secs(7200);
/// Old and new are both taken for so long; the platform renews a stable one so long before its end.
const OVERLAP: Duration = Duration::from_secs(300);
/// Two forced refreshes are so far apart.
const FORCE_PAUSE: Duration = Duration::from_secs(30);
/// Forced refreshes of a day.
const MAX_FORCED: usize = 20;
/// Fetches of the classic kind of a day.
const MAX_CLASSIC: usize = 2000;

/// `errcode` and `errmsg`, without the rid.
pub(super) type Refusal = (i64, &'static str);

const QUOTA: Refusal = (45009, "reach max api daily quota limit");

#[derive(Debug)]
pub(super) struct Tokens {
    started: Instant,
    /// By which the clock was put forward.
    ahead: Duration,
    life: Duration,
    issued: Vec<Token>,
    forced: Vec<Duration>,
    classic: usize,
    /// No longer taken, though it would be handed out again.
    pub(super) distrusts_stable: bool,
}

#[derive(Debug)]
struct Token {
    value: String,
    is_stable: bool,
    expires: Duration,
    /// From then on it is not the newest any more.
    voided: Option<Duration>,
}

impl Tokens {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            ahead: Duration::ZERO,
            life: LIFE,
            issued: Vec::new(),
            forced: Vec::new(),
            classic: 0,
            distrusts_stable: false,
        }
    }

    pub(super) fn put_forward(&mut self, time: Duration) {
        self.ahead += time;
    }

    pub(super) fn live_for(&mut self, life: Duration) {
        self.life = life;
    }

    /// All access_tokens, of any kind.
    pub(super) fn values(&self) -> Vec<String> {
        self.issued.iter().map(|token| token.value.clone()).collect()
    }

    /// Makes all that were handed out invalid.
    pub(super) fn void_all(&mut self) {
        let now = self.now();
        self.issued.iter_mut().for_each(|token| token.voided = Some(now));
    }

    /// `stable_token`: the same to all who ask, with what is left of its life.
    pub(super) fn stable(&mut self, force: bool) -> Result<(String, u64), Refusal> {
        let now = self.now();
        let distrusts = self.distrusts_stable;
        let current = self.issued.iter_mut().rev().find(|token| token.is_stable);
        let current = current.filter(|token| token.expires > now && (distrusts || token.voided.is_none()));
        let may_force = self.forced.last().is_none_or(|last| now >= *last + FORCE_PAUSE);
        match current {
            Some(token) if force && may_force => {
                if self.forced.len() == MAX_FORCED {
                    return Err(QUOTA);
                }
                token.voided = Some(now);
                self.forced.push(now);
            }
            // Near its end the platform renews it by itself; both are taken then.
            Some(token) if token.expires > now + OVERLAP.min(self.life / 2) => {
                return Ok((token.value.clone(), token.expires.saturating_sub(now).as_secs()));
            }
            _ => {}
        }
        Ok(self.issue(true))
    }

    /// `token`: a new one, which soon makes the one before invalid.
    pub(super) fn classic(&mut self) -> Result<(String, u64), Refusal> {
        let now = self.now();
        self.classic += 1;
        if self.classic > MAX_CLASSIC {
            return Err(QUOTA);
        }
        let mut before = self.issued.iter_mut().rev().filter(|token| !token.is_stable);
        if let Some(previous) = before.next() {
            previous.voided.get_or_insert(now + OVERLAP);
        }
        before.for_each(|older| older.voided = Some(now));
        Ok(self.issue(false))
    }

    fn issue(&mut self, is_stable: bool) -> (String, u64) {
        // As long as real ones may become.
        let value = format!("{}_FAKE{}", self.issued.len() + 50, "x7Q".repeat(160));
        let expires = self.now() + self.life;
        self.issued.push(Token { value: value.clone(), is_stable, expires, voided: None });
        (value, self.life.as_secs())
    }

    /// Whether a call with this access_token is taken.
    pub(super) fn check(&self, value: Option<&str>) -> Result<(), Refusal> {
        let now = self.now();
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return Err((41001, "access_token missing"));
        };
        let Some(token) = self.issued.iter().find(|token| token.value == value) else {
            return Err((40014, "invalid access_token"));
        };
        if token.voided.is_some_and(|voided| voided <= now) || (self.distrusts_stable && token.is_stable) {
            return Err((40001, "invalid credential, access_token is invalid or not latest"));
        }
        if token.expires <= now { Err((42001, "access_token expired")) } else { Ok(()) }
    }

    /// Its clock.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed() + self.ahead
    }
}
