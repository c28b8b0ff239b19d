"""`vlmbench run --models FOLDER`, no YAML: every family reaches its table."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_checkpoints import FAMILIES, Tiny

from vlmbench.cli import main
from vlmbench.spec import load_file
from vlmbench.types import VlmbenchError

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
HERE = [tiny for tiny in FAMILIES if not tiny.torchvision]
TASK = """\
task: matching
dataset_path: json
dataset_kwargs: {data_files: {test: data.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "<image><image>Which point matches? A or B?"
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
    probe: {kind: keypoint}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A task on pairs of noise images of one content: the right point matches exactly."""
    folder = tmp_path_factory.mktemp("home")
    rng = np.random.default_rng(3)
    lines = []
    for index in range(4):
        picture = Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
        for side in ("l", "r"):
            picture.save(folder / f"{index}{side}.png")
        points = [[8, 12], [56, 40]]
        lines.append(
            {"id": f"d{index}", "left": f"{index}l.png", "right": f"{index}r.png",
             "ref": points[index % 2], "points": points, "answer": index % 2}
        )  # fmt: skip
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "matching.yaml").write_text(TASK)
    return folder


def call(monkeypatch, home: Path, *arguments: object) -> int:
    monkeypatch.setenv("VLMBENCH_CACHE", str(home / "cache"))
    monkeypatch.setattr(sys, "argv", ["vlmbench", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


@pytest.mark.parametrize("tiny", HERE, ids=lambda tiny: tiny.name)
def test_a_folder_runs_without_yaml(monkeypatch, home, tiny: Tiny):
    folder, output = home / tiny.name, home / f"run-{tiny.name}"
    tiny.write(folder)
    assert call(
        monkeypatch, home, "run", "--models", folder, "--tasks", home / "matching.yaml",
        "--output", output, "--device", "cpu",
    ) == 0  # fmt: skip
    rows = json.loads((output / "stats.json").read_text())
    found = {(row["condition"], row["readout"], row["metric"]): row for row in rows}
    assert found["own", "prompted", "accuracy"]["n"] == 4
    encoder = found.get(("own", "encoder", "accuracy"))
    if tiny.projector:
        assert encoder["value"] == 1.0
    else:
        assert encoder is None


def test_init_and_show(monkeypatch, home, capsys):
    folder = home / "shown"
    next(tiny for tiny in FAMILIES if tiny.name == "internvl").write(folder)
    assert call(monkeypatch, home, "show", folder) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "final_norm" in shown
    assert "vision_feature_layer" in shown
    assert call(monkeypatch, home, "init", "model", folder, "--output", home / "yaml") == 0
    written = load_file(home / "yaml" / "shown.yaml")
    assert written.spec.twin.layer == "final_norm"
    assert (written.folder / written.spec.checkpoint).resolve() == folder.resolve()
    assert call(monkeypatch, home, "init", "model", folder, "--output", home / "yaml") == 1
    assert "the file exists" in capsys.readouterr().err


def test_without_torchvision_the_error_names_what_to_install(monkeypatch, home, tmp_path, capsys):
    """Mistral 3 has no Pillow image processor; its files alone must give the message."""
    from transformers.utils import is_torchvision_available

    assert not is_torchvision_available(), "this test is about an environment without it"
    folder = tmp_path / "mistral"
    next(tiny for tiny in FAMILIES if tiny.name == "llava").write(folder)
    settings = json.loads((folder / "processor_config.json").read_text())
    settings["processor_class"] = "PixtralProcessor"
    (folder / "processor_config.json").write_text(json.dumps(settings))
    from vlmbench.models._processor import load_processor

    with pytest.raises(VlmbenchError, match=r"vlmbench-gap\[vision\]"):
        load_processor(str(folder), None)
