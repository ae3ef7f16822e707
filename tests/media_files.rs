//! Replies that show a file of this host: uploaded once for all processes, and again before WeChat forgets it.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Signal;
use wxcgi::api::{Api, ApiSettings, Credentials};
use wxcgi::secret::Secret;
use wxcgi::store::Store;
use wxcgi::store::sqlite::{Journal, Sqlite};

use crate::store::RedisServer;
use crate::support::{APP_ID, APP_SECRET, Door, FakeWechat, Machine, Site, Trouble, WeChat, wait_until};

const UPLOAD: &str = "/cgi-bin/media/upload";
const JPEG: &[u8] = b"\xff\xd8\xff\xe0\x00\x10JFIF a cat \xff\xd9";

/// A folder that web servers' users may read, with pictures in it.
fn pictures() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("our folder");
    write(&folder.path().join("cat.jpg"), JPEG);
    folder
}

fn write(path: &Path, bytes: &[u8]) -> PathBuf {
    fs::write(path, bytes).expect("our folder");
    path.to_owned()
}

fn config(fake: &FakeWechat, pictures: &Path, server: &str) -> String {
    let folder = pictures.display();
    fake.config(&format!(
        "[server]\n{server}\n[[rule]]\nwhen.text = \"猫\"\nreply.image = {{ file = \"{folder}/cat.jpg\" }}\n\
         on_error = \"画不出来\"\n[[rule]]\nwhen.text = \"歌\"\nreply.music = {{ title = \"歌\", music_url = \
         \"https://example.com/a.mp3\", thumb = {{ file = \"{folder}/cat.jpg\" }} }}\n[default]\nreply = \"好\"\n"
    ))
}

fn wechat() -> WeChat {
    WeChat::with_token("mytoken")
}

#[test]
fn a_file_is_uploaded_once_and_shown_at_both_doors() {
    for door in Door::open_ones([Door::FastcgiByHand, Door::ApacheCgid]) {
        let (fake, pictures) = (FakeWechat::start(), pictures());
        let site = Site::behind(door).with_config(&config(&fake, pictures.path(), "")).open();
        for _ in 0..3 {
            let answer = site.receives(&wechat().says("猫"));
            assert_eq!(answer.is(200).reply("MediaId"), format!("media-{}", JPEG.len()), "{}", site.logs());
        }
        assert_eq!(fake.count(UPLOAD), 1);
        let sent = fake.last(UPLOAD);
        assert_eq!(sent.param("type"), Some("image"));
        assert!(sent.body.windows(JPEG.len()).any(|part| part == JPEG));

        // As the picture of a piece of music it is another medium.
        assert_eq!(
            site.receives(&wechat().says("歌")).reply("ThumbMediaId"),
            format!("media-{}", JPEG.len())
        );
        assert_eq!((fake.count(UPLOAD), fake.last(UPLOAD).param("type")), (2, Some("thumb")));

        // What it holds counts, not when it was written.
        write(&pictures.path().join("cat.jpg"), JPEG);
        site.receives(&wechat().says("猫")).is(200);
        assert_eq!(fake.count(UPLOAD), 2);
        write(&pictures.path().join("cat.jpg"), &[JPEG, b"!"].concat());
        let answer = site.receives(&wechat().says("猫"));
        assert_eq!(answer.reply("MediaId"), format!("media-{}", JPEG.len() + 1));
        assert_eq!(fake.count(UPLOAD), 3);
    }
}

#[test]
fn a_file_that_cannot_be_uploaded_ends_in_on_error() {
    for door in Door::open_ones([Door::FastcgiByHand, Door::ApacheCgid]) {
        let (fake, pictures) = (FakeWechat::start(), pictures());
        let site = Site::behind(door).with_config(&config(&fake, pictures.path(), "")).open();
        fake.troubles(UPLOAD, [Trouble::Errcode(45009, "reach max api daily quota limit rid: 1")]);
        site.receives(&wechat().says("猫")).replies("画不出来");
        // It is not tried again at once.
        site.receives(&wechat().says("猫")).replies("画不出来");
        assert_eq!(fake.count(UPLOAD), 1);
        assert!(site.logs().contains("45009"), "{}", site.logs());

        write(&pictures.path().join("cat.jpg"), b"%PDF-1.4");
        site.receives(&wechat().says("猫")).replies("画不出来");
        assert!(site.logs().contains("WeChat would not take the file"), "{}", site.logs());
        fs::remove_file(pictures.path().join("cat.jpg")).expect("our file");
        site.receives(&wechat().says("猫")).replies("画不出来");
        assert!(site.logs().contains("cat.jpg`: No such file"), "{}", site.logs());
        assert_eq!(fake.count(UPLOAD), 1);
        assert!(!site.logs().contains(APP_SECRET));
    }
}

