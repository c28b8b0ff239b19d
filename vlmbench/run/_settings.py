"""What a run is given beside its plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vlmbench.tasks import Documents, FitSplits
from vlmbench.types import Document


class Reporter(Protocol):
    """Shows progress."""

    def start(self, label: str, total: int) -> Callable[[int], None]:
        """A step of `total` units begins; returns the function that advances it.

        One of no units is done as it begins.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How and where a plan is executed.

    Attributes:
        output: Folder of the run.
        data_root: Where procedural data is kept.
        cache: Where fitted heads are kept.
        device: `auto` or a device name.
        dtype: `auto` (the model's own, else the device's) or a dtype name.
        batch_size: Documents a forward pass; None finds one.
        workers: Models run side by side, each in a process with its share of torch's threads.
    """

    output: Path
    data_root: Path
    cache: Path
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | None = None
    workers: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedTask:
    """A task's reported documents after checking.

    Attributes:
        documents: The split they come from.
        held: The documents themselves, images still encoded.
        digest: SHA-256 of their content.
        fit_on: Splits that a fitted probe of the task learns from, if the plan has one.
        fit_digest: SHA-256 of those splits' content; empty without them.
        train: The task's own training split, if the plan has a rule that learns from it.
        train_digest: SHA-256 of its content; empty without it.
    """

    documents: Documents
    held: tuple[Document, ...]
    digest: str
    fit_on: FitSplits | None = None
    fit_digest: str = ""
    train: Documents | None = None
    train_digest: str = ""
