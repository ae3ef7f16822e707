//! Who asks the programs and servers that guard rules.

use std::cell::RefCell;
use std::time::Instant;

use super::means::Means;
use super::terms::Terms;
use crate::handlers::{Guards, Said};
use crate::rules::{Nobody, Outside, Session};
use crate::wechat::message::Message;

/// Who asks the guards of rules, where somebody may be asked.
pub(super) struct Guarding<'g>(Option<Guards<'g>>);

impl<'g> Guarding<'g> {
    /// For a person who wants to know.
    pub(super) fn of(
        terms: &'g Terms,
        message: &'g Message<'g>,
        means: &'g dyn Means,
        session: &'g Session,
    ) -> Self {
        let (app_id, deadline) = (terms.app_id.as_deref(), Instant::now() + terms.deadline);
        // Once all guards were asked, rules without any have time to answer still.
        let until = means.until();
        let until = until.checked_sub(terms.deadline / 10).unwrap_or(until);
        Self(means.equipment().map(|equipment| Guards {
            equipment,
            message,
            session,
            app_id,
            attempt: 1,
            deadline,
            until,
            said: RefCell::default(),
        }))
    }

    /// For WeChat, which wants its answer by `deadline`; what they `said` before stands.
    pub(super) fn by(mut self, deadline: Instant, said: &RefCell<Vec<Said>>) -> Self {
        if let Self(Some(guards)) = &mut self {
            guards.deadline = deadline;
            guards.said.clone_from(said);
        }
        self
    }

    pub(super) fn outside(&self) -> &dyn Outside {
        self.0.as_ref().map_or(&Nobody, |guards| guards as &dyn Outside)
    }

    pub(super) fn said(&self) -> Vec<Said> {
        self.0.as_ref().map(|guards| guards.said.borrow().clone()).unwrap_or_default()
    }
}
