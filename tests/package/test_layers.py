"""Rooms import only downward, in no circle, and the light commands stay light."""

from __future__ import annotations

import grimp
from home import ROOT, loaded_by, program
from imports import circles, reaching_in

LIGHT = (
    ["--help"],
    ["ls", "tasks"],
    ["ls", "models", "--json"],
    ["ls", "backends"],
    ["validate"],
    ["plan", "--models", "tiny-clip", "--tasks", "worlds,naming"],
    ["data", "ls"],
)


def graph(*imports: str) -> grimp.ImportGraph:
    """Return a graph of imports that are written as `importer -> imported`."""
    made = grimp.ImportGraph()
    for importer, imported in (line.split(" -> ") for line in imports):
        for module in (importer, imported):
            made.add_module(module)
        made.add_import(importer=importer, imported=imported)
    return made


def test_rooms_import_only_downward_and_nothing_of_another_that_is_private() -> None:
    program("lint-imports", "--no-cache", folder=ROOT)


def test_what_is_private_may_be_imported_by_its_package_and_what_stands_below() -> None:
    sound = ["a.b -> a.b._c", "a.b.d -> a.b._c", "a.b._e.f -> a.b._c", "a.b._c -> a.b._c._g"]
    assert list(reaching_in(graph(*sound, "z -> a.b", "z -> a.__main__"))) == []
    unsound = ["a.bb -> a.b._c", "a -> a.b._c", "a.b.d -> a.b._c._g", "z -> a.b._c.f"]
    assert sorted(reaching_in(graph(*sound, *unsound))) == sorted(unsound)


def test_modules_import_one_another_in_no_circle() -> None:
    assert circles(grimp.build_graph("vlmbench", cache_dir=None)) == []


def test_circles_are_counted() -> None:
    found = circles(graph("a -> b", "b -> c", "c -> a", "c -> d", "e -> d", "f -> g", "g -> f"))
    assert found == [{"a", "b", "c"}, {"f", "g"}]


def test_light_commands_import_nothing_heavy() -> None:
    commands = "".join(f"vlmbench(*{command!r})\n" for command in LIGHT)
    assert loaded_by(f"from home import vlmbench\n{commands}") == set()


def test_what_is_imported_is_noticed() -> None:
    """The control that must fire."""
    assert loaded_by("import json, wave", ["json", "wave", "chunk"]) == {"json", "wave"}


def test_what_a_finished_run_does_not_need_is_not_imported() -> None:
    slow = ["transformers.modeling_utils", "transformers.processing_utils"]
    assert loaded_by("import vlmbench.run", slow) == set()
