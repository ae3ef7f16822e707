//! A request and a response as both doors see them: parameters, a body, an answer. Knows no WeChat.
//!
//! CGI and FastCGI hand over the same meta-variables (RFC 3875 §4.1), so both make the same [`Request`] and take
//! the same [`Response`]. Values are bytes: nothing says that a client sends UTF-8.

use std::borrow::Cow;
use std::mem;
use std::time::Instant;

/// The meta-variables of a request: names and values as bytes, in the order in which they came.
///
/// Built to be filled again and again: [`Params::clear`] keeps the memory.
#[derive(Debug, Default, Clone)]
pub struct Params {
    data: Vec<u8>,
    pairs: Vec<Pair>,
}

/// Where a name and a value lie in [`Params::data`]: the name from `name` to `value`, the value from there to `end`.
#[derive(Debug, Clone, Copy)]
struct Pair {
    name: usize,
    value: usize,
    end: usize,
}

impl Params {
    /// No parameters yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// No parameters yet, with memory for `pairs` of them, `bytes` long in all.
    #[must_use]
    pub fn with_capacity(pairs: usize, bytes: usize) -> Self {
        Self { data: Vec::with_capacity(bytes), pairs: Vec::with_capacity(pairs) }
    }

    /// Forgets all pairs and keeps the memory for the next request.
    pub fn clear(&mut self) {
        self.data.clear();
        self.pairs.clear();
    }

    /// Gives memory beyond `capacity` bytes back: one huge request should not stay in memory for ever.
    pub fn shrink_to(&mut self, capacity: usize) {
        self.data.shrink_to(capacity);
        self.pairs.shrink_to(capacity / 32);
    }

    /// Appends one pair. Equal names may come more than once, see [`Params::get`] and [`Params::header`].
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let start = self.data.len();
        self.data.extend_from_slice(name);
        let middle = self.data.len();
        self.data.extend_from_slice(value);
        self.pairs.push(Pair { name: start, value: middle, end: self.data.len() });
    }

    /// Appends one pair that lies in the bytes which [`Params::hold`] will bring: the name from `name` to `value`, the value
    /// from there to `end`. For a set of parameters that is not pushed one by one.
    pub(crate) fn place(&mut self, name: usize, value: usize, end: usize) {
        debug_assert!(name <= value && value <= end && self.data.is_empty());
        self.pairs.push(Pair { name, value, end });
    }

    /// Takes the bytes in which all pairs lie that were placed, and gives its own memory for them, empty.
    pub(crate) fn hold(&mut self, data: Vec<u8>) -> Vec<u8> {
        debug_assert!(self.pairs.iter().all(|pair| pair.end <= data.len()));
        mem::replace(&mut self.data, data)
    }

    /// How many pairs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is no pair at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The value of `name`; an empty value counts as absent (RFC 3875 §4.1), the last of equal names wins: who writes
    /// a line after nginx's `include fastcgi_params` means the later one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        // Most have another length: that is seen without a look at the name.
        let may_be_it = |pair: &&Pair| pair.value - pair.name == name.len();
        let pair =
            self.pairs.iter().rev().filter(may_be_it).find(|pair| self.name_of(pair) == name.as_bytes())?;
        Some(self.value_of(pair)).filter(|value| !value.is_empty())
    }

    /// [`Params::get`] as text; what is not UTF-8 is absent.
    #[must_use]
    pub fn get_str(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// The value of a request header, named as in CGI (`HTTP_CONTENT_ENCODING`). Headers that came more than once are
    /// joined with `, `: nginx before 1.23 sends them one by one.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let mut joined: Option<Cow<'_, [u8]>> = None;
        for (_, value) in self.iter().filter(|(n, v)| *n == name.as_bytes() && !v.is_empty()) {
            match &mut joined {
                None => joined = Some(Cow::Borrowed(value)),
                Some(all) => {
                    let all = all.to_mut();
                    all.extend_from_slice(b", ");
                    all.extend_from_slice(value);
                }
            }
        }
        joined
    }

    /// All pairs in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.pairs.iter().map(|pair| (self.name_of(pair), self.value_of(pair)))
    }

    fn name_of(&self, pair: &Pair) -> &[u8] {
        &self.data[pair.name..pair.value]
    }

    fn value_of(&self, pair: &Pair) -> &[u8] {
        &self.data[pair.value..pair.end]
    }
}

