use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use rustix::io::Errno;

use super::room;
use super::*;
use crate::gateway::fastcgi::Handle;
use crate::gateway::fastcgi::peer::SHED_PATIENCE;
use crate::gateway::fastcgi::record::{self, Header};
use crate::gateway::fastcgi::stream::Stream;
use crate::gateway::fastcgi::wire::{self, Reply, replies};
use crate::gateway::{Deadlines, Responder, listen};
use crate::http::{Params, Request, Response};

const KEEP: u8 = record::KEEP_CONN;
const CAP: usize = 1000;

/// Longer than anything here takes that goes well, shorter than the deadlines that no test is about.
const PATIENCE: Duration = Duration::from_secs(20);

/// A handler that does what the query says.
struct Desk {
    /// Responders of `later` go here, for the test to answer.
    later: Mutex<Sender<Responder>>,
    /// Responders of `join` wait here for `lead`.
    joined: Mutex<Vec<Responder>>,
    /// `block` holds the loop until something comes here.
    release: Mutex<Receiver<()>>,
    reloaded: Mutex<Sender<()>>,
}

impl Application for Desk {
    fn max_body(&self, _: &Params) -> usize {
        CAP
    }

    fn handle(&self, request: &Request, responder: Responder) {
        match request.query() {
            b"later" => self.later.lock().unwrap().send(responder).unwrap(),
            b"join" => self.joined.lock().unwrap().push(responder),
            b"lead" => {
                responder.respond(Response::text(200, "led"));
                let joined = std::mem::take(&mut *self.joined.lock().unwrap());
                for joined in joined {
                    joined.respond(Response::text(200, "joined"));
                }
            }
            b"block" => {
                self.later.lock().unwrap().send(responder).unwrap();
                self.release.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            }
            b"drop" => drop(responder),
            b"numbers" => responder.respond_with_page(|door| Response::text(200, format!("{door:?}"))),
            b"bad page" => responder.respond_with_page(|_| panic!("on purpose")),
            b"panic" => panic!("on purpose"),
            b"big" => responder.respond(Response::text(200, "x".repeat(4 << 20))),
            _ => responder.respond(Response { body: request.body.clone().into(), ..Response::text(200, "") }),
        }
    }

    fn unanswered(&self) -> Response {
        Response::text(200, "success")
    }

    fn reload(&self) {
        self.reloaded.lock().unwrap().send(()).unwrap();
    }
}

/// A loop in a thread of its own, at a unix socket in a folder of its own.
struct Running {
    path: PathBuf,
    tcp: String,
    later: Receiver<Responder>,
    reloaded: Receiver<()>,
    release: Sender<()>,
    handle: Handle,
    thread: JoinHandle<io::Result<()>>,
    _folder: tempfile::TempDir,
}

fn start() -> Running {
    start_with(|_| ())
}

fn start_with(change: impl FnOnce(&mut Options)) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fcgi.sock");
    let (signals, handle) = Signals::by_hand().unwrap();
    let mut options = Options { signals: Some(signals), allowed_peers: None, ..Options::default() };
    change(&mut options);
    let listeners =
        vec![listen(&format!("unix:{}", path.display()), 0o600).unwrap(), listen("127.0.0.1:0", 0).unwrap()];
    let tcp = listeners[1].place();
    let (later_in, later) = mpsc::channel();
    let (reloaded_in, reloaded) = mpsc::channel();
    let (release, release_out) = mpsc::channel();
    let desk = Desk {
        later: Mutex::new(later_in),
        joined: Mutex::default(),
        release: Mutex::new(release_out),
        reloaded: Mutex::new(reloaded_in),
    };
    let thread = thread::spawn(move || serve(listeners, options, &desk));
    Running { path, tcp, later, reloaded, release, handle, thread, _folder: folder }
}

/// A handler for a loop without channels.
fn plain_desk() -> Desk {
    Desk {
        later: Mutex::new(mpsc::channel().0),
        joined: Mutex::default(),
        release: Mutex::new(mpsc::channel().1),
        reloaded: Mutex::new(mpsc::channel().0),
    }
}

