//! A config that checked, in a form that a CGI process has ready in no time: the rules as bytes, and where in the
//! config's own text everything else stands, which is short.
//!
//! It lies beside the last good copy and is made anew, behind an answer, whenever the config, its rights or the build
//! of wxcgi differ. Nobody has to know of it: without it everything is the same, a little later. Only rules are believed
//! to it, and only if nobody else could have written it.

use std::fs::Metadata;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue};
use xxhash_rust::xxh3::xxh3_64;

use super::include::{Further, Included};
use super::last_good;
use super::load::Stamp;
use super::state_file::StateFiles;
use super::{Config, Thoroughness, fault};
use crate::rules::Rules;

/// The ending of the file: what one build writes, no other reads.
const ENDING: &str = concat!(env!("WXCGI_BUILD"), ".compiled");

/// More is not written, bytes.
const MAX_COMPILED: u64 = 16 << 20;

/// What the bytes begin with; the rules follow it.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    stamp: Stamp,
    /// Of the config's text.
    checksum: u64,
    /// Included files and their folders, as they were.
    seen: Vec<(PathBuf, Option<Stamp>)>,
    /// Where the config's text has no rules; `None` if they cannot be told apart.
    rest: Option<Vec<Range<usize>>>,
}

/// What became of a compiled config.
#[derive(Debug)]
pub(super) enum Found {
    /// It serves.
    Config(Box<Config>),
    /// There is none of this version of the config: one should be made.
    Nothing,
    /// This config cannot be compiled, or not be read now: it has to be parsed.
    Unfit,
}

/// Compiles a config for the processes to come. It takes as long as the config is large: nobody should wait for it.
#[derive(Debug)]
pub struct Compilation {
    pub(super) files: StateFiles,
    pub(super) text: String,
    pub(super) metadata: Metadata,
    pub(super) folder: PathBuf,
    pub(super) included: Included,
}

impl Compilation {
    /// Does it. Where it fails, all stays as it is.
    pub fn run(self) {
        let Self { files, text, metadata, folder, included } = self;
        // What was checked, and not what lies there by now.
        let kept = Further::Kept(&included.files);
        let (Some(mut config), _) = Config::parse_with(&text, &folder, Thoroughness::CheckedBefore, kept)
        else {
            return;
        };
        config.included = included;
        let Some(bytes) = compile(&config, &text, &metadata, &folder) else { return };
        let modified = metadata.modified().unwrap_or(std::time::UNIX_EPOCH);
        match files.write(ENDING, &bytes, modified) {
            Ok(()) => files.prune(&[ENDING, last_good::ENDING]),
            Err(error) => {
                let path = files.path(ENDING);
                log::warn!(target: "config", "cannot keep the config compiled in `{}`: {error}", path.display());
            }
        }
    }
}

/// The compiled config that is kept, if it was made of this `text`.
pub(super) fn find(files: &StateFiles, text: &str, metadata: &Metadata, folder: &Path) -> Found {
    files.read(ENDING, MAX_COMPILED).map_or(Found::Nothing, |bytes| read(bytes, text, metadata, folder))
}

const CHECKSUM_BYTES: usize = size_of::<u64>();

/// Makes the bytes of a config that was read from `text`; `None` if that would have to be done again anyway.
fn compile(config: &Config, text: &str, metadata: &Metadata, folder: &Path) -> Option<Vec<u8>> {
    let rest = without_rules(text);
    let parsed = rest.as_ref().and_then(|rest| parse(&joined(rest, text)?, folder));
    // A secret in a file may just be changing.
    if parsed.as_ref().is_some_and(|parsed| !parsed.has_same_secrets(config)) {
        return None;
    }
    let is_rest = |parsed: Config| parsed.rules.is_empty() && parsed.has_same_settings(config);
    let header = Header {
        stamp: Stamp::from(metadata),
        checksum: checksum(text.as_bytes()),
        seen: config.included.seen.clone(),
        rest: rest.filter(|_| parsed.is_some_and(is_rest)),
    };
    let mut bytes = postcard::to_extend(&header, vec![0; CHECKSUM_BYTES]).ok()?;
    if header.rest.is_some() {
        bytes.extend(config.rules.to_bytes().ok()?);
    }
    let (place, content) = bytes.split_first_chunk_mut::<CHECKSUM_BYTES>()?;
    *place = checksum(content).to_le_bytes();
    u64::try_from(bytes.len()).is_ok_and(|size| size <= MAX_COMPILED).then_some(bytes)
}

