"""What a model cannot be asked, or says nothing to, fails one document and no other."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from PIL import Image

from vlmbench.models import HfBackend, Prompt
from vlmbench.spec import GenerationKwargs, ModelSpec
from vlmbench.types import DocumentError

PICTURE = Image.new("RGB", (32, 32), (200, 30, 30))
KWARGS = GenerationKwargs(until=(), max_gen_toks=6)


def asked(text: str) -> Prompt:
    return Prompt(user=f"<image>{text}", images=(PICTURE,))


@pytest.fixture
def overflowing(backend) -> HfBackend:
    """A model whose numbers overflow whenever a tilde is read."""
    model = copy.deepcopy(backend.model)
    token = backend.processor.tokenizer.convert_tokens_to_ids("~")
    with torch.no_grad():
        model.get_input_embeddings().weight[token] = torch.inf
    return HfBackend(model, backend.processor, backend.spec)


def test_overflow_is_seen_in_likelihoods_of_that_prompt_alone(overflowing, backend):
    prompts = [asked("A or B?"), asked("A ~ B?"), asked("B or A?")]
    choices = [["A", "B"], ["A", "B"], ["A", "blue"]]
    first, second, third = overflowing.choice_logprobs(prompts, choices)
    assert np.isnan(second).all()
    plain = backend.choice_logprobs([prompts[0], prompts[2]], [choices[0], choices[2]])
    np.testing.assert_allclose([first, third], plain, atol=2e-5)


def test_overflow_ends_an_answer_instead_of_writing_some_token(overflowing, backend):
    with pytest.raises(DocumentError, match="overflowed"):
        overflowing.generate([asked("A ~ B?")], KWARGS)
    (written,) = overflowing.generate([asked("A or B?")], KWARGS)
    (plain,) = backend.generate([asked("A or B?")], KWARGS)
    assert written.text == plain.text


def short(backend: HfBackend, context: int) -> HfBackend:
    """Return the same model with less room."""
    made = HfBackend(backend.model, backend.processor, backend.spec)
    made.inputs.context = context
    return made


def length(backend: HfBackend, prompt: Prompt) -> int:
    batch = backend.inputs.encode([backend.render(prompt)], [prompt], side="right")
    return int(batch["attention_mask"].sum())


def test_a_prompt_and_its_answer_must_fit_the_context(backend):
    prompt = asked("A or B?")
    taken = length(backend, prompt)
    (plain,) = backend.choice_logprobs([prompt], [["A", "B"]])
    (just,) = short(backend, taken + 1).choice_logprobs([prompt], [["A", "B"]])
    np.testing.assert_array_equal(just, plain)
    message = rf"the prompt and its answer take {taken + 1} tokens; the model reads {taken}$"
    with pytest.raises(DocumentError, match=message):
        short(backend, taken).choice_logprobs([prompt], [["A", "B"]])
    with pytest.raises(DocumentError, match=f"reads {taken}"):
        short(backend, taken).generate([prompt], KWARGS)


def test_longer_answers_need_more_room(backend):
    prompt = asked("A or B?")
    taken = length(backend, prompt)
    with pytest.raises(DocumentError, match="the model reads"):
        short(backend, taken + 1).choice_logprobs([prompt], [["A", "some of both"]])


def test_an_answer_ends_where_the_context_does(backend):
    """And each prompt of a batch has its own room."""
    prompts = [asked("A or B?"), asked("Which is it, A or B or C?")]
    whole = backend.generate(prompts, KWARGS)
    room = length(backend, prompts[1]) + 2 - length(backend, prompts[0])
    cut = short(backend, length(backend, prompts[1]) + 2).generate(prompts, KWARGS)
    assert room > 6
    assert cut[0].text == whole[0].text
    assert len(cut[1].text) < len(whole[1].text)
    assert whole[1].text.startswith(cut[1].text)
    assert cut[1].finish == "length"


def test_the_context_is_that_of_the_files(tiny_clip, backend):
    assert tiny_clip.inputs.context == 2048
    assert backend.inputs.context == backend.model.config.text_config.max_position_embeddings


@pytest.mark.parametrize("template", ["auto", "none"])
def test_a_question_that_writes_an_image_fails(backend, template):
    spec = ModelSpec.model_validate(
        {"model": "random", "checkpoint": "unused", "prompt": {"chat_template": template}}
    )
    model = HfBackend(backend.model, backend.processor, spec)
    with pytest.raises(DocumentError, match="2 places for 1 images"):
        model.choice_logprobs([asked("what does <image> mean?")], [["A", "B"]])
