//! Finds a config file, reads it, and looks at who else may.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::fault::{Fault, PlacedFault, Severity};
use super::last_good::LastGood;
use super::{Config, Thoroughness};

/// The environment variable, and the FastCGI parameter, that names a config file.
pub const CONFIG_VARIABLE: &str = "WXCGI_CONFIG";

/// A config larger than this is none, bytes.
const MAX_CONFIG: u64 = 16 << 20;

/// A config that was read, and what an operator should know about it.
#[derive(Debug)]
pub struct Loaded {
    /// The config.
    pub config: Config,
    /// What works and should be better.
    pub warnings: Vec<PlacedFault>,
    /// Faults of the file, because of which its last good copy was taken instead; most often empty.
    pub faults: Vec<PlacedFault>,
}

/// Why there is no config: every fault of the file, warnings too.
#[derive(Debug)]
pub struct Unusable(pub Vec<PlacedFault>);

/// What tells one version of a file from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    modified: SystemTime,
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
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Self { modified, size: metadata.len(), inode: metadata.ino() }
    }
}

/// Where a web server's process looks for its config, in this order: `WXCGI_CONFIG`, `~/.config/wxcgi/<name>.toml`,
/// `/etc/wxcgi/<name>.toml`; `<name>` is the file stem of the executable. The current folder is no such place: it is
/// the web server's choice.
#[must_use]
pub fn search_path() -> Vec<PathBuf> {
    if let Some(path) = named() {
        return vec![path];
    }
    let mut file = std::env::current_exe()
        .ok()
        .and_then(|exe| exe.file_stem().map(OsString::from))
        .unwrap_or_else(|| "wxcgi".into());
    file.push(".toml");
    // Without HOME this asks the passwd entry: suexec clears the environment.
    let home = std::env::home_dir().map(|home| home.join(".config/wxcgi").join(&file));
    home.into_iter().chain([Path::new("/etc/wxcgi").join(&file)]).collect()
}

