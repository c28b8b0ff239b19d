"""A site of finished runs: pages, data of the sample browser, images; no model is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import vlmbench
from vlmbench.files import write_atomically, writing
from vlmbench.report import cards
from vlmbench.report._board import Board, assemble
from vlmbench.report._format import line_of
from vlmbench.report._leaderboard import GUIDE, command
from vlmbench.report._tables import measured
from vlmbench.report.site._cells import CellRead, cells_of
from vlmbench.report.site._dumbbell import lanes
from vlmbench.report.site._front import claim, gap_table, missed
from vlmbench.report.site._links import model_page, samples_page, task_page
from vlmbench.report.site._page import STATIC, markdown, page
from vlmbench.report.site._pages import (
    explained,
    model_facts,
    model_results,
    prompts_of,
    settings_of,
    task_facts,
    task_sections,
)
from vlmbench.report.site._pictures import Data, Store
from vlmbench.report.site._samples import FILTERS, Samples, WrittenSamples, write_samples
from vlmbench.store import Run, RunFolder, file_stem
from vlmbench.types import VlmbenchError, file_name

_TASK_PLOTS = ("stages", "waterfall", "answers")

Told = Callable[[str], None]
"""Takes a line on what is being done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was written.

    Attributes:
        index: The front page.
        size: Bytes of the whole site.
        remarks: What was left out and why, a line each.
    """

    index: Path
    size: int
    remarks: tuple[str, ...]


def site(
    runs: Sequence[Path], output: Path, data: Data, *, most: int, tell: Told = lambda _: None
) -> Written:
    """Write finished runs as a site that opens from disk, without a server or network.

    Everything comes from the runs' statistics and records. Images are drawn again from the tasks'
    data, and only where that has the digest that the run recorded.

    Args:
        runs: Run folders.
        output: Folder to write to; its front page, `index.html`, is written last.
        data: Where images come from.
        most: Documents of each task in the sample browser at most.
        tell: Is told what is being done.

    Raises:
        VlmbenchError: If a run is missing, unfinished or malformed, or a record is damaged.
        ComparisonError: If two runs cannot be put in one table; nothing is written then.
    """
    read = [RunFolder(path).read() for path in runs]
    board = assemble(read)
    return _Site(read, board, output, data, most, tell).write()


class _Site:
    """A site being written: what its pages share."""

    def __init__(
        self, runs: Sequence[Run], board: Board, output: Path, data: Data, most: int, tell: Told
    ) -> None:
        self.runs, self.board, self.output = runs, board, output
        self.data, self.most, self.tell = data, most, tell
        self.store = Store(output / "images")
        self.cells: dict[str, list[CellRead]] = {}
        self.samples: dict[str, WrittenSamples] = {}
        self.written = 0

    def write(self) -> Written:
        """Write everything, the front page last."""
        with writing(self.output):
            self.store.folder.mkdir(parents=True, exist_ok=True)
        for path in STATIC:
            self._put(path.name, path.read_text(encoding="utf-8"))
        for task, record in self.board.tasks.items():
            self._read(task)
            if self.cells[task]:
                self.tell(f"documents of {task}")
                held = Samples(
                    task=task,
                    documents=record.documents,
                    limit=record.limit,
                    models={name: one.digest for name, one in self.board.models.items()},
                    cells=self.cells[task],
                    most=self.most,
                )
                self.samples[task] = write_samples(
                    held, self.data, self.store, self.output / "data"
                )
        models = self._models()
        self._tasks(models)
        self._browser()
        self._front()
        return Written(
            index=self.output / "index.html",
            size=self.size,
            remarks=tuple(self._remarks()),
        )

    @property
    def size(self) -> int:
        """Bytes written so far."""
        data = sum(one.size for one in self.samples.values())
        return self.written + data + sum(self.store.sizes.values())

    def _put(self, name: str, text: str) -> None:
        write_atomically(self.output / name, text)
        self.written += len(text.encode())

    def _page(self, name: str, template: str, **context: Any) -> None:
        self._put(
            name,
            page(
                template,
                board=self.board,
                version=vlmbench.__version__,
                task_page=task_page,
                model_page=model_page,
                samples_page=samples_page,
                samples=self.samples,
                **context,
            ),
        )

    def _read(self, task: str) -> None:
        """Read a task's records; runs of earlier formats have statistics alone."""
        self.cells[task] = []
        try:
            self.cells[task] = cells_of(self.runs, task)
        except VlmbenchError:
            if all(run.manifest.format for run in self.runs):
                raise

    def _models(self) -> dict[str, cards.Explanation]:
        found = {}
        for model in self.board.models:
            self.tell(f"card of {model}")
            card = explained(self.runs, model)
            if card is not None:
                found[model] = card
            drawn = {} if card is None else cards.plots(card)
            self._page(
                model_page(model),
                "model",
                model=model,
                record=self.board.models[model],
                card=card,
                plots=self._plots(f"plots/{file_stem(model)}", drawn),
                criteria=None if card is None else markdown(cards.criteria_table(card.thresholds)),
                thresholds=None
                if card is None
                else markdown(cards.thresholds_table(card.thresholds)),
                lanes=[lane for lane in lanes(self.board) if lane.model == model],
                results=model_results(self.board, model) if model in measured(self.board) else "",
                facts=model_facts(self.board, model),
                prompts=list(prompts_of(self.cells, model)),
                settings=settings_of(self.cells, model),
            )
        return found

    def _tasks(self, models: Mapping[str, cards.Explanation]) -> None:
        for task, record in self.board.tasks.items():
            self.tell(f"page of {task}")
            held = {
                model: one
                for model, card in models.items()
                for one in card.tasks
                if one.task == task
            }
            drawn = cards.panels(held, _TASK_PLOTS) if held else {}
            self._page(
                task_page(task),
                "task",
                task=task,
                record=record,
                lanes=[lane for lane in lanes(self.board) if lane.task == task],
                sections=task_sections(self.board, task),
                facts=task_facts(self.board, task),
                plots=self._plots(f"plots/task-{file_name(task)}", drawn),
            )

    def _plots(self, folder: str, drawn: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """Write plots as SVG; return the file, title and explanation of each."""
        names = cards.save(drawn, self.output / folder, ("svg",)) if drawn else ()
        files = [f"{folder}/{name}.svg" for name in names]
        self.written += sum((self.output / file).stat().st_size for file in files)
        return [
            (file, name.capitalize(), cards.HOW_TO_READ[name])
            for file, name in zip(files, names, strict=True)
        ]

    def _browser(self) -> None:
        names = {task: record.alias or task for task, record in self.board.tasks.items()}
        self._page("samples.html", "samples", filters=FILTERS, names=names)

    def _front(self) -> None:
        every = lanes(self.board)
        self._page(
            "index.html",
            "index",
            claim=claim(self.board),
            missed=missed(self.board),
            lanes=[(task, list(some)) for task, some in groupby(every, key=lambda one: one.task)],
            gaps=gap_table(self.board),
            guide=markdown(GUIDE),
            commands=sorted({command(manifest) for manifest in self.board.manifests}),
            measured=measured(self.board),
            remarks=self._remarks(),
            size=in_words(self.size),
        )

    def _remarks(self) -> list[str]:
        said = []
        for task, one in self.samples.items():
            if one.shown < one.total:
                said.append(
                    f"{task}: the first {one.shown:,} of {one.total:,} documents can be looked at "
                    "(`--most` changes how many)"
                )
            if one.without_images:
                said.append(f"{task}: images are not shown: {one.without_images}")
        missing = [task for task in self.board.tasks if task not in self.samples]
        said += [f"{task}: there are no records to look at" for task in missing]
        return [line_of(line) for line in said]


def in_words(size: int) -> str:
    """Return a number of bytes as people write it."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"