/// A request with its whole body: within the caps, and as long as it was announced.
#[derive(Debug)]
pub struct Request {
    /// The meta-variables.
    pub params: Params,
    /// The body; empty if there was none.
    pub body: Vec<u8>,
    /// When its first byte (CGI: the process) came in; WeChat's five seconds run from about here.
    pub received: Instant,
}

impl Request {
    /// A request that has come in just now.
    #[must_use]
    pub fn new(params: Params, body: Vec<u8>) -> Self {
        Self { params, body, received: Instant::now() }
    }

    /// `REQUEST_METHOD`, case-sensitive; absent if the web server is set up wrongly.
    #[must_use]
    pub fn method(&self) -> Option<&[u8]> {
        self.params.get("REQUEST_METHOD")
    }

    /// `QUERY_STRING` as it was sent, still percent-encoded.
    #[must_use]
    pub fn query(&self) -> &[u8] {
        self.params.get("QUERY_STRING").unwrap_or_default()
    }

    /// The path that was asked for: `SCRIPT_NAME` and `PATH_INFO` joined, because servers cut between them at
    /// different places (Caddy puts all into the second).
    #[must_use]
    pub fn path(&self) -> Cow<'_, [u8]> {
        match (self.params.get("SCRIPT_NAME"), self.params.get("PATH_INFO")) {
            (Some(script), Some(info)) => Cow::Owned([script, info].concat()),
            (Some(path), None) | (None, Some(path)) => Cow::Borrowed(path),
            (None, None) => Cow::Borrowed(b""),
        }
    }

    /// The paths by which the request is known: what the web server mapped to us, and what stood in the request before a
    /// rewrite.
    pub fn paths(&self) -> impl Iterator<Item = Cow<'_, [u8]>> {
        let uri = self.params.get("REQUEST_URI").unwrap_or_default();
        let requested = uri.split(|&byte| byte == b'?').next().filter(|path| !path.is_empty());
        std::iter::once(self.path()).chain(requested.map(Cow::Borrowed))
    }

    /// The address of the client for the log; `-` if the web server does not tell.
    #[must_use]
    pub fn remote_addr(&self) -> &str {
        self.params.get_str("REMOTE_ADDR").unwrap_or("-")
    }
}

/// A whole answer. No part of a request belongs into its head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status code, 200 to 599.
    pub status: u16,
    /// `Content-Type` of the body.
    pub content_type: &'static str,
    /// Further headers: name and value, both ours.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The body.
    pub body: Cow<'static, [u8]>,
}

impl Response {
    /// An answer of plain text.
    #[must_use]
    pub fn text(status: u16, body: impl Into<Cow<'static, str>>) -> Self {
        let body = match body.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        Self { status, content_type: "text/plain; charset=utf-8", headers: Vec::new(), body }
    }

    /// An answer of XML, status 200.
    #[must_use]
    pub fn xml(body: String) -> Self {
        Self {
            status: 200,
            content_type: "application/xml; charset=utf-8",
            headers: Vec::new(),
            body: Cow::Owned(body.into_bytes()),
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Appends the response as a CGI document response (RFC 3875 §6.2.1): `Status`, `Content-Type`,
    /// `Content-Length`, the other headers, an empty line and the body. A HEAD request gets the same head and no body.
    pub fn write_to(&self, out: &mut Vec<u8>, head_only: bool) {
        out.extend_from_slice(b"Status: ");
        push_number(out, usize::from(self.status));
        out.push(b' ');
        out.extend_from_slice(reason(self.status).as_bytes());
        out.extend_from_slice(b"\r\nContent-Type: ");
        out.extend_from_slice(self.content_type.as_bytes());
        out.extend_from_slice(b"\r\nContent-Length: ");
        push_number(out, self.body.len());
        for (name, value) in &self.headers {
            debug_assert!(!name.is_empty() && !value.contains(['\r', '\n', '\0']));
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
        }
        out.extend_from_slice(b"\r\n\r\n");
        if !head_only {
            out.extend_from_slice(&self.body);
        }
    }
}

/// Appends `number` in decimal.
fn push_number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// The reason phrase of the status codes that we send.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

/// The pairs of a query string, percent-decoded once, `+` as a space, as bytes. A part without `=` has an empty value.
pub fn query_pairs(query: &[u8]) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    // All of it, not until the first: so many bytes at a time.
    let is_coded = query.iter().fold(false, |found, &byte| found | is_coded(byte));
    let decode = move |text| if is_coded { percent_decode(text) } else { Cow::Borrowed(text) };
    query.split(|&byte| byte == b'&').filter(|part| !part.is_empty()).map(move |part| {
        let (name, value) = match part.iter().position(|&byte| byte == b'=') {
            Some(at) => (&part[..at], &part[at + 1..]),
            None => (part, &b""[..]),
        };
        (decode(name), decode(value))
    })
}

fn is_coded(byte: u8) -> bool {
    matches!(byte, b'%' | b'+')
}

/// Decodes `%XX` and `+`. A `%` without two hex digits stays as it is, as in browsers.
fn percent_decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|&byte| is_coded(byte)) {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match (first, hex_byte(after)) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                rest = &after[2..];
            }
            (b'+', _) => decoded.push(b' '),
            _ => decoded.push(first),
        }
    }
    Cow::Owned(decoded)
}

