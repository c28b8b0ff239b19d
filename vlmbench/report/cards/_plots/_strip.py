"""One plot per model: which tests hold on which task, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vlmbench.diagnostics import TESTS, Outcome, Verdict
from vlmbench.report.cards._plots._style import GREY, INK, PALE, settings, sheet

WORDS = ("holds", "fails", "inconclusive", "not run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A task's row of the strip."""

    task: str
    outcomes: Sequence[Outcome]
    verdict: Verdict


def strip(model: str, lines: Sequence[Line]) -> Figure | None:
    """Draw tasks x tests as marks, with each task's verdict next to them."""
    if not lines:
        return None
    names = max(len(line.task) for line in lines)
    said = max(len(line.verdict.alternatives) for line in lines)
    left, across, right = 0.15 + 0.085 * max(names, 8), 0.72, max(2.35, 0.35 + 0.056 * said)
    width = left + across * len(TESTS) + right
    top, down, foot = 1.05, 0.38, 0.42
    height = top + down * len(lines) + foot
    with settings():
        figure, panel = sheet(width, height)
        panel.text(0.12, 0.22, model, fontsize=11, fontweight="bold", va="center")
        centres = [left + across * (place + 0.5) for place in range(len(TESTS))]
        for place, (x, test) in enumerate(zip(centres, TESTS, strict=True), start=1):
            head = f"{place}\n{test.head}"
            panel.text(x, top - 0.1, head, fontsize=8.5, ha="center", va="bottom")
        panel.text(width - right + 0.15, top - 0.1, "verdict", fontsize=8.5, va="bottom")
        for row, line in enumerate(lines):
            y = top + down * (row + 0.5)
            panel.plot([0.12, width - 0.12], [y - down / 2] * 2, color=PALE, linewidth=0.8)
            panel.text(left - 0.1, y, line.task, fontsize=9, ha="right", va="center")
            words = {outcome.test: outcome.word for outcome in line.outcomes}
            for x, test in zip(centres, TESTS, strict=True):
                _mark(panel, x, y, words.get(test, "not run"))
            _say(panel, width - right + 0.15, y, line.verdict)
        y = height - foot / 2
        panel.plot([0.12, width - 0.12], [height - foot] * 2, color=PALE, linewidth=0.8)
        for place, text in enumerate(WORDS):
            x = 0.3 + place * 1.35
            _mark(panel, x, y, text)
            panel.text(x + 0.18, y, text, fontsize=8.5, va="center", color=INK)
    return figure


def _say(panel: Axes, x: float, y: float, verdict: Verdict) -> None:
    """Write a verdict, and under one that is inconclusive what it could be."""
    if verdict.between:
        panel.text(x, y + 0.1, verdict.alternatives, fontsize=8, va="center", color=INK)
        y -= 0.06
    panel.text(x, y, verdict.name, fontsize=9.5, fontweight="bold", va="center")


def _mark(panel: Axes, x: float, y: float, text: str) -> None:
    """Draw one mark; the four differ in shape."""
    match text:
        case "holds":
            panel.plot(x, y, "o", markersize=10, color="#1f4e79")
        case "fails":
            panel.plot(x, y, "x", markersize=9, color="#b8450b", markeredgewidth=2.6)
        case "inconclusive":
            panel.plot(x, y, "o", markersize=10, color="white", markeredgecolor=INK)
            panel.text(x, y + 0.005, "?", fontsize=8, ha="center", va="center", color=INK)
        case _:
            panel.plot(x, y, "_", markersize=9, color=GREY, markeredgewidth=1.6)
