//! The program `wxcgi`: finds out who started it, and hands over.
#![no_main]

mod start;

use wxcgi::account::{self, NoAccount};
use wxcgi::cli;
use wxcgi::config::LogSettings;
use wxcgi::config::load::{Service, open_for_service};
use wxcgi::config::places::{Origin, state_folder};
use wxcgi::gateway::{Application, Deadlines, Door, cgi, find_door, log_panics, started_by_web_server};

/// The program; gives its exit code.
fn run() -> i32 {
    log_panics();
    // Apache passes a query without `=` as arguments (RFC 3875 §4.4): a request must not become a command.
    match find_door() {
        Door::Cgi => serve_cgi(),
        Door::FastCgi(listeners) if started_by_web_server() => {
            cli::fastcgi::serve_by_default(listeners, start::forget_pages)
        }
        Door::FastCgi(listeners) => cli::run(Some(listeners), start::forget_pages),
        Door::Misconfigured => {
            LogSettings::default().start();
            i32::from(cgi::refuse_misconfigured().is_err())
        }
        Door::Person => cli::run(None, start::forget_pages),
    }
}

/// Answers the one request that this process was started for.
fn serve_cgi() -> i32 {
    let (_, loaded) = open_for_service(&Origin::Searched, state_folder().as_deref(), Service::OneRequest);
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

fn answer_cgi(app: &dyn Application, deadlines: &Deadlines) -> i32 {
    let served = cgi::serve(app, deadlines);
    // At once, without destructors: the web server waits for our end, and all memory goes with us.
    std::process::exit(i32::from(served.is_err()))
}
