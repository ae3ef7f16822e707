//! The CGI program as a process: what web servers and shared hosts start it with, and what goes away under it.
//!
//! How bodies and headers are read stands in `bad_input`; here it is about descriptors, arguments, environment, limits
//! and signals.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{Seek, Write, pipe};
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionread;
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::{
    Answer, Door, FullPipe, Process, Request, Site, WeChat, free_port, output_in_time, wait_until,
};

const ACCOUNT: &str = r#"
[account]
token = "mytoken"

[[rule]]
when.text = "天气"
reply = "晴"

[log]
file = "../log/wx.log"
"#;

fn wechat() -> WeChat {
    WeChat::with_token("mytoken")
}

fn open() -> Site {
    Site::behind(Door::ByHand).with_config(ACCOUNT).open()
}

fn weather() -> Request {
    wechat().says("天气")
}

/// The program with the environment of this request.
fn program_for(site: &Site, request: &Request, starter: &[&str]) -> Command {
    let mut program = site.program_under(starter);
    program.env("WXCGI_CONFIG", site.config());
    for (name, value) in request.meta_variables("/weixin").0 {
        program.env(name, OsString::from_vec(value));
    }
    program
}

/// What has come of a process.
struct Outcome {
    status: ExitStatus,
    said: Vec<u8>,
    complained: String,
}

impl Outcome {
    /// Its answer, given by a process that ended well and kept its stderr clean.
    #[track_caller]
    fn answer(&self, what: &str) -> Answer {
        assert!(self.status.success(), "{what}: {}, {}", self.status, self.complained);
        assert_eq!(self.complained, "", "{what}");
        Answer::from_cgi(&self.said, what.to_owned())
    }
}

/// Runs a program to its end.
fn outcome(program: &mut Command, stdin: impl Into<Stdio>) -> Outcome {
    let program = program.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = output_in_time(program.spawn().expect("it starts"));
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    Outcome { status: output.status, said: output.stdout, complained }
}

/// A pipe in which this waits to be read, and nothing after it.
fn pipe_with(bytes: &[u8]) -> OwnedFd {
    let (reader, mut writer) = pipe().expect("a pipe");
    writer.write_all(bytes).expect("room for it");
    reader.into()
}

/// The same as a connected socket, which stdin is under mod_cgid.
fn socket_with(bytes: &[u8]) -> OwnedFd {
    let (mut ours, theirs) = UnixStream::pair().expect("a socket pair");
    ours.write_all(bytes).expect("room for it");
    ours.shutdown(Shutdown::Write).expect("our side");
    theirs.into()
}

/// The same as a file, which stdin is under lighttpd.
fn file_with(bytes: &[u8]) -> OwnedFd {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(bytes).and_then(|()| file.rewind()).expect("a file of ours");
    file.into()
}

fn null() -> OwnedFd {
    File::open("/dev/null").expect("/dev/null").into()
}

/// A terminal: what a person types at, and what the program reads from.
fn terminal() -> (File, OwnedFd) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("it is ours");
    let name = ptsname(&ours, Vec::new()).expect("its name");
    let theirs = File::options().read(true).write(true).open(OsStr::from_bytes(name.as_bytes()));
    (ours.into(), theirs.expect("its other side").into())
}

#[test]
fn stdin_may_be_anything() {
    let site = open();
    let body = weather().meta_variables("/weixin").1;
    let chunked = weather().chunked();
    for (what, stdin, has_body) in [
        ("a pipe", pipe_with as fn(&[u8]) -> OwnedFd, true),
        ("a socket", socket_with, true),
        ("a file", file_with, true),
        ("/dev/null", |_| null(), false),
    ] {
        let get = wechat().verifies("4711");
        outcome(&mut program_for(&site, &get, &[]), stdin(b"")).answer(what).says("4711");
        for request in [&weather(), &chunked] {
            let answer = outcome(&mut program_for(&site, request, &[]), stdin(&body)).answer(what);
            if has_body {
                answer.replies("晴")
            } else {
                answer.is(400)
            };
        }
    }
    let closed = ["sh", "-c", "exec \"$@\" 0<&-", "sh"];
    for (request, status) in [(wechat().verifies("1"), 200), (weather(), 400), (chunked, 400)] {
        outcome(&mut program_for(&site, &request, &closed), null()).answer("closed").is(status);
    }
}

