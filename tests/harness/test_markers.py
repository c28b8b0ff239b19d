"""lm-eval shows what `vlmbench run` shows: markers drawn on images; coordinates it cannot check."""

from __future__ import annotations

import numpy as np
import pytest
from home import Home, noise

from vlmbench.harness._tasks import our_task
from vlmbench.spec import load_file
from vlmbench.tasks import load_documents
from vlmbench.types import VlmbenchError


def written(home: Home, markers: object, text: str = "<image>Which?") -> object:
    """Write a task about two points of one image and open its file."""
    home.image("a.png", noise(1, (96, 64)))
    regions = {"choices": {"kind": "point", "column": "points"}}
    rows = [{"image": "a.png", "points": [[8, 8], [60, 41]], "answer": 1}]
    bench = {"regions": regions, "markers": markers}
    return load_file(home.task("t", rows, doc_to_text=text, bench=bench))


def test_lm_eval_shows_the_markers(tmp_path):
    located = written(Home(tmp_path), {})
    task = our_task(located, tmp_path)
    (row,) = task.eval_docs
    (shown,) = task.doc_to_image(row)
    (document,) = load_documents(located, "reported", tmp_path)
    assert (np.asarray(shown) == np.asarray(document.images[0].decode())).all()
    assert (np.asarray(shown) != np.asarray(noise(1, (96, 64)))).any()


def test_coordinates_in_prompts_are_left_to_vlmbench_run(tmp_path):
    located = written(Home(tmp_path), "text", "<image>96 x 64: {{ points }}?")
    with pytest.raises(VlmbenchError, match=r"markers: only `vlmbench run` checks"):
        our_task(located, tmp_path)
