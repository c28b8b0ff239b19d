"""Whatever destroys the signal takes every readout of every rendered task to chance.

A number that stays up when there is nothing to see, or nothing to be right about, measures
something else. Each task is held to the 99.9% binomial interval about chance, and all tasks
together to the same interval about their sum, which is much narrower. Seeds are fixed.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from home import asked
from PIL import Image
from scipy.stats import binom, norm

from vlmbench.metrics import credit
from vlmbench.models import HfBackend, Tower, resolve_device
from vlmbench.readouts import Reading, read_encoder, read_prompted, read_rule
from vlmbench.readouts.probes import FeatureTap, LinearHead
from vlmbench.registry import Catalogue, catalogue
from vlmbench.spec import Condition, Encoder, Located, Rule, TaskSpec, rule_obstacle
from vlmbench.tasks import ask, load_documents, worlds
from vlmbench.types import ChoiceScores, Document, EncodedImage

TASKS = (
    "semantic_correspondence", "low_level_matching", "object_affordance", "art_style", "depth",
    "object_3d", "naming", "pointing",
)  # fmt: skip
COUNT = 48
LEARNED = {"naming": (120, 48), "depth": (48, 16)}  # training, validation
RULES = ("keypoint", "gram", "odd_one_out")  # probes that need no fitting
PIXEL_RULES = ("patch_correlation", "patch_colour", "colour_histogram", "thumbnail")
CONFIDENCE = 0.999
READOUTS = ("prompted", "encoder", "untrained")
DESTROYED = ("pixels", "blank", "labels")


@cache
def shipped() -> Catalogue:
    return catalogue()


@cache
def small(name: str) -> Located[TaskSpec]:
    """A shipped task over as few documents as will do."""
    (task,) = shipped().select_tasks(name)
    train, validation = LEARNED.get(name, (0, 0))
    bench = task.spec.bench
    generator = bench.generator.model_copy(
        update={"train": train, "validation": validation, "test": COUNT}
    )
    bench = bench.model_copy(update={"generator": generator})
    metadata = task.spec.metadata.model_copy(update={"vlmbench": bench})
    return replace(task, spec=task.spec.model_copy(update={"metadata": metadata}))


def shuffled(image: EncodedImage) -> EncodedImage:
    """Every pixel at another place: the colours stay, what they showed is gone."""
    pixels = np.asarray(image.decode())
    flat = pixels.reshape(-1, 3)
    order = np.random.default_rng(int(image.digest[:8], 16)).permutation(len(flat))
    return EncodedImage.from_pil(Image.fromarray(flat[order].reshape(pixels.shape)))


def grey(image: EncodedImage) -> EncodedImage:
    return EncodedImage.from_pil(Image.new("RGB", image.size, (127, 127, 127)))


SHOWN = {"own": lambda image: image, "pixels": cache(shuffled), "blank": grey}


def with_images(document: Document, shown: str) -> Document:
    change = SHOWN[shown]
    return replace(
        document,
        images=tuple(map(change, document.images)),
        encoder_images=tuple(map(change, document.encoder_images)),
    )


class Bench:
    """Readings of the shipped model, each made once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (model,) = shipped().select_models("tiny-clip")
        self.backend = HfBackend.load(model.spec, model.folder, *resolve_device("cpu", "auto"))
        self.tower = Tower.inside(self.backend, model.spec.twin)
        self.untrained = self.tower.randomised(0)
        self.read = cache(self._read)
        self.documents = cache(self._documents)

    def _documents(self, name: str, shown: str) -> tuple[Document, ...]:
        task = small(name)
        splits = [split for split in worlds.SPLITS if getattr(task.spec.bench.generator, split)]
        # In this process: the helpers of a pool would take longer to start.
        worlds.build(task.spec.bench.generator, root=self.root, splits=splits)
        loaded = load_documents(task, "reported", self.root)
        # The colours that shuffling leaves answer the other half of naming's questions.
        asked = [one for one in loaded if one.row.get("attribute") != "colour" or name != "naming"]
        return tuple(with_images(document, shown) for document in asked)

    def _read(self, name: str, readout: str, shown: str) -> Reading:
        task, documents = small(name), self.documents(name, shown)
        if readout == "prompted":
            asked = ask(documents, task.spec, Condition())
            return read_prompted(asked, task.spec, self.backend, batch_size=24)
        roles = Encoder().opens(task.spec).splits
        assert bool(roles) == (name in LEARNED)
        splits = {role: load_documents(task, role, self.root) for role in roles}
        tower = self.tower if readout == "encoder" else self.untrained
        probe = task.spec.bench.probe
        return read_encoder(documents, probe, tower, splits, seed=0, cache=self.root / "heads")

    def scores(self, name: str, readout: str, destroyed: str) -> ChoiceScores:
        if destroyed != "labels":
            return self.read(name, readout, destroyed).scores
        scores = self.read(name, readout, "own").scores
        order = np.random.default_rng(len(name)).permutation(len(scores))
        return replace(scores, gold=scores.gold[order])


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("worlds"))


