"""Pictures that stand in the rows themselves, and names that are no names of files."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from home import Home, noise

from vlmbench.spec import load_file
from vlmbench.tasks import check_documents, load_documents
from vlmbench.types import EncodedImage, VlmbenchError

DATA = EncodedImage.from_pil(noise(3)).data
TEXT = base64.b64encode(DATA).decode()


def task(folder: Path, image: object) -> Path:
    return Home(folder).task("t", [{"question": "What?", "image": image, "answer": 0}])


def checked(path: Path) -> list[object]:
    documents = load_documents(load_file(path), "reported", path.parent)
    kept: list[object] = []
    check_documents(documents, kept.append)
    return kept


@pytest.mark.parametrize(
    "image",
    [TEXT, f"data:image/png;base64,{TEXT}", f"data:image/png;base64,{TEXT[:76]}\n{TEXT[76:]}",
     [TEXT]],
    ids=["bare", "url", "lines", "list"],
)  # fmt: skip
def test_base64_is_read(tmp_path: Path, image: object) -> None:
    (document,) = checked(task(tmp_path, image))
    assert document.images[0].decode() == noise(3)
    assert document.images[0].name == "image"  # and no message repeats the text
    assert "image" not in document.row  # nor any prompt


def test_other_text_that_begins_so_is_text(tmp_path: Path) -> None:
    Home(tmp_path).image("a.png", noise(3))
    row = {"question": "data: what?", "image": "a.png", "answer": 0}
    (document,) = checked(Home(tmp_path).task("t", [row]))
    assert document.row["question"] == "data: what?"


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (f"data:image/png;base64,{TEXT[:-3]}*", "is no picture in base64"),
        ("data:image/png,abc", "is no picture in base64"),
        ("data:", "is no picture in base64"),
        (f"{TEXT}!", "is no picture in base64"),
        ("data:image/png;base64,bm8=", "cannot decode image 'image'"),
        ("x" * 300, "column 'image': image 'xxx"),
        ("x/" * 3000, "does not exist"),
        ("a\0b.png", "does not exist"),
        ("", "does not exist"),
        (".", "does not exist"),
        ("pipe", "does not exist"),
        ("/dev/zero", "does not exist"),
        (3, "holds int, not an image or its path"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_named_with_its_row_and_column(
    tmp_path: Path, image: object, says: str
) -> None:
    path = task(tmp_path, image)
    os.mkfifo(tmp_path / "data" / "pipe")
    with pytest.raises(VlmbenchError) as caught:
        checked(path)
    said = str(caught.value)
    assert says in said
    assert "document 'test-0'" in said
    assert len(said) < 1000


def test_a_file_of_too_many_bytes_is_not_read(tmp_path: Path) -> None:
    path = task(tmp_path, "big.png")
    with (tmp_path / "data" / "big.png").open("wb") as file:
        file.truncate((256 << 20) + 1)
    with pytest.raises(VlmbenchError, match="268,435,457 bytes; at most 268,435,456 are read"):
        checked(path)
