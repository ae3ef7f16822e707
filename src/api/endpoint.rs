//! A row of the table of WeChat's API: an endpoint, its fields and their limits.
//!
//! Rows are constants. What a call is checked against, what the help says and what a stand-in for WeChat refuses all
//! follow from them; see [`check`](super::check) for how a field is found in a call.

use std::fmt;

use super::format::Format;
use super::who::Who;
use super::{Auth, Method};

/// Whether a call may be sent once more when nobody knows what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// It would happen twice.
    Never,
    /// Twice is the same as once.
    Always,
    /// WeChat does it once for each value of this field.
    With(&'static str),
}

/// An endpoint of WeChat's API.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    /// How it is asked.
    pub method: Method,
    /// Its path, from the host on.
    pub path: &'static str,
    /// What it does, in a line.
    pub does: &'static str,
    /// Its fields; two slices, so that rows can share one.
    pub fields: [&'static [Field]; 2],
    /// Of each of these sets of fields one must be given.
    pub one_of: &'static [&'static [&'static str]],
    /// Who may call it.
    pub who: Who,
    /// Whether it may be sent again.
    pub repeat: Repeat,
    /// What it proves itself with.
    pub auth: Auth<'static>,
    /// WeChat's page about it, below [`PAGES`].
    pub page: &'static str,
    /// It is gone; what to do instead.
    pub retired: Option<&'static str>,
    /// How far two of its fields may be apart.
    pub span: Option<Span>,
    /// The field whose day must be over, in China.
    pub past: Option<Past>,
    /// The body is a text as it is, of at most so many bytes.
    pub raw: Option<usize>,
}

/// How far two fields may be apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The field of the begin.
    pub from: &'static str,
    /// The field of the end.
    pub to: &'static str,
    /// The most that lies between them.
    pub most: Most,
    /// What WeChat answers if it is more.
    pub errcode: i64,
}

/// A date that must have passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// Its field.
    pub field: &'static str,
    /// What WeChat answers to a later one.
    pub errcode: i64,
}

/// How much may lie between two fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Most {
    /// Dates, both of them counted.
    Days(i64),
    /// Unix seconds of one day in China.
    OneDay,
}

/// Where WeChat's pages lie.
pub const PAGES: &str = "https://developers.weixin.qq.com/doc/offiaccount/";

/// Where a field stands in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the JSON body, or in a form field that holds JSON.
    Body,
    /// In the query.
    Query,
    /// A file, in a part of a form.
    File,
}

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// A whole number.
    Number,
    /// A number, or its digits as a text: WeChat gives and takes both.
    Id,
    /// `true` or `false`.
    Boolean,
    /// An object.
    Object,
    /// A list.
    List,
    /// A file.
    File,
    /// Anything.
    Any,
}

/// When a field counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Always.
    Always,
    /// Only if that field, beside it or at the top, has one of these values.
    Is(&'static str, &'static [&'static str]),
    /// Only if that field beside it is absent or empty.
    Without(&'static str),
}

/// A field of an endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its path: names joined by `.`; `name[]` are the elements of a list (or the thing itself where WeChat takes one
    /// without a list), `*` any name.
    pub path: &'static str,
    /// Where it stands.
    pub place: Place,
    /// What it must be.
    pub kind: Kind,
    /// Whether it must be given, where its parent is.
    pub required: bool,
    /// When it counts.
    pub when: When,
    /// The field beside it that takes its place: it is not needed where that is given, and not allowed.
    pub not_beside: Option<&'static str>,
    /// What its value must keep to.
    pub limit: Limit,
    /// What WeChat answers where the limit is broken; 40035 where no page names one.
    pub errcode: i64,
    /// It no longer has an effect, or never should be used; why.
    pub obsolete: Option<&'static str>,
}

/// What a value must keep to.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    /// Nothing.
    None,
    /// At most so many bytes of UTF-8.
    Bytes(usize),
    /// At most so many characters.
    Chars(usize),
    /// At most so many columns: a Chinese character takes two, a Latin one.
    Columns(usize),
    /// A number from this to that.
    Range(i64, i64),
    /// So many elements.
    Items(usize, usize),
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A form of its own.
    Form {
        /// Whether a text has it.
        fits: fn(&str) -> bool,
        /// The form in words.
        says: &'static str,
        /// One that has it.
        example: &'static str,
    },
    /// By the name of what the field stands in, without the digits at its end.
    ByName(&'static [(&'static str, Limit)]),
    /// A file of one of these formats, of at most so many bytes.
    File(&'static [Format], u64),
}

