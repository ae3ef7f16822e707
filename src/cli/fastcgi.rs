//! `wxcgi fastcgi`: the FastCGI responder.

use std::path::PathBuf;
use std::time::Duration;

use super::{Failure, finish};
use crate::account::{Accounts, wait_for_answers};
use crate::config::LogSettings;
use crate::config::load::{Service, open_for_service};
use crate::config::places::{Origin, state_folder};
use crate::gateway::fastcgi::Signals;
use crate::gateway::{Listener, fastcgi, listen as listen_on};

/// What is being worked out when the responder ends may take so long; `TimeoutStopSec` of the unit is longer.
const HANDLERS_END: Duration = Duration::from_secs(60);

#[derive(Debug, Default, clap::Args)]
#[command(
    after_help = "Without --listen the socket comes from systemd (LISTEN_FDS) or from who started the process \
    (spawn-fcgi, mod_fcgid). SIGTERM finishes what was accepted; SIGHUP takes changed configs, which are taken within \
    a second or two anyway."
)]
pub(crate) struct Args {
    /// A config file; may be given several times. The first serves requests that name none in `WXCGI_CONFIG`
    #[arg(long, short, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Configs in this folder may be named by the web server in the parameter `WXCGI_CONFIG`
    #[arg(long, value_name = "DIR")]
    config_dir: Option<PathBuf>,
    /// Listen here: unix:PATH or HOST:PORT
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// The mode of a unix socket, in octal
    #[arg(long, value_name = "MODE", default_value = "0660", value_parser = octal)]
    socket_mode: u32,
    /// Connections served at once, whatever the config says; further ones are answered 503
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: Option<u32>,
}

fn octal(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode @ 0..=0o777) => Ok(mode),
        _ => Err("write it in octal, like 0660".to_owned()),
    }
}

/// Serves on sockets that the process was started with; its command line was not read.
#[must_use]
pub fn serve_by_default(listeners: Vec<Listener>, before_serving: fn()) -> i32 {
    finish(run(Args::default(), Some(listeners), before_serving))
}

pub(super) fn run(args: Args, listeners: Option<Vec<Listener>>, before_serving: fn()) -> Result<(), Failure> {
    // Before anybody can know that we are there: until they are taken, SIGHUP and SIGTERM just end a process.
    let signals = Signals::of_process()?;
    let listeners = match listeners {
        Some(listeners) if args.listen.is_empty() => listeners,
        _ => listen(&args)?,
    };
    // Not `./wxcgi.toml`: the current folder is the choice of whoever started us.
    let origins = match args.config.as_slice() {
        [] => vec![Origin::Searched],
        files => files.iter().map(|file| Origin::Named(absolute(file))).collect(),
    };
    let state = state_folder();
    let opened: Vec<_> = origins
        .into_iter()
        .map(|origin| {
            let opened = open_for_service(&origin, state.as_deref(), Service::ManyRequests);
            (origin, opened)
        })
        .collect();
    // One process has one log and one set of limits: those of the first config, which also serves who names none.
    let first = opened.iter().find_map(|(_, (_, loaded))| loaded.as_ref().ok());
    first.map_or_else(LogSettings::default, |first| first.config.log.clone()).start();
    let mut options = fastcgi::Options { signals: Some(signals), ..fastcgi::Options::default() };
    if let Some(first) = first {
        first.config.server.limit(&mut options);
    }
    if let Some(max_connections) = args.max_connections {
        options.max_connections = usize::try_from(max_connections).unwrap_or(usize::MAX);
    }
    // A responder without a config serves all the same: WeChat gets a legal body.
    let accounts = Accounts::new(opened, args.config_dir, state);
    before_serving();
    let served = fastcgi::serve(listeners, options, &accounts);
    // Nobody can be answered here any more, but what is pushed or fetched is lost with this process.
    wait_for_answers(HANDLERS_END);
    log::logger().flush();
    served.map_err(|error| Failure::Failed(error.to_string()))
}

fn absolute(path: &std::path::Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn listen(args: &Args) -> Result<Vec<Listener>, Failure> {
    if args.listen.is_empty() {
        return Err(Failure::Usage(
            "no socket: give --listen unix:PATH or --listen HOST:PORT, or start this by systemd or spawn-fcgi"
                .to_owned(),
        ));
    }
    args.listen
        .iter()
        .map(|address| listen_on(address, args.socket_mode))
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::Failed(error.to_string()))
}
