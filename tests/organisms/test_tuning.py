from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from home import ROOT

from vlmbench.metrics import accuracy
from vlmbench.models import HfBackend, stored_lora
from vlmbench.organisms._gate_rows import Held
from vlmbench.organisms._tuning import more_documents, taught
from vlmbench.readouts import read_prompted
from vlmbench.spec import ModelSpec, Tuning
from vlmbench.types import VlmbenchError

FEW = Tuning(documents=64, steps=60, batch=8, rate=3e-3, check_every=20, check_documents=16)


@pytest.fixture
def naming(held) -> Held:
    """The control `naming`, with few of its documents."""
    return Held(held.located, held.asked[:24])


def accuracy_of(backend, held: Held) -> float:
    return accuracy(read_prompted(held.asked, held.task, backend).scores).value


def test_what_is_learnt_lies_in_the_adapter_and_nowhere_else(toy_backend, naming, tmp_path):
    before = {n: p.clone() for n, p in toy_backend.model.state_dict().items()}
    untaught = accuracy_of(toy_backend, naming)
    checks = []
    folder = taught(
        toy_backend, naming, data_root=tmp_path, cache=tmp_path, tuning=FEW, rank=8,
        report=lambda step, loss: checks.append((step, loss)),
    )  # fmt: skip
    after = toy_backend.model.state_dict()
    assert {n: p.shape for n, p in after.items()} == {n: p.shape for n, p in before.items()}
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert accuracy_of(toy_backend, naming) == untaught
    assert [step for step, _ in checks] == [0, 20, 40, 60]
    assert min(loss for _, loss in checks) < checks[0][1] - 0.5
    said = json.loads((folder / "training.json").read_text())
    assert said["validation_loss"] == [list(check) for check in checks]
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] is None
    with stored_lora(toy_backend.model, folder):
        changed = {n for n, p in toy_backend.model.named_parameters() if ".lora_" in n}
    assert changed
    assert all(".language_model." in name for name in changed)


def test_a_finished_adapter_is_not_trained_again_and_a_damaged_one_is(
    toy_backend, naming, tmp_path
):
    def again() -> tuple[list[int], bytes]:
        steps: list[int] = []
        folder = taught(
            toy_backend, naming, data_root=tmp_path, cache=tmp_path, rank=2,
            tuning=FEW.model_copy(update={"steps": 4}), report=lambda at, _: steps.append(at),
        )  # fmt: skip
        return steps, (folder / "adapter_model.safetensors").read_bytes()

    first, weights = again()
    assert first == [0, 4]
    assert again() == ([], weights)
    (folder,) = tmp_path.glob("taught-*")
    (folder / "adapter_model.safetensors").write_bytes(weights[:-4] + b"abcd")
    assert again() == ([0, 4], weights)


def test_an_adapter_is_refused_by_other_weights(toy_backend, naming, tmp_path):
    tuning = FEW.model_copy(update={"steps": 2})
    folder = taught(toy_backend, naming, data_root=tmp_path, cache=tmp_path, tuning=tuning, rank=2)
    spec = ModelSpec(
        model="other", checkpoint=str(ROOT / "models/tiny-clip"), weights={"lora": str(folder)}
    )
    with pytest.raises(VlmbenchError, match=r"trained on other weights|does not fit"):
        HfBackend.load(spec, None, torch.device("cpu"), torch.float32)


def test_lessons_are_other_documents(held, tmp_path):
    lessons = more_documents(held, tmp_path, 6)
    assert [one.doc_id.rsplit("-", 1)[0] for one in lessons] == ["naming-train"] * 6
    pixels = {one.images[0].shown_digest for one in lessons}
    assert not pixels & {d.images[0].shown_digest for d in held.documents}


def test_other_documents_of_the_same_name_are_learnt_anew(toy_backend, naming, tmp_path):
    bench = naming.task.bench
    drawn = bench.model_copy(update={"generator": bench.generator.model_copy(update={"seed": 99})})
    spec = naming.task.model_copy(
        update={"metadata": naming.task.metadata.model_copy(update={"vlmbench": drawn})}
    )
    other = Held(replace(naming.located, spec=spec), naming.asked)
    tuning = FEW.model_copy(update={"steps": 1, "documents": 8, "check_documents": 4})
    places = {
        taught(toy_backend, one, data_root=tmp_path, cache=tmp_path, tuning=tuning, rank=2)
        for one in (naming, naming, other)
    }
    assert len(places) == 2
