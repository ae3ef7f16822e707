//! FastCGI record by record, against the program as it is shipped: what peers may send, and what they should not.
//!
//! Where a connection is kept, each test ends with a request that shows that it is still in step.

use std::net::Shutdown;

use crate::support::{
    Door, Request, Site, WeChat, Wire, Witness, begin, kind, padded, pair, record, request, stream,
};

const ACCOUNT: &str = r#"
[account]
token = "mytoken"

[[rule]]
when.text = "天气"
reply = "晴"

[default]
reply = "收到"
"#;

/// What `max_body` is when the config does not say.
const MAX_BODY: usize = 256 * 1024;

fn wechat() -> WeChat {
    WeChat::with_token("mytoken")
}

fn open() -> Site {
    Site::behind(Door::FastcgiByHand).with_config(ACCOUNT).open()
}

/// A request whose answer is `4711`, as pairs of PARAMS.
fn params() -> Vec<u8> {
    wechat().verifies("4711").pairs_and_body().0
}

/// How many requests have reached the account so far.
fn handled(site: &Site) -> usize {
    site.stderr().matches(" callback: ").count()
}

/// Sends all of `bytes` on a kept connection and asks for `status`, and that the connection is in step then.
#[track_caller]
fn answered(site: &Site, what: &str, bytes: &[u8], status: u16) {
    let mut wire = Wire::to(site);
    let answer = wire.sends(bytes).answer();
    assert_eq!(answer.status, status, "{what}: {answer}");
    wire.goes_on();
}

/// Each of these streams ends its connection without an answer, and reaches no account.
#[track_caller]
fn close_the_connection(streams: &[(String, Vec<u8>)]) {
    let site = open();
    for (what, bytes) in streams {
        let more = Wire::to(&site).sends(bytes).record();
        assert!(more.is_none(), "{what}: not the end, but {more:?}");
    }
    assert_eq!(handled(&site), 0, "{}", site.stderr());
    Wire::to(&site).asks(&wechat().says("天气")).replies("晴");
}

#[test]
fn a_request_is_answered_wherever_it_is_cut() {
    let site = open();
    let (mut witness, mut wire) = (Witness::of(&site), Wire::to(&site));
    wire.goes_on();
    let bytes = wechat().says("天气").records(1, true);
    for at in 1..bytes.len() {
        wire.sends(&bytes[..at]);
        witness.sees_what_came();
        wire.sends(&bytes[at..]).answer().replies("晴");
    }
    for byte in &bytes {
        wire.sends([*byte]);
        witness.sees_what_came();
    }
    wire.answer().replies("晴");
}

#[test]
fn an_end_at_any_byte_reaches_no_account() {
    let site = open();
    let bytes = wechat().says("天气").records(1, false);
    for at in 0..bytes.len() {
        let mut wire = Wire::to(&site);
        wire.sends(&bytes[..at]).stream.shutdown(Shutdown::Write).expect("our side");
        wire.is_closed();
    }
    assert_eq!(handled(&site), 0, "{}", site.stderr());
    let mut wire = Wire::to(&site);
    wire.sends(&bytes).stream.shutdown(Shutdown::Write).expect("our side");
    wire.answer().replies("晴");
    wire.is_closed();
    assert_eq!(handled(&site), 1);
}

#[test]
fn padding_is_skipped() {
    let site = open();
    // The largest record of all: 65,535 bytes of content and 255 of padding.
    let full_params = filled(params(), 65_535);
    for padding in [0, 1, 7, 8, 255] {
        for params in [&params(), &full_params] {
            let bytes = [
                padded(kind::BEGIN_REQUEST, 1, &[0, 1, 1, 0, 0, 0, 0, 0], padding),
                padded(kind::PARAMS, 1, params, padding),
                padded(kind::PARAMS, 1, b"", padding),
                padded(kind::STDIN, 1, b"", padding),
            ];
            answered(&site, &format!("padding {padding}"), &bytes.concat(), 200);
        }
        let xml = message_of(65_535);
        let (params, body) = wechat().pushes(&xml).pairs_and_body();
        let bytes = [
            begin(1, 1, true),
            stream(kind::PARAMS, 1, &params, 65_535),
            padded(kind::STDIN, 1, &body, padding),
            padded(kind::STDIN, 1, b"", padding),
        ];
        answered(&site, &format!("padding {padding} of STDIN"), &bytes.concat(), 200);
    }
}

