"""The picture in the README shows a document chosen by rule, and says who is right."""

from __future__ import annotations

import numpy as np
import pytest
from handmade import scored
from home import document as numbered
from matplotlib.text import Text
from PIL import Image

from vlmbench.diagnostics import Evidence
from vlmbench.report.cards._plots import example
from vlmbench.spec import Condition
from vlmbench.types import ChoiceScores, Document, VlmbenchError

GOLD = (0, 1, 1, 2)


def document(index: int) -> Document:
    images = [Image.new("RGB", (8, 8), colour) for colour in ("red", "red", "blue")]
    row = {"question": f"Which of the three is different in {index}?"}
    return numbered(index, *images, choices="ABC", doc_id=str(index), gold=GOLD[index], row=row)


def read(rows: list[list[float]], scale: str, failed: tuple[int, ...] = ()) -> ChoiceScores:
    n = len(rows)
    gone = np.isin(np.arange(n), failed)
    return scored(rows, GOLD[:n], scale=scale, ids="{}", failed=gone)


def evidence(encoder: list[list[float]], failed: tuple[int, ...] = ()) -> Evidence:
    # The model always says A, with probabilities .5, .3 and .2.
    prompted = read([list(np.log([0.5, 0.3, 0.2]))] * len(encoder), "logprob")
    own = Condition()
    return Evidence(
        model="made-up",
        task="object_3d",
        scores={
            ("prompted", own): prompted,
            ("encoder", own): read(encoder, "similarity", failed),
        },
    )


def texts(found: Evidence) -> set[str]:
    figure = example(found, [document(i) for i in range(4)])
    return {text.get_text() for text in figure.findobj(Text)}


ALL_RIGHT = [[-0.1, -0.8, -0.8], [-0.9, -0.4, -0.8], [-0.9, -0.5, -0.8], [-0.9, -0.8, -0.6]]


def test_the_first_document_that_only_the_encoder_gets_right_is_drawn() -> None:
    said = texts(evidence(ALL_RIGHT))
    assert "Which of the three is different in 1?" in said
    assert {"(A)", "(B) is right", "(C)"} <= said
    assert {"(B): right", "(A): wrong"} <= said
    assert {".10", ".60", ".20", ".50", ".30"} <= said  # 1 + score, and the probabilities


def test_a_tie_and_a_failed_document_are_passed_over() -> None:
    tied = [ALL_RIGHT[0], [-0.4, -0.4, -0.8], *ALL_RIGHT[2:]]
    assert "Which of the three is different in 2?" in texts(evidence(tied))
    said = texts(evidence(ALL_RIGHT, failed=(0, 1, 2)))
    assert "Which of the three is different in 3?" in said
    assert {"(C): right", ".40"} <= said


def test_without_such_a_document_there_is_no_picture() -> None:
    with pytest.raises(VlmbenchError, match="the model gets wrong"):
        texts(evidence([[-0.1, -0.8, -0.8]] * 4))


def test_choices_that_are_points_have_their_similarity_to_the_reference() -> None:
    cosines = [[0.9, 0.2, 0.1], [0.3, 0.8, -0.2], [0.1, 0.7, 0.2], [0.1, 0.2, 0.6]]
    images = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    row = {"question": "Which point is REF, " + "so that this takes a second line? " * 4}
    documents = [
        numbered(i, *images, choices="ABC", doc_id=str(i), gold=GOLD[i], row=row) for i in range(4)
    ]
    figure = example(evidence(cosines), documents)
    said = [text.get_text() for text in figure.findobj(Text)]
    assert {".30", ".80", ".00", "similarity to REF", "(B): right", "(B) is right"} <= set(said)
    lines = [text for text in said if text and text in row["question"]]
    assert " ".join(lines) == row["question"].strip()
    assert len(lines) > 1
    assert len(figure.axes[0].images) == 2
