use super::*;
use crate::gateway::fastcgi::record::{
    ABORT_REQUEST, BEGIN_REQUEST, DATA, GET_VALUES, GET_VALUES_RESULT, KEEP_CONN, PARAMS, STDIN, UNKNOWN_TYPE,
};
use crate::gateway::fastcgi::wire::{
    begin, padded, pairs, plain, records, replies, request, request_of, stream,
};
use proptest::prelude::*;
use std::time::Duration;
use talk::{CAP, Outcome, talk, talk_on};

fn whole(bytes: &[u8]) -> Outcome {
    talk([bytes])
}

/// The outcome of `bytes`, which must be the same wherever they are cut.
#[track_caller]
fn anyhow_cut(bytes: &[u8]) -> Outcome {
    let outcome = whole(bytes);
    assert_eq!(talk(bytes.chunks(1)), outcome, "byte by byte");
    for at in 1..bytes.len() {
        assert_eq!(talk([&bytes[..at], &bytes[at..]]), outcome, "cut at {at}");
    }
    outcome
}

fn get() -> Vec<u8> {
    pairs(&[(b"REQUEST_METHOD", b"GET")])
}

#[test]
fn a_request_is_read_wherever_it_is_cut() {
    let outcome = anyhow_cut(&request(1, 0, "a=b", b"hello"));
    let (params, body) = &outcome.requests[0];
    assert_eq!(params[0], (b"QUERY_STRING".to_vec(), b"a=b".to_vec()));
    assert_eq!(body, b"hello");
    assert!(outcome.ended);
    assert_eq!(outcome.statuses(), [(1, 200, 0)]);
    assert_eq!(outcome.replies()[0].body(), "hello");
}

#[test]
fn a_reply_is_stdout_its_end_and_end_request() {
    let kinds: Vec<u8> =
        records(&whole(&request(1, 0, "", b"x")).output).iter().map(|sent| sent.kind).collect();
    assert_eq!(kinds, [6, 6, 3]);
}

#[test]
fn every_id_but_0_is_served() {
    for id in [1, 2, 255, 256, 65535] {
        assert_eq!(whole(&request(id, 0, "", b"x")).statuses(), [(id, 200, 0)]);
    }
    assert!(whole(&request(0, 0, "", b"x")).broken.is_some());
    for kind in [ABORT_REQUEST, PARAMS, STDIN, DATA] {
        assert!(whole(&plain(kind, 0, &[])).broken.is_some(), "{kind}");
    }
}

#[test]
fn a_kept_connection_serves_one_request_after_another() {
    let three =
        [request(1, KEEP_CONN, "", b"1"), request(2, KEEP_CONN, "", b"2"), request(1, 0, "", b"3")].concat();
    let outcome = anyhow_cut(&three);
    assert_eq!(outcome.statuses(), [(1, 200, 0), (2, 200, 0), (1, 200, 0)]);
    assert!(outcome.ended);
    let bodies: Vec<_> = outcome.requests.iter().map(|(_, body)| body.clone()).collect();
    assert_eq!(bodies, [b"1", b"2", b"3"]);
}

#[test]
fn nothing_of_one_request_is_left_for_the_next() {
    let first = request_of(1, KEEP_CONN, &pairs(&[(b"REQUEST_METHOD", b"GET"), (b"HTTP_A", b"1")]), b"body");
    let outcome = whole(&[first, request_of(1, KEEP_CONN, &get(), b"")].concat());
    assert_eq!(outcome.requests[1], (vec![(b"REQUEST_METHOD".to_vec(), b"GET".to_vec())], Vec::new()));
}

#[test]
fn padding_is_skipped_also_when_it_comes_later() {
    for padding in [0, 7, 255] {
        let bytes = [
            padded(BEGIN_REQUEST, 1, &[0, 1, 0, 0, 0, 0, 0, 0], padding),
            padded(PARAMS, 1, &get(), padding),
            padded(PARAMS, 1, &[], padding),
            padded(STDIN, 1, b"hello", padding),
            padded(STDIN, 1, &[], padding),
        ]
        .concat();
        assert_eq!(anyhow_cut(&bytes).requests[0].1, b"hello", "{padding}");
    }
}

