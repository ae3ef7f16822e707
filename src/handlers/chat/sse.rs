//! Server-sent events, as they trickle in: bytes cut anywhere, each event as soon as it is whole.
//!
//! Source: <https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>

/// A line has no more, bytes; the event of a longer one is left out.
const MAX_LINE: usize = 1 << 20;

/// What came of a stream so far and is no whole event yet.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    /// The lines of `data` of the event; none yet.
    data: Option<Vec<u8>>,
    is_too_long: bool,
    /// The last byte was `\r`: a `\n` behind it ends no further line.
    after_cr: bool,
    /// The first line is over; it may begin with a byte order mark.
    has_begun: bool,
}

impl Events {
    /// Takes the next bytes in; the data of each event that they end goes to `each`.
    pub(super) fn feed(&mut self, bytes: &[u8], each: &mut dyn FnMut(&str)) {
        for &byte in bytes {
            let is_second_half = self.after_cr && byte == b'\n';
            self.after_cr = byte == b'\r';
            match byte {
                _ if is_second_half => {}
                b'\r' | b'\n' => self.end_line(each),
                _ if self.line.len() < MAX_LINE => self.line.push(byte),
                _ => self.is_too_long = true,
            }
        }
    }

    /// Nothing more comes. The last event counts even if the empty line behind it is missing; a line that was cut does
    /// not.
    pub(super) fn end(&mut self, each: &mut dyn FnMut(&str)) {
        self.line.clear();
        self.dispatch(each);
    }

    fn end_line(&mut self, each: &mut dyn FnMut(&str)) {
        let line = std::mem::take(&mut self.line);
        let mark: &[u8] = if self.has_begun { b"" } else { b"\xef\xbb\xbf" };
        let content = line.strip_prefix(mark).unwrap_or(&line);
        self.has_begun = true;
        if content.is_empty() {
            self.dispatch(each);
        } else if let Some(value) = data_of(content) {
            self.is_too_long |= self.data.as_ref().map_or(0, Vec::len) + value.len() >= MAX_LINE;
            if !self.is_too_long {
                let is_first = self.data.is_none();
                let data = self.data.get_or_insert_default();
                data.extend_from_slice(if is_first { b"" } else { b"\n" });
                data.extend_from_slice(value);
            }
        }
        // Its memory is used again.
        self.line = line;
        self.line.clear();
    }

    fn dispatch(&mut self, each: &mut dyn FnMut(&str)) {
        if let Some(data) = self.data.take().filter(|_| !self.is_too_long) {
            each(&String::from_utf8_lossy(&data));
        }
        self.is_too_long = false;
    }
}

/// The value of a line of the field `data`; comments and other fields say nothing here.
fn data_of(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"data")?;
    match rest.split_first() {
        None => Some(rest),
        Some((b':', value)) => Some(value.strip_prefix(b" ").unwrap_or(value)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(pieces: &[&[u8]]) -> Vec<String> {
        let (mut events, mut found) = (Events::default(), Vec::new());
        let mut each = |data: &str| found.push(data.to_owned());
        for piece in pieces {
            events.feed(piece, &mut each);
        }
        events.end(&mut each);
        found
    }

    #[test]
    fn events_are_what_stands_between_empty_lines() {
        for (stream, expected) in [
            ("data: a\n\ndata: b\n\n", &["a", "b"] as &[_]),
            ("data: a\r\n\r\ndata: b\r\rdata: c\n\r\n", &["a", "b", "c"]),
            ("\u{feff}data:a\n\n", &["a"]),
            (": keep-alive\n\n:\n\nevent: x\nid: 1\nretry: 5\ndata: a\n\n", &["a"]),
            ("data: a\ndata:  b\n\n", &["a\n b"]),
            ("data\n\ndatabase: x\n\nevent: only\n\n", &[""]),
            ("data: a", &[]),
            ("data: a\n", &["a"]),
            ("data: a\n\ndata: b\ndata: cut", &["a", "b"]),
            ("", &[]),
        ] {
            assert_eq!(events(&[stream.as_bytes()]), expected, "{stream:?}");
        }
    }

    #[test]
    fn a_line_without_end_takes_no_room_and_spoils_its_event_only() {
        let long = vec![b'x'; MAX_LINE + 10];
        assert_eq!(events(&[b"data: a\n\ndata: ", &long, b"\n\ndata: b\n\n"]), ["a", "b"]);
        let half = [b"data: ".as_slice(), &long[..MAX_LINE / 2 + 10], b"\n"].concat();
        let (mut parser, mut count) = (Events::default(), 0);
        (0..20).for_each(|_| parser.feed(&half, &mut |_| count += 1));
        assert!(
            parser.data.as_ref().map_or(0, Vec::len) <= MAX_LINE && parser.line.capacity() <= 2 * MAX_LINE
        );
        parser.feed(b"\ndata: b\n\n", &mut |_| count += 1);
        assert_eq!(count, 1);
    }

    proptest! {
        #[test]
        fn however_it_is_cut_it_says_the_same(
            stream in r"((data|event)?: ?[a猫\\x]{0,5}(\r|\n|\r\n){1,3}){0,8}",
            noise in prop::collection::vec(any::<u8>(), 0..40),
            size in 1..7_usize,
        ) {
            for stream in [stream.into_bytes(), noise] {
                let whole = events(&[&stream]);
                prop_assert_eq!(&events(&stream.chunks(size).collect::<Vec<_>>()), &whole);
            }
        }
    }
}
