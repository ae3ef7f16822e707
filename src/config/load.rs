//! Reads a config file, and looks at who else may.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::compiled::{Compilation, Found};
use super::fault::{Fault, PlacedFault, Severity};
use super::include::Further;
use super::last_good::LastGood;
use super::places::Origin;
use super::state_file::StateFiles;
use super::{Config, Thoroughness, compiled};
use crate::files::read_file;

/// A config larger than this is none, bytes.
pub(super) const MAX_CONFIG: u64 = 4 << 20;

/// A config that was read, and what an operator should know about it.
#[derive(Debug)]
pub struct Loaded {
    /// The config.
    pub config: Config,
    /// The version of its file that was read; `None` for a last good copy.
    pub stamp: Option<Stamp>,
    /// What works and should be better.
    pub warnings: Vec<PlacedFault>,
    /// Faults of the file, because of which its last good copy was taken instead; most often empty.
    pub faults: Vec<PlacedFault>,
    /// Whether no process has served this version of the file before, as far as the state folder can tell.
    pub is_new: bool,
    /// What is left to do for the processes to come, once this one has answered.
    pub to_compile: Option<Compilation>,
}

impl Loaded {
    fn new(config: Config, stamp: Option<Stamp>) -> Self {
        Self { config, stamp, warnings: Vec::new(), faults: Vec::new(), is_new: false, to_compile: None }
    }
}

/// Why there is no config: every fault of the file, warnings too.
#[derive(Debug)]
pub struct Unusable(pub Vec<PlacedFault>);

/// What tells one version of a file from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Seconds and nanoseconds; also a `chmod` counts, which may be the cure of a fault.
    changed: (i64, i64),
    size: u64,
    inode: u64,
}

impl Stamp {
    /// The stamp of the file as it lies there now; `None` if there is none.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|metadata| Self::from(&metadata))
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Self { changed, size: metadata.len(), inode: metadata.ino() }
    }
}

/// Reads and checks a config in full.
///
/// # Errors
///
/// If it cannot be read or does not check: every fault.
pub fn load(path: &Path) -> Result<Loaded, Unusable> {
    ConfigFile::open(path)?.parse(Thoroughness::Full)
}

/// How many requests a process serves with the config that it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// One, as under CGI: a compiled config does, and is made if there is none.
    OneRequest,
    /// Many, as under FastCGI: everything is compiled in memory.
    ManyRequests,
}

/// Finds a config and reads it for a process that serves: one that does not check is never taken, the last good one is.
/// The path is the one that was found, if any was.
pub fn open_for_service(
    origin: &Origin,
    state: Option<&Path>,
    service: Service,
) -> (Option<PathBuf>, Result<Loaded, Unusable>) {
    match origin.find_for_service(state) {
        Ok(path) => {
            let loaded = load_for_service(&path, state, service);
            (Some(path), loaded)
        }
        Err(unusable) => (None, Err(unusable)),
    }
}

/// Reads a config for a process that serves: one that does not check is not taken, its last good copy is. A process
/// that sees the same file again does not check it in full again. The copy lies in the folder `state`, if there is one.
///
/// # Errors
///
/// If it does not check and there is no good copy.
fn load_for_service(path: &Path, state: Option<&Path>, service: Service) -> Result<Loaded, Unusable> {
    let last_good = state.and_then(|state| StateFiles::of(path, state)).map(LastGood);
    let taken = ConfigFile::open(path).and_then(|file| match last_good.as_ref() {
        Some(copy) if service == Service::OneRequest => file.load_compiled(copy),
        copy => file.load_anew(copy, service),
    });
    taken.or_else(|unusable| {
        let Some(copy) = last_good.and_then(|copy| copy.read()) else { return Err(unusable) };
        let (folder, included) = (folder_of(path), Further::Kept(&copy.included));
        let (config, _) = Config::parse_with(&copy.text, folder, Thoroughness::CheckedBefore, included);
        let Some(config) = config else { return Err(unusable) };
        Ok(Loaded { faults: unusable.0, ..Loaded::new(config, None) })
    })
}

/// A config file as it was read.
struct ConfigFile<'p> {
    path: &'p Path,
    text: String,
    metadata: Metadata,
}

impl<'p> ConfigFile<'p> {
    fn open(path: &'p Path) -> Result<Self, Unusable> {
        let (text, metadata) = read_text(path)
            .map_err(|fault| Unusable(vec![PlacedFault::new(&path.display().to_string(), "", &fault)]))?;
        Ok(Self { path, text, metadata })
    }

