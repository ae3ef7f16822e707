//! A process that outlives the CGI request it works for.
//!
//! Apache ends what a request has begun: mod_cgi its process, suexec and systemd whatever belongs to it. So a handler
//! runs under a process in a session of its own, which inherits nothing. It gets its message through a socket on stdin,
//! and says there when it is done, should anybody still be listening.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{PathBuf, absolute};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::setsid;
use serde::{Deserialize, Serialize};

use super::work::{JOB, Surroundings};
use super::{Account, LEFT, circumstances, pool};
use crate::callback::{Circumstances, Pending};
use crate::config::LogSettings;
use crate::config::load::{Service, open_for_service};
use crate::config::places::{Origin, state_folder};
use crate::delivery::{Answer, Order, Visitor};
use crate::descriptors;
use crate::logging::RotatingFile;
use crate::store::Holder;

/// The command of this program that does it; no help tells of it.
pub const COMMAND: &str = "work-for-cgi";

/// Where a worker writes its log if the config names no file: the web server's error log is not for who outlives a
/// request.
const LOG_FILE: &str = "worker.log";

/// An assignment is smaller than this: a body and a little more, bytes.
const MAX_ASSIGNMENT: u64 = 64 << 20;

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
            // It runs in another folder.
            config: absolute(&surroundings.config).unwrap_or_else(|_| surroundings.config.clone()),
            body: String::from_utf8_lossy(pending.body()).into_owned(),
            order: order.clone(),
            holder: [0; 16],
            now: now.unwrap_or_default(),
            elapsed: pending.received().elapsed(),
        }
    }

    /// Has a process of its own do it, and gives the line to it.
    pub(super) fn give_away(self, Holder(holder): Holder) -> io::Result<UnixStream> {
        let (mut ours, theirs) = UnixStream::pair()?;
        descriptors::keep_from_children();
        let mut command = Command::new("/proc/self/exe");
        command.arg(COMMAND).stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        for (name, _) in env::vars_os().filter(|(name, _)| is_of_request(name.as_bytes())) {
            command.env_remove(name);
        }
        command.current_dir("/").spawn()?;
        let mut line = serde_json::to_vec(&Self { holder, ..self })?;
        line.push(b'\n');
        ours.write_all(&line)?;
        Ok(ours)
    }
}

/// Whether a variable says what the web server wants from a CGI program; secrets of the config may stand in others.
fn is_of_request(name: &[u8]) -> bool {
    const OTHERS: [&[u8]; 10] = [
        b"GATEWAY_INTERFACE",
        b"AUTH_TYPE",
        b"CONTENT_LENGTH",
        b"CONTENT_TYPE",
        b"QUERY_STRING",
        b"PATH_INFO",
        b"PATH_TRANSLATED",
        b"LISTEN_FDS",
        b"LISTEN_PID",
        b"LISTEN_FDNAMES",
    ];
    let begins = [b"HTTP_".as_slice(), b"REQUEST_", b"REMOTE_", b"SERVER_", b"REDIRECT_"];
    OTHERS.contains(&name) || begins.iter().any(|begin| name.starts_with(begin))
}

/// Does what a CGI process has assigned to this one on stdin.
///
/// # Errors
///
/// In words for a person, who may have called it by mistake.
pub fn work_for_cgi() -> Result<(), String> {
    // Fails for the leader of a group only, which a child of ours never is.
    let _ = setsid();
    let mut line = String::new();
    let read = BufReader::new(io::stdin().lock().take(MAX_ASSIGNMENT)).read_line(&mut line);
    read.map_err(|error| error.to_string())?;
    let assignment: Assignment = serde_json::from_str(&line)
        .map_err(|_| "this command is for wxcgi itself: a CGI process starts it".to_owned())?;
    let state = state_folder();
    let (path, loaded) =
        open_for_service(&Origin::Named(assignment.config.clone()), state.as_deref(), Service::OneRequest);
    let config = loaded.map_err(|_| "the config cannot be used any more".to_owned())?.config;
    let file = config.log.file.clone().or_else(|| {
        let path = state.as_ref()?.join(LOG_FILE);
        Some(RotatingFile { path, max_size: 128 << 10, keep: 2 })
    });
    LogSettings { file, ..config.log.clone() }.start();
    let surroundings =
        Surroundings { config: path.unwrap_or_default(), state, service: Service::ManyRequests };
    let account = Account::new(config, surroundings);
    let received = Instant::now().checked_sub(assignment.elapsed).unwrap_or_else(Instant::now);
    let circumstances = Circumstances { now: SystemTime::UNIX_EPOCH + assignment.now, ..circumstances() };
    let body = assignment.body.into_bytes();
    let pending = Pending::of_message(&account.terms, body, received, circumstances);
    let parent: Arc<dyn Visitor> = Arc::new(Parent { received });
    account.work.work_out(&pending, &assignment.order, Holder(assignment.holder), &parent);
    drop(account);
    // It may have begun to look after others.
    pool::wait(LEFT);
    Ok(())
}

/// Who gave the assignment. Stdin is a socket: what is written there comes to it.
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

    fn serve(&self, _: &Answer) {
        // Who waits, hears of it; else it is gone.
        let _ = rustix::io::write(rustix::stdio::stdin(), b"!");
    }

    fn hold(&self) {}
}
