"""Image files as they come from phones, drawing programs and microscopes, and what each shows.

Every file is made of one picture with a different colour in each corner, so that any turn, any
lost edge and any wrong scale is seen. `FILES` are to be decoded; `REFUSED` must not be.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

Pixels = NDArray[np.uint8]
SIZE = (40, 24)
_T = Image.Transpose
# What a camera that was held so stores, to be undone by the orientation tag.
STORED = {
    1: None, 2: _T.FLIP_LEFT_RIGHT, 3: _T.ROTATE_180, 4: _T.FLIP_TOP_BOTTOM,
    5: _T.TRANSPOSE, 6: _T.ROTATE_90, 7: _T.TRANSVERSE, 8: _T.ROTATE_270,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Awkward:
    """A file and what it shows.

    Attributes:
        data: Its bytes.
        pixels: (height, width, 3), what a person sees in it.
        off: Most levels by which a right decoder may be off: what JPEG loses, or rounding.
    """

    data: bytes
    pixels: Pixels
    off: int = 0


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


def picture(seed: int = 0) -> Pixels:
    """Smooth colours, which JPEG keeps, another in each corner."""
    corners = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    smooth = Image.fromarray(corners).resize(SIZE, Image.Resampling.BILINEAR)
    return np.asarray(smooth)


def phone(tag: int, form: str = "JPEG", pixels: Pixels | None = None) -> Awkward:
    """A photograph by a camera that was held in one of eight ways."""
    shown = picture() if pixels is None else pixels
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = tag, "a phone"
    upright = Image.fromarray(shown)
    stored = upright if STORED[tag] is None else upright.transpose(STORED[tag])
    options = {"quality": 95, "subsampling": 0} if form == "JPEG" else {}
    if form == "WEBP":
        options = {"lossless": True}
    return Awkward(encoded(stored, form, exif=exif, **options), shown, 8 if form == "JPEG" else 0)


def grey() -> Pixels:
    return np.tile(np.arange(SIZE[1], dtype=np.uint8)[:, None] * 10, (1, SIZE[0]))


def _rgb(levels: Pixels) -> Pixels:
    return np.repeat(levels[..., None], 3, axis=2)


def on_white(pixels: Pixels, alpha: Pixels) -> Pixels:
    part = alpha[..., None] / 255
    return np.round(pixels * part + 255 * (1 - part)).astype(np.uint8)


def _alpha() -> Pixels:
    """Clear on the left, solid on the right, all between in the middle."""
    row = np.clip(np.linspace(-100, 355, SIZE[0]), 0, 255).astype(np.uint8)
    return np.tile(row, (SIZE[1], 1))


def _rgba() -> Awkward:
    image = Image.fromarray(picture())
    image.putalpha(Image.fromarray(_alpha()))
    return Awkward(encoded(image, "PNG"), on_white(picture(), _alpha()), 1)


def _grey_alpha() -> Awkward:
    image = Image.fromarray(grey())
    image.putalpha(Image.fromarray(_alpha()))
    return Awkward(encoded(image, "PNG"), on_white(_rgb(grey()), _alpha()), 1)


def _drawing(form: str) -> Awkward:
    """Black strokes in a palette whose background is black too, but transparent."""
    strokes = np.zeros(SIZE[::-1], np.uint8)
    strokes[4:8, 5:30] = 1
    image = Image.fromarray(strokes)
    image.putpalette([0, 0, 0, 10, 20, 30])
    shown = np.full((*strokes.shape, 3), 255, np.uint8)
    shown[4:8, 5:30] = (10, 20, 30)
    return Awkward(encoded(image, form, transparency=0), shown)


def _keyed() -> Awkward:
    """True colours, one of which is transparent."""
    pixels = picture().copy()
    pixels[:5] = (1, 2, 3)
    shown = pixels.copy()
    shown[:5] = 255
    return Awkward(encoded(Image.fromarray(pixels), "PNG", transparency=(1, 2, 3)), shown)


def _one_bit() -> Awkward:
    bits = np.random.default_rng(1).integers(0, 2, SIZE[::-1]).astype(bool)
    return Awkward(encoded(Image.fromarray(bits), "PNG"), _rgb((bits * 255).astype(np.uint8)))


def _cmyk() -> Awkward:
    """Inks without black: what is not printed is the colour."""
    inks = np.dstack([255 - picture(), np.zeros(SIZE[::-1], np.uint8)])
    image = Image.frombytes("CMYK", SIZE, inks.tobytes())
    return Awkward(encoded(image, "TIFF"), picture())


def _deep(form: str) -> Awkward:
    """Greys of 16 bits, with something in their lower half."""
    wide = grey().astype(np.uint16) * 256 + 77
    return Awkward(encoded(Image.fromarray(wide), form), _rgb(grey()))


def _deep_keyed() -> Awkward:
    wide = grey().astype(np.uint16) * 256
    shown = _rgb(grey())
    shown[3] = 255
    parts = png_parts(encoded(Image.fromarray(wide), "PNG"))
    parts.insert(1, (b"tRNS", struct.pack(">H", int(wide[3, 0]))))
    return Awkward(png(parts), shown)


def _opaque() -> Awkward:
    """An alpha channel that hides nothing, as screenshots have it."""
    return Awkward(encoded(Image.fromarray(picture()).convert("RGBA"), "PNG"), picture())


def _xmp() -> Awkward:
    """An orientation in XMP, behind the pixels."""
    stored = Image.fromarray(picture()).transpose(STORED[6])
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    parts = png_parts(encoded(stored, "PNG", pnginfo=info))
    text = [part for part in parts if part[0] == b"iTXt"]
    others = [part for part in parts if part[0] != b"iTXt"]
    return Awkward(png([*others[:-1], *text, others[-1]]), picture())


def _broken_exif(form: str) -> Awkward:
    """Metadata that begins like none."""
    file = phone(1, form)
    if form == "PNG":
        parts = [
            (name, b"?" * 8 + body[8:] if name == b"eXIf" else body)
            for name, body in png_parts(file.data)
        ]
        return Awkward(png(parts), file.pixels)
    start = file.data.index(b"Exif\0\0") + 6
    return Awkward(file.data[:start] + b"?" * 8 + file.data[start + 8 :], file.pixels, file.off)


def _broken_profile(form: str) -> Awkward:
    """A colour profile that is none."""
    data = encoded(Image.fromarray(picture()), form, icc_profile=b"no profile" * 9)
    if form == "PNG":
        parts = [(name, b"?" if name == b"iCCP" else body) for name, body in png_parts(data)]
        data = png(parts)
    return Awkward(data, picture(), 8 if form == "JPEG" else 0)


def _broken_comment() -> Awkward:
    """A PNG on its side whose text was damaged on the way."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "some words")
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.fromarray(picture()).transpose(STORED[6])
    data = encoded(stored, "PNG", pnginfo=info, exif=exif)
    return Awkward(data.replace(b"some words", b"same words"), picture())