/// A loop that goes on only where the test has it go on, with a clock of the test's. Whoever is served may take long.
fn by_hand(desk: &Desk, listeners: Vec<Listener>, max_connections: usize) -> Server<'_> {
    const LONG: Duration = Duration::from_secs(600);
    let (signals, _) = Signals::by_hand().unwrap();
    let mut options =
        Options { signals: Some(signals), allowed_peers: None, max_connections, ..Options::default() };
    let deadlines = &mut options.deadlines;
    (deadlines.first_byte, deadlines.request, deadlines.idle) = (LONG, LONG, LONG);
    Server::new(listeners, options, desk).unwrap()
}

impl Server<'_> {
    /// Somebody connects and has sent this when the loop lets him in.
    fn visit(&mut self, bytes: &[u8]) -> Client<UnixStream> {
        let (theirs, ours) = UnixStream::pair().unwrap();
        theirs.set_read_timeout(Some(PATIENCE)).unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut client = Client(theirs);
        client.send(bytes);
        self.welcome(Stream::Unix(mio::net::UnixStream::from_std(ours)));
        client
    }

    /// Somebody is served and keeps his connection.
    fn visit_and_stay(&mut self) -> Client<UnixStream> {
        let mut client = self.visit(&wire::request(1, KEEP, "", b"x"));
        assert_eq!(client.reply().status(), 200);
        client
    }

    /// Reads what all have sent meanwhile.
    fn look(&mut self) {
        for mut peer in self.peers.take_all(|_| true) {
            peer.look_again();
            self.settle(peer);
        }
    }

    /// Ends the waits whose deadline is over at `now`.
    fn sweep_at(&mut self, now: Instant) {
        self.now = now;
        self.next_sweep = Some(now);
        self.sweep();
    }

    fn requests_answered(&self, status: u16) -> u64 {
        let counted = self.counts.requests.iter().find(|(known, _)| *known == status);
        counted.map_or(0, |(_, count)| *count)
    }
}

impl Running {
    fn connect(&self) -> Client<UnixStream> {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client(stream)
    }

    /// Asks on a connection of its own and gives the reply, after which the connection must end.
    fn ask(&self, query: &str, body: &[u8]) -> Reply {
        let mut client = self.connect();
        client.send(&wire::request(1, 0, query, body));
        let reply = client.reply();
        client.expect_end();
        reply
    }

    fn next_later(&self) -> Responder {
        self.later.recv_timeout(PATIENCE).unwrap()
    }

    /// Ends the loop in good order.
    fn stop(self) {
        self.handle.end();
        self.thread.join().unwrap().unwrap();
        assert!(!self.path.exists());
    }
}

/// A web server's end of a connection.
struct Client<S>(S);

impl<S: Read + Write> Client<S> {
    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// The next reply, read no further than its end.
    fn reply(&mut self) -> Reply {
        let mut bytes = Vec::new();
        loop {
            let mut header = [0; record::HEADER_LEN];
            self.0.read_exact(&mut header).unwrap();
            let kind = Header::decode(header).unwrap();
            let mut content = vec![0; usize::from(kind.content)];
            self.0.read_exact(&mut content).unwrap();
            bytes.extend(header);
            bytes.extend(content);
            if kind.kind == record::END_REQUEST {
                return replies(&bytes).remove(0);
            }
        }
    }

    #[track_caller]
    fn expect_end(&mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"");
    }
}

fn short(change: impl FnOnce(&mut Deadlines)) -> impl FnOnce(&mut Options) {
    |options| change(&mut options.deadlines)
}

const SOON: Duration = Duration::from_millis(100);

#[test]
fn a_request_is_answered_and_its_connection_closed() {
    let running = start();
    let reply = running.ask("", b"hello");
    assert_eq!((reply.status(), reply.body()), (200, "hello"));
    running.stop();
}

#[test]
fn a_request_that_comes_byte_by_byte_is_answered() {
    let running = start();
    let mut client = running.connect();
    wire::request(1, 0, "", b"hello").chunks(1).for_each(|byte| client.send(byte));
    assert_eq!(client.reply().body(), "hello");
    client.expect_end();
    running.stop();
}

#[test]
fn a_kept_connection_serves_one_after_another() {
    let running = start();
    let mut client = running.connect();
    for body in ["one", "two", "three"] {
        client.send(&wire::request(1, KEEP, "", body.as_bytes()));
        assert_eq!(client.reply().body(), body);
    }
    client.send(&wire::request(1, 0, "", b"last"));
    assert_eq!(client.reply().body(), "last");
    client.expect_end();
    running.stop();
}

