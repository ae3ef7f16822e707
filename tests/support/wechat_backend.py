"""A bot of somebody else: wechatpy behind Flask, or WeRoBot. Prints its port, and ends with its stdin.

Arguments: wechatpy or werobot, the token, and for secure mode the EncodingAESKey and the AppID.
"""

import sys
import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server

kind, token, *keys = sys.argv[1:]
aes_key, app_id = keys or (None, None)


def wechatpy_app():
    from flask import Flask, abort, request
    from wechatpy import parse_message
    from wechatpy.crypto import WeChatCrypto
    from wechatpy.exceptions import InvalidSignatureException
    from wechatpy.replies import (ArticlesReply, EmptyReply, ImageReply, MusicReply, TransferCustomerServiceReply,
                                  VideoReply, VoiceReply, create_reply)
    from wechatpy.utils import check_signature

    app = Flask(__name__)

    def answer(message):
        if message.type != "text":
            return create_reply(f"type {message.type}", message)
        made = {
            "image": lambda: ImageReply(message=message, media_id="M"),
            "voice": lambda: VoiceReply(message=message, media_id="M"),
            "video": lambda: VideoReply(message=message, media_id="M", title="t", description="d"),
            "music": lambda: MusicReply(message=message, thumb_media_id="M", title="t", description="d",
                                        music_url="u", hq_music_url="h"),
            "news": lambda: ArticlesReply(message=message, articles=[
                {"title": "标题", "description": "d", "image": "https://p", "url": "https://u"},
                {"title": "t2", "description": "", "image": "", "url": "https://u2"}]),
            "transfer": lambda: TransferCustomerServiceReply(message=message),
            "nothing": EmptyReply,
        }.get(message.content)
        return made() if made else create_reply(f"wechatpy：{message.content} {message.source} {message.id}", message)

    @app.post("/wx")
    def push():
        query = request.args
        try:
            check_signature(token, query["signature"], query["timestamp"], query["nonce"])
            if not aes_key:
                return answer(parse_message(request.data)).render()
            crypto = WeChatCrypto(token, aes_key, app_id)
            body = crypto.decrypt_message(request.data, query["msg_signature"], query["timestamp"], query["nonce"])
            reply = answer(parse_message(body)).render()
            return crypto.encrypt_message(reply, query["nonce"], query["timestamp"])
        except InvalidSignatureException:
            abort(403)

    return app


def werobot_app():
    from werobot import WeRoBot
    from werobot.replies import ArticlesReply, Article, ImageReply, MusicReply, SuccessReply, TransferCustomerServiceReply

    robot = WeRoBot(token=token, encoding_aes_key=aes_key, app_id=app_id, SESSION_STORAGE=False)

    @robot.text
    def answer(message):
        made = {
            "image": lambda: ImageReply(message=message, media_id="M"),
            "music": lambda: ["t", "d", "u", "h"],
            "news": lambda: [["标题", "d", "https://p", "https://u"]],
            "transfer": lambda: TransferCustomerServiceReply(message=message, account="a@b"),
            "nothing": lambda: None,
            "success": lambda: SuccessReply(message=message),
        }.get(message.content)
        return made() if made else f"WeRoBot：{message.content} {message.source} {message.message_id}"

    @robot.image
    def picture(message):
        return f"type {message.type}"

    return robot.wsgi


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


app = {"wechatpy": wechatpy_app, "werobot": werobot_app}[kind]()
server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
print(server.server_port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
