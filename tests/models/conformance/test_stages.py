"""Every stage of an image in the model's own pass, family by family: whose it is, and where."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from contextlib import ExitStack

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_checkpoints import FAMILIES, backend_of
from transformers.utils import is_torchvision_available

from vlmbench.models import HfBackend, Prompt, Seen, StageTap, Tower
from vlmbench.models._blocks import block_states, blocks_of
from vlmbench.types import DocumentError

# Noise of transformers' image processors under numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

HERE = [tiny for tiny in FAMILIES if is_torchvision_available() or not tiny.torchvision]
REFUSED = {"phi4_multimodal": "pixels of other views", "cohere2_vision": "cut into tiles"}
"""Families whose processor does not say what the tower is shown, or that nobody has looked at."""
TWINNED = [tiny.name for tiny in HERE if tiny.projector and tiny.name not in REFUSED]
CONVOLVES = "fast_vlm"
"""Every cell of its map hangs on the whole of a small image."""
CHOICES = ["A", "B"]


def noise(size: tuple[int, int], seed: int = 0) -> Image.Image:
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def tap_of(name: str) -> StageTap:
    backend = backend_of(name)
    assert backend.spec.twin is not None
    return StageTap(backend, Tower.inside(backend, backend.spec.twin))


def asked(backend: HfBackend, *images: Image.Image) -> Prompt:
    return Prompt(user="<image>" * len(images) + "Which is nearer, A or B?", images=images)


def stages_of(tap: StageTap, *prompts: Prompt) -> list[dict[str, list[Seen]]]:
    """Return every prompt's images by stage."""
    found: list[dict[str, list[Seen]]] = [defaultdict(list) for _ in prompts]

    def keep(index: int, stage: str, seen: list[Seen]) -> None:
        assert stage not in found[index]
        found[index][stage] = [
            Seen(tokens=one.tokens.float().clone(), box=one.box, cls_token=one.cls_token)
            for one in seen
        ]

    tap.read(prompts, [CHOICES] * len(prompts), keep)
    return found


@pytest.fixture(params=TWINNED)
def tap(request) -> StageTap:
    return tap_of(request.param)


PLACES = ((10, 42), (52, 22), (22, 54), (42, 10), (10, 26), (26, 58))
"""Pixels of an image of 64 x 64, none of them on a diagonal."""


def moved_at(stage: Seen, other: Seen, x: float, y: float) -> float:
    """Return the share of all that moved between two states that moved at a place of the image."""
    moved = (stage.tokens - other.tokens).norm(dim=-1)
    rows, columns = moved.shape
    x0, y0, x1, y1 = stage.box
    column, row = (x0 + (x + 0.5) / 64 * (x1 - x0), y0 + (y + 0.5) / 64 * (y1 - y0))
    held = moved[min(int(row), rows - 1), min(int(column), columns - 1)]
    return float(held / moved.sum())


@pytest.mark.parametrize("name", [name for name in TWINNED if name != CONVOLVES])
def test_a_painted_patch_is_found_at_every_stage_where_it_was_painted(name):
    """Pixels around one place are inverted: every stage moves there, and not where the place would
    be if rows and columns were exchanged or turned round."""
    tap, clean = tap_of(name), noise((64, 64))
    own, elsewhere = defaultdict(list), defaultdict(list)
    for x, y in PLACES:
        pixels = np.asarray(clean).copy()
        pixels[y - 3 : y + 4, x - 3 : x + 4] = 255 - pixels[y - 3 : y + 4, x - 3 : x + 4]
        before, after = stages_of(
            tap, asked(tap.backend, clean), asked(tap.backend, Image.fromarray(pixels))
        )
        assert before.keys() == after.keys() >= {"same", "tower-0", "language-0"}
        for stage, (one,) in before.items():
            other = after[stage][0]
            own[stage].append(moved_at(one, other, x, y))
            turned = ((y, x), (63 - x, y), (x, 63 - y), (63 - x, 63 - y))
            elsewhere[stage].append([moved_at(one, other, *place) for place in turned])
    for stage, shares in own.items():
        assert np.mean(shares) > 1.1 * np.mean(elsewhere[stage], axis=0).max(), stage
    # What has not been mixed yet moves nowhere else.
    assert np.mean(own["tower-0"]) > 5 * np.mean(elsewhere["tower-0"])


