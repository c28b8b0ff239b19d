"""vLLM itself against transformers, on documents of shipped tasks: run by `make vllm`.

`tiny-clip` in float32, so that what differs is a fault and not the format. TOLERANCE is a few times
the largest difference that was seen (1.5e-5, on answers of several tokens).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from vlmbench.models import Prompt, try_canaries
from vlmbench.models import _vllm as backend_code
from vlmbench.readouts import read_prompted
from vlmbench.spec import GenerationKwargs
from vlmbench.types import EncodedImage, VlmbenchError

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("ignore")]
TOLERANCE = 5e-5
LETTERS = ["A", "B", "C", "D"]
# Of one token; of a common first, a differing second and a common third; of one to six.
CHOICES = [
    LETTERS,
    [f"({letter})" for letter in LETTERS],
    ["mug", "a red cube", "a red mug", "red"],
]


def same(found, expected, tolerance=TOLERANCE) -> float:
    """Check that scores agree and name the same choice; return their largest difference."""
    worst = max(np.abs(a - b).max() for a, b in zip(found, expected, strict=True))
    assert worst <= tolerance
    assert [row.argmax() for row in found] == [row.argmax() for row in expected]
    return float(worst)


def in_parts(backend, prompts, choices, size):
    parts = [slice(start, start + size) for start in range(0, len(prompts), size)]
    return [row for one in parts for row in backend.choice_logprobs(prompts[one], choices[one])]


@pytest.fixture
def cold(engine):
    """The engine, with nothing in its caches of prompts and images."""
    engine._engine.reset_prefix_cache()
    engine._engine.reset_mm_cache()
    return engine


@pytest.mark.parametrize("choices", CHOICES, ids=["letters", "in brackets", "words"])
def test_choices_are_as_likely_as_in_transformers(cold, plain, prompts, choices, record_property):
    assert len(prompts) >= 64
    assert {len(prompt.images) for prompt in prompts} == {1, 2, 3}
    rows = [[cold.continuation(choice, " ") for choice in choices]] * len(prompts)
    found, expected = cold.choice_logprobs(prompts, rows), in_parts(plain, prompts, rows, 16)
    record_property("largest difference", same(found, expected))
    assert len({int(row.argmax()) for row in found}) > 1


def test_texts_are_those_of_transformers(cold, plain, prompts):
    asked = [replace(prompt, user=f"{prompt.user}\nSay why.") for prompt in prompts]
    kwargs = GenerationKwargs(until=("", "."), max_gen_toks=8)
    found = cold.generate(asked, kwargs)
    expected = [
        each
        for start in range(0, 66, 11)
        for each in plain.generate(asked[start : start + 11], kwargs)
    ]
    assert [(one.text, one.finish) for one in found] == [(one.text, one.finish) for one in expected]
    assert len({one.text for one in found}) > 3


def test_answers_do_not_depend_on_the_batch_or_on_what_was_asked_before(cold, prompts):
    rows = [CHOICES[index % 3] for index in range(len(prompts))]
    together = cold.choice_logprobs(prompts, rows)
    same(in_parts(cold, prompts, rows, 7), together)  # from the caches
    cold._engine.reset_prefix_cache()
    cold._engine.reset_mm_cache()
    same(in_parts(cold, prompts, rows, 1), together)
    backwards = cold.choice_logprobs(prompts[::-1], rows[::-1])
    same(backwards[::-1], together)


def test_prompts_in_the_cache_are_hit_and_change_nothing(cold, prompts, monkeypatch):
    outputs, real = [], cold._engine.generate

    def watched(*arguments, **more):
        outputs.append(real(*arguments, **more))
        return outputs[-1]

    monkeypatch.setattr(cold._engine, "generate", watched)
    several = [prompt for prompt in prompts if len(prompt.images) > 1]  # beyond one block of 128
    first, second = (cold.choice_logprobs(several, [LETTERS] * len(several)) for _ in range(2))
    same(first, second)
    hits = [[output.num_cached_tokens for output in each] for each in outputs]
    assert min(hits[1]) >= 128
    assert sum(hits[0]) < sum(hits[1]) / 2


def test_a_changed_image_never_hits(cold, plain, prompts):
    """A stripe is drawn into every image, one after another; the text stays as it is."""
    several = [prompt for prompt in prompts if len(prompt.images) > 1]
    rows = [LETTERS] * len(several)
    own = cold.choice_logprobs(several, rows)
    for place in (0, 1):
        changed = [with_stripe(prompt, place) for prompt in several]
        found = cold.choice_logprobs(changed, rows)
        same(found, in_parts(plain, changed, rows, 16))
        assert min(np.abs(a - b).max() for a, b in zip(found, own, strict=True)) > TOLERANCE
    same(cold.choice_logprobs(several, rows), own)


def with_stripe(prompt: Prompt, place: int) -> Prompt:
    image = prompt.images[place].copy()
    image.paste((255, 0, 255), (0, 0, image.width, max(1, image.height // 4)))
    return replace(prompt, images=(*prompt.images[:place], image, *prompt.images[place + 1 :]))


def test_one_name_for_two_images_gives_the_second_the_firsts_answer(cold, monkeypatch, located):
    """Why images are named by their content, and why canaries are asked: vLLM does not look."""
    assert try_canaries(cold, located)["images"] > 0.01
    monkeypatch.setattr(backend_code, "_identity", lambda image: "any")
    squares = [Image.new("RGB", (96, 96), colour) for colour in ("red", "blue")]
    red, blue = (Prompt(user="<image>What colour?", images=(square,)) for square in squares)
    rows = [["red", "blue"]]
    np.testing.assert_array_equal(*(cold.choice_logprobs([one], rows)[0] for one in (red, blue)))
    with pytest.raises(VlmbenchError, match="which get the same likelihoods"):
        try_canaries(cold, located)


def test_canaries_show_the_prompt_as_it_was_read(cold, located):
    found = try_canaries(cold, located)
    question = "<image>What colour is this? Answer with one word."
    asked = Prompt(user=question, images=(Image.new("RGB", (9, 9)),))
    assert found["prompt"] == cold.render(asked)
    assert found["repeat"] <= TOLERANCE
    assert len(found["answers"]) == 3


def test_a_document_that_does_not_fit_fails_alone(cold, questions):
    task, asked = questions["naming"]
    image = EncodedImage.from_pil(Image.new("RGB", (96, 96)))
    document = replace(asked[3].document, images=(image,) * 40)
    many = replace(
        asked[3], document=document, text="<image>" * 40 + asked[3].text.replace("<image>", "")
    )
    reading = read_prompted([*asked[:3], many, *asked[4:8]], task, cold)
    assert reading.scores.failed.tolist() == [index == 3 for index in range(8)]
    assert "longer than the maximum model length of 2048" in reading.answers[3].error
    whole = read_prompted(asked[:8], task, cold)
    kept = ~reading.scores.failed
    same(list(whole.scores.scores[kept]), list(reading.scores.scores[kept]))


def test_many_images_are_read_as_long_as_they_fit(cold, plain, prompts):
    images = tuple(prompt.images[0] for prompt in prompts[:22])
    many = Prompt(user="<image>" * len(images) + "Which is red?", images=images)
    found, expected = (each.choice_logprobs([many], [LETTERS]) for each in (cold, plain))
    same(found, expected)
