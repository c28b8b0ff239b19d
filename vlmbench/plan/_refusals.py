"""Which cells cannot be, and why: everything that is known before data or models are opened."""

from __future__ import annotations

from collections.abc import Iterator

from vlmbench.plan._checkpoint import Checkpoint
from vlmbench.registry import backends
from vlmbench.spec import (
    Condition,
    EvidenceMask,
    Filler,
    Hints,
    Located,
    ModelSpec,
    PerturbedImage,
    TaskSpec,
    WholeImages,
)
from vlmbench.tasks import filler, rule_obstacle

# Tokens left for the question, the choices and a chat template beside filler and images.
QUESTION = 128

CLOSED = ("openai", "vllm", "recorded", "rules")
"""Backends that show nothing of the inside of a model."""


def refusal(
    model: Located[ModelSpec], task: TaskSpec, readout: str, condition: Condition, hints: Hints
) -> str | None:
    """Return why a readout of a model cannot be taken under a condition, or None if it can."""
    return next(_reasons(model, task, readout, condition, hints), None)


def _reasons(
    model: Located[ModelSpec], task: TaskSpec, readout: str, condition: Condition, hints: Hints
) -> Iterator[str]:
    spec = model.spec
    if condition.weights == "random" and readout != "encoder":
        yield "random weights are drawn for encoders only"
    match readout:
        case "recorded":
            if spec.backend != "recorded":
                yield f"model {spec.model!r} is run, not recorded"
            elif all(entry.task != task.task for entry in spec.recorded):
                yield f"{spec.model!r} records nothing for this task"
        case "rule":
            reason = (
                f"model {spec.model!r} is no rule"
                if spec.rule is None
                else rule_obstacle(spec.rule, task)
            )
            if reason is not None:
                yield reason
        case "encoder":
            yield from _encoder(spec, task, condition)
        case "internals":
            yield from _internals(model, task, condition)
            yield from _asked(model, task, condition, hints)
        case "prompted":
            yield from _asked(model, task, condition, hints)


def _encoder(model: ModelSpec, task: TaskSpec, condition: Condition) -> Iterator[str]:
    if model.twin is None:
        yield f"model {model.model!r} names no twin (key `twin`)"
    elif model.twin.checkpoint is None and model.backend in CLOSED:
        yield (
            f"backend {model.backend!r} gives no access to the tower of model {model.model!r}; "
            "name a standalone encoder with `twin.checkpoint`"
        )
    if task.bench.probe is None:
        yield f"task {task.task!r} has no probe (key `metadata.vlmbench.probe`)"
    if condition.text != "plain":
        yield "an encoder reads no prompt that could be changed"
    if condition.image == "none":
        yield "an encoder answers nothing without an image"
    if condition.batch == "single":
        yield "only batches of prompts can be taken apart"
    change = condition.image
    moved = change == "swapped" or (isinstance(change, PerturbedImage) and change.by == "crop")
    if moved and _has_places(task):
        yield (
            f"under {condition.label!r} the points or boxes of task {task.task!r} would name the "
            "wrong pixels"
        )
    yield from _evidence(task, condition)


def _internals(model: Located[ModelSpec], task: TaskSpec, condition: Condition) -> Iterator[str]:
    backend, family = model.spec.backend, Checkpoint.of(model).family
    if backend in CLOSED or _is_closed(backend):
        yield f"backend {backend!r} shows nothing of the inside of its model"
    if task.output_type == "generate_until":
        yield "the inside of a model is read while it scores choices, not while it writes"
    if condition.image == "none":
        yield "without images there is nothing inside the model that could be compared"
    if family.internals:
        yield family.internals


def _is_closed(backend: str) -> bool:
    """Tell whether another package's backend cannot `inspect`, which takes importing it."""
    if backend == "hf":
        return False
    target = backends()[backend].load()
    # A factory may return anything; what it returns is asked when the readout is taken.
    return isinstance(target, type) and not hasattr(target, "inspect")


def _asked(
    model: Located[ModelSpec], task: TaskSpec, condition: Condition, hints: Hints
) -> Iterator[str]:
    """Yield why a prompt cannot be asked under a condition."""
    if condition.image == "none":
        family = Checkpoint.of(model).family
        if not family.text_only:
            yield f"{family.name} cannot be asked without an image"
    if condition.batch == "single" and model.spec.server is not None:
        yield "a server makes up its batches itself"
    if condition.text_kind == "hint" and task.is_free_text:
        yield f"task {task.task!r} is answered in free text: there is no choice to hint at"
    yield from _evidence(task, condition)
    yield from _too_long(model, task, condition, hints)


def _evidence(task: TaskSpec, condition: Condition) -> Iterator[str]:
    if not isinstance(condition.image, EvidenceMask) or _has_places(task):
        return
    if task.bench.regions is None:
        yield (
            f"task {task.task!r} has no regions (key `metadata.vlmbench.regions`), so there is no "
            "evidence to mask"
        )
    else:
        yield f"the regions of task {task.task!r} are whole images, not places in them"


def _has_places(task: TaskSpec) -> bool:
    """Tell whether a question is about points or boxes."""
    regions = task.bench.regions
    parts = () if regions is None else (regions.reference, regions.choices)
    return any(part is not None and not isinstance(part, WholeImages) for part in parts)


def _too_long(
    model: Located[ModelSpec], task: TaskSpec, condition: Condition, hints: Hints
) -> Iterator[str]:
    """Yield that a filler does not fit the model's context, where both are known."""
    change = condition.text
    if not isinstance(change, Filler):
        return
    checkpoint = Checkpoint.of(model)
    columns = task.doc_to_image
    images = 0 if condition.image == "none" else 1 if isinstance(columns, str) else len(columns)
    length = checkpoint.tokens(filler(hints, change.tokens)) or change.tokens
    needed = length + images * checkpoint.image_tokens + QUESTION
    if checkpoint.context is not None and needed > checkpoint.context:
        yield (
            f"{change.tokens} tokens of filler make a prompt of about {needed}, and model "
            f"{model.spec.model!r} takes {checkpoint.context}"
        )
