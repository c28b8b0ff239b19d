"""Names of files after text that others chose."""

from __future__ import annotations

import hashlib
import re

_LONGEST = 100
_PLAIN = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.+-]{{0,{_LONGEST - 1}}}")


def file_name(text: str) -> str:
    """Return a name for a file after any text: one part of a path, of at most 100 characters.

    Letters, digits, `_`, `.`, `+` and `-` make a name as they are. Of anything else as much as can
    be read is kept, with a digest, so that two texts do not share a name by chance.
    """
    if _PLAIN.fullmatch(text):
        return text
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", text[:_LONGEST]).strip("-")[: _LONGEST - 13]
    return f"{readable}-{digest}" if readable else digest
