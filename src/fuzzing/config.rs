//! The config file.

use std::path::Path;

use super::answer::{assert_legal, push};
use crate::account::{Account, Surroundings};
use crate::config::fault::{Fault, PlacedFault, Severity};
use crate::config::{Config, Thoroughness};
use crate::wechat::message::Message;
use crate::wechat::xml::parse;

/// Files that a config names are looked for here, and not found.
const FOLDER: &str = "/nonexistent";

/// A secret, as no input will hold it by chance.
const SECRET: &str = "Zq8vT3kXw1";

/// Every fault stands in the file and can be shown, no secret is, the same text says the same twice, and what checks
/// serves.
///
/// # Panics
///
/// If it does not hold.
pub fn config(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (config, faults) = parsed(text, Thoroughness::Full);
    assert_faults(text, &faults);
    assert_eq!(config.is_none(), faults.iter().any(|fault| fault.severity == Severity::Fault), "{faults:?}");
    let (again, same) = parsed(text, Thoroughness::Full);
    assert_eq!((shown(config.as_ref()), &faults), (shown(again.as_ref()), &same), "twice");
    assert_discreet(text);
    if let Some(config) = config {
        let (quick, _) = parsed(text, Thoroughness::CheckedBefore);
        assert_eq!(shown(Some(&config)), shown(quick.as_ref()), "once it was checked");
        quick.into_iter().chain([config]).for_each(assert_serves);
    }
}

fn parsed(text: &str, thoroughness: Thoroughness) -> (Option<Config>, Vec<Fault>) {
    Config::parse(text, Path::new(FOLDER), thoroughness)
}

/// A config as text, as far as it does not depend on what was compiled.
fn shown(config: Option<&Config>) -> String {
    format!(
        "{:?}",
        config.map(|config| (&config.account, &config.server, &config.log, config.further_files()))
    )
}

/// Every fault has a place inside the file, and can be shown.
fn assert_faults(text: &str, faults: &[Fault]) {
    for fault in faults {
        let Some(span) = &fault.span else { continue };
        assert!(span.start <= span.end && span.end <= text.len(), "{fault:?} in {} bytes", text.len());
    }
    let lines = text.split('\n').count();
    let placed = PlacedFault::all("a.toml", text, faults);
    for (placed, fault) in placed.iter().zip(faults) {
        assert_eq!(*placed, PlacedFault::new("a.toml", text, fault), "placed alone and among others");
        assert!(placed.line.is_none_or(|line| (1..=lines).contains(&line)), "{placed:?}");
        assert!(placed.column != Some(0) && placed.line.is_some() == fault.span.is_some());
        assert!(!placed.one_line().contains('\n'), "{}", placed.one_line());
        assert!(placed.for_people().starts_with("a.toml:"));
    }
}

/// No fault shows the account's secrets, whatever stands below them.
fn assert_discreet(text: &str) {
    if text.contains(SECRET) {
        return;
    }
    let text = format!("[account]\ntoken = \"{SECRET}\"\napp_secret = '{SECRET}'\n{text}");
    let (_, faults) = parsed(&text, Thoroughness::Full);
    for placed in PlacedFault::all("a.toml", &text, &faults) {
        assert!(!placed.for_people().contains(SECRET) && !placed.one_line().contains(SECRET), "{placed:?}");
    }
}

/// An account of a config that checks answers messages, or refuses them.
fn assert_serves(config: Config) {
    let terms = Account::new(config, Surroundings::default()).terms;
    let frame = |what: &str| {
        format!(
            "<xml><ToUserName>gh_0123456789ab</ToUserName><FromUserName>oUser</FromUserName>\
             <CreateTime>1700000000</CreateTime>{what}<MsgId>1</MsgId></xml>"
        )
    };
    for what in [
        "<MsgType>text</MsgType><Content>你好 天气 123</Content>",
        "<MsgType>image</MsgType><PicUrl>http://example.com/</PicUrl><MediaId>m</MediaId>",
        "<MsgType>event</MsgType><Event>CLICK</Event><EventKey>key</EventKey>",
    ] {
        let document = frame(what);
        let response = push(&terms, document.as_bytes());
        match response.status {
            200 => {
                let root = parse(document.as_bytes()).expect("XML");
                assert_legal(&response.body, &Message::from_xml(&root).expect("a message"));
            }
            // Openly where the config wants it sealed; another receiver; a path with a slash too many; no time.
            status => assert!([400, 403, 404].contains(&status), "{response:?}"),
        }
    }
}
