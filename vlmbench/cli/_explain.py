"""`vlmbench explain`, and the end of a run that holds the tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from vlmbench.cli._printing import display, say
from vlmbench.types import VlmbenchError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from vlmbench.store import Run


def explain(
    run: Path, model: str, *, tasks: str | None, output: Path | None, rules: Path | None
) -> None:
    """Print what a run says about a model, task by task, and write the model card."""
    from vlmbench.store import RunFolder

    shown, path = _explained(RunFolder(run).read(), model, tasks=tasks, output=output, rules=rules)
    display(shown)
    say(f"Model card: {path}")


def _explained(
    run: Run,
    model: str,
    *,
    tasks: str | None = None,
    output: Path | None = None,
    rules: Path | None = None,
) -> tuple[RenderableType, Path]:
    """Write the model card; return what the terminal shows and where the card is."""
    from vlmbench.report import cards

    names = [] if tasks is None else [name.strip() for name in tasks.split(",") if name.strip()]
    explanation = cards.explain(run, model, tasks=tuple(dict.fromkeys(names)), thresholds=rules)
    if output is None:
        run.folder.check_links()
    path = cards.write_card(explanation, output or run.folder.diagnostics)
    return cards.on_console(explanation), path


def explain_all(run: Run, models: Sequence[str], *, workers: int, quiet: bool = False) -> None:
    """Do this for every model of a run that has just ended, and say where it is not possible.

    With several workers the models are explained in processes of their own, side by side.
    """
    workers = min(workers, len(models))
    if workers <= 1:
        _show(map(partial(_tried, run), models), quiet=quiet)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        _show(pool.map(partial(_tried, run), models), quiet=quiet)


def _tried(run: Run, model: str) -> tuple[RenderableType | None, str]:
    """Explain a model; return what the terminal shows, if anything, and a last line."""
    try:
        shown, path = _explained(run, model)
    except VlmbenchError as error:
        # The run is complete anyway: a recorded model, say, has nothing to explain.
        return None, f"Could not explain this run: {error}"
    return shown, f"Model card: {path}"


def _show(explained: Iterable[tuple[RenderableType | None, str]], *, quiet: bool) -> None:
    for shown, said in explained:
        if quiet:
            continue
        if shown is not None:
            display(shown)
        say(said)