/// The config that `bytes` were made of, if that was this `text`.
fn read(bytes: Vec<u8>, text: &str, metadata: &Metadata, folder: &Path) -> Found {
    let Some((header, start)) = header(&bytes).filter(|(header, _)| header.is_of(text, metadata)) else {
        return Found::Nothing;
    };
    let parsed = header.rest.and_then(|rest| parse(&joined(&rest, text)?, folder));
    match (parsed, Rules::from_bytes(bytes, start)) {
        (Some(config), Ok(rules)) => Found::Config(Box::new(Config { rules, ..config })),
        _ => Found::Unfit,
    }
}

/// The header of whole bytes, and where they go on.
fn header(bytes: &[u8]) -> Option<(Header, usize)> {
    let (sum, content) = bytes.split_first_chunk()?;
    if u64::from_le_bytes(*sum) != checksum(content) {
        return None;
    }
    let (header, rules) = postcard::take_from_bytes(content).ok()?;
    Some((header, bytes.len() - rules.len()))
}

impl Header {
    fn is_of(&self, text: &str, metadata: &Metadata) -> bool {
        self.stamp == Stamp::from(metadata)
            && self.checksum == checksum(text.as_bytes())
            && self.seen.iter().all(|(path, stamp)| Stamp::of(path) == *stamp)
    }
}

