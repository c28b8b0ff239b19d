"""What a run is given in addition to its plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from vlmbench.plan import MostFailed
from vlmbench.spec import Opens, Role
from vlmbench.tasks import Documents
from vlmbench.types import Document


class Reporter(Protocol):
    """Shows progress."""

    def start(self, label: str, total: int) -> Callable[[int], None]:
        """A step of `total` units begins; returns the function that advances it.

        One of no units is done as it begins.
        """

    def expect(self, answers: int) -> None:
        """So many more answers are to come, of all cells together; fewer where negative.

        What is begun later counts towards them.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A Ray cluster that a plan is executed on.

    Attributes:
        address: Of the cluster, as `ray.init` takes it; `local` starts one on this machine.
        shards: Shares in which the batches of a cell are handed out; None for one every 256
            documents.
    """

    address: str = "local"
    shards: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How and where a plan is executed.

    Attributes:
        output: Folder of the run.
        data_root: Folder for rendered data.
        cache: Where fitted heads are kept.
        device: `auto` or a device name.
        dtype: `auto` (the model's own, else the device's) or a dtype name.
        batch_size: Documents per forward pass; None finds one.
        workers: Models run side by side, each in a process with its share of torch's threads.
        max_failed: How many documents of a cell may fail.
        retry: Whether documents that failed in an earlier run are run again.
        allow_network: Whether addresses that tasks name as their data are asked.
        request: What the run was asked for, as JSON, to be kept in its folder; None to keep none.
        cluster: Where models run; None for this machine.
        hosts: Hosts that may be asked besides this machine and those that ship.
    """

    output: Path
    data_root: Path
    cache: Path
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | None = None
    workers: int = 1
    max_failed: MostFailed = field(default_factory=MostFailed)
    retry: bool = False
    allow_network: bool = False
    request: Mapping[str, Any] | None = None
    cluster: Cluster | None = None
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedSplits:
    """Checked splits that something is fitted on.

    Attributes:
        splits: The splits, by what they are for.
        digest: SHA-256 of all that is read of them; empty for none.
    """

    splits: Mapping[Role, Documents] = field(default_factory=dict)
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedTask:
    """A task's reported documents after checking.

    Attributes:
        documents: The split they come from.
        held: The documents themselves; their images are read when they are asked for.
        digest: SHA-256 of their content.
        opened: Other splits, by what a readout asks to be opened.
    """

    documents: Documents
    held: tuple[Document, ...]
    digest: str
    opened: Mapping[Opens, OpenedSplits] = field(default_factory=dict)

    def opened_for(self, opens: Opens) -> OpenedSplits:
        """Return what was opened; nothing if nothing was asked for."""
        return self.opened.get(opens, OpenedSplits())
