//! A process that waits for the end of a worker, and then sees to its message.
//!
//! Should a process die, others find its messages and bring their users what they are owed: FastCGI processes look again
//! and again. Under CGI nobody may come for hours: the process that was asked has gone as soon as it has answered `success`,
//! and what is to be pushed is in the worker's hands alone. So before it answers that, it leaves its line to the worker to
//! this process. Until the kernel ends the line with the worker, this one has nothing open and asks nobody; nobody asks it
//! either, so if it is killed, nothing changes.
//!
//! It takes no other sign of life than the claim that the worker held, as all others do: who was asked may be there still
//! and see to the message too.
//!
//! An answer that is fetched or held needs no such process: the user's next `继续`, or WeChat's next attempt, finds out.

use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{Surroundings, detached};
use crate::config::load::Service;
use crate::delivery::Order;

/// The command of this program that does it; no help tells of it.
pub const COMMAND: &str = "watch-for-cgi";

/// It takes some milliseconds to get out of the web server's reach. WeChat waits for an answer meanwhile, not for long.
const OUT_OF_REACH: Duration = Duration::from_millis(200);

/// What is to be seen to. The line to the worker is on stdout.
#[derive(Serialize, Deserialize)]
struct Watch {
    config: PathBuf,
    order: Order,
}

/// Has a process of its own see to a message once the worker has ended, well or not.
pub(super) fn appoint(surroundings: &Surroundings, order: &Order, worker: &UnixStream) -> io::Result<()> {
    let watch = Watch { config: detached::config_of(surroundings), order: order.clone() };
    let line = OwnedFd::from(worker.try_clone()?);
    let mut watchman = detached::start(COMMAND, line.into(), &watch)?;
    watchman.set_read_timeout(Some(OUT_OF_REACH))?;
    match watchman.read(&mut [0]) {
        Ok(0) => Err(io::Error::new(ErrorKind::BrokenPipe, "it has ended at once")),
        // If it is only slow, it will most likely come as far.
        _ => Ok(()),
    }
}

/// Waits for the end of a worker as a CGI process has assigned it on stdin, and sees to its message. `before_waiting` is
/// called when all that is done once is done.
///
/// # Errors
///
/// In words for a person, who may have called it by mistake.
pub fn watch_for_cgi(before_waiting: fn()) -> Result<(), String> {
    let watch: Watch = detached::assignment()?;
    detached::report(&());
    before_waiting();
    wait_for_worker().map_err(|error| error.to_string())?;
    detached::open(&watch.config, Service::OneRequest)?.work.settle(&watch.order);
    Ok(())
}

/// Returns when nobody has the other end of the line any more.
fn wait_for_worker() -> io::Result<()> {
    // Not read: what the worker says is for the process that was asked, should it be there still.
    let line = &mut [PollFd::from_borrowed_fd(rustix::stdio::stdout(), PollFlags::empty())];
    while poll(line, None).or_else(|error| if error == Errno::INTR { Ok(0) } else { Err(error) })? == 0 {}
    Ok(())
}
