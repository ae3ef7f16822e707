"""Seals and opens envelopes with wechatpy. One JSON object on stdin, one on stdout."""

import json
import sys

from wechatpy.crypto import WeChatCrypto

job = json.load(sys.stdin)
crypto = WeChatCrypto(job["token"], job["encoding_aes_key"], job["app_id"])
if job["do"] == "seal":
    done = {"envelope": crypto.encrypt_message(job["xml"], job["nonce"], job["timestamp"])}
else:
    xml = crypto.decrypt_message(job["envelope"], job["msg_signature"], job["timestamp"], job["nonce"])
    done = {"xml": xml if isinstance(xml, str) else xml.decode()}
json.dump(done, sys.stdout)
