//! `exec`: a program works the answer out.

use super::program::Program;
use super::{Equipment, Handled, HandlerError, Task};
use crate::rules::Exec;
use crate::wechat::reply::Reply;

/// The most that a program may say, bytes.
const MAX_OUTPUT: usize = 1 << 20;

pub(super) fn run(exec: &Exec, equipment: &Equipment, task: &Task<'_>) -> Result<Handled, HandlerError> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let program = Program {
        command: &exec.command,
        folder: &equipment.folder,
        variables: &[("PATH".as_ref(), path.as_os_str())],
        input: task.body,
        max_output: MAX_OUTPUT,
    };
    let mut complain = |line: &str| log::warn!(target: "exec", "{line}");
    let ended = program.run(task.until, &mut complain).map_err(|error| HandlerError(error.to_string()))?;
    if !ended.status.success() {
        return Err(HandlerError(format!("the program ended with {}", ended.status)));
    }
    let text = String::from_utf8(ended.output)
        .map_err(|_| HandlerError("the program wrote something that is no UTF-8".to_owned()))?;
    let replies = Some(text.trim().to_owned()).filter(|text| !text.is_empty()).map(Reply::text);
    Ok(Handled { replies: replies.into_iter().collect(), ..Handled::default() })
}
