"""lm-eval's result file of a run, read by what prints lm-eval's own tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from home import Home, stats_of
from lm_eval.utils import make_table


@pytest.fixture(scope="module")
def ran(tmp_path_factory, llava_folder) -> Path:
    home = Home(tmp_path_factory.mktemp("home"))
    home.pairs("mine", 6)
    home.model("random", llava_folder)
    return home.run("random", "mine")


def test_lm_eval_prints_the_accuracy_of_the_run(ran):
    table = make_table(json.loads((ran / "results.json").read_text()))
    row = stats_of(ran, "condition", "readout", "metric")["own", "prompted", "accuracy"]
    (line,) = [line for line in table.splitlines() if line.startswith("|mine")]
    assert f"{row['value']:.4f}" in line


@pytest.mark.parametrize("part", ["results", "versions"])
def test_lm_eval_refuses_a_file_that_lacks_a_part(ran, part):
    spoilt = json.loads((ran / "results.json").read_text())
    del spoilt[part]
    with pytest.raises(KeyError):
        make_table(spoilt)
