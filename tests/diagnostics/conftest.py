"""Closed-form models: what they say follows from a formula, so every test's reading is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import handmade
import numpy as np
import pytest
from numpy.typing import NDArray

from vlmbench.types import ChoiceScores, Internals

STRENGTHS = {"weak": 1.0, "medium": 2.0, "strong": 4.0}


@dataclass(frozen=True, kw_only=True)
class FakeModel:
    """log p(c) ~ sight / length * log q(c | image) + trust * strength of the hint for c + prior(c).

    The image shows one symbol: gold with probability `clear`, else one of the others, each as
    often. q is the exact posterior of gold given the symbol, so that with sight 1 and nothing else
    the model is the optimal reader of a symmetric channel.
    """

    n: int = 300
    choices: int = 4
    clear: float = 0.7
    sight: float = 1.0
    trust: float = 0.0
    lean: float = 0.0
    seed: int = 0

    @property
    def gold(self) -> NDArray[np.int64]:
        return np.random.default_rng(self.seed).integers(0, self.choices, self.n)

    @property
    def symbol(self) -> NDArray[np.int64]:
        rng = np.random.default_rng(self.seed + 1)
        wrong = (self.gold + rng.integers(1, self.choices, self.n)) % self.choices
        return np.where(rng.random(self.n) < self.clear, self.gold, wrong)

    @property
    def wrong(self) -> NDArray[np.int64]:
        rng = np.random.default_rng(self.seed + 2)
        return (self.gold + rng.integers(1, self.choices, self.n)) % self.choices

    @property
    def channel_bits(self) -> float:
        """I(gold; symbol) in bits."""
        off = (1 - self.clear) / (self.choices - 1)
        noise = self.clear * np.log2(self.clear) + (1 - self.clear) * np.log2(off)
        return float(np.log2(self.choices) + noise)

    def read(
        self,
        image: str = "own",
        *,
        hint: NDArray[np.int64] | None = None,
        strength: str = "strong",
        length: float = 1.0,
        seen: float = 1.0,
        first: int | None = None,
    ) -> ChoiceScores:
        """Return scores; `seen` is the share of the image's evidence that a perturbation leaves."""
        off = (1 - self.clear) / (self.choices - 1)
        shown = {"own": self.symbol, "swapped": np.roll(self.symbol, 1)}.get(image)
        logits = np.zeros((self.n, self.choices))
        if shown is not None:
            logits[:] = np.log(off)
            logits[np.arange(self.n), shown] = np.log(self.clear)
            logits *= self.sight * seen / length
        if hint is not None:
            logits[np.arange(self.n), hint] += self.trust * STRENGTHS[strength]
        logits[:, 0] += self.lean
        scores = handmade.scored(logits - 20.0, self.gold)
        return scores if first is None else scores.take(np.arange(first))

    def inside(
        self, *, filler: int = 0, first: int | None = None, layers: int = 2, blank: bool = False
    ) -> Internals:
        """Return uniform attention over 16 image, 4 choice and 12 text tokens and filler.

        Both states show the image's latent, unless it is blank; the last position shows gold.
        """
        n = self.n if first is None else first
        rng = np.random.default_rng(self.seed + 3)
        tokens = np.tile(np.array([16, 4, 4, 12 + filler]), (n, 1))
        share = tokens / (32 + filler)
        latent = rng.standard_normal((n, layers + 1, 3))
        axes = rng.standard_normal((3, 12))
        own = latent @ axes
        return Internals(
            doc_ids=tuple(f"doc-{i}" for i in range(n)),
            h_image=(own + 0.1 * rng.standard_normal(own.shape)).astype(np.float32),
            h_text=((not blank) * own + 0.1 * rng.standard_normal(own.shape)).astype(np.float32),
            h_last=np.tile(np.eye(12)[self.gold[:n]][:, None], (1, layers + 1, 1)).astype(
                np.float32
            ),
            mass=np.tile(share[:, None], (1, layers, 1)),
            tokens=tokens,
        )


@pytest.fixture(scope="session")
def fake():
    """Return the class of closed-form models."""
    return FakeModel


@pytest.fixture(scope="session")
def noisy():
    """Return scores with seeded noise of the given size added to every log-likelihood."""

    def add(scores: ChoiceScores, size: float, *, seed: int = 9) -> ChoiceScores:
        noise = np.random.default_rng(seed).normal(0.0, size, scores.scores.shape)
        return replace(scores, scores=scores.scores + noise)

    return add


@pytest.fixture(scope="session")
def without():
    """Return scores in which the documents at some positions failed."""

    def fail(scores: ChoiceScores, *positions: int) -> ChoiceScores:
        failed = scores.failed.copy()
        failed[list(positions)] = True
        return replace(scores, failed=failed)

    return fail
