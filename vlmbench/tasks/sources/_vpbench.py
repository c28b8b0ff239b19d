"""VPBench's coordinates and unmarked pictures, joined to BLINK's documents.

Layout [D] (Feng et al., arXiv 2512.17875, https://github.com/TonyLianLong/VPBench, data
https://huggingface.co/datasets/longlian/VPBench):
`BLINK_depth_data/depth/perceptioneval_depth_dev.json`, a list with `original_image` (below
`images/`), `point_A`, `point_B` and `human_answer_2` ("A" or "B"); and
`BLINK_semantic_data/semantic_correspondence/semantic_corr_raw_fixed.json`, whose `val` is a list
with `images` (two names that end in `-<source>-<target>:<category>_1` and `_2`), `src_kps`,
`trg_kps`, `gold_point`, `real_consider_points`, `real_answer` ("(A)") and `blink_image1_size`.

The points are pixels of the unmarked originals, which are what the encoder is shown; VPBench's
own scaling, (blink size // 2) / original size, is only for drawing on a copy of BLINK's size.

How the two releases number their documents is not documented. Rows are therefore joined by
what is in their pictures: BLINK's marked copy must agree with the original, must differ from it
at every point that VPBench gives, where the rings are, and the answers must be the same. If several
rows still fit, the one whose `question_id` or `idx` is BLINK's `idx` is taken, else none: a
document is left without coordinates rather than given doubtful ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlmbench.spec import VpBenchPoints
from vlmbench.tasks.sources._items import Point, clipped, inside, open_picture, picture_size
from vlmbench.tasks.sources._places import below_home, named, require
from vlmbench.types import EncodedImage, Problem, VlmbenchError

if TYPE_CHECKING:
    from datasets import Dataset

DEPTH = "BLINK_depth_data/depth"
SEMANTIC = "BLINK_semantic_data/semantic_correspondence"
# Pictures are compared in a grid of this many cells a side, in levels of 255. All numbers are ours.
GRID = 128
# Two copies of a picture differ by less in the median cell, whatever is drawn on one of them.
SAME = 8.0
# A ring, or the label above it, makes a cell within this many cells of the point differ by more.
NEAR = 4
RING = 20.0
# Width over height may differ by this share, for rounding.
ASPECT = 0.02
SLACK = 1.5
_WHOLE = "Download the whole repository longlian/VPBench."
_picture = partial(named, what="a picture of VPBench", remedy=_WHOLE)

Cells = NDArray[np.int16]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """One row of VPBench.

    Attributes:
        ids: What it is called there.
        files: Its unmarked pictures.
        sizes: Their (width, height) in pixels.
        cells: The same, for comparison.
        answer: "(A)" and so on.
        reference: Point in the first picture, or None.
        choices: Points in the last one, in the order of the letters.
    """

    ids: frozenset[str]
    files: tuple[Path, ...]
    sizes: tuple[tuple[int, int], ...]
    cells: tuple[Cells, ...]
    answer: str
    reference: Point | None
    choices: tuple[Point, ...]

    def points(self, image: int) -> tuple[Point, ...]:
        """Return the points in one of the pictures."""
        asked = () if self.reference is None or image != 0 else (self.reference,)
        return asked + (self.choices if image == len(self.files) - 1 else ())


def add_vpbench(points: VpBenchPoints, dataset: Dataset) -> Dataset:
    """Return BLINK's rows with coordinates and unmarked pictures where VPBench has them.

    Rows without a partner keep null coordinates and BLINK's marked pictures as `unmarked_*`,
    which no readout looks at.

    Raises:
        VlmbenchError: If VPBench is there and not a single document finds its partner.
    """
    from datasets import Image as ImageFeature
    from datasets import List, Value

    root = below_home(points.root)
    read = {"depth": _read_depth, "semantic": _read_semantic}[points.part]
    known = read(root) if root.is_dir() else []
    columns = ["image_1"] if points.part == "depth" else ["image_1", "image_2"]
    partners = [_partner(row, columns, known) for row in dataset]
    if known and not any(partners):
        message = f"none of {len(dataset)} documents is among its {len(known)}"
        remedy = "Is it the release for BLINK's validation split?"
        raise VlmbenchError(Problem(file=str(root), message=message, remedy=remedy))
    point = List(Value("float64"))
    references = [p and p.reference and list(p.reference) for p in partners]
    choices = [p and [list(place) for place in p.choices] for p in partners]
    dataset = dataset.add_column("points_reference", references, feature=point)
    dataset = dataset.add_column("points_choices", choices, feature=List(point))
    for i, column in enumerate(columns):
        pictures = [
            {"bytes": p.files[i].read_bytes(), "path": None} if p else row
            for p, row in zip(partners, dataset[column], strict=True)
        ]
        feature = ImageFeature(decode=False)
        dataset = dataset.add_column(f"unmarked_{i + 1}", pictures, feature=feature)
    return dataset


def _partner(row: dict[str, Any], columns: list[str], known: list[Known]) -> Known | None:
    """Return the one row of VPBench that a BLINK document is, or None."""
    if not known:
        return None
    try:
        shown = [EncodedImage(row[column]["bytes"]).decode() for column in columns]
    except (OSError, ValueError):  # which is said where the document is checked
        return None
    cells = [_cells(picture) for picture in shown]
    fits = [
        other
        for other in known
        if other.answer == row["answer"]
        and all(_fits(other, i, picture.size, cells[i]) for i, picture in enumerate(shown))
    ]
    if len(fits) > 1:
        fits = [other for other in fits if row["idx"] in other.ids]
    return fits[0] if len(fits) == 1 else None


def _fits(known: Known, image: int, size: tuple[int, int], cells: Cells) -> bool:
    """Tell whether a marked picture is a copy of one of VPBench's, with rings at its points."""
    width, height = known.sizes[image]
    if abs(np.log(size[0] / size[1] / (width / height))) > ASPECT:
        return False
    difference = np.abs(cells - known.cells[image]).mean(axis=2)
    if np.median(difference) >= SAME:
        return False
    for x, y in known.points(image):
        column, line = int((x + 0.5) / width * GRID), int((y + 0.5) / height * GRID)
        window = difference[
            max(0, line - NEAR) : line + NEAR + 1, max(0, column - NEAR) : column + NEAR + 1
        ]
        if window.max() <= RING:
            return False
    return True


