//! `simulate --retries`: WeChat's patience, in this process and at a web server.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use serde_json::Value;

use super::Desk;
use crate::support::{Door, Site};

/// A rule whose program takes 2 s while an answer is late after 1 s.
const SLOW: &str = "[account]\ntoken = \"mytoken\"\n[server]\ndeadline = \"1s\"\n\
    [[rule]]\nwhen.text = \"慢\"\nexec = [\"sh\", \"-c\", \"sleep 2; echo 好了; echo x >>runs\"]\nlate = \"hold\"\n\
    [[rule]]\nwhen.text = \"快\"\nreply = \"好了\"\n";

/// A web server that does this with each connection; gives its address.
fn server(mut serve: impl FnMut(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || listener.incoming().flatten().for_each(&mut serve));
    format!("http://127.0.0.1:{port}/weixin?k=v")
}

fn json(out: &str) -> Value {
    serde_json::from_str(out).expect("JSON")
}

#[test]
fn who_is_held_is_asked_again_in_this_process_and_runs_once() {
    let desk = Desk::with(SLOW);
    let ran = desk.run(["simulate", "--retries", "慢"]);
    ran.exits(0).prints(&[
        "user     慢\n",
        " s   attempt 1: no answer; WeChat hung up at ",
        " s   attempt 2: text at ",
        "\nphone    好了\n",
        "WeChat counts 1 failure(s)",
        "MarkFail",
    ]);
    assert_eq!(std::fs::read_to_string(desk.at("runs")).expect("it ran"), "x\n");
    let ran = desk.run(["simulate", "--retries", "快"]);
    ran.exits(0)
        .prints(&["attempt 1: text at ", "phone    好了\n"])
        .keeps_quiet_about(&["MarkFail", "attempt 2"]);
    let told = json(&desk.run(["simulate", "--retries", "--json", "快"]).exits(0).out);
    assert_eq!((&told["phone"], &told["failures"]), (&"好了".into(), &0.into()), "{told}");
    assert_eq!(told["attempts"][0]["outcome"], "answered", "{told}");
}

/// Those whose web server might answer for us.
const HOLDING: [Door; 8] = [
    Door::ApacheCgi,
    Door::ApacheCgid,
    Door::ApacheProxyFcgi,
    Door::ApacheFcgid,
    Door::NginxUnix,
    Door::NginxFcgiwrap,
    Door::LighttpdCgi,
    Door::LighttpdFastcgi,
];

/// With the files that we ship: a web server that gives up first answers 504, and WeChat shows that as a fault.
#[test]
fn no_web_server_answers_for_who_is_held() {
    let config = SLOW.replace("sleep 2", "sleep 7").replace("\"1s\"", "\"4.5s\"").replace(" >>runs", "");
    let doors = Door::open_ones(HOLDING);
    let sites: Vec<_> = doors.map(|door| Site::behind(door).with_config(&config).open()).collect();
    let desk = Desk::with(&config);
    thread::scope(|scope| {
        for site in &sites {
            scope.spawn(|| {
                let url = format!("http://127.0.0.1:{}/weixin", site.port());
                let ran = desk.run(["simulate", "--retries", "--url", &url, "慢"]);
                ran.exits(0).prints(&["attempt 1: no answer; WeChat hung up at ", "phone    好了\n"]);
            });
        }
    });
}

#[test]
fn a_server_that_says_nothing_is_asked_three_times_and_the_user_sees_the_fault() {
    let mut kept = Vec::new();
    let silent = server(move |stream| kept.push(stream));
    let ran = Desk::with(SLOW).run(["simulate", "--retries", "--json", "--url", &silent, "快"]);
    ran.exits(1).complains(&["the user sees 「该公众号提供的服务出现故障，请稍后再试」"]);
    let told = json(&ran.out);
    assert_eq!((&told["is_fault"], &told["failures"]), (&true.into(), &3.into()), "{told}");
    let attempts = told["attempts"].as_array().expect("a list");
    let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt["outcome"].as_str()).collect();
    assert_eq!(outcomes, [Some("hung up"); 3], "{told}");
    assert!(attempts[2]["began"].as_f64() >= Some(10.0), "{told}");
}

#[test]
fn a_broken_connection_is_tried_again_and_an_illegal_answer_is_not() {
    let desk = Desk::with(SLOW);
    let breaking = server(|stream| stream.shutdown(Shutdown::Both).unwrap_or_default());
    let ran = desk.run(["simulate", "--retries", "--url", &breaking, "快"]);
    ran.exits(1).prints(&["attempt 3: no answer: ", "phone    「该公众号提供的服务出现故障，请稍后再试」\n"]);
    let failing = server(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream
            .write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\nConnection: close\r\n\r\nsad\n");
    });
    let ran = desk.run(["simulate", "--retries", "--url", &failing, "快"]);
    ran.exits(1).prints(&["that WeChat does not take: answered 502"]).keeps_quiet_about(&["attempt 2"]);
    desk.run(["simulate", "--url", &failing, "快"]).exits(2);
}

#[test]
fn a_web_server_is_asked_by_its_address() {
    for door in Door::open_ones([Door::NginxUnix]) {
        let site = Site::behind(door).with_config(SLOW).open();
        let url = format!("http://127.0.0.1:{}/weixin", site.port());
        let ran = Desk::with(SLOW).run(["simulate", "--retries", "--url", &url, "快"]);
        ran.exits(0).prints(&["phone    好了\n"]);
    }
}