def png_parts(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the (name, body) of a PNG's chunks."""
    parts, start = [], 8
    while start < len(data):
        length, name = struct.unpack(">I4s", data[start : start + 8])
        parts.append((name, data[start + 8 : start + 8 + length]))
        start += 12 + length
    return parts


def png(parts: list[tuple[bytes, bytes]]) -> bytes:
    chunks = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


FILES: dict[str, Callable[[], Awkward]] = {
    "plain.png": lambda: Awkward(encoded(Image.fromarray(picture()), "PNG"), picture()),
    "grey.png": lambda: Awkward(encoded(Image.fromarray(grey()), "PNG"), _rgb(grey())),
    "one_bit.png": _one_bit,
    "cmyk.tif": _cmyk,
    "opaque.png": _opaque,
    "rgba.png": _rgba,
    "grey_alpha.png": _grey_alpha,
    "drawing.png": lambda: _drawing("PNG"),
    "drawing.gif": lambda: _drawing("GIF"),
    "keyed.png": _keyed,
    "deep.png": lambda: _deep("PNG"),
    "deep.tif": lambda: _deep("TIFF"),
    "deep.pgm": lambda: _deep("PPM"),
    "deep_keyed.png": _deep_keyed,
    **{
        f"turned_{tag}.{form.lower()}": lambda tag=tag, form=form: phone(tag, form)
        for form in ("JPEG", "PNG", "WEBP", "TIFF")
        for tag in STORED
    },
    "turned_xmp.png": _xmp,
    "broken_exif.jpeg": lambda: _broken_exif("JPEG"),
    "broken_exif.png": lambda: _broken_exif("PNG"),
    "broken_profile.jpeg": lambda: _broken_profile("JPEG"),
    "broken_profile.png": lambda: _broken_profile("PNG"),
    "broken_comment.png": _broken_comment,
}


def _white_is_zero() -> bytes:
    wide = Image.fromarray(grey().astype(np.uint16) * 256)
    return encoded(wide, "TIFF", tiffinfo={262: 0})


REFUSED: dict[str, Callable[[], bytes]] = {
    "whole.tif": lambda: encoded(Image.fromarray(grey().astype(np.int32) * 300), "TIFF"),
    "float.tif": lambda: encoded(Image.fromarray(grey().astype(np.float32) / 255), "TIFF"),
    "inverted.tif": _white_is_zero,
    "cut.jpeg": lambda: phone(1).data[:-200],
    "words.png": lambda: b"no image at all",
    "nothing.png": lambda: b"",
}


@cache
def awkward(name: str) -> Awkward:
    """Return one of `FILES`."""
    return FILES[name]()
