"""Fixtures in the published schemas, a few documents each, of pictures drawn here."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from datasets import Dataset, Features, List, Value
from datasets import Image as ImageFeature
from PIL import Image
from scipy.io import savemat

from vlmbench.tasks._markers import mark
from vlmbench.tasks.sources import DATA_VARIABLE

N_DOCS = 6
IMAGE = ImageFeature()
TEXT, TEXTS = Value("string"), List(Value("string"))
LETTERS = "ABCD"


def picture(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """A picture of coloured blocks: corners everywhere, and no two pictures alike."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST)


def encoded(image: Image.Image, form: str = "PNG") -> dict[str, Any]:
    buffer = io.BytesIO()
    image.save(buffer, format=form)
    return {"bytes": buffer.getvalue(), "path": None}


# --- BLINK, with VPBench for two of its configurations -------------------------------------------

BLINK_FEATURES = Features(
    {
        "idx": TEXT, "question": TEXT, "sub_task": TEXT,
        **{f"image_{i}": IMAGE for i in range(1, 5)},
        "choices": TEXTS, "answer": TEXT, "prompt": TEXT, "explanation": TEXT,
    }
)  # fmt: skip
REF = (30.0, 40.0)
SPOTS = [(20.0, 30.0), (120.0, 25.0), (40.0, 95.0), (130.0, 90.0)]


def blink_row(config: str, number: int, images: list[Image.Image], n: int) -> dict[str, Any]:
    options = "\n".join(f"({letter}) option {letter}" for letter in LETTERS[:n])
    row = {
        "idx": f"val_{config}_{number + 1}",
        "question": "Which one?",
        "sub_task": config,
        "choices": [f"option {letter}" for letter in LETTERS[:n]],
        "answer": f"({LETTERS[number % n]})",
        "prompt": f"Look closely. Which one?\nSelect from the following options.\n{options}",
        "explanation": "",
    }
    for i in range(4):
        row[f"image_{i + 1}"] = encoded(images[i], "JPEG") if i < len(images) else None
    return row


def marked_pair(number: int) -> list[Image.Image]:
    """Both pictures at twice their size, their markers drawn before that, as BLINK does."""
    first = mark(picture(1000 + number), [REF], ["REF"])
    second = mark(picture(2000 + number), SPOTS, list(LETTERS))
    return [image.resize((320, 240), Image.Resampling.BICUBIC) for image in (first, second)]


def write_blink(folder: Path) -> None:
    pairs = ("Semantic_Correspondence", "Visual_Correspondence", "Functional_Correspondence")
    tables = {
        config: [blink_row(config, i, marked_pair(i), 4) for i in range(N_DOCS)] for config in pairs
    }
    tables["Art_Style"] = [
        blink_row("Art_Style", i, [picture(100 * i + j) for j in range(3)], 2)
        for i in range(N_DOCS)
    ]
    tables["Relative_Depth"] = [
        blink_row("Relative_Depth", i, [mark(picture(3000 + i), SPOTS[:2], ["A", "B"])], 2)
        for i in range(N_DOCS)
    ]
    lines = ["---", "license: apache-2.0", "configs:"]
    for config, rows in tables.items():
        (folder / config).mkdir(parents=True)
        path = folder / config / "val-00000-of-00001.parquet"
        Dataset.from_list(rows, features=BLINK_FEATURES).to_parquet(path)
        lines += [f"- config_name: {config}", "  data_files:", "  - split: val",
                  f"    path: {config}/val-*"]  # fmt: skip
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))


