//! One call of WeChat: verify, open, parse, answer, seal.
//!
//! The signature comes before everything else: nothing is parsed, answered or written for a request that cannot show
//! one. What follows is refused with a cause for the log and a body that tells the caller nothing.
//!
//! Source: <https://developers.weixin.qq.com/doc/offiaccount/en/Basic_Information/Access_Overview.html>

mod memory;
mod pending;
mod proof;
mod refusal;
mod words;

use std::cell::{OnceCell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

pub use memory::Means;
use memory::{Kept, Memory, Remembered};
pub use pending::Pending;
use proof::{Query, check_path, required, verify};
use refusal::Refusal;
use words::outgoing;

pub use crate::delivery::SUCCESS;
pub use words::{Incoming, incoming};

use crate::clock::unix_seconds;
use crate::config::DeliverySettings;
use crate::delivery::{Answer, Order, Trigger, key_of};
use crate::handlers::{Guards, Handled, Said as GuardSaid, Task};
use crate::http::{Request, Response};
use crate::logging::{address_shown, openid_shown, shown};
use crate::rules::{
    Action, Blocked, Captures, Chooser, Circumstance, Fold, Handling, Late, Match, MediaLibrary, NoLibrary,
    Nobody, Outside, Past, Role, Rule, Rules, Scope, Session, Tables, Template, Tried,
};
use crate::secret::Secret;
use crate::wechat::crypto::{AesKey, open_envelope, seal_envelope};
use crate::wechat::envelope::envelope_xml;
use crate::wechat::limits::{MAX_TEXT_BYTES, can_be_answered};
use crate::wechat::message::{Content, Message};
use crate::wechat::mode::{AcceptedMode, Mode};
use crate::wechat::reply::Reply;
use crate::wechat::signature::verify_msg_signature;
use crate::wechat::xml::{self, Element};

/// What a call is checked against and answered from.
#[derive(Debug)]
pub struct Terms {
    /// The current token, then the previous one.
    pub tokens: Vec<Secret>,
    /// The current key, then the previous one; empty if nothing can be decrypted.
    pub keys: Vec<AesKey>,
    /// The AppID that an encrypted message must name.
    pub app_id: Option<String>,
    /// The receiver that a message must name, if given.
    pub original_id: Option<String>,
    /// The weakest mode that is taken.
    pub mode: AcceptedMode,
    /// The path of the callback without a slash at its end; `None` takes any.
    pub path: Option<String>,
    /// WeChat has its answer so long after a call was received.
    pub deadline: Duration,
    /// How far a timestamp may be from now; `None` takes any.
    pub clock_skew: Option<Duration>,
    /// What answers.
    pub rules: Rules,
    /// What replies look things up in.
    pub tables: Tables,
    /// How answers reach users that take more than one reply, or more time than WeChat gives; `None` where no rule has
    /// such.
    pub delivery: Option<DeliverySettings>,
    /// Whether the log names people in full.
    pub personal_data: bool,
}

/// Time and chance, passed in so that the same call gives the same answer twice.
#[derive(Clone, Copy)]
pub struct Circumstances {
    /// The time.
    pub now: SystemTime,
    /// Sixteen unpredictable bytes; asked for only where a reply is encrypted, or one of several.
    pub random: fn() -> Option<[u8; 16]>,
}

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
    let call = Call::new(terms, request.received, circumstances);
    match open(terms, &query, &outer)? {
        None => call.reply_to(&outer, &request.body, None),
        Some(opened) => {
            let nonce = query.nonce.as_deref().unwrap_or_default();
            let seal = Seal { token, key: opened.key, nonce };
            call.reply_to(&xml::parse_text(&opened.message)?, opened.message.as_bytes(), Some(seal))
        }
    }
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

/// An opened envelope, and the key that opened it.
struct Opened<'t> {
    message: String,
    key: &'t AesKey,
}

/// How a reply is sealed: as its call was.
#[derive(Clone, Copy)]
struct Seal<'t> {
    token: &'t Secret,
    key: &'t AesKey,
    nonce: &'t str,
}

