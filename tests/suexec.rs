//! Under suexec the program is its user's: it runs as him, knows nothing but what suexec leaves of the environment, finds
//! its config in his home and keeps its state there.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::delivery::processes;
use crate::support::{Door, Site, WeChat, element, wait_until, web_user};

const BOT: &str = r#"
[account]
token = "mytoken"

[[rule]]
when.text = "天气"
reply = "北京天气挺好的！"

[[rule]]
when.text = "谁"
exec = ["id"]

[[rule]]
when.text = "环境"
exec = ["sh", "-c", "tr '\\0' '\\n' </proc/$PPID/environ"]
"#;

fn open() -> Option<Site> {
    Door::ApacheSuexec.is_open().then(|| Site::behind(Door::ApacheSuexec).with_config(BOT).open())
}

fn says(site: &Site, text: &str) -> String {
    let answer = site.receives(&WeChat::with_token("mytoken").says(text));
    answer.is(200);
    element(&answer.text(), "Content").expect("a text")
}

/// All that lies below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
}

#[test]
fn it_answers_as_its_user_and_keeps_its_state_in_his_home() {
    let Some(site) = open() else { return };
    let user = site.user();
    assert!(user >= 1000 && Some(user) != web_user().map(|(user, _)| user), "{user}");
    let config = fs::metadata(site.config()).expect("a config");
    assert_eq!((config.uid(), config.mode() & 0o777), (user, 0o600));

    assert_eq!(says(&site, "天气"), "北京天气挺好的！");
    let name = "wxcgi-suexec";
    assert_eq!(says(&site, "谁"), format!("uid={user}({name}) gid={user}({name}) groups={user}({name})"));

    wait_until("his worker has ended", || processes(&site).is_empty());
    let state = below(site.state());
    for ending in ["log", "db", "compiled"] {
        let ends = |path: &PathBuf| path.extension().is_some_and(|its| its == ending);
        assert!(state.iter().any(ends), "{ending}: {state:?}");
    }
    for path in state.iter().map(PathBuf::as_path).chain([site.state()]) {
        assert_eq!(fs::metadata(path).expect("it is there").uid(), user, "{}", path.display());
    }
}

#[test]
fn what_the_web_server_sets_does_not_reach_it() {
    let Some(site) = open() else { return };
    let environment = says(&site, "环境");
    assert!(environment.contains("DOCUMENT_ROOT="), "{environment}");
    for name in ["WXCGI_", "HOME="] {
        assert!(!environment.contains(name), "{environment}");
    }
}

#[test]
fn a_slip_in_the_config_does_no_harm() {
    let Some(site) = open() else { return };
    assert_eq!(says(&site, "天气"), "北京天气挺好的！");
    site.replace_config("[account");
    assert_eq!(says(&site, "天气"), "北京天气挺好的！");
    assert!(site.logs().contains("last good"), "{}", site.logs());
}
