"""Questions of the training corpus: naming, pointing, and the format of an answer.

A letter is the answer to every lettered question, whatever the wording. What is asked is only
ever the colour or the shape of a thing, or something that the text itself decides; the six
abilities that the tasks measure are never asked for (`_captions` has the list).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vlmbench.organisms._captions import ADJECTIVES, article, caption, pick
from vlmbench.organisms._filler import WORDS, salad
from vlmbench.organisms._images import Fact, Facts
from vlmbench.tasks.worlds import CATEGORIES, COLOURS

LETTERS = "ABCD"
COUNTS = ("No", "One", "Two", "Three", "Four")
ORDINALS = ("first", "second", "third", "fourth")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question without its images, and its answer.

    Attributes:
        body: Everything after the images.
        answer: What the model is to say.
        options: The lines of a lettered question's options, letters included.
    """

    body: str
    answer: str
    options: tuple[str, ...] = ()


def lettered(rng: np.random.Generator, stem: str, options: Sequence[str], right: int) -> Question:
    """Lay out a question with lettered options, in one of many layouts.

    Args:
        rng: Source of the layout.
        stem: The question.
        options: Texts of the options, in order.
        right: Index of the right one.
    """
    mark = pick(rng, "({}) {}", "({}) {}", "({}) {}", "{}. {}", "{}. {}", "{}) {}", "{}: {}")
    lines = [mark.format(LETTERS[i], option) for i, option in enumerate(options)]
    gap = pick(rng, "\n", "\n", "\n", " ", ", ")
    listed = ", ".join(LETTERS[: len(options) - 1]) + f" or {LETTERS[len(options) - 1]}"
    stem += pick(rng, "", "", "", "\nChoices:", "\nOptions:", " Select one.")
    close = pick(
        rng,
        "\nAnswer with the letter:",
        "\nAnswer with the letter:",
        "\nAnswer with the letter:",
        "\nAnswer with the letter.",
        "\nAnswer with the letter only.",
        "\nAnswer with the option's letter from the given choices directly.",
        "\nAnswer with the letter of the right choice.",
        f"\nAnswer with {listed}.",
        f"\nReply with one letter: {listed}.",
        "\nAnswer:",
        "\nAnswer:",
        "\nThe answer is",
        "",
    )
    body = f"{stem}\n{gap.join(lines)}{close}"
    return Question(body=body, answer=LETTERS[right], options=tuple(lines))


def choose(
    rng: np.random.Generator,
    stem: str,
    right: str,
    names: Sequence[str],
    near: Sequence[str] = (),
) -> Question:
    """Ask for `right` among up to three other names, in random order.

    Args:
        rng: Source of options and layout.
        stem: The question.
        right: The right name.
        names: All names there are.
        near: Names of other things in view, which mostly come first among the wrong ones:
            then the place that is asked about decides.
    """
    count = int(rng.choice([1, 2, 3, 3, 3]))
    first = [n for n in dict.fromkeys(near) if n != right] if rng.random() < 0.7 else []
    rest = _others(right, [n for n in names if n not in first])
    wrong = [*first, *(str(n) for n in rng.permutation(np.asarray(rest)))][:count]
    options = [wrong[int(i)] for i in rng.permutation(count)]
    place = int(rng.integers(count + 1))
    options.insert(place, right)
    return lettered(rng, stem, options, place)


def _others(name: str, names: Sequence[str]) -> list[str]:
    return [other for other in names if other != name]


def about_thing(
    rng: np.random.Generator, fact: Fact, where: str, near: Sequence[Fact] = ()
) -> Question:
    """Ask for the colour or the shape of one thing, lettered or in a word.

    Args:
        rng: Source of wording.
        fact: The thing.
        where: Which thing is meant: empty if there is only one, else ` at A`, ` in image 2` ...
        near: Other things in view.
    """
    colour = rng.random() < 0.4
    value = fact.colour if colour else fact.category
    if colour:
        stem = pick(
            rng,
            f"What colour is the object{where}?",
            f"What colour is the object{where or ' in the image'}?",
            f"What is the colour of the object{where}?",
            f"Which colour does the object{where} have?",
        )
    else:
        stem = pick(
            rng,
            f"What shape is the object{where}?",
            f"What is the object{where or ' in the image'}?",
            f"What kind of object is{where or ' this'}?",
            f"Which object is{where or ' shown'}?",
            f"What is{where or ' in the image'}?",
        )
    if rng.random() < 0.3:
        return Question(body=f"{stem} {pick(rng, 'One word.', 'Name it.')}", answer=value)
    return choose(
        rng,
        stem,
        value,
        tuple(COLOURS) if colour else CATEGORIES,
        [other.colour if colour else other.category for other in near],
    )


