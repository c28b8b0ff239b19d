"""Closed-form models through the whole study: each number is known beforehand, and the name too."""

from __future__ import annotations

import json
import math
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import corners
import pytest
from home import vlmbench
from theory import MODELS, expected

from vlmbench.diagnostics import TESTS, certainty, sensitivity
from vlmbench.models import Tower
from vlmbench.registry import _plugins
from vlmbench.report.cards import explain
from vlmbench.spec import Condition
from vlmbench.store import RunFolder

N = 160
NAMES = {
    "blind": "visual neglect",
    "oracle": "uses its vision",
    "follower": "text dominance",
    "channel": "uses its vision",
    "starved": "budget collapse",
}
# In the order of TESTS: dependency, override, consistency, sensitivity, contribution,
# certainty, budget. Of a blind model's influence nothing can be lost, so that test stays open.
HOLDS = {
    "blind": (False, False, False, False, False, False, None),
    "oracle": (True,) * 7,
    "follower": (True, False, True, True, True, True, True),
    "channel": (True,) * 7,
    "starved": (True, True, True, True, True, True, False),
}


@pytest.fixture(scope="module", autouse=True)
def installed():
    """Offer the two backends as an installed package does."""
    entries = EntryPoints(
        EntryPoint(name, f"corners:{target}", "vlmbench.backends")
        for name, target in (("open", "Open"), ("mute", "Mute"))
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_plugins, "entry_points", lambda group: entries)
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home") / "corners"
    corners.write_tasks(folder, n=N)
    twin = corners.write_tower(folder)
    for name, weights in MODELS.items():
        corners.write_model(folder, name, weights, backend="open", twin=twin)
    small = MODELS["oracle"] | {"max_position_embeddings": 512}
    corners.write_model(folder, "mute", small, backend="mute")
    return folder


