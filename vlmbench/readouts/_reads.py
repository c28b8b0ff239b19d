"""What a readout is given, and how the class that takes it is found."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Protocol, runtime_checkable

from vlmbench.models import (
    Backend,
    BatchSize,
    HfBackend,
    Remote,
    Tower,
    load_backend,
    resolve_device,
)
from vlmbench.plan import Cell
from vlmbench.readouts._ledger import Ledger
from vlmbench.readouts._reading import Numbers, Progress, Reading, ignore
from vlmbench.readouts.probes import FeatureStore
from vlmbench.spec import Located, ModelSpec, Readout, Role
from vlmbench.tasks import Documents
from vlmbench.types import Asked, Problem, VlmbenchError


class LoadedModel:
    """A model, loaded when something of it is first asked for.

    Args:
        model: Its spec.
        device: `auto` or a device name.
        dtype: `auto` or a dtype name.
        answers: File that keeps a server's answers; None to keep none.
        features: Folder that keeps what encoders say of images; None to keep it in memory only.
        hosts: Hosts that may be asked besides this machine and those that ship.

    Attributes:
        batch_sizes: What has fitted into memory, by kind of readout.
        features: What encoders have said of images.
    """

    def __init__(
        self,
        model: Located[ModelSpec],
        device: str,
        dtype: str,
        answers: Path | None = None,
        features: Path | None = None,
        hosts: Collection[str] = (),
    ) -> None:
        self.model = model
        self._device, self._dtype, self._answers, self._hosts = device, dtype, answers, hosts
        self.batch_sizes: dict[str, BatchSize] = {}
        self.features = FeatureStore(features)

    @cached_property
    def backend(self) -> Backend | Remote:
        """The model itself."""
        loaded = load_backend(self.model, self._device, self._dtype, self._answers, self._hosts)
        if isinstance(loaded, HfBackend):
            loaded.keep_features()
        return loaded

    def digests(self) -> dict[str, str]:
        """Return the digests of the weights that are loaded, by part: `model`, `encoder`.

        While a condition changes weights they are those of the changed ones. A tower inside the
        model is a part of it, and no part of its own.
        """
        loaded, twin = vars(self), self.model.spec.twin
        found = {"model": self.backend.weights_digest} if "backend" in loaded else {}
        if "tower" in loaded and twin is not None and twin.checkpoint is not None:
            found["encoder"] = self.tower.weights_digest
        return found

    def reading(self, reading: Reading) -> Reading:
        """Return a reading of the model itself with what is known of its weights and canaries."""
        said = {
            "unused_weights": list(getattr(self.backend, "unused_weights", ())),
            "training": getattr(self.backend, "training", {}),
            "canary": getattr(self.backend, "canary", {}),
        }
        return replace(
            reading,
            weights=reading.weights | {"model": self.backend.weights_digest},
            notes=reading.notes | {name: value for name, value in said.items() if value},
        )

    @cached_property
    def tower(self) -> Tower:
        """Its encoder-probe twin: the tower inside its checkpoint, or a standalone encoder."""
        twin = self.model.spec.twin
        assert twin is not None, "planned without a twin"
        if twin.checkpoint is not None:
            device, _ = resolve_device(self._device, self._dtype)
            return Tower.load(twin, self.model.folder, device, self.model.spec.image)
        if not isinstance(self.backend, HfBackend):
            raise VlmbenchError(
                self.model.problem(
                    "twin",
                    f"backend {self.model.spec.backend!r} does not give access to the model's "
                    "tower",
                    "Name a standalone encoder with `twin.checkpoint`.",
                )
            )
        return Tower.inside(self.backend, twin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What has been opened for a readout.

    Attributes:
        model: The model, loaded when asked.
        splits: The splits that the readout asked for (`Readout.opens`), by what they are for.
        training: The task's training and validation documents where the condition's weights are
            trained on them.
        batch_size: Documents per forward pass; None finds a size that fits.
        seed: Seed of everything that is fitted or drawn.
        cache: Folder of fitted heads.
        ledger: Keeps answers as they come; None to keep none.
        progress: Called with the number of documents just done.
    """

    model: LoadedModel
    splits: Mapping[Role, Documents] = field(default_factory=dict)
    training: Mapping[Role, Documents] = field(default_factory=dict)
    batch_size: int | None = None
    seed: int = 0
    cache: Path
    ledger: Ledger | None = None
    progress: Progress = ignore


@runtime_checkable
class Reads(Protocol):
    """The class that takes a readout, made without arguments."""

    def read(self, cell: Cell, asked: Sequence[Asked], opened: Opened) -> Reading | Numbers:
        """Read the answer of every document.

        Args:
            cell: What is read: model, task, condition, readout.
            asked: Documents as the condition shows them, with their questions.
            opened: What it may use.

        Raises:
            VlmbenchError: If it cannot be taken of this model or these documents.

        Returns:
            Scores of all documents, or finished numbers if the readout does not score documents.
        """


def implementation(readout: Readout) -> Reads:
    """Return what takes a readout, imported now.

    Raises:
        VlmbenchError: If it cannot be imported.
    """
    module, _, name = readout.implementation.partition(":")
    try:
        found: Reads = getattr(import_module(module), name)()
    except (ImportError, AttributeError) as error:
        message = f"the readout {readout.label!r} cannot be imported from {module}:{name}: {error}"
        raise VlmbenchError(Problem(message=message)) from error
    return found