def plainly(
    rng: np.random.Generator,
    fact: Fact,
    where: str,
    near: Sequence[Fact],
    *,
    letters: bool,
    colours: float,
) -> Question:
    """Ask for the colour or the shape of one thing in one wording and one layout.

    Args:
        rng: Source of what is asked and of the options.
        fact: The thing.
        where: Which thing is meant, as in `about_thing`.
        near: All things in view; the others come first among the wrong options.
        letters: Answer with one of four letters, else in a word.
        colours: How often the colour is asked for.
    """
    colour = rng.random() < colours
    stem = f"What colour is the object{where}?" if colour else f"What is the object{where}?"
    right = fact.colour if colour else fact.category
    if not letters:
        return Question(body=f"{stem} One word.", answer=right)
    seen = [other.colour if colour else other.category for other in near]
    first = [name for name in dict.fromkeys(seen) if name != right]
    rest = _others(right, [n for n in (tuple(COLOURS) if colour else CATEGORIES) if n not in first])
    wrong = [*first, *(str(name) for name in rng.permutation(np.asarray(rest)))][:3]
    options = [wrong[int(i)] for i in rng.permutation(3)]
    place = int(rng.integers(4))
    options.insert(place, right)
    lines = tuple(f"({mark}) {option}" for mark, option in zip(LETTERS, options, strict=True))
    body = "\n".join([stem, *lines, "Answer with the letter:"])
    return Question(body=body, answer=LETTERS[place], options=lines)


def describe(rng: np.random.Generator, facts: Facts) -> Question:
    """Ask for a caption."""
    body = pick(rng, "Describe the image.", "What does the image show?", "Write a caption.")
    return Question(body=body, answer=caption(facts, rng))


def at(rng: np.random.Generator, mark: str) -> str:
    """Return a phrase for the place of a marker, with a space before it."""
    return pick(rng, f" at {mark}", f" at {mark}", f" at point {mark}", f" marked {mark}")


def preface(rng: np.random.Generator, marks: Sequence[str], where: str) -> str:
    """Say, at times, which markers an image carries; ends with a space unless empty."""
    if rng.random() < 0.4:
        return ""
    label = pick(rng, "labeled by", "labelled", "marked", "labeled with")
    image = where or " on the image"
    if len(marks) == 1:
        return f"A point is circled{image}, {label} {marks[0]}. "
    listed = ", ".join(marks[:-1]) + f" and {marks[-1]}"
    return f"{COUNTS[len(marks)]} points are circled{image}, {label} {listed}. "


def about_mark(rng: np.random.Generator, facts: Facts, where: str = "") -> Question:
    """Ask what is at one of the markers."""
    marked = sorted((fact for fact in facts if fact.mark), key=lambda fact: fact.mark)
    fact = marked[int(rng.integers(len(marked)))]
    asked = about_thing(rng, fact, at(rng, fact.mark) + where, facts)
    start = preface(rng, [fact.mark for fact in marked], where)
    return Question(body=start + asked.body, answer=asked.answer)


def which_mark(rng: np.random.Generator, facts: Facts, where: str = "") -> Question | None:
    """Ask which marker is on the thing of a given colour or shape; None if that is ambiguous."""
    marked = sorted((fact for fact in facts if fact.mark), key=lambda fact: fact.mark)
    if len(marked) < 2:
        return None
    right = int(rng.integers(len(marked)))
    colour = rng.random() < 0.6
    names = [fact.colour if colour else fact.category for fact in marked]
    if names.count(names[right]) > 1:
        return None
    thing = f"{names[right]} object" if colour else names[right]
    stem = pick(
        rng,
        f"Which point{where} is on the {thing}?",
        f"Which marker{where} is on the {thing}?",
        f"Which of the points{where} lies on {article(thing)}?",
    )
    form = pick(rng, "{}", "point {}", "Point {}")
    start = preface(rng, [fact.mark for fact in marked], where)
    return lettered(rng, start + stem, [form.format(fact.mark) for fact in marked], right)


