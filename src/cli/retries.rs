//! WeChat's patience with one message, for a person to see: it waits 5 s, hangs up and asks again, three times in all.
//!
//! Source: <https://developers.weixin.qq.com/doc/offiaccount/en/Message_Management/Passive_user_reply_message.html>

use std::fmt::Write as _;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::push::{Push, Received, WeChat};
use super::{Failure, print, print_line};
use crate::account::Account;
use crate::config::AccountSettings;
use crate::gateway::cgi;
use crate::wechat::mode::Mode;

/// So long WeChat waits for an answer.
pub(super) const WAITS: Duration = Duration::from_secs(5);
/// So often it asks.
const ATTEMPTS: usize = 3;
/// What the user sees if there is no answer that WeChat can take.
const FAULT: &str = "该公众号提供的服务出现故障，请稍后再试";
/// The most that is read of an answer, bytes.
const MAX_ANSWER: u64 = 1 << 20;

/// Where messages are sent to.
pub(super) trait Peer {
    /// Sends a message and waits for the answer as long as WeChat does.
    fn ask(&self, wechat: &Arc<WeChat>) -> Attempt;
}

/// What became of one attempt.
pub(super) enum Attempt {
    /// There was an answer; why WeChat cannot take it, if so.
    Answered(Result<Received, String>),
    /// WeChat hung up.
    HungUp,
    /// There was no connection, or it ended without an answer.
    Broken(String),
}

impl Attempt {
    fn of_response(received: Result<Received, Failure>) -> Self {
        Self::Answered(match received {
            Ok(received) if received.complaints.is_empty() => Ok(received),
            Ok(received) => Err(received.complaints.join("; ")),
            Err(Failure::Failed(why) | Failure::Usage(why)) => Err(why),
            Err(Failure::Config(_)) => Err("the config is wrong".to_owned()),
        })
    }

    /// Whether WeChat asks again.
    fn is_repeated(&self) -> bool {
        !matches!(self, Self::Answered(_))
    }
}

/// The account, in this process: through the CGI door.
pub(super) struct InProcess(Arc<Account>);

impl InProcess {
    pub(super) fn new(account: Account) -> Self {
        Self(Arc::new(account))
    }
}

impl Peer for InProcess {
    fn ask(&self, wechat: &Arc<WeChat>) -> Attempt {
        let (sender, receiver) = mpsc::channel();
        let (account, asked) = (Arc::clone(&self.0), Arc::clone(wechat));
        // It may go on when nobody listens any more, as a CGI process does.
        let attempt = move || {
            let document = cgi::exchange(asked.params(), &mut asked.body.as_bytes(), &*account);
            let _ = sender.send(document);
        };
        if let Err(error) = thread::Builder::new().name("attempt".to_owned()).spawn(attempt) {
            return Attempt::Broken(error.to_string());
        }
        match receiver.recv_timeout(WAITS) {
            Ok(document) => Attempt::of_response(wechat.receive(&document)),
            Err(mpsc::RecvTimeoutError::Timeout) => Attempt::HungUp,
            Err(mpsc::RecvTimeoutError::Disconnected) => Attempt::Broken("no answer".to_owned()),
        }
    }
}

/// A web server.
pub(super) struct Server {
    url: String,
    agent: ureq::Agent,
}

impl Server {
    pub(super) fn new(url: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(WAITS))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .build();
        Self { url: url.to_owned(), agent: config.new_agent() }
    }
}

impl Peer for Server {
    fn ask(&self, wechat: &Arc<WeChat>) -> Attempt {
        let mark = if self.url.contains('?') { '&' } else { '?' };
        let request = self.agent.post(format!("{}{mark}{}", self.url, wechat.query));
        let answer =
            request.content_type("text/xml").send(wechat.body.as_bytes()).and_then(|mut response| {
                let status = response.status().to_string();
                let body =
                    response.body_mut().with_config().limit(MAX_ANSWER).lossy_utf8(true).read_to_string()?;
                Ok((status, body))
            });
        match answer {
            Ok((status, body)) => Attempt::of_response(wechat.read(&status, &body)),
            Err(ureq::Error::Timeout(_)) => Attempt::HungUp,
            Err(error) => Attempt::Broken(error.to_string()),
        }
    }
}

