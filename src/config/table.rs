//! Reads a TOML table key by key and notes every fault instead of stopping at the first.
//!
//! A key is known because a reader asked for it: [`Table::finish`] reports the keys that nobody asked for.

use std::cell::{Cell, RefCell};
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, IncludedText, MAX_FAULTS, Severity, did_you_mean};

/// A value with its place.
pub(super) type Value<'t> = &'t Spanned<DeValue<'t>>;

/// The faults found so far; of each severity no more than [`MAX_FAULTS`] are kept, the others are counted.
#[derive(Debug)]
pub(super) struct Faults<'t> {
    /// The whole file.
    file: &'t str,
    /// Whether expressions and templates are to be compiled, to see whether they do.
    pub(super) thorough: bool,
    /// Where relative paths start.
    folder: &'t Path,
    found: RefCell<Vec<Fault>>,
    /// Warnings have a count of their own: they must not push out the fault that refuses the config.
    fault_count: Cell<usize>,
    warning_count: Cell<usize>,
    files: RefCell<Vec<PathBuf>>,
    /// The included file that is read, if it is not the config itself.
    within: Option<Arc<IncludedText>>,
}

impl<'t> Faults<'t> {
    pub(super) fn new(file: &'t str, folder: &'t Path, thorough: bool) -> Self {
        Self {
            file,
            folder,
            thorough,
            found: RefCell::default(),
            fault_count: Cell::default(),
            warning_count: Cell::default(),
            files: RefCell::default(),
            within: None,
        }
    }

    /// Those of an included file, which is as thorough.
    pub(super) fn of_included(&self, file: &'t Arc<IncludedText>) -> Self {
        Self { within: Some(file.clone()), ..Self::new(&file.text, self.folder, self.thorough) }
    }

    /// The included file that is read, if it is not the config itself.
    pub(super) fn within(&self) -> Option<&Arc<IncludedText>> {
        self.within.as_ref()
    }

    /// Takes over the faults of an included file.
    pub(super) fn absorb(&self, faults: impl IntoIterator<Item = Fault>) {
        faults.into_iter().for_each(|fault| self.push(fault));
    }

    pub(super) fn push(&self, fault: Fault) {
        self.note(fault.severity, || fault);
    }

    /// Whether nothing was found that refuses the config.
    pub(super) fn are_warnings(&self) -> bool {
        self.fault_count.get() == 0
    }

    /// The same with a fault that is only made if it is kept.
    fn note(&self, severity: Severity, fault: impl FnOnce() -> Fault) {
        let count = self.count(severity);
        if count.get() < MAX_FAULTS {
            let mut fault = fault();
            fault.within = fault.within.or_else(|| self.within.clone());
            self.found.borrow_mut().push(fault);
        }
        count.set(count.get() + 1);
    }

    fn count(&self, severity: Severity) -> &Cell<usize> {
        match severity {
            Severity::Fault => &self.fault_count,
            Severity::Warning => &self.warning_count,
        }
    }

    /// A path of the config as one that can be opened.
    pub(super) fn path(&self, written: &str) -> PathBuf {
        self.folder.join(written)
    }

    /// Notes a further file that the config depends on.
    pub(super) fn note_file(&self, path: &Path) {
        self.files.borrow_mut().push(path.to_owned());
    }

    /// The further files that the config depends on.
    pub(super) fn take_files(&self) -> Vec<PathBuf> {
        self.files.take()
    }

    /// The faults in the order of the file, and last how many more there are.
    pub(super) fn into_sorted(self) -> Vec<Fault> {
        let mut faults = self.found.take();
        // The config first, then each included file by itself.
        let place = |fault: &Fault| {
            let within = fault.within.as_ref().map(|file| file.name.clone());
            (within, fault.span.as_ref().map_or(0, |span| span.start))
        };
        faults.sort_by_cached_key(place);
        for (severity, noun) in [(Severity::Fault, "faults"), (Severity::Warning, "warnings")] {
            let more = self.count(severity).get().saturating_sub(MAX_FAULTS);
            if more > 0 {
                let rest = Fault::of_file(format!("{noun} not shown here: {more}"));
                faults.push(Fault { severity, ..rest });
            }
        }
        faults
    }
}

/// A text of the file with its place.
#[derive(Debug, Clone)]
pub(super) struct Text<'t> {
    pub(super) value: &'t str,
    pub(super) span: Range<usize>,
}

