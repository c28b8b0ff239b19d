"""Self-distillation with masked patches, after DINOv2 (arXiv 2304.07193): no labels, no captions.

A student sees crops, some with patches masked; a teacher, the slow average of the student, sees
them whole. The student is to give the teacher's answer for the image (DINO) and for each masked
patch (iBOT). Deviations: two local crops instead of eight, heads of two hidden layers, and no
separate schedule of weight decay, all for size.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from vlmbench.organisms._encoders import normalise
from vlmbench.organisms._objectives import EncoderBatch, LibraryObjective
from vlmbench.organisms._recipe import EncoderRecipe
from vlmbench.organisms._views import random_crop

STUDENT_TEMPERATURE = 0.1
TEACHER_TEMPERATURE = 0.05
MOMENTUM = 0.992
"""Initial weight of the old teacher in its average; rises to 1."""
KOLEO = 0.1
"""Weight of the term that keeps image vectors apart."""


class Head(nn.Module):
    """Maps a token to similarities with learned prototypes."""

    def __init__(self, width: int, prototypes: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width // 2)
        )
        self.prototypes = nn.Linear(width // 2, prototypes, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (..., prototypes) cosine similarities."""
        vector = functional.normalize(self.mlp(tokens).float(), dim=-1)
        weight = functional.normalize(self.prototypes.weight.float(), dim=-1)
        similarity: Tensor = vector @ weight.T
        return similarity


@torch.no_grad()
def balanced(similarity: Tensor, temperature: float, rounds: int = 3) -> Tensor:
    """Return the teacher's (n, k) assignments, rows summing to 1 and prototypes used evenly.

    Sinkhorn-Knopp: columns are scaled to sum to n / k and rows to 1, in turn, rows last.
    """
    scaled = similarity.float() / temperature
    share = (scaled - scaled.max()).exp()
    for _ in range(rounds):
        share = share / share.sum(dim=0, keepdim=True).clamp_min(1e-12) / share.shape[1]
        share = share / share.sum(dim=1, keepdim=True).clamp_min(1e-12)
    return share


def distillation(student: Tensor, target: Tensor) -> Tensor:
    """Return (n,) cross-entropy of the student's similarities (n, k) against `target` (n, k)."""
    return -(target * functional.log_softmax(student / STUDENT_TEMPERATURE, dim=-1)).sum(dim=-1)


def spread_out(vectors: Tensor) -> Tensor:
    """Return the KoLeo loss of (n, d) vectors: minus the mean log distance to the nearest."""
    unit = functional.normalize(vectors.float(), dim=-1)
    similarity = unit.detach() @ unit.detach().T
    nearest = similarity.fill_diagonal_(-2.0).argmax(dim=1)
    distance: Tensor = (unit - unit[nearest]).norm(dim=1)
    return -distance.clamp_min(1e-6).log().mean()


def random_mask(rng: np.random.Generator, images: int, patches: int) -> Tensor:
    """Return (images, patches) bool: a tenth to a half of the patches of every other image."""
    mask = np.zeros((images, patches), bool)
    for row in range(0, images, 2):
        count = int(rng.uniform(0.1, 0.5) * patches)
        mask[row, rng.permutation(patches)[: max(count, 1)]] = True
    return torch.from_numpy(mask)


class SelfDistillation(LibraryObjective):
    """Student and teacher encoders with their heads."""

    def __init__(self, recipe: EncoderRecipe) -> None:
        super().__init__(recipe)
        self.size, self.local_size = recipe.image_size, recipe.image_size // 2
        self.patches = (recipe.image_size // recipe.patch_size) ** 2
        self.image_head = Head(recipe.width, recipe.prototypes)
        self.patch_head = Head(recipe.width, recipe.prototypes)
        student = nn.ModuleList([self.encoder, self.image_head, self.patch_head])
        self.teacher = copy.deepcopy(student).requires_grad_(False)

    def loss(self, batch: EncoderBatch) -> Tensor:
        """Return DINO + iBOT + KoLeo for two global and two local crops of each image."""
        images, count = normalise(batch.pixels), len(batch.pixels)
        wide = torch.cat([random_crop(images, batch.rng, self.size, (0.4, 1.0)) for _ in range(2)])
        narrow = torch.cat(
            [random_crop(images, batch.rng, self.local_size, (0.12, 0.4)) for _ in range(2)]
        )
        mask = random_mask(batch.rng, 2 * count, self.patches)
        cls_target, patch_target = self._teach(wide, mask)
        tokens = self.encoder(pixel_values=wide, bool_masked_pos=mask).last_hidden_state
        local = _tokens(self.encoder, narrow)[:, 0]
        wide_answer, local_answer = self.image_head(tokens[:, 0]), self.image_head(local)
        first, second = cls_target.chunk(2)
        other = torch.cat([second, first])
        # Six pairs of a student's and another teacher's crop: two wide, four local.
        pairs = 2 * distillation(wide_answer, other).mean() + sum(
            2 * distillation(local_answer, target.repeat(2, 1)).mean() for target in (first, second)
        )
        patch = distillation(self.patch_head(tokens[:, 1:][mask]), patch_target)
        weight = (1 / mask.sum(dim=1).clamp_min(1))[:, None].expand_as(mask)[mask]
        patch_term = (patch * weight).sum() / mask.any(dim=1).sum()
        apart = spread_out(tokens[:count, 0]) + spread_out(tokens[count:, 0])
        return pairs / 6 + patch_term + KOLEO * apart

    @torch.no_grad()
    def _teach(self, wide: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the teacher's targets for image tokens and masked patches of whole crops."""
        encoder, image_head, patch_head = self.teacher
        tokens = _tokens(encoder, wide)
        image = balanced(image_head(tokens[:, 0]), TEACHER_TEMPERATURE)
        return image, balanced(patch_head(tokens[:, 1:][mask]), TEACHER_TEMPERATURE)

    @torch.no_grad()
    def after_step(self, share: float) -> None:
        """Move the teacher towards the student."""
        keep = 1 - (1 - MOMENTUM) * (math.cos(math.pi * share) + 1) / 2
        student = nn.ModuleList([self.encoder, self.image_head, self.patch_head])
        for old, new in zip(self.teacher.parameters(), student.parameters(), strict=True):
            old.lerp_(new, 1 - keep)


def _tokens(encoder: PreTrainedModel | nn.Module, pixels: Tensor) -> Tensor:
    """Return (B, 1 + patches, width) normalised tokens, CLS first."""
    tokens: Tensor = encoder(pixel_values=pixels).last_hidden_state
    return tokens
