"""A study that is made of others has their cells, and says which of them it cannot find."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlmbench.registry import catalogue
from vlmbench.types import VlmbenchError


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(f"study: {name}\n{text}")
    return path


def test_it_has_the_cells_of_all_in_order_and_its_own_last(tmp_path):
    write(tmp_path, "both", "studies: [gap, controls]\ncells: [{readout: internals}]\n")
    found = catalogue([tmp_path])
    (both,) = found.select_studies("both")
    parts = [found.select_studies(name)[0].spec.cells for name in ("gap", "controls")]
    assert both.spec.cells[:-1] == (*parts[0], *parts[1])
    assert both.spec.cells[-1].readout.label == "internals"


def test_what_it_is_made_of_is_in_its_digest(tmp_path):
    digests = []
    for cells in ("[{readout: prompted}]", "[{readout: encoder}]"):
        write(tmp_path, "part", f"cells: {cells}\n")
        write(tmp_path, "whole", "studies: [part]\n")
        digests.append(catalogue([tmp_path]).select_studies("whole")[0].digest)
    assert digests[0] != digests[1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("studies: [gaps]\n", "there is no study `gaps`"),
        ("studies: [paper]\n", "`paper` is itself made of studies"),
        ("description: nothing\n", "the study has no `cells`"),
    ],
)
def test_what_it_cannot_be_made_of_is_refused_with_file_and_line(tmp_path, text, says):
    path = write(tmp_path, "broken", text)
    with pytest.raises(VlmbenchError, match=says) as refused:
        catalogue([tmp_path]).select_studies("broken")
    assert path.name in str(refused.value.problems[0].file)


def test_the_papers_study_holds_every_cell_of_what_it_is_made_of():
    found = catalogue()
    (paper,) = found.select_studies("paper")
    cells = set(paper.spec.cells)
    for name in paper.spec.studies:
        assert set(found.select_studies(name)[0].spec.cells) <= cells
