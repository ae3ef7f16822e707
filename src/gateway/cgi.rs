//! The CGI door (RFC 3875): one process, one request. Parameters from the environment, the body from stdin, the
//! answer to stdout.
//!
//! The body is read before anything is answered, also before a refusal: under Apache's mod_cgid an answer that
//! comes earlier is sometimes lost as a whole. No thread is started (RLIMIT_AS of a shared host would kill it).

use std::cell::Cell;
use std::env;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::stdio;

use super::body::{Length, check_params, may_be_read};
use super::limits::DISCARD_FACTOR;
use super::refusal::Refusal;
use super::{Application, Deadlines, guard, mailbox};
use crate::http::{Params, Request, Response};

/// Serves the one request that this process was started for.
///
/// # Errors
///
/// When the answer cannot be written, as when the web server has gone (`EPIPE`). Nobody is left to be told.
pub fn serve(app: &dyn Application, deadlines: &Deadlines) -> io::Result<()> {
    let start = Instant::now();
    let deadline = Cell::new(start + deadlines.request);
    let mut stdin = Input { fd: stdio::stdin(), deadline: &deadline };
    let mut intake = Intake { body: &mut stdin, deadline: &deadline, deadlines };
    let request = Request { params: params_of_process(), body: Vec::new(), received: start };
    write_all(stdio::stdout(), &intake.exchange(request, app))
}

/// Lets the web server go, once it has its answer: what this process does from here on keeps nobody waiting.
pub fn let_go() {
    let Ok(null) = File::options().read(true).write(true).open("/dev/null") else { return };
    // A connected socket may be both; it ends when the last of the two is gone.
    let _ = stdio::dup2_stdin(&null);
    let _ = stdio::dup2_stdout(&null);
}

/// One request and its answer without a process: parameters and a body in, a CGI document response out.
///
/// The same code that serves a real CGI request, so that `simulate` and tests go through the door too, with the default
/// deadlines. An error of kind [`ErrorKind::TimedOut`] from `body` is answered 408, any other 400.
pub fn exchange(params: Params, body: &mut dyn Read, app: &dyn Application) -> Vec<u8> {
    let deadlines = Deadlines::default();
    let deadline = Cell::new(Instant::now() + deadlines.request);
    let mut intake = Intake { body, deadline: &deadline, deadlines: &deadlines };
    intake.exchange(Request::new(params, Vec::new()), app)
}

/// Answers for [`Door::Misconfigured`](super::Door::Misconfigured): a page that says what is wrong, to the log and
/// to the client.
///
/// # Errors
///
/// When stdout cannot be written.
pub fn refuse_misconfigured() -> io::Result<()> {
    log::error!(
        target: "gateway",
        "started by a web server without `GATEWAY_INTERFACE=CGI/1.1`; answered 500; set it as CGI/1.1 asks (nginx: \
         `fastcgi_param GATEWAY_INTERFACE CGI/1.1;`)"
    );
    let mut out = Vec::new();
    Response::text(500, "the web server does not set `GATEWAY_INTERFACE`\n").write_to(&mut out, false);
    write_all(stdio::stdout(), &out)
}

/// The environment as parameters, as bytes: nothing says that a client sends UTF-8.
fn params_of_process() -> Params {
    // About what Apache sends, so that nothing has to grow.
    let mut params = Params::with_capacity(64, 4096);
    for (name, value) in env::vars_os() {
        if may_be_read(name.as_bytes()) {
            params.push(name.as_bytes(), value.as_bytes());
        }
    }
    params
}

/// What a request and its body go through.
struct Intake<'a> {
    body: &'a mut dyn Read,
    /// Until when `body` may be read; [`Input`] looks at it before each read.
    deadline: &'a Cell<Instant>,
    deadlines: &'a Deadlines,
}

