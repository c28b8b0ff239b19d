"""Responses of status 200 that hold no answer: errors in the body, and answers without content."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# What errors amount to that give no status but words, or nothing.
_REFUSED, _BUSY = 400, 503
# Words in the codes of errors that stay what they are however often one asks.
_LASTING = ("invalid", "unsupported", "not_supported", "context_length", "policy", "too_large")
# Why an answer may be empty: the limit was reached in thoughts, a filter took it, or a tool was
# called. These say something about the model as it is served.
_EMPTY_ENDS = frozenset({"length", "content_filter", "tool_calls", "function_call"})
_INSTEAD = ("refusal", "reasoning", "reasoning_content", "tool_calls", "function_call", "audio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a response of status 200 is no answer.

    Attributes:
        status: The HTTP status that its error amounts to.
        message: What it says.
        ran: Whether the model may have run, and been billed.
    """

    status: int
    message: str
    ran: bool = False


def fault(raw: bytes) -> Fault | None:
    """Return why a response of status 200 holds no answer; None if it seems to hold one.

    Gateways pass on errors of the servers behind them in this way, in the body (`error`) or in
    the choice. An answer without content, refusal, thoughts or a reason to be empty is one too.
    """
    try:
        data = read_json(raw)
    except ValueError:
        return None  # no answer of any kind: reading it will say so
    if isinstance(data, list) and len(data) == 1:  # Gemini's way of giving an error
        data = data[0]
    if not isinstance(data, Mapping):
        return None
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else {}
    found = data.get("error") or (data if data.get("object") == "error" else None)
    if found is None and isinstance(choice, Mapping):
        found = choice.get("error")
        if not found and choice.get("finish_reason") == "error":
            found = "the answer broke off"
    if found:
        return Fault(status=_status(found), message=f"HTTP 200 with an error: {said(found)}")
    return Fault(status=_BUSY, message=_NOTHING, ran=True) if _is_empty(choice) else None


_NOTHING = "HTTP 200 with an answer without content"


def _is_empty(choice: Any) -> bool:
    message = choice.get("message") if isinstance(choice, Mapping) else None
    return (
        isinstance(message, Mapping)
        and message.get("content") is None
        and not any(message.get(name) for name in _INSTEAD)
        and choice.get("finish_reason") not in _EMPTY_ENDS
    )


def _status(error: Any) -> int:
    """Return the HTTP status of an error; one that can be tried again where nothing is said."""
    if not isinstance(error, Mapping):
        return _BUSY
    named = [error.get(name) for name in ("code", "status", "type")]
    for value in named:
        if re.fullmatch("[45][0-9][0-9]", str(value)):
            return int(str(value))
    words = " ".join(map(str, named)).lower()
    return _REFUSED if any(word in words for word in _LASTING) else _BUSY


def said(error: Any) -> str:
    """Return what an error says in words, whole: a key could be cut in two, and not be found."""
    found = error.get("message", error) if isinstance(error, Mapping) else error
    return found if isinstance(found, str) else json.dumps(found)


def read_json(raw: bytes) -> Any:
    """Return the JSON in a response.

    Raises:
        ValueError: If it is none, or deeper than can be read.
    """
    try:
        return json.loads(raw)
    except RecursionError:
        raise ValueError("its JSON is too deep") from None
