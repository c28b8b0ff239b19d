from __future__ import annotations

from importlib import import_module
from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from scipy.stats import ortho_group

from vlmbench.metrics import credit
from vlmbench.readouts._reading import Answer, make_reading
from vlmbench.readouts.probes import (
    Frame,
    GramHead,
    ImageFeatures,
    KeypointHead,
    OddOneOutHead,
)
from vlmbench.readouts.probes._regions import mean_over_region, sample_at_points
from vlmbench.spec import PROBES, DepthProbe, GramProbe, KeypointProbe
from vlmbench.types import Document, EncodedImage, Region, VlmbenchError

SQUARE = Frame.letterbox((96, 96), side=96, patch=8)
DIM = 16


def features(tokens, *, cls=None, frame=SQUARE):
    tokens = torch.as_tensor(np.asarray(tokens))
    cls = None if cls is None else torch.as_tensor(np.asarray(cls))
    return ImageFeatures(patch_tokens=tokens[None], cls_token=cls, frame=frame)


def noise(rng, *, frame=SQUARE, dim=DIM):
    return rng.normal(size=(*frame.grid, dim))


def document(n_images, reference, candidates):
    images = tuple(EncodedImage(b"", f"{i}.png") for i in range(n_images))
    return Document(
        doc_id="d",
        images=images,
        encoder_images=images,
        marked=False,
        choices=tuple("ABCDEFGH"[: len(candidates)]),
        gold=0,
        reference=reference,
        candidates=tuple(candidates),
    )


def point(x, y, image=0):
    return Region(image=image, kind="point", xy=(x, y))


def whole(image):
    return Region(image=image, kind="image")


def rotated(feature, matrix):
    tokens = feature.patch_tokens @ torch.as_tensor(matrix)
    cls = None if feature.cls_token is None else feature.cls_token @ torch.as_tensor(matrix)
    return ImageFeatures(patch_tokens=tokens, cls_token=cls, frame=feature.frame)


def earned(head, doc, inputs):
    answer = Answer(scores=head.score(doc, inputs))
    return credit(make_reading([doc], [answer], head.scale).scores)


# ---- keypoints


@pytest.mark.parametrize("size", [(96, 96), (60, 96), (123, 77)])
def test_sampling_agrees_with_scipy(size):
    rng = np.random.default_rng(0)
    frame = Frame.letterbox(size, side=96, patch=8)
    tokens = noise(rng, frame=frame)
    xy = rng.uniform(-0.5, np.array(size) - 0.5, size=(200, 2))
    ours = sample_at_points(torch.as_tensor(tokens), xy, frame).numpy()
    columns, rows = (frame.to_grid(xy + 0.5) - 0.5).T  # scipy counts cells from their centres
    theirs = [
        map_coordinates(tokens[..., k], [rows, columns], order=1, mode="nearest")
        for k in range(DIM)
    ]
    np.testing.assert_allclose(ours, np.stack(theirs, axis=1), atol=1e-12)


def test_sampling_is_sensitive_to_half_a_pixel():
    tokens = torch.arange(12.0).expand(12, 12)[..., None]  # the column's number
    # Pixels 3 and 4 straddle the centre (4.0) of the first patch; pixel 4 is half a pixel past.
    found = sample_at_points(tokens, np.array([[3.0, 50.0], [4.0, 50.0], [12.0, 50.0]]), SQUARE)
    np.testing.assert_allclose(found[:, 0], [0.0, 0.5 / 8, 8.5 / 8])


def test_the_nearest_patch_is_the_one_a_point_lies_in():
    tokens = torch.arange(12.0).expand(12, 12)[..., None]
    xy = np.array([[0.0, 50.0], [7.0, 50.0], [8.0, 50.0], [95.0, 50.0]])
    found = sample_at_points(tokens, xy, SQUARE, sampling="nearest")
    assert found[:, 0].tolist() == [0.0, 0.0, 1.0, 11.0]


