"""`vlmbench show` writes pictures into its folder, whatever a document is called."""

from __future__ import annotations

from pathlib import Path

import pytest
from home import Home, noise, vlmbench

IDS = ["../../x", "/tmp/vlmbench-x", "a" * 300, "a\0b", ".", "..", "[/x]", "[red]a", "%s {0} $x$",
       "a\nb", "-", "~root", "\u202eabc", "CON", "a\\b"]  # fmt: skip


@pytest.mark.parametrize("doc_id", IDS)
def test_a_name_stays_in_the_folder(tmp_path: Path, doc_id: str) -> None:
    home = Home(tmp_path / "own")
    home.image("a.png", noise(0))
    row = {"question": "[/x] %s {0}", "image": "a.png", "answer": 0, "id": doc_id}
    home.task("t", [row], bench={"id_column": "id"}, doc_to_choice=["[/x]", "$a$"])
    before = {path for path in tmp_path.rglob("*") if "shown" not in path.parts}
    out = vlmbench("show", "t", "-i", home.folder, "--output", tmp_path / "shown").out
    assert "[/x] %s {0}" in out
    (picture,) = (tmp_path / "shown").iterdir()
    assert picture.suffix == ".png"
    now = {path for path in tmp_path.rglob("*") if "shown" not in path.parts}
    assert now - before <= {tmp_path / "own" / "cache"}


def test_a_link_with_a_pictures_name_is_replaced_and_not_followed(tmp_path: Path) -> None:
    home = Home(tmp_path / "own")
    home.image("a.png", noise(0))
    home.task("t", [{"question": "?", "image": "a.png", "answer": 0}])
    (tmp_path / "notes").write_text("mine")
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown" / "test-0-1.png").symlink_to(tmp_path / "notes")
    vlmbench("show", "t", "-i", home.folder, "--output", tmp_path / "shown")
    assert (tmp_path / "notes").read_text() == "mine"
    assert not (tmp_path / "shown" / "test-0-1.png").is_symlink()


def test_a_picture_that_cannot_be_decoded_is_an_error_with_its_document(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.task("t", [{"question": "?", "image": "a.png", "answer": 0}])
    (tmp_path / "data" / "a.png").write_bytes(b"no picture")
    said = vlmbench("show", "t", "-i", tmp_path, "--output", tmp_path / "shown", status=1).err
    assert "document 'test-0': cannot decode image 1" in said
