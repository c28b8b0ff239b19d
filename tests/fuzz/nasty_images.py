"""Image files that are sound, and others that are made to hurt whoever opens them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from awkward import FILES as AWKWARD
from awkward import REFUSED, awkward
from PIL import Image, PngImagePlugin

PNG = b"\x89PNG\r\n\x1a\n"
SIZE = (40, 24)


def saved(form: str, mode: str = "RGB", **options: Any) -> bytes:
    noise = np.random.default_rng(1).integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


def frames() -> Sequence[Image.Image]:
    return [Image.new("RGB", SIZE, (level, 0, 0)) for level in range(0, 250, 10)]


def _described() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("about", "a" * 500, zip=True)
    info.add_itxt("xml", "b" * 500, "en", "c", zip=True)
    return info


SOUND: dict[str, bytes] = {
    **{name: awkward(name).data for name in AWKWARD},
    **{f"png {mode}": saved("PNG", mode) for mode in ("1", "L", "P", "RGB", "RGBA", "LA")},
    "png described": saved("PNG", pnginfo=_described(), icc_profile=b"p" * 300, exif=b"Exif\0\0MM"),
    "apng": saved("PNG", save_all=True, append_images=frames()),
    "jpeg": saved("JPEG"),
    "jpeg progressive": saved("JPEG", progressive=True),
    "jpeg cmyk": saved("JPEG", "CMYK"),
    "jpeg grey": saved("JPEG", "L"),
    "webp": saved("WEBP"),
    "webp lossless": saved("WEBP", "RGBA", lossless=True),
    "webp animated": saved("WEBP", save_all=True, append_images=frames()),
    "gif": saved("GIF"),
    "gif animated": saved("GIF", save_all=True, append_images=frames()),
    "tiff": saved("TIFF"),
    "tiff lzw": saved("TIFF", compression="tiff_lzw"),
    "tiff jpeg": saved("TIFF", compression="jpeg"),
    "tiff deflate": saved("TIFF", compression="tiff_adobe_deflate"),
    "tiff frames": saved("TIFF", save_all=True, append_images=frames()),
    "bmp": saved("BMP"),
    "bmp palette": saved("BMP", "P"),
    "ppm": saved("PPM"),
    "pgm": saved("PPM", "L"),
}


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    width: int, height: int, *, depth: int = 8, colour: int = 2, pixels: bytes | None = None,
    before: bytes = b"", after: bytes = b"",
) -> bytes:  # fmt: skip
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    data = zlib.compress(b"\0" * 1000) if pixels is None else pixels
    return PNG + header + before + chunk(b"IDAT", data) + after + chunk(b"IEND", b"")


def _zeros(count: int) -> bytes:
    """Return so many zero bytes, compressed a thousandfold."""
    packer, found = zlib.compressobj(9), []
    for start in range(0, count, 1 << 20):
        found.append(packer.compress(bytes(min(1 << 20, count - start))))
    return b"".join([*found, packer.flush()])


def _full(side: int) -> bytes:
    """Return a whole PNG of side x side pixels in a few hundred kilobytes."""
    return png(side, side, pixels=_zeros(side * (side * 3 + 1)))


def scans(count: int) -> bytes:
    """Return a progressive JPEG whose last scan is there again and again."""
    plain = Image.new("RGB", (2048, 2048), (90, 120, 200))
    buffer = io.BytesIO()
    plain.save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * count + data[-2:]


def _ifd(*tags: tuple[int, int, int, int]) -> bytes:
    """Return a little-endian TIFF of nothing but tags (tag, type, count, value)."""
    rows = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + rows + bytes(64)


def _gif(width: int, height: int) -> bytes:
    """Return a GIF that claims a size and ends with its first pixels."""
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + (
        b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\0;"
    )  # fmt: skip


def _bmp(width: int, height: int, bits: int, compression: int = 0) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 54) + header + bytes(400)


HUGE = 2**31 - 1
HOSTILE: dict[str, bytes] = {
    **{name: make() for name, make in REFUSED.items()},
    "empty": b"",
    "text": b"not a picture",
    "png 144 million pixels": _full(12_000),
    "png claims 4e18 pixels": png(HUGE, HUGE),
    "png claims 256 million": png(16_000, 16_000),
    "png one row": png(HUGE, 1),
    "png no size": png(0, 0),
    "png bad depth": png(8, 8, depth=3),
    "png bad colour": png(8, 8, colour=5),
    "png palette without palette": png(8, 8, colour=3),
    "png profile bomb": png(8, 8, before=chunk(b"iCCP", b"p\0\0" + _zeros(200 << 20))),
    "png text bomb": png(8, 8, before=chunk(b"zTXt", b"t\0\0" + _zeros(200 << 20))),
    "png text bombs": png(8, 8, before=chunk(b"zTXt", b"t\0\0" + _zeros(1 << 20)) * 100),
    "png text bomb behind": png(8, 8, after=chunk(b"iTXt", b"t\0\1\0\0\0" + _zeros(200 << 20))),
    "png pixels bomb": png(8, 8, pixels=_zeros(500 << 20)),
    "png frames": png(8, 8, before=chunk(b"acTL", struct.pack(">II", HUGE, 0))),
    "png exif of nothing": png(8, 8, before=chunk(b"eXIf", b"MM\0*\0\0\0\x08\xff\xff")),
    "png chunk beyond the end": PNG + struct.pack(">I4s", HUGE, b"IHDR"),
    "png 100,000 chunks": png(8, 8, before=chunk(b"tEXt", b"a\0b") * 100_000),
    "jpeg 5,000 scans": scans(5_000),
    "jpeg claims 65,500": saved("JPEG").replace(b"\0\x18\0\x28", b"\xff\xdc\xff\xdc"),
    "jpeg only markers": b"\xff\xd8" + b"\xff\xe1\0\2" * 50_000,
    "jpeg exif of nothing": saved("JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"),
    "gif claims 65,535": _gif(65_535, 65_535),
    "gif claims 7,000": _gif(7_000, 7_000),
    "webp claims 16,383": b"RIFF\x1a\0\0\0WEBPVP8L\r\0\0\0\x2f\xff\xff\xff\x0f" + bytes(9),
    "tiff of itself": struct.pack("<2sHI", b"II", 42, 0),
    "tiff ring of frames": _ifd((256, 4, 1, 8), (257, 4, 1, 8))[:-64] + struct.pack("<I", 8),
    "tiff huge": _ifd((256, 4, 1, HUGE), (257, 4, 1, HUGE), (258, 3, 1, 8), (262, 3, 1, 1),
                      (273, 4, 1, 8), (278, 4, 1, HUGE), (279, 4, 1, HUGE)),
    "tiff count": _ifd((256, 4, HUGE, 8), (257, 4, HUGE, 8), (273, 16, HUGE, 8)),
    "bmp huge": _bmp(HUGE, HUGE, 24),
    "bmp negative": _bmp(-8, -8, 24),
    "bmp runs": _bmp(7_000, 7_000, 8, 1),
    "ppm huge": b"P6 99999999999999999999 99999999999999999999 255\n",
    "ppm endless number": b"P5 " + b"1" * 100_000,
    "ppm comment": b"P6 #" + b"x" * 1_000_000,
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n%%EOF\n",
    "psd": b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 8, 8, 8, 3) + bytes(12),
    "fits": b"SIMPLE  =                    T" + b" " * 2850,
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "ico": saved("ICO"),
    "jpeg 2000": saved("JPEG2000"),
}  # fmt: skip
