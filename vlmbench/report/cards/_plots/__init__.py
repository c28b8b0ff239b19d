"""Plots of the diagnostics: outcomes in, matplotlib figures out; no state is shared."""

from vlmbench.report.cards._plots._all import HOW_TO_READ, plots
from vlmbench.report.cards._plots._answers import (
    Answers,
    Confidence,
    answer_distributions,
    confidence_shift,
)
from vlmbench.report.cards._plots._curves import dose_curve, information_bars, sensitivity_curves
from vlmbench.report.cards._plots._example import example
from vlmbench.report.cards._plots._layers import (
    attention_by_filler,
    attention_by_layer,
    budget_by_length,
    consistency_by_layer,
    readout_by_layer,
)
from vlmbench.report.cards._plots._strip import Line, strip
from vlmbench.report.cards._plots._style import save

__all__ = [
    "HOW_TO_READ",
    "Answers",
    "Confidence",
    "Line",
    "answer_distributions",
    "attention_by_filler",
    "attention_by_layer",
    "budget_by_length",
    "confidence_shift",
    "consistency_by_layer",
    "dose_curve",
    "example",
    "information_bars",
    "plots",
    "readout_by_layer",
    "save",
    "sensitivity_curves",
    "strip",
]
