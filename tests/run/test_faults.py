"""One odd document, cell or model costs no other one its numbers, and is no result by itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from home import Home, noise, record_of, stats_of, vlmbench

from vlmbench.models import HfBackend
from vlmbench.readouts import _reads
from vlmbench.store import RunFolder

KINDS = (
    AttributeError, AssertionError, OSError, MemoryError, ZeroDivisionError, RuntimeError,
    torch.OutOfMemoryError, Exception,
)  # fmt: skip
ANY = ("--max-failed", "100%")
Faulty = Callable[[Callable[[str], object]], list[str]]


@pytest.fixture
def home(tmp_path: Path, llava_folder: Path) -> Home:
    home = Home(tmp_path)
    for task in ("t1", "t2"):
        rows = [
            {"image": home.image(f"{n}.png", noise(n)), "question": f"{task}-{n}?", "answer": n % 2}
            for n in range(6)
        ]
        home.task(task, rows)
    home.model("m1", llava_folder)
    home.model("m2", llava_folder)
    home.study("asked", {"readout": "prompted"})
    return home


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Faulty:
    """Call something with every question before a model is asked it; return the list of these."""
    real = HfBackend.choice_logprobs

    def made(before: Callable[[str], object]) -> list[str]:
        asked: list[str] = []

        def choice_logprobs(self, prompts, choices):
            words = [prompt.user.split()[-1].removeprefix("<image>") for prompt in prompts]
            for question in words:
                before(question)
            asked.extend(words)
            return real(self, prompts, choices)

        monkeypatch.setattr(HfBackend, "choice_logprobs", choice_logprobs)
        return asked

    return made


def command(home: Home, models: str, tasks: str, *more: object) -> tuple[object, ...]:
    return (
        "run", "--models", models, "--tasks", tasks, "--study", "asked", "--include-path",
        home.folder, "--output", home.folder / "run", "--device", "cpu", *more,
    )  # fmt: skip


def raises(kind: type[BaseException], when: Callable[[str], bool]) -> Callable[[str], None]:
    def before(question: str) -> None:
        if when(question):
            raise kind("odd\x1b[2J")

    return before


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_a_model_raises_on_a_document_fails_that_one(kind, home, faulty) -> None:
    faulty(raises(kind, lambda question: "t1-3?" in question))
    said = vlmbench(*command(home, "m1", "t1", *ANY))
    stats = stats_of(home.folder / "run", "condition", "metric")
    assert stats["own", "failed"]["value"] == 1
    assert stats["own", "accuracy"]["n"] == 5
    (failed,) = RunFolder(home.folder / "run").manifest().failed
    (reason,) = failed.reasons
    if kind is torch.OutOfMemoryError:
        assert reason == "memory ran out for this document alone"
    else:
        assert reason.startswith(rf"{kind.__name__}: odd\x1b[2J (test_faults.py:")
    assert "\x1b" not in said.out + said.err
    assert "1 of 6 documents failed" in said.words


def test_a_cell_of_which_all_fail_costs_no_other_cell_its_record(home, faulty) -> None:
    faulty(raises(RuntimeError, lambda question: "t1-" in question))
    said = vlmbench(*command(home, "m1,m2", "t1,t2"), status=1)
    for model in ("m1", "m2"):
        assert f"all 6 documents of {model}/t1/prompted-own failed: RuntimeError: odd" in said.words
        assert record_of(home.folder / "run", model, "t2", "prompted-own").exists()
    assert "0 of 2 models are finished and kept; the run is not" in said.words
    assert not (home.folder / "run" / "manifest.json").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_model_that_cannot_be_loaded_costs_no_other_its_cells(
    workers, home, llava_folder, monkeypatch
) -> None:
    broken = shutil.copytree(llava_folder, home.folder / "broken")
    os.truncate(broken / "model.safetensors", 5_000)
    home.model("m0", broken)
    said = vlmbench(*command(home, "m0,m1", "t1", "--workers", workers), status=1)
    assert "1 of 2 models are finished and kept; the run is not" in said.words
    assert not (home.folder / "run" / "manifest.json").exists()
    written = record_of(home.folder / "run", "m1", "t1", "prompted-own").read_bytes()
    monkeypatch.setattr(_reads, "load_backend", None)  # nothing is loaded again
    vlmbench(*command(home, "m1", "t1"))
    assert record_of(home.folder / "run", "m1", "t1", "prompted-own").read_bytes() == written
    assert stats_of(home.folder / "run", "model", "metric")["m1", "accuracy"]["n"] == 6


def test_a_model_whose_own_code_breaks_ends_with_kind_and_place(home, monkeypatch) -> None:
    def load(model, *_):
        raise AttributeError("no such layer")

    monkeypatch.setattr(_reads, "load_backend", load)
    said = vlmbench(*command(home, "m1", "t1"), status=1)
    assert "the model ended with AttributeError: no such layer (test_faults.py:" in said.words
    assert f"{home.folder / 'm1.yaml'}" in said.err
    assert "Traceback" not in said.err


def test_a_cell_is_stopped_when_more_have_failed_than_may(home, faulty) -> None:
    rows = [{"image": "0.png", "question": f"many-{n}?", "answer": 0} for n in range(200)]
    home.task("many", rows)
    tried: list[str] = []
    lost = [True]

    def before(question: str) -> None:
        tried.append(question)
        if lost:
            raise RuntimeError("the device is lost")

    faulty(before)
    more = ("--batch-size", 10)
    said = vlmbench(*command(home, "m1", "many", *more), status=1)
    assert "30 of 200 documents of m1/many/prompted-own failed, which is more than" in said.words
    assert len(set(tried)) == 30
    lost.clear()
    tried.clear()
    vlmbench("retry", home.folder / "run")
    assert len(tried) == 200
    assert stats_of(home.folder / "run", "condition", "metric")["own", "accuracy"]["n"] == 200


def test_records_are_held_to_the_limit_of_the_run_that_reads_them(home, faulty) -> None:
    asked = faulty(raises(RuntimeError, lambda question: "t1-3?" in question))
    vlmbench(*command(home, "m1", "t1", *ANY))
    (home.folder / "run" / "manifest.json").unlink()
    asked.clear()
    said = vlmbench(*command(home, "m1", "t1"), status=1)
    assert "1 of 6 documents of m1/t1/prompted-own failed, which is more than" in said.words
    assert not asked
    assert not (home.folder / "run" / "manifest.json").exists()
    vlmbench(*command(home, "m1", "t1", *ANY))
    assert not asked
