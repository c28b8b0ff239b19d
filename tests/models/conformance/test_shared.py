"""Prompts that begin alike are read from one pass over what they begin with, in every family."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from test_families import HERE, asked, over
from tiny_checkpoints import backend_of

from vlmbench.models import HfBackend, Prompt, image_tower
from vlmbench.models._projected import Projected
from vlmbench.spec import Knockout

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# Families that read every prompt by itself, and why.
APART = {
    "paligemma": "all tokens of its prompts see each other",
    "mllama": "its images enter by cross-attention",
    "gemma3": "its layers slide over a window",
    "aya_vision": "its layers slide over a window",
    "granite4_vision": "it gives no keys and values to go on from",
}


class Passes:
    """Says how many rows and tokens a model is given, in every pass while it listens."""

    def __init__(self, backend: HfBackend) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self._handle = backend.model.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, _: object, __: object, given: dict[str, torch.Tensor]) -> None:
        self.shapes.append(tuple(given["input_ids"].shape))

    @property
    def read(self) -> int:
        """Tokens of all passes, padding included."""
        return sum(rows * tokens for rows, tokens in self.shapes)

    def __enter__(self) -> Passes:
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()


def questions(shots: list[Image.Image], n: int = 6) -> list[Prompt]:
    """Questions about one picture, or about another one of the same size, in turn."""
    pictures = [shots[3], Image.fromarray(255 - np.asarray(shots[3]))]
    ends = ["A or B?", "A or B? Surely B.", "or none of it at all, A, B?", "A?"]
    return [
        Prompt(user=f"<image>Which is nearer, {ends[i % 4]}", images=(pictures[i % 5 == 4].copy(),))
        for i in range(n)
    ]


CHOICES = [[" A", " B"], [" red", " blue A or B?", " C"], [" A", " B"]] * 2


@over(HERE)
def test_what_is_read_together_is_what_is_read_alone(tiny, shots):
    backend = backend_of(tiny.name)
    prompts = questions(shots)
    alone = backend.whole_logprobs(prompts, CHOICES)
    with Passes(backend) as passes:
        together = backend.choice_logprobs(prompts, CHOICES)
    for found, expected in zip(together, alone, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)
    with Passes(backend) as plain:
        backend.whole_logprobs(prompts, CHOICES)
    assert plain.shapes[0][0] == 6
    if tiny.name in APART:
        assert passes.shapes[-len(plain.shapes) :] == plain.shapes
    else:
        assert passes.shapes[0][0] == 2, "six prompts begin in two ways"
        assert passes.read < plain.read


@over(HERE)
def test_of_all_positions_only_those_that_are_read_get_logits(tiny, shots):
    """Vocabularies are large: a batch of prompts times all their tokens would not fit."""
    backend, made = backend_of(tiny.name), []
    hook = backend.model.register_forward_hook(lambda _, __, out: made.append(out.logits.shape[1]))
    backend.whole_logprobs(questions(shots), CHOICES)
    hook.remove()
    assert max(made) <= 16


def test_another_image_is_never_taken_for_the_same(tiny_clip, shots):
    """One grey level of one pixel, another size with the same bytes, or another order."""
    base = np.asarray(shots[3].resize((96, 96)))
    changed = base.copy()
    changed[40, 40, 1] ^= 255
    pictures = [Image.fromarray(base), Image.fromarray(changed)]
    wide = Image.fromarray(base.reshape(48, 192, 3))
    pairs = [(0, 1), (1, 0), (0, 0), (1, 1)]
    sets = [tuple(pictures[i].copy() for i in pair) for pair in pairs]
    prompts = [Prompt(user="<image><image>Which? A or B", images=each) for each in sets * 4]
    prompts += [Prompt(user="<image>Which? A or B", images=(p.copy(),)) for p in (wide, *pictures)]
    rows = tiny_clip.choice_logprobs(prompts, [[" A", " B"]] * len(prompts))
    plain = tiny_clip.whole_logprobs(prompts, [[" A", " B"]] * len(prompts))
    np.testing.assert_allclose(rows, plain, atol=1e-4)
    of_two, of_one = (
        np.unique(np.round(rows[:4], 5), axis=0),
        np.unique(np.round(rows[16:], 5), axis=0),
    )
    assert len(of_two) == 4
    assert len(of_one) == 3


def test_a_blank_image_is_read_once_a_batch(tiny_clip):
    blank = Image.new("RGB", (96, 96))
    prompts = [Prompt(user=f"<image>Is it number {i}? A or B", images=(blank,)) for i in range(16)]
    with Passes(tiny_clip) as passes:
        tiny_clip.choice_logprobs(prompts, [[" A", " B"]] * 16)
    batch = tiny_clip.inputs.encode(
        [tiny_clip.render(prompt) for prompt in prompts], prompts, side="right"
    )
    assert passes.read < 0.3 * batch["input_ids"].numel()


def test_many_answers_to_one_question_are_not_all_copies_of_it_at_once(tiny_clip, shots):
    prompt = Prompt(user="<image>Which? " + "It may be anything. " * 40, images=(shots[3],))
    choices = [f" number {i} of them" for i in range(300)]
    (expected,) = tiny_clip.choice_logprobs([prompt], [choices[:30]])
    with Passes(tiny_clip) as passes:
        (row,) = tiny_clip.choice_logprobs([prompt], [choices])
    np.testing.assert_allclose(row[:30], expected, atol=1e-5)
    length = passes.shapes[0][1]
    assert max(rows for rows, _ in passes.shapes[1:]) * length <= 8_000


def test_what_is_read_alone_is_prepared_whole(tiny_clip, shots):
    """Under a condition that changes the pass nothing is encoded twice."""
    prompts = questions(shots)
    encoded: list[int] = []
    plain = tiny_clip.processor.__class__.__call__

    def counting(self, *args, **given):
        encoded.append(len(given["text"]))
        return plain(self, *args, **given)

    with pytest.MonkeyPatch.context() as patch, tiny_clip.under(Knockout(to="last")):
        patch.setattr(tiny_clip.processor.__class__, "__call__", counting)
        tiny_clip.prepare(prompts, CHOICES)
        tiny_clip.choice_logprobs(prompts, CHOICES)
    assert encoded == [6]


# Families of which every image passes the tower whenever it is shown, and those of which some do.
TOWERED = {
    "mllama": "its images enter by cross-attention",
    "qwen3_vl": "deeper layers are given features of their own",
    "granite4_vision": "deeper layers are given features of their own",
    "internvl": "its batches do not say which tiles are of which image",
    "aya_vision": "its batches do not say which tiles are of which image",
}
SOMETIMES = {
    "llava_onevision": "its batches count images by prompt where there are several in one",
    "idefics3": "pixels of a prompt's images stand in one row",
}


@over(HERE)
def test_features_handed_over_are_the_plain_path_and_the_tower_runs_once(tiny, shots):
    backend = backend_of(tiny.name)
    prompts, choices = asked(backend, shots), CHOICES[:4]
    plain = backend.whole_logprobs(prompts, choices[: len(prompts)], tower=True)
    backend.keep_features()
    try:
        first = backend.choice_logprobs(prompts, choices[: len(prompts)])
        towers: list[object] = []
        tower = image_tower(backend.model) if tiny.name not in TOWERED else backend.model
        hook = tower.register_forward_hook(lambda *_: towers.append(1))
        again = backend.choice_logprobs(prompts[::-1], choices[: len(prompts)][::-1])[::-1]
        hook.remove()
        changed = [
            replace(p, images=tuple(ImageOps.invert(image) for image in p.images)) for p in prompts
        ]
        other = backend.choice_logprobs(changed, choices[: len(prompts)])
        for found in (first, again):
            for row, expected in zip(found, plain, strict=True):
                np.testing.assert_allclose(row, expected, atol=1e-5, rtol=0)
        assert (backend.inputs.projected is None) == (tiny.name in TOWERED)
        assert bool(towers) == (tiny.name in TOWERED or tiny.name in SOMETIMES)
        shown = [i for i, prompt in enumerate(prompts) if prompt.images]
        assert all(np.abs(other[i] - plain[i]).max() > 1e-4 for i in shown)
    finally:
        backend.inputs.projected = None


@pytest.mark.parametrize(("factor", "kept"), [(1.0, True), (1.0 + 1e-4, True), (1.2, False)])
def test_features_that_are_not_what_the_model_is_given_are_not_kept(monkeypatch, factor, kept):
    """A projection that comes out otherwise than in the model's own pass, beyond rounding."""
    backend = backend_of("llava")
    project = Projected._project

    def other(self, *given):
        return [factor * row for row in project(self, *given)]

    monkeypatch.setattr(Projected, "_project", other)
    found = Projected.proven(backend.model, backend.inputs.trial(64))
    assert (found is not None) == kept
