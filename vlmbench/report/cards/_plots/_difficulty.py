"""Readouts against the difficulty at which a world drew its documents: a panel per ability."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from vlmbench.metrics import ENCODER, PROMPTED, StatRow
from vlmbench.report._board import Board
from vlmbench.report._difficulty import PICTURE, swept
from vlmbench.report._tables import measured
from vlmbench.report.cards._plots._style import (
    LOOKS,
    curve,
    grid,
    label_left,
    legend,
    level,
    same_height,
    save,
    settings,
)
from vlmbench.types import Stat


def save_difficulty(board: Board, folder: Path) -> tuple[Path, ...]:
    """Write the curves of every model and ability as difficulty.png and .svg; return the files.

    Nothing is written where no ability was drawn at two difficulties.
    """
    with settings():
        figure = _drawn(board)
    names = save({PICTURE: figure}, folder)
    return tuple(folder / f"{name}.{suffix}" for name in names for suffix in ("svg", "png"))


def _drawn(board: Board) -> Figure | None:
    """Return a row of panels for each model; None where there is nothing to draw."""
    abilities = swept(board)
    shown = [
        (model, ability)
        for model in measured(board)
        for ability, tasks in abilities.items()
        if any(board.of(model, task) for _, task in tasks)
    ]
    if not shown:
        return None
    several = len(measured(board)) > 1
    names = {name: board.models[name].alias or name for name in measured(board)}
    titles = [
        f"{names[model]}\n{ability}".replace("_", " ") if several else ability.replace("_", " ")
        for model, ability in shown
    ]
    figure, panels = grid(titles)
    for panel, (model, ability) in zip(panels, shown, strict=True):
        for look, (readout, label) in zip(
            LOOKS, ((ENCODER, "encoder"), (PROMPTED, "model")), strict=False
        ):
            rows = [
                (at, board.get(model, task, "accuracy", readout=readout))
                for at, task in abilities[ability]
            ]
            points = [(at, _stat(row)) for at, row in rows if row is not None]
            if points:
                curve(panel, points, look, label)
        chance = board.tasks[abilities[ability][0][1]].chance
        if chance is not None:
            level(panel, chance, "chance")
        panel.set_xticks(sorted({at for at, _ in abilities[ability]}))
        panel.set_xlabel("difficulty")
    same_height(panels, low=0.0, high=1.0)
    label_left(panels, "accuracy")
    legend(figure, panels, columns=2)
    return figure


def _stat(row: StatRow) -> Stat:
    """Return a row's number by itself."""
    return Stat(value=row.value, low=row.low, high=row.high, n=row.n or 1)
