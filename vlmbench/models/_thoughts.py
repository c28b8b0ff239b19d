"""Thoughts that a model writes before its answer: where they begin and end in a text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

# What opens and what closes them, as published chat templates and tokenizers write it: Qwen, GLM,
# DeepSeek and most others; Magistral; Kimi-VL; Cohere; Seed-OSS; EXAONE.
MARKS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<seed:think>", "</seed:think>"),
    ("<thought>", "</thought>"),
)
# What chat templates call the switch that turns them on and off.
SWITCHES = ("enable_thinking", "thinking")


def left_open(text: str) -> bool:
    """Tell whether a text ends inside thoughts."""
    return any(text.rfind(opening) > text.rfind(closing) for opening, closing in MARKS)


def has_marks(text: str) -> bool:
    """Tell whether thoughts begin or end anywhere in a text."""
    return any(mark in text for pair in MARKS for mark in pair)


def split_thoughts(text: str, *, opened: bool = False) -> tuple[str, str]:
    """Return a text's thoughts and the answer after them, without the white space between.

    Args:
        text: What a model wrote.
        opened: The prompt ended inside thoughts, so that the text begins there.

    Returns:
        The thoughts with their marks, empty if there are none; and the answer, empty if the text
        ends inside the thoughts.
    """
    ends = [text.rfind(closing) + len(closing) for _, closing in MARKS if closing in text]
    if left_open(text) or (opened and not ends):
        return text, ""
    return (text[: max(ends)], text[max(ends) :].lstrip()) if ends else ("", text)


class Thoughts:
    """Thoughts among a tokenizer's tokens.

    Args:
        tokenizer: The model's tokenizer.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    @cached_property
    def openings(self) -> frozenset[int]:
        """Tokens that open thoughts all by themselves."""
        encode = self._tokenizer.encode
        found = [encode(opening, add_special_tokens=False) for opening, _ in MARKS]
        return frozenset(ids[0] for ids in found if len(ids) == 1)

    @cached_property
    def _left_out(self) -> frozenset[int]:
        """Special tokens, which no answer shows, but for the marks of thoughts."""
        added = self._tokenizer.added_tokens_decoder.items()
        return frozenset(i for i, token in added if token.special and not has_marks(token.content))

    def decode(self, ids: Sequence[int]) -> str:
        """Return a text without special tokens, in which the marks of thoughts still stand."""
        shown = [token for token in ids if token not in self._left_out]
        text: str = self._tokenizer.decode(shown, skip_special_tokens=False)
        return text
