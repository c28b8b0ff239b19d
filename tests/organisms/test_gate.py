from __future__ import annotations

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
from vlmbench.organisms._gate_rows import Held
from vlmbench.organisms._images import Fact, ImageSet
from vlmbench.registry import catalogue
from vlmbench.spec import ModelSpec, Twin
from vlmbench.types import Document, EncodedImage

LETTERS = ("A", "B", "C", "D")


def document(index: int) -> Document:
    """A document whose image tells the answer by its brightness."""
    gold = index % 4
    image = EncodedImage.from_pil(Image.new("RGB", (8, 8), (10 + 60 * gold,) * 3))
    return Document(
        doc_id=f"d{index}",
        images=(image,),
        encoder_images=(image,),
        marked=False,
        choices=LETTERS,
        gold=gold,
        row={"attribute": ("shape", "colour")[index // 4 % 2]},
    )


@pytest.fixture
def held() -> Held:
    (naming,) = catalogue(()).select_tasks("naming")
    documents = [document(i) for i in range(80)]
    return Held(naming, documents, ["<image> Which?"] * 80)


class Fake:
    """A backend that reads the brightness of the first image: an oracle, or blind to it."""

    weights_digest = "0"

    def __init__(self, *, seeing: bool, first: str | None = None) -> None:
        self.spec = ModelSpec(model="fake", checkpoint="none")
        self.seeing = seeing
        self.first = first

    def _gold(self, prompt) -> int:
        value = prompt.images[0].getpixel((0, 0))[0]
        return (value - 10) // 60 if self.seeing and value != 127 else 0

    def choice_logprobs(self, prompts, choices):
        return [np.eye(4)[self._gold(prompt)] for prompt in prompts]

    def generate(self, prompts, kwargs):
        assert kwargs.max_gen_toks == 1
        return [self.first or f" {LETTERS[self._gold(prompt)]}" for prompt in prompts]

    def render(self, prompt) -> str:
        return prompt.user

    def continuation(self, choice: str, delimiter: str) -> str:
        return delimiter + choice


def test_an_oracle_passes_the_control_and_is_at_chance_without_its_image(held):
    rows = control_rows(held, Fake(seeing=True))
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


def test_a_blind_model_fails_the_control(held):
    rows = control_rows(held, Fake(seeing=False))
    assert {row.stat.value for row in rows} == {0.25}
    assert [row.passed for row in rows] == [False] * 3 + [True] * 3


def test_a_model_that_knows_answers_without_images_fails_the_blank_rows(held):
    class Leaky(Fake):
        def choice_logprobs(self, prompts, choices):
            self.asked = getattr(self, "asked", 0)
            golds = [document(i).gold for i in range(80)]
            rows = [np.eye(4)[golds[(self.asked + i) % 80]] for i in range(len(prompts))]
            self.asked += len(prompts)
            return rows

    rows = control_rows(held, Leaky(seeing=True))
    assert [row.passed for row in rows] == [True] * 3 + [False] * 3


@pytest.mark.parametrize(
    ("first", "share"), [("A", 1.0), (" B", 1.0), ("(", 0.0), ("The", 0.0), ("E", 0.0)]
)
def test_letters_are_counted_with_or_without_a_space(held, first, share):
    (row,) = letter_rows([held], Fake(seeing=True, first=first))
    assert row.stat.value == share
    assert row.passed == (share == 1.0)


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


def test_the_table_says_what_is_met(held):
    text = table(control_rows(held, Fake(seeing=False)))
    assert "| prompted: naming | 0.250 |" in text
    assert text.count("| no |") == 3
