"""Whose images' states a document is given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from home import document, noise, task_spec

from vlmbench.spec import Condition
from vlmbench.tasks import apply_conditions, obstacle
from vlmbench.tasks._donors import donors
from vlmbench.types import Document

OTHER, SELF = Condition.parse("own+patch-other-0.5"), Condition.parse("own+patch-self-0.5")


def held(n: int, *, same_question: bool = True, size: int = 8) -> list[Document]:
    words = ["which?"] * n if same_question else [f"which of {i}?" for i in range(n)]
    return [
        document(i, noise(i, (size, size)), row={"question": words[i], "answer": i % 2})
        for i in range(n)
    ]


@pytest.fixture
def task() -> Any:
    return SimpleNamespace(spec=task_spec())


def test_nobody_lends_to_itself_or_to_the_same_gold_or_to_another_size():
    documents = [*held(9), document(9, noise(9, (16, 8))), document(10, noise(10, (16, 8)))]
    found = donors(documents, np.random.default_rng(0))
    for one, place in zip(documents, found, strict=True):
        assert place is not None
        other = documents[place]
        assert other.gold != one.gold
        assert other.images[0].size == one.images[0].size
    assert found == donors(documents, np.random.default_rng(0))
    assert found != donors(documents, np.random.default_rng(1))


def test_one_gold_for_all_leaves_nobody_to_lend():
    alike = [document(i, noise(i, (8, 8)), gold=1) for i in range(3)]
    assert donors(alike, np.random.default_rng(0)) == [None] * 3
    assert "another gold" in (obstacle(alike, OTHER) or "")
    assert obstacle(alike, SELF) is None
    assert obstacle(held(2), OTHER) is None


def test_a_document_to_which_nobody_can_lend_is_left_out(task):
    lone = document(7, noise(7, (16, 8)))
    shown = apply_conditions([*held(4), lone], OTHER, task=task)
    assert [one.doc_id for one in shown] == ["d0", "d1", "d2", "d3"]
    assert len(apply_conditions([*held(4), lone], SELF, task=task)) == 5


def test_a_document_has_the_images_and_the_gold_of_its_lender(task):
    documents = held(6)
    shown = apply_conditions(documents, OTHER, task=task)
    lender = {one.images: one for one in documents}
    for one, own in zip(shown, documents, strict=True):
        assert one.images == own.images
        assert one.others != own.images
        assert one.image_target == lender[one.others].gold == 1 - one.gold
    assert apply_conditions(documents, OTHER, task=task, first=2) == shown[:2]


def test_letters_of_another_question_are_no_target(task):
    shown = apply_conditions(held(6, same_question=False), OTHER, task=task)
    assert {one.image_target for one in shown} == {-1}
    assert all(one.others for one in shown)
    assert {one.image_target for one in apply_conditions(held(6), OTHER)} == {-1}


@pytest.mark.parametrize(
    "label", ["own+patch-random-0", "own+patchlast-self-1", "blank+patch-other-0"]
)
def test_nothing_is_right_for_what_shows_no_answer(label, task):
    shown = apply_conditions(held(6), Condition.parse(label), task=task)
    assert {one.image_target for one in shown} == {-1}


def test_the_images_lent_are_those_that_a_condition_shows(task):
    shown = apply_conditions(held(4), Condition.parse("blur-0.5+patch-other-0"), task=task)
    images = {one.images for one in shown}
    assert {one.others for one in shown} <= images
    assert images.isdisjoint({one.images for one in held(4)})


def test_the_own_images_are_lent_where_that_is_said(task):
    for one in apply_conditions(held(3), SELF, task=task):
        assert one.others == one.images
