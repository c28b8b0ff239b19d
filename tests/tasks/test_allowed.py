"""A task reads what lies beside it or in the data folder, and asks no host unless it may."""

from __future__ import annotations

import gzip
import json
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from home import Home, noise, vlmbench

from vlmbench.spec import load_file
from vlmbench.tasks import check_documents, load_documents
from vlmbench.tasks._rows import MOST_UNPACKED
from vlmbench.types import EncodedImage, VlmbenchError

ROW = {"question": "What?", "image": "a.png", "answer": 0}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A folder of a task, beside one of secrets and one of data."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "rows.jsonl").write_text(json.dumps(ROW))
    noise(0).save(tmp_path / "secret" / "a.png")
    monkeypatch.setenv("VLMBENCH_DATA", str(tmp_path / "data home"))
    own = Home(tmp_path / "own")
    own.image("a.png", noise(1))
    return own


def opened(path: Path, *, allow_network: bool = False) -> list[Any]:
    found = load_documents(load_file(path), "reported", path.parent, allow_network=allow_network)
    check_documents(found)
    return list(found)


def refusal(path: Path, **more: Any) -> str:
    with pytest.raises(VlmbenchError) as caught:
        opened(path, **more)
    return str(caught.value)


def files(name: object) -> dict[str, Any]:
    return {"dataset_kwargs": {"data_files": {"test": str(name)}}}


# -- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("image", ["../../secret/a.png", "{secret}/a.png", "link.png", "in/a.png"])
def test_an_image_outside_is_not_read(home: Home, image: str) -> None:
    secret = home.folder.parent / "secret"
    (home.folder / "data" / "link.png").symlink_to(secret / "a.png")
    (home.folder / "data" / "in").symlink_to(secret)
    task = home.task("t", [ROW | {"image": image.format(secret=secret)}])
    said = refusal(task)
    assert "document 'test-0'" in said
    assert str(secret / "a.png") in said
    assert "set VLMBENCH_DATA to a folder that holds it" in said


@pytest.mark.parametrize("file", ["../secret/rows.jsonl", "{secret}/*.jsonl", "link.jsonl"])
def test_a_data_file_outside_is_not_read(home: Home, file: str) -> None:
    secret = home.folder.parent / "secret"
    (home.folder / "link.jsonl").symlink_to(secret / "rows.jsonl")
    task = home.task("t", [], **files(file.format(secret=secret)))
    assert f"{secret / 'rows.jsonl'}" in refusal(task)


def test_a_folder_outside_is_not_read_and_one_inside_names_no_file_outside(home: Home) -> None:
    secret = home.folder.parent / "secret"
    folder = home.folder / "set"
    folder.mkdir()
    for path in (str(secret), "../secret"):
        assert "lies outside" in refusal(home.task("t", [], dataset_path=path, dataset_kwargs={}))
    for named in (f"{secret}/rows.jsonl", "https://example.org/rows.jsonl"):
        card = f"---\nconfigs:\n- config_name: default\n  data_files: {named}\n---\n"
        (folder / "README.md").write_text(card)
        task = home.task("t", [], dataset_path="./set", dataset_kwargs={}, test_split="train")
        assert named in refusal(task)


def test_what_lies_in_the_data_folder_is_read_where_its_links_lead_too(home: Home) -> None:
    data = home.folder.parent / "data home"
    data.mkdir()
    (data / "elsewhere").symlink_to(home.folder.parent / "secret")
    task = home.task("t", [], **files(data / "elsewhere" / "rows.jsonl"))
    assert opened(task)[0].images[0].decode() == noise(0)
    up = home.task("u", [], **files(data / "elsewhere" / ".." / "secret" / "rows.jsonl"))
    assert "lies outside" in refusal(up)


@pytest.mark.parametrize(
    ("bench", "field"),
    [
        ({"points": {"kind": "markers", "file": "../../secret/rows.jsonl"}}, "points.file"),
        ({"points": {"kind": "vpbench", "part": "depth", "root": "../secret"}}, "points.root"),
        ({"reader": {"layout": "da2k", "root": "../secret"}}, "reader.root"),
    ],
)
def test_other_data_outside_is_not_read(home: Home, bench: dict[str, Any], field: str) -> None:
    regions = {"choices": {"kind": "point", "column": "points_choices"}, "missing": "skip"}
    keys = {"doc_to_image": ["image_1"]} if "root" in field else {}
    task = home.task("t", [ROW], bench={"regions": regions, "markers": "drawn", **bench}, **keys)
    said = refusal(task)
    assert f"metadata.vlmbench.{field}" in said
    assert "lies outside" in said


@pytest.mark.parametrize("name", ["../secret/a.png", "{secret}/a.png"])
def test_pictures_that_annotations_name_lie_in_their_folder(home: Home, name: str) -> None:
    root = home.folder / "DA-2K"
    root.mkdir()
    secret = home.folder.parent / "secret"
    pair = {"point1": [1, 1], "point2": [20, 20], "closer_point": "point1"}
    (root / "annotations.json").write_text(json.dumps({name.format(secret=secret): [pair]}))
    bench = {"reader": {"layout": "da2k", "root": str(root)}}
    task = home.task("t", [], bench=bench, dataset_path=None, dataset_kwargs={})
    assert "leads out of its folder" in refusal(task)


