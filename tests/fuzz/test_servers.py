"""Servers that do what no server should: a document fails, or the run ends, and nothing else."""

from __future__ import annotations

import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import misbehaving
import pytest
from guard import Outcome, guarded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from misbehaving import MISBEHAVIOUR, Play, answer, framed, playing, sent
from PIL import Image
from spoilt import places

from vlmbench.models import Prompt
from vlmbench.models.openai import OpenAIBackend, account
from vlmbench.models.openai._wire import LONGEST_TEXT
from vlmbench.spec import GenerationKwargs, ModelSpec, Server

KEY = "sk-test-0cf3a1d97b62e845-never-written"
MEMORY = 400 * 2**20
PROMPT = Prompt(user="<image>\nwhich?", images=(Image.new("RGB", (4, 4), (200, 10, 10)),))
SEEN: Counter[str] = Counter()
# One of each kind, quick; the others are soaked.
FEW = {
    "status 307 There", "status 204 None", "retry after 1e400", "reset in the body", "a gzip bomb",
    "headers without end", "two lengths", "deep", "what was asked", "what was asked, refused",
    "escapes in an answer", "tokens without end", "a likelihood NaN", "half a token",
    "likelihoods of null", "an error of a long code",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLMBENCH_TEST_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("vlmbench.models.openai._client.FIRST_WAIT_S", 0.01)
    # An absurd wait is refused by its number; none is sat out here.
    monkeypatch.setattr("vlmbench.models.openai._client.LONGEST_RETRY_AFTER_S", 1.0)


def ask(url: str, journal: Path) -> dict[str, Any]:
    """Ask one question, and say what came of it."""
    server = Server(
        base_url=url, api_key_env="VLMBENCH_TEST_API_KEY", retries=1, timeout_s=1.0, concurrency=1
    )
    spec = ModelSpec(model="m", backend="openai", checkpoint="name", server=server)
    backend = OpenAIBackend.load(spec, None, None, None)  # type: ignore[arg-type]
    backend.keep(journal)
    backend.echo(PROMPT)
    (reply,) = backend.answer([PROMPT], GenerationKwargs(max_gen_toks=8), [["A", "B"]])
    return {"error": reply.error, "text": reply.text, "finish": reply.finish,
            "logprobs": None if reply.logprobs is None else reply.logprobs.tolist(),
            "tokens": (reply.prompt_tokens, reply.completion_tokens)}  # fmt: skip


def tried(play: Play, folder: Path) -> Outcome:
    """Ask a server that does so, in a process of its own; what must hold whatever it does."""
    journal = folder / "answers.jsonl"
    journal.unlink(missing_ok=True)
    with playing(play) as url:
        outcome = guarded(
            lambda: ask(url, journal), folder=folder, hosts=("127.0.0.1",), memory=2**30
        )
    assert outcome.fault is None, outcome.fault
    assert outcome.memory < MEMORY
    written = journal.read_text() if journal.exists() else ""
    for text in (outcome.refused or "", repr(outcome.value), written):
        assert not any(KEY[at : at + 12] in text for at in range(len(KEY) - 11))
    assert "\x1b" not in (outcome.refused or "") + written
    if outcome.value is not None and not outcome.value["error"]:
        assert account(journal)["requests"] == 1
        assert "\x1b" not in outcome.value["finish"]
        outcome.value["text"].encode()
        numbers = outcome.value["logprobs"]
        assert numbers is None or all(-9999 < number <= 0 for number in numbers)
        assert all(count is None or count >= 0 for count in outcome.value["tokens"])
        assert len(outcome.value["text"]) <= LONGEST_TEXT
    SEEN["refused" if outcome.value is None else "read"] += 1
    return outcome


@pytest.mark.parametrize("kind", sorted(FEW))
def test_a_server_that_misbehaves_ends_in_a_reason(tmp_path, kind):
    tried(MISBEHAVIOUR[kind], tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("kind", sorted(MISBEHAVIOUR.keys() - FEW))
def test_every_server_that_misbehaves_ends_in_a_reason(tmp_path, kind):
    tried(MISBEHAVIOUR[kind], tmp_path)


def test_a_server_that_does_not_is_read(tmp_path):
    value = tried(misbehaving.said(answer()), tmp_path).value
    assert value == {"error": "", "text": "A", "finish": "stop", "logprobs": [-0.1, -3.0],
                     "tokens": (100, 2)}  # fmt: skip


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.sampled_from([10**400, -1, "", [], {}, [[]], [None], {"a": 1}, "\ud800", "\x1b[2J", 1e308]),
    st.just("x" * 100_000),
)  # fmt: skip


ONE_IN_FIVE = st.sampled_from([False, False, False, False, True])


@st.composite
def responses(draw: st.DrawFn) -> Play:
    """An answer in which values are replaced or left out, and whose bytes are then spoilt."""
    found = copy.deepcopy(answer(draw(st.sampled_from(["A", "(A)", "The answer is A."]))))
    for _ in range(draw(st.integers(0, 2))):
        if not (left := places(found)):
            break
        *above, key = draw(st.sampled_from(left))
        inside: Any = found
        for step in above:
            inside = inside[step]
        if draw(st.booleans()):
            inside[key] = draw(ODD)
        else:
            del inside[key]
    raw = bytearray(json.dumps(found).encode())
    if draw(ONE_IN_FIVE):
        raw[draw(st.integers(0, len(raw) - 1))] ^= 1 << draw(st.integers(0, 7))
    status = draw(st.sampled_from(["200 OK"] * 9 + ["429 Slow", "503 Busy", "400 No"]))
    whole = bytearray(framed(bytes(raw), status=status))
    if draw(ONE_IN_FIVE):
        whole[draw(st.integers(0, len(whole) - 1))] ^= 1 << draw(st.integers(0, 7))
    cut = draw(st.integers(0, len(whole))) if draw(ONE_IN_FIVE) else None
    return sent(bytes(whole[:cut]))


QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


def fuzz(folder: Path, count: int) -> None:
    """Ask that many servers whose answers are spoilt."""
    SEEN.clear()

    @settings(max_examples=count, deadline=None, database=None, derandomize=True,
              suppress_health_check=QUIET)  # fmt: skip
    @given(responses())
    def each(play: Play) -> None:
        tried(play, folder)

    each()
    print(f"{sum(SEEN.values())} spoilt answers: {dict(SEEN)}")  # noqa: T201 -- for whoever asks
    assert min(SEEN["read"], SEEN["refused"]) >= count // 10


def test_spoilt_answers_are_read_or_refused(tmp_path):
    fuzz(tmp_path, 20)


@pytest.mark.soak
def test_many_spoilt_answers_are_read_or_refused(tmp_path):
    fuzz(tmp_path, 300)
