//! What came back, and what a test may say about it.

use std::fmt::Write as _;

use super::Door;

/// The answer to one request.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// Status code.
    pub(crate) status: u16,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    /// The body, without any transfer coding.
    pub(crate) body: Vec<u8>,
    asked: String,
}

impl Answer {
    /// Reads what a web server sent until it closed. `asked` tells a failed test what the question was.
    pub(crate) fn from_http(bytes: &[u8], asked: String) -> Self {
        let (head, rest) = split_head(bytes).unwrap_or_else(|| panic!("{asked}: no HTTP: {}", show(bytes)));
        let mut lines = head.lines();
        let status_line = lines.next().unwrap_or_default();
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("{asked}: no status line: {status_line}"));
        let headers = lines.filter_map(header_line).collect();
        let mut answer = Self { status, headers, body: rest.to_vec(), asked };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = dechunked(rest);
        }
        answer
    }

    /// Reads what a CGI program wrote: a document response (RFC 3875 §6.2.1).
    pub(crate) fn from_cgi(bytes: &[u8], asked: String) -> Self {
        let (head, rest) =
            split_head(bytes).unwrap_or_else(|| panic!("{asked}: no CGI response: {}", show(bytes)));
        let headers: Vec<_> = head.lines().filter_map(header_line).collect();
        let mut answer = Self { status: 200, headers, body: rest.to_vec(), asked };
        if let Some(status) = answer.header("status") {
            answer.status =
                status.split(' ').next().and_then(|code| code.parse().ok()).expect("a status code");
        }
        answer
    }

    /// The same, known to have come through `door`.
    pub(crate) fn through(mut self, door: Door) -> Self {
        self.asked = format!("{door:?}: {}", self.asked);
        self
    }

    /// The value of a header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// It has this status.
    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> &Self {
        self.is_one_of(&[status])
    }

    /// It has one of these statuses.
    #[track_caller]
    pub(crate) fn is_one_of(&self, statuses: &[u16]) -> &Self {
        assert!(statuses.contains(&self.status), "not {statuses:?}, but\n{self}");
        self
    }

    /// Its body is exactly this.
    #[track_caller]
    pub(crate) fn says(&self, body: &str) -> &Self {
        assert!(self.body == body.as_bytes(), "not `{body}`, but\n{self}");
        self
    }

    /// It has this header with this value.
    #[track_caller]
    pub(crate) fn has(&self, name: &str, value: &str) -> &Self {
        assert!(self.header(name) == Some(value), "no `{name}: {value}` in\n{self}");
        self
    }

    /// Nowhere in head or body stands any of these words.
    #[track_caller]
    pub(crate) fn keeps_quiet_about(&self, words: &[&str]) -> &Self {
        let all = self.to_string();
        // Below the line that repeats our own question.
        let said = all.split_once('\n').map_or("", |(_, said)| said);
        for word in words {
            assert!(!said.contains(word), "it tells `{word}`:\n{self}");
        }
        self
    }

    /// It ends where it says, and none of its headers but these came along.
    #[track_caller]
    pub(crate) fn has_only(&self, headers: &[&str]) -> &Self {
        let length = self.body.len().to_string();
        assert!(self.header("content-length").is_none_or(|said| said == length), "{length} bytes in\n{self}");
        for (name, _) in &self.headers {
            assert!(headers.contains(&name.as_str()), "the header `{name}` in\n{self}");
        }
        self
    }

    /// Received, nothing to say, do not retry.
    #[track_caller]
    pub(crate) fn acknowledges(&self) -> &Self {
        self.is(200).says("success")
    }

    /// A reply that shows the user this text.
    #[track_caller]
    pub(crate) fn replies(&self, text: &str) -> &Self {
        self.is(200).has("content-type", "application/xml; charset=utf-8");
        assert!(self.reply_text().as_deref() == Some(text), "no reply `{text}`, but\n{self}");
        self
    }

    /// The text that a reply shows the user, if this is one.
    pub(crate) fn reply_text(&self) -> Option<String> {
        let xml = self.text();
        let is_text = self.status == 200 && element(&xml, "MsgType").as_deref() == Some("text");
        element(&xml, "Content").filter(|_| is_text)
    }

    /// The text of an element of the reply.
    #[track_caller]
    pub(crate) fn reply(&self, name: &str) -> String {
        element(&self.text(), name).unwrap_or_else(|| panic!("no `{name}` in\n{self}"))
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} → {}", self.asked, self.status)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        write!(f, "\n{}", show(&self.body))
    }
}

/// The text inside the first element `name` of `xml`: CDATA sections and the five entities taken for what they mean.
///
/// Not a parser, on purpose: it owes nothing to the one that it helps to judge.
pub(crate) fn element(xml: &str, name: &str) -> Option<String> {
    let start = xml.find(&format!("<{name}>"))? + name.len() + 2;
    let mut rest = &xml[start..];
    let mut text = String::new();
    loop {
        if let Some(section) = rest.strip_prefix("<![CDATA[") {
            let end = section.find("]]>")?;
            text += &section[..end];
            rest = &section[end + 3..];
        } else if rest.starts_with(&format!("</{name}>")) {
            return Some(text);
        } else {
            let end = rest[1..].find('<')? + 1;
            let piece = rest[..end].replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
            text += &piece.replace("&apos;", "'").replace("&amp;", "&");
            rest = &rest[end..];
        }
    }
}

/// Every element of `xml` that holds no others, in order, as `Image>MediaId = …`; the root's name is left out.
pub(crate) fn elements(xml: &str) -> Vec<String> {
    let mut found = Vec::new();
    push_elements(
        &mut found,
        "",
        xml.strip_prefix("<xml>").and_then(|it| it.strip_suffix("</xml>")).expect(xml),
    );
    found
}

fn push_elements(found: &mut Vec<String>, path: &str, mut inner: &str) {
    while !inner.is_empty() {
        let name = inner.strip_prefix('<').and_then(|it| it.split_once('>')).expect(inner).0;
        let end = format!("</{name}>");
        let length =
            inner.find(&end).unwrap_or_else(|| panic!("`{name}` is not closed: {inner}")) + end.len();
        let (whole, content) = (&inner[..length], &inner[name.len() + 2..length - end.len()]);
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}>{name}") };
        if content.starts_with('<') && !content.starts_with("<![CDATA[") {
            push_elements(found, &path, content);
        } else {
            found.push(format!("{path} = {}", element(whole, name).expect(whole)));
        }
        inner = &inner[length..];
    }
}

fn split_head(bytes: &[u8]) -> Option<(String, &[u8])> {
    let blank = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((String::from_utf8_lossy(&bytes[..blank]).into_owned(), &bytes[blank + 4..]))
}

fn header_line(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.to_lowercase(), value.trim().to_owned()))
}

fn dechunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(line_end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = String::from_utf8_lossy(&rest[..line_end]).into_owned();
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16).unwrap_or(0);
        let chunk = &rest[line_end + 2..];
        if size == 0 || chunk.len() < size {
            break;
        }
        body.extend_from_slice(&chunk[..size]);
        rest = chunk.get(size + 2..).unwrap_or_default();
    }
    body
}

fn show(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown: String = text.chars().take(2000).collect();
    if shown.len() < text.len() {
        let _ = write!(shown, " … ({} bytes)", bytes.len());
    }
    shown
}
