//! The FastCGI responder as a process: peers that are slow, silent or gone, descriptors and memory that run out,
//! signals, and what it was started with.
//!
//! Nothing here is timed. What must not wait is asked for while that which it could wait for still lasts.

use std::fs;
use std::io::{ErrorKind, Read, Write, pipe};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket, sockopt};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use crate::support::{
    Door, FullPipe, Process, Site, WeChat, Wire, Witness, begin, free_port, kind, record, stream, wait_until,
};

const ACCOUNT: &str = r#"
[account]
token = "mytoken"

[[rule]]
when.text = "天气"
reply = "晴"
"#;

const MIB: usize = 1 << 20;

fn wechat() -> WeChat {
    WeChat::with_token("mytoken")
}

fn open() -> Site {
    Site::behind(Door::FastcgiByHand).with_config(ACCOUNT).open()
}

/// A whole request; its answer is 晴.
fn weather(keep: bool) -> Vec<u8> {
    wechat().says("天气").records(1, keep)
}

/// A fresh connection gets its answer.
#[track_caller]
fn serves(site: &Site) {
    Wire::to(site).sends(weather(false)).answer().replies("晴");
}

/// Lets this process have as many connections as it may.
fn raise_descriptor_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("up to the maximum is free");
}

/// Whether something has come, or comes within a second.
fn has_come(wire: &Wire) -> bool {
    let second = Timespec::try_from(Duration::from_secs(1)).expect("a second");
    poll(&mut [PollFd::new(&wire.stream, PollFlags::IN)], Some(&second)).expect("a poll") > 0
}

#[test]
fn five_hundred_silent_connections_cost_no_thread_and_hinder_nobody() {
    raise_descriptor_limit();
    let site = open();
    let mut good = Wire::to(&site);
    good.asks(&wechat().says("天气")).replies("晴");
    let (threads, descriptors) = (site.responder().threads(), site.responder().descriptors());
    let mut silent: Vec<_> = (0..500).map(|_| Wire::to(&site)).collect();
    serves(&site);
    good.asks(&wechat().says("天气")).replies("晴");
    assert_eq!(site.responder().threads(), threads);
    // Their time is over in the end, and nothing of them stays.
    silent.iter_mut().for_each(Wire::is_closed);
    assert_eq!(site.responder().descriptors(), descriptors);
    good.asks(&wechat().says("天气")).replies("晴");
}

#[test]
fn slow_peers_are_ended_and_hinder_nobody() {
    let site = open();
    let bytes = weather(true);
    let (early, late) = bytes.split_at(100);
    let mut no_whole_header = Wire::to(&site);
    let mut drips_from_the_start = Wire::to(&site);
    let mut all_but_one_byte = Wire::to(&site);
    let mut drips = Wire::to(&site);
    no_whole_header.sends(&bytes[..5]);
    all_but_one_byte.sends(&bytes[..bytes.len() - 1]);
    drips.sends(early);
    for (first, next) in bytes.iter().zip(late).take(20) {
        drips_from_the_start.sends([*first]);
        drips.sends([*next]);
        serves(&site);
        if has_come(&drips) {
            break;
        }
    }
    for wire in [&mut all_but_one_byte, &mut drips] {
        wire.answer().is(408);
        wire.is_closed();
    }
    // Nobody knows yet whether that is a request.
    no_whole_header.is_closed();
    drips_from_the_start.is_closed();
    assert_eq!(
        site.stderr().matches("it did not come within `request_timeout`").count(),
        2,
        "{}",
        site.stderr()
    );
}

#[test]
fn a_peer_that_never_reads_is_let_go() {
    let site = open();
    let before = site.responder().peak_memory();
    // A response of more than 1 MB, of a hundred answers.
    let long = wechat().verifies(&"e".repeat(15_000)).records(1, true);
    let mut deaf = Wire::to(&site);
    let writer = thread::spawn(move || (0..10_000).find_map(|_| deaf.stream.write_all(&long).err()));
    serves(&site);
    let error = writer.join().expect("no panic").expect("150 MB of answers are not kept for anybody");
    assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
    assert!(site.stderr().contains("did not read its answer"), "{}", site.stderr());
    let grown = site.responder().peak_memory() - before;
    assert!(grown < 2048, "{grown} KiB");
    serves(&site);
}