def run(home: Path, output: Path, models: str, tasks: str, *more: object) -> None:
    vlmbench(
        "run", "--models", models, "--tasks", tasks, "--study", "diagnose", "--include-path", home,
        "--output", output, "--device", "cpu", *more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def output(home: Path) -> Path:
    folder = home.parent / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vlmbench.cli._run.explain_all", lambda *_, **__: None)
        run(home, folder, ",".join(MODELS), "corners")
    return folder


@pytest.fixture(scope="module")
def explained(output: Path):
    """Return each model's verdict and outcomes, explained when first asked for."""
    found: dict[str, object] = {}

    def get(model: str):
        if model not in found:
            (found[model],) = explain(RunFolder(output).read(), model).tasks
        return found[model]

    return get


@pytest.mark.parametrize("model", MODELS)
def test_every_quantity_reads_what_theory_says(explained, model):
    outcomes = {outcome.test: outcome for outcome in explained(model).outcomes}
    for test, known in expected(model).items():
        assert known
        for quantity, at, value in known:
            stat = outcomes[test].find(quantity, **at)
            assert stat is not None, (test.name, quantity, at)
            ends = [stat.value if math.isnan(end) else end for end in (stat.low, stat.high)]
            assert ends[0] - 1e-9 <= value <= ends[1] + 1e-9, (quantity, at, value, stat)


@pytest.mark.parametrize("model", MODELS)
def test_every_test_holds_or_fails_as_it_should_and_the_verdict_is_right(explained, model):
    told = explained(model)
    reasons = {outcome.test.name: outcome.reason for outcome in told.outcomes}
    assert tuple(outcome.holds for outcome in told.outcomes) == HOLDS[model], reasons
    assert told.verdict.name == NAMES[model], (told.verdict.reason, told.verdict.seen)
    # The encoder was read for real, and knows: no verdict here rests on its absence.
    assert told.accuracies.encoder.low > 0.6


@pytest.mark.parametrize("model", [model for model in MODELS if model != "blind"])
def test_a_seer_looks_at_the_squares_and_falls_by_degrees(explained, model):
    said = next(o for o in explained(model).outcomes if o.test == sensitivity.TEST)
    assert said.find(sensitivity.GROUNDING, of="TV").low > 1
    assert said.find(sensitivity.AREA, by="mask").low > 0
    moved = [
        said.find(sensitivity.LOGIT_DISTANCE, by="mask", strength=strength).value
        for strength in (0.0, 0.125, 0.25, 0.5, 0.75)
    ]
    assert moved[0] == 0
    assert moved == sorted(moved)


def test_the_optimal_reader_of_a_channel_is_calibrated(explained):
    said = next(o for o in explained("channel").outcomes if o.test == certainty.TEST)
    error = said.find(certainty.CALIBRATION_WITH, against="none").value
    assert error == pytest.approx(0, abs=1e-9)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_explaining_and_running_again_load_nothing_and_change_no_byte(home, output, monkeypatch):
    def loads(*arguments, **options):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(corners.Mute, "load", loads)
    monkeypatch.setattr(Tower, "load", loads)
    before = contents(output)
    cards = home.parent / "cards"
    vlmbench("explain", output, "--model", "starved", "--output", cards)
    first = contents(cards)
    assert {"starved.md", "starved/outcomes.json"} <= set(first)
    said = json.loads(first["starved/outcomes.json"])["tasks"]["corners"]["verdict"]["name"]
    assert said == NAMES["starved"]
    vlmbench("explain", output, "--model", "starved", "--output", cards)
    assert contents(cards) == first
    assert contents(output) == before
    monkeypatch.setattr("vlmbench.cli._run.explain_all", lambda *_, **__: None)
    run(home, output, ",".join(MODELS), "corners")
    assert contents(output) == before


def test_what_cannot_be_is_left_out_with_its_reason_and_the_rest_runs(home, monkeypatch):
    monkeypatch.setattr("vlmbench.cli._run.explain_all", lambda *_, **__: None)
    folder = home.parent / "mute"
    run(home, folder, "mute", "bare", "--limit", 12)
    skipped = {
        (cell["readout"], cell["condition"]): cell["reason"]
        for cell in json.loads((folder / "manifest.json").read_text())["skipped"]
    }
    internals = {label for readout, label in skipped if readout == "internals"}
    assert {"own", "own+filler-64-before", "swapped+filler-1024-after"} <= internals
    assert all(
        "'mute' does not show the inside" in skipped["internals", label] for label in internals
    )
    for label in ("evidence", "evidence-random"):
        assert "has no regions" in skipped["prompted", label]
    assert "has no twin" in skipped["encoder", "own"]
    assert {readout for readout, _ in skipped} == {"internals", "prompted", "encoder"}
    (task,) = explain(RunFolder(folder).read(), "mute").tasks
    could = {outcome.test.name: bool(outcome.measurements) for outcome in task.outcomes}
    assert could == {test.name: test.name not in ("consistency", "budget") for test in TESTS}


@pytest.mark.parametrize(("model", "longest", "fit"), [("oracle", 2048, 2), ("mute", 512, 1)])
def test_filler_longer_than_the_context_is_left_out(home, model, longest, fit):
    labels = [f"own+filler-{tokens}-before" for tokens in (256, 1024, 4096)]
    command = (
        "plan", "--models", model, "--tasks", "corners", "--study", "diagnose",
        "--include-path", home, "--conditions", ",".join(labels),
    )  # fmt: skip
    rows = json.loads(vlmbench(*command, "--json").out)
    prompted = [row["condition"] for row in rows if row["readout"] == "prompted"]
    assert prompted == labels[:fit]
    assert f"takes at most {longest}" in vlmbench(*command).words


def test_the_study_as_planned_leaves_out_the_longest_filler_only(output):
    skipped = json.loads((output / "manifest.json").read_text())["skipped"]
    assert {Condition.parse(cell["condition"]).text.tokens for cell in skipped} == {4096}
    assert all("takes at most 2048" in cell["reason"] for cell in skipped)
    assert len(skipped) == 4 * len(MODELS)
