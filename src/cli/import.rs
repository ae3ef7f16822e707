//! `wxcgi import`: what WeChat's console answers by itself, as a config. Once a server answers, the console does not.

mod config;
mod console;

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::init::{new_token, write_file};
use super::{ConfigArg, Failure, print, print_line};
use crate::api::Call;
use console::Console;

/// More than any answer, bytes.
const MAX_FILE: u64 = 16 << 20;

/// What `--live` asks for.
const CALLS: [&str; 2] = ["/cgi-bin/get_current_autoreply_info", "/cgi-bin/get_current_selfmenu_info"];

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wxcgi import --live --write new.toml --tests    before server mode is switched on
  wxcgi import autoreply.json selfmenu.json       answers of get_current_autoreply_info, get_current_selfmenu_info")]
pub(super) struct Args {
    /// Files with WeChat's answers; `-` is stdin
    #[arg(value_name = "FILE", required_unless_present = "live")]
    files: Vec<PathBuf>,
    /// Ask WeChat now, with the `app_id` and `app_secret` of the config
    #[arg(long, conflicts_with = "files")]
    live: bool,
    #[command(flatten)]
    config: ConfigArg,
    /// Write it to a file that is not there yet, instead of printing it [default: wxcgi.toml]
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    // clippy would have an enum; clap has this: not given, given alone, given with a file.
    #[allow(clippy::option_option)]
    write: Option<Option<PathBuf>>,
    /// Write golden tests beside it as well, for `wxcgi test`: tests/import.toml
    #[arg(long, requires = "write")]
    tests: bool,
    /// Overwrite what lies there
    #[arg(long, requires = "write")]
    force: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut console = Console::default();
    let mut app_id = None;
    if args.live {
        app_id = args.config.load()?.1.config.account.app_id;
        let api = args.config.api()?;
        for path in CALLS {
            let answer = api.call(&Call::get(path, &[]))?;
            console.read(&answer).map_err(|why| Failure::Failed(format!("{path}: {why}")))?;
        }
    }
    for file in &args.files {
        let named = |why: String| Failure::Failed(format!("{}: {why}", file.display()));
        console.read(&read_json(file).map_err(named)?).map_err(named)?;
    }
    let text = config::config(&console, &new_token()?, app_id.as_deref());
    match &args.write {
        None => print(text.as_bytes())?,
        Some(path) => {
            let path = path.clone().unwrap_or_else(|| PathBuf::from("wxcgi.toml"));
            write(&path, &text, 0o600, args.force)?;
            if args.tests {
                let folder = path.with_file_name("tests");
                fs::create_dir_all(&folder)?;
                write(&folder.join("import.toml"), &config::tests(&console), 0o644, args.force)?;
            }
        }
    }
    tell(&console);
    Ok(())
}

fn write(path: &Path, text: &str, mode: u32, force: bool) -> Result<(), Failure> {
    write_file(path, text, mode, force)?;
    print_line(&format!("wxcgi: wrote {}", path.display()))
}

/// What is not carried over, a line each.
fn tell(console: &Console) {
    let of_answers = console
        .answers
        .iter()
        .flat_map(|answer| answer.notes.iter().map(|note| format!("{}: {note}", answer.label())));
    for note in console.notes.iter().cloned().chain(of_answers) {
        let _ = writeln!(std::io::stderr(), "wxcgi: not carried over: {note}");
    }
}

fn read_json(path: &Path) -> Result<Value, String> {
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().take(MAX_FILE).read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes))
    };
    read.map_err(|error| format!("cannot read it: {error}"))?;
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
    serde_json::from_slice(bytes).map_err(|error| format!("it is no JSON: {error}"))
}

#[cfg(test)]
mod tests;
