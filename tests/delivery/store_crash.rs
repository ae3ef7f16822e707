//! A Redis that is killed and comes back while a worker of a CGI process is at it: every user gets his answer.

use super::at_each;
use super::crash::{Ending, Messages, Step};
use crate::store::RedisServer;
use crate::support::{Door, Site, available};

const DOORS: [Door; 2] = [Door::ApacheCgi, Door::ApacheCgid];

#[test]
fn a_redis_that_comes_back_before_users_are_told_to_wait_costs_no_answer() {
    if !available("redis-server") {
        return;
    }
    at_each(DOORS, |door| {
        let (mut messages, mut redis) = (Messages::for_step(Step::Begun), RedisServer::durable());
        let text = messages.config(&format!("[store]\nurl = \"{}\"", redis.url()));
        let site = Site::behind(door).with_config(&text).open();
        messages.are_sent(site.port(), String::new);
        redis.kill();
        redis.start_again();
        messages.let_go();
        messages.each_is_answered_once(Ending::Answered, &[&site], site.port(), || ());
    });
}

#[test]
fn what_is_worked_out_while_redis_is_away_is_delivered_when_it_is_back() {
    if !available("redis-server") {
        return;
    }
    at_each(DOORS, |door| {
        let (mut messages, mut redis) = (Messages::for_step(Step::Told), RedisServer::durable());
        let text = messages.config(&format!("[store]\nurl = \"{}\"", redis.url()));
        let site = Site::behind(door).with_config(&text).open();
        messages.are_sent(site.port(), String::new);
        redis.kill();
        messages.let_go();
        redis.start_again();
        messages.each_is_answered_once(Ending::Answered, &[&site], site.port(), || ());
    });
}
