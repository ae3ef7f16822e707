//! One account behind one door, on a machine of its own: a temporary folder with program, config, servers and logs.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use rustix::process::Signal;
use tempfile::TempDir;

use super::processes::{Process, Processes, output_in_time};
use super::servers::{
    CommandLine, Layout, free_port, start_backend, start_front, start_on, write_more_locations,
    write_second_location,
};
use super::{Answer, Door, Request, command};

/// A running site; all of it ends when this is dropped. If a test fails, the logs are shown.
#[derive(Debug)]
pub(crate) struct Site {
    door: Door,
    path: String,
    port: u16,
    responder: CommandLine,
    held: Option<UnixListener>,
    processes: Processes,
    layout: Layout,
    /// Last, so that it goes when nobody uses it any more.
    _folder: TempDir,
}

/// Where somebody else's responder listens.
#[derive(Debug)]
enum Foreign {
    Port(u16),
    Socket(PathBuf),
}

/// A site that is not open yet.
#[derive(Debug)]
pub(crate) struct Plan {
    door: Door,
    path: String,
    config: Config,
    more_configs: Vec<(String, String)>,
    included: Vec<(String, String)>,
    takes_folder: bool,
    arguments: Vec<OsString>,
    second_location: Option<(String, String)>,
    more_locations: Option<String>,
    served_by: Option<Foreign>,
    nginx_lines: String,
    starter: Vec<&'static str>,
}

#[derive(Debug)]
enum Config {
    Text(String),
    Unreadable(String),
    Absent,
}

impl Site {
    /// Plans a site behind `door`, at `/weixin`.
    pub(crate) fn behind(door: Door) -> Plan {
        Plan {
            door,
            path: "/weixin".to_owned(),
            config: Config::Absent,
            more_configs: Vec::new(),
            included: Vec::new(),
            takes_folder: false,
            arguments: Vec::new(),
            second_location: None,
            more_locations: None,
            served_by: None,
            starter: Vec::new(),
            nginx_lines: String::new(),
        }
    }

    /// Sends a request through the door and waits for the answer.
    pub(crate) fn receives(&self, request: &Request) -> Answer {
        match self.door {
            Door::ByHand | Door::FastcgiByHand => self.receives_with(request, |_| ()),
            _ => request.send(self.port, &self.path).through(self.door),
        }
    }

    /// The same with other meta-variables or arguments: `tweak` gets the command that is about to run. Only for the
    /// doors by hand.
    pub(crate) fn receives_with(&self, request: &Request, tweak: impl FnOnce(&mut Command)) -> Answer {
        match self.door {
            Door::ByHand => self.receives_by_cgi(request, tweak),
            Door::FastcgiByHand => {
                let mut command = command("cgi-fcgi");
                command.env_clear().args(["-bind", "-connect"]).arg(&self.layout.socket);
                // cgi-fcgi hands on so many bytes; web servers too have counted a chunked body by then.
                let (_, body) = request.meta_variables(&self.path);
                if !body.is_empty() {
                    command.env("CONTENT_LENGTH", body.len().to_string());
                }
                self.run(request, command, tweak)
            }
            _ => panic!("{:?} is not a door by hand", self.door),
        }
    }

    /// The same by a CGI process of this account, whatever the door of the site.
    pub(crate) fn receives_by_cgi(&self, request: &Request, tweak: impl FnOnce(&mut Command)) -> Answer {
        let mut program = self.program();
        program.env("WXCGI_CONFIG", &self.layout.config);
        self.run(request, program, tweak)
    }

    fn run(&self, request: &Request, mut command: Command, tweak: impl FnOnce(&mut Command)) -> Answer {
        let (variables, body) = request.meta_variables(&self.path);
        for (name, value) in variables {
            command.env(name, OsString::from_vec(value));
        }
        tweak(&mut command);
        let log = self.layout.logs.join("by-hand.log");
        let log = fs::File::options().create(true).append(true).open(log).expect("a log file");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let mut stdin = child.stdin.take().expect("a pipe");
        // Who answers without reading all may have gone already.
        let _ = stdin.write_all(&body);
        drop(stdin);
        let output = output_in_time(child);
        Answer::from_cgi(&output.stdout, request.summary(&self.path)).through(self.door)
    }

    /// The program in this site, as the web server's user would start it.
    pub(crate) fn program(&self) -> Command {
        self.layout.program()
    }

    /// The same by way of another program, such as `prlimit`, whose arguments end where a command begins.
    pub(crate) fn program_under(&self, starter: &[&str]) -> Command {
        self.layout.program_under(starter)
    }

    /// The config file.
    pub(crate) fn config(&self) -> &Path {
        &self.layout.config
    }

