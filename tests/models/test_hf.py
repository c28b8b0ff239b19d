"""The hf backend against a plain, single-sample call of transformers."""

from __future__ import annotations

import gc
import weakref
from copy import copy, deepcopy

import numpy as np
import pytest
import torch
from PIL import Image

from vlmbench.models import HfBackend, Prompt, _inputs, resolve_device
from vlmbench.models._projected import Projected
from vlmbench.spec import GenerationKwargs, Knockout, ModelSpec, Prompting
from vlmbench.types import VlmbenchError


def prompts(pictures: list[Image.Image]) -> list[Prompt]:
    return [
        Prompt(user="<image>Which is nearer, A or B?", images=(pictures[0],)),
        Prompt(user="<image> or <image>: red?", images=(pictures[1], pictures[2])),
        Prompt(user="A<image> B<image> C<image> blue", images=tuple(pictures[3:6])),
    ]


def straight_line(backend: HfBackend, prompt: Prompt, choice: str) -> float:
    """Likelihood by the shortest route: one sample, no cache, no padding."""
    text = backend.render(prompt)
    inputs = [
        backend.processor(text=t, images=list(prompt.images), return_tensors="pt")
        for t in (text, text + choice)
    ]
    start = inputs[0]["input_ids"].shape[1]
    with torch.no_grad():
        logprobs = backend.model(**inputs[1]).logits[0].log_softmax(-1)
    ids = inputs[1]["input_ids"][0]
    return sum(float(logprobs[p - 1, ids[p]]) for p in range(start, len(ids)))


CHOICES = [[" A", " B"], ["red", "blue", " A or B?"], [" C", " something else entirely"]]


def test_likelihoods_equal_a_plain_single_sample_forward(backend, pictures):
    got = backend.choice_logprobs(prompts(pictures), CHOICES)
    for prompt, choices, row in zip(prompts(pictures), CHOICES, got, strict=True):
        expected = [straight_line(backend, prompt, choice) for choice in choices]
        np.testing.assert_allclose(row, expected, atol=2e-5)


def test_a_batch_changes_no_likelihood(backend, pictures):
    together = backend.choice_logprobs(prompts(pictures), CHOICES)
    for index, prompt in enumerate(prompts(pictures)):
        (alone,) = backend.choice_logprobs([prompt], [CHOICES[index]])
        np.testing.assert_allclose(together[index], alone, atol=2e-5)


def test_the_image_changes_the_likelihood(backend, pictures):
    asked = [Prompt(user="<image>red?", images=(picture,)) for picture in pictures[:2]]
    first, second = backend.choice_logprobs(asked, [[" A"], [" A"]])
    assert abs(first[0] - second[0]) > 1e-3


def test_texts_that_conditions_repeat_are_tokenised_once(backend, pictures, monkeypatch):
    fresh = HfBackend(backend.model, backend.processor, backend.spec)
    encode, seen = backend.processor.tokenizer.encode, []

    def counted(text: str, **options: object) -> list[int]:
        seen.append(text)
        return encode(text, **options)

    monkeypatch.setattr(backend.processor.tokenizer, "encode", counted)
    asked = [Prompt(user="<image> red?", images=(picture,)) for picture in pictures[:2]]
    for prompt in asked:
        text = fresh.render(prompt)
        _, added = fresh.text.answers(text, [" A", " blue"])
    assert len(seen) == len(set(seen)) == 3  # the prompt, and with each choice
    assert [backend.processor.tokenizer.decode(ids).strip() for ids in added] == ["A", "blue"]


def test_generation_equals_transformers_generate(backend, pictures):
    kwargs = GenerationKwargs(until=(), max_gen_toks=6)
    got = backend.generate(prompts(pictures), kwargs)
    for prompt, reply in zip(prompts(pictures), got, strict=True):
        inputs = backend.processor(
            text=backend.render(prompt), images=list(prompt.images), return_tensors="pt"
        )
        output = backend.model.generate(**inputs, max_new_tokens=6, do_sample=False, pad_token_id=0)
        tail = output[0, inputs["input_ids"].shape[1] :]
        expected = backend.processor.tokenizer.decode(tail, skip_special_tokens=True)
        assert reply.text == expected


def test_generation_stops_at_a_stop_string(backend, pictures):
    first = prompts(pictures)[:1]
    (free,) = backend.generate(first, GenerationKwargs(until=(), max_gen_toks=8))
    stop = free.text[2:4]
    (cut,) = backend.generate(first, GenerationKwargs(until=("", stop), max_gen_toks=8))
    assert cut.text == free.text.split(stop)[0]
    assert (free.finish, cut.finish) == ("length", "stop")


