//! What a user sends, as commands are told it.

use std::time::{SystemTime, UNIX_EPOCH};

use super::push::Push;

/// A text, an event or another message, and whose it is.
#[derive(Debug, clap::Args)]
pub(super) struct Selectors {
    /// The text that the user sends
    #[arg(allow_hyphen_values = true, required_unless_present_any = ["event", "kind"])]
    text: Option<String>,
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
    /// The user
    #[arg(long, default_value = "oSimulatedUser000000000000001")]
    openid: String,
}

impl Selectors {
    /// A text of the same user.
    pub(super) fn push_of_text(&self, text: &str) -> Push {
        let fields = [("MsgType", "text"), ("Content", text), ("MsgId", &new_msg_id())];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Push { openid: self.openid.clone(), fields: fields.into() }
    }

    /// The message, and what to call it on the page.
    pub(super) fn push(&self) -> (Push, String) {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let (mut fields, sent) = match (&self.event, &self.kind) {
            (Some(event), _) => {
                let mut fields = vec![pair("MsgType", "event"), pair("Event", event)];
                fields.extend(self.key.as_ref().map(|key| pair("EventKey", key)));
                (fields, format!("[event {event}]"))
            }
            (None, Some(kind)) => (vec![pair("MsgType", kind)], format!("[{kind}]")),
            (None, None) => {
                let text = self.text.as_deref().unwrap_or_default();
                (vec![pair("MsgType", "text"), pair("Content", text)], text.to_owned())
            }
        };
        fields.extend(self.fields.iter().cloned());
        if self.event.is_none() && !fields.iter().any(|(name, _)| name == "MsgId") {
            fields.push(pair("MsgId", &new_msg_id()));
        }
        (Push { openid: self.openid.clone(), fields }, sent)
    }
}

/// The id of a message that was not sent before: a second one with its id would be answered as a repeat of the first.
fn new_msg_id() -> String {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (24_000_000_000_000_000 + since_1970.as_micros()).to_string()
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
