//! The program as WeChat and the operator see it: through real web servers, and by hand.

mod support;

mod bad_input;
mod commands;
mod config;
mod examples;
mod fastcgi_peers;
mod golden;
mod logging;
mod read_back;
mod replies;
mod secure;
mod snippets;
mod verification;
