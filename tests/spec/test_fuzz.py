"""Whatever a file holds, loading ends in a spec or in placed problems, never in a traceback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlmbench.spec import GroupSpec, ModelSpec, StudySpec, TaskSpec, load_files

KEYS = sorted(
    {key for model in (TaskSpec, GroupSpec, ModelSpec, StudySpec) for key in model.model_fields}
    | {"vlmbench", "regions", "choices", "reference", "kind", "rule", "probe", "condition"}
    | {"images", "column", "relation", "layer", "readout", "function", "filter", "zzz"}
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 3), st.floats(),
    st.sampled_from(["point", "image", "box", "depth", "gram", "linear", "own", "{{ x", "{{ x }}"]),
    st.sampled_from(["<image>", "a", "", "recorded", "generate_until", "identical", "\x85é"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)
BASE: dict[str, Any] = {
    "task": "t",
    "dataset_path": "json",
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "<image>",
    "doc_to_image": ["image"],
    "doc_to_choice": ["A", "B"],
    "doc_to_target": 0,
    "metadata": {"vlmbench": {"ability": "x"}},
}
KINDS: list[dict[str, Any]] = [
    {}, BASE, {"model": "m", "checkpoint": "c"}, {"group": "g", "task": ["t"]},
    {"study": "s", "cells": [{"readout": "prompted"}]},
]  # fmt: skip


def load(folder: Path, text: str) -> None:
    path = folder / "spec.yaml"
    path.write_text(text, "utf-8")
    loaded = load_files([path])
    assert len(loaded.specs) + bool(loaded.problems) + len(loaded.fragments) == 1
    for problem in loaded.problems:
        assert problem.message
        assert problem.file == str(path)
        if problem.line is not None:
            assert 1 <= problem.line <= text.count("\n") + 1


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None, max_examples=300,
)  # fmt: skip
@given(
    kind=st.sampled_from(KINDS),
    changes=st.dictionaries(st.sampled_from([k for k in KEYS if k != "include"]), VALUES),
    bench=st.dictionaries(st.sampled_from(["regions", "probe", "generator", "source"]), VALUES),
)
def test_any_mapping_loads_or_says_why_not(
    tmp_path: Path, kind: dict[str, Any], changes: dict[str, Any], bench: dict[str, Any]
) -> None:
    values = kind | changes
    if kind is BASE and "metadata" not in changes:
        values["metadata"] = {"vlmbench": {"ability": "x", **bench}}
    load(tmp_path, yaml.safe_dump(values, sort_keys=False))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text("task: [{}]\n&*!|>'\"#-%@`,?é", max_size=30))
def test_any_text_loads_or_says_why_not(tmp_path: Path, text: str) -> None:
    load(tmp_path, text)
