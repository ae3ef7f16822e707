//! The status page: who sees it, and what it tells.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{
    Answer, Door, Request, Site, WeChat, available, python, repository, wait_until, write_config,
};

const ACCOUNT: &str = "[account]\ntoken = \"HushToken\"\npath = \"/weixin\"\n\
                       [[rule]]\nwhen.text = \"天气\"\nreply = \"晴\"\n\
                       [[rule]]\nwhen.text = \"fail\"\nreply = \"{{ 1 // 0 }}\"\n[server]\n";

fn account(server: &str) -> String {
    format!("{ACCOUNT}{server}\n")
}

fn wechat() -> WeChat {
    WeChat::with_token("HushToken")
}

fn look() -> Request {
    Request::new("GET").to("/weixin/status")
}

fn scrape() -> Request {
    look().raw_query("prometheus")
}

/// The location that the README shows.
fn location_of_readme() -> String {
    let readme = fs::read_to_string(repository().join("README.md")).expect("the README");
    let start = readme.find("location = /weixin/status {").expect("the location of the page");
    let length = readme[start..].find("\n}\n").expect("its end") + 3;
    readme[start..start + length].to_owned()
}

/// The value of a line of the page.
#[track_caller]
fn value<'p>(page: &'p str, words: &str) -> &'p str {
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("{words}:")));
    line.unwrap_or_else(|| panic!("no `{words}` in\n{page}")).trim()
}

/// The page, looked at from this machine itself.
#[track_caller]
fn page(site: &Site) -> String {
    let answer = from(site, "127.0.0.1", &look(), &[]);
    answer.is(200).has("content-type", "text/plain; charset=utf-8");
    answer.text()
}

/// The answer to a request of this address with these variables beside; by hand.
fn from(site: &Site, address: &str, request: &Request, more: &[(&str, &str)]) -> Answer {
    site.receives_with(request, |client| {
        client.env("REMOTE_ADDR", address).envs(more.iter().copied());
    })
}

