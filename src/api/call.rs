//! What is asked of WeChat's API, in data; and the body that carries a file.

use std::fmt;
use std::io::{self, Cursor, Read};

use serde_json::Value;

use super::client::Unreadable;

/// One call of WeChat's API.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// GET or POST.
    pub method: Method,
    /// Below the base URL: `/cgi-bin/menu/get`.
    pub path: &'a str,
    /// Further parameters, as they are meant: they are percent-encoded on the way.
    pub query: &'a [(&'a str, &'a str)],
    /// What is sent.
    pub body: Body<'a>,
    /// How the account proves who it is.
    pub auth: Auth<'a>,
    /// Whether doing it twice does no more than doing it once. Only then it is repeated when nobody knows what became
    /// of it.
    pub idempotent: bool,
}

impl<'a> Call<'a> {
    /// A GET with the account's access_token. It can be repeated.
    #[must_use]
    pub fn get(path: &'a str, query: &'a [(&'a str, &'a str)]) -> Self {
        Self { method: Method::Get, path, query, body: Body::None, auth: Auth::AccessToken, idempotent: true }
    }

    /// A POST of JSON with the account's access_token. It is not repeated, unless the caller says that it can be.
    #[must_use]
    pub fn post(path: &'a str, body: &'a Value) -> Self {
        let body = Body::Json(body);
        Self { method: Method::Post, path, query: &[], body, auth: Auth::AccessToken, idempotent: false }
    }
}

/// What a query may hold that nobody else is to see.
pub(crate) const SECRET_PARAMETERS: [&str; 5] =
    ["access_token", "secret", "appsecret", "refresh_token", "code"];

impl Call<'_> {
    /// Whether it deletes something: WeChat's names of those calls all begin so. If it is not there, that is as well.
    pub(super) fn deletes(&self) -> bool {
        self.path.rsplit('/').next().is_some_and(|name| name.starts_with("del"))
    }
}

/// Without the query and the body: they may hold secrets and what users write.
impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method.name(), self.path)
    }
}

/// How a call is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// POST
    Post,
}

impl Method {
    /// `GET`, `POST`
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// How the account proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth<'a> {
    /// By the access_token, as nearly everywhere.
    AccessToken,
    /// By `AppID` and `AppSecret`, in query parameters of these names: `sns/oauth2`, `clear_quota/v2`.
    App {
        /// Of the `AppID`.
        id: &'a str,
        /// Of the `AppSecret`; `None`: the `AppID` does.
        secret: Option<&'a str>,
    },
    /// Not at all: what is needed stands in the query.
    None,
}

/// What a call sends.
#[derive(Clone, Copy)]
pub enum Body<'a> {
    /// Nothing; a POST has an empty body.
    None,
    /// JSON, written as UTF-8 without escapes.
    Json(&'a Value),
    /// A text as it is.
    Raw(&'a str),
    /// A file.
    Multipart(Multipart<'a>),
}

impl Body<'_> {
    pub(super) fn is_file(&self) -> bool {
        matches!(self, Self::Multipart(_))
    }
}

/// A file as `multipart/form-data`, streamed.
#[derive(Clone, Copy)]
pub struct Multipart<'a> {
    /// The name of its field: `media`.
    pub name: &'a str,
    /// What WeChat takes the kind of the file from. Only ASCII is sent of it.
    pub filename: &'a str,
    /// `image/jpeg`
    pub content_type: &'a str,
    /// Its size, bytes; exactly so many are read.
    pub length: u64,
    /// Opens it, once for each attempt.
    pub open: &'a dyn Fn() -> io::Result<Box<dyn Read>>,
    /// A further field, name and value: the `description` of a video.
    pub field: Option<(&'a str, &'a str)>,
}

/// A multipart body on its way.
pub(super) struct MultipartBody {
    /// `multipart/form-data; boundary=…`
    pub(super) content_type: String,
    pub(super) length: u64,
    pub(super) reader: Box<dyn Read>,
}

