"""Where the inside of a model cannot be read, the plan says so before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vlmbench.plan._candidate import Candidate
from vlmbench.spec import Condition, Hints, Internals, load_file

TASK = """\
task: t
dataset_path: json
test_split: test
output_type: {kind}
doc_to_text: "<image>?"
doc_to_image: [a]
doc_to_choice: [A, B]
doc_to_target: gold
metadata: {{vlmbench: {{ability: naming}}}}
"""


def obstacle(tmp_path: Path, model_type: str, kind: str) -> str | None:
    more = "generation_kwargs: {until: [], max_gen_toks: 4}\n" if kind == "generate_until" else ""
    (tmp_path / "task.yaml").write_text(TASK.format(kind=kind) + more)
    (tmp_path / "model.yaml").write_text("model: m\ncheckpoint: ./weights\n")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "config.json").write_text(json.dumps({"model_type": model_type}))
    model, task = load_file(tmp_path / "model.yaml"), load_file(tmp_path / "task.yaml")
    return Internals().obstacle(Candidate(model), task.spec, Condition(), Hints())


def test_internals_are_read_where_choices_are_scored_over_image_tokens(tmp_path: Path):
    assert obstacle(tmp_path, "llava", "multiple_choice") is None


@pytest.mark.parametrize(
    ("model_type", "kind", "reason"),
    [
        ("mllama", "multiple_choice", "cross-attention"),
        ("llava", "generate_until", "while it scores choices"),
    ],
)
def test_internals_are_refused_with_the_reason(tmp_path: Path, model_type, kind, reason):
    assert reason in obstacle(tmp_path, model_type, kind)