#[test]
fn an_upload_that_hangs_holds_up_nobody_else() {
    if !Door::FastcgiByHand.is_open() {
        return;
    }
    let (fake, pictures) = (FakeWechat::start(), pictures());
    let config = config(&fake, pictures.path(), "deadline = \"4s\"");
    let site = Site::behind(Door::FastcgiByHand).with_config(&config).open();
    fake.hold(UPLOAD);
    thread::scope(|scope| {
        let waits = scope.spawn(|| site.receives(&wechat().says("猫")));
        fake.was_called(UPLOAD, 1);
        for _ in 0..100 {
            site.receives(&wechat().says("你好")).replies("好");
        }
        assert!(!waits.is_finished());
        fake.release();
        assert_eq!(waits.join().expect("an answer").reply("MediaId"), format!("media-{}", JPEG.len()));
    });
}

/// The two doors that a slow upload meets.
const DOORS: [Door; 2] = [Door::FastcgiByHand, Door::ApacheCgid];

#[test]
fn wechat_has_its_answer_at_the_deadline_and_the_upload_goes_on() {
    for door in Door::open_ones(DOORS) {
        let (fake, pictures) = (FakeWechat::start(), pictures());
        let config = config(&fake, pictures.path(), "deadline = \"500ms\"");
        let site = Site::behind(door).with_config(&config).open();
        fake.hold(UPLOAD);
        site.receives(&wechat().says("猫")).replies("画不出来");
        fake.release();
        let is_shown = || site.receives(&wechat().says("猫")).is(200).text().contains("<MediaId>");
        wait_until("the picture", is_shown);
        // Apache ends a CGI process that goes on after its answer; the next one begins anew.
        if door == Door::FastcgiByHand {
            assert_eq!(fake.count(UPLOAD), 1, "what was begun for the first message serves the next");
        }
        assert!(site.logs().contains("is not ready at the `deadline`"), "{}", site.logs());
    }
}

