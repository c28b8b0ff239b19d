"""States of every layer are those that nnsight, an interpretability library, reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nnsight import NNsight
from test_stages import asked, noise, stages_of, tap_of
from tiny_checkpoints import named

# Noise of transformers' image processors under numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.mark.parametrize("name", ["llava", "internvl"])
def test_states_of_all_layers_are_those_of_nnsight(name):
    tap = tap_of(name)
    backend, prompt = tap.backend, asked(tap.backend, noise((64, 64)))
    (stages,) = stages_of(tap, prompt)
    batch = backend.inputs.encode([backend.render(prompt)], [prompt], side="right")
    traced = NNsight(backend.model)
    seen: list[torch.Tensor] = []
    with torch.no_grad(), traced.trace(**batch):
        for layer in traced.model.language_model.layers:
            seen.append(layer.output.save())
    positions = backend.inputs.image_positions(batch)[0].nonzero()[:, 0]
    view = tap.views.of((64, 64))
    whole = positions[view.start : view.start + view.grid[0] * view.grid[1]]
    assert named(name).language == "model.language_model"
    assert len(seen) == len(tap.blocks) > 1
    for number, state in enumerate(seen, start=1):
        tensor = state[0] if isinstance(state, tuple) else state
        rows = tensor.reshape(-1, tensor.shape[-1])[whole]
        ours = stages[f"language-{number}"][0].tokens.flatten(0, 1)
        np.testing.assert_allclose(ours, rows.detach(), atol=1e-5)
