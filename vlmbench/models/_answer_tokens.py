"""The tokens that an answer adds to the prompt before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cached_property, lru_cache, partial
from typing import Any

from vlmbench.types import DocumentError


class AnswerTokens:
    """Finds the tokens of answers.

    An answer's tokens are those that it adds to its prompt, tokenised together with it. Where white
    space at the end of the prompt becomes part of a token of an answer, it is moved from the prompt
    to all answers, as in lm-eval (api/model.py, `_encode_pair`). Departures from it: white space
    that stays a token by itself stays with the prompt, which adds the same number to the likelihood
    of every answer; and an answer of which a token still begins in the prompt is tokenised by
    itself, instead of losing its beginning.

    Args:
        tokenizer: The model's tokenizer.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __deepcopy__(self, memo: dict[int, Any]) -> AnswerTokens:
        """Return one with a tokenizer of its own, which functions with a cache would share."""
        return AnswerTokens(deepcopy(self._tokenizer, memo))

    def after(
        self, head: str, continuations: Sequence[str], *, moves: bool
    ) -> tuple[int, list[list[int]]]:
        """Return the tokens of answers after a prompt.

        Args:
            head: The prompt, or the end of it, which merges with nothing that stands before.
            continuations: What follows it.
            moves: Whether white space at its end may move to the answers.

        Returns:
            How many characters are moved; and token ids, a list an answer.

        Raises:
            DocumentError: If an answer has no tokens.
        """
        if "" in continuations:
            raise _without_tokens("")
        space = len(head) - len(head.rstrip()) if moves else 0
        for moved in dict.fromkeys((0, space)):
            cut = len(head) - moved
            texts = [head[cut:] + continuation for continuation in continuations]
            rows = [self._added(head[:cut], text) for text in texts]
            if None not in rows:
                break
        return moved, [ids or self._alone(text) for ids, text in zip(rows, texts, strict=True)]

    def _added(self, head: str, text: str) -> list[int] | None:
        """Return the tokens that a text adds to what stands before it.

        Returns:
            The tokens; None where there are none, or one of them begins before the text.
        """
        before, whole = self._encode(head), self._encode(head + text)
        return whole[len(before) :] or None if whole[: len(before)] == before else None

    def _alone(self, text: str) -> list[int]:
        """Return the tokens of an answer that merges with what stands before it.

        They are taken from behind a line break, or else a letter: some tokenizers put a space
        before what begins a text.
        """
        ids = next(filter(None, (self._added(before, text) for before in ("\n", "x", ""))), None)
        if ids is None:
            raise _without_tokens(text)
        return ids

    @cached_property
    def _encode(self) -> Callable[[str], list[int]]:
        """Tokenises texts; keeps thousands, as conditions that change images repeat the texts."""
        return lru_cache(maxsize=4096)(partial(self._tokenizer.encode, add_special_tokens=False))


def _without_tokens(text: str) -> DocumentError:
    return DocumentError(f"the choice {text!r} has no tokens, so it has no likelihood")
