"""Inside of a language model, against what transformers itself returns, family by family."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_checkpoints import backend_of
from transformers.integrations.sdpa_attention import sdpa_attention_forward as kernel

from vlmbench.models import HfBackend, Inside, Inspects, Prompt, _sinks
from vlmbench.models._inspect import _distributed, _mass
from vlmbench.models._last_row import LastRow
from vlmbench.models._token_groups import token_groups
from vlmbench.types import PARTS, WHOLE, WINDOWS, Region, VlmbenchError

# Noise of transformers' image processors under numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# One token a patch, packed patches with M-RoPE, deepstack, shuffled and tiled, sliding windows
# and pooling, prefix-LM.
NAMES = ("llava", "qwen2_5_vl", "qwen3_vl", "idefics3", "internvl", "gemma3", "paligemma")
CHOICES = [["A", "B"], ["red", "blue or A"], ["A", "B", "red blue"]]


@pytest.fixture(params=NAMES)
def backend(request) -> HfBackend:
    return backend_of(request.param)


def picture(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def asked() -> list[Prompt]:
    """Prompts of different lengths, the shorter ones padded."""
    return [
        Prompt(user="<image>Which is nearer?\n(A) red\n(B) blue\nAnswer:", images=(picture(0),)),
        Prompt(user="<image> or <image>: red or blue?", images=(picture(1), picture(2))),
        Prompt(user="<image>A or B?", images=(picture(3),)),
    ]


WHERE = [[Region(image=0, kind="box", xy=(16, 0, 32, 16))], [], []]


def inside(backend: HfBackend, *which: int) -> list[Inside]:
    chosen = which or (0, 1, 2)
    return backend.inspect(*([part[i] for i in chosen] for part in (asked(), CHOICES, WHERE)))


def arrays(one: Inside) -> dict[str, np.ndarray]:
    parts = (one, one.attention)
    held = {field.name: getattr(part, field.name) for part in parts for field in fields(part)}
    return {name: value for name, value in held.items() if isinstance(value, np.ndarray)}


@contextmanager
def eager(model: torch.nn.Module) -> Iterator[None]:
    """Let a model compute attention by the formula, all of whose weights transformers returns."""
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation("sdpa")


def plain(backend: HfBackend, prompt: Prompt) -> tuple[dict, object]:
    """One unpadded prompt through transformers' own recorders."""
    batch = backend.inputs.encode([backend.render(prompt)], [prompt], side="right")
    with eager(backend.model), torch.no_grad():
        output = backend.model(**batch, output_hidden_states=True, output_attentions=True)
    return batch, output


def test_scores_are_those_of_the_prompted_readout_to_the_bit(backend):
    expected = backend.choice_logprobs(asked(), CHOICES)
    for one, row in zip(inside(backend), expected, strict=True):
        np.testing.assert_array_equal(one.scores, row)


def test_a_model_without_the_fused_kernel_gives_the_same(backend):
    fused = inside(backend)
    with eager(backend.model):
        written_out = inside(backend)
    for one, other in zip(fused, written_out, strict=True):
        for name, expected in arrays(other).items():
            np.testing.assert_allclose(arrays(one)[name], expected, atol=1e-5, err_msg=name)


def test_hidden_states_are_those_of_transformers(backend):
    for index, prompt in enumerate(asked()):
        (one,) = inside(backend, index)
        batch, output = plain(backend, prompt)
        image = backend.inputs.image_positions(batch)[0]
        start = int(image.nonzero().max()) + 1
        states = torch.stack(output.hidden_states)[:, 0]
        wanted = {
            "h_image": states[:, image].mean(1),
            "h_text": states[:, start:].mean(1),
            "h_last": states[:, -1],
        }
        for name, expected in wanted.items():
            got = getattr(one, name)
            assert got.shape == expected.shape
            # transformers' last state is the one after the final norm.
            np.testing.assert_allclose(got[:-1], expected[:-1].numpy(), atol=1e-5, err_msg=name)
        norm = backend.model.get_decoder().norm
        with torch.no_grad():
            last = norm(torch.from_numpy(one.h_last[-1]))
        np.testing.assert_allclose(last.numpy(), states[-1, -1].numpy(), atol=1e-5)


