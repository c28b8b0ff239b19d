"""A server on this machine that takes a pull request as the Hub does, and keeps what it is sent."""

from __future__ import annotations

import base64
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FACTS = ("--organization", "A lab", "--relationship", "third_party", "--dataset", "a-lab/sights")
"""What the publisher of a run says."""

CARD = """\
---
license: mit
model-index:
- name: model
  results:
  - task:
      type: text-generation
    dataset:
      type: others/data
      name: Others
    metrics:
    - type: bleu
      value: 0.25
---
# What was there
"""


class Hub(ThreadingHTTPServer):
    """The repository `some/model`, whose card has a result of others already.

    Attributes:
        tokens: What each request was authorised with.
        commits: Revision, summary and text of files of each commit, in order.
        refuses: Whether commits are refused.
    """

    def __init__(self, *, refuses: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tokens: list[str | None] = []
        self.commits: list[tuple[str, str, dict[str, str]]] = []
        self.refuses = refuses

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *arguments: object) -> None:
        pass

    def _say(self, value: Any, status: int = 200) -> None:
        text = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.send_header("ETag", '"a"')
        self.send_header("X-Repo-Commit", "a" * 40)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.tokens.append(self.headers["Authorization"])
        self._say(
            CARD if self.path.endswith("README.md") else {"id": "some/model", "sha": "a" * 40}
        )

    def do_POST(self) -> None:
        self.server.tokens.append(self.headers["Authorization"])
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        if "/preupload/" in self.path:
            said = {"uploadMode": "regular", "shouldIgnore": False}
            files = [{"path": file["path"], **said} for file in json.loads(sent)["files"]]
            self._say({"files": files})
        elif found := re.search(r"/commit/([^?]+)", self.path):
            if self.server.refuses:
                self._say({"error": "no"}, 403)
                return
            lines = [json.loads(line) for line in sent.splitlines()]
            files = {
                line["value"]["path"]: base64.b64decode(line["value"]["content"]).decode()
                for line in lines
                if line["key"] == "file"
            }
            summary = next(line["value"]["summary"] for line in lines if line["key"] == "header")
            into = f"{found[1]}{' as a pull request' if 'create_pr=1' in self.path else ''}"
            self.server.commits.append((into, summary, files))
            address = f"{self.server.url}/some/model"
            self._say(
                {
                    "success": True, "commitOid": "b" * 40, "commitUrl": f"{address}/commit/b",
                    "pullRequestUrl": f"{address}/discussions/7",
                }
            )  # fmt: skip
        else:  # the metadata of a card is checked first
            self._say({"errors": [], "warnings": []})
