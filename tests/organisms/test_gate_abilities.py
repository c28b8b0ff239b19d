from __future__ import annotations

import pytest
import torch

from vlmbench.models import HfBackend, Tower, resolve_device
from vlmbench.organisms._gate import as_json, table
from vlmbench.organisms._gate_abilities import ability_row, lora_row, more_documents
from vlmbench.organisms._gate_rows import Held
from vlmbench.organisms._tuning import Tuning
from vlmbench.registry import catalogue
from vlmbench.tasks import load_documents


@pytest.fixture(scope="module")
def backend() -> HfBackend:
    (model,) = catalogue().select_models("tiny-clip")
    return HfBackend.load(model.spec, model.folder, *resolve_device("cpu", "float32"))


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    return tmp_path_factory.mktemp("worlds")


@pytest.fixture(scope="module")
def held(data_root) -> Held:
    (task,) = catalogue().select_tasks("object_3d")
    documents = load_documents(task, "reported", data_root, 150)
    return Held(task, list(documents), [documents.prompt(document) for document in documents])


def test_a_trained_encoder_counts_where_it_is_above_untrained_and_rules(
    backend, held, data_root, tmp_path
):
    tower = Tower.inside(backend, backend.spec.twin)
    row, best = ability_row([held], tower, data_root=data_root, cache=tmp_path)
    assert (row.stat.value, row.stat.n, best) == (1.0, 1, held)
    assert "(object_3d)" in row.criterion
    assert not row.passed, "four are asked for"
    assert "| 1 | – | at least 4 of 1 | no |" in table([row])
    assert as_json([row])[0]["low"] is None
    untrained, _ = ability_row([held], tower.randomised(5), data_root=data_root, cache=tmp_path)
    assert untrained.stat.value == 0.0


def test_lora_reports_documents_it_did_not_learn_from(backend, held, data_root):
    few = Held(held.located, held.documents[:24], held.questions[:24])
    train = more_documents(few, data_root, 20)
    assert len(train) == 20
    assert not {d.doc_id for d in train} & {d.doc_id for d in few.documents}
    before = {n: p.clone() for n, p in backend.model.named_parameters()}
    row = lora_row(few, backend, data_root, lessons=20, tuning=Tuning(steps=2, batch=4))
    assert row.stat.n == 24
    assert row.target == "interval above chance, 0.33"
    assert row.passed == (row.stat.low > 1 / 3)
    changed = {n for n, p in backend.model.named_parameters() if not torch.equal(p, before[n])}
    assert changed
    assert all(".language_model." in name for name in changed)
