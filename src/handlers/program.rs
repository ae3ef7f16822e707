//! A program that is run for one message, under limits: of time, of what it writes, and its children with it.
//!
//! One loop feeds it, listens to it and watches the clock, so a program that does not read, never ends or writes without
//! end holds up nobody. No shell is involved.

use std::env::split_paths;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf, absolute};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, OFlags, access, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, pidfd_open, waitid,
};

use crate::descriptors;

/// What is kept of a line on stderr, bytes.
const MAX_LINE: usize = 1024;
/// Where the system does not tell of a program's end, it is looked for so often.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// So many bytes are read or written at once.
const CHUNK: usize = 16 << 10;
/// No pipe holds more, bytes.
const FULL_PIPE: usize = 1 << 20;

/// A program and what it is given.
#[derive(Debug)]
pub struct Program<'p> {
    /// The program and its arguments; the program is looked for in `PATH` if it has no slash.
    pub command: &'p [String],
    /// Where it runs.
    pub folder: &'p Path,
    /// All of its environment.
    pub variables: &'p [(&'p OsStr, &'p OsStr)],
    /// What it reads from stdin.
    pub input: &'p [u8],
    /// The most it may write to stdout, bytes.
    pub max_output: usize,
}

/// How a program ended by itself.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, or the signal that ended it.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub output: Vec<u8>,
}

/// Why a program did not end by itself.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It could not be started.
    #[error("cannot start `{program}`: {error}")]
    Start {
        /// As the config names it.
        program: String,
        /// Why.
        error: io::Error,
    },
    /// It was not ready in time, and was killed with its children.
    #[error("`{program}` was killed: it was not ready after {}", shown(*limit))]
    TimedOut {
        /// As the config names it.
        program: String,
        /// How long it ran.
        limit: Duration,
    },
    /// It wrote too much, and was killed with its children.
    #[error("`{program}` was killed: it wrote more than {limit} bytes")]
    TooMuch {
        /// As the config names it.
        program: String,
        /// So much it may write.
        limit: usize,
    },
    /// It could not be watched any more, and was killed with its children.
    #[error("lost sight of `{program}`: {error}")]
    Lost {
        /// As the config names it.
        program: String,
        /// Why.
        error: io::Error,
    },
}

