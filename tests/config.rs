//! Where the doors look for their config, and how they take a changed one.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::support::{Answer, Door, PATIENCE, Request, Site, WeChat, command, web_user, write_config};

/// A config that answers every text with its name.
fn answering(name: &str) -> String {
    format!("[account]\ntoken = \"mytoken\"\n[default]\nreply = \"from {name}\"\n")
}

fn wechat() -> WeChat {
    WeChat::with_token("mytoken")
}

/// A site without any config, and its program under another name.
fn renamed(name: &str) -> (Site, PathBuf) {
    let site = Site::behind(Door::ByHand).open();
    let program = site.folder().join("bin").join(name);
    let copied = Command::new("cp").arg(site.folder().join("bin/wxcgi")).arg(&program).status();
    assert!(copied.expect("cp runs").success());
    (site, program)
}

/// What `program` answers to a text, with these variables beside those of the web server.
fn asks(site: &Site, program: &Path, variables: &[(&str, &Path)]) -> Answer {
    site.receives_with(&wechat().says("x"), |command| {
        *command = replaced(command, program);
        command.env_remove("WXCGI_CONFIG").envs(variables.iter().copied());
    })
}

/// The same command with another program.
fn replaced(command: &Command, program: &Path) -> Command {
    let mut other = Command::new(program);
    other.env_clear();
    other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some((user, group)) = web_user() {
        other.uid(user).gid(group);
    }
    other
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("our folder");
    write_config(path, text);
}