#[test]
fn padding_may_come_later_than_its_record() {
    let site = open();
    let (mut witness, mut wire) = (Witness::of(&site), Wire::to(&site));
    wire.goes_on();
    let first =
        [begin(1, 1, true), stream(kind::PARAMS, 1, &params(), 65_535), padded(kind::STDIN, 1, b"", 255)];
    let first = first.concat();
    for missing in [1, 7, 254, 255] {
        let (early, late) = first.split_at(first.len() - missing);
        wire.sends(early);
        witness.sees_what_came();
        wire.sends([late, &wechat().verifies("next").records(2, true)].concat());
        wire.answer().says("4711");
        wire.answer().says("next");
    }
}

/// Pairs that nobody asks for behind `params`, so that all are `length` bytes long.
fn filled(mut params: Vec<u8>, length: usize) -> Vec<u8> {
    loop {
        match length - params.len() {
            0 => return params,
            missing @ 134..16_000 => params.extend(pair("F", vec![b'v'; missing - 6])),
            _ => params.extend(pair("F", vec![b'v'; 15_000])),
        }
    }
}

/// The document of a message, `length` bytes long.
fn message_of(length: usize) -> String {
    let empty = WeChat::message("text", "<Content></Content>").len();
    WeChat::message("text", &format!("<Content>{}</Content>", "x".repeat(length - empty)))
}

#[test]
fn lengths_at_every_boundary_are_read() {
    let site = open();
    for length in [0, 1, 126, 127, 128, 129, 255, 256, 16_383, 16_384] {
        // In front of the others, which would be out of step if it were read wrongly.
        let name = [pair(vec![b'N'; length], "v"), params()].concat();
        answered(&site, &format!("a name of {length}"), &request(1, true, &name, b""), 200);
        let value = [pair("HTTP_X", vec![b'v'; length]), params()].concat();
        answered(&site, &format!("a value of {length}"), &request(1, true, &value, b""), 200);
    }
    let name = [pair(vec![b'N'; 65_535], ""), params()].concat();
    answered(&site, "a name of 65,535", &request(1, true, &name, b""), 200);
    for length in [16_385, 65_535] {
        let value = [pair("HTTP_X", vec![b'v'; length]), params()].concat();
        answered(&site, &format!("a value of {length}"), &request(1, true, &value, b""), 431);
    }
}

#[test]
fn a_value_at_every_boundary_comes_whole() {
    let site = open();
    let mut wire = Wire::to(&site);
    for length in [126, 127, 128, 129, 16_383, 16_384] {
        let request = wechat().verifies("");
        let echostr = "e".repeat(length - request.query().len());
        wire.asks(&request.with("echostr", &echostr)).is(200).says(&echostr);
    }
}

#[test]
fn a_short_length_may_be_written_long() {
    let site = open();
    let long_form = [&[0x80, 0, 0, 1, 0x80, 0, 0, 1][..], b"AB"].concat();
    answered(&site, "four bytes each", &request(1, true, &[long_form, params()].concat(), b""), 200);
}

#[test]
fn pairs_and_their_lengths_may_straddle_records() {
    let site = open();
    let long = pair(vec![b'N'; 200], vec![b'v'; 300]);
    let (params, body) = wechat().says("天气").pairs_and_body();
    let params = [long, params].concat();
    let mut wire = Wire::to(&site);
    for size in [1, 2, 3, 5, 7, 100, 501] {
        let bytes =
            [begin(1, 1, true), stream(kind::PARAMS, 1, &params, size), stream(kind::STDIN, 1, &body, size)];
        wire.sends(bytes.concat()).answer().replies("晴");
    }
}

#[test]
fn parameters_are_counted() {
    let site = open();
    let method = pair("REQUEST_METHOD", "GET");
    // The eight of a CGI request and its query.
    let own = params();
    let with = |count: usize, name: &str| [own.clone(), pair(name, "").repeat(count)].concat();
    for (what, params, status) in [
        ("none", Vec::new(), 400),
        ("one", method, 403),
        ("256", with(256 - 9, "HTTP_A"), 200),
        ("257", with(257 - 9, "HTTP_A"), 431),
        ("20,000", with(20_000, "AB"), 431),
        ("40,000 without a name", with(40_000, ""), 431),
        ("one record full of those without a name", vec![0; 65_534], 431),
        ("more bytes than are kept", with(40_000, "HTTP_ABC"), 431),
    ] {
        answered(&site, what, &request(1, true, &params, b""), status);
    }
}

