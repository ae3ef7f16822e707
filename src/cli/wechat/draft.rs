//! `wxcgi draft` and `wxcgi publish`: drafts (草稿箱) and what was published of them (发布).

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::media::items;
use super::output::{cell, list, need, pretty, text};
use super::session::Question;
use super::{Failure, Options, Session, paging};
use crate::api::endpoint::Endpoint;
use crate::api::table::endpoint;

const LIST: &Endpoint = endpoint("/cgi-bin/draft/batchget");
const SHOW: &Endpoint = endpoint("/cgi-bin/draft/get");
const ADD: &Endpoint = endpoint("/cgi-bin/draft/add");
const UPDATE: &Endpoint = endpoint("/cgi-bin/draft/update");
const DELETE: &Endpoint = endpoint("/cgi-bin/draft/delete");
const COUNT: &Endpoint = endpoint("/cgi-bin/draft/count");
const PUBLISH: &Endpoint = endpoint("/cgi-bin/freepublish/submit");
const PUBLISHED: &Endpoint = endpoint("/cgi-bin/freepublish/batchget");
const PUBLISHED_SHOW: &Endpoint = endpoint("/cgi-bin/freepublish/getarticle");
const PUBLISHED_STATE: &Endpoint = endpoint("/cgi-bin/freepublish/get");
const PUBLISHED_DELETE: &Endpoint = endpoint("/cgi-bin/freepublish/delete");

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A draft is JSON as in WeChat's documentation: {\"articles\": [{\"title\": …, \"content\": …, \"thumb_media_id\": …}]},
a list of articles, or one article. `wxcgi api --explain draft/add` shows the fields and their limits.
Examples:
  wxcgi draft add draft.json --dry-run
  wxcgi draft list
  wxcgi draft publish MEDIA_ID"
)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the drafts
    List {
        /// So many at most
        #[arg(long, default_value_t = 1000)]
        limit: usize,
    },
    /// Print a draft as JSON
    Show {
        /// The draft
        media_id: String,
    },
    /// Make a draft; prints its media_id
    Add {
        /// A file with JSON
        file: PathBuf,
    },
    /// Replace one article of a draft
    Update {
        /// The draft
        media_id: String,
        /// A file with one article as JSON
        file: PathBuf,
        /// Which article, from 0
        #[arg(long, default_value_t = 0)]
        index: u32,
    },
    /// Delete a draft for good
    Delete {
        /// The draft
        media_id: String,
    },
    /// Count the drafts
    Count,
    /// Publish a draft: it gets a link, and is not sent to anybody
    Publish {
        /// The draft
        media_id: String,
    },
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PublishArgs {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: PublishCommand,
}

#[derive(Debug, clap::Subcommand)]
enum PublishCommand {
    /// List what was published
    List {
        /// So many at most
        #[arg(long, default_value_t = 1000)]
        limit: usize,
    },
    /// Print a publication as JSON
    Show {
        /// The publication
        article_id: String,
    },
    /// Show what became of `draft publish`
    State {
        /// As `draft publish` printed it
        publish_id: String,
    },
    /// Take a publication back for good
    Delete {
        /// The publication
        article_id: String,
        /// Only this article of it, from 1
        #[arg(long)]
        index: Option<u32>,
    },
}

