//! `chat`: a model answers, and knows what was said before.
//!
//! A `[chat.NAME]` of the config is a [`Profile`]: which server is asked for what, what is remembered of a talk, how much
//! of it all a user gets. What is answered is text, as WeChat shows it; an answer that was cut goes out as far as it came.

mod ask;
mod history;
mod openai;
mod plain;
mod sse;
mod turing;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Map, Value};

use self::ask::{Failure, Spoken, Usage};
use self::history::{History, Turn};
use super::{Equipment, Handled, HandlerError, Task, said};
use crate::logging::openid_shown;
use crate::rules::{Fold, Limit, Period, linkless};
use crate::secret::{Secret, hide};
use crate::wechat::reply::Reply;

/// So long before it is given up an answer is taken as far as it is there; less where there is little time at all.
const MARGIN: Duration = Duration::from_millis(500);

/// The profiles of an account by their names.
#[derive(Debug, Clone, Default)]
pub struct Chats(Arc<BTreeMap<String, Profile>>);

/// A chatbot.
#[derive(Debug, Clone)]
pub struct Profile {
    /// What it speaks.
    pub service: Service,
    /// Where it is, without a slash at its end.
    pub base_url: String,
    /// What proves who asks.
    pub api_key: Option<Secret>,
    /// What becomes of the marks in its answers.
    pub markdown: Markdown,
    /// How often it is asked.
    pub limit: Option<Limit>,
    /// What is answered to whoever asks more often.
    pub limit_reply: String,
    /// What is answered while the server has too much to do; without it that is a failure like others.
    pub busy_reply: Option<String>,
}

/// What a server speaks.
#[derive(Debug, Clone)]
pub enum Service {
    /// OpenAI's chat completions, as a hundred servers do.
    OpenAi(Box<Model>),
    /// The API v2 of the Turing robot (图灵机器人), which remembers talks by itself.
    Turing,
}

/// A model, and how it is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Its name on the server.
    pub model: String,
    /// What it is told before all else.
    pub system: Option<String>,
    /// Further members of each request: `temperature` and the like.
    pub parameters: Map<String, Value>,
    /// Whether the answer comes word by word: then what came of one that is cut is not lost.
    pub stream: bool,
    /// What stands behind an answer that was cut.
    pub cut_mark: String,
    /// So many questions and their answers are remembered.
    pub history: usize,
    /// For so long.
    pub history_age: Duration,
    /// With these words a user begins anew.
    pub reset_words: Vec<String>,
    /// What is answered then.
    pub reset_reply: String,
    /// What a million tokens cost, for the log: read, written.
    pub price: Option<(f64, f64)>,
}

/// What becomes of Markdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Markdown {
    /// Plain text.
    #[default]
    Plain,
    /// It stays as it is.
    Keep,
}

impl Chats {
    /// These.
    #[must_use]
    pub fn new(profiles: BTreeMap<String, Profile>) -> Self {
        Self(Arc::new(profiles))
    }

    /// The profile `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Profile> {
        self.0.get(name)
    }

    /// Whether the secrets of both are the same.
    pub(crate) fn has_same_secrets(&self, other: &Self) -> bool {
        let secrets = |it: &Self| {
            let keys = it.0.values().map(|profile| profile.api_key.as_ref());
            keys.map(|key| key.map(|key| key.expose().to_owned())).collect::<Vec<_>>()
        };
        secrets(self) == secrets(other)
    }
}

/// What the profile `name` answers to a text, or to what was understood of a voice; to all else nothing.
pub(super) fn answer(name: &str, equipment: &Equipment, task: &Task<'_>) -> Result<Handled, HandlerError> {
    let profile = equipment.chats.get(name);
    let profile = profile.ok_or_else(|| HandlerError(format!("there is no `[chat.{name}]`")))?;
    let Some(said) = said(task.message) else { return Ok(Handled::default()) };
    Chat { name, profile, equipment, task, now: SystemTime::now() }.answer(said).map(text)
}

fn text(text: String) -> Handled {
    Handled { replies: vec![Reply::text(text)], ..Handled::default() }
}

/// A word as it is compared: what WeChat understands of a voice has a full stop.
fn plainly(word: &str) -> String {
    Fold::On.part(word.trim_end_matches(['。', '.', '！', '!']))
}

/// One question to a chatbot.
struct Chat<'c> {
    name: &'c str,
    profile: &'c Profile,
    equipment: &'c Equipment,
    task: &'c Task<'c>,
    now: SystemTime,
}

