"""Schemas are current, every shipped YAML points at one, and starters validate."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from vlmbench.registry import packaged_paths, yaml_files
from vlmbench.spec import (
    Kind,
    TaskSpec,
    doc_choices,
    doc_target,
    doc_text,
    load_file,
    schema,
    schema_path,
    starter,
    write_schemas,
)
from vlmbench.types import VlmbenchError

POINTER = re.compile(r"# yaml-language-server: \$schema=(\S+)")


def test_shipped_schemas_are_current(tmp_path: Path) -> None:
    for fresh in write_schemas(tmp_path):
        shipped = schema_path(fresh.name.partition(".")[0])  # type: ignore[arg-type]
        assert shipped.read_bytes() == fresh.read_bytes(), "run vlmbench.spec.write_schemas()"


@pytest.mark.parametrize("kind", get_args(Kind))
def test_schemas_refuse_unknown_keys_and_explain_known_ones(kind: Kind) -> None:
    content = schema(kind)
    assert content["additionalProperties"] is False
    assert kind in content["properties"]
    described = json.dumps(content).count('"description"')
    assert described > len(content["properties"]) / 2


def test_a_blind_variant_needs_none_of_what_it_includes() -> None:
    content = schema("task")
    assert "required" not in content
    assert content["if"] == {"required": ["include"]}
    assert {"task", "doc_to_text", "doc_to_target"} <= set(content["else"]["required"])


def test_every_shipped_yaml_points_its_editor_at_its_schema() -> None:
    files = list(yaml_files(packaged_paths()))
    assert len(files) > 100
    for path in files:
        assert schema_of(path).is_file(), path


def test_that_schema_is_the_one_of_its_kind() -> None:
    """Fragments and recipes are no specs."""
    files = [path for path in yaml_files(packaged_paths()) if not path.name.startswith("_")]
    kinds = {path: schema_of(path).name.partition(".")[0] for path in files}
    specs = {path: kind for path, kind in kinds.items() if kind != "recipe"}
    assert set(specs.values()) == set(get_args(Kind))
    assert [path for path, kind in specs.items() if kind not in load_file(path).raw] == []


def schema_of(path: Path) -> Path:
    """Return the schema that the first line of a file names."""
    match = POINTER.fullmatch(path.read_text("utf-8").partition("\n")[0])
    assert match, f"{path} has no schema line"
    return (path.parent / match[1]).resolve()


@pytest.mark.parametrize("kind", ["task", "model"])
def test_starters_validate_as_they_stand(tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(starter(kind, "my-own.v2", tmp_path), "utf-8")  # type: ignore[arg-type]
    located = load_file(path)
    assert getattr(located.spec, kind) == "my-own.v2"
    match = POINTER.match(path.read_text("utf-8"))
    assert match
    assert (tmp_path / match[1]).resolve() == schema_path(kind).resolve()


def test_the_blind_variant_of_the_starter_validates(tmp_path: Path) -> None:
    text = starter("task", "mine", tmp_path)
    (tmp_path / "mine.yaml").write_text(text, "utf-8")
    lines = [line[4:] for line in text.splitlines() if line.startswith("#   ")]
    tail = lines[lines.index("include: mine.yaml") :]
    blind = tmp_path / "blind.yaml"
    blind.write_text("\n".join(tail), "utf-8")
    assert load_file(blind).spec.bench.condition.label == "blank"  # type: ignore[union-attr]


def test_the_starter_prompt_renders(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(starter("task", "mine", tmp_path), "utf-8")
    spec = load_file(path).spec
    assert isinstance(spec, TaskSpec)
    row = {"question": "Red?", "choices": ["cup", "hat"], "answer": 1}
    assert doc_text(spec, row) == "<image>\nRed?\n(A) cup\n(B) hat\nAnswer with the letter."
    assert (doc_choices(spec, row), doc_target(spec, row)) == (("A", "B"), 1)


@pytest.mark.parametrize("name", ["", "two words", "../x", "-x", "a\nb"])
def test_names_that_cannot_be_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(VlmbenchError):
        starter("task", name, tmp_path)
