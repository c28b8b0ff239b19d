"""A run in progress as a site: what is finished so far, and in the end the whole of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import vlmbench
from vlmbench.files import write_atomically
from vlmbench.metrics import accuracy, number
from vlmbench.report._format import line_of
from vlmbench.report.site._cells import CellRead, usual_first
from vlmbench.report.site._links import samples_page
from vlmbench.report.site._page import STATIC, page
from vlmbench.report.site._pictures import Data, Store
from vlmbench.report.site._samples import FILTERS, Samples, WrittenSamples, write_samples
from vlmbench.report.site._write import site
from vlmbench.store import RunFolder
from vlmbench.types import VlmbenchError

SECONDS = 3
"""Between two looks at a run in progress, of the site and of the page that shows it."""


class Follower:
    """Writes the site of a run, which may be in progress, and keeps it up to date.

    Args:
        run: The run's folder.
        output: Folder to write to.
        data: Where images come from.
        most: Documents of each task in the sample browser at most.

    Raises:
        VlmbenchError: If there is no such folder.
    """

    def __init__(self, run: Path, output: Path, data: Data, *, most: int) -> None:
        self.folder, self.output, self.most = RunFolder(run), output, most
        if not run.is_dir():
            self.folder.manifest()  # says what is wrong
        self.data = replace(data, opened={})
        self._cells: dict[Path, tuple[CellRead, str]] = {}
        self._samples: dict[str, WrittenSamples] = {}
        self._store = Store(output / "images")
        self._shown: Any = None

    def update(self) -> bool:
        """Write what has changed; return whether the run is finished and all of it is written.

        Raises:
            VlmbenchError: If a finished run cannot be read.
        """
        if self.folder.has_ended:
            site([self.folder.path], self.output, self.data, most=self.most)
            return True
        fresh = self._read()
        under_way = self.folder.under_way()
        state = (sorted(map(str, self._cells)), under_way)
        if state != self._shown:
            for path in STATIC:
                write_atomically(self.output / path.name, path.read_text(encoding="utf-8"))
            self._write_samples(fresh)
            self._page("index.html", "progress", lines=self._lines(under_way), seconds=SECONDS)
            self._shown = state
        return False

    def _read(self) -> set[str]:
        """Read new records; return the tasks that they are of."""
        fresh = set()
        for record in self.folder.finished():
            if record.path not in self._cells:
                with suppress(VlmbenchError):  # it has just been replaced, or is damaged
                    basis = record.require().basis
                    self._cells[record.path] = (CellRead.read(record), basis.documents)
                    fresh.add(basis.task)
        return fresh

    def _write_samples(self, tasks: set[str]) -> None:
        """Write the documents of tasks that have new records."""
        try:
            limit = self.folder.asked().get("request", {}).get("limit")
        except VlmbenchError:
            limit = None
        self._store.folder.mkdir(parents=True, exist_ok=True)
        for task in sorted(tasks):
            held = [(cell, digest) for cell, digest in self._cells.values() if cell.task == task]
            samples = Samples(
                task=task,
                documents=held[-1][1],
                limit=limit,
                models={},
                cells=usual_first([cell for cell, _ in held]),
                most=self.most,
            )
            self._samples[task] = write_samples(
                samples, self.data, self._store, self.output / "data"
            )
        names = {task: task for task in self._samples}
        self._page("samples.html", "samples", filters=FILTERS, names=names)

    def _lines(self, under_way: dict[str, int]) -> list[tuple[str, ...]]:
        """Return the cells of the page: model, task, readout, condition, state, accuracy."""
        lines = []
        for cell in usual_first([cell for cell, _ in self._cells.values()]):
            failed = int(cell.scores.failed.sum())
            state = f"finished, {failed} failed" if failed else "finished"
            found = None if cell.scores.failed.all() else accuracy(cell.scores)
            where = (cell.model, cell.task, cell.readout, cell.condition)
            lines.append((*map(line_of, where), state, number(found)))
        for name, count in under_way.items():
            model, task, rest = name.split("/")
            readout, _, condition = rest.partition("-")
            state = f"under way: {count:,} documents so far"
            lines.append((*map(line_of, (model, task, readout, condition)), state, number(None)))
        return lines

    def _page(self, name: str, template: str, **context: Any) -> None:
        text = page(
            template,
            version=vlmbench.__version__,
            samples=self._samples,
            samples_page=samples_page,
            run=self.folder.path.name,
            **context,
        )
        write_atomically(self.output / name, text)
