"""The text-only condition on the shipped model: no image token and no pixel reaches it."""

from __future__ import annotations

import numpy as np
import pytest
from home import document

from vlmbench.readouts import build_prompt, read_prompted
from vlmbench.registry import catalogue
from vlmbench.spec import Condition
from vlmbench.tasks import apply_conditions, ask
from vlmbench.types import Document


@pytest.fixture(scope="module")
def documents(pictures) -> list[Document]:
    row = {"question": "Which is the same?", "choices": ["one", "two", "three", "four"]}
    return [document(i, *pictures[2 * i : 2 * i + 2], choices="ABCD", row=row) for i in range(2)]


def inputs(backend, documents, label):
    (task,) = catalogue().select_tasks("semantic_correspondence")
    condition = Condition.parse(label)
    shown = apply_conditions(documents, condition)
    asked = ask(shown, task.spec, condition)
    prompts = [build_prompt(one, task.spec, backend.spec) for one in asked]
    batch = backend.inputs.encode([backend.render(p) for p in prompts], prompts, side="right")
    return batch, read_prompted(asked, task.spec, backend).scores.scores


def test_no_image_token_and_no_pixels_without_images(tiny_clip, documents):
    own, seen = inputs(tiny_clip, documents, "own")
    none, unseen = inputs(tiny_clip, documents, "none")
    token = tiny_clip.model.config.image_token_index
    assert (own["input_ids"] == token).sum() == 2 * 2 * 64
    assert "pixel_values" in own
    assert not (none["input_ids"] == token).any()
    assert "pixel_values" not in none
    text = tiny_clip.processor.tokenizer.decode(none["input_ids"][0])
    assert "Which is the same?" in text
    assert "image" not in text
    assert np.isfinite(unseen).all()
    assert np.abs(seen - unseen).max() > 1e-3
    np.testing.assert_allclose(unseen[0], unseen[1], atol=1e-5)  # one question, two pictures
