//! The limits of `[server]`: the config sets them, and whoever hits one leaves a line with its key and its number.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use crate::support::{Answer, Door, PATIENCE, Request, Site, WeChat, wait_until};

/// An account with these lines below `[server]`.
fn account(server: &str) -> String {
    format!("[account]\ntoken = \"mytoken\"\n[default]\nreply = \"好\"\n[server]\n{server}\n")
}

fn wechat() -> WeChat {
    WeChat::with_token("mytoken")
}

/// A responder whose `[server]` has these lines.
fn responder(server: &str) -> Site {
    Site::behind(Door::FastcgiByHand).with_config(&account(server)).open()
}

fn connect(site: &Site) -> UnixStream {
    let stream = UnixStream::connect(site.folder().join("run/wxcgi.sock")).expect("it accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    stream
}

/// BEGIN_REQUEST of a responder, id 1.
fn begin(flags: u8) -> Vec<u8> {
    vec![1, 1, 0, 1, 0, 8, 0, 0, 0, 1, flags, 0, 0, 0, 0, 0]
}

/// PARAMS and STDIN, both empty.
const NOTHING: [u8; 16] = [1, 4, 0, 1, 0, 0, 0, 0, 1, 5, 0, 1, 0, 0, 0, 0];

/// Sends this and reads until the responder hangs up. The connection is still open on our side.
fn until_the_end(site: &Site, bytes: &[u8]) -> (String, UnixStream) {
    let mut stream = connect(site);
    stream.write_all(bytes).expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it hangs up in time");
    (String::from_utf8_lossy(&answer).into_owned(), stream)
}

/// The log comes to hold a line with all of these words.
#[track_caller]
fn tells(site: &Site, words: &[&str]) {
    let is_told = || site.stderr().lines().any(|line| words.iter().all(|word| line.contains(word)));
    wait_until(&format!("{words:?} in the log"), is_told);
}

#[test]
fn a_request_beyond_a_size_is_refused_with_the_key_and_the_number() {
    if !Door::FastcgiByHand.is_open() {
        return;
    }
    let site = responder(
        "max_body = \"1KiB\"\nmax_params = \"4KiB\"\nmax_param_value = \"1KiB\"\nmax_param_count = 64",
    );
    site.receives(&wechat().says("你")).replies("好");
    site.receives(&wechat().says(&"长".repeat(400))).is(413);
    tells(&site, &["with 413", "larger than `max_body` (1KiB)"]);
    site.receives(&wechat().says("你").with("long", &"x".repeat(1025))).is(431);
    tells(&site, &["with 431", "longer than `max_param_value` (1KiB)"]);

    // cgi-fcgi hands its environment on.
    let asks = |count: usize, length: usize| -> Answer {
        site.receives_with(&wechat().says("你"), |client| {
            client.envs((0..count).map(|number| (format!("X_{number}"), "x".repeat(length))));
        })
    };
    asks(20, 1).replies("好");
    asks(64, 1).is(431);
    tells(&site, &["with 431", "more parameters than `max_param_count` (64)"]);
    asks(5, 1000).is(431);
    tells(&site, &["with 431", "larger than `max_params` (4KiB)"]);
}

#[test]
fn a_peer_that_takes_too_long_is_closed_with_the_key_and_the_number() {
    if !Door::FastcgiByHand.is_open() {
        return;
    }
    let site = responder(
        "first_byte_timeout = \"100ms\"\nrequest_timeout = \"150ms\"\nidle_timeout = \"200ms\"\nlinger_timeout = \"250ms\"",
    );
    assert_eq!(until_the_end(&site, b"").0, "");
    tells(&site, &["sent no request within `first_byte_timeout` (100ms)"]);
    // The rest of the request is waited for a little longer, so that the answer arrives.
    let (answer, still_open) = until_the_end(&site, &begin(0));
    assert!(answer.contains("Status: 408"), "{answer}");
    tells(&site, &["with 408", "did not come within `request_timeout` (150ms)"]);
    tells(&site, &["did not end after its answer within `linger_timeout` (250ms)"]);
    drop(still_open);
    let (answer, _) = until_the_end(&site, &[&begin(1)[..], &NOTHING].concat());
    assert!(answer.contains("Status: 400"), "{answer}");
    tells(&site, &["no request within `idle_timeout` (200ms)"]);
}

#[test]
fn more_connections_than_max_connections_are_answered_503() {
    if !Door::FastcgiByHand.is_open() {
        return;
    }
    let site = responder("max_connections = 1");
    let first = connect(&site);
    site.receives(&wechat().says("你")).is(503).has("retry-after", "1");
    tells(&site, &["with 503", "all of `max_connections` (1) were in use"]);
    drop(first);

    let config = account("max_connections = 1");
    let plan = Site::behind(Door::FastcgiByHand).with_config(&config);
    let site = plan.with_argument("--max-connections=2").open();
    let first = connect(&site);
    site.receives(&wechat().says("你")).replies("好");
    let second = connect(&site);
    site.receives(&wechat().says("你")).is(503);
    tells(&site, &["all of `max_connections` (2) were in use"]);
    drop((first, second));
}

#[test]
fn a_cgi_process_waits_for_its_body_as_long_as_its_config_says() {
    let site = Site::behind(Door::ByHand).with_config(&account("request_timeout = \"100ms\"")).open();
    let request: Request = wechat().says("你");
    let (variables, body) = request.meta_variables("/weixin");
    let mut program = site.program();
    program.env("WXCGI_CONFIG", site.config());
    for (name, value) in variables {
        program.env(name, String::from_utf8(value).expect("text"));
    }
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().expect("our program");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(&body[..body.len() - 1]).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    drop(stdin);
    let log = String::from_utf8_lossy(&output.stderr);
    Answer::from_cgi(&output.stdout, "a body that does not end".to_owned()).is(408);
    assert!(log.contains("did not come within `request_timeout` (100ms)"), "{log}");
}
