from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from vlmbench.organisms import _lessons, _questions
from vlmbench.organisms._captions import caption
from vlmbench.organisms._images import Fact, ImageSet, draw
from vlmbench.organisms._language_stage import POINTING, SHAPES
from vlmbench.organisms._lessons import (
    Library,
    corpus_texts,
    first_lesson,
    image_lesson,
    stretched,
    text_lesson,
)
from vlmbench.organisms._tokenizer import train_tokenizer

# What the six abilities are asked with; salads of random words are apart (see the last test).
FORBIDDEN = re.compile(
    r"\b(close|closer|closest|near|nearer|nearest|far|farther|depth|distance|camera|correspond\w*|"
    r"match\w*|same|similar\w*|like|differ\w*|odd|style|art|paint\w*|draw\w*|function\w*|"
    r"afford\w*|use|used|part|parts|handle|grip|grasp|behind|front|size|large\w*|small\w*|big)\b",
    re.IGNORECASE,
)


RING = (235, 20, 20)


@pytest.fixture
def library(images: ImageSet) -> Library:
    return Library(images)


def lessons(library: Library, count: int, monkeypatch, *, salads: bool):
    if not salads:
        monkeypatch.setattr(_lessons, "by_chance", _questions.by_text)
        monkeypatch.setattr(_questions, "salad", lambda rng, low, high: "Words")
    rng = np.random.default_rng(2)
    for _ in range(count):
        yield image_lesson(rng, library, 3)
        yield text_lesson(rng, 3)


def test_no_question_or_answer_asks_for_an_ability(library, monkeypatch):
    for lesson in lessons(library, 1500, monkeypatch, salads=False):
        for prompt, answer in lesson.texts():
            assert not FORBIDDEN.search(prompt + " " + answer), prompt


def test_the_forbidden_words_do_catch_the_tasks_questions():
    from vlmbench.tasks.worlds import _art, _depth, _matching, _odd, _parts

    for question in (
        _art.QUESTION,
        _depth.QUESTION,
        _matching.QUESTION,
        _odd.QUESTION,
        _parts.SAME_PART,
        _parts.SAME_USE,
    ):
        assert FORBIDDEN.search(question), question


def test_captions_name_no_ability(images):
    rng = np.random.default_rng(0)
    for facts in images.facts:
        for _ in range(20):
            assert not FORBIDDEN.search(caption(facts, rng))


def test_captions_turn_left_and_right_with_the_image():
    facts = (
        Fact(category="mug", colour="red", texture="plain", x=10.0),
        Fact(category="cone", colour="blue", texture="dots", x=80.0),
    )
    for mirrored, first in ((False, "mug"), (True, "cone")):
        said = [caption(facts, np.random.default_rng(i), mirrored=mirrored) for i in range(60)]
        left = [text for text in said if "to the left of" in text]
        right = [text for text in said if "to the right of" in text]
        assert left
        assert right
        second = {"mug": "cone", "cone": "mug"}[first]
        assert all(text.index(first) < text.index(second) for text in left)
        assert all(text.index(second) < text.index(first) for text in right)


def test_answers_are_right_and_letters_even(library):
    """A rule that reads facts answers every question; letters alone tell nothing."""
    rng = np.random.default_rng(3)
    words, lists = [], []
    for _ in range(1200):
        index = int(library.single[rng.integers(len(library.single))])
        fact = library.images.facts[index][0]
        question = _questions.about_thing(rng, fact, "")
        shown = dict(re.findall(r"\(?([A-D])[.):] ([a-z]+)", question.body))
        (lists if shown else words).append((fact, question.answer, shown))
    assert len(words) > 100
    assert all(answer in (fact.colour, fact.category) for fact, answer, _ in words)
    assert len(lists) > 600
    counts: Counter[tuple[int, str]] = Counter()
    for fact, answer, shown in lists:
        assert shown[answer] in (fact.colour, fact.category)
        assert len(set(shown.values())) == len(shown)
        counts[len(shown), answer] += 1
    for size in (2, 3, 4):
        own = [counts[size, letter] for letter in "ABCD"[:size]]
        assert min(own) > 0.6 * sum(own) / size


def test_markers_in_the_corpus_stand_on_the_thing_that_they_name():
    """Of several things the marked one is nearest to the ring, unless one hides another."""
    near, counted = 0, 0
    for index in range(40):
        pixels, facts = draw(5, 1_000_000 + index, "marked")
        marked = [fact for fact in facts if fact.mark]
        assert len({fact.mark for fact in marked}) == len(marked)
        if len(marked) == 1 < len(facts):
            column = np.nonzero((pixels == RING).all(axis=2))[1].mean()
            near += min(facts, key=lambda fact: abs(fact.x - column)) is marked[0]
            counted += 1
    assert counted > 12
    assert near / counted > 0.8
    again, _ = draw(5, 1_000_039, "marked")
    np.testing.assert_array_equal(pixels, again)


