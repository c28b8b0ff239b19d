"""A published layout on disk, read as one split of documents."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
from PIL import Image

from vlmbench.spec import Reader
from vlmbench.tasks._markers import Place, mark
from vlmbench.tasks.sources._da2k import DA2K
from vlmbench.tasks.sources._funkpoint import FUNKPOINT
from vlmbench.tasks.sources._hpatches import HPATCHES
from vlmbench.tasks.sources._items import Item, Layout, Point, clipped, png, reduced
from vlmbench.tasks.sources._kept import kept, source_digest
from vlmbench.tasks.sources._nyuv2 import NYUV2
from vlmbench.tasks.sources._places import below_home, data_home
from vlmbench.tasks.sources._spair71k import SPAIR71K
from vlmbench.types import Problem, VlmbenchError

if TYPE_CHECKING:
    from datasets import Dataset, Features

LAYOUTS: dict[str, Layout] = {
    "spair71k": SPAIR71K,
    "hpatches": HPATCHES,
    "funkpoint": FUNKPOINT,
    "nyuv2": NYUV2,
    "da2k": DA2K,
}
LETTERS = "ABCD"
MILLIMETRES = 1000


def describe_source(reader: Reader) -> str:
    """Return the layout, draw and seed in one line, for the record."""
    drawn = "all" if reader.documents is None else f"{reader.documents} documents"
    return f"{reader.layout}, {drawn}, seed {reader.seed}"


def source_folder(reader: Reader) -> Path:
    """Return the folder in which a layout is looked for."""
    return below_home(reader.root or LAYOUTS[reader.layout].folder)


def read_source(reader: Reader, split: str, *, cache: Path) -> Dataset:
    """Return one split of a published layout in our columns.

    Columns: `doc_id`; `gold`, dealt evenly over the letters; `image_1` (and `image_2`) with
    markers drawn as BLINK draws them; `unmarked_1` (and `unmarked_2`); `reference` [x, y] in
    image 1 or null; `points`, [x, y] per choice in the last image, or null where a row only
    trains; `depth_1`, 16-bit millimetres, 0 where unknown, of layouts with depth maps; text
    columns of the layout. Points are pixels of the stored picture. Pictures whose longest side
    exceeds 1024 pixels are reduced, and points and maps with them. The same seed gives the
    same rows.

    Args:
        reader: Layout, folder, and how much is drawn.
        split: `train`, `validation` or `test`.
        cache: Folder of what has been read before; it is read again where any file of the
            source, the spec, this package or a library that makes pixels has changed.

    Raises:
        VlmbenchError: If the data, or a part of it, is missing, with how to get it.
    """
    layout, root = LAYOUTS[reader.layout], source_folder(reader)
    remedy = layout.remedy.format(home=data_home(), root=root)
    if not root.is_dir():
        message = f"there is no data of layout `{reader.layout}`"
        raise VlmbenchError(Problem(file=str(root), message=message, remedy=remedy))
    if split not in layout.splits:
        message = f"layout `{reader.layout}` has no split {split!r}"
        remedy = f"Splits: {', '.join(layout.splits)}."
        raise VlmbenchError(Problem(message=message, remedy=remedy))
    place = cache / f"{reader.layout}-{source_digest(reader, root)}"
    try:
        return kept(
            place / f"{split}.parquet", _features(layout), partial(_rows, reader, split, root)
        )
    except VlmbenchError as error:
        raise VlmbenchError(
            [
                Problem(file=p.file, message=p.message, field=p.field, remedy=p.remedy or remedy)
                for p in error.problems
            ]
        ) from error
    except Exception as error:  # broken files, of whichever format
        message = f"split {split!r} cannot be read: {type(error).__name__}: {error}"
        raise VlmbenchError(Problem(file=str(root), message=message, remedy=remedy)) from error


def _rows(reader: Reader, split: str, root: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a split, letters dealt."""
    layout = LAYOUTS[reader.layout]
    rng = np.random.default_rng([reader.seed, crc32(f"{reader.layout}/{split}".encode())])
    found = layout.items(root, split, rng)
    asks = split == "test" or not layout.has_depth
    items = list(islice(found, reader.documents) if asks else found)
    if not items:
        raise VlmbenchError(
            Problem(
                file=str(root),
                message=f"no document can be made from split {split!r}",
                remedy="Is the download complete, and are its files unchanged?",
            )
        )
    golds = rng.permutation(np.arange(len(items)) % layout.n_choices)
    orders = [rng.permutation(layout.n_choices - 1) + 1 for _ in items]
    for item, gold, wrong in zip(items, golds.tolist(), orders, strict=True):
        yield _row(layout, split, item, gold, wrong)


