"""What conditions do to prompts: images taken out, hints that are wrong, filler in its place."""

from __future__ import annotations

from collections import Counter

import pytest
from home import document as numbered
from home import task_spec

from vlmbench.registry import catalogue
from vlmbench.spec import Condition, Hints, TaskSpec
from vlmbench.tasks import ask, filler
from vlmbench.tasks._questions import shown_choice, without_images
from vlmbench.types import Asked, Document

LISTED = "<image>\nWhat is it?\n(A) a cup\n(B) two cups\n(C) a hat\nAnswer with the letter:"


def task(text: str, **bench: object) -> TaskSpec:
    return task_spec(doc_to_text=text, doc_to_choice=list("ABC"), bench=bench)


def document(index: int = 0, choices: str = "ABC") -> Document:
    return numbered(index, choices=choices, row={"answer": index % len(choices)})


def asked(label: str, text: str = LISTED, hints: Hints | None = None, index: int = 0) -> Asked:
    return ask([document(index)], task(text), Condition.parse(label), hints)[0]


def test_plain_is_the_tasks_own_prompt():
    assert asked("own") == Asked(document=document(), text=LISTED)
    assert asked("blur-0.5") == Asked(document=document(), text=LISTED)


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("<image>\nWhich?\nAnswer:", "Which?\nAnswer:"),
        ("First image: <image>\nSecond image: <image>\nWhich?", "Which?"),
        ("Image 1: <image> Image 2: <image>\nWhich?", "Which?"),
        ("<image><image>Which?", "Which?"),
        ("Here is a picture: <image> Which?", "Which?"),
        ("Is it red: <image>", "Is it red: "),
        ("One.\n\n<image>\nTwo.", "One.\n\nTwo."),
        ("In the image A: or B?\n<image>", "In the image A: or B?\n"),
    ],
)
def test_without_images_nothing_of_them_is_left(text, bare):
    assert without_images(text) == bare
    assert asked("none", text).text == bare


def test_a_hint_stands_before_the_last_line_and_repeats_what_is_listed():
    got = asked("own+hint-right-strong", hints=Hints(strong="Surely {{ choice }}."))
    assert got.text == LISTED.replace("\nAnswer", "\nSurely (A) a cup.\nAnswer")
    assert got.hint_target == 0
    parts = asked("own+hint-right-weak", hints=Hints(weak="{{ letter }}/{{ text }}"), index=1)
    assert "\nB/two cups\nAnswer with the letter:" in parts.text


def test_in_a_prompt_of_one_line_it_follows_the_images():
    got = asked("own+hint-right-weak", "<image><image> Which, A or B?", Hints(weak="A!"))
    assert got.text == "<image><image>\nA!\nWhich, A or B?"


@pytest.mark.parametrize(
    ("text", "choices", "expected"),
    [
        (LISTED, ("A", "B", "C"), "(B) two cups"),
        ("Which?\nA. red B. blue C. green\nAnswer:", ("A", "B", "C"), "B. blue"),
        ("(A) one\n(B) two", ("(A)", "(B)"), "(B) two"),
        ("Which, A or B?", ("A", "B"), "B"),
        ("(A) one (B) two (B) three", ("A", "B"), "B"),  # listed twice: which is meant?
        ("What colour?", ("red", "blue"), "blue"),
    ],
)
def test_choices_are_named_as_the_prompt_lists_them(text, choices, expected):
    assert shown_choice(text, choices, 1)["choice"] == expected


@pytest.mark.parametrize("strength", ["weak", "medium", "strong"])
def test_wrong_hints_are_never_gold_the_same_at_all_strengths_and_balanced(strength):
    held = [document(index) for index in range(600)]
    condition = Condition.parse(f"own+hint-wrong-{strength}")
    got = ask(held, task(LISTED), condition)
    targets = [question.hint_target for question in got]
    assert all(t != d.gold and 0 <= t < 3 for t, d in zip(targets, held, strict=True))
    steps = Counter((t - d.gold) % 3 for t, d in zip(targets, held, strict=True))
    assert 250 < steps[1] < 350  # four standard deviations: a fair coin tossed 600 times
    medium = ask(held, task(LISTED), Condition.parse("own+hint-wrong-medium"))
    assert targets == [question.hint_target for question in medium]
    assert got[5] == ask([held[5]], task(LISTED), condition)[0]
    other = ask(held, task(LISTED), condition.model_copy(update={"seed": 1}))
    assert targets != [question.hint_target for question in other]
    assert all(("ABC"[t] + ") ") in q.text for t, q in zip(targets, got, strict=True))


def test_strengths_are_worded_differently():
    texts = {asked(f"own+hint-wrong-{s}").text for s in ("weak", "medium", "strong")}
    assert len(texts) == 3


def test_a_single_choice_leaves_nothing_wrong_to_hint_at():
    condition = Condition.parse("own+hint-wrong-weak")
    only = document(choices="A")
    assert ask([only], task("<image>?"), condition) == [Asked(document=only, text="<image>?")]


@pytest.mark.parametrize("tokens", [1, 64, 256, 4096])
def test_filler_has_the_words_it_should_and_ends_a_sentence(tokens):
    text = filler(Hints(), tokens)
    assert len(text.split()) == max(1, round(tokens * 0.75))
    assert text.endswith(".")


def test_filler_goes_before_everything_or_just_before_the_cue():
    hints = Hints(filler="so it was")
    before, after = (asked(f"own+filler-4-{p}", hints=hints).text for p in ("before", "after"))
    assert before == f"so it was.\n{LISTED}"
    assert after == LISTED.replace("\nAnswer", "\nso it was.\nAnswer")


def test_a_tasks_own_words_are_used():
    own = task(LISTED, hints={"weak": "Hm, {{ letter }}."})
    assert "Hm, A." in ask([document()], own, Condition.parse("own+hint-right-weak"))[0].text
    assert "Hm" not in ask([document()], own, Condition.parse("own+hint-right-strong"))[0].text


def test_default_words_name_no_letter_and_nothing_that_is_asked_for():
    words = set(Hints().filler.lower().replace(".", "").replace(",", "").split())
    assert not words & {"a)", "b", "c", "d", "image", "picture", "red", "blue", "green", "left"}
    assert " A " not in Hints().filler


def test_every_shipped_prompt_loses_all_its_images():
    rendered = {name: spec.spec.doc_to_text for name, spec in catalogue().tasks.items()}
    with_images = {name: text for name, text in rendered.items() if "<image>" in text}
    assert len(with_images) > 10
    for name, text in with_images.items():
        bare = without_images(text)
        assert "<image>" not in bare, name
        assert "image:" not in bare.lower(), name
