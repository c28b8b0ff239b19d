"""The Croissant 1.1 description of exported worlds, held against mlcroissant, which reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vlmbench.spec import Generator
from vlmbench.tasks import worlds

COUNT = 2

READ = """\
import json, sys, logging
logging.disable()
import mlcroissant
data = mlcroissant.Dataset(jsonld=sys.argv[1])
shown = {}
for split in ("train", "validation", "test"):
    rows = []
    for row in data.records(split):
        rows.append({
            name.partition("/")[2]: value.decode() if isinstance(value, bytes)
            else list(value.size) if hasattr(value, "size")
            else [v.decode() if isinstance(v, bytes) else v for v in value]
            if isinstance(value, list) else value
            for name, value in row.items()
        })
    shown[split] = rows
print(json.dumps({"rows": shown, "conforms": str(data.metadata.conforms_to)}, default=str))
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    """Two documents of each split of a world with every kind of column, as they are kept."""
    root = tmp_path_factory.mktemp("drawn")
    generator = Generator(world="depth", seed=3, train=COUNT, validation=COUNT, test=COUNT)
    worlds.build(generator, root=root)
    worlds.export(generator, root / "out", root=root)
    return root / "out"


@pytest.fixture
def exported(drawn, tmp_path) -> Path:
    """A copy that a test may spoil."""
    for path in drawn.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path / "croissant.json"


def test_mlcroissant_reads_every_document_and_column(exported, validator):
    from datasets import Dataset

    status, said = validator("-c", READ, exported, folder=exported.parent)
    assert status == 0, said
    found = json.loads(said.splitlines()[-1])
    assert "1.1" in found["conforms"].replace("_", ".")
    for split, rows in found["rows"].items():
        held = Dataset.from_parquet(str(exported.with_name(f"{split}.parquet")))
        assert len(rows) == len(held) == COUNT
        for row, kept in zip(rows, held, strict=True):
            assert set(row) == set(kept)
            for name, value in kept.items():
                assert row[name] == (list(value.size) if hasattr(value, "size") else value), name


def of_no_file(said):
    said["recordSet"][0]["field"][0]["source"]["fileObject"]["@id"] = "other.parquet"


def without_files(said):
    del said["distribution"]


def of_no_type(said):
    del said["recordSet"][0]["field"][0]["dataType"]


@pytest.mark.parametrize("spoil", [of_no_file, without_files, of_no_type])
def test_mlcroissant_refuses_a_spoilt_description(exported, validator, spoil):
    said = json.loads(exported.read_text())
    spoil(said)
    exported.write_text(json.dumps(said))
    status, told = validator("-c", READ, exported, folder=exported.parent)
    assert status != 0
    assert "ValidationError" in told


def test_digests_are_those_of_the_files(exported):
    from vlmbench.files import sha256_of

    files = json.loads(exported.read_text())["distribution"]
    assert [file["@id"] for file in files] == [
        "train.parquet",
        "validation.parquet",
        "test.parquet",
    ]
    for file in files:
        assert file["sha256"] == sha256_of(exported.with_name(file["contentUrl"]))