#[test]
fn stdin_may_be_a_terminal() {
    let site = open();
    // It says nothing and does not end; nobody reads from it without a length.
    for request in [wechat().verifies("4711"), wechat().verifies("4711").method("HEAD")] {
        let (_person, stdin) = terminal();
        outcome(&mut program_for(&site, &request, &[]), stdin).answer("a terminal");
    }
    let (mut person, stdin) = terminal();
    let body = weather().meta_variables("/weixin").1;
    person.write_all(&body).and_then(|()| person.write_all(b"\n")).expect("it is typed");
    outcome(&mut program_for(&site, &weather(), &[]), stdin).answer("a terminal").replies("晴");
}

#[test]
fn a_content_length_is_a_number_or_refused() {
    let site = open();
    let body = weather().meta_variables("/weixin").1;
    let length = body.len();
    for (text, status) in [
        (format!("{length}"), 200),
        (format!("000{length}"), 200),
        (format!("{length:019}"), 200),
        (format!("{length:020}"), 400),
        (format!("+{length}"), 400),
        (format!("{length}, {length}"), 400),
        (format!("{length}abc"), 400),
        (format!("{length}.0"), 400),
        (format!(" {length}"), 400),
        (format!("0x{length:x}"), 400),
        ("-1".to_owned(), 400),
        ("9".repeat(18), 413),
        ("9223372036854775808".to_owned(), 413),
        ("18446744073709551616".to_owned(), 400),
        ("9".repeat(20), 400),
        ("100000000000000000000".to_owned(), 400),
        // Empty is absent: then there is no body, and no message.
        (String::new(), 400),
        ("0".to_owned(), 400),
    ] {
        let mut program = program_for(&site, &weather(), &["prlimit", "--as=67108864"]);
        let outcome = outcome(program.env("CONTENT_LENGTH", &text), pipe_with(&body));
        let answer = outcome.answer(&text);
        assert_eq!(answer.status, status, "CONTENT_LENGTH={text}: {answer}");
    }
}

/// Sends one byte a second until the other side has gone.
fn drip(mut stdin: ChildStdin) {
    let second = Timespec::try_from(Duration::from_secs(1)).expect("a second");
    while stdin.write_all(b" ").is_ok() {
        // A pipe without a reader is an error, and nothing else wakes this.
        let mut end = [PollFd::new(&stdin, PollFlags::empty())];
        if poll(&mut end, Some(&second)).expect("a poll") > 0 {
            return;
        }
    }
}

#[test]
fn a_body_that_does_not_end_is_answered_before_its_end() {
    let site = open();
    let zipped = weather().header("Content-Encoding", "gzip");
    let requests = [
        ("one byte a second", weather(), 408),
        ("one byte a second in chunks", weather().chunked(), 408),
        ("one byte a second of a refused body", zipped.chunked(), 415),
    ];
    // Their other side stays open, and says nothing.
    let (_silent, socket) = UnixStream::pair().expect("a socket pair");
    let (_person, terminal) = terminal();
    thread::scope(|scope| {
        for (what, request, status) in requests {
            let mut program = program_for(&site, &request, &[]);
            scope.spawn(move || {
                let program = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
                let mut child = program.spawn().expect("it starts");
                let stdin = child.stdin.take().expect("a pipe");
                let dripping = thread::spawn(move || drip(stdin));
                let output = output_in_time(child);
                assert!(output.status.success(), "{what}: {}", output.status);
                Answer::from_cgi(&output.stdout, what.to_owned()).is(status);
                dripping.join().expect("it has seen the end");
            });
        }
        for (what, stdin) in [("a silent socket", socket.into()), ("a silent terminal", terminal)] {
            let mut program = program_for(&site, &weather(), &[]);
            scope.spawn(move || {
                outcome(&mut program, stdin).answer(what).is(408);
            });
        }
    });
}