def test_attention_is_that_of_transformers(backend):
    for index, prompt in enumerate(asked()):
        (one,) = inside(backend, index)
        batch, output = plain(backend, prompt)
        image = backend.inputs.image_positions(batch)[0]
        rows = torch.stack(output.attentions)[:, 0, :, -1].mean(1)  # (layers, tokens)
        np.testing.assert_allclose(one.mass[:, 0], rows[:, image].sum(1).numpy(), atol=1e-6)
        np.testing.assert_allclose(one.mass[:, [0, 2, 3]].sum(1), 1, atol=1e-12)
        assert one.tokens[[0, 2, 3]].sum() == rows.shape[1]
        assert one.tokens[2] > 0
        assert one.mass.shape == (len(output.attentions), 4)


def test_a_batch_and_its_padding_change_nothing(backend):
    for index, one in enumerate(inside(backend)):
        (alone,) = inside(backend, index)
        for name, expected in arrays(alone).items():
            np.testing.assert_allclose(arrays(one)[name], expected, atol=1e-5, err_msg=name)


def test_nothing_larger_than_the_summaries_is_returned(backend):
    (one,) = inside(backend, 0)
    states = one.h_last.shape
    shapes = {name: array.shape for name, array in arrays(one).items()}
    assert shapes == {
        "scores": (2,), "h_image": states, "h_text": states, "h_last": states,
        "mass": (states[0] - 1, 4), "tokens": (4,),
        "heads": (states[0] - 1, one.attention.heads.shape[1], len(PARTS)),
        "sinks": (states[0] - 1, 2), "maps": (WINDOWS, int(one.tokens[0])), "grid": (3,),
    }  # fmt: skip
    assert all(array.base is None or array.base.size < 10**5 for array in arrays(one).values())


def test_without_an_image_all_positions_are_text():
    backend = backend_of("llava")
    prompt = Prompt(user="red or blue?", images=())
    (one,) = backend.inspect([prompt], [["red", "blue"]], [[]])
    _, output = plain(backend, prompt)
    assert np.isnan(one.h_image).all()
    assert (one.mass[:, 0] == 0).all()
    assert np.isnan(one.mass[:, 1]).all()
    expected = torch.stack(output.hidden_states)[0, 0].mean(0)
    np.testing.assert_allclose(one.h_text[0], expected.numpy(), atol=1e-5)


def test_attention_by_head_is_that_of_transformers(backend):
    for index, prompt in enumerate(asked()):
        (one,) = inside(backend, index)
        batch, output = plain(backend, prompt)
        image = backend.inputs.image_positions(batch)[0]
        rows = torch.stack(output.attentions)[:, 0, :, -1]  # (layers, heads, tokens)
        heads = dict(zip(PARTS, np.moveaxis(one.attention.heads, 2, 0), strict=True))
        expected = rows[:, :, image].sum(2).numpy()
        np.testing.assert_allclose(heads["image"] + heads["image_sinks"], expected, atol=1e-6)
        np.testing.assert_allclose(one.attention.heads[..., WHOLE].sum(2), 1, atol=1e-6)
        expected = np.nanmean(heads["image"], axis=1)
        mapped = np.nansum(one.attention.maps, axis=1)[~np.isnan(one.attention.maps[:, 0])]
        np.testing.assert_allclose(mapped.mean(), expected.mean(), atol=1e-6)
        if not one.attention.sinks[:, 0].any():
            order = rows.mean(1).mean(0)[image].numpy()
            kept = one.attention.maps[~np.isnan(one.attention.maps[:, 0])]
            np.testing.assert_allclose(kept.mean(0), order, atol=1e-6)


def test_sinks_are_read_off_the_states_that_each_layer_is_given(backend, monkeypatch):
    """At a threshold that the states of a tiny model reach."""
    monkeypatch.setattr(_sinks, "MASSIVE", 1.5)
    prompt = asked()[0]
    (one,) = inside(backend, 0)
    batch, output = plain(backend, prompt)
    image = backend.inputs.image_positions(batch)[0].numpy()
    for layer, state in enumerate(output.hidden_states[:-1]):
        ratio = (state[0].abs() / state[0].square().mean(1, keepdim=True).sqrt()).numpy()
        sinks = (ratio[:, ratio[0] >= 1.5] >= 1.5).any(1)
        expected = [int((sinks & image).sum()), int((sinks & ~image).sum())]
        assert one.attention.sinks[layer].tolist() == expected
    assert one.attention.sinks.sum() > 0


