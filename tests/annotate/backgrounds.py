"""What markers are drawn on: photographs, ray-traced scenes and noise, full of red things."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vlmbench.tasks.worlds import random_scene, render

RED = (255, 0, 0)
# Photographs that ship inside the wheel of scikit-image.
PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "retina.jpg", "rocket.jpg", "ihc.png",
          "hubble_deep_field.jpg", "color.png", "brick.png", "page.png")  # fmt: skip
Pixels = NDArray[np.uint8]


def background(rng: np.random.Generator, size: tuple[int, int]) -> Pixels:
    """A photograph, a ray-traced scene or coloured noise of (width, height)."""
    kind = rng.choice(["photo", "scene", "noise"], p=[0.5, 0.2, 0.3])
    if kind == "noise":
        return noise(rng, size)
    if kind == "scene":
        picture = Image.fromarray(np.asarray(render(random_scene(rng)).rgb))
    else:
        picture = photo(str(rng.choice(PHOTOS)))
    wide, high = picture.size
    share = rng.uniform(0.5, 1.0)
    aspect = size[0] / size[1]
    cut_w, cut_h = (wide * share, wide * share / aspect)
    if cut_h > high:
        cut_w, cut_h = high * share * aspect, high * share
        cut_w, cut_h = (wide, wide / aspect) if cut_w > wide else (cut_w, cut_h)
    x, y = rng.uniform(0, wide - cut_w), rng.uniform(0, max(high - cut_h, 0))
    box = (x, y, x + cut_w, min(y + cut_h, high))
    return np.array(picture.resize(size, Image.Resampling.BICUBIC, box=box))


@cache
def photo(name: str) -> Image.Image:
    return Image.open(Path(skimage.__file__).parent / "data" / name).convert("RGB")


def noise(rng: np.random.Generator, size: tuple[int, int]) -> Pixels:
    """Coloured noise of several octaves."""
    total = np.zeros((size[1], size[0], 3))
    for octave in (4, 12, 40, 120):
        shape = (max(2, size[1] * octave // 600), max(2, size[0] * octave // 600), 3)
        layer = rng.random(shape).astype(np.float32)
        for c in range(3):
            page = Image.fromarray(layer[..., c])
            total[..., c] += np.asarray(page.resize(size, Image.Resampling.BICUBIC)) * octave**-0.4
    total = (total - total.min()) / (total.max() - total.min())
    return (255 * np.clip(total * rng.uniform(0.8, 1.3), 0, 1)).astype(np.uint8)


def red_things(rng: np.random.Generator, image: Pixels, radius: float) -> Pixels:
    """Add red discs, rings, stripes and text, some in the colour and size of a marker."""
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    width, height = picture.size
    for _ in range(int(rng.integers(0, 7))):
        kind = rng.choice(["disc", "ring", "stripe", "text", "sign"], p=[0.3, 0.3, 0.2, 0.12, 0.08])
        colour = RED if rng.random() < 0.4 else tuple(
            int(v) for v in (rng.integers(150, 256), *rng.integers(0, 110, 2)))  # fmt: skip
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        r = radius * rng.choice([rng.uniform(0.8, 1.3), rng.uniform(1.3, 5)])
        box = (x - r, y - r, x + r, y + r)
        if kind == "disc":
            pen.ellipse(box, fill=colour)
        elif kind == "ring":
            pen.ellipse(box, outline=colour, width=max(1, int(r * rng.uniform(0.15, 0.5))))
        elif kind == "stripe":
            end = (rng.uniform(0, width), rng.uniform(0, height))
            pen.line(((x, y), end), fill=colour, width=max(1, int(rng.uniform(0.2, 2) * radius)))
        else:
            words = str(rng.choice(["STOP", "SALE", "7", "K", "OPEN", "R", "EXIT", "H"]))
            face = ImageFont.load_default(size=max(9, int(1.5 * radius)))
            if kind == "sign":
                edge = pen.textbbox((x, y), words, font=face)
                pen.rectangle((edge[0] - 3, edge[1] - 3, edge[2] + 3, edge[3] + 3), fill="black")
            pen.text((x, y), words, font=face, fill="white" if kind == "sign" else colour)
    return np.array(picture)
