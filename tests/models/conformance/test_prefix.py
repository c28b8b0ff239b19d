"""Learned embeddings before a prompt, in every family and as peft itself puts them there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_checkpoints import FAMILIES, Tiny, backend_of
from transformers.utils import is_torchvision_available

from vlmbench.models import (
    HfBackend,
    Prompt,
    gold_losses,
    load_prefix,
    new_prefix,
    prefixed,
    save_prefix,
)
from vlmbench.spec import GenerationKwargs

pytestmark = [
    # Noise of transformers' image processors under numpy 2.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # peft asks transformers for a flag by its old name.
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
]

HERE = [tiny for tiny in FAMILIES if is_torchvision_available() or not tiny.torchvision]
WORDS = "Which is nearer"


@pytest.fixture(params=HERE, ids=lambda tiny: tiny.name)
def tiny(request) -> Tiny:
    return request.param


@pytest.fixture
def backend(tiny) -> HfBackend:
    return backend_of(tiny.name)


def prompts(shots: list[Image.Image]) -> list[Prompt]:
    texts = ["<image>Which is nearer, A or B? A, B or C?", "<image>red?"]
    return [Prompt(user=text, images=(shots[3],)) for text in texts]


CHOICES = [[" A", " B"], [" red", " blue A or B?"]]


def words_before(backend: HfBackend) -> tuple[list[int], torch.Tensor]:
    """Return some words' tokens, and what the embedding layer gives for them."""
    ids = backend.processor.tokenizer.encode(WORDS, add_special_tokens=False)
    with torch.no_grad():
        vectors = backend.model.get_input_embeddings()(torch.tensor(ids))
    return ids, vectors


def test_a_prefix_of_words_is_as_if_the_words_stood_there(backend, shots):
    """Image positions, masks and places included: the same logits as by so many tokens."""
    ids, vectors = words_before(backend)
    (prompt, _) = prompts(shots)
    plain = backend.inputs.encode([backend.render(prompt)], [prompt], side="right")
    with prefixed(backend.inputs, vectors), torch.no_grad():
        batch = backend.inputs.encode([backend.render(prompt)], [prompt], side="right")
        found = backend.model(**batch).logits
    assert batch["input_ids"].shape[1] == plain["input_ids"].shape[1] + len(ids)
    batch["input_ids"][:, : len(ids)] = torch.tensor(ids)
    with torch.no_grad():
        expected = backend.model(**batch).logits
        untouched = backend.model(**plain).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert (found[:, len(ids) :] - untouched).abs().max() > 1e-3
    again = backend.inputs.encode([backend.render(prompt)], [prompt], side="right")
    assert again["input_ids"].tolist() == plain["input_ids"].tolist()


def test_every_way_of_reading_sees_the_same_prefix(backend, shots):
    """Batches of unlike lengths, a cache that is continued, whole runs, and the loss."""
    vectors = new_prefix(backend.model, 3, seed=1)
    before = backend.choice_logprobs(prompts(shots), CHOICES)
    with prefixed(backend.inputs, vectors):
        together = backend.choice_logprobs(prompts(shots), CHOICES)
        for prompt, row, scores in zip(prompts(shots), CHOICES, together, strict=True):
            (alone,) = backend.choice_logprobs([prompt], [row])
            np.testing.assert_allclose(alone, scores, atol=1e-5, rtol=0)
        losses = gold_losses(backend, prompts(shots), CHOICES, [1, 1]).tolist()
        np.testing.assert_allclose(losses, [-together[0][1], -together[1][1]], atol=1e-5)
    assert min(np.abs(a - b).max() for a, b in zip(together, before, strict=True)) > 1e-4
    np.testing.assert_array_equal(backend.choice_logprobs(prompts(shots), CHOICES)[0], before[0])


def test_written_answers_follow_the_prefix_too(backend, shots):
    """What is written is what the likelihoods call greedy, one token after another."""
    vectors = new_prefix(backend.model, 3, seed=1)
    (prompt, _) = prompts(shots)
    with prefixed(backend.inputs, vectors), torch.no_grad():
        (reply,) = backend.generate([prompt], GenerationKwargs(until=(), max_gen_toks=1))
        batch = backend.inputs.encode([backend.render(prompt)], [prompt], side="right")
        likeliest = int(backend.model(**batch).logits[0, -1].argmax())
    assert reply.text == backend.processor.tokenizer.decode([likeliest], skip_special_tokens=True)


@pytest.mark.parametrize("name", ["llava", "llava_onevision", "internvl"])
def test_peft_itself_gives_the_same_logits(name, shots, tmp_path):
    """Its prompt tuning puts the embeddings there in another way, and reads the same files."""
    from peft import PeftModelForCausalLM
    from transformers import AutoModelForImageTextToText

    backend = backend_of(name)
    vectors = new_prefix(backend.model, 4, seed=2)
    save_prefix(backend.model, vectors, tmp_path)
    torch.testing.assert_close(load_prefix(tmp_path, torch.device("cpu")), vectors.detach())
    (prompt, _) = prompts(shots)
    plain = backend.inputs.encode([backend.render(prompt)], [prompt], side="right")
    with prefixed(backend.inputs, vectors), torch.no_grad():
        batch = backend.inputs.encode([backend.render(prompt)], [prompt], side="right")
        found = backend.model(**batch).logits
    fresh = AutoModelForImageTextToText.from_pretrained(backend.model.name_or_path).eval()
    with torch.no_grad():
        expected = PeftModelForCausalLM.from_pretrained(fresh, tmp_path)(**plain).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_first_values_are_rows_of_the_vocabulary_and_hang_on_the_seed():
    model = backend_of("llava").model
    rows = model.get_input_embeddings().weight.detach()
    first, again, other = (new_prefix(model, 5, seed=seed).detach() for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert (
        torch.cdist(first, rows, compute_mode="donot_use_mm_for_euclid_dist").min(1).values.max()
        == 0
    )
