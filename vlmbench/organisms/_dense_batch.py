"""What a dense objective is taught with: views drawn as they are needed, and batches of them.

Every group of views has a seed sequence of its own that starts with a constant which neither a task
nor the image set uses, so no document of a task is ever among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vlmbench.organisms._encoders import normalise
from vlmbench.organisms._views import crop, light
from vlmbench.tasks.worlds import (
    CATEGORIES,
    COLOURS,
    FUNCTIONS,
    LESSONS,
    MARKS,
    PARTS,
    UNKNOWN,
    Lesson,
    TaughtView,
    taught_group,
)

STREAM, DEPTH_STREAM = 0x0DE45E00, 0x0DE45E01
"""First word of every group's seed sequence, in the first stage and in the one for depth."""

Shares = Mapping[Lesson, float]

SHARES: Shares = {
    "part": 0.34,
    "pair": 0.18,
    "depth": 0.2,
    "odd": 0.1,
    "style": 0.04,
    "marked": 0.14,
}
"""Share of the images that each lesson has."""

DEPTH_SHARES: Shares = {
    "part": 0.14,
    "pair": 0.08,
    "depth": 0.6,
    "odd": 0.08,
    "style": 0.03,
    "marked": 0.07,
}
"""The same in the stage for depth, where the others are there so as not to be forgotten."""

SIZES: Mapping[Lesson, int] = {"pair": 2, "depth": 2, "odd": 4}
"""Images of a group, where they are not one."""

WINDOW = 4000
"""Groups that a step draws from; the oldest go and new ones come."""

REUSED = 4
"""Times that an image is seen before it goes, about."""

Group = tuple[TaughtView, ...]


class Series:
    """An endless series of groups, each drawn when it is first needed and held while it may be."""

    def __init__(self, shares: Shares = SHARES, stream: int = STREAM) -> None:
        self._stream = stream
        self._held: dict[int, Group] = {}
        often = np.array([shares[lesson] / SIZES.get(lesson, 1) for lesson in LESSONS])
        self._chance = often / often.sum()
        self._per_image = float(often.sum() / sum(shares.values()))

    def at(self, step: int, images: int, rng: np.random.Generator) -> list[Group]:
        """Return random groups of the step's window, whole ones, until they have enough images."""
        start = int(step * images * self._per_image / REUSED)
        self._held = {index: group for index, group in self._held.items() if index >= start}
        found: list[Group] = []
        for index in start + rng.permutation(WINDOW):
            found.append(self._group(int(index)))
            if sum(map(len, found)) >= images:
                break
        return found

    def _group(self, index: int) -> Group:
        if index not in self._held:
            rng = np.random.default_rng([self._stream, index])
            lesson = LESSONS[int(rng.choice(len(LESSONS), p=self._chance))]
            self._held[index] = taught_group(rng, lesson)
        return self._held[index]


LABELS: Mapping[str, int] = {
    "part": len(PARTS),
    "use": len(FUNCTIONS),
    "category": len(CATEGORIES),
    "colour": len(COLOURS),
    "letter": len(MARKS) + 1,
}
"""Classes of every label of a point."""

NUMBERS: Mapping[str, int] = {"depth": 1, "foot": 2}
"""Length of everything else that is known of a point."""

IMAGE_LABELS = ("category", "colour", "style")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DenseBatch:
    """Images of one step with all that is known of them, ready for the encoder.

    Attributes:
        pixels: (B, 3, h, w) float32, normalised.
        points: `xy` (B, p, 2) in pixels, `match` (B, p) bool, `LABELS` (B, p) int64 and `NUMBERS`
            (B, p) or (B, p, k) float32, of p points each. What is not known is -100, or NaN.
        images: `IMAGE_LABELS` (B,) int64.
        pairs: (n, 2) images that are two views of one scene.
        fours: (m, 4) images that are two views each of two like things.
    """

    pixels: Tensor
    points: Mapping[str, Tensor]
    images: Mapping[str, Tensor]
    pairs: Tensor
    fours: Tensor


def dense_batch(groups: Sequence[Sequence[TaughtView]], rng: np.random.Generator) -> DenseBatch:
    """Return groups of views as a batch, each view slightly moved and in another light.

    Scenes that teach depth stay where they are, since there the place in the image tells of it;
    they are mirrored instead, unless there are letters on them.
    """
    views = [view for group in groups for view in group]
    side, count = views[0].pixels.shape[0], len(views)
    still = np.array([view.lesson == "depth" for view in views])
    lettered = np.array([view.points["letter"].any() for view in views])
    flip = still & ~lettered & (rng.random(count) < 0.5)
    moves = ~still & (rng.random(count) < 0.7)
    zoom = np.where(moves, rng.uniform(0.85, 1.12, count), 1.0)
    centre = np.where(moves[:, None], rng.uniform(-0.12, 0.12, (count, 2)), 0.0)
    images = normalise(np.stack([view.pixels for view in views]))
    names = views[0].points.dtype.names or ()
    points = {
        name: torch.from_numpy(np.stack([view.points[name] for view in views])) for name in names
    }
    starts = np.cumsum([0, *map(len, groups)])
    return DenseBatch(
        pixels=light(crop(images, zoom, centre, flip, side), rng, 0.08),
        points=moved(points, zoom, centre, flip, side),
        images={
            name: torch.tensor([getattr(view, name) for view in views]) for name in IMAGE_LABELS
        },
        pairs=_grouped(starts, 2),
        fours=_grouped(starts, 4),
    )


def _grouped(starts: NDArray[np.int64], size: int) -> Tensor:
    """Return (n, size) numbers of the images of every group of that size."""
    found = [list(range(at, end)) for at, end in pairwise(starts) if end - at == size]
    return torch.tensor(found, dtype=torch.long).reshape(-1, size)


def moved(
    points: Mapping[str, Tensor],
    zoom: NDArray[np.float64],
    centre: NDArray[np.float64],
    flip: NDArray[np.bool_],
    side: int,
) -> dict[str, Tensor]:
    """Return points as they are in crops of their images; what left the crop knows nothing.

    Args:
        points: As in `DenseBatch`.
        zoom: As `crop` takes it.
        centre: As `crop` takes it.
        flip: As `crop` takes it.
        side: Of image and crop, in pixels.
    """
    across = torch.from_numpy(np.stack([np.where(flip, -zoom, zoom), zoom], axis=1)).float()
    offset = torch.from_numpy(centre).float()[:, None]
    relative = (points["xy"] / side * 2 - 1 - offset) / across[:, None]
    inside = (relative.abs() <= 1).all(dim=-1)
    found = {"xy": (relative + 1) / 2 * side, "match": points["match"] & inside}
    for name in LABELS:
        found[name] = torch.where(inside, points[name], UNKNOWN)
    # What looks larger looks nearer.
    nearer = torch.from_numpy(zoom).float().log()[:, None]
    found["depth"] = torch.where(inside, points["depth"] + nearer, torch.nan)
    found["foot"] = torch.where(inside[..., None], points["foot"] / across[:, None], torch.nan)
    return found