/// Tells versions and damage apart, not forgeries: those are told by who could have written the file.
fn checksum(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// The config of a text that was checked before and holds no rules, if it has no faults.
fn parse(text: &str, folder: &Path) -> Option<Config> {
    let (config, faults) = Config::parse_with(text, folder, Thoroughness::CheckedBefore, Further::Nowhere);
    config.filter(|_| faults.iter().all(|fault| fault.severity == fault::Severity::Warning))
}

fn joined(ranges: &[Range<usize>], text: &str) -> Option<String> {
    ranges.iter().map(|range| text.get(range.clone())).collect()
}

/// The tables that hold rules, and the menu: no request needs it.
const RULE_TABLES: [&str; 7] = ["rule", "step", "default", "welcome", "unfollow", "blocked", "menu"];

/// Where a text is not part of the tables of the rules: each of those ends where the next table begins that is not part
/// of one. `None` if the text is no TOML. Where rules are not written as tables this gives nonsense, which shows when
/// it is parsed.
fn without_rules(text: &str) -> Option<Vec<Range<usize>>> {
    let document = DeTable::parse(text).ok()?;
    let mut headers = Vec::new();
    for (key, value) in document.get_ref() {
        let is_rule = RULE_TABLES.contains(&key.get_ref().as_ref());
        note_headers(value.get_ref(), value.span(), is_rule, &mut headers);
    }
    headers.sort_by_key(|(span, _)| span.start);
    let mut rest: Vec<Range<usize>> = Vec::new();
    let (mut from, mut is_rule) = (0, false);
    for (start, begins_rule) in
        headers.iter().map(|(span, is_rule)| (span.start, *is_rule)).chain([(text.len(), true)])
    {
        if begins_rule != is_rule {
            if begins_rule {
                rest.push(from..start);
            }
            (from, is_rule) = (start, begins_rule);
        }
    }
    Some(rest)
}

/// Notes where tables stand, those inside others too.
fn note_headers(
    value: &DeValue<'_>,
    span: Range<usize>,
    is_rule: bool,
    headers: &mut Vec<(Range<usize>, bool)>,
) {
    match value {
        DeValue::Table(table) => {
            headers.push((span, is_rule));
            for (_, value) in table {
                note_headers(value.get_ref(), value.span(), is_rule, headers);
            }
        }
        DeValue::Array(items) => {
            items.iter().for_each(|item| note_headers(item.get_ref(), item.span(), is_rule, headers));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    const ACCOUNT: &str = "[account]\ntoken = \"mytoken\"\n";

    /// A config as a file, with what it says and what was compiled of it.
    struct Compiled {
        folder: tempfile::TempDir,
        text: String,
        config: Config,
        bytes: Vec<u8>,
    }

    fn compiled(text: &str) -> Compiled {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.toml"), text).unwrap();
        fs::write(folder.path().join("a.csv"), "name,price\na,1\n").unwrap();
        let (config, faults) = Config::parse(text, folder.path(), Thoroughness::Full);
        let config = config.unwrap_or_else(|| panic!("{faults:?}"));
        let mut compiled = Compiled { folder, text: text.to_owned(), config, bytes: Vec::new() };
        compiled.bytes =
            compile(&compiled.config, text, &compiled.metadata(), compiled.folder.path()).unwrap();
        compiled
    }

    impl Compiled {
        fn metadata(&self) -> Metadata {
            fs::metadata(self.folder.path().join("a.toml")).unwrap()
        }

        fn read(&self) -> Found {
            read(self.bytes.clone(), &self.text, &self.metadata(), self.folder.path())
        }

        /// What is read says the same as the config itself.
        fn assert_same(&self) {
            let found = self.read();
            let Found::Config(found) = found else { panic!("{found:?}: {}", self.text) };
            assert!(found.has_same_settings(&self.config));
            assert_eq!(rules(&found), rules(&self.config), "{}", self.text);
        }
    }

    fn rules(config: &Config) -> String {
        let rules: Vec<_> = config.rules.iter().collect();
        format!("{rules:?} {:?}", config.rules.blocked())
    }

    #[test]
    fn all_examples_say_the_same_when_compiled() {
        let examples = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/examples"));
        let examples = fs::read_dir(examples).unwrap().map(|entry| entry.unwrap().path());
        let texts = examples.filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
        let texts: Vec<_> = texts.map(|path| fs::read_to_string(path).unwrap()).collect();
        assert!(!texts.is_empty());
        texts.iter().map(String::as_str).chain([crate::config::SAMPLE]).for_each(|text| {
            compiled(text).assert_same();
        });
    }

    #[test]
    fn rules_are_taken_out_however_they_are_written() {
        for rules in [
            "",
            "[default]\nreply = \"d\"\n[log]\nlevel = \"warn\"\n",
            "[[rule]]\nwhen.text = \"a\"\nreply = \"b\"\n[server]\nmax_body = \"1KiB\"\n[[rule]]\nreply = \"d\"\n\
                [rule.when]\ntext = [\"c\", \"e\"]\n[log]\nlevel = \"warn\"\n",
            "[[rule]]\nwhen = { text = \"a\" }\nreply = \"\"\"\n[server]\n[[rule]]\n\"\"\"\n[log]\n",
            "[[rule]]\nwhen.regex = '^\\d+$'\nreply.news = [{ title = \"t\", url = \"https://a.example/\" }]\n\
                [[rule]]\nwhen.text = \"b\"\n[[rule.reply.news]]\ntitle = \"t\"\nurl = \"https://a.example/\"\n",
            "[table.a]\nfile = \"a.csv\"\n[[rule]]\nwhen.event = \"CLICK\"\nhelp = \"h\"\nreply = [\"a\", { random = [\"b\", \
                { weight = 2, round_robin = [\"{{ table.a[openid].price }}\"] }] }]\n[log]\nlevel = \"warn\"\n",
            "[[rule]]\nwhen.event = \"CLICK\"\n[[rule.reply.random]]\ntext = \"b\"\n[table.a]\nfile = \"a.csv\"\nkey = \"name\"\n",
            "[store]\nurl = \"redis://:p4ss@db/1\"\n[default]\nreply = \"b\"\n[log]\nlevel = \"warn\"\n",
            "[[rule]] # one\npriority = 1\nwhen.text = \"a\"\nreply = \"{{ message.content | upper }}\"\n # [server]\n",
        ] {
            compiled(&format!("{ACCOUNT}{rules}")).assert_same();
            compiled(&format!("{rules}{ACCOUNT}")).assert_same();
        }
    }

    #[test]
    fn rules_that_are_no_tables_are_left_to_the_parser() {
        let inline = "rule = [{ when = { text = \"a\" }, reply = \"b\" }]\ndefault.reply = \"d\"\n";
        let compiled = compiled(&format!("{inline}{ACCOUNT}"));
        assert!(matches!(compiled.read(), Found::Unfit), "{:?}", compiled.read());
    }

    #[test]
    fn another_version_and_other_rights_want_another() {
        let mut compiled = compiled(&format!("{ACCOUNT}[default]\nreply = \"a\"\n"));
        compiled.assert_same();
        compiled.text = compiled.text.replace("\"a\"", "\"b\"");
        assert!(matches!(compiled.read(), Found::Nothing));
        compiled.text = compiled.text.replace("\"b\"", "\"a\"");
        compiled.assert_same();
        // Written anew with the same bytes it has another time.
        let path = compiled.folder.path().join("b.toml");
        fs::write(&path, &compiled.text).unwrap();
        fs::rename(path, compiled.folder.path().join("a.toml")).unwrap();
        assert!(matches!(compiled.read(), Found::Nothing));
    }

    #[test]
    fn damage_is_seen_wherever_it_is() {
        let mut compiled = compiled(&format!("{ACCOUNT}[[rule]]\nwhen.text = \"a\"\nreply = \"b\"\n"));
        for place in 0..compiled.bytes.len() {
            compiled.bytes[place] ^= 0x10;
            assert!(matches!(compiled.read(), Found::Nothing), "byte {place}");
            compiled.bytes[place] ^= 0x10;
        }
        let whole = compiled.bytes.clone();
        for length in 0..whole.len() {
            compiled.bytes.truncate(whole.len() - 1 - length);
            assert!(matches!(compiled.read(), Found::Nothing));
        }
    }

    #[test]
    fn a_secret_that_changes_meanwhile_is_no_reason_to_give_up() {
        let compiled = compiled(&format!("{ACCOUNT}[default]\nreply = \"a\"\n"));
        let other = compiled.text.replace("mytoken", "another");
        let (other, _) = Config::parse(&other, compiled.folder.path(), Thoroughness::Full);
        let bytes = compile(&other.unwrap(), &compiled.text, &compiled.metadata(), compiled.folder.path());
        assert_eq!(bytes, None);
    }

    #[test]
    fn only_rules_are_taken_from_the_compiled_file() {
        let compiled = compiled(&format!(
            "{ACCOUNT}[store]\nurl = \"redis://:p4ss@db\"\n[[rule]]\nwhen.text = \"question\"\nreply = \"answer\"\n"
        ));
        let bytes = &compiled.bytes;
        let holds = |word: &str| bytes.windows(word.len()).any(|bytes| bytes == word.as_bytes());
        assert!(
            holds("question") && holds("answer") && !holds("mytoken") && !holds("account") && !holds("p4ss")
        );
    }

    #[test]
    fn a_secret_of_a_file_is_read_anew_and_missed() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("token");
        fs::write(&secret, "first").unwrap();
        let config = format!(
            "[account]\ntoken = {{ file = {:?} }}\n[default]\nreply = \"a\"\n",
            secret.display().to_string()
        );
        let compiled = compiled(&config);
        assert!(!compiled.bytes.windows(5).any(|bytes| bytes == b"first"));
        fs::write(&secret, "second").unwrap();
        let Found::Config(found) = compiled.read() else { panic!("not found") };
        assert_eq!(found.account.token.expose(), "second");
        fs::remove_file(&secret).unwrap();
        assert!(matches!(compiled.read(), Found::Unfit));
    }
}
