//! Clients of WeChat's API that others wrote and that run against WeChat every day: what they send, the stand-in has to take.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::{APP_ID, APP_SECRET, FakeWechat, command, node_path, python, repository};

/// A running client of one account; it ends with this.
#[derive(Debug)]
pub(crate) struct Peer {
    child: Child,
    calls: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// wechatpy, at the stand-in.
    pub(crate) fn wechatpy(fake: &FakeWechat) -> Self {
        Self::start(Command::new(python()), "wechatpy_client.py", fake)
    }

    /// node's wechat-api, at the stand-in.
    pub(crate) fn wechat_api(fake: &FakeWechat) -> Self {
        let mut node = command("node");
        node.env("NODE_PATH", node_path("wechat-api"));
        Self::start(node, "wechat_api_client.js", fake)
    }

    fn start(mut program: Command, script: &str, fake: &FakeWechat) -> Self {
        let mut child = program
            .arg(repository().join("tests/support").join(script))
            .args([&fake.base_url(), APP_ID, APP_SECRET])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the peer runs");
        let (calls, answers) = (child.stdin.take(), child.stdout.take().expect("a pipe"));
        Self { child, calls, answers: BufReader::new(answers) }
    }

    /// Calls a method of the client. What it gives, or the errcode that it tells of.
    pub(crate) fn calls(&mut self, method: &str, arguments: &Value) -> Result<Value, i64> {
        let calls = self.calls.as_mut().expect("open until the end");
        writeln!(calls, "{}", json!([method, arguments])).expect("it reads");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        let mut answer: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{method}: `{line}`"));
        match answer.get("errcode") {
            Some(errcode) => Err(errcode.as_i64().unwrap_or_else(|| panic!("{method}: {answer}"))),
            None => Ok(answer["gives"].take()),
        }
    }

    /// The same, where WeChat has nothing against it.
    #[track_caller]
    pub(crate) fn gets(&mut self, method: &str, arguments: &Value) -> Value {
        self.calls(method, arguments).unwrap_or_else(|errcode| panic!("{method} {arguments}: {errcode}"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Without further calls it ends by itself.
        drop(self.calls.take());
        let _ = self.child.wait();
    }
}