#[test]
fn peers_that_never_close_cost_no_descriptor() {
    let site = open();
    let mut good = Wire::to(&site);
    good.asks(&wechat().says("天气")).replies("晴");
    let before = site.responder().descriptors();
    let _held: Vec<_> = (0..100)
        .map(|_| {
            let mut wire = Wire::to(&site);
            wire.sends(weather(false)).answer().replies("晴");
            wire.is_closed();
            wire
        })
        .collect();
    assert_eq!(site.responder().descriptors(), before);
    // Those who were answered before they had sent all; what they leave unread keeps no processor busy.
    let busy = site.responder().processor_time();
    let _more: Vec<_> = (0..10)
        .map(|_| {
            let mut wire = Wire::to(&site);
            answered_early(&mut wire);
            wire
        })
        .collect();
    wait_until("they are let go", || site.responder().descriptors() == before);
    let busy = site.responder().processor_time().saturating_sub(busy);
    assert!(busy < Duration::from_millis(500), "{busy:?}");
    good.asks(&wechat().says("天气")).replies("晴");
}

/// Sends more of a body than anybody reads, and gets its answer.
fn answered_early(wire: &mut Wire) {
    let (params, _) = wechat().says("").pairs_and_body();
    wire.sends([begin(1, 1, true), stream(kind::PARAMS, 1, &params, 65_535)].concat());
    wire.sends(record(kind::STDIN, 1, &vec![b'x'; 65_535]).repeat(33));
    wire.answer().is(413);
}

/// Pushes `bytes` again and again until the connection ends; how many bytes that were, 200 MiB at most.
fn pushed(wire: &mut Wire, bytes: &[u8]) -> usize {
    let mut count = 0;
    while count < 200 * MIB {
        if wire.stream.write_all(bytes).is_err() {
            return count;
        }
        count += bytes.len();
    }
    count
}

#[test]
fn what_is_pushed_behind_the_end_is_bounded() {
    let site = open();
    serves(&site);
    let before = site.responder().peak_memory();
    let rest = record(kind::STDIN, 1, &vec![b'x'; 65_535]);

    let mut done = Wire::to(&site);
    done.sends(weather(false)).answer().replies("晴");
    let count = pushed(&mut done, &rest);
    assert!(count < MIB, "{count} bytes behind the end of a connection");

    let mut early = Wire::to(&site);
    answered_early(&mut early);
    let count = pushed(&mut early, &rest);
    assert!(count < MIB, "{count} bytes behind an early answer");

    let mut kept = Wire::to(&site);
    kept.asks(&wechat().says("天气")).replies("晴");
    let count = pushed(&mut kept, &rest);
    assert!(count < 10 * MIB, "{count} bytes that belong to no request");

    let grown = site.responder().peak_memory() - before;
    assert!(grown < 2048, "{grown} KiB");
    serves(&site);
}

#[test]
fn two_hundred_mebibytes_of_refused_bodies_take_no_memory() {
    let site = open();
    let mut wire = Wire::to(&site);
    let large = wechat().pushes(vec![b'x'; 2 * MIB]).records(1, true);
    wire.sends(&large).answer().is(413);
    let before = site.responder().peak_memory();
    for _ in 0..100 {
        wire.sends(&large).answer().is(413);
    }
    let grown = site.responder().peak_memory() - before;
    assert!(grown < 512, "{grown} KiB");
    wire.asks(&wechat().says("天气")).replies("晴");
}

