//! `wxcgi tag`: tags (标签) and who has them.

use std::io::Read;

use serde_json::{Value, json};

use super::output::{Table, list, need};
use super::session::Question;
use super::{Failure, Options, Session, output, paging, print, print_line};
use crate::api::endpoint::Endpoint;
use crate::api::table::endpoint;

const LIST: &Endpoint = endpoint("/cgi-bin/tags/get");
const CREATE: &Endpoint = endpoint("/cgi-bin/tags/create");
const RENAME: &Endpoint = endpoint("/cgi-bin/tags/update");
const DELETE: &Endpoint = endpoint("/cgi-bin/tags/delete");
const MEMBERS: &Endpoint = endpoint("/cgi-bin/user/tag/get");
const ADD: &Endpoint = endpoint("/cgi-bin/tags/members/batchtagging");
const REMOVE: &Endpoint = endpoint("/cgi-bin/tags/members/batchuntagging");
const OF_USER: &Endpoint = endpoint("/cgi-bin/tags/getidlist");

#[derive(Debug, clap::Args)]
#[command(
    after_help = "TAG is the name of a tag or its number. `-` among the openids reads more from stdin, one a line.
Examples:
  wxcgi tag create 广东
  wxcgi tag add 广东 oUser1 oUser2
  wxcgi tag members 广东 | wxcgi tag add 老客户 -"
)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the tags
    List,
    /// Make a tag
    Create {
        /// Its name
        name: String,
    },
    /// Give a tag another name
    Rename {
        /// The tag
        tag: String,
        /// Its new name
        name: String,
    },
    /// Delete a tag
    Delete {
        /// The tag
        tag: String,
    },
    /// List who has a tag
    Members {
        /// The tag
        tag: String,
    },
    /// Give users a tag
    Add {
        /// The tag
        tag: String,
        /// The users
        #[arg(required = true)]
        openids: Vec<String>,
    },
    /// Take a tag from users
    Remove {
        /// The tag
        tag: String,
        /// The users
        #[arg(required = true)]
        openids: Vec<String>,
    },
    /// List the tags of a user
    Of {
        /// The user
        openid: String,
    },
}

pub(in crate::cli) fn run(args: &Args) -> Result<(), Failure> {
    let session = Session::open(&args.options)?;
    let (row, body, done) = match &args.command {
        Command::Members { tag } => return members(&session, tag),
        Command::Add { tag, openids } => return change(&session, ADD, tag, openids, "tagged"),
        Command::Remove { tag, openids } => return change(&session, REMOVE, tag, openids, "untagged"),
        Command::List => (LIST, None, ""),
        Command::Of { openid } => (OF_USER, Some(json!({"openid": openid})), ""),
        Command::Create { name } => (CREATE, Some(json!({"tag": {"name": name}})), "made"),
        Command::Rename { tag, name } => {
            (RENAME, Some(json!({"tag": {"id": id_of(&session, tag)?, "name": name}})), "renamed")
        }
        Command::Delete { tag } => (DELETE, Some(json!({"tag": {"id": id_of(&session, tag)?}})), "deleted"),
    };
    let Some(answer) = session.ask(row, &Question { body, ..Question::default() })? else { return Ok(()) };
    match &args.command {
        Command::List => drop(need(&answer, "tags", Value::as_array)?),
        Command::Of { .. } => drop(need(&answer, "tagid_list", Value::as_array)?),
        Command::Create { .. } => drop(need(&answer, "/tag/id", Value::as_u64)?),
        _ => return session.done(&answer, done),
    }
    session.show(&answer, |answer| match &args.command {
        Command::List => Table::of(list(answer, "tags"), &["id", "name", "count"]).for_people(),
        Command::Of { .. } => output::lines(list(answer, "tagid_list")),
        Command::Create { .. } => format!("made tag {}", answer["tag"]["id"]),
        _ => done.to_owned(),
    })
}

/// The number of a tag, which may be given by name.
fn id_of(session: &Session, tag: &str) -> Result<i64, Failure> {
    if let Ok(id) = tag.parse() {
        return Ok(id);
    }
    let tags = session.look_up(LIST, &Question::default())?;
    let tags = need(&tags, "tags", Value::as_array)?;
    let found = tags.iter().find(|found| found["name"] == tag).and_then(|found| found["id"].as_i64());
    found.ok_or_else(|| {
        let names: Vec<_> = tags.iter().filter_map(|tag| tag["name"].as_str()).collect();
        Failure::Failed(format!("the account has no tag `{tag}`; it has: {}", names.join(", ")))
    })
}

fn members(session: &Session, tag: &str) -> Result<(), Failure> {
    let mut all: Vec<Value> = Vec::new();
    let base = json!({"tagid": id_of(session, tag)?});
    paging::openids(session, MEMBERS, &base, "", |openids, _| {
        all.extend_from_slice(openids);
        if session.is_json() { Ok(()) } else { print(lines(openids).as_bytes()) }
    })?;
    if session.is_json() && !session.is_dry_run() {
        session.show(&json!({"openid": all}), lines_of)
    } else {
        Ok(())
    }
}

fn lines_of(answer: &Value) -> String {
    lines(list(answer, "openid"))
}

/// A line for each text.
pub(super) fn lines(texts: &[Value]) -> String {
    output::lines(texts.iter().filter_map(Value::as_str))
}

fn change(
    session: &Session,
    row: &'static Endpoint,
    tag: &str,
    openids: &[String],
    done: &str,
) -> Result<(), Failure> {
    let openids = read_openids(openids)?;
    let count =
        paging::batches(session, row, &json!({"tagid": id_of(session, tag)?}), "openid_list", &openids)?;
    report(session, count, done)
}

/// Says how many it were.
pub(super) fn report(session: &Session, count: usize, done: &str) -> Result<(), Failure> {
    let users = if count == 1 { "user" } else { "users" };
    match session.is_dry_run() {
        true => Ok(()),
        false if session.is_json() => print_line(&json!({done: count}).to_string()),
        false => print_line(&format!("{done} {count} {users}")),
    }
}

/// The users named, and those on stdin for `-`.
pub(super) fn read_openids(words: &[String]) -> Result<Vec<String>, Failure> {
    let mut openids = Vec::new();
    for word in words {
        if word == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            openids
                .extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(ToOwned::to_owned));
        } else {
            openids.push(word.clone());
        }
    }
    if openids.is_empty() { Err(Failure::Usage("no openids were given".to_owned())) } else { Ok(openids) }
}
