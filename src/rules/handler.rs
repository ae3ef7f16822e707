//! What a rule may have done elsewhere before it answers: by a program, a server, a chatbot. Here it is only described;
//! the handlers carry it out.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::template::Template;
use crate::secret::SecretSource;

/// A handler of a rule, and how its answer reaches the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handling {
    /// Who does it.
    pub handler: Handler,
    /// It is given up after so long.
    pub timeout: Duration,
    /// How the answer reaches the user if it is not there in time.
    pub late: Late,
}

/// Who works an answer out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Handler {
    /// A program.
    Exec(Exec),
    /// A chatbot: `[chat.NAME]` of the config says which.
    Chat {
        /// The name.
        profile: String,
    },
    /// A server that is asked in our words.
    Http(Http),
    /// Other WeChat servers, of which the first answers that can.
    Relay(Vec<Backend>),
}

/// `exec`: a program that is run for one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// The program and its arguments; no shell is involved.
    pub command: Vec<String>,
    /// What it writes to stdout.
    pub output: Output,
    /// Where it runs; the folder of the config if it does not say.
    pub folder: Option<PathBuf>,
    /// Variables of our environment that it gets.
    pub env: Vec<String>,
    /// Variables that it gets beside those.
    pub set: Vec<(String, SecretSource)>,
    /// It may write so much, bytes.
    pub max_output: usize,
    /// So many run at once, on all hosts of the account.
    pub concurrency: Option<u32>,
}

impl Exec {
    /// What a program may write that is not told otherwise, bytes.
    pub const MAX_OUTPUT: usize = 1 << 20;
}

impl Default for Exec {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            output: Output::Text,
            folder: None,
            env: Vec::new(),
            set: Vec::new(),
            max_output: Self::MAX_OUTPUT,
            concurrency: None,
        }
    }
}

/// What a program writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Output {
    /// The text of a reply.
    #[default]
    Text,
    /// Replies of all kinds, and changes of the session.
    Json,
}

impl Output {
    /// As the config calls it.
    ///
    /// # Errors
    ///
    /// In words for the config's author, if there is no such output.
    pub fn parse(name: &str) -> Result<Self, String> {
        match name {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{name}` is no output; there are text, json")),
        }
    }
}

/// `http`: a server that gets the message as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Http {
    /// Where it is.
    pub url: String,
    /// Proves to the server that we ask.
    pub secret: Option<SecretSource>,
    /// Headers that it gets beside ours.
    pub headers: Vec<(String, SecretSource)>,
    /// It may answer so much, bytes.
    pub max_output: usize,
    /// Whether its answers serve again.
    pub cache: Option<Cache>,
}

/// Answers that serve again for what is alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// How long.
    pub life: Duration,
    /// What is alike; without it: the same words, or menu key, for the same rule.
    pub key: Option<Template>,
}

/// `relay`: another WeChat server, which gets the message as if WeChat had sent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Where it is.
    pub url: String,
    /// What it knows WeChat by.
    pub token: SecretSource,
    /// If it is to get its messages encrypted.
    pub secure: Option<Secure>,
    /// It has answered by then, or the next one is asked.
    pub timeout: Duration,
}

/// What a back-end in secure mode (安全模式) shares with WeChat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secure {
    /// Its EncodingAESKey.
    pub encoding_aes_key: SecretSource,
    /// The AppID that it believes to be.
    pub app_id: String,
}

/// `when.exec`, `when.http`: who has to agree before a rule meets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// Who is asked.
    pub by: GuardBy,
    /// What is not there by then is a no.
    pub timeout: Duration,
}

/// Who is asked whether a rule meets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuardBy {
    /// A program; 0 is its yes.
    Exec(Exec),
    /// A server; a status of 2xx is its yes.
    Http(Http),
}

/// `late`: how an answer reaches the user that comes after WeChat has hung up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Late {
    /// As the account may: pushed, else held while the budget lasts, else fetched.
    #[default]
    Auto,
    /// By a customer-service message (客服消息).
    Push,
    /// In answer to one of WeChat's further attempts, which are left without an answer until then.
    Hold,
    /// When the user asks for it.
    Fetch,
}

impl Late {
    /// As the config calls it.
    ///
    /// # Errors
    ///
    /// In words for the config's author, if there is no such way.
    pub fn parse(name: &str) -> Result<Self, String> {
        match name {
            "auto" => Ok(Self::Auto),
            "push" => Ok(Self::Push),
            "hold" => Ok(Self::Hold),
            "fetch" => Ok(Self::Fetch),
            _ => Err(format!("`{name}` is no way for a late answer; there are auto, push, hold, fetch")),
        }
    }
}