@pytest.mark.parametrize("winner", range(4))
def test_planted_match_wins_with_similarity_one(winner):
    rng = np.random.default_rng(winner)
    tokens = [noise(rng), noise(rng)]
    places = [(20, 20), (70, 20), (20, 70), (70, 70)]
    x, y = places[winner]
    tokens[1][y // 8 - 1 : y // 8 + 2, x // 8 - 1 : x // 8 + 2] = 3.0 * tokens[0][5, 5]
    tokens[0][4:7, 4:7] = tokens[0][5, 5]
    doc = document(2, point(44, 44), [point(*p, image=1) for p in places])
    scores = KeypointHead().score(doc, [features(t) for t in tokens])
    assert scores.argmax() == winner
    assert scores[winner] == pytest.approx(1.0, abs=1e-9)
    assert np.delete(scores, winner).max() < 0.9


def test_permuted_points_permute_keypoint_scores():
    rng = np.random.default_rng(1)
    inputs = [features(noise(rng)), features(noise(rng))]
    places = [point(*rng.uniform(0, 95, 2), image=1) for _ in range(4)]
    straight = KeypointHead().score(document(2, point(30, 40), places), inputs)
    for order in permutations(range(4)):
        moved = document(2, point(30, 40), [places[i] for i in order])
        np.testing.assert_array_equal(KeypointHead().score(moved, inputs), straight[list(order)])


@pytest.mark.parametrize("value", [0.0, 0.1, 3.7, -1e4])
@pytest.mark.parametrize("size", [(96, 96), (123, 77)])
def test_constant_features_tie_exactly_at_keypoints(value, size):
    frame = Frame.letterbox(size, side=96, patch=8)
    rng = np.random.default_rng(2)
    same = features(np.full((12, 12, DIM), value, dtype=np.float32), frame=frame)
    places = [point(*rng.uniform(0, 70, 2)) for _ in range(4)]
    scores = KeypointHead().score(document(1, point(1, 2), places), [same])
    assert len(set(scores.tolist())) == 1


def test_orthogonal_maps_change_neither_keypoints_nor_oddness():
    rng = np.random.default_rng(3)
    matrix = ortho_group.rvs(DIM, random_state=3)
    inputs = [features(noise(rng), cls=rng.normal(size=DIM)) for _ in range(3)]
    turned = [rotated(feature, matrix) for feature in inputs]
    keypoints = document(3, point(30, 40), [point(9, 9, image=1), point(50, 80, image=2)])
    odd = document(3, None, [whole(i) for i in range(3)])
    for rule, doc in ((KeypointHead(), keypoints), (OddOneOutHead(), odd)):
        np.testing.assert_allclose(rule.score(doc, turned), rule.score(doc, inputs), atol=2e-9)
    # The control: a map that is not orthogonal does change them.
    skewed = [rotated(f, np.diag(np.arange(1.0, DIM + 1))) for f in inputs]
    shift = KeypointHead().score(keypoints, skewed) - KeypointHead().score(keypoints, inputs)
    assert np.abs(shift).max() > 0.01


# ---- Gram


def test_gram_agrees_with_numpy():
    rng = np.random.default_rng(4)
    tokens = [noise(rng) for _ in range(3)]
    doc = document(3, whole(0), [whole(1), whole(2)])
    grams = [np.einsum("hwi,hwj->ij", t, t) / 144 for t in tokens]
    size = max((g**2).mean() for g in grams)
    expected = [-((g - grams[0]) ** 2).mean() / size for g in grams[1:]]
    scores = GramHead().score(doc, [features(t) for t in tokens])
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


def test_gram_sees_planted_style_and_is_blind_to_place():
    rng = np.random.default_rng(5)
    mixing = rng.normal(size=(2, DIM, DIM))

    def painted(style):
        return noise(rng) @ mixing[style]

    reference, other, same = painted(0), painted(1), painted(0)
    doc = document(3, whole(0), [whole(1), whole(2)])
    scores = GramHead().score(doc, [features(t) for t in (reference, other, same)])
    assert scores.argmax() == 1
    shuffled = rng.permutation(same.reshape(144, DIM)).reshape(same.shape)
    again = GramHead().score(doc, [features(t) for t in (reference, other, shuffled)])
    np.testing.assert_allclose(again, scores, rtol=1e-9)
    # The control: shuffling channels instead of places does change the score.
    mixed = GramHead().score(doc, [features(t) for t in (reference, other, same[..., ::-1].copy())])
    assert abs(mixed[1] - scores[1]) > 0.1 * abs(scores[1])


def test_gram_leaves_padding_out_and_compares_shapes():
    rng = np.random.default_rng(6)
    tile = rng.normal(size=(6, 6, DIM))
    tall = Frame.letterbox((48, 96), side=96, patch=8)
    padded = rng.normal(size=(12, 12, DIM)) * 50
    padded[:, 3:9] = np.tile(tile, (2, 1, 1))
    inputs = [features(np.tile(tile, (2, 2, 1))), features(padded, frame=tall)]
    scores = GramHead().score(document(2, whole(0), [whole(1), whole(0)]), inputs)
    np.testing.assert_allclose(scores, [0.0, 0.0], atol=1e-20)


def test_equal_images_tie_exactly_for_gram():
    rng = np.random.default_rng(7)
    same = noise(rng)
    inputs = [features(noise(rng)), features(same), features(same.copy())]
    scores = GramHead().score(document(3, whole(0), [whole(1), whole(2)]), inputs)
    assert scores[0] == scores[1] < 0


@pytest.mark.parametrize("by", [1e-6, 1e-3, 1.0, 1e3, 1e6])
def test_no_similarity_depends_on_the_unit_of_features(by):
    """Every document is right at every scale; in an absolute step of 1e-9 small ones would tie."""
    rng = np.random.default_rng(8)
    mixing = rng.normal(size=(2, DIM, DIM)) / DIM
    styles = document(3, whole(0), [whole(1), whole(2)])
    odd = document(3, None, [whole(i) for i in range(3)])
    places = document(2, point(44, 44), [point(44, 44, image=1), point(9, 9, image=1)])
    for _ in range(10):
        painted = [noise(rng) @ mixing[style] for style in (0, 0, 1)]
        one, other = (features(by * tokens) for tokens in (painted[0], painted[2]))
        drawn = [features(by * tokens) for tokens in painted]
        assert list(earned(GramHead(), styles, drawn)) == [1.0]
        turned = document(3, whole(2), [whole(0), whole(2)])
        assert list(earned(GramHead(), turned, drawn)) == [0.0]
        assert list(earned(KeypointHead(), places, [one, one])) == [1.0]
        assert list(earned(OddOneOutHead(), odd, [other, one, one])) == [1.0]
        assert list(earned(GramHead(), styles, [one, other, other])) == [0.5]


def test_features_of_nothing_tie_for_gram():
    nothing = [features(np.zeros((12, 12, DIM))) for _ in range(3)]
    doc = document(3, whole(0), [whole(1), whole(2)])
    assert GramHead().score(doc, nothing).tolist() == [0.0, 0.0]


# ---- odd one out


def test_odd_one_out_closed_form():
    cls = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
    inputs = [features(np.zeros((12, 12, 2)), cls=c) for c in cls]
    scores = OddOneOutHead().score(document(3, None, [whole(i) for i in range(3)]), inputs)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(scores, [-half / 2, -half / 2, -half], atol=1e-9)


@pytest.mark.parametrize("kinds", [(2, 1), (3, 1), (2, 1, 1), (4, 2, 1)])
def test_identical_images_tie_exactly_in_any_order(kinds):
    rng = np.random.default_rng(sum(kinds))
    n, labels = sum(kinds), np.repeat(np.arange(len(kinds)), kinds)
    doc = document(n, None, [whole(i) for i in range(n)])
    for _ in range(20):
        vectors = rng.normal(size=(len(kinds), 257)).astype(np.float32)
        order = rng.permutation(labels)
        scores = OddOneOutHead().score(
            doc, [features(np.zeros((12, 12, 257)), cls=vectors[kind]) for kind in order]
        )
        for kind in range(len(kinds)):
            assert len(set(scores[order == kind].tolist())) == 1
        assert scores[order == 0][0] == scores.min()
    alike = [features(np.zeros((12, 12, 257)), cls=vectors[0]) for _ in range(n)]
    assert len(set(OddOneOutHead().score(doc, alike).tolist())) == 1


def test_odd_one_out_without_cls_uses_the_mean():
    rng = np.random.default_rng(8)
    base, odd = rng.normal(size=(2, DIM))
    inputs = [features(base + 0.1 * noise(rng)) for _ in range(3)]
    inputs.insert(1, features(odd + 0.1 * noise(rng)))
    scores = OddOneOutHead().score(document(4, None, [whole(i) for i in range(4)]), inputs)
    assert scores.argmax() == 1


def test_the_mean_is_asked_for_where_there_is_a_class_token():
    """Class tokens point at image 0 and patches at image 2, so the two ways disagree."""
    cls = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    patches = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    inputs = [features(np.tile(p, (12, 12, 1)), cls=c) for p, c in zip(patches, cls, strict=True)]
    doc = document(3, None, [whole(i) for i in range(3)])
    assert OddOneOutHead().score(doc, inputs).argmax() == 0
    assert OddOneOutHead(pooling="mean").score(doc, inputs).argmax() == 2


# ---- regions


def test_mean_over_region_takes_the_right_pixels():
    values = np.arange(100.0).reshape(10, 10)
    box = Region(image=0, kind="box", xy=(2, 3, 5, 4))
    assert mean_over_region(values, box) == np.mean([32, 33, 34])
    assert mean_over_region(values, point(4, 5)) == 54
    assert mean_over_region(values, point(0, 0)) == np.mean([0, 1, 10, 11])
    thin = Region(image=0, kind="box", xy=(2.6, 3.6, 2.9, 3.9))
    assert mean_over_region(values, thin) == 32
    beyond = Region(image=0, kind="box", xy=(8, 8, 30, 30))
    assert mean_over_region(values, beyond) == np.mean([88, 89, 98, 99])


def test_missing_and_wrong_regions_are_all_reported():
    box = Region(image=0, kind="box", xy=(0, 0, 2, 2))
    doc = document(1, None, [box, point(1, 1, image=3)])
    problems = KeypointProbe.needs.problems(doc)
    text = "\n".join(str(problem) for problem in problems)
    assert len(problems) == 3
    assert "no reference region" in text
    assert "a box region" in text
    assert "image 3 of 1" in text
    with pytest.raises(VlmbenchError) as caught:
        KeypointHead().score(doc, [features(np.zeros((12, 12, DIM)))])
    assert len(caught.value.problems) == 3


def test_sound_regions_have_no_problems():
    doc = document(1, None, [point(1, 1), Region(image=0, kind="box", xy=(0, 0, 2, 2))])
    assert DepthProbe.needs.problems(doc) == []


def test_wrong_number_of_features_is_an_error():
    doc = document(2, point(1, 1), [point(2, 2)])
    with pytest.raises(VlmbenchError, match="1 features for 2 images"):
        KeypointHead().score(doc, [features(np.zeros((12, 12, DIM)))])


# ---- which rule, which layers


@pytest.mark.parametrize("probe", PROBES)
def test_every_probes_implementation_is_there(probe):
    module, _, name = probe.implementation.partition(":")
    assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize(
    ("n_layers", "consumed", "expected"),
    [(24, -1, (6, 12, 18, 24)), (24, -2, (5, 11, 17, 23)), (4, 4, (1, 2, 3, 4)), (4, 0, (0,) * 4)],
)
def test_depth_layers_end_at_the_consumed_one(n_layers, consumed, expected):
    probe = DepthProbe(depth_column="depth")
    assert probe.layers(n_layers=n_layers, consumed=consumed) == expected
    last = GramProbe().layers(n_layers=n_layers, consumed=consumed)
    assert last == expected[-1:]


def test_layer_outside_the_tower_is_refused():
    with pytest.raises(ValueError, match="no layer 5 in a tower with 5"):
        GramProbe().layers(n_layers=4, consumed=5)
    with pytest.raises(ValueError, match="layer -6"):
        GramProbe().layers(n_layers=4, consumed=-6)
