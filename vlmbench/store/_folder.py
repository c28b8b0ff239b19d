"""The folder of a run: the only place that knows where a run keeps what."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vlmbench.files import contents, sweep, sync_folder, write_atomically, writing
from vlmbench.metrics import StatRow, dump_rows, load_rows
from vlmbench.store._journal import peek
from vlmbench.store._manifest import FORMAT, Manifest, parse_manifest
from vlmbench.store._parquet import damaged
from vlmbench.store._record import Record
from vlmbench.types import Problem, VlmbenchError, file_name, parse_json


def file_stem(model: str) -> str:
    """Return the name that a model's files go by: model names may hold slashes."""
    return file_name(model.replace("/", "--"))


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run's folder, whether empty, under way or finished.

        manifest.json     what was run; written last
        request.json      what was asked for, so that `vlmbench retry` can ask for it again
        stats.json        rows of statistics
        results.json      prompted accuracies in lm-eval's shape
        records/MODEL/TASK/READOUT-CONDITION.parquet
        records/MODEL/TASK/READOUT-CONDITION.journal    its batches, while it is under way
        .lock             held by the run that writes to the folder
        answers/MODEL.jsonl    what a server answered, as it came
        diagnostics/           model cards

    Attributes:
        path: The folder, as the user wrote it.
    """

    path: Path

    @property
    def _manifest(self) -> Path:
        return self.path / "manifest.json"

    @property
    def _request(self) -> Path:
        return self.path / "request.json"

    @property
    def _stats(self) -> Path:
        return self.path / "stats.json"

    @property
    def _records(self) -> Path:
        return self.path / "records"

    @property
    def diagnostics(self) -> Path:
        """Where the run's model cards go."""
        return self.path / "diagnostics"

    def record(self, cell: str) -> Record:
        """Return the record of the cell of that name, `MODEL/TASK/READOUT-CONDITION`."""
        model, task, rest = cell.rsplit("/", 2)
        return Record(self._records / file_stem(model) / task / f"{rest}.parquet")

    def finished(self) -> list[Record]:
        """Return the whole records that are there, in the order of their names; see `under_way`."""
        found = map(Record, sorted(self._records.rglob("*.parquet")))
        return [record for record in found if record.about() is not None]

    def under_way(self) -> dict[str, int]:
        """Return how many documents each cell has answered that has no record yet, by its path.

        Nothing is changed: another process may be writing.
        """
        journals = sorted(self._records.rglob("*.journal"))
        return {
            str(path.relative_to(self._records).with_suffix("")): len(
                {one["id"] for frame in peek(path) for one in frame.said.get("answers", ())}
            )
            for path in journals
            if not path.with_suffix(".parquet").exists()
        }

    @property
    def has_ended(self) -> bool:
        """Whether the run is finished: its manifest is there."""
        return self._manifest.is_file()

    def answers(self, model: str) -> Path:
        """Return the file that keeps a server's answers as they come."""
        return self.path / "answers" / f"{file_stem(model)}.jsonl"

    def claim(self, plan: str) -> AbstractContextManager[object]:
        """Take the folder for the plan of that digest, and keep other runs from writing to it.

        What is finished in it stays finished until `reopen`.

        Returns:
            What keeps them out; released where its block ends, and by any death of the process.

        Raises:
            VlmbenchError: If another run is writing to it, it holds another plan's finished run,
                files of something else or links, or it cannot be written.
        """
        if self.path.is_dir() and any(self.path.iterdir()) and not self._is_run:
            raise self._refusal(
                "the folder contains files that do not belong to a run",
                "Choose an empty or new folder.",
            )
        self.check_links()
        lock = FileLock(self.path / ".lock", timeout=0)
        with writing(self.path):
            self._records.mkdir(parents=True, exist_ok=True)
            try:
                held = lock.acquire()
            except Timeout:
                raise self._refusal(
                    "another run is writing to the folder",
                    "Wait until it has ended, or choose another folder.",
                ) from None
            sweep(self.path)
        if self._manifest.is_file() and self.manifest().plan != plan:
            lock.release()
            raise self._refusal(
                "the folder contains the run of another plan",
                "Choose another folder, or delete this one.",
            )
        return held

    def check_links(self) -> None:
        """Refuse links in the folder: a run of somebody else's would be written where they lead.

        Raises:
            VlmbenchError: With the first.
        """
        for path in self.path.rglob("*"):
            if path.is_symlink():
                raise self._refusal(
                    f"{path.relative_to(self.path)} is a link, and would be written through",
                    "A run's folder holds files of its own: copy to it what the link leads to.",
                )

    @property
    def _is_run(self) -> bool:
        return self._manifest.is_file() or self._records.is_dir()

    def _refusal(self, message: str, remedy: str) -> VlmbenchError:
        problem = Problem(file=str(self.path), field="--output", message=message, remedy=remedy)
        return VlmbenchError(problem)

    def reopen(self) -> None:
        """Say that what was finished is so no longer, before the first of its records changes."""
        if self._manifest.exists():
            with writing(self._manifest):
                self._manifest.unlink()
                sync_folder(self.path)

    def ask(self, request: Mapping[str, Any]) -> None:
        """Keep what a run was asked for, as JSON."""
        write_atomically(self._request, _dump(request))

    def asked(self) -> dict[str, Any]:
        """Return what the run was asked for.

        Raises:
            VlmbenchError: If that is not known.
        """
        with suppress(VlmbenchError):
            found = parse_json(_text(self._request)) if self._request.is_file() else None
            if isinstance(found, dict):
                return found
        raise VlmbenchError(
            Problem(
                file=str(self._request),
                message="what the run was asked for is missing or damaged",
                remedy="Give the folder named in `vlmbench run --output`, or start the same "
                "`vlmbench run` again: what is finished is kept.",
            )
        )

    def finish(
        self, manifest: Manifest, rows: Sequence[StatRow], results: Mapping[str, Any]
    ) -> Run:
        """Write what a run comes to, the manifest last: a folder without it is not a result."""
        stats = dump_rows(rows)
        manifest = manifest.model_copy(update={"stats": _sha256(stats)})
        write_atomically(self._stats, stats)
        write_atomically(self.path / "results.json", _dump(results))
        write_atomically(self._manifest, _dump(manifest.model_dump(mode="json")))
        return Run(folder=self, manifest=manifest, rows=tuple(rows))

    def manifest(self) -> Manifest:
        """Read the manifest of a finished run.

        Raises:
            VlmbenchError: If the folder is missing, or the run is unfinished, malformed or of an
                unknown format.
        """
        if not self._manifest.is_file():
            unfinished = (
                "the run is not finished: there is no manifest.json, which a run writes last"
            )
            raise VlmbenchError(
                Problem(
                    file=str(self.path),
                    message=unfinished if self.path.is_dir() else "there is no such folder",
                    remedy="Give the folder named in `vlmbench run --output`, after it has ended.",
                )
            )
        return parse_manifest(_text(self._manifest), file=str(self._manifest))

    def read(self) -> Run:
        """Read a finished run, and check that its parts belong together.

        Raises:
            VlmbenchError: If the run is missing, unfinished or malformed, with every problem found.
        """
        manifest, file = self.manifest(), str(self._stats)
        if not self._stats.is_file():
            raise VlmbenchError(
                Problem(
                    file=file,
                    message="the run has no statistics",
                    remedy="Repeat the run with `vlmbench run`.",
                )
            )
        text = _text(self._stats)
        rows = load_rows(text, file=file)
        if manifest.stats not in (None, _sha256(text)):
            message = "the statistics are not those that the run wrote: the manifest has another "
            remedy = "Start the same `vlmbench run` again: they are computed from its records."
            raise VlmbenchError(Problem(file=file, message=f"{message}SHA-256", remedy=remedy))
        problems = list(_row_problems(rows, manifest, file))
        if problems:
            raise VlmbenchError(problems)
        return Run(folder=self, manifest=manifest, rows=rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A finished run.

    Attributes:
        folder: Where it is.
        manifest: What was run.
        rows: What came out.
    """

    folder: RunFolder
    manifest: Manifest
    rows: tuple[StatRow, ...]

    @property
    def name(self) -> str:
        """Its folder, as the user wrote it; for messages only."""
        return str(self.folder.path)

    def records(self, model: str, task: str) -> tuple[Record, ...]:
        """Return the records of one model on one task, in the order of their files' names.

        Raises:
            VlmbenchError: If the run was written before records had the present format, or a file
                in the place of a record is not that cell's.
        """
        if self.manifest.format != FORMAT:
            raise VlmbenchError(
                Problem(
                    file=self.name,
                    message=f"the run was written by vlmbench {self.manifest.versions.vlmbench} "
                    "in an earlier format, whose statistics are still read but whose records are "
                    "not",
                    remedy="Run the study again with `vlmbench run`, into a new folder.",
                )
            )
        names = (
            cell for cell in self.manifest.cells if cell.rpartition("/")[0] == f"{model}/{task}"
        )
        found = {name: self.folder.record(name) for name in names}
        for name, record in found.items():
            basis = record.require().basis
            of = f"{basis.model}/{basis.task}/{basis.readout}-{basis.condition.label}"
            if of != name:
                raise VlmbenchError(damaged(record.path, f"it is the record of {of}"))
        return tuple(sorted(found.values(), key=lambda record: record.path))


def _row_problems(rows: Sequence[StatRow], manifest: Manifest, file: str) -> Iterator[Problem]:
    """Yield rows of models and tasks that the run does not have, and rows given twice."""
    for kind, names, known in (
        ("model", {row.model for row in rows}, manifest.models),
        ("task", {row.task for row in rows}, manifest.tasks),
    ):
        for name in sorted(names - known.keys()):
            yield Problem(file=file, field=kind, message=f"{name!r} is not in the manifest")
    for key, times in sorted(Counter(row.key for row in rows).items()):
        if times > 1:
            yield Problem(file=file, message=f"row {'/'.join(key)} is there more than once")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _text(path: Path) -> str:
    """Return the text of a run's file; raises VlmbenchError where it cannot be read."""
    try:
        return contents(path).decode()
    except (OSError, ValueError) as error:  # the last for what is not UTF-8
        raise VlmbenchError(Problem(file=str(path), message=f"cannot be read: {error}")) from None


def _dump(value: Mapping[str, Any]) -> str:
    """Return JSON for people and machines; refuses NaN."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"