#[test]
fn the_largest_record_is_read() {
    let value = vec![b'v'; 16_000];
    let params = pairs(&[
        (b"REQUEST_METHOD", b"GET"),
        (b"A", &value),
        (b"B", &value),
        (b"C", &value),
        (b"D", &value),
        (b"E", &[b'v'; 65_535 - 4 * 16_006 - 19 - 6]),
    ]);
    assert_eq!(params.len(), 65_535);
    let bytes =
        [begin(1, 1, 0), padded(PARAMS, 1, &params, 255), plain(PARAMS, 1, &[]), plain(STDIN, 1, &[])]
            .concat();
    assert_eq!(whole(&bytes).requests[0].0.len(), 6);
}

#[test]
fn pairs_may_straddle_records() {
    let params = pairs(&[(b"REQUEST_METHOD", b"GET"), (&[b'n'; 200], &[b'v'; 300]), (b"B", b"2")]);
    for size in [1, 2, 3, 5, 7, 100, 501] {
        let bytes = [begin(1, 1, 0), stream(PARAMS, 1, &params, size), stream(STDIN, 1, b"", 1)].concat();
        let outcome = whole(&bytes);
        assert_eq!(outcome.requests[0].0[1], (vec![b'n'; 200], vec![b'v'; 300]), "{size}");
        assert_eq!(outcome.requests[0].0.len(), 3);
    }
}

#[test]
fn names_and_values_may_be_any_bytes_and_equal() {
    let params = pairs(&[
        (b"REQUEST_METHOD", b"GET"),
        (b"HTTP_X", b"\xff\xfe\0"),
        (b"HTTP_X", b""),
        (b"\xff", b"x"),
        (b"", b"nameless"),
        (b"HTTP_PROXY", b"http://evil"),
    ]);
    let outcome = whole(&request_of(1, 0, &params, b""));
    let params = &outcome.requests[0].0;
    assert_eq!(params.len(), 4, "{params:?}");
    assert_eq!(params[1].1, b"\xff\xfe\0");
    assert_eq!(params[3].0, b"\xff");
}

#[test]
fn lengths_at_the_boundaries_reach_the_handler() {
    for length in [126, 127, 128, 129, 16_383, 16_384] {
        let (name, value) = (vec![b'n'; length], vec![b'v'; length]);
        let params = pairs(&[(b"REQUEST_METHOD", b"GET"), (&name, b""), (b"V", &value)]);
        let outcome = whole(&request_of(1, 0, &params, b""));
        assert_eq!(outcome.requests[0].0[1].0, name);
        assert_eq!(outcome.requests[0].0[2].1, value);
    }
}

#[test]
fn a_control_byte_in_a_name_is_refused() {
    for name in [&b"A\0B"[..], b"A\nB", b"\x7f"] {
        let params = pairs(&[(b"REQUEST_METHOD", b"GET"), (name, b"x")]);
        assert_eq!(whole(&request_of(1, KEEP_CONN, &params, b"")).refusals, [Refusal::BadName]);
    }
}

#[test]
fn half_a_pair_ends_the_connection() {
    let params = pairs(&[(b"REQUEST_METHOD", b"GET"), (b"A", b"1")]);
    for end in 20..params.len() {
        let outcome = whole(&request_of(1, KEEP_CONN, &params[..end], b""));
        assert!(outcome.broken.is_some() && outcome.requests.is_empty(), "{end}");
    }
    for lengths in [&[255; 8][..], &[1, 255, 255, 255, 255, b'a']] {
        assert!(whole(&request_of(1, KEEP_CONN, lengths, b"")).broken.is_some());
    }
}

/// Gives the parameters and then a good request, on one kept connection.
fn refused_and_in_step(params: &[u8], body: &[u8]) -> Refusal {
    let bytes = [request_of(1, KEEP_CONN, params, body), request(1, KEEP_CONN, "", b"after")].concat();
    let outcome = whole(&bytes);
    assert_eq!(outcome.refusals.len(), 1, "{:?}", outcome.broken);
    assert_eq!(outcome.statuses(), [(1, outcome.refusals[0].status(), 0), (1, 200, 0)]);
    assert_eq!(outcome.requests[0].1, b"after");
    outcome.refusals[0]
}

