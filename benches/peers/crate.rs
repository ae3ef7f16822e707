//! A responder of the crate `fastcgi` with a fixed answer. The listening socket is descriptor 0.

use std::io::{Read, Write};

const ANSWER: &str = "Status: 200 OK\r\nContent-Type: application/xml; charset=utf-8\r\n\r\n\
    <xml><ToUserName><![CDATA[oABCD1234567890abcdefghijkl]]></ToUserName>\
    <FromUserName><![CDATA[gh_0123456789ab]]></FromUserName>\
    <CreateTime>1700000000</CreateTime><MsgType><![CDATA[text]]></MsgType>\
    <Content><![CDATA[pong]]></Content></xml>";

fn main() {
    fastcgi::run(|mut request| {
        let mut body = Vec::new();
        let _ = request.stdin().read_to_end(&mut body);
        let _ = request.stdout().write_all(ANSWER.as_bytes());
    });
}
