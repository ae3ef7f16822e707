//! `wxcgi init`: files to start with, for the paths at hand.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Failure, print, print_line};
use crate::chance::random;
use crate::config::SAMPLE;
use crate::config::places::CONFIG_VARIABLE;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The snippets speak of this program, of your config, and of the URL path and socket given here.
Examples:
  wxcgi init config --write                 writes ./wxcgi.toml with a token of its own
  wxcgi init nginx --url-path /wechat
  wxcgi init apache --kind proxy-fcgi --write /etc/apache2/conf-available/wxcgi.conf"
)]
pub(super) struct Args {
    /// What to print
    what: What,
    /// Which variant: for apache scriptalias, proxy-fcgi or fcgid; for nginx unix, tcp, keepalive or fcgiwrap; for
    /// systemd service or socket
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Write it to a file that is not there yet, instead of printing it [a config: wxcgi.toml]
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    // clippy would have an enum; clap has this: not given, given alone, given with a file.
    #[allow(clippy::option_option)]
    write: Option<Option<PathBuf>>,
    /// The program [default: this one]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// The config that the server shall read [default: $WXCGI_CONFIG, else /etc/wxcgi/wxcgi.toml]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The FastCGI socket
    #[arg(long, value_name = "FILE", default_value = SOCKET)]
    socket: PathBuf,
    /// The path of the URL that WeChat calls
    #[arg(long, value_name = "PATH", default_value = URL_PATH)]
    url_path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// A config with a few rules
    Config,
    /// A piece of Apache's configuration
    Apache,
    /// A piece of nginx's configuration
    Nginx,
    /// Units for systemd
    Systemd,
    /// A .htaccess for a shared host
    Htaccess,
}

// The spellings that stand in the snippets.
const PROGRAM: &str = "/usr/local/bin/wxcgi";
const CONFIG: &str = "/etc/wxcgi/wxcgi.toml";
const SOCKET: &str = "/run/wxcgi/wxcgi.sock";
const URL_PATH: &str = "/weixin";

/// The snippets: what, kind (the first of each is the default), text.
const SNIPPETS: [(What, &str, &str); 10] = [
    (What::Apache, "scriptalias", include_str!("../../apache/scriptalias.conf")),
    (What::Apache, "proxy-fcgi", include_str!("../../apache/proxy-fcgi.conf")),
    (What::Apache, "fcgid", include_str!("../../apache/fcgid.conf")),
    (What::Nginx, "unix", include_str!("../../nginx/fastcgi-unix.conf")),
    (What::Nginx, "tcp", include_str!("../../nginx/fastcgi-tcp.conf")),
    (What::Nginx, "keepalive", include_str!("../../nginx/fastcgi-keepalive.conf")),
    (What::Nginx, "fcgiwrap", include_str!("../../nginx/fcgiwrap.conf")),
    (What::Systemd, "service", include_str!("../../systemd/wxcgi.service")),
    (What::Systemd, "socket", include_str!("../../systemd/wxcgi.socket")),
    (What::Htaccess, "htaccess", include_str!("../../apache/htaccess")),
];

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let text = if args.what == What::Config { config_with_token()? } else { snippet(args)? };
    let Some(write) = &args.write else { return print(text.as_bytes()) };
    let default = match args.what {
        What::Config => Some(PathBuf::from("wxcgi.toml")),
        What::Htaccess => Some(PathBuf::from(".htaccess")),
        _ => None,
    };
    let Some(path) = write.clone().or(default) else {
        return Err(Failure::Usage("say which file: --write FILE".to_owned()));
    };
    // A config holds secrets.
    let mode = if args.what == What::Config { 0o600 } else { 0o644 };
    write_file(&path, &text, mode, false)?;
    print_line(&format!("wxcgi: wrote {}", path.display()))
}

/// The sample with a token that nobody else has.
fn config_with_token() -> Result<String, Failure> {
    Ok(SAMPLE.replacen("mytoken", &new_token()?, 1))
}

/// A token that nobody else has.
pub(super) fn new_token() -> Result<String, Failure> {
    let bytes: [u8; 16] = random().map_err(|error| Failure::Failed(error.to_string()))?;
    Ok(hex::encode(bytes))
}

fn snippet(args: &Args) -> Result<String, Failure> {
    let mut of_kind = SNIPPETS.iter().filter(|(what, ..)| *what == args.what);
    let text = match args.kind.as_deref() {
        None if args.what == What::Systemd => {
            of_kind.map(|(_, _, text)| *text).collect::<Vec<_>>().join("\n")
        }
        None => of_kind.next().map(|(_, _, text)| (*text).to_owned()).unwrap_or_default(),
        Some(kind) => {
            let known = of_kind.clone().map(|(_, name, _)| *name).collect::<Vec<_>>().join(", ");
            let found = of_kind.find(|(_, name, _)| *name == kind).map(|(_, _, text)| (*text).to_owned());
            found.ok_or_else(|| Failure::Usage(format!("no kind `{kind}` here; there are: {known}")))?
        }
    };
    let shown = |path: Option<&Path>, default: &str| {
        path.map_or_else(|| default.to_owned(), |path| path.display().to_string())
    };
    let program = args.program.clone().or_else(|| std::env::current_exe().ok());
    // Not `./wxcgi.toml`, which is where one tries things: what a server reads lies in a place of its own.
    let config = args.config.clone().or_else(|| std::env::var_os(CONFIG_VARIABLE).map(PathBuf::from));
    let config = config.and_then(|path| std::path::absolute(path).ok());
    if !is_url_path(&args.url_path) {
        return Err(Failure::Usage(format!("`{}` is no path; write one like /weixin", args.url_path)));
    }
    for path in [&program, &config, &Some(args.socket.clone())].into_iter().flatten() {
        if path
            .to_string_lossy()
            .contains(|letter: char| letter.is_whitespace() || "\"';{}$".contains(letter))
        {
            return Err(Failure::Usage(format!(
                "`{}` cannot stand in a snippet; choose another place",
                path.display()
            )));
        }
    }
    Ok(replace_all(
        &text,
        &[
            (PROGRAM, &shown(program.as_deref(), PROGRAM)),
            (CONFIG, &shown(config.as_deref(), CONFIG)),
            (SOCKET, &shown(Some(&args.socket), SOCKET)),
            (URL_PATH, &args.url_path),
        ],
    ))
}

/// A path that stands in the snippets as it is, also where they have a regular expression.
fn is_url_path(path: &str) -> bool {
    path.starts_with('/')
        && path.chars().all(|letter| letter.is_ascii_alphanumeric() || "/_-.~".contains(letter))
}

/// Replaces all words in one go: what was put in is not searched again, as a config below `/home/me/weixin/`.
fn replace_all(text: &str, words: &[(&str, &str)]) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    let first = |rest: &str| {
        let places = words.iter().filter_map(|(from, to)| Some((rest.find(from)?, from.len(), *to)));
        places.min_by_key(|(at, ..)| *at)
    };
    while let Some((at, length, to)) = first(rest) {
        replaced.push_str(&rest[..at]);
        replaced.push_str(to);
        rest = &rest[at + length..];
    }
    replaced.push_str(rest);
    replaced
}

/// Nothing that lies there is overwritten, but by `force`.
pub(super) fn write_file(path: &Path, text: &str, mode: u32, force: bool) -> Result<(), Failure> {
    OpenOptions::new()
        .write(true)
        .create(force)
        .truncate(force)
        .create_new(!force)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| Failure::Failed(format!("cannot write `{}`: {error}", path.display())))
}
