//! `wxcgi check`: all faults and warnings of a config.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Failure, find_config, print, print_line};
use crate::config::fault::{PlacedFault, Severity};
use crate::config::load::{Unusable, load};
use crate::config::places::last_good_since;
use crate::rules::Role;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The config file [default: ./wxcgi.toml, then $WXCGI_CONFIG, ~/.config/wxcgi/, /etc/wxcgi/]
    file: Option<PathBuf>,
    /// The same, named as in the other commands
    #[arg(long, short, value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,
    /// Print a list of objects for a program: severity, file, line, column, message, hint, cure
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let path = find_config(args.file.as_deref().or(args.config.as_deref()))?;
    let (faults, summary) = match load(&path) {
        Ok(loaded) => {
            let rules: Vec<_> = loaded.config.rules.iter().collect();
            let default =
                if rules.iter().any(|rule| rule.role == Role::Default) { " and a default" } else { "" };
            let count = match rules.iter().filter(|rule| matches!(rule.role, Role::Rule(_))).count() {
                1 => "1 rule".to_owned(),
                count => format!("{count} rules"),
            };
            (loaded.warnings, Some(format!("{}: {count}{default}; no faults", path.display())))
        }
        Err(Unusable(faults)) => (faults, None),
    };
    if args.json {
        let json =
            serde_json::to_string_pretty(&faults).map_err(|error| Failure::Failed(error.to_string()))?;
        print_line(&json)?;
        return if summary.is_some() { Ok(()) } else { Err(Failure::Usage(String::new())) };
    }
    for fault in &faults {
        print(format!("wxcgi: {}\n", fault.for_people()).as_bytes())?;
    }
    match summary {
        Some(summary) => print_line(&format!("wxcgi: {summary}{}", count_warnings(&faults))),
        None => Err(Failure::Usage(format!("{}: {}{}", path.display(), count(&faults), instead(&path)))),
    }
}

fn count_warnings(faults: &[PlacedFault]) -> String {
    match faults.len() {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        count => format!(", {count} warnings"),
    }
}

fn count(faults: &[PlacedFault]) -> String {
    let count = faults.iter().filter(|fault| fault.severity == Severity::Fault).count();
    format!("{count} {}; the config is not taken", if count == 1 { "fault" } else { "faults" })
}

/// What a service that reads this config does meanwhile, as far as it can be told.
fn instead(config: &Path) -> String {
    let since = last_good_since(config).and_then(|since| Timestamp::try_from(since).ok());
    since.map(|since| format!("; the last good one, of {since:.0}, goes on")).unwrap_or_default()
}
