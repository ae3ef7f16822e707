//! A stand-in for `api.weixin.qq.com`, as strict as the original: it looks at every access_token, answers errors with
//! HTTP 200 and a rid, counts what it was asked, and can be as slow, busy and broken as a net can be.
//!
//! What it knows of each endpoint beyond the access_token and the quotas stands in [`endpoints`] and [`listed`], which
//! follows the program's own table; [`strict`] does not. Clients that others wrote run against it too (`tests/api_peers.rs`).

mod endpoints;
mod form;
mod http;
mod listed;
mod menus;
mod quotas;
mod strict;
mod tokens;

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::processes::PATIENCE;
pub(crate) use endpoints::MEDIA;
use http::Ending;
pub(crate) use listed::{FOLLOWERS, ITEMS};
use tokens::{Refusal, Tokens};

/// The account that it knows.
pub(crate) const APP_ID: &str = "wx0123456789abcdef";
/// Its AppSecret.
pub(crate) const APP_SECRET: &str = "5ecre7of7heaccoun70123456789abcd";

/// A running stand-in; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct FakeWechat {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    tokens: Tokens,
    menus: menus::Menus,
    quotas: quotas::Quotas,
    /// `"errcode": "0"`, as WeChat does it at times.
    errcodes_as_texts: bool,
    seen: Vec<Seen>,
    /// Texts of customer-service messages, and to whom.
    /// Of each user: thousands may wait for theirs at once.
    texts: HashMap<String, Vec<(Instant, String)>>,
    troubles: VecDeque<(String, Trouble)>,
    /// Answers to this path wait.
    held: Option<String>,
    shut_out: bool,
    ended: bool,
}

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What gateways show to people.
const PAGE: &[u8] = b"<html><body><h1>Sorry</h1></body></html>";

/// What the stand-in does instead of an answer.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// This `errcode`, with this `errmsg`.
    Errcode(i64, &'static str),
    /// This HTTP status with a page for people, as gateways have.
    Html(u16),
    /// HTTP 302 to this address.
    Redirect(String),
    /// The connection ends in the middle of the answer.
    Cut,
    /// The answer without its end, on a connection that stays.
    Stall,
    /// Nothing, until the stand-in ends.
    Hang,
    /// This body.
    Body(Vec<u8>),
    /// The answer, a byte at a time, with so long a pause before each.
    Drip(Duration),
}

/// An answer as it leaves.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) content_type: String,
    pub(crate) disposition: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    /// A parameter of the query, decoded.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// A header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `47001` as WeChat if it is none.
    pub(crate) fn json(&self) -> Result<Value, Refusal> {
        serde_json::from_slice(&self.body).map_err(|_| (47001, "data format error"))
    }
}

impl Reply {
    pub(crate) fn json(value: &Value) -> Self {
        // As often, the type does not tell what it is.
        let content_type = "text/plain".to_owned();
        Self { content_type, disposition: None, body: value.to_string().into_bytes() }
    }

    fn with_errcode_as_text(self) -> Self {
        match serde_json::from_slice::<Value>(&self.body) {
            Ok(mut value) if value["errcode"].is_i64() => {
                value["errcode"] = json!(value["errcode"].to_string());
                Self { body: value.to_string().into_bytes(), ..self }
            }
            _ => self,
        }
    }
}

impl FakeWechat {
    /// Starts it at a port of its own.
    pub(crate) fn start() -> Self {
        let (tokens, seen, troubles) = (Tokens::new(), Vec::new(), VecDeque::new());
        let (menus, quotas) = (menus::Menus::default(), quotas::Quotas::default());
        let errcodes_as_texts = false;
        let state = State {
            tokens,
            menus,
            quotas,
            errcodes_as_texts,
            seen,
            texts: HashMap::new(),
            troubles,
            held: None,
            shut_out: false,
            ended: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let inside = Arc::clone(&shared);
        let port = http::listen(move |seen| inside.serve(seen));
        Self { port, shared }
    }

    /// For `[api] base_url`.
    pub(crate) fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The lines of a config that lead here; each further line belongs to `[api]`.
    pub(crate) fn config(&self, more: &str) -> String {
        format!(
            "[account]\ntoken = \"mytoken\"\napp_id = \"{APP_ID}\"\napp_secret = \"{APP_SECRET}\"\n\
             [api]\nbase_url = \"{}\"\n{more}\n",
            self.base_url()
        )
    }

    /// How often `path` was called.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.shared.state().count(path)
    }

