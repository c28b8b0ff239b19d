"""Interventions through `vlmbench run`, on the shipped model and a rendered task."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from home import Home

from vlmbench.diagnostics import Evidence
from vlmbench.spec import Condition
from vlmbench.store import Run, RunFolder

LABELS = (
    "own", "own+patch-other-0", "own+patchlast-other-1", "own+patch-self-0.5", "own+patch-other-1",
    "own+knockout-all-1-1", "blank+knockout-all-1-1", "own+knockout-last-2-4", "counterfactual",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    home = Home(tmp_path_factory.mktemp("home"))
    prompted = [{"readout": "prompted", "condition": label} for label in LABELS]
    inside = {"readout": "internals", "condition": "own+knockout-last-2-4", "documents": 4}
    home.study("reach", *prompted, inside)
    output = home.run("tiny-clip", "depth,pointing", "--study", "reach", "--limit", "8")
    return RunFolder(output).read()


@pytest.fixture(scope="module")
def depth(run: Run) -> Evidence:
    return Evidence.load(run, "tiny-clip", "depth")


def scores(held: Evidence, label: str) -> np.ndarray:
    return held.need("prompted", label).scores


def test_patches_do_what_they_must_by_construction(depth):
    own = scores(depth, "own")
    np.testing.assert_array_equal(scores(depth, "own+patch-self-0.5"), own)
    np.testing.assert_allclose(scores(depth, "own+patch-other-1"), own, atol=1e-5)
    other = scores(depth, "own+patch-other-0")
    np.testing.assert_allclose(scores(depth, "own+patchlast-other-1"), other, atol=1e-5)
    assert np.abs(other - own).max() > 1e-3


def test_without_attention_to_it_no_image_is_seen(depth):
    cut = scores(depth, "own+knockout-all-1-1")
    np.testing.assert_array_equal(cut, scores(depth, "blank+knockout-all-1-1"))


def test_internals_are_read_under_a_cut(depth):
    held = depth.internals[Condition.parse("own+knockout-last-2-4")]
    assert len(held) == 4
    assert (held.mass[:, 1, 0] == 0).all()
    assert (held.mass[:, [0, 2, 3], 0] > 0).all()
    np.testing.assert_allclose(held.attention.heads[:, 1, :, 0], 0)


def test_the_record_says_which_choice_is_right_for_what_is_shown(depth):
    for label in ("own+patch-other-0", "counterfactual"):
        condition = Condition.parse(label)
        gold = depth.scores["prompted", condition].gold
        np.testing.assert_array_equal(depth.image_targets["prompted", condition], 1 - gold)
    self = Condition.parse("own+patch-self-0.5")
    assert (depth.image_targets["prompted", self] == -1).all()


def test_a_world_that_cannot_is_left_out_with_its_reason(run):
    skipped = json.loads((run.folder.path / "manifest.json").read_text())["skipped"]
    assert [one["task"] for one in skipped if "counterfactual" in str(one)] == ["pointing"]
    assert "does not draw documents with another answer" in str(skipped)
    assert Path(run.folder.path, "records/tiny-clip/depth/prompted-counterfactual.parquet").exists()
