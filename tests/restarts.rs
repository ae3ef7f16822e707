//! The responder is replaced, told to reload or killed while WeChat goes on sending.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::{Answer, Door, Load, PATIENCE, Site, WeChat, connections, sized, wait_until};

/// Doors at which the socket outlives the responder, each new request has a connection of its own, and what the web
/// server says for a responder that has gone.
const DOORS: [(Door, u16); 2] = [(Door::HeldSocket, 502), (Door::ApacheHeldSocket, 503)];

const CLIENTS: usize = 8;

fn doors() -> impl Iterator<Item = (Door, u16)> {
    DOORS.into_iter().filter(|(door, _)| door.is_open())
}

fn wechat() -> WeChat {
    WeChat::with_token("mytoken")
}

/// An account that replies this to everything.
fn replying(text: &str) -> String {
    format!("[account]\ntoken = \"mytoken\"\n[default]\nreply = \"{text}\"\n")
}

/// Sends one text; says what was wrong if the reply is not `text`.
fn asks_for(text: &str, port: u16) -> Result<(), String> {
    let answer = wechat().says("天气").try_send(port, "/weixin")?;
    if answer.reply_text().as_deref() == Some(text) { Ok(()) } else { Err(answer.to_string()) }
}

/// Has nginx too hand on a request whose body is still coming.
const UNBUFFERED: &str = "fastcgi_request_buffering off;";

/// A request of which the second half of the body is still to come.
struct HalfSent {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl HalfSent {
    fn to(port: u16) -> Self {
        let mut wire = wechat().says(&"长".repeat(60_000)).wire("/weixin");
        let rest = wire.split_off(wire.len() / 2);
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the web server accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        stream.write_all(&wire).expect("the web server reads");
        Self { stream, rest }
    }

