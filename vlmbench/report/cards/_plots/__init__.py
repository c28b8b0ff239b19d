"""Plots of the diagnostics: outcomes in, matplotlib figures out; no state is shared."""

from vlmbench.report.cards._plots._all import HOW_TO_READ, panels, plots
from vlmbench.report.cards._plots._attention import attention_over
from vlmbench.report.cards._plots._difficulty import save_difficulty
from vlmbench.report.cards._plots._example import example
from vlmbench.report.cards._plots._style import save

__all__ = [
    "HOW_TO_READ",
    "attention_over",
    "example",
    "panels",
    "plots",
    "save",
    "save_difficulty",
]