impl Text<'_> {
    /// The place of some bytes of the text; known only for a text that stands in the file as it is, without escapes.
    pub(super) fn place_of(&self, part: Range<usize>, faults: &Faults<'_>) -> Option<Range<usize>> {
        let written = faults.file.get(self.span.clone())?;
        let start = self.span.start + written.find(self.value)?;
        Some(start + part.start..start + part.end)
    }

    /// The place of the letter at `offset` of the text.
    pub(super) fn span_at(&self, offset: usize, faults: &Faults<'_>) -> Option<Range<usize>> {
        let width = self.value.get(offset..)?.chars().next().map_or(1, char::len_utf8);
        self.place_of(offset..offset + width, faults)
    }
}

/// A table that is being read.
pub(super) struct Table<'t> {
    entries: &'t DeTable<'t>,
    /// Where it stands: its header, or itself if it is inline.
    pub(super) span: Range<usize>,
    /// What one of its keys is called in messages: `account key`, `condition`.
    key_noun: &'static str,
    known: RefCell<Vec<&'static str>>,
    pub(super) faults: &'t Faults<'t>,
}

impl<'t> Table<'t> {
    pub(super) fn new(
        entries: &'t DeTable<'t>,
        span: Range<usize>,
        key_noun: &'static str,
        faults: &'t Faults<'t>,
    ) -> Self {
        Self { entries, span, key_noun, known: RefCell::default(), faults }
    }

    /// A value that should be a table; anything else is a fault.
    pub(super) fn from_value(
        value: Value<'t>,
        key_noun: &'static str,
        faults: &'t Faults<'t>,
    ) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(table) => Some(Self::new(table, value.span(), key_noun, faults)),
            _ => wrong_type(value, "a table", faults),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of `key`, whatever its type.
    pub(super) fn value(&self, key: &'static str) -> Option<Value<'t>> {
        #[cfg(test)]
        note_asked(self.key_noun, key);
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        self.entries.get(key)
    }

    /// The place of the key itself.
    pub(super) fn key_span(&self, key: &str) -> Range<usize> {
        self.entries.get_key_value(key).map_or(self.span.clone(), |(key, _)| key.span())
    }

    /// The place of its value; of the table, if there is none.
    pub(super) fn value_span(&self, key: &'static str) -> Range<usize> {
        self.value(key).map_or(self.span.clone(), Spanned::span)
    }

    pub(super) fn text(&self, key: &'static str) -> Option<Text<'t>> {
        text(self.value(key)?, self.faults)
    }

    pub(super) fn string(&self, key: &'static str) -> Option<String> {
        self.text(key).map(|text| text.value.to_owned())
    }

    /// A text that must be there.
    pub(super) fn required(&self, key: &'static str) -> Option<String> {
        if self.value(key).is_none() {
            self.missing(key);
        }
        self.string(key)
    }

    pub(super) fn missing(&self, key: &'static str) {
        self.faults.push(Fault::at(self.span.clone(), format!("missing {} `{key}`", self.key_noun)));
    }

    pub(super) fn flag(&self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            _ => wrong_type(value, "true or false", self.faults),
        }
    }

    pub(super) fn integer(&self, key: &'static str) -> Option<i64> {
        let value = self.value(key)?;
        let digits = match value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        digits.or_else(|| wrong_type(value, "a whole number", self.faults))
    }

    /// A number of `noun` in this range.
    pub(super) fn integer_within(
        &self,
        key: &'static str,
        noun: &str,
        range: RangeInclusive<u32>,
    ) -> Option<u32> {
        let number = self.integer(key)?;
        let found = u32::try_from(number).ok().filter(|number| range.contains(number));
        if found.is_none() {
            let (least, most) = (range.start(), range.end());
            let fault = format!("`{key}` is a number of {noun}, {least} to {most}");
            self.faults.push(Fault::at(self.key_span(key), fault));
        }
        found
    }

    /// A text that `parse` understands; its error is the fault.
    pub(super) fn parsed<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(key)?;
        parse(text.value)
            .map_err(|why| self.faults.push(Fault::at(text.span, format!("`{key}`: {why}"))))
            .ok()
    }

