"""Answers kept on disk as they come, so that nothing is paid for twice."""

from __future__ import annotations

import json
import math
import threading
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vlmbench.models.openai._wire import Completion
from vlmbench.store import Appended


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A line of a journal.

    Attributes:
        usd: What was, or may have been, charged.
        key: Of the request; empty for a charge without an answer.
        answer: The answer, likewise None.
    """

    usd: float
    key: str = ""
    answer: Completion | None = None


class Journal:
    """One JSON object per line: an answer with its request's key, or a charge without an answer.

    Each line has a checksum; lines of earlier versions have none. A line that is damaged or was cut
    off is left where it is and counts as absent: what it answered is asked, and paid for, again.

    Args:
        path: Its file; None keeps answers in memory only.

    Raises:
        VlmbenchError: If the file cannot be read.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._file = None if path is None else Appended(path)
        self._lock = threading.Lock()
        self._answers: dict[str, Completion] = {}
        self.costs: dict[str, float] = {}
        held = b"" if self._file is None else self._file.read()
        self._ended = not held or held.endswith(b"\n")
        for line in _lines(held):
            if line is not None and line.answer is not None:
                self._answers[line.key], self.costs[line.key] = line.answer, line.usd

    def find(self, key: str) -> Completion | None:
        """Return the answer to a request, if it has been given."""
        with self._lock:
            return self._answers.get(key)

    def answered(self, key: str, completion: Completion, usd: float) -> None:
        """Keep an answer.

        Raises:
            VlmbenchError: If the disk is full or the file cannot be written.
        """
        with self._lock:
            self._answers[key], self.costs[key] = completion, usd
            self._write({"key": key, "usd": usd, "answer": asdict(completion)})

    def charged(self, usd: float, why: str) -> None:
        """Keep a charge that may have been made for a request that brought no answer."""
        with self._lock:
            self._write({"usd": usd, "why": why})

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is None:
            return
        text = json.dumps({"crc": _checksum(line), **line}) + "\n"
        begun, self._ended = "" if self._ended else "\n", False
        self._file.add((begun + text).encode("ascii"))
        self._ended = True


def account(path: Path) -> dict[str, Any]:
    """Return what a journal's requests came to, as far as its lines are whole.

    Returns:
        `requests` answered, their `prompt_tokens` and `completion_tokens`, `usd` charged for
        them at the declared prices, and `unanswered_usd`: the most that may have been charged
        for the `unanswered` tries, which timed out or broke off after the server may have run.
    """
    lines = [line for line in _lines(Appended(path).read()) if line is not None]
    answers = [line.answer for line in lines if line.answer is not None]
    charges = [line.usd for line in lines if line.answer is None]
    return {
        "requests": len(answers),
        "prompt_tokens": sum(answer.prompt_tokens or 0 for answer in answers),
        "completion_tokens": sum(answer.completion_tokens or 0 for answer in answers),
        "usd": sum(line.usd for line in lines if line.answer is not None),
        "unanswered": len(charges),
        "unanswered_usd": sum(charges),
    }


def damage(path: Path) -> str:
    """Return how many lines of a journal are damaged, in words; nothing if none is."""
    lost = sum(line is None for line in _lines(Appended(path).read()))
    if not lost:
        return ""
    what = f"{lost} lines are" if lost > 1 else "1 line is"
    return (
        f"{path}: {what} damaged or cut off; what they answered is asked, and paid for, again, and "
        "what they cost is not counted"
    )


def _lines(held: bytes) -> Iterator[_Line | None]:
    """Yield each line that is not empty; None for one that is not what was written."""
    for raw in held.split(b"\n"):
        if raw:
            try:
                yield _line(json.loads(raw))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                yield None


def _line(line: dict[str, Any]) -> _Line:
    """Return what a line says.

    Raises:
        ValueError: If it is damaged; or TypeError, KeyError or AttributeError.
    """
    crc = line.pop("crc", None)
    usd = line["usd"]
    whole = crc is None or crc == _checksum(line)
    if not whole or type(usd) not in (int, float) or not 0 <= usd < math.inf:
        raise ValueError("it is not what was written")
    if line.keys() == {"usd", "why"}:
        return _Line(usd=usd)
    if line.keys() != {"key", "usd", "answer"} or not isinstance(line["key"], str):
        raise ValueError("it is no answer")
    return _Line(usd=usd, key=line["key"], answer=Completion.kept(line["answer"]))


def _checksum(line: dict[str, Any]) -> str:
    """Return eight hexadecimal digits over a line's JSON."""
    return f"{zlib.crc32(json.dumps(line).encode('ascii')):08x}"
