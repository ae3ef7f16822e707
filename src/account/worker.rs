//! A process that works a message out for a CGI process, and tells it what is decided.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::work::{JOB, Surroundings};
use super::{Account, LEFT, circumstances, detached, pool};
use crate::callback::{Circumstances, Pending};
use crate::config::load::Service;
use crate::delivery::{Decision, Order, REFUSED, SERVED, Visitor};
use crate::store::Holder;

/// The command of this program that does it; no help tells of it.
pub const COMMAND: &str = "work-for-cgi";

/// Who gave the assignment answers its request within so long, or has died.
const ANSWERING: Duration = Duration::from_secs(2);

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
    let heard = Mutex::new(heed(&account, &assignment.order));
    let parent: Arc<dyn Visitor> = Arc::new(Parent { received, heard });
    account.work.work_out(&pending, &assignment.order, Holder(assignment.holder), &parent);
    drop(account);
    // It may have begun to look after others.
    pool::wait(LEFT);
    Ok(())
}

/// Hears from who gave the assignment what became of its message, each time whether it was answered as was decided; nothing
/// any more when nothing can be heard.
fn heed(account: &Account, order: &Order) -> Receiver<bool> {
    let (note, order) = (account.work.note_failed(), order.clone());
    let (sender, heard) = channel();
    let listen = move || {
        let mut word = [0];
        while matches!(io::stdin().read(&mut word), Ok(1)) {
            if word == [REFUSED] {
                note(&order);
            }
            let _ = sender.send(word == [SERVED]);
        }
    };
    if let Err(error) = thread::Builder::new().name("parent".to_owned()).spawn(listen) {
        log::error!(target: "account", "cannot start a thread: {error}");
    }
    heard
}

/// Who gave the assignment.
struct Parent {
    received: Instant,
    heard: Mutex<Receiver<bool>>,
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

    fn serve(&self, decision: &Decision) -> bool {
        detached::report(decision);
        if !decision.is_awaited() {
            return false;
        }
        // What follows must not come before it; and it may have come too late.
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.recv_timeout(ANSWERING).unwrap_or(false)
    }

    fn hold(&self) {}
}
