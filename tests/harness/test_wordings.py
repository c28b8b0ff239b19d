"""Other forms of a question are what stock lm-eval renders of a file, or a row, that says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from home import Home, noise

from vlmbench.harness._tasks import our_task
from vlmbench.spec import Condition, Located, TaskSpec, load_file
from vlmbench.tasks import ask, load_documents

OWN = (
    "<image>\n{{ question }}\n{% for choice in choices %}({{ 'ABC'[loop.index0] }}) {{ choice }}\n"
    "{% endfor %}Answer with the letter:"
)
OTHER = "<image>\nSay it again: {{ question }}\n{{ choices | join(', ') }}?"
TEXTS = {"doc_to_text": "<image>\n{{ question }}\n- {{ choices | join('\n- ') }}",
         "doc_to_choice": "{{ choices }}"}  # fmt: skip
CHOICES = (["a cup", "two cups", "(B) or not"], ["red", "blue", "green"], ["x", "A", "B"])


def located(folder: Path, name: str, **keys: Any) -> Located[TaskSpec]:
    home = Home(folder)
    rows = [
        {"image": home.image(f"{i}.png", noise(i)), "question": f"Which {i}?", "answer": i,
         "choices": words}
        for i, words in enumerate(CHOICES)
    ]  # fmt: skip
    asked = {"doc_to_text": OWN, "doc_to_choice": ["A", "B", "C"]} | keys
    return load_file(home.task(name, rows, **asked))  # type: ignore[return-value]


@pytest.mark.parametrize("rotation", [1, 2])
def test_an_order_is_a_row_whose_choices_are_rotated(tmp_path: Path, rotation: int) -> None:
    task = located(tmp_path, "own")
    stock = our_task(task, tmp_path)
    documents = list(load_documents(task, "reported", tmp_path))
    questions = ask(documents, task.spec, Condition.parse(f"own+order-{rotation}"))
    for one, row in zip(questions, stock.test_docs(), strict=True):
        words = row["choices"]
        turned = {**row, "choices": words[rotation:] + words[:rotation]}
        assert one.text == stock.doc_to_text(turned)
        right = words[stock.doc_to_target(row)]
        assert turned["choices"][one.document.gold] == right


@pytest.mark.parametrize(
    ("label", "keys"),
    [("paraphrase-1", {"doc_to_text": OTHER}), ("texts", TEXTS)],
)
def test_a_wording_is_a_file_with_these_keys(
    tmp_path: Path, label: str, keys: dict[str, Any]
) -> None:
    task = located(tmp_path, "own", bench={"paraphrases": [OTHER], "texts": TEXTS})
    stock = our_task(located(tmp_path, "other", **keys), tmp_path)
    documents = list(load_documents(task, "reported", tmp_path))
    questions = ask(documents, task.spec, Condition.parse(f"own+{label}"))
    for one, row in zip(questions, stock.test_docs(), strict=True):
        assert one.text == stock.doc_to_text(row)
        assert list(one.document.choices) == stock.doc_to_choice(row)
        assert one.document.gold == stock.doc_to_target(row)