@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl", "internvl", "gemma3", "paligemma"])
def test_reference_and_choices_have_tokens_of_their_own(name):
    """Two boxes, asked for together and each by itself."""
    backend, choices = backend_of(name), [["A"]]
    left, right = (Region(image=0, kind="box", xy=(x, 0.0, x + 16.0, 16.0)) for x in (0.0, 16.0))
    prompt = [Prompt(user="<image>A or B?", images=(picture(4),))]
    both, reference, candidate = (
        backend.inspect(prompt, choices, [held])[0]
        for held in ([left, right], [left], [None, right])
    )
    place = {part: index for index, part in enumerate(PARTS)}
    paid = both.attention.heads
    for part, one in (("reference", reference), ("candidates", candidate)):
        alone = one.attention.heads[..., place[part]]
        np.testing.assert_allclose(paid[..., place[part]], alone, atol=1e-7)
        sinks = one.attention.heads[..., place["image_sinks"]]
        if not sinks.any():
            np.testing.assert_allclose(alone.mean(1), one.mass[:, 1], atol=1e-6)
    assert np.isnan(reference.attention.heads[..., place["candidates"]]).all()
    assert np.isnan(candidate.attention.heads[..., place["reference"]]).all()
    rows = round(int(both.tokens[0]) ** 0.5)
    assert both.attention.grid.tolist() == [1, rows, rows]


@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl", "internvl", "gemma3", "paligemma"])
def test_regions_are_the_tokens_that_change_with_them(name):
    """Repaint one quarter of the image: the token that changes most must be one of the region's."""
    backend = backend_of(name)
    before, after = picture(4), picture(4)
    after.paste((255, 255, 255), (16, 0, 32, 16))
    prompts = [Prompt(user="<image>A or B?", images=(image,)) for image in (before, after)]
    (one,) = backend.inspect(prompts[:1], [["A", "B"]], WHERE[:1])
    grid = round(int(one.tokens[0]) ** 0.5)
    assert one.tokens[1] == (grid // 2) ** 2
    embedded = []
    for prompt in prompts:
        batch, output = plain(backend, prompt)
        embedded.append(output.hidden_states[0][0, backend.inputs.image_positions(batch)[0]])
    changed = int((embedded[0] - embedded[1]).norm(dim=-1).argmax())
    row, column = divmod(changed, grid)
    assert row < grid // 2 <= column


def test_tiled_images_have_no_known_regions():
    (one,) = inside(backend_of("idefics3"), 0)
    assert one.tokens[1] == 0
    assert np.isnan(one.mass[:, 1]).all()


def test_uniform_attention_gives_every_group_its_share_of_tokens():
    backend = backend_of("llava")
    kept = {name: value.clone() for name, value in backend.model.state_dict().items()}
    for name, parameter in backend.model.get_decoder().named_parameters():
        if "q_proj" in name or "k_proj" in name:
            parameter.data.zero_()
    try:
        for one in inside(backend):
            share = one.tokens / one.tokens[[0, 2, 3]].sum()
            known = ~np.isnan(one.mass[0])
            assert known[[0, 2, 3]].all()
            np.testing.assert_allclose(
                one.mass[:, known], [share[known]] * len(one.mass), atol=1e-7
            )
    finally:
        backend.model.load_state_dict(kept)


def implementations(model: torch.nn.Module) -> list[str]:
    return [part.config._attn_implementation for part in model.modules() if hasattr(part, "config")]


def test_the_attention_is_put_back_after_an_error_too(backend):
    before = implementations(backend.model)
    assert "sdpa" in before
    inside(backend, 0)
    assert implementations(backend.model) == before
    assert not backend.model._forward_hooks
    with pytest.raises(VlmbenchError, match="no tokens"):
        backend.inspect(asked()[:1], [[""]], WHERE[:1])
    assert implementations(backend.model) == before
    assert not backend.model._forward_hooks


def test_models_that_give_no_weights_are_refused(monkeypatch):
    backend = backend_of("llava")
    assert isinstance(backend, Inspects)
    monkeypatch.setattr(LastRow, "__call__", lambda _, *given, **named: kernel(*given, **named))
    with pytest.raises(VlmbenchError, match="0 of 2 layers gave attention weights"):
        inside(backend, 0)


def test_cross_attention_is_refused_with_its_reason():
    with pytest.raises(VlmbenchError, match="cross-attention"):
        inside(backend_of("mllama"), 0)


def test_weights_that_are_no_distribution_are_refused():
    groups = token_groups(np.array([True, False]), None, np.zeros(2, dtype=bool))
    weights = np.array([[0.25, 0.75]], dtype=np.float32)
    np.testing.assert_allclose(_mass(_distributed(weights), groups), [0.25, np.nan, 0, 0.75])
    with pytest.raises(VlmbenchError, match="no distribution"):
        _distributed(weights / 2)
