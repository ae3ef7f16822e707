//! `when.exec`, `when.http`: a program or a server says whether a rule meets.

use std::cell::RefCell;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::question::{Parts, Question};
use super::{Equipment, HandlerError, exec, http};
use crate::rules::{Captures, Guard, GuardBy, Outside, Session};
use crate::wechat::message::Message;

/// Asks the guards of rules about one message, each once.
#[derive(Debug)]
pub struct Guards<'g> {
    /// What they are asked by.
    pub equipment: &'g Equipment,
    /// The message.
    pub message: &'g Message<'g>,
    /// What is remembered of the user.
    pub session: &'g Session,
    /// The AppID.
    pub app_id: Option<&'g str>,
    /// Which of WeChat's attempts it is, from 1.
    pub attempt: u64,
    /// WeChat has its answer until then; the guards are told.
    pub deadline: Instant,
    /// No guard is waited for longer.
    pub until: Instant,
    /// What they said so far. Who goes on with the message elsewhere takes it along: asked again, a guard might say
    /// something else, and another rule would meet.
    pub said: RefCell<Vec<Said>>,
}

/// What a guard said of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Which guard of which captures.
    guard: u64,
    agrees: bool,
}

impl Outside for Guards<'_> {
    fn agrees(&self, guard: &Guard, captures: &Captures<'_>) -> bool {
        let key = key_of(guard, captures);
        let said = self.said.borrow().iter().find(|said| said.guard == key).map(|said| said.agrees);
        said.unwrap_or_else(|| {
            let agrees = self.ask(guard, captures).unwrap_or_else(|error| {
                log::warn!(target: "guard", kind = "failed"; "{error}; taken for a no");
                false
            });
            self.said.borrow_mut().push(Said { guard: key, agrees });
            agrees
        })
    }
}

impl Guards<'_> {
    fn ask(&self, guard: &Guard, captures: &Captures<'_>) -> Result<bool, HandlerError> {
        let until = (Instant::now() + guard.timeout).min(self.until);
        let Self { message, session, app_id, attempt, deadline, .. } = *self;
        let parts = Parts { message, rule: None, captures, session, app_id, attempt, deadline };
        let question = Question::new(&parts);
        match &guard.by {
            GuardBy::Exec(program) => {
                let ended = exec::start(program, &self.equipment.folder, &question, until)?;
                Ok(ended.status.success())
            }
            GuardBy::Http(server) => {
                let answer = http::ask(server, self.equipment, &question, until)?;
                Ok((200..300).contains(&answer.status))
            }
        }
    }
}

/// The same for the same question to the same guard, in all processes.
fn key_of(guard: &Guard, captures: &Captures<'_>) -> u64 {
    let captures: Vec<_> = captures.iter().collect();
    // Of plain data all can be written.
    xxh3_64(&postcard::to_allocvec(&(guard, captures)).unwrap_or_default())
}
