"""The README's own task, word for word, on made-up pairs: it loads, runs and gives its figures."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from home import ROOT, stats_of, vlmbench
from PIL import Image

from vlmbench.annotate import annotate_document
from vlmbench.spec import load_file
from vlmbench.tasks import load_documents
from vlmbench.types import VlmbenchError

SECTION = (ROOT / "README.md").read_text("utf-8").split("\n## Your own task\n")[1].split("\n## ")[0]
(YAML,) = re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)
(LINE,) = re.findall(r"lines like\s+`(\{.*?\})`", SECTION, re.DOTALL)
(COUNT,) = map(int, re.findall(r"On (\d+) made-up pairs", SECTION))
WIDTH, HEIGHT, EDGE = 96, 64, 8


def inside(point: list[int]) -> bool:
    return EDGE <= point[0] < WIDTH - EDGE and EDGE <= point[1] < HEIGHT - EDGE


def pairs(folder: Path) -> None:
    """Write pairs of a scene and the same scene shifted; REF's place is A and B in turn."""
    (folder / "img").mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for index in range(COUNT):
        blocks = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
        scene = blocks.resize((WIDTH + 64, HEIGHT + 48), Image.Resampling.BICUBIC)
        dx, dy = (int(step) for step in rng.integers(-20, 21, 2))
        for side, (x, y) in (("l", (32, 24)), ("r", (32 + dx, 24 + dy))):
            scene.crop((x, y, x + WIDTH, y + HEIGHT)).save(folder / "img" / f"{index}{side}.png")
        while True:
            ref, wrong = ([int(v) for v in rng.integers(EDGE, (WIDTH, HEIGHT))] for _ in "12")
            right = [ref[0] - dx, ref[1] - dy]
            if all(map(inside, (ref, wrong, right))) and np.hypot(*np.subtract(right, wrong)) > 24:
                break
        answer = index % 2
        points = [right, wrong] if answer == 0 else [wrong, right]
        files = {"left": f"img/{index}l.png", "right": f"img/{index}r.png"}
        rows.append({"id": str(index), **files, "ref": ref, "points": points, "answer": answer})
    assert list(rows[0]) == list(json.loads(LINE.replace("\n", " ")))
    (folder / "my_matching.jsonl").write_text("\n".join(map(json.dumps, rows)))


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    pairs(folder)
    (folder / "my_matching.yaml").write_text(YAML)
    return folder / "my_matching.yaml"


def test_the_figures_are_those_of_a_run(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (command,) = re.findall(r"^    vlmbench (run .*)$", SECTION, re.MULTILINE)
    (row,) = re.findall(r"^ *my_matching +(.*)$", SECTION, re.MULTILINE)
    n, chance, blind, vqa, encoder, gap, *_ = row.split()
    monkeypatch.chdir(task.parent)
    vlmbench(*command.split(), "--output", "run", "--device", "cpu")
    found = stats_of(task.parent / "run", "metric", "readout", "condition")
    value = lambda *key: found[key]["value"]
    assert (int(n), float(chance)) == (COUNT, 0.5)
    # Other processors round otherwise, which can turn a document or two.
    assert float(blind) == pytest.approx(value("accuracy", "prompted", "blank"), abs=0.03)
    assert float(vqa) == pytest.approx(value("accuracy", "prompted", "own"), abs=0.03)
    assert float(encoder) == pytest.approx(value("accuracy", "encoder", "own"), abs=0.03)
    assert float(gap) == pytest.approx(float(encoder) - float(vqa), abs=0.002)
    about = json.loads((task.parent / "run" / "manifest.json").read_text())["tasks"]["my_matching"]
    assert (about["places"], about["marked"]) == ("draw", False)


def test_its_points_can_be_found_in_what_the_model_sees_and_only_there(task: Path) -> None:
    documents = load_documents(load_file(task), "reported", task.parent)
    expected = {0: ("REF",), 1: ("A", "B")}
    found = [annotate_document(documents[index], expected) for index in range(8)]
    read = [annotation for annotation in found if not annotation.refusal]
    assert len(read) >= 7
    for annotation in read:
        regions = (annotation.document.reference, *annotation.document.candidates)
        for (_, marker), region in zip(annotation.kept, regions, strict=False):
            assert (marker.x, marker.y) == pytest.approx(region.xy, abs=0.5)
    clean = replace(documents[0], images=documents[0].encoder_images)
    assert annotate_document(clean, expected).kept == ()


def test_without_its_markers_it_is_refused(task: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.yaml"
    bare.write_text("\n".join(line for line in YAML.splitlines() if "markers:" not in line))
    with pytest.raises(VlmbenchError) as caught:
        load_file(bare)
    (problem,) = caught.value.problems
    assert problem.field == "metadata.vlmbench.markers"
    assert problem.line is not None
    for way in ("`markers: {}`", "`markers: drawn`", "`markers: text`"):
        assert way in problem.remedy
