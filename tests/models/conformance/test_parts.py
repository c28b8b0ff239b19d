"""Which modules are the projector, for every family."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_checkpoints import FAMILIES, Tiny, backend_of
from torch import nn
from transformers.utils import is_torchvision_available

from vlmbench.models import Prompt, projector_of
from vlmbench.types import VlmbenchError

# Noise of transformers' image processors under numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

HERE = [tiny for tiny in FAMILIES if is_torchvision_available() or not tiny.torchvision]


@contextmanager
def noisy(parts: tuple[nn.Module, ...]) -> Iterator[None]:
    """Move the parameters of some modules for a while."""
    parameters = [parameter for part in parts for parameter in part.parameters()]
    assert parameters
    kept = [parameter.detach().clone() for parameter in parameters]
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, old in zip(parameters, kept, strict=True):
                parameter.copy_(old)


@pytest.mark.parametrize("tiny", HERE, ids=lambda tiny: tiny.name)
def test_the_projector_moves_answers_about_images_alone(tiny: Tiny, shots: list[Image.Image]):
    backend = backend_of(tiny.name)
    prompts = [Prompt(user="<image>Which is red?", images=(shots[3],))]
    if backend.family.text_only:
        prompts.append(Prompt(user="Which is red?", images=()))
    choices = [[" A", " B"]] * len(prompts)
    before = backend.choice_logprobs(prompts, choices)
    with noisy(projector_of(backend.model)):
        moved = backend.choice_logprobs(prompts, choices)
    assert np.abs(moved[0] - before[0]).max() > 1e-3
    if backend.family.text_only:
        np.testing.assert_array_equal(moved[1], before[1])
    np.testing.assert_array_equal(backend.choice_logprobs(prompts, choices)[0], before[0])


@pytest.mark.parametrize(
    "tiny", [tiny for tiny in HERE if tiny.projector], ids=lambda tiny: tiny.name
)
def test_it_starts_with_what_is_given_the_towers_states(tiny: Tiny):
    model = backend_of(tiny.name).model
    assert projector_of(model)[0] is attrgetter(tiny.projector)(model)


def test_a_model_without_one_is_refused(monkeypatch):
    model = backend_of("llava").model
    monkeypatch.setattr("vlmbench.models._parts._PROJECTORS", frozenset({"bridge"}))
    with pytest.raises(VlmbenchError, match="no projector is known for model_type 'llava'"):
        projector_of(model)
