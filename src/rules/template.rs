//! Texts with places to fill in: `{{ city }}今天晴`, in the language of MiniJinja.
//!
//! Most templates only name things. Those are filled in here, so that a CGI process need not set the template engine
//! up; everything beyond a plain name goes to MiniJinja. Both print the same.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::value::Serde;
use minijinja::{ErrorKind, Value};
use serde::{Deserialize, Serialize};

use super::Rules;
use super::engine::{self, china_time, environment};
use super::fields::{self, Field};
use super::markup::Patchwork;
use super::media::{MediaLibrary, NoLibrary};
use super::subject::Captures;
use super::tables::Tables;
use crate::clock::unix_seconds;
use crate::wechat::message::Message;
use crate::wechat::xml;

/// Names that a template finds always; no capture may be called so.
pub const BUILT_IN_NAMES: [&str; 9] =
    ["message", "openid", "account", "session", "table", "rule", "rules_help", "now", "timestamp"];

/// What is remembered of a user from message to message, by name.
pub type Session = serde_json::Map<String, serde_json::Value>;

/// What templates are tried with when a config is checked.
const SAMPLE_MESSAGE: &str = "<xml><ToUserName>gh_1</ToUserName><FromUserName>oUser</FromUserName><CreateTime>1\
    </CreateTime><MsgType>text</MsgType><Content>x</Content><MsgId>1</MsgId></xml>";

/// What a template may speak of.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The message that is answered: `message.content`, `message.from_user`, …
    pub message: &'a Message<'a>,
    /// What the condition cut out of it, each by its name.
    pub captures: &'a Captures<'a>,
    /// The AppID of the account: `account.app_id`.
    pub app_id: Option<&'a str>,
    /// The name of the rule: `rule`.
    pub rule: Option<&'a str>,
    /// All rules: those with a `help` make `rules_help`.
    pub rules: &'a Rules,
    /// What can be looked up: `table.prices["…"]`.
    pub tables: &'a Tables,
    /// What is remembered of the user: `session.step`.
    pub session: &'a Session,
    /// The time: `now` in China's time, `timestamp` in Unix seconds.
    pub now: SystemTime,
    /// The files of replies; of no use to templates themselves.
    pub media: &'a dyn MediaLibrary,
}

/// A text with places to fill in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String")]
pub struct Template {
    source: String,
    #[serde(skip)]
    form: Form,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// Nothing to fill in.
    Plain,
    /// Plain names only.
    Names(Vec<Segment>),
    /// Anything else.
    Jinja,
}

/// A part of the source, as its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Text(Range<usize>),
    Name(Range<usize>),
}

/// Why a template cannot be used or filled in.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.detail().map_or_else(|| .0.kind().to_string(), |detail| format!("{}: {detail}", .0.kind())))]
pub struct TemplateError(#[from] minijinja::Error);

impl TemplateError {
    /// The line of the template, from 1, if it is known.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.0.line()
    }
}

impl Template {
    /// A template; [`Template::names`] tells whether it can be filled in.
    #[must_use]
    pub fn new(source: String) -> Self {
        let form = Form::of(&source);
        Self { source, form }
    }

