"""Metrics: scores per document in, numbers with their uncertainty out.

Pure functions of `vlmbench.types.ChoiceScores`. Every function leaves failed documents out
first; how many there were is a number of its own (`failures`).
"""

from vlmbench.metrics._accuracy import (
    abstention,
    accuracy,
    chance,
    corrected,
    failures,
    majority,
)
from vlmbench.metrics._answered import accuracy_answered, gap_answered, has_unread
from vlmbench.metrics._calibration import expected_calibration_error, probabilities
from vlmbench.metrics._credit import TIE_TOLERANCE, answers, credit, kept, permute_choices
from vlmbench.metrics._distributions import (
    answer_distribution,
    total_variation,
    truth_distribution,
    tv_between,
    tv_to_truth,
)
from vlmbench.metrics._intervals import mean_stat, wilson
from vlmbench.metrics._mass import (
    SMALL_LOW_MASS,
    SMALL_MASS,
    choice_mass,
    small_masses,
)
from vlmbench.metrics._numbers import MISSING, brief, number, p_value, rate, signed, sized, told
from vlmbench.metrics._paired import McNemar, gap, gap_corrected, mcnemar
from vlmbench.metrics._readouts import ENCODER, ENCODER_MEAN, GAP, INTERNALS, PROMPTED, RULE
from vlmbench.metrics._rows import StatRow, dump_rows, load_rows
from vlmbench.metrics._summary import METRICS_VERSION, summarise, summarise_recorded

__all__ = [
    "ENCODER",
    "ENCODER_MEAN",
    "GAP",
    "INTERNALS",
    "METRICS_VERSION",
    "MISSING",
    "PROMPTED",
    "RULE",
    "SMALL_LOW_MASS",
    "SMALL_MASS",
    "TIE_TOLERANCE",
    "McNemar",
    "StatRow",
    "abstention",
    "accuracy",
    "accuracy_answered",
    "answer_distribution",
    "answers",
    "brief",
    "chance",
    "choice_mass",
    "corrected",
    "credit",
    "dump_rows",
    "expected_calibration_error",
    "failures",
    "gap",
    "gap_answered",
    "gap_corrected",
    "has_unread",
    "kept",
    "load_rows",
    "majority",
    "mcnemar",
    "mean_stat",
    "number",
    "p_value",
    "permute_choices",
    "probabilities",
    "rate",
    "signed",
    "sized",
    "small_masses",
    "summarise",
    "summarise_recorded",
    "told",
    "total_variation",
    "truth_distribution",
    "tv_between",
    "tv_to_truth",
    "wilson",
]
