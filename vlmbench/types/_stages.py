"""Scores read at one stage of a model, beside those of the cell that they were read in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlmbench.types._scores import Scale


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageScores:
    """One stage's scores of the documents of a cell.

    Attributes:
        stage: Its name, such as `same` or `language-3`.
        scale: What a score is.
        scores: (n, max choices) float64, as `ChoiceScores.scores`.
    """

    stage: str
    scale: Scale
    scores: NDArray[np.float64]
