//! `wxcgi token`: the access_token that all processes share, for the user's other programs.

use serde_json::json;

use super::{ConfigArg, Failure, print_line};
use crate::api::access_token::Force;
use crate::api::{Issued, Ticket};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  curl \"https://api.weixin.qq.com/cgi-bin/getcallbackip?access_token=$(wxcgi token get)\"
  wxcgi token get --json
  wxcgi token ticket jsapi")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the access_token; it is fetched only if there is no good one
    Get(Output),
    /// Fetch it again, also at once after an error, and print it
    Refresh {
        #[command(flatten)]
        output: Output,
        /// Make the old one invalid at once: it has become known. At most 20 times a day, 30 seconds apart
        #[arg(long)]
        force: bool,
    },
    /// Print a ticket, with which pages of the account sign
    Ticket {
        /// What it is for: pages with the JS-SDK, or cards
        #[arg(value_enum)]
        kind: Kind,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, clap::Args)]
struct Output {
    #[command(flatten)]
    config: ConfigArg,
    /// Print an object for a program, with `expires_in`, in seconds
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// JS-SDK
    Jsapi,
    /// 卡券
    #[value(name = "wx_card")]
    WxCard,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Get(output) => output.print("access_token", &output.config.api()?.access_token()?),
        Command::Refresh { output, force } => {
            let force = if *force { Force::Yes } else { Force::No };
            output.print("access_token", &output.config.api()?.refresh_access_token(force)?)
        }
        Command::Ticket { kind, output } => {
            let ticket = match kind {
                Kind::Jsapi => Ticket::Jsapi,
                Kind::WxCard => Ticket::WxCard,
            };
            output.print("ticket", &output.config.api()?.ticket(ticket)?)
        }
    }
}

impl Output {
    fn print(&self, name: &str, issued: &Issued) -> Result<(), Failure> {
        let value = issued.value.expose();
        if !self.json {
            return print_line(value);
        }
        print_line(&json!({ name: value, "expires_in": issued.expires_in.as_secs() }).to_string())
    }
}
