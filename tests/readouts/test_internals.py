"""The internals readout with a hand-written backend, and the shipped model through its doors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from home import asked, document, noise, task_spec

from vlmbench.models import Inside
from vlmbench.readouts import read_internals, read_prompted
from vlmbench.spec import ImagePolicy, ModelSpec
from vlmbench.types import Document, Region, VlmbenchError

LAYERS, WIDTH = 2, 3


TASK = task_spec(doc_to_text="<image>?")


def documents(n: int, side: int = 8, box: tuple[float, ...] = (0, 0, 4, 4)) -> list[Document]:
    shown = Region(image=0, kind="box", xy=box)
    return [
        document(i, noise(i, (side, side)), row={"answer": i % 2}, reference=shown)
        for i in range(n)
    ]


class Fake:
    """Holds the number that ends the question in every hidden state; fails on some numbers."""

    spec = ModelSpec(model="fake", checkpoint="none", image=ImagePolicy(letterbox=16))
    weights_digest = "fake"

    def __init__(self, fails: frozenset[int] = frozenset(), room: int = 99) -> None:
        self.fails, self.room, self.batches, self.regions = fails, room, [], []

    def render(self, prompt):
        return prompt.user

    def continuation(self, choice, delimiter):
        return delimiter + choice

    def inspect(self, prompts, choices, regions):
        self.batches.append(len(prompts))
        if len(prompts) > self.room:
            raise torch.OutOfMemoryError
        self.regions += regions
        found = []
        for prompt in prompts:
            number = int(prompt.user.split()[-1])
            if number in self.fails:
                raise ValueError("too odd")
            state = np.full((LAYERS + 1, WIDTH), number, dtype=np.float32)
            found.append(
                Inside(
                    scores=np.array([number, 0.0]), h_image=state, h_text=state + 0.5,
                    h_last=-state, mass=np.full((LAYERS, 4), number / 100),
                    tokens=np.array([number, 0, 2, 3]),
                )
            )  # fmt: skip
        return found


def read(backend: Fake, n: int = 9, **options):
    # Questions of different lengths, so that batching reorders them.
    questions = [f"<image>{'long ' * (i % 4)}question {i}" for i in range(n)]
    return read_internals(asked(documents(n), questions), TASK, backend, **options)


def test_arrays_stand_in_document_order_whatever_the_batches():
    for options in ({}, {"batch_size": 2}):
        held = read(Fake(), **options).internals
        assert held.doc_ids == tuple(f"d{i}" for i in range(9))
        assert held.h_image[:, 0, 0].tolist() == list(range(9))
        assert held.h_text[:, 2, 2].tolist() == [i + 0.5 for i in range(9)]
        assert held.tokens[:, 0].tolist() == list(range(9))
        assert (held.layers, held.width) == (LAYERS, WIDTH)


def test_one_broken_document_fails_alone_and_is_nan():
    reading = read(Fake(fails=frozenset({4})))
    assert reading.scores.failed.tolist() == [i == 4 for i in range(9)]
    assert "too odd" in reading.answers[4].error
    for name in ("h_image", "h_text", "h_last", "mass"):
        bad = np.isnan(getattr(reading.internals, name)).reshape(9, -1)
        assert bad.all(1).tolist() == bad.any(1).tolist() == [i == 4 for i in range(9)]
    assert (reading.internals.tokens[4] == 0).all()


def test_batches_halve_when_memory_runs_out():
    fake = Fake(room=1)
    assert read(fake).internals.h_image[:, 0, 0].tolist() == list(range(9))
    assert fake.batches[:3] == [4, 2, 1]


def test_long_questions_run_alone_and_short_ones_together():
    for length, batches in ((1800, [4, 2]), (4000, [1] * 6)):
        fake = Fake()
        questions = [f"<image>{'x' * length} question {i}" for i in range(6)]
        read_internals(asked(documents(6), questions), TASK, fake)
        assert fake.batches == batches


def test_regions_reach_the_backend_in_pixels_of_the_prompts_images():
    fake = Fake()
    read(fake, n=1)
    assert fake.regions == [[Region(image=0, kind="box", xy=(0, 0, 8, 8))]]  # 8 -> 16 pixels


def test_a_backend_that_cannot_is_refused():
    with pytest.raises(VlmbenchError, match="inside"):
        read_internals(asked(documents(1), ["<image>question 1"]), TASK, object())


def test_the_shipped_model_answers_as_when_prompted(tiny_clip):
    held = documents(3, side=96, box=(0, 0, 16, 8))
    questions = [f"<image>\nWhat{' ever' * i} is it?\n(A) red\n(B) blue\nAnswer:" for i in range(3)]
    reading = read_internals(asked(held, questions), TASK, tiny_clip)
    prompted = read_prompted(asked(held, questions), TASK, tiny_clip)
    assert not reading.scores.failed.any()
    np.testing.assert_allclose(reading.scores.scores, prompted.scores.scores, atol=1e-5)
    held = reading.internals
    side = round(int(held.tokens[0, 0]) ** 0.5)
    assert side > 1
    columns, rows = (int(np.ceil(edge / (96 / side))) for edge in (16, 8))
    assert (held.tokens[:, :2] == [side**2, columns * rows]).all()
    assert (held.tokens[:, 2] > 2).all()
    np.testing.assert_allclose(held.mass[:, :, [0, 2, 3]].sum(2), 1)
    assert (held.mass[:, :, 1] < held.mass[:, :, 0]).all()
    assert reading.notes == {
        "attention": "of the last position, by the formula",
        "sinks": "10 equal shares of the attention of the median question position",
        "regions_unknown": 0,
        "choices_not_found": 0,
    }
