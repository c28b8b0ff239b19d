from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vlmbench.readouts.probes import Frame, ImageFeatures, LinearHead, pooled
from vlmbench.readouts.probes._linear import C_GRID
from vlmbench.types import Document, EncodedImage, Region, VlmbenchError

FRAME = Frame.letterbox((16, 16), side=16, patch=8)
CLASSES = ("cube", "cone", "ball", "torus")
HEAD = LinearHead(label_column="shape", choices_column="shapes")
CENTRES = np.random.default_rng(0).normal(size=(4, 12))


def example(i, label, vector, **row):
    images = (EncodedImage(b""),)
    document = Document(
        doc_id=f"d{i}",
        images=images,
        encoder_images=images,
        marked=False,
        choices=tuple("ABCD"),
        gold=CLASSES.index(label) if label in CLASSES else 0,
        row={"shape": label, "shapes": list(CLASSES), **row},
    )
    tokens = torch.zeros(1, 2, 2, len(vector))
    cls = torch.as_tensor(vector, dtype=torch.float32)
    return document, [ImageFeatures(patch_tokens=tokens, cls_token=cls, frame=FRAME)]


def split(n, seed, *, spread=1.0, **row):
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        k = int(rng.integers(4))
        vector = (CENTRES[k] + spread * rng.normal(size=12)) * np.logspace(-3, 3, 12)
        found.append(example(i, CLASSES[k], vector, **row))
    return found


def arrays(examples):
    x = np.stack([pooled(features[0]).numpy() for _, features in examples])
    return x, np.array([document.row["shape"] for document, _ in examples])


def accuracy(head, examples):
    hits = [head.score(doc, features).argmax() == doc.gold for doc, features in examples]
    return float(np.mean(hits))


def test_same_as_scikit_learn_called_directly():
    train, validation, test = split(120, 1), split(80, 2), split(40, 3)
    head = HEAD.fit(train, validation)
    tried = {}
    for c in C_GRID:
        pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))
        pipeline.fit(*arrays(train))
        tried[c] = (pipeline.score(*arrays(validation)), pipeline)
    best = max(tried, key=lambda c: (tried[c][0], -c))
    assert head.groups[""].c == best
    assert head.groups[""].validation_accuracy == {c: score for c, (score, _) in tried.items()}
    order = [list(tried[best][1].classes_).index(name) for name in CLASSES]
    expected = tried[best][1].predict_log_proba(arrays(test)[0])[:, order]
    found = np.stack([head.score(*one) for one in test])
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert head.scale == "logprob"
    assert accuracy(head, test) > 0.7


def test_shuffled_labels_fall_to_chance():
    rng = np.random.default_rng(5)
    train = [
        example(i, CLASSES[rng.integers(4)], features[0].cls_token.numpy())
        for i, (_, features) in enumerate(split(200, 1))
    ]
    test = split(400, 4)
    assert accuracy(HEAD.fit(split(200, 1), split(80, 2)), test) > 0.7
    assert abs(accuracy(HEAD.fit(train, split(80, 2)), test) - 0.25) < 0.12


def test_one_probe_per_group():
    by_group = LinearHead(label_column="shape", choices_column="shapes", group_column="which")
    # In group "turned" the same features mean the next class, which one probe cannot learn.
    plain = split(120, 1, which="plain")
    turned = [
        example(
            i,
            CLASSES[(CLASSES.index(doc.row["shape"]) + 1) % 4],
            features[0].cls_token.numpy(),
            which="turned",
        )
        for i, (doc, features) in enumerate(plain)
    ]
    head = by_group.fit(plain + turned, plain[:40] + turned[:40])
    assert accuracy(head, plain[:60]) > 0.7
    assert accuracy(head, turned[:60]) > 0.7
    assert accuracy(HEAD.fit(plain + turned, plain[:40] + turned[:40]), plain + turned) < 0.65
    assert set(head.record()) == {"plain", "turned"}
    with pytest.raises(VlmbenchError, match="no training document has group 'new'"):
        head.score(*split(1, 9, which="new")[0])


def test_permuted_choices_permute_scores():
    head = HEAD.fit(split(80, 1), split(40, 2))
    document, features = example(0, "cube", CENTRES[0])
    moved, _ = example(0, "cube", CENTRES[0], shapes=list(CLASSES[::-1]))
    np.testing.assert_array_equal(head.score(moved, features), head.score(document, features)[::-1])


def test_the_image_asked_about_is_the_references():
    head = HEAD.fit(split(80, 1), split(40, 2))
    (document, first), (_, second) = split(2, 3)
    images = (EncodedImage(b""),) * 2
    both = replace(document, images=images, encoder_images=images)
    about_second = replace(both, reference=Region(image=1, kind="image"))
    expected = [head.score(document, features) for features in (first, second)]
    assert not np.array_equal(*expected)
    np.testing.assert_array_equal(head.score(both, first + second), expected[0])
    np.testing.assert_array_equal(head.score(about_second, first + second), expected[1])


def test_unseen_class_is_an_error():
    head = HEAD.fit(split(80, 1), split(40, 2))
    document, features = example(0, "cube", CENTRES[0], shapes=["cube", "cone", "vase", "urn"])
    with pytest.raises(VlmbenchError) as caught:
        head.score(document, features)
    assert [p.field for p in caught.value.problems] == ["shapes", "shapes"]
    assert "'vase' is not in the training split" in str(caught.value)
    assert "ball, cone, cube, torus" in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_overflow_are_an_error_that_says_what_to_do(value):
    train, validation = split(20, 1), split(20, 2)
    validation[3] = example(3, "cube", np.full(12, value))
    with pytest.raises(VlmbenchError) as caught:
        HEAD.fit(train, validation)
    assert "features of 1 validation documents are NaN or infinite" in str(caught.value)
    assert "--dtype float32" in str(caught.value)


def test_bad_splits_are_errors():
    with pytest.raises(VlmbenchError) as caught:
        HEAD.fit([], [])
    assert len(caught.value.problems) == 2
    with pytest.raises(VlmbenchError, match="only the class 'cube'"):
        HEAD.fit([example(0, "cube", CENTRES[0])] * 3, split(4, 1))
    wrong = LinearHead(label_column="colour", choices_column="shapes")
    with pytest.raises(VlmbenchError) as caught:
        wrong.fit(split(2, 1), split(2, 1))
    assert len(caught.value.problems) == 4
    assert caught.value.problems[0].field == "colour"
    short = example(0, "cube", CENTRES[0], shapes=["cube"])
    with pytest.raises(VlmbenchError, match="1 class names for 4 choices"):
        HEAD.fit([short], split(2, 1))
