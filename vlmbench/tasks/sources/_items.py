"""What a layout yields: pictures and places, before letters are dealt and markers drawn."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from vlmbench.types import EncodedImage

Point = tuple[float, float]
"""(x, y) in pixels of the undistorted picture, top-left origin."""

LONGEST = 1024
"""Longest side of a picture in pixels; larger ones are reduced, as BLINK does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One question to be: its pictures, where it starts, and where it may end.

    Attributes:
        name: Unique within the split.
        pictures: One function per picture that opens it as RGB. The candidates lie in the last
            one, the reference in the first.
        candidates: The right point first; empty in splits that only train.
        reference: The point that is asked about, or None.
        facts: Text columns (category, action, picture), for prompts and for what documents share.
        depth: Opens the (height, width) depth map of the first picture in metres, 0 where it is
            unknown; None where the source has none.
    """

    name: str
    pictures: tuple[Callable[[], Image.Image], ...]
    candidates: tuple[Point, ...] = ()
    reference: Point | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    depth: Callable[[], np.ndarray] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A published layout and how to read it.

    Attributes:
        folder: Default folder below `data_home()`.
        remedy: How to get the data; `{root}` and `{home}` are filled in.
        splits: Splits it has.
        n_pictures: Pictures of a document.
        n_choices: Candidates of a document.
        facts: Names of its text columns.
        has_depth: Whether rows carry a depth map.
        items: Yields items of a split in a seeded order; at most as many as are taken are read.
    """

    folder: str
    remedy: str
    splits: tuple[str, ...]
    n_pictures: int
    n_choices: int
    facts: tuple[str, ...] = ()
    has_depth: bool = False
    items: Callable[[Path, str, np.random.Generator], Iterator[Item]]


def open_picture(path: Path) -> Image.Image:
    """Return what the picture at `path` shows, as RGB."""
    with _file(path) as image:
        return image.decode()


def picture_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of the picture at `path` in pixels, without decoding it."""
    with _file(path) as image:
        return image.size


@contextmanager
def _file(path: Path) -> Iterator[EncodedImage]:
    """Give the file at `path`, and name it in the error if it is damaged."""
    if not path.is_file():
        raise ValueError(f"{path} is not a file")
    image = EncodedImage(path.read_bytes())
    try:
        yield image
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def inside(point: Point, size: tuple[int, int], *, slack: float = 0.0) -> bool:
    """Tell whether a point names a pixel of a picture, give or take `slack` pixels."""
    ends = (size[0] - 1, size[1] - 1)
    return all(-slack <= value <= end + slack for value, end in zip(point, ends, strict=True))


def clipped(point: Point, size: tuple[int, int]) -> Point:
    """Return the nearest position that names a pixel of a picture."""
    return (
        min(max(float(point[0]), 0.0), size[0] - 1.0),
        min(max(float(point[1]), 0.0), size[1] - 1.0),
    )


def apart(points: tuple[Point, ...], least: float) -> bool:
    """Tell whether every two points are at least `least` pixels apart."""
    at = np.asarray(points, dtype=np.float64)
    distance = np.hypot(*(at[:, None] - at[None]).transpose(2, 0, 1))
    return bool((distance[~np.eye(len(at), dtype=bool)] >= least).all())


def reduced(picture: Image.Image) -> tuple[Image.Image, tuple[float, float]]:
    """Return the picture with its longest side at most `LONGEST`, and the (x, y) scale."""
    scale = min(1.0, LONGEST / max(picture.size))
    if scale == 1.0:
        return picture, (1.0, 1.0)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    smaller = picture.resize(size, Image.Resampling.LANCZOS)
    return smaller, (size[0] / picture.width, size[1] / picture.height)


def png(picture: Image.Image) -> bytes:
    """Return the picture as PNG bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