fn site_log(site: &Site) -> std::path::PathBuf {
    site.folder().join("log/wx.log")
}

#[test]
fn arguments_are_never_read() {
    let site = open();
    let evil = format!("unix:{}/run/evil.sock", site.folder().display());
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let lines: &[&[&str]] = &[
        // What Apache makes of `?foo+bar+-s` and its like.
        &["foo"],
        &["foo", "bar", "-s"],
        &["-d", "allow_url_include=1"],
        &["--help me", "-V", "\\\"x\\\"\\;id\\|\\$\\(id\\)"],
        &["fcgi-tcp", "--bind", &address, "--daemonize"],
        &["--help"],
        &["-h"],
        &["--version"],
        &["-V"],
        &["help"],
        &["fastcgi", "--listen", &evil],
        &["fastcgi", "--listen", &address],
        &["check", "--config", "/etc/passwd"],
        &["simulate", "text", "天气"],
        &["sign", "--token", "mytoken"],
        &["init", "config", "--write"],
        &["completions", "bash"],
    ];
    let get = wechat().verifies("4711");
    for line in lines {
        let run = |tweak: &dyn Fn(&mut Command)| {
            let mut program = program_for(&site, &get, &[]);
            program.args(*line).current_dir(site.folder().join("tmp"));
            tweak(&mut program);
            outcome(&mut program, null())
        };
        run(&|_| ()).answer("CGI").says("4711").has("content-type", "text/plain; charset=utf-8");
        // A web server that does not introduce itself, as any one of its variables tells.
        for name in ["REQUEST_METHOD", "QUERY_STRING", "SERVER_SOFTWARE", "GATEWAY_INTERFACE"] {
            let outcome = run(&|program| {
                program.env_clear().env(name, "");
            });
            assert!(outcome.status.success(), "{line:?}: {}", outcome.status);
            let answer = Answer::from_cgi(&outcome.said, format!("{name} alone, {line:?}"));
            answer.is(500).keeps_quiet_about(&["Usage", "wxcgi 0", "4711", "天气"]);
        }
    }
    assert!(!site.folder().join("run/evil.sock").exists(), "a request opened a socket");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "a request opened a port");
    let written = fs::read_dir(site.folder().join("tmp")).expect("our folder").count();
    assert_eq!(written, 0, "a request wrote a file");
}

#[test]
fn the_environment_may_hold_anything() {
    let site = open();
    let mut program = program_for(&site, &wechat().verifies("4711"), &["prlimit", "--as=67108864"]);
    program.env("", "nameless").env("HTTP_PROXY", "http://203.0.113.66:3128");
    program.env("HTTP_X", OsStr::from_bytes(b"\xff\xfe")).env(OsStr::from_bytes(b"\xff"), "x");
    program.env("a\x1b[2J\n", "control bytes").env("REMOTE_ADDR", OsStr::from_bytes(b"\xff\n\x1b[2J"));
    for number in 0..10 {
        program.env(format!("HTTP_LONG_{number}"), "x".repeat(100_000));
    }
    outcome(&mut program, null()).answer("1 MB of it").says("4711");
    // Of what it does not need it takes nothing.
    let mut bare = site.program_under(&[]);
    bare.env("GATEWAY_INTERFACE", "CGI/1.1").env("WXCGI_CONFIG", site.config());
    outcome(&mut bare, null()).answer("no method").is(400);
}

