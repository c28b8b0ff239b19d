"""Fitting a depth head: maps brought to the tower's square, epochs, the choice of the best."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from vlmbench.readouts.probes._dpt import N_LAYERS, DptNetwork
from vlmbench.readouts.probes._features import Frame, ImageFeatures
from vlmbench.readouts.probes._loss import (
    DepthMetrics,
    depth_loss,
    depth_metrics,
    mean_metrics,
)
from vlmbench.readouts.probes._recipe import DptRecipe
from vlmbench.types import Problem, VlmbenchError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DepthExample:
    """An image's features and its true depth.

    Attributes:
        features: Four layers, shallow to deep.
        depth: (height, width) of the original image, float, metres; 0 where unknown.
    """

    features: ImageFeatures
    depth: Float[np.ndarray, "height width"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochMetrics:
    """How good a head was after one epoch.

    Attributes:
        epoch: From 1.
        train_loss: Mean loss over the epoch's steps.
        validation: Metrics on the validation split.
    """

    epoch: int
    train_loss: float
    validation: DepthMetrics


def depth_on_square(example: DepthExample) -> Float[np.ndarray, "side side"]:
    """Return the depth map on the tower's square: nearest pixel, 0 in the padding, float32.

    Nearest, because a blend of two depths across an edge is the depth of nothing.
    """
    frame = example.features.square
    inside, rows, columns = _nearest_pixels(frame)
    found = np.zeros((frame.side, frame.side), dtype=np.float32)
    found[inside] = example.depth[rows, columns]
    return found


@lru_cache(maxsize=8)
def _nearest_pixels(frame: Frame) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Return where the square shows image, (side, side), and the row and column seen at each.

    The images of a data set mostly share one frame, and every epoch asks for it again.
    """
    centres = np.arange(frame.side) + 0.5
    square = np.stack(np.meshgrid(centres, centres), axis=-1)  # (side, side, xy)
    xy = np.floor(frame.from_square(square)).astype(np.int64)
    width, height = frame.image_size
    x, y = xy[..., 0], xy[..., 1]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return inside, y[inside], x[inside]


def check_examples(
    train: Sequence[DepthExample], validation: Sequence[DepthExample]
) -> tuple[float, float]:
    """Return the (least, greatest) known depth of `train`, in metres.

    Raises:
        VlmbenchError: With every split that is empty or without known depth, and every example
            whose features or map do not fit the first one's.
    """
    problems: list[Problem] = []
    ranges = []
    wanted: tuple[object, ...] | None = None
    for name, split in (("training", train), ("validation", validation)):
        low, high = math.inf, 0.0
        for i in range(len(split)):
            example = split[i]
            frame, shape = example.features.square, tuple(example.features.patch_tokens.shape)
            found = (frame.side, frame.patch, shape)
            wanted = wanted or (frame.side, frame.patch, (N_LAYERS, *shape[1:]))
            messages = []
            if found != wanted:
                messages.append(f"features (side, patch, shape) are {found}, not {wanted}")
            if example.depth.shape != frame.image_size[::-1]:
                messages.append(f"map of {example.depth.shape} for {frame.image_size} pixels")
            if not np.isfinite(example.depth).all() or (example.depth < 0).any():
                messages.append("depth must be finite and at least 0")
            problems += [Problem(message=f"{name} example {i}: {text}") for text in messages]
            known = example.depth[example.depth > 0]
            if known.size:
                low, high = min(low, float(known.min())), max(high, float(known.max()))
        if low > high:
            problems.append(Problem(message=f"the {name} split has no known depth"))
        ranges.append((low, high))
    if problems:
        raise VlmbenchError(problems)
    return ranges[0]


def _batches(
    examples: Sequence[DepthExample], order: Sequence[int], size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (batch, layers, h, w, dim) tokens and (batch, side, side) depth."""
    for start in range(0, len(order), size):
        part = [examples[i] for i in order[start : start + size]]
        tokens = torch.stack([example.features.patch_tokens.to(device) for example in part])
        depth = torch.from_numpy(np.stack([depth_on_square(example) for example in part]))
        yield tokens, depth.to(device)


def _known(depth: Tensor, depth_range: tuple[float, float]) -> Tensor:
    """Tell where depth is known and within the range of the bins."""
    low, high = torch.tensor(depth_range, dtype=depth.dtype)  # rounded as the maps are
    known: Tensor = (depth > 0) & (depth >= low.to(depth)) & (depth <= high.to(depth))
    return known


def _rate(step: int, *, warmup: float, steps: int) -> float:
    """Return the learning rate at a step as a share of the greatest."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


@torch.no_grad()
def evaluate(
    network: DptNetwork,
    examples: Sequence[DepthExample],
    *,
    batch_size: int,
    depth_range: tuple[float, float],
) -> DepthMetrics:
    """Return the mean metrics over the examples, measured on the tower's square."""
    parts: list[DepthMetrics] = []
    for tokens, depth in _batches(examples, range(len(examples)), batch_size, network.bins.device):
        parts += depth_metrics(network(tokens), depth, _known(depth, depth_range))
    if not parts:
        raise VlmbenchError(f"no validation pixel has a depth within {depth_range} m")
    return mean_metrics(parts)


def _train_epoch(
    network: DptNetwork,
    batches: Iterator[tuple[Tensor, Tensor]],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    *,
    recipe: DptRecipe,
    depth_range: tuple[float, float],
    after_step: Callable[[], None],
) -> float:
    """Take one step per batch and return the mean loss."""
    losses = []
    for tokens, depth in batches:
        loss = depth_loss(network(tokens), depth, _known(depth, depth_range), recipe)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
        after_step()
    return float(torch.stack(losses).double().mean())


def train_network(
    network: DptNetwork,
    train: Sequence[DepthExample],
    validation: Sequence[DepthExample],
    *,
    recipe: DptRecipe,
    depth_range: tuple[float, float],
    rng: np.random.Generator,
    progress: Callable[[int, int], None] | None,
) -> tuple[EpochMetrics, ...]:
    """Train in place and leave the weights of the epoch with the least validation abs_rel.

    Returns the history; the earliest epoch wins a tie. No other choice is made on data.
    """
    steps_per_epoch = math.ceil(len(train) / recipe.batch_size)
    steps, warmup = recipe.epochs * steps_per_epoch, recipe.warmup_epochs * steps_per_epoch
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _rate(step, warmup=warmup, steps=steps)
    )
    history: list[EpochMetrics] = []
    best: dict[str, Tensor] = {}
    done = itertools.count(1)
    for epoch in range(1, recipe.epochs + 1):
        order = rng.permutation(len(train)).tolist()
        mean_loss = _train_epoch(
            network,
            _batches(train, order, recipe.batch_size, network.bins.device),
            optimizer,
            schedule,
            recipe=recipe,
            depth_range=depth_range,
            after_step=lambda: progress(next(done), steps) if progress else None,
        )
        judged = evaluate(
            network, validation, batch_size=recipe.batch_size, depth_range=depth_range
        )
        if not math.isfinite(mean_loss) or not math.isfinite(judged.abs_rel):
            raise VlmbenchError(f"the depth head diverged in epoch {epoch} (loss {mean_loss})")
        if all(judged.abs_rel < past.validation.abs_rel for past in history):
            best = {name: value.clone() for name, value in network.state_dict().items()}
        history.append(EpochMetrics(epoch=epoch, train_loss=mean_loss, validation=judged))
    network.load_state_dict(best)
    return tuple(history)
