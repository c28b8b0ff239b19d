"""Where weights cannot be trained, the plan says so before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from home import task_spec
from pydantic import ValidationError

from vlmbench.plan import Plan, cell_key, make_plan
from vlmbench.plan._candidate import Candidate
from vlmbench.spec import (
    Condition,
    Encoder,
    Hints,
    Lora,
    Opens,
    Prefix,
    Prompted,
    Readout,
    load_file,
)
from vlmbench.types import VlmbenchError

SPLITS = {"training_split": "train", "validation_split": "validation"}
OWN = "checkpoint: ./weights\ntwin: {layer: -2, relation: identical}\n"
PROBED = {
    "probe": {"kind": "gram"},
    "regions": {
        "choices": {"kind": "image", "images": [0, 0]},
        "reference": {"kind": "image", "images": [0]},
    },
}


def obstacle(
    folder: Path,
    label: str,
    readout: Readout,
    model: str = OWN,
    bench: Mapping[str, Any] = PROBED,
    **keys: Any,
) -> str | None:
    (folder / "model.yaml").write_text(f"model: m\n{model}")
    candidate = Candidate(load_file(folder / "model.yaml"))
    task = task_spec(bench=bench, **SPLITS | keys)
    return readout.obstacle(candidate, task, Condition.parse(label), Hints())


@pytest.mark.parametrize(
    ("label", "readout"),
    [
        ("lora-language", Prompted()), ("blank+lora-tower", Prompted()),
        ("prefix-5", Prompted()), ("lora-tower", Encoder()), ("own", Encoder()),
    ],
)  # fmt: skip
def test_what_can_be_trained_is_planned(tmp_path, label, readout):
    assert obstacle(tmp_path, label, readout) is None


STANDALONE = "checkpoint: ./weights\ntwin: {layer: -2, relation: lineage, checkpoint: ./tower}\n"
SERVED = "backend: openai\ncheckpoint: gpt\nserver: {base_url: 'https://a.example/v1'}\n"


@pytest.mark.parametrize(
    ("label", "readout", "changes", "reason"),
    [
        ("lora-tower", Prompted(), {"validation_split": None}, "apart from its test split"),
        ("lora-tower", Prompted(), {"test_split": None}, "apart from its test split"),
        ("prefix-1", Prompted(), {"training_split": "test"}, "to train `prefix-1` on"),
        ("lora-tower", Prompted(), {"model": SERVED}, "'openai' does not give access to the wei"),
        (
            "lora-tower",
            Prompted(),
            {"model": OWN + "prompt: {thinking: 64}\n"},
            "a model that thinks first",
        ),
        ("lora-tower", Encoder(), {"training_split": None}, "apart from its test split"),
        ("lora-tower", Encoder(), {"model": STANDALONE}, "a twin in a checkpoint of its own"),
        ("lora-language", Encoder(), {}, "`lora-language` leaves the encoder as it is"),
        ("lora-projector", Encoder(), {}, "`lora-projector` leaves the encoder as it is"),
        ("prefix-5", Encoder(), {}, "`prefix-5` leaves the encoder as it is"),
    ],
)
def test_what_cannot_is_left_out_with_its_reason(tmp_path, label, readout, changes, reason):
    assert reason in obstacle(tmp_path, label, readout, **changes)


def planned(folder: Path, tuning: str, condition: str) -> Plan:
    (folder / "task.yaml").write_text(
        "task: t\ndataset_path: json\noutput_type: multiple_choice\ntest_split: test\n"
        "training_split: train\nvalidation_split: validation\ndoc_to_text: '<image>?'\n"
        "doc_to_image: [a]\ndoc_to_choice: [A, B]\ndoc_to_target: gold\n"
        "metadata: {vlmbench: {ability: naming}}\n"
    )
    (folder / "model.yaml").write_text(f"model: m\n{OWN}")
    (folder / "study.yaml").write_text(
        f"study: s\n{tuning}cells: [{{readout: prompted, condition: {condition}}}]\n"
    )
    load = lambda name: load_file(folder / f"{name}.yaml")
    return make_plan([load("model")], [load("task")], load("study"), count=lambda _: 8)


@pytest.mark.parametrize("change", ["steps: 7", "rate: 0.5", "budget: 9", "documents: 3"])
def test_how_weights_are_trained_is_part_of_a_trained_cells_key_alone(tmp_path, change):
    def key(tuning: str, condition: str) -> str:
        made = planned(tmp_path, tuning, condition)
        return cell_key(made.cells[0], made)

    other = f"tuning: {{{change}}}\n"
    assert key("", "lora-tower") != key(other, "lora-tower")
    assert key("", "blank") == key(other, "blank")
    assert key("", "lora-tower") != key("", "lora-tower-1")


def test_only_trained_cells_open_the_training_splits(tmp_path):
    (trained,) = planned(tmp_path, "", "prefix-1").cells
    (plain,) = planned(tmp_path, "", "own").cells
    assert trained.trains_on == Opens(splits=("train", "validation"))
    assert plain.trains_on == Opens()


def test_training_is_counted_where_it_is_first_read(tmp_path):
    cells = "lora-tower}, {readout: prompted, condition: blank+lora-tower"
    made = planned(tmp_path, "tuning: {steps: 20, batch: 3}\n", cells)
    assert [cell.forward_passes for cell in made.cells] == [8 + 20 * 3, 8]


@pytest.mark.parametrize(
    ("label", "weights"),
    [
        ("lora-tower", Lora(part="tower")), ("lora-tower-0", Lora(part="tower")),
        ("lora-language-12", Lora(part="language", seed=12)), ("prefix-10", Prefix(tokens=10)),
        ("prefix-10-3", Prefix(tokens=10, seed=3)),
    ],
)  # fmt: skip
def test_labels_name_the_seed_of_training_apart_from_the_conditions_own(label, weights):
    condition = Condition.parse(f"blank+{label}+seed-4")
    assert (condition.weights, condition.seed) == (weights, 4)
    assert condition.label == f"blank+{weights.label}+seed-4"
    assert Condition.parse(condition.label) == condition


@pytest.mark.parametrize("label", ["lora", "lora-head", "lora-tower-x", "prefix-0", "prefix"])
def test_a_label_of_no_part_or_no_length_is_refused(label):
    with pytest.raises((VlmbenchError, ValidationError)):
        Condition.parse(label)
