//! `wxcgi quota`: how often an endpoint may still be called today.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::output::{need, pretty};
use super::session::Question;
use super::{Failure, Options, Session};
use crate::api::endpoint::Endpoint;
use crate::api::table::{endpoint, find};

const GET: &Endpoint = endpoint("/cgi-bin/openapi/quota/get");
const CLEAR: &Endpoint = endpoint("/cgi-bin/openapi/quota/clear");
const CLEAR_ALL: &Endpoint = endpoint("/cgi-bin/clear_quota");
const CLEAR_BY_SECRET: &Endpoint = endpoint("/cgi-bin/clear_quota/v2");
const RID: &Endpoint = endpoint("/cgi-bin/openapi/rid/get");

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wxcgi quota get message/custom/send
  wxcgi quota clear --all
  wxcgi quota rid 61725984-6126f6f9-040f19c4")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show the quota of an endpoint
    Get {
        /// Its path
        path: String,
    },
    /// Set the counter of an endpoint to 0, or with --all those of all (10 times a month)
    Clear {
        /// Its path
        #[arg(required_unless_present_any = ["all", "by_secret"])]
        path: Option<String>,
        /// All endpoints
        #[arg(long, conflicts_with = "path")]
        all: bool,
        /// All endpoints, by the AppSecret: when no access_token can be fetched any more
        #[arg(long, conflicts_with_all = ["path", "all"])]
        by_secret: bool,
    },
    /// Show which call a `rid` in an error message belongs to
    Rid {
        /// As 61725984-6126f6f9-040f19c4
        rid: String,
    },
}

pub(in crate::cli) fn run(args: &Args) -> Result<(), Failure> {
    let session = Session::open(&args.options)?;
    let path_of = |path: &str| json!({"cgi_path": find(path).map_or(path, |row| row.path)});
    let (row, body) = match &args.command {
        Command::Get { path } => (GET, Some(path_of(path))),
        Command::Clear { path: Some(path), .. } => (CLEAR, Some(path_of(path))),
        Command::Clear { by_secret: true, .. } => (CLEAR_BY_SECRET, None),
        Command::Clear { .. } => (CLEAR_ALL, Some(json!({"appid": session.app_id()?}))),
        Command::Rid { rid } => (RID, Some(json!({"rid": rid}))),
    };
    let Some(answer) = session.ask(row, &Question { body, ..Question::default() })? else { return Ok(()) };
    match &args.command {
        Command::Get { .. } => {
            need(&answer, "/quota/remain", Value::as_i64)?;
            session.show(&answer, words)
        }
        Command::Clear { .. } => session.done(&answer, "cleared"),
        Command::Rid { .. } => {
            let request = need(&answer, "request", Some)?;
            session.show(&answer, |_| pretty(request))
        }
    }
}

fn words(answer: &Value) -> String {
    let quota = &answer["quota"];
    let mut text =
        format!("{} of {} used today, {} left", quota["used"], quota["daily_limit"], quota["remain"]);
    if let (Some(count), Some(seconds)) =
        (answer["rate_limit"]["call_count"].as_i64(), answer["rate_limit"]["refresh_second"].as_i64())
    {
        let _ = write!(text, "; at most {count} in {seconds} s");
    }
    text
}
