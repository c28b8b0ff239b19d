from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vlmbench.organisms._objectives import EncoderBatch
from vlmbench.organisms._self_distillation import (
    MOMENTUM,
    SelfDistillation,
    balanced,
    distillation,
    random_mask,
    spread_out,
)


def test_assignments_sum_to_one_and_use_prototypes_evenly():
    similarity = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    similarity[:, 0] += 1.0  # without balancing, nearly all would choose it
    share = balanced(similarity, 0.5, rounds=50)
    assert torch.allclose(share.sum(dim=1), torch.ones(64))
    assert torch.allclose(share.sum(dim=0), torch.full((8,), 8.0), atol=1e-3)


def test_distillation_is_a_cross_entropy():
    student = torch.tensor([[0.1, -0.2, 0.3]])
    target = torch.tensor([[0.2, 0.3, 0.5]])
    total = sum(math.exp(s / 0.1) for s in (0.1, -0.2, 0.3))
    pairs = ((0.1, 0.2), (-0.2, 0.3), (0.3, 0.5))
    expected = -sum(t * (s / 0.1 - math.log(total)) for s, t in pairs)
    assert distillation(student, target).item() == pytest.approx(expected, rel=1e-5)


def test_spread_is_minus_the_mean_log_distance_to_the_nearest():
    vectors = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])
    assert spread_out(vectors).item() == pytest.approx(-math.log(math.sqrt(2)), rel=1e-5)


def test_masks_cover_every_other_image():
    mask = random_mask(np.random.default_rng(0), 40, 64)
    assert not mask[1::2].any()
    counts = mask[::2].sum(dim=1)
    assert counts.min() >= 6
    assert counts.max() <= 32


def test_the_teacher_is_the_slow_average_of_the_student(toy):
    objective = SelfDistillation(toy("self_distillation").encoder)
    student = dict(objective.encoder.named_parameters())
    teacher = dict(objective.teacher[0].named_parameters())
    name = next(key for key in student if key.endswith("norm1.weight"))
    with torch.no_grad():
        student[name].fill_(2.0)
        teacher[name].fill_(1.0)
    objective.after_step(0.0)
    assert torch.allclose(teacher[name], torch.full_like(teacher[name], 2.0 - MOMENTUM))
    objective.after_step(1.0)
    assert torch.allclose(teacher[name], torch.full_like(teacher[name], 2.0 - MOMENTUM))


def test_gradients_reach_the_student_alone(toy, images):
    objective = SelfDistillation(toy("self_distillation").encoder)
    batch = EncoderBatch(
        pixels=images.pixels[:6], facts=images.facts[:6], rng=np.random.default_rng(0)
    )
    objective.loss(batch).backward()
    assert all(p.grad is None for p in objective.teacher.parameters())
    assert objective.encoder.embeddings.mask_token.grad.abs().sum() > 0
    assert objective.patch_head.prototypes.weight.grad.abs().sum() > 0