fn shown(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

impl Program<'_> {
    /// Runs it until it ends, at the latest until `until`. Each line that it writes to stderr goes to `complain`.
    ///
    /// # Errors
    ///
    /// [`ProgramError`], if it cannot be started or does not end by itself within its limits. An exit code other than 0
    /// is no error here.
    pub fn run(&self, until: Instant, complain: &mut dyn FnMut(&str)) -> Result<Ended, ProgramError> {
        self.run_with(watch_end, until, complain)
    }

    fn run_with(
        &self,
        watch_end: fn(Pid) -> io::Result<Option<OwnedFd>>,
        until: Instant,
        complain: &mut dyn FnMut(&str),
    ) -> Result<Ended, ProgramError> {
        let started = Instant::now();
        let program = || self.command.first().cloned().unwrap_or_default();
        descriptors::keep_from_children();
        let child = self.start().map_err(|error| ProgramError::Start { program: program(), error })?;
        let mut running = Running { child, group: None };
        let pid = Pid::from_child(&running.child);
        running.group = Some(pid);
        // Before it is told anything.
        descriptors::give_back(pid);
        let lost = |error| ProgramError::Lost { program: program(), error };
        let end = watch_end(pid).map_err(lost)?;
        let mut talk = Talk::new(&mut running.child, end, self.input, self.max_output).map_err(lost)?;
        let talked = talk.until_the_end(until, complain);
        if !matches!(talked, Ok(Talked::Ended)) {
            // Before its pipes are closed: it might die of that, and nobody knew any more what it has started.
            running.kill();
        }
        match talked.map_err(lost)? {
            Talked::Ended => {}
            Talked::TimedOut => {
                return Err(ProgramError::TimedOut { program: program(), limit: started.elapsed() });
            }
            Talked::TooMuch => {
                return Err(ProgramError::TooMuch { program: program(), limit: self.max_output });
            }
        }
        let output = talk.output;
        let status = running.child.wait().map_err(lost)?;
        // What it left running was meant to go on.
        running.group = None;
        Ok(Ended { status, output })
    }

    fn start(&self) -> io::Result<Child> {
        let (name, arguments) = self.command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let place = self.find(name).ok_or(Errno::NOENT)?;
        let mut program = Command::new(&place);
        let started = self.start_as(program.arg0(name).args(arguments));
        match started {
            // A script that does not say for whom it is written: as for any shell, it is for the shell.
            Err(error) if error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error()) => {
                self.start_as(Command::new("/bin/sh").arg(place).args(arguments))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(self.missing(&place, error)),
            started => started,
        }
    }

    /// What is not there, in words: it need not be the program.
    fn missing(&self, place: &Path, error: io::Error) -> io::Error {
        let what = if !self.folder.is_dir() {
            format!("there is no folder `{}` for it to run in", self.folder.display())
        } else if self.folder.join(place).exists() {
            "what its first line (`#!`) names is not there; has that line a Windows end (CR LF)?".to_owned()
        } else {
            return error;
        };
        io::Error::new(error.kind(), what)
    }

    /// Where a program is, as its own `PATH` says: found here, and in a folder that the C library sets, it is started
    /// without a copy of this process's page tables, which takes milliseconds where hundreds of users wait.
    fn find(&self, name: &str) -> Option<PathBuf> {
        if name.contains('/') {
            return Some(name.into());
        }
        let (_, path) = self.variables.iter().rev().find(|(name, _)| *name == "PATH")?;
        // It is started in its folder, where ours may lead elsewhere.
        let folder = absolute(self.folder).ok()?;
        let places: Vec<_> = split_paths(path).map(|part| folder.join(part).join(name)).collect();
        let can_run = |place: &&PathBuf| place.is_file() && access(*place, Access::EXEC_OK).is_ok();
        // One that nobody may run is found as well: the system says that better.
        places.iter().find(can_run).or_else(|| places.iter().find(|place| place.exists())).cloned()
    }

    fn start_as(&self, program: &mut Command) -> io::Result<Child> {
        program
            .current_dir(self.folder)
            .env_clear()
            .envs(self.variables.iter().copied())
            // A group of its own: its children can be ended with it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }
}

/// A program that runs; it is killed with its children when this is dropped before its end was seen.
struct Running {
    child: Child,
    group: Option<Pid>,
}

impl Running {
    fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            kill_family(group);
            // Killed, it ends at once; its entry is to go.
            let _ = self.child.wait();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Ends a program with all that it started and that still descends from it: `timeout` and others run their programs in
/// groups of their own.
fn kill_family(program: Pid) {
    // What is stopped starts nothing more, and its children's numbers stay theirs.
    let _ = kill_process_group(program, Signal::STOP);
    let (mut family, mut known) = (vec![program], 0);
    while let Some(&member) = family.get(known) {
        let _ = kill_process(member, Signal::STOP);
        family.extend(children(member));
        known += 1;
    }
    let _ = kill_process_group(program, Signal::KILL);
    for member in family {
        let _ = kill_process(member, Signal::KILL);
    }
}

/// What a process has started, as far as the system tells.
fn children(parent: Pid) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{}/task", parent.as_raw_nonzero()));
    let of_thread = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children")).ok();
    let lists = threads.into_iter().flatten().flatten().filter_map(of_thread);
    lists.flat_map(|list| list.split(' ').filter_map(pid).collect::<Vec<_>>()).collect()
}

fn pid(number: &str) -> Option<Pid> {
    Pid::from_raw(number.parse().ok()?)
}

/// How the talk with a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Talked {
    Ended,
    TimedOut,
    TooMuch,
}

/// The three pipes of a program, and the news of its end.
struct Talk<'i> {
    pid: Pid,
    end: Option<OwnedFd>,
    stdin: Option<std::process::ChildStdin>,
    stdout: Option<std::process::ChildStdout>,
    stderr: Option<std::process::ChildStderr>,
    input: &'i [u8],
    output: Vec<u8>,
    max_output: usize,
    line: Vec<u8>,
}

impl<'i> Talk<'i> {
    fn new(child: &mut Child, end: Option<OwnedFd>, input: &'i [u8], max_output: usize) -> io::Result<Self> {
        let pid = Pid::from_child(child);
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        for pipe in [
            stdin.as_ref().map(AsFd::as_fd),
            stdout.as_ref().map(AsFd::as_fd),
            stderr.as_ref().map(AsFd::as_fd),
        ] {
            pipe.map_or(Ok(()), never_wait)?;
        }
        Ok(Self { pid, end, stdin, stdout, stderr, input, output: Vec::new(), max_output, line: Vec::new() })
    }