/// The limit in words; nothing if there is none.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Bytes(max) => write!(f, "at most {max} bytes"),
            Self::Chars(max) => write!(f, "at most {max} characters"),
            Self::Columns(max) => write!(f, "at most {max} columns, of which a Chinese character takes two"),
            Self::Range(min, i64::MAX) => write!(f, "{min} or more"),
            Self::Range(min, max) => write!(f, "{min} to {max}"),
            Self::Items(min, usize::MAX) => write!(f, "{min} or more elements"),
            Self::Items(min, max) => write!(f, "{min} to {max} elements"),
            Self::OneOf(values) => write!(f, "one of {}", values.join(", ")),
            Self::Form { says, example, .. } => write!(f, "{says}, as {example}"),
            Self::ByName(limits) => {
                let words: Vec<_> = limits.iter().map(|(name, limit)| format!("{name}: {limit}")).collect();
                f.write_str(&words.join("; "))
            }
            Self::File(formats, max) => {
                let names: Vec<_> = formats.iter().map(ToString::to_string).collect();
                write!(f, "{}, at most {max} bytes", names.join(", "))
            }
        }
    }
}

impl Endpoint {
    pub(super) const fn new(method: Method, path: &'static str, does: &'static str) -> Self {
        let repeat = match method {
            Method::Get => Repeat::Always,
            Method::Post => Repeat::Never,
        };
        Self {
            method,
            path,
            does,
            fields: [&[], &[]],
            one_of: &[],
            who: Who::ALL,
            repeat,
            auth: Auth::AccessToken,
            page: "",
            retired: None,
            span: None,
            past: None,
            raw: None,
        }
    }

    pub(super) const fn get(path: &'static str, does: &'static str) -> Self {
        Self::new(Method::Get, path, does)
    }

    pub(super) const fn post(path: &'static str, does: &'static str) -> Self {
        Self::new(Method::Post, path, does)
    }

    pub(super) const fn fields(mut self, fields: &'static [Field]) -> Self {
        self.fields[0] = fields;
        self
    }

    /// Fields that it has in common with others.
    pub(super) const fn and(mut self, fields: &'static [Field]) -> Self {
        self.fields[1] = fields;
        self
    }

    pub(super) const fn one_of(mut self, sets: &'static [&'static [&'static str]]) -> Self {
        self.one_of = sets;
        self
    }

    pub(super) const fn who(mut self, who: Who) -> Self {
        self.who = who;
        self
    }

    pub(super) const fn page(mut self, page: &'static str) -> Self {
        self.page = page;
        self
    }

    pub(super) const fn auth(mut self, auth: Auth<'static>) -> Self {
        self.auth = auth;
        self
    }

    pub(super) const fn repeat(mut self, repeat: Repeat) -> Self {
        self.repeat = repeat;
        self
    }

    /// Twice is the same as once, although it is a POST.
    pub(super) const fn repeatable(self) -> Self {
        self.repeat(Repeat::Always)
    }

    pub(super) const fn retired(mut self, instead: &'static str) -> Self {
        self.retired = Some(instead);
        self
    }

    pub(super) const fn span(
        mut self,
        from: &'static str,
        to: &'static str,
        most: Most,
        errcode: i64,
    ) -> Self {
        self.span = Some(Span { from, to, most, errcode });
        self
    }

    pub(super) const fn past(mut self, field: &'static str, errcode: i64) -> Self {
        self.past = Some(Past { field, errcode });
        self
    }

    pub(super) const fn raw(mut self, max_bytes: usize) -> Self {
        self.raw = Some(max_bytes);
        self
    }

    /// All its fields.
    pub fn all_fields(&self) -> impl Iterator<Item = &'static Field> + Clone + use<> {
        let [own, shared] = self.fields;
        own.iter().chain(shared)
    }

