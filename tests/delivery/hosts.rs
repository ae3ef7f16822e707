//! Two hosts with one Redis behind a balancer: the one that works on messages is killed, the other one sees to them.

use super::crash::{Ending, Messages, Step};
use crate::store::RedisServer;
use crate::support::{Door, Site, available, free_port};

/// The balancer gives all requests to the first host until that fails one; this one and all from then on to the other.
fn balancing(first: &Site, second: &Site, port: u16) -> String {
    format!(
        "upstream hosts {{ server 127.0.0.1:{} max_fails=1 fail_timeout=600s; server 127.0.0.1:{} backup; }}\n\
         server {{ listen 127.0.0.1:{port}; location / {{\n\
         proxy_pass http://hosts; proxy_next_upstream error timeout http_502 non_idempotent; }} }}\n",
        first.port(),
        second.port()
    )
}

fn at_two_hosts(step: Step, ending: Ending) {
    if !Door::NginxUnix.is_open() || !available("redis-server") {
        return;
    }
    let (mut messages, redis) = (Messages::for_step(step), RedisServer::start(&[]));
    let text = messages.config(&format!("[store]\nurl = \"{}\"", redis.url()));
    let [mut first, mut second] =
        [Door::NginxUnix, Door::HeldSocket].map(|door| Site::behind(door).with_config(&text).open());
    let port = free_port();
    let lines = balancing(&first, &second, port);
    let _balancer = Site::behind(Door::NginxUnix).with_config(&text).with_nginx_lines(&lines).open();
    messages.are_sent(port, || first.logs());
    // A responder looks for what dead ones have left when it starts, and every 15 s from then on. So it looks next when the
    // claims of the dead one have just run out.
    second.replace_responder();
    first.kill_responder();
    messages.each_is_answered_once(ending, &[&first, &second], port, || ());
}

#[test]
fn a_host_tells_users_that_another_failed_which_was_killed_before_they_heard_of_it() {
    at_two_hosts(Step::Begun, Ending::Failed);
}

#[test]
fn a_host_tells_users_that_another_failed_which_was_killed_after_it_had_them_wait() {
    at_two_hosts(Step::Told, Ending::Failed);
}

#[test]
fn a_host_gives_the_answers_that_another_had_worked_out_before_it_was_killed() {
    at_two_hosts(Step::Finished, Ending::Answered);
}
