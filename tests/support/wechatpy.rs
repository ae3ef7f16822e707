//! A secure account, and wechatpy at its other end.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Answer, Request, WeChat, element, now, python, repository};

/// What two sides of a secure account share.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) token: String,
    pub(crate) aes: String,
    pub(crate) app_id: String,
}

impl Keys {
    pub(crate) fn new(token: &str, aes: &str, app_id: &str) -> Self {
        Self { token: token.to_owned(), aes: aes.to_owned(), app_id: app_id.to_owned() }
    }

    /// Those of this file's own account; its key ends in a character with stray bits, as many do.
    pub(crate) fn ours() -> Self {
        Self::new("mytoken", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "wx1234567890abcdef")
    }

    /// An account that repeats every text; it takes old messages, so that vectors can be sent.
    pub(crate) fn config(&self, mode: &str) -> String {
        let Self { token, aes, app_id } = self;
        format!(
            "[account]\ntoken = \"{token}\"\napp_id = \"{app_id}\"\nencoding_aes_key = \"{aes}\"\nmode = \"{mode}\"\n\
             [server]\nclock_skew = \"off\"\n\
             [[rule]]\nwhen.type = \"text\"\nreply = \"收到：{{{{ message.content }}}}\"\n"
        )
    }

    /// Asks wechatpy to do all of `jobs`.
    fn wechatpy(&self, mut jobs: Vec<Value>) -> Vec<Value> {
        for job in &mut jobs {
            job["token"] = json!(self.token);
            job["encoding_aes_key"] = json!(self.aes);
            job["app_id"] = json!(self.app_id);
        }
        let mut peer = Command::new(python())
            .arg(repository().join("tests/support/wechatpy_peer.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python runs");
        let jobs = Value::from(jobs);
        peer.stdin.take().expect("a pipe").write_all(jobs.to_string().as_bytes()).expect("it reads");
        let output = peer.wait_with_output().expect("it ends");
        assert!(output.status.success(), "wechatpy refuses {jobs}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// A push that wechatpy has sealed.
    pub(crate) fn seal(&self, xml: &str) -> Request {
        self.seal_all(&[xml.to_owned()]).remove(0)
    }

    /// Pushes that wechatpy has sealed.
    pub(crate) fn seal_all(&self, documents: &[String]) -> Vec<Request> {
        let (timestamp, nonce) = (now().to_string(), "1320562132");
        let job = |xml| json!({"do": "seal", "xml": xml, "timestamp": timestamp, "nonce": nonce});
        let sealed = self.wechatpy(documents.iter().map(job).collect());
        let pushes = sealed.iter().map(|sealed| {
            let sealed = sealed["envelope"].as_str().expect("an envelope");
            let part = |name| element(sealed, name).expect("wechatpy writes it");
            let (body, msg_signature) = (envelope(&part("Encrypt")), part("MsgSignature"));
            WeChat::with_token(&self.token).pushes_sealed(&body, &timestamp, nonce, &msg_signature)
        });
        pushes.collect()
    }

    /// The reply inside an encrypted answer, opened and verified by wechatpy.
    #[track_caller]
    pub(crate) fn open(&self, answer: &Answer) -> String {
        self.open_all(std::slice::from_ref(answer)).remove(0)
    }

    /// The replies inside encrypted answers, opened and verified by wechatpy.
    #[track_caller]
    pub(crate) fn open_all(&self, answers: &[Answer]) -> Vec<String> {
        let envelopes = answers.iter().map(|answer| {
            answer.is(200).has("content-type", "application/xml; charset=utf-8");
            answer.text()
        });
        self.open_envelopes(&envelopes.collect::<Vec<_>>())
    }

    /// The same for envelopes that were not sent.
    #[track_caller]
    pub(crate) fn open_envelopes(&self, envelopes: &[String]) -> Vec<String> {
        let jobs = envelopes.iter().map(|envelope| {
            let part = |name| element(envelope, name).unwrap_or_else(|| panic!("no `{name}`: {envelope}"));
            open_job(envelope, &part("MsgSignature"), &part("TimeStamp"), &part("Nonce"))
        });
        let opened = self.wechatpy(jobs.collect());
        opened.iter().map(|opened| opened["xml"].as_str().expect("a document").to_owned()).collect()
    }

    /// Replies as wechatpy reads them, with `type` beside their elements.
    pub(crate) fn read_replies(&self, documents: &[String]) -> Vec<Value> {
        self.wechatpy(documents.iter().map(|xml| json!({"do": "read", "xml": xml})).collect())
    }

    /// The message inside the body of a push, opened and verified by wechatpy.
    pub(crate) fn open_push(&self, body: &str, msg_signature: &str, timestamp: &str, nonce: &str) -> String {
        let opened = self.wechatpy(vec![open_job(body, msg_signature, timestamp, nonce)]);
        opened[0]["xml"].as_str().expect("a document").to_owned()
    }
}

fn open_job(envelope: &str, msg_signature: &str, timestamp: &str, nonce: &str) -> Value {
    json!({
        "do": "open", "envelope": envelope, "msg_signature": msg_signature, "timestamp": timestamp, "nonce": nonce
    })
}

/// What WeChat sends around an encrypted message.
pub(crate) fn envelope(encrypt: &str) -> String {
    format!(
        "<xml><ToUserName><![CDATA[gh_0123456789ab]]></ToUserName><Encrypt><![CDATA[{encrypt}]]></Encrypt></xml>"
    )
}
