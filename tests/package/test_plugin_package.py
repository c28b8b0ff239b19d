"""Another package adds a readout and a backend by entry points: both run in a grid like our own."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from home import ROOT, Home, noise, program, stats_of

READOUT = '''
"""A readout that tosses a coin whose side hangs on the document's id alone."""

from typing import Literal

from vlmbench.spec import Readout


class Coin(Readout):
    """A coin is tossed for every document."""

    implementation = "coin_toss.reads:CoinReadout"
    packages = ()
    scores_documents, answers, is_direct, has_rows = True, False, True, True
    kind: Literal["coin"] = "coin"

    def obstacles(self, subject, task, condition, hints):
        if condition.text.changes_prompt:
            yield "a coin reads no prompt"

    def forward_passes(self, task, documents):
        return 0
'''
READS = """
import numpy as np

from vlmbench.readouts import Answer, make_reading


class CoinReadout:
    def read(self, cell, asked, opened):
        answers = []
        for one in asked:
            scores = np.zeros(len(one.document.choices))
            scores[int(one.document.doc_id) % len(scores)] = 1.0
            answers.append(Answer(scores=scores))
            opened.progress(1)
        return make_reading([one.document for one in asked], answers, "vote")
"""
BACKEND = '''
"""A backend whose model always prefers its first choice."""

import numpy as np

from vlmbench.models import Reply


class Stubborn:
    def __init__(self, spec):
        self.spec = spec
        self.weights_digest = "0" * 64

    @classmethod
    def load(cls, spec, folder, device, dtype):
        return cls(spec)

    def render(self, prompt):
        return prompt.user

    def continuation(self, choice, delimiter):
        return delimiter + choice

    def choice_logprobs(self, prompts, choices):
        return [-np.arange(1.0, len(row) + 1) for row in choices]

    def generate(self, prompts, kwargs):
        return [Reply(text="A")] * len(prompts)
'''
ENTRY_POINTS = """\
[vlmbench.readouts]
coin = coin_toss:Coin

[vlmbench.backends]
stubborn = coin_toss.backend:Stubborn
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the package from a wheel into a folder of its own."""
    folder = tmp_path_factory.mktemp("plugin")
    wheel, info = folder / "coin_toss-1.0-py3-none-any.whl", "coin_toss-1.0.dist-info"
    files = {
        "coin_toss/__init__.py": READOUT,
        "coin_toss/reads.py": READS,
        "coin_toss/backend.py": BACKEND,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: coin-toss\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        f"{info}/entry_points.txt": ENTRY_POINTS,
    }
    record = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in (files | {f"{info}/RECORD": record}).items():
            archive.writestr(name, text)
    target = folder / "site"
    program(
        "python", "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-index",
        "--no-deps", "--target", target, wheel,
    )  # fmt: skip
    return target


def command(site: Path, *arguments: object) -> str:
    return program("vlmbench", *arguments, PYTHONPATH=f"{site}:{ROOT}")


def test_both_are_listed_without_their_reading_code(site: Path) -> None:
    found = {row["name"]: row for row in json.loads(command(site, "ls", "readouts", "--json"))}
    assert found["coin"]["description"] == "A coin is tossed for every document."
    assert found["coin"]["available"] == "yes"
    backends = {row["name"]: row for row in json.loads(command(site, "ls", "backends", "--json"))}
    assert backends["stubborn"]["description"] == "From the package coin-toss."
    code = (
        "from vlmbench.registry import readouts; list(readouts())\nimport sys; print(*sys.modules)"
    )
    loaded = program("python", "-c", code, PYTHONPATH=f"{site}:{ROOT}").split()
    assert "coin_toss" in loaded
    assert not {"coin_toss.reads", "torch"} & set(loaded)


def test_both_run_in_a_grid(site: Path, tmp_path: Path) -> None:
    home = Home(tmp_path)
    rows = [
        {"id": str(i), "question": "Which?", "answer": (i // 2) % 2,
         "image": home.image(f"{i}.png", noise(i))}
        for i in range(8)
    ]  # fmt: skip
    home.task("letters", rows, bench={"id_column": "id"})
    home.model("mule", "nowhere", backend="stubborn")
    home.study(
        "both",
        {"readout": "prompted"},
        {"readout": "coin"},
        {"readout": "coin", "condition": "own+hint-wrong-strong"},
    )
    command(
        site, "run", "--models", "mule", "--tasks", "letters", "--study", "both",
        "--include-path", tmp_path, "--output", tmp_path / "run", "--device", "cpu",
    )  # fmt: skip
    found = stats_of(tmp_path / "run", "condition", "readout", "metric")
    assert found["own", "prompted", "accuracy"]["value"] == 0.5  # A is right half of the time
    assert found["own", "coin", "accuracy"]["value"] == 0.5  # 0 0 1 1 0 0 1 1 against 0 1 0 1 ...
    assert found["own", "coin-prompted", "gap"]["value"] == 0.0
    skipped = json.loads((tmp_path / "run" / "manifest.json").read_text())["skipped"]
    assert [(s["readout"], s["reason"]) for s in skipped] == [("coin", "a coin reads no prompt")]


def test_an_unknown_readout_names_those_of_other_packages_too(site: Path, tmp_path: Path) -> None:
    Home(tmp_path).study("wrong", {"readout": "coim"})
    code = (
        "from vlmbench.spec import load_files\n"
        f"print(load_files([{str(tmp_path / 'wrong.yaml')!r}]).problems[0])"
    )
    said = program("python", "-c", code, PYTHONPATH=f"{site}:{ROOT}")
    assert "there is no readout `coim`" in said
    assert "Did you mean `coin`?" in said
