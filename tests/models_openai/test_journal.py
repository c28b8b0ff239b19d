"""A journal of paid answers, cut, flipped and written over: whole lines count, others are asked."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
from PIL import Image

from vlmbench.models import Prompt
from vlmbench.models.openai import OpenAIBackend, account, damage
from vlmbench.spec import GenerationKwargs, ModelSpec, Server
from vlmbench.types import VlmbenchError

KWARGS = GenerationKwargs(until=("\n",), max_gen_toks=8)


def make(url: str, journal: Path, **more: object) -> OpenAIBackend:
    server = Server.model_validate({"base_url": url, "retries": 0, "timeout_s": 5, **more})
    spec = ModelSpec(model="m", backend="openai", checkpoint="name", server=server)
    backend = OpenAIBackend.load(spec, None, None, None)  # type: ignore[arg-type]
    backend.keep(journal)
    return backend


def prompts(n: int) -> list[Prompt]:
    image = Image.new("RGB", (4, 4), (200, 10, 10))
    return [Prompt(user=f"<image>\nquestion {i}", images=(image,)) for i in range(n)]


def question(body: dict) -> str:
    return next(p["text"] for p in body["messages"][-1]["content"] if p["type"] == "text").strip()


@pytest.fixture
def asked() -> list[str]:
    """Questions in the order in which a server was asked them."""
    return []


@pytest.fixture
def url(scripted, completion, asked) -> object:
    """A server that repeats the question."""

    def play(number, body, headers):
        asked.append(question(body))
        return 200, completion(f"to {question(body)}"), {}

    with scripted(play) as address:
        yield address


def answers(url: str, journal: Path, n: int) -> list[str]:
    return [reply.text for reply in make(url, journal).answer(prompts(n), KWARGS)]


def flipped(line: bytes) -> bytes:
    """Return a line in which one bit is another: it says something else, as JSON all the same."""
    at = line.index(b"to question") + 3
    return line[:at] + bytes([line[at] ^ 1]) + line[at + 1 :]


def changed(line: bytes, **fields: object) -> bytes:
    """Return a line of an earlier version, without a checksum, that says something else."""
    found = json.loads(line)
    del found["crc"]
    for name, value in fields.items():
        (found if name in found else found["answer"])[name] = value
    return json.dumps(found).encode()


# What may become of the second of three lines; how many of them are lost.
DAMAGE = {
    "cut off": (lambda line: line[:-20], 1),
    "glued": (lambda line: line[:-20] + line, 1),
    "a bit": (flipped, 1),
    "zeros": (lambda line: bytes(len(line)), 1),
    "no text": (lambda line: b"\xff\xfe" + line, 1),
    "a number": (lambda _: b"3", 1),
    "a list": (lambda line: b"[" + line + b"]", 1),
    "deep": (lambda _: b"[" * 100_000, 1),
    "no cost": (lambda line: changed(line, usd=None), 1),
    "cost gained": (lambda line: changed(line, usd=-1e9), 1),
    "another checksum": (lambda line: line.replace(b'"crc": "', b'"crc": "0'), 1),
    "no checksum's name": (lambda line: line.replace(b'"crc"', b'"crb"'), 1),
    "answer gone": (lambda line: changed(line, answer=None), 1),
    "text a number": (lambda line: changed(line, text=3), 1),
    "likelihoods a list": (lambda line: changed(line, first=[1]), 1),
    "a likelihood NaN": (lambda line: changed(line, first={"A": float("nan")}), 1),
    "a likelihood above one": (lambda line: changed(line, first={"A": 3.0}), 1),
    "tokens text": (lambda line: changed(line, prompt_tokens="many"), 1),
    "an unknown field": (lambda line: changed(line, answer={"text": "A", "more": 1}), 1),
    "blank": (lambda _: b"", 0),
    "twice": (lambda line: line + b"\n" + line, 0),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_line_alone_is_asked_again(tmp_path, url, asked, kind):
    journal = tmp_path / "answers.jsonl"
    told = answers(url, journal, 3)
    first, second, third = journal.read_bytes().splitlines()
    which = json.loads(second)["answer"]["text"].removeprefix("to ")
    change, lost = DAMAGE[kind]
    journal.write_bytes(b"\n".join([first, change(second), third]) + b"\n")
    kept = journal.read_bytes()
    assert ("1 line is damaged" in damage(journal)) == bool(lost)
    asked.clear()
    assert answers(url, journal, 3) == told
    assert asked == ([] if kind == "twice" else [which])
    assert journal.read_bytes().startswith(kept)  # what is damaged stays, for whoever wants to look
    assert answers(url, journal, 3) == told
    assert len(asked) <= 1
    assert account(journal)["requests"] == (4 if kind == "twice" else 3)


def test_a_torn_last_line_is_ended_before_the_next(tmp_path, url, asked):
    journal = tmp_path / "answers.jsonl"
    answers(url, journal, 2)
    journal.write_bytes(journal.read_bytes()[:-9])
    answers(url, journal, 4)
    asked.clear()
    assert answers(url, journal, 4) == [f"to question {i}" for i in range(4)]
    assert asked == []
    assert len(journal.read_text().splitlines()) == 5


def test_a_journal_of_an_earlier_version_is_read(tmp_path, url, asked):
    journal = tmp_path / "answers.jsonl"
    answers(url, journal, 2)
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    old = [{k: v for k, v in line.items() if k != "crc"} for line in lines]
    old[0]["answer"]["text"] += " lone \ud800"
    old.append({"usd": 0.5, "why": "no answer within 5 s"})
    journal.write_text("".join(json.dumps(line) + "\n" for line in old))
    asked.clear()
    told = answers(url, journal, 2)
    assert asked == []
    assert account(journal)["unanswered_usd"] == 0.5
    assert sum(" lone \\ud800" in text for text in told) == 1


def test_halves_of_characters_in_an_answer_can_be_written(tmp_path, scripted, completion):
    body = json.dumps(completion("A\ud800 \U0001f600", **{"A": -0.1, "\udfff": -3.0})).encode()
    with scripted(lambda *_: (200, body, {})) as url:
        backend = make(url, tmp_path / "answers.jsonl")
        (reply,) = backend.answer(prompts(1), KWARGS)
        (again,) = make(url, tmp_path / "answers.jsonl").answer(prompts(1), KWARGS)
    assert reply.text == again.text == "A\\ud800 \U0001f600"
    reply.text.encode()


def full(url: str, journal: Path, n: int) -> None:
    """Ask until a file may not grow any more, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        make(url, journal, concurrency=2).answer(prompts(n), KWARGS)
    except VlmbenchError as error:
        (journal.parent / "said").write_text(str(error))


