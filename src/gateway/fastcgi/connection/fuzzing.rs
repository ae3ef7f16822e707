//! What must hold whatever a peer sends; see [`crate::fuzzing`].

use std::cell::RefCell;

use arbitrary::{Arbitrary, Unstructured};

use super::talk::{CAP, Outcome, Pairs, talk, talk_on};
use super::{Connection, MAX_OUTPUT};
use crate::gateway::cgi;
use crate::gateway::fastcgi::record::{self, MAX_CONTENT, push_pair};
use crate::gateway::fastcgi::wire::{self, Sent, begin, padded, plain, request_of};
use crate::gateway::limits::ParamLimits;
use crate::gateway::refusal::Refusal;
use crate::gateway::{Application, Responder};
use crate::http::{Params, Request, Response};

/// A stream means the same wherever it is cut and on a connection that was used before, it is answered by whole
/// records, and costs no more memory than it may.
///
/// The first byte tells what follows: the bytes of the stream (even), or the makings of records (odd). Its other bits
/// say where the stream is cut.
///
/// # Panics
///
/// If it does not hold.
pub fn fastcgi_stream(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return };
    let stream = if first % 2 == 0 { rest.to_vec() } else { made_of_records(rest) };
    let outcome = talk([&stream[..]]);
    assert_in_order(&outcome);
    assert_eq!(talk(cut(&stream, u32::from(first / 2))), outcome, "cut");
    if stream.len() > LONG {
        return;
    }
    assert_eq!(talk(stream.chunks(1)), outcome, "byte by byte");
    let mut used = Connection::new(1024, ParamLimits::default());
    let half = stream.len() / 2;
    talk_on(&mut used, [&stream[half..], &stream[..half]]);
    used.reset();
    assert_eq!(talk_on(&mut used, [&stream[..]]), outcome, "on a used connection");
}

/// Parameters are read as they were written, or not at all, and mean the same at both doors.
///
/// `data` is the content of PARAMS.
///
/// # Panics
///
/// If it does not hold.
pub fn params(data: &[u8]) {
    let pairs: Option<Vec<_>> = record::Pairs(data).collect();
    if let Some(pairs) = &pairs {
        let written = written(pairs.iter().copied());
        assert!(written.len() <= data.len(), "nobody writes them shorter than we");
        assert_eq!(record::Pairs(&written).collect::<Option<Vec<_>>>().as_ref(), Some(pairs), "read back");
        values_are_told(data, pairs);
    }
    let mut given = Params::new();
    pairs.iter().flatten().for_each(|(name, value)| given.push(name, value));
    let body = body_for(&given);
    let outcome = talk([&request_of(1, 0, data, &body)[..]]);
    assert_in_order(&outcome);
    assert_eq!(outcome.broken.is_some(), pairs.is_none(), "broken if and only if truncated");
    let (by_cgi, document) = at_the_cgi_door(given, &body);
    match (outcome.refusals.first(), outcome.requests.first()) {
        // What FastCGI alone refuses: the web server has made an environment of it for CGI.
        (
            Some(
                Refusal::BadName
                | Refusal::ParamsTooLarge(_)
                | Refusal::TooManyParams(_)
                | Refusal::ParamTooLong(_),
            ),
            _,
        )
        | (None, None) => {}
        (Some(refusal), _) => {
            assert_eq!(by_cgi, None);
            assert!(document.starts_with(&format!("Status: {} ", refusal.response().status)), "{document}");
        }
        (None, Some(request)) => assert_eq!(by_cgi.as_ref(), Some(request), "the doors differ"),
    }
}

/// GET_VALUES with these names is answered with names that were asked for.
fn values_are_told(query: &[u8], asked: &[(&[u8], &[u8])]) {
    let mut out = Vec::new();
    assert_eq!(record::push_values(&mut out, query, 7), Some(()));
    let sent = wire::records(&out);
    let told: Option<Vec<_>> = record::Pairs(&sent[0].content).collect();
    for (name, value) in told.expect("whole pairs") {
        assert!(asked.iter().any(|(asked, _)| *asked == name) && (value == b"7" || value == b"0"));
    }
}