def write_vpbench(folder: Path) -> None:
    """All of BLINK's documents but the last, in another order."""
    depth = folder / "BLINK_depth_data" / "depth"
    (depth / "images").mkdir(parents=True)
    rows = []
    for i in reversed(range(N_DOCS - 1)):
        picture(3000 + i).save(depth / "images" / f"{i}.jpg", quality=95)
        rows.append(
            {
                "question_id": f"d{i}", "original_image": f"{i}.jpg", "point_A": SPOTS[0],
                "point_B": SPOTS[1], "prompt": "...", "human_answer_2": LETTERS[i % 2],
            }
        )  # fmt: skip
    (depth / "perceptioneval_depth_dev.json").write_text(json.dumps(rows))
    semantic = folder / "BLINK_semantic_data" / "semantic_correspondence"
    (semantic / "images" / "cat").mkdir(parents=True)
    rows = []
    for i in reversed(range(N_DOCS - 1)):
        for name, seed in (("s", 1000 + i), ("t", 2000 + i)):
            picture(seed).save(semantic / "images" / "cat" / f"{name}{i}.jpg", quality=95)
        order = [3, 1, 0, 2]  # of the target's key points
        rows.append(
            {
                "index": i, "images": [f"7-s{i}-t{i}:cat_1", f"7-s{i}-t{i}:cat_2"],
                "blink_image1_size": [320, 240], "blink_image2_size": [320, 240],
                "src_kps": [[1, 1], [2, 2], [3, 3], list(REF)],
                "trg_kps": [list(SPOTS[2]), list(SPOTS[1]), list(SPOTS[3]), list(SPOTS[0])],
                "gold_point": 3, "real_consider_points": order,
                "real_answer": f"({LETTERS[i % 4]})", "prompt": "...",
            }
        )  # fmt: skip
    path = semantic / "semantic_corr_raw_fixed.json"
    path.write_text(json.dumps({"val": rows, "test": []}))


def marker(config: str, number: int, image: int, label: str, at: Any, sure: float = 0.99) -> str:
    x, y = at
    row = {"doc_id": f"val_{config}_{number + 1}", "image": image, "label": label, "x": 2 * x,
           "y": 2 * y, "confidence": sure}  # fmt: skip
    return json.dumps(row)


def write_annotations(folder: Path) -> None:
    """Document 2 lacks a marker, document 3 has a doubtful one."""
    folder.mkdir(parents=True)
    for config in ("Visual_Correspondence", "Functional_Correspondence"):
        lines = []
        for i in range(N_DOCS):
            lines.append(marker(config, i, 0, "REF", REF))
            for letter, spot in zip(LETTERS, SPOTS, strict=True):
                if (i, letter) != (2, "C"):
                    sure = 0.2 if (i, letter) == (3, "B") else 0.99
                    lines.append(marker(config, i, 1, letter, spot, sure))
        (folder / f"blink_{config.lower()}.jsonl").write_text("\n".join(lines) + "\n")


# --- CV-Bench and MOCHI --------------------------------------------------------------------------


def write_cvbench(folder: Path) -> None:
    features = Features(
        {
            "idx": Value("int64"), "type": TEXT, "task": TEXT, "image": IMAGE, "question": TEXT,
            "choices": TEXTS, "answer": TEXT, "prompt": TEXT, "filename": TEXT, "source": TEXT,
            "source_dataset": TEXT, "source_filename": TEXT, "target_class": TEXT,
            "target_size": Value("int64"), "bbox": List(List(Value("float64"))),
        }
    )  # fmt: skip
    rows = []
    for i in range(2 * N_DOCS):
        task = "Depth" if i % 2 == 0 else "Distance"
        rows.append(
            {
                "idx": i, "type": "3D", "task": task, "image": encoded(picture(4000 + i)),
                "question": "Which object is closer?", "choices": ["lamp", "chair"],
                "answer": "(A)" if i % 4 == 0 else "(B)",
                "prompt": "Which object is closer? Select from the following choices.\n"
                "(A) lamp\n(B) chair", "filename": f"{i}.png", "source": "x",
                "source_dataset": "x", "source_filename": f"{i}.jpg", "target_class": None,
                "target_size": None, "bbox": [[-2.5, 10, 60, 50], [80, 60, 150, 121.25]],
            }
        )  # fmt: skip
    folder.mkdir(parents=True)
    Dataset.from_list(rows, features=features).to_parquet(folder / "test_3d.parquet")
    card = """---
license: apache-2.0
configs:
- config_name: 3D
  data_files:
  - split: test
    path: test_3d.parquet
dataset_info:
  config_name: 3D
  splits:
  - name: test
    num_bytes: 1
    num_examples: 12
---
"""
    (folder / "README.md").write_text(card)


