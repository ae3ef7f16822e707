//! `wxcgi oauth`: web login (网页授权).

use serde_json::{Value, json};

use super::output::{need, pretty, text};
use super::session::Question;
use super::{Failure, Options, Session, print_line};
use crate::api::endpoint::Endpoint;
use crate::api::table::endpoint;
use crate::wechat::web::{Login, login_url};

const CODE: &Endpoint = endpoint("/sns/oauth2/access_token");
const USER: &Endpoint = endpoint("/sns/userinfo");

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wxcgi oauth url https://example.com/login --state 123
  wxcgi oauth code CODE --user")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the URL that a user opens to log in; WeChat sends him on to REDIRECT?code=…&state=…
    Url {
        /// Where he comes back; its host is the 网页授权域名 of the console
        redirect: String,
        /// Ask for his name and picture too (snsapi_userinfo): he is asked then
        #[arg(long)]
        userinfo: bool,
        /// Comes back with the code, against forged logins: up to 128 letters and digits
        #[arg(long, default_value = "")]
        state: String,
        /// Ask him also if he has agreed before
        #[arg(long)]
        force_popup: bool,
        /// Show the snapshot page (快照页)
        #[arg(long)]
        force_snapshot: bool,
    },
    /// Turn the code that came back into the user's openid; once, within 5 minutes
    Code {
        /// The code
        code: String,
        /// Show the user as well (with snsapi_userinfo)
        #[arg(long)]
        user: bool,
        /// Print the user's tokens too
        #[arg(long)]
        tokens: bool,
    },
}

pub(in crate::cli) fn run(args: &Args) -> Result<(), Failure> {
    let session = Session::open(&args.options)?;
    match &args.command {
        Command::Url { redirect, userinfo, state, force_popup, force_snapshot } => {
            let login = Login {
                redirect,
                userinfo: *userinfo,
                state,
                force_popup: *force_popup,
                force_snapshot: *force_snapshot,
            };
            let url =
                login_url(session.app_id()?, &login).map_err(|error| Failure::Usage(error.to_string()))?;
            session.show(&json!({"url": url}), |_| url.clone())
        }
        Command::Code { code, user, tokens } => exchange(&session, code, *user, *tokens),
    }
}

fn exchange(session: &Session, code: &str, user: bool, tokens: bool) -> Result<(), Failure> {
    let query = Question::query([("code", code), ("grant_type", "authorization_code")]);
    let Some(mut answer) = session.ask(CODE, &query)? else { return Ok(()) };
    let openid = need(&answer, "openid", text)?.to_owned();
    if user {
        let token = need(&answer, "access_token", text)?.to_owned();
        let query = Question::query([("access_token", &token), ("openid", &openid), ("lang", "zh_CN")]);
        answer["user"] = session.ask(USER, &query)?.unwrap_or_default();
    }
    if let (Value::Object(object), false) = (&mut answer, tokens) {
        for name in ["access_token", "refresh_token"] {
            object.remove(name);
        }
    }
    print_line(&pretty(&answer))?;
    if answer["is_snapshotuser"] == 1 {
        eprintln!("wxcgi: warning: he saw the snapshot page (快照页): this openid is not his own");
    }
    Ok(())
}