#[test]
fn endless_parameters_are_answered_before_their_end() {
    let site = open();
    let mut wire = Wire::to(&site);
    wire.sends([begin(1, 1, true), record(kind::PARAMS, 1, &vec![0; 65_534]).repeat(17)].concat());
    wire.answer().is(431);
    wire.is_closed();
}

#[test]
fn names_and_values_are_bytes_and_may_repeat() {
    let site = open();
    let odd = [
        pair("HTTP_X", b"\xff\xfe\0"),
        pair("HTTP_X", ""),
        pair(b"\xff\xfe", b"\x80"),
        pair("", "nameless"),
        pair("", ""),
        pair("HTTP_PROXY", "http://203.0.113.66:3128"),
    ];
    answered(&site, "bytes", &request(1, true, &[odd.concat(), params()].concat(), b""), 200);
    let bad_query = pair("QUERY_STRING", b"signature=\xff&signature=%ff");
    answered(
        &site,
        "a bad query, then a good one",
        &request(1, true, &[&bad_query[..], &params()].concat(), b""),
        200,
    );
    answered(
        &site,
        "a good query, then a bad one",
        &request(1, true, &[&params()[..], &bad_query].concat(), b""),
        403,
    );
    for name in [&b"A\0B"[..], b"A\nB", b"\x7f", b"\x1b[2J"] {
        answered(&site, "a control byte", &request(1, true, &[pair(name, ""), params()].concat(), b""), 400);
    }
    assert!(!site.stderr().contains('\x1b'), "what a peer sends is not written into the log as it is");
}

#[test]
fn every_id_is_served() {
    let site = open();
    let mut wire = Wire::to(&site);
    for id in [1, 2, 255, 256, 65_535, 1] {
        let reply = wire.sends(wechat().says("天气").records(id, true)).reply();
        assert_eq!((reply.id, reply.protocol_status), (id, 0));
        reply.answer.expect("an answer").replies("晴");
    }
}

#[test]
fn a_second_request_is_declined_and_the_first_served() {
    let site = open();
    let (params, body) = wechat().says("天气").pairs_and_body();
    let parts = [
        begin(1, 1, true),
        record(kind::PARAMS, 1, &params),
        record(kind::PARAMS, 1, b""),
        record(kind::STDIN, 1, &body),
    ];
    for stage in 1..=parts.len() {
        let mut wire = Wire::to(&site);
        wire.sends(parts[..stage].concat()).sends(wechat().says("天气").records(2, true));
        let declined = wire.reply();
        assert_eq!((declined.id, declined.protocol_status), (2, 1), "CANT_MPX_CONN");
        assert!(declined.answer.is_none());
        wire.sends([parts[stage..].concat(), record(kind::STDIN, 1, b"")].concat());
        let served = wire.reply();
        assert_eq!((served.id, served.protocol_status), (1, 0));
        served.answer.expect("an answer").replies("晴");
        wire.goes_on();
    }
    assert_eq!(handled(&site), parts.len());
}

#[test]
fn unfinished_requests_on_many_ids_take_no_memory() {
    let site = open();
    let mut wire = Wire::to(&site);
    wire.sends(begin(1, 1, true));
    let before = site.responder().peak_memory();
    for id in 2..=1000 {
        wire.sends([begin(id, 1, true), record(kind::PARAMS, id, &vec![b'x'; 60_000])].concat());
        let reply = wire.reply();
        assert_eq!((reply.id, reply.protocol_status), (id, 1), "CANT_MPX_CONN");
        // More left-overs than this of one request end the connection.
        if id % 100 == 0 {
            wire.sends([record(kind::ABORT_REQUEST, 1, b""), begin(1, 1, true)].concat());
            assert_eq!(wire.reply().id, 1);
        }
    }
    wire.sends([stream(kind::PARAMS, 1, &params(), 65_535), record(kind::STDIN, 1, b"")].concat());
    wire.answer().says("4711");
    let grown = site.responder().peak_memory() - before;
    assert!(grown < 1024, "{grown} KiB for 60 MB that belong to no request");
}