/// Fifty peers come, one after another, and keep their connections: the youngest `room` stay, at least.
#[track_caller]
fn idle_connections_make_room(site: &Site, room: usize) {
    let mut kept = Vec::new();
    for _ in 0..50 {
        let mut wire = Wire::to(site);
        wire.asks(&wechat().says("天气")).replies("晴");
        kept.push(wire);
    }
    for wire in kept.iter_mut().rev().take(room) {
        wire.asks(&wechat().says("天气")).replies("晴");
    }
    kept[0].is_closed();
}

#[test]
fn idle_connections_make_room_for_new_ones() {
    let plan = Site::behind(Door::FastcgiByHand).with_config(ACCOUNT);
    idle_connections_make_room(&plan.with_argument("--max-connections=8").open(), 8);
}

#[test]
fn idle_connections_make_room_where_descriptors_run_out() {
    let plan = Site::behind(Door::FastcgiByHand).with_config(ACCOUNT);
    let plan = plan.started_by(&["prlimit", "--nofile=32"]).with_argument("--max-connections=1000");
    idle_connections_make_room(&plan.open(), 8);
}

#[test]
fn beyond_the_limit_everybody_gets_a_503() {
    let site =
        Site::behind(Door::FastcgiByHand).with_config(ACCOUNT).with_argument("--max-connections=4").open();
    let bytes = weather(true);
    let (early, late) = bytes.split_at(bytes.len() / 2);
    let mut busy: Vec<_> = (0..4).map(|_| Wire::to(&site)).collect();
    for wire in &mut busy {
        wire.sends(early);
    }
    let mut witness = Wire::to(&site);
    let mut shed: Vec<_> = (0..60).map(|_| Wire::to(&site)).collect();
    for (id, wire) in (1..).zip(&mut shed) {
        let _ = wire.stream.write_all(&wechat().says("天气").records(id, true));
    }
    witness.sends(&bytes).answer().is(503);
    for (id, wire) in (1..).zip(&mut shed) {
        let reply = wire.reply();
        reply.answer.expect("an answer").is(503).has("retry-after", "1");
        // Who is not even read is answered under the id that every web server uses.
        assert!(reply.id == id || reply.id == 1, "{} for {id}", reply.id);
        wire.is_closed();
    }
    for wire in &mut busy {
        wire.sends(late).answer().replies("晴");
    }
    serves(&site);
}

/// With 64 descriptors: 200 peers, each amid a request, are all answered, the log says `why` not all
/// were served, and then all is as before.
#[track_caller]
fn survives_two_hundred_with_64_descriptors(arguments: &[&str], why: &str) -> Site {
    raise_descriptor_limit();
    let mut plan =
        Site::behind(Door::FastcgiByHand).with_config(ACCOUNT).started_by(&["prlimit", "--nofile=64"]);
    for argument in arguments {
        plan = plan.with_argument(argument);
    }
    let site = plan.open();
    let bytes = weather(false);
    let mut peers: Vec<_> = (0..200).map(|_| Wire::to(&site)).collect();
    let (early, late) = bytes.split_at(bytes.len() / 2);
    // Who was turned away is not there to read this.
    let mut send = |part| {
        for peer in &mut peers {
            let _ = peer.stream.write_all(part);
        }
    };
    send(early);
    wait_until("some are turned away", || site.stderr().contains(why));
    send(late);
    let mut served = 0;
    for peer in &mut peers {
        let mut said = Vec::new();
        match peer.stream.read_to_end(&mut said) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            read => _ = read.expect("an end in time"),
        }
        let said = String::from_utf8_lossy(&said);
        let is_answer = said.contains("晴") || said.contains("Status: 503") || said.contains("Status: 408");
        assert!(is_answer, "an end without an answer: {said:?}");
        served += usize::from(said.contains("晴"));
    }
    assert!(served >= 16, "only {served} of 200 served");
    serves(&site);
    assert!(site.responder().descriptors() < 20, "{}", site.responder().descriptors());
    site
}

#[test]
fn few_descriptors_let_nobody_hang() {
    survives_two_hundred_with_64_descriptors(&[], "with 503: all of `max_connections` (24) were in use");
}