#[test]
fn a_page_shows_the_numbers_of_the_loop() {
    let running = start_with(short(|deadlines| deadlines.write = SOON));
    let mut kept = running.connect();
    kept.send(&wire::request(1, KEEP, "", b"x"));
    kept.reply();
    let mut waits = running.connect();
    waits.send(&wire::request(1, 0, "later", b""));
    let responder = running.next_later();
    assert_eq!(running.ask("drop", b"").status(), 200);
    running.connect().send(b"GET / HTTP/1.1");
    let deaf = running.connect();
    (&deaf.0).write_all(&wire::request(1, 0, "big", b"")).unwrap();
    let numbers = || running.ask("numbers", b"").body().to_owned();
    let until = Instant::now() + PATIENCE;
    let page = loop {
        let page = numbers();
        if page.contains("broken: 1") && page.contains("\"write_timeout\", 1") {
            break page;
        }
        assert!(Instant::now() < until, "{page}");
    };
    let connections = "Connections { open: 3, most: 77, shed: 0, idle: 1, reading: 0, answering: 1, writing: 0, closing: 0 }";
    let connections = connections.replace("77", &Options::default().max_connections.to_string());
    for part in [&connections[..], "unanswered: 1", "abandoned: 0", "shed: 0", "Tally([(200, "] {
        assert!(page.contains(part), "no `{part}` in {page}");
    }
    responder.respond(Response::text(200, "late"));
    assert_eq!(waits.reply().body(), "late");
    assert!(numbers().contains("open: 2,"));
    running.stop();
}

#[test]
fn a_page_that_panics_is_answered_in_its_place() {
    let running = start();
    assert_eq!(running.ask("bad page", b"").body(), "success");
    assert_eq!(running.ask("", b"x").body(), "x");
    running.stop();
}

#[test]
fn hundreds_of_pipelined_requests_are_all_answered() {
    let running = start();
    let mut client = running.connect();
    let bodies: Vec<String> = (0..500).map(|number| number.to_string()).collect();
    let all: Vec<u8> = bodies.iter().flat_map(|body| wire::request(1, KEEP, "", body.as_bytes())).collect();
    client.send(&all);
    for body in bodies {
        assert_eq!(client.reply().body(), body);
    }
    running.stop();
}

#[test]
fn an_answer_may_come_from_another_thread_while_others_are_served() {
    let running = start();
    let mut waiting = running.connect();
    let next = wire::request(2, KEEP, "", b"next");
    waiting.send(&[wire::request(1, KEEP, "later", b""), next].concat());
    let responder = running.next_later();
    assert_eq!(running.ask("", b"meanwhile").body(), "meanwhile");
    responder.respond(Response::text(200, "at last"));
    assert_eq!(waiting.reply().body(), "at last");
    let reply = waiting.reply();
    assert_eq!((reply.id, reply.body()), (2, "next"));
    running.stop();
}

#[test]
fn a_request_may_be_answered_while_another_is_handled() {
    let running = start();
    let mut joined = running.connect();
    joined.send(&wire::request(1, 0, "join", b""));
    // The first answer to this one says that the loop has taken `join` before.
    let mut other = running.connect();
    other.send(&wire::request(1, KEEP, "", b"x"));
    other.reply();
    assert_eq!(running.ask("lead", b"").body(), "led");
    assert_eq!(joined.reply().body(), "joined");
    running.stop();
}

#[test]
fn a_dropped_responder_and_a_panic_are_answered() {
    let running = start();
    assert_eq!(running.ask("drop", b"").body(), "success");
    assert_eq!(running.ask("panic", b"").body(), "success");
    let mut client = running.connect();
    client.send(&wire::request(1, 0, "later", b""));
    drop(running.next_later());
    assert_eq!(client.reply().body(), "success");
    running.stop();
}

#[test]
fn a_thousand_answers_from_many_threads_reach_their_own() {
    let running = start();
    thread::scope(|scope| {
        for client in 0..8 {
            let running = &running.path;
            scope.spawn(move || {
                for number in 0..200 {
                    let body = format!("{client}-{number}");
                    let mut stream = Client(UnixStream::connect(running).unwrap());
                    stream.send(&wire::request(1, 0, "", body.as_bytes()));
                    assert_eq!(stream.reply().body(), body);
                }
            });
        }
    });
    running.stop();
}

