"""JSON objects of strangers, whose values are taken only if they are of the kind that is meant."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vlmbench.types import Problem, VlmbenchError, plain

MOST_SIDE = 8_192
"""Most pixels of a side that a checkpoint's files may ask for."""
MOST_LAYERS = 1_000
"""Most layers that they may ask for: each is built before weights are looked for."""
AGAIN = "Correct the file, or fetch the checkpoint again."
_LONGEST_SHOWN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """An object in a JSON file. Absent keys and null are the same.

    Every method that takes a key raises VlmbenchError with file, key and value if what is there is
    of another kind.

    Attributes:
        values: Its keys and values, of any kind.
        file: The file's path.
        at: Dotted key of the object in the file; empty for the whole file.
    """

    values: Mapping[str, Any]
    file: str
    at: str = ""

    def __bool__(self) -> bool:
        return bool(self.values)

    def section(self, key: str) -> Section:
        """Return the object under a key; an empty one if there is none."""
        found = self.values.get(key)
        if found is not None and not isinstance(found, Mapping):
            raise self.wrong(key, "an object")
        return Section(values=found or {}, file=self.file, at=self._dotted(key))

    def text(self, key: str) -> str | None:
        """Return the text under a key."""
        found = self.values.get(key)
        if found is not None and not isinstance(found, str):
            raise self.wrong(key, "text")
        return found

    def whole(self, key: str, *, least: int = 1, most: int = MOST_SIDE) -> int | None:
        """Return the whole number under a key, from `least` to `most`."""
        found = self.values.get(key)
        if found is None:
            return None
        wanted = f"a whole number from {least:,} to {most:,}"
        return self._number(key, found, wanted, least, most)

    def side(self, key: str) -> int | None:
        """Return a size in pixels: a number, or the first of a list or of an object's sides.

        None too where an object says neither height nor shortest edge.
        """
        found = self.values.get(key)
        if isinstance(found, Mapping):
            found = found.get("height", found.get("shortest_edge"))
        if isinstance(found, list) and found:
            found = found[0]
        if found is None:
            return None
        return self._number(key, found, f"a size from 1 to {MOST_SIDE:,} pixels", 1, MOST_SIDE)

    def levels(self, key: str) -> list[float] | None:
        """Return three levels of colour, in [0, 1]."""
        found = self.values.get(key)
        if found is None:
            return None
        numbers = isinstance(found, list) and all(
            isinstance(level, (int, float)) and 0 <= level <= 1 for level in found
        )
        if not numbers or len(found) != 3:
            raise self.wrong(key, "three numbers from 0 to 1")
        return [float(level) for level in found]

    def wrong(self, key: str, wanted: str) -> VlmbenchError:
        """Return that the value under a key is not what is wanted."""
        found = self.values.get(key)
        if isinstance(found, (dict, list)):
            said = "an object" if isinstance(found, dict) else "a list"
        else:
            said = plain(json.dumps(found), longest=_LONGEST_SHOWN)
        return VlmbenchError(
            Problem(
                file=self.file,
                field=self._dotted(key),
                message=f"{said} is not {wanted}",
                remedy=AGAIN,
            )
        )

    def _number(self, key: str, found: Any, wanted: str, least: int, most: int) -> int:
        number = isinstance(found, (int, float)) and not isinstance(found, bool)
        if not number or not least <= found <= most or found != int(found):
            raise self.wrong(key, wanted)
        return int(found)

    def _dotted(self, key: str) -> str:
        return f"{self.at}.{key}" if self.at else key