#[test]
fn too_many_or_too_long_parameters_are_refused_in_step() {
    let many = [get(), (0..256).flat_map(|_| pairs(&[(b"A", b"1")])).collect()].concat();
    assert_eq!(refused_and_in_step(&many, b"body"), Refusal::TooManyParams(256));
    let long = [get(), pairs(&[(b"A", &vec![b'v'; 16_385])])].concat();
    assert_eq!(refused_and_in_step(&long, b""), Refusal::ParamTooLong(16_384));
    let large: Vec<u8> = (0..9).flat_map(|_| pairs(&[(b"A", &[b'v'; 16_384])])).collect();
    assert_eq!(refused_and_in_step(&large, b""), Refusal::ParamsTooLarge(131_072));
    assert_eq!(refused_and_in_step(&vec![0; 80_000], b""), Refusal::TooManyParams(256));
    let just = [get(), (0..255).flat_map(|_| pairs(&[(b"A", b"1")])).collect()].concat();
    assert_eq!(whole(&request_of(1, 0, &just, b"")).requests[0].0.len(), 256);
}

#[test]
fn the_caps_of_parameters_are_those_that_are_given() {
    let limits = ParamLimits { size: 100, count: 2, value: 20 };
    let refusal = |params: &[u8]| {
        let bytes = request_of(1, KEEP_CONN, params, b"");
        talk_on(&mut Connection::new(1, limits), [&bytes[..]]).refusals
    };
    assert_eq!(refusal(&[get(), pairs(&[(b"A", &[b'v'; 20])])].concat()), []);
    assert_eq!(refusal(&[get(), pairs(&[(b"A", &[b'v'; 21])])].concat()), [Refusal::ParamTooLong(20)]);
    assert_eq!(refusal(&[get(), pairs(&[(b"A", b""), (b"B", b"")])].concat()), [Refusal::TooManyParams(2)]);
    assert_eq!(refusal(&[get(), pairs(&[(b"A", &[b'v'; 90])])].concat()), [Refusal::ParamsTooLarge(100)]);
}

#[test]
fn endless_parameters_are_answered_at_once() {
    let record = plain(PARAMS, 1, &vec![b'x'; 65_535]);
    let bytes = [begin(1, 1, KEEP_CONN), (0..20).flat_map(|_| record.clone()).collect()].concat();
    let mut connection = Connection::new(1, ParamLimits::default());
    let outcome = talk_on(&mut connection, [&bytes[..]]);
    assert_eq!(outcome.statuses(), [(1, 431, 0)]);
    assert!(outcome.ended && connection.lingers());
}

#[test]
fn what_the_parameters_rule_out_is_refused_in_step() {
    for (name, value, refusal) in [
        (&b"CONTENT_LENGTH"[..], &b"+5"[..], Refusal::BadLength),
        (b"CONTENT_LENGTH", b"4", Refusal::Overlong),
        (b"CONTENT_LENGTH", b"6", Refusal::Truncated),
        (b"CONTENT_LENGTH", b"1001", Refusal::TooLarge(CAP)),
        (b"CONTENT_LENGTH", b"9999999999999999999", Refusal::TooLarge(CAP)),
        (b"HTTP_CONTENT_ENCODING", b"gzip", Refusal::Encoded),
        (b"REQUEST_METHOD", b"", Refusal::NoMethod),
    ] {
        assert_eq!(refused_and_in_step(&[get(), pairs(&[(name, value)])].concat(), b"hello"), refusal);
    }
}

#[test]
fn a_content_length_may_be_missing_or_0_padded() {
    for length in [&b""[..], b"5", b"0005"] {
        let params = [get(), pairs(&[(b"CONTENT_LENGTH", length)])].concat();
        assert_eq!(whole(&request_of(1, 0, &params, b"hello")).requests[0].1, b"hello");
    }
}

#[test]
fn a_body_at_its_cap_is_taken_and_one_beyond_refused_in_step() {
    assert_eq!(whole(&request_of(1, 0, &get(), &[b'x'; CAP])).requests[0].1.len(), CAP);
    for size in [CAP + 1, 8 * CAP] {
        assert_eq!(refused_and_in_step(&get(), &vec![b'x'; size]), Refusal::TooLarge(CAP));
    }
}

