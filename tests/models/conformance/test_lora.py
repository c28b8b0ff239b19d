"""Low-rank updates in every family: their size, what they leave alone, and peft's own reading."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_checkpoints import FAMILIES, Tiny, backend_of
from transformers.utils import is_torchvision_available

from vlmbench.models import (
    HfBackend,
    Prompt,
    Tower,
    budget_of,
    fresh_lora,
    gold_losses,
    image_tower,
    matrices_of,
    projector_of,
    save_lora,
    solve_ranks,
    stored_lora,
    weights_digest,
)
from vlmbench.spec import Tuning

pytestmark = [
    # Noise of transformers' image processors under numpy 2.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # peft asks transformers for a flag by its old name.
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
]

HERE = [tiny for tiny in FAMILIES if is_torchvision_available() or not tiny.torchvision]
CHOICES = [" A", " blue A or B?"]


@pytest.fixture(params=HERE, ids=lambda tiny: tiny.name)
def tiny(request) -> Tiny:
    return request.param


@pytest.fixture
def backend(tiny) -> HfBackend:
    return backend_of(tiny.name)


def prompts(shots: list[Image.Image]) -> list[Prompt]:
    texts = ["<image>Which is nearer, A or B?", "<image>red?"]
    return [Prompt(user=text, images=(shots[3],)) for text in texts]


def scores(backend: HfBackend, shots: list[Image.Image]) -> np.ndarray:
    return np.array(backend.choice_logprobs(prompts(shots), [CHOICES] * 2))


@contextmanager
def arm(backend: HfBackend, part: str, *, moved: bool = True) -> Iterator[object]:
    """Put updates of the default budget into a part, and let them change something."""
    model = backend.model
    parts = matrices_of(model, backend.inputs.trial(224))
    budget = budget_of(Tuning(), parts, sum(p.numel() for p in model.parameters()))
    ranks = solve_ranks(parts[part], budget)
    with fresh_lora(model, parts[part], ranks, alpha=32, seed=0) as wrapped:
        trained = [p for p in wrapped.parameters() if p.requires_grad]
        assert abs(sum(p.numel() for p in trained) / budget - 1) <= 0.02
        if moved:
            generator = torch.Generator().manual_seed(3)
            with torch.no_grad():
                for parameter in trained:
                    parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
        yield wrapped


@pytest.mark.parametrize("part", ["tower", "projector", "language"])
def test_an_arm_has_its_size_learns_everywhere_and_leaves_nothing_behind(
    backend, shots, part, tmp_path
):
    """Within 2% of the budget; untouched to the bit after a step; taken out without a trace."""
    before, digest = scores(backend, shots), weights_digest(backend.model)
    modules = list(backend.model.modules())
    with arm(backend, part, moved=False) as wrapped:
        np.testing.assert_allclose(scores(backend, shots), before, atol=1e-5, rtol=0)
        own = {n: p.clone() for n, p in wrapped.named_parameters() if not p.requires_grad}
        trained = {n: p for n, p in wrapped.named_parameters() if p.requires_grad}
        for _ in range(2):  # what comes first has no slope until what follows is not 0
            optimizer = torch.optim.AdamW(trained.values(), lr=0.01)
            loss = gold_losses(backend, prompts(shots), [CHOICES] * 2, [0, 1]).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert not [name for name, parameter in trained.items() if parameter.grad is None]
        idle = [name for name, parameter in trained.items() if not parameter.grad.any()]
        assert len(idle) <= 0.1 * len(trained)  # a layer that ReLU shuts in a model this small
        after = {n: p for n, p in wrapped.named_parameters() if not p.requires_grad}
        assert all(torch.equal(after[name], kept) for name, kept in own.items())
        changed = scores(backend, shots)
        save_lora(wrapped, tmp_path)
    assert np.abs(changed - before).max() > 1e-3
    assert weights_digest(backend.model) == digest
    assert list(backend.model.modules()) == modules
    np.testing.assert_allclose(scores(backend, shots), before, atol=1e-5, rtol=0)
    assert {file.name for file in tmp_path.iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors",
    }  # fmt: skip
    with stored_lora(backend.model, tmp_path):
        np.testing.assert_allclose(scores(backend, shots), changed, atol=1e-4, rtol=0)
    np.testing.assert_allclose(scores(backend, shots), before, atol=1e-5, rtol=0)


@pytest.mark.parametrize("part", ["tower", "projector", "language"])
def test_merged_equals_unmerged(part, shots, tmp_path):
    """By peft's own class, which merges them into a model loaded anew."""
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText

    backend = backend_of("llava")
    batch = backend.inputs.trial(64)
    with arm(backend, part) as wrapped, torch.no_grad():
        save_lora(wrapped, tmp_path)
        unmerged = backend.model(**batch).logits
    fresh = AutoModelForImageTextToText.from_pretrained(backend.model.name_or_path)
    with torch.no_grad():
        untouched = fresh(**batch).logits
        merged = PeftModel.from_pretrained(fresh, tmp_path).merge_and_unload()(**batch).logits
    torch.testing.assert_close(merged, unmerged, atol=1e-4, rtol=0)
    assert (merged - untouched).abs().max() > 0.01


def test_only_layers_that_an_answer_depends_on_are_taken(backend):
    """Those that are named move the logits if they are moved, and the others of a tower do not."""
    model, batch = backend.model, backend.inputs.trial(64)
    parts = matrices_of(model, batch)
    names = {matrix.name for matrices in parts.values() for matrix in matrices}
    assert len(names) == sum(map(len, parts.values()))  # no matrix is in two parts
    inside = {
        part for whole in (image_tower(model), *projector_of(model)) for part in whole.modules()
    }
    with torch.no_grad():
        before = model(**batch).logits[:, -1]
        for name, layer in model.named_modules():
            if layer not in inside or type(layer) is not torch.nn.Linear:
                continue
            kept = layer.weight.clone()
            layer.weight.mul_(torch.linspace(-1, 1, len(kept))[:, None])
            moves = not torch.equal(model(**batch).logits[:, -1], before)
            layer.weight.copy_(kept)
            # A tiny Q-former chooses among one key, so that queries and keys have slopes of noise.
            idle = "qformer" in name and name.endswith((".query", ".key"))
            assert idle or moves == (name in names), name


def test_the_loss_is_what_the_prompted_readout_scores(backend, shots):
    rows = [[" A", " B"], [" red", " blue A or B?", " C"]]
    expected = backend.choice_logprobs(prompts(shots), rows)
    for gold in ([0, 1], [1, 2], [0, 0]):
        found = gold_losses(backend, prompts(shots), rows, gold).tolist()
        wanted = [-row[right] for row, right in zip(expected, gold, strict=True)]
        np.testing.assert_allclose(found, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("part", ["tower", "language"])
def test_the_tower_is_another_one_exactly_if_it_is_trained(part, shots):
    backend = backend_of("llava")
    twin = backend.spec.twin
    own = Tower.inside(backend, twin)
    square = shots[3].resize((own.side, own.side))
    states = own.states([square], [own.consumed]).patch_tokens
    with arm(backend, part):
        tuned = Tower.inside(backend, twin)
        found = tuned.states([square], [own.consumed]).patch_tokens
        assert torch.equal(found, states) == (part == "language")
        assert (tuned.weights_digest == own.weights_digest) == (part == "language")
