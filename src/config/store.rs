//! `[store]`: where is kept what all processes share.

use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fault::Fault;
use super::load::lies_in_web_root;
use super::server::duration_within;
use super::state_file::digest;
use super::table::Table;
use super::value;
use crate::files::read_file;
use crate::secret::Secret;
use crate::store::redis::{Address, Redis};
use crate::store::sqlite::{Journal, Sqlite};
use crate::store::{Store, StoreError};

/// `[store]`. Nothing is opened until it is needed.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    place: Place,
    /// As it stands in the config; it may have a password in it.
    url: Option<Secret>,
    journal: Journal,
    prefix: String,
    timeout: Option<Duration>,
}

#[derive(Debug, Clone)]
enum Place {
    /// A file of this config in the state folder.
    StateFolder,
    File(PathBuf),
    Redis(Address),
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            place: Place::StateFolder,
            url: None,
            journal: Journal::Wal,
            prefix: "wxcgi".into(),
            timeout: None,
        }
    }
}

/// The range of `timeout`: WeChat hangs up after 5 s.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(4);
/// For a file: processes wait for each other, most often for less than a millisecond each.
const FILE_TIMEOUT: Duration = Duration::from_secs(2);
/// For Redis: the way there, and each answer.
const REDIS_TIMEOUT: Duration = Duration::from_secs(1);
/// Certificates are no larger than this, bytes.
const MAX_CA: u64 = 1 << 20;

impl StoreSettings {
    /// The store of `account`, which [`account_in_store`] names. It is opened with the first call.
    ///
    /// # Errors
    ///
    /// If the config names no store and there is no state folder.
    pub fn open(&self, account: &str, state: Option<&Path>) -> Result<Box<dyn Store>, StoreError> {
        let path = match &self.place {
            Place::Redis(address) => {
                let timeout = self.timeout.unwrap_or(REDIS_TIMEOUT);
                return Ok(Box::new(Redis::new(address.clone(), timeout, &self.prefix, account)));
            }
            Place::File(path) => path.clone(),
            Place::StateFolder => {
                state.ok_or_else(no_state_folder)?.join(format!("{}.db", file_stem(account)))
            }
        };
        let timeout = self.timeout.unwrap_or(FILE_TIMEOUT);
        Ok(Box::new(Sqlite::new(path, self.journal, timeout, account)))
    }

    /// Where it is, for people; without a password.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.place {
            Place::StateFolder => "a file in the state folder".into(),
            Place::File(path) => format!("`{}`", path.display()),
            Place::Redis(address) => format!("`{address:?}`"),
        }
    }

    pub(super) fn has_same_secrets(&self, other: &Self) -> bool {
        self.url.as_ref().map(Secret::expose) == other.url.as_ref().map(Secret::expose)
    }

    pub(super) fn read(table: Option<Table<'_>>, folder: &Path) -> Self {
        let mut settings = Self::default();
        let Some(table) = table else { return settings };
        settings.url = value::secret(&table, "url", folder);
        let ca = read_ca(&table, folder);
        if let Some(url) = &settings.url {
            match place(url, ca.as_deref(), folder) {
                Ok(place) => settings.place = place,
                Err(fault) => table.faults.push(Fault { span: Some(table.value_span("url")), ..fault }),
            }
        }
        if let Some(journal) = table.parsed("journal", journal) {
            settings.journal = journal;
        }
        if let Some(prefix) = table.parsed("prefix", prefix) {
            settings.prefix = prefix;
        }
        settings.timeout = table.parsed("timeout", |text| {
            duration_within(text, &TIMEOUT).map_err(|why| format!("{why}; WeChat hangs up after 5 s"))
        });
        settings.warn(&table);
        table.finish();
        settings
    }

    /// What works and is not meant so.
    fn warn(&self, table: &Table<'_>) {
        if let Place::File(path) = &self.place
            && table.faults.thorough
            && lies_in_web_root(path)
        {
            let fault = Fault::at(
                table.value_span("url"),
                "the store lies where the web server serves files from: what users wrote could be downloaded",
            );
            table.faults.push(fault.cure("leave `url` out: then it lies in the state folder").warning());
        }
        let without_effect: &[&'static str] = match self.place {
            Place::Redis(_) => &["journal"],
            Place::StateFolder | Place::File(_) => &["prefix", "ca"],
        };
        for key in without_effect.iter().filter(|key| table.value(key).is_some()) {
            let fault = Fault::at(table.key_span(key), format!("`{key}` means nothing to this store"));
            table
                .faults
                .push(fault.cure("`journal` is for SQLite, `prefix` and `ca` are for Redis").warning());
        }
    }
}

