"""Running all cells of one model, loading it only if something is missing."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from vlmbench.metrics import METRICS_VERSION, StatRow, summarise
from vlmbench.models import Backend, HfBackend, Remote, Tower, checkpoint_path, resolve_device
from vlmbench.models.openai import account
from vlmbench.plan import Cell, Plan, cell_key
from vlmbench.readouts import (
    Progress,
    Reading,
    read_encoder,
    read_internals,
    read_prompted,
    read_recorded,
    read_rule,
)
from vlmbench.registry import backends
from vlmbench.run._manifest import versions
from vlmbench.run._settings import CheckedTask, Reporter, Settings
from vlmbench.spec import Located, ModelSpec, Server
from vlmbench.store import internals_columns, read_about, read_scores, write_record
from vlmbench.tasks import apply_conditions, ask, learns
from vlmbench.types import ChoiceScores, Document, Problem, VlmbenchError

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
        self._weights: dict[str, str] = {}

    def rows(self) -> list[StatRow]:
        """Read or run every cell and return the statistics of all tasks, in plan order."""
        rows: list[StatRow] = []
        for name, task in self.tasks.items():
            cells = [cell for cell in self.cells if cell.task.spec.task == name]
            if self.model.spec.backend == "recorded":
                if cells:
                    rows += self._recorded(task)
                continue
            scores = {(cell.condition.label, cell.readout): self._scores(cell) for cell in cells}
            # The prompted readout once more, which would only repeat its rows.
            scores = {cell: read for cell, read in scores.items() if cell[1] != "internals"}
            # Cells of the first documents only, or of those that a condition can be had with.
            partial = {cell for cell, read in scores.items() if len(read) < len(task.held)}
            if scores:
                rows += summarise(
                    scores,
                    model=self.model.spec.model,
                    task=name,
                    seed=self.plan.seed,
                    partial=partial,
                )
        self.__dict__.pop("_backend", None)
        self.__dict__.pop("_tower", None)
        gc.collect()
        return rows

    def entry(self) -> dict[str, Any]:
        """Return what the manifest says about the model, after `rows`."""
        spec = self.model.spec
        twin = spec.twin
        return {
            "alias": spec.model_alias,
            "recorded": spec.backend == "recorded",
            "rule": spec.rule,
            "backend": spec.backend,
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

    def _recorded(self, task: CheckedTask) -> list[StatRow]:
        by_guessing = sum(1 / len(document.choices) for document in task.held) / len(task.held)
        return read_recorded(
            self.model.spec, task.documents, chance=by_guessing, seed=self.plan.seed
        )

    def _scores(self, cell: Cell) -> ChoiceScores:
        """Return a cell's scores, from its record if that is whole and current."""
        path = self.settings.output / "records" / f"{cell.name}.parquet"
        task = self.tasks[cell.task.spec.task]
        about = self._about(cell, task)
        stored = read_about(path)
        place = f"{cell.readout}/{cell.condition.label}"
        label = f"{self.model.spec.model}  {cell.task.spec.task}  {place}"
        if stored is not None and _is_current(stored, about):
            if cell.condition.weights == "base":
                self._weights |= stored["weights"]
            self.reporter.start(f"{label}  there already", 0)
            return read_scores(path)
        documents = apply_conditions(task.held, cell.condition, first=cell.first)
        advance = self.reporter.start(label, len(documents))
        questions = ask(documents, cell.task.spec, cell.condition, cell.hints)
        texts = [question.text for question in questions]
        reading, weights = self._read(cell, task, documents, texts, advance)
        _refuse_all_failed(cell, reading)
        if cell.condition.weights == "base":
            self._weights |= weights
        columns: dict[str, list[Any]] = {
            "choices": [list(document.choices) for document in documents],
            "prompt": [answer.prompt for answer in reading.answers],
            "response": [answer.response for answer in reading.answers],
            "error": [answer.error for answer in reading.answers],
            "marked": [document.marked for document in documents],
            "hint_target": [question.hint_target for question in questions],
        }
        if reading.internals is not None:
            columns |= internals_columns(reading.internals)
        about |= {"weights": weights, "fitted": reading.fitted, "notes": reading.notes}
        write_record(path, reading.scores, columns, about)
        return reading.scores

    def _read(
        self,
        cell: Cell,
        task: CheckedTask,
        documents: Sequence[Document],
        questions: Sequence[str],
        advance: Progress,
    ) -> tuple[Reading, dict[str, str]]:
        """Run a cell and return its reading with the digests of the weights it was read from."""
        size = 1 if cell.condition.batch == "single" else self.settings.batch_size
        match cell.readout:
            case "prompted" | "internals":
                read = read_prompted if cell.readout == "prompted" else read_internals
                reading = read(
                    documents,
                    questions,
                    cell.task.spec,
                    self._backend,
                    batch_size=size,
                    progress=advance,
                )
                return reading, {"model": self._backend.weights_digest}
            case "encoder":
                probe = cell.task.spec.bench.probe
                assert probe is not None, "planned without a probe"
                tower = self._tower
                if cell.condition.weights == "random":
                    tower = tower.randomised(self.plan.seed)
                reading = read_encoder(
                    documents,
                    probe,
                    tower,
                    task.fit_on,
                    seed=self.plan.seed,
                    cache=self.settings.cache,
                    progress=advance,
                )
                weights = {"encoder": tower.weights_digest}
                if self.model.spec.twin is not None and self.model.spec.twin.checkpoint is None:
                    weights["model"] = self._backend.weights_digest
                return reading, weights
            case "rule":
                assert self.model.spec.rule is not None, "planned without a rule"
                reading = read_rule(
                    documents, questions, self.model.spec.rule, task.train, progress=advance
                )
                return reading, {}
            case other:
                raise VlmbenchError(f"nothing runs the readout {other!r}")

    def _about(self, cell: Cell, task: CheckedTask) -> dict[str, Any]:
        """Return everything a cell's scores depend on."""
        return {
            "key": cell_key(cell, self.plan),
            "model": cell.model.spec.model,
            "task": cell.task.spec.task,
            "readout": cell.readout,
            "condition": cell.condition.model_dump(mode="json"),
            "documents": task.digest,
            "fitted_on": self._fitted_on(cell, task),
            "checkpoint": _checkpoint_identity(self.model),
            "device": self.device.type,
            "dtype": str(self.dtype),
            "metrics": METRICS_VERSION,
            "versions": versions(),
        }

    def _fitted_on(self, cell: Cell, task: CheckedTask) -> str:
        """Return the digest of what a cell's head or rule learns from; empty if of nothing."""
        if cell.readout == "encoder":
            return task.fit_digest
        rule = self.model.spec.rule
        return task.train_digest if rule is not None and learns(rule) else ""

    @cached_property
    def _backend(self) -> Backend | Remote:
        backend = backends()[self.model.spec.backend].load()
        loaded: Backend | Remote = backend.load(
            self.model.spec, self.model.folder, self.device, self.dtype
        )
        if isinstance(loaded, Remote):
            loaded.keep(self._answers)
        return loaded

    def _account(self, server: Server) -> dict[str, Any]:
        """Return tokens and cost of the run; no cost where no prices are declared."""
        unknown = {"usd": None, "unanswered_usd": None} if server.prices is None else {}
        return account(self._answers) | unknown

    @property
    def _answers(self) -> Path:
        """Where a server's answers are kept."""
        name = self.model.spec.model.replace("/", "--")
        return self.settings.output / "answers" / f"{name}.jsonl"

    @cached_property
    def _tower(self) -> Tower:
        twin = self.model.spec.twin
        assert twin is not None, "planned without a twin"
        if twin.checkpoint is not None:
            return Tower.load(twin, self.model.folder, self.device)
        if not isinstance(self._backend, HfBackend):
            raise VlmbenchError(
                self.model.problem(
                    "twin",
                    f"backend {self.model.spec.backend!r} gives no access to the model's tower",
                    "Name a standalone encoder with `twin.checkpoint`.",
                )
            )
        return Tower.inside(self._backend, twin)


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
