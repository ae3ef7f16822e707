//! As much of an HTTP server as the stand-in needs, so that it can break off wherever it wants. Connections are kept, and
//! it can be a proxy's other end: after CONNECT the calls come through the tunnel.

use std::io::{self, BufRead, BufReader, Cursor, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use super::Seen;

/// What becomes of a request.
pub(super) enum Ending {
    /// These bytes, and the next request.
    Answer(Vec<u8>),
    /// These bytes, and the end of the connection.
    BreakOff(Vec<u8>),
    /// These bytes one by one, with a pause before each, and the next request.
    Drip(Vec<u8>, Duration),
}

/// Listens at a port of this machine, and answers each request by `answer`, as long as it gives one.
pub(super) fn listen(answer: impl Fn(&Seen) -> Option<Ending> + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            // Who breaks off has its reasons.
            thread::spawn(move || serve(stream, answer));
        }
    });
    port
}

fn serve(stream: TcpStream, answer: impl Fn(&Seen) -> Option<Ending>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(seen) = read(&mut reader)? {
        match answer(&seen) {
            Some(Ending::Answer(bytes)) => reader.get_mut().write_all(&bytes)?,
            Some(Ending::Drip(bytes, pause)) => {
                reader.get_mut().set_nodelay(true)?;
                for byte in bytes {
                    thread::sleep(pause);
                    reader.get_mut().write_all(&[byte])?;
                }
            }
            Some(Ending::BreakOff(bytes)) => return reader.get_mut().write_all(&bytes),
            None => return Ok(()),
        }
    }
    Ok(())
}

/// The next request; `None` if there is none any more.
fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Seen>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let mut seen =
        Seen { method: method.to_owned(), path: path.to_owned(), query, headers, body: Vec::new() };
    let length = seen.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    reader.by_ref().take(length).read_to_end(&mut seen.body)?;
    Ok(Some(seen))
}

/// An answer of HTTP.
pub(super) fn answer(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len()).into_bytes();
    for (name, value) in headers {
        bytes.extend(format!("{name}: {value}\r\n").into_bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body);
    bytes
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let level = flate2::Compression::default();
    flate2::read::GzEncoder::new(Cursor::new(bytes), level).read_to_end(&mut packed).expect("memory");
    packed
}
