//! The program as WeChat and the operator see it: through real web servers, and by hand.

mod support;

mod access_token;
mod api_client;
mod api_commands;
mod api_peers;
mod bad_input;
mod binary;
mod cgi_process;
mod commands;
mod config;
mod dialogs;
mod examples;
mod fastcgi_peers;
mod fastcgi_process;
mod golden;
mod limits;
mod logging;
mod media_files;
mod menu;
mod overload;
mod read_back;
mod recipes;
mod replies;
mod restarts;
mod rule_replies;
mod rules;
mod secure;
mod security;
mod snippets;
mod soak;
mod stand_in;
mod status;
mod store;
mod verification;
mod wire;
