from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from transformers.models.clip.modeling_clip import image_text_contrastive_loss

from vlmbench.organisms._encoder_stage import build_objective
from vlmbench.organisms._lessons import Library
from vlmbench.organisms._objectives import (
    CaptionObjective,
    EncoderBatch,
    LabelObjective,
    draw_batch,
    sigmoid_loss,
    softmax_loss,
)
from vlmbench.organisms._train import build_tokenizer
from vlmbench.tasks.worlds import CATEGORIES, COLOURS


def random_logits(n: int) -> torch.Tensor:
    return torch.randn(n, n, generator=torch.Generator().manual_seed(0))


def test_softmax_loss_is_transformers_loss_when_captions_differ():
    logits = random_logits(7)
    ours = softmax_loss(logits, torch.eye(7, dtype=torch.bool))
    assert ours.item() == pytest.approx(image_text_contrastive_loss(logits).item(), abs=1e-6)


def test_softmax_loss_shares_the_target_among_equal_captions():
    logits = random_logits(3)
    same = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]]).bool()
    expected = 0.0
    for table in (logits.numpy().astype(float), logits.numpy().T.astype(float)):
        for i, right in enumerate(([0, 1], [0, 1], [2])):
            log_sum = math.log(np.exp(table[i]).sum())
            expected += sum(log_sum - table[i, j] for j in right) / len(right) / 3 / 2
    assert softmax_loss(logits, same).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("repeats", [(), ((0, 1), (1, 0))])
def test_sigmoid_loss_is_a_sum_over_pairs_without_repeated_captions(repeats):
    logits = random_logits(4)
    same = torch.eye(4, dtype=torch.bool)
    for pair in repeats:
        same[pair] = True
    expected = 0.0
    for i in range(4):
        for j in range(4):
            if (i, j) in repeats:
                continue
            sign = 1.0 if i == j else -1.0
            expected -= math.log(1 / (1 + math.exp(-sign * logits[i, j].item()))) / 4
    assert sigmoid_loss(logits, same).item() == pytest.approx(expected, abs=1e-5)


def test_sigmoid_loss_is_transformers_loss():
    from transformers import SiglipConfig, SiglipModel

    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = SiglipConfig(
        text_config=size | {"num_attention_heads": 2, "vocab_size": 20, "projection_size": 16},
        vision_config=size | {"num_attention_heads": 2, "image_size": 16, "patch_size": 8},
    )
    torch.manual_seed(0)
    model = SiglipModel(config).eval()
    out = model(
        input_ids=torch.randint(0, 20, (3, 5)),
        pixel_values=torch.randn(3, 3, 16, 16),
        return_loss=True,
    )
    ours = sigmoid_loss(out.logits_per_text, torch.eye(3, dtype=torch.bool))
    assert ours.item() == pytest.approx(out.loss.item(), rel=1e-5)


def test_only_the_sigmoid_is_spared_what_all_vectors_share(images, toy):
    """Of the two losses only softmax is blind to it, so only the other takes it out beforehand."""
    shared, own = torch.full((12, 32), 100.0), torch.randn(12, 32)
    tokenizer = build_tokenizer(toy("siglip"))
    sigmoid = CaptionObjective(toy("siglip").encoder, tokenizer).train()
    torch.testing.assert_close(
        sigmoid.image_head(shared + own), sigmoid.image_head(own), atol=1e-3, rtol=1e-3
    )
    softmax = CaptionObjective(toy("clip").encoder, tokenizer)
    moved = softmax.image_head(shared + own) - softmax.image_head(own)
    assert moved.abs().mean() > 1


def batch_of(images, count: int, seed: int) -> EncoderBatch:
    return EncoderBatch(
        pixels=images.pixels[:count], facts=images.facts[:count], rng=np.random.default_rng(seed)
    )


def test_label_loss_is_plain_cross_entropy(toy, images):
    recipe = toy("supervised")
    torch.manual_seed(0)
    objective = LabelObjective(recipe.encoder).eval()
    with torch.no_grad():
        for head in (objective.category_head, objective.colour_head):
            head.weight.zero_()
            head.bias.copy_(torch.arange(head.out_features).float())
        loss = objective.loss(batch_of(images, 20, 0)).item()
    expected = 0.0
    for names, key in ((CATEGORIES, "category"), (tuple(COLOURS), "colour")):
        log_sum = math.log(sum(math.exp(i) for i in range(len(names))))
        for facts in images.facts[:20]:
            indices = [names.index(getattr(fact, key)) for fact in facts]
            expected += (log_sum - sum(indices) / len(indices)) / 20
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["clip", "siglip", "supervised"])
def test_a_few_steps_lower_the_loss(toy, images, tokenizer, name):
    recipe = toy(name)
    torch.manual_seed(0)
    objective = build_objective(recipe.encoder, tokenizer)
    optimizer = torch.optim.AdamW(
        [p for p in objective.parameters() if p.requires_grad], lr=2e-3, weight_decay=0.0
    )
    losses = []
    for _ in range(16):
        loss = objective.loss(batch_of(images, 16, 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.2


def test_captions_are_ended_and_padded(toy, tokenizer):
    recipe = toy("clip")
    objective = CaptionObjective(recipe.encoder, tokenizer)
    ids = objective.encode(["a red mug", "a very long striped red mug and a blue cone"])
    assert ids[0, -1] == 0
    assert (ids == 1).sum(dim=1).tolist() == [1, 1]


def test_markers_are_never_mirrored(images):
    flips = np.stack([batch_of(images, 48, seed).flips() for seed in range(20)])
    assert not flips[:, images.marked].any()
    assert 0.4 < flips[:, ~images.marked].mean() < 0.6


def test_batches_are_the_same_for_every_objective_and_often_of_one_colour(images):
    library = Library(images)
    alike = 0
    for step in range(40):
        first = draw_batch(library, 2, np.random.default_rng(step))
        second = draw_batch(library, 2, np.random.default_rng(step))
        np.testing.assert_array_equal(first, second)
        colours = {images.facts[i][0].colour for i in first}
        alike += len(colours) == 1 and all(len(images.facts[i]) == 1 for i in first)
    assert 12 < alike < 34
