from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from PIL import Image

from vlmbench.models import TowerStates
from vlmbench.organisms._gate import (
    control_rows,
    letter_rows,
    linear_probe,
    probe_rows,
    table,
)
from vlmbench.organisms._gate_rows import above_chance, share
from vlmbench.organisms._images import Fact, ImageSet
from vlmbench.spec import Twin


def test_an_oracle_passes_the_control_and_is_at_chance_without_its_image(held, fake):
    rows = control_rows(held, fake(seeing=True))
    assert [row.criterion for row in rows] == [
        "prompted: naming",
        "prompted: naming, shape",
        "prompted: naming, colour",
        "prompted: naming, blank image",
        "prompted: naming, shape, blank image",
        "prompted: naming, colour, blank image",
    ]
    assert [row.stat.value for row in rows] == [1.0, 1.0, 1.0, 0.25, 0.25, 0.25]
    assert [row.stat.n for row in rows] == [80, 40, 40] * 2
    assert all(row.passed for row in rows)


def test_a_blind_model_fails_the_control(held, fake):
    rows = control_rows(held, fake(seeing=False))
    assert {row.stat.value for row in rows} == {0.25}
    assert [row.passed for row in rows] == [False] * 3 + [True] * 3


def test_a_model_that_knows_answers_without_images_fails_the_blank_rows(held, fake, monkeypatch):
    golds = itertools.cycle(document.gold for document in held.documents)
    knows = lambda _, prompts, choices: [np.eye(4)[next(golds)] for _ in prompts]
    monkeypatch.setattr(fake, "choice_logprobs", knows)
    rows = control_rows(held, fake(seeing=True))
    assert [row.passed for row in rows] == [True] * 3 + [False] * 3


@pytest.mark.parametrize(
    ("first", "share", "passed"),
    [
        ("A", 1.0, True), (" B", 1.0, True), ("(", 0.0, False), ("The", 0.0, False),
        ("E", 0.0, False),
    ],
)  # fmt: skip
def test_letters_are_counted_with_or_without_a_space(held, fake, first, share, passed):
    (row,) = letter_rows([held], fake(seeing=True, first=first))
    assert (row.stat.value, row.passed) == (share, passed)


class FakeTower:
    """An encoder whose tokens hold the mean colour of the image in their first channels."""

    consumed = 2

    def __init__(self, *, with_cls: bool, blind: bool = False) -> None:
        self.with_cls, self.blind = with_cls, blind

    def states(self, squares: Sequence[Image.Image], layers: Sequence[int]) -> TowerStates:
        assert list(layers) == [2]
        mean = torch.tensor(np.stack([np.asarray(s).mean(axis=(0, 1)) for s in squares]))
        mean = torch.zeros_like(mean) if self.blind else mean
        grid = mean.float()[:, None, None, None].expand(-1, 1, 2, 2, 3)
        return TowerStates(patch_tokens=grid, cls_token=mean.float() if self.with_cls else None)


def one_thing_images() -> ImageSet:
    rng = np.random.default_rng(0)
    kinds = rng.integers(2, size=3000)
    pixels = (
        np.zeros((3000, 4, 4, 3), np.uint8) + (kinds * 200).astype(np.uint8)[:, None, None, None]
    )
    facts = tuple(
        (Fact(category=("mug", "cone")[k], colour=("red", "blue")[k], texture="plain", x=0.0),)
        for k in kinds
    )
    return ImageSet(pixels=pixels, facts=facts, marked=np.zeros(3000, bool))


@pytest.mark.parametrize(("pooled", "with_cls"), [("cls", True), ("mean", False)])
def test_the_probe_reads_what_the_encoder_holds_and_nothing_else(pooled, with_cls):
    twin = Twin(layer=-2, pooled=pooled, relation="identical")
    images = one_thing_images()
    seeing = probe_rows(FakeTower(with_cls=with_cls), twin, images)
    assert [row.stat.value for row in seeing] == [1.0, 1.0]
    assert all(row.passed for row in seeing)
    blind = probe_rows(FakeTower(with_cls=with_cls, blind=True), twin, images)
    assert all(abs(row.stat.value - 0.5) < 0.06 and not row.passed for row in blind)


def test_the_probe_reports_images_it_was_not_fitted_on():
    """Labels are random: only the images it was fitted on could be told."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2500, 40)).astype(np.float32)
    labels = np.array(["a", "b"])[rng.integers(2, size=2500)]
    stat = linear_probe(features, labels)
    assert stat.n == 500
    assert stat.low < 0.5 < stat.high


def test_the_table_says_what_is_met(held, fake):
    text = table(control_rows(held, fake(seeing=False)))
    assert "| prompted: naming | 0.250 |" in text
    assert text.count("| no |") == 3


@pytest.mark.parametrize(("right", "passed"), [(100, False), (110, False), (130, True)])
def test_above_chance_is_asked_of_the_interval_and_not_of_the_value(right, passed):
    assert above_chance("it", share(right, 300), 1 / 3).passed is passed
