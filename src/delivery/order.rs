//! One message and what its user is to get for it.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::clock::unix_seconds;
use crate::handlers::Said;
use crate::rules::Late;
use crate::wechat::event::Event;
use crate::wechat::message::{Content, Message};
use crate::wechat::reply::{Reply, check_xml};

/// "Received, nothing to say, do not retry": the body that is legal in every mode.
pub const SUCCESS: &str = "success";

/// What WeChat is answered, as it is kept for its repeats.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The rule, as the log calls it.
    pub met: String,
    /// What kind of reply it is, as the log calls it.
    pub kind: String,
    /// The reply, not sealed; none is `success`.
    pub xml: Option<String>,
}

impl Answer {
    /// The answer to a message of `user` to `account` at `time`, in Unix seconds. A reply that is not as it should be is
    /// left out: then `success` is the only legal body.
    #[must_use]
    pub fn new(met: &str, reply: Option<&Reply>, (user, account): (&str, &str), time: u64) -> Self {
        let kind = reply.map_or(SUCCESS, Reply::msg_type);
        let xml = reply.map(|reply| reply.to_xml(user, account, time));
        let xml = xml.filter(|xml| {
            let checked = check_xml(xml, user, kind);
            if let Err(error) = &checked {
                log::error!(target: "callback", "our own reply is not what it should be: {error}; answered {SUCCESS}");
            }
            checked.is_ok()
        });
        Self { met: met.to_owned(), kind: kind.to_owned(), xml }
    }
}

// What people are told stays out of logs.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({}, {})", self.met, self.kind)
    }
}

/// A message whose answer may be late, or more than one reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// By what WeChat's repeats of the message are known.
    pub message: String,
    /// The openid of who sent it.
    pub user: String,
    /// The account that it was sent to.
    pub account: String,
    /// The rule, as the log calls it.
    pub met: String,
    /// How the answer reaches the user if it is not there in time.
    pub late: Late,
    /// Whether a handler works it out, which may take long.
    pub is_handled: bool,
    /// What is said if there is none.
    pub on_error: Option<Reply>,
    /// What the guards of rules have said of its message.
    pub said: Vec<Said>,
    /// What the user did, as far as it lets us write to him later.
    pub trigger: Trigger,
    /// When he did it, in Unix seconds.
    pub time: u64,
}

impl Order {
    /// What its message is answered if nothing could be worked out.
    #[must_use]
    pub fn failure(&self) -> Answer {
        self.answer(self.on_error.as_ref())
    }

    /// Its message answered now with this reply.
    #[must_use]
    pub fn answer(&self, reply: Option<&Reply>) -> Answer {
        let now = unix_seconds(SystemTime::now());
        Answer::new(&self.met, reply, (&self.user, &self.account), now)
    }
}

/// What a user did that lets an account write to him (客服消息下发条数).
///
/// Source: <https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Service_Center_messages.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trigger {
    /// He sent a message.
    Message,
    /// He tapped a button of the menu, followed, or scanned a code.
    Tap,
    /// Something else: nobody may write to him for it.
    Nothing,
}

impl Trigger {
    /// What the message is.
    #[must_use]
    pub fn of(message: &Message<'_>) -> Self {
        match &message.content {
            Content::Event(
                Event::Click { .. }
                | Event::Subscribe { .. }
                | Event::Scan { .. }
                | Event::ScancodePush(_)
                | Event::ScancodeWaitmsg(_),
            ) => Self::Tap,
            Content::Event(_) | Content::Unknown { .. } => Self::Nothing,
            _ => Self::Message,
        }
    }

    /// How many customer-service messages it allows, and for how long.
    #[must_use]
    pub fn quota(self) -> (u64, Duration) {
        match self {
            Self::Message => (5, Duration::from_secs(48 * 60 * 60)),
            Self::Tap => (3, Duration::from_secs(60)),
            Self::Nothing => (0, Duration::ZERO),
        }
    }
}

/// By what repeats of a message are known.
#[must_use]
pub fn key_of(message: &Message<'_>) -> String {
    let (from, time) = (message.from_user, message.create_time);
    match (message.msg_id, &message.content) {
        (Some(id), _) => format!("{id} {from} {time}"),
        (None, Content::Event(event)) => {
            let key = message.fields().child_text("EventKey").unwrap_or_default();
            format!("{from} {time} {} {key}", event.name())
        }
        (None, _) => format!("{from} {time}"),
    }
}
