"""`server:` blocks: what is refused when they are loaded, what a plan says, what ships."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from home import vlmbench

from vlmbench.registry import catalogue
from vlmbench.spec import load_file
from vlmbench.types import VlmbenchError

GOOD = {"base_url": "https://example.org/v1", "api_key_env": "EXAMPLE_API_KEY"}


def load(folder: Path, server: dict | None, **more: object):
    path = folder / "m.yaml"
    spec = {"model": "m", "backend": "openai", "checkpoint": "name", "server": server, **more}
    path.write_text(json.dumps({key: value for key, value in spec.items() if value is not None}))
    return load_file(path).spec


def test_a_plain_server_loads(tmp_path: Path) -> None:
    spec = load(tmp_path, GOOD)
    assert spec.server.logprobs == "auto"
    assert spec.server.budget_usd is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"base_url": "api.example.org"}, "server.base_url"),
        ({"base_url": "https://me:hunter2@example.org"}, "server.base_url"),
        ({"base_url": "https://example.org/v1?key=hunter2"}, "server.base_url"),
        ({"base_url": "http://[broken"}, "server.base_url"),
        ({"base_url": "http://127.0.0.1:99999/v1"}, "server.base_url"),
        ({"base_url": "http://127.0.0.1\\.example.org/v1"}, "server.base_url"),
        ({"base_url": "http://127.0.0.1\n.example.org/v1"}, "server.base_url"),
        ({"base_url": "http://api.openai.com\u3002example.org/v1"}, "server.base_url"),
        ({"base_url": "http://:80/v1"}, "server.base_url"),
        ({"api_key_env": "AWS_SECRET_ACCESS_KEY"}, "server.api_key_env"),
        ({"api_key_env": "PATH"}, "server.api_key_env"),
        ({"api_key_env": "_TOKEN"}, "server.api_key_env"),
        ({"api_key_env": "sk-proj-hunter2"}, "server.api_key_env"),
        ({"api_key": "sk-proj-hunter2"}, "server.api_key"),
        ({"budget_usd": 5}, "server.budget_usd"),
        ({"budget_usd": 0}, "server.budget_usd"),
        ({"concurrency": 0}, "server.concurrency"),
        ({"body": {"messages": []}}, "server.body.messages"),
        ({"body": {"logprobs": True}}, "server.body.logprobs"),
    ],
)
def test_what_cannot_be_is_refused_and_no_secret_repeated(tmp_path, change, field) -> None:
    with pytest.raises(VlmbenchError) as error:
        load(tmp_path, GOOD | change)
    (problem,) = error.value.problems
    assert problem.field == field
    assert problem.line == 1
    assert "hunter2" not in str(problem)


def test_backend_and_server_belong_together(tmp_path: Path) -> None:
    with pytest.raises(VlmbenchError, match="needs a server"):
        load(tmp_path, None)
    with pytest.raises(VlmbenchError, match="does not use a server"):
        load(tmp_path, GOOD, backend="hf")
    with pytest.raises(VlmbenchError, match="its own chat template"):
        load(tmp_path, GOOD, prompt={"chat_template": "none"})
    with pytest.raises(VlmbenchError, match="its own switch"):
        load(tmp_path, GOOD, prompt={"thinking": 512})


def test_shipped_hosted_models_name_a_variable_and_a_budget_and_have_no_twin() -> None:
    found = catalogue()
    hosted = [found.models[name].spec for name in found.model_tags["hosted"]]
    hosts = {spec.server.base_url.split("/")[2] for spec in hosted}
    assert hosts == {
        "api.openai.com", "generativelanguage.googleapis.com", "api.anthropic.com",
    }  # fmt: skip
    for spec in hosted:
        assert spec.twin is None
        assert spec.server.base_url.startswith("https://")
        assert spec.server.api_key_env.endswith("_API_KEY")
        assert spec.server.budget_usd <= 20


def test_a_plan_says_how_choices_are_read_and_what_may_be_spent() -> None:
    said = vlmbench("plan", "-m", "hosted", "-t", "art_style,art_style_generate", "--json")
    rows = json.loads(said.out)
    notes = {(r["model"], r["task"]): r["note"] for r in rows if r["condition"] == "own"}
    assert "reads likelihoods if the server lists every choice" in notes["gpt-4.1", "art_style"]
    assert "because there are no likelihoods" in notes["claude-haiku-4-5", "art_style"]
    assert notes["gpt-4.1", "art_style_generate"].endswith("; reads generated text")
    assert "at most 20 USD" in notes["gpt-4o", "art_style"]
    assert all(row["readout"] == "prompted" for row in rows)
