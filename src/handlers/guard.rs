//! `when.exec`, `when.http`: a program or a server says whether a rule meets.

use std::time::Instant;

use super::question::{Parts, Question};
use super::{Equipment, HandlerError, exec, http};
use crate::rules::{Captures, Guard, GuardBy, Outside, Session};
use crate::wechat::message::Message;

/// Asks the guards of rules about one message.
#[derive(Debug, Clone, Copy)]
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
    /// WeChat has its answer until then: no guard is waited for longer.
    pub deadline: Instant,
}

impl Outside for Guards<'_> {
    fn agrees(&self, guard: &Guard, captures: &Captures<'_>) -> bool {
        self.ask(guard, captures).unwrap_or_else(|error| {
            log::warn!(target: "guard", kind = "failed"; "{error}; taken for a no");
            false
        })
    }
}

impl Guards<'_> {
    fn ask(&self, guard: &Guard, captures: &Captures<'_>) -> Result<bool, HandlerError> {
        let until = (Instant::now() + guard.timeout).min(self.deadline);
        let Self { message, session, app_id, attempt, deadline, .. } = *self;
        let question =
            Question::new(&Parts { message, rule: None, captures, session, app_id, attempt, deadline });
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
