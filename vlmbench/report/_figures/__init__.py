"""Pictures of diagnostics: outcomes in, matplotlib figures out; no state is shared."""

from vlmbench.report._figures._all import HOW_TO_READ, pictures
from vlmbench.report._figures._answers import (
    Answers,
    Confidence,
    answer_distributions,
    confidence_shift,
)
from vlmbench.report._figures._curves import dose_curve, information_bars, sensitivity_curves
from vlmbench.report._figures._example import example
from vlmbench.report._figures._layers import (
    attention_by_filler,
    attention_by_layer,
    budget_by_length,
    consistency_by_layer,
    readout_by_layer,
)
from vlmbench.report._figures._strip import Line, strip, word
from vlmbench.report._figures._style import save

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
    "pictures",
    "readout_by_layer",
    "save",
    "sensitivity_curves",
    "strip",
    "word",
]