    fn until_the_end(&mut self, until: Instant, complain: &mut dyn FnMut(&str)) -> io::Result<Talked> {
        loop {
            let Some([ended, can_write, can_read, complains]) = self.wait(until)? else {
                return Ok(Talked::TimedOut);
            };
            if can_write {
                self.feed();
            }
            // What it wrote before its end lies in the pipes still.
            if complains || ended {
                self.hear(ended, complain);
            }
            if (can_read || ended) && !self.listen(ended) {
                return Ok(Talked::TooMuch);
            }
            if ended {
                self.say_line(complain);
                return Ok(Talked::Ended);
            }
        }
    }

    /// Waits for news: of the end, of stdin, stdout and stderr. `None`: the time is over.
    fn wait(&self, until: Instant) -> io::Result<Option<[bool; 4]>> {
        let pipes: [Option<(BorrowedFd<'_>, PollFlags)>; 4] = [
            self.end.as_ref().map(|end| (end.as_fd(), PollFlags::IN)),
            self.stdin.as_ref().map(|pipe| (pipe.as_fd(), PollFlags::OUT)),
            self.stdout.as_ref().map(|pipe| (pipe.as_fd(), PollFlags::IN)),
            self.stderr.as_ref().map(|pipe| (pipe.as_fd(), PollFlags::IN)),
        ];
        let mut watched: Vec<PollFd<'_>> =
            pipes.iter().flatten().map(|(pipe, events)| PollFd::from_borrowed_fd(*pipe, *events)).collect();
        let left = until.saturating_duration_since(Instant::now());
        let wait = if self.end.is_some() { left } else { left.min(LOOK_AGAIN) };
        let limit = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: wait.subsec_nanos().into(),
        };
        match poll(&mut watched, Some(&limit)) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Some([false; 4])),
            Err(error) => return Err(error.into()),
        }
        let mut news = watched.iter().map(|pipe| !pipe.revents().is_empty());
        let [ended, writes, reads, complains] =
            pipes.map(|pipe| pipe.is_some() && news.next().unwrap_or(false));
        let ended = ended || self.end.is_none() && has_ended(self.pid)?;
        // Not only where there is no news: there may be some without end.
        Ok((ended || !left.is_zero()).then_some([ended, writes, reads, complains]))
    }

    /// Writes as much of the input as the program takes now; then, or if it does not want it, closes its stdin.
    fn feed(&mut self) {
        let Some(stdin) = &mut self.stdin else { return };
        let chunk = self.input.get(..CHUNK).unwrap_or(self.input);
        match stdin.write(chunk) {
            Ok(count) => self.input = self.input.get(count..).unwrap_or_default(),
            Err(error) if can_wait(&error) => return,
            Err(_) => self.input = &[],
        }
        if self.input.is_empty() {
            self.stdin = None;
        }
    }

    /// Reads from stdout: all that is there if it has `ended`. `false` if it is too much.
    fn listen(&mut self, ended: bool) -> bool {
        let mut chunk = [0; CHUNK];
        while let Some(stdout) = &mut self.stdout {
            match stdout.read(&mut chunk) {
                Ok(0) => self.stdout = None,
                Ok(count) => {
                    self.output.extend_from_slice(chunk.get(..count).unwrap_or_default());
                    if self.output.len() > self.max_output {
                        return false;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if can_wait(&error) => return true,
                Err(_) => self.stdout = None,
            }
            if !ended {
                return true;
            }
        }
        true
    }

    /// Reads from stderr: all that the pipe holds if it has `ended`.
    fn hear(&mut self, ended: bool, complain: &mut dyn FnMut(&str)) {
        let mut chunk = [0; CHUNK];
        for _ in 0..if ended { FULL_PIPE / CHUNK } else { 1 } {
            let Some(stderr) = &mut self.stderr else { return };
            match stderr.read(&mut chunk) {
                Ok(0) => self.stderr = None,
                Ok(count) => self.take_complaint(chunk.get(..count).unwrap_or_default(), complain),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if can_wait(&error) => return,
                Err(_) => self.stderr = None,
            }
        }
    }

    fn take_complaint(&mut self, bytes: &[u8], complain: &mut dyn FnMut(&str)) {
        for byte in bytes {
            match byte {
                b'\n' => self.say_line(complain),
                _ if self.line.len() < MAX_LINE => self.line.push(*byte),
                _ => {}
            }
        }
    }

    fn say_line(&mut self, complain: &mut dyn FnMut(&str)) {
        if !self.line.is_empty() {
            complain(&String::from_utf8_lossy(&self.line));
            self.line.clear();
        }
    }
}

/// What tells the end of a program; `None` where the system has no such thing (Linux before 5.3, some containers).
fn watch_end(pid: Pid) -> io::Result<Option<OwnedFd>> {
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(end) => Ok(Some(end)),
        Err(Errno::NOSYS | Errno::PERM) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a child has ended; it can still be waited for.
fn has_ended(pid: Pid) -> io::Result<bool> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    Ok(waitid(WaitId::Pid(pid), options)?.is_some())
}

fn can_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn never_wait(pipe: BorrowedFd<'_>) -> io::Result<()> {
    let flags = fcntl_getfl(pipe)?;
    Ok(fcntl_setfl(pipe, flags | OFlags::NONBLOCK)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    /// Runs a line of shell; gives what came of it, and its complaints.
    fn run(line: &str, input: &[u8], limit: Duration) -> (Result<Ended, ProgramError>, Vec<String>) {
        let command = ["sh", "-c", line].map(str::to_owned);
        let path = (OsStr::new("PATH"), OsStr::new("/usr/bin:/bin"));
        let program = Program {
            command: &command,
            folder: Path::new("/"),
            variables: &[path, (OsStr::new("WX_TYPE"), OsStr::new("text"))],
            input,
            max_output: 1 << 20,
        };
        let mut complaints = Vec::new();
        let ended = program.run(Instant::now() + limit, &mut |line| complaints.push(line.to_owned()));
        (ended, complaints)
    }

    /// Waits for the end of these: told to die, they do so a moment later.
    fn until_gone(pids: &str) {
        let lives = |pid: &str| {
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !state.is_empty() && !state.contains(") Z ")
        };
        let until = Instant::now() + LONG;
        while pids.lines().any(lives) {
            assert!(Instant::now() < until, "{pids}");
            std::thread::yield_now();
        }
    }

    fn output(line: &str, input: &[u8]) -> Vec<u8> {
        run(line, input, LONG).0.unwrap().output
    }

    #[test]
    fn it_reads_what_it_is_given_and_writes_what_it_says() {
        assert_eq!(output("cat", "你好".as_bytes()), "你好".as_bytes());
        assert_eq!(
            output("echo $WX_TYPE; env | wc -l", b""),
            b"text\n3\n",
            "PATH, WX_TYPE and the shell's PWD"
        );
        // Both pipes are full in between.
        let large = vec![b'x'; 1 << 20];
        assert_eq!(output("cat", &large), large);
    }

    /// Runs a program of a folder of its own, which is searched before the system's.
    fn run_from(folder: &Path, command: &[&str]) -> Result<Vec<u8>, ProgramError> {
        let command: Vec<_> = command.iter().map(|&part| part.to_owned()).collect();
        // The last of the name counts, as for the program itself.
        let paths = [OsStr::new("/nonexistent"), OsStr::new("none:.:/usr/bin:/bin")];
        let variables = paths.map(|path| (OsStr::new("PATH"), path));
        let program =
            Program { command: &command, folder, variables: &variables, input: b"", max_output: 1 << 20 };
        program.run(Instant::now() + LONG, &mut |_| {}).map(|ended| ended.output)
    }

    #[test]
    fn it_is_looked_for_in_its_own_path() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str, mode| {
            let place = folder.path().join(name);
            fs::write(&place, text).unwrap();
            fs::set_permissions(place, fs::Permissions::from_mode(mode)).unwrap();
        };
        write("bot", "#!/bin/sh\necho $0 $1", 0o755);
        write("cat", "not this one", 0o644);
        write("mute", "#!/bin/sh", 0o644);
        write("plain", "echo $1 >&2; echo $1", 0o755);
        let run = |command: &[&str]| {
            let ran = run_from(folder.path(), command);
            ran.map(|output| String::from_utf8(output).unwrap()).map_err(|error| error.to_string())
        };
        assert_eq!(run(&["./bot", "a"]), Ok("./bot a\n".into()));
        let found = folder.path().join("./bot").display().to_string();
        assert_eq!(run(&["bot", "a"]), Ok(format!("{found} a\n")));
        assert_eq!(run(&["cat"]), Ok(String::new()));
        assert_eq!(run(&["mute"]), Err("cannot start `mute`: Permission denied (os error 13)".into()));
        assert_eq!(run(&["none"]), Err("cannot start `none`: No such file or directory (os error 2)".into()));
        // No line says who is to read them.
        assert_eq!(run(&["plain", "b c"]), Ok("b c\n".into()));
        assert_eq!(run(&["./plain", "b c"]), Ok("b c\n".into()));
    }

    #[test]
    fn a_relative_place_in_its_path_starts_from_its_folder() {
        let here = std::env::current_dir().unwrap();
        let folder = tempfile::tempdir_in(&here).unwrap();
        let place = folder.path().join("bot");
        fs::write(&place, "#!/bin/sh\npwd").unwrap();
        fs::set_permissions(place, fs::Permissions::from_mode(0o755)).unwrap();
        // As it is where a config is named by a relative path.
        let ours = run_from(folder.path().strip_prefix(&here).unwrap(), &["bot"]);
        assert_eq!(ours.unwrap(), format!("{}\n", folder.path().display()).into_bytes());
    }

    #[test]
    fn what_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (gone, bot) = (folder.path().join("gone"), folder.path().join("bot"));
        // As an editor on Windows writes it.
        fs::write(&bot, "#!/bin/sh\r\necho\r\n").unwrap();
        fs::set_permissions(&bot, fs::Permissions::from_mode(0o755)).unwrap();
        let why = |folder: &Path, name| run_from(folder, &[name]).unwrap_err().to_string();
        let told = why(&gone, "sh");
        assert_eq!(
            told,
            format!("cannot start `sh`: there is no folder `{}` for it to run in", gone.display())
        );
        for name in ["./bot", "bot"] {
            let told = why(folder.path(), name);
            assert!(told.contains("what its first line (`#!`) names is not there"), "{told}");
        }
    }

    #[test]
    fn it_is_started_without_a_copy_of_us() {
        const PAGES: usize = 4096;
        const PAGE: usize = 4096;
        let faults = || -> usize {
            let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
            let (_, fields) = stat.rsplit_once(") ").unwrap();
            fields.split(' ').nth(7).unwrap().parse().unwrap()
        };
        let mut ours = vec![1_u8; PAGES * PAGE];
        let mut touch = || ours.iter_mut().step_by(PAGE).for_each(|byte| *byte = std::hint::black_box(2));
        touch();
        for _ in 0..3 {
            output("exit 0", b"");
        }
        let before = faults();
        touch();
        // After a copy, each page is copied once more when it is written to.
        assert!(faults() - before < PAGES / 4, "{}", faults() - before);
    }

    #[test]
    fn one_that_does_not_read_is_not_waited_for() {
        assert_eq!(output("echo done", &vec![b'x'; 1 << 20]), b"done\n");
        assert_eq!(output("exec <&-; echo closed", &vec![b'x'; 1 << 20]), b"closed\n");
    }

    #[test]
    fn its_exit_code_and_its_complaints_are_told() {
        let (ended, complaints) = run("echo said; echo one >&2; printf two >&2; exit 3", b"", LONG);
        let ended = ended.unwrap();
        assert_eq!((ended.status.code(), ended.output), (Some(3), b"said\n".to_vec()));
        assert_eq!(complaints, ["one", "two"]);
    }

    #[test]
    fn one_that_takes_too_long_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        let line = format!("echo $$ >{0}; sleep 1000 & echo $! >>{0}; wait", pids.display());
        let (ended, _) = run(&line, b"", Duration::from_millis(300));
        assert!(matches!(ended, Err(ProgramError::TimedOut { .. })), "{ended:?}");
        let pids = fs::read_to_string(pids).unwrap();
        assert_eq!(pids.lines().count(), 2);
        until_gone(&pids);
    }

    #[test]
    fn children_in_groups_of_their_own_die_with_it() {
        // It may also die of the pipe that nobody reads any more, sooner or later.
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let pids = folder.path().join("pids");
            fs::write(&pids, "").unwrap();
            let line = format!(
                "for how in 'timeout 1000' setsid; do $how sh -c 'echo $$ >>{0}; sleep 1000; :' & done; \
                 until [ $(wc -l <{0}) = 2 ]; do sleep 0.01; done; yes",
                pids.display()
            );
            assert!(matches!(run(&line, b"", LONG).0, Err(ProgramError::TooMuch { .. })));
            let pids = fs::read_to_string(pids).unwrap();
            until_gone(&pids);
        }
    }

    #[test]
    fn the_end_of_a_long_complaint_is_heard() {
        let (_, complaints) = run("seq 9000 >&2; echo last >&2", b"", LONG);
        assert_eq!((complaints.len(), complaints[9000].as_str()), (9001, "last"));
    }

    #[test]
    fn one_that_writes_without_end_is_killed() {
        let (ended, _) = run("yes", b"", LONG);
        let error = ended.unwrap_err();
        assert_eq!(error.to_string(), "`sh` was killed: it wrote more than 1048576 bytes");
    }

    #[test]
    fn one_that_complains_without_end_is_not_heard_out() {
        let command = ["sh", "-c", "exec yes >&2"].map(str::to_owned);
        let path = (OsStr::new("PATH"), OsStr::new("/usr/bin:/bin"));
        let (folder, max_output) = (Path::new("/"), 1000);
        let program = Program { command: &command, folder, variables: &[path], input: b"", max_output };
        let until = Instant::now() + Duration::from_millis(300);
        let mut lines = 0;
        let ended = program.run(until, &mut |_| {
            // A log that is slower than who fills it.
            while Instant::now() < until {
                std::thread::yield_now();
            }
            lines += 1;
        });
        assert!(matches!(ended, Err(ProgramError::TimedOut { .. })), "{ended:?}");
        assert!(lines <= CHUNK, "{lines}");
    }

    #[test]
    fn what_it_leaves_running_does_not_hold_its_answer_up() {
        // The child keeps stdout open.
        let pid = String::from_utf8(output("sleep 1000 & echo $!", b"")).unwrap();
        let pid = pid.trim().parse().ok().and_then(Pid::from_raw).unwrap();
        assert_eq!(rustix::process::kill_process(pid, Signal::KILL), Ok(()), "it was left alone");
    }

    #[test]
    fn its_end_is_seen_where_the_system_does_not_tell_of_it() {
        let run = |line: &str, limit| {
            let command = ["sh", "-c", line].map(str::to_owned);
            let path = std::env::var_os("PATH").unwrap();
            let variables = [("PATH".as_ref(), path.as_os_str())];
            let (folder, max_output) = (Path::new("/"), 1000);
            let program =
                Program { command: &command, folder, variables: &variables, input: b"x", max_output };
            program.run_with(|_| Ok(None), Instant::now() + limit, &mut |_| {})
        };
        let ended = run("cat; exec >&- 2>&-; exit 3", LONG).unwrap();
        assert_eq!((ended.status.code(), ended.output), (Some(3), b"x".to_vec()));
        let left = run("sleep 1000 & echo $!", LONG).unwrap().output;
        let left = str::from_utf8(&left).unwrap().trim().parse().unwrap();
        rustix::process::kill_process(Pid::from_raw(left).unwrap(), Signal::KILL).unwrap();
        let late = run("sleep 1000", Duration::from_millis(100));
        assert!(matches!(late, Err(ProgramError::TimedOut { .. })), "{late:?}");
    }

    #[test]
    fn one_that_cannot_be_started_says_why() {
        let command = ["/nonexistent/bot".to_owned()];
        let program =
            Program { command: &command, folder: Path::new("/"), variables: &[], input: b"", max_output: 1 };
        let error = program.run(Instant::now() + LONG, &mut |_| {}).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot start `/nonexistent/bot`: No such file or directory (os error 2)"
        );
        let nowhere = Program { folder: Path::new("/nonexistent"), command: &["true".to_owned()], ..program };
        assert!(matches!(nowhere.run(Instant::now() + LONG, &mut |_| {}), Err(ProgramError::Start { .. })));
    }
}