#[test]
fn an_answer_that_nobody_takes_ends_without_a_panic() {
    let site = open();
    let (reader, gone) = pipe().expect("a pipe");
    drop(reader);
    let full = File::options().write(true).open("/dev/full").expect("/dev/full");
    let ignoring = ["sh", "-c", "trap '' INT PIPE XFSZ; exec \"$@\"", "sh"];
    // The web server has gone, with SIGPIPE as it comes and ignored as prefork has it; there is no room.
    for (what, starter, stdout) in [
        ("gone", &[][..], Stdio::from(gone.try_clone().expect("one more"))),
        ("gone, SIGPIPE ignored", &ignoring, gone.into()),
        ("full", &[], full.into()),
    ] {
        let mut program = program_for(&site, &wechat().verifies("4711"), starter);
        let program = program.stdin(null()).stdout(stdout).stderr(Stdio::piped());
        let output = output_in_time(program.spawn().expect("it starts"));
        assert_eq!(output.status.code(), Some(1), "{what}: {}", output.status);
        assert!(output.stderr.is_empty(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let log = fs::read_to_string(site_log(&site)).expect("a log");
    assert!(!log.contains("panic"), "{log}");
}

#[test]
fn closed_descriptors_are_filled_before_anything_is_opened() {
    let site = open();
    let config = fs::read(site.config()).expect("our file");
    let body = weather().meta_variables("/weixin").1;
    for closed in 0..8 {
        let closes = ["0<&-", "1>&-", "2>&-"].into_iter().enumerate();
        let closes: Vec<_> =
            closes.filter(|(number, _)| closed >> number & 1 == 1).map(|(_, it)| it).collect();
        let script = format!("exec \"$@\" {}", closes.join(" "));
        let starter = ["sh", "-c", &script, "sh"];
        for request in [wechat().verifies("4711"), weather()] {
            let outcome = outcome(&mut program_for(&site, &request, &starter), pipe_with(&body));
            assert!(outcome.status.success(), "{closes:?}: {}", outcome.status);
            assert_eq!(outcome.complained, "", "{closes:?}");
            assert_eq!(outcome.said.is_empty(), closed & 2 != 0, "{closes:?}");
        }
    }
    // Neither the config nor the log became the answer's way out.
    assert_eq!(fs::read(site.config()).expect("our file"), config);
    let log = fs::read_to_string(site_log(&site)).expect("a log");
    assert!(!log.contains("Status:") && !log.contains("<xml>") && !log.contains("4711"), "{log}");
    // Of the eight messages, four had no body to be read.
    assert_eq!(log.matches("met rule 1").count(), 4, "{log}");
}

#[test]
fn descriptors_that_it_was_started_with_do_no_harm() {
    let site = open();
    let leak = site.folder().join("tmp/leak");
    fs::write(&leak, "").expect("our folder");
    fs::set_permissions(&leak, Permissions::from_mode(0o666)).expect("our file");
    let script = format!(
        "for i in {{3..9}}; do eval \"exec $i>>'{}'\"; done; exec 10</etc/passwd 11</dev/zero 12<&0; exec \"$@\"",
        leak.display()
    );
    let body = weather().meta_variables("/weixin").1;
    let mut program = program_for(&site, &weather(), &["bash", "-c", &script, "bash"]);
    outcome(&mut program, pipe_with(&body)).answer("3 to 12").replies("晴");
    assert_eq!(fs::read(&leak).expect("our file"), b"", "something was written into a foreign file");
}

#[test]
fn a_stderr_that_nobody_reads_takes_no_answer_away() {
    // One account logs there anyway, one has nowhere else to complain, one is faulty.
    let to_stderr = ACCOUNT.replace("file = \"../log/wx.log\"", "level = \"trace\"");
    let nowhere = ACCOUNT.replace("../log/wx.log", "/nonexistent/wx.log");
    let faulty = ACCOUNT.replace("reply =", "replay =").repeat(30);
    let body = weather().meta_variables("/weixin").1;
    for (config, answers) in [(to_stderr, true), (nowhere, true), (faulty, false)] {
        let site = Site::behind(Door::ByHand).with_config(&config).open();
        for request in [weather(), weather().raw_query("?"), weather().method("FOO")] {
            let (_pipe, writer) = FullPipe::make();
            let mut program = program_for(&site, &request, &[]);
            let program = program.stdin(pipe_with(&body)).stdout(Stdio::piped()).stderr(writer);
            let output = output_in_time(program.spawn().expect("it starts"));
            assert!(output.status.success(), "{}", output.status);
            let answer = Answer::from_cgi(&output.stdout, "a full stderr".to_owned());
            answer.is_one_of(if answers { &[200, 403, 405] } else { &[200, 503, 405] });
        }
    }
}

#[test]
fn a_limit_on_files_takes_no_answer_away() {
    // No file may grow: neither the log nor the copy of the config.
    let site = open();
    let body = weather().meta_variables("/weixin").1;
    let mut program = program_for(&site, &weather(), &["prlimit", "--fsize=0", "--core=0"]);
    let outcome = outcome(&mut program, pipe_with(&body));
    assert!(outcome.status.success(), "{}", outcome.status);
    Answer::from_cgi(&outcome.said, "no file may grow".to_owned()).replies("晴");
    assert!(outcome.complained.contains("callback: text from"), "{}", outcome.complained);
}

#[test]
fn sigterm_ends_it_amid_a_body() {
    let site = open();
    let body = weather().meta_variables("/weixin").1;
    let mut program = program_for(&site, &weather(), &[]);
    let program = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(&body[..20]).expect("it reads");
    wait_until("it reads", || ioctl_fionread(&stdin).is_ok_and(|unread| unread == 0));
    Process::of(&child).gets(Signal::TERM);
    let output = output_in_time(child);
    assert_eq!(output.status.signal(), Some(Signal::TERM.as_raw()), "{}", output.status);
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "half an answer");
}

#[test]
fn little_memory_is_enough() {
    let site = open();
    // No further process and no thread either.
    let starter = ["prlimit", "--as=67108864", "--nproc=1", "--nofile=8", "--core=0"];
    let run = |request: &Request| {
        let body = request.meta_variables("/weixin").1;
        let mut program = program_for(&site, request, &starter);
        outcome(&mut program, file_with(&body)).answer("64 MiB")
    };
    run(&wechat().verifies("4711")).says("4711");
    run(&weather()).replies("晴");
    let empty = WeChat::message("text", "<Content></Content>").len();
    let full = WeChat::message("text", &format!("<Content>{}</Content>", "x".repeat(256 * 1024 - empty)));
    run(&wechat().pushes(&full)).acknowledges();
    run(&wechat().pushes(&full).chunked()).acknowledges();
    run(&wechat().pushes(format!("{full} "))).is(413);
    run(&wechat().pushes(format!("{full} ")).chunked()).is(413);
    run(&wechat().pushes(vec![b'x'; 4 << 20])).is(413);
    run(&wechat().pushes("<a>".repeat(80_000))).is(400);
}

#[test]
fn without_a_descriptor_to_spare_it_still_answers() {
    let site = open();
    let run = |request: &Request| {
        let body = request.meta_variables("/weixin").1;
        let mut program = program_for(&site, request, &["prlimit", "--nofile=3"]);
        let outcome = outcome(&mut program, file_with(&body));
        Answer::from_cgi(&outcome.said, "three descriptors".to_owned())
    };
    // The config cannot be read: the console is refused, and no user sees it.
    run(&wechat().verifies("4711")).is(503);
    run(&weather()).acknowledges();
}

#[test]
fn it_runs_under_a_bare_name_and_from_elsewhere() {
    // As suexec starts it.
    let site = open();
    let mut program = program_for(&site, &wechat().verifies("4711"), &[]);
    outcome(program.arg0("wx").current_dir("/"), null()).answer("wx").says("4711");
    let mut program = program_for(&site, &wechat().verifies("4711"), &[]);
    outcome(program.arg0("").current_dir("/proc"), null()).answer("no name").says("4711");
}