    /// A further config file, see [`Plan::another_config`], known to the responder or not.
    pub(crate) fn another_config(&self, name: &str) -> PathBuf {
        self.layout.more_configs.join(name)
    }

    /// The folder where the program keeps what it is to remember.
    pub(crate) fn state(&self) -> &Path {
        &self.layout.state
    }

    /// The user that the web server has the program run as.
    pub(crate) fn user(&self) -> u32 {
        self.layout.user().map_or_else(|| rustix::process::geteuid().as_raw(), |(user, _)| user)
    }

    /// The folder in which everything lies.
    pub(crate) fn folder(&self) -> &Path {
        &self.layout.root
    }

    /// The unix socket between web server and responder.
    pub(crate) fn socket(&self) -> &Path {
        &self.layout.socket
    }

    /// The port of the web server.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Starts a new responder at the same socket, then ends the old one with SIGTERM and returns how it ended. Only
    /// behind doors whose socket we hold.
    pub(crate) fn replace_responder(&mut self) -> ExitStatus {
        let old = self.processes.pid("wxcgi");
        self.start_responder();
        self.processes.end(old).expect("our child")
    }

    /// Starts a responder at the socket that we hold, beside the one that may be there; else one as at first.
    pub(crate) fn start_responder(&mut self) {
        match &self.held {
            Some(listener) => start_on(listener, &self.layout, &self.responder, &mut self.processes),
            None => {
                start_backend(self.door, &self.layout, &self.responder, &mut self.processes);
            }
        }
    }

    fn start_front(&mut self, backend_port: u16) {
        let ports = (self.port, backend_port);
        start_front(self.door, &self.layout, &self.path, ports, &mut self.processes);
    }

    /// Ends all that was started here with SIGKILL, the web server too, with what is left in its process group.
    pub(crate) fn kill_all(&mut self) {
        self.processes.kill_all();
    }

    /// Starts everything anew after [`Site::kill_all`], at the same port.
    pub(crate) fn start_again(&mut self) {
        let backend = start_backend(self.door, &self.layout, &self.responder, &mut self.processes);
        self.held = backend.held;
        self.start_front(backend.port);
    }

    /// Ends the responder with SIGTERM and returns how it ended.
    pub(crate) fn end_responder(&mut self) -> ExitStatus {
        self.processes.end(self.processes.pid("wxcgi")).expect("our child")
    }

    /// Ends the responder with SIGKILL.
    pub(crate) fn kill_responder(&mut self) {
        self.processes.kill(self.processes.pid("wxcgi"));
    }

    /// The process of the responder, the latest one.
    pub(crate) fn responder(&self) -> Process {
        Process::new(self.processes.pid("wxcgi"))
    }

    /// Waits for the responder to end, and returns how it did.
    pub(crate) fn responder_has_ended(&mut self) -> ExitStatus {
        self.processes.wait_for(self.processes.pid("wxcgi"))
    }

    /// Puts another config in the place of the old one, in one go.
    pub(crate) fn replace_config(&self, text: &str) {
        let new = self.layout.config.with_extension("new");
        self.layout.write_config(&new, text);
        fs::rename(new, &self.layout.config).expect("our folder");
    }

    /// Sends SIGHUP to the responder.
    pub(crate) fn hang_up(&self) {
        self.responder().gets(Signal::HUP);
    }

    /// What our program has written to stderr, if we started it.
    pub(crate) fn stderr(&self) -> String {
        let read = |name: &str| fs::read(self.layout.logs.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&[read("by-hand.log"), read("wxcgi.log")].concat()).into_owned()
    }

