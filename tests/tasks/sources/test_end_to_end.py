"""Load, check, prompt, read the encoder and publish, on every data set, by command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from home import ROOT, Home, stats_of, vlmbench
from llava import make_llava

SUITE = (
    "blink_semantic_correspondence",
    "blink_visual_correspondence",
    "blink_functional_correspondence",
    "blink_art_style",
    "cvbench_depth",
    "mochi",
)

ROWS = ("model", "task", "condition", "readout", "metric")


@pytest.fixture(scope="module")
def terse_folder(tmp_path_factory) -> Path:
    """A LLaVA that says little where 512 tokens are allowed."""
    return make_llava(tmp_path_factory.mktemp("terse"), terse=True)


@pytest.fixture
def model(tmp_path, terse_folder: Path) -> Home:
    """A folder with the model YAML."""
    home = Home(tmp_path)
    home.model("random", terse_folder, twin={"layer": -2, "relation": "identical", "pooled": "cls"})
    return home


def test_the_papers_suite_beside_its_recorded_numbers(home, model) -> None:
    run = model.run("random,fu2025,human", "hidden_in_plain_sight")
    rows = stats_of(run, *ROWS)
    for task in SUITE:
        for condition, readout in (("own", "prompted"), ("blank", "prompted"), ("own", "encoder")):
            assert ("random", task, condition, readout, "accuracy") in rows
    # Equal images tie exactly: of three images two are one, and the odd one is found.
    assert rows["random", "mochi", "own", "encoder", "accuracy"]["value"] == 1.0
    # Documents without coordinates are counted, and left out of the encoder's accuracy.
    task = "blink_visual_correspondence"
    assert rows["random", task, "own", "encoder", "failed"]["value"] == 2
    assert rows["random", task, "own", "encoder", "accuracy"]["n"] == 4
    assert rows["random", task, "own", "prompted", "accuracy"]["n"] == 6
    # Recorded numbers: the paper's, and people's per document (0, .1, .. .5 in the fixture).
    paper = rows["fu2025-dinov2", task, "own", "encoder", "accuracy"]
    assert (paper["value"], paper["n"]) == (0.819, 171)
    assert rows["fu2025-dinov2", task, "own", "prompted", "accuracy"]["value"] == 0.170
    people = rows["human", "mochi", "own", "human", "accuracy"]
    assert people["value"] == pytest.approx(0.25)
    assert people["low"] < 0.25 < people["high"]
    vlmbench("leaderboard", run, "--output", model.folder / "board")
    text = (model.folder / "board" / "README.md").read_text()
    apart = text.partition("## Recorded elsewhere")[2]
    assert "Fu et al. 2025, DINOv2 (digitised)" in apart
    assert "People" in apart
    measured = text.partition("## random")[2].partition("## Recorded elsewhere")[0]
    assert "Low-level matching" in measured
    assert "digitised" not in measured
    assert "digitised from the figures" in text
    assert "2 of 6 documents failed" in text


def test_sources_with_points(home, model) -> None:
    run = model.run("random", "point_annotated,spair71k_correspondence_blind")
    rows = stats_of(run, *ROWS)
    encoder = {
        task: rows["random", task, "own", "encoder", "accuracy"]["value"]
        for task in ("spair71k_correspondence", "hpatches_matching", "funkpoint_affordance",
                     "da2k_depth", "nyuv2")
    }  # fmt: skip
    assert encoder["spair71k_correspondence"] == 1.0  # the same picture twice
    task = "spair71k_correspondence"
    assert (
        rows["random", f"{task}_blind", "blank", "prompted", "accuracy"]["value"]
        == rows["random", task, "blank", "prompted", "accuracy"]["value"]
    )


def test_depth_heads_learn_from_another_tasks_splits(monkeypatch, home, model) -> None:
    monkeypatch.setenv("VLMBENCH_CACHE", str(model.folder / "cache"))
    model.run("random", "cvbench_depth,blink_relative_depth,nyuv2")
    heads = list((model.folder / "cache" / "depth").rglob("head.json"))
    assert len(heads) == 1  # fitted once on NYUv2, for all three
    sheet = json.loads(heads[0].read_text())
    assert 1.5 <= sheet["depth_range"][0] <= sheet["depth_range"][1] <= 4.0


def test_all_of_it_plans(model) -> None:
    said = vlmbench(
        "plan", "--models", "fu2025,human,random", "--include-path", model.folder, "--json",
        "--tasks", "hidden_in_plain_sight,point_annotated",
    )  # fmt: skip
    cells = json.loads(said.out)
    assert sum(cell["readout"] == "recorded" for cell in cells) == 4 * 6 + 1
    assert sum(cell["readout"] == "encoder" for cell in cells) == 11


def test_a_run_without_coordinates_says_how_to_get_them(
    monkeypatch, tmp_path, published, model
) -> None:
    (tmp_path / "BLINK-Benchmark").symlink_to(published / "BLINK-Benchmark")
    monkeypatch.setenv("VLMBENCH_DATA", str(tmp_path))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    said = vlmbench(
        "run", "--models", "random", "--tasks", "blink_visual_correspondence", "--device", "cpu",
        "--include-path", model.folder, "--output", model.folder / "none", status=1,
    )  # fmt: skip
    assert "vlmbench annotate blink_visual_correspondence" in said.words


@pytest.mark.parametrize(
    ("variant", "count", "cells"),
    [
        # The encoder is asked, and blanked, like the model.
        ("blind", 12, [("blank", "prompted"), ("blank", "encoder")]),
        ("generate", 7, [("own", "prompted"), ("blank", "prompted"), ("own", "encoder")]),
    ],
)
def test_every_variant_runs(home, model, variant, count, cells) -> None:
    folder = ROOT / "tasks" / "hidden_in_plain_sight"
    names = [path.stem for path in sorted(folder.glob(f"*_{variant}.yaml"))]
    assert len(names) == count
    rows = stats_of(model.run("random", ",".join(names)), *ROWS)
    found = {row[1:4] for row in rows if row[4] == "accuracy"}
    expected = {(name, *cell) for name in names for cell in cells}
    # Which image is the odd one is read from the mean of the patch tokens too.
    assert found == expected | {(f"mochi_{variant}", cells[-1][0], "encoder-mean")}