/// Opens the envelope of a call; `None` if the fields lie open.
fn open<'t>(terms: &'t Terms, query: &Query<'_>, outer: &Element<'_>) -> Result<Option<Opened<'t>>, Refusal> {
    let is_encrypted = match query.encrypt_type.as_deref() {
        None | Some("" | "raw") => false,
        Some("aes") => true,
        Some(other) => return Err(Refusal::EncryptType(other.to_owned())),
    };
    let has_open_fields = outer.child("MsgType").is_some();
    let found = match (is_encrypted, has_open_fields) {
        (false, _) => Mode::Plaintext,
        (true, true) => Mode::Compatible,
        (true, false) => Mode::Secure,
    };
    if !terms.mode.takes(found) {
        return Err(Refusal::TooWeak { found });
    }
    match (found, terms.app_id.as_deref().filter(|_| !terms.keys.is_empty())) {
        // Without a key the open fields of compatible mode still make a message, and may be answered openly.
        (Mode::Plaintext, _) | (Mode::Compatible, None) => Ok(None),
        (Mode::Secure, None) => Err(Refusal::NoKey),
        (_, Some(app_id)) => open_with(terms, app_id, query, outer).map(Some),
    }
}

fn open_with<'t>(
    terms: &'t Terms,
    app_id: &str,
    query: &Query<'_>,
    outer: &Element<'_>,
) -> Result<Opened<'t>, Refusal> {
    let encrypt = outer.child_text("Encrypt").ok_or(Refusal::NoEnvelope)?;
    let msg_signature = required(query.msg_signature.as_ref(), "msg_signature")?;
    let (timestamp, nonce) =
        (required(query.timestamp.as_ref(), "timestamp")?, required(query.nonce.as_ref(), "nonce")?);
    let proves = |token: &Secret| {
        verify_msg_signature(token.expose(), timestamp, nonce, encrypt, msg_signature).is_ok()
    };
    if !terms.tokens.iter().any(proves) {
        return Err(Refusal::Signature { name: "msg_signature" });
    }
    let mut refusal = Refusal::NoKey;
    for key in &terms.keys {
        match open_envelope(encrypt, key, app_id) {
            Ok(message) => return Ok(Opened { message, key }),
            // What the current key says is the better cause: the previous one is wrong most of the time.
            Err(error) if matches!(refusal, Refusal::NoKey) => refusal = error.into(),
            Err(_) => {}
        }
    }
    Err(refusal)
}

/// A call whose proof is checked.
struct Call<'c> {
    terms: &'c Arc<Terms>,
    received: Instant,
    circumstances: Circumstances,
    /// The message as it was read, decrypted, where that may be needed.
    body: &'c [u8],
    /// By what more is found out than config and message say; `None` where nothing may be waited for.
    means: Option<&'c dyn Means>,
    /// Whether it is known that what is remembered of the user is to be asked.
    asks_memory: bool,
    /// Whether all is done now that may take long.
    is_job: bool,
    /// What programs and servers that guard rules have said: they are asked once.
    said: RefCell<Vec<GuardSaid>>,
    /// What a handler has worked out, for the rule that asked it: it is asked once.
    handled: OnceCell<(Role, Result<Handled, String>)>,
}

/// Who asks the guards of rules, where somebody may be asked.
struct Guarding<'g>(Option<Guards<'g>>);

impl<'g> Guarding<'g> {
    /// For a person who wants to know.
    fn of(terms: &'g Terms, message: &'g Message<'g>, means: &'g dyn Means, session: &'g Session) -> Self {
        let (app_id, deadline) = (terms.app_id.as_deref(), Instant::now() + terms.deadline);
        // Once all guards were asked, rules without any have time to answer still.
        let until = means.until();
        let until = until.checked_sub(terms.deadline / 10).unwrap_or(until);
        Self(means.equipment().map(|equipment| Guards {
            equipment,
            message,
            session,
            app_id,
            attempt: 1,
            deadline,
            until,
            said: RefCell::default(),
        }))
    }

    fn outside(&self) -> &dyn Outside {
        self.0.as_ref().map_or(&Nobody, |guards| guards as &dyn Outside)
    }

    fn said(&self) -> Vec<GuardSaid> {
        self.0.as_ref().map(|guards| guards.said.borrow().clone()).unwrap_or_default()
    }
}

/// What rules say to a message.
struct Said<'m> {
    met: Option<Match<'m>>,
    replies: Vec<Reply>,
}

const NO_RULE: &str = "no rule";

