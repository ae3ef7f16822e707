//! Markdown as WeChat can show it: as plain text.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// Quotes and lists within each other are shown so deep.
const MAX_DEPTH: usize = 8;

/// The text without its marks, laid out by lines. Links show their address behind them.
pub(super) fn plain(markdown: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut page = Page::default();
    Parser::new_ext(markdown, options).for_each(|event| page.take(event));
    page.text.truncate(page.text.trim_end().len());
    page.text
}

/// The text as far as it is written.
#[derive(Default)]
struct Page {
    text: String,
    /// Line ends that come before anything else is written.
    gap: usize,
    /// Whether the line has its margin.
    has_margin: bool,
    /// What stands before each line.
    margins: Vec<&'static str>,
    /// The next number of each list that is open; bullets have none.
    lists: Vec<Option<u64>>,
    /// Links that are open: where their text begins, and where they lead.
    links: Vec<(usize, String)>,
    /// Whether the row has a cell already.
    has_cell: bool,
    is_code: bool,
}

impl Page {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.begin(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Code(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.write(&text);
            }
            Event::Html(html) | Event::InlineHtml(html) => self.write_html(&html),
            Event::SoftBreak | Event::HardBreak => self.write("\n"),
            Event::Rule => {
                self.write("———");
                self.end_block();
            }
            Event::TaskListMarker(is_done) => self.write(if is_done { "☑ " } else { "☐ " }),
            Event::FootnoteReference(name) => {
                self.write("[");
                self.write(&name);
                self.write("]");
            }
        }
    }

    fn begin(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::BlockQuote(_) => self.margins.push("> "),
            Tag::List(first) => {
                self.want(1);
                self.lists.push(first);
            }
            Tag::Item => self.begin_item(),
            Tag::CodeBlock(kind) => {
                self.is_code = true;
                if matches!(kind, CodeBlockKind::Indented) {
                    // The marks of a paragraph that was indented by chance.
                    self.want(1);
                }
            }
            Tag::TableHead | Tag::TableRow => self.has_cell = false,
            Tag::TableCell => {
                if self.has_cell {
                    self.write(" | ");
                }
                self.has_cell = true;
            }
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.write("");
                self.links.push((self.text.len(), dest_url.into_string()));
            }
            _ => {}
        }
    }

    fn begin_item(&mut self) {
        self.want(1);
        match self.lists.last_mut() {
            Some(Some(number)) => {
                let mark = format!("{number}. ");
                *number = number.saturating_add(1);
                self.write(&mark);
            }
            _ => self.write("• "),
        }
        self.margins.push("  ");
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::BlockQuote(_) => {
                self.margins.pop();
                self.end_block();
            }
            TagEnd::Item => {
                self.margins.pop();
                self.want(1);
            }
            TagEnd::List(_) => {
                self.lists.pop();
                self.end_block();
            }
            TagEnd::CodeBlock => {
                self.is_code = false;
                self.end_block();
            }
            TagEnd::TableHead | TagEnd::TableRow => self.want(1),
            TagEnd::Link | TagEnd::Image => self.end_link(),
            TagEnd::Paragraph | TagEnd::Heading(_) | TagEnd::Table | TagEnd::HtmlBlock => self.end_block(),
            _ => {}
        }
    }

    /// Writes the address behind the text of a link, unless the text is the address.
    fn end_link(&mut self) {
        let Some((start, address)) = self.links.pop() else { return };
        let said = self.text.get(start..).unwrap_or_default().trim();
        if !is_web(&address) || bare(said) == bare(&address) {
            return;
        }
        let shown = if said.is_empty() { address } else { format!("（{address}）") };
        self.write(&shown);
    }

    /// An empty line between blocks, none within a list.
    fn end_block(&mut self) {
        self.want(if self.lists.is_empty() { 2 } else { 1 });
    }

    fn want(&mut self, lines: usize) {
        self.gap = self.gap.max(lines);
    }

    /// Writes a text, whose line ends get the margins.
    fn write(&mut self, text: &str) {
        // The fence of a block ends its last line.
        let (text, line_ends) = match text.strip_suffix('\n') {
            Some(lines) if self.is_code => (lines, 1),
            _ => (text, 0),
        };
        self.break_lines();
        for (number, line) in text.split('\n').enumerate() {
            if number > 0 {
                self.gap = 1;
                self.break_lines();
            }
            self.text.push_str(line.trim_end_matches('\r'));
        }
        self.want(line_ends);
    }

    fn break_lines(&mut self) {
        let gap = std::mem::take(&mut self.gap);
        if gap > 0 && !self.text.is_empty() {
            self.text.extend(std::iter::repeat_n('\n', gap));
            self.has_margin = false;
        }
        if !self.has_margin {
            self.text.extend(self.margins.iter().take(MAX_DEPTH).copied());
            self.has_margin = true;
        }
    }

    /// Tags that lay text out are left away; what merely looks like a tag is text.
    fn write_html(&mut self, html: &str) {
        let mut rest = html.trim_end_matches('\n');
        while let Some(open) = rest.find('<') {
            let (before, from_tag) = rest.split_at(open);
            self.write_if_any(before);
            let Some(tag) = Markup::at(from_tag) else {
                self.write("<");
                rest = &from_tag[1..];
                continue;
            };
            if tag.is_break {
                self.write("\n");
            }
            rest = &from_tag[tag.length..];
        }
        self.write_if_any(rest);
        if html.ends_with('\n') {
            self.want(1);
        }
    }

    fn write_if_any(&mut self, text: &str) {
        if !text.is_empty() {
            self.write(text);
        }
    }
}

