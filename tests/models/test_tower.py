"""The tower gives exactly what the VLM's projector consumes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessor, CLIPVisionModel

from vlmbench.models import HfBackend, Tower, resolve_device
from vlmbench.spec import ModelSpec, Twin
from vlmbench.types import VlmbenchError

TWIN = Twin(layer=-2, relation="identical")


@pytest.fixture(scope="module")
def backend(llava_folder):
    spec = ModelSpec(model="random", checkpoint=str(llava_folder))
    return HfBackend.load(spec, None, *resolve_device("cpu", "float32"))


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
