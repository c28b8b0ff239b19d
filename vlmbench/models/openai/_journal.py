"""Answers kept on disk as they come, so that nothing is paid for twice."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vlmbench.models.openai._wire import Completion


class Journal:
    """One JSON object per line: an answer with its request's key, or a charge without an answer.

    Args:
        path: Its file; None keeps answers in memory only.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._answers: dict[str, Completion] = {}
        self.costs: dict[str, float] = {}
        for line in _lines(path):
            if "answer" in line:
                self._answers[line["key"]] = Completion(**line["answer"])
                self.costs[line["key"]] = line["usd"]

    def find(self, key: str) -> Completion | None:
        """Return the answer to a request, if it has been given."""
        with self._lock:
            return self._answers.get(key)

    def answered(self, key: str, completion: Completion, usd: float) -> None:
        """Keep an answer."""
        self._write({"key": key, "usd": usd, "answer": asdict(completion)})
        with self._lock:
            self._answers[key] = completion
            self.costs[key] = usd

    def charged(self, usd: float, why: str) -> None:
        """Keep a charge that may have been made for a request that brought no answer."""
        self._write({"usd": usd, "why": why})

    def _write(self, line: dict[str, Any]) -> None:
        if self.path is None:
            return
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def account(path: Path) -> dict[str, Any]:
    """Return what a journal's requests came to.

    Returns:
        `requests` answered, their `prompt_tokens` and `completion_tokens`, `usd` charged for
        them at the declared prices, and `unanswered_usd`: the most that may have been charged
        for the `unanswered` tries, which timed out or broke off after the server may have run.
    """
    lines = _lines(path)
    answers = [line for line in lines if "answer" in line]
    charges = [line for line in lines if "answer" not in line]
    return {
        "requests": len(answers),
        "prompt_tokens": sum(line["answer"]["prompt_tokens"] or 0 for line in answers),
        "completion_tokens": sum(line["answer"]["completion_tokens"] or 0 for line in answers),
        "usd": sum(line["usd"] for line in answers),
        "unanswered": len(charges),
        "unanswered_usd": sum(line["usd"] for line in charges),
    }


def _lines(path: Path | None) -> list[dict[str, Any]]:
    """Return the whole lines; one that was cut off when a run was killed is left out."""
    if path is None or not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found
