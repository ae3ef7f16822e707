//! One call of WeChat: verify, open, parse, answer, seal.
//!
//! The signature comes before everything else: nothing is parsed, answered or written for a request that cannot show
//! one. What follows is refused with a cause for the log and a body that tells the caller nothing.
//!
//! Source: <https://developers.weixin.qq.com/doc/offiaccount/en/Basic_Information/Access_Overview.html>

mod actions;
mod call;
mod envelope;
mod explain;
mod guarding;
mod means;
mod memory;
mod must_wait;
mod pending;
mod proof;
mod refusal;
mod terms;
mod words;

use std::sync::Arc;

pub use explain::{answering, explain, met_rule};
pub use means::Means;
pub use pending::Pending;
pub use terms::{Circumstances, Terms};
pub use words::{Incoming, incoming};

use actions::Actions;
use call::Call;
use envelope::{Seal, open};
use proof::{Query, check_path, verify};
use refusal::Refusal;

pub use crate::delivery::SUCCESS;
use crate::http::{Request, Response};
use crate::logging::address_shown;
use crate::wechat::xml::{self, Element};

/// Says to a person who opens the URL with a right signature that it works.
const ALIVE: &str =
    "wxcgi is alive at this URL and the signature is right. Enter the URL in WeChat's console.\n";

/// The answer to a call.
#[derive(Debug)]
pub enum Answered {
    /// It follows from the config and the call alone.
    Now(Response),
    /// Something has to be asked or uploaded for it.
    Later(Box<Pending>),
}

impl From<Response> for Answered {
    fn from(response: Response) -> Self {
        Self::Now(response)
    }
}

/// Answers one call of WeChat and writes its line to the log, as far as that takes no waiting.
#[must_use]
pub fn answer(terms: &Arc<Terms>, request: &Request, circumstances: Circumstances) -> Answered {
    match try_answer(terms, request, circumstances) {
        Ok(answered) => answered,
        Err(refusal) => {
            let response = refusal.response();
            let (from, status) = (address_shown(request.remote_addr()), response.status);
            let cure = refusal.cure().map(|cure| format!("; {cure}")).unwrap_or_default();
            log::warn!(target: "callback", kind = refusal.kind(); "{refusal} from {from}; answered {status}{cure}");
            response.into()
        }
    }
}

fn try_answer(
    terms: &Arc<Terms>,
    request: &Request,
    circumstances: Circumstances,
) -> Result<Answered, Refusal> {
    let is_post = match request.method() {
        Some(b"GET") => false,
        Some(b"POST") => true,
        Some(other) => return Err(Refusal::Method(String::from_utf8_lossy(other).into_owned())),
        None => return Err(Refusal::NoMethod),
    };
    check_path(terms, request)?;
    let query = Query::parse(request.query())?;
    let token = verify(terms, &query, circumstances.now)?;
    if !is_post {
        return Ok(echo(query).into());
    }
    let outer = xml::parse(&request.body)?;
    let call = Call::new(Actions::new(terms, request.received, circumstances), false);
    match open(terms, &query, &outer)? {
        None => reply(&call, &outer, &request.body, None),
        Some(opened) => {
            let nonce = query.nonce.as_deref().unwrap_or_default();
            let seal = Seal { token, key: opened.key, nonce };
            reply(&call, &xml::parse_text(&opened.message)?, opened.message.as_bytes(), Some(seal))
        }
    }
}

/// The answer to the message in `root`, which was read from `body`.
fn reply(
    call: &Call<'_>,
    root: &Element<'_>,
    body: &[u8],
    seal: Option<Seal<'_>>,
) -> Result<Answered, Refusal> {
    Ok(match call.reply_to(root, seal)? {
        Ok(response) => Answered::Now(response),
        Err(why) => Answered::Later(Box::new(Pending::new(call, why, body, seal))),
    })
}

/// The answer to the console's check of the URL: `echostr`, byte for byte, with nothing around it.
fn echo(query: Query<'_>) -> Response {
    let Some(echostr) = query.echostr.filter(|echostr| !echostr.is_empty()) else {
        log::info!(target: "callback", "the URL was opened without `echostr`; said that it is alive");
        return Response::text(200, ALIVE);
    };
    log::info!(target: "callback", "the URL was verified; echoed {} bytes", echostr.len());
    Response::text(200, echostr.into_owned()).with_header("X-Content-Type-Options", "nosniff")
}
