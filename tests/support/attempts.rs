//! WeChat's patience with one message: it waits 5 s, hangs up and asks again, three times in all.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::{Answer, Request, WeChat, element};

/// So long WeChat waits for an answer.
const WAITS: Duration = Duration::from_secs(5);
/// So often it asks.
const ATTEMPTS: u32 = 3;

/// What became of one message.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) attempts: Vec<Attempt>,
}

/// One of the times that WeChat asked.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// When it ended, since the first began.
    pub(crate) ended: Duration,
    /// What was answered, or why there was nothing.
    pub(crate) answer: Result<Answer, String>,
}

impl WeChat {
    /// Delivers a message to a web server as WeChat does it, each time signed anew.
    pub(crate) fn delivers(&self, xml: &str, port: u16) -> Delivered {
        let user = element(xml, "FromUserName").expect("a sender");
        Delivered::by(port, || self.pushes(xml).with("openid", &user))
    }
}

impl Delivered {
    /// The same for a message of which `request` makes each attempt.
    pub(crate) fn by(port: u16, request: impl Fn() -> Request) -> Self {
        let first = Instant::now();
        let mut attempts = Vec::new();
        for number in 1..=ATTEMPTS {
            let answer = attempt(&request(), port);
            let is_answered = answer.as_ref().is_ok_and(|answer| answer.status == 200);
            attempts.push(Attempt { ended: first.elapsed(), answer });
            if is_answered {
                break;
            }
            // How soon WeChat asks again where nobody listened is not known; where nobody spoke, after 5 s.
            thread::sleep((WAITS * number).saturating_sub(first.elapsed()));
        }
        Self { attempts }
    }

    /// The reply that the user sees; `None` if that is nothing.
    ///
    /// # Panics
    ///
    /// If he sees that the account is out of order.
    #[track_caller]
    pub(crate) fn reply(&self) -> Option<String> {
        assert!(!self.is_fault(), "the user sees 「该公众号提供的服务出现故障」: {self:?}");
        let answer = self.answer();
        if answer.text() == "success" {
            return None;
        }
        Some(answer.reply_text().unwrap_or_else(|| panic!("no text: {answer}")))
    }

    /// Whether the user sees that the account is out of order.
    pub(crate) fn is_fault(&self) -> bool {
        let last = self.attempts.last().map(|last| &last.answer);
        !last.is_some_and(|answer| answer.as_ref().is_ok_and(|answer| answer.status == 200))
    }

    /// The answer that WeChat took.
    #[track_caller]
    pub(crate) fn answer(&self) -> &Answer {
        let last = self.attempts.last().and_then(|last| last.answer.as_ref().ok());
        last.unwrap_or_else(|| panic!("the user sees 「该公众号提供的服务出现故障」: {self:?}"))
    }

    /// When it was answered.
    pub(crate) fn time(&self) -> Duration {
        self.attempts.last().map_or(Duration::ZERO, |last| last.ended)
    }
}

/// One attempt; hangs up when its time is over.
fn attempt(request: &Request, port: u16) -> Result<Answer, String> {
    let end = Instant::now() + WAITS;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    stream.write_all(&request.wire("/weixin")).map_err(|error| error.to_string())?;
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("hung up after 5 s".to_owned());
        }
        stream.set_read_timeout(Some(left)).expect("a time limit");
        match stream.read(&mut buffer) {
            Ok(0) if bytes.is_empty() => return Err("the connection ended without an answer".to_owned()),
            Ok(0) => return Ok(Answer::from_http(&bytes, "an attempt".to_owned())),
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}
