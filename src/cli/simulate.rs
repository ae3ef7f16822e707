//! `wxcgi simulate`: be WeChat, without a web server. The request goes through the real CGI door, in this process.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use super::sign::{Proof, Sealed};
use super::{ConfigArg, Failure, print, print_line};
use crate::account::{Account, Surroundings};
use crate::clock::unix_seconds;
use crate::config::load::{Service, Unusable};
use crate::config::places::state_folder;
use crate::config::{Config, SAMPLE, Thoroughness};
use crate::gateway::cgi;
use crate::http::Params;
use crate::secret::Secret;
use crate::wechat::crypto::{AesKey, open_envelope};
use crate::wechat::limits::MAX_TEXT_BYTES;
use crate::wechat::message::Message;
use crate::wechat::mode::{AcceptedMode, Mode};
use crate::wechat::signature::verify_msg_signature;
use crate::wechat::xml::{self, Element, push_cdata};

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
    let wechat = WeChat::new(args, &config)?;
    let rule = met_rule(&config, &wechat.message);
    let account = Account::new(config, surroundings);
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
    let _ = writeln!(page, "user     {}", wechat.sent);
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

/// The rule that the message meets, for the page; the door itself finds it again.
fn met_rule(config: &Config, message: &str) -> String {
    let label = || {
        let root = xml::parse(message.as_bytes()).ok()?;
        let message = Message::from_xml(&root).ok()?;
        Some(config.rules.find(&message)?.rule.label())
    };
    label().unwrap_or_else(|| "no rule".to_owned())
}

/// The other side: who sends the message and reads the reply.
struct WeChat {
    token: Secret,
    key: Option<(AesKey, String)>,
    openid: String,
    query: String,
    path: String,
    /// The message, never encrypted.
    message: String,
    /// What is sent.
    body: String,
    /// What was sent, for the page.
    sent: String,
    mode: Mode,
}

/// A reply as a person reads it.
struct Received {
    shown: String,
    kind: String,
    /// What WeChat would refuse.
    complaints: Vec<String>,
}

