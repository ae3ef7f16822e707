"""Calls WeChat's API by wechatpy's client, as a peer of the stand-in: `wechatpy_client.py BASE_URL APPID SECRET`.

A line of stdin is a call, `["menu.create", [ARGUMENT, …]]`, and a line of stdout what came of it: `{"gives": …}` or
`{"errcode": …, "errmsg": …}`. An argument `{"file": PATH}` becomes an open file, an answer that is no JSON its bytes.
"""

import functools
import json
import sys

from requests.adapters import HTTPAdapter
from wechatpy import WeChatClient
from wechatpy.exceptions import WeChatClientException

base_url, app_id, secret = sys.argv[1:]
ORIGINAL = "https://api.weixin.qq.com"


class StandIn(HTTPAdapter):
    """Leads to the stand-in what is meant for WeChat; wechatpy writes some of its URLs out."""

    def send(self, request, **options):
        request.url = base_url + request.url.removeprefix(ORIGINAL)
        return super().send(request, **options)


client = WeChatClient(app_id, secret, timeout=20)
client._http.trust_env = False
client._http.mount(ORIGINAL, StandIn())


def argument(value):
    return open(value["file"], "rb") if isinstance(value, dict) and "file" in value else value


def call(name, arguments):
    try:
        method = functools.reduce(getattr, name.split("."), client)
        gives = method(*map(argument, arguments))
    except WeChatClientException as error:
        return {"errcode": error.errcode, "errmsg": error.errmsg}
    if hasattr(gives, "content"):
        return {"gives": {"type": gives.headers["content-type"], "hex": gives.content.hex()}}
    return {"gives": gives}


for line in sys.stdin:
    print(json.dumps(call(*json.loads(line))), flush=True)
