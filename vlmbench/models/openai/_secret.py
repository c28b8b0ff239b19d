"""Keeping an API key out of everything that is shown or written."""

from __future__ import annotations

import base64
import re
from urllib.parse import quote

# Shorter keys are placeholders ("EMPTY"), which may well occur in an honest answer.
SHORTEST_SECRET = 8
# A part of a key this long stands nowhere by chance.
SHORTEST_PART = 12
_LEFT = "[key]"


class Secret:
    """A key that servers like to repeat: as it is, in part, or written in another way.

    Found are the key, its percent, base64 and hexadecimal forms and its JSON escapes, whatever the
    case of their letters, and every part of one of these that has at least 12 characters.

    Args:
        key: The key; None, or one of less than 8 characters, is found nowhere.
    """

    def __init__(self, key: str | None) -> None:
        forms = _forms(key) if key is not None and len(key) >= SHORTEST_SECRET else []
        self._size = min([SHORTEST_PART, *map(len, forms)])
        self._parts = {
            form[at : at + self._size] for form in forms for at in range(len(form) - self._size + 1)
        }

    def out_of(self, text: str) -> str:
        """Return text with `[key]` in place of the key and of its parts."""
        if not self._parts:
            return text
        kept: list[str] = []
        low, size, last, at = _lower(text), self._size, 0, 0
        while at <= len(low) - size:
            if low[at : at + size] not in self._parts:
                at += 1
                continue
            kept += [text[last:at], _LEFT]
            while low[at + 1 : at + 1 + size] in self._parts:
                at += 1
            at = last = at + size
        return "".join([*kept, text[last:]])


def _forms(key: str) -> list[str]:
    """Return the ways in which a key may be written, in small letters."""
    raw = key.encode()
    # What stands before it decides how a text's base64 is cut: its ends belong to what is beside.
    shifted = [base64.b64encode(bytes(shift) + raw).decode() for shift in range(3)]
    encoded = [text[4 * bool(shift) : -4] for shift, text in enumerate(shifted)]
    escaped = "".join(f"\\u{ord(character):04x}" for character in key)
    forms = [key, quote(key, safe=""), key.replace("/", "\\/"), raw.hex(), escaped, *encoded]
    return [_lower(form) for form in forms if len(form) >= SHORTEST_SECRET]


def _lower(text: str) -> str:
    """Return text with small ASCII letters, as long as before."""
    return re.sub("[A-Z]+", lambda found: found[0].lower(), text)