impl WeChat {
    fn new(args: &Args, config: &Config) -> Result<Self, Failure> {
        let account = &config.account;
        let mode = match (args.mode, account.mode) {
            (Some(ModeArg::Plaintext), _) | (None, AcceptedMode::Any | AcceptedMode::Plaintext) => {
                Mode::Plaintext
            }
            (Some(ModeArg::Compatible), _) | (None, AcceptedMode::Compatible) => Mode::Compatible,
            (Some(ModeArg::Secure), _) | (None, AcceptedMode::Secure) => Mode::Secure,
        };
        let proof = Proof::new()?;
        let to_user = account.original_id.as_deref().unwrap_or("gh_account");
        let (fields, sent) = fields(args);
        let open = open_message(to_user, &args.openid, &proof.timestamp, &fields);
        let message = format!("<xml>{open}</xml>");
        let mut query = proof.query(account.token.expose());
        let _ = write!(query, "&openid={}", super::sign::percent_encode(&args.openid));
        let body = if mode == Mode::Plaintext {
            message.clone()
        } else {
            let sealed = proof.seal(account, &message)?;
            query.push_str(&sealed.query);
            let Sealed { encrypt, body, .. } = sealed;
            if mode == Mode::Secure { body } else { format!("<xml>{open}{encrypt}</xml>") }
        };
        Ok(Self {
            token: account.token.clone(),
            key: account.encoding_aes_key.clone().zip(account.app_id.clone()),
            openid: args.openid.clone(),
            query,
            path: account.path.clone().filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned()),
            message,
            body,
            sent,
            mode,
        })
    }

    /// What a web server would pass on.
    fn params(&self) -> Params {
        let mut params = Params::new();
        for (name, value) in [
            ("GATEWAY_INTERFACE", "CGI/1.1"),
            ("REQUEST_METHOD", "POST"),
            ("QUERY_STRING", &self.query),
            ("SCRIPT_NAME", &self.path),
            ("CONTENT_TYPE", "text/xml"),
            ("CONTENT_LENGTH", &self.body.len().to_string()),
            ("REMOTE_ADDR", "127.0.0.1"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
        ] {
            params.push(name.as_bytes(), value.as_bytes());
        }
        params
    }

    /// Reads a CGI document as WeChat would.
    fn receive(&self, document: &[u8]) -> Result<Received, Failure> {
        let document = String::from_utf8_lossy(document);
        let (head, body) = document
            .split_once("\r\n\r\n")
            .ok_or_else(|| Failure::Failed("the answer is no CGI document".to_owned()))?;
        let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
        if !status.starts_with("200") {
            return Err(Failure::Failed(format!(
                "answered {status}; the user would see 「该公众号提供的服务出现故障」"
            )));
        }
        if matches!(body, "success" | "") {
            let shown = "(nothing; the user sees no answer)".to_owned();
            return Ok(Received { shown, kind: "`success`".to_owned(), complaints: Vec::new() });
        }
        let failed = |error: xml::XmlError| Failure::Failed(format!("the answer is no XML: {error}"));
        let outer = xml::parse(body.as_bytes()).map_err(failed)?;
        if self.mode == Mode::Plaintext || outer.child("Encrypt").is_none() {
            let mut received = self.judge(&outer);
            if self.mode == Mode::Secure {
                received.complaints.push("in secure mode it must be encrypted".to_owned());
            }
            return Ok(received);
        }
        let message = self.open(&outer)?;
        let inner = xml::parse(message.as_bytes()).map_err(failed)?;
        let mut received = self.judge(&inner);
        received.kind.push_str(", encrypted");
        Ok(received)
    }

    fn open(&self, outer: &Element<'_>) -> Result<String, Failure> {
        let text = |name| outer.child_text(name).unwrap_or_default();
        let (encrypt, signature) = (text("Encrypt"), text("MsgSignature"));
        verify_msg_signature(self.token.expose(), text("TimeStamp"), text("Nonce"), encrypt, signature)
            .map_err(|error| Failure::Failed(format!("the reply's MsgSignature: {error}")))?;
        let Some((key, app_id)) = &self.key else {
            return Err(Failure::Failed("the reply is encrypted, but there is no key".to_owned()));
        };
        open_envelope(encrypt, key, app_id)
            .map_err(|error| Failure::Failed(format!("the reply cannot be opened: {error}")))
    }

    /// The reply as a phone shows it, held against WeChat's rules.
    fn judge(&self, reply: &Element<'_>) -> Received {
        let text = |name| reply.child_text(name).unwrap_or_default();
        let mut complaints = Vec::new();
        if text("ToUserName") != self.openid {
            complaints.push("ToUserName is not the sender".to_owned());
        }
        let created: u64 = text("CreateTime").parse().unwrap_or(0);
        if unix_seconds(SystemTime::now()).abs_diff(created) > 60 {
            complaints.push("CreateTime is not now".to_owned());
        }
        let content = reply.child("Content").map(|content| content.text.as_ref()).unwrap_or_default();
        if content.len() > MAX_TEXT_BYTES {
            complaints.push(format!("the text has {} bytes, more than {MAX_TEXT_BYTES}", content.len()));
        }
        let kind = text("MsgType").to_owned();
        let shown = if kind == "text" { content.to_owned() } else { format!("[{kind}]{}", outline(reply)) };
        Received { shown, kind, complaints }
    }
}

/// The parts of a reply that is no text: one line each.
fn outline(reply: &Element<'_>) -> String {
    const KNOWN: [&str; 5] = ["ToUserName", "FromUserName", "CreateTime", "MsgType", "ArticleCount"];
    let mut lines = String::new();
    for child in reply.children.iter().filter(|child| !KNOWN.contains(&child.name)) {
        push_outline(&mut lines, child);
    }
    lines
}

fn push_outline(lines: &mut String, element: &Element<'_>) {
    if element.children.is_empty() {
        let _ = write!(lines, "\n{}: {}", element.name, element.trimmed());
    }
    for child in &element.children {
        push_outline(lines, child);
    }
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

fn open_message(to_user: &str, openid: &str, timestamp: &str, fields: &[(String, String)]) -> String {
    let mut open = String::new();
    let common = [("ToUserName", to_user), ("FromUserName", openid), ("CreateTime", timestamp)];
    let all = common.into_iter().chain(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    for (name, value) in all {
        let _ = write!(open, "<{name}>");
        push_cdata(&mut open, value);
        let _ = write!(open, "</{name}>");
    }
    open
}
