//! A process that works a message out for a CGI process, and tells it what is decided.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::work::{JOB, Surroundings};
use super::{Account, LEFT, circumstances, detached, pool};
use crate::callback::{Circumstances, Pending};
use crate::config::load::Service;
use crate::delivery::{Decision, Order, Visitor};
use crate::store::Holder;

/// The command of this program that does it; no help tells of it.
pub const COMMAND: &str = "work-for-cgi";

/// A message to be worked out by another process.
#[derive(Serialize, Deserialize)]
pub(super) struct Assignment {
    config: PathBuf,
    /// The message as it was read, decrypted.
    body: String,
    order: Order,
    /// Who holds the claim.
    holder: [u8; 16],
    /// When the message is answered, since 1970.
    now: Duration,
    /// How long ago its call was received.
    elapsed: Duration,
}

impl Assignment {
    pub(super) fn new(surroundings: &Surroundings, pending: &Pending, order: &Order) -> Self {
        let now = pending.circumstances().now.duration_since(SystemTime::UNIX_EPOCH);
        Self {
            config: detached::config_of(surroundings),
            body: String::from_utf8_lossy(pending.body()).into_owned(),
            order: order.clone(),
            holder: [0; 16],
            now: now.unwrap_or_default(),
            elapsed: pending.received().elapsed(),
        }
    }

    /// Has a process of its own do it, and gives the line to it.
    pub(super) fn give_away(self, Holder(holder): Holder) -> io::Result<UnixStream> {
        detached::start(COMMAND, Stdio::null(), &Self { holder, ..self })
    }
}

/// Does what a CGI process has assigned to this one on stdin.
///
/// # Errors
///
/// In words for a person, who may have called it by mistake.
pub fn work_for_cgi() -> Result<(), String> {
    let assignment: Assignment = detached::assignment()?;
    let account = detached::open(&assignment.config, Service::ManyRequests)?;
    let received = Instant::now().checked_sub(assignment.elapsed).unwrap_or_else(Instant::now);
    let circumstances = Circumstances { now: SystemTime::UNIX_EPOCH + assignment.now, ..circumstances() };
    let body = assignment.body.into_bytes();
    let pending = Pending::of_message(&account.terms, body, received, circumstances);
    let parent: Arc<dyn Visitor> = Arc::new(Parent { received });
    heed(&account, &assignment.order);
    account.work.work_out(&pending, &assignment.order, Holder(assignment.holder), &parent);
    drop(account);
    // It may have begun to look after others.
    pool::wait(LEFT);
    Ok(())
}

/// Hears from who gave the assignment whether its message was answered as failed.
fn heed(account: &Account, order: &Order) {
    let (note, order) = (account.work.note_failed(), order.clone());
    let listen = move || {
        // Nothing more comes from who is satisfied, or has died.
        if matches!(io::stdin().read(&mut [0]), Ok(1)) {
            note(&order);
        }
    };
    if let Err(error) = thread::Builder::new().name("parent".to_owned()).spawn(listen) {
        log::error!(target: "account", "cannot start a thread: {error}");
    }
}

/// Who gave the assignment.
struct Parent {
    received: Instant,
}

impl Visitor for Parent {
    fn received(&self) -> Instant {
        self.received
    }

    /// It keeps its own.
    fn deadline(&self) -> Instant {
        self.received + 2 * JOB
    }

    fn is_served(&self) -> bool {
        false
    }

    fn serve(&self, decision: &Decision) {
        detached::report(decision);
    }

    fn hold(&self) {}
}
