//! Every message and event that WeChat is known to push, through one CGI and one FastCGI door.

use std::fs;
use std::path::PathBuf;

use crate::support::{Answer, Door, Site, WeChat, element, repository};

/// Answers what can be answered, so that replies are judged as well.
const ACCOUNT: &str = r#"
[account]
token = "mytoken"

[[rule]]
when.event = ["subscribe", "SCAN", "CLICK"]
reply = "欢迎：{{ message.event_key }}"

[default]
reply = "你好，消息已收到"
"#;

fn documents() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in ["messages", "events"] {
        let folder = repository().join("tests/data").join(folder);
        let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        files.extend(entries.map(|entry| entry.expect("an entry").path()));
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "xml"));
    files.sort();
    files
}

#[test]
fn every_known_push_gets_a_legal_answer() {
    let files = documents();
    assert!(files.len() >= 40, "only {} documents in tests/data", files.len());
    for door in Door::open_ones([Door::ApacheCgid, Door::NginxUnix]) {
        let site = Site::behind(door).with_config(ACCOUNT).open();
        let mut replies = 0;
        for file in &files {
            let push = fs::read_to_string(file).expect("a document");
            let answer = site.receives(&WeChat::with_token("mytoken").pushes(&push));
            assert!(is_legal(&answer, &push), "{}: {answer}", file.display());
            replies += usize::from(answer.text() != "success");
        }
        assert!(replies >= 5, "only {replies} replies among {} answers", files.len());
    }
}

/// What WeChat takes for an answer to `push`: `success`, or a reply whose names are swapped.
fn is_legal(answer: &Answer, push: &str) -> bool {
    let body = answer.text();
    let swapped =
        |ours, theirs| element(&body, ours) == element(push, theirs).map(|name| name.trim().to_owned());
    answer.status == 200
        && (body == "success"
            || body.starts_with("<xml>")
                && body.trim_end().ends_with("</xml>")
                && well_formed(&body)
                && swapped("ToUserName", "FromUserName")
                && swapped("FromUserName", "ToUserName")
                && element(&body, "CreateTime").is_some_and(|time| time.parse::<u64>().is_ok())
                && element(&body, "Content").is_some_and(|text| !text.is_empty() && text.len() <= 2047))
}

fn well_formed(xml: &str) -> bool {
    let mut reader = quick_xml::Reader::from_str(xml);
    loop {
        match reader.read_event() {
            Ok(quick_xml::events::Event::Eof) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}