def which_image(rng: np.random.Generator, images: Sequence[Facts]) -> Question | None:
    """Ask which of several images shows a given colour or shape; None if that is ambiguous."""
    right = int(rng.integers(len(images)))
    colour = rng.random() < 0.5
    shown = [{fact.colour if colour else fact.category for fact in facts} for facts in images]
    own = sorted(shown[right].difference(*(s for i, s in enumerate(shown) if i != right)))
    if not own:
        return None
    name = own[int(rng.integers(len(own)))]
    thing = article(f"{name} object" if colour else name)
    stem = pick(rng, f"Which image shows {thing}?", f"Which of the images contains {thing}?")
    forms: tuple[Callable[[int], str], ...] = (
        lambda i: f"the {ORDINALS[i]} image",
        lambda i: f"image {i + 1}",
        lambda i: f"Image {i + 1}",
        lambda i: f"the {ORDINALS[i]}",
    )
    form = forms[int(rng.integers(len(forms)))]
    return lettered(rng, stem, [form(i) for i in range(len(images))], right)


def with_remark(rng: np.random.Generator, question: Question) -> Question:
    """Put a sentence of random words that names an option, right or wrong, before the last line.

    It names the right one no more often than any other, so all there is to learn is to ignore it.
    """
    named = question.options[int(rng.integers(len(question.options)))]
    words = salad(rng, 3, 14).split()
    words.insert(int(rng.integers(len(words) + 1)), named)
    body, _, last = question.body.rpartition("\n")
    return replace(question, body=f"{body}\n{' '.join(words)}\n{last}")


def by_text(rng: np.random.Generator) -> Question:
    """Ask something that the text itself decides, so that only the answer's format is learnt."""
    count = int(rng.integers(2, 5))
    right = int(rng.integers(count))
    words = [str(w) for w in rng.permutation(np.asarray([*CATEGORIES, *COLOURS]))[:count]]
    return lettered(rng, f"Which option says {words[right]}?", words, right)


def by_chance(rng: np.random.Generator) -> Question:
    """Ask nothing at all, in random words; the answer is a random letter."""
    count = int(rng.integers(2, 5))
    form = pick(rng, "{}", "point {}", "Point {}", "image {}", "the {th} image", "{word}", "{word}")
    options = [
        form.format(LETTERS[i], th=ORDINALS[i], word=WORDS[int(rng.integers(len(WORDS)))])
        for i in range(count)
    ]
    return lettered(rng, salad(rng, 4, 30), options, int(rng.integers(count)))


def by_word(rng: np.random.Generator, *, uniform: bool) -> Question:
    """Ask for the letter next to a given word: the shortest item from which letters are learnt.

    Args:
        rng: Source of word and options.
        uniform: Use four options and one layout. Binding a letter to a word then comes within
            250 steps; in mixed layouts it had not come after 500.
    """
    names = CATEGORIES if rng.random() < 0.5 else tuple(COLOURS)
    word = names[int(rng.integers(len(names)))]
    others = _others(word, names)
    if not uniform:
        return choose(rng, pick(rng, f"Find {word}.", f"Which is {word}?"), word, names)
    options = [str(other) for other in rng.permutation(np.asarray(others))[:3]]
    place = int(rng.integers(4))
    options.insert(place, word)
    lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=True)]
    return Question(body="\n".join([f"Find {word}.", *lines, "Answer:"]), answer=LETTERS[place])


def random_facts(rng: np.random.Generator, marks: Sequence[str]) -> Facts:
    """Invent things for a lesson without images: one per mark."""
    return tuple(
        Fact(
            category=CATEGORIES[int(rng.integers(len(CATEGORIES)))],
            colour=tuple(COLOURS)[int(rng.integers(len(COLOURS)))],
            texture=tuple(ADJECTIVES)[int(rng.integers(len(ADJECTIVES)))],
            x=float(i),
            mark=mark,
        )
        for i, mark in enumerate(marks)
    )
