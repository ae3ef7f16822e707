//! `simulate`: what a person sees of a handler, who has only this command.

use super::Desk;
use crate::support::repository;

/// A rule that has `script` run by a shell.
fn asks(script: &str) -> String {
    format!(
        "[account]\ntoken = \"mytoken\"\n[[rule]]\nwhen.text = \"问\"\nexec = [\"sh\", \"-c\", \"{script}\"]\n\
         on_error = \"出错\"\nlate = \"hold\"\n"
    )
}

#[test]
fn why_a_handler_failed_is_shown() {
    let desk = Desk::with(&asks("echo weh >&2; exit 3"));
    for _ in 0..2 {
        let ran = desk.run(["simulate", "问"]);
        ran.exits(0).prints(&["account  出错\n"]).complains(&["`sh` says `weh`", "exit status: 3"]);
        assert_eq!(ran.err.lines().count(), 2, "{ran:?}");
    }
}

#[test]
fn who_waits_longer_than_wechat_is_told_of_its_patience() {
    let ran = Desk::with(&asks("sleep 20")).run(["simulate", "问"]);
    ran.exits(0).prints(&["(nothing; the user sees no answer)", "hung up after 5 s", "`--retries`"]);
}

#[test]
fn a_state_folder_is_named_from_where_we_are() {
    let desk = Desk::with(&asks("yes 长 | head -n 700"));
    let says = |text| {
        let mut command = desk.command(["simulate", text]);
        super::Ran::of(command.env("WXCGI_STATE_DIR", "state"))
    };
    says("问").exits(0).prints(&["（还有 1 条，回复“继续”查看）"]);
    says("继续").exits(0).prints(&["account  长\n"]);
    assert!(desk.at("state/worker.log").exists());
}

#[test]
fn what_the_examples_say_to_try_can_be_tried() {
    let desk = Desk::new();
    let example = std::fs::read_to_string(repository().join("examples/chatbot.toml")).expect("an example");
    let line = example.lines().find_map(|line| line.strip_prefix("# Try: wxcgi ")).expect("a command");
    let mut command = desk.command([]);
    let ran = super::Ran::of(command.args(line.split(' ')).current_dir(repository()));
    // Whoever has such a server on his machine is answered.
    ran.exits(0).prints(&["user     你好\naccount  "]);
}
