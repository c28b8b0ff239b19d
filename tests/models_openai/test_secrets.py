"""Images, questions and a key go to whom the user named, and the key is written nowhere."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
from home import Home, vlmbench
from PIL import Image

from vlmbench.models import Prompt, load_backend
from vlmbench.models.openai import OpenAIBackend
from vlmbench.models.openai._secret import Secret
from vlmbench.registry import catalogue, check_hosts
from vlmbench.spec import GenerationKwargs, ModelSpec, Server, load_file
from vlmbench.types import VlmbenchError

KWARGS = GenerationKwargs(max_gen_toks=8)
PROMPT = Prompt(user="<image>\nwhich?", images=(Image.new("RGB", (4, 4), (200, 10, 10)),))


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setattr("vlmbench.models.openai._client.FIRST_WAIT_S", 0.01)


def stranger(folder: Path, address: str, **server: object) -> Path:
    """Write the YAML of a model behind a server."""
    path = folder / "stranger.yaml"
    about = {"base_url": address, "api_key_env": "VLMBENCH_TEST_API_KEY", **server}
    spec = {"model": "stranger", "backend": "openai", "checkpoint": "m", "server": about}
    path.write_text(json.dumps(spec))
    return path


def make(url: str, **more: object) -> OpenAIBackend:
    about = {"base_url": url, "api_key_env": "VLMBENCH_TEST_API_KEY", "retries": 1, "timeout_s": 5}
    server = Server.model_validate(about | more)
    spec = ModelSpec(model="m", backend="openai", checkpoint="name", server=server)
    return OpenAIBackend.load(spec, None, None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("address", "hosts"),
    [
        ("http://127.0.0.1:8000/v1", ()),
        ("http://localhost:8000/v1", ()),
        ("http://[::1]:8000/v1", ()),
        ("https://api.openai.com/v1", ()),
        ("https://API.openai.com:443/v1", ("api.openai.com",)),
        ("http://gpu-7:8000/v1", ("gpu-7",)),
        ("http://10.0.0.7:8000/v1", ("10.0.0.7",)),
        ("http://[fd00::7]:8000/v1", ("fd00::7",)),
    ],
)
def test_this_machine_what_ships_and_what_is_named_may_be_asked(tmp_path, address, hosts):
    check_hosts([load_file(stranger(tmp_path, address))], hosts)


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://evil.example/v1", "evil.example"),
        ("http://api.openai.com/v1", "api.openai.com"),  # not as it ships: the key could be read
        ("https://api.openai.com:8443/v1", "api.openai.com"),
        ("https://api.openai.com.evil.example/v1", "api.openai.com.evil.example"),
        ("http://127.0.0.1.evil.example/v1", "127.0.0.1.evil.example"),
        ("http://0.0.0.0:8000/v1", "0.0.0.0"),
        ("http://169.254.169.254/v1", "169.254.169.254"),
    ],
)
def test_any_other_host_is_refused_before_anything_is_sent(tmp_path, address, host):
    model = load_file(stranger(tmp_path, address))
    with pytest.raises(VlmbenchError) as error:
        load_backend(model, "cpu", "auto")
    assert f"{host} would be sent" in str(error.value)
    assert "VLMBENCH_TEST_API_KEY" in str(error.value)
    assert f"`--allow-host {host}`" in str(error.value)
    assert error.value.problems[0].field == "server.base_url"


def test_the_models_that_ship_may_be_asked():
    found = catalogue()
    check_hosts(found.models[name] for name in found.model_tags["hosted"])


@pytest.mark.parametrize("host", ["https://evil.example", "evil.example:80", "a/b", "", "*"])
def test_what_is_no_host_is_not_allowed(host):
    with pytest.raises(VlmbenchError, match="is not the name or address of a host"):
        check_hosts([], [host])


@pytest.mark.parametrize("command", ["run", "plan", "lm-eval"])
def test_commands_ask_for_the_host_and_take_it(tmp_path, command):
    path = stranger(tmp_path, "http://evil.invalid/v1")
    words = (command, "-m", path, "-t", "naming", "--limit", 1)
    words = words[:-2] if command == "plan" else words
    more = () if command == "plan" else ("--output", tmp_path / "run")
    said = vlmbench(*words, *more, status=1)
    assert "--allow-host evil.invalid" in said.words
    assert not (tmp_path / "run").exists()
    allowed = (*words, *more, "--allow-host", "evil.invalid")
    said = vlmbench(*allowed, status=0 if command == "plan" else 1)
    assert "--allow-host" not in said.words
    if command != "plan":
        assert "cannot reach the server" in said.words


def test_a_run_folder_allows_nothing(tmp_path):
    """Somebody else's folder says what to run, and not what may be sent where."""
    home, output = Home(tmp_path), tmp_path / "run"
    path = stranger(home.folder, "http://evil.invalid/v1", retries=0)
    words = ("-m", path, "-t", "naming", "--limit", 1, "--output", output)
    vlmbench("run", *words, "--allow-host", "evil.invalid", status=1)
    assert "evil.invalid" not in (output / "request.json").read_text()
    assert "--allow-host evil.invalid" in vlmbench("retry", output, status=1).words
    said = vlmbench("retry", output, "--allow-host", "evil.invalid", status=1)
    assert "cannot reach the server" in said.words


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(scripted, status):
    got: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def _any(self) -> None:
            got.append(self.path)
            self.send_response(200)
            self.end_headers()

        do_GET = do_POST = _any

    other = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    thread = threading.Thread(target=other.serve_forever, args=(0.05,))
    thread.start()
    to = {"Location": f"http://127.0.0.1:{other.server_address[1]}/v1/chat/completions"}
    try:
        with scripted(lambda *_: (status, b"", to)) as url, pytest.raises(VlmbenchError) as error:
            make(url).answer([PROMPT], KWARGS)
    finally:
        other.shutdown()
        other.server_close()
        thread.join()
    assert f"HTTP {status}" in str(error.value)
    assert got == []