/// What an account is called in its store: by its `AppID`, so that all hosts agree; else by where its config lies.
#[must_use]
pub fn account_in_store(app_id: Option<&str>, config: &Path) -> String {
    app_id.map_or_else(|| digest(config).unwrap_or_else(|| "account".into()), str::to_owned)
}

/// The account as part of a file name. AppIDs are letters and digits.
fn file_stem(account: &str) -> String {
    let is_plain = !account.is_empty() && account.chars().all(|letter| letter.is_ascii_alphanumeric());
    if is_plain { account.to_owned() } else { digest(Path::new(account)).unwrap_or_else(|| "account".into()) }
}

fn no_state_folder() -> StoreError {
    StoreError {
        place: "in the state folder".into(),
        cause: "has no place: there is no home directory; set WXCGI_STATE_DIR, or `url` in `[store]`".into(),
    }
}

fn place(url: &Secret, ca: Option<&[u8]>, folder: &Path) -> Result<Place, Fault> {
    if let Some(path) = url.expose().strip_prefix("sqlite:") {
        if path.is_empty() || path.ends_with('/') || path.starts_with("//") {
            return Err(Fault::of_file("`url` names no file").cure(
                "write \"sqlite:state.db\", relative to this config, or \"sqlite:/var/lib/wxcgi/state.db\"",
            ));
        }
        return Ok(Place::File(folder.join(path)));
    }
    if !Address::is_one(url.expose()) {
        return Err(Fault::of_file("`url` is none of a store").cure(
            "write \"sqlite:state.db\", \"redis://:PASSWORD@HOST:6379/0\", \"rediss://…\" for TLS, or \
             \"unix:///run/redis/redis.sock?db=0\"",
        ));
    }
    Address::parse(url, ca)
        .map(Place::Redis)
        .map_err(|why| Fault::of_file(format!("`url` {why}")).cure("redis://[USER]:PASSWORD@HOST:6379/0"))
}

fn read_ca(table: &Table<'_>, folder: &Path) -> Option<Vec<u8>> {
    let text = table.text("ca")?;
    let path = folder.join(text.value);
    table.faults.note_file(&path);
    let read = read_file(&path, MAX_CA).and_then(|(bytes, _)| {
        let has_one = bytes.windows(CERTIFICATE.len()).any(|part| part == CERTIFICATE);
        if has_one { Ok(bytes) } else { Err(io::Error::other("there are none in it")) }
    });
    read.map_err(|error| {
        let fault = format!("cannot read the certificates in `{}`: {error}", path.display());
        let cure = "give the path of a PEM file that wxcgi's user may read";
        table.faults.push(Fault::at(text.span, fault).cure(cure));
    })
    .ok()
}

/// What a certificate in a PEM file begins with.
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

fn journal(name: &str) -> Result<Journal, String> {
    match name {
        "wal" => Ok(Journal::Wal),
        "delete" => Ok(Journal::Delete),
        _ => Err(format!("`{name}` is no journal; there are wal, and delete for a home on the network")),
    }
}

