"""What training lowers: how unlikely a model finds the right answer, as it is scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from vlmbench.models._backend import Prompt
from vlmbench.models._continuations import appended

if TYPE_CHECKING:
    from vlmbench.models.hf import HfBackend


def gold_losses(
    backend: HfBackend,
    prompts: Sequence[Prompt],
    choices: Sequence[Sequence[str]],
    gold: Sequence[int],
) -> Float[Tensor, " prompts"]:
    """Return minus the summed log-likelihood of each right continuation, in nats.

    The number is that of `HfBackend.choice_logprobs`, from the same text, tokens and pixels; here
    it has a gradient. Log-softmax is taken in float32.

    Args:
        backend: The model.
        prompts: Questions, run as one batch as far as the family allows.
        choices: Per prompt, the continuations exactly as they follow the rendered prompt.
        gold: Per prompt, which of them is right.

    Raises:
        DocumentError: If a prompt is longer than what the model can read.
    """

    def run(*alike: Sequence[object]) -> list[Tensor]:
        return list(_losses(backend, *alike))  # type: ignore[arg-type]

    return torch.stack(backend.inputs.by_likeness(run, prompts, choices, gold))


def _losses(
    backend: HfBackend,
    prompts: Sequence[Prompt],
    choices: Sequence[Sequence[str]],
    gold: Sequence[int],
) -> Tensor:
    """Return (n,) losses of prompts that may share a batch."""
    pairs = zip(prompts, choices, strict=True)
    answers = [backend.text.answers(backend.render(prompt), row) for prompt, row in pairs]
    rows = [tokens[right] for (_, tokens), right in zip(answers, gold, strict=True)]
    longest = max(len(row) for row in rows)
    texts = [text for text, _ in answers]
    batch = backend.inputs.encode(texts, prompts, side="right", room=longest)
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    before = [row[:-1] for row in rows]  # what is read before the last token of an answer
    answer_type = int(backend.family.prefix_lm)
    logits = backend.logits_at(
        appended(batch, before, answer_type=answer_type) if longest > 1 else batch,
        [
            (index, length - 1 + place)
            for index, (row, length) in enumerate(zip(rows, lengths, strict=True))
            for place in range(len(row))
        ],
    )
    device = logits.device
    taken = torch.tensor([token for row in rows for token in row], device=device)
    owner = torch.tensor([i for i, row in enumerate(rows) for _ in row], device=device)
    lost = -logits.float().log_softmax(dim=-1).gather(1, taken[:, None]).squeeze(1)
    return torch.zeros(len(rows), device=device).index_add(0, owner, lost)
