"""Checkpoints, servers in processes of their own, and a server that plays a script."""

from __future__ import annotations

import base64
import io
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from llava import make_llava, of_words
from PIL import Image
from serving import free_port, process

SERVERS = Path(__file__).parent / "servers"
# Long and odd enough that it stands nowhere by chance.
KEY = "sk-test-0cf3a1d97b62e845-never-written"
VARIABLE = "VLMBENCH_TEST_API_KEY"
# Seventeen words: a list of the twenty likeliest tokens then holds all of them.
WORDS = ["USER", "SYSTEM", "ASSISTANT", ":", "?", "A", "B", "C", "D", "which", "is", "near", "of"]
CHECKPOINT = Path(__file__).parents[2] / "models" / "tiny-clip"


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    """An API key in the environment; nothing goes through a proxy of the machine's."""
    monkeypatch.setenv(VARIABLE, KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return KEY


@pytest.fixture(scope="session")
def words_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random LLaVA of seventeen words, which begins its answers with letters."""
    import torch
    from transformers import LlavaForConditionalGeneration

    known = of_words(WORDS)
    folder = make_llava(tmp_path_factory.mktemp("words"), known, seed=3)
    model = LlavaForConditionalGeneration.from_pretrained(folder)
    others = [i for word, i in known.get_vocab().items() if word not in list("ABCD")]
    a, b, c, d = known.convert_tokens_to_ids(list("ABCD"))
    with torch.no_grad():  # of two opposite letters one is likely, whatever the state
        weight = model.lm_head.weight
        weight[others] *= 0.05
        weight[b], weight[d] = -weight[a], -weight[c]
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def transformers_serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """`transformers serve` with the shipped `tiny-clip`; the port it listens on."""
    port = free_port()
    command = [
        str(Path(sys.executable).parent / "transformers"), "serve", str(CHECKPOINT),
        "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32",
    ]  # fmt: skip
    with process(command, tmp_path_factory.mktemp("serve") / "log", port):
        yield port


@pytest.fixture(scope="session")
def likelihood_server(
    words_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """A server of `words_folder` that lists likelihoods; the port it listens on."""
    port = free_port()
    program = SERVERS / "likelihood_server.py"
    command = [sys.executable, str(program), str(port), str(words_folder)]
    with process(command, tmp_path_factory.mktemp("likelihood") / "log", port):
        yield port


@contextmanager
def faulty(upstream: int, folder: Path, *, stall_s: float, seed: int) -> Iterator[int]:
    """Run the proxy that breaks one try in five; its log is `folder / "tries.jsonl"`."""
    port = free_port()
    program = SERVERS / "faulty_proxy.py"
    log = folder / "tries.jsonl"
    arguments = (port, upstream, log, stall_s, seed)
    with process([sys.executable, str(program), *map(str, arguments)], folder / "log", port):
        yield port


Play = Callable[[int, dict, dict[str, str]], tuple[int, object, dict[str, str]]]


@contextmanager
def scripted(play: Play) -> Iterator[str]:
    """Run `play(number of the request, body, headers) -> status, body, headers` as a server."""
    count, lock = iter(range(10**6)), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer, headers = 404, {"detail": "Not Found"}, {}
            if self.path == "/v1/chat/completions":
                with lock:
                    number = next(count)
                status, answer, headers = play(number, body, dict(self.headers))
            raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def completion(text: str, prompt: int = 100, tokens: int = 2, **first: float) -> dict:
    """Return a chat completion; `first` gives the likelihoods of the first token."""
    choice: dict = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    if first:
        listed = [{"token": token, "logprob": value} for token, value in first.items()]
        choice["logprobs"] = {"content": [{**listed[0], "top_logprobs": listed}]}
    usage = {"prompt_tokens": prompt, "completion_tokens": tokens}
    return {"choices": [choice], "usage": usage}


def colour(body: dict) -> str | None:
    """Return the answer of one who sees to a canary; None where something else is asked."""
    parts = body["messages"][-1]["content"]
    if "What colour is this?" not in parts[-1]["text"]:
        return None
    data = parts[0]["image_url"]["url"].partition("base64,")[2]
    red, _, blue = Image.open(io.BytesIO(base64.b64decode(data))).getpixel((48, 48))
    return "Red" if red > blue else "Blue"


# Test modules cannot import a conftest under importlib mode; they take these as fixtures.
@pytest.fixture(scope="session", name="scripted")
def _scripted() -> Callable:
    return scripted


@pytest.fixture(scope="session", name="faulty")
def _faulty() -> Callable:
    return faulty


@pytest.fixture(scope="session", name="colour")
def _colour() -> Callable:
    return colour


@pytest.fixture(scope="session", name="completion")
def _completion() -> Callable:
    return completion
