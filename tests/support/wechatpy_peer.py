"""Seals and opens envelopes and reads replies with wechatpy. A list of jobs as JSON on stdin, the list of what was done on stdout."""

import json
import sys

from wechatpy.crypto import WeChatCrypto
from wechatpy.replies import deserialize_reply


def done(job):
    if job["do"] == "read":
        reply = deserialize_reply(job["xml"])
        return {"type": reply.type, **reply._data}
    crypto = WeChatCrypto(job["token"], job["encoding_aes_key"], job["app_id"])
    if job["do"] == "seal":
        return {"envelope": crypto.encrypt_message(job["xml"], job["nonce"], job["timestamp"])}
    xml = crypto.decrypt_message(job["envelope"], job["msg_signature"], job["timestamp"], job["nonce"])
    return {"xml": xml if isinstance(xml, str) else xml.decode()}


json.dump([done(job) for job in json.load(sys.stdin)], sys.stdout)
