//! Where the config and the state of a process lie.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::fault::{Fault, PlacedFault};
use super::last_good::LastGood;
use super::load::Unusable;
use super::state_file::StateFiles;

/// The environment variable, and the FastCGI parameter, that names a config file.
pub const CONFIG_VARIABLE: &str = "WXCGI_CONFIG";

/// Configs of the machine's own services.
const SYSTEM_CONFIGS: &str = "/etc/wxcgi";

/// The state folder of the machine's own services.
const SYSTEM_STATE: &str = "/var/lib/wxcgi";

/// How a config is come by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It was named.
    Named(PathBuf),
    /// In this order: the file that `WXCGI_CONFIG` names, `~/.config/wxcgi/<name>.toml`, `/etc/wxcgi/<name>.toml`;
    /// `<name>` is the file stem of the executable. The current folder is no such place: it is the choice of whoever
    /// started us.
    Searched,
}

impl Origin {
    /// The file: the one that was named, or the first that is there.
    ///
    /// # Errors
    ///
    /// If there is none: the places that were looked at.
    pub fn find(&self) -> Result<PathBuf, Unusable> {
        self.find_with(Path::exists)
    }

    /// The same; a file that is gone counts if the folder `state` has its last good copy.
    pub(super) fn find_for_service(&self, state: Option<&Path>) -> Result<PathBuf, Unusable> {
        self.find().or_else(|unusable| {
            let has_copy = |path: &Path| {
                state
                    .and_then(|state| StateFiles::of(path, state))
                    .is_some_and(|files| LastGood(files).exists())
            };
            self.find_with(has_copy).map_err(|_| unusable)
        })
    }

    fn find_with(&self, is_there: impl Fn(&Path) -> bool) -> Result<PathBuf, Unusable> {
        let named = match self {
            Self::Named(path) => Some(path.clone()),
            Self::Searched => variable(CONFIG_VARIABLE).map(PathBuf::from),
        };
        // Reading will tell whether a file that was named is there.
        if let Some(path) = named {
            return Ok(path);
        }
        let places = usual_places();
        match places.iter().find(|path| is_there(path)) {
            Some(path) => Ok(path.clone()),
            None => Err(nowhere(&places)),
        }
    }
}

fn nowhere(places: &[PathBuf]) -> Unusable {
    let looked = places.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let fault = Fault::of_file("there is no config").cure(format!(
        "looked for {looked}; write one with `wxcgi init config`, or name one in {CONFIG_VARIABLE}"
    ));
    Unusable(vec![PlacedFault::new("", "", &fault)])
}

fn usual_places() -> Vec<PathBuf> {
    let mut file = std::env::current_exe()
        .ok()
        .and_then(|exe| exe.file_stem().map(OsString::from))
        .unwrap_or_else(|| "wxcgi".into());
    file.push(".toml");
    let at_home = home().map(|home| home.join(".config/wxcgi").join(&file));
    at_home.into_iter().chain([Path::new(SYSTEM_CONFIGS).join(&file)]).collect()
}

/// Where state is kept: `WXCGI_STATE_DIR`, systemd's `STATE_DIRECTORY`, `/var/lib/wxcgi` if it is there for us to
/// write, `~/.local/state/wxcgi`.
#[must_use]
pub fn state_folder() -> Option<PathBuf> {
    if let Some(folder) = variable("WXCGI_STATE_DIR") {
        return Some(folder.into());
    }
    if let Some(folders) = variable("STATE_DIRECTORY") {
        return std::env::split_paths(&folders).next();
    }
    if is_ours(Path::new(SYSTEM_STATE)) {
        return Some(SYSTEM_STATE.into());
    }
    home().map(|home| home.join(".local/state/wxcgi"))
}

/// When the copy of a config was made that a service goes on with while the file itself does not check, if there is
/// one; also the machine's own service, which has a user of its own, is looked after.
#[must_use]
pub fn last_good_since(config: &Path) -> Option<SystemTime> {
    let mut folders = state_folder().into_iter().chain([SYSTEM_STATE.into()]);
    folders.find_map(|state| LastGood(StateFiles::of(config, &state)?).since())
}

/// Whether we may write a folder and what we make in it can be used by those whose folder it is: what root makes in
/// the folder of the web server's user, that user cannot enter.
fn is_ours(folder: &Path) -> bool {
    let user = rustix::process::geteuid();
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok()
        && (!user.is_root() || std::fs::metadata(folder).is_ok_and(|folder| folder.uid() == user.as_raw()))
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// `HOME`, or the home of our user in `/etc/passwd`: web servers and suexec clear the environment.
///
/// The file is read here: the C library would read `nsswitch.conf` first, and in a statically linked program it crashes
/// in the modules named there, unless it is linked as `.cargo/rustc-static` does.
fn home() -> Option<PathBuf> {
    let home = variable("HOME").map(PathBuf::from).or_else(|| {
        let passwd = std::fs::read("/etc/passwd").ok()?;
        home_in(&passwd, rustix::process::geteuid().as_raw())
    });
    home.filter(|home| home.is_absolute())
}

/// The home of a user in the text of a `passwd` file (passwd(5)): `name:password:uid:gid:gecos:home:shell`.
fn home_in(passwd: &[u8], uid: u32) -> Option<PathBuf> {
    let uid = uid.to_string();
    passwd.split(|&byte| byte == b'\n').find_map(|line| {
        let fields: Vec<&[u8]> = line.split(|&byte| byte == b':').collect();
        let home = fields.get(5).filter(|home| !home.is_empty())?;
        (fields.get(2) == Some(&uid.as_bytes())).then(|| OsString::from_vec(home.to_vec()).into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_found_by_the_number_of_its_user() {
        let passwd = b"root:x:0:0:root:/root:/bin/bash\nbroken\n# 33\nwww-data:x:33:33:www:/var/www:/usr/sbin/nologin\n\
            nohome:x:7:7:::/bin/sh\n";
        assert_eq!(home_in(passwd, 33), Some("/var/www".into()));
        assert_eq!(home_in(passwd, 0), Some("/root".into()));
        assert_eq!(home_in(passwd, 7), None);
        assert_eq!(home_in(passwd, 990), None);
        assert_eq!(home_in(b"", 0), None);
    }

    #[test]
    fn a_folder_that_root_may_write_is_not_yet_its_own() {
        let folder = tempfile::tempdir().unwrap();
        assert!(is_ours(folder.path()));
        assert!(!is_ours(&folder.path().join("missing")));
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(folder.path(), Some(4242), None).unwrap();
            assert!(!is_ours(folder.path()));
        }
    }

    #[test]
    fn what_is_named_is_not_looked_for() {
        let path = PathBuf::from("/nowhere/a.toml");
        assert_eq!(Origin::Named(path.clone()).find().ok(), Some(path));
    }
}