def _row(layout: Layout, split: str, item: Item, gold: int, wrong: np.ndarray) -> dict[str, Any]:
    """Return one row: candidates in the order of the letters, markers drawn."""
    opened = [reduced(open_picture()) for open_picture in item.pictures]
    pictures = [picture for picture, _ in opened]
    first, last = pictures[0], pictures[-1]
    reference = None
    if item.reference is not None:
        reference = _scaled(item.reference, opened[0][1], first)
    points: list[Point] | None = None
    if item.candidates:
        moved = [_scaled(point, opened[-1][1], last) for point in item.candidates]
        order = [int(i) for i in wrong]
        order.insert(gold, 0)
        points = [moved[i] for i in order]
    marked = list(pictures)
    if points is not None:
        marked[-1] = mark(last, [_centre(point) for point in points], LETTERS[: len(points)])
    if reference is not None:
        marked[0] = mark(first, [_centre(reference)], ["REF"])
    row: dict[str, Any] = {
        "doc_id": f"{split}-{item.name}",
        "gold": gold if points is not None else 0,
        "reference": reference,
        "points": points,
        **{fact: item.facts[fact] for fact in layout.facts},
    }
    for number, (shown, plain) in enumerate(zip(marked, pictures, strict=True), start=1):
        row[f"unmarked_{number}"] = {"bytes": png(plain), "path": None}
        row[f"image_{number}"] = {"bytes": png(shown), "path": None}
    if layout.has_depth:
        row["depth_1"] = None if item.depth is None else _encoded_depth(item.depth(), first.size)
    return row


def _centre(point: Point) -> Place:
    """Return the centre of the pixel that a point names."""
    return point[0] + 0.5, point[1] + 0.5


def _scaled(point: Point, scale: tuple[float, float], picture: Image.Image) -> Point:
    """Return a point in a reduced picture; pixel centres stay on what they lay on."""
    x, y = ((value + 0.5) * factor - 0.5 for value, factor in zip(point, scale, strict=True))
    return clipped((x, y), picture.size)


def _encoded_depth(depth: np.ndarray, size: tuple[int, int]) -> dict[str, Any]:
    """Return a map in metres as a 16-bit PNG in millimetres, of the picture's size."""
    limits = np.iinfo(np.uint16)
    pixels = np.clip(np.round(depth * MILLIMETRES), 0, limits.max).astype(np.uint16)
    # Nearest: between a known and an unknown depth there is nothing to interpolate.
    image = Image.fromarray(pixels)
    if image.size != size:
        image = image.resize(size, Image.Resampling.NEAREST)
    return {"bytes": png(image), "path": None}


def _features(layout: Layout) -> Features:
    from datasets import Features, List, Value
    from datasets import Image as ImageFeature

    numbers = range(1, layout.n_pictures + 1)
    columns: dict[str, Any] = {
        "doc_id": Value("string"),
        "gold": Value("int64"),
        "reference": List(Value("float64")),
        "points": List(List(Value("float64"))),
        **dict.fromkeys(layout.facts, Value("string")),
        **{f"unmarked_{i}": ImageFeature() for i in numbers},
        **{f"image_{i}": ImageFeature() for i in numbers},
    }
    if layout.has_depth:
        columns["depth_1"] = ImageFeature()
    return Features(columns)
