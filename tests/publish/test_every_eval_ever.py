"""Every Eval Ever 0.3.0, held against its own validator, which warns of nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import finished
import pytest
from home import stats_of, vlmbench

from vlmbench.metrics import RANGES
from vlmbench.publish._results import MEASURES


def files_of(published: Path) -> tuple[Path, Path]:
    place = published / "every-eval-ever/data/vlmbench-sight/some/model"
    (samples,) = place.glob("*_samples.jsonl")
    return place / f"{samples.name.removesuffix('_samples.jsonl')}.json", samples


def results_of(published: Path) -> dict[str, dict[str, Any]]:
    aggregate = json.loads(files_of(published)[0].read_text())
    return {one["evaluation_result_id"]: one for one in aggregate["evaluation_results"]}


def lines_of(published: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in files_of(published)[1].read_text().splitlines()]


@pytest.fixture
def validated(published, validator):
    """Validate what is published by now; return the status and what was said."""

    def validate() -> tuple[int, str]:
        root = published / "every-eval-ever"
        files = [path.relative_to(root) for path in files_of(published)]
        return validator("-m", "every_eval_ever", "validate", *files, folder=root)

    return validate


def test_its_validator_passes_it_without_a_warning(validated):
    status, said = validated()
    assert status == 0, said
    assert "2 passed, 0 warning-only, 0 failed" in said


def without_a_score(aggregate):
    del aggregate["evaluation_results"][0]["score_details"]["score"]


def beyond_its_bounds(aggregate):
    aggregate["evaluation_results"][0]["score_details"]["score"] = 1.5


def of_other_samples(aggregate):
    aggregate["detailed_evaluation_results"]["total_rows"] += 1


def of_no_relationship(aggregate):
    aggregate["source_metadata"]["evaluator_relationship"] = "friends"


@pytest.mark.parametrize(
    "spoil", [without_a_score, beyond_its_bounds, of_other_samples, of_no_relationship]
)
def test_its_validator_refuses_a_spoilt_aggregate(published, validated, spoil):
    path = files_of(published)[0]
    aggregate = json.loads(path.read_text())
    spoil(aggregate)
    path.write_text(json.dumps(aggregate))
    status, said = validated()
    assert status == 1, said


def test_its_validator_refuses_a_spoilt_sample(published, validated):
    path = files_of(published)[1]
    first, rest = path.read_text().split("\n", maxsplit=1)
    line = json.loads(first)
    del line["evaluation"]["is_correct"]
    path.write_text(f"{json.dumps(line)}\n{rest}")
    status, said = validated()
    assert status == 1
    assert "is_correct" in said


def test_every_result_is_the_row_to_the_last_digit(run, published):
    rows = stats_of(run, "condition", "readout", "metric")
    results = results_of(published)
    assert set(results) == {"/".join(key) for key in rows if key[2] in MEASURES}
    for key, row in rows.items():
        if key[2] not in MEASURES:
            continue
        details = results["/".join(key)]["score_details"]
        interval = details["uncertainty"]["confidence_interval"]
        found = (details["score"], interval["lower"], interval["upper"])
        assert found == (row["value"], row["low"], row["high"])
        assert details["uncertainty"]["num_samples"] == row["n"]
        assert float(details["details"]["coverage"]) == row["coverage"]


def test_the_gap_is_a_metric_of_its_own(published):
    result = results_of(published)["own/encoder-prompted/gap"]
    metric = result["metric_config"]
    assert (metric["min_score"], metric["max_score"]) == (-1.0, 1.0)
    assert metric["metric_id"] == "vlmbench.gap"
    assert metric["lower_is_better"] is True
    assert result["score_details"]["score"] == 1.5 / 5


def test_what_failed_is_counted_and_never_wrong(published):
    details = {name: one["score_details"]["details"] for name, one in results_of(published).items()}
    asked = details["own/prompted/accuracy"]
    assert (asked["n"], asked["failed"], asked["abstained"]) == ("5", "1", "1")
    gap = details["own/encoder-prompted/gap"]
    assert (gap["prompted failed"], gap["prompted abstained"]) == ("1", "1")
    assert (gap["encoder failed"], gap["encoder abstained"]) == ("0", "0")
    shown = [x for x in lines_of(published) if x["evaluation_result_id"] == "own/prompted/accuracy"]
    assert [line["sample_id"] for line in shown] == [f"doc-{i}" for i in range(5)]


def test_samples_say_what_was_answered_and_add_up_to_the_result(published):
    results = results_of(published)
    lines = lines_of(published)
    by_result: dict[str, list[Any]] = {}
    for line in lines:
        by_result.setdefault(line["evaluation_result_id"], []).append(line)
    assert set(by_result) == {name for name in results if name.endswith("/accuracy")}
    for name, held in by_result.items():
        mean = math.fsum(line["evaluation"]["score"] for line in held) / len(held)
        assert mean == pytest.approx(results[name]["score_details"]["score"])
    asked = by_result["own/prompted/accuracy"]
    told = [[one["extracted_value"] for one in line["answer_attribution"]] for line in asked]
    assert told == [["A"], ["B"], ["A"], ["A", "B"], []]
    assert [line["evaluation"]["is_correct"] for line in asked] == [True, True, True, False, False]
    assert [line["metadata"]["abstained"] for line in asked][3:] == ["false", "true"]
    assert json.loads(asked[0]["metadata"]["scores"]) == [-1 / 3, -2.0]


def test_the_same_run_is_published_under_the_same_names(run, published, tmp_path):
    facts = ("--organization", "Others", "--relationship", "other", "--dataset", "b/c")
    vlmbench("publish", run, *facts, "--output", tmp_path / "again")
    assert files_of(tmp_path / "again")[0].name == files_of(published)[0].name


def test_every_measure_is_a_metric_with_bounds():
    assert set(MEASURES) <= set(RANGES)
    for name, measure in MEASURES.items():
        assert name == "accuracy" or measure.says
        assert measure.lower_is_better == name.startswith(("gap", "lost"))


def test_a_model_from_a_folder_needs_its_repository(tmp_path):
    run = finished.finished(tmp_path / "run", checkpoint=((("config.json", 12, 345),),))
    facts = ("--organization", "A", "--relationship", "other", "--dataset", "b/c")
    said = vlmbench("publish", run, *facts, "--output", tmp_path / "out", status=1)
    assert "--repository tiny=ORGANIZATION/NAME" in said.err
    assert not (tmp_path / "out").exists()
    vlmbench("publish", run, *facts, "--repository", "tiny=d/e", "--output", tmp_path / "out")
    assert (tmp_path / "out/every-eval-ever/data/vlmbench-sight/d/e").is_dir()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--dataset", "sights"), ("--repository", "tiny=../../x"), ("--repository", "other=a/b"),
        ("--relationship", "friends"),
    ],
)  # fmt: skip
def test_what_a_publisher_cannot_say_is_refused(run, tmp_path, option, value):
    facts = {"--organization": "A", "--relationship": "other", "--dataset": "b/c"} | {option: value}
    given = [text for pair in facts.items() for text in pair]
    said = vlmbench("publish", run, *given, "--output", tmp_path / "out", status=1)
    assert option in said.err
    assert not (tmp_path / "out").exists()