#[test]
fn running_out_of_descriptors_lets_nobody_hang() {
    // More than the system lets it have: accept fails.
    let why = "with 503: no descriptor is left; raise LimitNOFILE";
    let site = survives_two_hundred_with_64_descriptors(&["--max-connections=1000"], why);
    assert!(!site.stderr().contains("were in use"), "{}", site.stderr());
}

#[test]
fn descriptors_that_it_was_started_with_do_no_harm_and_numbers_may_be_high() {
    raise_descriptor_limit();
    let site = Site::behind(Door::FastcgiByHand)
        .with_config(ACCOUNT)
        .started_by(&[
            "prlimit",
            "--nofile=4096",
            "bash",
            "-c",
            "for ((i = 10; i < 1100; i++)); do eval \"exec $i</dev/null\"; done; exec \"$@\"",
            "bash",
        ])
        .open();
    assert!(site.responder().descriptors() > 1090);
    let mut peers: Vec<_> = (0..50).map(|_| Wire::to(&site)).collect();
    for peer in &mut peers {
        peer.asks(&wechat().says("天气")).replies("晴");
    }
    for peer in &mut peers {
        peer.asks(&wechat().says("天气")).replies("晴");
    }
}

#[test]
fn sixty_four_mebibytes_and_no_further_process_are_enough() {
    let site = Site::behind(Door::FastcgiByHand)
        .with_config(ACCOUNT)
        .started_by(&["prlimit", "--as=67108864", "--nproc=1", "--core=0"])
        .open();
    let mut kept = Vec::new();
    for _ in 0..200 {
        let mut peer = Wire::to(&site);
        peer.asks(&wechat().pushes(vec![b'x'; 300 * 1024])).is(413);
        kept.push(peer);
    }
    for peer in &mut kept {
        peer.asks(&wechat().says("天气")).replies("晴");
    }
}

#[test]
fn a_limit_on_files_ends_nothing() {
    let config = format!("{ACCOUNT}\n[log]\nfile = \"../log/wx.log\"\n");
    let site = Site::behind(Door::FastcgiByHand)
        .with_config(&config)
        .started_by(&["prlimit", "--fsize=0", "--core=0"])
        .open();
    serves(&site);
    serves(&site);
}

#[test]
fn sigterm_lets_a_request_finish_that_has_begun() {
    let mut site = open();
    let bytes = weather(true);
    let (mut half, mut idle) = (Wire::to(&site), Wire::to(&site));
    half.sends(&bytes[..bytes.len() / 2]);
    idle.asks(&wechat().says("天气")).replies("晴");
    Witness::of(&site).sees_who_came();
    site.responder().gets(Signal::TERM);
    // Who is idle is let go while the other may go on.
    idle.is_closed();
    assert!(!site.socket().exists(), "nobody new is invited");
    half.sends(&bytes[bytes.len() / 2..]).answer().replies("晴");
    half.is_closed();
    let ended = site.responder_has_ended();
    assert_eq!(ended.code(), Some(0), "{ended}");
}

#[test]
fn a_signal_right_behind_the_start_is_taken() {
    // A config that takes its time: the socket is there before.
    let rules = (0..5000).map(|number| format!("[[rule]]\nwhen.text = \"{number}\"\nreply = \"!\"\n"));
    let config = format!("{ACCOUNT}{}", rules.collect::<String>());
    let open = || Site::behind(Door::FastcgiByHand).with_config(&config).open();
    let site = open();
    site.hang_up();
    serves(&site);
    let mut site = open();
    site.responder().gets(Signal::TERM);
    let ended = site.responder_has_ended();
    assert_eq!(ended.code(), Some(0), "{ended}");
}

#[test]
fn sigterm_ends_an_idle_responder() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut site = open();
        serves(&site);
        site.responder().gets(signal);
        let ended = site.responder_has_ended();
        assert_eq!(ended.code(), Some(0), "{ended}");
        assert!(!site.socket().exists());
    }
}

