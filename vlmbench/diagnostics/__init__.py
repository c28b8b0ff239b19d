"""Does a model use its vision? Seven tests on stored scores, torch-free."""

from vlmbench.diagnostics._budget import Context, budget
from vlmbench.diagnostics._certainty import certainty
from vlmbench.diagnostics._comparison import compare, distributions
from vlmbench.diagnostics._consistency import consistency
from vlmbench.diagnostics._contribution import Tokens, contribution
from vlmbench.diagnostics._dependency import dependency
from vlmbench.diagnostics._diagnose import diagnose
from vlmbench.diagnostics._evidence import Evidence
from vlmbench.diagnostics._figures import Accuracies, accuracies, figures
from vlmbench.diagnostics._finding import (
    TEST_NAMES,
    Finding,
    Outcome,
    TestName,
    dump_outcomes,
)
from vlmbench.diagnostics._late_layers import late_layers
from vlmbench.diagnostics._mutual_information import Shuffles, conditional_information, ksg
from vlmbench.diagnostics._override import Hinted, override
from vlmbench.diagnostics._rules import FIGURES, RULES, VerdictName
from vlmbench.diagnostics._sensitivity import sensitivity
from vlmbench.diagnostics._thresholds import Thresholds, load_thresholds
from vlmbench.diagnostics._verdict import Verdict, interval, verdict

__all__ = [
    "FIGURES",
    "RULES",
    "TEST_NAMES",
    "Accuracies",
    "Context",
    "Evidence",
    "Finding",
    "Hinted",
    "Outcome",
    "Shuffles",
    "TestName",
    "Thresholds",
    "Tokens",
    "Verdict",
    "VerdictName",
    "accuracies",
    "budget",
    "certainty",
    "compare",
    "conditional_information",
    "consistency",
    "contribution",
    "dependency",
    "diagnose",
    "distributions",
    "dump_outcomes",
    "figures",
    "interval",
    "ksg",
    "late_layers",
    "load_thresholds",
    "override",
    "sensitivity",
    "verdict",
]
