//! `wxcgi sign`: a signed query string, and an encrypted body on demand.

use std::io::Read;
use std::path::PathBuf;
use std::time::SystemTime;

use super::{ConfigArg, Failure, print_line};
use crate::chance;
use crate::clock::unix_seconds;
use crate::config::{AccountSettings, Config};
use crate::wechat::crypto::seal_envelope;
use crate::wechat::signature::sign;
pub(super) use crate::wechat::web::percent_encode;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  curl \"https://example.com/weixin?$(wxcgi sign --echostr hello)\"
  curl --data-binary @message.xml \"https://example.com/weixin?$(wxcgi sign)\"
  wxcgi sign --seal message.xml --out sealed.xml
  query=$(wxcgi sign --echostr hello)
  GATEWAY_INTERFACE=CGI/1.1 REQUEST_METHOD=GET QUERY_STRING=\"$query\" wxcgi")]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Add an `echostr`, as when WeChat's console checks the URL
    #[arg(long, value_name = "TEXT")]
    echostr: Option<String>,
    /// Unix seconds [default: now]
    #[arg(long)]
    timestamp: Option<u64>,
    /// Any text [default: random digits]
    #[arg(long)]
    nonce: Option<String>,
    /// Encrypt this message as in secure mode (安全模式); `-` reads it from stdin
    #[arg(long, value_name = "FILE", requires = "out")]
    seal: Option<PathBuf>,
    /// Where the encrypted body goes
    #[arg(long, value_name = "FILE", requires = "seal")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (_, loaded) = args.config.load()?;
    let Config { account, .. } = loaded.config;
    let mut proof = Proof::new()?;
    if let Some(timestamp) = args.timestamp {
        proof.timestamp = timestamp.to_string();
    }
    if let Some(nonce) = &args.nonce {
        proof.nonce.clone_from(nonce);
    }
    let mut query = proof.query(account.token.expose());
    if let Some(echostr) = &args.echostr {
        query.push_str("&echostr=");
        query.push_str(&percent_encode(echostr));
    }
    if let (Some(input), Some(out)) = (&args.seal, &args.out) {
        let sealed = proof.seal(&account, &read(input)?)?;
        query.push_str(&sealed.query);
        std::fs::write(out, sealed.body)
            .map_err(|error| Failure::Failed(format!("cannot write `{}`: {error}", out.display())))?;
    }
    print_line(&query)
}

fn read(path: &PathBuf) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map_err(|error| Failure::Failed(format!("cannot read `{}`: {error}", path.display())))?;
    Ok(text)
}

/// The `timestamp` and `nonce` that a callback is signed over.
pub(super) struct Proof {
    pub(super) timestamp: String,
    pub(super) nonce: String,
}

/// The encrypted form of a message.
pub(super) struct Sealed {
    /// What follows in the query.
    pub(super) query: String,
    /// `Encrypt` as an element.
    pub(super) encrypt: String,
    /// A whole body in secure mode.
    pub(super) body: String,
}

impl Proof {
    /// A proof of now, with a nonce of chance.
    pub(super) fn new() -> Result<Self, Failure> {
        let now = unix_seconds(SystemTime::now());
        let nonce = u32::from_le_bytes(random()?);
        Ok(Self { timestamp: now.to_string(), nonce: nonce.to_string() })
    }

    /// `signature=…&timestamp=…&nonce=…`
    pub(super) fn query(&self, token: &str) -> String {
        let signature = sign([token, &self.timestamp, &self.nonce]);
        format!("signature={signature}&timestamp={}&nonce={}", self.timestamp, percent_encode(&self.nonce))
    }

    /// Encrypts `message` as WeChat does in secure mode.
    pub(super) fn seal(&self, account: &AccountSettings, message: &str) -> Result<Sealed, Failure> {
        let (Some(key), Some(app_id)) = (&account.encoding_aes_key, account.app_id.as_deref()) else {
            return Err(Failure::Usage(
                "to encrypt, the config needs `account.encoding_aes_key` and `account.app_id`".to_owned(),
            ));
        };
        let encrypt = seal_envelope(message, key, app_id, random()?);
        let msg_signature = sign([account.token.expose(), &self.timestamp, &self.nonce, &encrypt]);
        let element = format!("<Encrypt><![CDATA[{encrypt}]]></Encrypt>");
        let to_user = account.original_id.as_deref().unwrap_or("gh_account");
        Ok(Sealed {
            query: format!("&encrypt_type=aes&msg_signature={msg_signature}"),
            body: format!("<xml><ToUserName><![CDATA[{to_user}]]></ToUserName>{element}</xml>"),
            encrypt: element,
        })
    }
}

fn random<const N: usize>() -> Result<[u8; N], Failure> {
    chance::random().map_err(|error| Failure::Failed(error.to_string()))
}
