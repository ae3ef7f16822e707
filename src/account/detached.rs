//! Processes that outlive the CGI request they work for.
//!
//! Apache ends what a request has begun: mod_cgi its process, suexec and systemd whatever belongs to it. So such a process
//! is in a session of its own and inherits nothing. It gets what it is to do through a socket on stdin, and may say
//! something there, should anybody still be listening.

use std::env;
use std::io::{self, BufRead, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf, absolute};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::setsid;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Account, Surroundings};
use crate::config::load::{Service, open_for_service};
use crate::config::places::{Origin, state_folder};
use crate::config::{Config, LogSettings};
use crate::descriptors;
use crate::logging::RotatingFile;

/// Where it writes its log if the config names no file: the web server's error log is not for who outlives a request.
const LOG_FILE: &str = "worker.log";

/// Who waits for something long has read it within so long.
const HEARING: Duration = Duration::from_secs(2);

/// An assignment is smaller than this: a body and a little more, bytes.
const MAX_ASSIGNMENT: u64 = 64 << 20;

/// The config of a process as another one finds it, which runs in another folder.
pub(super) fn config_of(surroundings: &Surroundings) -> PathBuf {
    absolute(&surroundings.config).unwrap_or_else(|_| surroundings.config.clone())
}

/// Has a process of its own carry an assignment out, by a command of this program. Gives the line to it.
pub(super) fn start(command: &str, stdout: Stdio, assignment: &impl Serialize) -> io::Result<UnixStream> {
    let (mut ours, theirs) = UnixStream::pair()?;
    descriptors::keep_from_children();
    let mut program = Command::new("/proc/self/exe");
    program.arg(command).stdin(OwnedFd::from(theirs)).stdout(stdout).stderr(Stdio::null());
    for (name, _) in env::vars_os().filter(|(name, _)| is_of_request(name.as_bytes())) {
        program.env_remove(name);
    }
    // From where it runs, a relative one would be another.
    if let Some(Ok(state)) = env::var_os("WXCGI_STATE_DIR").map(absolute) {
        program.env("WXCGI_STATE_DIR", state);
    }
    program.current_dir("/").spawn()?;
    let mut line = serde_json::to_vec(assignment)?;
    line.push(b'\n');
    ours.set_write_timeout(Some(HEARING))?;
    ours.write_all(&line)?;
    Ok(ours)
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

/// What this process was started for, which is out of the web server's reach from here on.
///
/// # Errors
///
/// In words for a person, who may have called the command by mistake.
pub(super) fn assignment<A: DeserializeOwned>() -> Result<A, String> {
    // Fails for the leader of a group only, which a child of ours never is.
    let _ = setsid();
    let mut line = String::new();
    let read = io::stdin().lock().take(MAX_ASSIGNMENT).read_line(&mut line);
    read.map_err(|error| error.to_string())?;
    serde_json::from_str(&line)
        .map_err(|_| "this command is for wxcgi itself: a CGI process starts it".to_owned())
}

/// Says something to who gave the assignment, in one line. Stdin is a socket: what is written there comes to it.
pub(super) fn report(what: &impl Serialize) {
    let Ok(mut line) = serde_json::to_vec(what) else { return };
    line.push(b'\n');
    let Ok(stdin) = rustix::stdio::stdin().try_clone_to_owned() else { return };
    let mut stdin = UnixStream::from(stdin);
    // Who waits, hears of it. Who has gone may have left its end to somebody who does not listen.
    let _ = stdin.set_write_timeout(Some(HEARING)).and_then(|()| stdin.write_all(&line));
}

/// Where a process that works for another one writes its log.
pub(crate) fn log_file(config: &Config, state: Option<&Path>) -> Option<RotatingFile> {
    config.log.file.clone().or_else(|| {
        let path = state?.join(LOG_FILE);
        Some(RotatingFile { path, max_size: 128 << 10, keep: 2 })
    })
}

/// The account of a config, for a process that serves it so; its log is begun.
///
/// # Errors
///
/// If the config cannot be used any more.
pub(super) fn open(config: &Path, service: Service) -> Result<Account, String> {
    let state = state_folder();
    let origin = Origin::Named(config.to_owned());
    let (path, loaded) = open_for_service(&origin, state.as_deref(), Service::OneRequest);
    let config = loaded.map_err(|_| "the config cannot be used any more".to_owned())?.config;
    let file = log_file(&config, state.as_deref());
    LogSettings { file, ..config.log.clone() }.start();
    Ok(Account::new(config, Surroundings { config: path.unwrap_or_default(), state, service }))
}
