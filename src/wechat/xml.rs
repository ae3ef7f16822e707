//! A callback's body as a tree of elements, and text made safe for a body of ours.
//!
//! WeChat's XML is small and uneven: values come as CDATA or as plain text, in pieces, with white space around,
//! in any order, and this changes from year to year. The tree evens that out and borrows from the body wherever it
//! can. What could hurt is refused: DOCTYPE, entities of one's own, endless depth or number.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::errors::{Error as ReaderError, IllFormedError, SyntaxError};
use quick_xml::events::{BytesRef, BytesStart, Event};

/// How deep elements may lie in one another, the root included. WeChat's own need five.
pub const MAX_DEPTH: usize = 16;
/// How many elements a document may have, the root included. WeChat's own stay below a hundred.
pub const MAX_ELEMENTS: usize = 4096;

const BYTE_ORDER_MARK: &str = "\u{FEFF}";

/// One element: its name, its text, its children. Attributes are ignored, WeChat uses none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element<'a> {
    /// The name as it stands in the tag.
    pub name: &'a str,
    /// All text and CDATA directly inside, joined, entities resolved, otherwise as sent.
    ///
    /// White space between children is left out.
    pub text: Cow<'a, str>,
    /// The elements directly inside, in their order; equal names may repeat.
    pub children: Vec<Element<'a>>,
}

impl<'a> Element<'a> {
    /// The text without white space around it. The right one for everything but what a user wrote.
    #[must_use]
    pub fn trimmed(&self) -> &str {
        self.text.trim_ascii()
    }

    /// The first child called `name`.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Element<'a>> {
        self.children.iter().find(|child| child.name == name)
    }

    /// All children called `name`.
    pub fn children_named(&self, name: &str) -> impl Iterator<Item = &Element<'a>> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The trimmed text of the first child called `name`. Empty is as good as absent: WeChat sends both.
    #[must_use]
    pub fn child_text(&self, name: &str) -> Option<&str> {
        self.child(name).map(Element::trimmed).filter(|text| !text.is_empty())
    }

    fn push_text(&mut self, piece: impl Into<Cow<'a, str>>) {
        let piece = piece.into();
        if self.text.is_empty() {
            self.text = piece;
        } else if self.children.is_empty() || !is_blank(&piece) {
            self.text.to_mut().push_str(&piece);
        }
    }

    fn push_child(&mut self, child: Element<'a>) {
        // The white space before the first child would otherwise be copied once for each child.
        if is_blank(&self.text) {
            self.text = Cow::Borrowed("");
        }
        self.children.push(child);
    }

    /// The last step of an element: white space after its last child is not text either.
    fn closed(mut self) -> Self {
        if !self.children.is_empty() && is_blank(&self.text) {
            self.text = Cow::Borrowed("");
        }
        self
    }
}

/// A body that cannot be read, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at byte {at}")]
pub struct XmlError {
    /// Byte in the body, from 0, at or shortly before the fault.
    pub at: usize,
    /// What is wrong there.
    pub fault: XmlFault,
}

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum XmlFault {
    /// The body is not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// Nothing in it, or white space only.
    #[error("empty body")]
    Empty,
    /// The body ends in the middle.
    #[error("the document ends too early")]
    Truncated,
    /// Not XML.
    #[error("not XML")]
    Malformed,
    /// An end tag that does not belong to the last start tag.
    #[error("end tag without its start tag")]
    MismatchedTag,
    /// A document type definition: it could define entities that grow without end or read files.
    #[error("DOCTYPE is refused")]
    Doctype,
    /// A reference to something else than a character or one of the five entities of XML, or a bare `&`.
    #[error("unknown entity")]
    Entity,
    /// The root element has another name.
    #[error("the root element is not `<xml>`")]
    Root,
    /// Text or a second element outside the root.
    #[error("something outside the root element")]
    OutsideRoot,
    /// Deeper than [`MAX_DEPTH`].
    #[error("elements nested too deep")]
    Depth,
    /// More than [`MAX_ELEMENTS`].
    #[error("too many elements")]
    Count,
}

