//! What a site has started, and how all of it ends with the site.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How long a server may take to come up or to go.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Processes that end when this is dropped, the last one first.
#[derive(Debug)]
pub(super) struct Processes {
    folder: PathBuf,
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    name: String,
    pid: Pid,
    /// Absent if it has left us, as what spawn-fcgi starts.
    child: Option<Child>,
}

impl Processes {
    /// None yet; what they print goes to `folder`.
    pub(super) fn logging_to(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), running: Vec::new() }
    }

    /// Starts one, in a process group of its own.
    pub(super) fn start(&mut self, name: &str, command: &mut Command) {
        use std::os::unix::process::CommandExt;
        let log = self.folder.join(format!("{name}.log"));
        let log = File::options().create(true).append(true).open(&log).expect("a log file");
        let child = command
            .process_group(0)
            .stdout(log.try_clone().expect("one more descriptor"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|e| panic!("{name}: {command:?}: {e}"));
        self.running.push(Running {
            name: name.to_owned(),
            pid: Pid::from_child(&child),
            child: Some(child),
        });
    }

    /// Takes over a process that another one has started for us.
    pub(super) fn adopt(&mut self, name: &str, pid: u32) {
        let pid = Pid::from_raw(pid.cast_signed()).expect("a process id");
        self.running.push(Running { name: name.to_owned(), pid, child: None });
    }

    /// The process id of the latest one called `name`.
    pub(super) fn pid(&self, name: &str) -> Pid {
        let found = self.running.iter().rev().find(|running| running.name == name);
        found.unwrap_or_else(|| panic!("no {name} was started")).pid
    }

    /// Waits until `ready` says so.
    ///
    /// # Panics
    ///
    /// If that takes too long, or if one of the processes ends meanwhile.
    #[track_caller]
    pub(super) fn wait_until(&mut self, what: &str, mut ready: impl FnMut() -> bool) {
        let start = Instant::now();
        while !ready() {
            for running in &mut self.running {
                let ended = running.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
                assert!(
                    ended.is_none(),
                    "{} ended before {what}: {}",
                    running.name,
                    ended.unwrap_or_default()
                );
            }
            assert!(start.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
            thread::sleep(Duration::from_millis(3));
        }
    }

    /// Asks `pid`, one of ours, to end, waits for it, and returns its exit status if it is our child.
    pub(super) fn end(&mut self, pid: Pid) -> Option<std::process::ExitStatus> {
        self.remove(pid).end()
    }

    /// Ends `pid`, one of ours, by SIGKILL.
    pub(super) fn kill(&mut self, pid: Pid) {
        let killed = self.remove(pid);
        kill_process(pid, Signal::KILL).expect("our child");
        killed.end();
    }

    /// Ends all of them by SIGKILL, each with its process group.
    pub(super) fn kill_all(&mut self) {
        for running in &self.running {
            let _ = kill_process_group(running.pid, Signal::KILL);
        }
        while let Some(running) = self.running.pop() {
            running.end();
        }
    }

    fn remove(&mut self, pid: Pid) -> Running {
        let at = self.running.iter().position(|running| running.pid == pid).expect("one of ours");
        self.running.remove(at)
    }

    /// Waits for a child of ours that ends by itself, and returns how it did.
    #[track_caller]
    pub(super) fn wait_for(&mut self, pid: Pid) -> std::process::ExitStatus {
        let at = self.running.iter().position(|running| running.pid == pid).expect("one of ours");
        wait_until("it ends", || is_gone(pid));
        self.running.remove(at).end().expect("a child of ours")
    }
}

/// What a process has written by its end, which is brought about if it does not come in time.
pub(crate) fn output_in_time(child: Child) -> Output {
    let pid = Pid::from_child(&child);
    let (watch, dropped) = mpsc::channel::<()>();
    thread::spawn(move || {
        if dropped.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let _ = kill_process(pid, Signal::KILL);
        }
    });
    let output = child.wait_with_output().expect("it ends");
    drop(watch);
    output
}

/// A process as the system sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(Pid);