#[test]
fn an_endless_body_is_answered_at_once() {
    let mut connection = Connection::new(1, ParamLimits::default());
    let bytes = request_of(1, KEEP_CONN, &get(), &[b'x'; 8 * CAP + 1]);
    let outcome = talk_on(&mut connection, bytes.chunks(100));
    assert_eq!(outcome.statuses(), [(1, 413, 0)]);
    assert!(outcome.ended && connection.lingers());
    assert!(connection.request().body.capacity() <= KEPT_MEMORY);
}

#[test]
fn a_second_request_is_declined_and_the_first_served() {
    let params = get();
    let bytes = [
        begin(1, 1, 0),
        begin(2, 1, 0),
        stream(PARAMS, 1, &params, 3),
        plain(PARAMS, 2, b"\xff\xff"),
        begin(3, 9, 0),
        stream(STDIN, 2, b"other", 10),
        stream(STDIN, 1, b"mine", 10),
    ]
    .concat();
    let outcome = anyhow_cut(&bytes);
    assert_eq!(outcome.statuses(), [(2, 0, 1), (3, 0, 1), (1, 200, 0)]);
    assert_eq!(outcome.requests[0].1, b"mine");
}

#[test]
fn a_request_that_begins_twice_ends_the_connection() {
    assert!(whole(&[begin(1, 1, 1), begin(1, 1, 1)].concat()).broken.is_some());
    let late = [begin(1, 1, 1), stream(PARAMS, 1, &get(), 100), begin(1, 1, 1)].concat();
    assert!(whole(&late).broken.is_some());
}

#[test]
fn another_role_is_declined_and_the_connection_goes_on() {
    for role in [0, 2, 3, 9] {
        let declined = [
            begin(1, role, KEEP_CONN),
            stream(PARAMS, 1, &get(), 100),
            stream(STDIN, 1, b"left over", 100),
            request(1, KEEP_CONN, "", b"x"),
        ]
        .concat();
        assert_eq!(whole(&declined).statuses(), [(1, 0, 3), (1, 200, 0)], "{role}");
    }
}

#[test]
fn an_abort_is_answered_in_every_state_and_the_handler_not_called() {
    let abort = plain(ABORT_REQUEST, 7, &[]);
    let begun = begin(7, 1, KEEP_CONN);
    let params = stream(PARAMS, 7, &get(), 100);
    let some_params = plain(PARAMS, 7, &get());
    let some_body = plain(STDIN, 7, b"body");
    for before in [
        begun.clone(),
        [&begun[..], &some_params].concat(),
        [&begun[..], &params].concat(),
        [&begun[..], &params, &some_body].concat(),
    ] {
        let bytes = [before, abort.clone(), request(7, KEEP_CONN, "", b"next")].concat();
        let outcome = anyhow_cut(&bytes);
        assert_eq!(outcome.statuses(), [(7, 0, 0), (7, 200, 0)]);
        assert_eq!(outcome.requests.len(), 1);
        assert_eq!(outcome.requests[0].1, b"next");
    }
    assert_eq!(whole(&[abort, request(7, KEEP_CONN, "", b"")].concat()).statuses(), [(7, 200, 0)]);
}

#[test]
fn an_abort_without_keep_conn_ends_the_connection() {
    let outcome = whole(&[begin(1, 1, 0), plain(ABORT_REQUEST, 1, &[])].concat());
    assert!(outcome.ended && outcome.broken.is_none());
    assert_eq!(outcome.statuses(), [(1, 0, 0)]);
}

#[test]
fn stdin_before_the_end_of_params_ends_the_connection() {
    assert!(whole(&[begin(1, 1, 1), plain(STDIN, 1, b"x")].concat()).broken.is_some());
}

#[test]
fn left_overs_and_unknown_types_are_skipped() {
    let bytes = [
        plain(STDIN, 1, b"left over"),
        plain(PARAMS, 1, &[]),
        plain(DATA, 3, b"x"),
        plain(ABORT_REQUEST, 1, &[]),
        begin(1, 1, KEEP_CONN),
        plain(99, 1, b"unknown"),
        stream(PARAMS, 1, &get(), 100),
        plain(DATA, 1, b"data"),
        plain(PARAMS, 1, b"\xff"),
        plain(GET_VALUES, 1, b"\xff"),
        plain(99, 1, b"unknown"),
        stream(STDIN, 1, b"body", 100),
    ]
    .concat();
    let outcome = anyhow_cut(&bytes);
    assert_eq!(outcome.statuses(), [(1, 200, 0)]);
    assert_eq!(outcome.requests[0].1, b"body");
}

