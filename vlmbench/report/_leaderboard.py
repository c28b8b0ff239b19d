"""Leaderboard: the published page and the rows behind it, the same bytes every time."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from vlmbench.metrics import dump_rows
from vlmbench.report._board import Board, assemble
from vlmbench.report._format import MISSING, escape, markdown_table, rate
from vlmbench.report._run import Manifest, read_run
from vlmbench.report._tables import (
    FAILED,
    MARKED,
    UNLIKE,
    control_table,
    corrected_table,
    failures,
    gap_matrix,
    majority,
    measured,
    model_name,
    results_of_model,
    results_of_task,
    task_name,
    variation_table,
)


def leaderboard(runs: Sequence[Path], output: Path) -> tuple[Path, ...]:
    """Write README.md, rows.json and rows.csv of finished runs into the folder `output`.

    The bytes depend on what the runs hold alone: not on their order, their paths or the time.

    Returns:
        The files written.

    Raises:
        VlmbenchError: If a run is missing, unfinished or malformed.
        ComparisonError: If two runs may not stand in one table; nothing is written then.
    """
    board = assemble([read_run(path) for path in runs])
    files = {
        "README.md": page(board),
        "rows.json": dump_rows(board.rows.values()),
        "rows.csv": _csv(board),
    }
    output.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        # Never half a table: the file appears whole or not at all.
        partial = output / f".{name}.partial"
        partial.write_text(text, encoding="utf-8", newline="\n")
        partial.replace(output / name)
    return tuple(output / name for name in files)


def page(board: Board) -> str:
    """Return the leaderboard as markdown."""
    sections = [
        "# Leaderboard",
        "How well vision-language models answer questions about images, beside what can be read "
        "directly from the vision encoder that the same model sees through. "
        "**Gap** = encoder - VQA, on the same questions.",
        *_results(board),
        *_notes(board),
        "## How to read this",
        _GUIDE,
        *_section("Chance-corrected", _CORRECTED, corrected_table(board), board),
        *_section("Without the image", _CONTROL, control_table(board), board),
        *_section("How answers are distributed", _VARIATION, variation_table(board), board),
        "## How it was made",
        _commands(board),
        _models(board),
        _tasks(board),
        "Written by `vlmbench leaderboard`. The numbers stand in [rows.json](rows.json) and "
        "[rows.csv](rows.csv), unrounded.",
    ]
    return "\n\n".join(sections) + "\n"


_GUIDE = f"""\
- **VQA**: the model is shown the images and asked. **Blind**: the same with the images blanked.
- **Encoder**: the model's own vision encoder is read directly, by a fixed rule on its features or \
by a small head fitted on separate training data. No language model takes part.
- **Gap**: positive where the encoder holds what the model does not say. **Bold** where the 95% \
interval excludes 0 and McNemar's exact test gives p < .05.
- **Chance**: a uniform guess. **Majority**: the best constant letter. A number is worth reading \
against both, and a VQA accuracy no better than blind does not come from the image.
- **Abstained**: share of questions without a readable answer. These count as wrong; nothing is \
ever guessed for the model. Choices that tie share the credit.
- Intervals, in brackets, are 95%: Wilson's for accuracies, a paired bootstrap over documents for \
gaps. They say how much the number would move with other questions of the same kind.
- {MARKED} the encoder saw the images with the question's markers drawn into them. {UNLIKE} the \
encoder's weights are not exactly those inside the model. {FAILED} some documents could not be \
run; they are left out. *Recorded* numbers were measured elsewhere and cannot be paired."""

_CORRECTED = "(accuracy - chance) / (1 - chance): 0 is a guess and 1 is perfect, on every task."

_CONTROL = (
    "With blank images both readouts should fall to chance. What stays above it is read from the "
    "question, the order of the choices, or where the markers lie."
)

_VARIATION = (
    "Total variation distance, half the sum of |p - q| over letters and abstention: 0 for the same "
    "answers in the same proportions, 1 for none in common. Noise alone pushes it above 0, so only "
    "**bold** ones, whose 95% interval starts above 0, say anything. A model that looks moves "
    "away from its blind answers."
)


def _results(board: Board) -> Iterator[str]:
    models = measured(board)
    if len(models) == 1:
        yield f"## {model_name(board, models[0])}"
        yield results_of_model(board, models[0])
        return
    if models:
        yield "## Gap: encoder - VQA"
        yield gap_matrix(board)
    yield "## Results by task"
    for task, record in board.tasks.items():
        yield f"### {task_name(board, task)}"
        yield (
            f"Ability: {escape(record.ability.replace('_', ' '))}. {record.n} documents, "
            f"chance {rate(record.chance)}, majority {rate(majority(board, task))}."
        )
        yield results_of_task(board, task)


def _notes(board: Board) -> Iterator[str]:
    limits = sorted({record.limit for record in board.tasks.values() if record.limit is not None})
    if limits:
        shown = ", ".join(map(str, limits))
        yield f"> Only the first documents of each task were run (`--limit {shown}`): a trial."
    for row in failures(board):
        yield (
            f"> {FAILED} {model_name(board, row.model)} on {task_name(board, row.task)} "
            f"({escape(row.condition)}, {escape(row.readout)}): "
            f"{row.value:.0f} of {row.n} documents failed."
        )


def _section(title: str, text: str, table: str, board: Board) -> Iterator[str]:
    if measured(board):
        yield from (f"## {title}", text, table)


def _command(manifest: Manifest) -> str:
    limits = {record.limit for record in manifest.tasks.values()}
    limit = f" --limit {limits.pop()}" if len(limits) == 1 and limits != {None} else ""
    return (
        f"vlmbench run --models {','.join(sorted(manifest.models))} "
        f"--tasks {','.join(sorted(manifest.tasks))} --study {manifest.study} "
        f"--seed {manifest.seed}{limit}  # vlmbench {manifest.versions.vlmbench}"
    )


def _commands(board: Board) -> str:
    lines = sorted({_command(manifest) for manifest in board.manifests})
    return "\n".join(["```sh", *lines, "```"])


def _models(board: Board) -> str:
    lines = [
        [
            f"`{name}`",
            "recorded" if record.recorded else (record.relation or MISSING),
            f"`{record.twin}`" if record.twin else MISSING,
            f"`{record.weights[:12]}`" if record.weights else MISSING,
            escape(record.source or MISSING),
        ]
        for name, record in board.models.items()
    ]
    head = ["Model", "Encoder's weights", "Encoder", "SHA-256", "Source"]
    return markdown_table(head, lines, left=len(head))


def _tasks(board: Board) -> str:
    lines = [
        [
            f"`{name}`",
            escape(record.ability.replace("_", " ")),
            f"`{record.digest[:12]}`",
            f"`{record.data[:12]}`",
            escape(record.source or MISSING),
        ]
        for name, record in board.tasks.items()
    ]
    head = ["Task", "Ability", "Spec", "Data", "Source"]
    return markdown_table(head, lines, left=len(head))


def _csv(board: Board) -> str:
    rows = [row.to_json() for row in board.rows.values()]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
