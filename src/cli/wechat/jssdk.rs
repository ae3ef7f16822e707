//! `wxcgi jssdk`: signatures for pages with the JS-SDK.

use std::time::SystemTime;

use serde_json::json;

use super::{Failure, Options, Session};
use crate::api::Ticket;
use crate::chance::random;
use crate::clock::unix_seconds;
use crate::wechat::web::{page_of, sign_page};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  wxcgi jssdk sign 'https://example.com/page?a=1' --json")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print what `wx.config` needs on this page
    Sign {
        /// The page, exactly as the browser has it (location.href); what follows # does not count
        url: String,
        /// Any text [default: random]
        #[arg(long)]
        nonce: Option<String>,
        /// Unix seconds [default: now]
        #[arg(long)]
        timestamp: Option<u64>,
        /// Sign with this jsapi_ticket instead of the account's
        #[arg(long)]
        ticket: Option<String>,
    },
}

pub(in crate::cli) fn run(args: &Args) -> Result<(), Failure> {
    let session = Session::open(&args.options)?;
    let Command::Sign { url, nonce, timestamp, ticket } = &args.command;
    let app_id = session.app_id()?;
    let ticket = if let Some(ticket) = ticket {
        ticket.clone()
    } else {
        let issued = session.api()?.ticket(Ticket::Jsapi).map_err(|error| session.failed(&error))?;
        issued.value.expose().to_owned()
    };
    let nonce = match nonce {
        Some(nonce) => nonce.clone(),
        None => hex::encode(random::<8>()?),
    };
    let timestamp = timestamp.unwrap_or_else(|| unix_seconds(SystemTime::now()));
    let page = page_of(url);
    if !page.starts_with("http://") && !page.starts_with("https://") {
        return Err(Failure::Usage(format!("`{url}` is no URL of a page; write it with https://")));
    }
    let signature = sign_page(&ticket, &nonce, timestamp, page);
    let config = json!({"appId": app_id, "timestamp": timestamp, "nonceStr": nonce, "signature": signature});
    session.show(&config, |_| {
        format!(
            "wx.config({{\n  appId: '{app_id}',\n  timestamp: {timestamp},\n  nonceStr: '{nonce}',\n  \
             signature: '{signature}',\n  jsApiList: []\n}});"
        )
    })
}
