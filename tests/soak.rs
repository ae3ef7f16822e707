//! Everything at once for a while: afterwards the responder is as it was, and the log tells nothing unexplained.

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use wxcgi::wechat::crypto::{AesKey, open_envelope, seal_envelope};
use wxcgi::wechat::signature::sign;

use crate::support::{
    Answer, Door, Keys, Load, PATIENCE, Request, Site, WeChat, answer_on, connections, element, now, sized,
    wait_until,
};

/// What a longer life may cost, in KiB: each of some fifty connections keeps a few KiB for the next one in its place,
/// and gets there by and by. At half a million requests this is a byte each.
const LEEWAY_KIB: usize = 512;

/// What the log may say at `level = "warn"`: each of these is something that the clients below do.
const EXPLAINED: [&str; 5] = [
    "[WARN] callback: signature mismatch from ",
    "408: it did not come within `request_timeout`",
    "sent no request within `first_byte_timeout`",
    "400: the body is shorter than `CONTENT_LENGTH`",
    // Of a log that counts what it leaves out.
    " more of `",
];

fn account(text: &str) -> String {
    let Keys { token, aes, app_id } = Keys::ours();
    format!(
        "[account]\ntoken = \"{token}\"\nencoding_aes_key = \"{aes}\"\napp_id = \"{app_id}\"\nmode = \"plaintext\"\n\
         [log]\nlevel = \"warn\"\n[default]\nreply = \"{text}\"\n"
    )
}

fn wechat() -> WeChat {
    WeChat::with_token(&Keys::ours().token)
}

#[test]
fn behind_nginx_the_responder_is_afterwards_as_it_was() {
    soak(Door::HeldSocket);
}

#[test]
fn behind_apache_the_responder_is_afterwards_as_it_was() {
    soak(Door::ApacheHeldSocket);
}

fn soak(door: Door) {
    if !door.is_open() {
        return;
    }
    let duration = sized(Duration::from_secs(1), Duration::from_secs(300));
    let site = Site::behind(door).with_config(&account("0")).open();
    let crowd = Load::of(6, crowd(&site));
    let idlers = Load::of(1, idlers(site.socket()));
    // Everything has happened once.
    idlers.wait_for(1);
    let memory: Vec<_> = (0..6)
        .map(|_| {
            change_configs(&site, &crowd, duration / 6);
            site.responder().own_memory()
        })
        .collect();
    let (crowd, idlers) = (crowd.end(), idlers.end());
    crowd.is_faultless(1_000);
    idlers.is_faultless(1);
    wait_until("all connections are closed", || connections(site.socket()) == (0, 0));
    assert!(memory[5] <= memory[0] + LEEWAY_KIB, "memory in KiB: {memory:?}");
    assert_eq!(site.responder().descriptors(), descriptors_when_fresh(door), "descriptors");
    let said = site.stderr();
    let odd: Vec<_> = said.lines().filter(|line| !EXPLAINED.iter().any(|it| line.contains(it))).collect();
    assert!(odd.is_empty(), "{} odd lines such as {:#?}", odd.len(), &odd[..odd.len().min(10)]);
    println!(
        "{door:?}: {} requests, {} rounds of idlers; memory in KiB: {memory:?}",
        crowd.asked, idlers.asked
    );
}

/// Gives the responder one new config after another, every other one with a signal.
fn change_configs(site: &Site, crowd: &Load, duration: Duration) {
    let start = Instant::now();
    for number in 1.. {
        site.replace_config(&account(&number.to_string()));
        if number % 2 == 1 {
            site.hang_up();
        }
        crowd.wait_for(500);
        if start.elapsed() >= duration {
            break;
        }
    }
}

/// How many descriptors a responder has that was never asked for anything.
fn descriptors_when_fresh(door: Door) -> usize {
    let site = Site::behind(door).with_config(&account("0")).open();
    wait_until("it is idle", || connections(site.socket()) == (0, 0));
    site.responder().descriptors()
}