impl Multipart<'_> {
    /// The body, with a `boundary` that does not occur in the file: one that nobody can guess.
    pub(super) fn body(&self, boundary: &str) -> io::Result<MultipartBody> {
        let file = Exactly { inner: (self.open)()?, left: self.length };
        let (head, tail) = (self.head(boundary), format!("\r\n--{boundary}--\r\n"));
        Ok(MultipartBody {
            content_type: format!("multipart/form-data; boundary={boundary}"),
            length: self.length + head.len() as u64 + tail.len() as u64,
            reader: Box::new(Cursor::new(head).chain(file).chain(Cursor::new(tail))),
        })
    }

    fn head(&self, boundary: &str) -> String {
        let field = self.field.map_or(String::new(), |(name, value)| {
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        });
        let Self { name, content_type, .. } = self;
        let filename = ascii_filename(self.filename);
        format!(
            "{field}--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{filename}\"\r\n\
             Content-Type: {content_type}\r\n\r\n"
        )
    }
}

/// A filename that can stand in quotes: WeChat does not read others reliably.
fn ascii_filename(name: &str) -> String {
    let harmless = |letter: char| letter.is_ascii_graphic() && !matches!(letter, '"' | '\\' | '/');
    name.chars().map(|letter| if harmless(letter) { letter } else { '_' }).collect()
}

/// As many bytes as were announced: a file that has grown is cut, one that has shrunk is an error.
struct Exactly<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.inner.read(&mut buffer[..room]).map_err(Unreadable::wrap)?;
        if count == 0 && room > 0 {
            let shorter = "it has become shorter while it was read";
            return Err(Unreadable::wrap(io::Error::new(io::ErrorKind::UnexpectedEof, shorter)));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(open: &dyn Fn() -> io::Result<Box<dyn Read>>, length: u64) -> Multipart<'_> {
        let (name, content_type) = ("media", "image/jpeg");
        Multipart { name, filename: "猫 \"1\".jpg", content_type, length, open, field: None }
    }

    fn read(multipart: &Multipart<'_>) -> io::Result<(String, u64)> {
        let mut body = multipart.body("limit")?;
        let mut text = String::new();
        body.reader.read_to_string(&mut text)?;
        Ok((text, body.length))
    }

    #[test]
    fn a_file_becomes_a_part_with_quoted_names_and_a_length_known_before() {
        let open = || Ok(Box::new(&b"bytes"[..]) as Box<dyn Read>);
        let (text, length) =
            read(&Multipart { field: Some(("description", "{\"a\":\"猫\"}")), ..file(&open, 5) }).unwrap();
        assert_eq!(
            text,
            "--limit\r\nContent-Disposition: form-data; name=\"description\"\r\n\r\n{\"a\":\"猫\"}\r\n\
             --limit\r\nContent-Disposition: form-data; name=\"media\"; filename=\"___1_.jpg\"\r\n\
             Content-Type: image/jpeg\r\n\r\nbytes\r\n--limit--\r\n"
        );
        assert_eq!(length, text.len() as u64);
    }

    #[test]
    fn a_file_is_as_long_as_was_announced() {
        let open = || Ok(Box::new(&b"bytes"[..]) as Box<dyn Read>);
        assert!(read(&file(&open, 4)).unwrap().0.contains("\r\n\r\nbyte\r\n--"));
        assert!(read(&file(&open, 6)).unwrap_err().to_string().contains("shorter"));
        assert!(read(&file(&open, 0)).unwrap().0.contains("\r\n\r\n\r\n--"));
    }

    #[test]
    fn calls_that_delete_are_known_by_their_names() {
        let delete = ["Deletes ", "Takes back ", "Takes a publication"];
        let mut count = 0;
        for row in crate::api::table::SECTIONS.iter().flat_map(|section| section.endpoints) {
            let deletes = delete.iter().any(|word| row.does.starts_with(word));
            count += usize::from(deletes);
            assert_eq!(Call::get(row.path, &[]).deletes(), deletes, "{}: {}", row.path, row.does);
        }
        assert!(count > 10, "{count}");
    }

    #[test]
    fn a_call_shows_neither_its_query_nor_its_body() {
        let call = Call::get("/cgi-bin/user/info", &[("openid", "oSomebody")]);
        assert_eq!(format!("{call:?}"), "GET /cgi-bin/user/info");
    }
}
