"""The internals readout through `vlmbench run`, on the shipped model and a user's own task."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from home import Home, noise

from vlmbench.store import RunFolder

TEXT = "<image>\nWhich point is meant?\n(A) {{ words[0] }}\n(B) {{ words[1] }}\nAnswer:"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    rows = [
        {"id": f"doc{index}", "image": home.image(f"{index}.png", noise(index, (96, 96))),
         "answer": index % 2, "words": ["red", "blue"], "points": [[4, 4], [91, 91]]}
        for index in range(4)
    ]  # fmt: skip
    regions = {"choices": {"kind": "point", "image": 0, "column": "points"}}
    bench = {"ability": "pointing", "id_column": "id", "regions": regions, "markers": "drawn"}
    home.task("mine", rows, doc_to_text=TEXT, bench=bench)
    capped = {"readout": "internals", "condition": "blank", "documents": 3}
    home.study("within", {"readout": "prompted"}, {"readout": "internals"}, capped)
    return home


def test_internals_are_recorded_and_stay_out_of_the_statistics(home):
    output = home.run("tiny-clip", "mine", "--study", "within")
    rows = json.loads((output / "stats.json").read_text())
    assert {row["readout"] for row in rows} == {"prompted"}
    own, prompted, blank = (
        RunFolder(output).record(f"tiny-clip/mine/{name}")
        for name in ("internals-own", "prompted-own", "internals-blank")
    )
    np.testing.assert_allclose(own.scores().scores, prompted.scores().scores, atol=1e-5)
    assert prompted.internals() is None
    held = own.internals()
    assert held.doc_ids == ("doc0", "doc1", "doc2", "doc3")
    assert np.isfinite(held.h_image).all()
    assert np.isfinite(held.mass).all()
    np.testing.assert_allclose(held.mass[:, :, [0, 2, 3]].sum(2), 1)
    assert (held.tokens > 0).all()
    about = own.require()
    assert about.notes["attention"] == "of the last position, by the formula"
    assert about.basis.readout == "internals"
    blank = blank.internals()
    assert blank.doc_ids == held.doc_ids[:3]
    assert not np.allclose(blank.h_image, held.h_image[:3], atol=1e-2)
    np.testing.assert_array_equal(blank.tokens, held.tokens[:3])