/// The answer to a text once it is `text`.
#[track_caller]
fn answers_soon(site: &Site, text: &str) {
    let start = Instant::now();
    loop {
        let answer = site.receives(&wechat().says("x"));
        if answer.text().contains(text) {
            answer.replies(text);
            return;
        }
        assert!(start.elapsed() < PATIENCE, "never `{text}`, but {answer}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until the log says all of this.
#[track_caller]
fn is_told(site: &Site, parts: &[&str]) {
    let start = Instant::now();
    while let Some(part) = parts.iter().find(|part| !site.stderr().contains(**part)) {
        assert!(start.elapsed() < PATIENCE, "no `{part}` in {}", site.stderr());
        // The responder looks again when it is asked again.
        site.receives(&wechat().says("x"));
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_cgi_reads_the_config_of_its_own_name_at_home() {
    let (site, shop) = renamed("shop.cgi");
    let home = site.folder().join("home");
    put(&home.join(".config/wxcgi/wxcgi.toml"), &answering("another"));
    asks(&site, &shop, &[("HOME", &home)]).acknowledges();
    put(&home.join(".config/wxcgi/shop.toml"), &answering("home"));
    asks(&site, &shop, &[("HOME", &home)]).replies("from home");
    let named = site.folder().join("etc/named.toml");
    put(&named, &answering("variable"));
    asks(&site, &shop, &[("HOME", &home), ("WXCGI_CONFIG", &named)]).replies("from variable");
    // Empty is absent; and a name that leads nowhere is not passed over.
    asks(&site, &shop, &[("HOME", &home), ("WXCGI_CONFIG", Path::new(""))]).replies("from home");
    asks(&site, &shop, &[("HOME", &home), ("WXCGI_CONFIG", Path::new("/nonexistent.toml"))]).acknowledges();
    assert!(site.stderr().contains("/nonexistent.toml"), "{}", site.stderr());
}

#[test]
fn without_home_the_passwd_entry_says_where_it_is() {
    let (site, shop) = renamed("shop.cgi");
    let user = web_user().map_or_else(|| rustix::process::getuid().as_raw(), |(user, _)| user);
    let users = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let entry = users.lines().find(|line| line.split(':').nth(2) == Some(&user.to_string()));
    let home = entry.and_then(|line| line.split(':').nth(5)).expect("a user with a home").to_owned();
    asks(&site, &shop, &[]).acknowledges();
    let looked = format!("looked for {home}/.config/wxcgi/shop.toml, /etc/wxcgi/shop.toml;");
    assert!(site.stderr().contains(&looked), "{}", site.stderr());
}

#[test]
fn the_doors_never_read_the_current_folder() {
    let (site, program) = renamed("shop.cgi");
    let here = site.folder().join("here");
    for name in ["wxcgi.toml", "shop.toml"] {
        put(&here.join(name), &answering("here"));
    }
    let answer = site.receives_with(&wechat().verifies("1"), |command| {
        *command = replaced(command, &program);
        command.env_remove("WXCGI_CONFIG").env("HOME", "/nonexistent").current_dir(&here);
    });
    answer.is(503);
    // As mod_fcgid and spawn-fcgi start a responder: a listening socket as fd 0.
    let socket = site.folder().join("run/here.sock");
    for arguments in [&[][..], &["fastcgi"]] {
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).expect("a socket");
        let mut responder = site.program();
        responder.env("HOME", "/nonexistent").current_dir(&here).args(arguments);
        responder.stdin(std::os::fd::OwnedFd::from(listener)).stdout(Stdio::null()).stderr(Stdio::null());
        let mut responder = responder.spawn().expect("it runs");
        let answer = site.receives_with(&wechat().verifies("1"), |program| {
            let mut peer = command("cgi-fcgi");
            peer.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
            peer.env_remove("WXCGI_CONFIG").args(["-bind", "-connect"]).arg(&socket);
            *program = peer;
        });
        responder.kill().expect("our child");
        responder.wait().expect("our child");
        answer.is(503);
    }
}

/// [`answering`] with a fault in line 4.
fn faulty() -> String {
    answering("nobody").replace("reply", "replly")
}

#[test]
fn under_cgi_a_thousand_rules_answer_the_same_from_the_second_request_on() {
    let mut config = answering("nobody");
    for number in 0..1000 {
        let when = match number % 10 {
            0 => format!("when.regex = '^order {number} (?<n>\\d+)$'\nreply = \"{number}: {{{{ n }}}}\""),
            1 => format!(
                "when.contains = \"part{number}.\"\nreply = \"{number}: {{{{ message.content | upper }}}}\""
            ),
            _ => format!("when.text = \"word{number}\"\nreply = \"{number}\""),
        };
        config = format!("{config}[[rule]]\n{when}\n");
    }
    let site = Site::behind(Door::ByHand).with_config(&config).open();
    let compiled = || {
        let files = fs::read_dir(site.folder().join("state/last-good")).into_iter().flatten();
        let names = files.map(|file| file.expect("an entry").file_name().into_string().expect("our name"));
        names.filter(|name| name.ends_with(".compiled")).count()
    };
    let ask = || {
        for (text, reply) in [
            ("word2", "2"),
            ("word999", "999"),
            ("order 990 42", "990: 42"),
            ("order 990 x", "from nobody"),
            ("a part501.", "501: A PART501."),
            ("word1", "from nobody"),
        ] {
            site.receives(&wechat().says(text)).replies(reply);
        }
    };
    assert_eq!(compiled(), 0);
    ask();
    assert_eq!(compiled(), 1);
    ask();
    assert_eq!(site.stderr().matches("[ERROR]").count(), 0, "{}", site.stderr());
}

#[test]
fn under_cgi_the_last_good_config_goes_on_while_its_file_is_faulty() {
    let site = Site::behind(Door::ByHand).with_config(&answering("one")).open();
    site.receives(&wechat().says("x")).replies("from one");
    assert_eq!(site.stderr().matches("config").count(), 0, "{}", site.stderr());
    for broken in [faulty(), "[account".to_owned(), String::new()] {
        write_config(site.config(), &broken);
        site.receives(&wechat().says("x")).replies("from one");
        site.receives(&wechat().verifies("4711")).is(200).says("4711");
    }
    is_told(&site, &["wxcgi.toml:4:1: unknown ", "did you mean `reply`?", "the last good one goes on"]);
    fs::remove_file(site.config()).expect("our file");
    site.receives(&wechat().says("x")).replies("from one");
    write_config(site.config(), &answering("two"));
    site.receives(&wechat().says("x")).replies("from two");
    write_config(site.config(), "[account");
    site.receives(&wechat().says("x")).replies("from two");
    let copies = fs::read_dir(site.folder().join("state/last-good")).expect("the copies");
    let modes: Vec<_> = copies
        .map(|copy| copy.expect("an entry").metadata().expect("a file").permissions().mode() & 0o777)
        .collect();
    // The copy, and the same compiled.
    assert_eq!(modes, [0o600, 0o600]);
}

#[test]
fn a_config_that_everybody_may_write_is_not_taken() {
    let site = Site::behind(Door::ByHand).with_config(&answering("one")).open();
    fs::set_permissions(site.config(), fs::Permissions::from_mode(0o666)).expect("our file");
    site.receives(&wechat().verifies("4711")).is(503);
    site.receives(&wechat().says("x")).acknowledges();
    is_told(&site, &["everybody on this machine may write `"]);
}

#[test]
fn a_user_in_no_passwd_without_home_and_path_gets_an_answer() {
    if web_user().is_none() {
        return;
    }
    // As in a container: asking the C library about such a user can crash a statically linked program.
    let user = 4242;
    let users = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    assert!(users.lines().all(|line| line.split(':').nth(2) != Some("4242")), "somebody has this number");
    let site = Site::behind(Door::ByHand).with_config(&answering("one")).open();
    chown(site.config(), Some(user), None).expect("root may do that");
    let asks = |request: Request| {
        site.receives_with(&request, |program| {
            program.env_remove("WXCGI_STATE_DIR").uid(user).gid(user);
        })
    };
    asks(wechat().says("x")).replies("from one");
    asks(wechat().verifies("4711")).is(200).says("4711");
    assert!(!site.stderr().contains("ERROR"), "{}", site.stderr());
}

/// A pipe that everybody may read and nobody writes to: who reads it waits for ever.
fn make_pipe(path: &Path) {
    mkfifoat(CWD, path, Mode::from_raw_mode(0o644)).expect("our folder");
}

/// The answer to a text, which came before WeChat would have hung up, out of 64 MiB of memory.
#[track_caller]
fn answers_at_once(site: &Site) -> Answer {
    let start = Instant::now();
    let answer = site.receives_with(&wechat().says("x"), |command| {
        let program = command.get_program().to_owned();
        *command = replaced(command, Path::new("/bin/sh"));
        command.args(["-c", "ulimit -v 65536 && exec \"$0\""]).arg(program);
    });
    assert!(start.elapsed() < Duration::from_secs(5), "only after {:?}: {answer}", start.elapsed());
    answer
}

#[test]
fn a_pipe_as_config_is_refused_at_once() {
    let site = Site::behind(Door::ByHand).open();
    make_pipe(site.config());
    answers_at_once(&site).acknowledges();
    site.receives(&wechat().verifies("4711")).is(503);
    is_told(
        &site,
        &["wxcgi.toml: cannot read the config: it is not a regular file; a config is a file of its own"],
    );
}

#[test]
fn a_secret_in_a_pipe_or_a_device_is_refused_at_once() {
    for file in ["pipe", "/dev/zero"] {
        let config = answering("nobody").replace("\"mytoken\"", &format!("{{ file = \"{file}\" }}"));
        let site = Site::behind(Door::ByHand).with_config(&config).open();
        let secret = site.folder().join("etc").join(file);
        if file == "pipe" {
            make_pipe(&secret);
        }
        answers_at_once(&site).acknowledges();
        site.receives(&wechat().verifies("4711")).is(503);
        let told = format!(
            "wxcgi.toml:2:9: cannot read the secret in `{}`: it is not a regular file; give the path of",
            secret.display()
        );
        is_told(&site, &[&told]);
    }
}

#[test]
fn a_state_folder_that_cannot_be_written_takes_no_answer_away() {
    for state in ["/nonexistent/state", "/proc/self", "/dev/null", ""] {
        let site = Site::behind(Door::ByHand).with_config(&answering("one")).open();
        for _ in 0..2 {
            let answer = site.receives_with(&wechat().says("x"), |program| {
                program.env("WXCGI_STATE_DIR", state).env("HOME", "/nonexistent");
            });
            answer.replies("from one");
        }
        assert!(!site.stderr().contains("ERROR"), "{}", site.stderr());
    }
}

#[test]
fn a_responder_takes_a_config_that_has_changed() {
    for door in Door::open_ones([Door::FastcgiByHand]) {
        let site = Site::behind(door).with_config(&answering("one")).open();
        site.receives(&wechat().says("x")).replies("from one");
        write_config(site.config(), &answering("two"));
        answers_soon(&site, "from two");
        // As editors save: another file takes the place of the first.
        let new = site.config().with_extension("new");
        write_config(&new, &answering("six"));
        fs::rename(&new, site.config()).expect("our files");
        answers_soon(&site, "from six");
    }
}

#[test]
fn a_responder_takes_its_config_anew_at_sighup() {
    for door in Door::open_ones([Door::FastcgiByHand]) {
        let site = Site::behind(door).with_config(&answering("one")).open();
        site.receives(&wechat().says("x")).replies("from one");
        // Nothing about the file tells that it has changed: neither its size nor its time.
        let modified = fs::metadata(site.config()).and_then(|it| it.modified()).expect("a file with a time");
        let mut file = fs::File::options().write(true).open(site.config()).expect("our file");
        std::io::Write::write_all(&mut file, answering("two").as_bytes()).expect("our file");
        file.set_modified(modified).expect("our file");
        drop(file);
        site.hang_up();
        answers_soon(&site, "from two");
        is_told(&site, &["told to reload"]);
    }
}

#[test]
fn a_responder_keeps_its_config_while_the_file_is_faulty() {
    for door in Door::open_ones([Door::FastcgiByHand]) {
        let site = Site::behind(door).with_config(&answering("one")).open();
        site.receives(&wechat().says("x")).replies("from one");
        write_config(site.config(), &faulty());
        is_told(&site, &["wxcgi.toml:4:1: unknown ", "did you mean `reply`?", "the last good one goes on"]);
        site.receives(&wechat().says("x")).replies("from one");
        site.hang_up();
        is_told(&site, &["told to reload"]);
        site.receives(&wechat().says("x")).replies("from one");
        fs::remove_file(site.config()).expect("our file");
        is_told(&site, &["cannot read the config"]);
        site.receives(&wechat().says("x")).replies("from one");
        write_config(site.config(), &answering("two"));
        answers_soon(&site, "from two");
    }
}

#[test]
fn a_responder_that_began_without_a_good_config_takes_one_as_soon_as_there_is_one() {
    for door in Door::open_ones([Door::FastcgiByHand]) {
        let site = Site::behind(door).with_config(&faulty()).open();
        site.receives(&wechat().verifies("4711")).is(503);
        site.receives(&wechat().says("x")).acknowledges();
        write_config(site.config(), &answering("two"));
        answers_soon(&site, "from two");
    }
}

#[test]
fn a_location_names_its_account_among_those_that_the_responder_knows() {
    for door in Door::open_ones([Door::FastcgiByHand]) {
        let site = Site::behind(door)
            .with_config(&answering("first"))
            .another_config("known.toml", &answering("known"))
            .taking_the_folder()
            .open();
        let folder = site.another_config("known.toml").parent().expect("a folder").to_owned();
        let asks = |config: &Path| {
            let name = |command: &mut Command| {
                command.env("WXCGI_CONFIG", config);
            };
            let checked = site.receives_with(&wechat().verifies("4711"), name);
            (site.receives_with(&wechat().says("x"), name), checked)
        };
        asks(&folder.join("known.toml")).0.replies("from known");
        asks(site.config()).0.replies("from first");
        // Nobody told it of this one, but of its folder.
        write_config(&folder.join("later.toml"), &answering("later"));
        asks(&folder.join("later.toml")).0.replies("from later");
        // Without a name it is the first.
        site.receives(&wechat().says("x")).replies("from first");
        let outside = site.folder().join("etc/outside.toml");
        write_config(&outside, &answering("outside"));
        symlink(&outside, folder.join("link.toml")).expect("our folder");
        write_config(&folder.join("notes.txt"), &answering("notes"));
        for refused in [
            outside.clone(),
            folder.join("../outside.toml"),
            folder.join("link.toml"),
            folder.join("notes.txt"),
            folder.join("absent.toml"),
            folder.clone(),
            "/etc/passwd".into(),
            "outside.toml".into(),
        ] {
            let (answer, checked) = asks(&refused);
            answer.acknowledges();
            checked.is(503).keeps_quiet_about(&["4711", "toml", "/etc"]);
        }
        is_told(&site, &["outside.toml`, which is neither on the command line nor in --config-dir"]);
    }
}

/// A config that includes what lies in `rules/`.
fn with_includes() -> String {
    format!("include = [\"rules/*.toml\"]\n{}", answering("nobody"))
}

/// An included file with one rule.
fn included_rule(word: &str, reply: &str) -> String {
    format!("[[rule]]\nname = \"{word}\"\nwhen.text = \"{word}\"\nreply = \"{reply}\"\n")
}

/// Where an included file lies.
fn included_file(site: &Site, name: &str) -> PathBuf {
    site.config().with_file_name("rules").join(name)
}

#[test]
fn under_cgi_the_next_request_sees_whatever_has_changed_in_an_included_file() {
    let site = Site::behind(Door::ByHand)
        .with_config(&with_includes())
        .including("rules/a.toml", &included_rule("x", "one"))
        .open();
    let asks = |word: &str, reply: &str| {
        // The second is answered from what the first had compiled.
        for _ in 0..2 {
            site.receives(&wechat().says(word)).replies(reply);
        }
    };
    asks("x", "one");
    write_config(&included_file(&site, "a.toml"), &included_rule("x", "changed"));
    asks("x", "changed");
    write_config(&included_file(&site, "b.toml"), &included_rule("y", "new"));
    asks("y", "new");
    write_config(&included_file(&site, "b.toml"), &included_rule("y", "newer"));
    asks("y", "newer");
    fs::remove_file(included_file(&site, "a.toml")).expect("our file");
    asks("x", "from nobody");
    assert!(!site.stderr().contains("[ERROR]"), "{}", site.stderr());
}

#[test]
fn under_cgi_the_last_good_config_is_the_whole_set_of_files() {
    let site = Site::behind(Door::ByHand)
        .with_config(&with_includes())
        .including("rules/a.toml", &included_rule("x", "one"))
        .including("rules/b.toml", &included_rule("y", "two"))
        .open();
    let all_is_well = || {
        for (word, reply) in [("x", "one"), ("y", "two"), ("z", "from nobody")] {
            site.receives(&wechat().says(word)).replies(reply);
        }
    };
    all_is_well();
    // What is good of a set that is not is not taken either.
    write_config(&included_file(&site, "a.toml"), &included_rule("x", "changed"));
    write_config(&included_file(&site, "b.toml"), "[[rule]]\nwhen.txt = \"y\"\n");
    all_is_well();
    is_told(
        &site,
        &["rules/b.toml:2:6: unknown condition `txt`; did you mean `text`?", "the last good one goes on"],
    );
    fs::remove_file(included_file(&site, "b.toml")).expect("our file");
    site.receives(&wechat().says("x")).replies("changed");
    site.receives(&wechat().says("y")).replies("from nobody");
}

#[test]
fn an_included_file_that_everybody_may_write_is_not_taken() {
    for door in Door::open_ones([Door::ByHand, Door::FastcgiByHand]) {
        let site = Site::behind(door)
            .with_config(&with_includes())
            .including("rules/a.toml", &included_rule("x", "one"))
            .open();
        site.receives(&wechat().says("x")).replies("one");
        let file = included_file(&site, "a.toml");
        write_config(&file, &included_rule("x", "another's"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).expect("our file");
        is_told(&site, &["everybody on this machine may write `", "the last good one goes on"]);
        site.receives(&wechat().says("x")).replies("one");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("our file");
        answers_soon(&site, "another's");
    }
}

#[test]
fn a_responder_takes_whatever_has_changed_in_an_included_file() {
    for door in Door::open_ones([Door::FastcgiByHand]) {
        let site = Site::behind(door)
            .with_config(&with_includes())
            .including("rules/b.toml", &included_rule("x", "one"))
            .open();
        site.receives(&wechat().says("x")).replies("one");
        write_config(&included_file(&site, "b.toml"), &included_rule("x", "two"));
        answers_soon(&site, "two");
        write_config(&included_file(&site, "a.toml"), &included_rule("x", "three"));
        answers_soon(&site, "three");
        write_config(&included_file(&site, "a.toml"), "broken");
        is_told(&site, &["rules/a.toml:1:", "the last good one goes on"]);
        site.receives(&wechat().says("x")).replies("three");
        fs::remove_file(included_file(&site, "a.toml")).expect("our file");
        answers_soon(&site, "two");
    }
}

#[test]
fn check_shows_a_fault_of_an_included_file_in_that_file() {
    let site = Site::behind(Door::ByHand)
        .with_config(&with_includes())
        .including("rules/a.toml", &included_rule("x", "{{ nobody }}"))
        .including("rules/b.toml", &included_rule("x", "never"))
        .open();
    let check = || {
        let output = site.program().arg("check").arg(site.config()).output().expect("it runs");
        (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
    };
    let (code, told) = check();
    let shown = "rules/a.toml:4:13: the template names `nobody`, which there is not\n  |\n4 | reply = \"{{ nobody }}\"\n  |";
    assert!(code == Some(2) && told.contains(shown), "{code:?} {told}");
    write_config(&included_file(&site, "a.toml"), &included_rule("x", "one"));
    let (code, told) = check();
    let shown = "rules/b.toml:1:1: warning: this rule is never reached: rule 1 `x` (rules/a.toml, line 1) waits for the same";
    assert!(code == Some(0) && told.contains(shown), "{code:?} {told}");
}
