"""`vlmbench explain`, and the end of a run that holds the seven tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vlmbench.cli._printing import display, say
from vlmbench.types import VlmbenchError

DIAGNOSE = "diagnose"
"""Name of the study whose runs are explained as they end."""


def explain(
    run: Path, model: str, *, tasks: str | None, output: Path | None, rules: Path | None
) -> None:
    """Print what a run says about a model, task by task, and write the model card."""
    from vlmbench.report._explain import explain as read
    from vlmbench.report._explain import write_explanation
    from vlmbench.report._explained import explained

    names = [] if tasks is None else [name.strip() for name in tasks.split(",") if name.strip()]
    explanation = read(run, model, tasks=tuple(dict.fromkeys(names)), rules=rules)
    display(explained(explanation))
    path = write_explanation(explanation, output or run / "diagnostics")
    say(f"Model card: {path}")


def explain_all(run: Path, models: Iterable[str]) -> None:
    """Do so for every model of a run that has just ended, and say where that cannot be done."""
    for model in models:
        try:
            explain(run, model, tasks=None, output=None, rules=None)
        except VlmbenchError as error:
            # The run is whole all the same: a recorded model, say, has nothing to explain.
            say(f"Not explained: {error}")