def write_mochi(folder: Path) -> None:
    numbers = ("human_avg", "human_sem", "human_std", "RT_avg", "RT_sem", "RT_std",
               "DINOv2G_avg", "DINOv2G_std", "DINOv2G_sem")  # fmt: skip
    features = Features(
        {
            "dataset": TEXT, "condition": TEXT, "trial": TEXT, "n_objects": Value("int64"),
            "oddity_index": Value("int64"), "images": List(IMAGE), "n_subjects": Value("int64"),
            **dict.fromkeys(numbers, Value("float64")),
        }
    )  # fmt: skip
    rows = []
    for i in range(N_DOCS):
        n = 4 if i == 1 else 3
        rows.append(
            {
                "dataset": "shapegen", "condition": "abstract2", "trial": f"shapegen{i}",
                "n_objects": n, "oddity_index": i % n, "n_subjects": 15,
                "images": [encoded(picture(5000 + 10 * i + (j == i % n))) for j in range(n)],
                **dict.fromkeys(numbers, 0.5), "human_avg": i / 10,
            }
        )  # fmt: skip
    (folder / "data").mkdir(parents=True)
    path = folder / "data" / "train-00000-of-00001.parquet"
    Dataset.from_list(rows, features=features).to_parquet(path)
    card = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n"
    (folder / "README.md").write_text(f"{card}    path: data/train-*\n---\n")


# --- the sources ---------------------------------------------------------------------------------


SPAIR_POINTS = [[20, 30], [120, 25], [40, 95], [160, 120], [159, 119]]


def write_spair71k(folder: Path) -> None:
    images = folder / "JPEGImages" / "cat"
    images.mkdir(parents=True)
    (folder / "PairAnnotation" / "test").mkdir(parents=True)
    for i in range(N_DOCS):
        names = [f"2008_{i:06d}", f"2009_{i:06d}"]
        for name in names:  # the same picture twice: the right point matches exactly
            picture(6000 + i).save(images / f"{name}.jpg")
        pair = {
            "pair_id": i, "filename": f"{i:06d}-{names[0]}-{names[1]}:cat", "category": "cat",
            "src_imname": f"{names[0]}.jpg", "trg_imname": f"{names[1]}.jpg",
            "src_imsize": [160, 120, 3], "trg_imsize": [160, 120, 3],
            "src_bndbox": [0, 0, 160, 120], "trg_bndbox": [0, 0, 160, 120],
            "kps_ids": ["0", "1", "4", "7", "9"],
            # The last pair of points touches: never two candidates of one question.
            "src_kps": SPAIR_POINTS, "trg_kps": SPAIR_POINTS,
            "viewpoint_variation": 0, "scale_variation": 0, "truncation": 0, "occlusion": 0,
        }  # fmt: skip
        path = folder / "PairAnnotation" / "test" / f"{pair['filename']}.json"
        path.write_text(json.dumps(pair))


HOMOGRAPHY = np.array([[0.9, 0.05, 6.0], [-0.04, 0.95, 8.0], [1e-4, 2e-4, 1.0]])


def warped(image: Image.Image, matrix: np.ndarray) -> Image.Image:
    """The image as a camera sees it whose pixels are those of `image`, mapped by `matrix`."""
    back = np.linalg.inv(matrix)
    coefficients = (back / back[2, 2]).ravel()[:8]  # PIL asks where each new pixel came from
    return image.transform(image.size, Image.Transform.PERSPECTIVE, coefficients)


def write_hpatches(folder: Path) -> None:
    for name in ("i_lamp", "v_wall"):
        (folder / name).mkdir(parents=True)
        first = picture(7000, (320, 240))
        first.save(folder / name / "1.ppm")
        for k in range(2, 7):
            matrix = np.eye(3) if name[0] == "i" else HOMOGRAPHY
            warped(first, matrix).save(folder / name / f"{k}.ppm")
            np.savetxt(folder / name / f"H_1_{k}", matrix)