    /// Its path without what nearly all begin with.
    #[must_use]
    pub fn name(&self) -> &'static str {
        let path = self.path.strip_prefix("/cgi-bin").unwrap_or(self.path);
        path.strip_prefix('/').unwrap_or(path)
    }
}

impl Field {
    const fn new(path: &'static str, place: Place, kind: Kind) -> Self {
        Self {
            path,
            place,
            kind,
            required: false,
            when: When::Always,
            not_beside: None,
            limit: Limit::None,
            errcode: 40035,
            obsolete: None,
        }
    }

    pub(super) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub(super) const fn when(mut self, field: &'static str, values: &'static [&'static str]) -> Self {
        self.when = When::Is(field, values);
        self
    }

    pub(super) const fn without(mut self, field: &'static str) -> Self {
        self.when = When::Without(field);
        self
    }

    pub(super) const fn not_beside(mut self, field: &'static str) -> Self {
        self.not_beside = Some(field);
        self
    }

    pub(super) const fn limit(mut self, limit: Limit) -> Self {
        self.limit = limit;
        self
    }

    pub(super) const fn bytes(self, max: usize) -> Self {
        self.limit(Limit::Bytes(max))
    }

    pub(super) const fn chars(self, max: usize) -> Self {
        self.limit(Limit::Chars(max))
    }

    pub(super) const fn range(self, min: i64, max: i64) -> Self {
        self.limit(Limit::Range(min, max))
    }

    pub(super) const fn items(self, min: usize, max: usize) -> Self {
        self.limit(Limit::Items(min, max))
    }

    pub(super) const fn any_of(self, values: &'static [&'static str]) -> Self {
        self.limit(Limit::OneOf(values))
    }

    pub(super) const fn form(
        self,
        fits: fn(&str) -> bool,
        says: &'static str,
        example: &'static str,
    ) -> Self {
        self.limit(Limit::Form { fits, says, example })
    }

    pub(super) const fn errcode(mut self, errcode: i64) -> Self {
        self.errcode = errcode;
        self
    }

    pub(super) const fn obsolete(mut self, why: &'static str) -> Self {
        self.obsolete = Some(why);
        self
    }

    /// In the query instead of the body.
    pub(super) const fn in_query(mut self) -> Self {
        self.place = Place::Query;
        self
    }

    /// The path of what it stands in; empty at the top.
    #[must_use]
    pub fn parent(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(parent, _)| parent)
    }

    /// The last name of its path, with `[]` if it has that.
    #[must_use]
    pub fn leaf(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, leaf)| leaf)
    }
}

// How rows name their fields.

pub(super) const fn text(path: &'static str) -> Field {
    Field::new(path, Place::Body, Kind::Text)
}

pub(super) const fn number(path: &'static str) -> Field {
    Field::new(path, Place::Body, Kind::Number)
}

pub(super) const fn id(path: &'static str) -> Field {
    Field::new(path, Place::Body, Kind::Id)
}

pub(super) const fn boolean(path: &'static str) -> Field {
    Field::new(path, Place::Body, Kind::Boolean)
}

pub(super) const fn object(path: &'static str) -> Field {
    Field::new(path, Place::Body, Kind::Object)
}

pub(super) const fn list(path: &'static str) -> Field {
    Field::new(path, Place::Body, Kind::List)
}

pub(super) const fn any(path: &'static str) -> Field {
    Field::new(path, Place::Body, Kind::Any)
}

/// A text in the query.
pub(super) const fn query(path: &'static str) -> Field {
    text(path).in_query()
}

/// A number of 0 or 1.
pub(super) const fn flag(path: &'static str) -> Field {
    number(path).range(0, 1)
}

/// A required file.
pub(super) const fn file(path: &'static str, formats: &'static [Format], max: u64) -> Field {
    Field::new(path, Place::File, Kind::File).required().limit(Limit::File(formats, max)).errcode(40006)
}
