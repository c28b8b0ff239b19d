"""Building: the same bytes again, other bytes for another seed, whole or not at all."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from home import HEAVY, loaded_by, program

import vlmbench
from vlmbench.spec import Generator
from vlmbench.tasks import worlds
from vlmbench.tasks.worlds import _build
from vlmbench.tasks.worlds._rows import content_digest, drawn_row
from vlmbench.types import VlmbenchError

if TYPE_CHECKING:
    from datasets import Dataset

SMALL = Generator(world="naming", train=30, validation=4, test=6, seed=3)


def digests(generator: Generator, root: Path, processes: int = 1) -> dict[str, str]:
    place = worlds.build(generator, root=root, processes=processes)
    records = {path.stem: json.loads(path.read_text()) for path in place.glob("*.json")}
    assert set(records) == {"train", "validation", "test"}
    return {split: record["sha256"] for split, record in records.items()}


def test_bytes_repeat_in_one_process_and_in_two(tmp_path: Path) -> None:
    first = digests(SMALL, tmp_path / "a")
    assert digests(SMALL, tmp_path / "b", processes=2) == first
    other = digests(SMALL.model_copy(update={"seed": 4}), tmp_path / "a")
    assert not set(other.values()) & set(first.values())


def test_splits_share_no_image(tmp_path: Path) -> None:
    worlds.build(SMALL, root=tmp_path)
    seen = []
    for split in ("train", "validation", "test"):
        stored = worlds.load(SMALL, split, root=tmp_path).cast_column("image_1", _undecoded())
        seen.append({row["image_1"]["bytes"] for row in stored})
    assert [len(images) for images in seen] == [30, 4, 6]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]


def _undecoded() -> object:
    from datasets import Image

    return Image(decode=False)


def test_a_longer_split_starts_with_the_same_scenes() -> None:
    spec = worlds.WORLDS["object_3d"]
    short = drawn_row(spec, seed=0, split="test", index=2, count=10)
    long = drawn_row(spec, seed=0, split="test", index=2, count=12)
    assert short["doc_id"] == long["doc_id"]
    assert short["gold"] == long["gold"]  # dealt anew for another count, and here the same
    np.testing.assert_array_equal(short["image_1"], long["image_1"])


def test_load_gives_the_columns_and_export_the_same_rows(tmp_path: Path) -> None:
    import datasets

    generator = Generator(world="depth", train=2, validation=2, test=4)
    worlds.build(generator, root=tmp_path / "data")
    test = worlds.load(generator, "test", root=tmp_path / "data")
    assert test.column_names == list(worlds.WORLDS["depth"].all_columns)
    row = test[0]
    assert row["image_1"].size == (96, 96)
    assert np.asarray(row["depth_1"]).max() > 1000  # 16-bit millimetres survive
    assert np.asarray(row["blank"]).min() == np.asarray(row["blank"]).max() == 127

    worlds.export(generator, tmp_path / "out", root=tmp_path / "data")
    files = {split: str(tmp_path / "out" / f"{split}.parquet") for split in ("train", "test")}
    loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))
    assert loaded["test"]["doc_id"][:] == test["doc_id"][:]
    assert loaded["test"].features == test.features


def test_stored_points_name_the_pixel_that_was_drawn_on(tmp_path: Path) -> None:
    generator = Generator(world="depth", test=3)
    worlds.build(generator, root=tmp_path)
    for index, row in enumerate(worlds.load(generator, "test", tmp_path)):
        drawn = drawn_row(worlds.WORLDS["depth"], seed=0, split="test", index=index, count=3)
        # A pixel's centre lies half a pixel beyond its number.
        np.testing.assert_allclose(np.array(row["points"]) + 0.5, drawn["points"])


def test_an_interrupted_build_leaves_nothing_that_is_taken_for_data(tmp_path: Path) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worlds.build(SMALL, root=tmp_path, progress=stop)
    assert list(tmp_path.rglob("*.*")) == []
    assert not worlds.is_built(SMALL, root=tmp_path)
    with pytest.raises(VlmbenchError, match="Build it first"):
        worlds.load(SMALL, "test", root=tmp_path)


def test_one_split_can_be_built_alone(tmp_path: Path) -> None:
    place = worlds.build(SMALL, root=tmp_path, splits=["test"])
    assert sorted(path.name for path in place.iterdir()) == ["test.json", "test.parquet"]
    assert len(worlds.load(SMALL, "test", root=tmp_path)) == 6
    assert not worlds.is_built(SMALL, root=tmp_path)
    with pytest.raises(VlmbenchError, match="no train split"):
        worlds.load(SMALL, "train", root=tmp_path)
    worlds.build(SMALL, root=tmp_path)
    assert worlds.is_built(SMALL, root=tmp_path)


def first_documents(root: Path, split: worlds.Split, count: int, processes: int = 1) -> Dataset:
    worlds.build(SMALL, root=root, splits=[split], first=count, processes=processes)
    return worlds.load(SMALL, split, root, first=count)


@pytest.mark.parametrize("processes", [1, 2])
def test_the_first_documents_are_those_of_the_whole_split(tmp_path: Path, processes: int) -> None:
    part = first_documents(tmp_path / "part", "train", 7, processes)
    worlds.build(SMALL, root=tmp_path / "whole", splits=["train"])
    whole = worlds.load(SMALL, "train", root=tmp_path / "whole")
    assert part.features == whole.features
    assert stored(part) == stored(whole.select(range(7)))


def stored(rows: Dataset) -> list[dict[str, object]]:
    """Return rows with images as file bytes."""
    for name in ("image_1", "blank"):
        rows = rows.cast_column(name, _undecoded())
    return rows.to_list()


def test_first_documents_draw_no_others_and_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []

    def noted(*args: Any, index: int, **more: Any) -> dict[str, Any]:
        drawn.append(index)
        return drawn_row(*args, index=index, **more)

    monkeypatch.setattr(_build, "drawn_row", noted)
    for _ in range(2):
        assert len(first_documents(tmp_path, "train", 7)) == 7
    assert drawn == list(range(7))
    assert not worlds.is_built(SMALL, root=tmp_path)
    for first in (None, 8):
        with pytest.raises(VlmbenchError, match="Build it first"):
            worlds.load(SMALL, "train", tmp_path, first=first)


def test_first_documents_are_taken_from_a_split_that_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(first_documents(tmp_path, "test", 99)) == 6  # builds all there are
    monkeypatch.delattr(_build, "drawn_row")
    assert len(first_documents(tmp_path, "test", 2)) == 2


@pytest.mark.parametrize("processes", [1, 2])
def test_parts_of_several_worlds_are_those_that_are_built_alone(
    tmp_path: Path, processes: int
) -> None:
    other = Generator(world="pointing", train=3, validation=0, test=5, seed=1)
    parts = [
        worlds.Part(generator=SMALL, split="test"),
        worlds.Part(generator=other, split="test", first=4),
        worlds.Part(generator=other, split="validation"),  # has none
        worlds.Part(generator=other, split="train"),
        worlds.Part(generator=SMALL, split="test"),  # wanted twice, as by two tasks
    ]
    begun: list[int] = []
    done: list[int] = []

    def start(total: int) -> Callable[[int], None]:
        begun.append(total)
        return done.append

    root = tmp_path / "together"
    worlds.build_parts(parts, root=root, processes=processes, start=start)
    assert begun == [6 + 4 + 3]
    assert sum(done) == 13
    for generator, split, first in ((SMALL, "test", None), (other, "test", 4), (other, "train", 9)):
        worlds.build(generator, root=tmp_path / "alone", splits=[split], first=first)
        alone = worlds.load(generator, split, tmp_path / "alone", first=first)
        assert stored(worlds.load(generator, split, root, first=first)) == stored(alone)
    worlds.build_parts(parts, root=root, start=start)
    assert begun == [13]  # nothing is missing, so nothing begins


@pytest.mark.parametrize("processes", [1, 2])
def test_what_is_drawn_in_vain_is_given_up(tmp_path: Path, processes: int) -> None:
    """The parts before the one that was stopped are whole, and nothing after it is drawn."""
    before, began = set(active_children()), time.monotonic()
    many = Generator(world="naming", test=20_000, seed=5)  # minutes
    parts = [worlds.Part(generator=g, split="test") for g in (SMALL, many)]
    done: list[int] = []

    def stop(drawn: int) -> None:
        done.append(drawn)
        if sum(done) > 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worlds.build_parts(parts, root=tmp_path, processes=processes, start=lambda _: stop)
    assert time.monotonic() - began < 40  # all would take 85 seconds of two idle cores
    assert not set(active_children()) - before
    assert len(worlds.load(SMALL, "test", tmp_path)) == 6
    assert not worlds.is_built(many, root=tmp_path)


def test_progress_counts_every_document(tmp_path: Path) -> None:
    steps: list[int] = []
    worlds.build(SMALL, root=tmp_path, progress=steps.append)
    assert sum(steps) == 40
    again: list[int] = []
    worlds.build(SMALL, root=tmp_path, progress=again.append)
    assert again == []  # built once


def test_fingerprint_follows_everything_that_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    base = worlds.fingerprint(SMALL)
    changes = [
        {"seed": 9},
        {"test": 7},
        {"world": "pointing"},
        {"options": {"difficulty": 0.9}},
    ]
    others = {worlds.fingerprint(SMALL.model_copy(update=change)) for change in changes}
    assert len(others | {base}) == 5
    # Stating a default changes nothing.
    stated = SMALL.model_copy(update={"options": {"difficulty": 0.5}})
    assert worlds.fingerprint(stated) == base
    newer = replace(worlds.WORLDS["naming"], version=2)
    monkeypatch.setattr(_build, "WORLDS", {**worlds.WORLDS, "naming": newer})
    assert worlds.fingerprint(SMALL) not in others | {base}


def test_fingerprints_stay_as_they_were() -> None:
    assert worlds.fingerprint(SMALL) == "990cc9f9411de2b4"


PRINT = """
from vlmbench.spec import Generator
from vlmbench.tasks import worlds
for world in worlds.WORLDS:
    print(world, worlds.fingerprint(Generator(world=world)))
