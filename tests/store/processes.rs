//! Many real processes on one file of SQLite, killed at any point.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::support::{PATIENCE, wait_until};
use wxcgi::chance::random;
use wxcgi::store::sqlite::{Journal, Sqlite};
use wxcgi::store::{Claim, Holder, Lease, Store};

const LONG: Duration = Duration::from_secs(3600);
const LIMIT: u64 = 500;

/// Names the folder for a process that works in it.
const FOLDER: &str = "WXCGI_TEST_STORE";
/// How many messages it handles.
const MESSAGES: &str = "WXCGI_TEST_STORE_MESSAGES";

fn store(folder: &Path) -> Sqlite {
    Sqlite::new(folder.join("state/a.db"), Journal::Wal, PATIENCE, "shop")
}

/// Not a test of its own: what the processes do that the tests here start.
#[test]
fn worker() {
    let (Some(folder), Ok(messages)) = (env::var_os(FOLDER), env::var(MESSAGES)) else { return };
    let folder = PathBuf::from(folder);
    let acknowledged = folder.join(format!("acknowledged/{}", std::process::id()));
    let mut acknowledged = OpenOptions::new().create(true).append(true).open(acknowledged).unwrap();
    // At once: what is acknowledged is noted before the next step.
    let mut note = |line: String| acknowledged.write_all(format!("{line}\n").as_bytes()).unwrap();
    let (store, holder) = (store(&folder), Holder(random().unwrap()));
    let owner = u64::from(std::process::id());
    for message in 0..messages.parse::<u64>().unwrap() {
        let name = message.to_string();
        if store.claim(&name, holder, LONG, LONG).unwrap() == Claim::Yours {
            note(format!("claimed {message}"));
            assert!(store.finish(&name, holder, &owner.to_le_bytes(), LONG).unwrap());
            note(format!("finished {message}"));
            store.put(&name, name.as_bytes(), LONG).unwrap();
            note(format!("put {message}"));
        }
        match store.count("count", LIMIT, LONG).unwrap() {
            Some(count) => note(format!("counted {count}")),
            None => note("refused 0".into()),
        }
        let all = store.count("all", u64::MAX, LONG).unwrap().expect("no limit");
        note(format!("all {all}"));
        if let Lease::Held { generation } = store.lease("lease", holder, LONG).unwrap() {
            note(format!("held {generation}"));
            store.release("lease", holder).unwrap();
        }
    }
    note("ended 0".into());
}

fn start_worker(folder: &Path, messages: u64) -> Child {
    // The files are for their owner only whatever the umask is.
    Command::new("sh")
        .args(["-c", "umask 000; exec \"$@\"", "sh"])
        .arg(env::current_exe().unwrap())
        .args(["store::processes::worker", "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .env(MESSAGES, messages.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("acknowledged")).unwrap();
    folder
}

/// The numbers that all processes have noted behind this word.
fn acknowledged(folder: &Path, word: &str) -> Vec<u64> {
    let files = fs::read_dir(folder.join("acknowledged")).unwrap();
    let texts = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let lines: Vec<String> =
        texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let numbers = lines.iter().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' ')?.parse().ok());
    numbers.collect()
}

/// The numbers, none of which may be there twice.
#[track_caller]
fn distinct(numbers: Vec<u64>) -> BTreeSet<u64> {
    let count = numbers.len();
    let set: BTreeSet<u64> = numbers.into_iter().collect();
    assert_eq!(set.len(), count, "some came twice");
    set
}

fn files_in_state(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder.join("state")).unwrap().map(|file| file.unwrap().path()).collect()
}

