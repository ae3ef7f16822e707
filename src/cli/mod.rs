//! The commands for a person at a terminal; one file each.

mod check;
mod explain;
pub mod fastcgi;
mod import;
mod init;
mod menu;
mod message;
mod moment;
mod push;
mod retries;
mod sign;
mod simulate;
mod test;
mod token;
mod toml_text;
mod wechat;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser, Subcommand};

use crate::account::{WATCHMAN_COMMAND, WORKER_COMMAND, open_api, watch_for_cgi, work_for_cgi};
use crate::api::{Api, ApiError};
use crate::config::Config;
use crate::config::load::{self, Loaded, Unusable};
use crate::config::places::{Origin, state_folder};
use crate::gateway::Listener;

/// What was asked for is done.
const DONE: i32 = 0;
/// What was asked for failed.
const FAILED: i32 = 1;
/// The command or the config is wrong.
const WRONG: i32 = 2;
/// As Rust's own `main` exits after a panic.
const PANICKED: i32 = 101;

/// The server side of a WeChat Official Account (微信公众号): CGI behind Apache, FastCGI behind nginx.
///
/// Started by a web server it answers requests and never reads its command line. These commands are for you.
#[derive(Debug, Parser)]
#[command(name = "wxcgi", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve as a FastCGI responder, on a socket of its own or on the one that it was started with
    Fastcgi(fastcgi::Args),
    /// Show all faults and warnings of a config, with place and cure
    Check(check::Args),
    /// Be WeChat: send a message through the real door, in this process, and show the reply
    #[command(visible_alias = "sim")]
    Simulate(simulate::Args),
    /// Show why a message meets a rule or does not: each rule in its order, each test, and the reply
    Explain(explain::Args),
    /// Run the golden tests beside a config: messages of users, and what they are to be answered
    Test(test::Args),
    /// Print a signed query string, for curl or for running the CGI by hand
    Sign(sign::Args),
    /// Print the JSON Schema of the config, for editors
    ///
    /// With `wxcgi schema > wxcgi.schema.json` beside a config that begins with `#:schema wxcgi.schema.json`, editors
    /// that know taplo complete and explain every key.
    Schema,
    /// Print the access_token that all processes share, or a ticket
    Token(token::Args),
    /// The custom menu: the live one against the config's
    Menu(menu::Args),
    /// Print a file to start with: a config, or what a web server needs
    Init(init::Args),
    /// Send a customer-service message (客服消息), or show that one is being written
    Send(wechat::send::Args),
    /// Send a template message (模板消息), list or delete templates
    Template(wechat::template::Args),
    /// Users: show, list, export, remark, blacklist
    User(wechat::user::Args),
    /// Tags (标签): list, make, rename, delete; who has one, give it, take it
    Tag(wechat::tag::Args),
    /// Files: upload, download, list, delete, count
    Media(wechat::media::Args),
    /// Drafts (草稿箱): list, show, add, update, delete, count, publish
    Draft(wechat::draft::Args),
    /// What was published (发布): list, show, state, take back
    Publish(wechat::draft::PublishArgs),
    /// QR codes with a parameter (带参数二维码)
    Qrcode(wechat::qrcode::Args),
    /// Statistics (数据统计), as a plot or as CSV
    Stats(wechat::stats::Args),
    /// Sign a page for the JS-SDK
    Jssdk(wechat::jssdk::Args),
    /// Web login (网页授权): the URL to send users to, and what their code is worth
    Oauth(wechat::oauth::Args),
    /// Quotas: show, clear; which call a rid belongs to
    Quota(wechat::quota::Args),
    /// Call any endpoint of WeChat's API, with the access_token put in
    Api(wechat::api::Args),
    /// Turn the automatic replies and the menu of WeChat's console into a config
    Import(import::Args),
    /// Work a message out for a CGI process, which starts this by itself
    #[command(name = WORKER_COMMAND, hide = true)]
    WorkForCgi,
    /// See to a message when the process has ended that works it out for a CGI process, which starts this by itself
    #[command(name = WATCHMAN_COMMAND, hide = true)]
    WatchForCgi,
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// The config of a command.
#[derive(Debug, clap::Args)]
struct ConfigArg {
    /// The config file [default: ./wxcgi.toml, then $WXCGI_CONFIG, ~/.config/wxcgi/, /etc/wxcgi/]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigArg {
    /// The config file that was named, or lies where one is looked for.
    fn find(&self) -> Result<PathBuf, Unusable> {
        find_config(self.config.as_deref())
    }

    fn load(&self) -> Result<(PathBuf, Loaded), Unusable> {
        let path = self.find()?;
        let loaded = load::load(&path)?;
        Ok((path, loaded))
    }

    /// WeChat's API, as this account calls it.
    fn api(&self) -> Result<Api, Failure> {
        let (path, Loaded { config, .. }) = self.load()?;
        api_of(&config, &path)
    }
}

/// WeChat's API, as the account of this config, read from `path`, calls it.
fn api_of(config: &Config, path: &Path) -> Result<Api, Failure> {
    // Without a file, what goes wrong is said once, by the command.
    if config.log.file.is_some() {
        config.log.start();
    }
    let api = open_api(config, path, state_folder().as_deref());
    Ok(api.map_err(ApiError::from)?)
}

