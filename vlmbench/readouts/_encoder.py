"""The encoder readout: what the VLM's own vision tower knows, asked directly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from vlmbench.models import BatchSize, Tower, in_batches
from vlmbench.plan import Cell
from vlmbench.readouts._ledger import Ledger, all_of, kept_in
from vlmbench.readouts._prompted import why_failed
from vlmbench.readouts._reading import NOT_KNOWN, Answer, Progress, Reading, ignore, make_reading
from vlmbench.readouts._reads import Opened
from vlmbench.readouts.probes import CHUNK, FeatureStore, FeatureTap, Fitting, examples, make_head
from vlmbench.readouts.tuning import tuned
from vlmbench.spec import Encoder, ProbeSpec, Role, Twin
from vlmbench.tasks import Documents
from vlmbench.types import Asked, Document, Problem, VlmbenchError


class EncoderReadout:
    """Takes `spec.Encoder`."""

    def read(self, cell: Cell, asked: Sequence[Asked], opened: Opened) -> Reading:
        """Ask the twin of the model by the task's probe; see `read_encoder`."""
        probe, twin, how = cell.task.spec.bench.probe, cell.model.spec.twin, cell.readout
        assert isinstance(how, Encoder), "planned for another readout"
        assert probe is not None, "planned without a probe"
        assert twin is not None, "planned without a twin"
        with _tower(cell, twin, opened) as tower:
            reading = read_encoder(
                [one.document for one in asked],
                probe,
                tower,
                opened.splits,
                how=how,
                seed=opened.seed,
                cache=opened.cache,
                store=opened.model.features,
                ledger=opened.ledger,
                progress=opened.progress,
            )
            reading = replace(reading, weights={"encoder": tower.weights_digest})
            return reading if twin.checkpoint is not None else opened.model.reading(reading)


@contextmanager
def _tower(cell: Cell, twin: Twin, opened: Opened) -> Iterator[Tower]:
    """Give the tower with the weights of a cell's condition, for a while."""
    if cell.condition.weights.trains:
        with tuned(cell, opened) as backend:
            yield Tower.inside(backend, twin)
    elif cell.condition.weights.of_encoder:
        yield opened.model.tower.randomised(opened.seed)
    else:
        yield opened.model.tower


def read_encoder(
    documents: Sequence[Document],
    probe: ProbeSpec,
    tower: Tower,
    splits: Mapping[Role, Documents],
    *,
    how: Encoder | None = None,
    seed: int,
    cache: Path,
    store: FeatureStore | None = None,
    ledger: Ledger | None = None,
    progress: Progress = ignore,
) -> Reading:
    """Answer every document by a probe on the tower's features.

    Probes (protocol: arXiv 2506.08008): cosine of patch tokens at keypoints, a DPT depth head,
    Gram matrices, odd one out by pooled similarity, and a linear probe for naming. Features
    are those of the layer that the VLM consumes (`twin.layer`); the depth head also reads
    three shallower ones. Documents whose coordinates are not known fail, and count as such.
    Fitted heads see training and validation splits only, and depth heads are cached.
    `Reading.notes` says how images became squares, which hidden state was read, and how an image
    was summed up in one vector.

    Args:
        documents: Documents, conditions already applied.
        probe: How the task is read.
        tower: The encoder.
        splits: Training and validation documents; needed by probes that are fitted.
        how: What else is to be chosen; nothing by default.
        seed: Seed of fitted heads.
        cache: Folder of fitted heads.
        store: Keeps features; by default they are kept for this reading.
        ledger: Keeps answers as they come; none by default.
        progress: Called with the number of documents just done.

    Raises:
        VlmbenchError: If documents lack the regions that the probe needs, or there is nothing to
            fit on.
    """
    how = how or Encoder()
    if how.sees == "marked":
        documents = [_marked(document) for document in documents]
    located = [document for document in documents if probe.needs.are_known(document)]
    problems = [p for document in located for p in probe.needs.problems(document)]
    if problems:
        raise VlmbenchError(problems)
    state = how.state(n_layers=tower.n_layers, consumed=tower.consumed)
    layers = probe.layers(n_layers=tower.n_layers, consumed=state)
    tap = FeatureTap(tower, layers, store=store)
    head = make_head(probe, Fitting(tap=tap, splits=splits, seed=seed, cache=cache, how=how))

    def read(batch: Sequence[Document]) -> list[Answer]:
        return [
            Answer(scores=head.score(document, features))
            if probe.needs.are_known(document)
            else Answer(scores=None, error=NOT_KNOWN)
            for document, features in examples(batch, tap)
        ]

    size, kept = BatchSize(CHUNK, fixed=True), kept_in(ledger, documents)
    answers = in_batches(
        documents,
        read,
        size=size,
        failed=lambda _, error: Answer(scores=None, error=why_failed(error)),
        kept=kept,
        progress=progress,
    )
    pooled = tower.twin.pooled if how.pooling == "twin" else how.pooling
    notes = {"pixels": tower.letterbox.record(), "layer": state, "pooled": pooled}
    read_all = all_of(answers, len(documents))
    return make_reading(documents, read_all, head.scale, head.record(), notes)


def _marked(document: Document) -> Document:
    """Return a document whose encoder is shown the images with their markers."""
    if [i.size for i in document.images] != [i.size for i in document.encoder_images]:
        message = f"document {document.doc_id}: its images with and without markers differ in size"
        raise VlmbenchError(Problem(message=message, remedy="Read it without `sees: marked`."))
    return replace(document, encoder_images=document.images, marked=True)
