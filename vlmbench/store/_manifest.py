"""What a run says about itself in manifest.json."""

from __future__ import annotations

import platform
from functools import lru_cache
from importlib import metadata
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import vlmbench
from vlmbench.metrics import METRICS_VERSION
from vlmbench.spec import ModelName, Name
from vlmbench.types import Problem, VlmbenchError, parse_json

FORMAT: Final = 1
"""Number of the format in which a run's files are written. Runs from before formats had numbers
count as 0: their manifest and statistics are still read, their records are not."""

_PACKAGES = (
    "torch", "transformers", "tokenizers", "datasets", "lm-eval", "numpy", "scipy",
    "scikit-learn", "scikit-image", "embreex", "pillow", "pyarrow", "pydantic", "peft",
)  # fmt: skip


class Said(BaseModel):
    """Base of what a run says about itself. What a later version adds to a format is ignored."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
        ser_json_inf_nan="constants",  # not as null, which would read back as something else
    )


class Versions(Said):
    """The versions of everything that can change a number; packages stand beside these two."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str | None] = Field(init=False)

    vlmbench: str
    metrics: int
    """Meaning of the metrics; see `vlmbench.metrics.METRICS_VERSION`."""

    def of(self, package: str) -> str | None:
        """Return the version of a package; None if it was not installed."""
        return self.__pydantic_extra__.get(package)


@lru_cache(maxsize=1)
def installed_versions() -> Versions:
    """Return the versions of what is installed here."""
    return Versions(
        vlmbench=vlmbench.__version__,
        metrics=METRICS_VERSION,
        python=platform.python_version(),
        **{package: _version(package) for package in _PACKAGES},
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


class TaskRecord(Said):
    """What a run says about a task: all that decides comparability, and labels."""

    digest: str
    """Hash of the resolved task spec."""
    reading: str | None = None
    """Hash of how its answers are read; none in runs from before it was recorded."""
    documents: str
    """Hash of the documents' content, in order."""
    data: str
    """Fingerprint of the data."""
    n: int = Field(ge=1)
    """Documents that were run."""
    cluster_by: str | None = None
    """Column that says which documents share something; none where shared image files do."""
    clusters: int | None = None
    """Groups of documents that share something, those of one document among them; none in runs
    from before they were counted."""
    of: int
    """Documents that the split has."""
    limit: int | None
    """`--limit`, if one was given."""
    chance: float | None = Field(ge=0, le=1)
    """Expected accuracy of a guess; none for free text, which has no choices."""
    marked: bool
    """The encoder saw images with markers drawn into them."""
    places: Literal["draw", "drawn", "text"] | None = None
    """How the model was shown points and boxes (`metadata.vlmbench.markers`); none where the task
    is about none, and in runs from before it was recorded."""
    answers: str | None = None
    """The rule by which text is read, and its edition: `declared-1`; none in runs from before it
    was recorded."""
    wordings: str | None = None
    """Hash of the task's other wordings; none where it has none, and in runs from before these."""
    difficulty: float | None = None
    """That of a rendered world's documents, from 0 (easy) to 1 (hard); none for other data, and in
    runs from before it was recorded."""
    ability: str
    alias: str | None
    version: float | str
    """The task's own number of its version."""
    source: str | None


class ServerRecord(Said):
    """What the answers of a model behind a server came to."""

    requests: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    """Charged for the answers; none if no prices are declared."""
    unanswered: int
    """Tries that timed out or broke off after the server may have run."""
    unanswered_usd: float | None
    """The most that may have been charged for those."""


class ModelRecord(Said):
    """What a run says about a model."""

    alias: str | None
    recorded: bool
    """Its numbers were measured elsewhere."""
    rule: str | None
    """The cheap rule that it is; none for models."""
    backend: str | None
    checkpoint: str | None
    revision: str | None
    digest: str
    """Hash of the resolved model spec."""
    weights: str | None
    """SHA-256 of the weights; none for recorded numbers."""
    encoder_weights: str | None
    """SHA-256 of the weights that the encoder readout read."""
    lora: str | None = None
    """Folder of the low-rank updates that were merged into the checkpoint's weights."""
    unused_weights: tuple[str, ...] = ()
    """Names of weights in the checkpoint that the model has no place for."""
    twin: str | None
    layer: int | tuple[int, ...] | str | None
    """Layer of the twin that is read."""
    relation: Literal["identical", "finetuned", "lineage"] | None
    """How the twin's weights relate to the tower's; none where there is no twin."""
    device: str | None
    dtype: str | None
    server: ServerRecord | None
    source: str | None
    license: str | None


class SkippedCell(Said):
    """A cell that was asked for and cannot be run, and why."""

    model: str
    task: str
    condition: str
    """The condition's label."""
    readout: str
    reason: str


class FailedCell(Said):
    """A cell in which some documents failed, and why."""

    model: str
    task: str
    condition: str
    """The condition's label."""
    readout: str
    reasons: dict[str, int]
    """How many documents failed for each of the commonest reasons, and for others."""


class Manifest(Said):
    """What a finished run says about itself."""

    format: int = FORMAT
    complete: Literal[True] = True
    study: str
    seed: int
    versions: Versions
    tasks: dict[Name, TaskRecord]
    models: dict[ModelName, ModelRecord]
    plan: str
    """Digest of the plan that the folder was claimed for."""
    study_digest: str
    limit: int | None
    platform: str
    cells: tuple[str, ...]
    """Names of the cells that have a record; others in the folder are not part of the run."""
    skipped: tuple[SkippedCell, ...]
    stats: str | None = None
    """SHA-256 of stats.json; none in runs from before it was recorded."""
    failed: tuple[FailedCell, ...] = ()


def parse_manifest(text: str, *, file: str) -> Manifest:
    """Read the text of manifest.json.

    Raises:
        VlmbenchError: If it is of an unknown format, unfinished or malformed, with every problem
            found.
    """
    data = parse_json(text, file=file)
    if isinstance(data, dict):
        if "format" not in data:
            data |= {"format": 0, "cells": ()}
        if data["format"] not in (0, FORMAT):
            raise VlmbenchError(unknown_format(data["format"], file=file))
        if data.get("complete") is not True:
            raise VlmbenchError(
                Problem(
                    file=file,
                    field="complete",
                    message="the run did not finish, so documents may be missing from its numbers",
                    remedy="Start the same `vlmbench run` again.",
                )
            )
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        raise VlmbenchError(
            Problem(file=file, field=".".join(map(str, item["loc"])), message=item["msg"])
            for item in error.errors()
        ) from None


def unknown_format(written: object, *, file: str) -> Problem:
    """Return the problem of a file in a format that this version does not read."""
    return Problem(
        file=file,
        field="format",
        message=f"the file has format {written!r}, and this version of vlmbench reads {FORMAT}",
        remedy="Read it with the version of vlmbench that wrote it, or run the study again into a "
        "new folder.",
    )
