//! The server side of a WeChat Official Account (微信公众号), as a CGI program or a FastCGI responder.
//!
//! The rooms of the house, from the ground up; each knows only those below it:
//!
//! | floor | room | what it does |
//! |---|---|---|
//! | 7 | [`cli`] | the commands for a person, one file each |
//! | 6 | [`account`] | joins the parts into one Official Account, from its config |
//! | 5 | [`callback`] | one call of WeChat: verify, open, parse, answer, seal |
//! | 3 | [`config`] | the config file as typed data, with every fault in its place |
//! | 2 | [`rules`] | when this comes, do that: conditions, actions, templates |
//! | 2 | [`api`] | WeChat's API: its endpoints as a table, and calls with an access_token that all processes share |
//! | 1 | [`store`] | what all processes and hosts of an account share |
//! | 1 | [`gateway`] | requests in, answers out: CGI and FastCGI; knows no WeChat |
//! | 0 | [`wechat`] | WeChat's protocol as pure functions |
//! | 0 | [`http`] | request and response |
//! | 0 | [`clock`] | time as WeChat writes it |
//! | 0 | [`files`] | files that somebody named, opened without waiting |
//! | 0 | [`chance`] | bytes that nobody can guess |
//! | 0 | [`files`] | files that are read whole |
//! | 0 | [`descriptors`] | how many files and connections may be open |
//! | 0 | [`spelling`] | what was meant by a word that nobody knows |
//! | 0 | [`secret`] | text that prints as `***` |
//! | 0 | [`logging`] | the log: stderr, or a file that many processes share |

#![forbid(unsafe_code)]

pub mod account;
pub mod api;
pub mod callback;
pub mod chance;
pub mod cli;
pub mod clock;
pub mod config;
pub mod delivery;
pub mod descriptors;
pub mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod gateway;
pub mod handlers;
pub mod http;
pub mod logging;
pub mod rules;
pub mod secret;
pub mod spelling;
pub mod store;
pub mod wechat;
