"""Lessons: images, a head that introduces them, and questions that share them.

A lesson is drawn from a generator and the images' facts alone, so the order of the data is the
same for every encoder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vlmbench.organisms._captions import caption, phrase, pick
from vlmbench.organisms._filler import salad
from vlmbench.organisms._images import Facts, ImageSet
from vlmbench.organisms._questions import (
    LETTERS,
    ORDINALS,
    Question,
    about_mark,
    about_thing,
    by_chance,
    by_text,
    by_word,
    describe,
    plainly,
    random_facts,
    which_image,
    which_mark,
    with_remark,
)
from vlmbench.organisms._tokenizer import chat
from vlmbench.tasks.worlds import COLOURS

CHAT_SHARE = 0.7
"""Share of lessons in the chat format; the rest are bare prompts."""

COLOURS_ASKED = 0.6
"""Share of plain questions for the colour: it is what is learnt first."""

REMARKS = 0.3
"""Where in [0, 1] the share of questions with a remark ends that begins at .12."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """Questions about the same images.

    Attributes:
        images: Indices into the image set, in the order of the head's `<image>`s.
        head: Text with one `<image>` per image, before every question.
        questions: What is asked.
        chatty: Whether the chat format is used.
    """

    images: tuple[int, ...]
    head: str
    questions: tuple[Question, ...]
    chatty: bool

    def texts(self) -> list[tuple[str, str]]:
        """Return (prompt, answer) of every question as a model meets them."""
        if self.chatty:
            return [(chat(self.head + q.body), q.answer) for q in self.questions]
        return [(self.head + q.body, " " + q.answer) for q in self.questions]


@dataclass(frozen=True, slots=True)
class Library:
    """The image set, sorted by what can be asked about its images."""

    images: ImageSet
    single: NDArray[np.int64] = field(init=False)
    several: NDArray[np.int64] = field(init=False)
    marked: NDArray[np.int64] = field(init=False)
    one_mark: NDArray[np.int64] = field(init=False)
    by_colour: tuple[NDArray[np.int64], ...] = field(init=False)

    def __post_init__(self) -> None:
        count = np.array([len(facts) for facts in self.images.facts])
        marked = self.images.marked
        object.__setattr__(self, "single", np.flatnonzero((count == 1) & ~marked))
        object.__setattr__(self, "several", np.flatnonzero((count > 1) & ~marked))
        object.__setattr__(self, "marked", np.flatnonzero(marked))
        marks = np.array([sum(bool(fact.mark) for fact in facts) for facts in self.images.facts])
        object.__setattr__(self, "one_mark", np.flatnonzero(marks == 1))
        colour = np.array([facts[0].colour for facts in self.images.facts])
        single = (count == 1) & ~marked
        pools = tuple(np.flatnonzero(single & (colour == name)) for name in COLOURS)
        object.__setattr__(self, "by_colour", tuple(pool for pool in pools if len(pool)))

    def draw(self, rng: np.random.Generator, pool: NDArray[np.int64]) -> int:
        """Return one index from a pool."""
        return int(pool[int(rng.integers(len(pool)))])


def word_lesson(rng: np.random.Generator, *, uniform: bool) -> Lesson:
    """Return the shortest lesson: a word, options, the letter of the word."""
    asked = (by_word(rng, uniform=uniform),)
    return Lesson(images=(), head="", questions=asked, chatty=_chatty(rng))


def text_lesson(rng: np.random.Generator, questions: int) -> Lesson:
    """Return a lesson whose head describes in words what an image would show."""
    if rng.random() < 0.5:
        facts = random_facts(rng, ("",))
        head = f"{facts[0].colour} {phrase(facts[0], rng)}"
        asked = [about_thing(rng, facts[0], "") for _ in range(questions)]
    else:
        facts = random_facts(rng, LETTERS[: int(rng.integers(2, 5))])
        head = ", ".join(f"{fact.mark}: {fact.colour} {fact.category}" for fact in facts)
        asked = [_ask_marked(rng, facts) for _ in range(questions)]
    return Lesson(images=(), head=head + "\n", questions=_mix(rng, asked), chatty=_chatty(rng))


def first_lesson(
    rng: np.random.Generator,
    library: Library,
    questions: int,
    *,
    marked: float,
    letters: float,
    colours: float = COLOURS_ASKED,
) -> Lesson:
    """Return the plainest lesson about an image: one thing or one marker, one wording.

    Where to look is learnt here, before questions come in many forms.

    Args:
        rng: Source of everything that is drawn.
        library: The images.
        questions: How many are asked.
        marked: Share of images with one marker among several things; the others show one thing.
        letters: Share of questions that is answered with a letter; the others are in a word.
        colours: Share of questions for the colour; the others are for the shape.
    """
    index = library.draw(rng, library.single if rng.random() < 1 - marked else library.one_mark)
    facts = library.images.facts[index]
    fact = next((fact for fact in facts if fact.mark), facts[0])
    where = f" at {fact.mark}" if fact.mark else ""
    asked = tuple(
        plainly(rng, fact, where, facts, letters=bool(rng.random() < letters), colours=colours)
        for _ in range(questions)
    )
    return Lesson(images=(index,), head="<image>\n", questions=asked, chatty=_chatty(rng))


def image_lesson(rng: np.random.Generator, library: Library, questions: int) -> Lesson:
    """Return a lesson about one to four images."""
    roll = rng.random()
    if roll < 0.78:
        pool = library.single if roll < 0.34 else library.marked
        if roll > 0.72:
            pool = library.several
        elif roll > 0.58:
            pool = library.one_mark
        index = library.draw(rng, pool)
        facts = library.images.facts[index]
        asked = [_ask_one(rng, facts) for _ in range(questions)]
        indices: tuple[int, ...] = (index,)
    else:
        count = int(rng.choice([2, 2, 3, 3, 4]))
        pool = library.marked if rng.random() < 0.5 else library.single
        indices = tuple(library.draw(rng, pool) for _ in range(count))
        images = [library.images.facts[i] for i in indices]
        asked = [_ask_several(rng, images) for _ in range(questions)]
    head = _head(rng, len(indices))
    return Lesson(images=indices, head=head, questions=_mix(rng, asked), chatty=_chatty(rng))


def stretched(rng: np.random.Generator, lesson: Lesson, *, before: float) -> Lesson:
    """Return a lesson of one question with up to a thousand random words before or after images.

    So a model has seen long prompts, and questions that are far from the image.

    Args:
        rng: Source of the words and of their number.
        lesson: What to stretch; its first question is kept.
        before: How often the words come before the images; else they precede the last line.
    """
    words = int(np.exp(rng.uniform(np.log(30), np.log(1000))))
    filler, question = salad(rng, words, words), lesson.questions[0]
    if rng.random() < before:
        return replace(lesson, head=f"{filler}\n{lesson.head}", questions=(question,))
    body, _, last = question.body.rpartition("\n")
    body = f"{body}\n{filler}\n{last}" if body else f"{filler}\n{last}"
    return replace(lesson, questions=(replace(question, body=body),))


def corpus_texts(seed: int, lessons: int) -> Iterator[str]:
    """Yield lessons as text, from which the tokenizer is trained."""
    rng = np.random.default_rng([seed, 0x70CE])
    for _ in range(lessons):
        made = text_lesson(rng, 2)
        facts = random_facts(rng, ("A", "B", "C", "D", "REF")[: int(rng.integers(1, 6))])
        yield caption(facts, rng)
        yield _head(rng, int(rng.integers(1, 5)))
        for prompt, answer in made.texts():
            yield prompt + answer


def _chatty(rng: np.random.Generator) -> bool:
    return bool(rng.random() < CHAT_SHARE)


def _mix(rng: np.random.Generator, asked: list[Question]) -> tuple[Question, ...]:
    """Replace a few questions by ones that only teach the format; put remarks into others."""
    mixed = []
    for question in asked:
        roll = rng.random()
        if roll < 0.12:
            mixed.append(by_text(rng) if roll < 0.06 else by_chance(rng))
        elif roll < REMARKS and question.options:
            mixed.append(with_remark(rng, question))
        else:
            mixed.append(question)
    return tuple(mixed)


def _head(rng: np.random.Generator, count: int) -> str:
    """Introduce `count` images."""
    if count == 1:
        return pick(rng, "<image>\n", "<image>\n", "<image>\n", "<image> ", "Image: <image>\n")
    form = pick(
        rng,
        "{th} image: <image>\n",
        "{th} image: <image>\n",
        "Image {n}: <image>\n",
        "{n}. <image>\n",
        "<image>\n",
    )
    return "".join(form.format(n=i + 1, th=ORDINALS[i].capitalize()) for i in range(count))


def _ask_marked(rng: np.random.Generator, facts: Facts, where: str = "") -> Question:
    """Ask about markers in either direction."""
    turned = which_mark(rng, facts, where) if rng.random() < 0.35 else None
    return turned or about_mark(rng, facts, where)


def _ask_one(rng: np.random.Generator, facts: Facts) -> Question:
    """Ask about one image."""
    marked = any(fact.mark for fact in facts)
    if rng.random() < (0.1 if marked or len(facts) == 1 else 1.0):
        return describe(rng, facts)
    return _ask_marked(rng, facts) if marked else about_thing(rng, facts[0], "")


def _ask_several(rng: np.random.Generator, images: list[Facts]) -> Question:
    """Ask about several images: which shows a thing, or what one of them shows."""
    asked = which_image(rng, images) if rng.random() < 0.5 else None
    if asked:
        return asked
    place = int(rng.integers(len(images)))
    where = pick(rng, f" in the {ORDINALS[place]} image", f" in image {place + 1}")
    facts = images[place]
    if any(fact.mark for fact in facts):
        return _ask_marked(rng, facts, where)
    return about_thing(rng, facts[0], where, [other[0] for other in images])
