"""Review sheets: every document with its rings drawn over, the least certain first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from vlmbench.annotate._documents import Annotation
from vlmbench.annotate._markers import Marker

_TILE = 420
_CLOSE = 96
_CAPTION = 34
_GAP = 8
_ROWS = 4
_KEPT, _REFUSED, _DOUBTFUL = (0, 230, 80), (255, 60, 200), (255, 210, 0)


def write_sheets(annotations: Sequence[Annotation], folder: Path) -> list[Path]:
    """Write `review-001.png` and so on, a few documents each, and return the files.

    Each document shows its marked images with what was found drawn over (green: written, pink:
    its document is refused, yellow: not used), and below them every expected marker enlarged.
    Refused documents come first, then the least certain.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("review-[0-9]*.png"):
        old.unlink()
    ranked = sorted(
        annotations, key=lambda one: (not one.refusal, one.confidence, one.document.doc_id)
    )
    files = []
    for start in range(0, len(ranked), _ROWS):
        rows = [_row(annotation) for annotation in ranked[start : start + _ROWS]]
        width = max(row.width for row in rows)
        page = Image.new("RGB", (width, sum(row.height + _GAP for row in rows)), "white")
        top = 0
        for row in rows:
            page.paste(row, (0, top))
            top += row.height + _GAP
        files.append(folder / f"review-{start // _ROWS + 1:03}.png")
        page.save(files[-1])
    return files


def _row(annotation: Annotation) -> Image.Image:
    """One document: caption, marked images, enlarged markers."""
    pictures = [_overdrawn(annotation, image) for image in sorted(annotation.expected)]
    close = [_enlarged(annotation, image, marker) for image, marker in annotation.kept]
    high = max(picture.height for picture in pictures)
    width = max(
        sum(picture.width + _GAP for picture in pictures), len(close) * (_CLOSE + _GAP), 2 * _TILE
    )
    row = Image.new("RGB", (width, _CAPTION + high + _GAP + _CLOSE + 14), "white")
    pen = ImageDraw.Draw(row)
    state = f"REFUSED: {annotation.refusal}" if annotation.refusal else "written"
    pen.text(
        (2, 2),
        f"{annotation.document.doc_id}   confidence {annotation.confidence:.2f}",
        fill="black",
    )
    pen.text((2, 17), state, fill="red" if annotation.refusal else "darkgreen")
    left = 0
    for picture in pictures:
        row.paste(picture, (left, _CAPTION))
        left += picture.width + _GAP
    for number, ((_, marker), tile) in enumerate(zip(annotation.kept, close, strict=True)):
        at = (number * (_CLOSE + _GAP), _CAPTION + high + _GAP)
        row.paste(tile, at)
        pen.text((at[0], at[1] + _CLOSE), f"{marker.label} {marker.confidence:.2f}", fill="black")
    return row


def _overdrawn(annotation: Annotation, image: int) -> Image.Image:
    """Return an image, reduced, with a circle of another colour about every ring."""
    picture = annotation.document.images[image].decode()
    scale = min(1.0, _TILE / max(picture.size))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=11)
    for index, marker in annotation.found:
        if index != image:
            continue
        x, y = (marker.x + 0.5) * scale, (marker.y + 0.5) * scale
        reach = marker.radius * scale + 4
        colour = _colour(annotation, image, marker)
        pen.ellipse((x - reach, y - reach, x + reach, y + reach), outline=colour, width=2)
        text = f"{marker.label} {marker.confidence:.2f}"
        pen.text((x + reach + 2, y - 6), text, font=font, fill=colour, stroke_width=1,
                 stroke_fill="black")  # fmt: skip
    return picture


def _colour(annotation: Annotation, image: int, marker: Marker) -> tuple[int, int, int]:
    if (image, marker) not in annotation.kept:
        return _DOUBTFUL
    return _REFUSED if annotation.refusal else _KEPT


def _enlarged(annotation: Annotation, image: int, marker: Marker) -> Image.Image:
    """Return a marker's surroundings with a cross at its centre and the fitted circle."""
    reach = 3.2 * marker.radius
    box = (marker.x + 0.5 - reach, marker.y + 0.5 - reach,
           marker.x + 0.5 + reach, marker.y + 0.5 + reach)  # fmt: skip
    picture = annotation.document.images[image].decode()
    tile = picture.transform(
        (_CLOSE, _CLOSE), Image.Transform.EXTENT, box, resample=Image.Resampling.BICUBIC
    )
    pen, middle = ImageDraw.Draw(tile), _CLOSE / 2
    radius, colour = marker.radius * _CLOSE / (2 * reach), _colour(annotation, image, marker)
    pen.ellipse((middle - radius, middle - radius, middle + radius, middle + radius),
                outline=colour)  # fmt: skip
    pen.line((middle - 4, middle, middle + 4, middle), fill=colour)
    pen.line((middle, middle - 4, middle, middle + 4), fill=colour)
    return tile
