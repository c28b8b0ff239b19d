"""docs/diagnostics.md says what the criteria do."""

from __future__ import annotations

from pathlib import Path

from vlmbench.diagnostics import INDICATORS, load_thresholds
from vlmbench.report.cards._card import criteria_table, thresholds_table

PAGE = (Path(__file__).parents[3] / "docs" / "diagnostics.md").read_text()


def test_criteria_thresholds_and_indicators_are_those_that_decide() -> None:
    assert criteria_table(load_thresholds()) in PAGE
    assert thresholds_table(load_thresholds()) in PAGE
    for name, words in INDICATORS.items():
        assert f"`{name}`" in PAGE
        assert words in PAGE


def test_the_plot_is_there() -> None:
    assert "(diagnostics-tiny-clip.svg)" in PAGE
    assert (Path(__file__).parents[3] / "docs" / "diagnostics-tiny-clip.svg").is_file()
