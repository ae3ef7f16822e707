//! `wxcgi simulate`: be WeChat, without a web server. The request goes through the real CGI door, in this process.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use super::push::{Push, WeChat};
use super::{ConfigArg, Failure, print, print_line};
use crate::account::{Account, Surroundings};
use crate::config::load::{Service, Unusable};
use crate::config::places::state_folder;
use crate::config::{Config, SAMPLE, Thoroughness};
use crate::gateway::cgi;
use crate::wechat::mode::Mode;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wxcgi simulate 你好
  wxcgi simulate --event CLICK --key V1001
  wxcgi simulate --type image --field MediaId=abc --field PicUrl=http://example.com/a.jpg
  wxcgi simulate --mode secure --raw 天气")]
pub(super) struct Args {
    /// The text that the user sends
    #[arg(allow_hyphen_values = true, required_unless_present_any = ["event", "kind"])]
    text: Option<String>,
    #[command(flatten)]
    config: ConfigArg,
    /// Send this event instead, as `subscribe` or `CLICK`
    #[arg(long, value_name = "EVENT", conflicts_with_all = ["text", "kind"])]
    event: Option<String>,
    /// The event's key
    #[arg(long, value_name = "KEY", requires = "event")]
    key: Option<String>,
    /// Send a message of this type instead, as `image`
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "text")]
    kind: Option<String>,
    /// Further fields by WeChat's names, as `MediaId=abc`
    #[arg(long = "field", value_name = "NAME=VALUE", value_parser = field)]
    fields: Vec<(String, String)>,
    /// How it is sent [default: the weakest mode that the config takes]
    #[arg(long, value_enum)]
    mode: Option<ModeArg>,
    /// The user
    #[arg(long, default_value = "oSimulatedUser000000000000001")]
    openid: String,
    /// Print the bytes that the web server would get, and nothing else
    #[arg(long)]
    raw: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ModeArg {
    /// 明文模式
    Plaintext,
    /// 兼容模式
    Compatible,
    /// 安全模式
    Secure,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Plaintext => Self::Plaintext,
            ModeArg::Compatible => Self::Compatible,
            ModeArg::Secure => Self::Secure,
        }
    }
}

fn field(text: &str) -> Result<(String, String), String> {
    let is_name = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    text.split_once('=')
        .filter(|(name, _)| is_name(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "write it as NAME=VALUE".to_owned())
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (config, path) = config(args)?;
    let is_sample = path.is_none();
    let state = state_folder();
    let surroundings = Surroundings { config: path.unwrap_or_default(), state, service: Service::OneRequest };
    // Causes of a refusal go to the log only; here a person wants to see them.
    crate::logging::start(log::LevelFilter::Warn, None);
    let (fields, sent) = fields(args);
    let push = Push { openid: args.openid.clone(), fields };
    let now = SystemTime::now();
    let wechat = WeChat::new(&push, args.mode.map(Mode::from), &config.account, now)?;
    let account = Account::new(config, surroundings);
    let rule = wechat.ask(|message| account.met_rule(message, now));
    let rule = rule.map_or("no rule".to_owned(), |rule| rule.label());
    let started = Instant::now();
    let document = cgi::exchange(wechat.params(), &mut wechat.body.as_bytes(), &account);
    let time = started.elapsed();
    if args.raw {
        return print(&document);
    }
    if is_sample {
        print_line("wxcgi: no config here; this is the built-in sample (see `wxcgi init config`)\n")?;
    }
    let received = wechat.receive(&document)?;
    let mut page = String::new();
    let _ = writeln!(page, "user     {sent}");
    let _ = writeln!(page, "account  {}", received.shown.replace('\n', "\n         "));
    let _ = writeln!(page, "         {} · {rule} · {:.1} ms", received.kind, time.as_secs_f64() * 1000.0);
    print(page.as_bytes())?;
    if received.complaints.is_empty() {
        return Ok(());
    }
    Err(Failure::Failed(format!("WeChat would not take this reply: {}", received.complaints.join("; "))))
}

/// The config and where it lies, or the built-in sample where there is none yet: a newcomer sees the main job in one
/// command.
fn config(args: &Args) -> Result<(Config, Option<PathBuf>), Failure> {
    if args.config.config.is_some() || args.config.find().is_ok() {
        let (path, loaded) = args.config.load()?;
        return Ok((loaded.config, Some(path)));
    }
    let (sample, _) = Config::parse(SAMPLE, ".".as_ref(), Thoroughness::Full);
    sample.map(|config| (config, None)).ok_or(Failure::Config(Unusable(Vec::new())))
}

/// The fields of the message beside the common ones, and what to call it on the page.
fn fields(args: &Args) -> (Vec<(String, String)>, String) {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let (mut fields, sent) = match (&args.event, &args.kind) {
        (Some(event), _) => {
            let mut fields = vec![pair("MsgType", "event"), pair("Event", event)];
            fields.extend(args.key.as_ref().map(|key| pair("EventKey", key)));
            (fields, format!("[event {event}]"))
        }
        (None, Some(kind)) => (vec![pair("MsgType", kind)], format!("[{kind}]")),
        (None, None) => {
            let text = args.text.as_deref().unwrap_or_default();
            (vec![pair("MsgType", "text"), pair("Content", text)], text.to_owned())
        }
    };
    fields.extend(args.fields.iter().cloned());
    if args.event.is_none() && !fields.iter().any(|(name, _)| name == "MsgId") {
        fields.push(pair("MsgId", "24000000000000001"));
    }
    (fields, sent)
}
