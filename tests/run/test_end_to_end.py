"""The main job on a user's own task: YAML, JSONL and images, no Python, a real checkpoint."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmbench.cli import main
from vlmbench.store import Record

TASK = """\
task: mine
task_alias: My matching
dataset_path: json
dataset_kwargs: {data_files: {test: data/mine.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "<image><image>\\n{{ question }} A or B?"
doc_to_image: [left, right]
doc_to_choice: [A, B]
doc_to_target: answer
metadata:
  version: 1.0
  vlmbench:
    ability: low_level_matching
    id_column: id
    regions:
      reference: {kind: point, image: 0, column: ref}
      choices: {kind: point, image: 1, column: points}
    markers: drawn
    probe: {kind: keypoint}
"""
BLIND = """\
include: mine.yaml
task: mine_blind
task_alias: My matching, blind
metadata: {vlmbench: {condition: {image: blank}}}
"""
GENERATE = """\
include: mine.yaml
task: mine_generate
output_type: generate_until
generation_kwargs: {until: ["\\n"], max_gen_toks: 4}
filter_list:
  - name: letter
    filter: [{function: regex, regex_pattern: "^ ?([AB])$"}, {function: take_first}]
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, llava_folder: Path) -> Path:
    """A folder as a user would make it: tasks, images in it, a model YAML."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "data" / "img").mkdir(parents=True)
    rng = np.random.default_rng(1)
    lines = []
    for index in range(12):
        pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        for side in ("l", "r"):  # the same picture twice: the right point matches exactly
            Image.fromarray(pixels).save(folder / "data" / "img" / f"{index}{side}.png")
        answer = index % 2
        right, wrong = [4 + 8 * (index % 4), 12], [28 - 8 * (index % 4), 28]
        points = [right, wrong] if answer == 0 else [wrong, right]
        lines.append(
            {
                "id": f"doc{index}", "left": f"img/{index}l.png", "right": f"img/{index}r.png",
                "question": "Which point on the right matches?", "ref": right, "points": points,
                "answer": answer,
            }
        )  # fmt: skip
    (folder / "data" / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "mine.yaml").write_text(TASK)
    (folder / "mine_blind.yaml").write_text(BLIND)
    (folder / "mine_generate.yaml").write_text(GENERATE)
    (folder / "random.yaml").write_text(
        f"model: random\ncheckpoint: {llava_folder}\n"
        "twin: {layer: -2, relation: identical, pooled: cls}\n"
    )
    return folder


def call(monkeypatch: pytest.MonkeyPatch, home: Path, *arguments: object) -> None:
    monkeypatch.setenv("VLMBENCH_CACHE", str(home / "cache"))
    monkeypatch.setattr(sys, "argv", ["vlmbench", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0


def run(monkeypatch, home: Path, name: str, *more: object, tasks: str = "mine*") -> Path:
    output = home / name
    call(
        monkeypatch, home, "run", "--models", "random", "--tasks", tasks,
        "--include-path", home, "--output", output, "--device", "cpu", *more,
    )  # fmt: skip
    return output


def rows_of(folder: Path) -> dict[tuple[str, str, str, str], dict]:
    rows = json.loads((folder / "stats.json").read_text())
    return {(r["task"], r["condition"], r["readout"], r["metric"]): r for r in rows}


def test_a_new_task_reaches_the_leaderboard(monkeypatch, home):
    output = run(monkeypatch, home, "first")
    rows = rows_of(output)
    encoder = rows["mine", "own", "encoder", "accuracy"]
    assert encoder["value"] == 1.0  # identical pictures: the matching point is exact
    assert encoder["n"] == 12
    gap = rows["mine", "own", "encoder-prompted", "gap"]
    prompted = rows["mine", "own", "prompted", "accuracy"]
    assert gap["value"] == pytest.approx(1.0 - prompted["value"])
    assert gap["low"] <= gap["value"] <= gap["high"]
    manifest = json.loads((output / "manifest.json").read_text())
    assert manifest["complete"] is True
    assert manifest["tasks"]["mine"]["marked"] is True  # no unmarked images were named
    results = json.loads((output / "results.json").read_text())
    assert results["results"]["mine"]["acc,none"] == prompted["value"]
    board = home / "board"
    call(monkeypatch, home, "leaderboard", output, "--output", board)
    text = (board / "README.md").read_text()
    assert "My matching" in text
    assert "random" in text
    assert str(home) not in text


def test_a_blind_variant_equals_the_blank_condition(monkeypatch, home):
    rows = rows_of(run(monkeypatch, home, "blind", tasks="mine,mine_blind"))
    for metric in ("accuracy", "majority"):
        assert (
            rows["mine_blind", "blank", "prompted", metric]["value"]
            == rows["mine", "blank", "prompted", metric]["value"]
        )
    assert ("mine_blind", "own", "prompted", "accuracy") not in rows
    # The control fires: in this task the right point lies where the reference lies, and blank
    # images leave the encoder its position embedding.
    assert rows["mine_blind", "blank", "encoder", "accuracy"]["value"] == 1.0


def test_batch_size_changes_no_answer(monkeypatch, home):
    tables = {}
    for size in (1, 8, 32):
        folder = run(monkeypatch, home, f"batch{size}", "--batch-size", size)
        for path in sorted((folder / "records").rglob("*.parquet")):
            scores = Record(path).scores()
            key = str(path.relative_to(folder))
            tables.setdefault(key, []).append(scores)
    assert len(tables) == 8  # own, blank, encoder; the blind variant has two of them
    for first, *others in tables.values():
        for other in others:
            assert (first.scores.argmax(1) == other.scores.argmax(1)).all()
            np.testing.assert_allclose(
                np.where(np.isneginf(first.scores), 0, first.scores),
                np.where(np.isneginf(other.scores), 0, other.scores),
                atol=1e-4,
            )


def test_a_second_run_gives_the_same_bytes_and_runs_nothing(monkeypatch, home):
    first = run(monkeypatch, home, "again")
    before = {p: p.stat().st_mtime_ns for p in (first / "records").rglob("*.parquet")}
    stats = (first / "stats.json").read_bytes()
    run(monkeypatch, home, "again")
    assert (first / "stats.json").read_bytes() == stats
    assert {p: p.stat().st_mtime_ns for p in (first / "records").rglob("*.parquet")} == before
    fresh = run(monkeypatch, home, "fresh")
    assert (fresh / "stats.json").read_bytes() == stats


def test_changed_data_is_run_again(monkeypatch, home):
    folder = run(monkeypatch, home, "changed", tasks="mine")
    record = next((folder / "records").rglob("encoder-own.parquet"))
    before = record.stat().st_mtime_ns
    image = home / "data" / "img" / "0r.png"
    kept = image.read_bytes()
    try:
        Image.new("RGB", (32, 32), (9, 200, 9)).save(image)
        run(monkeypatch, home, "changed", tasks="mine")
    finally:
        image.write_bytes(kept)
    assert record.stat().st_mtime_ns != before


def test_a_page_beside_the_checkpoint_runs_nothing_again_and_a_file_of_it_does(
    monkeypatch, home, llava_folder, tmp_path
):
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(llava_folder, checkpoint)
    (tmp_path / "copy.yaml").write_text(f"model: copy\ncheckpoint: {checkpoint}\n")

    def written() -> int:
        call(
            monkeypatch, home, "run", "--models", "copy", "--tasks", "mine", "--device", "cpu",
            "--include-path", home, "--include-path", tmp_path, "--output", tmp_path / "run",
        )  # fmt: skip
        record = next((tmp_path / "run").rglob("prompted-own.parquet"))
        return record.stat().st_mtime_ns

    first = written()
    (checkpoint / "README.md").write_text("A card of the model.")
    (checkpoint / "curves.svg").write_text("<svg/>")
    assert written() == first
    config = checkpoint / "generation_config.json"
    config.write_text(config.read_text() + "\n")
    assert written() != first


def test_another_plan_in_the_same_folder_is_refused(monkeypatch, home, capsys):
    run(monkeypatch, home, "taken", tasks="mine")
    monkeypatch.setattr(
        sys, "argv",
        ["vlmbench", "run", "-m", "random", "-t", "mine_blind", "-i", str(home),
         "-o", str(home / "taken"), "--device", "cpu"],
    )  # fmt: skip
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert "another plan" in capsys.readouterr().err