#[test]
fn who_sends_nothing_but_left_overs_is_cut_off() {
    // Content, padding and bare headers alike.
    let padded = [&[1, STDIN, 0, 9, 0, 0, 255, 0], [0; 255].as_slice()].concat();
    for record in [plain(STDIN, 1, &vec![b'x'; 65_535]), padded, plain(ABORT_REQUEST, 7, &[])] {
        let enough = MAX_STRAY / record.len();
        let talked = talk((0..enough).map(|_| record.as_slice()));
        assert_eq!(talked.broken, None);
        assert!(talk((0..=enough).map(|_| record.as_slice())).broken.is_some());
    }
}

#[test]
fn another_role_that_is_not_kept_ends_the_connection() {
    let declined = whole(&begin(1, 2, 0));
    assert_eq!(declined.statuses(), [(1, 0, 3)]);
    assert!(declined.ended);
}

#[test]
fn records_that_only_an_application_sends_end_the_connection() {
    for kind in [0, 3, 6, 7, 10, 11] {
        for id in [0, 1] {
            assert!(whole(&plain(kind, id, &[])).broken.is_some(), "{kind}");
            assert!(whole(&[begin(1, 1, 1), plain(kind, id, &[])].concat()).broken.is_some(), "{kind}");
        }
    }
}

#[test]
fn another_version_or_a_bad_begin_ends_the_connection() {
    for version in [0, 2] {
        let mut bytes = request(1, 0, "", b"");
        bytes[0] = version;
        assert!(whole(&bytes).broken.is_some());
    }
    for length in [0, 2, 7, 9] {
        assert!(whole(&plain(BEGIN_REQUEST, 1, &vec![1; length])).broken.is_some(), "{length}");
    }
}

