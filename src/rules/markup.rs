//! Texts with links, safe from what users write.
//!
//! In a text, WeChat shows `<a href="…">` as a link, whoever wrote it. What a template says itself is left as it is;
//! what it fills in is only ever text, or a part of an address.

use std::fmt::Write as _;
use std::ops::Range;

/// A text of which nobody knows who wrote it, as one that makes no links.
#[must_use]
pub fn linkless(text: &str) -> String {
    let mut patchwork = Patchwork::with_capacity(text.len());
    patchwork.push_foreign(text);
    patchwork.into_text()
}

/// A text made of the operator's own words and of values, whose writers nobody knows.
#[derive(Debug, Default)]
pub(super) struct Patchwork {
    text: String,
    /// Where the text is not the operator's, in its order.
    foreign: Vec<Range<usize>>,
}

impl Patchwork {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), foreign: Vec::new() }
    }

    /// Adds words of the operator.
    pub(super) fn push(&mut self, words: &str) {
        self.text.push_str(words);
    }

    /// Adds a value.
    pub(super) fn push_foreign(&mut self, value: &str) {
        let start = self.text.len();
        self.text.push_str(value);
        self.foreign.push(start..self.text.len());
    }

    /// The text as it is, for what knows no links.
    pub(super) fn into_raw(self) -> String {
        self.text
    }

    /// The text, whose only links are the operator's.
    pub(super) fn into_text(self) -> String {
        if self.foreign.is_empty() || !self.text.contains('<') {
            return self.text;
        }
        let mut safe = String::with_capacity(self.text.len() + 16);
        let mut at = 0;
        while let Some(open) = self.text[at..].find('<').map(|found| at + found) {
            safe.push_str(&self.text[at..open]);
            at = open + 1;
            match tag(&self.text[open..]) {
                Some(length) if self.is_foreign(open..open + length) => safe.push('＜'),
                Some(length) if !self.text[open..open + length].contains('/') => {
                    at = self.push_tag(open, &mut safe);
                }
                _ => safe.push('<'),
            }
        }
        safe.push_str(&self.text[at..]);
        safe
    }

    /// Whether anything in `range` is not the operator's.
    fn is_foreign(&self, range: Range<usize>) -> bool {
        let first = self.foreign.partition_point(|foreign| foreign.end <= range.start);
        self.foreign[first..]
            .iter()
            .find(|foreign| !foreign.is_empty())
            .is_some_and(|it| it.start < range.end)
    }

    /// Writes a tag of the operator that begins at `open`, and gives the place behind it. Values stay inside its quotes.
    fn push_tag(&self, open: usize, safe: &mut String) -> usize {
        let mut attribute: Option<Attribute> = None;
        for (offset, letter) in self.text[open..].char_indices() {
            let (at, behind) = (open + offset, open + offset + letter.len_utf8());
            let is_foreign = self.is_foreign(at..behind);
            match &attribute {
                None if is_foreign => {}
                None => {
                    safe.push(letter);
                    match letter {
                        '>' => return behind,
                        '"' | '\'' => {
                            attribute = Some(Attribute { quote: letter, start: behind, written: safe.len() });
                        }
                        _ => {}
                    }
                }
                Some(inside) if is_foreign => push_escaped(letter, self.is_whole(inside, at), safe),
                Some(inside) => {
                    if letter == inside.quote {
                        self.close(inside, at, safe);
                        attribute = None;
                    }
                    safe.push(letter);
                }
            }
        }
        self.text.len()
    }

    /// Whether the value of the attribute begins with the piece that is not the operator's and holds `at`.
    fn is_whole(&self, attribute: &Attribute, at: usize) -> bool {
        self.foreign.iter().any(|foreign| foreign.start <= attribute.start && at < foreign.end)
    }

    /// Empties an attribute whose kind of address is not the operator's choice, unless it is an address of the web: a
    /// tap on others sends messages in the user's name (`weixin://bizmsgmenu`), or does what we do not know.
    fn close(&self, attribute: &Attribute, end: usize, safe: &mut String) {
        let first = self.foreign.iter().find(|foreign| foreign.end > attribute.start && foreign.start < end);
        let Some(foreign) = first else { return };
        let own = &self.text[attribute.start..foreign.start.max(attribute.start)];
        let address = safe[attribute.written..].to_ascii_lowercase();
        let is_web = address.starts_with("https://") || address.starts_with("http://");
        if !own.contains([':', '/', '?', '#']) && !is_web {
            safe.truncate(attribute.written);
        }
    }
}

/// An attribute's value that is being written.
struct Attribute {
    quote: char,
    /// Where it begins in the text, and in what was written.
    start: usize,
    written: usize,
}

/// The length of what may begin a link, or end one, up to its `a`; broader than what WeChat is known to take.
fn tag(text: &str) -> Option<usize> {
    let name = text[1..].trim_start().trim_start_matches('/').trim_start();
    let behind = name.strip_prefix(['a', 'A'])?;
    (!behind.starts_with(char::is_alphanumeric)).then(|| text.len() - behind.len())
}

