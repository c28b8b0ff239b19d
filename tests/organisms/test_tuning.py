from __future__ import annotations

import numpy as np
import pytest
import torch
from home import asked
from PIL import Image

from vlmbench.models import HfBackend, resolve_device
from vlmbench.organisms._tuning import Tuning, tune
from vlmbench.readouts import read_prompted
from vlmbench.registry import catalogue
from vlmbench.types import Document, EncodedImage

LETTERS = ("A", "B", "C", "D")
QUESTION = "<image>\nWhich?\nAnswer with the letter:"
COLOURS = ((250, 20, 20), (20, 250, 20), (20, 20, 250), (250, 250, 20))


def bright(count: int, *, shuffled: bool = False) -> list[Document]:
    """Plain images whose colour tells the answer, or tells nothing."""
    rng = np.random.default_rng(0)
    documents = []
    for index in range(count):
        gold = index % 4
        colour = COLOURS[int(rng.integers(4)) if shuffled else gold]
        image = EncodedImage.from_pil(Image.new("RGB", (96, 96), colour))
        documents.append(
            Document(
                doc_id=f"d{index}",
                images=(image,),
                encoder_images=(image,),
                marked=False,
                choices=LETTERS,
                gold=gold,
                row={},
            )
        )
    return documents


@pytest.fixture
def tiny():
    found = catalogue(())
    (model,) = found.select_models("tiny-clip")
    (task,) = found.select_tasks("naming")
    device, dtype = resolve_device("cpu", "float32")
    return HfBackend.load(model.spec, model.folder, device, dtype), task.spec


def questions(documents):
    return asked(documents, [QUESTION] * len(documents))


def accuracy_of(backend, task, documents) -> float:
    scores = read_prompted(questions(documents), task, backend).scores
    return float((scores.scores.argmax(axis=1) == scores.gold).mean())


def test_what_the_image_tells_is_learnt_and_the_encoder_stays(tiny):
    backend, task = tiny
    before = {n: p.clone() for n, p in backend.model.model.vision_tower.named_parameters()}
    shape = {n: p.shape for n, p in backend.model.named_parameters()}
    documents = bright(64)
    assert accuracy_of(backend, task, documents) < 0.6
    tuning = Tuning(rank=8, steps=40, batch=8, rate=3e-3)
    tune(backend, questions(documents), task, tuning)
    assert accuracy_of(backend, task, documents) > 0.9
    for name, value in backend.model.model.vision_tower.named_parameters():
        assert torch.equal(value, before[name])
    assert {n: p.shape for n, p in backend.model.named_parameters()} == shape


def test_what_the_image_does_not_tell_is_not_learnt(tiny):
    backend, task = tiny
    documents = bright(64, shuffled=True)
    tune(backend, questions(documents), task, Tuning(steps=40, batch=8, rate=3e-3))
    assert accuracy_of(backend, task, bright(64)) < 0.6


def test_order_shows_every_document_before_any_twice(tiny):
    from vlmbench.organisms._tuning import _order

    rows = _order(np.random.default_rng(1), 10, Tuning(steps=5, batch=4))
    seen = [i for row in rows for i in row]
    assert sorted(seen[:10]) == list(range(10))
    assert [len(row) for row in rows] == [4] * 5
