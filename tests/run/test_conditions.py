"""Conditions through the whole run: what the model is given, and what the record says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vlmbench.cli import main
from vlmbench.store import Record, RunFolder

TASK = """\
task: mine
dataset_path: json
dataset_kwargs: {data_files: {test: data/mine.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "First image: <image>\\n(A) red\\n(B) blue\\n(C) no\\nAnswer with the letter:"
doc_to_image: [image]
doc_to_choice: [A, B, C]
doc_to_target: answer
metadata:
  vlmbench:
    ability: naming
    id_column: id
    regions: {choices: {kind: point, column: points}, missing: skip}
    markers: drawn
"""
STUDY = """\
study: few
cells:
  - {readout: prompted}
  - {readout: prompted, condition: blank}
  - {readout: prompted, condition: none}
  - {readout: prompted, condition: swapped, documents: 4}
  - {readout: prompted, condition: mask-0}
  - {readout: prompted, condition: own+single, documents: 3}
  - {readout: prompted, condition: own+hint-wrong-strong}
  - {readout: prompted, condition: evidence}
  - {readout: prompted, condition: evidence-random}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, llava_folder: Path) -> Path:
    folder = tmp_path_factory.mktemp("home")
    (folder / "data").mkdir()
    rng = np.random.default_rng(1)
    rows = []
    for index in range(6):
        picture = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / "data" / f"{index}.png")
        points = None if index == 1 else [[4, 4], [20, 8], [9, 25]]
        rows.append(
            {"id": f"d{index}", "image": f"{index}.png", "points": points, "answer": index % 3}
        )
    (folder / "data" / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "mine.yaml").write_text(TASK)
    (folder / "few.yaml").write_text(STUDY)
    (folder / "random.yaml").write_text(f"model: random\ncheckpoint: {llava_folder}\n")
    return folder


def call(*arguments: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["vlmbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
    assert stopped.value.code == 0


@pytest.fixture(scope="module")
def output(home: Path) -> Path:
    folder = home / "run"
    call(
        "run", "--models", "random", "--tasks", "mine", "--study", "few", "--include-path", home,
        "--output", folder, "--device", "cpu",
    )  # fmt: skip
    return folder


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


def test_conditions_on_the_command_line_replace_the_prompted_ones(home, capsys):
    call(
        "plan", "--models", "random", "--tasks", "mine", "--study", "few", "--include-path", home,
        "--conditions", "own, blur-0.5,none", "--json",
    )  # fmt: skip
    rows = json.loads(capsys.readouterr().out)
    assert [row["condition"] for row in rows] == ["own", "blur-0.5", "none"]


def test_what_the_documents_do_not_allow_is_left_out_and_the_rest_runs(home, capsys):
    same = home / "same"
    (same / "data").mkdir(parents=True)
    rows = [json.loads(line) for line in (home / "data" / "mine.jsonl").read_text().split("\n")]
    (same / "data" / "mine.jsonl").write_text(
        "\n".join(json.dumps(row | {"image": "0.png", "id": f"s{i}"}) for i, row in enumerate(rows))
    )
    (same / "data" / "0.png").write_bytes((home / "data" / "0.png").read_bytes())
    (same / "same.yaml").write_text(TASK.replace("task: mine", "task: same"))
    arguments = [
        "run", "--models", "random", "--tasks", "same", "--include-path", home, "--include-path",
        same, "--conditions", "own,swapped", "--output", home / "again", "--device", "cpu",
    ]  # fmt: skip
    call(*arguments)
    assert "cannot be swapped" in capsys.readouterr().out.replace("\n", " ")
    call(*arguments)  # the folder still holds the run of this plan
    manifest = json.loads((home / "again" / "manifest.json").read_text())
    assert [s["condition"] for s in manifest["skipped"] if s["readout"] == "prompted"] == [
        "swapped"
    ]
