"""Running all cells of one model, loading it only if something is missing."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlmbench.metrics import METRICS_VERSION, StatRow, summarise
from vlmbench.models import checkpoint_path, resolve_device
from vlmbench.models.openai import account
from vlmbench.plan import Cell, Plan, cell_key
from vlmbench.readouts import (
    LoadedModel,
    Numbers,
    Opened,
    Progress,
    Reading,
    implementation,
)
from vlmbench.run._manifest import versions
from vlmbench.run._settings import CheckedTask, Reporter, Settings
from vlmbench.spec import Condition, Located, ModelSpec, Readout, Server
from vlmbench.store import internals_columns, read_about, read_scores, write_record
from vlmbench.tasks import apply_conditions, ask
from vlmbench.types import Asked, ChoiceScores, Problem, VlmbenchError

# Files beside a checkpoint that people read and no model does.
_PAGES = frozenset({".md", ".svg", ".png"})


class ModelRun:
    """One model's cells: read from their records where these are whole and current, else run.

    Args:
        model: The model.
        plan: The plan it belongs to.
        settings: Device and folders.
        tasks: Checked documents by task name.
        reporter: Shown progress.
    """

    def __init__(
        self,
        model: Located[ModelSpec],
        plan: Plan,
        settings: Settings,
        tasks: Mapping[str, CheckedTask],
        reporter: Reporter,
    ) -> None:
        self.model = model
        self.plan = plan
        self.settings = settings
        self.tasks = tasks
        self.reporter = reporter
        self.cells = [cell for cell in plan.cells if cell.model.spec.model == model.spec.model]
        dtype = settings.dtype if settings.dtype != "auto" else model.spec.dtype
        self.device, self.dtype = resolve_device(settings.device, dtype)
        self.loaded: LoadedModel | None = None
        self._weights: dict[str, str] = {}

    def rows(self) -> list[StatRow]:
        """Read or run every cell and return the statistics of all tasks, in plan order."""
        rows: list[StatRow] = []
        for name, task in self.tasks.items():
            cells = [cell for cell in self.cells if cell.task.spec.task == name]
            scores: dict[tuple[Condition, Readout], ChoiceScores] = {}
            for cell in cells:
                found = self._cell(cell, task)
                if isinstance(found, Numbers):
                    rows += found.rows
                elif cell.readout.has_rows:
                    scores[cell.condition, cell.readout] = found
            # Cells of the first documents only, or of those that a condition applies to.
            partial = {cell for cell, read in scores.items() if len(read) < len(task.held)}
            if scores:
                rows += summarise(
                    scores,
                    model=self.model.spec.model,
                    task=name,
                    seed=self.plan.seed,
                    partial=partial,
                )
        self.loaded = None  # free its memory before the next model is loaded
        gc.collect()
        return rows

    def entry(self) -> dict[str, Any]:
        """Return what the manifest says about the model, after `rows`."""
        spec = self.model.spec
        twin = spec.twin
        return {
            "alias": spec.model_alias,
            "recorded": bool(spec.recorded),
            "rule": spec.rule,
            "backend": spec.backend if spec.has_weights else None,
            "checkpoint": spec.checkpoint,
            "revision": spec.revision,
            "digest": self.model.digest,
            "weights": self._weights.get("model"),
            "encoder_weights": self._weights.get("encoder"),
            "twin": None if twin is None else twin.of or twin.checkpoint or "its own tower",
            "layer": None if twin is None else twin.layer,
            "relation": None if twin is None else twin.relation,
            "device": str(self.device) if spec.server is None else "server",
            "dtype": str(self.dtype).removeprefix("torch.") if spec.server is None else None,
            "server": None if spec.server is None else self._account(spec.server),
            "source": spec.source,
            "license": spec.license,
        }

    def _cell(self, cell: Cell, task: CheckedTask) -> ChoiceScores | Numbers:
        """Return what a cell gives, from its record if that is whole and current."""
        total = min(cell.first or len(task.held), len(task.held))
        place = f"{cell.readout.label}/{cell.condition.label}"
        advance = self.reporter.start(
            f"{self.model.spec.model}  {cell.task.spec.task}  {place}", total
        )
        path = self.settings.output / "records" / f"{cell.name}.parquet"
        about = self._about(cell, task)
        stored = read_about(path) if cell.readout.scores_documents else None
        if stored is not None and _is_current(stored, about):
            self._note_weights(cell, stored["weights"])
            advance(total)
            return read_scores(path)
        documents = apply_conditions(task.held, cell.condition, first=cell.first)
        asked = ask(documents, cell.task.spec, cell.condition, cell.hints)
        reading = implementation(cell.readout).read(cell, asked, self._opened(cell, task, advance))
        if isinstance(reading, Numbers):
            return reading
        _refuse_all_failed(cell, reading)
        self._note_weights(cell, reading.weights)
        about |= {"weights": reading.weights, "fitted": reading.fitted, "notes": reading.notes}
        write_record(path, reading.scores, _columns(asked, reading), about)
        return reading.scores

    def _opened(self, cell: Cell, task: CheckedTask, advance: Progress) -> Opened:
        """Return what a cell may use."""
        if self.loaded is None:
            self.loaded = LoadedModel(
                self.model, self.settings.device, self.settings.dtype, self._answers
            )
        return Opened(
            model=self.loaded,
            splits=task.opened_for(cell.readout).splits,
            batch_size=self.settings.batch_size,
            seed=self.plan.seed,
            cache=self.settings.cache,
            progress=advance,
        )

    def _note_weights(self, cell: Cell, weights: Mapping[str, str]) -> None:
        """Keep the digests of the model's own weights, not of freshly drawn ones."""
        if cell.condition.weights == "base":
            self._weights |= weights

    def _about(self, cell: Cell, task: CheckedTask) -> dict[str, Any]:
        """Return everything a cell's scores depend on."""
        return {
            "key": cell_key(cell, self.plan),
            "model": cell.model.spec.model,
            "task": cell.task.spec.task,
            "readout": cell.readout.label,
            "condition": cell.condition.label,
            "documents": task.digest,
            "fitted_on": task.opened_for(cell.readout).digest,
            "checkpoint": _checkpoint_identity(self.model),
            "device": self.device.type,
            "dtype": str(self.dtype),
            "metrics": METRICS_VERSION,
            "versions": versions(),
        }

    def _account(self, server: Server) -> dict[str, Any]:
        """Return tokens and cost of the run; no cost where no prices are declared."""
        unknown = {"usd": None, "unanswered_usd": None} if server.prices is None else {}
        return account(self._answers) | unknown

    @property
    def _answers(self) -> Path:
        """Where a server's answers are kept."""
        name = self.model.spec.model.replace("/", "--")
        return self.settings.output / "answers" / f"{name}.jsonl"


