"""Load, check, prompt, read the encoder and publish, on every data set, by command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from vlmbench.cli import main

SUITE = (
    "blink_semantic_correspondence",
    "blink_visual_correspondence",
    "blink_functional_correspondence",
    "blink_art_style",
    "cvbench_depth",
    "mochi",
)

Key = tuple[str, str, str, str, str]


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["vlmbench", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


@pytest.fixture
def model(tmp_path_factory, llava_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the model YAML; caches go there too."""
    folder = tmp_path_factory.mktemp("model")
    monkeypatch.setenv("VLMBENCH_CACHE", str(folder / "cache"))
    (folder / "random.yaml").write_text(
        f"model: random\ncheckpoint: {llava_folder}\n"
        "twin: {layer: -2, relation: identical, pooled: cls}\n"
    )
    return folder


def run(monkeypatch, model: Path, tasks: str, models: str = "random") -> dict[Key, dict]:
    output = model / "run"
    code = call(
        monkeypatch, "run", "--models", models, "--tasks", tasks, "--include-path", model,
        "--output", output, "--device", "cpu",
    )  # fmt: skip
    assert code == 0
    rows = json.loads((output / "stats.json").read_text())
    return {(r["model"], r["task"], r["condition"], r["readout"], r["metric"]): r for r in rows}


def test_the_papers_suite_beside_its_recorded_numbers(monkeypatch, home, model) -> None:
    rows = run(monkeypatch, model, "hidden_in_plain_sight", "random,fu2025,human")
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
    assert call(monkeypatch, "leaderboard", model / "run", "--output", model / "board") == 0
    text = (model / "board" / "README.md").read_text()
    apart = text.partition("## Recorded elsewhere")[2]
    assert "Fu et al. 2025, DINOv2 (digitised)" in apart
    assert "People" in apart
    measured = text.partition("## random")[2].partition("## Recorded elsewhere")[0]
    assert "Low-level matching" in measured
    assert "digitised" not in measured
    assert "digitised from the figures" in text
    assert "2 of 6 documents failed" in text


def test_sources_with_points(monkeypatch, home, model) -> None:
    rows = run(monkeypatch, model, "point_annotated,spair71k_correspondence_blind")
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
    run(monkeypatch, model, "cvbench_depth,blink_relative_depth,nyuv2")
    heads = list((model / "cache" / "depth").rglob("head.json"))
    assert len(heads) == 1  # fitted once on NYUv2, for all three
    sheet = json.loads(heads[0].read_text())
    assert 1.5 <= sheet["depth_range"][0] <= sheet["depth_range"][1] <= 4.0


def test_all_of_it_plans(monkeypatch, model, capsys) -> None:
    models = "fu2025,human,random"
    tasks = "hidden_in_plain_sight,point_annotated"
    code = call(
        monkeypatch, "plan", "--models", models, "--tasks", tasks, "--include-path", model, "--json"
    )
    assert code == 0
    cells = json.loads(capsys.readouterr().out)
    assert sum(cell["readout"] == "recorded" for cell in cells) == 4 * 6 + 1
    assert sum(cell["readout"] == "encoder" for cell in cells) == 11


def test_a_run_without_coordinates_says_how_to_get_them(
    monkeypatch, tmp_path, published, model, capsys
) -> None:
    (tmp_path / "BLINK-Benchmark").symlink_to(published / "BLINK-Benchmark")
    monkeypatch.setenv("VLMBENCH_DATA", str(tmp_path))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    code = call(
        monkeypatch, "run", "--models", "random", "--tasks", "blink_visual_correspondence",
        "--include-path", model, "--output", model / "none", "--device", "cpu",
    )  # fmt: skip
    assert code == 1
    assert "vlmbench annotate blink_visual_correspondence" in capsys.readouterr().err


@pytest.mark.parametrize("variant", ["blind", "generate"])
def test_every_variant_runs(monkeypatch, home, model, variant) -> None:
    folder = Path(__file__).parents[3] / "tasks" / "hidden_in_plain_sight"
    names = [path.stem for path in sorted(folder.glob(f"*_{variant}.yaml"))]
    assert len(names) == {"blind": 12, "generate": 7}[variant]
    rows = run(monkeypatch, model, ",".join(names))
    condition = {"blind": "blank", "generate": "own"}[variant]
    for name in names:
        # The encoder is asked, and blanked, like the model.
        assert ("random", name, condition, "prompted", "accuracy") in rows
        assert ("random", name, condition, "encoder", "accuracy") in rows
        assert (("random", name, "own", "prompted", "accuracy") in rows) == (condition == "own")
