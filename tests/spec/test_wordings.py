"""Other wordings of a task: checked as its own prompt is, and refused where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from home import Home, task_keys, task_spec

from vlmbench.plan._candidate import Candidate
from vlmbench.registry import catalogue
from vlmbench.spec import (
    Blink,
    Condition,
    Encoder,
    Hints,
    Located,
    ModelSpec,
    Prompted,
    Rule,
    TaskSpec,
    check_columns,
    doc_choices,
    doc_text,
    load_file,
    worded,
    wordings,
)
from vlmbench.types import VlmbenchError

ROW = {"question": "Which?", "words": ["red", "blue"], "answer": 1}
TEXTS = {"doc_to_text": "<image>{{ question }} red or blue?", "doc_to_choice": "words"}
LISTED = "<image>{{ question }}\n(A) {{ words[0] }}\n(B) {{ words[1] }}\nAnswer:"


def load(folder: Path, **bench: Any) -> Located[TaskSpec]:
    path = Home(folder).write("t.yaml", task_keys(bench=bench, doc_to_text=LISTED))
    return load_file(path)  # type: ignore[return-value]


def test_a_paraphrase_replaces_the_prompt_and_texts_the_choices_too() -> None:
    task = task_spec(bench={"paraphrases": ["<image>Say: {{ question }}"], "texts": TEXTS})
    reworded = worded(task, Condition.parse("own+paraphrase-1").text)
    assert doc_text(reworded, ROW) == "<image>Say: Which?"
    assert doc_choices(reworded, ROW) == ("A", "B")
    other = worded(task, Condition.parse("own+texts").text)
    assert doc_text(other, ROW) == "<image>Which? red or blue?"
    assert doc_choices(other, ROW) == ("red", "blue")
    for label in ("own", "own+order-1", "own+hint-wrong-weak"):
        assert worded(task, Condition.parse(label).text) is task
    assert [keys[2:] for keys, _ in wordings(task)] == [("paraphrases", 0), ("texts",)]


@pytest.mark.parametrize(
    ("bench", "field", "words"),
    [
        ({"paraphrases": ["<image>{{ question }"]}, "paraphrases.0", "not valid Jinja"),
        ({"paraphrases": ["<image>a", "which?"]}, "paraphrases.1", "0 `<image>` for the 1"),
        ({"paraphrases": ["<image><image>{{ question }}"]}, "paraphrases.0", "2 `<image>`"),
        ({"texts": {**TEXTS, "doc_to_text": "{{"}}, "texts.doc_to_text", "not valid Jinja"),
        ({"texts": {**TEXTS, "doc_to_text": "red?"}}, "texts.doc_to_text", "0 `<image>`"),
        ({"texts": {**TEXTS, "doc_to_choice": ["red"]}}, "texts.doc_to_choice", "1 choices for"),
        ({"texts": {**TEXTS, "doc_to_choice": ["a", "a"]}}, "texts.doc_to_choice", "twice"),
        ({"texts": {"doc_to_text": "<image>"}}, "texts", "`doc_to_choice` is missing"),
    ],
)
def test_what_is_wrong_with_a_wording_is_found_at_load(
    tmp_path: Path, bench: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(VlmbenchError) as caught:
        load(tmp_path, **bench)
    assert f"metadata.vlmbench.{field}" in str(caught.value)
    assert words in str(caught.value)
    assert "t.yaml:" in str(caught.value)


def test_undeclared_columns_of_wordings_are_named(tmp_path: Path) -> None:
    other = {**TEXTS, "doc_to_choice": "{{ wrods }}"}
    task = load(tmp_path, paraphrases=["<image>{{ qestion }}"], texts=other)
    told = [str(problem) for problem in check_columns(task, ["image", *ROW])]
    assert ["`qestion`" in told[0], "`wrods`" in told[1]] == [True, True]
    assert "paraphrases.0" in told[0]
    assert "texts.doc_to_choice" in told[1]
    assert "Did you mean `question`?" in told[0]
    sound = load(tmp_path, paraphrases=["<image>{{ question }}"], texts=TEXTS)
    assert check_columns(sound, ["image", *ROW]) == []


def candidate(tmp_path: Path, **keys: Any) -> Candidate:
    path = Home(tmp_path).write("m.yaml", {"model": "m", **(keys or {"checkpoint": "nowhere"})})
    located: Located[ModelSpec] = load_file(path)  # type: ignore[assignment]
    return Candidate(located)


def obstacle(tmp_path: Path, task: TaskSpec, label: str, **keys: Any) -> str | None:
    model = candidate(tmp_path, **keys)
    return Prompted().obstacle(model, task, Condition.parse(label), Hints())


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("own+paraphrase-1", None),
        ("own+paraphrase-2", "declares 1 paraphrases (key `metadata.vlmbench.paraphrases`)"),
        ("own+texts", None),
        ("own+letters", "does not say how else it is asked by letters"),
        ("own+order-1", None),
        ("own+order-2", "has 2 choices, so `order-2` repeats an earlier order"),
        ("markers-blue", "has no markers that vlmbench drew"),
    ],
)
def test_a_form_that_a_task_does_not_have_is_skipped_with_the_reason(
    tmp_path: Path, label: str, reason: str | None
) -> None:
    task = task_spec(bench={"paraphrases": ["<image>a"], "texts": TEXTS})
    found = obstacle(tmp_path, task, label)
    assert found is None if reason is None else reason in str(found)


@pytest.mark.parametrize("label", ["own+order-1", "own+letters", "own+texts"])
def test_free_text_has_no_choices_to_ask_otherwise(tmp_path: Path, label: str) -> None:
    task = task_spec(doc_to_choice=None, output_type="generate_until")
    assert "free text" in str(obstacle(tmp_path, task, label))


def test_where_a_model_writes_a_rule_must_know_the_other_choices(tmp_path: Path) -> None:
    """BLINK's rule would read none of them, and every answer would count as wrong."""
    written = {"output_type": "generate_until", "bench": {"texts": TEXTS}}
    assert obstacle(tmp_path, task_spec(**written), "own+texts") is None
    told = {**written["bench"], "answer": "blink"}
    task = task_spec(output_type="generate_until", bench=told)
    assert task.answer_rule == Blink()
    assert "the rule `blink`" in str(obstacle(tmp_path, task, "own+texts"))
    assert obstacle(tmp_path, task, "own") is None
    scored = task_spec(bench=told)  # by likelihood, unless the model can only write
    assert obstacle(tmp_path, scored, "own+texts") is None
    server = {"backend": "openai", "checkpoint": "gpt", "server": {"base_url": "https://a.org"}}
    assert "the rule `blink`" in str(obstacle(tmp_path, scored, "own+texts", **server))


