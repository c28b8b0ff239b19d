"""What the encoders learn from: captions (two losses) or class labels.

Every objective is a module that holds the encoder and whatever heads it needs, and turns a batch
of images with their facts into one loss.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

from vlmbench.organisms._captions import caption
from vlmbench.organisms._encoders import build_encoder, pooled
from vlmbench.organisms._images import Facts
from vlmbench.organisms._lessons import Library
from vlmbench.organisms._recipe import EncoderRecipe
from vlmbench.organisms._tokenizer import EOS_ID, PAD_ID
from vlmbench.organisms._views import gentle_view
from vlmbench.tasks.worlds import CATEGORIES, COLOURS

CAPTION_LENGTH = 48
"""Most tokens of a caption."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EncoderBatch:
    """Images of one step, what is known of them, and the source of their augmentation.

    Attributes:
        pixels: (B, h, w, 3) uint8.
        facts: Visible things of each image.
        rng: Source of views and wording.
    """

    pixels: NDArray[np.uint8]
    facts: Sequence[Facts]
    rng: np.random.Generator

    def flips(self) -> NDArray[np.bool_]:
        """(B,) images to mirror: half of those without letters drawn on them."""
        plain = np.array([not any(fact.mark for fact in facts) for facts in self.facts])
        return plain & (self.rng.random(len(plain)) < 0.5)


class Objective(nn.Module, abc.ABC):
    """An encoder in training."""

    def __init__(self, recipe: EncoderRecipe) -> None:
        super().__init__()
        self.encoder = build_encoder(recipe)
        self.batch = recipe.batch

    @abc.abstractmethod
    def loss_at(self, step: int, rng: np.random.Generator, library: Library) -> Tensor:
        """Return the scalar loss of one step.

        Args:
            step: Its number.
            rng: Its source of everything that is drawn.
            library: The images of the recipe.
        """

    @property
    def matrices(self) -> Sequence[nn.Parameter]:
        """What Muon trains instead of AdamW."""
        return ()


SAME_COLOUR = 0.5
"""Share of batches whose images all show one thing of one colour.

Captions are told apart by colour at once and by shape hardly; here only shape and pattern help.
"""


