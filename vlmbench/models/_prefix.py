"""Learned embeddings before those of a prompt: prompt tuning (arXiv 2104.08691), in peft's files.

The prompt is given as many more tokens at its very start, and what the embedding layer gives for
them is replaced. So to the model they are tokens of text like any others: image tokens, masks and
positions are what they would be behind so many words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vlmbench.models._inputs import Inputs
from vlmbench.models._lora import CONFIG, TENSORS

_NAME = "prompt_embeddings"  # as peft calls the tensor

Vectors = Float[Tensor, "tokens dim"]


@torch.no_grad()
def new_prefix(model: Any, tokens: int, *, seed: int) -> nn.Parameter:
    """Return first values of a prefix: what the embedding layer gives for tokens drawn at random.

    Args:
        model: The model.
        tokens: How many.
        seed: Seed of the draw, which is even over the vocabulary.

    Returns:
        (tokens, dim) float32, on the model's device.
    """
    embed = model.get_input_embeddings()
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(embed.weight.shape[0], (tokens,), generator=generator)
    return nn.Parameter(embed(ids.to(embed.weight.device)).detach().float().clone())


@contextmanager
def prefixed(inputs: Inputs, vectors: Vectors) -> Iterator[None]:
    """Put a prefix before every prompt of a model for a while.

    Args:
        inputs: The model and how it takes prompts.
        vectors: The prefix.
    """
    model, tokens = inputs.model, len(vectors)
    starts = False

    def starting(_: nn.Module, __: Any, given: dict[str, Any]) -> None:
        nonlocal starts
        past = given.get("past_key_values")
        starts = past is None or past.get_seq_length() == 0

    def embedding(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        if not starts or output.ndim != 3 or output.shape[1] < tokens:
            return output  # of what continues a prompt, or of one token that is looked up
        ahead = vectors.to(output.dtype).expand(len(output), -1, -1)
        return torch.cat([ahead, output[:, tokens:]], dim=1)

    hooks = (
        model.register_forward_pre_hook(starting, with_kwargs=True),
        model.get_input_embeddings().register_forward_hook(embedding),
    )
    inputs.prefix = tokens
    try:
        yield
    finally:
        inputs.prefix = 0
        for hook in hooks:
            hook.remove()


def save_prefix(model: Any, vectors: Vectors, folder: Path) -> None:
    """Write a prefix as peft's `PromptTuningConfig` and tensors."""
    from peft import PromptTuningConfig
    from safetensors.torch import save_file

    text = model.config.get_text_config()
    PromptTuningConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=len(vectors),
        token_dim=vectors.shape[1],
        num_transformer_submodules=1,
        num_attention_heads=text.num_attention_heads,
        num_layers=text.num_hidden_layers,
        base_model_name_or_path=model.name_or_path,
        inference_mode=True,
    ).save_pretrained(str(folder))
    save_file({_NAME: vectors.detach().cpu().contiguous()}, folder / TENSORS)


def load_prefix(folder: Path, device: torch.device) -> Vectors:
    """Return the prefix that is kept in a folder: (tokens, dim) float32."""
    from safetensors.torch import load_file

    vectors: Tensor = load_file(folder / TENSORS, device=str(device))[_NAME]
    wanted = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    assert vectors.shape == (wanted["num_virtual_tokens"], wanted["token_dim"])
    return vectors