pub(in crate::cli) fn run(args: &Args) -> Result<(), Failure> {
    let session = Session::open(&args.options)?;
    let of = |media_id: &String| Some(json!({"media_id": media_id}));
    let (row, body) = match &args.command {
        Command::List { limit } => return list_all(&session, LIST, "media_id", *limit),
        Command::Show { media_id } => (SHOW, of(media_id)),
        Command::Add { file } => (ADD, Some(json!({"articles": articles(read(file)?)}))),
        Command::Update { media_id, file, index } => {
            let article = articles(read(file)?).get(0).cloned().unwrap_or_default();
            (UPDATE, Some(json!({"media_id": media_id, "index": index, "articles": article})))
        }
        Command::Delete { media_id } => (DELETE, of(media_id)),
        Command::Count => (COUNT, None),
        Command::Publish { media_id } => (PUBLISH, of(media_id)),
    };
    let Some(answer) = session.ask(row, &Question { body, ..Question::default() })? else { return Ok(()) };
    let words = match &args.command {
        Command::Update { .. } => return session.done(&answer, "updated"),
        Command::Delete { .. } => return session.done(&answer, "deleted"),
        Command::List { .. } | Command::Show { .. } => {
            need(&answer, "news_item", Value::as_array).map(|_| pretty(&answer))?
        }
        Command::Add { .. } => need(&answer, "media_id", text)?.to_owned(),
        Command::Count => need(&answer, "total_count", Value::as_u64)?.to_string(),
        Command::Publish { .. } => {
            let id = need(&answer, "publish_id", Some).map(|id| cell(Some(id)))?;
            format!("publishing; ask with: wxcgi publish state {id}")
        }
    };
    session.show(&answer, |_| words)
}

pub(in crate::cli) fn run_publish(args: &PublishArgs) -> Result<(), Failure> {
    let session = Session::open(&args.options)?;
    let (row, body) = match &args.command {
        PublishCommand::List { limit } => return list_all(&session, PUBLISHED, "article_id", *limit),
        PublishCommand::Show { article_id } => (PUBLISHED_SHOW, json!({"article_id": article_id})),
        PublishCommand::State { publish_id } => (PUBLISHED_STATE, json!({"publish_id": publish_id})),
        PublishCommand::Delete { article_id, index } => {
            (PUBLISHED_DELETE, json!({"article_id": article_id, "index": index.unwrap_or(0)}))
        }
    };
    let Some(answer) = session.ask(row, &Question::body(body))? else { return Ok(()) };
    let words = match &args.command {
        PublishCommand::Delete { .. } => return session.done(&answer, "deleted"),
        PublishCommand::List { .. } | PublishCommand::Show { .. } => {
            need(&answer, "news_item", Value::as_array).map(|_| pretty(&answer))?
        }
        PublishCommand::State { .. } => {
            need(&answer, "publish_status", Value::as_i64).map(|_| state(&answer))?
        }
    };
    session.show(&answer, |_| words)
}

fn list_all(session: &Session, row: &'static Endpoint, id: &str, limit: usize) -> Result<(), Failure> {
    let Some(answer) = paging::offsets(session, row, &json!({"no_content": 1}), limit)? else {
        return Ok(());
    };
    session.show(&answer, |answer| items(answer, &[id, "update_time", "/content/news_item/0/title"]))
}

fn read(path: &Path) -> Result<Value, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Usage(format!("cannot read `{}`: {error}", path.display())))?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::Usage(format!("`{}` is no JSON: {error}", path.display())))
}

/// The list of articles, however it was written.
fn articles(given: Value) -> Value {
    match given {
        Value::Object(mut object) if object.contains_key("articles") => {
            articles(object.remove("articles").unwrap_or_default())
        }
        Value::Array(_) => given,
        one => json!([one]),
    }
}

/// Codes of `publish_status`.
fn state(answer: &Value) -> String {
    let state = match answer["publish_status"].as_i64() {
        Some(0) => "published",
        Some(1) => "being published",
        Some(2) => "failed: what is said to be original is not (原创失败)",
        Some(3) => "failed",
        Some(4) => "refused by WeChat's review",
        Some(5) => "published, then deleted by the account",
        Some(6) => "published, then banned by WeChat",
        _ => "unknown",
    };
    let urls = list(answer, "/article_detail/item").iter().filter_map(|item| item["article_url"].as_str());
    let lines = [state].into_iter().chain(answer["article_id"].as_str()).chain(urls);
    super::output::lines(lines)
}
