"""docs/diagnostics.md says what the rules do."""

from __future__ import annotations

from pathlib import Path

from vlmbench.diagnostics import FIGURES, load_thresholds
from vlmbench.report._card import rules_table, thresholds_table

PAGE = (Path(__file__).parents[2] / "docs" / "diagnostics.md").read_text()


def test_rules_thresholds_and_figures_are_those_that_decide() -> None:
    assert rules_table(load_thresholds()) in PAGE
    assert thresholds_table(load_thresholds()) in PAGE
    for name, words in FIGURES.items():
        assert f"`{name}`" in PAGE
        assert words in PAGE


def test_the_picture_is_there() -> None:
    assert "(diagnostics-tiny-clip.svg)" in PAGE
    assert (Path(__file__).parents[2] / "docs" / "diagnostics-tiny-clip.svg").is_file()
