"""The tower gives exactly what the VLM's projector consumes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    CLIPImageProcessor,
    CLIPVisionModel,
    LlavaImageProcessor,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from vlmbench.models import Tower
from vlmbench.spec import ImagePolicy, Twin
from vlmbench.types import VlmbenchError

TWIN = Twin(layer=-2, relation="identical")


def test_patch_tokens_are_what_the_projector_is_given(backend, pictures):
    given = []
    hook = backend.model.model.multi_modal_projector.register_forward_pre_hook(
        lambda module, inputs: given.append(inputs[0].detach())
    )
    prompt = "USER: <image> ASSISTANT:"
    inputs = backend.processor(text=prompt, images=[pictures[0]], return_tensors="pt")
    with torch.no_grad():
        backend.model(**inputs)
    hook.remove()
    tower = Tower.inside(backend, TWIN)
    states = tower.states([pictures[0]], [tower.n_layers - 1])
    assert states.patch_tokens.shape == (1, 1, 4, 4, 32)
    torch.testing.assert_close(states.patch_tokens[0, 0].flatten(0, 1), given[0][0])


def test_grid_is_row_major(backend, pictures):
    """Changing the pixels of one patch changes the embedding of that patch alone."""
    tower = Tower.inside(backend, TWIN)
    changed = np.asarray(pictures[0]).copy()
    changed[8:16, 24:32] = 0  # row 1, column 3
    states = tower.states([pictures[0], Image.fromarray(changed)], [0])
    difference = (states.patch_tokens[0, 0] - states.patch_tokens[1, 0]).abs().sum(-1)
    assert (difference > 1e-4).nonzero().tolist() == [[1, 3]]


def test_a_standalone_copy_gives_the_same_states(backend, pictures, tmp_path):
    tower = Tower.inside(backend, TWIN)
    tower.module.save_pretrained(tmp_path)
    CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(tmp_path)
    twin = Twin(checkpoint=str(tmp_path), layer=-2, relation="identical")
    alone = Tower.load(twin, None, torch.device("cpu"))
    assert isinstance(alone.module, CLIPVisionModel)
    torch.testing.assert_close(
        alone.states(pictures[:2], [2]).patch_tokens, tower.states(pictures[:2], [2]).patch_tokens
    )
    assert alone.weights_digest == tower.weights_digest


def test_pooling_is_cls_or_none(backend, pictures):
    pooled = Twin(layer=-2, relation="identical", pooled="mean")
    assert Tower.inside(backend, pooled).states(pictures[:1], [2]).cls_token is None
    assert Tower.inside(backend, TWIN).states(pictures[:1], [2]).cls_token.shape == (1, 32)


def test_a_square_that_patches_do_not_fill_is_refused(backend):
    with pytest.raises(VlmbenchError, match="multiple of 8"):
        Tower.inside(backend, Twin(layer=-2, relation="identical", letterbox=30))


def test_random_weights_differ_and_repeat(backend, pictures):
    tower = Tower.inside(backend, TWIN)
    first, second, other = (tower.randomised(seed) for seed in (10, 10, 11))
    assert first.weights_digest == second.weights_digest
    assert len({tower.weights_digest, first.weights_digest, other.weights_digest}) == 3
    before = torch.random.get_rng_state()
    tower.randomised(3)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first.states(pictures[:1], [2]).patch_tokens.shape == (1, 1, 4, 4, 32)


def siglip(**more: int) -> SiglipVisionModel:
    config = SiglipVisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2,
        image_size=more.get("image_size", 32), patch_size=8,
    )  # fmt: skip
    torch.manual_seed(2)
    return SiglipVisionModel(config).eval()


PIXELS = CLIPImageProcessor(image_mean=[0.5] * 3, image_std=[0.5] * 3)


def test_final_norm_is_siglips_last_hidden_state(pictures):
    module = siglip()
    torch.nn.init.normal_(module.post_layernorm.weight)
    twin = Twin(layer="final_norm", pooled="mean", relation="identical")
    tower = Tower(module, PIXELS, twin)
    assert tower.consumed == tower.n_layers == 3
    tensor = torch.from_numpy(np.array(pictures[0])).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        expected = module(tensor, output_hidden_states=True)
    got = tower.states(pictures[:1], [3]).patch_tokens[0, 0].flatten(0, 1)
    torch.testing.assert_close(got, expected.last_hidden_state[0], atol=1e-5, rtol=1e-5)
    raw = Tower(module, PIXELS, Twin(layer=-1, pooled="mean", relation="identical"))
    got = raw.states(pictures[:1], [3]).patch_tokens[0, 0].flatten(0, 1)
    torch.testing.assert_close(got, expected.hidden_states[-1][0], atol=1e-5, rtol=1e-5)


def test_several_layers_are_concatenated_in_order(pictures):
    module = siglip()
    one = Tower(module, PIXELS, Twin(layer=-1, pooled="mean", relation="identical"))
    several = Tower(module, PIXELS, Twin(layer=(1, -1), pooled="mean", relation="identical"))
    assert several.consumed == 3
    assert several.width == 64
    states = one.states(pictures[:1], [1, 3]).patch_tokens
    together = several.states(pictures[:1], [3]).patch_tokens
    torch.testing.assert_close(together[0, 0], torch.cat([states[0, 0], states[0, 1]], dim=-1))
    beside = several.states(pictures[:1], [0, 1, 3]).patch_tokens  # a depth head's
    torch.testing.assert_close(beside[0, 2], states[0, 1])


def test_a_towers_own_size_may_leave_a_strip(pictures):
    twin = Twin(layer=-1, pooled="mean", relation="identical")
    tower = Tower(siglip(image_size=36), PIXELS, twin)
    square = pictures[0].resize((36, 36))
    assert tower.states([square], [3]).patch_tokens.shape == (1, 1, 4, 4, 32)
    changed = np.asarray(square).copy()
    changed[32:] = 0  # the strip that no patch covers
    states = tower.states([square, Image.fromarray(changed)], [3]).patch_tokens
    assert torch.equal(states[0], states[1])


def test_a_layer_that_is_not_there_is_refused():
    with pytest.raises(VlmbenchError, match="4 hidden states"):
        Tower(siglip(), PIXELS, Twin(layer=4, pooled="mean", relation="identical"))


@pytest.mark.parametrize(
    ("policy", "processor", "fill", "resample"),
    [
        (ImagePolicy(letterbox=64, fill=(1, 2, 3)), PIXELS, (1, 2, 3), "bicubic"),
        (ImagePolicy(), LlavaImageProcessor(do_pad=True, image_mean=[0.5] * 3, resample=2),
         (127, 127, 127), "bilinear"),
        (ImagePolicy(), CLIPImageProcessor(resample=1), (0, 0, 0), "lanczos"),
        (ImagePolicy(), CLIPImageProcessor(resample=0), (0, 0, 0), "nearest"),
        (None, PIXELS, (0, 0, 0), "bicubic"),
    ],
)  # fmt: skip
def test_a_tower_is_shown_what_its_model_is_shown(policy, processor, fill, resample):
    twin = Twin(layer=-1, pooled="mean", relation="identical")
    tower = Tower(siglip(), processor, twin, policy)
    record = tower.letterbox.record()
    assert record == {"side": 32, "fill": list(fill), "padding": "square", "resample": resample}
    square = np.asarray(tower.letterbox.square(Image.new("RGB", (64, 32), (200, 200, 200))))
    assert tuple(square[0, 0]) == fill
    assert tower.randomised(0).letterbox == tower.letterbox