def _cells(picture: Image.Image) -> Cells:
    """Return (GRID, GRID, 3) mean colours."""
    return np.asarray(picture.resize((GRID, GRID), Image.Resampling.BOX), dtype=np.int16)


def _load(path: Path) -> Any:
    require(path, "VPBench's annotation", _WHOLE)
    return json.loads(path.read_text(encoding="utf-8"))


def _read_depth(root: Path) -> list[Known]:
    folder = root / DEPTH
    rows = _load(folder / "perceptioneval_depth_dev.json")
    return _all(rows, lambda row: _depth_row(folder, row))


def _depth_row(folder: Path, row: dict[str, Any]) -> Known:
    return _known(
        row,
        files=(_picture(folder / "images", row["original_image"]),),
        answer=f"({row['human_answer_2']})",
        reference=None,
        choices=[row["point_A"], row["point_B"]],
    )


def _read_semantic(root: Path) -> list[Known]:
    folder = root / SEMANTIC
    rows = _load(folder / "semantic_corr_raw_fixed.json")["val"]
    return _all(rows, lambda row: _semantic_row(folder, row))


def _semantic_row(folder: Path, row: dict[str, Any]) -> Known:
    return _known(
        row,
        files=tuple(_spair_file(folder, name) for name in row["images"]),
        answer=row["real_answer"],
        reference=row["src_kps"][row["gold_point"]],
        choices=[row["trg_kps"][i] for i in row["real_consider_points"]],
    )


def _spair_file(folder: Path, name: str) -> Path:
    """Return the picture that a name such as `7-2008_01-2009_02:cat_1` refers to."""
    _, source, rest = name.split("-")
    target, category = rest.split(":")
    category, _, which = category.rpartition("_")
    file = f"{source if which == '1' else target}.jpg"
    return _picture(folder / "images", category, file)


def _all(rows: list[dict[str, Any]], make: Callable[[dict[str, Any]], Known]) -> list[Known]:
    """Return every row, or raise with what is wrong in each."""
    found: list[Known] = []
    problems: list[Problem] = []
    for number, row in enumerate(rows):
        try:
            found.append(make(row))
        except VlmbenchError as error:
            problems += error.problems
        except (KeyError, IndexError, ValueError, TypeError) as error:
            message = f"VPBench, row {number}: {type(error).__name__} {error}"
            problems.append(Problem(message=message))
    if problems:
        raise VlmbenchError(problems[:20])
    return found


def _known(
    row: dict[str, Any],
    *,
    files: tuple[Path, ...],
    answer: str,
    reference: list[float] | None,
    choices: list[list[float]],
) -> Known:
    sizes = [picture_size(file) for file in files]
    origin = None if reference is None else _point(reference)
    ends = tuple(_point(point) for point in choices)
    places = [(point, sizes[-1]) for point in ends]
    if origin is not None:
        places.append((origin, sizes[0]))
    for point, size in places:
        if not inside(point, size, slack=SLACK):
            message = f"{point} lies outside {files[-1].name} of {size[0]} x {size[1]} pixels"
            raise VlmbenchError(Problem(message=message))
    return Known(
        ids=frozenset(str(row[name]) for name in ("question_id", "idx") if name in row),
        files=files,
        sizes=tuple(sizes),
        cells=tuple(_cells(open_picture(file)) for file in files),
        answer=answer,
        reference=None if origin is None else clipped(origin, sizes[0]),
        choices=tuple(clipped(point, sizes[-1]) for point in ends),
    )


def _point(xy: list[float]) -> Point:
    x, y = xy
    return float(x), float(y)
