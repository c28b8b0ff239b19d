"""Attention cut and states patched, family by family, against what must hold by construction."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_checkpoints import FAMILIES, Tiny, backend_of
from transformers.utils import is_torchvision_available

from vlmbench.models import HfBackend, Prompt
from vlmbench.models._blocks import blocks_of
from vlmbench.models._interventions import Knockout as Cut
from vlmbench.spec import (
    ForwardChange,
    GenerationKwargs,
    Knockout,
    PatchImage,
    PatchLast,
)
from vlmbench.types import DocumentError, VlmbenchError

# Noise of transformers' image processors under numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# Families whose images enter as tokens of the text, into layers that all attend.
OPEN = [
    tiny
    for tiny in FAMILIES
    if tiny.name not in ("mllama", "lfm2_vl")
    and (is_torchvision_available() or not tiny.torchvision)
]
# Images enter some language models again further up, past any patch.
ENTERS_AGAIN = ("qwen3_vl", "granite4_vision")
# Their caches cannot be continued: prompt and answer are run together.
RUN_WHOLE = ("gemma3", "aya_vision", "cohere2_vision", "llama4", "granite4_vision")
# Two choices of several tokens, so that one path continues from the cache or runs all again.
CHOICES = [["A", "B"], [" red", " blue A or B?", " C"]]


def over(families: Sequence[Tiny], *but: str) -> pytest.MarkDecorator:
    kept = [tiny.name for tiny in families if tiny.name not in but]
    return pytest.mark.parametrize("name", kept)


def picture(seed: int, size: tuple[int, int] = (32, 32)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def asked(first: int = 0) -> list[Prompt]:
    """Prompts of different lengths about pictures of one size; the shorter one is padded."""
    return [
        Prompt(
            user="<image>Which is nearer?\n(A) red\n(B) blue\nAnswer:", images=(picture(first),),
            others=(picture(first + 10),),
        ),
        Prompt(
            user="<image> or <image>: red?", images=(picture(first + 1), picture(first + 2)),
            others=(picture(first + 11), picture(first + 12)),
        ),
    ]  # fmt: skip


def scores(
    backend: HfBackend, change: ForwardChange | None, prompts: Sequence[Prompt], *, seed: int = 0
) -> list[np.ndarray]:
    """Return likelihoods of all choices; prompts with two images run apart where they must."""
    if change is None:
        return backend.choice_logprobs(prompts, CHOICES)
    with backend.under(change, seed=seed):
        return backend.choice_logprobs(prompts, CHOICES)


def shown(prompts: Sequence[Prompt]) -> list[Prompt]:
    """Prompts that show the other images."""
    return [replace(prompt, images=prompt.others) for prompt in prompts]


def largest(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True))


ALL = Knockout(to="all")


@over(OPEN)
def test_a_model_whose_attention_to_images_is_all_cut_cannot_see(name):
    backend = backend_of(name)
    cut = scores(backend, ALL, asked())
    assert largest(cut, scores(backend, ALL, asked(first=20))) == 0
    assert largest(scores(backend, None, asked()), scores(backend, None, asked(first=20))) > 1e-4


@over(OPEN)
def test_states_of_the_own_images_change_nothing(name):
    """To the bit, except where answers are run with the prompt: sums of another length round."""
    backend = backend_of(name)
    own = [replace(prompt, others=prompt.images) for prompt in asked()]
    plain = scores(backend, None, own)
    for change in (PatchImage(source="self", depth=0.5), PatchLast(source="self", depth=0.5)):
        patched = scores(backend, change, own)
        assert (patched[0] == plain[0]).all()
        assert largest(patched, plain) <= (1e-5 if name in RUN_WHOLE else 0)


@over(OPEN, *ENTERS_AGAIN)
def test_all_states_of_another_image_at_the_bottom_are_that_image_shown(name):
    backend = backend_of(name)
    patched = scores(backend, PatchImage(source="other", depth=0), asked())
    assert largest(patched, scores(backend, None, shown(asked()))) < 1e-5
    assert largest(patched, scores(backend, None, asked())) > 1e-4


# -- where attention is cut -------------------------------------------------------------------

CHANGES: list[ForwardChange] = [
    Knockout(to="last", window=2, of=2), Knockout(to="question", window=1, of=2),
    Knockout(to="all", window=2, of=2), Knockout(to="last"), PatchImage(source="other", depth=0.5),
    PatchImage(source="random", depth=0), PatchLast(source="other", depth=0.5),
]  # fmt: skip


def labelled(changes: Sequence[ForwardChange]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("change", changes, ids=lambda change: change.label)


@labelled(CHANGES)
@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl", "internvl"])
def test_every_way_of_scoring_gives_the_same(name, change, monkeypatch):
    backend = backend_of(name)
    cached = scores(backend, change, asked())
    alone = [scores(backend, change, [prompt])[0] for prompt in asked()[:1]]
    monkeypatch.setattr("vlmbench.models.hf.can_continue", lambda *_: False)
    assert largest(cached, scores(backend, change, asked())) < 1e-5
    assert largest(cached[:1], alone) < 1e-5
    assert largest(cached, scores(backend, None, asked())) > 1e-6


@labelled(CHANGES)
@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl", "gemma3", "paligemma"])
def test_the_kernel_and_the_formula_give_the_same(name, change):
    backend = backend_of(name)
    fused = scores(backend, change, asked())
    backend.model.set_attn_implementation("eager")
    try:
        assert largest(fused, scores(backend, change, asked())) < 1e-5
    finally:
        backend.model.set_attn_implementation("sdpa")


@labelled(CHANGES)
@pytest.mark.parametrize("name", ["llava", "gemma3"])
def test_what_is_written_is_what_the_likelihoods_say(name, change):
    """Greedy decoding of a padded batch, against the likeliest of all first tokens."""
    backend, prompts = backend_of(name), asked()
    tokenizer = backend.processor.tokenizer
    firsts = [token for token in tokenizer.get_vocab() if token.isascii() and token.isalpha()]
    with backend.under(change):
        written = backend.generate(prompts, GenerationKwargs(until=["zz"], max_gen_toks=1))
        rows = backend.choice_logprobs(prompts, [firsts] * 2)
    for reply, row in zip(written, rows, strict=True):
        said = reply.text.strip()
        if said in firsts:
            assert row[firsts.index(said)] >= row.max() - 1e-5


def by_mask(backend: HfBackend, prompt: Prompt, to: str) -> torch.Tensor:
    """Return log-probabilities after a prompt by a mask that transformers itself is handed."""
    batch = backend.inputs.encode([backend.render(prompt)], [prompt], side="right")
    image = backend.inputs.image_positions(batch)[0]
    tokens, last_image = len(image), int(image.nonzero().max())
    allowed = torch.ones(tokens, tokens).tril().bool()
    cut = {
        "last": range(tokens - 1, tokens), "question": range(last_image + 1, tokens - 1),
        "all": (~image).nonzero()[:, 0].tolist(),
    }[to]  # fmt: skip
    for query in cut:
        allowed[query, image] = False
    given = []
    hook = backend.model.get_decoder().register_forward_pre_hook(
        lambda _, args, kwargs: given.append(kwargs["inputs_embeds"]), with_kwargs=True
    )
    with torch.inference_mode():
        backend.model(**batch)
        hook.remove()
        hidden = backend.model.get_decoder()(
            inputs_embeds=given[0], attention_mask=allowed[None, None]
        ).last_hidden_state
        return backend.model.lm_head(hidden[0, -1]).log_softmax(dim=-1)


@pytest.mark.parametrize("to", ["last", "question", "all"])
@pytest.mark.parametrize("name", ["llava", "idefics3", "internvl"])
def test_cuts_are_those_of_a_mask_given_to_transformers(name, to):
    backend = backend_of(name)
    letters = ["A", "B", "?"]
    ids = [backend.processor.tokenizer.encode(x, add_special_tokens=False)[-1] for x in letters]
    for prompt in asked():
        with backend.under(Knockout(to=to)):
            (row,) = backend.choice_logprobs([prompt], [letters])
        np.testing.assert_allclose(row, by_mask(backend, prompt, to)[ids].numpy(), atol=1e-5)


def test_cutting_a_window_that_does_nothing_changes_nothing():
    """The second layer's attention is made to put out zeros; the first one's is not."""
    backend = backend_of("llava")
    layer = backend.model.get_decoder().layers[1].self_attn.o_proj.weight
    kept = layer.data.clone()
    layer.data.zero_()
    try:
        plain = scores(backend, None, asked())
        assert largest(scores(backend, Knockout(to="all", window=2, of=2), asked()), plain) == 0
        assert largest(scores(backend, Knockout(to="all", window=1, of=2), asked()), plain) > 1e-4
    finally:
        layer.data.copy_(kept)


def test_the_last_position_pays_nothing_to_the_image_in_the_window_alone():
    backend, prompts = backend_of("llava"), asked()
    with backend.under(Knockout(to="last", window=2, of=2)):
        found = backend.inspect(prompts, CHOICES, [[], []])
    for one in found:
        assert one.mass[0, 0] > 0
        assert one.mass[1, 0] == 0


# -- where states are replaced ----------------------------------------------------------------

SINGLE = [["A", "B"], ["A", "B", "?"]]


def first_tokens(backend: HfBackend, change: ForwardChange | None, prompts: list[Prompt]):
    if change is None:
        return backend.choice_logprobs(prompts, SINGLE)
    with backend.under(change, seed=0):
        return backend.choice_logprobs(prompts, SINGLE)


@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl", "internvl", "gemma3", "paligemma"])
def test_the_last_position_carries_nothing_at_the_bottom_and_the_answer_at_the_top(name):
    backend, prompts = backend_of(name), asked()
    own, other = first_tokens(backend, None, prompts), first_tokens(backend, None, shown(prompts))
    assert largest(own, other) > 1e-4
    for change, expected in (
        (PatchLast(source="other", depth=0), own),
        (PatchLast(source="other", depth=1), other),
        (PatchImage(source="other", depth=1), own),
    ):
        assert largest(first_tokens(backend, change, prompts), expected) < 1e-5


def states(backend: HfBackend, change: ForwardChange | None, prompts: list[Prompt], number: int):
    """Return, per prompt, (image tokens, width) states of that number."""
    kept: list[torch.Tensor] = []
    with backend.under(change, seed=3) if change is not None else nullcontext():
        # As the next block is given it: a hook on the patched one might come too early.
        handle = blocks_of(backend.model.get_decoder())[number].register_forward_pre_hook(
            lambda _, args, given: kept.append(args[0] if args else given["hidden_states"]),
            with_kwargs=True,
        )
        backend.choice_logprobs(prompts, SINGLE)
        handle.remove()
    texts = [backend.render(prompt) for prompt in prompts]
    image = backend.inputs.image_positions(backend.inputs.encode(texts, prompts, side="right"))
    return [state[where] for state, where in zip(kept[-1], image, strict=True)]


@pytest.mark.parametrize("depth", [0.0, 0.5])
def test_random_directions_are_as_far_as_the_other_image_and_lead_elsewhere(depth):
    backend, prompts = backend_of("llava"), asked()
    number = PatchImage(depth=depth).state(2)
    own, other, moved, again, alone = (
        states(backend, change, held, number)
        for change, held in (
            (None, prompts), (PatchImage(source="other", depth=depth), prompts),
            (PatchImage(source="random", depth=depth), prompts),
            (PatchImage(source="random", depth=depth), prompts),
            (PatchImage(source="random", depth=depth), prompts[1:]),
        )
    )  # fmt: skip
    for index in range(2):
        there, random = other[index] - own[index], moved[index] - own[index]
        torch.testing.assert_close(random.norm(dim=1), there.norm(dim=1), atol=1e-4, rtol=1e-4)
        cosine = torch.nn.functional.cosine_similarity(random, there)
        assert cosine.abs().mean() < 0.3
        assert torch.equal(moved[index], again[index])
    torch.testing.assert_close(moved[1], alone[0], atol=1e-5, rtol=1e-5)


def test_the_inside_is_read_as_it_was_patched():
    backend, prompts = backend_of("llava"), asked()
    theirs = backend.inspect(shown(prompts), CHOICES, [[], []])
    with backend.under(PatchImage(source="other", depth=0.5), seed=0):
        patched = backend.inspect(prompts, CHOICES, [[], []])
        expected = backend.choice_logprobs(prompts, CHOICES)
    plain = backend.inspect(prompts, CHOICES, [[], []])
    for one, other, own, row in zip(patched, theirs, plain, expected, strict=True):
        np.testing.assert_allclose(one.h_image[1], other.h_image[1], atol=1e-5)
        np.testing.assert_allclose(one.h_image[0], own.h_image[0], atol=1e-5)
        np.testing.assert_array_equal(one.scores, row)


# -- what cannot be done ----------------------------------------------------------------------


def test_a_prompt_without_what_it_takes_fails_by_itself():
    backend = backend_of("llava")
    patch = PatchImage(source="other", depth=0.5)
    bare = Prompt(user="red or blue?", images=())
    larger = replace(asked()[0], others=(picture(1), picture(2)))
    for prompt, change, why in (
        (bare, ALL, "no image to change"),
        (bare, patch, "no image to change"),
        (replace(asked()[0], others=()), patch, "no other document"),
        (larger, patch, "."),
    ):
        with pytest.raises((DocumentError, ValueError), match=why):
            scores(backend, change, [prompt, prompt])
    assert largest(scores(backend, None, asked()), scores(backend, None, asked())) == 0


def test_images_of_another_shape_do_not_take_the_same_places():
    backend = backend_of("qwen2_5_vl")
    wide, tall = picture(1, (64, 32)), picture(2, (32, 64))
    prompt = Prompt(user="<image>A or B?", images=(wide,), others=(tall,))
    with (
        pytest.raises(DocumentError, match="do not take the same places"),
        backend.under(PatchImage(source="other", depth=0)),
    ):
        backend.choice_logprobs([prompt], [["A", "B"]])


def test_an_empty_window_is_refused():
    backend = backend_of("llava")
    with (
        pytest.raises(VlmbenchError, match="a window of 2 layers is empty"),
        backend.under(Knockout(to="all", window=1, of=9)),
    ):
        pass
    assert not backend.model._forward_pre_hooks


def test_layers_that_do_not_attend_are_refused():
    decoder = torch.nn.Module()
    decoder.layers = torch.nn.ModuleList([torch.nn.Sequential(torch.nn.Conv1d(1, 1, 1))])
    decoder.get_decoder = lambda: decoder
    knockout = Cut(SimpleNamespace(model=decoder), "all", range(1))
    with pytest.raises(VlmbenchError, match="layer 1 has no attention to cut"), knockout.applied():
        pass
    assert not decoder._forward_pre_hooks
