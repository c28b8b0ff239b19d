"""What conditions do to images and regions: nothing at strength 0, the same whatever the order."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vlmbench.spec import GREY, IMAGE_CHANGES, Condition, Perturbation
from vlmbench.tasks import apply_conditions, obstacle
from vlmbench.tasks._evidence import RADIUS, elsewhere, region_mask
from vlmbench.tasks._swap import swap
from vlmbench.types import Document, EncodedImage, Region, VlmbenchError

SIDE = 48
LABELS = tuple(
    label
    for change in IMAGE_CHANGES
    for label in change.samples
    if change.keeps_images and not (change.redraws_markers or change.redraws) and label != "own"
)
GRADED = [change.kind_of() for change in IMAGE_CHANGES if issubclass(change, Perturbation)]


def picture(index: int, size: tuple[int, int] = (SIDE, SIDE)) -> EncodedImage:
    rng = np.random.default_rng(index)
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return EncodedImage.from_pil(small.resize(size, Image.Resampling.BICUBIC), f"p{index}")


def document(index: int, *, images: int = 1, **changes: object) -> Document:
    own = tuple(picture(10 * index + i) for i in range(images))
    points = tuple(
        Region(image=0, kind="point", xy=xy) for xy in ((8.0, 8.0), (40.0, 12.0 + index % 20))
    )
    values: dict[str, object] = {
        "doc_id": f"d{index}", "images": own, "encoder_images": own, "marked": False,
        "choices": ("A", "B"), "gold": index % 2, "candidates": points,
    }  # fmt: skip
    return Document(**(values | changes))  # type: ignore[arg-type]


def with_images(index: int, *images: EncodedImage) -> Document:
    return replace(document(index), images=images, encoder_images=images)


def pixels(image: EncodedImage) -> np.ndarray:
    return np.asarray(image.decode()).astype(int)


def shown(label: str, *documents: Document) -> list[Document]:
    return apply_conditions(documents, Condition.parse(label))


DOCUMENTS = tuple(document(index, images=2) for index in range(4))


@pytest.mark.parametrize("by", GRADED)
def test_strength_0_is_the_same_document(by):
    assert shown(f"{by}-0", *DOCUMENTS) == list(DOCUMENTS)


@pytest.mark.parametrize("by", GRADED)
def test_more_strength_changes_more(by):
    one = document(1)
    changed = [
        np.abs(pixels(shown(f"{by}-{s}", one)[0].images[0]) - pixels(one.images[0])).mean()
        for s in (0.125, 0.25, 0.5, 0.75)
    ]
    assert changed[0] > 0
    assert changed == sorted(changed)


@pytest.mark.parametrize("label", LABELS)
def test_every_change_changes_every_image_and_keeps_its_size(label):
    for before, after in zip(DOCUMENTS, shown(label, *DOCUMENTS), strict=True):
        sizes = [image.size for image in before.images]
        assert [image.size for image in after.images] == sizes
        same = [a.data == b.data for a, b in zip(before.images, after.images, strict=True)]
        # Only the first image has regions, so only that one has evidence to hide.
        assert same == [False, label in ("evidence", "evidence-random")]
        assert (after.doc_id, after.gold, after.choices) == (
            before.doc_id, before.gold, before.choices,
        )  # fmt: skip


@pytest.mark.parametrize("label", LABELS)
def test_another_process_is_shown_the_same_pixels_as_a_reader_of_files(label):
    after = shown(label, *DOCUMENTS)
    for ours, theirs in zip(after, pickle.loads(pickle.dumps(after)), strict=True):
        for image, copy in zip(ours.images, theirs.images, strict=True):
            assert copy.decode().tobytes() == image.decode().tobytes()
            assert EncodedImage(image.data).decode().tobytes() == image.decode().tobytes()


@pytest.mark.parametrize("label", [label for label in LABELS if label != "swapped"])
def test_a_document_draws_by_itself(label):
    alone = shown(label, DOCUMENTS[2])
    assert shown(label, *DOCUMENTS[::-1])[1] == alone[0]
    again = shown(f"{label}+seed-1", DOCUMENTS[2])
    drawn = label.startswith(("blank-noise", "scrambled", "mask", "crop", "noise", "evidence-r"))
    assert (again[0].images == alone[0].images) is not drawn


def test_unmarked_images_are_changed_at_the_same_places():
    one = document(3, encoder_images=(picture(99),))
    (after,) = shown("mask-0.5", one)
    both = (*after.images, *after.encoder_images)
    grey = [np.all(pixels(image) == GREY, axis=-1) for image in both]
    assert np.array_equal(grey[0], grey[1])
    assert grey[0].mean() == 0.5


def test_a_stronger_mask_covers_the_weaker_and_greys_its_share():
    one = document(5)
    grey = {
        s: np.all(pixels(shown(f"mask-{s}", one)[0].images[0]) == GREY, axis=-1)
        for s in (0.25, 0.75, 1)
    }
    assert [mask.mean() for mask in grey.values()] == [0.25, 0.75, 1.0]
    assert not (grey[0.25] & ~grey[0.75]).any()


def test_blank_fills():
    one = document(6)
    mean = pixels(one.images[0]).reshape(-1, 3).mean(axis=0)
    (grey,), (own,), (noise,) = (shown(f"blank{f}", one) for f in ("", "-mean", "-noise"))
    assert (pixels(grey.images[0]) == GREY).all()
    assert np.abs(pixels(own.images[0]).reshape(-1, 3) - mean).max() <= 0.5
    assert abs(pixels(noise.images[0]).mean() - 127.5) < 3
    assert grey.candidates == one.candidates


def test_scrambling_moves_every_cell_and_loses_none():
    one = document(7)
    cells = lambda image: [
        pixels(image)[y : y + 6, x : x + 6].tobytes()
        for y in range(0, SIDE, 6)
        for x in range(0, SIDE, 6)
    ]
    before, after = cells(one.images[0]), cells(shown("scrambled-8", one)[0].images[0])
    assert sorted(before) == sorted(after)
    assert len(set(before)) == 64  # else a cell that moved could look as if it had not
    assert not any(a == b for a, b in zip(before, after, strict=True))


def test_scrambling_a_side_that_is_no_multiple_of_the_grid_loses_nothing():
    one = with_images(8, picture(1, (50, 29)))
    (after,) = shown("scrambled-8", one)
    flat = [np.sort(pixels(d.images[0]).reshape(-1, 3), axis=0) for d in (one, after)]
    assert np.array_equal(*flat)


def test_crop_and_swap_take_off_places_but_not_whole_images():
    whole = tuple(Region(image=i, kind="image") for i in range(2))
    for label in ("crop-0.5", "swapped"):
        after = shown(label, *DOCUMENTS)
        assert all(d.candidates == () for d in after)
        kept = shown(label, *(document(i, images=2, candidates=whole) for i in range(3)))
        assert all(d.candidates == whole for d in kept)
    assert shown("noise-1", *DOCUMENTS)[0].candidates == DOCUMENTS[0].candidates


def test_none_shows_no_image():
    (after,) = shown("none", document(1))
    assert after.images == ()


# -- swapped ------------------------------------------------------------------------------


GROUPED = st.lists(st.tuples(st.integers(1, 2), st.integers(0, 5)), min_size=1, max_size=20)
"""Images as their group and what they show."""


@settings(max_examples=80, deadline=None)
@given(GROUPED, st.integers(0, 10**6))
def test_a_swap_is_possible_where_nothing_is_more_than_half_of_its_group(items, seed):
    groups = [group for group, _ in items]
    others = swap(groups, items, np.random.default_rng(seed))
    possible = all(2 * items.count(item) <= groups.count(item[0]) for item in items)
    assert (others is not None) == possible


@settings(max_examples=80, deadline=None)
@given(GROUPED, st.integers(0, 10**6))
def test_a_swap_is_a_derangement_of_contents_within_groups(items, seed):
    items = [*items, *((group, shown + 6) for group, shown in items)]  # half show something else
    groups = [group for group, _ in items]
    others = swap(groups, items, np.random.default_rng(seed))
    assert sorted(others) == list(range(len(items)))  # each image is used once
    for item, other in zip(items, others, strict=True):
        assert items[other] != item
        assert items[other][0] == item[0]


def test_swapped_images_are_another_documents_of_the_same_number():
    mixed = [*DOCUMENTS, document(7), document(8), document(9)]
    for before, after in zip(mixed, shown("swapped", *mixed), strict=True):
        assert len(after.images) == len(before.images)
        assert after.images != before.images


def test_documents_with_the_same_images_are_never_swapped():
    held = [with_images(i, picture(500) if i < 3 else picture(i)) for i in range(6)]
    after = shown("swapped", *held)
    assert all(b.images[0].data != a.images[0].data for a, b in zip(held, after, strict=True))
    with pytest.raises(VlmbenchError, match="more than half"):
        shown("swapped", *held[:5])


def test_a_cap_keeps_what_each_document_is_shown():
    condition = Condition.parse("swapped")
    assert apply_conditions(DOCUMENTS, condition, first=2) == shown("swapped", *DOCUMENTS)[:2]


# -- evidence -----------------------------------------------------------------------------


def test_a_region_mask_has_the_area_of_its_regions():
    box = Region(image=0, kind="box", xy=(3, 4, 13, 10))
    assert region_mask((30, 20), [box]).sum() == 60
    disc = region_mask((200, 200), [Region(image=0, kind="point", xy=(100, 100))])
    assert disc.sum() == pytest.approx(np.pi * (RADIUS * 200) ** 2, rel=0.02)
    assert disc[100, 100]
    assert not disc[100, 100 + int(RADIUS * 200) + 1]
    assert not region_mask((30, 20), [Region(image=0, kind="image")]).any()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 35), st.integers(0, 25), st.integers(1, 20), st.integers(1, 20)),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 10**6),
)
def test_random_masks_have_equal_area_and_share_no_pixel(boxes, seed):
    mask = np.zeros((30, 40), dtype=bool)
    for x, y, width, height in boxes:
        mask[y : y + height, x : x + width] = True
    if 2 * mask.sum() > mask.size:
        with pytest.raises(ValueError, match="half"):
            elsewhere(mask, np.random.default_rng(seed))
        return
    other = elsewhere(mask, np.random.default_rng(seed))
    assert other.sum() == mask.sum()
    assert not (mask & other).any()


def test_evidence_greys_the_regions_and_nothing_else():
    one = document(9)
    (hidden,), (control,) = shown("evidence", one), shown("evidence-random", one)
    mask = region_mask((SIDE, SIDE), one.candidates)
    before = pixels(one.images[0])
    greyed = pixels(hidden.images[0])
    assert (greyed[mask] == GREY).all()
    assert np.array_equal(greyed[~mask], before[~mask])
    changed = (pixels(control.images[0]) != before).any(axis=-1)
    assert not (changed & mask).any()
    assert changed.sum() == pytest.approx(mask.sum(), abs=3)  # a pixel may be grey already
    assert hidden.candidates == one.candidates


def test_documents_without_regions_are_left_out_of_evidence():
    bare = document(11, candidates=())
    assert [d.doc_id for d in shown("evidence", document(10), bare, document(12))] == ["d10", "d12"]
    assert "no document has" in (obstacle([bare], Condition.parse("evidence")) or "")
    large = (Region(image=0, kind="box", xy=(0, 0, SIDE, 30)),) * 2
    crowded = document(13, candidates=large)
    assert obstacle([crowded], Condition.parse("evidence")) is None
    assert "'d13'" in (obstacle([document(10), crowded], Condition.parse("evidence-random")) or "")