def applying(readout: str) -> tuple[str, ...]:
    """The tasks that a readout applies to."""
    if readout == "prompted":
        return TASKS
    probes = {name: small(name).spec.bench.probe for name in TASKS}
    if readout == "encoder":
        return tuple(name for name, probe in probes.items() if probe is not None)
    return tuple(name for name, probe in probes.items() if probe and probe.kind in RULES)


def bounds(scores: ChoiceScores) -> tuple[float, float]:
    """What the sum of credits stays within, if every answer is a guess."""
    (choices,) = set(scores.n_choices)
    low, high = binom.interval(CONFIDENCE, len(scores), 1 / choices)
    return float(low), float(high)


CASES = [
    (name, readout, destroyed)
    for readout in READOUTS
    for name in applying(readout)
    for destroyed in DESTROYED
]


@pytest.mark.parametrize(("name", "readout", "destroyed"), CASES)
def test_without_signal_a_readout_guesses(bench, name, readout, destroyed):
    scores = bench.scores(name, readout, destroyed)
    assert not scores.failed.any()
    low, high = bounds(scores)
    assert low <= credit(scores).sum() <= high


@pytest.mark.parametrize("destroyed", DESTROYED)
@pytest.mark.parametrize("readout", READOUTS)
def test_nor_do_all_tasks_together_tell_anything(bench, readout, destroyed):
    above, variance = 0.0, 0.0
    for name in applying(readout):
        scores = bench.scores(name, readout, destroyed)
        chance = 1 / scores.n_choices
        above += float((credit(scores) - chance).sum())
        variance += float((chance * (1 - chance)).sum())
    assert abs(above) <= norm.ppf((1 + CONFIDENCE) / 2) * math.sqrt(variance)


@pytest.mark.parametrize(
    ("name", "readout"), [("naming", "prompted"), ("naming", "encoder"), ("object_3d", "encoder")]
)
def test_with_signal_it_does_not_guess(bench, name, readout):
    """The control that must fire: the same readings before anything was destroyed."""
    scores = bench.read(name, readout, "own").scores
    assert credit(scores).sum() > bounds(scores)[1]


def test_a_probe_that_learned_shuffled_labels_guesses(bench):
    task = small("naming")
    probe = task.spec.bench.probe
    bench.documents("naming", "own")
    tap = FeatureTap(bench.tower, [bench.tower.consumed])
    examples = {}
    for split in ("train", "validation"):
        documents = tuple(load_documents(task, split, bench.root))
        rng = np.random.default_rng(0)
        features = [tap.features(document.encoder_images) for document in documents]
        labels = [dict(document.row) for document in documents]
        for attribute in ("shape", "colour"):
            mine = [i for i, row in enumerate(labels) if row["attribute"] == attribute]
            given = [labels[i][probe.label_column] for i in mine]
            for i, place in zip(mine, rng.permutation(len(mine)), strict=True):
                labels[i][probe.label_column] = given[place]
        examples[split] = [
            (replace(document, row=row), seen)
            for document, row, seen in zip(documents, labels, features, strict=True)
        ]
    head = LinearHead(
        label_column=probe.label_column,
        choices_column=probe.choices_column,
        group_column=probe.group_column,
    ).fit(examples["train"], examples["validation"])
    scores = bench.read("naming", "encoder", "own").scores
    guessed = np.full_like(scores.scores, -np.inf)
    for index, document in enumerate(bench.documents("naming", "own")):
        found = head.score(document, tap.features(document.encoder_images))
        guessed[index, : len(found)] = found
    low, high = bounds(scores)
    assert low <= credit(replace(scores, scores=guessed)).sum() <= high


@pytest.mark.parametrize("rule", PIXEL_RULES)
def test_pixel_rules_guess_too_and_blank_images_tie(bench, rule):
    compared = 0
    for name in TASKS:
        task = small(name)
        if rule_obstacle(rule, task.spec) is not None:
            continue
        compared += 1
        totals = {}
        for shown in ("pixels", "blank"):
            documents = bench.documents(name, shown)
            scores = read_rule(
                asked(documents, [""] * len(documents)), Rule(name=rule), None
            ).scores
            low, high = bounds(scores)
            totals[shown] = credit(scores).sum()
            assert low <= totals[shown] <= high, name
        assert totals["blank"] == pytest.approx((1 / scores.n_choices).sum()), name
    assert compared >= 2
