"""What an image file shows, and where the libraries around us show something else."""

from __future__ import annotations

import io
from pathlib import Path

import datasets
import numpy as np
import pytest
from awkward import FILES, REFUSED, SIZE, awkward, encoded, phone, picture, png, png_parts
from PIL import Image

from vlmbench.types import EncodedImage, shown

# How other readers differ from what a file shows; all others are equal on it, pixel for pixel.
# `datasets` is its Image feature and then Pillow's conversion to RGB, which is all that stock
# lm-eval can be told to do (`convert_img_format`); `load_image` and `processor` are transformers'.
TRANSPARENT = ("rgba.png", "grey_alpha.png", "drawing.png", "drawing.gif", "keyed.png")
DEEP = ("deep.png", "deep.tif", "deep.pgm", "deep_keyed.png")
REJECTED = ("broken_profile.png", "broken_comment.png", "broken_exif.png")
DIFFER = {
    # What is transparent shows the colour that happens to lie under it, often black.
    "datasets": {*TRANSPARENT, *DEEP, *REJECTED},
    "load_image": {*TRANSPARENT, *DEEP, *REJECTED},
    # 16-bit greys are cut off at 255; Pillow rejects a file for its metadata.
    "processor": {*DEEP, *REJECTED},
}


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=int)


@pytest.mark.parametrize("name", FILES)
def test_a_file_shows_what_a_person_sees(name: str) -> None:
    file = awkward(name)
    image = EncodedImage(file.data)
    got = image.decode()
    assert got.mode == "RGB"
    assert not got.info  # else a copy that is saved would be turned or coloured once more
    assert got.size == image.size == SIZE
    assert np.abs(pixels(got) - file.pixels).max() <= file.off


@pytest.mark.parametrize("name", FILES)
def test_a_copy_shows_the_same_to_every_reader(name: str) -> None:
    image = EncodedImage(awkward(name).data)
    copy = image if image.is_plain else image.as_png()
    assert copy.decode().tobytes() == image.decode().tobytes()
    for read in READERS.values():
        assert read(copy.data).tobytes() == image.decode().tobytes()


@pytest.mark.parametrize("name", REFUSED)
def test_what_shows_nothing_certain_is_refused(name: str) -> None:
    with pytest.raises((OSError, ValueError)) as caught:
        EncodedImage(REFUSED[name]()).decode()
    assert "0x" not in str(caught.value)  # the message names no object of Python's


@pytest.mark.parametrize(("name", "kind"), [("whole.tif", "integers"), ("float.tif", "floats")])
def test_a_refusal_says_what_to_do(name: str, kind: str) -> None:
    with pytest.raises(ValueError, match=f"its pixels are {kind}.*save it with 8 bits a channel"):
        EncodedImage(REFUSED[name]()).decode()


def test_the_size_of_a_large_file_is_read_without_its_pixels() -> None:
    """Only the first hundred bytes are there, and a tag that tells of a turn."""
    data = phone(6, "JPEG").data
    header = data[: data.index(b"\xff\xda")]  # the pixels follow here
    assert EncodedImage(header).size == SIZE
    with pytest.raises(OSError, match="cannot load"):
        EncodedImage(header).decode()
    flat = encoded(Image.fromarray(picture()), "PNG")
    assert EncodedImage(flat[:60]).size == SIZE


def test_only_files_that_the_rule_changes_have_another_identity() -> None:
    changed = {
        name for name in FILES
        if EncodedImage(awkward(name).data).shown_digest != EncodedImage(awkward(name).data).digest
    }  # fmt: skip
    turned = {
        f"turned_{tag}.{form}" for tag in range(2, 9) for form in ("jpeg", "png", "webp")
    }  # TIFFs were always turned by Pillow itself
    rejected = {"broken_profile.png", "broken_comment.png"}
    assert changed == {*TRANSPARENT, *DEEP, *turned, "turned_xmp.png", *rejected}


def test_an_image_that_was_opened_elsewhere_shows_the_same() -> None:
    for name in ("turned_6.jpeg", "rgba.png", "deep.png", "drawing.gif"):
        with Image.open(io.BytesIO(awkward(name).data)) as opened:
            before = dict(opened.info)
            assert shown(opened).tobytes() == EncodedImage(awkward(name).data).decode().tobytes()
            assert opened.info == before  # what belongs to others is left alone


def _datasets(data: bytes) -> Image.Image:
    return datasets.Image().decode_example({"bytes": data, "path": None}).convert("RGB")


def _load_image(data: bytes) -> Image.Image:
    import base64

    from transformers.image_utils import load_image

    return load_image(base64.b64encode(data).decode())


def _processor(data: bytes) -> Image.Image:
    """What a processor with `do_convert_rgb` makes of the picture that `datasets` gives it."""
    from transformers.image_transforms import convert_to_rgb

    image = datasets.Image().decode_example({"bytes": data, "path": None})
    return Image.fromarray(convert_to_rgb(image, return_numpy=True))


READERS = {"datasets": _datasets, "load_image": _load_image, "processor": _processor}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", FILES)
def test_other_readers_agree_but_for_a_stated_list(name: str, reader: str) -> None:
    ours = EncodedImage(awkward(name).data).decode()
    try:
        theirs = READERS[reader](awkward(name).data)
    except Exception:
        theirs = None
    same = theirs is not None and theirs.tobytes() == ours.tobytes() and theirs.size == ours.size
    assert same == (name not in DIFFER[reader])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_no_damage_to_metadata_breaks_a_picture(form: str) -> None:
    """A tenth of the metadata is something else; at worst the file has lost its orientation."""
    rng = np.random.default_rng(0)
    file = phone(6, form)
    start = file.data.index({"JPEG": b"Exif\0\0", "PNG": b"eXIf"}[form]) + 4
    for _ in range(100):
        damaged = bytearray(file.data)
        damaged[start + 2 : start + 40] = bytes(
            value if rng.random() > 0.1 else int(rng.integers(256))
            for value in damaged[start + 2 : start + 40]
        )
        data = png(png_parts(bytes(damaged))) if form == "PNG" else bytes(damaged)
        image = EncodedImage(data)
        got = image.decode()
        assert got.size == image.size
        assert sorted(got.size) == sorted(SIZE)
        assert {image.shown_digest.partition("-")[0]} == {image.digest}


def test_sixty_photographs_are_equal_in_every_reader(tmp_path: Path) -> None:
    for number in range(60):
        file = phone(number % 8 + 1, pixels=picture(number))
        ours = EncodedImage(file.data).decode()
        assert np.abs(pixels(ours) - file.pixels).max() <= file.off
        for read in READERS.values():
            assert read(file.data).tobytes() == ours.tobytes()
