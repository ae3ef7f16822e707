//! The real servers: the smallest main config around a shipped snippet, and what starts the responder.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use super::door::{Front, Start};
use super::processes::Processes;
use super::tools::{command, missing, program, repository, web_user};
use super::{Door, suexec};

/// Where things lie in the folder of a site.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) root: PathBuf,
    pub(super) program: PathBuf,
    pub(super) config: PathBuf,
    pub(super) more_configs: PathBuf,
    pub(super) state: PathBuf,
    pub(super) socket: PathBuf,
    pub(super) web: PathBuf,
    pub(super) logs: PathBuf,
    /// The home of whom suexec has the program run as.
    home: PathBuf,
    /// His number, if the door has one.
    suexec: Option<u32>,
}

impl Layout {
    /// Makes the folders in `root` and puts the program there, for a web server that works as another user.
    pub(super) fn make(root: &Path, door: Door) -> Self {
        let home = root.join("home");
        let suexec = (door == Door::ApacheSuexec).then(suexec::free_id);
        // Where the program looks itself, for it is told nothing.
        let (config, state) = match suexec {
            Some(_) => (home.join(".config/wxcgi/wxcgi.toml"), home.join(".local/state/wxcgi")),
            None => (root.join("etc/wxcgi.toml"), root.join("state")),
        };
        let layout = Self {
            root: root.to_owned(),
            program: match door {
                Door::ApacheHtaccess => root.join("www/wxcgi.cgi"),
                _ => root.join("bin/wxcgi"),
            },
            config,
            more_configs: root.join("etc/more"),
            state,
            socket: root.join("run/wxcgi.sock"),
            web: root.join("www"),
            logs: root.join("log"),
            home,
            suexec,
        };
        for folder in ["bin", "etc", "etc/more", "run", "state", "tmp", "www", "log"] {
            fs::create_dir(root.join(folder)).expect("a folder in ours");
        }
        for folder in ["run", "state", "tmp", "log"] {
            give_to_web_user(&root.join(folder));
        }
        // By another process: were the file open for writing here while some other thread forks, it could not be
        // executed (ETXTBSY).
        let copied =
            Command::new("install").args(["-m", "0755"]).arg(program()).arg(&layout.program).status();
        assert!(copied.expect("install runs").success());
        if let Some(id) = layout.suexec {
            suexec::settle(&layout.program, &layout.config, &layout.home, id);
        }
        layout
    }

    /// User and group that the program works as, if it is not ours.
    pub(super) fn user(&self) -> Option<(u32, u32)> {
        self.suexec.map(|id| (id, id)).or_else(web_user)
    }

    /// Writes a config as an operator would, see [`write_config`]; under suexec it is for its user alone.
    pub(super) fn write_config(&self, file: &Path, text: &str) {
        write_config(file, text);
        if let Some(id) = self.suexec {
            chown(file, Some(id), Some(id)).expect("root may do that");
            fs::set_permissions(file, Permissions::from_mode(0o600)).expect("our file");
        }
    }

    /// A command that starts the program as the user that the web server has it run as, its log in our folder.
    pub(super) fn program(&self) -> Command {
        self.program_under(&[])
    }

    /// The same by way of another program, such as `prlimit`, whose arguments end where a command begins.
    pub(super) fn program_under(&self, starter: &[&str]) -> Command {
        let mut command = match starter {
            [] => Command::new(&self.program),
            [starter, arguments @ ..] => {
                let mut command = command(starter);
                command.args(arguments).arg(&self.program);
                command
            }
        };
        command.env_clear().env("WXCGI_STATE_DIR", &self.state).stdin(Stdio::null());
        run_as(&mut command, self.user());
        command
    }
}

/// Hands a file or folder to the web server's user, if we may.
pub(super) fn give_to_web_user(path: &Path) {
    if let Some((user, group)) = web_user() {
        chown(path, Some(user), Some(group)).expect("root may do that");
    }
}

fn run_as(command: &mut Command, user: Option<(u32, u32)>) {
    if let Some((user, group)) = user {
        command.uid(user).gid(group);
    }
}

