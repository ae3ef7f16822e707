//! `exec`: a program works the answer out.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use sha1::{Digest, Sha1};

use super::program::{Ended, Program};
use super::question::Question;
use super::reading::Reader;
use super::slots::Slot;
use super::{Equipment, Handled, HandlerError, Task};
use crate::logging::shown;
use crate::rules::Exec;
use crate::secret::{Secret, hide};
use crate::store::Store;

/// Where programs are looked for if our own environment does not say.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

pub(super) fn run(exec: &Exec, equipment: &Equipment, task: &Task<'_>) -> Result<Handled, HandlerError> {
    let _slot = slot(exec, task.store, task.until)?;
    let ended = start(exec, &equipment.folder, &Question::new(&task.parts()), task.until)?;
    if !ended.status.success() {
        return Err(HandlerError(format!("the program ended with {}", ended.status)));
    }
    let reader = Reader { folder: Some(&equipment.folder), media: task.media };
    reader.read(exec.output, &ended.output)
}

/// One of the places that `concurrency` leaves, if it is given. Rules with the same command share them.
pub(super) fn slot<'s>(
    exec: &Exec,
    store: &'s Arc<dyn Store>,
    until: Instant,
) -> Result<Option<Slot<'s>>, HandlerError> {
    let Some(count) = exec.concurrency else { return Ok(None) };
    let name = hex::encode(Sha1::digest(exec.command.join("\0")));
    Slot::take(store, &format!("exec/{name}"), count, until).map(Some)
}

/// Runs the program; what it says on stderr goes to the log.
pub(super) fn start(
    exec: &Exec,
    folder: &Path,
    question: &Question<'_>,
    until: Instant,
) -> Result<Ended, HandlerError> {
    let set =
        exec.set.iter().map(|(name, source)| Ok((name.as_str(), source.resolve().map_err(HandlerError)?)));
    let set: Vec<(&str, Secret)> = set.collect::<Result<_, _>>()?;
    let variables = variables(exec, question, &set);
    let variables: Vec<(&OsStr, &OsStr)> =
        variables.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str())).collect();
    let program = Program {
        command: &exec.command,
        folder: exec.folder.as_deref().unwrap_or(folder),
        variables: &variables,
        input: &question.json(),
        max_output: exec.max_output,
    };
    let secrets = || set.iter().map(|(_, secret)| secret.expose());
    let name = exec.command.first().map_or("", String::as_str);
    let mut complain = |line: &str| {
        log::warn!(target: "exec", kind = "stderr"; "`{name}` says {}", shown(&hide(line, secrets())));
    };
    program.run(until, &mut complain).map_err(|error| HandlerError(error.to_string()))
}

/// All of its environment; of several with one name the last counts.
fn variables(exec: &Exec, question: &Question<'_>, set: &[(&str, Secret)]) -> Vec<(OsString, OsString)> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| PATH.into());
    let passed = exec.env.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
    let told = question.variables().into_iter().map(|(name, value)| (name.into(), value.into()));
    let set = set.iter().map(|(name, value)| ((*name).into(), value.expose().into()));
    [("PATH".into(), path)].into_iter().chain(passed).chain(told).chain(set).collect()
}