/// A tag or a comment of HTML that says nothing to a reader.
struct Markup {
    length: usize,
    is_break: bool,
}

/// What models lay text out by.
const LAYOUT: [&str; 34] = [
    "a",
    "b",
    "big",
    "blockquote",
    "br",
    "center",
    "code",
    "details",
    "del",
    "div",
    "em",
    "font",
    "h1",
    "h2",
    "h3",
    "h4",
    "hr",
    "i",
    "img",
    "kbd",
    "li",
    "ol",
    "p",
    "pre",
    "s",
    "small",
    "span",
    "strong",
    "sub",
    "summary",
    "sup",
    "table",
    "u",
    "ul",
];

impl Markup {
    /// The one that `text` begins with.
    fn at(text: &str) -> Option<Self> {
        if text.starts_with("<!--") {
            let length = text.find("-->").map_or(text.len(), |end| end + "-->".len());
            return Some(Self { length, is_break: false });
        }
        let length = text.find('>')? + 1;
        let inside = text.get(1..length - 1)?.trim_start_matches('/');
        let name = inside.split(|letter: char| !letter.is_ascii_alphanumeric()).next()?.to_ascii_lowercase();
        LAYOUT.contains(&name.as_str()).then(|| Self { length, is_break: name == "br" })
    }
}

/// Whether a tap on the address opens a page: what else there is, a model is not to offer.
fn is_web(address: &str) -> bool {
    let start = address.get(..8).unwrap_or(address).to_ascii_lowercase();
    start.starts_with("https://") || start.starts_with("http://")
}

