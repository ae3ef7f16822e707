//! Apache's suexec with a user of its own, on a machine that stays as it is: in a mount namespace of Apache's, the files
//! that name users, suexec's settings and its log are ours.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::tools::{command, missing};

/// Whom the program runs as, and his group.
pub(super) const USER: &str = "wxcgi-suexec";

/// Debian's suexec that reads its settings instead of having them compiled in.
const SUEXEC: &str = "/usr/lib/apache2/suexec-custom";

/// Whether we may have it: Apache switches users only if a super-user starts it.
pub(super) fn is_possible() -> bool {
    let possible = rustix::process::geteuid().is_root();
    if !possible {
        eprintln!("skipped, because only root has Apache switch users: suexec");
    }
    possible
}

/// A number for that user and his group which nobody has on this machine.
pub(super) fn free_id() -> u32 {
    let known = read("/etc/passwd") + &read("/etc/group");
    let is_taken = |id: u32| known.lines().any(|line| line.split(':').nth(2) == Some(&id.to_string()));
    (50_000..60_000).find(|id| !is_taken(*id)).expect("some number is free")
}

/// Gives that user what suexec and he himself want to be his, as an operator would: the folder of the program, which lies
/// there already, and his home.
pub(super) fn settle(program: &Path, config: &Path, home: &Path, id: u32) {
    let install = |arguments: &[&str], paths: &[&Path]| {
        let id = id.to_string();
        let status =
            Command::new("install").args(["-o", &id, "-g", &id]).args(arguments).args(paths).status();
        assert!(status.expect("install runs").success());
    };
    let folder_of = |path: &'_ Path| path.parent().expect("a folder").to_owned();
    install(&["-d", "-m", "0755"], &[&folder_of(program)]);
    std::os::unix::fs::chown(program, Some(id), Some(id)).expect("root may do that");
    let configs = folder_of(config);
    install(&["-d", "-m", "0700"], &[home, &folder_of(&configs), &configs]);
}

/// Has `apache` find that user, and suexec what is in `root`.
pub(super) fn in_namespace(apache: &Command, root: &Path, home: &Path, id: u32) -> Command {
    if !Path::new(SUEXEC).is_file() {
        missing("suexec");
    }
    let files = root.join("suexec");
    fs::create_dir_all(&files).expect("our folder");
    let home = home.display();
    let passwd = format!("{}{USER}:x:{id}:{id}::{home}:/usr/sbin/nologin\n", read("/etc/passwd"));
    let group = format!("{}{USER}:x:{id}:\n", read("/etc/group"));
    // Where programs may lie, and where below the home of a user.
    let settings = format!("{}\npublic_html/cgi-bin\n", root.display());
    for (name, text) in [("passwd", passwd), ("group", group), ("settings", settings)] {
        fs::write(files.join(name), text).expect("our folder");
    }
    let script = "root=$1 && shift && mount --bind \"$root/suexec/passwd\" /etc/passwd &&\n\
         mount --bind \"$root/suexec/group\" /etc/group &&\n\
         mount --bind \"$root/suexec/settings\" /etc/apache2/suexec/www-data &&\n\
         mount --bind \"$root/log\" /var/log/apache2 && exec \"$@\"";
    let mut namespace = command("unshare");
    namespace.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]).arg(root);
    namespace.arg(apache.get_program()).args(apache.get_args());
    namespace
}

fn read(file: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{file}: {e}"));
    if text.is_empty() || text.ends_with('\n') { text } else { text + "\n" }
}
