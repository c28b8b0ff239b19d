"""How many tokens a language model can read, from its config."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

# Where configs keep their language model's part, innermost first; the config itself comes last.
_LANGUAGE = ("text_config", "llm_config", "language_config")
# What configs call it.
_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
# Ways of stretching positions of which the config's length tells already.
_TOLD = frozenset({"default", "su", "longrope", "llama3", "mrope"})


def context_length(config: Mapping[str, Any], tokenizer_length: float | None = None) -> int | None:
    """Return the most tokens of a prompt with its answer.

    The rule is vLLM's (vllm/config/model.py, `_get_and_verify_max_len`): what config and
    tokenizer say, the less of the two, times the factor by which positions are stretched. A
    sliding window does not limit it, for other layers or the next window see further.

    Args:
        config: `config.json`, or a loaded config as a dict.
        tokenizer_length: The tokenizer's `model_max_length`.

    Returns:
        The length; None where the config does not say.
    """
    for part in (*(config.get(name) for name in _LANGUAGE), config):
        if not isinstance(part, Mapping):
            continue
        found = [part[name] for name in _LENGTHS if isinstance(part.get(name), int)]
        if found:
            length = int(min(found[0], tokenizer_length or found[0]))
            return _stretched(part, length)
    return None


def _stretched(part: Mapping[str, Any], length: int) -> int:
    """Return a length after the scaling of rotary positions."""
    found = part.get("rope_parameters") or part.get("rope_scaling")
    scaling = found if isinstance(found, Mapping) else {}
    kind = str(scaling.get("rope_type", scaling.get("type", "default")))
    factor = scaling.get("factor") or 1.0
    # Gemma 3's length is that after scaling; by layers its scaling is not told in one place.
    if kind in _TOLD or str(part.get("model_type", "")).startswith("gemma3"):
        return length
    told = length
    if kind == "yarn":
        length = scaling.get("original_max_position_embeddings") or length
    numbers = all(isinstance(number, (int, float)) for number in (length, factor))
    return int(length * factor) if numbers and 0 < length * factor < math.inf else told
