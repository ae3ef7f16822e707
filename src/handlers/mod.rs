//! What carries an action out that is no reply by itself: programs, HTTP servers, other WeChat servers, chatbots.

pub mod agent;
pub mod chat;
mod exec;
mod guard;
pub mod http;
#[cfg(test)]
mod peer;
pub mod program;
mod question;
mod reading;
mod relay;
mod slots;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value};

pub use guard::{Guards, Said};
use question::Parts;

use crate::rules::{Captures, Handler, MediaLibrary, Session};
use crate::secret::Secret;
use crate::store::Store;
use crate::wechat::message::{Content, Message};
use crate::wechat::reply::Reply;

/// What the handlers of an account work with.
#[derive(Debug, Clone, Default)]
pub struct Equipment {
    /// The folder of the config: programs run there, and files are named from there.
    pub folder: PathBuf,
    /// `[api] proxy`: the way to servers that are not on this machine.
    pub proxy: Option<Secret>,
    /// `[chat.NAME]`
    pub chats: chat::Chats,
}

/// One message that a handler is to work an answer out for.
#[derive(Debug, Clone, Copy)]
pub struct Task<'t> {
    /// The message.
    pub message: &'t Message<'t>,
    /// Its XML as it was read, decrypted.
    pub body: &'t [u8],
    /// The name of the rule that it met.
    pub rule: Option<&'t str>,
    /// What the rule cut out of it.
    pub captures: &'t Captures<'t>,
    /// What is remembered of the user.
    pub session: &'t Session,
    /// The AppID.
    pub app_id: Option<&'t str>,
    /// Which of WeChat's attempts it is that the handler is run for, from 1. A further attempt does not run it again.
    pub attempt: u64,
    /// WeChat has its answer until then; what comes later is delivered otherwise.
    pub deadline: Instant,
    /// The handler is given up then.
    pub until: Instant,
    /// For what the handlers keep.
    pub store: &'t Arc<dyn Store>,
    /// For files that an answer names.
    pub media: &'t dyn MediaLibrary,
}

/// What a handler worked out.
#[derive(Debug, Default)]
pub struct Handled {
    /// In their order; none is `success`. Not cut to WeChat's limits.
    pub replies: Vec<Reply>,
    /// Values of the session that it changes; `null` forgets one.
    pub session: Map<String, Value>,
}

/// Why a handler gave no answer, in words for the log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HandlerError(pub String);

impl<'t> Task<'t> {
    fn parts(&self) -> Parts<'t> {
        let Self { message, rule, captures, session, app_id, attempt, deadline, .. } = *self;
        Parts { message, rule, captures, session, app_id, attempt, deadline }
    }
}

impl Equipment {
    /// Has an answer worked out; takes until [`Task::until`] at most.
    ///
    /// # Errors
    ///
    /// In words for the log, if there is no answer.
    pub fn carry_out(&self, handler: &Handler, task: &Task<'_>) -> Result<Handled, HandlerError> {
        match handler {
            Handler::Exec(exec) => exec::run(exec, self, task),
            Handler::Chat { profile } => chat::answer(profile, self, task),
            Handler::Http(http) => http::run(http, self, task),
            Handler::Relay(backends) => relay::run(backends, self, task),
        }
    }
}

/// What a person said in words.
fn said<'m>(message: &Message<'m>) -> Option<&'m str> {
    let said = match &message.content {
        Content::Text { content, .. } => content,
        Content::Voice { recognition, .. } => recognition,
        _ => return None,
    };
    Some(said.trim()).filter(|said| !said.is_empty())
}

#[cfg(test)]
mod tests;
