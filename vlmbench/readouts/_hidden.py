"""The hidden readout: every stage of a model read by the task's probe, in one pass a document."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmbench.models import Backend, BatchSize, HfBackend, Seen, Staged, StageTap, Tower
from vlmbench.plan import Cell
from vlmbench.readouts._changed import changed
from vlmbench.readouts._ledger import Ledger
from vlmbench.readouts._prompted import Item, answer_all, batch_size
from vlmbench.readouts._prompts import build_prompt, continuations
from vlmbench.readouts._reading import NOT_KNOWN, Answer, Progress, Reading, ignore, make_reading
from vlmbench.readouts._reads import Opened
from vlmbench.readouts._where_shown import check_shown, features_of, frames_of
from vlmbench.readouts.probes import ImageFeatures, StageProbe, centred, stage_probe
from vlmbench.spec import Condition, Hidden, ProbeSpec, Role, TaskSpec
from vlmbench.tasks import Documents, ask
from vlmbench.types import (
    Asked,
    Document,
    DocumentError,
    Problem,
    Scale,
    StageScores,
    VlmbenchError,
)

# Documents of a training split whose images are held at once.
CHUNK = 32
# Documents of the first batch: the states of all stages of a batch pass through memory.
FIRST_BATCH = 8
FIRST_TOKENS = 6000
PARTS = ("tower", "same", "projector", "language", "value", "lens")
"""Parts of a stage's name, in the order of the signal."""


class HiddenReadout:
    """Takes `spec.Hidden`."""

    def read(self, cell: Cell, asked: Sequence[Asked], opened: Opened) -> Reading:
        """Read every stage while the model is asked every question; see `read_hidden`."""
        how, twin = cell.readout, cell.model.spec.twin
        assert isinstance(how, Hidden), "planned for another readout"
        assert twin is not None, "planned without a twin"
        with changed(cell, asked, opened) as backend:
            if not isinstance(backend, HfBackend):
                raise VlmbenchError(f"{type(backend).__name__} does not show its model's stages")
            # The tower inside the model, also where the twin is a standalone encoder.
            inside = twin.model_copy(update={"checkpoint": None})
            reading = read_hidden(
                asked,
                cell.task.spec,
                StageTap(backend, Tower.inside(backend, inside)),
                opened.splits,
                how=how,
                batch_size=batch_size(cell, opened, FIRST_BATCH, FIRST_TOKENS),
                ledger=opened.ledger,
                progress=opened.progress,
            )
            return opened.model.reading(reading)


def read_hidden(
    asked: Sequence[Asked],
    task: TaskSpec,
    tap: StageTap,
    splits: Mapping[Role, Documents],
    *,
    how: Hidden | None = None,
    batch_size: int | BatchSize | None = None,
    ledger: Ledger | None = None,
    progress: Progress = ignore,
) -> Reading:
    """Read every stage of a model by a task's probe, while it is asked every question.

    One pass a document gives all stages: what a probe reads of a stage is reduced as the pass goes
    (a score, one vector an image, or sums over tokens), and no states are kept. Fitted probes
    read training and validation documents first, asked as their task asks them; depth is read by a
    linear map (`LinearDepthHead`). A task's regions are carried to each stage's grid of tokens; a
    document whose regions the model is not shown, or of which nobody knows which tokens show them,
    fails. Vectors of images are pooled as the twin says in the tower, and averaged over tokens
    behind it, where no class token goes.

    Args:
        asked: Documents, conditions already applied, with their questions.
        task: Their task; it has a probe.
        tap: The model.
        splits: Training and validation documents; needed by probes that are fitted.
        how: What else is to be chosen; nothing by default.
        batch_size: Documents per forward pass; None starts at 8 documents or 6,000 tokens and
            halves when memory runs out.
        ledger: Keeps answers as they come; none by default.
        progress: Called with the number of documents just done.

    Returns:
        The reading with its `stages`. Its own scores are those of the last layer of the language
        model, or of the one stage that was asked for.

    Raises:
        VlmbenchError: If no document of a training split can be read, or there is no such stage.
    """
    assert task.bench.probe is not None, "planned without a probe"
    size = BatchSize.of(batch_size, FIRST_BATCH, FIRST_TOKENS)
    reader = _Reader(tap, task.bench.probe, how or Hidden(), size)
    for role, documents in splits.items():
        reader.learn(role, documents)
    reader.probe.fit()
    earlier = set() if ledger is None else set(ledger.held())
    answers = answer_all(
        asked, task, tap.backend, reader.look, size=size, ledger=ledger, progress=progress
    )
    reader.find_grids([one for one in asked if one.document.doc_id in earlier], task)
    return reader.reading([one.document for one in asked], answers)


