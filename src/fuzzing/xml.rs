//! The XML of a push.

use roxmltree::{Document, Node};

use super::answer::{assert_legal, even, push, terms};
use crate::wechat::message::Message;
use crate::wechat::xml::{Element, XmlFault, is_forbidden, parse, push_cdata};

/// What a strict parser reads we read alike; what we read and write again reads back, here and there; whatever is
/// pushed gets a legal answer.
///
/// # Panics
///
/// If it does not hold.
pub fn xml(data: &[u8]) {
    let parsed = parse(data);
    if let Err(error) = &parsed {
        assert!(error.at <= data.len(), "{error:?}");
    }
    if let Some(document) = str::from_utf8(data).ok().and_then(|text| Document::parse(text).ok()) {
        match &parsed {
            Ok(root) => assert_alike(document.root_element(), root),
            // The peer takes `<:a></a>`.
            Err(error) if error.fault == XmlFault::MismatchedTag && data.contains(&b':') => {}
            Err(error) => assert!(
                matches!(error.fault, XmlFault::Root | XmlFault::Depth | XmlFault::Count),
                "{error:?}, but a strict parser takes it"
            ),
        }
    }
    if let Ok(root) = &parsed {
        assert_reads_back(root);
    }
    assert_answered(data, parsed.as_ref().ok());
}

/// A message is answered, and nothing else is.
fn assert_answered(data: &[u8], root: Option<&Element<'_>>) {
    let response = push(terms(), data);
    match root.and_then(|root| Message::from_xml(root).ok()) {
        Some(message) => {
            assert_eq!(response.status, 200, "{response:?}");
            assert_legal(&response.body, &message);
        }
        None => assert_eq!(response.status, 400, "{response:?}"),
    }
}

/// Both trees have the same names and texts.
fn assert_alike(theirs: Node<'_, '_>, ours: &Element<'_>) {
    assert_eq!(ours.name.rsplit(':').next(), Some(theirs.tag_name().name()));
    let texts: String = theirs.children().filter(Node::is_text).filter_map(|node| node.text()).collect();
    // The peer makes one line break of two characters before it resolves `&#13;`, which we keep. White space between
    // elements is left out.
    let dropped: &[char] =
        if ours.children.is_empty() { &['\r', '\n'] } else { &['\r', '\n', ' ', '\t', '\x0c'] };
    let bare = |text: &str| even(text).replace(dropped, "");
    assert_eq!(bare(&ours.text), bare(&texts), "the text of `{}`", ours.name);
    let elements: Vec<_> = theirs.children().filter(Node::is_element).collect();
    assert_eq!(ours.children.len(), elements.len(), "the children of `{}`", ours.name);
    elements.into_iter().zip(&ours.children).for_each(|(theirs, ours)| assert_alike(theirs, ours));
}

fn assert_reads_back(root: &Element<'_>) {
    if !has_plain_names(root) {
        return;
    }
    let mut written = String::new();
    write(root, &mut written);
    let again = parse(written.as_bytes()).unwrap_or_else(|error| panic!("{error}: {written}"));
    assert_same(root, &again);
    let strict = Document::parse(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
    assert_alike(strict.root_element(), &again);
}

fn write(element: &Element<'_>, xml: &mut String) {
    xml.extend(["<", element.name, ">"]);
    push_cdata(xml, &element.text);
    element.children.iter().for_each(|child| write(child, xml));
    xml.extend(["</", element.name, ">"]);
}

/// Equal, apart from what no XML can hold.
fn assert_same(element: &Element<'_>, again: &Element<'_>) {
    let clean: String = element.text.chars().filter(|&letter| !is_forbidden(letter)).collect();
    let clean = if element.children.is_empty() || !clean.trim_ascii().is_empty() { &*clean } else { "" };
    assert_eq!((again.name, &*again.text), (element.name, clean));
    assert_eq!(element.children.len(), again.children.len());
    element.children.iter().zip(&again.children).for_each(|(element, again)| assert_same(element, again));
}

/// Whether all names are such as every parser takes; ours takes others as well.
fn has_plain_names(element: &Element<'_>) -> bool {
    element.name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
        && element.name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-.".contains(letter))
        && element.children.iter().all(has_plain_names)
}