FORMS = {
    "whole": lambda key: key,
    "begun": lambda key: key[:28],
    "ended": lambda key: key[-20:],
    "shouted": str.upper,
    "percent": lambda key: quote(key, safe=""),
    "base64": lambda key: base64.b64encode(f"Bearer {key}".encode()).decode(),
    "base64 shifted": lambda key: base64.b64encode(f"x:{key}:y".encode()).decode(),
    "hexadecimal": lambda key: key.encode().hex(),
    "escaped": lambda key: "".join(f"\\u{ord(c):04x}" for c in key),
    "JSON within JSON": lambda key: json.dumps(json.dumps({"k": key})),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_key_is_taken_out_however_it_is_written(key, form):
    said = f"before {FORMS[form](key)} after"
    left = Secret(key).out_of(said)
    assert left.startswith("before ")
    assert left.endswith(" after")
    assert "[key]" in left
    assert len(left) <= len("before [key] after") + 20  # what stands around it, and odd ends


def test_what_is_no_key_stays():
    honest = "The sky is blue; sk-test- is how keys begin. " * 3
    assert Secret("sk-test-0cf3a1d97b62e845").out_of(honest) == honest
    assert Secret("EMPTY").out_of("EMPTY") == "EMPTY"
    assert Secret(None).out_of(honest) == honest


@pytest.mark.parametrize("padding", range(340, 402, 3))
def test_a_key_where_a_message_is_shortened_is_gone_as_a_whole(scripted, key, padding):
    said = {"error": {"message": "x" * padding + key + "y" * 400}}
    with scripted(lambda *_: (500, said, {})) as url, pytest.raises(VlmbenchError) as error:
        make(url, retries=0).answer([PROMPT], KWARGS)
    assert not any(key[at : at + 6] in str(error.value) for at in range(len(key) - 5))


@pytest.mark.parametrize("field", ["content", "finish_reason", "token", "listed"])
def test_no_text_of_a_server_brings_the_key_to_disk(scripted, completion, key, tmp_path, field):
    said = completion(f"A {key}" if field == "content" else "A", A=-0.1, B=-3.0)
    if field == "finish_reason":
        said["choices"][0]["finish_reason"] = "z" * 55 + key + "\x1b[2J"
    if field == "token":
        said["choices"][0]["logprobs"]["content"][0]["token"] = key
    if field == "listed":
        said["choices"][0]["logprobs"]["content"][0]["top_logprobs"][1]["token"] = key
    with scripted(lambda *_: (200, said, {})) as url:
        backend = make(url)
        backend.keep(tmp_path / "answers.jsonl")
        (reply,) = backend.answer([PROMPT], KWARGS, [["A", "B"]])
    for text in ((tmp_path / "answers.jsonl").read_text(), str(reply)):
        assert not any(key[at : at + 6] in text for at in range(8, len(key) - 5))
        assert "\x1b" not in text
        assert "[key]" in text or field in ("token", "listed")
