"""What an image file shows: one rule, for every prompt, encoder, rule, sheet and harness.

A picture is what a person sees who opens the file:

- **Upright**: turned as its orientation tag (EXIF or XMP) says.
- **On white**: what is transparent, wholly or in part, lies on white.
- **Eight bits a channel**: 16-bit greys are divided by 256, which is also how Pillow reads 16-bit
  colours, so that black stays black and white white. Integers of 32 bits and floats do not say
  which value is white, and are refused.
- **The first frame** of several; colours as they are stored, without applying an ICC profile.

Metadata that cannot be read is no reason to refuse a picture: it is ignored. `datasets` and
transformers agree with this wherever they read a file at all, except that they cut 16-bit greys
off at 255 and floats at 0 and 255; tests/types/test_picture.py holds both sides of that.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any, Final

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

DECODE_VERSION: Final = 1
"""Raised when a file shows other pixels than before."""

FORMATS: Final = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What is read, as Pillow names it. Pillow knows more, some of which start programs."""

MOST_PIXELS: Final = 50_000_000
"""Of the largest picture that is decoded."""

_MOST_READS = 500_000  # a file is read in: headers in small parts, pixels in blocks
_MOST_PASSES = 20  # over all pixels of the largest picture
_AS_TEXT = 400  # passes that take as long as it takes to read numbers written as text

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = (5, 6, 7, 8)
# Modes that Pillow turns into RGB just as the rule says, unless a colour is transparent, and that
# can be written as PNG, which lm-eval does with every image.
_PLAIN_MODES = frozenset({"1", "L", "P", "RGB"})
_TOO_LARGE = f"it has more than {MOST_PIXELS:,} pixels, which is the most that are decoded"
_JPEG, _SCAN = b"\xff\xd8", b"\xff\xda"
_PLAIN_PNM = (b"P1", b"P2", b"P3")
_PNG = b"\x89PNG\r\n\x1a\n"
# What a PNG shows follows from these parts; all others only describe it.
_PNG_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
# One of them stands in every PNG that has an orientation, which may follow the pixels.
_PNG_ORIENTED = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # tags of TIFF


def decode(data: bytes) -> Image.Image:
    """Return what a file shows, as RGB without metadata.

    Raises:
        OSError: If the pixels are damaged.
        ValueError: If the bytes are not an image, or do not say which value is white.
    """
    with opened(data) as image:
        return _decoded(image)


def look(data: bytes) -> tuple[tuple[int, int], bool]:
    """Return `decode(data).size` and `is_as_stored(data)`, decoding once where that tells both.

    Raises:
        OSError: If the pixels are damaged.
        ValueError: If the bytes are not an image, or do not say which value is white.
    """
    try:
        image = _parsed(data)
    except ValueError:
        if not data.startswith(_PNG):
            raise
        return decode(data).size, is_as_stored(data)  # it may still be one that only we open
    with image:
        plain = _has_plain_header(image, data)
        picture = _decoded(image)
    return picture.size, plain or is_as_stored(data)


def size(data: bytes) -> tuple[int, int]:
    """Return the (width, height) of what a file shows, without decoding its pixels."""
    with opened(data) as image:
        # Pillow turns TIFFs by itself and gives their turned size.
        if image.format != "TIFF" and _orientation(image, data) in _ON_ITS_SIDE:
            return image.height, image.width
        return image.size


def is_plain(data: bytes) -> bool:
    """Tell, by the file's header, whether Pillow's own conversion to RGB gives what it shows."""
    try:
        image = _parsed(data)
    except ValueError:  # it may still be one that only we open
        return False
    return _has_plain_header(image, data)


def _has_plain_header(image: Image.Image, data: bytes) -> bool:
    return (
        image.mode in _PLAIN_MODES
        and not image.has_transparency_data
        and (image.format == "TIFF" or _orientation(image, data) == 1)
    )


def is_as_stored(data: bytes) -> bool:
    """Tell whether a file shows what Pillow's own conversion to RGB gives, pixel for pixel."""
    if is_plain(data):
        return True
    try:
        image = _parsed(data)
    except ValueError:  # its metadata keeps Pillow from opening it
        return False
    with image:
        return image.convert("RGB").tobytes() == decode(data).tobytes()


def shown(image: Image.Image) -> Image.Image:
    """Return what an opened image shows, as RGB without metadata.

    Raises:
        ValueError: If its values do not say which of them is white.
    """
    image.load()
    picture = _on_white(image)
    turn = _TURNS.get(_orientation(image))
    if turn is not None:
        picture = picture.transpose(turn)
    picture.info.clear()  # else a copy that is saved would be turned again
    return picture