/// Fifty processes begin with no file at all, and share it.
fn fifty_share(folder: &Path) {
    const PROCESSES: u64 = 50;
    const MESSAGES: u64 = 30;
    let children: Vec<Child> = (0..PROCESSES).map(|_| start_worker(folder, MESSAGES)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(acknowledged(folder, "ended").len(), 50);
    assert_eq!(distinct(acknowledged(folder, "claimed")), (0..MESSAGES).collect());
    assert_eq!(distinct(acknowledged(folder, "finished")), (0..MESSAGES).collect());
    assert_eq!(distinct(acknowledged(folder, "counted")), (1..=LIMIT).collect());
    assert_eq!(distinct(acknowledged(folder, "all")), (1..=PROCESSES * MESSAGES).collect());
    assert_eq!(acknowledged(folder, "refused").len() as u64, PROCESSES * MESSAGES - LIMIT);
    assert!(!distinct(acknowledged(folder, "held")).is_empty());
    for file in files_in_state(folder) {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
}

#[test]
fn fifty_processes_that_start_at_once_share_one_file() {
    let folder = folder();
    fifty_share(folder.path());
}

#[test]
fn fifty_processes_that_find_a_damaged_file_set_it_aside_once() {
    let folder = folder();
    fs::create_dir(folder.path().join("state")).unwrap();
    let path = folder.path().join("state/a.db");
    fs::write(&path, vec![b'x'; 100_000]).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fifty_share(folder.path());
    let files = files_in_state(folder.path());
    let aside = files.iter().filter(|file| file.to_string_lossy().contains(".corrupt-")).count();
    assert_eq!(aside, 1, "{files:?}");
}

#[test]
fn processes_that_are_killed_lose_nothing_that_was_acknowledged() {
    const AT_ONCE: usize = 8;
    const KILLED: usize = 80;
    let folder = folder();
    let path = folder.path();
    let mut running: Vec<Child> = (0..AT_ONCE).map(|_| start_worker(path, u64::MAX)).collect();
    wait_until("the first are at it", || !acknowledged(path, "finished").is_empty());
    for number in 0..KILLED {
        let [pause] = random::<1>().unwrap();
        thread::sleep(Duration::from_micros(u64::from(pause) * 100));
        let child = &mut running[number % AT_ONCE];
        child.kill().unwrap();
        child.wait().unwrap();
        *child = start_worker(path, u64::MAX);
    }
    for mut child in running {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let store = store(path);
    assert!(!files_in_state(path).iter().any(|file| file.to_string_lossy().contains(".corrupt-")));
    let claimed = distinct(acknowledged(path, "claimed"));
    assert!(claimed.len() > KILLED, "{}", claimed.len());
    for message in &claimed {
        let claim = store.claim(&message.to_string(), Holder([0; 16]), LONG, LONG).unwrap();
        assert_ne!(claim, Claim::Yours, "{message}");
    }
    for message in distinct(acknowledged(path, "finished")) {
        let claim = store.claim(&message.to_string(), Holder([0; 16]), LONG, LONG).unwrap();
        assert!(matches!(claim, Claim::Answered { .. }), "{message}: {claim:?}");
    }
    let counted = distinct(acknowledged(path, "all")).len() as u64;
    let there = store.count("all", u64::MAX, LONG).unwrap().expect("no limit") - 1;
    // Whoever was killed may have counted one more that he could not note.
    assert!((counted..=counted + (AT_ONCE + KILLED) as u64).contains(&there), "{counted} {there}");
    assert!(distinct(acknowledged(path, "counted")).len() as u64 <= LIMIT);
    for message in distinct(acknowledged(path, "put")) {
        let name = message.to_string();
        assert_eq!(store.get(&name).unwrap().expect("acknowledged").bytes, name.as_bytes());
    }
    distinct(acknowledged(path, "held"));
}

/// Names the mount point of a small disk for the process that fills it.
const DISK: &str = "WXCGI_TEST_STORE_DISK";

/// Not a test of its own: works on a disk that is full, and then read-only.
#[test]
fn on_a_small_disk() {
    let Some(disk) = env::var_os(DISK).map(PathBuf::from) else { return };
    let (store, filler) = (store(&disk), disk.join("filler"));
    let put = |key: &str| store.put(key, &[b'x'; 3000], LONG).map_err(|error| error.to_string());
    put("first").unwrap();
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 1024]).is_ok() {}
    let told = (0..1000).find_map(|number| put(&number.to_string()).err()).unwrap();
    assert!(told.contains("has no room") && told.contains("free some space"), "{told}");
    let new = Sqlite::new(disk.join("new/b.db"), Journal::Wal, PATIENCE, "shop");
    let told = new.put("key", b"value", LONG).unwrap_err().to_string();
    assert!(told.contains("has no room"), "{told}");
    assert!(store.get("first").unwrap().is_some());
    drop(file);
    fs::remove_file(&filler).unwrap();
    put("second").unwrap();
    new.put("key", b"value", LONG).unwrap();
    // Nothing may be open for writing while the disk becomes read-only.
    drop((store, new));
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(&disk).status().unwrap();
    assert!(remounted.success());
    let told = self::store(&disk).put("third", b"value", LONG).unwrap_err().to_string();
    assert!(told.contains("cannot be written") && told.contains("Read-only"), "{told}");
}

#[test]
fn a_full_or_read_only_disk_is_told_and_survived() {
    // A mount of its own, which goes with the process.
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]);
        command
    };
    let folder = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=300k tmpfs \"$1\"";
    let may_mount = unshare(mount).arg(folder.path()).output().is_ok_and(|output| output.status.success());
    if !may_mount {
        eprintln!("skipped: no disk can be mounted here");
        return;
    }
    let done = unshare(&format!("{mount} && shift && exec \"$@\""))
        .arg(folder.path())
        .arg(env::current_exe().unwrap())
        .args(["store::processes::on_a_small_disk", "--exact", "--nocapture"])
        .env(DISK, folder.path())
        .output()
        .unwrap();
    let (out, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && out.contains("1 passed"), "{out}{errors}");
}
