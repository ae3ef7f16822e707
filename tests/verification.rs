//! The GET with which WeChat's console checks the URL.

use crate::support::{Door, Request, Site, WeChat, now};

const ACCOUNT: &str = "[account]\ntoken = \"mytoken\"\n";

/// The doors at which nothing stands between the request and the program.
const BARE: [Door; 2] = [Door::ByHand, Door::FastcgiByHand];

#[test]
fn a_signed_echostr_comes_back_exactly() {
    for door in Door::open_ones([Door::ByHand, Door::FastcgiByHand, Door::ApacheCgid, Door::NginxUnix]) {
        let site = Site::behind(door).with_config(ACCOUNT).open();
        for echostr in
            ["4375120948345356249", "0", " ", "a b+c%20&=?#", "<script>alert(1)</script>", "你好😀"]
        {
            let answer = site.receives(&WeChat::with_token("mytoken").verifies(echostr));
            answer.is(200).says(echostr);
            assert!(
                answer.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")),
                "{answer}"
            );
            // Apache leaves the length of a CGI answer out and sends chunks.
            let length = answer.header("content-length").map(str::parse);
            assert!(length.is_none_or(|length| length == Ok(echostr.len())), "{answer}");
        }
    }
}

#[test]
fn the_official_sample_is_verified() {
    for door in Door::open_ones(BARE) {
        let config = "[account]\ntoken = \"AAAAA\"\n[server]\nclock_skew = \"off\"\n";
        let site = Site::behind(door).with_config(config).open();
        let query = "signature=f464b24fc39322e44b38aa78f5edd27bd1441696&echostr=4375120948345356249\
                     &timestamp=1714036504&nonce=1514711492";
        site.receives(&Request::new("GET").raw_query(query)).is(200).says("4375120948345356249");
    }
}

#[test]
fn what_is_signed_sorts_as_bytes_not_as_numbers() {
    for (token, timestamp, nonce, signature) in [
        ("MyToken123", "1700000000", "99", "06c9b8132434deed35a8d83c438d062079c045b6"),
        ("Zed", "1700000000", "abc", "8a6b94794895878651a1b389cf4a22d84b11c0bb"),
        ("0token", "999999999", "1000000000", "ee4cdd8933d76486bcbe60956e9706e3aa66a2ce"),
    ] {
        let config = format!("[account]\ntoken = \"{token}\"\n[server]\nclock_skew = \"off\"\n");
        let site = Site::behind(Door::ByHand).with_config(&config).open();
        let request =
            Request::new("GET").with("timestamp", timestamp).with("nonce", nonce).with("echostr", "1");
        site.receives(&request.with("signature", signature)).is(200).says("1");
    }
}

#[test]
fn without_the_right_signature_nothing_comes_back() {
    let wechat = WeChat::with_token("mytoken");
    let good = || wechat.verifies("4375120948345356249");
    let requests = [
        ("another token", WeChat::with_token("Mytoken").verifies("4375120948345356249")),
        ("no signature", good().without("signature")),
        ("an empty signature", good().with("signature", "")),
        ("a short signature", good().with("signature", "f464b24fc39322e4")),
        ("a signature of other letters", good().with("signature", &"z".repeat(40))),
        ("a long signature", good().with("signature", &"0".repeat(4000))),
        ("a signature of bytes", good().with("signature", "签名签名签名签名签名")),
        ("no timestamp", good().without("timestamp")),
        ("another timestamp", good().with("timestamp", &(now() - 1).to_string())),
        ("a timestamp of letters", good().with("timestamp", "now")),
        ("no nonce", good().without("nonce")),
        ("another nonce", good().with("nonce", "1")),
        ("no query", good().raw_query("")),
        ("a query that is none", good().raw_query("&&==%%%&signature&timestamp=%ff")),
        ("bytes", good().raw_query(b"signature=\xff\xfe&timestamp=\xff&nonce=\x80")),
    ];
    for door in Door::open_ones(BARE) {
        let site = Site::behind(door).with_config(ACCOUNT).open();
        for (what, request) in &requests {
            let answer = site.receives(request);
            assert_eq!(answer.status, 403, "{what}: {answer}");
            answer.keeps_quiet_about(&["4375120948345356249", "mytoken"]);
        }
    }
}

#[test]
fn the_timestamp_may_be_ten_minutes_off_and_no_more() {
    for door in Door::open_ones(BARE) {
        let site = Site::behind(door).with_config(ACCOUNT).open();
        for (offset, status) in
            [(-660, 403), (-540, 200), (0, 200), (540, 200), (660, 403), (-100_000_000, 403)]
        {
            let wechat = WeChat::with_token("mytoken").at(now().checked_add_signed(offset).expect("a time"));
            site.receives(&wechat.verifies("1")).is(status);
            if status == 403 {
                site.receives(&wechat.says("你好")).is(403);
            }
        }
    }
}

#[test]
fn a_timestamp_of_any_size_is_refused_and_harms_nothing() {
    let site = Site::behind(Door::ByHand).with_config(ACCOUNT).open();
    for timestamp in [0, 1, u64::from(u32::MAX), i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
        site.receives(&WeChat::with_token("mytoken").at(timestamp).verifies("1")).is(403);
    }
}

#[test]
fn a_signed_get_without_echostr_is_told_that_it_works() {
    for door in Door::open_ones(BARE) {
        let site = Site::behind(door).with_config(ACCOUNT).open();
        let request = WeChat::with_token("mytoken").verifies("").without("echostr");
        let answer = site.receives(&request);
        answer.is(200).keeps_quiet_about(&["mytoken"]);
        assert!((1..500).contains(&answer.body.len()), "{answer}");
    }
}

#[test]
fn a_head_request_gets_the_head_alone() {
    for door in Door::open_ones([Door::ApacheCgid, Door::NginxUnix]) {
        let site = Site::behind(door).with_config(ACCOUNT).open();
        let answer = site.receives(&WeChat::with_token("mytoken").verifies("12345").method("HEAD"));
        answer.is_one_of(&[200, 405]).says("");
    }
}
