"""What cannot be read at the stages of a model is left out with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from home import task_spec

from vlmbench.plan._candidate import Candidate
from vlmbench.spec import Condition, Hidden, Hints, StudyCell, load_file

POINTS = {
    "probe": {"kind": "keypoint"},
    "regions": {
        "reference": {"kind": "point", "image": 0, "column": "ref"},
        "choices": {"kind": "point", "image": 0, "column": "points"},
    },
    "markers": {},
}
NAMES = {"probe": {"kind": "linear", "label_column": "name", "choices_column": "names"}}
SPLITS = {"training_split": "train", "validation_split": "validation"}


def obstacle(
    folder: Path, label: str, readout: Hidden, bench: Mapping[str, Any], twin: str = "layer: -2"
) -> str | None:
    twin = f"twin: {{{twin}, relation: identical}}\n" if twin else ""
    (folder / "model.yaml").write_text(f"model: m\ncheckpoint: ./weights\n{twin}")
    candidate = Candidate(load_file(folder / "model.yaml"))
    task = task_spec(bench=bench, **SPLITS)
    return readout.obstacle(candidate, task, Condition.parse(label), Hints())


@pytest.mark.parametrize(
    ("label", "readout", "bench"),
    [
        ("own", Hidden(), POINTS), ("own", Hidden(), NAMES), ("blur-0.5", Hidden(), POINTS),
        ("own", Hidden(similarity="centred"), POINTS), ("lora-projector", Hidden(), NAMES),
        ("own+knockout-all-1-1", Hidden(), POINTS), ("own+patch-other-0.5", Hidden(), POINTS),
        ("prefix-5", Hidden(), POINTS),
    ],
)  # fmt: skip
def test_what_can_be_read_is_planned(tmp_path, label, readout, bench):
    assert obstacle(tmp_path, label, readout, bench) is None


@pytest.mark.parametrize(
    ("label", "readout", "bench", "twin", "reason"),
    [
        ("own", Hidden(), POINTS, "", "has no twin"),
        ("own", Hidden(), {}, "layer: -2", "has no probe"),
        ("own", Hidden(similarity="centred"), NAMES, "layer: -2", "no cosine to centre"),
        ("own+order-1", Hidden(), POINTS, "layer: -2", "in the task's own order"),
        ("own+patch-other-0.5", Hidden(), NAMES, "layer: -2", "no others to be patched with"),
        ("prefix-5+patch-self-0.5", Hidden(), POINTS, "layer: -2", "without the learned prefix"),
        ("none", Hidden(), POINTS, "layer: -2", "without images"),
        ("random", Hidden(), POINTS, "layer: -2", "only encoders"),
        ("crop-0.5", Hidden(), POINTS, "layer: -2", "the wrong pixels"),
    ],
)
def test_what_cannot_is_left_out_with_its_reason(tmp_path, label, readout, bench, twin, reason):
    said = obstacle(tmp_path, label, readout, bench, twin)
    assert said is not None
    assert reason in said


@pytest.mark.parametrize(
    ("label", "readout"),
    [
        ("hidden", Hidden()), ("hidden-centred", Hidden(similarity="centred")),
        ("hidden-language-3", Hidden(stage="language-3")), ("hidden-same", Hidden(stage="same")),
        ("hidden-centred-value-12", Hidden(similarity="centred", stage="value-12")),
    ],
)  # fmt: skip
def test_a_label_says_which_stages_are_read_and_how(label, readout):
    assert readout.label == label
    assert StudyCell.model_validate({"readout": label}).readout == readout


@pytest.mark.parametrize("label", ["hidden-language", "hidden-centred-3", "hidden-same-1"])
def test_a_label_of_no_stage_is_refused(label):
    with pytest.raises(ValueError, match="does not match any"):
        StudyCell.model_validate({"readout": label})
