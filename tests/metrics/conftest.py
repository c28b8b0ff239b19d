"""A hand-written suite of readouts whose every number is known beforehand."""

from __future__ import annotations

from dataclasses import dataclass, replace

import handmade
import numpy as np
import pytest
from numpy.typing import NDArray

from vlmbench.types import ChoiceScores, Scale


@dataclass(frozen=True)
class FakeReadouts:
    """Documents with known gold, and readouts that never look at an image."""

    gold: NDArray[np.int64]
    n_choices: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.gold)

    def scored(self, scores: NDArray[np.float64], scale: Scale = "logprob") -> ChoiceScores:
        unused = np.arange(scores.shape[1])[None, :] >= self.n_choices[:, None]
        held = np.where(unused, -np.inf, scores)
        return handmade.scored(held, self.gold, scale=scale, n_choices=self.n_choices)

    def voting(self, answer: NDArray[np.int64]) -> ChoiceScores:
        votes = np.zeros((len(self), int(self.n_choices.max())))
        votes[np.arange(len(self)), answer] = 1.0
        return self.scored(votes, "vote")

    def uniform(self, level: float = -1.5) -> ChoiceScores:
        return self.scored(np.full((len(self), int(self.n_choices.max())), level))

    def oracle(self) -> ChoiceScores:
        return self.voting(self.gold)

    def anti_oracle(self) -> ChoiceScores:
        return self.voting((self.gold + 1) % self.n_choices)

    def constant(self, letter: int = 0) -> ChoiceScores:
        return self.voting(np.full(len(self), letter))

    def abstainer(self) -> ChoiceScores:
        asked = self.uniform()
        unread = np.where(asked.unused(), -np.inf, np.nan)
        return replace(asked, scores=unread, abstained=np.ones(len(self), bool))

    def right_on(self, right: NDArray[np.bool_]) -> ChoiceScores:
        wrong = (self.gold + 1) % self.n_choices
        return self.voting(np.where(right, self.gold, wrong))

    def noisy(self, accuracy: float, *, seed: int) -> ChoiceScores:
        return self.right_on(np.random.default_rng(seed).random(len(self)) < accuracy)

    def random(self, *, seed: int) -> ChoiceScores:
        shape = (len(self), int(self.n_choices.max()))
        return self.scored(np.random.default_rng(seed).normal(size=shape))


def build(n: int, *choices: int, seed: int = 0) -> FakeReadouts:
    rng = np.random.default_rng(seed)
    n_choices = rng.choice(choices or (4,), size=n).astype(np.int64)
    return FakeReadouts(gold=rng.integers(0, n_choices), n_choices=n_choices)


@pytest.fixture
def readouts() -> FakeReadouts:
    """240 documents, some with two, some with three, some with four choices."""
    return build(240, 2, 3, 4)


@pytest.fixture(scope="session")
def documents():
    """Build a suite of `n` documents with the given numbers of choices."""
    return build


@pytest.fixture(scope="session")
def with_failures():
    """Return scores of which the documents at some positions failed, their scores turned to NaN."""

    def fail(scores: ChoiceScores, *positions: int) -> ChoiceScores:
        failed = scores.failed.copy()
        failed[list(positions)] = True
        values = scores.scores.copy()
        values[np.ix_(failed, np.arange(values.shape[1]))] = np.nan
        return replace(scores, scores=np.where(scores.unused(), -np.inf, values), failed=failed)

    return fail
