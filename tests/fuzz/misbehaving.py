"""A server on this machine that sends exactly the bytes that it is told to, as slowly as told."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Play = Callable[[socket.socket, bytes], None]
"""Given a connection and the request that came over it, sends something or not."""


@contextmanager
def playing(play: Play) -> Iterator[str]:
    """Run a server that does this with every request; gives the address of its models."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                while request := _request(self.request):
                    play(self.request, request)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        block_on_close = False

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _request(connection: socket.socket) -> bytes:
    """Return a request; nothing once there are no more."""
    head = b""
    while b"\r\n\r\n" not in head:
        part = connection.recv(1 << 16)
        if not part:
            return b""
        head += part
    head, _, body = head.partition(b"\r\n\r\n")
    lines = (line.partition(b":") for line in head.lower().split(b"\r\n"))
    length = next(int(value) for name, _, value in lines if name == b"content-length")
    while len(body) < length:
        body += connection.recv(1 << 16)
    return head + b"\r\n\r\n" + body


def answer(text: object = "A", **choice: Any) -> dict[str, Any]:
    """Return a good chat completion; `choice` replaces keys of its choice."""
    listed = [{"token": token, "logprob": value} for token, value in (("A", -0.1), ("B", -3.0))]
    about = {
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
        "logprobs": {"content": [{**listed[0], "top_logprobs": listed}]},
    }
    return {
        "id": "x",
        "object": "chat.completion",
        "choices": [about | choice],
        "usage": {"prompt_tokens": 100, "completion_tokens": 2, "total_tokens": 102},
    }


