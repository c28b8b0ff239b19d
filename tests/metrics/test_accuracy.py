"""Accuracy beside what others compute, and beside what it is compared with."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from vlmbench.metrics import abstention, accuracy, chance, corrected, failures, majority
from vlmbench.types import Stat


def test_untied_accuracy_is_scikit_learns(readouts):
    scores = readouts.random(seed=3)
    expected = accuracy_score(scores.gold, scores.scores.argmax(axis=1))
    assert accuracy(scores).value == pytest.approx(expected, abs=1e-12)


@pytest.mark.filterwarnings("ignore")
def test_untied_accuracy_is_lm_evals(tmp_path, documents):
    from lm_eval.api.task import ConfigurableTask

    suite = documents(60, 2, 3, 4)
    scores = suite.random(seed=1)
    docs = [
        {"question": f"Which is it, {i}?", "choices": list("ABCD"[:n]), "gold": int(gold)}
        for i, (n, gold) in enumerate(zip(suite.n_choices, suite.gold, strict=True))
    ]
    file = tmp_path / "docs.jsonl"
    file.write_text("".join(json.dumps(doc) + "\n" for doc in docs))
    task = ConfigurableTask(
        config={
            "task": "parity",
            "dataset_path": "json",
            "dataset_kwargs": {
                "data_files": {"test": str(file)},
                "cache_dir": str(tmp_path / "cache"),
            },
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "{{question}}",
            "doc_to_choice": "choices",
            "doc_to_target": "gold",
            "metric_list": [{"metric": "acc"}],
        }
    )
    theirs = [
        task.process_results(doc, [(score, False) for score in row[:n]])["acc"]
        for doc, row, n in zip(docs, scores.scores, suite.n_choices, strict=True)
    ]
    assert 0 < sum(theirs) < 60
    assert accuracy(scores).value == pytest.approx(np.mean(theirs), abs=1e-12)


def test_a_constant_letter_earns_at_most_the_majority_rate(documents):
    suite = documents(500, 3)
    by_letter = [accuracy(suite.constant(letter)).value for letter in range(3)]
    assert max(by_letter) == majority(suite.oracle())
    assert sum(by_letter) == pytest.approx(1.0)


def test_majority_and_chance_do_not_depend_on_the_answers(readouts):
    cells = (readouts.oracle(), readouts.abstainer(), readouts.uniform())
    assert len({majority(scores) for scores in cells}) == 1
    assert len({chance(scores) for scores in cells}) == 1


def test_chance_of_mixed_choices_is_the_mean_of_their_chances(documents):
    suite = documents(200, 3, 4)
    threes = int((suite.n_choices == 3).sum())
    assert 0 < threes < 200
    expected = (threes / 3 + (200 - threes) / 4) / 200
    assert chance(suite.uniform()) == pytest.approx(expected, abs=1e-12)


def test_correction_maps_chance_to_zero_and_one_to_one(readouts):
    level = chance(readouts.uniform())
    assert corrected(accuracy(readouts.uniform()), level).value == 0.0
    assert corrected(accuracy(readouts.oracle()), level).value == pytest.approx(1.0)
    assert corrected(accuracy(readouts.anti_oracle()), level).value < 0.0


def test_correction_moves_the_interval_with_the_value():
    stat = corrected(Stat(value=0.625, low=0.5, high=0.75, n=8, coverage=0.5), 0.5)
    assert (stat.value, stat.low, stat.high, stat.n, stat.coverage) == (0.25, 0.0, 0.5, 8, 0.5)


def test_one_choice_leaves_nothing_to_correct():
    stat = corrected(Stat(value=1.0, low=0.9, high=1.0, n=8), 1.0)
    assert math.isnan(stat.value)
    assert math.isnan(stat.low)


def test_abstentions_and_failures_are_counted_apart(readouts, with_failures):
    scores = replace(readouts.oracle(), abstained=np.arange(240) < 60)
    scores = with_failures(scores, *range(40))
    stat = abstention(scores)
    assert failures(scores) == 40
    assert (stat.value, stat.n) == (20 / 200, 200)
    assert stat.low < stat.value < stat.high
    assert stat.coverage == 180 / 200