#[test]
fn an_abort_is_answered_in_every_state_and_reaches_no_account() {
    let site = open();
    let (params, body) = wechat().says("天气").pairs_and_body();
    for keep in [true, false] {
        let parts = [
            begin(1, 1, keep),
            record(kind::PARAMS, 1, &params[..20]),
            record(kind::PARAMS, 1, &params[20..]),
            record(kind::PARAMS, 1, b""),
            record(kind::STDIN, 1, &body[..20]),
            record(kind::STDIN, 1, &body[20..]),
        ];
        for stage in 1..=parts.len() {
            let mut wire = Wire::to(&site);
            wire.sends([parts[..stage].concat(), record(kind::ABORT_REQUEST, 1, b"")].concat());
            let reply = wire.reply();
            assert_eq!((reply.id, reply.protocol_status), (1, 0), "stage {stage}");
            assert!(reply.answer.is_none(), "stage {stage}");
            if keep {
                // What was on its way when the peer aborted.
                wire.sends([parts[stage..].concat(), record(kind::STDIN, 1, b"")].concat()).goes_on();
            } else {
                wire.is_closed();
            }
        }
    }
    assert_eq!(handled(&site), 0, "{}", site.stderr());
    // Of a request that is not there, or done, it means nothing.
    let mut wire = Wire::to(&site);
    wire.sends(record(kind::ABORT_REQUEST, 1, b"")).sends(begin(1, 1, true));
    wire.sends([record(kind::ABORT_REQUEST, 2, b""), stream(kind::PARAMS, 1, &params, 65_535)].concat());
    wire.sends([stream(kind::STDIN, 1, &body, 65_535), record(kind::ABORT_REQUEST, 1, b"")].concat());
    wire.answer().replies("晴");
    wire.goes_on();
}

#[test]
fn a_body_over_the_limit_is_refused_in_step() {
    let site = open();
    for length in [MAX_BODY + 1, 2 * MAX_BODY, 8 * MAX_BODY] {
        let mut wire = Wire::to(&site);
        wire.asks(&wechat().pushes(message_of(length))).is(413);
        wire.asks(&wechat().says("天气")).replies("晴");
    }
    Wire::to(&site).asks(&wechat().pushes(message_of(MAX_BODY))).replies("收到");
}

#[test]
fn a_body_without_end_is_answered_before_its_end() {
    let site = open();
    let mut wire = Wire::to(&site);
    wire.sends(
        [begin(1, 1, true), stream(kind::PARAMS, 1, &wechat().says("").pairs_and_body().0, 65_535)].concat(),
    );
    wire.sends(record(kind::STDIN, 1, &vec![b'x'; 65_535]).repeat(33));
    // The rest of it is still taken, so that the answer is not lost on a peer that writes before it reads.
    wire.sends(record(kind::STDIN, 1, &[b'x'; 1000]));
    wire.answer().is(413);
    wire.is_closed();
}

#[test]
fn left_overs_of_a_request_that_is_done_are_skipped() {
    let site = open();
    let mut wire = Wire::to(&site);
    wire.asks(&wechat().says("天气")).replies("晴");
    for kind in [kind::PARAMS, kind::STDIN, kind::DATA, kind::ABORT_REQUEST, 12, 99, 255] {
        wire.sends(
            [record(kind, 1, b"left over"), record(kind, 9, b""), padded(kind, 2, b"x", 255)].concat(),
        );
    }
    wire.asks(&wechat().says("天气")).replies("晴");
}

#[test]
fn a_body_that_is_not_as_long_as_announced_is_refused_in_step() {
    let site = open();
    let xml = WeChat::message("text", "<Content>天气</Content>");
    for length in [0, 1, xml.len() - 1, xml.len() + 1, xml.len() + 1000] {
        let mut wire = Wire::to(&site);
        wire.asks(&wechat().pushes(&xml).announcing(length)).is(400);
        wire.asks(&wechat().pushes(&xml)).replies("晴");
    }
}

