"""Pictures that stand in the data itself, as base64."""

from __future__ import annotations

import base64

# No name of a file is as long.
_LONGER_THAN_A_NAME = 255
# How base64 of PNG, JPEG, GIF, WebP, BMP and TIFF begins.
_STARTS = ("iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR", "Qk", "SUkq", "TU0A")


def is_inline(value: object) -> bool:
    """Tell whether a value is a data URL, or too long for a name and begins as pictures do."""
    return isinstance(value, str) and (
        value.startswith("data:")
        or (len(value) > _LONGER_THAN_A_NAME and value.startswith(_STARTS))
    )


def inline_bytes(text: str) -> bytes:
    """Return the bytes of an inline picture.

    Raises:
        ValueError: If they are not written as base64.
    """
    head, comma, body = text.partition(",") if text.startswith("data:") else ("", ",", text)
    if not comma or (head and not head.endswith(";base64")):
        raise ValueError("a data URL is read as `data:image/png;base64,...`")
    return base64.b64decode("".join(body.split()), validate=True)
