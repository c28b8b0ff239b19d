"""Hub data in its published schema: what is asked, and that stock lm-eval asks the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlmbench.spec import load_file
from vlmbench.tasks import Documents, check_documents, load_documents
from vlmbench.types import VlmbenchError

TASKS = Path(__file__).parents[3] / "tasks" / "hidden_in_plain_sight"
IMAGES = {
    "blink_semantic_correspondence": 2, "blink_visual_correspondence": 2,
    "blink_functional_correspondence": 2, "blink_art_style": 3, "blink_relative_depth": 1,
    "cvbench_depth": 1,
}  # fmt: skip
HUB = (*IMAGES, "mochi")


def documents(name: str, home: Path) -> Documents:
    return load_documents(load_file(TASKS / f"{name}.yaml"), "reported", home)


@pytest.mark.parametrize("variant", ["", "_blind", "_generate"])
@pytest.mark.parametrize("name", HUB)
def test_every_hub_task_loads_and_checks(home: Path, name: str, variant: str) -> None:
    found = documents(name + variant, home)
    assert len(found) == 6
    check_documents(found)


@pytest.mark.parametrize("name", IMAGES)
def test_the_published_prompt_follows_its_images_unchanged(home: Path, name: str) -> None:
    found = documents(name, home)
    for document in found:
        assert found.prompt(document) == "<image>" * IMAGES[name] + document.row["prompt"]
        assert len(document.images) == IMAGES[name]
        assert document.choices[document.gold] == document.row["answer"]


def test_only_depth_questions_of_cvbench_are_asked(home: Path) -> None:
    found = list(documents("cvbench_depth", home))
    assert [document.row["task"] for document in found] == ["Depth"] * 6
    assert [document.doc_id for document in found] == ["0", "2", "4", "6", "8", "10"]
    assert all(document.marked for document in found)


def test_boxes_beyond_the_edge_are_cut(home: Path) -> None:
    document = documents("cvbench_depth", home)[0]
    assert document.candidates[0].xy == (0.0, 10.0, 60.0, 50.0)
    assert document.candidates[1].xy == (80.0, 60.0, 150.0, 120.0)


def test_mochi_has_three_or_four_images(home: Path) -> None:
    found = documents("mochi", home)
    four = found[1]
    assert [len(document.choices) for document in found] == [3, 4, 3, 3, 3, 3]
    assert four.gold == four.row["oddity_index"] == 1
    assert [region.image for region in four.candidates] == [0, 1, 2, 3]
    assert found.prompt(four).count("<image>") == 4
    assert found.prompt(four).endswith("(D) image 4\nAnswer with the letter.")
    assert "image 4" not in found.prompt(found[0])
    assert not four.marked  # nothing is drawn into whole images


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("blink_art_style", "BLINK-Benchmark/BLINK"),
        ("cvbench_depth", "nyu-visionx/CV-Bench"),
        ("mochi", "tzler/MOCHI"),
    ],
)
def test_missing_hub_data_is_answered_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, repository: str
) -> None:
    monkeypatch.setenv("VLMBENCH_DATA", str(tmp_path))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    with pytest.raises(VlmbenchError) as caught:
        documents(name, tmp_path)
    message = str(caught.value)
    assert f"hf download {repository} --repo-type dataset " in message
    assert f'--local-dir "{tmp_path}' in message
    assert "tasks/hidden_in_plain_sight/" in message


# --- stock lm-eval -------------------------------------------------------------------------------

FOLDERS = {
    "blink": "BLINK-Benchmark/BLINK",
    "cvbenc": "nyu-visionx/CV-Bench",
    "mochi": "tzler/MOCHI",
}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("variant", ["", "_generate"])
@pytest.mark.parametrize("name", HUB)
def test_stock_lm_eval_reads_the_same_questions(
    home: Path, tmp_path: Path, name: str, variant: str
) -> None:
    from lm_eval.tasks import TaskManager

    repository = next(path for start, path in FOLDERS.items() if name.startswith(start))
    (tmp_path / "local.yaml").write_text(
        f"include: {TASKS / (name + variant)}.yaml\ntask: local\n"
        f"dataset_path: {home / repository}\n"
    )
    task = TaskManager(include_path=str(tmp_path), include_defaults=False).load("local")
    theirs = task["tasks"]["local"]
    found = documents(name + variant, home)
    rows = list(theirs.test_docs())
    assert len(rows) == len(found)
    for row, document in zip(rows, found, strict=True):
        assert theirs.doc_to_text(row) == found.prompt(document)
        assert tuple(theirs.doc_to_choice(row)) == document.choices
        target = theirs.doc_to_target(row)
        gold = target if isinstance(target, int) else document.choices.index(target)
        assert gold == document.gold
        shown = theirs.doc_to_image(row)
        assert len(shown) == len(document.images)
        for image, ours in zip(shown, document.images, strict=True):
            assert image.convert("RGB").tobytes() == ours.decode().tobytes()


@pytest.mark.parametrize(
    ("name", "clusters"),
    [
        ("mochi", ["abstract2"] * 6),
        ("mochi_blind", ["abstract2"] * 6),
        ("cvbench_depth", [f"{i}.jpg" for i in range(0, 12, 2)]),
        ("da2k_depth", None),
        ("hpatches_matching", None),
        ("spair71k_correspondence", None),
        ("funkpoint_affordance", None),
        ("nyuv2", None),
    ],
)
def test_what_documents_share_is_said_by_a_column(home: Path, name: str, clusters) -> None:
    found = list(documents(name, home))
    column = {
        "da2k_depth": "picture", "hpatches_matching": "sequence", "nyuv2": "scene",
        "spair71k_correspondence": "category", "funkpoint_affordance": "action",
    }.get(name)  # fmt: skip
    expected = clusters or [document.row[column] for document in found]
    assert [document.cluster for document in found] == expected
    if column in ("picture", "sequence", "scene"):
        inside = [cluster.rpartition(".")[0].replace("/", "_") for cluster in expected]
        inside = expected if column == "sequence" else inside
        if column == "scene":
            frames = [int(document.doc_id.removeprefix("test-")) for document in found]
            assert expected == [f"kitchen_{frame // 6:04d}" for frame in frames]
        else:
            assert all(key in d.doc_id for key, d in zip(inside, found, strict=True))
