"""Choices in another order or by other names: what is shown, what is scored, and back again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from home import Home, noise, task_spec
from home import document as numbered
from hypothesis import given
from hypothesis import strategies as st

from vlmbench.readouts import Answer, in_canonical_order, make_reading
from vlmbench.registry import catalogue
from vlmbench.spec import Condition, Located, TaskSpec, doc_text, load_file
from vlmbench.tasks import ask, check_documents, load_documents, order_obstacle
from vlmbench.types import Asked, Document, Region, VlmbenchError

LISTED = (
    "<image>\nTwo points are labeled A and B. Which?\n"
    "{% for choice in choices %}({{ 'ABCDE'[loop.index0] }}) {{ choice }}\n"
    "{% endfor %}Answer with the letter:"
)
WORDS = ("red", "blue", "green", "a cup of tea", "B is closer")


def document(words: tuple[str, ...] = WORDS, gold: int = 0, **more: Any) -> Document:
    letters = "ABCDE"[: len(words)]
    row = {"choices": list(words), "answer": gold}
    return numbered(0, choices=letters, gold=gold, row=row, **more)  # type: ignore[no-any-return]


def task(text: str = LISTED, choices: str = "ABCDE", **bench: Any) -> TaskSpec:
    return task_spec(doc_to_text=text, doc_to_choice=list(choices), bench=bench)


def asked(label: str, one: Document, spec: TaskSpec | None = None) -> Asked:
    return ask([one], spec or task(), Condition.parse(label))[0]


@pytest.mark.parametrize("rotation", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "text",
    [LISTED, LISTED.replace("({{", "{{").replace("}})", "}}."), LISTED.replace("Answer", "\nSay")],
)
def test_a_rotated_prompt_is_that_of_a_document_whose_choices_are_rotated(
    rotation: int, text: str
) -> None:
    words = WORDS[rotation:] + WORDS[:rotation]
    expected = doc_text(task(text), document(words).row)
    assert asked(f"own+order-{rotation}", document(), task(text)).text == expected


@pytest.mark.parametrize("name", ["naming", "depth", "art_style", "low_level_matching"])
def test_so_it_is_for_shipped_tasks(name: str, tmp_path: Path) -> None:
    spec = catalogue().tasks[name].spec
    (one,) = load_documents(catalogue().tasks[name], "reported", tmp_path, 1)
    words = one.row["choices"]
    for rotation in range(1, len(words)):
        turned = {**one.row, "choices": words[rotation:] + words[:rotation]}
        got = asked(f"own+order-{rotation}", one, spec)
        assert got.text == doc_text(spec, turned)
        assert turned["choices"][got.document.gold] == words[one.gold]


def test_blinks_own_prompt_is_rotated_too() -> None:
    """Its choices are `(A)`, and its list stands in the data."""
    prompt = "Which?\nSelect from these.\n(A) Point A\n(B) Point B\n"
    spec = task_spec(doc_to_text="<image>{{ prompt }}", doc_to_choice=["(A)", "(B)"])
    one = numbered(0, choices=("(A)", "(B)"), row={"prompt": prompt})
    got = asked("own+order-1", one, spec)
    assert got.text == "<image>Which?\nSelect from these.\n(A) Point B\n(B) Point A\n"
    assert (got.order, got.document.gold) == ((1, 0), 1)


def test_gold_and_candidates_go_along_and_letters_stay() -> None:
    places = tuple(Region(image=0, kind="point", xy=(i, i)) for i in range(5))
    got = asked("own+order-2", document(gold=3, candidates=places))
    assert got.order == (2, 3, 4, 0, 1)
    assert got.document.gold == 1
    assert got.document.candidates == (*places[2:], *places[:2])
    assert got.document.choices == tuple("ABCDE")
    # Canonical choice 0 now stands at the fourth place, so that (D) is scored for it.
    assert got.scored == ("D", "E", "A", "B", "C")
    plain = asked("own", document(gold=3))
    assert (plain.order, plain.scored) == ((), tuple("ABCDE"))


@given(
    st.lists(st.integers(2, 5), min_size=1, max_size=6),
    st.integers(1, 4),
    st.integers(0, 10**6),
)
def test_rotation_is_undone_exactly(counts: list[int], rotation: int, seed: int) -> None:
    """Scores of contents, read at the places where they are shown, come back to their choices."""
    rng = np.random.default_rng(seed)
    documents = [
        replace(document(WORDS[:n], gold=int(rng.integers(n))), doc_id=f"d{i}")
        for i, n in enumerate(counts)
    ]
    held = [rng.normal(size=n) for n in counts]
    values = [dict(zip(WORDS, row, strict=False)) for row in held]
    plain = make_reading(documents, [Answer(scores=row) for row in held], "logprob")
    questions = ask(documents, task(), Condition.parse(f"own+order-{rotation}"))
    shown = [
        Answer(scores=np.array([worth[word] for word in listed(one.text)]))
        for one, worth in zip(questions, values, strict=True)
    ]
    read = make_reading([one.document for one in questions], shown, "logprob")
    back = in_canonical_order(read, questions)
    assert np.array_equal(back.scores.scores, plain.scores.scores)
    assert np.array_equal(back.scores.gold, plain.scores.gold)
    moved = [n for n in counts if rotation % n]
    assert np.array_equal(read.scores.scores, plain.scores.scores) == (not moved)


def listed(text: str) -> list[str]:
    return [line[4:] for line in text.splitlines() if line.startswith("(")]


def test_a_reading_in_the_plain_order_is_left_as_it_is() -> None:
    one = document()
    reading = make_reading([one], [Answer(scores=np.arange(5.0))], "logprob")
    assert in_canonical_order(reading, [asked("own", one)]) is reading


@pytest.mark.parametrize(
    "text",
    [
        "<image>Which, A or B?",
        "<image>\n(A) red (B) blue\n(C) c\n(D) d\n(E) e",  # two on a line
        "<image>\n(A) red\n(C) c\n(B) blue\n(D) d\n(E) e",
        "<image>\n(A) red\n(B) \n(C) c\n(D) d\n(E) e",
        "\n".join(["<image>", *(f"({letter}) x" for letter in "ABCDEABCDE")]),  # which list?
    ],
)
def test_what_lists_no_choices_line_by_line_cannot_be_rotated(text: str) -> None:
    spec, order = task(text), Condition.parse("own+order-1")
    assert "does not list its choices line by line" in str(
        order_obstacle([document()], spec, order)
    )
    with pytest.raises(VlmbenchError, match="does not list its choices"):
        asked("own+order-1", document(), spec)
    assert order_obstacle([document()], spec, Condition()) is None


def test_an_order_that_no_document_has_is_left_out() -> None:
    spec = task_spec(doc_to_text=LISTED, doc_to_choice="letters")
    held = [document(WORDS[:n]) for n in (2, 3)]
    told = [order_obstacle(held, spec, Condition.parse(f"own+order-{r}")) for r in (1, 2, 3)]
    assert told[:2] == [None, None]
    assert "more than 3 choices" in str(told[2])


TEXTS = {"doc_to_text": "<image>Which is it?", "doc_to_choice": "choices"}


def test_texts_are_asked_and_scored_in_place_of_letters() -> None:
    got = asked("own+texts", document(gold=2), task(texts=TEXTS))
    assert got.text == "<image>Which is it?"
    assert got.document.choices == WORDS
    assert (got.document.gold, got.order) == (2, ())


def test_a_paraphrase_keeps_choices_and_loses_images_under_none() -> None:
    spec = task(paraphrases=["Image: <image>\nWhat?"])
    assert asked("own+paraphrase-1", document(), spec).text == "Image: <image>\nWhat?"
    assert asked("none+paraphrase-1", document(), spec).text == "What?"


def load(folder: Path, **bench: Any) -> Located[TaskSpec]:
    home = Home(folder)
    rows = [
        {"image": home.image(f"{i}.png", noise(i)), "question": "Which?", "answer": i,
         "words": ["red", "blue"] if i else ["red", "blue", "green"], "images": 1 + i}
        for i in range(2)
    ]  # fmt: skip
    return load_file(home.task("mine", rows, bench=bench))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("bench", "words"),
    [
        ({"paraphrases": ["{% for i in range(images) %}<image>{% endfor %}?"]},
         "document 'test-1': the prompt has 2 <image> for 1 images"),
        ({"texts": {"doc_to_text": "<image>", "doc_to_choice": "words"}},
         "document 'test-0': doc_to_choice: ['red', 'blue', 'green'] for the 2 choices"),
        ({"letters": {"doc_to_text": "<image>{{ words.x }}", "doc_to_choice": ["C", "D"]}},
         "document 'test-0': doc_to_text: the template fails"),
    ],
)  # fmt: skip
def test_wordings_are_checked_for_every_document_before_a_model_is_loaded(
    tmp_path: Path, bench: dict[str, Any], words: str
) -> None:
    documents = load_documents(load(tmp_path, **bench), "reported", tmp_path)
    with pytest.raises(VlmbenchError) as caught:
        check_documents(documents)
    assert words in str(caught.value)


def test_a_paraphrase_leaves_the_digest_of_the_documents_alone(tmp_path: Path) -> None:
    plain = check_documents(load_documents(load(tmp_path), "reported", tmp_path))
    more = load(tmp_path, paraphrases=["<image>Say: {{ question }}"])
    assert check_documents(load_documents(more, "reported", tmp_path)) == plain
