"""Cheap rules on documents whose answer is planted for one rule, and for no other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from home import loaded_by
from PIL import Image

from vlmbench.metrics import accuracy
from vlmbench.plan import make_plan
from vlmbench.readouts import read_rule
from vlmbench.registry import catalogue
from vlmbench.report import rules_terminal
from vlmbench.run import Settings, execute
from vlmbench.spec import Condition, Rule, RuleName, load_data, load_file, rule_obstacle
from vlmbench.store import RunFolder
from vlmbench.tasks import ask, load_documents, rule_scores
from vlmbench.tasks.worlds import CHEAP_RULES, WORLDS
from vlmbench.tasks.worlds._rows import drawn_row
from vlmbench.types import Document, EncodedImage, Region, VlmbenchError

COUNT = 24
HEAD = """\
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{train: train.jsonl, test: test.jsonl}}}}
training_split: train
test_split: test
output_type: multiple_choice
doc_to_text: "{marks}{{{{ {question} }}}}"
doc_to_image: {columns}
doc_to_choice: [A, B]
doc_to_target: answer
metadata:
  vlmbench:
    ability: matching
    id_column: id
    regions: {regions}
"""
POINTS = """
      reference: {kind: point, image: 0, column: ref}
      choices: {kind: point, image: 1, column: points}
    markers: drawn"""
ODD = "{choices: {kind: image, images: [0, 1]}}"
LIKE = "{reference: {kind: image, images: [0]}, choices: {kind: image, images: [1, 2]}}"
PAIR = "[left, right]"


def picture(folder: Path, name: str, pixels: np.ndarray) -> str:
    Image.fromarray(pixels).save(folder / name)
    return name


def line(folder: Path, split: str, index: int) -> dict:
    """The right point is the lowest one, and its patch that of REF; nothing else tells."""
    rng = np.random.default_rng([index, split == "train"])
    left, right = rng.integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
    answer = index % 2
    ref, low, high = (20, 20), (10 + 20 * (index // 2 % 2), 30), (30 - 20 * (index // 2 % 2), 10)
    right[26:34, low[0] - 4 : low[0] + 4] = left[16:24, 16:24]
    right[6:14, high[0] - 4 : high[0] + 4] //= 3
    like, unlike = left.copy(), np.full_like(left, 9)
    name = f"{split}{index}"
    return {
        "id": name, "question": "Which?", "leak": f"Which? It is {'AB'[answer]}.",
        "left": picture(folder, f"{name}l.png", left),
        "right": picture(folder, f"{name}r.png", right),
        "first": picture(folder, f"{name}a.png", (like, unlike)[answer]),
        "second": picture(folder, f"{name}b.png", (unlike, like)[answer]),
        "ref": ref, "points": [low, high] if answer == 0 else [high, low],
        "choices": ["one", "two"], "answer": answer,
    }  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    for split in ("train", "test"):
        lines = [json.dumps(line(folder, split, index)) for index in range(COUNT)]
        (folder / f"{split}.jsonl").write_text("\n".join(lines))
    for name, columns, regions, question in (
        ("pointed", PAIR, POINTS, "question"),
        ("leaky", PAIR, POINTS, "leak"),
        ("like", "[left, first, second]", LIKE, "question"),
        ("odd", PAIR, ODD, "question"),
    ):
        marks = "<image>" * (columns.count(",") + 1)
        text = HEAD.format(
            name=name, columns=columns, regions=regions, question=question, marks=marks
        )
        (folder / f"{name}.yaml").write_text(text)
    return folder


def reached(home: Path, name: str, rule: RuleName) -> float:
    task = load_file(home / f"{name}.yaml")
    documents = load_documents(task, "reported", home)
    train = load_documents(task, "train", home) if rule == "text" else None
    held = ask(list(documents), task.spec, Condition())
    return accuracy(read_rule(held, Rule(name=rule), train).scores).value


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("pointed", "lower_point"),
        ("pointed", "patch_correlation"),
        ("pointed", "patch_colour"),
        ("like", "colour_histogram"),
        ("like", "thumbnail"),
        ("leaky", "text"),
    ],
)
def test_what_is_planted_is_found(home, name, rule):
    assert reached(home, name, rule) == 1.0


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("pointed", "first_choice"),  # each letter is right equally often
        ("pointed", "longest_choice"),  # all are of one length: a tie shares credit
        ("pointed", "central_point"),  # both points are equally far from the middle
        ("pointed", "nearest_position"),
        ("pointed", "text"),  # every question reads the same
        ("odd", "colour_histogram"),  # two images are equally unlike each other
        ("odd", "thumbnail"),
    ],
)
def test_what_has_nothing_to_go_by_is_at_chance_exactly(home, name, rule):
    assert reached(home, name, rule) == 0.5


def document_of(row: dict) -> Document:
    """A world's drawn row as the document that a task makes of it."""
    shown = sorted(name for name in row if name.startswith("image_"))
    plain = [row.get(name.replace("image", "unmarked"), row[name]) for name in shown]
    images = tuple(EncodedImage.from_pil(Image.fromarray(np.asarray(one))) for one in plain)
    count, last = len(row["choices"]), len(shown) - 1
    reference, candidates = None, ()
    if "points" in row:
        candidates = tuple(Region(image=last, kind="point", xy=tuple(p)) for p in row["points"])
        if "reference" in row:
            reference = Region(image=0, kind="point", xy=tuple(row["reference"]))
    elif len(shown) > 1:
        first = len(shown) - count
        reference = Region(image=0, kind="image") if first else None
        candidates = tuple(Region(image=i, kind="image") for i in range(first, len(shown)))
    return Document(
        doc_id=row["doc_id"], images=images, encoder_images=images, marked=False,
        choices=tuple("ABCD"[:count]), gold=row["gold"], reference=reference,
        candidates=candidates, row={"choices": row["choices"]},
    )  # fmt: skip


