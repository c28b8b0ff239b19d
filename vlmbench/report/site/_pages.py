"""The page of a task and the page of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from markupsafe import Markup

from vlmbench.metrics import MISSING, StatRow
from vlmbench.report import cards
from vlmbench.report._baselines import baseline_table, has_baselines, rule_table, rules
from vlmbench.report._board import Board
from vlmbench.report._format import code, escape, markdown_table
from vlmbench.report._lost import lost_table
from vlmbench.report._prompts import prompts_table
from vlmbench.report._readings import readings_table
from vlmbench.report._tables import (
    control_table,
    corrected_table,
    majority,
    measured,
    model_name,
    results_of_model,
    results_of_task,
    variation_table,
)
from vlmbench.report.site._cells import CellRead
from vlmbench.report.site._links import model_page
from vlmbench.report.site._page import markdown
from vlmbench.spec import Hidden
from vlmbench.store import Run
from vlmbench.types import VlmbenchError, plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a page: a title, what it is, and a table."""

    title: str
    says: str
    table: Markup


def task_sections(board: Board, task: str) -> list[Section]:
    """Return the tables of one task; those that there is nothing for are left out."""
    alone = replace(
        board,
        tasks={task: board.tasks[task]},
        rows={key: row for key, row in board.rows.items() if row.task == task},
    )
    tables = (
        ("Results", "Every model on the same documents.", results_of_task(board, task)),
        (
            "Where the gap arises",
            "The gap taken apart along the model's own forward pass.",
            lost_table(alone),
        ),
        (
            "What needs no trained encoder",
            "The best cheap rule, the best encoder with random weights and the best trained one, "
            "each chosen on these very documents.",
            baseline_table(alone) if has_baselines(alone) else "",
        ),
        ("Every cheap rule", "", rule_table(alone) if rules(alone) else ""),
        ("The encoder read in other ways", "", readings_table(alone)),
        (
            "Without the image",
            "With blank images both should fall to chance.",
            _of(control_table, alone),
        ),
        ("Other forms of the same question", "", prompts_table(alone)),
        ("Chance-corrected", "0 is a guess and 1 is perfect.", _of(corrected_table, alone)),
        (
            "How answers are distributed",
            "Total variation distances between answers: 0 for the same proportions, 1 for none in "
            "common.",
            _of(variation_table, alone),
        ),
        ("Every readout and condition", "", _every(board, task)),
    )
    return [
        Section(title=title, says=says, table=markdown(table))
        for title, says, table in tables
        if table
    ]


def _of(table: Any, board: Board) -> str:
    return str(table(board)) if measured(board) else ""


def _every(board: Board, task: str) -> str:
    """Return the accuracy of every cell but the stages, whose curve is drawn."""
    lines = []
    for row in board.rows.values():
        if (row.task, row.metric) != (task, "accuracy") or _is_stage(row):
            continue
        abstained, failed = (
            board.get(row.model, task, metric, readout=row.readout, condition=row.condition)
            for metric in ("abstention", "failed")
        )
        lines.append(
            [
                f"[{model_name(board, row.model)}]({model_page(row.model)})",
                code(row.readout),
                code(row.condition),
                board.number(row),
                board.number(abstained, interval=False),
                MISSING if failed is None else f"{failed.value:.0f}",
                MISSING if row.n is None else str(row.n),
            ]
        )
    head = ["Model", "Readout", "Condition", "Accuracy", "Abstained", "Failed", "n"]
    return markdown_table(head, lines, left=3) if lines else ""


def _is_stage(row: StatRow) -> bool:
    return row.readout.partition("-")[0] == Hidden.kind_of()


def task_facts(board: Board, task: str) -> dict[str, str]:
    """Return what the manifest says about a task, in words."""
    record = board.tasks[task]
    facts = {
        "Ability": record.ability.replace("_", " "),
        "Documents": f"{record.n} of {record.of}",
        "Clusters": record.clusters if record.clusters != record.n else None,
        "Chance": None if record.chance is None else f"{record.chance:.3f}",
        "Always the commonest letter": f"{majority(board, task):.3f}",
        "Answers read by": record.answers,
        "Points and boxes": record.places,
        "Source": record.source,
        "Data": record.data,
        "Digest of its documents": record.documents,
        "Digest of its spec": record.digest,
        "Version": record.version,
    }
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}


def explained(runs: Sequence[Run], model: str) -> cards.Explanation | None:
    """Return a model's card over all runs: of each task, from the run that measured most of it."""
    found: list[cards.Explanation] = []
    for run in runs:
        if model in run.manifest.models:
            try:
                found.append(cards.explain(run, model))
            except VlmbenchError:  # a rule, say, has nothing to explain
                continue
    best: dict[str, cards.TaskExplained] = {}
    for task in chain.from_iterable(explanation.tasks for explanation in found):
        if task.task not in best or _measured(task) > _measured(best[task.task]):
            best[task.task] = task
    return replace(found[0], tasks=tuple(best.values())) if found else None


def _measured(task: cards.TaskExplained) -> int:
    return sum(len(one.measurements) for one in (*task.outcomes, *task.findings))


def model_results(board: Board, model: str) -> Markup:
    """Return a model's numbers, a line per task."""
    return markdown(results_of_model(board, model))


def model_facts(board: Board, model: str) -> dict[str, str]:
    """Return what the manifests say about a model and how it was run, in words."""
    record = board.models[model]
    manifest = next(one for one in board.manifests if model in one.models)
    layer = record.layer
    facts = {
        "Checkpoint": record.checkpoint,
        "Revision": record.revision,
        "Low-rank updates merged in": record.lora,
        "Backend": record.backend,
        "SHA-256 of its weights": record.weights,
        "SHA-256 of the encoder's weights": record.encoder_weights,
        "Encoder read": record.twin,
        "Layer": None if layer is None else str(layer),
        "Encoder's weights": record.relation,
        "Device": record.device,
        "Numbers": record.dtype,
        "Digest of its spec": record.digest,
        "Cheap rule": record.rule,
        "Source": record.source,
        "License": record.license,
        "Platform": manifest.platform,
        "Versions": ", ".join(
            f"{name} {version}"
            for name, version in manifest.versions.model_dump(mode="json").items()
            if version is not None
        ),
    }
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}


def prompts_of(cells: Mapping[str, Sequence[CellRead]], model: str) -> Iterator[tuple[str, str]]:
    """Yield, by task, the first prompt that the model was given, as it was given."""
    for task, held in cells.items():
        for cell in held:
            if (cell.model, cell.readout, cell.condition) != (model, "prompted", "own"):
                continue
            prompt = next((said.prompt for said in cell.exchanges if said.prompt), "")
            if prompt:
                yield task, plain(prompt, longest=20_000)


def settings_of(cells: Mapping[str, Sequence[CellRead]], model: str) -> Markup:
    """Return what the readouts noted about how they read, a line per note that differs."""
    lines: dict[tuple[str, str, str], list[str]] = {}
    for task, held in cells.items():
        for cell in held:
            if cell.model == model and cell.condition == "own":
                for name, value in cell.notes.items():
                    said = plain(str(value), longest=300)
                    lines.setdefault((cell.readout, name, said), []).append(task)
    rows = [
        [code(readout), escape(name.replace("_", " ")), escape(said), escape(", ".join(tasks))]
        for (readout, name, said), tasks in lines.items()
    ]
    return markdown(markdown_table(["Readout", "Note", "Value", "Tasks"], rows, left=4))