    /// The text as it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether there is nothing to fill in: the text is what is sent.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.form == Form::Plain
    }

    /// Whether it may look at the session.
    pub(super) fn speaks_of_session(&self) -> bool {
        !self.is_plain() && self.source.contains("session")
    }

    /// The names that the template speaks of and does not set itself, sorted, with the fields that follow them
    /// (`message.content`); for the check of a config.
    ///
    /// # Errors
    ///
    /// If it is not a template.
    pub fn names(&self) -> Result<Vec<String>, TemplateError> {
        if self.is_plain() {
            return Ok(Vec::new());
        }
        let environment = environment();
        let names = environment.template_from_str(&self.source)?.undeclared_variables(true);
        // `range` and the other functions of the language are no variables.
        let is_variable = |name: &String| environment.globals().all(|(known, _)| known != name);
        let mut names: Vec<String> = names.into_iter().filter(is_variable).collect();
        // The engine gives them in another order each time, and the same faults must stay the same.
        names.sort_unstable();
        Ok(names)
    }

    /// A word of the template that the language does not know: a filter, a test, a function. Found by filling the
    /// template in once with a sample message, so what stands in a branch that the sample does not take stays unseen.
    #[must_use]
    pub fn unknown_word(&self, captures: &[String], tables: &Tables) -> Option<String> {
        if self.form != Form::Jinja {
            return None;
        }
        let sample = xml::parse(SAMPLE_MESSAGE.as_bytes()).ok()?;
        let message = Message::from_xml(&sample).ok()?;
        let captures = captures.iter().map(|name| (name.clone(), "x")).collect();
        let (rules, session) = (&Rules::default(), &Session::new());
        let scope = Scope {
            message: &message,
            captures: &captures,
            app_id: None,
            rule: None,
            rules,
            tables,
            session,
            now: UNIX_EPOCH,
            media: &NoLibrary,
        };
        let TemplateError(error) = self.render_by_engine(&scope).err()?;
        let is_unknown = matches!(
            error.kind(),
            ErrorKind::UnknownFilter
                | ErrorKind::UnknownTest
                | ErrorKind::UnknownFunction
                | ErrorKind::UnknownMethod
        );
        is_unknown.then(|| TemplateError(error).to_string())
    }

    /// Fills it in. What a template names and the message lacks is empty.
    ///
    /// # Errors
    ///
    /// If it is not a template, does what cannot be done with the values at hand, or makes more than
    /// 64 KiB.
    pub fn render(&self, scope: &Scope<'_>) -> Result<Cow<'_, str>, TemplateError> {
        self.patch(scope, Patchwork::into_raw)
    }

    /// Fills it in as a text in which WeChat shows links: what is filled in makes none, and stays inside the
    /// template's own.
    ///
    /// # Errors
    ///
    /// As [`Template::render`].
    pub fn render_text(&self, scope: &Scope<'_>) -> Result<Cow<'_, str>, TemplateError> {
        self.patch(scope, Patchwork::into_text)
    }

    fn patch(
        &self,
        scope: &Scope<'_>,
        finish: fn(Patchwork) -> String,
    ) -> Result<Cow<'_, str>, TemplateError> {
        let by_name = match &self.form {
            Form::Plain => return Ok(Cow::Borrowed(&self.source)),
            Form::Names(segments) => self.fill(segments, scope),
            Form::Jinja => None,
        };
        let filled = by_name.map_or_else(|| self.render_by_engine(scope), Ok)?;
        Ok(Cow::Owned(finish(filled)))
    }

    /// `None` if a name stands for more than a text.
    fn fill(&self, segments: &[Segment], scope: &Scope<'_>) -> Option<Patchwork> {
        let mut filled = Patchwork::with_capacity(self.source.len() + 32);
        for segment in segments {
            match segment {
                Segment::Text(range) => filled.push(&self.source[range.clone()]),
                Segment::Name(range) => filled.push_foreign(&scope.get(&self.source[range.clone()])?),
            }
        }
        Some(filled)
    }

    fn render_by_engine(&self, scope: &Scope<'_>) -> Result<Patchwork, TemplateError> {
        Ok(engine::render(&self.source, scope.to_value(&self.source))?)
    }
}

impl From<String> for Template {
    fn from(source: String) -> Self {
        Self::new(source)
    }
}

impl Form {
    fn of(source: &str) -> Self {
        if !["{{", "{%", "{#"].iter().any(|mark| source.contains(mark)) {
            return Self::Plain;
        }
        names_only(source).map_or(Self::Jinja, Self::Names)
    }
}

/// The parts of a template that has nothing but plain names in it.
fn names_only(source: &str) -> Option<Vec<Segment>> {
    if source.contains("{%") || source.contains("{#") {
        return None;
    }
    let mut segments = Vec::new();
    let mut at = 0;
    while let Some(open) = source[at..].find("{{").map(|found| at + found) {
        let close = open + source[open..].find("}}")?;
        let name = source[open + 2..close].trim();
        if !is_plain_name(name) {
            return None;
        }
        let start = open + source[open..].find(name)?;
        segments.push(Segment::Text(at..open));
        segments.push(Segment::Name(start..start + name.len()));
        at = close + 2;
    }
    segments.push(Segment::Text(at..source.len()));
    Some(segments)
}

/// `city`, `message.content` or `account.app_id`; no word of the template language, and nothing that is more than a text.
fn is_plain_name(name: &str) -> bool {
    let (root, field) = name.split_once('.').map_or((name, None), |(root, field)| (root, Some(field)));
    let holds_fields = matches!(root, "message" | "account");
    is_identifier(root)
        && !matches!(root, "true" | "false" | "none" | "True" | "False" | "None" | "not" | "loop" | "self")
        && !matches!(root, "session" | "table" | "rules_help")
        && holds_fields == field.is_some()
        && field.is_none_or(is_identifier)
}

