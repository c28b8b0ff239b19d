"""Other forms of a question through the whole run, on models that read contents or letters."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import corners
import numpy as np
import pyarrow.parquet as pq
import pytest
from home import vlmbench

from vlmbench.diagnostics.analyses import prompts
from vlmbench.registry import _plugins
from vlmbench.report.cards import explain
from vlmbench.store import Record, RunFolder

N = 40
MODELS = {
    "reader": {"sight": 3.0},
    "leaner": {"sight": 1.0, "lean": 2.0},
    "fixed": {"sight": 0.0, "lean": 1.0},
}
WORDINGS = """\
    paraphrases:
      - |-
        <image>
        One corner of the image is brighter than the others. Which is it?
        {% for word in words %}({{ "ABCD"[loop.index0] }}) {{ word }}
        {% endfor %}Say the letter:
"""


@pytest.fixture(scope="module", autouse=True)
def installed():
    """Offer the backend as an installed package does."""
    entries = EntryPoints([EntryPoint("mute", "corners:Mute", "vlmbench.backends")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_plugins, "entry_points", lambda group: entries)
        yield


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    corners.write_tasks(folder / "corners", n=N)
    task = folder / "corners" / "corners.yaml"
    task.write_text(task.read_text() + WORDINGS)
    twin = corners.write_tower(folder / "corners")
    for name, weights in MODELS.items():
        corners.write_model(folder / "corners", name, weights, backend="mute", twin=twin)
    place = folder / "run"
    vlmbench(
        "run", "--models", ",".join(MODELS), "--tasks", "corners", "--study", "prompts",
        "--include-path", folder / "corners", "--output", place, "--device", "cpu",
    )  # fmt: skip
    return place


def record(output: Path, model: str, label: str) -> Record:
    return RunFolder(output).record(f"{model}/corners/prompted-{label}")


def found(output: Path, model: str):
    (task,) = explain(RunFolder(output).read(), model).tasks
    (finding,) = (f for f in task.findings if f.analysis == prompts.ANALYSIS)
    return finding


@pytest.mark.parametrize("rotation", [1, 2, 3])
def test_who_reads_contents_scores_the_same_choices_in_every_order(output, rotation):
    plain = record(output, "reader", "own").scores()
    turned = record(output, "reader", f"own+order-{rotation}").scores()
    assert np.array_equal(turned.scores, plain.scores)
    assert np.array_equal(turned.gold, plain.gold)
    leaning = [record(output, "leaner", label).scores().scores
               for label in ("own", f"own+order-{rotation}")]  # fmt: skip
    assert not np.array_equal(*leaning)


def test_records_say_which_letter_stood_for_each_choice(output):
    own, turned = (
        pq.read_table(record(output, "reader", label).path).to_pydict()
        for label in ("own", "own+order-1")
    )
    assert turned["choices"] == [["D", "A", "B", "C"]] * N
    for before, after in zip(own["prompt"], turned["prompt"], strict=True):
        lists = [[line[4:] for line in text.splitlines() if line.startswith("(")]
                 for text in (before, after)]  # fmt: skip
        assert lists[1] == [*lists[0][1:], lists[0][0]]
    assert own["gold"] == turned["gold"]


def test_the_analysis_of_each_is_what_its_formula_says(output):
    reader, leaner, fixed = (found(output, model) for model in MODELS)
    assert reader.find(prompts.BIAS).value == pytest.approx(0, abs=1e-12)
    assert reader.find(prompts.DEVIATION).value == 0.0
    assert fixed.find(prompts.BIAS).value == pytest.approx(0.75)
    assert fixed.find(prompts.ROBUST).value == pytest.approx(0.25)
    # What leans by a constant is right again once it is averaged or subtracted.
    clear = reader.find(prompts.ACCURACY, by="plain", form="plain").value
    for quantity in (prompts.ROBUST, prompts.UNPRIMED):
        assert leaner.find(quantity).value == pytest.approx(clear)
    assert leaner.find(prompts.ACCURACY, by="plain", form="plain").value < 0.5 < clear


def test_what_the_task_does_not_have_is_left_out_with_the_reason(output):
    skipped = json.loads((output / "manifest.json").read_text())["skipped"]
    reasons = {s["condition"]: s["reason"] for s in skipped if s["model"] == "reader"}
    assert "declares 1 paraphrases" in reasons["own+paraphrase-2"]
    assert "asked by texts" in reasons["own+texts"]
    assert "no markers that vlmbench drew" in reasons["markers-blue"]
    assert not any(label.startswith("own+order") for label in reasons)


def test_the_card_shows_the_analysis_and_its_plot(output):
    card = (output / "diagnostics" / "reader.md").read_text()
    assert "is it the prompt?" in card
    assert "reader/prompts.svg" in card
    assert (output / "diagnostics" / "reader" / "prompts.png").stat().st_size > 5000