#[test]
fn silent_peers_hinder_nobody_and_are_closed() {
    let running = start_with(short(|deadlines| deadlines.first_byte = SOON));
    let mut silent: Vec<_> = (0..50).map(|_| running.connect()).collect();
    assert_eq!(running.ask("", b"hello").body(), "hello");
    silent.iter_mut().for_each(Client::expect_end);
    running.stop();
}

#[test]
fn a_request_that_does_not_end_is_answered_408() {
    let running = start_with(short(|deadlines| deadlines.request = SOON));
    let whole = wire::request(1, KEEP, "", b"hello");
    for end in [17, whole.len() - 1] {
        let mut client = running.connect();
        client.send(&whole[..end]);
        assert_eq!(client.reply().status(), 408, "{end}");
        client.expect_end();
    }
    let mut nameless = running.connect();
    nameless.send(&whole[..9]);
    nameless.expect_end();
    running.stop();
}

#[test]
fn an_idle_kept_connection_is_closed_in_the_end() {
    let running = start_with(short(|deadlines| deadlines.idle = SOON));
    let mut client = running.connect();
    client.send(&wire::request(1, KEEP, "", b"x"));
    client.reply();
    client.expect_end();
    running.stop();
}

#[test]
fn a_handler_that_never_answers_is_answered_for() {
    let running = start_with(short(|deadlines| deadlines.answer = SOON));
    let mut client = running.connect();
    client.send(&wire::request(1, KEEP, "later", b""));
    let late = running.next_later();
    assert_eq!(client.reply().body(), "success");
    client.send(&wire::request(1, KEEP, "later", b""));
    let second = running.next_later();
    late.respond(Response::text(200, "too late"));
    second.respond(Response::text(200, "in time"));
    assert_eq!(client.reply().body(), "in time");
    running.stop();
}

#[test]
fn an_answer_for_a_peer_that_has_gone_reaches_nobody_else() {
    let running = start_with(|options| options.max_connections = 1);
    let mut gone = running.connect();
    gone.send(&wire::request(1, 0, "later", b""));
    let late = running.next_later();
    drop(gone);
    // There is one place: the next one is served when the loop has noticed that it is free.
    let until = Instant::now() + PATIENCE;
    let mut client = loop {
        assert!(Instant::now() < until, "its place is not given free");
        let mut client = running.connect();
        client.send(&wire::request(1, KEEP, "", b"x"));
        if client.reply().status() == 200 {
            break client;
        }
    };
    client.send(&wire::request(1, 0, "later", b""));
    let own = running.next_later();
    late.respond(Response::text(200, "late"));
    own.respond(Response::text(200, "own"));
    assert_eq!(client.reply().body(), "own");
    running.stop();
}

#[test]
fn beyond_the_limit_everybody_gets_a_503() {
    let running = start_with(|options| options.max_connections = 1);
    let mut waiting = running.connect();
    waiting.send(&wire::request(1, 0, "later", b""));
    let responder = running.next_later();
    let reply = running.ask("", b"hello");
    assert_eq!(reply.status(), 503);
    assert!(reply.document.contains("\r\nRetry-After: 1\r\n"));
    let mut silent: Vec<_> = (0..room::make(1)).map(|_| running.connect()).collect();
    let mut turned_away = running.connect();
    assert_eq!(turned_away.reply().status(), 503);
    silent[0].send(&wire::request(5, KEEP, "", b"hello"));
    let reply = silent[0].reply();
    assert_eq!((reply.id, reply.status()), (5, 503));
    silent[0].expect_end();
    responder.respond(Response::text(200, "served"));
    assert_eq!(waiting.reply().body(), "served");
    drop(silent);
    running.stop();
}

#[test]
fn who_is_turned_away_is_told_within_a_second() {
    let running = start_with(|options| {
        options.max_connections = 1;
        // Whoever is served may take that long.
        options.deadlines.request = Duration::from_secs(600);
    });
    let mut waiting = running.connect();
    waiting.send(&wire::request(1, 0, "later", b""));
    let responder = running.next_later();
    let mut slow = running.connect();
    let request = wire::request(1, 0, "", b"hello");
    slow.send(&request[..request.len() - 1]);
    assert_eq!(slow.reply().status(), 503);
    responder.respond(Response::text(200, "served"));
    assert_eq!(waiting.reply().body(), "served");
    running.stop();
}

