"""How much the prompt decides, on the page: ranks over forms, and forms that may stand together."""

from __future__ import annotations

from dataclasses import replace

import handmade
import pytest

from vlmbench.metrics import StatRow
from vlmbench.report._board import Board, assemble, is_form
from vlmbench.report._prompts import prompts_table
from vlmbench.store import RunFolder
from vlmbench.types import ComparisonError, Stat

FORMS = ("own", "own+order-1", "own+paraphrase-1")


def row(model: str, condition: str, value: float, n: int = 100) -> StatRow:
    stat = Stat(value=value, low=value - 0.05, high=value + 0.05, n=n)
    return StatRow.of(
        stat, model=model, task="t", condition=condition, readout="prompted", metric="accuracy"
    )


def board(**accuracies: tuple[float, ...]) -> Board:
    rows = [
        row(model, form, value)
        for model, values in accuracies.items()
        for form, value in zip(FORMS, values, strict=False)
    ]
    return Board(
        tasks={"t": handmade.task_record()},
        models={model: handmade.model_record() for model in accuracies},
        rows={row.key: row for row in rows},
        manifests=(),
    )


def lines(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()][
        2:
    ]


def test_ranks_that_hang_on_the_prompt_are_ranges() -> None:
    found = lines(prompts_table(board(a=(0.5, 0.7, 0.4), b=(0.6, 0.6, 0.6), c=(0.2, 0.1, 0.2))))
    assert [line[1] for line in found] == ["a", "b", "c"]
    assert [line[2] for line in found] == ["3"] * 3
    assert [line[6:] for line in found] == [["2", "1 to 2"], ["1", "1 to 2"], ["3", "3"]]
    assert found[0][4:6] == [".400 `paraphrase-1`", ".700 `order-1`"]


def test_equal_accuracies_share_a_place() -> None:
    found = lines(prompts_table(board(a=(0.5, 0.5), b=(0.5, 0.5))))
    assert [line[6:] for line in found] == [["1", "1"]] * 2


def test_only_forms_that_all_models_have_on_the_same_documents_are_compared() -> None:
    assert prompts_table(board(a=(0.5,), b=(0.6,))) == ""
    assert prompts_table(board(a=(0.5, 0.7))) == ""
    assert lines(prompts_table(board(a=(0.5, 0.7, 0.4), b=(0.6, 0.6))))[0][2] == "2"
    partial = board(a=(0.5, 0.7), b=(0.6, 0.6))
    few = row("b", "own+order-1", 0.9, n=10)
    assert prompts_table(replace(partial, rows=partial.rows | {few.key: few})) == ""


@pytest.mark.parametrize(
    ("label", "form"),
    [("own+order-1", True), ("markers-blue", True), ("own", False), ("blank", False),
     ("own|blank", False), ("own+of-another-version", False)],
)  # fmt: skip
def test_rows_of_another_form_are_known_by_their_condition(label: str, form: bool) -> None:
    assert is_form(label) is form


@pytest.mark.parametrize(
    ("conditions", "wordings", "compared"),
    [
        (("own+paraphrase-1", "own+order-1"), ("x", "y"), True),
        (("own+paraphrase-1", "own"), ("x", "y"), False),
        (("own+paraphrase-1", "own+order-1"), (None, "y"), False),
        (("own+paraphrase-1", "own+order-1", "own+order-2"), (None, "x", "y"), True),
    ],
)
def test_wordings_are_compared_only_where_both_runs_used_them(
    tmp_path, conditions, wordings, compared
) -> None:
    runs = []
    for name, condition, said in zip("abc", conditions, wordings, strict=False):
        task = handmade.task_record(wordings=said)
        about = handmade.manifest({"t": task}, {"m": handmade.model_record()})
        runs.append(RunFolder(tmp_path / name).finish(about, [row("m", condition, 0.5)], {}))
    if compared:
        with pytest.raises(ComparisonError, match="the task's other wordings differs: 'x'"):
            assemble(runs)
    else:
        assemble(runs)
