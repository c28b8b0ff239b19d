"""A model that cannot see is a control of every test: the shipped one, all images made alike.

Its projector puts out one vector at every image position, the mean over documents and positions,
so it is given as many image tokens as ever and none of them says anything.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
import torch
import yaml
from home import ROOT, Home

from vlmbench.diagnostics import TESTS, contribution
from vlmbench.models.hf import HfBackend
from vlmbench.readouts import read_prompted
from vlmbench.registry import _plugins, catalogue
from vlmbench.report.cards import explain
from vlmbench.spec import Condition
from vlmbench.store import RunFolder
from vlmbench.tasks import ask, load_documents

LIMIT = 80
LONG = ("filler-256", "filler-1024", "filler-4096")
"""What takes most of the study's time, and only adds points to a curve."""


class Sightless(HfBackend):
    """A LLaVA whose projected image is `mean` throughout."""

    mean: torch.Tensor

    @classmethod
    def load(cls, spec, folder, device, dtype):
        backend = super().load(spec, folder, device, dtype)
        projector = backend.model.model.multi_modal_projector
        projector.register_forward_hook(lambda module, given, put_out: cls.mean.expand_as(put_out))
        return backend


def mean_projected(model: HfBackend, data_root: Path) -> torch.Tensor:
    """Return the mean of what the projector puts out, over documents of naming and positions."""
    (task,) = catalogue().select_tasks("naming")
    asked = ask(list(load_documents(task, "reported", data_root, LIMIT)), task.spec, Condition())
    seen: list[torch.Tensor] = []
    projector = model.model.model.multi_modal_projector
    hook = projector.register_forward_hook(lambda module, given, put_out: seen.append(put_out))
    read_prompted(asked, task.spec, model)
    hook.remove()
    return torch.cat([one.reshape(-1, one.shape[-1]) for one in seen]).mean(dim=0)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, tiny_clip):
    """Return what the tests say of naming, by model and test."""
    home = Home(tmp_path_factory.mktemp("home"))
    keys = {
        "prompt": {"chat_template": "auto"},
        "image": {"letterbox": 96, "fill": [128, 128, 128]},
    }
    for name, backend in {"sighted": "hf", "sightless": "sightless"}.items():
        home.model(name, ROOT / "models" / "tiny-clip", backend=backend, **keys)
    cells = yaml.safe_load((ROOT / "tasks" / "studies" / "diagnose.yaml").read_text())["cells"]
    short = [cell for cell in cells if not any(one in cell.get("condition", "") for one in LONG)]
    home.study("short", *short)
    entry = EntryPoint("sightless", f"{__name__}:Sightless", "vlmbench.backends")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EntryPoint, "load", lambda self: Sightless)
        patch.setattr(_plugins, "entry_points", lambda group: EntryPoints([entry]))
        patch.setattr("vlmbench.cli._run.explain_all", lambda run, models: None)
        patch.setattr(
            Sightless, "mean", mean_projected(tiny_clip, home.folder / "data"), raising=False
        )
        output = home.run(
            "sighted,sightless",
            "naming",
            "--study",
            "short",
            "--limit",
            LIMIT,
            "--data-root",
            home.folder / "data",
        )
    run = RunFolder(output).read()
    return {
        model: {outcome.test.name: outcome for outcome in explain(run, model).tasks[0].outcomes}
        for model in ("sighted", "sightless")
    }


@pytest.mark.parametrize("name", [test.name for test in TESTS])
def test_no_test_holds_for_a_model_that_cannot_see(told, name):
    outcome = told["sightless"][name]
    assert outcome.measurements, outcome.reason  # it was run
    assert outcome.holds is not True, outcome.reason


@pytest.mark.parametrize("name", ["dependency", "consistency", "contribution", "certainty"])
def test_the_same_model_with_its_eyes_open_holds_them(told, name):
    outcome = told["sighted"][name]
    assert outcome.holds is True, outcome.reason


def test_what_a_prompt_without_image_tokens_does_is_not_information(told):
    against = {
        name: told["sightless"]["contribution"].find(contribution.USABLE, against=name)
        for name in ("none", "blank")
    }
    assert against["blank"].value == 0.0
    assert against["none"].low > 0  # and yet it sees nothing
