"""One cell's record in Parquet: what was asked, what was answered, and what it was made from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import Field, PlainSerializer, ValidationError

from vlmbench.metrics import credit
from vlmbench.spec import Condition
from vlmbench.store._internals import HELD, internals_columns, read_internals
from vlmbench.store._manifest import FORMAT, Said, Versions, unknown_format
from vlmbench.store._parquet import damaged, names_of, read_columns, read_said, write_parquet
from vlmbench.tasks import listed_choices
from vlmbench.types import ChoiceScores, Internals, Scale, StageScores, VlmbenchError

_STAGE = "stage "
_MOST_REASONS = 3

# A hub id with its revision, or name, size and time of every file of a local checkpoint.
_Files = tuple[str, str | None] | tuple[tuple[str, int, int], ...]


class Basis(Said):
    """Everything that a cell's scores depend on."""

    key: str
    """Hash of what the specs say about the cell; see `vlmbench.plan.cell_key`."""
    model: str
    task: str
    readout: str
    """The readout's label."""
    condition: Annotated[Condition, PlainSerializer(lambda condition: condition.label)]
    documents: str
    """Hash of the documents' content."""
    fitted_on: str
    """Hash of what a head or rule learns from; empty if it learns from nothing."""
    checkpoint: tuple[_Files, ...]
    """The model's files, and its twin's where these are others."""
    device: str
    dtype: str
    versions: Versions


class RecordAbout(Said):
    """What a record says about itself."""

    format: int = FORMAT
    basis: Basis
    scale: Scale
    stages: dict[str, Scale] = Field(default_factory=dict)
    """Stages of the model that were read beside the scores, and what a score there is."""
    weights: dict[str, str]
    """SHA-256 of the weights that were read, of `model` and `encoder`."""
    fitted: dict[str, Any]
    """Recipe and validation metrics of a fitted head; empty if none was fitted."""
    notes: dict[str, Any]
    """What a readout notes about how it read; see `vlmbench.readouts.Reading`."""

    def is_current(self, basis: Basis) -> bool:
        """Tell whether the record was made from exactly this, and has all of a server's answers.

        What a server failed to answer is asked again; what it did answer is kept.
        """
        return self.basis == basis and not self.notes.get("unanswered")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What was asked about one document, and what came back besides its scores.

    Attributes:
        choices: The answers to choose from, in canonical order.
        marked: Markers are drawn into the images that the encoder sees.
        hint_target: The choice that the prompt's hint asserts; -1 if there is no hint.
        image_target: The choice that is right for what the condition shows in place of the
            document's own images; -1 where it shows these, or where that is not known.
        prompt: The exact text that a model was given; empty for readouts without one.
        response: The text it wrote, thoughts included; empty unless it generated.
        finish: Why that ended (`stop`, `length`, ...); empty where nothing says so.
        error: Why the document failed; empty if it did not.
    """

    choices: Sequence[str]
    marked: bool
    hint_target: int
    image_target: int = -1
    prompt: str = ""
    response: str = ""
    finish: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """The record of one cell, which may be there or not.

    Attributes:
        path: Its file.
    """

    path: Path

    @property
    def journal(self) -> Path:
        """The file that keeps the cell's batches while it is under way."""
        return self.path.with_suffix(".journal")

    def about(self) -> RecordAbout | None:
        """Return what the record says about itself; None if there is no whole one that we read."""
        try:
            return self.require()
        except VlmbenchError:
            return None

    def require(self) -> RecordAbout:
        """Return what the record says about itself.

        Raises:
            VlmbenchError: If it is missing, damaged or of another format.
        """
        said = read_said(self.path)
        written = said.get("format", 0)
        if written != FORMAT:
            raise VlmbenchError(unknown_format(written, file=str(self.path)))
        try:
            return RecordAbout.model_validate(said)
        except ValidationError as error:
            first = error.errors()[0]
            why = f"the record is damaged: {'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise VlmbenchError(damaged(self.path, why)) from None

    def check(self) -> RecordAbout:
        """Read all but what a model held inside; return what the record says about itself.

        Raises:
            VlmbenchError: If it is missing, damaged or of another format.
        """
        about = self.require()
        read_columns(self.path, [name for name in names_of(self.path) if name not in HELD])
        return about

    def write(
        self,
        basis: Basis,
        scores: ChoiceScores,
        exchanges: Sequence[Exchange],
        *,
        weights: dict[str, str],
        fitted: dict[str, Any],
        notes: dict[str, Any],
        internals: Internals | None = None,
        stages: Sequence[StageScores] = (),
    ) -> None:
        """Write the record, whole or not at all.

        Columns are doc_id, gold, scores (one per choice), abstained, failed, cluster (position of
        the first document of the same one), credit (null for failed documents), those of
        `Exchange`, those of `internals` where there are any, and `stage NAME` for each stage.
        """
        about = RecordAbout(
            basis=basis,
            scale=scores.scale,
            stages={stage.stage: stage.scale for stage in stages},
            weights=weights,
            fitted=fitted,
            notes=notes,
        )
        columns = _score_columns(scores) | _exchange_columns(exchanges)
        if internals is not None:
            columns |= internals_columns(internals)
        for stage in stages:
            columns[f"{_STAGE}{stage.stage}"] = _rows_of(stage.scores, scores.n_choices)
        write_parquet(self.path, columns, about.model_dump(mode="json"))

    def scores(self) -> ChoiceScores:
        """Return the cell's scores, bit for bit as they were written.

        Raises:
            VlmbenchError: If the record is missing, damaged or holds scores that no model gives.
        """
        about = self.require()
        names = ["doc_id", "gold", "scores", "abstained", "failed"]
        # Records from before clusters have none, and their documents count each by itself.
        names += [name for name in ("cluster",) if name in names_of(self.path)]
        table = read_columns(self.path, names).to_pydict()
        clusters = table.get("cluster", [])
        try:
            return ChoiceScores(
                doc_ids=tuple(map(_known, table["doc_id"])),
                gold=np.array(table["gold"], dtype=np.int64),
                n_choices=np.array([len(row) for row in table["scores"]], dtype=np.int64),
                scores=_padded(table["scores"]),
                scale=about.scale,
                abstained=np.array(table["abstained"], dtype=bool),
                failed=np.array(table["failed"], dtype=bool),
                clusters=np.array(clusters) if len(set(clusters)) < len(clusters) else None,
            )
        except (TypeError, ValueError) as error:
            raise VlmbenchError(damaged(self.path, f"the record is damaged: {error}")) from None

    def stages(self) -> dict[str, ChoiceScores]:
        """Return the scores of every stage, by its name; empty where no stages were read."""
        about = self.require()
        if not about.stages:
            return {}
        cell = self.scores()
        columns = [f"{_STAGE}{name}" for name in about.stages]
        table = read_columns(self.path, columns)
        return {
            name: replace(cell, scores=_padded(table[column].to_pylist()), scale=scale)
            for (name, scale), column in zip(about.stages.items(), columns, strict=True)
        }

    def exchanges(self) -> list[Exchange]:
        """Return what was asked about each document and what came back, in document order.

        Raises:
            VlmbenchError: If the record is missing or damaged.
        """
        there = names_of(self.path)
        names = [field.name for field in fields(Exchange) if field.name in there]
        return [Exchange(**row) for row in read_columns(self.path, names).to_pylist()]

    def errors(self) -> list[str]:
        """Return why each document failed, in document order; empty for those that did not."""
        told: list[str] = read_columns(self.path, ["error"])["error"].to_pylist()
        return told

    def failures(self) -> dict[str, int]:
        """Return how many documents failed for each reason, the commonest first.

        Reasons beyond the third, which may be another for every document, stand together.
        """
        counts = Counter(filter(None, self.errors())).most_common()
        found = dict(counts[:_MOST_REASONS])
        others = sum(count for _, count in counts[_MOST_REASONS:])
        return found | {"other reasons": others} if others else found

    def internals(self) -> Internals | None:
        """Return what the language model held inside; None if the readout did not look there."""
        return read_internals(self.path)

    def hint_targets(self) -> NDArray[np.int64]:
        """(n,) int64: the choice that each document's hint asserts; -1 if there is none."""
        column = read_columns(self.path, ["hint_target"])["hint_target"]
        return np.array(column.to_pylist(), dtype=np.int64)

    def image_targets(self) -> NDArray[np.int64]:
        """(n,) int64: the choice that is right for the images shown in place of each document's.

        -1 where none is known, and in records from before there was such a choice.
        """
        names = names_of(self.path)
        if "image_target" not in names:
            return np.full(pq.read_metadata(self.path).num_rows, -1, dtype=np.int64)
        column = read_columns(self.path, ["image_target"])["image_target"]
        return np.array(column.to_pylist(), dtype=np.int64)

    def answers(self) -> tuple[str, ...]:
        """Return what each document's right choice says, in document order.

        The words that its prompt lists beside the choice, or the choice itself where it lists none.
        """
        table = read_columns(self.path, ["prompt", "choices", "gold"]).to_pydict()
        return tuple(map(_words, table["prompt"], table["choices"], table["gold"]))