    /// Takes what an earlier process compiled; else loads the config, to be compiled for the next process.
    fn load_compiled(self, copy: &LastGood) -> Result<Loaded, Unusable> {
        let folder = folder_of(self.path);
        let found = match others_may_write(self.path, &self.metadata) {
            None => compiled::find(&copy.0, &self.text, &self.metadata, folder),
            Some(_) => Found::Unfit,
        };
        if let Found::Config(config) = found {
            return Ok(Loaded::new(*config, Some(Stamp::from(&self.metadata))));
        }
        let loaded = self.load_anew(Some(copy), Service::OneRequest)?;
        // Without a copy there is no folder to write to.
        let is_wanted = matches!(found, Found::Nothing) && copy.is_of(&self.metadata);
        let (files, folder) = (copy.0.clone(), folder.to_owned());
        let to_compile = is_wanted.then(|| Compilation {
            files,
            text: self.text,
            metadata: self.metadata,
            folder,
            included: loaded.config.included.clone(),
        });
        Ok(Loaded { to_compile, ..loaded })
    }

    /// Parses it, and checks it in full if it is not the version that `last_good` is a copy of.
    ///
    /// A responder that reads a config with tables again may do so because a table has changed: it checks them in full.
    fn load_anew(&self, last_good: Option<&LastGood>, service: Service) -> Result<Loaded, Unusable> {
        if last_good.is_some_and(|copy| copy.is_of(&self.metadata)) {
            let loaded = self.parse(Thoroughness::CheckedBefore)?;
            let is_checked = service == Service::OneRequest || loaded.config.tables.is_empty();
            return if is_checked { Ok(loaded) } else { self.parse(Thoroughness::Full) };
        }
        let loaded = self.parse(Thoroughness::Full)?;
        let is_new =
            last_good.is_some_and(|copy| copy.keep(&self.text, &self.metadata, &loaded.config.included));
        Ok(Loaded { is_new, ..loaded })
    }

    fn parse(&self, thoroughness: Thoroughness) -> Result<Loaded, Unusable> {
        let mut faults: Vec<Fault> = others_may_write(self.path, &self.metadata).into_iter().collect();
        if thoroughness == Thoroughness::Full {
            if faults.is_empty() {
                faults.extend(permissions_warning(self.path, &self.metadata, false));
            }
            faults.extend(in_web_root(self.path));
        }
        let (config, found) = Config::parse(&self.text, folder_of(self.path), thoroughness);
        faults.extend(found);
        let refused = faults.iter().any(|fault| fault.severity == Severity::Fault);
        let placed = PlacedFault::all(&self.path.display().to_string(), &self.text, &faults);
        match config.filter(|_| !refused) {
            Some(config) => {
                let stamp = Some(Stamp::from(&self.metadata));
                Ok(Loaded { warnings: placed, ..Loaded::new(config, stamp) })
            }
            None => Err(Unusable(placed)),
        }
    }
}

/// The folder from which relative paths in a config start.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn read_text(path: &Path) -> Result<(String, Metadata), Fault> {
    let (bytes, metadata) = read_file(path, MAX_CONFIG).map_err(|error| {
        let fault = Fault::of_file(format!("cannot read the config: {error}"));
        match error.kind() {
            ErrorKind::PermissionDenied => fault.cure(
                "the user that the web server runs wxcgi as must be able to read it, and to enter its folder",
            ),
            ErrorKind::NotFound => fault.cure("`wxcgi init config` writes one to start with"),
            _ => fault.cure("a config is a file of its own, of some lines of TOML"),
        }
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = valid.filter(|&&byte| byte == b'\n').count() + 1;
        Fault::of_file(format!("the config is not UTF-8 (line {line})"))
            .cure("save it as UTF-8; editors on Windows may have written GBK")
    })?;
    Ok((text, metadata))
}

const OTHERS_WRITE: u32 = 0o002;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_READ: u32 = 0o004;

/// Others may write a file that we believe: a fault.
pub(super) fn others_may_write(path: &Path, metadata: &Metadata) -> Option<Fault> {
    let mode = metadata.permissions().mode();
    (mode & OTHERS_WRITE != 0).then(|| {
        let (file, mode) = (path.display(), mode & 0o7777);
        Fault::of_file(format!("everybody on this machine may write `{file}` (mode {mode:04o})"))
            .cure(format!("chmod 640 {}", path.display()))
    })
}

/// Others may read a file with secrets: a warning, because without suexec the web server's user must be able to.
pub(super) fn permissions_warning(path: &Path, metadata: &Metadata, is_secret: bool) -> Option<Fault> {
    let mode = metadata.permissions().mode();
    let what = if is_secret { "the secret" } else { "the config" };
    let who = match mode & (OTHERS_READ | GROUP_WRITES) {
        0 => return None,
        bits if bits & OTHERS_READ != 0 => "everybody on this machine may read",
        _ => "its whole group may write",
    };
    Some(
        Fault::of_file(format!("{who} {what} `{}` (mode {:04o})", path.display(), mode & 0o7777))
            .cure(format!(
                "chmod 600 {0} where wxcgi runs as you (suexec, a service of its own); else give it to the web \
                 server's group: chgrp www-data {0} && chmod 640 {0}",
                path.display()
            ))
            .warning(),
    )
}