def test_chat_template_puts_images_where_the_prompt_says(backend, pictures):
    text = backend.render(prompts(pictures)[1])
    assert text == "USER: <image> or <image>: red? ASSISTANT:"


def test_what_stands_before_an_answer_is_the_templates_or_the_tasks(backend):
    assert backend.continuation("A", "\n") == " A"  # its template writes "ASSISTANT: A"
    plain = ModelSpec(model="r", checkpoint="unused", prompt=Prompting(chat_template="none"))
    assert HfBackend(backend.model, backend.processor, plain).continuation("A", "\n") == "\nA"


def test_wrapper_replaces_the_chat_template(backend, pictures):
    prompting = Prompting(chat_template="none", wrapper="Q: {{ prompt }} A:", answer_delimiter=" ")
    spec = ModelSpec(model="random", checkpoint="unused", prompt=prompting)
    wrapped = HfBackend(backend.model, backend.processor, spec)
    assert wrapped.render(prompts(pictures)[0]) == "Q: <image>Which is nearer, A or B? A:"
    assert wrapped.continuation("A", "\n") == " A"


def test_missing_checkpoint_names_it(tmp_path):
    spec = ModelSpec(model="absent", checkpoint="./nothing-here")
    with pytest.raises(VlmbenchError, match="nothing-here"):
        HfBackend.load(spec, tmp_path, *resolve_device("cpu", "auto"))


def test_unknown_device_and_dtype_are_refused():
    with pytest.raises(VlmbenchError, match="abacus"):
        resolve_device("abacus", "auto")
    with pytest.raises(VlmbenchError, match="float7"):
        resolve_device("cpu", "float7")
    assert resolve_device("cpu", "auto")[1] is torch.float32


def test_digest_sees_every_weight(backend, llava_folder):
    spec = ModelSpec(model="random", checkpoint=str(llava_folder))
    again = HfBackend.load(spec, None, *resolve_device("cpu", "float32"))
    assert again.weights_digest == backend.weights_digest
    with torch.no_grad():
        again.model.lm_head.weight[0, 0] += 1e-3
    assert HfBackend(again.model, again.processor, spec).weights_digest != backend.weights_digest


def test_a_copy_of_its_texts_shares_no_tokenizer(backend, pictures):
    """Another thread works with the copy, and a tokenizer that two threads use fails at times."""
    backend.choice_logprobs(prompts(pictures), CHOICES)
    theirs = deepcopy(backend.text)
    theirs.processor.tokenizer.add_tokens(["zebra"])
    new = theirs.processor.tokenizer.convert_tokens_to_ids("zebra")
    assert theirs.answers("Which animal?", ["zebra"])[1] == [[new]]
    assert backend.text.answers("Which animal?", ["zebra"])[1] != [[new]]


def test_copies_of_its_texts_are_lent_to_one_thread_at_a_time_and_used_again(backend):
    with backend.inputs.own_text() as one, backend.inputs.own_text() as two:
        assert len({id(text.processor.tokenizer) for text in (one, two, backend.text)}) == 3
    with backend.inputs.own_text() as again:
        assert again in (one, two)


def test_images_are_told_apart_only_where_that_is_used(backend, pictures, monkeypatch):
    """Hashing pixels takes time: not for what a model writes, and not under an intervention."""
    monkeypatch.setattr(backend.inputs, "projected", Projected(backend.model, print))
    hashed: list[int] = []
    monkeypatch.setattr(_inputs, "image_keys", lambda _, n: hashed.append(n))
    backend.prepare(prompts(pictures), None)
    backend.prepare(prompts(pictures), CHOICES, listening=True)
    with backend.under(Knockout(to="last")):
        backend.prepare(prompts(pictures), CHOICES)
    assert not hashed
    backend.prepare(prompts(pictures), CHOICES)
    assert hashed


def test_whoever_drops_a_model_frees_its_memory(backend, pictures):
    model = copy(backend.model)
    used = HfBackend(model, backend.processor, backend.spec)
    used.image_tokens([(64, 64)])
    used.generate(prompts(pictures), GenerationKwargs(until=("x",), max_gen_toks=1))
    held = weakref.ref(used)
    del used, model
    gc.collect()
    assert held() is None
