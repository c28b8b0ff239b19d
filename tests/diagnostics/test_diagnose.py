"""From a run folder to an outcome of every test, the same ones every time."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import handmade
import numpy as np
import pytest

from vlmbench import diagnostics
from vlmbench.diagnostics import (
    TESTS,
    Evidence,
    contribution,
    dependency,
    diagnose,
    dump_outcomes,
)
from vlmbench.spec import Condition
from vlmbench.store import Run, RunFolder
from vlmbench.types import ChoiceScores, VlmbenchError

STRENGTHS = ("weak", "medium", "strong")


def cells(model) -> dict[tuple[str, str], tuple[ChoiceScores, dict[str, object]]]:
    """Return every cell of the diagnose study as a closed-form model answers it."""
    found = {
        ("prompted", "own"): (model.read(), {}),
        ("prompted", "own+single"): (model.read(first=60), {}),
        ("encoder", "own"): (replace(model.read(), scale="similarity"), {}),
    }
    for image in ("blank", "none", "swapped"):
        found["prompted", image] = (model.read(image), {})
    found["prompted", "scrambled-8"] = (model.read("swapped", first=150), {})
    for strength in STRENGTHS:
        hinted = model.read(hint=model.wrong, strength=strength, first=150)
        targets = {"hint_targets": model.wrong[:150]}
        found["prompted", f"own+hint-wrong-{strength}"] = (hinted, targets)
    hinted = model.read(hint=model.gold, first=150)
    found["prompted", "own+hint-right-strong"] = (hinted, {"hint_targets": model.gold[:150]})
    for strength in (0.25, 0.5, 1.0):
        found["prompted", f"blur-{strength}"] = (model.read(seen=1 - strength, first=40), {})
    found["prompted", "evidence"] = (model.read(seen=0.1, first=150), {})
    found["prompted", "evidence-random"] = (model.read(seen=0.8, first=150), {})
    inside = {"internals": model.inside(first=150, layers=1, blank=True)}
    found["internals", "blank"] = (model.read("blank", first=150), inside)
    for filler in (0, 64, 256):
        first = 24 if filler else 150
        text = f"+filler-{filler}-before" if filler else ""
        inside = {"internals": model.inside(filler=filler, first=first, layers=1)}
        found["internals", f"own{text}"] = (model.read(first=first), inside)
        if filler:
            found["internals", f"blank{text}"] = (model.read("blank", first=first), inside)
    return found


def write(path: Path, made) -> Run:
    """Write a finished run of model m on task t."""
    folder = RunFolder(path)
    names = [
        handmade.write(folder, handmade.basis("m", "t", readout, f"{label}+seed-5"), scores, **more)
        for (readout, label), (scores, more) in made.items()
    ]
    return handmade.finish(folder, ["t"], ["m"], names)


def by_name(run: Run) -> dict[str, bool | None]:
    return {outcome.test.name: outcome.holds for outcome in diagnose(Evidence.load(run, "m", "t"))}


def test_a_model_that_sees_passes_all(fake, tmp_path):
    run = write(tmp_path, cells(fake(clear=0.9)))
    assert by_name(run) == dict.fromkeys((test.name for test in TESTS), True)


def test_an_image_blind_model_that_trusts_hints_passes_none(fake, tmp_path):
    run = write(tmp_path, cells(fake(sight=0.0, trust=1.0)))
    holds = by_name(run)
    # Its states were made to share information all the same, and it has no influence to lose.
    assert holds.pop("consistency") is True
    assert holds.pop("budget") is None
    assert set(holds.values()) == {False}


def test_the_same_bytes_every_time(fake, tmp_path):
    run = write(tmp_path, cells(fake(n=200)))
    first, second = (dump_outcomes(diagnose(Evidence.load(run, "m", "t"))) for _ in range(2))
    assert first == second
    assert len(json.loads(first)) == len(TESTS)


def test_tests_without_their_cells_say_which_and_the_others_run(fake, tmp_path):
    made = cells(fake(n=200))
    kept = {key: made[key] for key in made if key[0] != "internals" and "hint" not in key[1]}
    outcomes = {x.test.name: x for x in diagnose(Evidence.load(write(tmp_path, kept), "m", "t"))}
    assert outcomes["dependency"].holds is True
    for name in ("override", "consistency", "budget"):
        assert outcomes[name].holds is None
        assert outcomes[name].reason.startswith("Could not be run")
    assert outcomes["contribution"].find(contribution.PER_IMAGE_TOKEN, against="none") is None


def test_scores_that_are_no_log_likelihoods_run_nothing(fake, tmp_path):
    own = replace(fake(n=30).read(), scale="vote")
    made = {("prompted", "own"): (own, {}), ("prompted", "swapped"): (own, {})}
    outcomes = diagnose(Evidence.load(write(tmp_path, made), "m", "t"))
    assert [outcome.holds for outcome in outcomes] == [None] * len(TESTS)
    assert "'vote'" in outcomes[0].reason


def test_a_failed_document_is_left_out_everywhere(fake, without, tmp_path):
    made = cells(fake(clear=0.9, n=200))
    made = {key: (without(scores, 3), more) for key, (scores, more) in made.items()}
    outcomes = diagnose(Evidence.load(write(tmp_path, made), "m", "t"))
    assert all(outcome.holds for outcome in outcomes)
    stat = outcomes[0].find(dependency.TOTAL_VARIATION, against="swapped")
    assert (stat.n, stat.coverage) == (199, pytest.approx(0.995))


def test_an_unknown_model_is_refused(fake, tmp_path):
    run = write(tmp_path, {("prompted", "own"): (fake(n=20).read(), {})})
    with pytest.raises(VlmbenchError, match="no record of model 'other'"):
        Evidence.load(run, "other", "t")


def test_records_that_the_run_does_not_list_are_no_evidence(fake, tmp_path):
    made = {("prompted", "own"): (fake(n=20).read(), {})}
    run = write(tmp_path, made)
    handmade.write(run.folder, handmade.basis("m", "t", label="blank"), fake(n=20).read("blank"))
    assert [label for _, label in Evidence.load(run, "m", "t").scores] == [Condition()]


def test_a_damaged_record_is_not_passed_over(fake, tmp_path):
    run = write(tmp_path, {("prompted", "own"): (fake(n=20).read(), {})})
    (record,) = run.records("m", "t")
    record.path.write_bytes(record.path.read_bytes()[:-1])
    with pytest.raises(VlmbenchError, match="the record is damaged"):
        Evidence.load(run, "m", "t")


def test_measurements_name_their_place_once(fake, tmp_path):
    for outcome in diagnose(Evidence.load(write(tmp_path, cells(fake(n=200))), "m", "t")):
        places = [(x.quantity, tuple(sorted(x.at.items()))) for x in outcome.measurements]
        assert len(set(places)) == len(places)
        assert all(np.isfinite(x.stat.value) for x in outcome.measurements)


def test_every_test_that_a_module_defines_is_run() -> None:
    modules = [
        import_module(f"{diagnostics.__name__}.{m.name}")
        for m in iter_modules(diagnostics.__path__)
    ]
    defined = {
        value for m in modules for value in vars(m).values() if isinstance(value, diagnostics.Test)
    }
    assert defined == set(TESTS)
    for field in ("name", "title", "head"):
        assert len({getattr(test, field) for test in TESTS}) == len(TESTS)
