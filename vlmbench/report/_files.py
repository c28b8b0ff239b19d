"""Leaderboard: the published page and the rows behind it, the same bytes every time."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from vlmbench.files import write_atomically
from vlmbench.metrics import dump_rows
from vlmbench.report._baselines import check_published
from vlmbench.report._board import Board, assemble
from vlmbench.report._difficulty import swept
from vlmbench.report._leaderboard import page
from vlmbench.report._sources import dump_sources
from vlmbench.spec import ModelSpec
from vlmbench.store import Run, RunFolder


def leaderboard(
    runs: Sequence[Path], output: Path, *, recorded: Sequence[ModelSpec] = ()
) -> tuple[Path, ...]:
    """Write README.md, rows.json, rows.csv, runs.json and pictures of finished runs into `output`.

    The bytes depend only on what is in the runs, not on their order, their paths or the time.

    Args:
        runs: Run folders.
        output: Folder to write to.
        recorded: Models whose published accuracies are shown in a table of their own. Their
            data is not needed, and they do not enter `rows.json`.

    Returns:
        The files written.

    Raises:
        VlmbenchError: If a run is missing, unfinished or malformed, or a model of `recorded` has
            no published accuracy.
        ComparisonError: If two runs cannot be put in one table; nothing is written then.
    """
    check_published(recorded)
    read = [RunFolder(path).read() for path in runs]
    board = assemble(read)
    files = files_of(board, read, recorded)
    for name, text in files.items():
        write_atomically(output / name, text)
    return (*(output / name for name in files), *_pictures(board, output))


def _pictures(board: Board, output: Path) -> tuple[Path, ...]:
    """Write the pictures beside the page, and return their files; none without curves."""
    if not swept(board):
        return ()
    from vlmbench.report.cards import save_difficulty  # loads matplotlib

    return save_difficulty(board, output)


def files_of(
    board: Board, runs: Sequence[Run], recorded: Sequence[ModelSpec] = ()
) -> dict[str, str]:
    """Return the text of every file of a leaderboard of some runs, by its name."""
    return {
        "README.md": page(board, recorded, runs),
        "rows.json": dump_rows(board.rows.values()),
        "rows.csv": _csv(board),
        "runs.json": dump_sources(runs),
    }


def _csv(board: Board) -> str:
    """Return the rows as CSV; a text that spreadsheets would compute stands after an apostrophe.

    `rows.json` has the texts as they are.
    """
    rows = [row.to_json() for row in board.rows.values()]
    for row in rows:
        row |= {key: f"'{of}" for key, of in row.items() if isinstance(of, str) and _acts(of)}
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _acts(cell: str) -> bool:
    return cell.lstrip()[:1] in {"=", "+", "-", "@"}