def test_rules_and_encoders_are_not_asked_what_they_do_not_read(tmp_path: Path) -> None:
    rule = candidate(tmp_path, rule="first_choice")
    asked = (rule, task_spec(), Condition.parse("own+paraphrase-1"), Hints())
    assert "declares no paraphrases" in str(Rule(name="first_choice").obstacle(*asked))
    task = catalogue().tasks["depth"]
    model = Candidate(catalogue().models["tiny-clip"])
    for label, sees, reason in (
        ("markers-blue", "clean", "does not see how they look"),
        ("own+paraphrase-1", "clean", "does not read the prompt"),
    ):
        told = Encoder(sees=sees).obstacle(model, task.spec, Condition.parse(label), Hints())  # type: ignore[arg-type]
        assert reason in str(told)
    points = catalogue().tasks["low_level_matching"]
    marked = Encoder(sees="marked")
    assert marked.obstacle(model, points.spec, Condition.parse("markers-blue"), Hints()) is None


OURS = (
    "naming", "pointing", "depth", "semantic_correspondence", "low_level_matching",
    "object_affordance", "art_style", "object_3d", "da2k_depth", "nyuv2", "funkpoint_affordance",
    "hpatches_matching", "spair71k_correspondence", "mochi",
)  # fmt: skip


@pytest.mark.parametrize("name", OURS)
def test_tasks_in_our_words_have_four_paraphrases_and_texts(name: str) -> None:
    task = catalogue().tasks[name].spec
    texts = {task.doc_to_text, *task.bench.paraphrases}
    assert len(texts) == 5
    assert task.bench.texts is not None
    images = {text.count("<image>") for text in (*texts, task.bench.texts.doc_to_text)}
    assert len(images) == 1


@pytest.mark.parametrize("name", ["blink_art_style", "cvbench_depth"])
def test_tasks_in_the_datas_own_words_have_none(name: str) -> None:
    assert catalogue().tasks[name].spec.bench.paraphrases == ()
