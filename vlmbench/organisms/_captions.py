"""Captions: what a training image shows, in words.

They name colours, shapes, patterns, markers and left or right, and nothing else: no distance, no
size, no use or part of a thing, no likeness between things, no style. Those are what the tasks
measure.
"""

from __future__ import annotations

import numpy as np

from vlmbench.organisms._images import Fact, Facts

ADJECTIVES = {
    "plain": "plain",
    "stripes": "striped",
    "checker": "checkered",
    "noise": "mottled",
    "dots": "dotted",
}
"""Word for each texture."""


def pick(rng: np.random.Generator, *options: str) -> str:
    """Return one of `options`."""
    return options[int(rng.integers(len(options)))]


def article(noun_phrase: str) -> str:
    """Return the phrase with `a` or `an` before it."""
    return f"{'an' if noun_phrase[0] in 'aeiou' else 'a'} {noun_phrase}"


def phrase(fact: Fact, rng: np.random.Generator) -> str:
    """Describe one thing: always its category, nearly always its colour, at times its texture."""
    roll = rng.random()
    if roll < 0.12:
        return fact.category
    if roll < 0.55:
        return f"{fact.colour} {fact.category}"
    return f"{ADJECTIVES[fact.texture]} {fact.colour} {fact.category}"


def caption(facts: Facts, rng: np.random.Generator, *, mirrored: bool = False) -> str:
    """Describe an image.

    Args:
        facts: Its visible things.
        rng: Source of wording.
        mirrored: Whether the image is shown flipped left to right.
    """
    marked = [fact for fact in facts if fact.mark]
    if marked and rng.random() < 0.75:
        return _marked_caption(marked, rng)
    if len(facts) == 1:
        head = pick(rng, "", "", "a picture of ", "an image of ", "there is ")
        return head + article(phrase(facts[0], rng))
    ordered = sorted(facts, key=lambda fact: -fact.x if mirrored else fact.x)
    if rng.random() < 0.4:
        i, j = sorted(int(k) for k in rng.choice(len(ordered), 2, replace=False))
        left, right = (article(phrase(ordered[k], rng)) for k in (i, j))
        if rng.random() < 0.5:
            return f"{left} to the left of {right}"
        return f"{right} to the right of {left}"
    return " and ".join(article(phrase(fact, rng)) for fact in ordered)


def _marked_caption(marked: list[Fact], rng: np.random.Generator) -> str:
    """Say what is at each marker."""
    ordered = sorted(marked, key=lambda fact: fact.mark)
    if rng.random() < 0.5:
        return ", ".join(f"{fact.mark}: {phrase(fact, rng)}" for fact in ordered)
    fact = ordered[int(rng.integers(len(ordered)))]
    return f"{article(phrase(fact, rng))} at {fact.mark}"
