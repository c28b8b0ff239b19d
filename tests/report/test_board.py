"""What may stand in one table, and what may not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vlmbench.report import assemble
from vlmbench.store import RunFolder
from vlmbench.types import ComparisonError, VlmbenchError


def two_runs(run_folder, *, models=("tiny-a", "tiny-b")):
    return [run_folder(f"run-{model}-{i}", (model,)) for i, model in enumerate(models)]


def board_of(folders):
    return assemble([RunFolder(folder.write()).read() for folder in folders])


def test_runs_of_different_models_stand_side_by_side(run_folder):
    board = board_of(two_runs(run_folder))
    assert list(board.models) == ["tiny-a", "tiny-b"]
    assert list(board.tasks) == ["depth", "matching", "naming"]
    assert board.get("tiny-b", "depth", "accuracy", readout="encoder").value > 0.8
    assert board.get("tiny-b", "depth", "accuracy", readout="nobody") is None


def test_the_order_of_runs_does_not_matter(run_folder):
    folders = [*two_runs(run_folder), run_folder("both", ("tiny-a", "tiny-b"), ("naming",))]
    folders[0].manifest["tasks"]["depth"]["source"] = "another wording"
    folders[2].rows.reverse()
    forth, back = board_of(folders), board_of(folders[::-1])
    assert list(forth.rows) == list(back.rows)
    assert forth.tasks == back.tasks
    assert forth.manifests == back.manifests


def test_the_same_run_twice_is_one_run(run_folder):
    run = RunFolder(run_folder().write()).read()
    once, twice = assemble([run]), assemble([run, run])
    assert list(once.rows) == list(twice.rows)
    assert once.manifests == twice.manifests


def test_recorded_models_come_last(run_folder):
    folder = run_folder(models=("tiny-a", "zebra"))
    folder.record("human", "depth", 0.9)
    assert list(board_of([folder]).models) == ["tiny-a", "zebra", "human"]


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("reading", "0" * 64, "how the task's answers are read"),
        ("version", 2.0, "the task's version"),
        ("documents", "0" * 64, "the documents or their order"),
        ("n", 60, "the number of documents"),
        ("limit", 60, "--limit"),
        ("chance", 0.3, "the chance level"),
        ("marked", True, "drawn markers"),
    ],
)
def test_different_tasks_of_one_name_are_refused(run_folder, field, value, told):
    folders = two_runs(run_folder)
    folders[1].manifest["tasks"]["matching"][field] = value
    with pytest.raises(ComparisonError) as caught:
        board_of(folders)
    (problem,) = caught.value.problems
    assert problem.field == f"tasks.matching.{field}"
    assert told in problem.message
    assert str(folders[0].path) in problem.message
    assert str(folders[1].path) in problem.message
    assert "separate leaderboards" in problem.remedy


def test_the_same_documents_share_a_table_whatever_names_their_data(run_folder):
    folders = two_runs(run_folder)
    folders[1].manifest["tasks"]["matching"]["data"] = "another version of the world"
    forth, back = board_of(folders), board_of(folders[::-1])
    assert forth.get("tiny-a", "matching", "accuracy", readout="encoder") is not None
    assert forth.get("tiny-b", "matching", "accuracy", readout="encoder") is not None
    assert forth.tasks == back.tasks


def test_tasks_that_only_one_run_has_cannot_disagree(run_folder):
    folders = [run_folder("one", tasks=("depth",)), run_folder("two", tasks=("naming",))]
    folders[1].manifest["tasks"]["naming"]["limit"] = 60
    assert list(board_of(folders).tasks) == ["depth", "naming"]


def test_other_weights_under_one_name_are_refused(run_folder):
    folders = [run_folder("one", tasks=("depth",)), run_folder("two", tasks=("naming",))]
    folders[1].manifest["models"]["tiny-a"].update(weights="0" * 64, relation="lineage")
    with pytest.raises(ComparisonError) as caught:
        board_of(folders)
    assert [problem.field for problem in caught.value.problems] == [
        "models.tiny-a.weights",
        "models.tiny-a.relation",
    ]


def test_one_model_with_two_different_numbers_is_refused(run_folder):
    folders = two_runs(run_folder, models=("tiny-a", "tiny-a"))
    board_of(folders)
    folders[1].rows[0] = replace(folders[1].rows[0], value=0.6)
    with pytest.raises(ComparisonError) as caught:
        board_of(folders)
    (problem,) = caught.value.problems
    assert problem.field == "tiny-a/depth/own/prompted/accuracy"
    assert "different numbers (value)" in problem.message
    assert problem.remedy == "Give only one of the two runs."


@pytest.mark.parametrize(("by", "is_one"), [(5e-7, True), (5e-6, False)])
def test_one_number_summed_in_other_order_is_one(run_folder, by, is_one):
    folders = two_runs(run_folder, models=("tiny-a", "tiny-a"))
    row = folders[0].rows[0]
    folders[1].rows[0] = replace(row, value=row.value + by)
    if not is_one:
        with pytest.raises(ComparisonError, match="different numbers"):
            board_of(folders)
        return
    forth, back = (board_of(order).rows[row.key] for order in (folders, folders[::-1]))
    assert forth == back


def test_metrics_of_two_versions_are_refused(run_folder):
    folders = two_runs(run_folder)
    folders[1].manifest["versions"].update(metrics=2, vlmbench="9.0")
    with pytest.raises(ComparisonError, match=r"of version 2 \(vlmbench 9\.0\)"):
        board_of(folders)


def test_another_vlmbench_with_the_same_metrics_is_welcome(run_folder):
    folders = two_runs(run_folder)
    folders[1].manifest["versions"]["vlmbench"] = "0.2.0"
    assert len(board_of(folders).manifests) == 2


def test_every_disagreement_is_told_at_once(run_folder):
    folders = [*two_runs(run_folder), run_folder("third", ("tiny-c",))]
    folders[1].manifest["tasks"]["depth"]["documents"] = "1" * 64
    folders[2].manifest["tasks"]["naming"]["limit"] = 5
    with pytest.raises(ComparisonError) as caught:
        board_of(folders)
    told = {problem.field for problem in caught.value.problems}
    assert told == {"tasks.depth.documents", "tasks.naming.limit"}


def test_no_runs_are_no_leaderboard(run_folder):
    with pytest.raises(VlmbenchError, match="no runs were given"):
        assemble([])
    folder = run_folder()
    folder.rows.clear()
    with pytest.raises(VlmbenchError, match="the run measured nothing"):
        board_of([folder])


def test_runs_from_before_formats_had_numbers_stand_beside_new_ones(run_folder):
    new = board_of(two_runs(run_folder))
    folders = two_runs(run_folder)
    for key in ("format", "cells"):
        del folders[0].manifest[key]
    old = board_of(folders)
    assert old.rows == new.rows
    assert (old.tasks, old.models) == (new.tasks, new.models)
    assert sorted(manifest.format for manifest in old.manifests) == [0, 1]


def test_text_read_by_different_rules_is_refused_and_what_was_not_read_is_not(run_folder):
    folders = two_runs(run_folder)
    for folder, rule in zip(folders, ("declared-1", "declared-2"), strict=True):
        folder.manifest["tasks"]["matching"]["answers"] = rule
    board_of(folders)  # likelihoods: nobody read a text
    folders[0].answer_in_writing("tiny-a", "matching", unread=0)
    board_of(folders)
    folders[1].answer_in_writing("tiny-b", "matching", unread=0)
    board_of(folders)
    folders[1].manifest["tasks"]["matching"]["answers"] = "declared-2"
    with pytest.raises(ComparisonError, match="the rule by which text is read differs"):
        board_of(folders)
    folders[1].manifest["tasks"]["matching"]["answers"] = None  # from before it was recorded
    board_of(folders)