    /// What workers of CGI processes have logged.
    pub(crate) fn worker_log(&self) -> String {
        let log = fs::read(self.layout.state.join("worker.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// All logs of the site, each with its name.
    pub(crate) fn logs(&self) -> String {
        let mut all = Vec::new();
        let entries = fs::read_dir(&self.layout.logs).into_iter().flatten().flatten();
        for entry in entries {
            let text = String::from_utf8_lossy(&fs::read(entry.path()).unwrap_or_default()).into_owned();
            let lines: Vec<_> = text.lines().collect();
            let tail = lines[lines.len().saturating_sub(60)..].join("\n");
            all.push(format!("--- {}\n{tail}\n", entry.path().display()));
        }
        all.concat()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("The logs behind {:?}:\n{}", self.door, self.logs());
        }
    }
}

impl Plan {
    /// The config of the account.
    pub(crate) fn with_config(mut self, text: &str) -> Self {
        self.config = Config::Text(text.to_owned());
        self
    }

    /// A config that the program may not read.
    pub(crate) fn with_unreadable_config(mut self, text: &str) -> Self {
        self.config = Config::Unreadable(text.to_owned());
        self
    }

    /// One more config file, in the folder of [`Site::another_config`]; FastCGI gets it as a further `--config`.
    pub(crate) fn another_config(mut self, name: &str, text: &str) -> Self {
        self.more_configs.push((name.to_owned(), text.to_owned()));
        self
    }

    /// A file that the config includes; `name` is its path from the config's folder.
    pub(crate) fn including(mut self, name: &str, text: &str) -> Self {
        self.included.push((name.to_owned(), text.to_owned()));
        self
    }

    /// The responder also takes files of the folder of [`Site::another_config`] that nobody told it by name.
    pub(crate) fn taking_the_folder(mut self) -> Self {
        self.takes_folder = true;
        self
    }

    /// The responder gets one more argument.
    pub(crate) fn with_argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// The snippet a second time, for [`Door::NginxUnix`]: at `path`, with the line for several accounts switched on.
    pub(crate) fn with_location_for(mut self, config: &str, path: &str) -> Self {
        self.second_location = Some((config.to_owned(), path.to_owned()));
        self
    }

    /// More of nginx's config beside the snippet, with the documented socket, for [`Door::NginxUnix`].
    pub(crate) fn with_more_locations(mut self, text: &str) -> Self {
        self.more_locations = Some(text.to_owned());
        self
    }

    /// Somebody else's responder, for [`Door::NginxTcp`]: at this port of this machine.
    pub(crate) fn served_by(mut self, port: u16) -> Self {
        self.served_by = Some(Foreign::Port(port));
        self
    }

    /// Somebody else's responder, for [`Door::NginxUnix`]: at this socket.
    pub(crate) fn served_at(mut self, socket: &Path) -> Self {
        self.served_by = Some(Foreign::Socket(socket.to_owned()));
        self
    }

    /// More lines for the `http { }` of nginx.
    pub(crate) fn with_nginx_lines(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.nginx_lines);
        self
    }

    /// The responder is started by way of another program, see [`Site::program_under`].
    pub(crate) fn started_by(mut self, starter: &[&'static str]) -> Self {
        self.starter = starter.to_vec();
        self
    }

    /// Another path than `/weixin`: in the web server, not in the config.
    pub(crate) fn at(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Starts everything and waits until it listens.
    #[track_caller]
    pub(crate) fn open(self) -> Site {
        let mut builder = tempfile::Builder::new();
        let folder = builder.prefix("wxcgi-").permissions(Permissions::from_mode(0o755)).tempdir();
        let folder = folder.expect("a temporary folder");
        let layout = Layout::make(folder.path(), self.door);
        match &self.config {
            Config::Text(text) => layout.write_config(&layout.config, text),
            Config::Unreadable(text) => {
                layout.write_config(&layout.config, text);
                fs::set_permissions(&layout.config, Permissions::from_mode(0o000)).expect("our file");
            }
            Config::Absent => {}
        }
        fs::write(layout.root.join("http.conf"), &self.nginx_lines).expect("our folder");
        let mut arguments: Vec<OsString> = vec!["--config".into(), layout.config.clone().into()];
        for (name, text) in &self.included {
            let file = layout.config.with_file_name(name);
            fs::create_dir_all(file.parent().expect("a folder")).expect("our folder");
            layout.write_config(&file, text);
        }
        for (name, text) in &self.more_configs {
            let file = layout.more_configs.join(name);
            layout.write_config(&file, text);
            arguments.extend(["--config".into(), file.into()]);
        }
        if self.takes_folder {
            arguments.extend(["--config-dir".into(), layout.more_configs.clone().into()]);
        }
        arguments.extend(self.arguments);
        let mut site = Site {
            door: self.door,
            path: self.path,
            port: free_port(),
            responder: CommandLine { starter: self.starter, arguments },
            held: None,
            processes: Processes::logging_to(&layout.logs),
            layout,
            _folder: folder,
        };
        if let Some((config, path)) = &self.second_location {
            write_second_location(&site.layout, path, &site.layout.more_configs.join(config));
        }
        if let Some(text) = &self.more_locations {
            write_more_locations(&site.layout, text);
        }
        let backend_port = match self.served_by {
            Some(Foreign::Port(port)) => port,
            Some(Foreign::Socket(socket)) => {
                site.layout.socket = socket;
                0
            }
            None => {
                let backend = start_backend(site.door, &site.layout, &site.responder, &mut site.processes);
                site.held = backend.held;
                backend.port
            }
        };
        site.start_front(backend_port);
        site
    }
}