    /// How often anything was called.
    pub(crate) fn calls(&self) -> usize {
        self.shared.state().seen.len()
    }

    /// How often an access_token was asked for.
    pub(crate) fn fetches(&self) -> usize {
        self.count("/cgi-bin/stable_token") + self.count("/cgi-bin/token")
    }

    /// The latest call of `path`.
    pub(crate) fn last(&self, path: &str) -> Seen {
        let state = self.shared.state();
        state.seen.iter().rev().find(|seen| seen.path == path).expect("a call").clone()
    }

    /// The texts of all customer-service messages to a user that it has taken, in their order.
    pub(crate) fn texts_to(&self, user: &str) -> Vec<String> {
        self.timed_texts_to(user).into_iter().map(|(_, text)| text).collect()
    }

    /// The same, and when each of them was taken.
    pub(crate) fn timed_texts_to(&self, user: &str) -> Vec<(Instant, String)> {
        self.shared.state().texts.get(user).cloned().unwrap_or_default()
    }

    /// All access_tokens that it has handed out, of any kind.
    pub(crate) fn access_tokens(&self) -> Vec<String> {
        self.shared.state().tokens.values()
    }

    /// The next calls of `path` end so, one each, in this order.
    pub(crate) fn troubles(&self, path: &str, troubles: impl IntoIterator<Item = Trouble>) {
        let troubles = troubles.into_iter().map(|trouble| (path.to_owned(), trouble));
        self.shared.state().troubles.extend(troubles);
    }

    /// What was to go wrong and has not, does not.
    pub(crate) fn forget_troubles(&self) {
        self.shared.state().troubles.clear();
    }

    /// All access_tokens become invalid, as when another program has fetched one.
    pub(crate) fn void_access_tokens(&self) {
        self.shared.state().tokens.void_all();
    }

    /// `stable_token` goes on handing out what no other call takes any more.
    pub(crate) fn distrust_its_own_access_tokens(&self) {
        self.shared.state().tokens.distrusts_stable = true;
    }

    /// Access_tokens live for so long from now on.
    pub(crate) fn hand_out_for(&self, life: Duration) {
        self.shared.state().tokens.live_for(life);
    }

    /// Its clock is put forward.
    pub(crate) fn put_forward(&self, time: Duration) {
        self.shared.state().tokens.put_forward(time);
    }

    /// Whether the caller's address is missing in the whitelist.
    pub(crate) fn shut_out(&self, shut_out: bool) {
        self.shared.state().shut_out = shut_out;
    }

    /// `path` may be called so often a day; 45009 from then on.
    pub(crate) fn allow_a_day(&self, path: &str, calls: usize) {
        self.shared.state().quotas.allow_a_day(path, calls);
    }

    /// `path` may be called so often a minute; 45011 from then on.
    pub(crate) fn allow_a_minute(&self, path: &str, calls: usize) {
        self.shared.state().quotas.allow_a_minute(path, calls);
    }

    /// `path` has been called so often today, by whomever.
    pub(crate) fn use_up(&self, path: &str, calls: usize) {
        self.shared.state().quotas.use_up(path, calls);
    }

    /// Errcodes are texts from now on.
    pub(crate) fn write_errcodes_as_texts(&self) {
        self.shared.state().errcodes_as_texts = true;
    }

