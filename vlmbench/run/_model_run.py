"""Running all cells of one model, which is loaded only if something is missing."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from functools import partial

import torch

from vlmbench.files import WriteError
from vlmbench.metrics import StatRow, summarise
from vlmbench.models import resolve_device
from vlmbench.models.openai import account, damage
from vlmbench.plan import Cell, Plan, cell_key
from vlmbench.readouts import NOT_KNOWN, LoadedModel, Numbers
from vlmbench.run._cells import Read, asked_in, count, opened_for, read_cell
from vlmbench.run._failures import FailedError, refuse_failures
from vlmbench.run._identity import checkpoint_identity
from vlmbench.run._ledger import JournalLedger
from vlmbench.run._settings import CheckedTask, Reporter, Settings
from vlmbench.spec import Condition, Hidden, Located, ModelSpec, Readout, Server
from vlmbench.store import (
    Basis,
    FailedCell,
    Journal,
    ModelRecord,
    Record,
    RecordAbout,
    RunFolder,
    ServerRecord,
    installed_versions,
)
from vlmbench.types import ChoiceScores, Problem, VlmbenchError, reason

Where = tuple[torch.device, torch.dtype]
"""What a model runs on, and in which number format."""


def where_run(model: Located[ModelSpec], settings: Settings) -> Where:
    """Return what a model runs on in this process.

    Raises:
        VlmbenchError: If there is no such device here.
    """
    dtype = settings.dtype if settings.dtype != "auto" else model.spec.dtype
    return resolve_device(settings.device, dtype)


class ModelRun:
    """One model's cells: read from their records where these are whole and current, else run.

    Args:
        model: The model.
        plan: The plan it belongs to.
        settings: Device and folders.
        tasks: Checked documents by task name.
        reporter: Is told about progress.
        where: Device and number format that it runs in; None for what this machine has.
    """

    def __init__(
        self,
        model: Located[ModelSpec],
        plan: Plan,
        settings: Settings,
        tasks: Mapping[str, CheckedTask],
        reporter: Reporter,
        where: Where | None = None,
    ) -> None:
        self.model = model
        self.plan = plan
        self.settings = settings
        self.tasks = tasks
        self.reporter = reporter
        self.folder = RunFolder(settings.output)
        self.cells = [cell for cell in plan.cells if cell.model.spec.model == model.spec.model]
        self.device, self.dtype = where or where_run(model, settings)
        self.loaded: LoadedModel | None = None
        self._weights: dict[str, str] = {}
        self._unused_weights: tuple[str, ...] = ()
        self.failed: list[FailedCell] = []
        self.problems: list[Problem] = []

    def rows(self) -> list[StatRow]:
        """Read or run every cell and return the statistics of all tasks, in plan order.

        Where too many documents of a cell failed, it is left out. Whatever else is wrong ends the
        model. What was wrong is in `problems`, and then rows are missing.

        Raises:
            WriteError: If a file of the run cannot be written.
        """
        try:
            return self._rows()
        except WriteError:
            raise
        except VlmbenchError as error:
            self.problems += error.problems
        except Exception as error:  # of a library, of a model's own code, or our mistake
            message = f"the model ended with {reason(error)}"
            self.problems.append(Problem(file=str(self.model.path), message=message))
        finally:
            self.loaded = None  # free its memory before the next model is loaded
            gc.collect()
        return []

    def _rows(self) -> list[StatRow]:
        rows: list[StatRow] = []
        for name, task in self.tasks.items():
            cells = [cell for cell in self.cells if cell.task.spec.task == name]
            scores: dict[tuple[Condition, Readout], ChoiceScores] = {}
            for cell in cells:
                found = self._unless_failed(cell, task)
                if found is None:
                    continue
                if isinstance(found, Numbers):
                    rows += found.rows
                elif cell.readout.has_rows:
                    scores |= self._by_stage(cell, found)
            # Cells of the first documents only, or of those that a condition applies to.
            partial = {cell for cell, read in scores.items() if len(read) < len(task.held)}
            if scores and not self.problems:
                rows += summarise(
                    scores,
                    model=self.model.spec.model,
                    task=name,
                    seed=self.plan.seed,
                    partial=partial,
                )
        return rows

    def _unless_failed(self, cell: Cell, task: CheckedTask) -> ChoiceScores | Numbers | None:
        """Return what a cell gives; None where too many of its documents failed."""
        try:
            return self._cell(cell, task)
        except FailedError as error:
            self.problems += error.problems
            return None

    def _by_stage(
        self, cell: Cell, found: ChoiceScores
    ) -> dict[tuple[Condition, Readout], ChoiceScores]:
        """Return a cell's scores, or those of its stages where it has read several."""
        if not isinstance(cell.readout, Hidden):
            return {(cell.condition, cell.readout): found}
        stages = self.folder.record(cell.name).stages()
        return {(cell.condition, cell.readout.at(name)): read for name, read in stages.items()}

    def record(self) -> ModelRecord:
        """Return what the manifest says about the model, after `rows`."""
        spec = self.model.spec
        twin = spec.twin
        return ModelRecord(
            alias=spec.model_alias,
            recorded=bool(spec.recorded),
            rule=spec.rule,
            backend=spec.backend if spec.has_weights else None,
            checkpoint=spec.checkpoint,
            revision=spec.revision,
            digest=self.model.digest,
            weights=self._weights.get("model"),
            encoder_weights=self._weights.get("encoder"),
            lora=None if spec.weights is None else spec.weights.lora,
            unused_weights=self._unused_weights,
            twin=None if twin is None else twin.of or twin.checkpoint or "its own tower",
            layer=None if twin is None else twin.layer,
            relation=None if twin is None else twin.relation,
            device=str(self.device) if spec.server is None else "server",
            dtype=str(self.dtype).removeprefix("torch.") if spec.server is None else None,
            server=None if spec.server is None else self._account(spec.server),
            source=spec.source,
            license=spec.license,
        )

    def label(self, cell: Cell) -> str:
        """Return what the cell is called where progress is shown."""
        place = f"{cell.readout.label}/{cell.condition.label}"
        return f"{self.model.spec.model}  {cell.task.spec.task}  {place}"

    def is_there(self, cell: Cell, task: CheckedTask) -> bool:
        """Tell whether a cell's record is whole and current; note it and say so if it is.

        Raises:
            FailedError: If more of its documents failed than may, now.
        """
        record = self.folder.record(cell.name)
        if not cell.readout.scores_documents or not record.path.exists():
            return False
        try:
            about = record.check()
        except VlmbenchError as error:
            (problem,) = error.problems
            self.reporter.start(f"{problem.file}: {problem.message}; its cell is run again", 0)
            return False
        broken = set(record.failures()) - {NOT_KNOWN}
        if (broken and self.settings.retry) or not about.is_current(self._basis(cell, task)):
            return False
        refuse_failures(cell, record.errors(), self.settings)
        if not broken:  # a run may have been killed between writing the one and deleting the other
            record.journal.unlink(missing_ok=True)
        self._note(cell, record, about)
        self.reporter.start(f"{self.label(cell)}  already there", 0)
        self.reporter.expect(-count(cell, task))
        return True

    def ledger(
        self, cell: Cell, task: CheckedTask, model: LoadedModel | None = None
    ) -> JournalLedger:
        """Return what keeps a cell's answers as they come, and has those of a run cut short.

        Args:
            cell: The cell.
            task: Its documents.
            model: The model, if this process runs it: how large its batches were and what weights
                it has are kept with them.
        """
        basis = self._basis(cell, task).model_dump(mode="json")
        journal = Journal(self.folder.record(cell.name).journal, basis)
        if journal.remark:
            self.reporter.start(journal.remark, 0)
        refuse = partial(refuse_failures, cell, settings=self.settings, of=count(cell, task))
        retry = self.settings.retry
        if model is None:
            return JournalLedger(journal, retry=retry, refuse=refuse)
        sizes = model.batch_sizes if self.settings.batch_size is None else None
        return JournalLedger(journal, sizes, model.digests, retry=retry, refuse=refuse)

    def write(self, cell: Cell, task: CheckedTask, read: Read, ledger: JournalLedger) -> None:
        """Write a cell's record in place of its journal, which stays if documents failed.

        Raises:
            FailedError: If too many did.
            WriteError: If it cannot be written.
        """
        record, reading = self.folder.record(cell.name), read.reading
        if reading.broken:
            ledger.failed(reading.broken)
        refuse_failures(cell, [answer.error for answer in reading.answers], self.settings)
        self.folder.reopen()
        record.write(
            self._basis(cell, task),
            reading.scores,
            read.exchanges,
            weights=reading.weights,
            fitted=reading.fitted,
            notes=reading.notes,
            internals=reading.internals,
            stages=reading.stages,
        )
        if not reading.broken:
            ledger.journal.remove()
        self._note(cell, record, record.require())

    def _cell(self, cell: Cell, task: CheckedTask) -> ChoiceScores | Numbers:
        """Return what a cell gives, from its record if that is whole and current."""
        if self.is_there(cell, task):
            return self.folder.record(cell.name).scores()
        asked = asked_in(cell, task)
        self.reporter.expect(len(asked) - count(cell, task))
        advance = self.reporter.start(self.label(cell), len(asked))
        model = self._load()
        ledger = self.ledger(cell, task, model)
        opened = opened_for(
            cell,
            task,
            model,
            self.settings,
            seed=self.plan.seed,
            ledger=ledger,
            progress=advance,
        )
        read = read_cell(cell, asked, opened)
        if isinstance(read, Numbers):
            return read
        self.write(cell, task, read, ledger)
        return read.reading.scores

    def _load(self) -> LoadedModel:
        """Return the model, which is loaded when something of it is first asked for."""
        if self.loaded is None:
            answers = self.folder.answers(self.model.spec.model)
            if remark := damage(answers):
                self.reporter.start(remark, 0)
            self.loaded = LoadedModel(
                self.model,
                self.settings.device,
                self.settings.dtype,
                answers,
                self.settings.cache / "features",
                self.settings.hosts,
            )
        return self.loaded

    def _note(self, cell: Cell, record: Record, about: RecordAbout) -> None:
        """Keep what the manifest says of a cell's record, but not of freshly drawn weights.

        Raises:
            VlmbenchError: If other cells of the model are of other weights.
        """
        if cell.condition.is_own_model:
            if any(self._weights.get(part, one) != one for part, one in about.weights.items()):
                message = f"{cell.name} is of other weights than other cells of the run"
                remedy = "Start into a new folder, or delete the records of the other weights."
                file = str(record.path)
                raise VlmbenchError(Problem(file=file, message=message, remedy=remedy))
            self._weights |= about.weights
            self._unused_weights = tuple(about.notes.get("unused_weights", self._unused_weights))
        reasons = record.failures()
        if reasons:
            failed = FailedCell(
                model=self.model.spec.model,
                task=cell.task.spec.task,
                condition=cell.condition.label,
                readout=cell.readout.label,
                reasons=reasons,
            )
            self.failed.append(failed)

    def _basis(self, cell: Cell, task: CheckedTask) -> Basis:
        """Return everything a cell's scores depend on."""
        return Basis(
            key=cell_key(cell, self.plan),
            model=cell.model.spec.model,
            task=cell.task.spec.task,
            readout=cell.readout.label,
            condition=cell.condition,
            documents=task.digest,
            fitted_on=task.opened_for(cell.reads).digest + task.opened_for(cell.trains_on).digest,
            checkpoint=checkpoint_identity(self.model),
            device=self.device.type,
            dtype=str(self.dtype),
            versions=installed_versions(),
        )

    def _account(self, server: Server) -> ServerRecord:
        """Return tokens and cost of the run; no cost where no prices are declared."""
        unknown = {"usd": None, "unanswered_usd": None} if server.prices is None else {}
        return ServerRecord(**account(self.folder.answers(self.model.spec.model)) | unknown)