fn is_identifier(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && word.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

impl Scope<'_> {
    /// The value of a plain name as text, empty if there is none; `None` if it is more than a text.
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let value = match name.split_once('.') {
            Some(("message", field)) => match fields::field(self.message.fields(), field) {
                Field::Missing => None,
                Field::Text(text) => Some(text),
                Field::Nested => return None,
            },
            Some(("account", "app_id")) => self.app_id,
            Some(_) => None,
            None => match name {
                "openid" => Some(self.message.from_user),
                "now" => return Some(Cow::Owned(china_time(self.now))),
                "timestamp" => return Some(Cow::Owned(unix_seconds(self.now).to_string())),
                "rule" => self.rule,
                capture => self.captures.get(capture),
            },
        };
        Some(Cow::Borrowed(value.unwrap_or_default()))
    }

    /// What a template written as `source` finds.
    fn to_value(self, source: &str) -> Value {
        let mut names: BTreeMap<&str, Value> =
            self.captures.iter().map(|(name, text)| (name, Value::from(text))).collect();
        names.insert("message", fields::to_value(self.message.fields()));
        names.insert("openid", Value::from(self.message.from_user));
        names.insert("account", Value::from_pairs(self.app_id.map(|app_id| ("app_id", app_id))));
        names.insert("session", Value::from(Serde(self.session)));
        names.insert("table", self.tables.to_value());
        names.insert("rule", self.rule.map_or(Value::UNDEFINED, Value::from));
        names.insert("now", Value::from(china_time(self.now)));
        names.insert("timestamp", Value::from(unix_seconds(self.now)));
        // All rules are gone through for it. The words are the operator's.
        if source.contains("rules_help") {
            names.insert("rules_help", Value::from_safe_string(self.rules.help()));
        }
        Value::from_pairs(names)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BODY: &str = "<xml><ToUserName>gh_1</ToUserName><FromUserName>oUser</FromUserName><CreateTime>1700000000\
        </CreateTime><MsgType>text</MsgType><Content> 你好 &lt;b&gt; </Content><MsgId>007</MsgId><L>1</L><L>2</L>\
        <Info><Label>甲</Label></Info></xml>";

    fn render(template: &Template) -> Result<String, TemplateError> {
        render_with(template, &Tables::default(), Template::render)
    }

    fn text(source: &str) -> String {
        render_with(&Template::new(source.to_owned()), &Tables::default(), Template::render_text).unwrap()
    }

    type Render = for<'t> fn(&'t Template, &Scope<'_>) -> Result<Cow<'t, str>, TemplateError>;

    fn render_with(template: &Template, tables: &Tables, render: Render) -> Result<String, TemplateError> {
        let root = xml::parse(BODY.as_bytes()).unwrap();
        let message = Message::from_xml(&root).unwrap();
        let captures = Captures::default();
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let help = |help: &str| crate::rules::Rule {
            name: None,
            role: crate::rules::Role::Rule(1),
            file: None,
            flow: crate::rules::Flow::Stop,
            line: 1,
            when: crate::rules::Condition::default(),
            then: crate::rules::Action::None,
            help: Some(help.to_owned()),
            on_error: None,
            alias: None,
            sequel: crate::rules::Sequel::default(),
        };
        let rules =
            Rules::new(vec![help("天气：今天的天气"), help("<a href=\"https://a.example\">more</a>")]);
        let scope = Scope {
            message: &message,
            captures: &captures,
            app_id: Some("wx1"),
            rule: Some("r"),
            rules: &rules,
            tables,
            session: &Session::new(),
            now,
            media: &NoLibrary,
        };
        render(template, &scope).map(Cow::into_owned)
    }

    #[test]
    fn names_are_filled_in_and_missing_ones_are_empty() {
        for (source, text) in [
            ("{{ message.from_user }}:{{message.content}}!", "oUser: 你好 <b> !"),
            ("{{ now }} {{ timestamp }}", "2023-11-15 06:13:20 1700000000"),
            ("[{{ city }}{{ message.pic_url }}]", "[]"),
            ("{{ account.app_id }} {{ rule }} {{ message.msg_id }}\n", "wx1 r 007\n"),
            ("} {{ rule }} {", "} r {"),
            // A container, siblings, and an id that no number would print alike.
            ("{{ message.info }} {{ message.l }} {{ message.msg_id }}", "{'label': '甲'} ['1', '2'] 007"),
        ] {
            let template = Template::new(source.to_owned());
            assert!(matches!(template.form, Form::Names(_)), "{source}");
            assert_eq!(render(&template).unwrap(), text);
            // The engine prints the same.
            let engine = Template { form: Form::Jinja, ..template };
            assert_eq!(render(&engine).unwrap(), text);
        }
    }

    #[test]
    fn values_make_no_links_in_a_text_and_are_untouched_elsewhere() {
        let hostile = "{{ '<' ~ 'a href=\"weixin://x\">' }}";
        assert_eq!(
            text(&format!("1 {hostile} <a href=\"u\">2</a>")),
            "1 ＜a href=\"weixin://x\"> <a href=\"u\">2</a>"
        );
        assert_eq!(render(&Template::new(hostile.to_owned())).unwrap(), "<a href=\"weixin://x\">");
        for (source, shown) in [
            // Filters, blocks and loops keep apart what is whose.
            ("{{ ('<a ' ~ openid)|upper }}", "＜A OUSER"),
            ("{% set x %}<a href=\"u\">{{ '<a ' }}</a>{% endset %}{{ x }}", "<a href=\"u\">＜a </a>"),
            (
                "{% for i in ['<a b>', 'c'] %}<a href=\"/{{ i }}\">{% endfor %}",
                "<a href=\"/%3Ca%20b%3E\"><a href=\"/c\">",
            ),
            ("{% autoescape false %}{{ '<a b>' }}{% endautoescape %}", "＜a b>"),
            ("{{ {'k': '<a b>'} }}", "{'k': '＜a b>'}"),
            ("{{ '<a b>'|json }} {{ '<a b>'|xml }}", "\"＜a b>\" &lt;a b&gt;"),
            // The operator says that it is his.
            ("{{ '<a href=\"u\">x</a>'|safe }}", "<a href=\"u\">x</a>"),
            // A user cannot write the marks himself.
            ("{{ '\u{2}<a b>\u{1}' }}", "＜a b>"),
        ] {
            assert_eq!(text(source), shown, "{source}");
        }
    }

    #[test]
    fn filters_write_for_other_languages() {
        for (source, text) in [
            (r#"{{ "<a b='c'>&\""|xml }}"#, "&lt;a b=&#39;c&#39;&gt;&amp;&quot;"),
            ("{{ '你 &/'|urlencode }}", "%E4%BD%A0%20%26/"),
            (r#"{{ "say \"hi\""|json }}{{ [1, none]|tojson }}"#, r#""say \"hi\""[1,null]"#),
            (r#"{{ "it's; rm $x"|shell }}"#, r"'it'\''s; rm $x'"),
        ] {
            assert_eq!(render(&Template::new(source.to_owned())).unwrap(), text, "{source}");
        }
    }

    #[test]
    fn times_have_formats_and_zones() {
        for (source, text) in [
            ("{{ now|date }}", "2023-11-15 06:13:20"),
            ("{{ timestamp|date('%H:%M') }}", "06:13"),
            ("{{ message.create_time|date('%Y年%m月%d日') }}", "2023年11月15日"),
            ("{{ now|date('%H:%M %Z', tz='America/New_York') }}", "17:13 EST"),
            ("{{ now|date(format='%d %H:%M', tz='+05:30') }}", "15 03:43"),
            ("{{ now|date('%H', tz='-03:00') }}", "19"),
            ("{{ '2026-01-31'|date('%a') }}{{ '2026-01-31T23:30:00Z'|date('%d') }}", "Sat01"),
        ] {
            assert_eq!(render(&Template::new(source.to_owned())).unwrap(), text, "{source}");
        }
        for bad in [
            "{{ 'soon'|date }}",
            "{{ now|date(tz='Mars/Base') }}",
            "{{ now|date('%Q%') }}",
            "{{ now|date(zone='UTC') }}",
        ] {
            assert!(render(&Template::new(bad.to_owned())).is_err(), "{bad}");
        }
    }

    #[test]
    fn rules_tell_what_they_are_for_and_the_user_who_he_is() {
        assert_eq!(
            text("{{ openid }}:\n{{ rules_help }}{{ session.none }}"),
            "oUser:\n天气：今天的天气\n<a href=\"https://a.example\">more</a>"
        );
    }

    #[test]
    fn tables_are_looked_up_and_one_that_cannot_be_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prices.csv");
        std::fs::write(&path, "name,price\noUser,5.5\n梨,7\n").unwrap();
        let table = |path: &std::path::Path| crate::rules::Table::new(path.to_owned(), None);
        let tables = [("prices", table(&path)), ("gone", table(&folder.path().join("gone.csv")))];
        let tables: Tables = tables.into_iter().map(|(name, table)| (name.to_owned(), table)).collect();
        let render =
            |source: &str| render_with(&Template::new(source.to_owned()), &tables, Template::render_text);
        for (source, text) in [
            ("{{ table.prices[openid].price }}", "5.5"),
            ("{{ table.prices['桃'].price }}|{{ table.prices[city].price }}|{{ table.none.x.y }}", "||"),
            (
                "{% for name in table.prices %}{{ name }} {{ table.prices[name].price }};{% endfor %}",
                "oUser 5.5;梨 7;",
            ),
            ("{% if '梨' in table.prices %}yes{% endif %}{{ table.prices|length }}", "yes2"),
        ] {
            assert_eq!(render(source).unwrap(), text, "{source}");
        }
        let error = render("{{ table.gone[openid].price }}").unwrap_err().to_string();
        assert!(error.contains("table `gone`: cannot read"), "{error}");
    }

    #[test]
    fn the_engine_does_what_plain_names_cannot() {
        for (source, text) in [
            ("{{ message.content|trim|upper }}", "你好 <B>"),
            ("{% if message.create_time > 7 %}later{% endif %}", "later"),
            ("{{ message.info.label }}", "甲"),
            ("{{ message.create_time + 1 }}", "1700000001"),
            ("{{ message.none.none }}", ""),
        ] {
            assert_eq!(render(&Template::new(source.to_owned())).unwrap(), text);
        }
    }

    #[test]
    fn a_broken_template_is_an_error_and_an_endless_one_ends() {
        assert!(Template::new("{{ message.content".to_owned()).names().is_err());
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        assert!(render(&Template::new(endless.to_owned())).is_err());
    }

    #[test]
    fn a_template_cannot_make_a_text_without_bound() {
        for source in [
            "{{ ('x' * 90000)|replace('x', 'y' * 90000) }}",
            "{% for a in range(900) %}{{ 'x' * 900 }}{% endfor %}",
            "{{ 'a'|indent(99999999999) }}",
            "{{ '%99999999999s'|format('a') }}",
            "{% for r in [1, 2]|batch(2000000000, '-') %}{{ r|length }}{% endfor %}",
            "{{ [1]|slice(2000000000)|length }}",
            "{% set n = namespace(s='a') %}{% for i in range(40) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
            "{% for i in range(900) %}{% set z = range(100000)|sort|list %}{% endfor %}z",
            "{{ range(0, 9223372036854775807, 2) }}{{ range(-9223372036854775808, 9223372036854775807) }}",
            "{{ range(1, 2, 0) }}",
        ] {
            assert!(render(&Template::new(source.to_owned())).is_err(), "{source}");
        }
        for (source, text) in
            [("{{ range(3)|join }}", "012"), ("{{ range(2, 4)|join }}{{ range(9, 0, -4)|join }}", "23951")]
        {
            assert_eq!(render(&Template::new(source.to_owned())).unwrap(), text);
        }
        assert_eq!(render(&Template::new("{{ 'aba'|replace('a', 'xx') }}".to_owned())).unwrap(), "xxbxx");
    }

    #[test]
    fn a_word_that_the_language_does_not_know_is_found() {
        let unknown = |source: &str| {
            Template::new(source.to_owned()).unknown_word(&["city".to_owned()], &Tables::default())
        };
        assert!(unknown("{{ message.content|uper }}").unwrap().contains("uper"));
        assert!(unknown("{% if city is evenn %}{% endif %}").unwrap().contains("evenn"));
        assert_eq!(
            unknown("{{ city|upper }}{{ message.pic_url|length }}{{ message.location_x|float }}"),
            None
        );
        assert_eq!(unknown("{{ city }}"), None);
    }

    #[test]
    fn the_names_that_a_template_wants_are_told() {
        let template =
            Template::new("{{ message.content }}{% set x = 1 %}{{ x }}{{ city }}{{ range(3) }}".to_owned());
        assert_eq!(template.names().unwrap(), ["city", "message.content"]);
        let many = Template::new("{{ h }}{{ g }}{{ f }}{{ e }}{{ d }}{{ c }}{{ b }}{{ a }}".to_owned());
        assert_eq!(many.names().unwrap(), ["a", "b", "c", "d", "e", "f", "g", "h"]);
        assert!(Template::new("no braces".to_owned()).is_plain());
    }
}
