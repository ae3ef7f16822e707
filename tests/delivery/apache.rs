//! Responders behind Apache that are killed: whoever comes after them sees to their messages.

use super::crash::{Ending, Messages, Step};
use super::{OTHERWISE, User, Workshop, at_each, config};
use crate::support::{Door, FakeWechat, Site};

/// mod_proxy_fcgi, behind which a service manager starts the responder anew, and mod_fcgid, which starts its own.
const DOORS: [Door; 2] = [Door::ApacheHeldSocket, Door::ApacheFcgid];

fn behind_apache(step: Step, ending: Ending) {
    at_each(DOORS, |door| {
        let mut messages = Messages::for_step(step);
        let mut site = Site::behind(door).with_config(&messages.config("")).open();
        messages.are_sent(site.port(), || site.logs());
        if door == Door::ApacheFcgid {
            // All that there are: each does one request at a time.
            messages.kill_all(&site);
        } else {
            site.kill_responder();
            site.start_responder();
        }
        // mod_fcgid starts one when somebody asks.
        let next = User::new("next", site.port());
        messages.each_is_answered_once(ending, &[&site], site.port(), || {
            assert_eq!(next.asks("什么").as_deref(), Some(OTHERWISE), "{door:?}");
        });
    });
}

#[test]
fn a_killed_responder_of_apache_fails_those_who_had_not_heard_of_it() {
    behind_apache(Step::Begun, Ending::Failed);
}

#[test]
fn a_killed_responder_of_apache_fails_those_whom_it_had_told_to_wait() {
    behind_apache(Step::Told, Ending::Failed);
}

#[test]
fn what_a_killed_responder_of_apache_had_worked_out_is_not_lost() {
    behind_apache(Step::Finished, Ending::Answered);
}

#[test]
fn mod_fcgid_ends_no_responder_that_leaves_wechat_without_an_answer_and_works_on_it() {
    if !Door::ApacheFcgid.is_open() {
        return;
    }
    let (workshop, fake) = (Workshop::open(), FakeWechat::start());
    // Two attempts are held.
    let rules = workshop.slow_rule("slow", 12, "late = \"hold\"");
    let site = Site::behind(Door::ApacheFcgid).with_config(&config(&fake, "", &rules, "")).open();
    assert_eq!(User::new("slow", site.port()).asks("slow").as_deref(), Some("答 slow"));
    assert_eq!(workshop.runs("slow"), 1);
    assert!(!site.logs().contains("told to end"), "{}", site.logs());
}
