"""A proxy that breaks one try in five: `faulty_proxy.py PORT UPSTREAM_PORT LOG STALL_S SEED`.

What happens to a try follows from the seed, the question and the number of the try, and so does
not depend on the order in which threads arrive. Error bodies repeat the Authorization header,
as careless gateways do. Every try is one JSON line in LOG.
"""

from __future__ import annotations

import http.client
import json
import random
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FAULTS = ("busy", "broken", "dropped before", "dropped after", "stalled")
SHARE = 0.2

port, upstream, log_path, stall_s, seed = sys.argv[1:]
tries: Counter[str] = Counter()
lock = threading.Lock()


class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.reply(200, b"{}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.path.endswith("/chat/completions"):
            self.reply(*self.forward(body))
            return
        parts = json.loads(body)["messages"][-1]["content"]
        question = " ".join(part["text"] for part in parts if part["type"] == "text")
        with lock:
            tries[question] += 1
            attempt = tries[question]
        generator = random.Random(f"{seed}/{question}/{attempt}")
        fault = generator.choice(FAULTS) if generator.random() < SHARE else ""
        secret = self.headers.get("Authorization", "")
        with lock, Path(log_path).open("a") as log:
            entry = {"question": question, "fault": fault, "had_key": bool(secret)}
            log.write(json.dumps(entry) + "\n")
        said = json.dumps({"error": {"message": f"no luck with {secret}"}}).encode()
        match fault:
            case "busy":
                self.reply(429, said, {"Retry-After": "1"})
            case "broken":
                self.reply(500, said)
            case "dropped before":
                self.close_connection = True
            case "dropped after":
                self.forward(body)
                self.close_connection = True
            case "stalled":
                time.sleep(float(stall_s))
                self.close_connection = True
            case _:
                self.reply(*self.forward(body))

    def forward(self, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", int(upstream), timeout=60)
        headers = {"Content-Type": "application/json"}
        if "Authorization" in self.headers:
            headers["Authorization"] = self.headers["Authorization"]
        connection.request("POST", self.path, body, headers)
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        return answer

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


ThreadingHTTPServer(("127.0.0.1", int(port)), Proxy).serve_forever()