def test_a_full_disk_ends_the_run_and_what_was_paid_for_is_there(tmp_path, url, asked):
    journal = tmp_path / "answers.jsonl"
    child = get_context("fork").Process(target=full, args=(url, journal, 40))
    child.start()
    child.join()
    said = (tmp_path / "said").read_text()
    assert said.startswith(f"{journal}: cannot be written")
    assert "start the same command again" in said
    held = account(journal)["requests"]
    assert 2 <= held < len(asked) <= held + 4  # only those under way are lost
    asked.clear()
    assert answers(url, journal, 40) == [f"to question {i}" for i in range(40)]
    assert len(asked) == 40 - held


def killed_within(url: str, journal: Path, at: int) -> None:
    """Ask, and die once half of the line numbered `at` is written."""
    from vlmbench.store import _journal

    count = 0

    class Dying(_journal.FileIO):
        def write(self, data):  # type: ignore[no-untyped-def]
            nonlocal count
            count += 1
            if count == at:
                super().write(data[: len(data) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return super().write(data)

    _journal.FileIO = Dying  # type: ignore[misc]
    make(url, journal, concurrency=1).answer(prompts(12), KWARGS)


def test_killed_within_a_line_over_and_over_nothing_is_paid_for_twice(tmp_path, url, asked):
    journal = tmp_path / "answers.jsonl"
    for at in (3, 1, 2, 4):
        child = get_context("fork").Process(target=killed_within, args=(url, journal, at))
        child.start()
        child.join(30)
        assert child.exitcode == -signal.SIGKILL
    time.sleep(0.05)
    assert answers(url, journal, 12) == [f"to question {i}" for i in range(12)]
    assert len(asked) == 12 + 4  # one is lost with every kill
    assert account(journal)["requests"] == 12
    assert "4 lines are damaged" in damage(journal)