#[test]
fn management_records_are_answered_in_every_state() {
    let values = plain(GET_VALUES, 0, &pairs(&[(b"FCGI_MPXS_CONNS", b""), (b"FCGI_MAX_CONNS", b"")]));
    let unknown = plain(200, 0, b"what");
    let bytes = [
        values.clone(),
        begin(1, 1, 0),
        unknown.clone(),
        stream(PARAMS, 1, &get(), 5),
        values,
        unknown,
        stream(STDIN, 1, b"body", 2),
    ]
    .concat();
    let outcome = anyhow_cut(&bytes);
    let sent = records(&outcome.output);
    let kinds: Vec<u8> = sent.iter().map(|sent| sent.kind).collect();
    assert_eq!(kinds, [GET_VALUES_RESULT, UNKNOWN_TYPE, GET_VALUES_RESULT, UNKNOWN_TYPE, 6, 6, 3]);
    assert_eq!(sent[0].content, pairs(&[(b"FCGI_MAX_CONNS", b"1024"), (b"FCGI_MPXS_CONNS", b"0")]));
    assert_eq!(sent[1].content, [200, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(outcome.requests[0].1, b"body");
}

#[test]
fn a_truncated_get_values_ends_the_connection() {
    assert!(whole(&plain(GET_VALUES, 0, &[14, 0, b'F'])).broken.is_some());
}

#[test]
fn who_asks_without_end_is_not_answered_without_end() {
    let flood: Vec<u8> = plain(200, 0, &[]).repeat(8000);
    let outcome = whole(&flood);
    assert!(outcome.broken.is_some());
    assert!(outcome.output.len() <= MAX_OUTPUT + 16);
}

#[test]
fn a_head_request_gets_the_head_alone() {
    let params = pairs(&[(b"REQUEST_METHOD", b"HEAD")]);
    let outcome = whole(&request_of(1, 0, &params, b"12345"));
    assert!(outcome.replies()[0].document.ends_with("Content-Length: 5\r\n\r\n"));
}

#[test]
fn only_a_request_that_has_begun_can_be_given_up() {
    let mut connection = Connection::new(1, ParamLimits::default());
    assert!(!connection.give_up());
    talk_on(&mut connection, [&request(1, 0, "", b"x")[..20]]);
    assert!(!connection.is_idle());
    assert!(connection.give_up());
    connection.reply(&Refusal::TooSlow(Duration::from_secs(3)).response());
    assert_eq!(replies(connection.output())[0].status(), 408);
    assert!(connection.lingers() && !connection.keeps());
}

#[test]
fn a_used_connection_is_as_good_as_a_new_one() {
    let mut connection = Connection::new(1024, ParamLimits::default());
    let bytes = request(1, 0, "a", b"hello");
    for end in 0..=bytes.len() {
        talk_on(&mut connection, [&bytes[..end]]);
        connection.reset();
        assert!(connection.is_idle() && !connection.has_spoken());
        assert_eq!(talk_on(&mut connection, [&bytes[..]]), whole(&bytes), "after {end} bytes");
        connection.reset();
    }
}

#[test]
fn a_request_is_received_when_its_first_byte_is() {
    let mut connection = Connection::new(1, ParamLimits::default());
    let (bytes, early) = (request(1, KEEP_CONN, "", b"x"), Instant::now());
    let late = early + Duration::from_secs(1);
    connection.receive(&bytes[..1], early, &|_| CAP);
    assert_eq!(connection.receive(&bytes[1..], late, &|_| CAP), Event::Request);
    assert_eq!(connection.request().received, early);
    connection.reply(&Response::text(200, ""));
    assert_eq!(connection.receive(&bytes, late, &|_| CAP), Event::Request);
    assert_eq!(connection.request().received, late);
}

#[test]
fn an_end_at_any_byte_calls_no_handler() {
    let bytes = request(1, 0, "", b"body");
    for end in 0..bytes.len() {
        assert_eq!(whole(&bytes[..end]), Outcome::default(), "{end}");
    }
}

/// Cuts `bytes` at the given places.
fn cut<'b>(bytes: &'b [u8], places: &[prop::sample::Index]) -> Vec<&'b [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// A record that is well-formed, of any type, and mostly of few ids.
fn any_record() -> impl Strategy<Value = Vec<u8>> {
    let id = prop_oneof![Just(1_u16), Just(1), Just(0), any::<u16>()];
    let content = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        Just(Vec::new()),
        Just(get()),
        Just(vec![0, 1, 1, 0, 0, 0, 0, 0]),
    ];
    (0_u8..14, id, content, any::<u8>())
        .prop_map(|(kind, id, content, padding)| padded(kind, id, &content, padding))
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
        whole(&bytes);
    }

    #[test]
    fn arbitrary_records_mean_the_same_wherever_they_are_cut(
        list in prop::collection::vec(any_record(), 0..12),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let bytes = list.concat();
        prop_assert_eq!(talk(cut(&bytes, &places)), whole(&bytes));
    }

    #[test]
    fn a_valid_stream_means_the_same_wherever_it_is_cut(
        names in prop::collection::vec(("[A-Z_]{1,200}", prop::collection::vec(any::<u8>(), 0..300)), 0..20),
        body in prop::collection::vec(any::<u8>(), 0..CAP),
        sizes in (1_usize..500, 1_usize..500),
        padding in any::<u8>(),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut params = get();
        for (name, value) in &names {
            record::push_pair(&mut params, name.as_bytes(), value);
        }
        let bytes = [
            begin(9, 1, 0),
            padded(77, 9, b"unknown", padding),
            stream(PARAMS, 9, &params, sizes.0),
            stream(STDIN, 9, &body, sizes.1),
        ]
        .concat();
        let outcome = talk(cut(&bytes, &places));
        prop_assert_eq!(&outcome, &whole(&bytes));
        if outcome.refusals.is_empty() {
            let (seen, seen_body) = &outcome.requests[0];
            prop_assert_eq!(seen.len(), names.len() + 1);
            prop_assert!(seen[1..].iter().eq(names.iter().map(|(n, v)| (n.clone().into_bytes(), v.clone())).collect::<Vec<_>>().iter()));
            prop_assert_eq!(seen_body, &body);
        }
    }
}