    /// A menu that was made in the console: the buttons as `get_current_selfmenu_info` shows them.
    pub(crate) fn has_console_menu(&self, buttons: Value) {
        self.shared.state().menus.put_into_console(buttons);
    }

    /// Calls of `path` get no answer before [`FakeWechat::release`].
    pub(crate) fn hold(&self, path: &str) {
        self.shared.state().held = Some(path.to_owned());
    }

    /// Gives the answers that were held.
    pub(crate) fn release(&self) {
        self.shared.state().held = None;
        self.shared.changed.notify_all();
    }

    /// Waits until `path` has been called so often.
    #[track_caller]
    pub(crate) fn was_called(&self, path: &str, times: usize) {
        let state = self.shared.state();
        let waited =
            self.shared.changed.wait_timeout_while(state, PATIENCE, |state| state.count(path) < times);
        let (state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "`{path}` was called {} times, not {times}", state.count(path));
    }
}

impl Drop for FakeWechat {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.changed.notify_all();
    }
}

impl State {
    fn count(&self, path: &str) -> usize {
        self.seen.iter().filter(|seen| seen.path == path).count()
    }

    fn take_trouble(&mut self, path: &str) -> Option<Trouble> {
        let place = self.troubles.iter().position(|(troubled, _)| troubled == path)?;
        self.troubles.remove(place).map(|(_, trouble)| trouble)
    }

    /// The answer of an honest API.
    fn answer(&mut self, seen: &Seen) -> Reply {
        let answered = match seen.path.as_str() {
            "/cgi-bin/stable_token" => self.stable_token(seen).map(|json| Reply::json(&json)),
            "/cgi-bin/token" => self.classic_token(seen).map(|json| Reply::json(&json)),
            path if path.starts_with("/sns/") => endpoints::answer(seen),
            "/cgi-bin/clear_quota/v2" => self.tool(seen),
            _ => self.tokens.check(seen.param("access_token")).and_then(|()| self.call(seen)),
        };
        let reply = answered.unwrap_or_else(|refusal| self.refuse(refusal));
        if self.errcodes_as_texts { reply.with_errcode_as_text() } else { reply }
    }

    /// The answer to a call with a good access_token.
    fn call(&mut self, seen: &Seen) -> Result<Reply, Refusal> {
        if quotas::is_tool(&seen.path) {
            return self.tool(seen);
        }
        self.quotas.count(&seen.path, self.tokens.now())?;
        strict::look_at(seen)?;
        let answered = match self.menus.answer(seen) {
            Some(answered) => answered.map(|json| Reply::json(&json)),
            None => endpoints::answer(seen),
        }?;
        if seen.path == "/cgi-bin/message/custom/send" {
            let message = seen.json()?;
            let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
            let parts = text(&message["touser"]).zip(text(&message["text"]["content"]));
            if let Some((user, content)) = parts {
                self.texts.entry(user).or_default().push((Instant::now(), content));
            }
        }
        Ok(answered)
    }

    /// What the table knows of a tool for quotas, and what it does.
    fn tool(&mut self, seen: &Seen) -> Result<Reply, Refusal> {
        endpoints::answer(seen)?;
        self.quotas.answer(seen).map(|json| Reply::json(&json))
    }

    fn refuse(&self, (errcode, errmsg): Refusal) -> Reply {
        let errmsg = match errcode {
            40164 => "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist",
            _ => errmsg,
        };
        let rid = format!("61725984-{:08x}-040f19c4", self.seen.len());
        Reply::json(&json!({"errcode": errcode, "errmsg": format!("{errmsg} rid: {rid}")}))
    }

    fn stable_token(&mut self, seen: &Seen) -> Result<Value, Refusal> {
        if seen.method != "POST" {
            return Err((43002, "require POST method"));
        }
        let body = seen.json()?;
        let field = |name: &str| body.get(name).and_then(Value::as_str);
        self.check_account(field("grant_type"), field("appid"), field("secret"))?;
        let force = body.get("force_refresh").and_then(Value::as_bool).unwrap_or(false);
        self.tokens.stable(force).map(handed_out)
    }

