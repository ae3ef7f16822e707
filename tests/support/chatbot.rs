//! aimock, a server that answers as OpenAI's does: others wrote it, and hold it against the original every day.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Stdio};

use serde_json::Value;

use super::{command, node_path, repository};

/// A running server; it ends with this.
#[derive(Debug)]
pub(crate) struct Chatbot {
    child: Child,
    open: Option<ChildStdin>,
    url: String,
    api_key: String,
}

impl Chatbot {
    /// One that answers by these fixtures whoever has the key.
    pub(crate) fn start(api_key: &str, fixtures: &Value) -> Self {
        let mut child = command("node")
            .env("NODE_PATH", node_path("aimock"))
            .arg(repository().join("tests/support/aimock_server.js"))
            .args([api_key, &fixtures.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("aimock runs");
        let (open, said) = (child.stdin.take(), child.stdout.take().expect("a pipe"));
        let mut url = String::new();
        BufReader::new(said).read_line(&mut url).expect("its address");
        assert!(url.starts_with("http://"), "aimock said `{url}`");
        Self { child, open, url: url.trim().to_owned(), api_key: api_key.to_owned() }
    }

    /// What stands before `/chat/completions`.
    pub(crate) fn base_url(&self) -> String {
        format!("{}/v1", self.url)
    }

    /// The bodies of all requests that it let in.
    pub(crate) fn requests(&self) -> Vec<Value> {
        let journal = ureq::get(format!("{}/__aimock/journal", self.url))
            .header("Authorization", format!("Bearer {}", self.api_key))
            .call()
            .and_then(|mut answer| answer.body_mut().read_to_string())
            .expect("its journal");
        let journal: Vec<Value> = serde_json::from_str(&journal).expect("JSON");
        journal.into_iter().map(|mut entry| entry["body"].take()).filter(|body| !body.is_null()).collect()
    }
}

impl Drop for Chatbot {
    fn drop(&mut self) {
        // Without its stdin it ends by itself.
        drop(self.open.take());
        let _ = self.child.wait();
    }
}
