"""Text of strangers, made harmless to look at."""

from __future__ import annotations

import re
import unicodedata

_SUSPECT = re.compile(r"[^\x20-\x7e\n\t]")
# Control, format (what turns the direction of writing or has no width), lone surrogates, and the
# separators that some programs break a line at.
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def plain(text: str, *, longest: int | None = None) -> str:
    r"""Return text in which everything that acts on a reader, or hides from one, is spelt out.

    Terminal escapes, NUL, marks that turn the direction of writing, characters without width and
    lone surrogates become `\x1b`, `\u202e` and so on. Letters of every script stay, and so do
    line ends and tabs.

    Args:
        text: Anything.
        longest: Cut the middle out of text of more characters than this.
    """
    if longest is not None and len(text) > longest:
        left = f" [{len(text) - longest:,} characters left out] "
        text = text[: longest * 2 // 3] + left + text[len(text) - longest // 3 :]
    return _SUSPECT.sub(lambda found: _spelt(found[0]), text)


def one_line(text: str, *, longest: int | None = None) -> str:
    """Return text as `plain` does, on one line."""
    return plain(" ".join(text.split()), longest=longest)


def _spelt(character: str) -> str:
    """Return a character as it is or, if it cannot be seen, by its number."""
    if unicodedata.category(character) not in _HIDDEN:
        return character
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