impl Process {
    pub(super) fn new(pid: Pid) -> Self {
        Self(pid)
    }

    /// A child of the test itself.
    pub(crate) fn of(child: &Child) -> Self {
        Self(Pid::from_child(child))
    }

    /// Sends it a signal.
    pub(crate) fn gets(self, signal: Signal) {
        kill_process(self.0, signal).expect("our child");
    }

    /// How many threads it has.
    pub(crate) fn threads(self) -> usize {
        self.status("Threads")
    }

    /// The most memory that it ever held, in KiB.
    pub(crate) fn peak_memory(self) -> usize {
        self.status("VmHWM")
    }

    /// For how long it has used a processor.
    pub(crate) fn processor_time(self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).expect("a live process");
        // Behind the name, which may hold anything; `utime` and `stime` are fields 14 and 15 of all (proc(5)).
        let fields = stat.rsplit_once(") ").expect("a name").1.split(' ').skip(11).take(2);
        let ticks: u64 = fields.map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.0)).expect("a live process").count()
    }

    /// How many descriptors it may have open.
    pub(crate) fn descriptor_limit(self) -> usize {
        let limits = fs::read_to_string(format!("/proc/{}/limits", self.0)).expect("a live process");
        let limit = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a limit");
        limit.split_whitespace().next().and_then(|soft| soft.parse().ok()).expect("a number")
    }

    /// What its descriptor leads to, as a path or as the system names it.
    pub(crate) fn descriptor(self, number: u32) -> String {
        let target = fs::read_link(format!("/proc/{}/fd/{number}", self.0)).expect("it is open");
        target.to_string_lossy().into_owned()
    }

    /// The memory of a process in KiB that is its own: what it has written to. Which pages of its file are in memory is up
    /// to the system, and grows with every rare path that is taken for the first time.
    pub(crate) fn own_memory(self) -> usize {
        let sums =
            fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0)).expect("it runs, and we may look");
        let line = sums.lines().find_map(|line| line.strip_prefix("Anonymous:")).expect("a sum");
        line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
    }

    fn status(self, name: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).expect("a live process");
        let line = status.lines().find(|line| line.starts_with(&format!("{name}:"))).expect(name);
        line.split_ascii_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
    }
}

impl Running {
    fn end(mut self) -> Option<std::process::ExitStatus> {
        let _ = kill_process(self.pid, Signal::TERM);
        let start = Instant::now();
        while !is_gone(self.pid) {
            if start.elapsed() > PATIENCE {
                eprintln!("{} does not end at SIGTERM", self.name);
                let _ = kill_process(self.pid, Signal::KILL);
                break;
            }
            thread::sleep(Duration::from_millis(2));
        }
        let mut child = self.child.take()?;
        // Before the leader's id may be given to somebody else, which `wait` allows.
        let _ = kill_process_group(self.pid, Signal::KILL);
        child.wait().ok()
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        while let Some(running) = self.running.pop() {
            running.end();
        }
    }
}

/// Waits until `ready` says so.
///
/// # Panics
///
/// If that takes too long.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    let start = Instant::now();
    while !ready() {
        assert!(start.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// How many connections to a unix socket wait to be accepted, and how many are accepted and still open.
pub(crate) fn connections(socket: &Path) -> (usize, usize) {
    let table = fs::read_to_string("/proc/net/unix").expect("Linux");
    // Num RefCount Protocol Flags Type St Inode Path
    let rows =
        table.lines().map(|line| line.split(' ').filter(|field| !field.is_empty()).collect::<Vec<_>>());
    let at_socket = rows.filter(|row| row.get(7).is_some_and(|path| Path::new(path) == socket));
    // The listener has its flag, and who was not accepted has no inode yet.
    let inodes = at_socket.filter(|row| row[3] == "00000000").map(|row| row[6]);
    let (waiting, accepted): (Vec<_>, Vec<_>) = inodes.partition(|inode| *inode == "0");
    (waiting.len(), accepted.len())
}

/// Whether a process has ended, reaped or not: nothing is left of its command line.
fn is_gone(pid: Pid) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).map_or(true, |line| line.is_empty())
}
