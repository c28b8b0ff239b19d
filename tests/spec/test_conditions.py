"""Conditions are written as labels or keys, and a label names exactly one condition."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmbench.spec import (
    IMAGE_CHANGES,
    MARKER_LOOKS,
    BlankImage,
    Condition,
    EvidenceMask,
    Filler,
    Hint,
    Hints,
    Order,
    Paraphrase,
    Perturbation,
    RedrawnMarkers,
    ScrambledImage,
    load_file,
)
from vlmbench.types import VlmbenchError

images = st.one_of(
    st.sampled_from(["own", "blank", "none", "swapped"]),
    *(
        st.builds(change, strength=st.floats(0, 1))
        for change in IMAGE_CHANGES
        if issubclass(change, Perturbation)
    ),
    st.builds(BlankImage, fill=st.sampled_from(["grey", "mean", "noise"])),
    st.builds(ScrambledImage, grid=st.integers(2, 64)),
    st.builds(EvidenceMask, where=st.sampled_from(["regions", "random"])),
    st.builds(RedrawnMarkers, style=st.sampled_from(list(MARKER_LOOKS))),
)
texts = st.one_of(
    st.just("plain"),
    st.builds(
        Hint,
        target=st.sampled_from(["wrong", "right"]),
        strength=st.sampled_from(["weak", "medium", "strong"]),
    ),
    st.builds(Filler, tokens=st.integers(1, 10**6), place=st.sampled_from(["before", "after"])),
    st.builds(Paraphrase, number=st.integers(1, 99)),
    st.builds(Order, rotation=st.integers(1, 99)),
    st.sampled_from(["letters", "texts"]),
)
conditions = st.builds(
    Condition,
    image=images,
    text=texts,
    weights=st.sampled_from(["base", "random"]),
    batch=st.sampled_from(["usual", "single"]),
    seed=st.integers(0, 10**9),
)


@settings(max_examples=60, deadline=None)
@given(conditions)
def test_a_label_reads_back_as_its_condition(condition: Condition) -> None:
    assert Condition.parse(condition.label) == condition
    assert Condition.model_validate(condition.model_dump(mode="json")) == condition
    assert hash(Condition.parse(condition.label)) == hash(condition)


@pytest.mark.parametrize(
    ("condition", "label"),
    [
        (Condition(), "own"),
        (Condition(image="blank"), "blank"),
        (Condition(image={"kind": "blank"}), "blank"),  # type: ignore[arg-type]
        (Condition(weights="random"), "own+random"),
        (Condition(image={"kind": "scrambled"}), "scrambled-8"),  # type: ignore[arg-type]
        (Condition(image="blur-0.25"), "blur-0.25"),  # type: ignore[arg-type]
        (Condition(image="noise-1"), "noise-1"),  # type: ignore[arg-type]
        (Condition(image="evidence"), "evidence"),  # type: ignore[arg-type]
        (Condition(image="evidence-random"), "evidence-random"),  # type: ignore[arg-type]
        (Condition(text="hint-wrong-strong"), "own+hint-wrong-strong"),  # type: ignore[arg-type]
        (Condition(text="filler-256-before"), "own+filler-256-before"),  # type: ignore[arg-type]
        (Condition(text="paraphrase-2"), "own+paraphrase-2"),  # type: ignore[arg-type]
        (Condition(text="order-1"), "own+order-1"),  # type: ignore[arg-type]
        (Condition(text="texts"), "own+texts"),  # type: ignore[arg-type]
        (Condition(image="markers-blue"), "markers-blue"),  # type: ignore[arg-type]
        (Condition(batch="single"), "own+single"),
        (Condition(image={"kind": "none"}), "none"),  # type: ignore[arg-type]
    ],
)
def test_labels_are_stable(condition: Condition, label: str) -> None:
    assert condition.label == label


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("balnk", ["`balnk`", "Did you mean `blank`?"]),
        ("blur-2", ["`blur-2`", "less than or equal to 1"]),
        ("scrambled-1", ["greater than or equal to 2"]),
        ("filler-0-before", ["greater than or equal to 1"]),
        ("blank+none", ["names one image, not `blank` and `none`"]),
        ("hint-wrong", ["`hint-wrong`"]),
        ("mask-half", ["valid number"]),
        ("order-0", ["greater than or equal to 1"]),
        ("paraphrase-0", ["greater than or equal to 1"]),
        ("markers-pink", ["`markers-pink`", "markers-blue"]),
    ],
)
def test_what_is_no_label_is_refused_with_a_way_out(label: str, words: list[str]) -> None:
    with pytest.raises(VlmbenchError) as caught:
        Condition.parse(label)
    for word in words:
        assert word in str(caught.value)
    assert "Conditions: own, blank" in str(caught.value)


def study(folder: Path, text: str) -> str:
    path = folder / "study.yaml"
    path.write_text(text)
    with pytest.raises(VlmbenchError) as caught:
        load_file(path)
    return str(caught.value)


def test_yaml_takes_labels_short_forms_and_keys(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(
        "study: s\nhints: {weak: 'Perhaps {{ letter }}.'}\ncells:\n"
        "  - {readout: prompted, condition: own+hint-wrong-weak, documents: 20}\n"
        "  - {readout: prompted, condition: {image: mask-0.5}}\n"
        "  - {readout: prompted, condition: {image: {kind: crop, strength: .25}}}\n"
    )
    spec = load_file(path).spec
    assert [cell.condition.label for cell in spec.cells] == [
        "own+hint-wrong-weak", "mask-0.5", "crop-0.25",
    ]  # fmt: skip
    assert spec.cells[0].documents == 20
    merged = Hints.merged(spec.hints, Hints(strong="Surely {{ choice }}."))
    assert (merged.weak, merged.strong) == ("Perhaps {{ letter }}.", "Surely {{ choice }}.")
    assert merged.medium == Hints().medium


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("condition: balnk", [":3:", "no condition `balnk`", "Did you mean `blank`?"]),
        (
            "condition: {image: {kind: blur, strength: 2}}",
            [":3:", "cells.0.condition.image.strength", "2 must be at most 1"],
        ),
        ("condition: {image: {kind: blurred}}", [":3:", "blurred"]),
        ("condition: {image: {kind: blur}}", ["`strength` is missing"]),
        ("documents: 0", [":3:", "cells.0.documents", "0 must be at least 1"]),
    ],
)
def test_mistakes_name_line_field_and_value(tmp_path: Path, cell: str, words: list[str]) -> None:
    message = study(tmp_path, f"study: s\ncells:\n  - {{readout: prompted, {cell}}}\n")
    for word in words:
        assert word in message


def test_a_cell_given_twice_is_refused_whatever_its_documents(tmp_path: Path) -> None:
    message = study(
        tmp_path,
        "study: s\ncells:\n  - {readout: prompted, condition: swapped}\n"
        "  - {readout: prompted, condition: {image: swapped}, documents: 3}\n",
    )
    assert ":4:" in message
    assert "prompted/swapped is given twice" in message


def test_hints_name_only_what_there_is(tmp_path: Path) -> None:
    message = study(
        tmp_path,
        "study: s\ncells: [{readout: prompted}]\nhints:\n  weak: '{{ chioce }}'\n"
        "  strong: '{{ choice '\n  filler: '{{ choice }}'\n",
    )
    for word in (
        ":4:",
        "`chioce`",
        "Did you mean `choice`?",
        ":5:",
        "hints.strong",
        "hints.filler",
    ):
        assert word in message


@pytest.mark.parametrize(
    ("label", "rewords"),
    [
        ("own", False), ("own+paraphrase-1", True), ("own+order-2", True), ("own+letters", True),
        ("own+texts", True), ("markers-blue", True), ("markers-small+order-1", True),
        ("own+hint-right-weak", False), ("own+filler-9-after", False), ("blank", False),
        ("blank+order-1", False), ("own+order-1+single", False), ("own+order-1+random", False),
    ],
)  # fmt: skip
def test_what_asks_the_same_question_in_another_form(label: str, rewords: bool) -> None:
    assert Condition.parse(label).rewords is rewords


def test_every_look_of_markers_can_be_named_and_changes_one_thing() -> None:
    plain = MARKER_LOOKS["own"]
    for name, look in MARKER_LOOKS.items():
        assert Condition.parse(f"markers-{name}").image.label == f"markers-{name}"
        changed = [
            field for field in plain.__slots__ if getattr(look, field) != getattr(plain, field)
        ]
        assert len(changed) == (name != "own")