#[test]
fn who_is_only_heard_out_takes_no_place() {
    let desk = plain_desk();
    let mut server = by_hand(&desk, Vec::new(), 4);
    let request = wire::request(1, KEEP, "", b"hello");
    let busy: Vec<_> = (0..4).map(|_| server.visit(&request[..20])).collect();
    let mut silent: Vec<_> = (0..6).map(|_| server.visit(b"")).collect();
    let connections = server.status().connections;
    assert_eq!((connections.open, connections.reading, connections.shed), (4, 4, 6));
    silent[0].send(&request);
    server.look();
    assert_eq!(silent[0].reply().status(), 503);
    silent[0].expect_end();

    drop(busy);
    server.look();
    assert_eq!(server.visit(&request).reply().body(), "hello");
    // One of them has sent its request by now.
    silent[1].send(&request);
    server.look();
    assert_eq!(silent[1].reply().body(), "hello");
    let connections = server.status().connections;
    assert_eq!((connections.open, connections.idle, connections.shed), (1, 1, 4));
    assert_eq!((server.counts.accepted, server.counts.peak, server.counts.shed), (11, 4, 1));
}

#[test]
fn no_more_are_heard_out_than_there_is_room_for() {
    let desk = plain_desk();
    let mut server = by_hand(&desk, Vec::new(), 1);
    let request = wire::request(1, 0, "", b"hello");
    let _busy = server.visit(&request[..20]);
    let mut silent: Vec<_> = (0..server.shed_reserve).map(|_| server.visit(b"")).collect();
    assert_eq!(server.visit(&wire::request(5, KEEP, "", b"")).reply().status(), 503);
    assert_eq!((server.counts.shed, server.requests_answered(503)), (1, 1));
    drop(silent.pop());
    server.look();
    let mut heard = server.visit(b"");
    assert_eq!(server.peers.shed(), server.shed_reserve);
    heard.send(&request);
    server.look();
    assert_eq!(heard.reply().status(), 503);
}

#[test]
fn who_is_to_be_shed_has_one_patience_for_all_it_says() {
    let desk = plain_desk();
    let mut server = by_hand(&desk, Vec::new(), 1);
    let request = wire::request(7, KEEP, "", b"hello");
    let came = Instant::now().checked_sub(SHED_PATIENCE).unwrap();
    server.now = came;
    let mut first = server.visit(&request[..20]);
    let mut slow = server.visit(b"");
    let mut asks_for_values = server.visit(b"");
    let mut no_whole_record = server.visit(b"");
    let mut silent = server.visit(b"");
    // Some say something when their time is over already by the system's clock, and nothing more.
    slow.send(&request[..20]);
    asks_for_values.send(&wire::plain(record::GET_VALUES, 0, b""));
    no_whole_record.send(&request[..5]);
    server.look();
    assert_eq!(server.peers.shed(), 4);
    server.sweep_at(came + SHED_PATIENCE);
    let reply = slow.reply();
    assert_eq!((reply.id, reply.status()), (7, 503));
    let mut values = [0; record::HEADER_LEN];
    asks_for_values.0.read_exact(&mut values).unwrap();
    assert_eq!(Header::decode(values).unwrap().kind, record::GET_VALUES_RESULT);
    for client in [&mut asks_for_values, &mut no_whole_record, &mut silent] {
        // The id that every web server uses.
        let reply = client.reply();
        assert_eq!((reply.id, reply.status()), (1, 503));
        client.expect_end();
    }
    assert_eq!((server.counts.shed, server.requests_answered(503)), (4, 4));
    assert_eq!(server.counts.timeouts.total(), 0);
    first.send(&request[20..]);
    server.look();
    assert_eq!(first.reply().body(), "hello");
}

#[test]
fn who_comes_when_no_descriptor_is_left_is_counted_and_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fcgi.sock");
    let listener = listen(&format!("unix:{}", path.display()), 0o600).unwrap();
    let desk = plain_desk();
    let mut server = by_hand(&desk, vec![listener], 60);
    let mut clients: Vec<_> = (0..3).map(|_| Client(UnixStream::connect(&path).unwrap())).collect();
    server.turn_away_from(0);
    for client in &mut clients {
        assert_eq!(client.reply().status(), 503);
        client.expect_end();
    }
    let counts = &server.counts;
    assert_eq!((counts.accepted, counts.shed, counts.peak, counts.times.count()), (3, 3, 0, 3));
    assert_eq!(server.requests_answered(503), 3);
}

