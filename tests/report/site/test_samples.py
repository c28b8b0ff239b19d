"""The data of the browser: attention only where it was paid to what is shown, and why not read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import handmade
import numpy as np
import pytest
from test_site import read

from vlmbench.registry import catalogue
from vlmbench.report.site import Data
from vlmbench.report.site._cells import CellRead
from vlmbench.report.site._pictures import Store
from vlmbench.report.site._samples import Samples, write_samples
from vlmbench.store import Exchange, RunFolder
from vlmbench.types import PARTS, WINDOWS, Attention, Internals


def inside() -> Internals:
    """Three documents, of which the first has one image of 2 x 2 tokens."""
    state = np.ones((3, 2, 4), np.float32)
    maps = np.full((3, WINDOWS, 4), np.nan, np.float32)
    maps[0, 0] = [0.1, 0.2, 0.4, 0.0]
    looks = Attention(
        heads=np.zeros((3, 1, 2, len(PARTS)), np.float32), sinks=np.zeros((3, 1, 2), np.int64),
        maps=maps, grids=np.array([[1, 2, 2], [0, 0, 0], [0, 0, 0]]),
    )  # fmt: skip
    return Internals(
        doc_ids=("d0", "d1", "d2"), h_image=state, h_text=state, h_last=state,
        mass=np.zeros((3, 1, 4)), tokens=np.zeros((3, 4), np.int64), attention=looks,
    )  # fmt: skip


def test_attention_lies_only_on_images_that_it_was_paid_to(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    for label in ("own", "own+filler-64-before", "swapped"):
        about = handmade.basis(readout="internals", label=label)
        handmade.write(folder, about, handmade.scores(), internals=inside())
    cells = [CellRead.read(record) for record in folder.finished()]
    samples = Samples(task="t", documents="d", limit=None, models={}, cells=cells, most=9)
    data = Data(catalogue=catalogue([tmp_path]), root=tmp_path)
    written = write_samples(samples, data, Store(tmp_path / "images"), tmp_path / "data")
    assert "no YAML of a task" in written.without_images
    page = read(tmp_path / "data" / "t" / "page-0.js")
    maps = {page["texts"][cell["c"]]: cell.get("map") for cell in page["docs"][0]["cells"]}
    levels = [1, 2, 2, [25, 50, 99, 0]]
    assert maps == {"own": levels, "own+filler-64-before": levels, "swapped": None}
    assert all("map" not in cell for cell in page["docs"][1]["cells"]), "its grid is not known"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"response": " "}, "The model wrote nothing."),
        ({"response": "A or B"}, "declared-1: the choice that the reply declares"),
        ({"response": "Let us see", "finish": "length"}, "It was cut off"),
    ],
)
def test_it_is_said_why_an_answer_was_not_read(
    tmp_path: Path, said: dict[str, Any], why: str
) -> None:
    folder = RunFolder(tmp_path)
    held = handmade.scored([[0.0, 0.0]], [0], scale="vote", abstained=np.array([True]))
    asked = [Exchange(choices=("A", "B"), marked=False, hint_target=-1, **said)]
    record = folder.record("m/t/prompted-own")
    notes = {"read_by": "declared-1"}
    record.write(handmade.basis(), held, asked, weights={}, fitted={}, notes=notes)
    assert why in CellRead.read(record).unread(0)
