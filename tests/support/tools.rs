//! The programs that the tests need: ours, the web servers, Python. A missing one fails the test that needs it, unless
//! `WXCGI_TESTS_WITHOUT` names it (`WXCGI_TESTS_WITHOUT=lighttpd,wechatpy`).

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folder of this repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program under test: `WXCGI_BIN`, or the release profile, built once.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match env::var_os("WXCGI_BIN") {
        Some(path) => fs::canonicalize(&path).unwrap_or_else(|e| panic!("WXCGI_BIN={}: {e}", path.display())),
        None => build_release(),
    })
}

fn build_release() -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target folder");
    let built = Command::new(cargo)
        .args(["build", "--release", "--bin", "wxcgi", "--target-dir"])
        .arg(target)
        .current_dir(repository())
        .status()
        .expect("cargo runs");
    assert!(built.success(), "cargo build --release: {built}");
    target.join("release/wxcgi")
}

/// Whether the tests that need `tool` shall run: `false` only if `WXCGI_TESTS_WITHOUT` names it.
pub(crate) fn available(tool: &str) -> bool {
    let without = env::var("WXCGI_TESTS_WITHOUT").unwrap_or_default();
    let skipped = without.split([',', ' ']).any(|name| name == tool);
    if skipped {
        eprintln!("skipped, because WXCGI_TESTS_WITHOUT names it: {tool}");
    }
    !skipped
}

/// Where the program `tool` lies.
///
/// # Panics
///
/// If it is not installed.
#[track_caller]
pub(crate) fn need(tool: &str) -> PathBuf {
    let mut folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    folders.extend(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from));
    folders
        .into_iter()
        .map(|folder| folder.join(tool))
        .find(|path| path.is_file())
        .unwrap_or_else(|| missing(tool))
}

/// [`need`], as a command to add arguments to.
#[track_caller]
pub(crate) fn command(tool: &str) -> Command {
    Command::new(need(tool))
}

#[track_caller]
pub(crate) fn missing(tool: &str) -> ! {
    panic!(
        "{tool} is missing on this machine. tests/run installs it as root on Debian and Ubuntu; to do without it, \
         and without the tests that need it: WXCGI_TESTS_WITHOUT={tool}"
    )
}

/// A Python that has wechatpy: `WXCGI_TEST_PYTHON`, or the one that tests/run has made.
#[track_caller]
pub(crate) fn python() -> PathBuf {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let python = PYTHON.get_or_init(|| {
        let made =
            || Path::new(env!("CARGO_TARGET_TMPDIR")).parent().map(|target| target.join("venv/bin/python3"));
        let python = env::var_os("WXCGI_TEST_PYTHON").map(PathBuf::from).or_else(made)?;
        let found = Command::new(&python).args(["-c", "import wechatpy.crypto"]).output().ok()?;
        found.status.success().then_some(python)
    });
    python.clone().unwrap_or_else(|| missing("wechatpy"))
}

/// A folder of node's packages that has what `tool` is: `WXCGI_TEST_NODE_PATH`, or the one that tests/run has made.
#[track_caller]
pub(crate) fn node_path(tool: &str) -> PathBuf {
    let made =
        || Path::new(env!("CARGO_TARGET_TMPDIR")).parent().map(|target| target.join("node/node_modules"));
    let path = env::var_os("WXCGI_TEST_NODE_PATH").map(PathBuf::from).or_else(made);
    let package = if tool == "aimock" { "@copilotkit/aimock" } else { tool };
    path.filter(|path| path.join(package).join("package.json").is_file()).unwrap_or_else(|| missing(tool))
}

/// User and group that web servers work as when we are root; `None` if we are not.
pub(crate) fn web_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let line =
        users.lines().find(|line| line.starts_with("www-data:")).unwrap_or_else(|| missing("www-data"));
    let mut ids = line.split(':').skip(2).map(|id| id.parse().expect("a number"));
    Some((ids.next().expect("a user"), ids.next().expect("a group")))
}
