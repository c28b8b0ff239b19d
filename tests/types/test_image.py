"""Images that are read and changed when asked: the same ones, and never others in their place."""

from __future__ import annotations

import pickle
from functools import partial
from pathlib import Path

import pytest
from awkward import FILES, REFUSED, awkward
from PIL import Image, ImageOps

from vlmbench.types import ChangedImage, DocumentError, EncodedImage


@pytest.mark.parametrize("name", FILES)
def test_one_look_tells_what_single_questions_tell(name: str) -> None:
    plain, looked = EncodedImage(awkward(name).data), EncodedImage(awkward(name).data)
    looked.look()
    assert looked.size == plain.size
    assert looked.digest == plain.digest
    assert looked.shown_digest == plain.shown_digest


@pytest.mark.parametrize("name", REFUSED)
def test_a_look_refuses_what_cannot_be_decoded(name: str) -> None:
    with pytest.raises((OSError, ValueError)):
        EncodedImage(REFUSED[name]()).look()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "image.png"
    Image.new("RGB", (3, 2), "red").save(path)
    return path


def test_an_image_that_was_let_go_is_read_again(file: Path) -> None:
    held = EncodedImage(file.read_bytes(), "i", read=file.read_bytes)
    held.look()
    image = pickle.loads(pickle.dumps(held.let_go()))
    assert image == held
    file.unlink()
    assert (image.size, image.digest) == (held.size, held.digest)  # both are known without it
    assert held.decode().size == (3, 2)
    with pytest.raises(FileNotFoundError):
        image.decode()


def test_another_file_in_its_place_is_refused(file: Path) -> None:
    image = EncodedImage(None, "i", read=file.read_bytes)
    image.look()
    Image.new("RGB", (3, 2), "blue").save(file)
    for ask in (image.decode, lambda: image.data, ChangedImage(image, ImageOps.invert, "c").decode):
        with pytest.raises(DocumentError, match="image 'i' has changed since it was checked"):
            ask()


def test_bytes_that_cannot_be_read_again_are_kept() -> None:
    image = EncodedImage.from_pil(Image.new("RGB", (3, 2), "red"))
    assert image.let_go().decode().getpixel((0, 0)) == (255, 0, 0)


def test_a_change_is_made_whenever_it_is_asked_for_and_at_no_other_time() -> None:
    made = []

    def inverted(picture: Image.Image) -> Image.Image:
        made.append(picture.size)
        return ImageOps.invert(picture)

    image = ChangedImage(EncodedImage.from_pil(Image.new("RGB", (3, 2), "red")), inverted, "c")
    assert (image.size, len(made)) == ((3, 2), 0)
    assert image.decode().getpixel((0, 0)) == (0, 255, 255)
    assert EncodedImage(image.data).decode().tobytes() == image.decode().tobytes()
    assert len(made) == 3
    assert image.shown_digest == image.digest == image.digest
    assert len(made) == 4  # once for all of them
    assert image.digest == EncodedImage(image.data).digest


def test_a_changed_image_can_be_let_go_and_pickled(file: Path) -> None:
    base = EncodedImage(file.read_bytes(), "i", read=file.read_bytes)
    turned = ChangedImage(base, partial(ImageOps.expand, border=0), "c")
    image = pickle.loads(pickle.dumps(turned.let_go()))
    assert image.decode().tobytes() == turned.decode().tobytes()
    file.unlink()
    with pytest.raises(FileNotFoundError):
        image.decode()
