"""Documents kept after the check: without the bytes of their images, and with the right ones."""

from __future__ import annotations

import pickle
from pathlib import Path

import datasets
import pytest
from datasets import Dataset, List
from home import Home, noise, task_keys
from PIL import Image

from vlmbench.spec import load_file
from vlmbench.tasks import Documents, check_documents, load_documents
from vlmbench.types import Document, EncodedImage

BYTES = 32 * 32 * 3  # of one image; noise cannot be packed


def png(seed: int) -> dict[str, object]:
    return {"bytes": EncodedImage.from_pil(noise(seed)).data, "path": None}


def in_parquet(folder: Path, count: int) -> Documents:
    """Return documents of one image and a list of up to two, of which every second is null."""
    rows = [
        {
            "question": "Which?", "answer": index % 2, "one": png(3 * index),
            "more": [png(3 * index + 1), None, png(3 * index + 2)][: 1 + 2 * (index % 2)],
        }
        for index in range(count)
    ]  # fmt: skip
    image = datasets.Image(decode=False)
    features = datasets.Features(
        question=datasets.Value("string"), answer=datasets.Value("int64"), one=image,
        more=List(image),
    )  # fmt: skip
    Dataset.from_list(rows, features=features).to_parquet(folder / "rows.parquet")
    files = {"data_files": {"test": "rows.parquet"}}
    marks = "{% if answer %}<image>{% endif %}"
    keys = task_keys(
        doc_to_text=f"<image><image>{marks}{{{{ question }}}}", doc_to_image=["one", "more"],
        dataset_path="parquet", dataset_kwargs=files,
    )  # fmt: skip
    path = Home(folder).write("t.yaml", keys)
    return load_documents(load_file(path), "reported", folder)


def kept(documents: Documents) -> list[Document]:
    found: list[Document] = []
    check_documents(documents, found.append)
    return found


def test_each_image_is_read_again_from_its_own_place(tmp_path: Path) -> None:
    documents = in_parquet(tmp_path, 130)
    found = kept(documents)
    assert found == list(documents) == [documents[index] for index in range(130)]
    for index, document in enumerate(found):
        seeds = range(3 * index, 3 * index + 2 + index % 2)
        assert [image.decode().tobytes() for image in document.images] == [
            noise(seed).tobytes() for seed in seeds
        ]


def test_the_images_of_a_file_on_disk_travel_as_its_name(tmp_path: Path) -> None:
    found = kept(in_parquet(tmp_path, 100))
    sent = pickle.dumps(found)
    assert len(sent) < 50 * BYTES  # of the 250 images there are
    assert pickle.loads(sent) == found
    assert pickle.loads(sent)[77].images[1].decode().tobytes() == noise(3 * 77 + 1).tobytes()


def test_markers_are_drawn_when_an_image_is_decoded(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.image("a.png", Image.new("RGB", (80, 60), "white"))
    regions = {"choices": {"kind": "point", "image": 0, "column": "points"}}
    rows = [{"question": "?", "answer": 0, "image": "a.png", "points": [[20, 30], [60, 30]]}]
    path = home.task("t", rows, bench={"regions": regions, "markers": "draw"})
    documents = load_documents(load_file(path), "reported", tmp_path)
    (found,), (made,) = kept(documents), documents
    assert found.images[0].decode().tobytes() == made.images[0].decode().tobytes()
    assert found.images[0].decode().tobytes() != found.encoder_images[0].decode().tobytes()
    (tmp_path / "data" / "a.png").unlink()
    made.images[0].decode()
    with pytest.raises(FileNotFoundError):
        found.images[0].decode()
