"""Conditions through the whole run: what the model is given, and what the record says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from home import Home, noise, vlmbench

from vlmbench.store import Record, RunFolder

TASK = {
    "doc_to_text": "First image: <image>\n(A) red\n(B) blue\n(C) no\nAnswer with the letter:",
    "doc_to_choice": ["A", "B", "C"],
    "bench": {
        "id_column": "id",
        "regions": {"choices": {"kind": "point", "column": "points"}, "missing": "skip"},
        "markers": "drawn",
    },
}
CELLS = (
    {}, {"condition": "blank"}, {"condition": "none"}, {"condition": "swapped", "documents": 4},
    {"condition": "mask-0"}, {"condition": "own+single", "documents": 3},
    {"condition": "own+hint-wrong-strong"}, {"condition": "evidence"},
    {"condition": "evidence-random"},
)  # fmt: skip


def rows(home: Home, *seeds: int) -> list[dict[str, object]]:
    """Documents of images of noise; of the second no places are known."""
    return [
        {"id": f"d{index}", "image": home.image(f"{seed}.png", noise(seed)), "answer": index % 3,
         "points": None if index == 1 else [[4, 4], [20, 8], [9, 25]]}
        for index, seed in enumerate(seeds)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, llava_folder: Path) -> Home:
    home = Home(tmp_path_factory.mktemp("home"))
    home.task("mine", rows(home, *range(6)), **TASK)
    home.study("few", *({"readout": "prompted", **cell} for cell in CELLS))
    home.model("random", llava_folder)
    return home


@pytest.fixture(scope="module")
def output(home: Home) -> Path:
    return home.run("random", "mine", "--study", "few")


def record(output: Path, label: str) -> Record:
    return RunFolder(output).record(f"random/mine/prompted-{label}")


def test_records_say_what_they_are_of(output):
    basis = record(output, "own+hint-wrong-strong").require().basis
    assert (basis.model, basis.task, basis.readout) == ("random", "mine", "prompted")
    assert basis.condition.label == "own+hint-wrong-strong"


def test_caps_and_missing_regions_leave_documents_out(output):
    ids = lambda label: record(output, label).scores().doc_ids
    assert ids("own") == tuple(f"d{i}" for i in range(6))
    assert ids("swapped") == ("d0", "d1", "d2", "d3")
    assert ids("evidence") == ids("evidence-random") == ("d0", "d2", "d3", "d4", "d5")


def test_strength_0_scores_exactly_as_own_and_other_images_do_not(output):
    scores = {
        label: record(output, label).scores().scores
        for label in ("own", "mask-0", "own+single", "swapped", "none", "blank")
    }
    assert np.array_equal(scores["own"], scores["mask-0"])
    np.testing.assert_allclose(scores["own"][:3], scores["own+single"], atol=1e-4)
    for label in ("swapped", "none", "blank"):
        n = len(scores[label])
        assert np.abs(scores[label] - scores["own"][:n]).max(axis=1).min() > 1e-3


def test_without_images_the_prompt_holds_no_place_for_one(output):
    own, none = (
        pq.read_table(record(output, label).path).to_pydict()["prompt"] for label in ("own", "none")
    )
    assert all("First image: <image>" in prompt for prompt in own)
    assert not any("image" in prompt for prompt in none)


def test_a_hint_and_its_target_are_in_the_record(output):
    held = pq.read_table(record(output, "own+hint-wrong-strong").path).to_pydict()
    listed = ("(A) red", "(B) blue", "(C) no")
    for prompt, target, gold in zip(held["prompt"], held["hint_target"], held["gold"], strict=True):
        assert target != gold
        assert f"The answer is {listed[target]}." in prompt
    plain = pq.read_table(record(output, "own").path).to_pydict()
    assert set(plain["hint_target"]) == {-1}


def test_capped_cells_give_rows_of_their_own_only(output):
    rows = json.loads((output / "stats.json").read_text())
    n = {r["condition"]: r["n"] for r in rows if r["metric"] == "accuracy"}
    assert (n["own"], n["swapped"], n["evidence"]) == (6, 4, 5)
    assert {r["condition"] for r in rows if r["metric"] == "tv"} == {
        "own|blank", "own|truth", "blank|truth",
    }  # fmt: skip


def test_conditions_on_the_command_line_replace_the_prompted_ones(home):
    said = vlmbench(
        "plan", "--models", "random", "--tasks", "mine", "--study", "few", "--json",
        "--include-path", home.folder, "--conditions", "own, blur-0.5,none",
    )  # fmt: skip
    assert [row["condition"] for row in json.loads(said.out)] == ["own", "blur-0.5", "none"]


def test_what_the_documents_do_not_allow_is_left_out_and_the_rest_runs(home):
    home.task("same", rows(home, *[0] * 6), **TASK)
    command = (
        "run", "--models", "random", "--tasks", "same", "--include-path", home.folder,
        "--conditions", "own,swapped", "--output", home.folder / "again", "--device", "cpu",
    )  # fmt: skip
    assert "cannot be swapped" in vlmbench(*command).words
    vlmbench(*command)  # the folder still holds the run of this plan
    manifest = json.loads((home.folder / "again" / "manifest.json").read_text())
    assert [s["condition"] for s in manifest["skipped"] if s["readout"] == "prompted"] == [
        "swapped"
    ]