impl Intake<'_> {
    fn exchange(&mut self, mut request: Request, app: &dyn Application) -> Vec<u8> {
        request.params = without_unreadable(request.params);
        let response = match self.read_request(&mut request, app) {
            Ok(()) => mailbox::call(app, &request, self.deadlines.answer),
            Err(refusal) => {
                refusal.log(&request);
                refusal.response()
            }
        };
        let mut out = Vec::with_capacity(256 + response.body.len());
        response.write_to(&mut out, request.method() == Some(b"HEAD"));
        out
    }

    /// Reads the body into `request`, or all of what is to be refused.
    fn read_request(&mut self, request: &mut Request, app: &dyn Application) -> Result<(), Refusal> {
        let limit = guard::max_body(app, &request.params);
        // A length that cannot be read says at least that there is a body.
        let length = Length::of(&request.params);
        let refused = check_params(&request.params).and(length.map(drop)).err();
        let length = length.unwrap_or(Length::UntilEnd);
        if let Some(refusal) = refused {
            self.discard(length, limit);
            return Err(refusal);
        }
        self.read_body(length, limit, &mut request.body)
    }

    /// Reads as many bytes as `length` says.
    fn read_body(&mut self, length: Length, limit: usize, body: &mut Vec<u8>) -> Result<(), Refusal> {
        let wanted = match length {
            Length::Unsaid => return Ok(()),
            Length::UntilEnd => None,
            Length::Known(announced) => match usize::try_from(announced) {
                Ok(wanted) if wanted <= limit => Some(wanted),
                _ => {
                    self.discard(length, limit);
                    return Err(Refusal::TooLarge(limit));
                }
            },
        };
        self.read_up_to(wanted.unwrap_or(limit.saturating_add(1)), |bytes| body.extend_from_slice(bytes))?;
        if body.len() > limit {
            self.discard(length, limit);
            return Err(Refusal::TooLarge(limit));
        }
        length.check(body.len())
    }

    /// Reads and forgets a body that is refused, so that the web server gets to reading our answer.
    fn discard(&mut self, length: Length, limit: usize) {
        let most = limit.saturating_mul(DISCARD_FACTOR);
        let wanted = match length {
            Length::Unsaid => 0,
            Length::UntilEnd => most,
            Length::Known(announced) => usize::try_from(announced).unwrap_or(most).min(most),
        };
        self.deadline.set(self.deadline.get().min(Instant::now() + self.deadlines.linger));
        // How it ends does not matter: the answer is known.
        let _ = self.read_up_to(wanted, |_| ());
    }

    /// Reads to the end or to `most` bytes. Takes memory for what has come, never for what was announced.
    fn read_up_to(&mut self, most: usize, mut take: impl FnMut(&[u8])) -> Result<(), Refusal> {
        let mut buffer = [0; 8192];
        let mut left = most;
        while left > 0 {
            if Instant::now() >= self.deadline.get() {
                return Err(Refusal::TooSlow(self.deadlines.request));
            }
            let (window, _) = buffer.split_at_mut(left.min(8192));
            match self.body.read(window) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    take(window.get(..count).unwrap_or_default());
                    left = left.saturating_sub(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::TimedOut => {
                    return Err(Refusal::TooSlow(self.deadlines.request));
                }
                Err(_) => return Err(Refusal::Unreadable),
            }
        }
        Ok(())
    }
}

/// The parameters without those that nobody may read. Those of the process were filtered when they were taken.
fn without_unreadable(params: Params) -> Params {
    if params.iter().all(|(name, _)| may_be_read(name)) {
        return params;
    }
    let mut kept = Params::new();
    for (name, value) in params.iter().filter(|(name, _)| may_be_read(name)) {
        kept.push(name, value);
    }
    kept
}

/// A pipe, a socket or a file, read without a buffer and not beyond the deadline.
struct Input<'a> {
    fd: BorrowedFd<'a>,
    deadline: &'a Cell<Instant>,
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.get().saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut input = [PollFd::from_borrowed_fd(self.fd, PollFlags::IN)];
        if poll(&mut input, Some(&timeout))? == 0 {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(rustix::io::read(self.fd, buffer)?)
    }
}

