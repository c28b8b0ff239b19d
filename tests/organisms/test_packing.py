from __future__ import annotations

import numpy as np
import pytest
import torch

from vlmbench.organisms._language_stage import Speaker, build_vlm, patches_of
from vlmbench.organisms._lessons import Lesson, Library, image_lesson
from vlmbench.organisms._packing import IGNORED, pack
from vlmbench.organisms._questions import Question
from vlmbench.organisms._tokenizer import EOS_ID, IMAGE_ID


@pytest.fixture(scope="module")
def parts(toy, tokenizer):
    recipe = toy("clip")
    torch.manual_seed(0)
    return recipe, tokenizer, build_vlm(recipe, len(tokenizer)).eval()


def test_answers_and_their_end_are_the_targets(parts):
    _, tokenizer, _ = parts
    lesson = Lesson(
        images=(3,),
        head="<image>\n",
        questions=(Question(body="Which?", answer="B"), Question(body="What?", answer="red")),
        chatty=True,
    )
    (batch,) = pack([lesson], tokenizer, 16)
    targets = batch.targets[batch.targets != IGNORED].tolist()
    red = tokenizer.encode("red")
    assert targets == [tokenizer.convert_tokens_to_ids("B"), EOS_ID, *red, EOS_ID]
    assert (batch.ids == IMAGE_ID).sum() == 16
    firsts = batch.targets[batch.first].tolist()
    assert firsts == [targets[0], red[0]]
    assert batch.images.tolist() == [3]


def test_packed_questions_are_answered_as_if_alone(parts, images):
    """The logits of a packed batch are those of transformers' own model on single prompts."""
    recipe, tokenizer, vlm = parts
    patches = patches_of(recipe)
    rng = np.random.default_rng(1)
    library = Library(images)
    lessons = [image_lesson(rng, library, 3) for _ in range(6)]
    features = rng.normal(size=(len(images), patches, recipe.encoder.width)).astype(np.float16)
    speaker = Speaker(vlm).eval()
    ours, theirs = [], []
    with torch.inference_mode():
        for batch in pack(lessons, tokenizer, patches):
            ours += speaker(batch, features).argmax(dim=-1).tolist()
        order = [
            lesson
            for batch in pack(lessons, tokenizer, patches)
            for lesson in _in_order(batch, lessons)
        ]
        for lesson in order:
            tokens = torch.from_numpy(features[list(lesson.images)]).float()
            projected = vlm.model.multi_modal_projector(tokens).flatten(0, 1)
            for prompt, answer in lesson.texts():
                ids = tokenizer.encode(prompt.replace("<image>", "<image>" * patches))
                tail = [*tokenizer.encode(answer), EOS_ID]
                embedded = vlm.get_input_embeddings()(torch.tensor([ids + tail]))
                embedded[0, torch.tensor(ids + tail) == IMAGE_ID] = projected
                logits = vlm(inputs_embeds=embedded).logits[0]
                theirs += logits[len(ids) - 1 : -1].argmax(dim=-1).tolist()
    assert len(set(theirs)) > 3
    assert ours == theirs


def _in_order(batch, lessons) -> list[Lesson]:
    """The lessons of a batch, found again by their images."""
    left, found = batch.images.tolist(), []
    while left:
        lesson = next(
            other
            for other in lessons
            if other not in found and left[: len(other.images)] == list(other.images)
        )
        found.append(lesson)
        left = left[len(lesson.images) :]
    return found