/// The file that `WXCGI_CONFIG` names.
fn named() -> Option<PathBuf> {
    std::env::var_os(CONFIG_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The first of [`search_path`] that exists; what `WXCGI_CONFIG` names even if it does not, because there may be a
/// last good copy of it.
///
/// # Errors
///
/// If none does: the places that were looked at.
pub fn find() -> Result<PathBuf, Unusable> {
    if let Some(path) = named() {
        return Ok(path);
    }
    let places = search_path();
    if let Some(path) = places.iter().find(|path| path.exists()) {
        return Ok(path.clone());
    }
    let looked = places.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let fault = Fault::of_file("there is no config").cure(format!(
        "looked for {looked}; write one with `wxcgi init config`, or name one in {CONFIG_VARIABLE}"
    ));
    Err(Unusable(vec![PlacedFault::new("", "", &fault)]))
}

/// Reads and checks a config in full.
///
/// # Errors
///
/// If it cannot be read or does not check: every fault.
pub fn load(path: &Path) -> Result<Loaded, Unusable> {
    read(path, |_, _| Thoroughness::Full).map(|(loaded, ..)| loaded)
}

/// Reads a config for a process that serves: one that does not check is not taken, its last good copy is. A process
/// that sees the same file again does not check it in full again. The copy lies in the folder `state`, if there is one.
///
/// # Errors
///
/// If it does not check and there is no good copy.
pub fn load_for_service(path: &Path, state: Option<&Path>) -> Result<Loaded, Unusable> {
    let last_good = state.and_then(|state| LastGood::of(path, state));
    let seen = |metadata: &Metadata| last_good.as_ref().is_some_and(|copy| copy.is_of(metadata));
    let how = |metadata: &Metadata, _: &str| {
        if seen(metadata) { Thoroughness::CheckedBefore } else { Thoroughness::Full }
    };
    match read(path, how) {
        Ok((loaded, text, metadata)) => {
            if let Some(copy) = last_good.filter(|copy| !copy.is_of(&metadata)) {
                copy.keep(&text, &metadata);
            }
            Ok(loaded)
        }
        Err(unusable) => {
            let Some(text) = last_good.and_then(|copy| copy.text()) else { return Err(unusable) };
            let (config, _) = Config::parse(&text, folder_of(path), Thoroughness::CheckedBefore);
            match config {
                Some(config) => Ok(Loaded { config, warnings: Vec::new(), faults: unusable.0 }),
                None => Err(unusable),
            }
        }
    }
}

/// Reads a config and parses it as thoroughly as `how` says.
fn read(
    path: &Path,
    how: impl FnOnce(&Metadata, &str) -> Thoroughness,
) -> Result<(Loaded, String, Metadata), Unusable> {
    let name = path.display().to_string();
    let unusable = |fault: Fault| Unusable(vec![PlacedFault::new(&name, "", &fault)]);
    let (text, metadata) = read_text(path).map_err(unusable)?;
    let thoroughness = how(&metadata, &text);
    let mut faults: Vec<Fault> = others_may_write(path, &metadata).into_iter().collect();
    if thoroughness == Thoroughness::Full {
        faults.extend(permissions_warning(path, &metadata, false));
        faults.extend(in_web_root(path));
    }
    let (config, found) = Config::parse(&text, folder_of(path), thoroughness);
    faults.extend(found);
    let refused = faults.iter().any(|fault| fault.severity == Severity::Fault);
    let placed = faults.iter().map(|fault| PlacedFault::new(&name, &text, fault)).collect();
    match config.filter(|_| !refused) {
        Some(config) => Ok((Loaded { config, warnings: placed, faults: Vec::new() }, text, metadata)),
        None => Err(Unusable(placed)),
    }
}

/// The folder from which relative paths in a config start.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn read_text(path: &Path) -> Result<(String, Metadata), Fault> {
    let cannot = |error: std::io::Error| {
        Fault::of_file(format!("cannot read the config: {error}"))
            .cure("the user that the web server runs wxcgi as must be able to read it")
    };
    let mut file = File::open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if metadata.len() > MAX_CONFIG || !metadata.is_file() {
        return Err(Fault::of_file("the config is not a file of reasonable size"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1);
    file.read_to_end(&mut bytes).map_err(cannot)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes().iter().take(error.utf8_error().valid_up_to()).filter(|&&b| b == b'\n').count();
        Fault::of_file(format!("the config is not UTF-8 (line {})", line + 1))
            .cure("save it as UTF-8; editors on Windows may have written GBK")
    })?;
    Ok((text, metadata))
}

const OTHERS_WRITE: u32 = 0o002;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_READ: u32 = 0o004;

fn others_may_write(path: &Path, metadata: &Metadata) -> Option<Fault> {
    let mode = metadata.permissions().mode();
    (mode & OTHERS_WRITE != 0).then(|| {
        Fault::of_file(format!("everybody on this machine may write the config (mode {:04o})", mode & 0o7777))
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
    const USUAL: [&str; 6] = ["public_html", "htdocs", "wwwroot", "httpdocs", "www", "html"];
    let full = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let served = std::env::var_os("DOCUMENT_ROOT")
        .filter(|root| root.len() > 1)
        .and_then(|root| std::fs::canonicalize(root).ok())
        .is_some_and(|root| full.starts_with(root));
    let looks_served = || full.iter().any(|part| USUAL.iter().any(|usual| part == *usual));
    (served || looks_served()).then(|| {
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
        assert!(load_for_service(&path, Some(&state)).is_err());
        write(&path, GOOD, 0o600);
        assert!(load_for_service(&path, Some(&state)).unwrap().faults.is_empty());
        for broken in ["[account]", "", "x"] {
            write(&path, broken, 0o600);
            let loaded = load_for_service(&path, Some(&state)).unwrap();
            assert!(!loaded.faults.is_empty());
            assert!(loaded.config.rules.default_rule().is_some());
            assert!(load_for_service(&path, None).is_err());
        }
        std::fs::remove_file(&path).unwrap();
        assert!(load_for_service(&path, Some(&state)).is_ok());
    }

    #[test]
    fn the_copy_is_for_its_owner_only_and_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let (path, state) = (folder.path().join("a.toml"), folder.path().join("state"));
        write(&path, GOOD, 0o640);
        load_for_service(&path, Some(&state)).unwrap();
        let copy = std::fs::read_dir(state.join("last-good")).unwrap().next().unwrap().unwrap().path();
        let (stamp, mode) =
            (Stamp::of(&copy), |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777);
        assert_eq!((mode(&copy), mode(&state)), (0o600, 0o700));
        load_for_service(&path, Some(&state)).unwrap();
        assert_eq!(Stamp::of(&copy), stamp);
    }

    #[test]
    fn a_state_folder_that_cannot_be_written_takes_nothing_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        write(&path, GOOD, 0o600);
        // A file, where a folder would be needed.
        assert!(load_for_service(&path, Some(&path)).is_ok());
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
        assert!(told(folder.path()).contains("not a file of reasonable size"));
        write(&path, "", 0o600);
        std::fs::write(&path, b"[account]\n# \xc4\xe3\n").unwrap();
        assert!(told(&path).contains("not UTF-8 (line 2)"), "{}", told(&path));
    }
}