/// What keys in Redis begin with. Braces would mean something there.
fn prefix(text: &str) -> Result<String, String> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-.:".contains(letter);
    if !(1..=64).contains(&text.len()) || !text.chars().all(is_plain) {
        return Err(format!("`{text}` is none; it has 1 to 64 letters, digits, `_`, `-`, `.` and `:`"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::fault::{PlacedFault, Severity};
    use super::super::{Config, Thoroughness};
    use super::*;

    /// What a config in `folder` with these lines below `[store]` comes to, and all that it is told.
    fn read(folder: &Path, lines: &str) -> (Option<StoreSettings>, String) {
        let text = format!("[account]\ntoken = \"mytoken\"\n[server]\n[store]\n{lines}\n");
        let (config, faults) = Config::parse(&text, folder, Thoroughness::Full);
        let faults = PlacedFault::all("f", &text, &faults);
        let told: Vec<_> = faults.iter().map(|fault| format!("{}\n{fault:?}", fault.one_line())).collect();
        assert!(config.is_some() || faults.iter().any(|fault| fault.severity == Severity::Fault));
        (config.map(|config| config.store), told.join("\n"))
    }

    fn good(lines: &str) -> StoreSettings {
        let (settings, told) = read(Path::new("/etc/wxcgi"), lines);
        assert_eq!(told, "");
        settings.unwrap()
    }

    #[test]
    fn the_default_is_a_file_of_the_account_in_the_state_folder() {
        let state = tempfile::tempdir().unwrap();
        let store = |account: &str, state: Option<&Path>| {
            good("").open(account, state).map(|store| format!("{store:?}"))
        };
        let place = state.path().display().to_string();
        let shop = store("wx1", Some(state.path())).unwrap();
        assert!(shop.contains(&format!("{place}/wx1.db")), "{shop}");
        assert!(shop.contains("timeout: 2s") && shop.contains("\"wx1\""), "{shop}");
        let odd = store("../wx1", Some(state.path())).unwrap();
        assert!(odd.contains(&place) && !odd.contains(&format!("{place}/..")), "{odd}");
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0, "nothing is opened");
        let error = store("wx1", None).unwrap_err().to_string();
        assert!(error.contains("set WXCGI_STATE_DIR"), "{error}");
    }

    #[test]
    fn every_place_can_be_named() {
        let shown = |lines| {
            let settings = good(lines);
            assert!(!settings.shown().contains("p4ss"), "{}", settings.shown());
            let store = settings.open("wx1", None).unwrap();
            format!("{store:?}")
        };
        assert!(shown("url = \"sqlite:state.db\"").contains("\"/etc/wxcgi/state.db\""));
        assert!(
            shown("url = \"sqlite:/var/a.db\"\njournal = \"delete\"\ntimeout = \"500ms\"")
                .contains("StoreFile { path: \"/var/a.db\", journal: Delete, timeout: 500ms }")
        );
        assert!(shown("url = \"redis://localhost\"").contains("redis://localhost:6379/0, timeout: 1s"));
        let redis = shown("url = \"rediss://me:p4ss@[::1]:7000/3\"\nprefix = \"shop\"\ntimeout = \"3s\"");
        assert!(
            redis.contains("rediss://[::1]:7000/3, timeout: 3s") && redis.contains("shop:{wx1}:"),
            "{redis}"
        );
        assert!(!redis.contains("p4ss") && !redis.contains("me:"), "{redis}");
        assert!(
            shown("url = \"unix:///run/redis.sock?db=2&pass=p4ss\"").contains("unix:///run/redis.sock?db=2")
        );
    }

    #[test]
    fn a_url_may_lie_in_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("redis"), "redis://:p4ss@db:6380/1\n").unwrap();
        let (settings, _) = read(folder.path(), "url = { file = \"redis\" }");
        assert_eq!(settings.unwrap().shown(), "`redis://db:6380/1`");
    }

    #[test]
    fn faults_have_their_place_and_no_password() {
        for (lines, told) in [
            ("url = \"state.db\"", "f:5:7: `url` is none of a store"),
            ("url = \"mysql://:p4ss@db\"", "is none of a store"),
            ("url = \"sqlite:\"", "names no file"),
            ("url = \"sqlite:///state.db\"", "names no file"),
            ("url = \"redis://:p4ss#word@db\"", "a `#` in a password is written `%23`"),
            ("url = \"redis://:p4ss@db/first\"", "Invalid database number"),
            ("url = \"rediss://db\"\nca = \"missing.pem\"", "f:6:6: cannot read the certificates"),
            ("journal = \"memory\"", "f:5:11: `journal`: `memory` is no journal"),
            ("url = \"redis://:p4ss@db\"\nprefix = \"a{b\"", "f:6:10: `prefix`: `a{b` is none"),
            ("timeout = \"5s\"", "it may be 50ms to 4s; WeChat hangs up after 5 s"),
            ("password = \"p4ss\"", "unknown store key `password`"),
        ] {
            let (settings, found) = read(Path::new("/nowhere"), lines);
            assert!(settings.is_none() && found.contains(told), "{lines}: {found}");
            assert!(!found.contains("p4ss"), "{found}");
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), "no certificate").unwrap();
        let (settings, found) = read(folder.path(), "url = \"rediss://db\"\nca = \"ca.pem\"");
        assert!(settings.is_none() && found.contains("there are none in it"), "{found}");
    }

    #[test]
    fn what_works_and_is_not_meant_so_is_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        let served = folder.path().join("public_html");
        fs::create_dir(&served).unwrap();
        for (folder, lines, told) in [
            (
                &*served,
                "url = \"sqlite:state.db\"",
                "f:5:7: warning: the store lies where the web server serves",
            ),
            (folder.path(), "prefix = \"a\"", "`prefix` means nothing to this store"),
            (
                folder.path(),
                "url = \"redis://db\"\njournal = \"wal\"",
                "`journal` means nothing to this store",
            ),
        ] {
            let (settings, found) = read(folder, lines);
            assert!(settings.is_some() && found.contains(told), "{lines}: {found}");
        }
    }

    #[test]
    fn accounts_are_called_alike_on_all_hosts() {
        assert_eq!(account_in_store(Some("wx1"), Path::new("/etc/a.toml")), "wx1");
        let (a, b) =
            (account_in_store(None, Path::new("/etc/a.toml")), account_in_store(None, Path::new("/b")));
        assert!(a != b && a.len() == 12, "{a} {b}");
    }
}