def _decoded(image: Image.Image) -> Image.Image:
    """Return what an opened image shows, as RGB; raises OSError or ValueError."""
    try:
        return shown(image)
    except (OSError, ValueError):
        raise
    except Exception as error:  # a decoder may raise anything on a damaged file
        raise ValueError(f"{type(error).__name__}: {error}") from error


def opened(data: bytes) -> Image.Image:
    """Return an image with its header read, its pixels still to be decoded.

    Raises:
        ValueError: If the bytes are not an image in one of `FORMATS`, or one that is too large.
    """
    try:
        return _parsed(data)
    except ValueError:
        if data.startswith(_PNG) and (bare := _bare_png(data)) != data:
            return _parsed(bare)  # Pillow refuses a PNG for a damaged profile or comment
        raise


def _parsed(data: bytes) -> Image.Image:
    """Return an image as Pillow opens it; raises ValueError if it does not, or it is too large."""
    try:
        image = Image.open(_Parts(data), formats=FORMATS)
    except UnidentifiedImageError:
        message = f"it is not an image in a format that can be read ({', '.join(FORMATS)})"
        raise ValueError(message) from None
    except Image.DecompressionBombError:
        raise ValueError(_TOO_LARGE) from None
    except ValueError:
        raise
    except Exception as error:  # a format's parser may raise anything on a damaged header
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if image.mode in ("P", "PA") and image.palette is None:
        raise ValueError("its pixels are numbers of colours, and it has no palette")
    pixels = image.width * image.height
    if pixels > MOST_PIXELS:
        raise ValueError(_TOO_LARGE)
    if pixels * _passes(data) > MOST_PIXELS * _MOST_PASSES:
        raise ValueError("its pixels are stored in a way that takes minutes to read: save it anew")
    return image


def _passes(data: bytes) -> int:
    """Return how many times the time of one pass over its pixels a file takes to decode."""
    if data.startswith(_JPEG):
        return data.count(_SCAN)
    return _AS_TEXT if data[:2] in _PLAIN_PNM else 1


class _Parts(io.BytesIO):
    """A file that ends a reader that would take it byte by byte for minutes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._left = _MOST_READS

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes."""
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"it consists of more than {_MOST_READS:,} parts")
        return super().read(size)


def _bare_png(data: bytes) -> bytes:
    """Return a PNG without the parts that only describe it, but for an intact EXIF."""
    kept, start = [_PNG], len(_PNG)
    while start + 12 <= len(data):
        length, name = struct.unpack(">I4s", data[start : start + 8])
        part = data[start : start + 12 + length]
        intact = zlib.crc32(part[4:-4]).to_bytes(4) == part[-4:]
        if name in _PNG_PIXELS or (name == b"eXIf" and intact):
            kept.append(part)
        start += len(part)
    return b"".join(kept)


def _orientation(image: Image.Image, data: bytes | None = None) -> Any:
    """Return the orientation tag as it stands; 1 where there is none, None if unreadable.

    Args:
        image: An opened image.
        data: Its file, where its pixels need not be decoded: Pillow decodes a PNG to look for
            a tag behind them.
    """
    oriented = data is None or image.format != "PNG" or any(mark in data for mark in _PNG_ORIENTED)
    if not oriented:
        return 1
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged metadata raises whatever its parser met
        return None


def _on_white(image: Image.Image) -> Image.Image:
    """Return an image as RGB, what is transparent on white; transformers does the same."""
    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image)
    if image.has_transparency_data:
        front = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", front.size, "white"), front)
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return an image with wide values as 8-bit greys, a transparent value as alpha."""
    tags = getattr(image, "tag_v2", {})
    # Pillow gives what a PGM with more than 255 greys holds in 32 bits, scaled to 16.
    ranged = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")
    if not ranged or tags.get(_BITS_PER_SAMPLE, (16,)) != (16,) or tags.get(_PHOTOMETRIC) == 0:
        kind = "floats" if image.mode == "F" else f"integers of mode {image.mode}"
        raise ValueError(
            f"its pixels are {kind}, which do not say which value is black and which is white; "
            "save it with 8 bits a channel"
        )
    values = np.asarray(image)
    grey = Image.fromarray((values >> 8).astype(np.uint8))
    transparent = image.info.get("transparency")
    if transparent is not None:
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey
