"""How often the seven tests hold for models that cannot see, and for one that does.

    python benchmarks/false_positives.py [--draws 300] [--quick]

Prints a markdown table: the share of draws in which a test holds, with independent documents and
with documents in clusters of three whose texts, images and questions have an intra-class
correlation of .6. Cells have as many documents as those of the study `diagnose`, except that states
in clusters come from 300 documents, so that 100 clusters are left. `--quick` takes a tenth of the
draws.

What a model says is log p = what the text says + sight * what the image says, plus rounding noise
that is drawn anew in every pass. The text is exact, as gold is drawn from what it says. A model
that sees reads a channel of .64 bits. The states of a model that cannot see are those of a question
that shares with the image more than the answer, the same in either pass up to noise of their own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from vlmbench.diagnostics import (
    Outcome,
    budget,
    certainty,
    consistency,
    contribution,
    dependency,
    override,
    sensitivity,
)
from vlmbench.diagnostics._cells import numeric_floor
from vlmbench.metrics import Clusters
from vlmbench.types import ChoiceScores, Internals

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
CHOICES, CLEAR = 4, 0.7
N, REPEATS, HINTED, DAMAGED, FILLED, INSIDE = 300, 60, 100, 24, 40, 150
"""Documents of the study's cells: all, own+single, hints, perturbations, filler, internals."""
ALIKE, SIZE = 0.6, 3
ROUNDING = 1e-3
PERMUTATIONS = 200
LAYERS, LATENTS, WIDTH, WORDS = 4, 6, 24, 12


def alike(rng: np.random.Generator, n: int, size: int, k: int) -> Floats:
    """Return (n, k) standard normals, correlated by `ALIKE` in clusters of `size`."""
    own, common = rng.standard_normal((2, n, k))
    share = ALIKE if size > 1 else 0.0
    return np.sqrt(share) * common[np.arange(n) // size] + np.sqrt(1 - share) * own


@dataclass(frozen=True, kw_only=True)
class Model:
    """What answers, on documents of one draw.

    Attributes:
        seed: Of the draw.
        size: Documents of a cluster.
        sight: Weight of the image.
        noise: Size of what an image adds that says nothing of the answer.
    """

    seed: int
    size: int
    sight: float = 0.0
    noise: float = 0.0

    @cached_property
    def rng(self) -> np.random.Generator:
        """Of everything that is drawn."""
        return np.random.default_rng([self.seed, self.size])

    @cached_property
    def text(self) -> Floats:
        """(N, CHOICES), what the text says."""
        return alike(self.rng, N, self.size, CHOICES)

    @cached_property
    def gold(self) -> Ints:
        """(N,), drawn from what the text says."""
        return (self.text + self.rng.gumbel(size=self.text.shape)).argmax(axis=1)

    @cached_property
    def image(self) -> Floats:
        """(N, CHOICES), what the image says: one symbol, which is gold in `CLEAR` of them."""
        wrong = (self.gold + self.rng.integers(1, CHOICES, N)) % CHOICES
        symbol = np.where(self.rng.random(N) < CLEAR, self.gold, wrong)
        said = np.full((N, CHOICES), np.log((1 - CLEAR) / (CHOICES - 1)))
        said[np.arange(N), symbol] = np.log(CLEAR)
        return self.sight * said + self.noise * self.rng.standard_normal((N, CHOICES))

    @cached_property
    def wrong(self) -> Ints:
        """(N,), what wrong hints assert."""
        return (self.gold + self.rng.integers(1, CHOICES, N)) % CHOICES

    def read(self, image: str = "own", *, first: int = N, left: float = 1.0) -> ChoiceScores:
        """Return scores; `left` is what a perturbation leaves of the image."""
        shown = {"own": self.image, "swapped": np.roll(self.image, SIZE, axis=0)}.get(image, 0.0)
        said = self.text + left * shown + ROUNDING * self.rng.standard_normal(self.text.shape)
        index = np.arange(N)
        scores = ChoiceScores(
            doc_ids=tuple(map(str, index)), gold=self.gold, n_choices=np.full(N, CHOICES),
            scores=said - 20.0, scale="logprob", abstained=np.zeros(N, bool),
            failed=np.zeros(N, bool), clusters=index - index % self.size,
        )  # fmt: skip
        return scores.take(index[:first])


def of_dependency(model: Model) -> Outcome:
    """Run test 1."""
    others = {"swapped": model.read("swapped")}
    return dependency.outcome(model.read(), others, model.read(first=REPEATS), seed=model.seed)


def of_override(model: Model) -> Outcome:
    """Run test 2; hints do nothing."""
    wrong = {
        strength: override.Hinted(scores=model.read(first=HINTED), target=model.wrong[:HINTED])
        for strength in override.STRENGTHS
    }
    return override.outcome(model.read(), wrong, None, None, model.read("blank"), seed=model.seed)


def of_sensitivity(model: Model) -> Outcome:
    """Run test 4."""
    graded = {
        (kind, strength): model.read(first=DAMAGED, left=1 - strength)
        for kind in ("mask", "blur", "noise")
        for strength in (0.25, 0.5, 0.75)
    }
    own = model.read()
    floor = numeric_floor(own, model.read(first=REPEATS))
    return sensitivity.outcome(own, graded, None, None, floor=floor, seed=model.seed)


def of_contribution(model: Model) -> Outcome:
    """Run test 5."""
    own, without = model.read(), {"blank": model.read("blank")}
    return contribution.outcome(own, without, model.read(first=REPEATS), None, seed=model.seed)


def of_certainty(model: Model) -> Outcome:
    """Run test 6."""
    own, without = model.read(), {"blank": model.read("blank")}
    return certainty.outcome(own, without, model.read(first=REPEATS), seed=model.seed)


def of_budget(model: Model) -> Outcome:
    """Run test 7; filler does nothing."""

    def context(filler: int) -> budget.Context:
        tokens = np.tile(np.array([16, 0, 4, 12 + filler]), (FILLED, 1))
        empty = np.zeros((FILLED, 2, 1), np.float32)
        inside = Internals(
            doc_ids=tuple(map(str, range(FILLED))), h_image=empty, h_text=empty, h_last=empty,
            mass=(tokens / (32 + filler))[:, None], tokens=tokens,
        )  # fmt: skip
        other = model.read("swapped", first=FILLED)
        return budget.Context(scores=model.read(first=FILLED), internals=inside, other=other)

    floor = numeric_floor(model.read(), model.read(first=REPEATS))
    filled: dict[tuple[budget.Place, int], budget.Context] = {
        ("before", filler): context(filler) for filler in (64, 256)
    }
    return budget.outcome(context(0), filled, floor=floor, seed=model.seed)


def of_consistency(shared: float, model: Model) -> Outcome:
    """Run test 3, where image and question are correlated by `shared` beyond the answer."""
    rng, size = model.rng, model.size
    n = INSIDE if size == 1 else N
    image = alike(rng, n, size, LATENTS)
    asked = shared * image + np.sqrt(1 - shared**2) * alike(rng, n, size, LATENTS)
    y = rng.integers(0, WORDS, n)
    answer = 3 * rng.standard_normal((WORDS, LATENTS))[y]
    ways = rng.standard_normal((3, LATENTS, WIDTH))

    def states(said: Floats) -> NDArray[np.float32]:
        noise = 0.3 * rng.standard_normal((n, LAYERS + 1, WIDTH))
        return (said[:, None] + noise).astype(np.float32)

    question = (asked + answer) @ ways[1]
    return consistency.outcome(
        states((image + answer) @ ways[0]),
        states(question + model.sight * image @ ways[2]),
        states(question),
        y,
        Clusters.of(np.arange(n) // size),
        seed=model.seed,
        permutations=PERMUTATIONS,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the table.

    Attributes:
        test: Number and name.
        says: What the model that cannot see says.
        run: Runs the test.
        noise: Of that model's images.
        sight: Of the model that sees.
    """

    test: str
    says: str
    run: Callable[[Model], Outcome]
    noise: float = 0.0
    sight: float = 1.0


IGNORES = "ignores the image"
LINES = (
    Line(test="1 dependency", says=IGNORES, run=of_dependency),
    Line(test="2 counterfactual override", says=f"{IGNORES} and hints", run=of_override),
    *(
        Line(
            test="3 cross-modal consistency",
            says=f"question and image correlated by {shared:g}, given the answer",
            run=lambda model, shared=shared: of_consistency(shared, model),
            sight=0.5,
        )
        for shared in (0.0, 0.8)
    ),
    Line(test="4 perturbation sensitivity", says=IGNORES, run=of_sensitivity),
    Line(test="5 information contribution", says=IGNORES, run=of_contribution),
    Line(test="5 information contribution", says="images add noise", run=of_contribution, noise=1),
    Line(test="6 uncertainty reduction", says=IGNORES, run=of_certainty),
    Line(test="6 uncertainty reduction", says="images add noise", run=of_certainty, noise=1),
    Line(test="7 attention budget", says=IGNORES, run=of_budget),
)


def rate(line: Line, draws: int, **model: float) -> str:
    """Return the share of draws in which a test holds."""
    held = [line.run(Model(seed=seed, **model)).holds is True for seed in range(draws)]
    return f"{np.mean(held):.3f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    draws = arguments.draws // 10 if arguments.quick else arguments.draws
    lines = [
        [
            line.test,
            line.says,
            *(rate(line, draws, size=size, noise=line.noise) for size in (1, SIZE)),
            *(rate(line, draws // 5, size=size, sight=line.sight) for size in (1, SIZE)),
        ]
        for line in LINES
    ]
    head = ["test", "a model that cannot see", "holds", "in clusters", "one that sees: holds",
            "in clusters"]  # fmt: skip
    print(tabulate(lines, head, tablefmt="pipe", disable_numparse=True))


if __name__ == "__main__":
    main()
