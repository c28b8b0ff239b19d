"""What every world draws, held against what its version drew when it was recorded.

The last bit of a float differs between processors, because embree chooses its instructions by
them: of 20 million pixel values in 192 documents its oldest instructions change 35, in at most two
lines of pixels of any world here, and nothing but pixels. So what is no image is compared exactly,
and images line by line, a few lines being allowed to differ. Another drawing changes dozens.

`python tests/tasks/worlds/test_drawn.py` records anew.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vlmbench.tasks import worlds
from vlmbench.tasks.worlds import (
    _composites,
    _controls,
    _depth,
    _markers,
    _odd,
    _parts,
    _random,
    _render,
    _rows,
    _scene,
    _shapes,
    _style,
    _world,
)
from vlmbench.tasks.worlds._world import World

RECORD = Path(__file__).with_name("drawn.json")
NOISE = 8
"""Lines of pixels, of all documents of a world, that may differ."""

RUN = "python tests/tasks/worlds/test_drawn.py"
EMPTY: dict[str, Any] = {"parts": {}, "worlds": {}}
Sketch = dict[str, str]
"""`content`: a digest of what is no image; `lines`: two hex digits for each line of pixels."""


def sketch(content: Any, images: Sequence[NDArray[Any]]) -> Sketch:
    """Sketch a document; its images are as high as each other and are put side by side."""
    text = json.dumps(content, sort_keys=True)
    lines = np.hstack([image.reshape(len(image), -1).astype("<i4") for image in images])
    return {
        "content": hashlib.sha256(text.encode()).hexdigest()[:16],
        "lines": bytes(crc32(line.tobytes()) % 256 for line in lines).hex(),
    }


def documents(world: World) -> dict[str, Sketch]:
    """The first three documents of two splits, as they are stored; one split is easy.

    And the same with another answer, where the world can draw them so.
    """
    found = {}
    for split, options in (("train", {}), ("test", {"difficulty": 0.1})):
        for index in range(3):
            which: dict[str, Any] = {"split": split, "index": index, "options": options}
            plain = _rows.drawn_row(world, seed=0, count=30, **which)
            other = _rows.counterfactual_row(world, seed=0, count=30, **which)
            found[plain["doc_id"]] = of_row(world, plain)
            if other is not None:
                found[f"{plain['doc_id']} counterfactual"] = of_row(world, other)
    return found


def of_row(world: World, drawn: Mapping[str, Any]) -> Sketch:
    row = _rows.encoded(world, dict(drawn))
    images = [value for value in row.values() if isinstance(value, dict)]
    pixels = [np.asarray(Image.open(io.BytesIO(image["bytes"]))) for image in images]
    return sketch({k: v for k, v in row.items() if not isinstance(v, dict)}, pixels)


def parts() -> dict[str, Sketch]:
    """What worlds are made of, of which their few documents show only some."""
    found = {}
    for index, category in enumerate(worlds.CATEGORIES):
        shape = (0.3, 0.7, 0.6, 0.2)
        texture = _scene.TEXTURES[index % len(_scene.TEXTURES)]
        surface = worlds.Surface(texture=texture, rgb=(0.8, 0.5, 0.1), second=(0.3, 0.2, 0.6))
        thing = worlds.Thing(category=category, colour="orange", surface=surface, shape=shape)
        scene = worlds.Scene(things=(thing,), camera=worlds.Camera(azimuth=0.5), floor=surface)
        image = worlds.render(scene).rgb
        places = {
            name: at.round(6).tolist() for name, at in worlds.solid(category, shape).parts.items()
        }
        found[f"shape {category}"] = sketch(places, [image])
    tone = np.add.outer(np.linspace(0, 0.5, 96), np.abs(np.linspace(-0.5, 0.5, 96)))
    for style in _style.STYLES:
        image = _style.paint(np.random.default_rng(5), tone, style)
        found[f"style {style}"] = sketch(None, [image])
    grey = np.full((24, 24, 3), 127, np.uint8)
    for label in (*_world.LETTERS, "REF"):
        image = worlds.draw_markers(grey, [(12, 17)], [label])
        found[f"marker {label}"] = sketch(image.tolist(), [image])  # no float: exactly so
    return found


def changed(before: Mapping[str, Sketch], now: Mapping[str, Sketch]) -> list[str]:
    """What was drawn otherwise, beyond what processors differ by."""
    other = [
        name
        for name in {**before, **now}
        if before.get(name, {}).get("content") != now.get(name, {}).get("content")
    ]
    differ = {name: lines_apart(before[name], now[name]) for name in before.keys() & now.keys()}
    if sum(differ.values()) > NOISE:
        other += [name for name in now if differ.get(name) and name not in other]
    return other


def lines_apart(a: Sketch, b: Sketch) -> int:
    pairs = zip_longest(bytes.fromhex(a["lines"]), bytes.fromhex(b["lines"]))
    return sum(x != y for x, y in pairs)


def record(path: Path) -> None:
    """Record what is drawn now; a world that draws something else must have another version."""
    before = json.loads(path.read_text()) if path.is_file() else EMPTY
    entries, same = {}, True
    for name, world in worlds.WORLDS.items():
        known, now = before["worlds"].get(name, {"version": 0}), documents(world)
        if known["version"] == world.version:
            other = changed(known["documents"], now)
            if other:
                raise SystemExit(told(name, world, other))
            now = known["documents"]
        same &= known["version"] == world.version
        entries[name] = {"version": world.version, "documents": now}
    pieces = parts()
    if same and changed(before["parts"], pieces):
        raise SystemExit(told_of_parts(changed(before["parts"], pieces)))
    text = json.dumps({"parts": before["parts"] if same else pieces, "worlds": entries})
    path.write_text(text.replace('"content"', '\n"content"') + "\n")


def told(name: str, world: World, other: list[str]) -> str:
    return (
        f"the world {name!r} no longer draws what its version {world.version} drew "
        f"({', '.join(other)}). If that is meant, raise its `version` to {world.version + 1}, "
        f"then run `{RUN}`."
    )


def told_of_parts(other: list[str]) -> str:
    return (
        f"drawn otherwise than before: {', '.join(other)}. If that is meant, raise the `version` "
        f"of every world that shows them, then run `{RUN}`."
    )


RECORDED = json.loads(RECORD.read_text()) if RECORD.is_file() else EMPTY


@pytest.mark.parametrize("name", worlds.WORLDS)
def test_a_world_draws_what_its_version_drew(name: str) -> None:
    world, known = worlds.WORLDS[name], RECORDED["worlds"].get(name, {"version": 0})
    assert known["version"] == world.version, (
        f"version {world.version} of the world {name!r} is not recorded yet: run `{RUN}`."
    )
    other = changed(known["documents"], documents(world))
    assert not other, told(name, world, other)


def test_shapes_styles_and_markers_are_drawn_as_before() -> None:
    other = changed(RECORDED["parts"], parts())
    assert not other, told_of_parts(other)


def test_every_recorded_world_is_there() -> None:
    assert list(RECORDED["worlds"]) == list(worlds.WORLDS)


COLOURS = MappingProxyType({**_scene.COLOURS, "red": (0.83, 0.13, 0.09), "blue": (0.1, 0.25, 0.8)})
CHANGES = [
    ("depth", _depth, "QUESTION", _depth.QUESTION + " "),
    ("depth", _depth, "_marked_pixels", lambda rng: rng.uniform((16, 22), (80, 68), (2, 2))),
    ("object_3d", _odd, "_AREA", 1520.0),
    ("pointing", _markers, "RADIUS", 3.2),
    ("pointing", _markers, "_RED", (230, 20, 20)),
    ("naming", _random, "COLOURS", COLOURS),
    ("object_3d", _render, "_SUBPIXELS", _render._SUBPIXELS * 0.5),
    (
        "low_level_matching",
        _rows,
        "_blank",
        lambda: _rows._png(np.full((96, 96, 3), 128, np.uint8)),
    ),
    ("semantic_correspondence", _parts, "SAME_PART", _parts.SAME_USE),
]


@pytest.mark.parametrize(("name", "module", "attribute", "value"), CHANGES)
def test_a_change_of_what_is_drawn_is_caught(
    name: str, module: Any, attribute: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, attribute, value)
    assert changed(RECORDED["worlds"][name]["documents"], documents(worlds.WORLDS[name]))


def test_one_dot_of_a_marker_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    letter = ("####.", *_markers._WIDE["B"][1:4], "#####")
    monkeypatch.setitem(_markers._WIDE, "B", letter)
    assert changed(RECORDED["parts"], parts()) == ["marker B"]


def test_another_shape_of_one_category_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    builders = dict(_shapes._BUILDERS)
    builders["kettle"] = lambda p: _composites._kettle((*p[:3], min(p[3] + 0.05, 1.0)))
    monkeypatch.setattr(_shapes, "_BUILDERS", builders)
    _shapes.solid.cache_clear()
    try:
        assert changed(RECORDED["parts"], parts()) == ["shape kettle"]
    finally:
        _shapes.solid.cache_clear()


def test_what_processors_differ_by_is_not_taken_for_a_change() -> None:
    rng = np.random.default_rng(1)
    image = worlds.render(worlds.random_scene(rng)).rgb.astype(int)
    noisy = image.copy()
    noisy[rng.permutation(96)[:NOISE], 50] += 1
    before = {"a": sketch(None, [image]), "b": sketch(None, [image])}
    assert changed(before, {"a": sketch(None, [noisy]), "b": sketch(None, [image])}) == []
    assert changed(before, {"a": sketch(None, [noisy]), "b": sketch(None, [noisy])}) == ["a", "b"]


def test_what_changed_is_recorded_only_under_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, naming = tmp_path / "drawn.json", worlds.WORLDS["naming"]
    monkeypatch.setattr(worlds, "WORLDS", {"naming": naming})
    record(path)
    first = path.read_text()
    record(path)
    assert path.read_text() == first
    monkeypatch.setitem(_markers._WIDE, "D", _markers._WIDE["C"])
    with pytest.raises(SystemExit, match="marker D"):
        record(path)
    monkeypatch.setitem(_controls.NAMES, "colour", tuple(reversed(_scene.COLOURS)))
    with pytest.raises(SystemExit, match="raise its `version` to 2"):
        record(path)
    assert path.read_text() == first
    monkeypatch.setattr(worlds, "WORLDS", {"naming": replace(naming, version=2)})
    record(path)
    assert json.loads(path.read_text())["worlds"]["naming"]["version"] == 2


if __name__ == "__main__":
    record(RECORD)