class _Reader:
    """Reads batches of documents at every stage with one probe."""

    def __init__(self, tap: StageTap, spec: ProbeSpec, how: Hidden, size: BatchSize) -> None:
        self.tap, self.spec, self.how, self.size = tap, spec, how, size
        self.probe: StageProbe = stage_probe(spec)
        self._learnt: dict[str, dict[str, int]] = {}

    def learn(self, role: Role, documents: Documents) -> None:
        """Let the probe take what it is fitted on from every document of a split.

        Raises:
            VlmbenchError: If none can be read.
        """
        self.probe.begin(documents)
        task, errors, read = documents.task.spec, list[str](), 0

        def take(items: Sequence[Item], of: TaskSpec, backend: Backend) -> list[Answer]:
            self.probe.start()  # again, where memory ran out halfway through a batch

            def keep(index: int, stage: str, features: list[ImageFeatures]) -> None:
                self.probe.take(stage, items[index].asked.document, features)

            self._pass(items, of, backend, keep)
            self.probe.keep(role)
            return [Answer(scores=np.zeros(1)) for _ in items]

        for chunk in _chunks(documents):
            found = answer_all(chunk, task, self.tap.backend, take, size=self.size)
            errors += [answer.error for answer in found if answer.error]
            read += sum(not answer.error for answer in found)
        if not read:
            reason = errors[0] if errors else "it is empty"
            raise VlmbenchError(Problem(message=f"no {role} document can be read: {reason}"))
        self._learnt[role] = {"documents": read, "failed": len(errors)}

    def look(self, items: Sequence[Item], task: TaskSpec, backend: Backend) -> list[Answer]:
        """Return the answers of one batch, by stage."""
        documents = [item.asked.document for item in items]
        found: list[dict[str, NDArray[np.float64]]] = [{} for _ in items]

        def keep(index: int, stage: str, features: list[ImageFeatures]) -> None:
            document = documents[index]
            if not self.spec.needs.are_known(document) or self.how.stage not in ("", stage):
                return
            check_shown(document, features)
            found[index][stage] = self.probe.head(stage).score(document, features)

        staged = self._pass(items, task, backend, keep)
        answers = []
        for item, one, stages in zip(items, staged, found, strict=True):
            if not self.spec.needs.are_known(item.asked.document):
                answers.append(Answer(scores=None, error=NOT_KNOWN))
                continue
            stages |= {
                f"lens-{k}": row
                for k, row in enumerate(one.lens)
                if self.how.stage in ("", f"lens-{k}")
            }
            ordered = {name: stages[name] for name in sorted(stages, key=_rank)}
            answers.append(
                Answer(
                    scores=next(iter(ordered.values()), None),
                    prompt=backend.render(item.prompt),
                    stages=ordered,
                )
            )
        return answers

    def find_grids(self, asked: Sequence[Asked], task: TaskSpec) -> None:
        """Find on which grids the images of documents lie that were answered earlier, elsewhere."""
        unlike = {tuple(image.size for image in one.document.images): one for one in asked}
        for one in unlike.values():
            with suppress(DocumentError, OSError, ValueError):  # it failed, and its grid is unknown
                images = build_prompt(one, task, self.tap.backend.spec).images
                for image in images:
                    self.tap.views.of(image.size, len(images))

    def reading(self, documents: Sequence[Document], answers: Sequence[Answer]) -> Reading:
        """Return all answers as one reading, with the scores of every stage.

        Raises:
            VlmbenchError: If there is no such stage.
        """
        read = [answer for answer in answers if answer.stages]
        names = list(dict.fromkeys(name for answer in read for name in answer.stages))
        if not names and self.how.stage and not all(answer.error for answer in answers):
            known = "`vlmbench run` with the readout `hidden` lists the stages that there are."
            message = f"model {self.tap.backend.spec.model!r} has no stage {self.how.stage!r}"
            if self.how.stage.startswith("lens"):
                message += ", or choices share their first token, so that it cannot tell them apart"
            raise VlmbenchError(Problem(message=message, remedy=known))
        mute = {n for n in names if n.startswith("lens") and not all(n in a.stages for a in read)}
        told = [name for name in names if name not in mute]
        if not told and names:
            message = f"at {names[0]!r} choices cannot be told apart: they share their first token"
            raise VlmbenchError(message)
        if not told:  # every document failed, and says why
            return make_reading(documents, answers, "similarity")
        last = next((name for name in reversed(told) if name.startswith("language")), told[-1])
        answers = [
            replace(a, scores=a.stages[last], stages={name: a.stages[name] for name in told})
            if a.stages
            else a
            for a in answers
        ]
        scale = self._scale(last)
        whole = make_reading(documents, answers, scale, self._fitted(), self._notes(told, names))
        empty = np.full_like(whole.scores.scores, -np.inf)
        stages = []
        for name in told:
            scores = empty.copy()
            for index, answer in enumerate(whole.answers):
                row = answer.stages.get(name, np.zeros(0))
                scores[index, : len(row)] = row
            stages.append(StageScores(stage=name, scale=self._scale(name), scores=scores))
        return replace(whole, stages=tuple(stages))

    def _scale(self, stage: str) -> Scale:
        return "logprob" if stage.startswith("lens") else self.probe.head(stage).scale

    def _fitted(self) -> dict[str, Any]:
        stages = self.probe.record()
        return {"learnt_from": self._learnt, "stages": stages} if stages else {}

    def _notes(self, told: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
        left_out = [name for name in names if name not in told]
        return {
            "stages": list(told),
            # Choices that begin with the same token cannot be told apart by it.
            "left_out": dict.fromkeys(left_out, "choices share their first token"),
            "similarity": self.how.similarity,
            "pooled": {"tower": self.tap.tower.twin.pooled, "behind": "mean"},
            "grids": self.tap.views.record(),
        }

    def _pass(
        self,
        items: Sequence[Item],
        task: TaskSpec,
        backend: Backend,
        keep: Callable[[int, str, list[ImageFeatures]], None],
    ) -> list[Staged]:
        """Run one batch and hand over the features of its documents' images, stage by stage."""
        frames = [frames_of(item, self.tap) for item in items]

        def seen(index: int, stage: str, images: Sequence[Seen]) -> None:
            features = [
                features_of(images[where.image], where.box, size) for where, size in frames[index]
            ]
            keep(index, stage, centred(features) if self.how.similarity == "centred" else features)

        following = continuations([item.asked for item in items], task, backend)
        return self.tap.read([item.prompt for item in items], following, seen)


def _rank(stage: str) -> tuple[int, int]:
    part, _, number = stage.partition("-")
    return PARTS.index(part), int(number or 0)


def _chunks(documents: Documents) -> Iterator[list[Asked]]:
    """Yield a split's documents as their task asks them, a few at once."""
    for start in range(0, len(documents), CHUNK):
        part = [documents[i] for i in range(start, min(start + CHUNK, len(documents)))]
        yield ask(part, documents.task.spec, Condition())