def draw_batch(library: Library, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the indices of one batch, the same for every objective.

    Every other batch or so is made of single things of one colour; the others are a fair sample
    of all images.
    """
    if rng.random() < SAME_COLOUR:
        pools = library.by_colour
        pool = pools[int(rng.integers(len(pools)))]
        if len(pool) >= size:
            return rng.choice(pool, size, replace=False)
    return rng.choice(len(library.images), min(size, len(library.images)), replace=False)


class LibraryObjective(Objective):
    """An objective that learns from the images of the recipe."""

    def loss_at(self, step: int, rng: np.random.Generator, library: Library) -> Tensor:
        """Return the loss of a batch of the library's images."""
        del step
        index = np.sort(draw_batch(library, self.batch, rng))
        return self.loss(
            EncoderBatch(
                pixels=library.images.pixels[index],
                facts=[library.images.facts[i] for i in index],
                rng=rng,
            )
        )

    @abc.abstractmethod
    def loss(self, batch: EncoderBatch) -> Tensor:
        """Return the scalar loss of a batch."""


def softmax_loss(logits: Tensor, same: Tensor) -> Tensor:
    """Return CLIP's symmetric cross-entropy (arXiv 2103.00020).

    Deviation: captions here repeat, so the target is spread evenly over all pairs with the same
    caption. Without repeats it is the identity, and the loss is CLIP's.

    Args:
        logits: (B, B) scaled similarity of image i and caption j.
        same: (B, B) bool, whether captions i and j are equal.
    """
    target = same.float() / same.float().sum(dim=1, keepdim=True)
    rows = functional.cross_entropy(logits, target)
    return (rows + functional.cross_entropy(logits.T, target)) / 2


def sigmoid_loss(logits: Tensor, same: Tensor) -> Tensor:
    """Return SigLIP's pairwise loss (arXiv 2303.15343): every pair is a yes-or-no question.

    Deviation: captions here repeat, and an image next to another image's copy of its own caption is
    neither a match nor a mismatch, so such pairs are left out. Without repeats it is SigLIP's loss.

    Args:
        logits: (B, B) scaled and shifted similarity of image i and caption j.
        same: (B, B) bool, whether captions i and j are equal.
    """
    own = torch.eye(len(logits), dtype=torch.bool)
    pairs = -functional.logsigmoid(torch.where(own, logits, -logits))
    return pairs.masked_fill(same & ~own, 0.0).sum(dim=1).mean()


class CaptionObjective(LibraryObjective):
    """Images and captions in one space: `clip` or `siglip`."""

    def __init__(self, recipe: EncoderRecipe, tokenizer: PreTrainedTokenizerFast) -> None:
        super().__init__(recipe)
        self.tokenizer = tokenizer
        self.sigmoid = recipe.objective == "siglip"
        config = CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=recipe.width,
            intermediate_size=2 * recipe.width,
            num_hidden_layers=recipe.text_layers,
            num_attention_heads=recipe.heads,
            max_position_embeddings=CAPTION_LENGTH,
            hidden_act="gelu",
            pad_token_id=PAD_ID,
            bos_token_id=None,
            eos_token_id=EOS_ID,
        )
        config._attn_implementation = "eager"
        self.text = CLIPTextModel(config)
        self.image_head, self.text_head = self._head(recipe.width), self._head(recipe.width)
        self.scale = nn.Parameter(torch.tensor(10.0 if self.sigmoid else 1 / 0.07).log())
        # Log-odds of a match among a batch's pairs. SigLIP's -10 is that of its batches of 32,768;
        # at 128 it says that nothing matches, all vectors are pulled together, and stay there.
        matches = -math.log(recipe.batch - 1)
        self.shift = nn.Parameter(torch.tensor(matches if self.sigmoid else 0.0))
        self.shift.requires_grad_(self.sigmoid)

    def _head(self, width: int) -> nn.Module:
        """Return what maps a pooled vector into the common space; it is not shipped.

        Softmax does not see what all logits of a row share. The sigmoid does: vectors of fresh
        towers share most of their direction, and unlearning that came before learning anything.
        There the batch's mean and scale are taken out first.
        """
        linear = nn.Linear(width, width, bias=False)
        if not self.sigmoid:
            return linear
        return nn.Sequential(nn.BatchNorm1d(width, affine=False), linear)

    def loss(self, batch: EncoderBatch) -> Tensor:
        """Return the contrastive loss of a batch."""
        flips = batch.flips()
        images = pooled(self.encoder, gentle_view(batch.pixels, flips, batch.rng))
        captions = [
            caption(facts, batch.rng, mirrored=bool(flip))
            for facts, flip in zip(batch.facts, flips, strict=True)
        ]
        ids = self.encode(captions)
        texts = self.text(input_ids=ids).pooler_output
        left = functional.normalize(self.image_head(images).float(), dim=-1)
        right = functional.normalize(self.text_head(texts).float(), dim=-1)
        logits = left @ right.T * self.scale.exp().clamp(max=100) + self.shift
        same = (ids[:, None] == ids[None]).all(dim=-1)
        return sigmoid_loss(logits, same) if self.sigmoid else softmax_loss(logits, same)

    def encode(self, captions: Sequence[str]) -> Tensor:
        """Return (B, t) token ids, each ended by EOS and padded on the right."""
        rows = self.tokenizer(list(captions))["input_ids"]
        rows = [[*row[: CAPTION_LENGTH - 1], EOS_ID] for row in rows]
        width = max(map(len, rows))
        return torch.tensor([row + [PAD_ID] * (width - len(row)) for row in rows])


class LabelObjective(LibraryObjective):
    """Supervised classification of category and colour.

    Deviation from single-label training: with several things in view, the target is spread
    evenly over them.
    """

    def __init__(self, recipe: EncoderRecipe) -> None:
        super().__init__(recipe)
        self.category_head = nn.Linear(recipe.width, len(CATEGORIES))
        self.colour_head = nn.Linear(recipe.width, len(COLOURS))

    def loss(self, batch: EncoderBatch) -> Tensor:
        """Return the sum of both cross-entropies."""
        view = gentle_view(batch.pixels, batch.flips(), batch.rng)
        vector = pooled(self.encoder, view)
        colours = tuple(COLOURS)
        category = _spread(
            [[CATEGORIES.index(f.category) for f in fs] for fs in batch.facts], len(CATEGORIES)
        )
        colour = _spread(
            [[colours.index(f.colour) for f in fs] for fs in batch.facts], len(colours)
        )
        return functional.cross_entropy(
            self.category_head(vector).float(), category
        ) + functional.cross_entropy(self.colour_head(vector).float(), colour)


def _spread(labels: Sequence[Sequence[int]], classes: int) -> Tensor:
    """Return (B, classes) targets that give each label of a row the same weight."""
    target = torch.zeros(len(labels), classes)
    for row, indices in enumerate(labels):
        for index in indices:
            target[row, index] += 1 / len(indices)
    return target