/// A message, as it is delivered.
pub(super) struct Patience<'p> {
    pub(super) push: &'p Push,
    /// What to call it.
    pub(super) sent: &'p str,
    pub(super) mode: Option<Mode>,
    pub(super) json: bool,
}

/// An attempt, and when it was.
struct Line {
    began: Duration,
    ended: Duration,
    attempt: Attempt,
}

impl Patience<'_> {
    /// Delivers the message and shows how that went.
    pub(super) fn try_with(&self, account: &AccountSettings, peer: &dyn Peer) -> Result<(), Failure> {
        let (first, created) = (Instant::now(), SystemTime::now());
        let mut lines: Vec<Line> = Vec::new();
        loop {
            let now = SystemTime::now();
            let wechat = Arc::new(WeChat::repeating(self.push, created, self.mode, account, now)?);
            let began = first.elapsed();
            let attempt = peer.ask(&wechat);
            let is_last = !attempt.is_repeated() || lines.len() + 1 == ATTEMPTS;
            lines.push(Line { began, ended: first.elapsed(), attempt });
            if is_last {
                break;
            }
        }
        if self.json {
            print_line(&page_for_programs(&lines).to_string())?;
        } else {
            print(self.page(&lines).as_bytes())?;
        }
        match shown(&lines) {
            Some(_) => Ok(()),
            None => Err(Failure::Failed(format!("the user sees 「{FAULT}」"))),
        }
    }

    fn page(&self, lines: &[Line]) -> String {
        let mut page = format!("user     {}\n", self.sent);
        for (number, line) in lines.iter().enumerate() {
            let seconds = line.began.as_secs_f64();
            let _ = writeln!(page, "{seconds:4.1} s   attempt {}: {}", number + 1, line.in_words());
        }
        let phone = shown(lines).map_or_else(|| format!("「{FAULT}」"), |received| received.shown.clone());
        let _ = writeln!(page, "phone    {}", phone.replace('\n', "\n         "));
        if let failures @ 1.. = failures(lines) {
            let _ = writeln!(
                page,
                "\nWeChat counts {failures} failure(s). At about 30 in 5 minutes it raises an alarm (接口报警); after many it \
                 sends nothing\nto the account for a minute (MarkFail). `hold_budget` limits how many messages are left \
                 without an answer on purpose."
            );
        }
        page
    }
}

impl Line {
    fn in_words(&self) -> String {
        let at = self.ended.as_secs_f64();
        match &self.attempt {
            Attempt::Answered(Ok(received)) => format!("{} at {at:.1} s", received.kind),
            Attempt::Answered(Err(why)) => format!("an answer at {at:.1} s that WeChat does not take: {why}"),
            Attempt::HungUp => format!("no answer; WeChat hung up at {at:.1} s"),
            Attempt::Broken(why) => format!("no answer: {why}"),
        }
    }
}

/// What the user sees; `None` if that is the line of failure.
fn shown(lines: &[Line]) -> Option<&Received> {
    match &lines.last()?.attempt {
        Attempt::Answered(Ok(received)) => Some(received),
        _ => None,
    }
}

/// What WeChat counts for MarkFail.
fn failures(lines: &[Line]) -> usize {
    lines.iter().filter(|line| !matches!(line.attempt, Attempt::Answered(Ok(_)))).count()
}

fn page_for_programs(lines: &[Line]) -> Value {
    let attempts = lines.iter().map(|Line { began, ended, attempt }| {
        let (outcome, reply, why) = match attempt {
            Attempt::Answered(Ok(received)) => ("answered", Some(&received.written), None),
            Attempt::Answered(Err(why)) => ("not taken", None, Some(why.as_str())),
            Attempt::HungUp => ("hung up", None, None),
            Attempt::Broken(why) => ("broken", None, Some(why.as_str())),
        };
        let (began, ended) = (began.as_secs_f64(), ended.as_secs_f64());
        json!({"began": began, "ended": ended, "outcome": outcome, "reply": reply, "why": why})
    });
    let phone = shown(lines).map_or_else(|| FAULT.into(), |received| received.written.clone());
    json!({
        "attempts": attempts.collect::<Vec<_>>(),
        "phone": phone,
        "is_fault": shown(lines).is_none(),
        "failures": failures(lines),
    })
}
