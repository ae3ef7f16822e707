//! `wxcgi simulate`: be WeChat, without a web server. The request goes through the real CGI door, in this process.
//! With `--retries` also as often as WeChat asks, and to a web server.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use super::message::Selectors;
use super::push::WeChat;
use super::retries::{InProcess, Patience, Server, WAITS};
use super::{ConfigArg, Failure, print, print_line};
use crate::account::{Account, Surroundings, worker_log};
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
  wxcgi simulate --mode secure --raw 天气
  wxcgi simulate --retries --url https://wx.example.com/weixin 问？")]
pub(super) struct Args {
    #[command(flatten)]
    message: Selectors,
    #[command(flatten)]
    config: ConfigArg,
    /// How it is sent [default: the weakest mode that the config takes]
    #[arg(long, value_enum)]
    mode: Option<ModeArg>,
    /// Print the bytes that the web server would get, and nothing else
    #[arg(long)]
    raw: bool,
    /// Wait 5 s, hang up and ask again, three times in all, as WeChat does
    #[arg(long, conflicts_with = "raw")]
    retries: bool,
    /// Send it to a web server
    #[arg(long, requires = "retries", value_name = "URL")]
    url: Option<String>,
    /// Print JSON
    #[arg(long, requires = "retries")]
    json: bool,
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

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (config, path) = config(args)?;
    let is_sample = path.is_none();
    let state = state_folder();
    let surroundings = Surroundings { config: path.unwrap_or_default(), state, service: Service::OneRequest };
    // Causes of a refusal go to the log only; here a person wants to see them.
    crate::logging::start(log::LevelFilter::Warn, None);
    let (push, sent) = args.message.push();
    if args.retries {
        let patience =
            Patience { push: &push, sent: &sent, mode: args.mode.map(Mode::from), json: args.json };
        let settings = config.account.clone();
        if let Some(url) = &args.url {
            return patience.try_with(&settings, &Server::new(url));
        }
        return patience.try_with(&settings, &InProcess::new(Account::new(config, surroundings)));
    }
    let now = SystemTime::now();
    let wechat = WeChat::new(&push, args.mode.map(Mode::from), &config.account, now)?;
    let log = worker_log(&config, surroundings.state.as_deref()).map(|file| file.path);
    let before = log.as_deref().map_or(0, length);
    let account = Account::new(config, surroundings);
    let rule = wechat.ask(|message| account.met_rule(message, now));
    let rule = rule.map_or("no rule".to_owned(), |rule| rule.label());
    let started = Instant::now();
    let document = cgi::exchange(wechat.params(), &mut wechat.body.as_bytes(), &account);
    let time = started.elapsed();
    // So does what a handler, which works in a process of its own, has to complain of.
    log.iter().flat_map(|log| complaints(log, before)).for_each(|line| eprintln!("{line}"));
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
    if time >= WAITS {
        let _ =
            writeln!(page, "         WeChat would have hung up after 5 s and asked again; see `--retries`");
    }
    print(page.as_bytes())?;
    if received.complaints.is_empty() {
        return Ok(());
    }
    Err(Failure::Failed(format!("WeChat would not take this reply: {}", received.complaints.join("; "))))
}

fn length(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |file| file.len())
}

/// The warnings and errors of a log behind its first bytes.
fn complaints(log: &Path, before: u64) -> Vec<String> {
    let bytes = fs::read(log).unwrap_or_default();
    let new = usize::try_from(before).ok().and_then(|before| bytes.get(before..)).unwrap_or_default();
    let is_complaint = |line: &&str| line.contains(" [WARN] ") || line.contains(" [ERROR] ");
    String::from_utf8_lossy(new).lines().filter(is_complaint).map(str::to_owned).collect()
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
