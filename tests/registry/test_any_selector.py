"""Whatever is asked for, and whatever a stranger's model names, a selector ends in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlmbench.registry import catalogue
from vlmbench.types import VlmbenchError

CHECKPOINTS = ["~nosuchuser/x", "x" * 5_000, "a/" * 3_000, "/dev/null", "/etc", "~", "a\u202eb"]
TERMS = [
    "org/x", "~nosuchuser/y", "~nosuchuser/y.yaml", "x" * 6_000, "y" * 6_000 + ".yaml", "a\0b",
    "a\0b.yaml", "lm_eval:\0", "[", "*" * 200 + "a", "[!" * 50, "/dev/zero", "/dev/zero.yaml",
    "a" * 300 + "/" + "b" * 300, "\ud800", "..", "", ",,,",
]  # fmt: skip


@pytest.mark.parametrize("term", TERMS)
def test_a_selector_that_means_nothing_is_refused(term: str, tmp_path: Path) -> None:
    for number, checkpoint in enumerate(CHECKPOINTS):
        (tmp_path / f"m{number}.yaml").write_text(f"model: m{number}\ncheckpoint: {checkpoint!r}\n")
    found = catalogue([tmp_path])
    assert found.problems == ()
    for select in (found.select_models, found.select_tasks, found.select_studies):
        with pytest.raises(VlmbenchError) as caught:
            select(term)
        assert len(str(caught.value)) < 20_000