fn find_config(named: Option<&Path>) -> Result<PathBuf, Unusable> {
    let here = Path::new("wxcgi.toml");
    match named {
        Some(path) => Ok(path.to_owned()),
        None if here.exists() => Ok(here.to_owned()),
        None => Origin::Searched.find(),
    }
}

/// Why a command did not do what it should.
#[derive(Debug)]
enum Failure {
    /// Something went wrong: exit code 1.
    Failed(String),
    /// The command is wrong: exit code 2.
    Usage(String),
    /// The config is wrong: exit code 2.
    Config(Unusable),
}

impl From<Unusable> for Failure {
    fn from(unusable: Unusable) -> Self {
        Self::Config(unusable)
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Unconfigured { .. } => Self::Usage(error.to_string()),
            error => Self::Failed(error.to_string()),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Runs the command line, and gives the exit code. `listeners` are sockets that the process was started with;
/// `before_serving` is called by a command that serves, when all that is done once is done.
#[must_use]
pub fn run(listeners: Option<Vec<Listener>>, before_serving: fn()) -> i32 {
    let is_command = std::env::args_os().len() > 1;
    match listeners {
        Some(listeners) if !is_command => fastcgi::serve_by_default(listeners, before_serving),
        listeners => match Cli::try_parse() {
            Ok(Cli { command: Some(command) }) => {
                survive(|| finish(command.run(listeners, before_serving)), &mut std::io::stderr())
            }
            Ok(Cli { command: None }) => finish(print_line(&Cli::command().render_help().to_string())),
            Err(error) => {
                let _ = error.print();
                error.exit_code()
            }
        },
    }
}

impl Command {
    fn run(self, listeners: Option<Vec<Listener>>, before_serving: fn()) -> Result<(), Failure> {
        match self {
            Self::Fastcgi(args) => fastcgi::run(args, listeners, before_serving),
            Self::Check(args) => check::run(&args),
            Self::Simulate(args) => simulate::run(&args),
            Self::Explain(args) => explain::run(&args),
            Self::Test(args) => test::run(&args),
            Self::Sign(args) => sign::run(&args),
            Self::WorkForCgi => work_for_cgi().map_err(Failure::Failed),
            Self::WatchForCgi => watch_for_cgi(before_serving).map_err(Failure::Failed),
            Self::Schema => print_line(&format!("{:#}", crate::config::schema())),
            Self::Token(args) => token::run(&args),
            Self::Menu(args) => menu::run(&args),
            Self::Send(args) => wechat::send::run(&args),
            Self::Template(args) => wechat::template::run(&args),
            Self::User(args) => wechat::user::run(&args),
            Self::Tag(args) => wechat::tag::run(&args),
            Self::Media(args) => wechat::media::run(&args),
            Self::Draft(args) => wechat::draft::run(&args),
            Self::Publish(args) => wechat::draft::run_publish(&args),
            Self::Qrcode(args) => wechat::qrcode::run(&args),
            Self::Stats(args) => wechat::stats::run(&args),
            Self::Jssdk(args) => wechat::jssdk::run(&args),
            Self::Oauth(args) => wechat::oauth::run(&args),
            Self::Quota(args) => wechat::quota::run(&args),
            Self::Api(args) => wechat::api::run(&args),
            Self::Init(args) => init::run(&args),
            Self::Import(args) => import::run(&args),
            Self::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "wxcgi", &mut script);
                print(&script)
            }
        }
    }
}

/// Runs a command. Its panic is told to the person, who may not see the log with the place of it.
fn survive(command: impl FnOnce() -> i32, stderr: &mut dyn Write) -> i32 {
    catch_unwind(AssertUnwindSafe(command)).unwrap_or_else(|_| {
        let _ = writeln!(
            stderr,
            "wxcgi: the command panicked, which is a bug; the line before this or the log says where"
        );
        PANICKED
    })
}

/// The exit code of what was done, after its lines for people.
fn finish(result: Result<(), Failure>) -> i32 {
    let (code, lines) = match result {
        Ok(()) => return DONE,
        Err(Failure::Failed(why)) => (FAILED, vec![why]),
        Err(Failure::Usage(why)) => (WRONG, vec![why]),
        Err(Failure::Config(Unusable(faults))) => {
            (WRONG, faults.iter().map(crate::config::fault::PlacedFault::for_people).collect())
        }
    };
    for line in lines.iter().filter(|line| !line.is_empty()) {
        let _ = writeln!(std::io::stderr(), "wxcgi: {line}");
    }
    code
}

/// Writes to stdout. A reader that has gone (`| head`) is no error.
fn print(bytes: &[u8]) -> Result<(), Failure> {
    match std::io::stdout().write_all(bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn print_line(line: &str) -> Result<(), Failure> {
    print(format!("{line}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_command_is_told_and_a_code_of_its_own() {
        let mut told = Vec::new();
        assert_eq!(survive(|| 7, &mut told), 7);
        assert!(told.is_empty());
        assert_eq!(survive(|| panic!("on purpose"), &mut told), PANICKED);
        assert!(told.starts_with(b"wxcgi: the command panicked") && told.ends_with(b"\n"));
    }
}
