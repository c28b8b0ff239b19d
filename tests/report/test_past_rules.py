"""Where every cheap rule fails: which documents these are, and what is read on them."""

from __future__ import annotations

import re

import handmade
import numpy as np
import pytest
from home import keyed

from vlmbench.metrics import summarise
from vlmbench.report import leaderboard
from vlmbench.report._past_rules import where_rules_fail
from vlmbench.store import RunFolder

GOLD = np.array([0, 1, 2, 3, 0, 1, 2, 3])


def picking(*choices, ids="doc-{}"):
    """Scores of one who picks these choices; None ties all four."""
    scores = np.zeros((len(choices), 4))
    for at, choice in enumerate(choices):
        scores[at, [] if choice is None else choice] = 1.0
    return handmade.scored(scores, GOLD[: len(choices)], scale="similarity", ids=ids)


def test_a_rule_fails_where_it_does_no_better_than_a_guess():
    first = picking(0, 0, 2, None, [0, 1], 2, 3, 3)  # right, wrong, right, tied, half, ...
    second = picking(1, 3, 2, None, 1, 2, 1, 0)
    found = where_rules_fail([first, second])
    assert found.ids == {"doc-1", "doc-3", "doc-5", "doc-6"}
    assert found.of == 8
    # Left are {1, 2}, all four, {0, 1, 3} and {0, 2}.
    assert found.shunning == pytest.approx((1 / 2 + 1 / 4 + 1 / 3 + 1 / 2) / 4)


def test_a_document_on_which_a_rule_did_not_run_does_not_count():
    first, second = picking(*[None] * 8), picking(*[None] * 8)
    second.failed[:3] = True
    found = where_rules_fail([first, second])
    assert found.ids == {f"doc-{at}" for at in range(3, 8)}
    assert found.of == 5


def test_rules_that_are_always_right_leave_nothing():
    assert where_rules_fail([picking(*GOLD)]) is None


def write(folder, cells, rules=()):
    """A finished run of one task with the records and rows of these cells."""
    run, names, rows, models = RunFolder(folder), [], [], {}
    for (model, readout, condition), scores in cells.items():
        names.append(handmade.write(run, handmade.basis(model, "t", readout, condition), scores))
        rule = {"rule": model} if model in rules else {"relation": "identical"}
        models[model] = handmade.model_record(**rule)
    for model in models:
        own = {key[:0:-1]: scores for key, scores in cells.items() if key[0] == model}
        rows += summarise(keyed(own), model=model, task="t", seed=0)
    tasks = {"t": handmade.task_record("t", n=8, of=8, chance=0.25)}
    run.finish(handmade.manifest(tasks, models, cells=tuple(names)), rows, {})
    return folder


def page(tmp_path, rules, model):
    runs = [write(tmp_path / "rules", rules, rules={name for name, _, _ in rules})]
    runs.append(write(tmp_path / "model", model))
    text = leaderboard(runs, tmp_path / "board")[0].read_text()
    assert leaderboard(runs[::-1], tmp_path / "other")[0].read_text() == text
    found = re.search(r"^## Where every cheap rule fails\n.*?(?=^## )", text, re.M | re.S)
    return [] if found is None else found[0].strip().splitlines()[-1].strip("| ").split("|")


def test_documents_are_joined_across_runs_by_their_ids(tmp_path):
    rules = {("patch_colour", "rule", "own"): picking(0, 1, 2, 3, 1, 2, 3, 0)}
    right, wrong = GOLD.tolist(), ((GOLD + 1) % 4).tolist()
    model = {
        ("m", "prompted", "own"): picking(*wrong[:5], *right[5:]),
        ("m", "encoder", "own"): picking(*wrong[:4], *right[4:]),
        ("m", "encoder", "own+random"): picking(*right[:4], *wrong[4:]),
    }
    line = [cell.strip() for cell in page(tmp_path, rules, model)]
    assert line[:5] == ["t", "m", "4 of 8", ".250", ".333"]
    assert [cell.split()[0] for cell in line[5:]] == [".750", "1.000", ".000", "+.250"]


def test_documents_that_failed_are_left_out_and_counted(tmp_path):
    rules = {("patch_colour", "rule", "own"): picking(0, 1, 2, 3, 1, 2, 3, 0)}
    model = {("m", "prompted", "own"): picking(*GOLD), ("m", "encoder", "own"): picking(*GOLD)}
    model["m", "encoder", "own"].failed[7] = True
    line = page(tmp_path, rules, model)
    assert "(n = 3)" not in line[5]
    assert line[6].strip().endswith("(n = 3)")
    assert line[8].strip().endswith("(n = 3)")


def test_rules_of_order_and_wording_do_not_select(tmp_path):
    rules = {("first_choice", "rule", "own"): picking(*[0] * 8)}
    assert page(tmp_path, rules, {("m", "prompted", "own"): picking(*GOLD)}) == []
