//! Commands that call WeChat's API, one file each, and the [`Session`] that they share.
//!
//! What a command sends is checked against the row of the table first; what it prints is for people, or with `--json`
//! what WeChat answered.

pub(super) mod api;
pub(super) mod draft;
pub(super) mod jssdk;
pub(super) mod media;
pub(super) mod oauth;
mod output;
mod paging;
mod progress;
pub(super) mod qrcode;
pub(super) mod quota;
pub(super) mod send;
mod session;
pub(super) mod stats;
pub(super) mod tag;
pub(super) mod template;
pub(super) mod user;

use std::path::{Path, PathBuf};

use crate::cli::{Failure, find_config, print, print_line};
use session::Session;

/// What all these commands take.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The config file [default: ./wxcgi.toml, then $WXCGI_CONFIG, ~/.config/wxcgi/, /etc/wxcgi/]
    #[arg(long, short, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Print JSON, for a program
    #[arg(long, global = true)]
    json: bool,
    /// Show what would be sent, without secrets, and send nothing
    #[arg(long, short = 'n', global = true)]
    dry_run: bool,
    /// Send it although it breaks a limit that is known here
    #[arg(long, global = true)]
    unchecked: bool,
}

/// The path of a file that belongs to the one at `path`: the same name, with one more ending.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}
