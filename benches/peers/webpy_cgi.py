"""web.py as a CGI program, after the platform's own guide for beginners."""
import hashlib
import os
import time
import xml.etree.ElementTree as ET

import web

web.config.debug = False
TOKEN = "benchtoken"
REPLIES = {"ping": "pong"}
REPLY = (
    "<xml><ToUserName><![CDATA[{}]]></ToUserName><FromUserName><![CDATA[{}]]></FromUserName>"
    "<CreateTime>{}</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[{}]]></Content></xml>"
)


class Callback:
    def POST(self):
        body = web.data()
        query = web.input(_method="get", signature="", timestamp="", nonce="")
        parts = sorted([TOKEN, query.timestamp, query.nonce])
        if hashlib.sha1("".join(parts).encode()).hexdigest() != query.signature:
            raise web.forbidden()
        message = {child.tag: child.text for child in ET.fromstring(body)}
        content = REPLIES.get(message["Content"], message["Content"])
        web.header("Content-Type", "application/xml")
        return REPLY.format(message["FromUserName"], message["ToUserName"], int(time.time()), content)


os.environ.setdefault("PATH_INFO", "/")  # web servers leave it out where it is empty; web.py needs it
web.application((".*", "Callback"), globals()).cgirun()