def test_the_towers_states_are_those_of_the_real_pass(tap):
    """A plain hook on the tower's own blocks sees, in the same pass, what is handed over."""
    prompt = asked(tap.backend, noise((64, 64)))
    if tap.backend.model.config.model_type == CONVOLVES:
        maps: list[torch.Tensor] = []
        hook = tap.tower.module.register_forward_hook(lambda *o: maps.append(o[2][0]))
        (stages,) = stages_of(tap, prompt)
        hook.remove()
        torch.testing.assert_close(maps[0][0].permute(1, 2, 0), stages["same"][0].tokens)
        return
    seen: dict[int, torch.Tensor] = {}
    with ExitStack() as hooks:
        layers = range(tap.tower.n_layers)
        hooks.enter_context(block_states(blocks_of(tap.tower.module), layers, seen.setdefault))
        (stages,) = stages_of(tap, prompt)
    for layer in layers:
        rows = seen[layer].float().flatten(0, -2)
        ours = stages[f"tower-{layer}"][0].tokens.flatten(0, 1)
        nearest = torch.cdist(ours, rows, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
        assert nearest.values.max() == 0
        assert len(nearest.indices.unique()) == len(ours)


def test_what_the_projector_puts_out_last_is_what_the_language_model_is_given(tap):
    """In the same order of tokens, also behind towers that sort patches by window."""
    (stages,) = stages_of(tap, asked(tap.backend, noise((64, 64))))
    last = max((name for name in stages if name.startswith("projector")), key=lambda n: int(n[10:]))
    ours, given = (stages[name][0].tokens.flatten(0, 1) for name in (last, "language-0"))
    if ours.shape != given.shape:
        return  # what comes after it is no part of it, a norm or a pooling
    # Up to a factor: Gemma scales embeddings.
    cosines = torch.nn.functional.cosine_similarity(ours, given)
    near = torch.nn.functional.normalize(ours) @ torch.nn.functional.normalize(given).T
    assert (near.argmax(dim=1) == torch.arange(len(ours))).float().mean() > 0.9
    assert cosines.mean() > 0.5


def test_the_language_models_states_are_those_of_transformers(tap):
    backend, prompt = tap.backend, asked(tap.backend, noise((64, 64)))
    (stages,) = stages_of(tap, prompt)
    batch = backend.inputs.encode([backend.render(prompt)], [prompt], side="right")
    with torch.no_grad():
        states = backend.model(**batch, output_hidden_states=True).hidden_states
    positions = backend.inputs.image_positions(batch)[0]
    view = tap.views.of((64, 64))
    whole = positions.nonzero()[:, 0][view.start : view.start + view.grid[0] * view.grid[1]]
    for layer, state in enumerate(states[:-1]):  # the last is the one after the final norm
        ours = stages[f"language-{layer}"][0].tokens.flatten(0, 1)
        np.testing.assert_allclose(ours, state[0, whole].float(), atol=1e-5)


def test_scores_are_the_prompted_readouts_to_the_bit_and_the_last_lens_is_what_it_says(tap):
    prompts = [asked(tap.backend, noise((64, 64), seed)) for seed in (1, 2)]
    staged = tap.read(prompts, [CHOICES] * 2, lambda *_: None)
    expected = tap.backend.choice_logprobs(prompts, [CHOICES] * 2)
    for one, row in zip(staged, expected, strict=True):
        np.testing.assert_array_equal(one.scores, row)
        np.testing.assert_allclose(one.lens[-1], row, atol=1e-4)
        assert one.lens.shape == (len(tap.blocks) + 1, 2)


def test_images_of_one_batch_do_not_change_places(tap):
    """Two prompts, one of them with two images: each gives what it gives alone."""
    first, second = noise((64, 64), 1), noise((64, 64), 2)
    several = tap.backend.family.several
    prompts = [
        asked(tap.backend, first),
        asked(tap.backend, *([second, first] if several else [second])),
    ]
    together = stages_of(tap, *prompts)
    for prompt, found in zip(prompts, together, strict=True):
        (alone,) = stages_of(tap, prompt)
        assert alone.keys() == found.keys()
        for stage, images in alone.items():
            assert len(images) == len(prompt.images) == len(found[stage])
            for one, other in zip(images, found[stage], strict=True):
                torch.testing.assert_close(one.tokens, other.tokens, atol=2e-4, rtol=1e-3)


def test_several_images_are_placed_as_they_are_shown_together(tap):
    """LLaVA-OneVision pads several images to squares, and stretches one alone."""
    if not tap.backend.family.several:
        return
    size = (96, 48)
    prompt = asked(tap.backend, noise(size, 1), noise(size, 2))
    pixels = np.asarray(prompt.images[0]).copy()
    x, y = 70, 14
    pixels[y - 4 : y + 5, x - 4 : x + 5] = 255 - pixels[y - 4 : y + 5, x - 4 : x + 5]
    changed = asked(tap.backend, Image.fromarray(pixels), prompt.images[1])
    before, after = stages_of(tap, prompt, changed)
    one, other = before["tower-0"][0], after["tower-0"][0]
    moved = (one.tokens - other.tokens).norm(dim=-1)
    row, column = divmod(int(moved.argmax()), moved.shape[1])
    x0, y0, x1, y1 = one.box
    at = x0 + (x + 0.5) / size[0] * (x1 - x0), y0 + (y + 0.5) / size[1] * (y1 - y0)
    if tap.backend.model.config.model_type != CONVOLVES:
        assert abs(column + 0.5 - at[0]) <= 1.0
        assert abs(row + 0.5 - at[1]) <= 1.0


@pytest.mark.parametrize("size", [(96, 48), (40, 100)])
def test_images_that_are_not_square_are_placed(tap, size):
    view = tap.views.of(size)
    (stages,) = stages_of(tap, asked(tap.backend, noise(size)))
    rows, columns = view.grid
    assert stages["language-0"][0].tokens.shape[:2] == (rows, columns)
    x0, y0, x1, y1 = view.token_box
    assert x0 < x1
    assert y0 < y1
    # A stretched or padded image lies inside the view; one whose edges are cut off, around it.
    assert (x0 >= 0 and x1 <= columns) or (x0 <= 0 and x1 >= columns)


def test_what_nobody_can_place_is_refused_with_the_reason(monkeypatch):
    for name in (tiny.name for tiny in HERE if tiny.name in REFUSED):
        with pytest.raises(DocumentError, match=REFUSED[name]):
            tap_of(name).views.of((64, 64))
    tap = tap_of("llava_next")  # as if nobody had looked at it
    unknown = dataclasses.replace(tap.backend.text.family, whole_view="")
    monkeypatch.setattr(tap.backend.text, "family", unknown)
    with pytest.raises(DocumentError, match="64 x 64 pixels: it is cut into tiles"):
        tap.views.of((64, 64))
