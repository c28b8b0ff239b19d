"""Whatever an image file holds, it is a document's picture or a fault that names its row."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from caches import kept_in
from drawn import counted
from guard import Outcome, guarded
from home import Home
from hypothesis import strategies as st
from nasty_images import HOSTILE, HUGE, SOUND
from PIL import Image

from vlmbench.spec import load_file
from vlmbench.tasks import check_documents, load_documents

for plugin in ("Bmp", "Eps", "Gif", "Jpeg", "Png", "Ppm", "Tiff", "WebP"):
    importlib.import_module(f"PIL.{plugin}ImagePlugin")  # once, and not in every fork

NUMBERS = [
    number.to_bytes(size, order)
    for size in (1, 2, 4)
    for order in ("big", "little")
    for number in (0, 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1)
] + [HUGE.to_bytes(4, "big"), (16_383).to_bytes(2, "little"), b"\xff\xd9", b"IEND"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = Home(tmp_path_factory.mktemp("images"))
    home.task("t", [{"question": "What?", "image": "it.png", "answer": 0}])
    with kept_in(home.folder):
        yield home.folder


def look(data: bytes, folder: Path) -> Outcome:
    """Check a task with one document, which shows a file of these bytes."""
    (folder / "data" / "it.png").write_bytes(data)

    def call() -> str:
        documents = load_documents(load_file(folder / "t.yaml"), "reported", folder)
        return check_documents(documents)

    return guarded(call, folder=folder)


def sound(outcome: Outcome) -> None:
    assert outcome.fault is None
    if outcome.refused is not None:
        assert "document 'test-0'" in outcome.refused
        assert "cannot decode image 'image: it.png'" in outcome.refused


@pytest.mark.parametrize("name", HOSTILE)
def test_files_by_hand(name: str, folder: Path) -> None:
    sound(look(HOSTILE[name], folder))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return a sound file with numbers and bytes written over, cut, doubled, or grown together."""
    data = bytearray(SOUND[draw(st.sampled_from(sorted(SOUND)))])
    early = st.integers(0, min(200, len(data) - 1))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(early | st.integers(0, len(data) - 1))
        match draw(st.sampled_from(["over", "into", "out", "again", "other"])):
            case "over":
                part = draw(st.sampled_from(NUMBERS) | st.binary(min_size=1, max_size=4))
                data[place : place + len(part)] = part
            case "into":
                data[place:place] = draw(st.sampled_from(NUMBERS) | st.binary(max_size=20))
            case "out":
                del data[place : place + draw(st.integers(1, 50))]
            case "again":
                data[place:place] = data[place : place + draw(st.integers(1, 200))] * draw(
                    st.sampled_from([1, 2, 50])
                )
            case "other":
                data[place:] = SOUND[draw(st.sampled_from(sorted(SOUND)))][place:]
        data = data or bytearray(b"\0")
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 7)) == 0 else data)


def fuzz(examples: int, folder: Path) -> Counter[str]:
    """Try so many files; return how many were accepted and refused."""
    return counted(mutated(), examples, lambda data: look(data, folder), sound)


def test_a_few_files(folder: Path) -> None:
    assert set(fuzz(50, folder)) == {"accepted", "refused"}


@pytest.mark.soak
def test_many_files(folder: Path) -> None:
    counts = fuzz(1_000, folder)
    print(f"\n1,000 images: {dict(counts)}")  # noqa: T201
    assert min(counts["accepted"], counts["refused"]) > 100


def test_every_format_that_is_read_is_among_the_sound_files(folder: Path) -> None:
    from vlmbench.types import EncodedImage

    for data in SOUND.values():
        EncodedImage(data).decode()
    assert Image.MAX_IMAGE_PIXELS is not None  # Pillow's own limit stays as it is