/// The byte that the first two characters write in hex.
fn hex_byte(text: &[u8]) -> Option<u8> {
    let digits = text.get(..2)?;
    let mut byte = [0];
    hex::decode_to_slice(digits, &mut byte).ok()?;
    Some(byte[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Params {
        let mut params = Params::new();
        for (name, value) in pairs {
            params.push(name.as_bytes(), value.as_bytes());
        }
        params
    }

    #[test]
    fn the_last_of_equal_names_wins_and_empty_is_absent() {
        let params = params(&[("SCRIPT_NAME", "/a"), ("SCRIPT_NAME", "/b"), ("EMPTY", "")]);
        assert_eq!(params.get("SCRIPT_NAME"), Some(&b"/b"[..]));
        assert_eq!(params.get("EMPTY"), None);
        assert_eq!(params.get("NONE"), None);
    }

    #[test]
    fn an_empty_last_value_hides_the_earlier_one() {
        assert_eq!(params(&[("HTTP_PROXY", "http://evil"), ("HTTP_PROXY", "")]).get("HTTP_PROXY"), None);
    }

    #[test]
    fn repeated_headers_are_joined() {
        let params = params(&[("HTTP_X", "1"), ("HTTP_Y", "-"), ("HTTP_X", "2")]);
        assert_eq!(params.header("HTTP_X").as_deref(), Some(&b"1, 2"[..]));
    }

    #[test]
    fn the_path_is_script_name_and_path_info_together() {
        for (pairs, path) in [
            (&[("SCRIPT_NAME", "/wx"), ("PATH_INFO", "/more")][..], "/wx/more"),
            (&[("SCRIPT_NAME", ""), ("PATH_INFO", "/wx")][..], "/wx"),
            (&[("SCRIPT_NAME", "/wx")][..], "/wx"),
            (&[][..], ""),
        ] {
            let request = Request::new(params(pairs), Vec::new());
            assert_eq!(request.path(), path.as_bytes());
        }
    }

    #[test]
    fn a_query_is_decoded_once() {
        let query = b"a=1%2B1&b=%25%34&&c&d=x+y&e=%zz%4&%61=%FF&f=a=b";
        let pairs: Vec<_> = query_pairs(query).map(|(n, v)| (n.into_owned(), v.into_owned())).collect();
        let expected: [(&[u8], &[u8]); 7] = [
            (b"a", b"1+1"),
            (b"b", b"%4"),
            (b"c", b""),
            (b"d", b"x y"),
            (b"e", b"%zz%4"),
            (b"a", b"\xff"),
            (b"f", b"a=b"),
        ];
        assert!(pairs.iter().map(|(n, v)| (&n[..], &v[..])).eq(expected), "{pairs:?}");
    }

    #[test]
    fn a_response_is_a_cgi_document() {
        let mut out = Vec::new();
        Response::text(405, "no").with_header("Allow", "GET, POST").write_to(&mut out, false);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "Status: 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\n\
             Allow: GET, POST\r\n\r\nno"
        );
    }

    #[test]
    fn a_head_request_gets_no_body() {
        let mut out = Vec::new();
        Response::text(200, "body").write_to(&mut out, true);
        assert!(out.ends_with(b"Content-Length: 4\r\n\r\n"));
    }
}
