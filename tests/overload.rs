//! More connections than can be served: each gets its answer or is told to come again, and then all is as before.

use std::env;
use std::fmt::Debug;
use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use tempfile::TempDir;
use wxcgi::gateway::fastcgi::{Options, serve};
use wxcgi::gateway::{Application, Responder, listen};
use wxcgi::http;

use crate::support::{
    Answer, Door, PATIENCE, Process, Request, Site, WeChat, answer_on, connections, wait_until,
};

const CONNECTIONS: usize = 2_000;

/// What a responder serves at once unless it is told otherwise.
const SERVED_AT_ONCE: usize = 1_024;

/// What each connection may cost a responder, in KiB.
const KIB_EACH: usize = 4;

/// Holds every request that says `sleep` until it is told to wake up (SIGHUP); answers the others. Both from another
/// thread.
struct Sleeper {
    sleeping: Mutex<Vec<Responder>>,
    answers: Sender<(Responder, &'static str)>,
}

impl Sleeper {
    fn new() -> Self {
        let (answers, to_be_given) = mpsc::channel::<(Responder, &str)>();
        thread::spawn(move || {
            for (responder, text) in to_be_given {
                responder.respond(http::Response::text(200, text));
            }
        });
        Self { sleeping: Mutex::default(), answers }
    }
}

impl Application for Sleeper {
    fn max_body(&self, _: &http::Params) -> usize {
        1_000
    }

    fn handle(&self, request: &http::Request, responder: Responder) {
        if request.query() == b"sleep" {
            self.sleeping.lock().unwrap_or_else(PoisonError::into_inner).push(responder);
        } else {
            self.answers.send((responder, "awake")).expect("the thread lives");
        }
    }

    fn unanswered(&self) -> http::Response {
        http::Response::text(500, "unanswered")
    }

    fn reload(&self) {
        for responder in self.sleeping.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            self.answers.send((responder, "slept well")).expect("the thread lives");
        }
    }
}

/// Names the socket where a copy of this program is to be the server and not the test.
const SERVER_AT: &str = "WXCGI_TEST_SLEEPER_AT";

/// [`Sleeper`] behind the library's own loop, in a process of its own.
struct Server {
    child: Child,
    socket: PathBuf,
    _folder: TempDir,
}

impl Server {
    /// Starts `test`, which has to begin with [`serves`], as the server.
    fn started_by(test: &str) -> Self {
        let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir();
        let folder = folder.expect("a temporary folder");
        let socket = folder.path().join("sleeper.sock");
        let mut command = Command::new(env::current_exe().expect("this program"));
        command.args(["--exact", test]).env(SERVER_AT, &socket).stdout(Stdio::null());
        let child = command.spawn().expect("it runs again");
        wait_until("the server listens", || UnixStream::connect(&socket).is_ok());
        wait_until("the server is idle", || connections(&socket) == (0, 0));
        Self { child, socket, _folder: folder }
    }

    fn process(&self) -> Process {
        Process::of(&self.child)
    }

    fn wake(&self) {
        self.process().gets(Signal::HUP);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// Serves, if this process is to be the server; `false` in the test itself.
fn serves() -> bool {
    raise_descriptor_limit();
    let Some(socket) = env::var_os(SERVER_AT) else { return false };
    let address = format!("unix:{}", Path::new(&socket).display());
    let listener = listen(&address, 0o666).expect("a socket");
    let options = Options { max_connections: SERVED_AT_ONCE, ..Options::default() };
    serve(vec![listener], options, &Sleeper::new()).expect("it serves");
    true
}

/// Lets this process and those that it starts have so many connections.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = u64::try_from(3 * CONNECTIONS).expect("a small number");
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), ..limit };
        setrlimit(Resource::Nofile, raised).expect("a hard limit of 6000 descriptors or more");
    }
}

/// Connects all, and only then sends `wire` on each: whoever is turned away has not said anything yet.
fn flood<S: Write + AsFd>(connect: impl Fn() -> S, wire: &[u8]) -> Vec<S> {
    let mut streams: Vec<S> = (0..CONNECTIONS).map(|_| connect()).collect();
    let faults: Vec<_> = streams.iter_mut().filter_map(|stream| stream.write_all(wire).err()).collect();
    // A web server that cannot hand its request on answers 502.
    assert!(faults.is_empty(), "{} requests could not be sent, such as {:?}", faults.len(), faults[0]);
    streams
}

/// Waits until `count` of the streams have something to read, and gives those and the others.
fn answered<S: AsFd>(streams: Vec<S>, count: usize) -> (Vec<S>, Vec<S>) {
    let readable = |streams: &[S]| -> Vec<bool> {
        let mut polled: Vec<_> = streams.iter().map(|stream| PollFd::new(stream, PollFlags::IN)).collect();
        poll(&mut polled, Some(&rustix::event::Timespec::default())).expect("a poll");
        polled.iter().map(|stream| !stream.revents().is_empty()).collect()
    };
    wait_until("so many are answered", || readable(&streams).into_iter().filter(|it| *it).count() >= count);
    let (mut answered, mut others) = (Vec::new(), Vec::new());
    for (readable, stream) in readable(&streams).into_iter().zip(streams) {
        if readable { &mut answered } else { &mut others }.push(stream);
    }
    (answered, others)
}

