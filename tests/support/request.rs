//! One HTTP request, as odd as a test wants it, and its way over the wire or into the environment of a CGI program.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;

use super::{Answer, PATIENCE};

/// A request to be sent. What is not set is as WeChat does it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    method: String,
    path: Option<String>,
    query: Query,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    framing: Framing,
}

#[derive(Debug, Clone)]
enum Query {
    Pairs(Vec<(String, String)>),
    Raw(Vec<u8>),
}

/// How the length of the body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// `Content-Length`, if there is a body.
    Length,
    /// A `Content-Length` that need not be true.
    Announced(usize),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

impl Request {
    /// A request without query and body, to the path of the site.
    pub(crate) fn new(method: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: None,
            query: Query::Pairs(Vec::new()),
            headers: Vec::new(),
            body: Vec::new(),
            framing: Framing::Length,
        }
    }

    /// The same with another method.
    pub(crate) fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// The same to another path than that of the site.
    pub(crate) fn to(mut self, path: &str) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    /// The same with the query parameter `name` set or replaced.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self = self.without(name);
        if let Query::Pairs(pairs) = &mut self.query {
            pairs.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// The same without the query parameter `name`.
    pub(crate) fn without(mut self, name: &str) -> Self {
        if let Query::Pairs(pairs) = &mut self.query {
            pairs.retain(|(n, _)| n != name);
        }
        self
    }

    /// The same with these bytes as its query.
    pub(crate) fn raw_query(mut self, query: impl AsRef<[u8]>) -> Self {
        self.query = Query::Raw(query.as_ref().to_vec());
        self
    }

    /// The same with one more header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with this body.
    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// The same, sent in chunks and without a length.
    pub(crate) fn chunked(mut self) -> Self {
        self.framing = Framing::Chunked;
        self
    }

    /// The same with `length` as its `Content-Length`, whatever the body.
    pub(crate) fn announcing(mut self, length: usize) -> Self {
        self.framing = Framing::Announced(length);
        self
    }

    /// Whether its body is shorter than its `Content-Length`: no web server hands such a request on.
    pub(crate) fn is_cut_short(&self) -> bool {
        matches!(self.framing, Framing::Announced(length) if length > self.body.len())
    }

    /// The query as it goes over the wire.
    pub(crate) fn query(&self) -> Vec<u8> {
        match &self.query {
            Query::Raw(query) => query.clone(),
            Query::Pairs(pairs) => {
                let parts: Vec<_> =
                    pairs.iter().map(|(n, v)| format!("{n}={}", percent_encoded(v))).collect();
                parts.join("&").into_bytes()
            }
        }
    }

    /// What this request is, in one line for a failed test.
    pub(crate) fn summary(&self, path: &str) -> String {
        format!("{} {}?{}", self.method, self.path_or(path), String::from_utf8_lossy(&self.query()))
    }

    fn path_or<'a>(&'a self, path: &'a str) -> &'a str {
        self.path.as_deref().unwrap_or(path)
    }

    /// Sends it to a web server and waits for all of the answer.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub(crate) fn send(&self, port: u16, path: &str) -> Answer {
        self.try_send(port, path).unwrap_or_else(|fault| panic!("{fault}"))
    }

    /// The same where no answer is a result.
    pub(crate) fn try_send(&self, port: u16, path: &str) -> Result<Answer, String> {
        let asked = || self.summary(path);
        let stream = TcpStream::connect(("127.0.0.1", port)).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(stream)
        });
        let mut stream = stream.map_err(|error| format!("{}: no connection: {error}", asked()))?;
        // A server may refuse a body by closing before it has read all; what it said is still there to be read.
        let sent = stream.write_all(&self.wire(path));
        let mut answer = Vec::new();
        let received = stream.read_to_end(&mut answer);
        if answer.is_empty() {
            return Err(format!("{}: no answer ({sent:?}, {received:?})", asked()));
        }
        Ok(Answer::from_http(&answer, asked()))
    }

    /// It as it goes over the wire.
    pub(crate) fn wire(&self, path: &str) -> Vec<u8> {
        let mut wire = format!("{} {}", self.method, self.path_or(path)).into_bytes();
        let query = self.query();
        if !query.is_empty() {
            wire.push(b'?');
            wire.extend_from_slice(&query);
        }
        // WeChat's own head, more or less.
        let mut head =
            " HTTP/1.1\r\nHost: wx.example.com\r\nUser-Agent: Mozilla/4.0\r\nAccept: */*\r\n".to_owned();
        head += "Pragma: no-cache\r\nConnection: close\r\n";
        if !self.body.is_empty() {
            head += "Content-Type: text/xml\r\n";
        }
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        match self.framing {
            Framing::Length if self.body.is_empty() && self.method == "GET" => {}
            Framing::Length => _ = write!(head, "Content-Length: {}\r\n", self.body.len()),
            Framing::Announced(length) => _ = write!(head, "Content-Length: {length}\r\n"),
            Framing::Chunked => head += "Transfer-Encoding: chunked\r\n",
        }
        wire.extend_from_slice(head.as_bytes());
        wire.extend_from_slice(b"\r\n");
        if self.framing == Framing::Chunked {
            for chunk in self.body.chunks(1000) {
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
        } else {
            wire.extend_from_slice(&self.body);
        }
        wire
    }

    /// The meta-variables by which a web server hands it to a CGI program (RFC 3875 §4.1), and the body for stdin.
    pub(crate) fn meta_variables(&self, path: &str) -> (Vec<(String, Vec<u8>)>, Vec<u8>) {
        let mut variables: Vec<(String, Vec<u8>)> = [
            ("GATEWAY_INTERFACE", "CGI/1.1"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("SERVER_SOFTWARE", "by hand"),
            ("SERVER_NAME", "wx.example.com"),
            ("SERVER_PORT", "80"),
            ("REMOTE_ADDR", "203.0.113.9"),
            ("REQUEST_METHOD", &self.method),
            ("SCRIPT_NAME", self.path_or(path)),
        ]
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .into();
        variables.push(("QUERY_STRING".to_owned(), self.query()));
        let length = match self.framing {
            Framing::Length if self.body.is_empty() => None,
            Framing::Length => Some(self.body.len()),
            Framing::Announced(length) => Some(length),
            // As mod_cgid does it: the body comes decoded, and its end is the end of stdin.
            Framing::Chunked => {
                variables.push(("HTTP_TRANSFER_ENCODING".to_owned(), b"chunked".to_vec()));
                None
            }
        };
        if let Some(length) = length {
            variables.push(("CONTENT_LENGTH".to_owned(), length.to_string().into()));
        }
        for (name, value) in &self.headers {
            let name = format!("HTTP_{}", name.to_uppercase().replace('-', "_"));
            variables.push((name, value.as_bytes().to_vec()));
        }
        (variables, self.body.clone())
    }
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => _ = write!(encoded, "%{byte:02X}"),
        }
    }
    encoded
}
