from __future__ import annotations

import pytest
import torch
from home import Home

from vlmbench.metrics import accuracy
from vlmbench.models import Tower, load_backend
from vlmbench.organisms import teach
from vlmbench.organisms._gate import subject
from vlmbench.organisms._twin import _forget
from vlmbench.readouts import read_prompted
from vlmbench.registry import catalogue
from vlmbench.spec import Condition, Tuning
from vlmbench.tasks import ask, load_documents

FEW = Tuning(documents=8, steps=2, batch=4, check_documents=4)
ROWS = ("encoder readout", "prompted, before", "prompted, after", "prompted, after, blank image",
        "the same lessons, encoder untrained")  # fmt: skip


@pytest.fixture
def home(toy_folder, tmp_path) -> Home:
    home = Home(tmp_path / "home")
    home.model("toy", toy_folder, twin={"layer": -2, "relation": "identical"})
    return home


def test_a_twin_is_an_adapter_that_a_model_file_names(home, tmp_path):
    twin = home.folder / "toy-object_3d"
    rows = teach(
        "toy", "object_3d", output=twin, data_root=tmp_path, cache=tmp_path,
        include_paths=[home.folder], tuning=FEW, limit=8,
    )  # fmt: skip
    assert tuple(row.criterion for row in rows) == ROWS
    assert all(row.stat.n == 8 for row in rows)
    card = (twin / "README.md").read_text()
    assert "taught it `object_3d`" in card
    assert "on 8 documents" in card
    assert all(f"| {' | '.join(row.cells[:3])} |" in card for row in rows)
    home.model("taught", catalogue((home.folder,)).select_models("toy")[0].spec.checkpoint,
               weights={"lora": "./toy-object_3d"})  # fmt: skip
    found = catalogue((home.folder,))
    (task,) = found.select_tasks("object_3d")
    documents = list(load_documents(task, "reported", tmp_path, 8))
    backend = load_backend(found.select_models("taught")[0], "cpu", "float32")
    asked = ask(documents, task.spec, Condition())
    assert accuracy(read_prompted(asked, task.spec, backend).scores) == rows[2].stat


def test_the_control_has_another_encoder_and_nothing_else(home):
    found = catalogue((home.folder,))
    (backend, twin), (control, _) = subject(found, "toy"), subject(found, "toy")
    _forget(control, twin)
    own, other = backend.model.state_dict(), control.model.state_dict()
    differ = {name for name in own if not torch.equal(own[name], other[name])}
    assert differ
    assert all("vision_tower" in name for name in differ)
    untrained = Tower.inside(backend, twin).randomised(0).module.state_dict()
    assert all(torch.equal(Tower.inside(control, twin).module.state_dict()[n], v)
               for n, v in untrained.items())  # fmt: skip
