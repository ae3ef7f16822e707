//! What a table of the config is: its keys, and what each takes.

/// A table of the config.
#[derive(Debug)]
pub(super) struct Group {
    /// What one of its keys is called in faults; tells the groups apart.
    pub(super) noun: &'static str,
    pub(super) doc: &'static str,
    pub(super) keys: &'static [Key],
    pub(super) required: &'static [&'static str],
    /// Of these, one must be there, and no other.
    pub(super) one_of: &'static [&'static str],
    /// Of these, at least one.
    pub(super) any_of: &'static [&'static str],
    /// Of these, not all.
    pub(super) not_all_of: &'static [&'static str],
}

/// A key of a table.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) doc: &'static str,
}

/// What a key takes.
#[derive(Debug)]
pub(super) enum Kind {
    Text,
    /// A text with places to fill in.
    Template,
    Flag,
    /// `true`, and nothing else.
    True,
    Whole(i64, i64),
    Duration,
    /// A duration, or this word.
    DurationOr(&'static str),
    Size,
    /// A literal text, or where it lies.
    Secret,
    /// A text or a list of them.
    Words,
    /// The same; these are known.
    KnownWords(&'static [&'static str]),
    OneOf(&'static [&'static str]),
    Number,
    /// A date or a time, as TOML has them or as text.
    Moment,
    Fold,
    Table(&'static Group),
    TrueOrTable(&'static Group),
    Tables(&'static Group),
    /// A table or a list of them.
    OneOrMore(&'static Group),
    /// What is wanted of elements, by their names: a text, a list of them, or a table.
    Fields(&'static Group),
    /// Tables under names of the operator's choice.
    Named(&'static Group),
    /// Texts, numbers and flags under names of the operator's choice.
    Values,
    /// Whatever TOML can say, under names of others.
    Free,
    /// Texts, or where they lie, under names of the operator's choice.
    Secrets,
    /// A text, or a table that says more.
    TextOr(&'static Group),
    /// A text or a list of them, or a table that says more.
    WordsOr(&'static Group),
    Reply,
    Replies,
    Choices(&'static Group),
}

pub(super) const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, doc }
}

/// A group whose keys may all be left out.
pub(super) const fn group(noun: &'static str, doc: &'static str, keys: &'static [Key]) -> Group {
    Group { noun, doc, keys, required: &[], one_of: &[], any_of: &[], not_all_of: &[] }
}
