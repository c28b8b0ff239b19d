"""Limits of YAML files: most of what is hostile shows before a tree is built."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
LONGEST = 500_000
"""Bytes of a file together with all that it includes."""
MOST_FILES = 100
"""Files that a file may include, directly or through others."""
MOST_VALUES = 20_000
"""Keys, values and lists of a file, where what an alias stands for counts each time."""
DEEPEST = 50
"""Lists and mappings within each other."""


class TooLarge(yaml.MarkedYAMLError):
    """A file holds more than a spec may.

    Args:
        what: What it holds.
        place: The event or node at which that was noticed.
    """

    def __init__(self, what: str, place: Any) -> None:
        super().__init__(problem=what, problem_mark=place.start_mark)


def stream_of(data: bytes, path: Path) -> io.BytesIO:
    """Return bytes as a stream with the name of their file, which marks are made with."""
    stream = io.BytesIO(data)
    stream.name = str(path)
    return stream


def check_size(data: bytes, path: Path) -> None:
    """Count values and levels as they are parsed: the tree itself is built by recursion in C.

    Raises:
        yaml.YAMLError: There are too many, or the text is no YAML.
    """
    depth = values = 0
    for event in yaml.parse(stream_of(data, path), Loader=LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        values += isinstance(event, yaml.NodeEvent)
        if depth > DEEPEST:
            raise TooLarge(f"more than {DEEPEST} lists and mappings within each other", event)
        if values > MOST_VALUES:
            raise TooLarge(f"more than {MOST_VALUES:,} keys and values", event)