/// A body as these parameters announce it, if that is one that may come.
fn body_for(params: &Params) -> Vec<u8> {
    let announced = params.get_str("CONTENT_LENGTH").and_then(|digits| digits.parse().ok());
    match announced {
        Some(length @ 0..=CAP) => vec![b'x'; length],
        Some(_) => b"more than this was announced".to_vec(),
        None if params.header("HTTP_TRANSFER_ENCODING").is_some_and(|value| *value != *b"identity") => {
            b"chunks".to_vec()
        }
        None => Vec::new(),
    }
}

/// Parameters and body of a request as the handler saw them.
type Seen = (Pairs, Vec<u8>);

/// What a handler sees of the same request at the CGI door, and the whole answer.
fn at_the_cgi_door(params: Params, mut body: &[u8]) -> (Option<Seen>, String) {
    let witness = Witness::default();
    let document = cgi::exchange(params, &mut body, &witness);
    (witness.0.into_inner(), String::from_utf8(document).expect("text"))
}

#[derive(Default)]
struct Witness(RefCell<Option<Seen>>);

impl Application for Witness {
    fn max_body(&self, _: &Params) -> usize {
        CAP
    }

    fn handle(&self, request: &Request, responder: Responder) {
        let params = request.params.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        self.0.replace(Some((params, request.body.clone())));
        responder.respond(Response::text(200, ""));
    }

    fn unanswered(&self) -> Response {
        Response::text(500, "")
    }
}

/// What holds for all that a connection does: the requests are within the caps, the output is records in their order.
fn assert_in_order(outcome: &Outcome) {
    let limits = ParamLimits::default();
    for (params, body) in &outcome.requests {
        assert!(params.len() <= limits.count && body.len() <= CAP);
        assert!(params.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() <= limits.size);
        for (name, value) in params {
            assert!(!name.is_empty() && name != b"HTTP_PROXY" && !name.iter().any(u8::is_ascii_control));
            assert!(value.len() <= limits.value);
        }
    }
    let documents = documents_in(&wire::records(&outcome.output));
    for document in &documents {
        assert_whole(document);
    }
    let answered = outcome.requests.len() + outcome.refusals.len();
    assert_eq!(documents.len(), answered, "answers for requests");
    let answers: usize = outcome.requests.iter().map(|(_, body)| body.len()).sum::<usize>() + answered * 512;
    assert!(outcome.output.len() <= MAX_OUTPUT + MAX_CONTENT + answers, "{} bytes", outcome.output.len());
}

/// The documents of the replies: STDOUT, its end, END_REQUEST, all of one id and with nothing between them. Other records
/// stand between replies.
fn documents_in(sent: &[Sent]) -> Vec<Vec<u8>> {
    let mut documents: Vec<Vec<u8>> = Vec::new();
    let mut open: Option<(u16, bool)> = None;
    for Sent { kind, id, content } in sent {
        match (*kind, open) {
            (record::STDOUT, None) if !content.is_empty() => {
                open = Some((*id, false));
                documents.push(content.clone());
            }
            (record::STDOUT, Some((current, false))) if current == *id => {
                open = Some((current, content.is_empty()));
                documents.last_mut().expect("an open one").extend(content);
            }
            (record::END_REQUEST, None) => assert_eq!(content.len(), 8),
            (record::END_REQUEST, Some((current, true))) if current == *id => {
                assert_eq!(content[..], [0; 8], "complete");
                open = None;
            }
            (record::GET_VALUES_RESULT, None) => assert_eq!(*id, 0),
            (record::UNKNOWN_TYPE, None) => assert_eq!((*id, content.len()), (0, 8)),
            other => panic!("{other:?} out of turn"),
        }
    }
    assert_eq!(open, None, "a reply without its end");
    documents
}

