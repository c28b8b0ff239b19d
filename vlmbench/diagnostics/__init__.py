"""Does a model use its vision? Tests on stored scores, without torch.

Each test is a public module, which holds its quantities, the function `outcome` that computes
them from scores, and `TEST`, which runs it on the evidence of a run; `TESTS` lists them all.
"""

from vlmbench.diagnostics._cells import WITHOUT
from vlmbench.diagnostics._comparison import compare, distributions
from vlmbench.diagnostics._criteria import CRITERIA, INDICATORS, VerdictName
from vlmbench.diagnostics._diagnose import TESTS, diagnose
from vlmbench.diagnostics._evidence import Evidence
from vlmbench.diagnostics._indicators import Accuracies, accuracies, indicators
from vlmbench.diagnostics._mutual_information import Shuffles, conditional_information, ksg
from vlmbench.diagnostics._outcome import (
    Analysis,
    Finding,
    Measured,
    Measurement,
    Outcome,
    Quantity,
    Test,
    dump_findings,
    dump_outcomes,
)
from vlmbench.diagnostics._thresholds import Thresholds, load_thresholds
from vlmbench.diagnostics._verdict import Verdict, verdict
from vlmbench.diagnostics.analyses import ANALYSES, analyse

__all__ = [
    "ANALYSES",
    "CRITERIA",
    "INDICATORS",
    "TESTS",
    "WITHOUT",
    "Accuracies",
    "Analysis",
    "Evidence",
    "Finding",
    "Measured",
    "Measurement",
    "Outcome",
    "Quantity",
    "Shuffles",
    "Test",
    "Thresholds",
    "Verdict",
    "VerdictName",
    "accuracies",
    "analyse",
    "compare",
    "conditional_information",
    "diagnose",
    "distributions",
    "dump_findings",
    "dump_outcomes",
    "indicators",
    "ksg",
    "load_thresholds",
    "verdict",
]