/// A port of this machine that nothing uses and that no other site of this run gets.
///
/// Below the range from which the kernel takes the ports of clients, or one of those could take it before the server.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 50 * 200).expect("below 10000");
    for _ in 0..10_000 {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

/// A shipped file with paths of ours in place of the documented ones; each of them must be there.
///
/// # Panics
///
/// If a string to be replaced does not occur: then the snippet and the tests (and `wxcgi init`) do not agree.
#[track_caller]
pub(crate) fn adapted(file: &str, replacements: &[(&str, &str)]) -> String {
    let mut text = fs::read_to_string(repository().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    for (from, to) in replacements {
        assert!(text.contains(from), "{file} does not mention `{from}`");
        text = text.replace(from, to);
    }
    text
}

/// What starts before the web server: the responder, or fcgiwrap.
pub(super) struct Backend {
    /// Its address over TCP, if that is how it listens.
    pub(super) port: u16,
    /// The socket that outlives responders, [`Door::HeldSocket`] and [`Door::ApacheHeldSocket`].
    pub(super) held: Option<UnixListener>,
}

/// The command line of a responder.
#[derive(Debug, Default)]
pub(super) struct CommandLine {
    /// What starts it, see [`Layout::program_under`].
    pub(super) starter: Vec<&'static str>,
    /// Behind `fastcgi`.
    pub(super) arguments: Vec<OsString>,
}

impl CommandLine {
    fn command(&self, layout: &Layout) -> Command {
        let mut command = layout.program_under(&self.starter);
        command.arg("fastcgi").args(&self.arguments);
        command
    }
}

/// Starts what `door` needs beside the web server, and waits until it listens.
pub(super) fn start_backend(
    door: Door,
    layout: &Layout,
    line: &CommandLine,
    processes: &mut Processes,
) -> Backend {
    let mut backend = Backend { port: free_port(), held: None };
    let socket = &layout.socket;
    match door.start() {
        Start::Front => return backend,
        Start::ListenUnix => {
            let listen = format!("unix:{}", socket.display());
            processes.start("wxcgi", line.command(layout).args(["--listen", &listen]));
        }
        Start::ListenTcp => {
            let (port, listen) = (backend.port, format!("127.0.0.1:{}", backend.port));
            processes.start("wxcgi", line.command(layout).args(["--listen", &listen]));
            processes.wait_until("the responder listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
            return backend;
        }
        Start::Fcgiwrap => {
            let mut fcgiwrap = command("fcgiwrap");
            fcgiwrap.env_clear().env("WXCGI_STATE_DIR", &layout.state).args(["-f", "-c", "4", "-s"]);
            run_as(fcgiwrap.arg(format!("unix:{}", socket.display())), web_user());
            processes.start("fcgiwrap", &mut fcgiwrap);
        }
        Start::SpawnFcgi => spawn_fcgi(layout, line, processes),
        Start::SocketActivate => socket_activate(layout, processes),
        Start::HeldSocket => {
            let listener = UnixListener::bind(socket).expect("a socket");
            give_to_web_user(socket);
            start_on(&listener, layout, line, processes);
            backend.held = Some(listener);
        }
    }
    processes.wait_until("the responder listens", || UnixStream::connect(socket).is_ok());
    backend
}

/// Starts a responder with `listener` as its fd 0.
pub(super) fn start_on(
    listener: &UnixListener,
    layout: &Layout,
    line: &CommandLine,
    processes: &mut Processes,
) {
    let descriptor = OwnedFd::from(listener.try_clone().expect("one more descriptor"));
    processes.start("wxcgi", line.command(layout).stdin(descriptor));
}

fn spawn_fcgi(layout: &Layout, line: &CommandLine, processes: &mut Processes) {
    let pid_file = layout.root.join("spawned.pid");
    let mut spawn = command("spawn-fcgi");
    spawn.env_clear().env("WXCGI_STATE_DIR", &layout.state);
    spawn.arg("-s").arg(&layout.socket).args(["-M", "0660", "-b", "128", "-P"]).arg(&pid_file);
    if web_user().is_some() {
        spawn.args(["-U", "www-data", "-G", "www-data", "-u", "www-data", "-g", "www-data"]);
    }
    spawn.arg("--").arg(&layout.program).arg("fastcgi").args(&line.arguments);
    let spawned = spawn.output().expect("spawn-fcgi runs");
    assert!(spawned.status.success(), "spawn-fcgi: {}", String::from_utf8_lossy(&spawned.stderr));
    let pid = fs::read_to_string(&pid_file).expect("a pid file");
    processes.adopt("wxcgi", pid.trim().parse().expect("a process id"));
}

/// Runs the `ExecStart` line of the shipped unit as systemd would: the socket as fd 3, `LISTEN_FDS` telling so.
fn socket_activate(layout: &Layout, processes: &mut Processes) {
    let unit = adapted(
        "systemd/wxcgi.service",
        &[
            ("/usr/local/bin/wxcgi", path_str(&layout.program)),
            ("/etc/wxcgi/wxcgi.toml", path_str(&layout.config)),
        ],
    );
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a line ExecStart=");
    let mut activate = command("systemd-socket-activate");
    activate.env_clear().arg("--listen").arg(&layout.socket);
    activate.arg(format!("--setenv=WXCGI_STATE_DIR={}", layout.state.display())).args(start.split(' '));
    run_as(&mut activate, web_user());
    processes.start("wxcgi", &mut activate);
}

/// Starts the web server of `door`, if there is one, and waits until it accepts at its port; that of the responder counts
/// for responders over TCP.
pub(super) fn start_front(
    door: Door,
    layout: &Layout,
    path: &str,
    (port, backend_port): (u16, u16),
    processes: &mut Processes,
) {
    let (name, mut command) = match door.front() {
        Front::None => return,
        Front::Apache(modules) => ("apache", apache(door, layout, path, port, modules)),
        Front::Nginx => ("nginx", nginx(door, layout, path, port, backend_port)),
        Front::Lighttpd => ("lighttpd", lighttpd(door, layout, path, port)),
    };
    check_config(&command, door.front());
    // What one that was killed has left.
    cgid_sockets(layout).for_each(|socket| fs::remove_file(socket).expect("our folder"));
    processes.start(name, command.stdin(Stdio::null()));
    processes.wait_until("the web server accepts", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    if matches!(door.front(), Front::Apache(modules) if modules.contains(&"cgid")) {
        // Its daemon gives the socket to those who serve when it listens already, and they give up soon.
        let is_ours = |socket: PathBuf| {
            fs::metadata(socket).is_ok_and(|socket| web_user().is_none_or(|(user, _)| socket.uid() == user))
        };
        processes.wait_until("mod_cgid can be reached", || cgid_sockets(layout).any(is_ours));
    }
}

fn cgid_sockets(layout: &Layout) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(layout.root.join("run")).expect("our folder").flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("cgid.sock"))
        .map(|entry| entry.path())
}

/// What the how-to's tell the user to run before a reload: `apachectl configtest`, `nginx -t`, `lighttpd -tt`.
fn check_config(command: &Command, front: Front) {
    let mut check = Command::new(command.get_program());
    let test = if front == Front::Lighttpd { "-tt" } else { "-t" };
    check
        .args(command.get_args().filter(|argument| *argument != "-D" && *argument != "FOREGROUND"))
        .arg(test);
    let checked = check.output().expect("the web server runs");
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success(), "{check:?}: {said}");
    assert!(!said.to_lowercase().contains("warn"), "{check:?}: {said}");
}

fn apache(door: Door, layout: &Layout, path: &str, port: u16, modules: &[&str]) -> Command {
    let root = path_str(&layout.root);
    let (config, program) = (path_str(&layout.config), path_str(&layout.program));
    let modules_folder = ["/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules"];
    let modules_folder = modules_folder.into_iter().map(Path::new).find(|folder| folder.is_dir());
    let modules_folder = modules_folder.unwrap_or_else(|| missing("apache2"));
    let mut main = vec![format!(
        "ServerRoot {root}\nServerName wx.example.com\nListen 127.0.0.1:{port}\nPidFile {root}/apache.pid\n\
         ErrorLog {root}/log/error.log\nDefaultRuntimeDir {root}/run\nMutex file:{root}/run default\n\
         DocumentRoot {root}/www\nTimeout 20\n"
    )];
    for module in ["authz_core", "alias", "env"].iter().chain(modules) {
        let file = modules_folder.join(format!("mod_{module}.so"));
        if !file.is_file() {
            missing(&format!("mod_{module}"));
        }
        main.push(format!("LoadModule {module}_module {}\n", file.display()));
    }
    if web_user().is_some() {
        main.push("User www-data\nGroup www-data\n".to_owned());
    }
    // As Debian has it.
    main.push("<Directory />\n    AllowOverride None\n    Require all denied\n</Directory>\n".to_owned());
    // What shared hosts commonly allow.
    let allowed =
        if door == Door::ApacheHtaccess { "AuthConfig FileInfo Indexes Limit Options" } else { "None" };
    main.push(format!(
        "<Directory {root}/www>\n    Require all granted\n    AllowOverride {allowed}\n</Directory>\n"
    ));
    main.push(format!("SetEnv WXCGI_STATE_DIR {}\n", layout.state.display()));
    if modules.contains(&"cgid") {
        main.push(format!("ScriptSock {root}/run/cgid.sock\n"));
    }
    if modules.contains(&"fcgid") {
        main.push(format!("FcgidIPCDir {root}/run\nFcgidProcessTableFile {root}/run/fcgid_shm\n"));
        main.push(format!("FcgidInitialEnv WXCGI_STATE_DIR {}\n", layout.state.display()));
    }
    let snippet = door.snippet().expect("Apache's doors have one");
    if door == Door::ApacheHtaccess {
        let htaccess = adapted(snippet, &[("/weixin", path), ("/etc/wxcgi/wxcgi.toml", config)]);
        fs::write(layout.web.join(".htaccess"), htaccess).expect("our folder");
        main.push("TypesConfig /dev/null\n".to_owned());
    } else {
        let socket = path_str(&layout.socket);
        let address = format!("127.0.0.1:{port}");
        let switch_user = format!("SuexecUserGroup {0} {0}", suexec::USER);
        let replacements: &[(&str, &str)] = match door {
            Door::ApacheProxyFcgi | Door::ApacheHeldSocket => {
                &[("/weixin", path), ("/run/wxcgi/wxcgi.sock", socket)]
            }
            Door::ApacheFcgid => {
                &[("/weixin", path), ("/usr/local/bin/wxcgi", program), ("/etc/wxcgi/wxcgi.toml", config)]
            }
            // The line that names the config is dropped.
            Door::ApacheSuexec => &[
                ("*:80", &address),
                ("/weixin", path),
                ("/usr/local/bin/wxcgi", program),
                ("# SuexecUserGroup you you", &switch_user),
            ],
            _ => &[
                ("*:80", &address),
                ("/weixin", path),
                ("/usr/local/bin/wxcgi", program),
                ("/etc/wxcgi/wxcgi.toml", config),
            ],
        };
        fs::write(layout.root.join("snippet.conf"), adapted(snippet, replacements)).expect("our folder");
        main.push(format!("Include {root}/snippet.conf\n"));
    }
    let main_file = layout.root.join("apache.conf");
    fs::write(&main_file, main.concat()).expect("our folder");
    let mut apache = command("apache2");
    apache.arg("-f").arg(main_file).args(["-D", "FOREGROUND"]);
    if let Some(id) = layout.suexec {
        apache = suexec::in_namespace(&apache, &layout.root, &layout.home, id);
    }
    apache.env_clear();
    apache
}

fn nginx(door: Door, layout: &Layout, path: &str, port: u16, backend_port: u16) -> Command {
    let root = path_str(&layout.root);
    let snippet = door.snippet().expect("nginx's doors have one");
    let socket = path_str(&layout.socket);
    let listen = format!("listen 127.0.0.1:{port};");
    let backend = format!("127.0.0.1:{backend_port}");
    let snippet = match door {
        Door::NginxTcp => adapted(snippet, &[("/weixin", path), ("127.0.0.1:9100", &backend)]),
        Door::NginxKeepalive => adapted(
            snippet,
            &[("/weixin", path), ("/run/wxcgi/wxcgi.sock", socket), ("listen      80;", &listen)],
        ),
        Door::NginxFcgiwrap => adapted(
            snippet,
            &[
                ("/weixin", path),
                ("/usr/local/bin/wxcgi", path_str(&layout.program)),
                ("/etc/wxcgi/wxcgi.toml", path_str(&layout.config)),
                ("/run/fcgiwrap.socket", socket),
            ],
        ),
        _ => adapted(snippet, &[("/weixin", path), ("/run/wxcgi/wxcgi.sock", socket)]),
    };
    fs::write(layout.root.join("snippet.conf"), snippet).expect("our folder");
    // `include fastcgi_params` is relative to the main config.
    fs::copy("/etc/nginx/fastcgi_params", layout.root.join("fastcgi_params"))
        .expect("nginx has fastcgi_params");
    let user = if web_user().is_some() { "user www-data;\n" } else { "" };
    let server = match door {
        Door::NginxKeepalive => "include snippet.conf;".to_owned(),
        _ => format!("server {{ {listen} server_name wx.example.com; include snippet*.conf; }}"),
    };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {root}/tmp/{kind};\n"))
        .concat();
    let main = format!(
        "{user}daemon off;\nworker_processes 1;\nworker_rlimit_nofile 8192;\npid {root}/nginx.pid;\n\
         error_log {root}/log/error.log info;\nevents {{ worker_connections 8192; }}\nhttp {{\n    access_log off;\n    include http.conf;\n{temporary}    {server}\n}}\n"
    );
    let main_file = layout.root.join("nginx.conf");
    fs::write(&main_file, main).expect("our folder");
    let mut nginx = command("nginx");
    nginx
        .env_clear()
        .arg("-p")
        .arg(root)
        .arg("-e")
        .arg(layout.logs.join("error.log"))
        .arg("-c")
        .arg(main_file);
    nginx
}

/// Writes a further location of `nginx/fastcgi-unix.conf` beside the first, for another account.
pub(super) fn write_second_location(layout: &Layout, path: &str, config: &Path) {
    let text = adapted(
        "nginx/fastcgi-unix.conf",
        &[
            ("/weixin", path),
            ("/run/wxcgi/wxcgi.sock", path_str(&layout.socket)),
            ("# fastcgi_param             WXCGI_CONFIG", "fastcgi_param WXCGI_CONFIG"),
            ("/etc/wxcgi/shop.toml", path_str(config)),
        ],
    );
    fs::write(layout.root.join("snippet-2.conf"), text).expect("our folder");
}

/// Writes further locations beside the snippet.
pub(super) fn write_more_locations(layout: &Layout, text: &str) {
    let text = text.replace("/run/wxcgi/wxcgi.sock", path_str(&layout.socket));
    fs::write(layout.root.join("snippet-more.conf"), text).expect("our folder");
}

fn lighttpd(door: Door, layout: &Layout, path: &str, port: u16) -> Command {
    let root = path_str(&layout.root);
    let snippet = door.snippet().expect("lighttpd's doors have one");
    let snippet = match door {
        Door::LighttpdCgi => adapted(
            snippet,
            &[
                ("/weixin", path),
                ("/usr/local/bin/wxcgi", path_str(&layout.program)),
                ("/etc/wxcgi/wxcgi.toml", path_str(&layout.config)),
            ],
        ),
        _ => adapted(snippet, &[("/weixin", path), ("/run/wxcgi/wxcgi.sock", path_str(&layout.socket))]),
    };
    fs::write(layout.root.join("snippet.conf"), snippet).expect("our folder");
    let user = match web_user() {
        Some(_) => "server.username = \"www-data\"\nserver.groupname = \"www-data\"\n",
        None => "",
    };
    let state = layout.state.display();
    let main = format!(
        "server.modules = ()\nserver.document-root = \"{root}/www\"\nserver.bind = \"127.0.0.1\"\n\
         server.port = {port}\nserver.errorlog = \"{root}/log/error.log\"\nserver.upload-dirs = ( \"{root}/tmp\" )\n\
         {user}include \"{root}/snippet.conf\"\nsetenv.add-environment = ( \"WXCGI_STATE_DIR\" => \"{state}\" )\n"
    );
    let main = if door == Door::LighttpdCgi { main } else { main.replace("setenv.add", "#setenv.add") };
    let main_file = layout.root.join("lighttpd.conf");
    fs::write(&main_file, main).expect("our folder");
    let mut lighttpd = command("lighttpd");
    lighttpd.env_clear().arg("-D").arg("-f").arg(main_file);
    lighttpd
}

/// Writes the config of an account as an operator would: for the web server's group to read, for nobody else.
pub(crate) fn write_config(file: &Path, text: &str) {
    fs::write(file, text).expect("our folder");
    let mode = match web_user() {
        Some((_, group)) => {
            chown(file, None, Some(group)).expect("root may do that");
            0o640
        }
        None => 0o600,
    };
    fs::set_permissions(file, Permissions::from_mode(mode)).expect("our file");
}

fn path_str(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}
