//! What the answers of an account are worked out by: its store, WeChat's API, its handlers. Each is opened when it is
//! first needed.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};

use super::api::ApiParts;
use super::pool::Pool;
use super::watchman;
use super::work::Surroundings;
use crate::api::{Api, ApiError, Call};
use crate::delivery::{Office, Order};
use crate::handlers::Equipment;
use crate::store::Store;
use crate::wechat::reply::Reply;

/// Customer-service messages (客服消息).
///
/// Source: <https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Service_Center_messages.html>
const SEND: &str = "/cgi-bin/message/custom/send";
const TYPING: &str = "/cgi-bin/message/custom/typing";
/// So many errands are run at once: four of them may be rounds, the others are for attempts whose time is over.
const MAX_ERRANDS: usize = 20;
/// To push a piece: so long it is not fetched meanwhile, and a little longer.
const PUSHING: Duration = Duration::from_secs(60);
/// For the news that somebody is at it.
const TYPING_LIMIT: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Tools {
    parts: ApiParts,
    pub(super) surroundings: Surroundings,
    pub(super) equipment: Equipment,
    may_push: bool,
    jobs: Pool,
    errands: Pool,
    pub(super) store: OnceLock<Result<Arc<dyn Store>, String>>,
    api: OnceLock<Result<Api, String>>,
}

impl Tools {
    pub(super) fn new(
        parts: ApiParts,
        may_push: bool,
        equipment: Equipment,
        jobs: Pool,
        surroundings: Surroundings,
    ) -> Self {
        let (store, api) = (OnceLock::new(), OnceLock::new());
        let errands = Pool::new("errands", MAX_ERRANDS);
        Self { parts, surroundings, equipment, may_push, jobs, errands, store, api }
    }

    pub(super) fn api(&self) -> Result<&Api, String> {
        let open = || Ok(self.parts.api(&self.store()?));
        self.api.get_or_init(open).as_ref().map_err(Clone::clone)
    }
}

impl Office for Tools {
    fn store(&self) -> Result<Arc<dyn Store>, String> {
        let Surroundings { config, state, .. } = &self.surroundings;
        let open = || self.parts.open_store(config, state.as_deref()).map_err(|error| error.to_string());
        self.store.get_or_init(open).clone()
    }

    fn run(&self, job: Box<dyn FnOnce() + Send>) -> bool {
        self.jobs.run(job).is_ok()
    }

    fn run_errand(&self, errand: Box<dyn FnOnce() + Send>) {
        if let Err(errand) = self.errands.run(errand) {
            errand();
        }
    }

    fn may_push(&self) -> bool {
        self.may_push
    }

    fn push(&self, user: &str, reply: &Reply) -> Result<(), ApiError> {
        let api = self.api().map_err(|why| {
            ApiError::from(crate::store::StoreError { place: "of the account".to_owned(), cause: why })
        })?;
        let Some(message) = customer_message(user, reply) else {
            log::warn!(target: "delivery", "a reply of kind {} cannot be pushed; left out", reply.msg_type());
            return Ok(());
        };
        let call = Call::post(SEND, &message);
        api.call_within(&call, api.limit_of(&call).min(PUSHING)).map(drop)
    }

    fn show_typing(&self, user: &str) {
        let body = json!({"touser": user, "command": "Typing"});
        // Nobody is to wait for it, and nothing depends on it.
        if let Ok(api) = self.api()
            && let Err(error) = api.call_within(&Call::post(TYPING, &body), TYPING_LIMIT)
        {
            log::debug!(target: "delivery", "{error}");
        }
    }

    fn watch(&self, order: &Order, worker: &UnixStream) -> io::Result<()> {
        watchman::appoint(&self.surroundings, order, worker)
    }
}

/// A reply as a customer-service message; `None` for what only answers a message.
fn customer_message(user: &str, reply: &Reply) -> Option<Value> {
    let content = match reply {
        Reply::Text { content } => json!({"content": content}),
        Reply::Image { media_id } | Reply::Voice { media_id } => json!({"media_id": media_id}),
        Reply::Video { media_id, title, description } => {
            json!({"media_id": media_id, "thumb_media_id": media_id, "title": title, "description": description})
        }
        Reply::Music { title, description, music_url, hq_music_url, thumb_media_id } => json!({
            "title": title, "description": description, "musicurl": music_url,
            "hqmusicurl": hq_music_url, "thumb_media_id": thumb_media_id,
        }),
        // There is room for one.
        Reply::News { articles } => {
            let articles: Vec<_> = articles
                .iter()
                .take(1)
                .map(|article| {
                    json!({
                        "title": article.title, "description": article.description,
                        "url": article.url, "picurl": article.pic_url,
                    })
                })
                .collect();
            json!({ "articles": articles })
        }
        Reply::TransferCustomerService { .. } | Reply::TransferBizAiIvr => return None,
    };
    let kind = reply.msg_type();
    Some(json!({"touser": user, "msgtype": kind, kind: content}))
}