def test_links_in_a_readers_folder_lead_out_only_if_the_user_made_them(home: Home) -> None:
    secret = home.folder.parent / "secret"
    (home.folder / "DA-2K").mkdir()
    (home.folder / "DA-2K" / "a.png").symlink_to(secret / "a.png")
    bench = {"reader": {"layout": "da2k", "root": str(home.folder / "DA-2K")}}
    task = home.task("t", [], bench=bench, dataset_path=None, dataset_kwargs={})
    assert "lies outside" in refusal(task)


# -- the network ------------------------------------------------------------------------------


@pytest.fixture
def address(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server of the folder of secrets, which counts as reachable."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    handler = partial(SimpleHTTPRequestHandler, directory=str(home.folder.parent / "secret"))
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_address_is_asked_only_where_the_user_says_so(
    home: Home, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = home.task("t", [], **files(f"{address}/rows.jsonl"))
    home.image("../a.png", noise(1))  # images of fetched rows lie beside the task
    assert "allow it with --allow-network" in refusal(task)
    assert opened(task, allow_network=True)[0].row["question"] == "What?"
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in refusal(task, allow_network=True)


def test_the_command_has_the_option(home: Home, address: str) -> None:
    home.task("asks", [], **files(f"{address}/rows.jsonl"))
    home.image("../a.png", noise(1))
    command = ["show", "asks", "-i", home.folder, "--output", home.folder / "shown"]
    assert "--allow-network" in vlmbench(*command, status=1).err
    assert "What?" in vlmbench(*command, "--allow-network").out


@pytest.mark.parametrize(
    "name", ["zip://a.jsonl::http://127.0.0.1:9/a.zip", "s3://a/b.jsonl", "file:///etc/passwd",
             "ftp://127.0.0.1/a", "simplecache::/etc/passwd"],
)  # fmt: skip
def test_other_addresses_are_never_asked(home: Home, name: str) -> None:
    task = home.task("t", [], **files(name))
    assert "Only http, https and hf" in refusal(task, allow_network=True)


# -- forms ------------------------------------------------------------------------------------


def test_data_of_other_forms_is_not_read(home: Home) -> None:
    folder = home.folder / "set"
    folder.mkdir()
    (folder / "a.txt").write_text("What?")
    task = home.task("t", [], dataset_path="./set", dataset_kwargs={}, test_split="train")
    said = refusal(task)
    assert "of the form 'text', which is not read" in said
    assert "json, csv, parquet, imagefolder" in said


def test_archives_are_not_unpacked_and_gzip_is_only_so_far(home: Home) -> None:
    with zipfile.ZipFile(home.folder / "rows.zip", "w") as archive:
        archive.writestr("rows.jsonl", json.dumps(ROW))
    assert "an archive (zip)" in refusal(home.task("t", [], **files("rows.zip")))
    with gzip.open(home.folder / "rows.jsonl.gz", "wb", compresslevel=1) as file:
        for _ in range((MOST_UNPACKED >> 20) + 1):
            file.write(bytes(1 << 20))
    said = refusal(home.task("t", [], **files("rows.jsonl.gz")))
    assert "holds more than 268,435,456 bytes" in said
    (home.folder / "rows.jsonl.gz").write_bytes(b"\x1f\x8b\x08\0half of a file")
    assert "rows.jsonl.gz" in refusal(home.task("t", [], **files("rows.jsonl.gz")))


def test_columns_that_must_be_decoded_are_left_out_and_images_in_others_stay_bytes(
    home: Home,
) -> None:
    """`datasets` would fetch what such a cell names, as soon as its row is looked at."""
    cell = {"bytes": None, "path": "http://127.0.0.1:9/a"}
    columns = {"question": ["What?"], "answer": [0], "sound": [cell], "deep": [{"image": cell}],
               "image": [{"bytes": EncodedImage.from_pil(noise(2)).data, "path": None}],
               }  # fmt: skip
    features = {"question": {"dtype": "string", "_type": "Value"}, "sound": {"_type": "Audio"},
                "answer": {"dtype": "int64", "_type": "Value"}, "image": {"_type": "Image"},
                "deep": {"image": {"_type": "Image"}}}  # fmt: skip
    about = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    table = pa.table(columns).replace_schema_metadata(about)
    pq.write_table(table, home.folder / "rows.parquet")
    task = home.task("t", [], dataset_path="parquet", **files("rows.parquet"))
    (document,) = opened(task)
    assert document.images[0].decode() == noise(2)
    assert document.row["deep"] == {"image": cell}
    assert "sound" not in document.row


def test_a_task_named_from_its_own_folder_is_confined_to_where_that_is(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same relative name means another folder in another place."""
    other = Home(tmp_path / "other")
    other.image("a.png", noise(2))
    for one in (home, other):
        one.task("t", [ROW], doc_to_image=["image"], **files("data/t.jsonl"))
        monkeypatch.chdir(one.folder)
        assert len(opened(Path("t.yaml"))) == 1
