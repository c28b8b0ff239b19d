"""The model card of a diagnosis: verdicts, tests, figures and pictures, as markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from vlmbench.diagnostics import RULES, Finding, Outcome, Thresholds, interval
from vlmbench.report._explain import Explanation, TaskExplained
from vlmbench.report._figures import HOW_TO_READ, word
from vlmbench.report._format import MISSING, escape, markdown_table, rate
from vlmbench.types import Stat

TITLES = {
    "dependency": "1 dependency",
    "override": "2 counterfactual override",
    "consistency": "3 cross-modal consistency",
    "sensitivity": "4 perturbation sensitivity",
    "contribution": "5 information contribution",
    "certainty": "6 uncertainty reduction",
    "budget": "7 attention budget",
}


def card(explanation: Explanation, drawn: Sequence[str]) -> str:
    """Return the card.

    Args:
        explanation: What the records say.
        drawn: Names of the pictures that were written.
    """
    name = escape(explanation.about.alias or explanation.model)
    stem = explanation.stem
    blocks = [
        f"# Does {name} use its vision?",
        f"![Tests and verdicts of {name}]({stem}/summary.svg)",
        markdown_table(
            ("Task", "n", "Chance", "Blind", "VQA", "Encoder", "Verdict"),
            [_line(task) for task in explanation.tasks],
        ),
    ]
    for task in explanation.tasks:
        blocks += _task(task)
    blocks.append("## Pictures")
    blocks += [
        f"### {title.capitalize()}\n\n{HOW_TO_READ[title]}\n\n![{title}]({stem}/{title}.svg)"
        for title in drawn
        if title != "summary"
    ]
    blocks += [
        "## Rules of the verdict",
        rules_table(explanation.thresholds),
        thresholds_table(explanation.thresholds),
    ]
    blocks.append(_foot(explanation))
    return "\n\n".join(blocks) + "\n"


def rules_table(thresholds: Thresholds) -> str:
    """Return the rules in order of precedence, as markdown."""
    return markdown_table(
        ("", "Verdict", "Why", "When"),
        [
            (
                str(place),
                f"**{rule.verdict}**",
                rule.says,
                " and ".join(
                    f"`{clause.figure}` {clause.side} {rate(thresholds.value(clause.threshold))}"
                    for clause in rule.clauses
                ),
            )
            for place, rule in enumerate(RULES, start=1)
        ],
        left=4,
    )


def thresholds_table(thresholds: Thresholds) -> str:
    """Return the thresholds with their reasons, as markdown."""
    fields = type(thresholds).model_fields
    return markdown_table(
        ("Threshold", "Value", "What it cuts", "Reason"),
        [
            (
                f"`{name}`",
                rate(thresholds.value(name)),
                field.description or "",
                " ".join(getattr(thresholds, name).reason.split()),
            )
            for name, field in fields.items()
        ],
        left=4,
    )


def shown(stat: Stat) -> str:
    """Write a figure and its interval with the digits that its size asks for."""
    if math.isnan(stat.value):
        return MISSING
    value = _digits(stat.value)
    if math.isnan(stat.low) or math.isnan(stat.high):
        return value
    return f"{value} [{_digits(stat.low)}, {_digits(stat.high)}]"


def _digits(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:.0f}"
    if value == 0 or abs(value) >= 0.01:
        return rate(value)
    return f"{value:.1e}" if abs(value) < 0.0005 else f"{value:.2g}".replace("0.", ".", 1)


def _line(task: TaskExplained) -> tuple[str, ...]:
    read = task.accuracies
    count = next((stat.n for stat in (read.prompted, read.encoder) if stat is not None), None)
    return (
        escape(task.task),
        MISSING if count is None else str(count),
        rate(read.chance),
        *(
            MISSING if stat is None else interval(stat)
            for stat in (read.blank, read.prompted, read.encoder)
        ),
        f"**{task.verdict.name}**{_between(task)}",
    )


def _between(task: TaskExplained) -> str:
    return f": {task.verdict.alternatives}" if task.verdict.between else ""


def _task(task: TaskExplained) -> Iterator[str]:
    said = task.verdict
    yield f"## {escape(task.task)}"
    yield f"**Verdict: {said.name}**{_between(task)} ({escape(said.rule)})."
    yield "Seen:\n\n" + _bullets(said.seen)
    if said.would_change:
        yield "What would have changed the verdict:\n\n" + _bullets(said.would_change)
    yield markdown_table(
        ("Test", "Says", "Why"),
        [
            (TITLES[outcome.test], f"**{word(outcome)}**", escape(outcome.reason))
            for outcome in task.outcomes
        ],
        left=3,
    )
    lines = [line for outcome in task.outcomes for line in _findings(outcome)]
    table = markdown_table(("Test", "Figure", "At", "Value", "Unit", "n"), lines, left=4)
    yield (
        "<details>\n<summary>All figures, with 95% intervals (those by layer are in the pictures "
        f"and in outcomes.json)</summary>\n\n{table}\n\n</details>"
    )


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {escape(line)}" for line in lines)


def _findings(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    for finding in outcome.findings:
        if "layer" not in finding.at:
            yield (
                outcome.test,
                escape(finding.figure),
                escape(_where(finding)),
                shown(finding.stat),
                escape(finding.unit),
                str(finding.stat.n),
            )


def _where(finding: Finding) -> str:
    return ", ".join(f"{key} {value}" for key, value in finding.at.items())


def _foot(explanation: Explanation) -> str:
    about = explanation.about
    weights = "" if about.weights is None else f" Weights: `{about.weights[:16]}`."
    return (
        "Intervals, in brackets, are 95%. A figure decides only if its whole interval lies on one "
        f"side of its threshold. Seed {explanation.seed}, vlmbench {explanation.version}.{weights}"
    )