/// Writes all of an answer: in one go, unless the pipe is full.
fn write_all(fd: BorrowedFd<'_>, mut answer: &[u8]) -> io::Result<()> {
    while !answer.is_empty() {
        match rustix::io::write(fd, answer) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => answer = answer.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Responder;
    use std::io::{Seek, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    /// Says what it received; panics and drops on demand.
    struct Echo;

    impl Application for Echo {
        fn max_body(&self, _: &Params) -> usize {
            10
        }
        fn handle(&self, request: &Request, responder: Responder) {
            match request.query() {
                b"panic" => panic!("on purpose"),
                b"drop" => drop(responder),
                _ => responder
                    .respond(Response { body: request.body.clone().into(), ..Response::text(200, "") }),
            }
        }
        fn unanswered(&self) -> Response {
            Response::text(200, "success")
        }
    }

    /// A body that counts how much of it was read, in reads of at most three bytes.
    struct Source<'a> {
        bytes: &'a [u8],
        taken: usize,
    }

    impl Read for Source<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.bytes.len().min(buffer.len()).min(3);
            buffer[..count].copy_from_slice(&self.bytes[..count]);
            self.bytes = &self.bytes[count..];
            self.taken += count;
            Ok(count)
        }
    }

    /// Status, body of the answer, and how many bytes of the body were read.
    fn ask(pairs: &[(&str, &str)], body: &[u8]) -> (u16, String, usize) {
        let mut params = Params::new();
        params.push(b"REQUEST_METHOD", b"POST");
        for (name, value) in pairs {
            params.push(name.as_bytes(), value.as_bytes());
        }
        let mut source = Source { bytes: body, taken: 0 };
        let (status, text) = split(exchange(params, &mut source, &Echo));
        (status, text, source.taken)
    }

    fn split(document: Vec<u8>) -> (u16, String) {
        let text = String::from_utf8(document).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head["Status: ".len()..][..3].parse().unwrap(), body.to_owned())
    }

    #[test]
    fn a_body_is_read_up_to_its_length_and_no_further() {
        assert_eq!(ask(&[("CONTENT_LENGTH", "5")], b"hello world"), (200, "hello".into(), 5));
        assert_eq!(ask(&[("CONTENT_LENGTH", "0005")], b"hello"), (200, "hello".into(), 5));
        assert_eq!(ask(&[("CONTENT_LENGTH", "10")], b"0123456789"), (200, "0123456789".into(), 10));
        assert_eq!(ask(&[("CONTENT_LENGTH", "0")], b"hello"), (200, String::new(), 0));
    }

    #[test]
    fn without_a_length_nothing_is_read() {
        assert_eq!(ask(&[], b"hello"), (200, String::new(), 0));
        assert_eq!(ask(&[("CONTENT_LENGTH", "")], b"hello"), (200, String::new(), 0));
        assert_eq!(ask(&[("HTTP_TRANSFER_ENCODING", "identity")], b"hello").2, 0);
    }

    #[test]
    fn a_chunked_body_is_read_to_its_end() {
        assert_eq!(ask(&[("HTTP_TRANSFER_ENCODING", "chunked")], b"0123456789").1, "0123456789");
        assert_eq!(ask(&[("HTTP_TRANSFER_ENCODING", "chunked")], &[b'x'; 11]).0, 413);
        let (status, _, taken) = ask(&[("HTTP_TRANSFER_ENCODING", "chunked")], &[b'x'; 1000]);
        assert_eq!((status, taken), (413, 11 + 80));
    }

    #[test]
    fn a_bad_length_is_refused_after_reading() {
        for length in ["+5", "-1", "5, 5", "5abc", " 5", "100000000000000000000"] {
            let (status, _, taken) = ask(&[("CONTENT_LENGTH", length)], b"hello");
            assert_eq!((status, taken), (400, 5), "{length}");
        }
    }

    #[test]
    fn too_large_a_body_is_thrown_away_up_to_a_limit_and_refused() {
        let (status, _, taken) = ask(&[("CONTENT_LENGTH", "11")], &[b'x'; 11]);
        assert_eq!((status, taken), (413, 11));
        let (status, _, taken) = ask(&[("CONTENT_LENGTH", "1000000000000000000")], &[b'x'; 1000]);
        assert_eq!((status, taken), (413, 80));
    }

    #[test]
    fn a_short_body_is_refused() {
        // 36 announced, 34 come: Apache with `SetInputFilter DEFLATE`.
        assert_eq!(ask(&[("CONTENT_LENGTH", "6")], b"hello").0, 400);
    }

    #[test]
    fn a_compressed_body_is_read_and_refused() {
        let (status, _, taken) = ask(&[("CONTENT_LENGTH", "5"), ("HTTP_CONTENT_ENCODING", "gzip")], b"hello");
        assert_eq!((status, taken), (415, 5));
    }

    #[test]
    fn a_request_without_a_method_is_refused() {
        let (status, _, taken) = ask(&[("REQUEST_METHOD", ""), ("CONTENT_LENGTH", "5")], b"hello");
        assert_eq!((status, taken), (400, 5));
        assert_eq!(split(exchange(Params::new(), &mut io::empty(), &Echo)).0, 400);
    }

    #[test]
    fn a_panic_and_a_dropped_responder_are_answered() {
        assert_eq!(ask(&[("QUERY_STRING", "panic")], b""), (200, "success".into(), 0));
        assert_eq!(ask(&[("QUERY_STRING", "drop")], b""), (200, "success".into(), 0));
    }

    #[test]
    fn a_head_request_gets_the_head_alone() {
        let (status, body, _) = ask(&[("REQUEST_METHOD", "HEAD"), ("QUERY_STRING", "drop")], b"");
        assert_eq!((status, body.as_str()), (200, ""));
    }

    #[test]
    fn a_body_that_stalls_or_breaks_is_refused() {
        struct Broken(ErrorKind);
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
        }
        for (kind, status) in [(ErrorKind::TimedOut, 408), (ErrorKind::ConnectionReset, 400)] {
            let mut params = Params::new();
            params.push(b"REQUEST_METHOD", b"POST");
            params.push(b"CONTENT_LENGTH", b"5");
            assert_eq!(split(exchange(params, &mut Broken(kind), &Echo)).0, status);
        }
    }

    #[test]
    fn a_body_that_drips_beyond_the_deadline_is_refused() {
        let deadline = Cell::new(Instant::now());
        let deadlines = Deadlines { request: Duration::from_secs(7), ..Deadlines::default() };
        let mut intake = Intake { body: &mut io::repeat(0), deadline: &deadline, deadlines: &deadlines };
        let refused = intake.read_body(Length::Known(5), 10, &mut Vec::new());
        assert_eq!(refused, Err(Refusal::TooSlow(deadlines.request)));
    }

    #[test]
    fn an_input_is_read_until_its_deadline_and_not_beyond() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let deadline = Cell::new(Instant::now() + Duration::from_millis(20));
        let mut input = Input { fd: ours.as_fd(), deadline: &deadline };
        theirs.write_all(b"hello").unwrap();
        assert_eq!(input.read(&mut [0; 10]).unwrap(), 5);
        assert_eq!(input.read(&mut [0; 10]).unwrap_err().kind(), ErrorKind::TimedOut);
        drop(theirs);
        assert_eq!(input.read(&mut [0; 10]).unwrap(), 0);
    }

    #[test]
    fn a_file_is_an_input_too() {
        let mut file = tempfile::tempfile().unwrap();
        let deadline = Cell::new(Instant::now());
        assert_eq!(Input { fd: file.as_fd(), deadline: &deadline }.read(&mut [0; 10]).unwrap(), 0);
        file.write_all(b"hello").unwrap();
        file.rewind().unwrap();
        assert_eq!(Input { fd: file.as_fd(), deadline: &deadline }.read(&mut [0; 10]).unwrap(), 5);
    }

    #[test]
    fn a_reader_that_has_gone_is_an_error_and_no_panic() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        write_all(ours.as_fd(), b"hello").unwrap();
        drop(theirs);
        assert_eq!(write_all(ours.as_fd(), b"hello").unwrap_err().kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    fn nothing_reads_the_proxy_header() {
        struct Probe;
        impl Application for Probe {
            fn max_body(&self, _: &Params) -> usize {
                0
            }
            fn handle(&self, request: &Request, responder: Responder) {
                let seen = request.params.iter().any(|(name, _)| name == b"HTTP_PROXY");
                responder.respond(Response::text(200, seen.to_string()));
            }
            fn unanswered(&self) -> Response {
                Response::text(500, "")
            }
        }
        let mut params = Params::new();
        params.push(b"REQUEST_METHOD", b"GET");
        params.push(b"HTTP_PROXY", b"http://evil");
        assert_eq!(split(exchange(params, &mut io::empty(), &Probe)).1, "false");
    }
}