#[test]
fn another_idle_connection_makes_room_where_the_longest_idle_one_just_woke() {
    let desk = plain_desk();
    let mut server = by_hand(&desk, Vec::new(), 3);
    let request = wire::request(1, KEEP, "", b"hello");
    let mut stayed: Vec<_> = (0..3)
        .map(|_| {
            server.now += SOON;
            server.visit_and_stay()
        })
        .collect();
    stayed[0].send(&request[..20]);
    let mut new = server.visit(&request);
    assert_eq!(new.reply().body(), "hello");
    stayed[1].expect_end();
    stayed[0].send(&request[20..]);
    server.look();
    assert_eq!(stayed[0].reply().body(), "hello");

    // All of them are at work: nobody makes room.
    stayed.remove(1);
    for client in stayed.iter_mut().chain([&mut new]) {
        client.send(&request[..20]);
    }
    server.look();
    assert!(server.peers.take_longest_spare().is_none());
    assert_eq!(server.visit(&request).reply().status(), 503);
    assert_eq!(server.status().connections.reading, 3);
}

#[test]
fn an_idle_kept_connection_makes_room_for_a_new_one() {
    let running = start_with(|options| options.max_connections = 1);
    let mut idle = running.connect();
    idle.send(&wire::request(1, KEEP, "", b"x"));
    idle.reply();
    assert_eq!(running.ask("", b"new").body(), "new");
    idle.expect_end();
    running.stop();
}

#[test]
fn a_long_answer_arrives_whole() {
    let running = start();
    assert_eq!(running.ask("big", b"").body().len(), 4 << 20);
    running.stop();
}

#[test]
fn a_peer_that_never_reads_is_let_go() {
    let running = start_with(short(|deadlines| deadlines.write = SOON));
    let mut client = running.connect();
    client.send(&wire::request(1, KEEP, "big", b""));
    // The loop answers this one long before the other is let go.
    assert_eq!(running.ask("", b"hello").body(), "hello");
    // A deadline cannot be waited for as an event here: reading would be what it waits for.
    thread::sleep(SOON * 5);
    let mut taken = Vec::new();
    client.0.read_to_end(&mut taken).unwrap();
    assert!(taken.len() < 4 << 20, "{}", taken.len());
    running.stop();
}

#[test]
fn an_endless_body_is_answered_and_bounded() {
    let running = start();
    let mut client = running.connect();
    client.send(&wire::begin(1, 1, KEEP));
    client.send(&wire::stream(record::PARAMS, 1, &wire::pairs(&[(b"REQUEST_METHOD", b"POST")]), 100));
    let part = wire::plain(record::STDIN, 1, &[b'x'; 10_000]);
    // Sent on and on: the loop takes a bounded amount and then closes.
    while client.0.write_all(&part).is_ok() {}
    assert_eq!(client.reply().status(), 413);
    running.stop();
}

#[test]
fn a_peer_that_breaks_the_protocol_is_closed() {
    let running = start();
    let mut client = running.connect();
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    // Unread bytes may make this an error; either way the connection is over.
    assert!(matches!(client.0.read(&mut [0; 10]), Ok(0) | Err(_)));
    running.stop();
}

#[test]
fn the_end_lets_what_is_accepted_finish() {
    let running = start();
    let mut idle = running.connect();
    idle.send(&wire::request(1, KEEP, "", b"x"));
    idle.reply();
    let mut waiting = running.connect();
    waiting.send(&wire::request(1, KEEP, "later", b""));
    let responder = running.next_later();
    running.handle.end();
    idle.expect_end();
    assert!(UnixStream::connect(&running.path).is_err());
    responder.respond(Response::text(200, "finished"));
    assert_eq!(waiting.reply().body(), "finished");
    waiting.expect_end();
    running.thread.join().unwrap().unwrap();
}

#[test]
fn the_end_serves_who_waits_at_a_socket_of_our_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fcgi.sock");
    let listener = listen(&format!("unix:{}", path.display()), 0o600).unwrap();
    let (signals, handle) = Signals::by_hand().unwrap();
    // Both are there before the loop begins to look.
    let mut client = Client(UnixStream::connect(&path).unwrap());
    client.send(&wire::request(1, 0, "", b"hello"));
    handle.end();
    let options = Options { signals: Some(signals), ..Options::default() };
    serve(vec![listener], options, &plain_desk()).unwrap();
    assert_eq!(client.reply().body(), "hello");
}