#[test]
fn sigterm_twice_waits_for_nobody() {
    let mut site = open();
    let bytes = weather(true);
    let (mut half, mut idle) = (Wire::to(&site), Wire::to(&site));
    half.sends(&bytes[..bytes.len() / 2]);
    idle.asks(&wechat().says("天气")).replies("晴");
    site.responder().gets(Signal::TERM);
    idle.is_closed();
    site.responder().gets(Signal::TERM);
    // Had it waited, there would be a 408.
    half.is_closed();
    let ended = site.responder_has_ended();
    assert_eq!(ended.code(), Some(0), "{ended}");
}

#[test]
fn after_sigkill_another_takes_the_socket_over() {
    let mut site = open();
    let mut peer = Wire::to(&site);
    peer.sends(&weather(true)[..100]);
    site.responder().gets(Signal::KILL);
    peer.is_closed();
    assert!(!site.responder_has_ended().success());
    assert!(site.socket().exists(), "nobody could clean up");
    assert!(UnixStream::connect(site.socket()).is_err());
    site.start_responder();
    serves(&site);
    site.responder().gets(Signal::TERM);
    assert!(site.responder_has_ended().success());
    assert!(!site.socket().exists());
}

/// Connects from this address of the machine's own.
fn connected_from(source: Ipv4Addr, to: SocketAddrV4) -> TcpStream {
    let ours = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&ours, &SocketAddrV4::new(source, 0)).expect("the whole 127.0.0.0/8 is ours");
    connect(&ours, &to).expect("it accepts");
    ours.into()
}

#[test]
fn only_listed_web_servers_may_connect_over_tcp() {
    let port = free_port();
    let site = Site::behind(Door::FastcgiByHand)
        .with_config(ACCOUNT)
        .started_by(&["env", "FCGI_WEB_SERVER_ADDRS=203.0.113.1, 127.0.0.1,::1"])
        .with_argument(format!("--listen=127.0.0.1:{port}"))
        .with_argument(format!("--listen=[::1]:{port}"))
        .open();
    let v4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    // They hold their connections open, and hinder nobody.
    let mut strangers: Vec<_> =
        (0..50).map(|_| Wire::on(connected_from(Ipv4Addr::new(127, 0, 0, 2), v4))).collect();
    let listed = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    for address in listed.map(|address| SocketAddr::new(address, port)) {
        let mut wire = Wire::over_tcp(address);
        wire.asks(&wechat().says("天气")).replies("晴");
        wire.asks(&wechat().says("天气")).replies("晴");
        wire.sends(weather(false)).answer().replies("晴");
        wire.is_closed();
    }
    for stranger in &mut strangers {
        // What it sends is not even looked at.
        let _ = stranger.stream.write_all(&weather(true));
        stranger.is_closed();
    }
    // The list is about TCP.
    serves(&site);
}

#[test]
fn a_list_without_an_address_lets_nobody_in_over_tcp() {
    let port = free_port();
    let site = Site::behind(Door::FastcgiByHand)
        .with_config(ACCOUNT)
        .started_by(&["env", "FCGI_WEB_SERVER_ADDRS=web.example.com"])
        .with_argument(format!("--listen=127.0.0.1:{port}"))
        .open();
    Wire::over_tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_closed();
    serves(&site);
    assert!(site.stderr().contains("`web.example.com`"), "{}", site.stderr());
}

#[test]
fn peers_that_are_gone_before_they_are_accepted_do_no_harm() {
    let port = free_port();
    let site = Site::behind(Door::FastcgiByHand)
        .with_config(ACCOUNT)
        .with_argument(format!("--listen=127.0.0.1:{port}"))
        .open();
    site.responder().gets(Signal::STOP);
    for number in 0..50 {
        let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("room in the queue");
        sockopt::set_socket_linger(&tcp, Some(Duration::ZERO)).expect("an end by RST");
        let mut unix = Wire::to(&site);
        if number % 2 == 0 {
            unix.sends(weather(false));
        }
    }
    // Signals interrupt what it waits in.
    (0..20).for_each(|_| site.hang_up());
    site.responder().gets(Signal::CONT);
    serves(&site);
    Wire::over_tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).asks(&wechat().says("天气")).replies("晴");
}

