"""Flask and wechatpy, after wechatpy's own example; for uwsgi."""
from flask import Flask, abort, request
from wechatpy import create_reply, parse_message
from wechatpy.exceptions import InvalidSignatureException
from wechatpy.utils import check_signature

TOKEN = "benchtoken"
REPLIES = {"ping": "pong"}

app = Flask(__name__)


@app.post("/<path:place>")
def answer(place):
    try:
        check_signature(TOKEN, *(request.args.get(name, "") for name in ("signature", "timestamp", "nonce")))
    except InvalidSignatureException:
        abort(403)
    message = parse_message(request.data)
    return create_reply(REPLIES.get(message.content, message.content), message).render()