"""


def test_neither_a_comment_nor_another_world_changes_a_fingerprint(tmp_path: Path) -> None:
    before = {world: worlds.fingerprint(Generator(world=world)) for world in worlds.WORLDS}
    shutil.copytree(Path(vlmbench.__file__).parent, tmp_path / "vlmbench")
    sources = tmp_path / "vlmbench" / "tasks" / "worlds"
    for path in sources.rglob("*.py"):
        path.write_text(path.read_text() + "\n# A comment.\n")
    with (sources / "_registry.py").open("a") as file:
        file.write(
            "from dataclasses import replace\n"
            "WORLDS = {**WORLDS, 'ninth': replace(WORLDS['depth'], name='ninth')}\n"
        )
    told = program("python", "-c", PRINT, folder=tmp_path, PYTHONPATH=str(tmp_path))
    after = dict(line.split() for line in told.splitlines())
    assert after.pop("ninth") not in after.values()
    assert after == before


def test_unknown_world_names_the_others() -> None:
    with pytest.raises(VlmbenchError, match="semantic_correspondence"):
        worlds.fingerprint(Generator(world="dpeth"))


def test_content_digest_sees_every_value() -> None:
    row = {"doc_id": "a", "gold": 1, "image_1": {"bytes": b"x", "path": None}}
    digest = content_digest([row])
    assert content_digest([dict(row)]) == digest
    assert content_digest([{**row, "gold": 2}]) != digest
    assert content_digest([{**row, "image_1": {"bytes": b"y", "path": None}}]) != digest


def test_importing_the_names_is_light() -> None:
    code = "import vlmbench.tasks.worlds as w; assert len(w.WORLDS) == 8"
    assert loaded_by(code, HEAVY | {"datasets", "scipy"}) == set()


@pytest.mark.parametrize("first", [None, 2])
@pytest.mark.parametrize("name", ["test.parquet", "test.json"])
@pytest.mark.parametrize("how", ["cut", "empty", "flipped", "folder", "gone"])
def test_damaged_data_is_drawn_again(
    how: str, name: str, first: int | None, tmp_path: Path
) -> None:
    generator = Generator(world="naming", test=3)
    path = worlds.build(generator, root=tmp_path) / name
    whole = worlds.load(generator, "test", tmp_path).to_list()
    data = path.read_bytes()
    flipped = bytearray(data)
    flipped[data.index(b'"file"') + 12 if name == "test.json" else len(data) // 2] ^= 1
    written = {"cut": data[: len(data) // 2], "empty": b"", "flipped": bytes(flipped)}
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how != "gone":
        path.write_bytes(written[how])
    worlds.build(generator, root=tmp_path, first=first)
    assert worlds.load(generator, "test", tmp_path, first=first).to_list() == whole[:first]
    worlds.build(generator, root=tmp_path)
    assert worlds.load(generator, "test", tmp_path).to_list() == whole