/// All samples of a page, as Prometheus's own parser reads them: `name{label=value}` and the number.
fn samples(page: &str) -> Vec<(String, f64)> {
    const PARSER: &str = "
import json, sys
from prometheus_client.parser import text_string_to_metric_families
samples, names = [], []
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.documentation and family.type in ('counter', 'gauge', 'histogram'), family
    names.append(family.name)
    for sample in family.samples:
        labels = ','.join(f'{name}={value}' for name, value in sample.labels.items())
        samples.append([sample.name + ('{' + labels + '}' if labels else ''), float(sample.value)])
assert len(names) == len(set(names)), names
json.dump(samples, sys.stdout)
";
    let mut parser = Command::new(python())
        .args(["-c", PARSER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python runs");
    parser.stdin.take().expect("a pipe").write_all(page.as_bytes()).expect("it reads");
    let output = parser.wait_with_output().expect("it ends");
    assert!(output.status.success(), "the parser refuses\n{page}");
    let samples: Value = serde_json::from_slice(&output.stdout).expect("its own JSON");
    let sample = |it: &Value| (it[0].as_str().expect("a name").to_owned(), it[1].as_f64().expect("a number"));
    samples.as_array().expect("a list").iter().map(sample).collect()
}

/// Three answered, two forged, one that fails.
fn some_requests(site: &Site) {
    for _ in 0..3 {
        site.receives(&wechat().says("天气")).replies("晴");
    }
    for _ in 0..2 {
        site.receives(&WeChat::with_token("guessed").says("天气")).is(403);
    }
    site.receives(&wechat().says("fail")).acknowledges();
}

#[test]
fn behind_nginx_with_the_location_of_the_readme_people_and_prometheus_read_it() {
    if !Door::NginxUnix.is_open() {
        return;
    }
    let plan = Site::behind(Door::NginxUnix).with_config(&account("status = true"));
    let site = plan.with_more_locations(&location_of_readme()).open();
    some_requests(&site);
    let answer = site.receives(&look());
    answer.is(200).has("content-type", "text/plain; charset=utf-8").has("cache-control", "no-store");
    let page = answer.text();
    for (words, expected) in [
        ("version", env!("CARGO_PKG_VERSION")),
        ("requests 200", "4"),
        ("requests 403", "2"),
        ("requests in all", "6"),
        ("answered within 5000 ms", "6"),
        ("open conn", "1"),
        ("queue", "0"),
        ("config generation", "1"),
        ("config faults", "0"),
    ] {
        assert_eq!(value(&page, words), expected, "{words} in\n{page}");
    }
    let error = value(&page, "last error");
    assert!(error.contains("Z callback: rule 2 (line"), "{error}");
    answer.keeps_quiet_about(&["HushToken"]);

    site.receives(&look().header("X-Forwarded-For", "127.0.0.1")).is(404);
    site.receives(&look().method("POST")).is(404);
    site.receives(&wechat().says("天气")).replies("晴");
    if !available("wechatpy") {
        return;
    }
    let answer = site.receives(&scrape());
    answer.is(200).has("content-type", "text/plain; version=0.0.4; charset=utf-8");
    let samples = samples(&answer.text());
    let sample = |name: &str| samples.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
    for (name, expected) in [
        ("wxcgi_requests_total{status=200}", 6.0),
        ("wxcgi_requests_total{status=403}", 2.0),
        ("wxcgi_requests_total{status=404}", 2.0),
        ("wxcgi_request_duration_seconds_bucket{le=4.5}", 10.0),
        ("wxcgi_request_duration_seconds_bucket{le=+Inf}", 10.0),
        ("wxcgi_request_duration_seconds_count", 10.0),
        ("wxcgi_connections_open", 1.0),
        ("wxcgi_connections_waiting{state=idle}", 0.0),
        ("wxcgi_requests_queued", 0.0),
        ("wxcgi_config_generation", 1.0),
        (concat!("wxcgi_info{version=", env!("CARGO_PKG_VERSION"), "}"), 1.0),
    ] {
        assert_eq!(sample(name), Some(expected), "{name} in {samples:#?}");
    }
    assert!(sample("wxcgi_last_error_timestamp_seconds") >= sample("wxcgi_start_time_seconds"));
}

#[test]
fn behind_apache_it_needs_nothing_more() {
    if !Door::ApacheProxyFcgi.is_open() {
        return;
    }
    let site = Site::behind(Door::ApacheProxyFcgi).with_config(&account("status = true")).open();
    some_requests(&site);
    let page = site.receives(&look()).is(200).text();
    assert_eq!((value(&page, "requests 200"), value(&page, "requests 403")), ("4", "2"));
    site.receives(&look().header("Forwarded", "for=127.0.0.1")).is(404);
}

#[test]
fn whoever_may_not_see_it_finds_nothing_there() {
    if !Door::FastcgiByHand.is_open() {
        return;
    }
    let nothing = |answer: &Answer| {
        answer.is(404).says("not found\n");
    };
    let listed = "status = true\nstatus_allow = [\"10.0.0.5\", \"2001:db8::/32\"]";
    let site = Site::behind(Door::FastcgiByHand).with_config(&account(listed)).open();
    for address in ["127.0.0.1", "::1", "10.0.0.5", "2001:db8::7"] {
        from(&site, address, &look(), &[]).is(200);
        from(&site, address, &scrape(), &[]).is(200);
    }
    for address in ["10.0.0.6", "203.0.113.9", "unix:", ""] {
        nothing(&from(&site, address, &look(), &[]));
        nothing(&from(&site, address, &scrape(), &[]));
    }
    for name in
        ["HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA", "HTTP_CF_CONNECTING_IP"]
    {
        nothing(&from(&site, "127.0.0.1", &look(), &[(name, "127.0.0.1")]));
    }
    assert!(site.stderr().contains("the status page is not for 203.0.113.9; answered 404"));

    let off = Site::behind(Door::FastcgiByHand).with_config(&account("")).open();
    nothing(&from(&off, "127.0.0.1", &look(), &[]));
    // Each process of CGI has answered nothing yet.
    let cgi = Site::behind(Door::ByHand).with_config(&account("status = true")).open();
    nothing(&from(&cgi, "127.0.0.1", &look(), &[]));
    cgi.receives(&wechat().says("天气")).replies("晴");
}

#[test]
fn a_path_that_is_not_given_is_any() {
    if !Door::FastcgiByHand.is_open() {
        return;
    }
    let config = account("status = true").replace("path = \"/weixin\"\n", "");
    let site = Site::behind(Door::FastcgiByHand).with_config(&config).open();
    from(&site, "127.0.0.1", &Request::new("GET").to("/bots/weather/status"), &[]).is(200);
    // Somebody's callback may have this very path.
    let verifies = wechat().verifies("4375120948345356249").to("/bots/weather/status");
    from(&site, "127.0.0.1", &verifies, &[]).is(200).says("4375120948345356249");
}

#[test]
fn it_tells_of_connections_and_of_the_config() {
    if !Door::FastcgiByHand.is_open() {
        return;
    }
    let site = Site::behind(Door::FastcgiByHand).with_config(&account("status = true")).open();
    let silent: Vec<_> = (0..3)
        .map(|_| UnixStream::connect(site.folder().join("run/wxcgi.sock")).expect("it accepts"))
        .collect();
    let first = page(&site);
    assert_eq!((value(&first, "open conn"), value(&first, "conn reading")), ("4", "3"));
    assert_eq!(value(&first, "max open conn"), "4");
    assert_eq!((value(&first, "config generation"), value(&first, "last error")), ("1", "none"));
    drop(silent);

    let comes_to_say = |words: &str, expected: &str| {
        wait_until(&format!("{words}: {expected}"), || value(&page(&site), words) == expected);
    };
    comes_to_say("open conn", "1");
    write_config(site.config(), &account("status = true\nmax_body = \"1KiB\""));
    site.hang_up();
    comes_to_say("config generation", "2");
    write_config(site.config(), &account("status = true\nmax_bdy = \"HushTypo\""));
    site.hang_up();
    comes_to_say("config faults", "1");
    let faulty = page(&site);
    assert_eq!(value(&faulty, "config generation"), "2");
    assert!(value(&faulty, "config fault").contains("unknown server key `max_bdy`"), "{faulty}");
    assert!(value(&faulty, "last error").contains("the last good one goes on"), "{faulty}");
    assert!(!faulty.contains("Hush"), "{faulty}");
}