    /// One text or a list of them that `T` understands; its error is the fault.
    pub(super) fn parsed_list<T: FromStr<Err = String>>(&self, key: &'static str) -> Option<Vec<T>> {
        let parse = |text: &Text<'_>| {
            let note = |why| self.faults.push(Fault::at(text.span.clone(), format!("`{key}`: {why}")));
            text.value.trim().parse().map_err(note).ok()
        };
        Some(self.texts(key)?.iter().filter_map(parse).collect())
    }

    /// A number, whole or not.
    pub(super) fn number(&self, key: &'static str) -> Option<f64> {
        let value = self.value(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok(),
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => None,
        };
        number
            .filter(|number: &f64| number.is_finite())
            .or_else(|| wrong_type(value, "a number", self.faults))
    }

    /// One text or a list of them.
    pub(super) fn texts(&self, key: &'static str) -> Option<Vec<Text<'t>>> {
        self.texts_of(self.value(key)?, key)
    }

    /// The same of a value whose key is known.
    pub(super) fn texts_of(&self, value: Value<'t>, key: &str) -> Option<Vec<Text<'t>>> {
        let texts: Vec<_> = match value.get_ref() {
            DeValue::Array(items) => items.iter().filter_map(|item| text(item, self.faults)).collect(),
            DeValue::String(_) => text(value, self.faults).into_iter().collect(),
            _ => return wrong_type(value, "a text or a list of texts", self.faults),
        };
        if texts.is_empty() {
            self.faults.push(Fault::at(value.span(), format!("`{key}` is an empty list")));
        }
        Some(texts)
    }

    pub(super) fn table(&self, key: &'static str, key_noun: &'static str) -> Option<Table<'t>> {
        Self::from_value(self.value(key)?, key_noun, self.faults)
    }

    /// A list of tables: `[[key]]`, or inline.
    pub(super) fn tables(&self, key: &'static str, key_noun: &'static str) -> Vec<Table<'t>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            wrong_type::<()>(value, "a list of tables", self.faults);
            return Vec::new();
        };
        items.iter().filter_map(|item| Self::from_value(item, key_noun, self.faults)).collect()
    }

    /// All keys and values, for a table whose keys are not ours to know.
    pub(super) fn entries(&self) -> impl Iterator<Item = (Text<'t>, Value<'t>)> {
        let entries = self.entries.iter();
        entries.map(|(name, value)| (Text { value: name.get_ref(), span: name.span() }, value))
    }

    /// The tables in a table whose keys are names of the operator's choice: `[key.name]`.
    pub(super) fn named_tables(
        &self,
        key: &'static str,
        key_noun: &'static str,
    ) -> Vec<(Text<'t>, Table<'t>)> {
        let Some(table) = self.table(key, key_noun) else { return Vec::new() };
        let named = table
            .entries()
            .filter_map(|(name, value)| Some((name, Self::from_value(value, key_noun, self.faults)?)));
        named.collect()
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        let known = self.known.into_inner();
        for key in self.entries.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            self.faults.note(Severity::Fault, || {
                let fault = Fault::at(key.span(), format!("unknown {} `{}`", self.key_noun, key.get_ref()))
                    .cure(format!("known here: {}", known.join(", ")));
                match did_you_mean(key.get_ref(), known.iter().copied()) {
                    Some(near) => fault.hint(format!("did you mean `{near}`?")),
                    None => fault,
                }
            });
        }
    }
}

/// A value that should be a text.
pub(super) fn text<'t>(value: Value<'t>, faults: &Faults<'_>) -> Option<Text<'t>> {
    match value.get_ref() {
        DeValue::String(text) => Some(Text { value: text, span: value.span() }),
        _ => wrong_type(value, "a text in quotes", faults),
    }
}

/// Notes that `value` is not what it should be.
pub(super) fn wrong_type<T>(value: Value<'_>, expected: &str, faults: &Faults<'_>) -> Option<T> {
    faults
        .push(Fault::at(value.span(), format!("expected {expected}, found {}", value.get_ref().type_str())));
    None
}

#[cfg(test)]
use std::collections::{BTreeMap, BTreeSet};

#[cfg(test)]
type Asked = BTreeMap<&'static str, BTreeSet<&'static str>>;

#[cfg(test)]
thread_local! {
    static ASKED: RefCell<Asked> = RefCell::default();
}

#[cfg(test)]
fn note_asked(noun: &'static str, key: &'static str) {
    ASKED.with_borrow_mut(|asked| asked.entry(noun).or_default().insert(key));
}

/// The keys that readers have asked for in this thread, by what they call them.
#[cfg(test)]
pub(super) fn asked_keys() -> Asked {
    ASKED.take()
}
