"""Training images: scenes with what is known about them, drawn once and kept on disk.

Every image has a seed sequence of its own that starts with a constant no task uses, so
training images and task documents are disjoint whatever their seeds are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vlmbench.organisms._recipe import ImagesRecipe, digest
from vlmbench.tasks.worlds import draw_markers, random_scene, render

SIZE = 96
"""Side of a training image in pixels, as in the tasks."""

STREAM = 0x0F0A617A
"""First word of every training image's seed sequence."""

SHARD = 1000
"""Images drawn and saved at a time."""

SEEN = 60
"""Pixels of a thing that must show for it to be spoken of."""

Kind = Literal["single", "several", "marked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One visible thing of an image.

    Attributes:
        category: Name of its shape.
        colour: Name of its colour.
        texture: Name of its pattern.
        x: Mean column of its pixels.
        mark: Letter (or REF) of the marker drawn on it; empty without one.
    """

    category: str
    colour: str
    texture: str
    x: float
    mark: str = ""


Facts = tuple[Fact, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageSet:
    """Images and facts in step.

    Attributes:
        pixels: (n, 96, 96, 3) uint8.
        facts: Visible things of each image; length n.
        marked: (n,) bool, whether markers are drawn.
    """

    pixels: NDArray[np.uint8]
    facts: tuple[Facts, ...]
    marked: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.facts)


def kind_of(index: int, recipe: ImagesRecipe) -> Kind:
    """Return what image `index` shows; kinds are spread evenly, so any stretch is a fair sample."""
    place = (index * 0.6180339887498949) % 1.0 * recipe.total
    if place < recipe.single:
        return "single"
    return "several" if place < recipe.single + recipe.several else "marked"


def draw(seed: int, index: int, kind: Kind) -> tuple[NDArray[np.uint8], Facts]:
    """Draw one training image; returns (96, 96, 3) uint8 and its visible things."""
    rng = np.random.default_rng([STREAM, seed, index])
    facts: Facts = ()
    while not facts:
        drawn = render(random_scene(rng, things=1 if kind == "single" else (2, 4)), size=SIZE)
        masks = [drawn.ids == i for i in range(len(drawn.scene.things))]
        shown = [i for i, mask in enumerate(masks) if mask.sum() >= SEEN]
        marks = _marks(rng, shown) if kind == "marked" else {}
        facts = tuple(
            Fact(
                category=drawn.scene.things[i].category,
                colour=drawn.scene.things[i].colour,
                texture=drawn.scene.things[i].surface.texture,
                x=float(np.nonzero(masks[i])[1].mean()),
                mark=marks.get(i, ""),
            )
            for i in shown
        )
    points = [_point_on(rng, masks[i]) for i in marks]
    return draw_markers(drawn.rgb, points, list(marks.values())), facts


def _marks(rng: np.random.Generator, shown: Sequence[int]) -> dict[int, str]:
    """Choose which things are marked, and with what: REF alone, or letters from A on."""
    order = [int(i) for i in rng.permutation(np.asarray(shown, int))]
    if rng.random() < 0.25:
        return dict.fromkeys(order[:1], "REF")
    if rng.random() < 0.4:
        order = order[: rng.integers(1, len(order) + 1)] if order else order
    return dict(zip(order, "ABCD", strict=False))


def _point_on(rng: np.random.Generator, mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Draw a point inside a mask, away from its edge where it is thick enough."""
    inner = mask.copy()
    for _ in range(3):
        thinner = inner[1:-1, 1:-1] & inner[:-2, 1:-1] & inner[2:, 1:-1]
        thinner &= inner[1:-1, :-2] & inner[1:-1, 2:]
        if thinner.sum() < 12:
            break
        inner = np.pad(thinner, 1)
    rows, columns = np.nonzero(inner)
    pick = int(rng.integers(len(rows)))
    return float(columns[pick]) + 0.5, float(rows[pick]) + 0.5


def load_images(
    recipe: ImagesRecipe, cache: Path, progress: Callable[[int, int], None] | None = None
) -> ImageSet:
    """Return the training images, drawing those shards that are not in `cache` yet."""
    folder = cache / f"images-{digest(recipe)}"
    folder.mkdir(parents=True, exist_ok=True)
    shards = range(0, recipe.total, SHARD)
    for start in shards:
        _draw_shard(folder, recipe, start)
        if progress:
            progress(min(start + SHARD, recipe.total), recipe.total)
    pixels = np.concatenate([np.load(folder / f"{start}.npy") for start in shards])
    lines = [
        line
        for start in shards
        for line in (folder / f"{start}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    facts = tuple(tuple(Fact(**fact) for fact in json.loads(line)) for line in lines)
    marked = np.array([any(fact.mark for fact in image) for image in facts])
    return ImageSet(pixels=pixels, facts=facts, marked=marked)


def _draw_shard(folder: Path, recipe: ImagesRecipe, start: int) -> None:
    """Draw one shard unless it is there; the pixels are moved into place last."""
    target = folder / f"{start}.npy"
    if target.exists():
        return
    drawn = [
        draw(recipe.seed, index, kind_of(index, recipe))
        for index in range(start, min(start + SHARD, recipe.total))
    ]
    names = Fact.__dataclass_fields__
    lines = [json.dumps([{n: getattr(f, n) for n in names} for f in facts]) for _, facts in drawn]
    (folder / f"{start}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    part = folder / f"{start}.{os.getpid()}.part.npy"
    np.save(part, np.stack([pixels for pixels, _ in drawn]))
    part.replace(target)