/// Reads a body, whose root element must be `<xml>`. The tree borrows from `body`.
///
/// An XML declaration, a byte order mark, comments, processing instructions and raw control characters are
/// tolerated; whatever the declaration says, the text is UTF-8. The caller caps the length of the body.
///
/// # Errors
///
/// [`XmlError`] with the place and the [`XmlFault`].
///
/// # Example
///
/// ```
/// # use wxcgi::wechat::xml;
/// let root = xml::parse(b"<xml><MsgType> <![CDATA[text]]> </MsgType><MsgId>42</MsgId></xml>").unwrap();
/// assert_eq!(root.child_text("MsgType"), Some("text"));
/// assert_eq!(root.child_text("MsgId"), Some("42"));
/// ```
pub fn parse(body: &[u8]) -> Result<Element<'_>, XmlError> {
    let text = std::str::from_utf8(body)
        .map_err(|error| XmlError { at: error.valid_up_to(), fault: XmlFault::NotUtf8 })?;
    parse_text(text)
}

/// The same for a body that is known to be UTF-8.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_text(text: &str) -> Result<Element<'_>, XmlError> {
    let source = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    TreeBuilder::new(source)
        .build()
        .map_err(|error| XmlError { at: error.at + text.len() - source.len(), ..error })
}

/// Builds the tree without recursion: `open` holds the elements whose end tag has not come yet.
struct TreeBuilder<'a> {
    source: &'a str,
    reader: Reader<&'a [u8]>,
    /// Where the event at hand begins.
    at: usize,
    open: Vec<Element<'a>>,
    root: Option<Element<'a>>,
    elements: usize,
}

impl<'a> TreeBuilder<'a> {
    fn new(source: &'a str) -> Self {
        let open = Vec::with_capacity(4);
        Self { source, reader: Reader::from_str(source), at: 0, open, root: None, elements: 0 }
    }

    fn build(mut self) -> Result<Element<'a>, XmlError> {
        loop {
            self.at = position(self.reader.buffer_position());
            let event = self.reader.read_event().map_err(|error| reader_error(&self.reader, &error))?;
            match event {
                Event::Start(tag) => self.start(&tag)?,
                Event::Empty(tag) => {
                    self.start(&tag)?;
                    self.end();
                }
                Event::End(_) => self.end(),
                Event::Text(text) => self.text(text.into_inner())?,
                Event::CData(text) => self.cdata(text.into_inner())?,
                Event::GeneralRef(reference) => self.reference(&reference)?,
                Event::DocType(_) => return Err(self.error(XmlFault::Doctype)),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
                Event::Eof => return self.finish(),
            }
        }
    }

    fn start(&mut self, tag: &BytesStart<'_>) -> Result<(), XmlError> {
        let name = self.borrowed_name(tag).ok_or(self.error(XmlFault::Malformed))?;
        self.elements += 1;
        let fault = if self.root.is_some() {
            XmlFault::OutsideRoot
        } else if self.open.is_empty() && name != "xml" {
            XmlFault::Root
        } else if self.open.len() == MAX_DEPTH {
            XmlFault::Depth
        } else if self.elements > MAX_ELEMENTS {
            XmlFault::Count
        } else {
            // One allocation for the fields of a usual message, none for a leaf.
            let children = if self.open.is_empty() { Vec::with_capacity(12) } else { Vec::new() };
            self.open.push(Element { name, text: Cow::Borrowed(""), children });
            return Ok(());
        };
        Err(self.error(fault))
    }

    /// The tag's name as a part of the source: the reader lends it only as long as the event lives.
    fn borrowed_name(&self, tag: &BytesStart<'_>) -> Option<&'a str> {
        let start = self.at + '<'.len_utf8();
        let name = self.source.get(start..start + tag.name().as_ref().len())?;
        (!name.is_empty()).then_some(name)
    }

    /// The reader has made sure that the tag fits the one that was opened last.
    fn end(&mut self) {
        let closed = self.open.pop().map(Element::closed);
        match (self.open.last_mut(), closed) {
            (Some(parent), Some(child)) => parent.push_child(child),
            (_, root) => self.root = root,
        }
    }

    fn text(&mut self, text: Cow<'a, str>) -> Result<(), XmlError> {
        if self.open.is_empty() && is_blank(&text) { Ok(()) } else { self.cdata(text) }
    }

    fn cdata(&mut self, text: Cow<'a, str>) -> Result<(), XmlError> {
        let fault = self.error(XmlFault::OutsideRoot);
        self.open.last_mut().ok_or(fault)?.push_text(text);
        Ok(())
    }

    fn reference(&mut self, reference: &BytesRef<'a>) -> Result<(), XmlError> {
        let resolved = match &**reference {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => match reference.resolve_char_ref() {
                Ok(Some(character)) => character,
                _ => return Err(self.error(XmlFault::Entity)),
            },
        };
        self.cdata(Cow::Owned(resolved.into()))
    }

    fn finish(mut self) -> Result<Element<'a>, XmlError> {
        let fault = if self.open.is_empty() { XmlFault::Empty } else { XmlFault::Truncated };
        let error = self.error(fault);
        self.root.take().ok_or(error)
    }

    fn error(&self, fault: XmlFault) -> XmlError {
        XmlError { at: self.at, fault }
    }
}

