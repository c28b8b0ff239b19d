"""What is said of the stages: only what the paired tests bear out, on the same documents."""

from __future__ import annotations

from dataclasses import replace

import handmade
import numpy as np
import pytest

from vlmbench.diagnostics.analyses import stages
from vlmbench.types import ChoiceScores

N = 300


def right_on(count: int, *, n: int = N) -> ChoiceScores:
    scores = np.zeros((n, 2))
    scores[:count, 0], scores[count:, 1] = 1, 1
    return replace(handmade.scored(scores, np.zeros(n, dtype=np.int64)), scale="similarity")


def own(*layers: int, same: int = 200, said: int = 150) -> dict[str, ChoiceScores]:
    read = {f"hidden-language-{k}": right_on(count) for k, count in enumerate(layers)}
    return {"encoder": right_on(200), "hidden-same": right_on(same), **read,
            "prompted": right_on(said)}  # fmt: skip


def test_a_part_is_named_where_its_exact_test_holds_and_not_by_the_interval_alone():
    found = stages.outcome(own(200, 200, 200, 200, 150), seed=0)
    assert "Clearly lost at: layers." in found.says
    assert "The last quarter of the layers lose it" in found.says
    # Five documents and none back: Tango's interval excludes 0, and McNemar's p is .06.
    few = stages.outcome(own(200, 200, 200, 200, 195, said=195), seed=0)
    stat = few.find(stages.LATE_DROP)
    assert stat.low > 0
    assert "No part is clear of 0 by itself." in few.says
    assert "do not clearly lose" in few.says


def test_all_are_cut_to_the_documents_of_the_shortest():
    cells = own(200, 180, 160, 140)
    cells["hidden-same"] = right_on(100, n=100)
    found = stages.outcome(cells, seed=0)
    assert {measured.stat.n for measured in found.measurements} == {100}


@pytest.mark.parametrize("missing", ["hidden-language-0", "hidden-language-2"])
def test_of_some_layers_alone_nothing_is_taken_apart(missing):
    cells = own(200, 180, 160, 140)
    del cells[missing]
    found = stages.outcome(cells, seed=0)
    assert found.find(stages.LATE_DROP) is None
    assert "no gap to take apart" in found.says


def test_centred_stages_stand_beside_the_way_and_not_in_it():
    cells = own(200, 180, 160, 140)
    centred = {f"hidden-centred-{k.removeprefix('hidden-')}": v for k, v in cells.items()
               if k.startswith("hidden")}  # fmt: skip
    assert stages.outcome(cells | centred, seed=0) == stages.outcome(cells, seed=0)
    assert stages.outcome(centred, seed=0) is None