/// A document has a status, and a body of the length that it tells, or none for HEAD.
fn assert_whole(document: &[u8]) {
    let end = document.windows(4).position(|window| window == b"\r\n\r\n").expect("the end of the head");
    let head = str::from_utf8(&document[..end]).expect("text");
    assert!(head.starts_with("Status: "), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let body = document.len() - end - 4;
    assert!(body == 0 || length == Some(body.to_string().as_str()), "{head}: {body}");
}

/// A longer stream is held against fewer others: it costs too much time.
const LONG: usize = 16 << 10;

/// Cuts `stream` into parts whose sizes `seed` makes up.
fn cut(stream: &[u8], seed: u32) -> impl Iterator<Item = &[u8]> {
    let (mut rest, mut random) = (stream, seed.wrapping_mul(2_654_435_761) | 1);
    std::iter::from_fn(move || {
        // Marsaglia's xorshift.
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        let most = [3, 9, 40, 3000][usize::from(random.to_be_bytes()[0] % 4)];
        let size = 1 + usize::from(random.to_be_bytes()[3]) * most / 256;
        let (part, behind) = rest.split_at(size.min(rest.len()));
        rest = behind;
        (!part.is_empty()).then_some(part)
    })
}

/// A part of a stream.
#[derive(Debug, Arbitrary)]
enum Piece<'a> {
    /// Any well-formed record.
    Record { kind: u8, id: Id, padding: u8, content: &'a [u8] },
    /// The beginning of a request.
    Begin { id: Id, role: u8, flags: u8 },
    /// A part of its parameters.
    Params { id: Id, pairs: Vec<(Name<'a>, &'a [u8])> },
    /// The end of a stream.
    End { id: Id, stdin: bool },
    /// A whole request.
    Request { id: Id, keep: bool, pairs: Vec<(Name<'a>, &'a [u8])>, body: &'a [u8] },
    /// The same record again and again.
    Flood { kind: u8, id: Id, padding: u8, byte: u8, size: u8, times: u8 },
    /// No record.
    Bytes(&'a [u8]),
}

/// A request's number, most often one of two.
#[derive(Debug, Arbitrary)]
enum Id {
    One,
    Two,
    Management,
    Any(u16),
}

/// A parameter's name, most often one that we read.
#[derive(Debug, Arbitrary)]
enum Name<'a> {
    Method,
    Query,
    Length,
    Encoding,
    Proxy,
    Any(&'a [u8]),
}

/// The most that is made of one input: enough for every cap but that of strays.
const MAX_STREAM: usize = 1200 << 10;

fn made_of_records(data: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut makings = Unstructured::new(data);
    while !makings.is_empty() && stream.len() < MAX_STREAM {
        let Ok(piece) = Piece::arbitrary(&mut makings) else { break };
        piece.push_to(&mut stream);
    }
    stream
}

impl Piece<'_> {
    fn push_to(&self, stream: &mut Vec<u8>) {
        match self {
            Self::Record { kind, id, padding, content } => {
                stream.extend(padded(
                    *kind,
                    id.number(),
                    &content[..content.len().min(MAX_CONTENT)],
                    *padding,
                ));
            }
            Self::Begin { id, role, flags } => stream.extend(begin(id.number(), *role, *flags)),
            Self::Params { id, pairs } => {
                stream.extend(
                    written(named(pairs))
                        .chunks(MAX_CONTENT)
                        .flat_map(|part| plain(record::PARAMS, id.number(), part)),
                );
            }
            Self::End { id, stdin } => {
                stream.extend(plain(if *stdin { record::STDIN } else { record::PARAMS }, id.number(), &[]));
            }
            Self::Request { id, keep, pairs, body } => {
                stream.extend(request_of(id.number(), u8::from(*keep), &written(named(pairs)), body));
            }
            Self::Flood { kind, id, padding, byte, size, times } => {
                let content = vec![*byte; usize::from(*size) * 64];
                let record = padded(*kind, id.number(), &content, *padding);
                let room = MAX_STREAM.saturating_sub(stream.len()) / record.len();
                stream.extend(record.repeat(usize::from(*times).min(room)));
            }
            Self::Bytes(bytes) => stream.extend_from_slice(bytes),
        }
    }
}

impl Id {
    fn number(&self) -> u16 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Management => 0,
            Self::Any(id) => *id,
        }
    }
}

impl Name<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Method => b"REQUEST_METHOD",
            Self::Query => b"QUERY_STRING",
            Self::Length => b"CONTENT_LENGTH",
            Self::Encoding => b"HTTP_TRANSFER_ENCODING",
            Self::Proxy => b"HTTP_PROXY",
            Self::Any(name) => name,
        }
    }
}

/// The pairs with the bytes of their names.
fn named<'p>(pairs: &'p [(Name<'_>, &'p [u8])]) -> impl Iterator<Item = (&'p [u8], &'p [u8])> {
    pairs.iter().map(|(name, value)| (name.bytes(), *value))
}

fn written<'p>(pairs: impl Iterator<Item = (&'p [u8], &'p [u8])>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in pairs {
        push_pair(&mut out, name, value);
    }
    out
}