impl Chat<'_> {
    fn answer(&self, said: &str) -> Result<String, HandlerError> {
        if let Service::OpenAi(model) = &self.profile.service
            && model.reset_words.iter().any(|word| plainly(word) == plainly(said))
        {
            let forgotten = self.history(model).forget();
            return forgotten.map(|()| model.reset_reply.clone()).map_err(|error| self.failed(&error));
        }
        if !self.is_within_limit().map_err(|error| self.failed(&error))? {
            log::info!(target: "chat", "{} has no more questions to `{}` for now", self.user(), self.name);
            return Ok(self.profile.limit_reply.clone());
        }
        match self.ask(said) {
            Ok(answer) => Ok(answer),
            Err(Failure { why, is_busy: true, .. }) if self.profile.busy_reply.is_some() => {
                log::warn!(target: "chat", "`{}` is busy: {}", self.name, self.veiled(&why));
                Ok(self.profile.busy_reply.clone().unwrap_or_default())
            }
            Err(failure) => Err(self.failed(&failure.why)),
        }
    }

    fn ask(&self, said: &str) -> Result<String, Failure> {
        let (started, until) = (Instant::now(), self.until());
        let spoken = match &self.profile.service {
            Service::Turing => ask::persistently(until, || turing::ask(self, said, until)),
            Service::OpenAi(model) => {
                let history = self.history(model);
                let talk = history.load(self.now).unwrap_or_else(|error| {
                    log::warn!(target: "chat", "`{}` does not know what was said before: {error}", self.name);
                    None
                });
                let turns = talk.as_ref().map_or(&[] as &[_], |talk| &talk.turns);
                let spoken = ask::persistently(until, || openai::ask(self, model, turns, said, until));
                if let (Ok(spoken), Some(talk)) = (&spoken, &talk) {
                    let turn = Turn::new(self.now, said, &spoken.text);
                    if let Err(error) = history.add(talk, &turn, self.now) {
                        log::warn!(target: "chat", "`{}` will not know what it said: {error}", self.name);
                    }
                }
                spoken
            }
        }?;
        self.note(&spoken, started.elapsed());
        Ok(self.shown(spoken))
    }

    /// The answer as the user reads it.
    fn shown(&self, spoken: Spoken) -> String {
        let mut text = match self.profile.markdown {
            Markdown::Plain => plain::plain(&spoken.text),
            Markdown::Keep => spoken.text,
        };
        if let (Some(_), Service::OpenAi(model)) = (&spoken.cut, &self.profile.service) {
            text.push_str(&model.cut_mark);
        }
        // A model says what it was told to, by whomever.
        linkless(&text)
    }

    /// Whether the user, and all users together, may ask once more; that counts as one.
    fn is_within_limit(&self) -> Result<bool, String> {
        let Some(limit) = &self.profile.limit else { return Ok(true) };
        let user = format!("user/{}", self.task.message.from_user);
        for (who, most) in [(user.as_str(), limit.user), ("all", limit.all)] {
            let Some(most) = most else { continue };
            // A day counts under its own end: a life that is longer is none of the next day's.
            let (key, window) = match &limit.per {
                Period::Seconds(seconds) => (String::new(), Duration::from_secs(*seconds)),
                day @ Period::Day(_) => (format!("/{}", day.end(self.now)), LONGEST_DAY),
            };
            let key = format!("chat-limit/{}/{who}{key}", self.name);
            let counted = self.task.store.count(&key, u64::from(most), window);
            if counted.map_err(|error| format!("its limit cannot be counted: {error}"))?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn history<'h>(&'h self, model: &Model) -> History<'h> {
        History {
            store: &**self.task.store,
            key: format!("chat/{}/{}", self.name, self.task.message.from_user),
            turns: model.history,
            age: model.history_age,
        }
    }

    /// What has come by then is the answer.
    fn until(&self) -> Instant {
        let left = self.task.until.saturating_duration_since(Instant::now());
        self.task.until.checked_sub(MARGIN.min(left / 10)).unwrap_or(self.task.until)
    }

    /// The line of the log that tells what an answer took; never what it said.
    fn note(&self, spoken: &Spoken, took: Duration) {
        let mut line = format!("`{}`", self.name);
        let price = match &self.profile.service {
            Service::OpenAi(model) => {
                let _ = write!(line, ", {}", model.model);
                model.price
            }
            Service::Turing => None,
        };
        let _ = write!(line, ", answered {} in {} ms", self.user(), took.as_millis());
        if let Some(Usage { input, output }) = spoken.usage {
            let _ = write!(line, "; {input} tokens read, {output} written");
            if let Some((read, written)) = price {
                #[expect(clippy::cast_precision_loss, reason = "nobody pays for so many")]
                let cost = (input as f64 * read + output as f64 * written) / 1e6;
                let _ = write!(line, ", cost {cost:.6}");
            }
        }
        if let Some(why) = &spoken.cut {
            let _ = write!(line, "; cut: {}", self.veiled(why));
        }
        match self.task.rule {
            Some(rule) => log::info!(target: "chat", "rule `{rule}` asked {line}"),
            None => log::info!(target: "chat", "a rule asked {line}"),
        }
    }

    fn failed(&self, why: &impl ToString) -> HandlerError {
        HandlerError(format!("`{}`: {}", self.name, self.veiled(&why.to_string())))
    }

    fn veiled(&self, text: &str) -> String {
        hide(text, self.profile.api_key.as_ref().map(Secret::expose))
    }

    /// The user, for the log.
    fn user(&self) -> String {
        openid_shown(self.task.message.from_user, false).into_owned()
    }
}

/// With the hour that some days have more.
const LONGEST_DAY: Duration = Duration::from_secs(25 * 60 * 60);

#[cfg(test)]
mod tests;
