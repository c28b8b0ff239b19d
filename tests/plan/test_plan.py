"""Plans are pure: what runs, what cannot and why, at what cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlmbench.plan import Plan, cell_key, make_plan
from vlmbench.spec import load_file
from vlmbench.types import VlmbenchError

TASK = """\
task: {name}
dataset_path: json
test_split: test
training_split: train
validation_split: validation
output_type: multiple_choice
doc_to_text: "<image><image>?"
doc_to_image: [a, b]
doc_to_choice: [A, B]
doc_to_target: gold
metadata:
  vlmbench:
    ability: naming
    generator: {{world: naming, train: 30, validation: 10, test: 50}}
    {more}
"""
PROBE = "probe: {kind: linear, label_column: label, choices_column: names}"
STUDY = """\
study: s
cells:
  - readout: prompted
  - readout: prompted
    condition: {image: blank}
  - readout: encoder
  - readout: encoder
    condition: {weights: random}
"""


def plan(folder: Path, *, limit: int | None = None, study: str = STUDY) -> Plan:
    files = {
        "seen.yaml": TASK.format(name="seen", more=PROBE),
        "asked.yaml": TASK.format(name="asked", more=""),
        "seen_blind.yaml": "include: seen.yaml\ntask: seen_blind\n"
        "metadata: {vlmbench: {condition: {image: blank}}}\n",
        "model.yaml": "model: m\ncheckpoint: c\ntwin: {layer: -2, relation: identical}\n",
        "human.yaml": "model: human\n"
        "recorded: [{task: asked, accuracy: 0.9, n: 20, readout: human}]\n",
        "study.yaml": study,
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    load = lambda name: load_file(folder / name)
    return make_plan(
        [load("model.yaml"), load("human.yaml")],
        [load("seen.yaml"), load("asked.yaml"), load("seen_blind.yaml")],
        load("study.yaml"),
        limit=limit,
        count=lambda task: task.spec.bench.generator.test,
    )


def names(made: Plan) -> list[str]:
    return [cell.name for cell in made.cells]


def test_cells_are_the_grid_and_a_blind_variant_stays_blind(tmp_path):
    assert names(plan(tmp_path)) == [
        "m/seen/prompted-own", "m/seen/prompted-blank", "m/seen/encoder-own",
        "m/seen/encoder-own+random", "m/asked/prompted-own", "m/asked/prompted-blank",
        "m/seen_blind/prompted-blank", "m/seen_blind/encoder-blank",
        "m/seen_blind/encoder-blank+random", "human/asked/recorded-own",
    ]  # fmt: skip


def test_what_cannot_be_is_left_out_with_its_reason(tmp_path):
    reasons = {(s.model, s.task, s.readout.label): s.reason for s in plan(tmp_path).skipped}
    assert "no probe" in reasons["m", "asked", "encoder"]
    assert "no recorded number" in reasons["human", "seen", "recorded"]


def test_costs_are_known_before_anything_runs(tmp_path):
    costs = {cell.name: (cell.documents, cell.forward_passes) for cell in plan(tmp_path).cells}
    assert costs["m/seen/prompted-own"] == (50, 50)  # choices share a forward pass
    assert costs["m/seen/encoder-own"] == (50, 2 * (50 + 30 + 10))  # two images; fitting counts
    assert costs["human/asked/recorded-own"] == (50, 0)
    limited = {cell.name: cell for cell in plan(tmp_path, limit=7).cells}
    assert limited["m/seen/prompted-own"].documents == 7


def test_keys_follow_what_a_result_depends_on(tmp_path):
    first, again, limited = plan(tmp_path), plan(tmp_path), plan(tmp_path, limit=7)
    assert first.digest == again.digest
    assert first.digest != limited.digest
    keys = [cell_key(cell, first) for cell in first.cells]
    assert len(set(keys)) == len(keys)


def test_unknown_readout_names_the_known_ones(tmp_path):
    with pytest.raises(VlmbenchError, match="promted") as caught:
        plan(tmp_path, study="study: s\ncells: [{readout: promted}]\n")
    assert "prompted" in caught.value.problems[0].remedy
    assert "study.yaml" in str(caught.value)
