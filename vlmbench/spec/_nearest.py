"""What the user may have meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: object, names: Iterable[str], *, most: int = 1) -> tuple[str, ...]:
    """Return up to `most` names that look like `word`, best first."""
    by_lower = {name.lower(): name for name in names}
    close = get_close_matches(str(word).lower(), by_lower, n=most, cutoff=0.6)
    return tuple(by_lower[name] for name in close)


def did_you_mean(word: object, names: Iterable[str], *, what: str) -> str:
    """Return `Did you mean ...?` and the list of names, as a remedy."""
    names = tuple(names)
    guess = nearest(word, names)
    listing = f"{what}: {', '.join(names)}." if names else f"{what}: none."
    return f"Did you mean `{guess[0]}`? {listing}" if guess else listing
