//! The Redis of the README.

use std::fs;

use super::server::{RedisServer, store_at};
use crate::support::{PATIENCE, available, repository, wait_until};
use wxcgi::store::{Claim, Holder};

/// The block of the section about the store in this language (`text`, `toml`).
fn block(readme: &str, kind: &str) -> String {
    let text = fs::read_to_string(repository().join(readme)).unwrap();
    let section = ["\n### Store\n", "\n### 存储\n"].iter().find_map(|heading| text.split_once(heading));
    let (_, section) = section.expect("a section about the store");
    let (_, block) = section.split_once(&format!("\n```{kind}\n")).expect("a block in it");
    block.split_once("\n```").expect("it ends").0.to_owned()
}

#[test]
fn it_serves_as_it_is_written_there() {
    if !available("redis-server") {
        return;
    }
    let conf = block("README.md", "text");
    assert_eq!(conf, block("README.zh-CN.md", "text"));
    let url = block("README.md", "toml");
    assert_eq!(url, block("README.zh-CN.md", "toml"));
    let (_, url) = url.split_once("# ").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("redis.conf");
    fs::write(&path, conf).unwrap();
    let mut server = RedisServer::of_config(&path);
    let host = server.url().replace("redis://", "").replace("/0", "");
    let url = url.replace("10.0.0.2:6379/0", &format!("{host}/0"));
    let (one, other) = (store_at(&url, PATIENCE, "wx1"), store_at(&url, PATIENCE, "wx1"));
    let life = PATIENCE * 10;
    assert_eq!(one.claim("1", Holder([1; 16]), life, life).unwrap(), Claim::Yours);
    assert_eq!(other.claim("1", Holder([2; 16]), life, life).unwrap(), Claim::Running { attempt: 2 });
    assert!(one.finish("1", Holder([1; 16]), b"answer", life).unwrap());
    server.restart();
    // It asks who we are before it says that it is still reading what it had.
    wait_until("Redis has read its data", || other.get("1").is_ok());
    let answered = Claim::Answered { answer: b"answer".to_vec(), attempt: 3 };
    assert_eq!(other.claim("1", Holder([2; 16]), life, life).unwrap(), answered);
}