def _known(doc_id: str | None) -> str:
    if doc_id is None:
        raise ValueError("a document has no id")
    return doc_id


def _words(prompt: str, choices: Sequence[str], gold: int) -> str:
    """Return the words of a choice, first from lines that begin with one: questions name points."""
    marks = "|".join(re.escape(choice.strip("().: ")) for choice in choices)
    lines = re.findall(rf"^[ \t]*\(?(?:{marks})[).:].*$", prompt, re.MULTILINE)
    listed = listed_choices("\n".join(lines), choices) or listed_choices(prompt, choices)
    return (listed[gold][1] if listed else "") or choices[gold]


def _score_columns(scores: ChoiceScores) -> dict[str, Any]:
    earned = np.full(len(scores), np.nan)
    if not scores.failed.all():
        earned[~scores.failed] = credit(scores)
    return {
        "doc_id": list(scores.doc_ids),
        "gold": scores.gold,
        "scores": _rows_of(scores.scores, scores.n_choices),
        "abstained": scores.abstained,
        "failed": scores.failed,
        "cluster": scores.cluster_of,
        "credit": pa.array(earned, mask=np.isnan(earned)),
    }


def _rows_of(scores: NDArray[np.float64], n_choices: NDArray[np.int64]) -> list[list[float]]:
    return [row[:n].tolist() for row, n in zip(scores, n_choices, strict=True)]


def _padded(rows: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Return rows of different lengths as (n, longest), with -inf behind the shorter ones."""
    padded = np.full((len(rows), max(map(len, rows), default=0)), -np.inf)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return padded


def _exchange_columns(exchanges: Sequence[Exchange]) -> dict[str, Any]:
    return {
        "choices": [list(exchange.choices) for exchange in exchanges],
        "prompt": [exchange.prompt for exchange in exchanges],
        "response": [exchange.response for exchange in exchanges],
        "finish": [exchange.finish for exchange in exchanges],
        "error": [exchange.error for exchange in exchanges],
        "marked": [exchange.marked for exchange in exchanges],
        "hint_target": [exchange.hint_target for exchange in exchanges],
        "image_target": [exchange.image_target for exchange in exchanges],
    }
