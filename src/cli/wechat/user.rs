//! `wxcgi user`: the followers, one by one or all of them.

mod export;

use std::path::PathBuf;

use serde_json::{Value, json};

use super::output::{Table, cell, lines, need, text};
use super::session::Question;
use super::tag::{self, read_openids, report};
use super::{Failure, Options, Session, paging, print};
use crate::api::endpoint::Endpoint;
use crate::api::table::endpoint;

const INFO: &Endpoint = endpoint("/cgi-bin/user/info");
const INFOS: &Endpoint = endpoint("/cgi-bin/user/info/batchget");
const LIST: &Endpoint = endpoint("/cgi-bin/user/get");
const REMARK: &Endpoint = endpoint("/cgi-bin/user/info/updateremark");
const BLACKLIST: &Endpoint = endpoint("/cgi-bin/tags/members/getblacklist");
const BLOCK: &Endpoint = endpoint("/cgi-bin/tags/members/batchblacklist");
const UNBLOCK: &Endpoint = endpoint("/cgi-bin/tags/members/batchunblacklist");

#[derive(Debug, clap::Args)]
#[command(after_help = "`-` among the openids reads more from stdin, one a line.
Examples:
  wxcgi user list | head
  wxcgi user info oUser1
  wxcgi user export users.csv
  wxcgi user remark oUser1 '老客户'")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show users
    Info {
        /// The users
        #[arg(required = true)]
        openids: Vec<String>,
    },
    /// List the openids of all followers
    List,
    /// Write all followers to a file; if it breaks off, the same command goes on where it was
    Export {
        /// The file
        file: PathBuf,
        /// CSV, or JSON lines [default: by the ending of the file: .csv, .jsonl]
        #[arg(long, value_enum)]
        format: Option<export::Format>,
        /// Only the openids: a hundred times fewer calls
        #[arg(long)]
        openids_only: bool,
        /// Begin anew, also if an export to this file broke off
        #[arg(long)]
        restart: bool,
    },
    /// Set the remark (备注名) of a user; an empty one takes it away
    Remark {
        /// The user
        openid: String,
        /// The remark
        remark: String,
    },
    /// List the blacklist (黑名单)
    Blacklist,
    /// Put users on the blacklist: their messages no longer come
    Block {
        /// The users
        #[arg(required = true)]
        openids: Vec<String>,
    },
    /// Take users from it
    Unblock {
        /// The users
        #[arg(required = true)]
        openids: Vec<String>,
    },
}

pub(in crate::cli) fn run(args: &Args) -> Result<(), Failure> {
    let session = Session::open(&args.options)?;
    match &args.command {
        Command::Info { openids } => info(&session, &read_openids(openids)?),
        Command::List => list_openids(&session, LIST),
        Command::Export { file, format, openids_only, restart } => {
            let format = export::Format::of(*format, file)?;
            export::run(&session, file, format, *openids_only, *restart)
        }
        Command::Remark { openid, remark } => {
            let question = Question::body(json!({"openid": openid, "remark": remark}));
            let Some(answer) = session.ask(REMARK, &question)? else { return Ok(()) };
            session.done(&answer, "remarked")
        }
        Command::Blacklist => list_openids(&session, BLACKLIST),
        Command::Block { openids } => change(&session, BLOCK, openids, "blocked"),
        Command::Unblock { openids } => change(&session, UNBLOCK, openids, "unblocked"),
    }
}

fn change(session: &Session, row: &'static Endpoint, openids: &[String], done: &str) -> Result<(), Failure> {
    let count = paging::batches(session, row, &json!({}), "openid_list", &read_openids(openids)?)?;
    report(session, count, done)
}

fn list_openids(session: &Session, row: &'static Endpoint) -> Result<(), Failure> {
    let mut all: Vec<Value> = Vec::new();
    paging::openids(session, row, &json!({}), "", |openids, _| {
        if session.is_json() {
            all.extend_from_slice(openids);
            return Ok(());
        }
        print(tag::lines(openids).as_bytes())
    })?;
    if session.is_json() && !session.is_dry_run() {
        session.show(&json!({"total": all.len(), "openid": all}), |_| String::new())
    } else {
        Ok(())
    }
}

fn info(session: &Session, openids: &[String]) -> Result<(), Failure> {
    if let [openid] = openids {
        let question = Question::query([("openid", openid.as_str()), ("lang", "zh_CN")]);
        let Some(answer) = session.ask(INFO, &question)? else { return Ok(()) };
        need(&answer, "openid", text)?;
        return session.show(&answer, one);
    }
    let mut users = Vec::new();
    for batch in openids.chunks(paging::batch_size(INFOS, "user_list")) {
        let Some(answer) = session.ask(INFOS, &infos(batch))? else { continue };
        users.extend_from_slice(need(&answer, "user_info_list", Value::as_array)?);
    }
    if session.is_dry_run() {
        return Ok(());
    }
    let columns = ["openid", "subscribe", "subscribe_time", "subscribe_scene", "remark", "tagid_list"];
    session.show(&json!({"user_info_list": users}), |_| Table::of(&users, &columns).for_people())
}

fn infos<S: AsRef<str>>(openids: &[S]) -> Question<'static> {
    let users: Vec<_> =
        openids.iter().map(|openid| json!({"openid": openid.as_ref(), "lang": "zh_CN"})).collect();
    Question::body(json!({"user_list": users}))
}

/// A line for each thing that is known.
fn one(user: &Value) -> String {
    if user["subscribe"] == 0 {
        return format!("{} does not follow the account", cell(user.get("openid")));
    }
    let known = user.as_object().into_iter().flatten();
    let known = known.map(|(name, value)| (name, cell(Some(value)))).filter(|(_, value)| !value.is_empty());
    lines(known.map(|(name, value)| format!("{name:18} {value}")))
}