#[test]
fn whoever_still_waits_when_the_time_is_over_gets_an_answer() {
    let running = start_with(short(|deadlines| deadlines.drain = SOON));
    let mut waiting = running.connect();
    waiting.send(&wire::request(1, KEEP, "later", b""));
    let _responder = running.next_later();
    running.handle.end();
    assert_eq!(waiting.reply().body(), "success");
    running.thread.join().unwrap().unwrap();
}

#[test]
fn told_twice_it_ends_at_once() {
    let running = start();
    let mut waiting = running.connect();
    waiting.send(&wire::request(1, KEEP, "later", b""));
    let _responder = running.next_later();
    running.handle.end();
    running.handle.end();
    running.thread.join().unwrap().unwrap();
}

#[test]
fn a_reload_reaches_the_application() {
    let running = start();
    running.handle.reload();
    running.reloaded.recv_timeout(PATIENCE).unwrap();
    assert_eq!(running.ask("", b"x").status(), 200);
    running.stop();
}

#[test]
fn tcp_is_served_beside_unix() {
    let running = start();
    let mut client = Client(TcpStream::connect(&running.tcp).unwrap());
    client.send(&wire::request(1, 0, "", b"hello"));
    assert_eq!(client.reply().body(), "hello");
    client.expect_end();
    running.stop();
}

#[test]
fn who_is_not_listed_may_not_connect_over_tcp() {
    let other: IpAddr = "192.0.2.1".parse().unwrap();
    let running = start_with(|options| options.allowed_peers = Some(vec![other]));
    let mut client = Client(TcpStream::connect(&running.tcp).unwrap());
    client.expect_end();
    assert_eq!(running.ask("", b"unix").body(), "unix");
    running.stop();
    let running = start_with(|options| options.allowed_peers = Some(vec![[127, 0, 0, 1].into()]));
    let mut client = Client(TcpStream::connect(&running.tcp).unwrap());
    client.send(&wire::request(1, 0, "", b"hello"));
    assert_eq!(client.reply().body(), "hello");
    running.stop();
}

#[test]
fn a_peer_that_ends_right_behind_its_request_is_answered_and_closed() {
    let running = start();
    let mut kept = running.connect();
    kept.send(&wire::request(1, KEEP, "", b"x"));
    kept.reply();
    // While the loop is busy, request and end come together.
    let mut other = running.connect();
    other.send(&wire::request(1, 0, "block", b""));
    let responder = running.next_later();
    kept.send(&wire::request(1, KEEP, "", b"last"));
    kept.0.shutdown(std::net::Shutdown::Write).unwrap();
    running.release.send(()).unwrap();
    assert_eq!(kept.reply().body(), "last");
    kept.expect_end();
    responder.respond(Response::text(200, "later"));
    assert_eq!(other.reply().body(), "later");
    running.stop();
}

#[test]
fn the_end_serves_a_request_that_came_on_a_kept_connection_meanwhile() {
    let running = start();
    let mut kept = running.connect();
    kept.send(&wire::request(1, KEEP, "", b"x"));
    kept.reply();
    let mut other = running.connect();
    other.send(&wire::request(1, 0, "block", b""));
    drop(running.next_later());
    running.handle.end();
    kept.send(&wire::request(1, KEEP, "", b"last"));
    running.release.send(()).unwrap();
    assert_eq!(other.reply().body(), "success");
    assert_eq!(kept.reply().body(), "last");
    kept.expect_end();
    running.thread.join().unwrap().unwrap();
}

#[test]
fn running_out_of_descriptors_pauses_and_ends_nothing() {
    let desk = plain_desk();
    let mut server = by_hand(&desk, Vec::new(), Options::default().max_connections);
    for passing in [Errno::CONNABORTED, Errno::INTR] {
        assert!(server.survive_accept(0, &passing.into()));
        assert_eq!(server.accept_from, None);
    }
    for lasting in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS] {
        server.accept_from = None;
        assert!(!server.survive_accept(0, &lasting.into()));
        assert!(server.timeout().is_some_and(|pause| pause > Duration::ZERO && pause < SOON));
    }
}