/// A config below a web root can be downloaded when the web server is set up a little wrong.
fn in_web_root(path: &Path) -> Option<Fault> {
    lies_in_web_root(path).then(|| {
        Fault::of_file(
            "the config lies where the web server serves files from: its secrets could be downloaded",
        )
        .cure(
            "move it out, for example to ~/.config/wxcgi/, and name it in WXCGI_CONFIG; or deny `.toml` in \
                 .htaccess",
        )
        .warning()
    })
}

/// Whether a file, which may not be there yet, lies below the web root, or a folder that looks like one.
pub(super) fn lies_in_web_root(path: &Path) -> bool {
    const USUAL: [&str; 6] = ["public_html", "htdocs", "wwwroot", "httpdocs", "www", "html"];
    let full = std::fs::canonicalize(path).or_else(|_| std::fs::canonicalize(folder_of(path)));
    let full = full.unwrap_or_else(|_| path.to_owned());
    let served = std::env::var_os("DOCUMENT_ROOT")
        .filter(|root| root.len() > 1)
        .and_then(|root| std::fs::canonicalize(root).ok())
        .is_some_and(|root| full.starts_with(root));
    let looks_served = || full.iter().any(|part| USUAL.iter().any(|usual| part == *usual));
    served || looks_served()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[account]\ntoken = \"mytoken\"\n[default]\nreply = \"good\"\n";

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn messages(faults: &[PlacedFault]) -> String {
        faults.iter().map(PlacedFault::one_line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_config_that_breaks_goes_on_as_its_last_good_copy() {
        let folder = tempfile::tempdir().unwrap();
        let (path, state) = (folder.path().join("a.toml"), folder.path().join("state"));
        write(&path, "[account]", 0o600);
        assert!(load_for_service(&path, Some(&state), Service::ManyRequests).is_err());
        write(&path, GOOD, 0o600);
        assert!(load_for_service(&path, Some(&state), Service::ManyRequests).unwrap().faults.is_empty());
        for broken in ["[account]", "", "x"] {
            write(&path, broken, 0o600);
            let loaded = load_for_service(&path, Some(&state), Service::ManyRequests).unwrap();
            assert!(!loaded.faults.is_empty());
            assert_eq!(loaded.config.rules.iter().count(), 1);
            assert!(load_for_service(&path, None, Service::ManyRequests).is_err());
        }
        std::fs::remove_file(&path).unwrap();
        assert!(load_for_service(&path, Some(&state), Service::ManyRequests).is_ok());
    }

    #[test]
    fn the_copy_is_for_its_owner_only_and_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let (path, state) = (folder.path().join("a.toml"), folder.path().join("state"));
        write(&path, GOOD, 0o640);
        load_for_service(&path, Some(&state), Service::ManyRequests).unwrap();
        let copy = std::fs::read_dir(state.join("last-good")).unwrap().next().unwrap().unwrap().path();
        let (stamp, mode) =
            (Stamp::of(&copy), |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777);
        assert_eq!((mode(&copy), mode(&state)), (0o600, 0o700));
        load_for_service(&path, Some(&state), Service::ManyRequests).unwrap();
        assert_eq!(Stamp::of(&copy), stamp);
    }

    #[test]
    fn a_state_folder_that_cannot_be_written_takes_nothing_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        write(&path, GOOD, 0o600);
        // A file, where a folder would be needed.
        assert!(load_for_service(&path, Some(&path), Service::ManyRequests).is_ok());
    }

    #[test]
    fn who_may_write_or_read_a_config_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        for (mode, told) in [
            (0o600, ""),
            (0o640, ""),
            (0o660, "its whole group may write"),
            (0o644, "everybody on this machine may read"),
        ] {
            write(&path, GOOD, mode);
            let warnings = messages(&load(&path).unwrap().warnings);
            assert!(
                if told.is_empty() { warnings.is_empty() } else { warnings.contains(told) },
                "{warnings}"
            );
        }
        write(&path, GOOD, 0o602);
        let faults = load(&path).unwrap_err().0;
        assert!(messages(&faults).contains("everybody on this machine may write"), "{faults:?}");
    }

    #[test]
    fn a_config_among_served_files_is_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("public_html");
        std::fs::create_dir(&root).unwrap();
        write(&root.join("a.toml"), GOOD, 0o600);
        let warnings = messages(&load(&root.join("a.toml")).unwrap().warnings);
        assert!(warnings.contains("could be downloaded"), "{warnings}");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        let told = |path: &Path| messages(&load(path).unwrap_err().0);
        assert!(told(&path).contains("cannot read the config"));
        assert!(told(folder.path()).contains("not a regular file"));
        write(&path, "", 0o600);
        std::fs::write(&path, b"[account]\n# \xc4\xe3\n").unwrap();
        assert!(told(&path).contains("not UTF-8 (line 2)"), "{}", told(&path));
    }
}