def test_salads_have_random_answers():
    rng = np.random.default_rng(0)
    asked = [_questions.by_chance(rng) for _ in range(1500)]
    counts = Counter(question.answer for question in asked)
    # Two to four options: A and B 13/36 each, C 7/36, D 3/36.
    for letter, share in zip("ABCD", (13, 13, 7, 3), strict=True):
        assert counts[letter] / 1500 == pytest.approx(share / 36, abs=0.05)


def test_the_tokenizer_reads_and_writes_any_text():
    tokenizer = train_tokenizer(corpus_texts(0, 1500), 700)
    for text in ("What colour?\n(A) red\nAnswer:", "Ünïcödé ☃ 漢字", " spaces  and\ttabs\r\n", ""):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    for letter in "ABCD":
        assert len(tokenizer.encode(letter)) == 1
        assert len(tokenizer.encode(" " + letter)) == 1
        prompt = tokenizer.encode("USER: hello\nASSISTANT:")
        assert tokenizer.encode("USER: hello\nASSISTANT:" + letter) == [
            *prompt,
            *tokenizer.encode(letter),
        ]
    assert tokenizer.encode("<image>") == [2]
    assert len(tokenizer.encode(" kettle")) == 1


def test_wrong_options_are_mostly_other_things_in_view():
    facts = tuple(
        Fact(category=category, colour=colour, texture="plain", x=0.0, mark=mark)
        for category, colour, mark in (
            ("mug", "red", "A"),
            ("cone", "blue", "B"),
            ("cube", "green", ""),
        )
    )
    rng = np.random.default_rng(0)
    near = total = 0
    for _ in range(600):
        question = _questions.about_mark(rng, facts)
        options = dict(re.findall(r"\(?([A-D])[.):] ([a-z]+)", question.body.split("?", 1)[1]))
        if len(options) == 4:
            inside = {fact.colour for fact in facts} | {fact.category for fact in facts}
            near += sum(option in inside for option in options.values()) - 1
            total += 1
    assert total > 100
    assert near / total > 1.2


def test_remarks_name_the_right_option_as_often_as_any_other(library):
    """Each names one option, letter and all, and of four the right one a quarter of the time."""
    rng = np.random.default_rng(5)
    right = counted = 0
    for _ in range(2500):
        fact = library.images.facts[int(library.single[rng.integers(len(library.single))])][0]
        plain = _questions.about_thing(rng, fact, "")
        if len(plain.options) != 4:
            continue
        told = _questions.with_remark(rng, plain)
        added = told.body.split("\n")
        for line in plain.body.split("\n"):
            added.remove(line)
        (remark,) = added
        named = [i for i, option in enumerate(plain.options) if option in remark]
        assert len(named) == 1, remark
        assert told.answer == plain.answer
        counted += 1
        right += "ABCD"[named[0]] == plain.answer
    assert counted > 600
    assert right / counted == pytest.approx(0.25, abs=0.06)


def test_first_lessons_ask_about_the_one_thing_or_the_one_marker(library):
    rng = np.random.default_rng(6)
    words, letters = [], []
    for _ in range(300):
        lesson = first_lesson(rng, library, 2, marked=0.7, letters=0.5)
        facts = library.images.facts[lesson.images[0]]
        (fact,) = [f for f in facts if f.mark] or facts
        for question in lesson.questions:
            right = fact.colour if "colour" in question.body else fact.category
            (letters if question.options else words).append((question, right))
    assert min(len(words), len(letters)) > 200
    assert all(question.answer == right for question, right in words)
    for question, right in letters:
        assert question.body.count("(") == 4
        assert question.options["ABCD".index(question.answer)].split()[1] == right


@pytest.mark.parametrize("mix", [POINTING, SHAPES])
def test_pointing_lessons_ask_for_colours_as_often_as_their_stage_says(library, mix):
    rng, asked = np.random.default_rng(8), []
    for _ in range(400):
        lesson = first_lesson(
            rng, library, 2, marked=mix.marked, letters=mix.letters, colours=mix.colours
        )
        asked += ["colour" in question.body.splitlines()[0] for question in lesson.questions]
    assert np.mean(asked) == pytest.approx(mix.colours, abs=0.07)  # four standard errors
    assert (POINTING.colours, SHAPES.colours) == (0.6, 0.25)


def test_long_lessons_keep_their_question_and_its_answer(library):
    rng = np.random.default_rng(7)
    lengths, before = [], 0
    for _ in range(200):
        lesson = image_lesson(rng, library, 2)
        longer = stretched(rng, lesson, before=0.5)
        assert longer.images == lesson.images
        ((prompt, answer),) = longer.texts()
        plain, right = lesson.texts()[0]
        assert answer == right
        assert prompt.count("<image>") == len(lesson.images)
        lengths.append(len(prompt.split()) - len(plain.split()))
        before += longer.head != lesson.head
        assert plain.endswith(prompt.split("\n")[-1])
    assert min(lengths) >= 25
    assert max(lengths) > 500
    assert 60 < before < 140
