"""The data of the sample browser: an index per task to filter by, and pages of documents."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmbench.files import write_atomically
from vlmbench.metrics import ENCODER, PROMPTED, RULE
from vlmbench.report.site._cells import CellRead
from vlmbench.report.site._pictures import Data, Store, View, views
from vlmbench.tasks import listed_choices
from vlmbench.types import Document, VlmbenchError, file_name, plain

PAGE = 40
"""Documents of one data file."""
_LONGEST = 20_000
_SHORT = 200  # characters of an id or a choice

(ENCODER_RIGHT, WRONG, RIGHT, BLIND_RIGHT, FOLLOWED, ABSTAINED, FAILED, DIFFER, ENCODER_WRONG) = (
    1 << bit for bit in range(9)
)

FILTERS: tuple[tuple[str, str, int], ...] = (
    ("missed", "Encoder right, model wrong", ENCODER_RIGHT | WRONG),
    ("hint", "Wrong hint followed", FOLLOWED),
    ("blind", "Right without the image", BLIND_RIGHT),
    ("abstained", "Abstained: no readable answer", ABSTAINED),
    ("failed", "Failed: could not be run", FAILED),
    ("differ", "Models disagree", DIFFER),
    ("wrong", "Model wrong", WRONG),
    ("right", "Model right", RIGHT),
    ("all", "All documents", 0),
)
"""What the browser filters by: a name, a label, and what must hold of a document for a model."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """All that the site shows of one task's documents.

    Attributes:
        task: Name of the task.
        documents: Digest of the documents that were run.
        limit: The `--limit` they were run with.
        models: Digests of the specs that models were run with, by name; those that are not known
            are missing.
        cells: Its records.
        most: Documents to show at most.
    """

    task: str
    documents: str
    limit: int | None
    models: Mapping[str, str]
    cells: Sequence[CellRead]
    most: int

    @property
    def ids(self) -> list[str]:
        """Ids of the documents shown, in their order."""
        longest = max(self.cells, key=lambda cell: len(cell.at))
        known = dict.fromkeys(longest.scores.doc_ids)
        known |= dict.fromkeys(doc_id for cell in self.cells for doc_id in cell.at)
        return list(known)[: self.most]

    @property
    def total(self) -> int:
        """Documents that were run."""
        return len({doc_id for cell in self.cells for doc_id in cell.at})

    @property
    def asked(self) -> list[str]:
        """Models that were asked, as opposed to rules."""
        return list(dict.fromkeys(cell.model for cell in self.cells if cell.readout != RULE))

    def flags(self) -> dict[str, NDArray[np.int64]]:
        """(documents,) int64 by model: which of the bits of `FILTERS` hold."""
        ids, asked = self.ids, self.asked
        held = {model: np.zeros(len(ids), np.int64) for model in asked}
        for cell in self.cells:
            if cell.model in held:
                held[cell.model] |= _bits(cell, ids)
        if held:
            every = np.stack(list(held.values()))
            differ = ((every & RIGHT) > 0).any(axis=0) & ((every & WRONG) > 0).any(axis=0)
            for model in asked:
                held[model] |= np.where(differ, DIFFER, 0)
        return held


def _bits(cell: CellRead, ids: Sequence[str]) -> NDArray[np.int64]:
    """Return what one cell says of each document."""
    bits = np.zeros(len(ids), np.int64)
    own, blind = ((cell.readout, cell.condition) == (PROMPTED, of) for of in ("own", "blank"))
    reads = (cell.readout, cell.condition) == (ENCODER, "own")
    for index, doc_id in enumerate(ids):
        place = cell.at.get(doc_id)
        if place is None:
            continue
        right, wrong = cell.credit[place] == 1, cell.credit[place] == 0
        bits[index] = (
            ENCODER_RIGHT * (reads and right)
            | ENCODER_WRONG * (reads and wrong)
            | RIGHT * (own and right)
            | WRONG * (own and wrong)
            | BLIND_RIGHT * (blind and right)
            | FOLLOWED * cell.follows_hint(place)
            | ABSTAINED * (cell.readout == PROMPTED and bool(cell.scores.abstained[place]))
            | FAILED * bool(cell.scores.failed[place])
        )
    return bits


@dataclass(slots=True)
class _Texts:
    """Texts of one page, each once."""

    texts: dict[str, int] = field(default_factory=dict)

    def add(self, text: str, longest: int = _LONGEST) -> int:
        """Return the number of a text, made harmless to look at."""
        return self.texts.setdefault(plain(text, longest=longest), len(self.texts))


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenSamples:
    """What was written of one task's documents.

    Attributes:
        stem: The name of its folder in `data`.
        shown: Documents in the browser.
        total: Documents that were run.
        without_images: Why its images are not shown; empty if they are.
        size: Bytes of its data, images apart.
    """

    stem: str
    shown: int
    total: int
    without_images: str
    size: int


def write_samples(samples: Samples, data: Data, store: Store, folder: Path) -> WrittenSamples:
    """Write a task's index and pages below `folder`, and its images into the store.

    Where the documents are not here, or are others than those that were run, no image is shown.
    """
    stem, why, ids = file_name(samples.task), "", samples.ids
    documents: dict[str, Document] = {}
    try:
        documents = data.documents(samples.task, samples.documents, samples.limit)
    except VlmbenchError as error:
        why = plain(str(error), longest=2_000)
    seen = views(samples.cells, samples.models, data) if documents else []
    thumbs, size = [], 0
    for number, start in enumerate(range(0, len(ids), PAGE)):
        some, texts, docs = ids[start : start + PAGE], _Texts(), []
        for doc_id in some:
            document = documents.get(doc_id)
            drawn = document is not None and document.images
            thumbs.append(store.thumb(document.images[0]) if document and drawn else "")
            docs.append(_document(samples, doc_id, document, seen, store, texts))
        page = {"texts": list(texts.texts), "docs": docs}
        size += _write(folder / stem / f"page-{number}.js", f"{stem}/{number}", page)
    index = {
        "task": plain(samples.task),
        "page": PAGE,
        "total": samples.total,
        "why": why,
        "ids": [plain(doc_id, longest=_SHORT) for doc_id in ids],
        "thumbs": thumbs,
        "models": list(dict.fromkeys(cell.model for cell in samples.cells)),
        "units": sorted({cell.unit for cell in samples.cells}),
        "flags": {model: bits.tolist() for model, bits in samples.flags().items()},
        "views": [[view.side, list(view.models), plain(view.says), view.is_whole] for view in seen],
    }
    size += _write(folder / stem / "index.js", f"{stem}/index", index)
    return WrittenSamples(
        stem=stem, shown=len(ids), total=samples.total, without_images=why, size=size
    )


def _write(path: Path, name: str, value: object) -> int:
    """Write a script that hands JSON over under a name; return its bytes."""
    said = ",".join(
        json.dumps(part, allow_nan=False, separators=(",", ":")) for part in (name, value)
    )
    text = f"vlmbenchData({said});\n"
    write_atomically(path, text)
    return len(text)


def _document(
    samples: Samples,
    doc_id: str,
    document: Document | None,
    seen: Sequence[View],
    store: Store,
    texts: _Texts,
) -> dict[str, Any]:
    """Return what a page says about one document."""
    held = [(cell, cell.at[doc_id]) for cell in samples.cells if doc_id in cell.at]
    base, place = next(((cell, at) for cell, at in held if cell.exchanges[at].prompt), held[0])
    said = base.exchanges[place]
    choices = [plain(choice, longest=_SHORT) for choice in said.choices]
    listed = listed_choices(said.prompt, said.choices) if said.prompt else []
    names = list(dict.fromkeys(cell.model for cell in samples.cells))
    units = sorted({cell.unit for cell in samples.cells})
    return {
        "choices": choices,
        "words": [plain(words, longest=_SHORT) for _, words in listed],
        "gold": int(base.scores.gold[place]),
        "images": [] if document is None else [view.of(document, store) for view in seen],
        "cells": [
            {"m": names.index(cell.model), "u": units.index(cell.unit)}
            | _cell(cell, at, choices, texts)
            for cell, at in held
        ],
    }


def _cell(cell: CellRead, at: int, base: Sequence[str], texts: _Texts) -> dict[str, Any]:
    """Return what one cell says about one document; what there is nothing of is left out."""
    said, scores = cell.exchanges[at], cell.scores
    found: dict[str, Any] = {"r": texts.add(cell.readout), "c": texts.add(cell.condition)}
    if scores.failed[at]:
        return found | {"error": texts.add(said.error or "It could not be run.")}
    n = int(scores.n_choices[at])
    abstained = bool(scores.abstained[at])
    choices = [plain(choice, longest=_SHORT) for choice in said.choices]
    parts = {
        "v": [] if abstained else [_short(value) for value in cell.values[at, :n]],
        "a": [] if abstained else np.flatnonzero(cell.shares[at, :n] > 0).tolist(),
        "credit": _short(cell.credit[at]),
        "choices": [texts.add(choice) for choice in choices] if choices != base else None,
        "prompt": texts.add(said.prompt) if said.prompt else None,
        "reply": texts.add(said.response) if said.response else None,
        "finish": texts.add(said.finish) if said.finish else None,
        "unread": texts.add(cell.unread(at)) if abstained else None,
        "hint": said.hint_target if said.hint_target >= 0 else None,
        "map": _map(cell, at),
    }
    return found | {key: value for key, value in parts.items() if value is not None}


def _short(value: float) -> float | None:
    """Return a number with four significant digits; None for what is none."""
    return float(f"{value:.4g}") if np.isfinite(value) else None


def _map(cell: CellRead, at: int) -> list[Any] | None:
    """Return attention to the images, [images, rows, columns, shares of the largest in 0..99].

    None where there is none, or where it went to other images than those that are shown.
    """
    if cell.attention is None or not cell.shows_own:
        return None
    found = cell.attention.grid(at)
    if found is None or not np.isfinite(found).all() or found.max() <= 0:
        return None
    levels = np.rint(found / found.max() * 99).astype(int).reshape(-1)
    return [*found.shape, levels.tolist()]
