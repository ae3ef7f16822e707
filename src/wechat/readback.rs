//! A document of ours, read again before it leaves.
//!
//! What we write is a small part of XML: tags without attributes, CDATA, numbers. Whatever else stands in it is a fault of
//! ours, and this knows nothing of how it was written. It is asked for every reply, so it builds nothing.

use super::xml::{XmlError, XmlFault};

const CDATA: &str = "<![CDATA[";
const CDATA_END: &str = "]]>";
/// No reply of ours has elements deeper than that.
const USUAL_DEPTH: usize = 4;

/// A piece of a document.
enum Piece<'d> {
    Start(&'d str),
    End(&'d str),
    Text(&'d str),
}

/// Gives the first of the children `wanted` that does not stand directly in the root, which is `<xml>`, exactly once, with
/// this text.
///
/// # Errors
///
/// [`XmlError`] if the document cannot be read, or holds something that no document of ours does.
pub(super) fn find_unlike<'w, const N: usize>(
    document: &str,
    wanted: [(&'w str, &str); N],
) -> Result<Option<&'w str>, XmlError> {
    // What of each text is still to come, and how often its element was there.
    let mut found = wanted.map(|(_, text)| (Some(text), 0));
    let mut open = Vec::with_capacity(USUAL_DEPTH);
    let (mut roots, mut inside, mut at) = (0, None, 0);
    while let Some((piece, length)) = piece_of(&document[at..]).map_err(|fault| XmlError { at, fault })? {
        let error = |fault| Err(XmlError { at, fault });
        match piece {
            Piece::Start(name) => {
                let is_root = open.is_empty();
                roots += usize::from(is_root);
                if is_root && (roots > 1 || name != "xml") {
                    return error(XmlFault::Root);
                }
                // What has elements of its own is no text.
                if let Some((text, _)) = inside.and_then(|place: usize| found.get_mut(place)) {
                    *text = None;
                }
                open.push(name);
                inside = wanted.iter().position(|(wanted, _)| open.len() == 2 && name == *wanted);
                if let Some((_, times)) = inside.and_then(|place| found.get_mut(place)) {
                    *times += 1;
                }
            }
            Piece::End(name) if open.pop() == Some(name) => inside = None,
            Piece::End(_) => return error(XmlFault::MismatchedTag),
            Piece::Text(_) if open.len() < 2 => return error(XmlFault::Malformed),
            Piece::Text(text) => {
                if let Some((left, _)) = inside.and_then(|place| found.get_mut(place)) {
                    *left = left.and_then(|left| left.strip_prefix(text));
                }
            }
        }
        at += length;
    }
    if roots == 0 || !open.is_empty() {
        return Err(XmlError { at, fault: XmlFault::Truncated });
    }
    let is_unlike = |(text, times): &(Option<&str>, usize)| *text != Some("") || *times != 1;
    Ok(found.iter().position(is_unlike).and_then(|place| wanted.get(place)).map(|(name, _)| *name))
}

/// The first piece of what is left of a document, and its length in bytes; `None` at the end.
fn piece_of(left: &str) -> Result<Option<(Piece<'_>, usize)>, XmlFault> {
    let piece = if left.is_empty() {
        return Ok(None);
    } else if let Some(inside) = left.strip_prefix(CDATA) {
        let ends = |(place, _): &(usize, &str)| inside[*place..].starts_with(CDATA_END);
        let (end, _) = inside.match_indices(']').find(ends).ok_or(XmlFault::Truncated)?;
        (Piece::Text(&inside[..end]), CDATA.len() + end + CDATA_END.len())
    } else if let Some(tag) = left.strip_prefix("</") {
        let name = name_of(tag)?;
        (Piece::End(name), "</>".len() + name.len())
    } else if let Some(tag) = left.strip_prefix('<') {
        let name = name_of(tag)?;
        (Piece::Start(name), "<>".len() + name.len())
    } else {
        let text = left.split('<').next().unwrap_or_default();
        if text.contains(['&', '>']) {
            return Err(XmlFault::Malformed);
        }
        (Piece::Text(text), text.len())
    };
    Ok(Some(piece))
}

/// The name in a tag, which ends behind it.
fn name_of(tag: &str) -> Result<&str, XmlFault> {
    let end = tag.bytes().position(|byte| !byte.is_ascii_alphanumeric()).ok_or(XmlFault::Truncated)?;
    let (name, rest) = tag.split_at(end);
    if name.is_empty() || !rest.starts_with('>') { Err(XmlFault::Malformed) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::xml::parse_text;
    use super::*;

    const WANTED: [(&str, &str); 2] = [("A", "1]]>2"), ("B", "b")];

    #[test]
    fn what_is_wanted_stands_there_once() {
        let unlike = |document| find_unlike(document, WANTED);
        let whole = "<xml><C><B>no</B></C><A><![CDATA[1]]]]><![CDATA[>2]]></A><B>b</B></xml>";
        assert_eq!(unlike(whole), Ok(None));
        for (document, name) in [
            ("<xml><A><![CDATA[1]]></A><B>b</B></xml>", "A"),
            ("<xml><A><![CDATA[1]]]]><![CDATA[>2!]]></A><B>b</B></xml>", "A"),
            ("<xml><A><![CDATA[1]]]]><![CDATA[>2]]></A></xml>", "B"),
            ("<xml><A><![CDATA[1]]]]><![CDATA[>2]]></A><B>b</B><B>b</B></xml>", "B"),
            ("<xml><A><![CDATA[1]]]]><![CDATA[>2]]></A><B><D>b</D></B></xml>", "B"),
            ("<xml><A><![CDATA[1]]]]><![CDATA[>2]]></A><B>b<D></D></B></xml>", "B"),
            ("<xml><A><![CDATA[1]]]]><![CDATA[>2]]></A><B>b<D></D>c</B></xml>", "B"),
        ] {
            assert_eq!(unlike(document), Ok(Some(name)), "{document}");
        }
    }

    #[test]
    fn what_we_never_write_is_a_fault_with_its_place() {
        for (document, at, expected) in [
            ("", 0, XmlFault::Truncated),
            ("<xml>", 5, XmlFault::Truncated),
            ("<xml></xml", 5, XmlFault::Truncated),
            ("<xml><A><![CDATA[1]]</A></xml>", 8, XmlFault::Truncated),
            ("<xml></xml><xml></xml>", 11, XmlFault::Root),
            ("<html></html>", 0, XmlFault::Root),
            ("<xml><A></B></xml>", 8, XmlFault::MismatchedTag),
            ("</xml>", 0, XmlFault::MismatchedTag),
            ("<xml></xml>b", 11, XmlFault::Malformed),
            ("<xml>b</xml>", 5, XmlFault::Malformed),
            ("<xml><A>&lt;</A></xml>", 8, XmlFault::Malformed),
            ("<xml><A>1]]></A></xml>", 8, XmlFault::Malformed),
            ("<xml><A/></xml>", 5, XmlFault::Malformed),
            ("<xml><A b='c'></A></xml>", 5, XmlFault::Malformed),
            ("<xml><></></xml>", 5, XmlFault::Malformed),
            ("<xml><!-- a --></xml>", 5, XmlFault::Malformed),
            ("<!DOCTYPE xml><xml></xml>", 0, XmlFault::Malformed),
        ] {
            assert_eq!(find_unlike(document, WANTED), Err(XmlError { at, fault: expected }), "{document}");
        }
    }

    proptest! {
        /// The library that reads WeChat's own XML is of the same opinion, wherever this one finds nothing.
        #[test]
        fn what_it_lets_pass_is_read_so_by_others(pieces in prop::collection::vec(
            prop::sample::select(vec![
                "<A>", "</A>", "<B>", "</B>", "<C>", "</C>", "<![CDATA[", "]]>", "]", ">", "<", "1", "b", "<B>b</B>",
                "<A><![CDATA[1]]]]><![CDATA[>2]]></A>", "&lt;", "<B/>", "<!--", "-->",
            ]),
            0..9,
        )) {
            let document = format!("<xml>{}</xml>", pieces.concat());
            if find_unlike(&document, WANTED) == Ok(None) {
                let root = parse_text(&document).unwrap();
                for (name, text) in WANTED {
                    let found: Vec<_> = root.children_named(name).map(|child| (&*child.text, child.children.len())).collect();
                    prop_assert_eq!(found, [(text, 0)]);
                }
            }
        }
    }
}
