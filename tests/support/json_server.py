"""A bot behind a server, and who guards rules: it takes what is signed as the README says. Ends with its stdin.

Argument: the secret. Prints its port. A GET tells what was asked so far, a line each: the path and the text.
"""

import hashlib
import hmac
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

secret = sys.argv[1].encode()
asked = []


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, "text/plain", "\n".join(asked))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        timestamp = self.headers["X-Wxcgi-Timestamp"] or "0"
        expected = "sha256=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        is_ours = hmac.compare_digest(expected, self.headers["X-Wxcgi-Signature"] or "")
        if not is_ours or abs(time.time() - int(timestamp)) > 60:
            return self.answer(403, "text/plain", "who are you?")
        question = json.loads(body)
        text = question["message"]["content"]
        asked.append(f"{self.path} {text}")
        assert int(self.headers["X-Wxcgi-Deadline-Ms"]) == question["deadline_ms"]
        if self.path == "/ask":
            self.ask(question)
        elif self.path == "/may":
            self.answer(204 if text.startswith("会员") else 403, "text/plain", "")
        else:
            # Whoever asks has to leave first.
            self.rfile.read(1)

    def ask(self, question):
        city, times = question["captures"]["rest"], question["session"].get("times", 0) + 1
        if city == "故障":
            return self.answer(500, "application/json", '{"reply": "secret"}')
        reply = {"reply": [f"{city}第{times}次", {"text": "再见"}], "session": {"times": times}}
        self.answer(200, "application/json; charset=utf-8", json.dumps(reply))

    def answer(self, status, kind, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