#[track_caller]
fn is_told_to_come_again(answer: &Answer) {
    assert_eq!(answer.is(503).header("retry-after"), Some("1"), "{answer}");
}

/// What the sleeper's tests go through: `connect` and `read` make and end a request at one of its doors.
fn survives_a_flood<S: Read + Write + AsFd + Debug>(
    server: &Server,
    connect: impl Fn() -> S,
    wire: impl Fn(&Request) -> Vec<u8>,
    read: impl Fn(&mut S) -> Answer,
) {
    let is_awake = || {
        let mut stream = connect();
        stream.write_all(&wire(&Request::new("GET"))).expect("it reads");
        read(&mut stream).is(200).says("awake");
    };
    let is_idle = || wait_until("all connections are closed", || connections(&server.socket) == (0, 0));
    is_awake();
    is_idle();
    let (memory, open) = (server.process().own_memory(), server.process().descriptors());

    let start = Instant::now();
    let streams = flood(&connect, &wire(&Request::new("GET").raw_query("sleep")));
    // Nobody has woken up yet, and these know already.
    let (mut shed, mut sleepers) = answered(streams, CONNECTIONS - SERVED_AT_ONCE);
    let told = start.elapsed();
    for stream in &mut shed {
        is_told_to_come_again(&read(stream));
    }
    let peak = server.process().own_memory();
    let more = peak.saturating_sub(memory);
    assert!(more <= CONNECTIONS * KIB_EACH, "{more} KiB more for {CONNECTIONS} connections");

    server.wake();
    for stream in &mut sleepers {
        read(stream).is(200).says("slept well");
    }
    let (told_so, slept) = (shed.len(), sleepers.len());
    assert!(slept >= SERVED_AT_ONCE, "{slept} were served and {told_so} told to come again");
    is_awake();
    is_idle();
    assert_eq!(server.process().descriptors(), open);
    println!(
        "{told_so} told to come again, the last after {told:?}; {slept} answered; \
         {memory} KiB before, {peak} during, {} after",
        server.process().own_memory()
    );
}

#[test]
fn two_thousand_connections_to_a_sleeping_handler_are_answered_or_told_to_come_again() {
    if serves() {
        return;
    }
    let server = Server::started_by(
        "overload::two_thousand_connections_to_a_sleeping_handler_are_answered_or_told_to_come_again",
    );
    survives_a_flood(
        &server,
        || connected(&server.socket),
        |request| request.records(1, false),
        |stream| answer_on(stream).expect("an answer"),
    );
}

fn connected(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).expect("it accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    stream
}

#[test]
fn behind_nginx_the_same_two_thousand_get_no_other_answers() {
    if serves() || !Door::NginxUnix.is_open() {
        return;
    }
    let server = Server::started_by("overload::behind_nginx_the_same_two_thousand_get_no_other_answers");
    let site = Site::behind(Door::NginxUnix).served_at(&server.socket).open();
    survives_a_flood(
        &server,
        || {
            let stream = TcpStream::connect(("127.0.0.1", site.port())).expect("nginx accepts");
            stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
            stream
        },
        |request| request.wire("/weixin"),
        |stream| {
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).expect("an answer");
            Answer::from_http(&answer, "one of two thousand".to_owned())
        },
    );
}

#[test]
fn two_thousand_connections_at_once_do_the_program_no_harm() {
    if !Door::FastcgiByHand.is_open() {
        return;
    }
    raise_descriptor_limit();
    let config = "[account]\ntoken = \"mytoken\"\n[default]\nreply = \"晴\"\n";
    let site = Site::behind(Door::FastcgiByHand).with_config(config).open();
    let request = WeChat::with_token("mytoken").says("天气");
    site.receives(&request).replies("晴");
    wait_until("all connections are closed", || connections(site.socket()) == (0, 0));
    let (memory, open) = (site.responder().own_memory(), site.responder().descriptors());

    let streams = flood(|| connected(site.socket()), &request.records(1, false));
    let mut served = 0;
    for mut stream in streams {
        match answer_on(&mut stream).expect("an answer") {
            answer if answer.status == 200 => {
                answer.replies("晴");
                served += 1;
            }
            answer => is_told_to_come_again(&answer),
        }
    }
    assert!(served >= SERVED_AT_ONCE, "only {served} were served");
    site.receives(&request).replies("晴");
    wait_until("all connections are closed", || connections(site.socket()) == (0, 0));
    let after = site.responder().own_memory();
    assert!(after <= memory + CONNECTIONS * KIB_EACH, "{memory} KiB before the flood, {after} after it");
    assert_eq!(site.responder().descriptors(), open);
    println!("{served} served of {CONNECTIONS}; {memory} KiB before, {after} after");
}
