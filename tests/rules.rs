//! The rule language, as its users see it: each folder of `tests/golden/rules` is a config and what people send to it,
//! through both doors.

use std::fs;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use crate::support::{Door, Request, Site, WeChat, repository};

const USER: &str = "oABCD1234567890abcdefghijkl";

/// The folders, each with a config.
fn folders() -> Vec<PathBuf> {
    let folder = repository().join("tests/golden/rules");
    let mut folders: Vec<_> = fs::read_dir(&folder)
        .expect("the golden files")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    folders.sort();
    folders
}

#[test]
fn every_condition_and_flow_does_what_its_golden_tests_say() {
    let folders = folders();
    assert!(folders.len() >= 5, "{folders:?}");
    for folder in folders {
        let config = fs::read_to_string(folder.join("wxcgi.toml")).expect("a config");
        let tests = cases(&folder.join("tests"));
        for door in Door::open_ones([Door::ByHand, Door::FastcgiByHand, Door::ApacheCgid, Door::NginxUnix]) {
            let site = Site::behind(door).with_config(&config);
            let site =
                included(&folder).into_iter().fold(site, |site, (name, text)| site.including(&name, &text));
            let site = site.open();
            // Under CGI the first message has the config compiled, and those behind it are answered from that.
            for _ in 0..2 {
                for case in &tests {
                    let answer = site.receives(&case.request());
                    let shown = || format!("{} at {door:?}: {case:?}: {answer}", folder.display());
                    assert_eq!(answer.status, 200, "{}", shown());
                    assert_eq!(answer.reply_text(), case.reply, "{}", shown());
                    if let Some(rule) =
                        case.rule.as_ref().filter(|_| matches!(door, Door::ByHand | Door::FastcgiByHand))
                    {
                        let log = site.stderr();
                        let line = log.lines().rfind(|line| line.contains(" met ")).unwrap_or_default();
                        assert!(line.contains(&format!("`{rule}`")), "{line}: {}", shown());
                    }
                }
            }
        }
    }
}

/// The files that a config of these includes, from its folder.
fn included(folder: &Path) -> Vec<(String, String)> {
    let Ok(files) = fs::read_dir(folder.join("rules")) else { return Vec::new() };
    let names = files.map(|file| file.expect("an entry").file_name().into_string().expect("a plain name"));
    names
        .map(|name| format!("rules/{name}"))
        .map(|name| (name.clone(), fs::read_to_string(folder.join(name)).expect("a file")))
        .collect()
}

/// One message, and what shall be answered; `None` is `success`.
#[derive(Debug)]
struct Case {
    user: String,
    kind: String,
    fields: Vec<(String, String)>,
    rule: Option<String>,
    reply: Option<String>,
}

fn cases(folder: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    for file in fs::read_dir(folder).expect("tests") {
        let text = fs::read_to_string(file.expect("an entry").path()).expect("a file");
        let document = DeTable::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let tests =
            document.get_ref().get("test").and_then(|tests| tests.get_ref().as_array()).expect("tests");
        cases.extend(tests.iter().map(|test| Case::read(test.get_ref().as_table().expect("a test"))));
    }
    assert!(!cases.is_empty(), "no tests in {}", folder.display());
    cases
}

impl Case {
    fn read(test: &DeTable<'_>) -> Self {
        let string = |table: &DeTable<'_>, key: &str| Some(table.get(key)?.get_ref().as_str()?.to_owned());
        let expect = test.get("expect").and_then(|expect| expect.get_ref().as_table()).expect("`expect`");
        let (mut kind, mut fields) = ("text".to_owned(), Vec::new());
        match test.get("send").expect("`send`").get_ref() {
            DeValue::Table(sent) => {
                for (name, value) in sent {
                    let value = value.get_ref().as_str().expect("a text").to_owned();
                    match name.get_ref().as_ref() {
                        "type" => kind = value,
                        "event" => {
                            "event".clone_into(&mut kind);
                            fields.push(("Event".to_owned(), value));
                        }
                        "key" => fields.push(("EventKey".to_owned(), value)),
                        element => fields.push((element.to_owned(), value)),
                    }
                }
            }
            sent => fields.push(("Content".to_owned(), sent.as_str().expect("a text").to_owned())),
        }
        let user = string(test, "user").unwrap_or_else(|| USER.to_owned());
        Self { user, kind, fields, rule: string(expect, "rule"), reply: string(expect, "reply") }
    }

    fn request(&self) -> Request {
        let fields = self.fields.iter().map(|(name, value)| {
            let inner = format!("<![CDATA[{value}]]>");
            name.rsplit('/').fold(inner, |inner, element| format!("<{element}>{inner}</{element}>"))
        });
        let message = WeChat::message(&self.kind, &fields.collect::<String>()).replace(USER, &self.user);
        WeChat::with_token("mytoken").pushes(message)
    }
}

#[test]
fn a_word_in_news_is_masked_and_its_link_is_left_alone() {
    let config =
        fs::read_to_string(repository().join("tests/golden/rules/blocked/wxcgi.toml")).expect("a config");
    for door in Door::open_ones([Door::ByHand, Door::FastcgiByHand]) {
        let site = Site::behind(door).with_config(&config).open();
        let answer = site.receives(
            &WeChat::with_token("mytoken").pushes(WeChat::event("CLICK", "<EventKey>k</EventKey>")),
        );
        assert!(answer.text().contains("<Title><![CDATA[**]]></Title>"), "{answer}");
        assert!(answer.text().contains("https://a.example/赌博"), "{answer}");
    }
}
