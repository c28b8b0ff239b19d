from __future__ import annotations

import numpy as np
import torch
from home import asked, document, task_spec
from PIL import Image

from vlmbench.metrics import accuracy
from vlmbench.organisms._tuning import Tuning, _order, tune
from vlmbench.readouts import read_prompted
from vlmbench.types import Document

LETTERS = "ABCD"
QUESTION = "<image>\nWhich?\nAnswer with the letter:"
COLOURS = ((250, 20, 20), (20, 250, 20), (20, 20, 250), (250, 250, 20))


TASK = task_spec(doc_to_choice=list(LETTERS))


def bright(count: int, *, shuffled: bool = False) -> list[Document]:
    """Plain images whose colour tells the answer, or tells nothing."""
    rng = np.random.default_rng(0)
    colours = [COLOURS[int(rng.integers(4)) if shuffled else index % 4] for index in range(count)]
    return [
        document(index, Image.new("RGB", (96, 96), colour), choices=LETTERS)
        for index, colour in enumerate(colours)
    ]


def questions(documents):
    return asked(documents, [QUESTION] * len(documents))


def accuracy_of(backend, documents) -> float:
    return accuracy(read_prompted(questions(documents), TASK, backend).scores).value


def test_what_the_image_tells_is_learnt_and_the_encoder_stays(toy_backend):
    tower = toy_backend.model.model.vision_tower
    before = {n: p.clone() for n, p in tower.named_parameters()}
    shape = {n: p.shape for n, p in toy_backend.model.named_parameters()}
    documents = bright(64)
    assert accuracy_of(toy_backend, documents) < 0.6
    tuning = Tuning(rank=8, steps=40, batch=8, rate=3e-3)
    tune(toy_backend, questions(documents), TASK, tuning)
    assert accuracy_of(toy_backend, documents) > 0.9
    for name, value in tower.named_parameters():
        assert torch.equal(value, before[name])
    assert {n: p.shape for n, p in toy_backend.model.named_parameters()} == shape


def test_what_the_image_does_not_tell_is_not_learnt(toy_backend):
    tuning = Tuning(rank=8, steps=40, batch=8, rate=3e-3)
    tune(toy_backend, questions(bright(64, shuffled=True)), TASK, tuning)
    assert accuracy_of(toy_backend, bright(64)) < 0.6


def test_order_shows_every_document_before_any_twice():
    rows = _order(np.random.default_rng(1), 10, Tuning(steps=5, batch=4))
    seen = [i for row in rows for i in row]
    assert sorted(seen[:10]) == list(range(10))
    assert [len(row) for row in rows] == [4] * 5