#[test]
fn clients_that_go_away_take_nothing_with_them() {
    let site = open();
    let mut good = Wire::to(&site);
    good.asks(&wechat().says("天气")).replies("晴");
    let before = site.responder().descriptors();
    let bytes = weather(false);
    let long = wechat().verifies(&"e".repeat(15_000)).records(1, true).repeat(20);
    for _ in 0..50 {
        // Amid a request, right behind it, and amid the answers to many: what is written then is SIGPIPE's.
        Wire::to(&site).sends(&bytes[..bytes.len() / 2]);
        Wire::to(&site).sends(&bytes);
        Wire::to(&site).sends(&long);
    }
    wait_until("they are let go", || site.responder().descriptors() == before);
    good.asks(&wechat().says("天气")).replies("晴");
}

/// A responder as spawn-fcgi starts it: on a socket that is its fd 0.
struct Spawned(Child);

impl Spawned {
    /// At the socket of `site`, which has no responder of its own.
    fn at(site: &Site, starter: &[&str], stderr: impl Into<Stdio>) -> Self {
        let listener = UnixListener::bind(site.socket()).expect("a socket");
        let mut command = site.program_under(starter);
        command.args(["fastcgi", "--config"]).arg(site.config());
        let command = command.stdin(OwnedFd::from(listener)).stdout(Stdio::null()).stderr(stderr);
        Self(command.spawn().expect("it starts"))
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_stderr_that_nobody_reads_holds_nothing_up() {
    let (mut pipe, writer) = FullPipe::make();
    let site = Site::behind(Door::ByHand).with_config(ACCOUNT).open();
    let _responder = Spawned::at(&site, &[], writer);
    for _ in 0..20 {
        serves(&site);
    }
    // Once somebody reads, the log goes on and tells what is missing.
    pipe.empty();
    serves(&site);
    let log = pipe.text();
    let (lost, line) = log.split_once('\n').expect("two lines");
    assert!(lost.starts_with("wxcgi: ") && lost.contains("lines of log are lost"), "{log}");
    assert!(line.contains("callback: text from") && line.ends_with('\n'), "{log}");
}

#[test]
fn a_stderr_whose_reader_is_gone_does_no_harm() {
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    let site = Site::behind(Door::ByHand).with_config(ACCOUNT).open();
    let _responder = Spawned::at(&site, &[], writer);
    serves(&site);
    serves(&site);
}

#[test]
fn closed_standard_descriptors_are_filled_before_anything_is_opened() {
    let config = format!("{ACCOUNT}\n[log]\nfile = \"../log/wx.log\"\n");
    for closes in ["1>&-", "2>&-", "1>&- 2>&-"] {
        let site = Site::behind(Door::ByHand).with_config(&config).open();
        let script = format!("exec \"$@\" {closes}");
        let responder = Spawned::at(&site, &["sh", "-c", &script, "sh"], Stdio::null());
        serves(&site);
        for number in 0..3 {
            assert_eq!(Process::of(&responder.0).descriptor(number), "/dev/null", "{closes}");
        }
        let log = fs::read_to_string(site.folder().join("log/wx.log")).expect("a log");
        assert!(log.contains("callback: text from") && !log.contains("<xml>"), "{closes}: {log}");
    }
}

#[test]
fn all_standard_descriptors_may_be_closed() {
    let config = format!("{ACCOUNT}\n[log]\nfile = \"../log/wx.log\"\n");
    let site = Site::behind(Door::FastcgiByHand)
        .with_config(&config)
        .started_by(&["sh", "-c", "exec \"$@\" 0<&- 1>&- 2>&-", "sh"])
        .open();
    serves(&site);
    for number in 0..3 {
        assert_eq!(site.responder().descriptor(number), "/dev/null");
    }
}
