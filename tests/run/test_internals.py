"""The internals readout through `vlmbench run`, on the shipped model and a user's own task."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmbench.cli import main
from vlmbench.store import RunFolder

TASK = """\
task: mine
dataset_path: json
dataset_kwargs: {data_files: {test: data/mine.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "<image>\\nWhich point is meant?\\n(A) {{ words[0] }}\\n(B) {{ words[1] }}\\nAnswer:"
doc_to_image: [picture]
doc_to_choice: [A, B]
doc_to_target: answer
metadata:
  version: 1.0
  vlmbench:
    ability: pointing
    id_column: id
    regions:
      choices: {kind: point, image: 0, column: points}
    markers: drawn
"""
STUDY = """\
study: within
cells:
  - {readout: prompted}
  - {readout: internals}
  - {readout: internals, condition: blank, documents: 3}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    rng = np.random.default_rng(1)
    lines = []
    for index in range(4):
        pixels = rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / f"{index}.png")
        lines.append(
            {
                "id": f"doc{index}", "picture": f"{index}.png", "answer": index % 2,
                "words": ["red", "blue"], "points": [[4, 4], [91, 91]],
            }
        )  # fmt: skip
    (tmp_path / "data" / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "mine.yaml").write_text(TASK)
    (tmp_path / "within.yaml").write_text(STUDY)
    return tmp_path


def test_internals_are_recorded_and_stay_out_of_the_statistics(monkeypatch, home):
    monkeypatch.setenv("VLMBENCH_CACHE", str(home / "cache"))
    output = home / "out"
    arguments = [
        "run", "--models", "tiny-clip", "--tasks", "mine", "--study", "within",
        "--include-path", home, "--output", output, "--device", "cpu",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["vlmbench", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    rows = json.loads((output / "stats.json").read_text())
    assert {row["readout"] for row in rows} == {"prompted"}
    own, prompted, blank = (
        RunFolder(output).record(f"tiny-clip/mine/{name}")
        for name in ("internals-own", "prompted-own", "internals-blank")
    )
    np.testing.assert_allclose(own.scores().scores, prompted.scores().scores, atol=1e-5)
    assert prompted.internals() is None
    held = own.internals()
    assert held.doc_ids == ("doc0", "doc1", "doc2", "doc3")
    assert np.isfinite(held.h_image).all()
    assert np.isfinite(held.mass).all()
    np.testing.assert_allclose(held.mass[:, :, [0, 2, 3]].sum(2), 1)
    assert (held.tokens > 0).all()
    about = own.require()
    assert about.notes["attention"] == "of the last position, by the formula"
    assert about.basis.readout == "internals"
    blank = blank.internals()
    assert blank.doc_ids == held.doc_ids[:3]
    assert not np.allclose(blank.h_image, held.h_image[:3], atol=1e-2)
    np.testing.assert_array_equal(blank.tokens, held.tokens[:3])
