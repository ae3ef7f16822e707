/* The answer of the programs that do no work: a text reply as wxcgi writes it, byte for byte as long. */
#define ANSWER                                                               \
    "Status: 200 OK\r\nContent-Type: application/xml; charset=utf-8\r\n"     \
    "Content-Length: 236\r\n\r\n"                                            \
    "<xml><ToUserName><![CDATA[oABCD1234567890abcdefghijkl]]></ToUserName>"  \
    "<FromUserName><![CDATA[gh_0123456789ab]]></FromUserName>"               \
    "<CreateTime>1700000000</CreateTime><MsgType><![CDATA[text]]></MsgType>" \
    "<Content><![CDATA[pong]]></Content></xml>"
