//! The program `wxcgi`: finds out who started it, and hands over.
#![cfg_attr(target_env = "gnu", no_main)]

mod start;

use std::panic::catch_unwind;

use wxcgi::account::{self, Account, NoAccount, Surroundings};
use wxcgi::cli;
use wxcgi::config::LogSettings;
use wxcgi::config::load::{Service, Unusable, open_for_service};
use wxcgi::config::places::{Origin, state_folder};
use wxcgi::gateway::{Application, Deadlines, Door, cgi, find_door, log_panics, started_by_web_server};

#[cfg(not(target_env = "gnu"))]
fn main() {
    start::start()
}

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
    let state = state_folder();
    let load = || open_for_service(&Origin::Searched, state.as_deref(), Service::OneRequest);
    // A panic is a bug of ours, for which WeChat gets a legal body all the same.
    let (path, mut loaded) = catch_unwind(load).unwrap_or_else(|_| (None, Err(Unusable(Vec::new()))));
    let deadlines = if let Ok(loaded) = &loaded {
        loaded.config.log.start();
        loaded.config.server.deadlines.clone()
    } else {
        LogSettings::default().start();
        Deadlines::default()
    };
    let to_compile = loaded.as_mut().ok().and_then(|loaded| loaded.to_compile.take());
    let surroundings = Surroundings { config: path.unwrap_or_default(), state, service: Service::OneRequest };
    let account = account::open(loaded, surroundings);
    let app = account.as_ref().map_or(&NoAccount as &dyn Application, |account| account);
    let served = cgi::serve(app, &deadlines);
    Account::finish(cgi::let_go);
    if let Some(compilation) = to_compile {
        drop(account);
        cgi::let_go();
        compilation.run();
    }
    // At once, without destructors: the web server waits for our end, and all memory goes with us.
    std::process::exit(i32::from(served.is_err()))
}