def framed(body: bytes, *headers: str, status: str = "200 OK", version: str = "1.1") -> bytes:
    """Return a response with a length."""
    lines = [f"HTTP/{version} {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def sent(*steps: bytes | float, ends: bool = True) -> Play:
    """Send bytes and wait seconds in turn, and then end the connection."""

    def play(connection: socket.socket, _: bytes) -> None:
        for step in steps:
            if isinstance(step, bytes):
                connection.sendall(step)
            else:
                time.sleep(step)
        if ends:
            connection.shutdown(socket.SHUT_RDWR)

    return play


def said(found: object, *headers: str, status: str = "200 OK") -> Play:
    """Send JSON as it should be sent."""
    body = found if isinstance(found, bytes) else json.dumps(found).encode()
    return sent(framed(body, *headers, status=status), ends=False)


def endless(head: bytes, part: bytes, *, wait: float = 0.0, most: float = 8.0) -> Play:
    """Send a part over and over, until the other side has had enough."""

    def play(connection: socket.socket, _: bytes) -> None:
        connection.sendall(head)
        until = time.monotonic() + most
        while time.monotonic() < until:
            connection.sendall(part)
            time.sleep(wait)

    return play


def reset(before: bytes = b"") -> Play:
    """Send some bytes and break the connection off."""

    def play(connection: socket.socket, _: bytes) -> None:
        connection.sendall(before)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    return play


def repeated(connection: socket.socket, request: bytes) -> None:
    """Say everything that was asked again, wherever text may stand; the key is in there."""
    heard = request.partition(b"\r\n\r\n")[0].decode("latin-1")
    found = answer(heard, finish_reason=heard) | {"model": heard}
    found["choices"][0]["logprobs"]["content"][0]["token"] = heard
    said(found)(connection, request)


def refused_with(connection: socket.socket, request: bytes) -> None:
    """Refuse with all that was asked."""
    heard = request.partition(b"\r\n\r\n")[0].decode("latin-1")
    said({"error": {"message": "z" * 350 + heard, "code": heard}}, status="500 No")(
        connection, request
    )


GOOD = framed(json.dumps(answer()).encode())
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(bytes(200 * 2**20), 1)
ESCAPES = "\x1b]0;x\x07\x1b[2J\x00\u202e\u200b\ud800"


def _waits(*values: str) -> dict[str, Play]:
    return {
        f"retry after {value[:20]}": said({}, f"Retry-After: {value}", status="429 Slow")
        for value in values
    }


def _statuses(*values: str) -> dict[str, Play]:
    return {f"status {value}": said(answer(), status=value) for value in values}


def _bodies(**values: object) -> dict[str, Play]:
    return {name.replace("_", " "): said(value) for name, value in values.items()}


def _usage(**counts: object) -> Play:
    return said(answer() | {"usage": counts})


def _listed(*entries: object) -> Play:
    return said(answer(logprobs={"content": [{"token": "A", "logprob": -0.1,
                                              "top_logprobs": list(entries)}]}))  # fmt: skip


MISBEHAVIOUR: dict[str, Play] = {
    **_statuses("102 Wait", "199 Odd", "204 None", "206 Part", "304 Same", "307 There", "401 Who",
                "404 Where", "408 Late", "413 Large", "418 Tea", "500 No", "599 No", "600 Odd",
                "999 Odd", "2000 Odd", "-1 Odd", "abc", ""),
    **_waits("1000000000", "-5", "nan", "inf", "1e400", "9" * 5000, "Fri, 31 Dec 9999 23:59:59",
             "Fri, 31 Dec 99999 99:99:99 +9999", "soon", "0x10", "\x1b[2J"),
    "nothing": sent(),
    "reset": reset(),
    "reset in the head": reset(HEAD),
    "reset in the body": reset(GOOD[:-20]),
    "silence": endless(b"", b"", wait=0.05, most=3.0),
    "silence in the body": endless(GOOD[:-20], b"", wait=0.05, most=3.0),
    "a head in drops": endless(HEAD, b"X: y\r\n", wait=0.05),
    "a name in drops": endless(HEAD, b"X", wait=0.05),
    "a body in drops": endless(HEAD + b"Content-Length: 9999\r\n\r\n", b" ", wait=0.05),
    "chunks in drops": endless(CHUNKED, b"1\r\n \r\n", wait=0.05),
    "headers without end": endless(HEAD, b"X: " + b"y" * 1000 + b"\r\n"),
    "a header without end": endless(HEAD + b"X: ", b"y" * 10_000),
    "a status without end": endless(b"HTTP/1.1 200 ", b"y" * 10_000),
    "a body without end": endless(HEAD + b"\r\n", b" " * 2**20),
    "chunks without end": endless(CHUNKED, b"100000\r\n" + b" " * 2**20 + b"\r\n"),
    "informational without end": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a large body": sent(framed(b" " * (40 * 2**20))),
    "a gzip bomb": sent(framed(BOMB, "Content-Encoding: gzip")),
    "bombs in a bomb": sent(framed(gzip.compress(BOMB), "Content-Encoding: gzip, gzip")),
    "no gzip": said(answer(), "Content-Encoding: gzip"),
    "an unknown packing": said(answer(), "Content-Encoding: \x1b[2J"),
    "HTTP/1.0": sent(b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps(answer()).encode()),
    "HTTP/0.9": sent(json.dumps(answer()).encode()),
    "HTTP/9.9": sent(GOOD.replace(b"1.1", b"9.9")),
    "no HTTP": sent(b"SSH-2.0-OpenSSH_9.6\r\n" * 3),
    "TLS": sent(b"\x16\x03\x03\x00\x7a\x02" + bytes(100)),
    "a header without name": sent(GOOD.replace(b"\r\n\r\n", b"\r\n: x\r\n\r\n", 1)),
    "a header without value": sent(GOOD.replace(b"\r\n\r\n", b"\r\nxyz\r\n\r\n", 1)),
    "a folded header": sent(GOOD.replace(b"\r\n\r\n", b"\r\nX: a\r\n b\r\n\r\n", 1)),
    "two lengths": sent(GOOD.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n", 1)),
    "length and chunks": sent(GOOD.replace(b"\r\n", b"\r\nTransfer-Encoding: chunked\r\n", 1)),
    "a length below none": sent(HEAD + b"Content-Length: -5\r\n\r\n{}"),
    "a length of words": sent(HEAD + b"Content-Length: many\r\n\r\n{}"),
    "a length too long": sent(HEAD + b"Content-Length: 99999999999999999999\r\n\r\n{}"),
    "a length too short": sent(HEAD + b"Content-Length: 5\r\n\r\n" + json.dumps(answer()).encode()),
    "chunks of no size": sent(CHUNKED + b"xyz\r\n{}\r\n0\r\n\r\n"),
    "a chunk too large": sent(CHUNKED + b"ffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
    "chunks cut off": sent(CHUNKED + b"5\r\n{\"a\"\r\n"),
    "two answers": sent(GOOD + GOOD),
    "cookies": said(answer(), *[f"Set-Cookie: a{i}={'x' * 900}" for i in range(90)]),
    "a redirect to a file": said({}, "Location: file:///etc/passwd", status="302 There"),
    "latin-1": said(json.dumps(answer("é"), ensure_ascii=False).encode("latin-1")),
    "UTF-16": said(json.dumps(answer()).encode("utf-16"), "Content-Type: text/html; charset=x"),
    "a page": said(b"<html>" * 1000, "Content-Type: text/html"),
    "broken UTF-8": said(b'{"choices": "' + b"\xff" * 10_000 + b'"}'),
    "deep": said(b"[" * 200_000),
    "deep and an error": said(b'{"error":' * 900 + b"1" + b"}" * 900),
    "a long number": said(b'{"choices": ' + b"9" * 10_000 + b"}"),
    "an error of a long code": said({"error": {"code": "4" * 5000, "message": "m"}}),
    "a long error": said({"error": {"message": "x" * 10**6}}, status="500 No"),
    "an odd error": said({"error": [{"message": {"a": ESCAPES}}]}, status="400 No"),
    "escapes in an error": said({"error": {"message": ESCAPES}}, status="400 No"),
    "escapes in an answer": said(answer(ESCAPES, finish_reason=ESCAPES)),
    "what was asked": repeated,
    "what was asked, refused": refused_with,
    **_bodies(
        empty=b"", null=None, a_number=3, a_list=[], a_text="A", an_object={},
        choices_null={"choices": None}, choices_none={"choices": []}, choices_text={"choices": "A"},
        choice_null={"choices": [None]}, choice_a_list={"choices": [[]]},
        no_message={"choices": [{"finish_reason": "stop"}]},
        message_a_list=answer(message=["A"]), message_null=answer(message=None),
        content_a_number=answer(5), content_an_object=answer({"text": "A"}),
        content_of_numbers=answer([1, 2]), content_of_odd_parts=answer([{"type": "text"}]),
        content_of_texts_in_lists=answer([{"type": "text", "text": ["A"]}]),
        a_long_text=answer("A " * 600_000), ending_an_object=answer(finish_reason={"a": [1]}),
        a_long_ending=answer(finish_reason="x" * 10**6),
        no_likelihoods=answer(logprobs=None), likelihoods_a_list=answer(logprobs=[1]),
        likelihoods_of_nothing=answer(logprobs={"content": []}),
        likelihoods_of_null=answer(logprobs={"content": [None]}),
        usage_a_list=answer() | {"usage": [1]}, usage_a_text=answer() | {"usage": "much"},
    ),
    "tokens below none": _usage(prompt_tokens=-(10**9), completion_tokens=-1),
    "tokens without end": said(json.dumps(answer()).replace("100,", "1e999,").encode()),
    "tokens of words": _usage(prompt_tokens="many", completion_tokens=[2]),
    "tokens in halves": _usage(prompt_tokens=1.5, completion_tokens=True),
    "many tokens": _usage(prompt_tokens=10**30, completion_tokens=10**30),
    "a likelihood NaN": _listed({"token": "A", "logprob": float("nan")},
                                {"token": "B", "logprob": -1.0}),
    "a likelihood above one": _listed({"token": "B", "logprob": 5.0}),
    "a likelihood in words": _listed({"token": "B", "logprob": "likely"}),
    "a likelihood without token": _listed({"logprob": -1.0}),
    "a token that is none": _listed({"token": {"a": 1}, "logprob": -1.0}),
    "half a token": _listed({"token": "\ud800", "logprob": -1.0}),
    "a token too long": _listed({"token": "B" * 2_000_000, "logprob": -1.0}),
    "many likelihoods": _listed(*({"token": str(i), "logprob": -9.0} for i in range(50_000))),
}  # fmt: skip
