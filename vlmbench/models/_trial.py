"""One question at load: a family that breaks the conventions is refused, not mismeasured."""

from __future__ import annotations

import torch

from vlmbench.models._inputs import Inputs
from vlmbench.types import Problem, VlmbenchError

# Pixels a side of the picture that is asked about: enough for any processor, and soon answered.
_SIDE = 224


def try_out(inputs: Inputs) -> None:
    """Ask a model one question about one image, and refuse it if no answer can be read off.

    Raises:
        VlmbenchError: If the processor does not say how an image is written, the model cannot
            take the question, or its logits are not one row a token.
    """
    if not inputs.text.writes_images:
        raise _refused(inputs, "its processor does not say how an image is written in a prompt")
    try:
        with torch.inference_mode():
            batch = inputs.trial(_SIDE)
            output = inputs.model(**batch, use_cache=True)
        rows, tokens = output.logits.shape[1], batch["input_ids"].shape[1]
        _ = output.past_key_values
    except VlmbenchError:
        raise
    except Exception as error:  # whatever a family may raise
        why = f"it cannot be asked about an image: {type(error).__name__}: {error}"
        raise _refused(inputs, why) from error
    if rows != tokens:
        raise _refused(
            inputs,
            f"it gives logits at {rows} positions for a prompt of {tokens} tokens, so it is not "
            "known which of them an answer follows",
        )


def _refused(inputs: Inputs, why: str) -> VlmbenchError:
    message = (
        f"model {inputs.text.spec.model!r} is of the family {inputs.model.config.model_type!r}, "
        f"which vlmbench cannot ask: {why}"
    )
    remedy = "docs/families.md lists the families that were checked. Others can be asked through a "
    remedy += "server that runs them (`backend: openai`)."
    return VlmbenchError(Problem(field="checkpoint", message=message, remedy=remedy))
