//! What rules name: `[table.NAME]`, files that templates look things up in, and the chatbots.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;

use super::chat::Profiles;
use super::fault::{Fault, IncludedText};
use super::load::others_may_write;
use super::table::{Faults, Table};
use crate::rules::{self, Tables, Zone};

/// The tables of a config, which of them its templates ask for, and what they ask of the session; its chatbots.
#[derive(Default)]
pub(super) struct Declared {
    pub(super) tables: Tables,
    pub(super) profiles: Profiles,
    places: Vec<(String, Range<usize>)>,
    used: RefCell<BTreeSet<String>>,
    session: RefCell<Vec<Asked>>,
}

/// A value of the session that something asks for.
pub(super) struct Asked {
    pub(super) value: String,
    pub(super) span: Range<usize>,
    pub(super) within: Option<Arc<IncludedText>>,
}

impl Declared {
    /// Reads all tables of the config; paths start from `folder`, days begin in `zone`.
    pub(super) fn read(root: &Table<'_>, folder: &Path, zone: &Zone) -> Self {
        let named = root.named_tables("table", "table key");
        let places = named.iter().map(|(name, table)| (name.value.to_owned(), table.span.clone())).collect();
        let tables =
            named.into_iter().filter_map(|(name, table)| Some((name.value.to_owned(), read(table, folder)?)));
        let profiles = Profiles::read(root, folder, zone);
        Self {
            tables: tables.collect(),
            profiles,
            places,
            used: RefCell::default(),
            session: RefCell::default(),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.places.iter().map(|(name, _)| name.as_str())
    }

    /// Notes that a template asks for the table `name`; without a name, for any.
    pub(super) fn note_use(&self, name: Option<&str>) {
        let mut used = self.used.borrow_mut();
        match name {
            Some(name) => drop(used.insert(name.to_owned())),
            None => used.extend(self.names().map(str::to_owned)),
        }
    }

    /// Notes that a template asks for a value of the session.
    pub(super) fn note_session(&self, value: &str, span: Range<usize>, within: Option<&Arc<IncludedText>>) {
        let asked = Asked { value: value.to_owned(), span, within: within.cloned() };
        self.session.borrow_mut().push(asked);
    }

    /// What templates ask of the session; told once.
    pub(super) fn take_session(&self) -> Vec<Asked> {
        self.session.take()
    }

    /// Warns of the tables that no template asks for.
    pub(super) fn warn_unused(&self, faults: &Faults<'_>) {
        self.profiles.warn_unused(faults);
        let used = self.used.borrow();
        for (name, span) in self.places.iter().filter(|(name, _)| faults.thorough && !used.contains(name)) {
            let fault = Fault::at(span.clone(), format!("no template uses the table `{name}`"));
            faults.push(
                fault
                    .cure(format!("look things up in it: {{{{ table.{name}[rest] }}}}; or leave it out"))
                    .warning(),
            );
        }
    }
}

fn read(table: Table<'_>, folder: &Path) -> Option<rules::Table> {
    let file = table.required("file").map(|file| folder.join(file));
    let key = table.string("key");
    let read = file.map(|file| {
        table.faults.note_file(&file);
        let span = table.value("file").map_or(table.span.clone(), Spanned::span);
        let read = rules::Table::new(file.clone(), key);
        if table.faults.thorough {
            check(&read, &file, span, table.faults);
        }
        read
    });
    table.finish();
    read
}

/// Reads the file, to see whether it is a table, and whether only its owner writes what users will read.
fn check(table: &rules::Table, file: &Path, span: Range<usize>, faults: &Faults<'_>) {
    let foreign = std::fs::metadata(file).ok().and_then(|metadata| others_may_write(file, &metadata));
    if let Some(fault) = foreign {
        faults.push(Fault { span: Some(span.clone()), ..fault });
    }
    match table.rows() {
        Err(why) => faults.push(Fault::at(span, why).cure(
            "a table is a .csv or .tsv with its columns' names on top, or a .json, in UTF-8, of at most 1 MiB, that \
             wxcgi's user may read; its path starts from the config's folder",
        )),
        Ok(rows) => {
            if let Some(key) = rows.repeated.first() {
                let others = match rows.repeated.len() - 1 {
                    0 => String::new(),
                    count => format!(", and {count} more like it"),
                };
                let message = format!("the key `{key}` stands there more than once{others}");
                faults.push(Fault::at(span, message).cure("the first row with a key counts").warning());
            }
        }
    }
}
