"""The encoder readout, and the choices that it leaves open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args, get_type_hints

from vlmbench.spec._conditions import Condition
from vlmbench.spec._hints import Hints
from vlmbench.spec._probes import ProbeSpec
from vlmbench.spec._readout import (
    TORCH,
    Opens,
    Readout,
    Subject,
    has_places,
    missing_places,
    not_drawn,
    untrainable,
)
from vlmbench.spec._task import TaskSpec


class Encoder(Readout):
    """The model's own vision encoder is asked directly, with the task's probe.

    Its options are the choices that a probe without a fit leaves open. A label spells out those
    that are not the usual ones: `encoder`, `encoder-mean`, `encoder-last-nearest`.
    """

    implementation = "vlmbench.readouts:EncoderReadout"
    packages = TORCH
    scores_documents, answers, is_direct, has_rows = True, False, True, True
    options = ("layer", "sampling", "pooling", "sees", "head")
    kind: Literal["encoder"] = "encoder"
    layer: Literal["consumed", "middle", "last"] = "consumed"
    """Which hidden state: the one that the language model consumes, the one halfway to it, or the
    tower's last."""
    sampling: Literal["bilinear", "nearest"] = "bilinear"
    """What a point's token is: one interpolated between patches, or that of its own patch."""
    pooling: Literal["twin", "mean"] = "twin"
    """What one vector of an image is: what the twin says, or the mean of the patches. Towers
    without a class token have only the mean, so that encoders are compared on it."""
    sees: Literal["clean", "marked"] = "clean"
    """Whether images without drawn markers are shown where a task has them."""
    head: Literal["probe", "linear"] = "probe"
    """For depth: the probe's decoder, or a linear map of each token, which can be fitted at any
    stage of a model (readout `hidden`) and so be compared along it."""

    @property
    def label(self) -> str:
        """The kind and every option that is not the usual one."""
        return "-".join([self.kind, *(getattr(self, name) for name in self._unusual())])

    @classmethod
    def options_from(cls, words: str) -> dict[str, str] | None:
        """Return the options that a label's words name, in any order; None if they name none."""
        names = {
            value: name for name in cls.options for value in get_args(get_type_hints(cls)[name])
        }
        listed = words.split("-") if words else []
        found = {names[word]: word for word in listed if word in names}
        return found if len(found) == len(listed) else None

    def _unusual(self) -> Iterator[str]:
        fields = type(self).model_fields
        return (name for name in self.options if getattr(self, name) != fields[name].default)

    def state(self, *, n_layers: int, consumed: int) -> int:
        """Return the number of the hidden state that `layer` means; see `ProbeSpec.layers`."""
        return {"consumed": consumed, "middle": consumed // 2, "last": n_layers}[self.layer]

    def obstacles(
        self, subject: Subject, task: TaskSpec, condition: Condition, hints: Hints
    ) -> Iterator[str]:
        """Yield why the encoder cannot be asked."""
        del hints
        model = subject.spec
        if model.twin is None:
            yield f"model {model.model!r} has no twin (key `twin`)"
        elif model.twin.checkpoint is None and subject.keeps_tower:
            yield (
                f"backend {model.backend!r} does not give access to the tower of model "
                f"{model.model!r}; name a standalone encoder with `twin.checkpoint`"
            )
        if task.bench.probe is None:
            yield f"task {task.task!r} has no probe (key `metadata.vlmbench.probe`)"
        else:
            yield from self._idle_options(task, task.bench.probe)
        if condition.text.changes_prompt:
            yield "an encoder does not read the prompt, so there is nothing to change"
        if condition.image.redraws_markers and self.sees == "clean":
            yield "an encoder that sees the images without markers does not see how they look"
        if not condition.image.keeps_images:
            yield "an encoder cannot answer without an image"
        if condition.forward.intervenes:
            yield "what is done inside the language model does not reach the encoder"
        yield from _untrained(subject, task, condition)
        if condition.batch == "single":
            yield "an encoder does not take prompts, so there are no batches of them to split"
        if condition.image.moves_places and has_places(task):
            yield (
                f"under {condition.label!r} the points or boxes of task {task.task!r} would name "
                "the wrong pixels"
            )
        yield from missing_places(task, condition)
        yield from not_drawn(task, condition)
        yield from not_drawn(task, condition)

    def _idle_options(self, task: TaskSpec, probe: ProbeSpec) -> Iterator[str]:
        """Yield the options that would be written on the label and change nothing."""
        for name in self._unusual():
            if name not in probe.varies:
                yield f"the task's probe leaves no choice of `{name}` open"
        if self.sees == "marked" and task.bench.encoder_images is None:
            yield f"task {task.task!r} has no images without its markers"

    def forward_passes(self, task: TaskSpec, documents: int) -> int:
        """Return the images of all documents, and of those that a procedural task is fitted on."""
        generator, probe = task.bench.generator, task.bench.probe
        fits = probe is not None and probe.fitted and generator is not None
        extra = generator.train + generator.validation if fits and generator else 0
        return (documents + extra) * len(task.image_columns)

    def opens(self, task: TaskSpec) -> Opens:
        """Return the splits that the probe is fitted on, if it is."""
        return Opens.of_probe(task)


def _untrained(subject: Subject, task: TaskSpec, condition: Condition) -> Iterator[str]:
    """Yield why training the weights that a condition asks for does not change the encoder."""
    weights, twin = condition.weights, subject.spec.twin
    if not weights.trains:
        return
    yield from untrainable(subject, task, condition)
    if not weights.reaches_encoder:
        yield f"`{weights.label}` leaves the encoder as it is; its readings are those without it"
    elif twin is not None and twin.checkpoint is not None:
        yield "a twin in a checkpoint of its own is not trained with the model"
