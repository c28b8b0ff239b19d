"""Every member of every closed set says all that its set asks of it, and is told by its kind."""

from __future__ import annotations

from typing import Literal

import pytest

from vlmbench.spec import (
    FORWARD_CHANGES,
    IMAGE_CHANGES,
    MARKERS,
    PROBES,
    READOUTS,
    TEXT_CHANGES,
    WEIGHT_CHANGES,
    Condition,
    Encoder,
    ForwardChange,
    ImageChange,
    Markers,
    OwnImages,
    ProbeSpec,
    Readout,
    StudyCell,
    TextChange,
    Variant,
    WeightChange,
)

SETS: list[tuple[type[Variant], tuple[type[Variant], ...]]] = [
    (ImageChange, IMAGE_CHANGES),
    (TextChange, TEXT_CHANGES),
    (WeightChange, WEIGHT_CHANGES),
    (ForwardChange, FORWARD_CHANGES),
    (ProbeSpec, PROBES),
    (Readout, READOUTS),
    (Markers, MARKERS),
]
MEMBERS = [(base, variant) for base, variants in SETS for variant in variants]


def unsaid(base: type[Variant], variant: type[Variant]) -> set[str]:
    """Return the facts that a set asks for and a member does not state."""
    return {name for name in base.__class_vars__ if not hasattr(variant, name)}


def asked_of(base: type[Variant]) -> set[str]:
    """Return the facts that a set asks of its members: class variables without a value."""
    return unsaid(base, base)


@pytest.mark.parametrize(("base", "variant"), MEMBERS)
def test_every_member_states_every_fact(base: type[Variant], variant: type[Variant]) -> None:
    assert unsaid(base, variant) == set()


@pytest.mark.parametrize(
    ("base", "facts"),
    [
        (ImageChange, {"keeps_images", "moves_places", "needs_places", "needs_others", "replaces",
                       "redraws_markers", "redraws", "samples"}),
        (TextChange, {"changes_prompt", "needs_choices", "rewords", "samples"}),
        (WeightChange, {"trains", "of_encoder", "samples"}),
        (ForwardChange, {"intervenes", "needs_others", "patches", "samples"}),
        (ProbeSpec, {"implementation", "staged", "fitted", "compares", "needs", "depths",
                     "varies"}),
        (Readout, {"implementation", "packages", "scores_documents", "answers", "is_direct",
                   "has_rows"}),
        (Markers, {"in_images", "in_data", "says"}),
    ],
)  # fmt: skip
def test_the_facts_are_these(base: type[Variant], facts: set[str]) -> None:
    assert asked_of(base) == facts


def test_a_member_that_leaves_a_fact_out_is_found() -> None:
    class Rotated(ImageChange):
        keeps_images, needs_places, needs_others = True, False, False
        replaces, redraws_markers, redraws = False, False, False
        samples = ("rotate-0.5",)
        kind: Literal["rotate"] = "rotate"

    assert unsaid(ImageChange, Rotated) == {"moves_places"}


@pytest.mark.parametrize(("base", "variants"), SETS)
def test_kinds_differ_and_are_the_defaults(
    base: type[Variant], variants: tuple[type[Variant], ...]
) -> None:
    kinds = [variant.kind_of() for variant in variants]
    assert len(set(kinds)) == len(kinds)
    assert all(kind.replace("_", "").isalpha() for kind in kinds)


@pytest.mark.parametrize("label", [name for change in IMAGE_CHANGES for name in change.samples])
def test_the_kind_is_written_where_defaults_are_left_out(label: str) -> None:
    image = Condition.parse(label).image
    written = image.model_dump(exclude_defaults=True)
    assert written["kind"] == image.kind
    assert Condition.model_validate({"image": written}).image == image


@pytest.mark.parametrize("change", IMAGE_CHANGES)
def test_an_image_changes_samples_are_its_own_labels(change: type[ImageChange]) -> None:
    for label in change.samples:
        image = Condition.parse(label).image
        assert type(image) is change
        assert image.label == label


@pytest.mark.parametrize(
    ("part", "change"),
    [
        (part, change)
        for part, members in {
            "text": TEXT_CHANGES, "weights": WEIGHT_CHANGES, "forward": FORWARD_CHANGES
        }.items()
        for change in members
    ],
)  # fmt: skip
def test_samples_are_their_own_labels(part: str, change: type[Variant]) -> None:
    for label in change.samples:
        condition = Condition.parse(f"own+{label}")
        found = getattr(condition, part)
        assert (type(found), found.label) == (change, label)
        assert condition.image == OwnImages()
        assert Condition.parse(condition.label) == condition


def test_kinds_of_all_parts_of_a_condition_differ() -> None:
    sets = (IMAGE_CHANGES, TEXT_CHANGES, WEIGHT_CHANGES, FORWARD_CHANGES)
    kinds = [change.kind_of() for members in sets for change in members]
    assert len(set(kinds)) == len(kinds)


@pytest.mark.parametrize(
    ("label", "readout"),
    [
        ("encoder", Encoder()),
        ("encoder-mean", Encoder(pooling="mean")),
        ("encoder-last-nearest", Encoder(layer="last", sampling="nearest")),
        ("encoder-middle-nearest-mean-marked",
         Encoder(layer="middle", sampling="nearest", pooling="mean", sees="marked")),
    ],
)  # fmt: skip
def test_an_encoder_readouts_label_names_what_is_not_usual(label: str, readout: Encoder) -> None:
    assert readout.label == label
    assert StudyCell.model_validate({"readout": label}).readout == readout
    assert StudyCell.model_validate({"readout": readout.model_dump()}).readout == readout


@pytest.mark.parametrize("label", ["encoder-median", "encoder-last-middle", "encoder-mean-max"])
def test_an_encoder_readouts_label_with_an_unknown_word_is_refused(label: str) -> None:
    with pytest.raises(ValueError, match="does not match any"):
        StudyCell.model_validate({"readout": label})


def test_what_varies_is_an_option_and_nothing_of_a_fitted_probe() -> None:
    for probe in PROBES:
        assert probe.varies <= set(Encoder.options)
        assert not probe.fitted or probe.varies <= {"head"}


def test_a_condition_that_changes_nothing_moves_nothing() -> None:
    own = Condition().image
    assert own.keeps_images
    assert (own.moves_places, own.needs_places, own.needs_others, own.replaces) == (False,) * 4