fn reader_error(reader: &Reader<&[u8]>, error: &ReaderError) -> XmlError {
    let fault = match error {
        ReaderError::Syntax(SyntaxError::InvalidBangMarkup) => XmlFault::Malformed,
        ReaderError::Syntax(_) => XmlFault::Truncated,
        ReaderError::IllFormed(
            IllFormedError::MismatchedEndTag { .. } | IllFormedError::UnmatchedEndTag(_),
        ) => XmlFault::MismatchedTag,
        ReaderError::IllFormed(IllFormedError::UnclosedReference) => XmlFault::Entity,
        _ => XmlFault::Malformed,
    };
    XmlError { at: position(reader.error_position()), fault }
}

fn position(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

fn is_blank(text: &str) -> bool {
    text.trim_ascii().is_empty()
}

/// Whether XML 1.0 forbids `character`. A single one of them makes WeChat refuse the whole reply.
#[must_use]
pub fn is_forbidden(character: char) -> bool {
    matches!(character, '\0'..='\x08' | '\x0B' | '\x0C' | '\x0E'..='\x1F' | '\u{FFFE}' | '\u{FFFF}')
}

/// Appends `text` to `xml` as CDATA, such that it reads back as the same text without its forbidden characters.
///
/// The only thing that CDATA cannot hold is its own end, `]]>`. Where one stands, the section is closed and opened
/// again in its middle.
pub fn push_cdata(xml: &mut String, text: &str) {
    xml.push_str("<![CDATA[");
    if !text.bytes().fold(false, |found, byte| found | may_need_care(byte)) {
        xml.push_str(text);
        xml.push_str("]]>");
        return;
    }
    for run in text.split_inclusive(|c| c == '>' || is_forbidden(c)) {
        let clean = run.strip_suffix(is_forbidden).unwrap_or(run);
        let Some(before) = clean.strip_suffix('>') else {
            xml.push_str(clean);
            continue;
        };
        xml.push_str(before);
        // Asked of the output: a forbidden character may have stood between the brackets.
        if xml.ends_with("]]") {
            xml.push_str("]]><![CDATA[");
        }
        xml.push('>');
    }
    xml.push_str("]]>");
}

/// Whether CDATA may not be able to hold what this byte belongs to. Most texts have no such byte, and a question without
/// branches is put to many bytes at once. `EF` begins U+FFFE and U+FFFF, but also the full-width forms.
#[expect(clippy::needless_bitwise_bool, reason = "branches would take the bytes one by one")]
fn may_need_care(byte: u8) -> bool {
    ((byte < b' ') & (byte != b'\n')) | (byte == b'>') | (byte == 0xEF)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text_of(inner: &str) -> String {
        let body = format!("<xml><A>{inner}</A></xml>");
        parse(body.as_bytes()).unwrap().child("A").unwrap().text.clone().into_owned()
    }

    fn fault_of(body: impl AsRef<[u8]>) -> XmlFault {
        parse(body.as_ref()).unwrap_err().fault
    }

    #[test]
    fn values_come_as_cdata_as_text_and_in_pieces() {
        assert_eq!(text_of("<![CDATA[a]]>"), "a");
        assert_eq!(text_of("a"), "a");
        assert_eq!(text_of("a<![CDATA[b]]><!-- c --><?d e?>f<![CDATA[]]><![CDATA[g]]>"), "abfg");
        assert_eq!(text_of(""), "");
        assert_eq!(text_of("<![CDATA[]]>"), "");
        assert_eq!(text_of("<![CDATA[你好😀 a<b & c &amp;]]>"), "你好😀 a<b & c &amp;");
    }

    #[test]
    fn a_cdata_end_split_over_two_sections_is_one_text() {
        assert_eq!(text_of("<![CDATA[a]]]]><![CDATA[>b]]>"), "a]]>b");
        assert_eq!(text_of("<![CDATA[<![CDATA[x]]]]><![CDATA[>]]>"), "<![CDATA[x]]>");
    }

    #[test]
    fn the_five_entities_and_character_references_are_resolved() {
        assert_eq!(text_of("&amp;&lt;&gt;&quot;&apos;&#20320;&#x1F600;"), "&<>\"'你😀");
        assert_eq!(text_of("1 &lt; 2 &amp;&amp; 3"), "1 < 2 && 3");
    }

    #[test]
    fn every_other_entity_and_a_bare_ampersand_are_refused() {
        for inner in ["&nbsp;", "&x;", "&#0;", "&#xD800;", "&#x110000;", "&#;", "&;", "a & b", "a &", "&amp"]
        {
            assert_eq!(fault_of(format!("<xml><A>{inner}</A></xml>")), XmlFault::Entity, "{inner}");
        }
    }

    #[test]
    fn a_doctype_is_refused_wherever_it_stands() {
        let bomb = r#"<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><xml><A>&b;</A></xml>"#;
        assert_eq!(parse(bomb.as_bytes()), Err(XmlError { at: 0, fault: XmlFault::Doctype }));
        let file = r#"<?xml version="1.0"?><!DOCTYPE x SYSTEM "file:///etc/passwd"><xml/>"#;
        assert_eq!(parse(file.as_bytes()), Err(XmlError { at: 21, fault: XmlFault::Doctype }));
        assert_eq!(fault_of("<xml><!DOCTYPE x></xml>"), XmlFault::Doctype);
    }

    #[test]
    fn white_space_around_a_value_stays_and_the_accessor_trims() {
        let root = parse(b"<xml>\n <Event> <![CDATA[card_pass_check]]>\r\n</Event>\n</xml>").unwrap();
        assert_eq!(root.child("Event").unwrap().text, " card_pass_check\r\n");
        assert_eq!(root.child_text("Event"), Some("card_pass_check"));
    }

    #[test]
    fn white_space_between_children_is_no_text() {
        let root = parse(b"<xml>\n  <A>1</A>\n  <B>\n<C/>\n\n</B>\n  </xml>").unwrap();
        assert_eq!(root.text, "");
        assert_eq!(root.child("B").unwrap().text, "");
        let mixed = parse(b"<xml> a <A>1</A> b </xml>").unwrap();
        assert_eq!(mixed.text, " a  b ");
    }

    #[test]
    fn empty_is_as_good_as_absent() {
        let root = parse(b"<xml><A></A><B/><C><![CDATA[]]></C><D> <![CDATA[ ]]> </D></xml>").unwrap();
        assert_eq!(root.children.len(), 4);
        for name in ["A", "B", "C", "D", "E"] {
            assert_eq!(root.child_text(name), None, "{name}");
        }
    }

    #[test]
    fn siblings_of_one_name_are_kept_in_order() {
        let root = parse(b"<xml><L>1</L><M/><L>2</L></xml>").unwrap();
        assert_eq!(root.children_named("L").map(Element::trimmed).collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(root.child_text("L"), Some("1"));
    }

    #[test]
    fn declaration_byte_order_mark_comments_and_attributes_are_tolerated() {
        let body = "\u{FEFF}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- a -- b --><xml a='>'><A b=\"c\" >1</A ></xml>\n<?x?>\n";
        let root = parse(body.as_bytes()).unwrap();
        assert_eq!((root.name, root.child_text("A")), ("xml", Some("1")));
    }

    #[test]
    fn raw_control_characters_are_tolerated() {
        assert_eq!(text_of("<![CDATA[a\x01\0\x0Bb]]>"), "a\x01\0\x0Bb");
    }

    #[test]
    fn values_are_borrowed_from_the_body() {
        let root = parse(b"<xml><A><![CDATA[a]]></A><B>b</B>\n</xml>").unwrap();
        assert!(root.children.iter().all(|child| matches!(child.text, Cow::Borrowed(_))));
        assert!(matches!(root.text, Cow::Borrowed(_)));
    }

    #[test]
    fn the_root_must_be_xml_and_alone() {
        assert_eq!(fault_of("<html></html>"), XmlFault::Root);
        assert_eq!(fault_of("<XML></XML>"), XmlFault::Root);
        assert_eq!(fault_of("<xml></xml><xml></xml>"), XmlFault::OutsideRoot);
        assert_eq!(fault_of("<xml></xml>x"), XmlFault::OutsideRoot);
        assert_eq!(fault_of("x<xml></xml>"), XmlFault::OutsideRoot);
        assert_eq!(fault_of("<xml></xml><![CDATA[ ]]>"), XmlFault::OutsideRoot);
        assert_eq!(fault_of("<xml/>&amp;"), XmlFault::OutsideRoot);
        assert_eq!(fault_of("{\"MsgType\":\"text\"}"), XmlFault::OutsideRoot);
    }

    #[test]
    fn broken_documents_are_told_apart() {
        assert_eq!(fault_of(""), XmlFault::Empty);
        assert_eq!(fault_of(" \n"), XmlFault::Empty);
        assert_eq!(fault_of("<xml><A></B></xml>"), XmlFault::MismatchedTag);
        assert_eq!(fault_of("</xml>"), XmlFault::MismatchedTag);
        assert_eq!(fault_of("<xml></xml></xml>"), XmlFault::MismatchedTag);
        assert_eq!(fault_of("<xml><></></xml>"), XmlFault::Malformed);
        assert_eq!(fault_of("<xml><!x></xml>"), XmlFault::Malformed);
        assert_eq!(fault_of(b"<xml>\xff</xml>"), XmlFault::NotUtf8);
    }

    #[test]
    fn a_document_cut_anywhere_is_refused() {
        let body = "<xml><A><![CDATA[你]]></A><B>&amp;</B></xml>";
        for end in 0..body.len() {
            assert!(parse(&body.as_bytes()[..end]).is_err(), "{end}");
        }
        assert!(parse(body.as_bytes()).is_ok());
    }

    #[test]
    fn a_fault_is_found_where_it_stands() {
        assert_eq!(parse(b"<xml><A>1</B></xml>").unwrap_err().at, 9);
        assert_eq!(parse("\u{FEFF}<xml>&x;</xml>".as_bytes()).unwrap_err().at, 8);
        assert_eq!(parse(b"<xml>\xff</xml>").unwrap_err().to_string(), "not UTF-8 at byte 5");
    }

    #[test]
    fn depth_and_number_of_elements_are_capped() {
        let nested =
            |depth: usize| format!("<xml>{}{}</xml>", "<a>".repeat(depth - 1), "</a>".repeat(depth - 1));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(fault_of(nested(MAX_DEPTH + 1)), XmlFault::Depth);
        assert_eq!(fault_of("<xml>".repeat(100_000)), XmlFault::Depth);

        let flat = |elements: usize| format!("<xml>{}</xml>", "<a/>".repeat(elements - 1));
        assert!(parse(flat(MAX_ELEMENTS).as_bytes()).is_ok());
        assert_eq!(fault_of(flat(MAX_ELEMENTS + 1)), XmlFault::Count);
    }

    fn cdata(text: &str) -> String {
        let mut xml = String::new();
        push_cdata(&mut xml, text);
        xml
    }

    #[test]
    fn a_cdata_end_is_written_in_two_sections() {
        assert_eq!(cdata("a]]>b"), "<![CDATA[a]]]]><![CDATA[>b]]>");
        assert_eq!(cdata("]]>]]>"), "<![CDATA[]]]]><![CDATA[>]]]]><![CDATA[>]]>");
        assert_eq!(cdata("]]]>"), "<![CDATA[]]]]]><![CDATA[>]]>");
        assert_eq!(cdata("<a href=\"x?a=1&b=2\">y</a>"), "<![CDATA[<a href=\"x?a=1&b=2\">y</a>]]>");
    }

    #[test]
    fn forbidden_characters_are_left_out_and_do_not_hide_a_cdata_end() {
        assert_eq!(cdata("a\0\x08\x0B\x0C\x0E\x1F\u{FFFE}\u{FFFF}b\t\r\n"), "<![CDATA[ab\t\r\n]]>");
        assert_eq!(cdata("]\x01]\x02>"), "<![CDATA[]]]]><![CDATA[>]]>");
    }

    proptest! {
        #[test]
        fn no_body_makes_us_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&body);
        }

        #[test]
        fn no_text_that_looks_like_xml_makes_us_panic(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "<xml>", "</xml>", "<A>", "</A>", "<B/>", "<![CDATA[", "]]>", "]", ">", "<", "&amp;", "&", ";",
                    "&#", "<!--", "-->", "<?", "?>", "<!DOCTYPE", "'", "\"", " ", "你", "\u{FEFF}", "\0", "a",
                ]),
                0..40,
            )
        ) {
            let body = format!("<xml>{}</xml>", pieces.concat());
            let _ = parse(body.as_bytes());
            let _ = parse(pieces.concat().as_bytes());
        }

        #[test]
        fn what_we_write_reads_back(text in r"([\]>\x00\x01<&a你]|\PC){0,60}") {
            let allowed: String = text.chars().filter(|c| !is_forbidden(*c)).collect();
            prop_assert_eq!(text_of(&cdata(&text)), allowed);
        }
    }
}
