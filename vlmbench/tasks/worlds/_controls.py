"""Positive controls: what a single object is (naming), and what the object at A is (pointing)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np

from vlmbench.tasks.worlds._markers import draw_markers
from vlmbench.tasks.worlds._place import facing, inner_point, listed, portrait
from vlmbench.tasks.worlds._random import FRONTAL, random_scene, random_thing
from vlmbench.tasks.worlds._render import render
from vlmbench.tasks.worlds._scene import COLOURS, Scene
from vlmbench.tasks.worlds._shapes import CATEGORIES
from vlmbench.tasks.worlds._world import ATTEMPTS, Draw, Row, StuckError, World

NAMES: dict[str, tuple[str, ...]] = {"shape": CATEGORIES, "colour": tuple(COLOURS)}
"""Attribute to every name it can have."""

_QUESTIONS = {
    "naming": {
        "shape": "What is the object in the image?",
        "colour": "What colour is the object in the image?",
    },
    "pointing": {
        "shape": "A point is circled on the image, labeled by A. What is the object at A?",
        "colour": "A point is circled on the image, labeled by A. What colour is the object at A?",
    },
}


def _words(draw: Draw, right: str, names: Sequence[str], first: Sequence[str] = ()) -> list[str]:
    """Four different words with the right one at gold; wrong ones are taken from `first` first."""
    preferred = [name for name in dict.fromkeys(first) if name != right]
    rest = [name for name in names if name != right and name not in preferred]
    wrong = [*preferred, *(rest[i] for i in draw.rng.permutation(len(rest)))][:3]
    words = [wrong[i] for i in draw.rng.permutation(3)]
    words.insert(draw.gold, right)
    return words


def _naming(draw: Draw) -> Row:
    attribute = ("shape", "colour")[draw.variant]
    scene = _single(draw.rng, NAMES)
    thing = scene.things[0]
    right = thing.category if attribute == "shape" else thing.colour
    words = _words(draw, right, NAMES[attribute])
    return _named(scene, attribute, words, draw.gold)


def _renamed(draw: Draw) -> Row:
    """Draw the same scene with what the next choice names, and else as it was."""
    again, attribute = deepcopy(draw.rng), ("shape", "colour")[draw.variant]
    plain, target = _naming(draw), (draw.gold + 1) % 4
    old, new = plain["label"], plain["choices"][target]
    # The two names change places, so that whatever was drawn as the old one is drawn as the new.
    swap = {old: new, new: old}
    names = {**NAMES, attribute: tuple(swap.get(name, name) for name in NAMES[attribute])}
    scene = _single(again, names)
    return {**_named(scene, attribute, plain["choices"], target), "gold": target}


def _single(rng: np.random.Generator, names: Mapping[str, Sequence[str]]) -> Scene:
    """Draw a scene of one thing, whose category and colour are drawn by their place in `names`."""
    thing = random_thing(rng, categories=names["shape"], colours=names["colour"], scale=(0.85, 1.0))
    scene = portrait(rng, thing)
    # Cubes and tall things would not fit otherwise.
    camera = replace(scene.camera, distance=scene.camera.distance * 1.2)
    scene = replace(scene, camera=camera)
    if thing.category in FRONTAL:
        scene = facing(scene, float(rng.uniform(-0.9, 0.9)))
    return scene


def _named(scene: Scene, attribute: str, words: list[str], right: int) -> Row:
    """Return the row of a scene whose name is among the words."""
    return {
        "question": _QUESTIONS["naming"][attribute],
        "choices": words,
        "attribute": attribute,
        "label": words[right],
        "choice_labels": words,
        "image_1": render(scene).rgb,
    }


def _pointing(draw: Draw) -> Row:
    rng = draw.rng
    attribute = ("shape", "colour")[draw.variant]
    for _ in range(ATTEMPTS):
        # Fewer things when easy; other things supply the wrong answers, so the place decides.
        scene = random_scene(rng, things=(2, 3) if draw.difficulty < 0.34 else (3, 4))
        things = scene.things
        names = [t.category if attribute == "shape" else t.colour for t in things]
        if len(things) < 2 or len(set(names)) < len(names):
            continue
        image = render(scene)
        target = int(rng.integers(len(things)))
        sizes = [int((image.ids == i).sum()) for i in range(len(things))]
        point = inner_point(rng, image.ids == target, clear=2.0)
        if point is None or min(sizes) < 100:
            continue
        words = _words(draw, names[target], NAMES[attribute], first=names)
        return {
            "question": _QUESTIONS["pointing"][attribute],
            "choices": words,
            "attribute": attribute,
            "label": names[target],
            "choice_labels": words,
            "image_1": draw_markers(image.rgb, np.array([point]), ["A"]),
            "unmarked_1": image.rgb,
            "point": listed(np.array([point]))[0],
        }
    raise StuckError("pointing: no scene fits")


NAMING = World(
    name="naming",
    version=1,
    summary="What is the object, or what colour is it?",
    n_choices=4,
    images=1,
    variants=2,
    columns={
        "attribute": "string",
        "label": "string",
        "choice_labels": "strings",
        "image_1": "image",
    },
    row=_naming,
    counterfactual=_renamed,
)

POINTING = World(
    name="pointing",
    version=1,
    summary="What is the object at the marked point, or what colour is it?",
    n_choices=4,
    images=1,
    variants=2,
    columns={
        "attribute": "string",
        "label": "string",
        "choice_labels": "strings",
        "image_1": "image",
        "unmarked_1": "image",
        "point": "point",
    },
    row=_pointing,
    markers={"image_1": ("point", ("A",))},
)
