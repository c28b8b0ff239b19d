"""BLINK's rule for reading a letter: clear answers are read, doubtful ones are not guessed."""

from __future__ import annotations

from pathlib import Path

import pytest
from home import texts_read

from vlmbench.spec import Blink, Filters, TaskSpec, load_file
from vlmbench.tasks import load_documents

TASKS = Path(__file__).parents[3] / "tasks" / "hidden_in_plain_sight"


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("A", "A"),
        ("(B)", "B"),
        (" (C)\n", "C"),
        ("The answer is (D).", "D"),
        ("I choose (B), that is (B) and nothing else", "B"),
        ("(A) is on the left and (B) on the right.\n\nSo it is (B).", "B"),
        ("(A) and (B) both fit", None),
        ("(A) left, (B) right.\n\n(A) or (B), who knows", None),
        ("A lamp stands there", None),
        ("Answer: A", None),
        ("(E)", None),
        ("", None),
        ("(A)(B)", None),
    ],
)
def test_letters(home: Path, text: str, letter: str | None) -> None:
    task = load_file(TASKS / "blink_visual_correspondence_generate.yaml")
    assert isinstance(task.spec, TaskSpec)
    document = load_documents(task, "reported", home)[0]
    assert task.spec.answer_rule == Blink()
    bench = task.spec.bench.model_copy(update={"answer": Filters()})
    metadata = task.spec.metadata.model_copy(update={"vlmbench": bench})
    stock = task.spec.model_copy(update={"metadata": metadata})
    for spec in (task.spec, stock):  # lm-eval, which knows no rules, reads the same by a filter
        (vote,) = texts_read(spec, [document], [text])
        found = None if vote is None else document.choices[int(vote.argmax())]
        assert found == letter
