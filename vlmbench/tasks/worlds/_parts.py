"""Parts: the same part on another instance, and the same functional part on another category.

Both views are rolled by up to half a turn, so that a part's place in the image says little; how
near a choice lies to REF's own position is balanced by rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from vlmbench.tasks.worlds._markers import draw_markers
from vlmbench.tasks.worlds._mesh import Floats
from vlmbench.tasks.worlds._place import (
    in_frame,
    listed,
    nearest_apart,
    portrait,
    rank_of_gold,
)
from vlmbench.tasks.worlds._scene import Scene, random_thing
from vlmbench.tasks.worlds._shapes import COMPOSITES, solid
from vlmbench.tasks.worlds._world import ATTEMPTS, LETTERS, SIZE, Draw, Row, Stuck, World

if TYPE_CHECKING:
    from vlmbench.tasks.worlds._render import View

SAME_PART = (
    "A point is circled on the first image, labeled with REF. Which point circled on the second "
    "image is the corresponding part of the other object?"
)
SAME_USE = (
    "A point is circled on the first image, labeled with REF. Which point circled on the second "
    "image has the same function on the other object?"
)
_CHOICES = [f"Point {letter}" for letter in LETTERS]

FUNCTIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "grip": {
            "mug": ("handle",),
            "pan": ("handle",),
            "kettle": ("handle",),
            "hammer": ("handle",),
        },
        "contain": {"mug": ("body",), "kettle": ("body",), "bottle": ("body",)},
        "pour": {"mug": ("rim",), "pan": ("rim",), "kettle": ("spout",), "bottle": ("opening",)},
        "support": {"chair": ("seat",), "table": ("top",)},
        "stand": {
            "mug": ("base",),
            "kettle": ("base",),
            "bottle": ("base",),
            "lamp": ("base",),
            "chair": ("left_foot", "right_foot"),
            "table": ("front_leg",),
        },
    }
)
"""Function to the parts of each category that serve it."""

_USES: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        (category, part): use
        for use, by_category in FUNCTIONS.items()
        for category, parts in by_category.items()
        for part in parts
    }
)


def _portrait(rng: np.random.Generator, category: str) -> Scene:
    thing = random_thing(rng, categories=[category], scale=(0.9, 1.0))
    return portrait(rng, thing, roll=np.pi)


def _seen_parts(view: View) -> dict[str, Floats]:
    """Pixel position (2,) of every visible part; where it goes all round, of its nearest point."""
    (thing,) = view.scene.things
    found = {}
    for name, points in solid(thing.category, thing.shape).parts.items():
        world = points @ thing.rotation.T * thing.scale + thing.position
        xy, depth = view.scene.camera.project(world, SIZE)
        usable = view.visible(world) & in_frame(xy)
        if usable.any():
            x, y = best = xy[int(np.argmin(np.where(usable, depth, np.inf)))]
            # A point on the very edge would be marked beside the thing: it must show there.
            if view.ids[int(y), int(x)] == 0:
                found[name] = best
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """A part of the first object, and four of the second of which one answers to it."""

    first: Scene
    second: Scene
    part: str
    parts: list[str]
    reference: Floats
    candidates: Floats


def _ask(draw: Draw, categories: tuple[str, str], *, use: bool) -> _Question | None:
    """Try one pair of views; None if no part and distractors fit.

    Args:
        draw: The document to draw.
        categories: Of the first and the second object.
        use: Whether parts answer to each other by function rather than by name.
    """
    from vlmbench.tasks.worlds._render import look

    first, second = (_portrait(draw.rng, category) for category in categories)
    there = _seen_parts(look(second))
    if len(there) < 4:
        return None
    here = _seen_parts(look(first))

    def same(a: str, b: str) -> bool:
        return _same_use((categories[0], a), (categories[1], b)) if use else a == b

    questions = [
        (a, b, wrong)
        for a in here
        for b in there
        if same(a, b)
        for wrong in combinations([name for name in there if not same(a, name)], 3)
    ]
    apart = 12 - 3 * draw.difficulty
    for pick in draw.rng.permutation(len(questions)):
        a, b, wrong = questions[pick]
        parts = [wrong[i] for i in draw.rng.permutation(3)]
        parts.insert(draw.gold, b)
        candidates = np.stack([there[name] for name in parts])
        if nearest_apart(candidates) < apart:
            continue
        rolled = _rolled(draw, first, here[a], candidates)
        if rolled is not None:
            return _Question(
                first=rolled[0],
                second=second,
                part=a,
                parts=parts,
                reference=rolled[1],
                candidates=candidates,
            )
    return None


def _rolled(
    draw: Draw, scene: Scene, reference: Floats, candidates: Floats
) -> tuple[Scene, Floats] | None:
    """Roll the first view until the gold's distance to REF's position has the rank of the variant.

    Rolling turns a pinhole image about its centre, so nothing has to be drawn to know where REF
    comes to lie.
    """
    for angle in draw.rng.uniform(-np.pi, np.pi, 12):
        c, s = np.cos(angle), np.sin(angle)
        turned = np.array([[c, s], [-s, c]]) @ (reference - SIZE / 2) + SIZE / 2
        if (
            in_frame(turned[None])[0]
            and rank_of_gold(turned, candidates, draw.gold) == draw.variant
        ):
            roll = scene.camera.roll + float(angle)
            return replace(scene, camera=replace(scene.camera, roll=roll)), turned
    return None


def _same_use(a: tuple[str, str], b: tuple[str, str]) -> bool:
    """Whether two parts serve the same function."""
    return a in _USES and _USES[a] == _USES.get(b)


def _finish(question: _Question) -> Row:
    """Draw both views of a question."""
    from vlmbench.tasks.worlds._render import render

    first, second = question.first, question.second
    one, two = render(first).rgb, render(second).rgb
    reference = question.reference[None]
    return {
        "choices": list(_CHOICES),
        "image_1": draw_markers(one, reference, ["REF"]),
        "image_2": draw_markers(two, question.candidates, LETTERS),
        "unmarked_1": one,
        "unmarked_2": two,
        "reference": listed(reference)[0],
        "points": listed(question.candidates),
        "reference_part": f"{first.things[0].category}.{question.part}",
        "point_parts": [f"{second.things[0].category}.{name}" for name in question.parts],
    }


def _correspondence(draw: Draw) -> Row:
    category = COMPOSITES[draw.rng.integers(len(COMPOSITES))]
    for _ in range(ATTEMPTS):
        question = _ask(draw, (category, category), use=False)
        if question is not None:
            return {"question": SAME_PART, **_finish(question)}
    raise Stuck(f"semantic_correspondence: no parts of a {category} fit")


def _affordance(draw: Draw) -> Row:
    use = list(FUNCTIONS)[draw.rng.integers(len(FUNCTIONS))]
    for _ in range(ATTEMPTS):
        a, b = draw.rng.choice(list(FUNCTIONS[use]), 2, replace=False)
        question = _ask(draw, (str(a), str(b)), use=True)
        if question is not None:
            return {"question": SAME_USE, **_finish(question)}
    raise Stuck(f"object_affordance: no parts that {use} fit")


_COLUMNS = MappingProxyType(
    {
        "image_1": "image",
        "image_2": "image",
        "unmarked_1": "image",
        "unmarked_2": "image",
        "reference": "point",
        "points": "points",
        "reference_part": "string",
        "point_parts": "strings",
    }
)

SEMANTIC_CORRESPONDENCE = World(
    name="semantic_correspondence",
    summary="Which point marks the same part on another instance of the category?",
    n_choices=4,
    images=2,
    variants=4,
    columns=_COLUMNS,
    row=_correspondence,
)

OBJECT_AFFORDANCE = World(
    name="object_affordance",
    summary="Which point marks the part with the same function on another category?",
    n_choices=4,
    images=2,
    variants=4,
    columns=_COLUMNS,
    row=_affordance,
)
