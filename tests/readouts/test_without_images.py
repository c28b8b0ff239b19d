"""The text-only condition on the shipped model: no image token and no pixel reaches it."""

from __future__ import annotations

import numpy as np
import pytest

from vlmbench.models import HfBackend, resolve_device
from vlmbench.readouts import build_prompt, read_prompted
from vlmbench.registry import catalogue
from vlmbench.spec import Condition
from vlmbench.tasks import apply_conditions, ask
from vlmbench.types import Document, EncodedImage


@pytest.fixture(scope="module")
def backend() -> HfBackend:
    (model,) = catalogue().select_models("tiny-clip")
    return HfBackend.load(model.spec, model.folder, *resolve_device("cpu", "float32"))


@pytest.fixture(scope="module")
def documents(pictures) -> list[Document]:
    held = []
    for index in range(2):
        images = tuple(EncodedImage.from_pil(pictures[2 * index + i]) for i in range(2))
        row = {"question": "Which is the same?", "choices": ["one", "two", "three", "four"]}
        held.append(
            Document(
                doc_id=f"d{index}", images=images, encoder_images=images, marked=False,
                choices=("A", "B", "C", "D"), gold=index, row=row,
            )
        )  # fmt: skip
    return held


def inputs(backend, documents, label):
    (task,) = catalogue().select_tasks("semantic_correspondence")
    condition = Condition.parse(label)
    shown = apply_conditions(documents, condition)
    asked = ask(shown, task.spec, condition)
    prompts = [build_prompt(one, task.spec, backend.spec) for one in asked]
    batch = backend.inputs.encode([backend.render(p) for p in prompts], prompts, side="right")
    return batch, read_prompted(asked, task.spec, backend).scores.scores


def test_no_image_token_and_no_pixels_without_images(backend, documents):
    own, seen = inputs(backend, documents, "own")
    none, unseen = inputs(backend, documents, "none")
    token = backend.model.config.image_token_index
    assert (own["input_ids"] == token).sum() == 2 * 2 * 64
    assert "pixel_values" in own
    assert not (none["input_ids"] == token).any()
    assert "pixel_values" not in none
    text = backend.processor.tokenizer.decode(none["input_ids"][0])
    assert "Which is the same?" in text
    assert "image" not in text
    assert np.isfinite(unseen).all()
    assert np.abs(seen - unseen).max() > 1e-3
    np.testing.assert_allclose(unseen[0], unseen[1], atol=1e-5)  # one question, two pictures
