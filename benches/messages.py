"""The messages that are sent, and the check of an answer as WeChat would make it."""

import base64
import hashlib
import random
import struct
import subprocess
import time
import xml.etree.ElementTree as ET

TOKEN, APP_ID, AES_KEY = "benchtoken", "wx0123456789abcdef", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFE"
OPENID, ACCOUNT = "oABCD1234567890abcdefghijkl", "gh_0123456789ab"
# What the last of 1,000 rules waits for, and what none does.
LAST, NONE = "查北京天气100", "谁也不等的话"


def message(content, number=0):
    return (
        f"<xml><ToUserName><![CDATA[{ACCOUNT}]]></ToUserName><FromUserName><![CDATA[{OPENID}]]></FromUserName>"
        f"<CreateTime>{int(time.time())}</CreateTime><MsgType><![CDATA[text]]></MsgType>"
        f"<Content><![CDATA[{content}]]></Content><MsgId>{7_000_000_000_000_000_000 + number}</MsgId></xml>"
    ).encode()


def signature(*parts):
    return hashlib.sha1("".join(sorted(parts)).encode()).hexdigest()


def signed_query():
    timestamp, nonce = str(int(time.time())), str(random.randrange(10**8, 10**10))
    return f"signature={signature(TOKEN, timestamp, nonce)}&timestamp={timestamp}&nonce={nonce}&openid={OPENID}"


def config(rules):
    """A config with so many rules, of which every tenth is a regular expression. `ping` meets the ninth of 20 and the
    first of 1,000; LAST meets the last of 1,000."""
    shapes = (
        r"^查(?<city>\S+)天气{}$",
        r"(?i)\border\s*{}\b",
        r"^(快递|物流){}\s*(?<code>\d{{6,12}})$",
        r"(优惠|折扣).*{}号",
    )
    text = f'[account]\ntoken = "{TOKEN}"\napp_id = "{APP_ID}"\nencoding_aes_key = "{AES_KEY}"\n[log]\nlevel = "warn"\n'
    for number in range(1, rules + 1):
        condition, reply = f'when.text = "word{number}"', f"answer {number}"
        if number == (9 if rules == 20 else 1):
            condition, reply = 'when.text = "ping"', "pong"
        elif number % 10 == 0:
            condition = f"when.regex = '{shapes[number // 10 % len(shapes)].format(number // 10)}'"
        text += f'[[rule]]\nname = "rule {number}"\n{condition}\nreply = "{reply}"\n'
    return text


def http_request(path, query, body):
    head = f"POST {path}?{query} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def fcgi_request(query, body):
    """The records that nginx sends with its `fastcgi_params` for a connection that is to be kept."""
    params = {
        "QUERY_STRING": query, "REQUEST_METHOD": "POST", "CONTENT_TYPE": "text/xml", "CONTENT_LENGTH": str(len(body)),
        "SCRIPT_NAME": "/wx", "REQUEST_URI": f"/wx?{query}", "DOCUMENT_URI": "/wx",
        "DOCUMENT_ROOT": "/usr/share/nginx/html", "SERVER_PROTOCOL": "HTTP/1.1", "REQUEST_SCHEME": "http",
        "GATEWAY_INTERFACE": "CGI/1.1", "SERVER_SOFTWARE": "nginx/1.22.1", "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "40000", "SERVER_ADDR": "127.0.0.1", "SERVER_PORT": "80", "SERVER_NAME": "localhost",
        "REDIRECT_STATUS": "200", "HTTP_HOST": "localhost", "HTTP_CONTENT_TYPE": "text/xml",
        "HTTP_CONTENT_LENGTH": str(len(body)),
    }
    begin, params_type, stdin, responder, keep_conn = 1, 4, 5, 1, 1

    def length(text):
        return struct.pack(">B", len(text)) if len(text) < 128 else struct.pack(">I", len(text) | 1 << 31)

    def record(kind, content):
        return struct.pack(">BBHHBx", 1, kind, 1, len(content), 0) + content

    pairs = b"".join(length(name) + length(value) + (name + value).encode() for name, value in params.items())
    return b"".join([
        record(begin, struct.pack(">HB5x", responder, keep_conn)),
        record(params_type, pairs), record(params_type, b""), record(stdin, body), record(stdin, b""),
    ])


def fault_of(answer, secure):
    """What is wrong with the body of an answer to `ping`; None if nothing is."""
    try:
        fields = fields_of(answer)
        if secure:
            signed = signature(TOKEN, fields["TimeStamp"], fields["Nonce"], fields["Encrypt"])
            if fields["MsgSignature"] != signed:
                return "wrong MsgSignature"
            fields = fields_of(opened(fields["Encrypt"]))
    except (ET.ParseError, KeyError, ValueError, subprocess.CalledProcessError) as error:
        return f"{error!r} in {answer[:200]}"
    wanted = {"ToUserName": OPENID, "FromUserName": ACCOUNT, "MsgType": "text", "Content": "pong"}
    return None if wanted.items() <= fields.items() else f"answered {fields}"


def fields_of(xml):
    return {child.tag: child.text for child in ET.fromstring(xml)}


def opened(encrypted):
    key = base64.b64decode(AES_KEY + "=")
    command = ["openssl", "enc", "-d", "-aes-256-cbc", "-nopad", "-K", key.hex(), "-iv", key[:16].hex()]
    text = subprocess.run(command, input=base64.b64decode(encrypted), capture_output=True, check=True).stdout
    text = text[: -text[-1]]
    end = 20 + struct.unpack(">I", text[16:20])[0]
    if text[end:].decode() != APP_ID:
        raise ValueError("another AppID")
    return text[20:end].decode()
