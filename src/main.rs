//! The program `wxcgi`: finds out who started it, and hands over.

use std::process::ExitCode;

use wxcgi::account::{self, NoAccount};
use wxcgi::cli;
use wxcgi::config::LogSettings;
use wxcgi::config::load::open_for_service;
use wxcgi::config::places::{Origin, state_folder};
use wxcgi::gateway::{Application, Deadlines, Door, cgi, find_door, log_panics, started_by_web_server};

fn main() -> ExitCode {
    log_panics();
    // Apache passes a query without `=` as arguments (RFC 3875 §4.4): a request must not become a command.
    match find_door() {
        Door::Cgi => serve_cgi(),
        Door::FastCgi(listeners) if started_by_web_server() => cli::fastcgi::serve_by_default(listeners),
        Door::FastCgi(listeners) => cli::run(Some(listeners)),
        Door::Misconfigured => {
            LogSettings::default().start();
            exit_code(&cgi::refuse_misconfigured())
        }
        Door::Person => cli::run(None),
    }
}

/// Answers the one request that this process was started for.
fn serve_cgi() -> ExitCode {
    let (_, loaded) = open_for_service(&Origin::Searched, state_folder().as_deref());
    let deadlines = if let Ok(loaded) = &loaded {
        loaded.config.log.start();
        loaded.config.server.deadlines.clone()
    } else {
        LogSettings::default().start();
        Deadlines::default()
    };
    match account::open(loaded) {
        Some(account) => answer_cgi(&account, &deadlines),
        None => answer_cgi(&NoAccount, &deadlines),
    }
}

fn answer_cgi(app: &dyn Application, deadlines: &Deadlines) -> ExitCode {
    let served = cgi::serve(app, deadlines);
    // At once, without destructors: the web server waits for our end, and all memory goes with us.
    std::process::exit(i32::from(served.is_err()))
}

fn exit_code(result: &std::io::Result<()>) -> ExitCode {
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