#[test]
fn pipelined_requests_are_all_answered_in_order() {
    let site = open();
    let mut wire = Wire::to(&site);
    let bytes: Vec<u8> =
        (1..=300).flat_map(|id| wechat().verifies(&format!("echo{id}")).records(id, true)).collect();
    wire.sends(&bytes);
    for id in 1..=300 {
        let reply = wire.reply();
        assert_eq!(reply.id, id);
        reply.answer.expect("an answer").is(200).says(&format!("echo{id}"));
    }
    // The one that is not to be kept is the last, whatever follows it.
    let last = wechat().says("天气").records(5, false);
    wire.sends(
        [wechat().verifies("1").records(4, true), last, wechat().verifies("2").records(6, true)].concat(),
    );
    wire.answer().says("1");
    wire.answer().replies("晴");
    wire.is_closed();
}

#[test]
fn unknown_types_are_skipped_or_told() {
    let site = open();
    let (params, body) = wechat().says("天气").pairs_and_body();
    let parts = [
        begin(1, 1, true),
        record(kind::PARAMS, 1, &params),
        record(kind::PARAMS, 1, b""),
        record(kind::STDIN, 1, &body),
        record(kind::STDIN, 1, b""),
    ];
    for unknown in [12, 99, 255] {
        let mut wire = Wire::to(&site);
        for part in &parts {
            // In every state: of the request, of another one, and of none, which alone is told.
            wire.sends(
                [record(unknown, 1, b"?"), record(kind::DATA, 1, b"?"), record(unknown, 2, b"?")].concat(),
            );
            let told = wire.sends(record(unknown, 0, b"?")).record().expect("UNKNOWN_TYPE");
            assert_eq!((told.kind, told.id), (kind::UNKNOWN_TYPE, 0));
            assert_eq!(told.content, [unknown, 0, 0, 0, 0, 0, 0, 0]);
            wire.sends(part);
        }
        wire.answer().replies("晴");
        wire.goes_on();
    }
}

#[test]
fn values_are_told_in_every_state() {
    let site =
        Site::behind(Door::FastcgiByHand).with_config(ACCOUNT).with_argument("--max-connections=77").open();
    let mut wire = Wire::to(&site);
    let names = ["FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS", "FCGI_OTHER", ""];
    let query = names.map(|name| pair(name, "")).concat();
    let known =
        [pair("FCGI_MAX_CONNS", "77"), pair("FCGI_MAX_REQS", "77"), pair("FCGI_MPXS_CONNS", "0")].concat();
    let (params, body) = wechat().says("天气").pairs_and_body();
    let parts = [
        begin(1, 1, true),
        record(kind::PARAMS, 1, &params),
        record(kind::PARAMS, 1, b""),
        record(kind::STDIN, 1, &body),
        record(kind::STDIN, 1, b""),
    ];
    for part in parts {
        // 65 KB of the same names ask no more than they do once.
        for query in [query.clone(), query.repeat(900), vec![0; 65_534]] {
            let told = wire.sends(record(kind::GET_VALUES, 0, &query)).record().expect("an answer");
            assert_eq!((told.kind, told.id), (kind::GET_VALUES_RESULT, 0));
            assert_eq!(told.content, if query[0] == 0 { &[][..] } else { &known });
        }
        wire.sends(part);
    }
    wire.answer().replies("晴");
}

#[test]
fn another_role_is_declined() {
    let site = open();
    for role in [0, 2, 3, 9, 65_535] {
        for keep in [true, false] {
            let mut wire = Wire::to(&site);
            let rest = request(1, keep, &params(), b"")[16..].to_vec();
            wire.sends([begin(1, role, keep), rest].concat());
            let reply = wire.reply();
            assert_eq!((reply.id, reply.protocol_status), (1, 3), "UNKNOWN_ROLE");
            assert!(reply.answer.is_none());
            if keep { wire.goes_on() } else { wire.is_closed() }
        }
    }
    assert_eq!(handled(&site), 0, "{}", site.stderr());
}

#[test]
fn another_version_ends_the_connection() {
    let good = request(1, true, &params(), b"");
    let mut streams = Vec::new();
    for version in [0, 2, 127, 255] {
        // In place of the first record, and of the one that ends PARAMS.
        for at in [0, good.len() - 16] {
            let mut bytes = good.clone();
            bytes[at] = version;
            streams.push((format!("version {version} at {at}"), bytes));
        }
    }
    close_the_connection(&streams);
}

