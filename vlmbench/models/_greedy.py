"""Greedy decoding that nothing in a checkpoint bends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vlmbench.models._backend import Reply
from vlmbench.models._text import PromptText, cut
from vlmbench.types import DocumentError, why_unusable

# The likeliest token at every step, whatever has been written so far.
GREEDY: dict[str, Any] = {
    "do_sample": False,
    "num_beams": 1,
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "min_length": 0,
}
# Which tokens start, fill and end a text is no matter of choice.
_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")
# What says nothing about which token is written, in whole and by how it begins.
_SILENT = {*_TOKENS, "transformers_version", "use_cache", "cache_implementation", "max_length"}
_SILENT_TOO = ("_", "output_")


def greedy_config(own: Any) -> tuple[Any, dict[str, Any]]:
    """Return a generation config under which a model writes the likeliest token, and no other.

    `generate` takes from the model's own config what a call leaves open, so a checkpoint can
    penalise repetition, suppress tokens or force others without being asked to. Of that config
    only the special tokens are kept.

    Args:
        own: The model's generation config.

    Returns:
        The config to put in its place; and what was set aside, by name, where it differs from
        plain greedy decoding.
    """
    from transformers import GenerationConfig

    plain = GenerationConfig(**{name: getattr(own, name) for name in _TOKENS}, **GREEDY)
    aside = {
        name: value
        for name, value in own.to_diff_dict().items()
        if name not in _SILENT
        and not name.startswith(_SILENT_TOO)
        and value not in (None, False, GREEDY.get(name))
    }
    return plain, aside


def refuse_overflow(_: Tensor, logits: Tensor) -> Tensor:
    """Return the logits of a step of generation as they are (a logits processor of transformers).

    Raises:
        DocumentError: If they are no numbers, of which no token is the likeliest: transformers
            would go on with the first.
    """
    usable = (logits < torch.inf).all(dim=1) & (logits > -torch.inf).any(dim=1)
    if not usable.all():
        raise DocumentError(why_unusable(logits[~usable][0].float().cpu().numpy()))
    return logits


def stopping_at(until: Sequence[str], tokenizer: Any) -> Any:
    """Return what ends an answer at a stop string; for each, the whole vocabulary is looked at."""
    from transformers import StoppingCriteriaList, StopStringCriteria

    return StoppingCriteriaList([StopStringCriteria(tokenizer, list(until))] if until else [])


def finish_of(ids: list[int], ends: Any, *, most: int) -> str:
    """Return why an answer ended: `stop`, or `length` where it might have gone on.

    Args:
        ids: Its tokens.
        ends: Token or tokens that end a text; None if none does.
        most: Most tokens that it could have.
    """
    ending = {ends} if isinstance(ends, int) else set(ends or ())
    return "stop" if len(ids) < most or ending.intersection(ids) else "length"


def reply_of(
    text: PromptText, ids: list[int], until: Sequence[str], ends: Any, *, most: int
) -> Reply:
    """Return what a model said by its tokens, thoughts apart.

    Args:
        text: How its texts are read.
        ids: Its tokens.
        until: Where what it says is cut.
        ends: Token or tokens that end a text; None if none does.
        most: Most tokens that it could have.
    """
    tokenizer = text.processor.tokenizer
    end = tokenizer.decode([tokenizer.eos_token_id], skip_special_tokens=False)
    thoughts, said = text.split(ids)
    kept = cut(said, until)
    finish = "stop" if kept != said else finish_of(ids, ends, most=most)
    return Reply(text=cut(kept, [end]), thoughts=thoughts, finish=finish)
