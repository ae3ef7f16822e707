//! The program `wxcgi`: finds out who started it, and hands over.

use std::process::ExitCode;

use wxcgi::account::{self, NoAccount};
use wxcgi::cli;
use wxcgi::config::LogSettings;
use wxcgi::config::load::open_for_service;
use wxcgi::config::places::{Origin, state_folder};
use wxcgi::gateway::{
    Application, Door, cgi, find_door, log_panics, started_by_web_server, survive_full_files,
};

fn main() -> ExitCode {
    log_panics();
    survive_full_files();
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
    match &loaded {
        Ok(loaded) => loaded.config.log.start(),
        Err(_) => LogSettings::default().start(),
    }
    match account::open(loaded) {
        Some(account) => answer_cgi(&account),
        None => answer_cgi(&NoAccount),
    }
}

fn answer_cgi(app: &dyn Application) -> ExitCode {
    let served = cgi::serve(app);
    // At once, without destructors: the web server waits for our end, and all memory goes with us.
    std::process::exit(i32::from(served.is_err()))
}

fn exit_code(result: &std::io::Result<()>) -> ExitCode {
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