#[test]
fn a_store_that_is_slow_costs_the_picture_but_not_the_answer() {
    for door in Door::open_ones(DOORS) {
        let (fake, pictures, redis) = (FakeWechat::start(), pictures(), RedisServer::start(&[]));
        // It takes connections and says nothing.
        redis.signal(Signal::STOP);
        let store = format!("[store]\nurl = \"{}\"\ntimeout = \"4s\"\n", redis.url());
        let config = config(&fake, pictures.path(), "deadline = \"500ms\"") + &store;
        let site = Site::behind(door).with_config(&config).open();
        site.receives(&wechat().says("猫")).replies("画不出来");
        site.receives(&wechat().says("你好")).replies("好");
        assert!(site.logs().contains("is not ready at the `deadline`"), "{}", site.logs());
        redis.signal(Signal::CONT);
    }
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    for door in Door::open_ones(DOORS) {
        let (fake, pictures) = (FakeWechat::start(), pictures());
        let cat = pictures.path().join("cat.jpg");
        fs::remove_file(&cat).expect("our file");
        // Who opens it waits for somebody who writes: nobody.
        mkfifoat(CWD, &cat, Mode::from_raw_mode(0o644)).expect("our folder");
        let site = Site::behind(door).with_config(&config(&fake, pictures.path(), "")).open();
        site.receives(&wechat().says("你好")).replies("好");
        for _ in 0..3 {
            site.receives(&wechat().says("猫")).replies("画不出来");
        }
        assert!(site.logs().contains("it is not a regular file"), "{}", site.logs());
        fs::remove_file(&cat).expect("our file");
        write(&cat, JPEG);
        site.receives(&wechat().says("猫")).is(200).reply("MediaId");
    }
    let machine = Machine::new(
        "[account]\ntoken = \"mytoken\"\n[[rule]]\nwhen.text = \"a\"\nreply.image = { file = \"p\" }\n",
    );
    mkfifoat(CWD, machine.path("p"), Mode::RWXU).expect("our folder");
    assert!(machine.prints(&["check"]).contains("it is not a regular file"));
    let output = machine.run(&["media", "upload", "p"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("it is not a regular file"), "{output:?}");
}

#[test]
fn a_file_that_changes_while_it_is_sent_is_not_taken_for_what_it_was() {
    let (fake, pictures) = (FakeWechat::start(), pictures());
    let cat = pictures.path().join("cat.jpg");
    let api = api(&fake, pictures.path(), SystemTime::now);
    let media_id = || api.media_id(&cat, "image", Duration::from_secs(20));
    fake.hold(STABLE);
    thread::scope(|scope| {
        let uploads = scope.spawn(media_id);
        // It was looked at, and waits for the access_token.
        fake.was_called(STABLE, 1);
        write(&cat, &JPEG.iter().map(|byte| if *byte == b'c' { b'r' } else { *byte }).collect::<Vec<_>>());
        fake.release();
        let error = uploads.join().expect("no panic").expect_err("another picture").to_string();
        assert!(error.contains("it was changed while it was sent"), "{error}");
    });
    write(&cat, JPEG);
    assert_eq!(media_id().expect("a media_id"), format!("media-{}", JPEG.len()));
    assert_eq!(fake.count(UPLOAD), 2);
}

#[test]
fn a_file_that_wechat_would_not_take_is_not_read_to_its_end() {
    let (fake, pictures) = (FakeWechat::start(), pictures());
    let large = write(&pictures.path().join("large.jpg"), JPEG);
    // Without a byte on the disk; to read it would take many seconds.
    File::options().write(true).open(&large).and_then(|file| file.set_len(1 << 40)).expect("a sparse file");
    let api = api(&fake, pictures.path(), SystemTime::now);
    let error = api.media_id(&large, "image", Duration::from_secs(20)).expect_err("too large").to_string();
    assert!(error.contains("WeChat would not take the file"), "{error}");
    assert_eq!(fake.count(UPLOAD), 0);
}

#[test]
fn fifty_processes_upload_a_file_once() {
    let (fake, pictures) = (FakeWechat::start(), pictures());
    let machine = Machine::new(&config(&fake, pictures.path(), ""));
    fake.hold(UPLOAD);
    let processes: Vec<_> = (0..50).map(|_| machine.start(&["simulate", "猫", "--raw"])).collect();
    fake.was_called(UPLOAD, 1);
    fake.release();
    for process in processes {
        let output = crate::support::output_in_time(process);
        let document = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(document.contains(&format!("media-{}", JPEG.len())), "{document}");
    }
    assert_eq!(fake.count(UPLOAD), 1);
}

const STABLE: &str = "/cgi-bin/stable_token";

/// A host of the account whose pictures these are.
fn host(fake: &FakeWechat, pictures: &Path, redis: &RedisServer) -> Site {
    let store = format!("[store]\nurl = \"{}\"\n", redis.url());
    let config = format!("{}{store}", config(fake, pictures, "deadline = \"1s\""));
    Site::behind(Door::FastcgiByHand).with_config(&config).open()
}

#[test]
fn two_hosts_share_what_one_of_them_fetched_and_live_on_when_the_other_dies() {
    if !Door::FastcgiByHand.is_open() {
        return;
    }
    for dies in [0, 1] {
        let (fake, pictures, redis) = (FakeWechat::start(), pictures(), RedisServer::start(&[]));
        let media_id = format!("media-{}", JPEG.len());
        let mut hosts = [host(&fake, pictures.path(), &redis), host(&fake, pictures.path(), &redis)];
        let shows = |host: &Site| host.receives(&wechat().says("猫")).is(200).reply("MediaId");

        // One dies in the middle of its upload: the other takes over as soon as its lease has ended.
        fake.hold(UPLOAD);
        let mut waits = UnixStream::connect(hosts[dies].socket()).expect("it accepts");
        waits.write_all(&wechat().says("猫").records(1, false)).expect("it reads");
        fake.was_called(UPLOAD, 1);
        hosts[dies].kill_responder();
        fake.release();
        let other = &hosts[1 - dies];
        let answers = || other.receives(&wechat().says("猫")).is(200).text().contains(&media_id);
        wait_until("the other host shows the picture", answers);
        assert_eq!(fake.count(UPLOAD), 2);

        // Who comes back finds all that the other has: nothing is fetched or uploaded again.
        hosts[dies].start_responder();
        let (uploads, fetches) = (fake.count(UPLOAD), fake.count(STABLE));
        assert_eq!((shows(&hosts[0]), shows(&hosts[1])), (media_id.clone(), media_id.clone()));
        assert_eq!((fake.count(UPLOAD), fake.count(STABLE)), (uploads, fetches));
        fake.void_access_tokens();
        hosts[1 - dies].kill_responder();
        assert_eq!(shows(&hosts[dies]), media_id);
    }
}

/// The API as a process would call it whose clock is `clock`.
fn api(fake: &FakeWechat, folder: &Path, clock: fn() -> SystemTime) -> Api {
    let settings = ApiSettings { base_url: fake.base_url(), ..ApiSettings::default() };
    let credentials =
        Credentials { app_id: Some(APP_ID.to_owned()), app_secret: Some(Secret::new(APP_SECRET)) };
    let store = Sqlite::new(folder.join("state.db"), Journal::default(), Duration::from_secs(5), APP_ID);
    let store: Arc<dyn Store> = Arc::new(store.with_clock(clock));
    Api::new(settings, credentials, &store)
}

#[test]
fn a_file_is_uploaded_again_before_wechat_forgets_it() {
    const HOUR: Duration = Duration::from_secs(3600);
    let (fake, pictures) = (FakeWechat::start(), pictures());
    let file = pictures.path().join("cat.jpg");
    let media_id =
        |clock| api(&fake, pictures.path(), clock).media_id(&file, "image", Duration::from_secs(20));
    assert!(media_id(SystemTime::now).is_ok());
    assert!(media_id(|| SystemTime::now() + HOUR * 59).is_ok());
    assert_eq!(fake.count(UPLOAD), 1, "half a day is left");
    // Where it cannot be renewed, the old one serves as long as it lives.
    fake.troubles(UPLOAD, [Trouble::Errcode(45009, "reach max api daily quota limit rid: 1")]);
    assert!(media_id(|| SystemTime::now() + HOUR * 61).is_ok());
    assert_eq!(fake.count(UPLOAD), 2);
    assert!(media_id(|| SystemTime::now() + HOUR * 62).is_ok());
    assert_eq!(fake.count(UPLOAD), 3);
    assert!(media_id(|| SystemTime::now() + HOUR * 63).is_ok());
    assert_eq!(fake.count(UPLOAD), 3, "it was renewed");
}

#[test]
fn check_tells_what_wechat_would_not_take() {
    let (fake, pictures) = (FakeWechat::start(), pictures());
    let machine = Machine::new(&config(&fake, pictures.path(), ""));
    assert!(machine.prints(&["check"]).contains("no faults"));
    let large = [JPEG, &vec![0; 10 << 20]].concat();
    for (bytes, why) in [(&b"<html>"[..], "WeChat would not take it"), (&large, "WeChat would not take it")] {
        write(&pictures.path().join("cat.jpg"), bytes);
        let checked = machine.prints(&["check"]);
        assert!(checked.contains(why) && checked.contains("`on_error`"), "{checked}");
    }
    fs::remove_file(pictures.path().join("cat.jpg")).expect("our file");
    let checked = machine.prints(&["check"]);
    assert!(checked.contains("cannot read") && checked.contains("2 warnings"), "{checked}");

    for (reply, why) in [
        ("reply.image = { file = \"a.jpg\", media_id = \"b\" }", "both `file` and `media_id`"),
        ("reply.voice = {}", "neither `file` nor `media_id`"),
        ("reply.music = { thumb = { file = \"a.jpg\" } }", "cannot read"),
        ("reply.video = { file = 1 }", "expected a text"),
    ] {
        machine.configure(&fake.config(&format!("[[rule]]\nwhen.text = \"a\"\n{reply}\n")));
        let output = machine.run(&["check"]);
        let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(told.contains(why), "{told}");
    }
}
