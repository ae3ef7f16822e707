//! A machine on which processes of one account run: a folder with a config, and one with what they share.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use super::{output_in_time, program, write_config};

/// The processes of an account on one machine, and what they share.
#[derive(Debug)]
pub(crate) struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    pub(crate) fn new(config: &str) -> Self {
        let machine = Self { folder: tempfile::tempdir().expect("a folder") };
        machine.configure(config);
        machine
    }

    /// Writes another config.
    pub(crate) fn configure(&self, config: &str) {
        write_config(&self.path("wxcgi.toml"), config);
    }

    /// A path in its folder, where its processes run.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(&self.folder).env_clear();
        command.env("WXCGI_STATE_DIR", self.path("state"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().expect("our program")
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        output_in_time(self.start(arguments))
    }

    /// What a process prints that succeeds.
    #[track_caller]
    pub(crate) fn prints(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// What a process prints that fails.
    #[track_caller]
    pub(crate) fn complaint(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        String::from_utf8(output.stderr).expect("UTF-8")
    }
}
