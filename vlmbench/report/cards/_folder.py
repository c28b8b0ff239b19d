"""The files of an explanation: the card, its plots, and every number as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vlmbench.diagnostics import dump_findings, dump_outcomes
from vlmbench.files import write_atomically
from vlmbench.report.cards._card import card
from vlmbench.report.cards._explanation import Explanation
from vlmbench.report.cards._plots import plots, save


def write_card(explanation: Explanation, folder: Path) -> Path:
    """Write the model card, its plots and outcomes.json; return the card's path.

    The same records give the same bytes.
    """
    stem = explanation.stem
    drawn = save(plots(explanation), folder / stem)
    write_atomically(folder / stem / "outcomes.json", _as_json(explanation))
    path = folder / f"{stem}.md"
    write_atomically(path, card(explanation, drawn))
    return path


def _as_json(explanation: Explanation) -> str:
    tasks: dict[str, Any] = {
        task.task: {
            "verdict": {
                "name": task.verdict.name,
                "between": task.verdict.between,
                "reason": task.verdict.reason,
                "seen": task.verdict.seen,
                "would_change": task.verdict.would_change,
            },
            "outcomes": json.loads(dump_outcomes(task.outcomes)),
            "findings": json.loads(dump_findings(task.findings)),
        }
        for task in explanation.tasks
    }
    data = {"model": explanation.model, "seed": explanation.seed, "tasks": tasks}
    return json.dumps(data, indent=1, allow_nan=False) + "\n"
