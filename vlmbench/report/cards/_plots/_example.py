"""The picture in the README: a document, what the encoder makes of it, what the model answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vlmbench.diagnostics import Evidence
from vlmbench.metrics import ENCODER, PROMPTED, credit, kept, probabilities, rate
from vlmbench.report.cards._plots._style import GREY, INK, PALE, settings, sheet
from vlmbench.types import ChoiceScores, Document, VlmbenchError

_LETTERS = "ABCDEFGH"
_RIGHT, _WRONG = "#1f4e79", "#b8450b"
# Inches: column of names, an image, space after it, column of verdicts; question, letters, a row.
_NAMES, _SIDE, _SPACE, _VERDICTS = 2.15, 1.35, 0.25, 1.3
_TOP, _LINE, _CAPTION, _ROW = 0.5, 0.22, 0.32, 0.62
_LETTERS_PER_INCH = 10.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Reader:
    """Somebody who answered: who, what was measured, and (choices,) values of at least 0."""

    name: str
    measure: str
    values: NDArray[np.float64]


def example(evidence: Evidence, documents: Sequence[Document]) -> Figure:
    """Draw the first document that the encoder gets right and the model gets wrong.

    Where the task's choices are its images, its probe is `odd_one_out`, whose score is minus the
    mean cosine similarity of an image to the others, drawn as 1 minus that similarity. Where they
    are points, it is `keypoint`, whose score is a point's cosine similarity to the reference.

    Args:
        evidence: What a run recorded about the model on the task, prompted and encoder.
        documents: The documents that were run; others may be among them.

    Raises:
        VlmbenchError: If one of the two readouts is missing, or there is no such document.
    """
    prompted, encoder = kept(evidence.need(PROMPTED)), kept(evidence.need(ENCODER))
    chosen = _first_missed(prompted, encoder)
    (document,) = (document for document in documents if document.doc_id == chosen)
    scores = encoder.scores[encoder.doc_ids.index(chosen)]
    of_images = len(document.images) == len(document.choices)
    return _drawn(
        document,
        (
            _Reader(
                name="The model's own encoder",
                measure="distance to the other two" if of_images else "similarity to REF",
                values=1 + scores if of_images else scores.clip(min=0),
            ),
            _Reader(
                name=f"The model ({evidence.model})",
                measure="probability of the answer",
                values=probabilities(prompted)[prompted.doc_ids.index(chosen)],
            ),
        ),
    )


def _first_missed(prompted: ChoiceScores, encoder: ChoiceScores) -> str:
    """Return the id of the first document that the encoder gets right and the model gets wrong."""
    asked = dict(zip(prompted.doc_ids, credit(prompted), strict=True))
    for doc_id, earned in zip(encoder.doc_ids, credit(encoder), strict=True):
        if earned == 1 and asked.get(doc_id) == 0:
            return doc_id
    raise VlmbenchError("there is no document that the encoder gets right and the model gets wrong")


def _drawn(document: Document, readers: Sequence[_Reader]) -> Figure:
    """Draw the question, its images, the choices' letters, and below them a row for each reader.

    Choices that are images stand below them; others share the width of the images.
    """
    columns, images = len(document.choices), document.images
    wide = _NAMES + columns * (_SIDE + _SPACE) + _VERDICTS
    question = wrap(str(document.row["question"]), int(_LETTERS_PER_INCH * wide))
    top = _TOP + (len(question) - 1) * _LINE
    side = columns / len(images) * (_SIDE + _SPACE) - _SPACE
    below = top + side + _CAPTION
    with settings():
        figure, page = sheet(wide, below + len(readers) * _ROW)
        for line, text in enumerate(question):
            y = 0.24 + line * _LINE
            page.text(0.12, y, text, fontsize=10.5, fontweight="bold", va="center")
        for place, image in enumerate(images):
            x = _NAMES + place * (side + _SPACE)
            page.imshow(image.decode(), extent=(x, x + side, top + side, top), aspect="auto")
        for place in range(columns):
            right = place == document.gold
            page.text(
                _left(place) + _SIDE / 2,
                below - _CAPTION / 2,
                f"({_LETTERS[place]}) is right" if right else f"({_LETTERS[place]})",
                fontsize=9,
                fontweight="bold" if right else "normal",
                ha="center",
                va="center",
            )
        for row, reader in enumerate(readers):
            _answer(page, below + row * _ROW, wide, reader, document.gold)
    return figure


def _left(place: int) -> float:
    """Return where the column of a choice begins, in inches."""
    return _NAMES + place * (_SIDE + _SPACE)


def _answer(page: Axes, y: float, wide: float, reader: _Reader, gold: int) -> None:
    """Draw a reader's name, a bar below every image, and whether the answer is right."""
    answer, middle = int(reader.values.argmax()), y + _ROW / 2
    right = answer == gold
    colour = _RIGHT if right else _WRONG
    page.plot([0.12, wide - 0.12], [y, y], color=PALE, linewidth=0.8)
    page.text(0.12, y + 0.22, reader.name, fontsize=9, fontweight="bold", va="center")
    page.text(0.12, y + 0.42, reader.measure, fontsize=8, color=GREY, va="center")
    for place, value in enumerate(reader.values):
        length = (_SIDE - 0.42) * float(value / reader.values.max())
        face = colour if place == answer else PALE
        page.barh(middle, length, 0.24, left=_left(place), color=face, edgecolor=INK, linewidth=0.6)
        page.text(
            _left(place) + length + 0.06,
            middle,
            rate(float(value), 2),
            fontsize=8.5,
            fontweight="bold" if place == answer else "normal",
            va="center",
        )
    x, says = wide - _VERDICTS + 0.13, f"({_LETTERS[answer]}): {'right' if right else 'wrong'}"
    page.plot(x, middle, "o" if right else "x", markersize=9, color=colour, markeredgewidth=2.4)
    page.text(x + 0.2, middle, says, fontsize=10, fontweight="bold", va="center", color=colour)