def _columns(asked: Sequence[Asked], reading: Reading) -> dict[str, Any]:
    """Return what a record holds beside scores."""
    columns: dict[str, Any] = {
        "choices": [list(one.document.choices) for one in asked],
        "prompt": [answer.prompt for answer in reading.answers],
        "response": [answer.response for answer in reading.answers],
        "error": [answer.error for answer in reading.answers],
        "marked": [one.document.marked for one in asked],
        "hint_target": [one.hint_target for one in asked],
    }
    if reading.internals is not None:
        columns |= internals_columns(reading.internals)
    return columns


def _is_current(stored: Mapping[str, Any], about: Mapping[str, Any]) -> bool:
    """Tell whether a record was made from the same things and lacks no server's answer.

    What a server failed to answer is asked again; what it did answer is in its journal.
    """
    whole = not stored.get("notes", {}).get("unanswered")
    return whole and all(stored.get(key) == value for key, value in about.items())


def _refuse_all_failed(cell: Cell, reading: Reading) -> None:
    if reading.scores.failed.all():
        raise VlmbenchError(
            Problem(
                file=str(cell.model.path),
                message=f"all {len(reading.scores)} documents of {cell.name} failed, the first "
                f"with: {reading.answers[0].error}",
            )
        )


def _checkpoint_identity(model: Located[ModelSpec]) -> list[Any]:
    """Return what tells whether the model's files, and its twin's, are still the same."""
    spec, twin = model.spec, model.spec.twin
    if spec.checkpoint is None:
        return []
    found = [_files(spec.checkpoint, spec.revision, model.folder)]
    if twin is not None and twin.checkpoint is not None:
        found.append(_files(twin.checkpoint, twin.revision, model.folder))
    return found


def _files(checkpoint: str | None, revision: str | None, folder: Path) -> list[Any]:
    """Return names, sizes and times of a local checkpoint's files, or its hub id and revision.

    A model card and its pictures are not among them: a new edition of a page changes no score.
    """
    source = Path(checkpoint_path(checkpoint, folder))
    if not source.is_dir():
        return [checkpoint, revision]
    files = sorted(p for p in source.iterdir() if p.is_file() and p.suffix not in _PAGES)
    return [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]
