"""A model that cannot see is a control of every test: the shipped one, all images made alike."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest
import yaml
from home import ROOT, Home
from sightless import Sightless, mean_projected

from vlmbench.diagnostics import TESTS, contribution
from vlmbench.registry import _plugins
from vlmbench.report.cards import explain
from vlmbench.store import RunFolder

LIMIT = 80
LONG = ("filler-256", "filler-1024", "filler-4096")
"""What takes most of the study's time, and only adds points to a curve."""
CHEAP = ("own", "blank", "swapped", "own+single")
"""Conditions of the tests that hold for the model with its eyes open."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, tiny_clip):
    """Return what the tests say of naming, by model and test."""
    home = Home(tmp_path_factory.mktemp("home"))
    data = home.folder / "data"
    image = {"letterbox": 96, "fill": [128, 128, 128]}
    for name, backend in {"sighted": "hf", "sightless": "sightless"}.items():
        home.model(name, ROOT / "models" / "tiny-clip", backend=backend, image=image)
    cells = yaml.safe_load((ROOT / "tasks" / "studies" / "diagnose.yaml").read_text())["cells"]
    labels = [cell.get("condition", "own") for cell in cells]
    kept = {
        "sighted": lambda label: label in CHEAP,
        "sightless": lambda label: not any(part in label for part in LONG),
    }
    entry = EntryPoint("sightless", "sightless:Sightless", "vlmbench.backends")
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_plugins, "entry_points", lambda group: EntryPoints([entry]))
        patch.setattr("vlmbench.cli._run.explain_all", lambda *_, **__: None)
        mean = mean_projected(tiny_clip, "naming", data, LIMIT)
        patch.setattr(Sightless, "mean", mean, raising=False)
        for model, is_kept in kept.items():
            study = [cell for cell, label in zip(cells, labels, strict=True) if is_kept(label)]
            home.study(f"of-{model}", *study)
            more = ("--study", f"of-{model}", "--limit", LIMIT, "--data-root", data)
            run = RunFolder(home.run(model, "naming", *more, output=f"run-{model}")).read()
            (task,) = explain(run, model).tasks
            found[model] = {outcome.test.name: outcome for outcome in task.outcomes}
    return found


@pytest.mark.parametrize("name", [test.name for test in TESTS])
def test_no_test_holds_for_a_model_that_cannot_see(told, name):
    outcome = told["sightless"][name]
    assert outcome.measurements, outcome.reason  # it was run
    assert outcome.holds is not True, outcome.reason


@pytest.mark.parametrize("name", ["dependency", "consistency", "contribution", "certainty"])
def test_the_same_model_with_its_eyes_open_holds_them(told, name):
    outcome = told["sighted"][name]
    assert outcome.holds is True, outcome.reason


def test_what_leaving_the_image_tokens_out_does_is_not_information(told):
    against = {
        name: told["sightless"]["contribution"].find(contribution.USABLE, against=name)
        for name in ("none", "blank")
    }
    assert against["blank"].value == pytest.approx(0, abs=1e-5)  # blank prompts are read together
    assert against["none"].low > 0  # and yet it sees nothing
