"""Runs with records and data made by hand, and their sites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import handmade
import numpy as np
from home import Home, keyed, noise

from vlmbench.metrics import summarise
from vlmbench.registry import catalogue
from vlmbench.report.site import Data, Written, site
from vlmbench.store import Exchange, RunFolder
from vlmbench.tasks import check_documents, load_documents
from vlmbench.types import ChoiceScores

SQUARE = {"side": 48, "fill": [0, 0, 0], "padding": "square", "resample": "bicubic"}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One cell as a test wants it: an answer per document (-1 abstains, -2 fails), and texts."""

    condition: str
    readout: str
    answers: Sequence[int]
    prompt: str = "Which one, A or B?"
    reply: str = ""
    finish: str = ""
    hint: Sequence[int] | None = None


@dataclass(frozen=True)
class Made:
    """A folder with a task and a run of it."""

    home: Home
    run: Path
    data: Data

    def site(self, **more: Any) -> tuple[Path, Written]:
        """Write the run's site; return its folder and what was written."""
        folder = self.home.folder / "site"
        return folder, site([self.run], folder, self.data, **{"most": 20_000} | more)


def scores(asked: Asked, ids: Sequence[str], gold: Sequence[int]) -> ChoiceScores:
    given = np.array(asked.answers)
    held = np.full((len(ids), 2), np.log(0.25))
    held[np.arange(len(ids)), np.maximum(given, 0)] = np.log(0.75)
    return handmade.scored(
        held, gold, abstained=given == -1, failed=given == -2, doc_ids=tuple(ids)
    )


def write(run: RunFolder, model: str, asked: Asked, held: ChoiceScores, digest: str) -> str:
    about = handmade.basis(model, "t", asked.readout, asked.condition, documents=digest)
    targets = asked.hint or [-1] * len(held)
    said = [
        Exchange(
            choices=("A", "B"), marked=False, hint_target=target, prompt=asked.prompt,
            response=asked.reply, finish=asked.finish, error="it broke" if failed else "",
        )
        for target, failed in zip(targets, held.failed, strict=True)
    ]  # fmt: skip
    cell = f"{model}/t/{asked.readout}-{asked.condition}"
    notes = {"pixels": SQUARE} if asked.readout == "encoder" else {"read_by": "declared-1"}
    run.record(cell).write(about, held, said, weights={}, fitted={}, notes=notes)
    return cell


def made(
    folder: Path, cells: dict[str, Sequence[Asked]], *, ids: Sequence[str], images: int = 3,
    alias: str | None = None, digest: str | None = None,
) -> Made:  # fmt: skip
    """Make a run of one task, by model and cell; gold is A and B in turn."""
    home = Home(folder)
    files = [home.image(f"{i}.png", noise(i, (48, 32))) for i in range(images)]
    gold = [i % 2 for i in range(len(ids))]
    rows = [
        {"id": doc_id, "question": "Which?", "answer": gold[i], "image": files[i % images]}
        for i, doc_id in enumerate(ids)
    ]
    home.task("t", rows, bench={"id_column": "id"})
    data = Data(catalogue=catalogue([folder]), root=folder / "worlds")
    if digest is None:
        documents = load_documents(data.catalogue.tasks["t"], "reported", data.root)
        digest = check_documents(documents)
    run, names, rows_of = RunFolder(folder / "run"), [], []
    for model, wanted in cells.items():
        held = {(one.condition, one.readout): scores(one, ids, gold) for one in wanted}
        names += [
            write(run, model, one, held[one.condition, one.readout], digest) for one in wanted
        ]
        plain = {key: of for key, of in held.items() if "hint" not in key[0]}
        rows_of += summarise(keyed(plain), model=model, task="t", seed=0)
    about = handmade.manifest(
        {"t": handmade.task_record(documents=digest, n=len(ids), of=len(ids), alias=alias)},
        {model: handmade.model_record(alias=alias) for model in cells},
        cells=tuple(names),
    )
    run.finish(about, rows_of, {})
    return Made(home, run.path, data)
