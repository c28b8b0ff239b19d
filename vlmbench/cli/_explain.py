"""`vlmbench explain`, and the end of a run that holds the tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from vlmbench.cli._printing import display, say
from vlmbench.types import VlmbenchError

if TYPE_CHECKING:
    from vlmbench.store import Run


def explain(
    run: Path, model: str, *, tasks: str | None, output: Path | None, rules: Path | None
) -> None:
    """Print what a run says about a model, task by task, and write the model card."""
    from vlmbench.store import RunFolder

    _print_card(RunFolder(run).read(), model, tasks=tasks, output=output, rules=rules)


def _print_card(
    run: Run,
    model: str,
    *,
    tasks: str | None = None,
    output: Path | None = None,
    rules: Path | None = None,
) -> None:
    from vlmbench.report import cards

    names = [] if tasks is None else [name.strip() for name in tasks.split(",") if name.strip()]
    explanation = cards.explain(run, model, tasks=tuple(dict.fromkeys(names)), thresholds=rules)
    display(cards.on_console(explanation))
    path = cards.write_card(explanation, output or run.folder.diagnostics)
    say(f"Model card: {path}")


def explain_all(run: Run, models: Iterable[str]) -> None:
    """Do this for every model of a run that has just ended, and say where it is not possible."""
    for model in models:
        try:
            _print_card(run, model)
        except VlmbenchError as error:
            # The run is complete anyway: a recorded model, say, has nothing to explain.
            say(f"Could not explain this run: {error}")