#[test]
fn a_begin_that_is_none_ends_the_connection() {
    let mut streams = Vec::new();
    for length in [0, 2, 7, 9, 255] {
        let bytes = [record(kind::BEGIN_REQUEST, 1, &[1; 255][..length]), params_and_stdin(1)];
        streams.push((format!("{length} bytes"), bytes.concat()));
    }
    streams.push((
        "the same id twice".to_owned(),
        [begin(1, 1, true), request(1, true, &params(), b"")].concat(),
    ));
    streams.push(("id 0".to_owned(), request(0, true, &params(), b"")));
    for kind in [kind::ABORT_REQUEST, kind::PARAMS, kind::STDIN, kind::DATA] {
        streams.push((format!("id 0 of type {kind}"), record(kind, 0, b"")));
    }
    close_the_connection(&streams);
}

fn params_and_stdin(id: u16) -> Vec<u8> {
    [stream(kind::PARAMS, id, &params(), 65_535), record(kind::STDIN, id, b"")].concat()
}

#[test]
fn records_out_of_their_order_end_the_connection() {
    let mut streams = vec![(
        "STDIN before the end of PARAMS".to_owned(),
        [begin(1, 1, true), record(kind::PARAMS, 1, &params()), record(kind::STDIN, 1, b"")].concat(),
    )];
    let ours =
        [0, kind::END_REQUEST, kind::STDOUT, kind::STDERR, kind::GET_VALUES_RESULT, kind::UNKNOWN_TYPE];
    for kind in ours {
        for id in [0, 1] {
            let odd = record(kind, id, b"12345678");
            streams.push((format!("type {kind} of id {id}"), odd.clone()));
            streams
                .push((format!("type {kind} of id {id} amid a request"), [begin(1, 1, true), odd].concat()));
        }
    }
    close_the_connection(&streams);
}

/// Lengths that lead beyond their stream: one byte too many, and as many as can be said.
fn untrue_pairs() -> Vec<(String, Vec<u8>)> {
    let good = params();
    let huge = [0xff; 4];
    let mut untrue = vec![
        ("2³¹−1 twice".to_owned(), [&huge[..], &huge, b"AB"].concat()),
        ("a name of 2³¹−1".to_owned(), [&huge[..], &[1], b"AB"].concat()),
        ("a value of 2³¹−1".to_owned(), [&[1][..], &huge, b"AB"].concat()),
        ("2³¹−1 behind good ones".to_owned(), [&good[..], &[1], &huge, b"AB"].concat()),
        ("half a long length".to_owned(), [&good[..], &[0x80, 0]].concat()),
        ("a length and no more".to_owned(), [&good[..], &[1]].concat()),
        ("one byte short of 70,000".to_owned(), pair("A", vec![b'v'; 70_000])[..70_005].to_vec()),
    ];
    let last = pair("LAST", "value");
    for end in 1..last.len() {
        untrue.push((format!("{end} bytes of the last pair"), [&good[..], &last[..end]].concat()));
    }
    untrue
}

#[test]
fn half_a_pair_ends_the_connection() {
    let streams: Vec<_> =
        untrue_pairs().into_iter().map(|(what, params)| (what, request(1, true, &params, b""))).collect();
    close_the_connection(&streams);
    let values: Vec<_> = untrue_pairs()
        .into_iter()
        .filter(|(_, pairs)| pairs.len() < 65_536)
        .map(|(what, pairs)| (what, record(kind::GET_VALUES, 0, &pairs)))
        .collect();
    close_the_connection(&values);
}

#[test]
fn announced_lengths_take_no_memory() {
    let site = Site::behind(Door::FastcgiByHand)
        .with_config(ACCOUNT)
        .started_by(&["prlimit", "--as=67108864"])
        .open();
    for (what, params) in untrue_pairs() {
        let more = Wire::to(&site).sends(request(1, true, &params, b"")).record();
        assert!(more.is_none(), "{what}: {more:?}");
    }
    let announced: Request = wechat().says("天气").announcing(9_223_372_036_854_775_807);
    Wire::to(&site).asks(&announced).is(413);
    Wire::to(&site).asks(&wechat().says("天气")).replies("晴");
}
