//! A Redis of a test's own, of Debian's package.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::log::collect;
use crate::support::{PATIENCE, command, free_port, need, wait_until};
use wxcgi::secret::Secret;
use wxcgi::store::Store;
use wxcgi::store::redis::{Address, Redis};

/// A server on a port and a socket of its own; it ends with this.
#[derive(Debug)]
pub(crate) struct RedisServer {
    folder: tempfile::TempDir,
    port: u16,
    config: Option<PathBuf>,
    options: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts one with these further options, and waits until it answers.
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_with(None, options)
    }

    /// Starts one with this config; its address is ours.
    pub(super) fn of_config(config: &Path) -> Self {
        Self::start_with(Some(config.to_owned()), &[])
    }

    fn start_with(config: Option<PathBuf>, options: &[&str]) -> Self {
        need("redis-server");
        collect();
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Self { folder, port: free_port(), config, options, child: None };
        server.start_again();
        server
    }

    /// One that has written all changes down before it answers.
    pub(crate) fn durable() -> Self {
        Self::start(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    pub(crate) fn start_again(&mut self) {
        self.start_without_waiting();
        let is_ready = |line: String| line == "+PONG" || line.starts_with("-NOAUTH");
        wait_until("Redis answers", || self.says("PING").is_some_and(is_ready));
    }

    pub(super) fn start_without_waiting(&mut self) {
        let child = command("redis-server")
            .args(&self.config)
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--daemonize",
                "no",
            ])
            .args(["--dir".as_ref(), self.folder.path().as_os_str()])
            .args(["--unixsocket".as_ref(), self.socket().as_os_str()])
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        self.child = Some(child);
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// A store there, as a process opens it.
    pub(super) fn store(&self, account: &str) -> Box<dyn Store> {
        store_at(&self.url(), PATIENCE, account)
    }

    /// The first line of its answer to a command of one line.
    pub(super) fn says(&self, command: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.socket()).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        Some(line.trim_end().to_owned())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).expect("our child");
    }

    /// As its service is started anew.
    pub(super) fn restart(&mut self) {
        self.signal(Signal::TERM);
        if let Some(mut child) = self.child.take() {
            child.wait().expect("our child");
        }
        self.start_again();
    }

    /// As a crash ends it.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("our child");
            child.wait().expect("our child");
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(super) fn store_at(url: &str, timeout: Duration, account: &str) -> Box<dyn Store> {
    let address = Address::parse(&Secret::new(url), None).expect("a URL");
    Box::new(Redis::new(address, timeout, "wxcgi", account))
}