    fn classic_token(&mut self, seen: &Seen) -> Result<Value, Refusal> {
        self.check_account(seen.param("grant_type"), seen.param("appid"), seen.param("secret"))?;
        self.tokens.classic().map(handed_out)
    }

    fn check_account(
        &self,
        grant_type: Option<&str>,
        app_id: Option<&str>,
        secret: Option<&str>,
    ) -> Result<(), Refusal> {
        match (grant_type, app_id, secret) {
            (Some("client_credential"), Some(APP_ID), Some(APP_SECRET)) if self.shut_out => Err((40164, "")),
            (Some("client_credential"), Some(APP_ID), Some(APP_SECRET)) => Ok(()),
            (Some("client_credential"), Some(APP_ID), Some(_)) => Err((40125, "invalid appsecret")),
            (Some("client_credential"), Some(APP_ID), None) => Err((41004, "appsecret missing")),
            (Some("client_credential"), Some(_), _) => Err((40013, "invalid appid")),
            (Some("client_credential"), None, _) => Err((41002, "appid missing")),
            _ => Err((40002, "invalid grant_type")),
        }
    }
}

fn handed_out((access_token, expires_in): (String, u64)) -> Value {
    json!({"access_token": access_token, "expires_in": expires_in})
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What becomes of a request; `None` if the stand-in has ended.
    fn serve(&self, seen: &Seen) -> Option<Ending> {
        let mut state = self.state();
        state.seen.push(seen.clone());
        self.changed.notify_all();
        let trouble = state.take_trouble(&seen.path);
        let waits = |state: &mut State| {
            let hangs = matches!(trouble, Some(Trouble::Hang));
            !state.ended && (hangs || state.held.as_deref() == Some(&seen.path))
        };
        state = self.changed.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner);
        if state.ended {
            return None;
        }
        let page =
            |status: &str, location| http::answer(status, &[("Content-Type", "text/html"), location], PAGE);
        if let Some(Trouble::Drip(pause)) = trouble {
            return Some(Ending::Drip(packed(seen, &state.answer(seen)), pause));
        }
        Some(Ending::Answer(match trouble {
            None if seen.method == "CONNECT" => b"HTTP/1.1 200 Connection established\r\n\r\n".to_vec(),
            None | Some(Trouble::Hang | Trouble::Drip(_)) => packed(seen, &state.answer(seen)),
            Some(Trouble::Errcode(errcode, errmsg)) => packed(seen, &state.refuse((errcode, errmsg))),
            Some(Trouble::Body(body)) => packed(seen, &Reply { body, ..Reply::json(&Value::Null) }),
            Some(Trouble::Html(status)) => page(&format!("{status} Sorry"), ("Via", "a gateway")),
            Some(Trouble::Redirect(to)) => page("302 Found", ("Location", &to)),
            Some(trouble @ (Trouble::Cut | Trouble::Stall)) => {
                let mut part = packed(seen, &state.answer(seen));
                part.truncate(part.len() - 9);
                match trouble {
                    Trouble::Cut => return Some(Ending::BreakOff(part)),
                    _ => part,
                }
            }
        }))
    }
}

/// An answer, packed if the caller can unpack it.
fn packed(seen: &Seen, reply: &Reply) -> Vec<u8> {
    let packs = seen.header("accept-encoding").is_some_and(|accepted| accepted.contains("gzip"));
    let mut headers = vec![("Content-Type", reply.content_type.as_str())];
    headers.extend(reply.disposition.as_deref().map(|disposition| ("Content-Disposition", disposition)));
    if !packs {
        return http::answer("200 OK", &headers, &reply.body);
    }
    headers.push(("Content-Encoding", "gzip"));
    http::answer("200 OK", &headers, &http::gzip(&reply.body))
}
