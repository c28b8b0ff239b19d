"""How many tokens a model reads, from configs as they are published."""

from __future__ import annotations

import pytest

from vlmbench.registry import context_length

POSITIONS = "max_position_embeddings"
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}


def stretched(length: int, kind: str, factor: int) -> dict[str, object]:
    return {POSITIONS: length, "rope_scaling": {"type": kind, "factor": factor}}


@pytest.mark.parametrize(
    ("config", "tokenizer", "expected"),
    [
        ({"text_config": {POSITIONS: 4096}, POSITIONS: 1}, None, 4096),
        ({POSITIONS: 32768}, None, 32768),
        ({"llm_config": {"n_positions": 1024}}, None, 1024),
        ({POSITIONS: 4096}, 2048, 2048),  # trained on less: Prismatic
        ({POSITIONS: 4096}, 1e30, 4096),  # a tokenizer that does not know
        ({POSITIONS: 4096, "sliding_window": 512}, None, 4096),
        ({POSITIONS: 4096, "rope_parameters": {"rope_type": "default"}}, None, 4096),
        (stretched(4096, "linear", 4), None, 16384),
        ({POSITIONS: 32768, "rope_scaling": YARN}, 32768, 131072),
        ({POSITIONS: 131072, "rope_parameters": YARN}, None, 131072),  # told already
        (stretched(131072, "longrope", 8), None, 131072),
        (stretched(131072, "llama3", 8), None, 131072),
        ({"model_type": "gemma3_text", **stretched(131072, "linear", 8)}, None, 131072),
        ({"text_config": {}, "model_type": "zebra"}, 2048, None),
    ],
)
def test_the_length_that_the_files_say(config, tokenizer, expected):
    assert context_length(config, tokenizer) == expected