/// An address without what people leave away.
fn bare(address: &str) -> &str {
    let address = address.trim_start_matches("https://").trim_start_matches("http://");
    address.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn marks_go_and_the_text_stays() {
        for (markdown, expected) in [
            ("# 标题\n正文 **粗** *斜* ~~删~~ `code`", "标题\n\n正文 粗 斜 删 code"),
            ("一\n二\n\n\n\n三  \n四", "一\n二\n\n三\n四"),
            ("- 一\n- 二\n  - 二甲\n  - 二乙\n- 三\n\n完", "• 一\n• 二\n  • 二甲\n  • 二乙\n• 三\n\n完"),
            ("3. 三\n4. 四", "3. 三\n4. 四"),
            ("1. 一\n\n   续\n\n2. 二", "1. 一\n  续\n2. 二"),
            ("前\n- 一", "前\n\n• 一"),
            ("- [x] 好\n- [ ] 未", "• ☑ 好\n• ☐ 未"),
            (
                "看：\n\n```rust\nfn main() {\n    a < b && *c*;\n}\n```\n\n后",
                "看：\n\nfn main() {\n    a < b && *c*;\n}\n\n后",
            ),
            ("```\n没完", "没完"),
            ("> 引\n> 用\n\n后", "> 引\n> 用\n\n后"),
            ("| 名 | 价 |\n|---|--:|\n| 苹果 | **5** |\n| 梨 | |\n\n后", "名 | 价\n苹果 | 5\n梨 | \n\n后"),
            ("上\n\n---\n\n下", "上\n\n———\n\n下"),
            ("&lt;5 &amp; &#x4F60; \\*星\\* AT&T", "<5 & 你 *星* AT&T"),
            ("a<br>b<br/>c <b>粗</b> <!-- 藏 -->d", "a\nb\nc 粗 d"),
            ("`Vec<T>` 与 Vec<T> 与 <T>", "Vec<T> 与 Vec<T> 与 <T>"),
            ("<div align=\"center\">\n中 <T>\n</div>\n\n后", "中 <T>\n\n后"),
            ("5 * 3 * 2 = 30，snake_case_name，1_000", "5 * 3 * 2 = 30，snake_case_name，1_000"),
            ("", ""),
        ] {
            assert_eq!(plain(markdown).trim_start(), expected, "{markdown}");
        }
    }

    #[test]
    fn links_show_where_they_lead_and_lead_to_pages_only() {
        for (markdown, expected) in [
            ("见[文档](https://a.example/x)。", "见文档（https://a.example/x）。"),
            ("<https://a.example/>", "https://a.example/"),
            ("[a.example](https://a.example/)", "a.example"),
            ("[](http://a.example)", "http://a.example"),
            ("![图](https://a.example/i.png)", "图（https://a.example/i.png）"),
            ("[**粗**字](HTTPS://a.example)", "粗字（HTTPS://a.example）"),
            ("[点我](weixin://bizmsgmenu?msgmenucontent=x) [x](javascript:y)", "点我 x"),
            ("<a href=\"https://a.example\">点</a>", "点"),
            ("[参考][1]\n\n[1]: https://a.example", "参考（https://a.example）"),
            ("[没有](", "[没有]("),
        ] {
            assert_eq!(plain(markdown), expected, "{markdown}");
        }
    }

    #[test]
    fn what_is_nested_without_end_is_shown_without_a_margin_without_end() {
        let quote = format!("{} 深", ">".repeat(5000));
        assert_eq!(plain(&quote), format!("{}深", "> ".repeat(MAX_DEPTH)));
        assert!(plain(&"- ".repeat(3000)).len() < 100_000);
    }

    #[test]
    fn a_text_made_to_hurt_is_shown_as_well() {
        for piece in [
            "[", "![", "*", "**a *", "_a__", "`", "``` ", "<", "<a ", "<!--", "&", "- ", "1. ", "> - ", "|",
            "|-|\n", "\\", "[a](", "[a]: b\n", "[a][", "~~", "<div>\n", "* * ", "\t", "a\n=", "&#x",
            "<b><!--", "((", "[[](",
        ] {
            let text = piece.repeat((32 << 10) / piece.len());
            let shown = std::thread::Builder::new()
                .stack_size(256 << 10)
                .spawn(move || plain(&text).len())
                .expect("a thread")
                .join()
                .unwrap_or_else(|_| panic!("{piece}"));
            assert!(shown <= 12 * (32 << 10), "{piece}: {shown}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_grow_without_bound(
            markdown in r"([#>\-*_`~|\[\]()<>!&;:\\1-3. \n]|https://a|猫|<b|\r\n|```|--|\t){0,60}",
            noise in ".{0,60}",
        ) {
            for text in [markdown, noise] {
                let shown = plain(&text);
                prop_assert!(shown.len() <= 40 * (text.len() + 10), "{text:?}: {shown:?}");
            }
        }
    }
}