@pytest.mark.parametrize("world", ["depth", "low_level_matching", "art_style", "object_3d"])
def test_documents_score_as_the_worlds_own_rows_do(world):
    compared = 0
    for index in range(3):
        row = drawn_row(WORLDS[world], seed=0, split="test", index=index, count=3)
        document = document_of(row)
        for rule, function in CHEAP_RULES.items():
            expected = function(row)
            if expected is not None:
                np.testing.assert_array_equal(rule_scores(rule, document), expected)
                compared += 1
    assert compared >= 3 * 4


def test_every_rule_ships_as_a_model():
    rules = {model.spec.rule for model in catalogue().select_models("rules")}
    assert rules == {*CHEAP_RULES, "text"}


@pytest.mark.parametrize(
    ("rule", "name", "reason"),
    [
        ("lower_point", "odd", "compares points, and the task's choices are not points"),
        (
            "nearest_position",
            "like",
            "compares points with a reference point, and the task has no such points",
        ),
        ("thumbnail", "pointed", "compares whole images, and the task's choices are not images"),
        ("first_choice", "odd", None),
        ("text", "odd", None),
    ],
)
def test_a_rule_without_anything_to_go_by_says_so(home, rule, name, reason):
    told = rule_obstacle(rule, load_file(home / f"{name}.yaml").spec)
    assert told == (reason and f"rule {rule!r} {reason}")


def test_text_needs_a_training_split(home):
    task = load_file(home / "pointed.yaml").spec
    told = rule_obstacle("text", task.model_copy(update={"training_split": None}))
    assert told == "rule 'text' learns from a training split, and the task has none"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: m\n", "has no checkpoint"),
        ("model: m\ncheckpoint: c\nrule: text\n", "`checkpoint` does not apply"),
        ("model: m\nrule: luck\n", "luck|first_choice"),
    ],
)
def test_what_does_not_fit_a_rule_is_refused(tmp_path, text, message):
    with pytest.raises(VlmbenchError, match=message):
        load_data(yaml.safe_load(text), tmp_path / "m.yaml")


def test_a_rule_cannot_be_asked_lm_evals_tasks():
    from vlmbench.models import load_backend

    (model,) = catalogue().select_models("rule-text")
    with pytest.raises(VlmbenchError, match="'rule-text' is a cheap rule and cannot be asked"):
        load_backend(model, "cpu", "auto")


class Silent:
    def start(self, label: str, total: int):
        return lambda done: None

    def expect(self, answers: int) -> None:
        pass


def run(home: Path, output: Path, *names: str):
    found = catalogue()
    (study,) = found.select_studies("gap")
    tasks = [load_file(home / f"{name}.yaml") for name in names]
    plan = make_plan(found.select_models("rules"), tasks, study, count=lambda task: None)
    settings = Settings(output=output, data_root=home, cache=output / "cache", device="cpu")
    return plan, execute(plan, settings, Silent())


def test_rules_are_cells_like_any_other(home, tmp_path):
    plan, ran = run(home, tmp_path / "run", "pointed", "odd")
    rows = ran.rows
    assert {cell.readout.label for cell in plan.cells} == {"rule"}
    assert {cell.forward_passes for cell in plan.cells} == {0}
    assert "rule-lower-point/pointed/rule-own" in {cell.name for cell in plan.cells}
    assert any(skipped.reason.startswith("rule 'thumbnail'") for skipped in plan.skipped)
    found = {(row.model, row.task): row.value for row in rows if row.metric == "accuracy"}
    assert found["rule-lower-point", "pointed"] == 1.0
    assert found["rule-first-choice", "odd"] == 0.5
    assert ran.manifest.models["rule-text"].rule == "text"
    back = RunFolder(tmp_path / "run").read()
    assert back.manifest == ran.manifest
    assert [row.to_json() for row in back.rows] == [row.to_json() for row in rows]
    assert json.loads((tmp_path / "run" / "results.json").read_text())["results"] == {}
    heading, best, *_ = rules_terminal(rows).rows
    assert [cell.plain for cell in heading] == ["pointed"]
    assert best[3].startswith("1.000 [")


def test_other_training_data_is_learned_from_again(home, tmp_path):
    run(home, tmp_path / "run", "leaky")
    records = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.parquet")}
    kept = (home / "train.jsonl").read_text()
    try:
        (home / "train.jsonl").write_text(kept.replace("It is", "It was"))
        run(home, tmp_path / "run", "leaky")
    finally:
        (home / "train.jsonl").write_text(kept)
    again = [
        path.parent.parent.name for path, at in records.items() if path.stat().st_mtime_ns > at
    ]
    assert again == ["rule-text"]


def test_rules_know_no_torch(home):
    code = f"""
from vlmbench.spec import load_file
from vlmbench.tasks import FittedText, load_documents, rule_scores
from vlmbench.types import Asked
task = load_file({str(home / "pointed.yaml")!r})
train = load_documents(task, "train", {str(home)!r})
print(rule_scores("patch_colour", train[0]))
print(FittedText.fit(train).score(Asked(document=train[0], text="Which?")))
"""
    assert loaded_by(code) == set()
