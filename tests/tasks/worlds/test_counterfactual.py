"""Documents drawn with another answer: that one fact changes, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from vlmbench.registry import catalogue
from vlmbench.spec import Condition, Generator, Located, TaskSpec
from vlmbench.tasks import apply_conditions, load_documents, obstacle
from vlmbench.tasks.worlds import WORLDS, counterfactual
from vlmbench.tasks.worlds._controls import NAMES, _single
from vlmbench.tasks.worlds._depth import _found
from vlmbench.tasks.worlds._render import look, render
from vlmbench.tasks.worlds._rows import _chosen, counterfactual_row, drawn_row
from vlmbench.tasks.worlds._world import Draw, Row
from vlmbench.types import Document, VlmbenchError

ABLE = ("depth", "art_style", "object_3d", "naming")
COUNT = 24
WHERE = {"seed": 0, "split": "test", "count": COUNT}
CHANGED = Condition.parse("counterfactual")


def pairs(name: str, count: int = COUNT) -> Iterator[tuple[int, Row, Row]]:
    """Yield documents as they are and with another answer, those that have none left out."""
    for index in range(count):
        changed = counterfactual_row(WORLDS[name], index=index, **WHERE)
        if changed is not None:
            yield index, drawn_row(WORLDS[name], index=index, **WHERE), changed


def draw_of(name: str, index: int) -> Draw:
    rng, gold, variant = _chosen(WORLDS[name], 0, "test", index, COUNT)
    return Draw(rng=rng, gold=gold, variant=variant, difficulty=0.5)


def moved(plain: Row, changed: Row, name: str) -> NDArray[np.bool_]:
    return np.asarray((plain[name] != changed[name]).any(axis=2))


def test_these_worlds_can():
    assert {name for name, world in WORLDS.items() if world.counterfactual} == set(ABLE)


@pytest.mark.parametrize("name", ABLE)
def test_question_and_choices_stay_and_another_choice_is_right(name):
    found = list(pairs(name, 12))
    assert len(found) >= 6
    for _, plain, changed in found:
        kept = {"doc_id", "question", "choices", "points", "choice_labels", "attribute"} & set(
            plain
        )
        assert {key: plain[key] for key in kept} == {key: changed[key] for key in kept}
        assert changed["gold"] != plain["gold"]
        assert set(changed) == set(plain)


def test_every_gold_becomes_every_other_alike():
    for name, golds in (("object_3d", 3), ("naming", 4)):
        found = {(plain["gold"], changed["gold"]) for _, plain, changed in pairs(name)}
        assert found == {(gold, (gold + 1) % golds) for gold in range(golds)}


# -- depth ------------------------------------------------------------------------------------


def test_the_point_that_is_nearer_now_is_the_other_one():
    for _, plain, changed in pairs("depth"):
        for row in (plain, changed):
            points = np.asarray(row["points"]).astype(int)
            depths = row["depth_1"][points[:, 1], points[:, 0]]
            assert row["gold"] == int(depths.argmin())
            assert abs(int(depths[0]) - int(depths[1])) > 400  # millimetres, 0.8 of the margin


def test_marked_things_show_where_they_did_in_the_size_they_had():
    overlaps, others = [], []
    for index, _, _ in pairs("depth", 12):
        scenes, points = _found(draw_of("depth", index))
        one, other = look(scenes.plain), look(scenes.swapped)
        for thing, (x, y) in enumerate(points.astype(int)):
            assert one.ids[y, x] == other.ids[y, x] == thing
            both = (one.ids == thing) & (other.ids == thing)
            overlaps.append(both.sum() / ((one.ids == thing) | (other.ids == thing)).sum())
        count = len(scenes.plain.things) // 2
        kept = [*range(2, count), *range(count + 2, 2 * count)]
        others += [scenes.plain.things[i] == scenes.swapped.things[i] for i in kept]
        for name in ("camera", "light", "floor", "backdrop"):
            assert getattr(scenes.plain, name) == getattr(scenes.swapped, name)
    assert all(others)
    assert np.median(overlaps) > 0.8
    assert min(overlaps) > 0.4


def test_a_document_whose_things_would_hide_one_another_has_none():
    found = [index for index, _, _ in pairs("depth")]
    assert COUNT // 2 < len(found) < COUNT


# -- styles, odd objects, names ---------------------------------------------------------------


def test_only_the_reference_changes_its_style():
    for _, plain, changed in pairs("art_style", 8):
        assert moved(plain, changed, "image_1").mean() > 0.5
        for name in ("image_2", "image_3"):
            assert not moved(plain, changed, name).any()
        assert plain["styles"][1 + plain["gold"]] == plain["styles"][0]
        assert changed["styles"][1 + changed["gold"]] == changed["styles"][0]
        # All tones are dealt out by rank over one palette: the colours are very nearly the same.
        one, other = (np.sort(row["image_1"].reshape(-1, 3), axis=0) for row in (plain, changed))
        assert np.abs(one.astype(int) - other).mean() < 1


def test_only_two_of_three_images_change_places():
    for _, plain, changed in pairs("object_3d", 12):
        differs = [moved(plain, changed, f"image_{place}").any() for place in (1, 2, 3)]
        kept = ({0, 1, 2} - {plain["gold"], changed["gold"]}).pop()
        assert differs == [place != kept for place in range(3)]


def test_only_the_named_object_changes():
    seen = set()
    for index, plain, changed in pairs("naming", 16):
        attribute, old = plain["attribute"], plain["label"]
        new = changed["label"]
        assert new == plain["choices"][changed["gold"]] != old
        swap = {old: new, new: old}
        names = {**NAMES, attribute: tuple(swap.get(name, name) for name in NAMES[attribute])}
        one, other = (_single(draw_of("naming", index).rng, held) for held in (NAMES, names))
        assert np.array_equal(changed["image_1"], render(other).rgb)
        kept = {"camera", "light", "floor", "backdrop"}
        assert all(getattr(one, name) == getattr(other, name) for name in kept)
        seen.add(attribute)
        if attribute == "shape":
            assert one.things[0].surface == other.things[0].surface
            continue
        differs, thing = moved(plain, changed, "image_1"), render(one).ids == 0
        assert not differs[~binary_dilation(thing, iterations=2)].any()  # edges are smoothed
        assert differs[thing].mean() > 0.9
    assert seen == {"shape", "colour"}


# -- as a condition ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Located[TaskSpec], tuple[Document, ...]]:
    (task,) = catalogue().select_tasks("depth")
    folder = tmp_path_factory.mktemp("data")
    return task, tuple(load_documents(task, "reported", folder, 8))


def test_a_condition_shows_the_other_answer_and_keeps_gold(built):
    task, documents = built
    shown = apply_conditions(documents, CHANGED, task=task)
    by_id = {document.doc_id: document for document in documents}
    assert 0 < len(shown) < len(documents)
    for document in shown:
        own = by_id[document.doc_id]
        assert document.gold == own.gold
        assert document.image_target == 1 - own.gold
        assert document.images != own.images
        assert document.encoder_images != own.encoder_images
        assert document.candidates == own.candidates
        assert document.row == own.row
    assert apply_conditions(documents, CHANGED, task=task, first=2) == shown[:2]


def test_data_that_was_drawn_otherwise_is_refused(built):
    task, documents = built
    other = replace(documents[0], images=documents[1].images)
    with pytest.raises(VlmbenchError, match="drawn differently here"):
        apply_conditions([other], CHANGED, task=task)


@pytest.mark.parametrize("name", ["pointing", "low_level_matching"])
def test_other_worlds_are_refused_with_the_reason(name, built):
    (task,) = catalogue().select_tasks(name)
    assert f"the world '{name}' does not draw" in (obstacle(built[1], CHANGED, task=task) or "")


def test_documents_that_were_not_drawn_are_refused(built):
    assert "not drawn here" in (obstacle(built[1], CHANGED) or "")


def test_a_document_of_another_world_is_not_found():
    generator = Generator(world="depth", test=4)
    with pytest.raises(VlmbenchError, match="no document of the world"):
        counterfactual(generator, "naming-test-00001")
