//! `include`: further files with rules.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use toml::de::DeTable;

use super::condition::Customs;
use super::fault::{Fault, IncludedText};
use super::load::{MAX_CONFIG, Stamp, others_may_write, permissions_warning};
use super::rule::Drafts;
use super::syntax;
use super::table::{Faults, Table, Text};
use crate::files::read_file;

/// Where included files come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Further<'k> {
    /// From where the config says.
    Disk,
    /// From a copy, whatever the config says.
    Kept(&'k [KeptFile]),
    /// They are left out, and so are their faults.
    Nowhere,
}

/// An included file as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptFile {
    /// As it was included, from the config's folder.
    pub(super) name: String,
    pub(super) text: String,
}

/// All that a config includes.
#[derive(Debug, Default, Clone)]
pub(super) struct Included {
    /// The files, in the order in which they were read.
    pub(super) files: Vec<KeptFile>,
    /// The files, and the folders in which another could appear, as they were before they were read.
    pub(super) seen: Vec<(PathBuf, Option<Stamp>)>,
}

/// More files than this are none that somebody wrote.
const MAX_FILES: usize = 1000;

impl Included {
    /// Reads what the config in `folder` includes, and its rules.
    pub(super) fn read(
        root: &Table<'_>,
        folder: &Path,
        further: Further<'_>,
        customs: &Customs,
        drafts: &mut Drafts<'_>,
    ) -> Self {
        let patterns = root.value("include").and_then(|_| root.texts("include")).unwrap_or_default();
        let mut included = Self::default();
        match further {
            Further::Nowhere => {}
            Further::Kept(files) => included.files = files.to_vec(),
            Further::Disk => {
                for pattern in &patterns {
                    included.find(pattern, folder, root.faults);
                }
            }
        }
        for file in &included.files {
            read_rules(file, folder, root.faults, customs, drafts);
        }
        included
    }

    /// Reads the files that a pattern names, and notes what to look at later.
    fn find(&mut self, pattern: &Text<'_>, folder: &Path, faults: &Faults<'_>) {
        let names = match names_of(pattern.value, folder) {
            Ok(Names { names, watched }) => {
                self.seen.extend(watched);
                names
            }
            Err(why) => {
                faults.push(Fault::at(pattern.span.clone(), format!("`{}`: {why}", pattern.value)));
                return;
            }
        };
        if names.is_empty() {
            let fault = Fault::at(pattern.span.clone(), format!("`{}` names no file", pattern.value));
            faults.push(fault.cure("paths start from the config's folder").warning());
        }
        let known: HashSet<String> = self.files.iter().map(|file| file.name.clone()).collect();
        for name in names {
            if known.contains(&name) {
                continue;
            }
            let path = folder.join(&name);
            if self.files.len() == MAX_FILES {
                faults.push(Fault::at(
                    pattern.span.clone(),
                    format!("more than {MAX_FILES} files are included"),
                ));
                return;
            }
            self.seen.push((path.clone(), Stamp::of(&path)));
            match read_text(&path, faults) {
                Ok(text) => self.files.push(KeptFile { name, text }),
                Err(fault) => faults.push(Fault { span: Some(pattern.span.clone()), ..fault }),
            }
        }
    }
}

/// The files that a pattern names, in the order of their names, and the folder in which more could appear.
struct Names {
    names: Vec<String>,
    watched: Option<(PathBuf, Option<Stamp>)>,
}

/// `*` stands for any letters of a file's name; all else for itself.
fn names_of(pattern: &str, folder: &Path) -> Result<Names, String> {
    let (inside, name) = pattern.rsplit_once('/').map_or(("", pattern), |(inside, name)| (inside, name));
    if inside.contains('*') {
        return Err("`*` stands for a part of a file's name, not of a folder's".to_owned());
    }
    if name.is_empty() {
        return Err("it names a folder; write for example \"rules/*.toml\"".to_owned());
    }
    if !name.contains('*') {
        return Ok(Names { names: vec![pattern.to_owned()], watched: None });
    }
    let searched = folder.join(inside);
    // Before it is read: what appears meanwhile is seen as a change.
    let stamp = Stamp::of(&searched);
    let entries = std::fs::read_dir(&searched).map_err(|error| format!("cannot read the folder: {error}"))?;
    let found = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> =
        found.filter(|found| !found.starts_with('.') && matches(name, found)).collect();
    names.sort_unstable();
    let full = |name: String| if pattern.contains('/') { format!("{inside}/{name}") } else { name };
    Ok(Names { names: names.into_iter().map(full).collect(), watched: Some((searched, stamp)) })
}

fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let (first, last) = (parts.next().unwrap_or_default(), parts.next_back().unwrap_or_default());
    let Some(mut rest) = name.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
        return false;
    };
    parts.all(|part| match rest.split_once(part) {
        Some((_, behind)) => {
            rest = behind;
            true
        }
        None => false,
    })
}

fn read_text(path: &Path, faults: &Faults<'_>) -> Result<String, Fault> {
    let shown = path.display();
    let (bytes, metadata) = read_file(path, MAX_CONFIG).map_err(|error| {
        Fault::of_file(format!("cannot read the included `{shown}`: {error}")).cure(
            "the user that the web server runs wxcgi as must be able to read it, and to enter its folder",
        )
    })?;
    if let Some(fault) = others_may_write(path, &metadata) {
        return Err(fault);
    }
    if faults.thorough
        && let Some(fault) = permissions_warning(path, &metadata, false)
    {
        faults.push(fault);
    }
    String::from_utf8(bytes)
        .map_err(|_| Fault::of_file(format!("the included `{shown}` is not UTF-8")).cure("save it as UTF-8"))
}

/// Reads the rules of one file; the faults say in which file they are.
fn read_rules(
    file: &KeptFile,
    folder: &Path,
    faults: &Faults<'_>,
    customs: &Customs,
    drafts: &mut Drafts<'_>,
) {
    let KeptFile { name, text } = file;
    let written = Arc::new(IncludedText { name: name.clone(), path: folder.join(name), text: text.clone() });
    let inner = faults.of_included(&written);
    if let Ok(document) = DeTable::parse(text) {
        read_document(document.get_ref(), text, &inner, customs, drafts);
        faults.absorb(inner.into_sorted());
        return;
    }
    let mended = syntax::mend(text);
    let (document, _) = DeTable::parse_recoverable(&mended.text);
    read_document(document.get_ref(), &mended.text, &inner, customs, &mut Drafts::new(drafts.tables));
    faults.absorb(
        mended.with_echoless(inner.into_sorted()).into_iter().map(|fault| fault.within(Some(&written))),
    );
}

fn read_document(
    document: &DeTable<'_>,
    text: &str,
    faults: &Faults<'_>,
    customs: &Customs,
    drafts: &mut Drafts<'_>,
) {
    let root = Table::new(document, 0..0, "table of an included file", faults);
    drafts.read(&root, text, customs);
    root.finish();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_letters() {
        for (pattern, name, expected) in [
            ("*.toml", "a.toml", true),
            ("*.toml", "a.toml~", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c", false),
            ("a*a", "a", false),
            ("*", "anything", true),
            ("**", "x", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