/// Writes a letter of a value so that it cannot end the attribute, nor, in a part of an address, begin another part.
fn push_escaped(letter: char, is_whole: bool, safe: &mut String) {
    let ends =
        matches!(letter, '"' | '\'' | '<' | '>') || letter.is_ascii_whitespace() || letter.is_ascii_control();
    if ends || (!is_whole && matches!(letter, '&' | '#')) {
        // Writing to a `String` cannot fail.
        let _ = write!(safe, "%{:02X}", u32::from(letter));
    } else {
        safe.push(letter);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Fills `values` into a text in the places of `§`.
    fn filled(text: &str, values: &[&str]) -> String {
        let mut patchwork = Patchwork::default();
        let mut values = values.iter();
        for (index, words) in text.split('§').enumerate() {
            if index > 0 {
                patchwork.push_foreign(values.next().unwrap());
            }
            patchwork.push(words);
        }
        patchwork.into_text()
    }

    #[test]
    fn the_operators_links_are_links() {
        let text = "<a href=\"weixin://bizmsgmenu?msgmenucontent=是&msgmenuid=1\">是</a> <b> 1 < 2";
        assert_eq!(filled(&format!("{text}§"), &["你"]), format!("{text}你"));
    }

    #[test]
    fn a_value_makes_no_link() {
        for (text, value, safe) in [
            ("§", "<a href=\"https://x.example\">y</a>", "＜a href=\"https://x.example\">y＜/a>"),
            ("§", "<A\thref='u'>", "＜A\thref='u'>"),
            ("§", "< / a >", "＜ / a >"),
            ("<§", "a href=\"u\">x", "＜a href=\"u\">x"),
            ("§a href=\"u\">x", "<", "＜a href=\"u\">x"),
            ("<a§>x</a>", " href=\"u\"", "<a>x</a>"),
            ("<a href=\"u\">§</a>", "</a><a href=\"v\">", "<a href=\"u\">＜/a>＜a href=\"v\"></a>"),
            // No tags, so no harm.
            ("§", "a<b & c, <abc>, 1 < 2, <", "a<b & c, <abc>, 1 < 2, <"),
        ] {
            assert_eq!(filled(text, &[value]), safe, "{text} with {value}");
        }
    }

    #[test]
    fn a_value_stays_in_its_attribute_and_in_its_part_of_the_address() {
        let link = "<a href=\"https://shop.example/?q=§&page=2\">§</a>";
        assert_eq!(
            filled(link, &["a b\"><a href='&x#y", "\"quoted\""]),
            "<a href=\"https://shop.example/?q=a%20b%22%3E%3Ca%20href=%27%26x%23y&page=2\">\"quoted\"</a>"
        );
        assert_eq!(filled("<a href=§>x</a>", &["weixin://y"]), "<a href=>x</a>");
        let menu = "<a href=\"weixin://bizmsgmenu?msgmenucontent=§&msgmenuid=1\">x</a>";
        assert_eq!(filled(menu, &["是&msgmenuid=2"]), menu.replace('§', "是%26msgmenuid=2"));
    }

    #[test]
    fn a_value_that_is_the_whole_address_must_be_one_of_the_web() {
        let link = |value: &str| filled("<a href=\"§\">x</a>", &[value]);
        assert_eq!(link("https://a.example/?b=1&c=2#d"), "<a href=\"https://a.example/?b=1&c=2#d\">x</a>");
        for other in ["weixin://bizmsgmenu?msgmenucontent=x", "javascript:x", "WEIXIN://x", "", "a.example"] {
            assert_eq!(link(other), "<a href=\"\">x</a>", "{other}");
        }
        assert_eq!(filled("<a href='wei§'>x</a>", &["xin://x"]), "<a href=''>x</a>");
        assert_eq!(filled("<a href='§§'>x</a>", &["weixin:", "//x"]), "<a href=''>x</a>");
    }

    proptest! {
        /// What a value writes never changes which tags there are.
        #[test]
        fn tags_are_the_operators(
            value in r#"(<|>|"|'|a|/| |https://|weixin://|&|你){0,8}"#,
            text in prop::sample::select(vec!["§", "x<a href=\"u\">§</a>", "<a href=\"§\" b='§'>§</a>", "<a href='https://x/§'>"]),
        ) {
            let tags = |text: &str| {
                let quoteless = text.matches("<a ").count() + text.matches("</a>").count();
                (quoteless, text.matches('"').count() >= 2)
            };
            let values = vec![value.as_str(); text.matches('§').count()];
            let (empty, safe) = (filled(text, &vec![""; values.len()]), filled(text, &values));
            prop_assert_eq!(tags(&safe).0, tags(&empty).0, "{}", safe);
            let inside = safe.split('>').next().unwrap_or_default();
            if text.starts_with("<a") {
                prop_assert!(!inside.contains("weixin://") || inside.contains("https://"), "{}", safe);
            }
        }
    }
}
