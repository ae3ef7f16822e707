//! What an answer waits for that does not follow from the config and the message alone.

use crate::config::DeliverySettings;
use crate::delivery::{Order, Trigger, key_of};
use crate::rules::{Fold, Late};
use crate::wechat::message::{Content, Message};
use crate::wechat::reply::Reply;

/// What has to be asked or uploaded before more can be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MustWait {
    /// A file has to be uploaded.
    Files,
    /// It has to be looked up what is remembered of the user.
    Memory,
    /// It has to be looked up what waits for the user.
    Outbox,
    /// The answer takes more than one reply, or more time than WeChat gives.
    Delivery(Box<Order>),
}

/// What has to be delivered for a message that met this.
pub(super) fn order(message: &Message<'_>, met: &str, late: Option<Late>, on_error: Option<Reply>) -> Order {
    Order {
        message: key_of(message),
        user: message.from_user.to_owned(),
        account: message.to_user.to_owned(),
        met: met.to_owned(),
        late: late.unwrap_or_default(),
        is_handled: late.is_some(),
        on_error,
        said: Vec::new(),
        trigger: Trigger::of(message),
        time: message.create_time,
    }
}

/// Whether a user asks for what waits for him.
pub(super) fn asks_for_outbox(message: &Message<'_>, delivery: &DeliverySettings) -> bool {
    let Content::Text { content, .. } = &message.content else { return false };
    // What is much longer needs no second look.
    content.len() <= 4 * delivery.fetch_word.len() + 16
        && Fold::Script.whole(content) == Fold::Script.whole(&delivery.fetch_word)
}
