"""The model card: verdicts, tests, measurements and plots, as markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vlmbench.diagnostics import CRITERIA, Measured, Thresholds
from vlmbench.metrics import MISSING, number, rate, sized
from vlmbench.report._format import code, escape, markdown_table
from vlmbench.report.cards._explanation import Explanation, TaskExplained
from vlmbench.report.cards._plots import HOW_TO_READ


def card(explanation: Explanation, drawn: Sequence[str]) -> str:
    """Return the card.

    Args:
        explanation: What the records say.
        drawn: Names of the plots that were written.
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
    blocks.append("## Plots")
    blocks += [
        f"### {title.capitalize()}\n\n{HOW_TO_READ[title]}\n\n![{title}]({stem}/{title}.svg)"
        for title in drawn
        if title != "summary"
    ]
    blocks += [
        "## Criteria of the verdict",
        criteria_table(explanation.thresholds),
        thresholds_table(explanation.thresholds),
    ]
    blocks.append(_foot(explanation))
    return "\n\n".join(blocks) + "\n"


def criteria_table(thresholds: Thresholds) -> str:
    """Return the criteria in order of precedence, as markdown."""
    return markdown_table(
        ("", "Verdict", "Why", "When"),
        [
            (
                str(place),
                f"**{criterion.verdict}**",
                criterion.says,
                " and ".join(
                    f"`{clause.indicator}` {clause.side} {rate(thresholds.value(clause.threshold))}"
                    for clause in criterion.clauses
                ),
            )
            for place, criterion in enumerate(CRITERIA, start=1)
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
                rate(threshold.value),
                fields[name].description or "",
                escape(threshold.reason),
            )
            for name, threshold in thresholds
        ],
        left=4,
    )


def _line(task: TaskExplained) -> tuple[str, ...]:
    read = task.accuracies
    count = next((stat.n for stat in (read.prompted, read.encoder) if stat is not None), None)
    return (
        escape(task.task),
        MISSING if count is None else str(count),
        rate(read.chance),
        *(number(stat) for stat in (read.blank, read.prompted, read.encoder)),
        f"**{task.verdict.name}**{_between(task)}",
    )


def _between(task: TaskExplained) -> str:
    return f": {task.verdict.alternatives}" if task.verdict.between else ""


def _task(task: TaskExplained) -> Iterator[str]:
    said = task.verdict
    yield f"## {escape(task.task)}"
    yield f"**Verdict: {said.name}**{_between(task)} ({escape(said.reason)})."
    yield "Seen:\n\n" + _bullets(said.seen)
    if said.would_change:
        yield "What would have changed the verdict:\n\n" + _bullets(said.would_change)
    yield markdown_table(
        ("Test", "Says", "Why"),
        [
            (f"{place} {outcome.test.title}", f"**{outcome.word}**", escape(outcome.reason))
            for place, outcome in enumerate(task.outcomes, start=1)
        ],
        left=3,
    )
    if task.findings:
        yield markdown_table(
            ("Analysis", "Says"),
            [(found.analysis.title, escape(found.says)) for found in task.findings],
            left=2,
        )
    named: list[tuple[str, Measured]] = [(outcome.test.name, outcome) for outcome in task.outcomes]
    named += [(finding.analysis.name, finding) for finding in task.findings]
    lines = [line for name, measured in named for line in _measurements(name, measured)]
    table = markdown_table(("Of", "Quantity", "At", "Value", "Unit", "n"), lines, left=4)
    yield (
        "<details>\n<summary>All measurements, with 95% intervals (those by layer are in the "
        f"plots and in outcomes.json)</summary>\n\n{table}\n\n</details>"
    )


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {escape(line)}" for line in lines)


def _measurements(name: str, measured: Measured) -> Iterator[tuple[str, ...]]:
    for found in measured.measurements:
        if "layer" not in found.at:
            yield (
                name,
                escape(found.quantity.name),
                escape(", ".join(f"{key} {value}" for key, value in found.at.items())),
                sized(found.stat),
                escape(found.quantity.unit),
                str(found.stat.n),
            )


def _foot(explanation: Explanation) -> str:
    about = explanation.about
    weights = "" if about.weights is None else f" Weights: {code(about.weights[:16])}."
    return (
        "Intervals, in brackets, are 95%. An indicator decides only if its whole interval lies on "
        f"one side of its threshold. Seed {explanation.seed}, "
        f"vlmbench {escape(explanation.version)}.{weights}"
    )
