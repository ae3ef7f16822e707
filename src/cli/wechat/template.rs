//! `wxcgi template`: template messages (模板消息).

use serde_json::{Map, Value, json};

use super::output::{Table, need, text};
use super::session::Question;
use super::{Failure, Options, Session};
use crate::api::endpoint::Endpoint;
use crate::api::table::endpoint;
use crate::wechat::errcode::{Verdict, verdict};

const SEND: &Endpoint = endpoint("/cgi-bin/message/template/send");
const LIST: &Endpoint = endpoint("/cgi-bin/template/get_all_private_template");
const ADD: &Endpoint = endpoint("/cgi-bin/template/api_add_template");
const DELETE: &Endpoint = endpoint("/cgi-bin/template/del_private_template");

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wxcgi template list
  wxcgi template send oUser1 TEMPLATE_ID thing1=巧克力 amount2=39.8元 --url https://example.com/")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Send a message by a template
    Send {
        /// The user
        openid: String,
        /// The template
        template_id: String,
        /// What is put in its places: KEYWORD=VALUE
        #[arg(value_name = "KEYWORD=VALUE")]
        data: Vec<String>,
        /// Where a tap leads
        #[arg(long)]
        url: Option<String>,
        /// The mini-program that a tap opens: APPID or APPID:PAGE
        #[arg(long, value_name = "APPID[:PAGE]")]
        miniprogram: Option<String>,
        /// The same id is not sent twice within 10 minutes, also if this command is repeated
        #[arg(long, value_name = "ID")]
        client_msg_id: Option<String>,
    },
    /// List the account's templates
    List,
    /// Take a template of WeChat's library
    Add {
        /// Its number there, as TM00015
        template_id_short: String,
        /// Its keywords, for templates by category (类目模板)
        keywords: Vec<String>,
    },
    /// Delete a template
    Delete {
        /// The template
        template_id: String,
    },
}

pub(in crate::cli) fn run(args: &Args) -> Result<(), Failure> {
    let session = Session::open(&args.options)?;
    let (row, question) = match &args.command {
        Command::Send { .. } => (SEND, Question::body(message(&args.command)?)),
        Command::List => (LIST, Question::default()),
        Command::Add { template_id_short, keywords } => {
            let mut body = json!({"template_id_short": template_id_short});
            if !keywords.is_empty() {
                body["keyword_name_list"] = json!(keywords);
            }
            (ADD, Question::body(body))
        }
        Command::Delete { template_id } => (DELETE, Question::body(json!({"template_id": template_id}))),
    };
    let Some(answer) = session.ask(row, &question)? else { return Ok(()) };
    match &args.command {
        Command::Send { .. } => match answer.get("msgid") {
            Some(msgid) => session.done(&answer, &format!("sent; msgid {msgid}")),
            // An attempt whose answer was lost has sent it.
            None if verdict(&answer) != Verdict::Success => session.done(&answer, "sent"),
            None => need(&answer, "msgid", Value::as_u64).map(drop),
        },
        Command::List => {
            let templates = need(&answer, "template_list", Value::as_array)?;
            session.show(&answer, |_| words(templates))
        }
        Command::Add { .. } => {
            let id = need(&answer, "template_id", text)?;
            session.show(&answer, |_| id.to_owned())
        }
        Command::Delete { .. } => session.done(&answer, "deleted"),
    }
}

fn message(command: &Command) -> Result<Value, Failure> {
    let Command::Send { openid, template_id, data, url, miniprogram, client_msg_id } = command else {
        return Ok(json!({}));
    };
    let mut values = Map::new();
    for pair in data {
        let (keyword, value) = pair
            .split_once('=')
            .ok_or_else(|| Failure::Usage(format!("`{pair}` is not KEYWORD=VALUE; write thing1=巧克力")))?;
        values.insert(keyword.trim_end_matches(".DATA").to_owned(), json!({"value": value}));
    }
    let mut body = json!({"touser": openid, "template_id": template_id, "data": values});
    if let Some(url) = url {
        body["url"] = json!(url);
    }
    if let Some(target) = miniprogram {
        body["miniprogram"] = match target.split_once(':') {
            Some((app_id, page)) => json!({"appid": app_id, "pagepath": page}),
            None => json!({"appid": target}),
        };
    }
    if let Some(id) = client_msg_id {
        body["client_msg_id"] = json!(id);
    }
    Ok(body)
}

fn words(templates: &[Value]) -> String {
    if templates.is_empty() {
        "no templates".to_owned()
    } else {
        Table::of(templates, &["template_id", "title", "content"]).for_people()
    }
}