def write_funkpoint(folder: Path) -> None:
    points = [f"p{i}_{axis}" for i in range(1, 6) for axis in "xy"]
    header = ["action", "action_slug", "role", "rank", "object_category", "wnid", "difficulty",
              "difficulty_rank", "source_image_path", "dataset_image_path",
              "dominant_cluster_ratio", "fit_distance", "mirror_margin", "was_reflected",
              *points]  # fmt: skip
    (folder / "Pour" / "tests").mkdir(parents=True)
    with (folder / "all_samples.csv").open("w", newline="") as lines:
        table = csv.DictWriter(lines, header, restval="0")
        table.writeheader()
        for i, category in enumerate(["cup", "jug", "cup"]):
            path = f"Pour/tests/0{i}__{category}__000{i}.png"
            picture(8000 + i).save(folder / path)
            places = {name: (j + 1) / 12 for j, name in enumerate(points)}
            table.writerow({"action": "Pour", "object_category": category,
                            "dataset_image_path": path, **places})  # fmt: skip


NYU_SIZE = (64, 48)


def nyu_depth(index: int) -> np.ndarray:
    """(height, width) metres: a near left half, frame by frame farther, and a far right half."""
    width, height = NYU_SIZE
    halves = np.repeat([1.5 + index / 10, 4.0], width // 2)
    return np.tile(halves, (height, 1)).astype(np.float32)


def write_nyuv2(folder: Path) -> None:
    folder.mkdir(parents=True)
    n = 16
    with h5py.File(folder / "nyu_depth_v2_labeled.mat", "w") as file:
        frames = [np.asarray(picture(9000 + i, NYU_SIZE)) for i in range(n)]
        file["images"] = np.stack([frame.transpose(2, 1, 0) for frame in frames])
        file["depths"] = np.stack([nyu_depth(i).T for i in range(n)])
        file["rawDepths"] = file["depths"][...]
        # As MATLAB stores a cell array of text: references to columns of character codes.
        for i in range(n):
            letters = [[ord(letter)] for letter in f"kitchen_{i // 6:04d}"]
            file[f"#refs#/{i}"] = np.array(letters, np.uint16)
        refs = [file[f"#refs#/{i}"].ref for i in range(n)]
        file.create_dataset("scenes", (1, n), dtype=h5py.ref_dtype)[0] = refs
    test = np.arange(3, n + 1, 3)
    train = np.setdiff1d(np.arange(1, n + 1), test)
    savemat(folder / "splits.mat", {"trainNdxs": train[:, None], "testNdxs": test[:, None]})


def write_da2k(folder: Path) -> None:
    (folder / "images").mkdir(parents=True)
    annotations = {}
    for i in range(3):
        name = f"images/{i}.jpg"
        picture(9500 + i).save(folder / name)
        annotations[name] = [
            {"point1": [30, 20], "point2": [90, 130], "closer_point": "point1"},
            {"point1": [100, 50], "point2": [20, 60], "closer_point": "point1"},
        ]
    (folder / "annotations.json").write_text(json.dumps(annotations))


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `$VLMBENCH_DATA` with every data set in it."""
    home = tmp_path_factory.mktemp("published")
    write_blink(home / "BLINK-Benchmark" / "BLINK")
    write_vpbench(home / "longlian" / "VPBench")
    write_annotations(home / "annotations")
    write_cvbench(home / "nyu-visionx" / "CV-Bench")
    write_mochi(home / "tzler" / "MOCHI")
    write_spair71k(home / "SPair-71k")
    write_hpatches(home / "hpatches-sequences-release")
    write_funkpoint(home / "funkpoint_curated_dataset")
    write_nyuv2(home / "nyu_depth_v2")
    write_da2k(home / "DA-2K")
    return home


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """That there are fewer documents than in the published data is no mistake here."""
    monkeypatch.setattr("vlmbench.tasks._data._check_count", lambda *_: None)


@pytest.fixture
def home(published: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, where vlmbench looks for it."""
    monkeypatch.setenv(DATA_VARIABLE, str(published))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", published / "cache")
    return published
