//! A machine that loses its power: all processes end at once, and start anew on what the disk has.

use super::crash::{Ending, Messages, Step};
use super::{User, at_each};
use crate::support::{Door, Site};

/// A process of its own for each message, with a worker, and one for all.
const DOORS: [Door; 2] = [Door::ApacheCgid, Door::NginxUnix];

fn in_the_middle(step: Step, ending: Ending) {
    at_each(DOORS, |door| {
        let mut messages = Messages::for_step(step);
        let mut site = Site::behind(door).with_config(&messages.config("")).open();
        messages.are_sent(site.port(), || site.logs() + &site.worker_log());
        messages.kill_all(&site);
        site.kill_all();
        // What the web server has begun in that moment.
        messages.kill_all(&site);
        site.start_again();
        // A CGI process is there only when somebody has a rule's handler run.
        let next = User::new("next", site.port());
        messages.each_is_answered_once(ending, &[&site], site.port(), || {
            if door == Door::ApacheCgid {
                assert_eq!(next.asks("quick").as_deref(), Some("答 quick"), "{door:?}");
            }
        });
    });
}

#[test]
fn a_reboot_while_wechat_waits_ends_in_what_the_rule_says_for_failures() {
    in_the_middle(Step::Begun, Ending::Failed);
}

#[test]
fn a_reboot_after_users_were_told_to_wait_ends_in_what_the_rule_says_for_failures() {
    in_the_middle(Step::Told, Ending::Failed);
}

#[test]
fn after_a_reboot_users_get_what_was_finished_before() {
    in_the_middle(Step::Finished, Ending::Answered);
}
