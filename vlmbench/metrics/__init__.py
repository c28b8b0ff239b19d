"""Metrics: scores per document in, numbers with their uncertainty out.

Pure functions of `vlmbench.types.ChoiceScores`. Every function leaves failed documents out
first; how many there were is a number of its own (`failures`).
"""

from vlmbench.metrics._accuracy import (
    abstention,
    accuracy,
    chance,
    corrected,
    effective_n,
    failures,
    majority,
)
from vlmbench.metrics._answered import accuracy_answered, gap_answered, has_unread, p_stat
from vlmbench.metrics._bootstrap import distance_stat, mean_stat
from vlmbench.metrics._calibration import expected_calibration_error, probabilities
from vlmbench.metrics._clusters import Clusters
from vlmbench.metrics._credit import TIE_TOLERANCE, answers, credit, kept, permute_choices
from vlmbench.metrics._distributions import (
    answer_distribution,
    total_variation,
    truth_distribution,
    tv_between,
    tv_to_truth,
)
from vlmbench.metrics._intervals import bounded_stat, difference_stat, rate_stat, tango, wilson
from vlmbench.metrics._lost import LOSSES, Loss, layers_of, losses
from vlmbench.metrics._mass import (
    SMALL_LOW_MASS,
    SMALL_MASS,
    choice_mass,
    small_masses,
)
from vlmbench.metrics._numbers import (
    MISSING,
    ROUNDING,
    above,
    brief,
    clear_of_zero,
    number,
    p_value,
    rate,
    signed,
    sized,
    told,
)
from vlmbench.metrics._paired import McNemar, flip_p, gap, gap_corrected, mcnemar
from vlmbench.metrics._power import ASSUMED_DISCORDANCE, gap_power, smallest_gap
from vlmbench.metrics._ranges import RANGES
from vlmbench.metrics._readouts import ENCODER, ENCODER_MEAN, GAP, INTERNALS, PROMPTED, RULE
from vlmbench.metrics._rows import StatRow, dump_rows, load_rows
from vlmbench.metrics._several import false_discovery, holm
from vlmbench.metrics._summary import METRICS_VERSION, summarise, summarise_recorded

__all__ = [
    "ASSUMED_DISCORDANCE",
    "ENCODER",
    "ENCODER_MEAN",
    "GAP",
    "INTERNALS",
    "LOSSES",
    "METRICS_VERSION",
    "MISSING",
    "PROMPTED",
    "RANGES",
    "ROUNDING",
    "RULE",
    "SMALL_LOW_MASS",
    "SMALL_MASS",
    "TIE_TOLERANCE",
    "Clusters",
    "Loss",
    "McNemar",
    "StatRow",
    "above",
    "abstention",
    "accuracy",
    "accuracy_answered",
    "answer_distribution",
    "answers",
    "bounded_stat",
    "brief",
    "chance",
    "choice_mass",
    "clear_of_zero",
    "corrected",
    "credit",
    "difference_stat",
    "distance_stat",
    "dump_rows",
    "effective_n",
    "expected_calibration_error",
    "failures",
    "false_discovery",
    "flip_p",
    "gap",
    "gap_answered",
    "gap_corrected",
    "gap_power",
    "has_unread",
    "holm",
    "kept",
    "layers_of",
    "load_rows",
    "losses",
    "majority",
    "mcnemar",
    "mean_stat",
    "number",
    "p_stat",
    "p_value",
    "permute_choices",
    "probabilities",
    "rate",
    "rate_stat",
    "signed",
    "sized",
    "small_masses",
    "smallest_gap",
    "summarise",
    "summarise_recorded",
    "tango",
    "told",
    "total_variation",
    "truth_distribution",
    "tv_between",
    "tv_to_truth",
    "wilson",
]
