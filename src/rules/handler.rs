//! What a rule may have done elsewhere before it answers: by a program, a server, a chatbot. Here it is only described;
//! the handlers carry it out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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
}

/// `exec`: a program that is run for one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// The program and its arguments; no shell is involved.
    pub command: Vec<String>,
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
