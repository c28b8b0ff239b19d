"""The internals readout: the prompted one, listened to inside the language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from vlmbench.models import Backend, BatchSize, Inside, Inspects, place, sink_rule
from vlmbench.plan import Cell
from vlmbench.readouts._changed import changed
from vlmbench.readouts._ledger import Ledger
from vlmbench.readouts._prompted import Item, answer_all, batch_size
from vlmbench.readouts._prompts import continuations
from vlmbench.readouts._reading import Answer, Progress, Reading, ignore, make_reading
from vlmbench.readouts._reads import Opened
from vlmbench.spec import ImagePolicy, TaskSpec
from vlmbench.types import GROUPS, Asked, Attention, Document, Internals, Region, VlmbenchError

# Models without a fused kernel hold tokens x tokens of attention a head and prompt, so batches
# start smaller than prompted ones. A question of more than half as many tokens runs alone:
# unpadded, so that the kernel is told `causal` in place of a mask and skips what lies ahead, half
# of a cost that grows with the square.
FIRST_BATCH = 4
FIRST_TOKENS = 2600


class InternalsReadout:
    """Takes `spec.Internals`."""

    def read(self, cell: Cell, asked: Sequence[Asked], opened: Opened) -> Reading:
        """Ask the model every question and keep what it held inside; see `read_internals`."""
        with changed(cell, asked, opened) as backend:
            reading = read_internals(
                asked,
                cell.task.spec,
                backend,
                batch_size=batch_size(cell, opened, FIRST_BATCH, FIRST_TOKENS),
                ledger=opened.ledger,
                progress=opened.progress,
            )
            return opened.model.reading(reading)


def read_internals(
    asked: Sequence[Asked],
    task: TaskSpec,
    backend: object,
    *,
    batch_size: int | BatchSize | None = None,
    ledger: Ledger | None = None,
    progress: Progress = ignore,
) -> Reading:
    """Ask a model every question as `read_prompted` does, and keep what it held inside.

    Scores are those of the prompted readout: the fused kernel that computes attention is kept, and
    the weights that it does not give are computed separately, for each prompt's last position.

    Args:
        asked: Documents, conditions already applied, with their questions.
        task: Their task, of `output_type: multiple_choice`.
        backend: The model; it must be able to `inspect`.
        batch_size: Documents per forward pass; None starts at 4 documents or 2,600 tokens and
            halves when memory runs out.
        ledger: Keeps answers as they come; none by default.
        progress: Called with the number of documents just done.

    Returns:
        The reading, with its `internals`. A document that the model cannot take is failed.

    Raises:
        VlmbenchError: If the model cannot be listened to.
    """
    if not isinstance(backend, Inspects):
        raise VlmbenchError(f"{type(backend).__name__} does not show the inside of its model")
    size = BatchSize.of(batch_size, FIRST_BATCH, FIRST_TOKENS)
    asking = cast("Backend", backend)
    answers = answer_all(asked, task, asking, _look, size=size, ledger=ledger, progress=progress)
    documents = [one.document for one in asked]
    reading = make_reading(documents, answers, "logprob")
    return replace(
        reading,
        notes=_notes(documents, reading.answers),
        internals=_stacked(documents, reading.answers),
    )


def regions_of(document: Document, policy: ImagePolicy) -> list[Region | None]:
    """Return a document's regions in pixels of the images that its prompt shows.

    The reference comes first, or None in its place, and then a region per choice. None are known
    where the encoder's images, in whose pixels regions are given, are not as many or not of the
    sizes of those shown.
    """
    sizes = [image.size for image in document.images]
    if sizes != [image.size for image in document.encoder_images]:
        return []
    start = () if document.reference is None else (document.reference,)
    first, choices = (
        place([region for region in held if region.image < len(sizes)], sizes, policy)
        for held in (start, document.candidates)
    )
    return [first[0] if first else None, *choices] if first or choices else []


def _look(items: Sequence[Item], task: TaskSpec, backend: Backend) -> list[Answer]:
    prompts = [item.prompt for item in items]
    following = continuations([item.asked for item in items], task, backend)
    regions = [regions_of(item.asked.document, backend.spec.image) for item in items]
    seen = cast("Inspects", backend).inspect(prompts, following, regions)
    return [
        Answer(scores=inside.scores, prompt=backend.render(prompt), inside=inside)
        for inside, prompt in zip(seen, prompts, strict=True)
    ]


def _notes(documents: Sequence[Document], answers: Sequence[Answer]) -> dict[str, Any]:
    """Return how many documents lack a group, so that nobody takes a missing one for zero."""
    seen = [
        (document, answer.inside)
        for document, answer in zip(documents, answers, strict=True)
        if answer.inside is not None
    ]
    named = [inside for document, inside in seen if document.reference or document.candidates]
    width = seen[0][1].h_last.shape[1] if seen else 0
    return {
        "attention": "of the last position, by the formula",
        "sinks": sink_rule(width),
        "regions_unknown": sum(bool(np.isnan(inside.mass[:, 1]).any()) for inside in named),
        "choices_not_found": sum(int(inside.tokens[2]) == 0 for _, inside in seen),
    }


def _stacked(documents: Sequence[Document], answers: Sequence[Answer]) -> Internals:
    """Return all summaries in document order, NaN for documents that failed."""
    seen = [answer.inside for answer in answers if answer.inside is not None]
    states, width = seen[0].h_last.shape if seen else (1, 0)
    empty = np.full((states, width), np.nan, dtype=np.float32)
    nothing = Inside(
        scores=np.zeros(0),
        h_image=empty,
        h_text=empty,
        h_last=empty,
        mass=np.full((states - 1, len(GROUPS)), np.nan),
        tokens=np.zeros(len(GROUPS), dtype=np.int64),
    )
    insides = [answer.inside or nothing for answer in answers]
    return Internals(
        doc_ids=tuple(document.doc_id for document in documents),
        h_image=np.stack([inside.h_image for inside in insides]),
        h_text=np.stack([inside.h_text for inside in insides]),
        h_last=np.stack([inside.h_last for inside in insides]),
        mass=np.stack([inside.mass for inside in insides]),
        tokens=np.stack([inside.tokens for inside in insides]),
        attention=_attention([answer.inside for answer in answers]),
    )


def _attention(insides: Sequence[Inside | None]) -> Attention | None:
    """Return attention by head of all documents in order; None where none was kept."""
    held = [None if inside is None else inside.attention for inside in insides]
    known = [one for one in held if one is not None]
    if not known:
        return None
    heads, windows = known[0].heads.shape, known[0].maps.shape[0]
    most = max(one.maps.shape[1] for one in known)
    n = len(held)
    found = Attention(
        heads=np.full((n, *heads), np.nan, dtype=np.float32),
        sinks=np.zeros((n, heads[0], 2), dtype=np.int64),
        maps=np.full((n, windows, most), np.nan, dtype=np.float32),
        grids=np.zeros((n, 3), dtype=np.int64),
    )
    for index, one in enumerate(held):
        if one is not None:
            found.heads[index], found.sinks[index] = one.heads, one.sinks
            found.maps[index, :, : one.maps.shape[1]] = one.maps
            found.grids[index] = one.grid
    return found