/// What has to be asked or uploaded before more can be said.
#[derive(Debug, Clone, PartialEq, Eq)]
enum MustWait {
    /// A file has to be uploaded.
    Files,
    /// It has to be looked up what is remembered of the user.
    Memory,
    /// It has to be looked up what waits for the user.
    Outbox,
    /// The answer takes more than one reply, or more time than WeChat gives.
    Delivery(Box<Order>),
}

impl<'c> Call<'c> {
    /// A call whose answer must wait for nothing.
    fn new(terms: &'c Arc<Terms>, received: Instant, circumstances: Circumstances) -> Self {
        Self {
            terms,
            received,
            circumstances,
            body: &[],
            means: None,
            asks_memory: false,
            is_job: false,
            said: RefCell::default(),
            handled: OnceCell::new(),
        }
    }
}

impl Call<'_> {
    /// Answers the message in `root`, which was read from `body`; sealed, if it came so.
    fn reply_to(&self, root: &Element<'_>, body: &[u8], seal: Option<Seal<'_>>) -> Result<Answered, Refusal> {
        let message = Message::from_xml(root)?;
        if let Some(id) = self.terms.original_id.as_deref()
            && id != message.to_user
        {
            return Err(Refusal::ForeignReceiver(message.to_user.to_owned()));
        }
        let response = match incoming(self.terms.rules.blocked(), &message) {
            Incoming::Passes => self.answer(&message, seal),
            Incoming::Masked(root) => self.answer(&Message::from_xml(&root)?, seal),
            Incoming::Refused(blocked) => {
                let reply = self.refusal(&message, blocked);
                Ok(self.send(&message, &self.composed(&message, "a blocked word", reply.as_ref()), seal))
            }
            Incoming::Ignored => {
                Ok(self.send(&message, &self.composed(&message, "a blocked word", None), seal))
            }
        };
        Ok(match response {
            Ok(response) => Answered::Now(response),
            Err(why) => Answered::Later(Box::new(Pending::new(self, why, body, seal))),
        })
    }

    /// Does something with the message in `root` as the rules are to see it; nothing, if they are not.
    fn unblocked<T>(&self, root: &Element<'_>, act: impl FnOnce(&Message<'_>) -> T) -> Option<T> {
        let message = Message::from_xml(root).ok()?;
        match incoming(self.terms.rules.blocked(), &message) {
            Incoming::Passes => Some(act(&message)),
            Incoming::Masked(root) => Some(act(&Message::from_xml(&root).ok()?)),
            Incoming::Refused(_) | Incoming::Ignored => None,
        }
    }

    /// Answers what the rules say, as far as nothing is missing for it.
    fn answer(&self, message: &Message<'_>, seal: Option<Seal<'_>>) -> Result<Response, MustWait> {
        if self.is_for_outbox(message) {
            let means = self.means.ok_or(MustWait::Outbox)?;
            let order = Self::order(message, "the outbox", None, None);
            let piece = means.fetch(&order).unwrap_or_else(|why| {
                log::error!(target: "delivery", "{why}");
                // What waits is there still, when he asks again.
                let delivery = self.terms.delivery.as_ref()?;
                Some(order.answer(Some(&Reply::text(&delivery.waiting_text))))
            });
            if let Some(piece) = piece {
                return Ok(self.send(message, &piece, seal));
            }
        }
        match self.means {
            Some(means) if self.asks_memory => self.answer_from_memory(message, means, seal),
            means => match (self.ask_rules(message, None), means) {
                (Err(MustWait::Memory), Some(means)) => self.answer_from_memory(message, means, seal),
                (said, _) => Ok(self.send(message, &self.compose(message, said?)?, seal)),
            },
        }
    }

    /// Whether a user asks for what waits for him.
    fn is_for_outbox(&self, message: &Message<'_>) -> bool {
        match (&self.terms.delivery, &message.content) {
            (Some(delivery), Content::Text { content, .. }) => {
                // What is much longer needs no second look.
                content.len() <= 4 * delivery.fetch_word.len() + 16
                    && Fold::Script.whole(content) == Fold::Script.whole(&delivery.fetch_word)
            }
            _ => false,
        }
    }

    /// What has to be delivered for a message that met this.
    fn order(message: &Message<'_>, met: &str, late: Option<Late>, on_error: Option<Reply>) -> Order {
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

    /// What has to be delivered for a message that met a rule.
    fn order_of(&self, message: &Message<'_>, found: &Match<'_>, memory: Option<&Memory>) -> MustWait {
        let late = found.rule.then.handling().map(|handling| handling.late);
        let on_error = self.on_error(message, found, memory);
        MustWait::Delivery(Box::new(Self::order(message, &found.rule.label(), late, on_error)))
    }

    /// Answers what the rules say to a user of whom something is remembered, and writes down what they leave: once for
    /// each message, however often WeChat sends it.
    fn answer_from_memory(
        &self,
        message: &Message<'_>,
        means: &dyn Means,
        seal: Option<Seal<'_>>,
    ) -> Result<Response, MustWait> {
        let deadline = self.received + self.terms.deadline;
        let mut memory = Memory::load(message, means, self.circumstances.now, deadline);
        loop {
            match memory.answer() {
                Some(Remembered::Answered(given)) => {
                    let again = Answer { met: format!("{}, as before", given.met), ..given };
                    return Ok(self.send(message, &again, seal));
                }
                Some(Remembered::Ordered(order)) => return Err(MustWait::Delivery(Box::new(order))),
                None => {}
            }
            let session = memory.session();
            let guards = self.guards(message, means, &session);
            let said = self.ask_rules(message, Some((&memory, guards.outside())));
            self.said.replace(guards.said());
            let said = said.map_err(|why| self.with_said(why))?;
            let rule = said.met.as_ref().map(|met| Arc::clone(&met.rule));
            let answer = self.compose(message, said)?;
            let kept = memory.keep(&Remembered::Answered(answer.clone()));
            if kept == Kept::Overtaken {
                memory.reload();
                continue;
            }
            // The user was told something else, and is to find what he knows of.
            if !means.claim() {
                if kept == Kept::Done {
                    memory.take_back();
                }
                return Ok(Response::text(200, SUCCESS));
            }
            let answer = match kept {
                // The reply may ask for what nobody would remember.
                Kept::Failed if memory.has_changed() => {
                    let label = rule.as_ref().map_or(NO_RULE.to_owned(), |rule| rule.label());
                    log::error!(target: "callback", "{label} failed: what it changes cannot be kept");
                    let session = memory.session();
                    let captures = Captures::default();
                    let scope = self.scope(message, &captures, None, &session);
                    let text = rule.and_then(|rule| fill(rule.on_error.as_ref()?, &scope));
                    self.composed(message, &label, text.map(Reply::text).as_ref())
                }
                _ => answer,
            };
            return Ok(self.send(message, &answer, seal));
        }
    }

    /// An order with what guards have said: they are not to be asked again.
    fn with_said(&self, why: MustWait) -> MustWait {
        match why {
            MustWait::Delivery(mut order) => {
                order.said.clone_from(&self.said.borrow());
                MustWait::Delivery(order)
            }
            other => other,
        }
    }

    /// Works the answer to the message of an order out, whatever it takes, and gives all of it.
    fn work_out(&self, message: &Message<'_>, order: &Order, means: &dyn Means) -> Vec<Reply> {
        let mut memory = Memory::load(message, means, self.circumstances.now, means.until());
        loop {
            let session = memory.session();
            let guards = self.guards(message, means, &session);
            // A job waits for nothing more.
            let said = self
                .ask_rules(message, Some((&memory, guards.outside())))
                .unwrap_or_else(|_| Said { met: None, replies: Vec::new() });
            self.said.replace(guards.said());
            let replies = self.passing(message, said.replies);
            match memory.keep(&Remembered::Ordered(order.clone())) {
                Kept::Overtaken => memory.reload(),
                Kept::Failed if memory.has_changed() => {
                    // It has been carried out: better an answer without memory than none.
                    log::error!(target: "callback", "{}: what it changes cannot be kept", order.met);
                    return replies;
                }
                Kept::Done | Kept::Failed => return replies,
            }
        }
    }

    /// What leaves of replies, blocked words seen to.
    fn passing(&self, message: &Message<'_>, replies: Vec<Reply>) -> Vec<Reply> {
        let blocked = self.terms.rules.blocked();
        let pass = |reply| outgoing(blocked, reply, |blocked| self.refusal(message, blocked));
        replies.into_iter().filter_map(pass).collect()
    }

    /// What leaves of what the rules say, if it is one answer.
    fn compose(&self, message: &Message<'_>, Said { met, replies }: Said<'_>) -> Result<Answer, MustWait> {
        let replies = self.passing(message, replies);
        let is_long =
            |reply: &Reply| matches!(reply, Reply::Text { content } if content.len() > MAX_TEXT_BYTES);
        if let Some(met) = &met
            && (replies.len() > 1 || replies.first().is_some_and(is_long))
        {
            return Err(self.with_said(self.order_of(message, met, None)));
        }
        let met = met.map_or(NO_RULE.to_owned(), |met| met.rule.label());
        Ok(self.composed(message, &met, replies.first()))
    }

    /// The rule that answers, or the last that met, and what it answers. What no rule is for has its own only if no rule
    /// before it had one.
    fn ask_rules<'m>(
        &self,
        message: &Message<'m>,
        asked: Option<(&'m Memory, &'m dyn Outside)>,
    ) -> Result<Said<'m>, MustWait> {
        let (memory, outside) = asked.unzip();
        let past = memory.map(|memory| memory as &dyn Past);
        let mut said = Said { met: None, replies: Vec::new() };
        let circumstance = Circumstance { now: self.circumstances.now, past, outside };
        let mut matches = self.terms.rules.find(message, &circumstance);
        for met in matches.by_ref() {
            // Another message may have moved the dialog since a handler began: its answer is this rule's still.
            if self.handled.get().is_some_and(|(role, _)| *role != met.rule.role) {
                continue;
            }
            if memory.is_none() && met.rule.asks_memory() {
                return Err(MustWait::Memory);
            }
            if met.rule.then.handling().is_some() && !self.is_job {
                return Err(self.order_of(message, &met, memory));
            }
            if self.means.is_none() && !met.rule.then.is_pure() {
                return Err(MustWait::Files);
            }
            said.replies = self.replies(message, &met, memory);
            said.met = Some(met);
            if !said.replies.is_empty() {
                return Ok(said);
            }
        }
        if matches.lack_past() { Err(MustWait::Memory) } else { Ok(said) }
    }

    /// Who asks the programs and servers that guard rules; what they said before stands.
    fn guards<'g>(
        &'g self,
        message: &'g Message<'g>,
        means: &'g dyn Means,
        session: &'g Session,
    ) -> Guarding<'g> {
        let mut guards = Guarding::of(self.terms, message, means, session);
        if let Guarding(Some(guards)) = &mut guards {
            guards.deadline = self.received + self.terms.deadline;
            guards.said.clone_from(&self.said);
        }
        guards
    }

    /// What is answered instead of something with a blocked word.
    fn refusal(&self, message: &Message<'_>, blocked: &Blocked) -> Option<Reply> {
        let (captures, session) = (Captures::default(), Session::new());
        let scope = self.scope(message, &captures, None, &session);
        Reply::text(fill(blocked.reply.as_ref()?, &scope)?).fit(message).0
    }

    fn scope<'a>(
        &'a self,
        message: &'a Message<'a>,
        captures: &'a Captures<'a>,
        rule: Option<&'a str>,
        session: &'a Session,
    ) -> Scope<'a> {
        Scope {
            message,
            captures,
            app_id: self.terms.app_id.as_deref(),
            rule,
            rules: &self.terms.rules,
            tables: &self.terms.tables,
            session,
            now: self.circumstances.now,
            media: self.means.map_or(&NoLibrary, |means| means as &dyn MediaLibrary),
        }
    }

    /// What the rule says, within WeChat's limits; nothing is `success`. Too long a text stays as it is where the rest of
    /// it can be delivered.
    fn replies(&self, message: &Message<'_>, found: &Match<'_>, memory: Option<&Memory>) -> Vec<Reply> {
        let mut fitting = Vec::new();
        let splits = self.terms.delivery.is_some() && can_be_answered(&message.content);
        for reply in self.said(message, found, memory) {
            if splits && matches!(&reply, Reply::Text { content } if content.len() > MAX_TEXT_BYTES) {
                fitting.push(reply);
                continue;
            }
            let (reply, cut) = reply.fit(message);
            if let Some(cut) = cut {
                log::warn!(target: "callback", "{}: {cut}", found.rule.label());
            }
            fitting.extend(reply);
        }
        fitting
    }

    /// What the rule says, or what it says where that fails; then it changes nothing.
    fn said(&self, message: &Message<'_>, found: &Match<'_>, memory: Option<&Memory>) -> Vec<Reply> {
        let draft = memory.map(Memory::draft);
        guarded(|| self.carry_out(message, found, memory)).unwrap_or_else(|why| {
            log::error!(target: "callback", "{} failed: {why}", found.rule.label());
            if let (Some(memory), Some(draft)) = (memory, draft) {
                memory.go_back_to(draft);
            }
            self.on_error(message, found, memory).into_iter().collect()
        })
    }

    /// What the rule says where it fails.
    fn on_error(&self, message: &Message<'_>, found: &Match<'_>, memory: Option<&Memory>) -> Option<Reply> {
        let session = memory.map(Memory::session).unwrap_or_default();
        let scope = self.scope(message, &found.captures, found.rule.name.as_deref(), &session);
        Reply::text(fill(found.rule.on_error.as_ref()?, &scope)?).fit(message).0
    }

    /// What a handler works out for the rule, once for each message.
    fn handled(
        &self,
        message: &Message<'_>,
        found: &Match<'_>,
        handling: &Handling,
        session: &Session,
    ) -> Result<&Handled, String> {
        let (_, handled) = self.handled.get_or_init(|| {
            let handled = guarded(|| -> Result<Handled, String> {
                let means = self.means.ok_or("nothing can be carried out here")?;
                let equipment = means.equipment().ok_or("no handler can be asked from here")?;
                let task = Task {
                    message,
                    body: self.body,
                    rule: found.rule.name.as_deref(),
                    captures: &found.captures,
                    session,
                    app_id: self.terms.app_id.as_deref(),
                    attempt: 1,
                    deadline: self.received + self.terms.deadline,
                    until: Instant::now() + handling.timeout,
                    store: &means.store()?,
                    media: means,
                };
                equipment.carry_out(&handling.handler, &task).map_err(|error| error.to_string())
            });
            (found.rule.role.clone(), handled)
        });
        handled.as_ref().map_err(Clone::clone)
    }

    /// Writes down what the rule wants remembered, and gives what it says.
    fn carry_out(
        &self,
        message: &Message<'_>,
        found: &Match<'_>,
        memory: Option<&Memory>,
    ) -> Result<Vec<Reply>, String> {
        let rule = &found.rule;
        let (mut session, name) = (memory.map(Memory::session).unwrap_or_default(), rule.name.as_deref());
        if let Some(memory) = memory {
            if memory.is_away() && (!rule.sequel.is_empty() || rule.then.speaks_of_session()) {
                return Err("it needs the store".to_owned());
            }
            for (key, setting) in &rule.sequel.session {
                let scope = self.scope(message, &found.captures, name, &session);
                let value = setting.value(&scope).map_err(|error| error.to_string())?;
                memory.set(key, value).map_err(|error| error.to_string())?;
                session = memory.session();
            }
        }
        if let (Some(handling), Some(memory)) = (rule.then.handling(), memory) {
            let handled = self.handled(message, found, handling, &session)?;
            for (key, value) in &handled.session {
                memory.set(key, value.clone()).map_err(|error| error.to_string())?;
            }
            memory.note_given(rule);
            return Ok(handled.replies.clone());
        }
        let turn = |key: &str| memory.and_then(|memory| memory.turn(key));
        let chooser = Chooser { random: &self.circumstances.random, turn: &turn };
        let scope = self.scope(message, &found.captures, name, &session);
        let replies = rule.then.replies(&scope, chooser).map_err(|error| error.to_string())?;
        if let Some(memory) = memory {
            memory.note_given(rule);
        }
        Ok(replies)
    }

    /// An answer with this reply.
    fn composed(&self, message: &Message<'_>, met: &str, reply: Option<&Reply>) -> Answer {
        let now = unix_seconds(self.circumstances.now);
        Answer::new(met, reply, (message.from_user, message.to_user), now)
    }

    /// The response with this answer, and its line in the log.
    fn send(&self, message: &Message<'_>, answer: &Answer, seal: Option<Seal<'_>>) -> Response {
        let response = answer.xml.as_ref().and_then(|xml| self.sealed(xml, seal));
        let replied = response.as_ref().map_or(SUCCESS, |_| answer.kind.as_str());
        self.log(message, &answer.met, replied);
        response.unwrap_or_else(|| Response::text(200, SUCCESS))
    }

    /// The reply as it leaves; `None` if it cannot: then `success` is the only legal body.
    fn sealed(&self, xml: &str, seal: Option<Seal<'_>>) -> Option<Response> {
        let now = unix_seconds(self.circumstances.now);
        let Some(seal) = seal else { return Some(Response::xml(xml.to_owned())) };
        let Some(random) = (self.circumstances.random)() else {
            log::error!(target: "callback", "the system gives no random bytes; answered {SUCCESS}");
            return None;
        };
        let encrypt = seal_envelope(xml, seal.key, self.terms.app_id.as_deref()?, random);
        Some(Response::xml(envelope_xml(&encrypt, seal.token.expose(), now, seal.nonce)))
    }

    fn log(&self, message: &Message<'_>, met: &str, replied: &str) {
        if !log::log_enabled!(target: "callback", log::Level::Info) {
            return;
        }
        let what = match &message.content {
            Content::Event(event) => format!("event {}", shown(event.name())),
            Content::Unknown { .. } => format!("unknown type {}", shown(message.msg_type)),
            _ => message.msg_type.to_owned(),
        };
        let from = openid_shown(message.from_user, self.terms.personal_data);
        let time = self.received.elapsed().as_millis();
        log::info!(target: "callback", "{what} from {from} met {met}; replied {replied} in {time} ms");
    }
}