    fn finish(mut self) -> Answer {
        // If the responder has gone, nginx may have answered already; Apache waits for the rest before it looks.
        let sent = self.stream.write_all(&self.rest);
        let mut answer = Vec::new();
        let received = self.stream.read_to_end(&mut answer);
        assert!(!answer.is_empty(), "no answer: {sent:?}, {received:?}");
        Answer::from_http(&answer, "a request in two halves".to_owned())
    }
}

#[test]
fn rolling_restarts_under_load_lose_no_message() {
    let (posts, restarts) = sized((3_000, 4), (50_000, 12));
    for (door, _) in doors() {
        let plan = Site::behind(door).with_config(&replying("晴"));
        let mut site = plan.with_nginx_lines(UNBUFFERED).open();
        let port = site.port();
        let load = Load::of(CLIENTS, move || asks_for("晴", port));
        for restart in 0..restarts {
            load.wait_for(posts / (restarts + 1));
            restart_with_requests_under_way(&mut site, &load, restart);
        }
        load.wait_for(posts - load.asked().min(posts) + CLIENTS);
        let outcome = load.end();
        outcome.is_faultless(posts);
        println!("{door:?}: {} POSTs, {restarts} restarts, none lost", outcome.asked);
    }
}

/// Restarts for the `number`th time, from 0, while four requests are half there.
fn restart_with_requests_under_way(site: &mut Site, load: &Load, number: usize) {
    let under_way: Vec<_> = (0..4).map(|_| HalfSent::to(site.port())).collect();
    // Whoever came later is served, so these are let in as well.
    load.wait_for(100);
    thread::scope(|scope| {
        let log = site.folder().join("log/wxcgi.log");
        let ended = scope.spawn(|| restart_responder(site, number.is_multiple_of(2)));
        wait_until("the old one is told to end", || {
            let said = fs::read_to_string(&log).expect("its log");
            said.matches("told to end; finishing").count() > number
        });
        for request in under_way {
            request.finish().replies("晴");
        }
        let ended = ended.join().expect("it ends");
        assert!(ended.success(), "the responder ended with {ended}");
    });
}

fn restart_responder(site: &mut Site, overlapping: bool) -> ExitStatus {
    if overlapping {
        return site.replace_responder();
    }
    // As a service that is stopped and then started: for a moment nobody is there.
    let ended = site.end_responder();
    thread::sleep(Duration::from_millis(200));
    site.start_responder();
    ended
}

#[test]
fn reloads_under_load_lose_no_message_and_the_new_text_stays() {
    let (changes, between) = sized((4, 150), (24, 1_000));
    for (door, _) in doors() {
        let site = Site::behind(door).with_config(&replying("1")).open();
        let port = site.port();
        let load = Load::of(CLIENTS, never_older_than_seen(port));
        for change in 2..changes + 2 {
            load.wait_for(between);
            site.replace_config(&replying(&change.to_string()));
            // Every other one is found without a signal, within a second or two.
            if change % 2 == 0 {
                site.hang_up();
            }
            let text = change.to_string();
            wait_until("the new config is taken", || asks_for(&text, port).is_ok());
            // Nothing has changed.
            site.hang_up();
        }
        load.wait_for(between);
        let outcome = load.end();
        outcome.is_faultless(changes * between);
        println!("{door:?}: {} POSTs, {changes} changes of the config, none lost", outcome.asked);
    }
}

/// Asks for numbers that count the configs. Who asks after a number has been seen never gets a lower one.
fn never_older_than_seen(port: u16) -> impl Fn() -> Result<(), String> {
    let seen = AtomicUsize::new(0);
    move || {
        let before = seen.load(Ordering::SeqCst);
        let answer = wechat().says("天气").try_send(port, "/weixin")?;
        let number = answer.reply_text().and_then(|text| text.parse().ok());
        let number = number.ok_or_else(|| answer.to_string())?;
        seen.fetch_max(number, Ordering::SeqCst);
        if number >= before { Ok(()) } else { Err(format!("{number} after {before}")) }
    }
}

#[test]
fn a_faulty_config_is_refused_under_load_and_the_old_one_goes_on() {
    let between = sized(150, 2_000);
    let faulty = [
        ("[account\n", "wxcgi.toml:1"),
        ("[account]\ntokn = \"mytoken\"\n", "tokn"),
        ("[account]\ntoken = \"mytoken\"\n[default]\nreply = \"{{ broken\"\n", "wxcgi.toml:4"),
    ];
    for (door, _) in doors() {
        let site = Site::behind(door).with_config(&replying("晴")).open();
        let port = site.port();
        let load = Load::of(CLIENTS, move || asks_for("晴", port));
        for (number, (config, place)) in faulty.into_iter().enumerate() {
            site.replace_config(config);
            site.hang_up();
            wait_until("the fault is told", || {
                let said = site.stderr();
                said.matches("the last good one goes on").count() > number && said.contains(place)
            });
            load.wait_for(between);
        }
        load.end().is_faultless(faulty.len() * between);

        site.replace_config(&replying("雨"));
        site.hang_up();
        wait_until("the good config is taken", || asks_for("雨", port).is_ok());
    }
}

#[test]
fn a_responder_killed_in_a_request_costs_that_request_alone() {
    for (door, status) in doors() {
        let plan = Site::behind(door).with_config(&replying("晴"));
        let mut site = plan.with_nginx_lines(UNBUFFERED).open();
        let port = site.port();
        wait_until("all is quiet", || connections(site.socket()) == (0, 0));
        let unlucky = HalfSent::to(port);
        wait_until("the responder has it", || connections(site.socket()) == (0, 1));
        site.kill_responder();
        unlucky.finish().is(status);

        let load = Load::of(CLIENTS, move || asks_for("晴", port));
        wait_until("they wait for the next responder", || connections(site.socket()) == (CLIENTS, 0));
        site.start_responder();
        load.wait_for(100);
        load.end().is_faultless(100);
    }
}

#[test]
fn kills_under_load_cost_no_more_than_what_was_begun() {
    let (kills, between) = sized((3, 100), (20, 1_000));
    for (door, status) in doors() {
        let mut site = Site::behind(door).with_config(&replying("晴")).open();
        let port = site.port();
        let load = Load::of(CLIENTS, move || {
            let answer = wechat().says("天气").try_send(port, "/weixin")?;
            match answer.reply_text().as_deref() {
                Some("晴") => Ok(()),
                // Never an empty 200, which WeChat would take for "received".
                _ if answer.status == status => Err("killed".to_owned()),
                _ => Err(answer.to_string()),
            }
        });
        for _ in 0..kills {
            load.wait_for(between);
            site.kill_responder();
            site.start_responder();
        }
        load.wait_for(between);
        let outcome = load.end();
        let lost = outcome.faults.len();
        assert!(outcome.faults.iter().all(|fault| fault == "killed"), "{:#?}", outcome.faults);
        assert!(lost <= kills * CLIENTS, "{lost} of {} lost by {kills} kills", outcome.asked);
        println!("{door:?}: {} POSTs, {kills} kills, {lost} answered {status}", outcome.asked);
    }
}
