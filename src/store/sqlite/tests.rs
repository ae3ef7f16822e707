use std::cell::Cell;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;

use super::*;

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(20);

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(1_700_000_000) };
}

fn clock() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW.get())
}

fn store(path: &Path) -> Sqlite {
    Sqlite::new(path.to_owned(), Journal::Wal, TIMEOUT, "shop").with_clock(clock)
}

fn temporary() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/a.db");
    (folder, path)
}

fn holder(number: u8) -> Holder {
    Holder([number; 16])
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

fn rows(store: &Sqlite, table: &str) -> u32 {
    let count = format!("SELECT count(*) FROM {table}");
    store.open().unwrap().connection.query_row(&count, [], |row| row.get(0)).unwrap()
}

#[test]
fn nothing_is_made_before_it_is_needed_and_then_for_the_owner_only() {
    let (folder, path) = temporary();
    let store = store(&path);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    store.put("key", b"value", LONG).unwrap();
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let files: Vec<_> =
        fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 4, "the file, its log, their index, the lock: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn a_clock_that_goes_back_prolongs_no_lease_and_no_claim_beyond_its_life() {
    let (_folder, path) = temporary();
    let store = store(&path);
    assert!(matches!(store.lease("lease", holder(1), SHORT).unwrap(), Lease::Held { .. }));
    assert_eq!(store.claim("1", holder(1), SHORT, LONG).unwrap(), Claim::Yours);
    assert_eq!(store.claim("lost", holder(1), Duration::ZERO, LONG).unwrap(), Claim::Yours);
    assert_eq!(store.count("count", 1, SHORT).unwrap(), Some(1));
    store.put("key", b"value", SHORT).unwrap();
    NOW.set(NOW.get() + 1);
    assert_eq!(store.claim("lost", holder(2), LONG, LONG).unwrap(), Claim::Lost { attempt: 2 });
    NOW.set(NOW.get() - 100_000);
    assert_eq!(store.get("key").unwrap().unwrap().remaining, SHORT);
    assert_eq!(store.lease("lease", holder(2), SHORT).unwrap(), Lease::Busy { remaining: SHORT });
    assert_eq!(store.claim("1", holder(2), LONG, LONG).unwrap(), Claim::Running { attempt: 2 });
    assert_eq!(store.count("count", 1, SHORT).unwrap(), None);
    assert_eq!(store.claim("lost", holder(1), LONG, LONG).unwrap(), Claim::Lost { attempt: 3 });
    NOW.set(NOW.get() + SHORT.as_secs());
    assert!(matches!(store.lease("lease", holder(2), SHORT).unwrap(), Lease::Held { .. }));
    assert_eq!(store.claim("1", holder(2), LONG, LONG).unwrap(), Claim::Lost { attempt: 3 });
    assert_eq!(store.count("count", 1, SHORT).unwrap(), Some(1));
}

#[test]
fn generations_grow_even_if_the_clock_goes_back_or_the_file_is_lost() {
    let (_folder, path) = temporary();
    let store = store(&path);
    let take = |number| match store.lease("lease", holder(number), LONG).unwrap() {
        Lease::Held { generation } => {
            store.release("lease", holder(number)).unwrap();
            generation
        }
        busy @ Lease::Busy { .. } => panic!("{busy:?}"),
    };
    let first = take(1);
    NOW.set(NOW.get() - 100_000);
    let second = take(2);
    NOW.set(NOW.get() + 100_001);
    fs::remove_file(&path).unwrap();
    let third = take(1);
    assert!(first < second && second < third, "{first} {second} {third}");
}

#[test]
fn what_has_ended_makes_room() {
    let (_folder, path) = temporary();
    let store = store(&path);
    let fill = |round: u32| {
        for number in 0..50 {
            let key = format!("{round} {number}");
            store.put(&key, b"value", SHORT).unwrap();
            store.claim(&key, holder(1), SHORT, SHORT).unwrap();
            store.lease(&key, holder(1), SHORT).unwrap();
            store.count(&key, 1, SHORT).unwrap();
        }
        NOW.set(NOW.get() + SHORT.as_secs());
    };
    for round in 0..10 {
        fill(round);
        for table in ["value", "claim", "lease", "tally"] {
            assert!(rows(&store, table) <= 100, "{table}: {}", rows(&store, table));
        }
    }
    let size = || path.metadata().unwrap().len();
    let before = size();
    (10..20).for_each(fill);
    assert!(size() <= before + before / 4, "{before} {}", size());
}

#[test]
fn another_file_in_its_place_is_noticed() {
    let (_folder, path) = temporary();
    let store = store(&path);
    store.put("key", b"first", LONG).unwrap();
    fs::rename(&path, path.with_extension("old")).unwrap();
    for ending in ["-wal", "-shm"] {
        fs::remove_file(file::with_ending(&path, ending)).unwrap();
    }
    assert_eq!(store.get("key").unwrap(), None);
    store.put("key", b"second", LONG).unwrap();
    assert_eq!(super::tests::store(&path).get("key").unwrap().unwrap().bytes, b"second");
}

#[test]
fn whatever_is_damaged_a_new_file_is_begun_and_the_old_one_is_kept() {
    let damages: [fn(&mut Vec<u8>); 4] = [
        |bytes| bytes.fill(b'x'),
        |bytes| bytes[..16].fill(0),
        |bytes| bytes[100..4096].fill(0xff),
        |bytes| bytes[4096..].fill(0xff),
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let (_folder, path) = temporary();
        store(&path).put("key", b"value", LONG).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        assert!(bytes.len() > 8192, "the log was moved into the file");
        damage(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let shared = store(&path);
        thread::scope(|scope| {
            for thread in 0..8 {
                let (shared, own) = (&shared, store(&path));
                scope.spawn(move || {
                    let store = if thread % 2 == 0 { shared } else { &own };
                    store.put(&format!("{thread}"), b"new", LONG).unwrap();
                });
            }
        });
        for thread in 0..8 {
            assert!(store(&path).get(&format!("{thread}")).unwrap().is_some(), "damage {number}");
        }
        let names = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
        let names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        let aside = names.iter().filter(|name| name.contains(".corrupt-") && !name.contains("-wal"));
        assert_eq!(aside.filter(|name| !name.contains("-shm")).count(), 1, "damage {number}: {names:?}");
    }
}

#[test]
fn a_full_disk_is_an_error_that_leaves_all_as_it_was() {
    let (_folder, path) = temporary();
    let store = store(&path);
    store.put("key", b"value", LONG).unwrap();
    // As a full disk looks to SQLite (SQLITE_FULL): no page more.
    let opened = store.open().unwrap();
    let pages: u32 = opened.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    opened.connection.pragma_update(None, "max_page_count", pages).unwrap();
    store.idle().push(opened);
    let error = store.put("large", &vec![0; 100_000], LONG).unwrap_err().to_string();
    assert!(error.contains("has no room") && error.contains("free some space"), "{error}");
    assert_eq!(store.get("key").unwrap().unwrap().bytes, b"value");
    assert_eq!(store.get("large").unwrap(), None);
}

#[test]
fn what_may_not_be_written_is_an_error_with_a_cure() {
    let (folder, path) = temporary();
    let told = |path: &Path| store(path).put("key", b"value", LONG).unwrap_err().to_string();
    // A file where a folder would be needed.
    fs::write(folder.path().join("file"), "").unwrap();
    assert!(told(&folder.path().join("file/a.db")).contains("cannot be opened"));
    // A folder where the file would be.
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("a"), "").unwrap();
    assert!(told(&path).contains("cannot be written"), "{}", told(&path));
    // Root may write everything.
    if !rustix::process::geteuid().is_root() {
        let closed = folder.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, Permissions::from_mode(0o500)).unwrap();
        assert!(told(&closed.join("a.db")).contains("cannot be written"));
    }
}

#[test]
fn names_of_people_stay_out_of_what_is_printed() {
    let (_folder, path) = temporary();
    let store = store(&path);
    store.put("key", b"a token", LONG).unwrap();
    let printed = format!("{store:?} {:?}", store.get("key").unwrap());
    assert!(!printed.contains("token") && printed.contains("7 bytes"), "{printed}");
}