/// The rule that answers a message of the user now, found as its answer would be; nothing is written.
#[must_use]
pub fn met_rule(
    terms: &Terms,
    message: &Message<'_>,
    now: SystemTime,
    means: &dyn Means,
) -> Option<Arc<Rule>> {
    let find = |past, outside| {
        let mut matches = terms.rules.find(message, &Circumstance { now, past, outside });
        let met: Vec<_> = matches.by_ref().map(|found| found.rule).collect();
        (met, matches.lack_past())
    };
    let (mut met, lacks_past) = find(None, None);
    let (memory, session, guards);
    if lacks_past {
        memory = Memory::load(message, means, now, Instant::now() + terms.deadline);
        session = memory.session();
        guards = Guarding::of(terms, message, means, &session);
        (met, _) = find(Some(&memory), Some(guards.outside()));
    }
    answering(met)
}

/// Of the rules that meet a message the one that answers it.
#[must_use]
pub fn answering(met: Vec<Arc<Rule>>) -> Option<Arc<Rule>> {
    let (quiet, spoken): (Vec<_>, Vec<_>) =
        met.into_iter().partition(|rule| matches!(rule.then, Action::None));
    spoken.into_iter().next().or_else(|| quiet.into_iter().next_back())
}

/// What becomes of each rule when the user sends a message now; nothing is written.
#[must_use]
pub fn explain(terms: &Terms, message: &Message<'_>, now: SystemTime, means: &dyn Means) -> Vec<Tried> {
    let memory = Memory::load(message, means, now, Instant::now() + terms.deadline);
    let session = memory.session();
    let guards = Guarding::of(terms, message, means, &session);
    terms.rules.explain(message, &Circumstance { now, past: Some(&memory), outside: Some(guards.outside()) })
}

/// A template of a text filled in; `None` if that cannot be done.
fn fill(template: &Template, scope: &Scope<'_>) -> Option<String> {
    guarded(|| template.render_text(scope)).ok().map(std::borrow::Cow::into_owned)
}

/// Runs what a rule does. A panic in it is a bug of ours; the user still gets the rule's words for failures, and WeChat
/// a legal body.
fn guarded<T, E: std::fmt::Display>(action: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(action)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("it panicked".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_an_action_is_its_failure() {
        assert_eq!(guarded(|| -> Result<(), String> { panic!("on purpose") }), Err("it panicked".to_owned()));
        assert_eq!(guarded(|| Err::<(), _>("cause")), Err("cause".to_owned()));
        assert_eq!(guarded(|| Ok::<_, String>(7)), Ok(7));
    }
}