/// One request after the other of every kind: most are texts, in the open or sealed, one in ten is forged, one in ten
/// is given up by its client.
fn crowd(site: &Site) -> impl Fn() -> Result<(), String> + use<> {
    let (port, socket) = (site.port(), site.socket().to_owned());
    let number = AtomicUsize::new(0);
    move || match number.fetch_add(1, Ordering::Relaxed) % 20 {
        0..10 => is_number(&wechat().says("天气").try_send(port, "/weixin")?),
        10..15 => is_sealed_number(&sealed("天气").try_send(port, "/weixin")?),
        15 => is(200, &wechat().verifies("4711").try_send(port, "/weixin")?),
        16 | 17 => is(403, &WeChat::with_token("guessed").says("天气").try_send(port, "/weixin")?),
        18 => hangs_up_in_the_middle(port),
        _ => does_not_read(&socket),
    }
}

fn is(status: u16, answer: &Answer) -> Result<(), String> {
    if answer.status == status { Ok(()) } else { Err(answer.to_string()) }
}

fn is_number(answer: &Answer) -> Result<(), String> {
    let number = answer.reply_text().and_then(|text| text.parse::<usize>().ok());
    number.map(|_| ()).ok_or_else(|| answer.to_string())
}

fn is_sealed_number(answer: &Answer) -> Result<(), String> {
    let Keys { aes, app_id, .. } = Keys::ours();
    let key = AesKey::parse(&aes).expect("a key");
    let encrypt = element(&answer.text(), "Encrypt").ok_or_else(|| answer.to_string())?;
    let reply = open_envelope(&encrypt, &key, &app_id).map_err(|error| error.to_string())?;
    let number = element(&reply, "Content").and_then(|text| text.parse::<usize>().ok());
    number.map(|_| ()).ok_or(reply)
}

/// A text in secure mode. Our own cipher will do: what wechatpy says to it stands in other tests.
fn sealed(text: &str) -> Request {
    let Keys { token, aes, app_id } = Keys::ours();
    let key = AesKey::parse(&aes).expect("a key");
    let message = WeChat::message("text", &format!("<Content><![CDATA[{text}]]></Content>"));
    let encrypt = seal_envelope(&message, &key, &app_id, *b"0123456789abcdef");
    let (timestamp, nonce) = (now().to_string(), "4711");
    let msg_signature = sign([&token, &timestamp, nonce, &encrypt]);
    let body = format!(
        "<xml><ToUserName><![CDATA[gh_0123456789ab]]></ToUserName><Encrypt><![CDATA[{encrypt}]]></Encrypt></xml>"
    );
    wechat().pushes_sealed(&body, &timestamp, nonce, &msg_signature)
}

/// Sends half a message to the web server and goes.
fn hangs_up_in_the_middle(port: u16) -> Result<(), String> {
    let wire = wechat().says(&"长".repeat(1_000)).wire("/weixin");
    let sent =
        TcpStream::connect(("127.0.0.1", port)).and_then(|mut it| it.write_all(&wire[..wire.len() / 2]));
    sent.map_err(|error| error.to_string())
}

/// Asks the responder itself and goes without a look at the answer.
fn does_not_read(socket: &Path) -> Result<(), String> {
    let asked = UnixStream::connect(socket)
        .and_then(|mut stream| stream.write_all(&wechat().says("天气").records(1, false)));
    asked.map_err(|error| error.to_string())
}

/// Twenty peers of the responder that say nothing, and twenty that stop in the middle.
fn idlers(socket: &Path) -> impl Fn() -> Result<(), String> + use<> {
    let socket = socket.to_owned();
    move || {
        let wire = wechat().says("天气").records(1, false);
        let (said, _unsaid) = wire.split_at(wire.len() - 20);
        let _silent = stopped_after(&[], &socket)?;
        for mut stream in stopped_after(said, &socket)? {
            is(408, &answer_on(&mut stream)?)?;
        }
        Ok(())
    }
}

fn stopped_after(said: &[u8], socket: &Path) -> Result<Vec<UnixStream>, String> {
    let connect = || {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(said)?;
        Ok(stream)
    };
    (0..20).map(|_| connect().map_err(|error: std::io::Error| error.to_string())).collect()
}
