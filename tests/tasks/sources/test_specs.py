"""What the YAML keys for published data refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlmbench.plan import make_plan
from vlmbench.registry import catalogue
from vlmbench.spec import load_file
from vlmbench.types import VlmbenchError

TASK = """\
task: mine
{data}
test_split: test
output_type: multiple_choice
doc_to_text: "<image>Which?"
doc_to_image: [image_1]
doc_to_choice: [A, B]
doc_to_target: gold
metadata:
  vlmbench:
    ability: depth
    {bench}
"""
POINTS = "regions: {choices: {kind: point, column: points}}\n    markers: drawn"


def problems(tmp_path: Path, bench: str, data: str = "dataset_path: json") -> list[str]:
    path = tmp_path / "mine.yaml"
    path.write_text(TASK.format(data=data, bench=bench))
    try:
        load_file(path)
    except VlmbenchError as error:
        return [str(problem) for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("bench", "words"),
    [
        ("reader: {layout: spair}", ["layout", "spair71k"]),
        ("reader: {layout: da2k, documents: 0}", ["documents"]),
        ("points: {kind: markers}", ["file"]),
        ("points: {kind: marker, file: a}", ["markers"]),
        ("points: {kind: markers, file: a.jsonl}", ["no region uses them"]),
        (
            "points: {kind: markers, file: a.jsonl}\n    "
            "regions: {choices: {kind: box, column: points_choices}}\n    markers: drawn",
            ["joined coordinates are points"],
        ),
        (
            "points: {kind: vpbench, part: semantic}\n    " + POINTS,
            ["image_1, image_2"],
        ),
        (
            "reader: {layout: da2k}\n    generator: {world: depth}",
            ["drawn or read, not both"],
        ),
        (
            "probe: {kind: depth, depth_column: d, fit_on: mine}\n    " + POINTS,
            ["fit_on", "the task itself"],
        ),
    ],
)
def test_refused(tmp_path: Path, bench: str, words: list[str]) -> None:
    message = "\n".join(problems(tmp_path, bench))
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    "bench",
    [
        "reader: {layout: da2k}",
        "points: {kind: markers, file: a.jsonl}\n    " + POINTS,
        "probe: {kind: depth, depth_column: d, fit_on: nyuv2}\n    " + POINTS,
    ],
)
def test_accepted(tmp_path: Path, bench: str) -> None:
    assert problems(tmp_path, bench, data="" if "reader" in bench else "dataset_path: json") == []


def test_a_task_to_fit_on_must_exist_and_have_splits(tmp_path: Path) -> None:
    found = catalogue()
    study = found.select_studies("gap")[0]
    for name, message in (("nyuv", "nyuv2"), ("mochi", "no training and validation split")):
        bench = f"probe: {{kind: depth, depth_column: d, fit_on: {name}}}\n    " + POINTS
        assert problems(tmp_path, bench) == []
        task = load_file(tmp_path / "mine.yaml")
        with pytest.raises(VlmbenchError, match=message):
            make_plan([], [task], study, count=lambda _: None, known_tasks=found.tasks)
